"""Numbers of Discord's wire, and the clock and the waiting that the stand-in's parts share.

Their names are those of Discord's documentation, version 10: Gateway, Permissions, Message, Channel, Interactions.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum, IntFlag
from typing import Any

type Json = dict[str, Any]

POLL = 0.05
"""Seconds after which who waits looks again, for what is not of the stand-in: time, or the bot itself."""

LIMIT = 15.0
"""Seconds until something that has to come is there at the latest."""

EPOCH = 1_420_070_400_000
"""Milliseconds of Unix time at which Discord's ids begin (Reference, Snowflakes)."""


class Op(IntEnum):
    """Gateway opcodes."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE = 3
    VOICE_STATE = 4
    RESUME = 6
    RECONNECT = 7
    REQUEST_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    ACK = 11


class Intent(IntFlag):
    """What a session asks to be told of (Gateway, List of Intents)."""

    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_REACTIONS = 1 << 10
    GUILD_TYPING = 1 << 11
    DIRECT_MESSAGES = 1 << 12
    DIRECT_REACTIONS = 1 << 13
    DIRECT_TYPING = 1 << 14
    MESSAGE_CONTENT = 1 << 15


PRIVILEGED = Intent.GUILD_MEMBERS | Intent.GUILD_PRESENCES | Intent.MESSAGE_CONTENT
KNOWN_INTENTS = (1 << 17) - 1 | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25
"""Every bit that the documentation gives a meaning; with another one the session is closed with 4013."""

APPLICATION_FLAGS = {
    Intent.GUILD_PRESENCES: 1 << 13,
    Intent.GUILD_MEMBERS: 1 << 15,
    Intent.MESSAGE_CONTENT: 1 << 19,
}
"""The flag (``…_LIMITED``) by which an application under 100 guilds shows a privileged intent (Application Flags)."""


class Permission(IntFlag):
    """What a role or an overwrite may grant (Permissions)."""

    ADMINISTRATOR = 1 << 3
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    SEND_MESSAGES_IN_THREADS = 1 << 38


USUAL = (
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.SEND_MESSAGES_IN_THREADS
)
"""What everybody may in a new guild."""


class Kind(IntEnum):
    """Channel types."""

    TEXT = 0
    DM = 1
    GROUP = 3
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12


THREADS = frozenset({Kind.PUBLIC_THREAD, Kind.PRIVATE_THREAD})

DEFAULT, REPLY, CHAT_INPUT = 0, 19, 20
"""Message types."""

EPHEMERAL, LOADING = 1 << 6, 1 << 7
"""Message flags."""


class Clock:
    """The stand-in's time, which a test may move ahead, and the ids that are made of it."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._last = 0

    def now(self) -> float:
        """Return the Unix time in seconds."""
        return time.time() + self._ahead

    def move(self, seconds: float) -> None:
        """Move it ahead."""
        self._ahead += seconds

    def snowflake(self) -> str:
        """Return an id that is greater than each before."""
        self._last = max(self._last + 1, int(self.now() * 1000) - EPOCH << 22)
        return str(self._last)

    def iso(self) -> str:
        """Return the time as Discord writes it."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat()


class Changes:
    """Wakes who waits for something, at each change of anything."""

    def __init__(self) -> None:
        self._waiting = set[asyncio.Future[None]]()

    def notify(self) -> None:
        """Let everybody who waits look again."""
        waiting, self._waiting = self._waiting, set()
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def until[T](self, found: Callable[[], T], failed: Callable[[], str], within: float = LIMIT) -> T:
        """Return what *found* returns as soon as that is true.

        Raises:
            AssertionError: it was not within so many seconds; *failed* says what was.
        """
        try:
            async with asyncio.timeout(within):
                while not (result := found()):
                    change = asyncio.get_running_loop().create_future()
                    self._waiting.add(change)
                    await asyncio.wait([change], timeout=POLL)
                    self._waiting.discard(change)
        except TimeoutError:
            raise AssertionError(f"not within {within} s: {failed()}") from None
        return result
