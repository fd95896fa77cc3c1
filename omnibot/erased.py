"""What has been erased for good, noted beside the database: so that no restored backup brings it back.

Invariant: an id stands on the disk before the transaction that erases its row commits, and no
line is ever taken out.  A crash between the two loses nothing that was asked for: every start
erases again whatever is noted here and stands in the database (`omnibot.linking.leaving`).

One line each: ``account`` or ``person``, the id, and when, in Unix seconds.  The ids are random
and say nothing of anybody.
"""

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from omnibot.database import trouble_of
from omnibot.errors import ConfigError, Problem
from omnibot.threads import in_own_thread

log = logging.getLogger(__name__)

type Kind = Literal["account", "person"]

_LINE = re.compile(r"(account|person) ([0-9a-f]{32}) ([0-9]{1,12})")
_HEAD = "# Ids of what was erased. Keep this file, and the newest of it: no backup then brings anybody back.\n"
_COMPACT_AT = 1 << 20
"""Bytes from which on a file with lines that say nothing new is written anew."""


@dataclass(frozen=True, slots=True)
class Erased:
    """One line."""

    kind: str
    id: str
    at: int
    """Unix seconds."""

    def __str__(self) -> str:
        """Return the line, without its end."""
        return f"{self.kind} {self.id} {self.at}"


class Ledger:
    """The file ``erased`` of a data directory, of mode 0600; held by one process, which appends to it."""

    def __init__(self, path: Path, known: Iterable[Erased], clock: Callable[[], float]) -> None:
        """Use `open` instead."""
        self._path = path
        self._clock = clock
        self._known = {(one.kind, one.id) for one in known}

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], float] = time.time) -> "Ledger":
        """Read the file at *path*, which is made if there is none.

        A last line that a crash cut off is dropped.  Another that is not understood is told in the
        log, stays where it is, and holds up none of the others.

        Raises:
            ConfigError: it cannot be read or written.
        """
        try:
            return cls(path, await in_own_thread(partial(_load, path)), clock)
        except OSError as error:
            what = f"cannot be read and written ({error.strerror})"
            cure = "Give the bot's user read and write permission; what was erased stands in it."
            raise ConfigError(Problem(str(path), "data_dir", what, cure)) from None

    def ids(self, kind: Kind) -> list[str]:
        """Return the ids of every *kind* that was erased."""
        return [found for of, found in self._known if of == kind]

    async def note(self, kind: Kind, *ids: str) -> None:
        """Write *ids* down; on return they are on the disk.  Those that are there already are not written again.

        Raises:
            StorageTrouble, OSError: they could not be written.
        """
        new = [Erased(kind, one, int(self._clock())) for one in ids if (kind, one) not in self._known]
        if new:
            try:
                await in_own_thread(partial(_append, self._path, "".join(f"{one}\n" for one in new)))
            except OSError as error:
                if (trouble := trouble_of(error, str(self._path))) is None:
                    raise
                log.error("%s", trouble)
                raise trouble from error
            self._known.update((one.kind, one.id) for one in new)


def _load(path: Path) -> list[Erased]:
    """Return what stands in the file at *path*; see to it that the next line begins on its own."""
    if not path.exists():
        _append(path, _HEAD)
        _sync(path.parent)
    _append(path, "")  # whoever cannot write to it shall learn so now
    whole, newline, tail = path.read_bytes().rpartition(b"\n")
    if _LINE.fullmatch(tail.decode("ascii", "replace")):
        _append(path, "\n")
    elif tail:  # cut off by a crash, so that what it would have noted was never erased
        os.truncate(path, len(whole + newline))
    text = path.read_bytes().decode("ascii", "replace")
    found = list(_read(path, text))
    if len(text) > _COMPACT_AT and len(found) < sum(1 for line in text.splitlines() if _LINE.fullmatch(line)):
        _write_anew(path, text, found)
    return found


def _read(path: Path, text: str) -> Iterator[Erased]:
    """Yield what *text* says, each id once; tell of lines that say nothing."""
    seen: set[tuple[str, str]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line.rstrip())
        if match is None:
            if line.strip() and not line.startswith("#"):
                log.error(
                    "%s:%d is not understood and is passed over: what it noted would come back with an old backup. "
                    "If you have a good copy of this file, append its lines to this one, and restart.",
                    path,
                    number,
                )
        elif (match[1], match[2]) not in seen:
            seen.add((match[1], match[2]))
            yield Erased(match[1], match[2], int(match[3]))


def _write_anew(path: Path, text: str, found: Iterable[Erased]) -> None:
    """Replace the file by one with every id once, and with whatever else stood in it."""
    others = [line for line in text.splitlines() if line.strip() and not _LINE.fullmatch(line)]
    beside = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    _append(beside, "".join(f"{line}\n" for line in (*others, *found)))
    beside.replace(path)
    _sync(path.parent)


def _append(path: Path, text: str) -> None:
    """Add *text* to the file at *path*, in one piece or not at all, and return when it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        data = text.encode("ascii", "replace")
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:  # a full disk, say: the next line must not go on from the half of this one
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    """Return when the names in *folder* are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
