"""One connection to a SQLite file, for one loop: what is short runs on it, what may wait in a thread.

A statement about a row or two takes microseconds.  The way to a thread and back costs as much as ten
of them, and a turn of the loop at either end: where the loop is busy that is a millisecond, and
whoever holds the writer's lock holds it that long.  So short statements run on the loop itself.  What
may wait runs in the connection's one thread: a commit for the disk, a beginning for another program,
and anything about rows without number.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from omnibot.threads import in_own_thread

_PATIENCE = 5000
"""Milliseconds to wait while another program writes."""


class Connection:
    """An open connection: `raw` is for short statements, at once, while nothing that `run` was given is under way.

    Whoever holds it to write sees to that: also when cancelled, they wait for the thread before they let go.
    Rows are dicts by the names of their columns.  There is no transaction but those that are begun here.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        """Use `open` instead."""
        self.raw = raw
        self.patience = _PATIENCE
        self._thread = ThreadPoolExecutor(1, "omnibot-sqlite")

    @classmethod
    async def open(cls, path: Path, settings: Sequence[str]) -> "Connection":
        """Open *path* and run the statements *settings*.

        Raises:
            sqlite3.Error: it cannot be opened, or is no database.
        """
        return cls(await in_own_thread(partial(_opened, path, settings)))

    def run[T](self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Do *work* in the connection's thread, after all that was given to it before.

        Whoever waits may be cancelled; *work* is done to its end then, unless it had not begun.
        """
        return asyncio.get_running_loop().run_in_executor(self._thread, work, self.raw)

    def begin(self) -> bool:
        """Begin a transaction that writes, at once; return False if another program is writing."""
        try:
            _begin(self.raw, 0)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        return True

    def begin_patiently(self) -> asyncio.Future[None]:
        """Begin one when the other program has ended.

        Raises:
            sqlite3.OperationalError: it did not, for all our `patience`.
        """
        return self.run(partial(_begin, patience=self.patience))

    def commit(self) -> asyncio.Future[None]:
        """Commit what was begun, if anything was: it is on the disk then."""
        return self.run(sqlite3.Connection.commit)

    def rollback(self) -> asyncio.Future[None]:
        """Take back what was begun, if anything was, when all that `run` was given has ended."""
        return self.run(sqlite3.Connection.rollback)

    def empty_log(self, patience: int | None = None) -> asyncio.Future[bool]:
        """Write all of the write-ahead log into the database, and cut the log to nothing.

        Comes to False if somebody reads what is in the log for all our *patience*, in milliseconds.
        """
        return self.run(partial(_empty_log, patience=self.patience if patience is None else patience))

    async def close(self) -> None:
        """Close it when all that `run` was given has ended, and let its thread end."""
        try:
            await self.run(sqlite3.Connection.close)
        finally:
            self._thread.shutdown(wait=False)


def _opened(path: Path, settings: Sequence[str]) -> sqlite3.Connection:
    raw = sqlite3.connect(path, timeout=_PATIENCE / 1000, isolation_level=None, check_same_thread=False)
    try:
        raw.row_factory = _named
        for setting in settings:
            raw.execute(setting).fetchall()
    except BaseException:
        raw.close()
        raise
    return raw


def _named(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def _begin(raw: sqlite3.Connection, patience: int) -> None:
    with _patient(raw, patience):
        raw.execute("BEGIN IMMEDIATE")


def _empty_log(raw: sqlite3.Connection, patience: int) -> bool:
    with _patient(raw, patience):
        return not raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()["busy"]


@contextmanager
def _patient(raw: sqlite3.Connection, milliseconds: int) -> Iterator[None]:
    """Let *raw* wait so long for other programs."""
    raw.execute(f"PRAGMA busy_timeout = {milliseconds}").close()
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout = {_PATIENCE}").close()
