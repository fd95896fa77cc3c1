"""What a trial needs of a test: a configuration, and somebody who reads what it says and answers."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from omnibot.config import Settings, load
from omnibot.linking.ways import Wanted
from omnibot.trial import Talk, try_out

type Visit = Callable[[str], Awaitable[str]]
"""Opens an address in a browser, goes on to the end, and returns where it ended."""

_ADDRESS = re.compile(r"^  (https?://\S+)$", re.MULTILINE)


async def nobody(url: str) -> str:
    """Open nothing."""
    return ""


class Operator:
    """Whoever runs a trial: opens in a browser what it says, and types *typed* where it asks."""

    def __init__(self, visit: Visit = nobody, *typed: str) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self._visit = visit
        self._typed = list(typed)
        self._visits: asyncio.Future[str] | None = None
        self._acts: list[tuple[str, Callable[[str], Awaitable[None]]]] = []

    def on(self, words: str, act: Callable[[str], Awaitable[None]]) -> None:
        """Do *act* with what is said, once it has *words* in it."""
        self._acts.append((words, act))

    @property
    def talk(self) -> Talk:
        """How the trial speaks with them."""
        return Talk(self._hear, self._answer, self._answer)

    @property
    def text(self) -> str:
        """All that the trial has said."""
        return "\n".join(self.said)

    def _hear(self, text: str) -> None:
        self.said.append(text)
        if found := _ADDRESS.search(text):
            self._visits = asyncio.ensure_future(self._visit(found[1]))
        for words, act in self._acts:
            if words in text:
                self._visits = asyncio.ensure_future(_done(act(text)))

    async def _answer(self, prompt: str) -> str:
        self.asked.append(prompt)
        if self._typed:
            return self._typed.pop(0)
        return await self._visits if self._visits is not None else ""

    async def try_(self, name: str, config: str, *, wanted: Wanted = "best", wait: float = 20.0) -> bool:
        """Try *name* in a bot configured by *config*, in the folder we are in."""
        try:
            return await try_out(_read(config), name, self.talk, wanted=wanted, wait=wait)
        finally:
            if self._visits is not None:
                self._visits.cancel()
                await asyncio.wait([self._visits])


async def _done(act: Awaitable[None]) -> str:
    await act
    return ""


def _read(config: str) -> Settings:
    path = Path("config.yaml")
    path.write_text(config, encoding="utf-8")
    return load(path, {})


def names(folder: Path) -> list[str]:
    """Return what is in *folder*, in order."""
    return sorted(one.name for one in folder.iterdir())
