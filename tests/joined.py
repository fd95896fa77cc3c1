"""One person on two networks, for tests: the steps they take, and what is seen of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.database import Transaction, Values
from omnibot.identity import Assurance, Identity
from omnibot.testing.bench import ADA, Bench, Clock, Plan
from omnibot.testing.fakes import FORMLESS, FakeAdapter

TRAIN = Identity("train", "t-1", "", "Ada on the train")
"""Ada, on another network."""


def two_networks(plan: Plan, clock: Clock | None = None) -> Plan:
    """Return *plan* with the networks ``fake`` and ``train``, which go by *clock*."""
    clock = clock or Clock()
    return replace(plan, networks=(FakeAdapter(capabilities=FORMLESS, clock=clock), FakeAdapter("train", clock=clock)))


@asynccontextmanager
async def open_both(plan: Plan) -> AsyncIterator[Bench]:
    """Start a bot as *plan* says, but on both networks."""
    clock = Clock()
    async with Bench.open(two_networks(plan, clock), clock) as bench:
        yield bench


def code_in(texts: list[str]) -> str:
    """Return the code that the bot has given out in *texts*."""
    return texts[0].partition("join ")[2].partition("`")[0]


async def name(bench: Bench, maker: Identity = ADA, typer: Identity = TRAIN) -> list[str]:
    """Let *typer* type the code of *maker* and say yes; return what was answered."""
    code = code_in(await bench.say("!join", maker))
    await bench.say(f"!join {code}", typer)
    return await bench.say("yes", typer)


async def join(bench: Bench, maker: Identity = ADA, typer: Identity = TRAIN) -> list[str]:
    """Make the two one person, from the code to the second yes."""
    await name(bench, maker, typer)
    said = await bench.say("!join yes", maker)
    assert "are one person to me now" in said[0], said
    return said


async def share(bench: Bench, speaker: Identity = ADA, service: str = "demo") -> list[str]:
    """Let *speaker* open an account to all of their identities."""
    await bench.say(f"!share {service}", speaker)
    return await bench.say("yes", speaker)


async def split(bench: Bench, named: str, speaker: Identity = ADA) -> list[str]:
    """Let *speaker* make the identity *named* a person of its own."""
    await bench.say(f"!split {named}", speaker)
    return await bench.say("yes", speaker)


async def hear_as(bench: Bench, text: str, speaker: Identity, assurance: Assurance) -> list[str]:
    """As ``bench.say``, vouched for as *assurance* says."""
    adapter = next(one for one in bench.networks if one.network == speaker.network)
    before = len(adapter.said)
    await adapter.hear(text, speaker, assurance=assurance)
    await bench.settle()
    return [said.reply.text for said in adapter.said[before:]]


async def persons(bench: Bench) -> dict[str, str]:
    """Return whose each identity is."""
    rows = await bench.rows("SELECT * FROM identities")
    return {f"{row['network']}:{row['subject']}": str(row["person"]) for row in rows}


async def held(bench: Bench) -> dict[str, Account]:
    """Return every account by its login, checked."""
    rows = await bench.rows("SELECT * FROM accounts ORDER BY created, id")
    return {one.login: one for one in (accounts.from_row(bench.core.sealer, row) for row in rows)}


def breaking(patch: pytest.MonkeyPatch, statement: int) -> None:
    """Let the disk be gone at every statement that writes, from *statement*, counted from nought, on."""
    written = count()

    def check() -> None:
        if next(written) >= statement:
            raise OSError("the disk is gone")

    execute, insert = Transaction.execute, Transaction.insert

    async def executed(self: Transaction, sql: str, values: Values = ()) -> int:
        check()
        return await execute(self, sql, values)

    async def inserted(self: Transaction, table: str, *rows: Mapping[str, Any]) -> None:
        check()
        await insert(self, table, *rows)

    patch.setattr(Transaction, "execute", executed)
    patch.setattr(Transaction, "insert", inserted)


async def everyone(bench: Bench) -> list[str]:
    """Return the ids of all people, oldest first."""
    return [str(row["id"]) for row in await bench.rows("SELECT id FROM people ORDER BY created, id")]
