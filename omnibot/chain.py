"""The chain that the audit is, and how anybody can tell that it was changed.

Each entry's hash covers the entry before it.  Whoever can write the database can compute such a
chain anew; so three things name entries by number and hash, and are signed under K_seal, which
they have not: the *head*, up to which the record was written last; the *checkpoint*, up to which
it was trimmed; and the *anchors*, former heads in a file beside the database.  Nothing in here
writes: `verify` and `look` read on a connection of their own, as of one moment.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omnibot.errors import KeyMissing, UserError, VaultError
from omnibot.vault import Sealer, Tagged

START = b"\0" * 32
"""What stands before the first entry."""

MARKS = Tagged("audit_marks", ("kind",), ("seq", "hash", "at"))

REMARKS = ("audit.unsigned", "audit.anew")
"""Events by which the bot itself notes what was not as it left it."""

_COLUMNS = "seq, at, pseudonym, network, event, detail, previous, hash"
_HEAD = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_MOST_NOTES = 20


def entry_hash(values: Sequence[Any], previous: bytes) -> bytes:
    """Return the hash of the entry with *values* (at, pseudonym, network, event, detail) behind *previous*."""
    return hashlib.blake2b(previous + json.dumps(list(values)).encode(), digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """One entry, and with its hash all that came before it."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        """Return it as operators write it down: ``SEQ:HASH``."""
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def named(cls, text: str) -> "Head":
        """Return the head that *text* writes as ``SEQ:HASH``.

        Raises:
            UserError: it does not.
        """
        found = _HEAD.fullmatch(text.strip().lower())
        if found is None:
            raise UserError("An anchor is SEQ:HASH, as `omnibot audit anchor` prints it: a number, and 64 hex digits.")
        return cls(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True, slots=True)
class Point:
    """A head that somebody vouches for, and the record has to go through."""

    head: Head
    what: str
    """How it is called where it does not fit: "the anchor of 2026-05-01"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` has found."""

    entries: int
    """How many there are."""

    first: int
    """Number of the first one there is; 0: there is none."""

    head: Head | None
    """The last one there is."""

    broken: int | None = None
    """Number of the first entry that is not as it was written, or is missing; None: all are."""

    why: str = ""
    notes: tuple[str, ...] = field(default=())
    """What an operator should know besides: sentences."""


@dataclass(frozen=True, slots=True)
class Look:
    """What `look` has found: whether the record goes through everything signed, whatever is between."""

    last: int
    """Number of the last entry; 0: there is none."""

    newest: int
    """Number of the newest one that is signed for; 0: none is."""

    why: str = ""
    """What contradicts it: a sentence, empty if nothing does."""

    @property
    def older(self) -> bool:
        """Whether entries are missing at the end: the database is an older one than was signed for."""
        return bool(self.why) and self.last < self.newest


def day(at: float) -> str:
    """Return the day of *at*, Unix seconds; of what is no time, that it is none."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return "no day there is"


def look(path: Path, sealer: Sealer, anchors: Sequence[Point]) -> Look:
    """Look whether the database at *path* holds what is signed for; blocking, and quick whatever its length.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    with closing(_open(path)) as connection:
        marks = _Marks.read(connection, sealer, anchors)
        last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        end = last["seq"] if last is not None else marks.base.seq
        points = sorted(marks.points(anchors), key=lambda one: one.head.seq)
        newest = points[-1].head.seq if points else 0
        if marks.why:
            return Look(end, newest, marks.why)
        for point in points:
            if point.head.seq > end:
                return Look(end, newest, _truncated(end, point))
            row = connection.execute("SELECT hash FROM audit WHERE seq = ?", (point.head.seq,)).fetchone()
            if row is None or row["hash"] != point.head.hash:
                return Look(end, newest, f"Entry {point.head.seq} is not the one in {point.what}.")
    return Look(end, newest)


def verify(path: Path, sealer: Sealer, anchors: Sequence[Point], wanted: Head | None = None) -> Verdict:
    """Follow the whole chain in the database at *path*, through all that is signed and *wanted*; blocking.

    Raises:
        UserError: *wanted* is of before what the record was trimmed to.
        sqlite3.Error: it cannot be read.
    """
    points = list(anchors)
    with closing(_open(path)) as connection:
        marks = _Marks.read(connection, sealer, anchors)
        if wanted is not None:
            if wanted.seq < marks.base.seq:
                raise UserError(
                    f"Entry {wanted.seq} was trimmed: the record begins behind {marks.base.seq}. Take a newer anchor."
                )
            points.append(Point(wanted, "the anchor you gave"))
        walk = _Walk(marks, {})
        for one in marks.points(points):
            walk.points.setdefault(one.head.seq, []).append(one)
        for row in connection.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq"):  # noqa: S608 - our own names
            walk.entry(row)
        return walk.verdict(sealer)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")  # what is no text fits no hash
    connection.execute("BEGIN")  # one moment for all that is read
    return connection


def _truncated(last: int, point: Point) -> str:
    return f"The record ends with entry {last}, and went to {point.head.seq} at least, as {point.what} says."


@dataclass(frozen=True, slots=True)
class _Marks:
    """The two rows that are signed in the database itself."""

    base: Head
    """What the first entry stands behind."""

    signed: Head | None
    why: str = ""
    """What is wrong with them."""

    unchecked: str = ""
    """Id of a key that one of them stands under, and that is not here."""

    @classmethod
    def read(cls, connection: sqlite3.Connection, sealer: Sealer, anchors: Sequence[Point]) -> "_Marks":
        found: dict[str, Head] = {}
        why = unchecked = ""
        for row in connection.execute("SELECT * FROM audit_marks"):
            try:
                sealer.check(MARKS, dict(row))
            except KeyMissing:
                unchecked = row["key_id"]
            except VaultError:
                name = "head" if row["kind"] == "head" else "checkpoint"
                why = f"The {name} is not as the bot signed it."
                continue
            found[row["kind"]] = Head(row["seq"], row["hash"])
        if "head" not in found and not why and (found or anchors):  # it is signed before either is
            why = "The signed head has been taken away."
        return cls(found.get("checkpoint", Head(0, START)), found.get("head"), why, unchecked)

    def points(self, anchors: Iterable[Point]) -> list[Point]:
        """Return what the entries that are there have to go through."""
        signed = [Point(self.signed, "its signed head")] if self.signed else []
        every = [*anchors, *signed]
        return [one for one in every if one.head.seq > self.base.seq or self._contradicts(one.head)]

    def _contradicts(self, head: Head) -> bool:
        return head.seq == self.base.seq and head.hash != self.base.hash


@dataclass(slots=True)
class _Walk:
    """A way through the chain, entry by entry."""

    marks: _Marks
    points: dict[int, list[Point]]
    entries: int = 0
    first: int = 0
    last: Head | None = None
    good: int = 0
    """Number of the last entry that something signed for, and that fits."""

    broken: int | None = None
    why: str = ""
    notes: list[str] = field(default_factory=list)

    def entry(self, row: Mapping[str, Any]) -> None:
        """Take the next one."""
        seq, trimmed = row["seq"], self.marks.base.seq
        before = self.last or (self.marks.base if trimmed else None)
        self.entries += 1
        self.first = self.first or seq
        if before is not None and seq != before.seq + 1:
            missing = before.seq + 1
            self._break(missing, f"Entry {missing} is missing." if seq > missing else f"Entry {seq} was trimmed.")
        previous = before.hash if before is not None else START
        values = [row[name] for name in ("at", "pseudonym", "network", "event", "detail")]
        if row["previous"] != previous:
            self._break(seq, f"Entry {seq} does not stand behind the one that it was written behind.")
        elif row["hash"] != entry_hash(values, previous):
            self._break(seq, f"Entry {seq} is not as it was written.")
        self.last = Head(seq, row["hash"])
        self._through(self.last)
        if row["event"] in REMARKS and len(self.notes) < _MOST_NOTES:
            self.notes.append(_remark(row))

    def _through(self, head: Head) -> None:
        since, points = max(self.good, self.marks.base.seq) + 1, self.points.pop(head.seq, ())
        for point in points:
            if point.head.hash == head.hash:
                self.good = head.seq
                continue
            span = f"Entry {since}" if since == head.seq else f"One of the entries {since} to {head.seq}"
            self._break(since, f"{span} was changed, and the chain computed anew: it does not fit {point.what}.")

    def _break(self, seq: int, why: str) -> None:
        if self.broken is None:
            self.broken, self.why = seq, why

    def verdict(self, sealer: Sealer) -> Verdict:
        """Return what was found, at the end of it."""
        marks = self.marks
        end = self.last.seq if self.last else marks.base.seq
        if self.points:  # of entries that are not there
            furthest = max(self.points)
            point = self.points[furthest][0]
            gone = furthest <= marks.base.seq
            self._break(end + 1, f"The checkpoint does not fit {point.what}." if gone else _truncated(end, point))
        if marks.why:
            self.broken = self.broken or self.first or 1
            self.why = f"{marks.why} {self.why}".strip()
        signed = marks.signed.seq if marks.signed else marks.base.seq
        if marks.unchecked or sealer.locked:
            key = f" {marks.unchecked}" if marks.unchecked else ""
            self.notes.append(f"The key{key} is missing: what is signed could not be checked.")
        elif end > signed and marks.signed is None:
            self.notes.append(f"The entries from {signed + 1} on are not signed yet.")
        elif end > signed:
            self._break(signed + 1, f"Entry {signed + 1} is behind the last that the bot has signed.")
        return Verdict(self.entries, self.first, self.last, self.broken, self.why, tuple(self.notes))


def _remark(row: Mapping[str, Any]) -> str:
    try:
        detail = json.loads(row["detail"])
    except (ValueError, RecursionError):  # somebody else wrote it
        detail = None
    if not isinstance(detail, dict):
        detail = {}
    if row["event"] == "audit.anew":
        return f"Entry {row['seq']}, of {day(row['at'])}: an operator took the record as it was then for good."
    span = f"{detail.get('since')} to {detail.get('upto')}"
    return (
        f"Entry {row['seq']}, of {day(row['at'])}: the bot found the entries {span} "
        "without its signature. That is so once, after an upgrade from before it signed."
    )
