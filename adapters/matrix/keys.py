"""Who is given the keys of what the bot says, and keeping everybody's keys up to date.

The bot says nothing in an encrypted room before it has compared who holds the room's key with who may: if anybody
holds it who may not any longer, because they left, were put out, or a device of theirs is gone or no longer trusted,
the next message is said under another.  Who is new gets the key from the next message on, and nothing from before.

Nobody but the people in a room is counted in: the bot's own other devices never are.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any

from nio.crypto.device import OlmDevice
from nio.crypto.sessions import OutboundGroupSession
from nio.events.room_events import RoomEncryptionEvent
from nio.responses import KeysQueryResponse, KeysUploadResponse, SyncResponse, ToDeviceResponse

from adapters.matrix.answers import MatrixError, path
from adapters.matrix.machine import Machine
from adapters.matrix.settings import Trust
from adapters.matrix.signing import Ask, owned, published
from omnibot.errors import NotDelivered, Refused

log = logging.getLogger(__name__)

SLICE = 5
"""Devices that are dealt with before the loop has its turn."""

_A_REQUEST = 40
_USERS_A_QUERY = 100
_REST = 300.0
_ROUNDS = 3
_MESSAGES_AT_ONCE = 50
_PASSING = (0, 502, 503, 504)
"""Status of errors that are the homeserver's own, or of the way to it; 0: no answer, a limit, a login that ran out."""

_WEEK_MS = 7 * 24 * 3_600_000
_HOUR_MS = 3_600_000
_MESSAGES = 100


@dataclass(frozen=True, slots=True)
class Rotation:
    """For how long, and for how many messages, a room is spoken to under one key."""

    age: timedelta = timedelta(milliseconds=_WEEK_MS)
    messages: int = _MESSAGES

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Rotation":
        """Read the content of ``m.room.encryption``.

        Nobody gets longer than a week and a hundred messages, or a new key for every message of an hour.
        """
        return cls(
            timedelta(milliseconds=_between(content.get("rotation_period_ms"), _HOUR_MS, _WEEK_MS)),
            _between(content.get("rotation_period_msgs"), 1, _MESSAGES),
        )


def _between(value: object, least: int, most: int) -> int:
    return max(least, min(value, most)) if isinstance(value, int) and not isinstance(value, bool) else most


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A device that cannot read a message."""

    user: str
    device: str
    code: str
    """As in ``m.room_key.withheld``: ``m.blacklisted``; ``m.unverified``, not signed by its owner; ``m.no_olm``."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event as it is sent into an encrypted room, of the type ``m.room.encrypted``."""

    content: dict[str, Any] = field(repr=False)
    readers: frozenset[tuple[str, str]]
    """User and device of each that can read it."""

    left_out: tuple[LeftOut, ...]


class Keys:
    """The keys of others: looked up, given, and taken away by another key."""

    def __init__(self, machine: Machine, ask: Ask, trust: Trust, now: Callable[[], float] = time.monotonic) -> None:
        """Speak with *machine* by *ask*, to the devices that *trust* lets in."""
        self._machine = machine
        self._ask = ask
        self._trust = trust
        self._now = now
        self._masters = machine.store.masters()
        self._rotations: dict[str, Rotation] = {}
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._looking = asyncio.Lock()
        self._resting: dict[tuple[str, str], float] = {}
        """Until when a user (and no device) is not looked up again, or a device not asked for a one-time key."""

        self._changed: set[str] = set()

    # ------------------------------------------------------------------ beside each sync

    def synced(self, response: SyncResponse) -> None:
        """Take what concerns keys from *response*, which nio has taken already."""
        machine = self._machine
        machine.counted(response)
        # nio looks only at the members it has seen, and members are loaded lazily.
        machine.add_changed_users(machine.tracked_users.intersection(response.device_list.changed))
        machine.tracked_users.difference_update(response.device_list.left)
        for room_id, room in response.rooms.join.items():
            for event in (*room.state, *room.timeline.events):
                if isinstance(event, RoomEncryptionEvent):
                    self._rotations[room_id] = Rotation.of(event.source.get("content", {}))
        for room_id in response.rooms.leave:
            machine.outbound_group_sessions.pop(room_id, None)
            self._rotations.pop(room_id, None)

    async def upkeep(self) -> None:
        """Publish keys, look up changed ones, mend sessions and send what nio has to say to devices.

        What nio took from the last sync is on the disk first: the homeserver forgets it once the position goes on.

        Raises:
            Refused, MatrixError, OSError, TimeoutError: as `ask`; what was not done is done next time.
        """
        await self._machine.store.settle()
        if self._machine.should_upload_keys:
            await self._publish()
        await self._look_up(self._machine.users_for_key_query)
        await self._mend()
        await self._send_queued()

    async def _publish(self) -> None:
        machine = self._machine
        if not machine.account.shared:
            await self._is_new()
        keys = machine.share_keys()
        await machine.store.settle()
        try:
            said = await self._ask("POST", path("keys", "upload"), keys)
        except MatrixError as error:
            if error.status != 400 or not machine.account.shared:
                raise
            # It has others by these names: the store is older than what was published from it.  Go on to new names.
            log.error("the homeserver does not take the bot's one-time keys: was an older crypto store put back?")
            machine.mark_keys_as_published()
            machine.save_account()
            return
        left = _at(said, "one_time_key_counts", "signed_curve25519")
        machine.handle_response(KeysUploadResponse(0, left if isinstance(left, int) else 0))  # type: ignore[no-untyped-call]

    async def _is_new(self) -> None:
        """See that nobody else has published keys for this device: another store may be behind the same token."""
        machine = self._machine
        answer = await self._ask("POST", path("keys", "query"), {"device_keys": {machine.user_id: []}})
        theirs = _at(answer, "device_keys", machine.user_id, machine.device_id, "keys")
        own = machine.account.identity_keys["ed25519"]
        if theirs is not None and _at(theirs, f"ed25519:{machine.device_id}") != own:
            raise Refused(
                f"the homeserver has keys of the bot's device {machine.device_id} that are not here",
                cure="Put the bot's data directory back that had them, or give the network another `device_name` "
                "(and, with `token`, a new token): the bot begins anew there, as another device.",
            )

    async def _mend(self) -> None:
        """Begin anew with devices whose messages could not be read."""
        wedged = [device for device in self._machine.wedged_devices if not device.deleted]
        if not wedged:
            return
        await self._claim(wedged)
        self._machine.wedged_devices.clear()  # who gave no key now is found again by the next message

    async def _send_queued(self) -> None:
        machine = self._machine
        queued = machine.outgoing_to_device_messages[:_MESSAGES_AT_ONCE]
        if queued:
            await machine.store.settle()
        for message in queued:
            try:
                await self._to_devices(message.type, {message.recipient: {message.recipient_device: message.content}})
            except MatrixError as error:
                if error.status in _PASSING:
                    raise
                # Whom it is for is somebody's own word, and may be no device at all: that must not end every sync.
                log.info("a message to a device of %s was not taken (%s)", message.recipient, error)
            machine.handle_response(ToDeviceResponse(message))  # type: ignore[no-untyped-call]

    # ------------------------------------------------------------------ looking up

    async def _look_up(self, users: Collection[str]) -> None:
        """Ask for the devices of *users*, but for those that could not be found a short while ago."""
        async with self._looking:
            wanted = iter([user for user in sorted(users) if self._rested(user, "")])
            while batch := list(islice(wanted, _USERS_A_QUERY)):
                await self._query(batch)

    async def _query(self, batch: Sequence[str]) -> None:
        queue = self._machine.users_for_key_query
        queue.difference_update(batch)
        try:
            answer = await self._ask("POST", path("keys", "query"), {"device_keys": {user: [] for user in batch}})
        except BaseException:
            queue.update(batch)
            raise
        again = queue.intersection(batch)  # they changed while the answer was under way: it may be the older one
        found = answer.get("device_keys")
        found = found if isinstance(found, dict) else {}
        for users in _slices([user for user in batch if isinstance(found.get(user), dict)], found):
            self._take(answer, {user: found[user] for user in users})
            await asyncio.sleep(0)
        queue.update(again)
        for user in batch:
            if user not in found:
                queue.add(user)
                self._rest(user, "")

    def _take(self, answer: Mapping[str, Any], found: dict[str, Any]) -> None:
        with self._machine.store.burst():
            self._machine.handle_response(KeysQueryResponse(found, {}))  # type: ignore[no-untyped-call]
            for user in found:
                self._judge(answer, user)

    def _judge(self, answer: Mapping[str, Any], user: str) -> None:
        """Note which of *user*'s devices are signed by their owner, under the master key that was seen first."""
        if user == self._machine.user_id:
            return  # the bot's own, who get nothing either way
        master = published(answer, user, "master")
        if master is not None and user not in self._masters:
            self._masters[user] = master
            self._machine.store.pin({user: master})
        pinned = self._masters.get(user)
        if master != pinned and user not in self._changed:
            self._changed.add(user)
            log.warning("%s has another master key than the one first seen: their devices count as unsigned", user)
        signed = owned(answer, user, pinned) if pinned is not None and master == pinned else frozenset()
        keys = {(one.device, one.ed25519, one.curve25519) for one in signed}
        for device in self._machine.device_store.active_user_devices(user):
            is_signed = (device.id, device.ed25519, device.curve25519) in keys
            if is_signed and not device.verified and not device.blacklisted:
                self._machine.verify_device(device)
            elif not is_signed and device.verified:
                self._machine.unverify_device(device)

    # ------------------------------------------------------------------ giving

    async def encrypt(self, room_id: str, users: Collection[str], kind: str, content: Mapping[str, Any]) -> Sealed:
        """Encrypt an event of *kind* for *users*, who are in the room now, and see that they can read it.

        Raises:
            NotDelivered: who is in the room changes all the time.
            Refused, MatrixError, OSError, TimeoutError: the homeserver did not pass keys on; nothing was said.
        """
        machine = self._machine
        others = frozenset(users) - {machine.user_id}
        async with self._alone(room_id):
            for _ in range(_ROUNDS):
                await self._look_up({user for user in others if self._is_unknown(user)})
                session = self._session(room_id, others)
                await self._share(room_id, session, others)
                if session is self._session(room_id, others):  # nobody left, and it was not put away meanwhile
                    session.shared = True
                    return self._sealed(room_id, session, others, kind, content)
        raise NotDelivered("the room's members change too fast", retryable=True)

    def _sealed(
        self, room_id: str, session: OutboundGroupSession, users: Collection[str], kind: str, content: Mapping[str, Any]
    ) -> Sealed:
        sealed: dict[str, Any] = dict(
            self._machine.group_encrypt(room_id, {"type": kind, "content": dict(content)}),
        )
        if "m.relates_to" in content:
            sealed["m.relates_to"] = content["m.relates_to"]  # servers group by it, so it is in the clear
        readers = frozenset(session.users_shared_with)
        return Sealed(sealed, readers, tuple(self._left_out(users, readers)))

    def _is_unknown(self, user: str) -> bool:
        return user not in self._machine.tracked_users or user in self._machine.users_for_key_query

    def _devices(self, users: Collection[str]) -> Iterator[OlmDevice]:
        for user in sorted(users):
            yield from self._machine.device_store.active_user_devices(user)

    def _may_read(self, device: OlmDevice) -> bool:
        return not device.blacklisted and (self._trust == "first-use" or device.verified)

    def _left_out(self, users: Collection[str], readers: Collection[tuple[str, str]]) -> Iterator[LeftOut]:
        for device in self._devices(users):
            if (device.user_id, device.id) not in readers:
                code = "m.no_olm" if self._may_read(device) else "m.unverified"
                yield LeftOut(device.user_id, device.id, "m.blacklisted" if device.blacklisted else code)

    def _session(self, room_id: str, users: Collection[str]) -> OutboundGroupSession:
        """Return the session to speak with: the one there is, unless somebody holds it who may not read on."""
        machine = self._machine
        rotation = self._rotations.get(room_id, Rotation())
        allowed = {(device.user_id, device.id) for device in self._devices(users) if self._may_read(device)}
        there = machine.outbound_group_sessions.get(room_id)
        if there is not None:
            there.max_age, there.max_messages = rotation.age, rotation.messages
            if not there.expired and there.users_shared_with <= allowed:
                return there
        machine.create_outbound_group_session(room_id)
        made = machine.outbound_group_sessions[room_id]
        made.max_age, made.max_messages = rotation.age, rotation.messages
        return made

    async def _share(self, room_id: str, session: OutboundGroupSession, users: Collection[str]) -> None:
        """Give the key of *session* to the devices of *users* that may have it and have not."""
        machine = self._machine
        missing = [
            device
            for device in self._devices(users)
            if self._may_read(device) and (device.user_id, device.id) not in session.users_shared_with
        ]
        await self._claim([device for device in missing if machine.session_store.get(device.curve25519) is None])
        ready = iter(missing)
        while some := list(islice(ready, _A_REQUEST)):
            messages: dict[str, dict[str, Any]] = {}
            for few in _chunks(some, SLICE):
                with machine.store.burst():
                    for device in few:
                        if (olm := machine.session_store.get(device.curve25519)) is not None:
                            messages.setdefault(device.user_id, {})[device.id] = machine.hand(
                                room_id, session, device, olm
                            )
                await asyncio.sleep(0)
            if messages:
                await machine.store.settle()
                await self._to_devices("m.room.encrypted", messages)
                session.users_shared_with.update((user, device) for user in messages for device in messages[user])
        await self._withhold(room_id, session, users)

    async def _withhold(self, room_id: str, session: OutboundGroupSession, users: Collection[str]) -> None:
        """Say once to each device that is left out that it is; its client shows that better than silence."""
        messages: dict[str, dict[str, Any]] = {}
        for one in self._left_out(users, session.users_shared_with):
            if (one.user, one.device) not in session.users_ignored and one.code != "m.no_olm":
                session.users_ignored.add((one.user, one.device))
                messages.setdefault(one.user, {})[one.device] = {
                    "algorithm": "m.megolm.v1.aes-sha2",
                    "room_id": room_id,
                    "session_id": session.id,
                    "sender_key": self._machine.account.identity_keys["curve25519"],
                    "code": one.code,
                    "reason": "The bot sends keys only to devices that their owner has verified.",
                }
        if messages:
            try:
                await self._to_devices("m.room_key.withheld", messages)
            except (MatrixError, OSError, TimeoutError) as error:
                log.info("could not say to devices that they get no key (%s)", type(error).__name__)

    async def _claim(self, devices: Sequence[OlmDevice]) -> None:
        """Begin sessions with *devices*, but for those that had no one-time key a short while ago."""
        wanted = [device for device in devices if self._rested(device.user_id, device.id)]
        if not wanted:
            return
        asked: dict[str, dict[str, str]] = {}
        for device in wanted:
            asked.setdefault(device.user_id, {})[device.id] = "signed_curve25519"
        answer = await self._ask("POST", path("keys", "claim"), {"one_time_keys": asked, "timeout": 10_000})
        for few in _chunks(wanted, SLICE):
            with self._machine.store.burst():
                for device in few:
                    keys = _at(answer, "one_time_keys", device.user_id, device.id)
                    if keys is None or not self._machine.claimed(device, keys):
                        self._rest(device.user_id, device.id)
            await asyncio.sleep(0)

    async def _to_devices(self, kind: str, messages: Mapping[str, Any]) -> None:
        await self._ask("PUT", path("sendToDevice", kind, uuid.uuid4().hex), {"messages": messages})

    # ------------------------------------------------------------------ waiting

    def _rest(self, user: str, device: str) -> None:
        now = self._now()
        self._resting = {who: until for who, until in self._resting.items() if until > now}
        self._resting[user, device] = now + _REST

    def _rested(self, user: str, device: str) -> bool:
        return self._resting.get((user, device), 0.0) <= self._now()

    @asynccontextmanager
    async def _alone(self, room_id: str) -> AsyncIterator[None]:
        """Let one at a time speak to a room."""
        lock, waiting = self._locks.get(room_id, (asyncio.Lock(), 0))
        self._locks[room_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks.pop(room_id)
            if waiting > 1:
                self._locks[room_id] = (lock, waiting - 1)


def _at(value: object, *keys: str) -> Any:
    """Return what an answer has at *keys*, one within the other; None where it has nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _chunks[T](items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _slices(users: Sequence[str], found: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Part *users* so that no part has many more than `SLICE` devices, unless one user has."""
    part: list[str] = []
    devices = 0
    for user in users:
        if part and devices + len(found[user]) > SLICE:
            yield part
            part, devices = [], 0
        part.append(user)
        devices += len(found[user])
    if part:
        yield part
