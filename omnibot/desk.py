"""What a person can do about their own accounts and identities, as the ``accounts`` skill is given it."""

from dataclasses import dataclass
from typing import Literal, Protocol

from omnibot.api import AccountView
from omnibot.identity import Identity


@dataclass(frozen=True, slots=True)
class IdentityView:
    """What a person is shown of one of their identities."""

    identity: str
    """Qualified: ``libera:ada``."""

    display: str
    since: float
    """Unix seconds."""

    vouched: str
    """How strongly it was vouched for when it was joined with another: ``account`` or ``strong``; empty: never."""

    speaks: bool
    """Whether it is the one that asks."""


@dataclass(frozen=True, slots=True)
class RecordView:
    """What a person is shown of one thing that is on record about them; nothing in it is a secret."""

    at: float
    """Unix seconds."""

    event: str
    """``command``, or a dotted code: ``link.confirmed``."""

    network: str
    """Where they were; empty where that does not matter."""

    command: str = ""
    """Its words, without arguments: those are never recorded."""

    skill: str = ""
    acted_as: tuple[str, ...] = ()
    """``provider@instance`` of each account it acted with; of an event, what it was about."""

    outcome: str = ""
    """How it ended, as a word or the name of an error; of an event, its reason as a code."""

    requests: int = 0
    changes: int = 0
    """How many of the requests may have changed something there."""

    upstream: tuple[str, ...] = ()
    """How the services themselves call the latest requests."""


class Desk(Protocol):
    """What a person can do about their own accounts: for the ``accounts`` skill.

    Everything here concerns the speaker of the message being handled and nobody else.
    """

    async def link(
        self, service: str, key: str = "", way: Literal["best", "page", "pin", "key", "device"] = "best"
    ) -> str:
        """Begin to link *service* (``provider`` or ``provider@instance``); the link goes out in private.

        With a *key*, which was said in private, it is linked by that at once.
        """
        ...

    async def paste(self) -> str:
        """Take the address in the message, copied from a browser's address bar."""
        ...

    async def pin(self, pin: str, service: str = "") -> str:
        """Take the *pin* that *service* showed in the browser (OAuth 1.0a); without a name, the one waited for."""
        ...

    async def confirm(self, code: str) -> str:
        """Take the *code* that the browser showed, and activate what it belongs to."""
        ...

    async def accounts(self) -> list[AccountView]:
        """Return the accounts of the person that the speaker is, oldest first; not all of them may be used here."""
        ...

    async def unlink(self, service: str) -> str:
        """Erase the account *service* names, and revoke it upstream."""
        ...

    async def use(self, service: str, where: Literal["everywhere", "here", "channel"] = "everywhere") -> str:
        """Let the account *service* names be the one that its provider means; for admins, the channel's instance."""
        ...

    async def use_any(self, provider: str, where: Literal["everywhere", "here", "channel"] = "everywhere") -> str:
        """Take back what `use` chose."""
        ...

    async def undo(self) -> str:
        """Unlink what was linked last, if that was within a day."""
        ...

    async def identities(self) -> list[Identity]:
        """Return the identities that are one person with the speaker."""
        ...

    async def known(self) -> list[IdentityView]:
        """Return the same with since when each is known, oldest first."""
        ...

    async def join(self, said: str = "") -> str:
        """Make a code for joining; or take one that another identity made, or the last ``yes`` or ``no``."""
        ...

    async def share(self, service: str) -> str:
        """Open the account *service* names to all identities of its person, once they have said yes to each."""
        ...

    async def unshare(self, service: str) -> str:
        """Close the account *service* names to all but the identity that linked it."""
        ...

    async def split(self, named: str = "") -> str:
        """Make the identity *named* a person of its own, with what it linked; without a name, list them."""
        ...

    async def forget(self) -> str:
        """Erase all that is known of the speaker; return what is gone and what remains."""
        ...

    async def record(self, most: int) -> list[RecordView]:
        """Return the *most* latest things on record about the speaker, newest first."""
        ...

    async def export(self) -> str:
        """Return, as a code block of JSON, all that is known of the speaker, and no secret."""
        ...
