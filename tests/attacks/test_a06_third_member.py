"""A6: a Matrix "direct message" with a third member, or one who comes while the answer is made.

A room is called direct by whoever made it, and its members change at any time: somebody is in it from the start,
is invited while a command runs, or comes in between the look at its members and the sending.

What must hold: a private answer goes where at the moment of sending the only members, joined or invited, are the
bot and that person; in the bot's own rooms nobody else can read back; the keys are that person's alone.
"""

import asyncio
from pathlib import Path

import pytest

from adapters.matrix.keys import Keys
from adapters.matrix.rooms import Room, Rooms
from adapters.matrix.saying import Saying
from journeys.matrix_bots import _accept, bodies, bot_on, first_link, together
from matrix_stand_in import Bot as Adapted
from matrix_stand_in import Fault, StandIn, bot_at, member, said, state_event
from omnibot import Context, Skill
from omnibot.errors import NoPrivateWay
from omnibot.identity import Identity
from omnibot.message import Message, Private, Reply
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.keyserver import device
from servers.synapse.person import MatrixPeople, MatrixPerson
from servers.synapse.server import Synapse

ADA, EVE, ROOM = "@ada:hs.test", "@eve:hs.test", "!room"

guests = Skill("guests")
_to_invite: dict[str, MatrixPerson] = {}


@guests.command
async def secret(ctx: Context) -> str:
    """Answer after somebody was invited to where it was asked."""
    grace = _to_invite["guest"]
    await _to_invite["host"].invite(ctx.message.channel.id, grace.mxid)
    return "the treasure is under the oak"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot with a slow secret."""
    return Plan(plan.directory, (*SKILLS, guests), provider=plan.provider)


def whoever_else_is_there(patch: pytest.MonkeyPatch) -> None:
    """Take a room for private in which the person is."""
    patch.setattr(Room, "is_private", lambda self, *people: set(people) <= self.joined | self.invited)


@pytest.mark.attack("A6", sabotage=whoever_else_is_there)
@pytest.mark.parametrize("membership", ["join", "invite"])
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_third_member_from_the_start(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, membership: str, encrypted: bool
) -> None:
    """The room is as public as any; the link comes in one of the bot's own, where nobody can read back."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, grace = await matrix_people.come("ada", "grace")
        room = await together(ada, bot, *[grace] * (membership == "join"), encrypted=encrypted, direct=True)
        if membership == "invite":
            await ada.invite(room, grace.mxid)
        _, alone = await first_link(bot, ada, room, "!link demo")

        assert room != alone
        assert {bot.mxid: "join", ada.mxid: "join"} == synapse.members(alone)
        assert [] == [text for text in bodies(bot, ada, room) if "://" in text]
        assert [] == [text for text in bodies(bot, grace) if "://" in text]
        assert "joined" == _visibility(synapse, alone)


@pytest.mark.attack("A6", sabotage=whoever_else_is_there)
async def test_invited_between_question_and_answer(bench: Bench, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """When it was asked they were alone; the answer goes elsewhere all the same."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, grace = await matrix_people.come("ada", "grace")
        room = await together(ada, bot, direct=True)
        _to_invite.update(host=ada, guest=grace)
        joining = asyncio.create_task(_accept(bot, ada))
        await ada.say(room, "!guests secret")
        alone = (await ada.hear("oak", of=bot.mxid)).room
        joining.cancel()
        await grace.join(room)

        assert room != alone
        assert [] == [text for text in bodies(bot, ada, room) if "oak" in text]
        assert [] == [text for text in bodies(bot, grace) if "oak" in text]


def _visibility(synapse: Synapse, room: str) -> str:
    (event,) = [one for one in synapse.state(room) if one["type"] == "m.room.history_visibility"]
    return str(event["content"]["history_visibility"])


# ------------------------------------------------- at a homeserver that chooses the moment


def looked_once(patch: pytest.MonkeyPatch) -> None:
    """Look when the place is chosen, and not again."""

    async def trusting(*_: object) -> None:
        return

    patch.setattr(Saying, "_is_still_private", trusting)


@pytest.mark.attack("A6", sabotage=looked_once)
@pytest.mark.parametrize("membership", ["join", "invite"])
async def test_between_the_look_and_a_later_try(tmp_path: Path, membership: str) -> None:
    """What has to wait its turn is looked at again when that has come; the bot need not have been told."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        comes = Fault(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 150})
        comes.after = lambda: server.change(ROOM, member(EVE, membership), tell=False)
        server.fault("PUT", f"rooms/{ROOM}/send", comes)
        async with bot_at(tmp_path, server) as bot:
            near = await _heard(server, bot)
            failed = await _private(bot, near)

        assert [] == [text for text in server.bodies() if "oak" in text]
        assert isinstance(failed, NoPrivateWay)


def keys_to_all(patch: pytest.MonkeyPatch) -> None:
    """Look before the keys are given, which takes its time, and not after."""
    sealed, looked = Saying._sealed, Saying._is_still_private

    async def early(self: Saying, item: object) -> object:
        await looked(self, item)  # type: ignore[arg-type]  # it is what `sealed` takes
        return await sealed(self, item)  # type: ignore[arg-type]

    patch.setattr(Saying, "_sealed", early)
    looked_once(patch)


@pytest.mark.attack("A6", sabotage=keys_to_all)
async def test_while_keys_are_given(tmp_path: Path) -> None:
    """In an encrypted room the homeserver can take its time with keys; the look comes after that."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, encrypted=True)
        await device(server.keys, tmp_path / "ada", ADA, "ADA1")
        await device(server.keys, tmp_path / "eve", EVE, "EVE1")
        comes = Fault(200, done=True, body={})
        comes.after = lambda: server.change(ROOM, member(EVE, "join"), tell=False)
        async with bot_at(tmp_path, server, encryption=True) as bot:
            near = await _heard(server, bot)
            server.fault("PUT", "sendToDevice/m.room.encrypted", comes)
            monkey = pytest.MonkeyPatch()
            monkey.setattr("adapters.matrix.saying._LOOKED", 0.0)  # as if the keys had taken longer than that
            failed = await _private(bot, near)
            monkey.undo()

        assert [] == [kind for _, kind, _ in server.sent]
        assert isinstance(failed, NoPrivateWay)


def to_all_who_are_there(patch: pytest.MonkeyPatch) -> None:
    """Give the key of a private answer to whoever is in the room."""
    encrypt = Keys.encrypt

    async def wide(self: Keys, room: str, users: object, kind: str, content: dict[str, object]) -> object:
        return await encrypt(self, room, [ADA, EVE], kind, content)

    patch.setattr(Keys, "encrypt", wide)


@pytest.mark.attack("A6", sabotage=to_all_who_are_there)
async def test_the_key_is_for_the_one_it_is_said_to(tmp_path: Path) -> None:
    """Whatever the homeserver says of the members meanwhile."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, encrypted=True)
        await device(server.keys, tmp_path / "ada", ADA, "ADA1")
        await device(server.keys, tmp_path / "eve", EVE, "EVE1")
        async with bot_at(tmp_path, server, encryption=True) as bot:
            near = await _heard(server, bot)
            await _private(bot, near)
        given = {user for body in server.requests("PUT", "sendToDevice/m.room.encrypted") for user in body["messages"]}

        assert ["m.room.encrypted"] == [kind for _, kind, _ in server.sent]
        assert {ADA} == given


def anybody_may_come(patch: pytest.MonkeyPatch) -> None:
    """Take a room for private whose two members are right, whoever may come or read."""
    patch.setattr(Room, "is_private", lambda self, *people: self.joined | self.invited == set(people))


@pytest.mark.attack("A6", sabotage=anybody_may_come)
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.join_rules", {"join_rule": "public"}),
        ("m.room.join_rules", {"join_rule": "restricted"}),
        ("m.room.join_rules", {"join_rule": "knock_restricted"}),
        ("m.room.history_visibility", {"history_visibility": "world_readable"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_room_that_others_can_enter_or_read(tmp_path: Path, kind: str, content: dict[str, str]) -> None:
    """Two members are not enough."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        server.change(ROOM, state_event(kind, content), tell=False)
        async with bot_at(tmp_path, server) as bot:
            near = await _heard(server, bot)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("adapters.matrix.rooms.JOIN_WITHIN", 0.1)
                await _private(bot, near)

        assert not near.channel.private
        assert [] == server.bodies(ROOM)


def by_the_last_sync(patch: pytest.MonkeyPatch) -> None:
    """Believe what the last sync told."""

    async def told(self: Rooms, room: str) -> Room:
        return Room(frozenset(self._client.rooms[room].users), frozenset(), closed=True, encrypted=False)

    patch.setattr(Rooms, "look", told)


@pytest.mark.attack("A6", sabotage=by_the_last_sync)
async def test_the_sync_has_not_told_yet(tmp_path: Path) -> None:
    """The homeserver is asked, not the memory."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            near = await _heard(server, bot)
            server.change(ROOM, member(EVE, "join"), tell=False)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("adapters.matrix.rooms.JOIN_WITHIN", 0.1)
                await _private(bot, near)

        assert near.channel.private
        assert [] == server.bodies(ROOM)


async def _heard(server: StandIn, bot: Adapted) -> Message:
    server.tell(ROOM, said("!where", ADA))
    return await bot.until("!where")


async def _private(bot: Adapted, near: Message) -> Exception | None:
    """Say a secret to ada alone; return what that raised."""
    try:
        await bot.adapter.send(Private(Identity("net", ADA), near), Reply("under the oak"), "key")
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error
    return None
