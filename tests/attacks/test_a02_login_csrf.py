"""A2: login CSRF.

Mallory authorises at the service with an account of hers, stops before the callback, and gets that address
into a victim's browser, or the pasted address into a victim's chat: the victim would then work in Mallory's
account without noticing.

What must hold: an answer counts only in the browser that began the attempt, whatever other attempts a
browser has under way, and only in the chat of the identity that asked. Anywhere else nothing is stored, no
code reaches the service, and the attempt is over.

What remains: a victim who confirms Mallory's account in so many words (A3).
"""

from dataclasses import replace

import pytest

from attacks.helpers import answered, arrive, ask, ends, stopping, stored
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import browser, flows
from omnibot.linking.confirming import Confirming
from omnibot.linking.flows import Flow
from omnibot.testing.bench import ADA, MALLORY, Bench, Plan
from omnibot.web import Listener


class EveryCookie(dict[str, str]):
    """The cookies of a browser that passes for any other."""

    def __missing__(self, flow: str) -> str:
        return "a cookie"


def in_any_browser(patch: pytest.MonkeyPatch) -> None:
    """Ask for no cookie."""
    patch.setattr(Listener, "_attempts", lambda *_: EveryCookie())
    patch.setattr(browser, "_why_wrong", lambda *_: None)


def by_anybody(patch: pytest.MonkeyPatch) -> None:
    """Take a pasted address from whoever pastes it."""

    async def only(pages: Confirming, *_: object) -> Flow:
        services = pages._with
        rows = await services.database.read("SELECT * FROM flows ORDER BY created DESC")
        return flows.from_row(services.sealer, rows[0])

    patch.setattr(Confirming, "_pasted_flow", only)


@pytest.mark.attack("A2", sabotage=in_any_browser)
async def test_an_answer_counts_in_its_own_browser(bench: Bench, provider: DemoProvider) -> None:
    """Replayed in a victim's browser, amid an attempt of the victim's own, it is refused and its attempt is over."""
    async with stopping(bench.plan) as evil, stopping(bench.plan) as victim:
        stolen = await answered(bench, evil, MALLORY, "mallory")
        own = await answered(bench, victim)
        replayed = await ask(victim, stolen)
        too_late = await ask(evil, stolen)
        exchanges = list(provider.exchanges)
        await arrive(victim, own)

    assert 400 == replayed.status
    assert "Not the same browser" in replayed.text
    assert 400 == too_late.status
    assert [] == exchanges
    assert [("refused", "other_browser"), ("pending", "")] == await ends(bench)
    assert ["pending"] == await stored(bench)
    assert "ada" in victim.text
    assert "mallory" not in victim.text


@pytest.mark.attack("A2", sabotage=in_any_browser)
async def test_an_answer_counts_in_no_other_browser(bench: Bench, provider: DemoProvider) -> None:
    """A browser without any cookie is refused like any other."""
    async with stopping(bench.plan) as evil, Browser() as victim:
        stolen = await answered(bench, evil, MALLORY, "mallory")
        replayed = await ask(victim, stolen)

    assert 400 == replayed.status
    assert [] == await stored(bench)
    assert [("refused", "other_browser")] == await ends(bench)
    assert [] == provider.exchanges


@pytest.mark.attack("A2", sabotage=by_anybody)
async def test_a_pasted_answer_counts_in_its_own_chat(plan: Plan, provider: DemoProvider) -> None:
    """Pasted by a victim it is refused, its attempt is over, and the victim hears what it was."""
    async with Bench.open(replace(plan, public=False)) as bench, stopping(bench.plan) as evil:
        stolen = await answered(bench, evil, MALLORY, "mallory")
        said = await bench.say(stolen, ADA)
        told = [text for text in said if "somebody else asked for" in text]
        too_late = await bench.say(stolen, MALLORY)

        assert 1 == len(told)
        assert [("refused", "stolen")] == await ends(bench)
        assert [] == await stored(bench)
        assert [] == provider.exchanges
        assert "has been used" in too_late[0]
