"""What is said goes where it should, as what it should be; and what fails, is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.matrix import saying
from matrix_stand_in import Bot, Fault, StandIn, bot_at, bot_of, member, said
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Identity
from omnibot.message import Channel, File, Message, Private, Reply, Sent

ADA, EVE, ROOM, ALONE = "@ada:hs.test", "@eve:hs.test", "!room", "!alone"
HERE = Channel("net", ROOM)
FILE = File("a.txt", "text/plain", b"words")


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """A homeserver with a room of three, and one of ada and the bot."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE)
        server.room(ALONE, ADA)
        yield server


@pytest.fixture
async def bot(tmp_path: Path, server: StandIn) -> AsyncIterator[Bot]:
    """The bot there."""
    async with bot_at(tmp_path, server) as bot:
        yield bot


async def heard(server: StandIn, bot: Bot, room: str = ROOM) -> Message:
    server.tell(room, said("!hello", ADA))
    return await bot.until("!hello")


@pytest.mark.parametrize(
    ("to", "kind", "says"),
    [
        (Channel("net", "!elsewhere"), NotDelivered, "not in that room"),
        (Channel("other", ROOM), NotDelivered, "another network"),
        (Channel("net", ROOM, private=True), NoPrivateWay, "not private any longer"),
        (Channel("net", "!elsewhere", private=True), NotDelivered, "FORBIDDEN"),
        (Private(Identity("other", ADA)), NoPrivateWay, "another network"),
    ],
    ids=str,
)
async def test_nowhere(bot: Bot, to: Channel | Private, kind: type[Exception], says: str) -> None:
    """It is said why."""
    with pytest.raises(kind, match=says):
        await bot.adapter.send(to, Reply("hi"), "key")


async def test_a_private_room_is_for_whoever_is_in_it(server: StandIn, bot: Bot) -> None:
    """Looked at as it goes out."""
    sent = await bot.adapter.send(Channel("net", ALONE, private=True), Reply("hi"), "key")

    assert f"{ALONE} {ADA}" == sent.channel
    assert ["hi"] == server.bodies(ALONE)


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        (Fault(500), True),
        (Fault(403, {"errcode": "M_FORBIDDEN"}), False),
        (Fault(413, {"errcode": "M_TOO_LARGE"}), False),
        (Fault(401, {"errcode": "M_UNKNOWN_TOKEN"}), False),
    ],
)
async def test_what_the_homeserver_does_not_take(server: StandIn, bot: Bot, fault: Fault, retryable: bool) -> None:
    """Whether to try again is told; then it goes under the same transaction."""
    server.fault("PUT", f"rooms/{ROOM}/send", fault)
    with pytest.raises(NotDelivered) as failed:
        await bot.adapter.send(HERE, Reply("hi"), "key")
    await bot.adapter.send(HERE, Reply("hi"), "key")
    puts = [where for method, where, _ in server.asked if method == "PUT" and "/send/" in where]

    assert retryable == failed.value.retryable
    assert 1 == len(set(puts)) < len(puts)


async def test_an_answer_that_was_lost(server: StandIn, bot: Bot) -> None:
    """It was taken; the second try says nothing again."""
    server.fault("PUT", f"rooms/{ROOM}/send", Fault(502, "<html>", done=True))
    with pytest.raises(NotDelivered):
        await bot.adapter.send(HERE, Reply("hi"), "key")
    await bot.adapter.send(HERE, Reply("hi"), "key")

    assert ["hi"] == server.bodies()


async def test_nothing_to_say(bot: Bot) -> None:
    """It is refused for good."""
    with pytest.raises(NotDelivered, match="nothing to say") as failed:
        await bot.adapter.send(HERE, Reply(" "), "key")

    assert not failed.value.retryable


@pytest.mark.parametrize(("text", "kind"), [("\U0001f44d", "m.reaction"), ("ok", "m.room.message")])
async def test_a_sign_is_a_reaction(server: StandIn, bot: Bot, text: str, kind: str) -> None:
    """To what is answered, in the clear rooms."""
    message = await heard(server, bot)
    await bot.adapter.send(HERE, Reply(text, answers=message), "key")

    assert kind == server.sent[-1][1]


async def test_a_file_beside_words(server: StandIn, bot: Bot) -> None:
    """Both; the words under what is shown."""
    await bot.adapter.send(HERE, Reply("look", file=FILE), "key")

    assert ["m.file", "m.notice"] == [content["msgtype"] for _, _, content in server.sent]
    assert "mxc://hs.test/file" == server.sent[0][2]["url"]


async def test_what_is_slow_goes_out_later_and_can_be_changed(
    server: StandIn, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits it becomes what it is changed into; afterwards, beside another's words, it is said anew."""
    monkeypatch.setattr(saying, "SENT_WITHIN", 0.05)
    limit: dict[str, Any] = {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 300}
    server.fault("PUT", f"rooms/{ROOM}/send", Fault(429, limit))
    first = asyncio.create_task(bot.adapter.send(HERE, Reply("one"), "1"))
    await asyncio.sleep(0.02)
    second = await bot.adapter.send(HERE, Reply("two"), "2")
    changed = await bot.adapter.edit(second, Reply("three"))
    await first
    await asyncio.sleep(0.6)
    monkeypatch.setattr(saying, "SENT_WITHIN", 5.0)
    await bot.adapter.edit(changed, Reply("four"))

    assert "two" not in " ".join(server.bodies())
    assert "three" in " ".join(server.bodies())
    assert "one\nthree" in server.bodies()
    assert "four" == server.bodies()[-1]


async def test_a_slow_private_answer_is_told(server: StandIn, bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits must know whether it went."""
    monkeypatch.setattr(saying, "SENT_WITHIN", 0.05)
    server.fault("PUT", f"rooms/{ALONE}/send", Fault(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1000}))
    message = await heard(server, bot, ALONE)
    with pytest.raises(NotDelivered, match="takes nothing just now"):
        await bot.adapter.send(Private(Identity("net", ADA), message), Reply("hi"), "key")


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (Sent("net", "!elsewhere", "$1"), "not in that room"),
        (Sent("net", ROOM, "~gone"), "was not sent"),
        (Sent("net", ROOM, "$1"), "nothing to say"),
    ],
)
async def test_what_cannot_be_changed(bot: Bot, sent: Sent, says: str) -> None:
    """It is said why."""
    with pytest.raises(NotDelivered, match=says):
        await bot.adapter.edit(sent, Reply(" "))


async def test_an_edit_of_what_is_private_no_longer(server: StandIn, bot: Bot) -> None:
    """It stays as it is: who has come since would read it."""
    message = await heard(server, bot, ALONE)
    sent = await bot.adapter.send(Private(Identity("net", ADA), message), Reply("one"), "key")
    server.change(ALONE, member(EVE, "invite"), tell=False)
    await asyncio.sleep(0.15)
    with pytest.raises(NoPrivateWay):
        await bot.adapter.edit(sent, Reply("two"))

    assert ["one"] == server.bodies(ALONE)


async def test_not_connected(tmp_path: Path, server: StandIn) -> None:
    """It may be tried again; signs are left."""
    bot = bot_of(tmp_path, server)
    with pytest.raises(NotDelivered, match="not connected") as failed:
        await bot.adapter.send(HERE, Reply("hi"), "key")
    await bot.adapter.typing(HERE)

    assert failed.value.retryable
    assert not await bot.adapter.present(Identity("net", ADA), HERE)


async def test_an_encrypted_room_without_encryption(server: StandIn, bot: Bot) -> None:
    """Nothing is said there in the clear."""
    server.change(ROOM, {"state_key": ""} | said({"algorithm": "m.megolm.v1.aes-sha2"}, ADA, kind="m.room.encryption"))
    await bot.passed()
    with pytest.raises(NotDelivered, match="encryption is off") as failed:
        await bot.adapter.send(HERE, Reply("hi"), "key")

    assert not failed.value.retryable
    assert [] == server.sent


async def test_retracting(server: StandIn, bot: Bot) -> None:
    """Whether it is gone is told."""
    message = await heard(server, bot)
    gone = await bot.adapter.retract(message)
    server.fault("PUT", f"rooms/{ROOM}/redact", Fault(403, {"errcode": "M_FORBIDDEN"}))

    assert gone
    assert not await bot.adapter.retract(message)


async def test_what_is_too_long_to_be_said_is_a_file(server: StandIn, bot: Bot) -> None:
    """Nothing of it is lost, and the words say where it is."""
    await bot.adapter.send(HERE, Reply("*\u6771* " * 20_000), "1")
    shown, said = (content for _, _, content in server.sent[-2:])

    assert ("m.file", "answer.md") == (shown["msgtype"], shown["body"])
    assert "That is long: it is in the file." == said["body"]
