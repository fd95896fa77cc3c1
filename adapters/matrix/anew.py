"""After a backup was restored: the bot is another device than the one in it.

A device's keys go on with each message, and those in a backup stand where they stood then.  To encrypt with them
again would be to use keys twice, and nobody could tell the bot's words from those of whoever else has the backup.
So the old device is logged out and forgotten before anything else is done.  The next login makes another, which is
signed with the seeds among the adapter's secrets.  Of the old keys' file one thing is kept: which signing keys of
others were seen first.
"""

import contextlib
import logging
import sqlite3
from functools import partial
from pathlib import Path

from nio.client.async_client import AsyncClient

from adapters.matrix.account import Login, config, forget_login, kept_login, whoami
from adapters.matrix.answers import LoggedOut, MatrixError, call, path
from adapters.matrix.settings import Settings
from adapters.matrix.store import CryptoStore, sync_file
from omnibot.adapter import RESTORED, Tools
from omnibot.errors import Refused
from omnibot.threads import in_thread

_OLD = ".old"
_SEEN = "SELECT user_id, key FROM omnibot_masters"


def restored(settings: Settings) -> str:
    """Return what an operator who has just restored a backup is told of this network."""
    if settings.token is None:
        return (
            "the bot comes back as a new device, because the keys of the old one must not be used again. It logs the "
            "old one out and signs the new one by itself; what is said in encrypted rooms until then it cannot read."
        )
    return (
        "the bot needs another `token`, of a new login, because the keys of the old device must not be used again. "
        "Until it has one it stays away. Log the old device out; the new one is signed by itself."
    )


async def begin_anew(tools: Tools, settings: Settings) -> None:
    """Let go of the device that a backup has brought back, if one has; then the next login is as another.

    It can be cut off anywhere and begun again: the mark goes last.

    Raises:
        Refused: the configured token is still the old device's.
        MatrixError, OSError, TimeoutError: the homeserver does not answer.
    """
    mark = tools.directory / RESTORED
    if not await in_thread(mark.exists):
        return
    login = await kept_login(settings, tools.secrets)
    if login is not None:
        if settings.token is None:
            await _log_out(settings, login, tools.log)
        else:
            await _see_that_it_is_another(settings, login)
        await forget_login(settings, tools.secrets)
    await in_thread(lambda: _put_away(tools.directory, mark))
    tools.log.warning("a backup was restored: the bot is a new device here")


async def _see_that_it_is_another(settings: Settings, login: Login) -> None:
    assert settings.token is not None, "there is one"
    client = AsyncClient(settings.url, settings.user, config=config(encryption_enabled=False))
    client.access_token = settings.token.value
    try:
        _, device = await whoami(client)
    finally:
        await client.close()
    if device == login.device:
        raise Refused(
            f"a backup was restored, and the keys of the bot's device {device} in it must not be used again",
            cure="Give the network another `token`, of a new login, and log that device out.",
        )


async def _log_out(settings: Settings, login: Login, log: logging.Logger) -> None:
    """Have the homeserver forget the old device (client-server API, "POST /logout")."""
    if not login.token:
        return
    client = AsyncClient(settings.url, settings.user, config=config(encryption_enabled=False))
    client.access_token = login.token
    try:
        await call(client, "POST", path("logout"), {})
    except (Refused, LoggedOut):
        log.info("the bot's device %s was logged out before", login.device)
    except MatrixError as error:
        if not 400 <= error.status < 500:
            raise
        log.warning("the bot's old device %s could not be logged out (%s): do that by hand", login.device, error)
    finally:
        await client.close()


def _put_away(folder: Path, mark: Path) -> None:
    for file in folder.glob("*.db"):
        for rest in ("-wal", "-shm", "-journal"):
            file.with_name(file.name + rest).unlink(missing_ok=True)
        file.rename(file.with_suffix(_OLD))
    sync_file(folder)
    mark.unlink()
    sync_file(folder)


async def take_over(folder: Path, store: CryptoStore) -> None:
    """Remember in *store*, a new device's, whose signing keys the old one had seen; then its keys are deleted."""
    for file in await in_thread(lambda: sorted(folder.glob(f"*{_OLD}"))):
        store.pin(await in_thread(partial(_seen, file)))
        await store.settle()
        await in_thread(file.unlink)


def _seen(file: Path) -> dict[str, str]:
    """Return the master keys that were seen first; none where the file cannot be read."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file)) as connection:
        return dict(connection.execute(_SEEN).fetchall())
    return {}
