"""One YAML file for each kind of service, read into a `Provider`.

The file's name is the provider's: ``github.yaml`` is what people call ``github``.  A
file is checked whole when it is loaded, and every problem of every file is told at once.
"""

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from omnibot.errors import ConfigError, Problem
from omnibot.provider import PLACEHOLDER, AuthorizationServer, Dead, KeyForm, Provider, RevokeRequest, Way, Whoami
from omnibot.signers import signer_named
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
        raise BadValueError(str(error), "Use bearer, basic or header:NAME.") from None
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
    issuer: _Template = ""
    iss: Literal["required", "absent"] = "absent"
    pkce: Literal["S256", "none"] = "S256"
    client_auth: Literal["basic", "post", "none"] = "basic"
    authorize_params: Annotated[dict[str, str], AfterValidator(_parameters)] = {}
    scope_separator: Literal[" ", ","] = " "


class _Whoami(_Part):
    """How to ask whose token it is."""

    path: Annotated[str, Field(pattern=r"^(/[!-~]*)?$")] = ""
    id: Annotated[_Dotted, Field(min_length=1)]
    login: Annotated[_Dotted, Field(min_length=1)]
    name: _Dotted = ""
    avatar: _Dotted = ""


class _RevokeRequest(_Part):
    """How the service ends a token, where it is by a call of its own."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "DELETE"
    path: Annotated[str, AfterValidator(_revoke_path)]


class _KeyForm(_Part):
    """What a person is told when they are asked for a key."""

    label: Annotated[str, Field(min_length=1, max_length=40)] = "API key"
    url: _Template = ""
    hint: Annotated[str, Field(max_length=200)] = ""


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
    identifies: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,100}$")] = ""
    implied_scopes: tuple[_Scope, ...] = ()
    accept: str = "application/json"
    docs: _Template = ""
    apps_url: _Template = ""
    methods: tuple[Method, ...] = ("GET", "HEAD")
    base: _Template = ""
    api: _Template = "{base}"
    server: _Server = _Server()

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
        if authorises and not self.discovery and not (self.server.authorize_url and self.server.token_url):
            yield "has neither discovery nor endpoints", "Add server.authorize_url and server.token_url."
        if self.identifies and not authorises:
            yield "identifies people, and has no login: it is linked by key", "Take identifies out."
        if self.discovery and not authorises:
            yield "has discovery, and nothing to discover: it is linked by key", "Take discovery out."
        if not self.discovery and not self.whoami.path:
            yield "has no whoami.path, which only discovery finds by itself", "Add whoami.path."
        if self.revoke_request is not None and self.revoke == "never":
            yield "has a revoke_request, and revoke: never", "Keep one of the two."
        if self.server.iss == "required" and not (self.server.issuer or self.discovery):
            yield "requires iss and names no issuer to compare it with", "Add server.issuer."

    def made(self, name: str) -> Provider:
        """Return the provider, called *name*, that the rest of the bot works with."""
        plain = {key: getattr(self, key) for key in type(self).model_fields}
        server = AuthorizationServer(**{key: getattr(self.server, key) for key in _Server.model_fields})
        whoami = Whoami(**{key: getattr(self.whoami, key) for key in _Whoami.model_fields})
        form = KeyForm(**{key: getattr(self.key, key) for key in _KeyForm.model_fields})
        own = self.revoke_request and RevokeRequest(self.revoke_request.method, self.revoke_request.path)
        parts = {"server": server, "whoami": whoami, "key": form, "revoke_request": own}
        return Provider(**{**plain, "name": name, **parts})
