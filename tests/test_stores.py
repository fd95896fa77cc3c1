"""Each adapter sees its own rows and no other's, and a network's name stands for one realm."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.adapter import Store
from omnibot.database import Database
from omnibot.errors import KeyMissing, Tampered, VaultError
from omnibot.stores import Realms, Rows, SecretRows
from omnibot.vault import Keyring, Sealer


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(Keyring([b"k" * 32]))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture(params=["plain", "secret"])
def make(request: pytest.FixtureRequest, database: Database, sealer: Sealer) -> object:
    if request.param == "plain":
        return lambda network: Rows(database, network)
    return lambda network: SecretRows(database, sealer, network)


async def test_a_value_is_kept_changed_and_forgotten(make: object) -> None:
    """Whatever bytes it is."""
    assert callable(make)
    store: Store = make("libera")
    before = await store.get("k")
    await store.set("k", b"\0\xff")
    first = await store.get("k")
    await store.set("k", b"")
    second = await store.get("k")
    await store.delete("k")
    await store.delete("k")

    assert (None, b"\0\xff", b"", None) == (before, first, second, await store.get("k"))


async def test_each_network_has_its_own(make: object) -> None:
    """The same key elsewhere is another row."""
    assert callable(make)
    one, other = make("libera"), make("oftc")
    await one.set("k", b"1")
    await other.set("k", b"2")
    await other.delete("k")

    assert (b"1", None) == (await one.get("k"), await other.get("k"))


async def test_plain_and_secret_rows_do_not_meet(database: Database, sealer: Sealer) -> None:
    """The one cannot be read as the other."""
    plain, secret = Rows(database, "libera"), SecretRows(database, sealer, "libera")
    await plain.set("k", b"plain")
    await secret.set("k", b"canary")
    rows = await database.read("SELECT value FROM adapter_rows")

    assert (b"plain", b"canary") == (await plain.get("k"), await secret.get("k"))
    assert 2 == len(rows)
    assert not [row for row in rows if b"canary" in row["value"]]


@pytest.mark.parametrize("change", ["SET key = 'other'", "SET network = 'oftc'", "SET value = X'00'"])
async def test_a_secret_that_was_moved_or_changed_stays_closed(database: Database, sealer: Sealer, change: str) -> None:
    """It is bound to its network and its key."""
    await SecretRows(database, sealer, "libera").set("k", b"canary")
    async with database.transaction() as tx:
        await tx.execute(f"UPDATE adapter_rows {change}")
    found = SecretRows(database, sealer, "oftc" if "oftc" in change else "libera")
    with pytest.raises(VaultError):
        await found.get("other" if "other" in change else "k")


async def test_without_a_key_no_secret_is_kept(database: Database) -> None:
    """Rather than in the clear."""
    with pytest.raises(KeyMissing):
        await SecretRows(database, Sealer(Keyring()), "libera").set("k", b"canary")

    assert [] == await database.read("SELECT * FROM adapter_rows")


# ------------------------------------------------------------------------------------------- realms


async def test_a_realm_is_recorded_at_the_first_connect(database: Database, sealer: Sealer) -> None:
    """And compared at every later one; each name has its own."""
    realms = Realms(database, sealer)
    fits = [await realms.fits("libera", realm) for realm in ("Libera.Chat", "Libera.Chat", "Evil.Chat", "Libera.Chat")]

    assert [True, True, False, True] == fits
    assert "Libera.Chat" == await realms.known("libera")
    assert await realms.known("oftc") is None


async def test_a_realm_may_be_accepted_anew(database: Database, sealer: Sealer) -> None:
    """By the operator: then the name stands for the new one."""
    realms = Realms(database, sealer)
    await realms.record("libera", "Libera.Chat")
    await realms.record("libera", "New.Chat")

    assert "New.Chat" == await realms.known("libera")
    assert await realms.fits("libera", "New.Chat")


async def test_a_realm_that_somebody_else_wrote_is_refused(database: Database, sealer: Sealer) -> None:
    """A65: whoever can write to the database cannot make another server the old one."""
    realms = Realms(database, sealer)
    await realms.record("libera", "Libera.Chat")
    async with database.transaction() as tx:
        await tx.execute("UPDATE networks SET realm = 'Evil.Chat'")
    with pytest.raises(Tampered, match="networks row libera"):
        await realms.fits("libera", "Evil.Chat")
