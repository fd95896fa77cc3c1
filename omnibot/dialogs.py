"""Questions that wait for somebody's answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from omnibot.identity import Speaker
from omnibot.message import Message

ANSWER_SECONDS = 120.0
_MOST_EARLY = 10


class Cancelled(BaseException):
    """A question was not answered: they said so, a new command came, or two minutes passed.

    It ends the handler that asked.  No `Exception`, so that ``except Exception`` in a skill
    does not go on as if there had been an answer.
    """


class _Question(NamedTuple):
    """What waits, and what it was asked for."""

    id: str
    message: Message
    answer: asyncio.Future[Message]

    def takes(self, message: Message) -> bool:
        """Whether *message* answers it: one that picks does so of this very question."""
        fits = message.picks in ("", self.id)
        return fits and not self.answer.done() and (message.assurance or 0) >= (self.message.assurance or 0)


class Dialogs:
    """Who is being asked something where; at most one question for a speaker in one place."""

    def __init__(self) -> None:
        """Nobody is being asked."""
        self._waiting: dict[tuple[Speaker, str | None], _Question] = {}
        self._early: dict[str, list[Message]] = {}

    def __bool__(self) -> bool:
        """Whether anybody is being asked anything."""
        return bool(self._waiting or self._early)

    @contextmanager
    def asking(self, question: str) -> Iterator[None]:
        """Within, *question* may be picked for before `wait` is called: its reader can be faster than its receipt."""
        self._early[question] = []
        try:
            yield
        finally:
            self._early.pop(question, None)

    async def wait(self, message: Message, *, private: bool, question: str = "") -> Message:
        """Return the next thing that the speaker of *message* says there, or picks for *question*.

        Raises:
            Cancelled: a new command of theirs came instead, or nothing for two minutes.
        """
        key = (message.speaker, None if private else message.channel.id)
        self._cancel(key)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[key] = asked = _Question(question, message, future)
        for early in self._early.pop(question, ()):
            self.offer(early)
        timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()
            if self._waiting.get(key) is asked:
                del self._waiting[key]

    def offer(self, message: Message) -> bool:
        """Take *message* as an answer; return whether it was one."""
        for key in _keys(message):
            asked = self._waiting.get(key)
            if asked is not None and asked.takes(message):
                asked.answer.set_result(message)
                return True
        early = self._early.get(message.picks)
        if early is None or len(early) >= _MOST_EARLY:
            return False
        early.append(message)
        return True

    def cancel(self, message: Message) -> None:
        """End the question that *message*, a new command, leaves unanswered."""
        for key in _keys(message):
            self._cancel(key)

    def _cancel(self, key: tuple[Speaker, str | None]) -> None:
        asked = self._waiting.get(key)
        if asked is not None:
            _give_up(asked.answer)


def _give_up(future: asyncio.Future[Message]) -> None:
    if not future.done():
        future.set_exception(Cancelled())


def _keys(message: Message) -> list[tuple[Speaker, str | None]]:
    here = (message.speaker, message.channel.id)
    return [here, (message.speaker, None)] if message.channel.private else [here]
