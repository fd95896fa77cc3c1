"""No server makes the machine raise, send what is no line or too long a one, or lose its way.

The lines are made up from seeds, some to a conversation: 20,000 of them here, and half a million by `make fuzz`.
"""

from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.irc.effects import Heard, Send
from adapters.irc.isupport import Isupport
from adapters.irc.lines import build, parse
from fuzzing import share
from irc_fuzz import Conversation, check_line, line
from irc_talk import Talk, only

INPUTS = share(50)
"""How many lines."""

SLICES = 10


@pytest.mark.parametrize("part", range(SLICES))
def test_no_conversation_leads_astray(part: int) -> None:
    """In any of them every rule of `irc_fuzz.Conversation` holds; a seed that breaks one is named."""
    seeds = count(part, SLICES)
    lines = 0
    while lines < INPUTS / SLICES:
        seed = next(seeds)
        try:
            lines += Conversation(Random(seed)).run()  # noqa: S311  a seed, and no secret
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error


@given(st.lists(st.binary(max_size=100), max_size=10), st.booleans())
@settings(max_examples=300)
def test_no_bytes_make_it_raise(lines: list[bytes], registered: bool) -> None:
    """Whatever they are, and whenever they come."""
    talk = Talk(channels=["#c"])
    if registered:
        talk.registers()
    else:
        talk.connect()
    for data in lines:
        for one in only(Send, talk.hears(data)):
            check_line(one, talk.machine.line_limit)


@given(st.binary(max_size=600))
@settings(max_examples=300)
def test_what_is_read_is_no_more_than_a_line(data: bytes) -> None:
    """None of its parts holds what would end it."""
    found = parse(data)

    assert found is None or not set("\r\n\0") & set("".join((found.command, *found.params)))


@given(st.text(), st.text(max_size=300), st.integers(512, 1024))
@settings(max_examples=300)
def test_what_is_written_is_one_line(target: str, text: str, limit: int) -> None:
    """Or it is not written at all."""
    try:
        data = build("PRIVMSG", target, text).encode(limit)
    except ValueError:
        return

    assert len(data) <= limit
    assert 1 == data.count(b"\r") == data.count(b"\n")
    assert b"\0" not in data


@given(st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=100))
@settings(max_examples=300)
def test_what_is_said_is_what_is_heard(text: str) -> None:
    """Through a line and back, to the last space."""
    talk = Talk()
    talk.registers()
    written = build("PRIVMSG", "#c", text).encode(4096).removesuffix(b"\r\n")
    [message] = only(Heard, talk.machine.feed(b":ada!u@h " + written, talk.now))

    if not text.startswith("\x01"):
        assert text == message.text


@given(st.lists(st.text(max_size=30), max_size=20))
@settings(max_examples=300)
def test_no_token_spoils_what_a_server_supports(tokens: list[str]) -> None:
    """Every answer is one that can be used."""
    isupport = Isupport()
    isupport.feed(tokens)

    assert 512 <= isupport.line_limit
    assert isupport.nick_limit is None or isupport.nick_limit > 0
    assert isupport.targets("JOIN", 10) > 0
    assert isupport.fold(isupport.fold("A[")) == isupport.fold("A[")


def test_the_seeds_make_what_they_should() -> None:
    """Most lines are some, some are none: a fuzzer that says only rubbish would test nothing."""
    random = Random(0)  # noqa: S311  a seed, and no secret
    read = sum(parse(line(random)) is not None for _ in range(1000))

    assert 800 < read < 1000
