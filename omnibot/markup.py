r"""What skills write, and how each network shows it.

Skills answer in Markdown.  `escape`, `code`, `code_block`, `link` and `fmt` put data into
it so that it is shown and does nothing else; each network's `Renderer` turns the whole into
what that network reads; `omnibot.splitting` cuts the result into messages.

Names and texts from elsewhere are an attacker's to choose, hence two rules.  What has no
ink (control characters, direction overrides, zero-width characters) is dropped both by
`escape` and by `parse`.  And what a network would act on is made inert by its renderer, so
that no skill pings by forgetting to escape: Discord gets ``<@1>`` as ``\<@1\>``, and U+200B
within ``@everyone`` and ``@here``; Matrix gets no anchor to a person or room, so no pill.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from string import Formatter
from textwrap import indent
from typing import TYPE_CHECKING, ClassVar, LiteralString, override
from urllib.parse import quote

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    from omnibot.message import Reply

# Controls but tab and line ends, lone surrogates, and Unicode's "default ignorable" (joiners, fillers,
# bidi, tags) but the variation selectors that emoji need.
_INKLESS = (
    r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff"
)
_DROP = re.compile(f"[{_INKLESS}]+")
_NEWLINE = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

# One leading class, nothing before it: so the engine skips fast.  An underscore within a word is no markup.
_MARKUP = re.compile(rf"[\\`*\[\]<~_\r\x0b\x0c\x85\u2028\u2029{_INKLESS}](?:(?<!_)|(?!\w)|(?<!\w_))")
BLOCK_START = re.compile(r"(?m)^([^\S\n]*(?:[0-9]{0,9}(?=[.)](?:\s|$))|(?=(?:[-+]|-?#{1,6})(?:\s|$)|>)))")
"""Where a line begins a heading, a list or a quote; a backslash right after the match makes words of it."""
_ACTIVE = re.compile(r"[\\`*\[\]<~]|_(?![^\W_])|(?<![^\W_])_|#$")

_LANG = re.compile(r"[\w+#.-]{0,20}", re.ASCII)
_LINKABLE = re.compile(r"(?:https?://|mailto:)[^\s/]", re.IGNORECASE)
_UNSAFE_IN_URL = re.compile(r"""[\s<>()\\`"']""")

# What Discord acts on, in an address and elsewhere; a backslash in an address would be part of it.
_PING = re.compile(r"@(?=everyone|here)", re.IGNORECASE)
_DISCORD = re.compile(r"(https?://[^\s<>\[\]]+)|[\\`*_~|<>\[\]]", re.IGNORECASE)
_DISCORD_ANY = re.compile(r"[\\`*_~|<>\[\]@]")
_DISCORD_URL = re.compile(r"[\\`*~|]|_(?![^\W_])|(?<![^\W_])_|@(?=everyone|here)", re.IGNORECASE)
# What Matrix clients turn into a pill: matrix.to and its like.
_PILL = re.compile(r"#/+(?:user/|room/)?(?:[@!#+]|%40|%21|%23|%2b)", re.IGNORECASE)

# ------------------------------------------------------------------ the tree


@dataclass(frozen=True, slots=True)
class _Words:
    text: str


class Text(_Words):
    """Words as they are to be read, on one line."""


class Code(_Words):
    """Words for a machine, on one line."""


@dataclass(frozen=True, slots=True)
class LineBreak:
    """The next line of the same paragraph."""


@dataclass(frozen=True, slots=True)
class Link:
    """An address: http, https or mailto, percent-encoded."""

    url: str
    label: tuple["Inline", ...]


@dataclass(frozen=True, slots=True)
class _Run:
    inner: tuple["Inline", ...]


class Strong(_Run):
    """What matters."""


class Emphasis(_Run):
    """What is stressed."""


class Strike(_Run):
    """What no longer holds."""


class Paragraph(_Run):
    """Lines that belong together."""


@dataclass(frozen=True, slots=True)
class Heading(_Run):
    """A title; *level* 1 is the highest, 6 the lowest."""

    level: int


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Lines for a machine; *lang* is a plain word or empty."""

    text: str
    lang: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What somebody said."""

    blocks: tuple["Block", ...]


@dataclass(frozen=True, slots=True)
class List:
    """Items; numbered from *start* where *ordered*."""

    ordered: bool
    start: int
    items: tuple[tuple["Block", ...], ...]


type Inline = Text | Code | LineBreak | Link | Strong | Emphasis | Strike
type Block = Paragraph | Heading | CodeBlock | Quote | List

# ---------------------------------------------------------- putting data in


class Markup(str):
    """Text that is Markdown already; `escape` and `fmt` let it pass as it is."""

    __slots__ = ()


def printable(text: str) -> str:
    """Return *text* as one line, nothing in it without ink: a name, fit to be shown anywhere."""
    return " ".join(_clean(text).split())


def escape(data: object) -> Markup:
    """Return Markdown that shows *data* as one `printable` line, wherever it stands but in code."""
    if isinstance(data, Markup):
        return data
    text = printable(str(data))
    if plain(text) and text[-1:] != "#":
        return Markup(text)
    return Markup(BLOCK_START.sub(r"\1\\", _ACTIVE.sub(r"\\\g<0>", text)))


def escape_block(data: object) -> Markup:
    """Return Markdown that shows *data* line by line, wherever a paragraph may stand."""
    return data if isinstance(data, Markup) else Markup("\n".join(map(escape, _clean(str(data)).split("\n"))))


def code(data: object) -> Markup:
    r"""Return *data*, as one `printable` line, in a code span.

    A backtick in it stands between two spans (```a`\``b```), not within a longer fence: beside
    another span the fences would melt into one that closes elsewhere, and let the data out.
    """
    return Markup(_code(printable(str(data))))


def code_block(text: object, lang: str = "") -> Markup:
    """Return *text* as a code block with the line ends it needs around it; an odd *lang* is left out."""
    body = _clean(str(text)).strip("\n")
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", body))])
    return Markup(f"\n{fence}{lang if _LANG.fullmatch(lang) else ''}\n{body}\n{fence}\n")


def link(label: object, url: str) -> Markup:
    """Return a link; only its label, if *url* is neither http, https nor mailto."""
    url = _UNSAFE_IN_URL.sub(lambda found: quote(found[0], safe=""), _clean(url).strip())
    shown = escape(label)
    if not _LINKABLE.match(url):
        return shown or escape(url)
    if shown in ("", escape(url)):
        return Markup(f"<{url}>")
    return Markup(f"[{shown}]({url.replace('&', r'\&')})")  # a bare `&lt;` would be read as an entity


class _Escaping(Formatter):
    @override
    def format_field(self, value: object, format_spec: str) -> str:
        text = format(value, format_spec)
        return text if isinstance(value, Markup) else escape(text)


def fmt(template: LiteralString, *args: object, **kwargs: object) -> Markup:
    """Fill the Markdown *template* like `str.format`, with each argument escaped unless it is `Markup`.

    For example ``fmt("Opened **{}** at {:%H:%M}", title, now)``.
    """
    return Markup(_Escaping().vformat(template, args, kwargs))


def _clean(text: str) -> str:
    return _DROP.sub("", _NEWLINE.sub("\n", text))


def _code(text: str) -> str:
    pieces = text.split("`")
    padded = (f" {piece} " if piece[:1] == piece[-1:] == " " and piece.strip() else piece for piece in pieces)
    return r"\`".join(f"`{piece}`" if piece else "" for piece in padded)


# -------------------------------------------------------------- reading it


def plain(text: str) -> bool:
    """Return whether *text* reads as it is written: no markup in it, nothing to drop.  Takes 1 us."""
    return not (_MARKUP.search(text) or (BLOCK_START.search(text) if "\n" in text else BLOCK_START.match(text)))


def parse(text: str) -> tuple[Block, ...]:
    """Read Markdown; HTML, entities, images and tables are text, a link to another scheme is its label."""
    if plain(text):
        return tuple(Paragraph(tuple(_lines(part))) for part in re.split(r"\n\s*\n", text.strip()) if part)
    return _blocks(iter(_parser().parse(_clean(text))))


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # here, for many a bot never needs it

    parser = MarkdownIt("zero").enable(["blockquote", "fence", "heading", "list", "autolink", "backticks"])
    parser.enable(["emphasis", "escape", "link", "newline", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]  # `_link` is stricter
    return parser


def _lines(text: str) -> Iterator[Inline]:
    for number, line in enumerate(text.split("\n")):
        if number:
            yield LineBreak()
        yield Text(line.strip())


def _blocks(tokens: "Iterator[Token]") -> tuple[Block, ...]:
    found: list[Block] = []
    for token in _inside(tokens):
        match token.type:
            case "paragraph_open":
                found.append(Paragraph(_content(tokens)))
            case "heading_open":
                found.append(Heading(_content(tokens), int(token.tag[1])))
            case "blockquote_open":
                found.append(Quote(_blocks(tokens)))
            case "bullet_list_open" | "ordered_list_open" as kind:
                items = tuple(_blocks(tokens) for _ in _inside(tokens))
                found.append(List(kind == "ordered_list_open", int(token.attrs.get("start", 1)), items))
            case "fence" if token.content.strip():
                lang = token.info.strip().partition(" ")[0]
                found.append(CodeBlock(token.content.strip("\n"), lang if _LANG.fullmatch(lang) else ""))
    return tuple(found)


def _inside(tokens: "Iterator[Token]") -> "Iterator[Token]":
    """Take *tokens* up to the one that closes what is around them, and that one as well."""
    return takewhile(lambda token: token.nesting >= 0, tokens)


def _content(tokens: "Iterator[Token]") -> tuple[Inline, ...]:
    inline = next(tokens)
    next(tokens)  # the closing one
    return _inlines(iter(inline.children or ()))


def _inlines(tokens: "Iterator[Token]") -> tuple[Inline, ...]:
    found: list[Inline] = []
    for token in _inside(tokens):
        match token.type:
            case "text" if token.content:
                found.append(Text(token.content))
            case "softbreak" | "hardbreak":
                found.append(LineBreak())
            case "code_inline":
                found.append(Code(token.content))
            case "link_open":
                found.extend(_link(token, _inlines(tokens)))
            case "strong_open":
                found.append(Strong(_inlines(tokens)))
            case "em_open":
                found.append(Emphasis(_inlines(tokens)))
            case "s_open":
                found.append(Strike(_inlines(tokens)))
    return tuple(found)


def _link(token: "Token", label: tuple[Inline, ...]) -> tuple[Inline, ...]:
    url = str(token.attrs["href"])
    if not _LINKABLE.match(url):
        return label
    if token.markup == "autolink" or not label:
        label = (Text(url.removeprefix("mailto:")),)
    return (Link(url, label),)


# -------------------------------------------------------------- showing it


class Renderer:
    r"""Turns Markdown into what one network reads; as it stands, into plain text.

    An adapter overrides what its network has.  *marks* holds what goes before and after
    `Strong`, `Emphasis`, `Strike`, `Code`, `Paragraph` and `Heading`; the other nodes have a
    method each.  `text` and `code_block` get data and have to make it inert; the rest get what
    is rendered already.  All of it is free of control characters.  For IRC, this is a beginning::

        class IrcRenderer(Renderer):
            marks = {Strong: ("\x02", "\x02"), Emphasis: ("\x1d", "\x1d"), Code: ("\x11", "\x11")}
    """

    marks: ClassVar[Mapping[type, tuple[str, str]]] = {}
    line_break: ClassVar[str] = "\n"

    def render(self, text: str) -> str:
        """Return the Markdown *text* in the network's own form."""
        if "\n" not in text and plain(text):
            return self.text(text.strip())
        return self.blocks(parse(text))

    def reply(self, reply: "Reply") -> str:
        """Return all of *reply*, for a network without buttons: choices are numbered lines, the link one more."""
        lines = [self.render(reply.text)]
        lines += [f"{number}. {self.text(printable(choice))}" for number, choice in enumerate(reply.choices, 1)]
        if reply.link is not None:
            lines.append(f"{self.text(printable(reply.link.label))}: {self.text(printable(reply.link.url))}")
        return "\n".join(lines)

    def blocks(self, nodes: Iterable[Block]) -> str:
        """Join *nodes*: a blank line between them, but not after what leads in a list, a quote or code."""
        out, leads = "", False
        for node in nodes:
            words = isinstance(node, Paragraph | Heading)
            part = self.block(node)
            out += ("\n" if leads and not words else "\n\n") + part if out and part else part
            leads = words
        return out

    def block(self, node: Block) -> str:
        """Render one block and what is in it."""
        match node:
            case Paragraph(inner):
                return self.mark(Paragraph, self.inlines(inner))
            case Heading(inner, level):
                return self.heading(self.inlines(inner), level)
            case CodeBlock(text, lang):
                return self.code_block(text, lang)
            case Quote(blocks):
                return self.quote(self.blocks(blocks))
            case List(ordered, start, items):
                return self.listing([self.blocks(item) for item in items], start if ordered else None)

    def inlines(self, nodes: Iterable[Inline]) -> str:
        """Render *nodes*, which share a line."""
        return "".join(map(self.inline, nodes))

    def inline(self, node: Inline) -> str:
        """Render one node within a line."""
        match node:
            case Text(text):
                return self.text(text)
            case Code(text):
                return self.code(text)
            case LineBreak():
                return self.line_break
            case Link(url, label):
                return self.link(self.inlines(label), url)
            case Strong(inner) | Emphasis(inner) | Strike(inner):
                return self.mark(type(node), self.inlines(inner))

    def mark(self, kind: type, inner: str) -> str:
        """Put the *marks* of *kind* around *inner*."""
        before, after = self.marks.get(kind, ("", ""))
        return before + inner + after

    def text(self, text: str) -> str:
        """Make words inert."""
        return text

    def code(self, text: str) -> str:
        """Render a code span from data."""
        return self.mark(Code, self.text(text))

    def link(self, label: str, url: str) -> str:
        """Render a link as ``label <url>``; as the label alone, if that is the address."""
        return label if label == self.text(url.removeprefix("mailto:")) else f"{label} <{url}>"

    def heading(self, inner: str, level: int) -> str:
        """Render a heading."""
        return self.mark(Heading, inner)

    def code_block(self, text: str, lang: str) -> str:
        """Render a code block from data; indented."""
        return self.mark(Code, indent(self.text(text), "    "))

    def quote(self, inner: str) -> str:
        """Render a quote."""
        return indent(inner, "> ", lambda line: True)

    def listing(self, items: Sequence[str], start: int | None) -> str:
        """Render a list, numbered from *start*; with dashes, if that is None."""
        heads = ["- " if start is None else f"{start + number}. " for number in range(len(items))]
        return "\n".join(
            head + indent(item, " " * len(head))[len(head) :] for head, item in zip(heads, items, strict=True)
        )


class PlainRenderer(Renderer):
    """Plain text: for a console that is no terminal, and where there is nothing better."""


class AnsiRenderer(Renderer):
    """A terminal's escape sequences."""

    marks: ClassVar[Mapping[type, tuple[str, str]]] = {
        Strong: ("\x1b[1m", "\x1b[22m"),
        Heading: ("\x1b[1m", "\x1b[22m"),
        Emphasis: ("\x1b[3m", "\x1b[23m"),
        Strike: ("\x1b[9m", "\x1b[29m"),
        Code: ("\x1b[2m", "\x1b[22m"),
    }

    @override
    def link(self, label: str, url: str) -> str:
        shown = super().link(label, url)
        return f"\x1b[4m{label}\x1b[24m{shown.removeprefix(label)}"


class MarkdownRenderer(Renderer):
    """Discord's dialect: no entities, triple fences only, and more that a line may start with."""

    marks: ClassVar[Mapping[type, tuple[str, str]]] = {
        Strong: ("**", "**"),
        Emphasis: ("*", "*"),
        Strike: ("~~", "~~"),
    }

    @override
    def text(self, text: str) -> str:
        if not _DISCORD_ANY.search(text) and not BLOCK_START.match(text):
            return text
        inert = _DISCORD.sub(lambda found: _discord_url(found[1]) if found[1] else "\\" + found[0], text)
        return BLOCK_START.sub(r"\1\\", _PING.sub("@\u200b", inert))

    @override
    def code(self, text: str) -> str:
        return _PING.sub("@\u200b", _code(text))

    @override
    def link(self, label: str, url: str) -> str:
        if label == self.text(url.removeprefix("mailto:")):
            return label
        return f"[{label}]({_discord_url(url).replace('(', '%28').replace(')', '%29')})"

    @override
    def heading(self, inner: str, level: int) -> str:
        return f"{'#' * min(level, 3)} {inner}"

    @override
    def code_block(self, text: str, lang: str) -> str:
        body = _PING.sub("@\u200b", text.replace("``", "`\u200b`"))  # Discord knows no longer fence
        return f"```{lang}\n{body}\n```"


class HtmlRenderer(Renderer):
    """The HTML that Matrix allows, nothing else.

    The plain body beside it may still name somebody: the event wants an empty ``m.mentions``.
    """

    marks: ClassVar[Mapping[type, tuple[str, str]]] = {
        Strong: ("<strong>", "</strong>"),
        Emphasis: ("<em>", "</em>"),
        Strike: ("<del>", "</del>"),
        Code: ("<code>", "</code>"),
        Paragraph: ("<p>", "</p>"),
    }
    line_break: ClassVar[str] = "<br>"

    @override
    def blocks(self, nodes: Iterable[Block]) -> str:
        out = "".join(map(self.block, nodes))
        if out.startswith("<p>") and out.count("<p>") == 1:  # a lone one needs no tags
            return out.removeprefix("<p>").replace("</p>", "", 1)
        return out

    @override
    def text(self, text: str) -> str:
        return html.escape(text, quote=False)

    @override
    def link(self, label: str, url: str) -> str:
        if _PILL.search(url):
            return f"{label} {self.code(url)}"
        return f'<a href="{html.escape(url)}">{label}</a>'

    @override
    def heading(self, inner: str, level: int) -> str:
        return f"<h{level}>{inner}</h{level}>"

    @override
    def code_block(self, text: str, lang: str) -> str:
        language = f' class="language-{lang}"' if lang else ""
        return f"<pre><code{language}>{self.text(text)}\n</code></pre>"

    @override
    def quote(self, inner: str) -> str:
        return f"<blockquote>{inner}</blockquote>"

    @override
    def listing(self, items: Sequence[str], start: int | None) -> str:
        tag, first = ("ul", "") if start is None else ("ol", f' start="{start}"' if start != 1 else "")
        return f"<{tag}{first}>{''.join(f'<li>{item}</li>' for item in items)}</{tag}>"


def _discord_url(url: str) -> str:
    return _DISCORD_URL.sub(lambda found: f"%{ord(found[0]):02X}", url)
