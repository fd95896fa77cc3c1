"""One HTTP request and its answer, as plain data.

Signers, the OAuth steps and the outward client speak in these, so that all of them
can be tested without a socket.  Neither shows its headers or body when printed: a
token lives there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Request:
    """A request not yet sent."""

    method: str
    """Upper case: ``GET``."""

    url: str = field(repr=False)
    """Absolute; never holds a token, yet may hold a state or code, so it is not printed either."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    frames: tuple[str, ...] = field(default=(), repr=False)
    """What is said over a WebSocket (RFC 6455) that this GET opens; empty: nothing, it is a plain request.

    The other side speaks first, and once after each frame.  The `Answer` has a status of 200 and the last of its
    frames as body.  It is 401 and empty where the other side said goodbye before that, and the status of the
    handshake where that was refused.
    """

    @property
    def origin(self) -> str:
        """Scheme, host and port the request goes to."""
        return origin_of(self.url)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.  Redirects are answers like any other: nobody follows them."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case.  Repeated ones are joined by ``, ``, except set-cookie: by a newline."""

    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def origin_of(url: str) -> str:
    """Return scheme, host and port of *url*, the default port left out, host in lower case.

    Raises:
        ValueError: *url* is not http(s), has no host, or carries user information.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc or "\\" in url:
        raise ValueError("not an http(s) address with a plain host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != _PORTS[parts.scheme] else "")


class Sender(Protocol):
    """What sends a request: the outward client, or a stand-in for it."""

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - one clock from the resolver to the last byte, kept by the client
        limit: int = 1_048_576,
    ) -> Answer:
        """Send *request* to one of the *origins* and return the answer, whatever its status.

        *private* says that a human with the say over this host named the address: only then may it
        be a private one.  *timeout* is in seconds and covers everything; *limit* is in bytes of body.

        Raises:
            AddressRefused: the request goes to none of the *origins*, or to a forbidden address.
            Upstream: no whole answer came within *timeout* and *limit*.
        """
        ...
