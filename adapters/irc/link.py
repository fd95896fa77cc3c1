"""One connection to an IRC server: lines in, lines out, and nothing of what they mean.

bottom (3.0) is the transport, by its one seam: a message handler of ours takes the place of all of
its own, and gets each line as bytes, in order, since it does its work before it awaits anything.
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
        self._stir = asyncio.Event()
        self._lost = False
        self._paused = False

    @classmethod
    async def open(cls, where: Where, tls: Tls | None) -> "Link":
        """Connect to *where*, over TLS as *tls* says if that is to be.

        Raises:
            Refused: the server's certificate is not the pinned one.
            OSError: there is no connection; `ssl.SSLCertVerificationError` among others.
            TimeoutError: it took too long.
        """
        context: ssl.SSLContext | bool = False
        if where.tls:
            context = await asyncio.to_thread(_context, tls or Tls())  # it reads files
        client = bottom.Client(where.host, where.port, ssl=context)
        link = cls(client)
        client.message_handlers[:] = [link._take]
        client.on("client_disconnect", link._gone)
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect()
        try:  # it may be gone already, and bottom tells only of what it had taken for its own
            _check_pin(link._transport, tls)
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
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stir.wait()
        self._stir.clear()
        lines = list(self._lines)
        self._lines.clear()
        if self._paused and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        if self._lost and not lines:
            raise Lost("the network closed the connection")
        return lines

    def wake(self) -> None:
        """Let `read` return."""
        self._stir.set()

    @property
    def has_room(self) -> bool:
        """Whether the system takes what is written."""
        return not self._lost and self._transport.get_write_buffer_size() < MOST_UNSENT

    def write(self, line: bytes) -> None:
        r"""Send *line*, which ends with ``\r\n``.

        Raises:
            Lost: the connection is gone.
        """
        if self._lost or self._client.is_closing():
            raise Lost("the network closed the connection")
        self._transport.write(line)

    def close(self) -> None:
        """Leave at once, and wait for nobody."""
        self._lost = True
        with suppress(Lost):
            self._transport.abort()  # bottom's own way waits for a dead peer

    async def _take(self, _: Any, client: bottom.Client, line: bytes) -> None:
        self._lines.append(line)
        self._stir.set()
        if len(self._lines) >= MOST_UNREAD and not self._paused and not self._lost:
            self._paused = True
            self._transport.pause_reading()

    async def _gone(self, **_: Any) -> None:
        self._lost = True
        self._stir.set()

    @property
    def _transport(self) -> Any:
        protocol = self._client._protocol  # noqa: SLF001 - it has no other way to the transport
        if protocol is None or protocol.transport is None:
            raise Lost("the network closed the connection")
        return protocol.transport


def _context(tls: Tls) -> ssl.SSLContext:
    """Return how TLS is spoken: verified by authorities, or, with a pin, by that alone."""
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    if tls.fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


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
