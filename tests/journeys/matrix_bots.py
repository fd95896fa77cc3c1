"""Bots on a real Matrix homeserver, and what the people there do again and again."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

from adapters.matrix import Adapter, Settings
from crash.child import Order, Points, orders, tell
from omnibot import Context, Skill
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.intake import Intake
from omnibot.message import File, Message, Reply, Sent
from omnibot.provider import Secret
from omnibot.supervisor import Supervisor
from omnibot.testing.bench import Bench, Plan
from servers.synapse.person import LIMIT, Heard, MatrixPerson
from servers.synapse.server import Account, Json, Synapse

DOT = b"\x89PNG\r\n\x1a\n, or so it says"
PAUSE = 0.05
"""Seconds that a supervisor of these journeys waits before it tries again, however often it has."""


@dataclass(eq=False)
class Bot:
    """The bot at one homeserver."""

    mxid: str
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

    def deafen(self) -> None:
        """Let it hear nothing more, while it may speak on."""
        here = self.adapter._here
        assert here is not None
        here.client.receive_response = self._never  # type: ignore[method-assign,assignment]

    async def _never(self, _: object) -> None:
        await asyncio.Event().wait()

    async def is_ready(self) -> None:
        """Return once it hears and speaks, or will never."""
        await soon(lambda: self.supervisor.state in ("ready", "refused"))


class Telling:
    """A skill that says what it is told, a picture, a sign, or something secret when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        """Set when a command waits for the gate."""

        self.sent: list[Sent] = []
        """Whatever said how far it is."""

        self.skill = Skill("tell")
        self.skill.command(self.picture)
        self.skill.command(self.sign)
        self.skill.command(self.work)
        self.skill.command(self.many)
        self.skill.command(self.echo)
        self.skill.command(self.later)
        self.skill.command(answer="private")(self.secret)

    async def has_sent(self) -> bool:
        """Whether anything is on its way that may be edited."""
        return bool(self.sent)

    async def picture(self, ctx: Context) -> Reply:
        """Show something."""
        return Reply("see", file=File("dot.png", "image/png", DOT))

    async def sign(self, ctx: Context) -> str:
        """Answer with one sign."""
        return "👍"

    async def work(self, ctx: Context) -> None:
        """Say how far it is."""
        sent = await ctx.say("half done")
        assert sent is not None
        self.sent.append(sent)

    async def many(self, ctx: Context, count: int) -> None:
        """Say a lot at once."""
        await asyncio.gather(*(ctx.say(f"line {number}.") for number in range(1, count + 1)))

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


@asynccontextmanager
async def bot_on(
    bench: Bench, synapse: Synapse, account: Account, network: str = "net", **options: Any
) -> AsyncIterator[Bot]:
    """Put *bench* on *synapse* as *account*; with the block it is ready, and it ends with the block."""
    login = {"homeserver": synapse.url, "user": account.mxid, "password": Secret(account.password)}
    adapter = Adapter(bench.core.tools(network), Settings.model_validate(login | options))
    bot = Bot(account.mxid, adapter, bench.core.add_network(network, adapter))
    bot.supervisor._sleep = bot.sleep
    bench.core.delivery._sleep = asyncio.sleep
    bot.running = asyncio.create_task(bot.supervisor.run())
    try:
        await bot.is_ready()
        yield bot
    finally:
        bench.core.delivery._sleep = no_pause
        await bot.stop()


async def no_pause(_: float) -> None:
    """Try again at once to tell what a network that has gone does not take: there is nothing to wait for."""


async def together(
    host: MatrixPerson, bot: Bot, *others: MatrixPerson, encrypted: bool = True, direct: bool = False
) -> str:
    """Return the room that *host* has made for the bot and *others*, who are all in it and known to be."""
    everybody = [bot.mxid, *(one.mxid for one in others)]
    room = await host.create_room(everybody, encrypted=encrypted, direct=direct)
    await asyncio.gather(*(one.join(room) for one in others))
    for one in (host, *others):
        await one.until_in(room, bot.mxid)
    return room


async def works(person: MatrixPerson, room: str) -> Heard:
    """Return the answer of the bot to a command that *person* says in *room* now."""
    said = await person.say(room, "!ping")
    return await person.until(lambda one: one.room == room and "pong" in one.body and answers(one) in ("", said))


async def asked_link(person: MatrixPerson, bot: Bot) -> tuple[str, str]:
    """Return the address of the next link that *person* is sent, and the room; they go where the bot invites them."""
    for room, inviter in person.invited.items():
        if inviter == bot.mxid:
            await person.join(room)
    event = await person.hear("To connect", of=bot.mxid)
    return url_in(event), event.room


async def link(bench: Bench, bot: Bot, person: MatrixPerson, room: str, command: str = "!link demo") -> str:
    """Let *person* say *command* in *room*, and link the demo service's account that is called as they are.

    They have a room alone with the bot, or are invited to one; it is returned.
    """
    url, alone = await first_link(bot, person, room, command)
    async with Browser() as browser:
        await bench.authorise(browser, url, person.account.localpart)
        await person.say(alone, f"!confirm {browser.code}")
    await person.hear("Linked Demo notes as", of=bot.mxid, room=alone)
    return alone


async def first_link(bot: Bot, person: MatrixPerson, room: str, command: str) -> tuple[str, str]:
    """Let *person* say *command* in *room*; return the address that they are sent, and where: see `asked_link`."""
    await person.say(room, command)
    joining = asyncio.create_task(_accept(bot, person))
    try:
        event = await person.hear("To connect", of=bot.mxid)
    finally:
        joining.cancel()
        await asyncio.wait([joining])
    return url_in(event), event.room


async def _accept(bot: Bot, person: MatrixPerson) -> None:
    await person.join(await person.until_invited(bot.mxid))


def url_in(event: Heard) -> str:
    """Return the address that *event* links to."""
    _, found, rest = event.formatted_body.partition('href="http://127.0.0.1')

    assert found, f"there is no link: {event}"
    return unescape(found.removeprefix('href="') + rest.partition('"')[0])


def answers(event: Heard) -> str:
    """Return which event this one replies to, or nothing."""
    return str(event.relates_to.get("m.in_reply_to", {}).get("event_id", ""))


def said_by(bot: Bot, person: MatrixPerson, room: str = "") -> list[Heard]:
    """Return the messages of the bot that *person* has read so far, in *room* if that is given."""
    return [
        one for one in person.heard if (one.sender, one.type) == (bot.mxid, "m.room.message") and room in ("", one.room)
    ]


def bodies(bot: Bot, person: MatrixPerson, room: str = "") -> list[str]:
    """Return what the messages of `said_by` say."""
    return [one.body for one in said_by(bot, person, room)]


def in_the_clear(events: Sequence[Json]) -> list[Json]:
    """Return which raw *events* of a room show words that should have been encrypted, for the room was by then."""
    encrypted = False
    shown = []
    for event in events:
        encrypted = encrypted or event["type"] == "m.room.encryption"
        if encrypted and "state_key" not in event and _shows_words(event):
            shown.append(event)
    return shown


def _shows_words(event: Json) -> bool:
    if event["type"] not in ("m.room.encrypted", "m.room.redaction"):
        return True
    return bool({"body", "formatted_body", "key", "url", "m.new_content"} & set(_keys(event["content"])))


def _keys(value: object) -> Iterator[str]:
    for name, part in value.items() if isinstance(value, dict) else ():
        yield name
        yield from _keys(part)
    for part in value if isinstance(value, list) else ():
        yield from _keys(part)


async def soon(condition: Callable[[], bool], within: float = LIMIT) -> None:
    """Return as soon as *condition* holds, for what happens in the bot's own time."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - it changes inside of the bot
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------ a bot in a process of its own


async def child(order: Order, points: Points) -> None:
    """Run a bot on the directory of *order* that is killed when it hears the first command: see `crash.child`.

    That is ``before`` what it heard is kept with the position, or ``after`` that and before anything of it starts.
    """
    accept, moment = Intake.accept, order["moment"]

    async def killed(self: Intake, network: str, messages: Sequence[Message], position: str) -> list[str | None]:
        if messages and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        rows = await accept(self, network, messages, position)
        if messages:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    Intake.accept = killed  # type: ignore[method-assign]
    demo = ProviderSettings("omnibot", Secret("demo-secret"), order["origin"])
    login = {"homeserver": order["homeserver"], "user": order["user"], "password": Secret(order["password"])}
    async with Bench.open(Plan(Path(order["directory"]), settings=(("demo", demo),))) as bench:
        adapter = Adapter(bench.core.tools("net"), Settings.model_validate(login))
        supervisor = bench.core.add_network("net", adapter)
        running = asyncio.create_task(supervisor.run())
        await soon(lambda: supervisor.state == "ready")
        tell({"done": None})
        async for _ in orders():  # it has no more to do than to wait for its end
            await asyncio.wait([running])
