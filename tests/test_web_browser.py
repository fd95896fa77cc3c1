"""In a real browser the pages do what they are for, and other pages can do nothing with them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, expect

from omnibot.linking.flows import Attempt, FlowError
from omnibot.web import Listener
from test_web import ASKING, FLOW, LINKED, PENDING, TICKET, FakeLinking

NOW = ASKING.since + 130


@dataclass
class Elsewhere:
    """A web server that is not ours: pages by path, and what it was asked for."""

    pages: dict[str, web.Response] = field(default_factory=dict)
    asked: list[web.BaseRequest] = field(default_factory=list)
    port: int = 0

    @property
    def cross_site(self) -> str:
        """Its address, on another site than ours."""
        return f"http://localhost:{self.port}"

    @property
    def same_site(self) -> str:
        """Its address, on our site but of another origin: another port."""
        return f"http://127.0.0.1:{self.port}"

    def shows(self, path: str, body: str) -> None:
        self.pages[path] = web.Response(text=f"<!doctype html>{body}", content_type="text/html")

    def sends(self, path: str, url: str) -> None:
        self.pages[path] = web.Response(status=302, headers={"Location": url})

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request)
        page = self.pages.get(request.path)
        if page is None:
            return web.Response(status=404)
        return web.Response(status=page.status, body=page.body, headers=page.headers)


@dataclass
class Stage:
    """Us and somebody else, and a browser between."""

    linking: FakeLinking
    elsewhere: Elsewhere
    chromium: Browser
    url: str

    @asynccontextmanager
    async def visiting(self, **options: object) -> AsyncIterator[tuple[BrowserContext, Page]]:
        """A browser with no cookies; what it complains of fails the test."""
        context = await self.chromium.new_context(**options)  # type: ignore[arg-type]
        try:
            yield context, await context.new_page()
        finally:
            await context.close()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    other = Elsewhere()
    runner = web.ServerRunner(web.Server(other.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    other.port = site.port
    yield other
    await runner.cleanup()


@pytest.fixture
async def stage(elsewhere: Elsewhere, chromium: Browser, unused_tcp_port: int) -> AsyncIterator[Stage]:
    """The listener as on a developer's machine, with a provider on another site that lets everybody in."""
    linking, url = FakeLinking(), f"http://127.0.0.1:{unused_tcp_port}"
    linking.attempt = replace(linking.attempt, url=f"{elsewhere.cross_site}/authorize?state=s&x=1")
    listener = Listener(linking, public_url=url, host="127.0.0.1", port=unused_tcp_port, clock=lambda: NOW)
    await listener.start()
    elsewhere.sends("/authorize", f"{elsewhere.cross_site}/sign-on")
    elsewhere.shows("/sign-on", f"<a href='{url}/callback/github/default?code=c&state=s'>Allow</a>")
    yield Stage(linking, elsewhere, chromium, url)
    await listener.stop()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_continue_reaches_the_provider_and_comes_back(stage: Stage, scripts: bool) -> None:
    """Through our form-action, over the provider's own redirects, and back with the attempt's cookie."""
    async with stage.visiting(java_script_enabled=scripts) as (_, page):
        await page.goto(f"{stage.url}/l/{TICKET}")
        await page.get_by_role("button", name="Continue").click()
        await page.wait_for_url("**/sign-on")
        await page.get_by_text("Allow").click()
        await page.wait_for_url("**/f/*")

        await expect(page.get_by_role("heading", level=1)).to_have_text("One step left")
        await expect(page.locator(".code")).to_have_text("KXQW-MNHZ")
        assert f"{stage.url}/f/{FLOW}" == page.url

    assert ["look", "authorise", "callback", "outcome"] == stage.linking.names
    assert {FLOW: stage.linking.attempt.cookie} == stage.linking.calls[2][-1]
    assert [None, None] == [request.headers.get("Referer") for request in stage.elsewhere.asked[:2]]
    assert "state=s&x=1" == stage.elsewhere.asked[0].query_string


async def test_the_link_is_there_where_refreshes_are_not(stage: Stage) -> None:
    """Whoever is left on our page, for whatever reason, goes on by the link."""
    stage.elsewhere.pages["/authorize"] = web.Response(status=204)  # browsers stay where they are
    async with stage.visiting() as (_, page):
        await page.goto(f"{stage.url}/l/{TICKET}")
        await page.get_by_role("button", name="Continue").click()
        link = page.get_by_role("link", name=f"Go to localhost:{stage.elsewhere.port}")
        await expect(link).to_be_visible()
        stage.elsewhere.shows("/authorize", "arrived")
        await link.click()

        await expect(page.get_by_text("arrived")).to_be_visible()


async def test_refuse_and_disconnect_pass_our_own_policy(stage: Stage) -> None:
    """The other two forms of ours are sent as well."""
    async with stage.visiting() as (context, page):
        await page.goto(f"{stage.url}/l/{TICKET}")
        await page.get_by_role("button", name="Refuse").click()

        await expect(page.get_by_role("heading", level=1)).to_have_text("Refused")

        await context.add_cookies([{"name": f"ob-{FLOW}", "value": stage.linking.attempt.cookie, "url": stage.url}])
        await page.goto(f"{stage.url}/f/{FLOW}")
        await page.get_by_role("button", name="This was not me: disconnect").click()

        await expect(page.get_by_role("heading", level=1)).to_have_text("Disconnected")


@pytest.mark.parametrize("site", ["cross_site", "same_site"])
async def test_nobody_may_frame_us(stage: Stage, site: str) -> None:
    """A page with ours in a frame shows an empty frame: there is no button to lay bait over (A18)."""
    stage.elsewhere.shows("/bait", f"<iframe src='{stage.url}/l/{TICKET}'></iframe>")
    async with stage.visiting() as (_, page):
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(f"{getattr(stage.elsewhere, site)}/bait")
        framed = [frame for frame in page.frames if frame != page.main_frame]

        assert 1 == len(framed)
        assert 0 == await framed[0].get_by_role("button").count()
        assert "chrome-error" in framed[0].url
        assert any("frame-ancestors" in text or "X-Frame-Options" in text for text in complaints)


@pytest.mark.parametrize("site", ["cross_site", "same_site"])
@pytest.mark.parametrize("path", [f"/l/{TICKET}", f"/l/{TICKET}/refuse", f"/f/{FLOW}/disconnect"])
async def test_nobody_else_may_press_our_buttons(stage: Stage, site: str, path: str) -> None:
    """A form on somebody else's page is refused, though it brings all cookies that it can (A18)."""
    stage.elsewhere.shows("/bait", f"<form method=post action='{stage.url}{path}'><button>Win</button></form>")
    async with stage.visiting() as (context, page):
        await context.add_cookies([{"name": f"ob-{FLOW}", "value": stage.linking.attempt.cookie, "url": stage.url}])
        await page.goto(f"{getattr(stage.elsewhere, site)}/bait")
        async with page.expect_response(f"{stage.url}{path}") as answer:
            await page.get_by_role("button", name="Win").click()

        assert 403 == (await answer.value).status
        await expect(page.get_by_role("heading", level=1)).to_have_text("Not sent from the bot's own page")

    assert [] == stage.linking.names


async def test_nobody_else_may_read_us(stage: Stage) -> None:
    """A script elsewhere gets no answer of ours to read, nor a window of ours to hold."""
    stage.elsewhere.shows("/bait", "")
    async with stage.visiting() as (_, page):
        await page.goto(f"{stage.elsewhere.cross_site}/bait")
        read = await page.evaluate(f"fetch('{stage.url}/l/{TICKET}').then(() => 'read', () => 'refused')")
        await page.evaluate(f"window.held = open('{stage.url}/l/{TICKET}')")
        await page.wait_for_function("window.held.closed")

    assert "refused" == read


async def test_continue_and_refuse_are_equally_prominent(stage: Stage) -> None:
    """Same size, same height on the page, same colours: measured (RFC 10027 section 6.1.14)."""
    look = """button => { const style = getComputedStyle(button), box = button.getBoundingClientRect();
        return [style.color, style.backgroundColor, style.fontSize, style.fontWeight, style.borderColor,
                box.width, box.height, box.top]; }"""
    async with stage.visiting(viewport={"width": 390, "height": 844}) as (_, page):
        await page.goto(f"{stage.url}/l/{TICKET}")
        go_on, refuse = [await page.get_by_role("button", name=name).evaluate(look) for name in ("Continue", "Refuse")]

    assert go_on == refuse
    assert go_on[6] >= 44  # CSS pixels: what a thumb hits


async def test_every_page_fits_a_narrow_phone_and_the_dark(stage: Stage) -> None:
    """Nothing is wider than 320 pixels, however long its words; and the dark is dark."""
    long = "@" + "a" * 200 + ":example.org"
    asking = replace(ASKING, subject=long, display="W" * 300, where="#" + "o" * 300, command="c" * 300, host="h" * 200)
    stage.linking.asking = asking
    cookie = stage.linking.attempt.cookie
    outcomes = [PENDING, LINKED, replace(PENDING, state="held"), replace(PENDING, state="expired")]
    async with stage.visiting(viewport={"width": 320, "height": 640}, color_scheme="dark") as (context, page):
        await context.add_cookies([{"name": f"ob-{FLOW}", "value": cookie, "url": stage.url}])
        seen = [await measured(page, f"{stage.url}/l/{TICKET}")]
        for outcome in outcomes:
            stage.linking.outcomes[FLOW, cookie] = replace(
                outcome, asking=asking, login="l" * 200, missing=("m" * 200,)
            )
            seen.append(await measured(page, f"{stage.url}/f/{FLOW}"))
        stage.linking.error = FlowError("other_browser")
        seen.append(await measured(page, f"{stage.url}/l/{TICKET}"))

    assert [(0, "rgb(20, 23, 27)")] * 6 == seen


async def measured(page: Page, url: str) -> tuple[int, str]:
    """By how much the page is wider than its window, and its ground's colour."""
    await page.goto(url)
    wider, ground = await page.evaluate(
        """[document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth,
            getComputedStyle(document.body).backgroundColor]"""
    )
    return wider, ground


async def test_the_keyboard_is_enough(stage: Stage) -> None:
    """Tab finds both buttons, shows where it is, and Enter presses."""
    async with stage.visiting() as (_, page):
        await page.goto(f"{stage.url}/l/{TICKET}")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Tab")
        focused = await page.evaluate(
            "[document.activeElement.innerText, getComputedStyle(document.activeElement).outlineWidth]"
        )
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("heading", level=1)).to_have_text("Refused")

    assert ["Refuse", "3px"] == focused


async def test_a_strange_address_is_followed_as_it_is(stage: Stage) -> None:
    """Quotes, semicolons and ampersands in the provider's address reach the provider unchanged."""
    query = "a='x';url=http://evil.example&b=%22%3E%3Cscript%3E&amp;c=1"
    stage.linking.attempt = Attempt(FLOW, stage.linking.attempt.cookie, f"{stage.elsewhere.cross_site}/end?{query}")
    stage.elsewhere.shows("/end", "arrived")
    async with stage.visiting() as (_, page):
        await page.goto(f"{stage.url}/l/{TICKET}")
        await page.get_by_role("button", name="Continue").click()
        await page.wait_for_url(lambda url: urlsplit(url).path == "/end")
        arrived = urlsplit(page.url)

    assert (f"localhost:{stage.elsewhere.port}", "/end") == (arrived.netloc, arrived.path)
    assert query.replace("'", "%27") == arrived.query.replace("'", "%27")
