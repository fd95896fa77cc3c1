"""What is begun runs in each speaker's order, within bounds, and ends with the bot."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from omnibot import runner as module
from omnibot.identity import Guest, Speaker
from omnibot.runner import Place, Runner
from omnibot.testing.bench import ADA, GRACE


class Log:
    """Work that notes when it begins and ends."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.gate = asyncio.Event()

    def work(self, name: str) -> Callable[[Place], Coroutine[Any, Any, None]]:
        async def run(place: Place) -> None:
            self.done.append(f"{name} begins")
            await self.gate.wait()
            self.done.append(f"{name} ends")

        return run


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture
def log() -> Log:
    return Log()


async def rounds(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_speakers_work_is_done_in_order_and_anothers_beside_it(runner: Runner, log: Log) -> None:
    """Guests have an order too."""
    speakers: list[Speaker] = [ADA, ADA, GRACE, Guest("fake", "bob")]
    for speaker, name in zip(speakers, ("a1", "a2", "g", "b"), strict=True):
        assert runner.in_order(speaker, log.work(name), name)
    await rounds()
    begun = list(log.done)
    log.gate.set()
    await runner.settle()

    assert ["a1 begins", "g begins", "b begins"] == begun
    assert log.done.index("a1 ends") < log.done.index("a2 begins")
    assert 8 == len(log.done)
    assert {} == runner._lanes


async def test_what_is_not_to_start_does_not(runner: Runner, log: Log) -> None:
    """It is asked when its turn has come, and not before."""
    asked: list[str] = []

    def start(name: str, answer: bool) -> Callable[[], Awaitable[bool]]:
        async def ask() -> bool:
            asked.append(name)
            return answer

        return ask

    runner.in_order(ADA, log.work("one"), "one", start("one", True))
    runner.in_order(ADA, log.work("two"), "two", start("two", False))
    await rounds()
    before = list(asked)
    log.gate.set()
    await runner.settle()

    assert ["one"] == before
    assert ["one", "two"] == asked
    assert ["one begins", "one ends"] == log.done


async def test_too_many_are_refused_and_it_is_said_once(runner: Runner, log: Log) -> None:
    """Until the order has been worked off."""
    taken = [runner.in_order(ADA, log.work(str(n)), str(n)) for n in range(module.MOST_WAITING)]
    refused = [runner.in_order(ADA, log.work("x"), "x") for _ in range(3)]
    other = runner.in_order(GRACE, log.work("g"), "g")
    log.gate.set()
    await runner.settle()
    again = runner.in_order(ADA, log.work("y"), "y")
    await runner.settle()

    assert 20 == module.MOST_WAITING
    assert {True} == set(taken)
    assert [None, False, False] == refused
    assert other
    assert again
    assert "x begins" not in log.done


async def test_who_is_away_lets_the_next_one_run_and_waits_to_come_back(runner: Runner, log: Log) -> None:
    """`settle` does not wait for who is away."""
    answer = asyncio.Event()

    async def asks(place: Place) -> None:
        log.done.append("asks")
        async with place.away():
            await answer.wait()
        log.done.append("back")

    runner.in_order(ADA, asks, "asks")
    runner.in_order(ADA, log.work("next"), "next")
    await rounds()
    meanwhile = list(log.done)
    answer.set()
    await rounds()
    still = list(log.done)
    log.gate.set()
    await runner.settle()

    assert ["asks", "next begins"] == meanwhile == still
    assert ["asks", "next begins", "next ends", "back"] == log.done


async def test_settling_does_not_wait_for_questions(runner: Runner) -> None:
    """But for everything else."""
    never = asyncio.Event()

    async def asks(place: Place) -> None:
        async with place.away():
            await never.wait()

    runner.in_order(ADA, asks, "asks")
    async with asyncio.timeout(1):
        await rounds()
        await runner.settle()
    await runner.close(1.0)

    assert set() == runner._tasks


async def test_who_fails_while_away_takes_nobodys_place(runner: Runner, log: Log) -> None:
    """The next one's place is still the next one's."""
    failed = asyncio.Event()

    async def asks(place: Place) -> None:
        try:
            async with place.away():
                await failed.wait()
                raise LookupError
        except LookupError:
            log.done.append("failed")

    runner.in_order(ADA, asks, "asks")
    runner.in_order(ADA, log.work("next"), "next")
    runner.in_order(ADA, log.work("last"), "last")
    await rounds()
    failed.set()
    await rounds()
    before = list(log.done)
    log.gate.set()
    await runner.settle()

    assert ["next begins", "failed"] == before
    assert ["next begins", "failed", "next ends", "last begins", "last ends"] == log.done


async def test_a_flood_on_one_network_holds_up_that_network_alone(
    runner: Runner, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its adapter waits until something has ended."""
    monkeypatch.setattr(module, "MOST_A_NETWORK", 2)

    async def work() -> None:
        await log.gate.wait()

    for number in range(2):
        runner.spawn(work(), str(number), "libera")
    async with asyncio.timeout(1):
        await runner.room("oftc")
    waits = asyncio.create_task(runner.room("libera"))
    await rounds()
    held = not waits.done()
    log.gate.set()
    async with asyncio.timeout(1):
        await waits
    await runner.settle()

    assert held
    assert not runner._load


async def test_what_fails_is_logged_and_stops_nothing(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """With the name it was given."""

    async def fail() -> None:
        raise RuntimeError

    runner.spawn(fail(), "a thing", "libera")
    await runner.settle()
    await rounds()

    assert "the task a thing failed" in caplog.text
    assert caplog.records[0].exc_info is not None


async def test_closing_lets_what_runs_end(runner: Runner, log: Log) -> None:
    """Within its grace."""
    runner.in_order(ADA, log.work("one"), "one")
    await rounds()
    asyncio.get_running_loop().call_later(0.01, log.gate.set)
    await runner.close(5.0)

    assert ["one begins", "one ends"] == log.done


async def test_closing_stops_what_does_not_end(runner: Runner, log: Log, caplog: pytest.LogCaptureFixture) -> None:
    """And says how many."""
    for speaker in (ADA, GRACE):
        runner.in_order(speaker, log.work(speaker.subject), "x")
    await rounds()
    async with asyncio.timeout(1):
        await runner.close(0.01)

    assert ["u-1 begins", "u-2 begins"] == log.done
    assert "2 commands did not end in time and are stopped" in caplog.text
    assert {} == runner._lanes


async def test_giving_up_a_place_twice_is_no_harm(runner: Runner, log: Log) -> None:
    """It gives nobody's away."""

    async def work(place: Place) -> None:
        place.give_up()
        place.give_up()
        await log.gate.wait()

    runner.in_order(ADA, work, "one")
    runner.in_order(ADA, log.work("two"), "two")
    runner.in_order(ADA, log.work("three"), "three")
    await rounds()
    begun = list(log.done)
    log.gate.set()
    await runner.settle()

    assert ["two begins"] == begun


async def test_an_orphan_of_a_handler_keeps_nobody_waiting(runner: Runner, log: Log) -> None:
    """It asked in a task of its own, which outlived the command: its place is not held for ever."""
    answer, orphans = asyncio.Event(), []

    async def asks(place: Place) -> None:
        async with place.away():
            await answer.wait()

    async def careless(place: Place) -> None:
        orphans.append(asyncio.create_task(asks(place)))
        await asyncio.sleep(0)

    runner.in_order(ADA, careless, "careless")
    runner.in_order(ADA, log.work("next"), "next")
    log.gate.set()
    await rounds()
    answer.set()
    await asyncio.gather(*orphans)
    runner.in_order(ADA, log.work("last"), "last")
    async with asyncio.timeout(1):
        await runner.settle()

    assert ["next begins", "next ends", "last begins", "last ends"] == log.done


async def test_a_place_is_held_once(runner: Runner, log: Log) -> None:
    """Two questions of one command at once give one place up, and take one again."""
    answers = [asyncio.Event(), asyncio.Event()]

    async def asks(place: Place, answer: asyncio.Event) -> None:
        async with place.away():
            await answer.wait()

    async def both(place: Place) -> None:
        await asyncio.gather(*(asks(place, answer) for answer in answers))
        log.done.append("both")

    runner.in_order(ADA, both, "both")
    await rounds()
    for answer in answers:
        answer.set()
        await rounds()
    runner.in_order(ADA, log.work("next"), "next")
    log.gate.set()
    async with asyncio.timeout(1):
        await runner.settle()

    assert ["both", "next begins", "next ends"] == log.done
