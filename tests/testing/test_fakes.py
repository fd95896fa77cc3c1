"""The fake network changes behind the bot's back, and tells what it heard and said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

import pytest

from omnibot.adapter import Capabilities
from omnibot.errors import NoPrivateWay, NotDelivered, Refused
from omnibot.identity import Assurance, Guest, Identity
from omnibot.message import Channel, Link, Message, Origin, Private, Reply
from omnibot.testing.fakes import POOR, FakeAdapter, FakeStore

ADA = Identity("fake", "ada")
BOB = Identity("fake", "bob")
EVE = Guest("fake", "eve")


class Bot:
    """What stands behind an adapter: it takes everything and says nothing by itself."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.positions: list[str | None] = []
        self.realms: list[str] = []

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        self.heard += messages
        self.positions.append(position)

    async def ready(self, realm: str) -> None:
        self.realms.append(realm)

    def run(self, fake: FakeAdapter) -> asyncio.Task[None]:
        return asyncio.create_task(fake.run(self.deliver, self.ready))


@pytest.fixture
def bot() -> Bot:
    return Bot()


@pytest.fixture(params=["rich", "poor"])
def both(request: pytest.FixtureRequest) -> FakeAdapter:
    return FakeAdapter() if request.param == "rich" else FakeAdapter(capabilities=POOR)


@pytest.fixture
async def fake(bot: Bot) -> AsyncIterator[FakeAdapter]:
    """A rich network that is connected."""
    fake = FakeAdapter()
    running = bot.run(fake)
    await fake.hear("hello", ADA)
    bot.heard.clear()
    bot.positions.clear()
    yield fake
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


# ---------------------------------------------------------------------- heard


async def test_an_identity_speaks_in_private_and_strongly(fake: FakeAdapter, bot: Bot) -> None:
    """By default; time is the clock's."""
    message = await fake.hear("!ping", ADA)

    assert [message] == bot.heard
    assert (fake.dm(ADA), Assurance.STRONG, False) == (message.channel, message.assurance, message.addressed)


async def test_a_guest_is_vouched_for_by_nobody(fake: FakeAdapter) -> None:
    """Nor is one in a room, which they are in by speaking there."""
    room = fake.room("ops")
    private, public = await fake.hear("hi", EVE), await fake.hear("hi", EVE, room)

    assert (None, None) == (private.assurance, public.assurance)
    assert private.channel.private
    assert not public.channel.private


async def test_anything_may_be_otherwise(fake: FakeAdapter) -> None:
    """Fields of the message are given as they are to be."""
    message = await fake.hear(
        "x", ADA, addressed=True, at=5.0, origin=Origin.BOT, edit=True, assurance=Assurance.ACCOUNT
    )

    assert (True, 5.0, Origin.BOT) == (message.addressed, message.at, message.origin)
    assert (True, Assurance.ACCOUNT) == (message.edit, message.assurance)


async def test_a_message_may_come_twice(fake: FakeAdapter, bot: Bot) -> None:
    """As from a network that redelivers, with its position."""
    message = await fake.hear("x", ADA, position="s1")
    await fake.redeliver(message, position="s2")

    assert [message, message] == bot.heard
    assert ["s1", "s2"] == bot.positions


# ----------------------------------------------------------------------- said


async def test_a_third_reader_ends_privacy(fake: FakeAdapter) -> None:
    """Who joined is found at the moment of sending, by either kind of target; and who left as well."""
    channel = fake.dm(ADA)
    fake.join(channel, BOB)
    for to in (channel, Private(ADA)):
        with pytest.raises(NoPrivateWay):
            await fake.send(to, Reply("secret"), "k")
    fake.leave(channel, BOB)
    await fake.send(channel, Reply("secret"), "k")
    fake.leave(channel, ADA)
    with pytest.raises(NoPrivateWay):
        await fake.send(channel, Reply("secret"), "k2")

    assert ["secret"] == fake.texts()


async def test_a_private_reply_is_not_edited_before_others(fake: FakeAdapter) -> None:
    """An edit is seen by whoever reads there now."""
    sent = await fake.send(Private(ADA), Reply("wait"), "k")
    fake.join(fake.dm(ADA), BOB)
    with pytest.raises(NoPrivateWay):
        await fake.edit(sent, Reply("secret"))

    assert [] == fake.edits


async def test_closed_direct_messages_are_no_way(fake: FakeAdapter) -> None:
    """Until they are opened again."""
    fake.close_dms(ADA)
    with pytest.raises(NoPrivateWay):
        await fake.send(Private(ADA), Reply("secret"), "k")
    fake.open_dms(ADA)
    await fake.send(Private(ADA), Reply("secret"), "k")

    assert ["secret"] == fake.private_texts(ADA)


async def test_a_live_handle_answers_in_the_room_unseen(fake: FakeAdapter) -> None:
    """Even with direct messages closed; and only to its speaker, until it expires."""
    room = fake.room("ops", BOB)
    message = await fake.hear("/secret", ADA, room, live=True)
    fake.close_dms(ADA)
    fake.close_dms(BOB)
    await fake.send(Private(ADA, message), Reply("secret"), "k1")
    with pytest.raises(NoPrivateWay):
        await fake.send(Private(BOB, message), Reply("secret"), "k2")
    fake.forget_handles()
    with pytest.raises(NoPrivateWay):
        await fake.send(Private(ADA, message), Reply("secret"), "k3")

    assert [(room, True)] == [(said.channel, said.ephemeral) for said in fake.said]
    assert ([], [], ["secret"]) == (fake.public_texts(), fake.texts(room), fake.texts(ADA))


async def test_what_was_said_is_told_by_who_can_read_it(fake: FakeAdapter) -> None:
    """Rooms, private channels, all."""
    room = fake.room("ops", ADA, BOB)
    await fake.send(room, Reply("**all**"), "k1")
    await fake.send(Private(BOB), Reply("bob"), "k2")
    await fake.send(fake.dm(ADA), Reply("ada"), "k3")

    assert ["**all**", "bob", "ada"] == fake.texts()
    assert ["**all**"] == fake.public_texts() == fake.texts(room)
    assert (["ada"], ["bob"], ["bob"]) == (fake.texts(ADA), fake.private_texts(BOB), fake.texts(fake.dm(BOB)))


async def test_nothing_is_said_while_it_is_down(both: FakeAdapter, bot: Bot) -> None:
    """Not before it is connected, nor while it is cut off; later, the same key may be tried."""
    room = both.room("ops", ADA)
    with pytest.raises(NotDelivered) as before:
        await both.send(room, Reply("x"), "k")
    running = bot.run(both)
    await both.hear("hello", ADA)
    both.go_down()
    with pytest.raises(NotDelivered) as meanwhile:
        await both.send(room, Reply("x"), "k")
    both.come_up()
    await both.send(room, Reply("x"), "k")
    running.cancel()

    assert (True, True) == (before.value.retryable, meanwhile.value.retryable)
    assert ["x"] == both.texts()


@pytest.mark.parametrize("reply", [Reply(""), Reply(" \n")])
async def test_a_blank_message_is_refused(fake: FakeAdapter, reply: Reply) -> None:
    """As every network does."""
    with pytest.raises(NotDelivered) as caught:
        await fake.send(Private(ADA), reply, "k")

    assert not caught.value.retryable


async def test_a_reply_without_a_key_is_a_mistake(fake: FakeAdapter) -> None:
    """Nothing could tell it from its repetition."""
    with pytest.raises(ValueError, match="key"):
        await fake.send(Private(ADA), Reply("x"), "")


@pytest.mark.parametrize("to", [Channel("other", "ops"), Channel("fake", "nowhere")])
async def test_an_unknown_channel_is_refused(fake: FakeAdapter, to: Channel) -> None:
    """A channel belongs to its network."""
    with pytest.raises(NotDelivered):
        await fake.send(to, Reply("x"), "k")


async def test_a_poor_network_says_lines(bot: Bot) -> None:
    """Plain, short, one line a message; choices numbered, links written out, edits said anew."""
    fake = FakeAdapter(capabilities=POOR)
    running = bot.run(fake)
    room = fake.room("ops", ADA)
    await fake.hear("hello", ADA, room)
    link = Link("Open", "https://example.org/a_b")
    sent = await fake.send(room, Reply("**Two**\nlines", choices=("a", "b"), link=link), "k1")
    await fake.send(room, Reply("ä" * 100), "k2")
    await fake.edit(sent, Reply("anew"))
    gone = await fake.retract(bot.heard[0])
    await fake.typing(room)
    running.cancel()

    assert [
        ("Two", "lines", "1. a", "2. b", "Open: https://example.org/a_b"),
        ("ä" * 60, "ä" * 40),
        ("anew",),
    ] == [said.pieces for said in fake.said]
    assert (False, [], [], []) == (gone, fake.retracted, fake.edits, fake.typed)


async def test_a_rich_network_does_it_all(fake: FakeAdapter) -> None:
    """Markdown as it stands, buttons beside the text, edits in place, lines taken out of rooms."""
    room = fake.room("ops")
    message = await fake.hear("hello", ADA, room)
    sent = await fake.send(room, Reply("**Two**", choices=("a", "b"), link=Link("Open", "https://x")), "k")
    edited = await fake.edit(sent, Reply("anew"))
    gone = await fake.retract(message)
    await fake.typing(room)

    assert ["**Two**"] == fake.texts()
    assert (sent, [(sent, Reply("anew"))]) == (edited, fake.edits)
    assert (True, [message], [room]) == (gone, fake.retracted, fake.typed)
    assert fake.said[0] is fake.saying(sent)


async def test_some_capabilities_are_some() -> None:
    """A network need be neither poor nor rich."""
    fake = FakeAdapter(capabilities=Capabilities(edit=True), clock=lambda: 7.0)
    running = Bot().run(fake)
    message = await fake.hear("hello", ADA)
    await fake.send(message.channel, Reply("**Sure?**", choices=("yes",)), "k")
    running.cancel()

    assert ["**Sure?**\n1. yes"] == fake.texts()
    assert (7.0, 7.0) == (message.at, fake.said[0].at)


async def test_presence_follows_the_people(fake: FakeAdapter) -> None:
    """Who joins and leaves, and nobody while it is down."""
    room = fake.room("ops")
    states = [await fake.present(ADA, room)]
    fake.join(room, ADA)
    states.append(await fake.present(ADA, room))
    fake.go_down()
    states.append(await fake.present(ADA, room))
    fake.come_up()
    states.append(await fake.present(ADA, room))
    fake.leave(room, ADA)
    states.append(await fake.present(ADA, room))

    assert [False, True, False, True, False] == states
    assert not await fake.present(ADA, Channel("other", "ops"))


# -------------------------------------------------------------------- waiting


async def test_waiting_gives_what_is_said_next(fake: FakeAdapter) -> None:
    """Each reply once, whether it was said before the waiting or during it."""
    await fake.send(Private(ADA), Reply("one"), "k1")

    async def later() -> None:
        await asyncio.sleep(0.01)
        await fake.send(Private(ADA), Reply("two"), "k2")
        await fake.send(Private(ADA), Reply("three"), "k3")

    saying = asyncio.create_task(later())
    first, rest = await fake.wait(), await fake.wait(2)
    await saying

    assert (["one"], ["two", "three"]) == ([said.text for said in first], [said.text for said in rest])


async def test_waiting_in_vain_tells_what_there_was(fake: FakeAdapter) -> None:
    """A failing test shows why."""
    await fake.send(Private(ADA), Reply("only this"), "k1")
    with pytest.raises(TimeoutError, match="only this"):
        await fake.wait(2, timeout=0.01)

    assert ["only this"] == [said.text for said in await fake.wait()]


# ------------------------------------------------------------------------ run


async def test_run_fails_as_told(both: FakeAdapter, bot: Bot) -> None:
    """While it runs, or the next time before it is ready; then it runs as ever."""
    first = bot.run(both)
    await both.hear("x", ADA)
    both.fail_run(ConnectionError("gone"))
    both.fail_run(Refused("no", cure="Say yes."))
    with pytest.raises(ConnectionError):
        await first
    second = bot.run(both)
    with pytest.raises(Refused):
        await second
    third = bot.run(both)
    await both.hear("y", ADA)
    both.end_run()
    await third

    assert ["fake.example"] * 2 == bot.realms
    assert 3 == both.runs


async def test_nothing_is_heard_of_a_network_that_is_down(fake: FakeAdapter) -> None:
    """A test that tries has made a mistake."""
    fake.go_down()
    with pytest.raises(RuntimeError, match="down"):
        await fake.hear("x", ADA)


async def test_a_store_keeps_and_forgets() -> None:
    """As the adapter's own rows do."""
    store = FakeStore()
    await store.set("a", b"1")
    kept = await store.get("a")
    await store.delete("a")
    await store.delete("a")

    assert (b"1", None) == (kept, await store.get("a"))
