"""IRC as a network of the bot: the adapter's contract, and the machine's shell.

One task reads, and drives the machine; it never waits for the bot, which takes what was heard by itself.
What the bot hears is made in `Hearing`, what it says in `Saying`; the lines go out through `Outbox`.
"""

import asyncio
import time
from dataclasses import replace

from adapters.irc import places
from adapters.irc.effects import Drop, Effect, Forget, Heard, Keep, Known, NotTaken, Ready, Refused, Said, Send, Upgrade
from adapters.irc.epochs import Services
from adapters.irc.flood import Pace
from adapters.irc.hearing import Hearing
from adapters.irc.lines import LIMIT, build
from adapters.irc.link import Link, Lost, unconnected
from adapters.irc.machine import Machine
from adapters.irc.outbox import Outbox
from adapters.irc.owners import Owners
from adapters.irc.saying import Saying
from adapters.irc.settings import Settings, Tls
from omnibot import adapter as contract
from omnibot.adapter import Capabilities, Deliver, Limits, Tools
from omnibot.errors import Refused as Final
from omnibot.identity import Identity
from omnibot.message import Channel, Message, Private, Reply, Sent


class Adapter:
    """One IRC network."""

    capabilities = Capabilities()

    def __init__(self, tools: Tools, settings: Settings) -> None:
        """Speak on the network of *settings*."""
        self._tools = tools
        self._settings = settings
        self.limits = Limits(text=LIMIT, unit="bytes", lines=settings.lines)
        self._machine = Machine(settings)
        self._recalled = False
        self._services = (
            Services(settings.nickserv, tools.secrets, tools.log) if settings.epochs == "nickserv" else None
        )
        pace = Pace(settings.pace.lines, settings.pace.seconds, settings.pace.bytes)
        self._outbox = Outbox(self._machine, pace, tools.log)
        self._owners = Owners(self._machine, self._services)
        self._saying = Saying(tools, settings.lines, self._machine, self._outbox, self._owners)
        self._hearing = Hearing(tools, self._machine, self._outbox, self._owners, self._services, self._saying)

    # -- the contract ------------------------------------------------------------------

    async def run(self, deliver: Deliver, ready: contract.Ready) -> None:
        """Connect, and hear until the connection is lost.

        Raises:
            Refused: the network turns the bot away for good, or the server's certificate is not the pinned one.
            OSError, TimeoutError: there is no connection, or it is gone.
        """
        handing = asyncio.create_task(self._hearing.hand_over(deliver), name=f"what {self._tools.network} heard")
        try:
            await self._recall()
            while await self._connection(ready):
                pass  # over to TLS, at once
        except Lost as error:
            self._tools.log.warning("%s: %s", self._settings.host, error)
            raise
        finally:
            handing.cancel()

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*.

        Raises:
            NoPrivateWay: nobody is logged in to that account just now, as far as can be told.
            NotDelivered: the network is not connected, or there is nothing to say.
        """
        return await self._saying.once(to, reply, key)

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Say *reply* anew: what was said on IRC stays there."""
        return await self._saying.anew(places.back(sent.network, sent.channel), reply)

    async def retract(self, message: Message) -> bool:
        """Return False: what was said on IRC stays there."""
        return False

    async def typing(self, channel: Channel) -> None:
        """Show nothing."""

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether somebody logged in to the account of *identity* is in *channel*, as the network tells."""
        if not self._machine.ready or channel.network != self._tools.network:
            return False
        roster = self._machine.roster
        nicks = roster.nicks(identity.subject)
        if not channel.private:
            nicks = [nick for nick in nicks if roster.in_channel(nick, channel.id)]
        elif channel.id != places.private(identity):
            return False
        return bool(nicks) and await self._owners.epoch(nicks[0], identity.subject) == identity.epoch

    # -- a connection ------------------------------------------------------------------

    async def _recall(self) -> None:
        """Tell the machine, once, what it wanted kept over restarts."""
        if not self._recalled:
            key = Machine.kept_key(self._settings)
            value = await self._tools.store.get(key)
            self._machine.recall({} if value is None else {key: value.decode()})
            self._recalled = True

    async def _connection(self, ready: contract.Ready) -> bool:
        """Connect and hear; return True if there is to be another connection at once."""
        machine, where = self._machine, self._machine.where()
        link = await self._open()
        self._outbox.opened(link)
        try:
            effects = machine.connected(time.monotonic(), tls=where.tls)
            if self._services is not None:
                self._services.connected(
                    lambda nick, text: self._outbox.queue(nick, [build("PRIVMSG", nick, text)]), machine.isupport.fold
                )
            while True:
                for effect in effects:
                    if await self._do(effect, ready):
                        return True
                self._outbox.pump()
                effects = []
                for line in await link.read(self._pause()):
                    effects += machine.feed(line, time.monotonic())
                effects += machine.tick(time.monotonic())
        finally:
            link.close()
            self._outbox.lost()
            if self._services is not None:
                self._services.lost()
            for effect in machine.lost(time.monotonic()):
                await self._keep(effect)

    async def _open(self) -> Link:
        where = self._machine.where()
        tls = self._settings.tls if isinstance(self._settings.tls, Tls) else None
        try:
            return await Link.open(where, tls)
        except OSError as error:  # TimeoutError and all of ssl's among them
            self._tools.log.warning("%s", unconnected(error, where, tls, wants_tls=self._settings.secure))
            raise

    def _pause(self) -> float | None:
        """Return the seconds until something is due; None where nothing is."""
        due, at = self._machine.next_tick, self._outbox.due
        if at is not None:
            due = min(due, at)
        return None if due == float("inf") else max(0.0, due - time.monotonic())

    async def _do(self, effect: Effect, ready: contract.Ready) -> bool:
        """Do *effect*; return whether to connect anew at once."""
        match effect:
            case Heard():
                await self._hearing.take(effect)
            case Send():
                self._outbox.send(effect)
            case Known():
                self._outbox.learn(effect)
            case NotTaken(target, code, why):
                self._tools.log.info("the network did not take what was said: %s %s", code, why)
                if self._services is not None:
                    self._services.not_taken(target)
            case Ready(realm):
                self.limits = replace(self.limits, text=self._machine.line_limit)
                await ready(realm)
            case Said(text):
                self._tools.log.warning("%s", text)
            case Keep() | Forget():
                await self._keep(effect)
            case Refused(what, cure):
                raise Final(what, cure=cure)
            case Drop(why):
                raise Lost(why)
            case Upgrade():
                return True
        return False

    async def _keep(self, effect: Effect) -> None:
        if isinstance(effect, Keep):
            await self._tools.store.set(effect.key, effect.value.encode())
        elif isinstance(effect, Forget):
            await self._tools.store.delete(effect.key)
