"""A person with a real browser signs in where their network has its people, and is linked without a code."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from linking.proofs import ASKER, MALLORY, proving
from linking.steps import ends
from omnibot.testing.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bot whose one network has a web login."""
    async with proving(tmp_path) as (bench, _):
        yield bench


@pytest.fixture
async def context(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of one person's own, without scripts."""
    context = await chromium.new_context(java_script_enabled=False, viewport={"width": 360, "height": 700})
    context.set_default_timeout(10_000)
    yield context
    await context.close()


async def sign_in(page: Page, login: str, answer: str = "Allow") -> None:
    """Be *login* at the demo provider's page, and *answer* what it asks."""
    await page.locator("#user").fill(login)
    await page.locator("#user").press("Enter")
    await page.get_by_role("button", name=answer).click()


async def test_from_the_command_to_its_answer(bench: Bench, context: BrowserContext) -> None:
    """Past the policies of three pages of two services, by refreshes alone; at a clean address, reloaded."""
    page = await context.new_page()
    await bench.say("!notes", ASKER)
    await page.goto(bench.link_for(ASKER))
    await page.get_by_role("button", name="Continue").click()
    await sign_in(page, "ada")
    await page.wait_for_url(f"{bench.provider.origin}/**")
    await sign_in(page, "ada-at-demo")
    await page.wait_for_url("**/f/*")
    await page.reload()
    await bench.settle()

    await expect(page.get_by_role("heading", level=1)).to_have_text("Demo notes is connected")
    await expect(page.get_by_role("button")).to_have_text("This was not me: disconnect")
    assert "?" not in page.url
    assert "You have no notes." == bench.network.private_texts(ASKER)[-1]


async def test_somebody_else_is_turned_away(bench: Bench, context: BrowserContext) -> None:
    """Before the service is ever asked."""
    page = await context.new_page()
    await bench.say("!notes", MALLORY)
    await page.goto(bench.link_for(MALLORY))
    await page.get_by_role("button", name="Continue").click()
    await sign_in(page, "victim")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Not who asked")
    assert [("refused", "not_asker")] == await ends(bench)
    assert [] == [one for one in bench.provider.requests if "authorize" in one]


async def test_going_back_does_no_harm(bench: Bench, context: BrowserContext) -> None:
    """From the service to the login, and once more through it: it has been used; *Continue* begins anew."""
    page = await context.new_page()
    await bench.say("!notes", ASKER)
    await page.goto(bench.link_for(ASKER))
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_url("**/authorize?**")
    at_login = page.url
    await sign_in(page, "ada")
    await page.wait_for_url(f"{bench.provider.origin}/**")
    await page.goto(at_login)
    await sign_in(page, "ada")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Used already")
    await page.goto(bench.link_for(ASKER))
    await page.get_by_role("button", name="Continue").click()
    await sign_in(page, "ada")
    await page.wait_for_url(f"{bench.provider.origin}/**")
    await sign_in(page, "ada-at-demo")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Demo notes is connected")
