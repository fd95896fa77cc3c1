"""A60, erase really erases: somebody says `!forget me`, and then somebody else looks for what is left.

What must hold: neither the database nor its log holds a name, a login, an identity, a key or a token of
theirs, sealed or not; what the audit says of them stands under a pseudonym that nothing explains any more.
A backup made before holds their names until it is deleted, and their tokens for nobody: the key under
which theirs is wrapped goes with `omnibot keys rotate` and `omnibot keys retire`.  Such a backup, put
back, brings nobody back.  Who speaks again is somebody new.

What remains: the operator's own copies of the old master key, and what the services themselves keep.
"""

import shutil
import sqlite3
import tarfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import audited
from attacks.tampering import REFUSAL, rows
from keys import do, key_file
from omnibot import accounts, administration, restoring
from omnibot.backup import back_up
from omnibot.database import Database
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.erased import Ledger
from omnibot.errors import VaultError
from omnibot.identity import Identity
from omnibot.linking.leaving import Leaving
from omnibot.message import Reply
from omnibot.ports import free_port
from omnibot.testing.bench import GRACE, Bench, Plan
from omnibot.vault import Grants, Keyring, Opener, PersonKeys, Sealer

LEAVER = Identity("fake", "u-canary-subject", "", "Canary Display")
LOGIN = "canary-login"


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """A bot that keeps its address over restarts."""
    return Plan(tmp_path, provider=provider, port=free_port())


async def live(bench: Bench) -> None:
    """Let the one who will leave do all that leaves a trace, and somebody else as well."""
    room = bench.network.room("ops", LEAVER, GRACE)
    await bench.link(GRACE, "grace")
    await bench.link(LEAVER, LOGIN)
    await bench.say("!notes", LEAVER, room)
    await bench.say("!use demo", LEAVER)
    await bench.say("!link demo", LEAVER)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(LEAVER), LOGIN)
    bench.network.close_dms(LEAVER)
    await bench.core.delivery.to_identity(LEAVER, Reply("You may read this later."))
    bench.network.open_dms(LEAVER)


async def leave(bench: Bench) -> list[str]:
    """Let them leave; return what they are told."""
    await bench.say("!forget me", LEAVER)
    return await bench.say("yes", LEAVER)


def secrets_of(plan: Plan, subject: str) -> list[bytes]:
    """Return what stands sealed of the person whose identity *subject* is, and their id, while the bot runs."""
    with closing(sqlite3.connect(plan.directory / "data" / "omnibot.db")) as connection:
        connection.row_factory = sqlite3.Row
        person = connection.execute("SELECT person FROM identities WHERE subject = ?", (subject,)).fetchone()["person"]
        people = connection.execute("SELECT public_key, private_key FROM people WHERE id = ?", (person,)).fetchall()
        sealed = connection.execute("SELECT token, id FROM accounts WHERE person = ?", (person,)).fetchall()
    found = [value for row in (*people, *sealed) for value in tuple(row) if isinstance(value, bytes)]
    return [*found, person.encode()]


def found_in(plan: Plan, canaries: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Return each file of the database in which one of *canaries* stands, and which."""
    files = sorted((plan.directory / "data").glob("omnibot.db*"))
    contents = {file.name: file.read_bytes().lower() for file in files}
    return [(name, one[:40]) for one in canaries for name, content in contents.items() if one.lower() in content]


async def backed_up(bench: Bench) -> Path:
    """Return the backup that `omnibot backup` makes now."""
    file = bench.plan.directory / "yesterday.tar"
    await back_up(bench.core, str(file), 0, lambda _: None)
    return file


def database_of(backup: Path) -> Path:
    """Return the database that is in *backup*, as a file by itself."""
    with tarfile.open(backup) as archive:
        archive.extract("omnibot.db", backup.parent, filter="data")
    return backup.parent / "omnibot.db"


def readable(backup: Path, keyring: Keyring) -> list[str]:
    """Return the tokens that *keyring* opens in *backup*, for whoever holds both and asks no tag.

    Rows are taken for rows of each key at hand: an attacker would try that.
    """
    grants, found = Grants(), []
    opener = Opener(keyring, grants)
    with closing(sqlite3.connect(backup)) as connection:
        connection.row_factory = sqlite3.Row
        people = {row["id"]: dict(row) for row in connection.execute("SELECT * FROM people")}
        linked = [dict(row) for row in connection.execute("SELECT * FROM accounts")]
    for row in linked:
        account = accounts.from_row(Unchecked(keyring), row)
        for key in keyring.ids:
            keys = _keys(people[account.person], key)
            with grants.for_upkeep(account.person, account.id, "theft") as grant:
                try:
                    head = account.head(ORIGIN[0])
                    found.append(opener.open(grant, keys, account.id, head, account.token).access)
                except VaultError:
                    continue
    return found


ORIGIN = [""]
"""Origin of the demo service's API, which every seal repeats."""


class Unchecked(Sealer):
    """Believes every row."""

    def check(self, tagged: Any, row: Any) -> None:
        """Believe it."""


def _keys(row: dict[str, Any], key: str) -> PersonKeys:
    return PersonKeys(row["id"], row["public_key"], row["private_key"], key)


# ------------------------------------------------------------------------------------------ sabotages


async def _no_checkpoint(self: Database) -> None:
    """Leave what was erased in the write-ahead log."""


async def _nothing(self: object, *_: object) -> None:
    """Erase nothing."""


def leaving_the_log(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Database, "checkpoint", _no_checkpoint)


def leaving_what_belongs_to_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Leaving, "_erase_identity", _nothing)


def noting_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "note", _nothing)


def keeping_old_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(administration, "remove_key", lambda *_: None)


# ---------------------------------------------------------------------------------------------- tests


@pytest.mark.attack("A60", sabotage=leaving_the_log)
async def test_nothing_of_them_is_on_the_disk(plan: Plan, provider: DemoProvider) -> None:
    """Not in the database, not in its log, not while the bot runs and not after; others are whole."""
    async with Bench.open(plan) as bench:
        await live(bench)
        await bench.core.audit.flush()
        canaries = [*secrets_of(plan, LEAVER.subject), LEAVER.subject.encode(), LOGIN.encode(), b"Canary Display"]
        tokens = [value.encode() for value in provider._ledger._tokens]
        before = {one for _, one in found_in(plan, canaries)}
        said = await leave(bench)
        running = found_in(plan, [*canaries, *tokens])
        await bench.core.revoking.work()
        notes = await bench.say("!notes", GRACE)
    stopped = found_in(plan, [*canaries, *tokens])

    assert len(canaries) == len(before), "what is looked for was there"
    assert "I have forgotten you" in said[0]
    assert [] == running
    assert [] == stopped
    assert LOGIN in provider.revoked
    assert ["You have no notes."] == notes


@pytest.mark.attack("A60", sabotage=leaving_what_belongs_to_nobody)
async def test_no_row_names_them(plan: Plan) -> None:
    """Whatever table it is in, and whether it belongs to a person or not."""
    async with Bench.open(plan) as bench:
        await live(bench)
        await Leaving(bench.core.links).forget(LEAVER)  # asked in private, they would have been told what waits
        tables = [row["name"] for row in await bench.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        content = {name: await bench.rows(f"SELECT * FROM {name}") for name in tables}  # noqa: S608 - SQLite's names
    named = [name for name, found in content.items() if "canary" in repr(found).lower()]

    assert [] == named


@pytest.mark.attack("A60", sabotage=lambda patch: patch.setattr(Leaving, "_erase", _erase_accounts_alone))
async def test_the_audit_speaks_of_nobody(plan: Plan) -> None:
    """Its lines stay and hang together; the name in them stands nowhere else, and the next of theirs is another."""
    async with Bench.open(plan) as bench:
        await live(bench)
        await bench.core.audit.flush()
        (known,) = await bench.rows(
            "SELECT p.pseudonym, p.id FROM people p JOIN identities i ON i.person = p.id WHERE i.subject = ?",
            LEAVER.subject,
        )
        await leave(bench)
        explained = await bench.rows("SELECT * FROM people WHERE pseudonym = ?", known["pseudonym"])
        lines = await bench.rows("SELECT event FROM audit WHERE pseudonym = ?", known["pseudonym"])
        chain = await bench.core.audit.first_broken()

        assert [] == explained

        await bench.link(LEAVER, LOGIN)
        again = await bench.rows(
            "SELECT p.pseudonym, p.id FROM people p JOIN identities i ON i.person = p.id WHERE i.subject = ?",
            LEAVER.subject,
        )

    assert {"link.confirmed", "command", "person.forgotten"} <= {line["event"] for line in lines}
    assert chain is None
    assert {known["pseudonym"], known["id"]}.isdisjoint(again[0].values())


async def _erase_accounts_alone(self: Leaving, tx: Any, person: str, *, again: bool = False) -> Any:
    """Keep who it was."""
    row = (await tx.rows("SELECT pseudonym FROM people WHERE id = ?", (person,)))[0]
    await tx.execute("DELETE FROM accounts WHERE person = ?", (person,))
    from omnibot.linking.leaving import _Left

    return _Left(row["pseudonym"], ())


@pytest.mark.attack("A60", sabotage=keeping_old_keys)
async def test_an_older_backup_is_read_by_nobody_once_its_key_is_retired(plan: Plan, provider: DemoProvider) -> None:
    """Whoever has the backup and the key file of today opens no token in it; a bot put on it acts for nobody."""
    ORIGIN[0] = provider.origin
    async with Bench.open(plan) as bench:
        await live(bench)
        backup = database_of(await backed_up(bench))
        before = readable(backup, Keyring.load(key_file(plan)))
        await leave(bench)
        await do(bench, "keys rotate")
        await do(bench, "keys retire")
        notes = await bench.say("!notes", GRACE)
    after = readable(backup, Keyring.load(key_file(plan)))
    elsewhere = replace(plan, directory=plan.directory / "elsewhere", port=free_port())
    (elsewhere.directory / "data").mkdir(parents=True)
    shutil.copy(key_file(plan), key_file(elsewhere))
    shutil.copy(backup, elsewhere.directory / "data" / "omnibot.db")
    async with Bench.open(elsewhere) as bench:
        said = await bench.say("!notes", LEAVER)

    assert 3 == len(before), "Grace's, and two of who left"
    assert ["You have no notes."] == notes
    assert [] == after
    assert said[0].startswith(REFUSAL)


@pytest.mark.attack("A60", sabotage=noting_nothing)
async def test_a_restore_brings_nobody_back(plan: Plan) -> None:
    """Not even where the old key is there still: who left is erased again before anybody can come."""
    backup = plan.directory / "yesterday.db"
    async with Bench.open(plan) as bench:
        await live(bench)
        await bench.core.database.backup(backup)
        await leave(bench)
    for rest in ("-wal", "-shm"):
        (plan.directory / "data" / f"omnibot.db{rest}").unlink(missing_ok=True)
    shutil.copy(backup, plan.directory / "data" / "omnibot.db")
    canaries = [LEAVER.subject.encode(), LOGIN.encode(), b"Canary Display"]
    there = found_in(plan, canaries)
    async with Bench.open(plan) as bench:
        running = found_in(plan, canaries)
        events = await audited(bench, "person.erased_again")
    stopped = found_in(plan, canaries)

    assert len(canaries) == len(there)
    assert [] == running == stopped
    assert [{"accounts": 2}] == events
    assert ["u-2"] == [row["subject"] for row in rows(plan, "SELECT subject FROM identities")]


@pytest.mark.attack("A60", sabotage=lambda patch: patch.setattr(restoring, "_unite_erased", lambda *_: None))
async def test_nor_does_a_restore_of_a_backup_by_the_bots_own_command(plan: Plan) -> None:
    """`omnibot restore` takes over who has left since, so that they are erased again at the start."""
    async with Bench.open(plan) as bench:
        await live(bench)
        backup = await backed_up(bench)
        await leave(bench)
    ids = Keyring.load(key_file(plan)).ids
    restoring.prepare(backup, plan.directory / "data", ids).commit([])
    canaries = [LEAVER.subject.encode(), LOGIN.encode(), b"Canary Display"]
    there = found_in(plan, canaries)
    async with Bench.open(plan) as bench:
        events = await audited(bench, "person.erased_again")
        said = await bench.say("!notes", GRACE)

    assert len(canaries) == len(there)
    assert [] == found_in(plan, canaries)
    assert [{"accounts": 2}] == events
    assert ["You have no notes."] == said
