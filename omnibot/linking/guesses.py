"""Wrong codes: those of links, and those of joins."""

import time
from collections import deque
from collections.abc import Callable

from omnibot.identity import Identity

_WINDOW = 600.0
_MOST_GUESSES = 10
_SLOW_AFTER = 100
_SLOW_SECONDS = 1.0


class Guesses:
    """Counts wrong codes: per identity to refuse, over all to slow down (A49).

    A limit over all would let one abuser lock everybody out; so it is only a delay.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count from nothing."""
        self._clock = clock
        self._by_identity: dict[Identity, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=_SLOW_AFTER)

    def exhausted(self, identity: Identity) -> bool:
        """Whether *identity* has guessed too often in the last ten minutes."""
        recent = self._by_identity.get(identity)
        while recent and recent[0] < self._clock() - _WINDOW:
            recent.popleft()
        if recent is not None and not recent:
            del self._by_identity[identity]
        return len(recent or ()) >= _MOST_GUESSES

    @property
    def delay(self) -> float:
        """Seconds to let pass before a wrong code is answered."""
        full = len(self._all) == _SLOW_AFTER and self._all[0] > self._clock() - _WINDOW
        return _SLOW_SECONDS if full else 0.0

    def wrong(self, identity: Identity) -> None:
        """Note that *identity* said a wrong code."""
        now = self._clock()
        self._by_identity.setdefault(identity, deque(maxlen=_MOST_GUESSES)).append(now)
        self._all.append(now)
