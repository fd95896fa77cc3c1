"""How the networks are, by what their adapters see of them; nothing is written for any of them."""

import asyncio
import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from omnibot.adapter import Check, Finding, Tools
from omnibot.app import Parts
from omnibot.doctor.rows import open_read_only
from omnibot.errors import OmnibotError
from omnibot.registry import find_adapter
from omnibot.stores import secret_purpose
from omnibot.vault import Keyring, Sealer

log = logging.getLogger(__name__)

_SECONDS = 60.0
"""How long a look at one network may take."""


async def network(name: str, parts: Parts, keyring: Keyring) -> list[Finding]:
    """Let the adapter of the network *name* look how that is, if it can."""
    settings = parts.settings
    check: Check | None = getattr(find_adapter(settings.networks[name].adapter), "check", None)
    if check is None:
        return []
    database = settings.data_dir / "omnibot.db"
    tools = Tools(
        network=name,
        prefix=settings.prefix,
        store=_Kept(database, name),
        secrets=_Kept(database, name, Sealer(keyring)),
        directory=settings.data_dir / name,
        log=logging.getLogger(f"omnibot.network.{name}"),
        commands=tuple,
    )
    why = "Nothing is known of it, and the bot may fare no better."
    try:
        async with asyncio.timeout(_SECONDS):
            return [replace(one, what=f"{name}: {one.what}") for one in await check(tools, parts.adapters[name][1])]
    except TimeoutError:
        return [Finding("wrong", f"{name}: it could not be looked at in {_SECONDS:.0f} seconds.", why=why)]
    except (OmnibotError, sqlite3.Error) as error:
        return [Finding("wrong", f"{name}: it could not be looked at ({error}).", why=why)]
    except Exception as error:  # an adapter's mistake must not hide what else is wrong
        log.debug("the check of %s failed", name, exc_info=True)
        return [Finding("wrong", f"{name}: it could not be looked at ({type(error).__name__}).", why=why)]


class _Kept:
    """An adapter's rows, with a *sealer* its secrets, as they are in the database now.  Nothing is written."""

    def __init__(self, database: Path, network: str, sealer: Sealer | None = None) -> None:
        self._database = database
        self._network = network
        self._sealer = sealer

    async def get(self, key: str) -> bytes | None:
        value = await asyncio.to_thread(self._read, key)
        if value is None or self._sealer is None:
            return value
        return self._sealer.unbox(secret_purpose(self._network, key), value)

    async def set(self, key: str, value: bytes) -> None:
        raise PermissionError(f"{key} is not written by a check")

    async def delete(self, key: str) -> None:
        raise PermissionError(f"{key} is not deleted by a check")

    def _read(self, key: str) -> bytes | None:
        if not self._database.exists():
            return None
        sql = "SELECT value FROM adapter_rows WHERE network = ? AND sealed = ? AND key = ?"
        with closing(open_read_only(self._database)) as connection:
            row = connection.execute(sql, (self._network, int(self._sealer is not None), key)).fetchone()
        return None if row is None else bytes(row[0])
