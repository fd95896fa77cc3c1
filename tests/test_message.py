"""Messages survive JSON, and one function says which of them may run nothing."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.identity import Assurance, Guest, Identity
from omnibot.message import STALE_AFTER, Channel, Message, Origin, dump, load_message, unquoted, why_deaf

ADA = Identity("libera", "ada", "2020", "Ada")
NOW = 1_000_000.0
MESSAGE = Message("libera", "1", ADA, Channel("libera", "#ops"), "!ping", NOW, Assurance.ACCOUNT)

TEXT = st.text()
SPEAKERS = st.builds(Identity, TEXT, TEXT, TEXT, TEXT) | st.builds(Guest, TEXT, TEXT, TEXT, TEXT)
MESSAGES = st.builds(
    Message,
    TEXT,
    TEXT,
    SPEAKERS,
    st.builds(Channel, TEXT, TEXT, st.booleans(), TEXT, st.lists(TEXT).map(tuple)),
    TEXT,
    st.floats(allow_nan=False),
    st.none() | st.sampled_from(Assurance),
    st.booleans(),
    st.sampled_from(Origin),
    st.booleans(),
)


@given(MESSAGES)
def test_a_message_survives_json(message: Message) -> None:
    """It waits in the database and comes back equal, the names that are only shown included."""
    again = load_message(dump(message))

    assert message == again
    assert message.channel.within == again.channel.within
    assert getattr(message.speaker, "host", "") == getattr(again.speaker, "host", "")
    assert type(message.speaker) is type(again.speaker)
    assert message.speaker.display == again.speaker.display


@pytest.mark.parametrize(
    "change",
    [
        {"speaker": None},
        {"speaker": {"kind": "identity", "network": "n"}},
        {"speaker": {"network": "n", "subject": "s"}},
        {"speaker": {"kind": "identity", "network": "n", "subject": "s", "key": "k"}},
        {"channel": {"network": "n", "id": "i", "more": 1}},
        {"origin": "king"},
        {"assurance": 9},
        {"at": "soon"},
        {"at": None},
    ],
)
def test_what_is_no_stored_message_is_refused(change: dict[str, Any]) -> None:
    """As one kind of error."""
    with pytest.raises(ValueError, match=r".+"):
        load_message(json.dumps(json.loads(dump(MESSAGE)) | change))


@pytest.mark.parametrize("text", ["", "no json", "[]", "null", "{}", '"text"', '{"network": "n"}'])
def test_what_is_no_message_at_all_is_refused(text: str) -> None:
    """Whatever JSON it is, or none."""
    with pytest.raises(ValueError, match=r".+"):
        load_message(text)


def changed(**fields: Any) -> Message:
    return replace(MESSAGE, **fields)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (MESSAGE, None),
        (changed(origin=Origin.SELF), "spoken by a self"),
        (changed(origin=Origin.BOT), "spoken by a bot"),
        (changed(origin=Origin.WEBHOOK), "spoken by a webhook"),
        (changed(origin=Origin.GHOST), "spoken by a ghost"),
        (changed(edit=True), "an edit"),
        (changed(at=NOW - STALE_AFTER), None),
        (changed(at=NOW - STALE_AFTER - 0.001), "too old"),
        (changed(at=NOW + STALE_AFTER), None),
        (changed(at=NOW + STALE_AFTER + 0.001), "from the future"),
    ],
)
def test_some_messages_run_nothing(message: Message, why: str | None) -> None:
    """A28, A30: edits, old events, and what no person said; a clock may be a little ahead."""
    assert why == why_deaf(message, NOW)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("!ping", "!ping"),
        ("a > b", "a > b"),
        ("> !ping", ""),
        ("> quoted\n!ping", "!ping"),
        ("  > quoted\nmine\n>> deeper\nmore", "mine\nmore"),
        ("mine\n> quoted", "mine"),
        ("", ""),
        ("a\nb", "a\nb"),
    ],
)
def test_quoted_lines_are_taken_out(text: str, left: str) -> None:
    """A31: what somebody else said is not said again."""
    assert left == unquoted(text)


@given(st.text(alphabet="> a\n!"))
def test_no_quoted_line_is_left(text: str) -> None:
    """Wherever it stands; and the rest is as it was."""
    left = unquoted(text).split("\n")

    assert not [line for line in left if line.lstrip().startswith(">")]
    assert [line for line in text.split("\n") if not line.lstrip().startswith(">")] == left or left == [""]


@pytest.mark.parametrize(
    ("channel", "name"), [(Channel("n", "123", name="#ops"), "#ops"), (Channel("n", "123"), "123")]
)
def test_a_channel_is_called_what_people_call_it(channel: Channel, name: str) -> None:
    """Or by its id."""
    assert name == str(channel)
