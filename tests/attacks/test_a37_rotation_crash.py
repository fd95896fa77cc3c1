"""A37, a crash in the middle of a key rotation.

Whoever can make the bot crash, or the power go, while keys are rotated, could otherwise leave rows
that no key opens: every account would be lost.

What must hold: the process may be killed after any commit, and after either change of the key file.
Then every row can be read with the keys in the file; the bot starts and serves; the next `keys rotate`
goes on with the rest and makes no other key.  With `--renew`, each person has the old key pair or the
new one, and their tokens open with it.

What remains: a disk that loses what it said it had written.
"""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from attacks import rotating
from attacks.helpers import answered, arrive, stopping
from keys import a_row_of_everything, all_good, do, standing, verified
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.ports import free_port
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import Keyring

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """A bot that keeps its address over restarts."""
    return Plan(tmp_path / "whole", provider=provider, port=free_port())


async def lived(plan: Plan, browser: Browser) -> None:
    """Let a bot come by a row of every kind, and end; *browser* stops at the service, and shows a code after it."""
    plan.directory.mkdir()
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.link(GRACE, "grace")
        await answered(bench, browser, MALLORY, "mallory")
        bench.network.close_dms(GRACE)
        await bench.say("!link demo", GRACE, bench.network.room("ops"))
        await a_row_of_everything(bench)
        bench.provider.fail("/revoke", status=503)
        await bench.say("!unlink demo", GRACE)
        await arrive(browser, browser.url)
        await bench.core.follows.close()  # what is looked at meanwhile is nothing of this


async def crashed(folder: Path, provider: DemoProvider, **order: Any) -> list[dict[str, Any]]:
    """Return what was found after a kill at each step, the last being a rotation that came to its end."""
    told = {"origin": provider.origin, "renew": False, "sabotage": os.environ.get("SABOTAGE", ""), **order}
    (folder / "order.json").write_text(json.dumps(told))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "attacks.rotating", str(folder)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert 0 == process.returncode
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.attack("A37", sabotage=lambda patch: patch.setenv("SABOTAGE", rotating.KEY_LAST))
@pytest.mark.parametrize("renew", [False, True], ids=["moved", "renewed"])
async def test_after_a_kill_at_any_step_every_row_can_be_read(
    tmp_path: Path, plan: Plan, provider: DemoProvider, renew: bool
) -> None:
    """At once, and after the rotation has been gone on with, which leaves nothing under the older key."""
    async with stopping(plan) as browser:
        await lived(plan, browser)
    found = await crashed(tmp_path, provider, renew=renew)
    keys = [len(one["after"]["keys"]) for one in found]

    assert [rotating.KILLED] * (len(found) - 1) + [0] == [one["status"] for one in found]
    assert 8 < len(found)
    assert [] == [wrong for one in found for when in ("between", "after") for wrong in one[when]["wrong"]]
    assert {0} == {one["resumed"] for one in found}
    assert [[one["after"]["keys"][0]] for one in found] == [list(one["after"]["under"]) for one in found]
    assert [True] == sorted({len(one["between"]["under"]) == 2 for one in found})[-1:], "one died half-way"
    # Behind the last five steps nothing is left to go on with: they empty the log and write and anchor the record.
    assert {2} == set(keys[:-5]), "a rotation that is gone on with makes no other key"


@pytest.mark.attack("A37")
async def test_a_bot_on_half_rotated_rows_serves_everybody(tmp_path: Path, plan: Plan, provider: DemoProvider) -> None:
    """The links, the code that a browser showed before, the rest of the rotation while people work."""
    async with stopping(plan) as browser:
        await lived(plan, browser)
        await crashed(tmp_path, provider, keep=4)
        shutil.rmtree(plan.directory)
        (tmp_path / "kept").rename(plan.directory)
        before = standing(plan).rows
        async with Bench.open(plan) as bench:
            await bench.core.follows.close()  # likewise: what it says of a follow may come at any time
            await bench.settle()
            said = await bench.say("!notes", ADA)
            confirmed = await bench.say(f"!confirm {browser.code}", MALLORY)
            done = await do(bench, "keys rotate")
            again = await bench.say("!notes", MALLORY)
            good = all_good(await verified(bench))

    assert 2 == len(before)
    assert ["You have no notes."] == said == again
    assert confirmed[0].startswith("Linked")
    assert good
    assert [done["key"]] == list(standing(plan).rows)
    assert 2 == len(Keyring.load(plan.directory / "omnibot.key").ids)
