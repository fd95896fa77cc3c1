"""A63, authority by SQL, where it outlives the message: what is followed for a person is changed in the database.

Ada's private follow is told to a room, made Mallory's, given another end, or other arguments, so
that her account goes on reading for somebody else.

What must hold: a follow's row carries a tag over all that decides what is looked at, with whose
account, for whom and until when.  What was changed is refused and recorded, nothing is asked of
the service for it and nothing is said of it; other follows go on.

What remains: as for every row, it can be deleted.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from attacks.tampering import Refusal, refusals, unchecked
from omnibot import FollowContext, LinkedContext, Progress, Skill
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import ADA, GRACE, MALLORY, SKILLS, Bench, Plan

DAY = 86400.0


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot with a skill that looks at one note."""
    skill = Skill("diary")

    @skill.follower(every=60)
    async def _look(ctx: FollowContext, page: int) -> Progress:
        return Progress((await ctx.api.get(f"/api/notes/{page}"))["text"])

    @skill.linked("demo")
    async def watch(ctx: LinkedContext, page: int) -> str:
        """Follow a page, in private."""
        await ctx.follow(_look, "a page", page=page, lasting=600)
        return "Following."

    return replace(plan, skills=(*SKILLS, skill))


@pytest.fixture
async def bench(plan: Plan, provider: DemoProvider) -> AsyncIterator[Bench]:
    """Everybody has linked and written; Ada and Grace have something followed."""
    async with Bench.open(plan) as bench:
        room = bench.network.room("ops", ADA, GRACE, MALLORY)
        for speaker, login in ((ADA, "ada"), (GRACE, "grace"), (MALLORY, "mallory")):
            headers = {"Authorization": f"Bearer {provider.issue(login, 'omnibot', ('notes:write',))['access_token']}"}
            await bench.link(speaker, login)
            await write(provider, headers, f"{login}'s secret")
            await write(provider, headers, f"{login}'s other secret")
        await bench.say("!diary watch 1", ADA, room)
        await bench.say("!diary watch 1", GRACE)
        yield bench


async def write(provider: DemoProvider, headers: dict[str, str], text: str) -> None:
    """Write a note behind the bot's back."""
    url, body = f"{provider.origin}/api/notes", {"text": text}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
        assert 201 == answer.status


@pytest.mark.attack("A63", sabotage=unchecked)
@pytest.mark.parametrize(
    "change",
    [
        "private = 0",
        "arguments = '{\"page\":2}'",
        f"until = until + {DAY}",
        "subject = 'u-666', person = (SELECT person FROM identities WHERE subject = 'u-666')",
        "account = (SELECT id FROM accounts WHERE linked_by LIKE '%u-666%')",
    ],
)
async def test_a_follow_that_was_changed_is_not_looked_at(bench: Bench, provider: DemoProvider, change: str) -> None:
    """Nobody is told anything, the service is asked nothing, the audit tells, and Grace's goes on."""
    async with bench.core.database.transaction() as tx:
        await tx.execute(f"UPDATE follows SET {change} WHERE subject = 'u-1'")  # noqa: S608 - the attacker's own
    before = len(bench.network.said)
    provider.calls.clear()
    bench.clock.pass_(700 if "until" in change else 80)
    await bench.settle()
    said = [one.reply.text for one in bench.network.said[before:]]

    assert [] == [call.user for call in provider.calls if call.user != "grace"]
    assert [Refusal("follows", "Tampered")] == await refusals(bench)
    assert ["I no longer follow **a page**: its time is over." if "until" in change else "grace's secret"] == said
