"""Lines go out in order, all of them, no faster than the network takes them, and everybody has a turn."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.irc.flood import Flood, Pace


@dataclass(frozen=True)
class Line:
    """A line of *size* bytes, the *number*th of all."""

    target: str | None
    number: int
    size: int

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True)
class Sent:
    """A line, and when it went."""

    at: float
    line: Line


PACES = st.builds(
    Pace,
    lines=st.integers(0, 8),
    seconds=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    bytes=st.sampled_from([0, 60, 120]),
)
TARGETS = st.sampled_from(["#a", "#b", "carol", "dave"])
# What is pushed, and how long it is until the next.
PUSHES = st.lists(st.tuples(st.none() | TARGETS, st.integers(1, 512), st.sampled_from([0.0, 0.0, 0.0, 0.3, 7.0])))


def sent(pace: Pace, pushes: list[tuple[str | None, int, float]]) -> tuple[list[Line], list[Sent]]:
    """Return the lines that were pushed, and all that went: each as soon as it may."""
    flood = Flood[Line](pace, depth=1000)
    pushed, gone, now = [], [], 100.0
    for number, (target, size, pause) in enumerate(pushes):
        line = Line(target, number, size)
        flood.push(target, line)
        pushed.append(line)
        gone += until(flood, now, now + pause)
        now += pause
    return pushed, gone + until(flood, now, 1e9)


def until(flood: Flood[Line], now: float, end: float) -> list[Sent]:
    """Return what goes from *now* until *end*, as a driver that sleeps until `next_at` sends it."""
    gone = []
    while (at := flood.next_at) is not None and (now := max(now, at)) <= end:
        line = flood.pop(now)
        assert line is not None, "what is due is given"
        gone.append(Sent(now, line))
    return gone


@given(PACES, PUSHES)
def test_nothing_is_lost_and_each_target_keeps_its_order(
    pace: Pace, pushes: list[tuple[str | None, int, float]]
) -> None:
    """Every line goes once, after those of its target that came before it."""
    pushed, gone = sent(pace, pushes)
    orders: dict[str | None, list[int]] = defaultdict(list)
    for one in gone:
        orders[one.line.target].append(one.line.number)

    assert pushed == sorted((one.line for one in gone), key=lambda line: line.number)
    assert all(order == sorted(order) for order in orders.values())


@given(PACES, PUSHES)
def test_the_rate_is_never_exceeded(pace: Pace, pushes: list[tuple[str | None, int, float]]) -> None:
    """By a server's own account, an ordinary line is never further ahead than the burst, or than itself alone."""
    since = 0.0
    for one in sent(pace, pushes)[1]:
        cost = pace.seconds and pace.seconds + (one.line.size // pace.bytes if pace.bytes else 0)
        since = max(since, one.at) + cost
        if one.line.target is not None:
            assert since - one.at <= max(pace.lines * pace.seconds, cost) + 1e-6


@given(PACES, PUSHES)
def test_nobody_waits_for_more_than_a_line_of_each_other(
    pace: Pace, pushes: list[tuple[str | None, int, float]]
) -> None:
    """Between two lines of a target that has more to say, each other target says at most one."""
    flood = Flood[Line](pace, depth=1000)
    for number, (target, size, _) in enumerate(pushes):
        flood.push(target, Line(target, number, size))
    gone = [one.line.target for one in until(flood, 0.0, 1e9) if one.line.target is not None]
    for target in set(gone):
        turns = [-1, *(at for at, one in enumerate(gone) if one == target)]
        for before, after in pairwise(turns):
            between = gone[before + 1 : after]
            assert len(between) == len(set(between))


def test_a_long_answer_holds_up_nobody() -> None:
    """Who asks for one line while a hundred wait for somebody else is next but one."""
    flood = Flood[Line](Pace(), depth=100)
    for number in range(100):
        flood.push("#busy", Line("#busy", number, 100))
    gone = until(flood, 0.0, 30.0)
    flood.push("ada", Line("ada", 100, 100))
    after = until(flood, 30.0, 36.0)

    assert 5 + 15 == len(gone)
    assert ["#busy", "ada", "#busy"] == [one.line.target for one in after]


def test_the_defaults_are_five_lines_then_one_each_two_seconds() -> None:
    """As RFC 1459 counts, and Libera."""
    flood = Flood[Line](Pace())
    for number in range(8):
        flood.push("#a", Line("#a", number, 100))

    assert [0, 0, 0, 0, 0, 2, 4, 6] == [one.at for one in until(flood, 0.0, 100.0)]


def test_long_lines_count_for_more() -> None:
    """A line of 510 bytes is as good as three."""
    flood = Flood[Line](Pace())
    for number in range(4):
        flood.push("#a", Line("#a", number, 510))

    assert [0, 2, 8, 14] == [one.at for one in until(flood, 0.0, 100.0)]


def test_zero_is_off() -> None:
    """Without a price, lines go as they come."""
    flood = Flood[Line](Pace(seconds=0))
    for number in range(50):
        flood.push("#a", Line("#a", number, 510))

    assert {3.0} == {one.at for one in until(flood, 3.0, 100.0)}


def test_a_line_that_costs_more_than_the_burst_goes_when_nothing_is_owed() -> None:
    """However small the burst, every line has its time."""
    flood = Flood[Line](Pace(lines=0))
    for number in range(2):
        flood.push("#a", Line("#a", number, 510))

    assert [0, 6] == [one.at for one in until(flood, 0.0, 100.0)]


def test_a_pong_waits_for_nothing_and_is_counted() -> None:
    """What keeps the connection alive goes first and at once; what comes after pays for it."""
    flood = Flood[Line](Pace())
    for number in range(7):
        flood.push("#a", Line("#a", number, 100))
    until(flood, 0.0, 0.0)
    flood.push(None, Line(None, 7, 20))

    assert flood.next_at is not None
    assert flood.next_at <= 0.0
    assert [(0.5, 7), (4, 5), (6, 6)] == [(one.at, one.line.number) for one in until(flood, 0.5, 100.0)]


def test_too_soon_is_nothing() -> None:
    """A driver that comes early or in vain is given nothing, and nothing is counted."""
    flood = Flood[Line](Pace(lines=1))
    nothing = flood.pop(0.0), flood.next_at
    for number in range(2):
        flood.push("#a", Line("#a", number, 100))
    popped = [flood.pop(at) for at in (0.0, 1.9, 1.99, 2.0, 9.0)]

    assert (None, None) == nothing
    assert [0, None, None, 1, None] == [line and line.number for line in popped]


def test_a_full_queue_takes_no_more_and_drops_nothing() -> None:
    """Who has more to say waits until there is room; others, and what is urgent, do not."""
    flood = Flood[Line](Pace(seconds=0), depth=2, total=3)
    for number in range(2):
        flood.push("#a", Line("#a", number, 9))
    rooms = [flood.has_room("#a"), flood.has_room("#b")]
    with pytest.raises(OverflowError):
        flood.push("#a", Line("#a", 9, 9))
    flood.push("#b", Line("#b", 2, 9))
    rooms.append(flood.has_room("#c"))
    flood.push(None, Line(None, 3, 9))
    waiting = len(flood)
    for _ in range(2):
        flood.pop(0.0)

    assert [False, True, False] == rooms
    assert 4 == waiting
    assert flood.has_room("#a")


def test_what_waits_can_be_taken_out() -> None:
    """When the connection is gone, what was not sent is there to be told of."""
    flood = Flood[Line](Pace(lines=1))
    lines = [Line("#a", 0, 9), Line("#a", 1, 9), Line("#b", 2, 9), Line(None, 3, 9)]
    for line in lines:
        flood.push(line.target, line)
    drained = flood.drain()

    assert [(None, lines[3]), ("#a", lines[0]), ("#a", lines[1]), ("#b", lines[2])] == drained
    assert (0, None, None) == (len(flood), flood.next_at, flood.pop(100.0))
    assert flood.has_room("#a")


def test_urgent_lines_are_not_without_end() -> None:
    """A server that asks and asks, and takes no answer."""
    flood: Flood[Line] = Flood(Pace(), total=3)
    for number in range(3):
        flood.push(None, Line(None, number, 20))

    with pytest.raises(OverflowError, match="nobody takes them"):
        flood.push(None, Line(None, 3, 20))
    assert 3 == len(flood)
