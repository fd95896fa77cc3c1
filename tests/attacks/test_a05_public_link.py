"""A5: a link in a public channel.

The person has closed their direct messages, asks in a room, or their private channel has gained a reader.
Whoever else reads the link may authorise first.

What must hold: no address is ever sent where another may read it; the room is told why nothing comes and
what to do; the link waits, and comes when the person speaks in private.

What remains: a network that wrongly says a channel has one reader. The typing slips that only IRC knows,
and ephemeral answers as Discord gives them, are attacked where those adapters are tested.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from adapters.irc.outbox import Outbox
from adapters.irc.saying import Saying
from adapters.matrix.rooms import Rooms
from adapters.matrix.saying import Saying as MatrixSaying
from attacks.helpers import stored
from journeys.irc_bots import bot_on, over_tls, said_by
from journeys.matrix_bots import bodies, first_link, together
from journeys.matrix_bots import bot_on as matrix_bot_on
from omnibot.delivery import Delivery
from omnibot.demo.browser import Browser
from omnibot.identity import Identity
from omnibot.message import Message, Reply, Sent
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.testing.fakes import POOR, RICH, FakeAdapter, Said
from servers.irc.client import People
from servers.irc.server import Irc
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

private = Delivery.to_identity


def into_the_room(patch: pytest.MonkeyPatch) -> None:
    """Say where the question was asked what finds no private way."""

    async def anyway(
        self: Delivery, identity: Identity, reply: Reply, *, near: Message | None = None, **options: Any
    ) -> Sent | None:
        reached = await private(self, identity, reply, near=near, **options)
        if not reached and near is not None:
            await self.to_channel(replace(near.channel, private=False), reply)
        return reached

    patch.setattr(Delivery, "to_identity", anyway)


async def in_the_open(
    self: Delivery, identity: Identity, reply: Reply, *, near: Message | None = None, **_: Any
) -> bool:
    """Say where the question was asked what is for one person."""
    assert near is not None, "the bot answers"
    return await self.to_channel(near.channel, reply) is not None


@pytest.fixture(params=[RICH, POOR], ids=["rich", "poor"])
def network(request: pytest.FixtureRequest) -> FakeAdapter:
    """A network that has everything, and one that has nothing."""
    return FakeAdapter(capabilities=request.param)


@pytest.fixture
def plan(plan: Plan, network: FakeAdapter) -> Plan:
    """A bot on that network."""
    return replace(plan, networks=(network,))


def links(said: Iterable[Said]) -> list[str]:
    """Return what was said that leads anywhere, be it by a button."""
    return [one.text for one in said if one.reply.link is not None or "://" in one.text or "/l/" in one.text]


def public(network: FakeAdapter) -> list[Said]:
    """Return what was said where others may read it."""
    return [one for one in network.said if not (one.ephemeral or one.channel.private)]


@pytest.mark.attack("A5", sabotage=into_the_room)
@pytest.mark.parametrize("words", ["!notes", "!link demo"])
async def test_closed_direct_messages(bench: Bench, words: str) -> None:
    """The room learns what to do; the link comes when the person speaks in private, and works."""
    network = bench.network
    room = network.room("ops", ADA, GRACE, MALLORY)
    network.close_dms(ADA)
    answers = await bench.say(words, ADA, room)
    network.open_dms(ADA)
    too_early = links(network.said)
    await bench.say("hello", ADA)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(ADA))
        await bench.say(f"!confirm {browser.code}", ADA)

    assert [] == too_early
    assert [] == links(public(network))
    assert "Open a private conversation with me" in " ".join(answers)
    assert ["active"] == await stored(bench)


@pytest.mark.attack("A5", sabotage=into_the_room)
async def test_another_reader_in_the_private_channel(bench: Bench) -> None:
    """A private channel that somebody has joined is as public as a room, even if the message says otherwise."""
    network = bench.network
    channel = network.dm(ADA)
    network.join(channel, MALLORY)
    await bench.say("!notes", ADA)
    too_early = links(network.said)
    network.leave(channel, MALLORY)
    await bench.say("hello", ADA)

    assert [] == too_early
    assert 1 == len(links(network.said))


@pytest.mark.attack("A5", sabotage=into_the_room)
async def test_without_a_public_address(plan: Plan) -> None:
    """The provider's own address, as paste-back sends it, is no more for others' eyes than a link of ours."""
    async with Bench.open(replace(plan, public=False)) as bench:
        room = bench.network.room("ops", ADA, GRACE, MALLORY)
        bench.network.close_dms(ADA)
        answers = await bench.say("!notes", ADA, room)

        assert [] == links(bench.network.said)
        assert "I cannot reach you in private" in " ".join(answers)


@pytest.mark.attack("A5", sabotage=lambda patch: patch.setattr(Delivery, "to_identity", in_the_open))
async def test_asked_in_a_room(bench: Bench) -> None:
    """With direct messages open the link goes there, and the room only learns that it did."""
    room = bench.network.room("ops", ADA, GRACE, MALLORY)
    answers = await bench.say("!notes", ADA, room)

    assert [] == links(public(bench.network))
    assert "I have sent you a link for Demo notes in private" in answers[-1]
    assert 1 == len(links(bench.network.said))


# ---------------------------------------------------------------------------- IRC


def whoever_has_the_nick(patch: pytest.MonkeyPatch) -> None:
    """Reach an account by the nick of its name."""

    async def nick_of(self: Saying, identity: Identity, near: Message | None) -> str:
        return identity.subject

    patch.setattr(Saying, "_nick_of", nick_of)
    patch.setattr(Outbox, "_is_sure", lambda *_: True)  # which looks once more as a line goes out


@pytest.mark.attack("A5", sabotage=whoever_has_the_nick)
async def test_not_logged_in_any_more(bench: Bench, irc: Irc, people: People) -> None:
    """Who has logged out on IRC is a guest, and the nick that is left gets nothing that was meant for the account."""
    async with bot_on(bench, over_tls(irc)) as bot:
        (ada,) = await people.come(irc.port, irc.register("ada"))
        await bot.is_in("#ops")
        await ada.join("#ops")
        await ada.say("#ops", "!ping")
        await ada.hear("pong", of="omnibot")
        epoch = await bot.adapter._owners.epoch("ada", "ada")
        await ada.logout()
        await ada.say("#ops", "!ping")
        await ada.hear("pong", of="omnibot")
        assert epoch is not None
        reached = await bench.core.delivery.to_identity(Identity("net", "ada", epoch), Reply("a secret"))
        await ada.say("omnibot", "!ping")
        await ada.hear("pong", of="omnibot")

        assert not reached
        assert [] == [text for text in said_by(ada) if "a secret" in text]


# ------------------------------------------------------------------------- Matrix


def wherever_it_was_asked(patch: pytest.MonkeyPatch) -> None:
    """Take every room for one that is private."""

    async def near_by(self: Rooms, person: str, near: str | None, *, invite: bool) -> str:
        assert near is not None, "somebody asked"
        return near

    async def trusting(*_: object) -> None:
        return

    patch.setattr(Rooms, "private", near_by)
    patch.setattr(MatrixSaying, "_is_still_private", trusting)


@pytest.mark.attack("A5", sabotage=wherever_it_was_asked)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_in_a_matrix_room(bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool) -> None:
    """The link comes in a room that the bot makes for it; the room where it was asked only learns that."""
    async with matrix_bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, grace = await matrix_people.come("ada", "grace")
        room = await together(ada, bot, grace, encrypted=encrypted)
        url, alone = await first_link(bot, ada, room, "!link demo")
        told = await grace.hear(of=bot.mxid, room=room)
        events = synapse.raw_events(room)

        assert room != alone
        assert {bot.mxid: "join", ada.mxid: "join"} == synapse.members(alone)
        assert "in private" in told.body
        assert [] == [text for text in bodies(bot, grace) if "://" in text]
        assert [] == [one for one in events if url.rpartition("/")[2] in str(one)]
