"""``confirm: login``: the person at the browser signs in as the asker before anything else."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from by_key import keyed
from linking.proofs import ASKER, MALLORY, proving, reach_login, with_login
from linking.steps import all_accounts, all_flows, audited, ends, told, until, write_flow
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking.flows import FlowError, Proof
from omnibot.linking.proving import Proving
from omnibot.testing.bench import Bench, Plan

type Both = tuple[Bench, DemoProvider]

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """The bot, with the demo service, and the login of its network."""
    async with proving(tmp_path) as both:
        yield both


@pytest.fixture
def bench(both: Both) -> Bench:
    return both[0]


@pytest.fixture
def door(both: Both) -> DemoProvider:
    return both[1]


async def begin(bench: Bench) -> tuple[str, dict[str, str], str]:
    """Ask, and press *Continue*; return the state, the cookies of that browser, and the ticket."""
    await bench.say("!link demo", ASKER)
    ticket = bench.link_for(ASKER).rpartition("/")[2]
    attempt = await bench.core.browser.authorise(ticket)
    state = dict(parse_qsl(urlsplit(attempt.url).query))["state"]
    return state, {attempt.flow: attempt.cookie}, ticket


async def code_of(step: Any) -> str:
    with pytest.raises(FlowError) as caught:
        await step
    return caught.value.code


async def heard(bench: Bench) -> str:
    """The last thing that the asker was told alone."""
    await bench.settle()
    return told(bench, ASKER)[-1]


# ------------------------------------------------------------------------------------ the whole way


async def test_who_asked_signs_in_and_is_linked_without_a_code(bench: Bench, door: DemoProvider) -> None:
    """Login, service, linked: the parked command runs, the login's token is given back, nothing was typed."""
    async with Browser() as browser:
        await reach_login(bench, browser, say="!notes add tea")
        at_login = browser.url
        await bench.consent(browser, "ada")
        at_service = browser.url
        await bench.consent(browser, "ada-at-demo")
        page = browser.text
    await bench.settle()
    await bench.core.revoking.work()

    assert [True, True] == [at_login.startswith(door.origin), at_service.startswith(bench.provider.origin)]
    assert "Demo notes is connected" in page
    assert "Connected just now" in page
    assert "Ada ( u-ada on fake)" in page
    assert "This was not me" in page
    assert "" == browser.code
    assert [("linked", "")] == await ends(bench)
    assert ["active"] == [one.status for one in await all_accounts(bench)]
    assert "sign in to Door as yourself first" in told(bench, ASKER)[0]
    assert "confirm" not in told(bench, ASKER)[0]
    assert told(bench, ASKER)[1].startswith("Linked Demo notes as **ada-at-demo**.")
    assert told(bench, ASKER)[1].endswith("Running what you asked for: `!notes add tea`")
    assert 3 == len(told(bench, ASKER))
    assert ["tea"] == bench.provider.notes("ada-at-demo")
    assert ["ada"] == door.revoked
    assert 1 == len(await audited(bench, "link.proven"))


async def test_the_first_page_says_that_a_login_comes_first(bench: Bench, door: DemoProvider) -> None:
    """Where, as whom, and why; then the service."""
    await bench.say("!link demo", ASKER)
    async with Browser() as browser:
        page = (await browser.open(bench.link_for(ASKER))).text

    assert f"leads to {urlsplit(door.origin).netloc} first, where you sign in to Door" in page
    assert f"After that comes {urlsplit(bench.provider.origin).netloc}" in page


async def test_the_page_undoes_it_for_a_day(bench: Bench) -> None:
    """*This was not me* works as after a code."""
    async with Browser() as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
        await bench.consent(browser, "ada-at-demo")
        bench.clock.pass_(23 * 3600.0)
        await browser.press("This was not me")

    assert [("refused", "not_me")] == await ends(bench)
    assert [] == await all_accounts(bench)


async def test_another_login_there_is_asked_about_in_chat(bench: Bench) -> None:
    """A56: nothing changes until the person has said what becomes of the first."""
    code = page = ""
    for login in ("ada-one", "ada-two"):
        async with Browser() as browser:
            await reach_login(bench, browser)
            await bench.consent(browser, "ada")
            await bench.consent(browser, login)
            code, page = browser.code, browser.text
    said = await heard(bench)
    before = [(one.login, one.status) for one in await all_accounts(bench)]
    again = await bench.say("!notes add tea", ASKER)
    asked = await bench.say(f"!confirm {code}", ASKER)
    answered = await bench.say("replace ada-one", ASKER)

    assert "has a question in chat before it is connected" in page
    assert (
        f"you are linked as **ada-one**; this is **ada-two**. To say what becomes of them, type `!confirm {code}`"
        in said
    )
    assert [("ada-one", "active"), ("ada-two", "pending")] == before
    assert again
    assert "Replace, or keep both?" in asked[0]
    assert answered[0].startswith("**ada-one** -> **ada-two**")
    assert [("ada-two", "active")] == [(one.login, one.status) for one in await all_accounts(bench)]


async def test_an_account_that_somebody_has_is_held(bench: Bench) -> None:
    """A68: as after a code; the asker and the first owner are told, and what waited is not run."""
    page = ""
    for speaker, login in ((MALLORY, "mallory"), (ASKER, "ada")):
        async with Browser() as browser:
            await reach_login(bench, browser, speaker, "!notes")
            await bench.consent(browser, login)
            await bench.consent(browser, "shared")
            page = browser.text
    said = await heard(bench)

    assert "An admin has to decide" in page
    assert "linked by somebody else already" in said
    assert "`!notes` was not run" in said
    assert ["active", "held"] == [one.status for one in await all_accounts(bench)]
    assert "Somebody else" in told(bench, MALLORY)[-1]


# -------------------------------------------------------------------------------- somebody else's browser


async def test_somebody_else_gets_no_further(bench: Bench, door: DemoProvider) -> None:
    """The service is never asked; both ends hear why, neither whose login it was; the login's token goes back."""
    async with Browser() as browser:
        await reach_login(bench, browser, say="!notes")
        await bench.consent(browser, "victim")
        page, status = browser.text, browser.status
        await browser.open(bench.link_for(ASKER))
        late = browser.text
    said = await heard(bench)
    await bench.core.revoking.work()

    assert 403 == status
    assert "Not who asked" in page
    assert "somebody else than the person who asked" in page
    assert "victim" not in page + said
    assert "No longer valid" in late
    assert "signed in as somebody else than you" in said
    assert "`!notes` was not run" in said
    assert [("refused", "not_asker")] == await ends(bench)
    assert [] == [one for one in bench.provider.requests if "/authorize" in one or "/token" in one]
    assert ["victim"] == door.revoked
    assert ["not_asker"] == [one["reason"] for one in await audited(bench, "link.refused")]
    assert "u-victim" not in json.dumps(await bench.rows("SELECT * FROM audit"), default=str)


async def test_admins_hear_when_it_happens_again(tmp_path: Path) -> None:
    """As of refusals: at the second within a day."""
    async with proving(tmp_path, admins=("fake:u-boss",)) as (bench, _):
        for _ in range(2):
            async with Browser() as browser:
                await reach_login(bench, browser, MALLORY)
                await bench.consent(browser, "victim")
        await bench.settle()
        kept = await bench.rows("SELECT * FROM notices")
        boss = [said.reply.text for said in bench.network.said if "Mallory" in said.reply.text]

    assert 1 == len(boss) + len([row for row in kept if row["subject"] == "u-boss"])


async def test_a_second_browser_has_to_prove_it_anew(bench: Bench) -> None:
    """What the first has proven is void as soon as another presses *Continue*; the first is out."""
    async with Browser() as first, Browser() as second:
        await reach_login(bench, first)
        await bench.consent(first, "ada")  # stands at the service now
        proven = (await all_flows(bench))[0]
        await second.open(bench.link_for(ASKER))
        await second.press("Continue")
        void = (await all_flows(bench))[0]
        await bench.consent(first, "ada-at-demo")

    assert (False, True) == (proven.unproven, void.unproven)
    assert "/authorize" in second.url
    assert 400 == first.status
    assert "No such link" in first.text
    assert [] == await all_accounts(bench)


async def test_the_login_s_answer_in_another_browser_ends_it(bench: Bench, door: DemoProvider) -> None:
    """A2: it is not even looked at whose login it is."""
    state, cookies, _ = await begin(bench)
    query = [("code", "c"), ("state", state), ("iss", door.origin)]
    said = await code_of(bench.core.browser.callback("door", "default", query, {}))
    other = await code_of(bench.core.browser.callback("door", "default", query, cookies))

    assert ("other_browser", "ended") == (said, other)
    assert [("refused", "other_browser")] == await ends(bench)
    assert [] == door.exchanges


# ------------------------------------------------------------------------------------- mixed up answers


@pytest.mark.parametrize(
    ("path", "issuer", "reason"),
    [
        (("demo", "default"), "door", "mix_up"),
        (("demo", "default"), "demo", "mix_up"),
        (("door", "other"), "door", "mix_up"),
        (("door", "default"), "demo", "issuer"),
        (("door", "default"), None, "issuer"),
    ],
)
async def test_a_login_s_state_counts_at_its_own_path_alone(
    bench: Bench, door: DemoProvider, path: tuple[str, str], issuer: str | None, reason: str
) -> None:
    """A12: no token endpoint sees the code, neither the login's nor the service's."""
    state, cookies, _ = await begin(bench)
    origins = {"door": door.origin, "demo": bench.provider.origin}
    query = [("code", "c"), ("state", state), *([("iss", origins[issuer])] if issuer else [])]

    assert reason == await code_of(bench.core.browser.callback(*path, query, cookies))
    assert [("refused", reason)] == await ends(bench)
    assert [] == [*door.exchanges, *bench.provider.exchanges]


async def test_a_service_s_state_counts_not_at_the_login_s_path(bench: Bench, door: DemoProvider) -> None:
    """A12, the other way round: once proven, the login's path is somebody else's."""
    async with Browser(stop=f"{bench.provider.origin}/authorize") as browser:
        await bench.say("!link demo", ASKER)
        await browser.open(bench.link_for(ASKER))
        await browser.press("Continue")
        await bench.consent(browser, "ada")
        state = dict(parse_qsl(urlsplit(browser.url).query))["state"]
        assert browser._session is not None
        cookies = {one.key.removeprefix("ob-"): one.value for one in browser._session.cookie_jar}
    spent = len(door.exchanges)
    query = [("code", "c"), ("state", state), ("iss", door.origin)]

    assert "mix_up" == await code_of(bench.core.browser.callback("door", "default", query, cookies))
    assert (1, []) == (spent, bench.provider.exchanges)
    assert 1 == len(door.exchanges)


async def test_a_code_of_another_attempt_does_not_pass(bench: Bench, door: DemoProvider) -> None:
    """A13: the verifier of this attempt does not fit it; the flow ends."""
    async with Browser(stop=f"http://127.0.0.1:{bench.plan.port}/callback") as browser:
        await reach_login(bench, browser, MALLORY)
        await bench.consent(browser, "ada")
        stolen = dict(parse_qsl(urlsplit(browser.url).query))["code"]
    state, cookies, _ = await begin(bench)
    query = [("code", stolen), ("state", state), ("iss", door.origin)]

    assert "login_failed" == await code_of(bench.core.browser.callback("door", "default", query, cookies))
    assert ("refused", "login_failed") in await ends(bench)
    assert [] == await all_accounts(bench)


async def test_the_login_s_answer_works_once(bench: Bench, door: DemoProvider) -> None:
    """A8: at once and later, also after the proof; the flow goes on for the browser that was first."""
    async with Browser(stop=f"http://127.0.0.1:{bench.plan.port}/callback") as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
        query = parse_qsl(urlsplit(browser.url).query)
        assert browser._session is not None
        cookies = {one.key.removeprefix("ob-"): one.value for one in browser._session.cookie_jar}
    results = await asyncio.gather(
        *(bench.core.browser.callback("door", "default", query, cookies) for _ in range(5)), return_exceptions=True
    )
    late = await code_of(bench.core.browser.callback("door", "default", query, cookies))

    assert ["spent"] * 4 == [one.code for one in results if isinstance(one, FlowError)]
    assert "spent" == late
    assert 1 == len(door.exchanges)
    assert [("open", "")] == await ends(bench)


# ------------------------------------------------------------------------- a login that says no, or nothing


async def test_cancelling_at_the_login_ends_it(bench: Bench, door: DemoProvider) -> None:
    """A no is a no."""
    async with Browser() as browser:
        await reach_login(bench, browser)
        await browser.press("", user="ada")
        await browser.press("Deny")
        page, status = browser.text, browser.status

    assert (403, True) == (status, "You did not sign in" in page)
    assert [("refused", "login_denied")] == await ends(bench)
    assert "did not sign in as you" in await heard(bench)
    assert [] == door.exchanges


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/token", {"status": 503}),
        ("/token", {"status": 429}),
        ("/token", {"drop": True}),
        ("/api/me", {"status": 502}),
    ],
)
async def test_a_login_out_of_order_is_tried_again_and_is_no_way_to_the_code(
    bench: Bench, door: DemoProvider, path: str, fault: dict[str, Any]
) -> None:
    """The flow is as it was: the same link works a moment later, with a sign-in."""
    async with Browser() as browser:
        await reach_login(bench, browser)
        door.fail(path, **fault)
        await bench.consent(browser, "ada")
        page, status = browser.text, browser.status
        flow = (await all_flows(bench))[0]
        await browser.open(bench.link_for(ASKER))
        await browser.press("Continue")
        again = browser.url
        await bench.consent(browser, "ada")
        await bench.consent(browser, "ada-at-demo")

    assert (503, True) == (status, "your link is still good" in page)
    assert ("open", True) == (flow.state, flow.unproven)
    assert again.startswith(door.origin)
    assert [("linked", "")] == await ends(bench)


async def test_a_login_that_cannot_be_found_leaves_the_link_alone(bench: Bench, door: DemoProvider) -> None:
    """Already *Continue* says so, and nothing has changed; there is still no other way."""
    await bench.say("!link demo", ASKER)
    before = await bench.rows("SELECT * FROM flows")
    await door.stop()
    async with Browser() as browser:
        await browser.open(bench.link_for(ASKER))
        await browser.press("Continue")

    assert (503, True) == (browser.status, "The sign-in does not answer" in browser.text)
    assert before == await bench.rows("SELECT * FROM flows")


async def test_a_login_that_answers_with_an_error_can_be_tried_again(
    bench: Bench, door: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no no is not the person's doing; its text is whatever came to the address, and is logged nowhere."""
    state, cookies, ticket = await begin(bench)
    query = [("error", "canary-7f3a"), ("state", state), ("iss", door.origin)]

    assert "login_unavailable" == await code_of(bench.core.browser.callback("door", "default", query, cookies))
    assert [("open", "")] == await ends(bench)
    assert (await bench.core.browser.authorise(ticket)).url.startswith(door.origin)
    assert "answered with an error" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/token", {"status": 400, "body": '{"error": "invalid_grant"}', "headers": JSON}),
        ("/api/me", {"status": 403}),
        ("/api/me", {"status": 200, "body": '{"login": "ada"}', "headers": JSON}),
    ],
)
async def test_a_login_that_does_not_say_who_it_is_ends_it(
    bench: Bench, door: DemoProvider, path: str, fault: dict[str, Any]
) -> None:
    """A token it gave goes back all the same."""
    door.fail(path, **fault)
    async with Browser() as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
    await bench.core.revoking.work()

    assert (502, True) == (browser.status, "The sign-in did not work" in browser.text)
    assert [("refused", "login_failed")] == await ends(bench)
    assert (["ada"] if path == "/api/me" else []) == door.revoked


async def test_a_browser_that_hangs_up_can_come_again(bench: Bench, door: DemoProvider) -> None:
    """While the login was being asked: the flow does not hang."""
    async with Browser(stop=f"http://127.0.0.1:{bench.plan.port}/callback") as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
        query = parse_qsl(urlsplit(browser.url).query)
        assert browser._session is not None
        cookies = {one.key.removeprefix("ob-"): one.value for one in browser._session.cookie_jar}
    door.fail("/token", delay=30)
    task = asyncio.create_task(bench.core.browser.callback("door", "default", query, cookies))
    await until(lambda: [one for one in door.requests if one == "POST /token"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    door.clear_faults()

    assert [("open", "")] == await ends(bench)


# ----------------------------------------------------------------------------------------- no way around


async def test_the_code_is_no_way_around_it(bench: Bench) -> None:
    """Were a flow pending without its proof, neither its code nor anything else would make it active."""
    async with Browser() as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
        bench.core.browser._finish = _nothing  # as if the process had ended just before
        await bench.consent(browser, "ada-at-demo")
        code = browser.code
    flow = (await all_flows(bench))[0]
    await write_flow(bench, replace(flow, proof=Proof()))
    said = await bench.say(f"!confirm {code}", ASKER)
    await write_flow(bench, flow)
    proven = await bench.say(f"!confirm {code}", ASKER)

    assert "That code is not one I am waiting for" in said[0]
    assert proven[0].startswith("Linked Demo notes as **ada-at-demo**")


async def _nothing(*_: object) -> None:
    """Do nothing."""


async def test_another_network_goes_on_with_the_code(tmp_path: Path) -> None:
    """Only where the operator wrote it."""
    async with proving(tmp_path, logins=()) as (bench, _):
        await bench.link(ASKER)

        assert [None] == [flow.proof for flow in await all_flows(bench)]


async def test_a_restart_while_the_login_is_asked_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code is spent, and nobody knows what came of it: its asker is told."""
    async with DemoProvider() as provider, DemoProvider() as door:
        plan = with_login(Plan(tmp_path, skills=("accounts", "notes"), provider=provider), door)
        async with Bench.open(plan) as bench:
            with monkeypatch.context() as patch:
                patch.setattr(Proving, "_open_again", _nothing)
                door.fail("/token", status=503)
                async with Browser() as browser:
                    await reach_login(bench, browser, say="!notes")
                    await bench.consent(browser, "ada")
            state = await ends(bench)
        async with Bench.open(plan) as bench:
            await bench.settle()
            await until(lambda: told(bench, ASKER))
            said = told(bench, ASKER)

            assert [("exchanging", "")] == state
            assert [("refused", "interrupted")] == await ends(bench)
            assert "I was restarted" in said[0]


async def test_a_restart_before_it_is_active_ends_it(tmp_path: Path) -> None:
    """The browser saw no page, so nobody would know how to go on; what it had brought is handed back."""
    async with DemoProvider() as provider, DemoProvider() as door:
        plan = with_login(Plan(tmp_path, skills=("accounts", "notes"), provider=provider), door)
        async with Bench.open(plan) as bench, Browser() as browser:
            bench.core.browser._finish = _nothing
            await reach_login(bench, browser, say="!notes")
            await bench.consent(browser, "ada")
            await bench.consent(browser, "ada-at-demo")
            state = await ends(bench)
        async with Bench.open(plan) as bench:
            await bench.settle()
            await bench.core.revoking.work()

            assert [("pending", "")] == state
            assert [("refused", "interrupted")] == await ends(bench)
            assert ["ada-at-demo"] == provider.revoked
            assert [] == await all_accounts(bench)


async def test_a_login_that_is_configured_no_more_ends_in_words(tmp_path: Path) -> None:
    """The flow does not fall back to the code."""
    async with DemoProvider() as provider, DemoProvider() as door:
        plan = with_login(Plan(tmp_path, skills=("accounts", "notes"), provider=provider), door)
        async with Bench.open(plan) as bench:
            await bench.say("!link demo", ASKER)
            link = bench.link_for(ASKER)
        async with Bench.open(replace(plan, logins=())) as bench, Browser() as browser:
            await browser.open(link)
            await browser.press("Continue")

            assert 503 == browser.status
            assert [("open", "")] == await ends(bench)


# ----------------------------------------------------------------------------------------------- by key


@pytest.fixture
async def by_key(tmp_path: Path) -> AsyncIterator[Bench]:
    """The same network, and a service that is linked by key."""
    async with DemoProvider() as provider, DemoProvider() as door:
        plan = keyed(Plan(tmp_path, skills=("accounts",), provider=provider), provider)
        async with Bench.open(with_login(plan, door)) as bench:
            yield bench


async def test_the_form_for_a_key_comes_after_the_login(by_key: Bench) -> None:
    """A64: only the asker's browser sees it; the key links at once, and nothing is typed in chat."""
    async with Browser() as browser:
        await reach_login(by_key, browser, say="!jot")
        at_login = browser.url
        await by_key.consent(browser, "ada")
        form = browser.text
        await browser.press("Connect", key=by_key.provider.key_for("ada"))
        page = browser.text
    await by_key.settle()

    assert "/authorize" in at_login
    assert "Your API key for Demo keys" in form
    assert "a code" not in form
    assert "Demo keys is connected" in page
    assert told(by_key, ASKER)[1].startswith("Linked Demo keys as **ada**.")
    assert "ada has 0 notes." == told(by_key, ASKER)[2]


async def test_no_key_is_taken_before_the_login(by_key: Bench) -> None:
    """A64: neither by the page of the flow, nor by a form that was made up."""
    await by_key.say("!link keys", ASKER)
    attempt = await by_key.core.browser.authorise(by_key.link_for(ASKER).rpartition("/")[2])
    outcome = await by_key.core.browser.outcome(attempt.flow, attempt.cookie)
    said = await code_of(by_key.core.browser.enter(attempt.flow, attempt.cookie, by_key.provider.key_for("ada")))

    assert (False, False) == (outcome.wants_key, attempt.here)
    assert "unproven" == said
    assert [("open", "")] == await ends(by_key)


async def test_a_victim_never_sees_the_form(by_key: Bench) -> None:
    """A64."""
    async with Browser() as browser:
        await reach_login(by_key, browser, MALLORY, "!link keys")
        await by_key.consent(browser, "victim")

    assert 403 == browser.status
    assert "API key" not in browser.text
    assert [("refused", "not_asker")] == await ends(by_key)


async def test_a_key_said_in_private_needs_no_browser(by_key: Bench) -> None:
    """Who says it is who asked; a link that was sent before is used up by it."""
    await by_key.say("!link keys", ASKER)
    said = await by_key.say(f"!link keys {by_key.provider.key_for('ada')}", ASKER)

    assert said[0].startswith("Linked Demo keys as **ada**")
    assert [("linked", "")] == await ends(by_key)


# ---------------------------------------------------------------------------------- the login's own token


async def test_the_login_s_token_is_nowhere_once_it_is_given_back(bench: Bench, door: DemoProvider) -> None:
    """It answered one question, and no row keeps it."""
    async with Browser() as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
    await bench.core.revoking.work()
    queued = await bench.rows("SELECT * FROM revocations")

    assert [] == queued
    assert ["ada"] == door.revoked
    assert [] == await all_accounts(bench)


async def test_a_login_that_is_linked_as_a_service_keeps_that_link(bench: Bench, door: DemoProvider) -> None:
    """A70: where handing one token back may end the whole permission, that of the link is not cut."""
    async with Browser() as browser:
        await reach_login(bench, browser, say="!link door")
        await bench.consent(browser, "ada")
        await bench.consent(browser, "ada")
    await bench.core.revoking.work()
    before = len(door.revoked)
    async with Browser() as browser:
        await reach_login(bench, browser)
        await bench.consent(browser, "ada")
        await bench.consent(browser, "ada-at-demo")
    await bench.core.revoking.work()

    assert ["active", "active"] == [one.status for one in await all_accounts(bench)]
    assert before == len(door.revoked)


async def test_a_first_link_of_the_login_itself_survives_its_own_proof(bench: Bench, door: DemoProvider) -> None:
    """The proof's token is given back before the service's is made, or not at all: never after."""
    async with Browser() as browser:
        await reach_login(bench, browser, say="!link door")
        await bench.consent(browser, "ada")
        await bench.consent(browser, "ada")
    await bench.settle()
    await bench.core.revoking.work()

    assert "active" == (await all_accounts(bench))[0].status
    assert '"login": "ada"' in (await bench.say("!api door GET /api/me", ASKER))[0]
