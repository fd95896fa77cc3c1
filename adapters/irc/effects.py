"""What the machine wants done: each is told once, in order, to whoever drives it."""

from dataclasses import dataclass, field
from typing import Literal

from adapters.irc.lines import Line

Kind = Literal["message", "notice", "action", "ctcp"]


@dataclass(frozen=True, slots=True)
class Send:
    """Send *line*."""

    line: Line
    urgent: bool = False
    """Whether it goes before everything else and past flood control: registration and PONG."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody said something."""

    nick: str
    host: str
    channel: str | None
    """The channel, also of a message to those with a status there (``@#channel``); None where the bot alone was
    meant."""

    text: str = field(repr=False)
    """What was said; of an action and a CTCP request what is between the marks.  It may be a secret."""

    account: str | None
    """The services account, folded, that the network gives **on this very message**.

    None where it gives none, and where its word does not count: without the account-tag capability, or over a
    connection without TLS that the operator has not allowed.
    """

    time: float
    """Unix time: the server's, where it tells."""

    msgid: str
    kind: Kind
    is_echo: bool
    """Whether the bot itself said it."""

    is_bot: bool
    """Whether the network marks the speaker as a bot."""

    batch: str
    """The type of the batch it came in, for example ``chathistory``; else empty."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The network did not take what was said to *target*."""

    target: str
    code: str
    """The numeric, for example 404."""

    why: str
    """The server's own words."""


@dataclass(frozen=True, slots=True)
class Known:
    """The answer to `Machine.ask`: the folded account that *nick* is logged in to just now, or None."""

    nick: str
    account: str | None


@dataclass(frozen=True, slots=True)
class Ready:
    """The network lets the bot in."""

    realm: str
    """What the network calls itself."""

    account_tags: bool
    """Whether people can be known here: messages carry accounts, and they count."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The network turns the bot away for good: close, and do not come back."""

    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Close this connection and connect again after a while."""

    why: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Close this connection and connect at once to *port*, over TLS (IRCv3 Strict Transport Security)."""

    port: int


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep *value* under *key* over restarts."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget what was kept under *key*."""

    key: str


@dataclass(frozen=True, slots=True)
class Said:
    """Log *text*: the operator should know."""

    text: str


type Effect = Send | Heard | NotTaken | Known | Ready | Refused | Drop | Upgrade | Keep | Forget | Said
