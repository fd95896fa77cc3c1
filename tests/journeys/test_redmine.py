"""A person links their Redmine by its API key, and every issue is opened in their own name.

Both ends are real: Redmine as Debian packages it, and what its own log and records say of who did what.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.catalogue import ProviderSettings
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.browser import HttpBrowser
from servers.redmine.server import Redmine

SKILLS = ("accounts", "help", "redmine")


@pytest.fixture
def plan(tmp_path: Path, redmine: Redmine) -> Plan:
    """A bot that knows one Redmine, called ``work``."""
    settings = ProviderSettings(instances={"work": redmine.url})
    return Plan(tmp_path, skills=SKILLS, settings=(("redmine", settings),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot, with a public address."""
    async with Bench.open(plan) as bench:
        yield bench


async def typed(bench: Bench, key: str) -> str:
    """Let Ada's browser type *key* into the form her link leads to; return the code, or the page's words."""
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        page = await browser.press(page, "Connect", key=key)
    code = re.search(r"<code>([A-Z]{4}-[A-Z]{4})</code>", page.text)
    return code[1] if code else page.text


@pytest.mark.row("T10")
async def test_a_parked_command_runs_in_the_persons_own_name(bench: Bench, redmine: Redmine) -> None:
    """She asks, types her key into the bot's form, the code into the chat, and Redmine says that she did it."""
    asked = await bench.say("!redmine create demo The roof leaks")
    code = await typed(bench, await redmine.read_key("alice"))
    done = await bench.say(f"!confirm {code}")

    assert "To connect **Redmine (work)**" in asked[0]
    assert done[0].startswith("Linked Redmine (work) as **alice**.")
    assert f"Opened [#1]({redmine.url}/issues/1) in Demo as **alice**." == done[1]
    assert "alice" in redmine.callers()
    assert "**Alice Test**" not in done[1]
    shown = await bench.say("!redmine show 1")
    assert "The roof leaks" in shown[0]


async def test_the_whole_life_of_an_issue(bench: Bench, redmine: Redmine) -> None:
    """Create, list, comment, take, log time, close; each as the person."""
    await bench.say(f"!link redmine {redmine.key('alice')}")
    created = await bench.say("!redmine create demo Paint *the* fence\nIn green, both sides.")
    by_project = await bench.say("!rm list demo")
    nobody = await bench.say("!redmine list")
    comment = await bench.say("!redmine comment 1 Which green?")
    taken = await bench.say("!redmine assign 1")
    mine = await bench.say("!redmine list")
    logged = await bench.say("!redmine log 1 1.5 Bought paint --activity Design")
    shown = await bench.say("!redmine show 1")
    closed = await bench.say("!redmine close 1 Done.")
    again = await bench.say("!redmine close 1")
    left = await bench.say("!redmine list demo")
    all_of_it = await bench.say("!redmine list demo --all")

    tag = f"[#1]({redmine.url}/issues/1)"
    assert [f"Opened {tag} in Demo as **alice**."] == created
    assert [rf"- {tag} Paint \*the\* fence (New, for nobody)"] == by_project
    assert ["You have no open issue."] == nobody
    assert [f"Commented on {tag}."] == comment
    assert [f"{tag} is yours now."] == taken
    assert [rf"- {tag} Paint \*the\* fence (New, for Alice Test)"] == mine
    assert [f"Logged 1.5 h of Design on {tag}."] == logged
    assert "In green, both sides." in shown[0]
    assert "- **Alice Test**: Which green?" in shown[0]
    assert [f"{tag} is Closed now."] == closed
    assert [f"{tag} is closed already: Closed."] == again
    assert ["There is no open issue in demo that you may see."] == left
    assert "(Closed, for Alice Test)" in all_of_it[0]
    assert {"alice"} == set(redmine.callers())


async def test_what_redmine_does_not_allow_is_said(bench: Bench, redmine: Redmine) -> None:
    """Permissions are the person's own: carol sees no secret project, and may close nothing."""
    await bench.say(f"!link redmine {redmine.key('alice')}")
    await bench.say("!redmine create secret The recipe")
    await bench.say("!redmine create demo Mow the lawn")
    linked = await bench.say(f"!link redmine {redmine.key('carol')}", GRACE)
    hidden = await bench.say("!redmine show 1", GRACE)
    refused = await bench.say("!redmine create secret Mine too", GRACE)
    close = await bench.say("!redmine close 2", GRACE)
    take = await bench.say("!redmine assign 2", GRACE)
    missing = await bench.say("!redmine show 99", GRACE)
    hours = await bench.say("!redmine log 2 25")
    activity = await bench.say("!redmine log 2 1 --activity Sleep")

    assert linked[0].startswith("Linked Redmine (work) as **carol**.")
    assert hidden[0].startswith("Redmine (work) does not allow you that (status 403).")
    assert refused[0].startswith("Redmine did not take that issue. Is there a project secret that you may open")
    assert close[0].startswith("Redmine does not let you close #2: ")
    assert take[0].startswith("Redmine did not let you take #2: ")
    assert missing[0].startswith("Redmine (work) does not know that, or does not show it to you (status 404).")
    assert hours == ["`hours` is more than 0 and at most 24."]
    assert activity[0].startswith("There is no activity Sleep. I know: ")


async def test_a_wrong_key_is_not_kept_and_another_may_be_typed(bench: Bench, redmine: Redmine) -> None:
    """The page says so, and asks again."""
    await bench.say("!link redmine")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
        wrong = await browser.press(page, "Connect", key="0" * 40)
        right = await browser.press(wrong, "Connect", key=redmine.key("alice"))

    assert 422 == wrong.status
    assert "The service does not take that key" in wrong.text
    assert "That key belongs to <strong><bdi>alice</bdi></strong>" in right.text
    assert "0" * 40 not in wrong.text


@pytest.mark.parametrize("command", ["list", "list demo", "show 1", "comment 1 Hi", "log 1 1"])
async def test_a_key_that_was_reset_acts_as_nobody_at_all(bench: Bench, redmine: Redmine, command: str) -> None:
    """Redmine takes it for Anonymous, and shows what is public: that must not pass for the person's."""
    await bench.say(f"!link redmine {redmine.key('alice')}")
    await bench.say("!redmine create demo Sweep")
    await redmine.reset_key("alice")
    said = await bench.say(f"!redmine {command}")

    assert "Redmine (work) no longer accepts your link." in said[0]


async def test_a_key_that_was_reset_is_asked_for_again(bench: Bench, redmine: Redmine) -> None:
    """Redmine answers 401, so the command waits for a new key, and then runs."""
    await bench.say(f"!link redmine {redmine.key('alice')}")
    await redmine.reset_key("alice")
    asked = await bench.say("!redmine create demo Sweep")
    code = await typed(bench, await redmine.read_key("alice"))
    done = await bench.say(f"!confirm {code}")

    assert "Redmine (work) no longer accepts your link." in asked[0]
    assert f"Opened [#1]({redmine.url}/issues/1) in Demo as **alice**." == done[1]


async def test_two_redmines(plan: Plan, redmine: Redmine, redmine_second: Redmine, tmp_path: Path) -> None:
    """Each has its name; nothing is created where nobody said it should be."""
    settings = ProviderSettings(instances={"work": redmine.url, "home": redmine_second.url})
    async with Bench.open(Plan(tmp_path, skills=SKILLS, settings=(("redmine", settings),))) as bench:
        which = await bench.say("!redmine list")
        picked = await bench.say("redmine@work")
        await bench.say(f"!link redmine@work {redmine.key('alice')}")
        wrong = await bench.say(f"!link redmine@home {redmine.key('alice')}")
        await bench.say(f"!link redmine@home {redmine_second.key('alice')}")
        asked = await bench.say("!redmine create demo Where does this go?")
        there = await bench.say("redmine@home")
        named = await bench.say("!redmine@work create demo Here")
        await bench.say("!use redmine@home")
        chosen = await bench.say("!redmine create demo And this?")

    assert ["Which one do you want to link?"] == which
    assert "To connect **Redmine (work)**" in picked[0]
    assert wrong[0].startswith("Redmine (home) does not take that key. Look at it again: was it copied whole?")
    assert ["Which account is `redmine create` for?"] == asked
    assert f"{redmine_second.url}/issues/1" in there[0]
    assert f"{redmine.url}/issues/1" in named[0]
    assert f"{redmine_second.url}/issues/2" in chosen[0]


async def test_a_redmine_that_is_down(bench: Bench, redmine: Redmine) -> None:
    """A key is not kept unseen; a command says what it could not reach."""
    key = redmine.key("alice")
    redmine.stop()
    unseen = await bench.say(f"!link redmine {key}")
    redmine.start()
    linked = await bench.say(f"!link redmine {key}")
    redmine.stop()
    said = await bench.say("!redmine list")
    redmine.start()
    after = await bench.say("!redmine list")

    assert unseen == [
        "Redmine (work) did not answer when I asked whose key that is, so I have not kept it. Try in a while."
    ]
    assert linked[0].startswith("Linked Redmine (work) as **alice**.")
    assert said == ["I could not reach 127.0.0.1."]
    assert ["You have no open issue."] == after


async def test_unlinking_says_what_it_cannot_do(bench: Bench, redmine: Redmine) -> None:
    """A key is its owner's: it is erased here, and they are told where it still lives."""
    await bench.say(f"!link redmine {redmine.key('alice')}")
    said = await bench.say("!unlink redmine")

    assert f"{redmine.url}/my/account" in said[0]
    assert [] == await bench.rows("SELECT * FROM revocations")


async def test_a_person_who_is_nobody(bench: Bench, redmine: Redmine) -> None:
    """Somebody else's link does not act for others."""
    await bench.say(f"!link redmine {redmine.key('alice')}", ADA)

    assert "To connect" in (await bench.say("!redmine list", GRACE))[0]


async def test_a_key_that_redmine_repeats_is_blotted_out(plan: Plan, redmine: Redmine, tmp_path: Path) -> None:
    """Its whoami has the key in it; neither a skill nor a chat ever sees that."""
    async with Bench.open(Plan(tmp_path, skills=("accounts", "api"), settings=plan.settings)) as bench:
        await bench.say(f"!link redmine {redmine.key('alice')}")
        said = await bench.say("!api redmine GET /users/current.json")

    assert '"login": "alice"' in said[0]
    assert '"api_key": "****"' in said[0]
    assert redmine.key("alice") not in said[0]
