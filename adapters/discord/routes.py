"""The ways by which a message goes out, is changed, and taken back: an interaction, or a channel."""

import asyncio
import hashlib
from typing import Protocol

import discord

from adapters.discord.answers import NO_HISTORY, Pause, translated
from adapters.discord.interactions import Interactions
from adapters.discord.live import Letter, Live
from omnibot.errors import NoPrivateWay

_INVALID_FORM = 50035
"""Error code: among much else, that what is replied to cannot be."""


class Route(Protocol):
    """One way.  What it does is in order under its *lock*."""

    lock: asyncio.Lock
    may_embed: bool
    may_attach: bool

    async def send(self, letter: Letter, nonce: str, reference: str | None) -> str:
        """Send *letter*, in reply to the message *reference*; return its id.

        Raises:
            Gone: this way is closed; it was not sent.
            NotSent: it was not sent.
        """
        ...

    async def edit(self, message: str, letter: Letter) -> None:
        """Make *letter* of *message*; raises as `send` does."""
        ...

    async def delete(self, message: str) -> None:
        """Take *message* back; raises as `send` does."""
        ...


class ByInteraction:
    """As an answer to an interaction; *hidden*: to its user alone."""

    def __init__(self, live: Live, interactions: Interactions, *, hidden: bool) -> None:
        """Go by *live*."""
        self.lock = live.lock
        self.may_embed = live.may_embed
        self.may_attach = live.may_attach
        self._live = live
        self._interactions = interactions
        self._hidden = hidden
        self._pause = interactions.pause

    async def send(self, letter: Letter, nonce: str, reference: str | None) -> str:
        """Send *letter* (`Route`); Discord knows no nonce here, and shows what is replied to by itself."""
        with translated(self._pause):
            message = await self._live.say(letter, hidden=self._hidden)
        self._interactions.said(self._live, message)
        return message

    async def edit(self, message: str, letter: Letter) -> None:
        """Change *message* (`Route`)."""
        with translated(self._pause):
            await self._live.edit(message, letter)

    async def delete(self, message: str) -> None:
        """Take *message* back (`Route`)."""
        with translated(self._pause):
            await self._live.delete(message)


class ByChannel:
    """As a message in a channel; *private*: in the conversation with one person."""

    def __init__(
        self, client: discord.Client, channel: int, pause: Pause, lock: asyncio.Lock, *, private: bool
    ) -> None:
        """Go to the channel of that id.

        Raises:
            NoPrivateWay: it has more readers.
        """
        known = client.get_channel(channel)
        if private and not isinstance(known, discord.DMChannel | discord.PartialMessageable | None):
            raise NoPrivateWay("that channel is not a conversation with one person")
        self.lock = lock
        allowed = _allowed(client, known)
        self.may_embed = allowed.embed_links
        self.may_attach = allowed.attach_files
        self._may_refer = allowed.read_message_history and not private
        self._channel = client.get_partial_messageable(channel)
        self._id = channel
        self._pause = pause
        self._private = private

    async def send(self, letter: Letter, nonce: str, reference: str | None) -> str:
        """Send *letter* (`Route`)."""
        with translated(self._pause, private=self._private):
            if reference is not None and self._may_refer:
                try:
                    return await self._send(letter, nonce, int(reference))
                except discord.HTTPException as error:
                    if error.code not in (NO_HISTORY, _INVALID_FORM):
                        raise
            return await self._send(letter, nonce, None)

    async def edit(self, message: str, letter: Letter) -> None:
        """Change *message* (`Route`)."""
        with translated(self._pause, private=self._private):
            await self._channel.get_partial_message(int(message)).edit(**letter.over())

    async def delete(self, message: str) -> None:
        """Take *message* back (`Route`)."""
        with translated(self._pause, private=self._private):
            await self._channel.get_partial_message(int(message)).delete()

    async def _send(self, letter: Letter, nonce: str, reference: int | None) -> str:
        said = letter.new() | {"nonce": nonce, "mention_author": False}
        if reference is not None:
            said["reference"] = discord.MessageReference(
                message_id=reference, channel_id=self._id, fail_if_not_exists=False
            )
        message = await self._channel.send(**said)
        return str(message.id)


def nonce_of(nonce: str, number: int) -> str:
    """Return the nonce of the message of that *number* among those that say one reply; 24 characters of 25."""
    return nonce[:25] if number == 0 else hashlib.blake2b(f"{nonce} {number}".encode(), digest_size=12).hexdigest()


def _allowed(client: discord.Client, channel: object) -> discord.Permissions:
    """Return what the bot may do in *channel*, as far as is known; all, where nothing is."""
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return discord.Permissions.all()
    try:
        me = None if client.user is None else channel.guild.get_member(client.user.id)
        return discord.Permissions.all() if me is None else channel.permissions_for(me)
    except discord.ClientException:  # a thread whose channel is not known
        return discord.Permissions.all()
