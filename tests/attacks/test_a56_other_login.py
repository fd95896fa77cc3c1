"""A56: the account changes under a link.

Whoever is linked as one login and links again comes back as another: because the browser was signed in as somebody
else, because a colleague's was used, or because somebody wanted it so.  What the person says next is then done by
another account than they think.

What must hold: before anything changes, old and new are named and the person decides: replace, keep both, or
neither.  Until then the new account does nothing, and the old one goes on.  No answer is no.  Replaced, the old
account is handed back; kept, the old one stays what its name means.

What remains: a person who answers without reading.
"""

from typing import Any

import pytest

from attacks.helpers import ends, stored
from omnibot.accounts import Account
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import flows
from omnibot.linking.confirming import Confirming
from omnibot.testing.bench import ADA, GRACE, Bench

QUESTION = "At Demo notes you are linked as **ada**; this is **eve**. Replace, or keep both?"


def unasked(patch: pytest.MonkeyPatch) -> None:
    """See no other login."""
    seen = Confirming.other_logins

    async def none(self: Confirming, flow_id: str) -> tuple[Account, list[Account]]:
        return (await seen(self, flow_id))[0], []

    patch.setattr(Confirming, "other_logins", none)


async def relink(bench: Bench, login: str = "eve") -> list[str]:
    """Let Ada link once more, her browser signed in as *login*; return what the code is answered with."""
    await bench.say("!link demo")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), login)
        return await bench.say(f"!confirm {browser.code}")


async def logins(bench: Bench) -> list[tuple[Any, Any]]:
    """Return login and status of every account, oldest first."""
    await bench.settle()
    rows = await bench.rows("SELECT json_extract(profile, '$.login') AS login, status FROM accounts ORDER BY created")
    return [(row["login"], row["status"]) for row in rows]


@pytest.mark.attack("A56", sabotage=unasked)
async def test_old_and_new_are_named_before_anything_changes(bench: Bench, provider: DemoProvider) -> None:
    """Meanwhile the old account is the one that acts."""
    await bench.link()
    asked = await relink(bench)
    before = await logins(bench)
    await bench.say("!notes", ADA)

    assert [QUESTION] == asked
    assert ("replace ada", "keep both", "cancel") == next(
        one.reply.choices for one in bench.network.said if one.reply.text == QUESTION
    )
    assert [("ada", "active"), ("eve", "pending")] == before
    assert "ada" == provider.calls[-1].user


@pytest.mark.attack("A56", sabotage=unasked)
async def test_replaced_the_old_one_goes_back(bench: Bench, provider: DemoProvider) -> None:
    """The answer says from what to what; the name is the same, and means the new one."""
    await bench.link()
    await relink(bench)
    said = await bench.say("replace ada")
    await bench.core.revoking.work()
    await bench.say("!notes")

    assert ["**ada** -> **eve**. Linked Demo notes as **eve**."] == [one.partition(" Not you")[0] for one in said]
    assert [("eve", "active")] == await logins(bench)
    assert ["ada"] == provider.revoked
    assert "eve" == provider.calls[-1].user


@pytest.mark.attack("A56", sabotage=unasked)
async def test_kept_both_have_names(bench: Bench, provider: DemoProvider) -> None:
    """And what changes something asks which is meant."""
    await bench.link()
    await relink(bench)
    said = await bench.say("keep both")
    await bench.say("!notes")
    asked = await bench.say("!notes add hello")

    assert "This one is `demo@eve`, of your 2 accounts there" in "".join(said)
    assert [("ada", "active"), ("eve", "active")] == await logins(bench)
    assert "ada" == provider.calls[-1].user
    assert [] == provider.notes("ada") + provider.notes("eve")
    assert asked


@pytest.mark.attack("A56", sabotage=unasked)
async def test_called_off_the_new_one_goes_back(bench: Bench, provider: DemoProvider) -> None:
    """And nothing has changed."""
    await bench.link()
    await relink(bench)
    said = await bench.say("cancel")
    await bench.core.revoking.work()

    assert ["Nothing has changed: you are linked as **ada**."] == said
    assert [("ada", "active")] == await logins(bench)
    assert ["eve"] == provider.revoked
    assert [("linked", ""), ("refused", "cancelled")] == await ends(bench)


@pytest.mark.attack("A56", sabotage=unasked)
async def test_no_answer_is_no(bench: Bench, provider: DemoProvider) -> None:
    """A new command ends the question: the new account stays pending, and lapses with its link."""
    await bench.link()
    await relink(bench)
    await bench.say("!ping")
    waiting = await logins(bench)
    bench.clock.pass_(flows.FLOW_SECONDS)
    await bench.core.upkeep.sweep()
    await bench.core.revoking.work()

    assert [("ada", "active"), ("eve", "pending")] == waiting
    assert [("ada", "active")] == await logins(bench)
    assert ["eve"] == provider.revoked


@pytest.mark.attack("A56", sabotage=unasked)
async def test_another_persons_answer_decides_nothing(bench: Bench) -> None:
    """Nor does what others say in between."""
    await bench.link()
    await relink(bench)
    await bench.say("replace ada", GRACE)
    await bench.say("keep both", GRACE)

    assert [("ada", "active"), ("eve", "pending")] == await logins(bench)


@pytest.mark.attack("A56")
async def test_the_same_login_is_not_asked_about(bench: Bench) -> None:
    """It is the same account anew."""
    await bench.link()
    said = await relink(bench, "ada")

    assert said[0].startswith("Linked Demo notes as **ada**")
    assert ["active"] == await stored(bench)


@pytest.mark.attack("A56", sabotage=unasked)
async def test_who_was_cut_off_upstream_is_asked_too(bench: Bench, provider: DemoProvider) -> None:
    """A link that broke and comes back as another login is a change like every other; what waits, waits for it."""
    await bench.link()
    provider.forget_grants()
    await bench.say("!notes")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), "eve")
        asked = await bench.say(f"!confirm {browser.code}")
    before = len(provider.calls)
    said = await bench.say("1")

    assert [QUESTION] == asked
    assert "Running what you asked for: `!notes`" in said[0]
    assert [("eve", "active")] == await logins(bench)
    assert {"eve"} == {call.user for call in provider.calls[before:]}
