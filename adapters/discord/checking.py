"""What ``omnibot check`` says of a Discord network: whether the bot gets in, what it reads, and where it is.

Everything is asked over HTTP and only read, so that it can be done beside the bot that runs.
"""

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import discord

from adapters.discord.answers import FAILURES
from adapters.discord.client import addressed, may_read, refusal
from adapters.discord.hearing import shown
from adapters.discord.offering import offered, scopes
from adapters.discord.settings import Settings, looks_like_token
from omnibot.adapter import Finding, Tools
from omnibot.errors import Refused

WANTED = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,
    add_reactions=True,
)
"""What the bot needs to be allowed where it speaks; removing messages with secrets is left to the operator."""

_MOST_GUILDS = 200
_MOST_NAMED = 5

_COSTS = {
    "view_channel": "it hears and says nothing there",
    "send_messages": "it cannot answer there",
    "send_messages_in_threads": "it cannot answer in threads",
    "embed_links": "its links have no preview",
    "attach_files": "it cannot send files and images",
    "read_message_history": "it cannot answer to the message that it was asked by",
    "add_reactions": "it cannot show by a sign that it has heard",
}
"""What each of `WANTED` is for, by what its lack costs."""


async def check(tools: Tools, settings: Settings) -> list[Finding]:
    """Look whether Discord lets the bot in, what it may read there, on which servers it is, and who sees commands."""
    if not looks_like_token(settings.token.value) and settings.api is None:
        cure = "It has three parts with full stops between; a client secret or public key is something else."
        return [Finding("wrong", "`token` is not made as a bot's token is.", cure)]
    client = discord.Client(intents=discord.Intents(guilds=True))
    try:
        async with AsyncExitStack() as ended:
            ended.enter_context(addressed(settings))
            ended.push_async_callback(client.http.close)
            await client.login(settings.token.value)
            guilds = {str(guild["id"]): guild for guild in await client.http.get_guilds(_MOST_GUILDS)}
            told = await offered(tools.store, client.application_id or 0)
            lacking = list(_lacking(guilds))
            return [*_found(client, settings, list(guilds), told), *lacking]
    except Refused as error:
        return [Finding("wrong", f"{error}.", error.cure)]
    except FAILURES as error:
        refused = refusal(error)
        if refused is not None:
            return [Finding("wrong", f"{refused}.", refused.cure)]
        why = f"{error.status}" if isinstance(error, discord.HTTPException) else type(error).__name__
        return [Finding("wrong", f"Discord does not answer ({why}).", "Check whether this machine reaches it.")]


def invitation(application: int) -> str:
    """Return the address at which somebody adds the bot to a server of theirs."""
    return discord.utils.oauth_url(application, permissions=WANTED, scopes=("bot", "applications.commands"))


def _found(client: discord.Client, settings: Settings, guilds: list[str], told: dict[str, str]) -> Iterator[Finding]:
    user, application = client.user, client.application
    assert user is not None, "it has logged in"
    assert application is not None, "that asks for the application as well"
    yield Finding("good", f"Discord answers; the bot is {shown(user.name)} (application {application.id}).")
    if application.interactions_endpoint_url is not None:
        cure = "Take the Interactions Endpoint URL out in the developer portal (General Information)."
        why = "The bot never hears of them."
        yield Finding("wrong", "slash commands and buttons go to a web address, and not to the bot.", cure, why)
    yield _reads(settings, allowed=may_read(application.flags))
    yield from _where(application.id, guilds)
    yield from _commands(settings, guilds, told)
    if "user" in settings.installs and application.user_integration_config is None:
        cure = "Switch on User Install in the developer portal (Installation), or take `user` out of `installs`."
        yield Finding("note", "nobody can add the bot's commands for themselves.", cure)


def _lacking(guilds: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what the bot is not permitted on each of *guilds*, as a whole; a channel may still say otherwise."""
    for one in list(guilds.values())[:_MOST_GUILDS]:
        allowed = discord.Permissions(int(one.get("permissions", WANTED.value)))
        if allowed.administrator:
            why = "It needs nothing of the kind; whoever steals its token owns the server."
            yield Finding("note", f"the bot is an administrator of {shown(one['name'])}.", "Take that role away.", why)
            continue
        if missing := [name for name, wanted in WANTED if wanted and not getattr(allowed, name)]:
            what = f"on {shown(one['name'])} the bot lacks {', '.join(missing)}."
            why = f"{'; '.join(_COSTS[name] for name in missing[:_MOST_NAMED]).capitalize()}."
            yield Finding("note", what, "Give its role these permissions, or invite it anew.", why)


def _reads(settings: Settings, *, allowed: bool) -> Finding:
    """Tell of the message content intent, and what that means."""
    means = "in channels it hears what mentions it or replies to it, slash commands and buttons."
    match settings.content, allowed:
        case (("auto" | "on"), True):
            return Finding("good", "message content intent: yes; in channels it hears the prefix as well.")
        case "on", False:
            cure = "Switch on Message Content Intent in the developer portal (Bot), or set `content: auto`."
            why = "Discord does not let the bot connect so."
            return Finding("wrong", "message content intent: no, and `content: on` wants it.", cure, why)
        case "off", _:
            return Finding("good", f"message content intent: not asked for (`content: off`); {means}")
        case _:
            return Finding("note", f"message content intent: no; {means}")


def _where(application: int, guilds: list[str]) -> Iterator[Finding]:
    link = invitation(application)
    if guilds:
        count = f"{len(guilds)} server{'s' if len(guilds) > 1 else ''}"
        yield Finding(
            "good",
            f"the bot is on {count}{' at least' if len(guilds) == _MOST_GUILDS else ''}; it is invited with {link}",
        )
    else:
        yield Finding("note", "the bot is on no server.", f"Invite it with {link}")


def _commands(settings: Settings, guilds: list[str], told: dict[str, str]) -> Iterator[Finding]:
    wanted = scopes(settings)
    missing = sorted(wanted - set(guilds) - {"global"})
    if missing and len(guilds) < _MOST_GUILDS:
        cure = "Invite it there, or take them out of `commands`."
        yield Finding("wrong", f"the bot is not on {', '.join(missing)}, where `commands` is to be offered.", cure)
    where = "everywhere" if "global" in wanted else ", ".join(sorted(wanted)) if wanted else "nowhere"
    if wanted and not wanted <= told.keys():
        yield Finding("note", f"slash commands: {where}, from the next start on.")
    else:
        yield Finding("good", f"slash commands: {where}.")
