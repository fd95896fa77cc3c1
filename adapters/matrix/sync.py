"""Hearing what happens in the bot's rooms: one request after the other, each from where the last one ended.

nio's own loop runs its callbacks before anything is durable, asks again at once after an error, and fills no
gaps.  Here a response is handed out only once it is whole, and the position goes with it, to be kept together
with what came before it.
"""

import asyncio
import math
import time
from dataclasses import dataclass

from nio.api import MessageDirection
from nio.client.async_client import AsyncClient
from nio.events.misc import BadEventType
from nio.events.room_events import Event
from nio.responses import RoomInfo, SyncError, SyncResponse

from adapters.matrix.answers import good
from omnibot.message import STALE_AFTER

WAIT_MS = 30_000
"""How long the homeserver may keep a request until something happens."""

_FIRST_SECONDS = 300.0
"""How long the first answer may take, in which the state of every room is told."""

_NO_TIME = 2**53
"""What no stamp reaches (appendices, "Canonical JSON"), though old rooms may hold greater numbers."""

_A_PAGE = 50
_MOST_PAGES = 10

_STATE = (
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.member",
    "m.room.name",
    "m.room.tombstone",
)
_TIMELINE = (*_STATE, "m.room.encrypted", "m.room.message")
_NOTHING: dict[str, list[str]] = {"types": []}
FILTER = {
    "presence": _NOTHING,
    "account_data": {"types": ["m.direct"]},
    "room": {
        "account_data": _NOTHING,
        "ephemeral": _NOTHING,
        "state": {"types": list(_STATE), "lazy_load_members": True},
        "timeline": {"types": list(_TIMELINE), "limit": 50, "lazy_load_members": True},
    },
}


@dataclass(frozen=True, slots=True)
class Told:
    """An event in a room's timeline; in clear if it was encrypted and can be read."""

    room: str
    event: Event | BadEventType


async def sync(client: AsyncClient, since: str | None, *, whole: bool, wait: int = WAIT_MS) -> SyncResponse:
    """Return what happened since, or after *wait* milliseconds that nothing did.

    *whole*: at once, and with the state of every room, as a client needs at first.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: the homeserver does not tell.
    """
    client.next_batch = ""  # or nio passes over what is told again, and over all rooms where nothing happened since
    async with asyncio.timeout(_FIRST_SECONDS if whole else WAIT_MS / 1000 + 30):
        answer: SyncResponse | SyncError = await client.sync(0 if whole else wait, FILTER, since, full_state=whole)
    return good(answer)


async def timeline(client: AsyncClient, response: SyncResponse, since: str | None) -> list[Told]:
    """Return what was said since, in each room's order, with what the homeserver left out between.

    It leaves out where much has happened; of that, only what is young enough to be acted on is asked for.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: the homeserver does not tell.
    """
    told: list[Told] = []
    for room, info in response.rooms.join.items():
        if since is not None and info.timeline.limited and info.timeline.prev_batch and _is_young(info):
            told += [Told(room, event) for event in await _gap(client, room, info.timeline.prev_batch, since)]
        told += [Told(room, event) for event in info.timeline.events if _age(event) < math.inf]
    return told


def _is_young(info: RoomInfo) -> bool:
    """Return whether what came before the first event of *info* may be young enough."""
    return not info.timeline.events or _age(info.timeline.events[0]) < STALE_AFTER


async def _gap(client: AsyncClient, room: str, before: str, since: str) -> list[Event | BadEventType]:
    """Return the events of *room* after *since* and *before*, oldest first; none older than `STALE_AFTER`."""
    found: list[Event | BadEventType] = []
    for _ in range(_MOST_PAGES):
        page = good(
            await client.room_messages(room, before, since, MessageDirection.back, _A_PAGE, {"types": list(_TIMELINE)})
        )
        young = [event for event in page.chunk if _age(event) < STALE_AFTER]
        found += young
        if len(young) < len(page.chunk) or not page.chunk or not page.end or page.end == before:
            break
        before = page.end
    return found[::-1]


def _age(event: Event | BadEventType) -> float:
    """Return the seconds since *event* by the server's stamp; where that is none, it is older than anything."""
    stamp = getattr(event, "server_timestamp", None)
    return time.time() - stamp / 1000 if isinstance(stamp, int) and stamp < _NO_TIME else math.inf
