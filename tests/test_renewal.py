"""An account stays linked: renewed once and in time, given up only when its service says so, and that is told."""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from acting import Act, Watching, account_of, me, refreshes, run
from linking.steps import audited, stop_task, told, two_instances, until, write
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider
from omnibot.errors import AddressRefused, NotLinked, Upstream, UserError
from omnibot.renewal import _ENDING_ONES, _IDLE_ONES, Renewals, in_words, notice_before
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.vault import Grants
from omnibot.wire import Answer, Request

JSON = {"Content-Type": "application/json"}
DAY = 86400.0
ENDED = (
    "Your link to Demo notes as **ada** has ended: the service no longer accepts it. Please link again: `!link demo`"
)
RUN_OUT = "Your link to Demo notes as **ada** has run out. Please link again: `!link demo`"
PAUSED = "Demo notes did not renew your login when I last asked. I ask again in"


@pytest.fixture
def act() -> Act:
    return Act()


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider, act: Act) -> Plan:
    return Plan(tmp_path, skills=("accounts", act.skill), provider=provider, http=Watching)


@pytest.fixture
async def bare(plan: Plan) -> AsyncIterator[Bench]:
    """A bot to which nothing is linked, and whose background the test moves by itself."""
    async with Bench.open(plan) as bench:
        stop_task(bench, "renewals")
        await until(lambda: bench.core.policy.trusts("fake"))
        yield bench


@pytest.fixture
async def bench(bare: Bench) -> Bench:
    """The same, with Ada's account linked, and the right to read and write notes."""
    await bare.say("!act")
    await bare.link()
    return bare


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnibot.renewal.random.uniform", lambda low, high: (low + high) / 2)


async def look(bench: Bench) -> None:
    """Let the background look once, and do what it finds."""
    await bench.core.renewals.sweep()
    await bench.core.renewals.settle()
    await bench.settle()


async def unrenewable(bench: Bench, seconds: float) -> Account:
    """Link an account of Ada's whose token ends after so many *seconds*, and comes with nothing to renew it by."""
    token = bench.provider.issue("ada", "omnibot", ("notes:read", "notes:write"))["access_token"]
    body = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
    bench.provider.fail("/token", status=200, body=json.dumps(body), headers=JSON)
    await bench.say("!act")
    await bench.link()
    return await account_of(bench)


def no(bench: Bench, error: str, times: int | None = 1) -> None:
    """Let the token endpoint say *error*."""
    body = json.dumps({"error": error})
    bench.provider.fail("/token", status=400, body=body, headers=JSON, times=times)


def asked(bench: Bench) -> int:
    """How often the token endpoint was asked."""
    return bench.provider.requests.count("POST /token")


# ---------------------------------------------------------------------------------------- one renewal


async def test_a_renewal_starts_from_the_row_as_it_is(bench: Bench) -> None:
    """What somebody else renewed is taken; what is broken or gone cannot be renewed."""
    account, renewals = await account_of(bench), bench.core.renewals
    newer = replace(account, generation=7)
    await write(bench, newer)
    taken = await renewals.renew(account)
    await write(bench, replace(newer, status="broken"))
    broken = await renewals.renew(account)
    async with bench.core.database.transaction() as tx:
        await accounts.delete(tx, account.id, account.person)
    gone = await renewals.renew(account)

    assert newer == taken
    assert (None, None) == (broken, gone)
    assert [] == refreshes(bench.provider)


async def test_a_token_is_opened_for_its_own_upkeep(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """No command need be under way, and no grant of one is used."""
    lent: list[tuple[str, frozenset[str] | None]] = []
    opened = Grants.open

    def noted(self: Grants, person: str, reason: str, accounts: frozenset[str] | None = None) -> Any:
        lent.append((reason, accounts))
        return opened(self, person, reason, accounts)

    monkeypatch.setattr(Grants, "open", noted)
    account = await account_of(bench)
    renewed = await bench.core.renewals.renew(account)

    assert renewed is not None
    assert (account.generation + 1, 0, True) == (renewed.generation, renewed.refreshing, renewed.renewable)
    assert [("refresh", frozenset({account.id}))] == lent
    assert not bench.core.grants._live


async def test_who_shares_a_renewal_for_an_older_token_gets_one_of_their_own(bench: Bench) -> None:
    """What the older token was renewed to is what they had been refused with: nothing ends by that (A46)."""
    old, renewals = await account_of(bench), bench.core.renewals
    current = await renewals.renew(old)
    assert current is not None
    newest = await asyncio.gather(renewals.renew(old), renewals.refused(current))

    assert [current.generation, current.generation + 1] == [one.generation for one in newest if one is not None]
    assert "active" == (await account_of(bench)).status


async def test_giving_up_does_not_touch_what_was_renewed_meanwhile(bench: Bench) -> None:
    """The row is read again: another's renewal came in between, and the account works."""
    account, renewals = await account_of(bench), bench.core.renewals
    newer = replace(account, generation=5)
    await write(bench, newer)
    renewed = await renewals.give_up(account, "unauthorised")
    kept = (await account_of(bench)).status
    broken = await renewals.give_up(newer, "unauthorised")
    status = (await account_of(bench)).status
    gone = await renewals.give_up(replace(account, id="gone"), "unauthorised")

    assert (newer, "active") == (renewed, kept)
    assert (None, "broken", None) == (broken, status, gone)


async def test_giving_up_waits_for_the_renewal_under_way(bench: Bench) -> None:
    """A request that found the old token dead does not break the account that another is renewing."""
    account, renewals = await account_of(bench), bench.core.renewals
    bench.provider.fail("/token", status=None, delay=0.02)
    renewing = asyncio.create_task(renewals.renew(account))
    await asyncio.sleep(0)
    given_up = await renewals.give_up(account, "unauthorised")

    assert given_up == await renewing
    assert ("active", 2) == ((await account_of(bench)).status, (await account_of(bench)).generation)


async def test_a_401_after_all_is_no_end_where_another_renewed(bench: Bench, act: Act) -> None:
    """The command hears of the refusal; the account is not given up for it."""
    bench.provider.fail("/api/me", status=401, times=None)
    http = bench.core.options.http
    assert isinstance(http, Watching)
    seen = 0

    async def third(request: Request) -> None:
        nonlocal seen
        seen += request.url.endswith("/api/me")
        if seen == 2:  # after this one's own renewal
            seen += 1
            await write(bench, replace(await account_of(bench), generation=9))

    http.look = third
    said = await run(bench, act, me)

    assert ["Demo notes refused that (status 401)."] == said
    assert "active" == (await account_of(bench)).status


async def test_a_renewal_that_fails_is_a_line_of_the_log(
    bench: Bench, act: Act, caplog: pytest.LogCaptureFixture
) -> None:
    """With the kind of the error and no more."""
    caplog.set_level(logging.INFO, "omnibot.renewal")
    bench.provider.expire_access_tokens()
    bench.provider.fail("/token", status=503)
    await run(bench, act, me)

    assert "a renewal did not succeed: Upstream" in caplog.text


async def test_a_token_that_came_with_nothing_to_renew_it_is_known_as_such(bare: Bench, act: Act) -> None:
    """From its link on; one of before there was a note of it, from the first try on."""
    account = await unrenewable(bare, 3600)
    await write(bare, replace(account, renewable=True))
    bare.clock.pass_(3600 - 20)
    said = await run(bare, act, me)
    after = await account_of(bare)

    assert not account.renewable
    assert ["done"] == said
    assert (False, "active", 0) == (after.renewable, after.status, after.refreshing)
    assert [] == refreshes(bare.provider)


# ---------------------------------------------------------------------------------------- putting off


@pytest.mark.parametrize("fault", [{"status": status} for status in (429, 500, 502, 503)] + [{"drop": True}])
async def test_a_provider_out_of_order_breaks_nothing(bench: Bench, act: Act, fault: dict[str, Any]) -> None:
    """A46: whatever it says of the grant meanwhile; later commands hear so at once, and then it works again."""
    bench.provider.expire_access_tokens()
    bench.provider.fail("/token", body='{"error": "invalid_grant"}', headers=JSON, **fault)
    before = asked(bench)
    await run(bench, act, me)
    first, account = act.error, await account_of(bench)
    said = [await run(bench, act, me) for _ in range(3)]
    tries = asked(bench) - before
    bench.clock.pass_(11)

    assert isinstance(first, Upstream)
    assert ("active", 1, 2) == (account.status, account.generation, account.refreshing)
    assert 3 == len([one for (one,) in said if one.startswith(PAUSED)])
    assert 1 == tries
    assert ["done"] == await run(bench, act, me)
    assert 0 == (await account_of(bench)).refreshing


async def test_a_token_that_is_good_still_is_used_meanwhile(bench: Bench, act: Act) -> None:
    """Half a minute before its end nobody need hear of the provider's trouble, and it is left in peace."""
    bench.clock.pass_(3600 - 20)
    bench.provider.fail("/token", status=503, times=None)
    before = asked(bench)
    early = [await run(bench, act, me) for _ in range(3)]
    tries = asked(bench) - before
    bench.clock.pass_(22)
    first = await run(bench, act, me)  # the pause is over, and so is the token's life
    late = await run(bench, act, me)
    again = asked(bench) - before
    bench.provider.clear_faults()
    bench.clock.pass_(60)

    assert ([["done"]] * 3, 1) == (early, tries)
    assert ["Demo notes is out of order (status 503). Try again in a while."] == first
    assert late[0].startswith(PAUSED)
    assert 2 == again
    assert ["done"] == await run(bench, act, me)


async def test_pauses_grow_and_end(bench: Bench) -> None:
    """Five minutes are the longest; a success forgets them."""
    renewals, account = bench.core.renewals, await account_of(bench)
    bench.provider.fail("/token", status=503, times=8)
    pauses = []
    for _ in range(8):
        with pytest.raises(Upstream):
            await renewals.renew(account)
        with pytest.raises(Upstream) as put_off:
            await renewals.renew(account)
        assert put_off.value.retry_after is not None
        pauses.append(round(put_off.value.retry_after))
        bench.clock.pass_(pauses[-1] + 1)
    renewed = await renewals.renew(account)

    assert [10, 20, 40, 80, 160, 300, 300, 300] == pauses
    assert renewed is not None
    assert {} == renewals._pauses._all


async def test_a_clock_that_is_set_back_prolongs_no_pause(bench: Bench) -> None:
    """As a small machine's is that started with a wrong one."""
    account = await account_of(bench)
    bench.provider.fail("/token", status=503, times=1)
    with pytest.raises(Upstream):
        await bench.core.renewals.renew(account)
    bench.clock.pass_(-DAY)
    renewed = await bench.core.renewals.renew(account)

    assert renewed is not None
    assert account.generation < renewed.generation


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_provider_is_not_asked_before_it_says(bench: Bench, form: str) -> None:
    """RFC 9110 section 10.2.3: in either form, and even if that is longer than we would have waited."""
    renewals, account = bench.core.renewals, await account_of(bench)
    value = "1000" if form == "seconds" else formatdate(time.time() + 1000, usegmt=True)
    bench.provider.fail("/token", status=429, headers={"Retry-After": value})
    with pytest.raises(Upstream):
        await renewals.renew(account)
    before = asked(bench)
    bench.clock.pass_(990)
    with pytest.raises(Upstream, match="I ask again in"):
        await renewals.renew(account)
    bench.clock.pass_(20)
    untouched = asked(bench)

    assert await renewals.renew(account) is not None
    assert before == untouched


async def test_what_was_renewed_in_spite_of_a_pause_is_taken(bench: Bench) -> None:
    """The row is read before anybody is put off."""
    renewals, account = bench.core.renewals, await account_of(bench)
    bench.provider.fail("/token", status=503)
    with pytest.raises(Upstream):
        await renewals.renew(account)
    newer = replace(account, generation=4)
    await write(bench, newer)
    taken = await renewals.renew(account)
    await write(bench, replace(newer, status="broken"))

    assert newer == taken
    assert await renewals.renew(account) is None


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
async def test_a_refusal_of_the_bot_itself_is_the_operators(
    bench: Bench, act: Act, caplog: pytest.LogCaptureFixture, error: str
) -> None:
    """Nobody is unlinked; the operator hears of it once, and the person whom to ask."""
    bench.provider.expire_access_tokens()
    no(bench, error, times=2)
    said = await run(bench, act, me)
    bench.clock.pass_(15)
    again = await run(bench, act, me)
    bench.clock.pass_(60)
    lines = [one for one in caplog.records if "does not take this bot's own client" in one.getMessage()]

    assert ["active"] == [(await account_of(bench)).status]
    assert "does not accept this bot itself just now" in said[0]
    assert "for my operator to mend; you need not link again" in said[0]
    assert said == again
    assert [(logging.ERROR, True)] == [(one.levelno, error in one.getMessage()) for one in lines]
    assert ["done"] == await run(bench, act, me)
    assert set() == bench.core.renewals._blamed


@pytest.mark.parametrize("error", ["invalid_request", "invalid_scope", "unsupported_grant_type", "x y z"])
async def test_a_refusal_that_nobody_can_read_breaks_nothing(bench: Bench, act: Act, error: str) -> None:
    """The person's account is as good as before."""
    bench.provider.expire_access_tokens()
    no(bench, error)
    said = await run(bench, act, me)

    assert ["Demo notes would not renew your login just now. Try again in a while."] == said
    assert "active" == (await account_of(bench)).status


async def test_an_address_that_is_refused_is_the_operators_too(
    bench: Bench, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the guard says is not the person's to mend."""
    instance = bench.core.options.instances.get("demo")
    assert instance.server is not None
    elsewhere = replace(instance, server=replace(instance.server, token_url="http://127.0.0.1:1/token"))

    async def moved(*_: object) -> object:
        return elsewhere

    bench.provider.expire_access_tokens()
    monkeypatch.setattr(bench.core.options.instances, "ready", moved)
    said = await run(bench, act, me)

    assert "for my operator to mend" in said[0]
    assert "active" == (await account_of(bench)).status


async def test_metadata_at_a_refused_address_are_the_operators_too(
    bench: Bench, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was begun, so nothing is marked."""

    async def refused(*_: object) -> object:
        raise AddressRefused

    bench.provider.expire_access_tokens()
    monkeypatch.setattr(bench.core.options.instances, "ready", refused)
    said = await run(bench, act, me)

    assert "for my operator to mend" in said[0]
    assert ("active", 0) == ((await account_of(bench)).status, (await account_of(bench)).refreshing)


# ------------------------------------------------------------------------------------ after a crash


async def test_what_a_crash_interrupted_is_taken_up_once(bench: Bench) -> None:
    """A45: with the refresh token there is; if that is good, nobody notices."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    await bench.core.renewals.recover()
    await look(bench)
    await look(bench)
    account = await account_of(bench)

    assert ("active", 2, 0) == (account.status, account.generation, account.refreshing)
    assert [True] == [one.ok for one in refreshes(bench.provider)]
    assert {} == bench.core.renewals._begun


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_token"])
async def test_what_a_crash_cost_is_told_once(bench: Bench, error: str) -> None:
    """In private, with what to do; the service is not asked again, and no other start says it again."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    before = asked(bench)
    no(bench, error)
    for _ in range(3):
        await bench.core.renewals.recover()
        await look(bench)
    account = await account_of(bench)

    assert [ENDED] == [text for text in told(bench) if text == ENDED]
    assert ("broken", 0) == (account.status, account.refreshing)
    assert 1 == asked(bench) - before
    assert [{"provider": "demo", "why": error}] == await audited(bench, "account.broken")


async def test_who_was_not_told_before_a_crash_is_told_after_it(bench: Bench) -> None:
    """The mark of a broken account stands until its owner has heard of it."""
    await write(bench, replace(await account_of(bench), status="broken", refreshing=2))
    await bench.core.renewals.recover()
    before = asked(bench)
    await look(bench)

    assert ENDED == told(bench)[-1]
    assert 0 == (await account_of(bench)).refreshing
    assert before == asked(bench)


async def test_who_has_linked_again_meanwhile_is_not_told(bench: Bench) -> None:
    """Nor who unlinked it: what ended is not theirs any more."""
    account = await account_of(bench)
    await write(bench, replace(account, status="broken", refreshing=2))
    await bench.core.renewals.recover()
    await write(bench, account)
    before = len(told(bench))
    await look(bench)

    assert before == len(told(bench))
    assert {} == bench.core.renewals._untold


async def test_whose_row_somebody_wrote_to_is_not_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It may be anybody who would be told."""
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET status = 'broken', refreshing = 2")
    before = len(told(bench))
    await bench.core.renewals.recover()
    await look(bench)

    assert before == len(told(bench))
    assert "whose account has ended cannot be told: Tampered" in caplog.text
    assert {} == bench.core.renewals._untold


async def test_a_service_that_was_taken_out_is_not_offered_again(bench: Bench) -> None:
    """The operator removed it from the configuration."""
    await write(bench, replace(await account_of(bench), provider="gone", status="broken", refreshing=2))
    await bench.core.renewals.recover()
    await look(bench)

    assert "Your link to gone@default as **ada** has ended" in told(bench)[-1]
    assert told(bench)[-1].endswith("This bot no longer works with that service.")


async def test_words_wait_for_their_network(bench: Bench) -> None:
    """Right after a start nobody can be spoken to: for a while that is waited for, and then a notice is kept."""
    bench.core.policy.distrust("fake")
    await write(bench, replace(await account_of(bench), status="broken", refreshing=2))
    before = len(told(bench))
    await bench.core.renewals.recover()
    await look(bench)
    waiting = (await account_of(bench)).refreshing
    bench.clock.pass_(121)
    await look(bench)
    kept = await bench.rows("SELECT 1 FROM notices")
    bench.core.policy.trust("fake")
    await bench.say("hello")

    assert (2, 0) == (waiting, (await account_of(bench)).refreshing)
    assert 1 == len(kept)
    assert [ENDED] == [text for text in told(bench)[before:] if text == ENDED]


async def test_words_that_were_being_said_at_the_end_are_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot stops while the network takes its time: a notice is kept, and nothing is said again at the next start."""
    stuck = asyncio.Event()

    async def slow(*_: object) -> None:
        stuck.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(bench.core.delivery, "_send", slow)
    await write(bench, replace(await account_of(bench), status="broken", refreshing=2))
    await bench.core.renewals.recover()
    await bench.core.renewals.sweep()
    await stuck.wait()
    await bench.core.renewals.close()

    assert 1 == len(await bench.rows("SELECT 1 FROM notices"))
    assert 0 == (await account_of(bench)).refreshing


async def test_a_provider_that_is_down_at_the_start_is_asked_again_later(bench: Bench) -> None:
    """The mark stays, the pauses grow, and nobody is told anything."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    await bench.core.renewals.recover()
    before = asked(bench)
    bench.provider.fail("/token", status=503, times=2)
    await look(bench)
    await look(bench)
    paused, marked = asked(bench) - before, (await account_of(bench)).refreshing
    bench.clock.pass_(31)
    await look(bench)
    bench.clock.pass_(61)
    await look(bench)

    assert (1, 2) == (paused, marked)
    assert 3 == asked(bench) - before
    assert ("active", 2, 0) == ((await account_of(bench)).status, *_generation(await account_of(bench)))
    assert [] == [text for text in told(bench) if "link again" in text]


def _generation(account: Account) -> tuple[int, int]:
    return account.generation, account.refreshing


async def test_a_command_shares_the_retry(bench: Bench, act: Act) -> None:
    """It waits for the one that is under way, and makes none of its own."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    bench.provider.expire_access_tokens()
    bench.provider.fail("/token", status=None, delay=0.02)
    await bench.core.renewals.recover()
    await bench.core.renewals.sweep()
    said = await run(bench, act, me)

    assert ["done"] == said
    assert [True] == [one.ok for one in refreshes(bench.provider)]


async def test_a_command_that_shares_the_retry_tells_its_end_itself(bench: Bench, act: Act) -> None:
    """One link, and no second message."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    bench.provider.forget_grants()
    bench.provider.fail("/token", status=None, delay=0.02)
    await bench.core.renewals.recover()
    await bench.core.renewals.sweep()
    await run(bench, act, me)
    await look(bench)

    assert isinstance(act.error, NotLinked)
    assert [] == [text for text in told(bench) if text == ENDED]
    assert ("broken", 0) == ((await account_of(bench)).status, (await account_of(bench)).refreshing)


async def test_an_end_that_no_command_waited_for_is_told(bench: Bench) -> None:
    """Whoever asked for the renewal was stopped before it ended."""
    bench.provider.fail("/token", status=400, body='{"error": "invalid_grant"}', headers=JSON, delay=0.1)
    wanting = asyncio.create_task(bench.core.renewals.renew(await account_of(bench)))
    await until(lambda: bench.core.renewals._begun)
    wanting.cancel()
    with suppress(asyncio.CancelledError):
        await wanting
    await bench.core.renewals.settle()

    assert ENDED == told(bench)[-1]


async def test_a_row_that_somebody_wrote_to_holds_up_nobody(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It is left alone, said in the log, and not tried again until the next start."""
    await bench.link(GRACE, "grace")
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET refreshing = 5 WHERE linked_by LIKE '%u-1%'")
    rows = await bench.rows("SELECT id FROM accounts WHERE linked_by LIKE '%u-2%'")
    other = await accounts.get(bench.core.database, bench.core.sealer, str(rows[0]["id"]))
    assert other is not None
    await write(bench, replace(other, refreshing=2))
    await bench.core.renewals.recover()
    await look(bench)
    await look(bench)

    assert ["grace"] == [one.user for one in refreshes(bench.provider)]
    assert 1 == caplog.text.count("a token at demo@default cannot be renewed: Tampered")


# -------------------------------------------------------------------------------- ahead of commands


async def test_a_token_in_use_is_renewed_before_a_command_has_to_wait(bench: Bench, act: Act) -> None:
    """Ahead of the time at which a command would; once."""
    bench.clock.pass_(3600 - 120)
    await run(bench, act, me)
    await look(bench)
    before = len(refreshes(bench.provider))
    bench.clock.pass_(20)
    await look(bench)
    await look(bench)
    ahead = len(refreshes(bench.provider))
    bench.clock.pass_(90)
    said = await run(bench, act, me)

    assert (0, 1) == (before, ahead)
    assert ["done"] == said
    assert 1 == len(refreshes(bench.provider))


async def test_a_token_that_nobody_uses_is_left_until_it_is_needed(bench: Bench, act: Act) -> None:
    """Its last use is more than an hour ago."""
    await write(bench, replace(await account_of(bench), expires=bench.clock() + 3700))
    await run(bench, act, me)
    bench.clock.pass_(3650)
    await look(bench)

    assert [] == refreshes(bench.provider)
    assert {} == bench.core.renewals._used


async def test_an_account_that_was_unlinked_is_forgotten(bench: Bench, act: Act) -> None:
    """Its token was about to be renewed ahead."""
    bench.clock.pass_(3600 - 100)
    await run(bench, act, me)
    account = await account_of(bench)
    async with bench.core.database.transaction() as tx:
        await accounts.delete(tx, account.id, account.person)
    await look(bench)

    assert {} == bench.core.renewals._used
    assert [] == refreshes(bench.provider)


async def test_short_lived_tokens_are_left_to_their_commands(bench: Bench, act: Act) -> None:
    """What lives two minutes would be renewed all the time."""
    bench.provider.token_seconds = 120
    bench.provider.expire_access_tokens()
    await run(bench, act, me)
    bench.clock.pass_(60)
    await run(bench, act, me)
    await look(bench)

    assert 1 == len(refreshes(bench.provider))


async def test_an_idle_account_is_renewed_before_its_refresh_token_lapses(bench: Bench) -> None:
    """Six days after its token ended; not before."""
    bench.clock.pass_(6 * DAY)
    await look(bench)
    early = len(refreshes(bench.provider))
    bench.clock.pass_(3601)
    await look(bench)
    await look(bench)

    assert (0, 1) == (early, len(refreshes(bench.provider)))
    assert 2 == (await account_of(bench)).generation


async def copies(bench: Bench, number: int) -> None:
    """Give Ada so many more accounts, each with a token of its own that ended a week ago."""
    pattern = await account_of(bench)
    instance = bench.core.options.instances.get("demo")
    keys = await bench.core.people.keys(bench.core.database, pattern.person)
    async with bench.core.database.transaction() as tx:
        for n in range(number):
            answer = bench.provider.issue(f"user-{n}", "omnibot", ("notes:read",))
            made = replace(pattern, id=f"{n:032x}", alias=f"a{n}", external=f"e{n}", expires=bench.clock() - 7 * DAY)
            token = bench.core.sealer.seal(
                keys.public_key,
                made.head(instance.api),
                _token(answer),
            )
            await accounts.insert(tx, bench.core.sealer, replace(made, token=token))


def _token(answer: dict[str, Any]) -> Any:
    from omnibot.provider import Token

    return Token(answer["access_token"], answer["refresh_token"])


async def test_there_is_no_herd_at_a_start(bench: Bench) -> None:
    """However many have been idle for too long: a few at each look, and fewer at once; all of them in the end."""
    await copies(bench, 50)
    http = bench.core.options.http
    assert isinstance(http, Watching)
    under_way: list[int] = []

    async def count(request: Request) -> None:
        if request.url.endswith("/token"):
            under_way.append(len(bench.core.renewals._flights))

    http.look = count
    done = []
    for _ in range(4):
        await look(bench)
        done.append(len(refreshes(bench.provider)))

    assert [20, 40, 50, 50] == done
    assert 4 == max(under_way)


async def test_what_cannot_be_renewed_does_not_stand_in_the_way(bench: Bench) -> None:
    """The next look goes on where the last one ended, and begins again at the end."""
    await copies(bench, 30)
    bench.provider.fail("/token", status=400, body='{"error": "invalid_request"}', headers=JSON, times=20)
    await look(bench)
    await look(bench)
    done = len(refreshes(bench.provider))
    bench.clock.pass_(30)
    await look(bench)

    assert (10, 30) == (done, len(refreshes(bench.provider)))


async def test_a_service_that_was_taken_out_is_no_storm_in_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its idle accounts stay, and cannot be renewed: said now and then, not for each at each look."""
    await copies(bench, 30)

    def gone(*_: object) -> object:
        raise UserError("I do not know that service.")

    monkeypatch.setattr(bench.core.options.instances, "get", gone)
    for _ in range(4):
        await look(bench)
        bench.clock.pass_(1)

    assert 1 == len([one for one in caplog.messages if "cannot be renewed" in one])


async def test_a_provider_that_is_down_is_left_in_peace(bench: Bench) -> None:
    """After the first few failures nothing of it is tried, whoever's account it is, for a growing while."""
    await copies(bench, 30)
    bench.provider.fail("/token", status=503, times=None)
    before = asked(bench)
    tries = []
    for pause in (1, 31, 61):
        await look(bench)
        tries.append(asked(bench) - before)
        bench.clock.pass_(pause)

    assert tries[0] == tries[1] <= 4
    assert tries[1] < tries[2] <= 8


async def test_one_instance_holds_up_no_other(plan: Plan) -> None:
    """While one does not answer, another's accounts are renewed."""
    async with two_instances(plan) as (bench, home, work):
        stop_task(bench, "renewals")
        await bench.link(ADA, "ada", "demo@home")
        await bench.link(ADA, "ada", "demo@work")
        home.fail("/token", status=None, delay=0.2, times=None)
        bench.clock.pass_(7 * DAY)
        await bench.core.renewals.sweep()
        await until(lambda: refreshes(work))
        first = len(refreshes(home))
        await bench.core.renewals.settle()

    assert (0, 1, 1) == (first, len(refreshes(home)), len(refreshes(work)))


async def test_the_background_asks_the_index(bench: Bench) -> None:
    """A hundred thousand accounts are not read through."""
    for sql, values in ((_IDLE_ONES, (0, 0, 0, 0, 9)), (_ENDING_ONES, (0, 0, 0, 0, 0, 9))):
        plan = [str(row["detail"]) for row in await bench.rows(f"EXPLAIN QUERY PLAN {sql}", *values)]

        assert any("USING INDEX accounts_by_expires" in line for line in plan), plan
        assert not any("SCAN a" in line or "TEMP B-TREE" in line for line in plan), plan


async def test_the_background_goes_on_after_a_failure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And tries again what it did not come to."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    await bench.core.renewals.recover()
    failing = True

    async def mark(self: Renewals, *args: Any) -> Any:
        if failing:
            raise RuntimeError("the disk")
        return await true(self, *args)

    true = Renewals._mark
    monkeypatch.setattr(Renewals, "_mark", mark)
    await look(bench)
    failing = False
    await look(bench)

    assert "renewals at demo@default failed" in caplog.text
    assert 2 == (await account_of(bench)).generation


async def test_its_loop_looks_at_once_and_survives(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is at the start; one that fails is not the last."""
    looks = 0

    async def sweep(self: Renewals) -> None:
        nonlocal looks
        looks += 1
        raise RuntimeError

    monkeypatch.setattr(Renewals, "sweep", sweep)
    monkeypatch.setattr("omnibot.renewal._EVERY", 0.0)
    running = asyncio.create_task(bench.core.renewals.run())
    await until(lambda: looks > 2)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_nothing_is_begun_while_closing(bench: Bench) -> None:
    """What is under way ends."""
    await write(bench, replace(await account_of(bench), refreshing=2))
    await bench.core.renewals.recover()
    await bench.core.renewals.close()
    await look(bench)

    assert [] == refreshes(bench.provider)


# ----------------------------------------------------------------------------- what cannot be renewed


@pytest.mark.parametrize(("days", "ahead"), [(365, 3), (14, 2.8), (1, 0.2)])
async def test_an_end_is_announced_once(bare: Bench, days: float, ahead: float) -> None:
    """Some days ahead, or a fifth of a shorter life."""
    account = await unrenewable(bare, days * DAY)
    bare.clock.pass_((days - ahead) * DAY - 60)
    await look(bare)
    early = told(bare)[-1]
    bare.clock.pass_(120)
    before = len(told(bare))
    await look(bare)
    await look(bare)
    words = told(bare)[before:]

    assert (account.expires or 0) - notice_before(account) == pytest.approx((account.expires or 0) - ahead * DAY)
    assert "ends in" not in early
    assert 1 == len(words)
    assert f"Your link to Demo notes as **ada** ends in {in_words(ahead * DAY - 60)}, at 2" in words[0]
    assert words[0].endswith("and I cannot renew it without you. Please link again: `!link demo`")
    assert "active" == (await account_of(bare)).status


async def test_an_announcement_survives_a_crash(bare: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bot was killed when it was written down that the end is announced, and before that was said."""
    await unrenewable(bare, DAY)
    bare.clock.pass_(0.9 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(bare.core.delivery, "aside", lambda *_, **__: None)
        await look(bare)
    await bare.core.delivery.load()
    await look(bare)
    await bare.say("!accounts")

    assert 1 == len([text for text in told(bare) if "I cannot renew it without you" in text])
    assert [] == await bare.rows("SELECT 1 FROM notices")


async def test_a_later_end_is_announced_again(bare: Bench) -> None:
    """Whoever links again hears of the new link's end, too."""
    await unrenewable(bare, DAY)
    bare.clock.pass_(0.9 * DAY)
    await look(bare)
    await unrenewable(bare, DAY)
    bare.clock.pass_(0.9 * DAY)
    await look(bare)

    assert 2 == len([text for text in told(bare) if "I cannot renew it without you" in text])
    assert 1 == len(await bare.rows("SELECT 1 FROM warnings"))


async def test_an_announcement_waits_for_its_network(bare: Bench) -> None:
    """It is not kept as a notice just because the bot has only just started."""
    await unrenewable(bare, DAY)
    bare.clock.pass_(0.9 * DAY)
    bare.core.renewals._started = bare.clock()
    bare.core.policy.distrust("fake")
    await look(bare)
    kept = await bare.rows("SELECT 1 FROM notices")
    bare.core.policy.trust("fake")
    await look(bare)

    assert [] == kept
    assert "ends in 2 hours" in told(bare)[-1]


async def test_a_short_life_ends_without_an_announcement(bare: Bench) -> None:
    """Ten minutes: by the time it is read it is over."""
    account = await unrenewable(bare, 600)
    bare.clock.pass_(590)
    await look(bare)

    assert 0 == notice_before(account)
    assert not [text for text in told(bare) if "without you" in text]


async def test_an_end_is_said_once(bare: Bench, act: Act) -> None:
    """The account is broken then, and a command leads to a new link with the rights of the old one."""
    await unrenewable(bare, DAY)
    bare.clock.pass_(DAY + 1)
    for _ in range(3):
        await look(bare)
    said = await run(bare, act, me)
    account = await account_of(bare)

    assert [RUN_OUT] == [text for text in told(bare) if "run out" in text]
    assert ("broken", 0) == (account.status, account.refreshing)
    assert [{"provider": "demo", "why": "expired"}] == await audited(bare, "account.broken")
    assert "To connect **Demo notes**" in said[0]


async def test_a_command_that_comes_first_says_the_end_itself(bare: Bench, act: Act) -> None:
    """With its link, and no second message; up to its end the token is used."""
    await unrenewable(bare, DAY)
    bare.clock.pass_(DAY - 10)
    before = await run(bare, act, me)
    bare.clock.pass_(20)
    said = await run(bare, act, me)
    await look(bare)

    assert ["done"] == before
    assert "Demo notes no longer accepts your link." in said[0]
    assert [] == [text for text in told(bare) if text == RUN_OUT]
    assert [] == refreshes(bare.provider)


async def test_what_has_ended_before_it_was_confirmed_is_found(bare: Bench) -> None:
    """It becomes active after the look at the time of its end."""
    account = await unrenewable(bare, DAY)
    await write(bare, replace(account, status="pending"))
    bare.clock.pass_(DAY + 1)
    await look(bare)
    await write(bare, replace(account, status="active"))
    await look(bare)

    assert RUN_OUT == told(bare)[-1]


async def test_many_ends_are_looked_at_by_pages(bare: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, however many end at the same moment."""
    monkeypatch.setattr("omnibot.renewal._PAGE", 2)
    account = await unrenewable(bare, DAY)
    async with bare.core.database.transaction() as tx:
        for n in range(5):
            copy = replace(account, id=f"{n:032x}", alias=f"a{n}", external=f"e{n}")
            await accounts.insert(tx, bare.core.sealer, copy)
    bare.clock.pass_(DAY + 1)
    await look(bare)

    assert [{"status": "broken", "n": 6}] == await bare.rows("SELECT status, count(*) AS n FROM accounts GROUP BY 1")


async def test_a_row_that_somebody_wrote_to_is_not_announced(bare: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """And holds up no other."""
    await unrenewable(bare, DAY)
    async with bare.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET expires = expires - 100")
    bare.clock.pass_(DAY + 1)
    await look(bare)

    assert "whether an account is about to end cannot be told: Tampered" in caplog.text
    assert "broken" not in [row["status"] for row in await bare.rows("SELECT status FROM accounts")]


async def test_what_cannot_be_read_is_said_once(bare: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing where the vault is locked, which is said at the start: four looks a minute would be a storm."""
    await unrenewable(bare, DAY)
    bare.clock.pass_(DAY + 1)
    bare.core.keyring.lock("0badcafe")
    await look(bare)
    locked = caplog.text.count("cannot be told")
    bare.core.keyring.missing = ""
    async with bare.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET reach = '[]'")
    await look(bare)
    await look(bare)

    assert 0 == locked
    assert 1 == caplog.text.count("whether an account is about to end cannot be told: Tampered")


async def test_an_idle_account_that_cannot_be_read_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """However often the background comes by it."""
    bench.clock.pass_(7 * DAY)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET reach = '[]'")
    await look(bench)
    await look(bench)

    assert 1 == caplog.text.count("a token at demo@default cannot be renewed: Tampered")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (2 * DAY, "2 days"),
        (2.8 * DAY, "2 days"),
        (400 * DAY, "400 days"),
    ],
)
def test_spans_are_said_in_units_of_which_there_are_two(seconds: float, words: str) -> None:
    """So that none is rounded to half or double."""
    assert words == in_words(seconds)


# ------------------------------------------------------------------------------------ linking again


async def test_a_new_link_asks_for_what_the_dead_one_could(bench: Bench, act: Act) -> None:
    """Whether a command or its owner asks for it."""
    bench.provider.forget_grants()

    async def scopes() -> set[str]:
        rows = await bench.rows("SELECT scopes FROM flows WHERE state = 'open'")
        return set(json.loads(str(rows[0]["scopes"])))

    held = set((await account_of(bench)).scopes)
    await run(bench, act, me)
    by_command = await scopes()
    await bench.say("!link demo")
    by_owner = await scopes()

    assert {"notes:read", "notes:write"} == held
    assert (held, held) == (by_command, by_owner)


async def test_a_link_that_ends_soon_is_replaced_by_one_that_can_as_much(bare: Bench) -> None:
    """Before its end, when its owner follows the announcement."""
    await unrenewable(bare, DAY)
    await bare.say("!link demo")
    rows = await bare.rows("SELECT scopes FROM flows WHERE state = 'open'")

    assert {"notes:read", "notes:write"} == set(json.loads(str(rows[0]["scopes"])))


async def test_a_dead_account_takes_no_default(bench: Bench) -> None:
    """Said clearly, and the one that works stays what the word means."""
    account = await account_of(bench)
    dead = replace(account, id="d" * 32, alias="old", external="old", login="old", status="broken", default=False)
    held = replace(dead, id="e" * 32, alias="theirs", external="theirs", status="held")
    async with bench.core.database.transaction() as tx:
        await accounts.insert(tx, bench.core.sealer, dead)
        await accounts.insert(tx, bench.core.sealer, held)
    broken = await bench.say("!use demo@old")
    taken = await bench.say("!use demo@theirs")
    defaults = await bench.rows("SELECT alias FROM accounts WHERE is_default = 1 AND alias IN ('old', 'theirs')")

    assert "is no longer accepted there" in broken[0]
    assert "`!link demo`" in broken[0]
    assert "is held" in taken[0]
    assert [] == defaults


# ----------------------------------------------------------------------------- whatever the provider says


class Capricious(Watching):
    """The outward client, whose token endpoint says anything, and notes how many ask it for one account."""

    def __init__(self) -> None:
        super().__init__()
        self.chance = random.Random(44)  # noqa: S311 - the same at every run
        self.in_flight = 0
        self.most = 0
        self.given = 0

    async def send(self, request: Request, **more: Any) -> Answer:
        if not (request.url.endswith("/token") and b"refresh" in request.body):
            return await super().send(request, **more)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            for _ in range(self.chance.randrange(4)):
                await asyncio.sleep(0)
            return self._answer()
        finally:
            self.in_flight -= 1

    def _answer(self) -> Answer:
        said = self.chance.choice(
            ["token"] * 4 + ["no refresh", "invalid_grant", "invalid_client", "503", "429", "late"]
        )
        if said == "late":
            raise Upstream("It did not answer in time.")
        if said.isdigit():
            return Answer(int(said), {"retry-after": str(self.chance.randrange(60))})
        if said.startswith("invalid"):
            return Answer(400, body=json.dumps({"error": said}).encode())
        self.given += 1
        token = {"access_token": f"a{self.given}", "token_type": "bearer", "expires_in": self.chance.choice([60, 3600])}
        if said == "token":
            token["refresh_token"] = f"r{self.given}"
        return Answer(200, body=json.dumps(token).encode())


async def test_one_renewal_at_a_time_and_no_way_back(plan: Plan) -> None:
    """After any row of answers: never two under way, no generation behind the one before, no mark forgotten."""
    async with Bench.open(replace(plan, http=Capricious)) as bench:
        stop_task(bench, "renewals")
        await bench.say("!act")
        await bench.link()
        http, renewals, account = bench.core.options.http, bench.core.renewals, await account_of(bench)
        assert isinstance(http, Capricious)
        newest, breaks = account.generation, 0
        for _ in range(150):
            seen = await account_of(bench)
            old = replace(seen, generation=max(1, seen.generation - http.chance.randrange(2)))
            wanting = [
                asyncio.create_task(http.chance.choice([renewals.renew, renewals.fresh, renewals.refused])(one))
                for one in [seen, old] * http.chance.randrange(1, 4)
            ]
            if http.chance.random() < 0.3:
                await asyncio.sleep(0)
                wanting[0].cancel()
            if http.chance.random() < 0.3:
                await renewals.sweep()
            await asyncio.gather(*wanting, return_exceptions=True)
            await renewals.settle()
            bench.clock.pass_(http.chance.choice([1, 40, 400, 4000]))
            current = await account_of(bench)

            assert current.generation >= newest
            assert current.status == "broken" or bool(current.refreshing) == (current.id in renewals._begun)
            newest = current.generation
            if current.status == "broken":  # and is linked again
                breaks += 1
                await write(bench, replace(current, status="active", refreshing=0))

    assert 1 == http.most
    assert breaks > 3
    assert newest > 20
