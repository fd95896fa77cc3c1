"""A person works at GitHub through the bot, which is they themselves to it: by its own record."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from journeys.forge_walks import allow, news, say_linked, settings
from journeys.walks import told, until
from omnibot.catalogue import Instances, ProviderSettings, load_catalogue
from omnibot.errors import ConfigError
from omnibot.ports import free_port
from omnibot.providerfile import SHIPPED
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.browser import HttpBrowser
from servers.forges import Project, Pull
from servers.github import GitHub
from servers.mastodon import Mastodon
from servers.standin import Fault

SKILLS = ("accounts", "following", "help", "github")


@pytest.fixture
async def github() -> AsyncIterator[GitHub]:
    """An Enterprise Server."""
    async with GitHub() as github:
        yield github


@pytest.fixture
async def mastodon() -> AsyncIterator[Mastodon]:
    """A Mastodon server."""
    async with Mastodon() as mastodon:
        yield mastodon


@pytest.fixture
def site(github: GitHub) -> Project:
    """A private repository of Alice's, in which Bob may write too."""
    return github.project("acme/site", private=True, alice="write", bob="write")


@pytest.fixture
def plan(tmp_path: Path, github: GitHub, mastodon: Mastodon) -> Plan:
    """A bot that is registered at GitHub."""
    port = free_port()
    posts = ("mastodon", ProviderSettings(base=mastodon.origin))
    return Plan(tmp_path, skills=SKILLS, settings=(settings(github, "github", port), posts), port=port)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot."""
    async with Bench.open(plan) as bench:
        yield bench


@pytest.mark.row("T10")
async def test_what_one_does_is_done_by_oneself(bench: Bench, github: GitHub, site: Project) -> None:
    """Open, comment, label, close and reopen: the record names her each time, and nobody else."""
    opened = await say_linked(bench, "!gh create acme/site The *lamp* is broken\nIt does not glow.")
    listed = await bench.say("!gh issues acme/site")
    said = [
        (await bench.say(line))[-1]
        for line in (
            "!gh comment acme/site#1 I look at it.",
            "!gh label acme/site#1 bug, needs light",
            "!gh label acme/site#1 bug --remove",
            "!gh close acme/site#1 It glows.",
            f"!gh reopen {github.origin}/acme/site/issues/1",
            "!gh show acme/site#1",
        )
    ]
    link = f"[acme/site#1]({github.origin}/acme/site/issues/1)"

    assert opened == f"Opened {link}: The \\*lamp\\* is broken, as **alice**."
    assert listed == [f"- {link} The \\*lamp\\* is broken (by alice)"]
    assert said[:5] == [
        "Commented on acme/site#1 as **alice**.",
        "Put on acme/site#1 bug, needs light.",
        "Took off acme/site#1 bug.",
        f"Closed {link}: The \\*lamp\\* is broken.",
        f"Opened {link} again: The \\*lamp\\* is broken.",
    ]
    assert said[5].split("\n") == [
        f"{link}: **The \\*lamp\\* is broken**",
        "open, by alice, needs light",
        "It does not glow.",
        "- alice: I look at it.",
        "- alice: It glows.",
    ]
    assert {entry.actor for entry in github.record} == {"alice"}
    assert {entry.app for entry in github.record} == {"omnibot"}
    assert github.acts("alice", changes=True) == [
        "POST /repos/acme/site/issues 201",
        "POST /repos/acme/site/issues/1/comments 201",
        "POST /repos/acme/site/issues/1/labels 200",
        "DELETE /repos/acme/site/issues/1/labels/bug 200",
        "POST /repos/acme/site/issues/1/comments 201",
        "PATCH /repos/acme/site/issues/1 200",
        "PATCH /repos/acme/site/issues/1 200",
    ]


async def test_what_concerns_one_is_listed(bench: Bench, github: GitHub, site: Project) -> None:
    """Issues assigned, pull requests made, reviews asked for; and there may be none."""
    empty = [await say_linked(bench, f"!gh {what}") for what in ("issues", "pulls", "reviews")]
    github.issue(site, "bob", "Lamp").assignees.append("alice")
    github.issue(site, "bob", "Not hers")
    github.issue(site, "alice", "Hers", pull=Pull("hers"))
    github.issue(site, "bob", "Please look", pull=Pull("look", draft=True, requested=["alice"]))
    full = [(await bench.say(f"!gh {what}"))[-1] for what in ("issues", "pulls", "reviews", "pulls acme/site")]
    page = f"{github.origin}/acme/site"

    assert empty == [
        "You have no open issue.",
        "You have no open pull request.",
        "Nobody waits for a review of yours at GitHub.",
    ]
    assert full[0] == f"- [acme/site#1]({page}/issues/1) Lamp (by bob)"
    assert full[1] == f"- [acme/site#3]({page}/pull/3) Hers (by alice)"
    assert full[2] == f"- [acme/site#4]({page}/pull/4) Please look (by bob, draft)"
    assert 2 == len(full[3].split("\n"))


async def test_a_list_is_cut(bench: Bench, github: GitHub, site: Project) -> None:
    """At ten lines."""
    for number in range(12):
        github.issue(site, "bob", f"Lamp {number}")
    lines = (await say_linked(bench, "!gh issues acme/site")).split("\n")

    assert 11 == len(lines)
    assert "… and more" == lines[-1]


async def test_what_one_may_not_see_is_not_there(bench: Bench, github: GitHub, site: Project) -> None:
    """Carol is no member: to her there is no such repository, and nothing tells that there is one."""
    github.issue(site, "bob", "Secret")
    lines = ("!gh show acme/site#1", "!gh issues acme/site", "!gh create acme/site x", "!gh comment acme/site#1 x")
    said = [await say_linked(bench, line, "carol", GRACE) for line in (*lines, "!gh show acme/none#1")]

    assert said[0] == "There is no acme/site#1 that you may see."
    assert said[1] == said[2] == "There is no project acme/site that you may see."
    assert said[4] == "There is no acme/none#1 that you may see."
    assert not any("Secret" in one for one in said)
    assert {entry.actor for entry in github.record} == {"carol"}


async def test_what_one_may_see_and_not_change(bench: Bench, github: GitHub) -> None:
    """It is said in words, and nothing is changed."""
    public = github.project("acme/open", bob="write")
    issue = github.issue(public, "bob", "Lamp")
    said = await say_linked(bench, "!gh close acme/open#1")

    assert "You may not close it: acme/open#1." == said
    assert issue.open


async def test_an_address_elsewhere_is_refused(bench: Bench, github: GitHub, site: Project) -> None:
    """Before anything is sent."""
    await say_linked(bench, "!gh issues")
    before = len(github.requests)
    said = [
        (await bench.say(f"!gh show {what}"))[-1]
        for what in ("https://github.com/acme/site/issues/1", "acme/site", "acme/../site#1", "../user#1")
    ]

    assert said[0] == f"That address is not at {github.origin}, where your account is."
    assert all("is not an issue. Write owner/name#12" in one for one in said[1:])
    assert before == len(github.requests)


async def test_a_pull_request_is_merged_after_a_yes(bench: Bench, github: GitHub, site: Project) -> None:
    """By the person; and not if it is a draft, in conflict, or no pull request."""
    good = github.issue(site, "bob", "Lamp", pull=Pull("lamp"))
    github.issue(site, "bob", "Draft", pull=Pull("draft", draft=True))
    github.issue(site, "bob", "Conflict", pull=Pull("conflict", conflict=True))
    github.issue(site, "bob", "Issue")
    asked = await say_linked(bench, "!gh merge acme/site#1 --how squash")
    refused = await bench.say("no")
    kept = good.open
    await bench.say("!gh merge acme/site#1 --how squash")
    merged = await bench.say("yes")
    others = []
    for number in (1, 2, 3, 4):
        others += await bench.say(f"!gh merge acme/site#{number}")

    assert asked == "Merge acme/site#1: Lamp, by bob, squashed?"
    assert refused == ["Not done."]
    assert kept
    assert merged == [f"Merged [acme/site#1]({github.origin}/acme/site/pull/1): Lamp, as **alice**."]
    assert good.pull is not None
    assert "alice" == good.pull.merged_by
    assert others == [
        "acme/site#1 is merged already.",
        "acme/site#2 is a draft. Mark it as ready first.",
        "acme/site#3 cannot be merged: it has conflicts.",
        "acme/site#4 is an issue, and no pull request.",
    ]


async def test_what_changed_while_one_looked_is_not_merged(bench: Bench, github: GitHub, site: Project) -> None:
    """The commit that was looked at is the one that is merged, or none; and what GitHub refuses is said in words."""
    issue = github.issue(site, "bob", "Lamp", pull=Pull("lamp"))
    await say_linked(bench, "!gh show acme/site#1")
    said = []
    for status in (409, 405):
        github.fault(Fault("/api/v3/repos/acme/site/pulls/1/merge", status, {"message": "<secret>"}))
        await bench.say("!gh merge acme/site#1")
        said += await bench.say("yes")

    assert said[0] == "acme/site#1 has changed just now, so it is not merged. Look at it again."
    assert said[1].startswith("GitHub did not let you merge acme/site#1: a conflict,")
    assert "secret" not in "".join(said)
    assert issue.open


# ------------------------------------------------------------------------------------------ following


async def test_an_issue_is_followed(bench: Bench, github: GitHub, site: Project) -> None:
    """Others' comments are told, each once, one's own are not; what did not change costs nothing; its end is told."""
    issue = github.issue(site, "alice", "Lamp")
    github.say(issue, "bob", "Before.")
    begun = await say_linked(bench, "!gh follow acme/site#1")
    quiet = await news(bench)
    unchanged = github.not_modified
    again = await news(bench)
    github.pass_(100)
    github.say(issue, "alice", "Mine.")
    own = await news(bench)
    github.pass_(100)
    github.say(issue, "bob", "It *glows*.")
    github.say(issue, "carol", "+1")
    first = await news(bench)
    github.pass_(7200)
    github.say(issue, "bob", "Really.")
    second = await news(bench)
    third = await news(bench)
    github.pass_(10)
    github.close(issue, "bob")
    last = await news(bench)
    link = f"[acme/site#1]({github.origin}/acme/site/issues/1)"

    assert begun == f"I follow {link} Lamp: comments by others, its reviews, its checks, its end."
    assert [quiet, again, own, third] == [[], [], [], []]
    assert github.not_modified > unchanged
    assert first == [f"{link} Lamp\n- bob: It \\*glows\\*.\n- carol: +1"]
    assert second == [f"{link} Lamp\n- bob: Really."]
    assert last == [f"{link} Lamp is closed by **bob**."]
    assert await bench.say("!following") == ["I follow nothing for you."]


async def test_a_pull_request_is_followed(bench: Bench, github: GitHub, site: Project) -> None:
    """Reviews and checks as well, once the checks have all ended; and who merged it."""
    issue = github.issue(site, "alice", "Lamp", pull=Pull("lamp"))
    github.check(issue, "lint", "")
    await say_linked(bench, "!gh follow acme/site#1")
    heard = [await news(bench)]
    github.pass_(100)
    github.check(issue, "lint", "failure")
    heard.append(await news(bench))
    github.pass_(100)
    github.check(issue, "lint", "")
    github.review(issue, "bob", "CHANGES_REQUESTED")
    heard.append(await news(bench))
    github.pass_(100)
    github.check(issue, "lint", "success")
    github.review(issue, "bob", "APPROVED")
    heard.append(await news(bench))
    assert issue.pull is not None
    issue.pull.merged_by = "bob"
    github.pass_(100)
    github.close(issue, "bob")
    heard.append(await news(bench))
    head = f"[acme/site#1]({github.origin}/acme/site/pull/1) Lamp"

    assert heard[:3] == [[], [f"{head}\n- 1 of 1 checks failed: lint"], [f"{head}\n- bob wants changes"]]
    assert sorted(heard[3][0].split("\n")[1:]) == ["- bob approves it", "- the check passed: lint"]
    assert heard[4][0].split("\n")[0] == f"{head} is merged by **bob**."


async def test_what_is_followed_is_seen_with_ones_own_token(bench: Bench, github: GitHub, site: Project) -> None:
    """Thrown out of the repository, one is told no more, but that (A58)."""
    issue = github.issue(site, "bob", "Lamp")
    await say_linked(bench, "!gh follow acme/site#1")
    site.roles = {"bob": "write"}
    github.pass_(100)
    github.say(issue, "bob", "Secret.")
    heard = await news(bench)

    assert heard == ["I no longer follow **acme/site#1**: There is no acme/site#1 that you may see."]
    assert {entry.actor for entry in github.record} == {"alice"}


async def test_notifications_are_listed_and_followed(bench: Bench, github: GitHub, site: Project) -> None:
    """Each new one once, as often as GitHub lets one ask; by date where nothing came."""
    issue = github.issue(site, "bob", "Lamp")
    none = await say_linked(bench, "!gh notifications")
    github.notify("alice", site, issue, "mention")
    listed = await bench.say("!gh notifications")
    begun = await bench.say("!gh follow notifications")
    quiet = [await news(bench), await news(bench)]
    unchanged = github.not_modified
    github.pass_(200)
    github.notify("alice", site, github.issue(site, "bob", "Look", pull=Pull("look")), "review_requested")
    heard = await news(bench)
    after = await news(bench)
    page = f"{github.origin}/acme/site"

    assert none == "You have no unread notifications."
    assert listed == [f"- [acme/site#1]({page}/issues/1) Lamp (you are mentioned)"]
    assert begun == ["I tell you of new notifications."]
    assert quiet == [[], []]
    assert unchanged
    assert heard == [f"New at GitHub:\n- [acme/site#2]({page}/pull/2) Look (your review is asked for)"]
    assert after == []


# ------------------------------------------------------------------------------------------ workflows


async def test_a_workflow_is_run_and_followed_to_its_end(bench: Bench, github: GitHub, site: Project) -> None:
    """Started as the person, found again though it is not listed at once, and told how it ended and where."""
    site.workflows["deploy.yml"] = True
    github.listed_late = 2
    started = await say_linked(bench, "!gh run acme/site deploy.yml level=very high")
    github.listed_late = 1
    heard = [await news(bench, 15)]
    heard.append(await news(bench, 30))
    run = site.runs[0]
    run.status = "in_progress"
    heard.append(await news(bench, 90))
    meanwhile = await bench.say("!following")
    run.status, run.conclusion = "completed", "failure"
    github.pass_(125)
    heard.append(await news(bench, 90))
    name = f"**deploy.yml** [#1]({github.origin}/acme/site/actions/runs/{run.id}) of acme/site on main"

    assert started == "Started **deploy.yml** of acme/site on main; I tell you how it ends."
    assert github.dispatches == [
        {"file": "deploy.yml", "ref": "main", "inputs": {"level": "very high"}, "actor": "alice"}
    ]
    assert heard[3][-1].startswith(f"{name}: failure after 2 min ")
    assert heard[3][-1].endswith(", in deploy (Deploy).")
    assert f"Last: {name}: in progress." in meanwhile[0]
    assert await bench.say("!following") == ["I follow nothing for you."]


async def test_a_workflow_that_cannot_be_run(bench: Bench, github: GitHub, site: Project) -> None:
    """Why is said in words; nothing is followed."""
    site.workflows |= {"deploy.yml": True, "nightly.yml": False}
    lines = (
        "!gh run acme/site none.yml",
        "!gh run acme/site nightly.yml",
        "!gh run acme/site deploy.yml --ref gone",
        "!gh run acme/site deploy.yml loudly",
    )
    said = [await say_linked(bench, line) for line in lines]

    assert said[0] == "There is no `none.yml` in acme/site that you may run. It is called as its file is."
    assert said[1].startswith("GitHub did not start `nightly.yml`: it is not run by hand")
    assert "has no `gone`" in said[2]
    assert said[3] == "`loudly` is no input. Write name=value."
    assert [] == github.dispatches
    assert await bench.say("!following") == ["I follow nothing for you."]


# ------------------------------------------------------------------------------------------ linking


async def test_scopes_are_asked_for_when_they_are_needed(bench: Bench, github: GitHub, site: Project) -> None:
    """First what listing needs; what notifications need, with that, when somebody asks for them."""
    await say_linked(bench, "!gh issues acme/site")
    first = github.tokens[github.live("alice")[-1]].scopes
    asked = await bench.say("!gh notifications")
    await allow(bench)
    second = github.tokens[github.live("alice")[-1]].scopes

    assert {"read:user", "repo"} == set(first)
    assert "notifications" in asked[-1]
    assert {"read:user", "repo", "notifications"} == set(second)


async def test_unlinking_ends_the_token_by_the_client(bench: Bench, github: GitHub) -> None:
    """At GitHub's own endpoint, which is no RFC 7009."""
    await say_linked(bench, "!gh issues")
    before = github.live("alice")
    said = await bench.say("!unlink github")
    await bench.core.revoking.work()

    assert 1 == len(before)
    assert said == ["GitHub as **alice** is unlinked: erased here, and its token is being revoked."]
    assert [] == github.live("alice")
    assert [] == await bench.rows("SELECT * FROM revocations")


async def test_a_token_that_was_taken_back_is_asked_for_anew(bench: Bench, github: GitHub) -> None:
    """GitHub answers 401, and the person gets a link."""
    await say_linked(bench, "!gh issues")
    github.tokens.clear()
    said = await bench.say("!gh issues")

    assert "GitHub no longer accepts your link." in said[0]
    assert (await allow(bench))[-1] == "You have no open issue."


async def test_too_many_requests_are_said_so(bench: Bench, github: GitHub) -> None:
    """With status 403, and headers that tell when it is over."""
    await say_linked(bench, "!gh issues")
    github.left["alice"] = 0
    said = await bench.say("!gh issues")

    assert said[0].startswith("GitHub asks you to slow down. Try again in ")


def test_an_enterprise_server_has_an_api_of_its_own() -> None:
    """Without its address, that server's tokens would go to github.com's API: it is refused at the start."""
    ours = ProviderSettings("id", base="https://git.example")

    with pytest.raises(ConfigError, match=r"providers\.github\.api"):
        Instances(load_catalogue(SHIPPED), {"github": ours})


# ------------------------------------------------------------------------------------------ two accounts


@pytest.mark.row("B13")
async def test_accounts_that_are_missing_are_asked_for_in_turn(
    bench: Bench, github: GitHub, mastodon: Mastodon
) -> None:
    """First GitHub's, then Mastodon's; then the release is announced, by the one person at both."""
    project = github.project("acme/lamp", alice="write")
    project.release = {"tag_name": "v2", "name": "Lamp 2"}
    first = await bench.say("!gh announce acme/lamp It glows!")
    second = await allow(bench)
    done = await allow(bench)
    (post,) = mastodon.statuses.values()

    assert "connect **GitHub**" in first[0]
    assert second[0].startswith("Linked GitHub as **alice**.")
    assert "connect **Mastodon**" in second[-1]
    assert done[0].startswith("Linked Mastodon as **alice**.")
    assert done[-1].startswith("Announced Lamp 2 as **alice**: ")
    assert ("alice", f"It glows!\n\nLamp 2\n\n{github.origin}/acme/lamp/releases/tag/v2") == (post.login, post.text)
    assert {"alice"} == set(mastodon.doers())
    assert {"alice"} == {entry.actor for entry in github.record}


@pytest.mark.row("B13")
async def test_one_account_that_is_there_is_not_asked_for_again(
    bench: Bench, github: GitHub, mastodon: Mastodon
) -> None:
    """And there may be no release, or one that is not for others."""
    github.project("acme/lamp", alice="write")
    github.project("acme/dark", private=True, alice="write").release = {"tag_name": "v1"}
    await say_linked(bench, "!gh issues")
    asked = await bench.say("!gh announce acme/lamp")
    none = await allow(bench)
    private = await bench.say("!gh announce acme/dark")

    assert "connect **Mastodon**" in asked[-1]
    assert none[-1] == "There is no release in acme/lamp that you may see."
    assert private == ["acme/dark is private, so I do not tell others of its releases."]
    assert {} == mastodon.statuses


@pytest.mark.row("B13")
async def test_a_service_that_is_not_set_up_is_said_to_be_so(tmp_path: Path, github: GitHub) -> None:
    """Before the person is asked for the other account; and help does not offer the command."""
    port = free_port()
    plan = Plan(tmp_path, skills=SKILLS, settings=(settings(github, "github", port),), port=port)
    async with Bench.open(plan) as bench:
        said = await bench.say("!gh announce acme/lamp", ADA)
        offered = await bench.say("!help github")

    assert said == ["The operator of this bot has not set up mastodon, which `github announce` needs."]
    assert "announce" not in offered[-1]
    assert [] == github.requests


async def test_by_a_device_code(plan: Plan, github: GitHub) -> None:
    """Where the operator allows it: GitHub is asked as often as it says, and more slowly once it says so."""
    ((name, said_of), *_) = plan.settings
    slept, typed = list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        github.pass_(seconds - 1 if len(slept) == 2 else seconds)  # once, it is a little early
        if len(slept) > 2:
            await typed.wait()

    async with Bench.open(replace(plan, settings=((name, replace(said_of, device=True)),), public=False)) as bench:
        bench.core.polling._sleep = sleep
        (begun,) = await bench.say("!link github --by device")
        code = re.search(r"type `([B-Z]{4}-[B-Z]{4})` there", begun)
        assert code is not None
        await until(lambda: _reached(slept, 3))
        async with HttpBrowser("alice", user_code=code[1]) as browser:
            page = await browser.walk(bench.link_for())
        typed.set()
        await until(lambda: _heard(bench, "!confirm"))
        asked = re.search(r"!confirm ([B-Z]{4}-[B-Z]{4})", told(bench)[-1])
        assert asked is not None
        linked = await bench.say(f"!confirm {asked[1]}")

    assert linked == ["Linked GitHub as **alice**. Not you, or not meant? Say `!undo`."]
    assert "Congratulations" in page.text
    assert 5 == round(slept[0])
    assert slept[2] >= 10


async def _reached(things: Sequence[object], count: int) -> bool:
    return len(things) >= count


async def _heard(bench: Bench, words: str) -> bool:
    return words in told(bench)[-1]
