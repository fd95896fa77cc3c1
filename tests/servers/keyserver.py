"""A stand-in for the part of a homeserver that passes keys on, in memory (client-server API, "End-to-end encryption").

It believes everything it is told, as a hostile one would; tests change what it answers.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nio.events.room_events import Event, MegolmEvent
from nio.events.to_device import ToDeviceEvent

from adapters.matrix.answers import MatrixError
from adapters.matrix.keys import Keys
from adapters.matrix.machine import Machine
from adapters.matrix.settings import Trust
from adapters.matrix.signing import Ask, Signed, sign_device
from adapters.matrix.store import open_store
from omnibot.testing.fakes import FakeStore


def demand(stages: tuple[str, ...] = ("m.login.password",)) -> MatrixError:
    """Return what a homeserver answers that wants to know who it is."""
    error = MatrixError("", "", 401)
    error.said = {"session": "s1", "flows": [{"stages": list(stages)}], "params": {}}
    return error


@dataclass
class KeyServer:
    """Everybody's keys, and what waits for each device."""

    password: str | None = None
    """What it demands before it takes signing keys; None: nothing."""

    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    one_time: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    signing: dict[str, dict[str, Any]] = field(default_factory=dict)
    inbox: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Who asked for what, with which body."""

    down: set[str] = field(default_factory=set)
    """Endpoints that answer with 500, by their last part."""

    def client(self, user: str, device: str) -> Ask:
        """Return the way *device* of *user* asks it."""

        async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
            parts = [unquote(part) for part in where.removeprefix("/_matrix/client/v3/").split("/")]
            said = json.loads(json.dumps(body))
            self.asked.append((user, "/".join(parts[: 3 if parts[0] == "keys" else 2]), said))
            if {parts[-1], parts[0]} & self.down:
                raise MatrixError("M_UNKNOWN", "down", 500)
            match parts:
                case ["keys", "upload"]:
                    return self._upload(user, device, said)
                case ["keys", "query"]:
                    return self.query(*said["device_keys"])
                case ["keys", "claim"]:
                    return self._claim(said["one_time_keys"])
                case ["keys", "device_signing", "upload"]:
                    return self._device_signing(user, said)
                case ["keys", "signatures", "upload"]:
                    return self._signatures(said)
                case ["sendToDevice", kind, _]:
                    return self._send(user, kind, said["messages"])
            raise AssertionError(where)

        return ask

    def query(self, *users: str) -> dict[str, Any]:
        """Return what it says of *users*."""
        answer: dict[str, Any] = {"device_keys": {user: self.devices.get(user, {}) for user in users}, "failures": {}}
        for usage in ("master", "self_signing"):
            answer[f"{usage}_keys"] = {
                user: keys[f"{usage}_key"] for user in users if f"{usage}_key" in (keys := self.signing.get(user, {}))
            }
        return copy.deepcopy(answer)

    def counted(self, kind: str) -> int:
        """Return how often *kind* was asked for."""
        return sum(kind == what for _, what, _ in self.asked)

    def _upload(self, user: str, device: str, said: dict[str, Any]) -> dict[str, Any]:
        there = self.one_time.setdefault((user, device), {})
        for name, key in said.get("one_time_keys", {}).items():
            if there.get(name, key) != key:
                raise MatrixError("M_UNKNOWN", f"One time key {name} already exists", 400)
        there.update(said.get("one_time_keys", {}))
        if "device_keys" in said:
            self.devices.setdefault(user, {})[device] = said["device_keys"]
        return {"one_time_key_counts": {"signed_curve25519": len(there)}}

    def _claim(self, wanted: dict[str, dict[str, str]]) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {}
        for user, devices in wanted.items():
            for device in devices:
                keys = self.one_time.get((user, device), {})
                if keys:
                    name = next(iter(keys))
                    found.setdefault(user, {})[device] = {name: keys.pop(name)}
        return {"one_time_keys": found, "failures": {}}

    def _device_signing(self, user: str, said: dict[str, Any]) -> dict[str, Any]:
        if self.password is not None:
            auth = said.get("auth")
            if auth is None:
                raise demand()
            if auth["password"] != self.password or auth["session"] != "s1":
                raise MatrixError("M_FORBIDDEN", "", 401)
        self.signing[user] = {name: key for name, key in said.items() if name != "auth"}
        return {}

    def _signatures(self, said: dict[str, dict[str, Any]]) -> dict[str, Any]:
        for user, objects in said.items():
            for device, keys in objects.items():
                for name, signature in keys["signatures"][user].items():
                    self.devices[user][device]["signatures"][user][name] = signature
        return {}

    def _send(self, user: str, kind: str, messages: dict[str, dict[str, Any]]) -> dict[str, Any]:
        for recipient, devices in messages.items():
            for device, content in devices.items():
                self.inbox.setdefault((recipient, device), []).append(
                    {"type": kind, "sender": user, "content": content}
                )
        return {}


@dataclass
class Device:
    """Somebody's device, with real keys, at a `KeyServer`."""

    machine: Machine
    keys: Keys
    ask: Ask
    secrets: FakeStore
    server: KeyServer

    @property
    def name(self) -> tuple[str, str]:
        """Its user and its id."""
        return self.machine.user_id, self.machine.device_id

    def receive(self) -> list[Any]:
        """Take what waits for it; return what that was to nio, in the clear where it could be opened."""
        events = [ToDeviceEvent.parse_event(event) for event in self.server.inbox.pop(self.name, [])]
        return [self.machine.handle_to_device_event(event) or event for event in events if event is not None]

    def read(self, room: str, sender: str, content: Mapping[str, Any], event: str = "$1") -> Event | None:
        """Return what an encrypted event says to it, after it took what waits."""
        self.receive()
        return self.machine.read(megolm(room, sender, content, event))

    async def sign(self) -> Signed:
        """Sign it, as its owner does."""
        return await sign_device(self.ask, self.secrets, self.machine)


def megolm(room: str, sender: str, content: Mapping[str, Any], event: str = "$1", sent: int = 1_000) -> MegolmEvent:
    """Return an encrypted event as nio gives it, *sent* at so many milliseconds since 1970."""
    source = {
        "type": "m.room.encrypted",
        "event_id": event,
        "sender": sender,
        "origin_server_ts": sent,
        "content": dict(content),
    }
    found = MegolmEvent.from_dict(source)
    assert isinstance(found, MegolmEvent)
    found.room_id = room
    return found


async def device(
    server: KeyServer,
    directory: Path,
    user: str,
    name: str,
    trust: Trust = "first-use",
    secrets: FakeStore | None = None,
) -> Device:
    """Return *user*'s device with its keys published; what was asked for until then is forgotten."""
    secrets = secrets or FakeStore()
    store = await open_store(directory / "crypto", secrets, user, name)
    ask = server.client(user, name)
    machine = Machine(user, name, store)
    keys = Keys(machine, ask, trust)
    await keys.upkeep()
    server.asked.clear()
    return Device(machine, keys, ask, secrets, server)
