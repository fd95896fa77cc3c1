"""What `omnibot check` says of the bot as it looks from outside: through what stands in front of it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from doctoring import add, become, lines
from omnibot import app
from omnibot.config import load
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import outside
from servers.irc.certificates import Authority

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def front(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Something that stands before the bot; yields its address, by a name that resolves to this machine."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server(ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{server.port}"
    finally:
        await server.close()


def forward(port: int, host: str | None = None) -> Handler:
    """A proxy to *port*; it hands the Host header on, or says *host* instead."""

    async def handle(request: web.Request) -> web.StreamResponse:
        said = {"Host": host or request.headers["Host"]}
        try:
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}{request.rel_url}", headers=said) as answer:
                return web.Response(status=answer.status, body=await answer.read())
        except aiohttp.ClientError:
            return web.Response(status=502)

    return handle


def public(path: Path, public_url: str, port: int) -> None:
    become(path, f"listen: 127.0.0.1:{port}\npublic_url: {public_url}\nskills: [ping]\n")


async def seen(path: Path, handler: Handler, port: int, tls: ssl.SSLContext | None = None) -> list[str]:
    """What is said of the listener and the public address, where *handler* is what stands before the bot."""
    async with front(handler, tls) as url:
        public(path, url, port)
        return [line.replace(url, "URL") for line in await lines(path) if url in line or "listen" in line]


async def test_through_a_proxy_to_the_bot_that_is_to_come(path: Path, unused_tcp_port: int) -> None:
    """While it does not run, something listens in its place for a moment."""
    said = await seen(path, forward(unused_tcp_port), unused_tcp_port)

    assert [f"ok    The listener can have 127.0.0.1:{unused_tcp_port}.", "ok    URL comes to this bot."] == said


SILENT = """\
import asyncio

from pydantic import BaseModel

from omnibot.adapter import Capabilities, Limits


class Settings(BaseModel):
    pass


class Adapter:
    capabilities = Capabilities()
    limits = Limits(400)

    def __init__(self, tools, settings):
        pass

    async def run(self, deliver, ready):
        await asyncio.Event().wait()
"""


@asynccontextmanager
async def running(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The bot of the configuration at *path*, on a network where nothing is said, until it is no longer needed."""
    name = f"silent_{path.parent.name}"
    (path.parent / name).mkdir(exist_ok=True)
    become(path.parent / name / "adapter.py", SILENT)
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(app, "harden", lambda: None)  # the limits of this process stay as they are
    add(path, f"networks:\n  lobby: {{adapter: {name}.adapter}}\n")
    settings = load(path, {})
    task = asyncio.create_task(app.App.run(app.find_parts(settings)))
    try:
        async with asyncio.timeout(20):
            while not task.done() and not await _listens(settings.listen[1]):  # noqa: ASYNC110 - it is another's port
                await asyncio.sleep(0.02)
        assert not task.done(), task
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_through_a_proxy_to_the_bot_that_runs(
    path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this very process, and no other bot, that has to answer."""
    async with front(forward(unused_tcp_port)) as url:
        public(path, url, unused_tcp_port)
        async with running(path, monkeypatch):
            said = await lines(path)
            calls = count()
            monkeypatch.setattr("omnibot.probe.Probe.proof", lambda *_: f"{next(calls)}")
            another = await lines(path)

    assert f"ok    {url} comes to this bot." in said
    assert not [line for line in said if line.startswith("WRONG") or "listen" in line]
    assert [True] == [f"{url} is answered by something else (200)." in line for line in another if "WRONG" in line]


async def test_a_running_bot_is_not_reached_without_its_name(
    path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that says another Host would be refused at every link, though the bot's health is shown to it."""
    async with front(forward(unused_tcp_port, host=f"127.0.0.1:{unused_tcp_port}")) as url:
        public(path, url, unused_tcp_port)
        async with running(path, monkeypatch):
            said = [line for line in await lines(path) if line.startswith("WRONG")]

    assert [True] == ["the proxy changes the Host header" in line for line in said]


async def test_what_is_wrong_before_the_bot(path: Path, unused_tcp_port: int) -> None:
    """Each with its own cure."""
    kept: dict[str, bytes] = {}

    async def keeps(request: web.Request) -> web.StreamResponse:
        if request.path not in kept:
            answer = await forward(unused_tcp_port)(request)
            assert isinstance(answer, web.Response)
            assert isinstance(answer.body, bytes)
            kept[request.path] = answer.body
        return web.Response(body=kept[request.path])

    async def moved(request: web.Request) -> web.StreamResponse:
        return web.Response(status=301, headers={"Location": f"http://www.example.org{request.path}"})

    async def page(request: web.Request) -> web.StreamResponse:
        return web.Response(text="Welcome to nginx!")

    async def breaks(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    told = {
        forward(unused_tcp_port, host="127.0.0.1:8080"): "the proxy changes the Host header. The bot answers to no",
        forward(1): "URL answers 502: what stands before the bot does not reach it.",
        keeps: "URL is answered from a cache. Pages of a link would be kept",
        moved: "URL redirects to http://www.example.org. Links, cookies",
        page: "URL is answered by something else (200). Whoever opens",
        breaks: "URL does not speak HTTP as it should.",
    }
    for handler, says in told.items():
        wrong = [line for line in await seen(path, handler, unused_tcp_port) if line.startswith("WRONG")]
        assert 1 == len(wrong)
        assert says in wrong[0]


async def test_an_address_where_nothing_is(path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """A machine that cannot reach itself from within may be to blame, and that is said."""
    port, other = unused_tcp_port_factory(), unused_tcp_port_factory()
    public(path, f"http://127.0.0.1:{other}", port)
    (line,) = [line for line in await lines(path) if line.startswith("WRONG")]
    public(path, "https://bot.invalid", port)
    (unknown,) = [line for line in await lines(path) if line.startswith("WRONG")]

    assert f"http://127.0.0.1:{other} cannot be connected to." in line
    assert "some routers do not let it" in line
    assert "The name bot.invalid of public_url is not known in the DNS." in unknown


async def test_offline_nothing_is_fetched(path: Path, unused_tcp_port: int) -> None:
    """Only the port is looked at."""

    async def fails(request: web.Request) -> web.StreamResponse:
        pytest.fail("it was asked")

    async with front(fails) as url:
        public(path, url, unused_tcp_port)
        said = await lines(path, offline=True)

    assert f"ok    The listener can have 127.0.0.1:{unused_tcp_port}." in said
    assert not [line for line in said if url in line]


async def test_what_listens_in_its_place_says_nothing_else(path: Path, unused_tcp_port: int) -> None:
    """Whoever opens a link in that moment is told that the bot does not run."""

    async def curious(request: web.Request) -> web.StreamResponse:
        async with aiohttp.request("GET", f"http://127.0.0.1:{unused_tcp_port}/l/ticket") as answer:
            said.append((answer.status, await answer.text()))
        return await forward(unused_tcp_port)(request)

    said: list[tuple[int, str]] = []
    await seen(path, curious, unused_tcp_port)

    assert {(503, "omnibot does not run yet.\n")} == set(said)
    assert not await _listens(unused_tcp_port)


# --------------------------------------------------------------------- the port


async def test_no_public_address_is_noted(path: Path) -> None:
    """With what that costs."""
    become(path, "skills: [ping]\nlisten: 127.0.0.1:0\n")

    assert [True] == [line.startswith("note") for line in await lines(path) if "There is no public_url." in line]


@pytest.mark.parametrize(("public_url", "level"), [("", "note "), ("public_url: http://127.0.0.1:1\n", "WRONG")])
async def test_a_port_in_use(path: Path, provider: DemoProvider, public_url: str, level: str) -> None:
    """The bot would not start, where it listens at all."""
    busy = provider.origin.removeprefix("http://")
    become(path, f"listen: {busy}\n{public_url}")
    (line,) = [line for line in await lines(path) if "listen:" in line]

    assert line.startswith(f'{level} listen: "{busy}" is in use by another program. ')


# ----------------------------------------------------------------- certificates


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a proxy shows: a certificate that ends in two days, of an authority that this process trusts."""
    authority = Authority(tmp_path)
    shown = authority.server("front", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.path, shown.key_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    return context


async def test_a_certificate_that_ends_is_wrong(path: Path, unused_tcp_port: int, tls: ssl.SSLContext) -> None:
    """Two days before; the bot is reached all the same."""
    said = await seen(path, forward(unused_tcp_port), unused_tcp_port, tls)

    assert "ok    URL comes to this bot." in said
    assert [True] == ["The certificate of URL ends in 2 days (" in line for line in said if line.startswith("WRONG")]


@pytest.mark.parametrize(("days", "level"), [(30, "good"), (10, "note"), (1, "wrong")])
async def test_when_a_certificate_should_have_been_renewed(tls: ssl.SSLContext, days: int, level: str) -> None:
    """Three weeks before its end it is noted."""

    async def nothing(request: web.Request) -> web.StreamResponse:
        return web.Response()

    async with front(nothing, tls) as url:
        (found,) = await outside.certificate(url, now=time.time() + (2 - days) * 86400)

    assert (level, f"ends in {days} days") == (found.level, found.what[found.what.index("ends") :].partition(" (")[0])


async def test_a_certificate_that_nobody_trusts_is_wrong(
    path: Path, unused_tcp_port: int, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In OpenSSL's own words; and so is a port without TLS."""
    monkeypatch.delenv("SSL_CERT_FILE")
    said = await seen(path, forward(unused_tcp_port), unused_tcp_port, tls)

    assert [True] == ["The certificate of URL is not to be trusted: " in line for line in said if "WRONG" in line]


async def test_a_port_without_tls_is_wrong(path: Path, unused_tcp_port: int) -> None:
    """Though public_url says https."""
    async with front(forward(unused_tcp_port)) as url:
        secure = url.replace("http:", "https:")
        public(path, secure, unused_tcp_port)
        said = [line for line in await lines(path) if "WRONG" in line]

    assert [True] == [f"{secure} does not speak TLS." in line for line in said]
