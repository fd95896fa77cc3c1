"""`omnibot init` makes a configuration that can be run as it is, or leaves nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from omnibot.app import find_parts
from omnibot.config import load
from omnibot.errors import ConfigError
from omnibot.vault import Keyring
from omnibot.wizard import write


def never(_: str) -> str:
    raise AssertionError("nobody is to be asked")


def says(answer: str) -> Callable[[str], str]:
    """Somebody who answers so."""
    return lambda _: answer


def test_what_it_writes_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every part that it names is there, and so is a key; it says what to do next."""
    path = tmp_path / "config.yaml"
    status = write(path, yes=True, ask=never)
    settings = load(path, {})
    parts = find_parts(settings)

    assert 0 == status
    assert (None, ("127.0.0.1", 8080)) == (settings.public_url, settings.listen)
    assert (["console"], ["accounts", "following", "help", "ping", "api"]) == (
        list(parts.adapters),
        [skill.name for skill in parts.skills],
    )
    assert 1 == len(Keyring.load(settings.key_file).ids)
    assert 0o700 == settings.data_dir.stat().st_mode & 0o777
    said = capsys.readouterr().out
    assert f"Wrote {path} and the key {settings.key_file}." in said
    assert "Next: omnibot check, omnibot run" in said


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("https://bot.example.org", "https://bot.example.org"), ("  http://localhost:8080 ", "http://localhost:8080")],
)
def test_it_asks_where_browsers_reach_the_bot(tmp_path: Path, answer: str, expected: str) -> None:
    """What was answered is the public address."""
    write(tmp_path / "config.yaml", yes=False, ask=says(answer))

    assert expected == load(tmp_path / "config.yaml", {}).public_url


@pytest.mark.parametrize("answer", ["", "   "])
def test_no_answer_is_none(tmp_path: Path, answer: str) -> None:
    """The key stands there, switched off, to be filled in later."""
    write(tmp_path / "config.yaml", yes=False, ask=says(answer))

    assert None is load(tmp_path / "config.yaml", {}).public_url
    assert "# public_url: https://bot.example.org" in (tmp_path / "config.yaml").read_text("utf-8")


def test_an_address_given_is_not_asked_for(tmp_path: Path) -> None:
    """Whether or not the rest may be asked."""
    write(tmp_path / "config.yaml", yes=False, public_url="https://bot.example.org", ask=never)

    assert "https://bot.example.org" == load(tmp_path / "config.yaml", {}).public_url


@pytest.mark.parametrize(
    "answer", ["bot.example.org", "http://bot.example.org", "https://bot.example.org # mine", 'https://a"b\nlisten: x']
)
def test_what_is_no_address_leaves_nothing(tmp_path: Path, answer: str) -> None:
    """The whole of it is refused, nothing of it is read as something else, and a second try can begin anew."""
    with pytest.raises(ConfigError, match="public_url"):
        write(tmp_path / "config.yaml", yes=False, ask=says(answer))

    assert [] == list(tmp_path.iterdir())


def test_a_key_that_is_there_stays(tmp_path: Path) -> None:
    """It may be the only way to what the database holds."""
    write(tmp_path / "config.yaml", yes=True)
    before = Keyring.load(tmp_path / "data" / "omnibot.key").ids
    (tmp_path / "config.yaml").unlink()
    write(tmp_path / "config.yaml", yes=True)

    assert before == Keyring.load(tmp_path / "data" / "omnibot.key").ids


def test_a_configuration_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not looked at, and nobody is asked."""
    (tmp_path / "config.yaml").write_text("mine", "utf-8")
    status = write(tmp_path / "config.yaml", yes=False, ask=never)

    assert (1, "mine") == (status, (tmp_path / "config.yaml").read_text("utf-8"))
    assert "exists already. Move it away" in capsys.readouterr().err


@pytest.mark.parametrize("blocked", ["no/such/config.yaml", "file/config.yaml"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, blocked: str) -> None:
    """In a sentence with a cure."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be made: .* Name a folder that is there"):
        write(tmp_path / blocked, yes=True)


def test_nobody_to_ask_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard input is at its end."""

    def ends(_: str) -> str:
        raise EOFError

    status = write(tmp_path / "config.yaml", yes=False, ask=ends)

    assert (1, []) == (status, list(tmp_path.iterdir()))
    assert "There is nobody to ask" in capsys.readouterr().err
