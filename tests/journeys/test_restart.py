"""Whenever the bot is restarted, a link under way is finished afterwards, or says clearly that it ended."""

from dataclasses import replace

import pytest

from journeys.walks import NOTHING, callback, calls, code_in, flows, heading, left, told
from omnibot.dispatcher import Dispatcher
from omnibot.linking.browser import Browser as Pages
from omnibot.message import Channel
from omnibot.testing.bench import ADA, Bench, Plan
from servers.browser import HttpBrowser, Page
from servers.processes import OidcServer


@pytest.fixture
def plan(plan: Plan, unused_tcp_port: int) -> Plan:
    """A bot that comes back at the same address."""
    return replace(plan, port=unused_tcp_port)


def again(bench: Bench) -> Plan:
    """The plan of the same bot, on the same networks."""
    return bench.plan


async def finished(bench: Bench, page: Page) -> list[str]:
    """Say the code on *page*, and return the answers."""
    return await bench.say(f"!confirm {code_in(page.text)}")


@pytest.mark.parametrize("moment", ["before Continue", "before the callback", "before the confirm"])
async def test_the_link_is_finished_after_the_restart(plan: Plan, oidc: OidcServer, moment: str) -> None:
    """What the browser holds is enough: its link, its cookie, its page; the parked command runs as alice."""
    async with HttpBrowser("alice") as browser:
        async with Bench.open(plan) as first:
            await first.say("!api oidc GET /me")
            address = first.link_for()
            page = await browser.open(address)
            if moment != "before Continue":
                page = await browser.walk(address, stop=callback(first))
            if moment == "before the confirm":
                page = await browser.open(page.url)
        async with Bench.open(again(first), first.clock) as second:
            if moment == "before Continue":
                page = await browser.press(page, "Continue")
                page = await browser.walk(page.url)
            else:
                page = await browser.open(page.url)
            answers = await finished(second, page)
            nothing = await left(second)

    assert answers[0].startswith("Linked OpenID Connect as **alice**.")
    assert '"user": "alice"' in answers[1]
    assert ["api call=GET /api/me user=alice"] == calls(oidc)
    assert NOTHING | {"accounts": 1} == nothing


async def test_the_page_shows_the_same_code_after_the_restart(plan: Plan, oidc: OidcServer) -> None:
    """To the browser that holds the cookie, and to no other."""
    async with HttpBrowser("alice") as browser, HttpBrowser("bob") as other:
        async with Bench.open(plan) as first:
            await first.say("!link oidc")
            before = await browser.walk(first.link_for())
        async with Bench.open(again(first), first.clock):
            after = await browser.open(before.url)
            elsewhere = await other.open(before.url)

    assert code_in(before.text) == code_in(after.text)
    assert (400, "Not the same browser") == (elsewhere.status, heading(elsewhere))


class PulledPlug(Exception):
    """The bot ended here."""


async def test_interrupted_while_the_service_was_answering(
    plan: Plan, oidc: OidcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code is spent and the token never arrived: it cannot be finished, and chat and page say so."""

    async def ends(*_: object) -> None:
        raise PulledPlug

    async with HttpBrowser("alice") as browser:
        async with Bench.open(plan) as first:
            await first.say("!api oidc GET /me")
            with monkeypatch.context() as patch:
                patch.setattr(Pages, "_keep_pending", ends)
                page = await browser.walk(first.link_for())
            interrupted = await flows(first)
        async with Bench.open(again(first), first.clock) as second:
            await second.say("!ping")
            said = told(second)
            page = await browser.open(page.url)
            ended, nothing = await flows(second), await left(second)
            await second.say("!api oidc GET /me")
            async with HttpBrowser("alice") as anew:
                answers = await finished(second, await anew.walk(second.link_for()))

    assert ([("exchanging", "")], [("refused", "interrupted")]) == (interrupted, ended)
    assert any(
        "I was restarted while OpenID Connect was answering. Please begin your link again." in text for text in said
    )
    assert any("`!api oidc GET /me` was not run" in text for text in said)
    assert NOTHING == nothing
    assert page.status >= 400
    assert '"user": "alice"' in answers[1]


async def never_starts(*_: object) -> None:
    """Stands for a bot that ended just before the parked command began."""


@pytest.mark.parametrize("where", ["in private", "in a room"])
async def test_confirmed_and_not_started(
    plan: Plan, oidc: OidcServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The command runs after the restart, once, and its answer arrives."""
    async with Bench.open(plan) as first:
        room: Channel | None = first.network.room("ops", ADA) if where == "in a room" else None
        await first.say("!api oidc GET /me", ADA, room)
        async with HttpBrowser("alice") as browser:
            page = await browser.walk(first.link_for())
        with monkeypatch.context() as patch:
            patch.setattr(Dispatcher, "resume", never_starts)
            confirmed = await finished(first, page)
        waiting = await left(first)
    async with Bench.open(again(first), first.clock) as second:
        await second.say("!ping")
    async with Bench.open(again(first), first.clock) as third:
        await third.say("!ping")
        said, nothing = told(third), await left(third)

    assert "Running what you asked for" in confirmed[0]
    assert (NOTHING | {"accounts": 1, "waiting": 1}, NOTHING | {"accounts": 1}) == (waiting, nothing)
    assert ["api call=GET /api/me user=alice"] == calls(oidc)
    assert any('"user": "alice"' in text for text in said)


async def test_confirmed_and_too_old_to_start(plan: Plan, oidc: OidcServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two minutes it is not run any more, and its speaker is told; the account stays linked."""
    async with Bench.open(plan) as first:
        await first.say("!api oidc GET /me")
        async with HttpBrowser("alice") as browser:
            page = await browser.walk(first.link_for())
        with monkeypatch.context() as patch:
            patch.setattr(Dispatcher, "resume", never_starts)
            await finished(first, page)
    first.clock.pass_(121)
    async with Bench.open(again(first), first.clock) as second:
        await second.say("!ping")
        said = told(second)
        nothing = await left(second)
        ran = calls(oidc)
        answers = await second.say("!api oidc GET /me")

    assert any(
        "I was restarted before I could run `!api oidc GET /me`. It was not run: say it again" in text for text in said
    )
    assert (NOTHING | {"accounts": 1}, []) == (nothing, ran)
    assert '"user": "alice"' in answers[0]


async def test_a_link_that_ran_out_meanwhile(plan: Plan, oidc: OidcServer) -> None:
    """The bot was away for too long: its first sweep ends the link, and page and chat say so."""
    async with HttpBrowser("alice") as browser:
        async with Bench.open(plan) as first:
            await first.say("!api oidc GET /me")
            page = await browser.walk(first.link_for())
        first.clock.pass_(1300)
        async with Bench.open(again(first), first.clock) as second:
            await second.core.upkeep.sweep()
            await second.say("!ping")
            said = told(second)
            page = await browser.open(page.url)
            await second.core.revoking.work()
            nothing = await left(second)

    assert any("has run out. `!api oidc GET /me` was not run" in text for text in said)
    assert "Too late" == heading(page)
    assert NOTHING == nothing
    assert [line for line in oidc.log_lines() if line.startswith("grant.revoked")]


async def test_a_restart_in_private_chat_without_a_public_address(plan: Plan, oidc: OidcServer) -> None:
    """What was authorised before the restart can be pasted after it."""
    async with Bench.open(replace(plan, public=False)) as first:
        await first.say("!api oidc GET /me")
        async with HttpBrowser("alice") as browser:
            page = await browser.walk(first.link_for(), stop="http://127.0.0.1:9/")
    async with Bench.open(again(first), first.clock) as second:
        answers = await second.say(page.url)

    assert answers[0].startswith("Linked OpenID Connect as **alice**.")
    assert '"user": "alice"' in answers[1]
