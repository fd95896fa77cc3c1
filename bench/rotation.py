"""How long it takes to change the master key under a large database, and whether a kill at any moment costs a row."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.figures import Figure
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.administration import Admin
from omnibot.catalogue import Instances
from omnibot.core import Core, Options
from omnibot.database import Database
from omnibot.doctor import verify_rows
from omnibot.identity import Identity
from omnibot.keyed import count, keyed_tables
from omnibot.people import IDENTITIES, PEOPLE
from omnibot.provider import Token
from omnibot.vault import Grants, Keyring, Opener, Sealer, Tagged, new_key_file

_PEOPLE = 10_000
_ACCOUNTS = 10
"""How many accounts each has."""

_BATCH = 250
_KILLS = 5
_ROOT = Path(__file__).parent.parent
_NONE = Instances({}, {})


def rotation(scratch: Path) -> list[Figure]:
    """A whole rotation; one that is killed at random moments and gone on with; and the floor of both."""
    new_key_file(scratch / "omnibot.key")
    (scratch / "data").mkdir()
    rows = _fill(scratch)
    whole, looks = [], []
    floors = []
    for _ in range(3):
        floors.append(_floor(scratch))
        start = time.perf_counter()
        asyncio.run(_rotate(scratch))
        whole.append(time.perf_counter() - start)
        looks.append(_unreadable(scratch))
    killed, seconds = _killed(scratch, whole[-1])
    note = f"{rows:,} rows, {rows / min(whole):,.0f} a second at best"
    floor = f"an UPDATE of as many, {_BATCH} a commit"
    return [
        Figure("rotate 10,000 people, 100,000 accounts", "s", tuple(whole), tuple(floors), floor, note=note),
        Figure(f"the same, killed {killed} times", "s", (seconds,), note="from the first start to the last end"),
        Figure("rows that could not be read then", "", (max(looks), _unreadable(scratch)), aim=0),
    ]


async def _rotate(folder: Path) -> None:
    path = folder / "omnibot.key"
    core = await Core.open(Options(folder / "data", Keyring.load(path), _NONE, ()))
    try:
        await Admin(core, path, running=False).perform("keys rotate", {}, lambda _: None)
    finally:
        await core.close()


def _killed(folder: Path, whole: float) -> tuple[int, float]:
    """Rotate in processes that are killed at random moments, then once to the end; return how many died, and seconds.

    After each kill every row has to be readable.
    """
    died, spent = 0, 0.0
    for _ in range(_KILLS):
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "bench.rotation", str(folder)], cwd=_ROOT)  # noqa: S603 - ours
        try:
            process.wait(random.uniform(1.0, 1.0 + whole / 3))  # noqa: S311 - a moment, no secret
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            died += 1
        spent += time.perf_counter() - start
        unreadable = _unreadable(folder)
        assert not unreadable, f"{unreadable} rows cannot be read after a kill"
    start = time.perf_counter()
    asyncio.run(_rotate(folder))
    spent += time.perf_counter() - start
    keys = Keyring.load(folder / "omnibot.key").ids
    standing = count(folder / "data" / "omnibot.db", keyed_tables(_NONE))
    assert not standing.older_than(keys[0]), "something is left under an older key"
    return died, spent


def _unreadable(folder: Path) -> int:
    """Return how many rows `omnibot keys verify` would name; each tag, private key and token is looked at."""
    findings = asyncio.run(verify_rows(folder / "data", Keyring.load(folder / "omnibot.key")))
    return sum(one.level == "wrong" for one in findings)


def _floor(folder: Path) -> float:
    """Return the seconds for writing as many tags to a copy, by SQLite alone and as durably, in this thread."""
    copy = folder / "floor.db"
    shutil.copy(folder / "data" / "omnibot.db", copy)  # nobody has it open: nothing is in its log
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        spent = 0.0
        for table in ("people", "identities", "accounts"):
            last = connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0]  # noqa: S608 - named above
            start = time.perf_counter()
            for first in range(1, last + 1, _BATCH):
                connection.execute("BEGIN IMMEDIATE")
                sql = f"UPDATE {table} SET key_id = ?, tag = ? WHERE rowid = ?"  # noqa: S608 - named above
                connection.executemany(sql, [("00000000", bytes(32), one) for one in range(first, first + _BATCH)])
                connection.execute("COMMIT")
            spent += time.perf_counter() - start
    copy.unlink()
    return spent


# ----------------------------------------------------------------- filling the database


def _fill(folder: Path) -> int:
    """Make the database, every key pair, token and tag of it true; return how many rows it has."""
    asyncio.run(_made(folder / "data" / "omnibot.db"))
    ring = Keyring.load(folder / "omnibot.key")
    sealer, opener = Sealer(ring), Opener(ring, Grants())
    with closing(sqlite3.connect(folder / "data" / "omnibot.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        rows = 0
        for table, row in _rows(sealer, opener):
            columns = ", ".join(row)
            sql = f"INSERT INTO {table} ({columns}) VALUES (:{', :'.join(row)})"  # noqa: S608 - our own names
            connection.execute(sql, row)
            rows += 1
        connection.execute("COMMIT")
    return rows


async def _made(path: Path) -> None:
    await (await Database.open(path)).close()


def _rows(sealer: Sealer, opener: Opener) -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(_PEOPLE):
        keys = opener.enrol(os.urandom(16).hex())
        who = Identity("null", f"user-{number}")
        pair = {"public_key": keys.public_key, "private_key": keys.private_key}
        person = {"id": keys.person, **pair, "pseudonym": os.urandom(8).hex(), "created": 1.8e9}
        yield _stamped(sealer, PEOPLE, person)
        names = {"network": who.network, "subject": who.subject, "epoch": who.epoch, "display": "A User"}
        yield _stamped(sealer, IDENTITIES, {**names, "person": keys.person, "created": 1.8e9})
        account = _account(keys.person, who)
        for which in range(_ACCOUNTS):
            one = replace(account, id=os.urandom(16).hex(), alias=f"team-{which}", external=f"{number}-{which}")
            token = Token(os.urandom(24).hex(), os.urandom(24).hex(), 1.9e9, one.scopes)
            one = replace(one, token=sealer.seal(keys.public_key, one.head("https://notes.example"), token))
            yield _stamped(sealer, accounts.TABLE, accounts.to_row(one))


def _stamped(sealer: Sealer, tagged: Tagged, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return tagged.table, sealer.stamp(tagged, row)


def _account(person: str, who: Identity) -> Account:
    return Account(
        id="",
        person=person,
        provider="demo",
        instance="default",
        alias="",
        external="",
        login="a-login",
        name="A User",
        avatar="https://notes.example/avatar/a-login.svg",
        linked_by=who,
        reach=(who,),
        status="active",
        default=True,
        generation=1,
        refreshing=0,
        expires=1.9e9,
        scopes=("notes:read", "notes:write"),
        token=b"",
        created=1.8e9,
        activated=1.8e9,
    )


if __name__ == "__main__":
    asyncio.run(_rotate(Path(sys.argv[1])))
