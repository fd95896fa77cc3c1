"""What waits to be said goes in order, each event once, and as one where the homeserver is slow."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from adapters.matrix import outbox
from adapters.matrix.answers import Limited
from adapters.matrix.outbox import Item, Outbox
from adapters.matrix.speech import BUDGET
from omnibot.errors import NoPrivateWay, NotDelivered

NOTHING: Mapping[str, Any] = {}
HTML = "org.matrix.custom.html"


class Post:
    """Takes events, after refusing some."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = list(refusals)
        self.tries: list[str] = []
        self.said: list[dict[str, Any]] = []
        self.rooms: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, item: Item) -> str:
        self.tries.append(item.txn)
        if self.refusals:
            raise self.refusals.pop(0)
        await self.gate.wait()
        self.said.append(item.content)
        self.rooms.append(item.room)
        return f"${item.txn}"


def item(txn: str, body: str = "", more: Mapping[str, Any] = NOTHING, *, room: str = "!a", reader: str = "") -> Item:
    return Item(room, "m.room.message", {"msgtype": "m.notice", "body": body or txn, **more}, txn, reader)


def edit(txn: str, event: str, body: str) -> Item:
    relation = {"rel_type": "m.replace", "event_id": event}
    return item(txn, f"* {body}", {"m.new_content": {"body": body}, "m.relates_to": relation})


def bodies(post: Post) -> list[str]:
    return [content["body"] for content in post.said]


async def test_in_order_and_apart() -> None:
    """Where nothing is refused, every event goes by itself."""
    post = Post()
    box = Outbox(post)
    ids = await asyncio.gather(*(box.put(item(one)) for one in "123"))

    assert ["$1", "$2", "$3"] == list(ids)
    assert ["1", "2", "3"] == bodies(post)


async def test_a_room_does_not_wait_for_another() -> None:
    """Only as many are spoken to at once as there are places."""
    post = Post()
    post.gate.clear()
    box = Outbox(post)
    waiting = [box.put(item("1", room=f"!{number}")) for number in range(6)]
    await asyncio.sleep(0.01)
    begun = len(post.tries)
    post.gate.set()
    await asyncio.gather(*waiting)

    assert 4 == begun
    assert 6 == len(post.said)


async def test_after_a_limit_as_one_and_under_the_same_transaction() -> None:
    """What was refused keeps its id; all that waited for the room goes along, and everybody is told its event."""
    post = Post(Limited(0.1), Limited(0.1))
    box = Outbox(post)
    ids = await asyncio.gather(*(box.put(item(one, more={"m.mentions": {}})) for one in "123"))

    assert ["1", "1", "1"] == post.tries
    assert ["1\n2\n3"] == bodies(post)
    assert ["$1", "$1", "$1"] == list(ids)


async def test_said_again_while_it_waits() -> None:
    """Under the same transaction id it is the same: in the queue, on its way, or gone along with another."""
    post = Post(Limited(0.1))
    box = Outbox(post)
    first = [box.put(item(one)) for one in "123"]
    on_its_way = box.put(item("1"))
    await asyncio.sleep(0.02)  # it was refused by now, and the others wait
    again = [box.put(item(one)) for one in "123"]
    ids = await asyncio.gather(*first, on_its_way, *again)
    later = await box.put(item("1"))

    assert ["1\n2\n3", "1"] == bodies(post)
    assert ["$1"] * 7 == ids
    assert "$1" == later


async def test_what_is_withdrawn_does_not_go_out() -> None:
    """Unless it is on its way already, or others go with it; and it may be said again."""
    post = Post()
    post.gate.clear()
    box = Outbox(post)
    sent = [box.put(item(one)) for one in "123"]
    await asyncio.sleep(0)
    for txn in ("1", "2", "4"):
        box.withdraw("!a", txn)
    again = box.put(item("2"))
    post.gate.set()

    assert ["$1", "$3", "$2"] == [await sent[0], await sent[2], await again]
    with pytest.raises(NotDelivered):
        await sent[1]
    assert ["1", "3", "2"] == bodies(post)


async def merged(*items: Item) -> list[dict[str, Any]]:
    """Return what goes out of *items* after a limit."""
    post = Post(Limited(0.1))
    box = Outbox(post)
    await asyncio.gather(*(box.put(one) for one in items))
    return post.said


THREAD = {"m.relates_to": {"rel_type": "m.thread", "event_id": "$t"}}


@pytest.mark.parametrize(
    ("second", "count"),
    [
        (item("2"), 1),
        (item("2", reader="@ada:hs"), 2),
        (item("2", more=THREAD), 2),
        (item("2", more={"url": "mxc://hs/file"}), 2),
        (item("2", more={"file": {"url": "mxc://hs/file"}}), 2),
        (edit("2", "$e", "new"), 2),
        (Item("!a", "m.reaction", {"m.relates_to": {}}, "2"), 2),
        (item("2", "x" * BUDGET), 2),
        (item("2", "\U0001f600" * (BUDGET // 8)), 2),
    ],
    ids=["alike", "private", "thread", "file", "encrypted file", "edit", "reaction", "long", "long as JSON"],
)
async def test_what_goes_as_one(second: Item, count: int) -> None:
    """Only words that are for the same people, in the same place, and fit."""
    assert count == len(await merged(item("1"), second))


async def test_one_is_as_long_as_one_may_be() -> None:
    """In JSON, which is how it is sent: a letter may take twelve bytes there."""
    said = await merged(*(item(str(number), "\u0436" * 3000) for number in range(4)))

    assert [True] * len(said) == [len(json.dumps(one)) < BUDGET + 500 for one in said]
    assert 4 * 3000 == sum(one["body"].count("\u0436") for one in said)


async def test_everybody_stays_mentioned() -> None:
    """Each once; and a reply to several is a reply to none."""
    reply: list[dict[str, Any]] = [{"m.relates_to": {"m.in_reply_to": {"event_id": event}}} for event in ("$a", "$b")]
    one = item("1", more={"m.mentions": {"user_ids": ["@b:hs", "@a:hs"]}} | reply[0])
    two = item("2", more={"m.mentions": {"user_ids": ["@c:hs", "@a:hs"]}} | reply[1])
    (said,) = await merged(one, two)

    assert {"user_ids": ["@a:hs", "@b:hs", "@c:hs"]} == said["m.mentions"]
    assert "m.relates_to" not in said


async def test_one_thread_stays_one() -> None:
    """Both are in there."""
    (said,) = await merged(item("1", more=THREAD), item("2", more=THREAD))

    assert THREAD["m.relates_to"] == said["m.relates_to"]


async def test_html_beside_plain_text() -> None:
    """What has none is escaped."""
    (said,) = await merged(item("1", "<b>\nx"), item("2", "y", {"format": HTML, "formatted_body": "<b>y</b>"}))

    assert ("&lt;b&gt;<br>x<br><b>y</b>", HTML) == (said["formatted_body"], said["format"])


async def test_of_two_edits_the_last_goes() -> None:
    """Those of another event go as well; whoever waits for either is told."""
    post = Post()
    post.gate.clear()
    box = Outbox(post)
    waiting = [box.put(item("1"))]
    await asyncio.sleep(0.01)
    waiting += [box.put(one) for one in (edit("2", "$e", "a"), edit("3", "$f", "b"), edit("4", "$e", "c"))]
    post.gate.set()
    ids = await asyncio.gather(*waiting)

    assert ["1", "* c", "* b"] == bodies(post)
    assert ["$1", "$2", "$3", "$2"] == list(ids)


async def test_what_waits_can_become_something_else() -> None:
    """Until it goes."""
    post = Post()
    post.gate.clear()
    box = Outbox(post)
    first, second = box.put(item("1")), box.put(item("2"))
    await asyncio.sleep(0.01)
    changed = [box.replace("!a", "2", {"body": "new"}), box.replace("!a", "1", {}), box.replace("!b", "2", {})]
    post.gate.set()
    await asyncio.gather(first, second)

    assert [True, False, False] == changed
    assert ["1", "new"] == bodies(post)


async def test_no_more_than_a_room_may_hold() -> None:
    """What is too much is refused at once; the others go."""
    post = Post()
    post.gate.clear()
    box = Outbox(post)
    waiting = [box.put(item(str(number))) for number in range(outbox._DEPTH)]
    with pytest.raises(NotDelivered, match="too much waits") as full:
        box.put(item("more"))
    post.gate.set()
    await asyncio.gather(*waiting)

    assert full.value.retryable
    assert outbox._DEPTH == len(post.said)


async def test_what_is_refused_for_good_is_told() -> None:
    """The next goes all the same."""
    post = Post(NoPrivateWay("no"))
    box = Outbox(post)
    found = await asyncio.gather(box.put(item("1")), box.put(item("2")), return_exceptions=True)

    assert isinstance(found[0], NoPrivateWay)
    assert "$2" == found[1]


async def test_not_for_ever() -> None:
    """A homeserver that takes nothing is given up, and who waits is told."""
    post = Post(*(Limited(0.1) for _ in range(outbox._TRIES)))
    box = Outbox(post)
    with pytest.raises(NotDelivered, match="takes nothing just now") as failed:
        await box.put(item("1"))

    assert failed.value.retryable
    assert ["1"] * outbox._TRIES == post.tries


@pytest.mark.parametrize("cancel", [False, True])
async def test_the_end(cancel: bool) -> None:
    """Who waits is told, also those behind; who has gone is not waited for."""
    post = Post()
    post.gate.clear()
    box = Outbox(post)
    waiting = [box.put(item("1")), box.put(item("2"))]
    await asyncio.sleep(0.01)
    if cancel:
        for one in waiting:
            one.cancel()
    await box.close()
    found = await asyncio.gather(*waiting, return_exceptions=True)

    assert [asyncio.CancelledError if cancel else NotDelivered] * 2 == [type(one) for one in found]
    assert [] == post.said


async def test_nobody_waits_any_more() -> None:
    """It goes out all the same."""
    post = Post()
    box = Outbox(post)
    box.put(item("1")).cancel()
    await box.put(item("2"))

    assert ["1", "2"] == bodies(post)
