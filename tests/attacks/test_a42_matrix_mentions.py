"""A42: mentions on Matrix, in what a service answers.

Somebody writes MXIDs, pills, ``@room`` and HTML into a title, and waits for the bot to show it in a room.

What must hold: whatever a skill shows as data, escaped, notifies nobody, makes no pill and no other HTML; in
``m.mentions`` there is at most whoever is answered.
"""

import re
from typing import Any

import pytest

from adapters.matrix import speech
from journeys.matrix_bots import bot_on, said_by, together
from omnibot import Context, Skill
from omnibot.markup import code, fmt
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

titles = Skill("titles")
_target: list[str] = []


def _worst() -> str:
    mxid = _target[0]
    return (
        f"@room {mxid} [x](https://matrix.to/#/{mxid}) <https://matrix.to/#/{mxid}> matrix:u/{mxid[1:]} "
        f'<a href="https://matrix.to/#/{mxid}">you</a> <img src="mxc://hs.test/x"> <b>bold</b> &lt;i&gt; </code></pre>'
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
async def failing(ctx: Context) -> str:
    """Fail with data in the words."""
    raise RuntimeError(_worst())


def as_it_stands(patch: pytest.MonkeyPatch) -> None:
    """Show text as it is, and say nothing of whom is meant."""

    def text(self: speech.MatrixRenderer, text: str) -> str:
        return text

    patch.setattr(speech.MatrixRenderer, "text", text)
    patch.setattr(speech.MatrixRenderer, "code", text)
    patch.setattr(speech.BodyRenderer, "text", text)
    patch.setattr(speech, "_ROOM", re.compile("(?!)"))


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that shows titles."""
    return Plan(plan.directory, (*SKILLS, titles), provider=plan.provider)


@pytest.mark.attack("A42", sabotage=as_it_stands)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_data_mentions_nobody(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """Everything that the others in the room read, looked at as it is."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, grace = await matrix_people.come("ada", "grace")
        _target[:] = [grace.mxid]
        room = await together(ada, bot, grace, encrypted=encrypted)
        for command in ("escaped", "coded", "failing"):
            await ada.say(room, f"!titles {command}")
            await grace.hear("Something broke" if command == "failing" else "Title:", of=bot.mxid)
        contents = [one.content for one in said_by(bot, grace, room)]

        assert 3 == len(contents)
        assert [] == [one["m.mentions"] for one in contents if grace.mxid in str(one["m.mentions"])]
        assert [] == [one["m.mentions"] for one in contents if "room" in one["m.mentions"]]
        assert [] == [one for one in contents if _pills(one) - {ada.mxid}]
        assert [] == [one["body"] for one in contents if "@room" in one["body"]]
        assert set() == set().union(*map(_tags, contents)) - {"a", "code", "p", "br", "strong", "em"}


def _tags(content: dict[str, Any]) -> set[str]:
    return set(re.findall(r"</?([a-z-]+)", content.get("formatted_body", "")))


def _pills(content: dict[str, Any]) -> set[str]:
    return set(re.findall(r'<a\s[^<>]*href="https://matrix\.to/#/([^"]*)"', content.get("formatted_body", "")))
