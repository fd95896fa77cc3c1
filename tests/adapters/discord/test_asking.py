"""What `omnibot init` asks for Discord, and how it tries the answers."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.discord import Settings, setup
from omnibot.adapter import Finding
from omnibot.provider import Secret
from servers.discord.server import DiscordServer
from servers.discord.wire import Intent


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


async def tried(server: DiscordServer, **options: Any) -> list[Finding]:
    """What is found: nothing was changed, and the token is in none of it."""
    assert setup.attempt is not None
    requests = len(server.requests)
    addresses = {"api": server.api, "gateway": server.gateway_url}
    settings = Settings.model_validate({"token": Secret(server.token), **addresses, **options})
    found = list(await setup.attempt(settings))

    assert {"GET"} >= {request.method for request in server.requests[requests:]}
    assert not server.gateway.accepted
    assert settings.token.value not in str(found)
    return found


async def test_a_token_that_is_good(server: DiscordServer) -> None:
    """It says whose it is, how it is invited, and what it may read."""
    who, invited, reads = await tried(server)

    assert "good" == who.level
    assert f"the bot is omnibot (application {server.application_id})." in who.what
    assert f"client_id={server.application_id}" in invited.what
    assert reads.what.startswith("message content intent: yes")


async def test_without_the_message_content_intent(server: DiscordServer) -> None:
    """It is a choice, and where to make it is said."""
    server.gateway.privileged = Intent(0)
    *_, reads = await tried(server)

    assert "note" == reads.level
    assert "developer portal" in reads.cure


async def test_a_token_that_is_none(server: DiscordServer) -> None:
    """In clear words."""
    (found,) = await tried(server, token=Secret("wrong.wrong.wrong-wrong-wrong"))

    assert ("wrong", "Discord does not take the bot's token.") == (found.level, found.what)
    assert "Reset Token" in found.cure


async def test_nobody_there(server: DiscordServer) -> None:
    """It says what failed."""
    await server.stop()
    (found,) = await tried(server)

    assert "wrong" == found.level
    assert "Discord does not answer" in found.what


def test_what_is_pasted_instead_of_a_token() -> None:
    """A client secret is told apart; the word before the token is taken off."""
    (question,) = setup.questions

    assert question.secret
    assert "a" * 24 + ".bbbbbb.cccc" == question.value("Bot " + "a" * 24 + ".bbbbbb.cccc ")
    with pytest.raises(ValueError, match="no bot's token"):
        question.value("abcdefghijklmnopqrstuvwxyz012345")


@pytest.mark.parametrize(("first", "says"), [("1234567890", "client_id=1234567890"), ("x", "`omnibot check` prints")])
def test_how_it_is_brought_to_people(first: str, says: str) -> None:
    """The invitation is known by the token alone, mostly."""
    start = base64.urlsafe_b64encode(first.encode()).decode().rstrip("=")
    (line,) = setup.invite(Settings(token=Secret(f"{start}.bbbbbb.cccccccccccccccccc")))

    assert says in line
