"""The options of a Discord network, and what is wrong with them."""

from typing import Any

import pytest
from pydantic import ValidationError

from adapters.discord.settings import Settings, looks_like_token
from omnibot.provider import Secret

GOOD: dict[str, Any] = {"token": Secret("abc.def.ghi")}


def test_the_least() -> None:
    """A token will do: slash commands everywhere, and the intent where the application has it."""
    settings = Settings.model_validate(GOOD)

    assert ("auto", "global", ("guild",), True) == (
        settings.content,
        settings.commands,
        settings.installs,
        settings.typing,
    )
    assert (None, None) == (settings.api, settings.gateway)
    assert "abc" not in repr(settings)


def test_servers_for_commands() -> None:
    """Ids are numbers, written as numbers or as text, each once."""
    settings = Settings.model_validate(GOOD | {"commands": [123456789012345678, "5", 5]})

    assert (123456789012345678, 5) == settings.commands


@pytest.mark.parametrize(
    ("api", "gateway"),
    [
        ("http://127.0.0.1:8080/api/v10", "ws://127.0.0.1:8080/gateway"),
        ("http://localhost/api", "ws://localhost"),
        ("http://[::1]:80/api", "ws://[::1]:80/"),
        ("https://discord.example.org/api/v10", "wss://discord.example.org/"),
    ],
)
def test_other_addresses(api: str, gateway: str) -> None:
    """Without TLS on this machine alone: nobody is on the way."""
    settings = Settings.model_validate(GOOD | {"api": api, "gateway": gateway})

    assert (api, gateway) == (settings.api, settings.gateway)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"token": Secret("")}, "must be one word, and not empty"),
        ({"token": Secret("Bot abc.def.ghi")}, "without `Bot` before it"),
        ({"token": Secret("abc\n")}, "must be one word"),
        ({"content": "perhaps"}, "content"),
        ({"commands": "everywhere"}, "commands"),
        ({"commands": []}, "names no server: say off"),
        ({"commands": [0]}, "commands"),
        ({"commands": [1 << 64]}, "commands"),
        ({"installs": []}, "say guild, user or both"),
        ({"installs": ["somebody"]}, "installs"),
        ({"api": "http://discord.example.org/api"}, "api: the token and what people say would be read on the way"),
        ({"api": "http://127.0.0.1.example.org/api"}, "use https://"),
        ({"gateway": "ws://discord.example.org"}, "use wss://"),
        ({"api": "https://user@discord.example.org"}, "api"),
        ({"gateway": "https://discord.example.org"}, "gateway"),
        ({"intents": "all"}, "intents"),
    ],
)
def test_what_is_wrong(change: dict[str, Any], says: str) -> None:
    """Each is told by its key."""
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate(GOOD | change)


@pytest.mark.parametrize(
    ("token", "looks"),
    [
        ("MTAwMDAwMDAwMDAwMDAwMDAw.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789-_", True),
        ("0123456789abcdef0123456789abcdef", False),
        ("a.b.c", False),
        ("MTAwMDAwMDAwMDAwMDAwMDAw.GabcdE.äbcdefghijklmnopqrstuvwxyz", False),
        ("MTAwMDAwMDAwMDAwMDAwMDAw.GabcdE", False),
    ],
)
def test_how_a_token_looks(token: str, looks: bool) -> None:
    """A client secret or a public key is no token."""
    assert looks == looks_like_token(token)
