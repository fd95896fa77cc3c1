"""``omnibot audit``: whether the record is as it was written, its export, its anchors; while the bot runs and not."""

import asyncio
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from keys import do
from omnibot import cli
from omnibot.audit import Audit
from omnibot.config import load
from omnibot.database import Database
from omnibot.errors import UserError
from omnibot.testing.bench import Bench, Plan
from omnibot.vault import Keyring, Sealer

DATABASE = Path("data/omnibot.db")


async def record(number: int) -> None:
    """Put *number* entries on record, as a bot does that ran here."""
    settings = load(Path("config.yaml"), {})
    database = await Database.open(settings.data_dir / "omnibot.db")
    audit = Audit(database, sealer=Sealer(Keyring.load(settings.key_file)))
    for one in range(1, number + 1):
        audit.record("", "home", "command", command=f"c{one}", **{"as": ["demo@default"]})
    await audit.flush()
    await database.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder that the command line is used in, with a bot that has done something."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("prefix: '!'\n", encoding="utf-8")
    assert 0 == cli.run(["keys", "new"])
    asyncio.run(record(5))
    capsys.readouterr()
    return tmp_path


def spoil(sql: str) -> None:
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.execute(sql)


def test_an_untouched_record_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """The head is printed, and fits as an anchor."""
    assert 0 == cli.run(["audit", "anchor"])
    anchor = capsys.readouterr().out.strip()
    assert 0 == cli.run(["audit", "verify", "--anchor", anchor])
    said = capsys.readouterr()

    assert f"5 entries, 1 to 5, are as they were written. Head: {anchor}\n" == said.out
    assert "" == said.err
    assert anchor.startswith("5:")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE audit SET detail = '{}' WHERE seq = 3", "from entry 3 on. Entry 3 is not as it was written."),
        ("DELETE FROM audit WHERE seq = 2", "from entry 2 on. Entry 2 is missing."),
        ("DELETE FROM audit WHERE seq > 4", "from entry 5 on. The record ends with entry 4, and went to 5 at least"),
    ],
)
def test_what_was_touched_is_named(capsys: pytest.CaptureFixture[str], sql: str, said: str) -> None:
    """On standard error, with status 1."""
    spoil(sql)
    assert 1 == cli.run(["audit", "verify"])
    told = capsys.readouterr()

    assert "" == told.out
    assert said in told.err


def test_an_anchor_that_does_not_fit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a later moment, of another record, or none at all."""
    assert 1 == cli.run(["audit", "verify", "--anchor", f"9:{'a' * 64}"])
    assert "went to 9 at least, as the anchor you gave says" in capsys.readouterr().err
    assert 1 == cli.run(["audit", "verify", "--anchor", f"2:{'a' * 64}"])
    assert "it does not fit the anchor you gave" in capsys.readouterr().err
    assert 1 == cli.run(["audit", "verify", "--anchor", "yesterday"])
    assert "An anchor is SEQ:HASH" in capsys.readouterr().err


def test_the_export_has_every_entry_and_the_head(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To standard output, or a new file of one's own; whatever the number of pages."""
    monkeypatch.setattr("omnibot.audit._AT_ONCE", 2)
    assert 0 == cli.run(["audit", "export"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert 0 == cli.run(["audit", "export", "--out", "record.jsonl"])
    told = capsys.readouterr()
    kept = Path("record.jsonl")
    assert 1 == cli.run(["audit", "export", "--out", "record.jsonl"])
    refused = capsys.readouterr().err

    assert [f"c{one}" for one in range(1, 6)] == [one["detail"]["command"] for one in lines[:-1]]
    assert {"head": f"5:{lines[-2]['hash']}"} == lines[-1]
    assert ("", "5 entries are in record.jsonl.\n") == (told.out, told.err)
    assert lines == [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode)
    assert "exists already" in refused


def test_after_a_restore_the_record_can_be_taken_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """By an operator who says so; the record keeps that."""
    spoil("DELETE FROM audit WHERE seq > 3")
    assert 1 == cli.run(["audit", "anchor"])
    assert "Nothing was anchored" in capsys.readouterr().err
    assert 0 == cli.run(["audit", "anchor", "--anew"])
    assert capsys.readouterr().out.startswith("6:")
    status = cli.run(["audit", "verify"])

    assert 1 == status, "the gap is a gap still"


async def test_a_running_bot_does_it_as_well(tmp_path: Path) -> None:
    """With what it has not written yet."""
    (tmp_path / "bench").mkdir()
    async with Bench.open(Plan(tmp_path / "bench")) as bench:
        with pytest.raises(UserError, match="Nothing has been recorded yet"):
            await do(bench, "audit anchor")
        assert 0 == (await do(bench, "audit verify"))["entries"]
        bench.core.audit.record("", "fake", "command", command="ping")
        found = await do(bench, "audit verify")
        entries = await do(bench, "audit export")
        anchor = await do(bench, "audit anchor")

    assert (0, 1, anchor) == (found["broken"], found["entries"], found["head"])
    assert [("command", {"command": "ping"})] == [(one["event"], one["detail"]) for one in entries]
