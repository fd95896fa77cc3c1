"""Which account or instance is meant in a channel: a person's choice, else the channel's, else nobody's."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from by_key import keyed
from linking.steps import two_instances
from omnibot.defaults import Defaults
from omnibot.demo.provider import DemoProvider
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Bench, DemoProvider, DemoProvider]]:
    """A bot that knows ``keys@a`` and ``keys@b``; Grace is its admin, and all are linked at both."""
    async with DemoProvider() as a, DemoProvider() as b:
        plan = keyed(Plan(tmp_path, skills=("accounts",), admins=("fake:u-2",)), a, b)
        async with Bench.open(plan) as bench:
            for speaker, login in ((ADA, "ada"), (GRACE, "grace")):
                await bench.say(f"!link keys@a {a.key_for(login)}", speaker)
                await bench.say(f"!link keys@b {b.key_for(login)}", speaker)
            yield bench, a, b


@pytest.fixture
def ops(two: tuple[Bench, DemoProvider, DemoProvider]) -> Channel:
    return two[0].network.room("ops", ADA, GRACE)


@pytest.fixture
def dev(two: tuple[Bench, DemoProvider, DemoProvider]) -> Channel:
    return two[0].network.room("dev", ADA, GRACE)


async def test_without_a_choice_it_asks_before_it_changes_anything(
    two: tuple[Bench, DemoProvider, DemoProvider],
) -> None:
    """And takes the answer for that once."""
    bench, a, b = two
    asked = await bench.say("!jot add one")
    await bench.say("2")
    again = await bench.say("!jot add two")

    assert ["Which account is `jot add` for?"] == asked == again
    assert ([], ["one"]) == (a.notes("ada"), b.notes("ada"))


async def test_a_choice_here_is_for_me_here(
    two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel, dev: Channel
) -> None:
    """Not elsewhere, and for nobody else."""
    bench, a, b = two
    said = await bench.say("!use keys@b here", ADA, ops)
    await bench.say("!jot add mine", ADA, ops)
    elsewhere = await bench.say("!jot add x", ADA, dev)
    other = await bench.say("!jot add x", GRACE, ops)

    assert "Here, `keys` now means Demo keys (b) as **ada** when you say it." == said[0]
    assert ["mine"] == b.notes("ada")
    assert elsewhere[0] == other[0] == "Which account is `jot add` for?"
    assert [] == a.notes("ada")


async def test_a_channel_is_about_an_instance_for_everybody(
    two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel
) -> None:
    """Whoever says it there means their own account at it."""
    bench, a, b = two
    said = await bench.say("!use keys@b channel", GRACE, ops)
    await bench.say("!jot add one", ADA, ops)
    await bench.say("!jot add two", GRACE, ops)

    assert "In #ops, `keys` now means Demo keys (b), unless somebody chose." == said[0]
    assert (["one"], ["two"]) == (b.notes("ada"), b.notes("grace"))
    assert [] == a.notes("ada")


async def test_a_persons_choice_goes_before_the_channels(
    two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel
) -> None:
    """And a name that is said goes before both."""
    bench, a, b = two
    await bench.say("!use keys@b channel", GRACE, ops)
    await bench.say("!use keys@a here", ADA, ops)
    await bench.say("!jot add one", ADA, ops)
    await bench.say("!jot@b add two", ADA, ops)

    assert (["one"], ["two"]) == (a.notes("ada"), b.notes("ada"))


async def test_only_an_admin_chooses_for_a_channel(two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel) -> None:
    """Nor does anybody else take it back; in private there is no channel to choose for."""
    bench, _, _ = two
    set_, taken = await bench.say("!use keys@b channel", ADA, ops), await bench.say("!use keys channel --any", ADA, ops)
    private = await bench.say("!use keys@b channel", GRACE)

    assert "Only an admin of this bot chooses for a whole channel. `here` is for you alone." == set_[0]
    assert "Only an admin of this bot chooses for a whole channel." == taken[0]
    assert ["Say it in the channel that you mean."] == private
    assert [] == await bench.rows("SELECT * FROM defaults")


async def test_a_choice_can_be_taken_back(two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel) -> None:
    """Each on its own: mine, and the channel's."""
    bench, _, _ = two
    await bench.say("!use keys@b channel", GRACE, ops)
    await bench.say("!use keys@a here", ADA, ops)
    await bench.say("!use keys here --any", ADA, ops)
    left = [row["person"] for row in await bench.rows("SELECT person FROM defaults")]
    await bench.say("!use keys channel --any", GRACE, ops)

    assert [None] == left
    assert [] == await bench.rows("SELECT * FROM defaults")
    assert ["Which account is `jot add` for?"] == (await bench.say("!jot add x", ADA, ops))[:1]


async def test_a_choice_for_what_somebody_has_not_is_a_link_to_it(tmp_path: Path) -> None:
    """The channel's instance is the one that a newcomer is sent to."""
    async with two_instances(Plan(tmp_path, skills=("accounts", "notes"), admins=("fake:u-2",))) as (bench, _, _):
        room = bench.network.room("ops", ADA, GRACE)
        await bench.say("!use demo@work channel", GRACE, room)
        await bench.say("!notes", ADA, room)
        rows = await bench.rows("SELECT instance FROM flows")

    assert ["work"] == [row["instance"] for row in rows]


async def test_choices_survive_a_restart(two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel) -> None:
    """They are read again, and what is not ours counts for nothing."""
    bench, _, _ = two
    await bench.say("!use keys@b here", ADA, ops)
    await bench.say("!use keys@a channel", GRACE, ops)
    person = (await bench.core.people.find(ADA)).person  # type: ignore[union-attr]
    again = Defaults(bench.core.database, bench.core.sealer)
    await again.load()

    assert ("b", "a") == (again.account(person, ops, "keys"), again.instance(ops, "keys"))
    assert "" == again.account("somebody else", ops, "keys")
    assert "" == again.instance(replace(ops, id="dev"), "keys")


async def test_a_choice_that_somebody_else_wrote_counts_for_nothing(
    two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    """A63: a channel led to another tracker through the database stays where it was."""
    bench, _, _ = two
    await bench.say("!use keys@b channel", GRACE, ops)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE defaults SET target = 'a'", ())
    again = Defaults(bench.core.database, bench.core.sealer)
    with caplog.at_level(logging.ERROR):
        await again.load()

    assert "" == again.instance(ops, "keys")
    assert "a channel's default is ignored" in caplog.text


async def test_choosing_twice_leaves_one(two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel) -> None:
    """The last."""
    bench, a, b = two
    for alias in ("a", "b", "a"):
        await bench.say(f"!use keys@{alias} here", ADA, ops)
    await bench.say("!jot add one", ADA, ops)

    assert 1 == len(await bench.rows("SELECT * FROM defaults"))
    assert (["one"], []) == (a.notes("ada"), b.notes("ada"))


async def test_a_chosen_account_that_stopped_working_is_not_replaced_by_another(
    two: tuple[Bench, DemoProvider, DemoProvider], ops: Channel
) -> None:
    """It is to be linked again: what was meant for one is not done with the other."""
    bench, a, b = two
    await bench.say("!use keys@b here", ADA, ops)
    b.rotate_key("ada")
    said = await bench.say("!jot add one", ADA, ops)

    assert "no longer accepts your link" in said[0]
    assert ([], []) == (a.notes("ada"), b.notes("ada"))
