"""What is said fits, bleeds nowhere and smuggles nothing; what was said comes without codes."""

import itertools
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.irc.speech import LEAST_ROOM, Ctcp, IrcRenderer, Page, Pages, pieces, room, strip_codes
from nasty import NASTY
from omnibot.identity import Guest, Identity, Speaker
from omnibot.markup import code, code_block, escape, link
from omnibot.message import Link, Reply

RENDERER = IrcRenderer()
CODES = "\x02\x11\x1d\x1e"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
ADA, BOB = Identity("net", "ada"), Guest("net", "bob")
ROOMS = st.integers(LEAST_ROOM, 60)

# As a renderer may make it, and worse: codes anywhere, one within the other, before marks and at line ends.
BITS = st.sampled_from(
    [*CODES, "\n", " ", "  ", "a", "word", "é", "e\u0301", "\u0301", "日本", "👍🏽", "🇩🇪", "!op x", "."]
)
FORMATTED = st.lists(BITS, max_size=40).map("".join)
HOSTILE = st.one_of(
    FORMATTED, st.text(), NASTY, st.text(st.sampled_from("ab \n\r\0\t\x01\x03\x04\x0f\x10\x16" + CODES))
)


def seen(text: str) -> list[tuple[str, frozenset[str]]]:
    """Return every letter of *text* with the formatting it is shown in; marks and white space are not looked at."""
    style: frozenset[str] = frozenset()
    letters = []
    for char in text:
        if char in CODES:
            style ^= {char}
        elif not (char.isspace() or CONTROL.match(char) or char == "\u200b" or unicodedata.category(char)[0] == "M"):
            letters.append((char, style))
    return letters


# ---------------------------------------------------------------- rendering


def test_every_construct_has_its_form() -> None:
    """Bold, italic, monospace and struck through; links in words; code line by line."""
    shown = RENDERER.render(
        "# T\n\n**a** *b* ~~c~~ `d` [e](https://e.org)\n\n- <https://f.org>\n\n> q\n\n```py\nx = 1\n\n\ty\n```"
    )

    assert [
        "\x02T\x02",
        "\x02a\x02 \x1db\x1d \x1ec\x1e \x11d\x11 e <https://e.org>",
        "- https://f.org",
        "> q",
        "\x11x = 1\x11",
        "\x11    y\x11",
    ] == pieces(shown, 400)


def test_bold_within_bold_stays_bold() -> None:
    """A toggle is not turned off by the same one within."""
    assert ["\x02a b c\x02"] == pieces(RENDERER.render("# a **b** c"), 400)


@given(NASTY)
def test_data_brings_no_code_of_its_own(text: str) -> None:
    """Whatever is put in, by whichever way, the only controls are the renderer's own, and each is closed."""
    plain = RENDERER.render(escape(text)) + RENDERER.text(text)
    marked = RENDERER.render(f"{code(text)} {link(text, text)}\n{code_block(text)}\n{text}")

    assert not CONTROL.search(plain.replace("\n", ""))
    assert not CONTROL.search(re.sub(f"[\n{CODES}]", "", marked))
    assert all(marked.count(each) % 2 == 0 for each in CODES)


def test_a_reply_is_lines() -> None:
    """Choices are numbered and the link stands in the text; codes in them are gone."""
    reply = Reply("**Sure?**", ("yes\x03\x01", "n\r\nQUIT"), Link("Open\x02", "https://x.org/a_b"))

    assert ["\x02Sure?\x02", "1. yes", "2. n QUIT", "Open: https://x.org/a_b"] == pieces(RENDERER.reply(reply), 400)


# ------------------------------------------------------------------- pieces


@given(HOSTILE, ROOMS)
def test_a_piece_is_one_line_that_fits(text: str, limit: int) -> None:
    """Whatever comes in, no piece is too long, blank, or has a control that is no formatting."""
    for piece in pieces(text, limit):
        assert len(piece.encode()) <= limit
        assert strip_codes(piece).strip()
        assert not CONTROL.search(re.sub(f"[{CODES}]", "", piece))


@given(FORMATTED, ROOMS)
@example("\x1d" + "a" * 12 + "\x1d " + "b" * 20, 20)
@example("*\x1d\x1e \x1d\x1ea", 16)
def test_every_letter_keeps_its_formatting(text: str, limit: int) -> None:
    """Cut or not, a letter looks as it did, nothing is lost, and no piece leaves anything open."""
    cut = pieces(text, limit)

    assert seen(text) == [letter for piece in cut for letter in seen(piece)]
    assert all(piece.count(each) % 2 == 0 for piece in cut for each in CODES)


@given(FORMATTED, ROOMS)
def test_what_was_cut_needs_no_cut(text: str, limit: int) -> None:
    """Pieces can be put together and cut again, as for another target."""
    cut = pieces(text, limit)

    assert cut == pieces("\n".join(cut), limit)


@given(st.lists(st.sampled_from(["a", "e\u0301", "👍🏽", "🇩🇪", "\x02", "\x1d", "日"])).map("".join), ROOMS)
def test_no_character_is_cut_from_its_marks(text: str, limit: int) -> None:
    """Accents, skin tones and the halves of flags stay with what they belong to."""
    whole = re.sub(f"[{CODES}]", "", text)
    clusters = {"a", "e\u0301", "👍🏽", "🇩🇪", "日"}
    found = [re.findall("e\u0301|👍🏽|🇩🇪|.", re.sub(f"[{CODES}]", "", piece)) for piece in pieces(text, limit)]

    assert clusters >= {cluster for piece in found for cluster in piece}
    assert whole == "".join(itertools.chain(*found))


def test_a_mark_is_not_parted_from_its_letter_by_a_code() -> None:
    """An accent has the formatting of its letter, wherever the code stood."""
    assert ["\x02e\u0301\x02x"] == pieces("\x02e\x02\u0301x", 400)


def test_formatting_is_closed_and_opened_again() -> None:
    """Each piece stands for itself; no colour bleeds, and no empty formatting is left over."""
    assert ["aaaa \x02bbbb\x02", "\x02bbbb bbbb\x02", "c"] == pieces("aaaa \x02bbbb bbbb bbbb\x02 c", 16)
    assert ["\x11x\x11", "\x11y\x11", "z"] == pieces("\x11x\n\ny\x11\nz", 400)
    assert ["aaaa aaaa aaaa", "\x1dbbb bbb\x1d"] == pieces("aaaa aaaa aaaa \x1dbbb bbb\x1d", 20)


def test_what_fits_is_not_cut() -> None:
    """Room is spared for codes only where a cut has to be."""
    assert ["\x02" + "a" * 14 + "\x02"] == pieces("\x02" + "a" * 14 + "\x02", 16)
    assert ["a" * 16] == pieces("a" * 16, 16)


def test_a_cut_commands_nobody() -> None:
    """Words that a cut brings to the start of a line do not speak to services or to other bots."""
    text = f"{'a' * 40} !op mallory and so on"

    assert ["a" * 40, "\u200b!op mallory and so on"] == pieces(text, 45)
    assert ["a" * 40, "\u200b\x02!op mallory\x02"] == pieces(f"{'a' * 40} \x02!op mallory\x02", 45)
    assert ["!help", "!ping"] == pieces("!help\n!ping", 45)


def test_no_room_is_an_error() -> None:
    """Where not even one character fits, nothing is said."""
    with pytest.raises(ValueError, match="cannot speak in 15 bytes"):
        pieces("a", LEAST_ROOM - 1)


@pytest.mark.parametrize("source", ["bot!~omnibot@bot.example", "bøt!u@2001:db8::1"])
@pytest.mark.parametrize("length", [512, 2048])
def test_the_room_is_what_others_get(source: str, length: int) -> None:
    """With the server's own additions, the longest piece makes a line of exactly the longest length."""
    space = room(source, "#chän", length)

    assert length == len(f":{source} PRIVMSG #chän :{'a' * space}\r\n".encode())
    assert ["a" * space] == pieces("a" * space, space)
    assert 2 == len(pieces("a" * (space + 1), space))


def test_an_unknown_host_is_as_long_as_any() -> None:
    """Before the bot knows how others see it, there is less room and never more."""
    assert room(f"bot!{'u' * 20}@{'h' * 64}", "#c") == room("bot", "#c")


# ------------------------------------------------------------------ hearing


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("plain", "plain"),
        ("\x02b\x02 \x1di\x1d \x1fu\x1f \x1es\x1e \x11m\x11 \x16r\x16\x0f", "b i u s m r"),
        ("\x034red\x03", "red"),
        ("\x0304,12red", "red"),
        ("\x03123", "3"),
        ("\x034,x", ",x"),
        ("\x03,5", ",5"),
        ("\x031,234", "4"),
        ("\x04ff0000red\x04", "red"),
        ("\x04FF0000,00ff00red", "red"),
        ("\x04ff00", "ff00"),
        ("!gh \x03issues", "!gh issues"),
        ("a\x10nQUIT\x10r\x100\x10\x10b", "a QUIT   b"),
        (r"C:\a\\b", r"C:\a\\b"),
        ("\x01ACTION waves\x01", "ACTION waves"),
        ("a\tb\r\nc\0\x07\x85\x9b", "a b  c"),
        ("\ud800x", "x"),
        ("日本 👍🏽", "日本 👍🏽"),
    ],
)
def test_codes_are_stripped(text: str, heard: str) -> None:
    """What is left of a line is what its speaker sees of it."""
    assert heard == strip_codes(text)


@given(HOSTILE)
def test_no_code_is_left(text: str) -> None:
    """Taking one out makes no other; text without any stays as it is."""
    heard = strip_codes(text)

    assert not CONTROL.search(heard)
    assert heard == strip_codes(heard)


# --------------------------------------------------------------------- CTCP


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("VERSION", "\x01VERSION omnibot 1\x01"),
        ("\x01version\x01", "\x01VERSION omnibot 1\x01"),
        ("PING 123 456", "\x01PING 123 456\x01"),
        ("PING", "\x01PING\x01"),
        ("PING a\r\nQUIT\x01\x03", "\x01PING a  QUIT\x01"),
        ("TIME", "\x01TIME 1970-01-01T00:16:40+00:00\x01"),
        ("ACTION waves", None),
        ("DCC SEND x 1 2 3", None),
        ("", None),
        ("\x01\x01", None),
    ],
)
def test_ctcp_is_answered(request_: str, answer: str | None) -> None:
    """What any client answers; an action is none of it, and data in a request stays in its answer."""
    assert answer == Ctcp("omnibot 1").answer(request_, 1000.0)


@given(HOSTILE)
def test_an_answer_is_one_short_request(text: str) -> None:
    """Whatever is pinged with, the answer is one line with its marks around it."""
    answer = Ctcp("omnibot").answer(f"PING {text}{'ä' * 200}", 0.0)

    assert answer is not None
    assert len(answer.encode()) <= 220
    assert re.fullmatch("\x01PING[^\x00-\x1f\x7f-\x9f]*\x01", answer)


def test_answers_are_few() -> None:
    """Three at once, one more each ten seconds; what is not answered costs nothing, a clock set back little."""
    ctcp = Ctcp("omnibot")
    times = [1000.0] * 5 + [1009.0, 1010.0, 1010.0, 1020.0]
    ignored = [ctcp.answer("FINGER", 1000.0) for _ in range(9)]
    answered = [ctcp.answer("VERSION", at) is not None for at in times]
    early = [ctcp.answer("VERSION", at) is not None for at in (10.0, 25.0)]

    assert {None} == set(ignored)
    assert [True, True, True, False, False, False, True, False, True] == answered
    assert [False, True] == early


# -------------------------------------------------------------------- pages

LINES = [f"line {number}" for number in range(13)]


def test_a_long_answer_is_given_page_by_page() -> None:
    """The first lines at once, the rest for the asking, and then no more."""
    pages = Pages(5)
    first = pages.first(ADA, LINES, 0.0)
    second, third, fourth = (pages.more(ADA, 400, 1.0) for _ in range(3))

    assert [*LINES[:5], "… 8 more lines: !more"] == first.said("!more")
    assert [*LINES[5:10], "… 3 more lines: !more"] == second.said("!more")
    assert LINES[10:] == third.said("!more")
    assert [] == fourth.said("!more")


def test_one_line_more_is_said_at_once() -> None:
    """A line that tells of one line would save nothing."""
    pages = Pages(5)

    assert Page(tuple(LINES[:6])) == pages.first(ADA, LINES[:6], 0.0)
    assert Page() == pages.more(ADA, 400, 0.0)


def test_the_rest_is_for_its_reader_alone() -> None:
    """Somebody else has none of it; neither has a guest of the same name, nor an account of another time."""
    pages = Pages(5)
    pages.first(ADA, LINES, 0.0)
    others: list[Speaker] = [BOB, Guest("net", "ada"), Identity("net", "ada", "1700000000"), Identity("other", "ada")]

    assert {Page()} == {pages.more(other, 400, 0.0) for other in others}
    assert tuple(LINES[5:10]) == pages.more(ADA, 400, 0.0).lines
    assert "line" not in repr(pages.first(ADA, LINES, 0.0))


def test_a_long_answer_takes_the_place_of_the_last() -> None:
    """There is one rest for a reader: that of the last long answer; a short one leaves it alone."""
    pages = Pages(5)
    pages.first(ADA, LINES, 0.0)
    pages.first(ADA, [f"new {line}" for line in LINES], 0.0)
    pages.first(ADA, ["short"], 0.0)
    kept = pages.more(ADA, 400, 0.0).lines
    pages.first(ADA, ["too long to keep " * 2000] * 9, 0.0)

    assert "new line 5" == kept[0]
    assert Page() == pages.more(ADA, 400, 0.0)


def test_rests_are_forgotten_in_time() -> None:
    """What nobody asks for is gone after a while; asking gives the remainder its time anew."""
    pages = Pages(2, age=100)
    pages.first(ADA, LINES, 0.0)
    pages.first(BOB, LINES, 50.0)

    assert 2 == len(pages.more(ADA, 400, 99.0).lines)
    assert Page() == pages.more(BOB, 400, 150.0)
    assert 2 == len(pages.more(ADA, 400, 198.0).lines)
    assert Page() == pages.more(ADA, 400, 298.0)


def test_rests_are_few() -> None:
    """A crowd of readers fills no memory: the oldest rest gives way."""
    pages = Pages(5, readers=3)
    crowd = [Guest("net", str(number)) for number in range(10)]
    for reader in crowd:
        pages.first(reader, LINES, 0.0)

    assert [False] * 7 + [True] * 3 == [bool(pages.more(reader, 400, 0.0).lines) for reader in crowd]


def test_a_rest_is_short() -> None:
    """What is too long to keep is left out, and the last page says so."""
    pages = Pages(2, size=20)
    first = pages.first(ADA, LINES, 0.0)
    second = pages.more(ADA, 400, 0.0)

    assert ["line 0", "line 1", "… 3 more lines: !more"] == first.said("!more")
    assert ["line 2", "line 3", "line 4", "… and more than I keep."] == second.said("!more")
    assert Page() == pages.more(ADA, 400, 0.0)
    assert ["a", "b", "… and more than I keep."] == Pages(2, size=1).first(ADA, ["a", "b", *LINES], 0.0).said("!more")


def test_the_rest_is_cut_anew() -> None:
    """A reader whose name leaves less room than the channel's gets lines that fit, formatting and all."""
    pages = Pages(1)
    pages.first(ADA, ["x", *["\x02" + "word " * 11 + "word\x02"] * 3], 0.0)
    page = pages.more(ADA, 40, 0.0)
    said = list(page.lines)
    while page.left:
        page = pages.more(ADA, 40, 0.0)
        said += page.lines

    assert all(len(line.encode()) <= 40 for line in said)
    assert [("word", True)] * 36 == [(word, line[0] == "\x02") for line in said for word in strip_codes(line).split()]
