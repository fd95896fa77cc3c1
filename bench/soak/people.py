"""People who link and act, and remember what they said and what they were told."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

from bench.soak.town import Said, Town
from omnibot.demo.browser import Browser

type Outcome = Literal["waiting", "written", "not run", "failed", "silent"]

_WRITTEN = re.compile(r"Note \d+ is written as (\S+)\.")
_NOT_RUN = "It was not run"
_ASK_ANEW = "Use the link I sent you"
_SHOWS_CODE = "Your browser shows a code"
_WALKS = 6
"""How often somebody opens a link whose page does not come."""

_ORDERS = 12
"""How often somebody says something anew that was not done."""

_PAUSE = 1.5
"""Seconds before that."""


@dataclass(slots=True)
class Order:
    """One command that somebody said."""

    note: str
    """What is to be written; nobody ever says it again."""

    login: str
    """As whom, where it is right."""

    asked: float
    """When, on the monotonic clock; so is `ended`."""

    outcome: Outcome = "waiting"
    ended: float = 0.0
    told: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, outcome: Outcome, told: str = "") -> None:
        """Note what came of it, unless that is known."""
        if not self.done.is_set():
            self.outcome, self.told, self.ended = outcome, told, time.monotonic()
            self.done.set()


class Person:
    """Somebody with an account at the service; *number* tells them from the others."""

    def __init__(self, number: int, town: Town, patience: float) -> None:
        """Live in *town*, and wait *patience* seconds for an answer."""
        self.name = f"p{number}"
        self.login = f"user-{number}"
        self.orders: list[Order] = []
        self.links = 0
        self.later = 0
        """How many answers came that do not say to what: they had been kept while the network was away."""

        self.wrong: list[str] = []
        """What was said to them as somebody else."""

        self._town = town
        self._patience = patience
        self._code = ""
        """What a page showed last."""

        self._by_id: dict[str, Order] = {}
        self._early: dict[str, list[Said]] = {}
        self._walking: set[asyncio.Task[None]] = set()
        town.move_in(self.name, self._hear)

    async def note(self) -> bool:
        """Have a note written, linking where that is asked; return whether it was."""
        for _ in range(_ORDERS):
            (order,) = await self.say(1)
            if order.outcome == "written":
                return True
            await asyncio.sleep(_PAUSE)
            if _SHOWS_CODE in order.told and self._code:  # it was typed while the bot was killed
                await self._town.say(self.name, f"!confirm {self._code}")
                self._code = ""
                await asyncio.sleep(_PAUSE)
            elif (_ASK_ANEW in order.told or _SHOWS_CODE in order.told) and not self._walking:
                await self._town.say(self.name, "!link demo")
                await asyncio.sleep(_PAUSE)
        return False

    async def say(self, several: int) -> Sequence[Order]:
        """Say so many commands one right after the other; return them when each has ended."""
        said = []
        for _ in range(several):
            order = Order(f"{self.name}-{len(self.orders)}", self.login, time.monotonic())
            self.orders.append(order)
            said.append(order)
            number = await self._town.say(self.name, f"!notes add {order.note}")
            self._by_id[number] = order
            for early in self._early.pop(number, ()):
                self._hear(early)
        for order in said:
            try:
                async with asyncio.timeout(max(self._patience - (time.monotonic() - order.asked), 0.01)):
                    await order.done.wait()
            except TimeoutError:
                order.end("silent")
        return said

    async def fetch(self) -> None:
        """Speak once more, where an answer is missing: what is kept for somebody is said when they do."""
        if any(order.outcome == "silent" for order in self.orders):
            await self._town.say(self.name, "!ping")

    async def leave(self) -> None:
        """Close what is open."""
        for task in self._walking:
            task.cancel()
        await asyncio.gather(*self._walking, return_exceptions=True)

    def _hear(self, said: Said) -> None:
        if said.link:
            walk = asyncio.create_task(self._walk(said.link))
            self._walking.add(walk)
            walk.add_done_callback(self._walking.discard)
        elif said.answers in self._by_id:
            self._judge(self._by_id[said.answers], said.text)
        elif _NOT_RUN in said.text:
            for order in self.orders:
                if re.search(rf"{order.note}\b(?!-)", said.text):
                    order.end("not run", said.text)
        elif "link" in said.text and "onfirm" not in said.text and "Linked" not in said.text:
            for order in self._by_id.values():  # the link they waited for has ended, and so has what waited for it
                order.end("failed", said.text)
        elif said.answers:
            self._early.setdefault(said.answers, []).append(said)
        elif "Linked" not in said.text:
            self._look(said.text)
            self.later += 1

    def _look(self, text: str) -> re.Match[str] | None:
        """Return what *text* says was written; note if that was as somebody else."""
        written = _WRITTEN.search(text)
        if written is not None and written[1] != self.login:
            self.wrong.append(text)
        return written

    def _judge(self, order: Order, text: str) -> None:
        """Take *text* as the answer to *order*, also where it comes late."""
        outcome: Outcome = "written" if self._look(text) else "not run" if _NOT_RUN in text else "failed"
        if order.outcome == "silent" or (order.outcome == "failed" and outcome == "written"):
            order.outcome, order.told = outcome, text
        order.end(outcome, text)

    async def _walk(self, link: str) -> None:
        """Open *link*, sign in, allow, and say the code that the page shows."""
        for attempt in range(_WALKS):
            try:
                async with Browser() as browser:
                    await browser.open(link)
                    await browser.press("Continue")
                    await browser.press("", user=self.login)
                    await browser.press("Allow")
                    if browser.code:
                        self.links += 1
                        self._code = browser.code
                        await self._town.say(self.name, f"!confirm {browser.code}")
                        return
            except (aiohttp.ClientError, LookupError, OSError, RuntimeError):
                pass  # somebody is away: once more in a while
            await asyncio.sleep(0.5 * (attempt + 1))


class Pinger:
    """Somebody who only asks whether the bot is there, and takes the time."""

    def __init__(self, number: int, town: Town) -> None:
        """Live in *town*."""
        self.waits: list[tuple[float, float]] = []
        """When each answered question was asked, and the seconds until its answer."""

        self._name = f"pinger-{number}"
        self._town = town
        self._asked: dict[str, float] = {}
        town.move_in(self._name, self._hear)

    async def live(self, every: float) -> None:
        """Ask again and again, until cancelled."""
        while True:
            at = time.monotonic()
            self._asked[await self._town.say(self._name, "!ping")] = at
            await asyncio.sleep(every)

    def _hear(self, said: Said) -> None:
        asked = self._asked.pop(said.answers, None)
        if asked is not None:
            self.waits.append((asked, said.at - asked))


def told(people: Sequence[Person]) -> Counter[str]:
    """Count what people were told of what was not written, numbers and names apart."""
    texts = (order.told for person in people for order in person.orders if order.outcome in ("failed", "not run"))
    return Counter(re.sub(r"p\d+-\d+|\(ref \w+\)|\d+", "N", text.partition("\n")[0])[:110] for text in texts)
