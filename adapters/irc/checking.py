"""What ``omnibot check`` says of an IRC network: whether it is reached over TLS, and what its server can do.

The server is asked for its capabilities and left again before anybody is registered there: no nick, no login, and
nobody on the network sees it (IRCv3 "Capability Negotiation": CAP LS may be the first line).
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Literal

from adapters.irc.lines import build, parse
from adapters.irc.link import Link, Lost, unconnected
from adapters.irc.machine import Where
from adapters.irc.settings import Settings, Tls
from adapters.irc.sts import Sts, key
from omnibot.adapter import Finding, Tools
from omnibot.errors import Refused

_SECONDS = 15.0
"""How long a server may take to tell its capabilities; one that looks the bot's name up first takes a while."""

_MOST_LINES = 200

_COSTS = {
    "account-tag": "Everybody is a guest: nobody can link an account there, or act as themselves.",
    "echo-message": "The bot takes what it said for said, and does not notice where the server cut or dropped it.",
    "server-time": "What was said while the connection hung is taken for said just now.",
    "labeled-response": "Answers are told apart by their order, which an odd server may mix up.",
    "batch": "The replay of a bouncer cannot be told from what is said now.",
    "account-notify": "Who logs in or out is noticed only when they speak.",
    "extended-join": "Who somebody is that joins is known only when they speak.",
}
"""What the lack of each capability costs."""

_GRAVE = frozenset({"account-tag"})


async def check(tools: Tools, settings: Settings) -> list[Finding]:
    """Look whether the server is reached as the configuration says, and what it can do."""
    sts = Sts(settings.host, settings.address[1], settings.secure)
    sts.recall((await tools.store.get(key(settings.host)) or b"").decode("utf-8", "replace"))
    port, secure = sts.where(time.time())
    where, tls = Where(settings.host, port, secure), settings.tls if isinstance(settings.tls, Tls) else None
    try:
        link = await Link.open(where, tls)
    except Refused as error:
        return [Finding("wrong", f"{error}.", error.cure, "Somebody on the way may be posing as the server.")]
    except (OSError, ValueError) as error:
        what = unconnected(error, where, tls, wants_tls=settings.secure) if isinstance(error, OSError) else str(error)
        return [Finding("wrong", f"{what.rstrip('.')}.", "Check `host`, `port` and `tls`.", "The bot cannot get in.")]
    try:
        offered = await _offered(link)
    except (Lost, TimeoutError) as error:
        why = str(error) or f"no word within {_SECONDS:.0f} seconds"
        cure = "See whether it is an IRC server, and whether it keeps this address out."
        return [Finding("wrong", f"{where.host}:{where.port} does not tell its capabilities: {why}.", cure)]
    finally:
        link.close()
    return list(_found(settings, where, offered))


async def _offered(link: Link) -> dict[str, str] | None:
    """Return the server's capabilities, each with its value; None where it knows of none.

    Raises:
        Lost, TimeoutError: it does not say.
    """
    link.write(build("CAP", "LS", "302").encode())
    found, seen = dict[str, str](), 0
    async with asyncio.timeout(_SECONDS):
        while seen < _MOST_LINES:
            for raw in await link.read(None):
                seen += 1
                line = parse(raw)
                if line is None:
                    continue
                if line.command in ("421", "451"):  # it knows no CAP, or wants to know who is there first
                    return None
                if line.command == "PING":
                    link.write(build("PONG", *line.params[:1]).encode())
                if line.command == "ERROR":
                    raise Lost(f"it says {line.param(0)[:100]}")
                if line.command == "CAP" and line.param(1).upper() == "LS":
                    found |= {name: value for name, _, value in (one.partition("=") for one in line.param(-1).split())}
                    if line.param(2) != "*":
                        link.write(build("QUIT").encode())
                        return found
    raise Lost("it talks of everything else")


def _found(settings: Settings, where: Where, offered: dict[str, str] | None) -> Iterator[Finding]:
    yield Finding("good", f"{where.host}:{where.port} answers, {'over' if where.tls else 'without'} TLS.")
    if not where.tls:
        yield _plain(settings, offered or {})
    yield from _login(settings, offered or {})
    missing = [name for name in _COSTS if name not in (offered or {})]
    for name in missing:
        cure = "See whether the server's operators can switch it on; else it is as good as it gets there."
        yield Finding("note", f"the server has no {name}.", cure if name in _GRAVE else "", _COSTS[name])
    if not missing:
        yield Finding("good", f"the server has all that the bot makes use of: {', '.join(_COSTS)}.")


def _plain(settings: Settings, offered: dict[str, str]) -> Finding:
    if "sts" in offered:
        return Finding("note", "the server wants TLS, and the bot will go there over TLS (STS).", "Set tls: true.")
    if settings.allow_plain:
        why = "Who is on the way can speak as anybody, and read the password; `allow_plain` says that this is wanted."
        return Finding("note", "there is no TLS, and people are known by their accounts.", "Set tls: true.", why)
    return Finding("note", "there is no TLS, so that everybody is a guest.", "Set tls: true, if the server has it.")


def _login(settings: Settings, offered: dict[str, str]) -> Iterator[Finding]:
    """Yield how the bot's own login will fare, as far as the server says without one."""
    if settings.sasl is None:
        why = "Services do not know it: its nick may be taken, and channels for registered people stay closed."
        yield Finding("note", "the bot logs in to no account of its own.", "Register one, and set sasl.", why)
        return
    level: Literal["note", "wrong"] = "wrong" if settings.require_sasl else "note"
    why = "The bot stays away then (`require_sasl`)." if settings.require_sasl else "The bot goes on without a login."
    wanted = settings.sasl.mechanism
    kinds = [one.upper() for one in offered.get("sasl", "").split(",") if one]
    if "sasl" not in offered:
        yield Finding(level, "the server offers no login (sasl) now; services may be down.", "Try again later.", why)
    elif kinds and wanted not in kinds:
        cure = f"Set sasl.mechanism to one of them that you have what it takes for, or ask for {wanted} there."
        yield Finding(level, f"the server logs in by {', '.join(kinds)[:200]} and not by {wanted}.", cure, why)
    else:
        yield Finding("good", f"the server offers the login by {wanted}.")
