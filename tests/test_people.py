"""An identity belongs to one person, and what is remembered of people is never older than what was written."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnibot import accounts, people
from omnibot.accounts import Account
from omnibot.database import Database
from omnibot.errors import KeyMissing, Tampered
from omnibot.identity import Identity
from omnibot.people import People
from omnibot.testing.bench import ADA, GRACE
from omnibot.vault import Grants, Keyring, Opener, Sealer

KEYRING = Keyring([b"k" * 32])
SEALER = Sealer(KEYRING)


class Counting:
    """Counts how often a database is read."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        rows = database.rows

        async def counted(*args: Any) -> Any:
            self.reads += 1
            return await rows(*args)

        monkeypatch.setattr(database, "rows", counted)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
def crowd(database: Database) -> People:
    return People(database, SEALER, Opener(KEYRING, Grants()), clock=lambda: 5.0)


def account_of(person: str, **changes: Any) -> Account:
    account = Account(
        id="a-1",
        person=person,
        provider="demo",
        instance="default",
        alias="ada",
        external="u-ada",
        login="ada",
        name="Ada",
        avatar="",
        linked_by=ADA,
        reach=(ADA,),
        status="active",
        default=True,
        generation=1,
        refreshing=0,
        expires=None,
        scopes=(),
        token=b"sealed",
        created=5.0,
    )
    return replace(account, **changes)


# ------------------------------------------------------------------------------------------ making


async def test_who_never_linked_anything_is_nobody(crowd: People, database: Database) -> None:
    """Looking makes no one."""
    assert await crowd.find(ADA) is None
    assert [] == await database.read("SELECT * FROM people")


async def test_a_person_is_made_once(crowd: People, database: Database) -> None:
    """Twenty at once find the same; another identity is another person."""
    found = await asyncio.gather(*(crowd.ensure(ADA) for _ in range(20)))
    other = await crowd.ensure(GRACE)
    rows = await database.read("SELECT * FROM people")

    assert 1 == len({one.person for one in found})
    assert 2 == len(rows)
    assert other.person != found[0].person
    assert 2 == len({row["pseudonym"] for row in rows})
    assert found[0].person not in {row["pseudonym"] for row in rows}


async def test_the_same_name_of_another_epoch_is_another_person(crowd: People) -> None:
    """A25."""
    made = [await crowd.ensure(Identity("libera", "ada", epoch)) for epoch in ("2020", "2024", "2020")]

    assert made[0].person == made[2].person
    assert made[0].person != made[1].person


async def test_a_persons_keys_open_what_is_sealed_to_them(crowd: People, database: Database) -> None:
    """As the rows say, checked, within a transaction or without."""
    person = (await crowd.ensure(ADA)).person
    keys = await crowd.keys(database, person)
    async with database.transaction() as tx:
        within = await crowd.keys(tx, person)

    assert keys == within == (await crowd.ensure(ADA)).keys
    with pytest.raises(LookupError, match="no such person"):
        await crowd.keys(database, "nobody")


async def test_without_a_key_nobody_is_made(database: Database) -> None:
    """A36: they could not be sealed anything."""
    keyring = Keyring()
    crowd = People(database, Sealer(keyring), Opener(keyring, Grants()))
    with pytest.raises(KeyMissing):
        await crowd.ensure(ADA)

    assert await crowd.find(ADA) is None
    assert [] == await database.read("SELECT * FROM people")


# ----------------------------------------------------------------------------------------- checking


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("UPDATE people SET pseudonym = 'x' WHERE pseudonym = (SELECT min(pseudonym) FROM people)", "people"),
        ("UPDATE people SET public_key = X'00'", "people"),
        ("UPDATE identities SET person = (SELECT id FROM people p WHERE p.id != person LIMIT 1)", "identities"),
        ("UPDATE identities SET created = 6", "identities"),
        ("UPDATE accounts SET person = (SELECT id FROM people p WHERE p.id != person LIMIT 1)", "accounts"),
        ("UPDATE accounts SET status = 'broken'", "accounts"),
    ],
)
async def test_rows_that_somebody_else_wrote_are_refused(
    crowd: People, database: Database, change: str, table: str
) -> None:
    """A32, A63: whichever of the rows behind an identity it is."""
    mine = (await crowd.ensure(ADA)).person
    theirs = (await crowd.ensure(GRACE)).person
    async with database.transaction() as tx:
        await accounts.insert(tx, SEALER, account_of(mine))
        await accounts.insert(tx, SEALER, account_of(theirs, id="a-2"))
        await tx.execute(change)
        tx.touch(mine)
        tx.touch(theirs)
    caught = []
    for identity in (ADA, GRACE):
        try:
            await crowd.find(identity)
        except Tampered as error:
            caught.append(error.table)

    assert table in caught
    assert {table} == set(caught)


async def test_a_person_whose_row_was_changed_has_no_keys(crowd: People, database: Database) -> None:
    """Nothing is sealed to a key that somebody put there."""
    person = (await crowd.ensure(ADA)).person
    async with database.transaction() as tx:
        await tx.execute("UPDATE people SET public_key = X'00'")
    with pytest.raises(Tampered):
        await crowd.keys(database, person)


async def test_identities_are_listed_oldest_first_and_checked(crowd: People, database: Database) -> None:
    """With the names they last had; a name is under no tag."""
    person = (await crowd.ensure(ADA)).person
    later = {"network": "oftc", "subject": "ada", "epoch": "", "person": person, "display": "Ada L", "created": 6.0}
    async with database.transaction() as tx:
        await tx.insert("identities", SEALER.stamp(people.IDENTITIES, later))
        await tx.execute("UPDATE identities SET display = 'Countess' WHERE network = 'fake'")
    found = await crowd.identities(person)
    async with database.transaction() as tx:
        await tx.execute("UPDATE identities SET created = 1 WHERE network = 'oftc'")

    assert [(ADA, "Countess"), (Identity("oftc", "ada"), "Ada L")] == [(one, one.display) for one in found]
    with pytest.raises(Tampered):
        await crowd.identities(person)


# ---------------------------------------------------------------------------------------- remembering


async def test_what_was_found_is_not_asked_for_again(
    crowd: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither somebody nor nobody."""
    await crowd.ensure(ADA)
    await crowd.find(GRACE)
    counting = Counting(database, monkeypatch)
    for _ in range(3):
        await crowd.find(ADA)
        await crowd.find(GRACE)

    assert 0 == counting.reads


async def test_a_written_account_is_seen_at_the_next_look(crowd: People, database: Database) -> None:
    """Made, changed, erased: what was remembered is forgotten at the commit."""
    person = (await crowd.ensure(ADA)).person
    seen = [await crowd.find(ADA)]
    async with database.transaction() as tx:
        await accounts.insert(tx, SEALER, account_of(person))
    seen.append(await crowd.find(ADA))
    async with database.transaction() as tx:
        await accounts.change(tx, SEALER, "a-1", lambda one: replace(one, alias="new"))
    seen.append(await crowd.find(ADA))
    async with database.transaction() as tx:
        await accounts.delete(tx, "a-1", person)
    seen.append(await crowd.find(ADA))

    assert [[], ["ada"], ["new"], []] == [[one.alias for one in profile.accounts] for profile in seen if profile]


async def test_another_persons_change_forgets_nobody_else(
    crowd: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ada is not looked up anew because Grace linked something."""
    await crowd.ensure(ADA)
    theirs = (await crowd.ensure(GRACE)).person
    async with database.transaction() as tx:
        await accounts.insert(tx, SEALER, account_of(theirs))
    counting = Counting(database, monkeypatch)
    await crowd.find(ADA)
    before = counting.reads
    profile = await crowd.find(GRACE)

    assert (0, 1) == (before, counting.reads)
    assert profile is not None
    assert 1 == len(profile.accounts)


async def test_a_change_that_was_rolled_back_changed_nothing(crowd: People, database: Database) -> None:
    """It is not announced, and not seen."""
    person = (await crowd.ensure(ADA)).person

    async def work() -> None:
        async with database.transaction() as tx:
            await accounts.insert(tx, SEALER, account_of(person))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await work()
    profile = await crowd.find(ADA)

    assert profile is not None
    assert () == profile.accounts


async def test_a_look_that_a_change_overtook_is_not_remembered(
    crowd: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the rows as they were, and came back after they had been written."""
    person = (await crowd.ensure(ADA)).person
    crowd.changed(person)
    select, may_return, has_read = database.rows, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any) -> Any:
        rows = await select(*args)
        has_read.set()
        await may_return.wait()
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(database, "rows", slowly)
        looking = asyncio.create_task(crowd.find(ADA))
        await has_read.wait()
    async with database.transaction() as tx:
        await accounts.insert(tx, SEALER, account_of(person))
    may_return.set()
    old, new = await looking, await crowd.find(ADA)

    assert [0, 1] == [len(one.accounts) for one in (old, new) if one]


async def test_a_cancelled_change_is_announced_all_the_same(
    crowd: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit was under way and could not be stopped."""
    person = (await crowd.ensure(ADA)).person
    commit, committing = database._writer.commit, asyncio.Event()

    async def noted() -> None:
        committing.set()
        await commit()

    async def work() -> None:
        async with database.transaction() as tx:
            await accounts.insert(tx, SEALER, account_of(person))

    with monkeypatch.context() as patch:
        patch.setattr(database._writer, "commit", noted)
        task = asyncio.create_task(work())
        await committing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    profile = await crowd.find(ADA)

    assert profile is not None
    assert 1 == len(profile.accounts)


async def test_no_more_is_remembered_than_fits(
    crowd: People, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guests of a day do not fill the memory; what is dropped is found again."""
    monkeypatch.setattr("omnibot.people._CACHED", 3)
    await crowd.ensure(ADA)
    for number in range(10):
        await crowd.find(Identity("fake", str(number)))

    assert 3 >= len(crowd._cache)
    assert await crowd.find(ADA) is not None
