"""The demo's browser does what browsers do where the bot relies on it."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from omnibot.demo.browser import Browser

PAGE = """\
<title>Form</title>
<input name="stray" value="outside of any form"><button>Nowhere</button>
<p>Your code is <b>BCDF-GHJK</b></p>
<form method="post" action="/sent">
<input type="hidden" name="hidden" value="1"><input name="empty"><input value="no name">
<button name="answer" value="yes">Say  yes</button><button name="answer" value="no">No</button>
</form>
<form method="post"><button>Again</button></form>
"""


class Site:
    """A web site, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, dict[str, str]]] = []
        self.cookies: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append((request.method, request.path, request.headers["Sec-Fetch-Site"], form))
        self.cookies.append(dict(request.cookies))
        response = {
            "/page": web.Response(text=PAGE, content_type="text/html"),
            "/sent": web.Response(status=303, headers={"Location": "/refresh"}),
            "/refresh": web.Response(
                text="<meta http-equiv='Refresh' content='0; url=\"/end?a=1&amp;b=2\"'>", content_type="text/html"
            ),
            "/circle": web.Response(status=302, headers={"Location": "/circle"}),
            "/away": web.Response(text=f"<form action='{request.query.get('to', '')}'><button>Go</button></form>"),
        }.get(request.path, web.Response(text=f"<p>the end {request.query_string}</p>", content_type="text/html"))
        response.set_cookie("seen", request.path.strip("/"))
        return response


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def root(site: Site) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", site.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_a_form_is_sent_with_its_fields_and_its_button(site: Site, root: str) -> None:
    """Redirects and refreshes are followed, cookies kept, and every request tells where it comes from."""
    async with Browser() as browser:
        await browser.open(f"{root}/page")
        code = browser.code
        await browser.press("say yes", empty="filled")

        assert (f"{root}/end?a=1&b=2", 200, "the end a=1&b=2") == (browser.url, browser.status, browser.text)
    assert "BCDF-GHJK" == code
    assert [
        ("GET", "/page", "none", {}),
        ("POST", "/sent", "same-origin", {"hidden": "1", "empty": "filled", "answer": "yes"}),
        ("GET", "/refresh", "same-origin", {}),
        ("GET", "/end", "same-origin", {}),
    ] == site.asked
    assert [{}, {"seen": "page"}, {"seen": "sent"}, {"seen": "refresh"}] == site.cookies


async def test_a_form_without_an_address_goes_where_it_came_from(site: Site, root: str) -> None:
    """As the standard has it."""
    async with Browser() as browser:
        await browser.open(f"{root}/page")
        await browser.press("Again")

    assert ("POST", "/page", "same-origin", {}) == site.asked[-1]


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", "same-site"), ("localhost", "cross-site")])
async def test_another_origin_is_told_as_one(site: Site, root: str, host: str, told: str) -> None:
    """Another port is another origin of the same site, another host another site."""
    other = web.Application()
    other.router.add_route("*", "/{tail:.*}", site.answer)
    async with TestServer(other) as server, Browser() as browser:
        await browser.open(f"{root}/away?to=http://{host}:{server.port}/end")
        await browser.press("Go")

    assert ("POST", "/end", told, {}) == site.asked[-1]


async def test_it_stops_where_nobody_answers(site: Site, root: str) -> None:
    """The address stays in its bar, and is not fetched."""
    async with Browser(stop=f"{root}/refresh") as browser:
        await browser.open(f"{root}/page")
        await browser.press("Say yes")

        assert (f"{root}/refresh", 0, "", "") == (browser.url, browser.status, browser.text, browser.code)
    assert ["/page", "/sent"] == [path for _, path, _, _ in site.asked]


async def test_what_is_not_there_cannot_be_pressed(root: str) -> None:
    """The error shows what is; a button outside of any form is none."""
    async with Browser() as browser:
        await browser.open(f"{root}/page")
        for words in ("Missing", "Nowhere"):
            with pytest.raises(LookupError, match=f"no button says '{words}'; the page says: Form"):
                await browser.press(words)


async def test_circles_end(root: str) -> None:
    """A redirect to itself is followed a dozen times."""
    async with Browser() as browser:
        with pytest.raises(RuntimeError, match="in circles"):
            await browser.open(f"{root}/circle")


async def test_a_browser_that_was_never_opened_closes() -> None:
    """There is nothing to close."""
    await Browser().__aexit__(None, None, None)
