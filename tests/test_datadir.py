"""One bot at a time works in a data directory."""

from pathlib import Path

import pytest

from omnibot.datadir import DataDir
from omnibot.errors import ConfigError


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """With what is above it, and the lock in it."""
    held = DataDir.hold(tmp_path / "deep" / "data")
    held.release()

    assert 0o700 == held.path.stat().st_mode & 0o777
    assert {"lock": 0o600} == {path.name: path.stat().st_mode & 0o777 for path in held.path.iterdir()}


def test_whoever_comes_second_is_refused(tmp_path: Path) -> None:
    """Until the first lets go; in a sentence that says what to do."""
    first = DataDir.hold(tmp_path)
    with pytest.raises(ConfigError) as refused:
        DataDir.hold(tmp_path)
    first.release()
    DataDir.hold(tmp_path).release()

    assert f"{tmp_path}: data_dir: another omnibot is running on this folder. Stop it, or name another folder." == (
        str(refused.value)
    )


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    """With the system's own reason."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"data_dir: cannot be used: .* Give the bot's user write permission"):
        DataDir.hold(tmp_path / name)
