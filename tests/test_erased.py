"""What was erased is noted before it is gone, and nothing that is noted is ever lost."""

import asyncio
import errno
import logging
import os
import threading
from pathlib import Path

import pytest

from omnibot import erased
from omnibot.erased import Ledger
from omnibot.errors import ConfigError, StorageTrouble

ONE, TWO, THREE = (letter * 32 for letter in "abc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "erased"


def content(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


def put(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def inode(path: Path) -> int:
    return path.stat().st_ino


def block(path: Path) -> None:
    """Put a folder where the file should be."""
    path.unlink(missing_ok=True)
    path.mkdir()


def lines(path: Path) -> list[str]:
    """The lines of *path*, without the comment at its head."""
    return [line for line in content(path).splitlines() if not line.startswith("#")]


async def test_what_is_noted_is_known_to_the_next(path: Path) -> None:
    """By kind, with the time, a line each, in a file for the bot's user alone."""
    ledger = await Ledger.open(path, lambda: 1234.9)
    await ledger.note("account", ONE, TWO)
    await ledger.note("person", THREE)
    again = await Ledger.open(path)

    assert [f"account {ONE} 1234", f"account {TWO} 1234", f"person {THREE} 1234"] == lines(path)
    assert [[ONE, TWO], [THREE]] == [sorted(again.ids("account")), again.ids("person")]
    assert 0o600 == mode(path)


async def test_it_is_on_the_disk_when_it_is_noted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waited may commit then."""
    synced: list[str] = []
    sync = os.fsync

    def watching(descriptor: int) -> None:
        sync(descriptor)
        synced.append(content(path))

    ledger = await Ledger.open(path)
    monkeypatch.setattr("omnibot.erased.os.fsync", watching)
    await ledger.note("account", ONE)

    assert [content(path)] == synced
    assert ONE in synced[0]


async def test_a_line_that_a_full_disk_cut_off_spoils_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not noted is not erased; and the next line begins on its own."""
    ledger = await Ledger.open(path)
    write, calls = os.write, list[int]()

    def full(descriptor: int, data: bytes) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:20] if len(calls) == 1 else data)

    monkeypatch.setattr("omnibot.erased.os.write", full)
    with pytest.raises(StorageTrouble, match="the disk is full"):
        await ledger.note("account", ONE)
    await ledger.note("account", TWO)
    again = await Ledger.open(path)

    assert [TWO] == again.ids("account") == ledger.ids("account")


async def test_an_id_is_written_once(path: Path) -> None:
    """It is asked for again where a transaction was rolled back."""
    ledger = await Ledger.open(path)
    for _ in range(3):
        await ledger.note("account", ONE)
    again = await Ledger.open(path)
    await again.note("account", ONE)
    await again.note("account")

    assert 1 == len(lines(path))


async def test_no_thread_stays(path: Path) -> None:
    """The process can end."""
    before = set(threading.enumerate())
    await (await Ledger.open(path)).note("account", ONE)
    for thread in set(threading.enumerate()) - before:
        thread.join(2)

    assert set() == {one for one in threading.enumerate() if one.is_alive()} - before


async def test_whoever_gives_up_leaves_it_whole(path: Path) -> None:
    """Cancelled in the middle, the line is written or is not, and the next begins on its own."""
    ledger = await Ledger.open(path)
    noting = asyncio.create_task(ledger.note("account", ONE))
    await asyncio.sleep(0)
    noting.cancel()
    await asyncio.gather(noting, return_exceptions=True)
    await ledger.note("account", TWO)

    assert f"account {TWO}" in "\n".join(lines(path))
    assert {3} == {len(line.split()) for line in lines(path)}


# ------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("torn", ["a", "account", "account aaaa", f"account {ONE} ", f"account {ONE[:31]}", "\0\0\0\0"])
async def test_a_line_that_a_crash_cut_off_is_dropped(path: Path, torn: str, caplog: pytest.LogCaptureFixture) -> None:
    """What it would have noted was never erased: the transaction waited for it."""
    ledger = await Ledger.open(path)
    await ledger.note("account", TWO)
    with path.open("a") as file:
        file.write(torn)
    again = await Ledger.open(path)
    await again.note("person", THREE)

    assert [TWO] == again.ids("account")
    assert ["account", "person"] == [line.split()[0] for line in lines(path)]
    assert [] == caplog.records


async def test_a_last_line_that_lacks_only_its_end_counts(path: Path) -> None:
    """A crash cut it there, or somebody's editor."""
    put(path, f"account {ONE} 17")
    ledger = await Ledger.open(path)
    await ledger.note("account", TWO)

    assert [ONE, TWO] == sorted((await Ledger.open(path)).ids("account"))
    assert f"account {ONE} 17" == lines(path)[0]


@pytest.mark.parametrize("bad", ["garbage", f"account {ONE}", f"thing {ONE} 5", "account ABC 5", "\xff\xfe", "\0" * 40])
async def test_other_damage_is_told_and_loses_nothing(path: Path, bad: str, caplog: pytest.LogCaptureFixture) -> None:
    """File and line, at every start; the lines around it count, and it stays for whoever can read it."""
    damaged = f"account {TWO} 5\n{bad}\nperson {THREE} 6\n"
    put(path, damaged)
    await Ledger.open(path)
    ledger = await Ledger.open(path)

    assert [[TWO], [THREE]] == [ledger.ids("account"), ledger.ids("person")]
    assert damaged == content(path)
    assert [logging.ERROR] * 2 == [record.levelno for record in caplog.records]
    assert all(f"{path}:2 is not understood" in record.getMessage() for record in caplog.records)


async def test_lines_of_another_copy_may_be_appended(path: Path) -> None:
    """An operator puts two of them together: empty lines, comments and doubles are no damage."""
    ledger = await Ledger.open(path)
    await ledger.note("account", ONE)
    put(path, content(path) + "\n" + content(path).replace("\n", "\r\n"))

    assert [ONE] == (await Ledger.open(path)).ids("account")


async def test_a_long_file_with_doubles_is_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every id once, and whatever else stood in it; one without doubles stays as it is."""
    monkeypatch.setattr(erased, "_COMPACT_AT", 100)
    put(path, f"# head\naccount {ONE} 5\nnobody knows\naccount {ONE} 6\nperson {TWO} 7\naccount {ONE} 8\n")
    ledger = await Ledger.open(path)
    before = inode(path)
    await Ledger.open(path)

    assert f"# head\nnobody knows\naccount {ONE} 5\nperson {TWO} 7\n" == content(path)
    assert [[ONE], [TWO]] == [ledger.ids("account"), ledger.ids("person")]
    assert 0o600 == mode(path)
    assert before == inode(path)
    assert [path.name] == os.listdir(path.parent)  # noqa: PTH208 - a name is enough


async def test_a_file_that_cannot_be_used_is_no_empty_one(path: Path) -> None:
    """The bot does not start: everything erased could be back."""
    block(path)

    with pytest.raises(ConfigError, match=r"erased: data_dir: cannot be read and written .* Give the bot's user"):
        await Ledger.open(path)


async def test_what_cannot_be_noted_is_not_said_to_be(path: Path) -> None:
    """Whoever erases then rolls back, and says that it did not work."""
    ledger = await Ledger.open(path)
    block(path)

    with pytest.raises(OSError, match="directory"):
        await ledger.note("account", ONE)

    assert [] == ledger.ids("account")
