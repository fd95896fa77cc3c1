"""What the operator's admins can do to the bot in chat: look at it, its networks, skills and people, and decide.

It is for the identities that stand under `admins` in the configuration, and for nobody else.  Nobody reads a
token here, or acts as somebody else.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from omnibot import Context, Skill, code, escape, fmt

skill = Skill("admin")

_MOST = 40
"""People or lines of one answer."""


@skill.command(admin=True, answer="private")
async def status(ctx: Context) -> str:
    """Tell how the bot is."""
    now = await ctx.admin.perform("status")
    accounts, vault = now["accounts"], now["vault"]
    linking = await ctx.admin.perform("linking show")
    lines = [
        fmt("omnibot {}, running for {}; vault {}.", now["version"], _duration(now["uptime"]), vault["state"]),
        fmt("People: {}. Accounts: {}.", now["people"], ", ".join(f"{n} {name}" for name, n in accounts.items())),
        fmt("Links under way: {}. Followed: {}.", now["flows"], now["follows"]),
        *(_network(one) for one in now["networks"]),
    ]
    if linking["paused"]:
        lines.append(_paused(linking))
    if accounts["held"]:
        lines.append(f"What is held waits for you: `{ctx.prefix}admin held`.")
    return "\n".join(lines)


@skill.command(admin=True, answer="private")
async def networks(ctx: Context) -> str:
    """List the networks, and how each is."""
    return _lines((_network(one) for one in await ctx.admin.perform("networks list")), "No network is configured.")


@skill.command(admin=True, answer="private")
async def reconnect(ctx: Context, network: str) -> str:
    """Connect a network anew, at once, also where the bot was turned away.

    Args:
        network: its name in the configuration
    """
    done = await ctx.admin.perform("networks reconnect", name=network)
    return fmt("{} is being connected anew.", done["name"])


@skill.command(admin=True, answer="private")
async def skills(ctx: Context, action: Literal["list", "load", "unload", "reload"] = "list", name: str = "") -> str:
    """List the skills, or load, unload or reload one until the next restart.

    Args:
        action: what to do
        name: the skill, as the list or the configuration names it
    """
    if action == "list":
        listed = await ctx.admin.perform("skills list")
        return _lines((fmt("- {}: {} commands", one["name"], one["commands"]) for one in listed), "There is none.")
    if not name:
        return f"Say which: `{ctx.prefix}admin skills {action} NAME`."
    done = await ctx.admin.perform(f"skills {action}", name=name)
    what = {"load": "is loaded", "unload": "is taken out", "reload": "is loaded anew"}[action]
    return fmt("{} {}. After a restart the configuration decides.", ", ".join(done["skills"]), what)


@skill.command(admin=True, answer="private")
async def people(ctx: Context, who: str = "") -> str:
    """List who has linked what, or show one person.

    Args:
        who: their identity, as `network:name`
    """
    if who:
        return _person(await ctx.admin.perform("people show", who=who))
    found = await ctx.admin.perform("people list")
    lines = [_in_short(one) for one in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"… and {len(found) - _MOST} more: `omnibot people list` has them all.")
    return _lines(lines, "I know nobody yet.")


@skill.command(admin=True, answer="private", effect="destroy")
async def revoke(ctx: Context, who: str, service: str) -> str:
    """Take away what somebody has linked at a service, and tell them.

    Args:
        who: their identity, as `network:name`
        service: for example `github`, or `github@work`
    """
    done = await ctx.admin.perform("people revoke", who=who, service=service)
    return _gone(done, "is unlinked")


@skill.command(admin=True, answer="private", effect="destroy")
async def forget(ctx: Context, who: str) -> str:
    """Erase a person, and all that is theirs.

    Args:
        who: their identity, as `network:name`
    """
    done = await ctx.admin.perform("people forget", who=who)
    return fmt("{} is forgotten.\n", who) + _gone(done, "is unlinked")


@skill.command(admin=True, answer="private")
async def pause(ctx: Context, why: str = "") -> str:
    """Let nothing new be linked, also after a restart.

    Args:
        why: told to whoever asks for a link
    """
    return _paused(await ctx.admin.perform("linking pause", why=why))


@skill.command(admin=True, answer="private")
async def resume(ctx: Context) -> str:
    """Let links begin again."""
    await ctx.admin.perform("linking resume")
    return "Links may begin again."


@skill.command(admin=True, answer="private")
async def held(ctx: Context, action: Literal["list", "allow", "refuse"] = "list", account: str = "") -> str:
    """List accounts that a second person linked, or decide about one.

    Args:
        action: what to do
        account: its id, as the list shows it
    """
    if action == "list":
        return _lines((_held(one) for one in await ctx.admin.perform("accounts held")), "No account is held.")
    if not account:
        return f"Say which: `{ctx.prefix}admin held {action} ID`."
    done = await ctx.admin.perform(f"accounts {action}", account=account)
    may = "may" if action == "allow" else "may not"
    return fmt("{} {} use {} as {}. They are being told.", done["asked_by"], may, done["service"], done["login"])


@skill.command(admin=True, answer="private")
async def servers(ctx: Context, action: Literal["list", "allow", "refuse"] = "list", host: str = "") -> str:
    """List servers that people named, or decide about one.

    Args:
        action: what to do
        host: as the list shows it, or `service@host`
    """
    if action == "list":
        listed = await ctx.admin.perform("instances list")
        return _lines((_host(one) for one in listed), "Nobody has named a server.")
    if not host:
        return f"Say which: `{ctx.prefix}admin servers {action} HOST`."
    done = await ctx.admin.perform(f"instances {action}", host=host)
    return fmt("{} may {}be linked.", done["name"], "" if action == "allow" else "not ")


def _lines(lines: Iterable[str], none: str) -> str:
    return "\n".join(lines) or none


def _network(one: Mapping[str, Any]) -> str:
    state = one["state"] or "not running"
    if one["since"] is not None:
        state += f" for {_duration(time.time() - one['since'])}"
    line: str = fmt("- {}: {}, known as {}", one["name"], state, one["realm"] or "nothing yet")
    if one["trusted"] is False and one["says"]:
        line += fmt(". It says it is {} now, and nobody is acted for there: `omnibot networks accept`", one["says"])
    return line


def _in_short(one: Mapping[str, Any]) -> str:
    services = ", ".join(each["alias"] for each in one["accounts"]) or "nothing"
    return fmt("- {}: {}", " = ".join(one["identities"]), services)


def _person(one: Mapping[str, Any]) -> str:
    lines: list[str] = [fmt("{}, known since {}.", ", ".join(one["identities"]), _day(one["since"]))]
    lines += [
        fmt("- {} as **{}**: {}, since {}", each["alias"], each["login"], each["status"], _day(each["since"]))
        for each in one["accounts"]
    ]
    return "\n".join(lines) if one["accounts"] else f"{lines[0]} Nothing is linked."


def _gone(done: Mapping[str, Any], what: str) -> str:
    return "\n".join(fmt("- {} as **{}** {}.", one["alias"], one["login"], what) for one in done["accounts"])


def _held(one: Mapping[str, Any]) -> str:
    owners = ", ".join(one["owners"]) or "nobody any more"
    return fmt("- {} {} as {}: asked for by {}; linked by {}", code(one["id"]), one["service"], one["login"],
               one["asked_by"], owners)  # fmt: skip


def _host(one: Mapping[str, Any]) -> str:
    reads: str = fmt(", which reads {}", one["reads"]) if one["reads"] else ""
    return fmt("- {}", one["name"]) + reads + fmt(": {}", one["status"])


def _paused(linking: Mapping[str, Any]) -> str:
    return "Nothing new can be linked" + (f": {escape(linking['why'])}" if linking["why"] else ".")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d")


def _duration(seconds: float) -> str:
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 86400:.0f} days" if seconds >= 172800 else f"{seconds / 3600:.1f} hours"
