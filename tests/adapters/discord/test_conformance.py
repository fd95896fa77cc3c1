"""Discord keeps the adapter contract, on the stand-in, with the message content intent and without it."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from adapters.discord import Adapter, Settings
from omnibot.adapter import Tools
from omnibot.provider import Secret
from omnibot.testing.conformance import AdapterConformance, Facts, Harness, Seen
from omnibot.testing.fakes import FakeStore
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.sight import Seen as Shown

FACTS = Facts(
    raw_markdown=True,
    pictures=True,
    renames=True,
    leaves=True,
    closes=True,
    cuts=True,
    restores=True,
    presses=True,
    fills=True,
    opens=True,
)
OPENS = "Continue in private"


class Network(Harness):
    """The stand-in, with ada and bob on the bot's server."""

    network = "net"

    def __init__(self, adapter: Adapter, server: DiscordServer, people: dict[str, Person]) -> None:
        self.adapter = adapter
        self.server = server
        self.people = people

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        if room:
            self.aloud(self.people[person], text)
        else:
            self.people[person].tell(text)

    def aloud(self, person: Person, text: str) -> None:
        """Let *person* say *text* on the server such that the bot is told of it."""
        person.say(text)

    async def saw(self, person: str, *, room: bool = False) -> Sequence[Seen]:
        """Whatever is shown in a channel to one person alone is private."""
        return [_seen(one) for one in self.people[person].sees() if room is self._is_public(one)]

    async def commands(self) -> Sequence[str]:
        """Everything that was asked of Discord but to say or to change something, and everybody who was pinged."""
        asked = [one for one in self.server.requests if "/messages" not in one.path]
        return [json.dumps([one.method, one.path, one.json]) for one in asked] + [
            f"{message.content} pinged" for message, _ in self.server.world.pings
        ]

    async def rename(self, person: str, name: str) -> None:
        self.people[person].user.global_name = name

    async def leave(self, person: str) -> None:
        self.people[person].leave()

    async def close_private(self, person: str) -> None:
        self.people[person].close_dms()

    async def cut(self) -> None:
        await self.server.stop()

    async def restore(self) -> None:
        await self.server.start()

    async def press(self, person: str, label: str, *, room: bool = False) -> None:
        self.people[person].click(self._last(person, label, room=room), label)

    async def fill(self, person: str, label: str, value: str) -> None:
        opened = self.people[person].click(self._last(person, label), label)
        await opened.modal()
        opened.submit(value)

    async def open(self, person: str) -> None:
        self.people[person].click(self._last(person, OPENS, room=True), OPENS)

    def _last(self, person: str, label: str, *, room: bool = False) -> Shown:
        """Return the last message with a button that says *label*."""
        shown = [one for one in self.people[person].sees() if room is self._is_public(one)]
        return next(one for one in reversed(shown) if label in one.labels)

    def _is_public(self, shown: Shown) -> bool:
        return shown.channel is self.server.general and not shown.ephemeral


class OnlyMentions(Network):
    """The same, where in a channel the bot can read only what mentions it."""

    def aloud(self, person: Person, text: str) -> None:
        person.ask(text)


def _seen(shown: Shown) -> Seen:
    buttons = tuple(one.label for one in shown.buttons if one.custom_id)
    return Seen(shown.text.replace("\\", ""), buttons, tuple(shown.links), tuple(shown.files.items()))


class TestWithContent(AdapterConformance):
    """The application has the message content intent."""

    facts = FACTS
    network: ClassVar[type[Network]] = Network
    content: ClassVar[Literal["auto", "on", "off"]] = "on"

    @pytest.fixture
    def harness(
        self,
        tmp_path: Path,
        discord_server: DiscordServer,
        discord_people: DiscordPeople,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Harness:
        monkeypatch.setattr("adapters.discord.client._READY_AFTER", 0.02)
        monkeypatch.setattr("discord.backoff.ExponentialBackoff.delay", lambda _: 0.1)
        options = {"token": Secret(discord_server.token), "api": discord_server.api}
        settings = Settings.model_validate(options | {"gateway": discord_server.gateway_url, "content": self.content})
        log = logging.getLogger("omnibot.tests.discord")
        adapter = Adapter(Tools("net", "!", FakeStore(), FakeStore(), tmp_path / "own", log, commands=list), settings)
        ada, bob = discord_people.come("ada", "bob")
        return self.network(adapter, discord_server, {"ada": ada, "bob": bob})


class TestWithoutContent(TestWithContent):
    """It has not: mentions are read, and what is said in private."""

    network = OnlyMentions
    content = "off"
