"""The homeserver and the people that other tests lean on do what those tests take for granted."""

import asyncio
import base64
import json
from pathlib import Path
from secrets import token_hex

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servers.faults import Faults
from servers.processes import ServerMissing
from servers.synapse import server
from servers.synapse.person import MatrixPeople, MatrixPerson
from servers.synapse.server import Json, Synapse
from servers.synapse.signatures import Signer, canonical, signed_devices

ADA = "@ada:hs.test"
HELLO = {"msgtype": "m.text", "body": "hello"}


async def together(ada: MatrixPerson, *others: MatrixPerson, encrypted: bool = True) -> str:
    """The room that *ada* has made, in which everybody is and everybody knows it."""
    room = await ada.create_room([one.mxid for one in others], encrypted=encrypted)
    await asyncio.gather(*(one.join(room) for one in others))
    await asyncio.gather(*(ada.until_in(room, one.mxid) for one in others))
    return room


# ------------------------------------------------------------------- messages


async def test_what_is_said_in_an_encrypted_room_is_nowhere_in_the_clear(
    synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """Those who are in it read it, in both directions; the homeserver has no body."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot)
    secret = f"a secret {token_hex(8)}"
    said = await ada.say(room, secret, mentions=[bot.mxid])
    heard = await bot.hear(secret)
    await bot.say(room, f"{secret} too", reply_to=said)
    answered = await ada.hear(of=bot.mxid)
    raw = [
        event for event in synapse.raw_events(room) if event["type"].startswith("m.room.") and "state_key" not in event
    ]

    assert (said, ada.mxid, ada.device_id, True) == (heard.event_id, heard.sender, heard.device, heard.encrypted)
    assert {"user_ids": [bot.mxid]} == heard.mentions
    assert (f"{secret} too", {"m.in_reply_to": {"event_id": said}}) == (answered.body, answered.relates_to)
    assert ["m.room.encrypted", "m.room.encrypted"] == [event["type"] for event in raw]
    assert said == raw[0]["event_id"]
    assert not [event for event in synapse.raw_events() if secret in json.dumps(event)]


async def test_a_plain_room_shows_everything(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """Replies, edits, reactions, notices and threads; what was taken back is still in the database."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot, encrypted=False)
    said = await ada.say(room, "helo", format="org.matrix.custom.html", formatted_body="<b>helo</b>")
    edit = await ada.edit(room, said, "hello")
    await ada.react(room, said, "👍")
    await ada.say(room, "aside", thread=said, notice=True)
    await ada.redact(room, said)
    first, second = await bot.hear(), await bot.hear()
    reaction = await bot.until(lambda event: event.type == "m.reaction")
    aside = await bot.hear()
    await bot.until(lambda event: event.type == "m.room.redaction")

    assert ("helo", "<b>helo</b>", False, "") == (first.body, first.formatted_body, first.encrypted, first.replaces)
    assert (edit, "hello", said) == (second.event_id, second.body, second.replaces)
    assert ("👍", said) == (reaction.relates_to["key"], reaction.relates_to["event_id"])
    assert ("m.notice", "m.thread") == (aside.msgtype, aside.relates_to["rel_type"])
    assert "helo" in [event["content"].get("body") for event in synapse.raw_events(room)]


async def test_a_room_turns_encrypted(matrix_people: MatrixPeople) -> None:
    """While people are in it; what is sent raw is in the clear all the same."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot, encrypted=False)
    await ada.say(room, "before")
    await ada.encrypt(room)
    await ada.say(room, "after")
    await ada.send_raw(room, "m.room.message", HELLO)
    heard = [await bot.hear(), await bot.hear(), await bot.hear()]

    assert [("before", False), ("after", True), ("hello", False)] == [(one.body, one.encrypted) for one in heard]


async def test_typing_and_reading_are_seen(matrix_people: MatrixPeople) -> None:
    """Who is typing, and who has read up to where."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot, encrypted=False)
    said = await ada.say(room, "well?")
    await bot.ask("PUT", f"/rooms/{room}/typing/{bot.mxid}", {"typing": True, "timeout": 5000})
    await bot.ask("POST", f"/rooms/{room}/receipt/m.read/{said}", {})
    await bot.say(room, "well.")
    await ada.hear("well.")

    assert (room, frozenset({bot.mxid})) in ada.typing
    assert (said, bot.mxid) in ada.receipts


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_file_is_shown(matrix_people: MatrixPeople, encrypted: bool) -> None:
    """In an encrypted room its address and its key are told to those in it alone."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot, encrypted=encrypted)
    await ada.send_file(room, b"GIF89a", "image/gif", "dot.gif", kind="m.image")
    heard = await bot.hear("dot.gif")

    assert b"GIF89a" == await bot.download(heard)
    assert ("m.image", encrypted, encrypted) == (heard.msgtype, heard.encrypted, "file" in heard.content)


# ----------------------------------------------------------------------- keys


async def test_a_key_comes_late(matrix_people: MatrixPeople) -> None:
    """Until then there is an event that cannot be read; then it is there again, and can."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot)
    withheld = await ada.say_without_key(room, "at last")
    before = await bot.until(lambda event: event.event_id == withheld.event_id)
    await bot.send_to_device(ada.mxid, ada.device_id, "m.room_key_request", key_request(bot, room, withheld.session_id))
    asked = await ada.until_told("m.room_key_request")
    await ada.share_key(withheld)
    after = await bot.hear("at last")

    assert (False, True) == (before.readable, before.encrypted)
    assert (withheld.event_id, True, ada.device_id) == (after.event_id, after.readable, after.device)
    assert withheld.session_id == asked["content"]["body"]["session_id"]


def key_request(of: MatrixPerson, room: str, session_id: str) -> dict[str, object]:
    """What a client sends that lacks a key."""
    body = {"algorithm": "m.megolm.v1.aes-sha2", "room_id": room, "session_id": session_id, "sender_key": "any"}
    return {"action": "request", "body": body, "request_id": "1", "requesting_device_id": of.device_id}


async def test_a_second_device_reads_what_is_said_from_then_on(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """It is of the same person, and what was said before it came it cannot read."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot)
    early = await bot.say(room, "early")
    (phone,) = await matrix_people.come(ada.account)
    unread = await phone.until(lambda event: event.event_id == early)
    await bot.until_device(ada.mxid, phone.device_id)
    await bot.say(room, "late")
    await phone.hear("late")
    await phone.say(room, "from my phone")

    assert not unread.readable
    assert phone.device_id == (await bot.hear("from my phone")).device
    assert {ada.device_id, phone.device_id} == {one["device_id"] for one in synapse.devices(ada.mxid)}
    assert {ada.device_id, phone.device_id} == bot.devices_of(ada.mxid)


async def test_who_trusts_signed_devices_only_leaves_others_out(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """Until it is signed: then it reads what is said from then on; the other device of its owner still does not."""
    (ada,) = await matrix_people.come("ada", trust="signed")
    (bot,) = await matrix_people.come("bot")
    room = await together(ada, bot)
    said = await ada.say(room, "only for the signed")
    unread = await bot.until(lambda event: event.event_id == said)
    answer = synapse.keys_query(bot.mxid, as_user=ada.mxid)

    (other,) = await matrix_people.come(bot.account)
    signer = await bot.cross_sign()
    await ada.until_device(bot.mxid, other.device_id)
    said = await ada.say(room, "now you are")
    heard = await bot.hear("now you are")
    left_out = await other.until(lambda event: event.event_id == said)
    signed = await ada.signed_devices(bot.mxid)
    await other.cross_sign(signer)
    both = await ada.signed_devices(bot.mxid)

    assert not unread.readable
    assert [bot.device_id] == list(answer["device_keys"][bot.mxid])
    assert set() == signed_devices(answer, bot.mxid)
    assert heard.readable
    assert not left_out.readable
    assert {bot.device_id} == signed
    assert {bot.device_id, other.device_id} == both


def test_only_good_signatures_count() -> None:
    """Not one by another key, whatever it is called: of the device itself, of its owner, of the owner's master key."""
    signer, stranger = Signer(ADA), Signer(ADA)
    good = published(signer)
    other_master = good | {"master_keys": {ADA: stranger.keys()["master_key"]}}

    assert {"D"} == signed_devices(good, ADA)
    assert set() == signed_devices(other_master, ADA)
    assert set() == signed_devices(published(signer, owner=stranger), ADA)
    assert set() == signed_devices(published(signer, itself=Ed25519PrivateKey.generate()), ADA)
    assert set() == signed_devices(good, "@eve:hs.test")


def published(signer: Signer, *, owner: Signer | None = None, itself: Ed25519PrivateKey | None = None) -> Json:
    """What ``keys/query`` tells of a device; *owner* or *itself* signs in the name of who should."""
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    device: Json = {"user_id": ADA, "device_id": "D", "keys": {"ed25519:D": public}}
    (name,) = signer.sign(device)["signatures"][ADA]
    (value,) = (owner or signer).sign(device)["signatures"][ADA].values()
    own = base64.b64encode((itself or key).sign(canonical(device))).decode().rstrip("=")
    keys = signer.keys()
    return {
        "device_keys": {ADA: {"D": device | {"signatures": {ADA: {"ed25519:D": own, name: value}}}}},
        "master_keys": {ADA: keys["master_key"]},
        "self_signing_keys": {ADA: keys["self_signing_key"]},
    }


# ---------------------------------------------------------------------- rooms


async def test_rooms_are_left_joined_and_replaced(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """The homeserver tells who is where, whatever the clients think."""
    ada, bot, eve = await matrix_people.come("ada", "bot", "eve")
    room = await ada.create_room([bot.mxid])
    assert room == await bot.until_invited(by=ada.mxid)
    await bot.join(room)
    await ada.until_in(room, bot.mxid)
    await ada.invite(room, eve.mxid)
    await bot.until_in(room, eve.mxid, "invite")
    members = synapse.members(room)
    await eve.leave(room)
    new = await ada.upgrade(room)
    tombstone = await bot.until(lambda event: event.type == "m.room.tombstone")
    await ada.kick(room, bot.mxid)
    await ada.until_in(room, bot.mxid, "leave")
    direct = await bot.create_room([ada.mxid], direct=True)
    await ada.join(direct)

    assert {ada.mxid: "join", bot.mxid: "join", eve.mxid: "invite"} == members
    assert {ada.mxid: "join", bot.mxid: "leave", eve.mxid: "leave"} == synapse.members(room)
    assert new == tombstone.content["replacement_room"]
    assert ([direct], {}) == (synapse.rooms(bot.mxid), eve.invited)


async def test_who_is_of_the_bridge_speaks_like_anybody(matrix_people: MatrixPeople) -> None:
    """Their names begin with an underscore, which nobody else's may."""
    ghost, bot = await matrix_people.come("_irc_ada", "bot")
    room = await together(ghost, bot)
    await ghost.say(room, "boo")

    assert (await bot.hear("boo")).sender.startswith("@_irc_ada")


# ---------------------------------------------------------------- up and down


async def test_a_homeserver_comes_back_with_everything(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """At the same port; people go on without a new login, and what they say meanwhile waits."""
    ada, bot = await matrix_people.come("ada", "bot")
    room = await together(ada, bot)
    await ada.say(room, "before")
    await bot.hear("before")
    synapse.stop()
    with pytest.raises(OSError, match="refused"):
        synapse.members(room)
    saying = asyncio.create_task(ada.say(room, "meanwhile"))
    await asyncio.to_thread(synapse.start)
    said = await saying

    assert said == (await bot.hear("meanwhile", within=30)).event_id
    assert {"m.direct": {}} == {"m.direct": synapse.account_data(ada.mxid, "m.direct")}


async def test_a_revoked_device_is_unknown(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """The others of that person are not."""
    (ada,) = await matrix_people.come("ada")
    (phone,) = await matrix_people.come(ada.account)
    synapse.revoke(ada.mxid, phone.device_id)
    with pytest.raises(AssertionError, match="M_UNKNOWN_TOKEN"):
        await phone.ask("GET", "/account/whoami")

    assert ada.device_id == (await ada.ask("GET", "/account/whoami"))["device_id"]
    assert [ada.device_id] == [one["device_id"] for one in synapse.devices(ada.mxid)]
    synapse.revoke(ada.mxid)
    assert [] == synapse.devices(ada.mxid)


async def test_who_is_limited_says_ten_things_at_once(synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """Then it is 429 with a time to wait; the others talk on, and the log tells of all of it."""
    limited = synapse.register("bot", limited=True)
    ada, bot = await matrix_people.come("ada", limited)
    room = await together(ada, bot, encrypted=False)
    await asyncio.gather(*(ada.send_raw(room, "m.room.message", HELLO) for _ in range(20)))
    with pytest.raises(AssertionError, match=r"429 .*retry_after_ms"):
        await asyncio.gather(*(bot.send_raw(room, "m.room.message", HELLO) for _ in range(12)))
    refused = [one for one in synapse.requests(bot.mxid) if one.status == 429]
    synapse.unlimit(bot.mxid)
    await bot.say(room, "at last")
    await ada.hear("at last")

    assert {"PUT"} == {one.method for one in refused}
    assert room in refused[0].uri
    assert 20 == len([one for one in ada.heard if one.sender == ada.mxid and one.type == "m.room.message"])


async def test_a_proxy_stands_before_a_homeserver(
    synapse: Synapse, matrix_people: MatrixPeople, faults: Faults
) -> None:
    """Who is cut comes back, and misses nothing."""
    proxy = await faults.before(synapse.port)
    (ada,) = await matrix_people.come("ada")
    (bot,) = await matrix_people.come("bot", url=f"http://127.0.0.1:{proxy.port}")
    room = await together(ada, bot)
    await proxy.refuse()
    proxy.cut()
    await ada.say(room, "are you there")
    still = len(bot.heard)
    await proxy.accept()

    assert "are you there" == (await bot.hear()).body
    assert still < len(bot.heard)


async def test_a_test_begins_with_an_empty_log(synapse: Synapse) -> None:
    """Accounts are new each time, also if they are called the same."""
    first, second = synapse.register("ada", admin=True), synapse.register("ada")
    async with aiohttp.ClientSession() as session, session.get(f"{synapse.url}/_matrix/client/versions") as answer:
        assert 200 == answer.status
    before = synapse.requests("None")
    synapse.clear()

    assert first.mxid != second.mxid
    assert before
    assert [] == synapse.requests("None")
    assert first.password not in repr(first)


def test_a_server_that_is_not_there_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing may be skipped it says what is missing, and how to get it."""
    monkeypatch.setenv("OMNIBOT_REQUIRE_SERVERS", "1")
    monkeypatch.setattr(server, "synapse_home", lambda: tmp_path)

    with pytest.raises(ServerMissing, match="make servers"), server.instance(tmp_path):
        pass
