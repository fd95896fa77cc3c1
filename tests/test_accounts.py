"""Which account is meant, what it is called, and that its row is believed only as we wrote it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnibot import accounts
from omnibot.accounts import Account, candidates, free_alias
from omnibot.database import Database
from omnibot.errors import Tampered
from omnibot.identity import Identity
from omnibot.people import People
from omnibot.testing.bench import ADA, GRACE
from omnibot.vault import Grants, Keyring, Opener, Sealer, TokenHead

KEYRING = Keyring([b"k" * 32])
SEALER = Sealer(KEYRING)
PHONE = Identity("libera", "ada", "2020")


def account(alias: str = "ada", **changes: Any) -> Account:
    made = Account(
        id=f"id-{alias}",
        person="p-1",
        provider="demo",
        instance="default",
        alias=alias,
        external=f"u-{alias}",
        login=alias,
        name="Ada",
        avatar="https://x.example/a.png",
        linked_by=ADA,
        reach=(ADA, PHONE),
        status="active",
        default=False,
        generation=3,
        refreshing=4,
        expires=123.5,
        scopes=("read", "write"),
        token=b"canary",
        created=5.0,
        activated=6.0,
    )
    return replace(made, **changes)


# ------------------------------------------------------------------------------------------- meaning


def meant(*mine: Account, selector: str = "", identity: Identity = ADA, provider: str = "demo", **place: str) -> str:
    """The aliases that may be meant, in order."""
    return " ".join(one.alias for one in candidates(mine, identity, provider, selector, **place))


def test_the_only_account_is_meant() -> None:
    """Default or not."""
    assert "ada" == meant(account())
    assert "ada" == meant(account(), account("x", provider="other"))


def test_the_default_is_meant_where_there_are_several() -> None:
    """In whatever order they stand."""
    one, two = account("one"), account("two", default=True)

    assert ("two", "two") == (meant(one, two), meant(two, one))


def test_without_a_default_nothing_is_guessed() -> None:
    """Each may be meant."""
    assert "one two" == meant(account("one"), account("two"))


@pytest.mark.parametrize("status", ["pending", "held"])
def test_what_is_not_confirmed_is_not_meant(status: Any) -> None:
    """A1, A68: not even by its name."""
    assert "" == meant(account(status=status))
    assert "" == meant(account(status=status), selector="ada")
    assert "two" == meant(account("one", status=status, default=True), account("two"))


def test_a_broken_account_may_be_meant() -> None:
    """It is to be linked again then; what was said for it is never done with another."""
    broken = account("one", status="broken")

    assert "one" == meant(broken)
    assert "one two" == meant(broken, account("two"))
    assert "one" == meant(replace(broken, default=True), account("two"))
    assert "one" == meant(broken, account("two"), selector="one")
    assert "one" == meant(broken, account("two"), chosen="one")


def test_what_an_identity_does_not_reach_is_not_meant() -> None:
    """Another identity of the same person may be shut out."""
    assert "" == meant(account(), identity=GRACE)
    assert "ada" == meant(account(), identity=PHONE)
    assert "" == meant(account(), identity=replace(PHONE, epoch="2024"))


def test_nothing_is_meant_where_nothing_is() -> None:
    """Nor at another provider."""
    assert "" == meant()
    assert "" == meant(account(), provider="other")
    assert "" == meant(account(), selector="bob")


def test_a_selector_names_an_alias_or_an_instance() -> None:
    """The alias counts first; of several at one instance the default is taken."""
    home, work = account("home", instance="home"), account("mine", instance="work")
    named = account("work", instance="home")
    second = account("second", instance="work", default=True)

    assert "mine" == meant(home, work, selector="mine")
    assert "mine" == meant(home, work, selector="work")
    assert "work" == meant(home, work, named, selector="work")
    assert "second" == meant(home, work, second, selector="work")
    assert "mine second" == meant(home, work, replace(second, default=False), selector="work")


def test_a_place_has_a_meaning_of_its_own() -> None:
    """What the speaker chose for it goes before what it is about, and that before their default elsewhere."""
    home, work = account("home", instance="home", default=True), account("mine", instance="work")

    assert "mine" == meant(home, work, chosen="mine")
    assert "mine" == meant(home, work, about="work")
    assert "home" == meant(home, work, chosen="home", about="work")
    assert "" == meant(home, about="work")
    assert "mine" == meant(home, work, chosen="gone", about="work")
    assert "home" == meant(home, work, selector="home", chosen="mine", about="work")


@pytest.mark.parametrize(
    ("taken", "reserved", "alias"),
    [
        ([], [], "ada"),
        (["bob"], [], "ada"),
        (["ada"], [], "ada-2"),
        (["ada", "ada-2", "ada-3"], [], "ada-4"),
        (["ada-2"], [], "ada"),
        ([], ["ada"], "ada-2"),
        (["ada-2"], ["ada"], "ada-3"),
    ],
)
def test_a_name_that_is_taken_gets_a_number(taken: list[str], reserved: list[str], alias: str) -> None:
    """By another account, or by another instance; accounts elsewhere do not matter."""
    others = [*map(account, taken), account("ada", provider="other")]

    assert alias == free_alias(others, "demo", "ada", reserved)


# --------------------------------------------------------------------------------------------- showing


def test_a_view_shows_everything_but_the_token() -> None:
    """Since when is since it was activated."""
    view = account().view("Demo", "https://apps.example")

    assert ("Demo", "demo", "default", "ada") == (view.title, view.provider, view.instance, view.alias)
    assert ("fake:u-1", ("fake:u-1", "libera:ada#2020")) == (view.linked_by, view.reach)
    assert (6.0, "https://apps.example") == (view.since, view.apps_url)
    assert 5.0 == account(activated=None).view("Demo").since
    assert "canary" not in repr(view) + repr(account())


def test_a_head_says_what_never_changes() -> None:
    """It is repeated inside the seal."""
    assert TokenHead("p-1", "demo", "demo@default", "https://api.example", "u-ada") == account().head(
        "https://api.example"
    )


# ------------------------------------------------------------------------------------------------ rows


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
async def person(database: Database) -> str:
    return (await People(database, SEALER, Opener(KEYRING, Grants())).ensure(ADA)).person


async def put(database: Database, *made: Account) -> None:
    async with database.transaction() as tx:
        for one in made:
            await accounts.insert(tx, SEALER, one)


@pytest.mark.parametrize("changes", [{}, {"expires": None, "activated": None, "scopes": (), "default": True}])
async def test_an_account_comes_back_as_it_was_written(
    database: Database, person: str, changes: dict[str, Any]
) -> None:
    """By its id, within a transaction or without."""
    made = account(person=person, **changes)
    await put(database, made)
    async with database.transaction() as tx:
        within = await accounts.get(tx, SEALER, made.id)

    assert made == within == await accounts.get(database, SEALER, made.id)
    assert await accounts.get(database, SEALER, "other") is None


async def test_accounts_are_listed_oldest_first(database: Database, person: str) -> None:
    """Those of one person."""
    other = (await People(database, SEALER, Opener(KEYRING, Grants())).ensure(GRACE)).person
    await put(
        database,
        account("late", person=person, created=9.0),
        account("early", person=person, created=1.0),
        account("hers", person=other),
    )

    assert ["early", "late"] == [one.alias for one in await accounts.of_person(database, SEALER, person)]


async def test_the_same_account_of_the_same_service_is_found_whoevers_it_is(database: Database, person: str) -> None:
    """And no other."""
    mine = account("mine", person=person, external="u-1")
    await put(
        database,
        mine,
        account("same", person=person, external="u-1"),
        account("elsewhere", person=person, external="u-1", instance="work"),
        account("another", person=person, external="u-2"),
        account("provider", person=person, external="u-1", provider="other"),
    )

    assert ["same"] == [one.alias for one in await accounts.of_external(database, SEALER, mine)]


async def test_a_change_starts_from_what_is_there(database: Database, person: str) -> None:
    """Nobody writes over a row with what they read before; nothing is written where there is nothing to change."""
    await put(database, account(person=person))
    async with database.transaction() as tx:
        first = await accounts.change(tx, SEALER, "id-ada", lambda one: replace(one, generation=one.generation + 1))
        second = await accounts.change(tx, SEALER, "id-ada", lambda one: replace(one, alias="new"))
        none = await accounts.change(tx, SEALER, "id-ada", lambda one: None)
        gone = await accounts.change(tx, SEALER, "other", lambda one: one)
    found = await accounts.get(database, SEALER, "id-ada")

    assert (4, "new") == (found and found.generation, found and found.alias)
    assert first is not None
    assert found == second
    assert (None, None) == (none, gone)


async def test_writing_tells_whose_rows_it_wrote(database: Database, person: str) -> None:
    """At the commit, and for nothing that was not written."""
    told: list[str] = []
    database.watch(told.append)
    async with database.transaction() as tx:
        await accounts.insert(tx, SEALER, account(person=person))
        within = list(told)
    after = list(told)
    async with database.transaction() as tx:
        await accounts.change(tx, SEALER, "id-ada", lambda one: None)
        await accounts.change(tx, SEALER, "id-ada", lambda one: replace(one, alias="new"))
        await accounts.delete(tx, "id-ada", person)

    assert ([], [person]) == (within, after)
    assert [person] * 3 == told


async def test_a_row_that_somebody_else_wrote_is_refused(database: Database, person: str) -> None:
    """A33, A35: however it is asked for, and it is not written over."""
    await put(database, account(person=person, status="pending"))
    async with database.transaction() as tx:
        await tx.execute("UPDATE accounts SET status = 'active'")
    with pytest.raises(Tampered):
        await accounts.get(database, SEALER, "id-ada")
    with pytest.raises(Tampered):
        await accounts.of_person(database, SEALER, person)
    async with database.transaction() as tx:
        with pytest.raises(Tampered):
            await accounts.change(tx, SEALER, "id-ada", lambda one: one)
