"""One YAML file for each kind of service, read into a `Provider`.

The file's name is the provider's: ``github.yaml`` is what people call ``github``.  A
file is checked whole when it is loaded, and every problem of every file is told at once.
"""

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from omnibot.errors import ConfigError, Problem
from omnibot.provider import (
    PLACEHOLDER,
    AuthorizationServer,
    Dead,
    KeyForm,
    Provider,
    Registration,
    RevokeRequest,
    Tested,
    Way,
    Whoami,
)
from omnibot.signers import may_set, signer_named
from omnibot.wire import origin_of
from omnibot.yamlfile import BadValueError, check, read

SHIPPED = Path(str(resources.files("omnibot"))) / "providers"
"""The catalogue that comes with omnibot."""

type Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
METHODS: tuple[str, ...] = get_args(Method.__value__)
"""What ``!api`` may ever be allowed to send."""

_NAME = re.compile(r"[a-z0-9-]{1,32}")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,200}")
_RESERVED = frozenset({"client_id", "code_challenge", "code_challenge_method", "redirect_uri"}) | frozenset(
    {"request", "request_uri", "response_mode", "response_type", "scope", "state"}
)
"""Authorization parameters that are the protocol's own: a catalogue that set them would undo it."""


def load_catalogue(*folders: Path) -> dict[str, Provider]:
    """Return every provider described in *folders*, by name; a later folder's file replaces an earlier one's.

    Raises:
        ConfigError: a file does not fit; every problem of every file is in it.
    """
    found, problems = dict[str, Provider](), list[Problem]()
    for path in (path for folder in folders for path in sorted(folder.glob("*.yaml"))):
        try:
            found[path.stem] = _load(path)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return found


def web_address(value: str) -> str:
    """Return *value* if it is an http(s) address that the bot may call.

    Raises:
        BadValueError: it is none, carries a user, query or fragment, or its host is not ASCII.
    """
    if not value.isascii():
        raise BadValueError(f'"{value}" is not plain ASCII', "Use the xn-- form.")
    try:
        origin_of(value)
    except ValueError:
        raise BadValueError(f'"{value}" is not a web address', "Write https://host/path.") from None
    if re.search(r"[?#\s]", value):
        raise BadValueError(f'"{value}" has a query or fragment', "Leave off what follows ? or #.")
    return value


def scope_name(value: str) -> str:
    """Return *value* if it is one OAuth scope (RFC 6749 section 3.3)."""
    if not _SCOPE.fullmatch(value):
        raise BadValueError(f'"{value}" is not one scope', "Write one an entry.")
    return value


def _load(path: Path) -> Provider:
    """Return the provider that the file at *path* describes."""
    if not _NAME.fullmatch(path.stem):
        what = f'"{path.stem}" is not a provider\'s name'
        raise ConfigError(Problem(path.name, "", what, "Use a to z, 0 to 9 and dashes, 32 at most."))
    return check(read(path), _Provider).made(path.stem)


def _template(value: str) -> str:
    """Return *value* if it is an address once ``{base}`` is filled in; empty is allowed."""
    if value:
        web_address(value.replace("{base}", "https://base.example", 1))
    return value


def _signer(value: str) -> str:
    """Return *value* if a signer is called so."""
    try:
        signer_named(value)
    except ValueError as error:
        cure = "Use bearer, basic, crumb, sigv4, header:NAME or authorization:TEMPLATE."
        raise BadValueError(str(error), cure) from None
    return value


def _key_signer(value: str) -> str:
    """Return *value* if a signer is called so, or it is empty."""
    return _signer(value) if value else ""


def _headers(value: dict[str, str]) -> dict[str, str]:
    """Return *value* if each is a header that a catalogue may set."""
    for name, said in value.items():
        if not may_set(name) or not re.fullmatch(r"[ -~]{1,200}", said):
            raise BadValueError(f'"{name}" is no header to set, or its value is not plain text', "Take it out.")
    return value


def _parameters(value: dict[str, str]) -> dict[str, str]:
    """Return *value* if none of the parameters is the protocol's own."""
    if taken := sorted(_RESERVED & value.keys()):
        raise BadValueError(f"{', '.join(taken)} belongs to the protocol", "Take it out.")
    return value


def _revoke_path(value: str) -> str:
    """Return *value* if it is a path below the API's address, with whoami's values in whole braces."""
    plain = PLACEHOLDER.sub("x", value)
    if not re.fullmatch(r"/[!-~]*", plain) or re.search(r"[{}#\\]", plain):
        what = f'"{value}" is not a path with placeholders like {{id}} or {{user.name}}'
        raise BadValueError(what, "Begin it with a slash, and name what whoami answers in braces.")
    if ".." in plain.partition("?")[0].split("/"):
        raise BadValueError(f'"{value}" climbs out of the API', "Write the whole path.")
    return value


type _Template = Annotated[str, AfterValidator(_template)]
type _Scope = Annotated[str, AfterValidator(scope_name)]
type _Dotted = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,100}$")]


class _Part(BaseModel):
    """What every part of a catalogue file is: of known keys only."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Server(_Part):
    """The authorization server; with discovery, only its quirks."""

    authorize_url: _Template = ""
    token_url: _Template = ""
    revoke_url: _Template = ""
    device_url: _Template = ""
    issuer: _Template = ""
    iss: Literal["required", "absent"] = "absent"
    pkce: Literal["S256", "none"] = "S256"
    client_auth: Literal["basic", "post", "none"] = "basic"
    authorize_params: Annotated[dict[str, str], AfterValidator(_parameters)] = {}
    scope_separator: Literal[" ", ","] = " "
    scope_parameter: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] = "scope"
    token_path: _Dotted = ""
    request_format: Literal["form", "json"] = "form"

    def made(self) -> AuthorizationServer:
        """Return it as the rest of the bot has it."""
        return AuthorizationServer(**{key: getattr(self, key) for key in _Server.model_fields})


class _RevokeRequest(_Part):
    """How the service ends a token, where it is by a call of its own."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "DELETE"
    path: Annotated[str, AfterValidator(_revoke_path)]
    by: Literal["token", "client"] = "token"
    json_: Annotated[dict[str, str], Field(alias="json")] = {}

    def made(self) -> RevokeRequest:
        """Return it as the rest of the bot has it."""
        return RevokeRequest(self.method, self.path, self.by, tuple(self.json_.items()))


class _OAuth1(_Part):
    """The server's side of OAuth 1.0a (RFC 5849 section 2)."""

    request_url: Annotated[_Template, Field(min_length=1)]
    authorize_url: Annotated[_Template, Field(min_length=1)]
    token_url: Annotated[_Template, Field(min_length=1)]
    authorize_params: Annotated[dict[str, str], AfterValidator(_parameters)] = {}
    revoke_request: _RevokeRequest | None = None

    def made(self) -> AuthorizationServer:
        """Return it as the rest of the bot has it: no PKCE, no issuer, and requests are signed."""
        return AuthorizationServer(
            self.authorize_url,
            self.token_url,
            request_url=self.request_url,
            pkce="none",
            authorize_params=self.authorize_params,
        )


class _Socket(_Part):
    """A conversation over a WebSocket."""

    path: Annotated[str, Field(pattern=r"^/[!-~]*$")]
    say: Annotated[tuple[dict[str, object], ...], Field(min_length=1, max_length=10)]


class _Whoami(_Part):
    """How to ask whose token it is."""

    method: Literal["GET", "POST"] = "GET"
    json_: Annotated[dict[str, object] | None, Field(alias="json")] = None
    socket: _Socket | None = None
    path: Annotated[str, Field(pattern=r"^(/[!-~]*)?$")] = ""
    id: Annotated[_Dotted, Field(min_length=1)]
    login: Annotated[_Dotted, Field(min_length=1)]
    name: _Dotted = ""
    avatar: _Dotted = ""

    def made(self) -> Whoami:
        """Return it as the rest of the bot has it."""
        body = "" if self.json_ is None else json.dumps(self.json_, separators=(",", ":"))
        path = self.socket.path if self.socket else self.path
        said = tuple(json.dumps(one, separators=(",", ":")) for one in self.socket.say) if self.socket else ()
        return Whoami(path, self.id, self.login, self.name, self.avatar, self.method, body, said)


class _KeyForm(_Part):
    """What a person is told when they are asked for a key."""

    label: Annotated[str, Field(min_length=1, max_length=40)] = "API key"
    url: _Template = ""
    hint: Annotated[str, Field(max_length=200)] = ""
    signer: Annotated[str, AfterValidator(_key_signer)] = ""


class _Tested(_Part):
    """What the file was tried against."""

    against: Literal["server", "stand-in", "documentation"] = "documentation"
    what: Annotated[str, Field(max_length=200)] = ""


class _Provider(_Part):
    """A whole file."""

    title: Annotated[str, Field(min_length=1, max_length=40)]
    scopes: dict[_Scope, Annotated[str, Field(min_length=1, max_length=100)]] = {}
    base_scopes: tuple[_Scope, ...] = ()
    whoami: _Whoami
    signer: Annotated[str, AfterValidator(_signer)] = "bearer"
    ways: Annotated[tuple[Way, ...], Field(min_length=1)] = ("redirect", "paste")
    key: _KeyForm = _KeyForm()
    discovery: bool = False
    loopback: Literal["ip", "localhost", "no"] = "ip"
    sensitivity: Literal["normal", "high"] = "normal"
    revoke: Literal["refresh", "access", "never"] = "refresh"
    revoke_request: _RevokeRequest | None = None
    dead: Dead = "unauthorised"
    step_up: Literal["", "sts"] = ""
    reads: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]{1,40}$")], ...] = ()
    identifies: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,100}$")] = ""
    implied_scopes: tuple[_Scope, ...] = ()
    accept: str = "application/json"
    headers: Annotated[dict[str, str], AfterValidator(_headers)] = {}
    registration: Registration = "operator"
    register_: Annotated[str, Field(alias="register", max_length=2000)] = ""
    quirks: tuple[Annotated[str, Field(min_length=1, max_length=400)], ...] = ()
    sources: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    tested: _Tested = _Tested()
    docs: _Template = ""
    apps_url: _Template = ""
    methods: tuple[Method, ...] = ("GET", "HEAD")
    base: _Template = ""
    api: _Template = "{base}"
    apis: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,40}$")], _Template] = {}
    server: _Server = _Server()
    oauth1: _OAuth1 | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        """Refuse what is right in its parts and wrong as a whole."""
        for what, cure in self._misfits():
            raise BadValueError(what, cure)
        return self

    def _misfits(self) -> Iterator[tuple[str, str]]:
        """Yield what does not fit together, with its cure."""
        if unknown := [scope for scope in self.base_scopes if scope not in self.scopes]:
            yield f"base_scopes has {', '.join(unknown)}, which scopes does not explain", "Add it to scopes."
        if self.discovery and (self.server.authorize_url or self.server.token_url):
            yield "has both discovery and endpoints of its own", "Keep one of the two."
        authorises = self.ways != ("key",)
        own = bool(self.server.authorize_url and self.server.token_url)
        if authorises and not (self.discovery or own or self.oauth1):
            yield "has neither discovery nor endpoints", "Add server.authorize_url and server.token_url, or oauth1."
        if "pin" in self.ways and self.oauth1 is None:
            yield "is linked by a PIN, and has no oauth1", "Add oauth1, or take pin out of ways."
        if "device" in self.ways and not (self.discovery or self.server.device_url):
            yield "is linked by a device's code, and has no server.device_url", "Add it, or take device out of ways."
        if self.identifies and not authorises:
            yield "identifies people, and has no login: it is linked by key", "Take identifies out."
        if self.discovery and not authorises:
            yield "has discovery, and nothing to discover: it is linked by key", "Take discovery out."
        if not self.discovery and not (self.whoami.path or self.whoami.socket):
            yield "has no whoami.path, which only discovery finds by itself", "Add whoami.path."
        if self.whoami.json_ is not None and self.whoami.method == "GET":
            yield "has a whoami.json, and asks with GET", "Write whoami.method: POST."
        if self.whoami.path and self.whoami.socket:
            yield "has both whoami.path and whoami.socket", "Keep one of the two."
        if self.revoke_request is not None and self.revoke == "never":
            yield "has a revoke_request, and revoke: never", "Keep one of the two."
        if self.server.iss == "required" and not (self.server.issuer or self.discovery):
            yield "requires iss and names no issuer to compare it with", "Add server.issuer."
        if self.registration == "address" and self.server.client_auth != "none":
            yield "takes the bot's address for its id, and wants a secret", "Write server.client_auth: none."

    def made(self, name: str) -> Provider:
        """Return the provider, called *name*, that the rest of the bot works with."""
        own = {"server", "whoami", "key", "revoke_request", "oauth1", "tested", "register_"}
        plain = {key: getattr(self, key) for key in type(self).model_fields if key not in own}
        form = KeyForm(**{key: getattr(self.key, key) for key in _KeyForm.model_fields})
        return Provider(
            name=name,
            **plain,
            register=self.register_,
            server=self.server.made(),
            whoami=self.whoami.made(),
            key=form,
            revoke_request=self.revoke_request.made() if self.revoke_request else None,
            oauth1=self.oauth1.made() if self.oauth1 else None,
            oauth1_revoke=self.oauth1.revoke_request.made() if self.oauth1 and self.oauth1.revoke_request else None,
            tested=Tested(self.tested.against, self.tested.what),
        )
