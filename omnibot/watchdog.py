"""Notices when the loop is held, and names who holds it.

The loop sets a mark every tenth of a second.  A thread looks at the mark; when it is old,
it says which task runs and where it stands, while it still stands there.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback

from omnibot.tally import Tally

log = logging.getLogger(__name__)

_BEAT = 0.1
_STACK = 3


class Watchdog:
    """Watches one loop from a thread of its own."""

    def __init__(self, limit: float = 0.5, tally: Tally | None = None) -> None:
        """Complain when the loop has been held for more than *limit* seconds; count each lag in *tally*."""
        self._lag = (tally or Tally()).loop_lag_seconds
        self._limit = limit
        self._mark = time.monotonic()
        self._stop = threading.Event()
        self.worst = 0.0
        """The longest hold seen, in seconds."""

    async def run(self) -> None:
        """Watch the running loop until cancelled."""
        loop, thread = asyncio.get_running_loop(), threading.get_ident()
        self._mark = time.monotonic()
        watcher = threading.Thread(target=self._watch, args=(loop, thread), name="omnibot-watchdog", daemon=True)
        watcher.start()
        try:
            while True:
                await asyncio.sleep(_BEAT)
                self._beat()
        finally:
            self._stop.set()

    def _beat(self) -> None:
        now = time.monotonic()
        lag = max(0.0, now - self._mark - _BEAT)
        self.worst = max(self.worst, lag)
        self._lag.add(lag)
        self._mark = now

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        complained = 0.0
        while not self._stop.wait(_BEAT):
            mark = self._mark
            if time.monotonic() - mark - _BEAT > self._limit and mark != complained:
                complained = mark
                log.warning("the loop is held by %s", describe(loop, thread))


def describe(loop: asyncio.AbstractEventLoop, thread: int) -> str:
    """Return the name of the task that runs in *loop*, and the innermost lines it stands at."""
    task = asyncio.current_task(loop)
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented way to look at another thread
    lines = traceback.extract_stack(frame)[-_STACK:] if frame else []
    where = " < ".join(f"{line.name} ({line.filename.rpartition('/')[2]}:{line.lineno})" for line in reversed(lines))
    return f"{task.get_name() if task else 'a callback'} at {where}"
