"""One of several identities becomes a person of its own, and takes along what it linked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest

from joined import TRAIN, breaking, everyone, held, join, name, open_both, persons, share, split
from linking.steps import audited
from omnibot import LinkedContext, Skill
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


@pytest.mark.parametrize(
    ("by", "named"),
    [
        (ADA, "train:t-1"),
        (TRAIN, "train"),
        (ADA, "fake"),
        (TRAIN, "fake:u-1"),
        (ADA, "train:\u200bt-1"),  # as Matrix shows a name, so that it is not mentioned, and as it is copied there
    ],
)
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
    """A command that holds a grant may end first; but whoever goes on and on does not put it off for good."""
    monkeypatch.setattr("omnibot.linking.joining._BUSY_PAUSE", 0.001)
    pause, waited = asyncio.sleep, list[float]()

    async def counted(seconds: float) -> None:
        waited.append(seconds)
        await pause(0)

    monkeypatch.setattr("omnibot.linking.joining.asyncio.sleep", counted)
    grant = bench.core.grants.open((await everyone(bench))[0], "command")
    said = await split(bench, "train")
    bench.core.grants.close(grant)

    assert "a person of its own" in said[0]
    assert waited.count(0.001) > 10
    assert 2 == len(await everyone(bench))


async def test_a_command_that_goes_on_acts_no_more(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the one who was split off; the other's goes on."""
    monkeypatch.setattr("omnibot.linking.joining._BUSY_PAUSE", 0.001)
    going = {ADA: asyncio.Event(), TRAIN: asyncio.Event()}
    go, skill = asyncio.Event(), Skill("slowly", bare=True)

    @skill.linked("demo", answer="private")
    async def slowly(ctx: LinkedContext) -> str:
        """Act twice."""
        await ctx.api.get("/api/notes")
        going[cast("Identity", ctx.message.speaker)].set()
        await go.wait()
        await ctx.api.get("/api/notes")
        return "done"

    async with open_both(replace(plan, skills=(*plan.skills, skill))) as bench:
        await bench.link(ADA, "ada")
        await bench.link(TRAIN, "grace")
        await join(bench)
        for one, network in zip(going, bench.networks, strict=True):
            await network.hear("!slowly", one)
            await going[one].wait()
        await bench.core.upkeep._joining.split(ADA, TRAIN)
        go.set()
        await bench.settle()
        ends = [network.private_texts(one)[-1] for one, network in zip(going, bench.networks, strict=True)]

    assert "done" == ends[0]
    assert "so this was not done" in ends[1]


@pytest.mark.parametrize("statement", range(12))
async def test_a_crash_leaves_one_person_or_two(bench: Bench, monkeypatch: pytest.MonkeyPatch, statement: int) -> None:
    """Whatever statement of the split it comes at: all works as before, and it can be said again."""
    await share(bench, ADA, "demo@ada")
    before, reach = await everyone(bench), {login: one.reach for login, one in (await held(bench)).items()}
    with monkeypatch.context() as patch:
        breaking(patch, statement)
        with suppress(OSError):
            await bench.core.upkeep._joining.split(ADA, TRAIN)
    after = await everyone(bench)

    if after == before:
        assert reach == {login: one.reach for login, one in (await held(bench)).items()}
        assert ["You have no notes."] == await bench.say("!notes")
        assert "a person of its own" in (await split(bench, "train"))[0]
    found, whose = await held(bench), await persons(bench)

    assert {"ada": (ADA,), "grace": (TRAIN,)} == {login: one.reach for login, one in found.items()}
    assert (whose["fake:u-1"], whose["train:t-1"]) == (found["ada"].person, found["grace"].person)
    assert 2 == len(await everyone(bench))
    assert ["You have no notes."] == await bench.say("!notes") == await bench.say("!notes", TRAIN)
