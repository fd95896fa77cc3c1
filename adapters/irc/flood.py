"""How fast lines go out.

Servers count a line as some seconds' worth of talking, a long line as more, and throw out whoever is too
far ahead of the clock ("Excess Flood"): RFC 1459 section 8.10, and the penalty by length that ircds have
added since.  `Flood` keeps the same account, so that the server never has to; and what waits is taken from
one target after the other, so that a long answer in one place holds up nobody elsewhere.
"""

from collections import OrderedDict, deque
from collections.abc import Sized
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast; the defaults are fit for Libera and for whoever keeps to the RFC."""

    lines: int = 5
    """How many short lines may go at once."""

    seconds: float = 2.0
    """Seconds that a line counts as; 0: lines go as fast as they come."""

    bytes: int = 120
    """A line counts as one second more for each so many bytes of it; 0: its length does not matter."""

    def cost(self, line: Sized) -> float:
        """Return how many seconds *line* counts as."""
        if not self.seconds:
            return 0.0
        return self.seconds + (len(line) // self.bytes if self.bytes else 0)

    @property
    def burst(self) -> float:
        """How many seconds one may be ahead of the clock."""
        return self.lines * self.seconds


class Flood[L: Sized]:
    """The lines that wait to be sent on one connection; begin a new one with each.

    The lines of one target go in their order.  A target with lines that wait has its turn after at most one
    line of each of the others.  At most *depth* lines of a target wait, and at most *total* in all: who has
    more to say waits for `has_room`, so that nothing is dropped.  The length of a line is its size in bytes;
    times are seconds of a clock that never goes back.
    """

    def __init__(self, pace: Pace, *, depth: int = 50, total: int = 5000) -> None:
        """Send at *pace*."""
        self._pace = pace
        self._depth = depth
        self._total = total
        self._urgent: deque[L] = deque()
        self._waiting: OrderedDict[str, deque[L]] = OrderedDict()
        self._count = 0
        self._paid = -inf
        """When all that was sent is paid off; the server's ``since``."""

    def __len__(self) -> int:
        """Return how many lines wait."""
        return len(self._urgent) + self._count

    def has_room(self, target: str) -> bool:
        """Return whether one more line may wait for *target*."""
        return self._count < self._total and len(self._waiting.get(target, ())) < self._depth

    def push(self, target: str | None, line: L) -> None:
        """Let *line* wait; for no target, it is one of PONG or registration, and goes before all others and at once.

        Of those no more than *total* wait either, as where a server asks and asks and takes no answer.

        Raises:
            OverflowError: there is no room for it.
        """
        if target is None:
            if len(self._urgent) >= self._total:
                raise OverflowError("too many urgent lines wait: nobody takes them")
            self._urgent.append(line)
            return
        if not self.has_room(target):
            raise OverflowError("too many lines wait; wait for has_room")
        self._waiting.setdefault(target, deque()).append(line)
        self._count += 1

    def pop(self, now: float) -> L | None:
        """Take out the line to be sent at *now*; None where none waits or it is too soon."""
        at = self.next_at
        if at is None or now < at:
            return None
        line = self._urgent.popleft() if self._urgent else self._next()
        self._paid = max(self._paid, now) + self._pace.cost(line)
        return line

    @property
    def next_at(self) -> float | None:
        """When `pop` gives the next line, which may be past; None where none waits."""
        if self._urgent:
            return -inf
        if not self._waiting:
            return None
        cost = self._pace.cost(next(iter(self._waiting.values()))[0])
        return self._paid - max(self._pace.burst - cost, 0.0)  # who owes nothing may say one line of any length

    def drain(self) -> list[tuple[str | None, L]]:
        """Take out all that waits, with its targets: the connection is gone."""
        left: list[tuple[str | None, L]] = [(None, line) for line in self._urgent]
        left += [(target, line) for target, lines in self._waiting.items() for line in lines]
        self._urgent.clear()
        self._waiting.clear()
        self._count = 0
        return left

    def _next(self) -> L:
        target, lines = next(iter(self._waiting.items()))
        line = lines.popleft()
        self._count -= 1
        if lines:
            self._waiting.move_to_end(target)
        else:
            del self._waiting[target]
        return line
