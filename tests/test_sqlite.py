"""What is short runs on the loop, what may wait in a thread, and a program that writes beside us is waited for."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from omnibot.sqlite import Connection


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    connection = await Connection.open(
        tmp_path / "some.db", ("PRAGMA journal_mode = WAL", "CREATE TABLE t (x INTEGER)")
    )
    yield connection
    await connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.db"


@contextmanager
def another_writes(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_what_was_committed_others_see(connection: Connection, path: Path) -> None:
    """And what was rolled back nobody."""
    assert connection.begin()
    connection.raw.execute("INSERT INTO t VALUES (1)")
    await connection.commit()
    assert connection.begin()
    connection.raw.execute("INSERT INTO t VALUES (2)")
    await connection.rollback()
    with closing(sqlite3.connect(path)) as other:
        found = other.execute("SELECT x FROM t").fetchall()

    assert [(1,)] == found


async def test_a_row_is_a_dict(connection: Connection) -> None:
    """By the names of its columns, whichever thread asks."""
    found = connection.raw.execute("SELECT 1 AS a, 2 AS b").fetchall()

    assert (
        [{"a": 1, "b": 2}] == found == await connection.run(lambda raw: raw.execute("SELECT 1 AS a, 2 AS b").fetchall())
    )


async def test_the_loop_does_not_wait_for_another_program(connection: Connection, path: Path) -> None:
    """To begin says no at once; who waits in patience begins when the other has ended, and the loop goes on."""
    with another_writes(path) as other:
        at_once = connection.begin()
        waiting = connection.begin_patiently()
        await asyncio.sleep(0.05)
        begun_beside = waiting.done()
        other.execute("COMMIT")
        await waiting

    assert (False, False, True) == (at_once, begun_beside, connection.raw.in_transaction)


async def test_patience_ends(connection: Connection, path: Path) -> None:
    """Whoever wrote all that time is still writing: that is told."""
    connection.patience = 10
    with another_writes(path), pytest.raises(sqlite3.OperationalError, match="locked"):
        await connection.begin_patiently()

    assert not connection.raw.in_transaction


async def test_what_is_no_other_program_is_raised_at_once(connection: Connection) -> None:
    """A transaction in a transaction is our own mistake, and no reason to wait."""
    assert connection.begin()

    with pytest.raises(sqlite3.OperationalError, match="within a transaction"):
        connection.begin()


async def test_what_is_given_to_the_thread_is_done_in_turn(connection: Connection) -> None:
    """So taking back comes after whatever was still under way when its task was cancelled."""
    may_go = threading.Event()
    assert connection.begin()

    def slowly(raw: sqlite3.Connection) -> None:
        may_go.wait(5)
        raw.execute("INSERT INTO t VALUES (1)")

    under_way = connection.run(slowly)
    await asyncio.sleep(0.05)
    under_way.cancel()
    back = connection.rollback()
    may_go.set()
    await back

    assert [] == connection.raw.execute("SELECT x FROM t").fetchall()


async def test_an_opening_that_fails_leaves_nothing_open(path: Path) -> None:
    """No thread, and no lock on the file."""
    path.write_bytes(b"no database" * 100)  # noqa: ASYNC240 - before anything else runs
    before = set(threading.enumerate())
    with pytest.raises(sqlite3.DatabaseError):
        await Connection.open(path, ("PRAGMA journal_mode = WAL",))
    for thread in set(threading.enumerate()) - before:
        thread.join(2)

    assert before >= {thread for thread in threading.enumerate() if thread.is_alive()}
