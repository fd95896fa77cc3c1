"""Slash commands are told to Discord when they have changed, and not otherwise."""

import json
import logging
from typing import Any

import aiohttp
import discord
import pytest

from adapters.discord.offering import menu, offer, scopes
from adapters.discord.settings import Settings
from omnibot.command import Command
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore

APPLICATION = 901
log = logging.getLogger("omnibot.tests.discord")


def settings(**options: Any) -> Settings:
    return Settings.model_validate({"token": Secret("made-up")} | options)


def command(name: str) -> Command:
    async def handler() -> str:
        return ""

    return Command((name,), "basics", summary=f"Does {name}", handler=handler)


class _Refusal:
    status, reason = 403, "Forbidden"


class Http:
    """Discord's API, as far as it is told of commands."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[dict[str, Any]]]] = []
        self.fails: Exception | None = None

    async def bulk_upsert_global_commands(self, application: int, commands: list[dict[str, Any]]) -> None:
        self._take(application, "global", commands)

    async def bulk_upsert_guild_commands(self, application: int, guild: int, commands: list[dict[str, Any]]) -> None:
        self._take(application, str(guild), commands)

    def _take(self, application: int, scope: str, commands: list[dict[str, Any]]) -> None:
        assert APPLICATION == application
        if self.fails is not None:
            raise self.fails
        self.told.append((scope, commands))


class Client(discord.Client):
    """A client that is logged in."""

    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True), application_id=APPLICATION)
        self.heard = Http()
        self.http = self.heard  # type: ignore[assignment]  # all that is asked of it


class Bot:
    """Offers commands again and again, as at each start."""

    def __init__(self) -> None:
        self.client, self.store = Client(), FakeStore()

    async def offer(self, *names: str, **options: Any) -> list[tuple[str, list[str]]]:
        """Return where Discord was told of which commands."""
        self.client.heard.told.clear()
        wanted = settings(**options)
        await offer(self.client, self.store, menu(map(command, names), wanted), wanted, log)
        return [(scope, [one["name"] for one in commands]) for scope, commands in self.client.heard.told]


@pytest.fixture
async def bot() -> Bot:
    return Bot()


async def test_only_when_they_changed(bot: Bot) -> None:
    """A hash of what Discord was told is kept."""
    assert [("global", ["ping"])] == await bot.offer("ping")
    assert [] == await bot.offer("ping")
    assert [("global", ["notes", "ping"])] == await bot.offer("ping", "notes")
    assert [] == await bot.offer("ping", "notes")
    assert [("global", ["notes", "ping"])] == await bot.offer("ping", "notes", installs=["guild", "user"])


async def test_where_they_are_wanted(bot: Bot) -> None:
    """Whoever moves them does not leave them behind."""
    await bot.offer("ping")

    assert [("5", ["ping"]), ("7", ["ping"]), ("global", [])] == await bot.offer("ping", commands=[7, 5])
    assert [("5", [])] == await bot.offer("ping", commands=[7])
    assert [("7", [])] == await bot.offer("ping", commands="off")
    assert [] == await bot.offer("ping", commands="off")
    assert [("global", ["ping"])] == await bot.offer("ping")


async def test_who_may_have_them(bot: Bot) -> None:
    """Global ones say so; those of a server are that server's."""
    await bot.offer("ping")
    (_, (one,)) = bot.client.heard.told[0]

    assert ([0], [0, 1]) == (one["integration_types"], one["contexts"])

    await bot.offer("ping", installs=["user", "guild"])
    (_, (one,)) = bot.client.heard.told[0]

    assert ([0, 1], [0, 1, 2]) == (one["integration_types"], one["contexts"])

    await bot.offer("ping", commands=[5])
    (_, (one,)) = bot.client.heard.told[0]

    assert {"integration_types", "contexts"}.isdisjoint(one)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (discord.Forbidden(_Refusal(), "no"), "invited without applications.commands"),
        (discord.RateLimited(600), "RateLimited"),
        (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
async def test_what_failed_is_tried_at_the_next_start(
    bot: Bot, error: Exception, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why."""
    bot.client.heard.fails = error

    assert [] == await bot.offer("ping")
    assert why in caplog.text
    assert {} == bot.store.rows

    bot.client.heard.fails = None

    assert [("global", ["ping"])] == await bot.offer("ping")


async def test_a_server_that_the_bot_has_left(bot: Bot) -> None:
    """There is nothing to take back there, at the next start neither."""
    await bot.offer("ping", commands=[5])
    bot.client.heard.fails = discord.Forbidden(_Refusal(), "no")
    await bot.offer("ping", commands="off")
    bot.client.heard.fails = None

    assert [] == await bot.offer("ping", commands="off")


async def test_another_application_is_told_anew(bot: Bot) -> None:
    """Another token may be another bot's."""
    bot.store.rows["menus:902"] = json.dumps({"global": menu([command("ping")], settings()).hash()}).encode()

    assert [("global", ["ping"])] == await bot.offer("ping")


def test_scopes() -> None:
    """Ids of servers are text, as in a row."""
    assert [{"global"}, set(), {"5"}] == [scopes(settings(commands=one)) for one in ("global", "off", [5])]


def test_commands_for_admins_are_not_in_the_menu() -> None:
    """It is the same for everybody: nobody else is to see them."""
    admin = Command(("admin", "revoke"), "admin", lambda: None, admin=True)

    shown = menu([command("ping"), admin], settings())

    assert ["ping"] == [one["name"] for one in shown.payload()]
    assert [("ping",)] == [one.path for one in shown.book]
