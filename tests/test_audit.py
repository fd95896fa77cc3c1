"""What people did as themselves is written in order, kept when it cannot be, and not changed unnoticed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from omnibot.audit import Audit
from omnibot.database import Database
from omnibot.people import People
from omnibot.testing.bench import ADA, GRACE
from omnibot.vault import Grants, Keyring, Opener, Sealer


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
def audit(database: Database) -> Audit:
    clock = iter(range(1, 10_000))
    return Audit(database, clock=lambda: next(clock) + 0.1)


@pytest.fixture
async def ada(database: Database) -> str:
    """A person's id."""
    keyring = Keyring([b"k" * 32])
    people = People(database, Sealer(keyring), Opener(keyring, Grants()))
    await people.ensure(GRACE)
    return (await people.ensure(ADA)).person


async def events(database: Database) -> list[str]:
    return [row["event"] for row in await database.read("SELECT event FROM audit ORDER BY seq")]


async def write(database: Database, sql: str, *values: Any) -> None:
    async with database.transaction() as tx:
        await tx.execute(sql, values)


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(2):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


# ------------------------------------------------------------------------------------------ writing


async def test_what_happened_is_written_behind_and_in_order(audit: Audit, database: Database, ada: str) -> None:
    """Recording waits for nothing."""
    for number in range(5):
        audit.record(ada, "libera", f"event.{number}", command="ping", n=number, ok=True, why=None)
    before = await events(database)
    await audit.flush()
    row = (await database.read("SELECT * FROM audit ORDER BY seq"))[0]

    assert [] == before
    assert [f"event.{number}" for number in range(5)] == await events(database)
    assert (1.1, "libera") == (row["at"], row["network"])
    assert {"command": "ping", "n": 0, "ok": True, "why": None} == json.loads(row["detail"])


async def test_people_stand_there_by_a_pseudonym(audit: Audit, database: Database, ada: str) -> None:
    """Their id is nowhere; whom nobody knows, and the bot itself, have none."""
    audit.record(ada, "libera", "known")
    audit.record("somebody", "libera", "unknown")
    audit.record("", "", "bot")
    await audit.flush()
    rows = await database.read("SELECT * FROM audit ORDER BY seq")
    pseudonym = (await database.read("SELECT pseudonym FROM people WHERE id = ?", (ada,)))[0]["pseudonym"]

    assert [pseudonym, "", ""] == [row["pseudonym"] for row in rows]
    assert ada not in str(rows)
    assert "somebody" not in str(rows)


async def test_a_person_can_read_their_own(audit: Audit, database: Database, ada: str) -> None:
    """The latest first, also what is not written yet; nobody else's."""
    others = await database.read("SELECT id FROM people WHERE id != ?", (ada,))
    for number in range(3):
        audit.record(ada, "libera", f"mine.{number}")
        audit.record(others[0]["id"], "libera", "theirs")
    found = await audit.of(ada, most=2)

    assert ["mine.2", "mine.1"] == [one.event for one in found]
    assert 3 == len(await audit.of(ada))


async def test_after_erasing_the_chain_is_whole_and_says_nothing_of_them(
    audit: Audit, database: Database, ada: str
) -> None:
    """The mapping is gone with the person."""
    audit.record(ada, "libera", "mine")
    await audit.flush()
    await write(database, "DELETE FROM people WHERE id = ?", ada)

    assert [] == await audit.of(ada)
    assert await audit.first_broken() is None
    assert ["mine"] == await events(database)


async def test_it_is_written_within_a_second_by_itself(
    audit: Audit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or at once when much has come together."""
    monkeypatch.setattr("omnibot.audit._FLUSH_EVERY", 0.01)
    task = asyncio.create_task(audit.run())
    audit.record("", "", "one")

    async def written() -> bool:
        return bool(await events(database))

    await until(written)
    monkeypatch.setattr("omnibot.audit._FLUSH_EVERY", 60)
    await asyncio.sleep(0.02)
    for _ in range(200):
        audit.record("", "", "many")

    async def all_written() -> bool:
        return len(await events(database)) == 201

    await until(all_written)
    task.cancel()

    assert 201 == len(await events(database))


async def test_what_cannot_be_written_is_kept_and_written_later(
    audit: Audit, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In its order, before what came meanwhile."""
    monkeypatch.setattr("omnibot.audit._FLUSH_EVERY", 0.001)
    monkeypatch.setattr("omnibot.audit._PAUSE_AFTER_FAILURE", 0.001)
    await write(database, "ALTER TABLE audit RENAME TO away")
    task = asyncio.create_task(audit.run())
    audit.record("", "", "one")

    async def failed() -> bool:
        return "the audit could not be written" in caplog.text

    await until(failed)
    audit.record("", "", "two")
    await write(database, "ALTER TABLE away RENAME TO audit")

    async def written() -> bool:
        return len(await events(database)) == 2

    await until(written)
    task.cancel()

    assert ["one", "two"] == await events(database)
    assert await audit.first_broken() is None


async def test_what_comes_while_it_is_written_is_not_lost(audit: Audit, database: Database) -> None:
    """Nor written twice, however many write at the same time."""
    audit.record("", "", "0")
    flushes = [asyncio.create_task(audit.flush()) for _ in range(3)]
    for number in range(1, 10):
        await asyncio.sleep(0)
        audit.record("", "", str(number))
    await asyncio.gather(*flushes)
    await audit.flush()

    assert [str(number) for number in range(10)] == await events(database)


async def test_a_cancelled_flush_writes_nothing_twice(
    audit: Audit, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the bot ends while it commits."""
    commit, committing = database._writer.commit, asyncio.Event()

    async def noted() -> None:
        committing.set()
        await commit()

    audit.record("", "", "one")
    with monkeypatch.context() as patch:
        patch.setattr(database._writer, "commit", noted)
        task = asyncio.create_task(audit.flush())
        await committing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    audit.record("", "", "two")
    await audit.flush()

    assert ["one", "two"] == await events(database)
    assert await audit.first_broken() is None


# ------------------------------------------------------------------------------------------ the chain


async def test_an_untouched_chain_is_whole(audit: Audit, database: Database) -> None:
    """Empty, after one flush, after many, and after a restart."""
    found = [await audit.first_broken()]
    for number in range(6):
        audit.record("", "libera", f"event.{number}", n=number)
        if number % 2:
            await audit.flush()
            found.append(await audit.first_broken())
    again = Audit(database)
    again.record("", "", "after")
    await again.flush()
    found.append(await again.first_broken())

    assert [None] * 5 == found


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE audit SET at = at + 1 WHERE seq = 3", 3),
        ("UPDATE audit SET pseudonym = 'x' WHERE seq = 3", 3),
        ("UPDATE audit SET network = 'oftc' WHERE seq = 3", 3),
        ("UPDATE audit SET event = 'other' WHERE seq = 3", 3),
        ("UPDATE audit SET detail = '{}' WHERE seq = 3", 3),
        ("UPDATE audit SET previous = hash WHERE seq = 3", 3),
        ("UPDATE audit SET hash = previous WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq = 1", 2),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq IN (3, 4)", 3),
        ("UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE seq IN (2, 3)", -3),
        ("UPDATE audit SET seq = seq + 10 WHERE seq > 3", 4),
    ],
)
async def test_a_row_that_was_touched_is_found(audit: Audit, database: Database, sql: str, broken: int) -> None:
    """Changed in any column, taken out of the beginning or the middle, moved."""
    for number in range(5):
        audit.record("", "libera", f"event.{number}", n=number)
    await audit.flush()
    await write(database, sql)

    assert broken == await audit.first_broken()


async def test_a_last_row_that_was_taken_away_is_found_once_another_is_written(
    audit: Audit, database: Database
) -> None:
    """Numbers are given out once."""
    for number in range(3):
        audit.record("", "", str(number))
    await audit.flush()
    await write(database, "DELETE FROM audit WHERE seq = 3")
    audit.record("", "", "next")
    await audit.flush()

    assert 3 == await audit.first_broken()
