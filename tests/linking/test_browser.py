"""The browser's half: what a page may show to whom, what comes back from the provider, and the way out."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from linking.steps import (
    all_accounts,
    all_flows,
    audited,
    authorised,
    ends,
    held,
    pasted,
    stop_task,
    told,
    until,
    write_flow,
)
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.linking.browser import _ascii_host
from omnibot.linking.flows import FlowError, Outcome
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan

JSON = {"Content-Type": "application/json"}


def ticket_of(bench: Bench, speaker: Identity = ADA) -> str:
    return bench.link_for(speaker).rpartition("/")[2]


def cookie_of(browser: Browser) -> str:
    """The value of the attempt's cookie that *browser* holds."""
    assert browser._session is not None
    return next(one.value for one in browser._session.cookie_jar if one.key.startswith("ob-"))


async def outcome(bench: Bench, browser: Browser) -> Outcome:
    flow = (await all_flows(bench))[-1]
    return await bench.core.browser.outcome(flow.id, cookie_of(browser))


async def code_of(attempt: Any) -> str:
    with pytest.raises(FlowError) as caught:
        await attempt
    return caught.value.code


# ----------------------------------------------------------------------------------------- looking


async def test_the_page_tells_who_asks_for_what(bench: Bench) -> None:
    """Everything that helps to notice that it was not oneself."""
    room = bench.network.room("ops", ADA)
    await bench.say("!notes add my secret", channel=room)
    asking = await bench.core.browser.look(ticket_of(bench))

    assert ("demo@default", "Demo notes") == (asking.provider, asking.title)
    assert ("fake", "u-1", "Ada") == (asking.network, asking.subject, asking.display)
    assert ("#ops", "notes add") == (asking.where, asking.command)
    assert (("notes:read", "read your notes"), ("notes:write", "write and delete your notes")) == asking.scopes
    assert urlsplit(bench.provider.origin).netloc == asking.host


async def test_looking_changes_nothing(bench: Bench) -> None:
    """A7: not even the tag of the row."""
    await bench.say("!link demo")
    before = await bench.rows("SELECT * FROM flows")
    for _ in range(3):
        await bench.core.browser.look(ticket_of(bench))

    assert before == await bench.rows("SELECT * FROM flows")


async def test_a_ticket_that_is_none_says_so(bench: Bench) -> None:
    """Unknown, too late, used, or ended: for looking, authorising and refusing alike."""
    steps = bench.core.browser
    await bench.say("!link demo")
    ticket = ticket_of(bench)
    flow = (await all_flows(bench))[0]
    said = [await code_of(steps.look("x" * 43))]
    for state in ("exchanging", "pending", "held", "linked", "refused", "expired"):
        await write_flow(bench, replace(flow, state=state))
        said += [await code_of(step(ticket)) for step in (steps.look, steps.authorise, steps.refuse)]
    await write_flow(bench, flow)
    bench.clock.pass_(601)
    said += [await code_of(steps.look(ticket))]

    assert ["unknown", *["spent"] * 12, *["ended"] * 3, *["expired"] * 3, "expired"] == said


async def test_a_row_that_is_not_ours_is_refused_and_recorded(bench: Bench, browser: Browser) -> None:
    """The vault's refusal, at every door."""
    await authorised(bench, browser)
    flow = (await all_flows(bench))[0]
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE flows SET tries = tries + 1, state = 'open'")
    steps = bench.core.browser
    said = [await code_of(steps.look(ticket_of(bench)))]
    said.append(await code_of(steps.outcome(flow.id, cookie_of(browser))))
    said.append(await code_of(steps.disconnect(flow.id, cookie_of(browser))))

    assert ["vault"] * 3 == said
    assert {"table": "flows", "why": "Tampered"} in await audited(bench, "vault.refused")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://as.example/authorize", "as.example"),
        ("https://jenk\u0456ns.corp/a", "xn--jenkns-svf.corp"),
        ("https://ü" + "u" * 70 + "/", "u" * 70 + "-tgh"),
        ("", ""),
    ],
)
def test_a_host_is_shown_in_letters_that_cannot_lie(url: str, host: str) -> None:
    """A22: punycode where it is not ASCII, even where no rule fits."""
    assert host == _ascii_host(url)


# -------------------------------------------------------------------------------------- authorising


async def test_a_second_attempt_ends_the_first(bench: Bench) -> None:
    """A13: each has a cookie, a state and a verifier of its own."""
    await bench.say("!link demo")
    steps = bench.core.browser
    first, second = await steps.authorise(ticket_of(bench)), await steps.authorise(ticket_of(bench))

    assert first.flow == second.flow
    assert first.cookie != second.cookie
    assert first.url != second.url
    assert "unknown" == await code_of(steps.outcome(first.flow, first.cookie))
    assert "open" == (await steps.outcome(second.flow, second.cookie)).state


async def test_a_link_that_was_opened_has_more_time(bench: Bench, browser: Browser) -> None:
    """The person is at the provider: the ticket's ten minutes do not cut them off."""
    await bench.say("!link demo")
    await browser.open(bench.link_for())
    await browser.press("Continue")
    bench.clock.pass_(700)
    await bench.consent(browser)

    assert "pending" == (await all_flows(bench))[0].state


# ---------------------------------------------------------------------------------------- outcomes


async def test_the_code_is_the_same_at_every_reload(bench: Bench, browser: Browser) -> None:
    """And after a restart, since it is derived and nothing of it is stored in the clear."""
    code = await authorised(bench, browser)
    first, second = await outcome(bench, browser), await outcome(bench, browser)

    assert code == first.code == second.code
    assert ("pending", "ada", "Ada") == (first.state, first.login, first.name)
    assert first.code_until <= first.asking.since + 1200.0


async def test_an_outcome_is_for_the_browser_that_holds_the_cookie(bench: Bench, browser: Browser) -> None:
    """Knowing the address is not enough."""
    await authorised(bench, browser)
    flow = (await all_flows(bench))[0]
    steps = bench.core.browser
    said = [await code_of(steps.outcome(flow.id, cookie)) for cookie in ("", "x", "0" * 43)]
    said.append(await code_of(steps.outcome("unknown", cookie_of(browser))))
    said.append(await code_of(steps.disconnect(flow.id, "")))

    assert ["unknown"] * 5 == said


async def test_a_pending_outcome_whose_time_is_over_shows_no_code(bench: Bench, browser: Browser) -> None:
    """Even before it is swept away."""
    await authorised(bench, browser)
    bench.clock.pass_(1201)
    found = await outcome(bench, browser)

    assert ("expired", "") == (found.state, found.code)


async def test_a_linked_outcome_tells_until_when_it_can_be_undone(bench: Bench, browser: Browser) -> None:
    """A day."""
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}")
    found = await outcome(bench, browser)

    assert ("linked", "", "ada") == (found.state, found.code, found.login)
    assert found.confirmed is not None
    assert found.confirmed + 86400.0 == found.undo_until


async def test_what_was_not_granted_is_shown(bench: Bench, browser: Browser) -> None:
    """And said in chat."""
    bench.provider.grant_scopes = ()
    code = await authorised(bench, browser)
    found = await outcome(bench, browser)
    said = await bench.say(f"!confirm {code}")

    assert ("notes:read",) == found.missing
    assert "Demo notes did not grant: notes:read" in said[0]


async def test_what_was_granted_beyond_is_said(bench: Bench, browser: Browser) -> None:
    """A token that can do more than asked for is no surprise later."""
    bench.provider.grant_scopes = ("notes:read", "notes:write")
    code = await authorised(bench, browser)
    said = await bench.say(f"!confirm {code}")

    assert "Demo notes granted more than I asked for: notes:write" in said[0]


# ------------------------------------------------------------------------------- refusing, undoing


async def test_refusing_ends_it_and_tells_the_asker(bench: Bench, browser: Browser) -> None:
    """What waited is named, and not run."""
    await bench.say("!notes")
    await browser.open(bench.link_for())
    await browser.press("Refuse")

    assert [("refused", "refused")] == await ends(bench)
    assert "The person who opened your Demo notes link refused it. `!notes` was not run." == told(bench)[-1]
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_this_was_not_me_before_the_code_is_said(bench: Bench, browser: Browser) -> None:
    """The token goes back, the code is dead; saying so twice is no harm."""
    code = await authorised(bench, browser)
    flow = (await all_flows(bench))[0]
    cookie = cookie_of(browser)
    first = await bench.core.browser.disconnect(flow.id, cookie)
    second = await bench.core.browser.disconnect(flow.id, cookie)
    await until(lambda: bench.provider.revoked)

    assert [("refused", "not_me")] * 2 == [(one.state, one.reason) for one in (first, second)]
    assert [] == await all_accounts(bench)
    assert ["ada"] == bench.provider.revoked
    assert "not one I am waiting for" in (await bench.say(f"!confirm {code}"))[0]


async def test_this_was_not_me_within_a_day(bench: Bench, browser: Browser) -> None:
    """The account is erased, its token revoked, and the one who used it told."""
    await bench.say("!notes")
    await bench.authorise(browser, bench.link_for())
    await bench.say(f"!confirm {browser.code}")
    flow = (await all_flows(bench))[0]
    bench.clock.pass_(86_300)
    await bench.core.browser.disconnect(flow.id, cookie_of(browser))
    await until(lambda: bench.provider.revoked)

    assert [] == await all_accounts(bench)
    assert "says it was not them. It is disconnected." in told(bench)[-1]
    assert "To connect" in (await bench.say("!notes"))[0]


async def test_after_a_day_it_is_the_services_business(bench: Bench, browser: Browser) -> None:
    """The account stays."""
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}")
    flow = (await all_flows(bench))[0]
    bench.clock.pass_(86401)

    assert "expired" == await code_of(bench.core.browser.disconnect(flow.id, cookie_of(browser)))
    assert 1 == len(await all_accounts(bench))


async def test_what_was_unlinked_in_chat_can_still_be_looked_at_and_undone(bench: Bench, browser: Browser) -> None:
    """The account is gone from the row, and the row is still ours."""
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}")
    await bench.say("!unlink demo")
    shown = await outcome(bench, browser)
    after = await bench.core.browser.disconnect(shown.flow, cookie_of(browser))

    assert "" == shown.login
    assert ("refused", "not_me") == (after.state, after.reason)


async def test_an_older_flow_stays_readable_when_its_account_was_linked_again(bench: Bench, browser: Browser) -> None:
    """The new account took the old one's place."""
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}")
    first = await outcome(bench, browser)
    await bench.link()
    flows = await all_flows(bench)

    assert "ada" == first.login
    assert [None, True] == [flow.account and True for flow in flows]


async def test_the_admins_hear_of_a_second_refusal_in_a_day(plan: Plan) -> None:
    """One may be a mistake; two are somebody who sends links around."""
    async with Bench.open(replace(plan, admins=("fake:u-2",))) as bench:
        for _ in range(2):
            await bench.say("!link demo", MALLORY)
            async with Browser() as browser:
                await browser.open(bench.link_for(MALLORY))
                await browser.press("Refuse")
        heard = told(bench, GRACE)
        bench.clock.pass_(86401)
        await bench.say("!link demo", MALLORY)
        await bench.core.browser.refuse(ticket_of(bench, MALLORY))
        later = told(bench, GRACE)

    assert 1 == len(heard) == len(later)
    assert "Mallory (fake:u-666)" in heard[0]
    assert "more than once today" in heard[0]


# --------------------------------------------------------------------------- back from the provider


async def test_saying_no_at_the_provider_is_no_error(bench: Bench, browser: Browser) -> None:
    """The asker hears it; nothing was exchanged."""
    await bench.say("!notes")
    await browser.open(bench.link_for())
    await browser.press("Continue")
    await browser.press("", user="ada")
    await browser.press("Deny")

    assert [("refused", "denied")] == await ends(bench)
    assert "You refused at Demo notes: nothing is linked. `!notes` was not run." == told(bench)[-1]
    assert [] == bench.provider.exchanges


async def test_another_error_of_the_providers_is_told(bench: Bench) -> None:
    """In our words."""
    await bench.say("!link demo")
    attempt = await bench.core.browser.authorise(ticket_of(bench))
    query = [("error", "server_error"), ("state", attempt.url.partition("state=")[2].partition("&")[0])]
    query.append(("iss", bench.provider.origin))

    assert "provider_error" == await code_of(
        bench.core.browser.callback("demo", "default", query, {attempt.flow: attempt.cookie})
    )
    assert [("refused", "provider_error")] == await ends(bench)


@pytest.mark.parametrize(
    ("path", "changes", "cookie", "reason"),
    [
        ("default", {}, "", "other_browser"),
        ("default", {}, "x" * 43, "other_browser"),
        ("work", {}, None, "mix_up"),
        ("default", {"iss": "https://evil.example"}, None, "issuer"),
        ("default", {"iss": None}, None, "issuer"),
    ],
)
async def test_an_answer_that_is_not_believed_ends_the_flow(
    bench: Bench, path: str, changes: dict[str, str | None], cookie: str | None, reason: str
) -> None:
    """A2, A12: of another browser, at another path, of another server; nothing is exchanged, the asker hears why."""
    await bench.say("!link demo")
    attempt = await bench.core.browser.authorise(ticket_of(bench))
    state = attempt.url.partition("state=")[2].partition("&")[0]
    fields = {"code": "c", "state": state, "iss": bench.provider.origin} | changes
    query = [(name, value) for name, value in fields.items() if value is not None]
    cookies = {attempt.flow: attempt.cookie if cookie is None else cookie}
    said = await code_of(bench.core.browser.callback("demo", path, query, cookies))
    await bench.settle()

    assert reason == said
    assert [("refused", reason)] == await ends(bench)
    assert [] == bench.provider.exchanges
    assert "has ended" in told(bench)[-1]


async def test_what_is_no_answer_is_refused_before_anything_is_looked_up(bench: Bench) -> None:
    """A10: and so is a state that we never gave."""
    steps = bench.core.browser

    assert "bad_callback" == await code_of(steps.callback("demo", "default", [("code", "c")], {}))
    assert "unknown" == await code_of(steps.callback("demo", "default", [("code", "c"), ("state", "s" * 43)], {}))


async def test_an_answer_that_comes_too_late_is_refused(bench: Bench) -> None:
    """Nothing is exchanged."""
    await bench.say("!link demo")
    attempt = await bench.core.browser.authorise(ticket_of(bench))
    state = attempt.url.partition("state=")[2].partition("&")[0]
    bench.clock.pass_(1201)
    query = [("code", "c"), ("state", state), ("iss", bench.provider.origin)]

    assert "expired" == await code_of(
        bench.core.browser.callback("demo", "default", query, {attempt.flow: attempt.cookie})
    )
    assert [] == bench.provider.exchanges


async def test_an_answer_for_a_pasted_link_spends_nothing(plan: Plan) -> None:
    """Should it reach the listener after all: the address belongs into the chat, and still works there."""
    async with Bench.open(replace(plan, public=False)) as bench:
        url = await pasted(bench)
        query = [tuple(part.split("=", 1)) for part in url.partition("?")[2].split("&")]
        said = await code_of(bench.core.browser.callback("demo", "default", query, {}))  # type: ignore[arg-type]
        spent = list(bench.provider.exchanges)
        answers = await bench.say(url)

    assert "paste" == said
    assert [] == spent
    assert answers[0].startswith("Linked Demo notes as **ada**")


@pytest.mark.parametrize(
    ("path", "fault", "reason"),
    [
        ("/token", {"status": 400, "body": '{"error": "invalid_grant"}', "headers": JSON}, "exchange_failed"),
        ("/token", {"status": 200, "body": "no json"}, "exchange_failed"),
        ("/token", {"status": 307, "headers": {"Location": "https://evil.example/"}}, "exchange_failed"),
        ("/token", {"status": 503}, "unavailable"),
        ("/token", {"status": 429}, "unavailable"),
        ("/token", {"drop": True}, "unavailable"),
        ("/api/me", {"status": 403}, "exchange_failed"),
        ("/api/me", {"status": 200, "body": '{"login": "ada"}'}, "exchange_failed"),
        ("/api/me", {"status": 200, "body": "[]"}, "exchange_failed"),
        ("/api/me", {"status": 502}, "unavailable"),
        ("/api/me", {"drop": True}, "unavailable"),
    ],
)
async def test_a_failed_exchange_ends_the_flow_and_keeps_no_token(
    bench: Bench, browser: Browser, path: str, fault: dict[str, Any], reason: str
) -> None:
    """The asker is told; a token that was got and cannot be used goes back."""
    await bench.say("!notes")
    bench.provider.fail(path, **fault)
    await bench.authorise(browser, bench.link_for())
    if path == "/api/me":
        await until(lambda: bench.provider.revoked)

    assert [("refused", reason)] == await ends(bench)
    assert "`!notes` was not run." in told(bench)[-1]
    assert [] == await all_accounts(bench)
    assert (["ada"] if path == "/api/me" else []) == bench.provider.revoked
    assert browser.status >= 400


async def test_a_wrong_client_secret_is_told_to_who_runs_the_bot(
    bench: Bench, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else can mend it."""
    await bench.say("!notes")
    bench.provider.fail("/token", status=401, body='{"error": "invalid_client"}', headers=JSON)
    await bench.authorise(browser, bench.link_for())

    (said,) = [one for one in caplog.messages if "own client" in one]
    assert "demo@default does not take this bot's own client" in said
    assert "client_secret" in said


async def test_metadata_that_are_gone_when_the_browser_comes_back(
    bench: Bench, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour in which they are believed may be over by then."""
    await bench.say("!link demo")
    await browser.open(bench.link_for())
    await browser.press("Continue")
    instances = bench.core.options.instances
    monkeypatch.setattr(instances, "_ready", {})
    bench.provider.fail("/.well-known", status=503, times=None)
    await bench.consent(browser)

    assert [("refused", "unavailable")] == await ends(bench)
    assert [] == bench.provider.exchanges


async def test_a_token_that_comes_after_the_end_goes_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link was refused while the provider was answering: nothing is kept."""
    stop_task(bench, "revocations")
    await bench.say("!link demo")
    attempt = await bench.core.browser.authorise(ticket_of(bench))
    async with Browser(stop=f"http://127.0.0.1:{bench.plan.port}/callback") as browser:
        await browser.open(attempt.url)
        await bench.consent(browser)
        query = [tuple(part.split("=", 1)) for part in browser.url.partition("?")[2].split("&")]
    decoded = [(name, unquote(value)) for name, value in query]
    go = held(bench, monkeypatch, "/api/me")
    coming = asyncio.create_task(
        code_of(bench.core.browser.callback("demo", "default", decoded, {attempt.flow: attempt.cookie}))
    )
    await until(lambda: "GET /api/me" in bench.provider.requests)
    during = (await all_flows(bench))[0]
    await bench.core.endings.burn(during, "seen")
    go.set()
    said = await coming
    queued = await bench.rows("SELECT provider FROM revocations")

    assert ("exchanging", None) == (during.state, during.verifier)
    assert "ended" == said
    assert [] == await all_accounts(bench)
    assert [{"provider": "demo"}] == queued


async def test_a_profile_is_stored_as_it_may_be_shown(bench: Bench, browser: Browser) -> None:
    """A17: control characters, endless names and what is no text do not get in."""
    profile = {"id": 7, "login": "a\u202eda\n", "name": "x" * 500, "avatar": ["no"]}
    bench.provider.fail("/api/me", status=200, body=json.dumps(profile), headers=JSON)
    await authorised(bench, browser)
    account = (await all_accounts(bench))[0]

    assert ("7", "") == (account.external, account.avatar)
    assert account.login.isprintable()
    assert 80 == len(account.name)


async def test_a_pending_account_is_used_by_nothing(bench: Bench, browser: Browser) -> None:
    """A1: neither by a command nor in a list."""
    await authorised(bench, browser)

    assert ["You have linked nothing yet. `!link SERVICE` begins."] == await bench.say("!accounts")
    assert "type it to me in private" in (await bench.say("!notes"))[0]
    assert [("GET", "/api/me")] == [(one.method, one.path) for one in bench.provider.calls]


async def test_the_page_finds_its_provider_gone(bench: Bench, provider: DemoProvider, browser: Browser) -> None:
    """A service that is down when the browser is sent there is not ours to mend; the flow waits."""
    await bench.say("!link demo")
    await provider.stop()
    await browser.open(bench.link_for())
    with pytest.raises(Exception, match="onnect"):
        await browser.press("Continue")
    await provider.start()
    await bench.authorise(browser, bench.link_for())

    assert "pending" == (await all_flows(bench))[0].state


async def test_an_erased_person_takes_the_flow_along(bench: Bench) -> None:
    """Nothing points at nobody."""
    await bench.say("!link demo")
    async with bench.core.database.transaction() as tx:
        await tx.execute("DELETE FROM people")

    assert [] == await all_flows(bench)
    assert "unknown" == await code_of(bench.core.browser.look(ticket_of(bench)))


# ----------------------------------------------------------------------------------------- afterwards


async def test_the_page_of_an_account_that_was_unlinked(bench: Bench, browser: Browser) -> None:
    """It says so, whoever unlinked it and how, and has no button left."""
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}")
    connected = (await browser.open(browser.url)).text
    await bench.say("!unlink demo")
    page = await browser.open(browser.url)

    assert "Demo notes is connected" in connected
    assert "No longer connected" in page.text
    assert "is connected" not in page.text
    assert "<form" not in page.page
