"""A8: a ticket or state used twice.

The same callback arrives fifty times at once (a double click, an impatient browser, an attacker in the
network who repeats what they saw), or a link is opened again after it has done its work.

What must hold: whoever commits first spends the attempt, and the service sees exactly one exchange; all
others are refused, and disturb nothing.

What remains: nothing known.
"""

import asyncio
from dataclasses import replace

import pytest

from attacks.helpers import SAME_ORIGIN, answered, arrive, ask, ends, fetch, stopping, stored
from omnibot.demo.provider import DemoProvider, TokenCall
from omnibot.linking import browser
from omnibot.linking.browser import Browser as Pages
from omnibot.linking.flows import Flow, find
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.vault import digest

ONE = [TokenCall("code", "omnibot", "ada", True)]


async def spend_again(self: Pages, state: str) -> tuple[Flow, str]:
    """Read the attempt without ending it."""
    flow = await find(self._with.database, self._with.sealer, "state_hash", digest(state))
    assert flow is not None
    assert flow.verifier is not None
    return flow, self._with.sealer.unbox(f"verifier:{flow.id}", flow.verifier).decode()


@pytest.mark.attack("A8", sabotage=lambda patch: patch.setattr(Pages, "_spend", spend_again))
async def test_fifty_callbacks_make_one_exchange(bench: Bench, provider: DemoProvider) -> None:
    """One of them goes on to the code, forty-nine are refused, and the code is good."""
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        pages = await asyncio.gather(*(ask(person, url) for _ in range(50)))
        went_on = [page.headers["Location"] for page in pages if page.status == 303]
        refused = [page.status for page in pages if page.status != 303]

        assert ONE == provider.exchanges
        assert 1 == len(went_on)
        assert [400] * 49 == refused

        await arrive(person, f"{bench.core.options.public_url}{went_on[0]}")
        answers = await bench.say(f"!confirm {person.code}")

    assert answers[0].startswith("Linked")
    assert ["active"] == await stored(bench)


@pytest.mark.attack("A8", sabotage=lambda patch: patch.setattr(browser, "_check_open", lambda *_: None))
async def test_a_link_works_once(bench: Bench, provider: DemoProvider) -> None:
    """After its attempt has come back, the link opens nothing and begins nothing, and the callback is spent."""
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        await arrive(person, url)
        link = bench.link_for()
        look = await fetch(link)
        again = await fetch(link, method="POST", headers=SAME_ORIGIN)
        replay = await ask(person, url)

    assert [410, 410, 400] == [look.status, again.status, replay.status]
    assert "Used already" in look.text
    assert ONE == provider.exchanges
    assert [("pending", "")] == await ends(bench)


@pytest.mark.attack("A8", sabotage=lambda patch: patch.setattr(Pages, "_spend", spend_again))
async def test_a_pasted_answer_works_once(plan: Plan, provider: DemoProvider) -> None:
    """Pasted again and again, the address makes one exchange and one account."""
    async with Bench.open(replace(plan, public=False)) as bench, stopping(bench.plan) as person:
        url = await answered(bench, person)
        for _ in range(5):
            await bench.network.hear(url, ADA)
        await bench.settle()

        assert ONE == provider.exchanges
        assert ["active"] == await stored(bench)
        assert 1 == len([text for text in bench.network.texts() if text.startswith("Linked")])
        assert 4 == len([text for text in bench.network.texts() if "has been used" in text])
