"""The one SQLite file: opening it, its schema, and transactions that really are.

One connection writes, behind a lock; others read.  All tasks on one connection would share one
transaction: so a transaction here holds the lock from BEGIN to COMMIT, and neither end of it can be
cancelled half-way.  Its statements run on the loop, which they hold for microseconds; the commit, and
what is about rows without number, runs in the connection's thread (`omnibot.sqlite`).

A disk that is full, a file that can only be read or is damaged: that is `StorageTrouble`, for
whoever asked, and one line in the log for the operator, however many ask.  Nothing has to be
restarted when it is over.
"""

import asyncio
import errno
import logging
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from omnibot.errors import ConfigError, Problem, Storage, StorageTrouble
from omnibot.sqlite import Connection
from omnibot.tally import Tally
from omnibot.threads import in_thread

log = logging.getLogger(__name__)

RESTORING = "omnibot.restoring"
"""Folder beside a database that is being replaced by a backup (`omnibot.restoring`): until it is gone, nobody may
open, or make, a database there."""

_TOLD_AGAIN = 3600.0
_TOLD_AT_MOST = 60.0
"""Seconds until a trouble that stays is told again, and until one that was over is."""

_KEEP_BEFORE = 30 * 86400.0
"""Seconds for which the copy from before a migration is kept: what is erased meanwhile stands in it still."""

_LOOKS_A_TURN = 32
_FEW = 16
"""Rows that are written without holding the loop for longer than it takes anyhow."""

type Row = dict[str, Any]
type Values = Sequence[Any] | Mapping[str, Any]

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
)
_CONNECTIONS = (_SETTINGS, (*_SETTINGS, "PRAGMA busy_timeout = 0"), _SETTINGS)
"""What writes, what reads on the loop and so must not wait there, and what reads in a thread."""


class Transaction:
    """Statements that happen together or not at all; made by `Database.transaction`."""

    def __init__(self, connection: Connection, watchers: Sequence[Callable[[str], None]] = ()) -> None:
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
        """Run one statement about a few rows; return how many it changed."""
        return self._connection.raw.execute(sql, values).rowcount

    async def sweep(self, sql: str, values: Values = ()) -> int:
        """Run one statement about rows without number, while the loop goes on; return how many it changed."""
        return await self._connection.run(lambda raw: raw.execute(sql, values).rowcount)

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> None:
        """Run one statement with the values of each of *rows*."""
        if len(rows) <= _FEW:
            self._connection.raw.executemany(sql, rows)
        else:
            await self._connection.run(lambda raw: raw.executemany(sql, rows))

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Run one statement and return its rows, which are few: SELECT, or anything with RETURNING."""
        return self._connection.raw.execute(sql, values).fetchall()

    async def insert(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Insert *rows*, all with the columns of the first, into *table*; the names are ours, never data."""
        columns = ", ".join(rows[0])
        marks = ", ".join(f":{name}" for name in rows[0])
        await self.execute_many(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608 - our own names

    async def update(self, table: str, primary: Sequence[str], row: Mapping[str, Any]) -> int:
        """Write every column of *row* to the row of *table* with the same *primary* key."""
        sets = ", ".join(f"{name} = :{name}" for name in row if name not in primary)
        where = " AND ".join(f"{name} = :{name}" for name in primary)
        return await self.execute(f"UPDATE {table} SET {sets} WHERE {where}", row)  # noqa: S608 - our own names


class Database:
    """An open database: `rows` and `read` at any time, write inside `transaction`.

    What a transaction has committed is on the disk (WAL, synchronous FULL) before
    `transaction` is left, and everything that is read later sees it.
    """

    def __init__(self, path: Path, writer: Connection, near: Connection, far: Connection) -> None:
        """Use `open` instead."""
        self.path = path
        self._writer = writer
        self._near = near
        """Reads on the loop; of its own, since a long read on the same one would hold the loop."""

        self._far = far
        """Reads in its thread."""

        self._looks = 0
        self._lock = asyncio.Lock()
        self._watchers: list[Callable[[str], None]] = []
        self._trouble: Storage | None = None
        self._told: dict[Storage, float] = {}
        self._owes_checkpoint = False
        self.tally = Tally()
        """What is counted of it; assembly gives it the bot's."""

    @classmethod
    async def open(cls, path: Path) -> "Database":
        """Open *path*, made with mode 0600 if there is none, and bring its schema up to date.

        Raises:
            ConfigError: it is no database of ours, is damaged, is newer than this program, or cannot be written;
                or a backup is being put in its place.
        """
        if (path.parent / RESTORING).exists():
            what = "a backup was being restored here, and that was interrupted"
            raise ConfigError(Problem(str(path), "data_dir", what, "Finish it first: omnibot restore"))
        opened: list[Connection] = []
        try:
            path.touch(mode=0o600, exist_ok=True)  # noqa: ASYNC240 - once, before anything else runs
            for settings in _CONNECTIONS:
                opened.append(await Connection.open(path, settings))
                if len(opened) == 1:
                    await opened[0].run(partial(_migrate, path=path))
                    _drop_old_copies(path)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(_unusable(path, error)) from error
        finally:
            if len(opened) < len(_CONNECTIONS):
                await _close(opened)
        return cls(path, *opened)

    async def close(self) -> None:
        """Wait for a transaction under way, then close; without this the process would not end."""
        async with self._lock:
            self._near.raw.close()  # whose thread never begins
            await _close([self._far, self._writer])

    @property
    def in_trouble(self) -> bool:
        """Whether the last thing that was to be written could not be."""
        return self._trouble is not None

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Tell *watcher*, at each commit, the id of every person whose rows it wrote."""
        self._watchers.append(watcher)

    async def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """Return the rows of one SELECT of a few, found by an index, as of the last commit.

        Whoever asks again and again lets others have a turn between.

        Raises:
            StorageTrouble: the file cannot be read.
        """
        try:
            self._looks += 1
            if not self._looks % _LOOKS_A_TURN:
                await asyncio.sleep(0)
            return self._near.raw.execute(sql, values).fetchall()
        except sqlite3.Error:
            return await self.read(sql, values)  # which waits if that mends it, or tells what is wrong

    async def read(self, sql: str, values: Values = ()) -> list[Row]:
        """As `rows`, of any SELECT: it takes a way to a thread and back, and the loop goes on meanwhile.

        Raises:
            StorageTrouble: the file cannot be read.
        """
        try:
            return await self._far.run(lambda raw: raw.execute(sql, values).fetchall())
        except sqlite3.Error as error:
            if (trouble := self._noted(error)) is None:
                raise
            raise trouble from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Begin a transaction; commit it at the end of the block, roll it back on any exception.

        Raises:
            StorageTrouble: the file cannot be written; nothing of it was.
        """
        async with self._lock:
            try:
                before = self._writer.raw.total_changes
                if not self._writer.begin():
                    await _uncancelled(self._writer.begin_patiently(), on_cancel=self._writer.rollback)
                transaction = Transaction(self._writer, self._watchers)
                try:
                    yield transaction
                    await _uncancelled(self._writer.commit(), then=transaction.committed)
                except BaseException:  # a commit that fails leaves the transaction open, too
                    await _uncancelled(self._writer.rollback())
                    raise
            except sqlite3.Error as error:
                if (trouble := self._noted(error)) is None:
                    raise
                raise trouble from error
            if self._trouble is not None and self._writer.raw.total_changes > before:
                self._over()
            if self._owes_checkpoint:
                await self._empty_log(patience=0)

    async def checkpoint(self) -> None:
        """Empty the write-ahead log into the database, so that erased rows are in neither.

        Where that cannot be done just now, it is with the next write that lets it: the rows are erased either way.
        """
        async with self._lock:
            await self._empty_log()

    async def _empty_log(self, patience: int | None = None) -> None:
        self._owes_checkpoint = True
        try:
            self._owes_checkpoint = not await _uncancelled(self._writer.empty_log(patience))
        except sqlite3.Error as error:
            self._noted(error)

    async def backup(self, target: Path) -> None:
        """Write a consistent copy to *target*, for its owner alone, while others go on working.

        Raises:
            StorageTrouble: it cannot be read or written.
        """
        await in_thread(lambda: copy_database(self.path, target))

    def _noted(self, error: sqlite3.Error) -> StorageTrouble | None:
        """Return *error* as what is raised of it, if it is the disk's or the file's; tell the operator, once."""
        trouble = trouble_of(error, str(self.path))
        if trouble is None:
            return None
        self.tally.storage_trouble.add(trouble.kind)
        now = time.monotonic()
        stays = self._trouble == trouble.kind
        if now - self._told.get(trouble.kind, -_TOLD_AGAIN) >= (_TOLD_AGAIN if stays else _TOLD_AT_MOST):
            self._told[trouble.kind] = now
            log.error("%s (%s)", trouble, error)
        self._trouble = trouble.kind
        return trouble

    def _over(self) -> None:
        """Tell that something was written again; damage is not mended by that."""
        if self._trouble != "damaged":
            self._trouble = None
            log.warning("%s: it can be written again", self.path)

    async def damage(self) -> str:
        """Return what SQLite's own quick check complains of; empty if nothing."""
        found = [str(row["quick_check"]) for row in await self.read("PRAGMA quick_check(3)")]
        return "" if found == ["ok"] else "; ".join(found)


async def _uncancelled[T](
    step: Awaitable[T],
    *,
    then: Callable[[], None] | None = None,
    on_cancel: Callable[[], Awaitable[None]] | None = None,
) -> T:
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
            await _uncancelled(on_cancel())
        raise cancelled
    return task.result()


async def _close(connections: Iterable[Connection]) -> None:
    for connection in connections:
        await connection.close()


def migrations() -> list[tuple[int, str]]:
    """Return number and SQL of each migration, in order: ``migrations/0001_first.sql``."""
    found = [one for one in files("omnibot").joinpath("migrations").iterdir() if one.name.endswith(".sql")]
    return sorted((int(re.split("_", one.name)[0]), one.read_text("utf-8")) for one in found)


def _migrate(raw: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date, all of it or nothing; a copy from before stays, if there was anything to lose."""
    have = raw.execute("PRAGMA user_version").fetchone()["user_version"]
    known = migrations()
    newest = known[-1][0]
    if have > newest:
        raise ConfigError(
            Problem(
                str(path),
                "",
                f"the database is of version {have}, this program knows {newest}",
                "Upgrade omnibot.",
            )
        )
    missing = [f"{sql}\nPRAGMA user_version = {number};" for number, sql in known if number > have]
    if not missing:
        return
    try:
        kept = _keep_before(path, newest) if have and _has_rows(raw) else None
        script = "\n".join(("BEGIN IMMEDIATE;", *missing, "COMMIT;"))
        # Off, or a table that is made anew would take the rows that refer to it along.
        raw.executescript(f"PRAGMA foreign_keys = OFF;\n{script}\nPRAGMA foreign_keys = ON;")
    except (OSError, sqlite3.Error, StorageTrouble) as error:
        raise ConfigError(_not_migrated(path, have, newest, error)) from error
    if kept is not None:
        log.info("%s was brought from version %d to %d; as it was before it is in %s", path, have, newest, kept.name)
        for older in path.parent.glob(f"{path.name}.before-*"):
            if older != kept:
                older.unlink(missing_ok=True)


def _not_migrated(path: Path, have: int, newest: int, error: Exception) -> Problem:
    trouble = error if isinstance(error, StorageTrouble) else trouble_of(error, str(path))
    why, cure = f" ({error})", ""
    if trouble is not None and trouble.kind == "full":
        why, cure = ": the disk is full, and a copy from before has to fit beside it", " Free some space."
    return Problem(
        str(path),
        "data_dir",
        f"could not be brought from version {have} to {newest}{why}",
        f"Nothing was changed: the omnibot that ran before goes on with it.{cure}",
    )


def _has_rows(raw: sqlite3.Connection) -> bool:
    names = raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    return any(raw.execute(f"SELECT 1 FROM {row['name']} LIMIT 1").fetchone() for row in names)  # noqa: S608 - our own names


def _keep_before(path: Path, version: int) -> Path:
    """Copy the database as it is before it is brought to *version*; return where to."""
    kept = path.with_name(f"{path.name}.before-{version}")
    part = kept.with_name(f"{kept.name}.part")
    part.unlink(missing_ok=True)
    try:
        copy_database(path, part)
        part.replace(kept)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    to_disk(path.parent)
    return kept


def _drop_old_copies(path: Path) -> None:
    """Drop copies from before a migration that are older than a month: what was erased since stands in them."""
    for copy in path.parent.glob(f"{path.name}.before-*"):
        with suppress(OSError):
            if copy.stat().st_mtime < time.time() - _KEEP_BEFORE:
                copy.unlink()


def copy_database(source: Path, target: Path) -> None:
    """Copy the SQLite database at *source*, which others may write to meanwhile, to *target*; blocking.

    The copy is one file, of mode 0600, as of one moment, and on the disk on return.

    Raises:
        StorageTrouble: one of the two cannot be read or written, or *source* is damaged.
        FileExistsError: there is a *target*.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(_read_only(source)) as connection, closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StorageTrouble("damaged", str(source))
        to_disk(target)
    except FileExistsError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise trouble_of(error, str(source)) or StorageTrouble("failing", str(source)) from error


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def to_disk(path: Path) -> None:
    """Return when the file at *path*, or the names in that folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_KINDS: Mapping[int, Storage] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_PERM: "read-only",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
    sqlite3.SQLITE_IOERR: "failing",
    sqlite3.SQLITE_CANTOPEN: "failing",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
}
"""By SQLite's primary result codes (sqlite.org/rescode.html)."""

_ERRNOS: Mapping[int, Storage] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "read-only",
    errno.EACCES: "read-only",
    errno.EPERM: "read-only",
    errno.EIO: "failing",
}


def trouble_of(error: Exception, where: str) -> StorageTrouble | None:
    """Return *error*, met at the file *where*, as trouble of the disk or the file; None if it is of another kind."""
    if isinstance(error, sqlite3.Error):
        kind = _KINDS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    else:
        kind = _ERRNOS.get(error.errno or 0) if isinstance(error, OSError) else None
    return None if kind is None else StorageTrouble(kind, where)


def _unusable(path: Path, error: Exception) -> Problem:
    text = str(error).lower()
    if "not a database" in text or "malformed" in text:
        cure = "Put a backup back: omnibot restore FILE"
        return Problem(str(path), "data_dir", "this file is damaged or not a database", cure)
    if "readonly" in text or isinstance(error, PermissionError) or "unable to open" in text:
        return Problem(
            str(path), "data_dir", "cannot be written", "Give the bot's user write permission to the folder."
        )
    if "full" in text or "no space" in text:
        return Problem(str(path), "data_dir", "the disk is full", "Free some space; nothing was lost.")
    if "locked" in text:
        cure = "End that program: nothing but the bot should write there."
        return Problem(str(path), "data_dir", "another program holds it locked", cure)
    return Problem(
        str(path), "data_dir", f"cannot be opened ({error})", "Look at the file and the folder's permissions."
    )
