"""What in the database stands under a master key: the tags, the boxes, people's keys, the codes.

One description of it, for those that move rows to another key (`omnibot.rotation`), that see
whether every row can be read (`omnibot.doctor`), and that count what a key is still needed for.

Invariant: every column that a master key is needed for is described here.  What is not would
be lost with the key; `count` therefore looks at the schema, and counts tables that it does
not know as well.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnibot import accounts, defaults, follows, hosts, quiet
from omnibot.catalogue import Instances
from omnibot.chain import MARKS
from omnibot.clients import client_purpose
from omnibot.delivery import notice_purpose
from omnibot.errors import KeyMissing, UserError, VaultError
from omnibot.identity import Identity
from omnibot.intake import WAITING
from omnibot.linking import joins
from omnibot.linking.flows import TABLE as FLOWS
from omnibot.linking.revoking import revocation_purpose
from omnibot.people import IDENTITIES, PEOPLE
from omnibot.stores import NETWORKS, secret_purpose
from omnibot.vault import PersonKeys, Rekeyer, Tagged

type Row = Mapping[str, Any]

_WITH_KEY_ID = """
SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'key_id'
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A column whose value is encrypted for one purpose; it begins with the id of its key."""

    column: str
    purpose: Callable[[Row], str]
    """What the box of a row is bound to; raises `UserError` where that cannot be told any more."""

    revocation: bool = False
    """Whether it is under K_revoke, and not K_seal."""

    text: bool = False
    """Whether it is written in hexadecimal; then empty stands for none."""

    loose: bool = False
    """Whether its reader does without it where it cannot be read, and it may be dropped."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A table whose rows need a master key."""

    table: str
    tagged: Tagged | None = None
    boxes: tuple[Box, ...] = ()
    primary: tuple[str, ...] = ("id",)
    """By which a row is named to the operator."""

    person: str = ""
    """Column with the person that its rows belong to, if any."""

    where: str = ""
    """Condition for the rows that need a key, where others do not."""

    key_column: bool = True
    """Whether ``key_id`` names the key, beside the boxes."""

    codes: str = ""
    """Column with a hash that begins with its key's id, and cannot be made anew under another."""

    def stale(self, newest: str) -> str:
        """Return the SQL condition for rows of which anything stands under another key than *newest*."""
        ways = [f"key_id != '{newest}'"] if self.key_column else []
        ways += [f"({_held(box)} AND {_key_of(box)} != '{newest}')" for box in self.boxes]
        return " AND ".join([f"({' OR '.join(ways)})", *([self.where] if self.where else [])])

    def name(self, row: Row) -> str:
        """Return how *row* is named to the operator."""
        return f"{self.table} {'/'.join(str(row[one]) for one in self.primary)}"


def keyed_tables(instances: Instances) -> tuple[Keyed, ...]:
    """Return every table with something under a master key; people first, as the rest is theirs."""

    def revocation(row: Row) -> str:
        return revocation_purpose(row["id"], instances.get(row["provider"], row["instance"]))

    return (
        Keyed("people", PEOPLE, person="id"),
        Keyed("identities", IDENTITIES, primary=IDENTITIES.primary, person="person"),
        Keyed("accounts", accounts.TABLE, person="person"),
        Keyed("flows", FLOWS, (Box("verifier", lambda row: f"verifier:{row['id']}"),), codes="code_hash"),
        Keyed("waiting", WAITING, (Box("message", lambda row: f"waiting:{row['id']}"),)),
        Keyed(
            "follows",
            follows.FOLLOWS,
            (
                Box("message", lambda row: follows.asked_purpose(row["id"])),
                Box("progress", lambda row: follows.progress_purpose(row["id"]), text=True, loose=True),
            ),
            person="person",
        ),
        Keyed("defaults", defaults.TABLE, person="person"),
        Keyed("quiet", quiet.TABLE, primary=quiet.TABLE.primary, person="person"),
        Keyed("joins", joins.TABLE, codes="code_hash"),
        Keyed("vouched", joins.VOUCHED, primary=joins.VOUCHED.primary),
        Keyed("former", joins.FORMER, person="person"),
        Keyed("networks", NETWORKS, primary=NETWORKS.primary),
        Keyed("hosts", hosts.TABLE, primary=hosts.TABLE.primary),
        Keyed("audit_marks", MARKS, primary=MARKS.primary),
        Keyed("notices", None, (Box("body", _notice),)),
        Keyed("revocations", None, (Box("token", revocation, revocation=True),)),
        Keyed(
            "clients",
            None,
            (Box("client", lambda row: client_purpose(row["provider"], row["instance"], row["origin"]), loose=True),),
            primary=("provider", "instance"),
        ),
        Keyed(
            "adapter_rows",
            None,
            (Box("value", lambda row: secret_purpose(row["network"], row["key"])),),
            primary=("network", "key"),
            where="sealed = 1",
            key_column=False,
        ),
    )


def _notice(row: Row) -> str:
    return notice_purpose(Identity(row["network"], row["subject"], row["epoch"]), row["id"])


def _held(box: Box) -> str:
    return f"length({box.column}) > 0"  # neither NULL nor empty


def _key_of(box: Box) -> str:
    """Return the SQL expression for the id of the key that a box is under."""
    return f"substr({box.column}, 1, 8)" if box.text else f"lower(hex(substr({box.column}, 1, 4)))"


def moved(rekeyer: Rekeyer, table: Keyed, row: Row) -> dict[str, Any]:
    """Return the columns of *row* that change when all of it goes under the newest key.

    A row that is not as we wrote it gets no tag: that would bless what somebody forged.

    Raises:
        KeyMissing: something of it stands under a key that is not here.
        VaultError: it is not as we wrote it.
        UserError: it is of a service that is not configured any more.
    """
    if table.tagged is not None:
        rekeyer.check(table.tagged, row)
    fresh: dict[str, Any] = {}
    for box in table.boxes:
        if row[box.column]:
            fresh[box.column] = _boxed(rekeyer, box, row)
    if table.tagged is PEOPLE:
        fresh["private_key"] = rekeyer.wrap(person_keys(row)).private_key
    if table.tagged is not None:
        return fresh | rekeyer.stamp(table.tagged, {**row, **fresh})
    return fresh | ({"key_id": rekeyer.newest} if table.key_column else {})


def _boxed(rekeyer: Rekeyer, box: Box, row: Row) -> str | bytes:
    again = rekeyer.revocation if box.revocation else rekeyer.box
    try:
        blob = bytes.fromhex(row[box.column]) if box.text else row[box.column]
        made = again(box.purpose(row), blob)
    except (VaultError, ValueError):
        if box.loose:
            return "" if box.text else b""
        raise
    return made.hex() if box.text else made


def person_keys(row: Row) -> PersonKeys:
    """Return the key pair in a row of ``people``."""
    return PersonKeys(row["id"], row["public_key"], row["private_key"], row["key_id"])


def why_unreadable(table: Keyed, row: Row, error: VaultError | UserError) -> str:
    """Return what is wrong with *row*, for the operator; nothing of its content is in it."""
    if isinstance(error, KeyMissing):
        return f"{table.name(row)}: {error}"
    if isinstance(error, UserError):
        return f"{table.name(row)}: its service is not configured any more"
    return f"{table.name(row)}: not as it was written"


@dataclass(frozen=True, slots=True)
class Standing:
    """How many rows need each master key."""

    rows: Mapping[str, int]
    """By key id: rows, and what is boxed in rows, that can be moved to another key."""

    codes: Mapping[str, int]
    """By key id: codes shown in browsers, which are good for some minutes and cannot be moved."""

    def older_than(self, newest: str) -> int:
        """Return how many rows stand under another key than *newest*."""
        return sum(count for key, count in self.rows.items() if key != newest)


def count(path: Path, tables: tuple[Keyed, ...]) -> Standing:
    """Count what stands under each key in the database at *path*, on a connection of its own; blocking.

    Tables that have a ``key_id`` and are not among *tables* count as well: nothing is to be lost.
    """
    rows: dict[str, int] = {}
    codes: dict[str, int] = {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")  # one moment for all tables
        for table in (*tables, *_unknown(connection, tables)):
            where = table.where or "1"
            if table.key_column:
                _add(rows, connection, f"SELECT key_id, count(*) FROM {table.table} WHERE {where} GROUP BY 1")  # noqa: S608 - our own names
            for box in table.boxes:
                beside = f" AND {_key_of(box)} != key_id" if table.key_column else ""
                held = f"{where} AND {_held(box)}{beside}"
                _add(rows, connection, f"SELECT {_key_of(box)}, count(*) FROM {table.table} WHERE {held} GROUP BY 1")  # noqa: S608
            if table.codes:
                key = f"lower(hex(substr({table.codes}, 1, 4)))"
                held = f"{table.codes} IS NOT NULL"
                _add(codes, connection, f"SELECT {key}, count(*) FROM {table.table} WHERE {held} GROUP BY 1")  # noqa: S608
    return Standing(rows, codes)


def _add(counted: dict[str, int], connection: sqlite3.Connection, sql: str) -> None:
    for key, number in connection.execute(sql):
        counted[key] = counted.get(key, 0) + number


def _unknown(connection: sqlite3.Connection, tables: tuple[Keyed, ...]) -> list[Keyed]:
    known = {one.table for one in tables}
    return [Keyed(name) for (name,) in connection.execute(_WITH_KEY_ID) if name not in known]
