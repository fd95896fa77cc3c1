"""What a refusal of Discord's means, and when to leave it alone.

discord.py waits by itself where Discord says for how long.  What stands before Discord (Cloudflare) says
no such thing: it turns an address away that sends too much of what is refused, and for longer the more
goes on coming.  So after one such answer nothing is sent for a while.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
import discord

from omnibot.errors import NoPrivateWay, NotDelivered

FAILURES: Final = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError, RuntimeError, ValueError)
"""What asking Discord for something may raise: what it answers, and what becomes of the connection."""

PAUSE = 60.0
LONGEST_PAUSE = 1800.0
"""Seconds: the first pause, and the longest; each that follows on another is twice as long."""

UNREACHABLE = frozenset({10013, 50007, 50033, 50278})
"""Error codes: no such user, they take no messages from the bot, cannot be written to, share no server with it."""

ENDED = frozenset({10015, 10062, 50027})
"""Error codes: the token of an interaction is over, or was never good for anything because it was used too late."""

ENOUGH = 40094
"""Error code: an interaction of somebody who installed the bot for themselves was answered five times."""

ANSWERED = 40060
"""Error code: somebody has answered that interaction."""

NO_HISTORY = 160002
"""Error code: a message can be replied to by those only who may read what was said before."""


class Pause:
    """While it lasts, nothing is sent."""

    def __init__(self) -> None:
        """Nothing is amiss."""
        self._until = 0.0
        self._times = 0

    def __bool__(self) -> bool:
        """Whether it lasts."""
        return asyncio.get_running_loop().time() < self._until

    def check(self) -> None:
        """Return if something may be sent.

        Raises:
            NotDelivered: nothing may.
        """
        if self:
            raise NotDelivered("Discord turns this address away for now; nothing is sent", retryable=False)

    def note(self, error: discord.HTTPException) -> None:
        """Begin, if *error* is not Discord's own."""
        if error.status != 429 or error.response.headers.get("Via"):
            return
        said = error.response.headers.get("Retry-After", "")
        seconds = float(said) if said.isascii() and said.isdecimal() else 0.0
        seconds = min(max(seconds, PAUSE * 2**self._times), LONGEST_PAUSE)
        self._times = min(self._times + 1, 10)
        # Not all bots behind one address are to come back in the same second.
        self._until = asyncio.get_running_loop().time() + seconds * random.uniform(1.0, 1.25)  # noqa: S311 - nothing secret

    def over(self) -> None:
        """Note that Discord took something."""
        if not self:
            self._times = 0


@contextmanager
def translated(pause: Pause, *, private: bool = False) -> Iterator[None]:
    """Within, an error of discord.py's becomes one of the adapter's; *private*: it is said to one person.

    Raises:
        NoPrivateWay: they cannot be reached.
        NotDelivered: Discord did not take it, or does not answer.
    """
    pause.check()
    try:
        yield
    except discord.RateLimited as error:
        raise NotDelivered(f"Discord takes no more for {error.retry_after:.0f} seconds", retryable=False) from None
    except discord.HTTPException as error:  # its text may repeat what was said: only numbers of it are told
        pause.note(error)
        if private and (error.code in UNREACHABLE or error.status in (403, 404)):
            raise NoPrivateWay(f"Discord has no way to them ({error.status}, code {error.code})") from None
        raise NotDelivered(
            f"Discord refused ({error.status}, code {error.code})", retryable=error.status >= 500
        ) from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise NotDelivered(f"Discord does not answer ({type(error).__name__})", retryable=True) from None
    except RuntimeError:  # of aiohttp: the client, and its session, has just been closed
        raise NotDelivered("the connection is being made anew", retryable=True) from None
    pause.over()
