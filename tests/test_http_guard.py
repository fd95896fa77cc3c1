"""A request goes to an origin of its instance, and a person's request to no inner address."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_peers import FakeResolver, Listener, refusal, unvouched
from omnibot import http
from omnibot.errors import AddressRefused
from omnibot.http import Http, is_public
from omnibot.wire import Request

REFUSED = "That address is not one I may call."


@pytest.fixture
async def client() -> AsyncIterator[Http]:
    one = Http()
    yield one
    await one.close()


async def test_only_an_instances_own_origins_are_called(client: Http) -> None:
    """A23: another port, scheme or host is refused before anything is sent."""
    async with Listener() as listener:
        for url in (f"http://127.0.0.1:{listener.port}/", f"https://localhost:{listener.port}/"):
            with pytest.raises(AddressRefused):
                await client.send(
                    Request("GET", url),
                    origins=frozenset({f"http://localhost:{listener.port}"}),
                    private=True,
                )

    assert 0 == listener.connections


@pytest.mark.parametrize(
    "url",
    [
        "http://good.example@127.0.0.1/",
        "http://good.example\\@127.0.0.1/",
        "http://good.example\t/",
        "http://good.example /",
        "http://g\u043e\u043ed.example/",
        "http:///path",
        "file:///etc/passwd",
        "good.example",
        "http://[::1",
        "http://good.example:99999/",
        "",
    ],
)
async def test_a_crooked_address_is_refused(client: Http, url: str) -> None:
    """What two parsers might read differently is called by neither, even where private addresses may be."""
    assert REFUSED == str(await refusal(client, Request("GET", url), private=True))


@pytest.mark.parametrize("name", ["Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade"])
async def test_headers_that_steer_are_refused(client: Http, name: str) -> None:
    """A Host header would carry a token to another tenant of the same front server."""
    request = Request("GET", "http://127.0.0.1:1/", {name: "evil.example"})

    assert REFUSED == str(await refusal(client, request, private=True))


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1:{port}",
        "[::1]:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "localhost:{port}",
        "localhost.:{port}",
        "0.0.0.0:{port}",
        "2130706433:{port}",
        "0x7f.1:{port}",
        "127.1:{port}",
        "017700000001:{port}",
        "user@127.0.0.1:{port}",
        "127.0.0.1:25",
        "127.0.0.1:80",
        "127.0.0.1:22",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "100.100.100.200",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "no-such-name.invalid",
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_person_may_not_name_an_inner_address(client: Http, scheme: str, place: str) -> None:
    """A20: refused in the same words, whatever the reason, and nothing connects."""
    async with Listener() as listener:
        error = await refusal(client, Request("GET", f"{scheme}://{place.format(port=listener.port)}/"))

    assert (AddressRefused, REFUSED) == (type(error), str(error))
    assert 0 == listener.connections


@pytest.mark.parametrize(("port", "allowed"), [(443, True), (2999, False), (3000, True), (9999, True), (10000, False)])
async def test_a_person_may_name_the_ports_of_the_web(
    client: Http, monkeypatch: pytest.MonkeyPatch, port: int, allowed: bool
) -> None:
    """443 and 3000 to 9999 pass the guard; that nobody listens there is another matter."""
    monkeypatch.setattr(http, "is_public", lambda address: address == "127.0.0.3")

    error = await refusal(client, Request("GET", f"https://127.0.0.3:{port}/"))

    assert ("I could not reach 127.0.0.3." if allowed else REFUSED) == str(error)


@pytest.fixture
def two_public_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.2, which answers, and 127.0.0.3, which does not, pass for public: no test goes out."""
    monkeypatch.setattr(http, "is_public", lambda address: address in ("127.0.0.2", "127.0.0.3"))


@pytest.mark.usefixtures("two_public_addresses")
async def test_a_second_answer_of_the_resolver_is_judged_anew() -> None:
    """A21: a name that was public a moment ago is refused when it turns inward."""
    client = Http(resolver=FakeResolver(["127.0.0.2"], ["127.0.0.1"]))
    async with Listener(context=unvouched()) as first, Listener(context=unvouched()) as second:
        reached = await refusal(client, Request("GET", f"https://rebind.example:{first.port}/"))
        turned = await refusal(client, Request("GET", f"https://rebind.example:{second.port}/"))
        await client.close()

    assert "I could not make a secure connection to rebind.example." == str(reached)
    assert REFUSED == str(turned)
    assert 0 == second.connections


@pytest.mark.usefixtures("two_public_addresses")
@pytest.mark.parametrize("answer", [["127.0.0.3", "127.0.0.1"], ["127.0.0.1", "::1"], ["::ffff:127.0.0.1"]])
async def test_no_address_of_several_gets_past(answer: list[str]) -> None:
    """A21: of a mixed answer the inner addresses are never connected to."""
    client = Http(resolver=FakeResolver(answer))
    async with Listener() as listener:
        await refusal(client, Request("GET", f"https://mixed.example:{listener.port}/"))
        await client.close()

    assert 0 == listener.connections


async def test_a_resolver_cannot_smuggle_a_name() -> None:
    """An answer that is no address at all would be resolved again behind the guard: refused."""
    client = Http(resolver=FakeResolver(["localhost"]))
    async with Listener() as listener:
        error = await refusal(client, Request("GET", f"https://smuggle.example:{listener.port}/"))
        await client.close()

    assert REFUSED == str(error)
    assert 0 == listener.connections


async def test_an_unknown_name_of_the_operators_is_said() -> None:
    """The operator's own name that does not resolve is not reachable, rather than forbidden."""
    client = Http(resolver=FakeResolver([]))

    error = await refusal(client, Request("GET", "https://typo.example/"), private=True)
    await client.close()

    assert "I could not reach typo.example." == str(error)


PUBLIC = """
1.1.1.1 8.8.8.8 172.15.255.255 172.32.0.0 100.63.255.255 100.128.0.0 2606:4700::1111 2a00:1450:4001:82a::200e
::ffff:1.1.1.1 64:ff9b::101:101
"""
INNER = """
127.0.0.1 127.255.255.255 10.1.2.3 172.31.255.255 192.168.0.1 169.254.169.254 0.0.0.0 100.64.0.1
100.127.255.255 192.0.0.8 198.18.0.1 203.0.113.1 224.0.0.1 255.255.255.255 240.0.0.1 192.88.99.1 168.63.129.16
:: ::1 fe80::1 fe80::1%1 fec0::1 fc00::1 fd00::1 ff02::1 100::1 2001:db8::1 3fff::1 5f00::1
::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::1
2002:7f00:1:: 2002:808:808:: 2001::1 2001:0:7f00:1::
localhost 1.1.1 0177.0.0.1 1.1.1.1:80 [::1]
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses(address: str) -> None:
    """What anybody may have is public; of an address embedded in another, the inner one counts."""
    assert is_public(address)


@pytest.mark.parametrize("address", INNER.split())
def test_addresses_that_are_not_public(address: str) -> None:
    """Loopback, private, shared, link-local, multicast, reserved, embedded, and what is no address."""
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_in_disguise_is_judged_alike(address: object) -> None:
    """Mapped into IPv6, or by NAT64, an IPv4 address is as public as it was."""
    plain = is_public(str(address))

    assert plain == is_public(f"::ffff:{address}")
    assert plain == is_public(f"64:ff9b::{address}")
