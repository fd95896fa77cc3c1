"""Events that cannot be read yet, because their key is still under way.

They are kept as they came, which is as ciphertext, and tried again after each sync.  The key is asked for once, of
the device that has it.  After a minute they are given up, and their sender is told so, once a day for each room.

What is held keeps the homeserver's stamp, so that the rules on old messages hold for what is read late.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nio.event_builders.direct_messages import RoomKeyRequestMessage
from nio.events.room_events import Event, MegolmEvent

from adapters.matrix.machine import Machine
from omnibot.adapter import Store

HOLD = 60.0
"""Seconds to wait for a key."""

ASK_AFTER = 5.0
"""Seconds after which the key is requested: mostly it is only a sync behind."""

TELL_AGAIN = 24 * 3600.0
"""Seconds in which a sender is told at most once, for each room."""

MOST = 200
MOST_OF_ONE = 20
_LARGEST = 65_536
_MOST_CHARACTERS = 2**20
_MOST_TOLD = 1000

_ROW = "held"


@dataclass(frozen=True, slots=True)
class Held:
    """An event that could not be read."""

    room: str
    sender: str
    event: str
    session: str
    sender_key: str
    since: float
    """When it came, seconds since 1970."""

    source: str = field(repr=False)
    """The event as it came, JSON."""

    going: str = ""
    """The position with which it is being delivered: where the network stands there, it has been."""

    def megolm(self) -> MegolmEvent | None:
        """Return it as nio knows it."""
        event = MegolmEvent.from_dict(json.loads(self.source) | {"room_id": self.room})
        return event if isinstance(event, MegolmEvent) else None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An event that was not read in time."""

    held: Held
    tell: bool
    """Whether its sender is to be told, and has not been for this room of late."""


class Shelf:
    """What is held.  It knows no clock and does nothing by itself: times are given to it, seconds since 1970."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._held: dict[tuple[str, str], Held] = {}
        self._asked: set[tuple[str, str]] = set()
        self._told: dict[tuple[str, str], float] = {}
        self.changed = False
        """Whether there is something that has not been kept."""

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._held)

    def hold(self, event: MegolmEvent, room: str, now: float) -> bool:
        """Hold *event* of *room*; return whether there is room for it, or it was held already.

        Who sends many at once loses their newest: they are what fills the shelf.
        """
        if (room, event.event_id) in self._held:
            return True
        source = json.dumps(event.source, separators=(",", ":"))
        of_sender = sum(held.sender == event.sender for held in self._held.values())
        size = sum(len(held.source) for held in self._held.values()) + len(source)
        if len(self._held) >= MOST or of_sender >= MOST_OF_ONE or len(source) > _LARGEST or size > _MOST_CHARACTERS:
            return False
        session, key = event.session_id or "", event.sender_key or ""
        self._held[room, event.event_id] = Held(room, event.sender, event.event_id, session, key, now, source)
        self.changed = True
        return True

    def ready(self, has_key: Callable[[str, str, str], bool]) -> list[Held]:
        """Return, oldest first, what can be read now: *has_key* knows for room, sender's key and session."""
        return [held for held in self._held.values() if has_key(held.room, held.sender_key, held.session)]

    def to_ask(self, now: float) -> Iterator[Held]:
        """Yield one event of each session whose key is to be requested now, each only once."""
        for held in self._held.values():
            if not 0 <= now - held.since < ASK_AFTER and (held.room, held.session) not in self._asked:
                self._asked.add((held.room, held.session))
                yield held

    def go(self, held: Held, position: str) -> None:
        """Note that *held* is delivered together with *position*: to be kept before that, and dropped after it."""
        if (held.room, held.event) in self._held:
            self._held[held.room, held.event] = replace(held, going=position)
            self.changed = True

    def drop(self, held: Held) -> None:
        """Hold it no longer: it was read, or its room is gone."""
        if self._held.pop((held.room, held.event), None) is not None:
            self.changed = True
            self._forget_asked(held)

    def give_up(self, now: float) -> list[GivenUp]:
        """Return what has been held for too long, and hold it no longer."""
        late = [held for held in self._held.values() if not 0 <= now - held.since < HOLD]
        given_up = []
        for held in late:
            self.drop(held)
            given_up.append(GivenUp(held, self._tells(held, now)))
        return given_up

    def refuse(self, event: MegolmEvent, room: str, now: float) -> bool:
        """Return whether the sender of *event*, which was not held, is to be told; as `give_up` does."""
        return self._tells(Held(room, event.sender, event.event_id, "", "", now, ""), now)

    def _tells(self, held: Held, now: float) -> bool:
        self._told = {who: at for who, at in self._told.items() if 0 <= now - at < TELL_AGAIN}
        who = (held.sender, held.room)
        if who in self._told or len(self._told) >= _MOST_TOLD:
            return False
        self._told[who] = now
        self.changed = True
        return True

    def _forget_asked(self, held: Held) -> None:
        session = (held.room, held.session)
        if not any((other.room, other.session) == session for other in self._held.values()):
            self._asked.discard(session)

    # ------------------------------------------------------------------ as it is kept

    def dumped(self) -> bytes | None:
        """Return what is held and who was told, as JSON; None where that is nothing."""
        if not self._held and not self._told:
            return None
        told = [[sender, room, at] for (sender, room), at in self._told.items()]
        return json.dumps({"held": [asdict(held) for held in self._held.values()], "told": told}).encode()

    @classmethod
    def parsed(cls, value: bytes | None, position: str | None) -> "Shelf":
        """Read what `dumped` wrote, but for what was delivered with the *position* that the network is at."""
        shelf = cls()
        kept: Mapping[str, Any] = json.loads(value) if value is not None else {"held": [], "told": []}
        for one in kept["held"]:
            held = Held(**one)
            if not held.going or held.going != position:
                shelf._held[held.room, held.event] = held
        shelf._told = {(sender, room): at for sender, room, at in kept["told"]}
        return shelf


# ------------------------------------------------------------------ with a machine and a store


async def load(rows: Store, position: str | None) -> Shelf:
    """Return what was held when the network was at *position*; *rows* are the adapter's own."""
    return Shelf.parsed(await rows.get(_ROW), position)


async def save(shelf: Shelf, rows: Store) -> None:
    """Keep the shelf as it is now, if it changed: before the position goes on past what it holds."""
    if not shelf.changed:
        return
    value = shelf.dumped()
    shelf.changed = False
    try:
        if value is None:
            await rows.delete(_ROW)
        else:
            await rows.set(_ROW, value)
    except BaseException:
        shelf.changed = True
        raise


def read_now(shelf: Shelf, machine: Machine) -> list[tuple[Held, Event]]:
    """Return what *machine* can read now, oldest first.

    What is delivered of it has to `Shelf.go` with a position first, and is dropped after that.
    """
    tried = [(held, held.megolm()) for held in shelf.ready(machine.has_session)]
    return [
        (held, event) for held, sealed in tried if sealed is not None and (event := machine.read(sealed)) is not None
    ]


def request(shelf: Shelf, machine: Machine, now: float) -> None:
    """Have the keys requested that have been waited for; `Keys.upkeep` sends the requests."""
    for held in shelf.to_ask(now):
        event = held.megolm()
        if event is None or held.session in machine.outgoing_key_requests:
            continue
        wanted: RoomKeyRequestMessage = event.as_key_request(
            held.sender, machine.device_id, held.session, event.device_id
        )
        machine.outgoing_to_device_messages.append(wanted)


def given_up(shelf: Shelf, machine: Machine, now: float) -> list[GivenUp]:
    """Return what was not read in time, and wait no longer for its key."""
    late = shelf.give_up(now)
    for one in late:
        machine.forget_request(one.held.session)
    return late
