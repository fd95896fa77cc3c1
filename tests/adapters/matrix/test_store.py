"""The keys of the bot's device are its own, on the disk when they have to be, and never silently new."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from nio.crypto.device import OlmDevice, TrustState

from adapters.matrix import store as module
from adapters.matrix.store import CryptoStore, open_store
from omnibot.errors import Refused
from omnibot.testing.fakes import FakeStore

BOT, DEVICE = "@bot:hs.test", "BOT1"
ROW = f"pickle {BOT} {DEVICE}"


@pytest.fixture
def secrets() -> FakeStore:
    """The adapter's secrets."""
    return FakeStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the store is to be."""
    return tmp_path / "network" / "crypto"


@pytest.fixture
def loose() -> Iterator[None]:
    """The process gives everybody every right to its files."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def file_in(folder: Path) -> Path:
    (found,) = folder.glob("*.db")
    return found


def there(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in there(folder, "*.db")}


def identity(store: CryptoStore) -> str:
    account = store.load_account()
    assert account is not None
    return account.identity_keys["ed25519"]


async def once(folder: Path, secrets: FakeStore) -> str:
    """Make the store and close it; return the device's identity."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    found = identity(store)
    store.close()
    return found


@pytest.mark.usefixtures("loose")
async def test_nobody_else_may_look(folder: Path, secrets: FakeStore) -> None:
    """Neither at the file, nor at what SQLite writes beside it, whatever the umask."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    store.pin({"@ada:hs.test": "key"})
    files = list(map(mode, there(folder)))
    store.close()

    assert 0o700 == mode(folder)
    assert [0o600] * 3 == files


@pytest.mark.usefixtures("loose")
async def test_the_file_is_closed_to_others_before_sqlite_opens_it(
    folder: Path, secrets: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no moment in which somebody could open it."""
    seen: list[int] = []
    sound = module._sound

    def look(path: Path) -> bool:
        seen.append(mode(path))
        return sound(path)

    monkeypatch.setattr(module, "_sound", look)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)  # it is made so, and not only mended
    await once(folder, secrets)

    assert [0o600] == seen


async def test_a_loose_file_is_made_tight(folder: Path, secrets: FakeStore) -> None:
    """Who restores a backup may not think of it."""
    await once(folder, secrets)
    for path, loosened in ((file_in(folder), 0o644), (folder, 0o755)):
        os.chmod(path, loosened)  # noqa: PTH101 - one call
    await once(folder, secrets)

    assert (0o700, 0o600) == (mode(folder), mode(file_in(folder)))


async def test_no_link_is_followed(folder: Path, secrets: FakeStore, tmp_path: Path) -> None:
    """The store is not written where somebody points to."""
    await once(folder, secrets)
    file = file_in(folder)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(OSError, match=file.name):
        await once(folder, secrets)


async def test_the_pickle_key_is_a_secret_of_its_own(folder: Path, secrets: FakeStore) -> None:
    """It is random, it is kept before the file is there, and it is shown nowhere."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    key = secrets.rows[ROW][4:]
    other = FakeStore()
    await once(folder.with_name("other"), other)
    store.close()

    assert 32 == len(key)
    assert key != other.rows[ROW][4:]
    assert store.pickle_key == key.hex()
    assert key.hex() not in repr(store)


async def test_it_is_the_same_device_ever_after(folder: Path, secrets: FakeStore) -> None:
    """A start makes no new keys."""
    first = await once(folder, secrets)

    assert first == await once(folder, secrets)


async def test_how_it_is_written(folder: Path, secrets: FakeStore) -> None:
    """With a log, without a wait at each commit, and nothing that is deleted can be read."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
    found = {name: store.database.execute_sql(f"PRAGMA {name}").fetchone()[0] for name in pragmas}
    store.close()

    assert {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "secure_delete": 1} == found


def no_key(folder: Path, secrets: FakeStore) -> None:
    del secrets.rows[ROW]


def another_key(folder: Path, secrets: FakeStore) -> None:
    secrets.rows[ROW] = b"used" + bytes(32)


def no_file(folder: Path, secrets: FakeStore) -> None:
    file_in(folder).unlink()


def empty_file(folder: Path, secrets: FakeStore) -> None:
    file_in(folder).write_bytes(b"")


def no_database(folder: Path, secrets: FakeStore) -> None:
    file_in(folder).write_bytes(b"what is this? " * 1000)


def torn_file(folder: Path, secrets: FakeStore) -> None:
    data = file_in(folder).read_bytes()
    file_in(folder).write_bytes(data[:8192] + bytes(len(data) - 8192))


def no_account(folder: Path, secrets: FakeStore) -> None:
    store = CryptoStore(BOT, DEVICE, str(folder), "", file_in(folder).name)
    store.database.execute_sql("DELETE FROM accounts")
    store.close()


@pytest.mark.parametrize(
    "harm",
    [no_key, another_key, no_file, empty_file, no_database, torn_file, no_account],
    ids=lambda harm: harm.__name__,
)
async def test_never_silently_a_new_device(folder: Path, secrets: FakeStore, harm: object) -> None:
    """What is missing, other or damaged is said, with its cure; the other half is left as it is."""
    await once(folder, secrets)
    assert callable(harm)
    harm(folder, secrets)
    before = dict(secrets.rows), contents(folder)

    with pytest.raises(Refused, match=r"device BOT1 cannot be used: .*\.db") as refused:
        await once(folder, secrets)

    assert "`device_name`" in refused.value.cure
    assert before == (dict(secrets.rows), contents(folder))


class Cut(Exception):
    """The process ends here."""


class CutStore(FakeStore):
    """Secrets of a process that ends at the *n*th write: before it is durable, or after."""

    def __init__(self, at: int, *, after: bool) -> None:
        super().__init__()
        self.left = at
        self.after = after

    async def set(self, key: str, value: bytes) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Cut
        await super().set(key, value)
        if self.left == 0:
            raise Cut


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2])
async def test_a_first_start_that_was_cut_short(folder: Path, at: int, after: bool) -> None:
    """The next start goes on from there, and nothing is asked of anybody."""
    secrets = CutStore(at, after=after)
    with pytest.raises(Cut):
        await open_store(folder, secrets, BOT, DEVICE)

    first = await once(folder, secrets)

    assert first == await once(folder, secrets)
    assert secrets.rows[ROW].startswith(b"used")


async def test_a_burst_is_one_transaction(folder: Path, secrets: FakeStore) -> None:
    """All of it, or nothing."""
    store = await open_store(folder, secrets, BOT, DEVICE)

    def burst() -> None:
        with store.burst():
            store.pin({"@ada:hs.test": "key"})
            store.save_device_keys({"@ada:hs.test": {"A": OlmDevice("@ada:hs.test", "A", {"ed25519": "e"})}})
            raise Cut

    with pytest.raises(Cut):
        burst()
    devices = list(store.load_device_keys())
    masters = store.masters()
    store.close()

    assert ([], {}) == (devices, masters)


async def test_settled_is_on_the_disk(folder: Path, secrets: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is waited for once after a change, and not at all without."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    await store.settle()
    synced: list[str] = []
    monkeypatch.setattr(module, "sync_file", lambda path: synced.append(path.name[-4:]))
    await store.settle()
    nothing = list(synced)
    store.pin({"@ada:hs.test": "key"})
    await store.settle()
    await store.settle()
    store.close()

    assert [] == nothing
    assert 1 == synced.count("-wal")


async def test_a_long_log_is_folded_in(folder: Path, secrets: FakeStore) -> None:
    """It is folded into the file off the loop, and what it held is still there."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    many = {f"@user{number}:hs.test": "k" * 1000 for number in range(2000)}
    store.pin(many)
    before = file_in(folder).stat().st_size
    await store.settle()
    after = file_in(folder).stat().st_size
    masters = store.masters()
    store.close()

    assert before < after
    assert many == masters


async def test_devices_are_saved_as_nio_reads_them(folder: Path, secrets: FakeStore) -> None:
    """With their names, whether they are gone, and the trust they had before."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    one = OlmDevice("@ada:hs.test", "A", {"ed25519": "e", "curve25519": "c"}, display_name="phone")
    store.save_device_keys({"@ada:hs.test": {"A": one}})
    store.verify_device(one)
    one.deleted, one.display_name, one.curve25519 = True, "old phone", "d"
    store.save_device_keys({"@ada:hs.test": {"A": one}})
    store.close()
    store = await open_store(folder, secrets, BOT, DEVICE)
    (found,) = store.load_device_keys()
    store.close()

    assert ("old phone", True, TrustState.verified) == (found.display_name, found.deleted, found.trust_state)
    assert {"ed25519": "e", "curve25519": "d"} == found.keys


async def test_a_master_key_is_pinned_once(folder: Path, secrets: FakeStore) -> None:
    """The first one seen stays."""
    store = await open_store(folder, secrets, BOT, DEVICE)
    store.pin({"@ada:hs.test": "first"})
    store.pin({"@ada:hs.test": "second", "@bob:hs.test": "other"})
    masters = store.masters()
    store.close()

    assert {"@ada:hs.test": "first", "@bob:hs.test": "other"} == masters
