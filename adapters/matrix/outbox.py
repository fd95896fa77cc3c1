"""What waits to be said: in order in each room, and no faster than the homeserver takes it.

A homeserver limits an account, not a room: Synapse, as it comes, takes ten events at once and then one
every five seconds.  So when it says that this is too much, everything waits as long as it asks, and
what has gathered for a room meanwhile goes as one event.  Each event keeps its transaction id however
often it is tried, so that the homeserver never takes it twice (client-server API, "Transaction identifiers").
"""

import asyncio
import html
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from adapters.matrix.answers import Limited
from adapters.matrix.speech import BUDGET, Content
from omnibot.errors import NotDelivered

_AT_ONCE = 4
"""Rooms that are spoken to at once: one with many devices to encrypt for must not hold up the others."""

_DEPTH = 100
"""Events that may wait for one room."""

_TRIES = 10
"""How often an event is tried that the homeserver will not have yet."""

_TIGHT = 30.0
"""Seconds after a limit for which what waits for a room still goes as one event."""


@dataclass(slots=True)
class Item:
    """An event that waits to be sent."""

    room: str
    kind: str
    content: Content = field(repr=False)
    txn: str
    reader: str = ""
    """The MXID that alone may read it; empty where it is for all in the room."""

    waiting: list["asyncio.Future[str]"] = field(default_factory=list)
    """Who waits for its id."""

    is_joint: bool = False
    """Whether it says what were several events: then a change of one of them is no change of it."""


class Outbox:
    """Sends events through *post*, which returns an event's id; what *post* raises, they are told who wait."""

    def __init__(self, post: Callable[[Item], Awaitable[str]]) -> None:
        """Send nothing yet."""
        self._post = post
        self._rooms: dict[str, deque[Item]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._under_way: dict[tuple[str, str], Item] = {}
        """What has not gone out, by room and transaction id; where several go as one, each is here."""

        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._not_before = 0.0
        self._limited_at = -_TIGHT

    def put(self, item: Item) -> "asyncio.Future[str]":
        """Let *item* wait its turn; what is returned gives the event's id.

        What waits already under its transaction id is waited for, and not said again.

        Raises:
            NotDelivered: too much waits for that room already.
        """
        queue = self._rooms.get(item.room, deque())
        there = self._under_way.get((item.room, item.txn))
        if len(queue) >= _DEPTH and there is None:
            raise NotDelivered("too much waits to be said there", retryable=True)
        sent: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
        if there is not None:
            there.waiting.append(sent)
            return sent
        item.waiting.append(sent)
        self._rooms[item.room] = queue
        newer = _edited(item)
        older = next((one for one in queue if newer and _edited(one) == newer), None)
        if older is not None:  # of two edits of one event only the last is worth sending
            older.content, older.waiting = item.content, older.waiting + item.waiting
        else:
            queue.append(item)
        self._under_way[item.room, item.txn] = item if older is None else older
        if item.room not in self._tasks:
            self._tasks[item.room] = asyncio.create_task(self._drain(item.room), name="what waits for a room")
        return sent

    def withdraw(self, room: str, txn: str) -> None:
        """Let what waits under *txn* not go out, if nothing else goes with it and it is not being sent just now."""
        item, queue = self._under_way.get((room, txn)), self._rooms.get(room, deque())
        if item is not None and item in queue and sum(one is item for one in self._under_way.values()) == 1:
            queue.remove(item)
            del self._under_way[room, txn]
            _fail(item, NotDelivered("it was withdrawn", retryable=True))

    def replace(self, room: str, txn: str, content: Content) -> bool:
        """Let what waits under *txn* be *content* instead; return False if it waits no longer."""
        for item in self._rooms.get(room, ()):
            if item.txn == txn:
                item.content = content
                return True
        return False

    async def close(self) -> None:
        """Send nothing more, and tell so whoever waits."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for item in [one for queue in self._rooms.values() for one in queue]:
            _fail(item, NotDelivered("the homeserver is not connected", retryable=True))
        self._rooms.clear()
        self._under_way.clear()

    async def _drain(self, room: str) -> None:
        queue = self._rooms[room]
        try:
            while queue:
                async with self._slots:
                    await self._turn(queue)
        finally:
            del self._tasks[room]
            if not queue:
                del self._rooms[room]

    async def _turn(self, queue: deque[Item]) -> None:
        if not queue:  # what waited for its turn was withdrawn
            return
        item = queue.popleft()
        try:
            await self._send(item, queue)
        finally:
            self._under_way = {key: one for key, one in self._under_way.items() if one is not item}

    def _gather(self, item: Item, queue: deque[Item]) -> None:
        """Let all go along with *item*, where there was a limit just now, that can."""
        if asyncio.get_running_loop().time() - self._limited_at < _TIGHT:
            while queue and (both := _merged(item, queue[0])) is not None:
                item.content, item.is_joint = both, True
                more = queue.popleft()
                item.waiting += more.waiting
                self._under_way.update({key: item for key, one in self._under_way.items() if one is more})

    async def _send(self, item: Item, queue: deque[Item]) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            try:
                await asyncio.sleep(max(0.0, self._not_before - loop.time()))
                self._gather(item, queue)  # what was refused before was not taken: it may become more
                event = await self._post(item)
            except Limited as limit:
                self._limited_at = loop.time()
                self._not_before = max(self._not_before, self._limited_at + limit.seconds)
            except asyncio.CancelledError:
                _fail(item, NotDelivered("the homeserver is not connected", retryable=True))
                raise
            except Exception as error:  # noqa: BLE001 - whoever waits for the event is told
                return _fail(item, error)
            else:
                return _done(item, event)
        return _fail(item, NotDelivered("the homeserver takes nothing just now", retryable=True))


def _done(item: Item, event: str) -> None:
    for waiting in item.waiting:
        if not waiting.done():
            waiting.set_result(event)


def _fail(item: Item, error: Exception) -> None:
    for waiting in item.waiting:
        if not waiting.done():
            waiting.set_exception(error)


def _edited(item: Item) -> str:
    """Return the event that *item* changes; empty where it changes none."""
    relation = item.content.get("m.relates_to", {})
    return str(relation["event_id"]) if relation.get("rel_type") == "m.replace" else ""


def _merged(first: Item, second: Item) -> Content | None:
    """Return the content of both in one event; None where they have to stay two."""
    ours, theirs = first.content, second.content
    alike = (first.kind, first.reader) == (second.kind, second.reader)
    if not alike or not (_is_plain(ours) and _is_plain(theirs)) or _thread(ours) != _thread(theirs):
        return None
    people = sorted({one for content in (ours, theirs) for one in content.get("m.mentions", {}).get("user_ids", ())})
    both = {**ours, "body": f"{ours['body']}\n{theirs['body']}", "m.mentions": {"user_ids": people} if people else {}}
    if "formatted_body" in ours or "formatted_body" in theirs:
        both["format"] = "org.matrix.custom.html"
        both["formatted_body"] = f"{_formatted(ours)}<br>{_formatted(theirs)}"
    if len(json.dumps([both["body"], both.get("formatted_body", "")])) > BUDGET:
        return None
    if ours.get("m.relates_to") != theirs.get("m.relates_to") and not _thread(ours):
        both.pop("m.relates_to", None)  # it answers more than one
    return both


def _is_plain(content: Content) -> bool:
    return isinstance(content.get("body"), str) and not {"m.new_content", "url", "file"} & content.keys()


def _thread(content: Content) -> str:
    relation = content.get("m.relates_to", {})
    return str(relation["event_id"]) if relation.get("rel_type") == "m.thread" else ""


def _formatted(content: Content) -> str:
    found = content.get("formatted_body")
    return str(found) if found is not None else html.escape(content["body"]).replace("\n", "<br>")
