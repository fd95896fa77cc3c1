"""A68, an account that somebody has linked already.

A second person authorises the account of a first: because they share it, or because they have talked
the first out of a session, a password, a code.

What must hold: it is held.  The second acts with nothing, the first is warned in private and goes on as
before, the admins are told.  An operator decides: allowed, both act, and both are told; refused, or after
a week, the second's is erased, and its token handed back unless that would cut the first's link.  The
second can do nothing by themselves to be let in.

What remains: who comes first is believed.  An attacker who links before the owner does is the first.
"""

from dataclasses import replace

import pytest

from attacks.helpers import audited, ends, stored
from keys import do
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import UserError
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan

NO_NOTES = ["You have no notes."]


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot with an admin."""
    return replace(plan, admins=("fake:u-2",))


async def nobody(*_: object) -> list[Account]:
    return []


def unheld(patch: pytest.MonkeyPatch) -> None:
    """Look for nobody who has that account already."""
    patch.setattr(accounts, "of_external", nobody)


async def held(bench: Bench) -> str:
    """Let Ada link an account, and Mallory authorise the same; return the id by which an operator knows hers."""
    await bench.link(ADA, "ada")
    await take(bench)
    [one] = await do(bench, "accounts held")
    return str(one["id"])


async def take(bench: Bench) -> list[str]:
    """Let Mallory ask for her notes, and authorise Ada's account for it."""
    await bench.say("!notes", MALLORY)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(MALLORY), "ada")
        return await bench.say(f"!confirm {browser.code}", MALLORY)


@pytest.mark.attack("A68", sabotage=unheld)
async def test_the_second_person_acts_with_nothing(bench: Bench, provider: DemoProvider) -> None:
    """Neither at once, nor by asking again; the first is warned and goes on, the admin is told."""
    await bench.link(ADA, "ada")
    before = len(provider.requests)
    confirmed = await take(bench)
    again = [await bench.say(text, MALLORY) for text in ("!notes", "!use demo", "!undo")]

    assert "is held for a week" in confirmed[0]
    assert [] == [one for one in provider.requests[before:] if "/api/notes" in one]
    assert "You have no notes." not in str(again)
    assert ["active", "held"] == await stored(bench)
    assert NO_NOTES == await bench.say("!notes", ADA)
    assert 1 == sum("fake:u-666" in text and "held for a week" in text for text in bench.network.private_texts(ADA))
    assert 1 == sum("omnibot accounts held" in text for text in bench.network.private_texts(GRACE))


@pytest.mark.attack("A68", sabotage=unheld)
async def test_an_operator_lets_both_use_it(bench: Bench) -> None:
    """Both act, both are told, the record has it; what was parked before is not run."""
    await bench.link(ADA, "ada")
    await take(bench)
    found = await do(bench, "accounts held")
    assert 1 == len(found), "nothing was held"
    heard = len(bench.network.said)
    done = await do(bench, "accounts allow", account=found[0]["id"])
    await bench.settle()
    told = {said.to.identity: said.reply.text for said in bench.network.said[heard:]}  # type: ignore[union-attr]

    assert (["fake:u-1"], "fake:u-666") == (done["owners"], done["asked_by"])
    assert {ADA, MALLORY} == set(told)
    assert "to act as your" in told[ADA]
    assert "fake:u-666" in told[ADA]
    assert "operator has allowed it" in told[MALLORY]
    assert [NO_NOTES, NO_NOTES] == [await bench.say("!notes", one) for one in (ADA, MALLORY)]
    assert ["active", "active"] == await stored(bench)
    assert ("linked", "allowed") == (await ends(bench))[1]
    assert [str(one["account"])[:8] for one in await audited(bench, "link.allowed")] == [found[0]["id"]]
    assert [] == await do(bench, "accounts held")


@pytest.mark.attack("A68")
async def test_a_crash_after_the_decision_leaves_nobody_in_the_dark(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are told when they next speak in private."""
    short = await held(bench)
    with monkeypatch.context() as patch:
        patch.setattr(bench.core.delivery, "aside", lambda *_, **__: None)
        await do(bench, "accounts allow", account=short)
    await bench.core.delivery.load()
    for one in (ADA, MALLORY):
        await bench.say("!ping", one)
    await bench.settle()

    assert 1 == sum("to act as your" in text for text in bench.network.private_texts(ADA))
    assert 1 == sum("operator has allowed it" in text for text in bench.network.private_texts(MALLORY))
    assert [] == await bench.rows("SELECT 1 FROM notices")


@pytest.mark.attack("A68")
async def test_an_operator_refuses_it_and_the_first_link_lives(bench: Bench, provider: DemoProvider) -> None:
    """Erased, told, recorded; nothing is revoked, which could end the first person's grant as well (A70)."""
    short = await held(bench)
    await do(bench, "accounts refuse", account=short)
    await bench.core.revoking.work()
    await bench.settle()

    assert ["active"] == await stored(bench)
    assert ("refused", "not_allowed") == (await ends(bench))[1]
    assert [] == provider.revoked
    assert NO_NOTES == await bench.say("!notes", ADA)
    assert "operator has refused your" in bench.network.private_texts(MALLORY)[-1]
    refused = {"provider": "demo", "instance": "default", "reason": "not_allowed"}
    assert [refused] == await audited(bench, "link.refused")


@pytest.mark.attack("A68")
async def test_once_the_first_has_gone_it_is_decided_all_the_same(bench: Bench, provider: DemoProvider) -> None:
    """Allowed, there is nobody else to tell; refused, the token is handed back, since it cuts nobody."""
    short = await held(bench)
    await bench.say("!unlink demo", ADA)
    allowed = await do(bench, "accounts allow", account=short)
    await bench.settle()
    said = await bench.say("!notes", MALLORY)
    await bench.say("!unlink demo", MALLORY)
    await bench.core.revoking.work()
    revoked = len(provider.revoked)
    short = await held(bench)
    await bench.say("!unlink demo", ADA)
    await do(bench, "accounts refuse", account=short)
    await bench.core.revoking.work()

    assert [] == allowed["owners"]
    assert NO_NOTES == said
    assert revoked < len(provider.revoked)
    assert [] == await stored(bench)


@pytest.mark.attack("A68")
async def test_what_was_forged_is_not_allowed(bench: Bench) -> None:
    """A row that is not as we wrote it is not listed; a link whose story is forged can only be refused."""
    short = await held(bench)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE flows SET provider = 'other' WHERE state = 'held'")
    with pytest.raises(UserError, match="can only be refused"):
        await do(bench, "accounts allow", account=short)
    await do(bench, "accounts refuse", account=short)

    assert ["active"] == await stored(bench)
    assert [{"provider": "demo", "instance": "default", "reason": "not_allowed"}] == await audited(
        bench, "link.refused"
    )

    short = await held_again(bench)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET reach = '[]' WHERE status = 'held'")
    assert [] == await do(bench, "accounts held")
    with pytest.raises(UserError, match="is not held any more"):
        await do(bench, "accounts allow", account=short)
    with pytest.raises(UserError, match="is not held any more"):
        await do(bench, "accounts refuse", account=short)


async def held_again(bench: Bench) -> str:
    """Let Mallory authorise Ada's account once more."""
    await take(bench)
    [one] = await do(bench, "accounts held")
    return str(one["id"])
