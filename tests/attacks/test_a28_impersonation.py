"""A28: bots, webhooks and bridges that speak for people.

A relay repeats what somebody says elsewhere, with a name in front; a bridge speaks as ghosts that are called like
people; other bots answer with commands, and so does the bot itself.

What must hold: only what the network vouches for as a person's own words runs anything; not even a question of
the bot's is answered by others, and no account opens for them.
"""

import json

import pytest

from adapters.matrix import hearing, people
from journeys.matrix_bots import bodies, bot_on, soon, together, works
from omnibot import Context, Skill, dispatcher, message
from omnibot.message import Message, Origin
from omnibot.testing.bench import ADA, SKILLS, Bench, Plan
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

asking = Skill("asking")


@asking.command
async def name(ctx: Context) -> str:
    """Ask for a name."""
    return "Hello, " + await ctx.ask("Who is there?")


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that asks."""
    return Plan(plan.directory, (*SKILLS, asking), provider=plan.provider)


def whoever_speaks(patch: pytest.MonkeyPatch) -> None:
    """Hear everybody as if they were people."""
    patch.setattr(dispatcher, "why_deaf", lambda *_: None)


OTHERS = [Origin.SELF, Origin.BOT, Origin.WEBHOOK, Origin.GHOST]


@pytest.mark.attack("A28", sabotage=whoever_speaks)
@pytest.mark.parametrize("origin", OTHERS)
async def test_what_is_no_person_runs_nothing(bench: Bench, origin: Origin) -> None:
    """Though the network names the very identity that is linked; in private as in a room."""
    await bench.link()
    before = len(bench.network.said)
    for channel in (bench.network.dm(ADA), bench.network.room("ops", ADA)):
        await bench.network.hear("!notes add tea", ADA, channel, origin=origin)
        await bench.network.hear("!ping", ADA, channel, origin=origin)
    await bench.settle()

    assert [] == [one.text for one in bench.network.said[before:]]
    assert 0 == bench.provider.requests.count("POST /api/notes")


@pytest.mark.attack("A28", sabotage=whoever_speaks)
@pytest.mark.parametrize("origin", OTHERS)
async def test_what_is_no_person_answers_no_question(bench: Bench, origin: Origin) -> None:
    """The bot's own words come back to it on some networks; the person still can answer."""
    room = bench.network.room("ops", ADA)
    await bench.say("!asking name", ADA, room)
    await bench.network.hear("somebody else", ADA, room, origin=origin)
    await bench.settle()
    answers = await bench.say("Ada", ADA, room)

    assert ["Hello, Ada"] == answers


@pytest.mark.parametrize("relayed", ["<ada> !notes add tea", "**ada**: !notes add tea", "[irc] <ada> !notes add tea"])
async def test_what_a_relay_repeats_is_no_command(bench: Bench, relayed: str) -> None:
    """Where a network does not tell that it is one: a command stands at the beginning."""
    await bench.link()
    room = bench.network.room("ops", ADA)

    assert [] == await bench.say(relayed, ADA, room)
    assert 0 == bench.provider.requests.count("POST /api/notes")


# ------------------------------------------------------------------------- Matrix


def ghosts_are_people(patch: pytest.MonkeyPatch) -> None:
    """Know no ghosts, and no notices."""
    patch.setattr(people, "is_ghost", lambda *_: False)
    sender = people.sender

    def of_a_person(*given: object, notice: bool = False, **named: object) -> people.Sender | None:
        return sender(*given, **named)  # type: ignore[arg-type]  # it passes on what it is given

    patch.setattr(hearing, "sender", of_a_person)


@pytest.mark.attack("A28", sabotage=ghosts_are_people)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
@pytest.mark.parametrize("who", ["ghost", "notice"])
async def test_ghosts_and_notices_on_matrix(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, who: str, encrypted: bool
) -> None:
    """A bridge's ghost that is called like the linked person, and a bot, get nothing; the person does."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, other = await matrix_people.come("ada", "_irc_ada" if who == "ghost" else "robot")
        room = await together(ada, bot, other, encrypted=encrypted)
        await other.ask("PUT", f"/profile/{other.mxid}/displayname", {"displayname": ada.account.localpart})
        said = [
            await other.say(room, words, notice=who == "notice", mentions=[bot.mxid])
            for words in ("!ping", "!notes", "!link demo", f"{bot.mxid}: ping")
        ]
        await other.say(room, "!ping", notice=True)
        await works(ada, room)

        assert 1 == len([text for text in bodies(bot, ada) if "pong" in text])
        await bench.settle()  # a private word to a ghost would wait for it to come
        assert [] == [one for one in bodies(bot, other) if "private" in one]
        assert [] == [one.source for one in ada.heard if one.sender == bot.mxid and _is_to(one.source, said)]
        assert [] == other.rooms[1:] + list(other.invited)


def _is_to(source: object, events: list[str]) -> bool:
    return any(one in json.dumps(source) for one in events)


def hears_itself(patch: pytest.MonkeyPatch) -> None:
    """Take itself for a person like others."""
    sender = people.sender
    patch.setattr(
        hearing,
        "sender",
        lambda network, settings, mxid, *rest, **more: sender(
            network, settings.model_copy(update={"user": "@nobody:hs.test"}), mxid, *rest, **more
        ),
    )


@pytest.mark.attack("A28", sabotage=hears_itself)
async def test_the_bots_own_account_on_matrix(bench: Bench, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """From another device, or by whoever has stolen its token: it runs nothing as the bot."""
    account = synapse.register("bot")
    async with bot_on(bench, synapse, account) as bot:
        ada, grace, same = await matrix_people.come("ada", "grace", account)
        room = await together(ada, bot, grace, encrypted=False)
        await soon(lambda: room in same.rooms)
        await same.say(room, "!ping")
        await same.say(room, "!link demo")
        await works(ada, room)
        await bench.settle()

        assert ["!ping", "!link demo", "pong"] == [text.rpartition(": ")[2] for text in bodies(bot, ada)]


def test_the_core_knows_all_origins() -> None:
    """One that is added has to be thought of here."""
    assert {*OTHERS, Origin.PERSON} == set(Origin)
    assert all(message.why_deaf(_of(one), 0.0) for one in OTHERS)


def _of(origin: Origin) -> Message:
    return Message("net", "1", ADA, message.Channel("net", "room"), "!ping", 0.0, origin=origin)
