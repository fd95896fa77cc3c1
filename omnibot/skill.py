"""What a skill is, and what its handlers are given.

A skill is a set of commands, declared by decorating functions::

    skill = Skill("hello")


    @skill.command
    async def hello(ctx: Context, name: str = "world") -> str:
        \"\"\"Greet somebody.\"\"\"
        return fmt("Hello, **{}**!", name)

The command's words, arguments and help come from the signature and the docstring.  A
*linked* command acts with the speaker's own account, and only its context has `.api`:
forgetting the link is a type error, not a leak.
"""

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, overload

from omnibot.admindesk import AdminDesk
from omnibot.api import AccountView, Api
from omnibot.command import WORD, Answering, Command, Effect, Handler, read_docstring, read_signature
from omnibot.desk import Desk
from omnibot.follower import (
    FOLLOW_SECONDS,
    LONGEST_FOLLOW,
    LONGEST_TITLE,
    LOOK_EVERY,
    RESERVED,
    FollowDesk,
    Follower,
    Look,
)
from omnibot.identity import Assurance
from omnibot.message import Message, Reply, Sent

MOST_WORDS = 3
MOST_UNDER_ONE = 25
LONGEST_SUMMARY = 100


class Skill:
    """A set of commands under one word.

    A function ``issue_new`` of the skill ``github`` is spoken ``!github issue new``; the
    function named like its skill is the bare word.  A *bare* skill's functions are
    spoken without the skill's word: ``!link``.
    """

    def __init__(self, name: str, *, aliases: Sequence[str] = (), bare: bool = False) -> None:
        """Name the skill.

        Raises:
            ValueError: *name* or an alias is not ``[a-z0-9-]{1,32}``.
        """
        for word in (name, *aliases):
            if not WORD.fullmatch(word):
                raise ValueError(f"skill {name}: `{word}` is not a word of [a-z0-9-], 1 to 32 long")
        self.name = name
        self.aliases = tuple(aliases)
        self.bare = bare
        self.module = ""
        """By which name the configuration loads it; known once it is loaded."""

        self.commands: list[Command] = []
        self.followers: list[Follower] = []

    @overload
    def command[H: Handler](self, handler: H, /) -> H: ...

    @overload
    def command[H: Handler](
        self,
        /,
        *,
        effect: Effect = "read",
        answer: Answering = "channel",
        minimum: Assurance | None = None,
        admin: bool = False,
        secret: str = "",
        cooldown: float = 0.0,
        timeout: float | None = None,
        also: Sequence[str] = (),
    ) -> Callable[[H], H]: ...

    def command(self, handler: Handler | None = None, /, **options: Any) -> Any:
        """Declare a command that needs no account.  Keywords are those of `Command`.

        *also* names further spellings, after the skill's word: ``("set up auth",)``.  Menus do not offer them.
        *admin*: it is for the operator's admins alone; help and menus show it to nobody else.

        Raises:
            ValueError, TypeError: the command does not fit every network's limits.
        """
        if handler is not None:
            self._add(handler, {})
            return handler
        return self._decorator(options)

    def linked[H: Handler](
        self,
        *providers: str,
        by: str = "",
        scopes: Sequence[str] | Mapping[str, Sequence[str]] = (),
        effect: Effect = "read",
        asks: bool = False,
        answer: Answering = "private",
        minimum: Assurance = Assurance.ACCOUNT,
        secret: str = "",
        cooldown: float = 0.0,
        timeout: float | None = None,
        also: Sequence[str] = (),
    ) -> Callable[[H], H]:
        """Declare a command that acts with the speaker's accounts at *providers*.

        Args:
            providers: in the order they are asked for; ``ctx.api`` is the first's.
            by: instead of *providers*, the name of the parameter in which the person says the provider.
            scopes: what it needs of the first provider beyond the base scopes; or, by name, of each.
            effect: ``read`` refuses unsafe methods, ``destroy`` asks the person before it runs.
            asks: with ``destroy``, let the handler ask by `Context.confirm`, once it knows what is to go; it can only
                read before the yes.
            answer: ``private``, or ``channel`` for what the provider shows to everybody.
            minimum: how strongly the message must be vouched for.
            secret: the parameter that holds one: taken in private only, and never kept for after a link.
            cooldown: seconds between two uses by one speaker.
            timeout: seconds it may run; None: the configured default.
            also: further spellings, after the skill's word: ``("set up auth",)``.  Menus do not offer them.

        Raises:
            ValueError, TypeError: the command does not fit every network's limits.
        """
        if bool(providers) == bool(by):
            raise ValueError(f"skill {self.name}: a linked command names its providers, or `by` a parameter, not both")
        needs = dict(scopes) if isinstance(scopes, Mapping) else dict.fromkeys(providers[:1] or ("",), scopes)
        if unknown := set(needs).difference(providers or ("",)):
            raise ValueError(f"skill {self.name}: scopes are named for {min(unknown)}, which the command does not name")
        return self._decorator(
            {
                "providers": providers,
                "provider_from": by,
                "scopes": tuple(needs.get(providers[0] if providers else "", ())),
                "further_scopes": tuple((name, tuple(needs[name])) for name in providers[1:] if name in needs),
                "effect": effect,
                "asks": asks,
                "answer": answer,
                "minimum": minimum,
                "secret": secret,
                "cooldown": cooldown,
                "timeout": timeout,
                "also": also,
            }
        )

    def follower(self, *, every: float = 5.0) -> "Callable[[Look], Follower]":
        """Declare a function that looks how something stands, for `LinkedContext.follow`.

        It is found again by its name after a restart, so a function that is renamed ends what it followed.

        Args:
            every: seconds between two looks, 2 to 600; more while the service is in trouble.

        Raises:
            ValueError, TypeError: *every* is out of bounds, the name is taken, or it is no ``async`` function.
        """
        if not LOOK_EVERY[0] <= every <= LOOK_EVERY[1]:
            raise ValueError(f"skill {self.name}: a follower looks every 2 to 600 seconds, not every {every:g}")

        def declare(look: Look) -> Follower:
            one = Follower(self.name, look.__name__, every, look)
            if any(other.name == one.name for other in self.followers):
                raise ValueError(f"skill {self.name}: two followers are called {one.name}")
            if not inspect.iscoroutinefunction(look):
                raise TypeError(f"skill {self.name}: the follower {one.name} is no async function")
            if taken := RESERVED.intersection(inspect.signature(look).parameters):
                raise TypeError(f"skill {self.name}: a follower has no argument called {min(taken)}")
            self.followers.append(one)
            return one

        return declare

    def _decorator[H: Handler](self, options: Mapping[str, Any]) -> Callable[[H], H]:
        def declare(handler: H) -> H:
            self._add(handler, options)
            return handler

        return declare

    def _add(self, handler: Handler, options: Mapping[str, Any]) -> None:
        name = handler.__name__.strip("_")
        words = tuple(name.replace("__", "-").split("_"))
        path = words if self.bare else (self.name,) if name == self.name.replace("-", "_") else (self.name, *words)
        summary, details = read_docstring(handler)
        start = () if self.bare else (self.name,)
        also = tuple((*start, *one.split()) for one in options.get("also", ()))
        given = {**options, "also": also}
        command = Command(path, self.name, handler, summary, details, read_signature(handler), **given)
        _check(command, self.commands)
        self.commands.append(command)


def _check(command: Command, others: Iterable[Command]) -> None:
    """Hold *command* to the tightest network's limits (Discord's), on every network."""
    name = f"skill {command.skill}, command `{command.name}`"
    if len(command.path) > MOST_WORDS or not all(WORD.fullmatch(word) for word in command.path):
        raise ValueError(f"{name}: at most {MOST_WORDS} words of [a-z0-9-], each 1 to 32 long")
    spelled = [command.path, *command.also]
    if len(set(spelled)) < len(spelled) or not all(command.also):
        raise ValueError(f"{name}: a further spelling is empty, or there twice")
    if not all(WORD.fullmatch(word) for path in command.also for word in path):
        raise ValueError(f"{name}: a further spelling has words of [a-z0-9-], each 1 to 32 long")
    if not command.summary or len(command.summary) > LONGEST_SUMMARY:
        raise ValueError(f"{name}: its docstring's first line must be 1 to {LONGEST_SUMMARY} characters")
    siblings = {one.path[: len(command.path)] for one in others if one.path[:-1] == command.path[:-1]}
    if len(command.path) > 1 and len(siblings | {command.path}) > MOST_UNDER_ONE:
        raise ValueError(f"{name}: more than {MOST_UNDER_ONE} commands under one word")
    if len(command.parameters) > MOST_UNDER_ONE:
        raise ValueError(f"{name}: more than {MOST_UNDER_ONE} parameters")
    for named in (command.provider_from, command.secret):
        if named and named not in {one.name for one in command.parameters}:
            raise ValueError(f"{name}: no parameter is called {named}")


class Turn(Protocol):
    """The dispatcher's side of a context: one message being handled."""

    async def say(self, reply: Reply, *, private: bool) -> Sent | None:
        """Send *reply* to where the message came from, or to the speaker alone."""
        ...

    async def ask(self, question: str, choices: Sequence[str], *, private: bool) -> str:
        """Ask, and return the speaker's next message there."""
        ...

    def confirmed(self) -> None:
        """Take note that the speaker has said yes to what the handler asked."""
        ...

    async def invoke(self, name: str, args: Mapping[str, object]) -> object:
        """Run another command as the same person."""
        ...

    def visible(self) -> list[Command]:
        """Return the commands this speaker may use here."""
        ...

    @property
    def desk(self) -> Desk:
        """The speaker's own accounts."""
        ...

    async def follow(
        self, api: Api, command: Command, follower: Follower, title: str, arguments: str, lasting: float
    ) -> None:
        """Let *follower* look, with the account behind *api*, until it is done."""
        ...

    @property
    def follows(self) -> FollowDesk:
        """What is followed for the speaker."""
        ...

    def admin(self, command: Command) -> AdminDesk:
        """Return what the speaker can do as an admin, by *command*."""
        ...

    def number(self, api: Api, command: Command, things: Sequence[str], name: str) -> None:
        """Let numbers mean *things* to the speaker, in the skill of *command* and with the account behind *api*."""
        ...

    def numbered(self, api: Api, command: Command, number: int, name: str) -> str:
        """Return what *number* means there."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler gets: the message, and ways to answer it."""

    message: Message
    command: Command
    prefix: str
    log: logging.Logger
    _turn: Turn
    selector: str = field(default="", kw_only=True)
    """The instance or account that was named behind the command's first word: ``work`` in ``!redmine@work list``."""

    async def say(self, text: str | Reply, *, private: bool = False) -> Sent | None:
        """Say something before the handler's own answer."""
        return await self._turn.say(text if isinstance(text, Reply) else Reply(text), private=private)

    async def ask(self, question: str, *, private: bool = False) -> str:
        """Ask *question*; return the next thing the same person says there within two minutes.

        A new command of theirs ends the waiting, and this handler with it.  Ask for secrets
        with *private* only.
        """
        return await self._turn.ask(question, (), private=private)

    async def choose(self, question: str, choices: Sequence[str], *, private: bool = False) -> str:
        """Let the person pick one of *choices*, by button, number or word; return it."""
        return await self._turn.ask(question, choices, private=private)

    async def confirm(self, question: str) -> bool:
        """Ask for a yes; everything else is a no."""
        said = await self._turn.ask(question, ("yes", "no"), private=False) == "yes"
        if said:
            self._turn.confirmed()
        return said

    async def invoke(self, name: str, **args: object) -> object:
        """Run the command *name* (``"jenkins build"``) as the same person; return what its handler returned.

        Policy and assurance are checked as if the person had said it.
        """
        return await self._turn.invoke(name, args)

    def commands(self) -> list[Command]:
        """Return the commands that the speaker may use here."""
        return self._turn.visible()

    @property
    def accounts(self) -> Desk:
        """The speaker's own accounts."""
        return self._turn.desk

    @property
    def follows(self) -> FollowDesk:
        """What is followed for the speaker."""
        return self._turn.follows

    @property
    def admin(self) -> AdminDesk:
        """What the speaker can do to the bot, in a command that is for admins.

        Raises:
            Denied: it is not, or the speaker is none.
        """
        return self._turn.admin(self.command)


@dataclass(frozen=True, slots=True)
class LinkedContext(Context):
    """The context of a linked command: it also has the speaker's accounts to act with."""

    apis: Mapping[str, Api]
    """One for each provider the command names."""

    @property
    def api(self) -> Api:
        """The first provider's."""
        return next(iter(self.apis.values()))

    @property
    def account(self) -> AccountView:
        """Whose account `api` acts with."""
        return self.api.account

    async def follow(
        self,
        follower: Follower,
        title: str,
        /,
        *,
        lasting: float = FOLLOW_SECONDS,
        provider: str = "",
        **arguments: object,
    ) -> None:
        """Look, with this account, how something stands, beyond the end of this command.

        Returns when that is durable: it survives a restart.  The person is told what *follower*
        says, in private if this command answers in private.  The same follower with the same
        arguments and account replaces what was followed before.

        Args:
            follower: made by `Skill.follower`.
            title: what the person is shown, in Markdown: ``your server starts``.
            lasting: seconds after which it ends by itself; seven days at most.
            provider: at which of the command's providers; empty: the first.
            arguments: what the follower is called with; JSON values.

        Raises:
            UserError: too much is followed for the person, or the account is no longer theirs.
            ValueError, TypeError: it cannot be followed so.
        """
        if not 0 < lasting <= LONGEST_FOLLOW:
            raise ValueError(f"something is followed for up to {LONGEST_FOLLOW:.0f} seconds, not {lasting:g}")
        if not 0 < len(title) <= LONGEST_TITLE or "\n" in title:
            raise ValueError(f"the title of a follow is one line of 1 to {LONGEST_TITLE} characters")
        api = self.apis[provider] if provider else self.api
        await self._turn.follow(api, self.command, follower, title, follower.arguments(arguments), lasting)

    def number(self, things: Sequence[str], name: str = "") -> None:
        """Let numbers, from 1 on, mean *things*: what the person is shown now, with this account.

        They mean something to this identity alone, and until the bot is restarted; lists with a *name* of their
        own do not disturb each other.
        """
        self._turn.number(self.api, self.command, things, name)

    def numbered(self, number: int, name: str = "") -> str:
        """Return what *number* meant in the list that was shown last.

        Raises:
            UserError: nothing.
        """
        return self._turn.numbered(self.api, self.command, number, name)
