"""How many accounts can be linked in a second: every step of a flow, the commits durable, HTTP apart."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.bots import Bot, person
from bench.figures import Figure

_REPETITIONS = 7
_FLOWS = 48
_AT_ONCE = 16


def flows(scratch: Path) -> list[Figure]:
    """From ``!link`` to ``Linked``, each by somebody new: one after the other, and several people at once."""
    return asyncio.run(_flows(scratch))


async def _flows(scratch: Path) -> list[Figure]:
    alone, together, work, floors = [], [], [], []
    async with Bot.open(scratch) as bot:
        async with bot.traced() as statements:
            await bot.link(person(0))
        commits = statements.count("COMMIT")
        for number in range(_REPETITIONS):
            first = 1 + number * 2 * _FLOWS
            before = time.process_time()
            alone.append(await _linked(bot, first, 1))
            work.append((time.process_time() - before) / _FLOWS * 1000)
            together.append(await _linked(bot, first + _FLOWS, _AT_ONCE))
            floors.append(_committed(scratch / "floor.db", _FLOWS * commits) * commits)
    floor = f"{commits} bare commits"
    return [
        _figure("one at a time", alone, floors, floor),
        _figure(f"{_AT_ONCE} people at once", together, floors, floor),
        Figure("CPU of one", "ms", tuple(work)),
    ]


def _figure(name: str, values: Sequence[float], floors: Sequence[float], floor: str) -> Figure:
    note = f"{1000 / median(values):.0f} flows a second"
    return Figure(name, "ms", tuple(values), tuple(floors), floor, note=note)


async def _linked(bot: Bot, first: int, at_once: int) -> float:
    """Link so many, *at_once* of them side by side; return the milliseconds for each."""
    start = time.perf_counter()
    for begin in range(first, first + _FLOWS, at_once):
        await asyncio.gather(*(bot.link(person(number)) for number in range(begin, begin + at_once)))
    await bot.core.audit.flush()
    return (time.perf_counter() - start) / _FLOWS * 1000


def _committed(path: Path, times: int) -> float:
    """Return the milliseconds for one durable commit of one row by SQLite alone, in the caller's own thread."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {statement}")
    connection.execute("CREATE TABLE IF NOT EXISTS t (b BLOB)")
    start = time.perf_counter()
    for _ in range(times):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (zeroblob(1000))")
        connection.execute("COMMIT")
    spent = time.perf_counter() - start
    connection.close()
    return spent / times * 1000
