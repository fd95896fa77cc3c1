"""How much may be asked of the bot: by a person, by a guest's host, in a channel, of a command, of links.

Token buckets, in memory alone: a bucket holds as many tokens as its rate allows at once, and they come
back evenly.  Buckets are bounded in number, the one that was used longest ago goes first; a bucket that is
not there is a full one.  What is refused takes no token, so that one who floods a channel empties their own
bucket and not everybody's; of a channel's nobody gets more than a quarter, and who may not use a command takes
nothing of it.  That it is too much is said once to each for each time that a bucket runs empty, so that
refusing is never more work than asking.
"""

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address

from omnibot.command import Command
from omnibot.identity import Guest, Identity, Speaker
from omnibot.message import Message
from omnibot.tally import Tally

_MOST_BUCKETS = 10_000
"""Of each kind."""

_MOST_TOLD = 50
"""How many are told that one bucket is empty: in a channel, each of them takes a line."""

_GUESTS = 10.0
"""Of what the guests of one host may ask, for all guests of a network."""

_SHARE = 0.25
"""Of what may be asked in a channel, for one speaker."""

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_RATE = re.compile(r"([1-9][0-9]{0,5})\s*/\s*(second|minute|hour)")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and so many in each stretch of time."""

    count: int
    seconds: float

    @classmethod
    def read(cls, text: str) -> "Rate | None":
        """Return the rate that *text* tells, as ``30/minute``; None for ``off``.

        Raises:
            ValueError: it tells none.
        """
        found = _RATE.fullmatch(text.strip())
        if found is None and text.strip() != "off":
            raise ValueError(text)
        return Rate(int(found[1]), _SECONDS[found[2]]) if found else None

    def __str__(self) -> str:
        """Return it as it is read."""
        return f"{self.count}/{next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)}"


@dataclass(frozen=True, slots=True)
class Rates:
    """The operator's limits; None: there is none."""

    person: Rate | None = Rate(60, 60.0)
    """Of commands, for each identity."""

    guest: Rate | None = Rate(20, 60.0)
    """Of commands, for all guests of one host; where a network tells no hosts, for all its guests.

    All guests of one network together have ten times as much, from however many hosts.
    """

    channel: Rate | None = Rate(240, 60.0)
    """Of commands, for all speakers of one channel that is not private, with its threads; a quarter of it for each."""

    command: Rate | None = Rate(30, 60.0)
    """Of one command, for each identity or guests' host."""

    linking: Rate | None = Rate(30, 3600.0)
    """Of links begun, for each identity."""


UNLIMITED = Rates(None, None, None, None, None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not begun."""

    words: str
    """What the speaker is told; empty where they were told already."""


@dataclass(slots=True, eq=False)
class _Bucket:
    tokens: float
    at: float
    told: set[tuple[str, ...]] = field(default_factory=set)
    """Who heard that it is empty."""


class _Buckets:
    """The buckets of one rate, by whose they are."""

    def __init__(self, rate: Rate, most: int) -> None:
        self._rate = rate
        self._most = most
        self._per_second = rate.count / rate.seconds
        self._kept: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def at(self, key: tuple[str, ...], now: float) -> _Bucket:
        """Return the bucket of *key* as it is *now*."""
        bucket = self._kept.get(key)
        if bucket is None:
            bucket = self._kept[key] = _Bucket(float(self._rate.count), now)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return bucket
        self._kept.move_to_end(key)
        full = self._rate.count
        bucket.tokens = min(full, bucket.tokens + max(0.0, now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.told and bucket.tokens * 2 >= full:
            bucket.told.clear()  # it has filled up again: running empty once more is news
        return bucket

    def wait(self, bucket: _Bucket) -> float:
        """Return the seconds until *bucket* has a token."""
        return max(0.0, (1.0 - bucket.tokens) / self._per_second)


class Limits:
    """Keeps count."""

    def __init__(
        self,
        rates: Rates = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
        most: int = _MOST_BUCKETS,
        tally: Tally | None = None,
    ) -> None:
        """Hold everybody to *rates*, by a *clock* in seconds, with at most so many buckets of each kind."""
        self._clock = clock
        self._tally = tally or Tally()
        self._person = _buckets(rates.person, most)
        self._guest = _buckets(rates.guest, most)
        self._guests = _buckets(_scaled(rates.guest, _GUESTS), most)
        self._channel = _buckets(rates.channel, most)
        self._share = _buckets(_scaled(rates.channel, _SHARE), most)
        self._command = _buckets(rates.command, most)
        self._linking = _buckets(rates.linking, most)
        self._any = any(one is not None for one in (self._person, self._guest, self._channel, self._command))

    def take(self, message: Message, command: Command | None = None, *, alone: bool = False) -> Refusal | None:
        """Let *message* begin *command*, or be answered otherwise; return a refusal if that is too much.

        *alone*: it takes only what is its speaker's, and nothing of what a channel has for all.
        """
        if not self._any:
            return None
        whose, now, taken = _whose(message.speaker), self._clock(), list[_Bucket]()
        for buckets, key, why in self._asked(message, command, whose, alone=alone):
            bucket = buckets.at(key, now)
            if bucket.tokens < 1.0:
                self._tally.limited.add(self._kind(buckets))
                return _refusal(buckets, bucket, whose, why)
            taken.append(bucket)
        for bucket in taken:
            bucket.tokens -= 1.0
        return None

    def spent(self, message: Message, *, alone: bool = False) -> bool:
        """Whether `take` would refuse *message* if it named no command; nothing is taken, and nobody told."""
        if not self._any:
            return False
        now = self._clock()
        asked = self._asked(message, None, _whose(message.speaker), alone=alone)
        return any(buckets.at(key, now).tokens < 1.0 for buckets, key, _ in asked)

    def _asked(
        self, message: Message, command: Command | None, whose: tuple[str, ...], *, alone: bool
    ) -> Iterator[tuple[_Buckets, tuple[str, ...], str]]:
        """Give all that has a say: whose buckets, which of them, and what is said if that is empty."""
        if isinstance(message.speaker, Identity):
            if self._person is not None:
                yield self._person, whose, "You say more than I can do"
        elif self._guest is not None and self._guests is not None:
            yield self._guest, whose, _MANY_GUESTS
            yield self._guests, whose[:1], _MANY_GUESTS
        if self._command is not None and command is not None:
            yield self._command, (*whose, *command.path), f"You say `{command.name}` too often"
        channel = message.channel
        if self._channel is None or self._share is None or channel.private or alone:
            return
        for place in (channel.id, *channel.within):
            yield self._share, (channel.network, place, *whose), "You ask more of me here than is for you alone"
            yield self._channel, (channel.network, place), "So much is asked of me here that I cannot do it all"

    def _kind(self, buckets: _Buckets) -> str:
        if buckets in (self._guest, self._guests):
            return "guest"
        if buckets in (self._channel, self._share):
            return "channel"
        return "person" if buckets is self._person else "command"

    def take_link(self, identity: Identity) -> str:
        """Let *identity* begin a link; return why not, if that is too much, in words for them."""
        if self._linking is None:
            return ""
        bucket = self._linking.at(_whose(identity), self._clock())
        if bucket.tokens >= 1.0:
            bucket.tokens -= 1.0
            return ""
        self._tally.limited.add("linking")
        wait = _duration(self._linking.wait(bucket))
        return f"You have asked for many links. Use the last one, or wait {wait}."


_MANY_GUESTS = "Those I do not know say more here than I can do"


def _buckets(rate: Rate | None, most: int) -> _Buckets | None:
    return None if rate is None else _Buckets(rate, most)


def _scaled(rate: Rate | None, by: float) -> Rate | None:
    return None if rate is None else Rate(max(1, math.ceil(rate.count * by)), rate.seconds)


def _refusal(buckets: _Buckets, bucket: _Bucket, whose: tuple[str, ...], why: str) -> Refusal:
    if whose in bucket.told or len(bucket.told) >= _MOST_TOLD:
        return Refusal("")
    bucket.told.add(whose)
    wait = _duration(buckets.wait(bucket))
    return Refusal(f"{why}. I pass over the rest until there is room again, in {wait} or so.")


def _whose(speaker: Speaker) -> tuple[str, ...]:
    """Return whose bucket *speaker* takes from: no change of nick leads to another."""
    if isinstance(speaker, Guest):
        return (speaker.network, _house(speaker.host))
    return (speaker.network, speaker.subject, speaker.epoch)


def _house(host: str) -> str:
    """Return *host*; of an IPv6 address its first 64 bits, for whoever has one of those has all (RFC 6177)."""
    if ":" not in host:
        return host.lower()
    try:
        return str(IPv6Address(int(IPv6Address(host)) >> 64 << 64))
    except AddressValueError:
        return host.lower()


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
