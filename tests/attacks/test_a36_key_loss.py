"""A36, key loss: the key file is gone, or is another.

What must hold: the bot starts.  It opens no token and stores nothing that a key should protect, for
nobody, not even under the key that it does have: rows under two keys, one of them lost, would be
beyond mending.  Its log names the key that is missing, by its id; commands that need no account
work.  With the right key back, everything is as it was.

What remains: without a copy of the key, every link has to be made again.
"""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.helpers import fetch
from attacks.tampering import REFUSAL, refusals, rows
from omnibot import core as assembly
from omnibot.app import load_keyring
from omnibot.audit import Audit
from omnibot.core import Options
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.ports import free_port
from omnibot.testing import bench as benches
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Clock, Plan
from omnibot.vault import Keyring, new_key_file

LINUS = Identity("fake", "u-3", "", "Linus")
PROTECTED = ("people", "identities", "accounts", "flows", "waiting", "follows", "notices", "revocations", "networks")


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """A bot that keeps its address over restarts."""
    return Plan(tmp_path, provider=provider, port=free_port())


@pytest.fixture(params=["another key", "an empty file", "no file"])
def loss(request: pytest.FixtureRequest, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the key is lost, at the next start of a bench; the bench reads its file as `omnibot run` does."""
    options = benches._options

    def as_run_does(plan: Plan, clock: Clock) -> Options:
        made = options(replace(plan, directory=plan.directory / "unused"), clock)
        return replace(made, data_dir=plan.directory / "data", keyring=load_keyring(plan.directory / "omnibot.key"))

    (plan.directory / "unused").mkdir()
    monkeypatch.setattr(benches, "_options", as_run_does)
    new_key_file(plan.directory / "omnibot.key")
    return str(request.param)


def lose(plan: Plan, loss: str) -> None:
    """Put the key aside, and in its place what *loss* says."""
    key = plan.directory / "omnibot.key"
    key.rename(plan.directory / "kept.key")
    if loss == "another key":
        new_key_file(key)
    elif loss == "an empty file":
        key.touch(mode=0o600)


def kept(plan: Plan) -> dict[str, list[dict[str, object]]]:
    """Return every row that stands under a key."""
    return {table: rows(plan, f"SELECT * FROM {table}") for table in PROTECTED}  # noqa: S608


async def _lock_nothing(keyring: Keyring, database: object) -> None:
    """Look at no row, so that whatever key there is counts."""


async def _end_unsigned(audit: Audit) -> None:
    """Leave the record as it is: it checks what it has signed, and would let no unlocked bot end in peace."""


def unlocked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assembly, "_lock_if_missing", _lock_nothing)
    patch.setattr(Audit, "end", _end_unsigned)


@pytest.mark.attack("A36")
async def test_without_its_key_nothing_is_opened_and_nothing_stored(
    plan: Plan, provider: DemoProvider, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever comes is refused and told so; nothing goes out, nothing is written, and all is there afterwards."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.say("!link demo", GRACE)
        pending = bench.link_for(GRACE)
        bench.network.close_dms(LINUS)
        await bench.say("!link demo", LINUS, bench.network.room("ops"))
        lost = bench.core.keyring.ids[0]
    before = kept(plan)
    lose(plan, loss)
    caplog.clear()
    async with Bench.open(plan) as bench:
        asked = len(provider.requests)
        said = [await bench.say(text, one) for text in ("!notes", "!link demo") for one in (ADA, GRACE, MALLORY)]
        page = await fetch(pending)
        served = await bench.say("!ping"), await bench.say("!help ping", MALLORY)
        refused = await refusals(bench)
        requests = [one for one in provider.requests[asked:] if "/.well-known/" not in one]
        await bench.say("!ping", LINUS)
    named = [record for record in caplog.records if lost in record.getMessage() and record.levelno >= logging.ERROR]

    assert before == kept(plan)
    assert [] == requests
    assert [True] * len(said) == [texts[0].startswith(REFUSAL) for texts in said]
    assert 503 == page.status
    assert ["pong"] == served[0]
    assert served[1]
    assert {"KeyMissing"} == {one.why for one in refused}
    assert named

    (plan.directory / "kept.key").replace(plan.directory / "omnibot.key")
    async with Bench.open(plan) as bench:
        assert ["You have no notes."] == await bench.say("!notes")
        assert 200 == (await fetch(pending)).status
        assert "To connect" in " ".join(await bench.say("!ping", LINUS)), "what could not be said before"


@pytest.mark.attack("A36", sabotage=unlocked)
async def test_another_key_stores_nothing_beside_the_lost_one(plan: Plan) -> None:
    """Where rows want a key that is not here, the key that is here makes no new ones either."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
    before = kept(plan)
    lose(plan, "another key")
    async with Bench.open(plan) as bench:
        said = await bench.say("!link demo", MALLORY)

    assert before == kept(plan)
    assert said[0].startswith(REFUSAL)
