"""One bot on every network there is at once, and Ada, who speaks to it on each of them."""

import asyncio
import io
import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from adapters import console, discord
from journeys import irc_bots, matrix_bots
from journeys.irc_bots import NICK, PAUSE
from omnibot.adapter import Adapter
from omnibot.demo.browser import Browser
from omnibot.provider import Secret
from omnibot.supervisor import Supervisor
from omnibot.testing.bench import Bench
from servers.discord import people as at_discord
from servers.discord.server import DiscordServer
from servers.discord.sight import Seen
from servers.faults import HOST, Faults, Proxy
from servers.irc import client as at_irc
from servers.irc.server import Account, Irc, Ngircd
from servers.synapse.person import MatrixPerson
from servers.synapse.server import Synapse

LIMIT = 30.0
"""Seconds until the bot has answered, or is back, at the latest."""

_FORMATTING = re.compile(r"[\x02\x0f\x11\x16\x1d\x1e\x1f]|\x03[0-9,]*")
_numbers = count(1)


class Voice(ABC):
    """Ada on one network."""

    network: str
    identity: str
    """As `!whoami` shows it."""

    @abstractmethod
    async def say(self, text: str) -> None:
        """Say *text* to the bot alone."""

    async def aloud(self, text: str) -> None:
        """Say *text* where others read it, unless there is no such place."""
        await self.say(text)

    async def choose(self, choice: str) -> None:
        """Answer the bot's question."""
        await self.say(choice)

    @abstractmethod
    def said(self) -> list[str]:
        """Return what the bot has said there that Ada can read, in order."""

    async def hear(self, *words: str, since: int = 0) -> str:
        """Return what the bot has said *since* so many messages, once all *words* are in it."""

        def heard() -> str:
            return "\n".join(self.said()[since:])

        try:
            async with asyncio.timeout(LIMIT):
                while not all(one in heard() for one in words):  # noqa: ASYNC110 - it changes inside of the bot
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"on {self.network} there is no {words} in:\n{heard()}") from None
        return heard()

    async def ask(self, text: str, *words: str, aloud: bool = False) -> str:
        """Say *text*; return what the bot says from then on, once all *words* are in it."""
        since = len(self.said())
        await (self.aloud if aloud else self.say)(text)
        return await self.hear(*words, since=since)

    async def answered(self, text: str, *words: str) -> str:
        """As `choose`, where what the bot says to it is wanted."""
        since = len(self.said())
        await self.choose(text)
        return await self.hear(*words, since=since)

    async def echoed(self, *, aloud: bool = False) -> None:
        """Return once the bot has said something back; it is said back once."""
        word = f"word-{next(_numbers)}."
        heard = await self.ask(f"!tell echo {word}", word, aloud=aloud)
        assert heard.count(word) == 1, heard

    async def noted(self, bench: Bench, login: str = "ada") -> None:
        """Return once a note is written at the demo service, by *login* and nobody else."""
        word, before = f"word-{next(_numbers)}.", len(bench.provider.calls)
        await self.ask(f"!notes add {word}", f"is written as {login}")
        assert bench.provider.notes(login).count(word) == 1
        assert {login} == {one.user for one in bench.provider.calls[before:]}


class OnDiscord(Voice):
    """Ada on Discord, where she shares a server with the bot."""

    network = "discord"

    def __init__(self, person: at_discord.Person) -> None:
        self.person = person
        self.identity = f"discord:{person.id}"

    async def say(self, text: str) -> None:
        self.person.tell(text)

    async def aloud(self, text: str) -> None:
        self.person.say(text)

    async def choose(self, choice: str) -> None:
        def offers(seen: Seen) -> bool:
            return any(one.label == choice for one in seen.buttons)

        self.person.click(await self.person.until(offers), choice)

    def said(self) -> list[str]:
        return [one.text.replace("**", "") for one in self.person.sees() if not one.thinking]


class OnIrc(Voice):
    """Ada on IRC, and in ``#ops``."""

    def __init__(self, network: str, person: at_irc.Person, subject: str) -> None:
        self.network = network
        self.person = person
        self.identity = f"{network}:{subject}"

    async def say(self, text: str) -> None:
        await self.person.say(NICK, text)

    async def aloud(self, text: str) -> None:
        await self.person.say("#ops", text)

    def said(self) -> list[str]:
        return [_FORMATTING.sub("", one) for one in irc_bots.said_by(self.person)]


class OnMatrix(Voice):
    """Ada on Matrix, in a room alone with the bot, and in one with others; both are encrypted."""

    network = "matrix"

    def __init__(self, person: MatrixPerson, bot: matrix_bots.Bot, alone: str, room: str) -> None:
        self.person = person
        self.identity = f"matrix:{person.mxid}"
        self._bot = bot
        self._alone = alone
        self._room = room

    async def say(self, text: str) -> None:
        await self.person.say(self._alone, text)

    async def aloud(self, text: str) -> None:
        await self.person.say(self._room, text)

    def said(self) -> list[str]:
        return [one.replace("\u200b", "") for one in matrix_bots.bodies(self._bot, self.person)]


class OnConsole(Voice):
    """Ada at the bot's own terminal, or rather with a pipe to it."""

    network = "console"
    identity = "console:ada"

    def __init__(self, pipe: int, shown: io.StringIO) -> None:
        self._pipe = pipe
        self._shown = shown

    async def say(self, text: str) -> None:
        os.write(self._pipe, f"{text}\n".encode())

    def said(self) -> list[str]:
        return self._shown.getvalue().splitlines()

    async def link(self, bench: Bench, login: str) -> None:
        """Link the demo service's account *login*, to read and to write there."""
        told = await self.ask("!notes add first", "To connect", "http://127.0.0.1")
        url = re.findall(r"http://127\.0\.0\.1\S+", told)[-1]
        async with Browser() as browser:
            await bench.authorise(browser, url, login)
            await self.ask(f"!confirm {browser.code}", f"is written as {login}")


@dataclass(eq=False)
class Bot:
    """The bot on a network that its own journeys have no such class for."""

    supervisor: Supervisor
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        """Wait for less than the supervisor wants to."""
        self.pauses.append(seconds)
        await asyncio.sleep(PAUSE)


type AnyBot = Bot | irc_bots.Bot | matrix_bots.Bot


@dataclass(eq=False)
class Servers:
    """What is on the other side."""

    discord: DiscordServer
    irc: Irc
    old: Ngircd
    synapse: Synapse


@dataclass(eq=False)
class Everywhere:
    """All of it; each server but the console stands behind a proxy of its own."""

    bench: Bench
    servers: Servers
    bots: dict[str, AnyBot]
    voices: dict[str, Voice]
    proxies: dict[str, Proxy]
    account: Account
    _people: at_irc.People

    def others(self, network: str) -> list[Voice]:
        """Return the voices on every network but that one."""
        return [voice for name, voice in self.voices.items() if name != network]

    async def stop(self, network: str) -> None:
        """End a server, and return once the bot has noticed."""
        match network:
            case "discord":
                await self.servers.discord.stop()
            case "irc":
                await asyncio.to_thread(self.servers.irc.stop)
            case "old":
                await asyncio.to_thread(self.servers.old.stop)
            case _:
                await asyncio.to_thread(self.servers.synapse.stop)
        bot = self.bots[network]
        if network == "discord":  # discord.py itself tries again
            await until(lambda: not self.proxies["discord"].connected)
        else:
            pauses = len(bot.pauses)
            await until(lambda: len(bot.pauses) > pauses)

    async def start(self, network: str) -> None:
        """Start it again; whoever it knew by their connection alone comes again."""
        match network:
            case "discord":
                await self.servers.discord.start()
            case "irc":
                await asyncio.to_thread(self.servers.irc.start)
                await self._come("irc", self.servers.irc.port, self.account)
            case "old":
                await asyncio.to_thread(self.servers.old.start)
                await self._come("old", self.servers.old.port, "ada")
            case _:
                await asyncio.to_thread(self.servers.synapse.start)

    async def _come(self, network: str, port: int, who: Account | str) -> None:
        (person,) = await self._people.come(port, who)
        await person.join("#ops")
        self.voices[network] = OnIrc(network, person, "ada")

    async def is_back(self, network: str) -> None:
        """Return once the bot is where it was."""
        bot = self.bots[network]
        await until(lambda: bot.supervisor.state == "ready")
        if isinstance(bot, irc_bots.Bot):
            await bot.is_in("#ops")


@asynccontextmanager
async def everywhere(
    bench: Bench, servers: Servers, faults: Faults, discord_person: at_discord.Person, matrix: Sequence[MatrixPerson]
) -> AsyncIterator[Everywhere]:
    """Put *bench* on all of *servers* and a console, with Ada on each; of *matrix* the second only reads along."""
    ada, grace = matrix
    ports = {"discord": servers.discord.port, "irc": servers.irc.tls_port, "old": servers.old.port}
    proxies = {name: await faults.before(port) for name, port in {**ports, "matrix": servers.synapse.port}.items()}
    account = servers.irc.register("ada")
    async with AsyncExitStack() as stack:
        people = at_irc.People(stack)
        on_irc = irc_bots.over_tls(servers.irc, port=proxies["irc"].port)
        on_old = irc_bots.plain(proxies["old"].port)
        bots: dict[str, AnyBot] = {
            "discord": await _on_discord(bench, servers.discord, proxies["discord"], stack),
            "irc": await stack.enter_async_context(irc_bots.bot_on(bench, on_irc, "irc")),
            "old": await stack.enter_async_context(irc_bots.bot_on(bench, on_old, "old")),
        }
        homeserver = f"http://{HOST}:{proxies['matrix'].port}"
        login = servers.synapse.register("bot")
        at_matrix = matrix_bots.bot_on(bench, servers.synapse, login, network="matrix", homeserver=homeserver)
        bots["matrix"] = on_matrix = await stack.enter_async_context(at_matrix)
        alone = await matrix_bots.together(ada, on_matrix, direct=True)
        room = await matrix_bots.together(ada, on_matrix, grace)
        terminal, bots["console"] = await _on_console(bench, stack)
        voices: dict[str, Voice] = {
            "discord": OnDiscord(discord_person),
            "matrix": OnMatrix(ada, on_matrix, alone, room),
            "console": terminal,
        }
        found = Everywhere(bench, servers, bots, voices, proxies, account, people)
        await asyncio.gather(*(found.is_back(name) for name in bots))
        await found._come("irc", servers.irc.port, account)
        await found._come("old", servers.old.port, "ada")
        yield found


async def _on_discord(bench: Bench, server: DiscordServer, proxy: Proxy, stack: AsyncExitStack) -> Bot:
    server.gateway.url = f"ws://{HOST}:{proxy.port}/gateway"
    options: dict[str, Any] = {
        "token": Secret(server.token),
        "api": server.api.replace(f":{server.port}/", f":{proxy.port}/"),
        "gateway": server.gateway_url,
    }
    adapter = discord.Adapter(bench.core.tools("discord"), discord.Settings.model_validate(options))
    return await _run(bench, "discord", adapter, stack)


async def _on_console(bench: Bench, stack: AsyncExitStack) -> tuple[OnConsole, Bot]:
    reading, writing = os.pipe()
    typed, shown = stack.enter_context(os.fdopen(reading)), io.StringIO()
    settings = console.Settings(user="ada", history=False)
    adapter = console.Adapter(bench.core.tools("console"), settings, typed, shown)
    bot = await _run(bench, "console", adapter, stack)
    stack.callback(os.close, writing)  # or a thread would wait for ever to read
    return OnConsole(writing, shown), bot


async def _run(bench: Bench, network: str, adapter: Adapter, stack: AsyncExitStack) -> Bot:
    bot = Bot(bench.core.add_network(network, adapter))
    bot.supervisor._sleep = bot.sleep
    running = asyncio.create_task(bot.supervisor.run())

    async def stop() -> None:
        running.cancel()
        await asyncio.wait([running])

    stack.push_async_callback(stop)
    return bot


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as *condition* holds, for what happens in the bot's own time."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - it changes inside of the bot
            await asyncio.sleep(0.02)
