"""A backup is everything but the keys, as of one moment, whole or not there at all."""

import asyncio
import hashlib
import json
import os
import sqlite3
import stat
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from omnibot import backup as module
from omnibot.administration import Admin
from omnibot.backup import made_there
from omnibot.database import migrations
from omnibot.demo.provider import DemoProvider
from omnibot.errors import StorageTrouble, UserError
from omnibot.testing.bench import Bench, Plan


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A running bot with one account."""
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, provider=provider)) as bench:
        await bench.link()
        yield bench


def admin(bench: Bench) -> Admin:
    return Admin(bench.core, bench.plan.directory / "omnibot.key", running=True)


async def backed_up(bench: Bench, said: list[str] | None = None, **args: Any) -> Path:
    """Make a backup as the command line has it made; return where it is."""
    found = said if said is not None else []
    given = {name: str(one) if name == "file" else one for name, one in args.items()}
    done = await admin(bench).perform("backup", given, found.append)
    return Path(done["file"])


def contents(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]  # all are files


def crypto_store(folder: Path) -> sqlite3.Connection:
    """Make an SQLite file in a network's folder, with rows that are in its log only, as an adapter leaves it open."""
    folder.mkdir(exist_ok=True)
    connection = sqlite3.connect(folder / "abc.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE sessions (id TEXT)")
    connection.execute("INSERT INTO sessions VALUES ('one')")
    return connection


async def test_it_goes_into_the_data_directory(bench: Bench) -> None:
    """For its owner alone, named by when it was made; nothing else is left of making it."""
    made = await backed_up(bench)
    folder = bench.core.options.data_dir / "backups"

    assert [made] == list(folder.iterdir()) == made_there(bench.core.options.data_dir)
    assert (0o600, 0o700) == (stat.S_IMODE(made.stat().st_mode), stat.S_IMODE(folder.stat().st_mode))


async def test_what_is_in_it(bench: Bench, tmp_path: Path) -> None:
    """The database, what was erased, and of a network's folder the SQLite files, in one piece; and what they are."""
    data = bench.core.options.data_dir
    with closing(crypto_store(data / "fake")):
        (data / "fake" / "history").write_text("typed", "utf-8")
        (data / "fake" / "elsewhere.db").symlink_to(tmp_path / "omnibot.key")
        made = await backed_up(bench, file=tmp_path / "mine.tar")
    found = contents(made)
    manifest = json.loads(found.pop("manifest.json"))
    (tmp_path / "copy.db").write_bytes(found["networks/fake/abc.db"])
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        rows = copy.execute("SELECT id FROM sessions").fetchall()

    assert {"omnibot.db", "erased", "networks/fake/abc.db"} == set(found) - {"anchors"}
    assert [("one",)] == rows
    assert {name: hashlib.sha256(one).hexdigest() for name, one in found.items()} == {
        name: one["sha256"] for name, one in manifest["files"].items()
    }
    assert (1, migrations()[-1][0], ["fake"]) == (manifest["format"], manifest["schema"], manifest["networks"])
    assert bench.core.keyring.ids == list(manifest["keys"])


async def test_the_head_of_the_record_is_in_it(bench: Bench, tmp_path: Path) -> None:
    """What happened up to then is written first."""
    bench.core.audit.record("", "", "test.canary")
    manifest = json.loads(contents(await backed_up(bench))["manifest.json"])
    rows = await bench.rows("SELECT seq, hash FROM audit WHERE event = 'test.canary'")

    assert [[rows[0]["seq"], cast("bytes", rows[0]["hash"]).hex()]] == [manifest["audit"]]


async def test_no_key_is_in_it(bench: Bench) -> None:
    """Not even where the key file lies in the data directory."""
    data = bench.core.options.data_dir
    key = (bench.plan.directory / "omnibot.key").read_bytes()
    (data / "omnibot.key").write_bytes(key)
    whole = (await backed_up(bench)).read_bytes()
    secret = key.split()[-1]

    assert secret not in whole


async def test_it_is_of_one_moment_while_others_write(bench: Bench, tmp_path: Path) -> None:
    """A transaction that is open then is not in it, and does not hold it up."""
    database = bench.core.database
    async with database.transaction() as tx:
        await tx.insert("positions", {"network": "half", "position": "1"})
        async with asyncio.timeout(10):
            await database.backup(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        found = copy.execute("SELECT 1 FROM positions WHERE network = 'half'").fetchall()

    assert [] == found


async def test_only_so_many_are_kept(bench: Bench) -> None:
    """The latest, and nothing that is no backup of the bot's is ever deleted."""
    folder = bench.core.options.data_dir / "backups"
    folder.mkdir()
    for name in ("omnibot-20200101-000000.tar", "omnibot-20200102-000000.tar", "mine.tar"):
        (folder / name).write_bytes(b"")
    made = await backed_up(bench, keep=2)

    assert {"omnibot-20200102-000000.tar", "mine.tar", made.name} == {one.name for one in folder.iterdir()}


async def test_no_file_is_overwritten(bench: Bench, tmp_path: Path) -> None:
    """It may be the only good one."""
    (tmp_path / "mine.tar").write_bytes(b"precious")
    with pytest.raises(UserError, match="exists already"):
        await backed_up(bench, file=tmp_path / "mine.tar")

    assert b"precious" == (tmp_path / "mine.tar").read_bytes()


async def test_a_place_that_is_not_there_is_said(bench: Bench, tmp_path: Path) -> None:
    """In a sentence, and with the name."""
    with pytest.raises(UserError, match=r"nowhere/mine\.tar could not be written: No such file or directory"):
        await backed_up(bench, file=tmp_path / "nowhere" / "mine.tar")


async def test_keep_and_a_name_do_not_go_together(bench: Bench, tmp_path: Path) -> None:
    """Else the last of somebody's own files would go."""
    with pytest.raises(UserError, match="--keep"):
        await backed_up(bench, file=tmp_path / "mine.tar", keep=1)


@pytest.mark.parametrize("kind", ["full", "damaged"])
async def test_one_that_fails_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    """Earlier ones stay; the sentence says why."""
    before = await backed_up(bench)
    before = before.rename(before.with_name("omnibot-20200101-000000.tar"))

    def fail(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise StorageTrouble(kind, str(source))

    monkeypatch.setattr(module, "copy_database", fail)
    with pytest.raises(UserError) as caught:
        await backed_up(bench, keep=1)

    assert [before] == list(before.parent.iterdir())
    assert {"full": "the disk is full", "damaged": "it is damaged"}[kind] in str(caught.value)


async def test_a_database_that_is_damaged_is_no_backup(bench: Bench) -> None:
    """The copy is looked at before it counts."""
    for number in range(400):
        bench.core.audit.record("", "", "test.canary", name=f"canary {number:03}", filling="x" * 100)
    await bench.core.audit.flush()
    await bench.core.database.checkpoint()
    path = bench.core.database.path
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        if b"canary 1" in data[page : page + 4096]:
            data[page : page + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(UserError, match="No backup was made"):
        await backed_up(bench)


async def test_a_network_s_file_that_cannot_be_read_is_left_out(bench: Bench) -> None:
    """It is never gone on with after a restore: the rest is worth more."""
    data, said = bench.core.options.data_dir, list[str]()
    (data / "fake").mkdir()
    (data / "fake" / "abc.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    found = contents(await backed_up(bench, said))

    assert "networks/fake/abc.db" not in found
    assert "left out" in said[0]


async def test_what_a_killed_backup_left_is_removed(bench: Bench) -> None:
    """A day later; another that is being made is left alone."""
    folder = bench.core.options.data_dir / "backups"
    for name, age in (("old", 2 * 86400), ("new", 60)):
        (folder / f".omnibot-backup-{name}").mkdir(parents=True)
        os.utime(folder / f".omnibot-backup-{name}", (1e9, time.time() - age))
    await backed_up(bench)

    assert [".omnibot-backup-new"] == [one.name for one in folder.glob(".omnibot-backup-*")]


async def test_it_is_in_the_record(bench: Bench) -> None:
    """An operator made it; no name of a person is in that."""
    await backed_up(bench)
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT pseudonym FROM audit WHERE event = 'data.backed_up'")

    assert [{"pseudonym": ""}] == rows
