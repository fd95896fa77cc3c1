"""Where tokens rest, and the only way to one.

The only file that imports nacl.  A master key, kept outside the database, yields by
keyed BLAKE2b with distinct labels the keys that everything else is done with:

* K_open wraps each person's private key;
* K_seal makes the tags of rows and boxes what a flow must remember;
* K_revoke boxes tokens that wait to be revoked upstream.

A person has an X25519 key pair, and a token is a sealed box to its public half.  So the
handles differ in what they can do: a `Sealer` makes rows and reads no token; an `Opener`
reads a token, and only under a live `Grant` for the very person whose it is; a `Revoker`
reads only what has been put up for revocation; a `Rekeyer` moves all of it from one master
key to the next and gives nothing out.  The database alone can neither read a token nor
forge a row.  One process holds them all: docs/security.md says what that means.

No clear token and no private key is kept on an object or outlives the call that needs it.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_box_seal_open
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import Aead

from omnibot.errors import ConfigError, GrantError, KeyMissing, Problem, Tampered, VaultError
from omnibot.provider import Token

_SIZE = 32
_VERSION = 1


def digest(text: str) -> bytes:
    """Return the hash under which a ticket, state or cookie of 256 random bits is stored."""
    return hashlib.blake2b(text.encode(), digest_size=_SIZE, person=b"omnibot-lookup").digest()


def same(one: bytes | None, other: bytes | None) -> bool:
    """Compare two hashes in constant time; a missing one equals nothing."""
    return one is not None and other is not None and hmac.compare_digest(one, other)


def _derive(secret: bytes, label: bytes) -> bytes:
    return hashlib.blake2b(label, key=secret, digest_size=_SIZE, person=b"omnibot-derive").digest()


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One line of the key file, and what is derived from it."""

    id: str
    """The key's own fingerprint, so that an id can never stand for another key."""

    open: bytes = field(repr=False)
    tag: bytes = field(repr=False)
    box: bytes = field(repr=False)
    code: bytes = field(repr=False)
    revoke: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> "MasterKey":
        """Derive the working keys from the 32 bytes of *secret*."""
        seal = _derive(secret, b"seal")
        return cls(
            fingerprint(secret),
            open=_derive(secret, b"open"),
            tag=_derive(seal, b"tag"),
            box=_derive(seal, b"box"),
            code=_derive(seal, b"code"),
            revoke=_derive(secret, b"revoke"),
        )


def fingerprint(secret: bytes) -> str:
    """Return the id of a master key: eight hex digits that say nothing of it."""
    return hashlib.blake2b(secret, digest_size=4, person=b"omnibot-key-id").hexdigest()


class Keyring:
    """The master keys at hand, newest first.

    A keyring can be without keys, or *locked* because the database holds rows under a
    key that is not here: then everything that needs a key raises `KeyMissing`, and the
    bot goes on with the commands that need none.
    """

    def __init__(self, secrets_: Sequence[bytes] = ()) -> None:
        """Hold the keys derived from *secrets_*."""
        self._keys = {key.id: key for key in map(MasterKey.of, secrets_)}
        self.missing = ""
        """Id of the key that the database wants and the key file lacks."""

    def __repr__(self) -> str:
        """Name the keys, not their content."""
        return f"<Keyring {' '.join(self._keys) or 'empty'}>"

    @property
    def ids(self) -> list[str]:
        """The ids of the keys, newest first."""
        return list(self._keys)

    @property
    def locked(self) -> bool:
        """Whether nothing may be opened or sealed."""
        return bool(self.missing) or not self._keys

    def lock(self, key_id: str) -> None:
        """Refuse everything from now on, because *key_id* is missing."""
        self.missing = key_id

    def adopt(self, other: "Keyring") -> None:
        """Hold the keys of *other*, in its order, instead of those held so far.

        Whoever holds a `Sealer`, `Opener` or `Revoker` of this keyring works with them from then on.
        """
        self._keys = dict(other._keys)  # noqa: SLF001 - its own kind

    def drop(self, key_id: str) -> None:
        """Forget an older key; the caller has seen that nothing stands under it."""
        assert key_id != self.newest.id, "the newest key is in use"
        self._keys.pop(key_id, None)

    @property
    def newest(self) -> MasterKey:
        """The key that new rows are made under.

        Raises:
            KeyMissing: there is none, or the keyring is locked.
        """
        if self.locked:
            raise KeyMissing(self.missing)
        return next(iter(self._keys.values()))

    def get(self, key_id: str) -> MasterKey:
        """Return the key called *key_id*.

        Raises:
            KeyMissing: it is not here, or the keyring is locked.
        """
        if self.missing or key_id not in self._keys:
            raise KeyMissing(self.missing or key_id)
        return self._keys[key_id]

    @classmethod
    def load(cls, path: Path, *, credential: bool = False) -> "Keyring":
        """Read the key file: a line each, ``id base64``, newest first, ``#`` starts a comment.

        A *credential* is a file that systemd hands over: its group bits may show the access list
        by which it lets in the service's user, and nobody else.

        Raises:
            ConfigError: it is missing, readable by others, or not such a file.
        """
        try:
            _check_mode(path, 0o037 if credential else 0o077)
            lines = path.read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(_no_key(path, error)) from None
        found = [_read_key(path, number, line) for number, line in enumerate(lines, 1) if _is_key(line)]
        if not found:
            raise ConfigError(Problem(str(path), "key_file", "holds no key", "Make one: omnibot keys new"))
        return cls(found)


def new_key_file(path: Path) -> str:
    """Write a fresh key file of mode 0600 at *path*, which must not exist; return the key's id.

    Raises:
        FileExistsError: there is one already; a key is never overwritten.
    """
    secret = secrets.token_bytes(_SIZE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("# omnibot master key. Whoever has this and the database has every token. Keep a copy apart.\n")
        file.write(f"{_key_line(secret)}\n")
        file.flush()
        os.fsync(file.fileno())
    return fingerprint(secret)


def add_key(path: Path) -> str:
    """Put a fresh key on top of the key file at *path*, durably and in one step; return its id.

    Whatever happens meanwhile, the file is the old one or the new one, and never open to others.

    Raises:
        ConfigError: it is no key file, or cannot be written.
    """
    Keyring.load(path)
    secret = secrets.token_bytes(_SIZE)
    lines = path.read_text("ascii").splitlines()
    first = next(number for number, line in enumerate(lines) if _is_key(line))
    _write_keys(path, [*lines[:first], _key_line(secret), *lines[first:]])
    return fingerprint(secret)


def remove_key(path: Path, key_id: str) -> None:
    """Take an older key out of the key file at *path*, as `add_key` puts one in.

    Raises:
        ConfigError: it is no key file, cannot be written, or that is its newest key.
    """
    if Keyring.load(path).newest.id == key_id:
        what = f"key {key_id} is the newest, and is in use"
        raise ConfigError(Problem(str(path), "key_file", what, "Put a newer one on top first: omnibot keys rotate"))
    lines = path.read_text("ascii").splitlines()
    _write_keys(path, [line for line in lines if not (_is_key(line) and line.split()[0] == key_id)])


def _write_keys(path: Path, lines: Sequence[str]) -> None:
    path = path.resolve()  # a link to it stays one
    new = path.with_name(f".{path.name}.new")
    try:
        owner = path.stat()
        new.unlink(missing_ok=True)  # what a crash has left
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)  # root rotates, and the bot's user reads
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        raise ConfigError(Problem(str(path), "key_file", what, "Give the bot's user write permission.")) from None


def _key_line(secret: bytes) -> str:
    return f"{fingerprint(secret)} {base64.b64encode(secret).decode()}"


def _is_key(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _read_key(path: Path, number: int, line: str) -> bytes:
    key_id, _, text = line.strip().partition(" ")
    try:
        secret = base64.b64decode(text, validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != _SIZE or fingerprint(secret) != key_id:
        raise ConfigError(
            Problem(
                f"{path}:{number}",
                "key_file",
                "this line is not a key",
                "Copy the file again from where you keep it.",
            )
        )
    return secret


def _check_mode(path: Path, forbidden: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & forbidden:
        raise ConfigError(
            Problem(str(path), "key_file", f"others may read this file (mode {mode:04o})", f"chmod 600 {path}")
        )


def _no_key(path: Path, error: Exception) -> Problem:
    if isinstance(error, FileNotFoundError):
        cure = "Put back the one you had; for a new bot make one: omnibot keys new"
        return Problem(str(path), "key_file", "there is no key file", cure)
    return Problem(str(path), "key_file", "cannot be read", "Give the bot's user, and nobody else, read permission.")


@dataclass(frozen=True, slots=True)
class Tagged:
    """A table whose rows decide who may use what, and the columns that its tag covers."""

    table: str
    primary: tuple[str, ...]
    covered: tuple[str, ...]
    """Every authorising column and ciphertext, beyond the primary key."""

    later: tuple[str, ...] = ()
    """Such columns that came with a later version, NULL in what was written before: covered unless they are NULL,
    so that older rows keep their tags.  A value put there, or taken away, is noticed all the same."""


def _encode(values: Sequence[Any]) -> bytes:
    """Return *values* as bytes of which no other sequence gives the same: each with its kind and length.

    Numbers are of one kind, since SQLite gives an integer back as a real where the column is one.
    """
    parts = []
    for value in values:
        kind, data = _bytes_of(value)
        parts.append(b"%s%d:%s" % (kind, len(data), data))
    return b"".join(parts)


def _bytes_of(value: str | bytes | float | None) -> tuple[bytes, bytes]:
    if value is None:
        return b"-", b""
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, str):
        return b"s", value.encode()
    return b"n", repr(float(value)).encode()


@dataclass(frozen=True, slots=True)
class TokenHead:
    """What never changes about a token; repeated inside its seal, and checked on opening."""

    person: str
    provider: str
    instance: str
    origin: str
    """Origin of the API it may be sent to (A23)."""

    external: str
    """The service's own immutable id of the account."""


class Sealer:
    """Makes and checks rows; reads no token.  For the web, linking and the stores."""

    def __init__(self, keyring: Keyring) -> None:
        """Work with the keys of *keyring*."""
        self._keyring = keyring

    @property
    def locked(self) -> bool:
        """Whether no row can be made or checked: there is no key, or one is missing."""
        return self._keyring.locked

    def stamp(self, tagged: Tagged, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return *row* with its ``key_id`` and ``tag``.

        Raises:
            KeyMissing: there is no key to make it under.
        """
        key = self._keyring.newest
        return {**row, "key_id": key.id, "tag": _tag(key, tagged, row)}

    def check(self, tagged: Tagged, row: Mapping[str, Any]) -> None:
        """Refuse *row* unless it is exactly as we wrote it (A32, A33, A35, A63).

        Raises:
            KeyMissing: its key is not here.
            Tampered: somebody else wrote it.
        """
        if not hmac.compare_digest(_tag(self._keyring.get(row["key_id"]), tagged, row), row["tag"]):
            raise Tampered(tagged.table, "/".join(str(row[name]) for name in tagged.primary))

    def seal(self, public_key: bytes, head: TokenHead, token: Token) -> bytes:
        """Seal *token* so that only the owner of *public_key* can open it.

        Raises:
            KeyMissing: the keyring is locked: nothing may be stored.
        """
        _ = self._keyring.newest
        return SealedBox(PublicKey(public_key)).encrypt(_pack(head, token))

    def box(self, purpose: str, data: bytes) -> bytes:
        """Encrypt what a flow must remember; *purpose* (kind and row id) must be given again to open it."""
        key = self._keyring.newest
        return bytes.fromhex(key.id) + Aead(key.box).encrypt(data, purpose.encode())

    def unbox(self, purpose: str, blob: bytes) -> bytes:
        """Return what `box` was given.

        Raises:
            KeyMissing: its key is not here.
            VaultError: it was made for another purpose, or changed.
        """
        return _unbox(self._keyring.get(blob[:4].hex()).box, purpose, blob)

    def code(self, cookie: str, flow: str, length: int, alphabet: str, code_hash: bytes | None = None) -> str:
        """Return the confirmation code of *flow* for the browser that holds *cookie*: always the same.

        With the *code_hash* it is stored under, also after a rotation: it is made with the key that
        the hash names.

        Raises:
            KeyMissing: that key is not here any more.
        """
        key = self._keyring.newest if code_hash is None else self._keyring.get(code_hash[:4].hex())
        stream = hashlib.blake2b(_encode([cookie, flow]), key=key.code, digest_size=64).digest()
        limit = 256 - 256 % len(alphabet)
        letters = [alphabet[byte % len(alphabet)] for byte in stream if byte < limit]
        return "".join(letters[:length])

    def code_hash(self, code: str) -> bytes:
        """Return the keyed hash under which a new confirmation code is stored; it begins with its key's id."""
        return _code_hash(self._keyring.newest, code)

    def code_hashes(self, code: str) -> list[bytes]:
        """Return every hash that a typed *code* may be stored under: that of each key, newest first."""
        _ = self._keyring.newest
        return [_code_hash(self._keyring.get(one), code) for one in self._keyring.ids]


def _code_hash(key: MasterKey, code: str) -> bytes:
    hashed = hashlib.blake2b(code.encode(), key=key.code, digest_size=_SIZE, person=b"code").digest()
    return bytes.fromhex(key.id) + hashed


def _tag(key: MasterKey, tagged: Tagged, row: Mapping[str, Any]) -> bytes:
    values = [tagged.table, key.id, *(row[name] for name in (*tagged.primary, *tagged.covered))]
    for name in tagged.later:
        values += [] if row[name] is None else [name, row[name]]
    return hashlib.blake2b(_encode(values), key=key.tag, digest_size=_SIZE).digest()


def _unbox(key: bytes, purpose: str, blob: bytes) -> bytes:
    try:
        return bytes(Aead(key).decrypt(blob[4:], purpose.encode()))
    except (CryptoError, ValueError):  # the latter: too short to be one
        raise VaultError(f"a box is not what was put there for {purpose.partition(':')[0]}") from None


def _pack(head: TokenHead, token: Token) -> bytes:
    body = {
        "v": _VERSION,
        "person": head.person,
        "provider": head.provider,
        "instance": head.instance,
        "origin": head.origin,
        "external": head.external,
        "access": token.access,
        "refresh": token.refresh,
        "expires": token.expires,
        "scopes": token.scopes,
    } | ({"secret": token.secret} if token.secret else {})
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def _unpack(head: TokenHead, data: bytes) -> Token:
    body = json.loads(data)
    if body["v"] != _VERSION or _head(body) != head:
        raise Tampered("accounts", head.external)
    scopes = body["scopes"]
    scopes = None if scopes is None else tuple(scopes)
    return Token(body["access"], body["refresh"], body["expires"], scopes, body.get("secret", ""))


def _head(body: Mapping[str, Any]) -> TokenHead:
    return TokenHead(body["person"], body["provider"], body["instance"], body["origin"], body["external"])


class Grant:
    """The right to open one person's accounts, from its making until it is closed.

    Only `Grants` makes one that an `Opener` accepts.  *accounts* narrows it to these.
    """

    __slots__ = ("__weakref__", "accounts", "person", "reason")

    person: str
    reason: str
    accounts: frozenset[str] | None

    def __init__(self, person: str, reason: str, accounts: frozenset[str] | None = None) -> None:
        """State whose accounts, why, and which."""
        object.__setattr__(self, "person", person)
        object.__setattr__(self, "reason", reason)
        object.__setattr__(self, "accounts", accounts)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a grant is not made out to somebody else (A61)."""
        raise GrantError("a grant cannot be changed")


class Grants:
    """Makes grants and knows which are live.

    Held by the dispatcher (for a message that an identity of the person spoke), by follows
    (for one look with the one account that a tagged row names) and by linking (for the upkeep
    of one account, running no skill code); by nobody else.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._live: set[Grant] = set()

    def open(self, person: str, reason: str, accounts: frozenset[str] | None = None) -> Grant:
        """Make a live grant; whoever makes it closes it."""
        grant = Grant(person, reason, accounts)
        self._live.add(grant)
        return grant

    def close(self, grant: Grant) -> None:
        """End *grant*; closing it twice is no harm."""
        self._live.discard(grant)

    @contextmanager
    def for_upkeep(self, person: str, account: str, reason: str) -> Iterator[Grant]:
        """Lend a grant for one account, for the length of a block."""
        grant = self.open(person, reason, frozenset({account}))
        try:
            yield grant
        finally:
            self.close(grant)

    def acts(self, person: str) -> bool:
        """Whether somebody holds a live grant for *person* just now."""
        return any(grant.person == person for grant in self._live)

    def check(self, grant: Grant, person: str, account: str) -> None:
        """Refuse unless *grant* is live and for this *account* of this *person*.

        Raises:
            GrantError: it is not.
        """
        if grant not in self._live:
            raise GrantError("this grant has ended")
        if grant.person != person or (grant.accounts is not None and account not in grant.accounts):
            raise GrantError("this grant is not for that account")


@dataclass(frozen=True, slots=True)
class PersonKeys:
    """A person's key pair as it rests: the public half, and the private half wrapped under K_open."""

    person: str
    public_key: bytes
    private_key: bytes = field(repr=False)
    key_id: str


class Opener:
    """Opens a token, under a grant."""

    def __init__(self, keyring: Keyring, grants: Grants) -> None:
        """Work with the keys of *keyring*, for what *grants* allows."""
        self._keyring = keyring
        self._grants = grants

    def enrol(self, person: str) -> PersonKeys:
        """Make the key pair of a new *person*.

        Raises:
            KeyMissing: there is no key to wrap it under.
        """
        private = PrivateKey.generate()
        return _wrap(self._keyring.newest, person, bytes(private.public_key), bytes(private))

    def open(self, grant: Grant, keys: PersonKeys, account: str, head: TokenHead, sealed: bytes) -> Token:
        """Return the token in *sealed*, in the clear: for one request, never kept, never logged.

        Raises:
            GrantError: *grant* does not cover *account*.
            KeyMissing: the key it rests under is not here.
            Tampered: it was sealed for somebody or something else.
        """
        self._grants.check(grant, head.person, account)
        if keys.person != head.person:
            raise GrantError("these are not that person's keys")
        key = self._keyring.get(keys.key_id)
        try:
            # Not SealedBox: it would derive the public key, which is here, at the cost of the opening itself.
            return _unpack(head, crypto_box_seal_open(sealed, keys.public_key, _unwrap(key, keys)))
        except (CryptoError, KeyError, TypeError, ValueError):
            raise Tampered("accounts", account) from None

    def reseal(
        self, grant: Grant, keys: PersonKeys, fresh: PersonKeys, account: str, head: TokenHead, sealed: bytes
    ) -> bytes:
        """Return the token in *sealed*, which *keys* open, sealed to the *fresh* keys of the same person.

        The origin in *head* is not looked at: what was sealed stays as it is.

        Raises:
            GrantError, KeyMissing, Tampered: as `open`.
        """
        self._grants.check(grant, head.person, account)
        if not keys.person == fresh.person == head.person:
            raise GrantError("these are not that person's keys")
        data = _opened(self._keyring.get(keys.key_id), keys, account, replace(head, origin=""), sealed)
        return SealedBox(PublicKey(fresh.public_key)).encrypt(data)

    def hand_over(
        self, grant: Grant, keys: PersonKeys, heir: PersonKeys, account: str, head: TokenHead, sealed: bytes
    ) -> bytes:
        """Return the token in *sealed*, which *keys* open, sealed to *heir*, whose account it is from now on.

        The caller has checked the rows of both.  The origin in *head* is not looked at, as in `reseal`.

        Raises:
            GrantError, KeyMissing, Tampered: as `open`.
        """
        self._grants.check(grant, head.person, account)
        if keys.person != head.person:
            raise GrantError("these are not that person's keys")
        data = _opened(self._keyring.get(keys.key_id), keys, account, replace(head, origin=""), sealed)
        theirs = json.loads(data) | {"person": heir.person}
        return SealedBox(PublicKey(heir.public_key)).encrypt(
            json.dumps(theirs, separators=(",", ":"), sort_keys=True).encode()
        )


def _wrapping(person: str, public: bytes, key_id: str) -> bytes:
    return _encode([person, public, key_id])


def _wrap(key: MasterKey, person: str, public: bytes, private: bytes) -> PersonKeys:
    wrapped = Aead(key.open).encrypt(private, _wrapping(person, public, key.id))
    return PersonKeys(person, public, bytes(wrapped), key.id)


def _unwrap(key: MasterKey, keys: PersonKeys) -> bytes:
    return bytes(Aead(key.open).decrypt(keys.private_key, _wrapping(keys.person, keys.public_key, keys.key_id)))


def _opened(key: MasterKey, keys: PersonKeys, account: str, head: TokenHead, sealed: bytes) -> bytes:
    """Return what is in *sealed*; an empty origin in *head* is not compared."""
    try:
        data = crypto_box_seal_open(sealed, keys.public_key, _unwrap(key, keys))
        body = json.loads(data)
        said = _head(body) if head.origin else replace(_head(body), origin="")
    except (CryptoError, KeyError, TypeError, ValueError):
        raise Tampered("accounts", account) from None
    if body.get("v") != _VERSION or said != head:
        raise Tampered("accounts", account)
    return data


class Revoker:
    """Boxes tokens that wait to be revoked upstream, and opens only those."""

    def __init__(self, keyring: Keyring) -> None:
        """Work with the keys of *keyring*."""
        self._keyring = keyring

    def box(self, purpose: str, token: str) -> bytes:
        """Encrypt *token*; *purpose*, which row of which instance it is for, must be given again to open it."""
        key = self._keyring.newest
        return bytes.fromhex(key.id) + Aead(key.revoke).encrypt(token.encode(), purpose.encode())

    def unbox(self, purpose: str, blob: bytes) -> str:
        """Return the token boxed for *purpose*.

        Raises:
            KeyMissing: its key is not here.
            VaultError: it was made for another purpose, or changed.
        """
        return _unbox(self._keyring.get(blob[:4].hex()).revoke, purpose, blob).decode()


class Rekeyer:
    """Moves what stands under any key at hand to the newest one.  Takes ciphertext and gives ciphertext.

    For changing the master key, and for seeing whether everything could be read.
    """

    def __init__(self, keyring: Keyring) -> None:
        """Work with the keys of *keyring*."""
        self._keyring = keyring
        self._sealer = Sealer(keyring)
        self._revoker = Revoker(keyring)

    @property
    def newest(self) -> str:
        """The id of the key that all is moved to.

        Raises:
            KeyMissing: there is none, or the keyring is locked.
        """
        return self._keyring.newest.id

    def check(self, tagged: Tagged, row: Mapping[str, Any]) -> None:
        """Refuse *row* as `Sealer.check` does: what is not ours must never get a tag that fits."""
        self._sealer.check(tagged, row)

    def stamp(self, tagged: Tagged, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``key_id`` and ``tag`` for *row*, whose old tag the caller has checked."""
        stamped = self._sealer.stamp(tagged, row)
        return {name: stamped[name] for name in ("key_id", "tag")}

    def box(self, purpose: str, blob: bytes) -> bytes:
        """Return anew what `Sealer.box` made for *purpose*.

        Raises:
            KeyMissing, VaultError: as `Sealer.unbox`.
        """
        return self._sealer.box(purpose, self._sealer.unbox(purpose, blob))

    def revocation(self, purpose: str, blob: bytes) -> bytes:
        """Return anew what `Revoker.box` made for *purpose*.

        Raises:
            KeyMissing, VaultError: as `Revoker.unbox`.
        """
        return self._revoker.box(purpose, self._revoker.unbox(purpose, blob))

    def wrap(self, keys: PersonKeys) -> PersonKeys:
        """Return *keys* with the private one wrapped under the newest master key.

        Raises:
            KeyMissing: the key it is wrapped under is not here.
            Tampered: it is not that person's, or not ours.
        """
        try:
            private = _unwrap(self._keyring.get(keys.key_id), keys)
        except (CryptoError, ValueError):
            raise Tampered("people", keys.person) from None
        return _wrap(self._keyring.newest, keys.person, keys.public_key, private)

    def check_token(self, keys: PersonKeys, account: str, head: TokenHead, sealed: bytes) -> None:
        """Return if the owner's *keys* open the token in *sealed*, and it is the one of *head*.

        An empty origin in *head* is not compared: that of a service that is no longer configured.

        Raises:
            KeyMissing, Tampered: as `Opener.open`.
        """
        _opened(self._keyring.get(keys.key_id), keys, account, head, sealed)
