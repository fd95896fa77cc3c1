"""How jobs and parameters are said, and how builds are told of; the rest is seen in tests/journeys/test_jenkins.py."""

import pytest

from omnibot import UserError
from skills import _jenkins as at
from skills._jenkins_shown import TREE, fits
from skills._words import span

BASE = "https://ci.example/ci"


@pytest.mark.row("J8")
@pytest.mark.parametrize(
    ("said", "name", "path"),
    [
        ("deploy", "deploy", "/job/deploy"),
        (" the site ", "the site", "/job/the%20site"),
        ("a/b/c", "a/b/c", "/job/a/job/b/job/c"),
        ("/a/b/", "a/b", "/job/a/job/b"),
        ("a » b", "a/b", "/job/a/job/b"),
        ("100% ok?#&", "100% ok?#&", "/job/100%25%20ok%3F%23%26"),
        ("Größe", "Größe", "/job/Gr%C3%B6%C3%9Fe"),
        ("app/feature%2Fx", "app/feature%2Fx", "/job/app/job/feature%252Fx"),
        (f"{BASE}/job/a/job/the%20site/12/console?x=1", "a/the site", "/job/a/job/the%20site"),
        (f"{BASE}/view/all/job/app/job/feature%252Fx/", "app/feature%2Fx", "/job/app/job/feature%252Fx"),
    ],
)
def test_a_job_is_named_in_many_ways(said: str, name: str, path: str) -> None:
    """Each part of a name is encoded, so that it leads nowhere else."""
    assert name == at.job_named(said, BASE)
    assert path == at.job_path(name)


@pytest.mark.parametrize("said", ["", " / ", "..", "a/../b", "./x", f"{BASE}/", "a\x00b", "x" * 2000])
def test_what_is_no_name_is_said(said: str) -> None:
    """Nothing is asked of Jenkins."""
    with pytest.raises(UserError, match="no job's name"):
        at.job_named(said, BASE)


@pytest.mark.row("J3")
@pytest.mark.parametrize(
    ("said", "job", "given"),
    [
        ("deploy", "deploy", {}),
        ("deploy, A=1", "deploy", {"A": "1"}),
        ("deploy,A=1&B=two words&C=", "deploy", {"A": "1", "B": "two words", "C": ""}),
        ("deploy, A=x=y&B=50%20off+1", "deploy", {"A": "x=y", "B": "50%20off+1"}),
        ("deploy, A=Tom & Jerry&B=&&", "deploy", {"A": "Tom & Jerry", "B": "&&"}),
        ("this, that, A=1", "this, that", {"A": "1"}),
        ("this, that", "this, that", {}),
        ('deploy, {"A": "/?x=1&y=2", "B": true, "C": 3}', "deploy", {"A": "/?x=1&y=2", "B": "true", "C": "3"}),
    ],
)
def test_parameters_are_read_as_they_stand(said: str, job: str, given: dict[str, str]) -> None:
    """No value is decoded, and none cut where a person wrote an ampersand."""
    named, parameters = at.split_parameters(said)

    assert (job, given) == (named, at.read_parameters(parameters))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("A", "I do not understand A."),
        ("A=1&A=2", "The parameter A is there twice."),
        ("=1", "I do not understand =1."),
        ('{"A": [1]}', "no JSON that I understand"),
        ('{"A": ', "no JSON that I understand"),
        ("{" * 10_000, "no JSON that I understand"),
    ],
)
def test_odd_parameters_are_told(said: str, words: str) -> None:
    """Rather than sent."""
    with pytest.raises(UserError, match=words):
        at.read_parameters(said)


@pytest.mark.row("J4")
@pytest.mark.parametrize(
    ("wanted", "whether"),
    [
        ("", True),
        ("SITE", True),
        ("team/*", True),
        ("*test", True),
        ("t*site*t", True),
        ("site*", False),
        ("*site", False),
        ("t*test*test", False),
        ("(a+)+$", False),
        ("[a-z", False),
    ],
)
def test_a_filter_is_no_regular_expression(wanted: str, whether: bool) -> None:
    """Part of a name; with stars, the whole of it."""
    assert whether is fits("team/Site-test", wanted)


@pytest.mark.row("J4")
def test_no_filter_takes_long() -> None:
    """Whatever somebody thinks of, at the longest names there are: an expression that went back would never end."""
    assert not any(fits("a" * 200, "*a" * 1000 + "b") for _ in range(1000))


def test_folders_within_folders_are_asked_for_at_once() -> None:
    """With a bound to each."""
    inner = "jobs[fullName,color]{,500}"
    for _ in range(3):
        inner = f"jobs[fullName,color,{inner}]{{,500}}"

    assert inner == TREE


@pytest.mark.parametrize(
    ("color", "word"),
    [
        ("blue", "PASS"),
        ("red_anime", "FAIL, RUNNING"),
        ("yellow", "UNSTABLE"),
        ("nobuilt", "NOT BUILT"),
        ("grey", "NOT BUILT"),
        ("disabled", "DISABLED"),
    ],
)
def test_a_ball_is_a_word(color: str, word: str) -> None:
    """PASS or FAIL, and whether one runs."""
    assert word == at.state(color)


def test_a_log_ends_without_colours_and_endless_lines() -> None:
    """The last lines that have something on them."""
    log = "first\n\n\x1b[31mred\x1b[0m\r\n" + "x" * 500 + "\n   \nlast  \n"

    assert f"red\n{'x' * 200}\nlast" == at.tail(log, 3)
    assert 2500 >= len(at.tail(("y" * 300 + "\n") * 100, 50))
    assert "" == at.tail("\n \n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(-3, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (90061, "25 h 1 min")]
)
def test_a_span(seconds: float, words: str) -> None:
    """As short as people say it."""
    assert words == span(seconds)
