"""The fakes are as strict as a real network: they pass what every adapter passes."""

from contextlib import suppress

import pytest

from omnibot.adapter import Capabilities
from omnibot.identity import Identity
from omnibot.message import Private
from omnibot.testing.conformance import AdapterConformance, Facts, Harness, Seen
from omnibot.testing.fakes import POOR, RICH, FakeAdapter, Said


class FakeNetwork(Harness):
    """A fake with ada and bob in one room."""

    network = "fake"

    def __init__(self, capabilities: Capabilities) -> None:
        self.adapter = self.fake = FakeAdapter(capabilities=capabilities)
        self.people = {name: Identity("fake", f"{name}-1", display=name) for name in ("ada", "bob")}
        self.room = self.fake.room("lounge", *self.people.values())

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        await self.fake.hear(text, self.people[person], self.room if room else None)

    async def saw(self, person: str, *, room: bool = False) -> list[Seen]:
        one = self.people[person]
        own = [said for said in self.fake.said if self._sees(one, said, room)]
        return [seen for said in own for seen in self._shown(said)]

    def _sees(self, person: Identity, said: Said, room: bool) -> bool:
        if said.ephemeral:
            own = isinstance(said.to, Private) and said.to.identity == person
            return not room and (own or said.channel.id.endswith(f" {person.subject}"))
        return said.channel == (self.room if room else self.fake.dm(person))

    def _shown(self, said: Said) -> list[Seen]:
        pieces, reply = said.pieces, said.reply
        for sent, edited in self.fake.edits:
            if self.fake.saying(sent) is said:
                pieces, reply = (edited.text,), edited
        if not self.fake.capabilities.buttons:
            return [Seen(piece) for piece in pieces]
        links = (reply.link.url,) if reply.link else ()
        files = ((reply.file.name, reply.file.data),) if reply.file else ()
        return [*map(Seen, pieces[:-1]), Seen(pieces[-1], reply.choices, links, files)]

    async def commands(self) -> list[str]:
        """Return what follows a line end, on a network of lines."""
        if not self.fake.limits.lines:
            return []
        return [line for said in self.fake.said for piece in said.pieces for line in piece.splitlines()[1:]]

    async def rename(self, person: str, name: str) -> None:
        self.people[person] = Identity("fake", self.people[person].subject, display=name)

    async def leave(self, person: str) -> None:
        self.fake.leave(self.room, self.people[person])

    async def close_private(self, person: str) -> None:
        self.fake.close_dms(self.people[person])

    async def cut(self) -> None:
        self.fake.go_down()

    async def restore(self) -> None:
        self.fake.come_up()

    async def press(self, person: str, label: str, *, room: bool = False) -> None:
        with suppress(LookupError):
            await self.fake.pick(self._last(person, room, label), label, self.people[person])

    async def fill(self, person: str, label: str, value: str) -> None:
        await self.fake.fill(self._last(person, False, label), value, self.people[person])

    async def open(self, person: str) -> None:
        said = next(one for one in reversed(self.fake.said) if one.reply.opens)
        with suppress(LookupError):
            await self.fake.open(said, self.people[person])

    def _last(self, person: str, room: bool, label: str) -> Said:
        """Return what *person* was told last with a button that says *label*."""
        own = [said for said in self.fake.said if self._sees(self.people[person], said, room)]
        return next(one for one in reversed(own) if label in (*one.reply.choices, getattr(one.reply.form, "label", "")))


class TestRich(AdapterConformance):
    """A network that can do everything."""

    facts = Facts(
        pictures=True,
        raw_markdown=True,
        renames=True,
        leaves=True,
        closes=True,
        cuts=True,
        restores=True,
        presses=True,
        fills=True,
        opens=True,
    )

    @pytest.fixture
    def harness(self) -> Harness:
        return FakeNetwork(RICH)


class TestPoor(AdapterConformance):
    """A network that can only say lines."""

    facts = Facts(renames=True, leaves=True, closes=True, cuts=True, restores=True)

    @pytest.fixture
    def harness(self) -> Harness:
        return FakeNetwork(POOR)
