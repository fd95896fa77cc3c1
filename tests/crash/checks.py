"""What must hold after a kill, whatever the journey: of rows, of tokens, of effects."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crash.cases import Case
from omnibot import accounts, people
from omnibot.doctor import verify_rows
from omnibot.intake import unboxed
from omnibot.provider import Token
from omnibot.vault import Grants, Opener, PersonKeys, Sealer
from omnibot.wire import origin_of

LIVE = ("open", "exchanging", "pending", "held")


@dataclass(frozen=True, slots=True)
class Left:
    """What the database holds while no bot runs on it."""

    flows: tuple[str, ...]
    """The states of those that can still become something."""

    waiting: tuple[str, ...]
    """The words of the messages that wait."""

    accounts: tuple[str, ...]
    """Their states."""

    renewing: int
    """How many accounts have the mark of a renewal that was begun."""

    tokens: tuple[Token, ...]
    revocations: int
    notices: int

    started: bool
    """Whether a message that was accepted began: its row goes just before."""

    confirmed: bool
    """Whether an account became active, for which a command waited."""

    begun: bool
    """Whether that command began: its row goes just before."""

    @property
    def unsure(self) -> bool:
        """Whether the service may just have handed over a token: that is written down before it is asked."""
        return bool(self.renewing) or "exchanging" in self.flows


def look(case: Case) -> Left:
    """Return what the killed, or stopped, bot of *case* has left behind; nothing is changed by looking."""
    with TemporaryDirectory(dir=case.directory) as folder:
        for name in (case.data.name, f"{case.data.name}-wal"):
            if (source := case.data.with_name(name)).exists():
                shutil.copy(source, folder)
        with closing(sqlite3.connect(Path(folder) / case.data.name)) as connection:
            connection.row_factory = sqlite3.Row
            rows = {table: list(_rows(connection, table)) for table in _TABLES}
    sealer = Sealer(case.keyring)
    return Left(
        flows=tuple(row["state"] for row in rows["flows"] if row["state"] in LIVE),
        waiting=tuple(unboxed(sealer, row).text for row in rows["waiting"]),
        accounts=tuple(row["status"] for row in rows["accounts"]),
        renewing=sum(row["refreshing"] > 0 for row in rows["accounts"]),
        tokens=tuple(_opened(case, rows["people"], row) for row in rows["accounts"]),
        revocations=len(rows["revocations"]),
        notices=len(rows["notices"]),
        started=_came_to(case, "intake.start"),
        confirmed=_came_to(case, "linking.confirming.activate"),
        begun=_came_to(case, "linking.confirming.start_parked"),
    )


def _came_to(case: Case, commit: str) -> bool:
    return any(name == f"the commit of {commit}" for name, _ in case.points)


_TABLES = ("people", "flows", "waiting", "accounts", "revocations", "notices")


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - named above
        yield dict(row)


def _opened(case: Case, persons: list[dict[str, Any]], row: dict[str, Any]) -> Token:
    """Return the token in *row*, of which this also shows that its owner can open it."""
    keyring, grants = case.keyring, Grants()
    account = accounts.from_row(Sealer(keyring), row)
    (owner,) = (one for one in persons if one["id"] == account.person)
    Sealer(keyring).check(people.PEOPLE, owner)
    keys = PersonKeys(owner["id"], owner["public_key"], owner["private_key"], owner["key_id"])
    head = account.head(origin_of(case.instance.api))
    with grants.for_upkeep(account.person, account.id, "whoami") as grant:
        return Opener(keyring, grants).open(grant, keys, account.id, head, account.token)


async def settled(case: Case, killed: Left) -> None:
    """Assert what must hold a day after the recovery from a kill that left *killed* behind."""
    left = look(case)
    findings = await verify_rows(case.data.parent, case.keyring)

    assert ["good"] == [one.level for one in findings], findings
    assert ((), (), 0, 0, 0) == (left.flows, left.waiting, left.renewing, left.revocations, left.notices)
    assert killed.waiting or killed.begun or not killed.confirmed, "what waited for the link is lost"
    _no_token_is_lost(case, killed, left)
    _no_effect_is_doubled(case, killed)


def _no_token_is_lost(case: Case, killed: Left, left: Left) -> None:
    """Each token that is good upstream is sealed here; all but the one that died on its way to us."""
    known = case.provider._ledger._tokens.values()
    renewing = {one.family for one in known if one.kind == "refresh"}
    good = {
        one.value
        for one in known
        if one.family.alive and not one.spent and (one.kind == "refresh" or one.family not in renewing)
    } - {case.key}
    here = {one.refresh or one.access for one in left.tokens} - {case.key}

    assert len(good - here) <= (1 if killed.unsure else 0), f"{len(good - here)} tokens are lost"
    assert not here - good, "a token is kept that is worth nothing"


def _no_effect_is_doubled(case: Case, killed: Left) -> None:
    """What was asked for once happens once at most, and not when it is said that it did not."""
    written = case.provider.notes("ada")
    for words in case.typed:
        command = f"!notes add {words}"
        denied = case.told(f"`{command}` was not run") or case.told(f"could run `{command}`. It was not run")

        assert written.count(words) <= 1, f"{words} was written {written.count(words)} times"
        assert not (denied and words in written), f"{words} was written and said not to be"
        assert command not in killed.waiting or denied or words in written, f"{words} was neither run nor reported"
