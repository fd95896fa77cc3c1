"""A35, promotion by SQL: a pending account made active in the database.

Mallory has talked a victim through her link; the victim's token rests here, pending, and waits for a
code that only the victim's browser knows.  Somebody who can write to the database would spare
her the code.

What must hold: the tag covers the status, so a row promoted by hand is refused and the victim's
account is not used; the same for a flow said to be linked.  The audit tells.

What remains: nothing known, short of the master key itself.
"""

from dataclasses import replace

import pytest

from attacks.helpers import stored
from attacks.tampering import REFUSAL, Refusal, change, refusals
from omnibot import accounts
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import flows
from omnibot.ports import free_port
from omnibot.testing.bench import GRACE, MALLORY, Bench, Plan
from omnibot.vault import Tagged


def _without(tagged: Tagged, *columns: str) -> Tagged:
    return replace(tagged, covered=tuple(one for one in tagged.covered if one not in columns))


def _status_is_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(accounts, "TABLE", _without(accounts.TABLE, "status", "is_default", "alias", "activated"))


def _state_is_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(flows, "TABLE", _without(flows.TABLE, "state", "code_hash"))


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that keeps its address over restarts."""
    return replace(plan, port=free_port())


async def talked_through(plan: Plan, victim: Browser) -> None:
    """Let a *victim* authorise Mallory's link, and nobody confirm it; Grace links her own."""
    async with Bench.open(plan) as bench:
        await bench.link(GRACE, "grace")
        await bench.say("!notes add boo", MALLORY)
        await bench.authorise(victim, bench.link_for(MALLORY), "victim")


@pytest.mark.attack("A35", sabotage=_status_is_open)
async def test_an_account_promoted_by_hand_is_refused(plan: Plan, provider: DemoProvider) -> None:
    """The victim's pending account, set active, does nothing for Mallory; Grace notices nothing."""
    async with Browser() as victim:
        await talked_through(plan, victim)
    ready = "status = 'active', is_default = 1, alias = 'mine', activated = created"
    change(plan, f"UPDATE accounts SET {ready} WHERE status = 'pending'")  # noqa: S608
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = await bench.say("!notes add boo", MALLORY)
        asked = provider.requests[before:]
        refused = await refusals(bench)
        other = await bench.say("!notes", GRACE)

    assert [] == provider.notes("victim")
    assert said[0].startswith(REFUSAL)
    assert [] == asked
    assert [Refusal("accounts", "Tampered")] == refused
    assert ["You have no notes."] == other


@pytest.mark.attack("A35")
async def test_the_victim_can_still_cut_it(plan: Plan) -> None:
    """*This was not me* erases the account that was promoted by hand, though its row is not ours any more."""
    async with Browser() as victim:
        await talked_through(plan, victim)
        change(plan, "UPDATE accounts SET status = 'active' WHERE status = 'pending'")
        async with Bench.open(plan) as bench:
            await victim.press("This was not me")

            assert "Disconnected" in victim.text
            assert ["active"] == await stored(bench), "Grace's"


@pytest.mark.attack("A35", sabotage=_state_is_open)
async def test_a_flow_brought_on_by_hand_is_refused(plan: Plan) -> None:
    """A code that the attacker writes into the flow's row confirms nothing."""
    async with Browser() as victim:
        await talked_through(plan, victim)
    async with Bench.open(plan) as bench:
        known = bench.core.sealer.code_hash("BBBBBBBB")
    change(plan, "UPDATE flows SET code_hash = ? WHERE state = 'pending'", known)
    async with Bench.open(plan) as bench:
        said = await bench.say("!confirm BBBB-BBBB", MALLORY)

        assert said[0].startswith(REFUSAL)
        assert [Refusal("flows", "Tampered")] == await refusals(bench)
        assert [] == await bench.rows("SELECT id FROM accounts WHERE external = 'u-victim' AND status = 'active'")
