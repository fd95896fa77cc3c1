"""A42: mentions on Discord, in what a service answers.

Somebody writes ``@everyone``, a role's, a person's and the bot's mention into a title, and waits for the bot, which
may ping them, to show it.

What must hold: nothing that the bot says pings anybody, whatever stands in it; and data that is escaped, or shown as
code, does not even look like a mention.
"""

import re
from functools import partial
from typing import Any

import discord
import pytest

from adapters.discord import interactions, live
from journeys.discord_bots import bot_on, said_by_bot, works
from omnibot import Context, Skill
from omnibot.markup import MarkdownRenderer, code, escape, fmt
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.sight import Seen
from servers.discord.wire import Json

titles = Skill("titles")
_targets: list[str] = []


def _worst() -> str:
    user, role = _targets
    return (
        f"@everyone @here <@{user}> <@!{user}> <@&{role}> \\<@{user}> \\@everyone @\u200b<@{user}> <#{role}> "
        f"`<@{user}>` ``@here`` ```\n@everyone <@&{role}>\n``` [@everyone](https://example.org/@everyone) > <@{user}>"
    )


@titles.command
async def escaped(ctx: Context) -> str:
    """Show data as it should be shown."""
    return str(fmt("Title: {}", _worst()))


@titles.command
async def coded(ctx: Context) -> str:
    """Show data as code."""
    return f"Title: {code(_worst())}"


@titles.command
async def raw(ctx: Context) -> str:
    """Show data as it must not be shown."""
    return f"Title: {_worst()}"


@titles.command
async def asking(ctx: Context) -> str:
    """Ask with data in the question, and in the choices."""
    picked = await ctx.choose(str(fmt("Title: {}", _worst())), ["@everyone", "no"])
    return f"Title: {escape(picked)}"


@titles.command
async def long(ctx: Context) -> str:
    """Show much data, as an embed or a file would."""
    return str(fmt("Title: {}", "x " * 1200 + _worst()))


@titles.command
async def failing(ctx: Context) -> str:
    """Fail with data in the words."""
    raise RuntimeError(_worst())


COMMANDS = ("escaped", "coded", "raw", "asking", "long", "failing")


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that shows titles."""
    return Plan(plan.directory, (*SKILLS, titles), provider=plan.provider)


@pytest.fixture
def people(discord_server: DiscordServer, discord_people: DiscordPeople) -> list[Person]:
    """Ada, who asks, and Grace, who is to be pinged."""
    ada, grace = discord_people.come("ada", "grace")
    _targets[:] = [grace.id, discord_server.world.bot_role().id]
    return [ada, grace]


def everybody(patch: pytest.MonkeyPatch) -> None:
    """Let what is said mention whom it names."""
    for module in (live, interactions):
        patch.setattr(module, "_NOBODY", discord.AllowedMentions.all())
    patch.setattr(discord.AllowedMentions, "none", discord.AllowedMentions.all)
    as_it_stands(patch)


def as_it_stands(patch: pytest.MonkeyPatch) -> None:
    """Show text as it is."""
    for name in ("text", "code"):
        patch.setattr(MarkdownRenderer, name, lambda self, text: text)


async def everything(bench: Bench, server: DiscordServer, ada: Person) -> None:
    """Let the bot show it by messages and by interactions, in answer and changed afterwards."""
    for command in COMMANDS:
        words = "Something broke" if command == "failing" else "Title:"
        said = ada.say(f"!titles {command}")
        heard = await ada.until(partial(_answers, said.id, words))
        if command == "asking":
            await _picked(ada, heard)
        answer = await ada.slash(f"titles {command}").answer(words)
        if command == "asking":
            await _picked(ada, answer)
    await works(bench, ada)


@pytest.mark.attack("A42", sabotage=everybody)
async def test_nobody_is_pinged(bench: Bench, discord_server: DiscordServer, people: list[Person]) -> None:
    """As Discord counts it, and by what every request says, even where an author forgot to escape."""
    ada, _ = people
    async with bot_on(bench, discord_server):
        await everything(bench, discord_server, ada)
        told = [inner for one in discord_server.requests if (inner := _said(one.json)) is not None]

        assert len(told) > 2 * len(COMMANDS)
        assert [] == [one.get("allowed_mentions") for one in told if not _nobody(one.get("allowed_mentions"))]
        assert [] == [(message.content, pings) for message, pings in discord_server.world.pings]


@pytest.mark.attack("A42", sabotage=as_it_stands)
async def test_escaped_data_names_nobody(bench: Bench, discord_server: DiscordServer, people: list[Person]) -> None:
    """What is shown has no mention in it that Discord could read, but where an author forgot to escape."""
    ada, _ = people
    async with bot_on(bench, discord_server):
        await everything(bench, discord_server, ada)
        ada.say("!titles raw")
        every = [one for one in said_by_bot(discord_server) if not one.content.startswith("Title: @everyone")]
        texts = [text for one in every for text in (one.content, *(each["description"] for each in one.embeds))]

        assert any("Title:" in text for text in texts)
        assert [] == [text for text in texts if re.search("@(everyone|here)", text)]
        assert [] == [text for text in texts if re.search("<(@[!&]?|#)[0-9]", _outside_code(text))]


def _answers(message: str, words: str, one: Seen) -> bool:
    return one.reply_to == message and words in one.text


async def _picked(person: Person, asked: Seen) -> None:
    """Let *person* pick the first choice, and wait for the answer to that."""

    def answers() -> list[Seen]:
        return [one for one in person.sees() if one.text.startswith("Title:") and len(one.text) < 40]

    before = len(answers())
    person.click(asked, asked.labels[0])
    await person.server.until(lambda: len(answers()) > before, "no answer to the choice came")


def _outside_code(text: str) -> str:
    """Return *text* without what is escaped, and without code, where no person, role or channel is mentioned."""
    return re.sub(r"\\.|(`+)(?!`).+?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)


def _said(body: Any) -> Json | None:
    """Return what a request says, in a channel, or as an answer; None if it says nothing."""
    if not isinstance(body, dict):
        return None
    inner = body.get("data") if "type" in body and "data" in body else body
    return inner if isinstance(inner, dict) and inner.get("content") else None


def _nobody(allowed: Any) -> bool:
    return (
        isinstance(allowed, dict)
        and not allowed.get("parse")
        and not any(allowed.get(one) for one in ("users", "roles", "replied_user"))
    )
