"""One line of IRC, taken apart by other code than the bot's: a mistake there cannot hide here."""

from collections.abc import Mapping
from dataclasses import dataclass

_ESCAPES = {":": ";", "s": " ", "r": "\r", "n": "\n"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that came in, in the parts that IRCv3's Message Tags and RFC 1459, section 2.3.1 name."""

    raw: str
    tags: Mapping[str, str]
    source: str
    """Who it is from, ``nick!user@host`` or a server; empty where it says nothing."""

    command: str
    """The command or the three digits."""

    params: tuple[str, ...]

    @property
    def nick(self) -> str:
        """The nick it is from."""
        return self.source.partition("!")[0]

    @property
    def text(self) -> str:
        """The last parameter."""
        return self.params[-1] if self.params else ""

    @property
    def account(self) -> str | None:
        """The services account that the server vouches for, by the tag of this very line."""
        return self.tags.get("account")


def parse(raw: str) -> Line:
    """Take *raw*, which has no line end, apart."""
    rest, tags, source = raw, "", ""
    if rest.startswith("@"):
        tags, _, rest = rest[1:].partition(" ")
    if rest.startswith(":"):
        source, _, rest = rest[1:].partition(" ")
    middle, colon, trailing = rest.partition(" :")
    command, *params = middle.split() or [""]
    return Line(
        raw, dict(map(_tag, filter(None, tags.split(";")))), source, command, (*params, *[trailing] * bool(colon))
    )


def _tag(written: str) -> tuple[str, str]:
    name, _, value = written.partition("=")
    read, letters = "", iter(value)
    for letter in letters:
        if letter == "\\":
            after = next(letters, "")
            read += _ESCAPES.get(after, after)
        else:
            read += letter
    return name, read
