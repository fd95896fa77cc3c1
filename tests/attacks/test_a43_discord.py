"""A43 on Discord: what only the speaker may see, asked for in a server's channel.

What must hold: by a slash command it comes ephemerally, by a typed one in a direct message, and with those closed by
a button that is the asker's alone; nobody else is shown any of it, not even for a moment, and what is changed later
stays where it is.
"""

from collections.abc import AsyncIterator

import pytest

from adapters.discord import interactions
from journeys.discord_bots import bot_on, link
from omnibot import LinkedContext, Skill
from omnibot.message import Reply, Sent
from omnibot.testing.bench import SKILLS, Bench, Plan
from omnibot.turn import Turn
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer

SECRET = "the raise"
OPENS = "Continue in private"
careless = Skill("careless")


@careless.linked("demo", scopes=["notes:read"], answer="channel")
async def both(ctx: LinkedContext) -> str:
    """Say something for the asker alone where the answer is for everybody."""
    notes = await ctx.api.get("/api/notes")
    await ctx.say(notes[0]["text"], private=True)
    return f"{len(notes)} notes"


@careless.linked("demo", scopes=["notes:read"])
async def ask(ctx: LinkedContext) -> str:
    """Ask before the answer."""
    notes = await ctx.api.get("/api/notes")
    return f"You said {await ctx.choose(notes[0]['text'], ['yes', 'no'])} to {notes[0]['text']}."


@pytest.fixture
def plan(plan: Plan) -> Plan:
    return Plan(plan.directory, (*SKILLS, careless), provider=plan.provider)


@pytest.fixture
async def people(
    bench: Bench, discord_server: DiscordServer, discord_people: DiscordPeople
) -> AsyncIterator[list[Person]]:
    """Ada, who has one note, and Grace, who reads along; the bot is there."""
    ada, grace = discord_people.come("ada", "grace")
    async with bot_on(bench, discord_server):
        await link(bench, ada)
        bench.provider._api._notes["ada"] = {1: SECRET}
        yield [ada, grace]


async def where_it_was_asked(self: Turn, reply: Reply, *, private: bool) -> Sent | None:
    """Answer where the question was asked, to everybody."""
    key = f"{self.message.id}:{self.said}"
    self.said += 1
    return await self.services.delivery.to_channel(self.message.channel, reply, key)


def aloud(patch: pytest.MonkeyPatch) -> None:
    """Take nothing for private."""
    patch.setattr(Turn, "say", where_it_was_asked)
    patch.setattr(interactions, "answers_in_private", lambda _: False)


@pytest.mark.attack("A43", sabotage=aloud)
@pytest.mark.parametrize("how", ["typed", "typed with closed messages", "slash", "slash, late"])
async def test_the_answer_is_for_the_asker(
    bench: Bench, discord_server: DiscordServer, people: list[Person], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads along sees that there is an answer, if anything at all."""
    ada, grace = people
    if how.startswith("slash"):
        monkeypatch.setattr(interactions, "DEFER_AFTER", 0.0 if "late" in how else interactions.DEFER_AFTER)
        act = ada.slash("notes show")
        shown = await ada.until(SECRET)
        assert all(one.ephemeral for one in act.messages)
    elif "closed" in how:
        ada.close_dms()
        ada.say("!notes")
        ada.click(await ada.hear(lambda one: OPENS in one.labels or SECRET in one.text), OPENS)
        shown = await ada.until(SECRET, discord_server.general)
        assert shown.ephemeral
    else:
        ada.say("!notes")
        shown = await ada.until(lambda one: SECRET in one.text and "[1]" not in one.content)
    await bench.settle()

    assert not grace.was_shown(SECRET)


@pytest.mark.attack("A43", sabotage=aloud)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_a_question_with_data_in_it(
    bench: Bench, discord_server: DiscordServer, people: list[Person], monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """The question, what is left of it once it is answered, and the answer."""
    ada, grace = people
    if late:
        monkeypatch.setattr(interactions, "DEFER_AFTER", 0.0)
    act = ada.slash("careless ask")
    asked = await ada.until(SECRET)

    assert not grace.was_shown(SECRET)
    ada.click(asked, "yes")
    await ada.hear("You said")
    await bench.settle()

    assert not grace.was_shown(SECRET)
    assert "yes" in ada.look(asked).content
    assert asked.id == act.messages[0].id


@pytest.mark.attack("A43", sabotage=aloud)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_in_the_middle_of_a_public_answer(
    bench: Bench, discord_server: DiscordServer, people: list[Person], monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """By an interaction that speaks to all, and was perhaps promised to: the part for the asker is theirs alone."""
    ada, grace = people
    if late:
        monkeypatch.setattr(interactions, "DEFER_AFTER", 0.0)
    act = ada.slash("careless both")
    await ada.until("1 notes")
    await ada.until(SECRET)
    await bench.settle()

    assert grace.was_shown("1 notes")
    assert not grace.was_shown(SECRET)
    assert {"1 notes", SECRET} == {one.text for one in act.messages}
