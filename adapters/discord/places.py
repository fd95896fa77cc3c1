"""Where something is said, by Discord's ids.

A channel, a thread and a conversation with the bot go by their own id.  What only one person reads
within a channel is a place of its own: ``<channel id>:<user id>``.  No request to Discord takes such a
name, so that what is meant for it cannot come to stand in the channel by mistake.
"""

import re
from typing import NamedTuple

import discord

from adapters.discord.hearing import place
from omnibot.message import Channel

_EPHEMERAL = re.compile(r"([0-9]{1,20}):([0-9]{1,20})", re.ASCII)
_ID = re.compile(r"[0-9]{1,20}", re.ASCII)


class Ephemeral(NamedTuple):
    """What only *user* reads within *channel*."""

    channel: str
    user: str


def ephemeral(network: str, channel: str, user: str, name: str = "", within: tuple[str, ...] = ()) -> Channel:
    """Return the place within *channel*, which people call *name* and is *within* others, that only *user* reads."""
    return Channel(network, f"{channel}:{user}", private=True, name=name, within=(channel, *within))


def parse(name: str) -> Ephemeral | None:
    """Return the ephemeral place that is called *name*; None if that is a channel's id."""
    found = _EPHEMERAL.fullmatch(name)
    return None if found is None else Ephemeral(found[1], found[2])


def is_id(word: str) -> bool:
    """Whether *word* can be an id of Discord's: a snowflake, in decimal."""
    return _ID.fullmatch(word) is not None


def is_alone(interaction: discord.Interaction) -> bool:
    """Whether *interaction* came from the conversation of its user with the bot, where nobody else reads.

    A conversation of two people, in which one of them uses the bot, is of the same kind of channel: only
    the context that Discord names tells them apart, and without one it is taken for shared.
    """
    return interaction.guild_id is None and interaction.context.dm_channel


def of(network: str, interaction: discord.Interaction, *, hidden: bool) -> Channel | None:
    """Return the place that *interaction* speaks in: *hidden*, what only its user reads there.

    None where Discord did not say, in a way that can be read, which channel that is.
    """
    if interaction.channel_id is None:
        return None
    channel, there = str(interaction.channel_id), place(network, interaction.channel)
    if is_alone(interaction):
        return Channel(network, channel, private=True)
    if hidden:
        return ephemeral(network, channel, str(interaction.user.id), there.name, there.within)
    return Channel(network, channel, name=there.name, within=there.within)
