"""A blocking call holds up neither the loop nor the end of the process."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from omnibot import threads
from omnibot.threads import TooManyThreadsError, in_thread


def failing() -> int:
    raise LookupError("mine")


async def test_a_call_runs_beside_the_loop() -> None:
    """In a thread that does not keep the process from ending; what it returns comes back."""
    gate = threading.Event()
    seen: list[threading.Thread] = []

    def call() -> int:
        seen.append(threading.current_thread())
        gate.wait(5)
        return 42

    task = asyncio.create_task(in_thread(call))
    async with asyncio.timeout(5):
        while not seen:  # noqa: ASYNC110 - a thread sets no event of the loop's
            await asyncio.sleep(0)
    running = not task.done()
    gate.set()

    assert 42 == await task
    assert running
    assert seen[0] is not threading.main_thread()
    assert seen[0].daemon


async def test_what_a_call_raises_is_raised() -> None:
    """As it is."""
    with pytest.raises(LookupError, match="mine"):
        await in_thread(failing)


@pytest.mark.parametrize("call", [lambda: 1, failing])
async def test_a_cancelled_call_is_let_go_on_alone(call: Callable[[], int]) -> None:
    """Nobody waits for it any more, whatever comes of it."""
    gate, ended = threading.Event(), threading.Event()

    def slow() -> int:
        gate.wait(5)
        try:
            return call()
        finally:
            ended.set()

    task = asyncio.create_task(in_thread(slow))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    ended.wait(5)
    await asyncio.sleep(0.01)

    assert task.cancelled()


async def test_so_many_that_are_stuck_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another is refused at once; when one has ended there is room again."""
    monkeypatch.setattr(threads, "_places", threading.BoundedSemaphore(2))
    gate = threading.Event()
    tasks = [asyncio.create_task(in_thread(lambda: gate.wait(5))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyThreadsError):
        await in_thread(lambda: 1)
    gate.set()
    await asyncio.gather(*tasks)

    assert 64 == threads.MOST_AT_ONCE
    assert 1 == await in_thread(lambda: 1)


def test_a_call_that_outlives_its_loop_tells_nobody() -> None:
    """The process is ending: there is nobody to tell."""
    gate, ended = threading.Event(), threading.Event()

    def slow() -> int:
        gate.wait(5)
        ended.set()
        return 1

    async def begin() -> None:
        task = asyncio.create_task(in_thread(slow))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(begin())
    before = [thread for thread in threading.enumerate() if thread.name == "omnibot-call"]
    gate.set()
    for thread in before:
        thread.join(5)

    assert ended.is_set()
    assert 1 == len(before)
