"""A30: messages that change, vanish, or come again.

Chat is edited into a command, an edit hides behind encryption, a command is taken back before it is heard, a
homeserver tells of old events or of one twice, or sends a ciphertext a second time as something new.

What must hold: edits run nothing; what is old by the network's stamp runs nothing; one event runs once.
"""

from pathlib import Path
from typing import Any

import pytest

from adapters.matrix import speech, sync
from adapters.matrix.hearing import Hearing
from journeys.matrix_bots import bodies, bot_on, soon, together, works
from matrix_stand_in import BOT, StandIn, bot_at, said
from omnibot import Context, Skill, dispatcher
from omnibot.message import STALE_AFTER
from omnibot.testing.bench import ADA, SKILLS, Bench, Plan
from servers.keyserver import device
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

HERE, ROOM = "@ada:hs.test", "!room"
deeds = Skill("deeds")


@deeds.command
async def do(ctx: Context) -> str:
    """Do something that can be seen."""
    return "it is done"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that does things."""
    return Plan(plan.directory, (*SKILLS, deeds), provider=plan.provider)


def anything_goes(patch: pytest.MonkeyPatch) -> None:
    """Run whatever is heard."""
    patch.setattr(dispatcher, "why_deaf", lambda *_: None)


@pytest.mark.attack("A30", sabotage=anything_goes)
@pytest.mark.parametrize("change", ["edit", "old", "from the future"])
async def test_what_may_run_nothing(bench: Bench, change: str) -> None:
    """Whatever network says it, in a room and in private."""
    ago = {"edit": 0.0, "old": STALE_AFTER + 5, "from the future": -STALE_AFTER - 5}[change]
    for channel in (bench.network.dm(ADA), bench.network.room("ops", ADA)):
        await bench.network.hear("!deeds do", ADA, channel, edit=change == "edit", at=bench.clock() - ago)
    await bench.settle()

    assert [] == bench.network.texts()


@pytest.mark.parametrize("later", [0.0, STALE_AFTER - 20])
async def test_one_id_runs_once(bench: Bench, later: float) -> None:
    """However often a network delivers it, in one piece or later."""
    message = await bench.network.hear("!deeds do", ADA)
    await bench.network.redeliver(message, message)
    bench.clock.pass_(later)
    await bench.network.redeliver(message)
    await bench.settle()

    assert ["it is done"] == bench.network.texts()


# ------------------------------------------------------------------------- Matrix


def edits_are_said(patch: pytest.MonkeyPatch) -> None:
    """Take an edit for something new."""
    hear = speech.hear

    def anew(*given: Any) -> speech.Heard | None:
        found = hear(*given)
        if found is not None:
            object.__setattr__(found, "edit", False)
        return found

    patch.setattr("adapters.matrix.hearing.hear", anew)


@pytest.mark.attack("A30", sabotage=edits_are_said)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_an_edit_on_matrix_runs_nothing(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """Chat that becomes a command, a command that becomes another, and edits that only one side shows as such."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, eve = await matrix_people.come("ada", "eve")
        room = await together(ada, bot, eve, encrypted=encrypted)
        chat = await ada.say(room, "hello everybody")
        await works(ada, room)
        await ada.edit(room, chat, "!deeds do")
        await ada.edit(room, await ada.say(room, "!ping"), "!deeds do")
        for half in (
            {"m.new_content": {"msgtype": "m.text", "body": "hello"}},
            {"m.relates_to": {"rel_type": "m.replace", "event_id": chat}},
        ):
            await ada.send(room, "m.room.message", {"msgtype": "m.text", "body": "!deeds do", **half})
        await eve.edit(room, chat, "!deeds do")
        await works(ada, room)
        await bench.settle()

        assert [] == [text for text in bodies(bot, ada) if "it is done" in text]


@pytest.mark.attack("A30", sabotage=anything_goes)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_backlog_on_matrix_is_not_run(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """What was said long before the bot came back is old, by the homeserver's stamp."""
    account = synapse.register("bot")
    async with bot_on(bench, synapse, account) as bot:
        (ada,) = await matrix_people.come("ada")
        room = await together(ada, bot, encrypted=encrypted)
        await works(ada, room)
    command = await ada.say(room, "!deeds do")
    bench.clock.pass_(STALE_AFTER + 5)
    async with bot_on(bench, synapse, account) as bot:
        await soon(lambda: (command, bot.mxid) in ada.receipts)
        await bench.settle()
        bench.clock.pass_(-STALE_AFTER - 5)
        await works(ada, room)

        assert [] == [text for text in bodies(bot, ada) if "it is done" in text]


async def test_what_was_redacted_is_not_run(bench: Bench, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """A command that its author took back while the bot was away."""
    account = synapse.register("bot")
    async with bot_on(bench, synapse, account) as bot:
        (ada,) = await matrix_people.come("ada")
        room = await together(ada, bot, encrypted=False)
        await works(ada, room)
    await ada.redact(room, await ada.say(room, "!deeds do"))
    async with bot_on(bench, synapse, account) as bot:
        await works(ada, room)
        await bench.settle()

        assert [] == [text for text in bodies(bot, ada) if "it is done" in text]


# --------------------------------------------------------- a homeserver that misbehaves


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """Remember no event."""
    patch.setattr(Hearing, "delivered", lambda *_: None)


@pytest.mark.attack("A30", sabotage=forgetful)
async def test_one_event_twice(tmp_path: Path) -> None:
    """In one answer, in the next, and once more behind a gap."""
    async with StandIn().up() as server:
        server.room(ROOM, HERE)
        event = said("!do", HERE)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, event, event)
            await bot.until("!do")
            server.tell(ROOM, event)
            server.rooms[ROOM].past["gap"] = ([event], None)
            server.tell(ROOM, said("!last", HERE), limited=True, before="gap")
            await bot.until("!last")

        assert ["!do", "!last"] == [one.text for one in bot.heard]


def however_old(patch: pytest.MonkeyPatch) -> None:
    """Fill gaps with whatever there is, and take it for new."""
    patch.setattr(sync, "_age", lambda event: 0.0)
    patch.setattr("matrix_stand_in.why_deaf", lambda *_: None)


@pytest.mark.attack("A30", sabotage=however_old)
async def test_a_gap_with_old_commands(tmp_path: Path) -> None:
    """A limited timeline is filled with what is young, and nothing that is old may run."""
    async with StandIn().up() as server:
        server.room(ROOM, HERE)
        server.rooms[ROOM].past["gap"] = (
            [said("!young", HERE, age=5), said("!old", HERE, age=STALE_AFTER + 10)],
            "further",
        )
        server.rooms[ROOM].past["further"] = ([said("!older", HERE, age=STALE_AFTER + 20)], None)
        async with bot_at(tmp_path, server) as bot:
            old = said("!told late", HERE, age=STALE_AFTER + 10)
            server.tell(ROOM, said("!now", HERE), old, limited=True, before="gap")
            await bot.until("!now")

        assert ["!young", "!now"] == bot.texts


def any_index(patch: pytest.MonkeyPatch) -> None:
    """Open a ciphertext as often as it comes."""
    patch.setattr("adapters.matrix.machine.Machine.message_index_ok", lambda *_: True, raising=False)


@pytest.mark.attack("A30", sabotage=any_index)
async def test_a_ciphertext_again_as_something_new(tmp_path: Path) -> None:
    """Under another event id and stamp, by whoever can put events into the room: it is not opened twice."""
    async with StandIn().up() as server:
        server.room(ROOM, HERE, encrypted=True)
        phone = await device(server.keys, tmp_path / "ada", HERE, "ADA1")
        async with bot_at(tmp_path, server, encryption=True) as bot:
            first = await phone.keys.encrypt(ROOM, [BOT], "m.room.message", {"msgtype": "m.text", "body": "!do"})
            server.tell(ROOM, said(first.content, HERE, kind="m.room.encrypted"))
            await bot.until("!do")
            server.tell(ROOM, said(first.content, HERE, kind="m.room.encrypted"))
            after = await phone.keys.encrypt(ROOM, [BOT], "m.room.message", {"msgtype": "m.text", "body": "!last"})
            server.tell(ROOM, said(after.content, HERE, kind="m.room.encrypted"))
            await bot.until("!last")

        assert ["!do", "!last"] == [one.text for one in bot.heard]
