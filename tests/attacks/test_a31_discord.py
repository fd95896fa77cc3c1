"""A31 on Discord: a command that is quoted.

What must hold: only what stands outside of quotes is read as a command; ``>>>`` quotes all that follows; a reply is
only what it says itself, whatever it replies to, and a mention of the bot within a quote does not speak to it.
"""

import re
from typing import Any

import pytest

from adapters.discord import hearing
from journeys.discord_bots import bot_on, works
from omnibot import Context, Skill, dispatcher
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer

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
def people(discord_people: DiscordPeople) -> list[Person]:
    return discord_people.come("ada", "eve")


def quotes_and_all(patch: pytest.MonkeyPatch) -> None:
    """Take what is quoted for what is said, without the marks in front."""

    def unmarked(text: str) -> str:
        return "\n".join(line.lstrip("> ") for line in text.split("\n"))

    patch.setattr(dispatcher, "unquoted", unmarked)
    patch.setattr(hearing, "unquoted", unmarked)


QUOTED = [
    "> !deeds do",
    ">!deeds do",
    "  > !deeds do",
    "> > !deeds do\n> what was that?",
    "> !deeds do\nno, I would not",
    ">>> !deeds do",
    "> {bot} deeds do",
    "> {bot} deeds do\nno, I would not",
]


@pytest.mark.attack("A31", sabotage=quotes_and_all)
async def test_a_quoted_command(bench: Bench, discord_server: DiscordServer, people: list[Person]) -> None:
    """Said so, and said so in reply to the command, and to the bot."""
    ada, eve = people
    async with bot_on(bench, discord_server):
        await works(bench, ada)
        eve.say("!ping")
        pong = await ada.hear("pong", discord_server.general)
        theirs = eve.say("deeds do")
        for words in (one.format(bot=f"<@{discord_server.bot.id}>") for one in QUOTED):
            ada.say(words)
            ada.say(words, reply_to=theirs)
            ada.say(words, reply_to=pong)
            ada.tell(words)
        await works(bench, eve)  # hers are not so many that one more would be refused
        quoted = [one.text for one in ada.sees() if "it is done" in one.text]
        ada.say("> what could I say?\n!deeds do")

        answer = await ada.hear("it is done", discord_server.general)

        assert [] == quoted
        assert not answer.ephemeral


def to_the_line_end(patch: pytest.MonkeyPatch) -> None:
    """Take ``>>>`` for a quote of one line."""
    patch.setattr("adapters.discord.speech._QUOTE", re.compile("(?!)"))


@pytest.mark.attack("A31", sabotage=to_the_line_end)
@pytest.mark.parametrize("words", [">>> look:\n!deeds do", ">>> look:\n\nwhat was that?\n> !ping\n!deeds do"])
async def test_a_quote_of_several_lines(
    bench: Bench, discord_server: DiscordServer, people: list[Person], words: str
) -> None:
    """What Discord shows as one quote, to its end, is one; in private, where no prefix is needed, too."""
    ada, _ = people
    async with bot_on(bench, discord_server):
        ada.say(words)
        ada.say(words.replace("!", f"<@{discord_server.bot.id}> "))
        ada.tell(words.replace("!", ""))
        await works(bench, ada)

        assert ["pong"] == [one.text for one in ada.sees()]


async def test_a_reply_says_only_itself(bench: Bench, discord_server: DiscordServer, people: list[Person]) -> None:
    """Neither another's command nor the bot's own words are read again because somebody replies to them."""
    ada, eve = people
    async with bot_on(bench, discord_server):
        theirs: Any = eve.say("chat, !deeds do")
        ada.say("agreed", reply_to=theirs)
        ada.say("", reply_to=theirs, files=[("a.png", b"png")])
        ada.say(f"<@{discord_server.bot.id}>", reply_to=theirs)
        await works(bench, ada)

        assert [] == [one.text for one in ada.sees() if "it is done" in one.text]
