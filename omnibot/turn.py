"""One message being handled: the arguments, the accounts, the handler, the answer.

A `Turn` holds the only `Grant` a command ever runs under.  It is opened for a message that
an identity of the person spoke, closed while a question waits for its answer, opened again
by the answer (which is that person's message too), and closed for good at the turn's end.
"""

import asyncio
import inspect
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache, partial
from typing import Any

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.admindesk import AdminDesk
from omnibot.api import Api
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.command import Call, Command, Commands, Effect, bind
from omnibot.defaults import Defaults
from omnibot.delivery import Delivery
from omnibot.dialogs import Cancelled, Dialogs
from omnibot.errors import Denied, GrantError, OmnibotError, UserError
from omnibot.follower import Follower
from omnibot.following import FollowDesk, Follows, Wish
from omnibot.identity import Identity
from omnibot.limits import Limits
from omnibot.linking.desk import Ask, Desk
from omnibot.markup import code as code_span
from omnibot.markup import escape
from omnibot.message import Channel, Message, Reply, Sent
from omnibot.numbers import Numbers
from omnibot.people import People, Profile
from omnibot.policy import Policy
from omnibot.provider import Instance
from omnibot.runner import Place
from omnibot.session import ApiSession, Journal, Sessions
from omnibot.skill import Context, LinkedContext
from omnibot.tally import Tally
from omnibot.threads import in_thread
from omnibot.vault import Grant, Grants, PersonKeys

_MOST_REPEATS = 3
_TYPING_AFTER = 1.0
_LONGEST = 20_000
"""Characters of one reply; what a skill says beyond that is cut."""


class Missing(OmnibotError):
    """The command needs an account at *instance* that the speaker has not linked, or not with these *scopes*."""

    def __init__(self, instance: Instance, scopes: Sequence[str], *, more: Sequence[str] = ()) -> None:
        """Name the *instance*, the *scopes* to ask for there, and what *more* an account there only lacks."""
        super().__init__(instance.key)
        self.instance = instance
        self.scopes = tuple(scopes)
        self.more = tuple(more)


type Operate = Callable[[Identity, str, Mapping[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Services:
    """What every turn works with; put together once, by assembly."""

    prefix: str
    timeout: float
    """Seconds a command may run where it does not say."""

    book: Commands
    policy: Policy
    people: People
    instances: Instances
    sessions: Sessions
    delivery: Delivery
    audit: Audit
    grants: Grants
    defaults: Defaults
    desk: Callable[[Message, Identity, Callable[[Awaitable[None]], None], Ask], Desk]
    follows: Follows
    numbers: Numbers = field(default_factory=Numbers)
    limits: Limits = field(default_factory=Limits)
    tally: Tally = field(default_factory=Tally)
    operate: Operate | None = None
    """Does what an admin orders in chat, in that identity's name; None: nobody can here."""


@dataclass(frozen=True, slots=True)
class _AdminDesk:
    """What the speaker of *turn* can do as an admin by *command*; judged anew at each operation."""

    turn: "Turn"
    command: Command

    async def perform(self, op: str, **args: object) -> Any:
        message, services = self.turn.message, self.turn.services
        if not self.command.admin or not isinstance(message.speaker, Identity):
            raise Denied(f"`{self.command.name}` is no command for admins.")
        services.policy.check(message.speaker, message.assurance, self.command, message.channel)
        if services.operate is None:
            raise UserError("This bot cannot be administered in chat.")
        return await services.operate(message.speaker, op, args)


@dataclass(frozen=True, slots=True)
class _Lease:
    """A turn's sessions act for *identity*, while the turn has a grant and the account is within their reach."""

    turn: "Turn"
    identity: Identity

    def grant(self) -> Grant:
        return self.turn.live_grant()

    async def account(self, account: str) -> tuple[PersonKeys, Account] | None:
        profile = await self.turn.services.people.find(self.identity)
        if profile is None or not self.turn.acts_for(profile.person):
            return None
        found = next((one for one in profile.accounts if one.id == account and one.reaches(self.identity)), None)
        return None if found is None else (profile.keys, found)


@dataclass(slots=True, eq=False)
class Turn:
    """The handling of one message; see `omnibot.skill.Turn` for what a context may ask of it."""

    services: Services
    message: Message
    call: Call
    dialogs: Dialogs
    place: Place
    later: Callable[[Awaitable[None]], None]
    """Runs something after this turn, on its own."""

    journal: Journal = field(default_factory=Journal)
    said: int = 0
    """How many replies have been sent: each has its own idempotency key."""

    _id: str = field(default_factory=lambda: f"{random.getrandbits(32):08x}")
    """Tells this turn's replies from those of an earlier turn of the same message, which a link has resumed."""

    _private: bool = False
    """Whether a command that answers in private was performed, be it for another that does not."""

    _behind: dict[Api, Account] = field(default_factory=dict)
    """The account behind each session of this turn."""

    _asking: list[tuple[ApiSession, Effect]] = field(default_factory=list)
    """The sessions that can only read until the speaker says yes, and what they can do then."""

    _performing: list[Command] = field(default_factory=list)
    """The command of this turn, and those that it has performed by name and that are not done yet."""

    _profile: Profile | None = None
    _grant: Grant | None = None
    _clock: asyncio.Timeout | None = None
    _left: float = 0.0

    # -- running -----------------------------------------------------------------------

    async def run(self) -> None:
        """Check, bind, run the handler and say its answer; every error is raised to the dispatcher."""
        command = self.call.command
        self._check(command, self.message)  # before the arguments: of what is kept from them they learn no usage
        limit = self.services.timeout if command.timeout is None else command.timeout
        sign = None
        if self.services.delivery.has_typing(self.message.network):
            sign = asyncio.get_running_loop().call_later(_TYPING_AFTER, self._show_typing)
        try:
            async with asyncio.timeout(limit) as self._clock:
                result = await self.perform(
                    command, bind(command, self.call.rest, self.services.prefix), self.call.selector
                )
        finally:
            if sign is not None:
                sign.cancel()
            self.close()
        await self.answer(result)

    async def perform(self, command: Command, args: Mapping[str, Any], selector: str = "") -> object:
        """Run *command* with *args* as this turn's speaker; return what its handler returned.

        Raises:
            Denied: policy forbids it to the speaker.
            Missing: an account is not linked.
        """
        self._check(command, self.message)
        self._private = self._private or command.answer == "private"
        self._performing.append(command)
        try:
            return await self._perform(command, args, selector)
        finally:
            self._performing.remove(command)

    async def _perform(self, command: Command, args: Mapping[str, Any], selector: str) -> object:
        context = await self._linked(command, args, selector) if command.linked else self._context(command, selector)
        if command.effect == "destroy" and not command.asks:
            question = f"Really {code_span(self._shown(command))}? {escape(command.summary)}."
            if not await context.confirm(question):
                raise UserError("Not done.")
        if _is_async(command.handler):
            return await command.handler(context, **args)
        return await in_thread(partial(command.handler, context, **args))

    def _check(self, command: Command, said: Message) -> None:
        """Raise Denied if *command* is not for who *said* that; it runs where the turn's own message was said."""
        self.services.policy.check(said.speaker, said.assurance, command, self.message.channel)

    def close(self) -> None:
        """End this turn's grant; nothing can be opened under it any more."""
        if self._grant is not None:
            self.services.grants.close(self._grant)
            self._grant = None

    def _shown(self, command: Command) -> str:
        line = self.message.text.removeprefix(self.services.prefix)
        return line if command is self.call.command else command.name

    def _context(self, command: Command, selector: str) -> Context:
        return Context(self.message, command, self.services.prefix, _log(command.skill), self, selector=selector)

    async def _linked(self, command: Command, args: Mapping[str, Any], selector: str) -> LinkedContext:
        identity = self._identity()
        if lacking := self._not_set_up(command):
            raise UserError(f"The operator of this bot has not set up {lacking}, which `{command.name}` needs.")
        profile = self._profile = await self.services.people.find(identity)
        apis: dict[str, Api] = {}
        for provider, named in _needed(command, args, selector):
            meant = self.services.instances.plain(provider, named)
            account = await self._meant(command, profile, provider, meant) if profile else None
            scopes = command.scopes_of(provider)
            if account is None or profile is None:
                _refuse_held(profile, identity, provider, meant)
                raise Missing(await self._to_link(provider, meant), scopes)
            if account.status == "broken":  # its successor is asked for what it could do
                raise Missing(self.services.instances.get(provider, account.instance), (*account.scopes, *scopes))
            if not account.allows(scopes):
                instance = self.services.instances.get(provider, account.instance)
                lacks = [one for one in scopes if not account.allows((one,))]
                raise Missing(instance, (*account.scopes, *scopes), more=lacks)
            self._open_grant()
            effect: Effect = "read" if command.asks else command.effect
            lease = _Lease(self, identity)
            apis[provider] = one = self.services.sessions.session(profile.keys, account, lease, effect, self.journal)
            if command.asks:
                self._asking.append((one, command.effect))
            self._behind[apis[provider]] = account
        log = _log(command.skill)
        return LinkedContext(self.message, command, self.services.prefix, log, self, apis, selector=selector)

    async def _meant(self, command: Command, profile: Profile, provider: str, selector: str) -> Account | None:
        """Return the speaker's account that *command* is to act with; None if there is none.

        Where several may be meant, a command that only reads takes the oldest that works; any other
        asks: nothing is changed in an account that nobody named.
        """
        channel, defaults = self.message.channel, self.services.defaults
        found = accounts.candidates(
            profile.accounts,
            self._identity(),
            provider,
            selector,
            chosen=defaults.account(profile.person, channel, provider),
            about=defaults.instance(channel, provider),
        )
        if len(found) < 2 or command.effect == "read":
            return next((one for one in found if one.status == "active"), found[0] if found else None)
        names = tuple(f"{provider}@{one.alias}" for one in found)
        return found[names.index(await self.ask(f"Which account is `{command.name}` for?", names, private=True))]

    async def _to_link(self, provider: str, selector: str) -> Instance:
        """Return the instance of *provider* to link: the one named, the channel's, the only one, or the one picked."""
        services = self.services
        wanted = selector or services.defaults.instance(self.message.channel, provider)
        several = services.instances.of(provider)
        if not wanted and len(several) > 1 and "default" not in several:
            names = tuple(f"{provider}@{one}" for one in several)
            wanted = (await self.ask("Which one do you want to link?", names, private=True)).partition("@")[2]
        return await self.desk.instance(provider, wanted)

    def _identity(self) -> Identity:
        if not isinstance(self.message.speaker, Identity):
            raise Denied("I do not know who you are here.")
        return self.message.speaker

    def _open_grant(self) -> None:
        if not self.services.policy.trusts(self.message.network):
            raise Denied(f"{self.message.network} is not the network it was, so I act for nobody there.")
        if self._grant is None and self._profile is not None:
            self._grant = self.services.grants.open(self._profile.person, "command")

    def acts_for(self, person: str) -> bool:
        """Whether nothing has been joined or split meanwhile, so that the grant, if there is one, is for *person*."""
        return self._grant is None or self._grant.person == person

    def live_grant(self) -> Grant:
        """Return this turn's grant.

        Raises:
            GrantError: there is none: the turn has ended, or waits for an answer.
        """
        if self._grant is None:
            raise GrantError("this turn has ended")
        return self._grant

    # -- answering ---------------------------------------------------------------------

    @property
    def _discreet(self) -> bool:
        """Whether all is said in private, whatever a handler forgets to say so of (A43); or by the operator's wish."""
        private = self._private or self.call.command.answer == "private"
        return private or self.services.policy.discreet(self.message.channel)

    async def answer(self, result: object) -> None:
        """Say what a handler returned: a string of Markdown, a `Reply`, or nothing."""
        reply = result if isinstance(result, Reply) else Reply(str(result)) if result not in (None, "") else None
        if reply is not None:
            await self.say(reply, private=self.call.command.answer == "private")

    async def say(self, reply: Reply, *, private: bool) -> Sent | None:
        """Say *reply* where the message came from, or to its speaker alone."""
        speaker, channel = self.message.speaker, self.message.channel
        private = private or self._discreet
        self.said += 1
        key = f"{self.message.network}:{self.message.id}:{self._id}:{self.said}"
        text = reply.text if len(reply.text) <= _LONGEST else f"{reply.text[:_LONGEST]}\n… (cut)"
        reply = replace(reply, text=text, answers=self.message)
        if private and not channel.private and not isinstance(speaker, Identity):
            if not self.call.command.linked:  # a linked one never runs for a guest: this says why, and how to log in
                reply = Reply("I can tell you that only in a private conversation.", answers=self.message)
            private = False
        if not private or not isinstance(speaker, Identity):
            return await self.services.delivery.to_channel(channel, reply, key)
        sent = await self.services.delivery.to_identity(speaker, reply, near=self.message, key=key)
        if not channel.private and (sent is None or not sent.here):
            await self._say_where(channel, sent is not None, key)
        return None

    async def _say_where(self, channel: Channel, reached: bool, key: str) -> None:
        words = (
            "I have answered you in private."
            if reached
            else ("I have an answer for you and cannot reach you in private. Open a private conversation with me.")
        )
        if self.said == 1:
            await self.services.delivery.to_channel(channel, Reply(words, answers=self.message), f"{key}:where")

    def _show_typing(self) -> None:
        self.later(self.services.delivery.typing(self.message.channel))

    # -- asking ------------------------------------------------------------------------

    async def ask(self, question: str, choices: Sequence[str], *, private: bool) -> str:
        """Ask the speaker, and return the answer; a choice is answered by its number or its word, or cancelled.

        While it waits, the turn has no grant, no place in the speaker's order, and its clock stands still.
        """
        private = private and not self.message.channel.private
        if private and not isinstance(self.message.speaker, Identity):
            raise UserError("I can ask you that only in a private conversation.")
        asked, name = question, secrets.token_hex(8)
        for _ in range(_MOST_REPEATS):
            with self.dialogs.asking(name):
                await self.say(Reply(asked, tuple(choices), question=name), private=private)
                text = await self._wait(private or self._discreet, name)
            chosen = _chosen(text, choices)
            if chosen is not None:
                return chosen
            if text.lower() == "cancel":
                raise Cancelled
            asked = f"{question} Say one of these, or `cancel`."
        raise UserError(f"I asked for one of {', '.join(choices)}.")

    async def _wait(self, private: bool, question: str) -> str:
        had_grant = self._grant is not None
        self.close()
        self._stop_clock()
        try:
            async with self.place.away():
                answer = await self.dialogs.wait(self.message, private=private, question=question)
        finally:
            self._start_clock()
        for command in (self.call.command, *self._performing):  # much may happen meanwhile
            self._check(command, answer)
        if had_grant:
            self._profile = await self.services.people.find(self._identity())
            self._open_grant()
        return answer.text.removeprefix(self.services.prefix).strip()

    def _stop_clock(self) -> None:
        if self._clock is not None and (when := self._clock.when()) is not None:
            self._left = when - asyncio.get_running_loop().time()
            self._clock.reschedule(None)

    def _start_clock(self) -> None:
        if self._clock is not None:
            self._clock.reschedule(asyncio.get_running_loop().time() + self._left)

    def confirmed(self) -> None:
        """Let the sessions of a command that asks by itself do what it is for: the speaker has said yes."""
        while self._asking:
            session, effect = self._asking.pop()
            session.widen(effect)

    # -- other commands and accounts ---------------------------------------------------

    async def invoke(self, name: str, args: Mapping[str, object]) -> object:
        """Run the command *name* with *args* as the same speaker, under the same grant and policy."""
        call = self.services.book.find(name)
        if call is None or call.rest:
            raise LookupError(f"there is no command `{name}`")
        missing = [one.name for one in call.command.parameters if one.required and one.name not in args]
        if missing:
            raise TypeError(f"`{name}` wants {', '.join(missing)}")
        full = {one.name: args.get(one.name, one.default) for one in call.command.parameters}
        return await self.perform(call.command, full, call.selector)

    def visible(self) -> list[Command]:
        """Return the commands this speaker may use here, apart from those for services that are not set up."""
        allows, message = self.services.policy.allows, self.message
        who = (message.speaker, message.assurance)
        allowed = [one for one in self.services.book if allows(*who, one, message.channel)]
        return [one for one in allowed if not self._not_set_up(one)]

    def _not_set_up(self, command: Command) -> str:
        """Return a provider that *command* names and the operator has not configured; empty if there is none."""
        known = self.services.instances.names()
        return next((one for one in command.providers if one not in known), "")

    @property
    def acts_as(self) -> list[str]:
        """The accounts that this turn has acted with, as ``provider@instance``, each once: never a login."""
        return list(dict.fromkeys(f"{one.provider}@{one.instance}" for one in self._behind.values()))

    def admin(self, command: Command) -> AdminDesk:
        """Return what the speaker can do as an admin, by *command*.

        Raises:
            Denied: *command* is not for admins.
        """
        if not command.admin:
            raise Denied(f"`{command.name}` is no command for admins.")
        return _AdminDesk(self, command)

    @property
    def desk(self) -> Desk:
        """The speaker's own accounts."""
        return self.services.desk(self.message, self._identity(), self.later, partial(self.ask, private=True))

    async def follow(
        self, api: Api, command: Command, follower: Follower, title: str, arguments: str, lasting: float
    ) -> None:
        """Let *follower* look, with the account behind *api*, until it is done; told as *command* answers.

        Raises:
            GrantError: this turn has ended: what it left behind asks for nothing more.
        """
        self.live_grant()
        private = self._discreet or command.answer == "private" or self.message.channel.private
        account = self._behind[api].id
        wish = Wish(follower, arguments, title, account, command.name, self.message, private, lasting)
        await self.services.follows.begin(self._identity(), wish)

    @property
    def follows(self) -> FollowDesk:
        """What is followed for the speaker."""
        return FollowDesk(self.services.follows, self._identity(), self.services.prefix)

    def number(self, api: Api, command: Command, things: Sequence[str], name: str) -> None:
        """Let numbers mean *things* to the speaker, for *command*'s skill and the account behind *api*."""
        self.services.numbers.keep(self._whose(api, command, name), things)

    def numbered(self, api: Api, command: Command, number: int, name: str) -> str:
        """Return what *number* means there.

        Raises:
            UserError: nothing.
        """
        return self.services.numbers.meant(self._whose(api, command, name), number)

    def _whose(self, api: Api, command: Command, name: str) -> tuple[str, ...]:
        """Return whose list it is: nobody else's number means anything in it.

        It is of the account as the service knows it: one that is linked anew, for more rights, has the list still.
        """
        who, account = self._identity(), self._behind[api]
        there = (account.provider, account.instance, account.external)
        return (who.network, who.subject, who.epoch, command.skill, *there, name)


def _refuse_held(profile: Profile | None, identity: Identity, provider: str, meant: str) -> None:
    """Say so where the only account there is waits for an admin: a new link would only be held as well.

    Raises:
        UserError: it does.
    """
    for one in profile.accounts if profile else ():
        if one.provider == provider and one.status == "held" and one.reaches(identity) and meant in ("", one.alias):
            raise UserError(
                f"Your account {escape(one.login)} there is held: somebody else linked it first, and an admin of this "
                "bot decides. To use another account of yours, link that."
            )


def _needed(command: Command, args: Mapping[str, Any], selector: str) -> list[tuple[str, str]]:
    """Return each provider that *command* needs, and the instance or alias that was named for it."""
    if command.provider_from:
        provider, _, meant = str(args[command.provider_from]).lower().partition("@")
        return [(provider, meant)]
    return [(provider, selector.lower() if place == 0 else "") for place, provider in enumerate(command.providers)]


def _chosen(text: str, choices: Sequence[str]) -> str | None:
    if not choices:
        return text
    if text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= len(choices):
        return choices[int(text) - 1]
    matching = [one for one in choices if one.lower() == text.lower()] or [
        one for one in choices if text and one.lower().startswith(text.lower())
    ]
    return matching[0] if len(matching) == 1 else None


@cache
def _log(skill: str) -> logging.Logger:
    return logging.getLogger(f"omnibot.skill.{skill}")


@lru_cache(1000)
def _is_async(handler: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(handler)
