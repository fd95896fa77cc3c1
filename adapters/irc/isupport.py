"""What a server says it supports (numeric 005), and what follows from it.

Source: the Modern IRC client protocol, section "RPL_ISUPPORT parameters"; casemappings from RFC 1459
section 2.2 and draft-hardy-irc-isupport.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from adapters.irc.lines import LIMIT

MAX_LINE = 16384
"""The longest LINELEN that is believed."""

_ASCII = {ord(upper): ord(upper) + 32 for upper in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_FOLDS = {
    "ascii": _ASCII,
    "strict-rfc1459": _ASCII | str.maketrans("[]\\", "{}|"),
    "rfc1459": _ASCII | str.maketrans("[]\\~", "{}|^"),
}
_MAX_TOKENS = 500
_REMEMBERED = 1000


def folder(casemapping: str) -> Callable[[str], str]:
    """Return the function that folds names by *casemapping*.

    One that is not known folds ASCII letters only: two names that the network takes for one are then
    two people to the bot, which is the safe way round.
    """
    table = _FOLDS.get(casemapping.lower(), _ASCII)
    return lru_cache(_REMEMBERED)(lambda name: name.translate(table))  # the same few names, again and again


def fold(name: str, *, wide: bool) -> str:
    """Return *name* as some network (*wide*), or else every network, compares it (`omnibot.adapter.Fold`)."""
    return name.translate(_FOLDS["rfc1459"] if wide else _ASCII)


class Isupport:
    """The tokens of one connection; before any came, what RFC 1459 says."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tokens: dict[str, str] = {}
        self._fold = folder("rfc1459")
        self._settled = False
        self.line_limit = LIMIT
        """Bytes of a line with its end."""

    def settle(self) -> None:
        """Keep the casemapping from now on: what is folded already would not be found again."""
        self._settled = True

    def feed(self, tokens: Iterable[str]) -> None:
        """Take the *tokens* of one 005: its parameters without the first, our nick, and the last, the words."""
        for token in tokens:
            name, _, value = token.partition("=")
            name = name.upper()
            if name.startswith("-"):
                self._tokens.pop(name[1:], None)
            elif name and (name in self._tokens or len(self._tokens) < _MAX_TOKENS):
                self._tokens[name] = re.sub(r"\\x([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), value)
        self.line_limit = min(max(self.number("LINELEN", LIMIT), LIMIT), MAX_LINE)
        if not self._settled:
            self._fold = folder(self._tokens.get("CASEMAPPING", "rfc1459"))

    def has(self, name: str) -> bool:
        """Return whether the server gave the token *name*, with or without a value."""
        return name in self._tokens

    def get(self, name: str) -> str:
        """Return the value of the token *name*; empty where it has none, or is not there."""
        return self._tokens.get(name, "")

    def number(self, name: str, default: int) -> int:
        """Return the value of *name* where it is a positive number, else *default*."""
        value = self.get(name)
        return int(value) if re.fullmatch(r"[0-9]{1,9}", value) and int(value) else default

    def fold(self, name: str) -> str:
        """Return *name* as the network compares it."""
        return self._fold(name)

    @property
    def network(self) -> str:
        """What the network calls itself; empty where it does not."""
        return self.get("NETWORK").strip()

    @property
    def nick_limit(self) -> int | None:
        """The longest nick; None where the server does not tell."""
        return self.number("NICKLEN", 0) or None

    @property
    def channel_types(self) -> str:
        """The characters that channels begin with."""
        return self.get("CHANTYPES") if self.has("CHANTYPES") else "#&"

    @property
    def prefixes(self) -> str:
        """The characters that stand before nicks in a channel's list, highest first."""
        found = re.fullmatch(r"\(([^)]*)\)(.*)", self.get("PREFIX"))
        return found[2] if found else "" if self.has("PREFIX") else "@+"

    @property
    def bot_mode(self) -> str:
        """The user mode that marks bots; empty where there is none."""
        value = self.get("BOT")
        return value if re.fullmatch(r"[A-Za-z]", value) else ""

    def targets(self, command: str, default: int) -> int:
        """Return how many targets one *command* may have; *default* where the server does not tell."""
        for part in self.get("TARGMAX").split(","):
            name, _, value = part.partition(":")
            if name.upper() == command:
                return max(int(value), 1) if re.fullmatch(r"[0-9]{1,4}", value) else 1000 if not value else default
        return default

    def is_channel(self, name: str) -> bool:
        """Return whether *name* is a channel's."""
        return bool(name) and name[0] in self.channel_types

    def channel(self, target: str) -> str | None:
        """Return the channel that a message's *target* is in, without a status (``@#ops``); None for a nick."""
        if self.is_channel(target):
            return target
        bare = target.lstrip(self.get("STATUSMSG"))
        return bare if bare != target and self.is_channel(bare) else None
