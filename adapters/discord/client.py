"""discord.py's client, as the bot wants it.

It keeps little, mentions nobody, hands over what it hears in order, and gives up when Discord does not let it in
for a while: its supervisor begins anew, at a pace that Discord bears.
"""

import asyncio
import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Protocol
from weakref import WeakSet

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.http import Route

from adapters.discord.settings import Settings
from omnibot.errors import Refused

_PORTAL = "https://discord.com/developers/applications"
_NEW_TOKEN = f"Make a new one at {_PORTAL} (Bot, Reset Token), and put it where `token` is read from."
_CONTENT_INTENT = (
    f"Switch on Message Content Intent at {_PORTAL} (Bot, Privileged Gateway Intents), or set `content: off`."
)
_CLOSED_FOR_GOOD = {
    4004: ("Discord does not take the bot's token", _NEW_TOKEN),
    4010: ("Discord's gateway refuses the bot as a shard", "Tell whoever makes omnibot."),
    4011: (
        "Discord wants the bot to be split into shards, which it cannot",
        "It is on too many servers: let it leave some.",
    ),
    4012: ("Discord's gateway no longer speaks the version that the bot does", "Bring omnibot up to date."),
    4013: ("Discord's gateway does not know an intent that the bot asks for", "Bring omnibot up to date."),
    4014: ("Discord does not allow the bot the message content intent", _CONTENT_INTENT),
}

_READY_AFTER = 0.5
"""Seconds without another server told of, after which all were."""

_PATIENCE = 60.0
"""The longest wait, in seconds, that Discord may ask for before something is given up as not sent."""

_LOST_SECONDS = 120.0
_MOST_LOSSES = 20
"""How often a connection may be lost within that time: discord.py connects again at once."""

_API: Final = Route.BASE
_GATEWAY: Final = DiscordWebSocket.DEFAULT_GATEWAY
_in_use: Counter[tuple[str, str]] = Counter()


class Ears(Protocol):
    """Who is told what the client hears: at once, in order, and never with a wait."""

    def said(self, message: discord.Message, *, edit: bool) -> None:
        """Take *message*, or what it was changed to."""
        ...

    def asked(self, interaction: discord.Interaction) -> None:
        """Take what somebody typed or pressed in the bot's own interface."""
        ...

    def ready(self) -> None:
        """Take note that the gateway answers."""
        ...

    def unreadable(self, event: str, error: Exception) -> None:
        """Take note that an *event* was dropped, as it could not be read."""
        ...

    async def room(self) -> None:
        """Return when more may be told."""
        ...


class Client(discord.Client):
    """One bot, from login to close; each connection that was given up needs another."""

    def __init__(self, ears: Ears, settings: Settings, *, content: bool = True) -> None:
        """Hear for *ears*; without *content* never ask for the message content intent."""
        self._asked_intents = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)
        super().__init__(
            intents=self._asked_intents,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=_READY_AFTER,
            max_ratelimit_timeout=_PATIENCE,
        )
        self._ears = ears
        self._content = settings.content if content else "off"
        self._losses: deque[float] = deque()
        self._lost_since: float | None = None
        self._sockets: WeakSet[aiohttp.ClientWebSocketResponse] = WeakSet()
        self._wait_for_room()
        self._drop_the_unreadable()

    async def setup_hook(self) -> None:
        """Decide on the message content intent: the application is known, and the gateway not yet asked."""
        may = may_read(self.application_flags)
        self._asked_intents.message_content = self._content == "on" or (self._content == "auto" and may)

    @property
    def reads_all(self) -> bool:
        """Whether the bot asks to read what is not said to it."""
        return self.intents.message_content

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Tell of *event* what the bot wants to hear of; discord.py would begin a task, and so lose the order.

        Raises:
            ConnectionError: Discord cannot be reached for a while; it ends `connect`.
        """
        if self.is_closed():
            return
        match event, *args:
            case "message", discord.Message() as message:
                self._ears.said(message, edit=False)
            case "raw_message_edit", discord.RawMessageUpdateEvent() as change:
                self._ears.said(change.message, edit=True)
            case "interaction", discord.Interaction() as interaction:
                self._ears.asked(interaction)
            case "ready", *_:
                self._ears.ready()
            case (("connect" | "resumed"), *_):
                self._lost_since = None
            case "disconnect", *_:
                self._lost()

    def stop_heartbeats(self) -> None:
        """Stop the threads that beat for this client's connections.

        One that was still being made when the client was closed has its thread already, and discord.py forgets it.
        """
        for thread in threading.enumerate():
            if isinstance(thread, KeepAliveHandler) and thread.ws.socket in self._sockets:
                thread.stop()

    async def close_sockets(self) -> None:
        """Close the connections that are open still: likewise one that was being made."""
        sockets = [socket for socket in self._sockets if not socket.closed]
        await asyncio.gather(*(socket.close() for socket in sockets), return_exceptions=True)

    def _lost(self) -> None:
        """Note that the connection was lost, or not had again; give up if that has gone on for long enough."""
        now = time.monotonic()
        self._losses.append(now)
        while now - self._losses[0] > _LOST_SECONDS:
            self._losses.popleft()
        if self._lost_since is None:
            self._lost_since = now
        if len(self._losses) > _MOST_LOSSES or now - self._lost_since > _LOST_SECONDS:
            raise ConnectionError("the gateway does not keep the connection")

    def _drop_the_unreadable(self) -> None:
        """Go on after an event that cannot be read; with discord.py it ends the client.

        What is said until the next one hears would be lost, and Discord counts how often a bot begins anew.  A
        READY is something else: without it there is no session.
        """
        parsers = self._connection.parsers
        for event in parsers.keys() - {"READY"}:
            parsers[event] = partial(self._parse, event, parsers[event])

    def _parse(self, event: str, parse: Callable[[Any], None], data: Any) -> None:
        try:
            parse(data)
        except Exception as error:  # noqa: BLE001  # one that cannot be read must not cut off everybody
            self._ears.unreadable(event, error)

    def _wait_for_room(self) -> None:
        """Read no more from the gateway than is handed on; what it says meanwhile waits there.

        discord.py has no such place, but for the socket that it reads from.
        """
        connect = self.http.ws_connect

        async def ws_connect(url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
            socket = await connect(url, compress=compress)
            self._sockets.add(socket)
            receive = socket.receive

            async def when_there_is_room(timeout: float | None = None) -> aiohttp.WSMessage:  # noqa: ASYNC109  # aiohttp's
                await self._ears.room()
                return await receive(timeout)

            socket.receive = when_there_is_room  # type: ignore[method-assign]  # this one's alone
            return socket

        self.http.ws_connect = ws_connect  # type: ignore[method-assign]  # of this client alone


def may_read(flags: discord.ApplicationFlags) -> bool:
    """Return whether the application with *flags* is given the message content intent if it asks."""
    return flags.gateway_message_content or flags.gateway_message_content_limited


def refusal(error: Exception) -> Refused | None:
    """Return what *error* means if Discord turns the bot away for good by it; else None."""
    match error:
        case discord.LoginFailure() | discord.HTTPException(status=401):
            code = 4004
        case discord.PrivilegedIntentsRequired():
            code = 4014
        case discord.ConnectionClosed(code=code):
            pass
        case _:
            return None
    return Refused(_CLOSED_FOR_GOOD[code][0], cure=_CLOSED_FOR_GOOD[code][1]) if code in _CLOSED_FOR_GOOD else None


@contextmanager
def addressed(settings: Settings) -> Iterator[None]:
    """Have discord.py ask at the addresses of *settings*, which it keeps for the whole process.

    Raises:
        Refused: another network is at other addresses.
    """
    wanted = (settings.api or _API).rstrip("/"), settings.gateway or str(_GATEWAY)
    if any(other != wanted for other in +_in_use):
        raise Refused(
            "another network of this bot uses Discord at another address",
            cure="Give all of them the same `api` and `gateway`, or run one bot for each.",
        )
    _in_use[wanted] += 1
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = wanted[0], yarl.URL(wanted[1])
    try:
        yield
    finally:
        _in_use[wanted] -= 1
        if not +_in_use:
            Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = _API, _GATEWAY


# -- what discord.py logs --------------------------------------------------------------

_HIDDEN: Final = (
    # The token of an interaction or of a webhook is part of its address.
    (re.compile(r"\b(webhooks|interactions)/(\d+)/[^/\s?'\"]+"), r"\1/\2/…"),
    (re.compile(r"[\w-]{18,}\.[\w-]{4,}\.[\w-]{20,}", re.ASCII), "…"),
    (re.compile(r"\b([Ss]ession(?: ID:)?) [0-9A-Za-z]{8,}"), r"\1 …"),
)


def hidden(text: str) -> str:
    """Return *text*, of discord.py's or aiohttp's, without tokens."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text


def tamed(record: logging.LogRecord) -> bool:
    """Have *record* say less: no tokens, no traceback, and a lost connection calmly; return whether it is worth it."""
    text = record.getMessage()
    if text.startswith("logging in"):
        return False
    if record.exc_info and record.exc_info[1] is not None:
        text += f" ({type(record.exc_info[1]).__name__})"  # what it says may be an address
    if text.startswith("Attempting a reconnect"):
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    record.msg, record.args, record.exc_info, record.exc_text = hidden(text), (), None, None
    return logging.getLogger().isEnabledFor(record.levelno)  # the operator's level: this logger has one of its own


def tame(library: str = "discord") -> None:
    """Have all that *library* logs `tamed`; its debug lines, which repeat all that is said, are left out.

    A filter counts for its own logger alone, and discord.py has one for each module.
    """
    logging.getLogger(library).setLevel(logging.INFO)
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == library]:
        logger = logging.getLogger(name)
        if tamed not in logger.filters:
            logger.addFilter(tamed)


discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # the bot has no voice, and misses none
tame()
