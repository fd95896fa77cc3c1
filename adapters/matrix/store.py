"""The keys of the bot's device, in one SQLite file of nio's.

Whoever has this file and its pickle key reads what the bot was told and speaks as it.  So the file is the bot's
alone from its first byte on, and the pickle key lies among the adapter's secrets.  A file or a key that is gone
is said and never replaced: with new keys under a known name the device would be taken for an intruder's.

nio commits each row by itself, and every commit waits for the disk.  Here commits do not wait; `CryptoStore.settle`
does, off the loop, before anything leaves that must not be forgotten.
"""

import contextlib
import hashlib
import os
import secrets as random
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nio.crypto.device import OlmDevice, TrustState
from nio.crypto.sessions import OlmAccount
from nio.store.database import SqliteStore

from omnibot.adapter import Store
from omnibot.errors import Refused
from omnibot.threads import in_thread

_NEW = b"new "
_USED = b"used"
_KEY_BYTES = 32
_CHECKPOINT_ABOVE = 2**20

_BEGIN_ANEW = (
    "or give the network another `device_name` (and, with `token`, a new token): the bot begins anew there, "
    "as another device"
)

_PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 1,  # NORMAL: nothing is corrupted by a power cut, and `settle` sees to the rest
    "wal_autocheckpoint": 4000,  # pages; `settle` is earlier as a rule, and off the loop
}


class CryptoStore(SqliteStore):
    """What nio remembers of the bot's device and of others', and which master keys were seen first.

    The account's row is read once, not before each of the others: nio fetches it, with every key in it, for
    each session that it saves.
    """

    _account: Any = None
    _settled: int = 0

    def __repr__(self) -> str:
        """Say whose it is; the pickle key is a field of nio's."""
        return f"CryptoStore({self.user_id!r}, {self.device_id!r})"

    def _create_database(self) -> Any:
        database = super()._create_database()  # type: ignore[no-untyped-call]  # nio's
        for pragma, value in _PRAGMAS.items():
            database.pragma(pragma, value, permanent=True)  # for each connection
        database.close()
        return database

    def _get_account(self) -> Any:
        if self._account is None:
            self._account = super()._get_account()
        return self._account

    def load_account(self) -> OlmAccount | None:
        """Return the device's own keys as they are on the disk now."""
        self._account = None
        return super().load_account()

    @contextlib.contextmanager
    def burst(self) -> Iterator[None]:
        """Make one transaction of what is saved within; there must be no ``await`` in it."""
        with self.database.atomic():
            yield

    def save_device_keys(self, device_keys: Mapping[str, Mapping[str, OlmDevice]]) -> None:
        """Save devices of others, as nio does and in a tenth of its time; a person may have a hundred."""
        account = self._get_account().id
        with self.burst():
            for device in (device for devices in device_keys.values() for device in devices.values()):
                values = (account, device.user_id, device.id, device.display_name, device.deleted)
                ((row,),) = self.database.execute_sql(_SAVE_DEVICE, values).fetchall()
                for kind, key in device.keys.items():
                    self.database.execute_sql(_SAVE_KEY, (kind, key, row))

    def verify_device(self, device: OlmDevice) -> bool:
        """Mark a device as signed by its owner; return whether it was not before."""
        return not device.verified and self._trust(device, TrustState.verified)

    def unverify_device(self, device: OlmDevice) -> bool:
        """Take that mark away; return whether it was there."""
        return device.verified and self._trust(device, TrustState.unset)

    def _trust(self, device: OlmDevice, state: TrustState) -> bool:
        values = (state.value, self._get_account().id, device.user_id, device.id)
        self.database.execute_sql(_SAVE_TRUST, values)
        device.trust_state = state
        return True

    async def settle(self) -> None:
        """Wait until everything saved so far has reached the disk.

        Raises:
            OSError: it cannot.
        """
        changes = self.database.connection().total_changes
        if changes != self._settled:
            path = Path(self.database_path)
            await in_thread(lambda: _to_disk(path))
            self._settled = changes

    def masters(self) -> dict[str, str]:
        """Return the master signing key that was first seen of each user."""
        self.database.execute_sql(_MASTERS)
        return dict(self.database.execute_sql("SELECT user_id, key FROM omnibot_masters").fetchall())

    def pin(self, masters: Mapping[str, str]) -> None:
        """Keep the master signing keys of users of whom none was seen before."""
        with self.burst():
            self.database.execute_sql(_MASTERS)
            for user, key in masters.items():
                self.database.execute_sql("INSERT OR IGNORE INTO omnibot_masters VALUES (?, ?)", (user, key))

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()


_SAVE_DEVICE = (
    "INSERT INTO devicekeys (account_id, user_id, device_id, display_name, deleted) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (account_id, user_id, device_id)"
    " DO UPDATE SET display_name = excluded.display_name, deleted = excluded.deleted RETURNING id"
)
_SAVE_KEY = "INSERT OR REPLACE INTO keys (key_type, key, device_id) VALUES (?, ?, ?)"
_SAVE_TRUST = (
    "INSERT OR REPLACE INTO devicetruststate (device_id, state)"
    " SELECT id, ? FROM devicekeys WHERE account_id = ? AND user_id = ? AND device_id = ?"
)
_MASTERS = "CREATE TABLE IF NOT EXISTS omnibot_masters (user_id TEXT PRIMARY KEY, key TEXT NOT NULL)"


async def open_store(directory: Path, kept: Store, user: str, device: str) -> CryptoStore:
    """Open the store of *user*'s *device* in *directory*, or make it at the first time; *kept* are the secrets.

    Raises:
        Refused: the file or its key is gone, or they do not fit, or the file is damaged.
        OSError: the file cannot be read or written.
    """
    path = directory / f"{_digest(user, device)}.db"
    row = f"pickle {user} {device}"
    kept_key = await kept.get(row)
    there = await in_thread(lambda: _look(path))
    if kept_key is None and there:
        raise _lost(device, f"the bot's database has no key to {path}", "Put the database back that goes with it")
    if kept_key is not None and kept_key.startswith(_USED) and not there:
        raise _lost(device, f"{path} is gone", "Put it back")
    if kept_key is None:
        kept_key = _NEW + random.token_bytes(_KEY_BYTES)
        await kept.set(row, kept_key)  # before there is anything that it opens
    await in_thread(lambda: _make(path))
    new = kept_key.startswith(_NEW)
    if not await in_thread(lambda: _sound(path)):
        raise _lost(device, f"{path} is damaged", "Put a whole one back")
    store = CryptoStore(user, device, str(directory), kept_key[len(_NEW) :].hex(), path.name)
    try:
        _account(store, path, new=new)
        if new:
            await store.settle()
            await kept.set(row, _USED + kept_key[len(_NEW) :])
    except BaseException:
        store.close()
        raise
    return store


def _account(store: CryptoStore, path: Path, *, new: bool) -> None:
    """See that the device's own keys are there and can be opened; make them if the file is *new*."""
    try:
        account = store.load_account()
    except ValueError:  # vodozemac's errors are such; their words are not ours to repeat
        raise _lost(store.device_id, f"the key to {path} is another", "Put the file back that goes with it") from None
    if account is not None:
        return
    if not new:
        raise _lost(store.device_id, f"there are no keys in {path}", "Put the right file back")
    store.save_account(OlmAccount())


def _lost(device: str, what: str, cure: str) -> Refused:
    return Refused(f"the keys of the bot's device {device} cannot be used: {what}", cure=f"{cure}, {_BEGIN_ANEW}.")


def _digest(user: str, device: str) -> str:
    """Return a file's name for any MXID, which may hold a slash."""
    return hashlib.sha256(f"{user} {device}".encode()).hexdigest()[:20]


def _look(path: Path) -> bool:
    """Return whether the file is there with something in it; make its folder, and nobody else's business."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    return path.is_symlink() or (path.exists() and path.stat().st_size > 0)


def _make(path: Path) -> None:
    """Make the file before SQLite does, which would let others read it; its journals take their mode from it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a file")
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    sync_file(path.parent)


def _sound(path: Path) -> bool:
    """Return whether SQLite finds the file whole; an empty one is."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.OperationalError:
            raise  # somebody else has it open, or the disk is full: that passes
        except sqlite3.DatabaseError:
            return False


def _to_disk(path: Path) -> None:
    journal = path.with_name(path.name + "-wal")
    if journal.exists():
        sync_file(journal)
        if journal.stat().st_size > _CHECKPOINT_ABOVE:
            with contextlib.closing(sqlite3.connect(path, timeout=0)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    sync_file(path)


def sync_file(path: Path) -> None:
    """Return when the file at *path*, or the names in that folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
