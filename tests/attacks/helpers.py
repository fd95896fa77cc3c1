"""Steps that several attacks take, and what they look at afterwards."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from omnibot.demo.browser import Browser
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, PASTE_PORT, Bench, Plan

FORM = "application/x-www-form-urlencoded"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Content-Type": FORM}
"""What a browser sends with a form of our own page."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the listener, no redirect followed."""

    status: int
    headers: Mapping[str, str]
    text: str


def address(plan: Plan) -> str:
    """Return where a provider sends browsers back to: the listener, or nobody at all."""
    return f"http://127.0.0.1:{plan.port if plan.public else PASTE_PORT}"


def stopping(plan: Plan) -> Browser:
    """Return a browser that stops before the callback, its address in ``url``."""
    return Browser(stop=f"{address(plan)}/callback")


async def answered(bench: Bench, browser: Browser, speaker: Identity = ADA, login: str = "ada") -> str:
    """Let *speaker* ask for a link and a `stopping` *browser* authorise it; return the callback's address."""
    await bench.say("!link demo", speaker)
    if bench.plan.public:
        await bench.authorise(browser, bench.link_for(speaker), login)
    else:
        await bench.consent(await browser.open(bench.link_for(speaker)), login)
    return browser.url


async def arrive(browser: Browser, url: str) -> Browser:
    """Let *browser* go on to *url*, stopping no more."""
    browser._stop = ""
    return await browser.open(url)


async def ask(browser: Browser, url: str, *, method: str = "GET", **headers: str) -> Page:
    """Return the one answer to a request with *browser*'s cookies."""
    assert browser._session is not None, "a browser is used in `async with`"
    async with browser._session.request(method, url, headers=headers, allow_redirects=False) as answer:
        return Page(answer.status, answer.headers, await answer.text())


async def fetch(url: str, *, method: str = "GET", data: str = "", headers: Mapping[str, str] | None = None) -> Page:
    """Return the one answer to a request without any cookie."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        request = session.request(method, url, data=data or None, headers=headers, allow_redirects=False)
        async with request as answer:
            return Page(answer.status, answer.headers, await answer.text())


async def stored(bench: Bench) -> list[object]:
    """Return the status of every account in the database, oldest first."""
    return [row["status"] for row in await bench.rows("SELECT status FROM accounts ORDER BY created")]


async def ends(bench: Bench) -> list[tuple[object, object]]:
    """Return state and reason of every flow, oldest first."""
    rows = await bench.rows("SELECT state, reason FROM flows ORDER BY created")
    return [(row["state"], row["reason"]) for row in rows]


async def audited(bench: Bench, event: str) -> list[dict[str, object]]:
    """Return the details of every *event* in the audit, oldest first."""
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT detail FROM audit WHERE event = ? ORDER BY seq", event)
    return [json.loads(str(row["detail"])) for row in rows]
