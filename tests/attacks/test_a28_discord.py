"""A28 and A29 on Discord: whatever speaks there and is no person, and people who are called like others.

A webhook may be given any name and picture; another bot answers in commands; a bridge repeats what somebody says on
another network; somebody forwards another's command; somebody calls themselves like the one who has linked.

What must hold: only what Discord vouches for as a person's own words runs anything, and who that is, their id alone
says.
"""

from typing import Any

import discord
import pytest

from adapters.discord import adapter, hearing, interactions
from journeys.discord_bots import bot_on, link, works
from omnibot import Context, Skill, dispatcher
from omnibot.identity import Identity
from omnibot.message import Message
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer

deeds = Skill("deeds")


@deeds.command
async def do(ctx: Context) -> str:
    """Do something that can be seen."""
    return "it is done"


@deeds.command
async def name(ctx: Context) -> str:
    """Ask for a name."""
    return "Hello, " + await ctx.ask("Who is there?")


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that does things."""
    return Plan(plan.directory, (*SKILLS, deeds), provider=plan.provider)


@pytest.fixture
def ada(discord_people: DiscordPeople) -> Person:
    (ada,) = discord_people.come("ada")
    return ada


def whoever_speaks(patch: pytest.MonkeyPatch) -> None:
    """Hear everybody as if they were people."""
    patch.setattr(dispatcher, "why_deaf", lambda *_: None)


@pytest.mark.attack("A28", sabotage=whoever_speaks)
@pytest.mark.parametrize("who", ["webhook", "bot", "bot in private"])
async def test_what_is_no_person_runs_nothing(
    bench: Bench, discord_server: DiscordServer, discord_people: DiscordPeople, ada: Person, who: str
) -> None:
    """Not even if it mentions the bot, or is called like somebody who may."""
    (robot,) = discord_people.come("ada", bot=True)
    say = ada.webhook if who == "webhook" else robot.tell if who == "bot in private" else robot.say
    async with bot_on(bench, discord_server):
        for words in ("!deeds do", f"<@{discord_server.bot.id}> deeds do", "!link demo", "!deeds name"):
            say(words)
        await works(bench, ada)

        assert ["pong"] == [one.text for one in ada.sees()]
        assert [] == robot.sees(robot.dm)


@pytest.mark.attack("A28", sabotage=whoever_speaks)
async def test_what_is_no_person_answers_no_question(bench: Bench, discord_server: DiscordServer, ada: Person) -> None:
    """What a webhook says that is called like the one who was asked."""
    async with bot_on(bench, discord_server):
        ada.say("!deeds name")
        await ada.hear("Who is there?")
        ada.webhook("somebody else")
        ada.webhook("!deeds do")
        await works(bench, ada)
        ada.say("Ada")
        answer = await ada.hear("Hello, ")

        assert answer.text == "Hello, Ada"
        assert [] == [one for one in ada.sees() if "it is done" in one.text]


def snapshots_are_said(patch: pytest.MonkeyPatch) -> None:
    """Take what somebody forwards for what they say."""
    heard = hearing.heard

    def unpacked(network: str, me: int, message: discord.Message, *, edit: bool = False) -> Message | None:
        for snapshot in message.message_snapshots:
            message.content = snapshot.content
        return heard(network, me, message, edit=edit)

    patch.setattr(adapter, "heard", unpacked)
    patch.setattr(hearing, "_is_forwarded", lambda _: False)


@pytest.mark.attack("A28", sabotage=snapshots_are_said)
@pytest.mark.parametrize("private", [False, True], ids=["channel", "private"])
async def test_forwarded_commands(
    bench: Bench, discord_server: DiscordServer, discord_people: DiscordPeople, ada: Person, private: bool
) -> None:
    """Whoever forwards it has not said it, wherever the text stands that is shown."""
    (eve,) = discord_people.come("eve")
    elsewhere = discord_server.world.make_channel("elsewhere", hidden=True)
    told = discord_server.world.post(elsewhere, eve.user, "!deeds do")
    where = ada.dm if private else discord_server.general
    async with bot_on(bench, discord_server):
        forwarded = ada.forward(told, where)
        reference, snapshots = forwarded.reference, forwarded.snapshots
        discord_server.world.post(where, ada.user, "!deeds do", reference=reference, snapshots=snapshots)
        discord_server.world.post(where, ada.user, "!deeds do", reference=reference)
        await works(bench, ada)

        assert [] == [one.text for one in ada.sees() if "it is done" in one.text]


@pytest.mark.parametrize("words", ["<ada> !deeds do", "**ada**: !deeds do", "**<ada>** !deeds do", "[irc] <ada> !ping"])
async def test_what_a_relay_repeats(bench: Bench, discord_server: DiscordServer, ada: Person, words: str) -> None:
    """By a person's account, as some bridges do: what it repeats is no command."""
    async with bot_on(bench, discord_server):
        ada.say(words)
        ada.tell(words.replace("!", ""))
        await works(bench, ada)

        assert [] == ada.sees(discord_server.general)
        assert [] == [one.text for one in ada.sees() if "it is done" in one.text]


def who_is_called_so(patch: pytest.MonkeyPatch) -> None:
    """Take whoever is shown under a name for the first who was."""
    known = dict[str, str]()

    def named(network: str, user: Any) -> Identity:
        first = known.setdefault(user.display_name.lower(), str(user.id))
        return Identity(network, first, display=user.display_name)

    patch.setattr(hearing, "who", named)
    patch.setattr(interactions, "who", named)


@pytest.mark.attack("A29", sabotage=who_is_called_so)
async def test_names_are_not_compared(
    bench: Bench, discord_server: DiscordServer, discord_people: DiscordPeople, ada: Person
) -> None:
    """Somebody takes every name that the linked person has; they are asked to link, and read nothing."""
    (eve,) = discord_people.come("eve")
    async with bot_on(bench, discord_server):
        await link(bench, ada)
        bench.provider._api._notes["ada"] = {1: "the raise"}
        eve.user.username, eve.user.global_name = ada.user.username, ada.user.global_name
        discord_server.guild.members[eve.id].nick = ada.user.global_name
        eve.say("!notes")
        eve.tell("!notes")
        eve.slash("notes show")
        await works(bench, eve)

        assert not eve.was_shown("the raise")
        assert not ada.was_shown("the raise")
        assert [] != [one for one in eve.sees() if one.links]
