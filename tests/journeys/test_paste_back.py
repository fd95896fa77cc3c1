"""Without a public address the answer travels by hand: from the browser's address bar into the private chat."""

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser

from journeys.walks import NOTHING, PASTED, account_of, calls, flows, is_active, left, token_of
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.browser import HttpBrowser
from servers.processes import OidcServer


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot that browsers cannot reach."""
    async with Bench.open(replace(plan, public=False)) as bench:
        yield bench


async def address_bar(bench: Bench, login: str = "alice", refuse: str | None = None) -> str:
    """Walk from the link that Ada was sent to the page that cannot be opened; return its address."""
    async with HttpBrowser(login) as browser:
        page = await browser.walk(bench.link_for(), stop=PASTED, refuse=refuse)

    assert not page.fetched
    return page.url


@pytest.mark.row("B5")
@pytest.mark.row("T2")
@pytest.mark.row("T9")
async def test_the_pasted_address_links(bench: Bench, oidc: OidcServer, room: Channel) -> None:
    """The account is named, the waiting command runs as alice, and undo takes it all back."""
    await bench.say("!api oidc GET /me", ADA, room)
    answers = await bench.say(await address_bar(bench))
    token = await token_of(bench)
    undone = await bench.say("!undo")
    await bench.core.revoking.work()

    assert bench.link_for().startswith(f"{oidc.issuer}/auth?")
    assert answers[0].startswith("Linked OpenID Connect as **alice**. Not you, or not meant? Say `!undo`.")
    assert '"user": "alice"' in answers[1]
    assert ["api call=GET /api/me user=alice"] == calls(oidc)
    assert ["OpenID Connect as **alice** is unlinked: erased here, and its token is being revoked."] == undone
    assert [False, False] == [is_active(oidc, one) for one in (token.access, token.refresh)]
    assert NOTHING == await left(bench)


async def test_the_message_tells_who_acts_and_what_to_expect(bench: Bench) -> None:
    """There is no page of ours: the message names the asker, the service, the scopes, and the page that will fail."""
    (text,) = await bench.say("!api oidc GET /me")

    parts = ["**Ada**", "**OpenID Connect**", "api:read", "cannot be opened", "paste it here, in private", "20 minutes"]
    assert [] == [part for part in parts if part not in text]


@pytest.mark.parametrize("spelling", ["{}", "`{}`", "<{}>", "  {}  "])
async def test_it_may_be_pasted_as_chats_write_addresses(bench: Bench, spelling: str) -> None:
    """Code marks, angle brackets and spaces around it do no harm."""
    await bench.say("!link oidc")
    answers = await bench.say(spelling.format(await address_bar(bench)))

    assert ["Linked OpenID Connect as **alice**. Not you, or not meant? Say `!undo`."] == answers


async def test_it_links_once(bench: Bench, oidc: OidcServer) -> None:
    """The same address again is a used one, and changes nothing."""
    await bench.say("!link oidc")
    address = await address_bar(bench)
    await bench.say(address)
    again = await bench.say(address)

    assert ["That address has been used. If your account is not linked, ask for a new link."] == again
    assert "active" == (await account_of(bench)).status
    assert 1 == len([line for line in oidc.log_lines() if line.startswith("grant.success")])


async def test_pasted_in_a_room_it_is_burnt(bench: Bench, oidc: OidcServer, room: Channel) -> None:
    """It is taken off the room where that can be done, not used, and says how to begin again."""
    await bench.say("!link oidc")
    address = await address_bar(bench)
    await bench.say(address, ADA, room)
    private = await bench.say(address)

    assert [address] == [message.text for message in bench.network.retracted]
    assert [] == bench.network.public_texts()
    assert any("that link is burnt. Begin again" in text for text in bench.network.private_texts(ADA))
    assert ["That address has been used. If your account is not linked, ask for a new link."] == private
    assert [("refused", "seen")] == await flows(bench)
    assert NOTHING == await left(bench)
    assert not [line for line in oidc.log_lines() if line.startswith("grant")]


async def test_somebody_else_cannot_use_it(bench: Bench) -> None:
    """Who pastes an address that is not theirs is warned; the link ends, and who asked for it is told."""
    await bench.say("!link oidc")
    answers = await bench.say(await address_bar(bench), GRACE)

    assert any("belongs to a link somebody else asked for" in text for text in answers)
    assert "spoken by somebody else" in bench.network.private_texts(ADA)[-1]
    assert NOTHING == await left(bench)


async def test_no_is_an_answer_too(bench: Bench) -> None:
    """Cancel at the provider comes back by the same way, and is understood."""
    await bench.say("!api oidc GET /me")
    answers = await bench.say(await address_bar(bench, refuse="Cancel"))

    assert any("You refused" in text for text in answers)
    assert [("refused", "denied")] == await flows(bench)
    assert NOTHING == await left(bench)


async def test_chromium_keeps_the_whole_address(bench: Bench, chromium: Browser) -> None:
    """Port 9 is one that it does not open, and its address bar still shows code and state: pasted, they link."""
    context = await chromium.new_context()
    page = await context.new_page()
    await bench.say("!link oidc")
    await page.goto(bench.link_for())
    await page.get_by_placeholder("user").fill("alice")
    await page.locator("[name=password]").fill("pw-alice")
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("button", name="Allow").click()
    await page.get_by_text("ERR_UNSAFE_PORT").wait_for()
    # A page that was not opened has no address of its own; what the address bar shows is in the history.
    history = await (await context.new_cdp_session(page)).send("Page.getNavigationHistory")
    shown = history["entries"][history["currentIndex"]]["url"]
    answers = await bench.say(shown)

    assert PASTED == urlsplit(shown)._replace(query="").geturl()
    assert {"code", "state", "iss"} == parse_qs(urlsplit(shown).query).keys()
    assert ["Linked OpenID Connect as **alice**. Not you, or not meant? Say `!undo`."] == answers
