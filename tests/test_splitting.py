"""Text is cut into messages of any size, and what was inert before the cut is inert after it."""

import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasty import NASTY, inkless
from omnibot.markup import CodeBlock, MarkdownRenderer, Paragraph, code, code_block, escape, parse
from omnibot.splitting import split

DISCORD = MarkdownRenderer()


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
    kinds = {type(block) for piece in pieces for block in parse(piece)}

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
    assert ["aa🇩🇪", "🇫🇷"] == split("aa🇩🇪🇫🇷", 5)
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
