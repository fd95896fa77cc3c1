"""Rooms on a real Matrix homeserver change under the bot: who is in them, whether they are encrypted, where they go."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from journeys.matrix_bots import Bot, Telling, bodies, bot_on, in_the_clear, link, soon, together, works
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Json, Synapse

PUBLIC: Json = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "public"}}


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


# ------------------------------------------------------------------- who is in them


@pytest.mark.parametrize(("encrypted", "joined"), [(True, True), (True, False), (False, True)])
async def test_a_third_person_comes_between_question_and_answer(
    bench: Bench, bot: Bot, telling: Telling, matrix_people: MatrixPeople, encrypted: bool, joined: bool
) -> None:
    """Invited or in: what is for one person is not said there any more, but in another room, which nobody joins."""
    ada, eve = await matrix_people.come("ada", "eve")
    room = await together(ada, bot, encrypted=encrypted, direct=True)
    await ada.say(room, "!tell secret")
    await telling.begun.wait()
    await ada.invite(room, eve.mxid)
    if joined:
        await eve.join(room)
    telling.gate.set()
    alone = await ada.until_invited(bot.mxid)
    await ada.join(alone)
    await ada.hear("secret at last", room=alone)
    await ada.say(room, "!ping")
    await ada.hear("pong", room=room)

    assert ["pong"] == [one.rpartition(": ")[2] for one in bodies(bot, ada, room)]
    assert [] == [one for one in bodies(bot, eve) if "secret" in one]


async def test_nobody_to_tell_in_private(
    bench: Bench, bot: Bot, telling: Telling, matrix_people: MatrixPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not follow the bot's invitation is told so in the room; when they do, they get it."""
    monkeypatch.setattr("adapters.matrix.rooms.JOIN_WITHIN", 0.1)
    monkeypatch.setattr("omnibot.delivery._PAUSES", (0.01, 0.01))
    ada, grace = await matrix_people.come("ada", "grace")
    room = await together(ada, bot, grace)
    telling.gate.set()
    await ada.say(room, "!tell secret")
    await ada.hear("cannot reach you in private", room=room)
    alone = await ada.until_invited(bot.mxid)
    await ada.join(alone)
    await ada.say(alone, "!ping")
    await ada.hear("secret at last", room=alone)
    await ada.hear("pong", room=alone)

    assert [] == [one for one in bodies(bot, grace) if "secret" in one]
    assert 1 == len([one for one in bodies(bot, ada) if "secret" in one])


async def test_who_left_the_room_alone_gets_another(
    bench: Bench, bot: Bot, synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """Nothing is said into a room that they have left."""
    ada, grace = await matrix_people.come("ada", "grace")
    room = await together(ada, bot, grace)
    alone = await link(bench, bot, ada, room)
    await ada.leave(alone)
    await ada.say(room, "!notes")
    again = await ada.until_invited(bot.mxid)
    await ada.join(again)
    await ada.hear("You have no notes.", room=again)

    assert again != alone
    assert {ada.mxid: [alone, again]} == synapse.account_data(bot.mxid, "m.direct")


@pytest.mark.parametrize(
    ("options", "who", "follows"),
    [
        ({}, "ada", True),
        ({"invites": "listed", "inviters": ["@ada-*:hs.test"]}, "ada", True),
        ({"invites": "listed", "inviters": ["@ada-*:hs.test"]}, "eve", False),
        ({"invites": "none"}, "ada", False),
        ({"invites": "any"}, "_irc", False),
    ],
)
async def test_whose_invitations_are_followed(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, options: dict[str, Any], who: str, follows: bool
) -> None:
    """As the operator wants it, and never those of somebody a bridge speaks for; all others are declined."""
    account = synapse.register("bot")
    (inviter,) = await matrix_people.come(who)
    early = await inviter.create_room([account.mxid])
    async with bot_on(bench, synapse, account, **options):
        late = await inviter.create_room([account.mxid])
        for room in (early, late):
            await inviter.until_in(room, account.mxid, "join" if follows else "leave")


# ------------------------------------------------------------------- what becomes of them


async def test_a_room_turns_encrypted(
    bench: Bench, bot: Bot, telling: Telling, synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """From then on nothing of the bot's is in the clear there: not even what was asked before."""
    ada, grace = await matrix_people.come("ada", "grace")
    room = await together(ada, bot, grace, encrypted=False)
    before = await works(grace, room)
    await ada.say(room, "!tell later")
    await telling.begun.wait()
    await ada.encrypt(room)
    await grace.until(lambda one: one.type == "m.room.encryption")
    after = await works(grace, room)
    telling.gate.set()
    last = await grace.hear("at last")

    assert [False, True, True] == [one.encrypted for one in (before, after, last)]
    assert [] == in_the_clear(synapse.raw_events(room))


async def test_a_private_room_turns_encrypted_just_before_the_answer(
    bench: Bench, bot: Bot, telling: Telling, synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """The bot looks at the room before it says something private: no sync has to tell it first."""
    (ada,) = await matrix_people.come("ada")
    room = await together(ada, bot, encrypted=False, direct=True)
    await ada.say(room, "!tell secret")
    await telling.begun.wait()
    bot.deafen()
    await ada.encrypt(room)
    telling.gate.set()
    answer = await ada.hear("secret at last", room=room)

    assert answer.encrypted
    assert [] == in_the_clear(synapse.raw_events(room))


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_room_is_replaced(
    bench: Bench, bot: Bot, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """The bot goes along: by itself where anybody may come in, or once it is invited."""
    (ada,) = await matrix_people.come("ada")
    public = await ada.create_room([bot.mxid], encrypted=encrypted, state=[PUBLIC])
    await ada.until_in(public, bot.mxid)
    closed = await together(ada, bot, encrypted=encrypted)
    for room, invites in ((public, False), (closed, True)):
        new = await ada.upgrade(room)
        await soon(lambda new=new: new in ada.rooms)  # type: ignore[misc]
        if invites:
            await ada.invite(new, bot.mxid)
        await ada.until_in(new, bot.mxid)
        answer = await works(ada, new)
        assert encrypted == answer.encrypted
