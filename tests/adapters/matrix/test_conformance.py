"""Matrix keeps the adapter contract, on a real Synapse, in encrypted rooms and in plain ones."""

import logging
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import ClassVar

import pytest

from adapters.matrix import Adapter, Settings
from omnibot.adapter import Tools
from omnibot.provider import Secret
from omnibot.testing.conformance import AdapterConformance, Facts, Harness, Seen
from omnibot.testing.fakes import FakeStore
from servers.faults import Faults, Proxy
from servers.synapse.person import Heard, MatrixPeople, MatrixPerson
from servers.synapse.server import Synapse

HREF = re.compile(r'<a href="([^"]*)"')


class Network(Harness):
    """Synapse behind a proxy; ada and bob are in a room that the bot is invited to."""

    network = "net"

    def __init__(self, adapter: Adapter, bot: str, people: dict[str, MatrixPerson], proxy: Proxy, room: str) -> None:
        self.adapter = adapter
        self._bot = bot
        self._people = people
        self._proxy = proxy
        self._room = room
        self._alone: dict[str, str] = {}

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        where = self._room if room else await self._private(person)
        await self._people[person].until_in(where, self._bot)
        await self._people[person].say(where, text)

    async def saw(self, person: str, *, room: bool = False) -> Sequence[Seen]:
        await self._accept(person)
        said = [one for one in self._people[person].heard if one.sender == self._bot and one.type == "m.room.message"]
        here = [one for one in said if room is (one.room == self._room)]
        newest = {one.replaces: one for one in here if one.replaces}
        return [await self._seen(person, newest.get(one.event_id, one)) for one in here if not one.replaces]

    async def commands(self) -> Sequence[str]:
        """Everything of the bot's that is not plainly said."""
        return [
            str(one.source)
            for person in self._people.values()
            for one in person.heard
            if one.sender == self._bot and one.type not in ("m.room.message", "m.room.encrypted")
        ]

    async def rename(self, person: str, name: str) -> None:
        one = self._people[person]
        await one.ask("PUT", f"/profile/{one.mxid}/displayname", {"displayname": name})
        where = await self._private(person)
        await one.until(lambda event: event.room == where and event.content.get("displayname") == name)

    async def leave(self, person: str) -> None:
        await self._people[person].leave(self._room)

    async def cut(self) -> None:
        await self._proxy.refuse()
        self._proxy.cut()

    async def restore(self) -> None:
        await self._proxy.accept()

    async def _private(self, person: str) -> str:
        if person not in self._alone:
            one = self._people[person]
            self._alone[person] = await one.create_room([self._bot], direct=True, encrypted=self._is_encrypted)
        return self._alone[person]

    async def _accept(self, person: str) -> None:
        """Go wherever the bot invites *person*."""
        one = self._people[person]
        for room, inviter in one.invited.items():
            if inviter == self._bot:
                await one.join(room)

    async def _seen(self, person: str, event: Heard) -> Seen:
        if event.msgtype in ("m.image", "m.file"):
            return Seen("", files=((event.body, await self._people[person].download(event)),))
        return Seen(event.body, links=tuple(unescape(url) for url in HREF.findall(event.formatted_body)))

    _is_encrypted = True


class Plain(Network):
    """The same without encryption."""

    _is_encrypted = False


class TestEncrypted(AdapterConformance):
    """Everything is said in encrypted rooms."""

    facts = Facts(pictures=True, renames=True, leaves=True, cuts=True, restores=True)
    network: ClassVar[type[Network]] = Network
    encryption: ClassVar[bool] = True

    @pytest.fixture
    async def harness(self, tmp_path: Path, synapse: Synapse, matrix_people: MatrixPeople, faults: Faults) -> Harness:
        proxy = await faults.before(synapse.port)
        bot = synapse.register("bot")
        settings = Settings.model_validate(
            {
                "homeserver": f"http://127.0.0.1:{proxy.port}",
                "user": bot.mxid,
                "password": Secret(bot.password),
                "encryption": self.encryption,
            }
        )
        log = logging.getLogger("omnibot.tests.matrix")
        adapter = Adapter(Tools("net", "!", FakeStore(), FakeStore(), tmp_path / "own", log, commands=list), settings)
        ada, bob = await matrix_people.come("ada", "bob")
        room = await ada.create_room([bot.mxid, bob.mxid], encrypted=self.encryption)
        await bob.join(room)
        return self.network(adapter, bot.mxid, {"ada": ada, "bob": bob}, proxy, room)


class TestPlain(TestEncrypted):
    """Everything is said in the clear, and encryption is off."""

    network = Plain
    encryption = False
