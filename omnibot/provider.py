"""What a service is to the bot: where one authorises, how a request is signed, what a scope opens.

Three things are kept apart.  The `Provider` is the catalogue's: endpoints, scopes and
quirks of one kind of service, read from ``providers/*.yaml``.  The `ClientCredential`
is the operator's: what the service gave them when they registered the bot.  An
`Instance` is the two together at one address, and the only thing that linking,
sessions and the vault work with.  One instance is one authorization server: each has
its own callback path, and only its own token endpoint ever sees its codes (RFC 9700
section 4.4.2.2).
"""

import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol
from urllib.parse import quote

from omnibot.wire import Answer, Request

Way = Literal["redirect", "paste", "key"]
"""How an account can be linked: by our callback, by pasting the address bar, or by an API key."""

ExtraScopes = Literal["warn", "refuse"]
"""What becomes of a link that was granted more than was asked for."""

Dead = Literal["unauthorised", "forbidden", "anonymous"]
"""How a service answers to a token that it knows no more: with 401, as RFC 6750 section 3.1 has it; with
403, as to what it does not allow; or as to nobody, with what is public.  In the last two whoami tells."""

EVERYTHING = "all it opens"
"""The scope of a key: all that its owner may do.

No server can grant it, for no scope has a space in it (RFC 6749 section 3.3): some call one of theirs ``*``.
"""

PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.-]{1,100})\}")
"""What stands for a value of whoami's answer in the path of a `RevokeRequest`: a dotted path."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A string that is never printed, compared or logged by accident."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        """Return stars, so that a format string gives nothing away."""
        return "****"


@dataclass(frozen=True, slots=True)
class ClientCredential:
    """What the operator got when they registered the bot at a service."""

    client_id: str
    client_secret: Secret | None = None
    """None for a public client: then PKCE alone binds the code to us."""


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The endpoints and quirks of one authorization server: one frozen whole, never mixed with another's.

    RFC 9700 section 4.4.2: the issuer is remembered as the set of its endpoints.
    """

    authorize_url: str
    token_url: str
    issuer: str = ""
    """RFC 8414 issuer identifier; empty where the server has none."""

    iss: Literal["required", "absent"] = "absent"
    """RFC 9207: whether an authorization answer carries ``iss``; compared as a plain string."""

    revoke_url: str = ""
    """RFC 7009 endpoint; empty where the server has none."""

    pkce: Literal["S256", "none"] = "S256"
    client_auth: Literal["basic", "post", "none"] = "basic"
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    """Sent with every authorisation: what makes this server always show its consent page."""

    scope_separator: str = " "


@dataclass(frozen=True, slots=True)
class Whoami:
    """How to ask a service whose token it is, and where in its JSON answer to look.

    The fields are dotted paths; *id* must be one the service never gives to another account.
    """

    path: str
    """Under the instance's API address, or absolute at one of its origins.

    Empty in the catalogue: the userinfo endpoint that discovery finds.
    """

    id: str
    login: str
    """Where an answer has none, the *id* stands in for it."""

    name: str = ""
    avatar: str = ""


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """A service's own way to end a token: a request that the token itself signs."""

    method: str
    path: str
    """Under the instance's API address; ``{user.id}`` stands for what whoami says there."""

    def filled(self, said: Mapping[str, Any]) -> str | None:
        """Return the path with what whoami *said* in it, quoted; None where it does not say, or nothing usable."""
        path = self.path
        for name in PLACEHOLDER.findall(self.path):
            found: Any = said
            for part in name.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            if isinstance(found, bool) or not isinstance(found, str | int) or str(found) in ("", ".", ".."):
                return None
            path = path.replace(f"{{{name}}}", quote(str(found), safe=""))
        return path


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What a person is told when they are asked for an API key."""

    label: str = "API key"
    """What the service calls it; for the signer ``basic`` it is two things with a colon between."""

    url: str = ""
    """The service's own page where one finds or makes it; ``{base}`` stands for the instance's address."""

    hint: str = ""
    """A sentence on how to get it there."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One kind of service, as the catalogue knows it."""

    name: str
    """As people write it: ``github``; ``[a-z0-9-]{1,32}``."""

    title: str
    """As people read it: ``GitHub``."""

    scopes: Mapping[str, str]
    """Each scope that may be asked for, with the reason a person is shown."""

    whoami: Whoami
    signer: str = "bearer"
    """Name of the `Signer`: ``bearer``, ``header:<Name>``, ``basic``."""

    base_scopes: tuple[str, ...] = ()
    """Asked for on every link, whatever the command."""

    ways: tuple[Way, ...] = ("redirect", "paste")
    """In order of preference; the first that is possible is taken."""

    key: KeyForm = KeyForm()
    """Counts where *ways* has ``key``."""

    discovery: bool = False
    """Whether the endpoints are read from the issuer's RFC 8414 or OpenID metadata."""

    loopback: Literal["ip", "localhost", "no"] = "ip"
    """What the server accepts as a loopback redirect (RFC 8252 section 7.3)."""

    sensitivity: Literal["normal", "high"] = "normal"
    """``high`` refuses paste-back unless the operator writes the exception."""

    revoke: Literal["refresh", "access", "never"] = "refresh"
    """Which token to hand back on unlinking; ``never`` where that would cut other links."""

    revoke_request: RevokeRequest | None = None
    """How a token is ended where there is no RFC 7009 endpoint."""

    dead: Dead = "unauthorised"
    """How it answers to a token that it knows no more."""

    identifies: str = ""
    """The adapter whose people are the accounts of this service: an identity's subject there is the id that
    whoami tells.  Then signing in here proves who somebody is there."""

    implied_scopes: tuple[str, ...] = ()
    """Globs of scopes that the service grants along with others, without anybody asking."""

    accept: str = "application/json"
    docs: str = ""
    """Where an operator registers the bot."""

    apps_url: str = ""
    """The service's own page of authorised applications, for the person."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    """What ``!api`` may send; an operator may widen it per instance."""

    base: str = ""
    """Address of the service's one public instance; empty where every operator brings their own."""

    api: str = "{base}"
    """Base address of API paths; ``{base}`` stands for the instance's own address."""

    server: AuthorizationServer = AuthorizationServer(authorize_url="", token_url="")
    """Endpoints, with ``{base}`` in them, and quirks; with *discovery* only the quirks count."""

    def is_dead(self, whoami_status: int) -> bool:
        """Whether whoami, answered so, does not know the token."""
        return whoami_status == 401 or (whoami_status == 403 and self.dead == "forbidden")

    def unasked(self, asked: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
        """Return what was *granted* though it was neither *asked* for nor comes along by itself."""
        known = (*asked, *self.implied_scopes)
        return tuple(one for one in granted if not any(one == said or fnmatchcase(one, said) for said in known))


@dataclass(frozen=True, slots=True)
class Instance:
    """One service at one address, ready to be linked."""

    provider: Provider
    name: str
    """Alias in ``provider@instance``; ``default`` when there is only one."""

    client: ClientCredential
    server: AuthorizationServer | None
    """None until discovery has run."""

    issuer: str
    """Where discovery starts; empty without discovery."""

    api: str
    """Base address of API paths, no slash at the end."""

    origins: frozenset[str]
    """Every origin this instance's requests may go to, named by the operator or the catalogue."""

    scopes: tuple[str, ...] = ()
    """Scopes the operator adds to the catalogue's base ones."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    by_operator: bool = True
    """Whether the operator named the address: only then may it be a private one."""

    paste_allowed: bool = True
    """False where sensitivity is high and the operator wrote no exception."""

    chat_keys: bool = True
    """Whether a key may be said in a private chat; False where it is to be typed into our form alone."""

    key_url: str = ""
    """Where a person finds their key at this instance."""

    extra_scopes: ExtraScopes = "warn"
    """Whether a link that was granted more than was asked for is taken, and said, or refused."""

    @property
    def key(self) -> str:
        """Return ``provider@instance``, the name stored beside every account."""
        return f"{self.provider.name}@{self.name}"

    @property
    def whoami_url(self) -> str:
        """Where to ask whose a token is; its path in the catalogue may be a whole address."""
        path = self.provider.whoami.path
        return path if "://" in path else self.api + path

    @property
    def authorises(self) -> bool:
        """Whether the bot is registered there, so that people can authorise it."""
        return bool(self.client.client_id)

    @property
    def title(self) -> str:
        """How to call it before a person: ``GitHub``, or ``Redmine (work)``."""
        return self.provider.title if self.name == "default" else f"{self.provider.title} ({self.name})"


@dataclass(frozen=True, slots=True)
class Token:
    """A person's credentials at one instance, in the clear: for one turn, never kept.

    Times are Unix seconds.
    """

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires: float | None = None
    scopes: tuple[str, ...] | None = None
    """What the server said it granted; None where it did not say."""


class Signer(Protocol):
    """How a request is made to act as the person: a conversation without I/O.

    ``sign`` is a generator: it yields a signed request, is sent the answer, and either
    ends or yields another request to send (a crumb, a nonce); the last answer counts.
    """

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Sign *request* with *token*; yield each request to send."""
        ...
