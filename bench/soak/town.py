"""A network of people who each have a private place with the bot: it forgets nothing and says nothing twice."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from bench.soak.adapter import LONGEST


@dataclass(frozen=True, slots=True)
class Said:
    """What the bot said to somebody."""

    text: str
    link: str
    answers: str
    """Id of the message that it answers; empty: of none."""

    at: float
    """When, on the monotonic clock."""


class Town:
    """The network's server; it can be cut off from the bot."""

    def __init__(self) -> None:
        """Have no people."""
        self.repeated = 0
        """How often the bot said something again that it had said: taken once."""

        self.port = 0
        self._ears: dict[str, Callable[[Said], None]] = {}
        self._log: list[dict[str, Any]] = []
        self._more = asyncio.Condition()
        self._keys: set[tuple[str, str]] = set()
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.StreamWriter] = set()
        self._connected = asyncio.Event()

    async def open(self) -> None:
        """Take connections; after `cut` on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=LONGEST)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break every line, and take no connection until `open`."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._lines):
            writer.transport.abort()

    async def connected(self) -> None:
        """Return when the bot is there."""
        await self._connected.wait()

    @property
    def is_connected(self) -> bool:
        """Whether the bot is there just now."""
        return self._connected.is_set()

    def move_in(self, who: str, ear: Callable[[Said], None]) -> None:
        """Let *ear* have what the bot says to *who*."""
        self._ears[who] = ear

    async def say(self, who: str, text: str) -> str:
        """Let *who* say *text* to the bot, now or when it is there again; return the message's id."""
        number = str(next(self._numbers))
        async with self._more:
            self._log.append({"id": number, "who": who, "text": text, "at": time.time()})
            self._more.notify_all()
        return number

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        telling: asyncio.Task[None] | None = None
        try:
            start = json.loads(await reader.readline() or b"{}")
            if "from" not in start:
                return
            telling = asyncio.create_task(self._tell(int(start["from"]), writer))
            self._connected.set()
            async for line in reader:
                said = json.loads(line)
                self._take(said)
                writer.write(json.dumps({"taken": said["number"]}).encode() + b"\n")
        except (OSError, ValueError):
            pass  # a line that was cut in its middle
        finally:
            if telling is not None:
                telling.cancel()
                self._connected.clear()
            self._lines.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _tell(self, position: int, writer: asyncio.StreamWriter) -> None:
        """Hand over everything from after *position* on."""
        while True:
            while len(self._log) <= position:
                async with self._more:
                    await self._more.wait()
            for one in self._log[position:]:
                writer.write(json.dumps(one).encode() + b"\n")
                position += 1
            with suppress(OSError):
                await writer.drain()

    def _take(self, said: dict[str, Any]) -> None:
        key = (said["to"], said["key"])
        if key in self._keys:
            self.repeated += 1
            return
        self._keys.add(key)
        ear = self._ears.get(said["to"])
        if ear is not None:
            ear(Said(said["text"], said["link"], said["answers"], time.monotonic()))
