"""An account is opened to the other identities of its person, each named, and closed again."""

from collections.abc import AsyncIterator

import pytest

from joined import TRAIN, code_in, hear_as, held, join, open_both, share, split
from linking.steps import audited
from omnibot.errors import UserError
from omnibot.identity import Assurance, Identity
from omnibot.linking.sharing import Sharing
from omnibot.testing.bench import ADA, GRACE, Bench, Plan

PHONE = Identity("train", "t-2", "", "Ada's phone")


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on two networks; Ada has linked on the first, and is one person on both."""
    async with open_both(plan) as bench:
        await bench.link(ADA, "ada")
        await join(bench)
        yield bench


async def test_it_names_each_and_then_opens(bench: Bench) -> None:
    """And only after a yes."""
    asked = await bench.say("!share demo")
    kept = await bench.say("no")
    before = await bench.say("!notes", TRAIN)
    said = await share(bench)

    assert "**Ada on the train** (`train:t-1`)" in asked[0]
    assert "less strongly" not in asked[0]
    assert "stays as it is" in kept[0]
    assert "To connect" in before[0]
    assert "`train:t-1`" in said[0]
    assert (ADA, TRAIN) == (await held(bench))["ada"].reach
    assert ["You have no notes."] == await bench.say("!notes", TRAIN)
    assert [{"account": (await held(bench))["ada"].id, "identities": 2, "instance": "default", "provider": "demo"}] == (
        await audited(bench, "account.shared")
    )


async def test_it_says_which_is_vouched_for_less(plan: Plan) -> None:
    """By how each was vouched for when it agreed to be joined."""
    async with open_both(plan) as bench:
        await bench.link(ADA, "ada")
        code = code_in(await bench.say("!join"))
        await hear_as(bench, f"!join {code}", TRAIN, Assurance.ACCOUNT)
        await bench.say("yes", TRAIN)
        await bench.say("!join yes")
        await join(bench, ADA, PHONE)
        asked = await bench.say("!share demo")
        shown = await bench.say("!whoami")

    assert "(`train:t-1`), **vouched for less strongly**\n" in asked[0]
    assert "(`train:t-2`)\n" in asked[0]
    assert "vouched for as `account` when it was joined" in shown[-1]


async def test_closing_it_again(bench: Bench) -> None:
    """Whoever reaches it may; it goes back to the one that linked it, who is told."""
    await share(bench)
    said = await bench.say("!unshare demo", TRAIN)

    assert "From now on only `fake:u-1`" in said[0]
    assert (ADA,) == (await held(bench))["ada"].reach
    assert "closed to" in bench.network.private_texts(ADA)[-1]
    assert "To connect" in (await bench.say("!notes", TRAIN))[0]
    assert ["You have no notes."] == await bench.say("!notes")
    assert "which linked it, may use" in (await bench.say("!unshare demo"))[0]


async def test_an_answer_from_a_network_that_may_be_another(bench: Bench) -> None:
    """A65: whoever says yes there may be somebody else than was asked."""
    await bench.say("!share demo")
    bench.core.policy.distrust("fake")
    said = await bench.say("yes")

    assert ["fake is not the network it was, so I act for nobody there."] == said
    assert (ADA,) == (await held(bench))["ada"].reach


async def test_who_shared_it_hears_that_it_was_unlinked(bench: Bench) -> None:
    """Whoever reaches it may do that."""
    await share(bench)
    await bench.say("!unlink demo", TRAIN)

    assert {} == await held(bench)
    assert "`train:t-1`) has unlinked what you linked here: `demo@ada`" in bench.network.private_texts(ADA)[-1].replace(
        "\\)", ")"
    )


async def test_a_relink_takes_the_place_of_ones_own(bench: Bench) -> None:
    """Not of what is shared with one, where both are there."""
    await bench.link(TRAIN, "ada")
    await share(bench)
    before = {row["id"] for row in await bench.rows("SELECT id FROM accounts WHERE reach LIKE '%u-1%'")}
    await bench.link(TRAIN, "ada")

    assert before == {row["id"] for row in await bench.rows("SELECT id FROM accounts WHERE reach LIKE '%u-1%'")}
    assert 2 == len(await bench.rows("SELECT id FROM accounts"))


async def test_who_shared_it_hears_that_it_was_linked_anew(bench: Bench) -> None:
    """By whom it is open to: they have it from then on, and both use it."""
    await share(bench)
    await bench.link(TRAIN, "ada")

    assert (TRAIN, (ADA, TRAIN)) == ((await held(bench))["ada"].linked_by, (await held(bench))["ada"].reach)
    assert "has linked anew" in bench.network.private_texts(ADA)[-1]


async def test_only_those_that_were_named(bench: Bench) -> None:
    """An identity that joins while the question waits is not opened to; one that left neither."""
    await bench.say("!share demo")
    await join(bench, TRAIN, PHONE)
    await bench.say("yes")
    there = (await held(bench))["ada"].reach
    await bench.say("!share demo")
    await split(bench, "train:t-2", TRAIN)
    await bench.say("yes")

    assert (ADA, TRAIN) == there == (await held(bench))["ada"].reach


async def test_nobody_elses(bench: Bench) -> None:
    """Not an account out of reach, not an identity of another person, whoever calls."""
    account = (await held(bench))["ada"].id
    await bench.core.people.ensure(GRACE)
    for by in (TRAIN, GRACE):
        with pytest.raises(UserError):
            await Sharing(bench.core.links).share(by, account, [TRAIN, GRACE])
    await Sharing(bench.core.links).share(ADA, account, [GRACE])

    assert (ADA,) == (await held(bench))["ada"].reach


async def test_nothing_to_share_with(bench: Bench) -> None:
    """Alone, or open to all already."""
    await share(bench)

    assert "is open to every identity" in (await bench.say("!share demo"))[0]


async def test_who_shares_chooses_for_what_they_reach(bench: Bench) -> None:
    """A default of one identity's own is not taken away by another's choice."""
    await bench.link(TRAIN, "grace")
    await bench.say("!use demo")
    await bench.say("!use demo", TRAIN)
    await bench.say("!use demo --any", TRAIN)
    found = await held(bench)

    assert [True, False] == [found["ada"].default, found["grace"].default]
