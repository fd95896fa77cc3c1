"""Who is in a room, whose invitations are followed, and the bot's own private rooms."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.matrix import rooms
from adapters.matrix.rooms import Room
from matrix_stand_in import BOT, Bot, Fault, StandIn, bot_at, member, said, soon, state_event
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Identity
from omnibot.message import Channel, Message, Private, Reply

ADA, EVE, ROOM = "@ada:hs.test", "@eve:hs.test", "!room"
WHO = Identity("net", ADA)


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    """A homeserver where ada, eve and the bot share a room."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE)
        yield server


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "JOIN_WITHIN", 0.3)


async def near(server: StandIn, bot: Bot, room: str = ROOM) -> Message:
    server.tell(room, said("!hello", ADA))
    return await bot.until("!hello")


async def tell(bot: Bot, message: Message | None, key: str = "k") -> str:
    """Say something to ada alone; return the room."""
    sent = await bot.adapter.send(Private(WHO, message), Reply("a secret"), key)
    return sent.channel.partition(" ")[0]


def joins(server: StandIn, room: str) -> None:
    server.change(room, member(ADA, "join"), tell=False)
    server.answer({"rooms": {"join": {room: {"timeline": {"events": [member(ADA, "join")], "limited": False}}}}})


# ------------------------------------------------------------------ private rooms


async def test_a_private_room_is_made_once_and_used_again(tmp_path: Path, server: StandIn) -> None:
    """Closed, listed for the person, and waited for; who joins is reachable."""
    async with bot_at(tmp_path, server) as bot:
        message = await near(server, bot)
        sending = [asyncio.create_task(tell(bot, message, key)) for key in "ab"]
        await soon(lambda: server.direct is not None)
        joins(server, "!made1")
        found = [await one for one in sending]
        again = await tell(bot, None, "c")
        (made,) = server.requests("POST", "createRoom")

    assert ["!made1"] * 3 == [*found, again]
    assert [ADA] == made["invite"]
    assert (100, True, "private_chat") == (
        made["power_level_content_override"]["invite"],
        made["is_direct"],
        made["preset"],
    )
    assert {"history_visibility": "joined"} in [one["content"] for one in made["initial_state"]]
    assert {ADA: ["!made1"]} == server.direct
    assert WHO in bot.reachable
    assert 3 == server.bodies("!made1").count("a secret")


async def test_who_came_before_they_were_waited_for(tmp_path: Path, server: StandIn) -> None:
    """The sync may be faster than the answer by which the room was made: what has happened is not waited for."""
    server.room("!made", invited=(ADA,))
    async with bot_at(tmp_path, server) as bot:
        joins(server, "!made")
        await bot.passed()

        known = bot.adapter._connection().rooms
        await known._joined("!made", ADA)

    assert {} == known._joining


async def test_who_else_came_while_they_were_waited_for(tmp_path: Path, server: StandIn) -> None:
    """The room is looked at again; nothing is said there."""
    async with bot_at(tmp_path, server) as bot:
        message = await near(server, bot)
        sending = asyncio.create_task(tell(bot, message))
        await soon(lambda: server.direct is not None)
        server.change("!made1", member(EVE, "join"), tell=False)
        joins(server, "!made1")
        with pytest.raises(NoPrivateWay, match="not alone"):
            await sending

    assert [] == server.bodies()


async def test_who_does_not_come_is_not_told(tmp_path: Path, server: StandIn) -> None:
    """The next try waits in the same room."""
    async with bot_at(tmp_path, server) as bot:
        message = await near(server, bot)
        for key in "ab":
            with pytest.raises(NoPrivateWay, match="has yet to accept"):
                await tell(bot, message, key)
    assert 1 == len(server.requests("POST", "createRoom"))
    assert [] == server.bodies()


async def test_nobody_is_invited_unasked(tmp_path: Path, server: StandIn) -> None:
    """Where the bot speaks first, and there is no room."""
    async with bot_at(tmp_path, server) as bot:
        with pytest.raises(NoPrivateWay):
            await tell(bot, None)

    assert [] == server.requests("POST", "createRoom")


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 100}), NotDelivered, "LIMIT"),
        (Fault(403, {"errcode": "M_FORBIDDEN"}), NoPrivateWay, "no private room could be made"),
        (Fault(200, {}), NoPrivateWay, "no private room could be made"),
    ],
)
async def test_no_room_can_be_made(
    tmp_path: Path, server: StandIn, fault: Fault, kind: type[Exception], says: str
) -> None:
    """It is said why."""
    server.fault("POST", "createRoom", fault)
    async with bot_at(tmp_path, server) as bot:
        message = await near(server, bot)
        with pytest.raises(kind, match=says):
            await tell(bot, message)


async def test_known_rooms_are_looked_at(tmp_path: Path, server: StandIn) -> None:
    """Of those listed, one that the bot has left and one with others in it are passed over."""
    server.room("!full", ADA, EVE)
    server.room("!good", ADA)
    server.direct = {ADA: ["!good", "!full", "!gone", 5], EVE: "nothing"}
    async with bot_at(tmp_path, server) as bot:
        found = await tell(bot, None)

    assert "!good" == found
    assert [] == server.bodies("!full")


async def test_where_they_spoke_last_comes_first(tmp_path: Path, server: StandIn) -> None:
    """Before the rooms of the bot's own."""
    server.room("!theirs", ADA)
    server.room("!good", ADA)
    server.direct = {ADA: ["!good"]}
    async with bot_at(tmp_path, server) as bot:
        await near(server, bot, "!theirs")
        found = await tell(bot, None)

    assert "!theirs" == found


@pytest.mark.parametrize("status", [500, 429])
async def test_a_homeserver_that_does_not_say(tmp_path: Path, server: StandIn, status: int) -> None:
    """Nothing is said, and it may be tried again."""
    server.room("!good", ADA)
    server.direct = {ADA: ["!good"]}
    async with bot_at(tmp_path, server) as bot:
        server.fault("GET", "rooms/!good/state", Fault(status))
        with pytest.raises(NotDelivered) as failed:
            await tell(bot, None)

        assert failed.value.retryable
    assert [] == server.bodies()


async def test_direct_rooms_that_cannot_be_loaded(tmp_path: Path, server: StandIn) -> None:
    """The start fails, rather than to make rooms twice."""
    server.fault("GET", f"user/{BOT}/account_data", Fault(500))
    with pytest.raises(ConnectionError):
        async with bot_at(tmp_path, server):
            pass


async def test_direct_rooms_from_elsewhere(tmp_path: Path, server: StandIn) -> None:
    """What another client lists is taken in."""
    server.room("!new", ADA)
    async with bot_at(tmp_path, server) as bot:
        server.answer({"account_data": {"events": [{"type": "m.direct", "content": {ADA: ["!new"]}}]}})
        await bot.passed()

        assert "!new" == await tell(bot, None)


def test_what_is_private() -> None:
    """Two members, and closed."""
    room = Room(frozenset({BOT, ADA}), frozenset(), closed=True, encrypted=True)

    assert room.is_private(BOT, ADA)
    assert not room.is_private(BOT, EVE)
    assert not Room(room.joined, frozenset({EVE}), closed=True, encrypted=True).is_private(BOT, ADA)
    assert not Room(room.joined, frozenset(), closed=False, encrypted=True).is_private(BOT, ADA)


@pytest.mark.parametrize(
    "events",
    [
        [("m.room.join_rules", "", {"join_rule": "public"}), ("m.room.join_rules", "x", {"join_rule": "invite"})],
        [
            ("m.room.history_visibility", "", {"history_visibility": "world_readable"}),
            ("m.room.history_visibility", "x", {"history_visibility": "joined"}),
        ],
        [("m.room.third_party_invite", "token", {"display_name": "e…@example.org", "public_key": "k"})],
    ],
    ids=["join rules", "history", "an address"],
)
async def test_what_others_left_behind(
    tmp_path: Path, server: StandIn, events: list[tuple[str, str, dict[str, Any]]]
) -> None:
    """Who was there before may come back, or read along: that is no private room, whatever stands beside the rules."""
    server.room("!theirs", ADA)
    for kind, key, content in events:
        server.change("!theirs", state_event(kind, content, key), tell=False)
    async with bot_at(tmp_path, server) as bot:
        found = await bot.adapter._connection().rooms.look("!theirs")

    assert not found.is_private(BOT, ADA)


async def test_an_address_that_was_taken_back(tmp_path: Path, server: StandIn) -> None:
    """Nobody comes in by it any more."""
    server.room("!theirs", ADA)
    server.change("!theirs", state_event("m.room.third_party_invite", {}, "token"), tell=False)
    async with bot_at(tmp_path, server) as bot:
        found = await bot.adapter._connection().rooms.look("!theirs")

    assert found.is_private(BOT, ADA)


# ------------------------------------------------------------------ invitations and moves


def invited(by: str, *more: dict[str, Any]) -> dict[str, Any]:
    event = {"type": "m.room.member", "sender": by, "state_key": BOT, "content": {"membership": "invite"}}
    return {"rooms": {"invite": {"!new": {"invite_state": {"events": [*more, event]}}}, "join": {}}}


@pytest.mark.parametrize(
    ("options", "by", "path"),
    [
        ({}, ADA, "join/!new"),
        ({}, "@ada:elsewhere.test", "rooms/!new/leave"),
        ({"trusted": ["elsewhere.test"]}, "@ada:elsewhere.test", "join/!new"),
        ({"invites": "any"}, "@ada:elsewhere.test", "join/!new"),
        ({"invites": "none"}, ADA, "rooms/!new/leave"),
        ({"invites": "listed", "inviters": ["@e*:hs.test"]}, ADA, "rooms/!new/leave"),
        ({"invites": "listed", "inviters": ["@e*:hs.test"]}, EVE, "join/!new"),
    ],
    ids=str,
)
async def test_invitations(tmp_path: Path, server: StandIn, options: dict[str, Any], by: str, path: str) -> None:
    """They are followed or declined, by who sent them."""
    server.rooms["!new"] = server.rooms[ROOM]
    other = {"type": "m.room.member", "sender": EVE, "state_key": ADA, "content": {"membership": "invite"}}
    async with bot_at(tmp_path, server, **options) as bot:
        server.answer(invited(by, other))
        await bot.passed()
        await soon(lambda: server.requests("POST", path))
        answered = [where for method, where, _ in server.asked if method == "POST" and "!new" in where]
        kept = bot.adapter._connection().client.invited_rooms

    assert [path] == answered
    assert {} == kept


async def test_an_invitation_is_tried_again(tmp_path: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a limit, and after an error; and not for ever."""
    sleep = asyncio.sleep
    monkeypatch.setattr("adapters.matrix.rooms.asyncio.sleep", lambda _: sleep(0))
    server.fault("POST", "join/!new", Fault(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 100}))
    server.fault("POST", "join/!new", Fault(500), times=5)
    async with bot_at(tmp_path, server) as bot:
        server.answer(invited(ADA))
        await soon(lambda: len(server.requests("POST", "join/!new")) == rooms._TRIES)
        await soon(lambda: not bot.adapter._connection().rooms._answers)

    assert rooms._TRIES == len(server.requests("POST", "join/!new"))


async def test_a_room_that_was_replaced_is_followed_once(tmp_path: Path, server: StandIn) -> None:
    """Whoever could replace it is its administrator."""
    async with bot_at(tmp_path, server) as bot:
        stone = state_event("m.room.tombstone", {"body": "moved", "replacement_room": "!next"})
        server.change(ROOM, stone)
        server.tell(ROOM, said("!hello", ADA))
        await bot.until("!hello")
        await soon(lambda: server.requests("POST", "join/!next"))
        server.tell(ROOM, said("!again", ADA))
        await bot.until("!again")

    assert 1 == len(server.requests("POST", "join/!next"))


# ------------------------------------------------------------------ who is there


@pytest.mark.parametrize(("who", "there"), [(ADA, True), ("@left:hs.test", False), ("@nobody:hs.test", False)])
async def test_present(tmp_path: Path, server: StandIn, who: str, there: bool) -> None:
    """As the homeserver says now."""
    async with bot_at(tmp_path, server) as bot:
        server.change(ROOM, member("@left:hs.test", "leave"), tell=False)

        assert there == await bot.adapter.present(Identity("net", who), Channel("net", ROOM))
        assert not await bot.adapter.present(Identity("net", who), Channel("net", "!elsewhere"))
        assert not await bot.adapter.present(Identity("other", who), Channel("net", ROOM))


async def test_present_is_not_guessed(tmp_path: Path, server: StandIn) -> None:
    """Where the homeserver does not answer, it is not known."""
    async with bot_at(tmp_path, server) as bot:
        server.fault("GET", f"rooms/{ROOM}/state/m.room.member", Fault(500))
        with pytest.raises(ConnectionError):
            await bot.adapter.present(WHO, Channel("net", ROOM))


async def test_members_are_kept_up(tmp_path: Path, server: StandIn) -> None:
    """Asked for once, then by what each sync tells; anew behind a gap."""
    async with bot_at(tmp_path, server) as bot:
        known = bot.adapter._connection().rooms
        before = await known.members(ROOM)
        server.change(ROOM, member(EVE, "leave"))
        await bot.passed()
        without = await known.members(ROOM)
        server.change(ROOM, member(EVE, "join"))
        await bot.passed()
        back = await known.members(ROOM)
        server.tell(ROOM, said("x", ADA, age=500), limited=True)
        await bot.passed()
        await known.members(ROOM)

    assert [{BOT, ADA, EVE}, {BOT, ADA}, {BOT, ADA, EVE}] == [before, without, back]
    assert 2 == len(server.requests("GET", f"rooms/{ROOM}/joined_members"))
