"""People who say commands on each network and take the time until the answer, and what cuts a network off."""

import asyncio
import json
import os
import re
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from bench.matrix import Person
from bench.processes import ROOT
from omnibot.ports import free_port

CHANNEL = "#bench"
_NONCE = re.compile(r"z[0-9a-f]{12}z")
_CHUNK = 65_536


class Voice(ABC):
    """Somebody on one network."""

    @abstractmethod
    async def ask(self) -> "asyncio.Future[float]":
        """Say a command; what is returned gives the moment of its answer."""


class _Typed(Voice):
    """Whose commands are lines of text, and so are the answers."""

    def __init__(self) -> None:
        """Have said nothing."""
        self._answers: dict[str, asyncio.Future[float]] = {}

    async def ask(self) -> "asyncio.Future[float]":
        """Say a command; what is returned gives the moment of its answer."""
        nonce = f"z{secrets.token_hex(6)}z"
        answer = self._answers[nonce] = asyncio.get_running_loop().create_future()
        self._say(f"!echo {nonce}")
        return answer

    @abstractmethod
    def _say(self, text: str) -> None:
        """Say *text* to the bot."""

    def _heard(self, text: str) -> None:
        now = time.perf_counter()
        for nonce in _NONCE.findall(text):
            answer = self._answers.pop(nonce, None)
            if answer is not None and not answer.done():
                answer.set_result(now)


class OnDiscord(_Typed):
    """Somebody in a channel of the stand-in for Discord (tests/servers/discord), which is a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Speak by *process*."""
        super().__init__()
        self._process = process

    @classmethod
    @asynccontextmanager
    async def enter(cls, gateway: str) -> AsyncIterator[tuple["OnDiscord", dict[str, Any]]]:
        """Start the stand-in, whose gateway is said to be at *gateway*; also return its port and the bot's token."""
        pipe = asyncio.subprocess.PIPE
        env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
        command = [sys.executable, "-m", "servers.discord", gateway]
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe, env=env)
        assert process.stdin is not None
        assert process.stdout is not None
        there = json.loads(await process.stdout.readline())
        voice = cls(process)
        hearing = asyncio.create_task(voice._hear(process.stdout))
        try:
            yield voice, there
        finally:
            process.stdin.close()
            hearing.cancel()
            await process.wait()

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())

    async def _hear(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            self._heard(json.loads(line))


class OnIrc(_Typed, asyncio.Protocol):
    """Somebody in a channel on IRC."""

    def __init__(self) -> None:
        """Be nowhere yet."""
        super().__init__()
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tail = b""
        self.transport: asyncio.Transport

    @classmethod
    @asynccontextmanager
    async def enter(cls, port: int) -> AsyncIterator["OnIrc"]:
        """Join the channel of the server on *port*."""
        _, voice = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        await asyncio.wait_for(voice.joined, 30)
        try:
            yield voice
        finally:
            voice.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"NICK ada\r\nUSER ada 0 * :bench\r\n")

    def data_received(self, data: bytes) -> None:
        """Take lines."""
        *lines, self._tail = (self._tail + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"PING"):
                self.transport.write(b"PONG" + line[4:] + b"\r\n")
            elif line.startswith(b":omnibot!"):
                self._heard(line.decode())
            elif line.split(b" ", 2)[1:2] in ([b"376"], [b"422"]):
                self.transport.write(f"JOIN {CHANNEL}\r\n".encode())
            elif line.split(b" ", 2)[1:2] == [b"366"] and not self.joined.done():
                self.joined.set_result(None)

    def _say(self, text: str) -> None:
        self.transport.write(f"PRIVMSG {CHANNEL} :{text}\r\n".encode())


class OnMatrix(Voice):
    """Somebody in an encrypted room."""

    def __init__(self, person: Person, room: str) -> None:
        """Speak in *room*."""
        self._person = person
        self._room = room

    async def ask(self) -> "asyncio.Future[float]":
        """Say a command, which here takes a while itself."""
        return await self._person.say(self._room)


class OnConsole(_Typed):
    """Somebody at the bot's standard input, as long as there is a bot."""

    def __init__(self) -> None:
        """Speak to nobody yet."""
        super().__init__()
        self._pipe: asyncio.StreamWriter | None = None

    async def sit(self, process: asyncio.subprocess.Process) -> None:
        """Speak to *process* until it ends."""
        self._pipe = process.stdin
        assert process.stdout is not None
        async for line in process.stdout:
            self._heard(line.decode())
        self._pipe = None

    def _say(self, text: str) -> None:
        assert self._pipe is not None
        self._pipe.write(f"{text}\n".encode())


class Relay:
    """Stands before a server, and can be cut: what goes through is lost, and nobody is let in."""

    def __init__(self, target: int = 0) -> None:
        """Stand before the port *target* of 127.0.0.1."""
        self.port = free_port()
        self.target = target
        self._server: asyncio.Server | None = None
        self._open = set[asyncio.StreamWriter]()

    async def __aenter__(self) -> Self:
        """Let people in."""
        await self.mend()
        return self

    async def __aexit__(self, *raised: object) -> None:
        """Let nobody in any more."""
        self.cut()

    async def mend(self) -> None:
        """Let people in again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def cut(self) -> None:
        """Close every connection, and take no other."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for one in self._open:
            one.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            ends = {writer, back}
            self._open |= ends
            try:
                await asyncio.gather(_carry(reader, back), _carry(there, writer))
            finally:
                self._open -= ends
                for one in ends:
                    one.transport.abort()
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if not writer.is_closing():
        writer.write_eof()


def compiled(scratch: Path) -> Mapping[str, str]:
    """Return the environment of a bot whose modules are compiled, as ``pip install`` leaves them."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "PYTHONPYCACHEPREFIX": str(scratch / "compiled")}
