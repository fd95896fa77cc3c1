"""A13: code injection.

Mallory has got hold of a victim's code (from a log, a referrer, a shared screen) and puts it into an
answer to an attempt of her own, in her own browser: state and cookie fit.

What must hold: every attempt has a verifier of its own (PKCE, S256), which never leaves the bot before the
exchange; so a code is worth nothing in any attempt but the one it was made for, and nothing is stored.

What remains: a server that takes our challenge and does not look at the verifier.
"""

from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from attacks.helpers import answered, arrive, ask, ends, stopping, stored
from omnibot import oauth
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider, TokenCall
from omnibot.testing.bench import ADA, MALLORY, Bench, Plan


def one_for_all(patch: pytest.MonkeyPatch) -> None:
    """Make one verifier for every attempt."""
    patch.setattr(oauth, "new_verifier", lambda: "v" * 43)


def with_code_of(url: str, other: str) -> str:
    """Return *url* with the code of *other* in it."""
    mine, others = (parse_qs(urlsplit(one).query) for one in (url, other))
    return urlsplit(url)._replace(query=urlencode({**mine, "code": others["code"]}, doseq=True)).geturl()


SWAPPED = [
    TokenCall("code", "omnibot", "ada", False, "invalid_grant"),
    TokenCall("code", "omnibot", "mallory", False, "invalid_grant"),
]


@pytest.mark.attack("A13", sabotage=one_for_all)
async def test_a_code_is_good_in_its_own_attempt_only(bench: Bench, provider: DemoProvider) -> None:
    """Two codes change places: the token endpoint refuses both, and nobody is linked."""
    async with stopping(bench.plan) as evil, stopping(bench.plan) as person:
        hers = await answered(bench, evil, MALLORY, "mallory")
        own = await answered(bench, person, ADA)
        injected = await ask(evil, with_code_of(hers, own))
        planted = await ask(person, with_code_of(own, hers))

    assert [502, 502] == [injected.status, planted.status]
    assert SWAPPED == provider.exchanges
    assert [] == await stored(bench)
    assert [("refused", "exchange_failed")] * 2 == await ends(bench)


@pytest.mark.attack("A13", sabotage=one_for_all)
async def test_a_pasted_code_is_good_in_its_own_attempt_only(plan: Plan, provider: DemoProvider) -> None:
    """The same, with addresses made up for the chat."""
    async with Bench.open(replace(plan, public=False)) as bench:
        async with stopping(bench.plan) as evil, stopping(bench.plan) as person:
            hers = await answered(bench, evil, MALLORY, "mallory")
            own = await answered(bench, person, ADA)
            injected = await bench.say(with_code_of(hers, own), MALLORY)
            planted = await bench.say(with_code_of(own, hers), ADA)

        assert SWAPPED == provider.exchanges
        assert [] == await stored(bench)
        assert [("refused", "exchange_failed")] * 2 == await ends(bench)
        assert not [text for text in (*injected, *planted) if "Linked" in text]


@pytest.mark.attack("A13", sabotage=one_for_all)
async def test_every_attempt_has_its_own_verifier(bench: Bench, provider: DemoProvider) -> None:
    """Continue pressed twice makes two challenges, and only the second attempt's answer counts."""
    await bench.say("!link demo", ADA)
    asked = []
    async with Browser(stop=provider.origin) as person:
        for _ in range(2):
            await person.open(bench.link_for(ADA))
            await person.press("Continue")
            asked.append(person.url)
        queries = [parse_qs(urlsplit(url).query) for url in asked]
        await arrive(person, asked[0])
        await bench.consent(person)
        first = person.status
        await person.open(asked[1])
        await bench.consent(person)

    assert 2 == len({query["code_challenge"][0] for query in queries})
    assert 2 == len({query["state"][0] for query in queries})
    assert [["S256"]] * 2 == [query["code_challenge_method"] for query in queries]
    assert 400 == first
    assert person.code
    assert [TokenCall("code", "omnibot", "ada", True)] == provider.exchanges
