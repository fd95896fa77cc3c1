"""A34, rollback: yesterday's copy of the database is put back, by somebody who may or by an operator who must.

What must hold: what was unlinked stays unlinked, and who was forgotten stays forgotten.  Their ids stand
in a file beside the database, which a copy of the database does not bring back; whatever it names is
erased again at the start, before any network or browser can come, and its tokens are handed back to
the service once more.  A refresh token that was spent since is refused by the service; then its owner
is told, and links again.

What remains: an account that was linked since is gone, and what was allowed or refused since is open
again.  Start and `check` say that the database is older than the head of the audit that stands signed in
another file beside it.  Whoever can put back both files as well brings everything back, and only an anchor
that was noted elsewhere tells of that.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from attacks.helpers import audited, stored
from keys import key_file
from omnibot import anchors
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider
from omnibot.erased import Ledger
from omnibot.identity import Identity
from omnibot.linking.leaving import Leaving
from omnibot.ports import free_port
from omnibot.renewal import Renewals
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.vault import Keyring, Sealer

LINUS = Identity("fake", "u-3", "", "Linus")


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """A bot that keeps its address over restarts."""
    return Plan(tmp_path, provider=provider, port=free_port())


def put_back(plan: Plan) -> None:
    """Put yesterday's copy in the place of the database, whose bot does not run."""
    folder = plan.directory / "data"
    for rest in ("-wal", "-shm"):
        (folder / f"omnibot.db{rest}").unlink(missing_ok=True)
    shutil.copy(plan.directory / "yesterday.db", folder / "omnibot.db")


@asynccontextmanager
async def rolled_back(plan: Plan) -> AsyncIterator[Bench]:
    """Give the bot as it runs on yesterday's copy.

    Since then, while the service could not be reached, Ada has unlinked and Linus has left; Grace has
    been active, so that her refresh token is another now.
    """
    assert plan.provider is not None
    async with Bench.open(plan) as bench:
        for speaker, login in ((ADA, "ada"), (GRACE, "grace"), (LINUS, "linus")):
            await bench.link(speaker, login)
        await bench.core.database.backup(plan.directory / "yesterday.db")
        plan.provider.expire_access_tokens()
        await bench.say("!notes", GRACE)
        plan.provider.fail("/revoke", times=None)
        await bench.say("!unlink demo", ADA)
        await bench.say("!forget me", LINUS)
        await bench.say("yes", LINUS)
    plan.provider.clear_faults()
    plan.provider.expire_access_tokens()
    put_back(plan)
    async with Bench.open(plan) as bench:
        yield bench


async def _no_catching_up(self: Leaving) -> None:
    """Believe the database."""


async def _no_note(self: Ledger, kind: str, *ids: str) -> None:
    """Keep what is erased nowhere but in the database."""


def believing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leaving, "catch_up", _no_catching_up)


def noting_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "note", _no_note)


async def _no_break(self: Renewals, account: Account, why: str, *, told: bool) -> None:
    """Go on as if the service had not said that the link has ended."""


def believing_in_the_link(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Renewals, "_break", _no_break)


@pytest.mark.attack("A34", sabotage=believing)
async def test_what_was_unlinked_stays_unlinked(plan: Plan, provider: DemoProvider) -> None:
    """The account is not there, its person is told so, and the token is revoked after all."""
    async with rolled_back(plan) as bench:
        await bench.core.revoking.work()
        said = await bench.say("!accounts", ADA)
        asked = await bench.say("!notes", ADA)
        events = await audited(bench, "account.erased_again")

    assert ["You have linked nothing yet. `!link SERVICE` begins."] == said
    assert "To connect" in asked[0]
    assert "ada" in provider.revoked
    assert [{"provider": "demo", "token": "queued"}] == events


@pytest.mark.attack("A34", sabotage=noting_nothing)
async def test_who_was_forgotten_stays_forgotten(plan: Plan, provider: DemoProvider) -> None:
    """No row says who they were, and their token is revoked as well."""
    async with rolled_back(plan) as bench:
        await bench.core.revoking.work()
        known = [row["subject"] for row in await bench.rows("SELECT subject FROM identities ORDER BY subject")]
        left = await stored(bench)
        said = await bench.say("!accounts", LINUS)

    assert ["u-1", "u-2"] == known
    assert ["active"] == left
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == said
    assert "linus" in provider.revoked


@pytest.mark.attack("A34", sabotage=believing)
async def test_it_holds_however_often_the_copy_is_put_back(plan: Plan, provider: DemoProvider) -> None:
    """The file is never emptied: the same copy a week later brings nobody back either."""
    async with rolled_back(plan):
        pass
    put_back(plan)
    async with Bench.open(plan) as bench:
        left = await stored(bench)
        people = await bench.rows("SELECT id FROM people")

    assert ["active"] == left
    assert 2 == len(people)


@pytest.mark.attack("A34", sabotage=noting_nothing)
async def test_an_older_link_to_the_same_account_does_not_come_back(plan: Plan) -> None:
    """A link that another took the place of is gone with that other."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.core.database.backup(plan.directory / "yesterday.db")
        await bench.link(ADA, "ada")
        await bench.say("!unlink demo", ADA)
    put_back(plan)
    async with Bench.open(plan) as bench:
        left = await stored(bench)

    assert [] == left


def comparing_nothing(patch: pytest.MonkeyPatch) -> None:
    def no_points(path: Path, sealer: Sealer) -> anchors.Anchors:
        return anchors.Anchors()

    patch.setattr(anchors, "read", no_points)


@pytest.mark.attack("A34", sabotage=comparing_nothing)
async def test_it_is_noticed_that_the_database_is_older(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """By the start, by what `check` asks, and by who verifies; also after it has grown past what it was."""
    data = plan.directory / "data"
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.core.audit.flush()
        await bench.core.database.backup(plan.directory / "yesterday.db")
        for _ in range(3):
            await bench.say("!notes", ADA)
    keyring = Keyring.load(key_file(plan))
    before = anchors.anchored(data, Sealer(keyring))
    put_back(plan)
    found = anchors.anchored(data, Sealer(keyring))
    caplog.clear()
    async with Bench.open(plan) as bench:
        told = [one.getMessage() for one in caplog.records if "omnibot audit verify" in one.getMessage()]
        for _ in range(6):
            await bench.say("!notes", ADA)
        grown = await bench.core.audit.verify()

    assert ("", False) == (before.why, before.older)
    assert found.older
    assert "The record ends with entry" in found.why
    assert 1 == len(told)
    assert "the anchor of" in grown.why


@pytest.mark.attack("A34", sabotage=believing_in_the_link)
async def test_a_refresh_token_that_was_spent_since_ends_in_words(plan: Plan, provider: DemoProvider) -> None:
    """The service takes it for a stolen one: the account is broken, and Grace is asked to link again."""
    async with rolled_back(plan) as bench:
        said = await bench.say("!notes", GRACE)
        left = await stored(bench)
        listed = await bench.say("!accounts", GRACE)
        why = await audited(bench, "account.broken")
        await bench.link(GRACE, "grace")
        again = await bench.say("!notes", GRACE)

    assert "no longer accepts your link" in said[0]
    assert "To connect **Demo notes**" in said[0]
    assert ["broken"] == left
    assert "(no longer accepted: link it again)" in listed[0]
    assert [{"provider": "demo", "why": "invalid_grant"}] == why
    assert ["You have no notes."] == again
