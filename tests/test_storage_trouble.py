"""A disk that is full, or in other trouble, is said in a sentence; nothing is lost, and it is over when it is over."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from omnibot.accounts import Account
from omnibot.database import Database, trouble_of
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import StorageTrouble
from omnibot.testing.bench import ADA, GRACE, Bench, Plan

FULL = "My disk is full: nothing was changed here. My operator has to mend that; try again later."

READ_ONLY = (
    "I can only read what I keep, and not write it: nothing was changed here. My operator has to mend that; try again "
    "later."
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return Plan(tmp_path, provider=provider)


async def put(database: Database, name: str, position: str = "1") -> None:
    async with database.transaction() as tx:
        await tx.insert("positions", {"network": name, "position": position})


@asynccontextmanager
async def full(database: Database) -> AsyncIterator[None]:
    """Let SQLite find no room for another page: it says what it says of a full disk."""
    (row,) = await database.read("PRAGMA page_count")
    (before,) = database._writer.raw.execute("PRAGMA max_page_count").fetchall()
    database._writer.raw.execute(f"PRAGMA max_page_count = {row['page_count']}").fetchall()
    try:
        yield
    finally:
        database._writer.raw.execute(f"PRAGMA max_page_count = {before['max_page_count']}").fetchall()


@asynccontextmanager
async def read_only(database: Database) -> AsyncIterator[None]:
    """Let nothing be written: what SQLite says of a file system that went read-only."""
    database._writer.raw.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        database._writer.raw.execute("PRAGMA query_only = OFF")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another program hold the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """What the operator reads."""
    return [one.getMessage() for one in caplog.records if one.levelno >= level]


# ------------------------------------------------------------------------------------- the database


async def test_a_full_disk_is_trouble_and_nothing_of_it_stays(database: Database) -> None:
    """The whole transaction is rolled back, and reading goes on."""
    await put(database, "before")
    async with full(database):
        with pytest.raises(StorageTrouble) as caught:
            await put(database, "large", "x" * 100_000)
        seen = await database.read("SELECT network FROM positions")

    assert ("full", str(database.path)) == (caught.value.kind, caught.value.where)
    assert FULL == caught.value.said
    assert [{"network": "before"}] == seen


async def test_it_is_over_by_itself(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins however often it is met, one when something is written again; then the next begins."""
    async with full(database):
        for _ in range(20):
            with pytest.raises(StorageTrouble):
                await put(database, "large", "x" * 100_000)
    await put(database, "after")
    await put(database, "later")
    said = lines(caplog)

    assert [1, 1] == [sum(words in one for one in said) for words in ("the disk is full", "can be written again")]
    assert 2 == len(said)
    assert "Free some space" in said[0]


async def test_a_transaction_that_wrote_nothing_does_not_end_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit of nothing goes well on a full disk."""
    async with full(database):
        with pytest.raises(StorageTrouble):
            await put(database, "large", "x" * 100_000)
        async with database.transaction() as tx:
            await tx.rows("SELECT 1")

        assert 1 == len(lines(caplog))


async def test_a_file_that_can_only_be_read_is_trouble(database: Database) -> None:
    """And is no longer, once it can be written."""
    async with read_only(database):
        with pytest.raises(StorageTrouble) as caught:
            await put(database, "a")
    await put(database, "b")

    assert "read-only" == caught.value.kind
    assert [{"network": "b"}] == await database.read("SELECT network FROM positions")


async def test_another_program_that_holds_it_is_trouble(database: Database) -> None:
    """After the time that SQLite waits."""
    database._writer.patience = 10
    with locked(database.path), pytest.raises(StorageTrouble) as caught:
        await put(database, "a")
    await put(database, "b")

    assert "locked" == caught.value.kind


async def test_damage_found_while_it_runs_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With what to do; that other rows can be written does not mend it."""
    path = tmp_path / "omnibot.db"
    database = await Database.open(path)
    for number in range(200):
        await put(database, f"network {number:03}", "x" * 200)
    await database.close()
    data = bytearray(path.read_bytes())
    for page in range(0, len(data), 4096):
        if b"network 1" in data[page : page + 4096]:
            data[page : page + 8] = b"\xff" * 8
    path.write_bytes(data)
    database = await Database.open(path)
    try:
        for read in (database.read, database.rows, database.read):
            with pytest.raises(StorageTrouble, match="it is damaged"):
                await read("SELECT * FROM positions")
            async with database.transaction() as tx:
                await tx.execute("CREATE TABLE IF NOT EXISTS other (x INTEGER) STRICT")
                await tx.execute("INSERT INTO other VALUES (1)")
    finally:
        await database.close()
    said = [one for one in lines(caplog) if "damaged" in one]

    assert 1 == len(said)
    assert "omnibot restore FILE" in said[0]
    assert [] == [one for one in lines(caplog) if "again" in one]


async def test_a_log_that_could_not_be_emptied_is_emptied_later(database: Database) -> None:
    """What was erased is erased; its traces in the log go once there is room (A39)."""
    await put(database, "a", "erase-canary-" + "x" * 200)
    await database.checkpoint()
    await put(database, "fills", "y" * 50_000)
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM positions WHERE network = 'a'")
    database._writer.patience = 10
    async with read_only(database):
        await database.checkpoint()
        owed = database._owes_checkpoint
        with pytest.raises(StorageTrouble):
            await put(database, "b")
    await put(database, "c")
    wal = database.path.with_name("omnibot.db-wal")

    assert (not owed) or wal.stat().st_size == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), "full"),
        (OSError(122, "Disk quota exceeded"), "full"),
        (OSError(30, "Read-only file system"), "read-only"),
        (OSError(5, "Input/output error"), "failing"),
        (OSError(2, "No such file or directory"), None),
        (ConnectionResetError(104, "reset"), None),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), None),
        (ValueError("no active connection"), None),
    ],
)
def test_only_what_the_disk_says_is_trouble_of_the_disk(error: Exception, kind: str | None) -> None:
    """A row that is refused is our own mistake, a connection that broke another's."""
    found = trouble_of(error, "here")

    assert kind == (found.kind if found else None)


# ------------------------------------------------------------------------------------ who speaks


async def test_what_needs_no_storage_goes_on(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """A link cannot be begun, and says why in a sentence; `ping` and an account's own reading go on."""
    async with Bench.open(plan) as bench:
        await bench.link()
        async with read_only(bench.core.database):
            link = await bench.say("!link demo", GRACE)
            ping = await bench.say("!ping", GRACE)
            notes = await bench.say("!notes", ADA)
        caplog.clear()
        again = await bench.say("!link demo", GRACE)

    assert [READ_ONLY] == link
    assert ["pong"] == [one.lower().rstrip("!.") for one in ping]
    assert ["You have no notes."] == notes
    assert "To connect" in again[0]


async def test_what_is_erased_is_not_said_to_be_before_it_is(plan: Plan) -> None:
    """On a full disk the account stays, and it is said."""
    async with Bench.open(plan) as bench:
        await bench.link()
        async with read_only(bench.core.database):
            said = await bench.say("!unlink demo")
        left = await bench.rows("SELECT status FROM accounts")
        again = await bench.say("!unlink demo")

    assert "nothing was changed here" in said[0]
    assert [{"status": "active"}] == left
    assert "erased here" in again[0]


async def test_a_page_says_so_too(plan: Plan) -> None:
    """With a status that says it is the bot's, and reloading goes on when it is over."""
    async with Bench.open(plan) as bench, Browser() as browser:
        await bench.say("!link demo")
        await browser.open(bench.link_for())
        async with read_only(bench.core.database):
            try:
                await browser.press("Continue")
            except AssertionError as error:
                said = str(error)
            else:
                said = browser.text
        await bench.authorise(browser, bench.link_for())
        answers = await bench.say(f"!confirm {browser.code}")

    assert "kept just now" in said or "507" in said
    assert "Linked" in answers[0]


async def test_a_redelivering_network_is_told_nothing_before_it_is_durable(plan: Plan) -> None:
    """Its position stays where it was; the speaker hears why, once; it is done when there is room."""
    async with Bench.open(plan) as bench:
        network = bench.network
        await bench.say("!ping")
        before = len(network.said)
        async with read_only(bench.core.database):
            taking = asyncio.create_task(network.hear("!ping", ADA, position="p-1"))
            await _until(lambda: len(network.said) > before)
            during = (taking.done(), await bench.core.intake.position("fake"))
        await taking
        await bench.settle()
        said = [one.reply.text for one in network.said[before:]]
        position = await bench.core.intake.position("fake")

    assert (False, None) == during
    assert "p-1" == position
    assert 1 == sum("nothing was changed here" in one for one in said)
    assert 1 == sum("pong" in one.lower() for one in said)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------------------- tokens just renewed


async def test_a_token_that_was_just_renewed_is_not_lost(plan: Plan, provider: DemoProvider) -> None:
    """The service has taken the old one back: the new one is kept in memory, unused, until the disk takes it."""
    async with Bench.open(plan) as bench:
        await bench.link()
        provider.expire_access_tokens()
        renewals = bench.core.renewals
        keep = renewals._keep

        async def keep_not(*args: object) -> Account | None:
            async with read_only(bench.core.database):
                return await keep(*args)  # type: ignore[arg-type]

        renewals._keep = keep_not  # type: ignore[method-assign,assignment]
        first = await bench.say("!notes")
        second = await bench.say("!notes")
        renewals._keep = keep  # type: ignore[method-assign]
        third = await bench.say("!notes")
        left = await bench.rows("SELECT status, generation FROM accounts")

    assert [True, True] == ["nothing was changed here" in one[0] for one in (first, second)]
    assert ["You have no notes."] == third
    assert "active" == left[0]["status"]


async def test_a_renewal_is_not_begun_that_could_not_be_kept(plan: Plan, provider: DemoProvider) -> None:
    """That it is begun is written first: where it cannot be, the service is not asked."""
    async with Bench.open(plan) as bench:
        await bench.link()
        provider.expire_access_tokens()
        async with read_only(bench.core.database):
            said = await bench.say("!notes")
        again = await bench.say("!notes")

    assert "nothing was changed here" in said[0]
    assert ["You have no notes."] == again


async def test_at_the_end_it_is_said_what_is_lost(
    plan: Plan, provider: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A token that could not be stored to the very end is named in the log, by number and not by value."""
    async with Bench.open(plan) as bench:
        await bench.link()
        provider.expire_access_tokens()
        renewals, keep = bench.core.renewals, bench.core.renewals._keep

        async def keep_not(*args: object) -> Account | None:
            async with read_only(bench.core.database):
                return await keep(*args)  # type: ignore[arg-type]

        renewals._keep = keep_not  # type: ignore[method-assign,assignment]
        await bench.say("!notes")
    said = [one for one in lines(caplog) if "cannot be stored and are lost" in one]

    assert 1 == len(said)
    assert said[0].startswith("1 renewed")
