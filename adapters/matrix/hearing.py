"""What is heard: an event of a room becomes a message of somebody.

Who somebody is, the homeserver says, by the MXID on that very event.  One that was encrypted must besides have
been by a device of theirs; one in the clear, in a room that is encrypted, is never private.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable

from nio.client.async_client import AsyncClient
from nio.events.room_events import Event, MegolmEvent

from adapters.matrix.machine import Machine
from adapters.matrix.people import LONGEST_MXID, sender, shown
from adapters.matrix.rooms import Rooms
from adapters.matrix.settings import Settings
from adapters.matrix.speech import Me, hear
from adapters.matrix.sync import Told
from omnibot.adapter import Tools
from omnibot.identity import Identity
from omnibot.markup import printable
from omnibot.message import Channel, Message, Origin

_REMEMBERED = 2000


class Hearing:
    """Turns what is told into messages, each once."""

    def __init__(self, tools: Tools, settings: Settings) -> None:
        """Hear nothing yet."""
        self._network = tools.network
        self._log: logging.Logger = tools.log
        self._settings = settings
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._threads: OrderedDict[str, str] = OrderedDict()

    def thread(self, event: str) -> str | None:
        """Return the root of the thread that *event*, heard not long ago, is in."""
        return self._threads.get(event)

    def messages(
        self, client: AsyncClient, rooms: Rooms, told: Iterable[Told], *, is_ours: Callable[[str], bool]
    ) -> list[Message]:
        """Return what *told* says, without what is nothing for the bot, or was `delivered` before.

        *is_ours* knows the bot's own events, for replies to them.
        """
        found: dict[str, Message] = {}
        for one in told:
            message = self._message(client, rooms, one, is_ours)
            if message is not None and message.id not in found:
                found[message.id] = message
        return list(found.values())

    def delivered(self, messages: Iterable[Message]) -> None:
        """Hear *messages* no more, should they be told again."""
        for message in messages:
            _remember(self._seen, message.id, None)

    def _message(self, client: AsyncClient, rooms: Rooms, told: Told, is_ours: Callable[[str], bool]) -> Message | None:
        event, room = told.event, client.rooms.get(told.room)
        if not isinstance(event, Event) or isinstance(event, MegolmEvent) or room is None:
            return None
        if event.event_id in self._seen:
            return None
        source = event.source
        heard = hear(source, self._me(client, told.room), source.get("content") if event.decrypted else None)
        if heard is None:
            return None
        user = room.users.get(event.sender)
        who = sender(
            self._network, self._settings, event.sender, user and user.display_name, notice=heard.kind == "notice"
        )
        if who is None:
            return None
        if event.decrypted and who.origin is not Origin.SELF and not _is_of_sender(client, event):
            self._log.warning(
                "an event of %s was dropped: another's device encrypted it", printable(event.sender)[:LONGEST_MXID]
            )
            return None
        if heard.thread is not None:
            _remember(self._threads, event.event_id, heard.thread)
        in_clear = room.encrypted and not event.decrypted  # so the homeserver has read it, and may have written it
        private = not in_clear and rooms.seems_private(told.room, event.sender)
        if private and isinstance(who.speaker, Identity):
            rooms.heard(told.room, event.sender)
        return Message(
            network=self._network,
            id=event.event_id,
            speaker=who.speaker,
            channel=Channel(self._network, told.room, private, shown(room.named_room_name() or "")),
            text=heard.text,
            at=event.server_timestamp / 1000,
            assurance=who.assurance,
            addressed=heard.addressed or (heard.reply_to is not None and is_ours(heard.reply_to)),
            origin=who.origin,
            edit=heard.edit,
            shown=heard.shown,
        )

    def _me(self, client: AsyncClient, room: str) -> Me:
        user = client.rooms[room].users.get(client.user_id)
        name = user.display_name if user is not None else None
        return Me(client.user_id, (name,) if name else ())


def _is_of_sender(client: AsyncClient, event: Event) -> bool:
    return isinstance(client.olm, Machine) and client.olm.speaker(event) is not None


def _remember[T](memory: OrderedDict[str, T], key: str, value: T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _REMEMBERED:
        memory.popitem(last=False)
