"""One of several identities becomes a person of its own, and takes along what it linked."""

from collections.abc import AsyncIterator

import pytest

from joined import TRAIN, everyone, held, join, name, open_both, persons, share, split
from linking.steps import audited
from omnibot.demo.browser import Browser
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, Bench, Plan

PHONE = Identity("train", "t-2", "", "Ada's phone")


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on two networks; Ada has linked on both, and is one person."""
    async with open_both(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.link(TRAIN, "grace")
        await join(bench)
        yield bench


async def test_it_lists_and_asks(bench: Bench) -> None:
    """And does nothing before a yes."""
    listed = await bench.say("!split")
    asked = await bench.say("!split train")
    kept = await bench.say("no")

    assert "(`fake:u-1`)" in listed[0]
    assert "(`train:t-1`)" in listed[0]
    assert "takes along what it linked: `demo@grace`" in asked[0]
    assert ["Nothing has changed."] == kept
    assert 1 == len(await everyone(bench))


@pytest.mark.parametrize(("by", "named"), [(ADA, "train:t-1"), (TRAIN, "train"), (ADA, "fake"), (TRAIN, "fake:u-1")])
async def test_either_side_splits_either(bench: Bench, by: Identity, named: str) -> None:
    """Everything works on as before the join; the other side is told."""
    keys = {row["public_key"] for row in await bench.rows("SELECT public_key FROM people")}
    said = await split(bench, named, by)
    whose, found = await persons(bench), await held(bench)
    other = bench.networks[1].private_texts(TRAIN) if by is ADA else bench.network.private_texts(ADA)

    assert "a person of its own" in said[0]
    assert "has split your identities" in other[-1]
    assert whose["fake:u-1"] == found["ada"].person != found["grace"].person == whose["train:t-1"]
    assert ["You have no notes."] == await bench.say("!notes") == await bench.say("!notes", TRAIN)
    assert "train" not in (await bench.say("!whoami"))[0]
    assert 1 == len({row["public_key"] for row in await bench.rows("SELECT public_key FROM people")} - keys)
    assert [{"accounts": 1}] * 2 == await audited(bench, "person.split")


async def test_reach_is_pruned_on_both_sides(bench: Bench) -> None:
    """What stays loses the one that goes; what goes keeps it alone."""
    await share(bench, ADA, "demo@ada")
    await share(bench, TRAIN, "demo@grace")
    shared = await held(bench)
    await split(bench, "train")
    found = await held(bench)

    assert [(ADA, TRAIN), (TRAIN, ADA)] == [shared["ada"].reach, shared["grace"].reach]
    assert [(ADA,), (TRAIN,)] == [found["ada"].reach, found["grace"].reach]


async def test_a_link_under_way_goes_along(bench: Bench) -> None:
    """With the message that waits for it."""
    async with Browser() as browser:
        await bench.say("!link demo", TRAIN)
        await bench.authorise(browser, bench.link_for(TRAIN), "mallory")
        await split(bench, "train")
        await bench.say(f"!confirm {browser.code}", TRAIN)
        await bench.say("keep both", TRAIN)
    found, whose = await held(bench), await persons(bench)

    assert whose["train:t-1"] == found["mallory"].person == found["grace"].person


async def test_what_cannot_be_split(bench: Bench) -> None:
    """Nobody else's, none that is not named clearly, and not the only one."""
    await join(bench, ADA, PHONE)
    several = await bench.say("!split train")
    unknown = await bench.say("!split fake:u-666")
    await split(bench, "train:t-1")
    await split(bench, "train:t-2")

    assert "Several of your identities are there" in several[0]
    assert "None of your identities is called that" in unknown[0]
    assert "nothing to split" in (await bench.say("!split"))[0]
    assert 3 == len(await everyone(bench))


async def test_joined_again(bench: Bench) -> None:
    """As often as one likes."""
    await split(bench, "train")
    await name(bench, TRAIN, ADA)
    await bench.say("!join yes", TRAIN)

    assert 1 == len(await everyone(bench))
    assert ["You have no notes."] == await bench.say("!notes") == await bench.say("!notes", TRAIN)


async def test_it_waits_for_who_acts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that holds a grant goes on; if it does not end, nothing is split."""
    monkeypatch.setattr("omnibot.linking.joining._BUSY_PAUSE", 0.001)
    person = (await everyone(bench))[0]
    grant = bench.core.grants.open(person, "command")
    said = await split(bench, "train")
    bench.core.grants.close(grant)

    assert "still running" in said[0]
    assert [person] == await everyone(bench)
