"""What ``omnibot check`` says of Discord."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.discord import Settings, check
from adapters.discord.checking import WANTED, invitation
from omnibot.adapter import Tools
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore
from servers.discord.server import DiscordServer
from servers.discord.wire import Intent, Permission


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


class Checked:
    """What is found, for a configuration."""

    def __init__(self, server: DiscordServer, folder: Path) -> None:
        self.server = server
        self.store = FakeStore()
        self._folder = folder

    async def __call__(self, **options: Any) -> list[str]:
        """Return the lines that an operator reads; nothing was changed."""
        before, requests = dict(self.store.rows), len(self.server.requests)
        addresses = {"api": self.server.api, "gateway": self.server.gateway_url}
        settings = Settings.model_validate({"token": Secret(self.server.token), **addresses, **options})
        log = logging.getLogger("omnibot.tests.discord")
        tools = Tools("net", "!", self.store, FakeStore(), self._folder / "own", log, commands=list)
        lines = [str(finding) for finding in await check(tools, settings)]

        assert before == self.store.rows
        assert {"GET"} >= {request.method for request in self.server.requests[requests:]}
        assert not self.server.gateway.accepted
        assert self.server.token not in "".join(lines)
        return lines


@pytest.fixture
def checked(server: DiscordServer, tmp_path: Path) -> Checked:
    return Checked(server, tmp_path)


async def test_all_is_well(checked: Checked, server: DiscordServer) -> None:
    """Who the bot is, what it reads, where it is, how it is invited, and who sees its commands."""
    first, reads, where, commands = await checked()

    assert f"ok    Discord answers; the bot is omnibot (application {server.application_id})." == first
    assert "ok    message content intent: yes; in channels it hears the prefix as well." == reads
    assert where.startswith("ok    the bot is on 1 server; it is invited with https://discord.com/oauth2/authorize?")
    assert f"client_id={server.application_id}" in where
    assert "note  slash commands: everywhere, from the next start on." == commands

    checked.store.rows[f"menus:{server.application_id}"] = b'{"global": "hash"}'

    assert "ok    slash commands: everywhere." == (await checked())[-1]


@pytest.mark.parametrize(
    ("content", "granted", "says"),
    [
        ("auto", False, "note  message content intent: no; in channels it hears what mentions it"),
        ("on", False, "WRONG message content intent: no, and `content: on` wants it. Discord does not let"),
        ("on", True, "ok    message content intent: yes"),
        ("off", True, "ok    message content intent: not asked for (`content: off`)"),
    ],
)
async def test_which_mode(checked: Checked, server: DiscordServer, content: str, granted: bool, says: str) -> None:
    """It says what the bot hears, and what to do."""
    server.gateway.privileged = Intent.MESSAGE_CONTENT if granted else Intent(0)

    assert (await checked(content=content))[1].startswith(says)


async def test_on_no_server(checked: Checked, server: DiscordServer) -> None:
    """Then the address of the invitation is what is needed; and commands for a server have none."""
    server.world.leave(server.bot)
    _, _, where, commands, told = await checked(commands=[int(server.guild.id)])

    assert where.startswith("note  the bot is on no server. Invite it with https://discord.com/oauth2/authorize?")
    assert commands.startswith(f"WRONG the bot is not on {server.guild.id}, where `commands` is to be offered. Invite")
    assert f"note  slash commands: {server.guild.id}, from the next start on." == told


async def test_commands_switched_off(checked: Checked) -> None:
    """That is as wanted."""
    assert "ok    slash commands: nowhere." == (await checked(commands="off"))[-1]


async def test_commands_for_oneself(checked: Checked) -> None:
    """The application has to allow it, in the portal."""
    last = (await checked(installs=["guild", "user"]))[-1]

    assert last.startswith("note  nobody can add the bot's commands for themselves. Switch on User Install")


async def test_a_wrong_token(checked: Checked) -> None:
    """One that is refused has the same cure as when the bot runs."""
    (line,) = await checked(token=Secret("wrong.wrong.wrong"))

    assert line.startswith("WRONG Discord does not take the bot's token. Make a new one at https://discord.com/")


async def test_what_is_no_token(tmp_path: Path) -> None:
    """It is not sent anywhere."""
    tools = Tools("net", "!", FakeStore(), FakeStore(), tmp_path, logging.getLogger("t"), commands=list)
    (finding,) = await check(tools, Settings.model_validate({"token": Secret("0123456789abcdef0123456789abcdef")}))

    assert str(finding).startswith("WRONG `token` is not made as a bot's token is. It has three parts")


async def test_discord_is_down(checked: Checked, server: DiscordServer) -> None:
    """That says nothing of the token."""
    server.faults.fail("GET /users/@me", 503)
    (line,) = await checked()

    assert "WRONG Discord does not answer (503). Check whether this machine reaches it." == line

    await server.stop()
    (line,) = await checked()

    assert line.startswith("WRONG Discord does not answer (ClientConnectorError).")


def test_the_invitation() -> None:
    """It asks for what the bot needs, and not to be an administrator or to manage anything."""
    link = invitation(123)

    assert "scope=bot+applications.commands" in link
    assert "permissions=274878024768" in link


async def test_what_the_bot_lacks_on_a_server(checked: Checked, server: DiscordServer) -> None:
    """Each permission with what its lack costs; and an administrator it need not be."""
    everybody = server.guild.roles[server.guild.id]
    everybody.permissions = Permission(WANTED.value) & ~Permission.ATTACH_FILES
    (lacks,) = [line for line in await checked() if "the bot lacks" in line]
    everybody.permissions = Permission.ADMINISTRATOR
    (admin,) = [line for line in await checked() if "administrator" in line]

    name = server.guild.name
    assert lacks.startswith(f"note  on {name} the bot lacks attach_files. It cannot send files and images.")
    assert admin.startswith(f"note  the bot is an administrator of {name}. It needs nothing of the kind")
