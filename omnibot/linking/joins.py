"""The rows of joins: two identities on their way to be one person's.

*Open*: one identity made a code.  *Named*: another typed it and agreed; the first has to say yes.
Nothing but that yes joins them, and no row outlives its end.

Invariant: a row is used only if its tag fits, and every row is written with one.  A code stands
here as a keyed hash, and is gone once it was typed.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omnibot.database import Database, Row, Transaction
from omnibot.errors import VaultError
from omnibot.identity import Assurance, Identity
from omnibot.vault import Sealer, Tagged

JOIN_SECONDS = 600.0
"""How long a code is good, and then how long its maker has to say yes."""

TABLE = Tagged(
    "joins",
    ("id",),
    (
        "network",
        "subject",
        "epoch",
        "display",
        "assurance",
        "other",
        "other_assurance",
        "code_hash",
        "created",
        "until",
    ),
)

VOUCHED = Tagged("vouched", ("network", "subject", "epoch"), ("assurance", "at"))
FORMER = Tagged("former", ("id",), ("person", "pseudonym"))


@dataclass(frozen=True, slots=True)
class Join:
    """One row of ``joins``."""

    id: str
    maker: Identity
    """Who made the code, and has the last word."""

    assurance: Assurance
    """How the message that asked for the code was vouched for."""

    created: float
    until: float
    code_hash: bytes | None = field(default=None, repr=False)
    typer: Identity | None = None
    """Who typed the code and said that both are them."""

    typer_assurance: Assurance | None = None

    def named(self, typer: Identity, assurance: Assurance, until: float) -> "Join":
        """Return it with *typer*, who typed the code, which is spent."""
        return replace(self, code_hash=None, typer=typer, typer_assurance=assurance, until=until)


async def insert(tx: Transaction, sealer: Sealer, join: Join) -> None:
    """Write a new *join*."""
    await tx.insert("joins", sealer.stamp(TABLE, _to_row(join)))


async def update(tx: Transaction, sealer: Sealer, join: Join) -> None:
    """Write *join* over its row."""
    await tx.update("joins", TABLE.primary, sealer.stamp(TABLE, _to_row(join)))


async def delete(tx: Transaction, join: str) -> bool:
    """Delete the row with that id; return whether there was one."""
    return await tx.execute("DELETE FROM joins WHERE id = ?", (join,)) > 0


async def get(source: Database | Transaction, sealer: Sealer, join: str) -> Join | None:
    """Return the join with that id, checked; None if there is none.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    return await _first(source, sealer, "id = ?", join)


async def of_code(source: Database | Transaction, sealer: Sealer, code_hash: bytes) -> Join | None:
    """Return the join whose code has that hash, as `get` does."""
    return await _first(source, sealer, "code_hash = ?", code_hash)


async def of_maker(source: Database | Transaction, sealer: Sealer, maker: Identity) -> Join | None:
    """Return the join whose code *maker* made, as `get` does."""
    return await _first(source, sealer, _MADE_BY, *_triple(maker))


async def of_typer(source: Database | Transaction, sealer: Sealer, typer: Identity) -> list[Join]:
    """Return the joins whose code *typer* has typed; what is not as we wrote it is left out."""
    return _readable(sealer, await _rows(source, _TYPED_BY, *_known(typer)))


async def overdue(source: Database | Transaction, sealer: Sealer, now: float) -> list[Join]:
    """Return those whose time is over; what is not as we wrote it is left out."""
    return _readable(sealer, await _rows(source, "until <= ?", now))


async def forget(tx: Transaction, identity: Identity) -> list[str]:
    """Delete every row that names *identity*; return the ids of those that were there."""
    rows = await tx.rows(
        f"DELETE FROM joins WHERE ({_MADE_BY}) OR {_TYPED_BY} RETURNING id",  # noqa: S608 - our own
        (*_triple(identity), *_known(identity)),
    )
    return [str(row["id"]) for row in rows]


async def vouch(tx: Transaction, sealer: Sealer, identity: Identity, assurance: Assurance, now: float) -> None:
    """Note how *identity*, which is some person's, was vouched for just now."""
    row = dict(zip(VOUCHED.primary, _triple(identity), strict=True)) | {"assurance": int(assurance), "at": now}
    await tx.execute(f"DELETE FROM vouched WHERE {_MADE_BY}", _triple(identity))  # noqa: S608 - our own names
    await tx.insert("vouched", sealer.stamp(VOUCHED, row))


async def vouched(source: Database | Transaction, sealer: Sealer, identity: Identity) -> Assurance | None:
    """Return how *identity* was vouched for when it was joined; None if it never was.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    sql = f"SELECT * FROM vouched WHERE {_MADE_BY}"  # noqa: S608 - our own names
    for row in await source.rows(sql, _triple(identity)):
        sealer.check(VOUCHED, row)
        return Assurance(row["assurance"])
    return None


async def former(source: Database | Transaction, sealer: Sealer, person: str) -> dict[str, str]:
    """Return those who became part of *person*, pseudonym by id; what is not as we wrote it is left out."""
    found = {}
    for row in await source.rows("SELECT * FROM former WHERE person = ?", (person,)):
        with contextlib.suppress(VaultError):
            sealer.check(FORMER, row)
            found[str(row["id"])] = str(row["pseudonym"])
    return found


_MADE_BY = "network = ? AND subject = ? AND epoch = ?"
_TYPED_BY = "substr(other, 1, length(?)) = ?"


def _triple(identity: Identity) -> list[str]:
    return [identity.network, identity.subject, identity.epoch]


def _known(identity: Identity) -> tuple[str, str]:
    """Return, twice, what ``other`` begins with where *identity* is it: all but the display, which comes behind."""
    begins = json.dumps(_triple(identity))[:-1] + ","
    return begins, begins


def _to_row(join: Join) -> dict[str, Any]:
    other = None if join.typer is None else json.dumps([*_triple(join.typer), join.typer.display])
    return {
        "id": join.id,
        "network": join.maker.network,
        "subject": join.maker.subject,
        "epoch": join.maker.epoch,
        "display": join.maker.display,
        "assurance": int(join.assurance),
        "other": other,
        "other_assurance": None if join.typer_assurance is None else int(join.typer_assurance),
        "code_hash": join.code_hash,
        "created": join.created,
        "until": join.until,
    }


def _from_row(sealer: Sealer, row: Mapping[str, Any]) -> Join:
    sealer.check(TABLE, row)
    other = row["other"]
    return Join(
        id=row["id"],
        maker=Identity(row["network"], row["subject"], row["epoch"], row["display"]),
        assurance=Assurance(row["assurance"]),
        created=row["created"],
        until=row["until"],
        code_hash=row["code_hash"],
        typer=None if other is None else Identity(*json.loads(other)),
        typer_assurance=None if row["other_assurance"] is None else Assurance(row["other_assurance"]),
    )


def _readable(sealer: Sealer, rows: list[Row]) -> list[Join]:
    found = []
    for row in rows:
        with contextlib.suppress(VaultError):  # refused, and recorded, whenever somebody comes for it
            found.append(_from_row(sealer, row))
    return found


async def _first(source: Database | Transaction, sealer: Sealer, where: str, *values: Any) -> Join | None:
    rows = await _rows(source, where, *values)
    return _from_row(sealer, rows[0]) if rows else None


async def _rows(source: Database | Transaction, where: str, *values: Any) -> list[Row]:
    return await source.rows(f"SELECT * FROM joins WHERE {where}", values)  # noqa: S608 - values are bound
