"""What is said on Discord: within its limits, whole, and mentioning nobody; and how what was said is read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.speech import LONGEST, LONGEST_EMBED, MOST_PIECES, Piece, pieces, spoken
from nasty import NASTY
from omnibot.markup import MarkdownRenderer, code, code_block, escape, printable
from omnibot.message import File, Link, Reply

PICTURE = File("a.png", "image/png", b"x")
CHOICES = tuple(f"choice {number}" for number in range(26))
PARTS = st.lists(st.tuples(st.sampled_from([code, code_block, escape, str]), NASTY, st.integers(1, 300)), max_size=8)
SPAN = re.compile(r"\\.|```.*?```|`[^`\n]*`", re.DOTALL)
# What Discord acts on ("Reference", Message Formatting), and what pings a whole place.
ALIVE = re.compile(r"<(?:@[!&]?|#|/|t:|id:|a?:)|@everyone|@here")


def said(text: str, **more: bool) -> list[Piece]:
    return pieces(Reply(text), **({"embeds": True, "files": True} | more))


def shown(piece: Piece) -> str:
    return piece.content + (piece.embed or "")


def seen(text: str) -> str:
    """Return what is to be seen of Discord's Markdown *text*: fences, escapes and white space aside."""
    return re.sub(r"[`\\\s]", "", text)


def test_a_short_answer_is_one_message() -> None:
    """As Discord's Markdown; of nothing, there is none."""
    assert [Piece("**a** \\<@1\\>")] == said("**a** <@1>")
    assert [] == said(" \n")


@pytest.mark.parametrize(
    ("length", "embeds", "files", "sizes"),
    [
        (2000, True, True, [2000]),
        (2001, True, True, [2001]),
        (4096, True, True, [4096]),
        (4097, True, True, [1996, 1996, 105]),
        (2001, False, True, [1996, 5]),
        (6000, False, True, [1996, 1996, 1996, 12]),
        (6001, False, False, [1996, 1996, 1996, 13]),
        (6001, True, False, [4092, 1909]),
    ],
)
def test_a_longer_one_is_an_embed_or_pieces(length: int, embeds: bool, files: bool, sizes: list[int]) -> None:
    """What may be sent decides."""
    found = said("x" * length, embeds=embeds, files=files)

    assert sizes == [len(shown(one)) for one in found]
    assert [embeds and sizes[0] > LONGEST] * len(found) == [one.embed is not None for one in found]
    assert all(one.file is None for one in found)


def test_the_longest_are_files() -> None:
    """With their first lines, and words that tell so; code in them is closed."""
    (piece,) = said("Log:\n```py\n" + "\n".join(f"line <@{number}>" for number in range(1000)) + "\n```\nDone")

    assert piece.content.startswith("Log:\n```py\nline <@0>\n")
    assert piece.content.endswith("\n```\n… The whole answer is in the file.")
    assert len(piece.content) <= 1000
    assert piece.file is not None
    assert ("answer.md", "text/markdown") == (piece.file.name, piece.file.kind)
    assert b"Log:\n" == piece.file.data[:5]
    assert b"\n    line <@999>\n" in piece.file.data
    assert piece.file.data.endswith(b"\nDone\n")


def test_where_no_file_may_be_sent_the_rest_is_left_out_and_told() -> None:
    """Nobody wants a hundred messages."""
    room = LONGEST - 4  # a piece keeps space to close its code
    fits = said("x" * room * MOST_PIECES, embeds=False, files=False)
    assert [room] * MOST_PIECES == [len(one.content) for one in fits]

    for length in (room * MOST_PIECES + 5, LONGEST * (MOST_PIECES + 1) + 1, LONGEST * MOST_PIECES * 3):
        found = said("x" * length, embeds=False, files=False)
        assert MOST_PIECES == len(found)
        assert found[-1].content.endswith("x\n… The rest is too long for Discord.")
        assert all(len(one.content) <= LONGEST for one in found)


@pytest.mark.parametrize(("text", "count"), [("", 1), ("a", 1), ("a" * 3000, 1), ("a" * 5000, 3), ("a" * 7000, 2)])
def test_a_file_is_with_the_last_piece(text: str, count: int) -> None:
    """Alone, where the answer is a file itself."""
    found = pieces(Reply(text, file=PICTURE), embeds=True, files=True)

    assert count == len(found)
    assert PICTURE == found[-1].file
    assert PICTURE not in [one.file for one in found[:-1]]


def test_choices_are_words_where_no_menu_shows_them() -> None:
    """More than 25, or where the caller says so."""

    def spelled(offered: tuple[str, ...], **more: bool) -> str:
        (piece,) = pieces(Reply("Which?", choices=offered), embeds=True, files=True, **more)
        return piece.content

    assert "Which?" == spelled(CHOICES[:25])
    assert spelled(CHOICES).startswith("Which?\n1. choice 0\n2. choice 1\n")
    assert "Which?\n1. \\*a\\*" == spelled(("*a*",), choices=True)
    assert "Which?" == spelled(CHOICES, choices=False)


def test_a_link_is_words_where_no_button_holds_it() -> None:
    """Over 512 characters, or where the caller says so."""

    def spelled(length: int, **more: bool) -> str:
        reply = Reply("Here", link=Link("Open", "https://x.org/".ljust(length, "a")))
        (piece,) = pieces(reply, embeds=True, files=True, **more)
        return piece.content

    assert "Here" == spelled(512)
    assert "Here\nOpen: https://x.org/" + "a" * 499 == spelled(513)
    assert "Here\nOpen: https://x.org/a" == spelled(15, link=True)
    assert "Here" == spelled(513, link=False)


@given(PARTS, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_every_piece_is_one_that_discord_takes(
    parts: list[tuple[type, str, int]], embeds: bool, files: bool, choices: bool, has_file: bool
) -> None:
    """Within its limits, never empty, its code closed, no mention alive in it; and nothing is lost."""
    text = "\n\n".join(make(words) * (times if make is escape else 1) for make, words, times in parts)
    reply = Reply(text, choices=CHOICES if choices else (), file=PICTURE if has_file else None)
    found = pieces(reply, embeds=embeds, files=files)

    for one in found:
        assert len(one.content) <= LONGEST
        assert one.embed is None or (embeds and 0 < len(one.embed) <= LONGEST_EMBED and not one.content)
        assert one.content.strip() or one.embed or one.file
        assert "```" not in SPAN.sub("", shown(one))
        assert not ALIVE.search(SPAN.sub("", shown(one)))
        assert not re.search("@(?:everyone|here)", shown(one))
    if not any(one.file not in (None, PICTURE) for one in found) and len(found) < MOST_PIECES:
        assert seen(MarkdownRenderer().reply(reply)) == "".join(seen(shown(one)) for one in found)


@given(PARTS)
def test_code_is_closed_in_every_piece_of_a_long_answer(parts: list[tuple[type, str, int]]) -> None:
    """Also in the first lines of a file, and where the rest is left out."""
    text = "\n\n".join(make(words * times) for make, words, times in parts if make is not str) * 5

    for files in (True, False):
        for one in said(text, embeds=False, files=files):
            assert "`" not in SPAN.sub("", one.content)
            assert not ALIVE.search(SPAN.sub("", one.content))
            assert len(one.content) <= LONGEST


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("!gh issues", "!gh issues"),
        (" !do **bold** _it_ ~~x~~ ||y||\r\n# z\r", "!do **bold** _it_ ~~x~~ ||y||\n# z"),
        ("<@123> <#1> <@&5> <t:1:R>", "<@123> <#1> <@&5> <t:1:R>"),
        ("a <:party:123456789012345678> b <a:dance_2:1>", "a :party: b :dance_2:"),
        ("`<:a:1>` <:b:1> ``` <:c:1>\n``` `` <:d:1> ` ``<:e:1>", "`<:a:1>` :b: ``` <:c:1>\n``` `` <:d:1> ` ``:e:"),
        ("` <:a:1>", "` :a:"),
        ("a\x00\x1b[31mb\tc", "a[31mb\tc"),
        ("<:a b:1> <:a:x>", "<:a b:1> <:a:x>"),
    ],
)
def test_what_is_written_is_read_as_typed(written: str, read: str) -> None:
    """But for custom emoji, and what is no character."""
    assert read == spoken(written)


@given(NASTY)
def test_any_text_is_read(text: str) -> None:
    """Nothing with ink is lost where there is no emoji."""
    assert printable(text) == printable(spoken(text))
