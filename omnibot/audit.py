"""The record of what each person did as themselves.

Append-only and hash-chained: each row's hash covers the row before it, so that an edited,
removed or reordered row is noticed.  It speaks of people by a random pseudonym; erasing
the person erases the mapping, and the chain stays whole.  Records are written behind, in
order, within a second; no secret is ever in one.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnibot.database import Database, Row, Transaction

log = logging.getLogger(__name__)

_FLUSH_EVERY = 1.0
_FLUSH_AT = 200
_PAUSE_AFTER_FAILURE = 10.0
_START = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    at: float
    pseudonym: str
    """Who, as only the ``people`` table can tell; empty for the bot itself, and for whom it no longer knows."""

    network: str
    event: str
    """What, as a dotted code: ``link.confirmed``, ``command``, ``vault.tampered``."""

    detail: str
    """JSON object; never a secret, never what a command was told."""


_NAMED = "SELECT pseudonym FROM people WHERE id = ? UNION ALL SELECT pseudonym FROM former WHERE id = ?"
"""Also of who has become part of somebody else since it was recorded."""

_THEIRS = "SELECT pseudonym FROM people WHERE id = ? UNION SELECT value FROM json_each(?)"


class Audit:
    """Keeps the record.  `record` never waits and never fails; `flush` waits until all is written."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        """Write to *database*."""
        self._database = database
        self._clock = clock
        self._waiting: deque[tuple[str, Entry]] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    def record(self, person: str, network: str, event: str, **detail: str | float | bool | None) -> None:
        """Note that *event* happened to *person* (an id; empty: the bot itself).

        *detail* holds names and codes, never a secret.  What is written names the person's pseudonym only.
        """
        text = json.dumps(detail, separators=(",", ":"), sort_keys=True)
        self._waiting.append((person, Entry(self._clock(), "", network, event, text)))
        if len(self._waiting) >= _FLUSH_AT:
            self._wake.set()

    def record_of(self, pseudonym: str, network: str, event: str, **detail: str | float | bool | None) -> None:
        """As `record`, of somebody whose *pseudonym* is known and who is not: they are being erased."""
        text = json.dumps(detail, separators=(",", ":"), sort_keys=True)
        self._waiting.append(("", Entry(self._clock(), pseudonym, network, event, text)))

    async def run(self) -> None:
        """Write what has been recorded, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_EVERY):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except Exception:
                log.exception("the audit could not be written; it is kept and tried again")
                await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    async def flush(self) -> None:
        """Write everything recorded so far; what cannot be written is kept."""
        async with self._writing:
            batch = list(self._waiting)
            if not batch:
                return
            async with self._database.transaction() as tx:
                names = await _pseudonyms(tx, {person for person, _ in batch if person})
                last = await tx.rows("SELECT hash FROM audit ORDER BY seq DESC LIMIT 1")
                previous = last[0]["hash"] if last else _START
                rows = []
                for person, entry in batch:
                    rows.append(_row(replace(entry, pseudonym=names.get(person, entry.pseudonym)), previous))
                    previous = rows[-1]["hash"]
                await tx.insert("audit", *rows)
                tx.after_commit(partial(self._written, len(batch)))

    def _written(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    async def of(self, person: str, most: int = 20, also: Collection[str] = ()) -> list[Entry]:
        """Return the latest entries about *person*, and about who has one of the pseudonyms *also*, newest first."""
        await self.flush()
        sql = f"SELECT a.* FROM audit a WHERE a.pseudonym IN ({_THEIRS}) ORDER BY a.seq DESC LIMIT ?"  # noqa: S608 - our own
        return [_entry(row) for row in await self._database.read(sql, (person, json.dumps([*also]), most))]

    async def count(self, person: str, also: Collection[str] = ()) -> int:
        """Return how many entries there are that `of` could return."""
        sql = f"SELECT count(*) AS n FROM audit a WHERE a.pseudonym IN ({_THEIRS})"  # noqa: S608 - our own
        return int((await self._database.read(sql, (person, json.dumps([*also]))))[0]["n"])

    async def first_broken(self) -> int | None:
        """Return the sequence number of the first row that does not fit the chain; None if all do."""
        previous = _START
        expected = None
        for row in await self._database.read("SELECT * FROM audit ORDER BY seq"):
            if expected is not None and row["seq"] != expected:
                return int(expected)
            if row["previous"] != previous or row["hash"] != _hash(_entry(row), previous):
                return int(row["seq"])
            previous, expected = row["hash"], row["seq"] + 1
        return None


async def _pseudonyms(tx: Transaction, people: set[str]) -> dict[str, str]:
    found = {}
    for person in people:
        rows = await tx.rows(_NAMED, (person, person))
        if rows:
            found[person] = str(rows[0]["pseudonym"])
    return found


def _row(entry: Entry, previous: bytes) -> dict[str, Any]:
    return {
        "at": entry.at,
        "pseudonym": entry.pseudonym,
        "network": entry.network,
        "event": entry.event,
        "detail": entry.detail,
        "previous": previous,
        "hash": _hash(entry, previous),
    }


def _entry(row: Row) -> Entry:
    return Entry(row["at"], row["pseudonym"], row["network"], row["event"], row["detail"])


def _hash(entry: Entry, previous: bytes) -> bytes:
    parts: Sequence[Any] = [entry.at, entry.pseudonym, entry.network, entry.event, entry.detail]
    return hashlib.blake2b(previous + json.dumps(parts).encode(), digest_size=32).digest()
