"""What cannot be read yet waits a minute for its key, across a kill, and runs once or is given up."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nio.events.room_events import MegolmEvent
from nio.events.to_device import RoomKeyRequest, ToDeviceEvent

from adapters.matrix.held import (
    ASK_AFTER,
    HOLD,
    MOST,
    MOST_OF_ONE,
    TELL_AGAIN,
    Shelf,
    given_up,
    load,
    read_now,
    request,
    save,
)
from omnibot.testing.fakes import FakeStore
from servers.keyserver import Device, KeyServer, device, megolm

BOT, ADA, EVE = "@bot:hs.test", "@ada:hs.test", "@eve:hs.test"
ROOM = "!room"
NOW = 1_800_000_000.0
SEALED = {
    "algorithm": "m.megolm.v1.aes-sha2",
    "sender_key": "key",
    "ciphertext": "AwgA",
    "session_id": "session",
    "device_id": "ADA1",
}


def event(name: str, sender: str = ADA, **changes: Any) -> MegolmEvent:
    return megolm(ROOM, sender, SEALED | changes, name, int(NOW * 1000))


def never(room: str, key: str, session: str) -> bool:
    return False


def always(room: str, key: str, session: str) -> bool:
    return True


def again(shelf: Shelf, position: str | None = None) -> Shelf:
    """Return the shelf as the next process finds it."""
    return Shelf.parsed(shelf.dumped(), position)


# ------------------------------------------------------------------ the shelf by itself


def test_it_is_held_as_it_came() -> None:
    """With the homeserver's stamp, and across a start."""
    shelf = Shelf()
    took = shelf.hold(event("$1"), ROOM, NOW + 7)
    (held,) = again(shelf).ready(always)
    back = held.megolm()
    assert back is not None

    assert took
    assert (NOW * 1000, NOW + 7) == (back.server_timestamp, held.since)
    assert event("$1").source | {"room_id": ROOM} == back.source
    assert (ROOM, ADA, "session", "key") == (back.room_id, back.sender, back.session_id, back.sender_key)


def test_it_is_held_once() -> None:
    """However often the homeserver gives it; and its minute is that of the first time."""
    shelf = Shelf()
    took = [shelf.hold(event("$1"), ROOM, NOW + passed) for passed in (0, 30)]

    assert [True, True] == took
    assert 1 == len(shelf)
    assert 1 == len(shelf.give_up(NOW + HOLD))


def test_what_has_its_key_is_ready_in_order() -> None:
    """Each by its own room, sender's key and session."""
    shelf = Shelf()
    for name, session in (("$1", "a"), ("$2", "b"), ("$3", "a")):
        shelf.hold(event(name, session_id=session), ROOM, NOW)
    asked: list[tuple[str, str, str]] = []

    def has(*what: str) -> bool:
        asked.append((what[0], what[1], what[2]))
        return what[2] == "a"

    assert ["$1", "$3"] == [held.event for held in shelf.ready(has)]
    assert {(ROOM, "key", "a"), (ROOM, "key", "b")} == set(asked)
    assert [] == shelf.ready(never)


@pytest.mark.parametrize(
    ("passed", "asked"), [(0.0, 0), (ASK_AFTER - 0.1, 0), (ASK_AFTER, 1), (HOLD, 1), (-1.0, 1)], ids=str
)
def test_a_key_is_asked_for_after_a_while(passed: float, asked: int) -> None:
    """And at once where the clock was put back: nobody knows for how long it has waited."""
    shelf = Shelf()
    shelf.hold(event("$1"), ROOM, NOW)

    assert asked == len(list(shelf.to_ask(NOW + passed)))


def test_a_key_is_asked_for_once() -> None:
    """For all events under it; and again for what comes after those were given up."""
    shelf = Shelf()
    for name in ("$1", "$2"):
        shelf.hold(event(name), ROOM, NOW)
    first = [list(shelf.to_ask(NOW + passed)) for passed in (10, 20)]
    shelf.give_up(NOW + HOLD)
    shelf.hold(event("$3"), ROOM, NOW + HOLD)

    assert [1, 0] == [len(found) for found in first]
    assert ["$3"] == [held.event for held in shelf.to_ask(NOW + HOLD + ASK_AFTER)]


@pytest.mark.parametrize(
    ("passed", "given"), [(0.0, 0), (HOLD - 0.1, 0), (HOLD, 1), (10 * HOLD, 1), (-1.0, 1)], ids=str
)
def test_it_is_given_up_after_a_minute(passed: float, given: int) -> None:
    """Also by the next process, and where the clock was put back."""
    shelf = Shelf()
    shelf.hold(event("$1"), ROOM, NOW)
    for one in (again(shelf), shelf):
        late = one.give_up(NOW + passed)

        assert given == len(late)
        assert 1 - given == len(one)
        assert [] == one.give_up(NOW + passed)


def test_who_is_told() -> None:
    """Once a day for each sender and room, by whichever process."""
    shelf = Shelf()
    told = []
    for number, (passed, sender, room) in enumerate(
        [
            (0.0, ADA, ROOM),
            (100.0, ADA, ROOM),
            (200.0, EVE, ROOM),
            (300.0, ADA, "!other"),
            (TELL_AGAIN + 50.0, ADA, ROOM),
            (TELL_AGAIN + 70.0, ADA, ROOM),
        ]
    ):
        shelf.hold(event(f"${number}", sender), room, NOW + passed)
        told += [one.tell for one in shelf.give_up(NOW + passed + HOLD)]
        shelf = again(shelf)

    assert [True, False, True, True, True, False] == told


def test_one_person_does_not_fill_it() -> None:
    """Their newest are not taken; others' are."""
    shelf = Shelf()
    took = [shelf.hold(event(f"${number}", EVE), ROOM, NOW) for number in range(MOST_OF_ONE + 5)]

    assert [True] * MOST_OF_ONE + [False] * 5 == took
    assert shelf.hold(event("$ada"), ROOM, NOW)
    assert [True, False] == [shelf.refuse(event("$x", EVE), ROOM, NOW) for _ in range(2)]


def test_many_people_do_not_fill_the_memory() -> None:
    """It holds so many, and no more."""
    shelf = Shelf()
    took = [shelf.hold(event(f"${number}", f"@user{number}:hs.test"), ROOM, NOW) for number in range(MOST + 50)]

    assert (MOST, MOST) == (took.count(True), len(shelf))


def test_large_ones_do_not_fill_the_database() -> None:
    """Neither one nor many."""
    shelf = Shelf()
    alone = shelf.hold(event("$0", ciphertext="x" * 70_000), ROOM, NOW)
    for number in range(MOST):
        shelf.hold(event(f"${number}", f"@user{number}:hs.test", ciphertext="x" * 60_000), ROOM, NOW)
    kept = shelf.dumped()
    assert kept is not None

    assert not alone
    assert 10 < len(shelf) < 20
    assert len(kept) < 2 * 2**20


def test_those_told_do_not_fill_it() -> None:
    """Nobody more is told then, until a day has passed."""
    shelf = Shelf()
    told = [shelf.refuse(event("$1", f"@user{number}:hs.test"), ROOM, NOW) for number in range(1100)]

    assert 1000 == told.count(True)
    assert shelf.refuse(event("$1"), ROOM, NOW + TELL_AGAIN)


def test_nothing_is_kept_of_nothing() -> None:
    """A row is there only while there is something in it."""
    shelf = Shelf()
    shelf.hold(event("$1"), ROOM, NOW)
    (held,) = shelf.ready(always)
    shelf.drop(held)
    shelf.drop(held)

    assert shelf.dumped() is None
    assert 0 == len(again(shelf))


@pytest.mark.parametrize(
    ("position", "left"),
    [
        ("s7", 1),  # killed before it was delivered
        ("s8", 0),  # killed after
        (None, 1),
    ],
)
def test_what_was_delivered_is_not_read_again(position: str | None, left: int) -> None:
    """It goes with a position: where the network is there, it was delivered, and else not."""
    shelf = Shelf()
    shelf.hold(event("$1"), ROOM, NOW)
    (held,) = shelf.ready(always)
    shelf.go(held, "s8")
    shelf.go(replace(held, event="$gone"), "s8")

    assert 1 == len(shelf)
    assert left == len(again(shelf, position))


def test_what_never_went_anywhere_stays() -> None:
    """Not even where there is no position yet."""
    shelf = Shelf()
    shelf.hold(event("$1"), ROOM, NOW)

    assert 1 == len(again(shelf, ""))


# ------------------------------------------------------------------ as it is kept


class Counted(FakeStore):
    """A store that counts, and perhaps does not write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.broken = False

    async def set(self, key: str, value: bytes) -> None:
        self.writes += 1
        if self.broken:
            raise OSError
        await super().set(key, value)


async def test_it_is_written_only_when_it_changed() -> None:
    """Most syncs bring nothing that cannot be read."""
    rows, shelf = Counted(), Shelf()
    await save(shelf, rows)
    shelf.hold(event("$1"), ROOM, NOW)
    for _ in range(3):
        await save(shelf, rows)
    back = await load(rows, None)
    (held,) = back.ready(always)
    back.drop(held)
    await save(back, rows)

    assert 1 == rows.writes
    assert {} == rows.rows


async def test_a_write_that_failed_is_made_again() -> None:
    """The position must not go on without it, and next time it is tried again."""
    rows, shelf = Counted(), Shelf()
    shelf.hold(event("$1"), ROOM, NOW)
    rows.broken = True
    with pytest.raises(OSError):
        await save(shelf, rows)
    rows.broken = False
    await save(shelf, rows)

    assert 1 == len(await load(rows, None))


async def test_no_word_is_in_the_clear_there() -> None:
    """What is kept is what the homeserver had: ciphertext."""
    rows, shelf = FakeStore(), Shelf()
    shelf.hold(event("$1"), ROOM, NOW)
    await save(shelf, rows)
    (held,) = json.loads(rows.rows["held"])["held"]

    assert SEALED == json.loads(held["source"])["content"]
    assert "AwgA" not in repr(shelf.ready(always))


# ------------------------------------------------------------------ with real keys


@pytest.fixture
def server() -> KeyServer:
    """A homeserver."""
    return KeyServer()


@pytest.fixture
async def bot(server: KeyServer, tmp_path: Path) -> Device:
    """The bot's device."""
    return await device(server, tmp_path / "bot", BOT, "BOT1")


@pytest.fixture
async def ada(server: KeyServer, tmp_path: Path) -> Device:
    """Ada's phone."""
    return await device(server, tmp_path / "ada", ADA, "ADA1")


async def said(by: Device, text: str, *to: str) -> dict[str, Any]:
    sealed = await by.keys.encrypt(ROOM, to, "m.room.message", {"msgtype": "m.text", "body": text})
    return sealed.content


def hold(shelf: Shelf, content: Mapping[str, Any], name: str = "$1") -> MegolmEvent:
    sealed = megolm(ROOM, ADA, content, name, int(NOW * 1000))
    assert shelf.hold(sealed, ROOM, NOW)
    return sealed


def bodies(shelf: Shelf, bot: Device) -> list[tuple[str, str]]:
    return [(held.event, getattr(found, "body", "")) for held, found in read_now(shelf, bot.machine)]


async def test_a_key_that_comes_late(bot: Device, ada: Device) -> None:
    """The events under it are read as soon as it is there, in order, with their stamps; by the next process too."""
    shelf = Shelf()
    hold(shelf, await said(ada, "one", BOT), "$1")
    hold(shelf, await said(ada, "two", BOT), "$2")
    before = bodies(shelf, bot)
    bot.receive()
    later = again(shelf)
    found = read_now(later, bot.machine)

    assert [] == before
    assert [("$1", "one"), ("$2", "two")] == bodies(later, bot)
    assert [int(NOW * 1000)] * 2 == [event.server_timestamp for _, event in found]
    assert [True] * 2 == [event.decrypted for _, event in found]


async def test_a_key_that_opens_only_what_comes_later(bot: Device, ada: Device) -> None:
    """What is before it stays unread, and is given up in time."""
    shelf = Shelf()
    hold(shelf, await said(ada, "before"), "$1")
    hold(shelf, await said(ada, "after", BOT), "$2")
    bot.receive()

    assert [("$2", "after")] == bodies(shelf, bot)
    assert ["$1", "$2"] == [one.held.event for one in given_up(shelf, bot.machine, NOW + HOLD)]


async def asked_for(bot: Device, ada: Device, shelf: Shelf, passed: float = ASK_AFTER) -> list[RoomKeyRequest]:
    """Let the bot ask; return what arrives at Ada's phone."""
    request(shelf, bot.machine, NOW + passed)
    await bot.keys.upkeep()
    arrived = [ToDeviceEvent.parse_event(one) for one in bot.server.inbox.pop(ada.name, [])]
    return [one for one in arrived if isinstance(one, RoomKeyRequest)]


async def test_the_key_is_asked_of_the_device_that_has_it(bot: Device, ada: Device) -> None:
    """Once; and the next process asks no more."""
    shelf = Shelf()
    content = await said(ada, "hello")
    hold(shelf, content, "$1")
    hold(shelf, content | {"ciphertext": "AwgB"}, "$2")
    asked = [await asked_for(bot, ada, one, passed) for one in (shelf, again(shelf)) for passed in (1.0, 6.0, 20.0)]

    assert [0, 1, 0, 0, 0, 0] == [len(found) for found in asked]
    assert (BOT, "BOT1", content["session_id"]) == (
        asked[1][0].sender,
        asked[1][0].requesting_device_id,
        asked[1][0].session_id,
    )


async def forward(ada: Device, bot: Device, by: Device | None = None, **changes: str) -> None:
    """Forward the key of Ada's session to the bot, as clients do when asked; *by* another device, or *changed*."""
    by = by or ada
    await by.keys._look_up({BOT})
    (to,) = by.machine.device_store.active_user_devices(BOT)
    await by.keys._claim([to])
    session = by.machine.session_store.get(to.curve25519)
    made = ada.machine.outbound_group_sessions[ROOM]
    key = ada.machine.inbound_group_store.get(ROOM, ada.machine.account.identity_keys["curve25519"], made.id)
    assert key is not None
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "forwarding_curve25519_key_chain": [],
        "room_id": ROOM,
        "sender_claimed_ed25519_key": ada.machine.account.identity_keys["ed25519"],
        "sender_key": ada.machine.account.identity_keys["curve25519"],
        "session_id": made.id,
        "session_key": key.export_session(0),
    }
    sealed = by.machine._olm_encrypt(session, to, "m.forwarded_room_key", content | changes)  # type: ignore[no-untyped-call]
    bot.server.inbox.setdefault(bot.name, []).append(
        {"type": "m.room.encrypted", "sender": by.machine.user_id, "content": sealed}
    )
    bot.receive()


async def test_the_answer_is_read(bot: Device, ada: Device) -> None:
    """And nothing is left of the request."""
    shelf = Shelf()
    hold(shelf, await said(ada, "hello"))
    await bot.keys._look_up({ADA})
    await asked_for(bot, ada, shelf)
    await forward(ada, bot)

    assert [("$1", "hello")] == bodies(shelf, bot)
    assert {} == bot.machine.outgoing_key_requests == bot.machine.store.load_outgoing_key_requests()


async def test_nothing_that_was_not_asked_for_is_taken(bot: Device, ada: Device) -> None:
    """A key somebody presses on the bot opens nothing."""
    shelf = Shelf()
    hold(shelf, await said(ada, "hello"))
    await bot.keys._look_up({ADA})
    await forward(ada, bot)

    assert [] == bodies(shelf, bot)


@pytest.mark.parametrize("lie", ["nothing", "sender_key", "sender_claimed_ed25519_key", "room_id"])
async def test_nobody_else_answers(bot: Device, ada: Device, tmp_path: Path, lie: str) -> None:
    """Only the device that made a key says what it is: another one, or a changed answer, is not believed."""
    eve = await device(bot.server, tmp_path / "eve", EVE, "EVE1")
    shelf = Shelf()
    hold(shelf, await said(ada, "hello"))
    await bot.keys._look_up({ADA, EVE})
    await asked_for(bot, ada, shelf)
    if lie == "nothing":
        await forward(ada, bot, eve)
    else:
        await forward(ada, bot, None, **{lie: "another"})

    assert [] == bodies(shelf, bot)
    assert 1 == len(bot.machine.outgoing_key_requests)


async def test_a_request_that_nobody_answered_is_forgotten(bot: Device, ada: Device) -> None:
    """With the event that it was for; the sender is told once."""
    shelf = Shelf()
    hold(shelf, await said(ada, "hello"))
    await asked_for(bot, ada, shelf)
    late = given_up(shelf, bot.machine, NOW + HOLD)

    assert [("$1", True)] == [(one.held.event, one.tell) for one in late]
    assert {} == bot.machine.outgoing_key_requests == bot.machine.store.load_outgoing_key_requests()
