"""The reverse proxies of ``deploy/``, as they stand there: a link goes through, and nothing of it stays behind."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.ports import free_port
from omnibot.testing import ADA, Bench, Plan
from servers.proxies import NAME, Proxy, caddy, nginx

VISITOR = "127.0.0.2"
"""Where browsers are, seen from the proxy; the proxy itself is at 127.0.0.1."""

type Begin = Callable[[Path, int], AbstractContextManager[Proxy]]


class Names(AbstractResolver):
    """Knows the bot's name, and that it is served at the proxy's port."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        assert host == NAME
        return [{"hostname": host, "host": "127.0.0.1", "port": self.port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing is held."""


def session(proxy: Proxy) -> aiohttp.ClientSession:
    """Return an HTTP client that goes to *proxy* for the bot's name, and believes its authority only."""
    connector = aiohttp.TCPConnector(
        resolver=Names(proxy.port),
        ssl=ssl.create_default_context(cafile=str(proxy.authority)),
        local_addr=(VISITOR, 0),
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True), trust_env=False)


class Visitor(Browser):
    """A browser that reaches the bot through *proxy*."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self.proxy = proxy
        self.cookies = list[str]()

    async def __aenter__(self) -> Self:
        self._session = session(self.proxy)
        return self

    async def __aexit__(self, *ended: object) -> None:
        assert self._session is not None
        self.cookies = [f"{one.key} {one['secure']}" for one in self._session.cookie_jar]
        await super().__aexit__(None, None, None)


@pytest.fixture(params=[caddy, nginx], ids=["caddy", "nginx"])
def begin(request: pytest.FixtureRequest) -> Begin:
    made: Begin = request.param
    return made


@pytest.fixture
def port() -> int:
    """Where the bot listens."""
    return free_port()


@pytest.fixture
def proxy(begin: Begin, port: int, tmp_path: Path) -> Iterator[Proxy]:
    home = tmp_path / "proxy"
    home.mkdir()
    with begin(home, port) as one:
        yield one


@asynccontextmanager
async def bot(folder: Path, port: int) -> AsyncIterator[Bench]:
    """A bot that browsers reach as ``https://bot.example.org``."""
    async with DemoProvider() as service:
        plan = Plan(folder, provider=service, port=port, address=f"https://{NAME}")
        async with Bench.open(plan) as one:
            yield one


async def test_a_link_goes_through_and_nothing_of_it_stays_behind(
    proxy: Proxy, port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The whole way over https, to the account; also where the bot is down and the proxy has to say so.

    The bot takes the browser's address from the proxy, and not from the browser.
    """
    caplog.set_level(logging.INFO)
    async with bot(tmp_path, port) as bench:
        await bench.say("!link demo")
        link = bench.link_for(ADA)
        async with Visitor(proxy) as browser:
            await bench.authorise(browser, link)
            code, page = browser.code, browser.url
            assert "Linked" in (await bench.say(f"!confirm {code}"))[0]
        async with session(proxy) as client:
            forged = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
            async with client.get(f"https://{NAME}/", headers=forged) as answer:
                assert 200 == answer.status
                assert "max-age" in answer.headers["Strict-Transport-Security"]

    down = f"https://{NAME}/callback/demo/default?code=c0de-canary&state=st4te-canary"
    async with session(proxy) as client:
        for url, host in ((down, NAME), (link, NAME), (link, NAME.upper())):
            async with client.get(url, headers={"Referer": link, "Host": host}) as answer:
                assert 502 == answer.status

    assert all(one.startswith("__Host-ob-") and one.endswith(" True") for one in browser.cookies)
    assert browser.cookies
    assert f" from {VISITOR}" in caplog.text
    assert "203.0.113.9" not in caplog.text
    await _until(lambda: proxy.written().count("502") >= 2)
    written = proxy.written()
    secrets = [link.rsplit("/", 1)[-1], page.rsplit("/", 1)[-1], code, "c0de-canary", "st4te-canary", "__Host-"]
    assert [] == [one for one in secrets if one in written]
    assert [] == [one for one in ("/callback/", "/l/", "/f/") if one not in written]


async def test_what_is_not_for_everybody_stays_inside(proxy: Proxy, port: int, tmp_path: Path) -> None:
    """The state of the bot is for its machine alone; who sends much is turned away; a strange name gets nothing."""
    inside = (
        "/healthz",
        "/readyz",
        "/readyz/test",
        "/metrics",
        "/%68ealthz",
        "/%72eadyz",
        "//healthz",
        "/x/../healthz",
    )
    async with bot(tmp_path, port), session(proxy) as client:
        statuses = dict[str, int]()
        for path in inside:
            async with client.get(URL(f"https://{NAME}{path}", encoded=True)) as answer:
                statuses[path] = answer.status
        async with client.post(f"https://{NAME}/l/much", data={"key": "x" * 200_000}) as answer:
            much = answer.status
        async with client.get(f"https://{NAME}/", headers={"Host": "other.example.org"}) as answer:
            strange, page = answer.status, await answer.text()

    assert dict.fromkeys(inside, 404) == statuses
    assert 413 == much
    assert (strange, "omnibot" in page) in {(421, True), (200, False)}


async def _until(holds: Callable[[], bool]) -> None:
    """Return when *holds* does: logs are written a moment after the answer."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
