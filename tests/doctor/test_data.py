"""What `omnibot check` says of what the bot keeps: the folder, the key, the database, its backups."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from doctoring import add, become, lines, spoil, used, write
from omnibot.config import load
from omnibot.database import migrations
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import data


@pytest.mark.parametrize("there", ["a file", "read-only"])
async def test_a_folder_that_cannot_be_written_to_is_wrong(
    path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """The bot would not start."""
    folder = path.parent / "there"
    if there == "a file":
        become(folder, "")
    else:
        folder.mkdir()
        monkeypatch.setattr("omnibot.doctor.data.os.access", lambda *_: False)  # the tests may run as root, who may all
    add(path, "data_dir: there/data\n")
    said = [line for line in await lines(path) if "data_dir" in line]

    what = "is no folder" if there == "a file" else "cannot be written to"
    cure = "Give the bot's user write permission, or name another folder."
    assert [f"WRONG data_dir: {folder} {what}. The bot would not start. {cure}"] == said


async def test_a_missing_key_is_wrong(path: Path) -> None:
    """With what it means, and the command that makes one."""
    (path.parent / "data" / "omnibot.key").unlink()

    assert (
        f"WRONG {path.parent}/data/omnibot.key: there is no key file. "
        "Until then no account can be linked or used. Put back the one you had; "
        "for a new bot make one: omnibot keys new"
    ) in await lines(path)


async def test_a_key_that_others_may_read_is_wrong(path: Path) -> None:
    """With the command that mends it."""
    key = path.parent / "data" / "omnibot.key"
    key.chmod(0o644)

    assert (
        f"WRONG {key}: others may read this file (mode 0644). "
        f"Until then no account can be linked or used. chmod 600 {key}"
    ) in await lines(path)


async def test_a_sound_database_is_good(path: Path, provider: DemoProvider) -> None:
    """And so is every row of it."""
    database = await used(path, provider)
    said = await lines(path)

    assert f"ok    {database} is sound." in said
    assert [True] == [
        line.startswith("ok") for line in said if "rows can be read, and are as they were written" in line
    ]


async def test_a_database_older_than_its_anchors_is_wrong(path: Path, provider: DemoProvider) -> None:
    """What people did since is missing."""
    database = await used(path, provider)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    said = await lines(path)

    assert 1 == len([line for line in said if line.startswith("WRONG The database is older than the last head")])


async def test_without_a_key_only_the_file_is_looked_at(path: Path, provider: DemoProvider) -> None:
    """There is nothing to check the rows with."""
    database = await used(path, provider)
    (path.parent / "data" / "omnibot.key").unlink()
    said = await lines(path)

    assert f"ok    {database} is sound." in said
    assert not [line for line in said if "rows can be read" in line]


async def test_an_older_database_is_noted(path: Path) -> None:
    """The next run mends it."""
    database = path.parent / "data" / "omnibot.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE old (a)")
        connection.commit()

    newest = migrations()[-1][0]
    assert f"note  {database} is of version 0; the next run brings it to {newest}." in await lines(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda database: database.write_bytes(b"no database at all " * 300), "is damaged (file is not a database)"),
        (partial(spoil, pages=1), "is damaged (*** in database main *** On tree page"),
        (partial(spoil, pages=99), "is damaged ("),
        (lambda database: (database.unlink(), database.mkdir()), "cannot be read ("),
    ],
    ids=["not one", "one page", "every page", "a folder"],
)
async def test_a_damaged_database_is_wrong(
    path: Path, provider: DemoProvider, damage: Callable[[Path], object], words: str
) -> None:
    """With SQLite's own word for it, in one line, and the only cure."""
    database = await used(path, provider)
    damage(database)
    wrong = [line for line in await lines(path) if line.startswith("WRONG")]

    assert 1 == len(wrong)
    assert wrong[0].startswith(f"WRONG {database} {words}")
    assert wrong[0].endswith("Put a backup back: omnibot restore FILE")


# -------------------------------------------------------------------- the folder


@pytest.mark.parametrize(
    ("mode", "database", "level", "says"),
    [
        (0o700, 0o644, "", ""),
        (0o755, 0o600, "note", "others may look in"),
        (0o755, 0o644, "wrong", "others may read the database in"),
        (0o770, 0o600, "wrong", "others may write to"),
    ],
)
def test_a_folder_that_others_get_into(tmp_path: Path, mode: int, database: int, level: str, says: str) -> None:
    """What they can do there tells how bad that is."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "omnibot.db").touch(mode=database)
    (tmp_path / "data" / "omnibot.db").chmod(database)
    (tmp_path / "data").chmod(mode)
    found = [one for one in data.folder(tmp_path / "data") if "MB are free" not in one.what]

    assert [level] * bool(level) == [one.level for one in found]
    assert [f"data_dir: {says} {tmp_path}/data (mode {mode:04o})."] * bool(level) == [one.what for one in found]
    assert [f"chmod 700 {tmp_path}/data"] * bool(level) == [one.cure for one in found]


@pytest.mark.parametrize(("free", "level"), [(10_000_000, "wrong"), (400_000_000, "note"), (9_000_000_000, "")])
def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    """With what stops first."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr("omnibot.doctor.data.shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    assert [level] * bool(level) == [one.level for one in data.folder(tmp_path)]


def test_a_key_apart_is_good(path: Path) -> None:
    """One beside the database is noted: who takes the one has the other."""
    beside, _ = data.keys(load(path, {}))
    (path.parent / "data" / "omnibot.key").rename(path.parent / "key")
    add(path, "key_file: key\n")
    apart, _ = data.keys(load(path, {}))

    assert ["good", "note"] == [one.level for one in beside]
    assert "The key lies beside the database that it opens" in beside[1].what
    assert ["good"] == [one.level for one in apart]


# ------------------------------------------------------------------------ backups

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("made", "level", "says"),
    [
        ([], "note", "There is no backup in "),
        (["omnibot-20261101-120000.tar", "omnibot-20261110-120000.tar"], "note", "The last backup is 10 days old."),
        (["omnibot-20261101-120000.tar", "omnibot-20261119-083000.tar"], "good", "is of 2026-11-19 08:30 UTC."),
        (["omnibot-20261119-083000.tar.part", "omnibot-20269919-083000.tar"], "note", "There is no backup in "),
    ],
)
def test_when_the_last_backup_was_made(tmp_path: Path, made: list[str], level: str, says: str) -> None:
    """By the names that `omnibot backup` gives them."""
    (tmp_path / "backups").mkdir()
    (tmp_path / "omnibot.db").touch()
    for name in made:
        (tmp_path / "backups" / name).touch()
    (found,) = data.backups(tmp_path, NOW)

    assert level == found.level
    assert says in found.what


def test_before_there_are_data_no_backup_is_missed(tmp_path: Path) -> None:
    """There is nothing in it."""
    assert [] == data.backups(tmp_path)


async def test_a_database_of_a_newer_program_is_wrong(path: Path) -> None:
    """It is not opened."""
    write(path.parent / "data" / "omnibot.db", "PRAGMA user_version = 999")

    assert [True] == [
        "is of version 999, and this program knows" in line for line in await lines(path) if "WRONG" in line
    ]
