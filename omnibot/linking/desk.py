"""The chat's side of linking: what one speaker can do about their own accounts.

A `Desk` is made for one message and speaks for its identity alone.  Words that come back
from it are for that person only: the ``accounts`` skill answers in private.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.api import AccountView
from omnibot.desk import IdentityView, RecordView
from omnibot.errors import Denied, OmnibotError, UserError
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.beginning import Beginning
from omnibot.linking.beginning import service as service_name
from omnibot.linking.confirming import Confirming
from omnibot.linking.exporting import exported, recorded
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.guesses import Guesses
from omnibot.linking.joining import who, who_all
from omnibot.linking.leaving import Leaving
from omnibot.linking.oneperson import OnePerson
from omnibot.linking.revoking import Fate, erased_words, revocable
from omnibot.linking.services import LinkServices
from omnibot.linking.ways import Wanted
from omnibot.markup import code as code_span
from omnibot.markup import code_block, escape
from omnibot.message import Message, Reply
from omnibot.provider import Instance
from omnibot.vault import same

log = logging.getLogger(__name__)

_ASK_SECONDS = 3.0

type Ask = Callable[[str, Sequence[str]], Awaitable[str]]
"""Asks the speaker, in private, to pick one of several."""

type Where = Literal["everywhere", "here", "channel"]
"""Where a choice holds: wherever one speaks, for oneself in this channel, for everybody in this channel."""

type Resume = Callable[[Message, Callable[[], Awaitable[bool]]], Awaitable[None]]
"""Runs a message that waited; its second argument deletes what kept it, when its turn has come."""

_KEPT = " Your key stays in this conversation's history: remove it there if you can."

_PIN = re.compile(r"[A-Za-z0-9_.~-]{3,128}")
"""X shows seven digits; other services show letters as well (RFC 5849 section 2.2 says nothing of it)."""

_DIGITS = "A code of mine has letters alone. If that is the PIN that a service's page shows you, say"
WRONG_CODE = "That code is not one I am waiting for from you. Look at the page again, or ask for a new link."


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
        ask: Ask,
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
        self._ask = ask

    async def link(self, service: str, key: str = "", way: Wanted = "best") -> str:
        """Begin to link *service*, by *way* if that is open; an open link for it is replaced.

        With a *key*, said in private, it is linked by that, at once.
        """
        provider, _, name = service.strip().lower().partition("@")
        found = await self.instance(provider, name)
        if key:
            return await self._link_by(found, key)
        scopes = accounts.scopes_there(await self._mine(), self._identity, found.provider.name, found.name)
        return await self._beginning.begin(
            self._identity, found, self._message, scopes=scopes, replaces=True, wanted=way
        )

    async def instance(self, provider: str, name: str = "") -> Instance:
        """Return the instance of *provider* called *name*; a host that nobody has allowed yet is asked for.

        Raises:
            UserError: there is none, it is not clear which, or an admin has to allow it first.
        """
        host = self._with.instances.host(provider, name)
        if host:
            await self._with.hosts.admit(self._identity, provider, host)
        return self._with.instances.get(provider, host or name or None)

    async def _link_by(self, instance: Instance, key: str) -> str:
        """Link *instance* by a *key* that was said in private: the service is asked before anything is kept."""
        title = escape(instance.title)
        if not self._message.channel.private:
            raise UserError("I take keys in private only.")
        if "key" not in instance.provider.ways:
            raise UserError(f"{title} is not linked by a key. Say `{self._prefix}link {service_name(instance)}` alone.")
        if not instance.chat_keys:
            raise UserError(
                f"I take no keys for {title} in chat: this conversation keeps what you said, so make a new key there. "
                f"Then say `{self._prefix}link {service_name(instance)}` alone, for a form to type it into."
            )
        flow = await self._beginning.for_key(self._identity, instance, self._message)
        if (self._message.assurance or 0) < flow.assurance:
            raise UserError(
                f"Say it on {escape(self._identity.network)} the way you asked for the link: this message proves less."
            )
        try:
            await self._confirming.said_key(flow, key)
            words = await self._ended_at_once(flow)
            linked, line, running = words.partition("\n")
            kept = "" if self._message.unkept else _KEPT
            return f"{linked}{kept}{line}{running}"
        except FlowError as error:
            words = _KEY_FAILED.get(error.code, "That did not work. Try again, or ask for a new link.")
            raise UserError(words.format(title=title)) from None

    async def confirm(self, code: str) -> str:
        """Take the code that the browser showed; all wrong codes get the same answer (A49)."""
        if self._guesses.exhausted(self._identity):
            raise UserError("Too many wrong codes. Wait ten minutes.")
        if code.strip(" `").replace(" ", "").isdecimal():  # it is none, whoever waits for what: nothing is told by that
            raise UserError(f"{_DIGITS} `{self._prefix}pin` and the PIN.")
        services = self._with
        wanted, flow = await self._of_code(code)
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
            return await self._activate(flow)
        except FlowError:
            return await self._wrong()

    async def pin(self, pin: str, service: str = "") -> str:
        """Take the *pin* that *service* showed in the browser; without a name, the one whose PIN is waited for.

        A PIN counts once, right or wrong, so what cannot be one is not tried.
        """
        flow = await self._waits_for_pin(service)
        title = escape(self._with.shown(flow).title)
        if not self._message.channel.private:  # the dispatcher refuses it before, for everybody
            raise UserError("Say your PIN to me in private, not where others read it.")
        if (self._message.assurance or 0) < flow.assurance:
            raise UserError(
                f"Say it on {escape(self._identity.network)} the way you asked for the link: this message proves less."
            )
        said = pin.strip().strip("`").replace(" ", "")
        if not _PIN.fullmatch(said):
            raise UserError(f"That is no PIN of {title}'s: it is what the page shows you in the end.")
        try:
            await self._confirming.said_pin(flow, said)
            return await self._ended_at_once(flow)
        except FlowError as error:
            words = _PIN_FAILED.get(error.code, "That did not work. Ask for a new link.")
            raise UserError(words.format(title=title, again=f"`{self._prefix}link {flow.provider}`")) from None

    async def _waits_for_pin(self, service: str) -> Flow:
        """Return the speaker's flow that waits for the PIN of *service*, or of any; the newest if there are several."""
        provider, _, name = service.strip().lower().partition("@")
        found = [
            one
            for one in await flows.of_identity(self._with.database, self._with.sealer, self._identity)
            if one.way == "pin" and one.state == "open" and not one.expired(self._with.clock())
            if provider in ("", one.provider) and name in ("", one.instance)
        ]
        if not found:
            what = f" of {code_span(service)}" if service else ""
            begin = code_span(f"{self._prefix}link {service or 'SERVICE'}")
            raise UserError(f"I wait for no PIN{what} from you. {begin} begins.")
        opened = [one for one in found if one.verifier is not None]  # the others' pages have shown no PIN yet
        if len(opened) > 1 and not service:
            names = " or ".join(f"`{self._prefix}pin PIN {service_name(self._with.shown(one))}`" for one in opened)
            raise UserError(f"I wait for several. Say whose it is: {names}.")
        return max(opened or found, key=lambda one: one.created)

    async def _of_code(self, code: str) -> tuple[bytes, Flow | None]:
        """Return the flow that waits for *code*, and its hash: under the newest key, or one from before a rotation."""
        services, wanted = self._with, b""
        for wanted in services.sealer.code_hashes(flows.normalise(code)):
            flow = await flows.find(services.database, services.sealer, "code_hash", wanted)
            if flow is not None:
                return wanted, flow
        return wanted, None

    async def paste(self) -> str:
        """Take the address that the message holds, from a browser's address bar."""
        try:
            return await self._ended_at_once(await self._confirming.paste(self._identity, self._message))
        except FlowError as error:
            raise UserError(_PASTE_FAILED.get(error.code, "That did not work. Ask for a new link.")) from None

    async def accounts(self) -> list[AccountView]:
        """Return the accounts of the person that the speaker is, oldest first; not all of them may be used here."""
        profile = await self._with.people.find(self._identity)
        found = [one for one in profile.accounts if one.status != "pending"] if profile else []
        return [replace(self._view(one), here=one.reaches(self._identity)) for one in found]

    async def identities(self) -> list[Identity]:
        """Return the identities that are one person with the speaker; the speaker alone if there is no other."""
        return await self._person.identities()

    async def known(self) -> list[IdentityView]:
        """Return the same, with since when and how strongly each was vouched for."""
        return await self._person.known()

    async def join(self, said: str = "") -> str:
        """Make a code for joining; or take one that another identity made, or the last ``yes`` or ``no``."""
        return await self._person.join(said.strip())

    async def share(self, service: str) -> str:
        """Open an account to all identities of its person, once they have said yes to each."""
        account = await self._meant(service)
        self._check_usable(account)
        return await self._person.share(account, self._name(account))

    async def unshare(self, service: str) -> str:
        """Close an account to all but the identity that linked it."""
        account = await self._meant(service)
        return await self._person.unshare(account, self._name(account))

    async def split(self, named: str = "") -> str:
        """Make an identity a person of its own, with what it linked; without a name, list them."""
        return await self._person.split(named.strip())

    @property
    def _person(self) -> OnePerson:
        return OnePerson(self._with, self._message, self._identity, self._ask, self._guesses)

    async def unlink(self, service: str) -> str:
        """Erase an account here, at once, and queue its revocation upstream."""
        account = await self._meant(service)
        fate = await self._erase(account, "account.unlinked")
        return f"{self._name(account)} is unlinked: {await self._becomes(account, fate)}"

    async def undo(self) -> str:
        """Unlink what was linked last, within a day."""
        since = self._with.clock() - flows.UNDO_SECONDS
        recent = [one for one in await self._mine() if one.activated and one.activated >= since]
        if not recent:
            raise UserError("Nothing was linked in the last 24 hours.")
        account = max(recent, key=lambda one: one.activated or 0)
        fate = await self._erase(account, "account.undone")
        return f"{self._name(account)} is unlinked: {await self._becomes(account, fate)}"

    async def forget(self) -> str:
        """Erase all that is known of the speaker."""
        known = await self.identities()
        if len(known) > 1:
            question = f"That forgets you as {who_all(known)}, with what each of them linked. All?"
            if await self._ask(question, ("yes", "no")) != "yes":
                return f"Nothing is forgotten. `{self._prefix}split` makes one of them a person of its own first."
        gone = await Leaving(self._with).forget(self._identity, known)
        if gone is None:
            return "I know nothing of you."
        words = ["I have forgotten you: your accounts, links, choices and all that waited for you are erased here."]
        told = [one for one in gone if one.account.status != "pending" or one.fate != "queued"]
        words += [f"- {self._name(one.account)}: {await self._becomes(one.account, one.fate)}" for one in told]
        return "\n".join([*words, "", _REMAINS])

    async def record(self, most: int) -> list[RecordView]:
        """Return what is on record about the speaker, newest first, also from before they were joined."""
        return await recorded(self._with, self._identity, most)

    async def export(self) -> str:
        """Return all that is known of the speaker, and no secret."""
        return code_block(await exported(self._with, self._identity), "json")

    async def use(self, service: str, where: Where = "everywhere") -> str:
        """Let an account be the one that its provider's name means; *where* it does."""
        if where == "channel":
            return await self._channel_is_about(service)
        account = await self._meant(service)
        self._check_usable(account)
        services, channel = self._with, self._message.channel
        if where == "here":
            await services.defaults.choose(account.person, channel, account.provider, account.alias)
            self._chosen(account.person, account.provider, account.instance, where)
            return f"Here, `{account.provider}` now means {self._name(account)} when you say it."
        async with services.database.transaction() as tx:
            for one in await accounts.of_person(tx, services.sealer, account.person):
                if one.provider == account.provider and one.reaches(self._identity):
                    await accounts.change(tx, services.sealer, one.id, partial(_default_is, account.id))
        self._chosen(account.person, account.provider, account.instance, where)
        return f"From now on `{account.provider}` means {self._name(account)}."

    def _chosen(self, person: str, provider: str, instance: str, where: Where) -> None:
        """Put on record what *provider* means from now on, and where it does; empty: nothing in particular."""
        about = {"provider": provider, "instance": instance, "where": where}
        self._with.audit.record(person, self._identity.network, "account.chosen", **about)

    def _check_usable(self, account: Account) -> None:
        """Refuse what works for nobody: a default that works is not given up for it."""
        name = f"{account.provider}@{account.instance}".removesuffix("@default")
        if account.status == "broken":
            raise UserError(
                f"{self._name(account)} is no longer accepted there, so I cannot use it. Link it again first: "
                f"`{self._prefix}link {name}`."
            )
        if account.status == "held":
            raise UserError(f"{self._name(account)} is held, because somebody else linked it first. It cannot be used.")

    async def _channel_is_about(self, service: str) -> str:
        """Let a provider mean one of its instances for everybody in this channel who chose nothing else."""
        services, channel = self._with, self._message.channel
        if not services.is_admin(self._identity):
            raise Denied("Only an admin of this bot chooses for a whole channel. `here` is for you alone.")
        if channel.private:
            raise UserError("Say it in the channel that you mean.")
        provider, _, name = service.strip().lower().partition("@")
        instance = services.instances.get(provider, services.instances.plain(provider, name) or None)
        await services.defaults.choose(None, channel, provider, instance.name)
        profile = await services.people.find(self._identity)
        self._chosen(profile.person if profile else "", provider, instance.name, "channel")
        return f"In {escape(str(channel))}, `{provider}` now means {escape(instance.title)}, unless somebody chose."

    async def use_any(self, provider: str, where: Where = "everywhere") -> str:
        """Take back what `use` chose."""
        provider, services, channel = provider.strip().lower().partition("@")[0], self._with, self._message.channel
        if where == "channel" and not services.is_admin(self._identity):
            raise Denied("Only an admin of this bot chooses for a whole channel.")
        if where == "channel" and channel.private:
            raise UserError("Say it in the channel that you mean.")
        profile = await services.people.find(self._identity)
        if where == "channel" or (where == "here" and profile is not None):
            person = None if where == "channel" or profile is None else profile.person
            await services.defaults.choose(person, channel, provider, "")
        elif profile is not None:
            async with services.database.transaction() as tx:
                for one in await accounts.of_person(tx, services.sealer, profile.person):
                    if one.provider == provider and one.default and one.reaches(self._identity):
                        await accounts.change(tx, services.sealer, one.id, partial(_default_is, ""))
        if where == "channel" or profile is not None:
            self._chosen(profile.person if profile else "", provider, "", where)
        words = f"`{escape(provider)}` means no account in particular now: where it matters, I ask."
        here = services.defaults.account(profile.person, channel, provider) if profile is not None else ""
        if where == "everywhere" and here:  # else it would not be true where it is said
            again = f"`{self._prefix}use {escape(provider)} here --any`"
            words += f" But here it still means `{escape(provider)}@{escape(here)}`, until you say {again}."
        return words

    async def proven(self, flow: Flow, code: str) -> tuple[str, Message | None]:
        """Activate what *flow*, proven at the browser, has brought; return what its asker is told, and what waited.

        Where they have to say first what becomes of another login (A56), nothing has changed, and the *code*
        of *flow* begins that question.

        Raises:
            FlowError: it is not pending any more.
        """
        pending, others = await self._confirming.other_logins(flow.id)
        if not others:
            ended, account, parked = await self._confirming.activate(flow.id)
            return await self._activated(ended, account, parked), parked
        title, listed = escape(self._with.instance(flow).title), ", ".join(f"**{escape(one.login)}**" for one in others)
        return (
            f"At {title} you are linked as {listed}; this is **{escape(pending.login)}**. To say what becomes of them, "
            f"type `{self._prefix}confirm {flows.shown(code)}`."
        ), None

    async def _ended_at_once(self, flow: Flow) -> str:
        """Activate what *flow*, which has no code, has brought; it does not stay pending, whatever happens."""
        try:
            return await self._activate(flow)
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, UserError):  # a question was left unanswered
                await self._with.endings.end_quietly(flow, "cancelled")
            raise

    async def _activate(self, flow: Flow) -> str:
        """Make the pending account of *flow* active, once it is clear what becomes of another login there (A56)."""
        title = escape(self._with.instance(flow).title)  # there is none where an admin has refused it meanwhile
        account, others = await self._confirming.other_logins(flow.id)
        if not others:
            return await self._activated(*await self._confirming.activate(flow.id))
        new = escape(account.login)
        listed = ", ".join(f"**{escape(one.login)}**" for one in others)
        replacing = {f"replace {one.login}": one.id for one in others}
        question = f"At {title} you are linked as {listed}; this is **{new}**. Replace, or keep both?"
        said = await self._ask(question, (*replacing, "keep both", "cancel"))
        if said == "cancel":
            await self._with.endings.end_quietly(flow, "cancelled")
            return f"Nothing has changed: you are linked as {listed}."
        words = await self._activated(*await self._confirming.activate(flow.id, replacing.get(said, "")))
        return f"{listed} -> **{new}**. {words}" if said in replacing and len(others) == 1 else words

    async def _activated(self, flow: Flow, account: Account, parked: Message | None) -> str:
        title = escape(self._with.instance(flow).title)
        if flow.state == "held":
            return (
                f"That {title} account is linked by somebody else already. Yours is held for a week, and its owner "
                "has been told. Speak to them, or to this bot's operator."
            ) + (f" {code_span(parked.text)} was not run." if parked is not None else "")
        missing = [scope for scope in flow.scopes if not account.allows((scope,))]
        extra = self._with.instance(flow).provider.unasked(flow.scopes, account.scopes)
        words = f"Linked {title} as **{escape(account.login)}**. Not you, or not meant? Say `{self._prefix}undo`."
        there = [one for one in await self._mine() if one.provider == account.provider and one.status == "active"]
        if len(there) > 1:
            means = next((one for one in there if one.default), None)
            words += f" This one is `{account.provider}@{account.alias}`, of your {len(there)} accounts there: "
            words += (
                f"`{account.provider}` alone means `{account.provider}@{means.alias}`."
                if means
                else "I read with the oldest, and ask which before I change anything. "
                f"`{self._prefix}use {account.provider}@{account.alias}` makes it the one that is meant."
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
            "as you. I have ended it and erased what it had brought. Do not open links that others send you."
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
        provider, _, named = service.strip().lower().partition("@")
        selector = self._with.instances.plain(provider, named)
        mine = [one for one in await self._mine() if one.provider == provider]
        if selector:
            mine = [one for one in mine if one.alias == selector] or [one for one in mine if one.instance == selector]
        if not mine:
            closed = any(one.provider == provider and not one.here for one in await self.accounts())
            why = " that you may use here" if closed else " linked"
            raise UserError(f"You have no account `{escape(service)}`{why}. `{self._prefix}accounts` lists yours.")
        if len(mine) > 1:
            names = tuple(f"{provider}@{one.alias}" for one in mine)
            chosen = mine[names.index(await self._ask("Which one?", names))]
            mine = [one for one in await self._mine() if one.id == chosen.id]  # joined, split or unlinked meanwhile
            if not mine:
                raise UserError(_NOT_YOURS)
        return mine[0]

    async def _erase(self, account: Account, event: str) -> Fate:
        services, notice = self._with, f"{account.id}:unlinked"
        fate: Fate = "lost"
        told: Reply | None = None
        async with services.database.transaction() as tx:
            current = await accounts.get(tx, services.sealer, account.id)
            if current is not None and not current.reaches(self._identity):  # split off, or closed, while we asked
                raise UserError(_NOT_YOURS)
            if current is not None:
                flow = await flows.find(tx, services.sealer, "account", account.id)
                fate = await services.revoking.erase(tx, current)
                if flow is not None and flow.state == "held":  # there is nothing left to decide on
                    ended = replace(flow.end("refused", "unlinked", services.clock()), account=None)
                    await flows.update(tx, services.sealer, ended)
                if current.linked_by != self._identity:  # who had shared it with the speaker
                    title = f"{current.provider}@{current.alias}"
                    told = Reply(f"{who(self._identity)} has unlinked what you linked here: `{title}`.")
                    await services.delivery.leave(tx, current.linked_by, told, notice)
        await services.database.checkpoint()
        if told is not None:
            services.delivery.aside(account.linked_by, told, notice=notice)
        about = {"provider": account.provider, "instance": account.instance, "account": account.id}
        services.audit.record(account.person, self._identity.network, event, **about)
        return fate

    async def _becomes(self, account: Account, fate: Fate) -> str:
        """Return what becomes of the token of *account*, which is erased: "erased here, and …"."""
        try:
            instance = self._with.instances.get(account.provider, account.instance)
        except UserError:  # the operator took it out of the configuration
            return erased_words(fate, None, by_key=account.by_key)
        if fate == "queued" and instance.server is None:  # whether it revokes at all, only the server can say
            with contextlib.suppress(OmnibotError, TimeoutError):
                async with asyncio.timeout(_ASK_SECONDS):
                    instance = await self._with.instances.ready(instance, self._with.http)
            fate = fate if revocable(instance) else "kept"
        return erased_words(fate, instance, by_key=account.by_key)

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


_NOT_YOURS = "That account is not yours to use here any more."

_REMAINS = (
    "What remains: the record of what was done, under a random name that nothing leads to you from any more; and the "
    "backups made before now, until they are deleted. The tokens in those can be read by nobody once this bot's "
    "operator has changed its key (`omnibot keys rotate`, then `omnibot keys retire`). Speak to me again, and you "
    "are somebody new."
)

_PIN_FAILED = {
    "not_opened": "You have not been at {title}'s page yet: open the link I sent you first.",
    "exchange_failed": "{title} did not take that PIN, and takes none twice. Say {again} for a new link.",
    "unavailable": "{title} did not answer when I came with your PIN. Say {again} for a new link in a while.",
    "expired": "Too late: that link has run out. Say {again} for a new one.",
    "spent": "I am asking about a PIN of yours just now.",
    "ended": "That link was ended meanwhile. Say {again} for a new one.",
}

_KEY_FAILED = {
    "bad_key": "{title} does not take that key. Look at it again: was it copied whole? If it was, the service may "
    "take no keys at all: ask who runs it.",
    "unavailable": "{title} did not answer when I asked whose key that is, so I have not kept it. Try in a while.",
    "spent": "I am asking about another key of yours just now.",
    "expired": "Too late: that link has run out. Say it again.",
    "ended": "That link was ended meanwhile. Say it again.",
}

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
    "extra_scopes": "The service granted more than I asked for, which this bot's operator does not take. It is given "
    "back, and nothing is linked.",
    "unavailable": "The service did not answer when I came for the token. Ask for a new link in a while.",
}
