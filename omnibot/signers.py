"""How a request is made to act as a person: one class for each way, none with any I/O.

A signer yields the signed request and is sent the answer; one that needs no second try
ends there.  What a skill put in the way of the credential is taken out: a request is
signed by the person's token or not at all.
"""

import re
from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass, replace

from omnibot.provider import Signer, Token
from omnibot.wire import Answer, Request

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""A header's name (RFC 9110 section 5.6.2)."""

_VALUE = re.compile(r"[!-~]+( +[!-~]+)*")
"""A credential that a header can carry; a line break would write a header of its own."""

_TAKEN = frozenset({"connection", "content-length", "cookie", "host", "transfer-encoding"})
"""Headers that are no place for a credential."""


@dataclass(frozen=True, slots=True)
class BearerSigner:
    """The token behind ``Authorization: Bearer`` (RFC 6750)."""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with the access token in its header."""
        yield _with_header(request, "Authorization", f"Bearer {_sendable(token.access)}")


@dataclass(frozen=True, slots=True)
class HeaderSigner:
    """The token by itself in a header that the service names: ``X-Redmine-API-Key``."""

    name: str

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with the access token as the header's value."""
        yield _with_header(request, self.name, _sendable(token.access))


@dataclass(frozen=True, slots=True)
class BasicSigner:
    """A token of the form ``user:key`` behind ``Authorization: Basic`` (RFC 7617)."""

    def sign(self, request: Request, token: Token) -> Generator[Request, Answer, None]:
        """Yield *request* with user and key in its header, as UTF-8."""
        yield _with_header(request, "Authorization", f"Basic {b64encode(token.access.encode()).decode()}")


def signer_named(name: str) -> Signer:
    """Return the signer that the catalogue calls *name*: ``bearer``, ``basic`` or ``header:<Name>``.

    Raises:
        ValueError: there is none of that name.
    """
    if name == "bearer":
        return BearerSigner()
    if name == "basic":
        return BasicSigner()
    kind, _, header = name.partition(":")
    if kind == "header" and _NAME.fullmatch(header) and header.lower() not in _TAKEN:
        return HeaderSigner(header)
    raise ValueError(f'"{name}" is not a way to sign requests')


def _with_header(request: Request, name: str, value: str) -> Request:
    """Return *request* with *name* set to *value*, and nothing else under that name or another credential."""
    gone = {name.lower(), "authorization", "cookie"}
    kept = {key: said for key, said in request.headers.items() if key.lower() not in gone}
    return replace(request, headers={**kept, name: value})


def _sendable(credential: str) -> str:
    """Return *credential* if a header can carry it.

    Raises:
        ValueError: it cannot; the text does not repeat it.
    """
    if not _VALUE.fullmatch(credential):
        raise ValueError("this credential cannot be sent in a header")
    return credential
