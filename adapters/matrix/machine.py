"""nio's Olm machine, without what strangers could do with it.

What differs from nio 0.26, each by its name below: an event that nio stumbles over ended the whole sync, again and
again, and anybody can send one; what anybody had encrypted as the state of a room was taken for its state; one-time
keys were published before they were kept, so that a crash between left the homeserver with keys that nothing opens and
refused every later upload; none were made where the homeserver had run out of them; requests for keys and
verifications piled up; a device that was missing from one answer never got a key again.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from nio.client.async_client import AsyncClient
from nio.crypto.device import OlmDevice
from nio.crypto.olm_machine import Olm
from nio.crypto.sessions import OutboundGroupSession, OutboundSession, Session
from nio.events.room_events import Event, MegolmEvent, RoomMessage, UnknownEvent
from nio.events.to_device import (
    BaseRoomKeyRequest,
    ForwardedRoomKeyEvent,
    KeyVerificationEvent,
    ToDeviceEvent,
)
from nio.responses import KeysClaimResponse, KeysQueryResponse, SyncResponse

from adapters.matrix.store import CryptoStore
from omnibot.errors import NotDelivered, Refused
from omnibot.markup import printable

log = logging.getLogger(__name__)

_LONGEST_NAME = 100

MOST_DEVICES = 100
"""Of one user, at most: who has a homeserver of their own may have any number."""


class Machine(Olm):
    """The keys of the bot's device at work."""

    store: CryptoStore

    def __repr__(self) -> str:
        """Say whose it is."""
        return f"Machine({self.user_id!r}, {self.device_id!r})"

    # ------------------------------------------------------------------ what comes in

    def handle_to_device_event(self, event: ToDeviceEvent) -> ToDeviceEvent | None:
        """Return what an event says that was encrypted for this device; None where it says nothing to us.

        Requests for keys are not answered: the bot has no other device, and nobody else gets keys that way.
        Verifications are declined elsewhere; nio's own are broken.
        """
        if isinstance(event, BaseRoomKeyRequest | KeyVerificationEvent):
            return None
        try:
            found: ToDeviceEvent | None = super().handle_to_device_event(event)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - it was made by somebody else, and one of many in an answer
            log.info("could not read a to-device event from %s (%s)", event.sender, type(error).__name__)
            return None
        return found

    def _decrypt_megolm_no_error(self, event: MegolmEvent, room_id: str | None = None) -> Any:
        try:
            found = super()._decrypt_megolm_no_error(event, room_id)
        except Exception as error:  # noqa: BLE001 - as above
            log.info("could not read an event from %s (%s)", event.sender, type(error).__name__)
            return None
        return _without_state(found) if isinstance(found, Event) else found

    def read(self, event: MegolmEvent) -> Event | None:
        """Return what *event* of a room says, or None where it cannot be read (yet)."""
        found = self._decrypt_megolm_no_error(event)
        return found if isinstance(found, Event) else None

    def has_session(self, room_id: str, sender_key: str, session_id: str) -> bool:
        """Return whether the key is here that opens events of that session."""
        return self.inbound_group_store.get(room_id, sender_key, session_id) is not None

    def speaker(self, event: Event) -> OlmDevice | None:
        """Return the device that encrypted *event*, if it is one of its sender's.

        nio takes the homeserver's word for the sender of an event, whoever made the session.
        """
        room = getattr(event, "room_id", "")
        if not (event.decrypted and event.sender_key and event.session_id and room):
            return None
        session = self.inbound_group_store.get(room, event.sender_key, event.session_id)
        device = self.device_store.device_from_sender_key(event.sender, event.sender_key)
        return device if session is not None and device is not None and device.ed25519 == session.ed25519 else None

    def check_if_wedged(self, event: MegolmEvent) -> None:
        """Have the sender's devices looked up if this one is new; the key is requested by `held`, once."""
        if event.device_id not in self.device_store.devices(event.sender):
            self.users_for_key_query.add(event.sender)

    def _should_accept_forward(self, sender: str, sender_key: str, event: ForwardedRoomKeyEvent) -> bool:
        """Take a key that was asked for, from the very device that made it; nio takes them from our own alone."""
        content = event.source["content"]
        request = self.outgoing_key_requests.get(event.session_id)
        maker = self.device_store.device_from_sender_key(sender, sender_key)
        return (
            request is not None
            and (event.algorithm, event.room_id) == (request.algorithm, request.room_id)
            and maker is not None
            and not maker.blacklisted
            and content["sender_key"] == sender_key
            and content["sender_claimed_ed25519_key"] == maker.ed25519
        )

    def forget_request(self, session_id: str) -> None:
        """Wait no longer for a key that was requested."""
        request = self.outgoing_key_requests.pop(session_id, None)
        if request is not None:
            self.store.remove_outgoing_key_request(request)

    # ------------------------------------------------------------------ our own keys

    def share_keys(self) -> dict[str, Any]:
        """Return the keys to publish, kept before anybody can use them; those not taken before are among them."""
        waiting = len(self.account.one_time_keys["curve25519"])
        wanted = self.account.max_one_time_keys - (self.uploaded_key_count or 0 if self.account.shared else 0)
        if wanted > waiting:
            self.account.generate_one_time_keys(wanted - waiting)
        self.save_account()
        fresh = self.account.one_time_keys["curve25519"]
        keys: dict[str, Any] = {
            "one_time_keys": {f"signed_curve25519:{name}": self._signed({"key": key}) for name, key in fresh.items()}
        }
        if not self.account.shared:
            own = self.account.identity_keys
            device = {
                "algorithms": self._algorithms,
                "device_id": self.device_id,
                "user_id": self.user_id,
                "keys": {
                    f"curve25519:{self.device_id}": own["curve25519"],
                    f"ed25519:{self.device_id}": own["ed25519"],
                },
            }
            keys["device_keys"] = self._signed(device)
        return keys

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        return value | {"signatures": {self.user_id: {f"ed25519:{self.device_id}": self.sign_json(value)}}}

    def counted(self, response: SyncResponse) -> None:
        """Take how many one-time keys the homeserver has left; nio looks away when it is none."""
        left = response.device_key_count.signed_curve25519
        if left is not None or self.uploaded_key_count is None:
            self.uploaded_key_count = left or 0

    # ------------------------------------------------------------------ other devices

    def verify_json(self, json: Any, user_key: Any, user_id: str, device_id: str) -> bool:
        """Return whether *json* is signed with *user_key*; False whatever is wrong with it."""
        try:
            return bool(super().verify_json(json, user_key, user_id, device_id))  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 - it is somebody else's, and may be anything
            return False

    def _handle_key_query(self, response: KeysQueryResponse) -> None:
        response.device_keys = {
            user: dict(self._sound(user, devices))
            for user, devices in response.device_keys.items()
            if isinstance(devices, dict)
        }
        super()._handle_key_query(response)
        back = [
            device
            for user, devices in response.device_keys.items()
            for device in self.device_store[user].values()
            if device.deleted and device.id in devices and _same(device, devices[device.id])
        ]
        for device in back:
            device.deleted = False
            self.store.save_device_keys({device.user_id: {device.id: device}})
            response.changed.setdefault(device.user_id, {})[device.id] = device

    def _sound(self, user: str, devices: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the device keys that have the shape they should, those first that are known already."""
        known = self.device_store.devices(user)
        ours = sorted(devices, key=lambda device: (device not in known, device))
        for device in ours[:MOST_DEVICES]:
            if is_device(devices[device], user, device):
                name = devices[device].get("unsigned", {}).get("device_display_name")
                unsigned = {"device_display_name": printable(name)[:_LONGEST_NAME] if isinstance(name, str) else ""}
                yield device, devices[device] | {"unsigned": unsigned}

    # ------------------------------------------------------------------ what goes out

    def claimed(self, device: OlmDevice, keys: Any) -> bool:
        """Begin a session with *device* by a one-time key of its, as claimed; return whether there is one now."""
        try:
            self._handle_key_claiming(KeysClaimResponse({device.user_id: {device.id: keys}}, {}))  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - it was made by somebody else
            log.info("could not begin a session with a device of %s (%s)", device.user_id, type(error).__name__)
        return self.session_store.get(device.curve25519) is not None

    def create_session(self, one_time_key: str, curve_key: str) -> OutboundSession:
        """Begin a session; unlike nio, without saving the account, which is not changed by that."""
        session = OutboundSession(self.account, curve_key, one_time_key)
        self.session_store.add(curve_key, session)
        self.save_session(curve_key, session)
        return session

    def hand(self, room_id: str, session: OutboundGroupSession, device: OlmDevice, olm: Session) -> dict[str, Any]:
        """Return the key of *session*, from its next message on, encrypted for *device* over their *olm* session."""
        content = {
            "algorithm": self._megolm_algorithm,
            "room_id": room_id,
            "session_id": session.id,
            "session_key": session.session_key,
        }
        sealed: dict[str, Any] = self._olm_encrypt(olm, device, "m.room_key", content)  # type: ignore[no-untyped-call]
        return sealed


def _without_state(event: Event) -> Event:
    """Return *event*, which was encrypted, as one that changes no room.

    No homeserver has seen what is in it, so it is nobody's membership and no room's state, whatever it says.
    """
    if isinstance(event, RoomMessage):
        return event
    found: Event = UnknownEvent.from_dict(event.source)
    for name in ("decrypted", "verified", "sender_key", "session_id", "room_id"):  # the last is none of its fields
        setattr(found, name, getattr(event, name))
    return found


def is_device(keys: Any, user: str, device: str) -> bool:
    """Return whether *keys* are shaped as the device keys of *device* of *user* (client-server API, "Device keys")."""
    if not isinstance(keys, dict) or (keys.get("user_id"), keys.get("device_id")) != (user, device):
        return False
    public, signatures, unsigned = keys.get("keys"), keys.get("signatures"), keys.get("unsigned", {})
    return (
        isinstance(public, dict)
        and all(isinstance(public.get(f"{kind}:{device}"), str) for kind in ("ed25519", "curve25519"))
        and isinstance(signatures, dict)
        and isinstance(signatures.get(user), dict)
        and isinstance(unsigned, dict)
    )


def _same(device: OlmDevice, keys: Mapping[str, Any]) -> bool:
    return bool(device.ed25519 == keys["keys"][f"ed25519:{device.id}"])


def attach(client: AsyncClient, store: CryptoStore) -> Machine:
    """Let *client*, which is logged in as that device, take part in encrypted rooms with *store*.

    Raises:
        Refused: something in the store cannot be opened.
    """
    assert (client.user_id, client.device_id) == (store.user_id, store.device_id), "whoami was asked"
    try:
        machine = Machine(store.user_id, store.device_id, store)
        encrypted = set(store.load_encrypted_rooms())
    except ValueError as error:  # vodozemac's errors are such
        raise Refused(
            f"{store.database_path} is damaged ({type(error).__name__})",
            cure="Put a whole one back, or give the network another `device_name`: the bot begins anew there.",
        ) from None
    client.store, client.olm, client.encrypted_rooms = store, machine, encrypted
    client.add_to_device_callback(_give_way, ToDeviceEvent)  # type: ignore[arg-type]  # it may be a coroutine
    client.add_event_callback(_give_way, Event)
    return machine


async def _give_way(*_: object) -> None:
    """Let the loop have its turn: a sync may bring hundreds of events, and opening one takes milliseconds."""
    await asyncio.sleep(0)


def must_encrypt(client: AsyncClient, room_id: str) -> bool:
    """Return whether what is said in a room has to be encrypted: once it had to be, it always has.

    Raises:
        NotDelivered: the room is not known (yet), or is encrypted and the bot cannot encrypt.
    """
    room = client.rooms.get(room_id)
    if room is None:
        raise NotDelivered("the room has not been synced yet", retryable=True)
    if not (room.encrypted or room_id in client.encrypted_rooms):
        return False
    if not isinstance(client.olm, Machine):
        raise NotDelivered("the room is encrypted, and encryption is off", retryable=False)
    return True
