"""Which identities of a person may use an account: at first the one that linked it, then those it is shared with.

Invariant: only an identity that may use an account opens it to others, and only to those that were
named in the question it said yes to; only within its person.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.errors import UserError
from omnibot.identity import Identity
from omnibot.linking import joins
from omnibot.linking.joining import who
from omnibot.linking.services import LinkServices
from omnibot.message import Reply


class Sharing:
    """Widens the reach of accounts, and takes that back."""

    def __init__(self, services: LinkServices) -> None:
        """Work with *services*."""
        self._with = services

    async def strengths(self, account: Account, others: Collection[Identity]) -> str:
        """Return *others*, one in a line, and which is vouched for less strongly than whoever linked *account*.

        What counts is how each was vouched for when it said yes to being joined: the network's word
        for its people differs from message to message at most in that an operator changed it since.
        """
        services, lines = self._with, list[str]()
        own = await joins.vouched(services.database, services.sealer, account.linked_by)
        for one in others:
            known = await joins.vouched(services.database, services.sealer, one)
            if known is None or own is None:
                weaker = ", and I do not know whether it is vouched for as strongly"
            else:
                weaker = ", **vouched for less strongly**" if known < own else ""
            lines.append(f"- {who(one)}{weaker}")
        return "\n".join(lines)

    async def share(self, by: Identity, account: str, others: Collection[Identity]) -> Account:
        """Let *others*, identities of the same person, use *account* as *by* does.

        Raises:
            UserError: *by* may not use it any more.
        """

        def shared(current: Account, known: Collection[Identity]) -> Account:
            opened = [one for one in others if one in known and not current.reaches(one)]
            return replace(current, reach=(*current.reach, *opened))

        return await self._change(by, account, "account.shared", shared)

    async def unshare(self, by: Identity, account: str) -> Account:
        """Let nobody use *account* but the identity that linked it.

        Raises:
            UserError: *by* may not use it any more.
        """

        def unshared(current: Account, _: Collection[Identity]) -> Account:
            return replace(current, reach=(current.linked_by,))

        return await self._change(by, account, "account.unshared", unshared)

    async def _change(
        self, by: Identity, account: str, event: str, how: Callable[[Account, Collection[Identity]], Account]
    ) -> Account:
        services, told = self._with, None
        async with services.database.transaction() as tx:
            current = await accounts.get(tx, services.sealer, account)
            person = await services.people.whose(tx, by)
            if current is None or current.person != person or not current.reaches(by):
                raise UserError("That account is not yours to use here any more.")
            changed = how(current, await services.people.identities(person, tx))
            await accounts.change(tx, services.sealer, account, lambda _: changed)
            if current.linked_by != by:
                opened = "opened to" if event == "account.shared" else "closed to"
                title = f"{current.provider}@{current.alias}"
                told = Reply(f"{who(by)} has {opened} others of your identities what you linked here: `{title}`.")
                await services.delivery.leave(tx, current.linked_by, told, f"{account}:reach")
        if told is not None:
            services.delivery.aside(current.linked_by, told, notice=f"{account}:reach")
        about = {"provider": changed.provider, "instance": changed.instance, "account": account}
        services.audit.record(person, by.network, event, identities=len(changed.reach), **about)
        return changed
