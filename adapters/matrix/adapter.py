"""Matrix as a network of the bot: the connection, and the adapter's contract.

One loop asks for what happened, and hands on what was said together with the position, so that both are
kept or neither.  With each start the account's device is the one whose keys are kept here, its keys are
signed, and the state of all rooms is told anew; only then is the bot ready.
"""

import asyncio
import hashlib
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from nio.client.async_client import AsyncClient
from nio.events.room_events import Event, MegolmEvent, RoomMemberEvent
from nio.responses import SyncResponse

from adapters.matrix import held as holding
from adapters.matrix.account import config, logged_in
from adapters.matrix.anew import begin_anew, take_over
from adapters.matrix.answers import Limited, LoggedOut, MatrixError, call, path
from adapters.matrix.hearing import Hearing
from adapters.matrix.held import Held, Shelf
from adapters.matrix.keys import Keys
from adapters.matrix.machine import Machine, attach
from adapters.matrix.people import sender
from adapters.matrix.rooms import Rooms
from adapters.matrix.saying import Saying
from adapters.matrix.settings import Settings
from adapters.matrix.signing import sign_device
from adapters.matrix.speech import BUDGET
from adapters.matrix.store import open_store
from adapters.matrix.sync import WAIT_MS, Told, sync, timeline
from adapters.matrix.verifying import CANCEL, asked_in_rooms, asked_of_device
from omnibot import adapter as contract
from omnibot.adapter import Capabilities, Deliver, Limits, Tools
from omnibot.errors import NotDelivered, NotSent, Refused
from omnibot.identity import Identity
from omnibot.message import STALE_AFTER, Channel, Message, Origin, Private, Reply, Sent
from omnibot.once import Once

_FAILURES = 4
"""After how many failures in a row the connection is given up, and begun anew from the start."""

_TYPING_MS = 15_000
_MOST_ASIDES = 200
_UNREAD = (
    "I cannot read what you wrote: your client has not given me its key. Say it again; if that does not help, "
    "open the room's settings, and allow devices that are not verified."
)


class _Unread(NamedTuple):
    """An event that cannot be read, and its room."""

    room: str
    event: MegolmEvent


@dataclass(slots=True)
class _Connection:
    """What stands while the bot is logged in."""

    client: AsyncClient
    keys: Keys | None
    rooms: Rooms
    saying: Saying
    shelf: Shelf
    asides: set[asyncio.Task[None]] = field(default_factory=set)
    """What is done meanwhile, and nobody waits for."""

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* in the background, if there is not too much of that already."""
        if len(self.asides) >= _MOST_ASIDES:
            work.close()
            return
        task = asyncio.create_task(_quietly(work), name="aside on Matrix")
        self.asides.add(task)
        task.add_done_callback(self.asides.discard)

    async def close(self) -> None:
        """Stop what is done meanwhile."""
        for task in self.asides:
            task.cancel()
        await asyncio.gather(*self.asides, return_exceptions=True)


class Adapter:
    """One account on Matrix."""

    capabilities = Capabilities(edit=True, retract=True, react=True, typing=True, thread=True, image=True, file=True)
    limits = Limits(text=BUDGET, unit="bytes", edit_every=5.0)

    def __init__(self, tools: Tools, settings: Settings) -> None:
        """Speak as the account of *settings*."""
        self._tools = tools
        self._settings = settings
        self._hearing = Hearing(tools, settings)
        self._here: _Connection | None = None
        self._said: Once[Sent] = Once()

    # -- the contract ------------------------------------------------------------------

    async def run(self, deliver: Deliver, ready: contract.Ready) -> None:
        """Log in, and hear until the homeserver cannot be reached for a while.

        Raises:
            Refused: the homeserver turns the bot away for good, or its keys are not those kept here.
            MatrixError, OSError, TimeoutError: the homeserver does not answer.
        """
        async with AsyncExitStack() as ended:
            here = await self._connected(ended)
            since, failures = await self._tools.position(), 0
            while True:
                try:
                    since = await self._heard(here, since, deliver)
                    failures = 0
                except Limited as limit:
                    await asyncio.sleep(limit.seconds)
                    continue
                except (MatrixError, OSError, TimeoutError) as error:
                    failures += 1
                    if failures >= _FAILURES or isinstance(error, LoggedOut) or self._here is None:
                        raise
                    self._tools.log.info("the homeserver does not answer (%s)", error)
                    await asyncio.sleep(2.0**failures * random.uniform(0.25, 0.75))  # noqa: S311
                    continue
                if self._here is None:
                    self._here = here
                    await ready(self._settings.server)

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*.

        Raises:
            NoPrivateWay: there is no room that *to* and the bot have to themselves, or its invitation waits.
            NotDelivered: the homeserver did not take it.
        """
        return await self._said.do(key, lambda: self._connection().saying.say(to, reply, self._txn(key)))

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Change what was *sent* into *reply*.

        Raises:
            NoPrivateWay, NotDelivered: it stays as it is.
        """
        return await self._connection().saying.change(sent, reply, self._txn(secrets.token_hex(8)))

    async def retract(self, message: Message) -> bool:
        """Remove *message*, where the bot may; return whether it is gone."""
        client = self._connection().client
        where = path("rooms", message.channel.id, "redact", message.id, self._txn(message.id))
        try:
            await call(client, "PUT", where, {"reason": "it held a secret"})
        except (MatrixError, OSError, TimeoutError) as error:
            self._tools.log.info("a message could not be removed (%s)", error)
            return False
        return True

    async def typing(self, channel: Channel) -> None:
        """Show for a while that an answer is being made."""
        here = self._here
        if here is None or not self._settings.typing or channel.id not in here.client.rooms:
            return
        where = path("rooms", channel.id, "typing", here.client.user_id)
        with suppress(MatrixError, OSError, TimeoutError):
            await call(here.client, "PUT", where, {"typing": True, "timeout": _TYPING_MS})

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether *identity* is in *channel*, as the homeserver says now."""
        here = self._here
        if here is None or {identity.network, channel.network} != {self._tools.network}:
            return False
        return await here.rooms.is_in(identity.subject, channel.id)

    # -- connecting --------------------------------------------------------------------

    async def _connected(self, ended: AsyncExitStack) -> _Connection:
        """Log in, as the device whose keys are here, and see that it is signed."""
        await begin_anew(self._tools, self._settings)
        login = await logged_in(self._settings, self._tools.secrets)
        client = AsyncClient(self._settings.url, login.user, login.device, config=config(encryption_enabled=False))
        client.user_id, client.access_token = login.user, login.token
        ended.push_async_callback(client.close)
        keys = await self._keys(client, ended) if self._settings.encryption else None
        rooms = Rooms(client, self._settings, self._tools.log, self._reachable)
        ended.push_async_callback(rooms.close)
        await rooms.load()
        saying = Saying(self._tools.network, client, keys, rooms, self._hearing, self._tools.log)
        ended.push_async_callback(saying.close)
        ended.callback(self._disconnected)
        shelf = await holding.load(self._tools.store, await self._tools.position())
        here = _Connection(client, keys, rooms, saying, shelf)
        ended.push_async_callback(here.close)
        return here

    async def _keys(self, client: AsyncClient, ended: AsyncExitStack) -> Keys:
        store = await open_store(self._tools.directory, self._tools.secrets, client.user_id, client.device_id or "")
        ended.callback(store.close)
        await take_over(self._tools.directory, store)
        asks = partial(call, client)
        keys = Keys(attach(client, store), asks, self._settings.trust)
        await keys.upkeep()
        password = self._settings.password.value if self._settings.password else None
        assert isinstance(client.olm, Machine), "it was attached"
        signed = await sign_device(asks, self._tools.secrets, client.olm, password)
        self._tools.log.log(logging.INFO if signed.yes else logging.WARNING, "%s", signed)
        return keys

    def _reachable(self, mxid: str) -> None:
        """Tell that *mxid* has a room with the bot now."""
        who = sender(self._tools.network, self._settings, mxid)
        if who is not None and isinstance(who.speaker, Identity):
            self._tools.reachable(who.speaker)

    def _disconnected(self) -> None:
        self._here = None

    def _connection(self) -> _Connection:
        if self._here is None:
            raise NotDelivered(f"{self._tools.network} is not connected", retryable=True)
        return self._here

    def _txn(self, key: str) -> str:
        """Return a transaction id for *key*, which may hold anything."""
        name = f"{self._tools.network} {key}".encode(errors="surrogatepass")
        return hashlib.blake2b(name, digest_size=16).hexdigest()

    # -- hearing -----------------------------------------------------------------------

    async def _heard(self, here: _Connection, since: str | None, deliver: Deliver) -> str:
        """Hear what happened since; deliver it; return the position after it.

        The shelf is kept before the position goes on past what is on it, and cleared only after what it held
        has been delivered.
        """
        wait = int(1000 * holding.ASK_AFTER) if len(here.shelf) else WAIT_MS  # what is held has times of its own
        response = await sync(here.client, since, whole=self._here is None, wait=wait)
        told = await timeline(here.client, response, since)
        here.rooms.synced(response)
        readable: list[tuple[Held, Event]] = []
        if here.keys is not None and isinstance(here.client.olm, Machine):
            here.keys.synced(response)
            readable = await self._hold(here, here.client.olm, told, response.next_batch)
            told = [Told(one.room, event) for one, event in readable] + told
            here.client.olm.users_for_key_query |= _unknown(here.client.olm, told)
            await here.keys.upkeep()
        for room in {one.room for one in told}:
            await here.rooms.count(room)
        messages = self._hearing.messages(here.client, here.rooms, told, is_ours=here.saying.is_ours)
        await deliver(messages, position=response.next_batch)
        self._hearing.delivered(messages)
        for one, _ in readable:
            here.shelf.drop(one)
        self._read(here, messages)
        self._decline(here, response, told)
        return response.next_batch

    async def _hold(
        self, here: _Connection, machine: Machine, told: Sequence[Told], position: str
    ) -> list[tuple[Held, Event]]:
        """Put aside what cannot be read yet; return what was and can be now, to be delivered with *position*."""
        now = time.time()
        for one in _unread(told, machine.user_id):
            if now - one.event.server_timestamp / 1000 < STALE_AFTER:
                fits = here.shelf.hold(one.event, one.room, now)
                if not fits and here.shelf.refuse(one.event, one.room, now):
                    self._tell_unread(here, one.room, one.event.sender, one.event.event_id)
        readable = holding.read_now(here.shelf, machine)
        for kept, _ in readable:
            here.shelf.go(kept, position)
        holding.request(here.shelf, machine, now)
        for late in holding.given_up(here.shelf, machine, now):
            if late.tell:
                self._tell_unread(here, late.held.room, late.held.sender, late.held.event)
        await holding.save(here.shelf, self._tools.store)
        return readable

    # -- meanwhile ---------------------------------------------------------------------

    def _tell_unread(self, here: _Connection, room: str, mxid: str, event: str) -> None:
        """Tell *mxid* that what they said could not be read."""
        who = sender(self._tools.network, self._settings, mxid)
        if who is None or who.origin is not Origin.PERSON or room not in here.client.rooms:
            return
        channel = Channel(self._tools.network, room)
        unread = Message(self._tools.network, event, who.speaker, channel, "", time.time())
        reply = Reply(_UNREAD, answers=unread)
        here.aside(_said(here.saying.say(channel, reply, self._txn(f"unread {event}"))))

    def _read(self, here: _Connection, messages: Sequence[Message]) -> None:
        """Show people that what they said was heard."""
        for room, event in {message.channel.id: message.id for message in messages}.items():
            here.aside(_said(call(here.client, "POST", path("rooms", room, "receipt", "m.read", event), {})))

    def _decline(self, here: _Connection, response: SyncResponse, told: Sequence[Told]) -> None:
        """Answer those who want to verify the bot."""
        for user, device, content in asked_of_device(response):
            where = path("sendToDevice", CANCEL, self._txn(f"cancel {user} {device} {content['transaction_id']}"))
            here.aside(_said(call(here.client, "PUT", where, {"messages": {user: {device: content}}})))
        for room, content in asked_in_rooms(told, here.client.user_id):
            here.aside(_said(here.saying.send(room, CANCEL, content)))


def _unread(told: Sequence[Told], me: str) -> list[_Unread]:
    """Return the events that cannot be read, but for those from before *me* came into their room."""
    found: dict[str, list[_Unread]] = {}
    for one in told:
        if isinstance(one.event, MegolmEvent):
            found.setdefault(one.room, []).append(_Unread(one.room, one.event))
        elif isinstance(one.event, RoomMemberEvent) and (one.event.state_key, one.event.membership) == (me, "join"):
            found.pop(one.room, None)
    return [one for ones in found.values() for one in ones]


def _unknown(machine: Machine, told: Sequence[Told]) -> set[str]:
    """Return who, besides the bot, spoke by a device that is not known (yet) to be theirs."""
    return {
        one.event.sender
        for one in told
        if isinstance(one.event, Event)
        and one.event.decrypted
        and one.event.sender != machine.user_id
        and machine.speaker(one.event) is None
    }


async def _said(work: Awaitable[object]) -> None:
    await work


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    """Do *work*; where the homeserver does not let it be done, leave it."""
    with suppress(NotSent, Refused, MatrixError, OSError, TimeoutError):
        await work
