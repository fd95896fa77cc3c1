"""Who is in the room, and trusted, can read what the bot says; nobody else can, and nothing waits for long."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nio.crypto.device import OlmDevice
from nio.crypto.sessions import OlmAccount
from nio.responses import SyncResponse

from adapters.matrix import store
from adapters.matrix.answers import Limited, MatrixError
from adapters.matrix.keys import SLICE, Keys, LeftOut, Rotation, Sealed
from adapters.matrix.machine import Machine
from adapters.matrix.settings import Trust
from omnibot.errors import NotDelivered, Refused
from servers.keyserver import Device, KeyServer, device, megolm

BOT, ADA, GRACE, MALLORY = "@bot:hs.test", "@ada:hs.test", "@grace:hs.test", "@mallory:elsewhere.test"
ROOM = "!room"
KEY = "A" * 43


@pytest.fixture
def server() -> KeyServer:
    """A homeserver."""
    return KeyServer()


@pytest.fixture
async def bot(server: KeyServer, tmp_path: Path) -> Device:
    """The bot's device; it trusts whom it sees first."""
    return await device(server, tmp_path / "bot", BOT, "BOT1")


@pytest.fixture
async def ada(server: KeyServer, tmp_path: Path) -> Device:
    """Ada's phone."""
    return await device(server, tmp_path / "ada", ADA, "ADA1")


@pytest.fixture
async def grace(server: KeyServer, tmp_path: Path) -> Device:
    """Grace's phone."""
    return await device(server, tmp_path / "grace", GRACE, "GRACE1")


def strict(bot: Device) -> Keys:
    """Return the keys of a bot that trusts devices signed by their owner only."""
    return Keys(bot.machine, bot.ask, "cross-signed")


async def say(keys: Keys, text: str, *users: str, room: str = ROOM) -> Sealed:
    return await keys.encrypt(room, users, "m.room.message", {"msgtype": "m.text", "body": text})


def heard(by: Device, sealed: Sealed, *, room: str = ROOM) -> str | None:
    """Return what *by* reads in what the bot said."""
    return getattr(by.read(room, BOT, sealed.content, sealed.content["ciphertext"]), "body", None)


def synced(
    *, left: Sequence[str] = (), changed: Sequence[str] = (), gone: Sequence[str] = (), **event: Any
) -> SyncResponse:
    """Return an answer: rooms that were *left*, users who *changed* or are *gone*, how a room is encrypted."""
    encryption = {
        "type": "m.room.encryption",
        "state_key": "",
        "event_id": "$e",
        "sender": ADA,
        "origin_server_ts": 1,
        "content": {"algorithm": "m.megolm.v1.aes-sha2"} | event,
    }
    found = SyncResponse.from_dict(
        {
            "next_batch": "s1",
            "device_lists": {"changed": list(changed), "left": list(gone)},
            "device_one_time_keys_count": {"signed_curve25519": 50},
            "rooms": {
                "join": {ROOM: {"state": {"events": [encryption]}}} if event else {},
                "leave": {room: {"state": {"events": []}, "timeline": {"events": []}} for room in left},
            },
        }
    )
    assert isinstance(found, SyncResponse)
    return found


# ------------------------------------------------------------------ who can read


async def test_who_is_there_can_read(bot: Device, ada: Device, grace: Device) -> None:
    """Everybody in the room, on their devices; and what is sent has no word of it in the clear."""
    sealed = await say(bot.keys, "hello", ADA, GRACE, BOT)

    assert ["hello", "hello"] == [heard(ada, sealed), heard(grace, sealed)]
    assert {(ADA, "ADA1"), (GRACE, "GRACE1")} == sealed.readers
    assert () == sealed.left_out
    assert "hello" not in str(sealed.content) + repr(sealed)
    assert {"algorithm", "sender_key", "ciphertext", "session_id", "device_id"} == set(sealed.content)


async def test_who_is_not_there_cannot(bot: Device, ada: Device, grace: Device) -> None:
    """Having been in another room with the bot is nothing."""
    await say(bot.keys, "elsewhere", ADA, GRACE, room="!other")
    sealed = await say(bot.keys, "hello", ADA)

    assert heard(grace, sealed) is None


async def test_a_relation_is_in_the_clear(bot: Device, ada: Device) -> None:
    """Homeservers group replies and edits by it."""
    relation = {"rel_type": "m.replace", "event_id": "$1"}
    content = {"msgtype": "m.text", "body": "hello", "m.relates_to": relation}
    sealed = await bot.keys.encrypt(ROOM, [ADA], "m.room.message", content)

    assert relation == sealed.content["m.relates_to"]
    assert {"msgtype": "m.text", "body": "hello", "m.relates_to": relation} == content


async def test_one_key_for_many_messages(bot: Device, ada: Device) -> None:
    """Nobody is asked for anything before the second."""
    first = await say(bot.keys, "one", ADA)
    asked = len(bot.server.asked)
    second = await say(bot.keys, "two", ADA)

    assert asked == len(bot.server.asked)
    assert first.content["session_id"] == second.content["session_id"]
    assert ["one", "two"] == [heard(ada, first), heard(ada, second)]


async def test_who_comes_later_reads_from_then_on(bot: Device, ada: Device, grace: Device) -> None:
    """Nothing of what was said before."""
    before = await say(bot.keys, "before", ADA)
    after = await say(bot.keys, "after", ADA, GRACE)

    assert before.content["session_id"] == after.content["session_id"]
    assert "after" == heard(grace, after)
    assert heard(grace, before) is None
    assert ["before", "after"] == [heard(ada, before), heard(ada, after)]


async def test_who_left_reads_no_more(bot: Device, ada: Device, grace: Device) -> None:
    """Whether they left, were put out or were banned: they are not there when it is said."""
    before = await say(bot.keys, "before", ADA, GRACE)
    assert "before" == heard(grace, before)
    after = await say(bot.keys, "after", ADA)

    assert before.content["session_id"] != after.content["session_id"]
    assert "after" == heard(ada, after)
    assert heard(grace, after) is None


async def test_a_device_that_is_gone_reads_no_more(bot: Device, ada: Device, tmp_path: Path) -> None:
    """Its owner logged it out, perhaps because it was stolen."""
    stolen = await device(bot.server, tmp_path / "stolen", ADA, "ADA2")
    before = await say(bot.keys, "before", ADA)
    assert "before" == heard(stolen, before)
    del bot.server.devices[ADA]["ADA2"]
    bot.keys.synced(synced(changed=[ADA, MALLORY]))
    after = await say(bot.keys, "after", ADA)

    assert ["after", None] == [heard(ada, after), heard(stolen, after)]
    assert MALLORY not in bot.machine.users_for_key_query


async def test_a_second_device_reads_too(bot: Device, ada: Device, tmp_path: Path) -> None:
    """From when the homeserver told of it."""
    await say(bot.keys, "before", ADA)
    second = await device(bot.server, tmp_path / "ada2", ADA, "ADA2")
    bot.keys.synced(synced(changed=[ADA]))
    sealed = await say(bot.keys, "after", ADA)

    assert ["after", "after"] == [heard(ada, sealed), heard(second, sealed)]


async def test_who_shares_no_room_any_more_is_looked_up_anew(bot: Device, ada: Device) -> None:
    """The homeserver no longer tells of their devices."""
    await say(bot.keys, "before", ADA)
    bot.keys.synced(synced(gone=[ADA]))
    looked_up = bot.server.counted("keys/query")
    await say(bot.keys, "after", ADA)

    assert looked_up + 1 == bot.server.counted("keys/query")


async def test_the_bots_other_devices_read_nothing(bot: Device, ada: Device, tmp_path: Path) -> None:
    """Whoever got the password and logged in reads nothing that way, under either policy."""
    other = await device(bot.server, tmp_path / "other", BOT, "BOT2")
    assert (await bot.sign()).yes
    other.secrets.rows |= {key: value for key, value in bot.secrets.rows.items() if key.startswith("cross")}
    assert (await other.sign()).yes
    assert (await ada.sign()).yes
    for keys in (bot.keys, strict(bot)):
        await keys._look_up({BOT})
        sealed = await say(keys, "hello", BOT, ADA)

        assert ["hello", None] == [heard(ada, sealed), heard(other, sealed)]
        assert {(ADA, "ADA1")} == sealed.readers


@pytest.mark.parametrize("trust", ["first-use", "cross-signed"])
async def test_a_blacklisted_device_reads_nothing(bot: Device, ada: Device, trust: Trust) -> None:
    """And loses what it had; its client is told once."""
    assert (await ada.sign()).yes
    keys = Keys(bot.machine, bot.ask, trust)
    before = await say(keys, "before", ADA)
    assert "before" == heard(ada, before)
    (phone,) = bot.machine.device_store.active_user_devices(ADA)
    bot.machine.blacklist_device(phone)
    after = await say(keys, "after", ADA)
    await say(keys, "again", ADA)

    assert (LeftOut(ADA, "ADA1", "m.blacklisted"),) == after.left_out
    assert 1 == bot.server.counted("sendToDevice/m.room_key.withheld")
    assert heard(ada, after) is None


async def test_who_has_changed_their_keys_reads_nothing(bot: Device, ada: Device, tmp_path: Path) -> None:
    """A device that comes with another identity than was first seen is somebody else's."""
    await say(bot.keys, "before", ADA)
    bot.server.one_time.clear()
    del bot.server.devices[ADA]
    forged = await device(bot.server, tmp_path / "forged", ADA, "ADA1")
    bot.keys.synced(synced(changed=[ADA]))
    again = Keys(bot.machine, bot.ask, "first-use")
    sealed = await say(again, "after", ADA)
    elsewhere = await say(again, "elsewhere", ADA, room="!other")

    assert heard(forged, sealed) is None
    assert heard(forged, elsewhere, room="!other") is None


# ------------------------------------------------------------------ only devices signed by their owner


async def test_only_signed_devices(bot: Device, ada: Device, tmp_path: Path) -> None:
    """An unsigned one is told once that it gets no key, and gets it once it is signed."""
    assert (await ada.sign()).yes
    second = await device(bot.server, tmp_path / "ada2", ADA, "ADA2")
    keys = strict(bot)
    sealed = await say(keys, "hello", ADA)
    await say(keys, "hello", ADA)
    withheld = [event["content"] for event in bot.server.inbox[second.name]]
    second.secrets.rows |= {key: value for key, value in ada.secrets.rows.items() if key.startswith("cross")}
    assert (await second.sign()).yes
    keys.synced(synced(changed=[ADA]))
    after = await say(keys, "after", ADA)

    assert (LeftOut(ADA, "ADA2", "m.unverified"),) == sealed.left_out
    assert [("m.unverified", ROOM, sealed.content["session_id"])] == [
        (content["code"], content["room_id"], content["session_id"]) for content in withheld
    ]
    assert ["hello", None] == [heard(ada, sealed), heard(second, sealed)]
    assert ["after", "after"] == [heard(ada, after), heard(second, after)]


async def test_nobody_can_read(bot: Device, ada: Device) -> None:
    """It is for the caller to say something else, or nothing; here nobody has a key."""
    sealed = await say(strict(bot), "hello", ADA)

    assert frozenset() == sealed.readers
    assert heard(ada, sealed) is None


async def test_a_signature_that_was_withdrawn(bot: Device, ada: Device) -> None:
    """The device loses the key with the next message, and after a start as well."""
    assert (await ada.sign()).yes
    keys = strict(bot)
    assert "before" == heard(ada, await say(keys, "before", ADA))
    signatures = bot.server.devices[ADA]["ADA1"]["signatures"][ADA]
    for name in [name for name in signatures if name != "ed25519:ADA1"]:
        del signatures[name]
    keys.synced(synced(changed=[ADA]))
    after = await say(keys, "after", ADA)

    assert heard(ada, after) is None
    assert [False] == [one.verified for one in bot.machine.store.load_device_keys()]


async def test_a_changed_master_key_is_not_trusted(bot: Device, ada: Device, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever runs the homeserver can make one; it is said once, and holds after a start."""
    assert (await ada.sign()).yes
    keys = strict(bot)
    assert "before" == heard(ada, await say(keys, "before", ADA))
    del bot.server.signing[ADA]
    del ada.secrets.rows[f"cross-signing {ADA}"]
    assert (await ada.sign()).yes
    for current in (keys, strict(bot)):
        for _ in range(2):
            current.synced(synced(changed=[ADA]))
            sealed = await say(current, "after", ADA)

            assert heard(ada, sealed) is None
            assert frozenset() == sealed.readers
    assert 2 == caplog.text.count("has another master key")


async def test_a_master_key_that_was_only_put_in_the_place_of_another(bot: Device, ada: Device) -> None:
    """Whatever the old one has signed: the bot does not guess which is the owner's."""
    assert (await ada.sign()).yes
    keys = strict(bot)
    assert "before" == heard(ada, await say(keys, "before", ADA))
    bot.server.signing[ADA]["master_key"] = {"user_id": ADA, "usage": ["master"], "keys": {f"ed25519:{KEY}": KEY}}
    keys.synced(synced(changed=[ADA]))

    assert frozenset() == (await say(keys, "after", ADA)).readers


async def test_what_a_sync_brought_is_on_the_disk_before_it_goes_on(
    bot: Device, ada: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that came with it comes no second time."""
    settled: list[int] = []
    await say(ada.keys, "hello", BOT)
    bot.receive()
    monkeypatch.setattr(store, "_to_disk", lambda path: settled.append(1))
    await bot.keys.upkeep()

    assert [1] == settled


async def test_a_lie_about_one_is_no_word_about_another(bot: Device, ada: Device, grace: Device) -> None:
    """Signed keys that are not those which the bot has of that device sign nothing."""
    assert (await ada.sign()).yes
    keys = strict(bot)
    await keys._look_up({ADA})
    honest = copy.deepcopy(bot.server.devices[ADA]["ADA1"])
    answer = bot.server.query(ADA)
    (phone,) = bot.machine.device_store.active_user_devices(ADA)
    phone.curve25519 = grace.machine.account.identity_keys["curve25519"]
    keys._judge(answer, ADA)

    assert honest == bot.server.devices[ADA]["ADA1"]
    assert not phone.verified


# ------------------------------------------------------------------ for how long


@pytest.mark.parametrize(
    ("content", "hours", "messages"),
    [
        ({}, 168, 100),
        ({"rotation_period_ms": 7_200_000, "rotation_period_msgs": 7}, 2, 7),
        ({"rotation_period_ms": 1, "rotation_period_msgs": 0}, 1, 1),
        ({"rotation_period_ms": 10**15, "rotation_period_msgs": 10**9}, 168, 100),
        ({"rotation_period_ms": -5, "rotation_period_msgs": -5}, 1, 1),
        ({"rotation_period_ms": "1", "rotation_period_msgs": True}, 168, 100),
        ({"rotation_period_ms": None, "rotation_period_msgs": 1.5}, 168, 100),
    ],
)
def test_rotation(content: dict[str, object], hours: int, messages: int) -> None:
    """A room may want new keys sooner than usual, and not later."""
    assert Rotation(timedelta(hours=hours), messages) == Rotation.of(content)


async def test_a_new_key_after_so_many_messages(bot: Device, ada: Device) -> None:
    """As the room has it."""
    bot.keys.synced(synced(rotation_period_msgs=2))
    sealed = [await say(bot.keys, str(number), ADA) for number in range(5)]
    sessions = [one.content["session_id"] for one in sealed]

    assert [1, 1, 2, 2, 3] == [len(set(sessions[: index + 1])) for index in range(5)]
    assert ["0", "1", "2", "3", "4"] == [heard(ada, one) for one in sealed]


async def test_a_new_key_after_so_long(bot: Device, ada: Device) -> None:
    """Also where the room asked for it only after the key was made."""
    first = await say(bot.keys, "one", ADA)
    bot.machine.outbound_group_sessions[ROOM].creation_time -= timedelta(hours=2)
    second = await say(bot.keys, "two", ADA)
    bot.keys.synced(synced(rotation_period_ms=3_600_000))
    third = await say(bot.keys, "three", ADA)

    assert first.content["session_id"] == second.content["session_id"] != third.content["session_id"]


async def test_a_room_that_was_left(bot: Device, ada: Device) -> None:
    """Its key is not used again."""
    first = await say(bot.keys, "one", ADA)
    bot.keys.synced(synced(left=[ROOM]))
    second = await say(bot.keys, "two", ADA)

    assert first.content["session_id"] != second.content["session_id"]


async def test_no_session_outlives_the_process(bot: Device, ada: Device, tmp_path: Path) -> None:
    """No message key is used twice, whatever the last process had not written."""
    first = await say(bot.keys, "one", ADA)
    bot.machine.store.close()
    again = await device(bot.server, tmp_path / "bot", BOT, "BOT1", secrets=bot.secrets)
    second = await say(again.keys, "two", ADA)

    assert first.content["session_id"] != second.content["session_id"]
    assert ["one", "two"] == [heard(ada, first), heard(ada, second)]


# ------------------------------------------------------------------ in slices, and one at a time


async def crowd(server: KeyServer, folder: Path, number: int) -> list[str]:
    """Make so many people with a device each, with one store for all to be quick."""
    template = await device(server, folder / "template", GRACE, "T")
    users = []
    for index in range(number):
        user = f"@user{index}:hs.test"
        machine = Machine(user, "D", template.machine.store)
        machine.account = OlmAccount()
        keys = machine.share_keys()
        keys["one_time_keys"] = dict(list(keys["one_time_keys"].items())[:1])
        await server.client(user, "D")("POST", "/_matrix/client/v3/keys/upload", keys)
        users.append(user)
    return users


async def test_a_hundred_devices_do_not_hold_the_loop(
    bot: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a few devices everything else has its turn: sessions are made, keys sealed and rows written in slices."""
    users = await crowd(bot.server, tmp_path, 100)
    work = {"made": 0, "sealed": 0, "longest": 0}
    since = {"turn": 0}
    make, seal = Machine.create_session, Machine.hand

    def made(self: Machine, *arguments: Any) -> Any:
        work["made"] += 1
        since["turn"] += 1
        return make(self, *arguments)

    def sealed(self: Machine, *arguments: Any) -> Any:
        work["sealed"] += 1
        since["turn"] += 1
        return seal(self, *arguments)

    async def others() -> None:
        while True:
            work["longest"] = max(work["longest"], since["turn"])
            since["turn"] = 0
            await asyncio.sleep(0)

    monkeypatch.setattr(Machine, "create_session", made)
    monkeypatch.setattr(Machine, "hand", sealed)
    beside = asyncio.create_task(others())
    found = await say(bot.keys, "hello", *users)
    beside.cancel()

    assert 100 == len(found.readers)
    assert (100, 100) == (work["made"], work["sealed"])
    assert 0 < work["longest"] <= SLICE
    assert 3 == bot.server.counted("sendToDevice/m.room.encrypted")
    assert 1 == bot.server.counted("keys/claim")


async def test_many_at_once_share_one_key(bot: Device, ada: Device, grace: Device) -> None:
    """Each waits for the first to have passed it on."""
    found = await asyncio.gather(*(say(bot.keys, str(number), ADA, GRACE) for number in range(10)))

    assert 1 == len({one.content["session_id"] for one in found})
    assert 1 == bot.server.counted("sendToDevice/m.room.encrypted")
    assert [str(number) for number in range(10)] == [heard(ada, one) for one in found]
    assert {} == bot.keys._locks


async def test_somebody_leaves_while_the_key_is_passed_on(bot: Device, ada: Device, grace: Device) -> None:
    """The key is put away by nio when it hears of it: another is made before anything is said."""
    puts_away = 1

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        nonlocal puts_away
        answer = await bot.ask(method, where, body)
        if "sendToDevice" in where and puts_away > 0:
            puts_away -= 1
            bot.machine.outbound_group_sessions.pop(ROOM)
        return answer

    keys = Keys(bot.machine, ask, "first-use")
    sealed = await say(keys, "hello", ADA)
    puts_away = 1_000
    bot.machine.outbound_group_sessions.clear()

    assert "hello" == heard(ada, sealed)
    with pytest.raises(NotDelivered) as refused:
        await say(keys, "hello", ADA)
    assert refused.value.retryable


# ------------------------------------------------------------------ what goes wrong


async def test_nothing_is_said_before_the_key_is_passed_on(bot: Device, ada: Device) -> None:
    """Where the homeserver does not take it, there is no event; the next try goes on."""
    bot.server.down.add("sendToDevice")
    with pytest.raises(MatrixError):
        await say(bot.keys, "hello", ADA)
    bot.server.down.clear()
    sealed = await say(bot.keys, "hello", ADA)

    assert "hello" == heard(ada, sealed)


async def test_keys_are_on_the_disk_before_they_leave(
    bot: Device, ada: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that went on, and was forgotten, would use its keys twice."""
    order: list[str] = []
    settle, send = type(bot.machine.store).settle, Keys._to_devices

    async def settled(self: Any) -> None:
        order.append("disk")
        await settle(self)

    async def sent(self: Keys, kind: str, messages: Mapping[str, Any]) -> None:
        order.append("sent")
        await send(self, kind, messages)

    monkeypatch.setattr(type(bot.machine.store), "settle", settled)
    monkeypatch.setattr(Keys, "_to_devices", sent)
    await say(bot.keys, "hello", ADA)

    assert ["disk", "sent"] == order


async def test_a_device_without_keys_is_not_asked_each_time(bot: Device, ada: Device, grace: Device) -> None:
    """It is left out, and asked again after some minutes."""
    now = 0.0
    keys = Keys(bot.machine, bot.ask, "first-use", now=lambda: now)
    spare = dict(bot.server.one_time[ada.name])
    bot.server.one_time[ada.name].clear()
    first = await say(keys, "one", ADA, GRACE)
    bot.server.one_time[ada.name] = spare
    await say(keys, "two", ADA, GRACE)
    claims = bot.server.counted("keys/claim")
    now = 301.0
    third = await say(keys, "three", ADA, GRACE)

    assert (LeftOut(ADA, "ADA1", "m.no_olm"),) == first.left_out
    assert 1 == claims
    assert "one" == heard(grace, first)
    assert ["three", "three"] == [heard(ada, third), heard(grace, third)]


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [],
        {},
        {"signed_curve25519:A": None},
        {"signed_curve25519:A": {"key": "garbage", "signatures": {}}},
        {"signed_curve25519:A": {"key": 5}},
    ],
    ids=repr,
)
async def test_one_bad_key_keeps_nobody_else_out(bot: Device, ada: Device, grace: Device, keys: object) -> None:
    """What is claimed comes from others."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = await bot.ask(method, where, body)
        if where.endswith("claim"):
            answer["one_time_keys"][ADA]["ADA1"] = keys
        return answer

    sealed = await say(Keys(bot.machine, ask, "first-use"), "hello", ADA, GRACE)

    assert "hello" == heard(grace, sealed)
    assert (LeftOut(ADA, "ADA1", "m.no_olm"),) == sealed.left_out


async def test_a_forged_one_time_key(bot: Device, ada: Device, grace: Device) -> None:
    """One that the device has not signed is the homeserver's own."""
    for name, key in bot.server.one_time[grace.name].items():
        bot.server.one_time[ada.name][name] = key
    sealed = await say(bot.keys, "hello", ADA)

    assert frozenset() == sealed.readers


async def test_a_homeserver_of_others_that_is_away(bot: Device, ada: Device) -> None:
    """Its people are left out, and looked up again after some minutes; the others are not kept waiting."""
    now = 0.0

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = await bot.ask(method, where, body)
        if where.endswith("query"):
            answer["device_keys"].pop(MALLORY, None)
        return answer

    keys = Keys(bot.machine, ask, "first-use", now=lambda: now)
    sealed = [await say(keys, str(number), ADA, MALLORY) for number in range(2)]
    before = bot.server.counted("keys/query")
    now = 301.0
    await keys.upkeep()

    assert ["0", "1"] == [heard(ada, one) for one in sealed]
    assert (1, 2) == (before, bot.server.counted("keys/query"))


async def test_who_changes_while_they_are_looked_up(bot: Device, ada: Device) -> None:
    """The answer may be from before: they are looked up again."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        answer = await bot.ask(method, where, body)
        if bot.server.counted("keys/query") == 1:
            bot.machine.add_changed_users({ADA})
        return answer

    keys = Keys(bot.machine, ask, "first-use")
    await keys._look_up({ADA})
    again = ADA in bot.machine.users_for_key_query
    await keys.upkeep()

    assert again
    assert ADA not in bot.machine.users_for_key_query


async def test_a_lookup_that_failed_is_made_again(bot: Device, ada: Device) -> None:
    """Nobody is forgotten by it."""
    bot.machine.add_changed_users({ADA})
    bot.server.down.add("query")
    with pytest.raises(MatrixError):
        await bot.keys.upkeep()
    bot.server.down.clear()

    assert {ADA} == bot.machine.users_for_key_query
    await bot.keys.upkeep()
    assert set() == bot.machine.users_for_key_query


@pytest.mark.parametrize("answer", [{}, {"device_keys": []}, {"device_keys": {ADA: [], GRACE: None}}], ids=str)
async def test_an_answer_that_says_nothing(bot: Device, answer: dict[str, Any]) -> None:
    """Nobody is known by it, and nothing breaks."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        return answer if where.endswith("query") else await bot.ask(method, where, body)

    sealed = await say(Keys(bot.machine, ask, "first-use"), "hello", ADA, GRACE)

    assert frozenset() == sealed.readers


# ------------------------------------------------------------------ upkeep


async def test_keys_are_published_again_as_they_are_used(bot: Device, ada: Device, grace: Device) -> None:
    """Whoever claimed one is made up for."""
    await say(ada.keys, "hello", BOT)
    left = len(bot.server.one_time[bot.name])
    response = synced()
    response.device_key_count.signed_curve25519 = left
    bot.keys.synced(response)
    await bot.keys.upkeep()

    assert (49, 50) == (left, len(bot.server.one_time[bot.name]))


async def test_an_older_store_was_put_back(
    bot: Device, ada: Device, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The homeserver has other keys by the same names: the bot goes on to new names, and says so."""
    bot.machine.store.close()
    older = copy.deepcopy(bot.secrets.rows), {p.name: p.read_bytes() for p in (tmp_path / "bot" / "crypto").iterdir()}
    again = await device(bot.server, tmp_path / "bot", BOT, "BOT1", secrets=bot.secrets)
    again.machine.counted(synced())
    again.machine.uploaded_key_count = 40
    await again.keys.upkeep()
    again.machine.store.close()
    for name, data in older[1].items():
        (tmp_path / "bot" / "crypto" / name).write_bytes(data)
    back = await device(bot.server, tmp_path / "bot", BOT, "BOT1", secrets=bot.secrets)
    for _ in range(2):
        back.machine.uploaded_key_count = 40
        await back.keys.upkeep()

    assert 1 == caplog.text.count("older crypto store")
    assert 70 == len(bot.server.one_time[bot.name])


async def test_another_store_behind_the_same_token(bot: Device, tmp_path: Path) -> None:
    """A bot set up anew with an old token does not take the older one's place: others would be warned of it."""
    before = copy.deepcopy((bot.server.devices, bot.server.one_time))
    with pytest.raises(Refused, match="BOT1 that are not here") as refused:
        await device(bot.server, tmp_path / "anew", BOT, "BOT1")

    assert "`device_name`" in refused.value.cure
    assert before == (bot.server.devices, bot.server.one_time)


async def test_a_first_start_that_was_cut_short(bot: Device, tmp_path: Path) -> None:
    """Keys that got there, and whose answer did not come back, are this store's own."""
    bot.machine.account.shared = False
    bot.machine.save_account()
    bot.machine.store.close()
    again = await device(bot.server, tmp_path / "bot", BOT, "BOT1", secrets=bot.secrets)

    assert again.machine.account.shared
    assert bot.machine.account.identity_keys == again.machine.account.identity_keys


async def test_a_device_that_could_not_be_read_is_begun_anew_with(bot: Device, ada: Device) -> None:
    """Once; if it has no key to give, the next message that cannot be read tries again."""
    await bot.keys._look_up({ADA})
    (phone,) = bot.machine.device_store.active_user_devices(ADA)
    for has_keys in (False, True):
        spare = bot.server.one_time.pop(ada.name) if not has_keys else {}
        bot.machine.wedged_devices.append(phone)
        bot.keys._resting.clear()
        await bot.keys.upkeep()
        kinds = [type(event).__name__ for event in ada.receive()]
        bot.server.one_time.setdefault(ada.name, spare)

        assert (["DummyEvent"] if has_keys else []) == kinds
        assert [] == bot.machine.wedged_devices


@pytest.mark.parametrize("error", [MatrixError("", "", 503), MatrixError("", "", 0), Limited(1.0)], ids=str)
async def test_what_nio_has_to_say_is_said_once(bot: Device, ada: Device, error: MatrixError) -> None:
    """And is kept where the homeserver does not take it just now."""
    sealed = await say(ada.keys, "hello", BOT)
    event = megolm(ROOM, ADA, sealed.content)
    bot.machine.outgoing_to_device_messages.append(event.as_key_request(ADA, "BOT1", "r", "ADA1"))
    asks = bot.keys._ask

    async def fails(*_: object) -> dict[str, Any]:
        raise error

    bot.keys._ask = fails
    with pytest.raises(type(error)):
        await bot.keys.upkeep()
    bot.keys._ask = asks
    await bot.keys.upkeep()
    await bot.keys.upkeep()

    assert ["m.room_key_request"] == [event["type"] for event in bot.server.inbox[ada.name]]
    assert [] == bot.machine.outgoing_to_device_messages


async def test_what_no_device_can_take_ends_no_sync(bot: Device, ada: Device) -> None:
    """Which device made an event is its sender's word: a homeserver may fail over that, every time."""
    sealed = await say(ada.keys, "hello", BOT)
    event = megolm(ROOM, ADA, sealed.content | {"device_id": "\x00"})
    bot.machine.outgoing_to_device_messages.append(event.as_key_request(ADA, "BOT1", "r", "\x00"))
    bot.server.down.add("sendToDevice")
    await bot.keys.upkeep()

    assert [] == bot.machine.outgoing_to_device_messages


def test_no_device_is_trusted_for_its_name(bot: Device) -> None:
    """A device that is not known is nobody's."""
    stranger = OlmDevice(ADA, "BOT1", {"ed25519": "e", "curve25519": "c"})

    assert not strict(bot)._may_read(stranger)
