"""Leaving for good: a person is forgotten, and what was erased once stays erased.

Invariant: of a forgotten person nothing is left that says who they were.  What the audit says of
them stays, under a pseudonym that no row explains any more; and their id stands in the `Ledger`,
so that a restored backup brings them back for no longer than until the next start.
"""

import contextlib
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.database import Transaction
from omnibot.errors import KeyMissing, Tampered, UserError
from omnibot.identity import Identity
from omnibot.linking import joins
from omnibot.linking.joining import named_notice
from omnibot.linking.revoking import Fate
from omnibot.linking.services import LinkServices

log = logging.getLogger(__name__)

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Gone:
    """An account that went, and what becomes of its token."""

    account: Account
    fate: Fate


@dataclass(frozen=True, slots=True)
class _Left:
    """What is known of a person as they go."""

    pseudonym: str
    gone: tuple[Gone, ...]


class Leaving:
    """Forgets people, at their word; and again at a start, what a backup has brought back."""

    def __init__(self, services: LinkServices) -> None:
        """Work with *services*."""
        self._with = services

    async def forget(self, identity: Identity, known: Collection[Identity] | None = None) -> list[Gone] | None:
        """Erase the person behind *identity* and all that is theirs; None if nothing is known of them.

        Their links under way die, their tokens are queued for revocation, and whatever acts for
        them just now acts no more from its next request on.  With *known*, they are erased only if
        they have no other identities: those that they were told of.

        Raises:
            KeyMissing, Tampered: one of the rows is not as we wrote it.
            UserError: they have others by now.
        """
        services, left = self._with, None
        await services.audit.flush()  # what waits there still knows them by their id
        async with services.database.transaction() as tx:
            await self._erase_identity(tx, identity)  # also of one who never linked anything
            person = await self._whose(tx, identity)
            if person:
                now = await services.people.identities(person, tx)
                if known is not None and not set(now) <= set(known):
                    raise UserError("You have been joined with another identity meanwhile. Say it again in a minute.")
                left = await self._erase(tx, person)
        await services.database.checkpoint()
        if left is None:
            return None
        services.audit.record_of(left.pseudonym, identity.network, "person.forgotten", accounts=len(left.gone))
        await services.audit.flush()
        return list(left.gone)

    async def _whose(self, tx: Transaction, identity: Identity) -> str:
        try:
            return await self._with.people.whose(tx, identity)
        except LookupError:
            return ""

    async def catch_up(self) -> None:
        """Erase again what was erased before and stands in the database all the same.

        A backup was restored, or a crash came between the note and the deed.  Tokens that came back
        are handed back once more.  Without the key nothing is touched, nor can anything be used.
        """
        ledger = self._with.revoking.ledger
        try:
            people = [one for one in await self._still("people", ledger.ids("person")) if await self._again(one)]
            back = [one for one in await self._still("accounts", ledger.ids("account")) if await self._drop_again(one)]
        except KeyMissing as error:
            log.error("what was erased before may stand in the database again; it goes when its key is back: %s", error)
            return
        if people or back:
            await self._with.database.checkpoint()
            log.warning(
                "the database held what had been erased before (%d people, %d accounts), as an older copy of it does: "
                "it is erased again, and the tokens are handed back where that is possible",
                len(people),
                len(back),
            )

    async def _still(self, table: Literal["people", "accounts"], ids: Iterable[str]) -> list[str]:
        """Return those of *ids* that *table* has."""
        wanted, found = list(ids), list[str]()
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            sql = f"SELECT id FROM {table} WHERE id IN ({marks})"  # noqa: S608 - our own names
            found += [str(row["id"]) for row in await self._with.database.read(sql, some)]
        return found

    async def _again(self, person: str) -> bool:
        async with self._with.database.transaction() as tx:
            with contextlib.suppress(Tampered):
                await self._with.people.keys(tx, person)  # not without its key: all is to be as it was when it is back
            left = await self._erase(tx, person, again=True)
        self._with.audit.record_of(left.pseudonym, "", "person.erased_again", accounts=len(left.gone))
        return True

    async def _drop_again(self, account: str) -> bool:
        """Erase an *account* again; False if it went with its person."""
        services = self._with
        async with services.database.transaction() as tx:
            owner = await tx.rows("SELECT person, provider FROM accounts WHERE id = ?", (account,))
            if not owner:
                return False
            gone = await self._erase_account(tx, account, str(owner[0]["person"]), again=True)
        fate = gone.fate if gone else "lost"
        services.audit.record(owner[0]["person"], "", "account.erased_again", provider=owner[0]["provider"], token=fate)
        return True

    async def _erase(self, tx: Transaction, person: str, *, again: bool = False) -> _Left:
        """Erase every row that is *person*'s, inside *tx*, and note that it is so."""
        services, gone = self._with, list[Gone | None]()
        row = (await tx.rows("SELECT pseudonym FROM people WHERE id = ?", (person,)))[0]
        for one in await tx.rows("SELECT id FROM accounts WHERE person = ? ORDER BY created", (person,)):
            gone.append(await self._erase_account(tx, one["id"], person, again=again))
        known = await tx.rows("SELECT network, subject, epoch FROM identities WHERE person = ?", (person,))
        identities = [Identity(one["network"], one["subject"], one["epoch"]) for one in known]
        for identity in identities:
            await self._erase_identity(tx, identity)
        tx.touch(person)
        tx.after_commit(partial(services.people.changed, person, *identities))
        former = await joins.former(tx, services.sealer, person)  # a backup may know them as these
        await tx.execute("DELETE FROM people WHERE id = ?", (person,))  # what refers to it goes with it
        await services.revoking.ledger.note("person", person, *former)
        return _Left(row["pseudonym"], tuple(filter(None, gone)))

    async def _erase_identity(self, tx: Transaction, identity: Identity) -> None:
        """Erase what names *identity* and belongs to no person."""
        await self._with.delivery.forget_all(tx, identity)
        await self._with.hosts.forget(tx, identity)
        for join in await joins.forget(tx, identity):
            await self._with.delivery.forget(tx, named_notice(join))  # it names them to somebody else

    async def _erase_account(self, tx: Transaction, account: str, person: str, *, again: bool) -> Gone | None:
        try:
            found = await accounts.get(tx, self._with.sealer, account)
        except Tampered:  # what somebody else wrote is not handed to anybody, and goes all the same
            await accounts.delete(tx, account, person)
            return None
        assert found is not None, "its id was read in this transaction"
        return Gone(found, await self._with.revoking.erase(tx, found, again=again))
