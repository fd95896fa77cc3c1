"""Where everything the dispatcher begins runs: supervised tasks, in each speaker's order, within bounds.

The commands of one speaker run one after the other, in the order they came.  A command that
waits for an answer leaves its place to the next.  What one network has begun is bounded for
itself, so that a flood on one does not keep the others from being heard.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from omnibot.errors import StorageTrouble
from omnibot.identity import Speaker

log = logging.getLogger(__name__)

MOST_A_NETWORK = 1000
"""Tasks under way for one network, from which on its adapter's ``deliver`` waits."""

MOST_WAITING = 20
"""Commands of one speaker that may wait for their turn."""

type Start = Callable[[], Awaitable[bool]]
"""Called when a command's turn has come: deletes what kept it durable, and tells whether it is to run."""


class _Lane:
    """One speaker's order."""

    __slots__ = ("lock", "users", "warned")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.warned = False


class Place:
    """A command's place in its speaker's order: held while it runs, given up while it waits."""

    __slots__ = ("_ended", "_held", "_lane", "_runner")

    def __init__(self, lane: _Lane, runner: "Runner") -> None:
        """Hold nothing yet."""
        self._lane = lane
        self._runner = runner
        self._held = False
        self._ended = False

    async def take(self) -> None:
        """Wait for the place, unless the command has it, or has ended meanwhile."""
        if not self._held:  # it is, where another question of the same command was answered first
            await self._lane.lock.acquire()
            self._keep()

    def _keep(self) -> None:
        """Hold what was waited for; what a handler left behind must not, nor must a command hold it twice."""
        if self._held or self._ended:
            self._lane.lock.release()
        else:
            self._held = True

    def give_up(self) -> None:
        """Let the speaker's next command run; no harm if the place is not held."""
        if self._held:
            self._held = False
            self._lane.lock.release()

    def end(self) -> None:
        """Give the place up for good."""
        self._ended = True
        self.give_up()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Give the place up for the length of a block, and take it again once that has ended well."""
        self.give_up()
        self._runner.waits(1)
        try:
            yield
        finally:
            self._runner.waits(-1)
        await self.take()


class Runner:
    """Runs things beside each other, and knows when nothing is left to do."""

    def __init__(self) -> None:
        """Nothing runs."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: dict[Speaker, _Lane] = {}
        self._load: Counter[str] = Counter()
        self._room = asyncio.Condition()
        self._asking = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def room(self, network: str) -> None:
        """Return when *network* may begin something more."""
        if self._load[network] >= MOST_A_NETWORK:
            async with self._room:
                await self._room.wait_for(lambda: self._load[network] < MOST_A_NETWORK)

    def spawn(self, work: Awaitable[None], name: str, network: str = "") -> None:
        """Let *work* run on its own; what it raises is logged."""
        task = asyncio.create_task(_as_coroutine(work), name=name)
        self._tasks.add(task)
        self._load[network] += 1
        self._quiet.clear()
        task.add_done_callback(lambda done: self._done(done, network))

    def in_order(
        self,
        speaker: Speaker,
        work: Callable[[Place], Coroutine[Any, Any, None]],
        name: str,
        start: Start | None = None,
    ) -> bool | None:
        """Let *work* run when the speaker's earlier commands have ended, if *start* then says so.

        Returns True if it will, None if too many wait already, and False if that was said before.
        """
        lane = self._lanes.setdefault(speaker, _Lane())
        if lane.users >= MOST_WAITING:
            warned, lane.warned = lane.warned, True
            return False if warned else None
        lane.users += 1
        self.spawn(self._in_lane(speaker, lane, work, start), name, speaker.network)
        return True

    def waits(self, by: int) -> None:
        """Note that a command began (1) or ended (-1) to wait for somebody's answer."""
        self._asking += by
        self._look_quiet()

    async def settle(self) -> None:
        """Return when nothing is under way but questions that wait for an answer."""
        await self._quiet.wait()

    async def close(self, grace: float) -> None:
        """Let what runs end within *grace* seconds; cancel the rest."""
        try:
            async with asyncio.timeout(grace):
                await self.settle()
        except TimeoutError:
            log.warning("%s commands did not end in time and are stopped", len(self._tasks))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _in_lane(
        self,
        speaker: Speaker,
        lane: _Lane,
        work: Callable[[Place], Coroutine[Any, Any, None]],
        start: Start | None,
    ) -> None:
        place = Place(lane, self)
        try:
            await place.take()
            if start is None or await start():
                await work(place)
        finally:
            place.end()
            lane.users -= 1
            if not lane.users:
                self._lanes.pop(speaker, None)

    def _done(self, task: asyncio.Task[None], network: str) -> None:
        self._tasks.discard(task)
        self._load[network] -= 1
        if self._load[network] == MOST_A_NETWORK - 1:
            self.spawn(self._tell_room(), "room")
        elif not self._load[network]:
            del self._load[network]
        self._look_quiet()
        if task.cancelled() or task.exception() is None:
            return
        if isinstance(task.exception(), StorageTrouble):  # the operator has been told, once (`omnibot.database`)
            log.info("the task %s could not be done: %s", task.get_name(), task.exception())
        else:
            log.error("the task %s failed", task.get_name(), exc_info=task.exception())

    async def _tell_room(self) -> None:
        async with self._room:
            self._room.notify_all()

    def _look_quiet(self) -> None:
        if len(self._tasks) <= self._asking:
            self._quiet.set()
        else:
            self._quiet.clear()


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
