"""What the vault costs: a token sealed and opened, a row's tag checked, a flow's secret boxed and unboxed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead

from bench.figures import Figure, each
from omnibot import accounts
from omnibot.provider import Token
from omnibot.vault import Grants, Keyring, Opener, Sealer, TokenHead

_REPETITIONS = 7
_TIMES = 2000
_HEAD = TokenHead("0" * 32, "demo", "demo@default", "https://notes.example", "4711")
_TOKEN = Token("a" * 43, "r" * 43, 1.8e9, ("notes:read",))


def vault(scratch: Path) -> list[Figure]:
    """Each operation of the vault beside the bare primitive in it, on the same number of bytes."""
    keyring, grants, key = Keyring([os.urandom(32)]), Grants(), os.urandom(32)
    sealer, opener, aead = Sealer(keyring), Opener(keyring, grants), Aead(key)
    keys = opener.enrol(_HEAD.person)
    sealed = sealer.seal(keys.public_key, _HEAD, _TOKEN)
    private = PrivateKey.generate()
    body = bytes(len(sealed) - 48)
    bare = SealedBox(private.public_key).encrypt(body)
    grant = grants.open(_HEAD.person, "bench")
    row = sealer.stamp(accounts.TABLE, _row(sealed))
    covered = b"".join(str(row[name]).encode() for name in accounts.TABLE.covered)
    verifier = b"v" * 43
    box, bare_box = sealer.box("verifier:1", verifier), aead.encrypt(verifier, b"verifier:1")
    return [
        _figure(
            "seal a token",
            lambda: sealer.seal(keys.public_key, _HEAD, _TOKEN),
            "a bare sealed box",
            lambda: SealedBox(PublicKey(keys.public_key)).encrypt(body),
        ),
        _figure(
            "open a token",
            lambda: opener.open(grant, keys, "1", _HEAD, sealed),
            "a bare sealed box",
            lambda: SealedBox(private).decrypt(bare),
        ),
        _figure(
            "check an account's tag",
            lambda: sealer.check(accounts.TABLE, row),
            "bare BLAKE2b",
            lambda: hashlib.blake2b(covered, key=key, digest_size=32).digest(),
        ),
        _figure(
            "box a verifier",
            lambda: sealer.box("verifier:1", verifier),
            "a bare AEAD",
            lambda: aead.encrypt(verifier, b"verifier:1"),
        ),
        _figure(
            "unbox a verifier",
            lambda: sealer.unbox("verifier:1", box),
            "a bare AEAD",
            lambda: aead.decrypt(bare_box, b"verifier:1"),
        ),
        _figure(
            "make a person's keys",
            lambda: opener.enrol(_HEAD.person),
            "a bare key pair",
            lambda: PrivateKey.generate().public_key,
        ),
    ]


def _figure(name: str, work: Callable[[], object], floor: str, least: Callable[[], object]) -> Figure:
    pairs = [(each(work, _TIMES), each(least, _TIMES)) for _ in range(_REPETITIONS)]
    values, floors = zip(*pairs, strict=True)
    return Figure(name, "us", values, floors, floor)


def _row(sealed: bytes) -> dict[str, object]:
    texts = dict.fromkeys(("id", *accounts.TABLE.covered), "thirty-two characters or so, each")
    return {**texts, "token": sealed, "generation": 1, "created": 1.8e9, "activated": 1.8e9, "expires": None}
