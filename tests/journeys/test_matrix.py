"""Journeys on a real Matrix homeserver: linking, and talking, in encrypted rooms and in plain ones."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.matrix_bots import (
    DOT,
    Bot,
    Telling,
    answers,
    bodies,
    bot_on,
    first_link,
    in_the_clear,
    link,
    said_by,
    soon,
    together,
    works,
)
from journeys.walks import until
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.message import Reply
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse


@pytest.fixture
def telling() -> Telling:
    """What the bot can do besides."""
    return Telling()


@pytest.fixture
async def bench(tmp_path: Path, telling: Telling) -> AsyncIterator[Bench]:
    """A bot that is at no homeserver yet."""
    skills = (*SKILLS, telling.skill)
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, skills, provider=provider)) as bench:
        yield bench


@pytest.fixture
async def bot(bench: Bench, synapse: Synapse) -> AsyncIterator[Bot]:
    """The bot at the homeserver."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        yield bot


# ----------------------------------------------------------------------- linking


@pytest.mark.parametrize("encrypted", [True, False])
async def test_the_whole_way(
    bench: Bench, bot: Bot, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """Asked in a room, told in one of their own, confirmed there, done as them; the others see nothing secret."""
    ada, grace = await matrix_people.come("ada", "grace")
    name = ada.account.localpart
    room = await together(ada, bot, grace, encrypted=encrypted)
    url, alone = await first_link(bot, ada, room, "!notes add tea")
    async with Browser() as browser:
        await bench.authorise(browser, url, name)
        await ada.say(alone, f"!confirm {browser.code}")
        shown = browser.code
    await ada.hear("Linked Demo notes as", room=alone)
    await ada.hear("Note 1 is written as", room=alone)
    await ada.say(room, "!notes")
    await ada.hear("tea", room=alone)
    await works(grace, room)
    state = {one["type"]: one["content"] for one in synapse.state(alone) if not one["state_key"]}

    assert ["tea"] == bench.provider.notes(name)
    assert {room, alone} == set(synapse.rooms(bot.mxid)), "the second answer came in the same room as the first"
    assert {ada.mxid: [alone]} == synapse.account_data(bot.mxid, "m.direct")
    assert {bot.mxid: "join", ada.mxid: "join"} == synapse.members(alone)
    assert "joined" == state["m.room.history_visibility"]["history_visibility"]
    assert 100 == state["m.room.power_levels"]["invite"]
    assert "m.room.encryption" in state
    assert {"pong", "I have answered you in private."} <= {one.rpartition(": ")[2] for one in bodies(bot, grace)}
    for secret in (url, url.rpartition("/")[2], shown, "tea", "/callback", "Connect Demo"):
        assert secret not in json.dumps([one.source for one in said_by(bot, grace)])


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_room_that_the_person_made(
    bench: Bench, bot: Bot, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """It is as good as one of the bot's, also where they never spoke in it: the bot makes none."""
    ada, grace = await matrix_people.come("ada", "grace")
    alone = await together(ada, bot, encrypted=encrypted, direct=True)
    room = await together(ada, bot, grace)
    found = await link(bench, bot, ada, room)
    await ada.say(alone, "notes")
    await ada.hear("You have no notes.", room=alone)

    assert alone == found
    assert {room, alone} == set(synapse.rooms(bot.mxid))
    assert [] == [one for one in bodies(bot, ada, room) if "127.0.0.1" in one]


async def test_nothing_is_ever_in_the_clear(
    bench: Bench, bot: Bot, telling: Telling, synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """A whole run, as the homeserver sees it: linking, answers, edits, files, signs, threads, a declined request."""
    ada, grace = await matrix_people.come("ada", "grace")
    room = await together(ada, bot, grace)
    alone = await link(bench, bot, ada, room, "!notes add tea")
    root = await ada.say(room, "!tell sign")
    await ada.hear("👍", room=room)
    await ada.say(room, "!tell work", thread=root)
    await ada.hear("half done", room=room)
    await until(telling.has_sent)
    await bench.core.delivery.edit(telling.sent[0], Reply("all done"))
    await ada.hear("all done", room=room)
    await ada.say(alone, "!tell picture")
    picture = await ada.until(lambda one: one.msgtype == "m.image")
    await ada.send(room, "m.room.message", _verify_me(bot, ada.device_id))
    await ada.until(lambda one: one.type == "m.key.verification.cancel")
    seen = [synapse.raw_events(one) for one in (room, alone)]
    of_bot = [one for events in seen for one in events if one["sender"] == bot.mxid and "state_key" not in one]

    assert DOT == await ada.download(picture)
    assert [[], []] == [in_the_clear(events) for events in seen]
    assert {"m.room.encrypted"} == {one["type"] for one in of_bot}
    assert len(of_bot) >= 8
    for word in ("Connect Demo", "confirm", "half done", "all done", "dot.png", "tea", "👍", "pong", "private"):
        assert word not in json.dumps([one["content"] for one in of_bot], ensure_ascii=False)


# ---------------------------------------------------------------------- talking


@pytest.mark.parametrize("encrypted", [True, False])
async def test_how_an_answer_looks(
    bench: Bench, bot: Bot, telling: Telling, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """A reply that mentions its asker; in a thread, in that thread; a sign is a reaction where that hides nothing."""
    ada, grace = await matrix_people.come("ada", "grace")
    room = await together(ada, bot, grace, encrypted=encrypted)
    said = await ada.say(room, "!ping")
    plain = await ada.hear("pong")
    await grace.say(room, "what is this?", reply_to=plain.event_id)
    inside = await ada.say(room, "!ping", thread=said)
    threaded = await ada.hear("pong")
    asked = await ada.say(room, "!tell sign")
    sign = await ada.until(lambda one: one.type == "m.reaction" or "👍" in one.body)
    await ada.say(room, "!tell work")
    first = await ada.hear("half done")
    await soon(lambda: bool(telling.sent))  # she may see it before the bot is told that it was sent
    await bench.core.delivery.edit(telling.sent[0], Reply("all done"))
    edit = await ada.hear("all done")

    assert (said, {"user_ids": [ada.mxid]}) == (answers(plain), plain.mentions)
    assert ("m.notice", encrypted) == (plain.msgtype, plain.encrypted)
    assert ("m.thread", said, inside) == (
        threaded.relates_to["rel_type"],
        threaded.relates_to["event_id"],
        answers(threaded),
    )
    assert ("m.room.message" if encrypted else "m.reaction") == sign.type
    assert encrypted or ("👍", asked) == (sign.relates_to["key"], sign.relates_to["event_id"])
    assert (first.event_id, encrypted) == (edit.replaces, edit.encrypted)
    assert ["m.notice"] * len(said_by(bot, ada)) == [one.msgtype for one in said_by(bot, ada)]


async def test_signs_of_life(
    bench: Bench, bot: Bot, telling: Telling, matrix_people: MatrixPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was heard is marked as read; while an answer takes long, the bot is seen typing."""
    monkeypatch.setattr("omnibot.turn._TYPING_AFTER", 0.05)
    (ada,) = await matrix_people.come("ada")
    room = await together(ada, bot)
    said = await ada.say(room, "!tell later")
    await soon(lambda: (room, frozenset({bot.mxid})) in ada.typing)
    telling.gate.set()
    await ada.hear("at last")
    await soon(lambda: (said, bot.mxid) in ada.receipts)


async def test_requests_to_verify_are_declined(bot: Bot, matrix_people: MatrixPeople) -> None:
    """To the bot's device or in a room, encrypted or not, with a word on what to do instead."""
    (ada,) = await matrix_people.come("ada")
    alone, plain = await together(ada, bot, direct=True), await together(ada, bot, encrypted=False)
    hidden = {"from_device": ada.device_id, "transaction_id": "t1", "methods": ["m.sas.v1"], "timestamp": 1}
    await ada.send_to_device(bot.mxid, "*", "m.key.verification.request", hidden)
    told = await ada.until_told("m.key.verification.cancel")
    found = []
    for room in (alone, plain):
        asked = await ada.send(room, "m.room.message", _verify_me(bot, ada.device_id))
        cancel = await ada.until(lambda one: one.type == "m.key.verification.cancel")
        found.append((cancel.room == room, cancel.relates_to["event_id"] == asked, cancel.encrypted))
        assert "my operator" in cancel.content["reason"]

    assert ("t1", "m.user") == (told["content"]["transaction_id"], told["content"]["code"])
    assert "my operator" in told["content"]["reason"]
    assert [(True, True, True), (True, True, False)] == found


def _verify_me(bot: Bot, device: str) -> dict[str, object]:
    """What a client says in a room when its owner taps on Verify."""
    return {
        "msgtype": "m.key.verification.request",
        "body": "I want to verify you, and your client does not know how.",
        "to": bot.mxid,
        "from_device": device,
        "methods": ["m.sas.v1"],
    }
