"""`omnibot backup` and `omnibot restore`, as they are typed."""

import io
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from omnibot import cli, restoring
from omnibot.datadir import DataDir
from omnibot.ports import free_port


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration, a key and a database, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNIBOT_CONFIG", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("omnibot.logs.set_up", lambda *_: None)
    monkeypatch.setattr("omnibot.app.harden", lambda: None)
    Path("config.yaml").write_text(
        f"listen: 127.0.0.1:{free_port()}\nnetworks: {{console: {{adapter: console}}}}\nkey_file: omnibot.key\n",
        "utf-8",
    )
    assert 0 == cli.run(["keys", "new"])
    capsys.readouterr()


def count() -> int:
    with closing(sqlite3.connect("data/omnibot.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM positions").fetchone()[0])


def write() -> None:
    with closing(sqlite3.connect("data/omnibot.db")) as connection:
        connection.execute("INSERT INTO positions VALUES ('console', 'later')")
        connection.commit()


def answer(monkeypatch: pytest.MonkeyPatch, text: str, *, tty: bool = True) -> None:
    typed = io.StringIO(text)
    monkeypatch.setattr(typed, "isatty", lambda: tty)
    monkeypatch.setattr(sys, "stdin", typed)


def test_there_and_back(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bot stopped; what to do next is told."""
    made = cli.run(["backup", "mine.tar"])
    write()
    answer(monkeypatch, "yes\n")
    status = cli.run(["restore", "mine.tar"])
    said = capsys.readouterr().out

    assert ([0, 0], 0) == ([made, status], count())
    assert "mine.tar: 0." in said
    assert "A whole backup of " in said
    assert "delete it when all is well" in said
    assert "Start the bot now: omnibot run" in said


@pytest.mark.parametrize("text", ["no\n", "", "\n"])
def test_without_a_yes_nothing_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Status 1, so that a script notices."""
    cli.run(["backup", "mine.tar"])
    write()
    answer(monkeypatch, text)

    assert (1, 1) == (cli.run(["restore", "mine.tar"]), count())
    assert "Nothing was changed." in capsys.readouterr().out
    assert [] == [one.name for one in Path("data").iterdir() if one.name.startswith("omnibot.restoring")]


def test_where_nobody_can_be_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--yes is wanted, and enough."""
    cli.run(["backup", "mine.tar"])
    answer(monkeypatch, "", tty=False)

    assert (1, 0) == (cli.run(["restore", "mine.tar"]), cli.run(["restore", "mine.tar", "--yes"]))
    assert "Say it with --yes" in capsys.readouterr().err


def test_the_bot_must_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor another command on the folder."""
    cli.run(["backup", "mine.tar"])
    held = DataDir.hold(Path("data"))
    try:
        status = cli.run(["restore", "mine.tar", "--yes"])
    finally:
        held.release()

    assert 1 == status
    assert "Stop it first." in capsys.readouterr().err


def test_an_interrupted_one_is_gone_on_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other command says so, and `restore` without a name does it; later it has nothing to do."""
    cli.run(["backup", "mine.tar"])
    write()

    def cut(_: Path) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "finish", cut)
        stopped = cli.run(["restore", "mine.tar", "--yes"])
    refused = cli.run(["backup"])
    why = capsys.readouterr().err
    finished, again = cli.run(["restore"]), cli.run(["restore"])
    said = capsys.readouterr()

    assert [130, 1, 0, 1] == [stopped, refused, finished, again]
    assert "Finish it first: omnibot restore" in why
    assert "is finished" in said.out
    assert "No restore was interrupted" in said.err
    assert 0 == count()


def test_a_missing_key_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is done."""
    cli.run(["backup", "mine.tar"])
    with closing(sqlite3.connect("data/omnibot.db")) as connection:
        connection.execute("INSERT INTO networks VALUES ('net', 'r', 'beef0001', x'00')")
        connection.commit()
    Path("mine.tar").unlink()
    cli.run(["backup", "mine.tar"])
    cli.run(["restore", "mine.tar", "--yes"])

    assert "does not hold key beef0001" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["backup", "--keep", "0"], ["backup", "--keep", "x"]])
def test_a_number_is_wanted(words: list[str]) -> None:
    """Status 2, as for any words that do not fit."""
    with pytest.raises(SystemExit) as ended:
        cli.run(words)

    assert 2 == ended.value.code


def test_no_backup_is_said_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """With status 1."""
    Path("mine.tar").write_bytes(b"nothing")

    assert 1 == cli.run(["restore", "mine.tar", "--yes"])
    assert "it is no backup, or a damaged one. Nothing was changed." in capsys.readouterr().err
