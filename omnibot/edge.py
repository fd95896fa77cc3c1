"""The edge of the internet: a cautious HTTP server, before anything is asked of it.

Few connections at once and none slow; of what cannot be read, nothing is repeated, neither
to the sender nor in the log.  The log names routes by their template, never addresses:
those hold tickets and codes (A40).
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Collection
from http import HTTPMethod
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from omnibot.errors import ConfigError, Problem

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 512
"""Connections at once; further ones are closed as they come, so that files stay free for the rest."""

_IDLE = 15.0
"""Seconds a connection may take for the whole of a request's head, or be idle between requests."""

_LINGER = 2.0
"""Seconds for which what is left of a refused body is read and thrown away."""

_BODY_WITHIN = 10.0
"""Seconds a form may take to arrive."""

_STOP_WITHIN = 10.0
"""Seconds that requests under way have left when the server stops."""

_BODY_MOST = 16_384
_FIELDS_MOST = 32

ROUTE = web.RequestKey("route", str)
"""What the log calls the address of a request: its template."""

CLIENT = web.RequestKey("client", str)
"""Whom the log says a request is from."""

type Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Stopped(Exception):
    """A request ends here, with *status*; *headers* go with the answer."""

    def __init__(self, status: int, **headers: str) -> None:
        """Keep both for whoever makes a page of it."""
        super().__init__(status)
        self.status = status
        self.headers = headers


class Server:
    """Listens on one address, and hands each request that can be read to *answer*.

    *unreadable* gives, by HTTP status, the answer to what is no request; *answer* itself never
    raises, except that a lost connection may end it.  A request's `ROUTE` and `CLIENT` are what
    the log says of it.
    """

    def __init__(self, answer: Answer, unreadable: Callable[[int], web.Response]) -> None:
        """Keep what is needed; nothing listens yet."""
        self._answer = answer
        self._unreadable = unreadable
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return on which port: with port 0 the system picks one.

        Raises:
            ConfigError: host and port cannot be listened on.
        """
        factory = _Connections(self._answer, self._unreadable)
        runner = web.ServerRunner(factory, shutdown_timeout=_STOP_WITHIN)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(_cannot_listen(host, port, error)) from None
        self._runner = runner
        return site.port

    async def stop(self) -> None:
        """Take no more requests, and let those under way end; harmless when nothing listens."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()


class AccessLog(AbstractAccessLogger):
    """One line a request: the route by its template, never the address, the query or a cookie."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line; *time* is in seconds."""
        self.logger.info(
            "%s %s %s %s B %.0f ms from %s",
            request.method if request.method in HTTPMethod.__members__ else "-",
            request.get(ROUTE, "-"),
            response.status,
            response.body_length,
            time * 1000,
            request.get(CLIENT, "-"),
        )

    @property
    def enabled(self) -> bool:
        """Whether anybody reads it."""
        return self.logger.isEnabledFor(logging.INFO)


class _Connections(web.Server):
    """Makes a `_Connection` for whoever connects."""

    def __init__(self, answer: Answer, unreadable: Callable[[int], web.Response]) -> None:
        super().__init__(answer)
        self.unreadable = unreadable

    def __call__(self) -> "_Connection":
        return _Connection(self)


class _Connection(web.RequestHandler):
    """One connection."""

    def __init__(self, connections: _Connections) -> None:
        super().__init__(
            connections,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_IDLE,
            lingering_time=_LINGER,
            auto_decompress=False,
            access_log=log,
            access_log_class=AccessLog,
            logger=log,
        )
        self._others = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        if len(self._others.connections) >= MOST_CONNECTIONS:
            assert isinstance(transport, asyncio.Transport), "TCP connects by transports that write"
            transport.abort()
            return
        super().connection_made(transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with a page of ours: aiohttp's would show, and log, the line that it could not read."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        response = self._others.unreadable(status)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log that a connection broke, and by what kind of error; its text may hold anything."""
        log.error("a connection broke: %s", type(kw.get("exc_info")).__name__)


def fields(text: str) -> list[tuple[str, str]]:
    """Return the fields of a query or form, all of them and in order.

    Raises:
        ValueError: it is not ASCII, or has more fields than any of ours.
    """
    if not text.isascii():
        raise ValueError("not ASCII")
    return parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MOST)


async def body(request: web.BaseRequest) -> str:
    """Return the body of *request*.

    Raises:
        Stopped: it is too long, does not come in time, or is broken off.
    """
    received = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN):
            async for chunk in request.content.iter_any():
                received += chunk
                if len(received) > _BODY_MOST:
                    raise Stopped(413, Connection="close")
    except TimeoutError:
        raise Stopped(408, Connection="close") from None
    except (web.RequestPayloadError, ConnectionError):
        raise Stopped(400, Connection="close") from None
    return received.decode("latin-1")


def client(request: web.BaseRequest, trusted: Collection[IPv4Network | IPv6Network]) -> str:
    """Return who asks, for the log: the peer, or whom a *trusted* proxy says it speaks for."""
    address = request.remote or "-"
    named = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while named and _is_in(address, trusted):
        try:
            address = str(ip_address(named.pop().strip()))
        except ValueError:
            break
    return address


def _is_in(address: str, networks: Collection[IPv4Network | IPv6Network]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in networks)


def _cannot_listen(host: str, port: int, error: OSError) -> Problem:
    """Return what is wrong with listening there."""
    where = f'"{f"[{host}]" if ":" in host else host}:{port}"'
    what, cure = {
        errno.EADDRINUSE: ("is in use by another program", "Stop that program, or choose another port"),
        errno.EACCES: ("is not permitted", "Choose a port above 1023"),
    }.get(error.errno or 0, ("cannot be listened on", "Name an address of this machine, such as 127.0.0.1"))
    return Problem("", "listen", f"{where} {what}", cure)
