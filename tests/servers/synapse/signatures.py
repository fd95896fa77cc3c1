"""What another person's client makes of somebody's keys: by other code than the bot's, so no mistake can hide.

As the client-server API has it, "Cross-signing": a master key signs the self-signing key, and that signs devices.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def signed_devices(answer: Mapping[str, Any], mxid: str) -> set[str]:
    """Return the devices of *mxid* that their owner has signed, by *answer*, which is that of ``keys/query``."""
    master = answer.get("master_keys", {}).get(mxid)
    own = answer.get("self_signing_keys", {}).get(mxid)
    if not (master and own and _is_for(master, mxid, "master") and _is_for(own, mxid, "self_signing")):
        return set()
    if not is_signed(own, mxid, _key(master)):
        return set()
    devices = answer["device_keys"].get(mxid, {})
    return {
        name
        for name, one in devices.items()
        if (one["user_id"], one["device_id"]) == (mxid, name)
        and is_signed(one, mxid, one["keys"][f"ed25519:{name}"], name)
        and is_signed(one, mxid, _key(own))
    }


def is_signed(what: Mapping[str, Any], mxid: str, key: str, name: str = "") -> bool:
    """Return whether *what* has a signature of *mxid* that is good by *key*, whose id is *name* or the key itself."""
    signature = what.get("signatures", {}).get(mxid, {}).get(f"ed25519:{name or key}")
    if not signature:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(_bytes(key)).verify(_bytes(signature), canonical(what))
    except (InvalidSignature, ValueError):
        return False
    return True


def canonical(what: Mapping[str, Any]) -> bytes:
    """Return what is signed: Canonical JSON, without signatures and what is unsigned."""
    signed = {name: value for name, value in what.items() if name not in ("signatures", "unsigned")}
    return json.dumps(signed, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


class Signer:
    """Somebody's cross-signing keys, of which the one for signing other people is left out."""

    def __init__(self, mxid: str) -> None:
        self.mxid = mxid
        self._master = Ed25519PrivateKey.generate()
        self._own = Ed25519PrivateKey.generate()

    def keys(self) -> dict[str, Any]:
        """Return what is uploaded first, to ``keys/device_signing/upload``."""
        own = self._signed(self._described(self._own, "self_signing"), self._master)
        return {"master_key": self._described(self._master, "master"), "self_signing_key": own}

    def sign(self, device: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ``keys/query`` tells of a *device*, with our signature alone: for ``keys/signatures/upload``."""
        return self._signed(device, self._own)

    def _described(self, key: Ed25519PrivateKey, usage: str) -> dict[str, Any]:
        return {"user_id": self.mxid, "usage": [usage], "keys": {f"ed25519:{_public(key)}": _public(key)}}

    def _signed(self, what: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
        signature = _text(key.sign(canonical(what)))
        return {**what, "signatures": {self.mxid: {f"ed25519:{_public(key)}": signature}}}


def _public(key: Ed25519PrivateKey) -> str:
    return _text(key.public_key().public_bytes_raw())


def _is_for(key: Mapping[str, Any], mxid: str, usage: str) -> bool:
    return bool(key["user_id"] == mxid and usage in key["usage"] and len(key["keys"]) == 1)


def _key(one: Mapping[str, Any]) -> str:
    return str(next(iter(one["keys"].values())))


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _bytes(unpadded: str) -> bytes:
    return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4))
