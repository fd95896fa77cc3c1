"""A65, a realm swapped: a network's name in the configuration is pointed at another server.

There "ada" may be somebody else, who would have Ada's accounts: by a mistake in the file, or by whoever
can redirect the connection.

What must hold: what a network says it is, is recorded at its first connect.  If it says something else,
nobody is acted for there: no account is used or linked, nothing that waited is run, nothing that was
kept for somebody is given.  The log and `omnibot check` say why, and with which command it is accepted.
Accepted while the bot runs, it goes on at once; accepted while it does not, the next connect is taken.

What remains: a server that lies about what it is.
"""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.helpers import audited
from keys import do
from omnibot.app import administer
from omnibot.config import load
from omnibot.control import Control
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.doctor import examine
from omnibot.identity import Assurance
from omnibot.policy import Policy
from omnibot.ports import free_port
from omnibot.skill import Context, LinkedContext, Skill
from omnibot.stores import Realms
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from omnibot.testing.fakes import FakeAdapter

NO_NOTES = ["You have no notes."]
REFUSED = "fake is not the network it was, so I act for nobody there."


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """A bot that keeps its address over restarts."""
    return Plan(tmp_path, provider=provider, port=free_port())


async def fits(*_: object) -> bool:
    return True


def believed(patch: pytest.MonkeyPatch) -> None:
    """Take every network for the one it was."""
    patch.setattr(Realms, "fits", fits)


def elsewhere(plan: Plan, realm: str = "elsewhere.example") -> Plan:
    """Point the network's name at another server."""
    network = FakeAdapter()
    network.realm = realm
    return replace(plan, networks=(network,))


@pytest.mark.attack("A65", sabotage=believed)
async def test_nobody_is_acted_for_on_another_network(
    plan: Plan, provider: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither with an account nor for one; what was kept stays kept; what needs nobody goes on."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        bench.network.close_dms(GRACE)
        await bench.say("!link demo", GRACE, bench.network.room("ops"))
    before = len(provider.requests)
    async with Bench.open(elsewhere(plan)) as bench:
        said = [await bench.say(text) for text in ("!notes", "!link demo", "!accounts", "!unlink demo")]
        given = await bench.say("!ping", GRACE)
        [network] = await do(bench, "networks list")

    assert [[REFUSED]] * 4 == said
    assert ["pong"] == given
    assert [] == [one for one in provider.requests[before:] if "/.well-known/" not in one]
    assert ("fake.example", "elsewhere.example", False) == tuple(network[one] for one in ("realm", "says", "trusted"))
    [told] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "omnibot networks accept fake" in told


outer = Skill("outer")


@outer.command
async def run(ctx: Context) -> str:
    """Perform another command, which asks first."""
    return str(await ctx.invoke("inner wipe"))


@outer.command
async def mind(ctx: Context) -> str:
    """Perform another command, which asks and needs to know who it is."""
    return str(await ctx.invoke("inner guarded"))


inner = Skill("inner")


@inner.command(minimum=Assurance.ACCOUNT)
async def guarded(ctx: Context) -> str:
    """Do for somebody what needs no account."""
    await ctx.ask("Shall I?")
    return "done"


@inner.linked("demo", scopes=["notes:read"], effect="destroy")
async def wipe(ctx: LinkedContext) -> str:
    """Read as somebody."""
    await ctx.api.get("/api/notes")
    return "wiped"


@inner.command
async def think(ctx: Context) -> str:
    """Ask, and then perform what needs an account."""
    await ctx.ask("Shall I?")
    return str(await ctx.invoke("notes"))


def trusting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Policy, "trusts", lambda self, network: True)


@pytest.mark.attack("A65", sabotage=trusting)
@pytest.mark.parametrize("line", ["!outer run", "!outer mind", "!inner wipe", "!inner think"])
async def test_a_question_from_before_is_no_way_in(plan: Plan, provider: DemoProvider, line: str) -> None:
    """What was asked of Ada and is answered by who is "ada" now acts for nobody, by whatever command it came."""
    async with Bench.open(replace(plan, skills=[*SKILLS, outer, inner])) as bench:
        await bench.link(ADA, "ada")
        asked = await bench.say(line)
        before = len(provider.requests)
        bench.core.policy.distrust("fake")
        said = await bench.say("yes")

    assert 1 == len(asked)
    assert [REFUSED] == said
    assert before == len(provider.requests)


@pytest.mark.attack("A65", sabotage=believed)
async def test_an_accepted_network_goes_on_at_once(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the bot runs: accounts work, what was confirmed before is run, and it stays so over a restart."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.say("!notes", GRACE)
        async with Browser() as browser:
            await bench.authorise(browser, bench.link_for(GRACE), "grace")
            monkeypatch.setattr(bench.core.dispatcher, "resume", _never)  # the power goes before it starts
            await bench.say(f"!confirm {browser.code}", GRACE)
    moved = elsewhere(plan)
    async with Bench.open(moved) as bench:
        refused = await bench.say("!notes")
        assert [REFUSED] == refused
        heard = len(bench.network.said)
        done = await do(bench, "networks accept", name="fake")
        await bench.settle()
        resumed = [said.reply.text for said in bench.network.said[heard:]]
        allowed = await bench.say("!notes")
        recorded = await audited(bench, "network.accepted")
    async with Bench.open(elsewhere(plan)) as bench:
        later = await bench.say("!notes")

    assert {"name": "fake", "was": "fake.example", "is": "elsewhere.example"} == done
    assert NO_NOTES == resumed, "what Grace waited for"
    assert NO_NOTES == allowed == later
    assert [{"realm": "elsewhere.example"}] == recorded


async def _never(*_: object) -> None:
    """Run nothing."""


@pytest.mark.attack("A65")
async def test_accepting_one_is_accepting_no_other(plan: Plan) -> None:
    """If it comes back as a third, it is refused again."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
    async with Bench.open(elsewhere(plan)) as bench:
        await bench.say("!ping")
        await do(bench, "networks accept", name="fake")
        await bench.core._ready("fake", "third.example")
        third = await bench.say("!notes")
        await bench.core._ready("fake", "elsewhere.example")
        again = await bench.say("!notes")

    assert [REFUSED] == third
    assert NO_NOTES == again


@pytest.mark.attack("A65")
async def test_without_a_running_bot_the_next_connect_is_taken(
    plan: Plan, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command line on the data alone, which says so."""
    monkeypatch.setattr("omnibot.app.harden", lambda: None)
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
    config = plan.directory / "config.yaml"
    config.write_text(
        f"key_file: omnibot.key\nproviders:\n  demo: {{client_id: omnibot, issuer: '{provider.origin}'}}\n", "utf-8"
    )
    done = await administer(load(config, {}), "networks accept", {"name": "fake"}, lambda _: None)
    async with Bench.open(elsewhere(plan)) as bench:
        taken = await bench.say("!notes")
    async with Bench.open(elsewhere(plan, "third.example")) as bench:
        third = await bench.say("!notes")

    assert {"name": "fake", "was": "fake.example", "is": ""} == done
    assert NO_NOTES == taken
    assert [REFUSED] == third


@pytest.mark.attack("A65", sabotage=believed)
async def test_check_says_why(plan: Plan) -> None:
    """It asks the running bot, which alone knows what the network says."""
    from keys import admin, key_file

    config = plan.directory / "config.yaml"
    config.write_text(f"key_file: {key_file(plan)}\nlisten: 127.0.0.1:{free_port()}\n", "utf-8")
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
    async with Bench.open(elsewhere(plan)) as bench:
        await bench.say("!ping")
        control = Control(plan.directory / "data", admin(bench).perform)
        await control.start()
        found = [str(one) for one in await examine(config, {}, offline=True)]
        await control.stop()

    [wrong] = [line for line in found if line.startswith("WRONG")] or [""]
    assert wrong.startswith("WRONG fake says it is elsewhere.example, and was fake.example: nobody is acted for there.")
    assert wrong.endswith("omnibot networks accept fake")
