"""The skill for X: what it offers, what it may do, and its words."""

import pytest

from omnibot.command import Commands, holds_secret
from omnibot.identity import Assurance
from omnibot.providerfile import SHIPPED, load_catalogue
from servers.x import READS, SCOPES, WRITES
from skills.x import skill

COMMANDS = {one.name: one for one in skill.commands}


@pytest.fixture
def book() -> Commands:
    """The skill's commands, as lines are looked up."""
    book = Commands()
    for one in skill.commands:
        book.add(one)
    for alias in skill.aliases:
        book.alias(alias, skill.name)
    return book


@pytest.mark.row("T1")
@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("t setupauth", "x setupauth", ""),
        ("t setup auth", "x setupauth", ""),
        ("T Set Up Auth", "x setupauth", ""),
        ("t auth 748256", "x auth", "748256"),
        ("t search foo", "x search", "foo"),
        ("t tweet text", "x tweet", "text"),
        ("twitter post text", "x tweet", "text"),
        ("t clear my credentials", "x clear credentials", ""),
        ("t delete my last", "x delete last", ""),
    ],
)
def test_the_old_words_are_understood(book: Commands, line: str, name: str, rest: str) -> None:
    """Those of the rows, word for word, and a few more."""
    call = book.find(line)

    assert call is not None
    assert (name, rest) == (call.command.name, call.rest)


def test_what_changes_says_so() -> None:
    """Reading sends nothing that changes, and to delete is asked back; all of it is answered in private."""
    effects = {name.removeprefix("x "): one.effect for name, one in COMMANDS.items() if one.linked}

    assert {
        "search": "read",
        "timeline": "read",
        "mentions": "read",
        "tweet": "change",
        "delete last": "destroy",
    } == effects
    assert {"private"} == {one.answer for one in skill.commands}
    assert {Assurance.ACCOUNT} == {one.minimum for one in skill.commands}


def test_a_pin_is_a_secret(book: Commands) -> None:
    """Said where others read it, it is refused before anything is kept."""
    said, empty = book.find("t auth 748256"), book.find("t auth")

    assert said is not None
    assert empty is not None
    assert (True, False) == (holds_secret(said), holds_secret(empty))


def test_it_asks_for_no_more_than_it_needs() -> None:
    """What X's pages say a call wants, all within what a link asks for: nobody links twice."""
    provider = load_catalogue(SHIPPED)["x"]
    wanted = {"read": set(READS), "change": set(WRITES), "destroy": set(WRITES)}

    assert all(set(one.scopes) == wanted[one.effect] for one in skill.commands if one.linked)
    assert {*WRITES, "offline.access"} == set(provider.base_scopes)
    assert set(provider.scopes) <= set(SCOPES)
