"""Bots on real IRC networks, and what the people there do again and again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from adapters.irc import Adapter, Settings
from omnibot.demo.browser import Browser
from omnibot.provider import Secret
from omnibot.supervisor import Supervisor
from omnibot.testing.bench import Bench
from servers.irc.client import LIMIT, Person
from servers.irc.line import Line
from servers.irc.server import Account, Irc, Ngircd

NICK = "omnibot"
PAUSE = 0.05
"""Seconds that a supervisor of these journeys waits before it tries again, however often it has."""


@dataclass(eq=False)
class Bot:
    """The bot on one network."""

    adapter: Adapter
    supervisor: Supervisor
    pauses: list[float] = field(default_factory=list)
    """Seconds that the supervisor would have waited before each further try."""

    running: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End it, as the process does."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])

    async def sleep(self, seconds: float) -> None:
        """Wait for less than the supervisor wants to."""
        self.pauses.append(seconds)
        await asyncio.sleep(PAUSE)

    async def is_in(self, *channels: str) -> None:
        """Return once it is in all of *channels*."""
        await soon(lambda: all(self._is_in(channel) for channel in channels))

    async def is_out(self) -> None:
        """Return once its connection is gone."""
        await soon(lambda: not self.adapter._outbox.connected)

    def _is_in(self, channel: str) -> bool:
        return self.adapter._machine.joined(channel)


@asynccontextmanager
async def bot_on(bench: Bench, options: dict[str, Any], network: str = "net") -> AsyncIterator[Bot]:
    """Put *bench* on the network of *options* as well; it may have no connection yet."""
    adapter = Adapter(bench.core.tools(network), Settings.model_validate(options))
    bot = Bot(adapter, bench.core.add_network(network, adapter))
    bot.supervisor._sleep = bot.sleep
    bot.running = asyncio.create_task(bot.supervisor.run())
    try:
        yield bot
    finally:
        await bot.stop()


def over_tls(irc: Irc, **options: Any) -> dict[str, Any]:
    """Return the options of a bot on *irc* that verifies its certificate, is in ``#ops`` and as fast as it can."""
    return plain(irc.tls_port, tls={"ca": str(irc.ca)}) | options


def on_old(ngircd: Ngircd, **options: Any) -> dict[str, Any]:
    """Return the options of a bot on *ngircd*."""
    return plain(ngircd.port, **options)


def plain(port: int, **options: Any) -> dict[str, Any]:
    """Return the options of a bot on *port*, without TLS unless *options* say so."""
    base = {"host": "localhost", "port": port, "tls": False, "nick": NICK, "channels": ["#ops"]}
    return base | {"pace": {"seconds": 0}} | options


def logging_in(account: Account) -> dict[str, Any]:
    """Return the options of a bot that logs in to *account* by its password."""
    return {"sasl": {"username": account.name, "password": Secret(account.password)}}


async def soon(condition: Callable[[], bool]) -> None:
    """Return as soon as *condition* holds, for what happens in the bot's own time."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - it changes inside of the bot
            await asyncio.sleep(0.01)


def is_a(command: str, of: str = "") -> Callable[[Line], bool]:
    """Whether a line is *command*, and is from the nick *of* unless that is empty."""
    return lambda line: line.command == command and of in ("", line.nick)


async def works(person: Person, channel: str = "#ops", bot: str = NICK) -> None:
    """Return once the bot has answered a command of *person* in *channel*."""
    await person.say(channel, "!ping")
    await person.hear(f"{person.nick}: pong", of=bot)


async def asked_link(person: Person, bot: str = NICK) -> str:
    """Return the address of the next link that *person* is sent in private."""
    line = await person.hear("http://127.0.0.1", of=bot)

    assert person.nick == line.params[0]
    return line.text.rpartition(" ")[2]


async def link(bench: Bench, person: Person, command: str = "!link demo", where: str = "#ops") -> None:
    """Let *person* say *command* to *where*, and link the demo service's account that is called as they are."""
    await person.say(where, command)
    url = await asked_link(person)
    async with Browser() as browser:
        await bench.authorise(browser, url, person.nick)
        await person.say(NICK, f"!confirm {browser.code}")
    await person.hear("Linked Demo notes as", of=NICK)


def said_by(person: Person, bot: str = NICK) -> list[str]:
    """Return what *person* has seen the bot say so far, wherever that was."""
    return [line.text for line in person.lines if line.command in ("PRIVMSG", "NOTICE") and line.nick == bot]
