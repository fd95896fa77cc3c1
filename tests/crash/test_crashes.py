"""Killed at any point, the bot that is started again finishes what was begun or says that it ended.

A clean journey tells which points there are; the journey is then begun anew for each of them,
the bot is killed there, and the person goes on with the next bot as somebody would who knows
nothing of a kill.  Every commit is such a point, both ends of every request that leaves the
machine, and every reply and page.  None is left out.
"""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from crash.cases import DAY, case
from crash.checks import look, settled
from crash.journeys import JOURNEYS, Journey
from crash.leash import Died, Keeper, Point, keepers
from omnibot.database import Database, Transaction
from omnibot.delivery import Delivery
from omnibot.intake import Intake
from omnibot.linking import waiting
from omnibot.linking.confirming import Confirming
from omnibot.linking.flows import Flow
from omnibot.linking.revoking import Revoking
from omnibot.message import Message
from omnibot.vault import Sealer

AT_ONCE = 3
BY_THE_CLOCK = tuple(f"the commit of {name}" for name in ("audit.flush", "linking.upkeep.sweep", "delivery.sweep"))
"""How often these come depends on how fast this machine is."""


@pytest.fixture(scope="session")
def lent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Keeper]]:
    """The processes that fork the bots."""
    with keepers(tmp_path_factory.mktemp("keepers"), AT_ONCE) as lent:
        yield lent


async def run(
    journey: Journey, keeper: Keeper, directory: Path, kill: Point | None = None, before: tuple[str, ...] = ()
) -> list[Point]:
    """Walk *journey* with a bot that is killed at *kill*, go on with another, and see what is left a day later.

    Returns the points that the first bot came to.
    """
    async with case(directory, keeper, public=journey.public, before=journey.before + before) as one:
        await journey.prepare(one)
        died = False
        try:
            await one.start(kill)
            await journey.walk(one)
            await one.stop()
        except Died:
            died = True
        points, killed = list(one.points), look(one)
        await one.start()
        if died:
            await journey.go_on(one, killed)
        await one.later(DAY)
        await one.stop()
        await settled(one, killed)

        assert died or kill is None or kill[0] in BY_THE_CLOCK, "it was not killed"
        return points


@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda one: one.name)
async def test_whatever_the_moment(journey: Journey, lent: list[Keeper], tmp_path: Path) -> None:
    """The journey ends well, or its person knows that it ended; no token is lost, and nothing is done twice."""
    points = await run(journey, lent[0], tmp_path / "clean")
    left = deque(enumerate(points))
    failed: list[str] = []

    async def work(keeper: Keeper) -> None:
        while left:
            number, point = left.popleft()
            try:
                await run(journey, keeper, tmp_path / str(number), point)
            except (AssertionError, TimeoutError) as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                failed.append(f"killed at {point}: {where.name}: {where.line}: {error}")

    async with asyncio.TaskGroup() as group:
        for keeper in lent:
            group.create_task(work(keeper))

    assert [] == failed, "\n\n".join(failed)


# ------------------------------------------------------------ what would be noticed


def starting_twice() -> None:
    """Break the bot: leave the row of a parked command where it is when the command starts."""

    async def look(tx: Transaction, sealer: Sealer, flow: Flow) -> Message | None:
        return await waiting.look(tx, sealer, flow)

    waiting.take = look


def starting_from_memory() -> None:
    """Break the bot: let the row of a parked command go at the confirm, and start the command nevertheless."""
    look = waiting.look

    async def taken(source: Database | Transaction, sealer: Sealer, flow: Flow) -> Message | None:
        message = await look(source, sealer, flow)
        if isinstance(source, Transaction):
            await source.execute("DELETE FROM waiting WHERE flow = ?", (flow.id,))
        return message

    async def begins(*_: object) -> bool:
        return True

    waiting.look = taken
    Confirming.start_parked = begins  # type: ignore[assignment,method-assign]


def telling_once() -> None:
    """Break the bot: keep nothing of what is about to be said."""

    async def nothing(*_: object) -> None:
        pass

    Delivery.leave = nothing  # type: ignore[assignment,method-assign]


def acknowledging_first() -> None:
    """Break the bot: note how far a network was read, and keep none of its messages."""
    accept = Intake.accept

    async def position_only(self: Intake, network: str, messages: Sequence[Message], position: str) -> list[str | None]:
        await accept(self, network, [], position)
        return [None] * len(messages)

    Intake.accept = position_only  # type: ignore[method-assign]


def losing_tokens() -> None:
    """Break the bot: hand nothing back."""

    async def nothing(*_: object) -> None:
        pass

    Revoking._enqueue = nothing  # type: ignore[assignment,method-assign]


@pytest.mark.parametrize(
    ("name", "broken", "point"),
    [
        ("redirect", starting_twice, ("after POST /api/notes", 1)),
        ("redirect", starting_from_memory, ("the commit of linking.confirming.activate", 1)),
        ("refuse", telling_once, ("the commit of linking.browser.refuse", 1)),
        ("redeliver", acknowledging_first, ("the commit of intake.accept", 1)),
        ("unlink", losing_tokens, ("the checkpoint", 1)),
    ],
)
async def test_a_bot_that_is_broken_is_noticed(
    name: str, broken: Callable[[], None], point: Point, lent: list[Keeper], tmp_path: Path
) -> None:
    """These tests can fail: each of these mistakes shows at that point."""
    (journey,) = (one for one in JOURNEYS if one.name == name)

    with pytest.raises(AssertionError):
        await run(journey, lent[0], tmp_path / "broken", point, (f"{__name__}:{broken.__name__}",))
