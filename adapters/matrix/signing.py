"""Cross-signing: the bot signs its own device, and reads whose devices are signed by their owners.

A user's master key signs a self-signing key, and that signs the user's devices (client-server API,
"Cross-signing").  Clients that follow MSC4153 give no keys to a device that its owner has not signed, and take none
from it; so the bot signs its own.

Three seeds are kept before their public halves are published.  Keys that somebody else has published for the bot's
account are never replaced.
"""

import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from adapters.matrix.answers import MatrixError, path
from adapters.matrix.machine import Machine, is_device
from omnibot.adapter import Store

type Ask = Callable[[str, str, Mapping[str, Any] | None], Awaitable[dict[str, Any]]]
"""Method, path and body to the answer: `adapters.matrix.answers.call` with its client."""

type Object = Mapping[str, Any]

_USAGES = ("master", "self_signing", "user_signing")
_LARGEST = 2**53 - 1
_PASSWORD = "m.login.password"  # noqa: S105 - the name of a kind of login


# ------------------------------------------------------------------ signed JSON


def canonical(value: Object) -> bytes:
    """Return *value* as Canonical JSON, without its signatures and what is not signed.

    Raises:
        ValueError: it holds what Canonical JSON has not (Appendices, "Canonical JSON").
    """
    bare = {key: value[key] for key in value if key not in ("signatures", "unsigned")}
    try:
        _check(bare)
        text = json.dumps(bare, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
        return text.encode()
    except (TypeError, RecursionError) as error:
        raise ValueError("not Canonical JSON") from error


def _check(value: object) -> None:
    if isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and not -_LARGEST <= value <= _LARGEST
    ):
        raise ValueError("a number that Canonical JSON has not")
    if isinstance(value, Mapping):
        for part in value.values():
            _check(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _check(part)


def unpadded(data: bytes) -> str:
    """Return *data* in unpadded base64 (Appendices, "Unpadded Base64")."""
    return base64.b64encode(data).decode().rstrip("=")


def _bytes(text: object, length: int) -> bytes | None:
    """Return what *text* stands for, if that is *length* bytes and there is no other way to write it."""
    if not isinstance(text, str):
        return None
    try:
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if len(data) == length and unpadded(data) == text else None


def verified(value: object, user: str, key: str) -> bool:
    """Return whether *value* carries *user*'s signature by the Ed25519 *key*; False whatever is wrong with it.

    The signature's name is the key itself, or that of the device whose key it is.
    """
    return _verified(value, user, key, key)


def _verified(value: object, user: str, name: str, key: str) -> bool:
    public = _bytes(key, 32)
    try:
        assert isinstance(value, Mapping)
        signature = _bytes(value["signatures"][user][f"ed25519:{name}"], 64)
        if public is None or signature is None:
            return False
        Ed25519PublicKey.from_public_bytes(public).verify(signature, canonical(value))
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError, InvalidSignature):
        return False
    return True


# ------------------------------------------------------------------ what others have published


def published(answer: Object, user: str, usage: str) -> str | None:
    """Return the key that a ``/keys/query`` *answer* holds for *user* and *usage*, "master" or another.

    It is only the object's own word: whether another key signed it is `verified`'s to say.
    """
    found = _object(answer, user, usage)
    keys = found.get("keys")
    if found.get("user_id") != user or not isinstance(keys, Mapping) or len(keys) != 1:
        return None
    (name, key), *_ = keys.items()
    fits = found.get("usage") == [usage] and name == f"ed25519:{key}" and _bytes(key, 32) is not None
    return key if fits and isinstance(key, str) else None


def _object(answer: Object, user: str, usage: str) -> Object:
    kind = answer.get(f"{usage}_keys")
    found = kind.get(user) if isinstance(kind, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def self_signing(answer: Object, user: str, master: str) -> str | None:
    """Return *user*'s self-signing key, if *answer* holds one that *master*, their master key, has signed."""
    key = published(answer, user, "self_signing")
    return key if key is not None and verified(_object(answer, user, "self_signing"), user, master) else None


@dataclass(frozen=True, slots=True)
class Owned:
    """A device that its owner has signed, by the keys that were signed."""

    device: str
    ed25519: str
    curve25519: str


def owned(answer: Object, user: str, master: str) -> frozenset[Owned]:
    """Return *user*'s devices in a ``/keys/query`` *answer* that they have signed, by their *master* key.

    The device has to have signed itself too, so that nobody signs another's keys into their own account.
    """
    key = self_signing(answer, user, master)
    devices = answer.get("device_keys")
    mine = devices.get(user) if isinstance(devices, Mapping) else None
    if key is None or not isinstance(mine, Mapping):
        return frozenset()
    found = set()
    for name, keys in mine.items():
        if is_device(keys, user, name) and verified(keys, user, key):
            one = Owned(name, keys["keys"][f"ed25519:{name}"], keys["keys"][f"curve25519:{name}"])
            if _verified(keys, user, name, one.ed25519):
                found.add(one)
    return frozenset(found)


# ------------------------------------------------------------------ the bot's own


@dataclass(frozen=True, slots=True)
class Signed:
    """Whether others see that the bot's device is the bot's."""

    yes: bool
    why: str
    """What was found, or what to do; for the log and ``omnibot check``."""

    def __str__(self) -> str:
        """Return the line for people."""
        return f"device signed: {'yes' if self.yes else 'no'} ({self.why})"


@dataclass(frozen=True, slots=True)
class Seeds:
    """The three private keys, 32 bytes each."""

    user: str
    master: bytes = field(repr=False)
    self_signing: bytes = field(repr=False)
    user_signing: bytes = field(repr=False)

    @classmethod
    def made(cls, user: str) -> "Seeds":
        """Make new ones."""
        return cls(user, *(Ed25519PrivateKey.generate().private_bytes_raw() for _ in _USAGES))

    @classmethod
    def parsed(cls, user: str, value: bytes) -> "Seeds":
        """Read what `dumped` wrote for *user*."""
        kept = json.loads(value)
        return cls(user, *(bytes.fromhex(kept[usage]) for usage in _USAGES))

    def dumped(self) -> bytes:
        """Return them as they are kept, among the secrets."""
        return json.dumps({usage: self.seed(usage).hex() for usage in _USAGES}).encode()

    def seed(self, usage: str) -> bytes:
        """Return the seed for *usage*."""
        return {"master": self.master, "self_signing": self.self_signing, "user_signing": self.user_signing}[usage]

    def key(self, usage: str) -> str:
        """Return the public key for *usage*."""
        return unpadded(self._private(usage).public_key().public_bytes_raw())

    def sign(self, usage: str, value: Object) -> str:
        """Return the signature over *value* by the key for *usage*."""
        return unpadded(self._private(usage).sign(canonical(value)))

    def _private(self, usage: str) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed(usage))

    def upload(self, machine: Machine) -> dict[str, Any]:
        """Return the three public keys as they are published: the master by the device, the others by the master."""
        keys: dict[str, dict[str, Any]] = {}
        for usage in _USAGES:
            key = self.key(usage)
            keys[usage] = {"user_id": self.user, "usage": [usage], "keys": {f"ed25519:{key}": key}}
        device = f"ed25519:{machine.device_id}"
        by_device = machine.account.sign(canonical(keys["master"]).decode())
        keys["master"]["signatures"] = {self.user: {device: by_device}}
        for usage in _USAGES[1:]:
            by_master = self.sign("master", keys[usage])
            keys[usage]["signatures"] = {self.user: {f"ed25519:{self.key('master')}": by_master}}
        return {f"{usage}_key": keys[usage] for usage in _USAGES}


async def sign_device(
    ask: Ask, kept: Store, machine: Machine, password: str | None = None, *, replace: bool = False
) -> Signed:
    """See that the device of *machine*, whose keys are published, is signed; *kept* are the adapter's secrets.

    Where it is, nothing is changed.  *password* is used where the homeserver demands it to publish keys.
    Keys of the account's that are not the bot's are left alone, unless they are to be *replace*d.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: as `ask`, for what is no answer to this.
    """
    user = machine.user_id
    answer = await _query(ask, user)
    if not _is_published(answer, machine):
        return Signed(False, "the homeserver does not have this device's keys, or has others")
    if (found := _found(answer, user, machine.device_id)) is not None:
        return found
    seeds = await _seeds(kept, user)
    master = published(answer, user, "master")
    if _is_foreign(answer, user, seeds) and not replace:
        return _foreign(user, machine.device_id)
    if seeds is None:
        seeds = Seeds.made(user)
        await kept.set(_row(user), seeds.dumped())
    if master != seeds.key("master") or self_signing(answer, user, master) != seeds.key("self_signing"):
        refusal = await _publish(ask, seeds, machine, password)
        if refusal is not None:
            return Signed(False, refusal)
    return await _sign(ask, seeds, machine, answer)


async def is_signed(ask: Ask, kept: Store, user: str, device: str) -> Signed:
    """Return whether *device* of *user* is signed, and where it is not, why; nothing is changed.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: as `ask`.
    """
    answer = await _query(ask, user)
    if (found := _found(answer, user, device)) is not None:
        return found
    devices = answer.get("device_keys")
    mine = devices.get(user) if isinstance(devices, Mapping) else None
    if not isinstance(mine, Mapping) or device not in mine:
        return Signed(False, "the homeserver does not have this device's keys: the bot publishes them when it starts")
    if _is_foreign(answer, user, await _seeds(kept, user)):
        return _foreign(user, device)
    return Signed(False, "the bot does that when it starts; where it could not, its log says what the homeserver wants")


async def _sign(ask: Ask, seeds: Seeds, machine: Machine, answer: Object) -> Signed:
    """Publish the signature over the device's keys, which `_is_published` found to be ours; look whether it took."""
    user, device = machine.user_id, machine.device_id
    theirs = answer["device_keys"][user][device]
    keys = {name: theirs[name] for name in theirs if name not in ("signatures", "unsigned")}
    signature = {f"ed25519:{seeds.key('self_signing')}": seeds.sign("self_signing", keys)}
    body = {user: {device: keys | {"signatures": {user: signature}}}}
    said = await ask("POST", path("keys", "signatures", "upload"), body)
    if said.get("failures"):
        return Signed(False, "the homeserver did not take the signature")
    found = _found(await _query(ask, user), user, device)
    return found or Signed(False, "the homeserver took the signature, and does not show it")


async def _query(ask: Ask, user: str) -> dict[str, Any]:
    return await ask("POST", path("keys", "query"), {"device_keys": {user: []}})


def _is_published(answer: Object, machine: Machine) -> bool:
    """Return whether the homeserver has this device's keys as we have them, signed by the device itself."""
    devices = answer.get("device_keys")
    mine = devices.get(machine.user_id) if isinstance(devices, Mapping) else None
    keys = mine.get(machine.device_id) if isinstance(mine, Mapping) else None
    if not is_device(keys, machine.user_id, machine.device_id):
        return False
    assert keys is not None, "it has the shape"
    own = machine.account.identity_keys
    listed = {f"ed25519:{machine.device_id}": own["ed25519"], f"curve25519:{machine.device_id}": own["curve25519"]}
    return keys["keys"] == listed and _verified(keys, machine.user_id, machine.device_id, own["ed25519"])


def _found(answer: Object, user: str, device: str) -> Signed | None:
    """Return that the device is signed, if it is."""
    master = published(answer, user, "master")
    devices: Iterable[Owned] = owned(answer, user, master) if master is not None else ()
    if any(one.device == device for one in devices):
        return Signed(True, f"by the master key {master}")
    return None


def _is_foreign(answer: Object, user: str, seeds: Seeds | None) -> bool:
    """Return whether there is a master key that is not the bot's."""
    there = bool(_object(answer, user, "master"))
    return there and (seeds is None or published(answer, user, "master") != seeds.key("master"))


def _foreign(user: str, device: str) -> Signed:
    return Signed(
        False,
        f"{user} has cross-signing keys that are not the bot's, and they are left alone: verify the bot's device "
        f"{device} from a client that has them",
    )


def _row(user: str) -> str:
    return f"cross-signing {user}"


async def _seeds(kept: Store, user: str) -> Seeds | None:
    value = await kept.get(_row(user))
    return None if value is None else Seeds.parsed(user, value)


async def _publish(ask: Ask, seeds: Seeds, machine: Machine, password: str | None) -> str | None:
    """Publish the three keys; return why not, or None.

    The homeserver may ask for the password (client-server API, "User-Interactive Authentication API").
    """
    where = path("keys", "device_signing", "upload")
    body = seeds.upload(machine)
    try:
        await ask("POST", where, body)
    except MatrixError as error:
        if error.status in (404, 405) or error.code == "M_UNRECOGNIZED":
            return "this homeserver knows no cross-signing"
        if error.status != 401:
            raise
        demand = error.said
    else:
        return None
    stages = _stages(demand)
    if (_PASSWORD,) not in stages:
        offered = ", ".join(sorted({_word(stage) for flow in stages for stage in flow})) or "nothing"
        return (
            f"the homeserver lets nobody publish signing keys by a password (it offers {offered}): allow it on the "
            "homeserver's account page for the bot, and start the bot again"
        )
    if password is None:
        return (
            "the homeserver asks for the account's password to publish signing keys, and the bot logs in by a token: "
            f"verify the bot's device {machine.device_id} from a client that is logged in as {machine.user_id}"
        )
    auth = {
        "type": _PASSWORD,
        "identifier": {"type": "m.id.user", "user": machine.user_id},
        "password": password,
        "session": demand.get("session"),
    }
    try:
        await ask("POST", where, body | {"auth": auth})
    except MatrixError as error:
        if error.status in (401, 403):
            return "the homeserver does not take the configured `password` to publish signing keys"
        raise
    return None


def _stages(demand: Object) -> set[tuple[str, ...]]:
    flows = demand.get("flows")
    lists = [flow.get("stages") for flow in flows if isinstance(flow, Mapping)] if isinstance(flows, list) else []
    return {tuple(map(str, stages)) for stages in lists if isinstance(stages, list)}


def _word(stage: str) -> str:
    return stage if re.fullmatch(r"[A-Za-z0-9._-]{1,60}", stage) else "something else"
