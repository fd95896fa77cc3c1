"""What the bot hears: from a line that means something to a message of somebody.

Who speaks is told by the account on the very line.  Of an account whose registration is not known yet,
services are asked first, and what it says waits, in order; others' words do not.  What was heard outlives the
connection: a command that was said is not lost because the link broke a moment later.
"""

import asyncio
import itertools
import secrets
import time
from collections import deque

from adapters.irc import places
from adapters.irc.effects import Heard
from adapters.irc.epochs import Services
from adapters.irc.lines import build
from adapters.irc.machine import Machine
from adapters.irc.outbox import Outbox
from adapters.irc.owners import Owners
from adapters.irc.saying import Saying
from adapters.irc.speech import Ctcp, strip_codes
from omnibot.adapter import Deliver, Tools
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.message import Channel, Message, Origin

_UNHEARD = 1000
"""Messages that may wait for the bot to take them."""

_HELD = 20
"""Messages of one account that may wait until services have told of it, as many as may wait in a lane."""

_OLD = frozenset({"chathistory", "draft/chathistory", "znc.in/playback"})
"""Batches of what was said before."""


class Hearing:
    """Makes messages, and hands them over in order."""

    def __init__(
        self,
        tools: Tools,
        machine: Machine,
        outbox: Outbox,
        owners: Owners,
        services: Services | None,
        saying: Saying,
    ) -> None:
        """Hear what *machine* does; *owners* tell epochs, *services* take their own notices, *saying* the ``!more``."""
        self._network = tools.network
        self._more = f"{tools.prefix}more"
        self._log = tools.log
        self._machine = machine
        self._outbox = outbox
        self._owners = owners
        self._services = services
        self._saying = saying
        self._ctcp = Ctcp("omnibot")
        self._ids = itertools.count(secrets.randbits(40))
        self._heard: asyncio.Queue[Message] = asyncio.Queue(_UNHEARD)
        self._handing: Message | None = None
        """What is being handed over."""

        self._held: dict[str, deque[tuple[Heard, bool]]] = {}
        """What was heard of each account that services are being asked about, in order, and whether from somebody
        who was seen to log in."""

        self._releasing: set[asyncio.Task[None]] = set()

    async def hand_over(self, deliver: Deliver) -> None:
        """Hand over what was heard, until cancelled.

        What was under way then is handed over again the next time; the bot knows it by its id.
        """
        while True:
            if self._handing is None:
                self._handing = await self._heard.get()
            await deliver([self._handing])
            self._handing = None

    async def take(self, heard: Heard) -> None:
        """Take *heard*; it is a message once it is known since when the speaker's account is registered."""
        account = heard.account
        if account and not heard.batch:
            self._outbox.vouch(heard.nick)
        if heard.kind == "notice":  # to a notice nobody answers (RFC 2812 section 3.3.2)
            if self._services is not None:
                self._services.heard(heard)
        elif heard.is_echo or heard.batch in _OLD:
            pass
        elif heard.kind == "ctcp":
            self._answer_ctcp(heard)
        elif not account:
            await self._hand_on(heard, self._guest(heard))
        elif account in self._held or (epoch := self._owners.known(heard.nick, account)) is None:
            self._hold(heard, account)
        else:
            await self._hand_on(heard, self._identity(heard, account, epoch))

    # ------------------------------------------------------------- waiting

    def _hold(self, heard: Heard, account: str) -> None:
        held = self._held.setdefault(account, deque())
        if len(held) >= _HELD:
            self._log.info("a message was dropped: too many of one account wait for services")
            return
        held.append((heard, self._owners.is_new(heard.nick)))
        if len(held) == 1:
            task = asyncio.create_task(self._release(account, held))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _release(self, account: str, held: deque[tuple[Heard, bool]]) -> None:
        """Hand on what is *held* of *account*, in order; where its epoch cannot be told, as a guest's words.

        A cut is one more cause why services do not tell, and what was remembered of them counts as it does then.
        """
        try:
            while held:
                heard, new = held[0]
                epoch = await self._owners.epoch(heard.nick, account, new=new)
                speaker = self._guest(heard) if epoch is None else self._identity(heard, account, epoch)
                await self._hand_on(heard, speaker)
                held.popleft()
        finally:
            if self._held.get(account) is held:
                del self._held[account]

    # -------------------------------------------------------------- making

    def _identity(self, heard: Heard, account: str, epoch: str) -> Identity:
        return Identity(self._network, account, epoch, heard.nick)

    def _guest(self, heard: Heard) -> Guest:
        return Guest(self._network, self._fold(heard.nick), heard.nick, heard.host)

    async def _hand_on(self, heard: Heard, speaker: Speaker) -> None:
        message = self._message(heard, speaker)
        if message.origin is Origin.PERSON and message.text == self._more:
            self._saying.more(heard.nick, speaker)
            return
        self._saying.heard(message.id, heard.nick)
        await self._heard.put(message)

    def _message(self, heard: Heard, speaker: Speaker) -> Message:
        text = strip_codes(heard.text)
        text, addressed = self._unaddressed(text) if heard.channel else (text, True)
        if heard.kind == "action":
            text, addressed = f"* {text}", False  # told, and never a command
        return Message(
            network=self._network,
            id=heard.msgid or f"{next(self._ids):x}",
            speaker=speaker,
            channel=self._channel(heard, speaker),
            text=text,
            at=heard.time,
            assurance=Assurance.ACCOUNT if isinstance(speaker, Identity) else None,
            addressed=addressed,
            origin=Origin.BOT if heard.is_bot else Origin.PERSON,
        )

    def _channel(self, heard: Heard, speaker: Speaker) -> Channel:
        if heard.channel:
            return Channel(self._network, self._fold(heard.channel), name=heard.channel)
        return Channel(self._network, places.private(speaker), private=True, name=heard.nick)

    def _unaddressed(self, text: str) -> tuple[str, bool]:
        """Return *text* without the bot's nick in front, and whether that was there."""
        nick = self._machine.nick
        if nick and text[len(nick) : len(nick) + 1] in (":", ",") and self._fold(text[: len(nick)]) == self._fold(nick):
            return text[len(nick) + 1 :].strip(), True
        return text, False

    def _answer_ctcp(self, heard: Heard) -> None:
        answer = None if heard.channel else self._ctcp.answer(heard.text, time.time())
        if answer is not None:
            self._outbox.queue(heard.nick, [build("NOTICE", heard.nick, answer)])

    def _fold(self, name: str) -> str:
        return self._machine.isupport.fold(name)
