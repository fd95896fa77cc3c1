"""Two identities are equal by what the network vouches for, and a guest is never one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.identity import Assurance, Guest, Identity

WORD = st.text(st.characters(exclude_characters=":#", exclude_categories=["Cs"]), min_size=1, max_size=12)


def test_a_changed_nickname_is_the_same_identity() -> None:
    """The display name is shown and never compared, not even in a set."""
    ada, renamed = Identity("libera", "ada", "2020", "Ada"), Identity("libera", "ada", "2020", "Countess")

    assert ada == renamed
    assert 1 == len({ada, renamed})


@pytest.mark.parametrize(
    "other", [Identity("oftc", "ada", "2020"), Identity("libera", "adb", "2020"), Identity("libera", "ada", "2021")]
)
def test_another_network_subject_or_epoch_is_another_identity(other: Identity) -> None:
    """A25: a name that was dropped and registered again is somebody else's."""
    assert other != Identity("libera", "ada", "2020")


def test_a_guest_is_never_an_identity() -> None:
    """However alike their names are: the two share no class."""
    assert not isinstance(Guest("libera", "ada"), Identity)
    assert 2 == len({Guest("libera", "ada"), Identity("libera", "ada")})
    assert Guest("libera", "ada", "Ada") == Guest("libera", "ada", "Eve")


@pytest.mark.parametrize(
    ("speaker", "name"),
    [
        (Identity("libera", "ada", "", "Ada"), "Ada"),
        (Identity("libera", "ada"), "ada"),
        (Guest("libera", "ada!~a@host", "ada"), "ada"),
        (Guest("libera", "ada!~a@host"), "ada!~a@host"),
    ],
)
def test_people_are_called_what_they_call_themselves(speaker: Identity | Guest, name: str) -> None:
    """Or by what the network knows them as."""
    assert name == speaker.name


@pytest.mark.parametrize(
    ("identity", "qualified"),
    [
        (Identity("libera", "alice"), "libera:alice"),
        (Identity("home", "@alice:example.org"), "home:@alice:example.org"),
        (Identity("libera", "alice", "1700000000"), "libera:alice#1700000000"),
        (Identity("discord", "123"), "discord:123"),
        (Identity("libera", "#odd"), "libera:#odd"),
    ],
)
def test_an_operator_writes_an_identity_in_one_word(identity: Identity, qualified: str) -> None:
    """And it is read back as it was."""
    assert qualified == str(identity)
    assert identity == Identity.named(qualified)


@given(WORD, WORD, st.just("") | st.from_regex("[0-9]+", fullmatch=True))
def test_a_qualified_name_is_read_back(network: str, subject: str, epoch: str) -> None:
    """Whatever the network calls people."""
    identity = Identity(network, subject, epoch)

    assert identity == Identity.named(str(identity))


def test_a_stronger_assurance_is_higher() -> None:
    """They are compared by order."""
    assert Assurance.STRONG > Assurance.ACCOUNT > 0
