"""Requests to verify the bot are declined, politely and once each."""

from pathlib import Path

import pytest

from adapters.matrix.verifying import CANCEL
from matrix_stand_in import BOT, StandIn, bot_at, said, soon

ADA, ROOM = "@ada:hs.test", "!room"
ASKED = {"from_device": "PHONE", "transaction_id": "t1", "methods": ["m.sas.v1"], "timestamp": 1}


@pytest.mark.parametrize("transaction", ["t1", "\ud800"], ids=["plain", "half a letter"])
@pytest.mark.parametrize("kind", ["m.key.verification.request", "m.key.verification.start"])
async def test_asked_by_a_device(tmp_path: Path, kind: str, transaction: str) -> None:
    """That device, and no other, is told why."""
    content = ASKED | {"transaction_id": transaction}
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.answer({"to_device": {"events": [{"type": kind, "sender": ADA, "content": content}]}})
            await bot.passed()
            await soon(lambda: server.requests("PUT", f"sendToDevice/{CANCEL}"))
            (body,) = server.requests("PUT", f"sendToDevice/{CANCEL}")

    assert {ADA: ["PHONE"]} == {user: list(devices) for user, devices in body["messages"].items()}
    assert (transaction, "m.user") == (
        body["messages"][ADA]["PHONE"]["transaction_id"],
        body["messages"][ADA]["PHONE"]["code"],
    )
    assert "I am a bot" in body["messages"][ADA]["PHONE"]["reason"]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "m.key.verification.request", "sender": ADA, "content": {"transaction_id": "t1"}},
        {"type": "m.key.verification.request", "sender": ADA, "content": ASKED | {"from_device": 5}},
        {"type": "m.key.verification.cancel", "sender": ADA, "content": ASKED},
        {"type": "m.dummy", "sender": ADA, "content": {}},
    ],
    ids=str,
)
async def test_what_asks_nothing(tmp_path: Path, event: dict[str, object]) -> None:
    """It is not answered."""
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.answer({"to_device": {"events": [event]}})
            server.tell(ROOM, said("!ping", ADA))
            await bot.until("!ping")

        assert [] == server.requests("PUT", "sendToDevice")


@pytest.mark.parametrize(("to", "answers"), [(BOT, 1), (ADA, 0)])
async def test_asked_in_a_room(tmp_path: Path, to: str, answers: int) -> None:
    """Where it is the bot that was asked."""
    content = {"msgtype": "m.key.verification.request", "body": "verify?", "to": to, "from_device": "PHONE"}
    async with StandIn().up() as server:
        server.room(ROOM, ADA)
        async with bot_at(tmp_path, server) as bot:
            server.tell(ROOM, said(content, ADA, event="$asked"))
            server.tell(ROOM, said("!ping", ADA))
            await bot.until("!ping")
            await soon(lambda: len(server.sent) >= answers)

        assert [CANCEL] * answers == [kind for _, kind, _ in server.sent]
        assert ["$asked"] * answers == [one["m.relates_to"]["event_id"] for *_, one in server.sent]
