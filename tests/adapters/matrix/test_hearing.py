"""What is told becomes messages: once, of whom the homeserver names, and nothing of what is no words."""

from pathlib import Path
from typing import Any

import pytest

from adapters.matrix import hearing
from matrix_stand_in import BOT, StandIn, bot_at, member, said
from omnibot.message import Channel, Origin, Reply
from servers.keyserver import device

ADA, EVE, ROOM = "@ada:hs.test", "@eve:hs.test", "!room"


@pytest.mark.parametrize(
    "event",
    [
        said({"msgtype": "m.location", "body": "here", "geo_uri": "geo:1,2"}, ADA),
        said({"msgtype": "m.text"}, ADA),
        said({}, ADA),
        said({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$1", "key": "x"}}, ADA, kind="m.reaction"),
        said("!ping", "ada"),
        said("!ping", "@:hs.test"),
        said({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"}, ADA, kind="m.room.encrypted"),
        {"type": "m.room.message", "content": {"msgtype": "m.text", "body": "!no id"}, "sender": ADA},
        member(EVE, "leave"),
    ],
    ids=lambda event: str(event["content"])[:40],
)
async def test_what_is_nothing_for_the_bot(tmp_path: Path, event: dict[str, Any]) -> None:
    """It ends nothing either."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, event, said("!last", ADA))
            await bot.until("!last")

        assert ["!last"] == [one.text for one in bot.heard]


async def test_a_message(tmp_path: Path) -> None:
    """Its id, its stamp, its room, and the name to show."""
    async with StandIn().up() as server:
        server.room(ROOM, EVE)
        server.change(ROOM, member(ADA, "join", displayname="Ada"), tell=False)
        async with bot_at(tmp_path, server) as bot:
            event = said("!ping", ADA, event="$one", age=10)
            server.tell(ROOM, event)
            found = await bot.until("!ping")

    assert ("$one", event["origin_server_ts"] / 1000, ROOM) == (found.id, found.at, found.channel.id)
    assert "Ada" == found.speaker.display
    assert not found.channel.private
    assert [("s2" in bot.positions)] == [True]


async def test_spoken_to(tmp_path: Path) -> None:
    """By name, or by a reply to what the bot said; its own words are its own."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE)
        server.change(ROOM, member(BOT, "join", displayname="Robby"), tell=False)
        async with bot_at(tmp_path, server) as bot:
            sent = await bot.adapter.send(Channel("net", ROOM), Reply("hi"), "key")
            reply = {"m.relates_to": {"m.in_reply_to": {"event_id": sent.id}}}
            other = {"m.relates_to": {"m.in_reply_to": {"event_id": "$other"}}}
            server.tell(
                ROOM,
                said("Robby: one", ADA),
                said({"msgtype": "m.text", "body": "two"} | reply, ADA),
                said({"msgtype": "m.text", "body": "three"} | other, ADA),
                said("four", BOT),
            )
            await bot.until("four")

    assert [("one", True), ("two", True), ("three", False), ("four", False)] == [
        (one.text, one.addressed) for one in bot.heard
    ]
    assert [Origin.PERSON] * 3 + [Origin.SELF] == [one.origin for one in bot.heard]


async def test_answers_stay_in_their_thread(tmp_path: Path) -> None:
    """Its root is remembered, of the last ones."""
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}}
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, said({"msgtype": "m.text", "body": "!ping"} | thread, ADA, event="$in"))
            found = await bot.until("!ping")
            await bot.adapter.send(found.channel, Reply("pong", answers=found), "key")

        assert "$root" == server.sent[-1][2]["m.relates_to"]["event_id"]
        assert "$root" == bot.adapter._hearing.thread("$in")
        assert bot.adapter._hearing.thread("$out") is None


async def test_only_the_last_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr(hearing, "_REMEMBERED", 3)
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, *(said(f"!{number}", ADA) for number in range(6)))
            await bot.until("!5")

            assert 3 == len(bot.adapter._hearing._seen)


async def test_clear_words_in_an_encrypted_room_are_not_private(tmp_path: Path) -> None:
    """The homeserver has read them, and may have written them."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, encrypted=True)
        phone = await device(server.keys, tmp_path / "ada", ADA, "ADA1")
        async with bot_at(tmp_path, server, encryption=True) as bot:
            sealed = await phone.keys.encrypt(ROOM, [BOT], "m.room.message", {"msgtype": "m.text", "body": "!sealed"})
            server.tell(ROOM, said(sealed.content, ADA, kind="m.room.encrypted"), said("!clear", ADA))
            found = [(await bot.until(words)).channel.private for words in ("!sealed", "!clear")]

    assert [True, False] == found
