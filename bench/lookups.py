"""Whether finding a person stays as cheap with a hundred thousand of them, and a million accounts."""

import asyncio
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.bots import BARE, person
from bench.figures import Figure
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.database import Database
from omnibot.people import IDENTITIES, PEOPLE, People
from omnibot.vault import Grants, Keyring, Opener, Sealer, Tagged

_REPETITIONS = 7
_SIZES = (1_000, 10_000, 100_000)
_ACCOUNTS = 10
"""How many accounts each person has."""

_SAMPLE = 250
"""How many people are looked up in a repetition: only these have true tags, the other rows are filler of that size."""

_KEYRING = Keyring([os.urandom(32)])
_SEALER = Sealer(_KEYRING)

_ACCOUNT = Account(
    id="",
    person="",
    provider="demo",
    instance="",
    alias="",
    external="",
    login="a-login",
    name="A User",
    avatar="https://notes.example/avatar/a-login.svg",
    linked_by=person(0),
    reach=(),
    status="active",
    default=True,
    generation=1,
    refreshing=0,
    expires=1.9e9,
    scopes=("notes:read", "notes:write"),
    token=bytes(330),
    created=1.8e9,
    activated=1.8e9,
)


def lookups(scratch: Path) -> list[Figure]:
    """`People.find` with nothing cached, and `accounts.of_external`, in databases of three sizes."""
    for size in _SIZES:
        _fill(scratch / f"{size}.db", size)
    return asyncio.run(_lookups(scratch))


async def _lookups(scratch: Path) -> list[Figure]:
    async with AsyncExitStack() as stack:
        opened = []
        for size in _SIZES:
            database = await Database.open(scratch / f"{size}.db")
            stack.push_async_callback(database.close)
            opened.append((size, database, People(database, _SEALER, Opener(_KEYRING, Grants()))))
        runs = {size: list[tuple[float, float, float]]() for size in _SIZES}
        for number in range(_REPETITIONS):  # the sizes in turn, so that noise meets all of them
            for size, database, people in opened:
                runs[size].append(await _repetition(database, people, _sample(size, number)))
    return list(_figures(runs))


def _figures(runs: Mapping[int, Sequence[tuple[float, float, float]]]) -> Iterator[Figure]:
    smallest = _SIZES[0]
    first_finds, first_others, floors = zip(*runs[smallest], strict=True)
    for size in _SIZES:
        finds, others, _ = zip(*runs[size], strict=True)
        names = f"find one of {size:,} people", f"of_external, {size * _ACCOUNTS:,} accounts"
        if size == smallest:
            yield Figure(names[0], "us", finds, floors, "a bare SELECT")
            yield Figure(names[1], "us", others, floors, "a bare SELECT")
        else:
            yield Figure(names[0], "us", finds, first_finds, f"that with {smallest:,}")
            yield Figure(names[1], "us", others, first_others, f"that with {smallest * _ACCOUNTS:,}")


async def _repetition(database: Database, people: People, sample: range) -> tuple[float, float, float]:
    """Return the median microseconds of a find, of an `of_external` and of a bare SELECT, by the wall clock."""
    connection = sqlite3.connect(database.path)
    finds, others, floors = [], [], []
    for number in sample:
        who = person(number)
        start = time.perf_counter()
        profile = await people.find(who)
        finds.append(time.perf_counter() - start)
        assert profile is not None, "everybody in the sample is there"
        people.changed(profile.person)
        start = time.perf_counter()
        sharing = await accounts.of_external(database, _SEALER, replace(profile.accounts[0], id=""))
        others.append(time.perf_counter() - start)
        assert len(sharing) == 1, "an account is shared by nobody"
        start = time.perf_counter()
        connection.execute(BARE, (who.network, who.subject, who.epoch)).fetchall()
        floors.append(time.perf_counter() - start)
    connection.close()
    return median(finds) * 1e6, median(others) * 1e6, median(floors) * 1e6


def _sample(size: int, repetition: int) -> range:
    """Return who is looked up in a repetition: others than in the one before."""
    step = size // _SAMPLE
    return range(repetition % step, size, step)


# ----------------------------------------------------------------- filling the database


def _fill(path: Path, size: int) -> None:
    """Make a database of *size* people at *path*: in plain SQL, for one by one would take hours."""
    asyncio.run(_made(path))
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "BEGIN"):
        connection.execute(statement)
    for tagged, make in ((PEOPLE, _people), (IDENTITIES, _identities), (accounts.TABLE, _accounts)):
        columns = list(_tagged(tagged, next(make(0)), False))
        sql = f"INSERT INTO {tagged.table} ({', '.join(columns)}) VALUES (:{', :'.join(columns)})"  # noqa: S608 - ours
        connection.executemany(sql, _rows(tagged, make, size))
    connection.execute("COMMIT")
    connection.close()


async def _made(path: Path) -> None:
    await (await Database.open(path)).close()


type Maker = Callable[[int], Iterator[dict[str, Any]]]


def _rows(tagged: Tagged, make: Maker, size: int) -> Iterator[dict[str, Any]]:
    looked_up = {number for repetition in range(_REPETITIONS) for number in _sample(size, repetition)}
    for number in range(size):
        for row in make(number):
            yield _tagged(tagged, row, number in looked_up)


def _tagged(tagged: Tagged, row: dict[str, Any], truly: bool) -> dict[str, Any]:
    return _SEALER.stamp(tagged, row) if truly else {**row, "key_id": _KEYRING.newest.id, "tag": bytes(32)}


def _people(number: int) -> Iterator[dict[str, Any]]:
    keys = {"public_key": bytes(32), "private_key": bytes(72)}
    yield {"id": _id("person", number), **keys, "pseudonym": _id("pseudonym", number)[:16], "created": 1.8e9}


def _identities(number: int) -> Iterator[dict[str, Any]]:
    who = person(number)
    names = {"network": who.network, "subject": who.subject, "epoch": who.epoch, "display": "A User"}
    yield {**names, "person": _id("person", number), "created": 1.8e9}


def _accounts(number: int) -> Iterator[dict[str, Any]]:
    one = replace(_ACCOUNT, person=_id("person", number), linked_by=person(number), reach=(person(number),))
    row = accounts.to_row(one)
    for which in range(_ACCOUNTS):
        own = f"{number}-{which}"
        yield {**row, "id": _id("account", own), "instance": f"team-{which}", "alias": f"team-{which}", "external": own}


def _id(kind: str, number: int | str) -> str:
    """Return an id as random as ours, and the same each time."""
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=16).hexdigest()
