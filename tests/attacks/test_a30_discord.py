"""A30 on Discord: messages that change, or come again, or late.

What must hold: an edit runs nothing, be it chat that becomes a command or Discord adding a preview; one message runs
once, however often the gateway tells of it; what was said long ago runs nothing.
"""

from typing import Any

import pytest

from adapters.discord.adapter import Adapter
from journeys.discord_bots import bot_on, works
from journeys.matrix_bots import soon
from omnibot import Context, Skill, dispatcher
from omnibot.message import STALE_AFTER
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.wire import Op

deeds = Skill("deeds")


@deeds.command
async def do(ctx: Context) -> str:
    """Do something that can be seen."""
    return "it is done"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that does things."""
    return Plan(plan.directory, (*SKILLS, deeds), provider=plan.provider)


@pytest.fixture
def ada(discord_people: DiscordPeople) -> Person:
    (ada,) = discord_people.come("ada")
    return ada


def done(person: Person) -> int:
    """Return how often something was done that *person* sees."""
    return len([one for one in person.sees() if "it is done" in one.text])


def edits_are_said(patch: pytest.MonkeyPatch) -> None:
    """Take an edit for something new, with an id of its own."""
    patch.setattr(dispatcher, "why_deaf", lambda *_: None)
    said, times = Adapter.said, [0]

    def anew(self: Adapter, message: Any, *, edit: bool) -> None:
        times[0] += 1
        if edit:
            message.id += times[0]
        said(self, message, edit=False)

    patch.setattr(Adapter, "said", anew)


@pytest.mark.attack("A30", sabotage=edits_are_said)
@pytest.mark.parametrize("private", [False, True], ids=["channel", "private"])
async def test_edits_run_nothing(bench: Bench, discord_server: DiscordServer, ada: Person, private: bool) -> None:
    """Chat that becomes a command, with and without a mention; and a command that runs, once, when it is edited."""
    where = ada.dm if private else discord_server.general
    async with bot_on(bench, discord_server):
        chat = ada.say("hello everybody!", where)
        await works(bench, ada)
        ada.edit(chat, "!deeds do")
        ada.edit(chat, f"<@{discord_server.bot.id}> deeds do")
        discord_server.world.change(chat, edited=False, embeds=[{"type": "link", "title": "!deeds do"}])
        await works(bench, ada)
        never = done(ada)
        ran = ada.say("!deeds do", where)
        await ada.until("it is done", where)
        ada.edit(ran, "!deeds  do")
        discord_server.world.change(ran, edited=False, embeds=[{"type": "link", "title": "a preview"}])
        await works(bench, ada)

        assert 0 == never
        assert 1 == done(ada)


async def test_an_edit_of_what_the_bot_never_heard(bench: Bench, discord_server: DiscordServer, ada: Person) -> None:
    """What was said while it was away is changed when it is back."""
    before = ada.say("!ping")
    async with bot_on(bench, discord_server):
        ada.edit(before, "!deeds do")
        await works(bench, ada)

        assert 0 == done(ada)


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """Take every message for a new one."""
    patch.setattr(dispatcher.Seen, "again", lambda *_: False)


@pytest.mark.attack("A30", sabotage=forgetful)
async def test_one_message_twice(bench: Bench, discord_server: DiscordServer, ada: Person) -> None:
    """In one breath, after the connection was cut and taken up again, and to a bot that was started anew."""
    async with bot_on(bench, discord_server):
        said = ada.say("!deeds do")
        discord_server.world.tell("MESSAGE_CREATE", said)
        await ada.until("it is done")
        await works(bench, ada)
        resumed = len(discord_server.gateway.received(Op.RESUME))
        discord_server.gateway.cut()
        discord_server.world.tell("MESSAGE_CREATE", said)
        await discord_server.until(
            lambda: len(discord_server.gateway.received(Op.RESUME)) > resumed, "it did not resume"
        )
        await works(bench, ada)
    async with bot_on(bench, discord_server):
        discord_server.world.tell("MESSAGE_CREATE", said)
        await works(bench, ada)

        assert 1 == done(ada)


def anything_goes(patch: pytest.MonkeyPatch) -> None:
    """Run whatever is heard."""
    patch.setattr(dispatcher, "why_deaf", lambda *_: None)


@pytest.mark.attack("A30", sabotage=anything_goes)
async def test_what_comes_late(bench: Bench, discord_server: DiscordServer, ada: Person) -> None:
    """By the time in the message's own id, which is Discord's; typed, and by a slash command."""
    async with bot_on(bench, discord_server) as bot:
        await works(bench, ada)
        before = len(bot.heard)
        bench.clock.pass_(STALE_AFTER + 5)
        ada.say("!deeds do")
        ada.tell("!deeds do")
        act = ada.slash("deeds do")
        await soon(lambda: len(bot.heard) >= before + 3)
        await bench.settle()
        bench.clock.pass_(-STALE_AFTER - 5)
        await works(bench, ada)

        assert 0 == done(ada)
        assert [] == [one for one in act.messages if not one.thinking]
