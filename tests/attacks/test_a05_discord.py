"""A5 on Discord: a link where others read.

Somebody's direct messages are closed, and they ask in a channel; or they use a slash command whose answer was
promised to everybody before it turned out to be for them alone: the first followup then inherits that, whatever is
asked for.  Somebody else presses what was meant for them.

What must hold: no address is ever shown to anybody but the asker, not even for the moment until it is deleted.
"""

from dataclasses import replace
from typing import Any

import discord
import pytest

from adapters.discord import components, interactions
from adapters.discord.interactions import Interactions
from adapters.discord.live import Letter, Live, Shown
from adapters.discord.saying import Saying
from journeys.discord_bots import bot_on, works
from omnibot import LinkedContext, Skill
from omnibot.demo.browser import Browser
from omnibot.errors import NoPrivateWay
from omnibot.identity import Identity
from omnibot.message import Message, Reply, Sent
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer

OPENS = "Continue in private"
titles = Skill("titles")


@titles.linked("demo", scopes=["notes:read"], answer="channel")
async def count(ctx: LinkedContext) -> str:
    """Say in front of everybody how many notes there are."""
    return f"{len(await ctx.api.get('/api/notes'))} notes"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that answers one linked command in public."""
    return Plan(plan.directory, (*SKILLS, titles), provider=plan.provider)


@pytest.fixture
def people(discord_people: DiscordPeople) -> list[Person]:
    """Ada, who asks, and Grace, who reads along."""
    return discord_people.come("ada", "grace")


def led(person: Person) -> bool:
    """Whether *person* was ever shown anything that leads anywhere."""
    return person.was_shown("://") or person.was_shown("/l/")


def in_the_channel(patch: pytest.MonkeyPatch) -> None:
    """Say where it was asked what finds no private way."""
    alone = Saying._alone

    async def anyway(self: Saying, identity: Identity, near: Message | None, reply: Reply, nonce: str) -> Sent:
        try:
            return await alone(self, identity, near, reply, nonce)
        except NoPrivateWay:
            assert near is not None, "somebody asked"
            return await self._openly(replace(near.channel, private=False), reply, nonce)

    patch.setattr(Saying, "_alone", anyway)


@pytest.mark.attack("A5", sabotage=in_the_channel)
@pytest.mark.parametrize("words", ["!link demo", "!notes"])
async def test_closed_direct_messages(
    bench: Bench, discord_server: DiscordServer, people: list[Person], words: str
) -> None:
    """The channel is shown a button; the link comes by the asker's own click, to them alone, and works."""
    ada, grace = people
    async with bot_on(bench, discord_server):
        ada.close_dms()
        ada.say(words)
        offered = await ada.hear(lambda one: bool(one.labels or one.links))
        too_early = led(ada) or led(grace)

        assert OPENS in offered.labels
        ada.click(offered, OPENS)
        shown = await ada.hear(lambda one: bool(one.links))
        async with Browser() as browser:
            await bench.authorise(browser, shown.links[0])
            await ada.slash("confirm", code=browser.code).answer("Linked")

        assert not too_early
        assert shown.ephemeral
        assert not led(grace)


def anybodys(patch: pytest.MonkeyPatch) -> None:
    """Take a click for that of whoever it was meant for."""
    click, who = Interactions._click, [""]

    def clicked(self: Interactions, interaction: discord.Interaction, data: Any) -> Message | None:
        who[0] = str(interaction.user.id)
        return click(self, interaction, data)

    def read(custom_id: str) -> components.Part | None:
        part = real(custom_id)
        return None if part is None else replace(part, asker=who[0])

    real = components.read
    patch.setattr(Interactions, "_click", clicked)
    patch.setattr(components, "read", read)


@pytest.mark.attack("A5", sabotage=anybodys)
async def test_a_foreign_click(bench: Bench, discord_server: DiscordServer, people: list[Person]) -> None:
    """Whoever else presses the button is told so, and nothing comes of it: it waits for the asker's click."""
    ada, grace = people
    async with bot_on(bench, discord_server):
        ada.close_dms()
        ada.say("!link demo")
        offered = await ada.hear(lambda one: OPENS in one.labels)
        refused = await grace.click(offered, OPENS).answer()
        await works(bench, grace)
        too_early = led(grace) or led(ada)
        ada.click(offered, OPENS)
        await ada.hear(lambda one: bool(one.links))

        assert "That is for somebody else." == refused.text
        assert refused.ephemeral
        assert not too_early
        assert not led(grace)


def straight_on(patch: pytest.MonkeyPatch) -> None:
    """Say what is for one person right after a promise to all, as if its flag counted."""

    async def follow(self: Live, letter: Letter) -> Shown:
        return await self._follow(letter, hidden=True)

    patch.setattr(Live, "_turn_aside", follow)


@pytest.mark.attack("A5", sabotage=straight_on)
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
async def test_after_a_promise_to_all(
    bench: Bench, discord_server: DiscordServer, people: list[Person], monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """An answer was promised to the channel, and turns out to be a link: nobody else sees it for a moment."""
    ada, grace = people
    monkeypatch.setattr(interactions, "DEFER_AFTER", 0.0)
    async with bot_on(bench, discord_server):
        if closed:
            ada.close_dms()
        act = ada.slash("titles count")
        shown = await ada.hear(lambda one: bool(one.links))
        await bench.settle()

        assert not led(grace)
        assert shown.ephemeral
        assert 5 == act.interaction.response
        assert not act.interaction.messages[0].ephemeral


@pytest.mark.attack("A5", sabotage=straight_on)
async def test_where_discord_hides_nothing(
    bench: Bench, discord_server: DiscordServer, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should Discord show to all what it is told to hide, that is found out before there is a link in it."""
    ada, grace = people
    monkeypatch.setattr(interactions, "DEFER_AFTER", 0.0)
    post = discord_server.world.post

    def openly(channel: Any, author: Any, content: str = "", **more: Any) -> Any:
        more |= {"flags": more.get("flags", 0) & ~64, "only_for": None}
        return post(channel, author, content, **more)

    monkeypatch.setattr(discord_server.world, "post", openly)
    async with bot_on(bench, discord_server):
        ada.slash("titles count")
        shown = await ada.hear(lambda one: bool(one.links))
        await bench.settle()

        assert not led(grace)
        assert ada.dm is shown.channel
