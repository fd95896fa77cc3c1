"""How a link ends well: the pending account becomes active, and what waited may start.

Also what is seen and said about links in chat: pasted addresses, and links of ours that
travel where they should not.
"""

import re
from dataclasses import replace

from omnibot import accounts, oauth
from omnibot.accounts import Account
from omnibot.database import Transaction
from omnibot.errors import OAuthError
from omnibot.identity import Identity
from omnibot.linking import flows, waiting
from omnibot.linking.browser import Browser, why_mixed_up
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.services import LinkServices
from omnibot.markup import escape, printable
from omnibot.message import Message, Reply
from omnibot.vault import digest, same

_STATE = re.compile(r"[?&]state=([A-Za-z0-9_.~-]{20,200})")


class Confirming:
    """Activates, takes what was pasted, and burns what was seen."""

    def __init__(self, services: LinkServices, browser: Browser) -> None:
        """Work with *services*; let *browser* spend a pasted answer."""
        self._with = services
        self._browser = browser
        self._ticket = re.compile(re.escape(services.public_url or "\0") + r"/l/([A-Za-z0-9_-]{20,})")

    async def activate(self, flow_id: str) -> tuple[Flow, Account, Message | None]:
        """Make the pending account of a flow active, or hold it where it is somebody else's already (A68).

        The caller has checked the code.  Returns the flow as it is now, the account, and the parked message.

        Raises:
            FlowError: it is not pending any more.
        """
        now = self._with.clock()
        async with self._with.database.transaction() as tx:
            flow = await flows.find(tx, self._with.sealer, "id", flow_id)
            if flow is None or flow.state != "pending" or flow.expired(now) or flow.account is None:
                raise FlowError("expired", flow)
            account = await accounts.get(tx, self._with.sealer, flow.account)
            assert account is not None, "a pending flow has its account"
            rivals = [
                one
                for one in await accounts.of_external(tx, self._with.sealer, account)
                if one.person != account.person and one.status in ("active", "held", "broken")
            ]
            account = await self._settle(tx, account, "held" if rivals else "active", now)
            flow = (
                replace(flow, state="held", reason="taken", code_hash=None) if rivals else flow.end("linked", "", now)
            )
            await flows.update(tx, self._with.sealer, flow)
            parked = await (waiting.take if rivals else waiting.look)(tx, self._with.sealer, flow)
        self._with.record(flow, "link.held" if rivals else "link.confirmed", login=account.login)
        for rival in rivals:
            self._warn_owner(rival, flow)
        return flow, account, parked

    async def start_parked(self, flow: Flow) -> bool:
        """Delete the row of the message that waited for *flow*, whose turn has come; False if it started before."""
        async with self._with.database.transaction() as tx:
            return await waiting.take(tx, self._with.sealer, flow) is not None

    async def _settle(self, tx: Transaction, account: Account, status: accounts.Status, now: float) -> Account:
        """Give *account* its name, reach and *status*; active, it takes the place of an older link to the same."""
        mine = await accounts.of_person(tx, self._with.sealer, account.person)
        others = [one for one in mine if one.provider == account.provider and one.id != account.id]
        usable = [one for one in others if one.status in ("active", "broken")]
        same = (account.instance, account.external)
        before = next((one for one in usable if (one.instance, one.external) == same and status == "active"), None)
        if before is not None:
            await flows.let_go(tx, self._with.sealer, before.id)
            await accounts.delete(tx, before.id, before.person)
            reach = before.reach if account.linked_by in before.reach else (*before.reach, account.linked_by)
            kept = replace(account, alias=before.alias, reach=reach, default=before.default)
        else:
            alias = accounts.free_alias(others, account.provider, _alias(account), self._reserved(account))
            kept = replace(account, alias=alias, default=status == "active" and not any(one.default for one in usable))
        kept = replace(kept, status=status, activated=now if status == "active" else None)
        await accounts.change(tx, self._with.sealer, account.id, lambda _: kept)
        return kept

    def _reserved(self, account: Account) -> set[str]:
        names = (key.partition("@") for key in self._with.instances.keys())  # noqa: SIM118 - no mapping
        return {name for provider, _, name in names if provider == account.provider} - {account.instance}

    def _warn_owner(self, rival: Account, flow: Flow) -> None:
        title = escape(self._with.instance(flow).title)
        text = (
            f"Somebody else, {escape(printable(str(flow.identity)))}, has just authorised your {title} account "
            f"{escape(rival.login)} for themselves. It is held for a week. If that was not you, change "
            f"your password at {title} and look at its list of authorised applications."
        )
        self._with.delivery.aside(rival.linked_by, Reply(text))

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

    async def paste(self, identity: Identity, message: Message) -> tuple[Flow, Account, Message | None]:
        """Take an address that *identity* pasted in private; return the flow, the account, and what was waiting.

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
        return await self.activate(pasted.id)

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
        for ticket in self._ticket.findall(message.text):
            flow = await flows.find(self._with.database, self._with.sealer, "ticket_hash", digest(ticket))
            mine = flow is not None and message.speaker == flow.identity and message.channel.private
            if flow is not None and flow.state == "open" and not mine:
                burnt = await self._with.endings.burn(flow, "seen") or burnt
        return burnt

    def carries_ticket(self, text: str) -> bool:
        """Whether *text* holds the address of a link of ours."""
        return "/l/" in text and self._ticket.search(text) is not None


def _alias(account: Account) -> str:
    """Return what a new account is called: by its instance, or by its login where there is but one instance."""
    if account.instance != "default":
        return account.instance
    return re.sub(r"[^a-z0-9-]+", "-", account.login.lower()).strip("-")[:32] or "account"
