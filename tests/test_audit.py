"""What people did as themselves is written in order, kept when it cannot be, and not changed unnoticed."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from omnibot.audit import Audit
from omnibot.chain import Head
from omnibot.database import Database
from omnibot.errors import UserError
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


# ------------------------------------------------------------------------------------------ what is signed


DAY = 86400.0


class Days:
    """A clock that stands until it is set on, in days."""

    def __init__(self) -> None:
        self.day = 1.0

    def __call__(self) -> float:
        return self.day * DAY


def signing(database: Database, clock: Callable[[], float], *, keep: float | None = None) -> Audit:
    return Audit(database, clock, sealer=Sealer(Keyring([b"k" * 32])), keep=keep)


async def recorded(audit: Audit, *events: str) -> None:
    for event in events:
        audit.record("", "", event)
    await audit.flush()


async def test_the_head_is_signed_with_every_write(database: Database) -> None:
    """So that nothing has to be anchored for its end to be known."""
    audit = signing(database, Days())
    await recorded(audit, "one", "two")
    await recorded(audit, "three")
    await write(database, "DELETE FROM audit WHERE seq = 3")
    found = await audit.verify()

    assert (3, 2) == (found.broken, found.entries)
    assert "as its signed head says" in found.why


async def test_a_record_from_before_is_whole_and_signed_from_now_on(database: Database) -> None:
    """The entry that says so is the first thing written."""
    await recorded(Audit(database), "old", "older")
    audit = signing(database, Days())
    before = await audit.verify()
    await audit.begin()
    await recorded(audit, "new")
    after = await audit.verify()

    assert (None, ("The entries from 1 on are not signed yet.",)) == (before.broken, before.notes)
    assert ["old", "older", "audit.unsigned", "new"] == await events(database)
    assert None is after.broken
    assert ["the entries 1 to 2 without its signature" in one for one in after.notes] == [True]


async def test_what_was_written_without_a_key_is_signed_once_an_operator_says_so(database: Database) -> None:
    """Anybody who can write to the database could have written it."""
    await recorded(signing(database, Days()), "one")
    locked = Audit(database, Days())
    await recorded(locked, "two", "three")
    unsure = await locked.verify()
    audit = signing(database, Days())
    await recorded(audit, "four")
    before = await audit.verify()
    await audit.anchor(anew=True)

    assert None is unsure.broken
    assert "is missing: what is signed could not be checked" in unsure.notes[0]
    assert (2, "Entry 2 is behind the last that the bot has signed.") == (before.broken, before.why)
    assert await audit.first_broken() is None


async def test_what_somebody_else_adds_while_the_bot_runs_is_not_signed(database: Database) -> None:
    """However well it fits the chain."""
    audit = signing(database, Days())
    await recorded(audit, "one")
    await recorded(Audit(database, Days()), "forged")
    await recorded(audit, "two")

    assert 2 == await audit.first_broken()


@pytest.mark.parametrize(
    ("at", "detail"), [(float("inf"), "{}"), (1e18, "{}"), (-1e18, "{}"), (1.0, "[" * 200_000), (1.0, "\udcff")]
)
async def test_a_row_that_nobody_understands_stops_nothing(database: Database, at: float, detail: str) -> None:
    """Neither the bot nor the look at the record, which names it."""
    audit = signing(database, Days(), keep=DAY)
    await recorded(audit, "one")
    async with database.transaction() as tx:
        await tx.execute(
            "INSERT INTO audit (at, pseudonym, network, event, detail, previous, hash) "
            "VALUES (?, '', '', 'audit.anew', CAST(? AS TEXT), x'00', x'00')",
            (at, detail.encode("utf-8", "surrogateescape")),
        )
    await audit.begin()
    await audit.daily()

    assert 2 == await audit.first_broken()


async def test_a_clock_that_jumps_trims_nothing(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """It would be gone for good."""
    clock = Days()
    audit = signing(database, clock, keep=DAY)
    audit._ticks = lambda: 0.0
    await audit.begin()
    await recorded(audit, "one", "two")
    clock.day = 400

    assert 0 == await audit.trim()
    assert "the clock has jumped" in caplog.text


async def test_what_contradicts_the_signature_is_not_signed(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor anchored; told once, however often it is written, until an operator takes it for good."""
    audit = signing(database, Days())
    await recorded(audit, "one", "two")
    await audit.anchor()
    await write(database, "DELETE FROM audit WHERE seq = 2")
    await write(database, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'audit'")  # as in yesterday's database
    await recorded(audit, "three")
    await recorded(audit, "four")
    with pytest.raises(UserError, match="Nothing was anchored"):
        await audit.anchor()
    await audit.end()
    broken = await audit.first_broken()
    told = caplog.text.count("it does not go through entry 2")
    head = await audit.anchor(anew=True)
    found = await audit.verify()

    assert 1 == broken
    assert 1 == told
    assert found.head == head
    assert (None, 4) == (found.broken, found.entries)
    assert "an operator took the record as it was then for good" in found.notes[0]


async def test_an_anchor_given_has_to_fit(database: Database) -> None:
    """One of another record does not, nor one of later."""
    audit = signing(database, Days())
    await recorded(audit, "one")
    first = await audit.anchor()
    await recorded(audit, "two")
    assert first is not None

    assert (await audit.verify(first)).broken is None
    assert 1 == (await audit.verify(Head(1, b"x" * 32))).broken
    assert 3 == (await audit.verify(Head(7, b"x" * 32))).broken
    for said in ("", "1", "x:y", "1:abc", f"-1:{'0' * 64}"):
        with pytest.raises(UserError, match="An anchor is SEQ:HASH"):
            Head.named(said)
    assert first == Head.named(f" {str(first).upper()} ")


# ------------------------------------------------------------------------------------------ how long it is kept


async def test_what_is_older_than_is_kept_goes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed checkpoint stands for it; what is left is whole, and so after the next time."""
    monkeypatch.setattr("omnibot.audit._AT_ONCE", 2)
    clock = Days()
    audit = signing(database, clock, keep=10 * DAY)
    noted = []
    for clock.day in range(1, 15):
        await recorded(audit, f"day.{clock.day}")
        noted.append(await audit.anchor())
    clock.day = 16
    trimmed = await audit.trim()
    found = await audit.verify(noted[5])
    clock.day = 18
    again, left = await audit.trim(), await events(database)

    assert (5, 2) == (trimmed, again)
    assert (None, 10, 6) == (found.broken, found.entries, found.first)
    assert [*(f"day.{one}" for one in range(8, 15)), "audit.trimmed", "audit.trimmed"] == left
    assert await audit.first_broken() is None
    with pytest.raises(UserError, match="Entry 2 was trimmed"):
        await audit.verify(noted[1])


async def test_the_last_entry_stays(database: Database) -> None:
    """However old it is: the next one stands behind it."""
    clock = Days()
    audit = signing(database, clock, keep=DAY)
    await recorded(audit, "one", "two")
    clock.day = 400
    trimmed = await audit.trim()

    assert 1 == trimmed
    assert ["two", "audit.trimmed"] == await events(database)
    assert await audit.first_broken() is None


@pytest.mark.parametrize("keep", [None, 10 * DAY])
async def test_nothing_goes_that_is_to_stay(database: Database, keep: float | None) -> None:
    """All of it, where it is kept for ever."""
    clock = Days()
    audit = signing(database, clock, keep=keep)
    await recorded(audit, "one", "two")
    clock.day = 5 if keep else 5000
    await audit.daily()

    assert ["one", "two"] == await events(database)


@pytest.mark.parametrize("sql", ["UPDATE audit SET event = 'x' WHERE seq = 1", "DELETE FROM audit WHERE seq = 2"])
async def test_what_is_not_whole_is_not_trimmed(database: Database, sql: str) -> None:
    """A checkpoint would cover it up."""
    clock = Days()
    audit = signing(database, clock, keep=DAY)
    await recorded(audit, "one", "two", "three")
    await write(database, sql)
    clock.day = 9
    trimmed = await audit.trim()

    assert 0 == trimmed
    assert await audit.first_broken() is not None


async def test_it_is_anchored_and_trimmed_daily(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself, also when nobody does anything."""
    monkeypatch.setattr("omnibot.audit._FLUSH_EVERY", 0.001)
    clock = Days()
    audit = signing(database, clock, keep=10 * DAY)
    await audit.begin()
    await recorded(audit, "one", "two")
    task = asyncio.create_task(audit.run())
    clock.day = 30

    async def trimmed() -> bool:
        return "audit.trimmed" in await events(database)

    await until(trimmed)
    task.cancel()

    assert ["two", "audit.trimmed"] == await events(database)
    assert (database.path.parent / "anchors").exists()
