"""Offering the bot's commands as slash commands: told to Discord when they have changed, and not otherwise.

Discord allows two hundred changes a day.  So a row holds what each place was last told, as a hash.
"""

import asyncio
import json
import logging
from collections.abc import Iterable

import discord

from adapters.discord.answers import FAILURES
from adapters.discord.menu import Menu, Payload
from adapters.discord.settings import Settings
from omnibot.adapter import Store
from omnibot.command import Command

_ROW = "menus"
_GLOBAL = "global"


def menu(commands: Iterable[Command], settings: Settings) -> Menu:
    """Return the menu of *commands*, for those who may have it by *settings*.

    The menu is the same for everybody, so it has no commands that are for admins: those are typed.
    """
    types = [number for number, who in enumerate(("guild", "user")) if who in settings.installs]
    # Servers and direct messages with the bot; other conversations are reached by those alone who installed it.
    shown = [one for one in commands if not one.admin]
    return Menu(shown, contexts=(0, 1, 2) if 1 in types else (0, 1), integration_types=types)


def scopes(settings: Settings) -> set[str]:
    """Return where the commands are to be offered: ``global``, or ids of servers."""
    match settings.commands:
        case "global":
            return {_GLOBAL}
        case "off":
            return set()
        case guilds:
            return {str(guild) for guild in guilds}


async def offered(store: Store, application: int) -> dict[str, str]:
    """Return where the commands of *application* were offered, and the hash of what was."""
    row = await store.get(_row(application))
    return dict(json.loads(row)) if row else {}


async def offer(client: discord.Client, store: Store, menu: Menu, settings: Settings, log: logging.Logger) -> None:
    """Have Discord offer *menu* where *settings* want it, and nowhere else.

    What fails is logged, and done at the next start.
    """
    application = client.application_id
    assert application is not None, "the bot has logged in"
    kept, wanted, name = await offered(store, application), scopes(settings), menu.hash()
    for scope in sorted(wanted | kept.keys()):
        if scope in wanted and kept.get(scope) == name:
            continue
        commands = _commands(menu, scope) if scope in wanted else []
        try:
            await _tell(client, application, scope, commands)
        except FAILURES as error:
            if scope not in wanted and isinstance(error, discord.Forbidden | discord.NotFound):
                await _keep(store, application, kept, scope, None)  # the bot is not there any more
                continue
            log.warning("Discord did not take the commands (%s: %s); the next start tries again", scope, _why(error))
            continue
        await _keep(store, application, kept, scope, name if scope in wanted else None)
        log.info("Discord was told of %d commands (%s)", len(commands), scope)


async def _keep(store: Store, application: int, kept: dict[str, str], scope: str, name: str | None) -> None:
    """Keep that *scope* was told of what is called *name*, or of nothing."""
    if name is None:
        del kept[scope]
    else:
        kept[scope] = name
    await store.set(_row(application), json.dumps(kept).encode())


def _row(application: int) -> str:
    return f"{_ROW}:{application}"


def _commands(menu: Menu, scope: str) -> list[Payload]:
    """Return *menu* as *scope* takes it: who may add commands, and where, is told of global ones alone."""
    if scope == _GLOBAL:
        return menu.payload()
    reach = ("contexts", "integration_types")
    return [{key: value for key, value in one.items() if key not in reach} for one in menu.payload()]


async def _tell(client: discord.Client, application: int, scope: str, commands: list[Payload]) -> None:
    async with asyncio.timeout(120):
        if scope == _GLOBAL:
            await client.http.bulk_upsert_global_commands(application, commands)
        else:
            await client.http.bulk_upsert_guild_commands(application, int(scope), commands)


def _why(error: Exception) -> str:
    if isinstance(error, discord.Forbidden | discord.NotFound):
        return "it says that the bot is not on that server, or was invited without applications.commands"
    return (
        f"{type(error).__name__} {error.status}" if isinstance(error, discord.HTTPException) else type(error).__name__
    )
