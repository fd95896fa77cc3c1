"""What is said on Discord, and how what was said there is read.

Limits are those of Discord's documentation: "Message", Create Message, for the content, and Embed Limits.  They
count code points.  Nothing said so mentions anybody: `MarkdownRenderer` sees to that, in every piece.
"""

import re
from dataclasses import dataclass, field, replace

from omnibot.markup import MarkdownRenderer, PlainRenderer
from omnibot.message import File, Reply
from omnibot.splitting import split

LONGEST = 2000
"""Characters of a message."""

LONGEST_EMBED = 4096
"""Characters of an embed's description."""

LONGEST_SHOWN = 6000
"""Characters of an answer that is shown in full where a file may be sent instead."""

MOST_PIECES = 10
"""Messages of an answer where no file may be sent; the rest is left out, and they say so."""

MOST_CHOICES = 25
LONGEST_URL = 512

_FIRST_LINES = 1000
_IN_FILE = "… The whole answer is in the file."
_CUT = "… The rest is too long for Discord."

_RENDERER, _PLAIN = MarkdownRenderer(), PlainRenderer()

_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# A code span or block, which stays; or a custom emoji ("Reference", Message Formatting).
_EMOJI = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|<a?:(\w{1,32}):[0-9]{1,20}>", re.DOTALL | re.ASCII)

# A code block, which stays; or a quote that goes on to the end ("Block Quotes", Markdown Text 101).
_QUOTE = re.compile(r"```.+?```|^[ \t]*>>> .*", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """One message; not all of it is empty."""

    content: str = field(default="", repr=False)
    embed: str | None = field(default=None, repr=False)
    """The description of its only embed."""

    file: File | None = None


def pieces(
    reply: Reply, *, embeds: bool, files: bool, choices: bool | None = None, link: bool | None = None
) -> list[Piece]:
    """Return *reply* as messages.  A long one may take a second; do it in a thread.

    Args:
        reply: what is said; its file is with the last piece, whatever *files* says.
        embeds: whether embeds may be sent.
        files: whether files may be sent.
        choices: whether choices are spelled out; None: where a menu cannot show them.
        link: whether the link is spelled out; None: where a button cannot hold it.
    """
    spelled = _spelled(reply, choices, link)
    whole = _RENDERER.reply(spelled).strip("\n")
    if files and len(whole) > LONGEST_SHOWN:
        said = [_filed(whole, spelled)]
    elif embeds and LONGEST < len(whole) <= LONGEST_EMBED:
        said = [Piece(embed=whole)]
    elif embeds and len(whole) > LONGEST_SHOWN:
        said = [Piece(embed=part) for part in _cut(whole, LONGEST_EMBED)]
    else:
        said = [Piece(part) for part in _cut(whole, LONGEST)]
    return said if reply.file is None else _with_file(said, reply.file)


def spoken(text: str) -> str:
    """Return what a person wrote, for commands: as typed, its Markdown too, as on other networks.

    Control characters are dropped, a custom emoji outside code becomes ``:name:``, and of a quote that ``>>>``
    begins each line is marked as one (A31).
    """
    clean = _CONTROL.sub("", _LINE_ENDS.sub("\n", text))
    clean = _QUOTE.sub(lambda found: found[0].replace("\n", "\n> ") if found[0][0] != "`" else found[0], clean)
    return _EMOJI.sub(lambda found: f":{found[2]}:" if found[2] else found[0], clean).strip()


def _spelled(reply: Reply, choices: bool | None, link: bool | None) -> Reply:
    """Return *reply* with those choices and that link alone which have to be words."""
    if choices is None:
        choices = len(reply.choices) > MOST_CHOICES
    if link is None:
        link = reply.link is not None and len(reply.link.url) > LONGEST_URL
    return replace(reply, choices=reply.choices if choices else (), link=reply.link if link else None)


def _cut(whole: str, limit: int) -> list[str]:
    """Return *whole* in up to `MOST_PIECES` pieces; with words in the last where that is not all."""
    if len(whole) <= limit:
        return [whole] if whole.strip() else []
    parts = split(whole[: limit * (MOST_PIECES + 1)], limit, fences=True)
    if len(parts) <= MOST_PIECES and len(whole) <= limit * (MOST_PIECES + 1):
        return parts
    return [*parts[: MOST_PIECES - 1], _first(parts[MOST_PIECES - 1], limit, _CUT)]


def _first(whole: str, limit: int, words: str) -> str:
    """Return the beginning of *whole*, with *words* behind it."""
    room = limit - len(words) - 1
    return f"{split(whole[: 2 * limit], room, fences=True)[0]}\n{words}"


def _filed(whole: str, reply: Reply) -> Piece:
    text = _PLAIN.reply(reply).strip("\n") + "\n"
    return Piece(
        _first(whole, _FIRST_LINES, _IN_FILE),
        file=File("answer.md", "text/markdown", text.encode(errors="replace")),
    )


def _with_file(said: list[Piece], file: File) -> list[Piece]:
    if not said or said[-1].file is not None:
        return [*said, Piece(file=file)]
    return [*said[:-1], replace(said[-1], file=file)]
