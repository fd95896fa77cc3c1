"""A63, authority by SQL: who may use what is changed in the database, without touching a token.

An identity is made somebody else's, a public key swapped for one whose other half the attacker
holds, a flow made out to another identity, a parked command changed for one said before, the
reach of an account widened, a private reply that waits addressed to another.

What must hold: every row that decides carries a tag over all that decides.  What was changed is
refused, the refusal is in the audit, nothing is opened or sent, and other people go on as before.

What remains: whoever can write to the database can delete rows, and so keep people from what is
theirs; and put back yesterday's, which A34 is about.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from nacl.public import PrivateKey

from attacks.helpers import ends, fetch, stored
from attacks.tampering import (
    REFUSAL,
    Refusal,
    change,
    link_by,
    person_of,
    put,
    refusals,
    rows,
    unchecked,
)
from omnibot import delivery
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import VaultError
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.flows import FLOW_SECONDS
from omnibot.people import IDENTITIES
from omnibot.ports import free_port
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.testing.fakes import FakeAdapter

TRIPLE = [MALLORY.network, MALLORY.subject, MALLORY.epoch]


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that keeps its address over restarts."""
    return replace(plan, port=free_port())


async def populate(plan: Plan) -> None:
    """Link Ada, Grace and Mallory, each with their own account."""
    async with Bench.open(plan) as bench:
        for speaker, login in ((ADA, "ada"), (GRACE, "grace"), (MALLORY, "mallory")):
            await link_by(bench, "!notes add mine", speaker, login)


def repoint(plan: Plan) -> None:
    """Make Mallory's identity Ada's, and let it reach her account."""
    ada = person_of(plan, ADA.subject)
    change(plan, "UPDATE identities SET person = ? WHERE subject = ?", ada, MALLORY.subject)
    change(plan, "UPDATE accounts SET reach = ? WHERE person = ?", json.dumps([TRIPLE]), ada)


def invent(plan: Plan) -> None:
    """Give Ada a further identity, by a copy of the row of her own."""
    row = rows(plan, "SELECT * FROM identities WHERE subject = ?", ADA.subject)[0] | {"subject": MALLORY.subject}
    change(plan, "DELETE FROM identities WHERE subject = ?", MALLORY.subject)
    put(plan, "identities", row)


def another_epoch(plan: Plan) -> None:
    """Let Ada's name mean whoever has it since it was given out anew."""
    change(plan, "UPDATE identities SET epoch = '2' WHERE subject = ?", ADA.subject)
    ada = person_of(plan, ADA.subject)
    change(plan, "UPDATE accounts SET reach = ? WHERE person = ?", json.dumps([[ADA.network, ADA.subject, "2"]]), ada)


HEIR = Identity(ADA.network, ADA.subject, "2", "Somebody else")


@pytest.mark.attack("A63", sabotage=unchecked)
@pytest.mark.parametrize(("tamper", "speaker"), [(repoint, MALLORY), (invent, MALLORY), (another_epoch, HEIR)])
async def test_an_identity_is_whose_we_said(
    plan: Plan, provider: DemoProvider, tamper: Callable[[Plan], None], speaker: Identity
) -> None:
    """Whoever is written in as Ada is not Ada; and Grace notices nothing."""
    await populate(plan)
    tamper(plan)
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = [await bench.say(text, speaker) for text in ("!notes add boo", "!accounts", "!whoami")]
        asked = provider.requests[before:]
        refused = await refusals(bench)
        other = await bench.say("!notes", GRACE)

    assert ["mine"] == provider.notes("ada")
    assert [True] * 3 == [texts[0].startswith(REFUSAL) for texts in said]
    assert [] == asked
    assert [Refusal("identities", "Tampered")] * 3 == refused
    assert ["- 1: mine"] == other


@pytest.mark.attack("A63", sabotage=unchecked)
async def test_nothing_is_sealed_to_a_key_that_was_swapped(plan: Plan, provider: DemoProvider) -> None:
    """With another public key in her row, Ada is sent no link, so that no token is sealed to it."""
    await populate(plan)
    key = bytes(PrivateKey.generate().public_key)
    change(plan, "UPDATE people SET public_key = ? WHERE id = ?", key, person_of(plan, ADA.subject))
    async with Bench.open(plan) as bench:
        before = len(provider.calls)
        said = [await bench.say(text) for text in ("!link demo", "!notes")]
        refused = await refusals(bench)
        other = await bench.say("!notes", GRACE)

    assert [True, True] == [texts[0].startswith(REFUSAL) for texts in said]
    assert [Refusal("people", "Tampered")] * 2 == refused
    assert ["grace"] == [call.user for call in provider.calls[before:]]
    assert ["- 1: mine"] == other


@pytest.mark.attack("A63", sabotage=unchecked)
async def test_a_flow_is_whose_we_said(plan: Plan, provider: DemoProvider) -> None:
    """Mallory cannot confirm a flow that she made hers, even with the true code; its page says no more."""
    async with Bench.open(plan) as bench, Browser() as browser:
        await bench.say("!link demo")
        await bench.authorise(browser, bench.link_for(), "ada")
        await bench.say("!link demo", GRACE)
        others = bench.link_for(GRACE)
    change(plan, "UPDATE flows SET subject = ? WHERE subject = ?", MALLORY.subject, ADA.subject)
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = await bench.say(f"!confirm {browser.code}", MALLORY)
        used = await bench.say("!api demo GET /api/me", MALLORY)
        asked = provider.requests[before:]
        refused = await refusals(bench)
        page = await fetch(others)

    assert not said[0].startswith("Linked")
    assert said[0].startswith(REFUSAL)
    assert "u-ada" not in used[0]
    assert [] == [one for one in asked if "/.well-known/" not in one]
    assert Refusal("flows", "Tampered") in refused
    assert 200 == page.status


@pytest.mark.attack("A63", sabotage=unchecked)
async def test_pages_of_a_changed_flow_are_refused(plan: Plan) -> None:
    """A link whose page was made to name somebody else as the one who asks opens no page."""
    async with Bench.open(plan) as bench:
        await bench.say("!link demo", MALLORY)
        link = bench.link_for(MALLORY)
    asked = json.dumps({"display": "Your Helpdesk", "where": "#security", "command": ""})
    change(plan, "UPDATE flows SET asked = ?", asked)
    async with Bench.open(plan) as bench:
        page = await fetch(link)

        assert 503 == page.status
        assert "Helpdesk" not in page.text
        assert [Refusal("flows", "Tampered")] == await refusals(bench)


async def kept_and_spent(bench: Bench) -> dict[str, object]:
    """Let Ada park a command that runs once she has linked; return the row that held it."""
    await bench.say("!notes add pay mallory")
    parked = rows(bench.plan, "SELECT * FROM waiting")[0]
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), "ada")
        await bench.say(f"!confirm {browser.code}")
    return parked


@pytest.mark.attack("A63", sabotage=unchecked)
async def test_a_command_that_was_said_before_does_not_run_again(plan: Plan, provider: DemoProvider) -> None:
    """A parked command of Ada's, kept by the attacker, cannot take the place of the one she parks today."""
    async with Bench.open(plan) as bench:
        parked = await kept_and_spent(bench)
        await bench.say("!unlink demo")
        await bench.say("!notes add hello")
        link = bench.link_for()
    today = rows(plan, "SELECT flow FROM waiting")[0]
    change(plan, "DELETE FROM waiting")
    put(plan, "waiting", parked | today)
    async with Bench.open(plan) as bench, Browser() as browser:
        await bench.authorise(browser, link, "ada")
        said = await bench.say(f"!confirm {browser.code}")

        assert ["pay mallory"] == provider.notes("ada")
        assert said[0].startswith(REFUSAL)
        assert [Refusal("waiting", "Tampered")] == await refusals(bench)


@pytest.mark.attack("A63", sabotage=unchecked)
async def test_a_command_that_was_said_before_is_not_let_loose(plan: Plan, provider: DemoProvider) -> None:
    """Nor does it run as one that a network had handed over, and that a crash kept from starting."""
    plan = replace(plan, networks=(FakeAdapter(),))  # which numbers its messages on
    async with Bench.open(plan) as bench:
        parked = await kept_and_spent(bench)
    put(plan, "waiting", parked | {"flow": None})
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        await bench.settle()

        assert ["pay mallory"] == provider.notes("ada")


@pytest.mark.attack("A63", sabotage=unchecked)
async def test_reach_is_what_we_said(plan: Plan, provider: DemoProvider) -> None:
    """A second identity of Ada's own does not reach her account because the database says so."""
    await populate(plan)
    second = Identity("fake", "u-11", "", "Ada on the train")
    async with Bench.open(plan) as bench:
        belongs = {
            "network": second.network,
            "subject": second.subject,
            "epoch": second.epoch,
            "person": person_of(plan, ADA.subject),
            "display": second.display,
            "created": bench.clock(),
        }
        async with bench.core.database.transaction() as tx:
            await tx.insert("identities", bench.core.sealer.stamp(IDENTITIES, belongs))
    reach = json.dumps([[one.network, one.subject, one.epoch] for one in (ADA, second)])
    change(plan, "UPDATE accounts SET reach = ? WHERE external = 'u-ada'", reach)
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = await bench.say("!notes add boo", second)
        asked = provider.requests[before:]
        refused = await refusals(bench)
        other = await bench.say("!notes", GRACE)

    assert ["mine"] == provider.notes("ada")
    assert said[0].startswith(REFUSAL)
    assert [] == asked
    assert [Refusal("accounts", "Tampered")] == refused
    assert ["- 1: mine"] == other


@pytest.mark.attack("A63", sabotage=lambda patch: patch.setattr(delivery, "notice_purpose", lambda _, row: str(row)))
async def test_a_private_reply_that_waits_is_read_to_nobody_else(plan: Plan) -> None:
    """What Ada could not be told in private is not told Mallory because the database says that it is hers."""
    async with Bench.open(plan) as bench:
        bench.network.close_dms(ADA)
        await bench.say("!link demo", ADA, bench.network.room("ops", ADA))
    change(plan, "UPDATE notices SET subject = ?", MALLORY.subject)
    async with Bench.open(plan) as bench:
        assert ["pong"] == await bench.say("!ping", MALLORY)


@pytest.mark.attack("A63", sabotage=lambda patch: patch.setattr(flows, "_select_ours", flows._select))
async def test_a_changed_row_holds_up_nobody_elses(plan: Plan, provider: DemoProvider) -> None:
    """With rows among them that are not ours, the flows of others still run out, and their tokens go back."""
    async with Bench.open(plan) as bench, Browser() as one, Browser() as other:
        await bench.say("!link demo", GRACE)
        await bench.say("!notes", MALLORY)
        await bench.authorise(one, bench.link_for(MALLORY), "mallory")
        await bench.say("!notes")
        await bench.authorise(other, bench.link_for(), "ada")
    change(plan, "UPDATE flows SET until = until + 1 WHERE subject = ?", GRACE.subject)
    change(plan, "UPDATE accounts SET status = 'active' WHERE external = 'u-mallory'")
    async with Bench.open(plan) as bench:
        bench.clock.pass_(FLOW_SECONDS + 1)
        with suppress(VaultError):
            await bench.core.upkeep.sweep()
        await bench.core.revoking.work()

        assert [("open", ""), ("expired", "expired"), ("expired", "expired")] == await ends(bench)
        assert [] == await stored(bench)
        assert ["ada"] == provider.revoked
