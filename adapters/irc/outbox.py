"""Lines on their way out: in their order, and only to whom they are for.

They wait in `Flood`, so that the server never has to throw the bot out.  A nick may be taken by somebody
else while a line waits: one that is for an account goes to a nick only while that is logged in to it, and
where the network does not tell of itself when that changes, it is asked as the line's turn comes.
"""

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from logging import Logger

from adapters.irc.effects import Effect, Known, Send
from adapters.irc.flood import Flood, Pace
from adapters.irc.lines import Line
from adapters.irc.link import Link
from adapters.irc.machine import Machine
from omnibot.errors import NotDelivered

_ROOM_WITHIN = 30.0
_FULL = 0.1
"""Seconds until it is looked again whether a slow server has taken what it was sent."""

_VOUCHED = 1.0
"""Seconds for which the network's word of somebody's account holds, if it would not tell of their logging out."""

_TOLD_WITHIN = 30.0
"""Seconds to wait for the network's word.  The machine waits less, but what it knows is told by reading, which stands
still while the bot takes nothing: then it must not wait for that in turn."""

_REMEMBERED = 1000
_GONE = "whom it was for is called otherwise now, or gone"


class _Out:
    """A line that waits to be sent, and who waits for that.

    With an *account*, it is only for that, and goes to *nick* while that is logged in to it.
    """

    __slots__ = ("account", "data", "nick", "sent")

    def __init__(
        self, data: bytes, sent: asyncio.Future[None] | None = None, nick: str = "", account: str = ""
    ) -> None:
        self.data = data
        self.sent = sent
        self.nick = nick
        self.account = account

    def fail(self, why: str) -> None:
        """Tell whoever waits that it does not go out."""
        if self.sent is not None:
            _fail(self.sent, why)

    def __len__(self) -> int:
        return len(self.data)


class Outbox:
    """What is to be sent on one network, over one connection after the other."""

    def __init__(self, machine: Machine, pace: Pace, log: Logger) -> None:
        """Send at *pace* to whom *machine* sees; nothing before `opened`."""
        self._machine = machine
        self._pace = pace
        self._log = log
        self._link: Link | None = None
        self._flood: Flood[_Out] = Flood(pace)
        self._moved = asyncio.Event()
        """Set for a moment whenever lines have gone out: there may be room for more."""

        self._asked: dict[str, list[asyncio.Future[str | None]]] = {}
        """By folded nick, who waits to know its account."""

        self._vouched: OrderedDict[str, float] = OrderedDict()
        """When the network last told the account of a nick by itself or because it was asked, by folded nick."""

        self._doubted: dict[str, list[_Out]] = {}
        """By folded nick, the lines whose turn it was, and that wait until the network has told whose it is."""

    # ---------------------------------------------------------- connection

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._link is not None

    def opened(self, link: Link) -> None:
        """Send on *link* from now on."""
        self._link = link
        self._flood = Flood(self._pace)

    def lost(self) -> None:
        """Let everybody who waits know that the connection is gone."""
        self._link = None
        for out in [*(one for _, one in self._flood.drain()), *itertools.chain(*self._doubted.values())]:
            out.fail("the connection was lost")
        self._doubted.clear()
        self._vouched.clear()
        for waiting in itertools.chain(*self._asked.values()):
            _tell(waiting, None)
        self._asked.clear()
        self._moved.set()
        self._moved.clear()

    @property
    def due(self) -> float | None:
        """When `pump` has something to do; None while nothing waits."""
        at = self._flood.next_at
        if at is None or self._link is None or self._link.has_room:
            return at
        return max(at, time.monotonic() + _FULL)

    def pump(self) -> None:
        """Write what may go out now."""
        link, now = self._link, time.monotonic()
        while link is not None and link.has_room and (out := self._flood.pop(now)) is not None:
            if self._is_sure(out, now):
                _write(link, out)
        self._moved.set()
        self._moved.clear()

    # -------------------------------------------------------------- saying

    def send(self, effect: Send) -> None:
        """Let the machine's line go out, in its turn; it is dropped where too many wait."""
        data = effect.line.encode(self._machine.line_limit)
        try:
            self._flood.push(None if effect.urgent else "", _Out(data))
        except OverflowError:  # whatever it is, the machine tries it again, or goes on without an answer
            self._log.warning("a line of the bot's own was dropped (%s): too many wait", effect.line.command)

    def queue(self, target: str, lines: Iterable[Line], account: str = "") -> asyncio.Future[None]:
        """Let *lines* go to *target*, where that is a nick only while it is logged in to *account*.

        What is returned is done when the last one has gone out: mostly it has already.
        """
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        limit, place = self._machine.line_limit, self._fold(target)
        data = [line.encode(limit) for line in lines]
        for number, one in enumerate(data, 1):
            try:
                self._flood.push(place, _Out(one, sent if number == len(data) else None, target, account))
            except OverflowError:
                self._log.warning("%d lines for one target were dropped: too many wait", len(data) - number + 1)
                _fail(sent, "too much waits to be said there")
                break
        self._go()
        return sent

    async def room(self, target: str) -> None:
        """Return when there is room for *target*.

        Raises:
            NotDelivered: there is none for half a minute.
        """
        place = self._fold(target)
        if self._flood.has_room(place):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_ROOM_WITHIN):
                while not self._flood.has_room(place):
                    await self._moved.wait()
                return
        raise NotDelivered("too much waits to be said there", retryable=True)

    def _go(self) -> None:
        """Write what may go now, and let the driver come back for what may not."""
        self.pump()
        if self._link is not None and len(self._flood):
            self._link.wake()

    # --------------------------------------------------------------- doubt

    def vouch(self, nick: str) -> None:
        """Note that the network has just told the account of *nick*."""
        place = self._fold(nick)
        self._vouched[place] = time.monotonic()
        self._vouched.move_to_end(place)
        if len(self._vouched) > _REMEMBERED:
            self._vouched.popitem(last=False)

    def learn(self, known: Known) -> None:
        """Let go what waited to know whose that nick is, or drop it."""
        place = self._fold(known.nick)
        if known.account is not None:  # it may not even have been asked
            self.vouch(known.nick)
        for out in self._doubted.pop(place, ()):
            if self._link is not None and out.account == known.account:
                _write(self._link, out)
            else:
                out.fail(_GONE)
        for waiting in self._asked.pop(place, ()):
            _tell(waiting, known.account)

    async def account_of(self, nick: str) -> str | None:
        """Ask the network which account *nick* is logged in to just now; None also where it does not tell in time."""
        waiting: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(self._fold(nick), []).append(waiting)
        self._follow(self._machine.ask(nick, time.monotonic()))
        self._go()
        await asyncio.wait([waiting], timeout=_TOLD_WITHIN)
        return waiting.result() if waiting.done() else None

    def _is_sure(self, out: _Out, now: float) -> bool:
        """Return whether *out* would reach whom it is for; if not, it is dropped, or waits for the network's word."""
        if not out.account:
            return True
        place = self._fold(out.nick)
        if place in self._doubted:
            self._doubted[place].append(out)
            return False
        user = self._machine.roster.user(out.nick)
        if user is None or user.account != out.account:
            out.fail(_GONE)
            return False
        if self._machine.tells_of(out.nick) or now - self._vouched.get(place, float("-inf")) < _VOUCHED:
            return True
        self._doubted[place] = [out]
        asking = self._machine.ask(out.nick, now)
        self._follow(replace(one, urgent=True) if isinstance(one, Send) else one for one in asking)
        return False

    def _follow(self, effects: Iterable[Effect]) -> None:
        """Do what comes of asking."""
        for effect in effects:
            if isinstance(effect, Send):
                self.send(effect)
            elif isinstance(effect, Known):
                self.learn(effect)

    def _fold(self, name: str) -> str:
        return self._machine.isupport.fold(name)


def _write(link: Link, out: _Out) -> None:
    link.write(out.data)
    if out.sent is not None:
        _tell(out.sent, None)


def _tell[T](waiting: asyncio.Future[T], what: T) -> None:
    if not waiting.done():
        waiting.set_result(what)


def _fail(sent: asyncio.Future[None], why: str) -> None:
    if not sent.done():
        sent.set_exception(NotDelivered(why, retryable=True))
        sent.exception()  # looked at: nobody may be waiting
