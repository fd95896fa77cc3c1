"""The same key, the same result."""

import asyncio

import pytest

from omnibot.once import Once


class Work:
    """Counts how often it is done; waits for *gate*, fails while *bad*."""

    def __init__(self) -> None:
        self.times = 0
        self.gate = asyncio.Event()
        self.bad = False

    async def __call__(self) -> int:
        self.times += 1
        await self.gate.wait()
        if self.bad:
            raise ValueError("bad")
        return self.times


@pytest.fixture
def work() -> Work:
    return Work()


async def test_it_is_done_once(work: Work) -> None:
    """At the same time, and later."""
    once: Once[int] = Once()
    both = asyncio.gather(once.do("a", work), once.do("a", work))
    await asyncio.sleep(0)
    work.gate.set()

    assert (1, 1) == tuple(await both)
    assert 1 == await once.do("a", work)
    assert 2 == await once.do("b", work)


async def test_who_gives_up_finds_it_under_way(work: Work) -> None:
    """It is not cancelled with them."""
    once: Once[int] = Once()
    first = asyncio.create_task(once.do("a", work))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    work.gate.set()

    assert 1 == await once.do("a", work)


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_failed_may_be_tried_again(work: Work, at_once: bool) -> None:
    """The failure is told to whoever waited."""
    once: Once[int] = Once()
    work.bad = True
    if at_once:
        work.gate.set()
    else:
        asyncio.get_running_loop().call_later(0.01, work.gate.set)
    with pytest.raises(ValueError, match="bad"):
        await once.do("a", work)
    work.bad = False

    assert 2 == await once.do("a", work)


async def test_only_the_latest_are_remembered(work: Work) -> None:
    """Or it would grow for ever."""
    once: Once[int] = Once(2)
    work.gate.set()
    for key in "abc":
        await once.do(key, work)

    assert 3 == await once.do("c", work)
    assert 4 == await once.do("a", work)
