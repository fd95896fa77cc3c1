"""A network that is not there, and a store for those that are.

`FakeAdapter` keeps the adapter contract as strictly as a real one: it says nothing twice,
reaches one person alone or refuses, and says nothing while it is down.  What it heard and
said is there to be looked at, and the network may change behind the bot's back: people
come and go, close their direct messages, and the whole goes down and comes up.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from omnibot.adapter import Capabilities, Deliver, Limits, Ready
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Assurance, Identity, Speaker
from omnibot.markup import MarkdownRenderer, PlainRenderer
from omnibot.message import Channel, Message, Private, Reply, Sent
from omnibot.splitting import split

RICH = Capabilities(
    edit=True,
    buttons=True,
    select=True,
    form=True,
    ephemeral=True,
    retract=True,
    react=True,
    typing=True,
    thread=True,
    image=True,
    file=True,
)
"""A network that can do everything, as Discord nearly can."""

FORMLESS = replace(RICH, form=False)
"""The same without forms, so that keys are typed into the bot's own page; what a `Bench` has of itself."""

POOR = Capabilities()
"""A network that can only say lines, as IRC."""

WIDE = Limits(text=2000)
"""The limits of a `RICH` network, and of every other that is not `POOR`."""

NARROW = Limits(text=120, unit="bytes", lines=4)
"""The limits of a `POOR` network."""


@dataclass(frozen=True, slots=True)
class Said:
    """Something the bot said."""

    to: Channel | Private
    reply: Reply
    pieces: tuple[str, ...]
    """What went over the wire: rendered, and cut to the limits."""

    key: str
    """Empty where it was said anew in place of an edit."""

    at: float
    ephemeral: bool
    """Whether it was shown in a room to one person alone."""

    channel: Channel
    """Where it appeared."""

    @property
    def text(self) -> str:
        """The pieces, a line end between them."""
        return "\n".join(self.pieces)


class FakeStore:
    """An adapter's store, in memory."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        """Return the value of *key*, or None."""
        return self.rows.get(key)

    async def set(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*."""
        self.rows[key] = value

    async def delete(self, key: str) -> None:
        """Forget *key*."""
        self.rows.pop(key, None)


class FakeAdapter:
    """An adapter with no network under it.

    A network whose limits name *lines* shows plain text and takes one line a message;
    any other takes Markdown.  Without buttons, choices and links stand in the text.
    """

    def __init__(
        self,
        network: str = "fake",
        *,
        capabilities: Capabilities = RICH,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make *network*, up and without a soul; no *limits*: those that go with *capabilities*."""
        self.network = network
        self.realm = f"{network}.example"
        self.capabilities = capabilities
        self.limits = limits or (NARROW if capabilities == POOR else WIDE)
        self.said: list[Said] = []
        self.edits: list[tuple[Sent, Reply]] = []
        self.retracted: list[Message] = []
        self.typed: list[Channel] = []
        self.runs = 0
        self._clock = clock
        self._renderer = PlainRenderer() if self.limits.lines else MarkdownRenderer()
        self._numbers = itertools.count(1)
        self._rooms: dict[str, Channel] = {}
        self._readers: dict[str, set[Speaker]] = {}
        self._own: dict[str, Identity] = {}
        """Whose place within a room each such place is."""

        self._closed: set[Speaker] = set()
        self._live: set[str] = set()
        self._sent: dict[str, Sent] = {}
        self._by_id: dict[str, Said] = {}
        self._down = False
        self._deliver: Deliver | None = None
        self.has_run = asyncio.Event()
        """Whether it has been connected, or has failed to be."""

        self._connected = asyncio.Event()
        self._ends: list[Exception | None] = []
        self._end = asyncio.Event()
        self._more = asyncio.Event()
        self._waited = 0

    # ------------------------------------------------------- the contract

    async def run(self, deliver: Deliver, ready: Ready) -> None:
        """Be connected until cancelled, `end_run` or `fail_run`."""
        self.runs += 1
        try:
            if not self._ends:
                await ready(self.realm)
                self._deliver = deliver
                self._connected.set()
                self.has_run.set()
            while not self._ends:
                self._end.clear()
                await self._end.wait()
            if error := self._ends.pop(0):
                raise error
        finally:
            self.has_run.set()
            self._deliver = None
            self._connected.clear()

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply* once for each *key*.

        Raises:
            NoPrivateWay: *to* is private, and just now has another reader or is closed.
            NotDelivered: the network is down or not connected, or the reply is blank.
            ValueError: *key* is empty, so nothing could tell a second call from the first.
        """
        if not key:
            raise ValueError("a reply wants a key")
        await asyncio.sleep(0)  # as on a real network, others may act before it goes out
        if key not in self._sent:
            self._sent[key] = self._say(to, reply, key)
        return self._sent[key]

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Change what was *sent*; without the capability, say *reply* anew in the same place."""
        await asyncio.sleep(0)
        before = self._by_id.get(sent.id)
        if before is None:
            raise NotDelivered(f"nothing was sent as {sent.id}", retryable=False)
        if not self.capabilities.edit:
            return self._say(before.to, reply, "")
        self._check_up()
        self._way(before.to, reply.answers)
        self._pieces(reply)
        self.edits.append((sent, reply))
        return sent

    async def retract(self, message: Message) -> bool:
        """Remove *message* from a room, where the network can."""
        if self._down or not self.capabilities.retract or message.channel.private:
            return False
        self.retracted.append(message)
        return True

    async def typing(self, channel: Channel) -> None:
        """Note it, where the network has such a sign."""
        if self.capabilities.typing:
            self.typed.append(channel)

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether *identity* is in *channel*; nobody is while the network is down."""
        return not self._down and self._knows(channel) and identity in self._readers[channel.id]

    # --------------------------------------------------------- its people

    def room(self, name: str, *speakers: Speaker) -> Channel:
        """Return the room *name*, which any number may read; *speakers* join it."""
        channel = self._rooms.setdefault(name, Channel(self.network, name, name=f"#{name}"))
        self._readers.setdefault(name, set()).update(speakers)
        return channel

    def dm(self, speaker: Speaker) -> Channel:
        """Return the private channel of *speaker*, who is in it from its first use on."""
        name = _dm_name(speaker)
        self._readers.setdefault(name, {speaker})
        return self._rooms.setdefault(name, Channel(self.network, name, private=True))

    def join(self, channel: Channel, speaker: Speaker) -> None:
        """Let *speaker* read *channel*, be it a room or somebody else's private channel."""
        self._readers[channel.id].add(speaker)

    def leave(self, channel: Channel, speaker: Speaker) -> None:
        """Take *speaker* out of *channel*."""
        self._readers[channel.id].discard(speaker)

    def close_dms(self, identity: Identity) -> None:
        """Let *identity* take no direct messages."""
        self._closed.add(identity)

    def open_dms(self, identity: Identity) -> None:
        """Let *identity* take direct messages again."""
        self._closed.discard(identity)

    # ------------------------------------------------------------ its fate

    def go_down(self) -> None:
        """Take nothing any more, though `run` has not noticed."""
        self._down = True

    def come_up(self) -> None:
        """Take things again."""
        self._down = False

    def fail_run(self, error: Exception) -> None:
        """Let `run` raise *error*: the one that runs, else the next one before it is ready."""
        self._ends.append(error)
        self._end.set()

    def end_run(self) -> None:
        """Let `run` return, as when the network ends for good by itself."""
        self._ends.append(None)
        self._end.set()

    # ------------------------------------------------------------- hearing

    async def hear(
        self,
        text: str,
        speaker: Speaker,
        channel: Channel | None = None,
        *,
        live: bool = False,
        position: str | None = None,
        **overrides: Any,
    ) -> Message:
        """Let *speaker* say *text*, and return the message once the bot took it.

        Whoever speaks in a room is in it.  Waits five seconds for the bot to connect.

        Args:
            text: what is said.
            speaker: an identity is vouched for strongly, a guest not at all.
            channel: where; None: in private.
            live: whether the message leaves a handle for an ephemeral answer, as a Discord command does.
            position: what the bot is to keep with the message, as on a network that redelivers.
            overrides: fields of the `Message`.
        """
        channel = channel or self.dm(speaker)
        self._readers[channel.id].add(speaker)
        assurance = Assurance.STRONG if isinstance(speaker, Identity) else None
        number = f"{self.network}-{next(self._numbers)}"
        plain = Message(self.network, number, speaker, channel, text, self._clock(), assurance)
        message = replace(plain, **overrides)
        if live:
            self._live.add(message.id)
        await self.redeliver(message, position=position)
        return message

    async def pick(self, said: Said, choice: str, speaker: Speaker, *, anybody: bool = False) -> Message:
        """Let *speaker* press the button of *choice* below what was *said*; buttons need no capability here.

        Raises:
            LookupError: it answers somebody else; with *anybody* it is heard all the same, which no adapter does.
        """
        answered = said.reply.answers
        if not (anybody or answered is None or answered.speaker == speaker):
            raise LookupError("it is somebody else's button")
        where = self._place(said, speaker)
        number = str(said.reply.choices.index(choice) + 1)
        return await self.hear(number, speaker, where, addressed=True, picks=said.reply.question)

    async def fill(self, said: Said, value: str, speaker: Identity, prefix: str = "!") -> Message:
        """Let *speaker* type *value* into the form of what was *said*, which leaves no record.

        Raises:
            LookupError: it has none, or the network has no forms.
        """
        form = said.reply.form
        if form is None or not self.capabilities.form:
            raise LookupError("there is no form")
        line = f"{prefix}{form.command} {value}" if form.command else value
        return await self.hear(line, speaker, self._alone(said, speaker), live=True, addressed=True, unkept=True)

    async def open(self, said: Said, speaker: Identity) -> Message:
        """Let *speaker* press the button that opens a private place below what was *said*.

        Raises:
            LookupError: there is none, or it is not theirs.
        """
        if said.reply.opens != speaker or not self.capabilities.ephemeral:
            raise LookupError("there is no such button for them")
        return await self.hear("", speaker, self._alone(said, speaker), live=True, addressed=True)

    async def redeliver(self, *messages: Message, position: str | None = None) -> None:
        """Deliver *messages* as they are, for example a second time."""
        async with asyncio.timeout(5):
            await self._connected.wait()
        if self._down or self._deliver is None:
            raise RuntimeError(f"{self.network} is down: nothing is heard")
        await self._deliver(messages, position)

    def forget_handles(self) -> None:
        """Let the handles for ephemeral answers expire."""
        self._live.clear()

    # ------------------------------------------------------- what was said

    async def wait(self, n: int = 1, timeout: float = 5) -> list[Said]:  # noqa: ASYNC109  # it tells what was said
        """Return the next *n* replies after those that the last call returned, as soon as they are said.

        Raises:
            TimeoutError: *timeout* seconds went by; its text shows the replies there were.
        """
        try:
            async with asyncio.timeout(timeout):
                while len(self.said) < self._waited + n:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            heard = [said.text for said in self.said[self._waited :]]
            raise TimeoutError(f"waited for {n} replies in vain; there were {heard}") from None
        self._waited += n
        return self.said[self._waited - n : self._waited]

    def saying(self, sent: Sent) -> Said:
        """Return what was *sent*."""
        return self._by_id[sent.id]

    def texts(self, where: Channel | Identity | None = None) -> list[str]:
        """Return what was said, in order: to all in a channel, to one identity in private, or all of it."""
        if isinstance(where, Identity):
            return self.private_texts(where)
        if where is None:
            return [said.text for said in self.said]
        return [said.text for said in self.said if said.channel.id == where.id and not said.ephemeral]

    def public_texts(self) -> list[str]:
        """Return what was said where others may read it."""
        return [said.text for said in self.said if not (said.ephemeral or said.channel.private)]

    def private_texts(self, identity: Identity) -> list[str]:
        """Return what *identity* alone was told."""
        own = _dm_name(identity)
        return [
            said.text
            for said in self.said
            if said.channel.id == own or (isinstance(said.to, Private) and said.to.identity == identity)
        ]

    # ------------------------------------------------------------- inside

    def _place(self, said: Said, speaker: Speaker) -> Channel:
        """Return where *speaker* presses a button of what was *said*."""
        return self._alone(said, speaker) if said.ephemeral and isinstance(speaker, Identity) else said.channel

    def _alone(self, said: Said, speaker: Identity) -> Channel:
        """Return the place of *speaker* alone where it was *said*: the channel itself, or one within it."""
        if said.channel.private:
            return said.channel
        name = f"{said.channel.id} alone {speaker.subject}"
        self._readers.setdefault(name, {speaker})
        self._own[name] = speaker
        return self._rooms.setdefault(name, Channel(self.network, name, private=True, name=said.channel.name))

    def _say(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        self._check_up()
        channel, ephemeral = self._way(to, reply.answers)
        pieces = self._pieces(reply)
        sent = Sent(self.network, channel.id, f"{self.network}-{next(self._numbers)}", here=ephemeral)
        said = Said(to, reply, pieces, key, self._clock(), ephemeral, channel)
        self.said.append(said)
        self._by_id[sent.id] = said
        self._more.set()
        return sent

    def _check_up(self) -> None:
        if self._down or self._deliver is None:
            raise NotDelivered(f"{self.network} is not connected", retryable=True)

    def _way(self, to: Channel | Private, answered: Message | None) -> tuple[Channel, bool]:
        """Return where *to* is reached at this moment, and whether by an ephemeral answer."""
        if isinstance(to, Channel) and to.id in self._own:
            to = Private(self._own[to.id], answered)
        if isinstance(to, Channel):
            if not self._knows(to):
                raise NotDelivered(f"{to.network} has no channel {to.id}", retryable=False)
            if to.private:
                self._check_private(to)
            return to, False
        if to.identity.network != self.network:
            raise NoPrivateWay(f"{to.identity} is not on {self.network}")
        near = to.near
        if near and self.capabilities.ephemeral and near.id in self._live and near.speaker == to.identity:
            return near.channel, near.channel.id in self._own or not near.channel.private
        channel = self.dm(to.identity)
        self._check_private(channel)
        return channel, False

    def _check_private(self, channel: Channel) -> None:
        readers = self._readers[channel.id]
        if {_dm_name(reader) for reader in readers} != {channel.id} or readers & self._closed:
            raise NoPrivateWay(f"{channel.id} has not its one reader")

    def _knows(self, channel: Channel) -> bool:
        return channel.network == self.network and channel.id in self._rooms

    def _pieces(self, reply: Reply) -> tuple[str, ...]:
        rendered = self._renderer.render(reply.text) if self.capabilities.buttons else self._renderer.reply(reply)
        limits = self.limits
        pieces = split(
            rendered,
            limits.text,
            limits.unit,
            1 if limits.lines else None,
            fences=not limits.lines and limits.text >= 64,
        )
        if not pieces:
            raise NotDelivered("a blank message is refused", retryable=False)
        return tuple(pieces)


def _dm_name(speaker: Speaker) -> str:
    if isinstance(speaker, Identity):
        return f"dm {speaker.subject} {speaker.epoch}".strip()
    return f"dm guest {speaker.key}"
