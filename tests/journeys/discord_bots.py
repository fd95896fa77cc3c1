"""A bot under its supervisor on the stand-in for Discord, and what the people there do again and again."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from adapters.discord import Adapter, Settings, client
from journeys.matrix_bots import DOT, no_pause
from omnibot import Context, Skill
from omnibot.demo.browser import Browser
from omnibot.identity import Identity
from omnibot.message import File, Message, Reply, Sent
from omnibot.provider import Secret
from omnibot.supervisor import Supervisor
from omnibot.testing.bench import Bench
from servers.discord import model
from servers.discord.acts import Act
from servers.discord.people import Person
from servers.discord.server import DiscordServer
from servers.discord.sight import Seen

NETWORK = "discord"

PAUSE = 0.05
"""Seconds that a supervisor of these journeys waits before it tries again, however often it has."""


@dataclass(eq=False)
class Bot:
    """The bot at Discord."""

    adapter: Adapter
    supervisor: Supervisor
    pauses: list[float] = field(default_factory=list)
    """Seconds that the supervisor would have waited before each further try."""

    heard: list[Message] = field(default_factory=list)
    """Whatever the adapter has handed over, in order."""

    running: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Run it; what it hands over is written down, and it soon tries again."""
        deliver = self.supervisor._deliver

        async def listening(messages: Sequence[Message], position: str | None = None) -> None:
            self.heard.extend(messages)
            await deliver(messages, position)

        self.supervisor._deliver, self.supervisor._sleep = listening, self._pause
        self.running = asyncio.create_task(self.supervisor.run())

    async def stop(self) -> None:
        """End it, as the process does."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])

    async def is_ready(self) -> None:
        """Return once it hears and speaks, or will never."""
        async with asyncio.timeout(15):
            while self.supervisor.state not in ("ready", "refused"):  # noqa: ASYNC110  # it changes inside of the bot
                await asyncio.sleep(0.01)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(PAUSE)


DRINKS = ("tea", "coffee", "cocoa", "water", "milk", "mate")
"""More than a message has buttons for."""

Flavour = Literal[
    "anise", "apple", "banana", "basil", "cherry", "cinnamon", "clove", "cocoa", "coconut", "date", "fig", "ginger",
    "grape", "lemon", "lime", "mango", "melon", "mint", "nutmeg", "orange", "peach", "pear", "plum", "quince",
    "raspberry", "rose", "vanilla",
]  # fmt: skip
"""More than Discord shows at once."""


class Telling:
    """A skill that says what it is told, shows things, asks things, and waits for the gate to open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        """Set when a command waits for the gate."""

        self.sent: list[Sent] = []
        """Whatever said how far it is."""

        self.wiped = 0
        """How often something was destroyed."""

        self.skill = Skill("tell")
        for handler in (self.picture, self.table, self.work, self.echo, self.later, self.long, self.drink, self.ice):
            self.skill.command(handler)
        self.skill.command(answer="private")(self.secret)
        self.skill.command(effect="destroy")(self.wipe)

    async def picture(self, ctx: Context) -> Reply:
        """Show something."""
        return Reply("see", file=File("dot.png", "image/png", DOT))

    async def table(self, ctx: Context) -> Reply:
        """Show a file that is no picture."""
        return Reply("read", file=File("table.csv", "text/csv", b"a,b\n1,2\n"))

    async def work(self, ctx: Context) -> None:
        """Say how far it is."""
        sent = await ctx.say("half done")
        assert sent is not None
        self.sent.append(sent)

    async def echo(self, ctx: Context, text: str) -> str:
        """Say it again."""
        return f"you said {text}"

    async def later(self, ctx: Context) -> str:
        """Answer in a while."""
        self.begun.set()
        await self.gate.wait()
        return "at last"

    async def secret(self, ctx: Context) -> str:
        """Tell something secret in a while."""
        return f"secret {await self.later(ctx)}"

    async def long(self, ctx: Context, words: int) -> str:
        """Say a lot."""
        return " ".join(f"word{number}" for number in range(words))

    async def drink(self, ctx: Context) -> str:
        """Ask what to drink."""
        return f"Here is your {await ctx.choose('Which drink?', DRINKS)}."

    async def ice(self, ctx: Context, flavour: Flavour) -> str:
        """Order ice."""
        return f"One {flavour} ice."

    async def wipe(self, ctx: Context) -> str:
        """Wipe the blackboard."""
        self.wiped += 1
        return "It is clean."


@asynccontextmanager
async def starting(bench: Bench, server: DiscordServer, network: str = NETWORK, **options: Any) -> AsyncIterator[Bot]:
    """Put *bench* on *server*; it may not be ready yet, and it ends with the block."""
    where = {"token": Secret(server.token), "api": server.api, "gateway": server.gateway_url}
    adapter = Adapter(bench.core.tools(network), Settings.model_validate(where | options))
    bot = Bot(adapter, bench.core.add_network(network, adapter))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_READY_AFTER", 0.02)  # the stand-in tells of its servers at once
        bench.core.delivery._sleep = asyncio.sleep
        bot.begin()
        try:
            yield bot
        finally:
            bench.core.delivery._sleep = no_pause
            await bot.stop()


@asynccontextmanager
async def bot_on(bench: Bench, server: DiscordServer, network: str = NETWORK, **options: Any) -> AsyncIterator[Bot]:
    """Put *bench* on *server*; with the block it is ready and offers its commands, and it ends with the block."""
    async with starting(bench, server, network, **options) as bot:
        await bot.is_ready()
        await server.until(lambda: [one for one in server.asked("PUT /applications/*/commands") if one.status])
        yield bot


async def answered(person: Person) -> Seen:
    """Return the answer of the bot to a command that *person* says now."""
    said = person.say("!ping")
    return await person.until(lambda one: "pong" in one.text and one.reply_to == said.id)


async def code_for(bench: Bench, shown: Seen, login: str = "ada") -> str:
    """Walk from the link button of what is *shown* to the page with the code, as *login*; return the code."""
    async with Browser() as browser:
        await bench.authorise(browser, shown.links[0], login)
        return str(browser.code)


async def typed(clicked: Act, value: str) -> Act:
    """Type *value* into the form that the button which was *clicked* opens, and send it."""
    await clicked.modal()
    return clicked.submit(value)


async def link(bench: Bench, person: Person, command: str = "!link demo", login: str = "ada") -> None:
    """Let *person* link the demo service's account *login* for *command*, in their direct messages."""
    person.tell(command)
    code = await code_for(bench, await person.hear(lambda one: bool(one.links), person.dm), login)
    person.tell(f"!confirm {code}")
    await person.hear("Linked Demo", person.dm)


def identity(person: Person) -> Identity:
    """Return who *person* is to the bot."""
    return Identity(NETWORK, person.id)


async def works(bench: Bench, person: Person) -> None:
    """Return once the bot has answered *person* in private, and so has dealt with all that it heard before."""
    before = len(person.sees(person.dm))
    person.tell("!ping")
    await person.server.until(lambda: [one for one in person.sees(person.dm)[before:] if "pong" in one.text])
    await bench.settle()


def said_by_bot(server: DiscordServer) -> list[model.Message]:
    """Return every message of the bot's that there is or was, in order."""
    every = [one for channel in server.world.channels.values() for one in channel.messages.values()]
    return sorted((one for one in every if one.author is server.bot), key=lambda one: int(one.id))
