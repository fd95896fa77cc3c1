"""What is said on Matrix, and how what was said there is read.

Both are the contents of ``m.room.message`` events (client-server API, "Instant Messaging"), as plain dicts.  What
is said is rendered from one tree, twice: as text, and as the HTML that Matrix allows.  It mentions whom the adapter
names, and nobody else: data in it makes no pill, no ``@room``, and ``m.mentions`` is always there, so that clients
do not look for names in the text (A42).  What is heard may be any JSON.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import batched, chain, dropwhile, islice
from typing import Any, Literal, override
from urllib.parse import quote, unquote

from omnibot.markup import (
    Block,
    Code,
    CodeBlock,
    Emphasis,
    Heading,
    HtmlRenderer,
    Inline,
    LineBreak,
    Link,
    List,
    Paragraph,
    PlainRenderer,
    Quote,
    Strike,
    Strong,
    Text,
    link,
    parse,
    printable,
)
from omnibot.message import Reply
from omnibot.splitting import split

BUDGET = 32_768
"""How long the text of one event, plain and as HTML, may be: bytes of JSON in ASCII, as nio encrypts it.

An event has 65,536 bytes (client-server API, "Size limits").  To the text come a mention (under 1 kB), a relation
(1 kB), type and room (1 kB), and what an edit shows to old clients (4 kB): 40 kB.  Megolm adds some 100 bytes, and
base64 a third: 53 kB.  The relation again, keys, and what servers add (some thirty ids, hashes, signatures) are
under 8 kB.  So there is room to spare, and `tests/adapters/matrix/test_speech.py` encrypts the longest.
"""

MOST_EVENTS = 6
"""How many events a reply may be; a file is kinder then, and servers let few events pass at once."""

_OLD_CLIENTS = 1000
"""How much of an edit is shown to clients that know no edits, in bytes."""

_TO = "https://matrix.to/#/"
_ROOM = re.compile("@(?=room)", re.IGNORECASE)
# What clients turn into a pill though nobody marked it: whole MXIDs, and the two kinds of Matrix URI.
_NAMES = re.compile(
    r"@(?=room)|(?<![\w.+/-])@(?=[^\s:@]+:[\w\[])|matrix\.to/(?=#|%)|(?<!\w)matrix:(?=u/|r/|roomid/)", re.IGNORECASE
)
_PERMALINK = re.compile(r"matrix\.to(?::\d+)?/|#/+(?:user/|room/)?[@!#+]", re.IGNORECASE)

type Content = dict[str, Any]
"""The content of an event."""


class TooLong(Exception):
    """A reply is more than `MOST_EVENTS` events: its text, `whole`, is for a file."""


# ------------------------------------------------------------------ saying


@dataclass(frozen=True, slots=True)
class Named:
    """Whom an answer in a room is for: the one person it mentions."""

    mxid: str
    name: str = ""
    """Their display name in that room."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The event that is answered."""

    event: str
    thread: str | None = None
    """The root of the thread it is in."""


@dataclass(frozen=True, slots=True)
class _Pill(Link):
    """A mention of one person; nothing that is parsed becomes one."""

    name: str


class MatrixRenderer(HtmlRenderer):
    """The HTML that Matrix allows; code shows data as it is, other text names nobody."""

    @override
    def text(self, text: str) -> str:
        return html.escape(_inert(text), quote=False)

    @override
    def code(self, text: str) -> str:
        return self.mark(Code, html.escape(text, quote=False))  # clients look for nobody in code

    @override
    def code_block(self, text: str, lang: str) -> str:
        language = f' class="language-{lang}"' if lang else ""
        return f"<pre><code{language}>{html.escape(text, quote=False)}\n</code></pre>"

    @override
    def link(self, label: str, url: str) -> str:
        if not _names_somebody(url):
            return f'<a href="{html.escape(url)}">{label}</a>'
        return self.code(url) if label == self.text(url) else f"{label} {self.code(url)}"

    @override
    def inline(self, node: Inline) -> str:
        if isinstance(node, _Pill):
            return f'<a href="{node.url}">{html.escape(_ROOM.sub("@\u200b", node.name), quote=False)}</a>'
        return super().inline(node)


class BodyRenderer(PlainRenderer):
    """The text beside it, for notifications, and for clients that show no HTML."""

    @override
    def text(self, text: str) -> str:
        return _inert(text)

    @override
    def link(self, label: str, url: str) -> str:
        shown = _inert(url) if _names_somebody(url) else _ROOM.sub("%40", url)
        is_bare = label == self.text(url.removeprefix("mailto:"))
        return shown.removeprefix("mailto:") if is_bare else f"{label} <{shown}>"

    @override
    def inline(self, node: Inline) -> str:
        return node.name if isinstance(node, _Pill) else super().inline(node)


_HTML, _BODY = MatrixRenderer(), BodyRenderer()


def say(
    reply: Reply, *, named: Named | None = None, answered: Answered | None = None, msgtype: str = "m.notice"
) -> list[Content]:
    """Return the contents of the events that say *reply*, in order; none where there is nothing to say.

    The first one mentions who is *named*, and answers; where that is in a thread, the others are there as well.
    Each is valid by itself, and short enough for one event, encrypted or not (`BUDGET`).  What is longer than
    some 20,000 characters may take a second: that is for a thread.

    Raises:
        TooLong: they would be too many.
    """
    if len(reply.text) > MOST_EVENTS * BUDGET:
        raise TooLong  # not even looked at, for that alone would hold up everybody
    said: list[Content] = []
    for blocks in islice(_grouped(_tree(reply, named), _size), MOST_EVENTS + 1):
        if len(said) == MOST_EVENTS:
            raise TooLong
        content = {"msgtype": msgtype, **_text(blocks), "m.mentions": {}}
        if not said and named is not None:
            content["m.mentions"] = {"user_ids": [named.mxid]}
        if answered is not None and (not said or answered.thread is not None):
            content["m.relates_to"] = _relation(answered)
            content["body"] = re.sub(r"\A> ", " > ", str(content["body"]))  # or it would be stripped as a fallback
        said.append(content)
    return said


def edit(
    event: str,
    reply: Reply,
    *,
    named: Named | None = None,
    answered: Answered | None = None,
    msgtype: str = "m.notice",
) -> list[Content]:
    """Return the contents that make *event*, one of the bot's own, into *reply*; none for nothing to say.

    Who is *named* stays named, and is not notified again.  What does not fit into the one event comes in others,
    like those of `say`: in the thread, where what was *answered* is in one.

    Raises:
        TooLong: they would be too many.
    """
    contents = say(reply, named=named, answered=answered, msgtype=msgtype)
    if contents:
        new = contents[0]
        new.pop("m.relates_to", None)  # what the first version answers stands ("Applying `m.new_content`")
        shown, *more = split(f"* {new['body']}", _OLD_CLIENTS, "bytes")
        contents[0] = {
            "msgtype": msgtype,
            "body": f"{shown} …" if more else shown,
            "m.mentions": {},
            "m.new_content": new,
            "m.relates_to": {"rel_type": "m.replace", "event_id": event},
        }
    return contents


def react(event: str, key: str) -> Content:
    """Return the content of an ``m.reaction`` to *event*; *key* is mostly one emoji."""
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": event, "key": key}}


def whole(reply: Reply) -> str:
    """Return all of *reply* as one text, for a file.  It may take a second; do it in a thread."""
    return _BODY.blocks(_tree(reply, None))


def _relation(answered: Answered) -> Content:
    to = {"m.in_reply_to": {"event_id": answered.event}}
    if answered.thread is None:
        return {**to}
    # To clients that know no threads it is a reply; to others, just the next message there.
    return {"rel_type": "m.thread", "event_id": answered.thread, "is_falling_back": True, **to}


def _tree(reply: Reply, named: Named | None) -> tuple[Block, ...]:
    blocks = parse(reply.text)
    if reply.choices:
        blocks += (List(True, 1, tuple((Paragraph((Text(printable(one)),)),) for one in reply.choices)),)
    if reply.link is not None:
        blocks += parse(link(reply.link.label, reply.link.url))
    if not _BODY.blocks(blocks).strip():
        return ()
    if named is None:
        return blocks
    pill = _Pill(_TO + quote(named.mxid, safe="@:"), (), printable(named.name)[:100] or named.mxid)
    match blocks[0]:
        case Paragraph(inner):
            return (Paragraph((pill, Text(": "), *inner)), *blocks[1:])
        case _:
            return (Paragraph((pill, Text(":"))), *blocks)


def _text(blocks: tuple[Block, ...]) -> Content:
    content: Content = {"body": _ROOM.sub("@\u200b", _BODY.blocks(blocks))}  # two nodes may make one word there
    if not all(map(_is_bare, blocks)):
        content |= {"format": "org.matrix.custom.html", "formatted_body": _HTML.blocks(blocks)}
    return content


def _is_bare(block: Block) -> bool:
    """Return whether HTML would show no more of *block* than its text does."""
    return isinstance(block, Paragraph) and all(isinstance(one, Text | LineBreak) for one in block.inner)


def _inert(text: str) -> str:
    return _NAMES.sub("\\g<0>\u200b", text)


def _names_somebody(url: str) -> bool:
    """Return whether a client may take *url* for a person, a room or an event; some decode it more than once."""
    for _ in range(4):
        if _PERMALINK.search(url):
            return True
        before, url = url, unquote(url)
        if before == url:
            return False
    return True


# ----------------------------------------------------------------- cutting

# Nodes are cut, not what was made of them: so every piece is whole, whatever it is in.  What measures a piece
# renders it with all that is around it, so that indents and tags count.
type _Measure[T] = Callable[[tuple[T, ...]], int]


def _size(blocks: tuple[Block, ...]) -> int:
    return len(json.dumps(_text(blocks)))


def _grouped(blocks: Iterable[Block], measure: _Measure[Block]) -> Iterator[tuple[Block, ...]]:
    """Put *blocks* into as few groups as fit, those that are too long by themselves in parts."""
    return _packed(_parts(blocks, _fit, measure), measure)


def _parts[T](nodes: Iterable[T], fit: Callable[[T, _Measure[T]], Iterator[T]], measure: _Measure[T]) -> Iterator[T]:
    """Give *nodes*, in parts where one is too long; what fits together, fits."""
    for some in batched(nodes, 64):
        if measure(some) <= BUDGET:
            yield from some
        else:
            for one in some:
                yield from fit(one, measure)


def _packed[T](nodes: Iterable[T], measure: _Measure[T]) -> Iterator[tuple[T, ...]]:
    rest = tuple(nodes)
    count = len(rest)
    while rest:
        count = _most(rest, count, measure)
        yield rest[:count]
        rest = rest[count:]


def _most[T](nodes: tuple[T, ...], guess: int, measure: _Measure[T]) -> int:
    """Return how many of *nodes* fill a piece well; one fits alone.  To measure takes long, so it is seldom done."""
    fits, fails = 1, len(nodes) + 1
    while fails - fits > 1:
        guess = min(max(guess, fits + 1), fails - 1)
        size = measure(nodes[:guess])
        if size > BUDGET:
            fails = guess
        elif size > BUDGET * 9 // 10:
            return guess
        else:
            fits = guess
        guess = guess * BUDGET * 19 // (size * 20)
    return fits


def _fit(block: Block, measure: _Measure[Block]) -> Iterator[Block]:
    """Give *block*, in parts where it is too long."""
    match block:
        case _ if measure((block,)) <= BUDGET:
            yield block
        case CodeBlock(text, lang):
            for part in _cut(text, lambda one: measure((CodeBlock(one, lang),))):
                yield CodeBlock(part, lang)
        case Quote(blocks):
            yield from map(Quote, _grouped(blocks, lambda group: measure((Quote(group),))))
        case Heading(inner, level):
            for run in _runs(inner, lambda group: measure((Heading(group, level),))):
                yield Heading(run, level)
        case Paragraph(inner):
            yield from map(Paragraph, _runs(inner, lambda group: measure((Paragraph(group),))))
        case List():
            yield from _fit_list(block, measure)


def _fit_list(block: List, measure: _Measure[Block]) -> Iterator[Block]:
    """Give a list in parts; what an item has more than fits stands after it, not as an item of its own."""
    entries: list[tuple[Block, ...]] = []
    start = block.start

    def listed(items: tuple[tuple[Block, ...], ...]) -> List:
        return List(block.ordered, start, items)

    def flushed() -> Iterator[Block]:
        nonlocal start
        for items in _packed(entries, lambda some: measure((listed(some),))):
            yield listed(items)
            start += len(items)
        entries.clear()

    for some in batched(block.items, 64):
        fitting = measure((listed(some),)) <= BUDGET
        for item in some:
            groups = [] if fitting else list(_grouped(item, lambda group: measure((listed((group,)),))))
            first, *others = groups or [item]
            entries.append(first)
            if others:
                yield from flushed()
                yield from chain(*others)
    yield from flushed()


def _runs(inlines: Iterable[Inline], measure: _Measure[Inline]) -> Iterator[tuple[Inline, ...]]:
    for group in _packed(_parts(inlines, _fit_inline, measure), measure):
        while group and isinstance(group[-1], LineBreak):
            group = group[:-1]
        while group and isinstance(group[0], LineBreak):
            group = group[1:]
        if group:
            yield group


def _fit_inline(node: Inline, measure: _Measure[Inline]) -> Iterator[Inline]:
    match node:
        case LineBreak():
            yield node
        case _ if measure((node,)) <= BUDGET:
            yield node
        case Text(text) | Code(text):
            kind = type(node)
            yield from map(kind, _cut(text, lambda one: measure((kind(one),))))
        case Link(url, label) if measure((Link(url, ()),)) <= BUDGET // 2:
            for run in _runs(label, lambda group: measure((Link(url, group),))):
                yield Link(url, run)
        case Link(url, label):  # no address is that long
            for one in (*label, Text(" "), Text(url)):
                yield from _fit_inline(one, measure)
        case Strong(inner) | Emphasis(inner) | Strike(inner):
            around = type(node)
            yield from map(around, _runs(inner, lambda group: measure((around(group),))))


def _cut(text: str, measure: Callable[[str], int]) -> Iterator[str]:
    size = measure(text)
    if size <= BUDGET:
        yield text
        return
    for part in split(text, max(4, len(text) * BUDGET * 9 // (size * 10))):
        yield from _cut(part, measure)


# ----------------------------------------------------------------- hearing

LONGEST = 65_536
"""Characters of a body that is still read: no event can have more."""

type Kind = Literal["text", "emote", "notice", "image", "file", "audio", "video"]

_KINDS: dict[str, Kind] = {
    "m.text": "text",
    "m.emote": "emote",
    "m.notice": "notice",
    "m.image": "image",
    "m.file": "file",
    "m.audio": "audio",
    "m.video": "video",
}

_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Controls, directions, lone surrogates, and what has no ink; but not the joiners that words and emoji need.
_DROP = re.compile(
    "[\x00-\x09\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff0-\ufffb\U000e0000-\U000e0fff]+"
)
_EVENT_ID = re.compile(r"\$[\x21-\x7e]{1,254}")
_MX_REPLY = re.compile(r"<mx-reply\b.*?(?:</mx-reply\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_ZEROS, _TOO_LARGE = re.compile(r"&#0+(?=\d)"), re.compile(r"&#\d{8,};?")
"""Character references as `html.unescape` does not take them: it makes numbers of them, of however many digits."""

_HREF = re.compile(r"""<a\s[^<>]{0,300}?\bhref\s{0,9}=\s{0,9}["']([^"'<>]{1,600})["']""", re.IGNORECASE)
_TO_SOMEBODY = re.compile(r"(?:https?://matrix\.to/#/@|matrix:u/)([^?]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Me:
    """What the bot is called in a room."""

    mxid: str
    names: tuple[str, ...] = ()
    """Display names."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event says."""

    text: str = field(repr=False)
    """Without what a reply quotes, without the bot's name in front where *addressed*; of a file, its caption."""

    kind: Kind = "text"
    addressed: bool = False
    """Whether the bot was mentioned, or spoken to by name; not whether it was replied to."""

    edit: bool = False
    thread: str | None = None
    """The root of the thread it is in."""

    reply_to: str | None = None
    """The event that it replies to; in a thread, only where its author meant to."""

    mentions: frozenset[str] = frozenset()
    """Whom its author means to notify."""

    shown: str = field(default="", repr=False)
    """What clients show instead of *text*, as HTML with its characters put plainly, where there are links in that."""


def hear(event: object, me: Me, clear: object = None) -> Heard | None:
    """Return what *event* says, an event in clear or decrypted; None where it says nothing in words.

    *clear* is the content of the encrypted event that it was in: relations are told there.  An event is an edit
    if either says so.  *event* may be any JSON.
    """
    content = _dict(_dict(event).get("content"))
    msgtype, body = content.get("msgtype"), content.get("body")
    if _dict(event).get("type") != "m.room.message" or "state_key" in _dict(event) or not isinstance(msgtype, str):
        return None
    kind = _KINDS.get(msgtype)
    new = _dict(content.get("m.new_content"))
    told = [_dict(one.get("m.relates_to")) for one in (_dict(clear), content)]
    edited = "m.new_content" in content or any(one.get("rel_type") == "m.replace" for one in told)
    if edited and "body" in new:
        content, body = new, new["body"]
    if kind is None or not isinstance(body, str) or len(body) > LONGEST:
        return None
    if kind not in ("text", "emote", "notice") and content.get("filename", body) == body:
        body = ""  # a name of a file is nothing said
    relation = told[0] or told[1]
    replied = _dict(relation.get("m.in_reply_to"))
    text = _clean(_unquoted(body) if replied else body)
    mentions, mentioned = _mentions(content, me)
    text, named = _unaddressed(text, me, mentioned)
    is_thread = relation.get("rel_type") == "m.thread"
    return Heard(
        text=f"* {text}" if kind == "emote" else text,
        kind=kind,
        addressed=(mentioned or named) and kind != "emote",  # told, and never a command
        edit=edited,
        thread=_event_id(relation.get("event_id")) if is_thread else None,
        reply_to=None if is_thread and relation.get("is_falling_back") is True else _event_id(replied.get("event_id")),
        mentions=mentions,
        shown=_shown(content),
    )


def _dict(value: object) -> dict[object, object]:
    return value if isinstance(value, dict) else {}


def _event_id(value: object) -> str | None:
    return value if isinstance(value, str) and _EVENT_ID.fullmatch(value) else None


def _clean(text: str) -> str:
    return _DROP.sub("", _LINE_ENDS.sub("\n", text).replace("\t", " ")).strip()


def _unquoted(body: str) -> str:
    """Return *body* without what old clients quote in it (client-server API 1.12, "Stripping the fallback")."""
    lines = _LINE_ENDS.sub("\n", body).split("\n")
    return "\n".join(dropwhile(lambda line: line.startswith("> ") or line == ">", lines))


def _mentions(content: dict[object, object], me: Me) -> tuple[frozenset[str], bool]:
    """Return whom *content* mentions, and whether *me*; pills count only for clients that know no ``m.mentions``."""
    if "m.mentions" in content:
        ids = _dict(content["m.mentions"]).get("user_ids")
        found = frozenset(one for one in ids if isinstance(one, str)) if isinstance(ids, list) else frozenset[str]()
    else:
        formatted = content.get("formatted_body")
        found = _pills(formatted) if isinstance(formatted, str) and len(formatted) <= LONGEST else frozenset[str]()
    return found, me.mxid in found


def _shown(content: dict[object, object]) -> str:
    formatted = content.get("formatted_body")
    if not isinstance(formatted, str) or len(formatted) > LONGEST:
        return ""
    plain = unquote(html.unescape(_TOO_LARGE.sub("", _ZEROS.sub("&#", _MX_REPLY.sub("", formatted)))))
    return plain if "://" in plain else ""


def _pills(formatted: str) -> frozenset[str]:
    links = (unquote(html.unescape(one)) for one in _HREF.findall(_MX_REPLY.sub("", formatted)))
    found = (_TO_SOMEBODY.match(one) for one in links)
    return frozenset(f"@{one[1]}" for one in found if one is not None)


def _unaddressed(text: str, me: Me, mentioned: bool) -> tuple[str, bool]:
    """Return *text* without the bot's name in front, and whether that was there.

    It takes a colon or a comma, unless the bot is *mentioned* anyhow: clients write a mention in many ways.
    """
    found = _address(me, mentioned).match(text)
    return (text[found.end() :], True) if found else (text, False)


@lru_cache(256)
def _address(me: Me, mentioned: bool) -> re.Pattern[str]:
    names = {printable(name) for name in me.names}
    if mentioned:
        names.add(me.mxid[1:].partition(":")[0])
    words = "|".join(re.escape(one) for one in sorted(names - {""}, key=len, reverse=True)) or "(?!)"
    mxid = re.escape(me.mxid)
    encoded = re.escape(quote(me.mxid, safe=""))
    pill = rf"\[[^\[\]\n]{{0,200}}\]\(<?https://matrix\.to/#/(?:{mxid}|{encoded})>?\)"
    end = r"(?:\s*[:,]\s*|\s+|\Z)" if mentioned else r"\s*[:,]\s*"
    return re.compile(rf"(?:{pill}(?:\s*[:,])?\s*|(?:{mxid}(?!:\d)|@?(?:{words})){end})", re.IGNORECASE)
