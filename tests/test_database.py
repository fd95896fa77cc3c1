"""A transaction happens whole or not at all, whatever is cancelled, and an unusable file is told in one sentence."""

import asyncio
import os
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from omnibot.database import Database, Transaction, _unusable, migrations
from omnibot.errors import ConfigError, StorageTrouble

NOBODY = 65534


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


async def put(tx: Transaction, name: str, position: str = "1") -> None:
    await tx.insert("positions", {"network": name, "position": position})


async def names(database: Database) -> list[str]:
    return [row["network"] for row in await database.read("SELECT network FROM positions ORDER BY network")]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = await Database.open(path)
    try:
        yield database
    finally:
        await database.close()


async def problem_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        await Database.open(path)
    return str(caught.value)


# ----------------------------------------------------------------------------------------- opening


async def test_a_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, with the latest schema, and what protects it switched on."""
    before = os.umask(0)
    try:
        async with opened(tmp_path / "omnibot.db") as database, database.transaction() as tx:
            await put(tx, "a")
            said = [
                (await tx.rows(f"PRAGMA {name}"))[0][name]
                for name in ("user_version", "journal_mode", "synchronous", "foreign_keys", "secure_delete")
            ]
            found = modes(tmp_path)
    finally:
        os.umask(before)

    assert [migrations()[-1][0], "wal", 2, 1, 1] == said
    assert {"omnibot.db": 0o600, "omnibot.db-wal": 0o600, "omnibot.db-shm": 0o600} == found


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    """And a schema that is up to date is left alone."""
    path = tmp_path / "omnibot.db"
    async with opened(path) as database, database.transaction() as tx:
        await put(tx, "a")
    async with opened(path) as database:
        async with database.transaction() as tx:
            await put(tx, "b")
        found = await names(database)

    assert ["a", "b"] == found


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    """Sorted by number; each begins from nothing or from the one before."""
    assert list(range(1, len(migrations()) + 1)) == [number for number, _ in migrations()]


async def test_what_goes_with_a_row_is_found_by_an_index(database: Database) -> None:
    """For every foreign key: without one, who erases a person looks at everybody's rows, and holds the loop."""
    alone = []
    for table in await database.read("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        for key in await database.read(f"PRAGMA foreign_key_list({table['name']})"):
            looked = f"SELECT 1 FROM {table['name']} WHERE {key['from']} = ?"  # noqa: S608 - of the schema
            (plan,) = await database.read(f"EXPLAIN QUERY PLAN {looked}", ("x",))
            if key["seq"] == 0 and "SEARCH" not in plan["detail"]:
                alone.append((table["name"], key["from"]))

    assert [] == alone


async def test_only_the_migrations_that_are_missing_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, and each with its version number."""
    path = tmp_path / "omnibot.db"
    await (await Database.open(path)).close()
    more = [*migrations(), (98, "CREATE TABLE one (x TEXT) STRICT;"), (99, "ALTER TABLE one ADD COLUMN y TEXT;")]
    monkeypatch.setattr("omnibot.database.migrations", lambda: more)
    async with opened(path) as database:
        columns = [row["name"] for row in await database.read("PRAGMA table_info(one)")]
        version = (await database.read("PRAGMA user_version"))[0]["user_version"]

    assert ["x", "y"] == columns
    assert 99 == version


async def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statements and its number stand in one transaction, so the old program still opens the file."""
    path = tmp_path / "omnibot.db"
    await (await Database.open(path)).close()
    with monkeypatch.context() as patch:
        broken = [*migrations(), (99, "CREATE TABLE half (x TEXT) STRICT; CREATE TABLE people (x TEXT);")]
        patch.setattr("omnibot.database.migrations", lambda: broken)
        said = await problem_of(path)
    async with opened(path) as database:
        left = await database.read("SELECT name FROM sqlite_schema WHERE name = 'half'")

    assert f"could not be brought from version {migrations()[-1][0]} to 99" in said
    assert "Nothing was changed" in said
    assert [] == left


async def test_a_newer_database_is_not_touched(tmp_path: Path) -> None:
    """An older program says what to do and changes nothing."""
    path = tmp_path / "omnibot.db"
    await (await Database.open(path)).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 999")
    before = path.read_bytes()
    said = await problem_of(path)

    assert f"{path}: the database is of version 999, this program knows {migrations()[-1][0]}" in said
    assert "Upgrade omnibot." in said
    assert before == path.read_bytes()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
async def test_a_damaged_file_is_told_and_kept(tmp_path: Path, content: bytes) -> None:
    """It may be mended from a backup: nothing is overwritten."""
    path = tmp_path / "omnibot.db"
    path.write_bytes(content)
    said = await problem_of(path)

    assert "damaged or not a database" in said
    assert "backup" in said
    assert content == path.read_bytes()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nothing in *folder* be written for a while; if we are root, whom no mode stops, be nobody meanwhile."""
    root = os.geteuid() == 0
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others can reach: pytest's own are closed to them."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


async def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    """With the cure; the process goes on."""
    with read_only(folder):
        said = await problem_of(folder / "omnibot.db")

    assert f"{folder / 'omnibot.db'}: data_dir: cannot be written" in said
    assert "write permission" in said


async def test_a_database_that_may_only_be_read_is_told(folder: Path) -> None:
    """As after a restore as another user."""
    await (await Database.open(folder / "omnibot.db")).close()
    with read_only(folder):
        said = await problem_of(folder / "omnibot.db")

    assert "cannot be written" in said


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (sqlite3.DatabaseError("file is not a database"), "damaged"),
        (sqlite3.DatabaseError("database disk image is malformed"), "damaged"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "cannot be written"),
        (sqlite3.OperationalError("unable to open database file"), "cannot be written"),
        (PermissionError(13, "Permission denied"), "cannot be written"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (sqlite3.OperationalError("database is locked"), "another program holds it locked"),
    ],
)
def test_every_failure_names_the_key_and_a_cure(error: Exception, what: str) -> None:
    """Not the library's words where ours are better."""
    problem = _unusable(Path("omnibot.db"), error)

    assert what in problem.what
    assert ("omnibot.db", "data_dir") == (problem.where, problem.key)
    assert problem.cure


async def test_a_failed_opening_leaves_no_thread(tmp_path: Path) -> None:
    """A connection left open would keep the process from ending."""
    before = set(threading.enumerate())
    path = tmp_path / "omnibot.db"
    path.write_bytes(b"no database" * 100)
    await problem_of(path)
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(2)

    assert not [thread for thread in left if thread.is_alive()]


# ------------------------------------------------------------------------------------ transactions


async def test_a_transaction_is_seen_when_it_is_over_and_not_before(database: Database) -> None:
    """A reader sees the last commit, the transaction itself what it wrote."""
    async with database.transaction() as tx:
        await put(tx, "a")
        within = await tx.rows("SELECT network FROM positions")
        outside = await names(database)

    assert [{"network": "a"}] == within
    assert [] == outside
    assert ["a"] == await names(database)


async def test_an_exception_rolls_everything_back(database: Database) -> None:
    """And goes on to whoever waits."""

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await work()
    async with database.transaction() as tx:
        await put(tx, "b")

    assert ["b"] == await names(database)


async def test_a_statement_that_fails_rolls_everything_back(database: Database) -> None:
    """A second row under one key is refused, and the first goes with it."""

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")
            await put(tx, "a")

    with pytest.raises(sqlite3.IntegrityError):
        await work()

    assert [] == await names(database)


async def test_a_commit_that_fails_leaves_no_open_transaction(database: Database) -> None:
    """As on a full disk: the next one begins from the last commit, and works."""
    orphan = {"network": "n", "subject": "s", "epoch": "", "person": "nobody", "display": ""}

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")
            await tx.execute("PRAGMA defer_foreign_keys = ON")
            await tx.insert("identities", orphan | {"created": 1.0, "key_id": "", "tag": b""})

    with pytest.raises(sqlite3.IntegrityError):
        await work()
    async with database.transaction() as tx:
        await put(tx, "b")

    assert ["b"] == await names(database)


async def test_transactions_do_not_mix(database: Database) -> None:
    """Twenty tasks count in turn, with a pause between reading and writing: no count is lost."""
    async with database.transaction() as tx:
        await put(tx, "count", "0")

    async def count() -> None:
        async with database.transaction() as tx:
            found = await tx.rows("SELECT position FROM positions WHERE network = 'count'")
            await asyncio.sleep(0)
            changed = await tx.update(
                "positions", ("network",), {"network": "count", "position": str(int(found[0]["position"]) + 1)}
            )
            assert changed == 1

    await asyncio.gather(*(count() for _ in range(20)))

    assert [{"position": "20"}] == await database.read("SELECT position FROM positions")


async def test_one_that_fails_takes_nothing_of_its_neighbours_with_it(database: Database) -> None:
    """Half of them raise after writing; the other half is there."""

    async def work(number: int) -> None:
        async with database.transaction() as tx:
            await put(tx, f"{number:02}")
            await asyncio.sleep(0)
            if number % 2:
                raise LookupError

    await asyncio.gather(*(work(number) for number in range(20)), return_exceptions=True)

    assert [f"{number:02}" for number in range(0, 20, 2)] == await names(database)


async def test_reading_does_not_wait_for_a_transaction(database: Database) -> None:
    """Pages are shown while something is written."""
    async with database.transaction() as tx:
        await put(tx, "a")
        async with asyncio.timeout(1):
            found = await names(database)

    assert [] == found


@pytest.mark.parametrize("number", [1, 16, 17, 500])
async def test_few_and_many_rows_are_written_alike(database: Database, number: int) -> None:
    """Few on the loop, many in the thread; a sweep takes all of them away again."""
    rows = [{"network": f"{one:03}", "position": "1"} for one in range(number)]
    async with database.transaction() as tx:
        await tx.insert("positions", *rows)
    written = await names(database), [row["network"] for row in await database.rows("SELECT network FROM positions")]
    async with database.transaction() as tx:
        swept = await tx.sweep("DELETE FROM positions WHERE network >= ?", ("001",))

    assert ([row["network"] for row in rows],) * 2 == written
    assert number - 1 == swept
    assert ["000"] == await names(database)


async def test_a_sweep_that_is_cancelled_is_taken_back(database: Database) -> None:
    """It goes on in its thread, and the rollback comes behind it."""
    async with database.transaction() as tx:
        await tx.insert("positions", *({"network": f"{one:04}", "position": "x" * 200} for one in range(3000)))

    async def work() -> None:
        async with database.transaction() as tx:
            await tx.sweep("DELETE FROM positions")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)  # it is sweeping now
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 3000 == len(await names(database))


async def test_execute_tells_how_many_rows_it_changed(database: Database) -> None:
    """And RETURNING gives rows: what spends something once stands on it."""
    async with database.transaction() as tx:
        await put(tx, "a")
        await put(tx, "b")
        deleted = await tx.execute("DELETE FROM positions WHERE network = ?", ("a",))
        again = await tx.execute("DELETE FROM positions WHERE network = ?", ("a",))
        spent = await tx.rows("UPDATE positions SET position = '2' RETURNING network")

    assert (1, 0) == (deleted, again)
    assert [{"network": "b"}] == spent


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
async def test_a_cancelled_transaction_is_never_left_open(database: Database, twice: bool) -> None:
    """Cancelled after any number of steps, by a time limit and then by the end of the bot, say."""
    for steps in range(14):
        for pause in range(4 if twice else 1):
            name = f"{steps:02}-{pause}"

            async def work(name: str = name) -> None:
                async with database.transaction() as tx:
                    await put(tx, f"{name} one")
                    await put(tx, f"{name} two")

            task = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            if twice:
                for _ in range(pause):
                    await asyncio.sleep(0)
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            async with database.transaction() as tx:
                await put(tx, f"{name} after")

    found = await names(database)

    assert not [one for one in found if one.endswith("one") and one.replace("one", "two") not in found]
    assert (56 if twice else 14) == len([one for one in found if one.endswith("after")])


async def test_a_begin_that_is_cancelled_twice_leaves_no_open_transaction(database: Database) -> None:
    """It waited for another program; the second time it is cancelled while what it began is taken back."""

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")

    for _ in range(20):
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(work())
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.sleep(0)
            other.execute("COMMIT")
        while not (database._writer.raw.in_transaction or task.done()):  # noqa: ASYNC110 - it changes in a thread
            await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        async with database.transaction() as tx:
            await put(tx, "b")
            await tx.execute("DELETE FROM positions")

    assert [] == await names(database)


async def test_who_asks_again_and_again_lets_others_have_a_turn(database: Database) -> None:
    """A thousand looks one after the other, none of which waits for anything."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    beside = asyncio.create_task(turn())
    for _ in range(1000):
        await database.rows("SELECT 1 FROM positions")
    beside.cancel()

    assert turns >= 1000 // 32 - 1


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_commit_under_way_is_seen_to_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """However often it is cancelled: what waits for the commit is called, and the lock is free after it."""
    commit, committing, may_go = database._writer.commit, asyncio.Event(), asyncio.Event()
    told: list[str] = []
    database.watch(told.append)

    async def slowly() -> None:
        committing.set()
        await may_go.wait()
        await commit()

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")
            tx.touch("p-1")

    with monkeypatch.context() as patch:
        patch.setattr(database._writer, "commit", slowly)
        task = asyncio.create_task(work())
        await committing.wait()
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        before = list(told)
        may_go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with database.transaction() as tx:
        await put(tx, "b")

    assert ([], ["p-1"]) == (before, told)
    assert ["a", "b"] == await names(database)


async def test_what_waits_for_a_commit_is_not_called_without_one(database: Database) -> None:
    """A rolled back change is nobody's business."""
    told: list[str] = []
    database.watch(told.append)

    async def work() -> None:
        async with database.transaction() as tx:
            tx.touch("p-1")
            raise LookupError

    with pytest.raises(LookupError):
        await work()
    async with database.transaction() as tx:
        tx.touch("p-2")
        tx.after_commit(lambda: told.append("after"))

    assert ["p-2", "after"] == told


async def test_cancelling_between_statements_rolls_back(database: Database) -> None:
    """What was written before is gone, and the next transaction is its own."""
    reached = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")
            reached.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.transaction() as tx:
        await put(tx, "b")

    assert ["b"] == await names(database)


async def test_who_is_cancelled_while_waiting_disturbs_nobody(database: Database) -> None:
    """The one before goes on, the one behind gets its turn."""
    task: asyncio.Task[None]

    async def work() -> None:
        async with database.transaction() as tx:
            await put(tx, "never")

    async with database.transaction() as tx:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        await put(tx, "a")
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.transaction() as tx:
        await put(tx, "b")

    assert ["a", "b"] == await names(database)


# ---------------------------------------------------------------------------------- erasing, closing


async def test_what_was_erased_is_on_no_page_of_the_disk(database: Database) -> None:
    """A39: neither in the database nor in its log, once a checkpoint was made."""
    canary = "erase-canary-" + "x" * 200
    async with database.transaction() as tx:
        await put(tx, "a", canary)
    await database.checkpoint()
    stored = canary.encode() in database.path.read_bytes()
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM positions")
    await database.checkpoint()
    left = b"".join(path.read_bytes() for path in database.path.parent.iterdir())

    assert stored
    assert b"erase-canary" not in left


async def test_a_backup_is_a_whole_database(database: Database, tmp_path: Path) -> None:
    """With what was committed, while another transaction is open."""
    async with database.transaction() as tx:
        await put(tx, "a")
    async with database.transaction() as tx:
        await put(tx, "b")
        await database.backup(tmp_path / "copy.db")
    async with opened(tmp_path / "copy.db") as copy:
        found, damage = await names(copy), await copy.damage()

    assert ["a"] == found
    assert "" == damage


async def test_damage_is_found_when_asked_for(tmp_path: Path) -> None:
    """A file that opens may still be broken inside."""
    path = tmp_path / "omnibot.db"
    async with opened(path) as database, database.transaction() as tx:
        for number in range(200):
            await put(tx, f"network {number:03}", "x" * 200)
    data = bytearray(path.read_bytes())
    page = data.index(b"network 100") // 4096 * 4096
    data[page : page + 8] = b"\xff" * 8
    path.write_bytes(data)
    async with opened(path) as database:
        said = await database.damage()

    assert "page" in said.lower()


async def test_closing_waits_for_the_transaction_under_way(tmp_path: Path) -> None:
    """What was begun is committed, and then the file is closed."""
    path = tmp_path / "omnibot.db"
    database = await Database.open(path)
    begun = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as tx:
            begun.set()
            await asyncio.sleep(0)
            await put(tx, "a")

    task = asyncio.create_task(work())
    await begun.wait()
    async with asyncio.timeout(2):
        await database.close()
    await task
    async with opened(path) as again:
        found = await names(again)

    assert ["a"] == found


# ------------------------------------------------------------------------------------- migrations


LATER = "CREATE TABLE later (x TEXT) STRICT;"


@pytest.fixture
async def filled(tmp_path: Path) -> Path:
    """A database of this program's version, with a row."""
    path = tmp_path / "omnibot.db"
    async with opened(path) as database, database.transaction() as tx:
        await put(tx, "precious")
    return path


def later(monkeypatch: pytest.MonkeyPatch, *sql: str) -> int:
    """Let the program know further versions; return the newest."""
    newest = migrations()[-1][0]
    more = [*migrations(), *((newest + number, one) for number, one in enumerate(sql, 1))]
    monkeypatch.setattr("omnibot.database.migrations", lambda: more)
    return more[-1][0]


def copies(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir() if ".before-" in one.name)


async def test_before_a_migration_a_copy_is_kept(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For its owner alone, as it was; an older one goes, and a database that is up to date gets none."""
    (filled.parent / "omnibot.db.before-2").write_bytes(b"older")
    before, newest = migrations()[-1][0], later(monkeypatch, LATER)
    async with opened(filled) as database:
        there = await names(database)
    async with opened(filled):
        pass
    (name,) = copies(filled)
    with closing(sqlite3.connect(filled.parent / name)) as copy:
        version = copy.execute("PRAGMA user_version").fetchone()[0]
        kept = copy.execute("SELECT network FROM positions").fetchall()

    assert f"omnibot.db.before-{newest}" == name
    assert 0o600 == modes(filled.parent)[name]
    assert (before, [("precious",)], ["precious"]) == (version, kept, there)


async def test_a_new_or_empty_database_needs_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to lose."""
    path = tmp_path / "omnibot.db"
    await (await Database.open(path)).close()
    later(monkeypatch, LATER)
    await (await Database.open(path)).close()

    assert [] == copies(path)


async def test_a_migration_that_fails_in_the_middle_undoes_those_before_it(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that ran before could not open one that is half-way; the copy is there as well."""
    with monkeypatch.context() as patch:
        newest = later(patch, LATER, "CREATE TABLE people (x TEXT);")
        said = await problem_of(filled)
    async with opened(filled) as database:
        there = await names(database)

    assert "Nothing was changed: the omnibot that ran before goes on with it." in said
    assert ["precious"] == there
    assert [f"omnibot.db.before-{newest}"] == copies(filled)


async def test_no_room_for_the_copy_is_said(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is migrated without it."""

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise StorageTrouble("full", str(source))

    with monkeypatch.context() as patch:
        later(patch, LATER)
        patch.setattr("omnibot.database.copy_database", full)
        said = await problem_of(filled)
    async with opened(filled) as database:
        there = await names(database)

    assert "the disk is full, and a copy from before has to fit beside it" in said
    assert "Free some space." in said
    assert (["precious"], []) == (there, copies(filled))


async def test_a_copy_goes_after_a_month(filled: Path) -> None:
    """Whoever was forgotten since stands in it."""
    for name, age in (("omnibot.db.before-2", 31), ("omnibot.db.before-3", 29)):
        (filled.parent / name).write_bytes(b"")
        os.utime(filled.parent / name, (time.time() - age * 86400,) * 2)
    async with opened(filled):
        pass

    assert ["omnibot.db.before-3"] == copies(filled)


async def test_a_log_that_somebody_reads_is_emptied_later(database: Database) -> None:
    """With the first write after they have ended: what was erased is not to stay in it."""
    database._writer.patience = 10
    async with database.transaction() as tx:
        await put(tx, "a", "erase-canary-" + "x" * 200)
    with closing(sqlite3.connect(database.path, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT * FROM positions").fetchall()
        async with database.transaction() as tx:
            await tx.execute("DELETE FROM positions")
        await database.checkpoint()
        async with database.transaction() as tx:
            await put(tx, "b")
    async with database.transaction() as tx:
        await put(tx, "c")
    left = b"".join(path.read_bytes() for path in database.path.parent.iterdir())

    assert b"erase-canary" not in left
    assert not database._owes_checkpoint


async def test_nothing_is_written_while_a_cancelled_checkpoint_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads on one connection would wait for each other, and one of them is the loop."""
    emptying, may_go = asyncio.Event(), asyncio.Event()

    async def slowly(patience: int | None) -> bool:
        emptying.set()
        await may_go.wait()
        return True

    async def write() -> None:
        async with database.transaction() as tx:
            await put(tx, "a")

    monkeypatch.setattr(database._writer, "empty_log", slowly)
    cutting = asyncio.create_task(database.checkpoint())
    await emptying.wait()
    cutting.cancel()
    writing = asyncio.create_task(write())
    done, _ = await asyncio.wait({cutting, writing}, timeout=0.05)
    may_go.set()
    await writing

    assert set() == done
    assert cutting.cancelled()
    assert ["a"] == await names(database)
