"""``omnibot people`` and ``omnibot linking`` on the data of a bot that does not run."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from omnibot import cli
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import GRACE, Bench, Plan

CONFIG = """
networks: {fake: {adapter: console}}
providers: {demo: {issuer: "%s", client_id: omnibot, client_secret: demo-secret}}
data_dir: data
key_file: omnibot.key
"""


@pytest.fixture
def type_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Type words where Grace has linked an account; return what is said, after the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("omnibot.app.harden", lambda: None)

    async def linked() -> None:
        async with DemoProvider() as provider, Bench.open(Plan(tmp_path, provider=provider)) as bench:
            await bench.link(GRACE, "grace")
            (tmp_path / "config.yaml").write_text(CONFIG % provider.origin, "utf-8")

    asyncio.run(linked())

    def typed(*words: str) -> str:
        status = cli.run(words)
        said = capsys.readouterr()
        return f"{status}: {said.out}{said.err}"

    return typed


def test_people_are_seen_and_taken_from(type_: Callable[..., str]) -> None:
    """By identity and service; what there is not is said."""
    listed, shown = type_("people", "list"), type_("people", "show", "fake:u-2")
    as_json = json.loads(type_("people", "list", "--json").partition(": ")[2])
    nobody, nothing = type_("people", "show", "fake:u-9"), type_("people", "revoke", "fake:u-2", "github")
    revoked, after = type_("people", "revoke", "fake:u-2", "demo"), type_("people", "show", "fake:u-2")
    forgotten, none = type_("people", "forget", "fake:u-2"), type_("people", "list")

    assert listed.startswith("0: fake:u-2: demo@")
    assert "as grace: active, since" in shown
    assert ["fake:u-2"] == as_json[0]["identities"]
    assert '1: I know nobody called "fake:u-9".' in nobody
    assert "1: fake:u-2 has nothing at github. Linked: demo@" in nothing
    assert "as grace is unlinked" in revoked
    assert "grace" not in after
    assert forgotten == "0: fake:u-2 is forgotten, with 0 accounts.\n"
    assert none == "0: The bot knows nobody yet.\n"


def test_linking_is_paused_and_goes_on(type_: Callable[..., str], tmp_path: Path) -> None:
    """In a file that can be seen."""
    assert "0: Links may begin.\n" == type_("linking", "show")
    assert "0: Nothing new can be linked: we are moving\n" == type_("linking", "pause", "we are\nmoving")
    assert "we are moving\n" == (tmp_path / "data" / "linking-paused").read_text()
    assert "1: Say why in 500 characters" in type_("linking", "pause", "x" * 501)
    assert "0: Nothing new can be linked: we are moving\n" == type_("linking", "show")
    assert "0: Links may begin.\n" == type_("linking", "resume") == type_("linking", "resume")
