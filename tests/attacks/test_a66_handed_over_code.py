"""A66, a handed-over code: the victim authorises Mallory's link, and tells her the true code.

This is the residual risk of every flow that ends with something a person can be asked for; what
stands against it are words: the page names who asks before and after, and says what the code is.

What must hold: she is linked, as a code truly said has to be believed.  The browser that authorised
shows by whom, and for 24 hours *This was not me* there cuts the link and revokes the token: it is
erased here, gone at the service, and Mallory's next command finds nothing.

Where the network has a web login (``confirm: login``) the attack is prevented: the victim's browser is never shown
a code, for it never gets beyond that login; and a code would be worth nothing without it.

What remains, elsewhere: what Mallory did in between, and a victim who notices nothing for a day; that page then
names what to take back at the service itself.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import audited, ends, stored
from linking import proofs
from linking.steps import all_flows, write_flow
from omnibot.accounts import Account
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import flows, proving
from omnibot.linking.confirming import Confirming
from omnibot.linking.flows import Flow, Outcome, Proof
from omnibot.linking.revoking import Revoking
from omnibot.pages import Pages
from omnibot.testing.bench import MALLORY, Bench

DAY = 86400.0
NEARLY_A_DAY = 23 * 3600.0


async def hand_over(bench: Bench, victim: Browser) -> list[str]:
    """Let the *victim* authorise Mallory's link and tell her the code; return what she then hears."""
    await bench.say("!link demo", MALLORY)
    await bench.authorise(victim, bench.link_for(MALLORY), "victim")
    return await bench.say(f"!confirm {victim.code}", MALLORY)


def naming_nobody(patch: pytest.MonkeyPatch) -> None:
    """Show that it is linked, and not by whom."""
    outcome = Pages.outcome

    def bare(self: Pages, shown: Outcome, token: object) -> str:
        page = outcome(self, shown, token)  # type: ignore[arg-type]
        return page.replace(shown.asking.display, "somebody").replace(shown.asking.subject, "")

    patch.setattr(Pages, "outcome", bare)


@pytest.mark.attack("A66", sabotage=naming_nobody)
async def test_the_browser_shows_by_whom(bench: Bench, provider: DemoProvider) -> None:
    """The page with the code and the page after it name Mallory, by the id that her network vouches for."""
    async with Browser() as victim:
        await bench.say("!link demo", MALLORY)
        await bench.authorise(victim, bench.link_for(MALLORY), "victim")
        before = victim.text
        said = await bench.say(f"!confirm {victim.code}", MALLORY)
        await victim.open(victim.url)
        after = victim.text

    assert said[0].startswith("Linked Demo notes as **victim**")
    assert [True, True] == ["Mallory" in page and MALLORY.subject in page for page in (before, after)]
    assert "Whoever asks you for it wants your account" in before
    assert "This was not me" in after


async def _later(self: Revoking, *_: object) -> None:
    """Erase nothing."""


@pytest.mark.attack("A66", sabotage=lambda patch: patch.setattr(Revoking, "erase", _later))
async def test_this_was_not_me_cuts_it(bench: Bench, provider: DemoProvider) -> None:
    """Nearly a day later the victim disconnects: erased, revoked, audited, and Mallory is told."""
    async with Browser() as victim:
        await hand_over(bench, victim)
        assert ["You have no notes."] == await bench.say("!notes", MALLORY)
        bench.clock.pass_(NEARLY_A_DAY)
        await victim.press("This was not me")
        page = victim.text
    await bench.core.revoking.work()
    calls = len(provider.calls)
    told = bench.network.private_texts(MALLORY)[-1]
    said = await bench.say("!api demo GET /api/me", MALLORY)

    assert "Disconnected" in page
    assert [] == await stored(bench)
    assert ["victim"] == provider.revoked
    assert [] == provider.calls[calls:]
    assert "u-victim" not in said[0]
    assert "not them" in told
    assert [{"instance": "default", "provider": "demo", "reason": "not_me"}] == await audited(bench, "link.refused")


@pytest.mark.attack("A66", sabotage=lambda patch: patch.setattr(flows, "UNDO_SECONDS", 10**9))
async def test_after_a_day_the_page_says_where_else(bench: Bench, provider: DemoProvider) -> None:
    """The button works for 24 hours; pressed later, on a page that was kept open, it undoes nothing and says so."""
    async with Browser() as victim:
        await hand_over(bench, victim)
        await victim.open(victim.url)
        bench.clock.pass_(DAY + 1)
        await victim.press("This was not me")
        late = victim.text

    assert "can no longer be undone here" in late
    assert ["active"] == await stored(bench)


@pytest.mark.attack("A66")
async def test_only_the_browser_that_authorised_can_undo(bench: Bench) -> None:
    """The page's address alone, which Mallory may know, shows and undoes nothing."""
    async with Browser() as victim, Browser() as other:
        await hand_over(bench, victim)
        await other.open(victim.url)

    assert 400 == other.status
    assert "This was not me" not in other.text
    assert "victim" not in other.text


@pytest.mark.attack("A66", sabotage=lambda patch: patch.setattr(proving, "is_asker", lambda *_: True))
async def test_where_there_is_a_login_there_is_no_code_to_hand_over(tmp_path: Path) -> None:
    """Whatever the victim does at the browser, they are somebody else than Mallory there."""
    async with proofs.proving(tmp_path) as (bench, door), Browser() as victim:
        await proofs.reach_login(bench, victim, proofs.MALLORY)
        await bench.consent(victim, "victim")
        page, code = victim.text, victim.code
        await bench.core.revoking.work()

        assert "Not who asked" in page
        assert "" == code
        assert [] == await stored(bench)
        assert [("refused", "not_asker")] == await ends(bench)
        assert ["victim"] == door.revoked


def without_proof(patch: pytest.MonkeyPatch) -> None:
    """Make an account active by its code alone."""
    pending = Confirming._pending

    async def unasked(self: Confirming, source: Any, flow: Flow | None) -> Account:
        return await pending(self, source, flow and replace(flow, proof=None))

    patch.setattr(Confirming, "_pending", unasked)


@pytest.mark.attack("A66", sabotage=without_proof)
async def test_a_code_without_the_login_is_worth_nothing(tmp_path: Path) -> None:
    """Should a flow come to be pending unproven after all, its true code from its true asker does not end it."""
    async with proofs.proving(tmp_path) as (bench, _), Browser() as browser:
        bench.core.browser._finish = _stay_pending
        await proofs.reach_login(bench, browser, proofs.MALLORY)
        await bench.consent(browser, "mallory")
        await bench.consent(browser, "victim")
        await write_flow(bench, replace((await all_flows(bench))[0], proof=Proof()))
        said = await bench.say(f"!confirm {browser.code}", proofs.MALLORY)

        assert "not one I am waiting for" in said[0]
        assert ["pending"] == await stored(bench)


async def _stay_pending(*_: object) -> None:
    """Do nothing more."""
