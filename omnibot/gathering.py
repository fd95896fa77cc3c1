"""One message of what several follows have to tell one identity in private at the same time.

Who has something to say while others, told the same identity, are being looked at or are about to be,
waits a moment for them; who is alone says it at once.  So the first looks after a night, or after a
restart, are one message and no storm.

Invariant: whether a piece of news may be told is asked when it goes out, however long it waited.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from omnibot.delivery import Delivery
from omnibot.identity import Identity
from omnibot.message import Message, Reply, Sent

LONGEST = 4000
"""Characters of one message."""


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What one follow has to say."""

    title: str
    """Of the follow, in Markdown."""

    text: str = field(repr=False)
    """Markdown, `LONGEST` characters at most."""

    near: Message | None
    """The message that asked for it, where that may be answered."""

    key: str
    """What is said once."""

    last: bool
    """Whether it is the last of its follow: then it is kept for who cannot be reached now."""

    still: Callable[[], Awaitable[bool]]
    """Asks whether it may be told."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece of news."""

    told: bool
    """Whether it was said, or is kept to be."""

    sent: Sent | None = None
    """The message, if nothing else stands in it."""


@dataclass(slots=True)
class _Bundle:
    """News that wait for others to one identity."""

    news: dict[News, asyncio.Future[Outcome]] = field(default_factory=dict)
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Gathering:
    """Tells identities what is news, several pieces at once."""

    def __init__(self, delivery: Delivery, expects: Callable[[Identity], bool]) -> None:
        """Speak through *delivery*; *expects* says whether more may come for an identity at this moment."""
        self._delivery = delivery
        self._expects = expects
        self._bundles: dict[Identity, _Bundle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell(self, identity: Identity, news: News, patience: float) -> Outcome:
        """Tell *identity* alone *news*, with what else comes for them within *patience* seconds.

        Who is cancelled while it waits takes it back.
        """
        bundle = self._bundles.get(identity)
        if bundle is None:
            if not self._expects(identity):
                return (await self._told(identity, [news]))[news]
            bundle = self._bundles[identity] = _Bundle()
            task = asyncio.create_task(self._hold(identity, bundle, patience), name=f"news on {identity.network}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        bundle.news[news] = future
        self.look_again(identity)
        try:
            return await future
        except asyncio.CancelledError:
            bundle.news.pop(news, None)
            raise

    def look_again(self, identity: Identity) -> None:
        """Wait no longer for more news to *identity*, if none are expected any more."""
        bundle = self._bundles.get(identity)
        if bundle is not None and not self._expects(identity):
            bundle.ready.set()

    async def close(self) -> None:
        """Tell nothing more; what is on its way is kept."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hold(self, identity: Identity, bundle: _Bundle, patience: float) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await bundle.ready.wait()
        finally:
            del self._bundles[identity]  # who comes now begins another
        waiting = dict(bundle.news)
        bundle.news.clear()  # on its way: nobody takes it back
        try:
            for news, outcome in (await self._told(identity, list(waiting))).items():
                if not waiting[news].done():
                    waiting[news].set_result(outcome)
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            for future in waiting.values():
                if not future.done():
                    future.set_exception(error)

    async def _told(self, identity: Identity, several: Sequence[News]) -> dict[News, Outcome]:
        outcomes = {news: Outcome(told=False) for news in several}
        for some in _packed([news for news in several if await news.still()]):
            outcomes |= await self._say(identity, some)
        return outcomes

    async def _say(self, identity: Identity, some: Sequence[News]) -> dict[News, Outcome]:
        """Say *some* news in one message; if there is no way now, keep those that are the last of their follow."""
        last = [news for news in some if news.last]
        kept = len(last) == len(some)
        reply, near, key = _reply(some)
        if kept:
            sent = await self._delivery.to_identity(identity, reply, near=near, key=key)
        else:
            sent = await self._delivery.whisper(identity, reply, near=near, key=key)
        if sent is None and last and not kept:
            reply, near, key = _reply(last)
            await self._delivery.to_identity(identity, reply, near=near, key=key)
        alone = sent if len(some) == 1 else None
        return {news: Outcome(sent is not None or news.last, alone) for news in some}


def _reply(some: Sequence[News]) -> tuple[Reply, Message | None, str]:
    """Return what is said of *some* news, which message it answers, and its key."""
    asked = [news.near for news in some if news.near is not None]
    near = max(asked, key=lambda message: message.at, default=None)
    if len(some) == 1:
        return Reply(some[0].text, answers=near), near, some[0].key
    key = sha256("\n".join(sorted(news.key for news in some)).encode()).hexdigest()[:32]
    return Reply(_joined(map(_named, some)), answers=near), near, f"follows:{key}"


def _packed(several: Sequence[News]) -> Iterator[list[News]]:
    """Yield *several* news in groups that each fit into one message."""
    group: list[News] = []
    for news in several:
        if group and len(_joined(map(_named, [*group, news]))) > LONGEST:
            yield group
            group = []
        group.append(news)
    if group:
        yield group


def _named(news: News) -> str:
    """Return its text, with the title before it where it does not say what it is about."""
    return news.text if news.title in news.text else f"**{news.title}**: {news.text}"


def _joined(texts: Iterable[str]) -> str:
    """Return *texts* one below the other: a line each, or a paragraph each."""
    every = list(texts)
    return ("\n\n" if any("\n" in text for text in every) else "\n").join(every)
