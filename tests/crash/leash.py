"""Holding a bot that is to be killed: its process, what it said, and how it died."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

type Point = tuple[str, int]
"""The name of a point, and the how-manieth time it is come to."""

ROOT = Path(__file__).parents[2]
_SECONDS = 20.0
"""Within which a process answers, or a test has found that it hangs."""


class Died(Exception):
    """The bot was killed at its point."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that the bot said."""

    text: str
    link: str
    public: bool


class Keeper:
    """A process that forks bots, one at a time: see `crash.child`."""

    def __init__(self, log: Path) -> None:
        """Start it; what it writes to its standard error goes to *log*."""
        self.log = log
        self._heard: list[Heard] = []
        self._points: list[Point] = []
        self._bot: int | None = None
        """The process that runs the bot."""

        self._waiting = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "crash.child"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def end(self) -> None:
        """End it, and a bot that may still run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    async def start(self, order: dict[str, Any], heard: list[Heard], points: list[Point]) -> object:
        """Start a program as *order* says, and return what it tells when it is ready.

        From here on what it says is added to *heard*, and what it comes to to *points*.

        Raises:
            Died: it was killed before.
        """
        self._heard, self._points = heard, points
        return await self.do(order)

    async def do(self, order: dict[str, Any]) -> object:
        """Let it do what *order* says, and return what it tells of it.

        Raises:
            Died: it was killed before it was done.
        """
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), json.dumps(order).encode() + b"\n")
        return await self._done()

    async def stop(self) -> None:
        """Let the bot end in order.

        Raises:
            Died: it was killed on the way.
        """
        await self.do({"stop": True})
        line = await self._line()

        assert {"ended": 0} == line

    async def clear(self) -> None:
        """Kill the bot, if one still runs: after this another can be started."""
        if self._bot is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(self._bot, signal.SIGKILL)
            while self._bot is not None:
                await self._line()

    async def _done(self) -> object:
        while True:
            match await self._line():
                case {"forked": _}:
                    pass
                case {"done": result}:
                    return result
                case {"said": said}:
                    self._heard.append(Heard(**said))
                case {"point": (name, nth)}:
                    self._points.append((name, nth))
                case {"ended": status}:
                    assert -signal.SIGKILL == status, f"the bot ended by itself with {status}; see {self.log}"
                    raise Died
                case other:
                    raise RuntimeError(other.get("failed", str(other)))

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        loop, source = asyncio.get_running_loop(), self._process.stdout.fileno()
        async with asyncio.timeout(_SECONDS):
            while b"\n" not in self._waiting:
                ready = asyncio.Event()
                loop.add_reader(source, ready.set)
                try:
                    await ready.wait()
                finally:
                    loop.remove_reader(source)
                more = os.read(source, 65_536)
                assert more, f"the process that forks bots has ended; see {self.log}"
                self._waiting += more
        line, _, self._waiting = self._waiting.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        if "forked" in found:
            self._bot = found["forked"]
        elif "ended" in found:
            self._bot = None
        return found


@contextmanager
def keepers(folder: Path, count: int) -> Iterator[list[Keeper]]:
    """Lend *count* keepers, whose logs are in *folder*."""
    lent = [Keeper(folder / f"keeper-{number}.log") for number in range(count)]
    try:
        yield lent
    finally:
        for one in lent:
            one.end()
