"""What a network handed over is durable with its position, and starts once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.database import Database
from omnibot.identity import Assurance, Guest
from omnibot.intake import Intake, unboxed
from omnibot.message import Channel, Message
from omnibot.testing.bench import ADA
from omnibot.vault import Keyring, Sealer

SEALER = Sealer(Keyring([b"k" * 32]))


class Seconds:
    """A clock that is pushed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
def intake(database: Database) -> Intake:
    return Intake(database, SEALER, Seconds())


def message(text: str, network: str = "home") -> Message:
    return Message(network, f"${text}", ADA, Channel(network, "!room"), text, 5.0, Assurance.STRONG)


async def test_a_position_is_remembered_for_each_network(intake: Intake) -> None:
    """The latest; none before the first."""
    before = await intake.position("home")
    await intake.accept("home", [], "s1")
    await intake.accept("home", [], "s2")
    await intake.accept("work", [], "t1")

    assert before is None
    assert ("s2", "t1") == (await intake.position("home"), await intake.position("work"))


async def test_messages_and_position_are_written_together(intake: Intake, database: Database) -> None:
    """Where the one cannot be, the other is not."""
    await intake.accept("home", [], "s1")
    async with database.transaction() as tx:
        await tx.execute("CREATE TRIGGER no BEFORE INSERT ON waiting BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(Exception, match="no"):
        await intake.accept("home", [message("one")], "s2")

    assert "s1" == await intake.position("home")


async def test_what_was_not_started_is_left_in_its_order(intake: Intake) -> None:
    """With the time it came; each network's own."""
    rows = await intake.accept("home", [message("one"), message("two")], "s1")
    await intake.accept("home", [message("three")], "s2")
    await intake.accept("work", [message("other", "work")], "t1")
    left = await intake.left("home")

    assert ["one", "two", "three"] == [one.text for _, one, _ in left]
    assert message("one") == left[0][1]
    assert rows == [row for row, _, _ in left[:2]]
    assert sorted(accepted for _, _, accepted in left) == [accepted for _, _, accepted in left]
    assert left[0][2] > 1000


async def test_a_message_starts_once(intake: Intake) -> None:
    """Whoever comes second is told so."""
    row = (await intake.accept("home", [message("one")], "s1"))[0]
    assert row is not None

    assert (True, False) == (await intake.start(row), await intake.start(row))
    assert [] == await intake.left("home")


async def test_what_waits_for_a_link_is_not_left_over(intake: Intake, database: Database) -> None:
    """It has a flow to start it."""
    await intake.accept("home", [message("one")], "s1")
    async with database.transaction() as tx:
        await tx.execute("PRAGMA defer_foreign_keys = ON")
        await tx.execute("UPDATE waiting SET flow = 'f-1'")
        found = await tx.rows("SELECT flow FROM waiting")
        await tx.execute("DELETE FROM waiting")

    assert [{"flow": "f-1"}] == found
    assert [] == await intake.left("home")


async def test_nobody_can_read_or_write_it_in_the_database(
    intake: Intake, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A63: boxed and tagged; what somebody changed is left out, the rest is not."""
    await intake.accept("home", [message("canary"), message("two")], "s1")
    shown = str(await database.read("SELECT * FROM waiting"))
    async with database.transaction() as tx:
        await tx.execute("UPDATE waiting SET event = 'x' WHERE event = '$canary'")
    left = await intake.left("home")

    assert "canary" not in shown.replace("$canary", "")
    assert ["two"] == [one.text for _, one, _ in left]
    assert "cannot be read: waiting row" in caplog.text


async def test_without_a_key_the_position_alone_is_kept(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The commands that need no account run all the same."""
    intake = Intake(database, Sealer(Keyring()))
    rows = await intake.accept("home", [message("one"), message("two")], "s1")

    assert [None, None] == rows
    assert "s1" == await intake.position("home")
    assert [] == await database.read("SELECT * FROM waiting")
    assert "messages of home are not kept until they start" in caplog.text


async def test_a_guests_message_is_kept_as_a_guests(intake: Intake, database: Database) -> None:
    """Nobody becomes somebody by waiting."""
    said = Message("home", "$1", Guest("home", "bob", "Bob"), Channel("home", "!r"), "!ping", 5.0)
    await intake.accept("home", [said], "s1")
    row = (await database.read("SELECT * FROM waiting"))[0]

    assert said == unboxed(SEALER, row)
