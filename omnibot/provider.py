"""What a service is to the bot: where one authorises, how a request is signed, what a scope opens.

Three things are kept apart.  The `Provider` is the catalogue's: endpoints, scopes and
quirks of one kind of service, read from ``providers/*.yaml``.  The `ClientCredential`
is the operator's: what the service gave them when they registered the bot.  An
`Instance` is the two together at one address, and the only thing that linking,
sessions and the vault work with.  One instance is one authorization server: each has
its own callback path, and only its own token endpoint ever sees its codes (RFC 9700
section 4.4.2.2).
"""

import json
import re
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal, Protocol
from urllib.parse import quote

from omnibot.wire import Answer, Request, origin_of

Way = Literal["redirect", "paste", "pin", "device", "key"]
"""How an account can be linked: by our callback, by pasting the address bar, by a PIN that the service shows
(OAuth 1.0a), by a device's code (RFC 8628), or by an API key."""

Registration = Literal["operator", "address", "mastodon"]
"""Who makes the client: the operator, by hand; nobody, for the bot's own address is its id; or the bot itself at
its first use, as Mastodon has it (``POST /api/v1/apps``)."""

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
    request_url: str = ""
    """Where temporary credentials are had (RFC 5849 section 2.1): then this server speaks OAuth 1.0a."""

    device_url: str = ""
    """Device authorization endpoint (RFC 8628 section 3.1); empty where the server has none."""

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
    scope_parameter: str = "scope"
    """What the authorization request calls the scopes: Slack wants a person's under a name of their own."""

    token_path: str = ""
    """Where in the token endpoint's answer the person's token is, as a dotted path; empty: it is the answer."""

    request_format: Literal["form", "json"] = "form"
    """How the token endpoint is asked; OAuth has a form (RFC 6749 section 4.1.3), a few services want JSON."""

    @property
    def is_oauth1(self) -> bool:
        """Whether it speaks OAuth 1.0a."""
        return bool(self.request_url)


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
    method: Literal["GET", "POST"] = "GET"
    json: str = ""
    """Body of a POST: some services have one address for all, and the question in the body (GraphQL)."""

    socket: tuple[str, ...] = ()
    """What is said, message by message, over a WebSocket at *path*: each JSON, ``{token}`` in it.

    The service speaks first, and once after each; where to look is in the last of its messages.
    """

    def frames(self, token: str) -> tuple[str, ...]:
        """Return what is said over the WebSocket, *token* in it; nothing where there is none."""
        spelled = json.dumps(token)[1:-1]  # it stands within a JSON string
        return tuple(one.replace("{token}", spelled) for one in self.socket)


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """A service's own way to end a token: a request that the token itself signs, or the bot's client."""

    method: str
    path: str
    """Under the instance's API address; ``{user.id}`` stands for what whoami says there."""

    by: Literal["token", "client"] = "token"
    """Whose credentials the request has; the client's are sent as HTTP Basic.  ``{client_id}`` may stand in *path*."""

    json: tuple[tuple[str, str], ...] = ()
    """Names and values of a JSON body; ``{token}`` stands for the token."""

    @property
    def asks_whoami(self) -> bool:
        """Whether its path wants something that whoami says."""
        return any(name != "client_id" for name in PLACEHOLDER.findall(self.path))

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

    signer: str = ""
    """Name of the `Signer` for a key, where it is sent in another way than a token is."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What a provider's file was tried against."""

    against: Literal["server", "stand-in", "documentation"] = "documentation"
    """The real thing; ours that was written from the vendor's documentation; or nothing yet."""

    what: str = ""
    """In words: ``Home Assistant 2025.1.4``."""


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
    """Name of the `Signer`, as `omnibot.signers.signer_named` knows it: ``bearer``, ``header:<Name>``, …"""

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

    step_up: Literal["", "sts"] = ""
    """How a one-time code opens a session (`omnibot.stepup`): as AWS STS does; empty: there is no such thing."""

    reads: tuple[str, ...] = ()
    """Of a service that takes everything by GET, with an ``Action`` in the query: how those begin that only read."""

    identifies: str = ""
    """The adapter whose people are the accounts of this service: an identity's subject there is the id that
    whoami tells.  Then signing in here proves who somebody is there."""

    implied_scopes: tuple[str, ...] = ()
    """Globs of scopes that the service grants along with others, without anybody asking."""

    accept: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request to the API; ``{client_id}`` stands for the client's id."""

    registration: Registration = "operator"
    docs: str = ""
    """Where an operator registers the bot."""

    register: str = ""
    """How an operator registers the bot, step by step; ``{callback}`` stands for the redirect URI."""

    quirks: tuple[str, ...] = ()
    """What is worth knowing of it, a sentence each."""

    sources: tuple[str, ...] = ()
    """The vendor's own pages that this was read in."""

    tested: Tested = Tested()

    apps_url: str = ""
    """The service's own page of authorised applications, for the person."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    """What ``!api`` may send; an operator may widen it per instance."""

    base: str = ""
    """Address of the service's one public instance; empty where every operator brings their own."""

    api: str = "{base}"
    """Base address of API paths; ``{base}`` stands for the instance's own address."""

    apis: Mapping[str, str] = field(default_factory=dict)
    """Further addresses of the API, by name; ``{base}`` as above."""

    server: AuthorizationServer = AuthorizationServer(authorize_url="", token_url="")
    """Endpoints, with ``{base}`` in them, and quirks; with *discovery* only the quirks count."""

    oauth1: AuthorizationServer | None = None
    """The same for OAuth 1.0a, where the service has that as well, or has only that."""

    oauth1_revoke: RevokeRequest | None = None
    """How a token of OAuth 1.0a is ended."""

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

    apis: Mapping[str, str] = field(default_factory=dict)
    """Addresses of its further APIs by name, no slash at the end: a token may go there as it may to *api*."""

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

    device_allowed: bool = False
    """Whether the operator lets accounts be linked by a device's code."""

    pin_allowed: bool = True
    """False where sensitivity is high and the operator wrote no exception."""

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
    def headers(self) -> Mapping[str, str]:
        """What every request to its API has, apart from who asks."""
        own = self.provider.headers.items()
        client_id = self.client.client_id
        return {"Accept": self.provider.accept} | {name: said.replace("{client_id}", client_id) for name, said in own}

    @property
    def whoami(self) -> Request:
        """The question whose a token is, not signed yet."""
        method, body = self.provider.whoami.method, self.provider.whoami.json.encode()
        kind = {"Content-Type": "application/json"} if body else {}
        return Request(method, self.whoami_url, {**self.headers, **kind}, body)

    @property
    def authorises(self) -> bool:
        """Whether the bot is registered there, or will be when it is needed, so that people can authorise it."""
        return bool(self.client.client_id) or self.registers

    @property
    def registers(self) -> bool:
        """Whether the bot registers itself there."""
        return self.provider.registration == "mastodon"

    @property
    def is_oauth1(self) -> bool:
        """Whether accounts there are authorised by OAuth 1.0a."""
        return self.server is not None and self.server.is_oauth1

    @property
    def revoke_request(self) -> RevokeRequest | None:
        """The service's own way to end a token, if it has one."""
        return self.provider.oauth1_revoke if self.is_oauth1 else self.provider.revoke_request

    @property
    def token_origins(self) -> frozenset[str]:
        """The origins that a token may go to: those of its APIs (A23)."""
        return _origins(self.api, *self.apis.values())

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

    secret: str = field(default="", repr=False)
    """The token's shared secret, which signs and is never sent (RFC 5849 section 3.4); empty but for OAuth 1.0a."""


@lru_cache(maxsize=1024)
def _origins(*urls: str) -> frozenset[str]:
    """Return the origins of an instance's APIs: there are few, and each request asks."""
    return frozenset(origin_of(url) for url in urls)


class Signer(Protocol):
    """How a request is made to act as the person: a conversation without I/O.

    ``sign`` is a generator: it yields a signed request, is sent the answer, and either
    ends or yields another request to send (a crumb, a nonce); the last answer counts.
    """

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Sign *request* with *token*; yield each request to send."""
        ...
