"""What people on IRC wait for and what it costs: a real ircd, the whole bot as a process of its own, and a crowd.

Linux only, for it reads other processes' clocks.  ngIRCd has to be installed, or unpacked by ``make servers``.
"""

import asyncio
import gc
import os
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

from bench.figures import Figure
from bench.processes import cache, cpu_of, listening, process, resident
from omnibot.ports import free_port
from omnibot.vault import new_key_file

_CHANNEL = "#bench"
_PEOPLE = 32
_LEVELS = (1, 4, 16, 64, 256)
"""How many commands are under way at once; never more than the twenty of one speaker that the bot lets wait."""

_SECONDS = 2.5
"""How long commands are said at each level; then what is under way is waited for."""

_REPETITIONS = 3
_WARM = 500
_LOST = 5.0
"""Seconds without an answer after which what is under way counts as lost."""

_CONFIG = """
networks:
  net:
    adapter: irc
    host: 127.0.0.1
    port: {port}
    tls: false
    channels: ["{channel}"]
    pace: {{seconds: 0}}
skills: [accounts, following, help, ping, api]
skills_dir: skills
limits: {{person: off, command: off, channel: off, guest: off, linking: off}}
log: {{level: error}}
key_file: omnibot.key
"""
SKILL = '''\
"""Answer what was said."""

from omnibot import Context, Skill

skill = Skill("echo")


@skill.command
async def echo(ctx: Context, word: str) -> str:
    """Say it back."""
    return word
'''
IRCD = """\
[Global]
Name = irc.bench
Info = For the bench
AdminInfo1 = Bench
AdminEMail = bench@irc.bench
Listen = 127.0.0.1
Ports = {port}
MotdPhrase = "hello"
ServerUID = {uid}
ServerGID = {gid}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxPenaltyTime = 0
PingTimeout = 600
[Options]
DNS = no
Ident = no
PAM = no
"""
_NONCE = re.compile(rb"z(\d+)z(\d+)z(\d+)z")
"""Level, speaker, number."""


@dataclass(slots=True)
class Level:
    """So many commands in flight, for a while."""

    waits: list[float] = field(default_factory=list)
    """Seconds that each answered command took."""

    lost: int = 0
    disordered: int = 0
    """Answers that came after a later command's of the same person."""

    seconds: float = 0.0
    cpu: float = 0.0
    """Of the bot, in seconds."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds

    @property
    def cost(self) -> float:
        """CPU-microseconds a command."""
        return self.cpu / len(self.waits) * 1e6

    def wait(self, percent: int) -> float:
        """Return the milliseconds in which so many of a hundred commands were answered."""
        return quantiles(self.waits, n=100, method="inclusive")[percent - 1] * 1000


@dataclass(slots=True)
class Run:
    """One bot, from its start to its end."""

    ready: float
    """Seconds from exec to the first answer."""

    levels: dict[int, Level]
    resident: float = 0.0
    """Megabytes after all of it."""

    @property
    def best(self) -> float:
        """The most answers a second at any level."""
        return max(level.rate for level in self.levels.values())


class Connection(asyncio.Protocol):
    """Somebody in the channel; what they hear goes to the crowd, if they are the one who listens."""

    def __init__(self, nick: str, crowd: "Crowd | None" = None) -> None:
        """Be called *nick*."""
        self.joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._nick = nick
        self._crowd = crowd
        self._tail = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"NICK {self._nick}\r\nUSER {self._nick} 0 * :bench\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Take lines; those who only speak look at none of them but PING."""
        if self._crowd is None and self.joined.done() and b"PING" not in data:
            return
        *lines, self._tail = (self._tail + data).split(b"\r\n")
        for line in lines:
            self._take(line)
        if self._crowd is not None:
            self._crowd.flush()

    def _take(self, line: bytes) -> None:
        if line.startswith(b"PING"):
            self.transport.write(b"PONG" + line[4:] + b"\r\n")
        elif self._crowd is not None and line.startswith(b":omnibot!"):
            self._crowd.heard(line)
        elif line.split(b" ", 2)[1:2] in ([b"376"], [b"422"]):
            self.transport.write(f"JOIN {_CHANNEL}\r\n".encode())
        elif line.split(b" ", 2)[1:2] == [b"366"] and not self.joined.done():
            self.joined.set_result(None)


class Crowd:
    """People who each say the next command as soon as one is answered."""

    def __init__(self) -> None:
        """Be nobody yet."""
        self.level = Level()
        self._people: list[Connection] = []
        self._stage = 0
        self._until = 0.0
        self._most = 0
        self._pending: dict[tuple[int, int], float] = {}
        self._numbers: list[int] = []
        self._newest: list[int] = []
        self._outbox: list[list[bytes]] = []
        self._answered = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def gather(cls, port: int) -> AsyncIterator["Crowd"]:
        """Bring them into the channel."""
        crowd, loop = cls(), asyncio.get_running_loop()
        made = [Connection("listener", crowd), *(Connection(f"u{number}", None) for number in range(_PEOPLE))]
        for one in made:
            await loop.create_connection(lambda one=one: one, "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.wait_for(asyncio.gather(*(one.joined for one in made)), 30)
        crowd._people = made[1:]
        try:
            yield crowd
        finally:
            for one in made:
                one.transport.abort()

    async def first_answer(self) -> float:
        """Say a command every 20 ms until one is answered; return when that was."""
        self._begin(1, _LOST * 12, 10_000)
        while not self.level.waits:
            self._issue(0)
            self.flush()
            self._answered.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), 0.02)
            assert time.perf_counter() < self._until, "the bot does not answer"
        answered, self._until = time.perf_counter(), 0.0
        await asyncio.sleep(0.5)  # the others, which it may have heard as well
        return answered

    async def load(self, in_flight: int, pid: int, seconds: float = _SECONDS, most: int = 1_000_000) -> Level:
        """Keep *in_flight* commands under way for so many *seconds*, and *most* commands at most."""
        people = min(in_flight, _PEOPLE)
        self._begin(people, seconds, most)
        gc.collect()
        cpu, start = cpu_of(pid), time.perf_counter()
        for number in range(in_flight):
            self._issue(number % people)
        self.flush()
        done = 0
        while self._pending:
            self._answered.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._answered.wait(), _LOST)
            if len(self.level.waits) == done:
                break
            done = len(self.level.waits)
            await asyncio.sleep(0.005)
        level = self.level
        level.seconds, level.cpu, level.lost = time.perf_counter() - start, cpu_of(pid) - cpu, len(self._pending)
        return level

    def heard(self, line: bytes) -> None:
        """Take what the bot said, and let whoever it answers say the next."""
        now = time.perf_counter()
        for found in _NONCE.finditer(line):
            stage, person, number = map(int, found.groups())
            said = self._pending.pop((person, number), None) if stage == self._stage else None
            if said is None:
                continue
            self.level.waits.append(now - said)
            self.level.disordered += number < self._newest[person]
            self._newest[person] = max(self._newest[person], number)
            self._answered.set()
            self._issue(person)

    def flush(self) -> None:
        """Send what is to be said, each person's in one piece."""
        for person, lines in zip(self._people, self._outbox, strict=False):
            if lines:
                person.transport.write(b"".join(lines))
                lines.clear()

    def _begin(self, people: int, seconds: float, most: int) -> None:
        self.level = Level()
        self._stage += 1
        self._until, self._most = time.perf_counter() + seconds, most
        self._pending = {}
        self._numbers, self._newest = [0] * people, [-1] * people
        self._outbox = [[] for _ in range(people)]

    def _issue(self, person: int) -> None:
        now = time.perf_counter()
        if now > self._until or self._most <= 0:
            return
        number = self._numbers[person]
        self._numbers[person] += 1
        self._most -= 1
        self._pending[person, number] = now
        self._outbox[person].append(f"PRIVMSG {_CHANNEL} :!echo z{self._stage}z{person}z{number}z\r\n".encode())


def irc(scratch: Path) -> list[Figure]:
    """The whole bot on ngIRCd, beside the least that answers; nothing where there is no ngIRCd."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", str(cache() / "irc" / "usr" / "sbin")))
    ircd = shutil.which("ngircd", path=path)
    if ircd is None:
        print("There is no ngIRCd: `make servers` unpacks one, or install it.", file=sys.stderr)
        return []
    return asyncio.run(_irc(scratch, ircd))


async def _irc(scratch: Path, ircd: str) -> list[Figure]:
    port = free_port()
    _write(scratch, port)
    bot = [sys.executable, "-m", "omnibot", "run", "--config", str(scratch / "config.yaml")]
    floor = [sys.executable, "-m", "bench.echo", str(port), _CHANNEL]
    runs, floors = [], []
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(process([ircd, "--nodaemon", "--config", str(scratch / "ngircd.conf")]))
        await listening(port, 10)
        crowd = await stack.enter_async_context(Crowd.gather(port))
        await _run(crowd, bot)  # makes the database, and may compile
        for _ in range(_REPETITIONS):
            runs.append(await _run(crowd, bot))
            floors.append(await _run(crowd, floor))
    return list(_figures(runs, floors))


def _write(scratch: Path, port: int) -> None:
    new_key_file(scratch / "omnibot.key")
    (scratch / "skills").mkdir()
    (scratch / "skills" / "echo.py").write_text(SKILL)
    (scratch / "config.yaml").write_text(_CONFIG.format(port=port, channel=_CHANNEL))
    (scratch / "ngircd.conf").write_text(IRCD.format(port=port, uid=os.getuid(), gid=os.getgid()))


async def _run(crowd: Crowd, command: list[str]) -> Run:
    start = time.perf_counter()
    async with process(command) as pid:
        run = Run(await crowd.first_answer() - start, {})
        await crowd.load(16, pid, most=_WARM)
        for in_flight in _LEVELS:
            run.levels[in_flight] = await crowd.load(in_flight, pid)
        run.resident = resident(pid)
    await asyncio.sleep(0.3)  # the ircd has to notice, or the nick is still taken
    return run


def _figures(runs: Sequence[Run], floors: Sequence[Run]) -> Iterable[Figure]:
    def of(name: str, unit: str, what: str, in_flight: int, aim: float | None = None) -> Figure:
        taken = [[_value(run.levels[in_flight], what) for run in group] for group in (runs, floors)]
        return Figure(f"{name}, {in_flight} in flight", unit, tuple(taken[0]), tuple(taken[1]), floor, aim)

    floor = "an echo on plain asyncio"
    for in_flight in _LEVELS:
        yield of("CPU a command", "us", "cost", in_flight, 80 if in_flight == 64 else None)
    for in_flight in (1, 64):
        for percent in ("50", "95", "99"):
            yield of(f"answered, {percent} %", "ms", percent, in_flight)
    for in_flight in _LEVELS:
        yield of("answers", "/s", "rate", in_flight)
    yield Figure("answers at best", "/s", tuple(one.best for one in runs), tuple(one.best for one in floors), floor)
    wrong = tuple(float(sum(level.lost + level.disordered for level in one.levels.values())) for one in runs)
    yield Figure("lost, or out of a person's order", "", wrong, aim=0)
    yield Figure("until it answers", "s", *_both(runs, floors, "ready"), floor, 1)
    yield Figure("resident memory after it", "MB", *_both(runs, floors, "resident"), floor, 60)


def _both(runs: Sequence[Run], floors: Sequence[Run], name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(getattr(one, name) for one in runs), tuple(getattr(one, name) for one in floors)


def _value(level: Level, what: str) -> float:
    return level.wait(int(what)) if what.isdecimal() else float(getattr(level, what))
