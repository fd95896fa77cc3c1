"""The chat's side of linking: what one speaker can do about their own accounts.

A `Desk` is made for one message and speaks for its identity alone.  Words that come back
from it are for that person only: the ``accounts`` skill answers in private.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.errors import UserError
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.beginning import Beginning
from omnibot.linking.confirming import Confirming
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.services import LinkServices
from omnibot.markup import code as code_span
from omnibot.markup import escape
from omnibot.message import Message, Reply
from omnibot.skill import AccountView
from omnibot.vault import same

log = logging.getLogger(__name__)

_WINDOW = 600.0
_MOST_GUESSES = 10
_SLOW_AFTER = 100
_SLOW_SECONDS = 1.0

type Resume = Callable[[Message, Callable[[], Awaitable[bool]]], Awaitable[None]]
"""Runs a message that waited; its second argument deletes what kept it, when its turn has come."""

WRONG_CODE = "That code is not one I am waiting for from you. Look at the page again, or ask for a new link."


class Guesses:
    """Counts wrong codes: per identity to refuse, over all to slow down (A49).

    A limit over all would let one abuser lock everybody out; so it is only a delay.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Count from nothing."""
        self._clock = clock
        self._by_identity: dict[Identity, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=_SLOW_AFTER)

    def exhausted(self, identity: Identity) -> bool:
        """Whether *identity* has guessed too often in the last ten minutes."""
        recent = self._by_identity.get(identity)
        while recent and recent[0] < self._clock() - _WINDOW:
            recent.popleft()
        if recent is not None and not recent:
            del self._by_identity[identity]
        return len(recent or ()) >= _MOST_GUESSES

    @property
    def delay(self) -> float:
        """Seconds to let pass before a wrong code is answered."""
        full = len(self._all) == _SLOW_AFTER and self._all[0] > self._clock() - _WINDOW
        return _SLOW_SECONDS if full else 0.0

    def wrong(self, identity: Identity) -> None:
        """Note that *identity* said a wrong code."""
        now = self._clock()
        self._by_identity.setdefault(identity, deque(maxlen=_MOST_GUESSES)).append(now)
        self._all.append(now)


class Desk:
    """Links, confirms, unlinks for the speaker of one message."""

    def __init__(
        self,
        services: LinkServices,
        beginning: Beginning,
        confirming: Confirming,
        guesses: Guesses,
        message: Message,
        identity: Identity,
        resume: Resume,
        later: Callable[[Awaitable[None]], None],
    ) -> None:
        """Serve *identity*, who said *message*; *later* runs what comes after the answer has been said."""
        self._with = services
        self._beginning = beginning
        self._confirming = confirming
        self._resume = resume
        self._guesses = guesses
        self._message = message
        self._identity = identity
        self._later = later

    async def link(self, service: str) -> str:
        """Begin to link *service*; an open link for it is replaced."""
        provider, _, instance = service.strip().lower().partition("@")
        found = self._with.instances.get(provider, instance or None)
        return await self._beginning.begin(self._identity, found, self._message, replaces=True)

    async def confirm(self, code: str) -> str:
        """Take the code that the browser showed; all wrong codes get the same answer (A49)."""
        if self._guesses.exhausted(self._identity):
            raise UserError("Too many wrong codes. Wait ten minutes.")
        services = self._with
        wanted = services.sealer.code_hash(flows.normalise(code))
        flow = await flows.find(services.database, services.sealer, "code_hash", wanted)
        if flow is not None and flow.identity != self._identity:
            return await self._not_yours(flow)
        if flow is None or not same(wanted, flow.code_hash) or flow.expired(services.clock()):
            return await self._wrong()
        if not self._message.channel.private:
            raise UserError("Say your code to me in private, not where others read it. It is still good.")
        if (self._message.assurance or 0) < flow.assurance:
            raise UserError(
                f"Confirm it on {escape(self._identity.network)} the way you asked: this message proves less."
            )
        try:
            return await self._activated(*await self._confirming.activate(flow.id))
        except FlowError:
            return await self._wrong()

    async def paste(self) -> str:
        """Take the address that the message holds, from a browser's address bar."""
        try:
            return await self._activated(*await self._confirming.paste(self._identity, self._message))
        except FlowError as error:
            raise UserError(_PASTE_FAILED.get(error.code, "That did not work. Ask for a new link.")) from None

    async def accounts(self) -> list[AccountView]:
        """Return the speaker's accounts, oldest first."""
        return [self._view(one) for one in await self._mine()]

    async def identities(self) -> list[Identity]:
        """Return the identities that are one person with the speaker; the speaker alone if there is no other."""
        profile = await self._with.people.find(self._identity)
        return await self._with.people.identities(profile.person) if profile else [self._identity]

    async def unlink(self, service: str) -> str:
        """Erase an account here, at once, and queue its revocation upstream."""
        account = await self._meant(service)
        await self._erase(account, "account.unlinked")
        return f"{self._name(account)} is unlinked: erased here, and its token is being revoked."

    async def undo(self) -> str:
        """Unlink what was linked last, within a day."""
        since = self._with.clock() - flows.UNDO_SECONDS
        recent = [one for one in await self._mine() if one.activated and one.activated >= since]
        if not recent:
            raise UserError("Nothing was linked in the last 24 hours.")
        account = max(recent, key=lambda one: one.activated or 0)
        await self._erase(account, "account.undone")
        return f"{self._name(account)} is unlinked: erased here, and its token is being revoked."

    async def use(self, service: str) -> str:
        """Make an account the default of its provider."""
        account = await self._meant(service)
        services = self._with
        async with services.database.transaction() as tx:
            for one in await accounts.of_person(tx, services.sealer, account.person):
                if one.provider == account.provider:
                    await accounts.change(tx, services.sealer, one.id, partial(_default_is, account.id))
        return f"From now on `{account.provider}` means {self._name(account)}."

    async def _activated(self, flow: Flow, account: Account, parked: Message | None) -> str:
        title = escape(self._with.instance(flow).title)
        if flow.state == "held":
            return (
                f"That {title} account is linked by somebody else already. Yours is held for a week, and its owner "
                "has been told. Speak to them, or to this bot's operator."
            ) + (f" {code_span(parked.text)} was not run." if parked is not None else "")
        missing = [scope for scope in flow.scopes if scope not in account.scopes]
        extra = [scope for scope in account.scopes if scope not in flow.scopes]
        words = f"Linked {title} as **{escape(account.login)}**. Not you, or not meant? Say `{self._prefix}undo`."
        several = [
            one.alias for one in await self._mine() if one.provider == account.provider and one.status == "active"
        ]
        if len(several) > 1 and not account.default:
            words += (
                f" You have {len(several)} accounts there; this one is `{account.provider}@{account.alias}`, and "
                f"`{self._prefix}use {account.provider}@{account.alias}` makes it the one I take."
            )
        if missing:
            words += f" {title} did not grant: {escape(', '.join(missing))}; what needs it will not work."
        if extra:
            words += f" {title} granted more than I asked for: {escape(', '.join(extra))}."
        if parked is not None:
            words += f"\nRunning what you asked for: {code_span(parked.text)}"
            self._later(self._resume(parked, partial(self._confirming.start_parked, flow)))
        return words

    async def _not_yours(self, flow: Flow) -> str:
        """End a flow whose code somebody else speaks: it is likely a victim's (A67)."""
        self._guesses.wrong(self._identity)
        await self._with.endings.burn(flow, "stolen")
        whose = escape(f"{flow.identity.name} ({flow.identity})")
        text = (
            f"That code belongs to a link that {whose} asked for, not you. Had they got it, they could have acted "
            "as you. I have ended it and revoked its token. Do not open links that others send you."
        )
        await self._with.delivery.to_identity(self._identity, Reply(text), near=self._message)
        return ""

    async def _wrong(self) -> str:
        """Count a wrong code against the speaker, and against each flow that waits for one."""
        services = self._with
        self._guesses.wrong(self._identity)
        locked: list[Flow] = []
        async with services.database.transaction() as tx:
            for flow in await flows.of_identity(tx, services.sealer, self._identity):
                if flow.state == "pending":
                    tried = replace(flow, tries=flow.tries + 1)
                    await flows.update(tx, services.sealer, tried)
                    locked += [tried] if tried.tries >= flows.MOST_TRIES else []
        for flow in locked:
            await services.endings.burn(flow, "locked")
        await asyncio.sleep(self._guesses.delay)
        raise UserError(WRONG_CODE)

    async def _mine(self) -> list[Account]:
        profile = await self._with.people.find(self._identity)
        found = profile.accounts if profile else ()
        return [one for one in found if one.reaches(self._identity) and one.status != "pending"]

    async def _meant(self, service: str) -> Account:
        provider, _, selector = service.strip().lower().partition("@")
        mine = [one for one in await self._mine() if one.provider == provider]
        if selector:
            mine = [one for one in mine if one.alias == selector] or [one for one in mine if one.instance == selector]
        if not mine:
            raise UserError(f"You have no account `{escape(service)}` linked. `{self._prefix}accounts` lists yours.")
        if len(mine) > 1:
            names = ", ".join(f"`{provider}@{one.alias}`" for one in mine)
            raise UserError(f"Which one: {names}?")
        return mine[0]

    async def _erase(self, account: Account, event: str) -> None:
        services = self._with
        async with services.database.transaction() as tx:
            current = await accounts.get(tx, services.sealer, account.id)
            if current is not None:
                await services.revoking.erase(tx, current)
            rest = await accounts.of_person(tx, services.sealer, account.person)
            heir = next((one for one in rest if one.provider == account.provider and one.status == "active"), None)
            if account.default and heir is not None:
                await accounts.change(tx, services.sealer, heir.id, partial(_default_is, heir.id))
        await services.database.checkpoint()
        services.audit.record(
            account.person, self._identity.network, event, provider=account.provider, login=account.login
        )

    def _view(self, account: Account) -> AccountView:
        try:
            instance = self._with.instances.get(account.provider, account.instance)
        except UserError:  # the operator took it out of the configuration
            return account.view(f"{account.provider}@{account.instance}")
        return account.view(instance.title, instance.provider.apps_url)

    def _name(self, account: Account) -> str:
        return f"{escape(self._view(account).title)} as **{escape(account.login)}**"

    @property
    def _prefix(self) -> str:
        return self._with.prefix


def _default_is(chosen: str, account: Account) -> Account:
    return replace(account, default=account.id == chosen)


_PASTE_FAILED = {
    "unknown": "That address does not belong to a link you have open here. Ask for a new one.",
    "stolen": "That address belongs to a link somebody else asked for, not you. I have ended it: "
    "do not open links that others send you.",
    "spent": "That address has been used. If your account is not linked, ask for a new link.",
    "replaced": "You asked for a newer link since: use that one, or ask for a new link.",
    "expired": "Too late: that link has run out. Ask for a new one.",
    "not_our_address": "That is not the address I wait for: it must begin exactly as the link said. "
    "Copy it whole, or ask for a new link.",
    "seen": "You pasted it where others can read it, so that link is burnt. "
    "Begin again, and paste it to me in private.",
    "assurance": "Paste it the way you asked for the link: this message proves less.",
    "denied": "You refused there: nothing is linked.",
    "issuer": "That answer did not come from the server I sent you to. The link has ended.",
    "exchange_failed": "The service did not hand over a token. Ask for a new link.",
    "unavailable": "The service did not answer when I came for the token. Ask for a new link in a while.",
}
