"""A device's code (RFC 8628), at a real OpenID provider, where the operator has switched that way on."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from journeys.walks import NOTHING, account_of, calls, flows, is_active, left, token_of, told, until
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.browser import HttpBrowser, Page
from servers.processes import OidcServer

LINKED = "Linked OpenID Connect as **alice**. Not you, or not meant? Say `!undo`."
ASK = "!link oidc --by device"


class Slept:
    """Sleeps a hundredth of what was wished, and writes down the seconds that were."""

    def __init__(self) -> None:
        self.seconds = list[float]()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(seconds / 100)


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot whose operator lets people link by a device's code."""
    ((name, settings),) = plan.settings
    return replace(plan, settings=((name, replace(settings, device=True)),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """Such a bot, that browsers cannot reach; it asks a hundred times as often."""
    async with Bench.open(replace(plan, public=False)) as bench:
        bench.core.polling._sleep = Slept()
        yield bench


def slept(bench: Bench) -> list[float]:
    """Return after how many seconds each the provider was to be asked."""
    sleep = bench.core.polling._sleep

    assert isinstance(sleep, Slept)
    return sleep.seconds


def user_code(text: str) -> str:
    """Return the code that the bot tells a person to type."""
    found = re.search(r"type `([B-Z]{4}-[B-Z]{4})` there", text)

    assert found is not None, text
    return found[1]


async def type_in(bench: Bench, code: str, login: str = "alice", refuse: str | None = None) -> Page:
    """Go to the page that Ada was sent, sign in there as *login*, and type *code*."""
    async with HttpBrowser(login, user_code=code) as browser:
        return await browser.walk(bench.link_for(), refuse=refuse)


async def heard(bench: Bench, words: str) -> str:
    """Return what Ada is told once it has *words* in it, which come in the bot's own time."""

    async def there() -> bool:
        return any(words in text for text in told(bench))

    await until(there)
    await bench.settle()
    return next(text for text in reversed(told(bench)) if words in text)


def confirmation(text: str) -> str:
    """Return the command by which the account that *text* names is taken."""
    found = re.search(r"`(!confirm [B-Z]{4}-[B-Z]{4})`", text)

    assert found is not None, text
    return found[1]


async def test_it_links(bench: Bench, oidc: OidcServer) -> None:
    """The code is typed at the service, the account named in chat, and linked when its owner says so; undo undoes."""
    (asked,) = await bench.say(ASK)
    page = await type_in(bench, user_code(asked))
    named = await heard(bench, "signed in as **alice**")
    before = (await account_of(bench)).status
    answers = await bench.say(confirmation(named))
    await bench.say("!api oidc GET /me")
    token = await token_of(bench)
    await bench.say("!undo")
    await bench.core.revoking.work()

    assert f"{oidc.issuer}/device" == bench.link_for()
    assert "Connected" in page.text
    assert "pending" == before
    assert [LINKED] == answers
    assert ["api call=GET /api/me user=alice"] == calls(oidc)
    assert [False, False] == [is_active(oidc, one) for one in (token.access, token.refresh)]
    assert NOTHING == await left(bench)


async def test_a_command_waits_for_it(plan: Plan, oidc: OidcServer) -> None:
    """Where there is no other way, a command that needs the account is run at the end."""
    # A bot with neither address nor paste-back has this way alone.
    ((name, settings),) = plan.settings
    only = replace(plan, public=False, settings=((name, replace(settings, paste=False)),))
    async with Bench.open(only) as bench:
        bench.core.polling._sleep = Slept()
        asked = (await bench.say("!api oidc GET /me"))[-1]
        await type_in(bench, user_code(asked))
        answers = await bench.say(confirmation(await heard(bench, "signed in as **alice**")))

    assert LINKED == answers[0].partition("\n")[0]
    assert '"user": "alice"' in answers[1]
    assert ["api call=GET /api/me user=alice"] == calls(oidc)


async def test_switched_off_it_is_refused(plan: Plan, oidc: OidcServer) -> None:
    """As it is where the operator says nothing."""
    ((name, settings),) = plan.settings
    off = replace(plan, settings=((name, replace(settings, device=None)),))
    async with Bench.open(off) as bench:
        (answer,) = await bench.say(ASK)

        assert "is disabled by the operator of this bot" in answer
        assert [] == await flows(bench)
        assert [] == [line for line in oidc.log_lines() if "device" in line]


async def test_it_slows_down_when_it_is_told_to(bench: Bench, oidc: OidcServer) -> None:
    """By five seconds each time, for good (section 3.5); a server that is out of order is left alone for longer."""
    oidc.fault(interval=2)
    oidc.slow_down(2)
    oidc.fault(path="/token", status=503)
    (asked,) = await bench.say(ASK)

    async def asked_often() -> bool:
        return len(slept(bench)) > 4

    await until(asked_often)
    await type_in(bench, user_code(asked))
    answers = await bench.say(confirmation(await heard(bench, "signed in as **alice**")))

    assert [2, 7, 12, 24, 24] == slept(bench)[:5]
    assert [LINKED] == answers


@pytest.mark.parametrize("no", ["Abort", "Cancel"])
async def test_no_is_an_answer(bench: Bench, no: str) -> None:
    """Where the code is confirmed, and where one signs in: the asker is told, and nothing is left."""
    (asked,) = await bench.say(ASK)
    await type_in(bench, user_code(asked), refuse=no)
    await heard(bench, "You refused at OpenID Connect")

    assert [("refused", "denied")] == await flows(bench)
    assert NOTHING == await left(bench)


async def test_it_ends_when_the_service_says_so(bench: Bench, oidc: OidcServer) -> None:
    """A code that is no good any more."""
    oidc.fault(path="/token", status=400, body={"error": "expired_token"})
    await bench.say(ASK)
    await heard(bench, "has run out")

    assert [("expired", "expired")] == await flows(bench)
    assert NOTHING == await left(bench)


async def test_it_ends_with_its_time(bench: Bench, oidc: OidcServer) -> None:
    """After that nobody is asked any more."""
    await bench.say(ASK)
    bench.clock.pass_(601)
    await bench.core.upkeep.sweep()
    await heard(bench, "has run out")
    polls = len(slept(bench))
    await asyncio.sleep(0.2)

    assert [("expired", "expired")] == await flows(bench)
    assert len(slept(bench)) <= polls + 1
    assert NOTHING == await left(bench)


async def test_what_nobody_takes_goes_back(bench: Bench, oidc: OidcServer) -> None:
    """The account that was named and not confirmed is erased, and its token revoked."""
    (asked,) = await bench.say(ASK)
    await type_in(bench, user_code(asked))
    named = await heard(bench, "signed in as **alice**")
    bench.clock.pass_(1201)
    await bench.core.upkeep.sweep()
    await bench.core.revoking.work()
    late = await bench.say(confirmation(named))

    assert "not one I am waiting for" in late[0]
    assert [("expired", "expired")] == await flows(bench)
    assert NOTHING == await left(bench)
    assert [line for line in oidc.log_lines() if line.startswith("grant.revoked")]


async def test_it_is_for_who_asked(bench: Bench) -> None:
    """Somebody else who says the code that the bot has named gets no account, and the link ends."""
    (asked,) = await bench.say(ASK)
    await type_in(bench, user_code(asked))
    named = await heard(bench, "signed in as **alice**")
    await bench.say(confirmation(named), GRACE)
    await bench.core.revoking.work()

    assert [] == [text for text in told(bench, GRACE) if "Linked" in text]
    assert NOTHING == await left(bench)


async def test_asked_for_in_a_room_the_code_comes_in_private(bench: Bench) -> None:
    """Nobody else reads it."""
    room = bench.network.room("ops", ADA, GRACE)
    await bench.say(ASK, ADA, room)
    (asked,) = [text for text in told(bench) if "type `" in text]

    assert ["I have sent you a link for OpenID Connect in private."] == bench.network.public_texts()
    assert user_code(asked)
    assert [] == told(bench, GRACE)


async def test_a_new_one_ends_the_old_one(bench: Bench) -> None:
    """What is typed for the old one links nothing, and goes back."""
    (old,) = await bench.say(ASK)
    url = bench.link_for()
    (new,) = [text for text in await bench.say(ASK) if "type `" in text]
    async with HttpBrowser("bob", user_code=user_code(old)) as browser:
        await browser.walk(url)
    await type_in(bench, user_code(new))
    answers = await bench.say(confirmation(await heard(bench, "signed in as **alice**")))

    assert [LINKED] == answers
    assert [("refused", "replaced"), ("linked", "")] == await flows(bench)
    assert [] == [text for text in told(bench) if "bob" in text]


async def test_it_goes_on_after_a_restart(plan: Plan, oidc: OidcServer) -> None:
    """The code is typed while the bot is away; it asks again when it is back."""
    oidc.fault(interval=1)

    async def never(_: float) -> None:
        await asyncio.Event().wait()

    async with Bench.open(replace(plan, public=False)) as first:
        first.core.polling._sleep = never
        (asked,) = await first.say(ASK)
        await type_in(first, user_code(asked))
    early = [line for line in oidc.log_lines() if line.startswith("grant.success")]
    async with Bench.open(first.plan, first.clock) as second:
        answers = await second.say(confirmation(await heard(second, "signed in as **alice**")))

    assert [] == early
    assert [LINKED] == answers
