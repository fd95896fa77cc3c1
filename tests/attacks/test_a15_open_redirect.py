"""A15: open redirect.

Mallory adds to one of our addresses where to go next, hoping that a page of ours, which people trust,
sends them to a page of hers.

What must hold: there is no such parameter, by any name, at any address; what is added is not obeyed, not
shown, and changes nothing.

What remains: our page does lead to the provider's, at the address that the operator configured.
"""

import pytest
from aiohttp import web

from attacks.helpers import answered, ask, fetch, stopping
from omnibot.demo.browser import Browser
from omnibot.testing.bench import ADA, Bench
from omnibot.web import Listener

TARGETS = ("//evil.example", "https://evil.example/", "/%5cevil.example", "https:evil.example", "javascript:alert(1)")
NAMES = ("next", "url", "redirect", "redirect_uri", "return_to", "continue", "x")

callback = Listener._callback


async def obeying(self: Listener, request: web.BaseRequest, provider: str, instance: str) -> web.Response:
    """Go on to where the address says."""
    response = await callback(self, request, provider, instance)
    if response.status == 303 and "next" in request.rel_url.query:
        response.headers["Location"] = request.rel_url.query["next"]
    return response


def added(target: str) -> str:
    return "&".join(f"{name}={target}" for name in NAMES)


@pytest.mark.attack("A15", sabotage=lambda patch: patch.setattr(Listener, "_callback", obeying))
@pytest.mark.parametrize("target", TARGETS)
async def test_the_callback_goes_on_to_the_flow(bench: Bench, target: str) -> None:
    """Whatever is added to the answer, the only way on is the page with the code."""
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        page = await ask(person, f"{url}&{added(target)}")
        flow = (await bench.rows("SELECT id FROM flows"))[0]["id"]
        shown = await ask(person, f"{bench.core.options.public_url}/f/{flow}?{added(target)}")

    assert (303, f"/f/{flow}") == (page.status, page.headers["Location"])
    assert 200 == shown.status
    assert "evil" not in shown.text
    assert "javascript" not in shown.text


def showing_all(patch: pytest.MonkeyPatch) -> None:
    """Let the link's page carry on what was added to its address."""
    look = Listener._look

    async def looked(self: Listener, request: web.BaseRequest, ticket: str) -> web.Response:
        page = await look(self, request, ticket)
        page.text = str(page.text).replace(f"/l/{ticket}", f"/l/{ticket}?{request.rel_url.raw_query_string}")
        return page

    patch.setattr(Listener, "_look", looked)


@pytest.mark.attack("A15", sabotage=showing_all)
@pytest.mark.parametrize("target", TARGETS)
async def test_the_link_leads_to_the_provider(bench: Bench, target: str) -> None:
    """The page of the link is the same with and without, and Continue leads where it always does."""
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    plain = await fetch(link, headers={"Sec-Fetch-Site": "none"})
    poisoned = await fetch(f"{link}?{added(target)}", headers={"Sec-Fetch-Site": "none"})
    async with Browser(stop=bench.provider.origin) as person:
        await person.open(f"{link}?{added(target)}")
        await person.press("Continue")

    assert plain.text == poisoned.text
    assert person.url.startswith(f"{bench.provider.origin}/authorize?")
    assert "evil" not in person.url


def redirecting(patch: pytest.MonkeyPatch) -> None:
    """Send whoever asks for what is not there to where the address says."""
    handle = Listener._handle

    async def helpful(self: Listener, request: web.BaseRequest) -> web.StreamResponse:
        response = await handle(self, request)
        if response.status == 404:
            return web.Response(status=302, headers={"Location": request.rel_url.raw_path})
        return response

    patch.setattr(Listener, "_handle", helpful)


@pytest.mark.attack("A15", sabotage=redirecting)
@pytest.mark.parametrize(
    "path",
    [
        "/done?x=//evil.example",
        "/logout?next=//evil.example",
        "//evil.example/",
        "/..//evil.example",
        "/%2f%2fevil.example",
    ],
)
async def test_no_other_address_leads_anywhere(bench: Bench, path: str) -> None:
    """What is not one of ours is a plain 404."""
    page = await fetch(f"{bench.core.options.public_url}{path}")

    assert 404 == page.status
    assert "Location" not in page.headers
    assert "evil" not in page.text
