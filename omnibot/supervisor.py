"""Keeps one network's adapter running, whatever happens to it.

A supervisor never raises: an adapter that fails is started again after a pause that grows
and is jittered; one that is refused for good is said once, with the cure, and left alone.
No other network notices.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

from omnibot.adapter import Adapter, Deliver
from omnibot.errors import Refused

log = logging.getLogger(__name__)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_STEADY_AFTER = 60.0
"""Seconds of running after which the next failure is the first again."""


class Supervisor:
    """Runs one adapter."""

    def __init__(
        self,
        network: str,
        adapter: Adapter,
        deliver: Deliver,
        ready: Callable[[str, str], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Run *adapter* for *network*; call *ready* with network and realm after each connect."""
        self.network = network
        self.adapter = adapter
        self.state = "starting"
        """``starting``, ``ready``, ``waiting`` to try again, ``refused`` or ``ended``."""

        self.since = time.time()
        """From when on it is so, in Unix seconds."""

        self._deliver = deliver
        self._ready = ready
        self._sleep = sleep

    async def run(self) -> None:
        """Run the adapter until it ends by itself or is refused; never raise but for cancellation."""
        failures = 0
        self._is_now("starting")
        while True:
            started = time.monotonic()
            try:
                await self.adapter.run(self._deliver, self._is_ready)
                self._is_now("ended")
                return
            except Refused as error:
                self._is_now("refused")
                log.error("%s turned the bot away: %s. %s", self.network, error, error.cure)
                return
            except Exception as error:
                failures = 1 if time.monotonic() - started > _STEADY_AFTER else failures + 1
                pause = min(_FIRST_PAUSE * 2 ** min(failures - 1, 10), _LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311
                log.warning("%s failed (%s); next try in %.0f s", self.network, type(error).__name__, pause)
                log.debug("how %s failed", self.network, exc_info=error)
            self._is_now("waiting")
            await self._sleep(pause)

    async def _is_ready(self, realm: str) -> None:
        self._is_now("ready")
        await self._ready(self.network, realm)

    def _is_now(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.time()
