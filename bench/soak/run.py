"""One soak, from the first link to the verdict."""

import asyncio
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from bench.processes import resident
from bench.soak.chaos import Bot, Chaos, Trouble
from bench.soak.judge import broken, lost
from bench.soak.people import Person, Pinger, told
from bench.soak.town import Town
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.ports import free_port
from omnibot.vault import new_key_file

_CLIENT = DemoClient("omnibot", "soak-secret")
_CONFIG = """
public_url: http://127.0.0.1:{port}
listen: 127.0.0.1:{port}
networks:
  town: {{adapter: bench.soak.adapter, port: {town}}}
providers:
  demo: {{issuer: "{issuer}", client_id: omnibot, client_secret: "file:secret"}}
skills: [accounts, following, help, ping, api, notes]
log: {{level: warning}}
data_dir: data
key_file: omnibot.key
"""
_PINGERS = 8
_PING_EVERY = 0.5
_CALM = 8.0
"""Seconds of pings before anybody else speaks."""

_TELL_EVERY = 15.0
_BACK = 8.0
_LATE = 20.0
"""Seconds after the end within which an answer may still come."""

_TOKEN_SECONDS = 45
"""A token is renewed half a minute before its end: so at a third of its life, and not at every command."""

_ACTS = 3
"""Notes that each person has written; then two commands at once."""


_DOUBLED = """
SELECT count(*) FROM (SELECT person FROM accounts WHERE status = 'active' GROUP BY person HAVING count(*) > 1)
"""
_CROSSED = """
SELECT count(*) FROM accounts a JOIN identities i ON i.person = a.person
WHERE a.status = 'active' AND a.external != 'u-user-' || substr(i.subject, 2)
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large a soak is."""

    people: int = 10_000
    pace: float = 15.0
    """How many of them begin in a second."""

    kill_every: float = 25.0
    cut_every: float = 12.0
    """Seconds, on the average."""

    seed: int = 1
    calm: float = _CALM
    thinks: float = 4.0
    """Seconds at most between somebody's commands."""

    patience: float = 45.0
    """Seconds that somebody waits for an answer."""


@dataclass(slots=True)
class Report:
    """What came of it."""

    seconds: float
    people: int
    links: int
    orders: dict[str, int]
    trouble: Trouble
    calm: list[float]
    """Seconds that each answered question took before the soak, and in `soaked` during it, while the bot was there."""

    soaked: list[float]
    steady: list[float]
    """Of those, where it had been there for some seconds: what was said while it was away is done by then."""

    memory: list[tuple[float, float]]
    """Seconds since the bot was last started, and its megabytes."""

    broken: list[str]
    told: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    errors: int = 0

    def __str__(self) -> str:
        """Return it for people."""
        trouble = self.trouble
        lines = [
            f"{self.people:,} people, {self.links:,} links, {self.seconds:.0f} s",
            "commands: " + ", ".join(f"{number:,} {name}" for name, number in sorted(self.orders.items())),
            f"the bot: {len(trouble.kills) - trouble.stops} kills, {trouble.stops} stops; {trouble.cuts} cuts",
            f"the service: {trouble.outages} outages, {trouble.faults} faults",
            f"answers said again, and taken once: {self.repeated}; lines of errors in the log: {self.errors}",
            f"ping before:  {_times(self.calm)}",
            f"ping during:  {_times(self.soaked)}",
            f"ping steady:  {_times(self.steady)} ({_BACK:.0f} s after a return and later)",
            f"memory: {_growth(self.memory)}",
            *(f"  {number:6,} x {text}" for text, number in sorted(self.told.items(), key=lambda one: -one[1])[:12]),
            *(f"BROKEN: {one}" for one in self.broken[:20]),
            f"BROKEN in {len(self.broken)} ways" if self.broken else "everything held",
        ]
        return "\n".join(lines)


def _times(waits: Sequence[float]) -> str:
    if len(waits) < 2:
        return "too few"
    cuts = quantiles(waits, n=100, method="inclusive")
    return f"{len(waits):,} answers, median {median(waits) * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms"


def _growth(memory: Sequence[tuple[float, float]]) -> str:
    """Tell how the bot's memory stood some seconds after a start, and how after the longest run."""
    if not memory:
        return "not measured"
    age, last = max(memory)
    young = [size for seconds, size in memory if 5 <= seconds <= 15] or [size for _, size in memory]
    most = max(size for _, size in memory)
    return f"{median(young):.1f} MB soon after a start, {last:.1f} MB after {age:.0f} s, {most:.1f} MB at most"


async def soak(scratch: Path, plan: Plan, say: Callable[[str], None] = lambda _: None) -> Report:
    """Soak a bot whose files are in *scratch*; *say* how it goes."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # of connections that are cut, it tells at length
    town, port = Town(), free_port()
    await town.open()
    callback = f"http://127.0.0.1:{port}/callback/demo/default"
    client = DemoClient(_CLIENT.client_id, _CLIENT.client_secret, (callback,))
    async with DemoProvider([client], token_seconds=_TOKEN_SECONDS) as service:
        bot = Bot([sys.executable, "-m", "omnibot", "run", "--config", str(_written(scratch, port, town, service))],
                  scratch / "log", town)  # fmt: skip
        await bot.start()
        chaos = Chaos(plan.seed, bot, town, service)
        try:
            report = await _soaked(plan, bot, town, service, chaos, say)
        finally:
            await bot.end(signal.SIGTERM)
            await town.cut()
    report.broken += _at_rest(scratch)
    report.errors = sum(b" ERROR " in line for line in (scratch / "log").read_bytes().splitlines())
    return report


def _written(scratch: Path, port: int, town: Town, service: DemoProvider) -> Path:
    config = scratch / "config.yaml"
    config.write_text(_CONFIG.format(port=port, town=town.port, issuer=service.origin))
    (scratch / "secret").write_text(str(_CLIENT.client_secret))
    os.chmod(scratch / "secret", 0o600)  # noqa: PTH101 - as everywhere beside it
    new_key_file(scratch / "omnibot.key")
    return config


async def _soaked(
    plan: Plan, bot: Bot, town: Town, service: DemoProvider, chaos: Chaos, say: Callable[[str], None]
) -> Report:
    pingers = [Pinger(number, town) for number in range(_PINGERS)]
    asking = [asyncio.create_task(one.live(_PING_EVERY)) for one in pingers]
    await asyncio.sleep(plan.calm)
    calm = [wait for one in pingers for _, wait in one.waits]
    began = time.monotonic()
    memory: list[tuple[float, float]] = []
    weighing = asyncio.create_task(_weigh(bot, chaos.trouble, memory))
    going_wrong = asyncio.create_task(chaos.run(plan.kill_every, plan.cut_every))
    people = [Person(number, town, plan.patience) for number in range(plan.people)]
    living = asyncio.create_task(_live(people, plan, say))
    await asyncio.wait({living, going_wrong}, return_when=asyncio.FIRST_COMPLETED)
    if not living.done():
        going_wrong.result()  # which raises: it ends by itself only if something cannot be put up again
    chaos.end()
    await going_wrong
    weighing.cancel()
    service.clear_faults()
    ended = await asyncio.gather(*map(_finished, people))
    unfinished = [person.name for person, well in zip(people, ended, strict=True) if not well]
    await _answered(people, chaos.trouble)
    waits = [(at, wait) for one in pingers for at, wait in one.waits if at > began]
    for task in asking:
        task.cancel()
    outcomes = [order.outcome for person in people for order in person.orders]
    return Report(
        seconds=time.monotonic() - began,
        people=len(people),
        links=sum(person.links for person in people),
        orders={name: outcomes.count(name) for name in dict.fromkeys(outcomes)},
        trouble=chaos.trouble,
        calm=calm,
        soaked=[wait for at, wait in waits if chaos.trouble.lit(at, wait)],
        steady=[wait for at, wait in waits if chaos.trouble.lit(at, wait, _BACK)],
        memory=memory,
        broken=[
            *broken(people, service, chaos.trouble),
            *(f"{name} could not write even when all was well again" for name in unfinished),
        ],
        told=told(people),
        repeated=town.repeated,
    )


async def _live(people: Sequence[Person], plan: Plan, say: Callable[[str], None]) -> None:
    """Let everybody begin at the plan's pace, and return when all have ended."""
    chance = random.Random(plan.seed)  # noqa: S311 - it is to be the same again
    lives: list[asyncio.Task[None]] = []
    telling = asyncio.create_task(_tell(people, lives, say))
    try:
        for person in people:
            lives.append(asyncio.create_task(_life(person, [chance.uniform(0, plan.thinks) for _ in range(_ACTS)])))
            await asyncio.sleep(1 / plan.pace)
        await asyncio.gather(*lives)
    finally:
        telling.cancel()


async def _tell(people: Sequence[Person], lives: Sequence[asyncio.Task[None]], say: Callable[[str], None]) -> None:
    """Say how far it is, again and again, until cancelled."""
    while True:
        await asyncio.sleep(_TELL_EVERY)
        done = sum(one.done() for one in lives)
        waiting = Counter(order.outcome for person in people for order in person.orders)
        counted = ", ".join(f"{number:,} {name}" for name, number in sorted(waiting.items()))
        say(f"{len(lives):,} people have come, {done:,} are done; commands: {counted}")


async def _life(person: Person, pauses: Sequence[float]) -> None:
    for pause in pauses:
        await person.note()
        await asyncio.sleep(pause)
    await person.say(2)


async def _finished(person: Person) -> bool:
    """Whether *person*, now that nothing goes wrong any more, can act."""
    try:
        return person.orders[-1].outcome == "written" or await person.note() or await person.note()
    finally:
        await person.fetch()
        await person.leave()


async def _answered(people: Sequence[Person], trouble: Trouble) -> None:
    """Return when nobody waits any more for an answer that has to come, or it has become too late for one."""
    end = time.monotonic() + _LATE
    while time.monotonic() < end and any(lost(people, trouble)):  # noqa: ASYNC110 - it changes in the people
        await asyncio.sleep(0.5)


async def _weigh(bot: Bot, trouble: Trouble, memory: list[tuple[float, float]]) -> None:
    """Note the bot's memory again and again, until cancelled."""
    start = time.monotonic()
    while True:
        await asyncio.sleep(2)
        born = max([start, *trouble.kills])
        with suppress(OSError, StopIteration):
            memory.append((time.monotonic() - born, resident(bot.pid)))


def _at_rest(scratch: Path) -> list[str]:
    """Return what is wrong with the data once the bot has ended."""
    found = []
    for words in (["keys", "verify"], ["check", "--offline"]):
        command = [sys.executable, "-m", "omnibot", *words, "--config", str(scratch / "config.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        found += [f"{' '.join(words)}: {line}" for line in done.stdout.splitlines() if line.startswith("WRONG")]
    with closing(sqlite3.connect(scratch / "data" / "omnibot.db")) as connection:
        (doubled,) = connection.execute(_DOUBLED).fetchone()
        (crossed,) = connection.execute(_CROSSED).fetchone()
    if doubled:
        found.append(f"{doubled} people have two accounts at one service")
    if crossed:
        found.append(f"{crossed} accounts are somebody else's")
    return found
