"""What an operator can do about people: see who has linked what, take an account away, forget somebody.

Nobody here reads a token or acts as anybody.  What is taken away goes the way on which people
take it away themselves: erased at once, handed back to its service, and its owner is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.errors import UserError, VaultError
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.leaving import Gone, Leaving
from omnibot.linking.services import LinkServices
from omnibot.markup import escape, printable
from omnibot.message import Reply


@dataclass(frozen=True, slots=True)
class Known:
    """A person, as an operator sees them."""

    identities: tuple[Identity, ...]
    since: float
    """Unix seconds."""

    accounts: tuple[Account, ...]


class Minding:
    """Lists people, and carries out what an operator decides about them."""

    def __init__(self, services: LinkServices) -> None:
        """Work with *services*."""
        self._with = services

    async def people(self) -> list[Known]:
        """Return everybody the bot knows, oldest first; whose rows are not as we wrote them are left out."""
        rows = await self._with.database.read("SELECT id, created FROM people ORDER BY created, id")
        found = [await self._known(str(row["id"]), float(row["created"])) for row in rows]
        return [one for one in found if one is not None and one.identities]

    async def person(self, named: str) -> Known:
        """Return the person that *named*, a qualified identity, is.

        Raises:
            UserError: the bot knows nobody of that name, or several by different epochs.
        """
        identity = await self._identity(named)
        profile = await self._with.people.find(identity)
        assert profile is not None, "the identity was read from the database"
        rows = await self._with.database.read("SELECT created FROM people WHERE id = ?", (profile.person,))
        known = await self._known(profile.person, float(rows[0]["created"]))
        if known is None:
            raise UserError(f"What is kept of {printable(named)} is not as it was written. See: omnibot keys verify")
        return known

    async def revoke(self, named: str, service: str) -> list[Account]:
        """Take away what *named* has linked at *service* (``provider`` or ``provider@instance``), and tell them.

        Raises:
            UserError: there is nobody of that name, or nothing there.
        """
        known = await self.person(named)
        provider, _, meant = service.strip().lower().partition("@")
        found = [
            one for one in known.accounts if one.provider == provider and meant in ("", one.alias, one.instance.lower())
        ]
        if not found:
            linked = ", ".join(f"{one.provider}@{one.alias}" for one in known.accounts) or "nothing"
            raise UserError(f"{printable(named)} has nothing at {printable(service)}. Linked: {linked}.")
        for one in found:
            await self._revoke(one)
        await self._with.database.checkpoint()
        return found

    async def _revoke(self, account: Account) -> None:
        services, notice = self._with, f"{account.id}:revoked"
        told = Reply(
            f"This bot's operator has unlinked {escape(account.provider)}@{escape(account.alias)}, "
            f"your account **{escape(account.login)}**. I can act there for you no more."
        )
        async with services.database.transaction() as tx:
            current = await accounts.get(tx, services.sealer, account.id)
            if current is None:
                return
            flow = await flows.find(tx, services.sealer, "account", account.id)
            await services.revoking.erase(tx, current)
            if flow is not None and flow.state == "held":  # there is nothing left to decide on
                ended = replace(flow.end("refused", "unlinked", services.clock()), account=None)
                await flows.update(tx, services.sealer, ended)
            await services.delivery.leave(tx, current.linked_by, told, notice)
        services.delivery.aside(account.linked_by, told, notice=notice)
        where = {"provider": account.provider, "instance": account.instance, "account": account.id}
        services.audit.record(account.person, account.linked_by.network, "account.revoked", **where)

    async def forget(self, named: str) -> Sequence[Gone]:
        """Erase the person that *named* is, and all that is theirs.

        Raises:
            UserError: the bot knows nobody of that name.
        """
        known = await self.person(named)
        return await Leaving(self._with).forget(known.identities[0], known.identities) or ()

    async def _identity(self, named: str) -> Identity:
        wanted = Identity.named(named.strip())
        sql = "SELECT * FROM identities WHERE network = ? AND subject = ?"
        rows = await self._with.database.read(sql, (wanted.network, wanted.subject))
        found = [Identity(row["network"], row["subject"], row["epoch"]) for row in rows]
        exact = [one for one in found if one == wanted] or found
        if not exact:
            raise UserError(f'I know nobody called "{printable(named)}". Name people as `network:name`.')
        if len(exact) > 1:
            raise UserError(f"There are several: {', '.join(map(str, exact))}. Say which.")
        return exact[0]

    async def _known(self, person: str, since: float) -> Known | None:
        services = self._with
        try:
            identities = await services.people.identities(person)
            found = await accounts.of_person(services.database, services.sealer, person)
        except VaultError:
            return None
        return Known(tuple(identities), since, tuple(one for one in found if one.status != "pending"))
