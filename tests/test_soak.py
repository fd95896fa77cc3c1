"""A short soak: the long one is `make soak`."""

import time
from pathlib import Path

import pytest

from bench.soak.chaos import Trouble
from bench.soak.judge import broken, lost
from bench.soak.people import Order, Outcome, Person
from bench.soak.run import Plan, soak
from bench.soak.town import Said, Town
from omnibot.demo.provider import DemoProvider

PLAN = Plan(people=8, pace=4, kill_every=4, cut_every=6, seed=3, calm=0.5, thinks=1, patience=6)


async def test_nothing_is_lost_or_done_twice_whatever_is_killed(tmp_path: Path) -> None:
    """A real bot that is killed and cut off while people link and act, and a service that comes and goes."""
    report = await soak(tmp_path, PLAN)

    assert [] == report.broken, str(report)
    assert report.trouble.kills or report.trouble.cuts
    assert report.orders["written"] >= PLAN.people


def person(*orders: tuple[str, Outcome, float, float]) -> Person:
    """Return somebody who said the notes of *orders*: what came of each, when it was asked and when that was known."""
    one = Person(1, Town(), 1)
    one.orders = [Order(note, one.login, asked, outcome, ended) for note, outcome, asked, ended in orders]
    return one


@pytest.mark.parametrize(
    ("orders", "notes", "kills", "wrong"),
    [
        ([("p1-0", "written", 1, 2)], {"user-1": ["p1-0"]}, [], 0),
        ([("p1-0", "written", 1, 2)], {}, [], 1),
        ([("p1-0", "written", 1, 2)], {"user-1": ["p1-0", "p1-0"]}, [], 1),
        ([("p1-0", "written", 1, 2)], {"user-1": ["p1-0", "p2-0"]}, [], 1),
        ([("p1-0", "not run", 1, 2)], {"user-1": ["p1-0"]}, [], 1),
        ([("p1-0", "failed", 1, 2)], {"user-1": ["p1-0"]}, [], 0),
        ([("p1-0", "silent", 1, 9)], {}, [], 1),
        ([("p1-0", "silent", 1, 9)], {}, [5], 0),
        ([("p1-0", "silent", 1, 9)], {}, [10], 1),
        ([("p1-0", "silent", 1, 9), ("p1-1", "silent", 1, 9)], {}, [5], 1),
        ([("p1-0", "silent", 1, 9), ("p1-1", "silent", 1, 9)], {}, [5, 6], 0),
    ],
)
def test_what_must_not_be_is_seen(
    orders: list[tuple[str, Outcome, float, float]], notes: dict[str, list[str]], kills: list[float], wrong: int
) -> None:
    """Written for nothing, twice, as somebody else, or never answered without a kill that would excuse it."""
    service = DemoProvider()
    for user, texts in notes.items():
        service._api._notes[user] = dict(enumerate(texts))

    found = broken([person(*orders)], service, Trouble(kills=kills))

    assert wrong == len(found), found


def test_an_answer_that_was_kept_is_one() -> None:
    """It comes when its reader speaks again, and says not to what; one of two is not enough."""
    one = person(("p1-0", "silent", 1, 9), ("p1-1", "silent", 1, 9))
    one._hear(Said("Note 3 is written as user-1.", "", "", 10.0))
    enough = list(lost([one], Trouble(kills=[5])))
    too_few = list(lost([one], Trouble()))

    assert [] == enough
    assert ["p1-1 was never answered"] == too_few


def test_who_is_told_another_name_is_seen() -> None:
    """Be it in the answer alone."""
    one = person()
    order = Order("p1-0", "user-1", time.monotonic())
    one._judge(order, "Note 3 is written as user-2.")

    assert ["p1 was told: Note 3 is written as user-2."] == broken([one], DemoProvider(), Trouble())
