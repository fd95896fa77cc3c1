"""``omnibot skills`` and ``omnibot networks reconnect``, as they are typed; what they do is tested elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from omnibot import cli
from omnibot.cli import networks, skills

LISTED = [
    {"name": "gh", "module": "github", "aliases": ["hub"], "commands": 20, "followers": 1},
    {"name": "ping", "module": "ping", "aliases": [], "commands": 1, "followers": 0},
]


def test_what_is_loaded_is_listed_and_changed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each change says what it did, and how long it lasts."""
    asked: list[tuple[str, Mapping[str, Any]]] = []

    def bot(_: object, op: str, **args: Any) -> Any:
        asked.append((op, args))
        return LISTED if op == "skills list" else {"skills": ["gh"], "commands": 20, "name": "libera"}

    for module in (skills, networks):
        monkeypatch.setattr(module, "administer", bot)
    statuses = [
        cli.run(words)
        for words in (
            ["skills", "list"],
            *(["skills", word, "gh"] for word in ("load", "unload", "reload")),
            ["networks", "reconnect", "libera"],
        )
    ]
    said = capsys.readouterr().out.splitlines()

    assert [0] * 5 == statuses
    assert ["gh (module github): 20 commands, also spoken hub", "ping: 1 commands"] == said[:2]
    assert [
        "gh is loaded, with 20 commands. After a restart the configuration decides: add it to `skills` to keep it.",
        "gh is taken out. After a restart the configuration decides.",
        "gh is loaded anew, with 20 commands.",
        "libera is being connected anew. See: omnibot networks list",
    ] == said[2:]
    assert [("skills list", {}), *((f"skills {word}", {"name": "gh"}) for word in ("load", "unload", "reload"))] == (
        asked[:4]
    )
    assert ("networks reconnect", {"name": "libera"}) == asked[4]


def test_where_no_bot_runs_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to change: what is configured is loaded at its start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omnibot.app.harden", lambda: None)
    assert 0 == cli.run(["init", "--yes"])
    capsys.readouterr()

    for words in (["skills", "list"], ["skills", "reload", "ping"], ["networks", "reconnect", "console"]):
        assert 1 == cli.run(words)
        assert "No bot runs." in capsys.readouterr().err
