"""The adapter on simcord, a Discord of a third party's that runs within the process: a second opinion.

Real here: all of the adapter, and discord.py's models, parsers, payloads, and its client's state.  Not real: HTTP and
the gateway.  simcord takes the client object, answers its requests, logs it in by itself and feeds its parsers.  So
the adapter gets a client that was logged in already, whose `connect` says that it is ready, and lasts; connecting,
resuming, rate limits and all that is about sockets is for our own stand-in.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import simcord

from adapters.discord import Adapter, Settings, adapter
from adapters.discord.client import Client
from omnibot.adapter import Tools
from omnibot.command import Command, read_signature
from omnibot.errors import NotDelivered
from omnibot.identity import Identity
from omnibot.message import Channel, Form, Link, Message, Origin, Private, Reply, Sent
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore

NET = "discord"


async def _hello(ctx: Any, name: str) -> None: ...


COMMANDS = [
    Command(("hello",), "hello", _hello, parameters=read_signature(_hello), summary="Say hello", answer="channel"),
    Command(("mine",), "mine", _hello, parameters=read_signature(_hello), summary="For one", answer="private"),
]


class Ours(Client):
    """The adapter's client, which simcord logs in, and feeds."""

    async def login(self, token: str) -> None:
        """Log in when simcord does; not again."""
        if self.user is None:
            await super().login(token)

    async def connect(self, *, reconnect: bool = True) -> None:
        """Last."""
        self.dispatch("ready")
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Leave that to simcord."""


class Sim:
    """One guild with ada and grace, and the adapter in it."""

    def __init__(self, env: simcord.Env, bot: Adapter) -> None:
        self.env = env
        self.bot = bot
        self.heard: list[Message] = []
        self.at_once: Reply | None = None
        """What is answered as soon as something is heard."""

        self.guild = env.create_guild()
        self.general = self.guild.create_text_channel("general")
        self.ada = self.guild.add_member(env.create_user("ada"))
        self.grace = self.guild.add_member(env.create_user("grace"))

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        """Take *messages* but the bot's own, which come too."""
        self.heard += [one for one in messages if one.origin is not Origin.SELF]
        reply, self.at_once = self.at_once, None
        if reply is not None:
            await self.send(messages[-1].channel, replace(reply, answers=messages[-1]))

    async def ready(self, realm: str) -> None:
        """Take note of nothing."""

    async def last(self) -> Message:
        """Return what was heard last, once all was."""
        await self.env.settle()
        return self.heard[-1]

    async def answer(self, reply: Reply | str, to: Private | None = None) -> Sent:
        """Say *reply* in answer to the last message, where it was said, or *to* somebody."""
        heard = await self.last()
        reply = Reply(reply) if isinstance(reply, str) else reply
        return await self.send(to or heard.channel, replace(reply, answers=heard))

    async def send(self, to: Channel | Private, reply: Reply) -> Sent:
        """Say *reply* by simcord's clock, which the adapter hears interactions by."""
        with self.env._bot_scope():
            return await self.bot.send(to, reply, f"key of {reply.text}")

    def shown(self, viewer: Any = None) -> list[str]:
        """Return what the bot has said in the channel, as far as *viewer* sees it."""
        history = self.general.history(viewer=viewer or self.grace)
        return [one.content for one in history if one.author.bot]


def tools(directory: Path) -> Tools:
    log = logging.getLogger("omnibot.tests.simcord")
    return Tools(NET, "!", FakeStore(), FakeStore(), directory, log, commands=lambda: COMMANDS)


@asynccontextmanager
async def simulated(patch: pytest.MonkeyPatch, directory: Path, content: str = "on") -> AsyncIterator[Sim]:
    """Run the adapter in simcord."""
    settings = Settings.model_validate({"token": Secret("simcord.fake.token"), "content": content})
    bot = Adapter(tools(directory), settings)
    client = Ours(bot, settings)
    patch.setattr(adapter, "Client", lambda *_, **__: client)
    async with simcord.run(client, strict_sync=False) as env:
        sim = Sim(env, bot)
        running = asyncio.create_task(bot.run(sim.deliver, sim.ready))
        try:
            await asyncio.wait_for(bot._told.wait(), 5)
            await asyncio.sleep(0)
            yield sim
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


type Run = Callable[..., AbstractAsyncContextManager[Sim]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """What runs the adapter; within the test's own task, where simcord keeps its clock."""
    return partial(simulated, monkeypatch, tmp_path)


async def test_by_prefix(run: Run) -> None:
    """Typed in a channel; the answer replies to it."""
    async with run() as sim:
        said = await sim.ada.send(sim.general, "!hello Ada")
        heard = await sim.last()
        await sim.answer("Hello, Ada")

        assert ("!hello Ada", False, str(said.id)) == (heard.text, heard.channel.private, heard.id)
        assert Identity(NET, str(sim.ada.id)) == heard.speaker
        answer = sim.general.last_message
        assert answer is not None
        assert answer.reference is not None
        assert ("Hello, Ada", said.id) == (answer.content, answer.reference.message_id)


async def test_by_mention_without_the_content_intent(run: Run) -> None:
    """What is not said to the bot is blanked, as Discord does."""
    async with run("off") as sim:
        assert sim.env.bot.user is not None
        me = sim.env.bot.user.mention
        await sim.ada.send(sim.general, "!hello nobody")
        await sim.ada.send(sim.general, f"{me} hello Ada")
        await sim.last()

        assert [("hello Ada", True)] == [(one.text, one.addressed) for one in sim.heard]


async def test_in_private(run: Run) -> None:
    """A conversation is private, and what is for one person goes there."""
    async with run("off") as sim:
        await sim.ada.send_dm("hello Ada")
        heard = await sim.last()
        await sim.answer("Hello")
        await sim.answer("for you", Private(Identity(NET, str(sim.ada.id))))

        assert ("hello Ada", True) == (heard.text, heard.channel.private)
        assert ["Hello", "for you"] == [one.content for one in sim.ada.user.dm_channel.history() if one.author.bot]
        assert [] == sim.shown()


async def test_slash(run: Run) -> None:
    """A public one, answered at once."""
    async with run() as sim:
        sim.at_once = Reply("Hello, Ada")
        result = await sim.ada.slash(sim.general, "hello", name="Ada")
        heard = await sim.last()

        assert not result.deferred
        assert ("!hello Ada", True) == (heard.text, heard.addressed)
        assert result.response is not None
        assert ("Hello, Ada", False) == (result.response.content, result.response.ephemeral)


async def test_slash_for_one(run: Run) -> None:
    """A private one is ephemeral: in a place of its own, deferred or not."""
    async with run() as sim:
        result = await sim.ada.slash(sim.general, "mine", name="Ada")
        heard = await sim.last()
        deferred = result.deferred
        await sim.answer("a secret")

        assert deferred
        assert (f"{sim.general.id}:{sim.ada.id}", True) == (heard.channel.id, heard.channel.private)
        assert ["a secret"] == sim.shown(sim.ada)
        assert [] == sim.shown(sim.grace)


async def test_private_after_a_public_promise(run: Run) -> None:
    """What turns out to be for one person is shown to them alone; nothing else is left."""
    async with run() as sim:
        result = await sim.ada.slash(sim.general, "hello", name="Ada")
        heard = await sim.last()
        assert result.deferred
        sent = await sim.answer("a secret", Private(Identity(NET, str(sim.ada.id)), near=heard))

        assert sent.here
        assert ["a secret"] == sim.shown(sim.ada)
        assert [] == sim.shown(sim.grace)


async def test_buttons(run: Run) -> None:
    """A choice by its number; another's click is refused, and nothing is left to press afterwards."""
    async with run() as sim:
        await sim.ada.send(sim.general, "!hello Ada")
        await sim.last()
        await sim.answer(Reply("Sure?", choices=("yes", "no"), question="q1"))
        asked = sim.general.last_message
        assert asked is not None
        foreign = await sim.grace.click(asked, label="yes")
        await sim.ada.click(asked, label="no")
        await sim.last()

        assert foreign.response is not None
        assert ("That is for somebody else.", True) == (foreign.response.content, foreign.response.ephemeral)
        assert [("2", "q1")] == [(one.text, one.picks) for one in sim.heard[1:]]
        left = sim.general.last_message
        assert left is not None
        assert [] == left.components


async def test_a_form(run: Run) -> None:
    """Opened by a button in private; what is typed comes unkept, and stands nowhere."""
    async with run() as sim:
        await sim.ada.slash(sim.general, "mine", name="Ada")
        form = Form("Type your key", "Key", "link demo")
        await sim.answer(Reply("Press", form=form, link=Link("Your key", "https://example.org/keys")))
        asked = sim.general.history(viewer=sim.ada)[-1]
        shown = await sim.ada.click(asked, label="Type your key")
        await sim.ada.submit_modal(shown, {"value": "a-key"})
        heard = await sim.last()
        await sim.answer("Linked")

        assert ("!link demo a-key", True, True) == (heard.text, heard.unkept, heard.channel.private)
        assert "Linked" in sim.shown(sim.ada)
        assert [] == sim.shown(sim.grace)
        assert [] == [one for one in sim.shown(sim.ada) if "a-key" in one]


async def test_edits_and_length(run: Run) -> None:
    """What is too long for one message is cut; what is changed grows and shrinks with it."""
    async with run() as sim:
        await sim.ada.send(sim.general, "!hello Ada")
        sent = await sim.answer("x" * 2001)
        long = list(sim.shown()), [one.embeds for one in sim.general.history() if one.author.bot]
        await sim.bot.edit(sent, Reply("short"))

        assert [("", 2001)] == [(text, len(embeds[0].description or "")) for text, embeds in zip(*long, strict=True)]
        assert ["short"] == sim.shown()


async def test_errors(run: Run) -> None:
    """A refusal is told as what was not delivered; the next try is."""
    async with run() as sim:
        await sim.ada.send(sim.general, "!hello Ada")
        await sim.last()
        sim.env.inject_error("POST", "/channels/*/messages", status=500)
        with pytest.raises(NotDelivered):
            await sim.answer("Hello")
        await sim.answer("Hello")

        assert ["Hello"] == sim.shown()


async def test_typing_edits_and_what_is_no_person(run: Run) -> None:
    """Edits come as such; a webhook is one; what is forwarded has no words."""
    async with run() as sim:
        said = await sim.ada.send(sim.general, "hello")
        await sim.ada.edit(said, "!hello Ada")
        await sim.guild.create_webhook(sim.general, "ada").send("!hello Ada")
        await sim.grace.forward(said, sim.general)
        heard = await sim.last()
        await sim.bot.typing(heard.channel)
        asked = [one.path for one in sim.env.http_requests if one.path.endswith("/typing")]

        told = [(one.text, one.origin, one.edit) for one in sim.heard]
        assert [("hello", "person", False), ("!hello Ada", "person", True), ("!hello Ada", "webhook", False)] == told
        assert 1 == len(asked)
