"""What the gateway keeps of a session, and what it writes down."""

from dataclasses import dataclass, field
from secrets import token_hex
from typing import Literal

from servers.discord.wire import Intent, Json

type Way = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that came from the bot (``in``) or went to it (``out``)."""

    way: Way
    op: int
    event: str | None
    data: object = field(repr=False)
    seq: int | None = None
    time: float = 0.0


@dataclass(eq=False)
class Session:
    """What one Identify began, and Resume goes on with."""

    intents: Intent
    id: str = field(default_factory=lambda: token_hex(16))
    seq: int = 0
    sent: list[tuple[int, str, Json]] = field(default_factory=list, repr=False)
    """All events of the session: number, name and data."""
