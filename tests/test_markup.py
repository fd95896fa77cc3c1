"""Data put into Markdown is shown and does nothing else, on every network, in pieces of any size."""

import re
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nasty import NASTY, inkless
from omnibot import markup, message
from omnibot.markup import (
    AnsiRenderer,
    Code,
    CodeBlock,
    Emphasis,
    Heading,
    HtmlRenderer,
    LineBreak,
    Link,
    List,
    MarkdownRenderer,
    Markup,
    Paragraph,
    PlainRenderer,
    Quote,
    Renderer,
    Strike,
    Strong,
    Text,
    code,
    code_block,
    escape,
    escape_block,
    fmt,
    link,
    parse,
    plain,
    printable,
)
from omnibot.message import Reply

PLAIN, ANSI, DISCORD, MATRIX = PlainRenderer(), AnsiRenderer(), MarkdownRenderer(), HtmlRenderer()
RENDERERS = [PLAIN, ANSI, DISCORD, MATRIX]

ALLOWED = re.compile(
    r"</?(?:p|strong|em|del|code|pre|blockquote|ul|ol|li|h[1-6])>|<br>|<ol start=\"\d+\">|</a>"
    r"|<code class=\"language-[\w+#.-]+\">|<a href=\"(?:https?://|mailto:)[^\"<>\s]+\">",
    re.IGNORECASE,
)


def as_parsed(text: str) -> tuple[markup.Block, ...]:
    """Return what the parser alone makes of *text*."""
    return markup._blocks(iter(markup._parser().parse(text)))


# ---------------------------------------------------------------- reading


def test_every_construct_becomes_its_node() -> None:
    """The tree holds what Markdown says, and nothing else is read as markup."""
    text = "# T\n\n**a** *b* ~~c~~ `d`\n[e](https://e.org)\n\n> q\n\n2. x\n3. y\n\n```py\nz = 1\n```"

    assert (
        Heading((Text("T"),), 1),
        Paragraph(
            (
                Strong((Text("a"),)),
                Text(" "),
                Emphasis((Text("b"),)),
                Text(" "),
                Strike((Text("c"),)),
                Text(" "),
                Code("d"),
                LineBreak(),
                Link("https://e.org", (Text("e"),)),
            )
        ),
        Quote((Paragraph((Text("q"),)),)),
        List(True, 2, ((Paragraph((Text("x"),)),), (Paragraph((Text("y"),)),))),
        CodeBlock("z = 1", "py"),
    ) == parse(text)


@pytest.mark.parametrize("text", ["<b>x</b>", "<!-- x -->", "&lt;b&gt;", "a | b\n--|--", "    four spaces", "---"])
def test_html_entities_tables_rules_and_indents_are_text(text: str) -> None:
    """What chat has no use for is shown as it was written."""
    shown = "\n".join(line.strip() for line in text.split("\n"))

    assert shown == PLAIN.render(text)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "ftp://x.org", "/path", "matrix:u/a", "https:///"]
)
def test_a_link_to_another_scheme_is_its_label(url: str) -> None:
    """Only http, https and mailto are addresses."""
    assert (Paragraph((Text("see this"),)),) == parse(f"[see this]({url})")


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("pong", True),
        ("Queued acme/site #42, build_job_7 is 50% done!", True),
        ("two\nlines", True),
        ("1.5 - 2.5 and a -5", True),
        ("_a_", False),
        ("a *b*", False),
        ("- a", False),
        ("a\n# b", False),
        ("1. a", False),
        ("a\u202eb", False),
        ("a\x1b[31m", False),
    ],
)
def test_plain_text_is_recognised(text: str, holds: bool) -> None:
    """Ordinary one-liners are plain; what has markup, or something to drop, is not."""
    assert holds == plain(text)


def test_plain_text_skips_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text without markup never loads it."""
    monkeypatch.setattr(markup, "_parser", None)

    assert "pong" == PLAIN.render(" pong\n")
    assert "a<br>b &amp; c" == MATRIX.render("a\nb & c")


@given(st.text(st.sampled_from("ab_-+.)#>19=|: \né!&@")))
def test_the_short_way_reads_what_the_parser_reads(text: str) -> None:
    """Plain text gives the same tree either way."""
    short = parse(text) if plain(text) else ()
    parsed = as_parsed(text) if plain(text) else ()

    assert parsed == short


@given(NASTY)
def test_nothing_raises(text: str) -> None:
    """Any text can be read, shown and put in, and comes out fit to be sent."""
    ways = [text, escape(text), escape_block(text), code(text), code_block(text, text), link(text, text)]
    shown = [renderer.render(way) for renderer in RENDERERS for way in ways]

    assert all(one.encode() is not None for one in shown)


# ------------------------------------------------------------ putting in


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada", "Ada"),
        ("a\r\nQUIT :x", "a QUIT :x"),
        ("\x01ACTION waves\x01", "ACTION waves"),
        ("gnp.\u202eexe", "gnp.exe"),
        ("ad\u200bmin\ufeff", "admin"),
        ("\x1b[31mred\x9b0m", "[31mred0m"),
        (" \u3000a \u2029 b\u3164", "a b"),
        ("\ud800x", "x"),
        ("❤️ naïve 日本", "❤️ naïve 日本"),
    ],
)
def test_a_printable_name_is_one_line_of_ink(text: str, shown: str) -> None:
    """Controls, bidi, zero-width characters and lone surrogates are gone; scripts and emoji stay."""
    assert shown == printable(text)


@given(NASTY)
@example("C #")
@example("1. a")
@example("-# small")
@example("__0__")
def test_escaped_data_reads_as_it_is(text: str) -> None:
    """Whatever is escaped is one paragraph of text that reads as the printable text does."""
    wanted = printable(text)

    assert ((Paragraph((Text(wanted),)),) if wanted else ()) == parse(escape(text))
    assert wanted == PLAIN.render(escape(text))


@given(
    NASTY,
    NASTY,
    st.sampled_from(["{}{}", "{} {}", "- {} {}", "> {}{}", "# {} {}", "**{}**{}", "[{}{}](https://x.org)"]),
)
def test_escaped_data_stays_where_it_was_put(one: str, other: str, template: Literal["{}{}"]) -> None:
    """Neither one value nor two side by side change what the template around them is."""
    harmless = parse(template.format("x", "x"))
    filled = parse(fmt(template, f"x{one}x", f"x{other}x"))

    assert skeleton(harmless) == skeleton(filled)


def test_a_heading_keeps_the_data_whole() -> None:
    """What would close a heading is shown, too."""
    assert (Heading((Text("C #"),), 1),) == parse(fmt("# {}", "C #"))


@given(NASTY, NASTY)
@example("1", ". x")
@example("-", "# x")
def test_values_side_by_side_start_nothing(one: str, other: str) -> None:
    """Two harmless halves do not make a list, a heading or a quote together."""
    blocks = parse(fmt("{}{}", one, other)) + parse(fmt("{} {}", one, other))

    assert {Text} >= {type(node) for block in blocks for node in getattr(block, "inner", (block,))}


def skeleton(node: object) -> object:
    """Return what kinds of nodes there are in *node*, and how they nest; text alone counts as nothing."""
    if isinstance(node, tuple):
        return [skeleton(one) for one in node if not isinstance(one, Text)]
    inner = getattr(node, "inner", ()) or getattr(node, "blocks", ()) or getattr(node, "items", ())
    return [type(node).__name__, skeleton(inner or getattr(node, "label", ()))]


@given(NASTY)
def test_escaped_lines_keep_their_ends(text: str) -> None:
    """A block of data keeps its lines, and none of them starts anything."""
    blocks = parse(escape_block(text))

    assert {Paragraph} >= set(map(type, blocks))
    assert {Text, LineBreak} >= {type(node) for block in blocks if isinstance(block, Paragraph) for node in block.inner}
    assert inkless(printable(text)) == inkless(PLAIN.render(escape_block(text)))


@given(NASTY)
@example("a`b``c `")
@example("a` b `c")
def test_a_code_span_holds_any_data(text: str) -> None:
    """Code shows its data literally, backticks too, and lets nothing out."""
    assert printable(text) == PLAIN.render(code(text))
    assert {Code, Text} >= {type(node) for block in parse(code(text)) for node in getattr(block, "inner", ())}


@given(NASTY, NASTY)
@example("x", "y`[click](https://evil.org)")
def test_two_code_spans_side_by_side_let_nothing_out(one: str, other: str) -> None:
    """Fences that meet melt together, yet what they hold stays inert."""
    blocks = parse(fmt("{}{}", code(one), code(other)))

    assert {Code, Text} >= {type(node) for block in blocks for node in getattr(block, "inner", ())}


@given(NASTY)
@example("```\n**x**\n````")
def test_a_code_block_holds_any_text(text: str) -> None:
    """A code block is one block wherever it is put in, and keeps the text inside."""
    blocks = [block for block in parse(fmt("Log: {} end", code_block(text, "py"))) if isinstance(block, CodeBlock)]

    assert [inkless(markup._clean(text))] * bool(markup._clean(text).strip()) == [
        inkless(block.text) for block in blocks
    ]
    assert {"py"} >= {block.lang for block in blocks}


def test_an_odd_language_is_left_out() -> None:
    """What follows a fence is a plain word or nothing."""
    assert "\n```\nx\n```\n" == code_block("x", "py\n**x**")


def test_links_are_made_safe() -> None:
    """Label and address stay apart, whatever is in them; without a known scheme only the label is left."""
    assert r"[a\](b](https://x.org/%28%20%29)" == link("a](b", "https://x.org/( )")
    assert "<https://x.org>" == link("https://x.org", "https://x.org") == link("", "https://x.org")
    assert r"a\*" == link("a*", "javascript:alert(1)")
    assert "https://x.org/?a=1&lt;" == PLAIN.render(link("", "https://x.org/?a=1&lt;"))
    assert "x <https://x.org/?a=1&lt;>" == PLAIN.render(link("x", "https://x.org/?a=1&lt;"))


@given(NASTY, NASTY)
def test_a_link_is_one_link(label: str, rest: str) -> None:
    """No label and no address break out of a link."""
    [block] = parse(link(label, f"https://x.org/{rest}"))

    assert isinstance(block, Paragraph)
    assert [Link] == [type(node) for node in block.inner]


def test_a_template_escapes_its_arguments() -> None:
    """Arguments are formatted, then escaped; Markdown made by these helpers passes as it is."""
    assert r"Opened **a\*** at 03 by `me`" == fmt("Opened **{}** at {at:02} by {}", "a*", code("me"), at=3)
    assert r"'\*' \*x" == fmt("{!r} {:.2}", "*", "*xyz")
    assert isinstance(fmt("{}", 1), Markup)
    assert "`a`" == escape(code("a")) == escape_block(code("a"))


# ---------------------------------------------------------------- showing

SAMPLE = """\
# T

Hi **a** *b* ~~c~~ `d`

- [e](https://e.org)
- <https://f.org>
  1. g

> q

```py
z < 1
```
"""
AS_PLAIN = """\
T

Hi a b c d
- e <https://e.org>
- https://f.org
  1. g

> q

    z < 1"""
AS_ANSI = """\
{1m}T{22m}

Hi {1m}a{22m} {3m}b{23m} {9m}c{29m} {2m}d{22m}
- {4m}e{24m} <https://e.org>
- {4m}https://f.org{24m}
  1. g

> q

{2m}    z < 1{22m}""".replace("{", "\x1b[").replace("}", "")
AS_DISCORD = """\
# T

Hi **a** *b* ~~c~~ `d`
- [e](https://e.org)
- https://f.org
  1. g

> q

```py
z < 1
```"""
AS_MATRIX = (
    "<h1>T</h1><p>Hi <strong>a</strong> <em>b</em> <del>c</del> <code>d</code></p>"
    '<ul><li><a href="https://e.org">e</a></li>'
    '<li><a href="https://f.org">https://f.org</a><ol><li>g</li></ol></li></ul>'
    '<blockquote>q</blockquote><pre><code class="language-py">z &lt; 1\n</code></pre>'
)


@pytest.mark.parametrize(
    ("renderer", "shown"), [(PLAIN, AS_PLAIN), (ANSI, AS_ANSI), (DISCORD, AS_DISCORD), (MATRIX, AS_MATRIX)]
)
def test_each_renderer_shows_all_of_it(renderer: Renderer, shown: str) -> None:
    """One answer, four networks."""
    assert shown == renderer.render(SAMPLE)


def test_a_renderer_is_a_small_table() -> None:
    """A new network says what it has; the rest degrades to plain text."""

    class IrcRenderer(Renderer):
        marks = {Strong: ("\x02", "\x02"), Emphasis: ("\x1d", "\x1d"), Code: ("\x11", "\x11")}  # noqa: RUF012

    assert "\x02a\x02 \x11b\x11 c <https://c.org>" == IrcRenderer().render("**a\x03** `b` [c](https://c.org)")


def test_a_whole_reply_is_lines_where_there_are_no_buttons() -> None:
    """Choices are numbered, the link is written out, and what is in them is data."""
    reply = Reply("**Sure?**", ("a\nb", "*c*"), message.Link("Open\n2. d", "https://x.org/a_b_"))

    assert "Sure?\n1. a b\n2. *c*\nOpen 2. d: https://x.org/a_b_" == PLAIN.reply(reply)
    assert r"**Sure?**|1. a b|2. \*c\*|Open 2. d: https://x.org/a_b%5F" == DISCORD.reply(reply).replace("\n", "|")


@given(NASTY)
@example("<a href='https://x' onclick=x>")
@example('```x">\n**y**\n```')
def test_html_has_allowed_tags_only(text: str) -> None:
    """No tag, attribute or scheme but ours reaches Matrix, escaped or not."""
    shown = MATRIX.render(text) + MATRIX.render(link(text, text)) + MATRIX.render(code_block(text, text))

    assert not re.search("[<>]", ALLOWED.sub("", shown))


@pytest.mark.parametrize(
    "url", ["https://matrix.to/#/@a:b.org", "https://app.element.io/#/room/!x", "https://m.to/#/%40a:b"]
)
def test_no_link_becomes_a_pill(url: str) -> None:
    """An address that Matrix clients turn into a mention is shown, but is no anchor."""
    assert f"Ada <code>{url}</code>" == MATRIX.render(link("Ada", url))


@given(NASTY)
@example("https://x.org/**b**")
def test_discord_is_told_nothing_but_text(text: str) -> None:
    """Data read back as Discord would read it is text that does nothing, percent signs in addresses aside."""
    shown = DISCORD.render(escape(text))
    unescaped = re.sub(r"\\[^a-z0-9\s]", "x", re.sub(r"https?://[^\s<>\[\]\\*`~|]+", "x", shown))

    assert not re.search(
        r"[*`~|<>\[\]\\]|(?<!\w)_|@everyone|@here|^(?:[-+#]|-#|[0-9]+[.)])(?:\s|$)", unescaped, re.IGNORECASE
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone", "@\u200beveryone"),
        ("<@123> <@&1>", r"\<@123\> \<@&1\>"),
        ("||x||", r"\|\|x\|\|"),
        ("-# small", r"\-# small"),
        ("https://x.org/a_b(c)", "https://x.org/a_b(c)"),
        ("see https://x.org/_a_*b*.", "see https://x.org/%5Fa%5F%2Ab%2A."),
    ],
)
def test_discord_pings_nobody(text: str, shown: str) -> None:
    """Mentions, spoilers and small print are shown as they were written; addresses still work."""
    assert shown == DISCORD.render(escape(text))


@pytest.mark.parametrize("text", ["@here", "`@here`", "```\n@here\n```", "[@here](https://x.org/@here)"])
def test_not_even_a_careless_skill_pings(text: str) -> None:
    """The word that pings a whole channel never leaves whole."""
    assert "@here" not in DISCORD.render(text)


def test_an_address_stays_whole() -> None:
    """Each network gets an address in the form that it reads as one."""
    text = "[x](https://x.org/b(c)?d=1&e)"

    assert "[x](https://x.org/b%28c%29?d=1&e)" == DISCORD.render(text)
    assert "https://x.org/%C3%A9" == PLAIN.render("<https://x.org/é>")
    assert '<a href="https://x.org/b(c)?d=1&amp;e">x</a>' == MATRIX.render(text)


def test_no_fence_opens_within_a_fence() -> None:
    """Discord knows no fence longer than three, so none is left within."""
    shown = DISCORD.render(code_block("a\n```\n**b**"))

    assert 2 == shown.count("```")
