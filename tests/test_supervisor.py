"""An adapter that fails is started again after a growing pause; one that is refused is said once and left alone."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from omnibot.errors import Refused
from omnibot.message import Message
from omnibot.supervisor import Supervisor
from omnibot.testing.bench import ADA
from omnibot.testing.fakes import FakeAdapter


class Sleeper:
    """Sleeps no time, and stops the supervisor after so many pauses."""

    def __init__(self, most: int = 100) -> None:
        self.pauses: list[float] = []
        self.states: list[str] = []
        self.most = most
        self.supervisor: Supervisor | None = None

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.states.append(self.supervisor.state if self.supervisor else "")
        if len(self.pauses) >= self.most:
            raise asyncio.CancelledError


class Heard:
    """What a supervisor passes on."""

    def __init__(self) -> None:
        self.ready: list[tuple[str, str]] = []
        self.messages: list[Message] = []

    async def is_ready(self, network: str, realm: str) -> None:
        self.ready.append((network, realm))

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        self.messages += messages


def supervised(fake: Any, sleep: Callable[[float], Awaitable[None]], heard: Heard | None = None) -> Supervisor:
    heard = heard or Heard()
    supervisor = Supervisor("fake", fake, heard.deliver, heard.is_ready, sleep)
    if isinstance(sleep, Sleeper):
        sleep.supervisor = supervisor
    return supervisor


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnibot.supervisor.random.uniform", lambda low, high: (low + high) / 2)


class Failing:
    """An adapter that fails so many times, and then ends."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    async def run(self, deliver: Any, ready: Any) -> None:
        self.left -= 1
        if self.left >= 0:
            raise RuntimeError("canary")


async def test_it_runs_until_the_network_ends() -> None:
    """It tells when the network is ready and passes on what is heard."""
    fake, heard, sleep = FakeAdapter(), Heard(), Sleeper()
    supervisor = supervised(fake, sleep, heard)
    before = supervisor.state
    task = asyncio.create_task(supervisor.run())
    await fake.hear("hello", ADA)
    ready = supervisor.state
    fake.end_run()
    await task

    assert ("starting", "ready", "ended") == (before, ready, supervisor.state)
    assert [("fake", "fake.example")] == heard.ready
    assert ["hello"] == [one.text for one in heard.messages]
    assert [] == sleep.pauses


async def test_it_is_known_since_when_it_is_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing again and again is one state."""
    times, seen = itertools.count(100.0), list[tuple[str, float]]()
    monkeypatch.setattr("omnibot.supervisor.time.time", lambda: next(times))

    async def sleep(_: float) -> None:
        seen.append((supervisor.state, supervisor.since))
        if len(seen) == 3:
            raise asyncio.CancelledError

    supervisor = supervised(Failing(9), sleep)
    began = supervisor.since
    with pytest.raises(asyncio.CancelledError):
        await supervisor.run()

    assert ("waiting", seen[0][1]) == seen[0] == seen[2]
    assert began < seen[0][1]


@pytest.mark.usefixtures("no_jitter")
async def test_the_pauses_grow_up_to_five_minutes() -> None:
    """However often it fails, no number overflows; while it waits, it says so."""
    sleep = Sleeper(most=2000)
    with pytest.raises(asyncio.CancelledError):
        await supervised(Failing(9999), sleep).run()

    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] == sleep.pauses[:11]
    assert {300.0} == set(sleep.pauses[9:])
    assert {"waiting"} == set(sleep.states)


async def test_the_pauses_are_jittered() -> None:
    """Or all bots would come back at the same moment."""
    sleep = Sleeper(most=50)
    with pytest.raises(asyncio.CancelledError):
        await supervised(Failing(99), sleep).run()

    assert all(0.75 <= pause / min(2**n, 300) <= 1.25 for n, pause in enumerate(sleep.pauses))
    assert 10 < len({pause for pause in sleep.pauses if pause > 200})


@pytest.mark.usefixtures("no_jitter")
async def test_after_a_steady_minute_the_next_failure_is_the_first_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that fell over once a day is back at once."""
    now = [0.0]
    monkeypatch.setattr("omnibot.supervisor.time.monotonic", lambda: now[0])
    runs = [1.0, 1.0, 61.0, 1.0]

    class Steady:
        async def run(self, deliver: Any, ready: Any) -> None:
            if not runs:
                return
            now[0] += runs.pop(0)
            raise RuntimeError

    sleep = Sleeper()
    await supervised(Steady(), sleep).run()

    assert [1, 2, 1, 2] == sleep.pauses


async def test_a_failure_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """With the kind of error and the pause; its text may hold anything and is for debugging."""
    caplog.set_level(logging.INFO, "omnibot.supervisor")
    await supervised(Failing(1), Sleeper()).run()

    assert 1 == len(caplog.records)
    assert "fake failed (RuntimeError); next try in" in caplog.text
    assert "canary" not in caplog.text


async def test_a_refusal_is_said_once_with_its_cure(caplog: pytest.LogCaptureFixture) -> None:
    """And not tried again: the operator has to do something."""
    fake, sleep = FakeAdapter(), Sleeper()
    fake.fail_run(Refused("the token is wrong", cure="Put the right one into the configuration."))
    supervisor = supervised(fake, sleep)
    async with asyncio.timeout(2):
        await supervisor.run()

    assert "refused" == supervisor.state
    assert [] == sleep.pauses
    assert 1 == fake.runs
    assert ["fake turned the bot away: the token is wrong. Put the right one into the configuration."] == [
        record.getMessage() for record in caplog.records
    ]


async def test_it_comes_back_after_a_failure() -> None:
    """As if nothing had been."""
    fake, heard, sleep = FakeAdapter(), Heard(), Sleeper()
    supervisor = supervised(fake, sleep, heard)
    fake.fail_run(RuntimeError("down"))
    task = asyncio.create_task(supervisor.run())
    await fake.hear("hello", ADA)
    fake.end_run()
    await task

    assert 2 == fake.runs
    assert 1 == len(sleep.pauses)
    assert ["hello"] == [one.text for one in heard.messages]


async def test_cancelling_ends_it() -> None:
    """At the end of the bot."""
    fake = FakeAdapter()
    task = asyncio.create_task(supervised(fake, Sleeper()).run())
    await fake.hear("hello", ADA)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
