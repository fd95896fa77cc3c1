"""A token opens for its owner under a live grant, and a row is believed only as we wrote it."""

import base64
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.public import PublicKey, SealedBox

from omnibot import accounts, defaults, follows, hosts, intake, people, stores
from omnibot.database import Database
from omnibot.errors import ConfigError, GrantError, KeyMissing, Tampered, VaultError
from omnibot.linking import flows
from omnibot.provider import Token
from omnibot.vault import (
    Grant,
    Grants,
    Keyring,
    MasterKey,
    Opener,
    PersonKeys,
    Rekeyer,
    Revoker,
    Sealer,
    Tagged,
    TokenHead,
    _encode,
    add_key,
    digest,
    fingerprint,
    new_key_file,
    remove_key,
    same,
)

OLD, NEW = b"o" * 32, b"n" * 32
TABLES = (
    people.PEOPLE,
    people.IDENTITIES,
    accounts.TABLE,
    flows.TABLE,
    intake.WAITING,
    stores.NETWORKS,
    follows.FOLLOWS,
    defaults.TABLE,
    hosts.TABLE,
)
HEAD = TokenHead("p-1", "demo", "demo@default", "https://api.example", "u-1")
TOKEN = Token("access-canary", "refresh-canary", 1234.5, ("read", "write"))
ALPHABET = flows.CODE_ALPHABET


class Vault:
    """The handles on one keyring, and a person."""

    def __init__(self, *secrets: bytes) -> None:
        self.keyring = Keyring(secrets or (NEW,))
        self.grants = Grants()
        self.sealer = Sealer(self.keyring)
        self.opener = Opener(self.keyring, self.grants)
        self.revoker = Revoker(self.keyring)

    def open(self, keys: PersonKeys, sealed: bytes, head: TokenHead = HEAD) -> Token:
        grant = self.grants.open(head.person, "test")
        return self.opener.open(grant, keys, "a-1", head, sealed)


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def ada(vault: Vault) -> PersonKeys:
    return vault.opener.enrol("p-1")


def row_of(tagged: Tagged) -> dict[str, Any]:
    """Return a row of that table: every column its own value."""
    return {name: f"{name} of a row" for name in (*tagged.primary, *tagged.covered, *tagged.later)}


# --------------------------------------------------------------------------------------- the key file


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def line_of(secret: bytes) -> str:
    return f"{fingerprint(secret)} {base64.b64encode(secret).decode()}\n"


def problem_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Keyring.load(path)
    return str(caught.value)


def test_a_new_key_file_is_for_its_owner_alone_and_can_be_loaded(tmp_path: Path) -> None:
    """It has mode 0600 whatever the umask, and its id is the one it was said to have."""
    path = tmp_path / "omnibot.key"
    before = os.umask(0)
    try:
        made = new_key_file(path)
    finally:
        os.umask(before)

    assert 0o600 == path.stat().st_mode & 0o777
    assert [made] == Keyring.load(path).ids


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """A second call refuses, and the first key is still there."""
    path = tmp_path / "omnibot.key"
    made = new_key_file(path)
    with pytest.raises(FileExistsError):
        new_key_file(path)

    assert [made] == Keyring.load(path).ids


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    """Each file has a key of its own."""
    assert new_key_file(tmp_path / "1") != new_key_file(tmp_path / "2")


def test_keys_are_read_newest_first_past_comments_and_blank_lines(tmp_path: Path) -> None:
    """The first line is what new rows are made under."""
    path = write(tmp_path / "key", f"# a comment\n\n{line_of(NEW)}   # another\n{line_of(OLD)}")
    keyring = Keyring.load(path)

    assert [fingerprint(NEW), fingerprint(OLD)] == keyring.ids
    assert fingerprint(NEW) == keyring.newest.id
    assert fingerprint(OLD) == keyring.get(fingerprint(OLD)).id
    assert not keyring.locked


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601, 0o644, 0o777])
def test_a_key_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """A38: any bit for group or others is one too many; the cure is the command to type."""
    said = problem_of(write(tmp_path / "key", line_of(NEW), mode))

    assert f"{mode:04o}" in said
    assert f"chmod 600 {tmp_path / 'key'}" in said


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_file_of_its_owners_is_taken(tmp_path: Path, mode: int) -> None:
    """A file that cannot even be written is as good."""
    assert [fingerprint(NEW)] == Keyring.load(write(tmp_path / "key", line_of(NEW), mode)).ids


@pytest.mark.parametrize(
    "text",
    [
        "not a key\n",
        "key\n",
        f"{fingerprint(NEW)}\n",
        f"{fingerprint(NEW)} !!!!\n",
        f"{fingerprint(NEW)} {base64.b64encode(b'short').decode()}\n",
        f"{fingerprint(NEW)} {base64.b64encode(NEW + b'x').decode()}\n",
        f"{fingerprint(OLD)} {base64.b64encode(NEW).decode()}\n",
        f"{base64.b64encode(NEW).decode()}\n",
    ],
)
def test_a_line_that_is_no_key_is_named_by_its_number(tmp_path: Path, text: str) -> None:
    """Also where the id does not fit the key; nothing of the line is repeated, for it may be half a key."""
    said = problem_of(write(tmp_path / "key", line_of(OLD) + text))

    assert f"{tmp_path / 'key'}:2: key_file: this line is not a key" in said
    assert base64.b64encode(NEW).decode() not in said


@pytest.mark.parametrize(
    ("text", "what"), [("", "holds no key"), ("# only\n\n", "holds no key"), (b"\xff\xfe", "cannot be read")]
)
def test_a_file_without_a_key_says_so(tmp_path: Path, text: str | bytes, what: str) -> None:
    """An empty file, one of comments, one that is not text."""
    assert what in problem_of(write(tmp_path / "key", text))


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The cure is a command of ours."""
    said = problem_of(tmp_path / "none")

    assert "there is no key file" in said
    assert "omnibot keys new" in said


def test_a_key_file_that_is_a_directory_cannot_be_read(tmp_path: Path) -> None:
    """It is a clear sentence, and no traceback."""
    (tmp_path / "key").mkdir(mode=0o700)

    assert "cannot be read" in problem_of(tmp_path / "key")


# ----------------------------------------------------------------------------------------- the keyring


def test_an_empty_keyring_is_locked() -> None:
    """Without a key there is nothing to make rows under."""
    keyring = Keyring()

    assert keyring.locked
    with pytest.raises(KeyMissing, match=r"\(none\)"):
        _ = keyring.newest


def test_a_key_that_is_not_here_is_missing_by_its_id(vault: Vault) -> None:
    """The id is not secret: the operator is told it."""
    with pytest.raises(KeyMissing, match="0badcafe") as caught:
        vault.keyring.get("0badcafe")

    assert "0badcafe" == caught.value.key_id


@pytest.mark.parametrize(
    "use",
    [
        lambda vault: vault.keyring.newest,
        lambda vault: vault.keyring.get(fingerprint(NEW)),
        lambda vault: vault.sealer.stamp(stores.NETWORKS, row_of(stores.NETWORKS)),
        lambda vault: vault.sealer.check(stores.NETWORKS, {"key_id": fingerprint(NEW), "tag": b""}),
        lambda vault: vault.sealer.seal(b"k" * 32, HEAD, TOKEN),
        lambda vault: vault.sealer.box("flow:1", b"secret"),
        lambda vault: vault.sealer.unbox("flow:1", bytes.fromhex(fingerprint(NEW)) + b"secret"),
        lambda vault: vault.sealer.code("cookie", "flow", 8, ALPHABET),
        lambda vault: vault.sealer.code_hash("CODE"),
        lambda vault: vault.opener.enrol("p-1"),
        lambda vault: vault.open(PersonKeys("p-1", b"k" * 32, b"", fingerprint(NEW)), b""),
        lambda vault: vault.revoker.box("r-1", "token"),
        lambda vault: vault.revoker.unbox("r-1", bytes.fromhex(fingerprint(NEW)) + b"x" * 40),
    ],
)
def test_a_locked_keyring_refuses_everything(vault: Vault, use: Callable[[Vault], object]) -> None:
    """A36: it says which key is missing, even to whoever asks for one that is here."""
    vault.keyring.lock("0badcafe")

    assert vault.keyring.locked
    with pytest.raises(KeyMissing, match="0badcafe"):
        use(vault)


def test_working_keys_differ_from_each_other_and_from_other_masters() -> None:
    """Each label derives another key: a box cannot be taken for a tag."""
    one, other = MasterKey.of(OLD), MasterKey.of(NEW)
    derived = {getattr(key, name) for key in (one, other) for name in ("open", "tag", "box", "code", "revoke")}

    assert 10 == len(derived)
    assert OLD not in derived
    assert one.id != other.id


# ------------------------------------------------------------------------------------------- tags

COVERED = [(tagged, name) for tagged in TABLES for name in (*tagged.primary, *tagged.covered, *tagged.later)]


@pytest.mark.parametrize(("tagged", "name"), COVERED, ids=[f"{tagged.table}.{name}" for tagged, name in COVERED])
def test_changing_any_covered_column_is_noticed(vault: Vault, tagged: Tagged, name: str) -> None:
    """A32, A33, A35, A63: another value, none, other bytes of the same letters; the row is named."""
    row = vault.sealer.stamp(tagged, row_of(tagged))
    vault.sealer.check(tagged, row)
    for other in ("another", None, str(row[name]).encode(), 1, ""):
        with pytest.raises(Tampered) as caught:
            vault.sealer.check(tagged, {**row, name: other})
        assert tagged.table == caught.value.table


def test_a_column_that_came_later_leaves_older_tags_as_they_are(vault: Vault) -> None:
    """Where it is NULL; a value in it, or the same value in its neighbour, is noticed."""
    before, after = Tagged("t", ("id",), ("a",)), Tagged("t", ("id",), ("a",), later=("b", "c"))
    older = {**vault.sealer.stamp(before, {"id": "1", "a": "x"}), "b": None, "c": None}
    vault.sealer.check(after, older)
    newer = vault.sealer.stamp(after, {**older, "b": "y"})
    vault.sealer.check(after, newer)

    for forged in ({**older, "b": "y"}, {**newer, "b": None}, {**newer, "b": None, "c": "y"}, {**older, "c": ""}):
        with pytest.raises(Tampered):
            vault.sealer.check(after, forged)


@pytest.mark.parametrize("tagged", TABLES, ids=lambda tagged: tagged.table)
async def test_every_column_of_a_tagged_table_is_covered(tmp_path: Path, tagged: Tagged) -> None:
    """What the schema gains later is under the tag from its first day; what is left out decides nothing."""
    database = await Database.open(tmp_path / "omnibot.db")
    try:
        columns = {row["name"] for row in await database.read(f"PRAGMA table_info({tagged.table})")}
    finally:
        await database.close()

    covered = {*tagged.primary, *tagged.covered, *tagged.later}
    assert columns - {"key_id", "tag", "display", "renewable", "progress"} == covered


@pytest.mark.parametrize("tagged", TABLES, ids=lambda tagged: tagged.table)
def test_a_tag_is_good_for_its_own_table_only(vault: Vault, tagged: Tagged) -> None:
    """The same values in another table are another row."""
    row = vault.sealer.stamp(tagged, row_of(tagged))
    with pytest.raises(Tampered):
        vault.sealer.check(replace(tagged, table="elsewhere"), row)


def test_a_tag_names_its_key() -> None:
    """A row is checked under the key it was made under, and under no other that is at hand."""
    both = Vault(NEW, OLD)
    row = Vault(OLD).sealer.stamp(stores.NETWORKS, row_of(stores.NETWORKS))
    both.sealer.check(stores.NETWORKS, row)

    assert fingerprint(OLD) == row["key_id"]
    assert fingerprint(NEW) == both.sealer.stamp(stores.NETWORKS, row)["key_id"]
    with pytest.raises(Tampered):
        both.sealer.check(stores.NETWORKS, {**row, "key_id": fingerprint(NEW)})
    with pytest.raises(KeyMissing, match=fingerprint(OLD)):
        Vault(NEW).sealer.check(stores.NETWORKS, row)


def test_a_tampered_row_is_named_by_its_whole_key(vault: Vault) -> None:
    """The operator can find it."""
    row = vault.sealer.stamp(people.IDENTITIES, row_of(people.IDENTITIES))
    with pytest.raises(Tampered, match=r"identities row libera/subject of a row/epoch of a row") as caught:
        vault.sealer.check(people.IDENTITIES, {**row, "network": "libera"})

    assert "libera/subject of a row/epoch of a row" == caught.value.row


SCALARS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False).filter(bool),
)


@given(st.lists(SCALARS, max_size=5), st.lists(SCALARS, max_size=5))
def test_different_values_are_never_encoded_alike(one: list[Any], other: list[Any]) -> None:
    """Neither a moved boundary nor another kind gives the same bytes; equal numbers do, of whatever type."""
    assert (one == other) == (_encode(one) == _encode(other))


@given(st.lists(st.text(max_size=4), min_size=2, max_size=4))
def test_text_cannot_move_from_one_column_into_the_next(texts: list[str]) -> None:
    """The same letters cut elsewhere are other values."""
    moved = ["".join(texts), *[""] * (len(texts) - 1)]

    assert (texts == moved) == (_encode(texts) == _encode(moved))


def test_a_whole_number_is_the_same_as_sqlite_gives_it_back() -> None:
    """SQLite returns 5 from a REAL column as 5.0: the tag must not notice."""
    assert _encode([5]) == _encode([5.0])


# ------------------------------------------------------------------------------------------ tokens

TOKENS = st.builds(
    Token,
    st.text(min_size=1),
    st.text(),
    st.none() | st.floats(0, 1e12),
    st.none() | st.lists(st.text(), max_size=4).map(tuple),
)


@settings(deadline=None)
@given(TOKENS)
def test_a_token_comes_out_as_it_went_in(token: Token) -> None:
    """Whatever a service may call a token, its expiry and its scopes."""
    vault = Vault()
    keys = vault.opener.enrol("p-1")

    assert token == vault.open(keys, vault.sealer.seal(keys.public_key, HEAD, token))


@pytest.mark.parametrize("name", ["provider", "instance", "origin", "external"])
def test_a_token_opens_only_as_what_it_was_sealed_as(vault: Vault, ada: PersonKeys, name: str) -> None:
    """A23, A32: what never changes is said inside the seal as well."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    with pytest.raises(Tampered):
        vault.open(ada, sealed, replace(HEAD, **{name: "other"}))


def test_a_token_sealed_for_another_person_stays_closed(vault: Vault, ada: PersonKeys) -> None:
    """Neither under the other's keys nor under one's own."""
    eve = vault.opener.enrol("p-2")
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    hers = replace(HEAD, person="p-2")
    with pytest.raises(Tampered):
        vault.open(eve, sealed, hers)
    with pytest.raises(GrantError):
        vault.open(ada, sealed, hers)
    with pytest.raises(Tampered):
        vault.open(replace(eve, person="p-1"), sealed)


def test_a_person_moved_to_anothers_public_key_opens_nothing(vault: Vault, ada: PersonKeys) -> None:
    """Sealed to the right key, but said inside to be somebody else's."""
    sealed = vault.sealer.seal(ada.public_key, replace(HEAD, person="p-2"), TOKEN)
    with pytest.raises(Tampered):
        vault.open(ada, sealed)


@pytest.mark.parametrize("inside", [b"", b"no json", b"[]", b"{}", b'"text"', b"null", b'{"v":1}', b"\xff"])
def test_what_somebody_else_sealed_is_tampered(vault: Vault, ada: PersonKeys, inside: bytes) -> None:
    """A33: anybody with the database can seal to a public key; what they put in is refused, whatever it is."""
    sealed = SealedBox(PublicKey(ada.public_key)).encrypt(inside)
    with pytest.raises(Tampered):
        vault.open(ada, sealed)


def test_a_token_of_another_version_is_refused(vault: Vault, ada: PersonKeys) -> None:
    """A form this program does not know is not guessed at."""
    body = {"v": 2, "person": "p-1", "provider": "demo", "instance": "demo@default"}
    body |= {"origin": HEAD.origin, "external": "u-1", "access": "a", "refresh": "", "expires": None, "scopes": None}
    sealed = SealedBox(PublicKey(ada.public_key)).encrypt(json.dumps(body).encode())
    with pytest.raises(Tampered):
        vault.open(ada, sealed)
    good = SealedBox(PublicKey(ada.public_key)).encrypt(json.dumps(body | {"v": 1}).encode())

    assert Token("a") == vault.open(ada, good)


@settings(deadline=None)
@given(st.data())
def test_a_changed_seal_is_tampered(data: st.DataObject) -> None:
    """Every bit of it counts, and so does its length."""
    vault = Vault()
    ada = vault.opener.enrol("p-1")
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    at = data.draw(st.integers(0, len(sealed) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = sealed[:at] + bytes([sealed[at] ^ (1 << bit)]) + sealed[at + 1 :]
    for wrong in (changed, sealed[:at]):
        with pytest.raises(Tampered):
            vault.open(ada, wrong)


@pytest.mark.parametrize("change", ["public_key", "private_key", "person"])
def test_a_swapped_key_pair_opens_nothing(vault: Vault, ada: PersonKeys, change: str) -> None:
    """The wrapped private key says whose it is, and which public key it belongs to."""
    eve = vault.opener.enrol("p-2")
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    mixed = replace(ada, **{change: getattr(eve, change)})
    with pytest.raises(VaultError):
        vault.open(mixed, sealed)


@pytest.mark.parametrize("wrapped", [b"", b"short", b"x" * 72])
def test_a_private_key_that_is_none_is_tampered(vault: Vault, ada: PersonKeys, wrapped: bytes) -> None:
    """Whatever stands in the column, it is an error of the vault's."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    with pytest.raises(Tampered):
        vault.open(replace(ada, private_key=wrapped), sealed)


def test_people_of_an_older_key_are_still_opened() -> None:
    """After a new key was put before it; and not once the old one is gone."""
    before = Vault(OLD)
    ada = before.opener.enrol("p-1")
    sealed = before.sealer.seal(ada.public_key, HEAD, TOKEN)

    assert TOKEN == Vault(NEW, OLD).open(ada, sealed)
    with pytest.raises(KeyMissing, match=fingerprint(OLD)):
        Vault(NEW).open(ada, sealed)
    with pytest.raises(Tampered):
        Vault(NEW, OLD).open(replace(ada, key_id=fingerprint(NEW)), sealed)


# ------------------------------------------------------------------------------------------ grants


def test_an_ended_grant_opens_nothing(vault: Vault, ada: PersonKeys) -> None:
    """And ending it twice is no harm."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    grant = vault.grants.open("p-1", "test")
    opened = vault.opener.open(grant, ada, "a-1", HEAD, sealed)
    vault.grants.close(grant)
    vault.grants.close(grant)

    assert TOKEN == opened
    with pytest.raises(GrantError, match="ended"):
        vault.opener.open(grant, ada, "a-1", HEAD, sealed)


def test_a_grant_that_nobody_gave_opens_nothing(vault: Vault, ada: PersonKeys) -> None:
    """One made by hand is not live, however right its words are, nor is another bot's."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    vault.grants.open("p-1", "command")
    for forged in (Grant("p-1", "command"), Grants().open("p-1", "command")):
        with pytest.raises(GrantError):
            vault.opener.open(forged, ada, "a-1", HEAD, sealed)


@pytest.mark.parametrize(("name", "value"), [("person", "p-2"), ("accounts", None), ("reason", "x"), ("more", 1)])
def test_a_grant_cannot_be_made_out_to_another(vault: Vault, name: str, value: object) -> None:
    """A61: whoever holds one does not widen it."""
    grant = vault.grants.open("p-1", "test", frozenset({"a-1"}))
    with pytest.raises(GrantError, match="cannot be changed"):
        setattr(grant, name, value)

    assert ("p-1", "test", frozenset({"a-1"})) == (grant.person, grant.reason, grant.accounts)


def test_a_grant_is_for_one_person(vault: Vault, ada: PersonKeys) -> None:
    """Somebody else's live grant is none."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    with pytest.raises(GrantError, match="not for that account"):
        vault.opener.open(vault.grants.open("p-2", "test"), ada, "a-1", HEAD, sealed)


def test_a_grant_for_upkeep_is_for_one_account_and_ends_with_its_block(vault: Vault) -> None:
    """Also when the block raises."""
    lent: list[Grant] = []
    with suppress(RuntimeError), vault.grants.for_upkeep("p-1", "a-1", "refresh") as grant:
        lent.append(grant)
        vault.grants.check(grant, "p-1", "a-1")
        with pytest.raises(GrantError, match="not for that account"):
            vault.grants.check(grant, "p-1", "a-2")
        raise RuntimeError

    with pytest.raises(GrantError, match="ended"):
        vault.grants.check(lent[0], "p-1", "a-1")


# ------------------------------------------------------------------------------------------- boxes


@settings(deadline=None)
@given(st.text(), st.binary())
def test_a_box_gives_back_what_was_put_in(purpose: str, data: bytes) -> None:
    """For the purpose it was made for."""
    sealer = Vault().sealer

    assert data == sealer.unbox(purpose, sealer.box(purpose, data))


@settings(deadline=None)
@given(st.data())
def test_a_changed_box_is_refused(data: st.DataObject) -> None:
    """The key id in front counts too."""
    sealer = Vault().sealer
    box = sealer.box("verifier:1", b"secret-canary")
    at = data.draw(st.integers(0, len(box) - 1))
    changed = box[:at] + bytes([box[at] ^ data.draw(st.integers(1, 255))]) + box[at + 1 :]
    for wrong in (changed, box[:at]):
        with pytest.raises(VaultError):
            sealer.unbox("verifier:1", wrong)


def test_a_box_is_for_one_purpose(vault: Vault) -> None:
    """Another row's box opens nothing, and the text names the kind without the row."""
    box = vault.sealer.box("verifier:1", b"secret")
    with pytest.raises(VaultError, match=r"for verifier$"):
        vault.sealer.unbox("verifier:2", box)


def test_a_box_names_its_key() -> None:
    """An older key opens its boxes while it is here."""
    box = Vault(OLD).sealer.box("verifier:1", b"secret")

    assert b"secret" == Vault(NEW, OLD).sealer.unbox("verifier:1", box)
    with pytest.raises(KeyMissing, match=fingerprint(OLD)):
        Vault(NEW).sealer.unbox("verifier:1", box)


def test_two_boxes_of_the_same_are_not_alike(vault: Vault) -> None:
    """Nobody sees in the database that two hold the same."""
    assert vault.sealer.box("a", b"secret") != vault.sealer.box("a", b"secret")


def test_a_revoker_opens_what_was_put_up_for_revocation_and_nothing_else(vault: Vault) -> None:
    """Its key is another than the boxes', in both directions; and a box is for its row."""
    box = vault.revoker.box("r-1", "token-ü")

    assert fingerprint(NEW) == box[:4].hex()
    assert "token-ü" == vault.revoker.unbox("r-1", box)
    with pytest.raises(VaultError):
        vault.revoker.unbox("r-2", box)
    with pytest.raises(VaultError):
        vault.sealer.unbox("r-1", box)
    with pytest.raises(VaultError):
        vault.revoker.unbox("r-1", vault.sealer.box("r-1", b"token"))
    with pytest.raises(KeyMissing, match=fingerprint(NEW)):
        Vault(OLD).revoker.unbox("r-1", box)


# ------------------------------------------------------------------------------------------- codes


@settings(deadline=None)
@given(st.text(max_size=50), st.text(max_size=50))
def test_a_code_is_the_same_for_the_same_browser(cookie: str, flow: str) -> None:
    """At every reload and after a restart; eight letters of the alphabet."""
    code = Vault().sealer.code(cookie, flow, 8, ALPHABET)

    assert code == Vault().sealer.code(cookie, flow, 8, ALPHABET)
    assert 8 == len(code)
    assert set(code) <= set(ALPHABET)


def test_a_code_differs_for_another_browser_flow_or_key(vault: Vault) -> None:
    """Nor can letters move from the cookie to the flow."""
    said = vault.sealer.code("cookie", "flow", 8, ALPHABET)
    others = [
        vault.sealer.code("other", "flow", 8, ALPHABET),
        vault.sealer.code("cookie", "other", 8, ALPHABET),
        vault.sealer.code("cookief", "low", 8, ALPHABET),
        Vault(OLD).sealer.code("cookie", "flow", 8, ALPHABET),
    ]

    assert said not in others
    assert 4 == len(set(others))


def test_no_letter_of_a_code_is_likelier_than_another(vault: Vault) -> None:
    """Twenty letters do not divide 256: without care, the first sixteen would come more often."""
    letters = "".join(vault.sealer.code(str(number), "flow", 8, ALPHABET) for number in range(2000))
    counts = [letters.count(letter) for letter in ALPHABET]

    assert min(counts) > 16000 / 20 * 0.85
    assert max(counts) < 16000 / 20 * 1.15


def test_a_codes_hash_is_keyed(vault: Vault) -> None:
    """34 bits could be tried out by whoever has the database, but for the key."""
    assert vault.sealer.code_hash("KXQWMNHZ") == Vault(NEW).sealer.code_hash("KXQWMNHZ")
    assert vault.sealer.code_hash("KXQWMNHZ") != vault.sealer.code_hash("KXQWMNHB")
    assert vault.sealer.code_hash("KXQWMNHZ") != Vault(OLD).sealer.code_hash("KXQWMNHZ")
    assert vault.sealer.code_hash("KXQWMNHZ") != digest("KXQWMNHZ")


def test_a_missing_hash_equals_nothing() -> None:
    """Not even another missing one: a flow without a cookie is nobody's."""
    one = digest("ticket")

    assert same(one, digest("ticket"))
    assert not same(one, digest("tickeu"))
    assert not same(None, one)
    assert not same(one, None)
    assert not same(None, None)


# --------------------------------------------------------------------------------------- printing


def test_nothing_secret_is_printed(vault: Vault, ada: PersonKeys) -> None:
    """A40: whatever ends up in a log or a traceback, no key and no token is in its repr."""
    key = vault.keyring.newest
    shown = " ".join(map(repr, (vault.keyring, key, ada, TOKEN, HEAD, vault.grants.open("p-1", "x"))))
    hidden = [NEW, key.open, key.tag, key.box, key.code, key.revoke, ada.private_key]

    assert "canary" not in shown
    assert fingerprint(NEW) in shown
    assert not [one for one in hidden if repr(one)[2:-1] in shown or one.hex() in shown]
    assert "<Keyring empty>" == repr(Keyring())


def test_no_secret_is_in_an_error(vault: Vault, ada: PersonKeys) -> None:
    """Nor in what an error was raised from."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    with pytest.raises(Tampered) as caught:
        vault.open(ada, sealed, replace(HEAD, origin="https://evil.example"))
    told: list[str] = []
    error: BaseException | None = caught.value
    while error is not None:
        told += [repr(error), str(error)]
        error = error.__context__

    assert not [one for one in told if "canary" in one]


def test_a_token_opens_with_the_stored_public_key_alone(vault: Vault, ada: PersonKeys) -> None:
    """Another public key beside the private one is somebody's forgery, and opens nothing."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    other = vault.opener.enrol("p-1")
    for wrong in (other.public_key, b"", b"short", bytes(32)):
        with pytest.raises(Tampered):
            vault.open(replace(ada, public_key=wrong), sealed)

    assert TOKEN == vault.open(ada, sealed)


# ------------------------------------------------------------------------- changing the key


@pytest.fixture
def two() -> Vault:
    """A vault with an older key; what stands under that is made by `Vault(OLD)`."""
    return Vault(NEW, OLD)


def test_a_new_key_goes_on_top_of_the_file(tmp_path: Path) -> None:
    """Comments and older keys stay; the mode is 0600 and nothing is left beside it."""
    path = tmp_path / "key"
    old = new_key_file(path)
    new = add_key(path)
    lines = path.read_text().splitlines()

    assert lines[0].startswith("# omnibot master key")
    assert [new, old] == Keyring.load(path).ids == [line.split()[0] for line in lines[1:]]
    assert 0o600 == path.stat().st_mode & 0o777
    assert [path] == list(tmp_path.iterdir())


def test_an_older_key_is_taken_out_and_the_newest_is_not(tmp_path: Path) -> None:
    """Comments stay."""
    path = tmp_path / "key"
    old = new_key_file(path)
    new = add_key(path)
    with pytest.raises(ConfigError, match=f"key {new} is the newest, and is in use"):
        remove_key(path, new)
    remove_key(path, old)

    assert [new] == Keyring.load(path).ids
    assert path.read_text().startswith("# omnibot master key")


def test_what_a_crash_left_beside_the_key_file_is_no_hindrance(tmp_path: Path) -> None:
    """Nor is it ever followed: whoever can make links there must not lead the key elsewhere."""
    path, elsewhere = tmp_path / "key", tmp_path / "elsewhere"
    new_key_file(path)
    elsewhere.write_text("untouched")
    (tmp_path / ".key.new").symlink_to(elsewhere)
    add_key(path)

    assert "untouched" == elsewhere.read_text()
    assert {"key", "elsewhere"} == {one.name for one in tmp_path.iterdir()}


def test_a_link_to_the_key_file_stays_one(tmp_path: Path) -> None:
    """The file behind it is changed."""
    (tmp_path / "real").mkdir()
    old = new_key_file(tmp_path / "real" / "key")
    link = tmp_path / "key"
    link.symlink_to(tmp_path / "real" / "key")
    new = add_key(link)

    assert link.is_symlink()
    assert [new, old] == Keyring.load(tmp_path / "real" / "key").ids


def test_a_file_of_another_user_stays_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root rotates, and the bot's user has to read it afterwards."""
    path = tmp_path / "key"
    new_key_file(path)
    owner = path.stat()
    given = []
    monkeypatch.setattr("os.geteuid", lambda: owner.st_uid + 1)
    monkeypatch.setattr("os.fchown", lambda _, user, group: given.append((user, group)))
    add_key(path)

    assert [(owner.st_uid, owner.st_gid)] == given


def test_a_key_file_that_cannot_be_replaced_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own reason is told, and no part of a key."""
    path = tmp_path / "key"
    new_key_file(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match=r"key_file: cannot be written \(No space left on device\)"):
        add_key(path)

    assert before == path.read_bytes()


def test_a_keyring_takes_keys_up_and_drops_them(vault: Vault) -> None:
    """Whoever works with it does so with the newest at once; the newest cannot be dropped."""
    old = Vault(OLD)
    row = old.sealer.stamp(people.PEOPLE, row_of(people.PEOPLE))
    old.keyring.adopt(Keyring((NEW, OLD)))
    old.sealer.check(people.PEOPLE, row)
    made = old.sealer.stamp(people.PEOPLE, row_of(people.PEOPLE))
    with pytest.raises(AssertionError):
        old.keyring.drop(fingerprint(NEW))
    old.keyring.drop(fingerprint(OLD))
    with pytest.raises(KeyMissing):
        old.sealer.check(people.PEOPLE, row)

    assert fingerprint(NEW) == made["key_id"]
    assert [fingerprint(NEW)] == old.keyring.ids


def test_everything_can_be_moved_to_the_newest_key(two: Vault) -> None:
    """Tags, boxes, what waits to be revoked, and people's keys: then the newest alone reads them."""
    old, rekeyer, last = Vault(OLD), Rekeyer(two.keyring), Vault(NEW)
    keys = old.opener.enrol("p-1")
    sealed = old.sealer.seal(keys.public_key, HEAD, TOKEN)
    row = row_of(people.PEOPLE)
    wrapped = rekeyer.wrap(keys)

    assert fingerprint(NEW) == rekeyer.newest == wrapped.key_id
    assert TOKEN == last.open(wrapped, sealed)
    assert b"v" == last.sealer.unbox("verifier:1", rekeyer.box("verifier:1", old.sealer.box("verifier:1", b"v")))
    assert "t" == last.revoker.unbox("r:1", rekeyer.revocation("r:1", old.revoker.box("r:1", "t")))
    last.sealer.check(people.PEOPLE, row | rekeyer.stamp(people.PEOPLE, row))


def test_what_is_not_ours_is_not_moved(two: Vault) -> None:
    """Another purpose, another person, another private key."""
    old, rekeyer = Vault(OLD), Rekeyer(two.keyring)
    keys = old.opener.enrol("p-1")
    for wrong in (replace(keys, person="p-2"), replace(keys, public_key=bytes(32)), replace(keys, private_key=b"x")):
        with pytest.raises(Tampered):
            rekeyer.wrap(wrong)
    with pytest.raises(VaultError):
        rekeyer.box("verifier:2", old.sealer.box("verifier:1", b"v"))
    with pytest.raises(VaultError):
        rekeyer.revocation("r:2", old.revoker.box("r:1", "t"))
    with pytest.raises(KeyMissing):
        rekeyer.wrap(Vault(b"l" * 32).opener.enrol("p-1"))
    with pytest.raises(Tampered):
        rekeyer.check(people.PEOPLE, old.sealer.stamp(people.PEOPLE, row_of(people.PEOPLE)) | {"pseudonym": "x"})


def test_a_token_is_sealed_anew_under_a_grant(vault: Vault, ada: PersonKeys) -> None:
    """For the same person alone, and only what is truly of that account."""
    sealed = vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    fresh = vault.opener.enrol("p-1")
    grant = vault.grants.open("p-1", "test", frozenset({"a-1"}))
    anew = vault.opener.reseal(grant, ada, fresh, "a-1", HEAD, sealed)
    for head in (replace(HEAD, external="u-2"), replace(HEAD, instance="demo@other"), replace(HEAD, provider="x")):
        with pytest.raises(Tampered):
            vault.opener.reseal(grant, ada, fresh, "a-1", head, sealed)
    with pytest.raises(GrantError):
        vault.opener.reseal(grant, ada, vault.opener.enrol("p-2"), "a-1", HEAD, sealed)
    with pytest.raises(GrantError):
        vault.opener.reseal(grant, ada, fresh, "a-2", HEAD, sealed)
    vault.grants.close(grant)
    with pytest.raises(GrantError):
        vault.opener.reseal(grant, ada, fresh, "a-1", HEAD, sealed)

    assert TOKEN == vault.open(fresh, anew)
    with pytest.raises(Tampered):
        vault.open(ada, anew)


def test_a_token_can_be_looked_at_without_being_told(vault: Vault, ada: PersonKeys) -> None:
    """Whether it opens, and is for that API; where the API is not known any more, all else."""
    rekeyer, sealed = Rekeyer(vault.keyring), vault.sealer.seal(ada.public_key, HEAD, TOKEN)
    rekeyer.check_token(ada, "a-1", HEAD, sealed)
    rekeyer.check_token(ada, "a-1", replace(HEAD, origin=""), sealed)
    for head, box in (
        (replace(HEAD, origin="https://evil.example"), sealed),
        (replace(HEAD, origin="", external="u-2"), sealed),
        (HEAD, sealed[:-1]),
    ):
        with pytest.raises(Tampered):
            rekeyer.check_token(ada, "a-1", head, box)


def test_a_live_grant_is_known_by_its_person(vault: Vault) -> None:
    """As long as it lives."""
    grant = vault.grants.open("p-1", "test")
    acts = vault.grants.acts("p-1"), vault.grants.acts("p-2")
    vault.grants.close(grant)

    assert (True, False) == acts
    assert not vault.grants.acts("p-1")


def test_a_code_outlives_its_key_being_the_newest(two: Vault) -> None:
    """It is shown as it was, and found by either hash; with its key gone it is not made up anew."""
    old = Vault(OLD)
    shown = old.sealer.code("cookie", "flow", 8, ALPHABET)
    kept = old.sealer.code_hash(shown)
    again = two.sealer.code("cookie", "flow", 8, ALPHABET, kept)
    with pytest.raises(KeyMissing):
        Vault(NEW).sealer.code("cookie", "flow", 8, ALPHABET, kept)

    assert shown == again != two.sealer.code("cookie", "flow", 8, ALPHABET)
    assert [two.sealer.code_hash(shown), kept] == two.sealer.code_hashes(shown)
    assert [fingerprint(NEW), fingerprint(OLD)] == [one[:4].hex() for one in two.sealer.code_hashes(shown)]
