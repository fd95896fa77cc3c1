"""What time and restarts do to flows: they run out, are interrupted, or were confirmed just before."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from omnibot.database import Database
from omnibot.delivery import Delivery
from omnibot.errors import StorageTrouble, VaultError
from omnibot.linking import flows, waiting
from omnibot.linking.endings import Ended, Endings
from omnibot.linking.flows import Flow
from omnibot.linking.joining import Joining
from omnibot.markup import code as code_span
from omnibot.message import Message, Reply
from omnibot.vault import Sealer

log = logging.getLogger(__name__)

_EVERY = 15.0
_KEEP_ENDED = flows.UNDO_SECONDS + 3600.0
_KEEP_HELD = 7 * 86400.0
_RESUME_WITHIN = 120.0

type Resume = Callable[[Message, Callable[[], Awaitable[bool]]], Awaitable[None]]


class Upkeep:
    """Sweeps the flows, and recovers them at a start."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        delivery: Delivery,
        endings: Endings,
        joining: Joining,
        resume: Resume,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Work on the rows of *database*; hand to *resume* what was confirmed and never started."""
        self._database = database
        self._sealer = sealer
        self._delivery = delivery
        self._endings = endings
        self._joining = joining
        self._resume = resume
        self._clock = clock
        self._interrupted: dict[str, list[Ended]] = {}

    async def recover(self) -> None:
        """End what a crash interrupted; its askers hear of it when their network is ready."""
        for flow in await flows.in_state(self._database, self._sealer, "exchanging"):
            await self._interrupt(flow)
        for flow in await flows.in_state(self._database, self._sealer, "pending"):
            if flow.code_hash is None or flow.proof is not None:  # nobody could confirm it any more
                await self._interrupt(flow)

    async def _interrupt(self, flow: Flow) -> None:
        ended = await self._endings.cut(flow, "interrupted")
        if ended is not None:
            self._interrupted.setdefault(flow.identity.network, []).append(ended)

    async def start_late(self, network: str) -> None:
        """Once *network* is ready, tell whose links were interrupted, and run what was confirmed and had not started.

        Before that, nobody there could be asked who is in a room, nor be answered.
        """
        for ended in self._interrupted.pop(network, ()):
            self._endings.told(ended)
        rows = await self._database.read(
            "SELECT f.* FROM flows f JOIN waiting w ON w.flow = f.id "
            "WHERE f.state = 'linked' AND f.network = ? ORDER BY f.ended",
            (network,),
        )
        for row in rows:
            with contextlib.suppress(VaultError):  # one that somebody else wrote holds up none of the others
                await self._start_late(flows.from_row(self._sealer, row))

    async def run(self) -> None:
        """Sweep every fifteen seconds, until cancelled."""
        while True:
            try:
                await self.sweep()
            except VaultError as error:
                log.warning("the flows cannot be swept: %s", error)
            except StorageTrouble as error:
                log.debug("the flows cannot be swept: %s", error)  # said once, where it happened
            except Exception:
                log.exception("a sweep of the flows failed")
            await asyncio.sleep(_EVERY)

    async def sweep(self) -> None:
        """End the flows and joins whose time is over, and forget the flows that ended more than a day ago."""
        now = self._clock()
        for flow in await flows.overdue(self._database, self._sealer, now):
            await self._endings.burn(flow, "expired", "expired")
        for flow in await flows.in_state(self._database, self._sealer, "held"):
            if flow.created + _KEEP_HELD <= now:
                await self._endings.burn(flow, "expired", "expired")
        async with self._database.transaction() as tx:
            await tx.sweep("DELETE FROM flows WHERE ended <= ?", (now - _KEEP_ENDED,))
        await self._joining.sweep()
        await self._delivery.sweep()

    async def _start_late(self, flow: Flow) -> None:
        message = await waiting.look(self._database, self._sealer, flow)
        if message is None:
            return
        if self._clock() - (flow.ended or 0) <= _RESUME_WITHIN:
            await self._resume(message, partial(self._begins, flow))
        elif await self._begins(flow):
            text = f"I was restarted before I could run {code_span(message.text)}. It was not run: say it again."
            await self._delivery.to_identity(flow.identity, Reply(text))

    async def _begins(self, flow: Flow) -> bool:
        """Delete the row of what waited for *flow*; False if that started before."""
        async with self._database.transaction() as tx:
            return await waiting.take(tx, self._sealer, flow) is not None
