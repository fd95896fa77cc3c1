"""A TCP proxy with faults, in the test's own loop, between a client and a server on 127.0.0.1."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

import pytest

from servers.processes import fixed_ports

HOST = "127.0.0.1"
CHUNK = 65_536
NO_LINGER = struct.pack("ii", 1, 0)
"""What makes closing a socket throw away what is on its way, and send RST."""


@dataclass(eq=False)
class Way:
    """One direction, of all connections; what is on its way keeps its order."""

    latency: float = 0.0
    """Seconds that everything takes longer."""

    drop_after: int | None = None
    """Bytes after which the connection is cut with RST, once: a line ends in the middle."""

    passed: int = 0
    """How many bytes have come through."""

    _open: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self._open.set()

    def stall(self, on: bool = True) -> None:
        """Let nothing through and close nothing, or with ``False`` go on, and nothing was lost."""
        if on:
            self._open.clear()
        else:
            self._open.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Carry what *reader* gets to *writer*, its end too; return whether `drop_after` has cut it short."""
        queue = asyncio.Queue[tuple[float, bytes]]()
        taking = asyncio.create_task(self._take(reader, queue))
        try:
            return await self._give(queue, writer)
        except OSError:  # the receiver is gone
            return False
        finally:
            taking.cancel()
            await asyncio.wait([taking])

    async def _take(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"first"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:  # the sender is gone, and not gently
                data = b""
            queue.put_nowait((asyncio.get_running_loop().time() + self.latency, data))

    async def _give(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> bool:
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            await self._open.wait()
            if not data:
                writer.write_eof()
                return False
            cut_short = self.drop_after is not None and self.drop_after <= len(data)
            if self.drop_after is not None:
                data, self.drop_after = data[: self.drop_after], self.drop_after - len(data)
            writer.write(data)
            self.passed += len(data)
            if cut_short:
                self.drop_after = None
                return True
            await writer.drain()


@dataclass(eq=False)
class Pair:
    """One connection through the proxy: the client's end, the server's, and the task that carries."""

    ends: Sequence[asyncio.StreamWriter]
    task: asyncio.Task[object]

    def cut(self, *, rst: bool) -> None:
        """Close both ends, with RST or with FIN."""
        for end in self.ends:
            if rst:
                raw: socket.socket = end.get_extra_info("socket")
                if raw.fileno() >= 0:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                end.transport.abort()
            else:
                end.close()


class Proxy:
    """Stands before the port *target* of 127.0.0.1; connect to `port` instead.

    `up` is the way to the server and `down` the way to the client.  Faults are set at any time, and
    hold for connections that are open and for those to come.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = fixed_ports(1)[0]
        self.up = Way()
        self.down = Way()
        self.accepted = 0
        """How many connections there have been."""

        self._pairs = set[Pair]()
        self._tasks = set[asyncio.Task[object]]()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.refuse()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connected(self) -> int:
        """How many connections there are just now."""
        return len(self._pairs)

    @property
    def latency(self) -> float:
        """Seconds by which each way is slower, so that an answer takes twice as long."""
        return self.up.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self.up.latency = self.down.latency = seconds

    def stall(self, on: bool = True) -> None:
        """Leave the connections half-open: nothing flows either way and nothing closes; with ``False`` it goes on."""
        self.up.stall(on)
        self.down.stall(on)

    def cut(self, *, rst: bool = True) -> None:
        """Close every connection: with RST, as when a machine is gone, or with FIN, as when a program ends."""
        for pair in self._pairs:
            pair.cut(rst=rst)
            pair.task.cancel()

    async def refuse(self) -> None:
        """Refuse new connections, as when the server is down; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def accept(self) -> None:
        """Accept connections again, at the same port."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            their_reader, their_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = Pair((writer, their_writer), task)
        self._pairs.add(pair)
        ways = [
            asyncio.create_task(self.up.carry(reader, their_writer)),
            asyncio.create_task(self.down.carry(their_reader, writer)),
        ]
        try:
            for way in asyncio.as_completed(ways):
                if await way:
                    pair.cut(rst=True)
        finally:
            self._pairs.discard(pair)
            for one in ways:
                one.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in pair.ends:
                end.close()


class Faults:
    """Makes proxies, which end with *stack*."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def before(self, port: int) -> Proxy:
        """Return a new proxy before *port*."""
        return await self._stack.enter_async_context(Proxy(port))


@pytest.fixture
async def faults() -> AsyncIterator[Faults]:
    """Puts a proxy with faults in front of a port: ``proxy = await faults.before(server.port)``."""
    async with AsyncExitStack() as stack:
        yield Faults(stack)
