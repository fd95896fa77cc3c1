"""What services say of how often they want to be asked."""

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from omnibot.trouble import limit_spent, poll_interval, trouble
from omnibot.wire import Answer


def after(answer: dict[str, str]) -> float:
    """Return the seconds to wait, roughly."""
    return round(limit_spent(Answer(200, answer)) / 10) * 10


def epoch(seconds: float) -> str:
    """Return a time as GitHub and X write it."""
    return str(int(time.time() + seconds))


def iso(seconds: float) -> str:
    """Return a time as Mastodon writes it."""
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat().replace("+00:00", "Z")


def test_a_limit_that_is_spent() -> None:
    """By whatever name, and however the time is written."""
    assert 300 == after({"x-ratelimit-remaining": "0", "x-ratelimit-reset": epoch(300)})
    assert 300 == after({"x-rate-limit-remaining": "0", "x-rate-limit-reset": epoch(300)})
    assert 300 == after({"x-ratelimit-remaining": "0", "x-ratelimit-reset": iso(300)})
    assert 300 == after({"ratelimit-remaining": "0", "ratelimit-reset": "300"})
    assert 300 == after({"x-ratelimit-remaining": "0.0", "x-ratelimit-reset": "300"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "300"},
        {"x-ratelimit-remaining": "0"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000000001"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "nan"},
        {"x-ratelimit-remaining": "-", "x-ratelimit-reset": "300"},
    ],
)
def test_none_is_spent(headers: dict[str, str]) -> None:
    """Nor does what says nothing, or what is over, hold anybody up."""
    assert 0 == limit_spent(Answer(200, headers))


def test_nobody_waits_longer_than_a_day() -> None:
    """Whatever a service says."""
    far = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": epoch(1e7), "x-poll-interval": "999999999"}

    assert 86400 == limit_spent(Answer(200, far)) == poll_interval(Answer(200, far))
    assert 60 == poll_interval(Answer(304, {"x-poll-interval": "60"}))
    assert 0 == poll_interval(Answer(200, {"x-poll-interval": "-1"}))


@pytest.mark.parametrize("status", [403, 429])
def test_a_spent_limit_is_no_refusal(status: int) -> None:
    """GitHub says 403 for it, X 429 without Retry-After: the sentence is about patience, and says how much."""
    answer = Answer(status, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "90"})
    error = trouble(SimpleNamespace(title="GitHub"), answer)  # type: ignore[arg-type]

    assert "GitHub asks you to slow down. Try again in 90 seconds." == str(error)
    assert 90 == error.retry_after


def test_a_refusal_stays_one() -> None:
    """Though its limit is told."""
    answer = Answer(403, {"x-ratelimit-remaining": "12", "x-ratelimit-reset": "90"})

    assert "does not allow you that" in str(trouble(SimpleNamespace(title="GitHub"), answer))  # type: ignore[arg-type]
