"""Requests to verify the bot are declined, with a word on what to do instead.

Comparing emoji needs somebody on both sides who looks; the bot's device is signed by its own account, and its
operator sees its key (client-server API, "Key verification framework").
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nio.responses import SyncResponse

from adapters.matrix.sync import Told

CANCEL = "m.key.verification.cancel"
_ASKS = ("m.key.verification.request", "m.key.verification.start")
_ROOM_ASKS = "m.key.verification.request"
_WORDS = "I am a bot and cannot compare emoji. My device is signed by my own account; my operator can tell you its key."


def asked_of_device(response: SyncResponse) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield who asked, from which device, and the content of the answer."""
    for event in response.to_device_events:
        source = getattr(event, "source", None)
        content = source.get("content") if isinstance(source, Mapping) else None
        if not isinstance(source, Mapping) or source.get("type") not in _ASKS or not isinstance(content, Mapping):
            continue
        sender, device, transaction = source.get("sender"), content.get("from_device"), content.get("transaction_id")
        if isinstance(sender, str) and isinstance(device, str) and isinstance(transaction, str):
            yield sender, device, {"transaction_id": transaction, "code": "m.user", "reason": _WORDS}


def asked_in_rooms(told: Iterable[Told], me: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the room in which *me* was asked, and the content of the answer."""
    for one in told:
        content = one.event.source.get("content")
        if isinstance(content, Mapping) and content.get("msgtype") == _ROOM_ASKS and content.get("to") == me:
            relation = {"rel_type": "m.reference", "event_id": one.event.source.get("event_id")}
            yield one.room, {"code": "m.user", "reason": _WORDS, "m.relates_to": relation}
