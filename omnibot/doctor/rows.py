"""Every row that stands under a master key: as we wrote it, and readable with the keys that are here."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnibot.accounts import TABLE as ACCOUNTS
from omnibot.adapter import Finding
from omnibot.catalogue import Instances
from omnibot.errors import KeyMissing, Tampered, UserError, VaultError
from omnibot.keyed import Keyed, keyed_tables, moved, person_keys, why_unreadable
from omnibot.people import PEOPLE
from omnibot.vault import Keyring, PersonKeys, Rekeyer, TokenHead
from omnibot.wire import origin_of

_MOST_NAMED = 20


async def verify_rows(data_dir: Path, keyring: Keyring, instances: Instances | None = None) -> list[Finding]:
    """Look at everything that stands under a master key: is it as we wrote it, and can it be read?

    Every tag is checked, every box and private key opened, and every account's token; nothing of
    what is in them is kept, or in what is found.  The bot may run meanwhile.  Without *instances* it
    is not looked at which API a token is for, nor into tokens that wait to be revoked.
    """
    instances = instances or Instances({}, {})
    database = data_dir / "omnibot.db"
    if not await asyncio.to_thread(database.exists):
        return [Finding("good", "There is no database yet.")]
    try:
        seen = await asyncio.to_thread(_verify, database, Rekeyer(keyring), keyed_tables(instances), instances)
    except sqlite3.Error as error:
        return [Finding("wrong", f"{database} cannot be read ({error}).", "Put a backup back: omnibot restore FILE")]
    found = [Finding("note", f"{one}.", "It is dropped within a day of when it was put there.") for one in seen.unsure]
    if seen.bad:
        cure = "Put the right key file back, or a backup: omnibot restore FILE"
        why = "The bot refuses whatever rests on it."
        return [*found, *(Finding("wrong", f"{one}.", cure, why) for one in list(seen.bad)[:_MOST_NAMED])]
    return [*found, Finding("good", f"{seen.rows} rows can be read, and are as they were written.")]


def open_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection to the database at *path* by which nothing can be written.

    Raises:
        sqlite3.Error: there is none to be had.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)


@dataclass(slots=True)
class _Seen:
    """What a look at every row has found."""

    rows: int = 0
    bad: dict[str, None] = field(default_factory=dict)
    """What is wrong, in the order found, each once: a missing key is missed by many rows."""

    unsure: list[str] = field(default_factory=list)


def _verify(path: Path, rekeyer: Rekeyer, tables: Sequence[Keyed], instances: Instances) -> _Seen:
    seen = _Seen()
    people: dict[str, PersonKeys] = {}
    with closing(open_read_only(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")  # one moment for all tables
        for table in tables:
            for found in connection.execute(f"SELECT * FROM {table.table} WHERE {table.where or '1'}"):  # noqa: S608 - our own names
                row = dict(found)
                seen.rows += 1
                try:
                    moved(rekeyer, table, row)  # thrown away: what can be moved can be read
                    if table.tagged is PEOPLE:
                        people[row["id"]] = person_keys(row)
                    elif table.tagged is ACCOUNTS and row["person"] in people:
                        _check_token(rekeyer, people[row["person"]], row, instances)
                except (KeyMissing, Tampered) as error:
                    seen.bad[str(error)] = None
                except VaultError as error:
                    seen.bad[why_unreadable(table, row, error)] = None
                except UserError as error:
                    seen.unsure.append(why_unreadable(table, row, error))
    return seen


def _check_token(rekeyer: Rekeyer, keys: PersonKeys, row: Mapping[str, Any], instances: Instances) -> None:
    try:
        origin = origin_of(instances.get(row["provider"], row["instance"]).api)
    except UserError:
        origin = ""  # it is no longer configured: everything else is compared
    instance = f"{row['provider']}@{row['instance']}"
    head = TokenHead(row["person"], row["provider"], instance, origin, row["external"])
    rekeyer.check_token(keys, row["id"], head, row["token"])
