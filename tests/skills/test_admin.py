"""The operator's admins in chat: what they can do, that nobody else can, and what is on record."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnibot import Context, Skill
from omnibot.administration import IN_CHAT, Admin, Live
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import UserError
from omnibot.identity import Guest, Identity
from omnibot.reloading import Reloading
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from skills.admin import skill

SKILLS = ("accounts", "following", "help", "ping", "api", "notes", "admin")
reach = Skill("reach")


@reach.command
async def out(ctx: Context, what: str) -> str:
    """Do what nobody ordered."""
    if what == "invoke":
        return str(await ctx.invoke("admin status"))
    return str(await ctx.admin.perform("status"))


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return Plan(tmp_path, provider=provider, skills=(*SKILLS, reach), admins=(str(ADA),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot of which Ada is the admin."""
    async with Bench.open(plan) as bench:
        administered(bench)
        yield bench


def administered(bench: Bench) -> list[str]:
    """Let the bot be administered in chat; return the networks that are connected anew."""
    again: list[str] = []

    async def reconnect(network: str) -> None:
        again.append(network)

    live = Live(reconnect, Reloading(bench.core))
    bench.core.administer = Admin(bench.core, bench.plan.directory / "omnibot.key", running=True, live=live).in_chat
    return again


async def said(bench: Bench, line: str, who: Identity | Guest = ADA) -> str:
    return "\n".join(await bench.say(line, who))


async def test_the_bot_is_looked_at(bench: Bench) -> None:
    """What is told is about the bot and its networks, and names nobody."""
    await bench.link(GRACE)
    told = await said(bench, "!admin status")

    assert "Accounts: 1 active" in told
    assert "- fake: ready for 0 min, known as fake.example" in told
    assert "u-2" not in told
    assert await said(bench, "!admin networks") == "- fake: ready for 0 min, known as fake.example"
    assert "- ping: 1 commands" in await said(bench, "!admin skills")


async def test_skills_and_networks_are_changed(bench: Bench) -> None:
    """As from the command line."""
    again = administered(bench)
    await said(bench, "!admin reconnect fake")
    gone = await said(bench, "!admin skills unload ping")

    assert ["fake"] == again
    assert "ping is taken out" in gone
    assert "I do not know that" in await said(bench, "!ping")
    assert "ping is loaded." in await said(bench, "!admin skills load ping")
    assert "pong" == await said(bench, "!ping")
    assert "Say which" in await said(bench, "!admin skills reload")


async def test_no_module_of_python_is_run_from_chat(bench: Bench) -> None:
    """Whoever has an admin's account in chat has not the machine for that."""
    administered(bench)
    refused = await said(bench, "!admin skills load this.that")

    assert "on the command line" in refused
    assert "is no skill" in await said(bench, "!admin skills load omnibot")


async def test_people_are_seen_without_their_tokens(bench: Bench) -> None:
    """Who, where, as whom: nothing that opens anything."""
    await bench.link(GRACE, "grace")
    token = bench.provider.calls[-1].token
    short, one = await said(bench, "!admin people"), await said(bench, "!admin people fake:u-2")

    assert "- fake:u-2: demo@grace" in short or "- fake:u-2: demo@" in short
    assert "as **grace**: active" in one
    assert token not in short + one
    assert "I know nobody called" in await said(bench, "!admin people fake:u-3")


async def test_an_account_is_taken_away(bench: Bench) -> None:
    """After a yes; it is handed back, and its owner hears of it."""
    await bench.link(GRACE, "grace")
    assert "Really" in await said(bench, "!admin revoke fake:u-2 demo")
    before = len(bench.network.said)
    done = await said(bench, "yes")
    await bench.settle()
    told = [one for one in bench.network.said[before:] if getattr(one.to, "identity", None) == GRACE]

    assert "as **grace** is unlinked" in done
    assert ["grace"] == bench.provider.revoked
    assert [] == await bench.rows("SELECT id FROM accounts")
    assert any("operator has unlinked" in one.reply.text for one in told)
    await said(bench, "!admin revoke fake:u-2 demo")
    assert "nothing at demo" in await said(bench, "yes")


async def test_somebody_is_forgotten(bench: Bench) -> None:
    """With all that is theirs."""
    await bench.link(GRACE, "grace")
    await said(bench, "!admin forget fake:u-2")
    await said(bench, "yes")

    assert [] == await bench.rows("SELECT * FROM identities WHERE subject = 'u-2'")
    assert ["grace"] == bench.provider.revoked


async def test_linking_is_paused_also_after_a_restart(bench: Bench, plan: Plan) -> None:
    """Who asks is told why; what has begun may end; then it goes on."""
    await bench.say("!link demo", GRACE)
    link = bench.link_for(GRACE)
    assert "Nothing new can be linked: we are moving" in await said(bench, "!admin pause we are moving")
    assert "just now: we are moving" in await said(bench, "!link demo", MALLORY)
    assert "just now: we are moving" in await said(bench, "!notes", MALLORY)
    assert "just now" in await said(bench, "!link demo", GRACE)
    assert link == bench.link_for(GRACE), "the link that was there is not replaced"
    async with Browser() as browser:
        await bench.authorise(browser, link, "grace")
        assert "Linked" in await said(bench, f"!confirm {browser.code}", GRACE)
    await bench.core.close()
    async with Bench.open(plan) as later:
        administered(later)
        assert "just now: we are moving" in await said(later, "!link demo", MALLORY)
        assert "Nothing new can be linked" in await said(later, "!admin status")
        assert "Links may begin again" in await said(later, "!admin resume")
        assert "link" in await said(later, "!link demo", MALLORY)
        assert later.link_for(MALLORY)


@pytest.mark.parametrize(
    "who",
    [
        MALLORY,
        Guest("fake", "u-1", "Ada"),
        Guest("fake", str(ADA), "Ada"),
        Identity("fake", "u-1", "1700000000", "Ada"),
        Identity("fake", "U-1", "", "Ada"),
    ],
)
@pytest.mark.parametrize("line", ["!admin status", "!admin forget fake:u-2", "!admin skills unload ping"])
async def test_nobody_else_can(bench: Bench, who: Identity | Guest, line: str) -> None:
    """Whatever they are called; help tells them of none of it."""
    told = await said(bench, line, who)

    assert "is for the admins" in told or "not" in told
    assert "omnibot 0" not in told
    assert "admin" not in await said(bench, "!help", who)
    assert "ping" in [one.name for one in bench.core.skills]
    await bench.core.audit.flush()
    tries = await bench.rows("SELECT pseudonym, detail FROM audit WHERE event = 'command'")
    assert isinstance(who, Guest) or ["Denied"] == [json.loads(str(one["detail"]))["outcome"] for one in tries]
    assert not [one for one in tries if one["pseudonym"]]


async def test_a_distrusted_network_has_no_admins(bench: Bench) -> None:
    """Its "ada" may be somebody else's now (A65)."""
    assert "omnibot 0" in await said(bench, "!admin status")
    bench.core.policy.distrust("fake")

    assert "is not the network it was" in await said(bench, "!admin status")


@pytest.mark.parametrize("what", ["invoke", "perform"])
async def test_other_commands_reach_nothing_of_it(bench: Bench, what: str) -> None:
    """Not by another's word, and not in an admin's name by a command that is not for admins."""
    by_mallory = await said(bench, f"!reach out {what}", MALLORY)
    by_ada = await said(bench, f"!reach out {what}")

    assert "omnibot 0" not in by_mallory
    assert ("omnibot 0" in by_ada) is (what == "invoke")


@pytest.mark.parametrize("op", ["keys rotate", "keys retire", "audit export", "backup", "networks accept", "probe"])
async def test_keys_and_copies_are_not_had_in_chat(bench: Bench, op: str) -> None:
    """Whoever takes an admin's account over gets neither."""
    assert bench.core.administer is not None
    with pytest.raises(UserError, match="is not done from chat"):
        await bench.core.administer(op, {})
    assert op not in IN_CHAT


async def test_what_an_admin_does_is_on_record_as_theirs(bench: Bench) -> None:
    """Also what fails, and nothing of what was said."""
    await said(bench, "!admin pause because of a secret")
    await said(bench, "!admin people fake:nobody")
    await bench.core.audit.flush()
    rows = await bench.rows(
        "SELECT a.detail FROM audit a JOIN people p ON p.pseudonym = a.pseudonym "
        "JOIN identities i ON i.person = p.id WHERE a.event = 'admin' AND i.subject = 'u-1' ORDER BY a.seq"
    )

    assert [("linking pause", "done"), ("people show", "failed")] == [
        (one["op"], one["outcome"]) for one in (json.loads(str(row["detail"])) for row in rows)
    ]
    assert "secret" not in str(await bench.rows("SELECT detail FROM audit"))


async def test_a_bot_that_is_not_administered_says_so(plan: Plan) -> None:
    """A bench that nobody gave the operations, say."""
    async with Bench.open(replace(plan)) as bench:
        assert "cannot be administered in chat" in await said(bench, "!admin status")


def test_all_of_it_is_for_admins_and_in_private() -> None:
    """Also what is added one day."""
    assert [(True, "private")] == sorted({(one.admin, one.answer) for one in skill.commands})
