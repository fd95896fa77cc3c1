"""One connection to an IRC server: lines in, lines out, and nothing of what they mean.

bottom (3.0) is the transport: it connects, cuts what comes into lines, and gives each to us as bytes, in order,
instead of to its own handlers.
What bottom leaves open is done here: a time limit for connecting, no more lines taken in than are
worked off, a dead peer left without waiting for it, and a pinned certificate.
"""

import asyncio
import hashlib
import hmac
import ssl
from collections import deque
from contextlib import suppress
from typing import Any

import bottom

from adapters.irc.machine import Where
from adapters.irc.settings import Tls
from omnibot.errors import Refused

CONNECT_SECONDS = 30.0
MOST_UNREAD = 2000
"""Lines that may wait to be read; the server is kept waiting meanwhile."""

LONGEST_LINE = 65_536
"""Bytes without a line's end that are gathered: twice the longest line with all its tags."""

MOST_UNSENT = 262_144
"""Bytes that the system has not taken yet, from which on nothing more is written."""


class Lost(ConnectionError):
    """The connection is gone."""


class Link:
    """A connection; made by `open`."""

    def __init__(self, client: bottom.Client) -> None:
        """Use `open` instead."""
        self._client = client
        self._lines: deque[bytes] = deque()
        self._unsent: list[bytes] = []
        """What was written in this turn of the loop: it goes to the system in one piece."""

        self._unsent_size = 0
        self._stir = asyncio.Event()
        self._lost = False
        self._why = "the network closed the connection"
        self._paused = False

    @classmethod
    async def open(cls, where: Where, tls: Tls | None) -> "Link":
        """Connect to *where*, over TLS as *tls* says if that is to be.

        Raises:
            Refused: the server's certificate is not the pinned one.
            OSError, ValueError: there is no connection, or no file that `Tls` names any more;
                `ssl.SSLCertVerificationError` among others.
            TimeoutError: it took too long.
        """
        context: ssl.SSLContext | bool = False
        if where.tls:
            context = await asyncio.to_thread((tls or Tls()).context)  # it reads files
        client = bottom.Client(where.host, where.port, ssl=context)
        link = cls(client)
        client.message_handlers[:] = [link._take_first]
        client.on("client_disconnect", link._gone)
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect()
        try:  # it may be gone already, and bottom tells only of what it had taken for its own
            # By bottom's list of handlers each line has a task of its own.  Lines that came that way are taken before
            # those that come now: their tasks were begun, and the system is read again only when they have run.
            link._protocol.on_message = link._take
            _check_pin(link._protocol.transport, tls)
            link._bound()
        except BaseException:
            link.close()
            raise
        return link

    async def read(self, seconds: float | None) -> list[bytes]:
        """Return the lines that have come; none after so many *seconds*, or when `wake` was called.

        Raises:
            Lost: there are none, and none will come.
        """
        if not self._lines and not self._lost:
            timer = None
            if seconds is not None:
                timer = asyncio.get_running_loop().call_later(seconds, self._stir.set)
            try:
                await self._stir.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        self._stir.clear()
        lines = list(self._lines)
        self._lines.clear()
        if self._paused and not self._lost:
            self._paused = False
            self._protocol.transport.resume_reading()
        if self._lost and not lines:
            raise Lost(self._why)
        return lines

    def wake(self) -> None:
        """Let `read` return."""
        self._stir.set()

    @property
    def has_room(self) -> bool:
        """Whether the system takes what is written."""
        if self._lost or self._client.is_closing():
            return False
        unsent: int = self._protocol.transport.get_write_buffer_size()
        return self._unsent_size + unsent < MOST_UNSENT

    def write(self, line: bytes) -> None:
        r"""Send *line*, which ends with ``\r\n``.

        Raises:
            Lost: the connection is gone.
        """
        if self._lost or self._client.is_closing():
            raise Lost("the network closed the connection")
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(line)
        self._unsent_size += len(line)

    def _flush(self) -> None:
        """Give the system what was written."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_size = 0
        if data and not self._client.is_closing():
            self._protocol.transport.write(data)

    def close(self) -> None:
        """Leave at once, and wait for nobody."""
        self._flush()
        self._lost = True
        with suppress(Lost):
            self._protocol.transport.abort()  # bottom's own way waits for a dead peer

    def _take(self, line: bytes) -> None:
        self._lines.append(line)
        self._stir.set()
        if len(self._lines) >= MOST_UNREAD and not self._paused and not self._client.is_closing():
            self._paused = True
            self._protocol.transport.pause_reading()

    def _bound(self) -> None:
        """Leave a server whose line has no end: bottom would gather it for as long as it comes."""
        protocol = self._protocol
        receive = protocol.data_received

        def bounded(data: bytes) -> None:
            receive(data)
            if len(protocol.buffer) > LONGEST_LINE and protocol.transport is not None:
                self._why = "the network sent a line that has no end"
                protocol.transport.abort()

        protocol.data_received = bounded
        protocol.transport.set_protocol(protocol)  # uvloop has kept the method that was there before

    async def _take_first(self, _: Any, client: bottom.Client, line: bytes) -> None:
        """Take a line that comes before `open` has all in its hands."""
        self._take(line)

    async def _gone(self, **_: Any) -> None:
        self._lost = True
        self._stir.set()

    @property
    def _protocol(self) -> Any:
        """Whatever bottom has for this connection, with its transport."""
        protocol = self._client._protocol  # noqa: SLF001 - it has no other way to the transport
        if protocol is None or protocol.transport is None:
            raise Lost("the network closed the connection")
        return protocol


def _check_pin(transport: Any, tls: Tls | None) -> None:
    if tls is None or not tls.fingerprint:
        return
    secured = transport.get_extra_info("ssl_object")
    shown = secured.getpeercert(binary_form=True) if secured is not None else None
    digest = f"sha256:{hashlib.sha256(shown or b'').hexdigest()}"
    if secured is None or not hmac.compare_digest(digest, tls.fingerprint):
        raise Refused(
            f"the server's certificate is not the pinned one but {digest}",
            cure="If the server has a new certificate, and somebody you trust says so, correct `fingerprint`.",
        )


_NAMES_ANOTHER = (62, 64)
_TIMES = (9, 10)
"""What X509_verify_cert says of a certificate for another name or address, and of one that is not valid now."""


def unconnected(error: OSError, where: Where, tls: Tls | None, *, wants_tls: bool) -> str:
    """Return for the operator why there is no connection to *where*, by *error* of `Link.open`, and how to mend it.

    *wants_tls* tells whether it is the configuration that wants TLS, or the server's STS policy.
    """
    there = f"{where.host}:{where.port}"
    why = "" if wants_tls or not where.tls else " (the server wants TLS, whatever `tls` says: its STS policy)"
    if isinstance(error, ssl.SSLCertVerificationError):
        cure = _cure(error.verify_code, tls)
        return f"the certificate of {where.host} is not to be trusted: {error.verify_message}{why}. {cure}"
    if isinstance(error, ssl.SSLError):
        cure = "Set port to the one for TLS, mostly 6697; or tls: false if it has none."
        return f"{there} does not speak TLS, or not as it should: {error.reason or 'handshake failed'}{why}. {cure}"
    if isinstance(error, TimeoutError) and not error.strerror:
        return f"no connection to {there} within {CONNECT_SECONDS:.0f} seconds{why}"
    return f"no connection to {there}: {error.strerror or type(error).__name__}{why}"


def _cure(code: int, tls: Tls | None) -> str:
    if code in _NAMES_ANOTHER:
        return "If it is the right server, set host to a name that is in it, or pin it by tls: {fingerprint: sha256:…}."
    if code in _TIMES:
        return "If this machine's clock is right, the server's operators have to renew it."
    if tls is not None and tls.ca:
        return f"See that {tls.ca} holds that of the authority, or pin the server's by tls: {{fingerprint: sha256:…}}."
    return (
        "If it is your own server's, name its authority's file by tls: {ca: FILE}, "
        "or pin the certificate by tls: {fingerprint: sha256:…}."
    )
