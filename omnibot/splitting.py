"""Cutting what a renderer made into messages that a network takes."""

import re
import unicodedata
from typing import Literal

from omnibot.markup import BLOCK_START

type Unit = Literal["chars", "bytes"]

_SPAN = re.compile(r"\\.|(```[\w+#.-]{0,20}\n?).*?(```|\Z)|(`)[^`\n]*(`|\Z)?", re.DOTALL | re.ASCII)
_REGIONAL = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two of these letters are a flag


def split(text: str, limit: int, unit: Unit = "chars", lines: int | None = None, *, fences: bool = False) -> list[str]:
    """Cut what a renderer made into pieces of at most *limit* code points, or bytes of UTF-8.

    Pieces end at a line's end; else at a space; else between two characters.  Only white space
    is lost, and no piece is blank.  *lines* is the most lines in a piece: 1 on IRC.  With
    *fences*, for the output of `MarkdownRenderer`, code that is cut in two is closed and opened
    again (lines added so are not counted), and no words come to stand as heading, list or quote.

    Raises:
        ValueError: *limit* is under 4, or under 64 with *fences*.
    """
    if limit < (64 if fences else 4):
        raise ValueError(f"cannot split into pieces of {limit} {unit}")
    pieces, opener = [], ""
    while text and not text.isspace():
        text = text.lstrip("\n")
        end = _reach(text, limit - len(opener), unit, lines)
        if end < len(text):
            end = _cut(text, _reach(text, limit - len(opener) - 4 * fences, unit, lines))
        piece, text = opener + text[:end], text[end:]
        if fences and text.strip():
            piece, opener, text = _mend(piece, text)
        if piece.strip():
            pieces.append(piece.rstrip())
        text = text.lstrip(" ") if text[:1] == " " else text
    return pieces


def _reach(text: str, room: int, unit: Unit, lines: int | None) -> int:
    """Return how much of *text*, one code point at least, is within all limits."""
    end = min(room, len(text))
    if unit == "bytes":
        end = len(text[:end].encode(errors="surrogatepass")[:room].decode(errors="ignore"))
    for found in list(re.finditer("\n", text[:end]))[lines - 1 : lines] if lines else ():
        end = found.start()
    return max(end, 1)


def _cut(text: str, end: int) -> int:
    """Return where to cut *text*, at *end* or before it."""
    for space in "\n ":
        found = text.rfind(space, 0, end + 1)
        if found > 0:
            return found
    return next((at for at in range(end, max(end - 32, 0), -1) if not _joined(text, at)), end)


def _joined(text: str, at: int) -> bool:
    """Return whether what stands before *at* goes on there: a letter by its mark, a flag, an escape."""
    if unicodedata.category(text[at]).startswith("M") or "\U0001f3fb" <= text[at] <= "\U0001f3ff":
        return True
    if text[at] in _REGIONAL and (at - len(text[:at].rstrip(_REGIONAL))) % 2 == 1:
        return True
    return (at - len(text[:at].rstrip("\\"))) % 2 == 1


def _mend(piece: str, rest: str) -> tuple[str, str, str]:
    """Close what the cut left open in *piece*; return it, what is to open it again, and the *rest*."""
    last = next(reversed(list(_SPAN.finditer(piece))), None)
    if last is None or "" not in (last[2], last[4]):
        start = None if rest.startswith("\n") else BLOCK_START.match(rest)
        return piece, "", f"{start[0]}\\{rest[start.end() :]}" if start else rest
    opener, closer = (last[1].rstrip("\n") + "\n", "```") if last[1] else ("`", "`")
    if piece[last.start() :].strip() == opener.strip():
        piece = piece[: last.start()]
    else:
        piece = piece.rstrip() + ("\n```" if last[1] else "`")
    if rest.lstrip("\n").startswith(closer):
        return piece, "", rest.lstrip("\n").removeprefix(closer)
    return piece, opener, rest
