"""Accounts that are held: authorised by a second person, while the first still has the same one (A68).

Nobody but an operator decides.  Allowed, the account is active for the second person beside
the first; refused, or after a week, it is erased, and its token handed back unless that
would cut the first person's link.
"""

from dataclasses import dataclass

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.database import Database, Transaction
from omnibot.errors import UserError, VaultError
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.confirming import Confirming
from omnibot.linking.flows import Flow
from omnibot.linking.revoking import place_to_delete
from omnibot.linking.services import LinkServices
from omnibot.markup import escape, printable
from omnibot.message import Reply

_SHORTEST_ID = 4


@dataclass(frozen=True, slots=True)
class Held:
    """One account that waits for a decision."""

    account: Account
    flow: Flow | None
    """None where its row is not as we wrote it: then it can only be refused."""

    owners: tuple[Account, ...]
    """The same account at the service, of those who have it already; empty if they have unlinked since."""


class Holding:
    """Lists what is held, and carries decisions out."""

    def __init__(self, services: LinkServices, confirming: Confirming) -> None:
        """Work with *services*; let *confirming* make an account active as after a code."""
        self._with = services
        self._confirming = confirming

    async def held(self) -> list[Held]:
        """Return every account that is held, oldest first; rows that are not as we wrote them are left out."""
        rows = await self._with.database.read("SELECT id FROM accounts WHERE status = 'held' ORDER BY created")
        found = [await self._look(self._with.database, str(row["id"])) for row in rows]
        return [one for one in found if one is not None]

    async def allow(self, prefix: str) -> Held:
        """Make the held account whose id begins with *prefix* active for who asked for it; tell them, and its owners.

        Raises:
            UserError: there is no such account, or it cannot be allowed any more.
        """
        account = await self._meant(prefix)
        now = self._with.clock()
        async with self._with.database.transaction() as tx:
            held = await self._look(tx, account)
            if held is None:
                raise UserError(f"Account {account[:8]} is not held any more.")
            if held.flow is None:
                raise UserError(f"How account {account[:8]} came to be cannot be told, so it can only be refused.")
            await self._confirming.settle(tx, held.account, "active", now)
            await flows.update(tx, self._with.sealer, held.flow.end("linked", "allowed", now))
            news = self._news(held, held.flow)
            for name, (identity, reply) in news.items():  # kept until it is said, as the warning was
                await self._with.delivery.leave(tx, identity, reply, name)
        self._with.record(held.flow, "link.allowed", account=held.account.id)
        for name, (identity, reply) in news.items():
            self._with.delivery.aside(identity, reply, notice=name)
        return held

    async def refuse(self, prefix: str) -> Held:
        """Erase the held account whose id begins with *prefix*, and tell who asked for it.

        Raises:
            UserError: there is no such account.
        """
        account = await self._meant(prefix)
        async with self._with.database.transaction() as tx:
            held = await self._look(tx, account)
            if held is None:
                raise UserError(f"Account {account[:8]} is not held any more.")
            if held.flow is None:
                await self._with.revoking.erase(tx, held.account)
                ended = None
            else:
                ended = await self._with.endings.end(tx, held.flow, "refused", "not_allowed")
        if ended is None:
            where = {"provider": held.account.provider, "instance": held.account.instance}
            self._with.audit.record(held.account.person, "", "link.refused", reason="not_allowed", **where)
        else:
            self._with.endings.told(ended)
        return held

    async def _meant(self, prefix: str) -> str:
        """Return the id of the only held account whose id begins with *prefix*."""
        wanted = prefix.strip().lower()
        rows = await self._with.database.read("SELECT id FROM accounts WHERE status = 'held'")
        found = [str(row["id"]) for row in rows if str(row["id"]).startswith(wanted)]
        if len(found) > 1 or len(wanted) < _SHORTEST_ID:
            raise UserError(f'"{printable(prefix)}" is too short for an id. `omnibot accounts held` lists them.')
        if not found:
            raise UserError(f'No held account is called "{printable(prefix)}". `omnibot accounts held` lists them.')
        return found[0]

    async def _look(self, source: Database | Transaction, account: str) -> Held | None:
        try:
            found = await accounts.get(source, self._with.sealer, account)
            if found is None or found.status != "held":
                return None
            others = await accounts.of_external(source, self._with.sealer, found)
        except VaultError:
            return None
        owners = [one for one in others if one.person != found.person and one.status in ("active", "broken")]
        return Held(found, await self._flow(source, account), tuple(owners))

    async def _flow(self, source: Database | Transaction, account: str) -> Flow | None:
        try:
            flow = await flows.find(source, self._with.sealer, "account", account)
        except VaultError:
            return None
        return flow if flow is not None and flow.state == "held" else None

    def _news(self, held: Held, flow: Flow) -> dict[str, tuple[Identity, Reply]]:
        """Return who is told what when *held* is allowed, by the name that it is kept under."""
        title, login = escape(self._with.endings.title(flow)), escape(held.account.login)
        text = f"This bot's operator has allowed it: {title} is linked as **{login}**."
        news = {f"{flow.id}:allowed": (flow.identity, Reply(text))}
        who = escape(printable(str(flow.identity)))
        cure = (
            f"make your key void at {place_to_delete(self._with.shown(flow), by_key=True)}"
            if flow.way == "key"
            else f"look at the list of authorised applications at {title}"
        )
        text = (
            f"This bot's operator has allowed {who} to act as your {title} account {login}, beside you. "
            f"If you did not agree to that, speak to the operator, and {cure}."
        )
        return news | {f"{flow.id}:{one.id}:allowed": (one.linked_by, Reply(text)) for one in held.owners}
