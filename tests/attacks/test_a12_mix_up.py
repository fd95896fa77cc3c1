"""A12: mix-up.

A person means to link the evil service, which sends their browser on to the honest one; the code that
comes back would be carried to the evil one's token endpoint. Or an answer names another server than the
one that was asked.

What must hold: each authorization server has a callback of its own, and an answer counts only at that of
its flow's server; where the server promised to name itself (RFC 9207) the answer does so, errors included.
Otherwise the attempt is over, and the code goes to no token endpoint.

What remains: a service that puts up an honest-looking consent page of its own; our page names its host.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from attacks.helpers import address, answered, arrive, ask, audited, ends, stopping, stored
from omnibot import oauth
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.linking import browser
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, Bench, Plan


@pytest.fixture
async def evil() -> AsyncIterator[DemoProvider]:
    """Another service, which does not promise to name itself."""
    async with DemoProvider(iss=False) as evil:
        yield evil


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider, evil: DemoProvider) -> Plan:
    """A bot that knows both; the other one as ``oidc``."""
    port = free_port()
    evil.register(DemoClient("omnibot", "evil-secret", (f"http://127.0.0.1:{port}/callback/oidc/default",)))
    settings = ProviderSettings("omnibot", Secret("evil-secret"), evil.origin)
    return Plan(tmp_path, provider=provider, settings=(("oidc", settings),), port=port)


def exchanges(*providers: DemoProvider) -> list[str]:
    """Return every request to a token endpoint, whatever came of it."""
    return [request for one in providers for request in one.requests if request == "POST /token"]


@pytest.mark.attack("A12", sabotage=lambda patch: patch.setattr(browser, "why_mixed_up", lambda *_: None))
async def test_a_code_of_the_honest_service_stays_from_the_evil_one(
    bench: Bench, provider: DemoProvider, evil: DemoProvider
) -> None:
    """The evil service passes the browser on with its own state; the answer is refused at the honest one's callback."""
    provider.iss = False
    await bench.say("!link oidc", ADA)
    async with Browser(stop=evil.origin) as victim:
        await victim.open(bench.link_for(ADA))
        await victim.press("Continue")
        sent = dict(parse_qsl(urlsplit(victim.url).query))
        honest = {**sent, "scope": "notes:read", "redirect_uri": f"{address(bench.plan)}/callback/demo/default"}
        await victim.open(f"{provider.origin}/authorize?{urlencode(honest)}")
        await bench.consent(victim)

    assert 400 == victim.status
    assert "The wrong service answered" in victim.text
    assert [] == exchanges(provider, evil)
    assert [("refused", "mix_up")] == await ends(bench)
    assert [] == await stored(bench)


@pytest.mark.attack("A12", sabotage=lambda patch: patch.setattr(browser, "why_mixed_up", lambda *_: None))
@pytest.mark.parametrize("path", ["oidc/default", "demo/other", "DEMO/default", "demo/DEFAULT", "d%65mo%40x/default"])
async def test_an_answer_counts_at_its_own_callback(
    bench: Bench, provider: DemoProvider, evil: DemoProvider, path: str
) -> None:
    """Brought to any other, by the very browser that began, it is refused and its attempt is over."""
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        elsewhere = await ask(person, url.replace("/demo/default", f"/{path}"))
        too_late = await ask(person, url)

    assert [400, 400] == [elsewhere.status, too_late.status]
    assert [] == exchanges(provider, evil)
    assert [("refused", "mix_up")] == await ends(bench)
    assert ["mix_up"] == [one["reason"] for one in await audited(bench, "link.refused")]


@pytest.mark.attack("A12", sabotage=lambda patch: patch.setattr(oauth, "check_issuer", lambda *_: None))
@pytest.mark.parametrize("lie", ["https://evil.example", "", "{origin}/", "{origin}@evil.example", "{ORIGIN}"])
@pytest.mark.parametrize("answer", ["Allow", "Deny"])
async def test_the_issuer_is_named_and_true(bench: Bench, provider: DemoProvider, lie: str, answer: str) -> None:
    """A server that promises ``iss`` is believed in nothing without it, not even an error; compared to the letter."""
    provider.iss_override = lie.format(origin=provider.origin, ORIGIN=provider.origin.upper())
    await bench.say("!link demo", ADA)
    async with Browser() as person:
        await person.open(bench.link_for(ADA))
        await person.press("Continue")
        await person.press("", user="ada")
        await person.press(answer)

    assert 400 == person.status
    assert "The answer cannot be trusted" in person.text
    assert [] == exchanges(provider)
    assert [("refused", "issuer")] == await ends(bench)


@pytest.mark.attack("A12", sabotage=lambda patch: patch.setattr(oauth, "check_issuer", lambda *_: None))
@pytest.mark.parametrize("lie", ["https://evil.example", ""])
async def test_the_issuer_is_true_in_a_paste(plan: Plan, provider: DemoProvider, lie: str) -> None:
    """A pasted answer of another server's is refused, and the attempt is over."""
    provider.iss_override = lie
    async with Bench.open(replace(plan, public=False)) as bench, stopping(bench.plan) as person:
        said = await bench.say(await answered(bench, person))

        assert "did not come from the server I sent you to" in " ".join(said)
        assert [] == exchanges(provider)
        assert [("refused", "issuer")] == await ends(bench)


@pytest.mark.attack("A12", sabotage=lambda patch: patch.setattr(oauth, "check_issuer", lambda *_: None))
async def test_a_server_that_promises_nothing_may_not_name_another(bench: Bench, provider: DemoProvider) -> None:
    """Without a promise ``iss`` may be missing; if it is there, it is true."""
    provider.iss = False
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        forged = await ask(person, f"{url}&iss=https%3A%2F%2Fevil.example")
        url = await answered(bench, person)
        await arrive(person, url)

    assert 400 == forged.status
    assert [("refused", "issuer"), ("pending", "")] == await ends(bench)
    assert 1 == len(exchanges(provider))
