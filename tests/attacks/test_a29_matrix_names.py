"""A29: names on Matrix that look like somebody's: display names, localparts, other homeservers, ghosts.

Everybody chooses what rooms call them, and somewhere there is a homeserver that hands out any localpart.

What must hold: a person is their whole MXID, letter for letter; other homeservers' people are vouched for less, or
not heard at all where federation is denied; in an encrypted room what somebody says was encrypted by a device of
theirs, whoever the homeserver says has sent it.
"""

import asyncio
from pathlib import Path

import pytest

from adapters.matrix import hearing, people
from adapters.matrix.machine import Machine
from adapters.matrix.settings import Settings
from journeys.matrix_bots import bot_on, first_link, link, soon, together, works
from matrix_stand_in import StandIn, bot_at, said
from omnibot.identity import Assurance, Identity
from omnibot.message import Origin
from omnibot.testing.bench import Bench
from servers.keyserver import device
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

ADA, EVE, ROOM = "@ada:hs.test", "@eve:hs.test", "!room"


def known_by_name(patch: pytest.MonkeyPatch) -> None:
    """Take whom the room calls by a name for the first who was."""
    sender, known = people.sender, dict[str, str]()

    def named(network: str, settings: Settings, mxid: object, display: object = None, **more: bool) -> object:
        found = sender(network, settings, mxid, display, **more)
        if found is None or not isinstance(found.speaker, Identity):
            return found
        name = found.speaker.display or str(mxid)[1:].partition(":")[0]
        return people.Sender(Identity(network, known.setdefault(name, str(mxid))), found.origin, found.assurance)

    patch.setattr(hearing, "sender", named)


@pytest.mark.attack("A29", sabotage=known_by_name)
async def test_a_borrowed_display_name_opens_nothing(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """The other one gets a link of their own, in private, and the person still reads their notes."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, eve = await matrix_people.come("ada", "eve")
        name = ada.account.localpart
        room = await together(ada, bot, eve)
        await link(bench, bot, ada, room)
        accounts = await bench.rows("SELECT subject FROM identities ORDER BY subject")
        await eve.ask("PUT", f"/profile/{eve.mxid}/displayname", {"displayname": name})
        await eve.until(lambda one: one.content.get("displayname") == name and one.sender == eve.mxid)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(first_link(bot, eve, room, "!notes"))
            await soon(lambda: asking.done() or "GET /api/notes" in bench.provider.requests)

            assert "GET /api/notes" not in bench.provider.requests
        _, own = asking.result()
        await works(eve, room)
        await bench.settle()
        eves = bench.provider.requests.count("GET /api/notes")
        await ada.say(room, "!notes")
        await ada.hear("You have no notes.", of=bot.mxid)

        assert [{"subject": ada.mxid}] == accounts
        assert 0 == eves
        assert {bot.mxid: "join", eve.mxid: "join"} == synapse.members(own)


LOOK_ALIKES = [
    "@ADA:hs.test",
    "@ada:HS.test",
    "@ada:hs.test.evil.example",
    "@ada:evil.example",
    "@\u0430da:hs.test",
    "@ada_:hs.test",
    "@ada=40hs.test:evil.example",
]


def alike(patch: pytest.MonkeyPatch) -> None:
    """Compare localparts only, in small letters and as they look."""
    sender = people.sender

    def folded(network: str, settings: Settings, mxid: object, *rest: object, **more: bool) -> object:
        local = str(mxid)[1:].partition(":")[0].lower().replace("\u0430", "a").strip("_").partition("=")[0]
        return sender(network, settings, f"@{local}:hs.test", *rest, **more)

    patch.setattr(hearing, "sender", folded)


@pytest.mark.attack("A29", sabotage=alike)
@pytest.mark.parametrize("mxid", LOOK_ALIKES)
async def test_a_look_alike_is_somebody_else(tmp_path: Path, mxid: str) -> None:
    """However the homeserver spells it."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, mxid)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, said("!ping", ADA), said("!pong", mxid))
            speakers = [(await bot.until(words)).speaker for words in ("!ping", "!pong")]

        assert [Identity("net", ADA), Identity("net", mxid)] == speakers


def everybody_is_ours(patch: pytest.MonkeyPatch) -> None:
    """Trust every homeserver like the bot's own."""
    patch.setattr(people, "assurance", lambda *_: Assurance.STRONG)


@pytest.mark.attack("A29", sabotage=everybody_is_ours)
async def test_other_homeservers_vouch_for_less(tmp_path: Path) -> None:
    """Whoever runs one can be anybody there; those that the operator lists are as good as the bot's own."""
    async with StandIn().up() as server:
        users = [ADA, "@ada:friends.test", "@ada:evil.example"]
        server.room(ROOM, *users)
        async with bot_at(tmp_path, server, trusted=["friends.test"]) as bot:
            server.tell(ROOM, *(said(f"!{user}", user) for user in users))
            found = [(await bot.until(f"!{user}")).assurance for user in users]

        assert [Assurance.STRONG, Assurance.STRONG, Assurance.ACCOUNT] == found


def deaf_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """Hear other homeservers' people whatever the operator says."""
    assurance = people.assurance
    patch.setattr(
        people,
        "assurance",
        lambda settings, mxid: assurance(settings.model_copy(update={"federation": "allow"}), mxid),
    )


@pytest.mark.attack("A29", sabotage=deaf_to_nobody)
async def test_federation_denied(tmp_path: Path) -> None:
    """Nobody from elsewhere is heard at all, nor are their invitations followed."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, "@ada:evil.example")
        async with bot_at(tmp_path, server, federation="deny", invites="any") as bot:
            invited = {
                "invite_state": {
                    "events": [
                        {
                            "type": "m.room.member",
                            "sender": "@ada:evil.example",
                            "state_key": "@bot:hs.test",
                            "content": {"membership": "invite"},
                        }
                    ]
                }
            }
            server.answer({"rooms": {"invite": {"!theirs": invited}, "join": {}}})
            server.tell(ROOM, said("!evil", "@ada:evil.example"), said("!ping", ADA))
            await bot.until("!ping")

        assert ["!ping"] == [one.text for one in bot.heard]
        assert [] == server.requests("POST", "join/")


def ghosts_are_people(patch: pytest.MonkeyPatch) -> None:
    """Know no ghosts."""
    patch.setattr(people, "is_ghost", lambda *_: False)


@pytest.mark.attack("A29", sabotage=ghosts_are_people)
@pytest.mark.parametrize("mxid", ["@_irc_ada:hs.test", "@_IRC_ada:hs.test", "@telegram_bridge:hs.test"])
async def test_ghosts_are_guests(tmp_path: Path, mxid: str) -> None:
    """A bridge speaks for whom it likes."""
    async with StandIn().up() as server:
        server.room(ROOM, mxid)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, said("!ping", mxid))
            found = await bot.until("!ping")

        assert Origin.GHOST is found.origin
        assert not isinstance(found.speaker, Identity)
        assert found.assurance is None


def whoever_the_homeserver_says(patch: pytest.MonkeyPatch) -> None:
    """Take the homeserver's word for who has encrypted an event."""
    patch.setattr(hearing, "_is_of_sender", lambda *_: True)


@pytest.mark.attack("A29", sabotage=whoever_the_homeserver_says)
async def test_anothers_ciphertext_under_ones_name(tmp_path: Path) -> None:
    """Whoever can forge an event's sender cannot speak as them: the device that encrypted it is another's."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE, encrypted=True)
        phone = await device(server.keys, tmp_path / "ada", ADA, "ADA1")
        eves = await device(server.keys, tmp_path / "eve", EVE, "EVE1")
        async with bot_at(tmp_path, server, encryption=True) as bot:
            forged = await eves.keys.encrypt(ROOM, ["@bot:hs.test"], "m.room.message", _text("!forged"))
            good = await phone.keys.encrypt(ROOM, ["@bot:hs.test"], "m.room.message", _text("!good"))
            server.tell(
                ROOM,
                said(forged.content, ADA, kind="m.room.encrypted"),
                said(good.content, ADA, kind="m.room.encrypted"),
            )
            await bot.until("!good")
            machine = bot.adapter._connection().client.olm

        assert ["!good"] == [one.text for one in bot.heard]
        assert isinstance(machine, Machine)
        assert ["ADA1"] == [one.id for one in machine.device_store.active_user_devices(ADA)]


@pytest.mark.attack("A29", sabotage=whoever_the_homeserver_says)
async def test_a_device_that_claims_anothers_keys(tmp_path: Path) -> None:
    """A member passes another's session on as their own: the sender's key on the event does not make it theirs."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA, EVE, encrypted=True)
        phone = await device(server.keys, tmp_path / "ada", ADA, "ADA1")
        await device(server.keys, tmp_path / "eve", EVE, "EVE1")
        async with bot_at(tmp_path, server, encryption=True) as bot:
            sealed = await phone.keys.encrypt(ROOM, ["@bot:hs.test"], "m.room.message", _text("!taken"))
            server.tell(ROOM, said(sealed.content, EVE, kind="m.room.encrypted"))
            server.tell(ROOM, said("!clear", EVE))
            await bot.until("!clear")

        assert ["!clear"] == [one.text for one in bot.heard]


def _text(words: str) -> dict[str, str]:
    return {"msgtype": "m.text", "body": words}
