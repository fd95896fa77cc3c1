"""Whose a token is, is read strictly: an account without an immutable id is none."""

import json
from typing import Any

import pytest

from omnibot.errors import OAuthError
from omnibot.linking.exchange import Profile, read_profile
from omnibot.provider import Whoami
from omnibot.wire import Answer

WHOAMI = Whoami("/me", "data.id", "data.login", "data.name", "data.avatar")


def answer(body: Any, status: int = 200) -> Answer:
    return Answer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_profile_is_found_where_the_catalogue_says() -> None:
    """By dotted paths; a number is as good an id as a text."""
    said = {"data": {"id": 42, "login": "ada", "name": "Ada L.", "avatar": "https://x.example/a.png"}}

    assert Profile("42", "ada", "Ada L.", "https://x.example/a.png") == read_profile(WHOAMI, answer(said))


def test_what_is_missing_stays_empty_and_the_id_stands_in_for_a_login() -> None:
    """Name and avatar are nice to have."""
    bare = Whoami("/me", "id", "login")

    assert Profile("u-1", "u-1", "", "") == read_profile(bare, answer({"id": "u-1"}))
    assert Profile("u-1", "u-1", "", "") == read_profile(bare, answer({"id": "u-1", "login": None, "name": "x"}))
    assert Profile("u-1", "u-1", "", "") == read_profile(
        WHOAMI, answer({"data": {"id": "u-1", "login": ["x"], "name": {}, "avatar": 1.5}})
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": {}},
        {"data": "id"},
        {"data": ["id"]},
        {"data": {"id": ""}},
        {"data": {"id": None}},
        {"data": {"id": True}},
        {"data": {"id": 1.5}},
        {"data": {"id": ["x"]}},
        {"data": {"id": "x" * 201}},
        [],
        "text",
        b"no json",
        b"",
    ],
)
def test_without_an_id_nobody_knows_whose_it_is(body: Any) -> None:
    """Nor with one that is none."""
    with pytest.raises(OAuthError, match="whoami_failed"):
        read_profile(WHOAMI, answer(body))


@pytest.mark.parametrize("status", [301, 401, 403, 404, 500])
def test_an_error_tells_no_profile(status: int) -> None:
    """Whatever stands in it."""
    with pytest.raises(OAuthError) as caught:
        read_profile(WHOAMI, answer({"data": {"id": "u-1"}}, status))

    assert status == caught.value.status


def test_what_is_shown_is_printable() -> None:
    """A17: control characters and direction marks are not."""
    said = {"data": {"id": "u-1", "login": "a\u202ed\x00a", "name": "x" * 100}}
    profile = read_profile(WHOAMI, answer(said))

    assert profile.login.isprintable()
    assert 80 == len(profile.name)
