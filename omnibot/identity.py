"""Who is speaking.

An `Identity` is what every later check relies on: the network that vouches for a
person, the name by which that network will know the same person tomorrow, and the
epoch in which it gave that name out.  A `Guest` is everybody else.  The two share no
base class, so that a function which takes an identity cannot be handed a guest:
mypy proves that people, vault, linking, policy and admins never see one.
"""

import re
from dataclasses import dataclass, field
from enum import IntEnum

_EPOCH = re.compile(r"[0-9]+")
"""What networks that tell it tell: a time.  Other networks' subjects may hold a ``#`` as well."""


class Assurance(IntEnum):
    """How strongly one message was vouched for; higher is stronger."""

    ACCOUNT = 1
    """The network says so about this very message: IRC account-tag over TLS, a federated Matrix user."""

    STRONG = 2
    """The network authenticated the speaker to us directly: Discord, our own homeserver, the console."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, as one network vouches for them.

    Two identities are equal when *network*, *subject* and *epoch* are; a user who
    changes nickname stays the same identity, and an account that was dropped and
    registered again by somebody else is another one.
    """

    network: str
    """Name of the network in the configuration, for example ``libera``."""

    subject: str
    """The network's own stable id: a snowflake, an MXID, a folded services account."""

    epoch: str = ""
    """When the network gave the subject out, where it tells; else empty."""

    display: str = field(default="", compare=False)
    """What people call them just now: to be shown, never compared."""

    def __str__(self) -> str:
        """Return the qualified name an operator writes: ``libera:alice``; ``libera:alice#1700000000`` with an epoch."""
        return f"{self.network}:{self.subject}" + (f"#{self.epoch}" if self.epoch else "")

    @classmethod
    def named(cls, qualified: str) -> "Identity":
        """Return the identity of which `str` is *qualified*."""
        network, _, rest = qualified.partition(":")
        subject, _, epoch = rest.rpartition("#")
        return cls(network, subject, epoch) if subject and _EPOCH.fullmatch(epoch) else cls(network, rest)

    @property
    def name(self) -> str:
        """What to call them: the display name where there is one, else the subject."""
        return self.display or self.subject


@dataclass(frozen=True, slots=True)
class Guest:
    """A speaker nobody vouches for: a bare IRC nick, say.

    Guests may use commands that need no account.  The *key* only tells one guest's
    words from another's within a conversation; it proves nothing.
    """

    network: str
    """Name of the network in the configuration."""

    key: str
    """What the network shows of them, folded: a nick, or nick and host."""

    display: str = field(default="", compare=False)
    """What people call them just now."""

    host: str = field(default="", compare=False, repr=False)
    """Where they come from, if the network tells: their messages are counted by it (`omnibot.limits`), whatever
    they call themselves.  It is shown to nobody, and proves nothing."""

    @property
    def name(self) -> str:
        """What to call them."""
        return self.display or self.key


type Speaker = Identity | Guest
