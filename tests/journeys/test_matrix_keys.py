"""Keys on a real Matrix homeserver: of further devices, of messages that come before their key, and the bot's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.matrix_bots import Bot, Telling, bodies, bot_on, in_the_clear, soon, together, works
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.synapse.person import MatrixPeople, MatrixPerson
from servers.synapse.server import Synapse


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """What the bot is made of."""
    return Plan(tmp_path, (*SKILLS, Telling().skill))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot that is at no homeserver yet."""
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
async def bot(bench: Bench, synapse: Synapse) -> AsyncIterator[Bot]:
    """The bot at the homeserver."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        yield bot


# ---------------------------------------------------------------------- of others


async def test_a_second_device_of_a_person(bot: Bot, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """It reads what the bot says from then on, and the bot reads what it says."""
    (ada,) = await matrix_people.come("ada")
    room = await together(ada, bot)
    early = await works(ada, room)
    (phone,) = await matrix_people.come(ada.account)
    await ada.until_device(ada.mxid, phone.device_id)
    late = await works(ada, room)
    on_phone = await phone.until(lambda one: one.event_id == late.event_id and one.readable)
    await phone.say(room, "!tell echo from the phone")
    await ada.hear("you said from the phone", room=room)
    await phone.hear("you said from the phone", room=room)

    assert "pong" in on_phone.body
    assert not [one for one in phone.heard if one.event_id == early.event_id and one.readable]
    assert [] == in_the_clear(synapse.raw_events(room))


async def test_a_device_that_was_logged_out(bot: Bot, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """It is given no key any more: what is said goes on under another."""
    (ada,) = await matrix_people.come("ada")
    (phone,) = await matrix_people.come(ada.account)
    room = await together(ada, bot)
    before = await works(ada, room)
    await phone.hear("pong")
    synapse.revoke(ada.mxid, phone.device_id)
    await soon(lambda: phone.device_id not in ada.devices_of(ada.mxid))
    after = await works(ada, room)

    raw = {one["event_id"]: one["content"] for one in synapse.raw_events(room)}

    assert raw[before.event_id]["session_id"] != raw[after.event_id]["session_id"]


@pytest.mark.parametrize("direct", [True, False])
async def test_a_key_that_comes_late(
    bot: Bot, matrix_people: MatrixPeople, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    """The bot asks for it once; when it comes the command runs, once, and after what was said before it is read."""
    monkeypatch.setattr("adapters.matrix.held.ASK_AFTER", 0.1)
    (ada,) = await matrix_people.come("ada")
    room = await together(ada, bot, direct=direct)
    withheld = await ada.say_without_key(room, "!tell echo late")
    asked = await ada.until_told("m.room_key_request")
    await ada.share_key(withheld)
    await ada.hear("you said late", room=room)
    await works(ada, room)

    assert (withheld.session_id, bot.mxid) == (asked["content"]["body"]["session_id"], asked["sender"])
    assert 1 == sum(one["content"].get("action") == "request" for one in ada.to_device if _asks(one))
    assert 1 == sum("you said late" in one for one in bodies(bot, ada))


async def test_a_key_that_never_comes(bot: Bot, matrix_people: MatrixPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever said it is told so, once; a key that comes after that runs nothing, and the next one works."""
    monkeypatch.setattr("adapters.matrix.held.ASK_AFTER", 0.1)
    monkeypatch.setattr("adapters.matrix.held.HOLD", 0.4)
    (ada,) = await matrix_people.come("ada")
    room = await together(ada, bot)
    withheld = await ada.say_without_key(room, "!tell echo never")
    await ada.say(room, "!tell echo never again")
    told = await ada.hear("I cannot read what you wrote", room=room)
    here = bot.adapter._here
    assert here is not None
    await soon(lambda: not len(here.shelf))
    await ada.share_key(withheld)
    await works(ada, room)

    assert told.encrypted
    assert [1, 1] == [sum(word in one for one in bodies(bot, ada)) for word in ("I cannot read", "pong")]
    assert not [one for one in bodies(bot, ada) if "never" in one]


async def test_a_key_that_comes_after_a_restart(
    plan: Plan, synapse: Synapse, matrix_people: MatrixPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be read yet is kept, and read by the bot that is started again."""
    monkeypatch.setattr("adapters.matrix.held.ASK_AFTER", 0.1)
    account = synapse.register("bot")
    (ada,) = await matrix_people.come("ada")
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        room = await together(ada, bot)
        withheld = await ada.say_without_key(room, "!tell echo late")
        await ada.until_told("m.room_key_request")
    await ada.share_key(withheld)
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await ada.hear("you said late", room=room)
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await works(ada, room)

    assert 1 == sum("you said late" in one for one in bodies(bot, ada))


def _asks(event: dict[str, object]) -> bool:
    return event["type"] == "m.room_key_request"


# ---------------------------------------------------------------------- the bot's own


async def test_others_see_that_the_device_is_signed(
    plan: Plan, synapse: Synapse, matrix_people: MatrixPeople, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever shares keys with signed devices only talks with the bot, and still does after a restart of it."""
    account = synapse.register("bot")
    strict, grace = await matrix_people.come("ada", "grace", trust="signed")
    await strict.cross_sign()
    with caplog.at_level("INFO", "omnibot.network.net"):
        async with Bench.open(plan) as bench, bot_on(bench, synapse, account, trust="cross-signed") as bot:
            room = await together(strict, bot, grace)
            first = await works(strict, room)
            before = await grace.signed_devices(account.mxid)
            unread = first.event_id in [one.event_id for one in grace.heard if one.readable]
        async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
            await works(strict, room)
            after = await grace.signed_devices(account.mxid)
    devices = [one["device_id"] for one in synapse.devices(account.mxid)]

    assert devices == list(before) == list(after)
    assert [True, True] == ["yes" in one for one in caplog.messages if one.startswith("device signed")]
    assert not unread, "grace's device is not signed, and that bot spoke with signed ones only"
    assert await _stranger_sees(strict, account.mxid, devices[0])


async def _stranger_sees(person: MatrixPerson, mxid: str, device: str) -> bool:
    """Whether a change of the signed keys would show: a device by that name that nobody signed is not among them."""
    answer = await person.ask("POST", "/keys/query", {"device_keys": {mxid: []}})
    return set(answer["device_keys"][mxid]) == {device} and mxid in answer["master_keys"]
