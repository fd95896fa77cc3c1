"""Links by OAuth 1.0a: the PIN, and the redirect.  Signatures are checked in journeys/test_oauth1.py."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from linking.services import SIGNED, ManyWays, catalogue, query
from linking.steps import all_accounts, all_flows
from omnibot.demo.browser import Browser
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


@pytest.fixture
def service() -> ManyWays:
    return ManyWays()


@pytest.fixture
def plan(tmp_path: Path, service: ManyWays) -> Plan:
    """A bot without a public address."""
    return Plan(
        tmp_path,
        skills=("accounts", "ping", "api"),
        settings=(("many", SIGNED),),
        catalogue=catalogue(tmp_path / "services"),
        public=False,
        http=lambda: service,
    )


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
async def public(plan: Plan) -> AsyncIterator[Bench]:
    """The same bot with a public address."""
    async with Bench.open(replace(plan, public=True)) as bench:
        yield bench


async def test_a_pin_said_in_private_links(bench: Bench, service: ManyWays) -> None:
    """The service's own address goes out; the PIN ends it, and the account is named."""
    asked = (await bench.say("!link many"))[-1]

    assert ["oob"] == service.callbacks
    assert "`!pin PIN`" in asked
    assert {"oauth_token": "tmp-1"} == query(bench.link_for(ADA))

    said = (await bench.say("!pin 748256"))[-1]

    assert said.startswith("Linked Many ways as **ada-there**.")
    assert ["active"] == [one.status for one in await all_accounts(bench)]


async def test_the_command_that_wanted_it_runs_then(bench: Bench) -> None:
    """As after every link."""
    await bench.say("!api many GET /me")

    assert "ada-there" in (await bench.say("!pin 748256"))[-1]


async def test_a_pin_counts_once(bench: Bench, service: ManyWays) -> None:
    """The server drops it with a wrong one; so do we, and say how to begin again."""
    await bench.say("!link many")

    assert "did not take that PIN" in (await bench.say("!pin 1111111"))[-1]
    assert "I wait for no PIN" in (await bench.say("!pin 748256"))[-1]
    assert [] == await all_accounts(bench)


async def test_what_can_be_no_pin_is_not_tried(bench: Bench, service: ManyWays) -> None:
    """A slip costs nothing."""
    await bench.say("!link many")

    assert "That is no PIN" in (await bench.say('!pin "7 ü"'))[-1]
    assert "Linked" in (await bench.say("!pin 748256"))[-1]


async def test_a_pin_that_is_confirmed_is_told_its_command(bench: Bench) -> None:
    """No code of ours has a digit; it is still good, and is not counted as a guess."""
    await bench.say("!link many")

    for _ in range(6):
        assert "say `!pin` and the PIN" in (await bench.say("!confirm 748 256"))[-1]
    assert "Linked" in (await bench.say("!pin 748256"))[-1]


async def test_a_pin_is_for_who_asked(bench: Bench) -> None:
    """Whoever else says it has no link that waits for one."""
    await bench.say("!link many")

    assert "I wait for no PIN" in (await bench.say("!pin 748256", GRACE))[-1]
    assert "Linked" in (await bench.say("!pin 748256"))[-1]


async def test_a_pin_said_in_a_room_is_void(bench: Bench, service: ManyWays) -> None:
    """It is refused before anything is sent, and the attempt ends."""
    await bench.say("!link many")
    asked = len(service.asked)

    said = await bench.say("!pin 748256", ADA, bench.network.room("ops", ADA, GRACE))

    assert "where others can read it" in said[0]
    assert asked == len(service.asked)
    assert ["refused"] == [one.state for one in await all_flows(bench)]
    assert "I wait for no PIN" in (await bench.say("!pin 748256"))[-1]


async def test_nothing_begins_where_the_service_does_not_answer(bench: Bench, service: ManyWays) -> None:
    """It is said, and no half of a link stays."""
    service.out_of_order = True

    assert "did not let me begin a link" in (await bench.say("!link many"))[-1]

    service.out_of_order = False
    await bench.say("!link many")

    assert "Linked" in (await bench.say("!pin 748256"))[-1]


async def test_secrets_of_a_pin_link_are_boxed(bench: Bench, plan: Plan) -> None:
    """Neither the temporary secret nor the lasting one is in the database in the clear."""
    await bench.say("!link many")
    rows = str([dict(row) for row in await bench.rows("SELECT * FROM flows")])

    assert "tmp-secret" not in rows

    await bench.say("!pin 748256")
    rows = str([dict(row) for table in ("flows", "accounts") for row in await bench.rows(f"SELECT * FROM {table}")])  # noqa: S608

    assert not [one for one in ("lasting-secret", "lasting-token", "tmp-secret") if one in rows]


async def test_an_account_of_oauth_1_is_revoked_as_its_catalogue_says(bench: Bench, service: ManyWays) -> None:
    """By a call that the token itself signs."""
    await bench.say("!link many")
    await bench.say("!pin 748256")

    assert "is being revoked" in (await bench.say("!unlink many"))[-1]

    await bench.core.revoking.work()

    assert "/oauth1/invalidate" == service.paths()[-1]


async def test_with_a_public_address_a_pin_begins_at_our_page(public: Bench, service: ManyWays) -> None:
    """There the asker is named and can be refused; the service is asked when somebody continues."""
    await public.say("!link many --by pin")

    assert [] == service.asked
    assert "not been at Many ways's page" in (await public.say("!pin 748256"))[-1]

    async with Browser(stop="https://many.example") as browser:
        await browser.open(public.link_for(ADA))
        await browser.press("Continue")

        assert browser.url.startswith("https://many.example/oauth1/authorize?oauth_token=tmp-1")

    assert "Linked Many ways as **ada-there**" in (await public.say("!pin 748256"))[-1]


async def test_a_redirect_brings_the_verifier(public: Bench, service: ManyWays) -> None:
    """The credentials' name finds the flow; the code on the page ends it."""
    await public.say("!link many")
    async with Browser(stop="https://many.example") as browser:
        await browser.open(public.link_for(ADA))
        await browser.press("Continue")
        (back,) = service.callbacks

        assert back.endswith("/callback/many/default")

        await browser.open(f"{back}?oauth_token=tmp-1&oauth_verifier=748256")

        assert "Linked" in (await public.say(f"!confirm {browser.code}"))[-1]


async def test_a_no_at_the_service_ends_it(public: Bench, service: ManyWays) -> None:
    """X comes back with `denied`."""
    await public.say("!link many")
    async with Browser(stop="https://many.example") as browser:
        await browser.open(public.link_for(ADA))
        await browser.press("Continue")
        await browser.open(f"{service.callbacks[0]}?denied=tmp-1")

    assert [("refused", "denied")] == [(one.state, one.reason) for one in await all_flows(public)]


async def test_another_browser_brings_nothing(public: Bench, service: ManyWays) -> None:
    """Its answer is not believed, and ends the link (A2)."""
    await public.say("!link many")
    async with Browser(stop="https://many.example") as browser, Browser() as other:
        await browser.open(public.link_for(ADA))
        await browser.press("Continue")
        await other.open(f"{service.callbacks[0]}?oauth_token=tmp-1&oauth_verifier=748256")

    assert ["other_browser"] == [one.reason for one in await all_flows(public)]
    assert [] == await all_accounts(public)


async def test_a_service_that_does_not_answer_at_continue_leaves_the_link_good(
    public: Bench, service: ManyWays
) -> None:
    """The page says so, and the same link is opened again."""
    await public.say("!link many")
    async with Browser(stop="https://many.example") as browser:
        service.out_of_order = True
        await browser.open(public.link_for(ADA))
        await browser.press("Continue")

        assert "your link is still good" in browser.text

        service.out_of_order = False
        await browser.open(public.link_for(ADA))
        await browser.press("Continue")

        assert browser.url.startswith("https://many.example/oauth1/authorize")
