"""The connection to Discord: what begins it, what ends it, and what is heard over it."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from discord.gateway import DiscordWebSocket, KeepAliveHandler

from adapters.discord import Adapter, Settings, adapter
from omnibot.adapter import Tools
from omnibot.errors import NotDelivered, Refused
from omnibot.identity import Identity
from omnibot.message import Channel, Message, Reply
from omnibot.provider import Secret
from omnibot.skill import Context, Skill
from omnibot.testing.fakes import FakeStore
from servers.discord.people import Person
from servers.discord.server import DiscordServer
from servers.discord.wire import Intent, Op, Permission
from servers.discord.world import Event

NET = "guildhall"


class Core:
    """What an adapter is run by: it writes down what it is given."""

    def __init__(self, server: DiscordServer, folder: Path, **options: Any) -> None:
        self.server = server
        self.store = FakeStore()
        self.heard: list[Message] = []
        self.realms: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        settings = {"token": Secret(server.token), "api": server.api, "gateway": server.gateway_url} | options
        log = logging.getLogger("omnibot.tests.discord")
        self.skills: list[Skill] = []
        self.changed = asyncio.Event()
        tools = Tools(
            *(NET, "!", self.store, FakeStore(), folder / "own", log),
            commands=lambda: [command for skill in self.skills for command in skill.commands],
            changed=lambda: self.changed,
        )
        self.adapter = Adapter(tools, Settings.model_validate(settings))

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        """Take *messages* when the gate is open."""
        assert self.realms, "nothing is delivered before it was said which network this is"
        await self.gate.wait()
        self.heard += messages

    async def ready(self, realm: str) -> None:
        """Note it."""
        self.realms.append(realm)

    async def run(self) -> None:
        """Run the adapter once, to its end."""
        await self.adapter.run(self.deliver, self.ready)

    async def until(self, so: Callable[[], object]) -> None:
        """Return once *so* is true."""
        async with asyncio.timeout(15):
            while not so():  # noqa: ASYNC110  # it is about anything
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run it, ready, until the end of the block."""
        task = asyncio.create_task(self.run())
        times = len(self.realms)
        try:
            await self.until(lambda: task.done() or len(self.realms) > times)
            if task.done():
                task.result()
            yield task
        finally:
            task.cancel()
            with suppress(BaseException):
                await task


def asked_to_read(server: DiscordServer) -> list[bool]:
    """Return, for each session that was asked for, whether it was to have the message content intent."""
    asked: list[Any] = [frame.data for frame in server.gateway.received(Op.IDENTIFY)]
    return [bool(data["intents"] & Intent.MESSAGE_CONTENT) for data in asked]


async def heartbeats() -> list[threading.Thread]:
    """Return the threads that go on beating."""
    beating = [thread for thread in threading.enumerate() if isinstance(thread, KeepAliveHandler)]
    for thread in beating:
        await asyncio.to_thread(thread.join, 1)
    return [thread for thread in beating if thread.is_alive()]


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
def ada(server: DiscordServer) -> Person:
    user = server.world.make_user("ada")
    server.world.join(user)
    return Person(server, user)


@pytest.fixture
def core(server: DiscordServer, tmp_path: Path) -> Core:
    return Core(server, tmp_path)


async def test_from_login_to_goodbye(core: Core, server: DiscordServer, ada: Person) -> None:
    """It hears, answers, and says goodbye when it is stopped."""
    async with core.running():
        assert ["discord"] == core.realms
        ada.say("!ping")
        await core.until(lambda: core.heard)
        heard = core.heard[0]

        assert (Identity(NET, ada.id), "!ping", "#general") == (heard.speaker, heard.text, heard.channel.name)

        sent = await core.adapter.send(heard.channel, Reply("pong", answers=heard), "key")
        again = await core.adapter.send(heard.channel, Reply("pong", answers=heard), "key")

        assert sent == again
        assert 1 == len(server.asked("POST /channels/*/messages"))

        await core.adapter.edit(sent, Reply("pong!"))

        assert "pong!" == server.general.messages[sent.id].content
    assert not server.gateway.connected
    with pytest.raises(NotDelivered):
        await core.adapter.send(heard.channel, Reply("late"), "other")


async def test_stopping_does_not_wait_for_discord(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long Discord takes to say goodbye."""
    leaving = DiscordWebSocket.close

    async def close(self: DiscordWebSocket, code: int = 4000) -> None:
        await asyncio.sleep(60)
        await leaving(self, code)

    monkeypatch.setattr(DiscordWebSocket, "close", close)
    async with core.running() as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
    assert [] == await heartbeats()


async def test_stopped_while_it_connects_anew(core: Core, server: DiscordServer) -> None:
    """A connection that is being made has a thread already, which would beat for ever."""
    async with core.running():
        server.gateway.invalidate(resumable=False)
        await core.until(lambda: server.gateway.accepted == 2 and len(server.gateway.received(Op.HEARTBEAT)) == 2)
    assert [] == await heartbeats()


@pytest.mark.parametrize(
    ("content", "granted", "asked", "text"),
    [("auto", True, True, "!ping"), ("auto", False, False, None), ("off", True, False, None)],
)
async def test_what_is_read(
    server: DiscordServer, tmp_path: Path, ada: Person, content: str, granted: bool, asked: bool, text: str | None
) -> None:
    """The message content intent, where it is wanted and there; mentions and direct messages anyway."""
    server.gateway.privileged = Intent.MESSAGE_CONTENT if granted else Intent(0)
    core = Core(server, tmp_path, content=content)
    async with core.running():
        assert [asked] == asked_to_read(server)

        ada.say("!ping")
        ada.say(f"<@{server.bot.id}> help")
        ada.say("notes", ada.dm)
        await core.until(lambda: len(core.heard) >= 2 + (text is not None))
        texts = [message.text for message in core.heard]

        assert ([text] if text else []) + ["help", "notes"] == texts
        assert core.heard[-1].channel.private


async def test_the_intent_is_refused_after_all(server: DiscordServer, tmp_path: Path, ada: Person) -> None:
    """By itself the bot goes on without; where the operator wants it, that is the end."""
    server.gateway.application_flags = lambda: 1 << 18  # type: ignore[method-assign]  # it says so, and does not mean it
    server.gateway.privileged = Intent(0)
    core = Core(server, tmp_path)
    async with core.running():
        ada.say("hello", ada.dm)
        await core.until(lambda: core.heard)

        assert [True, False] == asked_to_read(server)

    with pytest.raises(Refused, match="message content intent") as refused:
        await Core(server, tmp_path, content="on").run()

    assert "`content: off`" in refused.value.cure


async def test_a_wrong_token_is_final(server: DiscordServer, tmp_path: Path) -> None:
    """Said once, with the cure, and without the token."""
    with pytest.raises(Refused, match="does not take the bot's token") as refused:
        await Core(server, tmp_path, token=Secret("wrong.wrong.wrong")).run()

    assert "Reset Token" in refused.value.cure
    assert "wrong" not in f"{refused.value}{refused.value.cure}"


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013])
async def test_what_the_gateway_ends_for_good(core: Core, server: DiscordServer, code: int) -> None:
    """Nobody comes back from those."""
    async with core.running() as task:
        await server.gateway.close(code)
        with pytest.raises(Refused):
            await task


async def test_the_first_login_fails(core: Core, server: DiscordServer) -> None:
    """That is tried again, by whoever runs the adapter."""
    await server.stop()
    with pytest.raises(OSError, match="onnect"):
        await core.run()
    await server.start()
    server.gateway.failing = 502
    with pytest.raises(Exception) as raised:  # discord.py stumbles over it
        await core.run()

    assert not isinstance(raised.value, Refused)

    server.gateway.failing = 0
    async with core.running():
        assert ["discord"] == core.realms


async def test_shut_out_by_cloudflare(core: Core, server: DiscordServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays away for a while before anybody tries again."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    server.faults.cloudflare("GET /users/@me")
    monkeypatch.setattr(adapter, "_pause", sleep)
    with pytest.raises(Exception, match="429"):
        await core.run()

    assert 1 == len(slept)
    assert slept[0] >= 30


@pytest.mark.parametrize("how", ["cut", "reconnect", "resumable"])
async def test_a_lost_connection_loses_nothing(core: Core, server: DiscordServer, ada: Person, how: str) -> None:
    """Discord.py resumes; what was said meanwhile is told, in order, each once."""
    async with core.running():
        ada.say("1")
        await core.until(lambda: len(core.heard) == 1)
        match how:
            case "cut":
                server.gateway.cut()
            case "reconnect":
                server.gateway.reconnect()
            case _:
                server.gateway.invalidate(resumable=True)
        ada.say("2")
        await server.gateway.until_resumed()
        ada.say("3")
        await core.until(lambda: len(core.heard) == 3)

        assert ["1", "2", "3"] == [message.text for message in core.heard]


async def test_a_session_that_is_gone(core: Core, server: DiscordServer, ada: Person) -> None:
    """Another is begun, and it is said again that the network is there."""
    async with core.running():
        server.gateway.invalidate(resumable=False)
        await server.gateway.until_ready(2)
        ada.say("here")
        await core.until(lambda: core.heard)
        await core.until(lambda: len(core.realms) == 2)


async def test_what_cannot_be_parsed_is_passed_over(
    core: Core, server: DiscordServer, ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    """It ends nothing, and what comes after it is heard."""
    async with core.running():
        server.gateway.poison()
        ada.say("still here")
        await core.until(lambda: core.heard)

    assert ["still here"] == [message.text for message in core.heard]
    assert 1 == server.gateway.accepted
    assert "cannot be read" in caplog.text


async def test_a_session_that_cannot_be_parsed_ends_one_run(core: Core, server: DiscordServer, ada: Person) -> None:
    """The next has a fresh client, and hears."""
    async with core.running() as task:
        server.gateway.emit(Event("READY", {}))
        with pytest.raises(KeyError):
            await task
    async with core.running():
        ada.say("still here")
        await core.until(lambda: core.heard)


async def test_a_thousand_messages_in_order(core: Core, server: DiscordServer, ada: Person) -> None:
    """None lost, none overtaken."""
    async with core.running():
        for number in range(1000):
            ada.say(f"{number}")
        await core.until(lambda: len(core.heard) >= 1000)

        assert [f"{number}" for number in range(1000)] == [message.text for message in core.heard]


async def test_more_than_is_taken_waits_at_discord(
    core: Core, server: DiscordServer, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway is not read on while too much waits here."""
    monkeypatch.setattr(adapter, "_MOST_WAITING", 10)
    async with core.running():
        core.gate.clear()
        for number in range(200):
            ada.say(f"{number}")
        await core.until(lambda: len(core.adapter._heard) >= 10)
        await asyncio.sleep(0.2)

        assert len(core.adapter._heard) <= 11

        core.gate.set()
        await core.until(lambda: len(core.heard) >= 200)

        assert [f"{number}" for number in range(200)] == [message.text for message in core.heard]


async def test_what_was_heard_outlives_its_connection(core: Core, server: DiscordServer, ada: Person) -> None:
    """What was not taken is handed over by the next run."""
    async with core.running() as task:
        core.gate.clear()
        ada.say("kept")
        await core.until(lambda: len(core.adapter._heard))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    core.gate.set()
    async with core.running():
        await core.until(lambda: core.heard)

        assert ["kept"] == [message.text for message in core.heard]


async def test_who_is_there(core: Core, server: DiscordServer, ada: Person, tmp_path: Path) -> None:
    """Asked anew each time: members who can see the channel, members of a private thread, whoever a place is for."""
    world, adapter = server.world, core.adapter
    bob = world.make_user("bob")
    world.join(bob)
    thread = world.make_thread(server.general, "hush", ada.user, server.bot, private=True)
    public = world.make_thread(server.general, "loud", ada.user)
    group = world.make_group(ada.user, bob)

    async def there(user: str, channel: str) -> bool:
        return await adapter.present(Identity(NET, user), Channel(NET, channel))

    assert not await there(ada.id, server.general.id)  # nobody can tell, as yet
    async with core.running():
        assert await there(ada.id, server.general.id)
        assert not await adapter.present(Identity("elsewhere", ada.id), Channel(NET, server.general.id))
        assert (True, False) == (await there(ada.id, thread.id), await there(bob.id, thread.id))
        assert await there(bob.id, public.id)
        assert (True, False) == (await there(ada.id, ada.dm.id), await there(bob.id, ada.dm.id))
        assert await there(ada.id, f"{server.general.id}:{ada.id}")
        assert not await there(bob.id, f"{server.general.id}:{ada.id}")
        assert not await there(ada.id, group.id)
        assert not await there(ada.id, "12345")
        assert not await there("ada", server.general.id)

        everyone = server.guild.roles[server.guild.id]
        server.general.deny(bob, Permission.VIEW_CHANNEL)

        assert not await there(bob.id, server.general.id)
        assert not await there(bob.id, public.id)
        assert await there(server.guild.owner.id, server.general.id)

        world.leave(ada.user)

        assert not await there(ada.id, server.general.id)
        assert not await there(ada.id, thread.id)
        assert everyone is server.guild.roles[server.guild.id]

        server.faults.fail("GET /channels/*", 503)

        assert not await there(bob.id, server.general.id)


async def test_a_message_is_taken_back_where_that_is_allowed(core: Core, server: DiscordServer, ada: Person) -> None:
    """Discord says whether it is; nobody's direct message is the bot's to remove."""
    async with core.running():
        ada.say("my key is 123")
        ada.say("my key is 123", ada.dm)
        await core.until(lambda: len(core.heard) == 2)
        public, private = core.heard

        assert not await core.adapter.retract(public)

        server.world.bot_role().permissions |= Permission.MANAGE_MESSAGES

        assert await core.adapter.retract(public)
        assert server.general.messages[public.id].deleted
        assert not await core.adapter.retract(private)


async def test_slash_commands_are_told_anew_when_they_have_changed(core: Core, server: DiscordServer) -> None:
    """As often as that happens, over the same connection."""
    async with core.running():
        for word in ("tea", "coffee"):
            skill = Skill(word)
            skill.command(named(word))
            core.skills = [skill]
            changed, core.changed = core.changed, asyncio.Event()
            changed.set()
            await core.until(partial(offered, server, word))

    assert 1 == len(core.realms)


def offered(server: DiscordServer, word: str) -> bool:
    """Whether Discord offers *word*, and nothing else."""
    return [word] == [one["name"] for one in server.commands.registered.get("", ())]


def named(name: str) -> Callable[..., str]:
    """Return a handler of that name."""

    def handler(ctx: Context) -> str:
        return name

    handler.__name__, handler.__doc__ = name, "Make some."
    return handler


async def test_slash_commands_are_told_beside_the_connection(core: Core, server: DiscordServer) -> None:
    """They are put where they are wanted, once; trouble with them keeps nobody from speaking."""
    async with core.running():
        await core.until(lambda: [one.status for one in server.asked("PUT /applications/*/commands")])
        await core.until(lambda: core.store.rows)
    async with core.running():
        assert 1 == len(server.asked("PUT /applications/*/commands"))


async def test_typing(core: Core, server: DiscordServer, tmp_path: Path) -> None:
    """A sign in channels, unless the operator wants none; trouble with it is nobody's."""
    where = Channel(NET, server.general.id)
    async with core.running():
        await core.adapter.typing(where)
        await core.adapter.typing(Channel(NET, f"{server.general.id}:5", private=True))

        assert [(server.general, server.bot)] == server.world.typing

        server.faults.fail("POST /channels/*/typing", 503)
        await core.adapter.typing(where)
    quiet = Core(server, tmp_path, typing=False)
    async with quiet.running():
        await quiet.adapter.typing(where)

    assert 1 == len(server.world.typing)
