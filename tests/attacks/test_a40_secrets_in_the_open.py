"""A40, secrets in the open: a token, code or ticket in a log, an error, a page, a chat line, the audit.

What must hold: whatever happens (a service that refuses, breaks, hangs up or says nothing, a skill that
raises or is cancelled, an address that leads nowhere), with every logger at DEBUG and asyncio in
debug mode, where it writes down each callback with its arguments: none of the secrets that passed
shows anywhere but where it belongs.  Objects that hold one do not show it when printed.

What remains: what a skill itself writes down of the answers it got.  Authlib's loggers are not looked
at: nothing of ours sends through them, and those that speak here are the demo service's own, which
runs in the same process and may know what it has issued.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from attacks.canaries import Listening, found, shown
from attacks.helpers import answered, arrive, fetch, stopping
from omnibot import LinkedContext, Skill
from omnibot.demo.browser import Browser
from omnibot.edge import AccessLog
from omnibot.linking.exchange import ExchangeError
from omnibot.linking.flows import Asking, Attempt, Outcome
from omnibot.message import Private
from omnibot.oauth import Callback
from omnibot.provider import ClientCredential, Secret, Token
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from omnibot.vault import Keyring, MasterKey, PersonKeys
from omnibot.wire import Answer, Request


@dataclass(slots=True)
class Probe:
    """A skill that meets every misfortune, and keeps the errors that came of it."""

    errors: list[BaseException] = field(default_factory=list)

    def skill(self) -> Skill:
        skill = Skill("probe")

        @skill.linked("demo", scopes=["notes:write"], effect="change")
        async def call(ctx: LinkedContext, path: str) -> str:
            """Call the service."""
            try:
                return str(await ctx.api.get(path))
            except BaseException as error:
                self.errors.append(error)
                raise

        @skill.linked("demo", timeout=0.02)
        async def hang(ctx: LinkedContext) -> str:
            """Call, without patience."""
            return str(await ctx.api.get("/api/me"))

        @skill.linked("demo")
        async def fail(ctx: LinkedContext) -> str:
            """Raise with all there is."""
            await ctx.api.get("/api/me")
            raise RuntimeError(f"{ctx!r} {vars(type(ctx))!r}", ctx, ctx.api)

        @skill.linked("demo")
        def block(ctx: LinkedContext) -> str:
            """Raise in a thread."""
            raise KeyError(repr(ctx.apis))

        @skill.linked("demo")
        async def ask(ctx: LinkedContext) -> str:
            """Ask."""
            await ctx.api.get("/api/me")
            return await ctx.ask("Well?")

        return skill


@pytest.fixture
async def provider() -> AsyncIterator[Listening]:
    """The service that remembers."""
    async with Listening() as provider:
        yield provider


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
async def bench(plan: Plan, probe: Probe, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Bench]:
    """A bot with that skill, of which everything is written down."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    async with Bench.open(replace(plan, skills=(*SKILLS, probe.skill()))) as bench:
        yield bench
    loop.set_debug(False)


@dataclass(slots=True)
class Walked:
    """What a journey left in the browser, and in the hands of the person."""

    pages: list[str] = field(default_factory=list)
    tickets: set[str] = field(default_factory=set)
    cookies: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)

    async def link(self, bench: Bench, command: str) -> None:
        """Link because of *command*, and look at every page on the way."""
        await bench.say(command)
        url = bench.link_for()
        self.tickets.add(url.rpartition("/")[2])
        async with Browser() as browser:
            await browser.open(url)
            self.pages.append(browser.page)
            await bench.authorise(browser, url)
            self.pages.append(browser.page)
            self.codes.add(browser.code)
            assert browser._session is not None
            self.cookies |= {cookie.value for cookie in browser._session.cookie_jar}
            await bench.say(f"!confirm {browser.code}")
            await browser.open(browser.url)
            self.pages.append(browser.page)


async def misfortunes(bench: Bench, provider: Listening, walked: Walked) -> None:
    """Let everything happen that can."""
    for fault in (
        {"status": 500, "body": "out of order"},
        {"status": 403, "body": "no"},
        {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
        {"drop": True},
        {"status": 200, "body": "{", "headers": {"Content-Type": "application/json"}},
        {"status": 200, "body": "x", "headers": {"Content-Encoding": "gzip"}},
    ):
        provider.fail("/api/me", **fault)
        await bench.say("!probe call /api/me")
    await bench.say("!probe call http://evil.example/")
    await bench.say("!probe fail")
    await bench.say("!probe block")
    provider.fail("/api/me", delay=0.05, status=None)
    await bench.say("!probe hang")
    await bench.say("!probe ask")
    await bench.say("!ping")
    await cancelled(bench, provider)
    for path in ("/token", "/api/me"):
        provider.expire_access_tokens()
        provider.fail(path, status=500)
        await bench.say("!probe call /api/me")
    await bench.say("!confirm BBBB-BBBB")
    await lost_addresses(bench, walked)


async def cancelled(bench: Bench, provider: Listening) -> None:
    """Cancel a command in the midst of its request."""
    provider.fail("/api/me", delay=0.05, status=None)
    provider.arrived.clear()
    await bench.network.hear("!probe call /api/me", ADA)
    await provider.arrived.wait()
    for task in asyncio.all_tasks():
        if task.get_name().startswith("probe call"):
            task.cancel()
    await bench.settle()


async def lost_addresses(bench: Bench, walked: Walked) -> None:
    """Ask the listener for addresses that hold secrets, and lead nowhere."""
    public = f"http://127.0.0.1:{bench.plan.port}"
    ticket = next(iter(walked.tickets))
    callback = f"/callback/demo/default?state={ticket}&code={ticket}"
    for path in (f"/l/{ticket}", f"/l/{ticket}/x", f"/{ticket}", callback):
        walked.pages.append((await fetch(public + path)).text)
        await fetch(public + path, method="POST", data=ticket)
    await fetch(f"{public}/l/{ticket}", headers={"Host": "evil.example", "Cookie": f"ob-x={ticket}"})
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.plan.port)
    writer.write(f"GET /l/{ticket}\x01 \x02HTTP/9\r\nCookie: {ticket}\r\n\r\n".encode())
    await reader.read()
    writer.close()


async def failing_links(bench: Bench, provider: Listening, walked: Walked) -> None:
    """Begin links that the service does not see to their end."""
    for path, fault in (("/token", {"status": 500}), ("/token", {"drop": True}), ("/api/me", {"status": 401})):
        async with stopping(bench.plan) as browser:
            callback = await answered(bench, browser)
            walked.tickets.add(bench.link_for().rpartition("/")[2])
            provider.fail(path, **fault)
            await arrive(browser, callback)
            walked.pages.append(browser.page)
    await bench.settle()


def told(bench: Bench) -> str:
    """Return everything that was said, but the links in what was said to Ada alone."""
    return "\n".join(
        one.reply.text + ("" if one.to == Private(ADA, getattr(one.to, "near", None)) else str(one.reply.link))
        for one in bench.network.said
    )


def with_addresses(patch: pytest.MonkeyPatch) -> None:
    """Log requests as web servers do by habit."""

    def log(self: AccessLog, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        self.logger.info("%s %s %s", request.method, request.path_qs, response.status)

    patch.setattr(AccessLog, "log", log)


@pytest.mark.attack("A40", sabotage=with_addresses)
async def test_no_secret_shows_anywhere(
    bench: Bench, provider: Listening, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    """After every misfortune there are none of the secrets that passed in log, chat, pages, audit and errors."""
    walked = Walked()
    await walked.link(bench, "!notes add hello")
    await misfortunes(bench, provider, walked)
    provider.fail("/revoke", status=503)
    await bench.say("!unlink demo")
    await bench.core.revoking.work()
    await failing_links(bench, provider, walked)
    await walked.link(bench, "!link demo")
    provider.forget_grants()
    await bench.say("!notes")
    await bench.core.audit.flush()
    audit = json.dumps(await bench.rows("SELECT * FROM audit"), default=str)
    log = "\n".join(
        f"{caplog.handler.format(one)} {one.args!r}" for one in caplog.records if not one.name.startswith("authlib")
    )
    key = (bench.plan.directory / "omnibot.key").read_text().split()[-1]
    secrets = provider.secrets | walked.cookies | {key}
    everywhere = secrets | walked.tickets | walked.codes
    pages = "\n".join(walked.pages)

    assert len(secrets) > 20
    assert len(probe.errors) >= 8
    assert "took" in log, "asyncio wrote its callbacks down"
    assert [] == found(everywhere, log)
    assert [] == found(everywhere - walked.tickets, told(bench))
    assert [] == found(walked.tickets, told(bench))
    assert [] == found(secrets, pages)
    assert [] == found(everywhere, audit)
    assert [] == found(everywhere, shown(probe.errors))


@pytest.mark.attack("A40")
async def test_nor_does_what_is_pasted(plan: Plan, provider: Listening, caplog: pytest.LogCaptureFixture) -> None:
    """An address with a code in it, pasted right, wrong, twice, in a room, by somebody else, is not repeated."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with Bench.open(replace(plan, public=False)) as bench:
        room = bench.network.room("ops", ADA, GRACE)
        for speaker, channel, change in (
            (ADA, None, str),
            (ADA, room, str),
            (GRACE, None, str),
            (GRACE, room, str),
            (ADA, None, lambda text: text.replace("/default", "/other")),
            (ADA, None, lambda text: text.replace(":9", ":99")),
            (ADA, None, lambda text: "!" + text),
            (ADA, None, lambda text: f"!api demo GET {text}"),
            (ADA, None, lambda text: f"!confirm {text}"),
        ):
            async with stopping(bench.plan) as browser:
                pasted = change(await answered(bench, browser))
            await bench.say(pasted, speaker, channel)
            await bench.say(pasted, speaker, channel)
        await bench.core.audit.flush()
        audit = json.dumps(await bench.rows("SELECT * FROM audit"), default=str)
        said = told(bench)
    log = "\n".join(caplog.handler.format(one) for one in caplog.records if not one.name.startswith("authlib"))

    assert len(provider.secrets) > 20
    assert [] == found(provider.secrets, log)
    assert [] == found(provider.secrets, audit)
    assert [] == found(provider.secrets, said)


SECRET = "s3cret-s3cret-s3cret"
ASKING = Asking("demo@default", "Demo", "fake", "u-1", "Ada", "", "", 0.0, (), "demo.example", "")
HOLDERS = [
    Token(SECRET, SECRET),
    Secret(SECRET),
    ClientCredential("omnibot", Secret(SECRET)),
    Request("GET", f"https://demo.example/?code={SECRET}", {"Authorization": SECRET}, SECRET.encode()),
    Answer(200, {"set-cookie": SECRET}, SECRET.encode()),
    Callback(SECRET, SECRET),
    Attempt("flow", SECRET, f"https://demo.example/?state={SECRET}"),
    Outcome("flow", "pending", "", ASKING, code=SECRET),
    ExchangeError("exchange_failed", Token(SECRET, SECRET)),
    PersonKeys("person", b"public", SECRET.encode(), "key"),
]


def chatty(patch: pytest.MonkeyPatch) -> None:
    """Print a token as dataclasses are by default."""
    patch.setattr(Token, "__repr__", lambda self: f"Token(access={self.access!r})")


@pytest.mark.attack("A40", sabotage=chatty)
def test_who_holds_a_secret_does_not_show_it() -> None:
    """Printed in any of the ways there are, alone or within others, an object gives its secret not away."""
    ways: list[Callable[[object], str]] = [repr, str, "{}".format, "{0!a}".format, lambda one: repr([{1: one}])]
    loud = [type(one).__name__ for one in HOLDERS for way in ways if SECRET in way(one)]

    assert [] == loud


@pytest.mark.attack("A40")
def test_a_key_shows_its_id_alone() -> None:
    """Of the master key, and of what is derived from it, only the id is printed."""
    key = MasterKey.of(SECRET.ljust(32).encode())
    printed = f"{key!r} {Keyring([SECRET.ljust(32).encode()])!r}"

    assert f"MasterKey(id={key.id!r}) <Keyring {key.id}>" == printed
