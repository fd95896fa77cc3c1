"""The options of a Matrix network, and what is wrong with them."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.matrix.settings import Settings
from omnibot.provider import Secret

GOOD = {"homeserver": "https://matrix.example.org/", "user": "@bot:example.org", "password": Secret("pw")}


def test_the_least() -> None:
    """Encrypted, careful with invitations, and deaf to ghosts."""
    settings = Settings.model_validate(GOOD)

    assert ("https://matrix.example.org", "example.org") == (settings.url, settings.server)
    assert (True, "first-use", "homeserver", "allow") == (
        settings.encryption,
        settings.trust,
        settings.invites,
        settings.federation,
    )
    assert "pw" not in repr(settings)


@pytest.mark.parametrize(
    "host", ["http://localhost:8008", "http://127.0.0.1", "http://127.1.2.3:80/", "http://[::1]:1"]
)
def test_without_tls_on_this_machine(host: str) -> None:
    """Nobody is on the way."""
    assert host.rstrip("/") == Settings.model_validate(GOOD | {"homeserver": host}).url


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"homeserver": "http://matrix.example.org"}, "read on the way: use https://"),
        ({"homeserver": "http://localhost.example.org"}, "read on the way"),
        ({"homeserver": "http://127.0.0.1.example.org"}, "read on the way"),
        ({"homeserver": "matrix.example.org"}, "homeserver"),
        ({"homeserver": "https://user@matrix.example.org"}, "homeserver"),
        ({"homeserver": "https://matrix.example.org/path?x"}, "homeserver"),
        ({"user": "bot"}, "user"),
        ({"user": "@bot"}, "user"),
        ({"user": "@:example.org"}, "user"),
        ({"token": Secret("t")}, "needs either a password or a token"),
        ({"password": None}, "needs either a password or a token"),
        ({"password": Secret("")}, "must be one line, and not empty"),
        ({"password": Secret("a\nb")}, "must be one line"),
        ({"password": None, "token": Secret("a\r")}, "must be one line"),
        ({"invites": "listed"}, "needs inviters"),
        ({"invites": "some"}, "invites"),
        ({"trusted": ["not a server"]}, "trusted"),
        ({"device_name": ""}, "device_name"),
        ({"federation": "perhaps"}, "federation"),
        ({"nick": "x"}, "nick"),
    ],
    ids=str,
)
def test_what_is_wrong(change: dict[str, Any], says: str) -> None:
    """Each names what it is, and shows no secret."""
    with pytest.raises(ValidationError, match=re.escape(says)):
        Settings.model_validate(GOOD | change)
