"""What the bot says: whom it reaches, and in which lines.

A person is an account; a private reply goes to a nick only while that nick is logged in to it, as the
network tells at this moment, and as the same owner's.
"""

import asyncio
import itertools
import secrets
import time
from collections import OrderedDict
from contextlib import suppress

from adapters.irc import places
from adapters.irc.lines import build, is_word
from adapters.irc.machine import Machine
from adapters.irc.outbox import Outbox
from adapters.irc.owners import Owners
from adapters.irc.speech import LEAST_ROOM, IrcRenderer, Pages, pieces, room
from omnibot.adapter import Tools
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Identity, Speaker
from omnibot.message import Channel, Message, Private, Reply, Sent
from omnibot.once import Once

_REMEMBERED = 1000
_WRITTEN_WITHIN = 8.0
"""Seconds for which `say` waits until its lines are out; what flood control holds back longer still goes out."""

_MOST_ASKED = 3
"""Nicks that the network is asked about to find one person."""


class Saying:
    """Turns replies into lines, and finds whoever they are for."""

    def __init__(self, tools: Tools, lines: int, machine: Machine, outbox: Outbox, owners: Owners) -> None:
        """Say *lines* lines of a long answer at once, through *outbox*, to whom *machine* and *owners* know."""
        self._network = tools.network
        self._more = f"{tools.prefix}more"
        self._machine = machine
        self._outbox = outbox
        self._owners = owners
        self._renderer = IrcRenderer()
        self._pages = Pages(lines)
        self._ids = itertools.count(secrets.randbits(40))
        self._nicks: OrderedDict[str, str] = OrderedDict()
        """Which nick said a message, by its id."""

        self._said: Once[Sent] = Once()

    def heard(self, message: str, nick: str) -> None:
        """Note that *nick* said the message with the id *message*: it may be answered."""
        self._nicks[message] = nick
        if len(self._nicks) > _REMEMBERED:
            self._nicks.popitem(last=False)

    async def once(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*, unless that was said under *key*; who gives up waiting and tries again finds it under way.

        Raises:
            NoPrivateWay, NotDelivered: as `anew`.
        """
        return await self._said.do(key, lambda: self.anew(to, reply))

    async def anew(self, to: Channel | Private, reply: Reply) -> Sent:
        """Say *reply*.

        Raises:
            NoPrivateWay: nobody is logged in to that account just now, as far as can be told.
            NotDelivered: the network is not connected, or there is nothing to say.
        """
        if not self._outbox.connected or not self._machine.ready:
            raise NotDelivered(f"{self._network} is not connected", retryable=True)
        target = await self._target(to, reply.answers)
        said = self._lines(to, target, reply)
        if not said:
            raise NotDelivered("there is nothing to say", retryable=False)
        await self._outbox.room(target)
        sent = self._outbox.queue(target, [build("PRIVMSG", target, one) for one in said], _reader(to))
        if sent.done():
            sent.result()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WRITTEN_WITHIN):
                    await asyncio.shield(sent)
        channel = to.id if isinstance(to, Channel) else places.private(to.identity)
        return Sent(self._network, channel, f"{next(self._ids):x}")

    def more(self, nick: str, reader: Speaker) -> None:
        """Say the next lines of what was too long to *reader*, called *nick*, whom alone it was for."""
        page = self._pages.more(reader, self._space(nick), time.time())
        said = page.said(self._more) or ["There is no more."]
        account = reader.subject if isinstance(reader, Identity) else ""
        self._outbox.queue(nick, [build("PRIVMSG", nick, one) for one in said], account)

    def _lines(self, to: Channel | Private, target: str, reply: Reply) -> list[str]:
        """Return the lines of *reply*: some now, the rest for whoever asks for more."""
        text = self._renderer.reply(reply)
        answered = reply.answers
        if isinstance(to, Channel) and not to.private and answered is not None:
            text = f"{self._renderer.text(self._nicks.get(answered.id, answered.speaker.name))}: {text}"
        said = pieces(text, self._space(target))
        reader = to.identity if isinstance(to, Private) else answered.speaker if answered is not None else None
        if reader is None or reply.choices or reply.link:  # what is to be answered or opened is not held back
            return said
        return self._pages.first(reader, said, time.time()).said(self._more)

    def _space(self, target: str) -> int:
        return max(LEAST_ROOM, room(self._machine.source, target, self._machine.line_limit))

    # ------------------------------------------------------------- finding

    async def _target(self, to: Channel | Private, answered: Message | None) -> str:
        """Return the nick or channel that a line goes to, perhaps to answer *answered*.

        Raises:
            NoPrivateWay, NotDelivered: there is none.
        """
        if isinstance(to, Private):
            return await self._nick_of(to.identity, to.near)
        if to.network != self._network:
            raise NotDelivered(f"{to.network} is another network", retryable=False)
        if (identity := places.owner(to)) is not None:
            return await self._nick_of(identity, answered)
        if nick := places.guest_nick(to):
            return nick
        if not self._machine.joined(to.id):
            raise NotDelivered("the bot is not in that channel", retryable=True)
        return to.name or to.id

    async def _nick_of(self, identity: Identity, near: Message | None) -> str:
        """Return a nick that is logged in to the account of *identity*, at this moment, as the network tells.

        The one who said *near* comes first.

        Raises:
            NoPrivateWay: there is none, or the account may have another owner now.
        """
        machine = self._machine
        if identity.network != self._network or not machine.account_tags:
            raise NoPrivateWay(f"{identity} cannot be told from others here")
        for nick in self._candidates(identity, near):
            told = nick in machine.roster.nicks(identity.subject) and machine.tells_of(nick)
            if not told and await self._outbox.account_of(nick) != identity.subject:
                continue
            if await self._owners.epoch(nick, identity.subject) == identity.epoch:
                return nick
        if not self._outbox.connected:
            raise NotDelivered("the connection was lost", retryable=True)
        raise NoPrivateWay(f"nobody is logged in as {identity} just now")

    def _candidates(self, identity: Identity, near: Message | None) -> list[str]:
        """Return the nicks that may be the person's, likeliest first, and no more than are worth asking about.

        Those that the roster does not name yet, as just after a connect, are as good: each is asked about.
        """
        found = self._machine.roster.nicks(identity.subject)
        said = self._nicks.get(near.id) if near is not None else None
        if said is not None:
            found = [said, *(one for one in found if one != said)]
        if not found and is_word(identity.subject):
            found = [identity.subject]
        return [one for one in found if not self._is_elsewhere(one, identity)][:_MOST_ASKED]

    def _is_elsewhere(self, nick: str, identity: Identity) -> bool:
        """Return whether *nick*, as the network keeps telling, is not logged in as *identity*."""
        user = self._machine.roster.user(nick)
        return user is not None and user.account not in (None, identity.subject) and self._machine.tells_of(nick)


def _reader(to: Channel | Private) -> str:
    """Return the account that alone may read what is said there; empty where there is none."""
    identity = to.identity if isinstance(to, Private) else places.owner(to)
    return identity.subject if identity is not None else ""
