"""All networks at once: one bot as a process of its own, on Discord, two IRC networks, Matrix and a console.

Linux only, for it reads other processes' clocks.  IRC and Matrix are real servers, which ``make servers`` puts
there; Discord is the stand-in of the tests, for there is no other to be had.  Each stands behind a relay, by which
it is cut off.
"""

import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from bench.figures import Figure
from bench.irc import IRCD, SKILL
from bench.matrix import Person, configured, registered, synapse
from bench.processes import ROOT, cache, cpu_of, listening, process, resident
from bench.voices import CHANNEL, OnConsole, OnDiscord, OnIrc, OnMatrix, Relay, Voice, compiled
from omnibot.ports import free_port
from omnibot.vault import new_key_file

_NETWORKS = ("discord", "irc", "irc-2", "matrix", "console")
_SERVERS = _NETWORKS[:-1]
_REPETITIONS = 3
_COMMANDS = {"matrix": 40}
"""How many commands CPU is measured with."""

_MOST_COMMANDS = 200
_WARM = 10
_SECONDS = 8.0
"""How long people speak while all is well, and as long while one network is cut off."""

_PAUSE = 0.02
"""Seconds between an answer and the next command: the machine has to have some rest, or who is cut off is missed."""

_LOST = 20.0
"""Seconds after which a command counts as lost."""

_AGAIN = 0.1
"""Seconds between two commands to a bot that may not be there yet."""

_FLOOR = (
    "import asyncio, aiohttp, discord, nio, nio.crypto, nio.client.async_client, sys; "
    "input(); print('pong', flush=True); sys.stdin.read()"
)


@dataclass(slots=True)
class Run:
    """One bot on all networks, from its start to its end."""

    ready: float
    """Seconds from exec until it has answered on each."""

    cost: dict[str, float]
    """CPU-milliseconds a command, by network."""

    resident: float = 0.0
    """Megabytes after that load."""

    well: dict[tuple[str, str], float] = field(default_factory=dict)
    """Milliseconds in which 99 % on a network were answered, before another was cut off: the other comes first."""

    cut: dict[tuple[str, str], float] = field(default_factory=dict)
    """The same while it was."""

    lost: int = 0


class Town:
    """The servers, and who is there."""

    def __init__(self, scratch: Path, stack: AsyncExitStack) -> None:
        """Be empty."""
        self.scratch = scratch
        self.console = OnConsole()
        self.voices: dict[str, Voice] = {"console": self.console}
        self.relays: dict[str, Relay] = {}
        self.options: dict[str, dict[str, Any]] = {"console": {"adapter": "console", "history": False}}
        self._stack = stack

    async def build(self, ircd: str, python: Path) -> None:
        """Start the servers, and bring somebody to each."""
        await self._discord()
        for name in ("irc", "irc-2"):
            await self._irc(name, ircd)
        await self._matrix(python)

    def config(self, *networks: str) -> Path:
        """Write the configuration of a bot on *networks*; return it."""
        path = self.scratch / f"{'-'.join(networks)}.json"
        settings = {
            "networks": {name: self.options[name] for name in networks},
            "skills": ["accounts", "following", "help", "ping", "api"],
            "skills_dir": "skills",
            "limits": dict.fromkeys(("person", "guest", "channel", "command", "linking"), "off"),
            "log": {"level": "error"},
            "key_file": "omnibot.key",
        }
        path.write_text(json.dumps(settings))  # which is YAML
        return path

    @asynccontextmanager
    async def bot(self, *networks: str) -> AsyncIterator[int]:
        """Run a bot on *networks*; give its process id."""
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, "-m", "omnibot", "run", "--config", str(self.config(*networks))]
        bot = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdin=pipe, stdout=pipe, env=compiled(self.scratch)
        )
        sitting = asyncio.create_task(self.console.sit(bot))
        try:
            yield bot.pid
        finally:
            with suppress(ProcessLookupError):
                bot.terminate()
            await bot.wait()
            await sitting
            await asyncio.sleep(0.3)  # an ircd has to notice, or the nick is still taken

    async def _relay(self, name: str, target: int = 0) -> Relay:
        self.relays[name] = await self._stack.enter_async_context(Relay(target))
        return self.relays[name]

    async def _discord(self) -> None:
        relay = await self._relay("discord")
        gateway = f"ws://127.0.0.1:{relay.port}/gateway"
        self.voices["discord"], there = await self._stack.enter_async_context(OnDiscord.enter(gateway))
        relay.target = there["port"]
        api = f"http://127.0.0.1:{relay.port}/api/v10"
        self.options["discord"] = {"adapter": "discord", "token": there["token"], "api": api, "gateway": gateway}

    async def _irc(self, name: str, ircd: str) -> None:
        port, config = free_port(), self.scratch / f"{name}.conf"
        await asyncio.to_thread(config.write_text, IRCD.format(port=port, uid=os.getuid(), gid=os.getgid()))
        await self._stack.enter_async_context(process([ircd, "--nodaemon", "--config", str(config)]))
        await listening(port, 10)
        self.voices[name] = await self._stack.enter_async_context(OnIrc.enter(port))
        self.options[name] = {
            "adapter": "irc",
            "host": "127.0.0.1",
            "port": (await self._relay(name, port)).port,
            "tls": False,
            "channels": [CHANNEL],
            "pace": {"seconds": 0},
        }

    async def _matrix(self, python: Path) -> None:
        port = free_port()
        command = [str(python), "-m", "synapse.app.homeserver", "--config-path"]
        await self._stack.enter_async_context(process([*command, str(configured(self.scratch / "synapse", port))]))
        await listening(port, 60)
        url = f"http://127.0.0.1:{port}"
        ada = await self._stack.enter_async_context(Person.enter(url, "ada"))
        bob = await self._stack.enter_async_context(Person.enter(url, "bob"))
        (self.scratch / "password").write_text(await registered(url, "omnibot"))
        room = await ada.room(bob.mxid, "@omnibot:bench", encrypted=True)
        await bob.join(room)  # with three in it, it is nobody's private room
        await ada.until_in(room, bob.mxid)
        self.voices["matrix"] = OnMatrix(ada, room)
        self.options["matrix"] = {
            "adapter": "matrix",
            "homeserver": f"http://127.0.0.1:{(await self._relay('matrix', port)).port}",
            "user": "@omnibot:bench",
            "password": "file:password",
        }
        async with self.bot("matrix"):  # it joins the room, and makes itself known
            await ada.until_in(room, "@omnibot:bench")


def everything(scratch: Path) -> list[Figure]:
    """The whole bot on all networks; nothing where a server is missing."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", str(cache() / "irc" / "usr" / "sbin")))
    ircd, python = shutil.which("ngircd", path=path), synapse()
    if ircd is None or not python.exists():
        print(f"There is no ngIRCd, or no {python}: `make servers` puts them there.", file=sys.stderr)
        return []
    return asyncio.run(_everything(scratch, ircd, python))


async def _everything(scratch: Path, ircd: str, python: Path) -> list[Figure]:
    new_key_file(scratch / "omnibot.key")
    (scratch / "skills").mkdir()
    (scratch / "skills" / "echo.py").write_text(SKILL)
    runs, alone, floors = list[Run](), list[dict[str, float]](), list[tuple[float, float]]()
    async with AsyncExitStack() as stack:
        town = Town(scratch, stack)
        await town.build(ircd, python)
        async with town.bot(*_NETWORKS):  # compiles, and makes the database
            await _answers(town.voices, time.perf_counter())
        _floor(scratch)
        for _ in range(_REPETITIONS):
            runs.append(await _run(town))
            alone.append({name: await _alone(town, name) for name in _NETWORKS})
            floors.append(_floor(scratch))
    return list(_figures(runs, alone, floors))


async def _run(town: Town) -> Run:
    start = time.perf_counter()
    async with town.bot(*_NETWORKS) as pid:
        run = Run(await _answers(town.voices, start), {})
        for name, voice in town.voices.items():
            run.cost[name] = await _cost(voice, name, pid)
        run.resident = resident(pid)
        for name in _SERVERS:
            others = {other: voice for other, voice in town.voices.items() if other != name}
            well = await _together(others)
            town.relays[name].cut()
            cut = await _together(others)
            await town.relays[name].mend()
            await _answers({name: town.voices[name]}, start)
            for other in others:
                run.well[name, other], run.cut[name, other] = _slowest(well[other]), _slowest(cut[other])
                run.lost += cut[other].count(_LOST)
    return run


async def _alone(town: Town, name: str) -> float:
    """Return what a command costs a bot that is on that network alone."""
    start = time.perf_counter()
    async with town.bot(name) as pid:
        await _answers({name: town.voices[name]}, start)
        return await _cost(town.voices[name], name, pid)


async def _answers(voices: Mapping[str, Voice], start: float) -> float:
    """Return the seconds from *start* until the bot has answered everybody; then nothing is under way."""
    first = await asyncio.gather(*(_first(voice) for voice in voices.values()))
    await asyncio.sleep(0.5)  # what it may have heard as well
    return max(first) - start


async def _first(voice: Voice) -> float:
    """Return when the bot answers; it is asked again and again, but on Matrix, where nothing is lost."""
    asked = [await voice.ask()]
    async with asyncio.timeout(60):
        while not (answered := [one for one in asked if one.done()]):
            await asyncio.wait(asked, timeout=_AGAIN, return_when=asyncio.FIRST_COMPLETED)
            if not isinstance(voice, OnMatrix):
                asked.append(await voice.ask())
    return min(one.result() for one in answered)


async def _cost(voice: Voice, name: str, pid: int) -> float:
    """Return the CPU-milliseconds of a command, one after the other."""
    for _ in range(_WARM):
        await _wait(voice)
    gc.collect()
    commands, cpu = _COMMANDS.get(name, _MOST_COMMANDS), cpu_of(pid)
    for _ in range(commands):
        await _wait(voice)
    return (cpu_of(pid) - cpu) / commands * 1000


async def _together(voices: Mapping[str, Voice]) -> dict[str, list[float]]:
    """Let everybody speak for a while; return the seconds of each command."""
    gc.collect()
    until = time.perf_counter() + _SECONDS

    async def speak(voice: Voice) -> list[float]:
        waits = []
        while time.perf_counter() < until:
            waits.append(await _wait(voice))
            await asyncio.sleep(_PAUSE)
        return waits

    return dict(zip(voices, await asyncio.gather(*map(speak, voices.values())), strict=True))


async def _wait(voice: Voice) -> float:
    start = time.perf_counter()
    try:
        async with asyncio.timeout(_LOST):
            return await (await voice.ask()) - start
    except TimeoutError:
        return _LOST


def _slowest(waits: Sequence[float]) -> float:
    return quantiles(waits, n=100, method="inclusive")[98] * 1000


def _floor(scratch: Path) -> tuple[float, float]:
    """Return the seconds and megabytes that it takes to import what the adapters stand on."""
    pipe, start = subprocess.PIPE, time.perf_counter()
    command = [sys.executable, "-c", _FLOOR]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, env=compiled(scratch)) as made:  # noqa: S603 - ours
        assert made.stdin is not None
        assert made.stdout is not None
        made.stdin.write(b"!ping\n")
        made.stdin.flush()
        made.stdout.readline()
        return time.perf_counter() - start, resident(made.pid)


def _figures(
    runs: Sequence[Run], alone: Sequence[Mapping[str, float]], floors: Sequence[tuple[float, float]]
) -> Iterable[Figure]:
    floor = "importing the libraries"
    seconds, megabytes = zip(*floors, strict=True)
    yield Figure("until it answers on all", "s", tuple(one.ready for one in runs), seconds, floor, 3)
    yield Figure("resident memory after a load", "MB", tuple(one.resident for one in runs), megabytes, floor, 125)
    for name in _NETWORKS:
        costs = tuple(one.cost[name] for one in runs)
        yield Figure(f"CPU a command, {name}", "ms", costs, tuple(one[name] for one in alone), "alone")
    yield from _cuts(runs)
    yield Figure("lost on the others meanwhile", "", tuple(float(one.lost) for one in runs), aim=0)


def _cuts(runs: Sequence[Run]) -> Iterator[Figure]:
    for gone in _SERVERS:
        for name in _NETWORKS:
            if name != gone:
                cut, well = (tuple(getattr(one, what)[gone, name] for one in runs) for what in ("cut", "well"))
                yield Figure(f"{name}, 99 %, {gone} cut off", "ms", cut, well, "before")
