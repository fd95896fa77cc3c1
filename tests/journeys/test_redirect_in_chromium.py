"""A person with a real browser gets from a command to its answer, and can say no all along the way."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from journeys.walks import NOTHING, account_of, callback, calls, code_in, flows, is_active, left, token_of
from omnibot.message import Channel
from omnibot.testing.bench import ADA, Bench
from servers.processes import OidcServer


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of one person's own."""
    context = await chromium.new_context()
    context.set_default_timeout(10_000)
    yield context
    await context.close()


async def press(page: Page, label: str) -> None:
    await page.get_by_role("button", name=label).click()


async def title(page: Page) -> str:
    return await page.get_by_role("heading", level=1).inner_text()


async def sign_in(page: Page, link: str, login: str = "alice") -> None:
    """From our first page to the question at the provider's."""
    await page.goto(link)
    await press(page, "Continue")
    await page.get_by_placeholder("user").fill(login)
    await page.locator("[name=password]").fill(f"pw-{login}")
    await press(page, "Log in")
    await page.get_by_role("button", name="Allow").wait_for()


async def reach_the_code(page: Page, link: str) -> str:
    """The whole way, and the code at its end."""
    await sign_in(page, link)
    await press(page, "Allow")
    await page.wait_for_url("**/f/*")
    return code_in(await page.inner_text("main"))


@pytest.mark.row("T7")
@pytest.mark.row("T8")
@pytest.mark.row("T10")
@pytest.mark.row("B9")
async def test_a_command_waits_for_its_link_and_then_runs_as_the_person(
    bench: Bench, oidc: OidcServer, room: Channel, context: BrowserContext
) -> None:
    """Linking begins by itself, the room sees nothing of it, and the service's own log names alice.

    The address at the end is clean, a reload shows the same code, and after the confirm by whom it was.
    """
    page = await context.new_page()
    await bench.say("!api oidc GET /me", ADA, room)
    public = bench.network.public_texts()
    await sign_in(page, bench.link_for())
    nothing = calls(oidc)
    await press(page, "Allow")
    await page.wait_for_url("**/f/*")
    code = code_in(await page.inner_text("main"))
    await page.reload()
    again = code_in(await page.inner_text("main"))
    answers = await bench.say(f"!confirm {code}")
    await page.reload()

    assert ["I have sent you a link for OpenID Connect in private."] == public
    assert page.url.startswith(f"http://127.0.0.1:{bench.plan.port}/f/")
    assert "?" not in page.url
    assert (code, []) == (again, nothing)
    assert answers[0].startswith("Linked OpenID Connect as **alice**.")
    assert "Running what you asked for: `!api oidc GET /me`" in answers[0]
    assert '"user": "alice"' in answers[1]
    assert ["api call=GET /api/me user=alice"] == calls(oidc)
    assert [*public, "I have answered you in private."] == bench.network.public_texts()
    assert "OpenID Connect is connected" == await title(page)
    await expect(page.get_by_text("Confirmed just now")).to_contain_text("by Ada (u-1 on fake)")


async def test_the_pages_say_who_asks_and_for_what(bench: Bench, room: Channel, context: BrowserContext) -> None:
    """Name and id of who asks, the room, the command without its arguments, every scope, and the host that is next."""
    page = await context.new_page()
    await bench.say("!api oidc GET /me", ADA, room)
    await page.goto(bench.link_for())
    text = await page.inner_text("main")

    parts = [
        "Ada",
        "u-1 on fake",
        "in #ops",
        "by the command api",
        "api:read",
        "know which account is yours",
        "127.0.0.1",
    ]
    assert [] == [part for part in parts if part not in text]
    assert "GET /me" not in text
    assert ["Continue", "Refuse"] == await page.get_by_role("button").all_inner_texts()


@pytest.mark.parametrize("confirmed", [False, True], ids=["before the confirm", "after it"])
async def test_this_was_not_me_cuts_it_off(
    bench: Bench, oidc: OidcServer, context: BrowserContext, confirmed: bool
) -> None:
    """The token is erased here and dead at the service, the code is worth nothing, and who asked is told."""
    page = await context.new_page()
    await bench.say("!link oidc")
    code = await reach_the_code(page, bench.link_for())
    token = None
    if confirmed:
        await bench.say(f"!confirm {code}")
        token = await token_of(bench)
    await page.reload()
    await press(page, "This was not me: disconnect")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Disconnected")
    told = bench.network.private_texts(ADA)[-1]
    await bench.core.revoking.work()
    late = await bench.say(f"!confirm {code}")

    assert "says it was not them. It is disconnected." in told
    assert "not one I am waiting for" in late[0]
    assert NOTHING == await left(bench)
    assert any(line.startswith("grant.revoked") for line in oidc.log_lines())
    assert token is None or [False, False] == [is_active(oidc, one) for one in (token.access, token.refresh)]
    await page.reload()
    assert "Disconnected" == await title(page)


async def test_refuse_ends_it(bench: Bench, oidc: OidcServer, context: BrowserContext) -> None:
    """The provider is never asked, who asked is told, and the link opens nothing any more."""
    page = await context.new_page()
    await bench.say("!api oidc GET /me")
    await page.goto(bench.link_for())
    await press(page, "Refuse")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Refused")
    told = bench.network.private_texts(ADA)[-1]
    await page.goto(bench.link_for())

    assert "The person who opened your OpenID Connect link refused it" in told
    assert "`!api oidc GET /me` was not run" in told
    assert "No longer valid" == await title(page)
    assert [("refused", "refused")] == await flows(bench)
    assert [] == oidc.log_lines()


async def test_another_browser_sees_nothing(bench: Bench, chromium: Browser, context: BrowserContext) -> None:
    """Without the cookie of the attempt the page with the code is an error, and the code stays good where it was."""
    page = await context.new_page()
    await bench.say("!link oidc")
    code = await reach_the_code(page, bench.link_for())
    other = await (await chromium.new_context()).new_page()
    answer = await other.goto(page.url)
    await page.reload()

    assert answer is not None
    assert (400, "Not the same browser") == (answer.status, await title(other))
    assert "alice" not in await other.inner_text("body")
    assert code == code_in(await page.inner_text("main"))


@pytest.mark.row("B6")
async def test_another_browser_cannot_finish_it(
    bench: Bench, oidc: OidcServer, chromium: Browser, context: BrowserContext
) -> None:
    """An answer that comes back elsewhere is thrown away unread, the link ends, and who asked is told."""
    page = await context.new_page()
    await bench.say("!link oidc")
    await sign_in(page, bench.link_for())
    elsewhere = await chromium.new_context(storage_state=await context.storage_state())
    await elsewhere.clear_cookies(name=re.compile("^ob-"))  # the provider knows the person there, we do not
    other = await elsewhere.new_page()
    await other.goto(page.url)
    async with other.expect_response(f"{callback(bench)}**") as answer:
        await press(other, "Allow")

    assert 400 == (await answer.value).status
    assert "Not the same browser" == await title(other)
    assert "came back in another browser" in bench.network.private_texts(ADA)[-1]
    assert [("refused", "other_browser")] == await flows(bench)
    assert not [line for line in oidc.log_lines() if line.startswith("grant")]


async def test_clicking_twice_does_no_harm(bench: Bench, context: BrowserContext) -> None:
    """Each click begins an attempt of its own; the last one counts, and comes to its end."""
    page = await context.new_page()
    await bench.say("!link oidc")
    await page.goto(bench.link_for())
    await page.get_by_role("button", name="Continue").dblclick()
    await page.get_by_placeholder("user").fill("alice")
    await page.locator("[name=password]").fill("pw-alice")
    await press(page, "Log in")
    await press(page, "Allow")
    await page.wait_for_url("**/f/*")
    answers = await bench.say(f"!confirm {code_in(await page.inner_text('main'))}")

    assert answers[0].startswith("Linked OpenID Connect as **alice**.")


@pytest.mark.row("B9")
async def test_everything_works_without_scripts(bench: Bench, oidc: OidcServer, chromium: Browser) -> None:
    """No page of ours needs JavaScript, and each fits a telephone."""
    context = await chromium.new_context(java_script_enabled=False, viewport={"width": 360, "height": 700})
    page = await context.new_page()
    await bench.say("!link oidc")
    code = await reach_the_code(page, bench.link_for())
    await bench.say(f"!confirm {code}")

    assert "active" == (await account_of(bench)).status
