"""What the bot counts of itself while it runs: counters and histograms, of nobody.

Whoever counts is given a `Tally` and adds to it; `omnibot.metrics` shows it where the operator
wants that, and `omnibot status` tells a little of it.  It lives in memory and begins at zero with
each start.  A label is a name that the operator or this program chose (a network, a skill, a
service of the configuration, an outcome), never a person, a room, an account, an address or what
somebody said.  And there is a bound on how many series one family may have: what comes beyond it
is counted under `OTHER`, so that nothing which goes wrong with a name can fill the memory.

All of it is counted on the loop's thread; nothing here locks.
"""

import time
from bisect import bisect_left
from collections.abc import Awaitable, Sequence

from omnibot.wire import Answer

OTHER = "other"
"""What a series is called that came when there were too many already."""

NAMED = "named"
"""The one label of all services at hosts that people named: what these are called is theirs."""

MOST_SERIES = 500
"""Series of one family."""

COMMAND_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
REQUEST_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
LAG_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds; each bucket holds what took at most so long."""

FAILED = frozenset({"failed", "timeout", "upstream", "storage", "vault"})
"""Outcomes of a command that are not its speaker's doing."""


class Counter:
    """How often something happened, by labels."""

    __slots__ = ("help", "labels", "most", "name", "values")

    def __init__(self, name: str, help: str, labels: Sequence[str], most: int = MOST_SERIES) -> None:  # noqa: A002
        """Count under *name*, which metrics show with ``_total`` behind it, at most *most* series."""
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.most = most
        self.values: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, by: int = 1) -> None:
        """Count *by* more under *labels*, one for each of the family's."""
        values = self.values
        if labels not in values:
            labels = _within(self, labels)
            values.setdefault(labels, 0)
        values[labels] += by

    @property
    def total(self) -> int:
        """All of it, whatever the labels."""
        return sum(self.values.values())


class Series:
    """The buckets of one histogram under the same labels."""

    __slots__ = ("buckets", "sum")

    def __init__(self, buckets: int) -> None:
        """Be empty."""
        self.buckets = [0] * buckets
        """How many fell into each, not those below it; the last is for what is above every bound."""

        self.sum = 0.0


class Histogram:
    """How long something took, by labels."""

    __slots__ = ("bounds", "help", "labels", "most", "name", "values")

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Sequence[str],
        bounds: tuple[float, ...],
        most: int = MOST_SERIES,
    ) -> None:
        """Count seconds under *name* in buckets up to each of *bounds*, at most *most* series."""
        self.name = name
        self.help = help
        self.labels = tuple(labels)
        self.bounds = bounds
        self.most = most
        self.values: dict[tuple[str, ...], Series] = {}

    def add(self, seconds: float, *labels: str) -> None:
        """Count something that took *seconds* under *labels*, one for each of the family's."""
        series = self.values.get(labels)
        if series is None:
            labels = _within(self, labels)
            series = self.values.setdefault(labels, Series(len(self.bounds) + 1))
        series.buckets[bisect_left(self.bounds, seconds)] += 1
        series.sum += seconds


class Tally:
    """Everything that is counted; one for each bot."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.messages = Counter("omnibot_messages", "Messages heard, commands or not.", ["network"])
        self.commands = Counter(
            "omnibot_commands", "Commands that ended, by how they did.", ["skill", "command", "outcome"]
        )
        self.command_seconds = Histogram(
            "omnibot_command_seconds",
            "How long commands ran, waiting for services and for answers of their speakers included.",
            ["skill"],
            COMMAND_BOUNDS,
        )
        self.replies = Counter(
            "omnibot_replies", "Replies handed to a network, by whether it took them.", ["network", "outcome"]
        )
        self.requests = Counter(
            "omnibot_requests",
            "Requests to services as somebody, and for renewals, by the class of the answer's status.",
            ["service", "status"],
        )
        self.request_seconds = Histogram(
            "omnibot_request_seconds", "How long those requests took.", ["service"], REQUEST_BOUNDS
        )
        self.renewals = Counter("omnibot_renewals", "Renewals of logins that ended.", ["service", "outcome"])
        self.links = Counter("omnibot_links", "Steps that links of accounts have taken.", ["service", "step"])
        self.revocations = Counter(
            "omnibot_revocations", "Tokens that were to be handed back to their service.", ["service", "outcome"]
        )
        self.limited = Counter("omnibot_rate_limited", "What was refused as too much, by the limit it met.", ["kind"])
        self.storage_trouble = Counter("omnibot_storage_trouble", "Times that the disk or a file failed.", ["kind"])
        self.loop_lag_seconds = Histogram(
            "omnibot_loop_lag_seconds", "How much later than due the loop came to its mark.", [], LAG_BOUNDS
        )

    @property
    def counters(self) -> tuple[Counter, ...]:
        """Every counter."""
        return tuple(one for one in vars(self).values() if isinstance(one, Counter))

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        """Every histogram."""
        return tuple(one for one in vars(self).values() if isinstance(one, Histogram))

    async def requested(self, service: str, sending: Awaitable[Answer]) -> Answer:
        """Return the answer of *sending*, a request to *service*, and count it; without an answer it is ``none``."""
        began, status = time.perf_counter(), "none"
        try:
            answer = await sending
            status = _CLASSES.get(answer.status // 100, OTHER)
            return answer
        finally:
            self.requests.add(service, status)
            self.request_seconds.add(time.perf_counter() - began, service)

    @property
    def failures(self) -> int:
        """Commands that failed, and not by their speaker's doing."""
        return sum(number for (*_, outcome), number in self.commands.values.items() if outcome in FAILED)


_CLASSES = {number: f"{number}xx" for number in range(1, 6)}


def service_label(key: str, *, by_operator: bool) -> str:
    """Return what the service *key*, as ``provider@instance``, is counted as: people's own hosts are all one."""
    return key if by_operator else NAMED


def _within(family: Counter | Histogram, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return *labels*, which are new to *family*, or what stands for them where it has too many."""
    assert len(labels) == len(family.labels), family.name
    return labels if len(family.values) < family.most else (OTHER,) * len(labels)
