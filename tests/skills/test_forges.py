"""What the skills for GitHub, GitLab and Forgejo share: names, news, and words."""

from dataclasses import replace
from typing import Any, cast

import pytest

from omnibot import Api, UserError
from omnibot.registry import find_skills
from skills._forges import (
    MOST_TOLD,
    Event,
    Reference,
    Thing,
    listed,
    moment,
    outcome,
    project_named,
    reference,
    shown,
    site_of,
    told,
    unsaid,
)

THING = Thing("acme/site#1", "A *lamp*", "https://git.example/acme/site/issues/1", "bob", "open", 0.0)


class At:
    """An API, of which only the address is asked."""

    def __init__(self, base: str) -> None:
        self.base = base

    def url(self, path: str) -> str:
        return f"{self.base}/{path.lstrip('/')}"


def at(base: str) -> Api:
    return cast(Api, At(base))


@pytest.mark.parametrize(
    ("api", "site"),
    [
        ("https://api.github.com", "https://github.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com"),
        ("https://git.example/api/v3", "https://git.example"),
        ("https://api.example/gitlab/api/v4", "https://api.example/gitlab"),
    ],
)
def test_a_service_is_found_from_its_api(api: str, site: str) -> None:
    """On a host of its own or below the service's, in a folder as well."""
    assert site == site_of(at(api))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("acme/site#12", Reference("acme/site", 12)),
        ("acme/web/site!3", Reference("acme/web/site", 3, pull=True)),
        (" <https://git.example/acme/site/issues/12> ", Reference("acme/site", 12)),
        ("https://git.example/acme/site/pull/12/files#r1", Reference("acme/site", 12, pull=True)),
        ("https://git.example/acme/site/pulls/12", Reference("acme/site", 12, pull=True)),
        ("https://git.example/acme/web/site/-/issues/1?a=b", Reference("acme/web/site", 1)),
        ("https://git.example/acme/web/site/-/merge_requests/2", Reference("acme/web/site", 2, pull=True)),
    ],
)
def test_what_is_meant(said: str, meant: Reference) -> None:
    """As people write it, or as they copy it from their browser."""
    assert meant == reference(said, at("https://git.example/api/v4"))


@pytest.mark.parametrize(
    "said",
    [
        "",
        "#12",
        "site#12",
        "acme/site",
        "acme/site#0x1",
        "acme/../site#1",
        "./site#1",
        "acme/site#1234567890",
        "acme/site?x#1",
        "https://git.example.evil/acme/site/issues/1",
        "https://git.example@evil/acme/site/issues/1",
        "http://git.example/acme/site/issues/1",
        "https://git.example/acme/../issues/1",
        "https://git.example/acme/site/commits/1",
    ],
)
def test_what_is_no_issue(said: str) -> None:
    """It is said how one is written; nothing else's address is taken for one's own."""
    with pytest.raises(UserError):
        reference(said, at("https://git.example/api/v4"))


@pytest.mark.parametrize("said", ["", "site", "acme/..", "acme/si te", "acme/site#1", "https://git.example/acme"])
def test_what_is_no_project(said: str) -> None:
    """A project is called as in its address."""
    with pytest.raises(UserError):
        project_named(said)


# ------------------------------------------------------------------------------------------ news


def event(at: float, text: str, by: str = "bob") -> Event:
    return Event(at, by, text)


def test_news_are_told_once() -> None:
    """What came before one asked is not told, and each of what came after once, in order."""
    events = [event(3, "c"), event(1, "a"), event(2, "b")]
    first = unsaid(events, 1, "")
    said = told("Lamp", first)
    events.append(event(4, "d"))

    assert ["b", "c"] == [one.text for one in first]
    assert "Lamp\n- b\n- c" == said
    assert ["d"] == [one.text for one in unsaid(events, 1, said)]
    assert [] == unsaid(events, 1, told("Lamp", unsaid(events, 1, said)))


def test_nothing_is_lost_where_two_say_the_same() -> None:
    """It is rather told twice."""
    events = [event(1, "+1"), event(2, "no"), event(3, "+1")]

    assert ["no", "+1"] == [one.text for one in unsaid(events, 0, "Lamp\n- +1")]


def test_what_is_told_is_short_and_ends_with_the_newest() -> None:
    """So that nothing is cut from what tells, next time, how far it was told."""
    events = [event(place, f"{place}: {'*' * 400}") for place in range(20)]
    said = told("Lamp", events)

    assert len(said) <= MOST_TOLD
    assert said.split("\n")[1].endswith("more before")
    assert [] == unsaid(events, -1, said)


def test_what_others_wrote_does_nothing() -> None:
    """In a title, a comment, a text, or a name: it is shown."""
    thing = replace(THING, body="# Big\n@everyone", author="<b>", labels=("[x](y)",), comments=1)
    lines = shown(thing, [event(1, "bob: line\n> quote\n**bold**")]).split("\n")

    assert 4 == len(lines)
    assert lines[-1].startswith("- bob: line")
    assert "**bold**" not in lines[-1]
    assert "A \\*lamp\\*" in listed([thing], "")


def test_how_checks_ended() -> None:
    """All well, or which did not."""
    assert "all checks passed" == outcome({"a": True, "b": True})
    assert "2 of 5 checks failed: a, b" == outcome({"a": False, "b": False, "c": True, "d": True, "e": True})


def test_a_time_that_is_none() -> None:
    """It is long ago."""
    assert 0.0 == moment(None)
    assert 1.5 == moment("1970-01-01T00:00:01.500Z")


def test_the_three_have_the_common_commands() -> None:
    """Under their own words, and each with the forge's word for a pull request."""
    common: dict[str, Any] = {}
    for skill in find_skills(["github", "gitlab", "forgejo"]):
        common[skill.name] = {one.path[1]: one for one in skill.commands}
    shared = {"issues", "reviews", "show", "create", "comment", "close", "reopen", "merge", "follow"}

    assert all(shared <= set(one) for one in common.values())
    assert "mrs" in common["gitlab"]
    assert "Merge a merge request" == common["gitlab"]["merge"].summary
    assert all("destroy" == one["merge"].effect for one in common.values())
