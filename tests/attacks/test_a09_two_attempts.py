"""A9: two links at once for the same account.

Somebody asks twice, or Mallory has talked the victim into asking once before: two links are about, and
finishing the wrong one would link what nobody meant.

What must hold: one link is live for a person and a service. A further command points to it; an explicit
`!link` ends it, however far it has come: what it had brought is erased and revoked, and whoever goes on
with it is told so.

What remains: nothing known.
"""

from dataclasses import replace

import pytest

from attacks.helpers import answered, ask, ends, fetch, stopping, stored
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking.beginning import Beginning
from omnibot.testing.bench import ADA, Bench, Plan


def beside_the_older(patch: pytest.MonkeyPatch) -> None:
    """Begin a link without a look at those that are open."""

    async def none(*_: object) -> list[object]:
        return []

    patch.setattr(Beginning, "_live", none)


@pytest.mark.attack("A9", sabotage=beside_the_older)
async def test_a_newer_link_ends_one_at_the_service(bench: Bench, provider: DemoProvider) -> None:
    """The older comes back and is refused; the newer is untouched by that."""
    async with stopping(bench.plan) as older, Browser() as newer:
        url = await answered(bench, older)
        first = bench.link_for()
        await bench.say("!link demo")
        opened = await fetch(first)
        returned = await ask(older, url)
        exchanges = list(provider.exchanges)
        await bench.authorise(newer, bench.link_for())
        answers = await bench.say(f"!confirm {newer.code}")

    assert 410 == opened.status
    assert 400 == returned.status
    assert "replaced by a newer one" in opened.text
    assert "replaced by a newer one" in returned.text
    assert [] == exchanges
    assert answers[0].startswith("Linked")
    assert [("refused", "replaced"), ("linked", "")] == await ends(bench)


@pytest.mark.attack("A9", sabotage=beside_the_older)
async def test_a_newer_link_ends_one_that_shows_its_code(bench: Bench, provider: DemoProvider) -> None:
    """What the older had brought is erased and revoked; its page says why, and its code is worth nothing."""
    async with Browser() as older:
        await bench.say("!link demo")
        await bench.authorise(older, bench.link_for())
        code = older.code
        await bench.say("!link demo")
        await bench.core.revoking.work()
        left = await stored(bench)
        refused = await bench.say(f"!confirm {code}")
        await older.open(older.url)

    assert [] == left
    assert ["ada"] == provider.revoked
    assert not refused[0].startswith("Linked")
    assert "A newer link was asked for" in older.text
    assert [("refused", "replaced"), ("open", "")] == await ends(bench)


@pytest.mark.attack("A9", sabotage=beside_the_older)
async def test_a_command_points_to_the_link_that_is_open(bench: Bench) -> None:
    """Only `!link` replaces: commands send no second link, and name the first."""
    await bench.say("!notes")
    link = bench.link_for()
    answers = await bench.say("!notes")

    assert ["Use the link I sent you for Demo notes, or `!link demo` for a new one."] == answers
    assert link == bench.link_for()
    assert [("open", "")] == await ends(bench)


@pytest.mark.attack("A9", sabotage=beside_the_older)
async def test_a_newer_link_ends_one_to_paste(plan: Plan, provider: DemoProvider) -> None:
    """The older address is refused in chat, and nothing of it reaches the service."""
    async with Bench.open(replace(plan, public=False)) as bench, stopping(bench.plan) as older:
        url = await answered(bench, older)
        await bench.say("!link demo")
        refused = await bench.say(url, ADA)

        assert [] == provider.exchanges
        assert [] == await stored(bench)
        assert "ask for a new link" in refused[0]
        assert [("refused", "replaced"), ("open", "")] == await ends(bench)
