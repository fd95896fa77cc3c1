"""A conversation over a WebSocket is held once, within the limits of any request, and nothing is said about it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from http_peers import Listener, Speak
from omnibot.errors import AddressRefused, OmnibotError, Upstream
from omnibot.http import Http
from omnibot.wire import Answer, Request, origin_of

CANARY = "canary-48151623"
FRAMES = ('{"type":"auth","token":"canary-48151623"}', '{"type":"who"}')

type Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@pytest.fixture
async def client() -> AsyncIterator[Http]:
    one = Http()
    yield one
    await one.close()


@contextlib.asynccontextmanager
async def serving(talk: Talk, refuse: web.StreamResponse | None = None) -> AsyncIterator[str]:
    """Hold *talk* with whoever opens a WebSocket, at a loopback port; yield its origin.  Or *refuse* each instead."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if refuse is not None:
            return refuse
        socket = web.WebSocketResponse(timeout=0.2)
        await socket.prepare(request)
        await talk(socket)
        return socket

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ask(
    client: Http, origin: str, frames: tuple[str, ...] = FRAMES, *, seconds: float = 5.0, limit: int = 1000
) -> Answer:
    """Hold the conversation of *frames* at *origin*, as the operator would."""
    request = Request("GET", f"{origin}/socket?{CANARY}", {"Accept": "application/json"}, frames=frames)
    return await client.send(
        request, origins=frozenset({origin_of(origin)}), private=True, timeout=seconds, limit=limit
    )


async def refusal(client: Http, origin: str, **how: float) -> OmnibotError:
    """Return the error that the conversation meets."""
    with pytest.raises(OmnibotError) as caught:
        await ask(client, origin, seconds=how.get("seconds", 5.0))
    return caught.value


def held(error: BaseException) -> str:
    """Return everything that *error* would print, and what hangs on it."""
    return " ".join([str(error), repr(error), repr(error.__cause__), repr(error.__context__)])


async def echo(socket: web.WebSocketResponse) -> None:
    """Speak first, and once after each."""
    await socket.send_str("hello")
    async for message in socket:
        await socket.send_str(f"you said {message.data}")


async def test_the_last_answer_is_the_answer(client: Http) -> None:
    """The other side speaks first, then once after each frame, and nobody is left on the line."""
    heard = []

    async def note(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")
        async for message in socket:
            heard.append(message.data)
            await socket.ping()
            await socket.send_str(f"answer {len(heard)} é")
        heard.append(f"closed {socket.close_code}")

    async with serving(note) as origin:
        answer = await ask(client, origin)

    assert Answer(200, {}, "answer 2 é".encode()) == answer
    assert [*FRAMES, "closed 1000"] == heard


@pytest.mark.parametrize("code", [1000, 1008])
async def test_whom_a_service_does_not_want_it_sends_away(client: Http, code: int) -> None:
    """In words, and with a goodbye: the words are not handed on."""

    async def refuse(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")
        await socket.receive()
        await socket.send_str(f"not you, {CANARY}")
        await socket.close(code=code)

    async with serving(refuse) as origin:
        assert Answer(401) == await ask(client, origin)


async def test_a_service_that_is_going_away_is_in_trouble(client: Http) -> None:
    """That says nothing of the token."""

    async def leave(socket: web.WebSocketResponse) -> None:
        await socket.send_str("hello")
        await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    async with serving(leave) as origin:
        error = await refusal(client, origin)

    assert "127.0.0.1 broke off before its answer was complete." == str(error)
    assert isinstance(error, Upstream)


@pytest.mark.parametrize("status", [200, 301, 302, 307, 401, 404, 503])
async def test_a_handshake_that_is_refused_is_an_answer(client: Http, status: int) -> None:
    """A19: a redirect, too, which is not followed: not a frame goes elsewhere."""
    async with Listener() as elsewhere:
        location = {"Location": f"http://127.0.0.1:{elsewhere.port}/"}
        async with serving(echo, web.Response(status=status, headers=location)) as origin:
            answer = await ask(client, origin)

    assert Answer(status) == answer
    assert 0 == elsewhere.connections


async def test_only_an_instances_own_origins_are_spoken_to(client: Http) -> None:
    """A23: the frames have a token in them."""
    async with Listener() as listener:
        request = Request("GET", f"http://127.0.0.1:{listener.port}/", frames=FRAMES)
        with pytest.raises(AddressRefused):
            await client.send(request, origins=frozenset({"https://127.0.0.1"}), private=True)

    assert 0 == listener.connections


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_person_may_not_name_an_inner_address(client: Http, scheme: str) -> None:
    """A20: the guard is the same."""
    async with Listener() as listener:
        request = Request("GET", f"{scheme}://127.0.0.1:{listener.port}/", frames=FRAMES)
        with pytest.raises(AddressRefused):
            await client.send(request, origins=frozenset({origin_of(request.url)}), private=False)

    assert 0 == listener.connections


@pytest.mark.parametrize("first", [True, False])
async def test_one_clock_covers_the_whole_conversation(client: Http, first: bool) -> None:
    """Whoever says nothing is not waited for."""

    async def hush(socket: web.WebSocketResponse) -> None:
        if first:
            await socket.send_str("hello")
        async for _ in socket:
            pass

    async with serving(hush) as origin:
        error = await refusal(client, origin, seconds=0.1)

    assert "127.0.0.1 did not answer in time." == str(error)


@pytest.mark.parametrize("binary", [False, True])
async def test_a_long_answer_is_cut_off(client: Http, binary: bool) -> None:
    """Each has its limit; bytes that are no text are none at all."""

    async def talk(socket: web.WebSocketResponse) -> None:
        await (socket.send_bytes(b"x") if binary else socket.send_str("x" * 1001))
        await socket.receive()

    async with serving(talk) as origin:
        error = await refusal(client, origin)

    end = "broke off before its answer was complete." if binary else "sent a longer answer than I take."
    assert f"127.0.0.1 {end}" == str(error)


async def _hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Read the handshake and say nothing."""
    await reader.readuntil(b"\r\n\r\n")


async def _no_key(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the handshake without having read it, and repeat what was asked."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX: " + head.split()[1] + b"\r\n\r\n")


@pytest.mark.parametrize("speak", [_hang_up, _no_key])
async def test_a_broken_handshake_is_one_sentence_and_no_second_try(
    client: Http, speak: Speak, caplog: pytest.LogCaptureFixture
) -> None:
    """A40: and nothing of what was to be said is in it, or in the log."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with Listener(speak) as listener:
        error = await refusal(client, f"http://127.0.0.1:{listener.port}")

    assert "127.0.0.1 broke off before its answer was complete." == str(error)
    assert 1 == listener.connections
    assert CANARY not in held(error) + caplog.text


async def test_what_is_said_is_not_printed(client: Http, caplog: pytest.LogCaptureFixture) -> None:
    """A40: neither by the request, nor by the answer, nor in the log of a line that is cut."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)

    async def cut(socket: web.WebSocketResponse) -> None:
        await socket.send_str(CANARY)
        await socket.receive()
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.abort()

    async with serving(echo) as origin:
        answer = await ask(client, origin)
    async with serving(cut) as origin:
        error = await refusal(client, origin)

    assert "127.0.0.1 broke off before its answer was complete." == str(error)
    assert CANARY not in held(error) + caplog.text + repr(answer) + repr(Request("GET", "https://x", frames=FRAMES))
