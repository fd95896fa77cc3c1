"""What is one person's becomes another's: two become one, or one of several identities goes its own way.

Invariant: all of it happens in the caller's transaction, which nothing leaves the machine in; so
a crash leaves two persons or one, and no account between them.  Tokens go from one seal to the
other under a grant for that one account.  No account opens to an identity that it did not open to.

A renewal under way is no harm: its mark and its generation stay with the account, and what it
brings is sealed to whoever the account belongs to by then (`omnibot.renewal`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnibot import accounts, follows
from omnibot.accounts import Account
from omnibot.catalogue import Instances
from omnibot.database import Transaction
from omnibot.defaults import Defaults
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.joins import FORMER
from omnibot.people import IDENTITIES, PEOPLE, People
from omnibot.quiet import QuietHours
from omnibot.vault import Grants, Opener, PersonKeys, Sealer


@dataclass(frozen=True, slots=True)
class Merged:
    """Two persons became one."""

    person: str
    """Who stays: the one who was known first."""

    pseudonym: str
    """What the audit called the other."""

    renamed: tuple[tuple[Account, str], ...]
    """Accounts, as they are now, that another had the name of, and what each was called before."""


@dataclass(frozen=True, slots=True)
class Split:
    """An identity became a person of its own."""

    person: str
    """The new one's id."""

    taken: tuple[Account, ...]
    """The accounts that went along."""


class Moving:
    """Moves rows from one person to another, inside the caller's transactions."""

    def __init__(
        self,
        *,
        sealer: Sealer,
        opener: Opener,
        grants: Grants,
        people: People,
        instances: Instances,
        defaults: Defaults,
        quiet: QuietHours,
    ) -> None:
        """Work with the vault's handles."""
        self._sealer = sealer
        self._opener = opener
        self._grants = grants
        self._people = people
        self._instances = instances
        self._defaults = defaults
        self._quiet = quiet

    def busy(self, *people: str) -> bool:
        """Whether a command or a follow acts for one of *people* just now, and holds a grant by their ids."""
        return any(map(self._grants.acts, people))

    async def merge(self, tx: Transaction, one: str, other: str) -> Merged:
        """Make *one* and *other* one person: the one who was known first.

        Raises:
            KeyMissing, VaultError: a row of theirs is not as we wrote it; nothing is to be committed.
            LookupError: one of them is gone.
        """
        rows = sorted([await self._row(tx, one), await self._row(tx, other)], key=lambda row: row["created"])
        rows = rows if rows[0]["created"] != rows[1]["created"] else sorted(rows, key=lambda row: str(row["id"]))
        stays, goes = (str(row["id"]) for row in rows)
        keys, heir = await self._people.keys(tx, goes), await self._people.keys(tx, stays)
        moving = await self._people.identities(goes, tx)
        staying = await self._people.identities(stays, tx)
        theirs = await accounts.of_person(tx, self._sealer, stays)
        renamed, names = [], dict[tuple[str, str], str]()
        for account in await accounts.of_person(tx, self._sealer, goes):
            alias = accounts.free_alias(theirs, account.provider, account.alias, self._reserved(account))
            moved = await self._hand_over(tx, keys, heir, replace(account, alias=alias))
            theirs.append(moved)
            if alias != account.alias:
                renamed.append((moved, account.alias))
                names[account.provider, account.alias] = alias
        for identity in moving:
            await self._assign(tx, identity, stays)
        await self._flows(tx, goes, stays)
        await follows.hand_over(tx, self._sealer, goes, stays)
        await self._defaults.hand_over(tx, goes, stays, lambda key, target: names.get((key[3], target), target))
        await self._quiet.hand_over(tx, goes, stays)
        for row in await tx.rows("SELECT * FROM former WHERE person = ?", (goes,)):
            self._sealer.check(FORMER, row)
            await tx.update("former", FORMER.primary, self._sealer.stamp(FORMER, {**row, "person": stays}))
        was = {"id": goes, "person": stays, "pseudonym": rows[1]["pseudonym"]}
        await tx.insert("former", self._sealer.stamp(FORMER, was))
        await tx.execute("DELETE FROM people WHERE id = ?", (goes,))  # nothing refers to it any more
        self._touch(tx, (stays, goes), (*staying, *moving))
        return Merged(stays, str(rows[1]["pseudonym"]), tuple(renamed))

    async def split(self, tx: Transaction, identity: Identity) -> Split:
        """Make *identity* a person of its own, with the accounts that it linked.

        Raises:
            KeyMissing, VaultError: a row of theirs is not as we wrote it; nothing is to be committed.
            LookupError: it is nobody's.
        """
        person = await self._people.whose(tx, identity)
        keys, known = await self._people.keys(tx, person), await self._people.identities(person, tx)
        heir = await self._people.create(tx)
        taken = list[Account]()
        for account in await accounts.of_person(tx, self._sealer, person):
            if account.linked_by == identity:
                taken.append(await self._hand_over(tx, keys, heir, replace(account, reach=(identity,))))
            elif account.reaches(identity):
                await accounts.change(tx, self._sealer, account.id, partial(_without, identity))
        await self._assign(tx, identity, heir.person)
        await self._flows(tx, person, heir.person, identity)
        await follows.hand_over(tx, self._sealer, person, heir.person, {one.id for one in taken})
        await self._quiet.hand_over(tx, person, heir.person)
        names = {(one.provider, one.alias) for one in taken}
        here = identity.network
        await self._defaults.hand_over(
            tx,
            person,
            heir.person,
            lambda key, target: target if key[1] == here and (key[3], target) in names else "",
        )
        await tx.execute(
            "DELETE FROM vouched WHERE network = ? AND subject = ? AND epoch = ?",
            (identity.network, identity.subject, identity.epoch),
        )
        self._touch(tx, (person, heir.person), known)
        return Split(heir.person, tuple(taken))

    async def _row(self, tx: Transaction, person: str) -> dict[str, Any]:
        rows = await tx.rows("SELECT * FROM people WHERE id = ?", (person,))
        if not rows:
            raise LookupError("no such person")
        self._sealer.check(PEOPLE, rows[0])
        return rows[0]

    async def _hand_over(self, tx: Transaction, keys: PersonKeys, heir: PersonKeys, account: Account) -> Account:
        """Write *account*, read in this *tx*, as one of the *heir*, its token sealed to them."""
        with self._grants.for_upkeep(keys.person, account.id, "hand over") as grant:
            token = self._opener.hand_over(grant, keys, heir, account.id, account.head(""), account.token)
        moved = replace(account, person=heir.person, token=token)
        await accounts.change(tx, self._sealer, account.id, lambda _: moved)
        return moved

    async def _assign(self, tx: Transaction, identity: Identity, person: str) -> None:
        where = (identity.network, identity.subject, identity.epoch)
        for row in await tx.rows("SELECT * FROM identities WHERE network = ? AND subject = ? AND epoch = ?", where):
            self._sealer.check(IDENTITIES, row)
            await tx.update("identities", IDENTITIES.primary, self._sealer.stamp(IDENTITIES, {**row, "person": person}))

    async def _flows(self, tx: Transaction, person: str, heir: str, only: Identity | None = None) -> None:
        for flow in await flows.of_person(tx, self._sealer, person):
            if only is None or flow.identity == only:
                await flows.update(tx, self._sealer, replace(flow, person=heir))

    def _touch(self, tx: Transaction, people: Sequence[str], identities: Iterable[Identity]) -> None:
        for person in people:
            tx.touch(person)
        forget: Callable[[], None] = partial(self._people.changed, "", *identities)
        tx.after_commit(forget)

    def _reserved(self, account: Account) -> set[str]:
        return set(self._instances.of(account.provider)) - {account.instance}


def _without(identity: Identity, account: Account) -> Account:
    return replace(account, reach=tuple(one for one in account.reach if one != identity))
