"""The rows of linked accounts: whose, at which service, under which name, open to which identities.

Invariant: a row is used only if its tag fits, and every row is written with one; so what
an `Account` says of person, status and reach was said by us.  Its token stays sealed: this
module never opens one.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from omnibot.api import AccountView
from omnibot.database import Database, Transaction
from omnibot.identity import Identity
from omnibot.provider import EVERYTHING
from omnibot.vault import Sealer, Tagged, TokenHead

type Status = Literal["pending", "active", "held", "broken"]

TABLE = Tagged(
    "accounts",
    ("id",),
    (
        "person",
        "provider",
        "instance",
        "alias",
        "external",
        "profile",
        "linked_by",
        "reach",
        "status",
        "is_default",
        "generation",
        "refreshing",
        "expires",
        "scopes",
        "token",
        "created",
        "activated",
    ),
)


@dataclass(frozen=True, slots=True)
class Account:
    """One account of a person's at one instance of a provider."""

    id: str
    person: str
    provider: str
    instance: str
    alias: str
    """What the person calls it; unique among theirs at the provider."""

    external: str
    """The service's own immutable id of the account."""

    login: str
    name: str
    avatar: str
    linked_by: Identity
    reach: tuple[Identity, ...]
    """The identities that may use it: at first the one that linked it."""

    status: Status
    default: bool
    generation: int
    """Counts refreshes: an older token never replaces a newer one."""

    refreshing: int
    """The generation that a refresh under way would make; 0 when there is none.

    Of a broken account: not 0 until its owner has been told.
    """

    expires: float | None
    scopes: tuple[str, ...]
    token: bytes = field(repr=False)
    created: float
    activated: float | None = None
    renewable: bool = True
    """Whether its token came with another to renew it by; not under the tag."""

    def head(self, origin: str) -> TokenHead:
        """Return what is repeated inside the token's seal."""
        return TokenHead(self.person, self.provider, f"{self.provider}@{self.instance}", origin, self.external)

    @property
    def by_key(self) -> bool:
        """Whether its token is a key that its owner made themselves: nothing of ours to revoke."""
        return EVERYTHING in self.scopes

    def allows(self, scopes: Iterable[str]) -> bool:
        """Whether all of *scopes* were granted."""
        return self.by_key or set(scopes) <= set(self.scopes)

    def reaches(self, identity: Identity) -> bool:
        """Whether *identity* may use it."""
        return identity in self.reach

    def view(self, title: str, apps_url: str = "") -> AccountView:
        """Return what its owner is shown of it."""
        return AccountView(
            provider=self.provider,
            instance=self.instance,
            title=title,
            alias=self.alias,
            login=self.login,
            name=self.name,
            avatar=self.avatar,
            status=self.status,
            default=self.default,
            linked_by=str(self.linked_by),
            reach=tuple(map(str, self.reach)),
            scopes=self.scopes,
            since=self.activated or self.created,
            apps_url=apps_url,
            by_key=self.by_key,
        )


def to_row(account: Account) -> dict[str, Any]:
    """Return the columns of *account*, without its tag."""
    return {
        "id": account.id,
        "person": account.person,
        "provider": account.provider,
        "instance": account.instance,
        "alias": account.alias,
        "external": account.external,
        "profile": json.dumps({"login": account.login, "name": account.name, "avatar": account.avatar}),
        "linked_by": _dump(account.linked_by),
        "reach": json.dumps([_triple(one) for one in account.reach]),
        "status": account.status,
        "is_default": int(account.default),
        "generation": account.generation,
        "refreshing": account.refreshing,
        "expires": account.expires,
        "scopes": json.dumps(account.scopes),
        "token": account.token,
        "created": account.created,
        "activated": account.activated,
        "renewable": int(account.renewable),
    }


def from_row(sealer: Sealer, row: Mapping[str, Any]) -> Account:
    """Return the account in *row*.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    sealer.check(TABLE, row)
    profile = json.loads(row["profile"])
    return Account(
        id=row["id"],
        person=row["person"],
        provider=row["provider"],
        instance=row["instance"],
        alias=row["alias"],
        external=row["external"],
        login=profile["login"],
        name=profile["name"],
        avatar=profile["avatar"],
        linked_by=_identity(json.loads(row["linked_by"])),
        reach=tuple(map(_identity, json.loads(row["reach"]))),
        status=row["status"],
        default=bool(row["is_default"]),
        generation=row["generation"],
        refreshing=row["refreshing"],
        expires=row["expires"],
        scopes=tuple(json.loads(row["scopes"])),
        token=row["token"],
        created=row["created"],
        activated=row["activated"],
        renewable=bool(row["renewable"]),
    )


async def insert(tx: Transaction, sealer: Sealer, account: Account) -> None:
    """Write a new *account*."""
    tx.touch(account.person)
    await tx.insert("accounts", sealer.stamp(TABLE, to_row(account)))


async def change(
    tx: Transaction, sealer: Sealer, account: str, how: Callable[[Account], Account | None]
) -> Account | None:
    """Write what *how* makes of the account as it is now; return it.

    None if it is gone, or *how* returned None: then nothing was written.  There is no other
    way to change a row: nobody writes over one that they read before.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    current = await get(tx, sealer, account)
    changed = None if current is None else how(current)
    if changed is not None:
        tx.touch(changed.person)
        await tx.update("accounts", ("id",), sealer.stamp(TABLE, to_row(changed)))
    return changed


async def delete(tx: Transaction, account: str, person: str) -> None:
    """Erase the row of an *account* of *person*."""
    tx.touch(person)
    await tx.execute("DELETE FROM accounts WHERE id = ?", (account,))


async def get(source: Database | Transaction, sealer: Sealer, account: str) -> Account | None:
    """Return the account with that id, checked; None if there is none."""
    rows = await source.rows("SELECT * FROM accounts WHERE id = ?", (account,))
    return from_row(sealer, rows[0]) if rows else None


async def of_person(source: Database | Transaction, sealer: Sealer, person: str) -> list[Account]:
    """Return the accounts of *person*, oldest first."""
    rows = await source.rows("SELECT * FROM accounts WHERE person = ? ORDER BY created, id", (person,))
    return [from_row(sealer, row) for row in rows]


async def of_external(source: Database | Transaction, sealer: Sealer, one: Account) -> list[Account]:
    """Return every other account here that is the same account at the same service, whoever's."""
    rows = await source.rows(
        "SELECT * FROM accounts WHERE provider = ? AND instance = ? AND external = ? AND id != ?",
        (one.provider, one.instance, one.external, one.id),
    )
    return [from_row(sealer, row) for row in rows]


def candidates(
    accounts: Iterable[Account],
    identity: Identity,
    provider: str,
    selector: str = "",
    *,
    chosen: str = "",
    about: str = "",
) -> list[Account]:
    """Return the accounts that *identity* may mean by ``provider@selector``, oldest first.

    The *selector*, an alias or an instance, counts before all; then the alias that the speaker has
    *chosen* for this place; then the instance that the place is *about*, and their default there.
    Empty: none is linked.  Broken ones are among them, to be linked again: what was said for one
    account is never done with another.
    """
    mine = [one for one in accounts if one.provider == provider and one.reaches(identity)]
    mine = [one for one in mine if one.status in ("active", "broken")]
    called = [one for one in mine if one.alias == (selector or chosen)]
    there = [one for one in mine if (selector or about) in ("", one.instance)]
    return called or [one for one in there if one.default] or there


def scopes_there(accounts: Iterable[Account], identity: Identity, provider: str, instance: str) -> tuple[str, ...]:
    """Return the scopes of those accounts of *identity* there that are broken or end soon: a new link asks for them."""
    found = [
        one
        for one in accounts
        if (one.provider, one.instance) == (provider, instance) and one.reaches(identity) and not one.by_key
    ]
    ended = [one for one in found if one.status == "broken"]
    ending = [one for one in found if one.status == "active" and one.expires is not None and not one.renewable]
    return tuple(dict.fromkeys(scope for one in (*ended, *ending) for scope in one.scopes))


def free_alias(accounts: Iterable[Account], provider: str, wanted: str, reserved: Iterable[str] = ()) -> str:
    """Return *wanted*, with a number behind it if another account at *provider* has that alias.

    The *reserved* names are those of the provider's other instances: an alias, which may come from
    a login that the service chose, must never stand for one of them.
    """
    taken = {one.alias for one in accounts if one.provider == provider} | set(reserved)
    number = 2
    alias = wanted
    while alias in taken:
        alias = f"{wanted}-{number}"
        number += 1
    return alias


def _triple(identity: Identity) -> list[str]:
    return [identity.network, identity.subject, identity.epoch]


def _dump(identity: Identity) -> str:
    return json.dumps(_triple(identity))


def _identity(triple: list[str]) -> Identity:
    return Identity(*triple)
