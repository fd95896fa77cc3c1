"""Blocking calls, off the loop.

Each runs in a daemon thread of its own: one that never returns holds up neither the loop's
own executor (which resolves names) nor the end of the process.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

MOST_AT_ONCE = 64

_places = threading.BoundedSemaphore(MOST_AT_ONCE)


class TooManyThreadsError(RuntimeError):
    """So many blocking calls are stuck that another is not begun."""


async def in_thread[T](call: Callable[[], T]) -> T:
    """Run *call* in a thread and return what it returns; cancelled, it is let go on alone.

    Raises:
        TooManyThreadsError: 64 are under way.
    """
    if not _places.acquire(blocking=False):
        raise TooManyThreadsError("too many blocking calls are under way")
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            outcome: Callable[[], None] = _settled(future, call())
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            outcome = _failed(future, error)
        finally:
            _places.release()
        if not loop.is_closed():
            loop.call_soon_threadsafe(outcome)

    threading.Thread(target=work, name="omnibot-call", daemon=True).start()
    return await future


async def in_own_thread[T](call: Callable[[], T]) -> T:
    """Run *call* in a thread of its own, however many others are stuck; cancelled, the process waits for its end."""
    pool = ThreadPoolExecutor(1, "omnibot-own")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, call)
    finally:
        pool.shutdown(wait=False)


def _settled[T](future: asyncio.Future[T], result: T) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_result(result)


def _failed[T](future: asyncio.Future[T], error: BaseException) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_exception(error)
