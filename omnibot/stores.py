"""The rows that belong to one adapter, and the realm that its network said it is.

`Rows` keeps an adapter's plain values, `SecretRows` the same boxed; each sees only its own
network's.  `Realms` remembers which server a network's name stood for: if the name is
pointed at another one, the people known under it are somebody else's (A65).
"""

from dataclasses import dataclass

from omnibot.database import Database
from omnibot.vault import Sealer, Tagged

NETWORKS = Tagged("networks", ("name",), ("realm",))


@dataclass(frozen=True, slots=True)
class Rows:
    """Plain values of one network's adapter; keeps the contract of `omnibot.adapter.Store`."""

    database: Database
    network: str
    sealed: bool = False

    async def get(self, key: str) -> bytes | None:
        """Return the value of *key*, or None."""
        sql = "SELECT value FROM adapter_rows WHERE network = ? AND sealed = ? AND key = ?"
        rows = await self.database.rows(sql, (self.network, int(self.sealed), key))
        return bytes(rows[0]["value"]) if rows else None

    async def set(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*, durable on return."""
        sql = "INSERT OR REPLACE INTO adapter_rows (network, sealed, key, value) VALUES (?, ?, ?, ?)"
        async with self.database.transaction() as tx:
            await tx.execute(sql, (self.network, int(self.sealed), key, value))

    async def delete(self, key: str) -> None:
        """Forget *key*."""
        sql = "DELETE FROM adapter_rows WHERE network = ? AND sealed = ? AND key = ?"
        async with self.database.transaction() as tx:
            await tx.execute(sql, (self.network, int(self.sealed), key))


class SecretRows:
    """Boxed values of one network's adapter; keeps the contract of `omnibot.adapter.Store`."""

    def __init__(self, database: Database, sealer: Sealer, network: str) -> None:
        """Keep them in *database*, boxed by *sealer* for *network* and key."""
        self._rows = Rows(database, network, sealed=True)
        self._sealer = sealer

    async def get(self, key: str) -> bytes | None:
        """Return the value of *key*, or None.

        Raises:
            VaultError: it cannot be opened.
        """
        value = await self._rows.get(key)
        return None if value is None else self._sealer.unbox(secret_purpose(self._rows.network, key), value)

    async def set(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*.

        Raises:
            KeyMissing: there is no key to box it under.
        """
        await self._rows.set(key, self._sealer.box(secret_purpose(self._rows.network, key), value))

    async def delete(self, key: str) -> None:
        """Forget *key*."""
        await self._rows.delete(key)


def secret_purpose(network: str, key: str) -> str:
    """Return what the box of a secret value is bound to."""
    return f"secret:{network}:{key}"


class Realms:
    """Which realm each network's name stands for."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        """Keep them in *database*."""
        self._database = database
        self._sealer = sealer

    async def known(self, network: str) -> str | None:
        """Return the realm recorded for *network*, or None.

        Raises:
            KeyMissing, Tampered: the row is not as we wrote it.
        """
        rows = await self._database.read("SELECT * FROM networks WHERE name = ?", (network,))
        if not rows:
            return None
        self._sealer.check(NETWORKS, rows[0])
        return str(rows[0]["realm"])

    async def record(self, network: str, realm: str) -> None:
        """Record *realm* for *network*, in place of another."""
        row = self._sealer.stamp(NETWORKS, {"name": network, "realm": realm})
        async with self._database.transaction() as tx:
            await tx.execute("DELETE FROM networks WHERE name = ?", (network,))
            await tx.insert("networks", row)

    async def forget(self, network: str) -> bool:
        """Forget what *network* was, so that its next connect records what it then is; return if there was anything."""
        async with self._database.transaction() as tx:
            return await tx.execute("DELETE FROM networks WHERE name = ?", (network,)) > 0

    async def names(self) -> list[str]:
        """Return the networks whose realm is recorded, whether their rows are as we wrote them or not."""
        return [str(row["name"]) for row in await self._database.read("SELECT name FROM networks ORDER BY name")]

    async def fits(self, network: str, realm: str) -> bool:
        """Whether *network* is the realm it was, recording it at the first connect."""
        known = await self.known(network)
        if known is None:
            await self.record(network, realm)
        return known in (None, realm)
