"""A48, resume abuse: the command that waits for a link runs late, twice, or where it may not any more.

What must hold: it runs at most once, and not after its flow's time, whatever is said again and
whatever is restarted.  When it starts, it is as if said now: policy and membership are looked at
afresh, and what destroys asks, as always.

What remains: the person who confirms in time runs what they asked for up to twenty minutes before;
the private message names it, and the confirm's answer again.  How each network tells who is in a
room comes with its adapter.
"""

from dataclasses import replace

import pytest

from attacks.helpers import stored
from attacks.tampering import link_by
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.dispatcher import Dispatcher
from omnibot.linking import waiting
from omnibot.linking.desk import WRONG_CODE
from omnibot.linking.flows import Flow
from omnibot.message import Channel, Message
from omnibot.policy import Policy, Room, Rule
from omnibot.ports import free_port
from omnibot.runner import Start
from omnibot.skill import Context
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that keeps its address over restarts."""
    return replace(plan, port=free_port())


async def code_for(bench: Bench, command: str, channel: Channel | None = None) -> str:
    """Let Ada say *command*, which parks it; return the code that she then sees."""
    await bench.say(command, ADA, channel)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        return browser.code


@pytest.mark.attack("A48", sabotage=lambda patch: patch.setattr(waiting, "take", waiting.look))
async def test_it_runs_once(plan: Plan, provider: DemoProvider) -> None:
    """Neither the code said again nor a restart runs it a second time."""
    async with Bench.open(plan) as bench:
        code = await code_for(bench, "!notes add once")
        await bench.say(f"!confirm {code}")
        again = await bench.say(f"!confirm {code}")
    async with Bench.open(plan) as bench:
        await bench.settle()
        later = await bench.say(f"!confirm {code}")

    assert ["once"] == provider.notes("ada")
    assert [WRONG_CODE] == again
    assert [WRONG_CODE] == later


@pytest.mark.attack("A48", sabotage=lambda patch: patch.setattr(Flow, "expired", lambda self, now: False))
async def test_it_does_not_run_late(bench: Bench, provider: DemoProvider) -> None:
    """After half an hour nothing is linked, nothing runs, and nothing is left of what waited."""
    code = await code_for(bench, "!notes add late")
    bench.clock.pass_(1800)

    said = await bench.say(f"!confirm {code}")
    await bench.core.upkeep.sweep()

    assert [WRONG_CODE] == said
    assert [] == provider.notes("ada")
    assert [] == await stored(bench)
    assert [] == await bench.rows("SELECT id FROM waiting")


async def _yes(self: Context, question: str) -> bool:
    return True


@pytest.mark.attack("A48", sabotage=lambda patch: patch.setattr(Context, "confirm", _yes))
async def test_what_destroys_asks_again(bench: Bench, provider: DemoProvider) -> None:
    """A parked delete asks once it resumes, and deletes upon a yes only."""
    await link_by(bench, "!notes add keep", ADA, "ada")
    await bench.say("!unlink demo")

    said = await bench.say(f"!confirm {await code_for(bench, '!notes delete 1')}")

    assert ["keep"] == provider.notes("ada")
    assert "Really `notes delete 1`? Delete one of your notes." == said[-1]

    await bench.say("yes")

    assert [] == provider.notes("ada")


@pytest.mark.attack("A48")
async def test_a_yes_of_before_does_not_count(bench: Bench, provider: DemoProvider) -> None:
    """A delete that was confirmed, and then stopped by a dead token, asks once more when it resumes."""
    await link_by(bench, "!notes add keep", ADA, "ada")
    await bench.say("!notes delete 1")
    provider.forget_grants()
    await bench.say("yes")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        said = await bench.say(f"!confirm {browser.code}")

    assert ["keep"] == provider.notes("ada")
    assert "Really `notes delete 1`? Delete one of your notes." == said[-1]


async def _regardless(self: Dispatcher, message: Message, start: Start) -> None:
    self._command(message, self._line(message)[0], start, sure=True, again=True)


@pytest.mark.attack("A48", sabotage=lambda patch: patch.setattr(Dispatcher, "resume", _regardless))
async def test_who_left_the_room_gets_nothing_run_there(bench: Bench, provider: DemoProvider) -> None:
    """A command said in a room does not run for somebody who is no longer in it; they hear so."""
    room = bench.network.room("ops", ADA, GRACE)
    code = await code_for(bench, "!notes add hello", room)
    bench.network.leave(room, ADA)

    said = await bench.say(f"!confirm {code}")

    assert [] == provider.notes("ada")
    assert said[-1].startswith("You are no longer in")


def _anything(self: Policy, *_: object) -> None:
    """Let everybody do everything."""


@pytest.mark.attack("A48", sabotage=lambda patch: patch.setattr(Policy, "check", _anything))
async def test_the_policy_of_now_counts(plan: Plan, provider: DemoProvider) -> None:
    """A command that was allowed when it was said, and is not any more, does not run."""
    async with Bench.open(plan) as bench:
        code = await code_for(bench, "!notes add hello")
    strict = replace(plan, rules=(Rule("fake:u-1", "notes*", "deny"),))
    async with Bench.open(strict) as bench:
        said = await bench.say(f"!confirm {code}")

    assert said[0].startswith("Linked")
    assert [] == provider.notes("ada")
    assert "does not allow" in said[-1]


@pytest.mark.attack("A48", sabotage=lambda patch: patch.setattr(Policy, "check", _anything))
@pytest.mark.parametrize("by", ["room", "rule"])
async def test_what_the_room_has_no_more_does_not_run(plan: Plan, provider: DemoProvider, by: str) -> None:
    """A room that was narrowed since, or a rule for that room, stops it."""
    async with Bench.open(plan) as bench:
        code = await code_for(bench, "!notes add hello", bench.network.room("ops", ADA, GRACE))
    if by == "room":
        narrowed = replace(plan, rooms=(Room("fake:ops", frozenset({"ping"})),))
    else:
        narrowed = replace(plan, rules=(Rule("fake:*", "skill:notes", "deny", channel="fake:ops"),))
    async with Bench.open(narrowed) as bench:
        room = bench.network.room("ops", ADA, GRACE)
        await bench.say(f"!confirm {code}")
        await bench.settle()

    assert [] == provider.notes("ada")
    assert [] == [text for text in bench.network.texts(room) if "hello" in text]


@pytest.mark.attack("A48")
async def test_a_later_command_does_not_take_its_place(bench: Bench, provider: DemoProvider) -> None:
    """What is said while one command waits is not run after the confirm, and the one that waits is."""
    await bench.say("!notes add first")
    await bench.say("!notes add second")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        await bench.say(f"!confirm {browser.code}")

    assert ["first"] == provider.notes("ada")
