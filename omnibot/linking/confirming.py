"""How a link ends well: the pending account becomes active, and what waited may start.

Also what is seen and said about links in chat: pasted addresses, and links of ours that
travel where they should not.
"""

import re
from dataclasses import replace
from functools import partial
from itertools import islice

from omnibot import accounts, follows, oauth
from omnibot.accounts import Account
from omnibot.database import Database, Transaction
from omnibot.errors import OAuthError
from omnibot.identity import Identity
from omnibot.linking import flows, waiting
from omnibot.linking.browser import Browser, why_mixed_up
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.revoking import place_to_delete
from omnibot.linking.services import LinkServices
from omnibot.markup import code as code_span
from omnibot.markup import escape, printable
from omnibot.message import Message, Reply
from omnibot.vault import digest, same

_STATE = re.compile(r"[?&]state=([A-Za-z0-9_.~-]{20,200})")
_MOST_LINKS = 5
"""How many links of one message are looked up: whoever means to pass one on says no more."""


class Confirming:
    """Activates, takes what was pasted, and burns what was seen."""

    def __init__(self, services: LinkServices, browser: Browser) -> None:
        """Work with *services*; let *browser* spend a pasted answer."""
        self._with = services
        self._browser = browser
        self._ticket = re.compile(re.escape(services.public_url or "\0") + r"/l/([A-Za-z0-9_-]{20,})")

    async def other_logins(self, flow_id: str) -> tuple[Account, list[Account]]:
        """Return the pending account of a flow, and the same person's other accounts at the same instance (A56).

        Raises:
            FlowError: it is not pending any more.
        """
        services = self._with
        flow = await flows.find(services.database, services.sealer, "id", flow_id)
        account = await self._pending(services.database, flow)
        mine = await accounts.of_person(services.database, services.sealer, account.person)
        return account, [one for one in mine if _is_other_login(one, account)]

    async def activate(self, flow_id: str, replaces: str = "") -> tuple[Flow, Account, Message | None]:
        """Make the pending account of a flow active, or hold it where it is somebody else's already (A68).

        The caller has checked the code.  It takes the place of the account *replaces*, which is erased,
        if that is given.  Returns the flow as it is now, the account, and the parked message.

        Raises:
            FlowError: it is not pending any more.
        """
        now = self._with.clock()
        async with self._with.database.transaction() as tx:
            flow = await flows.find(tx, self._with.sealer, "id", flow_id)
            account = await self._pending(tx, flow)
            assert flow is not None, "or its account would not be pending"
            rivals = [
                one
                for one in await accounts.of_external(tx, self._with.sealer, account)
                if one.person != account.person and one.status in ("active", "held", "broken")
            ]
            account = await self.settle(tx, account, "held" if rivals else "active", now)
            if replaces and not rivals:
                account = await self._take_place(tx, account, replaces)
                tx.after_commit(partial(self._with.record, flow, "account.replaced", account=replaces))
            flow = (
                replace(flow, state="held", reason="taken", code_hash=None) if rivals else flow.end("linked", "", now)
            )
            await flows.update(tx, self._with.sealer, flow)
            parked = await (waiting.take if rivals else waiting.look)(tx, self._with.sealer, flow)
            for rival in rivals:  # kept until it is said: a crash must not leave an owner unwarned
                warning = self._warning(rival, flow)
                await self._with.delivery.leave(tx, rival.linked_by, warning, f"{flow.id}:{rival.id}")
        self._with.record(flow, "link.held" if rivals else "link.confirmed", account=account.id)
        for rival in rivals:
            self._with.delivery.aside(rival.linked_by, self._warning(rival, flow), notice=f"{flow.id}:{rival.id}")
        if rivals:
            self._with.endings.tell_admins(
                f"{escape(printable(f'{flow.identity.name} ({flow.identity})'))} has authorised an account at "
                f"{escape(self._with.instance(flow).title)} that somebody else has linked. It is held for a week: "
                "`omnibot accounts held` shows it, and `allow` or `refuse` decides."
            )
        return flow, account, parked

    async def _pending(self, source: Database | Transaction, flow: Flow | None) -> Account:
        """Return the account that waits for the end of *flow*.

        Raises:
            FlowError: none does any more.
        """
        if flow is not None and flow.unproven:  # the code is no way around it
            raise FlowError("unproven", flow)
        if flow is None or flow.state != "pending" or flow.expired(self._with.clock()) or flow.account is None:
            raise FlowError("expired", flow)
        account = await accounts.get(source, self._with.sealer, flow.account)
        assert account is not None, "a pending flow has its account"
        return account

    async def _take_place(self, tx: Transaction, account: Account, before: str) -> Account:
        """Erase the account *before*, and give *account* its name and rank."""
        old = await accounts.get(tx, self._with.sealer, before)
        if old is None or not _is_other_login(old, account):
            return account  # it went away while we asked
        await self._with.revoking.erase(tx, old)
        await self._tell_other(tx, old, account, "has replaced what you linked here, by another login of theirs")
        kept = replace(account, alias=old.alias, default=old.default)  # what was shared is another login
        await accounts.change(tx, self._with.sealer, account.id, lambda _: kept)
        return kept

    async def _tell_other(self, tx: Transaction, old: Account, account: Account, what: str) -> None:
        """Tell who linked *old*, and had shared it with who linked *account*, that this took its place."""
        if old.linked_by == account.linked_by:
            return
        reply = Reply(f"{code_span(str(account.linked_by))} {what}: `{old.provider}@{old.alias}`.")
        notice, delivery = f"{old.id}:replaced", self._with.delivery
        await delivery.leave(tx, old.linked_by, reply, notice)
        tx.after_commit(partial(delivery.aside, old.linked_by, reply, notice=notice))

    async def start_parked(self, flow: Flow) -> bool:
        """Delete the row of the message that waited for *flow*, whose turn has come; False if it started before."""
        async with self._with.database.transaction() as tx:
            return await waiting.take(tx, self._with.sealer, flow) is not None

    async def settle(self, tx: Transaction, account: Account, status: accounts.Status, now: float) -> Account:
        """Give *account* its name, reach and *status*; active, it takes the place of an older link to the same."""
        mine = await accounts.of_person(tx, self._with.sealer, account.person)
        others = [one for one in mine if one.provider == account.provider and one.id != account.id]
        usable = [one for one in others if one.status in ("active", "broken")]
        same = (account.instance, account.external)
        usable = [one for one in usable if one.reaches(account.linked_by)]  # else it would open to who may not use it
        usable.sort(key=lambda one: one.linked_by != account.linked_by)  # their own before what is shared with them
        before = next((one for one in usable if (one.instance, one.external) == same and status == "active"), None)
        if before is not None:
            await follows.move(tx, self._with.sealer, before.id, account.id)
            await self._with.revoking.drop(tx, before)
            await self._tell_other(tx, before, account, "has linked anew, and has as theirs now, what you linked")
            kept = replace(account, alias=before.alias, reach=before.reach, default=before.default)
        else:
            alias = accounts.free_alias(others, account.provider, _alias(account), self._reserved(account))
            kept = replace(account, alias=alias, default=False)
        kept = replace(kept, status=status, activated=now if status == "active" else None)
        await accounts.change(tx, self._with.sealer, account.id, lambda _: kept)
        return kept

    def _reserved(self, account: Account) -> set[str]:
        names = (key.partition("@") for key in self._with.instances.keys())  # noqa: SIM118 - no mapping
        return {name for provider, _, name in names if provider == account.provider} - {account.instance}

    def _warning(self, rival: Account, flow: Flow) -> Reply:
        """Return what the owner of *rival* is told when *flow* brings the same account for somebody else (A68)."""
        instance, by_key = self._with.instance(flow), flow.way == "key"
        title, where = escape(instance.title), place_to_delete(instance, by_key=by_key)
        cure = (
            f"they have a key of yours: make it void at {where}"
            if by_key
            else f"change your password at {title} and look at its list of authorised applications"
        )
        text = (
            f"Somebody else, {escape(printable(str(flow.identity)))}, has just authorised your {title} account "
            f"{escape(rival.login)} for themselves. It is held for a week. If that was not you, {cure}."
        )
        return Reply(text)

    def looks_pasted(self, text: str) -> bool:
        """Whether *text* may hold the address of a loopback redirect of ours, true to the letter or not."""
        if self._with.public_url is not None or "/callback/" not in text:
            return False
        return "state=" in text or f":{self._with.paste_port}/callback/" in text

    async def knows_paste(self, text: str) -> bool:
        """Whether *text* carries the state of a flow that waits to be pasted."""
        flow = await self._of_state(text)
        return flow is not None and flow.way == "paste"

    async def _of_state(self, text: str) -> Flow | None:
        found = _STATE.search(text)
        if found is None:
            return None
        return await flows.find(self._with.database, self._with.sealer, "state_hash", digest(found[1]))

    async def said_key(self, flow: Flow, key: str) -> None:
        """Take a *key* that the asker of *flow* said in private; the flow is pending then, and has no code.

        Raises:
            FlowError: nothing was kept.
        """
        await self._browser.said_key(flow, key)

    async def said_pin(self, flow: Flow, pin: str) -> None:
        """Take a *pin* that the asker of *flow* said in private; the flow is pending then, and has no code.

        Raises:
            FlowError: nothing was kept.
        """
        await self._browser.said_pin(flow, pin)

    async def paste(self, identity: Identity, message: Message) -> Flow:
        """Take an address that *identity* pasted in private; return its flow, pending, which has no code.

        Raises:
            FlowError: nothing was linked.
        """
        pasted = await self._pasted_flow(identity, message)
        if not message.channel.private:
            await self._with.endings.end_quietly(pasted, "seen")
            raise FlowError("seen", pasted)
        if (message.assurance or 0) < pasted.assurance:
            raise FlowError("assurance", pasted)
        answer = oauth.read_pasted(message.text, pasted.redirect_uri)
        wrong = why_mixed_up(pasted, pasted.provider, pasted.instance, answer)
        if wrong:
            await self._with.endings.end_quietly(pasted, wrong)
            raise FlowError(wrong, pasted)
        await self._browser.fetch(answer, "")
        return pasted

    async def _pasted_flow(self, identity: Identity, message: Message) -> Flow:
        """Return the flow whose redirect address and state *text* carries; nothing else of it is read before (A71)."""
        text = message.text
        for flow in await flows.of_identity(self._with.database, self._with.sealer, identity):
            try:
                answer = oauth.read_pasted(text, flow.redirect_uri)
            except OAuthError:
                continue
            if flow.way == "paste" and flow.state == "open" and same(digest(answer.state), flow.state_hash):
                if flow.expired(self._with.clock()):
                    raise FlowError("expired", flow)
                return flow
        raise FlowError(await self._whose_paste(identity, text, public=not message.channel.private))

    async def _whose_paste(self, identity: Identity, text: str, *, public: bool) -> str:
        """Void a flow of somebody else's whose address *identity* pasted (A67), and say what it was."""
        flow = await self._of_state(text)
        if flow is None or flow.way != "paste":
            return "unknown"
        if flow.identity == identity and public and flow.live:  # said among other words, where others read it
            await self._with.endings.end_quietly(flow, "seen")
            return "seen"
        if flow.identity == identity:
            return "not_our_address" if flow.live else "replaced" if flow.reason == "replaced" else "spent"
        await self._with.endings.burn(flow, "stolen")
        return "stolen"

    async def spot(self, message: Message) -> bool:
        """Burn the links of ours in *message* that their owner did not say in private (A69); return if any was."""
        burnt = False
        found = self._ticket.findall(f"{message.text}\n{message.shown}")
        for ticket in islice(dict.fromkeys(found), _MOST_LINKS):
            flow = await flows.find(self._with.database, self._with.sealer, "ticket_hash", digest(ticket))
            mine = flow is not None and message.speaker == flow.identity and message.channel.private
            if flow is not None and flow.state == "open" and not mine:
                burnt = await self._with.endings.burn(flow, "seen") or burnt
        return burnt

    async def exposed(self, identity: Identity) -> None:
        """End the links of *identity* that wait for a PIN: they have said a secret where others read it (A49)."""
        for flow in await flows.of_identity(self._with.database, self._with.sealer, identity):
            if flow.way == "pin" and flow.state == "open" and flow.verifier is not None:
                await self._with.endings.burn(flow, "seen")

    def carries_ticket(self, message: Message) -> bool:
        """Whether *message* holds the address of a link of ours, be it behind other words."""
        return any("/l/" in text and self._ticket.search(text) is not None for text in (message.text, message.shown))


def _is_other_login(one: Account, account: Account) -> bool:
    there = (one.provider, one.instance) == (account.provider, account.instance) and one.person == account.person
    other = one.external != account.external and one.status in ("active", "broken")
    return there and other and one.reaches(account.linked_by)


def _alias(account: Account) -> str:
    """Return what a new account is called: by its instance, or by its login where there is but one instance."""
    if account.instance != "default":
        return account.instance
    return re.sub(r"[^a-z0-9-]+", "-", account.login.lower()).strip("-")[:32] or "account"
