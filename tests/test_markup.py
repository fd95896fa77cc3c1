"""Data put into Markdown is shown and does nothing else, on every network, in pieces of any size."""

import re
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnibot import markup
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
    split,
)

PLAIN, ANSI, DISCORD, MATRIX = PlainRenderer(), AnsiRenderer(), MarkdownRenderer(), HtmlRenderer()
RENDERERS = [PLAIN, ANSI, DISCORD, MATRIX]

# Text at its worst: markup, line starts, what has no ink, other scripts, lone surrogates, whatever else.
WORDS = """
* ** _ __ ` `` ``` ~~~ ~~ [ ]( ) < > \\ # - + 1. 2) | <b> <script> &lt; word snake_case 0 é e\u0301 日本 👍🏽
@everyone <@123> <#5> https://x.org/_a_*b* javascript: ](https://evil.org) [x](y:z)
"""
SPACES = ["-# ", "# ", "> ", "- ", "\n", "\n\n", "\r\n", "\t", " ", "  ", "    ", "\u2028"]
BITS = st.sampled_from([*WORDS.split(), *SPACES, "\x00", "\x1b[31m", "\u202e", "\u200b", "\ud800"])
NASTY = st.one_of(st.lists(BITS).map("".join), st.text(), st.text(st.characters(categories=["P", "S", "Z", "Cc"])))
ALLOWED = re.compile(
    r"</?(?:p|strong|em|del|code|pre|blockquote|ul|ol|li|h[1-6])>|<br>|<ol start=\"\d+\">|</a>"
    r"|<code class=\"language-[\w+#.-]+\">|<a href=\"(?:https?://|mailto:)[^\"<>\s]+\">",
    re.IGNORECASE,
)


def inkless(text: str) -> str:
    """Return what is left of *text* without white space."""
    return re.sub(r"\s+", "", text)


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


# ---------------------------------------------------------------- cutting


def size(text: str, unit: str) -> int:
    """Return how long *text* is."""
    return len(text.encode(errors="surrogatepass")) if unit == "bytes" else len(text)


@given(NASTY, st.integers(4, 40), st.sampled_from(["chars", "bytes"]), st.sampled_from([None, 1, 2]))
def test_pieces_fit_and_lose_nothing(text: str, limit: int, unit: Literal["chars", "bytes"], lines: int | None) -> None:
    """Each piece is within all limits, none is blank, and together they say what the text said."""
    pieces = split(text, limit, unit, lines)

    assert all(size(piece, unit) <= limit and piece.strip() for piece in pieces)
    assert all(piece.count("\n") < lines for piece in pieces if lines)
    assert inkless(text) == inkless("".join(pieces))


@given(NASTY, st.integers(64, 90), st.sampled_from(["chars", "bytes"]))
def test_any_text_can_be_cut_with_fences(text: str, limit: int, unit: Literal["chars", "bytes"]) -> None:
    """Even what no renderer made is cut to size."""
    assert all(size(piece, unit) <= limit and piece.strip() for piece in split(text, limit, unit, fences=True))


@given(st.lists(st.tuples(st.sampled_from([code, code_block, escape]), NASTY), min_size=1), st.integers(64, 90))
def test_code_stays_code_in_every_piece(parts: list[tuple[type, str]], limit: int) -> None:
    """What was inert before the cut is inert after it, and nothing of it is lost."""
    whole = DISCORD.render("\n\n".join(make(text) for make, text in parts))
    pieces = split(whole, limit, fences=True)
    kinds = {type(block) for piece in pieces for block in as_parsed(piece)}

    assert all(len(piece) <= limit for piece in pieces)
    assert {Paragraph, CodeBlock} >= kinds
    assert seen(whole) == "".join(map(seen, pieces))


def seen(text: str) -> str:
    """Return what is to be seen of Discord's Markdown *text*, fences and white space aside."""
    return re.sub(r"[`\\\s]", "", text)


def test_text_is_cut_at_lines_then_words_then_letters() -> None:
    """The best place to cut is taken first."""
    assert ["one two", "three"] == split("one two\nthree", 10)
    assert ["one two", "three"] == split("one two three", 9)
    assert ["abcd", "efgh", "i"] == split("abcdefghi", 4)
    assert ["  a", "  b"] == split("  a\n\n  b", 4)
    assert ["a", "b"] == split("a\n\n \nb", 100, lines=1)


def test_no_letter_is_cut_from_its_marks() -> None:
    """UTF-8 sequences, combining marks, skin tones and escapes stay whole."""
    assert ["日", "本"] == split("日本", 5, "bytes")
    assert ["aaa", "e\u0301"] == split("aaae\u0301", 4)
    assert ["aaa", "👍🏽"] == split("aaa👍🏽", 4)
    assert ["aaa", r"\*b"] == split(r"aaa\*b", 4)


def test_a_fence_is_closed_and_opened_again() -> None:
    """Code that does not fit into one message is code in the next."""
    whole = "Log:\n```py\n" + "\n".join(f"line {number} of the log" for number in range(6)) + "\n```\nDone"
    pieces = split(whole, 80, fences=True)

    assert [
        "Log:\n```py\nline 0 of the log\nline 1 of the log\nline 2 of the log\n```",
        "```py\nline 3 of the log\nline 4 of the log\nline 5 of the log\n```\nDone",
    ] == pieces


def test_what_opens_a_fence_again_counts() -> None:
    """A rest that would fit alone, but not behind its fence, is cut as well."""
    pieces = split("```\n" + "a" * 50 + "\n" + "b" * 58 + "\n```", 64, fences=True)

    assert ["```\n" + "a" * 50 + "\n```", "```\n" + "b" * 56 + "\n```", "```\nbb\n```"] == pieces


@pytest.mark.parametrize(
    ("whole", "pieces"),
    [
        ("a" * 60 + "\n```\nb\n```", ["a" * 60, "```\nb\n```"]),
        ("```\n" + "a" * 56 + "\n```\nb", ["```\n" + "a" * 56 + "\n```", "b"]),
        ("a" * 59 + "`bbbbbb`", ["a" * 59, "`bbbbbb`"]),
        ("`" + "a" * 59 + "`bbbb", ["`" + "a" * 59 + "`", "bbbb"]),
    ],
)
def test_a_cut_at_the_edge_leaves_no_empty_code(whole: str, pieces: list[str]) -> None:
    """Code that a cut would leave nothing of is not opened, or not opened again."""
    assert pieces == split(whole, 64, fences=True)


def test_a_code_span_is_closed_and_opened_again() -> None:
    """Data in a code span is not let out by a cut."""
    pieces = split("x " + code("a" * 70 + " [click](https://evil.org)"), 80, fences=True)

    assert ["x `" + "a" * 70 + "`", "`[click](https://evil.org)`"] == pieces


def test_a_cut_makes_no_heading() -> None:
    """Words that a cut puts at the start of a message stay words."""
    assert ["a" * 64, r"\# title"] == split("a" * 64 + " # title", 68, fences=True)
    assert ["a" * 64, r"1\. item"] == split("a" * 64 + " 1. item", 68, fences=True)
    assert ["a" * 64, "# title"] == split("a" * 64 + "\n# title", 68, fences=True)


def test_a_limit_that_nothing_fits_is_an_error() -> None:
    """A limit too small for one character, or for a fence, is the caller's mistake."""
    with pytest.raises(ValueError, match="pieces of 3 bytes"):
        split("a", 3, "bytes")
    with pytest.raises(ValueError, match="pieces of 63 chars"):
        split("a", 63, fences=True)
