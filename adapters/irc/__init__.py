"""IRC networks, old and modern: people are known by their services account, never by nick."""

from adapters.irc.adapter import Adapter
from adapters.irc.settings import Settings

__all__ = ["Adapter", "Settings"]
