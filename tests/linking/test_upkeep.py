"""What time and restarts do to links: they run out, are interrupted, or were confirmed just before."""

import asyncio
from dataclasses import replace

import pytest

from linking.steps import all_accounts, all_flows, authorised, ends, told, until, write_flow
from omnibot.demo.browser import Browser
from omnibot.errors import KeyMissing
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan


async def test_a_link_nobody_opened_runs_out_with_its_ticket(bench: Bench) -> None:
    """The asker is told, and what waited is not run."""
    await bench.say("!notes")
    bench.clock.pass_(560)
    await bench.core.upkeep.sweep()
    before = await ends(bench)
    bench.clock.pass_(41)
    await bench.core.upkeep.sweep()

    assert [("open", "")] == before
    assert [("expired", "expired")] == await ends(bench)
    assert "Your Demo notes link has run out. `!notes` was not run." == told(bench)[-1]
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_an_unconfirmed_token_goes_back(bench: Bench, browser: Browser) -> None:
    """A1: the code was never said; nothing of it stays."""
    await authorised(bench, browser)
    bench.clock.pass_(601)
    await bench.core.upkeep.sweep()
    await until(lambda: bench.provider.revoked)

    assert [("expired", "expired")] == await ends(bench)
    assert [] == await all_accounts(bench)
    assert ["ada"] == bench.provider.revoked


async def test_a_late_visitor_learns_that_it_has_run_out(bench: Bench, browser: Browser) -> None:
    """Also after it was swept away."""
    await bench.say("!link demo")
    bench.clock.pass_(601)
    await bench.core.upkeep.sweep()
    await browser.open(bench.link_for())

    assert 410 == browser.status


async def test_what_is_held_waits_a_week_for_an_admin(bench: Bench, browser: Browser) -> None:
    """Then it goes back, and its owner hears it."""
    await bench.link()
    await bench.say("!link demo", MALLORY)
    await bench.authorise(browser, bench.link_for(MALLORY), "ada")
    await bench.say(f"!confirm {browser.code}", MALLORY)
    bench.clock.pass_(7 * 86400 - 5)
    await bench.core.upkeep.sweep()
    before = [one.status for one in await all_accounts(bench)]
    bench.clock.pass_(10)
    await bench.core.upkeep.sweep()

    assert ["active", "held"] == before
    assert ["active"] == [one.status for one in await all_accounts(bench)]
    assert "Your Demo notes link has run out." == told(bench, MALLORY)[-1]


async def test_an_ended_link_is_forgotten_when_it_cannot_be_undone_any_more(bench: Bench) -> None:
    """An hour after that; the account stays."""
    await bench.link()
    bench.clock.pass_(86400 + 3500)
    await bench.core.upkeep.sweep()
    before = len(await all_flows(bench))
    bench.clock.pass_(200)
    await bench.core.upkeep.sweep()

    assert 1 == before
    assert [] == await all_flows(bench)
    assert 1 == len(await all_accounts(bench))


async def test_old_notices_go_with_the_sweep(bench: Bench) -> None:
    """Nobody came to hear them."""
    bench.network.close_dms(ADA)
    await bench.say("!link demo", ADA, bench.network.room("ops", ADA))
    before = len(await bench.rows("SELECT * FROM notices"))
    bench.clock.pass_(7 * 86400 + 1)
    await bench.core.upkeep.sweep()
    notices = await bench.rows("SELECT until FROM notices")

    assert 1 == before
    assert not [row for row in notices if float(str(row["until"])) <= bench.clock()]


async def test_sweeping_goes_on_whatever_happens(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A missing key is a line in the log, anything else a traceback; then it is tried again."""
    sweeps: list[int] = []

    async def sweep() -> None:
        sweeps.append(len(sweeps))
        if len(sweeps) < 3:
            raise (KeyMissing("0badcafe"), RuntimeError("canary"))[len(sweeps) - 1]

    monkeypatch.setattr("omnibot.linking.upkeep._EVERY", 0.0)
    monkeypatch.setattr(bench.core.upkeep, "sweep", sweep)
    task = asyncio.create_task(bench.core.upkeep.run())
    await until(lambda: len(sweeps) > 3)
    task.cancel()

    assert "the flows cannot be swept: key 0badcafe is not in the key file" in caplog.text
    assert "a sweep of the flows failed" in caplog.text


# ------------------------------------------------------------------------------------- after a crash


async def test_an_exchange_that_was_interrupted_is_told(plan: Plan) -> None:
    """Whether the code is spent nobody knows: the link has to be begun again."""
    async with Bench.open(plan) as bench:
        await bench.say("!notes")
        await write_flow(bench, replace((await all_flows(bench))[0], state="exchanging"))
    async with Bench.open(plan) as bench:
        after = await ends(bench)
        await bench.say("!ping")
        said = [one.reply.text for one in bench.network.said]

    assert [("refused", "interrupted")] == after
    assert "I was restarted while Demo notes was answering. Please begin your link again. `!notes` was not run." in said
    assert "pong" in said


async def confirmed_and_crashed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, text: str, speaker: Identity = ADA, login: str = "ada"
) -> None:
    """Let Ada confirm, and the bot stop before what waited has started."""

    async def crash(*_: object) -> None:
        """Nothing more happens."""

    await bench.say(text, speaker)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(speaker), login)
        with monkeypatch.context() as patch:
            patch.setattr(bench.core.dispatcher, "resume", crash)
            said = await bench.say(f"!confirm {browser.code}", speaker)

    assert "Running what you asked for" in said[0]


async def test_what_was_confirmed_just_before_is_run(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once."""
    async with Bench.open(plan) as bench:
        await confirmed_and_crashed(bench, monkeypatch, "!notes add once")
    async with Bench.open(plan) as bench:
        await until(lambda: bench.provider.notes("ada"))
        await bench.settle()
        left = await bench.rows("SELECT * FROM waiting")
    async with Bench.open(plan) as bench:
        await bench.settle()

    assert [] == left
    assert ["once"] == bench.provider.notes("ada")


async def test_what_was_confirmed_long_before_is_told(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes: who asked may not expect it any more."""
    async with Bench.open(plan) as bench:
        await confirmed_and_crashed(bench, monkeypatch, "!notes add late")
        flow = (await all_flows(bench))[0]
        await write_flow(bench, replace(flow, ended=bench.clock() - 121))
    async with Bench.open(plan) as bench:
        said = await bench.say("!ping")
        left = await bench.rows("SELECT * FROM waiting")

    assert [] == bench.provider.notes("ada")
    assert "I was restarted before I could run `!notes add late`. It was not run: say it again." in said
    assert [] == left


async def test_what_waited_and_cannot_be_read_is_not_run(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A63: it says nothing that can be believed, and holds up none of the others."""
    async with Bench.open(plan) as bench:
        await confirmed_and_crashed(bench, monkeypatch, "!notes add forged")
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE waiting SET created = created + 1")
        await confirmed_and_crashed(bench, monkeypatch, "!notes add real", GRACE, "grace")
    async with Bench.open(plan) as bench:
        await until(lambda: bench.provider.notes("grace"))
        await bench.settle()

    assert [] == bench.provider.notes("ada")
    assert ["real"] == bench.provider.notes("grace")


async def test_a_flow_that_is_not_ours_holds_up_none_of_the_others(plan: Plan) -> None:
    """Neither at the start nor in a sweep."""
    async with Bench.open(plan) as bench:
        for speaker in (ADA, GRACE):
            await bench.say("!link demo", speaker)
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE flows SET tries = 3 WHERE subject = 'u-1'")
        hers = await flows.of_identity(bench.core.database, bench.core.sealer, GRACE)
        await write_flow(bench, replace(hers[0], state="exchanging"))
    async with Bench.open(plan) as bench:
        said = await bench.say("!ping")
        states = [row["state"] for row in await bench.rows("SELECT state FROM flows ORDER BY subject")]
        await bench.say("!link demo", GRACE)
        bench.clock.pass_(1300)
        await bench.core.upkeep.sweep()
        later = [row["state"] for row in await bench.rows("SELECT state FROM flows ORDER BY subject, created")]

    assert "pong" in said
    assert ["open", "refused"] == states
    assert ["open", "refused", "expired"] == later


async def test_without_its_key_nothing_is_recovered_and_the_bot_starts(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    """A36: it says which key is missing."""
    async with Bench.open(plan) as bench:
        await bench.say("!link demo")
        await write_flow(bench, replace((await all_flows(bench))[0], state="exchanging"))
        missing = bench.core.keyring.newest.id
    (plan.directory / "omnibot.key").unlink()
    async with Bench.open(plan) as bench:
        said = await bench.say("!ping")

    assert ["pong"] == said
    assert f"links that were under way cannot be finished: key {missing} is not in the key file" in caplog.text


async def test_a_pasted_link_that_was_interrupted_is_begun_again(plan: Plan) -> None:
    """It has no code: nothing could confirm it any more."""
    async with Bench.open(replace(plan, public=False)) as bench:
        await bench.say("!link demo")
        await write_flow(bench, replace((await all_flows(bench))[0], state="pending"))
    async with Bench.open(replace(plan, public=False)) as bench:
        await bench.say("!ping")
        after = await ends(bench)

    assert [("refused", "interrupted")] == after
