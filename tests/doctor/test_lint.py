"""What `omnibot check` says of the catalogue."""

from pathlib import Path

import pytest

from omnibot.adapter import Finding
from omnibot.doctor.lint import catalogue
from omnibot.providerfile import SHIPPED, load_catalogue

GOOD = """\
title: Mine
scopes: {read: Sees your things.}
base: https://mine.example.org
server:
  authorize_url: "{base}/a"
  token_url: "{base}/t"
  revoke_url: "{base}/r"
whoami:
  path: /me
  id: id
  login: name
"""


def linted(folder: Path, text: str, name: str = "mine.yaml") -> list[Finding]:
    """What is said of the file *name* in a folder of one's own that holds *text*."""
    (folder / name).write_text(text, "utf-8")
    return list(catalogue(folder, {}))


def test_a_good_file_is_good(tmp_path: Path) -> None:
    """That it was looked at is said."""
    (found,) = linted(tmp_path, GOOD)

    assert ("good", f"{tmp_path}: 1 file(s) of your own, and nothing to say against them.") == (found.level, found.what)


@pytest.mark.parametrize(
    ("before", "after", "level", "says"),
    [
        ("login: name", "login: id", "note", "mine.yaml:10: accounts are told apart by the login."),
        ("base: https", "base: http", "wrong", "mine.yaml:3: base is http."),
        ('"{base}/t"', "http://t.example.org/t", "wrong", "mine.yaml:6: server.token_url is http."),
        ('  revoke_url: "{base}/r"\n', "", "note", "mine.yaml:4: there is no way to hand a token back."),
        ('"{base}/r"\n', '"{base}/r"\n  pkce: none\n', "note", "mine.yaml:8: there is no PKCE."),
    ],
)
def test_what_is_unwise_is_told_with_its_line(tmp_path: Path, before: str, after: str, level: str, says: str) -> None:
    """And with why, and what to do."""
    assert before in GOOD
    (found,) = linted(tmp_path, GOOD.replace(before, after, 1))

    assert (level, says) == (found.level, found.what)
    assert found.why
    assert found.cure


def test_an_address_of_this_machine_may_be_http(tmp_path: Path) -> None:
    """Nobody is on the way there."""
    assert ["good"] == [
        one.level for one in linted(tmp_path, GOOD.replace("https://mine.example.org", "http://127.0.0.1"))
    ]


def test_a_file_that_is_not_read_is_noted(tmp_path: Path) -> None:
    """By the end of its name."""
    (found,) = linted(tmp_path, GOOD, "mine.yml")

    assert "mine.yml: it is not read, for its name does not end in .yaml." == found.what
    assert "Call it mine.yaml." == found.cure


def test_one_in_place_of_a_shipped_one_is_noted(tmp_path: Path) -> None:
    """It stays behind when that is mended."""
    (found,) = linted(tmp_path, GOOD, "github.yaml")

    assert "github.yaml:1: it stands in for the shipped github." == found.what


def test_what_nobody_has_tried_is_noted_where_it_is_used() -> None:
    """Not of those that nobody uses, nor of those that were tried."""
    shipped = load_catalogue(SHIPPED)
    untried = [name for name, one in shipped.items() if one.tested.against == "documentation"][:2]
    named = [one.what.partition(".yaml:")[0] for one in catalogue(None, {name: shipped[name] for name in untried})]

    assert untried
    assert sorted(untried) == named
    assert [] == list(catalogue(None, {"redmine": shipped["redmine"]}))
