"""The record of what each person did as themselves.

Append-only and hash-chained: each row's hash covers the row before it, so that an edited,
removed or reordered row is noticed.  It speaks of people by a random pseudonym; erasing
the person erases the mapping, and the chain stays whole.  Records are written behind, in
order, within a second; no secret is ever in one.

What was written last is signed with every write, and its head goes into a file beside the database
at each start and end, and daily (`omnibot.anchors`).  What is older than is kept is trimmed from the
beginning, behind a signed checkpoint, and only while all of it is as it was written (`omnibot.chain`).
"""

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnibot import anchors, chain
from omnibot.chain import MARKS, START, Head, Verdict
from omnibot.database import Database, Row, Transaction
from omnibot.errors import OmnibotError, StorageTrouble, Tampered, UserError
from omnibot.threads import in_own_thread
from omnibot.vault import Keyring, Sealer

log = logging.getLogger(__name__)

_FLUSH_EVERY = 1.0
_FLUSH_AT = 200
_PAUSE_AFTER_FAILURE = 10.0
_DAY = 86400.0
_JUMP = 3600.0
"""Seconds by which the clock may be put right while the bot runs."""

_AT_ONCE = 2000
"""Entries that one transaction trims, or one page of an export holds."""

type Detail = str | float | bool | Sequence[str] | None


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


_NAMED = """
WITH meant (id) AS (SELECT value FROM json_each(?))
SELECT id, pseudonym FROM former WHERE id IN meant UNION ALL SELECT id, pseudonym FROM people WHERE id IN meant
"""
"""Of everybody meant at once; also of who has become part of somebody else since it was recorded."""

_THEIRS = "SELECT pseudonym FROM people WHERE id = ? UNION SELECT value FROM json_each(?)"


class Audit:
    """Keeps the record.  `record` never waits and never fails; `flush` waits until all is written."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = time.time,
        *,
        sealer: Sealer | None = None,
        keep: float | None = None,
    ) -> None:
        """Write to *database*, sign with *sealer*, and trim what is older than *keep* seconds; None: nothing."""
        self._database = database
        self._clock = clock
        self._ticks = _since_boot if clock is time.time else clock
        self._born: tuple[float, float] | None = None
        """What clock and ticks were at the start."""

        self._sealer = sealer or Sealer(Keyring())
        self._keep = keep
        self._anchors = database.path.with_name(anchors.NAME)
        self._anchoring = asyncio.Lock()
        self._daily_at = 0.0
        self._told = ""
        self._signs = False
        """Whether something was signed before, so that a signature has to be there."""

        self._waiting: deque[tuple[str, Entry]] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    @property
    def backlog(self) -> int:
        """How many entries wait to be written."""
        return len(self._waiting)

    def record(self, person: str, network: str, event: str, **detail: Detail) -> None:
        """Note that *event* happened to *person* (an id; empty: the bot itself).

        *detail* holds names and codes, never a secret.  What is written names the person's pseudonym only.
        """
        text = json.dumps(detail, separators=(",", ":"), sort_keys=True)
        self._waiting.append((person, Entry(self._clock(), "", network, event, text)))
        if len(self._waiting) >= _FLUSH_AT:
            self._wake.set()

    def record_of(self, pseudonym: str, network: str, event: str, **detail: Detail) -> None:
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
                if self._clock() >= self._daily_at:
                    self._daily_at = self._clock() + _DAY
                    await self.daily()
            except StorageTrouble:  # the operator has been told, once; what is to be written is kept
                await asyncio.sleep(_PAUSE_AFTER_FAILURE)
            except Exception:
                log.exception("the audit could not be written; it is kept and tried again")
                await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    async def flush(self) -> None:
        """Write everything recorded so far, and sign it; what cannot be written is kept."""
        async with self._writing:
            batch = list(self._waiting)
            if not batch:
                return
            async with self._database.transaction() as tx:
                names = await _pseudonyms(tx, {person for person, _ in batch if person})
                entries = [replace(entry, pseudonym=names.get(person, entry.pseudonym)) for person, entry in batch]
                await self._write(tx, entries)
                tx.after_commit(partial(self._written, len(batch)))

    async def _write(self, tx: Transaction, entries: Sequence[Entry]) -> Head | None:
        """Put *entries* behind the last one and sign the new head; return that, None if there still is none."""
        last = await _last(tx)
        signing, unsigned = await self._may_sign(tx, last)
        if unsigned:
            since, upto = unsigned
            detail = json.dumps({"since": since, "upto": upto}, separators=(",", ":"), sort_keys=True)
            entries = [Entry(self._clock(), "", "", "audit.unsigned", detail), *entries]
        previous, rows = last.hash if last else START, []
        for entry in entries:
            rows.append(_row(entry, previous))
            previous = rows[-1]["hash"]
        if rows:
            await tx.insert("audit", *rows)
        head = await _last(tx)
        if signing and head is not None and head != last:
            await self._mark(tx, "head", head)
        return head

    async def _may_sign(self, tx: Transaction, last: Head | None) -> tuple[bool, tuple[int, int] | None]:
        """Return whether the head may be signed, and which entries (from, to) are from before anything was.

        What contradicts the last signature is never covered by a new one: it would hide who did that (A59).  So
        it is with entries behind it, be they the bot's own of a time without its key: an operator says that they are.
        """
        if self._sealer.locked:
            return False, None
        try:
            signed = await self._signed(tx)
        except Tampered:
            return self._contradicted("what the bot has signed of it is not as it was")
        if signed is None and self._signs:
            return self._contradicted("its signed head has been taken away")
        if signed is None:  # it is from before anything was signed
            return True, (1, last.seq) if last else None
        if signed == last:
            return True, None
        found = await tx.rows("SELECT hash FROM audit WHERE seq = ?", (signed.seq,))
        if last is None or last.seq < signed.seq or not found or found[0]["hash"] != signed.hash:
            return self._contradicted(f"it does not go through entry {signed.seq}, which the bot has signed")
        return self._contradicted(f"it goes on behind entry {signed.seq}, the last that the bot has signed")

    async def _signed(self, tx: Transaction) -> Head | None:
        """Return the signed head; None if nothing was signed yet.

        Raises:
            Tampered: head or checkpoint is not ours, or there is a checkpoint alone.
        """
        found: dict[str, Head] = {}
        for row in await tx.rows("SELECT * FROM audit_marks"):
            self._sealer.check(MARKS, row)
            found[row["kind"]] = Head(row["seq"], row["hash"])
        if found and "head" not in found:
            raise Tampered(MARKS.table, "head")
        return found.get("head")

    def _contradicted(self, why: str) -> tuple[bool, None]:
        self._tell(f"The record of what people did has been changed behind the bot's back: {why}.")
        return False, None

    def _tell(self, why: str) -> None:
        """Tell the operator, once, that the record is not as it was written."""
        if self._told != why:
            self._told = why
            log.error(
                "%s See: omnibot audit verify. If you restored a backup yourself, or the bot ran without its key: "
                "omnibot audit anchor --anew",
                why,
            )

    async def _mark(self, tx: Transaction, kind: str, head: Head) -> None:
        row = {"kind": kind, "seq": head.seq, "hash": head.hash, "at": self._clock()}
        await tx.execute("DELETE FROM audit_marks WHERE kind = ?", (kind,))
        await tx.insert("audit_marks", self._sealer.stamp(MARKS, row))
        self._signs = True

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

    async def page(self, after: int) -> list[dict[str, Any]]:
        """Return entries behind number *after*, oldest first, a page at most: as they stand in the database."""
        await self.flush()
        return await self._database.read(_PAGE, (after, _AT_ONCE))

    # -- whether it is as it was written -------------------------------------------------

    async def verify(self, wanted: Head | None = None) -> Verdict:
        """Follow the whole chain, through all that is signed, and *wanted*.

        Raises:
            UserError: *wanted* is of before what was trimmed.
        """
        await self.flush()

        def work() -> Verdict:
            found = anchors.read(self._anchors, self._sealer)
            verdict = chain.verify(self._database.path, self._sealer, found.points, wanted)
            notes = [*verdict.notes]
            if found.foreign:
                notes.append(f"{found.foreign} line(s) of {self._anchors} are not the bot's, and say nothing.")
            if found.unread:
                notes.append(f"{found.unread} line(s) of {self._anchors} are under a key that is not here.")
            return replace(verdict, notes=tuple(notes))

        return await in_own_thread(work)

    async def first_broken(self) -> int | None:
        """Return the sequence number of the first entry that is not as it was written; None if all are."""
        return (await self.verify()).broken

    # -- anchors and retention -----------------------------------------------------------

    async def daily(self) -> None:
        """Anchor the head, and trim what is older than is kept; what goes wrong is in the log."""
        try:
            await self.anchor()
            await self.trim()
        except UserError:
            pass  # what contradicts what was signed has been told
        except (OmnibotError, OSError, sqlite3.Error) as error:
            log.error("the audit could not be anchored or trimmed: %s", error)
        except Exception:  # what somebody else wrote into it must not keep the bot from its work
            log.exception("the audit could not be anchored or trimmed")

    async def anchor(self, *, anew: bool = False) -> Head | None:
        """Put the head into the file beside the database, and return it; None if nothing was recorded yet.

        With *anew*, the record is taken as it is now for good: what was signed before binds nothing any more,
        and the record says so.  Otherwise nothing is signed that contradicts what was signed before.

        Raises:
            UserError: it does.
            KeyMissing: there is no key to sign with.
            OSError, sqlite3.Error: the file or the database cannot be read or written.
        """
        await self.flush()
        async with self._anchoring:
            if not anew:
                found = await in_own_thread(partial(anchors.anchored, self._database.path.parent, self._sealer))
                if found.why:
                    self._tell(found.why)
                    raise UserError(f"{found.why} Nothing was anchored. See: omnibot audit verify")
            async with self._writing, self._database.transaction() as tx:
                head = await (self._anew(tx) if anew else self._write(tx, ()))
            if head is None or self._sealer.locked:
                return head
            known = await in_own_thread(partial(anchors.read, self._anchors, self._sealer))
            if anew or head != known.newest:
                kind: Any = "anew" if anew else "anchor"
                write = partial(anchors.write, self._anchors, self._sealer, head, self._clock(), kind)
                await in_own_thread(write)
            return head

    async def _anew(self, tx: Transaction) -> Head:
        """Sign the record as it is, with an entry in it that says so."""
        last = await _last(tx)
        row = _row(Entry(self._clock(), "", "", "audit.anew", "{}"), last.hash if last else START)
        await tx.insert("audit", row)
        head = await _last(tx)
        assert head is not None, "it has just been inserted"
        await self._mark(tx, "head", head)
        self._told = ""
        return head

    async def trim(self) -> int:
        """Take out what is older than is kept, if the record is whole; return how many entries that were.

        The last one always stays.  A signed checkpoint stands for what is gone.
        """
        if self._keep is None or self._sealer.locked:
            return 0
        before = self._clock() - self._keep
        oldest = await self._database.read("SELECT at FROM audit ORDER BY seq LIMIT 1")
        if not oldest or oldest[0]["at"] >= before:
            return 0
        if self._has_jumped():
            log.error("the clock has jumped since the start: nothing of the audit is trimmed until a restart")
            return 0
        found = await self.verify()
        if found.broken is not None:
            self._tell(found.why)
            return 0
        trimmed = 0
        while number := await self._trim(before):
            trimmed += number
        if trimmed:
            self.record("", "", "audit.trimmed", entries=trimmed)
            await self.flush()
            await self._database.checkpoint()
        return trimmed

    def _has_jumped(self) -> bool:
        """Whether the clock says that more has passed since the start than has: it would trim what is to be kept."""
        if self._born is None:
            return False
        clock, ticks = self._born
        return (self._clock() - clock) - (self._ticks() - ticks) > _JUMP

    async def _trim(self, before: float) -> int:
        async with self._database.transaction() as tx:
            found = await tx.rows(_TRIMMED, {"before": before, "most": _AT_ONCE})
            if not found:
                return 0
            await self._mark(tx, "checkpoint", Head(found[0]["seq"], found[0]["hash"]))
            return await tx.sweep("DELETE FROM audit WHERE seq <= ?", (found[0]["seq"],))

    async def begin(self) -> None:
        """Look, at a start, whether the database is as it was left, say so if it is not, and anchor its head."""
        self._born = self._clock(), self._ticks()
        self._daily_at = self._born[0] + _DAY
        with contextlib.suppress(OSError):  # told by what follows
            self._signs = bool((await in_own_thread(partial(anchors.read, self._anchors, self._sealer))).points)
        await self.daily()

    async def end(self) -> None:
        """Write what is left, and anchor it; what cannot be anchored is in the log."""
        await self.flush()
        try:
            await self.anchor()
        except UserError:
            pass  # what contradicts what was signed has been told
        except (OmnibotError, OSError, sqlite3.Error) as error:
            log.warning("the end of the audit was not anchored: %s", error)


_PAGE = (
    "SELECT seq, at, pseudonym, network, event, detail, lower(hex(previous)) AS previous, lower(hex(hash)) AS hash "
    "FROM audit WHERE seq > ? ORDER BY seq LIMIT ?"
)
_TRIMMED = """
WITH oldest AS (SELECT seq, hash, at FROM audit ORDER BY seq LIMIT :most)
SELECT seq, hash FROM oldest
WHERE seq < coalesce((SELECT min(seq) FROM oldest WHERE at >= :before), (SELECT max(seq) FROM audit))
ORDER BY seq DESC LIMIT 1
"""
"""The last entry before the first that is kept, of the *most* oldest ones; the very last is kept in any case."""


async def _last(tx: Transaction) -> Head | None:
    rows = await tx.rows("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
    return Head(rows[0]["seq"], rows[0]["hash"]) if rows else None


def _since_boot() -> float:
    """Return seconds that nobody puts right, sleep included where the system counts it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def _pseudonyms(tx: Transaction, people: set[str]) -> dict[str, str]:
    rows = await tx.rows(_NAMED, (json.dumps(sorted(people)),))
    return {str(row["id"]): str(row["pseudonym"]) for row in rows}


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
    return chain.entry_hash((entry.at, entry.pseudonym, entry.network, entry.event, entry.detail), previous)
