"""What an operator asks of a bot is done, or refused in a sentence that says what to do."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import omnibot
from keys import admin, all_good, do, key_file, put_on_top, standing, verified
from omnibot import administration, vault
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import ConfigError, KeyMissing, Problem, UserError
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.testing.fakes import FakeAdapter
from omnibot.vault import Keyring

REALM = "fake.example"


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return Plan(tmp_path, provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        await bench.say("!ping")  # the network has said what it is
        yield bench


async def hold(bench: Bench) -> str:
    """Let Ada link an account, and Grace authorise the same one; return the short id of hers, which is held."""
    await bench.link(ADA, "ada")
    await bench.say("!link demo", GRACE)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(GRACE), "ada")
        await bench.say(f"!confirm {browser.code}", GRACE)
    [held] = await do(bench, "accounts held")
    return str(held["id"])


async def statuses(bench: Bench) -> list[object]:
    return [row["status"] for row in await bench.rows("SELECT status FROM accounts ORDER BY created")]


# ------------------------------------------------------------------------- being asked


async def test_what_is_no_operation_is_refused(bench: Bench) -> None:
    """By its name, or for its arguments; nothing is looked up by a name that comes from outside."""
    for op in ("perform", "_retire", "keys", "", "status "):
        with pytest.raises(UserError, match="knows no operation"):
            await do(bench, op)
    with pytest.raises(UserError, match='"status" does not take these arguments'):
        await do(bench, "status", name="x")
    with pytest.raises(UserError, match='"networks accept" does not take these arguments'):
        await do(bench, "networks accept")


# ------------------------------------------------------------------------------ status


async def test_the_status_tells_how_it_is(bench: Bench) -> None:
    """Numbers and names of networks; nothing of any person."""
    await bench.say("!link demo", GRACE)
    await hold(bench)
    status = await do(bench, "status")
    [network] = status["networks"]

    assert (True, omnibot.__version__) == (status["running"], status["version"])
    assert 0 <= status["uptime"] < 60
    assert abs(time.time() - network.pop("since")) < 60
    assert {"name": "fake", "state": "ready", "realm": REALM, "says": REALM, "trusted": True} == network
    assert ("open", {}, 0) == tuple(status["vault"][name] for name in ("state", "lost", "unfinished"))
    assert [(bench.core.keyring.newest.id, True)] == [(one["id"], one["rows"] > 0) for one in status["vault"]["keys"]]
    assert {"active": 1, "pending": 0, "held": 1, "broken": 0} == status["accounts"]
    assert (2, 0, 0, 0) == tuple(status[name] for name in ("people", "flows", "follows", "revocations"))
    assert status["database_bytes"] > 4096
    assert status["memory_bytes"] > 1_000_000
    assert not [name for name in ("ada", "Ada", "u-1") if name in str(status)]


async def test_the_status_tells_of_an_unfinished_rotation(bench: Bench) -> None:
    """And of rows whose key is not there."""
    await bench.link()
    await bench.core.delivery._keep(ADA, _reply(), bench.clock() + 60, "n-1")
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE notices SET key_id = 'cafe0001'")
    put_on_top(key_file(bench.plan))
    bench.core.keyring.adopt(Keyring.load(key_file(bench.plan)))
    told = (await do(bench, "status"))["vault"]

    assert (0, told["unfinished"]) == tuple(one["rows"] for one in told["keys"])
    assert told["unfinished"] > 0
    assert {"cafe0001": 1} == told["lost"]


def _reply() -> Any:
    from omnibot.message import Reply

    return Reply("a word")


async def test_memory_is_not_told_where_the_system_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than something else under that name."""
    monkeypatch.setattr("sys.platform", "darwin")

    assert administration._resident() is None


# ---------------------------------------------------------------------------- networks


async def test_a_network_that_is_what_it_was_has_nothing_to_accept(bench: Bench) -> None:
    """And one that is not there is named, with those that are."""
    with pytest.raises(UserError, match=r"fake is what it was \(fake\.example\)"):
        await do(bench, "networks accept", name="fake")
    with pytest.raises(UserError, match=r'No network is called "libera"\. There are: fake\.'):
        await do(bench, "networks accept", name="libera")


async def test_a_network_of_which_nothing_is_known_needs_no_accepting(bench: Bench) -> None:
    """Its first connect records it."""
    await bench.core.realms.forget("fake")
    with pytest.raises(UserError, match="what it says at its first connect is taken"):
        await do(bench, "networks accept", name="fake")


async def test_a_network_whose_row_was_changed_is_accepted_anew(plan: Plan) -> None:
    """Nobody can say any more what it was; the operator can."""
    async with Bench.open(plan) as bench:
        await bench.link()
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE networks SET realm = 'elsewhere'")
    async with Bench.open(replace(plan, networks=(FakeAdapter(),))) as bench:
        await bench.settle()
        [before] = await do(bench, "networks list")
        done = await do(bench, "networks accept", name="fake")
        [after] = await do(bench, "networks list")
        said = await bench.say("!notes")

    assert ("?", False) == (before["realm"], before["trusted"])
    assert {"name": "fake", "was": "?", "is": REALM} == done
    assert (REALM, True) == (after["realm"], after["trusted"])
    assert ["You have no notes."] == said


# ------------------------------------------------------------------------ held accounts


async def test_a_held_account_is_listed(bench: Bench) -> None:
    """Who asks, since when, who has it."""
    short = await hold(bench)
    [held] = await do(bench, "accounts held")
    row = (await bench.rows("SELECT id, created FROM accounts WHERE status = 'held'"))[0]

    assert str(row["id"]).startswith(short)
    assert {
        "id": short,
        "service": "demo@default",
        "login": "ada",
        "asked_by": "fake:u-2",
        "display": "Grace",
        "owners": ["fake:u-1"],
        "since": row["created"],
    } == held


async def test_an_id_that_is_none_is_refused(bench: Bench) -> None:
    """Too short, unknown, or decided since."""
    short = await hold(bench)
    for wrong, words in ((short[:3], "too short for an id"), ("ffff0000", "No held account is called")):
        with pytest.raises(UserError, match=words):
            await do(bench, "accounts allow", account=wrong)
    await do(bench, "accounts allow", account=short.upper())
    with pytest.raises(UserError, match="No held account is called"):
        await do(bench, "accounts refuse", account=short)


# -------------------------------------------------------------------------------- keys


async def test_a_rotation_makes_one_key(bench: Bench) -> None:
    """Copied to the file before any row is under it; the rows are told, and what to retire."""
    await bench.link()
    old = bench.core.keyring.newest.id
    await bench.core.audit.flush()  # its head is signed
    done = await do(bench, "keys rotate")

    assert [done["key"], old] == Keyring.load(key_file(bench.plan)).ids == bench.core.keyring.ids
    assert [old] == done["older"]
    assert done["rows"] == standing(bench.plan).rows[done["key"]]
    assert [("keys.rotated", "")] == [
        (row["event"], row["pseudonym"]) for row in await _audit(bench) if str(row["event"]).startswith("keys.")
    ]


async def _audit(bench: Bench) -> list[dict[str, object]]:
    await bench.core.audit.flush()
    return await bench.rows("SELECT * FROM audit ORDER BY seq")


async def test_an_unfinished_rotation_is_gone_on_with(bench: Bench) -> None:
    """No other key is made while rows wait to be moved to the newest."""
    await bench.link()
    newest = put_on_top(key_file(bench.plan))
    done = await do(bench, "keys rotate")

    assert newest == done["key"]
    assert 2 == len(bench.core.keyring.ids)
    assert [newest] == list(standing(bench.plan).rows)


async def test_a_key_put_there_by_hand_is_taken_up_without_any_row(bench: Bench) -> None:
    """As where the file is a credential: there is nothing to move, and no other key to make."""
    newest = put_on_top(key_file(bench.plan))
    async with bench.core.database.transaction() as tx:
        await tx.execute("DELETE FROM networks")
    done = await do(bench, "keys rotate")

    assert (newest, 0) == (done["key"], done["rows"])


async def test_a_key_that_is_needed_and_gone_stops_the_rotation(bench: Bench) -> None:
    """Somebody put another file in its place."""
    await bench.link()
    old = bench.core.keyring.newest.id
    key_file(bench.plan).unlink()
    vault.new_key_file(key_file(bench.plan))
    for op in ("keys rotate", "keys retire"):
        with pytest.raises(UserError, match=rf"Key {old} is not in .*omnibot\.key any more, and \d+ rows stand under"):
            await do(bench, op)

    assert [old] == bench.core.keyring.ids
    assert ["You have no notes."] == await bench.say("!notes")


async def test_a_locked_vault_changes_no_key(bench: Bench) -> None:
    """The key that is missing may be the one that matters."""
    bench.core.keyring.lock("cafe0001")
    before = key_file(bench.plan).read_text()
    for op in ("keys rotate", "keys retire"):
        with pytest.raises(KeyMissing, match="cafe0001"):
            await do(bench, op)

    assert before == key_file(bench.plan).read_text()


async def test_two_rotations_at_once_are_one(bench: Bench) -> None:
    """The second is refused while the first runs."""
    await bench.link()
    one = admin(bench)
    first = asyncio.create_task(one.perform("keys rotate", {}, lambda _: None))
    await asyncio.sleep(0)
    for op in ("keys rotate", "keys retire"):
        with pytest.raises(UserError, match="keys are being changed just now"):
            await one.perform(op, {}, lambda _: None)
    await first

    assert 2 == len(bench.core.keyring.ids)


async def test_a_key_in_use_is_not_retired(bench: Bench) -> None:
    """The only one, the newest, one that rows or shown codes need, or one that is not there."""
    await bench.link()
    only = bench.core.keyring.newest.id
    with pytest.raises(UserError, match=f"There is only key {only}"):
        await do(bench, "keys retire")
    newest = put_on_top(key_file(bench.plan))
    for key, words in (
        (newest, f"Key {newest} is the newest"),
        ("cafe0001", f'no key "cafe0001". There are: {newest}, {only}'),
        (only, rf"\d+ rows stand under key {only}"),
        ("", rf"\d+ rows stand under key {only}"),
    ):
        with pytest.raises(UserError, match=words):
            await do(bench, "keys retire", key=key)

    assert [newest, only] == Keyring.load(key_file(bench.plan)).ids


async def test_a_code_on_a_screen_outlives_a_rotation(bench: Bench) -> None:
    """It is the same at a reload, it is good, and its key stays as long as it may be typed."""
    old = bench.core.keyring.newest.id
    await bench.say("!link demo")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), "ada")
        shown = browser.code
        await do(bench, "keys rotate")
        await browser.open(browser.url)
        with pytest.raises(UserError, match=f"1 codes that browsers show just now were made with key {old}"):
            await do(bench, "keys retire")
        again = browser.code
        said = await bench.say(f"!confirm {shown}")
    retired = await do(bench, "keys retire")

    assert shown == again
    assert said[0].startswith("Linked")
    assert [old] == retired["retired"]
    assert all_good(await verified(bench))


async def test_one_key_of_several_is_retired(bench: Bench) -> None:
    """By its id; without one, all that are older."""
    first = bench.core.keyring.newest.id
    second = (await do(bench, "keys rotate"))["key"]
    third = (await do(bench, "keys rotate"))["key"]
    fourth = (await do(bench, "keys rotate"))["key"]
    await do(bench, "keys retire", key=second)
    left = bench.core.keyring.ids
    await do(bench, "keys retire")

    assert [fourth, third, first] == left
    assert [fourth] == bench.core.keyring.ids == Keyring.load(key_file(bench.plan)).ids


@pytest.mark.parametrize("credential", [True, False])
async def test_a_key_file_that_cannot_be_written_is_changed_by_hand(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, credential: bool
) -> None:
    """It says how, and goes on with what it then finds; nothing is under a key that is only in memory."""
    await bench.link()
    old, path = bench.core.keyring.newest.id, key_file(bench.plan)

    def refuses(*_: object) -> Any:
        raise ConfigError(Problem(str(path), "key_file", "cannot be written (Read-only file system)"))

    if credential:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    else:
        monkeypatch.setattr(administration, "add_key", refuses)
        monkeypatch.setattr(administration, "remove_key", refuses)
    with pytest.raises(UserError, match=r"omnibot keys new --file NEW.*put its line above.*omnibot keys rotate"):
        await do(bench, "keys rotate")
    before = bench.core.keyring.ids, Keyring.load(path).ids
    newest = put_on_top(path)
    done = await do(bench, "keys rotate")
    with pytest.raises(UserError, match=f"Nothing stands under key {old} any more: take the line"):
        await do(bench, "keys retire")

    assert ([old], [old]) == before
    assert newest == done["key"]
    assert [newest, old] == bench.core.keyring.ids == Keyring.load(path).ids
