"""Whose a token is, is read strictly: an account without an immutable id is none."""

import json
import logging
from typing import Any

import pytest

from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.errors import OAuthError, Upstream
from omnibot.linking.exchange import Exchange, ExchangeError, Profile, read_profile
from omnibot.provider import Instance, Whoami
from omnibot.wire import Answer, Request

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


class Talker:
    """Stands in for the outward client: it notes what is asked, and gives the one answer that it has."""

    def __init__(self, given: Answer | Exception) -> None:
        self.given = given
        self.asked: list[Request] = []

    async def send(self, request: Request, **_: Any) -> Answer:
        self.asked.append(request)
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def home() -> Instance:
    """A service that tells over a WebSocket whose a token is."""
    return Instances(load_catalogue(SHIPPED), {"homeassistant": ProviderSettings(base="https://h.example")}).get(
        "homeassistant"
    )


async def test_whose_a_token_is_may_be_asked_over_a_websocket() -> None:
    """The token is in what is said, and in nothing else; whatever is in it stays within its string."""
    key = 'k"}\\{token}'
    talker = Talker(answer({"id": 1, "type": "result", "success": True, "result": {"id": "u-1", "name": "Ada"}}))
    token, profile = await Exchange(talker).take_key(home(), key)
    (asked,) = talker.asked

    assert (key, Profile("u-1", "Ada", "", "")) == (token.access, profile)
    assert ("GET", "https://h.example/api/websocket", b"") == (asked.method, asked.url, asked.body)
    assert [{"type": "auth", "access_token": key}, {"id": 1, "type": "auth/current_user"}] == [
        json.loads(one) for one in asked.frames
    ]
    assert {"Accept": "application/json"} == asked.headers


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (Answer(401), "bad_key"),
        (Answer(404), "bad_key"),
        (Answer(503), "unavailable"),
        (Upstream("h.example broke off before its answer was complete."), "unavailable"),
        (Answer(200, {}, b'{"type":"auth_ok"}'), "bad_key"),
        (Answer(200, {}, b'{"result":{"id":"k-canary","name":"x"}}'), "bad_key"),
    ],
)
async def test_a_conversation_that_tells_nobody_links_nothing(
    given: Any, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A40: and the key is told to nobody either."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ExchangeError) as caught:
        await Exchange(Talker(given)).take_key(home(), "k-canary")

    assert code == caught.value.code
    assert "k-canary" not in caplog.text + repr(caught.value)
