"""What a network must do for the bot, and what it is given.

An adapter turns what it hears into `Message` and what it is told to say into the
network's own form.  It knows nothing of accounts, skills or the web.  The module
``adapters.<name>`` offers two names: ``Settings``, a pydantic model of its options, and
``Adapter``, a class built as ``Adapter(tools, settings)`` that keeps this contract;
`omnibot.testing.conformance` checks it.  It may offer more: ``check``, which is `Check`, ``setup``, which is a
`Setup`, and ``fold``, which is `Fold`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from omnibot.command import Command
from omnibot.identity import Identity
from omnibot.message import Channel, Message, Private, Reply, Sent


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the network can do beyond sending text; what it cannot is degraded, never refused."""

    edit: bool = False
    buttons: bool = False
    select: bool = False
    form: bool = False
    ephemeral: bool = False
    retract: bool = False
    react: bool = False
    typing: bool = False
    thread: bool = False
    image: bool = False
    file: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the network takes at once."""

    text: int
    """The longest message, in *unit*."""

    unit: Literal["bytes", "chars"] = "chars"
    lines: int | None = None
    """How many lines may be sent at once before the rest is held back; None: as many as needed."""

    edit_every: float = 1.0
    """Seconds to let pass between two edits of one message."""


class Deliver(Protocol):
    """What an adapter calls with what it heard, in order."""

    def __call__(self, messages: Sequence[Message], position: str | None = None) -> Awaitable[None]:
        """Take *messages*; with a *position*, return only when both are durable.  Bounded: it may wait."""
        ...


class Ready(Protocol):
    """What an adapter calls after each connect."""

    def __call__(self, realm: str) -> Awaitable[None]:
        """Note that the network answers, and which *realm* it says it is."""
        ...


class Store(Protocol):
    """An adapter's own rows; ``secrets`` is the same, sealed by the vault."""

    async def get(self, key: str) -> bytes | None:
        """Return the value of *key*, or None."""
        ...

    async def set(self, key: str, value: bytes) -> None:
        """Keep *value* under *key*, durable on return."""
        ...

    async def delete(self, key: str) -> None:
        """Forget *key*."""
        ...


RESTORED = "restored"
"""File in an adapter's folder that says that its state comes from a backup (`Tools.directory`)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``omnibot check`` looked at: whole sentences, in plain text."""

    level: Literal["good", "note", "wrong"]
    what: str
    cure: str = ""
    """How to mend it."""

    why: str = ""
    """Why it matters."""

    @property
    def mark(self) -> str:
        """What stands before it: five characters."""
        return {"good": "ok   ", "note": "note ", "wrong": "WRONG"}[self.level]

    def __str__(self) -> str:
        """Return all of it in one line."""
        return " ".join(filter(None, (self.mark, self.what, self.why, self.cure)))


async def _no_position() -> str | None:
    return None


def _never() -> asyncio.Event:
    return asyncio.Event()


def _nobody_waits(identity: Identity) -> None:
    """Keep nothing for *identity*."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What an adapter is given; everything else it brings itself."""

    network: str
    """Its name in the configuration."""

    prefix: str
    """What starts a command in a channel."""

    store: Store
    secrets: Store
    directory: Path
    """A folder of its own, mode 0700, made on first use by the adapter.

    The SQLite files in it are in backups, and nothing else.  Where it has a file `RESTORED`, all that is in it, and
    in both stores, was put back from a backup: what must not be used twice, as the keys of a device, is not to be
    gone on with.  The adapter that heeds that removes the file.
    """

    log: logging.Logger
    commands: Callable[[], Iterable[Command]]
    """Every loaded command, for completion and native command menus."""

    position: Callable[[], Awaitable[str | None]] = _no_position
    """The last position that was delivered with messages, for a network that redelivers; None before the first."""

    changed: Callable[[], asyncio.Event] = _never
    """Gives what is set when the commands have changed next: a menu that was made of them before is made anew then."""

    reachable: Callable[[Identity], None] = _nobody_waits
    """To be called when somebody who could not be reached in private can be from now on: what was kept for them
    is given.  Who speaks in private is reachable anyhow."""


class Restored(Protocol):
    """What an adapter's module may have for ``omnibot restore``."""

    def __call__(self, settings: Any) -> str:
        """Return, in sentences for the operator, what becomes of a network that was restored; empty: nothing."""
        ...


class Fold(Protocol):
    """What an adapter's module has where its networks take several spellings of a name for one: pure, and quick.

    What operators write of people and rooms is compared by it (`omnibot.policy`).  ``*``, ``?`` and ``:`` stay.
    """

    def __call__(self, name: str, *, wide: bool) -> str:
        """Return the one spelling of *name*: a subject, a room's id, or a pattern of such.

        *wide*: as the network that takes the most for the same would have it, for what is forbidden; else
        as all of them have it, for what is allowed.
        """
        ...

    def __hash__(self) -> int:
        """As a function has it: what was folded is remembered."""
        ...


class Check(Protocol):
    """What an adapter's module may have for ``omnibot check``."""

    def __call__(self, tools: Tools, settings: Any) -> Awaitable[Iterable[Finding]]:
        """Look at the network that *settings*, the adapter's own, are for, and say what is well and what is not.

        The bot may be running: change nothing, here or there, and log in nowhere.  Both stores of *tools* can
        only be read.  A finding does not name the network, which is put in front of it.

        Raises:
            OmnibotError: what could not be looked at, and why.
        """
        ...


def _as_typed(answer: str) -> Any:
    return answer


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that ``omnibot init`` asks for a network."""

    key: str
    """The option that the answer is for; of one within another, both: ``sasl.password``."""

    prompt: str
    """What is asked for, in a few words: ``Server``."""

    default: str = ""
    """What is taken where nothing is typed."""

    optional: bool = False
    """Whether there may be no answer: then the option is left out."""

    secret: bool = False
    """Whether it is typed unseen, and kept in a file of its own."""

    after: str = ""
    """The key of another question: this one is asked only if that was answered."""

    unless: str = ""
    """The key of another question: this one is asked only if that was not answered."""

    value: Callable[[str], Any] = _as_typed
    """Make the option of what was typed, which is not empty; raise ValueError, with words for people."""


class Attempt(Protocol):
    """How ``omnibot init`` tries what was answered."""

    def __call__(self, settings: Any) -> Awaitable[Iterable[Finding]]:
        """Log in with *settings*, the adapter's own, and out again; say how that went.

        Nothing may be left of it, here or there: no device, no message, no channel that was joined.

        Raises:
            OmnibotError, OSError, TimeoutError: what could not be done.
        """
        ...


def _no_lines(settings: Any) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Setup:
    """What an adapter's module may have, as ``setup``, for ``omnibot init``: how somebody is led to its options."""

    title: str
    """What the network is called: ``Matrix``."""

    before: str = ""
    """What the operator needs to have before, and how they get it."""

    questions: Sequence[Question] = ()
    """Asked in this order."""

    attempt: Attempt | None = None
    who: str = ""
    """What a person's subject is there, as a noun: ``the name of their services account``."""

    invite: Callable[[Any], Sequence[str]] = _no_lines
    """Return how a bot with such settings is brought to where people are: a line each."""


class Adapter(Protocol):
    """One connection to one network."""

    capabilities: Capabilities
    limits: Limits

    async def run(self, deliver: Deliver, ready: Ready) -> None:
        """Connect, hear and *deliver* until cancelled; return when the network ended for good by itself.

        Raises:
            Refused: the network turns the bot away for good; it is said once and not retried.
            Exception: anything else is logged, and ``run`` is called again after a backoff.
        """
        ...

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*; a second call with the same *key* says nothing again.

        Raises:
            NoPrivateWay: *to* is private and there is, at this moment, no way with one reader only.
            NotDelivered: the network did not take it.
        """
        ...

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Change what was *sent* into *reply*; where the network cannot, say it anew."""
        ...

    async def retract(self, message: Message) -> bool:
        """Remove somebody's *message* from the room; return whether it is gone."""
        ...

    async def typing(self, channel: Channel) -> None:
        """Show that an answer is being made; nothing where the network has no such sign."""
        ...

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether *identity* can, at this moment, read *channel*."""
        ...
