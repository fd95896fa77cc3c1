"""What the homeserver left out is asked for, as far as it is young; errors are raised, and not retried."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.matrix import sync
from adapters.matrix.sync import FILTER
from matrix_stand_in import Fault, StandIn, bot_at, member, said, soon
from omnibot.errors import Refused
from omnibot.message import STALE_AFTER

ADA, ROOM = "@ada:hs.test", "!room"


def text(number: int, age: float = 1.0) -> dict[str, Any]:
    return said(f"!{number}", ADA, age=age)


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        (lambda: {"gap": ([text(2), text(1)], None)}, [1, 2]),
        (lambda: {"gap": ([text(2)], "more"), "more": ([text(1)], "end"), "end": ([], None)}, [1, 2]),
        (lambda: {"gap": ([text(2)], "gap")}, [2]),
        (lambda: {"gap": ([], "more")}, []),
        (lambda: {"gap": ([text(2), text(1, STALE_AFTER + 1)], "more")}, [2]),
    ],
    ids=["one page", "three pages", "a loop", "nothing", "too old"],
)
async def test_a_gap_is_filled(
    tmp_path: Path, pages: Callable[[], dict[str, tuple[list[Any], str | None]]], found: list[int]
) -> None:
    """In the order of the room, before what was told."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        server.rooms[ROOM].past |= pages()  # made now: they are dated
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, text(9), limited=True, before="gap")
            await bot.until("!9")

        assert [f"!{number}" for number in [*found, 9]] == [one.text for one in bot.heard]


@pytest.mark.parametrize("stamp", [2**53, 10**400], ids=["large", "huge"])
async def test_an_event_of_no_time(tmp_path: Path, stamp: int) -> None:
    """Rooms of old versions may hold any number; it is passed over, and ends nothing."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, text(1) | {"origin_server_ts": stamp}, text(2), limited=True, before="gap")
            await bot.until("!2")

        assert ["!2"] == [one.text for one in bot.heard]


async def test_a_gap_before_old_events_is_left(tmp_path: Path) -> None:
    """What lies before what is too old is older."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, text(8, STALE_AFTER + 1), text(9), limited=True, before="gap")
            await bot.until("!9")

        assert [] == server.requests("GET", f"rooms/{ROOM}/messages")


async def test_a_gap_without_end(tmp_path: Path) -> None:
    """It is filled so far and no further."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        server.rooms[ROOM].past |= {f"p{n}": ([text(100 - n)], f"p{n + 1}") for n in range(100)}
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, text(900), limited=True, before="p0")
            await bot.until("!900")

        assert sync._MOST_PAGES == len(server.requests("GET", f"rooms/{ROOM}/messages"))


async def test_a_gap_that_cannot_be_filled_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The position stays before it, and nothing is delivered in part."""
    monkeypatch.setattr("adapters.matrix.adapter.random.uniform", lambda *_: 0.01)
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        server.rooms[ROOM].past["gap"] = ([text(1)], None)
        server.fault("GET", f"rooms/{ROOM}/messages", Fault(500))
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, text(2), limited=True, before="gap")
            server.tell(ROOM, text(2), limited=True, before="gap")
            await bot.until("!2")

        assert ["!1", "!2"] == [one.text for one in bot.heard]


async def test_a_limit_is_waited_out(tmp_path: Path) -> None:
    """As long as the homeserver says."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        server.fault(
            "GET", "sync", Fault(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 100}), times=6
        )
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, text(1))
            await bot.until("!1")


async def test_failures_in_a_row_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor begins anew, from the start."""
    monkeypatch.setattr("adapters.matrix.adapter.random.uniform", lambda *_: 0.001)
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.fault("GET", "sync", Fault(502, "<html>"), times=10)
            server.tell(ROOM, text(1))
            await soon(lambda: bot.is_over)
            assert bot.running is not None

            assert isinstance(bot.running.exception(), ConnectionError)


async def test_a_revoked_token_is_final(tmp_path: Path) -> None:
    """It is said once, with what to do."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.tokens.clear()
            server.tell(ROOM, text(1))
            await soon(lambda: bot.is_over)
            assert bot.running is not None

            assert isinstance(bot.running.exception(), Refused)


async def test_members_of_a_room_one_is_put_out_of(tmp_path: Path) -> None:
    """It is forgotten, with all that was known of it."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            gone = {"timeline": {"events": [member("@bot:hs.test", "leave")], "limited": False, "prev_batch": "p"}}
            server.answer({"rooms": {"leave": {ROOM: gone | {"state": {"events": []}}}, "join": {}}})
            await bot.passed()

            assert ROOM not in bot.adapter._connection().client.rooms


def test_the_filter_asks_for_what_is_read() -> None:
    """Members come lazily; presence, receipts and typing not at all."""
    room = FILTER["room"]

    assert isinstance(room, dict)
    assert room["state"]["lazy_load_members"] is room["timeline"]["lazy_load_members"] is True
    assert [[], []] == [room["ephemeral"]["types"], room["account_data"]["types"]]
