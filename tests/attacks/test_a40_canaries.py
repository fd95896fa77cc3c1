"""A40, canaries: a service that repeats the token it was sent; keys; and what is cut off in the middle.

What must hold: wherever a service puts back a token, key, code or client secret that it was sent (an OAuth error's
code or description, a body, a header, a redirect, the name of the person), it shows nowhere: not in a log at DEBUG
with asyncio in debug mode, in chat, on a page, in the audit, on the disk, nor in what any living object prints of
itself.  The same for a key that is right, wrong, typed, said, or said in the wrong place; and for whatever was under
way when a command was cancelled or timed out, or the bot stopped.

What remains: what a skill itself repeats of an answer (see `test_a40_secrets_in_the_open.py`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from acting import hurried
from attacks.canaries import ECHOES, Echoing, found, leaks, logged, printed
from attacks.helpers import SAME_ORIGIN
from by_key import form, keyed
from omnibot import errors, session, trouble
from omnibot.command import Call, Command
from omnibot.demo.browser import Browser
from omnibot.errors import OAuthError
from omnibot.linking import exchange
from omnibot.linking.exchange import Exchange
from omnibot.message import Channel, Link, Message, Reply
from omnibot.provider import Instance, Token
from omnibot.skill import LinkedContext, Skill
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from omnibot.wire import Answer, Request


@pytest.fixture
async def provider() -> AsyncIterator[Echoing]:
    async with Echoing() as provider:
        yield provider


def probe() -> Skill:
    skill = Skill("probe", bare=True)

    @skill.linked("demo")
    async def call(ctx: LinkedContext) -> str:
        """Call the service, and say nothing of what it answers."""
        await ctx.api.get("/api/me")
        return "done"

    @skill.linked("demo", timeout=0.05)
    async def hang(ctx: LinkedContext) -> str:
        """Call, without patience."""
        await ctx.api.get("/api/me")
        return "done"

    return skill


@pytest.fixture
def plan(tmp_path: Path, provider: Echoing) -> Plan:
    return keyed(Plan(tmp_path, skills=(*SKILLS, probe()), provider=provider), provider)


@pytest.fixture
async def bench(plan: Plan, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Bench]:
    """A bot of which everything is written down."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    async with Bench.open(plan) as bench:
        yield bench
    loop.set_debug(False)


async def walk(bench: Bench, pages: list[str]) -> str:
    """Let Ada link the demo service as far as it goes; return the code, if there is one."""
    await bench.say("!link demo")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for())
        pages.append(browser.page)
        pages.append((await browser.open(browser.url)).page)
        return browser.code


async def linked(bench: Bench) -> None:
    code = await walk(bench, [])
    await bench.say(f"!confirm {code}")
    assert "done" in await bench.say("!call")


def talkative_errors(patch: pytest.MonkeyPatch) -> None:
    """Keep whatever a server calls its error."""

    def init(self: OAuthError, code: str, *, status: int | None = None) -> None:
        errors.OmnibotError.__init__(self, code)
        self.code, self.status = code, status

    patch.setattr(OAuthError, "__init__", init)


@pytest.mark.attack("A40")
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_service_that_repeats_what_it_is_sent_while_linking(
    bench: Bench, provider: Echoing, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    """At the token endpoint, and when it is asked whose token it is."""
    pages: list[str] = []
    for path in ("/token", "/api/me"):
        provider.echo, provider.echo_path = echo, path
        code = await walk(bench, pages)
        await bench.say("!confirm " + (code or "BCDF-GHJK"))
        await bench.say("!accounts")
    await bench.core.revoking.work()

    assert len(provider.secrets) >= 6
    assert {} == await leaks(bench, caplog, provider.secrets, pages)


@pytest.mark.attack("A40")
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_service_that_repeats_what_it_is_sent_while_acting(
    bench: Bench, provider: Echoing, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    """When it is called, when the token is renewed, when it is handed back."""
    await linked(bench)
    for path in ("/api/me", "/token"):
        provider.expire_access_tokens()
        provider.echo, provider.echo_path = echo, path
        await bench.say("!call")
        await bench.say("!api demo GET /api/notes")
        provider.echo = ""
    provider.echo, provider.echo_path = echo, "/revoke"
    await bench.say("!unlink demo")
    await bench.core.revoking.work()

    assert len(provider.secrets) >= 6
    assert {} == await leaks(bench, caplog, provider.secrets)


def repeating(patch: pytest.MonkeyPatch) -> None:
    """Believe a service that a reference is one."""
    patch.setattr(session, "without_echo", lambda answer, _: answer)


@pytest.mark.attack("A40", sabotage=repeating)
@pytest.mark.parametrize("echo", ["broken", "reference", "headers"])
async def test_a_reference_that_is_the_token_is_none(bench: Bench, provider: Echoing, echo: str) -> None:
    """What a service's support would ask for is told, but not if it is what the service was sent."""
    await linked(bench)
    provider.echo, provider.echo_path = echo, "/api/me"
    said = await bench.say("!call")

    assert [] == found(provider.secrets, "\n".join(said))
    assert "reference" not in said[0]


@pytest.mark.attack("A40", sabotage=talkative_errors)
async def test_an_error_that_is_the_token_is_none(
    bench: Bench, provider: Echoing, caplog: pytest.LogCaptureFixture
) -> None:
    """A code is a word of small letters; whatever else a server calls one goes nowhere."""
    provider.echo, provider.echo_path = "first error", "/token"
    await walk(bench, [])
    await linked_after(bench, provider)
    provider.expire_access_tokens()
    provider.echo = "error"
    await bench.say("!call")

    assert [] == found(provider.secrets, logged(caplog) + "\n".join(bench.network.texts()))


async def linked_after(bench: Bench, provider: Echoing) -> None:
    """Link in order, in the midst of disorder."""
    echo, provider.echo = provider.echo, ""
    await linked(bench)
    provider.echo = echo


def believing(patch: pytest.MonkeyPatch) -> None:
    """Take whatever a service calls its people."""

    async def whose(self: Exchange, instance: Instance, token: Token, *, by_key: bool = False) -> object:
        return exchange.read_profile(instance.provider.whoami, await self._asked(instance, token, by_key=by_key))

    patch.setattr(Exchange, "whose", whose)


@pytest.mark.attack("A40", sabotage=believing)
async def test_a_name_that_is_the_token_is_none(
    bench: Bench, provider: Echoing, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be said in chat, and stored in the clear; such an answer names nobody."""
    key = provider.key_for("ada")
    provider.echo, provider.echo_path = "name", "/api/me"
    pages: list[str] = []
    await walk(bench, pages)
    await bench.say(f"!link keys {key}")

    assert {} == await leaks(bench, caplog, provider.secrets, pages)
    assert [] == await bench.rows("SELECT * FROM accounts")


# ------------------------------------------------------------------------------------------- keys


@pytest.mark.attack("A40")
@pytest.mark.parametrize("echo", ["", *ECHOES])
async def test_a_key_shows_nowhere(
    bench: Bench, provider: Echoing, caplog: pytest.LogCaptureFixture, echo: str
) -> None:
    """Right and wrong, typed and said, in private and in public, rotated, and at a service that repeats it."""
    room, pages = bench.network.room("ops", ADA, GRACE), []
    right, wrong = provider.key_for("ada"), "f00d" * 10
    for key in (wrong, right):
        provider.echo, provider.echo_path = echo, "/api/me"
        await bench.say(f"!link keys {key}", ADA, room)
        await bench.say(f"!link keys {key}")
        await bench.say(f"!link keys --by nonsense {key}")
        await bench.say(f"!link demo {key}")
        await bench.say(f"!link {key}")
        await bench.say(f"!confirm {key}")
        async with Browser() as browser:
            await form(bench, browser)
            for _ in range(2):
                await browser.press("Connect", key=key)
                pages.append(browser.page)
                if browser.code:
                    break
        provider.echo = ""
    await bench.say(f"!link keys {right}")
    await bench.say("!jot")
    provider.echo, provider.echo_path = echo or "unauthorised", "/api/notes"
    await bench.say("!jot")
    await bench.say("!jot add hello")
    await bench.say("!unlink keys")
    await bench.core.revoking.work()

    assert {} == await leaks(bench, caplog, {right, wrong, *provider.secrets}, pages)


# ------------------------------------------------------------------------- cut off in the middle


async def under_way(provider: Echoing, path: str) -> None:
    """Return when the service has been asked for *path*, and is silent; what it was asked before is forgotten."""
    async with asyncio.timeout(5):
        while path not in provider.requests:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
    provider.requests.clear()


def loud(patch: pytest.MonkeyPatch) -> None:
    """Print a request with all that is in it, as dataclasses do by default."""
    patch.setattr(Request, "__repr__", lambda self: f"Request({self.method} {self.url} {self.headers} {self.body!r})")


@pytest.mark.attack("A40", sabotage=loud)
async def test_what_lives_while_a_service_is_asked_prints_nothing(
    bench: Bench, provider: Echoing, caplog: pytest.LogCaptureFixture
) -> None:
    """In the midst of an exchange, of whoami, of a renewal, of a key's check, of a call; then all are cancelled."""
    await linked(bench)
    key, shown = provider.key_for("ada"), []
    async with Browser() as browser, Browser() as typing:
        await form(bench, typing)
        steps = [
            ("GET /api/me", bench.network.hear("!call", ADA)),
            ("GET /api/me", bench.network.hear(f"!link keys {key}", GRACE)),
            ("GET /api/me", typing.press("Connect", key=key)),
        ]
        for path, step in steps:
            provider.requests.clear()
            provider.fail("/api/me", status=None, delay=30)
            task = asyncio.create_task(step)
            await under_way(provider, path)
            shown.append(printed())
            provider.clear_faults()
            await stop(task, "call on", "link on")
        provider.fail("/token", status=None, delay=30)
        await bench.say("!link demo", GRACE)
        task = asyncio.create_task(bench.authorise(browser, bench.link_for(GRACE)))
        await under_way(provider, "POST /token")
        shown.append(printed())
        await stop(task)
        provider.expire_access_tokens()
        provider.fail("/token", status=None, delay=30)
        await bench.network.hear("!call", ADA)
        await under_way(provider, "POST /token")
        shown.append(printed())
        await stop(None, "call on", "renewal at")
    await bench.core.dispatcher.settle()

    assert [[]] * 5 == [found({key, *provider.secrets}, one) for one in shown]
    assert {} == await leaks(bench, caplog, {key, *provider.secrets})


async def stop(task: "asyncio.Task[object] | None", *names: str) -> None:
    """Cancel *task*, and the bot's tasks of these *names*."""
    ours = [one for one in asyncio.all_tasks() if names and one.get_name().startswith(names)]
    for one in [*ours, *([task] if task else [])]:
        one.cancel()
    await asyncio.gather(*ours, *([task] if task else []), return_exceptions=True)


@pytest.mark.attack("A40")
async def test_what_takes_too_long_shows_nothing(
    plan: Plan, provider: Echoing, caplog: pytest.LogCaptureFixture
) -> None:
    """A command, and a key that is being looked at."""
    caplog.set_level(logging.DEBUG)
    key = provider.key_for("ada")
    async with Bench.open(plan) as bench:
        await linked(bench)
        provider.fail("/api/me", status=None, delay=1, times=None)
        with hurried(bench, 0.3):
            said = [*await bench.say("!hang"), *await bench.say("!call"), *await bench.say(f"!link keys {key}")]
        provider.clear_faults()
        again = await bench.say(f"!link keys {key}")
        shows = await leaks(bench, caplog, provider.secrets)

    assert [f"`{name}` took too long and was stopped." for name in ("hang", "call", "link")] == said
    assert again[0].startswith("Linked")
    assert {} == shows


@pytest.mark.attack("A40")
@pytest.mark.parametrize("what", ["exchange", "typed key", "said key", "call", "renewal", "revocation"])
async def test_a_bot_that_stops_in_the_middle_shows_nothing(
    plan: Plan, provider: Echoing, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whatever is under way, at its end and after the next start."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("omnibot.edge._STOP_WITHIN", 0.05)
    key, held = provider.key_for("ada"), []
    async with Browser() as browser:
        async with Bench.open(plan) as bench:
            monkeypatch.setattr(
                bench.core.dispatcher, "close", lambda grace=0.0: bench.core.dispatcher._runner.close(0.05)
            )
            await linked(bench)
            await form(bench, browser)
            path = {"exchange": "/token", "renewal": "/token", "revocation": "/revoke"}.get(what, "/api/me")
            provider.requests.clear()
            provider.fail(path, status=None, delay=1)
            if what == "exchange":
                await bench.say("!link demo", GRACE)
                held.append(asyncio.create_task(bench.authorise(browser, bench.link_for(GRACE))))
            elif what == "typed key":
                held.append(asyncio.create_task(browser.press("Connect", key=key)))
            elif what == "said key":
                await bench.network.hear(f"!link keys {key}", ADA)
            elif what == "revocation":
                await bench.say("!unlink demo")
            else:
                if what == "renewal":
                    provider.expire_access_tokens()
                await bench.network.hear("!call", ADA)
            await under_way(provider, f"{'POST' if path in ('/token', '/revoke') else 'GET'} {path}")
            plan = replace(bench.plan, networks=())
        await asyncio.gather(*held, return_exceptions=True)
    provider.clear_faults()
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        await bench.say("!ping", GRACE)

        assert {} == await leaks(bench, caplog, {key, *provider.secrets})


# ------------------------------------------------------------------------------- what is printed

CANARY = "c4nary" * 6
MESSAGE = Message("fake", "1", ADA, Channel("fake", "dm", private=True), f"!link keys {CANARY}", 0.0)
COMMAND = Command(("link",), "accounts", print, secret="key")


@pytest.mark.attack("A40", sabotage=lambda patch: patch.setattr(Link, "__repr__", lambda self: f"Link({self.url})"))
def test_what_was_said_is_not_printed_either() -> None:
    """A key stands in the message that says it, and a ticket in the link that is sent."""
    holders = [
        MESSAGE,
        Call(COMMAND, "", CANARY),
        Reply("hello", link=Link("Connect", f"https://bot.example/l/{CANARY}"), answers=MESSAGE),
        Request("POST", f"https://x.example/?t={CANARY}", {"X": CANARY}, CANARY.encode()),
    ]

    assert [] == [type(one).__name__ for one in holders if CANARY in repr(one) + str(one) + f"{[one]!r}"]


@pytest.mark.attack("A40")
async def test_the_form_takes_a_key_by_post_alone(bench: Bench, provider: Echoing) -> None:
    """In an address it would be in histories and logs of proxies; there it is not even looked at."""
    key = provider.key_for("ada")
    async with Browser() as browser:
        await form(bench, browser)
        assert browser._session is not None
        url = f"{browser.url}/key?key={key}"
        async with browser._session.get(url) as got:
            status = got.status
        async with browser._session.post(url, data={"x": "y"}, headers=SAME_ORIGIN, allow_redirects=False) as posted:
            tried = posted.status

    assert (405, 422) == (status, tried)
    assert "GET /api/me" not in provider.requests


@pytest.mark.attack("A40")
def test_a_reference_is_compared_with_all_that_was_sent() -> None:
    """In a header, behind Basic, in a form; and one that has nothing to do with it is kept."""
    basic = Request("GET", "https://x.example/", {"Authorization": "Basic YWRhOmMwZmZlZWMwZmZlZQ=="})
    posted = Request("POST", "https://x.example/", {}, b"token=c0ffeec0ffee&client_id=x")
    for request in (basic, posted):
        for reference, kept in {"c0ffeec0ffee": False, "req-c0ffeec0ffee-1": False, "a1b2-c3": True}.items():
            answer = Answer(500, {"x-request-id": reference, "date": "now"})

            assert kept == ("x-request-id" in trouble.without_echo(answer, request).headers)
