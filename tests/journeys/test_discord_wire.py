"""What goes wrong between the bot and Discord: it comes back by itself, and hears and says everything once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import discord
import pytest

from journeys.discord_bots import Bot, Telling, answered, bot_on, starting
from omnibot.errors import NotDelivered
from omnibot.message import Channel, Reply
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.wire import Intent, Op
from servers.discord.world import Event

SEND = "POST /channels/*/messages"


class Hasty(ModuleType):
    """asyncio, where nobody sleeps for long."""

    def __init__(self) -> None:
        super().__init__("asyncio")
        self.slept: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.02))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Hasty:
    """What discord.py's HTTP clients wait with."""
    found = Hasty()
    monkeypatch.setattr("discord.http.asyncio", found)
    monkeypatch.setattr("discord.webhook.async_.asyncio", found)
    return found


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let discord.py connect again at once."""

    async def before_identify_hook(self: object, shard_id: int | None, *, initial: bool = False) -> None:
        pass

    monkeypatch.setattr(discord.Client, "before_identify_hook", before_identify_hook)
    monkeypatch.setattr("discord.backoff.ExponentialBackoff.delay", lambda _: 0.02)


@pytest.fixture(autouse=True)
def no_token_in_logs(discord_server: DiscordServer, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test of these does, and whoever logs at whichever level the operator may choose."""
    caplog.set_level(logging.DEBUG)
    server = discord_server
    yield
    records = [one for when in ("setup", "call", "teardown") for one in caplog.get_records(when)]
    secrets = [server.token, *server.gateway.sessions, *(one.token for one in server.interactions.all)]
    found = [text(record) for record in records if any(one in text(record) for one in secrets)]

    assert logging.getLogger().isEnabledFor(logging.DEBUG)
    assert "INFO" in {record.levelname for record in records}
    assert [] == found


def text(record: logging.LogRecord) -> str:
    """Return all that a handler would write of *record*."""
    return logging.Formatter().format(record)


@pytest.fixture
def telling() -> Telling:
    return Telling()


@pytest.fixture
async def bench(tmp_path: Path, telling: Telling) -> AsyncIterator[Bench]:
    """A bot that is not at Discord yet."""
    async with Bench.open(Plan(tmp_path, (*SKILLS, telling.skill))) as bench:
        yield bench


@pytest.fixture
def ada(discord_people: DiscordPeople) -> Person:
    return discord_people.come("ada")[0]


@pytest.fixture
async def bot(bench: Bench, discord_server: DiscordServer) -> AsyncIterator[Bot]:
    async with bot_on(bench, discord_server) as bot:
        yield bot


def echoes(person: Person) -> list[str]:
    """Return what the bot has said again, in order."""
    return [one.text.removeprefix("you said ") for one in person.sees() if one.text.startswith("you said")]


async def all_echoed(server: DiscordServer, person: Person, *words: str) -> None:
    """Return once the bot has said all *words* again; each once."""
    await server.until(lambda: set(words) <= set(echoes(person)), f"{words} were not said again")
    await answered(person)

    assert sorted(words) == sorted(echoes(person))


# ------------------------------------------------------------------- the connection


@pytest.mark.parametrize("how", ["cut", "reconnect", "resumable", "closed"])
async def test_resumed_without_loss_or_doubles(bot: Bot, discord_server: DiscordServer, ada: Person, how: str) -> None:
    """Commands that are said while the connection is away are run once; the supervisor hears nothing of it."""
    gateway = discord_server.gateway
    ada.say("!tell echo before")
    match how:
        case "cut":
            gateway.cut()
        case "reconnect":
            gateway.reconnect()
        case "resumable":
            gateway.invalidate(resumable=True)
        case "closed":
            await gateway.close(4000)
    ada.say("!tell echo meanwhile")
    slash = ada.slash("tell echo", text="by slash")
    await gateway.until_resumed()
    ada.say("!tell echo after")
    await slash.answer("you said by slash")
    await all_echoed(discord_server, ada, "before", "meanwhile", "by slash", "after")

    assert [] == bot.pauses
    assert 1 == len(gateway.received(Op.IDENTIFY))


async def test_a_session_that_cannot_be_resumed(bot: Bot, discord_server: DiscordServer, ada: Person) -> None:
    """Another begins; what was said before and after is answered once."""
    gateway = discord_server.gateway
    ada.say("!tell echo before")
    await ada.until("you said before")
    gateway.invalidate(resumable=False)
    await gateway.until_ready(2)
    ada.say("!tell echo after")
    await all_echoed(discord_server, ada, "before", "after")

    assert [] == bot.pauses


async def test_a_resume_that_is_refused(bot: Bot, discord_server: DiscordServer, ada: Person) -> None:
    """Cut, and forgotten meanwhile."""
    discord_server.gateway.forget()
    discord_server.gateway.cut()
    await discord_server.gateway.until_ready(2)
    await answered(ada)

    assert [] == bot.pauses


async def test_a_server_that_goes_silent(bot: Bot, discord_server: DiscordServer, ada: Person) -> None:
    """A connection on which nothing is answered is left, and resumed by another."""
    here = bot.adapter._here
    assert here is not None
    beating = here.client.ws._keep_alive
    assert beating is not None
    discord_server.gateway.silence()
    beating.heartbeat_timeout, beating.interval = 0.1, 0.05
    beating._stop_ev.set()  # it would sleep through the test
    second = type(beating)(ws=here.client.ws, interval=0.05)
    second.heartbeat_timeout = 0.1
    here.client.ws._keep_alive = second
    second.start()
    ada.say("!tell echo unheard")
    await discord_server.until(lambda: discord_server.gateway.accepted == 2)
    discord_server.gateway.silence(False)
    await all_echoed(discord_server, ada, "unheard")

    assert 1 == len(discord_server.gateway.received(Op.RESUME))
    assert [] == bot.pauses


async def test_a_parser_that_fails(bot: Bot, discord_server: DiscordServer, ada: Person) -> None:
    """A message that discord.py cannot read is dropped; a session that it cannot read ends it, and another goes on."""
    first = bot.adapter._here
    discord_server.gateway.poison()
    await answered(ada)
    assert 0 == len(bot.pauses)
    discord_server.gateway.emit(Event("READY", {}))
    await discord_server.gateway.until_ready(3)  # that one was the second
    await bot.is_ready()
    await answered(ada)

    assert 1 == len(bot.pauses)
    assert first is not None
    assert bot.adapter._here is not None
    assert bot.adapter._here.client is not first.client


async def test_a_restart_of_discord(bot: Bot, discord_server: DiscordServer, ada: Person) -> None:
    """It is away for a while, and has forgotten everybody's session when it is back."""
    await discord_server.stop()
    discord_server.gateway.forget()
    await asyncio.sleep(0.1)
    await discord_server.start()
    await discord_server.gateway.until_ready(2)
    await answered(ada)


async def test_the_first_login_fails(bench: Bench, discord_server: DiscordServer, ada: Person, hasty: Hasty) -> None:
    """Nobody there; then a server in trouble, then a gateway that lets nobody in: it goes on until it is."""
    gateway = discord_server.gateway
    await discord_server.stop()
    async with starting(bench, discord_server) as bot:

        async def fails_twice() -> None:
            seen = len(bot.pauses)
            await discord_server.until(lambda: len(bot.pauses) >= seen + 2, "it did not try again")

        await fails_twice()
        trouble = discord_server.faults.fail("GET /users/@me", 503, times=99)
        await discord_server.start()
        await fails_twice()
        gateway.failing = 502
        discord_server.faults.clear()
        await fails_twice()
        gateway.failing, gateway.refusing = 0, True
        await fails_twice()
        gateway.refusing = False
        await gateway.until_ready()
        await answered(ada)

        assert trouble.hits
        assert "ready" == bot.supervisor.state
        assert 1 == gateway.count("READY")


# ---------------------------------------------------------------------- for good


@pytest.mark.parametrize("how", ["401", "4004", "4014", "4013"])
async def test_refused_for_good(
    bench: Bench, discord_server: DiscordServer, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """It is said once, with the cure, and not tried again."""
    options: dict[str, Any] = {"content": "on"}
    match how:
        case "401":
            discord_server.faults.refuse("GET /users/@me", 401, 40001)
        case "4004":
            discord_server.gateway.token = "another"
        case "4014":
            discord_server.gateway.privileged = Intent(0)
        case _:
            discord_server.gateway.privileged = Intent.MESSAGE_CONTENT
    async with starting(bench, discord_server, **options) as bot:
        if how == "4013":
            await bot.is_ready()
            await discord_server.gateway.close(4013)
        assert bot.running is not None
        await asyncio.wait_for(asyncio.shield(bot.running), 15)
        seen = len(discord_server.requests), discord_server.gateway.accepted
        await asyncio.sleep(0.1)

        assert "refused" == bot.supervisor.state
        assert [] == bot.pauses
        assert seen == (len(discord_server.requests), discord_server.gateway.accepted)
    told = [one.getMessage() for one in caplog.records if "turned the bot away" in one.getMessage()]
    cure = {"401": "Reset Token", "4004": "Reset Token", "4014": "content: off", "4013": "up to date"}[how]

    assert 1 == len(told)
    assert cure in told[0]


# ---------------------------------------------------------------------- saying


@pytest.mark.parametrize("slash", [True, False])
async def test_asked_to_wait(bot: Bot, discord_server: DiscordServer, ada: Person, hasty: Hasty, slash: bool) -> None:
    """A limit of Discord's own is waited for, and the answer comes once; no log tells an interaction's token."""
    route = "POST /interactions/*/callback" if slash else SEND
    discord_server.faults.rate_limit(route, 0.7)
    if slash:
        ada.slash("tell echo", text="slowly")
    else:
        ada.say("!tell echo slowly")
    await all_echoed(discord_server, ada, "slowly")

    assert 0.7 in hasty.slept
    assert 429 == discord_server.asked(route)[0].status


async def test_shut_out(bot: Bot, discord_server: DiscordServer, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before Discord says so once, and is asked nothing more for a while; then it works again."""
    monkeypatch.setattr("adapters.discord.answers.PAUSE", 3.0)
    discord_server.faults.cloudflare(SEND)
    where = Channel("discord", discord_server.general.id)
    for number in range(5):
        with pytest.raises(NotDelivered) as raised:
            await bot.adapter.send(where, Reply("hello"), f"key-{number}")

        assert not raised.value.retryable

    assert 1 == len(discord_server.asked(SEND))

    async def sent() -> bool:
        try:
            await bot.adapter.send(where, Reply("hello again"), "key-0")
        except NotDelivered:
            return False
        return True

    async with asyncio.timeout(15):
        while not await sent():  # noqa: ASYNC110  # only a try tells
            await asyncio.sleep(0.05)
    await ada.hear("hello again")

    assert [429, 200] == [one.status for one in discord_server.asked(SEND)]


@pytest.mark.parametrize("done", [True, False])
async def test_errors_of_the_servers(
    bot: Bot, discord_server: DiscordServer, ada: Person, hasty: Hasty, done: bool
) -> None:
    """An answer that fails is sent again, and is seen once, also where it had gone out."""
    discord_server.faults.fail(SEND, 500, times=2, done=done)
    ada.say("!tell echo through")
    await all_echoed(discord_server, ada, "through")

    assert len(hasty.slept) >= 2


@pytest.mark.parametrize("done", [True, False])
async def test_a_connection_that_is_cut_while_it_answers(
    bot: Bot, discord_server: DiscordServer, ada: Person, hasty: Hasty, done: bool
) -> None:
    """The same without an answer; delivery tries again, with the same nonce."""
    discord_server.faults.cut(SEND, times=1, done=done)
    ada.say("!tell echo through")
    await all_echoed(discord_server, ada, "through")


async def test_a_burst(bot: Bot, discord_server: DiscordServer, ada: Person, telling: Telling) -> None:
    """A thousand messages at once, some of them commands, while others run: all are heard, in order."""
    ada.say("!tell later")
    await telling.begun.wait()
    said = [f"!tell echo {number}." if number % 100 == 0 else f"chatter {number}" for number in range(1000)]
    for line in said:
        ada.say(line)
    telling.gate.set()
    await ada.hear("at last")
    await all_echoed(discord_server, ada, *(f"{number}." for number in range(0, 1000, 100)))

    assert said == [message.text for message in bot.heard[1:1001]]
