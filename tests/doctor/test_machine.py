"""What `omnibot check` says of what the bot runs on."""

import resource
from importlib import metadata

import pytest

from omnibot import http
from omnibot.doctor import machine


def test_these_versions_are_new_enough() -> None:
    """The tests run with what pyproject.toml wants."""
    assert [] == list(machine.versions())


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("pydantic>=999.1", "wanted 999.1."),
        ("omnibot-has-no-such-part>=1", "omnibot-has-no-such-part, which is not there at all, wanted 1."),
        ("matrix-nio[e2e]>=999,<1000", "wanted 999."),
    ],
)
def test_a_library_below_its_floor_is_wrong(monkeypatch: pytest.MonkeyPatch, wanted: str, says: str) -> None:
    """One that only an extra wants is not looked at."""
    monkeypatch.setattr(metadata, "requires", lambda _: [wanted, "flask>=999; extra == 'dev'"])
    (found,) = machine.versions()

    assert "wrong" == found.level
    assert found.what.startswith("Too old: ")
    assert found.what.endswith(says)
    assert found.why
    assert found.cure


def test_a_release_is_the_same_with_zeros_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 is not below 3.0, and 3.10 not below 3.9 (PEP 440)."""
    monkeypatch.setattr(metadata, "requires", lambda _: ["pydantic>=3.0.0", "aiohttp>=3.9"])
    monkeypatch.setattr(metadata, "version", {"pydantic": "3", "aiohttp": "3.10.1"}.__getitem__)

    assert [] == list(machine.versions())


def test_an_old_sqlite_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables would not be made."""
    monkeypatch.setattr("omnibot.doctor.machine.sqlite3.sqlite_version_info", (3, 36, 0))

    assert [True] == ["SQLite" in one.what for one in machine.versions()]


@pytest.mark.parametrize(("files", "noted"), [(256, 1), (1024, 0), (resource.RLIM_INFINITY, 0)])
def test_few_open_files_are_noted(monkeypatch: pytest.MonkeyPatch, files: int, noted: int) -> None:
    """With what they are needed for."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))

    assert noted == len(list(machine.files()))


async def test_the_guard_holds() -> None:
    """Every forbidden address is refused by the client itself."""
    (found,) = await machine.guard()

    assert "good" == found.level
    assert "15 forbidden addresses were refused" in found.what


async def test_a_guard_that_lets_go_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what it lets the bot go to."""
    monkeypatch.setattr(http, "is_public", lambda address: address.startswith("127."))
    monkeypatch.setattr(machine, "_FORBIDDEN", ("127.0.0.1", "10.0.0.1"))
    (found,) = await machine.guard()

    assert "wrong" == found.level
    assert "The address guard lets the bot go to 127.0.0.1." == found.what
