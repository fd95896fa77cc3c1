"""Persons, and the identities that are theirs.

Invariant: an identity belongs to at most one person, and only a row whose tag fits says
so.  What is kept in memory is a cache of checked rows: everything here that writes tells
it, and only this process writes (the lock on the data directory).
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.database import Database, Transaction
from omnibot.identity import Identity
from omnibot.vault import Opener, PersonKeys, Sealer, Tagged

PEOPLE = Tagged("people", ("id",), ("public_key", "private_key", "pseudonym", "created"))
IDENTITIES = Tagged("identities", ("network", "subject", "epoch"), ("person", "created"))

_CACHED = 20_000

_PROFILE = """
SELECT p.id AS p_id, p.public_key AS p_public_key, p.private_key AS p_private_key, p.pseudonym AS p_pseudonym,
       p.created AS p_created, p.key_id AS p_key_id, p.tag AS p_tag,
       i.network AS i_network, i.subject AS i_subject, i.epoch AS i_epoch, i.person AS i_person,
       i.created AS i_created, i.key_id AS i_key_id, i.tag AS i_tag, a.*
FROM identities i JOIN people p ON p.id = i.person LEFT JOIN accounts a ON a.person = p.id
WHERE i.network = ? AND i.subject = ? AND i.epoch = ?
ORDER BY a.created, a.id
"""


@dataclass(frozen=True, slots=True)
class Profile:
    """A person as one of their identities reaches them: keys (wrapped) and accounts (sealed)."""

    keys: PersonKeys
    accounts: tuple[Account, ...]

    @property
    def person(self) -> str:
        """The person's id."""
        return self.keys.person


class People:
    """Finds the person behind an identity, and makes one for an identity that has none."""

    def __init__(
        self, database: Database, sealer: Sealer, opener: Opener, clock: Callable[[], float] = time.time
    ) -> None:
        """Keep the rows in *database*, tagged by *sealer*."""
        self._database = database
        self._sealer = sealer
        self._opener = opener
        self._clock = clock
        self._cache: dict[Identity, Profile | None] = {}
        self._cached_of: dict[str, set[Identity]] = {}
        self._changes = 0
        database.watch(self.changed)

    async def find(self, identity: Identity) -> Profile | None:
        """Return the person behind *identity*, or None if it never linked anything.

        Raises:
            KeyMissing, Tampered: one of the rows is not as we wrote it.
        """
        if identity in self._cache:
            return self._cache[identity]
        before = self._changes
        rows = await self._database.rows(_PROFILE, (identity.network, identity.subject, identity.epoch))
        profile = self._profile(rows) if rows else None
        if before == self._changes:  # what a write has overtaken must not be remembered
            self._remember(identity, profile)
        return profile

    async def ensure(self, identity: Identity) -> Profile:
        """Return the person behind *identity*, made now if there is none.

        Raises:
            KeyMissing: there is no key to make one under.
        """
        found = await self.find(identity)
        if found is not None:
            return found
        async with self._database.transaction() as tx:
            again = await tx.rows(_PROFILE, (identity.network, identity.subject, identity.epoch))
            if not again:
                await self._create(tx, identity)
            tx.after_commit(partial(self.changed, "", identity))
        profile = await self.find(identity)
        assert profile is not None, "a person just made is there"
        return profile

    async def keys(self, source: Database | Transaction, person: str) -> PersonKeys:
        """Return the key pair of *person*, checked.

        Raises:
            KeyMissing, Tampered: the row is not as we wrote it.
            LookupError: there is no such person.
        """
        sql = "SELECT * FROM people WHERE id = ?"
        rows = await source.rows(sql, (person,))
        if not rows:
            raise LookupError("no such person")
        self._sealer.check(PEOPLE, rows[0])
        return _keys(rows[0])

    async def identities(self, person: str, source: Database | Transaction | None = None) -> list[Identity]:
        """Return the identities of *person*, oldest first, with the names they last had."""
        return list(await self.since(person, source))

    async def since(self, person: str, source: Database | Transaction | None = None) -> dict[Identity, float]:
        """Return the identities of *person*, oldest first, and since when they are known, in Unix seconds.

        Raises:
            KeyMissing, Tampered: one of the rows is not as we wrote it.
        """
        sql, source = "SELECT * FROM identities WHERE person = ? ORDER BY created", source or self._database
        rows = await source.rows(sql, (person,))
        for row in rows:
            self._sealer.check(IDENTITIES, row)
        return {Identity(row["network"], row["subject"], row["epoch"], row["display"]): row["created"] for row in rows}

    async def whose(self, tx: Transaction, identity: Identity) -> str:
        """Return the id of the person whose *identity* is, as it is within *tx*: joining and splitting change it.

        Raises:
            KeyMissing, Tampered: the row is not as we wrote it.
            LookupError: it is nobody's: they have been forgotten meanwhile.
        """
        sql = "SELECT * FROM identities WHERE network = ? AND subject = ? AND epoch = ?"
        rows = await tx.rows(sql, (identity.network, identity.subject, identity.epoch))
        if not rows:
            raise LookupError("nobody's identity")
        self._sealer.check(IDENTITIES, rows[0])
        return str(rows[0]["person"])

    def changed(self, person: str, *identities: Identity) -> None:
        """Forget what was remembered of *person* and *identities*: their rows were written, and committed."""
        self._changes += 1
        for identity in (*identities, *self._cached_of.pop(person, ())):
            self._cache.pop(identity, None)

    def _remember(self, identity: Identity, profile: Profile | None) -> None:
        if len(self._cache) >= _CACHED:
            self._cache.clear()
            self._cached_of.clear()
        self._cache[identity] = profile
        if profile is not None:
            self._cached_of.setdefault(profile.person, set()).add(identity)

    def _profile(self, rows: list[Any]) -> Profile:
        person, identity = _prefixed("p_", rows[0]), _prefixed("i_", rows[0])
        self._sealer.check(PEOPLE, person)
        self._sealer.check(IDENTITIES, identity)
        found = tuple(accounts.from_row(self._sealer, row) for row in rows if row["id"] is not None)
        return Profile(_keys(person), found)

    async def create(self, tx: Transaction) -> PersonKeys:
        """Write a new person, who has no identity yet, inside *tx*.

        Raises:
            KeyMissing: there is no key to make one under.
        """
        keys = self._opener.enrol(secrets.token_hex(16))
        person = {
            "id": keys.person,
            "public_key": keys.public_key,
            "private_key": keys.private_key,
            "pseudonym": secrets.token_hex(8),
            "created": self._clock(),
        }
        await tx.insert("people", self._sealer.stamp(PEOPLE, person))
        return keys

    async def _create(self, tx: Transaction, identity: Identity) -> None:
        belongs = {
            "network": identity.network,
            "subject": identity.subject,
            "epoch": identity.epoch,
            "person": (await self.create(tx)).person,
            "display": identity.display,
            "created": self._clock(),
        }
        await tx.insert("identities", self._sealer.stamp(IDENTITIES, belongs))


def _prefixed(prefix: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name[len(prefix) :]: row[name] for name in row if name.startswith(prefix)}


def _keys(row: Mapping[str, Any]) -> PersonKeys:
    return PersonKeys(row["id"], row["public_key"], row["private_key"], row["key_id"])
