"""The listener shows who asks, lets through what its own page sent, and gives nothing away."""

import asyncio
import html
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any, get_args

import pytest
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

from omnibot import edge
from omnibot.errors import ConfigError, KeyMissing
from omnibot.linking.flows import Asking, Attempt, FlowError, Outcome, State
from omnibot.pages.words import ENDED_WORDS, FLOW_WORDS, HTTP_WORDS, Words
from omnibot.provider import KeyForm
from omnibot.web import COOKIE_SECONDS, LinkingPages, Listener

NOW = 1_763_791_200.0  # 22 November 2025, 06:00 UTC
TICKET = "t1cket-" + "T" * 36
FLOW = "f10f" * 8
COOKIE = "c00kie_" + "C" * 36
CODE, STATE = "c0de-canary-4711", "st4te-canary-4711"
PROVIDER_URL = f"https://github.com/login/oauth/authorize?client_id=omnibot&state={STATE}"
CALLBACK = f"/callback/github/default?code={CODE}&state={STATE}"
FORM = "application/x-www-form-urlencoded"
SAME = {"Sec-Fetch-Site": "same-origin"}
CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "omnibot",
}

ASKING = Asking(
    provider="github@default",
    title="GitHub",
    network="discord",
    subject="123456789",
    display="Alice",
    where="#ops",
    command="gh issues",
    since=NOW - 130,
    scopes=(("repo", "read and change your repositories"), ("odd", "")),
    host="github.com",
    apps_url="https://github.com/settings/applications",
)
PENDING = Outcome(
    flow=FLOW,
    state="pending",
    reason="",
    asking=ASKING,
    login="alice-gh",
    name="Alice Liddell",
    code="KXQW-MNHZ",
    code_until=NOW + 540,
)
KEY_ASKING = replace(
    ASKING,
    provider="redmine@work",
    title="Redmine (work)",
    scopes=(),
    host="redmine.example.org",
    key=KeyForm("API <key>", hint="It stands on your & account's page."),
    key_url="https://redmine.example.org/my/account",
)
WANTS_KEY = Outcome(flow=FLOW, state="open", reason="", asking=KEY_ASKING)
LINKED = replace(PENDING, state="linked", code="", confirmed=NOW - 3600, undo_until=NOW + 82800)


class FakeLinking:
    """Linking with one ticket and one flow; remembers what was asked of it."""

    def __init__(self) -> None:
        self.asking = ASKING
        self.outcomes = {(FLOW, COOKIE): PENDING}
        self.attempt = Attempt(FLOW, COOKIE, PROVIDER_URL)
        self.onward = ""
        self.calls: list[tuple[Any, ...]] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.too_late = False
        self.key_errors: dict[str, FlowError] = {}

    async def look(self, ticket: str) -> Asking:
        await self._called("look", ticket)
        return self.asking

    async def authorise(self, ticket: str) -> Attempt:
        await self._called("authorise", ticket)
        return self.attempt

    async def refuse(self, ticket: str) -> Asking:
        await self._called("refuse", ticket)
        return self.asking

    async def callback(
        self, provider: str, instance: str, query: Sequence[tuple[str, str]], cookies: Mapping[str, str]
    ) -> Attempt:
        await self._called("callback", provider, instance, list(query), dict(cookies))
        return Attempt(FLOW, COOKIE, self.onward, here=not self.onward)

    async def enter(self, flow: str, cookie: str, key: str) -> None:
        await self._called("enter", flow, cookie, key)
        if key in self.key_errors:
            raise self.key_errors[key]

    async def outcome(self, flow: str, cookie: str) -> Outcome:
        await self._called("outcome", flow, cookie)
        return self._held(flow, cookie)

    async def disconnect(self, flow: str, cookie: str) -> Outcome:
        await self._called("disconnect", flow, cookie)
        if self.too_late:
            raise FlowError("expired")
        return replace(self._held(flow, cookie), state="refused", reason="not_me", code="")

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    async def _called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error

    def _held(self, flow: str, cookie: str) -> Outcome:
        if (flow, cookie) not in self.outcomes:
            raise FlowError("unknown")
        return self.outcomes[flow, cookie]


@dataclass
class Seen:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: str
    cookies: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a person reads: no tags, spaces as they are shown."""
        inner = re.sub(r"(?s)<(head|header|footer)>.*?</\1>", "", self.body)
        return " ".join(html.unescape(re.sub(r"(?s)<[^>]*>", "", inner)).split())

    @property
    def title(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.body)
        return html.unescape(found[1]) if found else ""

    def token(self, action: str) -> str:
        """The form token for *action*; empty where the form has none."""
        form = re.search(rf'<form method="post" action="{re.escape(action)}">(.*?)</form>', self.body, re.DOTALL)
        assert form is not None, f"no form posts to {action}: {self.body}"
        found = re.search(r'name="form" value="([^"]*)"', form[1])
        return found[1] if found else ""


class Visitor:
    """Somebody's HTTP: what it sends is spelled out by each test, cookies too."""

    def __init__(self, listener: Listener, session: ClientSession, host: str) -> None:
        self.listener = listener
        self.session = session
        self.host = host

    async def __call__(
        self, method: str, path: str, *, data: bytes | str | None = None, cookies: str = "", **headers: str
    ) -> Seen:
        """Send a request; underscores in the names of *headers* stand for dashes."""
        named = {"Host": self.host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if cookies:
            named["Cookie"] = cookies
        url = f"http://127.0.0.1:{self.listener.port}{path}"
        async with self.session.request(
            method, url, data=data, headers=named, allow_redirects=False, skip_auto_headers=("Content-Type",)
        ) as answer:
            seen = Seen(answer.status, answer.headers, await answer.text())
            seen.cookies = answer.headers.getall("Set-Cookie", [])
            return seen

    async def post(self, path: str, *, form: str = "", **more: str) -> Seen:
        """Post a form, by default as our own page in a browser of today does."""
        headers = {"Content_Type": FORM, "Sec_Fetch_Site": "same-origin", **more}
        return await self("POST", path, data=form, **{name: value for name, value in headers.items() if value})

    async def raw(self, sent: bytes) -> Seen:
        """Send bytes as they are, and read until the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        writer.write(sent)
        received = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
        head, _, body = received.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        return Seen(int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body)


@asynccontextmanager
async def visiting(linking: FakeLinking, public_url: str | None, **changes: Any) -> AsyncIterator[Visitor]:
    """A started listener, and somebody who calls it by its right name."""
    options: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "clock": lambda: NOW, **changes}
    listener = Listener(linking, public_url=public_url, **options)
    await listener.start()
    host = public_url.partition("://")[2] if public_url else f"127.0.0.1:{listener.port}"
    try:
        async with ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=15)) as session:
            yield Visitor(listener, session, host)
    finally:
        await listener.stop()


@pytest.fixture
def linking() -> FakeLinking:
    return FakeLinking()


@pytest.fixture
async def visitor(linking: FakeLinking) -> AsyncIterator[Visitor]:
    """A visitor of a bot that is reached by https."""
    async with visiting(linking, "https://bot.example.org") as visitor:
        yield visitor


@pytest.fixture
async def local(linking: FakeLinking) -> AsyncIterator[Visitor]:
    """A visitor of a bot that is tried out on one machine."""
    async with visiting(linking, "http://127.0.0.1:8080") as visitor:
        yield visitor


HELD = f"__Host-ob-{FLOW}={COOKIE}"


def test_linking_fits_where_it_is_needed() -> None:
    """The fake, at least, is what the listener asks for."""
    pages: LinkingPages = FakeLinking()

    assert isinstance(pages, FakeLinking)


# ---------------------------------------------------------------------- headers


EVERYWHERE: list[tuple[str, str, int]] = [
    ("GET", "/", 200),
    ("HEAD", "/", 200),
    ("GET", "/style.css", 200),
    ("HEAD", "/style.css", 200),
    ("GET", "/robots.txt", 200),
    ("HEAD", "/robots.txt", 200),
    ("GET", "/healthz", 200),
    ("HEAD", "/healthz", 200),
    ("GET", "/readyz", 404),
    ("GET", f"/l/{TICKET}", 200),
    ("HEAD", f"/l/{TICKET}", 200),
    ("POST", f"/l/{TICKET}", 200),
    ("POST", f"/l/{TICKET}/refuse", 200),
    ("GET", CALLBACK, 303),
    ("GET", f"/f/{FLOW}", 200),
    ("HEAD", f"/f/{FLOW}", 200),
    ("POST", f"/f/{FLOW}/key", 303),
    ("POST", f"/f/{FLOW}/disconnect", 200),
    ("GET", "/nowhere", 404),
    ("GET", "/l/", 404),
    ("GET", f"/l/{TICKET}/", 404),
    ("GET", "/f/other", 400),
    ("GET", f"/l/{TICKET}/refuse", 405),
    ("GET", f"/f/{FLOW}/key", 405),
    ("PUT", "/", 405),
    ("POST", "/callback/github/default", 405),
    ("OPTIONS", "/healthz", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERYWHERE)
async def test_every_answer_has_the_strict_headers(visitor: Visitor, method: str, path: str, status: int) -> None:
    """Pages, files, redirects and refusals alike (A17, A18, A41)."""
    seen = await visitor.post(path, cookies=HELD) if method == "POST" else await visitor(method, path, cookies=HELD)

    assert status == seen.status
    assert HEADERS == {name: seen.headers.get(name) for name in HEADERS}
    assert "camera=()" in seen.headers["Permissions-Policy"]
    assert "max-age=31536000" == seen.headers["Strict-Transport-Security"]
    assert (method == "HEAD") == (seen.body == "") or status == 303


async def test_http_is_not_asked_to_become_https(local: Visitor) -> None:
    """On plain http there is no Strict-Transport-Security: it would lock the developer out."""
    seen = await local("GET", "/")

    assert "Strict-Transport-Security" not in seen.headers


async def test_what_cannot_be_read_is_answered_alike(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of it is repeated, neither to the sender nor in the log (A40)."""
    caplog.set_level(logging.DEBUG)
    seen = [
        await visitor.raw(sent)
        for sent in (
            f"GET /l/{TICKET} canary HTTP/9.x\r\n\r\n".encode(),
            f"GET /l/{TICKET} HTTP/1.1\r\nHost: bot.example.org\r\nbad header canary\r\n\r\n".encode(),
            f"GET /l/{TICKET}?{'canary' * 3000} HTTP/1.1\r\nHost: bot.example.org\r\n\r\n".encode(),
            f"POST /l/{TICKET} HTTP/1.1\r\nContent-Length: canary\r\n\r\n".encode(),
            b"\x16\x03\x01canary" + TICKET.encode() + b"\r\n\r\n",
        )
    ]

    assert [400] * 5 == [one.status for one in seen]
    assert [HEADERS] * 5 == [{name: one.headers.get(name) for name in HEADERS} for one in seen]
    assert ["Not understood"] * 5 == [one.title for one in seen]
    assert not [word for word in ("canary", TICKET) if word in caplog.text or word in str(seen)]
    assert "- - 400" in caplog.text


# ------------------------------------------------------------------------- host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("bot.example.org", 200),
        ("BOT.example.org", 200),
        ("bot.example.org:443", 200),
        ("bot.example.org:8080", 421),
        ("bot.example.org.", 421),
        ("bot.example.org@evil.example", 421),
        ("evil.example", 421),
        ("sub.bot.example.org", 421),
        ("127.0.0.1", 421),
        ("localhost", 421),
        ("", 421),
    ],
)
async def test_only_the_public_name_is_ours(visitor: Visitor, linking: FakeLinking, host: str, status: int) -> None:
    """Any other Host is sent away before anything is looked up (A16)."""
    seen = await visitor("GET", f"/l/{TICKET}", Host=host)

    assert status == seen.status
    assert (["look"] if status == 200 else []) == linking.names


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1:8080", 200), ("127.0.0.1", 421), ("localhost:8080", 421)])
async def test_a_public_name_may_have_a_port(local: Visitor, host: str, status: int) -> None:
    """Where `public_url` has a port that is not its scheme's, the port belongs to the name."""
    assert status == (await local("GET", "/", Host=host)).status


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:81", "[::1]:8080", "bot.example.org"])
async def test_health_may_be_asked_for_locally(visitor: Visitor, host: str) -> None:
    """A probe on the machine itself need not know the public name."""
    assert 200 == (await visitor("GET", "/healthz", Host=host)).status
    assert 421 == (await visitor("GET", "/healthz", Host="evil.example")).status


async def test_without_a_public_name_the_local_ones_are_ours(linking: FakeLinking) -> None:
    """And no other: a page that rebinds its name to loopback still calls us by its own."""
    linking.error = FlowError("paste")
    async with visiting(linking, None) as visitor:
        seen = await visitor("GET", CALLBACK)
        named = await visitor("GET", "/", Host="localhost")
        rebound = await visitor("GET", CALLBACK, Host="evil.example")

    assert (200, "Copy this address into the chat") == (seen.status, seen.title)
    assert (200, 421) == (named.status, rebound.status)
    assert 1 == len(linking.calls)


async def test_two_hosts_or_none_are_nobody(visitor: Visitor) -> None:
    """A request that could be read in two ways is read in neither."""
    two = await visitor.raw(
        b"GET / HTTP/1.1\r\nHost: bot.example.org\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    none = await visitor.raw(b"GET / HTTP/1.0\r\n\r\n")

    assert two.status in (400, 421)
    assert 421 == none.status


async def test_no_header_and_no_parameter_changes_an_address(visitor: Visitor) -> None:
    """What proxies add, and what open redirects are made of, is not even read (A15, A16)."""
    forged = {
        "X_Forwarded_Host": "evil.example",
        "X_Forwarded_Proto": "http",
        "Forwarded": "host=evil.example",
    }
    asked = await visitor("GET", f"/l/{TICKET}?next=//evil.example&redirect_uri=https://evil.example", **forged)
    back = await visitor("GET", f"{CALLBACK}&next=//evil.example", **forged)

    assert "evil.example" not in asked.body
    assert (303, f"/f/{FLOW}") == (back.status, back.headers["Location"])


# -------------------------------------------------------------- the asking page


async def test_the_first_page_names_who_asks_for_what(visitor: Visitor) -> None:
    """Display name and stable subject, when, where, by what, each scope and why, and where it goes on."""
    seen = await visitor("GET", f"/l/{TICKET}")

    told = (
        "Whoever speaks as Alice (123456789 on discord) will act as you on GitHub. "
        "If you did not just ask for this, refuse."
    )
    assert told in seen.text
    for part in (
        "2 minutes ago",
        "in #ops",
        "by the command gh issues",
        "read and change your repositories repo",
        "Continue leads to github.com",
    ):
        assert part in seen.text


async def test_the_first_page_says_that_a_pin_comes_and_where_it_belongs(
    visitor: Visitor, linking: FakeLinking
) -> None:
    """With OAuth 1.0a no scope is asked for, so none is shown; and no page of ours comes after the service's."""
    linking.asking = replace(ASKING, scopes=(), by_app=True, pin=True)
    seen = await visitor("GET", f"/l/{TICKET}")
    linking.asking = replace(linking.asking, pin=False)
    redirect = await visitor("GET", f"/l/{TICKET}")

    what = "All that GitHub lets this bot do, as whoever runs it has registered it there"
    told = "type it yourself, to the bot, in private, as Alice (123456789 on discord): pin PIN"
    warned = "Whoever asks you for it wants your account."
    assert [True] * 3 == [part in seen.text for part in (what, told, warned)]
    assert [True, False, False] == [part in redirect.text for part in (what, told, warned)]


async def test_the_first_page_names_a_private_wish(visitor: Visitor, linking: FakeLinking) -> None:
    """Without a room, a command, scopes or a display name the sentences still are sentences."""
    linking.asking = replace(ASKING, where="", command="", scopes=(), display="", since=NOW - 3)
    seen = await visitor("GET", f"/l/{TICKET}")

    for part in (
        "Whoever speaks as 123456789 (123456789 on discord) will",
        "just now",
        "in a private conversation with the bot",
        "by asking for a link",
        "no scope is asked for",
    ):
        assert part in seen.text


async def test_continue_and_refuse_look_the_same(visitor: Visitor) -> None:
    """Two forms that differ in where they go and what they say, in nothing else (RFC 10027 section 6.1.14)."""
    seen = await visitor("GET", f"/l/{TICKET}", Sec_Fetch_Site="none")
    go_on, refuse = re.findall(r"<form.*?</form>", seen.body, re.DOTALL)

    assert go_on == refuse.replace("/refuse", "").replace("Refuse", "Continue")


async def test_looking_changes_nothing(visitor: Visitor, linking: FakeLinking) -> None:
    """Link previews of every network may look, as often as they like; the person then goes on (A7)."""
    agents = (
        "Slackbot-LinkExpanding 1.0",
        "Mozilla/5.0 (compatible; Discordbot/2.0)",
        "Synapse",
        "",
        "curl/8",
    )
    for agent in agents:
        await visitor("GET", f"/l/{TICKET}", User_Agent=agent)
        await visitor("HEAD", f"/l/{TICKET}", User_Agent=agent)
    looked = linking.names
    seen = await visitor.post(f"/l/{TICKET}")

    assert {"look"} == set(looked)
    assert 200 == seen.status
    assert ("authorise", TICKET) == linking.calls[-1]


async def test_a_preview_shows_nothing_to_preview(visitor: Visitor) -> None:
    """No Open Graph text, no description, no picture: a title, and that is all."""
    seen = await visitor("GET", f"/l/{TICKET}")
    head = seen.body.partition("</head>")[0]

    assert "<title>Connect GitHub?</title>" in head
    assert not re.search(r'property="og|name="description|name="twitter|<img', seen.body)


@pytest.mark.parametrize("ticket", ["a.b", "x" * 200, "%3Cscript%3E", "..%2f..%2fetc", "caf%C3%A9"])
async def test_what_can_be_no_ticket_is_not_looked_up(visitor: Visitor, linking: FakeLinking, ticket: str) -> None:
    """It is a link that the bot does not know."""
    seen = await visitor("GET", f"/l/{ticket}")

    assert (404, "No such link", []) == (seen.status, seen.title, linking.calls)


TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "link",
    "body",
    "header",
    "main",
    "footer",
    "section",
    "h1",
    "h2",
    "p",
    "strong",
    "bdi",
    "br",
    "span",
    "code",
    "time",
    "dl",
    "dt",
    "dd",
    "ul",
    "li",
    "form",
    "input",
    "button",
    "a",
    "div",
}
ATTRIBUTES = {"lang", "charset", "name", "content", "rel", "href", "class", "method", "action", "type", "value"}


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.hrefs += [value or "" for name, value in attrs if name in ("href", "action")]


NASTY = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


async def test_nothing_foreign_becomes_markup(visitor: Visitor, linking: FakeLinking) -> None:
    """Whatever a network or a provider lets people be called is shown as text (A17)."""
    linking.asking = replace(
        ASKING,
        title=NASTY,
        network=NASTY,
        subject=NASTY,
        display=NASTY,
        where=NASTY,
        command=NASTY,
        scopes=((NASTY, NASTY),),
        host=NASTY,
        apps_url="javascript:alert(3)",
        provider=NASTY,
    )
    states = [replace(LINKED, state=state, asking=linking.asking) for state in get_args(State.__value__)]
    bodies = [(await visitor("GET", f"/l/{TICKET}")).body]
    for outcome in states:
        linking.outcomes[FLOW, COOKIE] = replace(
            outcome, login=NASTY, name=NASTY, avatar=NASTY, code=NASTY, missing=(NASTY,), reason=NASTY
        )
        bodies.append((await visitor("GET", f"/f/{FLOW}", cookies=HELD)).body)

    assert 8 == len(bodies)
    for body in bodies:
        reader = Tags()
        reader.feed(body)

        assert TAGS >= reader.tags
        assert ATTRIBUTES >= reader.attributes
        assert all(re.match(r"/|https://github\.com/", href) for href in reader.hrefs)
    assert "&lt;script&gt;" in bodies[0]


async def test_names_cannot_turn_the_words_around_them(visitor: Visitor, linking: FakeLinking) -> None:
    """Direction overrides, line ends and letters without ink are dropped, and a long name is cut."""
    linking.asking = replace(ASKING, display="Al\u202eic\u200be\r\n\x00", where="#" + "o" * 500)
    seen = await visitor("GET", f"/l/{TICKET}")

    assert "Whoever speaks as Alice (123456789 on discord)" in seen.text
    assert not re.search("[\u202e\u200b\x00]", seen.body)
    assert "o" * 100 not in seen.body
    assert "<bdi>Alice</bdi>" in seen.body


# ---------------------------------------------------------------- form checking


@pytest.mark.parametrize("path", [f"/l/{TICKET}", f"/l/{TICKET}/refuse", f"/f/{FLOW}/disconnect"])
@pytest.mark.parametrize(
    ("site", "status"),
    [
        ("same-origin", 200),
        ("same-site", 403),
        ("cross-site", 403),
        ("none", 403),
        ("Same-Origin", 403),
        ("same-origin, cross-site", 403),
    ],
)
async def test_only_our_own_page_may_post(
    visitor: Visitor, linking: FakeLinking, path: str, site: str, status: int
) -> None:
    """Where the browser says what page sent a form, that decides; a token cannot mend it (A18)."""
    page = await visitor("GET", path.removesuffix("/refuse").removesuffix("/disconnect"), cookies=HELD)
    cookie, token = page.cookies[0].partition(";")[0], page.token(path)
    linking.calls.clear()
    seen = await visitor.post(
        path, form=f"form={token}", cookies=f"{HELD}; {cookie}", Sec_Fetch_Site=site, Origin="null"
    )

    assert status == seen.status
    assert (status == 200) == bool(linking.calls)
    assert status == 200 or seen.title == HTTP_WORDS[403].title


async def test_an_older_browser_shows_that_it_read_our_page(visitor: Visitor) -> None:
    """Without Sec-Fetch-Site the page brings a token and a cookie, and the form sends both."""
    page = await visitor("GET", f"/l/{TICKET}")
    cookie = page.cookies[0].partition(";")[0]
    seen = await visitor.post(
        f"/l/{TICKET}", form=f"form={page.token(f'/l/{TICKET}')}", cookies=cookie, Sec_Fetch_Site=""
    )

    assert 200 == seen.status
    name, *attributes = page.cookies[0].split("; ")
    assert re.fullmatch(r"__Host-ob-form=[A-Za-z0-9_-]{43}", name)
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"} == set(attributes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cookie, token, other: ("", token),
        lambda cookie, token, other: (cookie, ""),
        lambda cookie, token, other: (cookie, token[:-1]),
        lambda cookie, token, other: (cookie, token.upper()),
        lambda cookie, token, other: (cookie, "%00%FF"),
        lambda cookie, token, other: (cookie, other[1]),
        lambda cookie, token, other: (other[0], token),
        lambda cookie, token, other: (cookie.replace("__Host-", ""), token),
        lambda cookie, token, other: (f"{cookie}; __Host-ob-form=tossed", token),
    ],
    ids=[
        "no cookie",
        "no token",
        "cut",
        "case",
        "odd",
        "other's token",
        "other's cookie",
        "prefix",
        "tossed",
    ],
)
async def test_token_and_cookie_belong_together(
    visitor: Visitor,
    linking: FakeLinking,
    spoil: Callable[[str, str, tuple[str, str]], tuple[str, str]],
) -> None:
    """One without the other, or with somebody else's, is refused before anything happens (A18)."""
    pairs = []
    for _ in range(2):
        page = await visitor("GET", f"/l/{TICKET}")
        pairs.append((page.cookies[0].partition(";")[0], page.token(f"/l/{TICKET}")))
    cookie, token = spoil(*pairs[0], pairs[1])
    seen = await visitor.post(f"/l/{TICKET}", form=f"form={token}", cookies=cookie, Sec_Fetch_Site="")

    assert 403 == seen.status
    assert {"look"} == set(linking.names)


async def test_a_token_is_good_for_one_form(visitor: Visitor) -> None:
    """The token of Continue does not refuse, nor one ticket's another's, nor after a restart."""
    page = await visitor("GET", f"/l/{TICKET}")
    cookie, token = page.cookies[0].partition(";")[0], page.token(f"/l/{TICKET}")
    sent = {"form": f"form={token}", "cookies": cookie, "Sec_Fetch_Site": ""}
    refuse = await visitor.post(f"/l/{TICKET}/refuse", **sent)
    another = await visitor.post("/l/another", **sent)
    async with visiting(FakeLinking(), "https://bot.example.org") as restarted:
        later = await restarted.post(f"/l/{TICKET}", **sent)

    assert [403] * 3 == [refuse.status, another.status, later.status]
    assert token != page.token(f"/l/{TICKET}/refuse")


async def test_a_form_cookie_is_kept(visitor: Visitor) -> None:
    """Two tabs of an older browser share it, so that neither spoils the other's form."""
    first = await visitor("GET", f"/l/{TICKET}")
    second = await visitor("GET", f"/l/{TICKET}", cookies=first.cookies[0].partition(";")[0])

    assert [] == second.cookies
    assert first.token(f"/l/{TICKET}") == second.token(f"/l/{TICKET}")


@pytest.mark.parametrize("site", ["none", "cross-site", "same-origin"])
async def test_a_browser_of_today_gets_no_form_cookie(visitor: Visitor, site: str) -> None:
    """It has no use for one."""
    seen = await visitor("GET", f"/l/{TICKET}", Sec_Fetch_Site=site)

    assert [] == seen.cookies
    assert "" == seen.token(f"/l/{TICKET}")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json", "multipart/form-data; boundary=x", f"text/plain; {FORM}"]
)
async def test_only_forms_are_taken(visitor: Visitor, linking: FakeLinking, kind: str) -> None:
    """Anything else is no form of ours."""
    seen = await visitor.post(f"/l/{TICKET}", form="form=x", Content_Type=kind)

    assert (415, "Not a form", []) == (seen.status, seen.title, linking.calls)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("x=" + "y" * 16_382, 200),
        ("x=" + "y" * 16_383, 413),
        ("x" * 200_000, 413),
        ("&".join("a=b" for _ in range(32)), 200),
        ("&".join("a=b" for _ in range(33)), 400),
        ("a=caf\u00e9", 400),
    ],
    ids=["most", "more", "much more", "most fields", "more fields", "not ASCII"],
)
async def test_forms_are_short(visitor: Visitor, linking: FakeLinking, form: str, status: int) -> None:
    """16 KiB and 32 fields are more than any form of ours has."""
    seen = await visitor.post(f"/l/{TICKET}", form=form)

    assert status == seen.status
    assert (["authorise"] if status == 200 else []) == linking.names


async def test_a_form_of_unknown_length_is_short_too(visitor: Visitor) -> None:
    """A body in chunks is counted as it comes; a broken one is a bad request."""
    head = (
        f"POST /l/{TICKET} HTTP/1.1\r\nHost: bot.example.org\r\nSec-Fetch-Site: same-origin\r\n"
        f"Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    ).encode()
    long = await visitor.raw(head + b"5000\r\n" + b"x" * 0x5000 + b"\r\n0\r\n\r\n")
    broken = await visitor.raw(head + b"zz\r\nx\r\n")

    assert (413, 400) == (long.status, broken.status)


async def test_a_form_that_dribbles_is_not_waited_for(
    visitor: Visitor, linking: FakeLinking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is refused, and the connection closed."""
    monkeypatch.setattr(edge, "_BODY_WITHIN", 0.05)
    monkeypatch.setattr(edge, "_LINGER", 0.05)
    seen = await visitor.raw(
        f"POST /l/{TICKET} HTTP/1.1\r\nHost: bot.example.org\r\nSec-Fetch-Site: same-origin\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: 100\r\n\r\nform=".encode()
    )

    assert (408, "Too slow", []) == (seen.status, seen.title, linking.calls)


# -------------------------------------------------------------------- continuing


async def test_continue_leads_to_the_provider(visitor: Visitor) -> None:
    """By a refresh and by a link, never by a redirect, which form-action would stop."""
    seen = await visitor.post(f"/l/{TICKET}")

    escaped = html.escape(PROVIDER_URL)
    assert (200, None) == (seen.status, seen.headers.get("Location"))
    assert f'<meta http-equiv="refresh" content="0; url={escaped}">' in seen.body
    assert f'<a class="button" href="{escaped}" rel="noreferrer noopener">Go to github.com</a>' in seen.body


async def test_an_attempt_has_a_cookie_of_its_own(visitor: Visitor, local: Visitor) -> None:
    """`__Host-` and Secure under https; neither on loopback http, where browsers would refuse them."""
    secure = (await visitor.post(f"/l/{TICKET}")).cookies
    plain = (await local.post(f"/l/{TICKET}")).cookies

    common = {f"Max-Age={COOKIE_SECONDS}", "Path=/", "HttpOnly", "SameSite=Lax"}
    assert [{f"__Host-ob-{FLOW}={COOKIE}", "Secure", *common}] == [set(one.split("; ")) for one in secure]
    assert [{f"ob-{FLOW}={COOKIE}", *common}] == [set(one.split("; ")) for one in plain]
    assert COOKIE_SECONDS >= 86400


async def test_cookies_of_many_attempts_stay_few(visitor: Visitor) -> None:
    """The oldest go, before a header outgrows what servers take; cookies of others are not touched."""
    held = [f"__Host-ob-flow{number}=v" for number in range(30)]
    seen = await visitor.post(
        f"/l/{TICKET}",
        cookies="; ".join(["other=1", "__Host-ob-form=f", "ob-plain=1", "__Host-ob-a b=c", *held]),
    )

    dropped = [one.partition("=")[0] for one in seen.cookies if "Max-Age=0" in one]
    assert [f"__Host-ob-flow{number}" for number in range(7)] == dropped
    assert f"__Host-ob-{FLOW}={COOKIE}" in seen.cookies[-1]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", ""])
async def test_nobody_is_sent_where_the_web_is_not(visitor: Visitor, linking: FakeLinking, url: str) -> None:
    """A provider's address is http or https, whatever its metadata claimed."""
    linking.attempt = Attempt(FLOW, COOKIE, url)
    seen = await visitor.post(f"/l/{TICKET}")

    assert (500, []) == (seen.status, seen.cookies)
    assert not url or url not in seen.body


async def test_refuse_says_that_nothing_happened(visitor: Visitor, linking: FakeLinking) -> None:
    """The flow is ended, and the page says so."""
    seen = await visitor.post(f"/l/{TICKET}/refuse")

    assert (200, "Refused") == (seen.status, seen.title)
    assert "Nothing was connected" in seen.text
    assert [("refuse", TICKET)] == linking.calls


# ---------------------------------------------------------------------- callback


async def test_the_callback_of_a_login_leads_on_to_the_service(visitor: Visitor, linking: FakeLinking) -> None:
    """By a page with a refresh, as *Continue* does: no redirect that somebody's form-action could stop."""
    linking.onward = PROVIDER_URL
    seen = await visitor("GET", CALLBACK, cookies=HELD)

    assert (200, "On to github.com") == (seen.status, seen.title)
    assert f'content="0; url={PROVIDER_URL.replace("&", "&amp;")}"' in seen.body
    assert "Location" not in seen.headers


async def test_the_first_page_names_the_login(visitor: Visitor, linking: FakeLinking) -> None:
    """Before the service, and before the form for a key; the latter then announces no code."""
    for asking, then in ((ASKING, "After that comes github.com"), (KEY_ASKING, "After that comes a form of the bot's")):
        linking.asking = replace(asking, login="Dis<b>cord", login_host="discord.com")
        seen = await visitor("GET", f"/l/{TICKET}")
        assert "Continue leads to discord.com first, where you sign in to Dis<b>cord. Only Alice can go on" in seen.text
        assert then in seen.text
        assert "<b>cord" not in seen.body
    linking.outcomes[FLOW, COOKIE] = replace(WANTS_KEY, asking=linking.asking)
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD, Sec_Fetch_Site="same-origin")

    assert "a code to type in chat" not in seen.text


async def test_the_callback_ends_at_a_clean_address(visitor: Visitor, linking: FakeLinking) -> None:
    """Everything that came is handed on; then 303 to an address without code and state (A41)."""
    cookies = f"{HELD}; __Host-ob-form=f; ob-{FLOW}=tossed; other=1; __Host-ob-x=a b; __Host-ob-\u00e9=1"
    seen = await visitor("GET", f"{CALLBACK}&state=&scope=a+b&x=%C3%A9", cookies=cookies)
    page = await visitor("GET", seen.headers["Location"], cookies=HELD)

    query = [("code", CODE), ("state", STATE), ("state", ""), ("scope", "a b"), ("x", "é")]
    assert ("callback", "github", "default", query, {FLOW: COOKIE}) == linking.calls[0]
    assert (303, f"/f/{FLOW}", "") == (seen.status, seen.headers["Location"], seen.body)
    assert (200, "One step left") == (page.status, page.title)
    assert CODE not in page.body
    assert STATE not in page.body


async def test_an_instance_is_named_by_its_path(visitor: Visitor, linking: FakeLinking) -> None:
    """As it was configured, dots, colons and all."""
    await visitor("GET", "/callback/mastodon/social.example%3A8443?state=s")

    assert ("callback", "mastodon", "social.example:8443", [("state", "s")], {}) == linking.calls[0]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
async def test_only_get_brings_an_answer(visitor: Visitor, linking: FakeLinking, method: str) -> None:
    """A code is spent by the one request that browsers make, not by a look at it."""
    seen = await visitor(method, CALLBACK, cookies=HELD)

    assert (405, "GET", []) == (seen.status, seen.headers["Allow"], linking.calls)


@pytest.mark.parametrize("query", ["&".join(["state=x"] * 33), "state=%80&code=x&" * 40])
async def test_an_insane_query_is_no_answer(visitor: Visitor, linking: FakeLinking, query: str) -> None:
    """More fields than any provider sends are not even handed on."""
    seen = await visitor("GET", f"/callback/github/default?{query}")

    assert (400, "Nothing to go on", []) == (seen.status, seen.title, linking.calls)


async def test_a_query_in_raw_bytes_is_no_answer(visitor: Visitor, linking: FakeLinking) -> None:
    """Addresses are ASCII; what is not never reaches a hash function."""
    seen = await visitor.raw(
        b"GET /callback/github/default?state=\xff\xfe HTTP/1.1\r\nHost: bot.example.org\r\nConnection: close\r\n\r\n"
    )

    assert (400, []) == (seen.status, linking.calls)


@pytest.mark.parametrize("code", FLOW_WORDS)
async def test_every_failure_has_its_page(visitor: Visitor, linking: FakeLinking, code: str) -> None:
    """It says what happened and what to do; nothing that came in is shown (A17)."""
    linking.error = FlowError(code)
    words = FLOW_WORDS[code]
    reflected = "error_description=%3Cscript%3Ealert(1)%3C/script%3Ecanary&error=canary"
    back = await visitor("GET", f"{CALLBACK}&{reflected}", cookies=HELD)
    look = await visitor("GET", f"/l/{TICKET}?{reflected}")
    post = await visitor.post(f"/l/{TICKET}")
    shown = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    at_callback = 400 if words.status in (404, 410) else words.status
    assert [at_callback, *[words.status] * 3] == [one.status for one in (back, look, post, shown)]
    for seen in (back, look, post, shown):
        assert words.title == seen.title
        assert words.text in seen.text
        assert words.cure in seen.text
        assert not re.search(f"canary|<script|{CODE}|{STATE}|{TICKET}", seen.body)


def test_every_code_has_its_words() -> None:
    """The table is complete over what `FlowError` and `Flow` say there is, and has nothing else."""
    documented = set(re.findall(r"``(\w+)``", FlowError.__doc__ or ""))
    known = {"refused", "not_me", "locked", "replaced", "stolen", "seen", "interrupted", "unlinked"}

    assert documented == set(FLOW_WORDS)
    assert known <= set(ENDED_WORDS)


async def test_a_code_without_words_is_answered_all_the_same(visitor: Visitor, linking: FakeLinking) -> None:
    """A page that says little is better than none."""
    linking.error = FlowError("brand_new")
    seen = await visitor("GET", f"/l/{TICKET}")

    assert (400, "This link has ended") == (seen.status, seen.title)


async def test_a_missing_key_is_told_apart(
    visitor: Visitor, linking: FakeLinking, caplog: pytest.LogCaptureFixture
) -> None:
    """What the vault refuses is the operator's to mend, and the page says that."""
    linking.error = KeyMissing("k1")
    seen = await visitor("GET", CALLBACK)

    assert (503, FLOW_WORDS["vault"].title) == (seen.status, seen.title)
    assert "KeyMissing in /callback/{provider}/{instance}" in caplog.text


@pytest.mark.parametrize("words", [*FLOW_WORDS.values(), *ENDED_WORDS.values(), *HTTP_WORDS.values()])
def test_words_are_whole_sentences(words: Words) -> None:
    """A title without a full stop, sentences with one."""
    assert words.title
    assert not words.title.endswith(".")
    for text in filter(None, (words.text, words.cure)):
        assert text.endswith(".")
        assert text[0].isupper()
        assert "  " not in text


# ----------------------------------------------------------------- the last page


async def test_the_code_page_says_what_to_do_and_what_not(visitor: Visitor) -> None:
    """Account, asker, code, who is to type it and how, and that whoever asks for it is a thief."""
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    for part in (
        "alice-gh on GitHub",
        "Alice Liddell",
        "Alice (123456789 on discord) 2 minutes ago, in #ops, by the command gh issues",
        "Type it yourself, to the bot, in private, as Alice (123456789 on discord): confirm KXQW-MNHZ",
        "Whoever asks you for it wants your account.",
        "The code works until 06:09 UTC (9 minutes left). Once it is spoken you may close this page",
        "This was not me: disconnect",
    ):
        assert part in seen.text
    assert "Not granted" not in seen.text
    assert 'href="https://github.com/settings/applications"' in seen.body


async def test_missing_scopes_are_said(visitor: Visitor, linking: FakeLinking) -> None:
    """What the person did not grant is on the page, before and after the confirm."""
    for outcome in (PENDING, LINKED):
        linking.outcomes[FLOW, COOKIE] = replace(outcome, missing=("repo", "gist"))
        seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

        assert "Not granted repo, gist" in seen.text


async def test_a_confirmed_link_can_be_undone_for_a_day(visitor: Visitor, linking: FakeLinking) -> None:
    """Confirmed by whom and when, and until when that can be undone at this browser (A66)."""
    linking.outcomes[FLOW, COOKIE] = LINKED
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    assert "GitHub is connected" == seen.title
    assert "Confirmed 1 hour ago (05:00 UTC) by Alice (123456789 on discord)." in seen.text
    assert "This button works until 23 November, 05:00 UTC." in seen.text
    assert "KXQW" not in seen.body
    assert "" != seen.token(f"/f/{FLOW}/disconnect")


async def test_after_a_day_the_chat_undoes_it(visitor: Visitor, linking: FakeLinking) -> None:
    """The button is gone; the page says what is left."""
    linking.outcomes[FLOW, COOKIE] = replace(LINKED, confirmed=NOW - 90_000, undo_until=NOW)
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    assert "<form" not in seen.body
    assert "Confirmed 1 day ago (21 November, 05:00 UTC) by Alice" in seen.text
    assert "say unlink github to the bot, or take its permission back at GitHub." in seen.text


async def test_a_held_link_waits_for_an_admin(visitor: Visitor, linking: FakeLinking) -> None:
    """The page says why, and offers to undo it."""
    linking.outcomes[FLOW, COOKIE] = replace(PENDING, state="held", reason="taken", code="")
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    assert "An admin has to decide" == seen.title
    assert "connected for another person here already" in seen.text
    assert "" != seen.token(f"/f/{FLOW}/disconnect")


@pytest.mark.parametrize(
    ("state", "reason", "title"),
    [
        ("refused", "refused", "Refused"),
        ("refused", "not_me", "Disconnected"),
        ("refused", "unlinked", "No longer connected"),
        ("refused", "locked", "Too many wrong codes"),
        ("refused", "replaced", "Replaced"),
        ("refused", "stolen", "Somebody else had the code"),
        ("refused", "seen", "Seen by others"),
        ("refused", "interrupted", "Interrupted"),
        ("refused", "denied", "You said no"),
        ("refused", "brand_new", "This link has ended"),
        ("expired", "expired", "Too late"),
        ("open", "", "Not finished yet"),
        ("exchanging", "", "Not finished yet"),
    ],
)
async def test_an_end_is_told_with_its_reason(
    visitor: Visitor, linking: FakeLinking, state: State, reason: str, title: str
) -> None:
    """And has no button left, but the way to the provider's own list."""
    linking.outcomes[FLOW, COOKIE] = replace(PENDING, state=state, reason=reason, login="", name="", code="")
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    assert (200, title) == (seen.status, seen.title)
    assert "<form" not in seen.body
    assert "the applications you authorised at GitHub" in seen.text


@pytest.mark.parametrize(
    ("cookies", "status"),
    [
        ("", 400),
        (f"ob-{FLOW}={COOKIE}", 400),
        (f"__Host-ob-other={COOKIE}", 400),
        (f"__Host-ob-{FLOW}=", 400),
        (f"__Host-ob-{FLOW}=somebody-elses", 404),
    ],
)
async def test_another_browser_sees_nothing(visitor: Visitor, linking: FakeLinking, cookies: str, status: int) -> None:
    """Without the attempt's cookie there is no code, no account and no button (A1)."""
    seen = await visitor("GET", f"/f/{FLOW}", cookies=cookies)
    undo = await visitor.post(f"/f/{FLOW}/disconnect", cookies=cookies)

    assert (status, status) == (seen.status, undo.status)
    assert not re.search("KXQW|alice", seen.body + undo.body)


async def test_this_was_not_me_disconnects(visitor: Visitor, linking: FakeLinking) -> None:
    """The browser that authorised cuts the link, with the cookie it holds."""
    seen = await visitor.post(f"/f/{FLOW}/disconnect", cookies=HELD)

    assert (200, "Disconnected") == (seen.status, seen.title)
    assert [("disconnect", FLOW, COOKIE)] == linking.calls


@pytest.mark.parametrize("state", ["linked", "held", "refused"])
async def test_no_page_promises_what_does_not_happen(visitor: Visitor, linking: FakeLinking, state: State) -> None:
    """What cannot be handed back from here is erased, and that is all that is said of it."""
    known = replace(LINKED, state=state, reason="not_me" if state == "refused" else "")
    pages = []
    for gives_back in (True, False):
        linking.outcomes[FLOW, COOKIE] = replace(known, gives_back=gives_back)
        pages.append((await visitor("GET", f"/f/{FLOW}", cookies=HELD)).text)

    assert re.search("is erased here,? and (is being )?given back", pages[0])
    assert not re.search("and (is being )?given back", pages[1])
    assert "is erased here." in pages[1]


async def test_too_late_to_disconnect_is_not_called_unlinked(visitor: Visitor, linking: FakeLinking) -> None:
    """A page left open for more than a day says that the link stands, and how to end it."""
    linking.outcomes[FLOW, COOKIE] = replace(LINKED, undo_until=NOW)
    linking.too_late = True
    seen = await visitor.post(f"/f/{FLOW}/disconnect", cookies=HELD)

    assert (200, "GitHub is connected") == (seen.status, seen.title)
    assert "It can no longer be undone here." in seen.text


# ------------------------------------------------------------------- other pages


# ------------------------------------------------------------------------ a key


async def test_a_link_by_key_says_what_a_key_opens_and_where_it_goes(visitor: Visitor, linking: FakeLinking) -> None:
    """Everything; and the form that comes next is ours."""
    linking.asking = KEY_ASKING
    seen = await visitor("GET", f"/l/{TICKET}")

    assert "Everything that you may do there: a key knows no limits of its own." in seen.text
    assert "Continue leads to a form of the bot's own, for your API <key> at redmine.example.org." in seen.text


async def test_continue_leads_to_the_form_for_a_key(visitor: Visitor, linking: FakeLinking) -> None:
    """With the attempt's cookie, and without another host in between."""
    linking.attempt = Attempt(FLOW, COOKIE, "", here=True)
    seen = await visitor.post(f"/l/{TICKET}")

    assert (303, f"/f/{FLOW}") == (seen.status, seen.headers["Location"])
    assert seen.cookies[0].startswith(f"__Host-ob-{FLOW}={COOKIE};")


async def test_the_form_for_a_key_names_the_service_and_keeps_quiet(visitor: Visitor, linking: FakeLinking) -> None:
    """One field that nobody looks into, nothing that remembers it, and the words of what is handed over."""
    linking.outcomes[FLOW, COOKIE] = WANTS_KEY
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD, Sec_Fetch_Site="same-origin")
    field = re.search(r'<input id="key"[^>]*>', seen.body)

    assert "Your API <key> for Redmine (work)" == seen.title
    assert "It stands on your & account's page." in seen.text
    assert "whoever speaks as Alice (123456789 on discord) can do on Redmine (work) all that you can." in seen.text
    assert 'href="https://redmine.example.org/my/account" rel="noreferrer noopener"' in seen.body
    assert f'method="post" action="/f/{FLOW}/key"' in seen.body
    assert field is not None
    assert 'type="password" autocomplete="off"' in field[0]
    assert "value=" not in field[0]
    assert "<key>" not in seen.body


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "data:text/html,x"])
async def test_only_a_web_page_is_offered_for_finding_a_key(visitor: Visitor, linking: FakeLinking, url: str) -> None:
    """A catalogue may name none."""
    linking.outcomes[FLOW, COOKIE] = replace(WANTS_KEY, asking=replace(KEY_ASKING, key_url=url))
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    assert "Your keys at" not in seen.text


async def test_a_typed_key_leads_to_a_clean_address(visitor: Visitor, linking: FakeLinking) -> None:
    """A reload of what comes next does not send it again."""
    seen = await visitor.post(f"/f/{FLOW}/key", form="key=a%2Bb%3A+%C3%BC", cookies=HELD)

    assert [("enter", FLOW, COOKIE, "a+b: ü")] == linking.calls
    assert (303, f"/f/{FLOW}", "") == (seen.status, seen.headers["Location"], seen.body)


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [("bad_key", 422, "The service does not take that key."), ("unavailable", 503, "The service did not answer.")],
)
async def test_a_key_that_is_not_taken_may_be_typed_again(
    visitor: Visitor, linking: FakeLinking, code: str, status: int, words: str
) -> None:
    """The form says why, and does not repeat it."""
    linking.outcomes[FLOW, COOKIE] = WANTS_KEY
    linking.key_errors["canary-4711"] = FlowError(code)
    seen = await visitor.post(f"/f/{FLOW}/key", form="key=canary-4711", cookies=HELD)

    assert status == seen.status
    assert words in seen.text
    assert ("take no keys at all" in seen.text) == (code == "bad_key")
    assert "canary" not in seen.body
    assert f'action="/f/{FLOW}/key"' in seen.body
    assert HEADERS["Cache-Control"] == seen.headers["Cache-Control"]


async def test_a_link_by_key_speaks_of_a_key(visitor: Visitor, linking: FakeLinking) -> None:
    """The service handed nothing over, and has no application to take back."""
    linking.outcomes[FLOW, COOKIE] = replace(LINKED, asking=KEY_ASKING, gives_back=False)
    seen = await visitor("GET", f"/f/{FLOW}", cookies=HELD)

    assert "disconnect: your key is erased here." in seen.text
    assert f'<a href="{KEY_ASKING.key_url}"' in seen.body
    assert "applications" not in seen.text


async def test_the_last_wrong_key_is_told_as_the_end_that_it_is(visitor: Visitor, linking: FakeLinking) -> None:
    """And no form is shown any more."""
    linking.outcomes[FLOW, COOKIE] = replace(WANTS_KEY, state="refused", reason="bad_key")
    linking.key_errors["wrong"] = FlowError("bad_key")
    seen = await visitor.post(f"/f/{FLOW}/key", form="key=wrong", cookies=HELD)

    assert "Too many wrong keys" == seen.title
    assert "<input" not in seen.body


@pytest.mark.parametrize(("code", "status"), [("spent", 410), ("expired", 410), ("ended", 410), ("vault", 503)])
async def test_a_key_for_a_link_that_takes_none_any_more(
    visitor: Visitor, linking: FakeLinking, code: str, status: int
) -> None:
    """It has its page as everywhere."""
    linking.key_errors["k"] = FlowError(code)
    seen = await visitor.post(f"/f/{FLOW}/key", form="key=k", cookies=HELD)

    assert (status, FLOW_WORDS[code].title) == (seen.status, seen.title)


@pytest.mark.parametrize("more", [{"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": ""}, {"Content_Type": "x/y"}])
async def test_a_key_is_taken_from_our_own_form_only(
    visitor: Visitor, linking: FakeLinking, more: dict[str, str]
) -> None:
    """Nobody else's page types into it."""
    seen = await visitor.post(f"/f/{FLOW}/key", form="key=k", cookies=HELD, **more)

    assert seen.status in (403, 415)
    assert [] == linking.calls


async def test_a_key_is_taken_from_an_older_browser_with_its_token(visitor: Visitor, linking: FakeLinking) -> None:
    """The form has one where the browser does not tell where requests come from; also after a wrong key."""
    linking.outcomes[FLOW, COOKIE] = WANTS_KEY
    linking.key_errors["wrong"] = FlowError("bad_key")
    shown = await visitor("GET", f"/f/{FLOW}", cookies=HELD)
    cookies = f"{HELD}; {shown.cookies[0].partition(';')[0]}"
    token = re.search(r'name="form" value="([^"]+)"', shown.body)
    assert token is not None
    form = f"form={token[1]}&key="
    wrong = await visitor.post(f"/f/{FLOW}/key", form=f"{form}wrong", cookies=cookies, Sec_Fetch_Site="")
    right = await visitor.post(f"/f/{FLOW}/key", form=f"{form}right", cookies=cookies, Sec_Fetch_Site="")

    assert (422, 303) == (wrong.status, right.status)
    assert token[0] in wrong.body


@pytest.mark.parametrize("cookies", ["", f"__Host-ob-{FLOW}=short", "__Host-ob-other=" + COOKIE])
async def test_a_key_is_taken_from_its_own_browser_only(visitor: Visitor, linking: FakeLinking, cookies: str) -> None:
    """Whoever has the address alone types into nothing."""
    linking.key_errors["k"] = FlowError("unknown")
    seen = await visitor.post(f"/f/{FLOW}/key", form="key=k", cookies=cookies)

    assert seen.status in (400, 404)


async def test_every_page_is_alone(visitor: Visitor, linking: FakeLinking) -> None:
    """No script, no picture, no font, nothing from elsewhere, one heading, a language, and a viewport."""
    pages = [await visitor("GET", path, cookies=HELD) for path in ("/", "/nowhere", f"/l/{TICKET}")]
    pages.append(await visitor.post(f"/l/{TICKET}"))
    for outcome in (PENDING, LINKED, replace(PENDING, state="held"), replace(PENDING, state="expired")):
        linking.outcomes[FLOW, COOKIE] = outcome
        pages.append(await visitor("GET", f"/f/{FLOW}", cookies=HELD))

    for page in pages:
        assert page.body.startswith('<!doctype html>\n<html lang="en">')
        assert not re.search(r"<script|<img|<style|\sstyle=|\son\w+=|<iframe|src=", page.body)
        assert ['href="/style.css"'] == re.findall(r'<link rel="stylesheet" (.*?)>', page.body)
        assert 1 == page.body.count("<h1>")
        assert 'name="viewport"' in page.body


async def test_the_style_is_ours_and_whole(visitor: Visitor) -> None:
    """One sheet, for light and dark, that fetches nothing."""
    seen = await visitor("GET", "/style.css")

    assert "text/css; charset=utf-8" == seen.headers["Content-Type"]
    assert "prefers-color-scheme: dark" in seen.body
    assert ":focus-visible" in seen.body
    assert not re.search(r"url\(|@import", seen.body)


async def test_the_front_door_and_robots(visitor: Visitor) -> None:
    """There is nothing to see, and robots need not look."""
    front = await visitor("GET", "/")
    robots = await visitor("GET", "/robots.txt")

    assert "nothing to see here; ask the bot in chat" in front.text
    assert "User-agent: *\nDisallow: /\n" == robots.body


async def test_health_is_json() -> None:
    """With whatever assembly has to say about itself."""
    async with visiting(FakeLinking(), None, health=lambda: {"networks": {"libera": "up"}}) as visitor:
        seen = await visitor("GET", "/healthz")

    assert {"status": "ok", "networks": {"libera": "up"}} == json.loads(seen.body)
    assert "application/json; charset=utf-8" == seen.headers["Content-Type"]


@pytest.mark.parametrize("status", [404, 405])
async def test_refusals_say_what_they_are(visitor: Visitor, status: int) -> None:
    """Each with its own page, and never the address that was asked for."""
    seen = await visitor("GET" if status == 404 else "DELETE", "/" if status == 405 else "/canary")

    assert (status, HTTP_WORDS[status].title) == (seen.status, seen.title)
    assert "canary" not in seen.body
    assert status == 404 or seen.headers["Allow"] == "GET, HEAD"


async def test_what_breaks_is_logged_without_its_words(
    visitor: Visitor, linking: FakeLinking, caplog: pytest.LogCaptureFixture
) -> None:
    """The page has a reference, the log has the same and the place; the error's text may be a secret (A40)."""
    caplog.set_level(logging.DEBUG)
    linking.error = RuntimeError(f"token=canary {TICKET}")
    seen = await visitor("GET", f"/l/{TICKET}")
    ref = re.search(r"<code>([0-9A-F]{4})</code>", seen.body)

    assert (500, "Something broke") == (seen.status, seen.title)
    assert ref is not None
    assert f"ref {ref[1]}: RuntimeError in /l/{{ticket}}" in caplog.text
    assert "in _called" in caplog.text
    assert not re.search(f"canary|{TICKET}", caplog.text + seen.body)


# --------------------------------------------------------------------------- log


async def test_the_log_names_routes_and_nothing_else(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """No ticket, no flow, no code, no state, no cookie, no query, even at DEBUG (A40)."""
    caplog.set_level(logging.DEBUG)
    await visitor("GET", f"/l/{TICKET}?canary=1", User_Agent="canary", Referer="https://canary.example")
    await visitor.post(f"/l/{TICKET}", form="form=canary", cookies=f"{HELD}; canary[1]=canary")
    await visitor("GET", CALLBACK, cookies=HELD)
    await visitor("GET", f"/f/{FLOW}", cookies=HELD)
    await visitor("GET", "/canary")
    await visitor("CANARY", "/")
    lines = [record.getMessage() for record in caplog.records if record.name == "omnibot.edge"]

    expected = (
        r"GET /l/\{ticket\} 200 \d+ B \d+ ms from 127\.0\.0\.1",
        r"POST /l/\{ticket\} 200 \d+ B \d+ ms from 127\.0\.0\.1",
        r"GET /callback/\{provider\}/\{instance\} 303 \d+ B \d+ ms from 127\.0\.0\.1",
        r"GET /f/\{flow\} 200 \d+ B \d+ ms from 127\.0\.0\.1",
        r"GET - 404 \d+ B \d+ ms from 127\.0\.0\.1",
        r"- [/-] 40[05] \d+ B \d+ ms from .*",
    )
    assert len(expected) == len(lines)
    assert all(re.fullmatch(pattern, line) for pattern, line in zip(expected, lines, strict=True)), lines
    assert not re.search(f"(?i:canary)|{TICKET}|{FLOW}|{COOKIE}|{CODE}|{STATE}", caplog.text)


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client"),
    [
        ((), "203.0.113.9", "127.0.0.1"),
        (("10.0.0.0/8",), "203.0.113.9", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.9", "203.0.113.9"),
        (("127.0.0.0/8", "10.0.0.0/8"), "1.1.1.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        (("127.0.0.1",), "198.51.100.1, 2001:db8::9", "2001:db8::9"),
        (("127.0.0.1",), "canary\x09injected", "127.0.0.1"),
        (("127.0.0.1",), "", "127.0.0.1"),
    ],
)
async def test_a_trusted_proxy_names_the_client(
    caplog: pytest.LogCaptureFixture, trusted: tuple[str, ...], forwarded: str, client: str
) -> None:
    """For the log only, and only as far as the trust goes: what a client itself wrote is further left."""
    caplog.set_level(logging.INFO)
    async with visiting(FakeLinking(), "https://bot.example.org", trusted_proxies=trusted) as visitor:
        await visitor("GET", "/", X_Forwarded_For=forwarded)

    assert f"from {client}\n" in caplog.text


async def test_nobody_reading_the_log_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """With INFO switched off there is no line a request."""
    caplog.set_level(logging.WARNING)
    async with visiting(FakeLinking(), None) as visitor:
        await visitor("GET", "/")

    assert "" == caplog.text


# ------------------------------------------------------------------- the listener


@pytest.mark.parametrize(
    ("host", "port", "what"),
    [
        ("127.0.0.1", None, r'listen: "127\.0\.0\.1:\d+" is in use by another program\. Stop that'),
        ("192.0.2.1", 0, r'listen: "192\.0\.2\.1:0" cannot be listened on\. Name an address'),
        ("2001:db8::1", 0, r'listen: "\[2001:db8::1\]:0" cannot be listened on'),
        ("no-such-host.invalid", 0, r"cannot be listened on"),
    ],
)
async def test_an_address_that_cannot_be_had_is_said(host: str, port: int | None, what: str) -> None:
    """What is wrong and how to mend it, in one line; and nothing is left half open."""
    async with visiting(FakeLinking(), None) as first:
        taken = first.listener.port if port is None else port
        second = Listener(FakeLinking(), public_url=None, host=host, port=taken)
        with pytest.raises(ConfigError, match=what):
            await second.start()
        await second.stop()


async def test_a_port_that_is_not_permitted_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports below 1024 are the system's."""

    async def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_server", refuse)
    with pytest.raises(ConfigError, match=r'"127\.0\.0\.1:80" is not permitted\. Choose a port above 1023'):
        await Listener(FakeLinking(), public_url=None, host="127.0.0.1", port=80).start()


async def test_the_port_is_the_one_listened_on() -> None:
    """Before the start it is the one asked for; stopping twice does no harm."""
    listener = Listener(FakeLinking(), public_url=None, host="127.0.0.1", port=0)
    before = listener.port
    await listener.start()
    after = listener.port
    await listener.stop()
    await listener.stop()

    assert 0 == before
    assert after > 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", after)


async def test_what_is_under_way_ends_before_the_stop(linking: FakeLinking) -> None:
    """A callback that is being worked on gets its answer."""
    linking.gate = asyncio.Event()
    async with visiting(linking, "https://bot.example.org") as visitor:
        coming = asyncio.create_task(visitor("GET", CALLBACK))
        await _until(lambda: bool(linking.calls))
        stopping = asyncio.create_task(visitor.listener.stop())
        await asyncio.sleep(0.02)
        linking.gate.set()
        seen = await coming
        await stopping

    assert 303 == seen.status


async def test_a_browser_that_leaves_does_not_stop_the_work(visitor: Visitor, linking: FakeLinking) -> None:
    """A code is spent by then: the exchange goes on, and the next request finds it done."""
    linking.gate, done = asyncio.Event(), []
    _, writer = await asyncio.open_connection("127.0.0.1", visitor.listener.port)
    writer.write(f"GET {CALLBACK} HTTP/1.1\r\nHost: bot.example.org\r\n\r\n".encode())
    await _until(lambda: bool(linking.calls))
    task = next(one for one in asyncio.all_tasks() if "_handle" in repr(one.get_coro()))
    task.add_done_callback(lambda one: done.append(one.cancelled()))
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.02)
    linking.gate.set()
    await _until(lambda: bool(done))

    assert [False] == done


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: bot.exam"])
async def test_a_silent_connection_is_closed(
    linking: FakeLinking, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """A head that does not come, or does not end, is not waited for for ever."""
    monkeypatch.setattr(edge, "_IDLE", 0.05)
    async with visiting(linking, "https://bot.example.org") as visitor:
        reader, writer = await asyncio.open_connection("127.0.0.1", visitor.listener.port)
        writer.write(sent)
        rest = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()

    assert b"" == rest


async def test_there_are_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is closed at once; when another has gone there is room again."""
    monkeypatch.setattr(edge, "MOST_CONNECTIONS", 2)
    async with visiting(FakeLinking(), "https://bot.example.org") as visitor:
        held = [await asyncio.open_connection("127.0.0.1", visitor.listener.port) for _ in range(2)]
        await asyncio.sleep(0.02)
        with pytest.raises((ConnectionError, IndexError)):
            await visitor.raw(b"GET / HTTP/1.1\r\nHost: bot.example.org\r\nConnection: close\r\n\r\n")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.02)
        seen = await visitor.raw(b"GET / HTTP/1.1\r\nHost: bot.example.org\r\nConnection: close\r\n\r\n")

    assert 200 == seen.status


async def test_a_connection_that_breaks_says_nothing_of_itself(
    visitor: Visitor, linking: FakeLinking, caplog: pytest.LogCaptureFixture
) -> None:
    """A reset while the answer is written is no more than a line."""
    caplog.set_level(logging.DEBUG)
    linking.gate = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", visitor.listener.port)
    writer.write(f"GET /l/{TICKET} HTTP/1.1\r\nHost: bot.example.org\r\n\r\n".encode())
    await _until(lambda: bool(linking.calls))
    writer.transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    writer.transport.abort()
    await asyncio.sleep(0.02)
    linking.gate.set()
    await asyncio.sleep(0.02)

    assert TICKET not in caplog.text


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nothing tells when a request arrives
            await asyncio.sleep(0.005)


# ------------------------------------------------------------------------- proof


async def test_the_bot_proves_that_it_is_reached() -> None:
    """By what it is given to prove itself with, and to its public name alone; without that there is no such address."""
    async with visiting(FakeLinking(), "https://bot.example.org", prove=lambda nonce: f"proof of {nonce}") as visitor:
        seen = await visitor("GET", "/check/abc")
        odd = await visitor("GET", "/check/a%20b")
        elsewhere = await visitor("GET", "/check/abc", Host="127.0.0.1")
    async with visiting(FakeLinking(), None) as visitor:
        without = await visitor("GET", "/check/abc")

    assert (200, "proof of abc", "no-store") == (seen.status, seen.body, seen.headers["Cache-Control"])
    assert "proof" not in odd.body
    assert (421, 404) == (elsewhere.status, without.status)
