"""What looks how something stands after a command has ended, and what a person may see and end of it.

A *follower* is a function of a skill, declared by `Skill.follower` and set to work by
`LinkedContext.follow`.  It looks with the person's own account, and can change nothing.
"""

import inspect
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from omnibot.api import AccountView, Api

LONGEST_TITLE = 200
LONGEST_ARGUMENTS = 2000
LOOK_EVERY = (2.0, 600.0)
"""Seconds between two looks of a follower: the least, and the most."""

FOLLOW_SECONDS = 3600.0
LONGEST_FOLLOW = 7 * 86400.0

RESERVED = frozenset({"lasting", "provider"})
"""Names that `LinkedContext.follow` has taken, so that no follower can be given an argument by them."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How something that is followed stands."""

    text: str
    """Markdown; data in it has been through `markup.escape`.  The same text twice is said once."""

    done: bool = False
    """Whether that was the last look: then the text is said in any case, and the follow ends."""

    news: bool = False
    """Whether it is something that happened, and no state: said by a message of its own, replaced by no later one."""


type Look = Callable[..., Coroutine[Any, Any, Progress]]


class LastLook(Protocol):
    """What the last look of a follow left, to tell what is new."""

    async def changed(self, api: Api, path: str, params: Mapping[str, object]) -> Any | None:
        """GET *path* unless it is as it was."""
        ...


@dataclass(frozen=True, slots=True)
class FollowContext:
    """What a follower gets for one look, beside its arguments."""

    api: Api
    """HTTP as the person, for this look only; it sends nothing but GET and HEAD."""

    log: logging.Logger
    last: LastLook = field(repr=False)
    """For `changed`."""

    said: str = field(default="", repr=False)
    """What the person was told last, as a look gave it; empty: nothing yet.  It survives a restart."""

    @property
    def account(self) -> AccountView:
        """Whose account `api` acts with."""
        return self.api.account

    async def changed(self, path: str, **params: object) -> Any | None:
        """GET, unless it is what this follow's last look got; then, and where nothing came, return None.

        The service is asked with the validators that it gave (ETag, Last-Modified); where it gives none,
        and at the first look after a restart, it is a plain GET.  On None say nothing: ``Progress("")``.
        """
        return await self.last.changed(self.api, path, params)


@dataclass(frozen=True, slots=True)
class Follower:
    """A function that looks how something stands; made by `Skill.follower`."""

    skill: str
    name: str
    every: float
    """Seconds between two looks."""

    look: Look = field(repr=False, compare=False)

    def arguments(self, given: Mapping[str, object]) -> str:
        """Return *given* as JSON, in one form for equal arguments.

        Raises:
            TypeError: they do not fit the function, or do not survive JSON.
        """
        inspect.signature(self.look).bind(None, **given)
        try:
            text = json.dumps(given, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"the arguments of {self.name} are not JSON: {error}") from None
        if json.loads(text) != dict(given) or len(text) > LONGEST_ARGUMENTS:
            raise TypeError(f"the arguments of {self.name} do not survive JSON of {LONGEST_ARGUMENTS} characters")
        return text


@dataclass(frozen=True, slots=True)
class FollowView:
    """What a person may see of something that is followed for them."""

    number: int
    """By which it is ended: its own as long as it lasts."""

    title: str
    """Markdown, as the skill gave it."""

    service: str
    """Title of the instance: ``Redmine (work)``."""

    age: float
    """Seconds since it was asked for."""

    left: float
    """Seconds until it ends by itself."""

    said: str = ""
    """What was said last, in Markdown."""


@dataclass(frozen=True, slots=True)
class QuietView:
    """When a person is told nothing of what is followed for them."""

    hours: str
    """``22:00-07:00``."""

    zone: str
    """Of which clock: ``Europe/Berlin``."""

    until: str = ""
    """When they end, by that clock, if it is quiet now: ``07:00``."""


class FollowDesk(Protocol):
    """What a person can do about what is followed for them: for the ``following`` skill.

    Everything here concerns the speaker of the message being handled and nobody else.
    """

    async def all(self) -> list[FollowView]:
        """Return what is followed for the speaker, by number."""
        ...

    async def end(self, number: int) -> FollowView:
        """Follow that no longer; return what it was."""
        ...

    async def quiet(self) -> QuietView | None:
        """Return the speaker's quiet hours, if there are any."""
        ...

    async def be_quiet(self, hours: str, zone: str = "") -> QuietView:
        """Tell nothing of it between such *hours* (``22:00-07:00``), by the clock of *zone*; empty: UTC."""
        ...

    async def end_quiet(self) -> bool:
        """Have no quiet hours any more; return whether there were some."""
        ...
