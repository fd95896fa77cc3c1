"""What is meant for one person reaches them alone, is tried again, or is kept until they come."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from omnibot import delivery as module
from omnibot.adapter import Capabilities
from omnibot.database import Database
from omnibot.delivery import Delivery
from omnibot.errors import NotDelivered
from omnibot.identity import Identity
from omnibot.message import Channel, File, Form, Link, Message, Private, Reply, Sent
from omnibot.testing.bench import ADA, GRACE
from omnibot.testing.fakes import POOR, FakeAdapter
from omnibot.vault import Keyring, Sealer

SEALER = Sealer(Keyring([b"k" * 32]))


class Pauses:
    """Sleeps no time, and lets the network change meanwhile."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self.then: Callable[[], object] | None = None

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        if self.then is not None:
            self.then()


class Seconds:
    """A clock that stands until it is pushed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def delivery(database: Database, pauses: Pauses, clock: Seconds) -> Delivery:
    return Delivery(database, SEALER, clock, pauses)


@pytest.fixture
async def fake(delivery: Delivery) -> AsyncIterator[FakeAdapter]:
    """A network that is up, spoken on by `delivery`."""
    fake = FakeAdapter()
    delivery.attach("fake", fake)

    async def nothing(*_: Any, **__: Any) -> None:
        """Take what is heard."""

    task = asyncio.create_task(fake.run(nothing, nothing))
    await fake.hear("hello", ADA)
    yield fake
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def room(fake: FakeAdapter) -> Channel:
    return fake.room("ops", ADA, GRACE)


async def speaks(delivery: Delivery, fake: FakeAdapter, identity: Identity = ADA) -> Message:
    """Let *identity* speak in private, which is when notices are given."""
    message = await fake.hear("I am here", identity)
    await delivery.give_notices(message, identity)
    return message


async def kept(database: Database) -> list[dict[str, Any]]:
    return await database.read("SELECT * FROM notices")


# ------------------------------------------------------------------------------------------ sending


async def test_a_reply_goes_out(delivery: Delivery, fake: FakeAdapter, room: Channel) -> None:
    """To a room, or to one person."""
    sent = await delivery.to_channel(room, Reply("loud"), "key")
    reached = await delivery.to_identity(ADA, Reply("quiet"))

    assert sent is not None
    assert ("fake", "ops") == (sent.network, sent.channel)
    assert reached
    assert [room, Private(ADA)] == [said.to for said in fake.said]
    assert "key" == fake.said[0].key
    assert fake.said[1].key


DRAWING = File("plan (1).png", "image/png", b"p" * 1234)
TEXT = File("all.txt", "text/plain", b"t")


@pytest.mark.parametrize(
    ("shows", "file", "shown"),
    [
        pytest.param(Capabilities(image=True), DRAWING, True, id="pictures"),
        pytest.param(Capabilities(image=True), TEXT, False, id="pictures only"),
        pytest.param(Capabilities(file=True), TEXT, True, id="files"),
        pytest.param(POOR, DRAWING, False, id="nothing"),
    ],
)
async def test_a_file_is_shown_or_told_of(
    delivery: Delivery, fake: FakeAdapter, room: Channel, shows: Capabilities, file: File, shown: bool
) -> None:
    """Where the network has no way to show it, the words say that there is one."""
    fake.capabilities = shows
    await delivery.to_channel(room, Reply("Look.", file=file))
    reply = fake.said[0].reply

    assert (file if shown else None) == reply.file
    assert shown == (reply.text == "Look.")
    if not shown:
        assert f"{len(file.data) / 1000:.1f} kB" in reply.text


async def test_who_can_be_reached_again_is_told_at_once(
    delivery: Delivery, fake: FakeAdapter, database: Database
) -> None:
    """They need not say anything: the network saw them come."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("Your link."))
    fake.open_dms(ADA)
    delivery.reachable(GRACE)
    delivery.reachable(ADA)
    await delivery.settle()

    assert [(Private(ADA), "Your link.")] == [(said.to, said.reply.text) for said in fake.said]
    assert [] == await kept(database)


async def test_nobody_is_told_on_a_network_that_may_be_another(database: Database, fake: FakeAdapter) -> None:
    """Its names may be other people's (A65)."""
    delivery = Delivery(database, SEALER, trusts=lambda _: False)
    delivery.attach("fake", fake)
    await delivery.to_identity(ADA, Reply("Your link."))
    delivery.reachable(ADA)
    await delivery.settle()

    assert [] == fake.said
    assert 1 == len(await kept(database))


async def test_a_file_is_not_kept_with_a_notice(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """It may be large; whoever comes back is told that there was one."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("Look.", file=DRAWING))
    fake.open_dms(ADA)
    await speaks(delivery, fake)

    assert fake.said[-1].reply.file is None
    assert "Look.\n\n(A file that I cannot show you here: " in fake.said[-1].reply.text


async def test_a_reply_that_found_the_network_down_is_tried_again(
    delivery: Delivery, fake: FakeAdapter, room: Channel, pauses: Pauses
) -> None:
    """Twice, with the same key: it is not said twice."""
    fake.go_down()
    pauses.then = fake.come_up
    sent = await delivery.to_channel(room, Reply("late"))

    assert sent is not None
    assert [0.5] == pauses.taken
    assert ["late"] == fake.texts(room)


async def test_a_reply_to_a_room_may_be_lost(
    delivery: Delivery, fake: FakeAdapter, room: Channel, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    """After three tries; the log says why."""
    fake.go_down()
    sent = await delivery.to_channel(room, Reply("lost"))

    assert sent is None
    assert [0.5, 2.0] == pauses.taken
    assert "a reply to fake was lost: fake is not connected" in caplog.text


async def test_what_cannot_succeed_is_not_tried_again(delivery: Delivery, fake: FakeAdapter, pauses: Pauses) -> None:
    """A channel that is not there."""
    assert await delivery.to_channel(Channel("fake", "nowhere"), Reply("x")) is None
    assert [] == pauses.taken


async def test_a_network_that_is_not_configured_takes_nothing(
    delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    """It was taken out while something waited."""
    assert await delivery.to_channel(Channel("gone", "c"), Reply("x")) is None
    assert delivery.adapter("gone") is None
    assert not await delivery.present(ADA, Channel("gone", "c"))
    assert "no network is called gone" in caplog.text


async def test_an_adapter_that_hangs_is_given_up(
    delivery: Delivery, fake: FakeAdapter, room: Channel, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try has its time."""

    async def hang(*_: object) -> Sent:
        await asyncio.sleep(60)
        raise AssertionError

    monkeypatch.setattr(module, "_SEND_SECONDS", 0.01)
    monkeypatch.setattr(fake, "send", hang)

    assert await delivery.to_channel(room, Reply("x")) is None
    assert [0.5, 2.0] == pauses.taken


async def test_an_adapter_that_breaks_is_logged_without_what_was_said(
    delivery: Delivery,
    fake: FakeAdapter,
    room: Channel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its error may hold anything: its kind and its place are enough."""

    async def fail(*_: object) -> Sent:
        raise RuntimeError("canary")

    monkeypatch.setattr(fake, "send", fail)
    sent = await delivery.to_channel(room, Reply("canary"))

    assert sent is None
    assert "the adapter of fake failed to send: RuntimeError at " in caplog.text
    assert "fail:" in caplog.text
    assert "canary" not in caplog.text


async def test_signs_and_questions_fail_in_silence(
    delivery: Delivery, fake: FakeAdapter, room: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is there, taking a message away, typing: a network that cannot say so says no."""
    message = await fake.hear("hello", ADA, room)
    await delivery.typing(room)
    found = [await delivery.present(ADA, room), await delivery.retract(message)]

    async def fail(*_: object) -> bool:
        raise RuntimeError

    for name in ("present", "retract", "typing"):
        monkeypatch.setattr(fake, name, fail)
    await delivery.typing(room)
    found += [await delivery.present(ADA, room), await delivery.retract(message)]

    assert [True, True, False, False] == found
    assert [room] == fake.typed


async def test_on_a_network_that_is_another_now_nobody_is_told_unasked(
    database: Database, fake: FakeAdapter, clock: Seconds
) -> None:
    """A65: somebody else may have that name there; who speaks is answered."""
    trusted: set[str] = set()
    delivery = Delivery(database, SEALER, clock, trusts=trusted.__contains__)
    delivery.attach("fake", fake)
    message = await fake.hear("!link", ADA)
    reached = [await delivery.to_identity(ADA, Reply("news"))]
    reached.append(await delivery.to_identity(ADA, Reply("answer"), near=message))
    trusted.add("fake")
    reached.append(await delivery.to_identity(ADA, Reply("later")))
    await speaks(delivery, fake)

    assert [False, True, True] == [sent is not None for sent in reached]
    assert ["answer", "later", "news"] == fake.private_texts(ADA)


# ------------------------------------------------------------------------------------------ notices


async def test_what_finds_no_private_way_is_kept_and_given(
    delivery: Delivery, fake: FakeAdapter, database: Database
) -> None:
    """Whole, with its link and its choices, in order; and once."""
    fake.close_dms(ADA)
    replies = [
        Reply("one", ("a", "b"), Link("there", "https://x.example/")),
        Reply("two", form=Form("Fill", "code")),
        Reply("three"),
    ]
    reached = [await delivery.to_identity(ADA, reply) for reply in replies]
    keeps = delivery.keeps_for(ADA), delivery.keeps_for(GRACE)
    fake.open_dms(ADA)
    message = await speaks(delivery, fake)
    await speaks(delivery, fake)

    assert [None] * 3 == reached
    assert (True, False) == keeps
    assert replies == [said.reply for said in fake.said]
    assert {Private(ADA, message)} == {said.to for said in fake.said}
    assert [] == await kept(database)
    assert not delivery.keeps_for(ADA)


async def test_what_is_kept_cannot_be_read(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """It may be a private link."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("canary", link=Link("x", "https://canary.example/")))

    assert 1 == len(await kept(database))
    assert "canary" not in str(await kept(database))


async def test_it_is_given_after_a_restart(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """Whom something is kept for is learnt anew."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("kept"))
    again = Delivery(database, SEALER, Seconds())
    again.attach("fake", fake)
    before = again.keeps_for(ADA)
    await again.load()
    fake.open_dms(ADA)
    await speaks(again, fake)

    assert (False, True) == (before, not again.keeps_for(ADA))
    assert ["kept"] == fake.private_texts(ADA)


async def test_it_is_not_kept_for_ever(
    delivery: Delivery, fake: FakeAdapter, database: Database, clock: Seconds
) -> None:
    """A week, or as long as whoever sent it says; then it is not given, and swept away."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("link"), keep=600.0)
    await delivery.to_identity(ADA, Reply("news"))
    fake.open_dms(ADA)
    clock.now += 600.0
    await delivery.sweep()
    left = await kept(database)
    await speaks(delivery, fake)
    await delivery.to_identity(Identity("gone", "x"), Reply("never"))
    clock.now += 7 * 86400
    await delivery.sweep()

    assert 1 == len(left)
    assert ["news"] == fake.private_texts(ADA)
    assert [] == await kept(database)


async def test_what_cannot_be_given_yet_stays(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """With everything behind it, in order."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("one"))
    await delivery.to_identity(ADA, Reply("two"))
    await speaks(delivery, fake)
    left = len(await kept(database))
    fake.open_dms(ADA)
    await speaks(delivery, fake)

    assert 2 == left
    assert ["one", "two"] == fake.private_texts(ADA)


async def test_only_the_latest_are_kept(delivery: Delivery, fake: FakeAdapter, clock: Seconds) -> None:
    """Ten: somebody who is never there fills nothing."""
    fake.close_dms(ADA)
    fake.close_dms(GRACE)
    await delivery.to_identity(GRACE, Reply("hers"))
    for number in range(13):
        clock.now += 1
        await delivery.to_identity(ADA, Reply(str(number)))
    fake.open_dms(ADA)
    fake.open_dms(GRACE)
    await speaks(delivery, fake)
    await speaks(delivery, fake, GRACE)

    assert [str(number) for number in range(3, 13)] == fake.private_texts(ADA)
    assert ["hers"] == fake.private_texts(GRACE)


async def test_a_notice_is_for_one_identity(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """A63: moved to another's name it is not opened, and is dropped."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("canary"))
    async with database.transaction() as tx:
        await tx.execute("UPDATE notices SET subject = 'u-2'")
    await speaks(delivery, fake, GRACE)

    assert [] == fake.private_texts(GRACE)
    assert [] == await kept(database)


@pytest.mark.parametrize("change", ["SET body = X'00'", "SET body = zeroblob(100)"])
async def test_a_notice_that_was_changed_is_not_given(
    delivery: Delivery, fake: FakeAdapter, database: Database, change: str
) -> None:
    """Too short, or of a key that is not here; what is behind it is not lost."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("canary"))
    async with database.transaction() as tx:
        await tx.execute(f"UPDATE notices {change}")
    fake.open_dms(ADA)
    await speaks(delivery, fake)

    assert [] == fake.private_texts(ADA)


async def test_without_a_key_nothing_can_be_kept(
    database: Database, fake: FakeAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    """It is lost rather than kept in the clear, and the log says so."""
    delivery = Delivery(database, Sealer(Keyring()))
    delivery.attach("fake", fake)
    fake.close_dms(ADA)
    reached = await delivery.to_identity(ADA, Reply("canary"))

    assert not reached
    assert [] == await kept(database)
    assert "a private reply on fake is lost: there is no key to keep it under" in caplog.text
    assert "canary" not in caplog.text


async def test_what_is_kept_under_a_key_that_is_gone_waits_for_it(
    delivery: Delivery, database: Database, fake: FakeAdapter
) -> None:
    """The operator may put the key back."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("kept"))
    fake.open_dms(ADA)
    other = Delivery(database, Sealer(Keyring([b"x" * 32])), Seconds())
    other.attach("fake", fake)
    await speaks(other, fake)
    left = len(await kept(database))
    await speaks(delivery, fake)

    assert 1 == left
    assert ["kept"] == fake.private_texts(ADA)


async def test_a_named_notice_can_be_taken_back(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """As a link that has ended meanwhile."""
    fake.close_dms(ADA)
    await delivery.to_identity(ADA, Reply("link"), notice="flow-1")
    await delivery.to_identity(ADA, Reply("other"))
    async with database.transaction() as tx:
        keeps = [await delivery.keeps(tx, "flow-1")]
        await delivery.forget(tx, "flow-1")
        keeps.append(await delivery.keeps(tx, "flow-1"))
    fake.open_dms(ADA)
    await speaks(delivery, fake)

    assert [True, False] == keeps
    assert ["other"] == fake.private_texts(ADA)


# -------------------------------------------------------------------------------------------- aside


async def test_nobody_waits_for_what_is_said_aside(delivery: Delivery, fake: FakeAdapter) -> None:
    """It goes out, or is kept; `settle` waits for it."""
    delivery.aside(ADA, Reply("news"))
    before = fake.private_texts(ADA)
    await delivery.settle()

    assert ([], ["news"]) == (before, fake.private_texts(ADA))


async def test_what_is_being_said_when_the_bot_ends_is_kept(
    delivery: Delivery, fake: FakeAdapter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given after the restart."""
    begun = asyncio.Event()

    async def hang(*_: object) -> Sent:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(fake, "send", hang)
        delivery.aside(ADA, Reply("news"))
        await begun.wait()
        await delivery.close()
    held = len(await kept(database))
    await speaks(delivery, fake)

    assert 1 == held
    assert ["news"] == fake.private_texts(ADA)


async def test_what_is_being_kept_when_the_bot_ends_is_kept(
    delivery: Delivery, fake: FakeAdapter, database: Database
) -> None:
    """It found no way, and was about to be written down."""
    fake.close_dms(ADA)
    async with database.transaction():
        delivery.aside(ADA, Reply("news"))
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(delivery.close())
        await asyncio.sleep(0.01)
    await closing

    assert 1 == len(await kept(database))


async def left(delivery: Delivery, database: Database) -> None:
    """Leave some news for Ada, as what makes the news does."""
    async with database.transaction() as tx:
        await delivery.leave(tx, ADA, Reply("news"), "the-news")


async def test_what_was_left_goes_when_it_is_said(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """Once, and not again when they next speak."""
    await left(delivery, database)
    before = len(await kept(database))
    delivery.aside(ADA, Reply("news"), notice="the-news")
    await delivery.settle()
    after = len(await kept(database))
    await speaks(delivery, fake)

    assert (1, 0) == (before, after)
    assert ["news"] == fake.private_texts(ADA)


async def test_what_was_left_and_not_said_is_given_after_the_restart(
    delivery: Delivery, fake: FakeAdapter, database: Database
) -> None:
    """The bot was killed between the two."""
    await left(delivery, database)
    await delivery.load()
    await speaks(delivery, fake)

    assert ["news"] == fake.private_texts(ADA)
    assert [] == await kept(database)


async def test_what_was_left_and_finds_no_way_is_kept_once(
    delivery: Delivery, fake: FakeAdapter, database: Database
) -> None:
    """Under the name it was left as."""
    await left(delivery, database)
    fake.close_dms(ADA)
    delivery.aside(ADA, Reply("news"), notice="the-news")
    await delivery.settle()

    assert ["the-news"] == [row["id"] for row in await kept(database)]
    assert delivery.keeps_for(ADA)


async def test_a_private_reply_is_never_sent_elsewhere(
    delivery: Delivery, fake: FakeAdapter, room: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    """A5: not to the room it was asked in, nor to the log."""
    caplog.set_level(logging.DEBUG)
    asked = await fake.hear("!link", ADA, room)
    fake.join(fake.dm(ADA), GRACE)
    reached = await delivery.to_identity(ADA, Reply("canary"), near=asked)

    assert not reached
    assert [] == fake.said
    assert "canary" not in caplog.text


# --------------------------------------------------------------------------------- changing and whispering


async def test_a_message_is_changed(delivery: Delivery, fake: FakeAdapter, room: Channel) -> None:
    """Where the network can."""
    sent = await delivery.to_channel(room, Reply("slow"))
    assert sent is not None
    changed = await delivery.edit(sent, Reply("done"))

    assert sent == changed
    assert [(sent, Reply("done"))] == fake.edits
    assert fake.limits.edit_every == delivery.edit_every("fake")


async def test_nothing_is_said_anew_in_place_of_a_change(delivery: Delivery, fake: FakeAdapter, room: Channel) -> None:
    """On a network that cannot: whoever asked for the change decides whether it is worth a line."""
    fake.capabilities = POOR
    sent = await delivery.to_channel(room, Reply("slow"))
    assert sent is not None

    assert await delivery.edit(sent, Reply("done")) is None
    assert delivery.edit_every("fake") is None
    assert delivery.edit_every("other") is None
    assert ["slow"] == fake.texts(room)


async def test_a_private_message_that_others_read_now_is_not_changed(delivery: Delivery, fake: FakeAdapter) -> None:
    """The adapter looks again, as it does in sending."""
    sent = await delivery.whisper(ADA, Reply("slow"))
    assert sent is not None
    fake.join(fake.dm(ADA), GRACE)

    assert await delivery.edit(sent, Reply("done")) is None
    assert [] == fake.edits


@pytest.mark.parametrize("error", [ValueError("secret"), NotDelivered("gone", retryable=True)])
async def test_a_change_that_fails_is_no_harm(
    delivery: Delivery,
    fake: FakeAdapter,
    room: Channel,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not tried again, and what an adapter's error says stays out of the log."""

    async def fails(*_: object) -> Sent:
        raise error

    sent = await delivery.to_channel(room, Reply("slow"))
    assert sent is not None
    monkeypatch.setattr(fake, "edit", fails)

    assert await delivery.edit(sent, Reply("done")) is None
    assert await delivery.edit(Sent("other", "c", "1"), Reply("done")) is None
    assert "secret" not in caplog.text


async def test_a_change_that_takes_too_long_is_given_up(
    delivery: Delivery, fake: FakeAdapter, room: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sending is."""

    async def hangs(*_: object) -> Sent:
        await asyncio.sleep(60)
        raise AssertionError("nobody waited so long")

    sent = await delivery.to_channel(room, Reply("slow"))
    assert sent is not None
    monkeypatch.setattr(fake, "edit", hangs)
    monkeypatch.setattr(module, "_SEND_SECONDS", 0.01)

    assert await delivery.edit(sent, Reply("done")) is None


async def test_a_whisper_is_not_kept(delivery: Delivery, fake: FakeAdapter, database: Database) -> None:
    """It is said now to one person, or never."""
    said = await delivery.whisper(ADA, Reply("half"))
    fake.close_dms(ADA)
    lost = await delivery.whisper(ADA, Reply("most"))

    assert said is not None
    assert lost is None
    assert ["half"] == fake.private_texts(ADA)
    assert [] == await kept(database)


async def test_nothing_is_whispered_where_people_may_be_others(
    database: Database, pauses: Pauses, clock: Seconds
) -> None:
    """A65: on a network that is not the one it was."""
    delivery, fake = Delivery(database, SEALER, clock, pauses, trusts=lambda _: False), FakeAdapter()
    delivery.attach("fake", fake)

    assert await delivery.whisper(ADA, Reply("half")) is None
    assert [] == fake.said


async def test_nothing_is_changed_where_people_may_be_others(delivery: Delivery, fake: FakeAdapter) -> None:
    """A65: what a message is called on one network may be the name of anybody's on another."""
    sent = await delivery.whisper(ADA, Reply("half"))
    assert sent is not None
    delivery._trusts = lambda _: False

    assert await delivery.edit(sent, Reply("most")) is None
    assert ["half"] == fake.private_texts(ADA)
