"""A number means what its own owner was shown, or nothing."""

import pytest

from omnibot.errors import UserError
from omnibot.numbers import Numbers

ADA, GRACE = ("fake", "u-1", "", "jenkins", "account-1", ""), ("fake", "u-2", "", "jenkins", "account-2", "")


def test_a_number_is_its_owners() -> None:
    """Nobody's list is another's, nor that of another account or name."""
    numbers = Numbers()
    numbers.keep(ADA, ["deploy", "test"])
    numbers.keep((*ADA[:-1], "folders"), ["a"])

    assert "test" == numbers.meant(ADA, 2)
    assert "a" == numbers.meant((*ADA[:-1], "folders"), 1)
    with pytest.raises(UserError, match="I have shown you no list"):
        numbers.meant(GRACE, 2)


def test_a_new_list_takes_the_place_of_the_last() -> None:
    """Nothing of it is left."""
    numbers = Numbers()
    numbers.keep(ADA, ["deploy", "test"])
    numbers.keep(ADA, ["tidy"])

    assert "tidy" == numbers.meant(ADA, 1)
    for number in (-1, 0, 2):
        with pytest.raises(UserError, match="it ends with 1"):
            numbers.meant(ADA, number)


def test_an_empty_list_has_no_numbers() -> None:
    """As if there were none."""
    numbers = Numbers()
    numbers.keep(ADA, [])

    with pytest.raises(UserError, match="Ask for the list first"):
        numbers.meant(ADA, 1)


def test_memory_is_bounded() -> None:
    """What was shown longest ago goes first; a thing without end ends its list."""
    numbers = Numbers(most=10_000)
    numbers.keep(ADA, ["x" * 900] * 6)
    numbers.keep(GRACE, ["y" * 900] * 6)
    numbers.keep(("a",), ["short", "z" * 5000, "short"])

    assert "y" * 900 == numbers.meant(GRACE, 6)
    assert "short" == numbers.meant(("a",), 1)
    with pytest.raises(UserError, match="no list"):
        numbers.meant(ADA, 1)
    with pytest.raises(UserError, match="it ends with 1"):
        numbers.meant(("a",), 2)


def test_one_person_cannot_push_out_the_others() -> None:
    """However often they ask for their list: it is one."""
    numbers = Numbers(most=10_000)
    numbers.keep(GRACE, ["mine"])
    for _ in range(100):
        numbers.keep(ADA, ["x" * 900] * 6)

    assert "mine" == numbers.meant(GRACE, 1)
