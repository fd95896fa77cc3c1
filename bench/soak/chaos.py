"""What goes wrong around the bot, and with it: all of it drawn from one seed."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.processes import ROOT
from bench.soak.town import Town
from omnibot.demo.provider import DemoProvider


@dataclass(slots=True)
class Trouble:
    """What was done, and from when to when the bot could not be expected to answer at its usual pace."""

    kills: list[float] = field(default_factory=list)
    """When the bot was killed, on the monotonic clock."""

    stops: int = 0
    outages: int = 0
    cuts: int = 0
    faults: int = 0
    dark: list[tuple[float, float]] = field(default_factory=list)
    """From when to when the bot was away from the network."""

    def lit(self, start: float, seconds: float, back: float = 0.0) -> bool:
        """Whether the bot was there from *start* on for so many *seconds*, and had been for *back* before that."""
        return not any(begin < start + seconds and start - back < end for begin, end in self.dark)


class Bot:
    """The bot as a process, that can be killed and comes back."""

    def __init__(self, command: list[str], log: Path, town: Town) -> None:
        """Run *command*, its errors going to *log*."""
        self._command = command
        self._log = log
        self._town = town
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None, "it runs"
        return self._process.pid

    async def start(self) -> None:
        """Run it; return when it is on the network."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(60):
            await self._town.connected()

    async def end(self, how: signal.Signals) -> int:
        """Send it the signal *how*, wait, and return its status."""
        assert self._process is not None, "it runs"
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, how)
        return await self._process.wait()


class Chaos:
    """Kills, stops and cuts, until it is ended."""

    def __init__(self, seed: int, bot: Bot, town: Town, service: DemoProvider) -> None:
        """Draw everything from *seed*."""
        self.trouble = Trouble()
        self._random = Random(seed)  # noqa: S311 - it is to be the same again
        self._bot, self._town, self._service = bot, town, service
        self._one_by_one = asyncio.Lock()
        self._over = asyncio.Event()

    async def run(self, kill_every: float, cut_every: float) -> None:
        """Kill the bot every so many seconds, and cut and stop the rest, on the average; 0: never."""
        ways: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (kill_every, self._kill),
            (cut_every, self._cut),
            (cut_every * 1.5, self._outage),
            (cut_every / 4, self._fault),
        ]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._over.wait())
            for every, way in ways:
                if every:
                    group.create_task(self._again(every, way))

    def end(self) -> None:
        """Begin nothing more; `run` returns when all is up again."""
        self._over.set()

    async def _again(self, every: float, way: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(0.3, 1.7) * every):
                    await self._over.wait()
                    return
            await way()

    @asynccontextmanager
    async def _dark(self) -> AsyncIterator[None]:
        """Note that the bot is away for the length of a block, and until it is back."""
        async with self._one_by_one:
            start = time.monotonic()
            self.trouble.dark.append((start, float("inf")))
            yield
            async with asyncio.timeout(90):
                await self._town.connected()
            self.trouble.dark[-1] = (start, time.monotonic())

    async def _kill(self) -> None:
        """Kill the bot, or one time in five ask it to stop, and start it again."""
        async with self._dark():
            if self._random.random() < 0.2:
                self.trouble.stops += 1
                await self._bot.end(signal.SIGTERM)
            else:
                await self._bot.end(signal.SIGKILL)
            self.trouble.kills.append(time.monotonic())
            await self._bot.start()

    async def _cut(self) -> None:
        async with self._dark():
            self.trouble.cuts += 1
            await self._town.cut()
            await asyncio.sleep(self._random.uniform(0.1, 2.0))
            await _again_at_its_port(self._town.open)

    async def _outage(self) -> None:
        """Let the service be away for a while, with whatever it was doing."""
        self.trouble.outages += 1
        await self._service.stop()
        await asyncio.sleep(self._random.uniform(0.2, 3.0))
        await _again_at_its_port(self._service.start)

    async def _fault(self) -> None:
        """Let one of the service's next requests be answered late, wrongly or not at all."""
        self.trouble.faults += 1
        self._service.clear_faults()  # what nobody has met yet: else they pile up where few people are
        path = self._random.choice(["/token", "/api/notes", "/api/me", "/authorize"])
        how = self._random.random()
        if how < 0.4:
            self._service.fail(path, drop=True)
        elif how < 0.7:
            self._service.fail(path, status=self._random.choice([500, 502, 503]))
        else:
            self._service.fail(path, status=None, delay=self._random.uniform(0.5, 3.0))


async def _again_at_its_port(start: Callable[[], Awaitable[None]]) -> None:
    """Let something listen where it did; somebody's own end of a connection may have the port for a moment."""
    for _ in range(600):
        try:
            return await start()
        except OSError:
            await asyncio.sleep(0.1)
    raise TimeoutError("the port does not become free")
