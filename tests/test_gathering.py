"""What several follows have to tell one person in private at the same time is one message."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from omnibot import FollowContext, LinkedContext, Progress, Skill, following, follows
from omnibot.database import Transaction
from omnibot.delivery import Delivery
from omnibot.demo.provider import DemoProvider
from omnibot.gathering import LONGEST
from omnibot.message import Private
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from things import later

RESTART = 20.0
"""Seconds after which the first look after a restart is due, though the network was late."""


class Pots:
    """A skill that follows pots; `says` is what each is to say."""

    def __init__(self) -> None:
        self.skill = Skill("pots")
        self.says: dict[str, Progress] = {}
        self.held: dict[str, asyncio.Event] = {}
        """Pots whose look waits for that."""

        skill = self.skill

        @skill.follower(every=5.0)
        async def _look(ctx: FollowContext, pot: str) -> Progress:
            if pot in self.held:
                await self.held[pot].wait()
            return self.says.get(pot, Progress(""))

        @skill.linked("demo")
        async def watch(ctx: LinkedContext, pot: str) -> str:
            """Watch a pot."""
            await ctx.follow(_look, f"the {pot} pot", pot=pot, lasting=86400)
            return "Watching."

        @skill.linked("demo", answer="channel")
        async def show(ctx: LinkedContext, pot: str) -> str:
            """Watch a pot before everybody."""
            await ctx.follow(_look, f"the {pot} pot", pot=pot, lasting=86400)
            return "Watching."

    def boil(self, *pots: str, done: bool = False) -> None:
        """Let *pots* say that they boil."""
        self.says |= {pot: Progress(f"It boils in {pot}.", done=done) for pot in pots}


@pytest.fixture
def pots() -> Pots:
    return Pots()


@pytest.fixture
async def plan(tmp_path: Path, pots: Pots) -> AsyncIterator[Plan]:
    async with DemoProvider() as provider:
        yield Plan(tmp_path, skills=(*SKILLS, pots.skill), provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """Ada watches three pots."""
    async with Bench.open(plan) as bench:
        await bench.link()
        for pot in ("red", "blue", "old"):
            await bench.say(f"!pots watch {pot}")
        yield bench


async def test_what_comes_at_once_is_one_message(bench: Bench, pots: Pots) -> None:
    """A line each, which says what it is about; who has nothing to say is not in it."""
    pots.boil("red", "old")
    said = await later(bench)

    assert 1 == len(said)
    assert {"**the red pot**: It boils in red.", "**the old pot**: It boils in old."} == set(said[0].split("\n"))
    assert [] == await later(bench)


async def test_who_is_alone_waits_for_nobody(bench: Bench, pots: Pots, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in its own words."""
    monkeypatch.setattr(following, "_PATIENCE", (1000.0, 1000.0))
    pots.boil("red")

    assert ["It boils in red."] == await later(bench)


async def test_another_person_is_told_apart(bench: Bench, pots: Pots) -> None:
    """What is for one identity is in no message to another."""
    await bench.link(GRACE, "grace")
    await bench.say("!pots watch red", GRACE)
    pots.boil("red")
    await later(bench)

    assert "It boils in red." == bench.network.private_texts(ADA)[-1]
    assert "It boils in red." == bench.network.private_texts(GRACE)[-1]


async def test_more_than_may_be_looked_at_at_once(bench: Bench, pots: Pots) -> None:
    """Who waits to be told with others takes no place from those."""
    for number in range(15):
        await bench.say(f"!pots watch n{number}")
    pots.boil(*(f"n{number}" for number in range(15)))
    said = await later(bench)

    assert 1 == len(said)
    assert 15 == len(said[0].split("\n"))


async def test_a_restart_is_no_storm(plan: Plan, bench: Bench, pots: Pots) -> None:
    """All that has changed meanwhile is one message; what was said before is not said again."""
    pots.boil("red")
    await later(bench)
    await bench.core.close()
    pots.boil("blue", "old", done=True)
    async with Bench.open(plan) as again:
        await again.say("!ping")
        said = await later(again, RESTART)

    assert 1 == len(said)
    assert {"**the blue pot**: It boils in blue.", "**the old pot**: It boils in old."} == set(said[0].split("\n"))


async def test_after_a_restart_a_persons_looks_are_due_together(
    plan: Plan, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are spread by identity, and not each by itself."""
    await bench.link(GRACE, "grace")
    await bench.say("!pots watch red", GRACE)
    await bench.core.close()
    numbers = count()
    monkeypatch.setattr(random, "uniform", lambda low, high: high - next(numbers) / 100)
    async with Bench.open(plan) as again:
        dues = {who: {watch.due // 0.005 for watch in some} for who, some in again.core.follows._of.items()}

    assert [1, 1] == [len(some) for some in dues.values()]
    assert dues[ADA] != dues[GRACE]


async def test_what_has_happened_is_replaced_by_nothing(bench: Bench, pots: Pots) -> None:
    """News are a message each, at once, where a state would be edited or wait for its turn."""
    said = []
    for number in range(3):
        pots.says["red"] = Progress(f"Event {number}.", news=True)
        said += await later(bench)

    assert ["Event 0.", "Event 1.", "Event 2."] == said
    assert [] == bench.network.edits


async def test_nobody_waits_long(bench: Bench, pots: Pots, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes its time comes later, by itself."""
    monkeypatch.setattr(following, "_PATIENCE", (0.05, 0.05))
    pots.held["red"] = asyncio.Event()
    pots.boil("red", "blue")
    before = len(bench.network.said)
    bench.clock.pass_(7)
    looking = asyncio.create_task(bench.settle())
    async with asyncio.timeout(5):
        while len(bench.network.said) == before:  # noqa: ASYNC110 - the network tells nobody
            await asyncio.sleep(0.01)
    first = [said.reply.text for said in bench.network.said[before:]]
    pots.held["red"].set()
    await looking

    assert ["It boils in blue."] == first
    assert "It boils in red." == bench.network.private_texts(ADA)[-1]


async def test_progress_goes_on_as_a_message_of_its_own(bench: Bench, pots: Pots) -> None:
    """What stands in one message with others is not edited, for that would take theirs away."""
    pots.boil("red", "blue")
    await later(bench)
    pots.says["red"] = Progress("Hot.")
    first = await later(bench, 30)
    pots.says["red"] = Progress("Hotter.")
    second = await later(bench, 30)

    assert ["Hot."] == first
    assert [] == second
    assert ["Hotter."] == [reply.text for _, reply in bench.network.edits]


async def test_what_is_edited_in_place_stays_so(bench: Bench, pots: Pots) -> None:
    """Several at once."""
    for pot in ("red", "blue"):
        pots.boil(pot)
        await later(bench)
    pots.says = {pot: Progress(f"Hot in {pot}.") for pot in ("red", "blue")}
    said = await later(bench)

    assert [] == said
    assert {"Hot in red.", "Hot in blue."} == {reply.text for _, reply in bench.network.edits}


async def test_long_ones_are_several_messages(bench: Bench, pots: Pots) -> None:
    """None is cut, and none is longer than a message may be."""
    pots.says = {pot: Progress(f"{pot}\n" + pot[0] * 1900, done=True) for pot in ("red", "blue", "old")}
    said = await later(bench)

    assert 2 == len(said)
    assert max(map(len, said)) <= LONGEST
    assert 3 * 1900 <= sum(text.count(letter * 1900) for text in said for letter in "rbo") * 1900
    assert "\n\n" in said[0]


async def test_the_ends_wait_for_a_private_way(bench: Bench, pots: Pots) -> None:
    """As one notice; progress is not kept."""
    pots.boil("red", "blue", done=True)
    pots.boil("old")
    bench.network.close_dms(ADA)
    nothing = await later(bench)
    bench.network.open_dms(ADA)
    notices = await bench.rows("SELECT id FROM notices")
    before = len(bench.network.said)
    await bench.say("hello")
    said = [one.reply.text for one in bench.network.said[before:] if "boils" in one.reply.text]

    assert ([], 1, 1) == (nothing, len(notices), len(said))
    assert {"**the red pot**: It boils in red.", "**the blue pot**: It boils in blue."} == set(said[0].split("\n"))
    assert 1 == len(await bench.rows("SELECT id FROM follows"))


async def test_what_ends_while_it_waits_is_not_told(bench: Bench, pots: Pots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by `unfollow` nor by an unlink, which ends a follow without a word to it."""
    monkeypatch.setattr(following, "_PATIENCE", (1000.0, 1000.0))
    pots.held["old"] = asyncio.Event()
    pots.boil("red", "blue", "old", done=True)
    bench.clock.pass_(7)
    looking = asyncio.create_task(bench.settle())
    async with asyncio.timeout(5):
        while not (waiting := bench.core.follows._gathering._bundles) or len(waiting[ADA].news) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    before = len(bench.network.said)
    async with bench.core.database.transaction() as tx:
        await tx.execute("DELETE FROM follows WHERE title = 'the blue pot'")
    one = next(one for one in await bench.core.follows.of(ADA) if one[1].title == "the red pot")
    await bench.core.follows.stop(one[1])
    pots.held["old"].set()
    await looking

    assert ["It boils in old."] == [said.reply.text for said in bench.network.said[before:]]
    assert {} == bench.core.follows._gathering._bundles


async def test_the_end_is_said_once(bench: Bench, pots: Pots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its row could not be deleted: what was said with others is not said again alone."""
    delete, broken = follows.delete, [True]

    async def crashes(tx: Transaction, follow: str) -> bool:
        if broken.pop() if broken else False:
            raise OSError
        return await delete(tx, follow)

    pots.boil("red", "blue", done=True)
    monkeypatch.setattr(follows, "delete", crashes)
    first = await later(bench)
    left = await bench.rows("SELECT id FROM follows")
    second = await later(bench, 1000)

    assert (1, 2, []) == (len(first), len(left), second)
    assert 1 == len(await bench.rows("SELECT id FROM follows"))


async def test_an_adapter_that_breaks_loses_nothing(bench: Bench, pots: Pots, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that waited is looked at again."""
    whisper, broken = Delivery.whisper, [True]

    async def breaks(*args: object, **how: object) -> object:
        if broken.pop() if broken else False:
            raise OSError
        return await whisper(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(Delivery, "whisper", breaks)
    pots.boil("red", "blue")
    first = await later(bench)
    second = await later(bench, 700)

    assert ([], 1) == (first, len(second))
    assert 2 == len(second[0].split("\n"))


async def test_a_room_is_told_as_ever(bench: Bench, pots: Pots) -> None:
    """What a command answers before everybody is told there, each by itself; the private ones go to the asker."""
    room = bench.network.room("ops", ADA, GRACE)
    for pot in ("green", "grey"):
        await bench.say(f"!pots show {pot}", ADA, room)
    pots.boil("red", "blue", "green", "grey")
    before = len(bench.network.said)
    await later(bench)
    said = bench.network.said[before:]

    assert 3 == len(said)
    assert {"It boils in green.", "It boils in grey."} == {one.reply.text for one in said if one.to == room}
    assert 1 == len([one for one in said if isinstance(one.to, Private) and one.to.identity == ADA])


async def test_closing_waits_for_nobody(plan: Plan, pots: Pots, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is told after the next start."""
    monkeypatch.setattr(following, "_PATIENCE", (1000.0, 1000.0))
    async with Bench.open(replace(plan, timeout=100)) as bench:
        await bench.link()
        for pot in ("red", "old"):
            await bench.say(f"!pots watch {pot}")
        pots.held["old"] = asyncio.Event()
        pots.boil("red", done=True)
        bench.clock.pass_(7)
        looking = asyncio.create_task(bench.settle())
        async with asyncio.timeout(5):
            while not bench.core.follows._gathering._bundles:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(0.01)
    await looking
    assert "It boils in red." not in bench.network.private_texts(ADA)
    pots.held.clear()
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        assert ["It boils in red."] == await later(bench, RESTART)
