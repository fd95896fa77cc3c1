"""`omnibot providers list` and `show`, and the page that is made of the catalogue."""

from pathlib import Path

import pytest

from omnibot import cli
from omnibot.catalogue import SHIPPED, load_catalogue
from omnibot.showing import page

ROOT = Path(__file__).parent.parent
CONFIG = """\
public_url: https://bot.example
providers:
  oidc:
    instances:
      club: {issuer: https://login.club.example, client_id: omnibot}
      work: {issuer: https://login.work.example, client_id: omnibot}
  redmine: {instances: {"*": ask}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command line is used in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNIBOT_CONFIG", raising=False)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what the command line says to *words*."""
    assert 0 == cli.run(["providers", *words])
    return capsys.readouterr().out


def test_the_page_is_of_the_catalogue_as_it_is() -> None:
    """Who changes a file makes the page anew: tools/provider_docs.py."""
    assert page(load_catalogue(SHIPPED)) == (ROOT / "docs/providers.md").read_text("utf-8")


def test_the_page_names_each_with_what_it_was_tested_against() -> None:
    """In the table and in a section; nothing of this machine is in it."""
    made = page(load_catalogue(SHIPPED))

    assert "| [`redmine`](#redmine) | Redmine | key | server: Redmine, as Debian packages it |" in made
    assert "| [`zulip`](#zulip) | Zulip | key | documentation only |" in made
    for name in load_catalogue(SHIPPED):
        assert 1 == made.count(f"\n## {name}\n")
    assert str(ROOT) not in made
    assert "/home/" not in made


def test_the_list_without_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """All there are, none configured."""
    lines = told(capsys, "list").splitlines()

    assert ["NAME", "TITLE", "WAYS", "CONFIGURED"] == lines[0].split()
    assert 25 <= len(lines) - 1
    assert all(line.endswith(" -") for line in lines[1:])


def test_the_list_with_a_configuration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The instances there are; also where people name hosts."""
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    lines = {line.split()[0]: line for line in told(capsys, "list").splitlines()}

    assert lines["oidc"].endswith("oidc@club, oidc@work")
    assert lines["redmine"].endswith("any host that people name (ask)")
    assert lines["google"].endswith(" -")


def test_a_provider_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the redirect URIs to register for this configuration, in the steps too."""
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    both, one = told(capsys, "show", "oidc"), told(capsys, "show", "oidc@work")

    assert "https://bot.example/callback/oidc/club" in both
    assert "https://bot.example/callback/oidc/work" in both
    assert "https://bot.example/callback/oidc/club" not in one
    assert "2. Redirect URI: https://bot.example/callback/oidc/work\n" in one
    assert "openid: know which account is yours (always)" in one
    assert "{callback}" not in both
    assert "To try it: omnibot providers test oidc@work" in one


def test_a_provider_that_is_not_configured_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """What is to be given, and what is worth knowing."""
    slack, trello, mastodon = (told(capsys, "show", name) for name in ("Slack", "trello", "mastodon"))

    assert "no: add providers.slack" in slack
    assert "client_id and client_secret" in slack
    assert "Redirect URIs have to be https." in slack
    assert "To try it" not in slack
    assert "consumer_key and consumer_secret" in trello
    assert "OAuth 1.0a, requests signed by HMAC-SHA1" in trello
    assert "it registers itself at its first use" in mastodon
    assert "redirect URI" not in mastodon.replace("redirect URIs", "")


def test_what_is_not_there_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the name that was meant; likewise an instance that nobody configured, and a file that does not fit."""
    statuses = [cli.run(["providers", "show", "githup"])]
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    statuses.append(cli.run(["providers", "show", "oidc@home"]))
    (folder / "config.yaml").write_text("providers: {githup: {}}\n", encoding="utf-8")
    statuses.append(cli.run(["providers", "list"]))
    said = capsys.readouterr()

    assert [1, 1, 1] == statuses
    assert "" == said.out
    assert 'githup is not in the catalogue. Did you mean "github"?' in said.err
    assert "oidc@home is not configured." in said.err
    assert "providers.githup" in said.err
