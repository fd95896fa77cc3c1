"""The outward client sends each request once, within its limits, and says nothing about it."""

import asyncio
import contextlib
import gzip
import logging
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from http_peers import Listener, Speak, refusal
from omnibot import __version__
from omnibot.errors import Upstream
from omnibot.http import Http
from omnibot.wire import Answer, Request, origin_of

CANARY = "canary-48151623"

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def client() -> AsyncIterator[Http]:
    one = Http()
    yield one
    await one.close()


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve *handler* on every path of a loopback port; yield its origin."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ask(client: Http, request: Request, *, seconds: float = 5.0, limit: int = 1000) -> Answer:
    """Send *request*, whose own origin is allowed, as the operator would."""
    origins = frozenset({origin_of(request.url)})
    return await client.send(request, origins=origins, private=True, timeout=seconds, limit=limit)


def held(error: BaseException) -> str:
    """Return everything that *error* would print, and what hangs on it."""
    parts = [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    return " ".join(parts)


# ------------------------------------------------------------------ what is sent and what comes back


async def test_a_request_arrives_as_it_was_written(client: Http) -> None:
    """Method, path, query, headers and body go out unchanged; the bot says who it is."""
    seen = []

    async def note(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await request.read()))
        seen.append((request.headers["X-One"], request.headers["User-Agent"], b""))
        return web.Response(status=201, body=b"made", headers={"X-Two": "2"})

    async with serving(note) as origin:
        url = f"{origin}/a%2Fb/../c?q=%20+x&q=%C3%A9"
        answer = await ask(client, Request("POST", url, {"X-One": "1"}, b"body"))

    assert [("POST", "/a%2Fb/../c?q=%20+x&q=%C3%A9", b"body"), ("1", f"omnibot/{__version__}", b"")] == seen
    assert (201, b"made", "2") == (answer.status, answer.body, answer.headers["x-two"])


async def test_no_content_type_is_made_up(client: Http) -> None:
    """A body without a type is sent without one."""

    async def note(request: web.Request) -> web.Response:
        return web.Response(text=",".join(sorted(name.lower() for name in request.headers)))

    async with serving(note) as origin:
        answer = await ask(client, Request("POST", origin, {}, b"x"))

    assert b"accept,accept-encoding,connection,content-length,host,user-agent" == answer.body


async def test_repeated_headers_are_kept(client: Http) -> None:
    """Repeated headers are joined by commas, cookies by newlines, since a cookie may hold a comma."""

    async def twice(_: web.Request) -> web.Response:
        response = web.Response()
        for name, value in (("Link", "a"), ("Link", "b"), ("Set-Cookie", "c=1"), ("Set-Cookie", "d=2")):
            response.headers.add(name, value)
        return response

    async with serving(twice) as origin:
        headers = (await ask(client, Request("GET", origin))).headers

    assert ("a, b", "c=1\nd=2") == (headers["link"], headers["set-cookie"])


async def test_no_cookie_is_kept(client: Http) -> None:
    """What one person's request was given is not sent with the next one."""

    async def bake(request: web.Request) -> web.Response:
        response = web.Response(text=request.headers.get("Cookie", "none"))
        response.set_cookie("session", CANARY)
        return response

    async with serving(bake) as origin:
        await ask(client, Request("GET", origin))
        answer = await ask(client, Request("GET", origin))

    assert b"none" == answer.body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(client: Http, status: int) -> None:
    """A19: nothing follows a redirect, whatever its kind."""
    visits = []

    async def redirect(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with serving(redirect) as origin:
        answer = await ask(client, Request("POST", f"{origin}/token", {}, b"secret"))

    assert (status, "/elsewhere") == (answer.status, answer.headers["location"])
    assert ["/token"] == visits


async def test_proxies_of_the_environment_are_ignored(client: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the environment does not put somebody between us and the service."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async with serving(_hello) as origin:
        answer = await ask(client, Request("GET", origin))

    assert b"hello" == answer.body


async def test_a_closed_client_opens_again(client: Http) -> None:
    """Closing ends what is open; the next request starts afresh."""
    async with serving(_hello) as origin:
        await ask(client, Request("GET", origin))
        await client.close()
        answer = await ask(client, Request("GET", origin))

    assert b"hello" == answer.body


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


# ----------------------------------------------------------------------------------------- limits


async def test_the_limit_is_the_last_byte_that_passes(client: Http) -> None:
    """As many bytes as the limit are taken, one more is not."""

    async def sized(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * int(request.query["n"]))

    async with serving(sized) as origin:
        answer = await ask(client, Request("GET", f"{origin}?n=1000"))
        with pytest.raises(Upstream, match=r"^127.0.0.1 sent a longer answer than I take.$"):
            await ask(client, Request("GET", f"{origin}?n=1001"))

    assert 1000 == len(answer.body)


async def test_an_endless_answer_is_cut_off(client: Http) -> None:
    """The limit holds while the body streams, without a Content-Length to warn of it."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 1000)
        return response

    async with serving(endless) as origin:
        with pytest.raises(Upstream, match="longer"):
            await ask(client, Request("GET", origin), limit=100_000)


async def test_a_compressed_bomb_is_cut_off(client: Http) -> None:
    """Compressed answers are unpacked piece by piece, and the limit counts what comes out."""
    bomb = gzip.compress(b"\0" * 100_000_000)

    async def explode(_: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with serving(explode) as origin:
        tracemalloc.start()
        with pytest.raises(Upstream, match="longer"):
            await ask(client, Request("GET", origin), limit=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < 10_000_000


async def test_a_compressed_answer_is_unpacked(client: Http) -> None:
    """Within the limit, compression is not noticed."""

    async def squeeze(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"hello"), headers={"Content-Encoding": "gzip"})

    async with serving(squeeze) as origin:
        answer = await ask(client, Request("GET", origin))

    assert b"hello" == answer.body


async def test_one_clock_covers_the_whole_exchange(client: Http) -> None:
    """A body that trickles in is cut off like a server that says nothing."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                await response.write(b"x")
                await asyncio.sleep(0.02)
        return response

    async with serving(trickle) as origin:
        with pytest.raises(Upstream, match=r"^127.0.0.1 did not answer in time.$"):
            await ask(client, Request("GET", origin), seconds=0.1)


# --------------------------------------------------------------------------------------- failures


async def _hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read the request's head and say nothing."""
    await reader.readuntil(b"\r\n\r\n")


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Promise ten bytes and send five."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")


async def _rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer in another protocol."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(f"220 mail.example {CANARY} ESMTP\r\n".encode())


@pytest.mark.parametrize("speak", [_hang_up, _half, _rubbish])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_broken_answer_is_one_sentence_and_no_second_try(client: Http, method: str, speak: Speak) -> None:
    """Nothing is sent twice, though HTTP calls some methods idempotent."""
    async with Listener(speak) as listener:
        error = await refusal(client, Request(method, f"http://127.0.0.1:{listener.port}/"), private=True)

    assert "127.0.0.1 broke off before its answer was complete." == str(error)
    assert 1 == listener.connections


async def test_a_closed_port_is_one_sentence(client: Http) -> None:
    """Where nobody listens, that is said."""
    error = await refusal(client, Request("GET", "http://127.0.0.1:1/"), private=True)

    assert "I could not reach 127.0.0.1." == str(error)


async def test_a_lost_connection_hides_what_was_sent(client: Http, caplog: pytest.LogCaptureFixture) -> None:
    """A40: neither the error, nor what hangs on it, nor the log holds path, query, headers or body."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    headers = {"Authorization": f"Bearer {CANARY}"}
    errors = []
    for speak in (_hang_up, _half, _rubbish):
        async with Listener(speak) as listener:
            url = f"http://127.0.0.1:{listener.port}/{CANARY}?token={CANARY}"
            errors.append(await refusal(client, Request("POST", url, headers, CANARY.encode()), private=True))
    errors.append(await refusal(client, Request("GET", f"http://127.0.0.1:1/{CANARY}", headers), private=True))
    errors.append(await refusal(client, Request("GET", f"http://127.0.0.1:1/{CANARY}", headers)))

    assert CANARY not in " ".join(map(held, errors)) + caplog.text


async def test_a_header_with_a_line_break_is_not_sent(client: Http) -> None:
    """A token with a line break in it cannot write a second header, and is not told."""
    async with Listener() as listener:
        request = Request("GET", f"http://127.0.0.1:{listener.port}/", {"Authorization": f"{CANARY}\r\nX: y"})
        error = await refusal(client, request, private=True)

    assert "That request to 127.0.0.1 could not be written down." == str(error)
    assert CANARY not in held(error)


async def test_cancelling_passes_through(client: Http) -> None:
    """Whoever cancels the sender is not told about a timeout."""

    async def sleep(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    async with serving(sleep) as origin:
        task = asyncio.create_task(ask(client, Request("GET", origin)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
