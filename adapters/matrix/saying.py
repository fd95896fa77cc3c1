"""What is said: where it goes, in what words, and encrypted where the room is.

Whether a private reply still has one reader is looked at as the very last thing before it goes out.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nio.client.async_client import AsyncClient

from adapters.matrix.answers import Limited, MatrixError, call, path
from adapters.matrix.files import uploaded
from adapters.matrix.hearing import Hearing
from adapters.matrix.keys import Keys
from adapters.matrix.machine import must_encrypt
from adapters.matrix.outbox import Item, Outbox
from adapters.matrix.rooms import Rooms
from adapters.matrix.speech import Answered, Content, Named, TooLong, edit, react, say, whole
from omnibot.errors import NoPrivateWay, NotDelivered, Refused
from omnibot.identity import Identity
from omnibot.message import Channel, File, Message, Private, Reply, Sent

SENT_WITHIN = 8.0
"""Seconds for which `send` waits; what the homeserver takes later still goes out."""

_ENCRYPTED = "m.room.encrypted"
_WAITS = "~"
"""In front of the transaction id of an event that has no id yet."""

_REMEMBERED = 2000
_LOOKED = 0.1
"""Seconds for which a look at who is in a room is still the last thing before sending."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is said."""

    room: str
    reader: str = ""
    """The MXID that alone may read it."""


class Saying:
    """Says things through one connection."""

    def __init__(
        self, network: str, client: AsyncClient, keys: Keys | None, rooms: Rooms, hearing: Hearing, log: logging.Logger
    ) -> None:
        """Say nothing yet; without *keys* nothing is said in encrypted rooms."""
        self._network = network
        self._client = client
        self._keys = keys
        self._rooms = rooms
        self._hearing = hearing
        self._log = log
        self._outbox = Outbox(self._post)
        self._looked: dict[str, float] = {}
        self._ids: OrderedDict[str, str] = OrderedDict()
        """Event ids, by transaction id."""

        self._ours: OrderedDict[str, None] = OrderedDict()
        self._joint: OrderedDict[str, None] = OrderedDict()
        """Events that say more than one reply."""

    async def close(self) -> None:
        """Say nothing more."""
        await self._outbox.close()

    def is_ours(self, event: str) -> bool:
        """Whether the bot said *event*, not long ago."""
        return event in self._ours

    async def say(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*.

        Raises:
            NoPrivateWay, NotDelivered: it does not go out.
        """
        place = await self._place(to, reply.answers)
        files = [reply.file] if reply.file is not None else []
        try:
            contents = self._contents(place, reply)
        except TooLong:
            files.append(File("answer.md", "text/markdown", whole(reply).encode()))
            contents = self._contents(place, Reply("That is long: it is in the file.", answers=reply.answers))
        contents = [("m.room.message", await self._shown(place, file)) for file in files] + contents
        if not contents:
            raise NotDelivered("there is nothing to say", retryable=False)
        items = [
            Item(place.room, kind, content, f"{key}-{number}", place.reader)
            for number, (kind, content) in enumerate(contents)
        ]
        return await self._put(items)

    async def change(self, sent: Sent, reply: Reply, key: str) -> Sent:
        """Make *reply* of what was *sent*.

        Raises:
            NoPrivateWay, NotDelivered: it stays as it is.
        """
        place = await self._place_of(sent.channel)
        event = self._ids.get(sent.id.removeprefix(_WAITS)) if sent.id.startswith(_WAITS) else sent.id
        if event is None:  # it has not gone out: then it goes out like this
            contents = _worded(lambda: say(reply))
            if contents and self._outbox.replace(place.room, sent.id.removeprefix(_WAITS), contents[0]):
                return sent
            raise NotDelivered("what is to be changed was not sent", retryable=False)
        joint = event in self._joint  # others' words stand there too: those stay
        contents = _worded(lambda: say(reply) if joint else edit(event, reply))
        items = [
            Item(place.room, "m.room.message", content, f"{key}-{number}", place.reader)
            for number, content in enumerate(contents)
        ]
        if not items:
            raise NotDelivered("there is nothing to say", retryable=False)
        new = await self._put(items)
        return new if joint else Sent(self._network, place_name(place), event)

    async def send(self, room: str, kind: str, content: dict[str, Any]) -> None:
        """Send an event that is no message.

        Raises:
            NotDelivered: it does not go out.
        """
        await self._outbox.put(Item(room, kind, content, secrets.token_hex(16)))

    # -- where -------------------------------------------------------------------------

    async def _place(self, to: Channel | Private, answers: Message | None) -> Place:
        """Return where *to* is just now.

        Raises:
            NoPrivateWay, NotDelivered: nowhere.
        """
        if isinstance(to, Private):
            return await self._alone(to.identity, to.near)
        if to.network != self._network:
            raise NotDelivered(f"{to.network} is another network", retryable=False)
        if not to.private:
            if to.id not in self._client.rooms:
                raise NotDelivered("the bot is not in that room", retryable=True)
            return Place(to.id)
        if answers is not None and isinstance(answers.speaker, Identity):
            return await self._alone(answers.speaker, answers)
        return await self._only_other(to.id)

    async def _alone(self, identity: Identity, near: Message | None) -> Place:
        if identity.network != self._network:
            raise NoPrivateWay(f"{identity.network} is another network")
        beside = near.channel.id if near is not None and near.network == self._network else None
        room = await self._rooms.private(identity.subject, beside, invite=near is not None)
        self._looked[room] = asyncio.get_running_loop().time()
        return Place(room, identity.subject)

    async def _only_other(self, room: str) -> Place:
        """Return a private room as a place for whoever is in it besides the bot."""
        found = await self._rooms.look(room)
        others = (found.joined | found.invited) - {self._client.user_id}
        if len(others) != 1 or not found.closed:
            raise NoPrivateWay("that room is not private any longer")
        return Place(room, next(iter(others)))

    async def _place_of(self, channel: str) -> Place:
        room, _, reader = channel.partition(" ")
        if room not in self._client.rooms:
            raise NotDelivered("the bot is not in that room", retryable=True)
        return Place(room, reader)

    # -- what --------------------------------------------------------------------------

    def _contents(self, place: Place, reply: Reply) -> list[tuple[str, dict[str, Any]]]:
        """Return kind and content of each event that says *reply*.

        Raises:
            TooLong: they would be too many.
        """
        answers = reply.answers
        here = answers if answers is not None and answers.channel.id == place.room else None
        if here is not None and reply.sign and not must_encrypt(self._client, place.room):
            return [("m.reaction", react(here.id, reply.sign))]  # reactions are never encrypted
        thread = self._hearing.thread(here.id) if here is not None else None
        answered = Answered(here.id, thread) if here is not None and (thread or not place.reader) else None
        named = None
        if here is not None and not place.reader and isinstance(here.speaker, Identity):
            named = Named(here.speaker.subject, here.speaker.display)
        contents = say(reply, named=named, answered=answered)
        return [("m.room.message", content) for content in contents]

    async def _shown(self, place: Place, file: File) -> dict[str, Any]:
        """Return the content of the event that shows *file*.

        Raises:
            NotDelivered: the homeserver does not take it.
        """
        try:
            return await uploaded(self._client, file, encrypted=must_encrypt(self._client, place.room))
        except (MatrixError, Refused) as error:
            raise NotDelivered(str(error), retryable=isinstance(error, Limited)) from None
        except (OSError, TimeoutError) as error:
            raise NotDelivered(f"the homeserver does not answer ({type(error).__name__})", retryable=True) from None

    # -- sending -----------------------------------------------------------------------

    async def _put(self, items: Sequence[Item]) -> Sent:
        """Let *items* go out, and wait a while for that."""
        sent = [self._outbox.put(item) for item in items]
        for item, one in zip(items, sent, strict=True):
            one.add_done_callback(partial(self._note, item.txn))
        last = items[-1]
        place = place_name(Place(last.room, last.reader))
        try:
            async with asyncio.timeout(SENT_WITHIN):
                ids = [await asyncio.shield(one) for one in sent]
        except TimeoutError:
            if last.reader:  # it is kept for them, or tried again: it must not go out besides
                for item in items:
                    self._outbox.withdraw(item.room, item.txn)
                raise NotDelivered("the homeserver takes nothing just now", retryable=True) from None
            return Sent(self._network, place, _WAITS + last.txn)
        return Sent(self._network, place, ids[-1])

    def _note(self, txn: str, sent: "asyncio.Future[str]") -> None:
        if not sent.cancelled() and sent.exception() is None:
            self._remember(self._ids, txn, sent.result())
            self._remember(self._ours, sent.result(), None)

    @staticmethod
    def _remember[T](memory: OrderedDict[str, T], key: str, value: T) -> None:
        memory[key] = value
        if len(memory) > _REMEMBERED:
            memory.popitem(last=False)

    async def _post(self, item: Item) -> str:
        """Send *item*; return the id of the event.

        Raises:
            Limited: it is too soon.
            NoPrivateWay, NotDelivered: it does not go out.
        """
        try:
            kind, content = await self._sealed(item)
            if item.reader:
                await self._is_still_private(item)  # after keys were given, which takes a while
                if kind != _ENCRYPTED and must_encrypt(self._client, item.room):
                    raise NotDelivered("the room has just been encrypted", retryable=True)
            said = await call(self._client, "PUT", path("rooms", item.room, "send", kind, item.txn), content)
        except Limited:
            raise
        except MatrixError as error:
            raise NotDelivered(str(error), retryable=error.status >= 500 or not error.status) from None
        except Refused as error:
            raise NotDelivered(str(error), retryable=False) from None
        except (OSError, TimeoutError) as error:
            raise NotDelivered(f"the homeserver does not answer ({type(error).__name__})", retryable=True) from None
        event = str(said.get("event_id", ""))
        if item.is_joint:
            self._remember(self._joint, event, None)
        return event

    async def _is_still_private(self, item: Item) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked.pop(item.room, 0.0) < _LOOKED:
            return
        found = await self._rooms.look(item.room)
        if not found.is_private(self._client.user_id, item.reader):
            raise NoPrivateWay("somebody else is in that room now")

    async def _sealed(self, item: Item) -> tuple[str, dict[str, Any]]:
        """Return *item* as it leaves: encrypted, if the room is."""
        if not must_encrypt(self._client, item.room) or self._keys is None:
            return item.kind, item.content
        users = {item.reader} if item.reader else await self._rooms.members(item.room)  # nobody who has just come in
        sealed = await self._keys.encrypt(item.room, users, item.kind, item.content)
        if item.reader and not any(user == item.reader for user, _ in sealed.readers):
            raise NoPrivateWay("no device of the one it is for may be given the key")
        return _ENCRYPTED, sealed.content


def place_name(place: Place) -> str:
    """Return *place* as it stands in `Sent.channel`: the room, and who alone may read it."""
    return f"{place.room} {place.reader}".strip()


def _worded(words: Callable[[], list[Content]]) -> list[Content]:
    """Return *words*, called.

    Raises:
        NotDelivered: they are too long.
    """
    try:
        return words()
    except TooLong:
        raise NotDelivered("it is too long to be said", retryable=False) from None
