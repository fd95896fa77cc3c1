"""A person on Matrix, for tests: a client of their own, what they did with it, and what it showed them.

It is matrix-nio with its own loop, as the bot is; what has to be independent of that, such as the raw events
and the signatures, is in `servers.synapse.server` and `servers.synapse.signatures`.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import nio
import pytest
from aiohttp import ClientConnectionError
from nio.client.async_client import AsyncClient, AsyncClientConfig
from nio.crypto.attachments import decrypt_attachment, encrypt_attachment
from nio.crypto.olm_machine import Olm
from nio.store.database import SqliteMemoryStore

from servers.synapse.server import CLIENT, Account, Json, Synapse
from servers.synapse.signatures import Signer, signed_devices

LIMIT = 15.0
"""Seconds until something that has to come is there at the latest."""

POLL = 2_000
"""Milliseconds that the homeserver may keep a sync waiting."""

RETRY = 0.2
"""Seconds between two tries to reach a homeserver that is down, at most."""

EVERYTHING: Json = {"room": {"timeline": {"limit": 1000}}, "presence": {"types": []}}
"""The filter of a sync: no event of a room is left out, however many there have been since the last one."""

ENCRYPTED: Json = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}

Trust = Literal["everything", "signed"]
"""Which devices are told the keys of what a person says: all, or those that their owner has cross-signed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event of a room's timeline, as the person's client shows it: decrypted, if it could be."""

    room: str
    event_id: str
    sender: str
    type: str
    """For example ``m.room.message``; ``m.room.encrypted`` where it cannot be read."""

    content: Json
    encrypted: bool
    """Whether it was encrypted on the wire."""

    device: str | None = None
    """The device that encrypted it, if that was known as one of the sender's by then: `MatrixPerson.until_device`."""

    source: Json = field(default_factory=dict, repr=False)
    """The whole event."""

    @property
    def readable(self) -> bool:
        """Whether it was in the clear, or could be decrypted."""
        return self.type != "m.room.encrypted"

    @property
    def msgtype(self) -> str:
        """For example ``m.text`` or ``m.notice``; empty where it is no message."""
        return str(self.content.get("msgtype", ""))

    @property
    def body(self) -> str:
        """The plain text; of an edit, the new one."""
        return str(self._said.get("body", ""))

    @property
    def formatted_body(self) -> str:
        """The HTML, or nothing; of an edit, the new one."""
        return str(self._said.get("formatted_body", ""))

    @property
    def mentions(self) -> Json:
        """What ``m.mentions`` says: ``user_ids``, ``room``."""
        found: Json = self._said.get("m.mentions", {})
        return found

    @property
    def relates_to(self) -> Json:
        """What ``m.relates_to`` says: ``rel_type``, ``event_id``, ``key``, ``m.in_reply_to``; often empty."""
        found: Json = self.content.get("m.relates_to", {})
        return found

    @property
    def replaces(self) -> str:
        """The event that this is an edit of, or nothing."""
        return str(self.relates_to["event_id"]) if self.relates_to.get("rel_type") == "m.replace" else ""

    @property
    def _said(self) -> Json:
        said: Json = self.content.get("m.new_content", {}) if self.replaces else self.content
        return said


@dataclass(frozen=True, slots=True)
class Withheld:
    """A message that is in the room, while nobody else has its key."""

    event_id: str
    session_id: str
    orders: Sequence[Json] = field(repr=False)
    """The keys for each device, encrypted, as they are for ``sendToDevice``."""


class MatrixPerson:
    """Somebody on Matrix at one device; made by `MatrixPeople.come` or by hand, as an async context manager.

    A homeserver that is down is waited for.  No device has to be verified: the keys of what they say go to all
    devices that there are, or by *trust* to those that are cross-signed.
    """

    def __init__(self, synapse: Synapse, account: Account, *, url: str = "", trust: Trust = "everything") -> None:
        self.synapse = synapse
        self.account = account
        self.mxid = account.mxid
        self.trust = trust
        self.heard = list[Heard]()
        """Every event of every timeline, own ones too; one that became readable later is there twice."""

        self.to_device = list[Json]()
        """Everything sent to this device alone, decrypted: ``m.room_key_request``, ``m.key.verification.cancel`` …"""

        self.typing = list[tuple[str, frozenset[str]]]()
        """Each time it changed, a room and who is typing there."""

        self.receipts = list[tuple[str, str]]()
        """Events, and who has read up to there."""

        self._url = url or synapse.url
        self._client = AsyncClient(
            self._url,
            self.mxid,
            config=AsyncClientConfig(
                store=SqliteMemoryStore,
                encryption_enabled=True,
                pickle_key=secrets.token_hex(8),
                max_timeout_retry_wait_time=RETRY,
            ),
        )
        self._looked_at = 0
        self._unread = list[nio.MegolmEvent]()
        self._came = asyncio.Condition()
        self._syncing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.account.password:
            entered = await self._client.login(self.account.password, device_name="a test's person")
            assert isinstance(entered, nio.LoginResponse), entered
        else:
            made = self.synapse.bridge_login(self.mxid)
            self._client.restore_login(self.mxid, made["device_id"], made["access_token"])
        first = await self._sync(full_state=True)
        assert isinstance(first, nio.SyncResponse), first
        self._syncing = asyncio.create_task(self._keep_syncing())
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.wait([self._syncing])
        await self._client.close()
        if self._client.store is not None:
            self._client.store.database.close()

    # ------------------------------------------------------------------- who

    @property
    def device_id(self) -> str:
        """The id of this device."""
        return str(self._client.device_id)

    @property
    def token(self) -> str:
        """The access token of this device."""
        return str(self._client.access_token)

    @property
    def invited(self) -> dict[str, str]:
        """The rooms to which they are invited, with who did it."""
        return {room: str(one.inviter) for room, one in self._client.invited_rooms.items()}

    @property
    def rooms(self) -> list[str]:
        """The rooms in which they are."""
        return list(self._client.rooms)

    def devices_of(self, mxid: str) -> set[str]:
        """Return the devices of *mxid* that this client knows: those of people in encrypted rooms."""
        return {str(one.device_id) for one in self._client.device_store.active_user_devices(mxid)}

    async def until_device(self, mxid: str, device_id: str, within: float = LIMIT) -> None:
        """Return once this client knows the device of *mxid*: then it is told keys."""
        await self._wait(lambda: device_id in self.devices_of(mxid), f"{device_id} of {mxid} is not known", within)

    async def signed_devices(self, mxid: str) -> set[str]:
        """Ask for the keys of *mxid*, and return the devices that are cross-signed as they should be."""
        return signed_devices(await self.ask("POST", "/keys/query", {"device_keys": {mxid: []}}), mxid)

    async def cross_sign(self, signer: Signer | None = None) -> Signer:
        """Sign this device: with new keys, which are published, or with those that *signer* has published."""
        if signer is None:
            signer = Signer(self.mxid)
            who = {"type": "m.id.user", "user": self.mxid}
            auth = {"type": "m.login.password", "identifier": who, "password": self.account.password}
            await self.ask("POST", "/keys/device_signing/upload", {**signer.keys(), "auth": auth})
        answer = await self.ask("POST", "/keys/query", {"device_keys": {self.mxid: [self.device_id]}})
        signed = signer.sign(answer["device_keys"][self.mxid][self.device_id])
        done = await self.ask("POST", "/keys/signatures/upload", {self.mxid: {self.device_id: signed}})
        assert not done["failures"], done
        return signer

    # ----------------------------------------------------------------- rooms

    async def create_room(
        self,
        invite: Iterable[str] = (),
        *,
        encrypted: bool = True,
        direct: bool = False,
        name: str = "",
        state: Iterable[Json] = (),
    ) -> str:
        """Create a room and return its id; *state* holds further events of its beginning, as `ENCRYPTED` is one.

        In a *direct* one whoever is invited may do all that its maker may, as in those that clients make.
        """
        order: Json = {
            "preset": "trusted_private_chat" if direct else "private_chat",
            "is_direct": direct,
            "invite": list(invite),
            "initial_state": [*state, *[ENCRYPTED] * encrypted],
        }
        room = str((await self.ask("POST", "/createRoom", order | ({"name": name} if name else {})))["room_id"])
        await self._wait(lambda: room in self._client.rooms, f"{room} is not there")
        return room

    async def join(self, room: str, within: float = LIMIT) -> None:
        """Wait for the invitation to *room*, and join."""
        await self._wait(lambda: room in self._client.invited_rooms, f"there is no invitation to {room}", within)
        await self.ask("POST", f"/join/{room}", {})
        await self._wait(lambda: room in self._client.rooms, f"{room} is not there", within)

    async def invite(self, room: str, mxid: str) -> None:
        """Invite *mxid* to *room*; return once this client knows, for nio drops the key that it just then gives."""
        await self.ask("POST", f"/rooms/{room}/invite", {"user_id": mxid})
        await self._wait(lambda: mxid in self._client.rooms[room].users, f"{mxid} is not invited to {room}")

    async def kick(self, room: str, mxid: str) -> None:
        """Throw *mxid* out of *room*; they may be invited again."""
        await self.ask("POST", f"/rooms/{room}/kick", {"user_id": mxid})

    async def leave(self, room: str) -> None:
        """Leave *room*, or decline its invitation."""
        await self.ask("POST", f"/rooms/{room}/leave", {})
        await self._wait(lambda: room not in self._client.rooms, f"{room} is still there")

    async def encrypt(self, room: str) -> None:
        """Turn encryption on in *room*."""
        await self.set_state(room, "m.room.encryption", ENCRYPTED["content"])
        await self._wait(lambda: self._client.rooms[room].encrypted, f"{room} is not encrypted")

    async def upgrade(self, room: str, version: str = "12") -> str:
        """Replace *room*, which gets a tombstone, and return the new one."""
        answer = await self.ask("POST", f"/rooms/{room}/upgrade", {"new_version": version})
        return str(answer["replacement_room"])

    async def set_state(self, room: str, kind: str, content: Json, key: str = "") -> str:
        """Set a state event, and return its id."""
        return str((await self.ask("PUT", f"/rooms/{room}/state/{kind}/{key}", content))["event_id"])

    async def until_in(self, room: str, mxid: str, membership: str = "join", within: float = LIMIT) -> None:
        """Return once this client has seen that *mxid* has the *membership* in *room*: then they are told keys."""

        def so() -> bool:
            known = self._client.rooms[room]
            if membership == "join":
                return mxid in known.users and mxid not in known.invited_users
            return (mxid in known.invited_users) if membership == "invite" else mxid not in known.users

        await self._wait(so, f"{mxid} is not ({membership}) in {room}", within)

    # ---------------------------------------------------------------- saying

    async def say(
        self,
        room: str,
        text: str,
        *,
        reply_to: str = "",
        thread: str = "",
        mentions: Iterable[str] = (),
        notice: bool = False,
        **content: Any,
    ) -> str:
        """Say *text* in *room*, encrypted where the room is, and return the event's id; *content* is added to it."""
        said: Json = {"msgtype": "m.notice" if notice else "m.text", "body": text}
        if relation := _relation(reply_to, thread):
            said["m.relates_to"] = relation
        if named := list(mentions):
            said["m.mentions"] = {"user_ids": named}
        return await self.send(room, "m.room.message", said | content)

    async def edit(self, room: str, event_id: str, text: str) -> str:
        """Replace what was said by *text*, and return the edit's id."""
        said: Json = {"msgtype": "m.text", "body": text}
        relation = {"rel_type": "m.replace", "event_id": event_id}
        content = {"msgtype": "m.text", "body": f"* {text}", "m.new_content": said, "m.relates_to": relation}
        return await self.send(room, "m.room.message", content)

    async def react(self, room: str, event_id: str, key: str) -> str:
        """React with *key*, an emoji, and return the reaction's id; it is never encrypted."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self.send_raw(room, "m.reaction", {"m.relates_to": relation})

    async def redact(self, room: str, event_id: str) -> str:
        """Take an event back, and return the redaction's id."""
        return str((await self.ask("PUT", f"/rooms/{room}/redact/{event_id}/{_unique()}", {}))["event_id"])

    async def send(self, room: str, kind: str, content: Json) -> str:
        """Send an event, encrypted where the room is, to all who are in *room* as this client knows."""
        await self._prepare(room)
        sent = await self._client.room_send(room, kind, content, ignore_unverified_devices=True)
        assert isinstance(sent, nio.RoomSendResponse), sent
        return str(sent.event_id)

    async def send_raw(self, room: str, kind: str, content: Json) -> str:
        """Send an event as it is: in the clear, whatever the room says."""
        return str((await self.ask("PUT", f"/rooms/{room}/send/{kind}/{_unique()}", content))["event_id"])

    async def send_file(self, room: str, data: bytes, mimetype: str, name: str, kind: str = "m.file") -> str:
        """Send *data*, for example as *kind* ``m.image``, encrypted where the room is; return the event's id."""
        where: Json = {}
        if self._client.rooms[room].encrypted:
            data, where = encrypt_attachment(data)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": mimetype}
        async with await self._client.send("POST", "/_matrix/media/v3/upload", data, headers) as sent:
            url = (await sent.json())["content_uri"]
        place = {"file": {**where, "url": url}} if where else {"url": url}
        info = {"mimetype": mimetype, "size": len(data)}
        return await self.send(room, "m.room.message", {"msgtype": kind, "body": name, "info": info, **place})

    async def say_without_key(self, room: str, text: str) -> Withheld:
        """Say *text* in an encrypted room with a new key, which everybody gets by `share_key` only.

        What is said there after it has the same key.
        """
        self._client.invalidate_outbound_session(room)
        await self._prepare(room)
        machine, known = self._machine, self._client.rooms[room]
        if missing := self._client.get_missing_sessions(room):
            await self._client.keys_claim(missing)
        shares = machine.share_group_session_parallel(room, list(known.users), ignore_unverified_devices=True)
        orders = [order for _, order in shares]
        session = machine.outbound_group_sessions[room]
        session.shared = True
        return Withheld(await self.say(room, text), str(session.id), orders)

    async def share_key(self, withheld: Withheld) -> None:
        """Send the key of *withheld* to those who were in the room."""
        for order in withheld.orders:
            await self.ask("PUT", f"/sendToDevice/m.room.encrypted/{_unique()}", order)

    async def send_to_device(self, mxid: str, device_id: str, kind: str, content: Json) -> None:
        """Send something to one device, in the clear; ``*`` is every device of *mxid*."""
        order = {"messages": {mxid: {device_id: content}}}
        await self.ask("PUT", f"/sendToDevice/{kind}/{_unique()}", order)

    # ------------------------------------------------------------------- see

    async def until(self, is_it: Callable[[Heard], bool], within: float = LIMIT) -> Heard:
        """Return the next event that *is_it*; those before it count as looked at.

        Raises:
            AssertionError: it did not come *within* seconds.
        """
        begin, found = self._looked_at, list[Heard]()

        def came() -> bool:
            while not found and self._looked_at < len(self.heard):
                self._looked_at += 1
                found.extend(filter(is_it, [self.heard[self._looked_at - 1]]))
            return bool(found)

        await self._wait(came, "it did not come", within, begin)
        return found[0]

    async def hear(
        self, text: str = "", *, of: str = "", room: str = "", edits: bool = True, within: float = LIMIT
    ) -> Heard:
        """Return the next message with *text* in it: not an own one, *of* somebody and in *room* if these are given."""

        def is_it(event: Heard) -> bool:
            return (
                event.type == "m.room.message"
                and text in event.body
                and event.sender != self.mxid
                and of in ("", event.sender)
                and room in ("", event.room)
                and (edits or not event.replaces)
            )

        return await self.until(is_it, within)

    async def download(self, event: Heard) -> bytes:
        """Return the file or the image of *event*, decrypted if it is encrypted."""
        file = event.content.get("file")
        place = str(file["url"] if file else event.content["url"]).removeprefix("mxc://")
        headers = {"Authorization": f"Bearer {self.token}"}
        async with await self._client.send("GET", f"/_matrix/client/v1/media/download/{place}", None, headers) as sent:
            data: bytes = await sent.read()
            assert sent.status == 200, f"{sent.status}: {data!r}"
        if file:
            decrypted: bytes = decrypt_attachment(data, file["key"]["k"], file["hashes"]["sha256"], file["iv"])
            return decrypted
        return data

    async def until_invited(self, by: str = "", within: float = LIMIT) -> str:
        """Return the room to which they are invited, *by* somebody if that is given."""

        def rooms() -> list[str]:
            return [room for room, inviter in self.invited.items() if by in ("", inviter)]

        await self._wait(lambda: bool(rooms()), "there is no invitation", within)
        return rooms()[0]

    async def until_told(self, kind: str, within: float = LIMIT) -> Json:
        """Return the first event of *kind* in `to_device`."""

        def told() -> list[Json]:
            return [event for event in self.to_device if event["type"] == kind]

        await self._wait(lambda: bool(told()), f"no {kind} came", within)
        return told()[0]

    async def ask(self, method: str, path: str, body: object = None) -> Json:
        """Send a request of the client-server API, whose paths begin after ``/v3``, as this device.

        Raises:
            AssertionError: the status was 400 or more.
        """
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body)
        while True:
            try:
                async with await self._client.send(method, CLIENT + path, data, headers) as sent:
                    answer: Json = await sent.json()
                    assert sent.status < 400, f"{sent.status} {method} {path}: {answer}"
                    return answer
            except ClientConnectionError:
                await asyncio.sleep(RETRY)

    # ---------------------------------------------------------------- inside

    @property
    def _machine(self) -> Olm:
        assert self._client.olm is not None
        return self._client.olm

    async def _prepare(self, room: str) -> None:
        """Know everybody's devices, as far as the homeserver has told of changes."""
        if not self._client.rooms[room].encrypted:
            return
        if not self._client.rooms[room].members_synced:
            await self._client.joined_members(room)
        if self._client.should_query_keys:
            await self._client.keys_query()
        if self.trust == "signed":
            await self._shut_out_unsigned(room)

    async def _shut_out_unsigned(self, room: str) -> None:
        for mxid in self._client.rooms[room].users:
            signed = await self.signed_devices(mxid)
            for device in self._client.device_store.active_user_devices(mxid):
                if mxid == self.mxid or device.device_id in signed:
                    self._client.unblacklist_device(device)
                else:
                    self._client.blacklist_device(device)

    async def _keep_syncing(self) -> None:
        while True:
            if isinstance(await self._sync(), nio.SyncError):
                await asyncio.sleep(RETRY)  # it is about to stop, or has just come up

    async def _sync(self, *, full_state: bool = False) -> nio.SyncResponse | nio.SyncError:
        client = self._client
        answer: nio.SyncResponse | nio.SyncError = await client.sync(
            timeout=0 if full_state else POLL, sync_filter=EVERYTHING, full_state=full_state
        )
        if isinstance(answer, nio.SyncResponse):
            self._take(answer)
            await client.send_to_device_messages()
            if client.should_upload_keys:
                await client.keys_upload()
            if client.should_query_keys:
                await client.keys_query()
            if client.should_claim_keys:
                await client.keys_claim(client.get_users_for_key_claiming())
            async with self._came:
                self._came.notify_all()
        return answer

    def _take(self, answer: nio.SyncResponse) -> None:
        self.to_device += [event.source for event in filter(None, answer.to_device_events)]
        for room, joined in answer.rooms.join.items():
            self._take_ephemeral(room, joined.ephemeral)
            self.heard += [self._heard(room, event) for event in joined.timeline.events]
        for room, left in answer.rooms.leave.items():
            self._client.rooms.pop(room, None)  # which nio leaves where they are
            self._client.invited_rooms.pop(room, None)
            self.heard += [self._heard(room, event) for event in left.timeline.events]
        for event in list(self._unread):
            with suppress(nio.EncryptionError):
                readable = self._client.decrypt_event(event)
                self._unread.remove(event)
                self.heard.append(self._heard(str(event.room_id), readable))

    def _take_ephemeral(self, room: str, events: Sequence[nio.EphemeralEvent]) -> None:
        for event in events:
            if isinstance(event, nio.TypingNoticeEvent):
                self.typing.append((room, frozenset(event.users)))
            elif isinstance(event, nio.ReceiptEvent):
                self.receipts += [(one.event_id, one.user_id) for one in event.receipts]

    def _heard(self, room: str, event: nio.Event | nio.BadEvent | nio.UnknownBadEvent) -> Heard:
        source = event.source
        if isinstance(event, nio.MegolmEvent):
            self._unread.append(event)
        decrypted = bool(getattr(event, "decrypted", False))
        return Heard(
            room=room,
            event_id=str(source["event_id"]),
            sender=str(source["sender"]),
            type=str(source["type"]),
            content=source["content"],
            encrypted=decrypted or source["type"] == "m.room.encrypted",
            device=self._device(event) if decrypted else None,
            source=source,
        )

    def _device(self, event: Any) -> str | None:
        for device in self._client.device_store.active_user_devices(event.sender):
            if device.curve25519 == event.sender_key:
                return str(device.device_id)
        return None

    async def _wait(self, so: Callable[[], bool], failed: str, within: float = LIMIT, begin: int = 0) -> None:
        """Return once it is *so*; each sync may change it."""
        try:
            async with asyncio.timeout(within), self._came:
                while not so():
                    if self._syncing is not None and self._syncing.done():
                        self._syncing.result()
                    await self._came.wait()
        except TimeoutError:
            seen = "\n".join(f"  {event}" for event in self.heard[begin:][-40:])
            raise AssertionError(f"{self.mxid}: {failed} within {within} s; there was\n{seen}") from None


def _relation(reply_to: str, thread: str) -> Json:
    reply: Json = {"m.in_reply_to": {"event_id": reply_to}} if reply_to else {}
    return {"rel_type": "m.thread", "event_id": thread, **reply} if thread else reply


def _unique() -> str:
    return secrets.token_hex(8)


class MatrixPeople:
    """Brings people, who leave when *stack* ends."""

    def __init__(self, synapse: Synapse, stack: AsyncExitStack) -> None:
        self._synapse = synapse
        self._stack = stack

    async def come(self, *who: str | Account, url: str = "", trust: Trust = "everything") -> list[MatrixPerson]:
        """Register whoever is named, and log everybody in at a new device each.

        An account, for example that of somebody who is there already, is one device more; *url* is for a proxy.
        """
        accounts = [self._synapse.register(one) if isinstance(one, str) else one for one in who]
        people = [MatrixPerson(self._synapse, one, url=url, trust=trust) for one in accounts]
        return [await self._stack.enter_async_context(one) for one in people]


@pytest.fixture
async def matrix_people(synapse: Synapse) -> AsyncIterator[MatrixPeople]:
    """Brings people to Matrix: ``ada, grace = await matrix_people.come("ada", "grace")``; they leave afterwards."""
    async with AsyncExitStack() as stack:
        yield MatrixPeople(synapse, stack)
