"""What is said: by which way it goes, in which messages, and how it is changed afterwards.

Invariant: what is for one person goes by an interaction of that very person, hidden from others, or into
their conversation with the bot.  An ephemeral place has no other way, and its name no request would take.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple
from weakref import WeakValueDictionary

import discord

from adapters.discord import components, places
from adapters.discord.answers import translated
from adapters.discord.interactions import Interactions
from adapters.discord.live import Gone, Letter, Live
from adapters.discord.routes import ByChannel, ByInteraction, Route, nonce_of
from adapters.discord.speech import Piece, pieces
from omnibot.errors import NoPrivateWay, NotDelivered, NotSent
from omnibot.identity import Identity
from omnibot.markup import fmt
from omnibot.message import Channel, File, Message, Private, Reply, Sent

_REMEMBERED = 2000
_REACTION = "reaction:"
"""Before the id of the message that was reacted to, in what was sent."""

_LONG = 2000
"""Characters from which on cutting a reply into messages is no matter of a moment."""


@dataclass(frozen=True, slots=True)
class _Words:
    """What is to be said to whom, and where it will stand."""

    reply: Reply
    asker: str
    """The id of the one person whose click counts; none without."""

    place: str
    """The name of the place, as it stands in `Sent.channel`."""

    nonce: str
    private: bool = False
    types: bool = False
    """Whether the bot hears what is typed there as a message."""

    here: bool = False
    reference: str | None = None


class _Begun(NamedTuple):
    """The first messages of a reply in that place, of so many in all."""

    place: str
    of: int
    messages: list[str]


class Saying:
    """Says things through one connection."""

    def __init__(self, network: str, client: discord.Client, interactions: Interactions, log: logging.Logger) -> None:
        """Say nothing yet."""
        self._network = network
        self._client = client
        self._interactions = interactions
        self._pause = interactions.pause
        self._log = log
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._under_way: OrderedDict[str, _Begun] = OrderedDict()
        """What went out of replies that take several messages before one did not; by nonce."""

        self._joint: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        """The messages of a reply that took several, by the id of the last."""

    async def say(self, to: Channel | Private, reply: Reply, nonce: str) -> Sent:
        """Say *reply*; what Discord has seen a few minutes ago with the same *nonce*, it does not show again.

        Raises:
            NoPrivateWay: *to* is private, and there is no way that only that person reads.
            NotDelivered: Discord did not take it.
        """
        self._pause.check()
        if reply.sign and (reacted := await self._react(to, reply)) is not None:
            return reacted
        if isinstance(to, Private):
            return await self._alone(to.identity, to.near, reply, nonce)
        if to.network != self._network:
            raise NotDelivered(f"{to.network} is another network", retryable=False)
        hidden = places.parse(to.id)
        if hidden is not None:
            return await self._alone(Identity(self._network, hidden.user), reply.answers, reply, nonce)
        if not places.is_id(to.id):
            raise NotDelivered("that is no channel of Discord's", retryable=False)
        return await self._openly(to, reply, nonce)

    async def _react(self, to: Channel | Private, reply: Reply) -> Sent | None:
        """React to the message that is answered with the one sign of *reply*; None if it has to be said.

        What is for one person alone is, where others read, no reaction either.
        """
        private, answers = isinstance(to, Private), to.near if isinstance(to, Private) else reply.answers
        if answers is None or not (places.is_id(answers.channel.id) and places.is_id(answers.id)):
            return None
        fits = answers.channel.private if private else answers.channel == to
        if not fits or self._interactions.of(answers.id) is not None:
            return None
        try:
            with translated(self._pause):
                await self._client.http.add_reaction(int(answers.channel.id), int(answers.id), reply.sign)
        except NotDelivered as error:
            self._log.debug("a reaction was not taken: %s", error)
            return None
        return Sent(self._network, answers.channel.id, f"{_REACTION}{answers.id}")

    async def change(self, sent: Sent, reply: Reply) -> Sent:
        """Make *reply* of what was *sent*.

        Raises:
            NoPrivateWay, NotDelivered: it stays as it is.
        """
        self._pause.check()
        if sent.id.startswith(_REACTION):
            raise NotDelivered("a reaction is not changed into words", retryable=False)
        live, hidden = self._interactions.behind(sent.id), places.parse(sent.channel)
        asker = hidden.user if hidden is not None else _asker(reply)
        talk = live.alone if live is not None else self._is_talk(sent.channel)
        words = _Words(reply, asker, sent.channel, "", hidden is not None or talk, types=talk, here=sent.here)
        if live is not None and (hidden is None or live.user == hidden.user):
            try:
                return await self._change(
                    ByInteraction(live, self._interactions, hidden=hidden is not None), words, sent
                )
            except Gone:
                pass
        if hidden is not None:
            raise NotDelivered("what only one person sees can be changed for a quarter of an hour", retryable=False)
        if not places.is_id(sent.channel):
            raise NotDelivered("that is no channel of Discord's", retryable=False)
        return await self._change(self._channel(int(sent.channel), private=False), words, sent)

    # -- where -------------------------------------------------------------------------

    async def _alone(self, identity: Identity, near: Message | None, reply: Reply, nonce: str) -> Sent:
        """Say *reply* to *identity* and nobody else: where *near* was said, or in their conversation with the bot.

        Who takes no direct messages reads it by what they last did in the bot's own interface, in that channel.
        """
        if identity.network != self._network or not places.is_id(identity.subject):
            raise NoPrivateWay(f"{identity.network} is another network")
        user, live = identity.subject, None if near is None else self._interactions.of(near.id)
        if live is not None and live.user == user:  # another's would show it to them
            try:
                return await self._aside(live, reply, nonce, here=not live.alone)
            except Gone:
                self._log.debug("an interaction is over: its user is written to instead")
        try:
            with translated(self._pause, private=True):
                talk = await self._client.create_dm(discord.Object(int(user)))
            words = _Words(reply, user, str(talk.id), nonce, private=True, types=True)
            return await self._send(self._channel(talk.id, private=True), words)
        except NoPrivateWay:
            last = self._interactions.latest(user)
            if last is None or last is live or not (near is None or _is_within(near.channel, last.channel)):
                raise
            with suppress(Gone):
                return await self._aside(last, reply, nonce, here=near is not None)
            raise

    async def _aside(self, live: Live, reply: Reply, nonce: str, *, here: bool) -> Sent:
        """Say *reply* by *live* to the one person whose it is.

        Raises:
            Gone: nothing can be said by it any more.
        """
        place = live.place.id if live.alone else places.ephemeral(self._network, live.channel, live.user).id
        words = _Words(reply, live.user, place, nonce, private=True, types=live.alone, here=here)
        return await self._send(ByInteraction(live, self._interactions, hidden=not live.alone), words)

    async def _openly(self, to: Channel, reply: Reply, nonce: str) -> Sent:
        """Say *reply* in *to*, where whoever is there reads it: others too, unless it is a conversation."""
        answers = reply.answers
        live = self._interactions.of(answers.id) if answers is not None else None
        words = _Words(reply, _asker(reply), to.id, nonce, to.private, types=to.private)
        if live is not None and live.channel == to.id and not live.hidden and live.alone == to.private:
            try:
                return await self._send(ByInteraction(live, self._interactions, hidden=False), words)
            except Gone:
                self._log.debug("an interaction is over: it is answered in its channel instead")
        elif answers is not None and answers.channel.id == to.id and not to.private and places.is_id(answers.id):
            words = _Words(reply, words.asker, to.id, nonce, reference=answers.id)
        return await self._send(self._channel(int(to.id), private=to.private), words)

    def _is_talk(self, channel: str) -> bool:
        """Whether *channel* is known to be a conversation with one person."""
        return places.is_id(channel) and isinstance(self._client.get_channel(int(channel)), discord.DMChannel)

    def _channel(self, channel: int, *, private: bool) -> ByChannel:
        lock = self._locks.setdefault(channel, asyncio.Lock())
        return ByChannel(self._client, channel, self._pause, lock, private=private)

    # -- sending -----------------------------------------------------------------------

    async def _send(self, route: Route, words: _Words) -> Sent:
        """Say *words* by *route*, going on after what has gone out already."""
        letters = await self._letters(route, words)
        async with route.lock:
            begun = self._under_way.pop(words.nonce, None)
            fits = begun is not None and (begun.place, begun.of) == (words.place, len(letters))
            done = list(begun.messages) if begun is not None and fits else []
            try:
                for number, letter in enumerate(letters[len(done) :], len(done)):
                    reference = words.reference if number == 0 else None
                    done.append(await route.send(letter, nonce_of(words.nonce, number), reference))
            except (NotSent, Gone):
                if done:
                    _remember(self._under_way, words.nonce, _Begun(words.place, len(letters), done))
                raise
        return self._sent(words, done)

    async def _change(self, route: Route, words: _Words, sent: Sent) -> Sent:
        """Make *words* of the messages of *sent*: change them, say what is more, take back what is left."""
        letters = await self._letters(route, words)
        async with route.lock:
            before = self._joint.pop(sent.id, (sent.id,))
            after = list(before[: len(letters)])
            try:
                for message, letter in zip(before, letters, strict=False):
                    await route.edit(message, letter)
                for number, letter in enumerate(letters[len(before) :], len(before)):
                    nonce = nonce_of(sent.id, number)
                    after.append(await route.send(letter, nonce, None))
                for message in before[len(letters) :]:
                    await route.delete(message)
            except BaseException:  # also if whoever waited does so no longer
                _remember(self._joint, sent.id, before)
                raise
        return self._sent(words, after)

    def _sent(self, words: _Words, messages: list[str]) -> Sent:
        if len(messages) > 1:
            _remember(self._joint, messages[-1], tuple(messages))
        return Sent(self._network, words.place, messages[-1], here=words.here)

    async def _letters(self, route: Route, words: _Words) -> list[Letter]:
        """Return the messages that say *words*, what can be pressed below the last.

        Raises:
            NotDelivered: there is nothing to say.
        """
        reply, asker = words.reply, words.asker
        if reply.file is not None and not route.may_attach:
            reply = _without_file(reply, reply.file)
        in_words = not components.shows_choices(reply, asker), not components.shows_link(reply)

        def cut() -> list[Piece]:
            choices, link = in_words
            return pieces(reply, embeds=route.may_embed, files=route.may_attach, choices=choices, link=link)

        found = await _in_time(cut, reply)
        letters = [Letter(one.content, _embed(one.embed), one.file) for one in found]
        view = components.build(reply, asker, private=words.private, types=words.types)
        if view is not None:
            last = letters.pop() if letters else Letter("…")
            letters.append(replace(last, view=view))
        if not letters:
            raise NotDelivered("there is nothing to say", retryable=False)
        return letters


async def _in_time(cut: Callable[[], list[Piece]], reply: Reply) -> list[Piece]:
    return cut() if len(reply.text) <= _LONG else await asyncio.to_thread(cut)


def _without_file(reply: Reply, file: File) -> Reply:
    """Return *reply* with words in place of *file*: sent with it, all of it would be refused."""
    words = fmt("(A file that I may not attach here: {}.)", file.name)
    return replace(reply, text=f"{reply.text}\n\n{words}".strip(), file=None)


def _is_within(place: Channel, channel: str) -> bool:
    """Whether *place* is *channel*, or an ephemeral place within it."""
    ephemeral = places.parse(place.id)
    return (place.id if ephemeral is None else ephemeral.channel) == channel


def _asker(reply: Reply) -> str:
    """Return the id of whoever *reply* answers; none if it answers nobody."""
    speaker = reply.answers.speaker if reply.answers is not None else None
    return speaker.subject if isinstance(speaker, Identity) else ""


def _embed(text: str | None) -> discord.Embed | None:
    return None if text is None else discord.Embed(description=text)


def _remember[T](memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
