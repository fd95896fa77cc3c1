"""A clock that is off is noticed by what others say the time is."""

from email.utils import formatdate

import pytest

from omnibot.clocks import ahead, clock_finding

NOW = 1_800_000_000.0


@pytest.mark.parametrize("off", [-300.0, 0.0, 45.0])
def test_how_far_it_is_ahead(off: float) -> None:
    """Within a second: that is as finely as the header tells it."""
    headers = {"date": formatdate(NOW - off, usegmt=True)}
    found = ahead(headers, NOW - 0.2, NOW + 0.2)

    assert found is not None
    assert abs(found - off) <= 1.0


@pytest.mark.parametrize(
    "headers",
    [{}, {"date": "yesterday"}, {"date": formatdate(NOW, usegmt=True), "age": "400"}, {"date": "Mon, 99 Foo 0 x"}],
    ids=["none", "no date", "from a cache", "nonsense"],
)
def test_who_does_not_say_is_not_compared_with(headers: dict[str, str]) -> None:
    """A cache hands on what time it was."""
    assert ahead(headers, NOW, NOW) is None


@pytest.mark.parametrize(
    ("off", "level", "says"),
    [
        (2.0, "good", "agrees with that of a.example"),
        (-31.0, "note", "31 seconds behind that of a.example"),
        (121.0, "wrong", "121 seconds ahead of that of a.example"),
    ],
)
def test_what_is_said(off: float, level: str, says: str) -> None:
    """Half a minute is noted, two are wrong; with the cure."""
    found = clock_finding({"a.example": off})

    assert found is not None
    assert level == found.level
    assert says in found.what
    assert (level != "good") == bool(found.why and found.cure)


def test_one_that_is_wrong_by_itself_says_nothing() -> None:
    """The middle one counts."""
    found = clock_finding({"a": 0.0, "b": 900.0, "c": 1.0, "d": -1.0, "e": 0.5})

    assert found is not None
    assert "This machine's clock agrees with that of a, b, c, …." == found.what


def test_where_nobody_was_asked_nothing_is_said() -> None:
    """It is no finding."""
    assert clock_finding({}) is None
