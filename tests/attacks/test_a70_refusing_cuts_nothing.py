"""A70: the victim, who has linked their own account, clicks through mallory's link and then says no.

The token that mallory's link brought is one more for the same account of the same service, and services
there are that end the whole grant when one of its tokens is handed back (RFC 7009, section 2.1). Who can
get a victim to refuse could so cut the victim's own link.

What must hold: whether they refuse at the page or let it lapse, mallory's half-made link is erased here, and
the victim's own goes on working. Nothing is handed back that may be the same grant.

What remains: at a service that tells its tokens apart, the one that was not handed back ends by itself, or at
the service's own list of applications. It is kept nowhere.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from attacks.helpers import ends, stored
from omnibot import accounts
from omnibot.demo.browser import Browser
from omnibot.demo.ledger import Family
from omnibot.demo.provider import DemoProvider
from omnibot.linking import revoking
from omnibot.linking.revoking import Revoking
from omnibot.testing.bench import GRACE, MALLORY, Bench


async def nobody_else(*_: Any) -> list[Any]:
    return []


def handing_all_back(patch: pytest.MonkeyPatch) -> None:
    """Revoke whatever is erased, without a look at who else lives by it."""
    patch.setattr(accounts, "of_external", nobody_else)
    patch.setattr(revoking, "_linked_there", lambda *_: ("SELECT 1 WHERE FALSE", ()))


@pytest.fixture(params=[False, True], ids=["each token by itself", "the whole grant"])
def provider(request: pytest.FixtureRequest, provider: DemoProvider) -> DemoProvider:
    """A service which takes one token back, or with it everything that one account has given one client."""
    ledger = provider._ledger
    end = ledger.end

    def end_all(ended: Family) -> None:
        for family in {token.family for token in ledger._tokens.values()}:
            if (family.user, family.client_id) == (ended.user, ended.client_id):
                end(family)

    if request.param:
        ledger.end = end_all  # type: ignore[assignment,method-assign]
    return provider


@pytest.fixture
async def victim(bench: Bench) -> AsyncIterator[Browser]:
    """Grace's browser, after she has linked her own account and authorised mallory's link."""
    await bench.link(GRACE, "grace")
    await bench.say("!link demo", MALLORY)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(MALLORY), "grace")
        yield browser


async def worked(bench: Bench) -> None:
    """Let everything that waits to be handed back be tried, now and an hour later."""
    await bench.core.revoking.work()
    bench.clock.pass_(1800)
    await bench.core.revoking.work()
    await bench.settle()


@pytest.mark.attack("A70", sabotage=handing_all_back)
async def test_refused_at_the_page(bench: Bench, victim: Browser, provider: DemoProvider) -> None:
    """*This was not me* ends mallory's link alone."""
    await victim.press("This was not me")
    await worked(bench)

    assert ("refused", "not_me") == (await ends(bench))[-1]
    assert ["active"] == await stored(bench)
    assert [] == provider.revoked
    assert ["You have no notes."] == await bench.say("!notes", GRACE)


@pytest.mark.attack("A70", sabotage=handing_all_back)
async def test_left_to_lapse(bench: Bench, victim: Browser, provider: DemoProvider) -> None:
    """So does the clock."""
    bench.clock.pass_(1300)
    await bench.core.upkeep.sweep()
    await worked(bench)

    assert ("expired", "expired") == (await ends(bench))[-1]
    assert ["active"] == await stored(bench)
    assert [] == provider.revoked
    assert ["You have no notes."] == await bench.say("!notes", GRACE)


@pytest.mark.attack("A70", sabotage=handing_all_back)
async def test_refused_while_the_service_answers(bench: Bench, provider: DemoProvider) -> None:
    """The token of a flow that ended meanwhile is not stored, and not handed back either."""
    await bench.link(GRACE, "grace")
    await bench.say("!link demo", MALLORY)
    keep: Any = bench.core.browser._keep_pending

    async def ended_first(flow: Any, *rest: Any) -> None:
        await bench.core.endings.burn(flow, "refused")
        await keep(flow, *rest)

    bench.core.browser._keep_pending = ended_first  # type: ignore[assignment,method-assign]
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(MALLORY), "grace")
    await worked(bench)

    assert ["active"] == await stored(bench)
    assert [] == provider.revoked
    assert ["You have no notes."] == await bench.say("!notes", GRACE)


def never_handing_back(patch: pytest.MonkeyPatch) -> None:
    """Be so careful that nothing goes back at all."""

    async def nothing(*_: Any) -> None:
        pass

    patch.setattr(Revoking, "_enqueue", nothing)


@pytest.mark.attack("A70", sabotage=never_handing_back)
async def test_who_had_not_linked_is_rid_of_it(bench: Bench, provider: DemoProvider) -> None:
    """Without a link of the victim's own, refusing hands the token back."""
    await bench.say("!link demo", MALLORY)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(MALLORY), "grace")
        await browser.press("This was not me")
    await worked(bench)

    assert [] == await stored(bench)
    assert ["grace"] == provider.revoked
