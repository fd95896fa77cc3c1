"""When the loop is held, the watchdog says who holds it, while it is still held."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from omnibot.watchdog import Watchdog, describe


def hold_the_loop(seconds: float) -> None:
    """Block, as a careless handler does."""
    time.sleep(seconds)


async def watched(watchdog: Watchdog, work: Callable[[], object]) -> None:
    """Let a task called ``careless`` do *work* while *watchdog* watches."""
    task = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0)

    async def careless() -> None:
        work()

    await asyncio.create_task(careless(), name="careless")
    await asyncio.sleep(0.15)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_names_the_task_and_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """Once, however long it goes on; the longest hold is remembered."""
    watchdog = Watchdog(limit=0.1)
    await watched(watchdog, lambda: hold_the_loop(0.4))

    assert 1 == len([one for one in caplog.records if "careless" in one.getMessage()])
    assert "the loop is held by careless at hold_the_loop (test_watchdog.py:" in caplog.text
    assert 0.25 < watchdog.worst < 1.0


class Stop:
    """The sign to stop, given after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def wait(self, seconds: float) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_it_complains_once_and_not_about_the_beat_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mark is set every tenth of a second: a younger one than that and the limit says nothing."""
    watchdog, loop = Watchdog(limit=0.1), asyncio.new_event_loop()
    said = []
    for ages in ([0.05, 0.15, 0.19], [0.15, 0.21, 0.5]):
        times = iter(ages)
        with monkeypatch.context() as patch:
            patch.setattr(watchdog, "_mark", 1.0)
            patch.setattr(watchdog, "_stop", Stop(len(ages)))
            patch.setattr("omnibot.watchdog.time.monotonic", lambda times=times: 1.0 + next(times))
            watchdog._watch(loop, 0)
        said.append(len(caplog.records))
    loop.close()

    assert [0, 1] == said


async def test_its_thread_ends_with_it() -> None:
    """Nothing keeps the process from ending."""
    await watched(Watchdog(limit=0.5), lambda: None)
    left = [thread for thread in threading.enumerate() if thread.name == "omnibot-watchdog"]
    for thread in left:
        thread.join(2)

    assert not any(thread.is_alive() for thread in left)


async def test_who_runs_is_described_by_name_and_the_innermost_lines() -> None:
    """From another thread, as the watchdog looks."""
    loop, thread = asyncio.get_running_loop(), threading.get_ident()
    said: list[str] = []
    task = asyncio.current_task()
    assert task is not None
    task.set_name("somebody")
    other = threading.Thread(target=lambda: said.append(describe(loop, thread)))
    other.start()
    other.join()

    assert said[0].startswith("somebody at ")
    assert 3 == len(said[0].partition(" at ")[2].split(" < "))


def test_a_loop_with_no_task_is_held_by_a_callback() -> None:
    """And a thread that is gone stands nowhere."""
    loop = asyncio.new_event_loop()
    said = describe(loop, 0)
    loop.close()

    assert "a callback at " == said
