"""Saying a thing once, however often it is asked for."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any


class Once[T]:
    """What is done, or was, by its key: whoever comes with the same key gets the same result.

    What failed is forgotten, and may be tried again.  Who gives up waiting leaves it under way.
    """

    def __init__(self, most: int = 1000) -> None:
        """Remember the latest *most* keys."""
        self._most = most
        self._done: OrderedDict[str, asyncio.Task[T]] = OrderedDict()

    async def do(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do *work*, unless that was done under *key*; return what came of it.

        Raises:
            Exception: whatever *work* raises.
        """
        doing = self._done.get(key)
        if doing is None:
            # Mostly it is done at once, without a turn of the loop.
            doing = asyncio.eager_task_factory(asyncio.get_running_loop(), work())
            self._done[key] = doing
            if len(self._done) > self._most:
                self._done.popitem(last=False)
            if doing.done():
                self._ended(key, doing)
            else:
                doing.add_done_callback(partial(self._ended, key))
        return await asyncio.shield(doing)

    def _ended(self, key: str, doing: asyncio.Task[T]) -> None:
        if (doing.cancelled() or doing.exception() is not None) and self._done.get(key) is doing:
            del self._done[key]
