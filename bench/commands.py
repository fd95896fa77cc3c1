"""What one command costs: unlinked, and as somebody."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from nacl.public import PrivateKey, SealedBox
from nacl.secret import Aead

from bench.bots import BARE, Bot, person
from bench.figures import Figure, cpu, each

_REPETITIONS = 7
_UNLINKED = 3000
_LINKED = 1000
_FLUSH_EVERY = 200
"""How many records the audit gathers before it writes them."""


def unlinked(scratch: Path) -> list[Figure]:
    """A command that needs no account: CPU, from hearing it to having answered it."""
    return asyncio.run(_unlinked(scratch))


def linked(scratch: Path) -> list[Figure]:
    """A command with the speaker's token, HTTP apart: CPU, with the record of it written."""
    return asyncio.run(_linked(scratch))


async def _unlinked(scratch: Path) -> list[Figure]:
    who = person(1)
    found: dict[str, list[float]] = {"!bench plain": [], "!bench bold": []}
    floors = []
    async with Bot.open(scratch) as bot:
        for text in found:
            async with bot.traced() as statements:
                await bot.hear(bot.message(text, who) for _ in range(_UNLINKED))
            assert not statements, f"an unlinked command touched the database: {statements[:3]}"
        for _ in range(_REPETITIONS):
            for text, values in found.items():
                messages = [bot.message(text, who) for _ in range(_UNLINKED)]
                values.append(await cpu(bot.hear(messages), _UNLINKED))
            floors.append(await cpu(_tasks(_UNLINKED), _UNLINKED))
    plain, bold = (tuple(values) for values in found.values())
    floor, none = "a bare task", "no statement reached SQLite"
    return [
        Figure("plain reply", "us", plain, tuple(floors), floor, aim=60, note=none),
        Figure("bold reply", "us", bold, tuple(floors), floor, note=none),
    ]


async def _tasks(times: int) -> None:
    async def nothing() -> None:
        pass

    for _ in range(times):
        await asyncio.create_task(nothing())


async def _linked(scratch: Path) -> list[Figure]:
    async with Bot.open(scratch) as bot:
        await bot.link(person(1))
        opening, looking = _opening(), _looking(scratch / "omnibot.db")
        return [
            await _acting("speaker cached", bot, False, opening, "the bare decryption", 300),
            await _acting("speaker looked up", bot, True, [*opening, looking], "that and a bare SELECT", 1000),
        ]


async def _acting(
    name: str, bot: Bot, cold: bool, least: Sequence[Callable[[], object]], floor: str, aim: float
) -> Figure:
    async with bot.traced() as statements:
        await _act(bot, cold)
    values, floors = [], []
    for _ in range(_REPETITIONS):
        values.append(await cpu(_act(bot, cold), _LINKED))
        floors.append(sum(each(one, _LINKED) for one in least))
    return Figure(name, "us", tuple(values), tuple(floors), floor, aim, f"{len(statements) / _LINKED:.1f} statements")


async def _act(bot: Bot, cold: bool) -> None:
    """Let the linked command be said so many times; *cold*: by somebody who is not remembered."""
    who = person(1)
    profile = await bot.core.people.find(who)
    assert profile is not None, "who linked an account is a person"
    for number in range(_LINKED):
        if cold:
            bot.core.people.changed(profile.person)
        await bot.hear([bot.message("!bench mine", who)])
        if number % _FLUSH_EVERY == _FLUSH_EVERY - 1:
            await bot.core.audit.flush()


def _opening() -> list[Callable[[], object]]:
    """Return what nobody can spare who opens a token: its owner's key unwrapped, the token's own seal opened."""
    private, key = PrivateKey.generate(), Aead(bytes(32))
    sealed, wrapped = SealedBox(private.public_key).encrypt(bytes(250)), key.encrypt(bytes(private), b"person")
    return [lambda: key.decrypt(wrapped, b"person"), lambda: SealedBox(private).decrypt(sealed)]


def _looking(path: Path) -> Callable[[], object]:
    """Return the reading of the rows that say whose accounts an identity's are, in the caller's own thread."""
    connection, who = sqlite3.connect(path), person(1)
    return lambda: connection.execute(BARE, (who.network, who.subject, who.epoch)).fetchall()
