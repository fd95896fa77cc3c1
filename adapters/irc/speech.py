r"""What is said on IRC, and how what was said there is read.

Formatting is toggled by control characters (https://modern.ircdocs.horse/formatting): ``\x02``
bold, ``\x1d`` italic, ``\x11`` monospace, ``\x1e`` struck through.  None of them outlives its line,
so each piece stands for itself: what a cut leaves open is closed there, and opened again in the next.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, override
from unicodedata import category

from adapters.irc.lines import LIMIT
from omnibot.identity import Speaker
from omnibot.markup import Code, Emphasis, Heading, Renderer, Strike, Strong
from omnibot.splitting import split

LEAST_ROOM = 16
"""Bytes that a piece may have at least: one character, all formatting around it, and the guard in front."""

_BOLD, _ITALIC, _MONOSPACE, _STRUCK = "\x02", "\x1d", "\x11", "\x1e"
_CODES = _BOLD + _ITALIC + _MONOSPACE + _STRUCK
_RUNS = re.compile(f"[{_CODES}]|[^{_CODES}]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NEITHER = re.compile(rf"(?![{_CODES}]){_CONTROL.pattern}")
_LINE_ENDS = re.compile(r"\r\n?")

# Python takes \x1d and \x1e for white space, and `split` would lose them; these are none, and no text has them.
_STAND_INS = str.maketrans({_ITALIC: "\x03", _STRUCK: "\x04"})
_STOOD_FOR = str.maketrans({"\x03": _ITALIC, "\x04": _STRUCK})

# Colours by number and in hex, and all that is toggled or reset.
_HEARD = re.compile(
    r"\x03(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?|[\x02\x0f\x11\x16\x1d-\x1f]"
)
# The quotes of NUL, CR, LF and of the quote itself, in the first CTCP specification's low level.
_QUOTED = re.compile(r"\x10[0nr\x10]|[\t\n\r]")

_GUARD = "\u200b"
_TRIGGERS = frozenset("!$%&*+,-.:;=?@\\^`|~")

# ------------------------------------------------------------------ saying


class IrcRenderer(Renderer):
    """IRC formatting; data has no control character left in it."""

    marks: ClassVar[Mapping[type, tuple[str, str]]] = {
        Strong: (_BOLD, _BOLD),
        Heading: (_BOLD, _BOLD),
        Emphasis: (_ITALIC, _ITALIC),
        Strike: (_STRUCK, _STRUCK),
        Code: (_MONOSPACE, _MONOSPACE),
    }

    @override
    def mark(self, kind: type, inner: str) -> str:
        before, after = self.marks.get(kind, ("", ""))
        return before + (inner.replace(before, "") if before else inner) + after  # within bold it would end it

    @override
    def text(self, text: str) -> str:
        return _CONTROL.sub("", text.replace("\t", " "))

    @override
    def code_block(self, text: str, lang: str) -> str:
        """Render a code block from data, each line for itself; as a message of its own it needs no indent."""
        return "\n".join(self.mark(Code, self.text(line)) for line in text.expandtabs(4).split("\n"))


def room(source: str, target: str, line_length: int = LIMIT, command: str = "PRIVMSG") -> int:
    r"""Return how many bytes of text others can get from *source* in one message to *target*.

    They get ``:source PRIVMSG target :text\r\n``, cut by the server at *line_length*: 512 (RFC 1459
    section 2.3), or LINELEN.  A *source* that is a nick alone, for the rest is not known yet, is taken
    to be as long as any.
    """
    rest = "" if "@" in source else f"!{'u' * 20}@{'h' * 64}"
    return line_length - len(f":{source}{rest} {command} {target} :\r\n".encode())


def pieces(rendered: str, room: int) -> list[str]:
    """Cut what `IrcRenderer` made into messages of at most *room* bytes.

    Each is one line with ink, its formatting closed.  No character is cut, nor taken from its marks.  Where
    a line was cut, and what comes to stand first might be a command to another bot or to services, a
    zero-width space stands before it: whoever chose the text may not speak through this bot.

    Raises:
        ValueError: *room* is under `LEAST_ROOM`.
    """
    if room < LEAST_ROOM:
        raise ValueError(f"cannot speak in {room} bytes")
    if rendered.isprintable() and len(rendered.encode()) <= room:  # one line, and nothing in it but words
        return [rendered.rstrip(" ")] if rendered.strip(" ") else []
    clean = _NEITHER.sub("", _LINE_ENDS.sub("\n", rendered).replace("\t", " "))
    return [piece for line in _balanced(clean.split("\n")) for piece in _fit(line, room)]


def _fit(line: str, room: int) -> list[str]:
    if len(line.encode()) <= room:
        return [line]
    spared = 2 * len(set(line) & set(_CODES)) + len(_GUARD.encode())
    cut = split(line.translate(_STAND_INS), room - spared, "bytes", 1)
    first, *others = _balanced(piece.translate(_STOOD_FOR) for piece in cut)
    return [first, *map(_guarded, others)]


def _guarded(piece: str) -> str:
    return _GUARD + piece if piece.lstrip(f"{_CODES} ")[0] in _TRIGGERS else piece


type _Style = frozenset[str]


def _balanced(parts: Iterable[str]) -> Iterator[str]:
    """Give each of *parts* that has ink, with what is open at its start opened, and what is at its end closed."""
    style: _Style = frozenset()
    for part in parts:
        runs: list[tuple[_Style, str]] = []
        for found in _RUNS.findall(part):
            if found in _CODES:
                style ^= {found}
            else:
                _add(runs, style, found)
        if shown := _formatted(runs):
            yield shown


def _add(runs: list[tuple[_Style, str]], style: _Style, text: str) -> None:
    """Add *text* to *runs*; the marks that it starts with belong to the letter before, so they have its style."""
    marks = next((at for at, char in enumerate(text) if not category(char).startswith("M")), len(text)) if runs else 0
    if marks:
        runs[-1] = (runs[-1][0], runs[-1][1] + text[:marks])
    if text[marks:]:
        runs.append((style, text[marks:]))


def _formatted(runs: list[tuple[_Style, str]]) -> str:
    while runs and not runs[-1][1].strip():
        runs.pop()
    out, now = "", frozenset[str]()
    for style, text in runs:
        out += "".join(sorted(style ^ now)) + text
        now = style
    return out.rstrip(" ") + "".join(sorted(now))


# ----------------------------------------------------------------- hearing


def strip_codes(text: str) -> str:
    r"""Return *text* as one line without formatting, colours and control characters.

    What is quoted by ``\x10`` is a space, for it can only be a line end or a control.  The backslash of
    CTCP's high level stays: no client quotes by it any more, and people write it.
    """
    if text.isprintable():  # what is taken out is not
        return text
    return _CONTROL.sub("", _QUOTED.sub(" ", _HEARD.sub("", text)))


class Ctcp:
    """Answers what clients ask each other (https://modern.ircdocs.horse/ctcp), not too often.

    All askers share one allowance: whoever uses it up keeps others from nothing that they need.
    """

    def __init__(self, version: str, *, burst: int = 3, every: float = 10.0) -> None:
        """Answer at most *burst* requests at once, and one more each *every* seconds; call itself *version*."""
        self._version = version
        self._spared = (burst - 1) * every
        self._every = every
        self._since = 0.0

    def answer(self, request: str, now: float) -> str | None:
        r"""Return what to send by NOTICE for a *request* heard by PRIVMSG, its ``\x01`` around it or not; mostly None.

        None is also for what came too soon; a request by NOTICE is an answer, and must never get one.
        *now* is Unix time.
        """
        command, _, rest = strip_codes(request).strip().partition(" ")
        match command.upper():
            case "VERSION":
                said = strip_codes(self._version)
            case "PING":
                said = rest.encode()[:200].decode(errors="ignore")
            case "TIME":
                said = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
            case _:
                return None
        return f"\x01{command.upper()} {said}".rstrip() + "\x01" if self._may(now) else None

    def _may(self, now: float) -> bool:
        self._since = max(min(self._since, now + self._spared + self._every), now)  # the clock may have been set back
        if self._since - now > self._spared:
            return False
        self._since += self._every
        return True


# ------------------------------------------------------------- long answers


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and what comes after them."""

    lines: tuple[str, ...] = field(default=(), repr=False)
    left: int = 0
    """How many lines are kept for later, as they were cut for this page's target."""

    lost: bool = False
    """Whether there was more than is kept."""

    def said(self, more: str) -> list[str]:
        """Return the lines, and what tells of the rest where there is one; *more* is the command that asks for it."""
        if not self.left:
            return [*self.lines, *(["… and more than I keep."] if self.lost else ())]
        count = "1 more line" if self.left == 1 else f"{self.left} more lines"
        return [*self.lines, f"… {count}: {more}"]


@dataclass(frozen=True, slots=True)
class _Rest:
    lines: tuple[str, ...] = field(repr=False)
    lost: bool
    until: float


class Pages:
    """The rests of long answers, one for each reader, in memory only.

    What is kept for a reader is given to nobody else: it may be private.  At most *readers* rests of at
    most *size* bytes are kept, for *age* seconds; the oldest goes first.
    """

    def __init__(self, lines: int = 5, *, readers: int = 100, size: int = 16_384, age: float = 900.0) -> None:
        """Say *lines* lines at once."""
        self._lines = lines
        self._readers = readers
        self._size = size
        self._age = age
        self._rests: OrderedDict[Speaker, _Rest] = OrderedDict()

    def first(self, reader: Speaker, said: Sequence[str], now: float) -> Page:
        """Return the first page of *said*, `pieces` meant for *reader*, and keep the rest.

        Where there is one, it takes the place of the last; a short answer leaves that alone.
        """
        self._age_out(now)
        if len(said) <= self._lines + 1:  # one line is not worth a line that tells of it
            return Page(tuple(said))
        return self._page(reader, said, False, now)

    def more(self, reader: Speaker, room: int, now: float) -> Page:
        """Return the next page of what is kept for *reader*, to be said to them alone; no lines where nothing is.

        It is cut anew, for the *room* to speak to the reader in may be less than it was in the channel.
        """
        self._age_out(now)
        rest = self._rests.pop(reader, None)
        if rest is None:
            return Page()
        said = pieces("\n".join(rest.lines), room)
        if len(said) <= self._lines + 1:
            return Page(tuple(said), lost=rest.lost)
        return self._page(reader, said, rest.lost, now)

    def _page(self, reader: Speaker, said: Sequence[str], lost: bool, now: float) -> Page:
        shown, rest = tuple(said[: self._lines]), said[self._lines :]
        kept = tuple(self._affordable(rest))
        lost = lost or len(kept) < len(rest)
        self._rests.pop(reader, None)
        if kept:
            self._rests[reader] = _Rest(kept, lost, now + self._age)
        while len(self._rests) > self._readers:
            self._rests.popitem(last=False)
        return Page(shown, len(kept), lost)

    def _affordable(self, lines: Iterable[str]) -> Iterator[str]:
        used = 0
        for line in lines:
            used += len(line.encode())
            if used > self._size:
                return
            yield line

    def _age_out(self, now: float) -> None:
        while self._rests and next(iter(self._rests.values())).until <= now:
            self._rests.popitem(last=False)
