"""IRC keeps the adapter contract, on a real InspIRCd with Atheme's services."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.irc import Adapter, Settings
from omnibot.adapter import Tools
from omnibot.testing.conformance import AdapterConformance, Facts, Harness, Seen
from omnibot.testing.fakes import FakeStore
from servers.faults import Faults, Proxy
from servers.irc.client import People, Person
from servers.irc.line import Line
from servers.irc.server import Irc

FORMATTING = re.compile("[\x02\x1d\x11\x1e]")
ROOM = "#ops"


class Network(Harness):
    """InspIRCd behind a proxy; ada and bob are in a channel, logged in."""

    network = "net"

    def __init__(self, adapter: Adapter, proxy: Proxy, people: dict[str, Person]) -> None:
        self.adapter = adapter
        self._proxy = proxy
        self._people = people

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        if room:
            await self._joined()
        await self._people[person].say(ROOM if room else "omnibot", text)

    async def saw(self, person: str, *, room: bool = False) -> Sequence[Seen]:
        return [
            Seen(FORMATTING.sub("", line.text))
            for line in self._people[person].lines
            if (line.nick, line.command) == ("omnibot", "PRIVMSG") and room is (line.params[0] == ROOM)
        ]

    async def commands(self) -> Sequence[str]:
        """Everything of the bot's that is not plainly said to them."""
        return [
            line.raw
            for person in self._people.values()
            for line in person.lines
            if line.nick == "omnibot" and (line.command != "PRIVMSG" or "\x01" in line.raw)
        ]

    async def rename(self, person: str, name: str) -> None:
        await self._people[person].send(f"NICK {name}")
        await self._people[person].until(lambda line: line.command == "NICK")

    async def leave(self, person: str) -> None:
        await self._people[person].send(f"PART {ROOM}")

    async def close_private(self, person: str) -> None:
        one = self._people[person]
        await one.logout()
        await one.say("omnibot", "\x01PING heard\x01")  # behind the news that they have logged out
        await one.hear("PING heard", of="omnibot")

    async def cut(self) -> None:
        await self._proxy.refuse()
        self._proxy.cut()

    async def restore(self) -> None:
        await self._proxy.accept()

    async def _joined(self) -> None:
        ada = self._people["ada"]
        if not any(map(_is_the_bots_join, ada.lines)):
            await ada.until(_is_the_bots_join)


def _is_the_bots_join(line: Line) -> bool:
    return (line.nick, line.command) == ("omnibot", "JOIN")


class TestIrc(AdapterConformance):
    """A network that tells who is logged in."""

    facts = Facts(renames=True, leaves=True, closes=True, cuts=True, restores=True)

    @pytest.fixture
    async def harness(self, tmp_path: Path, irc: Irc, people: People, faults: Faults) -> Harness:
        proxy = await faults.before(irc.tls_port)
        settings = Settings.model_validate(
            {
                "host": "localhost",
                "port": proxy.port,
                "tls": {"ca": str(irc.ca)},
                "channels": [ROOM],
                "pace": {"seconds": 0},
            }
        )
        log = logging.getLogger("omnibot.tests.irc")
        adapter = Adapter(Tools("net", "!", FakeStore(), FakeStore(), tmp_path, log, commands=list), settings)
        both = await people.come(irc.port, irc.register("ada"), irc.register("bob"))
        for one in both:
            await one.join(ROOM)
        return Network(adapter, proxy, dict(zip(("ada", "bob"), both, strict=True)))
