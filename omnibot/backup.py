"""A backup: everything that a bot needs to go on elsewhere, in one tar file, but for its keys.

It is made while the bot runs, or where none does; the database in it is as of one moment.
What stands in it is sealed, boxed or tagged as it is in the database, and worth nothing
without the key file, which is never in it (A39).

Of a network's folder the SQLite files are taken.  Those may be a device's keys, which must
not be gone on with once they are old; what becomes of them is said in `omnibot.restoring`.
"""

import hashlib
import io
import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import omnibot
from omnibot import keyed
from omnibot.control import Say
from omnibot.core import Core
from omnibot.database import copy_database, migrations, to_disk, trouble_of
from omnibot.errors import StorageTrouble, UserError
from omnibot.keyed import keyed_tables
from omnibot.threads import in_thread

DATABASE, ERASED, ANCHORS, MANIFEST = "omnibot.db", "erased", "anchors", "manifest.json"
FORMAT = 1
FOLDER = "backups"
"""In the data directory: where backups go that are given no other place."""

_NAME = re.compile(r"omnibot-[0-9]{8}-[0-9]{6}\.tar")
_WORK = ".omnibot-backup-"
_LEFT_BEHIND = 86400.0
_SQLITE = b"SQLite format 3\0"
_CHUNK = 1 << 20

_NETWORKS = "SELECT name FROM networks UNION SELECT network FROM positions UNION SELECT network FROM adapter_rows"
_HEAD = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Content:
    """One file of a backup."""

    size: int
    """Bytes."""

    sha256: str
    """In hexadecimal."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself, in its first file."""

    version: str
    """Of omnibot."""

    made: float
    """Unix seconds."""

    schema: int
    keys: Mapping[str, int]
    """Ids of the master keys that it needs, and how many rows stand under each."""

    networks: tuple[str, ...]
    audit: tuple[int, str] | None
    """Sequence number and hash of the record's last row."""

    files: Mapping[str, Content] = field(default_factory=dict)
    """By name in the tar file."""

    def dumped(self) -> bytes:
        """Return it as it stands in the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()


def folder_of(data_dir: Path) -> Path:
    """Return where backups go that are given no other place."""
    return data_dir / FOLDER


def made_there(data_dir: Path) -> list[Path]:
    """Return the backups that were made in the data directory, oldest first."""
    folder = folder_of(data_dir)
    return sorted(one for one in folder.glob("*.tar") if _NAME.fullmatch(one.name)) if folder.is_dir() else []


async def back_up(core: Core, file: str, keep: int, say: Say) -> dict[str, Any]:
    """Make a backup of *core*'s data at *file*, or, where that is empty, in the data directory.

    With *keep*, only so many of those in the data directory stay.

    Raises:
        UserError: it cannot be made; nothing of it is left.
    """
    data_dir = core.options.data_dir
    if keep and file:
        raise UserError("--keep is about backups in the data directory: leave the file's name out, or --keep.")
    target = Path(file) if file else folder_of(data_dir) / time.strftime("omnibot-%Y%m%d-%H%M%S.tar", time.gmtime())
    await core.audit.flush()
    networks = {row["name"] for row in await core.database.read(_NETWORKS)}
    networks.update(one.network for one in core.supervisors)
    work = partial(_made, core, target, sorted(networks), say)
    try:
        manifest = await in_thread(work)
    except (OSError, StorageTrouble) as error:
        raise UserError(_not_made(target, error)) from None
    core.audit.record("", "", "data.backed_up", schema=manifest.schema)
    dropped = await in_thread(partial(_drop_older, data_dir, keep)) if keep else []
    return {
        "file": str(target),
        "bytes": (await in_thread(target.stat)).st_size,
        "keys": list(manifest.keys),
        "networks": list(manifest.networks),
        "dropped": dropped,
    }


def _not_made(target: Path, error: OSError | StorageTrouble) -> str:
    trouble = error if isinstance(error, StorageTrouble) else trouble_of(error, str(target))
    if trouble is not None and trouble.kind == "full":
        why = "the disk is full"
    elif trouble is not None and trouble.kind == "damaged":
        return f"{trouble} No backup was made: of a damaged file it would be none."
    else:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{target} could not be written: {why}. Nothing of it is left; earlier backups are as they were."


def _drop_older(data_dir: Path, keep: int) -> list[str]:
    older = made_there(data_dir)[:-keep]
    for one in older:
        one.unlink(missing_ok=True)
    return [one.name for one in older]


def _made(core: Core, target: Path, networks: Iterable[str], say: Say) -> Manifest:
    """Make the backup; blocking."""
    if target.parent == folder_of(core.options.data_dir):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.exists() or target.is_symlink():
        raise FileExistsError(17, "it exists already, and a backup is never overwritten")
    _clear(target.parent)
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=target.parent))  # of mode 0700
    try:
        found = dict(_copied(core.options.data_dir, work, networks, say))
        manifest = _manifest(core, found)
        _packed(work / "backup.tar", manifest, found)
        (work / "backup.tar").rename(target)
        to_disk(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _clear(folder: Path) -> None:
    """Remove what a backup left behind that was killed."""
    for work in folder.glob(f"{_WORK}*"):
        with suppress(OSError):
            if work.stat().st_mtime < time.time() - _LEFT_BEHIND:
                shutil.rmtree(work, ignore_errors=True)


def _copied(data_dir: Path, work: Path, networks: Iterable[str], say: Say) -> Iterable[tuple[str, Path]]:
    """Copy all that belongs into a backup to *work*; yield name and copy of each.

    The order matters.  What the anchors say of the record has to be in the database, and what is erased
    is noted before the database says so.
    """
    for name in (ANCHORS, DATABASE, ERASED):
        if name == DATABASE:
            copy_database(data_dir / name, work / name)
        elif (data_dir / name).is_file():
            shutil.copyfile(data_dir / name, work / name)
        else:
            continue
        yield name, work / name
    for network in networks:
        yield from _copied_network(data_dir / network, work / "networks" / network, say)


def _copied_network(folder: Path, work: Path, say: Say) -> Iterable[tuple[str, Path]]:
    if not folder.is_dir() or folder.is_symlink():
        return
    work.mkdir(parents=True)
    for file in sorted(folder.iterdir()):
        if not _is_database(file):
            continue
        try:
            copy_database(file, work / file.name)
        except StorageTrouble as trouble:
            if trouble.kind == "full":
                raise
            say(f"{file} is left out of the backup: {trouble}")  # it is never gone on with anyway
            continue
        yield f"networks/{folder.name}/{file.name}", work / file.name


def _is_database(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_SQLITE)) == _SQLITE


def _manifest(core: Core, found: Mapping[str, Path]) -> Manifest:
    head = list(read_rows(found[DATABASE], _HEAD))
    standing = keyed.count(found[DATABASE], keyed_tables(core.options.instances))
    return Manifest(
        version=omnibot.__version__,
        made=time.time(),
        schema=migrations()[-1][0],
        keys=dict(standing.rows),
        networks=tuple(sorted(str(name) for (name,) in read_rows(found[DATABASE], _NETWORKS))),
        audit=(int(head[0][0]), bytes(head[0][1]).hex()) if head else None,
        files={name: Content(path.stat().st_size, sha256_of(path)) for name, path in found.items()},
    )


def read_rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of one SELECT in a database that nobody writes to; blocking."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at *path*, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packed(tar: Path, manifest: Manifest, found: Mapping[str, Path]) -> None:
    tar.touch(mode=0o600)
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as archive:
        text = manifest.dumped()
        archive.addfile(_member(MANIFEST, len(text), manifest.made), io.BytesIO(text))
        for name, path in found.items():
            with path.open("rb") as file:
                archive.addfile(_member(name, manifest.files[name].size, manifest.made), file)
    to_disk(tar)


def _member(name: str, size: int, made: float) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.size, one.mtime, one.mode = size, int(made), 0o600
    return one
