"""The parts fit together: what opens closes in order, a missing key locks, and a network must be the one it was."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnibot.catalogue import SHIPPED, Instances, load_catalogue
from omnibot.core import Core, Options, Outward
from omnibot.demo.provider import DemoProvider
from omnibot.errors import AddressRefused, ConfigError
from omnibot.skill import Context, Skill
from omnibot.testing.bench import ADA, GRACE, Bench, Clock, Plan
from omnibot.testing.fakes import FakeAdapter
from omnibot.vault import Keyring, new_key_file
from omnibot.wire import Request


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return Plan(tmp_path, skills=("accounts", "ping", "notes"), provider=provider)


def options(folder: Path, *skills: Skill, **more: Any) -> Options:
    defaults: dict[str, Any] = {
        "data_dir": folder / "data",
        "keyring": Keyring([b"k" * 32]),
        "instances": Instances(load_catalogue(SHIPPED), {}),
        "skills": skills,
    }
    return Options(**(defaults | more))


def skill(name: str, *aliases: str) -> Skill:
    made = Skill(name, aliases=aliases)

    async def handler(ctx: Context) -> str:
        """Do it."""
        return "done"

    handler.__name__ = name
    made.command(handler)
    return made


# ----------------------------------------------------------------------------------------- opening


async def test_the_data_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """With everything above it that is not there."""
    core = await Core.open(options(tmp_path, data_dir=tmp_path / "a" / "b"))
    await core.close()

    assert 0o700 == (tmp_path / "a" / "b").stat().st_mode & 0o777
    assert (tmp_path / "a" / "b" / "omnibot.db").exists()


@pytest.mark.parametrize(
    ("skills", "what"),
    [
        ((skill("x"), skill("x")), "skills x and x both define `x`"),
        ((skill("x", "y"), skill("y")), "the alias `y` is taken"),
        ((skill("x", "z"), skill("y", "z")), "the alias `z` is taken"),
    ],
)
async def test_skills_that_do_not_fit_together_are_told(tmp_path: Path, skills: Any, what: str) -> None:
    """And nothing is left open."""
    before = set(threading.enumerate())
    with pytest.raises(ConfigError, match=what):
        await Core.open(options(tmp_path, *skills))
    for thread in set(threading.enumerate()) - before:
        thread.join(2)

    assert not [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]


async def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With its name, as any other mistake in the configuration."""
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(ConfigError, match="data_dir"):
            await Core.open(options(tmp_path, data_dir=wrong))


async def test_an_adapter_is_given_what_is_its_own(tmp_path: Path) -> None:
    """Its rows, a folder's name, a log, the commands, its position; nothing of another's."""
    core = await Core.open(options(tmp_path, skill("x", "xx"), prefix=">"))
    tools, other = core.tools("libera"), core.tools("oftc")
    await tools.store.set("k", b"1")
    await tools.secrets.set("k", b"2")
    await core.intake.accept("libera", [], "s1")
    found = (await tools.store.get("k"), await tools.secrets.get("k"), await other.store.get("k"))
    positions = (await tools.position(), await other.position())
    await core.close()

    assert (b"1", b"2", None) == found
    assert ("s1", None) == positions
    assert ("libera", ">", core.options.data_dir / "libera") == (tools.network, tools.prefix, tools.directory)
    assert "omnibot.network.libera" == tools.log.name
    assert ["x"] == [one.name for one in tools.commands()]


# ----------------------------------------------------------------------------------------- closing


async def test_closing_leaves_nothing_running(plan: Plan) -> None:
    """No task, no thread, no connection: the process can end."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    async with Bench.open(plan) as bench:
        await bench.link()
        await bench.say("!notes")
    for thread in set(threading.enumerate()) - threads:
        thread.join(2)
    await asyncio.sleep(0)

    assert not [thread for thread in set(threading.enumerate()) - threads if thread.is_alive()]
    assert [] == [task.get_name() for task in asyncio.all_tasks() - tasks]


async def test_what_was_recorded_is_written_before_the_end(plan: Plan) -> None:
    """The audit loses nothing in an orderly close."""
    async with Bench.open(plan) as bench:
        bench.core.audit.record("", "", "last")
    async with Bench.open(plan) as bench:
        found = await bench.rows("SELECT event FROM audit WHERE event = 'last'")

    assert [{"event": "last"}] == found


async def test_a_command_under_way_may_end(tmp_path: Path) -> None:
    """Within the grace; then it is stopped."""
    ended: list[str] = []
    made = Skill("slow")

    @made.command
    async def slow(ctx: Context, seconds: float) -> str:
        """Take its time."""
        await asyncio.sleep(seconds)
        ended.append("ended")
        return "done"

    async with Bench.open(Plan(tmp_path, skills=(made,))) as bench:
        await bench.network.hear("!slow 0.01", ADA)
        await bench.network.hear("!slow 60", GRACE)
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await bench.core.dispatcher.close(0.05)
        said = [one.text for one in bench.network.said]

    assert ["ended"] == ended
    assert ["done"] == said


async def test_the_database_is_closed_whatever_fails_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of its would keep the process alive."""
    core = await Core.open(options(tmp_path))
    closed: list[str] = []
    close = core.database.close

    async def noted() -> None:
        closed.append("database")
        await close()

    async def fail() -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(core.database, "close", noted)
    monkeypatch.setattr(core.audit, "flush", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        await core.close()

    assert ["database"] == closed


class Stand:
    """A stand-in for the outward client, with nothing to close."""

    async def send(self, request: Request, **_: Any) -> Any:
        raise AssertionError


async def test_a_stand_in_for_the_outward_client_needs_no_closing(tmp_path: Path) -> None:
    """Only what has something to close is closed."""
    core = await Core.open(options(tmp_path, http=Stand()))
    await core.close()


async def test_the_outward_client_is_made_when_it_is_needed() -> None:
    """It keeps the rules of the real one, and closes what it opened."""
    outward = Outward()
    await outward.close()
    with pytest.raises(AddressRefused):
        await outward.send(Request("GET", "https://a.example/"), origins=frozenset(), private=False)
    with pytest.raises(AddressRefused):
        await outward.send(Request("GET", "https://a.example/"), origins=frozenset(), private=False)
    await outward.close()


# -------------------------------------------------------------------------------------- the wrong key


async def test_the_wrong_key_locks_what_needs_one(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """A36: commands that need no account work; nothing is stored; the missing key is named."""
    async with Bench.open(plan) as bench:
        await bench.link()
        missing = bench.core.keyring.newest.id
    key = plan.directory / "omnibot.key"
    right = key.read_bytes()
    key.unlink()
    new_key_file(key)
    async with Bench.open(plan) as bench:
        locked = bench.core.keyring.locked
        said = [await bench.say(text) for text in ("!ping", "!notes", "!link demo", "!accounts")]
        stranger = await bench.say("!link demo", GRACE)
    key.write_bytes(right)
    async with Bench.open(plan) as bench:
        works = await bench.say("!notes")

    assert locked
    assert ["pong"] == said[0]
    assert all(one[0].startswith("I cannot use linked accounts just now") for one in (*said[1:], stranger))
    assert f"under key {missing}, which the key file does not hold" in caplog.text
    assert ["You have no notes."] == works


async def test_another_key_beside_the_right_one_locks_nothing(plan: Plan) -> None:
    """As after a new one was made."""
    async with Bench.open(plan) as bench:
        await bench.link()
    old = (plan.directory / "omnibot.key").read_text()
    (plan.directory / "omnibot.key").unlink()
    new_key_file(plan.directory / "omnibot.key")
    with (plan.directory / "omnibot.key").open("a") as file:
        file.write(old)
    async with Bench.open(plan) as bench:
        said = await bench.say("!notes")
        ids = {row["key_id"] for row in await bench.rows("SELECT key_id FROM accounts")}
        newest = bench.core.keyring.newest.id

    assert ["You have no notes."] == said
    assert newest not in ids


# ------------------------------------------------------------------------------------------- realms


async def test_a_network_that_says_it_is_another_acts_for_nobody(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """A65: its alice may be somebody else; what needs no account goes on, and the operator is told the cure."""
    async with Bench.open(plan) as bench:
        await bench.link()
    moved = FakeAdapter()
    moved.realm = "elsewhere.example"
    async with Bench.open(replace(plan, networks=(moved,))) as bench:
        said = [await bench.say(text) for text in ("!ping", "!notes", "!accounts")]
    async with Bench.open(replace(plan, networks=(FakeAdapter(),))) as bench:
        again = await bench.say("!notes")

    assert ["pong"] == said[0]
    assert ["fake is not the network it was, so I act for nobody there."] == said[1] == said[2]
    assert "fake now says it is elsewhere.example, which is not what it was" in caplog.text
    assert ["You have no notes."] == again


async def test_a_realm_that_somebody_else_wrote_is_not_believed(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """A65: the network acts for nobody, and it is recorded."""
    async with Bench.open(plan) as bench:
        await bench.link()
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE networks SET realm = 'other.example'")
    async with Bench.open(plan) as bench:
        said = [await bench.say("!ping"), await bench.say("!notes")]
        await bench.core.audit.flush()
        events = await bench.rows("SELECT event FROM audit WHERE event = 'vault.refused'")

    assert ["pong"] == said[0]
    assert ["fake is not the network it was, so I act for nobody there."] == said[1]
    assert 1 == len(events)
    assert "whether fake is the network it was cannot be told" in caplog.text


async def test_until_a_network_has_said_what_it_is_it_acts_for_nobody(tmp_path: Path) -> None:
    """Whatever it hands over before; and it may be another after a reconnect, and back."""
    core = await Core.open(options(tmp_path))
    core.add_network("fake", FakeAdapter())
    trusted = [core.policy.trusts("fake")]
    for realm in ("fake.example", "elsewhere.example", "fake.example"):
        await core._ready("fake", realm)
        trusted.append(core.policy.trusts("fake"))
    await core.close()

    assert [False, True, False, True] == trusted
    assert ["fake"] == [one.network for one in core.supervisors]


async def test_nothing_is_told_while_a_new_realm_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A65: what is said just then would reach whoever has the name there now."""
    core = await Core.open(options(tmp_path))
    core.add_network("fake", FakeAdapter())
    fits, trusted = core.realms.fits, list[bool]()

    async def watched(network: str, realm: str) -> bool:
        trusted.append(core.policy.trusts(network))
        return await fits(network, realm)

    monkeypatch.setattr(core.realms, "fits", watched)
    for realm in ("fake.example", "fake.example", "elsewhere.example"):
        await core._ready("fake", realm)
    await core.close()

    assert [False, True, False] == trusted


async def test_a_ready_network_is_told_in_the_log(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """With what it says it is."""
    caplog.set_level(logging.INFO, "omnibot.core")
    async with Bench.open(plan, Clock()) as bench:
        await bench.say("!ping")

    assert "fake is ready (fake.example)" in caplog.text
