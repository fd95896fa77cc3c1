"""Text at its worst, for what has to take any text."""

import re

from hypothesis import strategies as st

# Text at its worst: markup, line starts, what has no ink, other scripts, lone surrogates, whatever else.
WORDS = """
* ** _ __ ` `` ``` ~~~ ~~ [ ]( ) < > \\ # - + 1. 2) | <b> <script> &lt; word snake_case 0 é e\u0301 日本 👍🏽
@everyone <@123> <#5> https://x.org/_a_*b* javascript: ](https://evil.org) [x](y:z)
"""
SPACES = ["-# ", "# ", "> ", "- ", "\n", "\n\n", "\r\n", "\t", " ", "  ", "    ", "\u2028"]
BITS = st.sampled_from([*WORDS.split(), *SPACES, "\x00", "\x1b[31m", "\u202e", "\u200b", "\ud800"])
NASTY = st.one_of(st.lists(BITS).map("".join), st.text(), st.text(st.characters(categories=["P", "S", "Z", "Cc"])))


def inkless(text: str) -> str:
    """Return what is left of *text* without white space."""
    return re.sub(r"\s+", "", text)
