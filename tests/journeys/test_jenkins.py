"""A person links their Jenkins by an API token, and every build is started in their own name.

The other end is the stand-in for Jenkins (tests/servers/jenkins), and what its own causes and log say of who did what.
"""

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnibot.catalogue import ProviderSettings
from omnibot.identity import Identity
from omnibot.skill import Context, Skill
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.testing.fakes import POOR, FakeAdapter
from servers.browser import HttpBrowser
from servers.jenkins.model import Build, Job
from servers.jenkins.server import BUILD, CANCEL, READ, Jenkins, Parameter
from servers.standin import Fault
from skills._jenkins_shown import Queued

SKILLS = ("accounts", "following", "help", "jenkins")
VERSION = Parameter("VERSION", "1.0", description="what to deploy")
TARGET = Parameter("TARGET", kind="Choice", choices=("test", "live"))


def others() -> Skill:
    """Return a skill that builds through another's command."""
    skill = Skill("release")

    @skill.command(answer="private")
    async def release(ctx: Context, version: str) -> str:
        """Release a version."""
        queued = await ctx.invoke("jenkins build", job="site/deploy", parameters=f'{{"VERSION": "{version}"}}')
        assert isinstance(queued, Queued)
        build = await ctx.invoke("jenkins last", job="site/deploy")
        jobs = await ctx.invoke("jenkins list", filter="deploy")
        return f"item {queued.item} of {queued.job}; last {build.number} {build.result}; {jobs.names}"  # type: ignore[attr-defined]

    return skill


@pytest.fixture
async def jenkins() -> AsyncIterator[Jenkins]:
    """A Jenkins at a context path, with a few jobs."""
    async with Jenkins("/ci") as jenkins:
        jenkins.job("deploy", VERSION, TARGET, under="site", pipeline=True, description="Puts *it* out.")
        jenkins.job("unit tests", under="site/inner")
        jenkins.job("tidy")
        yield jenkins


@pytest.fixture
def plan(tmp_path: Path, jenkins: Jenkins) -> Plan:
    """A bot that knows this Jenkins."""
    return Plan(tmp_path, skills=(*SKILLS, others()), settings=(("jenkins", ProviderSettings(base=jenkins.url)),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot, with a public address."""
    async with Bench.open(plan) as bench:
        yield bench


def job(jenkins: Jenkins, name: str) -> Job:
    """Return the job of that full name."""
    folder, _, last = name.rpartition("/")
    found = jenkins.folder(folder).inside[last]
    assert isinstance(found, Job)
    return found


async def link(bench: Bench, jenkins: Jenkins, login: str = "alice", speaker: Identity = ADA) -> str:
    """Let *speaker* link *login* by a new token; return the key."""
    key = jenkins.key(login)
    said = await bench.say(f"!jenkins set auth {key}", speaker)
    assert said[0].startswith(f"Linked Jenkins as **{login}**."), said
    return key


async def look(bench: Bench, speaker: Identity = ADA) -> str:
    """Let some time pass; return what *speaker* was told last."""
    bench.clock.pass_(30)
    await bench.settle()
    mine = bench.network.dm(speaker)
    return [said.reply.text for said in bench.network.said if said.channel == mine][-1]


def done(jenkins: Jenkins, of: str, result: str = "SUCCESS", log: str = "") -> Build:
    """Let a build of a job run and end."""
    build = jenkins.start(job(jenkins, of), log)
    jenkins.finish(build, result)
    return build


# ------------------------------------------------------------------------------------------ linking


@pytest.mark.row("J1")
async def test_a_key_is_taken_in_private_and_tried_at_once(bench: Bench, jenkins: Jenkins) -> None:
    """A wrong one is not kept; a right one is asked whose it is."""
    wrong = await bench.say("!jenkins set auth alice:nope")
    half = await bench.say("!jenkins set auth alice")
    right = await bench.say(f"!j set auth {jenkins.key('alice')}")

    assert wrong[0].startswith("Jenkins does not take that key.")
    assert half == ["I need both, with a colon between: `!jenkins set auth user:apitoken`."]
    assert right[0].startswith("Linked Jenkins as **alice**.")
    assert "GET /ci/me/api/json" in jenkins.requests


@pytest.mark.row("J1")
async def test_a_key_said_in_public_is_refused_and_redacted(bench: Bench, jenkins: Jenkins) -> None:
    """It is not tried, not kept, and not repeated; its owner is told to rotate it."""
    room, key = bench.network.room("ops", ADA, GRACE), jenkins.key("alice")
    said = await bench.say(f"!jenkins set auth {key}", ADA, room)

    assert 1 == len(bench.network.retracted)
    assert "rotate it" in " ".join(said)
    assert key not in " ".join(said)
    assert [] == jenkins.requests
    assert [] == await bench.rows("SELECT * FROM accounts")


@pytest.mark.row("J1")
async def test_without_a_key_there_is_a_form(bench: Bench, jenkins: Jenkins) -> None:
    """The key is typed into the bot's page, and the code into the chat."""
    await bench.say("!jenkins set auth")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        page = await browser.press(page, "Connect", key=jenkins.key("alice"))
    code = re.search(r"<code>([A-Z]{4}-[A-Z]{4})</code>", page.text)

    assert code is not None, page.text
    assert (await bench.say(f"!confirm {code[1]}"))[0].startswith("Linked Jenkins as **alice**.")


@pytest.mark.row("J12")
async def test_the_key_rests_sealed(bench: Bench, jenkins: Jenkins, tmp_path: Path) -> None:
    """Neither it nor its second half is in any file of the bot's."""
    key = await link(bench, jenkins)
    await bench.say("!jenkins build tidy")
    files = [one.read_bytes() for one in (tmp_path / "data").rglob("*") if one.is_file()]

    assert files
    assert not any(key.encode() in one or key.partition(":")[2].encode() in one for one in files)


@pytest.mark.row("J10")
async def test_a_token_that_was_taken_back_is_asked_for_again(bench: Bench, jenkins: Jenkins) -> None:
    """Whatever the command; and what waits for a new key then runs."""
    await link(bench, jenkins)
    jenkins.revoke_tokens("alice")
    asked = await bench.say("!jenkins build tidy")
    nothing = list(jenkins.record)
    said = await bench.say(f"!jenkins set auth {jenkins.key('alice')}")

    assert "Jenkins no longer accepts your link." in asked[0]
    assert "To connect **Jenkins**" in asked[0]
    assert [] == nothing
    assert said[0].startswith("Linked Jenkins as **alice**.")
    assert [("alice", "tidy", {})] == jenkins.record


@pytest.mark.row("J10")
@pytest.mark.parametrize("command", ["list", "ls", "describe tidy", "last tidy", "log tidy", "build tidy"])
async def test_every_command_asks_for_a_new_link(bench: Bench, jenkins: Jenkins, command: str) -> None:
    """None of them says what Jenkins said."""
    await link(bench, jenkins)
    jenkins.revoke_tokens("alice")

    assert "Jenkins no longer accepts your link." in (await bench.say(f"!jenkins {command}"))[0]


@pytest.mark.row("J10")
@pytest.mark.row("J")
async def test_who_has_linked_nothing_is_asked_to(bench: Bench, jenkins: Jenkins) -> None:
    """The old one broke there; nothing is sent to Jenkins, whatever the command."""
    for command in ("list", "ls", "describe tidy", "last tidy", "log tidy", "build tidy", "b 1", "abort tidy"):
        said = await bench.say(f"!jenkins {command}")

        assert re.search(r"connect \*\*Jenkins\*\*|the link I sent you for Jenkins", said[0]), command
    assert [] == jenkins.requests


# ------------------------------------------------------------------------------------------ building


@pytest.mark.row("T10")
@pytest.mark.row("J2")
async def test_a_build_is_started_in_the_persons_own_name(bench: Bench, jenkins: Jenkins) -> None:
    """Its cause names her, and so does the access log; she is told how it ends."""
    await link(bench, jenkins)
    said = await bench.say("!jenkins build tidy")
    waiting = await look(bench)
    build = jenkins.start(job(jenkins, "tidy"))
    running = await look(bench)
    jenkins.finish(build, "SUCCESS", seconds=200)
    ended = await look(bench)

    assert said == [f"[tidy]({jenkins.url}/job/tidy/) is in the queue; I tell you how it ends."]
    assert said == [waiting]
    page = f"[tidy #1]({jenkins.url}/job/tidy/1/)"
    assert f"{page} is running." == running
    assert f"{page} passed after 3 min 20 s." == ended
    assert [("alice", "tidy", {})] == jenkins.record
    assert '127.0.0.1 - alice "POST /ci/job/tidy/build HTTP/1.1" 201' in jenkins.log
    assert {"alice"} == {line.split()[2] for line in jenkins.log}
    assert [] == await bench.rows("SELECT * FROM follows")


@pytest.mark.row("J2")
async def test_a_job_that_wants_parameters_is_asked_once_more(bench: Bench, jenkins: Jenkins) -> None:
    """With their defaults; the old one went on for ever."""
    await link(bench, jenkins)
    await bench.say("!jenkins build site/deploy")

    posts = [one for one in jenkins.requests if one.startswith("POST")]
    assert ["POST /ci/job/site/job/deploy/build", "POST /ci/job/site/job/deploy/buildWithParameters"] == posts
    assert [("alice", "site/deploy", {"VERSION": "1.0", "TARGET": "test"})] == jenkins.record


@pytest.mark.row("J2")
@pytest.mark.row("J")
async def test_a_400_that_stays_is_told(bench: Bench, jenkins: Jenkins) -> None:
    """After the second POST there is no third, and nothing of what Jenkins wrote is said."""
    await link(bench, jenkins)
    for path in ("/ci/job/tidy/build", "/ci/job/tidy/buildWithParameters"):
        jenkins.fault(Fault(path, 400, "<p>secret innards</p>", times=100))
    said = await bench.say("!jenkins build tidy")

    assert 2 == len([one for one in jenkins.requests if one.startswith("POST")])
    assert said == ["tidy wants parameters that I cannot guess, so it was not built. See `!jenkins describe tidy`."]


@pytest.mark.row("J3")
@pytest.mark.row("J")
async def test_parameters_arrive_as_they_were_written(bench: Bench, jenkins: Jenkins) -> None:
    """Encoded on the way: spaces, ampersands, and what looks like an encoding already."""
    await link(bench, jenkins)
    said = await bench.say("!jenkins build site/deploy, VERSION=1.1 b+c %41 ü & more #2&TARGET=live")

    assert "is in the queue with VERSION, TARGET;" in said[0]
    assert [("alice", "site/deploy", {"VERSION": "1.1 b+c %41 ü & more #2", "TARGET": "live"})] == jenkins.record


@pytest.mark.row("J3")
async def test_what_jenkins_would_drop_or_break_at_is_told_before(bench: Bench, jenkins: Jenkins) -> None:
    """Nothing is built then."""
    await link(bench, jenkins)
    unknown = await bench.say("!jenkins build site/deploy, VERSOIN=1")
    choice = await bench.say("!jenkins build site/deploy, TARGET=moon")
    none = await bench.say("!jenkins build tidy, A=1")

    assert unknown == ["site/deploy has no parameter VERSOIN. It takes VERSION, TARGET."]
    assert choice == ["TARGET is one of: test, live."]
    assert none == ["tidy has no parameter A. It takes none."]
    assert [] == jenkins.record


@pytest.mark.row("J8")
@pytest.mark.parametrize(
    "said", ["site/inner/unit tests", "/site/inner/unit tests/", "site » inner » unit tests", '"site/inner/unit tests"']
)
async def test_folders_and_spaces(bench: Bench, jenkins: Jenkins, said: str) -> None:
    """However it is written."""
    await link(bench, jenkins)
    await bench.say(f"!jenkins build {said}")

    assert "POST /ci/job/site/job/inner/job/unit tests/build" in jenkins.requests
    assert [("alice", "site/inner/unit tests", {})] == jenkins.record


@pytest.mark.row("J9")
async def test_a_crumb_is_fetched_where_one_is_wanted(bench: Bench, jenkins: Jenkins) -> None:
    """By password Jenkins wants it, in its session; by token it does not, and nothing more is asked."""
    await link(bench, jenkins)
    await bench.say("!jenkins build tidy")
    by_token = [one for one in jenkins.requests if "crumb" in one]
    await bench.say("!jenkins set auth bob:pw-bob", GRACE)
    said = await bench.say("!jenkins build site/deploy, TARGET=live", GRACE)

    assert [] == by_token
    assert "is in the queue" in said[0]
    assert ("bob", "site/deploy", {"VERSION": "1.0", "TARGET": "live"}) == jenkins.record[-1]
    assert 1 == jenkins.requests.count("GET /ci/crumbIssuer/api/json")


async def test_what_jenkins_does_not_allow_is_said(bench: Bench, jenkins: Jenkins) -> None:
    """In our words: hidden, forbidden, disabled, shutting down."""
    jenkins.job("off", disabled=True)
    jenkins.deny("bob", BUILD, "tidy")
    jenkins.deny("bob", READ, "site/deploy")
    await link(bench, jenkins, "bob")
    forbidden = await bench.say("!jenkins build tidy")
    hidden = await bench.say("!jenkins build site/deploy")
    disabled = await bench.say("!jenkins build off")
    nowhere = await bench.say("!jenkins build ..")
    jenkins.quiet = True
    await link(bench, jenkins, "carol", GRACE)
    quiet = await bench.say("!jenkins build tidy", GRACE)

    assert forbidden[0].startswith("Jenkins does not allow you that (status 403).")
    assert hidden[0].startswith("Jenkins does not allow you that (status 403).")
    assert disabled == ["off cannot be built: it is disabled, say."]
    assert nowhere[0].startswith("That is no job's name.")
    assert quiet == ["Jenkins did not take tidy into its queue: it may be about to shut down."]
    assert [] == jenkins.record


async def test_a_build_that_merges_with_a_waiting_one_is_followed_too(bench: Bench, jenkins: Jenkins) -> None:
    """Jenkins answers 303, and names both in the cause."""
    await link(bench, jenkins)
    await link(bench, jenkins, "bob", GRACE)
    await bench.say("!jenkins build site/deploy, TARGET=live")
    said = await bench.say("!jenkins build site/deploy, TARGET=live", GRACE)
    build = jenkins.start(job(jenkins, "site/deploy"))
    jenkins.finish(build)

    assert "is in the queue" in said[0]
    assert ["alice", "bob"] == build.item.users
    assert "passed after" in await look(bench)
    assert "passed after" in await look(bench, GRACE)


# ------------------------------------------------------------------------------------------ following


@pytest.mark.row("J2")
async def test_a_failure_is_told_with_its_stage_and_its_last_lines(bench: Bench, jenkins: Jenkins) -> None:
    """Of the step that failed, without the markup that Jenkins puts around it."""
    await link(bench, jenkins)
    await bench.say("!jenkins build site/deploy")
    build = jenkins.start(job(jenkins, "site/deploy"))
    jenkins.stage(build, "Compile", "SUCCESS", "fine")
    lines = "\n".join(f"line {number}" for number in range(1000))
    jenkins.stage(build, "Upload", "FAILED", f"{lines}\n<span class='x'>no such host &lt;live&gt;</span>\n")
    jenkins.stage(build, "Announce", "FAILED", "skipped")
    jenkins.finish(build, "FAILURE", "the end\n", seconds=61)
    told = await look(bench)

    assert "failed after 1 min 1 s, at the stage **Upload**." in told
    assert "line 999\nno such host <live>\n" in told
    assert "line 900" not in told


@pytest.mark.row("J2")
async def test_without_stages_the_console_tells(bench: Bench, jenkins: Jenkins) -> None:
    """A free-style job has none, and without the plugin no job has."""
    await link(bench, jenkins)
    jenkins.stages_plugin = False
    for name in ("tidy", "site/deploy"):
        await bench.say(f"!jenkins build {name}")
        build = jenkins.start(job(jenkins, name))
        jenkins.finish(build, "FAILURE", "x" * 1_200_000 + "\nwhat went wrong\n")
        told = await look(bench)

        assert "failed after" in told
        assert "what went wrong\nFinished: FAILURE" in told
        assert "stage" not in told


async def test_a_build_is_found_after_the_queue_has_forgotten_it(bench: Bench, jenkins: Jenkins) -> None:
    """Which it does after some minutes; the job knows which item began it."""
    await link(bench, jenkins)
    await bench.say("!jenkins build tidy")
    build = jenkins.start(job(jenkins, "tidy"))
    done(jenkins, "tidy", "FAILURE")
    build.item.forgotten = True
    jenkins.finish(build, "UNSTABLE")

    assert "tidy #1" in (told := await look(bench))
    assert "is unstable after" in told


async def test_what_never_becomes_a_build_is_told(bench: Bench, jenkins: Jenkins) -> None:
    """Cancelled by somebody, or gone."""
    await link(bench, jenkins)
    await bench.say("!jenkins build tidy")
    jenkins.items[-1].cancelled = True
    cancelled = await look(bench)
    await bench.say("!jenkins build tidy")
    jenkins.items[-1].forgotten = True
    lost = await look(bench)
    await bench.say("!jenkins build tidy")
    jenkins.deny("alice", READ, "tidy")
    del jenkins.root.inside["tidy"]
    gone = await look(bench)

    assert "The build of tidy was taken out of the queue." == cancelled
    assert "I do not know how the build of tidy ended: Jenkins knows it no more." == lost
    assert "I see tidy no more, so I do not know how its build ended." == gone


async def test_a_build_is_followed_over_a_restart(plan: Plan, jenkins: Jenkins) -> None:
    """With the person's own token, and nobody else's."""
    async with Bench.open(plan) as bench:
        await link(bench, jenkins)
        await bench.say("!jenkins build tidy")
    done(jenkins, "tidy")
    async with Bench.open(plan) as bench:
        told = await look(bench)

    assert "passed after" in told
    assert {"alice"} == {line.split()[2] for line in jenkins.log}


async def test_what_cannot_be_followed_is_built_all_the_same(bench: Bench, jenkins: Jenkins) -> None:
    """And that is said: it is in the queue, whoever follows it."""
    await link(bench, jenkins)
    for _ in range(20):
        await bench.say("!jenkins build tidy")
        jenkins.start(job(jenkins, "tidy"))
    said = await bench.say("!jenkins build tidy")

    assert "is in the queue. But I cannot follow it: I follow 20 things for you already." in said[0]
    assert 21 == len(jenkins.record)


# ------------------------------------------------------------------------------------------ looking


@pytest.mark.row("J4")
async def test_jobs_are_listed_with_numbers(bench: Bench, jenkins: Jenkins) -> None:
    """Those in folders as well, how each is, and some by a filter that is no expression."""
    done(jenkins, "site/deploy")
    done(jenkins, "tidy", "FAILURE")
    jenkins.start(job(jenkins, "tidy"))
    jenkins.deny("bob", READ, "site/inner")
    await link(bench, jenkins)
    await link(bench, jenkins, "bob", GRACE)

    assert ["- `1` **PASS** site/deploy\n- `2` **NOT BUILT** site/inner/unit tests\n- `3` **FAIL, RUNNING** tidy"] == (
        await bench.say("!jenkins list")
    )
    assert ["- `1` **PASS** site/deploy\n- `2` **FAIL, RUNNING** tidy"] == await bench.say("!j list", GRACE)
    assert ["- `1` **NOT BUILT** site/inner/unit tests"] == await bench.say("!j list TEST")
    assert ["- `1` **FAIL, RUNNING** tidy"] == await bench.say("!j list t*y")
    assert ["There is no job (a+)+$ that you may see."] == await bench.say("!j list (a+)+$")


@pytest.mark.row("J4")
async def test_a_long_list_has_pages(bench: Bench, jenkins: Jenkins) -> None:
    """Ten lines are enough for one; numbers go on."""
    for number in range(23):
        jenkins.job(f"job-{number:02}")
    await link(bench, jenkins)
    first = await bench.say("!jenkins list job")
    third = await bench.say("!jenkins list job --page 3")
    none = await bench.say("!jenkins list job --page 4")

    assert 11 == len(first[0].split("\n"))
    assert first[0].endswith("… and 13 more: `!jenkins list job --page 2`")
    assert "- `21` **NOT BUILT** job-20" == third[0].split("\n")[0]
    assert ["There is no page 4; there are 23 in all."] == none


@pytest.mark.row("J13")
async def test_a_job_is_built_by_its_number(bench: Bench, jenkins: Jenkins) -> None:
    """The number of the last list, with parameters if need be; every command takes it."""
    await link(bench, jenkins)
    before = await bench.say("!jenkins b 1")
    await bench.say("!jenkins list")
    await bench.say("!j b 1, TARGET=live")
    await bench.say("!j build #2")
    beyond = await bench.say("!j b 9")
    word = await bench.say("!j b tidy")
    described = await bench.say("!j describe 3")

    assert before == ["I have shown you no list whose numbers I remember. Ask for the list first."]
    assert ["site/deploy", "site/inner/unit tests"] == [name for _, name, _ in jenkins.record]
    assert "live" == jenkins.record[0][2]["TARGET"]
    assert beyond == ["The list that I showed you last has no number 9; it ends with 3."]
    assert word == ["Say the number of a job in the list. `!jenkins build JOB` takes names."]
    assert described[0].startswith("- JOB: **tidy**")


@pytest.mark.row("J4")
@pytest.mark.row("J13")
@pytest.mark.row("J")
async def test_numbers_do_not_leak_between_people(bench: Bench, jenkins: Jenkins) -> None:
    """Said in one room, a number is each one's own; the old one had one list for all."""
    room = bench.network.room("ops", ADA, GRACE)
    await link(bench, jenkins)
    await link(bench, jenkins, "bob", GRACE)
    await bench.say("!jenkins list tidy", ADA, room)
    nothing = await bench.say("!jenkins b 1", GRACE, room)
    await bench.say("!jenkins list unit", GRACE, room)
    await bench.say("!jenkins b 1", ADA, room)
    await bench.say("!jenkins b 1", GRACE, room)

    assert "I have shown you no list whose numbers I remember. Ask for the list first." in nothing
    assert [("alice", "tidy"), ("bob", "site/inner/unit tests")] == [one[:2] for one in jenkins.record]


@pytest.mark.row("J5")
async def test_folders_are_looked_into(bench: Bench, jenkins: Jenkins) -> None:
    """From the top on, by name or number."""
    await link(bench, jenkins)
    top = await bench.say("!jenkins ls")
    inner = await bench.say("!jenkins ls 1")
    deeper = await bench.say("!jenkins ls /site/inner")
    a_job = await bench.say("!jenkins ls tidy")
    nothing = await bench.say("!jenkins ls /nowhere")

    assert top == ["- `1` site/\n- `2` **NOT BUILT** tidy"]
    assert inner == ["- `1` **NOT BUILT** site/deploy\n- `2` site/inner/"]
    assert deeper == ["- `1` **NOT BUILT** site/inner/unit tests"]
    assert a_job == ["tidy is a job, and no folder."]
    assert nothing == ["There is no folder nowhere at Jenkins that you may see. Look with `!jenkins ls`."]


@pytest.mark.row("J6")
async def test_a_job_is_described(bench: Bench, jenkins: Jenkins) -> None:
    """All eight lines; what its author wrote is shown and does nothing."""
    done(jenkins, "site/deploy")
    done(jenkins, "site/deploy", "FAILURE")
    await link(bench, jenkins)
    said = (await bench.say("!jenkins describe site/deploy"))[0].split("\n")
    folder = await bench.say("!jenkins describe site")

    assert [
        "- JOB: **site/deploy**",
        f"- URL: {jenkins.url}/job/site/job/deploy/",
        r"- DESCRIPTION: Puts \*it\* out.",
        "- ENABLED: yes",
        "- STATUS: FAIL",
        "- HEALTH: 50 % (Build stability: 1 failed.)",
        "- PARAMETERS: VERSION=1.0, TARGET=test (test|live)",
    ] == said[:7]
    assert said[7].startswith(f"- LAST JOB: [site/deploy #2]({jenkins.url}/job/site/job/deploy/2/) failed after 1 min")
    assert folder == ["site is a folder. See `!jenkins ls /site`."]


@pytest.mark.row("J7")
async def test_the_last_build_is_told(bench: Bench, jenkins: Jenkins) -> None:
    """How it went, and who began it."""
    await link(bench, jenkins)
    never = await bench.say("!jenkins last tidy")
    await bench.say("!jenkins build tidy")
    build = jenkins.start(job(jenkins, "tidy"))
    running = await bench.say("!jenkins last tidy")
    jenkins.finish(build, "ABORTED", seconds=5)
    ended = await bench.say("!jenkins last tidy")
    unknown = await bench.say("!jenkins last nothing")

    assert never == ["tidy has not been built yet."]
    assert f"[tidy #1]({jenkins.url}/job/tidy/1/) is running; it began" in running[0]
    assert "was aborted after 5 s; it began" in ended[0]
    assert "Started by user Alice." in ended[0]
    assert unknown == ["There is no job nothing at Jenkins that you may see. Look with `!jenkins ls`."]


async def test_the_end_of_a_console_is_shown(bench: Bench, jenkins: Jenkins) -> None:
    """However long it is: only its end is fetched."""
    await link(bench, jenkins)
    done(jenkins, "tidy", log="first\n")
    done(jenkins, "tidy", log="y" * 2_000_000 + "\nwith ``` in it\n")
    latest = await bench.say("!jenkins log tidy --lines 2")
    first = await bench.say("!jenkins log tidy --build 1")
    none = await bench.say("!jenkins log tidy --build 7")

    assert "with ``` in it\nFinished: SUCCESS" in latest[0]
    assert "first\nFinished: SUCCESS" in first[0]
    assert none == ["There is no build of tidy #7 that you may see."]


# ------------------------------------------------------------------------------------------ aborting


async def test_ones_own_build_is_aborted_after_a_yes(bench: Bench, jenkins: Jenkins) -> None:
    """And no other: who began it stands in its cause."""
    await link(bench, jenkins)
    await link(bench, jenkins, "bob", GRACE)
    await bench.say("!jenkins build tidy", GRACE)
    theirs = jenkins.start(job(jenkins, "tidy"))
    none = await bench.say("!jenkins abort tidy")
    refused = await bench.say("!jenkins abort tidy --build 1")
    await bench.say("!jenkins build tidy")
    mine = jenkins.start(job(jenkins, "tidy"))
    asked = await bench.say("!jenkins abort tidy")
    kept = mine.building
    said = await bench.say("yes")

    assert none == ["No build of tidy that you started is running."]
    assert "was not started by you, so I leave it alone." in refused[0]
    assert asked == ["Abort tidy #2?"]
    assert kept
    assert said == [f"[tidy #2]({jenkins.url}/job/tidy/2/) is being stopped."]
    assert (True, "ABORTED") == (theirs.building, mine.result)
    assert '127.0.0.1 - alice "POST /ci/job/tidy/2/stop HTTP/1.1" 302' in jenkins.log
    assert "was aborted after" in await look(bench)


async def test_what_waits_is_taken_out_of_the_queue(bench: Bench, jenkins: Jenkins) -> None:
    """If it is one's own, and Jenkins allows it."""
    await link(bench, jenkins)
    await bench.say("!jenkins build tidy")
    jenkins.deny("alice", CANCEL, "tidy")
    await bench.say("!jenkins abort tidy")
    refused = await bench.say("yes")
    jenkins._denied.clear()
    await bench.say("!jenkins abort tidy")
    said = await bench.say("yes")

    assert refused == ["Jenkins does not allow you to take tidy out of its queue."]
    assert "is taken out of the queue; it had not begun." in said[0]
    assert jenkins.items[0].cancelled
    assert "The build of tidy was taken out of the queue." == await look(bench)


async def test_of_several_it_is_asked_which(bench: Bench, jenkins: Jenkins) -> None:
    """None is stopped that nobody named."""
    await link(bench, jenkins)
    builds = []
    for _ in range(2):
        await bench.say("!jenkins build tidy")
        builds.append(jenkins.start(job(jenkins, "tidy")))
    asked = await bench.say("!jenkins abort tidy")
    sure = await bench.say("#1")
    await bench.say("yes")

    assert asked == ["Which one?"]
    assert sure == ["Abort tidy #1?"]
    assert [False, True] == [one.building for one in builds]


# ------------------------------------------------------------------------------------------ other skills, places, logs


@pytest.mark.row("J11")
async def test_other_skills_build_as_the_person(bench: Bench, jenkins: Jenkins) -> None:
    """They get more than words back."""
    done(jenkins, "site/deploy", "UNSTABLE")
    await link(bench, jenkins)
    said = await bench.say("!release 2.0&TARGET=live")

    assert said == ["item 18 of site/deploy; last 1 UNSTABLE; ('site/deploy',)"]
    assert ("alice", "site/deploy", {"VERSION": "2.0&TARGET=live", "TARGET": "test"}) == jenkins.record[-1]


@pytest.mark.row("J11")
async def test_who_has_not_linked_is_asked_to_before_another_skill_builds(bench: Bench, jenkins: Jenkins) -> None:
    """And then it runs, once."""
    done(jenkins, "site/deploy")
    asked = await bench.say("!release 2.0")
    await link(bench, jenkins)

    assert "To connect **Jenkins**" in asked[0]
    assert [("alice", "site/deploy")] == [one[:2] for one in jenkins.record]


@pytest.mark.row("J+")
async def test_several_jenkinses(plan: Plan, jenkins: Jenkins) -> None:
    """Each has its name; a default for a person, and one for a channel."""
    async with Jenkins() as home:
        home.job("tidy")
        settings = ProviderSettings(instances={"work": jenkins.url, "home": home.url})
        async with Bench.open(replace(plan, settings=(("jenkins", settings),), admins=(str(GRACE),))) as bench:
            room = bench.network.room("ops", ADA, GRACE)
            which = await bench.say(f"!jenkins set auth {jenkins.key('alice')}")
            work = await bench.say(f"!jenkins@work set auth {jenkins.key('alice')}")
            wrong = await bench.say(f"!j@home set auth {jenkins.key('alice')}")
            await bench.say(f"!j@home set auth {home.key('alice')}")
            asked = await bench.say("!jenkins build tidy")
            await bench.say("jenkins@home")
            await bench.say("!jenkins@work build tidy")
            both = (len(jenkins.record), len(home.record))
            await bench.say("!use jenkins@home channel", GRACE, room)
            await bench.say("!jenkins build tidy", ADA, room)
            by_channel = (len(jenkins.record), len(home.record))
            await bench.say("!use jenkins@work")
            await bench.say("!jenkins build tidy")

    assert which == ["Which one? I know: jenkins@home, jenkins@work."]
    assert work[0].startswith("Linked Jenkins (work) as **alice**.")
    assert wrong[0].startswith("Jenkins (home) does not take that key.")
    assert asked == ["Which account is `jenkins build` for?"]
    assert (1, 1) == both
    assert (1, 2) == by_channel
    assert (2, 2) == (len(jenkins.record), len(home.record))


@pytest.mark.row("J+")
async def test_numbers_are_of_the_account_that_listed_them(plan: Plan, jenkins: Jenkins) -> None:
    """What has a number at one Jenkins has none at another."""
    async with Jenkins() as home:
        home.job("tidy")
        settings = ProviderSettings(instances={"work": jenkins.url, "home": home.url})
        async with Bench.open(replace(plan, settings=(("jenkins", settings),))) as bench:
            for name, one in (("work", jenkins), ("home", home)):
                await bench.say(f"!jenkins@{name} set auth {one.key('alice')}")
            await bench.say("!jenkins@work list")
            said = await bench.say("!jenkins@home b 1")

    assert said == ["I have shown you no list whose numbers I remember. Ask for the list first."]
    assert [] == home.record


@pytest.mark.row("J")
async def test_an_error_page_is_not_echoed(bench: Bench, jenkins: Jenkins) -> None:
    """The old one said it into the room."""
    await link(bench, jenkins)
    jenkins.fault(Fault("/ci/job/tidy", 500, "<p>canary-in-the-page</p>", times=9))
    said = await bench.say("!jenkins build tidy") + await bench.say("!jenkins last tidy")

    assert said[0].startswith("Jenkins is out of order (status 500).")
    assert "canary" not in " ".join(said)


@pytest.mark.row("J")
async def test_nothing_of_a_build_is_in_the_log(
    bench: Bench, jenkins: Jenkins, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither what Jenkins says of it, nor parameters, nor the console; the old one logged all of it."""
    with caplog.at_level(logging.DEBUG):
        key = await link(bench, jenkins)
        await bench.say("!jenkins build site/deploy, VERSION=canary-parameter")
        build = jenkins.start(job(jenkins, "site/deploy"), "canary-console\n")
        jenkins.stage(build, "canary-stage", "FAILED", "canary-log")
        jenkins.finish(build, "FAILURE")
        told = await look(bench)
        await bench.say("!jenkins describe site/deploy")
        await bench.say("!jenkins log site/deploy")

    logged = "\n".join(f"{one.getMessage()} {one.__dict__!r}" for one in caplog.records)
    assert "canary-log" in told
    assert [] == [one for one in ("canary", "queueId", key.partition(":")[2], "_class") if one in logged]


async def test_on_irc_it_is_as_good(plan: Plan, jenkins: Jenkins) -> None:
    """Lines of plain text, one after the other."""
    network = FakeAdapter(capabilities=POOR)
    async with Bench.open(replace(plan, networks=(network,))) as bench:
        await link(bench, jenkins)
        await bench.say("!jenkins list")
        listed = network.said[-1].pieces
        await bench.say("!jenkins b 3")
        jenkins.finish(jenkins.start(job(jenkins, "tidy")), "FAILURE", "no such host\n")
        await look(bench)

    assert "- 1 NOT BUILT site/deploy" == listed[0]
    told = network.said[-1].pieces
    assert any("tidy #1" in line and "failed after 1 min 5 s" in line for line in told)
    assert any("no such host" in line for line in told)
