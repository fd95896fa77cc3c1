"""A skill that does what it should not ends neither the bot, nor its speaker's order, nor in silence."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot import Context, Skill
from omnibot.testing import ADA, Bench, Plan

skill = Skill("odd")


@skill.command
def leaves(ctx: Context) -> str:
    """End the process, as argparse does."""
    sys.exit(2)


@skill.command
async def lets_go(ctx: Context) -> str:
    """Await what was cancelled."""
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task
    return "never"


@skill.command
async def asks_grouped(ctx: Context) -> str:
    """Ask within a group of tasks."""
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.ask("Well?"))
    return "answered"


@skill.command
async def asks_twice(ctx: Context) -> str:
    """Ask two things at once, of which the second ends the first."""
    await asyncio.gather(ctx.ask("A?"), ctx.ask("B?"))
    return "answered"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Bench.open(Plan(tmp_path, skills=("ping", skill))) as bench:
        yield bench


@pytest.mark.parametrize("name", ["leaves", "lets go"])
async def test_what_is_no_exception_becomes_words_too(bench: Bench, name: str) -> None:
    """The person hears that it broke, and the bot goes on."""
    said = await bench.say(f"!odd {name}")

    assert [True] == [one.startswith("Something broke (ref ") for one in said]
    assert ["pong"] == await bench.say("!ping")


async def test_a_question_in_a_group_is_cancelled_in_words(bench: Bench) -> None:
    """As any other question that a new command leaves unanswered."""
    await bench.say("!odd asks grouped")

    assert {"`odd asks grouped` is cancelled.", "pong"} == set(await bench.say("!ping"))


async def test_a_question_that_outlives_its_command_holds_up_nobody(bench: Bench) -> None:
    """The speaker's next commands run."""
    await bench.say("!odd asks twice")
    await bench.say("an answer", ADA)
    said = [await bench.say("!ping") for _ in range(3)]

    assert ["pong"] == said[-1]
