"""A27 on every network: line ends, controls and directions in what a service answers, as each adapter would send them.

On IRC what leaves is looked at byte by byte, at real servers too (`test_a27_injection.py`); that a text which was sent
to a real Matrix or Discord server, or shown in a terminal, carries nothing more than words, the conformance kit holds
for each adapter.  Here the same worst text goes through what each of them makes its messages of, under one sabotage.

What must hold: a control, a terminal's escape or a change of direction is in nothing that is said, whether a skill
escapes its data or not; and escaped data stays on one line.
"""

import json
import unicodedata
from collections.abc import Callable

import pytest

from adapters.discord import speech as on_discord
from adapters.irc.speech import IrcRenderer
from adapters.matrix import speech as on_matrix
from omnibot import markup
from omnibot.markup import AnsiRenderer, HtmlRenderer, PlainRenderer, code, fmt
from omnibot.message import Link, Reply
from omnibot.testing.conformance import EVIL

WORST = (
    f"{EVIL}\x1b[2J\x1b]8;;https://evil.example\x07here\x1b]8;;\x07\u202egnihton\u2066\u200f\x85\u2029QUIT :smuggled"
)
FORMATTING = dict.fromkeys(map(ord, "\x02\x1d\x11\x1e\x1f\x0f"))
"""What IRC's renderer writes itself."""

ANSI = (
    "\x1b[0m",
    "\x1b[1m",
    "\x1b[3m",
    "\x1b[9m",
    "\x1b[36m",
    "\x1b[22m",
    "\x1b[23m",
    "\x1b[29m",
    "\x1b[39m",
    "\x1b[2m",
)
"""And the terminal's."""


def matrix(reply: Reply) -> str:
    return "\n".join(f"{one['body']}\n{one.get('formatted_body', '')}" for one in on_matrix.say(reply))


def discord(reply: Reply) -> str:
    return "\n".join(piece.content or str(piece.embed) for piece in on_discord.pieces(reply, embeds=True, files=False))


def irc(reply: Reply) -> str:
    return IrcRenderer().reply(reply).translate(FORMATTING)


def console(reply: Reply) -> str:
    shown = AnsiRenderer().reply(reply)
    for one in ANSI:
        shown = shown.replace(one, "")
    return shown


SHOWS: dict[str, Callable[[Reply], str]] = {
    "matrix": matrix,
    "discord": discord,
    "irc": irc,
    "console": console,
    "piped": lambda reply: PlainRenderer().reply(reply),
    "page": lambda reply: HtmlRenderer().reply(reply),
}


def as_it_stands(patch: pytest.MonkeyPatch) -> None:
    """Take nothing out."""
    patch.setattr(markup, "_clean", lambda text: text)


def hidden(text: str) -> list[str]:
    """Return what is in *text* without ink, but for its line ends."""
    without_ink = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co")
    return [json.dumps(one) for one in text if one != "\n" and unicodedata.category(one) in without_ink]


@pytest.mark.attack("A27", sabotage=as_it_stands)
@pytest.mark.parametrize("said", ["escaped", "as code", "careless"])
@pytest.mark.parametrize("network", SHOWS)
def test_nothing_without_ink_is_said(network: str, said: str) -> None:
    """In the text, in a choice and in the label of a link."""
    text = {"escaped": str(fmt("Title: {}", WORST)), "as code": f"Title: {code(WORST)}", "careless": f"Title: {WORST}"}
    shown = SHOWS[network](Reply(text[said], choices=(WORST, "no"), link=Link(WORST, "https://example.org/x")))

    assert [] == [one for one in hidden(shown) if one not in _ZERO_WIDTH]
    assert "Title: " in shown
    if said != "careless":
        assert [] == [line for line in shown.splitlines() if line.startswith("QUIT")]


_ZERO_WIDTH = {json.dumps("\u200b"), json.dumps("\u2060"), json.dumps("\u200d")}
"""What adapters put into words themselves, so that they mention nobody."""
