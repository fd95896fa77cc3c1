"""Discord as a network of the bot: the connection, and the adapter's contract.

Each run has a client of its own: it logs in, decides what it may read, and hears until Discord cannot be reached
for a while.  What it heard waits in one queue, which outlives the client, and is handed over in order by one task.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import discord

from adapters.discord import places
from adapters.discord.answers import FAILURES
from adapters.discord.client import Client, addressed, refusal
from adapters.discord.hearing import heard
from adapters.discord.interactions import Interactions
from adapters.discord.menu import Menu
from adapters.discord.offering import menu, offer
from adapters.discord.readers import can_read
from adapters.discord.saying import Saying
from adapters.discord.settings import Settings
from omnibot import adapter as contract
from omnibot.adapter import Capabilities, Deliver, Limits, Tools
from omnibot.errors import NotDelivered
from omnibot.identity import Identity
from omnibot.message import Channel, Message, Private, Reply, Sent
from omnibot.once import Once

REALM = "discord"

_MOST_WAITING = 1000
_AT_ONCE = 100
_CLOSE_SECONDS = 3.0
_LONGEST_WAIT = 3600.0
_REFUSED_WAIT = 60.0
"""Seconds to stay away after a 429 that does not say for how long: by then Cloudflare answers, and not Discord."""


class Heard:
    """What was heard and has not been taken yet, in order."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self._messages: deque[Message] = deque()
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, message: Message) -> None:
        """Add *message*; whoever waits for `room` has seen that there is some."""
        self._messages.append(message)
        self._some.set()
        if len(self._messages) >= _MOST_WAITING:
            self._room.clear()

    async def first(self) -> Sequence[Message]:
        """Return what was heard first, when there is anything."""
        await self._some.wait()
        return list(islice(self._messages, _AT_ONCE))

    def taken(self, count: int) -> None:
        """Forget the first *count* messages."""
        for _ in range(count):
            self._messages.popleft()
        if not self._messages:
            self._some.clear()
        if len(self._messages) < _MOST_WAITING:
            self._room.set()

    def __len__(self) -> int:
        """How much waits."""
        return len(self._messages)

    async def room(self) -> None:
        """Return when there is room for another."""
        await self._room.wait()


@dataclass(frozen=True, slots=True)
class _Connection:
    """What stands while the bot is logged in."""

    client: Client
    interactions: Interactions
    saying: Saying


class Adapter:
    """One bot on Discord."""

    capabilities = Capabilities(
        edit=True,
        buttons=True,
        select=True,
        form=True,
        ephemeral=True,
        retract=True,
        react=True,
        typing=True,
        thread=True,
        image=True,
        file=True,
    )
    limits = Limits(text=2000, edit_every=1.5)

    def __init__(self, tools: Tools, settings: Settings) -> None:
        """Speak as the bot of *settings*."""
        self._tools = tools
        self._settings = settings
        self._here: _Connection | None = None
        self._heard = Heard()
        self._connected = asyncio.Event()
        self._told = asyncio.Event()
        self._said: Once[Sent] = Once()
        self._asked: set[asyncio.Task[None]] = set()
        self._may_read = True
        """Whether the gateway has not refused the message content intent."""

    # -- the contract ------------------------------------------------------------------

    async def run(self, deliver: Deliver, ready: contract.Ready) -> None:
        """Log in, and hear until Discord cannot be reached for a while.

        Raises:
            Refused: Discord turns the bot away for good.
            Exception: it does not answer, or not as discord.py expects.
        """
        while True:
            try:
                await self._run(deliver, ready)
            except discord.PrivilegedIntentsRequired as error:
                if self._settings.content != "auto" or not self._may_read:
                    raise refusal(error) or error from None
                self._tools.log.warning("Discord refuses the message content intent: going on without")
                self._may_read = False
            except (discord.DiscordException, OSError) as error:
                refused = refusal(error)
                if refused is not None:
                    raise refused from None
                await self._asked_to_wait(error)
                raise

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*.

        Raises:
            NoPrivateWay: *to* is private, and there is no way that only that person reads.
            NotDelivered: Discord did not take it.
        """
        saying = self._connection().saying
        nonce = hashlib.blake2b(f"{self._tools.network} {key}".encode(errors="surrogatepass"), digest_size=12)
        return await self._said.do(key, lambda: saying.say(to, reply, nonce.hexdigest()))

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Change what was *sent* into *reply*.

        Raises:
            NoPrivateWay, NotDelivered: it stays as it is.
        """
        return await self._connection().saying.change(sent, reply)

    async def retract(self, message: Message) -> bool:
        """Remove *message*, where the bot may; return whether it is gone."""
        here, channel = self._here, message.channel.id
        if here is None or not (places.is_id(channel) and places.is_id(message.id)):
            return False
        try:
            await here.client.http.delete_message(int(channel), int(message.id), reason="it held a secret")
        except FAILURES as error:
            self._tools.log.info("a message could not be removed (%s)", type(error).__name__)
            return False
        return True

    async def typing(self, channel: Channel) -> None:
        """Show for a while that an answer is being made; in an ephemeral place Discord does that by itself."""
        if self._here is not None and self._settings.typing and places.is_id(channel.id):
            with suppress(*FAILURES):
                await self._here.client.http.send_typing(int(channel.id))

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether *identity* can read *channel*, as Discord says now."""
        if self._here is None or {identity.network, channel.network} != {self._tools.network}:
            return False
        ephemeral = places.parse(channel.id)
        if ephemeral is not None:
            return ephemeral.user == identity.subject
        if not (places.is_id(identity.subject) and places.is_id(channel.id)):
            return False
        return await can_read(self._here.client, int(identity.subject), int(channel.id))

    # -- connecting --------------------------------------------------------------------

    async def _run(self, deliver: Deliver, ready: contract.Ready) -> None:
        """Be connected once, with a client of its own."""
        async with AsyncExitStack() as ended:
            ended.enter_context(addressed(self._settings))
            client = Client(self, self._settings, content=self._may_read)
            ended.push_async_callback(_close, client)
            await client.login(self._settings.token.value)
            offered = _Offered(menu(self._tools.commands(), self._settings))
            interactions = Interactions(self._tools.network, self._tools.prefix, lambda: offered.menu, self._tools.log)
            ended.push_async_callback(_within_seconds, interactions.close)
            ended.callback(self._disconnected)
            saying = Saying(self._tools.network, client, interactions, self._tools.log)
            self._here = _Connection(client, interactions, saying)
            self._tools.log.info("in channels the bot reads %s", "all" if client.reads_all else "what is said to it")
            offering = self._keep_offering(client, offered)
            await _until_one_ends(client.connect(), self._hand_over(deliver), self._tell(ready), meanwhile=offering)

    async def _keep_offering(self, client: Client, offered: "_Offered") -> None:
        """Have Discord offer what there is, anew each time that it has changed."""
        while True:
            changed = self._tools.changed()
            offered.menu = menu(self._tools.commands(), self._settings)
            await self._offer(client, offered.menu)
            await changed.wait()

    async def _offer(self, client: Client, offers: Menu) -> None:
        """Have Discord offer slash commands, as far as it takes them."""
        for what in offers.left_out:
            self._tools.log.warning("%s", what)
        try:
            await offer(client, self._tools.store, offers, self._settings, self._tools.log)
        except Exception as error:  # noqa: BLE001  # the bot speaks without slash commands, too
            self._tools.log.warning("slash commands could not be offered (%s)", type(error).__name__)

    async def _tell(self, ready: contract.Ready) -> None:
        """Tell each time that the gateway answers."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            await ready(REALM)
            self._told.set()

    async def _asked_to_wait(self, error: Exception) -> None:
        """Stay away for as long as *error* says, if it is that the bot asks too much."""
        seconds = 0.0
        if isinstance(error, discord.RateLimited):
            seconds = error.retry_after
        elif isinstance(error, discord.HTTPException) and error.status == 429:
            told = error.response.headers.get("Retry-After", "")
            seconds = float(told) if told.isdecimal() else _REFUSED_WAIT
        if seconds:
            seconds = min(seconds, _LONGEST_WAIT)
            self._tools.log.warning("Discord wants to be left alone for %.0f s", seconds)
            await _pause(seconds)

    def _disconnected(self) -> None:
        self._here = None
        self._connected.clear()
        self._told.clear()

    def _connection(self) -> _Connection:
        if self._here is None:
            raise NotDelivered(f"{self._tools.network} is not connected", retryable=True)
        return self._here

    # -- hearing -----------------------------------------------------------------------

    def said(self, message: discord.Message, *, edit: bool) -> None:
        """Take *message* (`Ears`)."""
        me = self._here.client.user if self._here is not None else None
        if me is None:
            return
        found = heard(self._tools.network, me.id, message, edit=edit)
        if found is not None:
            self._heard.put(found)

    def asked(self, interaction: discord.Interaction) -> None:
        """Take *interaction* (`Ears`): now if it can be, for it has to be answered in three seconds."""
        if self._here is not None:
            loop = asyncio.get_running_loop()
            task = asyncio.eager_task_factory(loop, self._take(self._here.interactions, interaction))
            if not task.done():
                self._asked.add(task)
                task.add_done_callback(self._asked.discard)

    def ready(self) -> None:
        """Take note that the gateway answers (`Ears`)."""
        self._connected.set()

    def unreadable(self, event: str, error: Exception) -> None:
        """Take note that an *event* was dropped (`Ears`); what *error* says may be what somebody said."""
        self._tools.log.warning("%s cannot be read, and was dropped (%s)", event, type(error).__name__)

    async def room(self) -> None:
        """Return when more may be told (`Ears`)."""
        await self._heard.room()

    async def _take(self, interactions: Interactions, interaction: discord.Interaction) -> None:
        try:
            message = await interactions.take(interaction)
        except Exception as error:  # noqa: BLE001  # one that cannot be read must not cut off everybody
            self._tools.log.warning("an interaction was dropped (%s)", type(error).__name__)
            return
        if message is not None:
            self._heard.put(message)

    async def _hand_over(self, deliver: Deliver) -> None:
        """Deliver what is heard, once `ready` was told; what was not taken then is delivered again, with its id."""
        await self._told.wait()
        while True:
            messages = await self._heard.first()
            await deliver(messages)
            self._heard.taken(len(messages))


@dataclass(slots=True)
class _Offered:
    """What is offered as slash commands just now."""

    menu: Menu


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def _until_one_ends(*works: Coroutine[Any, Any, None], meanwhile: Coroutine[Any, Any, None]) -> None:
    """Do all *works* until one of them ends, and *meanwhile* besides.

    Raises:
        Exception: what ended it.
    """
    aside = asyncio.create_task(meanwhile, name="offering commands on Discord")
    tasks = [asyncio.create_task(work, name="Discord") for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (aside, *tasks):
            task.cancel()
        await asyncio.gather(aside, *tasks, return_exceptions=True)
    for task in ended:
        task.result()
    raise ConnectionError("the gateway was left")


async def _close(client: Client) -> None:
    """Close *client*, without a long wait for Discord to say goodbye."""
    client.stop_heartbeats()
    await _within_seconds(client.close)
    await _within_seconds(client.close_sockets)
    await _within_seconds(client.http.close)


async def _within_seconds(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with suppress(*FAILURES):
        await asyncio.wait_for(close(), _CLOSE_SECONDS)
