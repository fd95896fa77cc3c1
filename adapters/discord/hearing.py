"""What is heard: a message on Discord becomes a message of somebody.

Discord has authenticated whoever speaks, and says who on every message.  Which of them may do anything, the core
decides: here it is only told that somebody is a bot, or a webhook, or that a message was changed.
"""

import re
from typing import Final

import discord

from adapters.discord.speech import spoken
from omnibot.identity import Assurance, Identity
from omnibot.markup import printable
from omnibot.message import Channel, Message, Origin, unquoted

LONGEST_NAME = 64
"""How much of a name is shown."""

_SAID: Final = (discord.MessageType.default, discord.MessageType.reply)
"""What somebody wrote; all else is said by Discord itself, or comes as an interaction."""


def heard(network: str, me: int, message: discord.Message, *, edit: bool = False) -> Message | None:
    """Return what *message* says, or None if that is nothing for the bot, whose id is *me*."""
    if message.type not in _SAID or message.flags.ephemeral:  # that comes as if it were a direct message
        return None
    text = "" if _is_forwarded(message) else spoken(message.content)
    channel = place(network, message.channel)
    addressed, text = _addressed(me, message, text)
    if not text and not addressed and not channel.private:
        return None  # a picture, or what the bot may not read without the message content intent
    return Message(
        network=network,
        id=str(message.id),
        speaker=who(network, message.author),
        channel=channel,
        text=text,
        at=message.created_at.timestamp(),
        assurance=Assurance.STRONG,
        addressed=addressed,
        origin=_origin(me, message),
        edit=edit,
    )


def who(network: str, user: discord.User | discord.Member) -> Identity:
    """Return the identity of *user*: their id, which is theirs for good; how a server calls them is its own affair."""
    return Identity(network, str(user.id), display=shown(user.global_name or user.name))


def place(network: str, channel: object) -> Channel:
    """Return the channel or thread that discord.py calls *channel*.

    Only a direct message with the bot is private: groups have more readers, and what discord.py does not know
    may have.
    """
    match channel:
        case discord.DMChannel():
            return Channel(network, str(channel.id), private=True)
        case discord.Thread():
            within = (str(channel.parent_id),)
            return Channel(network, str(channel.id), name=f"#{shown(channel.name)}", within=within)
        case discord.abc.GuildChannel():
            return Channel(network, str(channel.id), name=f"#{shown(channel.name)}")
        case _:
            return Channel(network, str(getattr(channel, "id", "")), name=shown(getattr(channel, "name", None) or ""))


def shown(name: str) -> str:
    """Return a name that somebody gave themselves, or a channel, as it may be shown."""
    return printable(name[: 8 * LONGEST_NAME])[:LONGEST_NAME].strip()


def _origin(me: int, message: discord.Message) -> Origin:
    if message.author.id == me:
        return Origin.SELF
    if message.webhook_id is not None:
        return Origin.WEBHOOK
    return Origin.BOT if message.author.bot or message.author.system else Origin.PERSON


def _is_forwarded(message: discord.Message) -> bool:
    """Whether *message* only shows what somebody said elsewhere."""
    reference = message.reference
    return bool(message.message_snapshots) or (
        reference is not None and reference.type is discord.MessageReferenceType.forward
    )


def _addressed(me: int, message: discord.Message, text: str) -> tuple[bool, str]:
    """Return whether *message* is said to the bot, and *text* without the mention that it begins with.

    A mention counts outside quotes; one that the text does not have comes from a reply to the bot (A31).
    """
    mentions = [f"<@!?{me}>"] if any(user.id == me for user in message.mentions) else []
    mentions += [f"<@&{role.id}>" for role in message.role_mentions if _is_own(me, role)]
    if not mentions:
        return False, text
    mention = "|".join(mentions)
    is_reply = not re.search(mention, text) and message.type is discord.MessageType.reply
    bare = re.sub(rf"^(?:\s*(?:{mention}))+\s*[,:]?\s*", "", text)
    return is_reply or re.search(mention, unquoted(text)) is not None, bare


def _is_own(me: int, role: discord.Role) -> bool:
    """Whether *role* is the one that Discord made for the bot when it was invited."""
    return role.tags is not None and role.tags.bot_id == me
