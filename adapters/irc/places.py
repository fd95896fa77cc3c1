"""What the private channels of IRC are called, for it has no names for them.

One is a person's, by account and epoch, wherever they are logged in; another a guest's, by folded nick.  A
space is in each, so that none is taken for a channel of the network.
"""

from omnibot.identity import Guest, Identity, Speaker
from omnibot.message import Channel

_ACCOUNT = "account "
_NICK = "nick "


def private(speaker: Speaker) -> str:
    """Return the id of the channel between *speaker* and the bot."""
    if isinstance(speaker, Guest):
        return _NICK + speaker.key
    return f"{_ACCOUNT}{speaker.subject} {speaker.epoch}".rstrip()


def back(network: str, channel: str) -> Channel:
    """Return the channel with the id *channel*, of which nothing else is known."""
    return Channel(network, channel, channel.startswith((_ACCOUNT, _NICK)))


def owner(channel: Channel) -> Identity | None:
    """Return whose private *channel* is; None where it is nobody's who is known."""
    if not channel.id.startswith(_ACCOUNT):
        return None
    subject, _, epoch = channel.id.removeprefix(_ACCOUNT).partition(" ")
    return Identity(channel.network, subject, epoch)


def guest_nick(channel: Channel) -> str:
    """Return the folded nick of the guest whose private *channel* is; empty where it is no guest's."""
    return channel.id.removeprefix(_NICK) if channel.id.startswith(_NICK) else ""
