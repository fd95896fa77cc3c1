"""The one SQLite file: opening it, its schema, and transactions that really are.

The only file that imports aiosqlite.  One connection writes, behind a lock; one reads.
A statement on an aiosqlite connection runs to its end even when the task awaiting it is
cancelled, and two tasks on one connection share one transaction: so a transaction here
holds the lock from BEGIN to COMMIT, and neither end of it can be cancelled half-way.
"""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import aiosqlite

from omnibot.errors import ConfigError, Problem

type Row = dict[str, Any]
type Values = Sequence[Any] | Mapping[str, Any]

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA busy_timeout = 5000",
)


class Transaction:
    """Statements that happen together or not at all; made by `Database.transaction`."""

    def __init__(self, connection: aiosqlite.Connection, watchers: Sequence[Callable[[str], None]] = ()) -> None:
        """Speak to *connection*, which has begun a transaction; *watchers* hear what it touched."""
        self._connection = connection
        self._watchers = watchers
        self._after: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call *callback* once this is committed, also if whoever began it has been cancelled by then."""
        self._after.append(callback)

    def touch(self, person: str) -> None:
        """Note that rows of *person* are written: who remembers them hears of it at the commit."""
        for watcher in self._watchers:
            self.after_commit(partial(watcher, person))

    def committed(self) -> None:
        """Call what waits for the commit; `Database.transaction` does."""
        for callback in self._after:
            callback()

    async def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement; return how many rows it changed."""
        cursor = await self._connection.execute(sql, values)
        count = cursor.rowcount
        await cursor.close()
        return count

    async def execute_many(self, sql: str, rows: Iterable[Values]) -> None:
        """Run one statement with the values of each of *rows*: one trip to the database's thread for all."""
        cursor = await self._connection.executemany(sql, rows)
        await cursor.close()

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Run one statement and return its rows: SELECT, or anything with RETURNING."""
        return await _rows(self._connection, sql, values)

    async def insert(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Insert *rows*, all with the columns of the first, into *table*; the names are ours, never data."""
        columns = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - our own names
        cursor = await self._connection.executemany(sql, rows)  # many at once: each call is a trip to its thread
        await cursor.close()

    async def update(self, table: str, primary: Sequence[str], row: Mapping[str, Any]) -> int:
        """Write every column of *row* to the row of *table* with the same *primary* key."""
        sets = ", ".join(f"{name} = :{name}" for name in row if name not in primary)
        where = " AND ".join(f"{name} = :{name}" for name in primary)
        return await self.execute(f"UPDATE {table} SET {sets} WHERE {where}", row)  # noqa: S608 - our own names


class Database:
    """An open database: `read` at any time, write inside `transaction`.

    What a transaction has committed is on the disk (WAL, synchronous FULL) before
    `transaction` is left, and every later `read` sees it.
    """

    def __init__(self, path: Path, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        """Use `open` instead."""
        self.path = path
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()
        self._watchers: list[Callable[[str], None]] = []

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open *path*, made with mode 0600 if there is none, and bring its schema up to date.

        Raises:
            ConfigError: it is no database of ours, is damaged, is newer than this program, or cannot be written.
        """
        opened: list[aiosqlite.Connection] = []
        try:
            path.touch(mode=0o600, exist_ok=True)  # noqa: ASYNC240 - once, before anything else runs
            for _ in range(2):
                opened.append(await _connect(path))
                if len(opened) == 1:
                    await _migrate(opened[0], path)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(_unusable(path, error)) from error
        finally:
            if len(opened) < 2:
                await _close(opened)
        return cls(path, *opened)

    async def close(self) -> None:
        """Wait for a transaction under way, then close; without this the process would not end."""
        async with self._lock:
            await _close([self._reader, self._writer])

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Tell *watcher*, at each commit, the id of every person whose rows it wrote."""
        self._watchers.append(watcher)

    async def read(self, sql: str, values: Values = ()) -> list[Row]:
        """Return the rows of one SELECT, as of the last commit."""
        return await _rows(self._reader, sql, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin a transaction; commit it at the end of the block, roll it back on any exception."""
        async with self._lock:
            await _uncancelled(self._writer.execute("BEGIN IMMEDIATE"), on_cancel=self._writer.rollback)
            transaction = Transaction(self._writer, self._watchers)
            try:
                yield transaction
                await _uncancelled(self._writer.commit(), then=transaction.committed)
            except BaseException:  # a commit that fails leaves the transaction open, too
                await _uncancelled(self._writer.rollback())
                raise

    async def checkpoint(self) -> None:
        """Empty the write-ahead log into the database, so that erased rows are in neither."""
        async with self._lock:
            await self._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def backup(self, target: Path) -> None:
        """Write a consistent copy to *target* while others go on working."""
        copy = await aiosqlite.connect(target)
        try:
            await self._reader.backup(copy)
        finally:
            await copy.close()

    async def damage(self) -> str:
        """Return what SQLite's own quick check complains of; empty if nothing."""
        found = [str(row["quick_check"]) for row in await self.read("PRAGMA quick_check(3)")]
        return "" if found == ["ok"] else "; ".join(found)


async def _uncancelled(
    step: Awaitable[Any],
    *,
    then: Callable[[], None] | None = None,
    on_cancel: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Finish *step*, and *then* what follows it, even if the awaiting task is cancelled; then let that through."""
    task = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - raised below, from the task
            break
    if task.exception() is None and then is not None:
        then()
    if cancelled is not None:
        if on_cancel is not None:
            await on_cancel()
        raise cancelled
    task.result()


async def _rows(connection: aiosqlite.Connection, sql: str, values: Values = ()) -> list[Row]:
    return cast("list[Row]", await connection.execute_fetchall(sql, values))


def _named(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    try:
        connection.row_factory = _named  # type: ignore[assignment]  # any callable will do, says sqlite3
        for pragma in _SETTINGS:
            await connection.execute_fetchall(pragma)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _close(connections: Iterable[aiosqlite.Connection]) -> None:
    for connection in connections:
        await connection.close()


def migrations() -> list[tuple[int, str]]:
    """Return number and SQL of each migration, in order: ``migrations/0001_first.sql``."""
    found = [one for one in files("omnibot").joinpath("migrations").iterdir() if one.name.endswith(".sql")]
    return sorted((int(re.split("_", one.name)[0]), one.read_text("utf-8")) for one in found)


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    have = (await _rows(connection, "PRAGMA user_version"))[0]["user_version"]
    known = migrations()
    if have > known[-1][0]:
        raise ConfigError(
            Problem(
                str(path),
                "",
                f"the database is of version {have}, this program knows {known[-1][0]}",
                "Upgrade omnibot.",
            )
        )
    for number, sql in known:
        if number > have:
            script = f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;"
            # Off, or a table that is made anew would take the rows that refer to it along.
            await connection.executescript(f"PRAGMA foreign_keys = OFF;\n{script}\nPRAGMA foreign_keys = ON;")


def _unusable(path: Path, error: Exception) -> Problem:
    text = str(error).lower()
    if "not a database" in text or "malformed" in text:
        return Problem(str(path), "data_dir", "this file is damaged or not a database", "Restore it from a backup.")
    if "readonly" in text or isinstance(error, PermissionError) or "unable to open" in text:
        return Problem(
            str(path), "data_dir", "cannot be written", "Give the bot's user write permission to the folder."
        )
    if "full" in text or "no space" in text:
        return Problem(str(path), "data_dir", "the disk is full", "Free some space; nothing was lost.")
    return Problem(
        str(path), "data_dir", f"cannot be opened ({error})", "Look at the file and the folder's permissions."
    )
