"""What somebody does who can write to the database, and what the bot then says of it.

The bot is stopped, the file is changed with SQLite alone, and the bot started again: nothing is
cached.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from attacks.helpers import audited
from omnibot.demo.browser import Browser
from omnibot.identity import Identity
from omnibot.testing.bench import Bench, Plan
from omnibot.vault import Sealer

REFUSAL = "I cannot use linked accounts just now; tell my operator"
"""How the sentence begins that a person hears when the vault refuses."""


@contextmanager
def database(plan: Plan) -> Iterator[sqlite3.Connection]:
    """Open the database of the bot that *plan* describes, which does not run; commit at the end of the block."""
    with closing(sqlite3.connect(plan.directory / "data" / "omnibot.db")) as connection:
        connection.row_factory = sqlite3.Row
        with connection:
            yield connection


def rows(plan: Plan, sql: str, *values: object) -> list[dict[str, Any]]:
    """Return what *sql* selects, while the bot does not run."""
    with database(plan) as connection:
        return [dict(row) for row in connection.execute(sql, values)]


def change(plan: Plan, sql: str, *values: object) -> None:
    """Run *sql*, which has to change something."""
    with database(plan) as connection:
        if connection.execute(sql, values).rowcount < 1:
            raise LookupError(f"nothing was changed by: {sql}")


def put(plan: Plan, table: str, row: Mapping[str, object]) -> None:
    """Insert *row* into *table* as it is."""
    with database(plan) as connection:
        marks = ", ".join(f":{name}" for name in row)
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", row)  # noqa: S608


@dataclass(frozen=True, slots=True)
class Refusal:
    """One ``vault.refused`` of the audit."""

    table: str
    why: str


async def refusals(bench: Bench) -> list[Refusal]:
    """Return what the vault refused so far, as the audit tells it."""
    return [Refusal(str(one["table"]), str(one["why"])) for one in await audited(bench, "vault.refused")]


def person_of(plan: Plan, subject: str) -> str:
    """Return the id of the person whose identity *subject* is."""
    found = rows(plan, "SELECT person FROM identities WHERE subject = ?", subject)
    return str(found[0]["person"])


def unchecked(patch: pytest.MonkeyPatch) -> None:
    """Believe every row, whatever its tag: the sabotage of most tests here."""
    patch.setattr(Sealer, "check", lambda self, tagged, row: None)


async def link_by(bench: Bench, command: str, speaker: Identity, login: str) -> list[str]:
    """Let *speaker* say *command*, and link *login* because of it; return what the confirm led to."""
    await bench.say(command, speaker)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(speaker), login)
        return await bench.say(f"!confirm {browser.code}", speaker)
