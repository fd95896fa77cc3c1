"""IRC networks, old and modern: people are known by their services account, never by nick."""

from adapters.irc.adapter import Adapter
from adapters.irc.asking import setup
from adapters.irc.checking import check
from adapters.irc.isupport import fold
from adapters.irc.settings import Settings

__all__ = ["Adapter", "Settings", "check", "fold", "setup"]
