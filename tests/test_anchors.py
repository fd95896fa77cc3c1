"""Heads of the audit stand signed in a file: what others write there says nothing, and it does not grow for ever."""

import stat
from pathlib import Path

import pytest

from omnibot import anchors
from omnibot.chain import Head
from omnibot.errors import KeyMissing
from omnibot.vault import Keyring, Sealer

SEALER = Sealer(Keyring([b"k" * 32]))


def head(seq: int) -> Head:
    return Head(seq, bytes([seq % 256]) * 32)


def heads(path: Path, sealer: Sealer = SEALER) -> list[int]:
    return [one.head.seq for one in anchors.read(path, sealer).points]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / anchors.NAME


def test_what_is_written_is_read(path: Path) -> None:
    """By nobody else on the machine."""
    assert anchors.Anchors() == anchors.read(path, SEALER)
    for seq in (1, 5, 9):
        anchors.write(path, SEALER, head(seq), 86400.0 * seq)
    found = anchors.read(path, SEALER)

    assert [head(1), head(5), head(9)] == [one.head for one in found.points]
    assert "the anchor of 1970-01-06" == found.points[1].what
    assert (head(9), 0, 0) == (found.newest, found.foreign, found.unread)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("part", range(6))
def test_a_line_that_was_changed_says_nothing(path: Path, part: int) -> None:
    """In whatever part."""
    anchors.write(path, SEALER, head(1), 1.0)
    anchors.write(path, SEALER, head(2), 2.0)
    lines = path.read_text("ascii").splitlines()
    words = lines[0].split()
    words[part] = {0: "anew", 1: "3", 2: "0" * 64, 3: "7", 4: "00000000", 5: "0" * 64}[part]
    path.write_text(f"{' '.join(words)}\n{lines[1]}\nand this\n", "ascii")
    found = anchors.read(path, SEALER)

    assert [2] == heads(path)
    assert (1, 1) == (found.foreign - (part != 4), found.unread + (part != 4))


def test_a_line_cut_off_by_a_crash_costs_no_other(path: Path) -> None:
    """The next begins on its own."""
    anchors.write(path, SEALER, head(1), 1.0)
    with path.open("a") as file:
        file.write("anchor 2 ab")
    anchors.write(path, SEALER, head(3), 3.0)

    assert [1, 3] == heads(path)


def test_it_is_cut_to_its_newer_half(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read at each start."""
    monkeypatch.setattr(anchors, "_MOST", 10)
    for seq in range(1, 18):
        anchors.write(path, SEALER, head(seq), 1.0)

    assert [11, 12, 13, 14, 15, 16, 17] == heads(path)


def test_behind_a_new_beginning_nothing_older_binds(path: Path) -> None:
    """An operator has taken the record as it was then."""
    anchors.write(path, SEALER, head(9), 1.0)
    anchors.write(path, SEALER, head(3), 2.0, "anew")
    anchors.write(path, SEALER, head(4), 3.0)

    assert [3, 4] == heads(path)


def test_what_stands_under_another_key_is_counted(path: Path) -> None:
    """And nothing is written without a key."""
    anchors.write(path, SEALER, head(9), 1.0)

    assert 1 == anchors.read(path, Sealer(Keyring([b"o" * 32]))).unread
    with pytest.raises(KeyMissing):
        anchors.write(path, Sealer(Keyring()), head(9), 1.0)
