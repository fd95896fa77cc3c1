"""Moving everything from older master keys to the newest, while the bot runs.

A few hundred rows at a time, each batch in a transaction of its own, so that nobody waits
long for the database.  Every row and box names its key: whatever has been moved stays so,
and after a crash at any point the next run goes on with the rest.

Invariant: a row gets a new tag only after its old one fitted; what somebody else wrote stays
as it is and is reported.  Nothing is in the clear outside the vault.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.database import Database, Row, Transaction
from omnibot.errors import UserError, VaultError
from omnibot.keyed import Keyed, moved, person_keys, why_unreadable
from omnibot.people import PEOPLE
from omnibot.vault import Grants, Opener, Rekeyer, Sealer

type Say = Callable[[str], None]

_BATCH = 250
_SAY_EVERY = 10_000
_BUSY_PAUSE = 0.25
_BUSY_TRIES = 480
"""Two minutes: no command runs longer without asking something, and then it has no grant."""


@dataclass(slots=True)
class Moved:
    """What a rotation has done."""

    rows: int = 0
    renewed: int = 0
    """People who have a new key pair."""

    kept: int = 0
    """People who were to have one, and keep theirs: a row of theirs is not as we wrote it, or they were busy."""

    unreadable: dict[tuple[str, int], str] = field(default_factory=dict)
    """Why a row, named by table and row number, was left as it is."""


class Rotation:
    """Moves rows; with `renewing`, people get new key pairs on the way."""

    def __init__(
        self, database: Database, rekeyer: Rekeyer, tables: Sequence[Keyed], renewing: "Renewing | None" = None
    ) -> None:
        """Move the rows of *tables* in *database* to the newest key of *rekeyer*."""
        self._database = database
        self._rekeyer = rekeyer
        self._tables = tables
        self._renewing = renewing
        self._said = 0

    async def run(self, say: Say) -> Moved:
        """Move everything there is; *say* how far it is now and then.

        Raises:
            KeyMissing: nothing can be moved: there is no key, or the keyring is locked.
        """
        done = Moved()
        if self._renewing is not None:
            await self._renewing.run(done)
            if done.renewed:
                say(f"People with a new key pair: {done.renewed:,}.")
        while True:  # what was boxed under an older key when this began may have been written meanwhile
            before = done.rows
            for table in self._tables:
                await self._move(table, done, say)
            if done.rows == before:
                return done

    async def _move(self, table: Keyed, done: Moved, say: Say) -> None:
        last = 0
        sql = f"SELECT rowid AS number FROM {table.table} WHERE rowid > ? AND {{}} ORDER BY rowid LIMIT {_BATCH}"  # noqa: S608 - our own names
        while True:
            # Found on the reading connection: going over what has been moved must not hold up who writes.
            found = await self._database.read(sql.format(table.stale(self._rekeyer.newest)), (last,))
            if not found:
                return
            last = found[-1]["number"]
            await self._move_batch(table, [row["number"] for row in found], done)
            if done.rows >= self._said + _SAY_EVERY:
                self._said = done.rows
                say(f"{done.rows:,} rows have been moved, now {table.table}.")

    async def _move_batch(self, table: Keyed, numbers: Sequence[int], done: Moved) -> None:
        unreadable = {}
        async with self._database.transaction() as tx:
            stale = table.stale(self._rekeyer.newest)
            meant = "rowid IN (SELECT value FROM json_each(?))"
            sql = f"SELECT rowid AS number, * FROM {table.table} WHERE {meant} AND {stale} ORDER BY rowid"  # noqa: S608 - our own names
            changes: dict[tuple[str, ...], list[dict[str, Any]]] = {}
            for row in await tx.rows(sql, (json.dumps(numbers),)):
                try:
                    change = moved(self._rekeyer, table, row)
                except (VaultError, UserError) as error:
                    unreadable[table.table, row["number"]] = why_unreadable(table, row, error)
                    continue
                changes.setdefault(tuple(change), []).append({**change, "number": row["number"]})
                if table.person and row[table.person]:
                    tx.touch(row[table.person])
            for columns, rows in changes.items():
                sets = ", ".join(f"{name} = :{name}" for name in columns)
                await tx.execute_many(f"UPDATE {table.table} SET {sets} WHERE rowid = :number", rows)  # noqa: S608 - our own names
        done.rows += sum(map(len, changes.values()))
        done.unreadable |= unreadable


class Renewing:
    """Gives people new key pairs, and seals their tokens anew.

    For people whose row stands under an older key: so a run that was cut short goes on where it was.
    Each person, with all accounts, in one transaction.  It waits for those who have a command under
    way, which may hold their keys as they were.
    """

    def __init__(self, database: Database, sealer: Sealer, opener: Opener, grants: Grants, newest: str) -> None:
        """Renew the people of *database* whose row is not under *newest*."""
        self._database = database
        self._sealer = sealer
        self._opener = opener
        self._grants = grants
        self._newest = newest

    async def run(self, done: Moved) -> None:
        """Renew all who can be; whoever cannot keeps their pair, and only its wrapping will be changed."""
        sql = "SELECT id FROM people WHERE key_id != ? ORDER BY rowid"
        waiting = [str(row["id"]) for row in await self._database.read(sql, (self._newest,))]
        for _ in range(_BUSY_TRIES):
            waiting = [person for person in waiting if not await self._tried(person, done)]
            if not waiting:
                return
            await asyncio.sleep(_BUSY_PAUSE)
        done.kept += len(waiting)

    async def _tried(self, person: str, done: Moved) -> bool:
        """Renew *person*, in one transaction; return False if somebody acts for them just now."""
        try:
            async with self._database.transaction() as tx:
                if self._grants.acts(person):
                    return False
                rows = await tx.rows("SELECT * FROM people WHERE id = ?", (person,))
                for row in rows:  # none, if they have been erased meanwhile
                    await self._renew(tx, row)
            done.renewed += len(rows)
        except VaultError:  # it is found, and named, when their rows are moved
            done.kept += 1
        return True

    async def _renew(self, tx: Transaction, row: Row) -> None:
        self._sealer.check(PEOPLE, row)
        keys, fresh = person_keys(row), self._opener.enrol(row["id"])
        for account in await accounts.of_person(tx, self._sealer, keys.person):

            def sealed_anew(current: Account) -> Account:
                head = current.head("")
                with self._grants.for_upkeep(keys.person, current.id, "renew keys") as grant:
                    token = self._opener.reseal(grant, keys, fresh, current.id, head, current.token)
                return replace(current, token=token)

            await accounts.change(tx, self._sealer, account.id, sealed_anew)
        person = {**row, "public_key": fresh.public_key, "private_key": fresh.private_key}
        await tx.update("people", ("id",), self._sealer.stamp(PEOPLE, person))
        tx.touch(keys.person)
