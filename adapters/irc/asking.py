"""How ``omnibot init`` leads to an IRC network's options, and tries them: it connects, logs in, and leaves again.

No channel is joined and nobody is written to.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from adapters.irc.effects import Drop, Effect, Ready, Refused, Said, Send, Upgrade
from adapters.irc.lines import LIMIT, build
from adapters.irc.link import Link, Lost, unconnected
from adapters.irc.machine import Machine
from adapters.irc.settings import Settings, Tls
from omnibot.adapter import Finding, Question, Setup

_SECONDS = 75.0
"""For all of a try: a server may look for an ident daemon first, which takes thirty."""

_GOODBYE = 3.0
"""Seconds for the server to close the connection after QUIT."""


async def attempt(settings: Settings) -> list[Finding]:
    """Connect as *settings* say, log in to the services, see that the network lets the bot in, and quit.

    Raises:
        Refused: the server's certificate is not the pinned one.
    """
    settings = settings.model_copy(update={"channels": [], "invites": "none"})
    machine = Machine(settings)
    try:
        async with asyncio.timeout(_SECONDS):
            while (found := await _connection(machine, settings)) is None:
                pass  # over to TLS, at once
    except TimeoutError:
        what = f"{settings.host} did not let the bot in within {_SECONDS:.0f} seconds."
        return [Finding("wrong", what, "Try again later, or with another server of the network.")]
    except Lost as error:
        return [Finding("wrong", f"{settings.host}: {error}.", "Check host and port.")]
    return found


async def _connection(machine: Machine, settings: Settings) -> list[Finding] | None:
    """Make one connection, to its end; return what came of it, None if another one is to be made at once."""
    where, tls = machine.where(), settings.tls if isinstance(settings.tls, Tls) else None
    try:
        link = await Link.open(where, tls)
    except OSError as error:  # TimeoutError and all of ssl's among them
        why = unconnected(error, where, tls, wants_tls=settings.secure).rstrip(".")
        cure = "Check host and port, and whether this machine reaches it."
        if where.tls and isinstance(error, TimeoutError):
            cure += " To TLS, a port without it may say nothing at all: the one for TLS is mostly 6697."
        return [Finding("wrong", f"{why}.", cure)]
    said: list[str] = []
    try:
        effects = machine.connected(time.monotonic(), tls=where.tls)
        while not (ends := [one for one in effects if _do(one, link, said)]):
            due = machine.next_tick
            lines = await link.read(None if due == float("inf") else max(0.0, due - time.monotonic()))
            effects = [effect for line in lines for effect in machine.feed(line, time.monotonic())]
            effects += machine.tick(time.monotonic())
        found = None if isinstance(ends[0], Upgrade) else list(_found(ends[0], machine, settings, said))
    finally:
        await _leave(link)
        machine.lost(time.monotonic())
    return found


def _do(effect: Effect, link: Link, said: list[str]) -> bool:
    """Do *effect*; return whether it is the last of the connection."""
    match effect:
        case Send(line):
            link.write(line.encode(LIMIT))
        case Said(text):
            said.append(text)
    return isinstance(effect, Ready | Refused | Drop | Upgrade)


def _found(end: Effect, machine: Machine, settings: Settings, said: Sequence[str]) -> Iterator[Finding]:
    """Yield what a connection came to that ended with *end*, after what the machine had *said*."""
    match end:
        case Ready(realm):
            who = f"as {machine.nick}" + (f", logged in as {settings.sasl.username}" if settings.sasl else "")
            yield Finding("good", f"{realm} lets the bot in {who.rstrip()}.")
            yield from (Finding("note", f"{one}.") for one in said)
            if not machine.account_tags:
                what = "nobody can be known there: no account stands on what people say."
                cure = "Use TLS, and a network with services and account-tag."
                yield Finding("note", what, cure, "Who is not known may use nothing that acts as them.")
        case Refused(what, cure):
            yield Finding("wrong", f"{what}.", cure)
        case Drop(why):
            yield Finding("wrong", f"{why}.", "Try again, or look at the network's own pages for what it wants.")


async def _leave(link: Link) -> None:
    """Quit, and let the server close the connection: so the nick is free at once."""
    with suppress(Lost, TimeoutError):
        link.write(build("QUIT").encode(LIMIT))
        async with asyncio.timeout(_GOODBYE):
            while True:
                await link.read(_GOODBYE)
    link.close()


def _host(answer: str) -> str:
    if "://" in answer or "/" in answer or re.search(r"\s", answer):
        raise ValueError("only the name of the server, as irc.libera.chat")
    if re.fullmatch(r"[^:]+:[0-9]+", answer):
        raise ValueError("only the name; the port is asked for next")
    return answer


def _port(answer: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", answer) or not 1 <= int(answer) <= 65535:
        raise ValueError("a number from 1 to 65535")
    return int(answer)


def _tls(answer: str) -> bool | dict[str, str]:
    match answer.lower():
        case "yes" | "y" | "true":
            return True
        case "no" | "n" | "false":
            return False
        case pin if pin.startswith("sha256:"):
            return {"fingerprint": pin}
    raise ValueError("yes, no, or sha256: and the fingerprint of the server's certificate")


def _channels(answer: str) -> list[str]:
    names = [name for name in re.split(r"[\s,]+", answer) if name]
    return [name if name[0] in "#&+!" else f"#{name}" for name in names]


def _invite(settings: Settings) -> list[str]:
    rooms = ", ".join(settings.keys)
    if rooms:
        return [
            f"It joins {rooms} by itself; where only the invited may: /invite {settings.nick} {rooms.split(',')[0]}"
        ]
    return [
        f"Name its channels under `channels`; where only the invited may join: /invite {settings.nick} #channel",
        f"In private: /msg {settings.nick} help",
    ]


setup = Setup(
    title="IRC",
    before=(
        "The bot needs a nick, and on most networks an account with the services: as the bot, say\n"
        "/msg NickServ REGISTER PASSWORD MAIL. People are known by their own services accounts."
    ),
    questions=(
        Question("host", "Server, as irc.libera.chat", value=_host),
        Question("tls", "TLS: yes, no, or sha256:FINGERPRINT of the server's certificate", "yes", value=_tls),
        Question("port", "Port (6697 with TLS, else 6667)", optional=True, value=_port),
        Question("nick", "The bot's nick", "omnibot"),
        Question("sasl.username", "Its services account (SASL); empty if it has none", optional=True),
        Question("sasl.password", "The password of that account", secret=True, after="sasl.username"),
        Question("channels", "Channels to join, with spaces between", optional=True, value=_channels),
    ),
    attempt=attempt,
    who="the name of their services account, in lower case; with # and a number after it if `!whoami` says so",
    invite=_invite,
)
