"""What `omnibot check` and `omnibot keys verify` say of every row that stands under a key."""

from pathlib import Path

import pytest

from doctoring import lines, used, write
from omnibot.adapter import Finding
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import rows, verify_rows
from omnibot.vault import Keyring


async def test_a_flood_of_wrong_rows_is_cut(
    path: Path, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty lines are enough to see that it is the key."""
    await used(path, provider)
    bad = [f"row {number}" for number in range(100)]
    monkeypatch.setattr(rows, "_verify", lambda *_: rows._Seen(100, dict.fromkeys(bad)))

    found = await verify_rows(path.parent / "data", Keyring())
    assert 20 == len(found)


async def test_no_database_is_no_fault(tmp_path: Path) -> None:
    """Before the first run."""
    assert [Finding("good", "There is no database yet.")] == await verify_rows(tmp_path, Keyring())


async def test_rows_of_a_damaged_database_are_not_called_good(tmp_path: Path) -> None:
    """`keys verify` looks at the rows alone, and says what keeps it from that."""
    (tmp_path / "omnibot.db").write_bytes(b"no database at all " * 300)
    database = tmp_path / "omnibot.db"

    assert [
        Finding(
            "wrong", f"{database} cannot be read (file is not a database).", "Put a backup back: omnibot restore FILE"
        )
    ] == await verify_rows(tmp_path, Keyring())


async def test_a_row_that_was_changed_is_wrong(path: Path, provider: DemoProvider) -> None:
    """It names table and row, and nothing of what is in it."""
    database = await used(path, provider)
    write(database, "UPDATE accounts SET status = 'held'")
    wrong = [line for line in await lines(path) if line.startswith("WRONG")]

    assert 1 == len(wrong)
    assert wrong[0].startswith("WRONG accounts row ")
    assert "or a backup: omnibot restore FILE" in wrong[0]
