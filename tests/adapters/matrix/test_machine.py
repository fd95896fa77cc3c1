"""What strangers send to the bot's device ends nothing, piles up nowhere, and opens nothing."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from nio.client.async_client import AsyncClient
from nio.events.room_events import UnknownEvent
from nio.events.to_device import ToDeviceEvent
from nio.responses import KeysQueryResponse, SyncResponse
from nio.rooms import MatrixRoom

from adapters.matrix.machine import MOST_DEVICES, Machine, attach, must_encrypt
from adapters.matrix.store import open_store
from omnibot.errors import NotDelivered, Refused
from omnibot.testing.fakes import FakeStore
from servers.keyserver import Device, KeyServer, device, megolm

BOT, ADA, EVE = "@bot:hs.test", "@ada:hs.test", "@eve:elsewhere.test"
ROOM = "!room"
SAID = {"msgtype": "m.text", "body": "hi"}


@pytest.fixture
def server() -> KeyServer:
    """A homeserver."""
    return KeyServer()


@pytest.fixture
async def bot(server: KeyServer, tmp_path: Path) -> Device:
    """The bot's device."""
    return await device(server, tmp_path / "bot", BOT, "BOT1")


@pytest.fixture
async def ada(server: KeyServer, tmp_path: Path) -> Device:
    """Ada's phone."""
    return await device(server, tmp_path / "ada", ADA, "ADA1")


def olm(machine: Machine, ciphertext: Any, sender: str = EVE, key: str = "k" * 43) -> dict[str, Any]:
    return {
        "type": "m.room.encrypted",
        "sender": sender,
        "content": {
            "algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": key,
            "ciphertext": {machine.account.identity_keys["curve25519"]: ciphertext},
        },
    }


@pytest.mark.parametrize(
    "ciphertext",
    [
        {"type": 0, "body": ""},
        {"type": 0, "body": "AwogAAAA"},
        {"type": 0, "body": "not base64 at all!"},
        {"type": 1, "body": "A"},
        {"type": 1, "body": "x" * 80},
        {"type": 1, "body": "é"},
        {"type": 2, "body": "AAAA"},
        {"type": 0},
    ],
    ids=str,
)
def test_no_message_ends_a_sync(bot: Device, ciphertext: object) -> None:
    """Anybody can send one, and it would be given again and again."""
    event = ToDeviceEvent.parse_event(olm(bot.machine, ciphertext))

    assert event is None or not isinstance(event, ToDeviceEvent) or bot.machine.handle_to_device_event(event) is None


@pytest.mark.parametrize(
    "payload",
    [
        {"session_key": "garbage"},
        {"session_key": "AQAAAA"},
        {"room_id": 5},
        {"session_id": "another"},
    ],
    ids=str,
)
async def test_no_room_key_ends_a_sync(bot: Device, ada: Device, payload: dict[str, object]) -> None:
    """Whoever has a session with the bot can give it any key."""
    sealed = await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    inbox = bot.server.inbox.pop(bot.name)
    session = ada.machine.session_store.get(bot.machine.account.identity_keys["curve25519"])
    to = next(iter(ada.machine.device_store.active_user_devices(BOT)))
    content: dict[str, object] = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "room_id": ROOM,
        "session_id": sealed.content["session_id"],
        "session_key": "x",
    }
    bad = ada.machine._olm_encrypt(session, to, "m.room_key", content | payload)  # type: ignore[no-untyped-call]
    bot.server.inbox[bot.name] = [*inbox, {"type": "m.room.encrypted", "sender": ADA, "content": bad}]
    bot.receive()

    assert "hi" == getattr(bot.read(ROOM, ADA, sealed.content), "body", None)


@pytest.mark.parametrize("part", ["sender_key", "ciphertext", "session_id", "device_id"])
@pytest.mark.parametrize("value", ["", "garbage", "é" * 10])
async def test_no_room_event_ends_a_sync(bot: Device, ada: Device, part: str, value: str) -> None:
    """What cannot be read says nothing."""
    sealed = await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    found = bot.read(ROOM, ADA, sealed.content | {part: value})

    assert part == "device_id" or found is None


@pytest.mark.parametrize("said", [[], "text", 5, {"type": "m.room.message"}, {"type": 5, "content": []}], ids=str)
async def test_nothing_said_ends_a_sync(bot: Device, ada: Device, said: object) -> None:
    """Whoever has a key of the room can encrypt anything with it."""
    await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)

    assert bot.read(ROOM, ADA, forged(ada, said)) is None


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.member", {"membership": "join"}),
        ("m.room.join_rules", {"join_rule": "invite"}),
        ("m.room.tombstone", {"body": "", "replacement_room": "!theirs"}),
        ("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
    ],
)
async def test_nothing_encrypted_is_a_rooms_state(
    bot: Device, ada: Device, kind: str, content: dict[str, object]
) -> None:
    """Every member can encrypt what only some may send, and no homeserver looks into it."""
    await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    key = EVE if kind == "m.room.member" else ""
    said = {"type": kind, "state_key": key, "content": content, "room_id": ROOM}
    sealed = forged(ada, said)
    found = bot.read(ROOM, ADA, sealed)

    assert isinstance(found, UnknownEvent)
    assert (True, sealed["session_id"], ROOM) == (found.decrypted, found.session_id, getattr(found, "room_id", None))


def forged(device: Device, said: object) -> dict[str, object]:
    """Return what *device* makes of any JSON, with the key that it has given for the room."""
    session = device.machine.outbound_group_sessions[ROOM]
    return {
        "algorithm": "m.megolm.v1.aes-sha2",
        "sender_key": device.machine.account.identity_keys["curve25519"],
        "ciphertext": session.encrypt(json.dumps(said)),
        "session_id": session.id,
        "device_id": "ADA1",
    }


async def test_requests_for_keys_are_not_answered_and_not_kept(bot: Device, ada: Device) -> None:
    """Not even those of the bot's own other devices; and nothing grows with them."""
    sealed = await bot.keys.encrypt(ROOM, [ADA], "m.room.message", SAID)
    machine = bot.machine
    for sender in (ADA, EVE, BOT):
        for action in ("request", "request_cancellation"):
            body = {"algorithm": "m.megolm.v1.aes-sha2", "room_id": ROOM, "sender_key": "k"}
            content = {
                "action": action,
                "requesting_device_id": f"{sender} {action}",
                "request_id": f"{sender} {action}",
                "body": body | {"session_id": sealed.content["session_id"]},
            }
            bot.server.inbox.setdefault(bot.name, []).append(
                {"type": "m.room_key_request", "sender": sender, "content": content}
            )
    bot.receive()
    machine.collect_key_requests()  # type: ignore[no-untyped-call]

    assert [] == machine.outgoing_to_device_messages
    assert 0 == len(machine.received_key_requests) + len(machine.key_requests_waiting_for_session)
    assert 0 == len(machine.key_request_from_untrusted) + len(machine.key_request_devices_no_session)


def test_nio_verifies_nobody(bot: Device, ada: Device) -> None:
    """Its verification is broken, and would trust whom it verified."""
    bot.machine.handle_response(queried(bot.server, ADA))  # type: ignore[no-untyped-call]
    bot.server.inbox[bot.name] = [
        {
            "type": "m.key.verification.start",
            "sender": ADA,
            "content": {
                "transaction_id": "t",
                "from_device": "ADA1",
                "method": "m.sas.v1",
                "key_agreement_protocols": ["curve25519-hkdf-sha256"],
                "hashes": ["sha256"],
                "message_authentication_codes": ["hkdf-hmac-sha256.v2"],
                "short_authentication_string": ["decimal"],
            },
        }
    ]
    bot.receive()

    assert {} == bot.machine.key_verifications
    assert [] == bot.machine.outgoing_to_device_messages


def counts(left: int | None) -> SyncResponse:
    said = {} if left is None else {"signed_curve25519": left}
    found = SyncResponse.from_dict({"next_batch": "s1", "device_one_time_keys_count": said})
    assert isinstance(found, SyncResponse)
    return found


@pytest.mark.parametrize(("left", "offers"), [(50, False), (49, True), (0, True), (None, True)])
async def test_keys_are_made_where_there_are_none_left(
    bot: Device, tmp_path: Path, left: int | None, offers: bool
) -> None:
    """Also where somebody has taken them all while the bot was away; nio would wait for ever."""
    bot.machine.store.close()
    again = await device(bot.server, tmp_path / "bot", BOT, "BOT1", secrets=bot.secrets)
    again.machine.counted(counts(left))

    assert offers is again.machine.should_upload_keys


async def test_keys_are_kept_before_they_are_published(bot: Device, ada: Device, tmp_path: Path) -> None:
    """A bot that is killed before it heard the answer opens what was sealed with them, and offers the same again."""
    bot.server.one_time[bot.name].clear()
    bot.machine.counted(counts(0))
    published = bot.machine.share_keys()
    bot.server.one_time[bot.name].update(published["one_time_keys"])
    bot.machine.store.close()  # killed before it heard the answer
    again = await device(bot.server, tmp_path / "bot", BOT, "BOT1", secrets=bot.secrets)
    sealed = await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    again.machine.counted(counts(0))

    assert "hi" == getattr(again.read(ROOM, ADA, sealed.content), "body", None)
    offered = again.machine.share_keys()["one_time_keys"]
    assert 49 == len([name for name, key in published["one_time_keys"].items() if offered.get(name) == key])


async def test_no_more_keys_than_there_are_to_be(bot: Device) -> None:
    """However often publishing them failed."""
    bot.machine.counted(counts(0))
    offered = [len(bot.machine.share_keys()["one_time_keys"]) for _ in range(5)]
    bot.machine.mark_keys_as_published()
    bot.machine.counted(counts(40))
    few = len(bot.machine.share_keys()["one_time_keys"])
    bot.machine.counted(counts(0))

    assert [50] * 5 == offered
    assert (10, 50) == (few, len(bot.machine.share_keys()["one_time_keys"]))


def queried(server: KeyServer, *users: str) -> KeysQueryResponse:
    return KeysQueryResponse(server.query(*users)["device_keys"], {})


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": EVE},
        {"device_id": "OTHER"},
        {"keys": {}},
        {"keys": {"ed25519:ADA2": "garbage", "curve25519:ADA2": "garbage"}},
        {"keys": {"ed25519:ADA2": None, "curve25519:ADA2": None}},
        {"signatures": {}},
        {"signatures": {ADA: []}},
        {"signatures": {ADA: {"ed25519:ADA2": "é"}}},
        {"signatures": None},
        {"unsigned": []},
    ],
    ids=str,
)
async def test_no_device_hides_another(bot: Device, ada: Device, tmp_path: Path, change: dict[str, object]) -> None:
    """A device whose keys are no keys is not there, and the others are."""
    second = await device(bot.server, tmp_path / "ada2", ADA, "ADA2")
    bot.server.devices[ADA]["ADA2"] |= change
    bot.machine.handle_response(queried(bot.server, ADA))  # type: ignore[no-untyped-call]
    second.machine.store.close()

    assert ["ADA1"] == [one.id for one in bot.machine.device_store.active_user_devices(ADA)]


@pytest.mark.parametrize(("name", "kept"), [(None, ""), ("a\ud800b", "ab")], ids=["none", "half a letter"])
async def test_a_device_without_a_name(bot: Device, ada: Device, name: str | None, kept: str) -> None:
    """A name that is no text is none, and of one that cannot be kept there is what can."""
    bot.server.devices[ADA]["ADA1"]["unsigned"] = {"device_display_name": name}
    bot.machine.handle_response(queried(bot.server, ADA))  # type: ignore[no-untyped-call]

    assert [kept] == [one.display_name for one in bot.machine.device_store.active_user_devices(ADA)]


async def test_a_device_comes_back(bot: Device, ada: Device) -> None:
    """It was missing from one answer, or had lost its signature for a while."""
    for gone in (False, True, False):
        answer = queried(bot.server, ADA)
        answer.device_keys = {ADA: {}} if gone else answer.device_keys
        bot.machine.handle_response(answer)  # type: ignore[no-untyped-call]

    assert ["ADA1"] == [one.id for one in bot.machine.device_store.active_user_devices(ADA)]
    assert [False] == [one.deleted for one in bot.machine.store.load_device_keys()]


async def test_a_changed_identity_is_not_taken(bot: Device, ada: Device, tmp_path: Path) -> None:
    """Neither now, nor after it was gone for a while, nor after a start: the first one seen stays."""
    bot.machine.handle_response(queried(bot.server, ADA))  # type: ignore[no-untyped-call]
    first = ada.machine.account.identity_keys["ed25519"]
    bot.server.one_time.clear()
    del bot.server.devices[ADA]
    forged = await device(bot.server, tmp_path / "forged", ADA, "ADA1")
    answers: list[dict[str, Any]] = [{ADA: {}}, {ADA: bot.server.devices[ADA]}]
    for answer in answers:
        bot.machine.handle_response(KeysQueryResponse(answer, {}))  # type: ignore[no-untyped-call]
    forged.machine.store.close()

    assert [] == list(bot.machine.device_store.active_user_devices(ADA))
    assert [first] == [one.ed25519 for one in bot.machine.store.load_device_keys()]


async def test_who_has_a_thousand_devices(bot: Device, ada: Device) -> None:
    """The rest are not looked at, and those that are known stay."""
    bot.machine.handle_response(queried(bot.server, ADA))  # type: ignore[no-untyped-call]
    there = bot.server.devices[ADA]
    bot.server.devices[ADA] = {f"A{number:04}": {} for number in range(1000)} | there
    kept = list(bot.machine._sound(ADA, {name: there["ADA1"] | {"device_id": name} for name in there}))
    bot.machine.handle_response(queried(bot.server, ADA))  # type: ignore[no-untyped-call]

    assert 1 == len(kept) <= MOST_DEVICES
    assert ["ADA1"] == [one.id for one in bot.machine.device_store.active_user_devices(ADA)]


async def test_a_session_is_its_makers(bot: Device, ada: Device, tmp_path: Path) -> None:
    """The homeserver says who sent an event, and the key says who made it."""
    eve = await device(bot.server, tmp_path / "eve", EVE, "EVE1")
    for someone in (ADA, EVE):
        bot.machine.handle_response(queried(bot.server, someone))  # type: ignore[no-untyped-call]
    hers = await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    forged = await eve.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    honest, lie = bot.read(ROOM, ADA, hers.content, "$1"), bot.read(ROOM, ADA, forged.content, "$2")
    eve.machine.store.close()
    assert honest is not None
    assert lie is not None
    speaker = bot.machine.speaker(honest)
    key = ada.machine.account.identity_keys["curve25519"]
    session = bot.machine.inbound_group_store.get(ROOM, key, hers.content["session_id"])
    assert session is not None
    session.ed25519 = eve.machine.account.identity_keys["ed25519"]  # what whoever made it claimed

    assert speaker is not None
    assert "ADA1" == speaker.id
    assert bot.machine.speaker(honest) is None
    assert bot.machine.speaker(lie) is None
    assert bot.machine.speaker(megolm(ROOM, ADA, hers.content)) is None


async def test_a_client_takes_part(bot: Device) -> None:
    """It has what nio would have loaded, and nio loads nothing else."""
    client = AsyncClient("https://hs.test", BOT, "BOT1")
    client.user_id = BOT
    bot.machine.store.save_encrypted_rooms({ROOM})
    machine = attach(client, bot.machine.store)
    client.restore_login(BOT, "BOT1", "token")

    assert client.olm is machine
    assert client.store is bot.machine.store
    assert {ROOM} == client.encrypted_rooms
    assert bot.machine.account.identity_keys == machine.account.identity_keys


async def test_a_long_sync_does_not_hold_the_loop(bot: Device, ada: Device) -> None:
    """After each event everything else has its turn."""
    client = AsyncClient("https://hs.test", BOT, "BOT1")
    client.user_id = BOT
    machine = attach(client, bot.machine.store)
    for number in range(10):
        await ada.keys.encrypt(f"!{number}", [BOT], "m.room.message", SAID)
    events = {"next_batch": "s1", "to_device": {"events": bot.server.inbox.pop(bot.name)}}
    response = SyncResponse.from_dict(events | {"device_one_time_keys_count": {}})
    assert isinstance(response, SyncResponse)
    known: list[int] = []

    async def others() -> None:
        while True:
            known.append(len(list(machine.inbound_group_store)))
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    await client.receive_response(response)
    beside.cancel()

    assert 10 == len(list(machine.inbound_group_store))
    assert 2 > max(after - before for before, after in pairwise([0, *known]))


async def test_what_cannot_be_opened_is_said(bot: Device, ada: Device, tmp_path: Path) -> None:
    """A session under another pickle key, say: the store was put together of two."""
    await ada.keys.encrypt(ROOM, [BOT], "m.room.message", SAID)
    bot.receive()
    store = bot.machine.store
    store.database.execute_sql("UPDATE olmsessions SET session = 'x'")
    client = AsyncClient("https://hs.test", BOT, "BOT1")
    client.user_id = BOT

    with pytest.raises(Refused, match="is damaged") as refused:
        attach(client, store)
    assert "`device_name`" in refused.value.cure


@pytest.mark.parametrize(
    ("known", "encrypted", "was", "able", "expected"),
    [
        (True, False, False, True, False),
        (True, False, False, False, False),
        (True, True, False, True, True),
        (True, False, True, True, True),  # the homeserver has forgotten; the store has not
        (True, True, False, False, "encryption is off"),
        (True, False, True, False, "encryption is off"),
        (False, False, False, True, "not been synced"),
        (False, True, True, False, "not been synced"),
    ],
)
async def test_nothing_in_the_clear_by_accident(
    bot: Device, known: bool, encrypted: bool, was: bool, able: bool, expected: bool | str
) -> None:
    """What has to be encrypted is, or it is not said."""
    client = AsyncClient("https://hs.test", BOT, "BOT1")
    client.user_id = BOT
    if able:
        attach(client, bot.machine.store)
    if known:
        client.rooms[ROOM] = MatrixRoom(ROOM, BOT, encrypted)
    if was:
        client.encrypted_rooms.add(ROOM)

    if isinstance(expected, bool):
        assert expected is must_encrypt(client, ROOM)
    else:
        with pytest.raises(NotDelivered, match=expected) as refused:
            must_encrypt(client, ROOM)
        assert (not known) is refused.value.retryable


async def test_no_secret_is_shown(bot: Device) -> None:
    """Neither of the store nor of the machine."""
    secrets = bot.secrets.rows[f"pickle {BOT} BOT1"][4:].hex()

    assert secrets not in repr(bot.machine) + repr(bot.machine.store) + str(vars(bot.machine))


async def test_another_persons_store_is_not_opened_by_ours(tmp_path: Path) -> None:
    """Each device has a file of its own."""
    secrets = FakeStore()
    one = await open_store(tmp_path, secrets, BOT, "A")
    two = await open_store(tmp_path, secrets, BOT, "B")
    one.close()
    two.close()

    assert one.database_path != two.database_path
