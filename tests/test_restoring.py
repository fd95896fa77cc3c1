"""A backup is put in the place of the data whole or not at all, wherever it is cut off."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omnibot import Context, Skill, restoring
from omnibot.administration import Admin
from omnibot.database import RESTORING, Database, migrations, to_disk
from omnibot.demo.provider import DemoProvider
from omnibot.errors import ConfigError, UserError
from omnibot.intake import RESTORED_AT, restored_at
from omnibot.ports import free_port
from omnibot.restoring import Prepared, finish, prepare, unfinished
from omnibot.testing.bench import ADA, GRACE, Bench, Plan

type Json = dict[str, Any]


class Killed(BaseException):
    """The process ended here."""


def small(folder: Path, mark: str, *, erased: str = "", network: bool = True) -> Path:
    """Make a data directory whose every file says *mark*."""
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / "omnibot.db")) as connection:
        for _, sql in migrations():
            connection.executescript(sql)
        connection.execute(f"PRAGMA user_version = {migrations()[-1][0]}")
        connection.execute("INSERT INTO positions VALUES (?, ?)", ("net", mark))
        connection.commit()
    (folder / "erased").write_text(erased, "ascii")
    if network:
        (folder / "net").mkdir()
        with closing(sqlite3.connect(folder / "net" / "abc.db")) as connection:
            connection.execute("CREATE TABLE t (x TEXT)")
            connection.execute("INSERT INTO t VALUES (?)", (mark,))
            connection.commit()
    return folder


def packed(data: Path, target: Path, change: Callable[[Json], None] | None = None, **more: bytes) -> Path:
    """Pack *data* as a backup is packed; *change* the manifest, add *more* members that it does not name."""
    names = {one: data / one for one in ("omnibot.db", "erased")}
    if (data / "net").exists():
        names["networks/net/abc.db"] = data / "net" / "abc.db"
    files = {
        name: {"size": one.stat().st_size, "sha256": hashlib.sha256(one.read_bytes()).hexdigest()}
        for name, one in names.items()
    }
    said: Json = {
        "format": 1,
        "version": "0.1",
        "made": 1_700_000_000.0,
        "schema": migrations()[-1][0],
        "keys": {"cafe0001": 3},
        "networks": ["net"],
        "audit": None,
        "files": files,
    }
    if change is not None:
        change(said)
    with tarfile.open(target, "w") as archive:
        for name, content in [("manifest.json", json.dumps(said).encode()), *more.items()]:
            one = tarfile.TarInfo(name)
            one.size = len(content)
            archive.addfile(one, io.BytesIO(content))
        for name, path in names.items():
            archive.add(path, name)
    return target


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What is there."""
    data = small(tmp_path / "data", "present", erased=f"account {'a' * 32} 1\n")
    (data / "lock").write_bytes(b"")
    (data / "omnibot.key").write_text("key", "ascii")
    (data / "omnibot.db-wal").write_bytes(b"")
    return data


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """What is to be restored."""
    return packed(small(tmp_path / "then", "past", erased=f"account {'b' * 32} 1\n"), tmp_path / "backup.tar")


def said_by(folder: Path) -> set[str]:
    """Return what the files in *folder* say."""
    found = set()
    for path, sql in (
        (folder / "omnibot.db", "SELECT position FROM positions"),
        (folder / "net" / "abc.db", "SELECT x FROM t"),
    ):
        if path.exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                found |= {row[0] for row in connection.execute(sql)}
    return found


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def aside(data: Path) -> Path:
    (found,) = data.glob("replaced-*")
    return found


# ----------------------------------------------------------------------------------------- the swap


def test_it_takes_the_place_of_what_is_there(data: Path, backup: Path) -> None:
    """What was there is set aside; key and lock stay; nothing else is left over."""
    prepared = prepare(backup, data, ["cafe0001"])
    before = said_by(data)
    name = prepared.commit(["net", "other"])
    names = {one.name for one in data.iterdir()}

    assert ({"present"}, {"past"}, {"present"}) == (before, said_by(data), said_by(data / name))
    assert {"omnibot.db", "erased", "net", "other", "lock", "omnibot.key", RESTORED_AT, name} == names
    assert (data / name / "omnibot.db-wal").exists()
    assert {0o600} == {stat.S_IMODE((data / one).stat().st_mode) for one in ("omnibot.db", "erased", RESTORED_AT)}
    assert 0o700 == stat.S_IMODE((data / "net").stat().st_mode)


def test_nothing_is_touched_before_it_is_decided(data: Path, backup: Path) -> None:
    """Looking at it changes nothing, and dropping it leaves nothing."""
    before = snapshot(data)
    prepare(backup, data, []).drop()

    assert before == snapshot(data)


def test_what_was_erased_since_stays_so(data: Path, backup: Path) -> None:
    """The lines of both, each once, whatever else stands in them."""
    (data / "erased").write_text(f"# head\naccount {'a' * 32} 1\nnonsense\n", "ascii")
    prepare(backup, data, []).commit([])
    lines = (data / "erased").read_text("ascii").splitlines()

    assert ["# head", f"account {'a' * 32} 1", "nonsense", f"account {'b' * 32} 1"] == lines


def test_a_last_line_that_was_cut_off_does_not_swallow_the_next(data: Path, backup: Path) -> None:
    """Each line stands on its own."""
    (data / "erased").write_text(f"account {'a' * 32} 1", "ascii")
    prepare(backup, data, []).commit([])

    assert f"account {'a' * 32} 1\naccount {'b' * 32} 1\n" == (data / "erased").read_text("ascii")


def test_the_anchors_of_what_is_there_stay(data: Path, backup: Path) -> None:
    """They tell that the record is older than it was (A34)."""
    (data / "anchors").write_text("anchor 9\n", "ascii")
    prepare(backup, data, []).commit([])

    assert "anchor 9\n" == (data / "anchors").read_text("ascii")
    assert 0o600 == stat.S_IMODE((data / "anchors").stat().st_mode)


def test_every_network_is_told(data: Path, backup: Path) -> None:
    """Those in the backup and those of the configuration: none goes on with old keys."""
    prepare(backup, data, []).commit(["other"])

    assert [True, True] == [(data / name / "restored").exists() for name in ("net", "other")]


def test_missing_keys_are_named(data: Path, backup: Path) -> None:
    """The backup has none of its own."""
    assert ((), ("cafe0001",)) == tuple(
        prepare(backup, data, keys).missing_keys for keys in (["cafe0001"], ["beef0001"])
    )


def test_it_works_on_an_empty_folder(tmp_path: Path, backup: Path) -> None:
    """As on a new machine."""
    (tmp_path / "new").mkdir()
    prepare(backup, tmp_path / "new", []).commit([])

    assert {"past"} == said_by(tmp_path / "new")


def test_what_is_damaged_is_set_aside_as_well(data: Path, backup: Path) -> None:
    """That is what backups are for."""
    (data / "omnibot.db").write_bytes(b"damaged")
    prepare(backup, data, []).commit([])

    assert {"past"} == said_by(data)
    assert b"damaged" == (aside(data) / "omnibot.db").read_bytes()


# ------------------------------------------------------------------------------------- being cut off


_STEPS = ("rename", "unlink", "rmdir", "mkdir", "chmod", "write_bytes")


def dying(patch: pytest.MonkeyPatch, after: int) -> list[str]:
    """Let the process die at the step number *after* of those that change the disk; return what was done."""
    done: list[str] = []

    def stepping(name: str) -> Any:
        real = getattr(Path, name)

        def step(self: Path, *args: Any, **kwargs: Any) -> Any:
            if len(done) >= after:
                raise Killed
            done.append(f"{name} {self.name}")
            return real(self, *args, **kwargs)

        return step

    for name in _STEPS:
        patch.setattr(Path, name, stepping(name))
    sync = to_disk

    def synced(path: Path) -> None:
        if len(done) >= after:
            raise Killed
        done.append(f"sync {path.name}")
        sync(path)

    patch.setattr(restoring, "to_disk", synced)
    return done


def steps_of(data: Path, backup: Path) -> int:
    """Return how many steps a whole restore has."""
    with pytest.MonkeyPatch.context() as patch:
        done = dying(patch, 10_000)
        prepare(backup, data, []).commit(["net"])
    return len(done)


def test_cut_off_at_every_step(tmp_path: Path, data: Path, backup: Path) -> None:
    """Before the one step that decides, all is as it was; after it, nobody opens anything before `finish` is done."""
    shutil.copytree(data, tmp_path / "whole")
    steps = steps_of(tmp_path / "whole", backup)
    outcomes = []
    for after in range(steps):
        here = tmp_path / f"at-{after}"
        shutil.copytree(data, here)
        with pytest.MonkeyPatch.context() as patch:
            dying(patch, after)
            with pytest.raises(Killed):
                prepare(backup, here, []).commit(["net"])
        outcomes.append(unfinished(here))
        if unfinished(here):
            finish(here)
            assert ({"past"}, {"present"}) == (said_by(here), said_by(aside(here))), after
            assert not unfinished(here)
            assert 2 == (here / "erased").read_text("ascii").count("account"), after
            assert (here / "net" / "restored").exists()
        elif not list(here.glob("replaced-*")):
            assert {"present"} == said_by(here), after
            prepare(backup, here, []).commit(["net"])
            assert {"past"} == said_by(here), after
        else:  # all but the last syncing was done
            assert {"past"} == said_by(here), after

    assert steps > 20
    assert outcomes.count(True) > 8
    assert outcomes == sorted(outcomes[: outcomes.index(True)]) + [True] * outcomes.count(True) + [False] * (
        steps - outcomes.index(True) - outcomes.count(True)
    )


def test_cut_off_twice_at_every_step_after_the_first(tmp_path: Path, data: Path, backup: Path) -> None:
    """Finishing can be cut off as well, again and again."""
    shutil.copytree(data, tmp_path / "whole")
    prepared = prepare(backup, tmp_path / "whole", [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restoring, "finish", lambda _: "")
        prepared.commit(["net"])
    for first in range(1, 30):
        here = tmp_path / f"at-{first}"
        shutil.copytree(tmp_path / "whole", here)
        tries = 0
        while unfinished(here):
            tries += 1
            with pytest.MonkeyPatch.context() as patch:
                dying(patch, first + tries)
                try:
                    finish(here)
                except Killed:
                    assert tries < 40
        assert ({"past"}, {"present"}) == (said_by(here), said_by(aside(here))), first


async def test_nobody_opens_a_database_meanwhile(data: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a new one would be made where the restored one is to come; what to do is said."""
    prepared = prepare(backup, data, [])
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "finish", lambda _: "")
        prepared.commit([])
    with pytest.raises(ConfigError, match="Finish it first: omnibot restore"):
        await Database.open(data / "omnibot.db")
    finish(data)
    await (await Database.open(data / "omnibot.db")).close()

    assert {"past"} == said_by(data)


def test_what_cannot_be_moved_is_said_and_gone_on_with(
    data: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk in trouble, say: the sentence says where everything is."""
    rename = Path.rename

    def refusing(self: Path, target: Path) -> Path:
        if self.name == "net" and RESTORING in str(self):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    prepared = prepare(backup, data, [])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refusing)
        with pytest.raises(UserError, match=r"Nothing is lost.*omnibot restore"):
            prepared.commit([])
    finish(data)

    assert {"past"} == said_by(data)


# -------------------------------------------------------------------------------- what is no backup


def refused(file: Path, data: Path) -> str:
    """Return why *file* is refused; nothing was changed."""
    before = snapshot(data)
    with pytest.raises(UserError) as caught:
        prepare(file, data, [])

    assert before == snapshot(data)
    assert "Nothing was changed." in str(caught.value)
    return str(caught.value)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname = kind, link
    return one


@pytest.mark.parametrize(
    "one",
    [
        member("../evil"),
        member("/etc/evil"),
        member("networks/../../evil"),
        member("networks/net/../../evil"),
        member("evil", tarfile.SYMTYPE, "/etc/passwd"),
        member("evil", tarfile.LNKTYPE, "omnibot.db"),
        member("networks", tarfile.DIRTYPE),
        member("pipe", tarfile.FIFOTYPE),
        member("device", tarfile.CHRTYPE),
        member("omnibot.db"),
        member("omnibot.key"),
        member("lock"),
    ],
    ids=lambda one: one.name + one.type.decode(),
)
def test_a_file_too_many_is_refused(tmp_path: Path, data: Path, backup: Path, one: tarfile.TarInfo) -> None:
    """Whatever it is called, and above all where it would go."""
    with tarfile.open(backup, "a") as archive:
        archive.addfile(one)
    refused(backup, data)

    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["omnibot.db", "erased", "networks/net/abc.db"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_the_place_of_a_file_is_refused(tmp_path: Path, data: Path, name: str, kind: bytes) -> None:
    """Even where the manifest names it."""
    packed(small(tmp_path / "then", "past"), tmp_path / "whole.tar")
    with tarfile.open(tmp_path / "whole.tar") as whole, tarfile.open(tmp_path / "bad.tar", "w") as bad:
        for one in whole:
            content = whole.extractfile(one)
            if one.name == name:
                bad.addfile(member(name, kind, "/etc/passwd"))
            else:
                bad.addfile(one, content)
    refused(tmp_path / "bad.tar", data)


def _traversing(said: Json) -> None:
    said["files"]["networks/net/../../../evil"] = said["files"]["erased"]


def _reserved(said: Json) -> None:
    said["networks"] = ["lock"]


def _odd_network(said: Json) -> None:
    said["networks"] = ["../x"]


def _without_database(said: Json) -> None:
    del said["files"]["omnibot.db"]


def _newer(said: Json) -> None:
    said["schema"] = 999


def _other_schema(said: Json) -> None:
    said["schema"] = 1


def _later_format(said: Json) -> None:
    said["format"] = 2


def _negative(said: Json) -> None:
    said["files"]["erased"]["size"] = -1


def _other_hash(said: Json) -> None:
    said["files"]["erased"]["sha256"] = "0" * 64


def _huge(said: Json) -> None:
    said["files"]["erased"]["size"] = 1 << 60


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_traversing, "what it says of itself"),
        (_reserved, "what it says of itself"),
        (_odd_network, "what it says of itself"),
        (_without_database, "what it says of itself"),
        (_negative, "what it says of itself"),
        (lambda said: said.clear(), "another version"),
        (_later_format, "Upgrade this one"),
        (_newer, "Upgrade omnibot"),
        (_other_schema, "damaged, or not what it says"),
        (_other_hash, "damaged"),
        (_huge, "no room"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    tmp_path: Path, data: Path, change: Callable[[Json], None], words: str
) -> None:
    """Each with its own sentence."""
    assert words in refused(packed(small(tmp_path / "then", "past"), tmp_path / "bad.tar", change), data)


def cut(file: Path, share: float) -> Path:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    return file


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.8])
def test_one_that_was_cut_off_is_refused(data: Path, backup: Path, share: float) -> None:
    """As of a full disk, or half a download."""
    refused(cut(backup, share), data)


def test_one_with_a_byte_changed_is_refused(data: Path, backup: Path) -> None:
    """Wherever in the database it is."""
    content = bytearray(backup.read_bytes())
    at = content.index(b"SQLite format 3") + 5000
    content[at] ^= 1
    backup.write_bytes(content)

    assert "damaged" in refused(backup, data)


@pytest.mark.parametrize("content", [b"", b"no tar" * 1000, b"\0" * 10240, b"SQLite format 3\0" * 100])
def test_any_other_file_is_refused(tmp_path: Path, data: Path, content: bytes) -> None:
    """In a sentence."""
    (tmp_path / "other").write_bytes(content)
    refused(tmp_path / "other", data)


def test_one_that_is_not_there_is_said(tmp_path: Path, data: Path) -> None:
    """By its name."""
    assert "No such file" in refused(tmp_path / "nowhere.tar", data)


# ------------------------------------------------------------------------------------ a bot on it


@pytest.fixture
async def plan(tmp_path: Path) -> AsyncIterator[Plan]:
    async with DemoProvider() as provider:
        yield Plan(tmp_path, provider=provider, port=free_port())


async def backup_of(bench: Bench, file: Path) -> Path:
    admin = Admin(bench.core, bench.plan.directory / "omnibot.key", running=True)
    await admin.perform("backup", {"file": str(file)}, lambda _: None)
    return file


def restore(plan: Plan, file: Path, networks: Iterable[str] = ("fake",)) -> Prepared:
    prepared = prepare(file, plan.directory / "data", [])
    prepared.commit(networks)
    return prepared


async def test_a_bot_goes_on_with_it(plan: Plan, tmp_path: Path) -> None:
    """Its people are linked; who unlinked since is not, nor who linked since."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.link(GRACE, "grace")
        file = await backup_of(bench, tmp_path / "mine.tar")
        await bench.say("!unlink demo", GRACE)
    restore(plan, file)
    async with Bench.open(plan) as bench:
        bench.clock.pass_(1)
        ada, grace = await bench.say("!notes", ADA), await bench.say("!notes", GRACE)

    assert ["You have no notes."] == ada
    assert "To connect" in grace[0]


async def test_nothing_that_was_said_before_is_done_again(tmp_path: Path) -> None:
    """Neither what waited in the backup, nor what a network gives once more."""
    done: list[str] = []
    skill = Skill("doing")

    @skill.command
    async def act(ctx: Context, text: str) -> None:
        """Do it."""
        done.append(text)

    plan = Plan(tmp_path, (skill,), port=free_port())
    async with Bench.open(plan) as bench:
        message = await bench.network.hear("!doing act once", ADA)
        await bench.settle()
        await bench.core.intake.accept("fake", [message], "p-1")
        file = await backup_of(bench, tmp_path / "mine.tar")
    prepared = restore(plan, file)
    async with Bench.open(plan) as bench:
        await bench.network.hear("!doing act once", ADA, at=time.time() - 5, position="p-1")
        await bench.settle()
        bench.clock.pass_(1)
        await bench.say("!doing act twice")

    assert 1 == prepared.dropped
    assert ["once", "twice"] == done


def test_when_it_was_restored_is_known(tmp_path: Path) -> None:
    """To the second; a file that says nothing counts from when it was written."""
    before = restored_at(tmp_path)
    (tmp_path / RESTORED_AT).write_text("12.5\n", "ascii")
    said = restored_at(tmp_path)
    (tmp_path / RESTORED_AT).write_text("nonsense", "ascii")
    os.utime(tmp_path / RESTORED_AT, (7.0, 7.0))

    assert (0.0, 12.5, 7.0) == (before, said, restored_at(tmp_path))
