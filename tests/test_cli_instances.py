"""``omnibot instances``: what an operator decides on hosts that people named."""

import asyncio
from pathlib import Path

import pytest

from omnibot import cli
from omnibot.app import administer
from omnibot.config import load


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command line is used in, with a bot of which people name hosts."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text("providers: {redmine: {instances: ask}}\n", encoding="utf-8")
    assert 0 == cli.run(["keys", "new"])
    return tmp_path


def test_a_host_is_allowed_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """In its own letters or in punycode; it is shown in both."""
    capsys.readouterr()
    statuses = [
        cli.run(["instances", "list"]),
        cli.run(["instances", "allow", "B\u00fccher.example"]),
        cli.run(["instances", "allow", "redmine@r.example"]),
        cli.run(["instances", "refuse", "xn--bcher-kva.example"]),
        cli.run(["instances", "list"]),
    ]
    said = capsys.readouterr()
    lines = said.out.splitlines()

    assert ([0] * 5, "") == (statuses, said.err)
    assert "Nobody has named a server." == lines[0]
    assert "People may link redmine@xn--bcher-kva.example (which reads b\u00fccher.example)." == lines[1]
    assert "People may link redmine@r.example." == lines[2]
    assert "Nobody may link redmine@xn--bcher-kva.example (which reads b\u00fccher.example)." == lines[3]
    assert [
        "redmine@xn--bcher-kva.example, which reads b\u00fccher.example: refused, named",
        "redmine@r.example: allowed, named",
    ] == [one.rpartition(" named ")[0] + " named" for one in lines[4:]]


@pytest.mark.parametrize("host", ["127.0.0.1", "https://r.example/", "localhost", "oidc@r.example"])
def test_what_cannot_be_decided_is_an_error(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, with status 1; nothing is kept."""
    capsys.readouterr()
    status = cli.run(["instances", "allow", host])
    said = capsys.readouterr()
    kept = asyncio.run(administer(load(Path("config.yaml"), {}), "instances list", {}, lambda _: None))

    assert (1, "", []) == (status, said.out, kept)
    assert said.err.startswith(('"', "People may name no servers"))
