"""The channels the bot wants to be in, and how it gets back into those it is not in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from adapters.irc.isupport import Isupport
from adapters.irc.lines import Line, is_word
from adapters.irc.wire import Wire

FIRST_PAUSE = 60.0
LONGEST_PAUSE = 3600.0
"""Seconds between two tries to get into a channel."""

MAX_INVITED = 50
"""How many channels are joined by invitation at most."""

_AT_ONCE = 10
"""Channels in one JOIN, where the server does not tell."""

_WHY: Mapping[str, tuple[str, bool]] = {
    "403": ("there is no such channel", False),
    "405": ("the network allows no more channels", False),
    "437": ("it is held for a while, as after a netsplit", True),
    "448": ("the network forbids that name", False),
    "470": ("the network sends those who join to another channel", True),
    "471": ("it is full", True),
    "473": ("only who is invited may join", True),
    "474": ("the bot is banned there", True),
    "475": ("its key is missing or wrong", True),
    "476": ("the name is no channel's", False),
    "477": ("it wants a login to services", True),
    "479": ("the name is no channel's", False),
    "489": ("it wants TLS", True),
    "520": ("it is for operators of the network", True),
    "926": ("the network forbids that name", False),
}
"""What a numeric says about a channel, and whether another try may go better."""

CODES = frozenset(_WHY) - {"437"}
"""The numerics that are about joining and nothing else; 437 may be about a nick."""


@dataclass(slots=True)
class Place:
    """One wanted channel."""

    name: str
    key: str = field(default="", repr=False)
    configured: bool = True
    """Whether it is in the configuration, and not joined by invitation."""

    joined: bool = False
    since: float = 0.0
    """When it was joined."""

    tries: int = 0
    """How often it was, since all was well the last time."""

    next_try: float = 0.0


class Channels:
    """What is wanted stays over connections; what is joined does not."""

    def __init__(
        self, wire: Wire, keys: Mapping[str, str], rejoin: bool, invites: Literal["configured", "any", "none"]
    ) -> None:
        """Want the channels in *keys*, each with its key; *rejoin* those that the bot is kicked from."""
        self._wire = wire
        self._isupport = Isupport()
        self._rejoin = rejoin
        self._invites = invites
        self._jitter: Callable[[], float] = lambda: 1.0
        self._wanted = [Place(name, key) for name, key in keys.items()]
        self._by_name: dict[str, Place] = {}
        self._ready = False

    def begin(self, isupport: Isupport, jitter: Callable[[], float]) -> None:
        """Begin a connection, in no channel; *jitter* gives a factor around 1 for each pause."""
        self._isupport, self._jitter, self._ready = isupport, jitter, False
        for place in self._wanted:
            place.joined, place.tries, place.next_try = False, 0, self._wire.now

    def ready(self, inside: Callable[[str], bool]) -> None:
        """Join what is wanted and not *inside* already, now that the network has told its casemapping."""
        self._by_name = {}
        for place in self._wanted:
            self._by_name.setdefault(self._isupport.fold(place.name), place)
        self._wanted = list(self._by_name.values())
        self._ready = True
        for place in filter(lambda one: inside(one.name), self._wanted):
            self.joined(place.name)
        self.tick()

    @property
    def next_tick(self) -> float:
        """When the next channel is tried again."""
        waiting = (place.next_try for place in self._wanted if not place.joined)
        return min(waiting, default=inf) if self._ready else inf

    def tick(self) -> None:
        """Try every channel whose time has come."""
        due = [one for one in self._wanted if not one.joined and one.next_try <= self._wire.now] if self._ready else []
        for place in due:
            place.next_try = self._wire.now + self._pause(place.tries)
            place.tries += 1
        for names, keys in self._batches(due) if due else ():
            self._wire.send("JOIN", names, *([keys] if keys else []))

    def _pause(self, tries: int) -> float:
        return min(FIRST_PAUSE * 2.0 ** min(tries, 10), LONGEST_PAUSE) * self._jitter()

    def _batches(self, places: list[Place]) -> Iterator[tuple[str, str]]:
        """Give the names, and the keys, of as many as one JOIN may have; those with a key come first."""
        most = self._isupport.targets("JOIN", _AT_ONCE)
        room = self._isupport.line_limit - len("JOIN  \r\n")
        batch: list[Place] = []
        used = 0
        for place in sorted(places, key=lambda one: not one.key):
            size = len(place.name.encode()) + len(place.key.encode()) + 2
            if batch and (len(batch) >= most or used + size > room):
                yield _joined(batch)
                batch, used = [], 0
            batch.append(place)
            used += size
        if batch:
            yield _joined(batch)

    # ------------------------------------------------------------ hearing

    def joined(self, name: str) -> None:
        """Note that the bot is in the channel *name*, whoever wished it."""
        if place := self._find(name):
            place.joined, place.since, place.next_try = True, self._wire.now, inf

    def left(self, name: str) -> None:
        """Note that the bot was made to leave *name*: it comes back after a while, if it may."""
        place = self._find(name)
        if place is None:
            return
        place.joined = False
        if self._wire.now - place.since > LONGEST_PAUSE:
            place.tries = 0
        place.next_try = self._wire.now + self._pause(place.tries)
        if not place.configured:  # whoever invited it may do so again
            self._forget(place)
        elif not self._rejoin:
            place.next_try = inf

    def failed(self, line: Line) -> None:
        """Note that the bot cannot join the channel that the numeric *line* names."""
        place = self._find(line.param(1))
        if line.command == "470" and self._find(line.param(2)) is None and self._is_name(line.param(2)):
            self._wire.send("PART", line.param(2))
        if place is None or place.joined:
            return
        why, again = _WHY[line.command]
        self._wire.say(f"the channel {place.name} cannot be joined: {why}" + ("; it is tried again" if again else ""))
        if not place.configured:
            self._forget(place)
        elif not again:
            place.next_try = inf

    def invited(self, name: str) -> None:
        """Follow an invitation of the bot to *name*, where the configuration says so."""
        if not self._ready or self._invites == "none" or not self._is_name(name):
            return
        place = self._find(name)
        if place is None and self._invites == "any":
            place = self._invite(name)
        if place and not place.joined:
            place.next_try = self._wire.now
            self.tick()

    def _invite(self, name: str) -> Place | None:
        if sum(not one.configured for one in self._wanted) >= MAX_INVITED:
            self._wire.say(f"no more than {MAX_INVITED} invitations are followed")
            return None
        place = Place(name, configured=False)
        self._wanted.append(place)
        self._by_name[self._isupport.fold(name)] = place
        return place

    def _is_name(self, name: str) -> bool:
        return self._isupport.is_channel(name) and is_word(name) and "," not in name

    def _find(self, name: str) -> Place | None:
        return self._by_name.get(self._isupport.fold(name))

    def _forget(self, place: Place) -> None:
        self._wanted.remove(place)
        del self._by_name[self._isupport.fold(place.name)]


def _joined(places: list[Place]) -> tuple[str, str]:
    return ",".join(one.name for one in places), ",".join(one.key for one in places if one.key)
