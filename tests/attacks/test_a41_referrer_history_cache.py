"""A41, what the browser leaves behind: referrer, history, cache.

A code, state or ticket in an address is told to the next site as referrer, stays in the history, and a
page may rest in a cache that others look into.

What must hold: every page forbids the referrer and the cache; the provider's answer is taken off
the address at once by a 303 to one with neither code nor state; pages load nothing from
elsewhere and link nowhere but, once, to the provider; cookies are out of reach for scripts.

What remains: the ticket's own address stays in the browser's history; it is spent with the
first attempt, and opens nothing without the attempt's cookie.
"""

from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from aiohttp.web import BaseRequest, Response

from attacks.helpers import SAME_ORIGIN, Page, address, answered, arrive, ask, fetch, stopping
from omnibot import web
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench
from omnibot.web import Listener

STRICT = {
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


LOADING = ("href", "src", "action", "data", "poster", "srcset", "background", "ping")
"""Attributes by which a page loads, links, or sends."""


class Addresses(HTMLParser):
    """Collects every address of a page: what it loads, links to, sends forms to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in LOADING:
                self.found.append(value or "")
            if name == "content" and "url=" in (value or ""):
                self.found.append((value or "").partition("url=")[2])


def without(*headers: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return the sabotage that leaves *headers* away."""
    kept = {name: value for name, value in web._HEADERS.items() if name not in headers}
    return lambda patch: patch.setattr(web, "_HEADERS", kept)


async def every_page(bench: Bench, browser: Browser) -> dict[str, Page]:
    """Return a page of each kind, as *browser* gets it on the way from the link to the code, and beside it."""
    callback = await answered(bench, browser)
    ticket = bench.link_for()
    taken = await ask(browser, callback)
    code = await ask(browser, address(bench.plan) + taken.headers["Location"])
    return {
        "ask": await fetch(ticket),
        "callback": taken,
        "code": code,
        "callback again": await ask(browser, callback),
        "spent ticket": await ask(browser, ticket),
        "unknown ticket": await fetch(f"{address(bench.plan)}/l/nothing"),
        "bad callback": await fetch(f"{address(bench.plan)}/callback/demo/default?code=1&state=2"),
        "nothing": await fetch(f"{address(bench.plan)}/nothing"),
        "index": await fetch(f"{address(bench.plan)}/"),
        "health": await fetch(f"{address(bench.plan)}/healthz"),
        "wrong host": await fetch(f"{address(bench.plan)}/", headers={"Host": "evil.example"}),
        "wrong method": await fetch(f"{address(bench.plan)}/", method="PUT"),
        "not a form": await fetch(ticket, method="POST", data="x"),
    }


@pytest.mark.attack("A41", sabotage=without("Referrer-Policy", "Cache-Control"))
async def test_every_answer_forbids_referrer_and_cache(bench: Bench) -> None:
    """Whatever is answered, to whomever, carries the same strict headers."""
    async with stopping(bench.plan) as browser:
        pages = await every_page(bench, browser)

    carried = {name: {key: page.headers.get(key) for key in STRICT} for name, page in pages.items()}

    assert dict.fromkeys(pages, STRICT) == carried


def in_place(patch: pytest.MonkeyPatch) -> None:
    """Show the code at the address that the provider sent the browser to."""
    callback = Listener._callback

    async def shown(self: Listener, request: BaseRequest, provider: str, instance: str) -> Response:
        answer = await callback(self, request, provider, instance)
        if answer.status != 303:
            return answer
        return await self._outcome(request, answer.headers["Location"].removeprefix("/f/"))

    patch.setattr(Listener, "_callback", shown)


@pytest.mark.attack("A41", sabotage=in_place)
async def test_the_address_that_stays_holds_nothing(bench: Bench) -> None:
    """The page with the code stands at an address without code, state or ticket; the way there is empty."""
    async with stopping(bench.plan) as browser:
        callback = await answered(bench, browser)
        taken = await ask(browser, callback)
        async with stopping(bench.plan) as other:
            await arrive(other, await answered(bench, other))

    assert 303 == taken.status
    assert "" == taken.text
    assert "" == urlsplit(other.url).query
    assert f"/f/{await flow_of(bench)}" == urlsplit(other.url).path


async def flow_of(bench: Bench) -> object:
    """Return the id of the latest flow."""
    rows = await bench.rows("SELECT id FROM flows ORDER BY created DESC LIMIT 1")
    return rows[0]["id"]


def showing_the_avatar(patch: pytest.MonkeyPatch) -> None:
    """Let the page show the picture that the service names."""
    html = web._html
    picture = '<img src="https://cdn.example/ada.png">'
    patch.setattr(web, "_html", lambda page, status=200: html(page.replace("</main>", picture + "</main>"), status))


@pytest.mark.attack("A41", sabotage=showing_the_avatar)
async def test_pages_load_nothing_and_lead_nowhere_else(bench: Bench, provider: DemoProvider) -> None:
    """Every address in a page is one of ours, but for the one that leads on to the provider."""
    async with stopping(bench.plan) as browser:
        pages = await every_page(bench, browser)
        await bench.say("!link demo")
        leave = await ask(browser, bench.link_for(), method="POST", **SAME_ORIGIN)
    found = {one for page in pages.values() for one in Addresses(page.text).found}

    assert set() == {one for one in found if urlsplit(one).netloc}
    assert {"/style.css", provider.origin} == {_place(one) for one in Addresses(leave.text).found}


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else url


@pytest.mark.attack("A41")
async def test_scripts_cannot_reach_the_cookies(bench: Bench) -> None:
    """The attempt's cookie is for this site alone, and not for scripts."""
    async with stopping(bench.plan) as browser:
        await bench.say("!link demo")
        page = await ask(browser, bench.link_for(), method="POST", **SAME_ORIGIN)
    cookie = page.headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Domain" not in cookie
