"""A person works at Forgejo through the bot, which is they themselves to it: by its own record."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.forge_walks import news, say_linked, settings
from omnibot.ports import free_port
from omnibot.testing.bench import GRACE, Bench, Plan
from servers.browser import HttpBrowser
from servers.forgejo import LIFETIME, Forgejo
from servers.forges import Project, Pull

SKILLS = ("accounts", "following", "help", "forgejo")


@pytest.fixture
async def forgejo() -> AsyncIterator[Forgejo]:
    """A Forgejo."""
    async with Forgejo() as forgejo:
        yield forgejo


@pytest.fixture
def site(forgejo: Forgejo) -> Project:
    """A private repository of Alice's and Bob's."""
    return forgejo.project("acme/site", private=True, alice="write", bob="write")


@pytest.fixture
def plan(tmp_path: Path, forgejo: Forgejo) -> Plan:
    """A bot that is registered there."""
    port = free_port()
    return Plan(tmp_path, skills=SKILLS, settings=(settings(forgejo, "forgejo", port),), port=port)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot."""
    async with Bench.open(plan) as bench:
        yield bench


@pytest.mark.row("T10")
async def test_what_one_does_is_done_by_oneself(bench: Bench, forgejo: Forgejo, site: Project) -> None:
    """Open, comment, close, reopen and merge: the record names her each time, and nobody else."""
    forgejo.issue(site, "bob", "Lamp", pull=Pull("lamp"))
    said = [
        await say_linked(bench, line)
        for line in (
            "!fj create acme/site The *lamp* is broken",
            "!fj comment acme/site#2 I look at it.",
            "!fj close acme/site#2 It glows.",
            f"!fj reopen {forgejo.origin}/acme/site/issues/2",
            "!fj show acme/site#2",
            "!fj issues acme/site",
            "!fj pulls acme/site",
        )
    ]
    await bench.say("!fj merge acme/site#1 --how squash")
    merged = await bench.say("yes")
    link = f"[acme/site#2]({forgejo.origin}/acme/site/issues/2)"
    request = f"[acme/site#1]({forgejo.origin}/acme/site/pulls/1)"

    assert said[:4] == [
        f"Opened {link}: The \\*lamp\\* is broken, as **alice**.",
        "Commented on acme/site#2 as **alice**.",
        f"Closed {link}: The \\*lamp\\* is broken.",
        f"Opened {link} again: The \\*lamp\\* is broken.",
    ]
    assert ["- alice: I look at it.", "- alice: It glows."] == said[4].split("\n")[-2:]
    assert said[5:] == [f"- {link} The \\*lamp\\* is broken (by alice)", f"- {request} Lamp (by bob)"]
    assert merged == [f"Merged {request}: Lamp, as **alice**."]
    assert {("alice", "omnibot")} == {(entry.actor, entry.app) for entry in forgejo.record}
    assert forgejo.acts("alice", changes=True) == [
        "POST /repos/acme/site/issues 201",
        "POST /repos/acme/site/issues/2/comments 201",
        "POST /repos/acme/site/issues/2/comments 201",
        "PATCH /repos/acme/site/issues/2 201",
        "PATCH /repos/acme/site/issues/2 201",
        "POST /repos/acme/site/pulls/1/merge 200",
    ]


async def test_what_concerns_one_is_listed(bench: Bench, forgejo: Forgejo, site: Project) -> None:
    """Issues assigned, pull requests made, reviews asked for."""
    forgejo.issue(site, "bob", "Lamp").assignees.append("alice")
    forgejo.issue(site, "alice", "Hers", pull=Pull("hers"))
    forgejo.issue(site, "bob", "Please look", pull=Pull("look", requested=["alice"]))
    said = [await say_linked(bench, f"!fj {what}") for what in ("issues", "pulls", "reviews")]

    assert ["Lamp (by bob)", "Hers (by alice)", "Please look (by bob)"] == [one.partition(") ")[2] for one in said]


async def test_what_one_may_not_see_or_change(bench: Bench, forgejo: Forgejo, site: Project) -> None:
    """To Carol the private repository is not there; in the public one she may look, and comment, and no more."""
    public = forgejo.project("acme/open", bob="write")
    forgejo.issue(site, "bob", "Secret")
    forgejo.issue(public, "bob", "Lamp", pull=Pull("lamp"))
    forgejo.issue(public, "bob", "Clash", pull=Pull("clash", conflict=True))
    lines = ("show acme/site#1", "issues acme/site", "close acme/open#1", "merge acme/open#1")
    said = [await say_linked(bench, f"!fj {line}", "carol", GRACE) for line in lines]
    refused = await bench.say("yes", GRACE)

    assert said[:3] == [
        "There is no acme/site#1 that you may see.",
        "There is no project acme/site that you may see.",
        "You may not close it: acme/open#1.",
    ]
    assert refused[0].startswith("Forgejo did not let you merge acme/open#1: ")
    assert "Secret" not in "".join(said)


async def test_a_pull_request_is_followed_without_entity_tags(plan: Plan, forgejo: Forgejo, site: Project) -> None:
    """Forgejo answers in full each time; what was told once is not told again, not after a restart either."""
    issue, told = forgejo.issue(site, "alice", "Lamp", pull=Pull("lamp")), list[list[str]]()
    async with Bench.open(plan) as bench:
        await say_linked(bench, "!fj follow acme/site#1")
        told.append(await news(bench))
        for act in (
            lambda: forgejo.say(issue, "bob", "Nice."),
            lambda: forgejo.check(issue, "ci", "failure"),
            lambda: forgejo.review(issue, "bob", "APPROVED"),
        ):
            forgejo.pass_(100)
            act()
            told += [await news(bench), await news(bench)]
    async with Bench.open(plan, bench.clock) as bench:
        told.append(await news(bench))
        forgejo.pass_(100)
        forgejo.say(issue, "bob", "Still.")
        told.append(await news(bench))
        forgejo.pass_(100)
        forgejo.close(issue, "bob")
        last = await news(bench)

    lines = [[line for one in each for line in one.split("\n")[1:]] for each in told]
    assert lines[:7] == [[], ["- bob: Nice."], [], ["- 1 of 1 checks failed: ci"], [], ["- bob approves it"], []]
    assert lines[7:] == [[], ["- bob: Still."]]
    assert last[0].endswith("Lamp is closed.")


async def test_a_token_is_renewed_after_an_hour(bench: Bench, forgejo: Forgejo) -> None:
    """Also where a refresh token is good once."""
    forgejo.invalidates = True
    await say_linked(bench, "!fj issues")
    for _ in range(2):
        bench.clock.pass_(LIFETIME + 60)
        forgejo.pass_(LIFETIME + 60)
        said = await bench.say("!fj issues")

        assert said == ["You have no open issue."]

    assert ["authorization_code", "refresh_token", "refresh_token"] == [form["grant_type"] for form in forgejo.asked]


async def test_unlinking_says_where_the_permission_is_taken_back(bench: Bench, forgejo: Forgejo) -> None:
    """Forgejo has no way to revoke; nobody is told that it was."""
    await say_linked(bench, "!fj issues")
    said = await bench.say("!unlink forgejo")

    assert "I cannot revoke its permission" in said[0]
    assert f"{forgejo.origin}/user/settings/applications" in said[0]


async def test_by_paste_back_and_by_a_key(tmp_path: Path, forgejo: Forgejo) -> None:
    """Without a public address; and with an access token of one's own."""
    named, said_of = settings(forgejo, "forgejo", 9)
    plan = Plan(tmp_path, skills=SKILLS, settings=((named, said_of),), public=False)
    async with Bench.open(plan) as bench, HttpBrowser("bob") as browser:
        await bench.say("!fj issues")
        page = await browser.walk(bench.link_for(), stop="http://127.0.0.1:9/")
        pasted = await bench.say(page.url)
        by_key = await bench.say(f"!link forgejo {forgejo.key('carol')}", GRACE)

    assert pasted[0].startswith("Linked Forgejo as **bob**.")
    assert pasted[-1] == "You have no open issue."
    assert by_key[0].startswith("Linked Forgejo as **carol**.")
