"""The one way out: every request that the bot makes for somebody leaves through `Http`.

Two rules stand at this door.  A request goes to an origin that its instance names, or
nowhere: a token never travels to another host (A23).  And an address that a person or
an answer named may only be a public one, judged on the very socket address that is
connected to, so that neither a clever spelling nor a second DNS answer gets past (A20,
A21).  Redirects are answers, not directions (A19).  Nothing is sent twice.

What fails is told in one sentence that names the host and no more.  The library's own
errors hold headers, hence tokens: they are dropped here and never chained.
"""

import asyncio
import contextlib
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from omnibot import __version__
from omnibot.errors import AddressRefused, OmnibotError, Upstream
from omnibot.wire import Answer, Request

_PER_HOST = 16
"""Connections to one host, so that a service which hangs holds up nobody else's requests."""

_PLAIN = re.compile(r"[!-~]+")
"""Printable ASCII without spaces: a URL in which the parser that judges and the one that connects agree."""

_OURS = frozenset({"connection", "content-length", "host", "transfer-encoding", "upgrade"})
"""Headers that say where a request goes, what it is and where it ends: never a skill's to set."""

_GOODBYES = frozenset({1000, 1008})
"""Codes of a close frame by which a service ends a conversation that it does not want (RFC 6455 section 7.4.1)."""

_CLOSING_SECONDS = 0.5
"""How long a WebSocket's far end may take to close its side; the answer is there by then."""

_NOT_PUBLIC_4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; also some clouds' metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's host, from within it
            "169.254.0.0/16",  # link-local; most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation, as the next ones marked so
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_PUBLIC_6 = ip_network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(
        ip_network,
        (
            "2001::/23",  # protocol assignments, with Teredo, whose far end is any IPv4 address
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: likewise
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")


class Http:
    """The outward HTTP client: two pools of connections, one of them guarded.

    Sessions are made at the first request, in the loop that is then running.
    """

    def __init__(self, *, resolver: AbstractResolver | None = None) -> None:
        """Resolve names by *resolver*; without one, as the system does."""
        self._resolver = resolver
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - one clock from the resolver to the last byte
        limit: int = 1_048_576,
    ) -> Answer:
        """Send *request* once and return its answer, whatever the status.

        Without *private* the address must be public, the scheme https and the port 443 or one from
        3000 to 9999, where web applications live.  *timeout* is in seconds, for the whole exchange;
        *limit* in bytes, of the body as unpacked.

        Raises:
            AddressRefused: the request goes to none of the *origins*, or to a forbidden address.
            Upstream: no whole answer came within *timeout* and *limit*.
        """
        url = _permitted(request, origins, private)
        try:
            async with asyncio.timeout(timeout):
                send = self._converse if request.frames else self._exchange
                return await send(url, request, private, limit)
        except (aiohttp.ClientError, OSError, ValueError, _TooLargeError) as error:
            failure = _failure(error, urlsplit(request.url).hostname or "", guarded=not private)
        # Raised out here, where the library's error is no longer being handled: not even as a context.
        raise failure

    async def close(self) -> None:
        """Close every connection; a later request opens new ones."""
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def _exchange(self, url: URL, request: Request, private: bool, limit: int) -> Answer:
        """Send *request* to *url* and read the answer to its end."""
        async with self._pool(private).request(
            request.method,
            url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            return Answer(response.status, _lowered(response), await _read(response, limit))

    async def _converse(self, url: URL, request: Request, private: bool, limit: int) -> Answer:
        """Hold the conversation of *request*'s frames at *url*, of which no answer has more than *limit* bytes."""
        closing = aiohttp.ClientWSTimeout(ws_close=_CLOSING_SECONDS)
        opening = self._pool(private).ws_connect(url, headers=request.headers, max_msg_size=limit, timeout=closing)
        try:
            async with opening as peer:
                heard = await _hear(peer)
                for frame in request.frames:
                    if heard is None:
                        break
                    with contextlib.suppress(aiohttp.ClientConnectionResetError):  # its goodbye is heard next, then
                        await peer.send_str(frame)
                    heard = await _hear(peer)
        except _RefusedError as error:
            return Answer(error.status)
        return Answer(401) if heard is None else Answer(200, body=heard)

    def _pool(self, private: bool) -> aiohttp.ClientSession:
        """Return the session for *private* addresses, or the guarded one."""
        if private not in self._sessions:
            self._sessions[private] = self._session(private)
        return self._sessions[private]

    def _session(self, private: bool) -> aiohttp.ClientSession:
        """Make the session for *private* addresses, or the guarded one."""
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=None if private else _guarded_socket,
            limit=0,
            limit_per_host=_PER_HOST,
            force_close=True,  # a kept connection may be closed by the server just as a code is sent over it
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": f"omnibot/{__version__}"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trust_env=False,
            middlewares=(_once, _stay),
        )


def is_public(address: str) -> bool:
    """Return whether *address*, an IP address in text, is one that anybody on the internet may be."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        embedded = ip.ipv4_mapped or (IPv4Address(ip.packed[12:]) if ip in _NAT64 else None)
        if embedded is None:
            return ip in _PUBLIC_6 and not any(ip in network for network in _NOT_PUBLIC_6)
        ip = embedded
    return not any(ip in network for network in _NOT_PUBLIC_4)


class _NotPublicError(OSError):
    """The guard met an address that is not public; an OSError, as connecting may fail with."""


class _TooLargeError(Exception):
    """A body went past its limit."""


class _RefusedError(Exception):
    """A handshake was answered with a *status* other than 101, so there is no WebSocket."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _guarded_socket(info: tuple[Any, ...]) -> socket.socket:
    """Make the socket for *info* if its address, the one then connected to, is public."""
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise _NotPublicError("not a public address")
    return socket.socket(family, kind, protocol)


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Hide from aiohttp that a connection was lost, or it would send GET, PUT and DELETE a second time."""
    try:
        return await handler(request)
    except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError):
        raise  # never connected: aiohttp leaves these alone
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        lost = aiohttp.ClientError("connection lost")
    raise lost


async def _stay(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Take a handshake's redirect for an answer, as any other: aiohttp would follow this one, and talk there (A19)."""
    response = await handler(request)
    if response.status != 101 and "Upgrade" in request.headers:
        response.close()
        raise _RefusedError(response.status)
    return response


async def _hear(peer: aiohttp.ClientWebSocketResponse) -> bytes | None:
    """Return the next frame, or None where the peer says goodbye instead."""
    heard = await peer.receive()
    if heard.type is aiohttp.WSMsgType.TEXT:
        return str(heard.data).encode()
    if heard.type is aiohttp.WSMsgType.CLOSE and heard.data in _GOODBYES:
        return None
    if getattr(heard.data, "code", None) == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
        raise _TooLargeError
    raise aiohttp.ClientError("connection lost")


def _permitted(request: Request, origins: frozenset[str], private: bool) -> URL:
    """Return where *request* goes, if it may."""
    try:
        known = bool(_PLAIN.fullmatch(request.url)) and request.origin in origins
        url = URL(request.url, encoded=True)
    except ValueError:
        known, url = False, URL()
    port = url.port or 0
    web = url.scheme == "https" and (port == 443 or 3000 <= port <= 9999)
    if not known or not (private or web) or _OURS & {name.lower() for name in request.headers}:
        raise AddressRefused
    return url


def _lowered(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the headers with names in lower case, repeated ones joined."""
    joined: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        comma = "\n" if key == "set-cookie" else ", "
        joined[key] = f"{joined[key]}{comma}{value}" if key in joined else value
    return joined


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body, of *limit* bytes at most, counted as they come out of any compression."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise _TooLargeError
    return bytes(body)


def _failure(error: Exception, host: str, *, guarded: bool) -> OmnibotError:
    """Return what may be told of *error*: a sentence with *host* in it, and nothing of the request."""
    if isinstance(error, aiohttp.InvalidURL) or _is_refusal(error, guarded):
        return AddressRefused()
    if isinstance(error, TimeoutError):
        return Upstream(f"{host} did not answer in time.")
    if isinstance(error, _TooLargeError):
        return Upstream(f"{host} sent a longer answer than I take.")
    if isinstance(error, aiohttp.ClientSSLError):
        return Upstream(f"I could not make a secure connection to {host}.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Upstream(f"I could not reach {host}.")
    if isinstance(error, aiohttp.ClientError | OSError):
        return Upstream(f"{host} broke off before its answer was complete.")
    return Upstream(f"That request to {host} could not be written down.")


def _is_refusal(error: Exception, guarded: bool) -> bool:
    """Whether *error* came from the guard.

    A name that does not resolve counts, so that a prober cannot tell an internal name from none.
    """
    if not guarded or not isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, aiohttp.ClientConnectorDNSError) or isinstance(error.os_error, _NotPublicError)
