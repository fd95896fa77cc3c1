"""What the bot keeps on this machine: the folder, the key, the database, and copies of it."""

import asyncio
import os
import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from omnibot.adapter import Finding
from omnibot.anchors import anchored
from omnibot.app import read_keyring
from omnibot.catalogue import Instances
from omnibot.config import Settings
from omnibot.database import migrations
from omnibot.doctor.rows import open_read_only, verify_rows
from omnibot.errors import ConfigError
from omnibot.keyed import count, keyed_tables
from omnibot.vault import Keyring, Sealer

_BACKUP = re.compile(r"omnibot-(\d{8}-\d{6})\.tar")
_OLD_DAYS = 7.0
_LITTLE = 500_000_000
_TOO_LITTLE = 50_000_000
"""Bytes free on the disk."""

_RESTORE = "Put a backup back: omnibot restore FILE"


def keys(settings: Settings) -> tuple[list[Finding], Keyring]:
    """Look at the key file; return the keys in it as well, none if it cannot be used."""
    try:
        keyring = read_keyring(settings.key_file)
    except ConfigError as error:
        why = "Until then no account can be linked or used."
        return [Finding("wrong", f"{one.where}: {one.what}.", one.cure, why) for one in error.problems], Keyring()
    found = [Finding("good", f"The key file holds {len(keyring.ids)} key(s): {', '.join(keyring.ids)}.")]
    if settings.key_file.resolve().is_relative_to(settings.data_dir.resolve()):
        what = f"The key lies beside the database that it opens, in {settings.data_dir}."
        why = "Who gets at the disk, or at a copy of that folder, has both, and with them everybody's accounts."
        cure = "Move it out of data_dir and name it with key_file, or hand it over as a systemd credential."
        found.append(Finding("note", what, cure, why))
    return found, keyring


def folder(path: Path) -> list[Finding]:
    """Look whether the bot alone can read and write its data in *path*, which need not be there yet."""
    there = next(one for one in (path, *path.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = f"data_dir: {there} cannot be written to." if there.is_dir() else f"data_dir: {there} is no folder."
        cure = "Give the bot's user write permission, or name another folder."
        return [Finding("wrong", what, cure, "The bot would not start.")]
    return [*(_private(path) if there == path else ()), *_room(there, path / "omnibot.db")]


def _private(path: Path) -> Iterator[Finding]:
    """Yield what others on this machine may do with the data in *path*."""
    mode, database = stat.S_IMODE(path.stat().st_mode), path / "omnibot.db"
    if mode & 0o022:
        why = "Who may write there can put another database, or orders of their own, in its place."
        yield Finding("wrong", f"data_dir: others may write to {path} (mode {mode:04o}).", f"chmod 700 {path}", why)
        return
    open_to_others = bool(mode & 0o011) and database.exists() and bool(database.stat().st_mode & 0o077)
    if mode & 0o055:
        what = f"data_dir: others may {'read the database' if open_to_others else 'look'} in {path} (mode {mode:04o})."
        why = "The tokens in it are sealed; who has which account, and who asked for what, is not."
        yield Finding("wrong" if open_to_others else "note", what, f"chmod 700 {path}", why)


def _room(there: Path, database: Path) -> Iterator[Finding]:
    """Yield a finding where the disk that *there* is on is filling up."""
    free = shutil.disk_usage(there).free
    wanted = max(_LITTLE, 2 * database.stat().st_size if database.exists() else 0)
    if free < wanted:
        what = f"{free / 1e6:,.0f} MB are free on the disk of {there}."
        why = (
            "On a full disk the bot takes no command, and an upgrade or a backup wants room for a copy of the database."
        )
        yield Finding("wrong" if free < _TOO_LITTLE else "note", what, "Make room there.", why)


async def database(settings: Settings, keyring: Keyring, instances: Instances) -> list[Finding]:
    """Look whether the database is sound and current, and every row of it readable."""
    path = settings.data_dir / "omnibot.db"
    if not await asyncio.to_thread(path.exists):
        return [Finding("note", f"{path} is made at the first run.")]
    try:
        connection = await asyncio.to_thread(open_read_only, path)
    except sqlite3.Error as error:
        return [Finding("wrong", f"{path} cannot be read ({error}).", _RESTORE)]
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        damage = [" ".join(row[0].split()) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        return [Finding("wrong", f"{path} is damaged ({error}).", _RESTORE)]
    finally:
        connection.close()
    if damage != ["ok"]:
        return [Finding("wrong", f"{path} is damaged ({'; '.join(damage)}).", _RESTORE)]
    newest = migrations()[-1][0]
    if version > newest:
        why = "A program does not open a database that is newer than it knows."
        what = f"{path} is of version {version}, and this program knows {newest}."
        return [Finding("wrong", what, "Bring omnibot up to date, or restore the backup from before.", why)]
    if version != newest:
        return [Finding("note", f"{path} is of version {version}; the next run brings it to {newest}.")]
    return [
        Finding("good", f"{path} is sound."),
        *(await _rows(settings, keyring, instances) if keyring.ids else []),
        *(await asyncio.to_thread(_anchored, settings.data_dir, keyring)),
    ]


def _anchored(data_dir: Path, keyring: Keyring) -> list[Finding]:
    """Look whether the database holds what was signed for beside it, and is no older one (A34)."""
    try:
        found = anchored(data_dir, Sealer(keyring))
    except (OSError, sqlite3.Error) as error:
        return [Finding("wrong", f"The anchors of the audit cannot be compared ({error}).")]
    if not found.why:
        return []
    older = "The database is older than the last head of the audit that was anchored. " if found.older else ""
    why = "What people did, linked and unlinked since may be missing, or somebody changed the record."
    cure = "See: omnibot audit verify. If you restored a backup yourself: omnibot audit anchor --anew"
    return [Finding("wrong", f"{older}{found.why}", cure, why)]


async def _rows(settings: Settings, keyring: Keyring, instances: Instances) -> list[Finding]:
    found = await verify_rows(settings.data_dir, keyring, instances)
    standing = await asyncio.to_thread(count, settings.data_dir / "omnibot.db", keyed_tables(instances))
    older = sum(standing.rows.get(key, 0) for key in keyring.ids[1:])
    if older:
        what = f"{older:,} rows stand under an older key than the newest, {keyring.newest.id}."
        why = "The older key is needed until they have moved."
        found.append(Finding("note", what, "Go on with the rotation: omnibot keys rotate", why))
    return found


def backups(data_dir: Path, now: float | None = None) -> list[Finding]:
    """Look when the last backup was made, if there is anything to back up; *now* is in Unix seconds."""
    if not (data_dir / "omnibot.db").exists():
        return []
    now = time.time() if now is None else now
    made = [at for one in (data_dir / "backups").glob("omnibot-*.tar") if (at := _made(one)) is not None]
    why = "A disk that fails takes every link with it, and each person would have to link anew."
    cure = "omnibot backup, by cron or a systemd timer; and copy it to another machine, without the key."
    if not made:
        return [Finding("note", f"There is no backup in {data_dir / 'backups'}.", cure, why)]
    days = (now - max(made)) / 86400
    if days > _OLD_DAYS:
        return [Finding("note", f"The last backup is {days:,.0f} days old.", cure, why)]
    return [Finding("good", f"The last backup is of {datetime.fromtimestamp(max(made), UTC):%Y-%m-%d %H:%M} UTC.")]


def _made(path: Path) -> float | None:
    """Return when the backup at *path* was made, by its name (UTC); None where it is no backup."""
    found = _BACKUP.fullmatch(path.name)
    try:
        return datetime.strptime(f"{found[1]}+0000", "%Y%m%d-%H%M%S%z").timestamp() if found else None
    except ValueError:
        return None
