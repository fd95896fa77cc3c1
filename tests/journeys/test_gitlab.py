"""A person works at GitLab through the bot, which is they themselves to it: by its own record."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.forge_walks import allow, news, say_linked, settings
from omnibot.ports import free_port
from omnibot.testing.bench import GRACE, Bench, Plan
from servers.forges import Project, Pull
from servers.gitlab import LIFETIME, GitLab

SKILLS = ("accounts", "following", "help", "gitlab")


@pytest.fixture
async def gitlab() -> AsyncIterator[GitLab]:
    """A GitLab."""
    async with GitLab() as gitlab:
        yield gitlab


@pytest.fixture
def site(gitlab: GitLab) -> Project:
    """A private project of Alice's and Bob's, in a group within a group."""
    return gitlab.project("acme/web/site", private=True, alice="write", bob="write")


@pytest.fixture
async def bench(tmp_path: Path, gitlab: GitLab) -> AsyncIterator[Bench]:
    """A bot that is registered there."""
    port = free_port()
    plan = Plan(tmp_path, skills=SKILLS, settings=(settings(gitlab, "gitlab", port),), port=port)
    async with Bench.open(plan) as bench:
        yield bench


@pytest.mark.row("T10")
async def test_what_one_does_is_done_by_oneself(bench: Bench, gitlab: GitLab, site: Project) -> None:
    """Open, comment, close, reopen and merge: the record names her each time, and nobody else."""
    gitlab.issue(site, "bob", "Lamp", pull=Pull("lamp"))
    said = [
        await say_linked(bench, line)
        for line in (
            "!gl create acme/web/site The *lamp* is broken",
            "!gl comment acme/web/site#1 I look at it.",
            "!gl comment acme/web/site!1 Nice.",
            "!gl close acme/web/site#1",
            f"!gl reopen {gitlab.origin}/acme/web/site/-/issues/1",
            "!gl show acme/web/site#1",
            "!gl issues acme/web/site",
            "!gl mrs acme/web/site",
        )
    ]
    asked = await bench.say("!gl merge acme/web/site!1")
    merged = await bench.say("yes")
    link = f"[acme/web/site#1]({gitlab.origin}/acme/web/site/-/issues/1)"
    request = f"[acme/web/site!1]({gitlab.origin}/acme/web/site/-/merge_requests/1)"

    assert said[:5] == [
        f"Opened {link}: The \\*lamp\\* is broken, as **alice**.",
        "Commented on acme/web/site#1 as **alice**.",
        "Commented on acme/web/site!1 as **alice**.",
        f"Closed {link}: The \\*lamp\\* is broken.",
        f"Opened {link} again: The \\*lamp\\* is broken.",
    ]
    assert "- alice: I look at it." == said[5].split("\n")[-1]
    assert said[6:] == [f"- {link} The \\*lamp\\* is broken (by alice)", f"- {request} Lamp (by bob)"]
    assert asked == ["Merge acme/web/site!1: Lamp, by bob?"]
    assert merged == [f"Merged {request}: Lamp, as **alice**."]
    assert {("alice", "omnibot")} == {(entry.actor, entry.app) for entry in gitlab.record}
    project = "/projects/acme%2Fweb%2Fsite"
    assert gitlab.acts("alice", changes=True) == [
        f"POST {project}/issues 201",
        f"POST {project}/issues/1/notes 201",
        f"POST {project}/merge_requests/1/notes 201",
        f"PUT {project}/issues/1 200",
        f"PUT {project}/issues/1 200",
        f"PUT {project}/merge_requests/1/merge 200",
    ]


async def test_what_concerns_one_is_listed(bench: Bench, gitlab: GitLab, site: Project) -> None:
    """Issues assigned, merge requests made, reviews asked for."""
    gitlab.issue(site, "bob", "Lamp").assignees.append("alice")
    gitlab.issue(site, "alice", "Hers", pull=Pull("hers"))
    gitlab.issue(site, "bob", "Please look", pull=Pull("look", requested=["alice"]))
    said = [await say_linked(bench, f"!gl {what}") for what in ("issues", "mrs", "reviews")]

    assert ["Lamp (by bob)", "Hers (by alice)", "Please look (by bob)"] == [one.partition(") ")[2] for one in said]


async def test_what_one_may_not_see_or_change(bench: Bench, gitlab: GitLab, site: Project) -> None:
    """To Carol the private project is not there; in the public one she may look, and comment, and no more."""
    public = gitlab.project("acme/open", bob="write")
    gitlab.issue(site, "bob", "Secret")
    gitlab.issue(public, "bob", "Lamp", pull=Pull("lamp"))
    gitlab.issue(public, "bob", "Lamp")
    lines = ("show acme/web/site#1", "issues acme/web/site", "close acme/open#1", "merge acme/open!1")
    said = [await say_linked(bench, f"!gl {line}", "carol", GRACE) for line in lines]

    assert said[:3] == [
        "There is no acme/web/site#1 that you may see.",
        "There is no project acme/web/site that you may see.",
        "You may not close it: acme/open#1.",
    ]
    assert said[3] == "acme/open!1 cannot be merged: you may not merge there."
    assert "Secret" not in "".join(said)


async def test_a_merge_request_is_followed(bench: Bench, gitlab: GitLab, site: Project) -> None:
    """Notes, approvals and the pipeline's end, each once; its own end; and what did not change costs nothing."""
    issue = gitlab.issue(site, "alice", "Lamp", pull=Pull("lamp"))
    await say_linked(bench, "!gl follow acme/web/site!1")
    quiet = [await news(bench), await news(bench)]
    unchanged = gitlab.not_modified
    gitlab.pass_(100)
    gitlab.say(issue, "alice", "Mine.")
    gitlab.say(issue, "bob", "Nice.")
    first = await news(bench)
    gitlab.pass_(100)
    gitlab.check(issue, "pipeline", "failed")
    second = await news(bench)
    gitlab.pass_(100)
    gitlab.review(issue, "bob", "APPROVED")
    third = await news(bench)
    assert issue.pull is not None
    issue.pull.merged_by, issue.open = "bob", False
    gitlab.pass_(100)
    issue.updated = gitlab.now()
    last = await news(bench)

    assert quiet == [[], []]
    assert unchanged
    assert ["- bob: Nice."] == first[0].split("\n")[1:]
    assert ["- the pipeline failed"] == second[0].split("\n")[1:]
    assert ["- bob approves it"] == third[0].split("\n")[1:]
    assert last[0].endswith("Lamp is merged by **bob**.")


async def test_a_token_is_renewed_after_two_hours(bench: Bench, gitlab: GitLab) -> None:
    """Both halves are new then, and the old ones void."""
    await say_linked(bench, "!gl issues")
    (before,) = gitlab.live("alice")
    for clock in (bench.clock, gitlab):
        clock.pass_(LIFETIME + 60)
    said = await bench.say("!gl issues")

    assert said == ["You have no open issue."]
    assert 1 == len(gitlab.live("alice"))
    assert before not in gitlab.live("alice")
    assert ["authorization_code", "refresh_token"] == [form["grant_type"] for form in gitlab.asked]


async def test_writing_is_asked_for_when_it_is_needed(bench: Bench, gitlab: GitLab, site: Project) -> None:
    """A link for reading has no right to write."""
    await say_linked(bench, "!gl issues acme/web/site")
    reading = gitlab.tokens[gitlab.live("alice")[0]].scopes
    await bench.say("!gl create acme/web/site Lamp")
    await allow(bench)
    writing = gitlab.tokens[gitlab.live("alice")[-1]].scopes

    assert {"read_user", "read_api"} == set(reading)
    assert {"read_user", "read_api", "api"} == set(writing)
    assert ["Lamp"] == [one.title for one in site.issues]


async def test_unlinking_revokes_and_a_key_does_as_well(bench: Bench, gitlab: GitLab) -> None:
    """The token goes back by RFC 7009; who has no OAuth gives a key."""
    await say_linked(bench, "!gl issues")
    await bench.say("!unlink gitlab")
    await bench.core.revoking.work()
    revoked = gitlab.live("alice")
    linked = await bench.say(f"!link gitlab {gitlab.key('bob', 'api')}")
    said = await bench.say("!gl issues")

    assert [] == revoked
    assert linked[0].startswith("Linked GitLab as **bob**.")
    assert said == ["You have no open issue."]
    assert "bob" == gitlab.record[-1].actor


async def test_too_many_requests_are_said_so(bench: Bench, gitlab: GitLab) -> None:
    """GitLab says it in plain text."""
    await say_linked(bench, "!gl issues")
    gitlab.limited = 1

    (said,) = await bench.say("!gl issues")

    assert said.startswith("GitLab asks you to slow down. Try again in 30 seconds.")
