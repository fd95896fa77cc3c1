"""One line of IRC: read without ever raising, written without ever breaking out of itself.

Grammar: RFC 1459 section 2.3.1, RFC 2812 section 2.3.1 and the IRCv3 specification
"Message Tags".  Whatever a server sends is data: a line that is none is None.  Whatever
is sent is exactly one line, as long as the network takes at most.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from irctokens.line import tokenise

LIMIT = 512
"""Bytes of a line with its end, tags apart (RFC 1459 section 2.3)."""

TAG_LIMIT = 4096
"""Bytes of a client's tags with ``@`` and the space behind (IRCv3 Message Tags)."""

_BREAKS = str.maketrans("\r\n\0", "   ")
_TAG_ESCAPES = str.maketrans({";": r"\:", " ": r"\s", "\\": r"\\", "\r": r"\r", "\n": r"\n", "\0": ""})
_WORD = re.compile(r"[^: \r\n\0][^ \r\n\0]*")
_NO_TAGS: Mapping[str, str] = MappingProxyType({})

_READ = frozenset({b"account", b"time", b"msgid", b"batch", b"label", b"bot", b"draft/bot", b"inspircd.org/bot"})
"""The tags somebody reads.  Others are not unescaped: a client may send 4094 bytes of them with each message."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a line comes from: ``nick!user@host``, or a server's name as *nick*."""

    nick: str
    user: str = ""
    host: str = ""

    def __str__(self) -> str:
        """Return it as it stands in a line."""
        return self.nick + (f"!{self.user}" if self.user else "") + (f"@{self.host}" if self.host else "")

    @property
    def is_server(self) -> bool:
        """Whether it names a server: those have a dot, and no nick has."""
        return not self.user and not self.host and "." in self.nick


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """A command, its parameters, and what stands before them.  Its repr tells no parameter: they may be secret."""

    command: str
    params: tuple[str, ...] = ()
    source: Source | None = None
    tags: Mapping[str, str] = _NO_TAGS

    def __repr__(self) -> str:
        """Return the command alone."""
        return f"<Line {self.command[:20]} of {len(self.params)}>"

    def param(self, index: int) -> str:
        """Return the parameter at *index*, negative from the end; empty where there is none."""
        try:
            return self.params[index]
        except IndexError:
            return ""

    def encode(self, limit: int = LIMIT) -> bytes:
        r"""Return it as one line of at most *limit* bytes, its ``\r\n`` and without its tags counted.

        What is too long is cut between two characters; tags that are too long are left off.
        """
        words = [self.command, *self.params]
        if self.params and (not words[-1] or words[-1][0] == ":" or " " in words[-1]):
            words[-1] = f":{words[-1]}"
        text = " ".join(words).encode("utf-8", "replace")
        if len(text) > limit - 2:
            text = text[: limit - 2].decode("utf-8", "ignore").encode()
        tags = self._tags()
        return (tags if len(tags) <= TAG_LIMIT else b"") + text + b"\r\n"

    def _tags(self) -> bytes:
        if not self.tags:
            return b""
        pairs = (f"{key}={value.translate(_TAG_ESCAPES)}" if value else key for key, value in self.tags.items())
        return f"@{';'.join(pairs)} ".encode("utf-8", "replace")


def is_word(text: str) -> bool:
    """Return whether *text* can be a parameter that is not the last: one word, not empty, no colon in front."""
    return _WORD.fullmatch(text) is not None


def build(command: str, *params: str, tags: Mapping[str, str] = _NO_TAGS) -> Line:
    """Return the line of *command* with *params*; CR, LF and NUL in the last one become spaces.

    Raises:
        ValueError: the command or another parameter is not one word.  It is never mended, for a target that
            was mended is another target.
    """
    if not (command.isascii() and command.isalnum()):
        raise ValueError("a command is letters or digits")
    if not all(map(is_word, params[:-1])):
        raise ValueError("every parameter but the last is one word")
    if tags and not all(is_word(key) and not set(key) & set("=;") for key in tags):
        raise ValueError("a tag's name is one word")
    last = tuple(one.translate(_BREAKS) for one in params[-1:])
    return Line(command, params[:-1] + last, None, tags)


def parse(data: bytes) -> Line | None:
    """Return the line in *data*, with or without its end; None where it is none.

    Text that is not UTF-8 is read as Latin-1; everything from a CR, LF or NUL on is left off.
    Of the tags only those that the bot reads are kept.
    """
    try:
        return _parse(data)
    except (ValueError, IndexError):  # what irctokens raises on a line that is none (2.0.2)
        return None


def _parse(data: bytes) -> Line:
    tags = b""
    if data[:1] == b"@":
        tags, _, data = data.partition(b" ")
        kept = [one for one in tags[1:].split(b";") if one.partition(b"=")[0] in _READ]
        tags = b"@" + b";".join(kept) + b" " if kept else b""
    # irctokens takes two spaces between tags, source and command for an empty parameter.
    found = tokenise(tags + data.lstrip(b" "))
    if not (found.command.isascii() and found.command.isalnum()):
        raise ValueError("no command")
    source = found.hostmask if found.source is not None else None
    return Line(
        found.command,
        tuple(found.params),
        Source(source.nickname, source.username or "", source.hostname or "") if source else None,
        found.tags or _NO_TAGS,
    )
