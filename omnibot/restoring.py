"""A backup put in the place of the data there is.

`prepare` looks at all of it first and unpacks it beside the data; nothing is touched before
`Prepared.commit`.  That renames one folder to `RESTORING`: from then on the backup is what
counts, and nobody opens a database there until `finish` has moved every file to its place.
A crash before that leaves the old data as they were, and one after it leaves the new ones
whole; saying the command again goes on.  What was there before is set aside, never deleted.

Three things are not as they were when the backup was made:

* `erased` is that of both: what was unlinked or forgotten since stays so.
* Messages that waited are dropped, and none is heard that was said before now (`RESTORED_AT`):
  most of them were acted on since, and nothing may be done twice.
* Whatever a network's folder holds is old, and its adapter is told so by a file `RESTORED`
  in it: a device's keys from a backup must not encrypt anything (docs/operating.md).
"""

import json
import os
import re
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnibot.adapter import RESTORED
from omnibot.backup import ANCHORS, DATABASE, ERASED, FORMAT, MANIFEST, Content, Manifest, sha256_of
from omnibot.database import RESTORING, migrations, to_disk, trouble_of
from omnibot.errors import UserError
from omnibot.intake import RESTORED_AT
from omnibot.markup import printable

_STAGING = f"{RESTORING}.new"
_PLAN, _NEW = "plan.json", "new"
_ASIDE = "replaced-%Y%m%d-%H%M%S"
_FILE = re.compile(r"omnibot\.db|erased|anchors|networks/([a-z0-9-]{1,32})/[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}")
_NETWORK = re.compile(r"[a-z0-9-]{1,32}")
_OURS = frozenset({"lock", "control", "backups", ERASED, ANCHORS})
"""What stands in the data directory, could be a network's name, and must not be moved away as one's folder."""

_MOST_FILES = 10_000
_LONGEST_MANIFEST = 4 << 20
_CHUNK = 1 << 20
_ROOM_LEFT = 16 << 20
"""Bytes that a backup has to leave free."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A backup that was looked at and lies unpacked beside the data; only `commit` changes anything."""

    data_dir: Path
    manifest: Manifest
    missing_keys: tuple[str, ...]
    """Ids of the keys that it needs and the key file does not hold."""

    dropped: int
    """How many messages waited in it, which are not acted on."""

    def commit(self, networks: Iterable[str]) -> str:
        """Put it in the place of the data; *networks* are those of the configuration.

        Returns the name of the folder that has what was there before.

        Raises:
            UserError: it could not be done; the text says what stands now.
        """
        staging = self.data_dir / _STAGING
        try:
            _unite_erased(self.data_dir / ERASED, staging / _NEW / ERASED)
            if (self.data_dir / ANCHORS).is_file():  # ours go on from the backup's: what it lacks has to be told
                shutil.copyfile(self.data_dir / ANCHORS, staging / _NEW / ANCHORS)
                (staging / _NEW / ANCHORS).chmod(0o600)
            _mark(staging / _NEW, {*self.manifest.networks, *networks})
            aside = self._aside()
            _write(staging / _PLAN, json.dumps({"aside": aside, **_plan(staging / _NEW)}))
            _all_to_disk(staging)
            staging.rename(self.data_dir / RESTORING)
        except OSError as error:
            raise UserError(f"The backup could not be prepared ({_why(error)}). Nothing was changed.") from None
        return finish(self.data_dir) or aside

    def _aside(self) -> str:
        """Return a name that no folder has yet."""
        name = first = time.strftime(_ASIDE, time.gmtime())
        number = 1
        while (self.data_dir / name).exists():
            number += 1
            name = f"{first}-{number}"
        return name

    def drop(self) -> None:
        """Leave everything as it is."""
        shutil.rmtree(self.data_dir / _STAGING, ignore_errors=True)


def prepare(file: Path, data_dir: Path, keys: Iterable[str]) -> Prepared:
    """Look at the backup in *file* and unpack it beside the data in *data_dir*, which this process holds.

    *keys* are the ids of the master keys in the key file.

    Raises:
        UserError: it cannot be used; the text says why.  Nothing was changed.
    """
    staging = data_dir / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    try:
        for folder in (staging, staging / _NEW):
            folder.mkdir(mode=0o700)
        manifest = _unpacked(file, staging / _NEW)
        dropped = _settled(staging / _NEW / DATABASE, manifest)
    except (OSError, tarfile.TarError, sqlite3.Error) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise UserError(f"{file} cannot be restored: {_why(error)}. Nothing was changed.") from None
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    known = set(keys)
    return Prepared(data_dir, manifest, tuple(key for key in manifest.keys if key not in known), dropped)


def unfinished(data_dir: Path) -> bool:
    """Return whether a backup is on its way to its place, and nothing but `finish` may be done."""
    return (data_dir / RESTORING).is_dir()


def finish(data_dir: Path) -> str:
    """Move to its place what a commit has decided on; return where the data before it are, if that is known still.

    It can be done again however often it was cut off.

    Raises:
        UserError: something cannot be moved; after it was mended, the same command goes on.
    """
    folder = data_dir / RESTORING
    try:
        return _moved(data_dir, folder)
    except OSError as error:
        raise UserError(
            f"The backup is being put in place, and that stopped ({_why(error)}). Nothing is lost: what was here is in "
            f"{data_dir} or its newest folder replaced-…, the backup in {folder}. Mend that, and go on with: "
            "omnibot restore"
        ) from None


# ------------------------------------------------------------------ looking at it


def _unpacked(file: Path, target: Path) -> Manifest:
    """Unpack *file* to *target*; return what it says of itself, which is then true of it.

    Raises:
        UserError: it is none of ours, is damaged, or holds what no backup does.
        OSError, tarfile.TarError: it cannot be read, or not be written.
    """
    with tarfile.open(file, "r:") as archive:
        members = iter(archive)
        manifest = _manifest(file, archive, next(members, None))
        _fits(file, manifest, target.parent.parent)
        left = dict(manifest.files)
        for member in members:
            content = left.pop(member.name, None)
            if content is None or not _is_plain(member) or member.size != content.size:
                raise UserError(_foreign(file, f"it holds {printable(member.name)[:80]}, as none of its kind does"))
            _extract(file, archive, member, content, target / _place(member.name))
        if left:
            raise UserError(_foreign(file, f"{printable(next(iter(left)))[:80]} is missing: it was cut off"))
    return manifest


def _manifest(file: Path, archive: tarfile.TarFile, member: tarfile.TarInfo | None) -> Manifest:
    if member is None or member.name != MANIFEST or not _is_plain(member) or member.size > _LONGEST_MANIFEST:
        raise UserError(_foreign(file, "it is no backup of omnibot's"))
    opened = archive.extractfile(member)
    assert opened is not None, "it is a plain file"
    try:
        said = json.loads(opened.read())
        if said.get("format") != FORMAT:
            raise UserError(f"{file} was made by another version of omnibot. Upgrade this one. Nothing was changed.")
        return _parsed(said)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(_foreign(file, "what it says of itself cannot be read")) from None


def _parsed(said: Mapping[str, Any]) -> Manifest:
    files = {str(name): Content(int(one["size"]), str(one["sha256"])) for name, one in said["files"].items()}
    if len(files) > _MOST_FILES or not all(_FILE.fullmatch(name) for name in files) or DATABASE not in files:
        raise ValueError("files that no backup has")
    if any(one.size < 0 for one in files.values()):
        raise ValueError("a size below nothing")
    networks = {str(one) for one in said["networks"]} | {
        one[1] for name in files if (one := _FILE.fullmatch(name)) and one[1]
    }
    if not all(_NETWORK.fullmatch(one) for one in networks) or networks & _OURS:
        raise ValueError("networks that there cannot be")
    head = said["audit"]
    return Manifest(
        version=printable(str(said["version"]))[:40],
        made=float(said["made"]),
        schema=int(said["schema"]),
        keys={printable(str(key))[:40]: int(rows) for key, rows in said["keys"].items()},
        networks=tuple(sorted(networks)),
        audit=None if head is None else (int(head[0]), str(head[1])),
        files=files,
    )


def _fits(file: Path, manifest: Manifest, data_dir: Path) -> None:
    """See that this program knows the backup's schema, and that there is room for it.

    Raises:
        UserError: it does not, or there is none.
    """
    known = migrations()[-1][0]
    if not 1 <= manifest.schema <= known:
        raise UserError(
            f"{file} is of an omnibot whose database is of version {manifest.schema}, and this one knows {known}. "
            "Upgrade omnibot. Nothing was changed."
        )
    wanted = sum(one.size for one in manifest.files.values()) + _ROOM_LEFT
    free = shutil.disk_usage(data_dir).free
    if free < wanted:
        raise UserError(
            f"There is no room to unpack {file}: it needs {wanted >> 20:,} MB in {data_dir}, and {free >> 20:,} MB are "
            "free. Nothing was changed."
        )


def _is_plain(member: tarfile.TarInfo) -> bool:
    """Whether *member* is a file and nothing else: no link, device or folder, and no file with holes."""
    return member.isreg() and not member.issparse()


def _place(name: str) -> Path:
    return Path(name.removeprefix("networks/"))


def _extract(file: Path, archive: tarfile.TarFile, member: tarfile.TarInfo, content: Content, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    opened = archive.extractfile(member)
    assert opened is not None, "it is a plain file"
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with opened, os.fdopen(descriptor, "wb") as written:
        shutil.copyfileobj(opened, written, _CHUNK)
    if sha256_of(target) != content.sha256:
        raise UserError(_foreign(file, f"{printable(member.name)} in it is damaged"))


def _settled(database: Path, manifest: Manifest) -> int:
    """See that *database* is whole and what *manifest* says; drop the messages that wait in it; return how many.

    Raises:
        UserError: it is not.
        sqlite3.Error: it is no database.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        if found != "ok" or schema != manifest.schema:
            raise UserError("The database in the backup is damaged, or not what it says. Nothing was changed.")
        dropped = connection.execute("DELETE FROM waiting").rowcount
        connection.execute("PRAGMA journal_mode = DELETE")
    return dropped


def _foreign(file: Path, why: str) -> str:
    return f"{file} cannot be restored: {why}. Nothing was changed."


def _why(error: Exception) -> str:
    trouble = trouble_of(error, "")
    if trouble is not None and trouble.kind == "full":
        return "the disk is full"
    if isinstance(error, tarfile.TarError):
        return "it is no backup, or a damaged one"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


# ------------------------------------------------------------------ before the commit


def _unite_erased(present: Path, backup: Path) -> None:
    """Write to *backup* every line of the two files; what the *present* one says cannot be done without."""
    ours = present.read_bytes() if present.exists() else b""
    theirs = backup.read_bytes() if backup.exists() else b""
    known = set(ours.splitlines())
    lines = [*ours.splitlines(), *(line for line in theirs.splitlines() if line not in known)]
    _write(backup, b"".join(line + b"\n" for line in lines).decode("ascii", "replace"))


def _mark(new: Path, networks: Iterable[str]) -> None:
    """Say when this was restored: for the bot, and for the adapter of each network."""
    now = f"{time.time():.3f}\n"
    _write(new / RESTORED_AT, now)
    for network in networks:
        (new / network).mkdir(mode=0o700, exist_ok=True)
        _write(new / network / RESTORED, now)


def _plan(new: Path) -> dict[str, list[str]]:
    """Return what comes in, and what has to be out of its way."""
    coming = sorted(one.name for one in new.iterdir())
    return {"coming": coming, "going": sorted({*coming, f"{DATABASE}-wal", f"{DATABASE}-shm"})}


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("ascii", "replace"))
    path.chmod(0o600)


def _all_to_disk(folder: Path) -> None:
    for one in (*folder.rglob("*"), folder, folder.parent):
        to_disk(one)


# ------------------------------------------------------------------ after it


def _moved(data_dir: Path, folder: Path) -> str:
    plan = folder / _PLAN
    aside = ""
    if plan.exists():
        said = json.loads(plan.read_text("ascii"))
        aside, new = str(said["aside"]), folder / _NEW
        old = data_dir / aside
        old.mkdir(mode=0o700, exist_ok=True)
        to_disk(data_dir)
        for name in _going(said, data_dir, new):
            (data_dir / name).rename(old / name)
        to_disk(old)
        to_disk(data_dir)
        for name in said["coming"]:
            if _is_there(new / name):
                (new / name).rename(data_dir / name)
        to_disk(data_dir)
        if new.exists():
            new.rmdir()
        plan.unlink()
    folder.rmdir()
    to_disk(data_dir)
    return aside


def _going(said: Mapping[str, Any], data_dir: Path, new: Path) -> Iterator[str]:
    """Yield what is to be set aside still: what stands where something waits to come is the old."""
    for name in said["going"]:
        waits = name not in said["coming"] or _is_there(new / name)
        if waits and _is_there(data_dir / name):
            yield name


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
