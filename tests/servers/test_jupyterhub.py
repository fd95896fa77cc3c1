"""The JupyterHub that other tests lean on does what those tests take for granted."""

import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from servers.browser import HttpBrowser
from servers.jupyterhub.server import HubClient, JupyterHub

type Call = Callable[..., Awaitable[tuple[int, Any]]]
type Link = Callable[..., Awaitable[str]]

VERIFIER = "a-verifier-of-the-forty-three-characters-at-least"


def authorise(hub: JupyterHub, client: HubClient, **change: str) -> str:
    """The address at which a person is asked; *change* replaces parameters."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "client_id": client.client_id,
        "redirect_uri": client.redirect_uri,
        "response_type": "code",
        "state": "s1",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    } | change
    return f"{hub.url}/hub/api/oauth2/authorize?{urlencode(query)}"


def answer_in(url: str) -> dict[str, str]:
    """What the hub sent along to the callback *url*."""
    return dict(parse_qsl(urlsplit(url).query))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of the test's own, without a cookie."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def call(jupyterhub: JupyterHub, session: aiohttp.ClientSession) -> Call:
    """Calls the API: ``call(token, "GET", "/user")`` is status and answer."""

    async def call(token: str, method: str, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with session.request(method, f"{jupyterhub.url}/hub/api{path}", headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None

    return call


@pytest.fixture
def link(jupyterhub: JupyterHub, session: aiohttp.ClientSession) -> Link:
    """Links: ``link("bob")`` is the token that bob lets a client have, the first one unless it is named."""

    async def link(person: str, client: HubClient | None = None, **change: str) -> str:
        client = client or jupyterhub.client()
        async with HttpBrowser(person) as browser:
            end = await browser.walk(authorise(jupyterhub, client, **change), stop=client.redirect_uri)

        assert not end.fetched, end.text
        assert "s1" == answer_in(end.url)["state"]
        form = {
            "grant_type": "authorization_code",
            "code": answer_in(end.url)["code"],
            "redirect_uri": client.redirect_uri,
            "code_verifier": VERIFIER,
            "client_id": client.client_id,
            "client_secret": client.client_secret,
        }
        async with session.post(f"{jupyterhub.url}/hub/api/oauth2/token", data=form) as answer:
            return str((await answer.json())["access_token"])

    return link


async def test_a_token_acts_as_its_owner(jupyterhub: JupyterHub, call: Call, link: Link) -> None:
    """The API names the person, and so does the hub's own log."""
    alice, bob = await link("alice"), await link("bob")

    assert "alice" == (await call(alice, "GET", "/user"))[1]["name"]
    assert "bob" == (await call(bob, "GET", "/user"))[1]["name"]
    assert any("200 GET /hub/api/user (bob@127.0.0.1)" in line for line in jupyterhub.log())


@pytest.mark.parametrize("alias", ["main", "default"])
@pytest.mark.parametrize("paste", [False, True])
async def test_each_way_back_has_its_client(
    jupyterhub: JupyterHub, call: Call, link: Link, alias: str, *, paste: bool
) -> None:
    """To the bot's port or to the address bar, for either name that an instance may have."""
    token = await link("carol", jupyterhub.client(alias, paste=paste))

    assert "carol" == (await call(token, "GET", "/user"))[1]["name"]


async def test_the_browser_arrives_at_the_listener(jupyterhub: JupyterHub) -> None:
    """Whoever listens at the hub's port for it is sent the code."""

    async def callback(request: web.Request) -> web.Response:
        return web.Response(text=" ".join(sorted(request.query)))

    app = web.Application()
    app.add_routes([web.get("/callback/jupyterhub/main", callback)])
    async with TestServer(app, port=jupyterhub.listener_port), HttpBrowser("alice") as browser:
        end = await browser.walk(authorise(jupyterhub, jupyterhub.client()))

    assert "code state" == end.text


async def test_codes_go_where_the_client_registered_and_nowhere_else(jupyterhub: JupyterHub) -> None:
    """Another port of this machine is another address."""
    client = jupyterhub.client()
    elsewhere = jupyterhub.client(paste=True).redirect_uri
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(authorise(jupyterhub, client, redirect_uri=elsewhere), stop=elsewhere)

    assert 400 == end.status


async def test_a_wrong_password_leads_nowhere(jupyterhub: JupyterHub) -> None:
    """The browser stays at the hub."""
    async with HttpBrowser("alice", "pw-bob") as browser:
        end = await browser.walk(authorise(jupyterhub, jupyterhub.client()))

    assert 403 == end.status


async def test_a_person_starts_and_stops_their_own_server(jupyterhub: JupyterHub, call: Call, link: Link) -> None:
    """Nobody else's: to others it does not exist."""
    alice, bob = await link("alice"), await link("bob")

    assert 201 == (await call(alice, "POST", "/users/alice/server"))[0]
    assert (True, False) == (jupyterhub.has_server("alice"), jupyterhub.has_server("bob"))
    assert 404 == (await call(bob, "DELETE", "/users/alice/server"))[0]
    assert 204 == (await call(alice, "DELETE", "/users/alice/server"))[0]
    assert not jupyterhub.has_server("alice")


async def test_a_slow_server_is_pending_first(jupyterhub: JupyterHub, call: Call, link: Link) -> None:
    """The hub answers before it is up."""
    jupyterhub.slow(start=6)
    alice = await link("alice")

    assert 202 == (await call(alice, "POST", "/users/alice/server"))[0]
    assert "spawn" == (await call(alice, "GET", "/user"))[1]["pending"]
    assert not jupyterhub.has_server("alice")


async def test_a_token_by_hand_does_what_it_was_made_for(jupyterhub: JupyterHub, call: Call) -> None:
    """It is made on the token page, by whoever is logged in."""
    reading = await jupyterhub.new_token("bob", "read:users!user")

    assert "bob" == (await call(reading, "GET", "/user"))[1]["name"]
    assert 403 == (await call(reading, "POST", "/users/bob/server"))[0]
    assert 201 == (await call(await jupyterhub.new_token("bob"), "POST", "/users/bob/server"))[0]


async def test_a_person_may_revoke_what_they_allowed(jupyterhub: JupyterHub, call: Call, link: Link) -> None:
    """An application's token goes, and so does one made by hand; other people keep theirs."""
    tokens = [await link("alice"), await link("alice"), await jupyterhub.new_token("alice")]
    bob = await link("bob")
    await jupyterhub.revoke_tokens("alice")

    assert [403, 403, 403] == [(await call(token, "GET", "/user"))[0] for token in tokens]
    assert 200 == (await call(bob, "GET", "/user"))[0]


async def test_a_token_may_revoke_itself(call: Call, link: Link) -> None:
    """And with it every token that its owner gave the same application."""
    first, second = await link("alice"), await link("alice")
    _, me = await call(second, "GET", "/user")

    assert 204 == (await call(second, "DELETE", f"/users/alice/tokens/{me['token_id']}"))[0]
    assert [403, 403] == [(await call(token, "GET", "/user"))[0] for token in (first, second)]


async def test_it_begins_anew_for_each_test(jupyterhub: JupyterHub, call: Call, link: Link) -> None:
    """No server runs, no token is good, and the log is empty, although nothing was restarted."""
    token = await link("alice")
    await call(token, "POST", "/users/alice/server")
    jupyterhub.clear()

    assert [] == jupyterhub.log()
    assert not jupyterhub.has_server("alice")
    assert [] == jupyterhub.tokens("alice")
    assert 403 == (await call(token, "GET", "/user"))[0]


async def test_it_may_be_down(jupyterhub: JupyterHub, call: Call, link: Link) -> None:
    """It comes back at the same address, and tokens are still good."""
    token = await link("alice")
    jupyterhub.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await call(token, "GET", "/user")
    jupyterhub.start()

    assert "alice" == (await call(token, "GET", "/user"))[1]["name"]
