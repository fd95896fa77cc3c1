"""Whatever ends a link leaves nothing of it behind, and the one who asked hears why."""

from dataclasses import replace

import pytest

from linking.steps import all_accounts, all_flows, audited, authorised, ends, stop_task, told
from omnibot.demo.browser import Browser
from omnibot.linking.endings import ASKER_HEARS
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


@pytest.mark.parametrize("reason", sorted(ASKER_HEARS))
def test_every_reason_has_words_that_name_the_service(reason: str) -> None:
    """One sentence or two, in which nothing is left to fill in."""
    words = ASKER_HEARS[reason].format(title="Demo notes")

    assert "Demo notes" in words
    assert words.endswith(".")
    assert "{" not in words


async def test_ending_erases_the_account_and_queues_its_token(bench: Bench, browser: Browser) -> None:
    """In the transaction that ends the flow."""
    stop_task(bench, "revocations")
    await bench.say("!notes")
    await bench.authorise(browser, bench.link_for())
    flow = (await all_flows(bench))[0]
    done = await bench.core.endings.burn(flow, "seen")
    after = (await all_flows(bench))[0]

    assert done
    assert [] == await all_accounts(bench)
    assert 1 == len(await bench.rows("SELECT * FROM revocations"))
    assert [] == await bench.rows("SELECT * FROM waiting")
    assert (None, None, None) == (after.account, after.code_hash, after.verifier)
    assert (
        "was seen where others can read it, and is burnt. Begin again, in private. `!notes` was not run."
        in (told(bench)[-1])
    )
    assert [{"instance": "default", "provider": "demo", "reason": "seen"}] == await audited(bench, "link.refused")


async def test_an_account_that_somebody_else_wrote_goes_all_the_same(bench: Bench, browser: Browser) -> None:
    """A33: its token is handed to nobody."""
    stop_task(bench, "revocations")
    await authorised(bench, browser)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET scopes = '[]'")
    await bench.core.endings.burn((await all_flows(bench))[0], "seen")

    assert [("refused", "seen")] == await ends(bench)
    assert [] == await bench.rows("SELECT * FROM accounts")
    assert [] == await bench.rows("SELECT * FROM revocations")


async def test_a_link_that_waits_to_be_given_is_taken_back(bench: Bench) -> None:
    """It would open nothing any more."""
    room = bench.network.room("ops", ADA)
    bench.network.close_dms(ADA)
    await bench.say("!notes", channel=room)
    before = len(await bench.rows("SELECT * FROM notices"))
    await bench.core.endings.end_quietly((await all_flows(bench))[0], "seen")

    assert 1 == before
    assert [] == await bench.rows("SELECT * FROM notices")


async def test_what_has_ended_does_not_end_again(bench: Bench) -> None:
    """The first reason stays, and nothing is told twice."""
    await bench.say("!link demo")
    flow = (await all_flows(bench))[0]
    done = [await bench.core.endings.burn(flow, reason) for reason in ("locked", "seen")]
    await bench.core.endings.end_quietly(flow, "seen")
    missing = await bench.core.endings.burn(replace(flow, id="unknown"), "seen")
    await bench.settle()

    assert [True, False] == done
    assert not missing
    assert [("refused", "locked")] == await ends(bench)
    assert 2 == len(told(bench))


async def test_it_may_end_without_a_word(bench: Bench) -> None:
    """Where the one who asked knows already; it is recorded all the same."""
    await bench.say("!link demo")
    await bench.core.endings.burn((await all_flows(bench))[0], "a reason without words")
    await bench.settle()

    assert 1 == len(told(bench))
    assert ["a reason without words"] == [one["reason"] for one in await audited(bench, "link.refused")]


async def test_a_flow_may_be_cut_now_and_told_later(bench: Bench) -> None:
    """As at a start, when nobody can be told yet."""
    await bench.say("!notes")
    ended = await bench.core.endings.cut((await all_flows(bench))[0], "interrupted")
    await bench.settle()
    before = len(told(bench))
    assert ended is not None
    bench.core.endings.told(ended)
    await bench.settle()

    assert (1, 2) == (before, len(told(bench)))
    assert "Please begin your link again. `!notes` was not run." in told(bench)[-1]


async def test_what_ended_is_told_though_nobody_was_left_to(plan: Plan) -> None:
    """The bot was killed before it could say so: it does when they next speak."""
    async with Bench.open(plan) as bench:
        await bench.say("!notes")
        await bench.core.endings.cut((await all_flows(bench))[0], "refused")
    async with Bench.open(bench.plan) as bench:
        before = len(told(bench))
        await bench.say("!ping")
        await bench.settle()

        assert [one for one in told(bench)[before:] if "refused it. `!notes` was not run." in one]
        assert [] == await bench.rows("SELECT * FROM notices")


async def test_what_waited_is_named_even_where_the_reason_is_not(bench: Bench) -> None:
    """Nothing that was asked for disappears in silence."""
    await bench.say("!notes")
    await bench.core.endings.burn((await all_flows(bench))[0], "a reason without words")
    await bench.settle()

    assert "`!notes` was not run." == told(bench)[-1].strip()


async def test_a_service_that_is_configured_no_more_has_a_name_still(plan: Plan) -> None:
    """The operator took it out while a link was open."""
    async with Bench.open(plan) as bench:
        await bench.say("!link demo")
    async with Bench.open(replace(plan, provider=None)) as bench:
        flow = (await all_flows(bench))[0]
        await bench.say("!ping")
        await bench.core.endings.burn(flow, "expired", "expired")
        await bench.settle()
        said = told(bench)[1:]
        title = bench.core.endings.title(flow)

    assert "demo@default" == title
    assert ["Your demo@default link has run out."] == said


async def test_one_refusal_alarms_nobody(plan: Plan) -> None:
    """Nor does somebody else's."""
    async with Bench.open(replace(plan, admins=("fake:u-2",))) as bench:
        for speaker in (ADA, GRACE):
            await bench.say("!link demo", speaker)
            await bench.core.browser.refuse(bench.link_for(speaker).rpartition("/")[2])
        heard = told(bench, GRACE)

    assert not [one for one in heard if "more than once today" in one]


async def test_a_pending_link_that_ends_is_gone_from_every_list(bench: Bench, browser: Browser) -> None:
    """What was remembered of the person is read anew."""
    await authorised(bench, browser)
    await bench.say("!accounts")
    await bench.core.endings.burn((await all_flows(bench))[0], "seen")
    profile = await bench.core.people.find(ADA)

    assert profile is not None
    assert () == profile.accounts
