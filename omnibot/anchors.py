"""Signed heads of the audit, in a file beside the database: so that an older database is noticed (A34, A59).

One line each: ``anchor`` or ``anew``, the number of the entry, its hash, when in Unix seconds, the
key's id, the tag.  ``anew`` stands where an operator took the record as it was then for good, after a
restore, say: what stands before it binds nothing any more.  Only who has the key can write such a line.

Invariant: a line is on the disk before it is told of, and is never changed.  The file is cut to its
newer half when it has grown long.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from omnibot import chain
from omnibot.chain import Head, Look, Point
from omnibot.database import to_disk
from omnibot.errors import KeyMissing, Tampered
from omnibot.vault import Sealer, Tagged

NAME = "anchors"
"""What the file is called, in the data directory."""

_LINE = re.compile(r"(anchor|anew) ([0-9]{1,18}) ([0-9a-f]{64}) ([0-9]{1,12}) ([0-9a-f]{8}) ([0-9a-f]{64})", re.ASCII)
_TAGGED = Tagged("anchors", ("seq",), ("kind", "hash", "at"))
_MOST = 1000
"""Lines; one is written a day, and at each start and end."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """What the file says."""

    points: tuple[Point, ...] = ()
    """What binds, oldest first."""

    unread: int = 0
    """Lines under a key that is not here."""

    foreign: int = 0
    """Lines that the bot did not write."""

    @property
    def newest(self) -> Head | None:
        """The last head in it."""
        return self.points[-1].head if self.points else None


def read(path: Path, sealer: Sealer) -> Anchors:
    """Return what the file at *path* says, which need not be there; blocking.

    Raises:
        OSError: it cannot be read.
    """
    points: list[Point] = []
    unread = foreign = 0
    for line in _lines(path):
        found = _LINE.fullmatch(line)
        if found is None:
            foreign += 1
            continue
        kind, seq, said, at, key, tag = found.groups()
        row = {"kind": kind, "seq": int(seq), "hash": bytes.fromhex(said), "at": int(at)}
        try:
            sealer.check(_TAGGED, {**row, "key_id": key, "tag": bytes.fromhex(tag)})
        except KeyMissing:
            unread += 1
        except Tampered:
            foreign += 1
        else:
            points = [] if kind == "anew" else points
            points.append(Point(Head(int(seq), bytes.fromhex(said)), f"the anchor of {chain.day(int(at))}"))
    return Anchors(tuple(points), unread, foreign)


def write(path: Path, sealer: Sealer, head: Head, at: float, kind: Literal["anchor", "anew"] = "anchor") -> None:
    """Add *head* to the file at *path*, signed; on return it is on the disk.  Blocking.

    Raises:
        KeyMissing: there is no key to sign it with.
        OSError: it cannot be written.
    """
    row = sealer.stamp(_TAGGED, {"kind": kind, "seq": head.seq, "hash": head.hash, "at": int(at)})
    line = f"{kind} {head.seq} {head.hash.hex()} {int(at)} {row['key_id']} {row['tag'].hex()}"
    lines = [*_lines(path)]
    if len(lines) >= _MOST or not path.exists():
        _write(path, [*lines[-_MOST // 2 :], line])
    else:
        _append(path, line)


def anchored(data_dir: Path, sealer: Sealer) -> Look:
    """Look whether the database in *data_dir* holds what was anchored there; blocking, nothing is written.

    Raises:
        OSError, sqlite3.Error: one of the two cannot be read.
    """
    return chain.look(data_dir / "omnibot.db", sealer, read(data_dir / NAME, sealer).points)


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        text = path.read_bytes().decode("ascii", "replace")
        yield from (line for line in text.splitlines() if line.strip())


def _append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor).st_size
        data = f"\n{line}\n".encode() if not _ends_well(path) else f"{line}\n".encode()
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(28, "No space left on device")
            os.fsync(descriptor)
        except OSError:  # the next line must not go on from the half of this one
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _ends_well(path: Path) -> bool:
    """Whether no crash has cut the last line off."""
    with path.open("rb") as file:
        return not file.seek(0, os.SEEK_END) or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")


def _write(path: Path, lines: list[str]) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii", errors="replace") as file:
        file.writelines(f"{one}\n" for one in lines)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    to_disk(path.parent)
