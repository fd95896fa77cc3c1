"""IRC as a network of the bot: the machine's shell, and the adapter's contract.

One task reads, and drives the machine; it never waits for the bot, which takes what was heard by
itself.  What is to be said waits in the order of `Flood`, so that the server never has to throw the
bot out.  A person is known by the account that the network gives on the very message; a private
reply goes to a nick only while that nick is logged in to the person's account, and where the network
does not tell of itself when that changes, it is asked first.
"""

import asyncio
import itertools
import secrets
import ssl
import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from adapters.irc.effects import Drop, Effect, Forget, Heard, Keep, Known, NotTaken, Ready, Refused, Said, Send, Upgrade
from adapters.irc.epochs import Services
from adapters.irc.flood import Flood, Pace
from adapters.irc.lines import LIMIT, Line, build, is_word
from adapters.irc.link import Link, Lost
from adapters.irc.machine import Machine
from adapters.irc.settings import Settings, Tls
from adapters.irc.speech import LEAST_ROOM, Ctcp, IrcRenderer, Pages, pieces, room, strip_codes
from omnibot import adapter as contract
from omnibot.adapter import Capabilities, Deliver, Limits, Tools
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.errors import Refused as Final
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.message import Channel, Message, Origin, Private, Reply, Sent

_REMEMBERED = 1000
_UNHEARD = 1000
"""Messages that may wait for the bot to take them."""

_WRITTEN_WITHIN = 8.0
"""Seconds for which `send` waits until its lines are out; what flood control holds back longer still goes out."""

_ROOM_WITHIN = 30.0
_HELD = 20
"""Messages of one account that may wait until services have told of it, as many as may wait in a lane."""

_STRANGER = 60.0
"""Seconds for which services' word of somebody holds whose logging out the network would not tell of."""

_FULL = 0.1
"""Seconds until it is looked again whether a slow server has taken what it was sent."""

_VOUCHED = 1.0
"""Seconds for which the network's word of such a one's account holds for a line to them."""

_ACCOUNT = "account "
_NICK = "nick "
_OLD = frozenset({"chathistory", "draft/chathistory", "znc.in/playback"})
"""Batches of what was said before."""


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
        if self.sent is not None and not self.sent.done():
            self.sent.set_exception(NotDelivered(why, retryable=True))

    def __len__(self) -> int:
        return len(self.data)


class Adapter:
    """One IRC network."""

    capabilities = Capabilities()

    def __init__(self, tools: Tools, settings: Settings) -> None:
        """Speak on the network of *settings*."""
        self._tools = tools
        self._settings = settings
        self.limits = Limits(text=LIMIT, unit="bytes", lines=settings.lines)
        self._machine: Machine | None = None
        self._link: Link | None = None
        self._pace = Pace(settings.pace.lines, settings.pace.seconds, settings.pace.bytes)
        self._flood: Flood[_Out] = Flood(self._pace)
        self._moved = asyncio.Event()
        """Set for a moment whenever lines have gone out: there may be room for more."""

        self._renderer = IrcRenderer()
        self._pages = Pages(settings.lines)
        self._ctcp = Ctcp("omnibot")
        self._ids = itertools.count(secrets.randbits(40))
        self._nicks: OrderedDict[str, str] = OrderedDict()
        """Which nick said a message, by its id."""

        self._asked: dict[str, list[asyncio.Future[str | None]]] = {}
        self._vouched: OrderedDict[str, float] = OrderedDict()
        """When the network last told the account of a nick by itself or because it was asked, by folded nick."""

        self._doubted: dict[str, list[_Out]] = {}
        """By folded nick, the lines whose turn it was, and that wait until the network has told whose it is."""

        self._services = (
            Services(settings.nickserv, tools.secrets, tools.log) if settings.epochs == "nickserv" else None
        )
        self._held: dict[str, deque[Heard]] = {}
        """What was heard of each account that services are being asked about, in order."""

        self._releasing: set[asyncio.Task[None]] = set()
        self._said: OrderedDict[str, asyncio.Task[Sent]] = OrderedDict()

    # -- the contract ------------------------------------------------------------------

    async def run(self, deliver: Deliver, ready: contract.Ready) -> None:
        """Connect, and hear until the connection is lost.

        Raises:
            Refused: the network turns the bot away for good, or the server's certificate is not the pinned one.
            OSError, TimeoutError: there is no connection, or it is gone.
        """
        if self._machine is None:
            self._machine = Machine(self._settings, await self._kept())
        heard: asyncio.Queue[Message] = asyncio.Queue(_UNHEARD)
        handing = asyncio.create_task(_hand_over(heard, deliver), name=f"what {self._tools.network} heard")
        try:
            while await self._connection(self._machine, heard, ready):
                pass  # over to TLS, at once
        finally:
            handing.cancel()

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*.

        Raises:
            NoPrivateWay: nobody is logged in to that account just now, as far as can be told.
            NotDelivered: the network is not connected, or there is nothing to say.
        """
        saying = self._said.get(key)
        if saying is None:
            saying = self._said[key] = asyncio.create_task(self._say(to, reply))
            saying.add_done_callback(lambda task: self._forget(key, task))
        return await asyncio.shield(saying)  # who gives up waiting and tries again finds it here

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Say *reply* anew: what was said on IRC stays there."""
        return await self._say(Channel(sent.network, sent.channel, _is_private(sent.channel)), reply)

    async def retract(self, message: Message) -> bool:
        """Return False: what was said on IRC stays there."""
        return False

    async def typing(self, channel: Channel) -> None:
        """Show nothing."""

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether somebody logged in to the account of *identity* is in *channel*, as the network tells."""
        machine = self._machine
        if machine is None or not machine.ready or channel.network != self._tools.network:
            return False
        nicks = machine.roster.nicks(identity.subject)
        if not channel.private:
            nicks = [nick for nick in nicks if machine.roster.in_channel(nick, channel.id)]
        elif channel.id != _private_id(identity):
            return False
        return bool(nicks) and await self._epoch(nicks[0], identity.subject) == identity.epoch

    # -- a connection ------------------------------------------------------------------

    async def _kept(self) -> dict[str, str]:
        key = Machine.kept_key(self._settings)
        value = await self._tools.store.get(key)
        return {} if value is None else {key: value.decode()}

    async def _connection(self, machine: Machine, heard: "asyncio.Queue[Message]", ready: contract.Ready) -> bool:
        """Connect and hear; return True if there is to be another connection at once."""
        where = machine.where()
        tls = self._settings.tls if isinstance(self._settings.tls, Tls) else None
        try:
            link = await Link.open(where, tls)
        except ssl.SSLCertVerificationError as error:
            self._tools.log.warning("the certificate of %s is not to be trusted: %s", where.host, error.verify_message)
            raise
        self._flood = Flood(self._pace)
        self._link = link
        try:
            effects = machine.connected(time.monotonic(), tls=where.tls)
            if self._services is not None:
                self._services.connected(
                    lambda nick, text: self._queue(nick, [build("PRIVMSG", nick, text)]), self._fold
                )
            while True:
                for effect in effects:
                    if await self._do(effect, heard, ready):
                        return True
                self._pump(link)
                effects = []
                for line in await link.read(self._pause(machine, link)):
                    effects += machine.feed(line, time.monotonic())
                effects += machine.tick(time.monotonic())
        finally:
            self._link = None
            for effect in machine.lost(time.monotonic()):
                await self._keep(effect)
            self._fail_all()
            self._moved.set()
            link.close()

    def _pause(self, machine: Machine, link: Link) -> float | None:
        """Return the seconds until something is due; None where nothing is."""
        due, at, now = machine.next_tick, self._flood.next_at, time.monotonic()
        if at is not None:
            due = min(due, at if link.has_room else max(at, now + _FULL))
        return None if due == float("inf") else max(0.0, due - now)

    def _pump(self, link: Link) -> None:
        """Write what may go out now."""
        now = time.monotonic()
        while link.has_room and (out := self._flood.pop(now)) is not None:
            if self._is_sure(out, now):
                _write(link, out)
            self._moved.set()
        self._moved.clear()

    def _is_sure(self, out: _Out, now: float) -> bool:
        """Return whether *out* would reach whom it is for; if not, it is dropped, or waits for the network's word.

        A nick may have been taken by somebody else while the line waited.
        """
        machine = self._machine
        if machine is None or not out.account:
            return True
        place = self._fold(out.nick)
        if place in self._doubted:
            self._doubted[place].append(out)
            return False
        user = machine.roster.user(out.nick)
        if user is None or user.account != out.account:
            out.fail("whom it was for is called otherwise now, or gone")
            return False
        if machine.roster.watched(out.nick) and machine.has("account-notify"):
            return True
        if now - self._vouched.get(place, float("-inf")) < _VOUCHED:
            return True
        self._doubted[place] = [out]
        for effect in machine.ask(out.nick, now):
            self._do_now(replace(effect, urgent=True) if isinstance(effect, Send) else effect)
        return False

    def _vouch(self, nick: str) -> None:
        """Note that the network has just told the account of *nick*."""
        place = self._fold(nick)
        self._vouched[place] = time.monotonic()
        self._vouched.move_to_end(place)
        if len(self._vouched) > _REMEMBERED:
            self._vouched.popitem(last=False)

    def _learn(self, known: Known) -> None:
        """Let go what waited to know whose that nick is, or drop it."""
        self._vouch(known.nick)
        for out in self._doubted.pop(self._fold(known.nick), ()):
            if self._link is not None and out.account == known.account:
                _write(self._link, out)
            else:
                out.fail("whom it was for is called otherwise now, or gone")

    async def _do(self, effect: Effect, heard: "asyncio.Queue[Message]", ready: contract.Ready) -> bool:
        """Do *effect*; return whether to connect anew at once."""
        match effect:
            case Heard():
                await self._take(effect, heard)
            case Ready():
                if self._machine is not None:
                    self.limits = replace(self.limits, text=self._machine.line_limit)
                await ready(effect.realm)
            case Refused():
                raise Final(effect.what, cure=effect.cure)
            case Drop():
                raise Lost(effect.why)
            case Upgrade():
                return True
            case Keep() | Forget():
                await self._keep(effect)
            case _:
                self._do_now(effect)
        return False

    def _do_now(self, effect: Effect) -> None:
        match effect:
            case Send():
                limit = self._machine.line_limit if self._machine else 512
                self._flood.push(None if effect.urgent else "", _Out(effect.line.encode(limit)))
                self._wake()
            case Known():
                self._learn(effect)
                for waiting in self._asked.pop(self._fold(effect.nick), ()):
                    if not waiting.done():
                        waiting.set_result(effect.account)
            case NotTaken():
                self._tools.log.info("the network did not take what was said (%s)", effect.code)
                if self._services is not None:
                    self._services.not_taken(effect.target)
            case Said():
                self._tools.log.warning("%s", effect.text)
            case _:
                raise AssertionError(f"{effect} is done elsewhere")

    async def _keep(self, effect: Effect) -> None:
        if isinstance(effect, Keep):
            await self._tools.store.set(effect.key, effect.value.encode())
        elif isinstance(effect, Forget):
            await self._tools.store.delete(effect.key)

    def _fail_all(self) -> None:
        """Let everybody who waits know that the connection is gone."""
        for out in [*(one for _, one in self._flood.drain()), *itertools.chain(*self._doubted.values())]:
            out.fail("the connection was lost")
        self._doubted.clear()
        self._vouched.clear()
        for waiting in [one for ones in self._asked.values() for one in ones]:
            if not waiting.done():
                waiting.set_result(None)
        self._asked.clear()
        if self._services is not None:
            self._services.lost()
        for task in self._releasing:
            task.cancel()
        self._held.clear()

    # -- hearing -----------------------------------------------------------------------

    async def _take(self, heard: Heard, queue: "asyncio.Queue[Message]") -> None:
        """Hand *heard* on, once it is known since when the speaker's account is registered."""
        account = heard.account
        if account and not heard.batch:
            self._vouch(heard.nick)
        if heard.kind == "notice" and self._services is not None:
            self._services.heard(heard)
        elif account and not heard.is_echo and heard.batch not in _OLD and heard.kind != "ctcp":
            epoch = None if account in self._held else self._known_epoch(heard.nick, account)
            if epoch is None:
                self._hold(account, heard, queue)
                return
            heard = replace(heard, epoch=epoch)
        await self._hand_on(heard, queue)

    async def _hand_on(self, heard: Heard, queue: "asyncio.Queue[Message]") -> None:
        message = self._hear(heard)
        if message is not None:
            await queue.put(message)

    def _hold(self, account: str, heard: Heard, queue: "asyncio.Queue[Message]") -> None:
        held = self._held.setdefault(account, deque())
        if len(held) >= _HELD:
            self._tools.log.info("a message was dropped: too many of one account wait for services")
            return
        held.append(heard)
        if len(held) == 1:
            task = asyncio.create_task(self._release(account, held, queue))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _release(self, account: str, held: deque[Heard], queue: "asyncio.Queue[Message]") -> None:
        """Hand on what is *held* of *account*, in order; where services do not tell, as a guest's words."""
        try:
            while held:
                epoch = await self._epoch(held[0].nick, account)
                one = replace(held[0], epoch=epoch) if epoch is not None else replace(held[0], account=None)
                await self._hand_on(one, queue)
                held.popleft()
        finally:
            if self._held.get(account) is held:
                del self._held[account]

    async def _epoch(self, nick: str, account: str) -> str | None:
        """Return since when *account*, as which *nick* is logged in, is registered; None where it cannot be told."""
        known = self._known_epoch(nick, account)
        if known is not None or self._services is None or self._machine is None:
            return known
        user = self._machine.roster.user(nick)
        login = user.login if user is not None else 0
        found = await self._services.registered(account, anew=user is not None and user.anew)
        if found is not None and found.fresh and user is not None and user.login == login and user.account == account:
            user.epoch, user.told = found.value, time.monotonic()
        return None if found is None else found.value

    def _known_epoch(self, nick: str, account: str) -> str | None:
        """Return the same without asking; None where services have to be asked (again)."""
        if self._services is None:
            return ""
        machine = self._machine
        user = machine.roster.user(nick) if machine is not None else None
        if machine is None or user is None or user.account != account:
            return None
        lasts = machine.roster.watched(nick) and machine.has("account-notify")
        return user.epoch if lasts or time.monotonic() - user.told < _STRANGER else None

    def _hear(self, heard: Heard) -> Message | None:
        """Return what the bot is told of *heard*; None where it is nothing for it."""
        machine = self._machine
        assert machine is not None, "somebody heard it"
        if heard.kind == "notice" or heard.batch in _OLD or heard.is_echo:
            return None  # to a notice nobody answers (RFC 2812 section 3.3.2)
        if heard.kind == "ctcp":
            self._answer_ctcp(heard)
            return None
        text = strip_codes(heard.text)
        speaker = self._speaker(heard)
        text, addressed = self._unaddressed(text) if heard.channel else (text, True)
        if heard.kind == "action":
            text, addressed = f"* {text}", False  # told, and never a command
        origin = Origin.BOT if heard.is_bot else Origin.PERSON
        if origin is Origin.PERSON and text == f"{self._tools.prefix}more":
            self._more(heard, speaker)
            return None
        number = heard.msgid or f"{next(self._ids):x}"
        self._nicks[number] = heard.nick
        if len(self._nicks) > _REMEMBERED:
            self._nicks.popitem(last=False)
        return Message(
            network=self._tools.network,
            id=number,
            speaker=speaker,
            channel=self._channel(heard, speaker),
            text=text,
            at=heard.time,
            assurance=Assurance.ACCOUNT if isinstance(speaker, Identity) else None,
            addressed=addressed,
            origin=origin,
        )

    def _speaker(self, heard: Heard) -> Speaker:
        if heard.account:
            return Identity(self._tools.network, heard.account, heard.epoch, heard.nick)
        return Guest(self._tools.network, self._fold(heard.nick), heard.nick)

    def _channel(self, heard: Heard, speaker: Speaker) -> Channel:
        if heard.channel:
            return Channel(self._tools.network, self._fold(heard.channel), name=heard.channel)
        name = _private_id(speaker) if isinstance(speaker, Identity) else _NICK + speaker.key
        return Channel(self._tools.network, name, private=True, name=heard.nick)

    def _unaddressed(self, text: str) -> tuple[str, bool]:
        """Return *text* without the bot's nick in front, and whether that was there."""
        nick = self._machine.nick if self._machine else ""
        head, rest = text[: len(nick)], text[len(nick) :]
        if nick and self._fold(head) == self._fold(nick) and rest[:1] in (":", ","):
            return rest[1:].strip(), True
        return text, False

    def _answer_ctcp(self, heard: Heard) -> None:
        answer = None if heard.channel else self._ctcp.answer(heard.text, time.time())
        if answer is not None:
            self._queue(heard.nick, [build("NOTICE", heard.nick, answer)])

    def _more(self, heard: Heard, speaker: Speaker) -> None:
        """Say the next lines of what was too long, to whoever it was for, and to nobody else."""
        page = self._pages.more(speaker, self._space(heard.nick), time.time())
        said = page.said(f"{self._tools.prefix}more") or ["There is no more."]
        account = speaker.subject if isinstance(speaker, Identity) else ""
        self._queue(heard.nick, [build("PRIVMSG", heard.nick, one) for one in said], account)

    # -- saying ------------------------------------------------------------------------

    async def _say(self, to: Channel | Private, reply: Reply) -> Sent:
        machine = self._machine
        if machine is None or self._link is None or not machine.ready:
            raise NotDelivered(f"{self._tools.network} is not connected", retryable=True)
        target = await self._target(to, reply.answers)
        said = self._lines(to, target, reply)
        if not said:
            raise NotDelivered("there is nothing to say", retryable=False)
        await self._wait_for_room(target)
        sent = self._queue(target, [build("PRIVMSG", target, one) for one in said], _reader(to))
        if self._link is not None:
            self._pump(self._link)  # mostly it may go out now, and nobody has to wait
        if sent.done():
            sent.result()
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WRITTEN_WITHIN):
                    await asyncio.shield(sent)
        channel = to.id if isinstance(to, Channel) else _private_id(to.identity)
        return Sent(self._tools.network, channel, f"{next(self._ids):x}")

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
        return self._pages.first(reader, said, time.time()).said(f"{self._tools.prefix}more")

    def _space(self, target: str) -> int:
        machine = self._machine
        assert machine is not None, "somebody is spoken to"
        return max(LEAST_ROOM, room(machine.source, target, machine.line_limit))

    async def _target(self, to: Channel | Private, answered: Message | None) -> str:
        """Return the nick or channel that a line goes to, perhaps to answer *answered*.

        Raises:
            NoPrivateWay, NotDelivered: there is none.
        """
        machine = self._machine
        assert machine is not None, "the network is connected"
        if isinstance(to, Private):
            return await self._nick_of(to.identity, to.near)
        if to.network != self._tools.network:
            raise NotDelivered(f"{to.network} is another network", retryable=False)
        if to.id.startswith(_ACCOUNT):
            subject, _, epoch = to.id.removeprefix(_ACCOUNT).partition(" ")
            return await self._nick_of(Identity(to.network, subject, epoch), answered)
        if to.id.startswith(_NICK):
            return to.id.removeprefix(_NICK)
        if not machine.joined(to.id):
            raise NotDelivered("the bot is not in that channel", retryable=True)
        return to.name or to.id

    async def _nick_of(self, identity: Identity, near: Message | None) -> str:
        """Return a nick that is logged in to the account of *identity*, at this moment, as the network tells.

        The one who said *near* comes first.

        Raises:
            NoPrivateWay: there is none, or the account may have another owner now.
        """
        machine = self._machine
        assert machine is not None, "the network is connected"
        if identity.network != self._tools.network or not machine.account_tags:
            raise NoPrivateWay(f"{identity} cannot be told from others here")
        for nick in self._candidates(identity, near):
            known = nick in machine.roster.nicks(identity.subject)
            told = known and machine.roster.watched(nick) and machine.has("account-notify")
            if not told and await self._account_of(nick) != identity.subject:
                continue
            if await self._epoch(nick, identity.subject) == identity.epoch:
                return nick
        if self._link is None:
            raise NotDelivered("the connection was lost", retryable=True)
        raise NoPrivateWay(f"nobody is logged in as {identity} just now")

    def _candidates(self, identity: Identity, near: Message | None) -> list[str]:
        """Return the nicks that may be the person's, likeliest first, and no more than are worth asking about.

        Those that the roster does not name yet, as just after a connect, are as good: each is asked about.
        """
        machine = self._machine
        assert machine is not None, "the network is connected"
        found = machine.roster.nicks(identity.subject)
        said = self._nicks.get(near.id) if near is not None else None
        if said is not None:
            found = [said, *(one for one in found if one != said)]
        if not found and is_word(identity.subject):
            found = [identity.subject]
        return [one for one in found if not self._is_elsewhere(one, identity)][:3]

    def _is_elsewhere(self, nick: str, identity: Identity) -> bool:
        """Return whether *nick*, as the network keeps telling, is not logged in as *identity*."""
        machine = self._machine
        assert machine is not None, "the network is connected"
        user = machine.roster.user(nick)
        watched = machine.roster.watched(nick) and machine.has("account-notify")
        return watched and user is not None and user.account not in (None, identity.subject)

    async def _account_of(self, nick: str) -> str | None:
        """Ask the network which account *nick* is logged in to just now."""
        assert self._machine is not None, "the network is connected"
        waiting: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(self._fold(nick), []).append(waiting)
        for effect in self._machine.ask(nick, time.monotonic()):
            self._do_now(effect)
        return await waiting

    def _queue(self, target: str, lines: Iterable[Line], account: str = "") -> "asyncio.Future[None]":
        """Let *lines* go to *target*, where that is a nick only while it is logged in to *account*.

        What is returned is done when the last one has gone out.
        """
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be waiting
        limit = self._machine.line_limit if self._machine else 512
        data = [line.encode(limit) for line in lines]
        place = self._fold(target)
        for number, one in enumerate(data, 1):
            if not self._flood.has_room(place):
                self._tools.log.warning("%d lines for one target were dropped: too many wait", len(data) - number + 1)
                sent.set_exception(NotDelivered("too much waits to be said there", retryable=True))
                break
            self._flood.push(place, _Out(one, sent if number == len(data) else None, target, account))
        self._wake()
        return sent

    async def _wait_for_room(self, target: str) -> None:
        if self._flood.has_room(self._fold(target)):
            return
        try:
            async with asyncio.timeout(_ROOM_WITHIN):
                while not self._flood.has_room(self._fold(target)):
                    await self._moved.wait()
        except TimeoutError:
            raise NotDelivered("too much waits to be said there", retryable=True) from None

    def _wake(self) -> None:
        if self._link is not None:
            self._link.wake()

    def _fold(self, name: str) -> str:
        return self._machine.isupport.fold(name) if self._machine else name.lower()

    def _forget(self, key: str, task: "asyncio.Task[Sent]") -> None:
        """Forget the oldest keys, and this one if it may be tried again."""
        if task.cancelled() or task.exception() is not None:
            self._said.pop(key, None)
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)


async def _hand_over(heard: "asyncio.Queue[Message]", deliver: Deliver) -> None:
    while True:
        await deliver([await heard.get()])


def _private_id(identity: Identity) -> str:
    return f"{_ACCOUNT}{identity.subject} {identity.epoch}".strip()


def _is_private(channel: str) -> bool:
    return channel.startswith((_ACCOUNT, _NICK))


def _reader(to: Channel | Private) -> str:
    """Return the account that alone may read what is said there; empty where there is none."""
    if isinstance(to, Private):
        return to.identity.subject
    return to.id.removeprefix(_ACCOUNT).partition(" ")[0] if to.id.startswith(_ACCOUNT) else ""


def _write(link: Link, out: _Out) -> None:
    link.write(out.data)
    if out.sent is not None and not out.sent.done():
        out.sent.set_result(None)
