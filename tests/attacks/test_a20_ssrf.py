"""A20, requests to where only the bot can go.

A person names the server of their account, and the bot asks it whose the key is: from where the bot
stands, which may be beside a router's page, a cloud's metadata or a database. Mallory names such an
address: as it is, in one of its disguises, by a name that leads there, by a redirect. What she is told
would also map the network for her.

What must hold: what a person names is a host by name and nothing else; on the socket that is connected to,
the address is a public one; https and the web's ports only; no redirect is followed; answers end in size
and time. Whatever the reason, the words are the same.

What remains: that a public host answers, or does not, can be learnt; and how long DNS took.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import connector
from yarl import URL

from attacks.helpers import ends
from http_peers import FakeResolver, Listener, Speak, authority, refusal
from named_hosts import NO_HOST, Anywhere, planned
from omnibot import http
from omnibot.errors import AddressRefused, OmnibotError, Upstream
from omnibot.hosts import Hosts
from omnibot.http import Http
from omnibot.testing.bench import Bench
from omnibot.wire import Request

REFUSED = "That address is not one I may call."
HOST = "redmine.example.org"

INNER = (
    *("127.0.0.1", "127.0.0.53", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1"),  # noqa: S104 - where to, not on
    *("100.64.0.1", "169.254.169.254", "100.100.100.200", "224.0.0.1", "255.255.255.255"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1", "fd00:ec2::254"),
    *("fc00::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:7f00:1::"),
)


# ------------------------------------------------------------------------------ what a person may name


SPELLINGS = (
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0.0.0.0", "0"),  # noqa: S104
    *("10.0.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166", "\uff11\uff12\uff17.\uff10.\uff10.\uff11"),
    *("127\u30020\u30020\u30021", "\u2460\u2461\u2466.0.0.1", "::1", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]"),
    *("localhost", "localhost.", "metadata", "user@redmine.example.org", "redmine.example.org@127.0.0.1"),
    *("redmine.example.org:25", "redmine.example.org:443", "redmine.example.org/../127.0.0.1", "a.b#@127.0.0.1"),
    *("file:///etc/passwd", "http://169.254.169.254/latest", "https://127.0.0.1", "a.b\\@127.0.0.1", "a.b%2f127.0.0.1"),
)


def whatever_has_a_letter(patch: pytest.MonkeyPatch) -> None:
    """Take any word for a host."""
    patch.setattr("omnibot.catalogue.ascii_host", lambda said: said)


@pytest.mark.attack("A20", sabotage=whatever_has_a_letter)
@pytest.mark.parametrize("name", SPELLINGS)
async def test_no_address_passes_for_a_host(tmp_path: Path, name: str) -> None:
    """Not even where every host is welcome: no link, no request, and one sentence for all of them."""
    service = Anywhere()
    async with Bench.open(planned(tmp_path, service, {"*": "any"})) as bench:
        said = await bench.say(f"!link redmine@{name} key-of-mallory")

        assert [] == await ends(bench)
    assert [] == service.asked
    assert [NO_HOST] == said


# ----------------------------------------------------------------------------------- where names lead


class Leading(FakeResolver):
    """Answers every question with the same addresses, and may send all to one port."""

    def __init__(self, *addresses: str, port: int = 0) -> None:
        super().__init__()
        self.addresses = list(addresses)
        self.port = port
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        self.asked.append(host)
        self.answers = [self.addresses]
        return await super().resolve(host, self.port or port, family)


def unguarded(patch: pytest.MonkeyPatch) -> None:
    """Connect to whatever the resolver says; beyond this machine nothing is there."""

    def connect(info: tuple[Any, ...]) -> Any:
        if not info[4][0].startswith(("127.", "::1")):
            raise OSError("no route")
        return socket.socket(*info[:3])

    patch.setattr(http, "_guarded_socket", connect)


@pytest.mark.attack("A20", sabotage=unguarded)
@pytest.mark.parametrize("address", INNER)
async def test_no_name_leads_inside(tmp_path: Path, address: str) -> None:
    """Whoever owns a name may point it anywhere: the socket's own address decides, and one sentence tells of it."""
    client = Http(resolver=Leading(address))
    async with Bench.open(planned(tmp_path, client, {"*": "any"})) as bench:
        said = await bench.say(f"!link redmine@{HOST} key-of-mallory")
        by_itself = await refusal(client, Request("GET", f"https://{HOST}/"))

        assert [f"Redmine ({HOST}) did not answer" in said[0], (AddressRefused, REFUSED)] == [
            False,
            (type(by_itself), str(by_itself)),
        ]
        assert [] == await bench.rows("SELECT id FROM accounts")


@pytest.mark.attack("A20", sabotage=unguarded)
async def test_what_one_is_told_maps_no_network(tmp_path: Path) -> None:
    """An inner address where something listens, one where nothing does, and a name that is none: the same words."""
    said = []
    async with Listener() as listener:
        for addresses, port in ((["127.0.0.1"], listener.port), (["127.0.0.1"], 1), (["10.0.0.1"], 0), ([], 0)):
            client = Http(resolver=Leading(*addresses, port=port))
            said.append(str(await refusal(client, Request("GET", f"https://{HOST}/"))))
            await client.close()

        assert 0 == listener.connections
    assert [REFUSED] * 4 == said


def permissive(patch: pytest.MonkeyPatch) -> None:
    """Go wherever a request says."""
    patch.setattr(http, "_permitted", lambda request, *_: URL(request.url))


PORTS = (1, 22, 25, 80, 110, 465, 2375, 2999, 10000, 11211, 27017)


async def refused(url: str) -> tuple[type[OmnibotError], str, list[str]]:
    """Return the error that *url* meets, and the names that were looked up."""
    resolver = Leading("127.0.0.2")
    client = Http(resolver=resolver)
    error = await refusal(client, Request("GET", url))
    await client.close()
    return type(error), str(error), resolver.asked


@pytest.mark.attack("A20", sabotage=permissive)
@pytest.mark.parametrize(
    "place", ["http://{}/", "http://{}:443/", "https://user:pw@{}/", *(f"https://{{}}:{one}/" for one in PORTS)]
)
async def test_only_https_and_the_webs_ports(place: str) -> None:
    """Before a name is even looked up."""
    assert (AddressRefused, REFUSED, []) == await refused(place.format(HOST))


@pytest.mark.attack("A20")
@pytest.mark.parametrize("url", [f"ftp://{HOST}/", "file:///etc/passwd", f"gopher://{HOST}:3000/", "data:,x", "//x/"])
async def test_no_other_scheme(url: str) -> None:
    """In the same words; the library beneath would not know them either."""
    assert (AddressRefused, REFUSED, []) == await refused(url)


# ---------------------------------------------------------------------------- what a public host may do


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context that the bot's client trusts, for `HOST`; and 127.0.0.2 passes for public."""
    server, client = authority(HOST)
    monkeypatch.setattr(connector, "_SSL_CONTEXT_VERIFIED", client)
    monkeypatch.setattr(http, "is_public", lambda address: address == "127.0.0.2")
    return server


@asynccontextmanager
async def serving(context: ssl.SSLContext, speak: Speak) -> AsyncIterator[tuple[Http, Listener]]:
    """Lend a client for which `HOST` is a listener of Mallory's, public to all appearance."""
    async with Listener(speak, context) as listener:
        client = Http(resolver=Leading("127.0.0.2", port=listener.port))
        try:
            yield client, listener
        finally:
            await client.close()


def saying(answer: bytes) -> Speak:
    """Return a server's side that reads a request and says *answer*."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return speak


def following(patch: pytest.MonkeyPatch) -> None:
    """Follow redirects, as HTTP clients do by habit."""
    exchange = Http._exchange

    async def follow(self: Http, url: Any, request: Request, private: bool, limit: int) -> Any:
        answer = await exchange(self, url, request, private, limit)
        location = answer.headers.get("location", "")
        if not location.startswith("http"):
            return answer
        unguarded(patch)
        return await exchange(self, URL(location), request, True, limit)

    patch.setattr(Http, "_exchange", follow)


def places(port: int) -> Iterator[str]:
    """Yield where a redirect may lead."""
    yield from (f"https://{one}/" for one in ("169.254.169.254", "10.0.0.1", "[fe80::1]", "2130706433", "0x7f.1"))
    hosts = ("127.0.0.1", "[::1]", "0.0.0.0")  # noqa: S104 - where to, not on
    yield from (f"{scheme}://{one}:{port}/" for scheme in ("http", "https") for one in hosts)
    yield from ("file:///etc/passwd", f"https://user@127.0.0.1:{port}/", f"http://{HOST}:25/", "//127.0.0.1/", "/x")


@pytest.mark.attack("A20", sabotage=following)
async def test_no_redirect_leads_inside(trusted: ssl.SSLContext) -> None:
    """It is the answer, whatever place it names."""
    async with Listener() as inside:
        for place in places(inside.port):
            redirect = f"HTTP/1.1 307 Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
            async with serving(trusted, saying(redirect)) as (client, listener):
                told = await asked(client)

                assert (307, 1) == (told, listener.connections)
        assert 0 == inside.connections


async def asked(client: Http) -> int | str:
    """Return the status of what `HOST` answers, or the error."""
    try:
        origins = frozenset({f"https://{HOST}"})
        return (await client.send(Request("GET", f"https://{HOST}/"), origins=origins, private=False, timeout=5)).status
    except OmnibotError as error:
        return str(error)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say more than anybody takes."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 Fine\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65_536)
        await writer.drain()
        await asyncio.sleep(0)


async def dribbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say a little at a time, for as long as anybody listens."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 Fine\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.001)


async def read_on(response: Any, limit: int) -> bytes:
    """Read what comes, for as long as it does; here, ten megabytes at most."""
    body = b""
    while len(body) < 10_000_000 and (chunk := await response.content.readany()):
        body += chunk
    return body


@pytest.mark.attack("A20", sabotage=lambda patch: patch.setattr(http, "_read", read_on))
async def test_an_endless_answer_ends(trusted: ssl.SSLContext) -> None:
    """At a megabyte."""
    async with serving(trusted, endless) as (client, _):
        assert f"{HOST} sent a longer answer than I take." == await asked(client)


def patient(patch: pytest.MonkeyPatch) -> None:
    """Let a request take as long as it likes; here, until there have been a hundred pieces."""

    async def read(response: Any, limit: int) -> bytes:
        pieces = [await response.content.readany() for _ in range(100)]
        return b"".join(pieces)

    patch.setattr("omnibot.http.asyncio.timeout", lambda seconds: _nothing())
    patch.setattr(http, "_read", read)


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@pytest.mark.attack("A20", sabotage=patient)
async def test_a_dribbling_answer_ends(trusted: ssl.SSLContext) -> None:
    """One clock runs from the name to the last byte."""
    async with serving(trusted, dribbling) as (client, _):
        request, origins = Request("GET", f"https://{HOST}/"), frozenset({f"https://{HOST}"})
        said = ""
        try:
            await client.send(request, origins=origins, private=False, timeout=0.3)
        except Upstream as error:
            said = str(error)

    assert f"{HOST} did not answer in time." == said


def no_admin(patch: pytest.MonkeyPatch) -> None:
    """Ask nobody."""

    async def admit(self: Hosts, *_: object) -> None:
        self.status = lambda *_: "allowed"  # type: ignore[method-assign]
        self._instances.heed(self.status)

    patch.setattr(Hosts, "admit", admit)


@pytest.mark.attack("A20", sabotage=no_admin)
@pytest.mark.parametrize("words", ["!link redmine@{}", "!link redmine@{} key-of-mallory", "!api redmine@{} GET /"])
async def test_nobody_is_called_before_an_admin_allows_it(
    tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where admins decide, naming a host sends nothing there: neither a request nor a question to DNS."""
    asked: list[str] = []

    class Noting(FakeResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            asked.append(host)
            raise OSError("no such name")

    client: Callable[[], Http] = lambda: Http(resolver=Noting())  # noqa: E731
    async with Bench.open(planned(tmp_path, client())) as bench:
        await bench.say(words.format(HOST))

        assert [] == await ends(bench)
    assert [] == asked
