"""The names of places: an ephemeral one is never taken for a channel."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.discord import places

IDS = st.integers(min_value=0, max_value=2**64 - 1).map(str)


@given(IDS, IDS)
def test_an_ephemeral_place_is_read_back(channel: str, user: str) -> None:
    place = places.ephemeral("discord", channel, user, "#general")

    assert places.parse(place.id) == (channel, user)
    assert (place.private, place.name) == (True, "#general")
    assert not places.is_id(place.id), "a request could take it for a channel"


@given(st.one_of(IDS, st.text(max_size=30)))
def test_what_is_a_channel_is_no_ephemeral_place(name: str) -> None:
    if ":" not in name:
        assert places.parse(name) is None


def test_digits_of_other_scripts_are_no_ids() -> None:
    assert not places.is_id("\N{ARABIC-INDIC DIGIT ONE}")
    assert places.parse("\N{ARABIC-INDIC DIGIT ONE}:2") is None
    assert not places.is_id("")
    assert not places.is_id("12\n")
