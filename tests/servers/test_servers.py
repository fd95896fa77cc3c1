"""The servers that other tests lean on do what those tests take for granted."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser

from servers.browser import HttpBrowser
from servers.processes import (
    DEVICE_CODE,
    OidcServer,
    Process,
    ServerFailed,
    ServerMissing,
    fixed_ports,
    require,
)

type Token = dict[str, Any]

BACK = "http://127.0.0.1:9/callback/oidc/main"
VERIFIER = "a-verifier-of-the-forty-three-characters-at-least"


def authorise(oidc: OidcServer, scope: str = "openid api:read api:write", **change: str) -> str:
    """The address at which a person is asked; *change* replaces parameters, an empty one drops its own."""
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "client_id": oidc.client_id,
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": scope,
        "state": "s1",
        "prompt": "consent",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
    } | change
    return f"{oidc.issuer}/auth?{urlencode({name: value for name, value in query.items() if value})}"


def answer_in(url: str) -> dict[str, str]:
    """What the provider sent along to the callback *url*."""
    return dict(parse_qsl(urlsplit(url).query))


class Client:
    """The application's side: the token endpoint, and the API."""

    def __init__(self, oidc: OidcServer, session: aiohttp.ClientSession) -> None:
        self.oidc = oidc
        self.session = session

    async def post(self, path: str, **form: str) -> tuple[int, Token]:
        headers = {"Authorization": aiohttp.encode_basic_auth(self.oidc.client_id, self.oidc.client_secret)}
        async with self.session.post(f"{self.oidc.issuer}{path}", data=form, headers=headers) as answer:
            return answer.status, (await answer.json() if answer.content_type.endswith("json") else {})

    async def exchange(self, code: str) -> Token:
        status, token = await self.post(
            "/token", grant_type="authorization_code", code=code, redirect_uri=BACK, code_verifier=VERIFIER
        )

        assert HTTPStatus.OK == status, token
        return token

    async def refresh(self, token: Token) -> tuple[int, Token]:
        return await self.post("/token", grant_type="refresh_token", refresh_token=token["refresh_token"])

    async def api(self, method: str, path: str, token: Token, **json: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        call = self.session.request(
            method, f"{self.oidc.issuer}{path}", headers=headers, json=json if method == "POST" else None
        )
        async with call as answer:
            return answer.status, await answer.json()


@pytest.fixture
async def client(oidc: OidcServer) -> AsyncIterator[Client]:
    """A confidential client of the provider."""
    async with aiohttp.ClientSession() as session:
        yield Client(oidc, session)


async def link(oidc: OidcServer, client: Client, person: str, **change: str) -> Token:
    """The tokens of *person*, who has logged in and consented."""
    async with HttpBrowser(person) as browser:
        end = await browser.walk(authorise(oidc, **change), stop=BACK)

    assert not end.fetched
    assert {"code", "state", "iss"} == answer_in(end.url).keys()
    return await client.exchange(answer_in(end.url)["code"])


async def test_a_token_acts_as_its_owner(oidc: OidcServer, client: Client) -> None:
    """The API names the person, and so does the provider's own log; notes are each person's own."""
    alice, bob = await link(oidc, client, "alice"), await link(oidc, client, "bob")

    assert (201, {"id": 1, "author": "alice", "text": "tea"}) == await client.api(
        "POST", "/api/notes", alice, text="tea"
    )
    assert (200, []) == await client.api("GET", "/api/notes", bob)
    status, me = await client.api("GET", "/api/me", bob)
    assert (200, "bob") == (status, me["user"])
    assert "api call=POST /api/notes user=alice client=omnibot" in oidc.log_lines()
    assert "api call=GET /api/me user=bob client=omnibot" in oidc.log_lines()


async def test_less_scope_than_asked_does_less(oidc: OidcServer, client: Client) -> None:
    """A person may untick a scope on the consent page."""
    async with HttpBrowser("alice") as browser:
        page = await browser.open(authorise(oidc))
        page = await browser.press(page, "Log in", login="alice", password="pw-alice")
        end = await browser.press(page, "Allow", stop=BACK, scope=["openid", "api:read"])
    token = await client.exchange(answer_in(end.url)["code"])

    assert "openid api:read" == token["scope"]
    assert (403, {"error": "insufficient_scope"}) == await client.api("POST", "/api/notes", token, text="x")


async def test_a_person_may_say_no(oidc: OidcServer) -> None:
    """Cancel sends access_denied to the callback, with the state."""
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(authorise(oidc), stop=BACK, refuse="Cancel")

    assert "access_denied" == answer_in(end.url)["error"]
    assert "s1" == answer_in(end.url)["state"]


async def test_a_wrong_password_leads_nowhere(oidc: OidcServer) -> None:
    """The browser stays at the provider."""
    async with HttpBrowser("alice", "pw-bob") as browser:
        end = await browser.walk(authorise(oidc), stop=BACK)

    assert HTTPStatus.UNAUTHORIZED == end.status


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge": "", "code_challenge_method": ""},
        {"code_challenge_method": "plain"},
        {"redirect_uri": "http://127.0.0.1:9/elsewhere"},
        {"client_id": "nobody"},
    ],
)
async def test_a_request_that_is_not_sound_gets_no_code(oidc: OidcServer, change: dict[str, str]) -> None:
    """PKCE with S256 is a must, and codes go only where the client registered."""
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(authorise(oidc, **change), stop="http://127.0.0.1:9/")

    assert "code" not in answer_in(end.url)


async def test_refresh_tokens_rotate(oidc: OidcServer, client: Client) -> None:
    """A spent one is refused, and takes the fresh one with it."""
    first = await link(oidc, client, "alice")
    _, second = await client.refresh(first)

    assert first["refresh_token"] != second["refresh_token"]
    assert (400, "invalid_grant") == refused(await client.refresh(first))
    assert (400, "invalid_grant") == refused(await client.refresh(second))


def refused(answer: tuple[int, Token]) -> tuple[int, str]:
    """The status and the error of *answer*."""
    status, body = answer
    return status, body["error"]


async def test_what_is_revoked_is_not_active(oidc: OidcServer, client: Client) -> None:
    """Introspection tells."""
    token = await link(oidc, client, "carol")
    refresh = token["refresh_token"]

    assert (await client.post("/token/introspection", token=refresh))[1]["active"]
    assert HTTPStatus.OK == (await client.post("/token/revocation", token=refresh))[0]
    assert not (await client.post("/token/introspection", token=refresh))[1]["active"]


async def test_faults_come_as_ordered_and_end(oidc: OidcServer, client: Client) -> None:
    """A status so many times, a dropped connection, a short life."""
    token = await link(oidc, client, "alice")
    oidc.fault(path="/token", status=503, times=2)
    oidc.fault(path="/api/", drop=True)
    oidc.fault(access_token_ttl=60)

    assert [503, 503] == [(await client.refresh(token))[0] for _ in range(2)]
    with pytest.raises(aiohttp.ClientError):
        await client.api("POST", "/api/notes", token, text="lost")  # a GET would be sent again by the client itself
    _, token = await client.refresh(token)
    assert 60 == token["expires_in"]
    assert HTTPStatus.OK == (await client.api("GET", "/api/me", token))[0]

    oidc.fault(path="/token", status=429, headers={"Retry-After": "1"}, body={"error": "slow_down"})
    oidc.clear()
    _, token = await client.refresh(token)
    assert 300 == token["expires_in"]


async def begin(client: Client) -> Token:
    """Begin a device's flow."""
    status, begun = await client.post("/device/auth", client_id=client.oidc.client_id, scope="openid api:read")

    assert HTTPStatus.OK == status, begun
    return begun


async def poll(client: Client, begun: Token) -> tuple[int, Token]:
    """Ask for the device's token."""
    return await client.post("/token", grant_type=DEVICE_CODE, device_code=begun["device_code"])


async def test_a_device_acts_as_who_typed_its_code(oidc: OidcServer, client: Client) -> None:
    """It asks until somebody has signed in and typed the code in, and has its token once."""
    begun = await begin(client)
    waiting = await poll(client, begun)
    async with HttpBrowser("bob", user_code=begun["user_code"]) as browser:
        end = await browser.walk(begun["verification_uri"])
    status, token = await poll(client, begun)

    assert (400, "authorization_pending") == refused(waiting)
    assert "Connected" in end.text
    assert HTTPStatus.OK == status
    assert "bob" == (await client.api("GET", "/api/me", token))[1]["user"]
    assert (400, "invalid_grant") == refused(await poll(client, begun))


@pytest.mark.parametrize("no", ["Abort", "Cancel"])
async def test_no_is_an_answer_to_a_device_too(oidc: OidcServer, client: Client, no: str) -> None:
    """Where the code is confirmed, and where one signs in."""
    begun = await begin(client)
    async with HttpBrowser("bob", user_code=begun["user_code"]) as browser:
        await browser.walk(begun["verification_uri"], refuse=no)

    assert (400, "access_denied") == refused(await poll(client, begun))


async def test_a_device_is_told_to_slow_down_and_when_it_is_too_late(oidc: OidcServer, client: Client) -> None:
    """As ordered: the interval, slowing down so many times, and an end; a wrong code leads nowhere."""
    oidc.fault(interval=1)
    oidc.fault(device_code_ttl=1)
    oidc.slow_down(2)
    begun = await begin(client)
    async with HttpBrowser("bob", user_code="BBBB-BBBB") as browser:
        page = await browser.walk(begun["verification_uri"])
    slowed = [refused(await poll(client, begun)) for _ in range(3)]
    await asyncio.sleep(1.1)
    late = await poll(client, begun)
    oidc.clear()

    assert (1, 1) == (begun["interval"], begun["expires_in"])
    assert "This code is not good." in page.text
    assert [(400, "slow_down")] * 2 + [(400, "authorization_pending")] == slowed
    assert (400, "expired_token") == refused(late)
    assert "interval" not in await begin(client)


async def test_a_restart_forgets_all_grants(oidc: OidcServer, client: Client) -> None:
    """The address stays the same."""
    token, issuer = await link(oidc, client, "alice"), oidc.issuer
    oidc.restart()

    assert issuer == oidc.issuer
    assert (401, {"error": "invalid_token"}) == await client.api("GET", "/api/me", token)
    assert (400, "invalid_grant") == refused(await client.refresh(token))


async def test_chromium_links_as_a_person_would(oidc: OidcServer, chromium: Browser) -> None:
    """Typing, clicking, and landing at the callback."""
    context = await chromium.new_context()
    page = await context.new_page()
    await page.route(f"{BACK}**", lambda route: route.fulfill(body="<h1>linked</h1>", content_type="text/html"))
    await page.goto(authorise(oidc))
    await page.fill("[name=login]", "alice")
    await page.fill("[name=password]", "pw-alice")
    await page.click("button:text('Log in')")
    await page.click("button:text('Allow')")
    await page.wait_for_url(f"{BACK}**")

    assert "linked" == await page.inner_text("h1")
    assert "code" in answer_in(page.url)


async def test_each_test_has_a_chromium_without_cookies(chromium: Browser) -> None:
    """The process is shared, what was opened in it is not."""
    assert [] == [context for context in chromium.contexts if await context.cookies()]


# ------------------------------------------------------------ the plain browser


@pytest.fixture
async def site() -> AsyncIterator[TestServer]:
    """A page with a form as the bot has it: cookie, no referrer, an answer that refreshes."""

    async def form(request: web.Request) -> web.Response:
        text = "<form method=post><input type=hidden name=a value=1><button>Continue</button></form>"
        response = web.Response(text=text, content_type="text/html", headers={"Referrer-Policy": "no-referrer"})
        response.set_cookie("attempt", "7", httponly=True, samesite="Lax")
        return response

    async def sent(request: web.Request) -> web.Response:
        seen = [request.cookies["attempt"], request.headers["Sec-Fetch-Site"], request.headers["Origin"]]
        form = await request.post()
        onward = f"/end?{urlencode({'seen': ' '.join([*seen, str(form['a'])])})}"
        text = f'<meta http-equiv="refresh" content="0; url={onward}"><a href="{onward}">on</a>'
        return web.Response(text=text, content_type="text/html")

    async def end(request: web.Request) -> web.Response:
        return web.Response(text=request.query["seen"])

    app = web.Application()
    app.add_routes([web.get("/", form), web.post("/", sent), web.get("/end", end)])
    server = TestServer(app)
    async with server:
        yield server


async def test_the_plain_browser_does_as_browsers_do(site: TestServer) -> None:
    """Cookies, origin, and a refresh are a browser's."""
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(str(site.make_url("/")))

    assert "7 same-origin null 1" == end.text


@pytest.fixture
async def door() -> AsyncIterator[TestServer]:
    """A login that nobody passes: it shows again, with what was sent, and has parts that a browser does not send."""
    fields = "<input name=username value=you><input name=gone value=1 disabled><input name=password type=password>"
    form = f"<form method=post>{fields}<button type=button>Show</button><input type=submit value='Sign in'></form>"

    async def ask(request: web.Request) -> web.Response:
        sent = [(name, str(value)) for name, value in (await request.post()).items()]
        return web.Response(text=f"{form}<p>{urlencode(sent)}", content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", ask), web.post("/", ask)])
    server = TestServer(app)
    async with server:
        yield server


async def test_the_plain_browser_types_a_password_once(door: TestServer) -> None:
    """A login that shows again did not take it; only what a browser sends is sent."""
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(str(door.make_url("/")))

    assert ["Sign in"] == end.buttons
    assert end.text.endswith("<p>username=alice&password=pw-alice")


# ------------------------------------------------------------------- processes


def test_ports_are_apart_and_outside_of_what_systems_hand_out() -> None:
    """So a server finds its own again after a while."""
    ports = [*fixed_ports(1000), *fixed_ports(1000)]

    assert 2000 == len(set(ports))
    assert all(20_000 <= port < 32_768 for port in ports)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The error ends with what the server said."""
    process = Process(["sh", "-c", "echo no such disk; exit 3"], log=tmp_path / "log")

    with pytest.raises(ServerFailed, match="no such disk"):
        process.start(ready="listening")


def test_a_missing_server_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """In continuous integration nothing is left out."""
    monkeypatch.delenv("OMNIBOT_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="ircd: not installed"):
        require("ircd", "not installed")

    monkeypatch.setenv("OMNIBOT_REQUIRE_SERVERS", "1")
    with pytest.raises(ServerMissing, match="ircd is required here: not installed"):
        require("ircd", "not installed")
