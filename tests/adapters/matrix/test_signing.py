"""The bot signs its own device once, replaces nobody's keys, and believes no signature that it has not checked."""

import base64
import copy
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.matrix.answers import MatrixError
from adapters.matrix.machine import Machine
from adapters.matrix.signing import (
    Ask,
    Owned,
    Seeds,
    Signed,
    canonical,
    owned,
    published,
    self_signing,
    sign_device,
    unpadded,
    verified,
)
from omnibot.testing.fakes import FakeStore
from servers.keyserver import Device, KeyServer, demand, device

BOT, ADA, EVE = "@bot:hs.test", "@ada:hs.test", "@eve:hs.test"
ROW = f"cross-signing {BOT}"
SIGNING = "keys/device_signing/upload"
SIGNATURES = "keys/signatures/upload"


@pytest.fixture
def server() -> KeyServer:
    """A homeserver."""
    return KeyServer()


@pytest.fixture
async def bot(server: KeyServer, tmp_path: Path) -> Device:
    """The bot's device, not yet signed."""
    return await device(server, tmp_path / "bot", BOT, "BOT1")


# ------------------------------------------------------------------ Canonical JSON, by the specification's examples


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "{}"),
        ({"one": 1, "two": "Two"}, '{"one":1,"two":"Two"}'),
        ({"b": "2", "a": "1"}, '{"a":"1","b":"2"}'),
        ({"a": "日本語"}, '{"a":"日本語"}'),
        ({"本": 2, "日": 1}, '{"日":1,"本":2}'),
        ({"a": "\u65e5"}, '{"a":"日"}'),
        ({"a": None, "b": True}, '{"a":null,"b":true}'),
        ({"a": [{"z": -(2**53) + 1, "b": 2**53 - 1}]}, '{"a":[{"b":9007199254740991,"z":-9007199254740991}]}'),
        ({"a": 1, "signatures": {"x": {}}, "unsigned": {"y": 1}}, '{"a":1}'),
        ({"a": {"signatures": 1, "unsigned": 2}}, '{"a":{"signatures":1,"unsigned":2}}'),
    ],
)
def test_canonical(value: dict[str, Any], expected: str) -> None:
    """Sorted, without a space, with the outermost signatures taken off."""
    assert expected == canonical(value).decode()


@pytest.mark.parametrize(
    "part", [1.0, float("nan"), 2**53, -(2**53), "\ud800", b"x", [[1.5]], {"a": {"b": 1.0}}], ids=repr
)
def test_not_canonical(part: object) -> None:
    """What Canonical JSON has no way to write is not guessed at."""
    with pytest.raises(ValueError):
        canonical({"a": part})


def test_a_signature_of_the_specification() -> None:
    """The Appendices, "Test Vectors": the signing key of the examples, and two objects signed with it."""
    seed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed + "="))
    signatures = [unpadded(key.sign(canonical(value))) for value in ({}, {"one": 1, "two": "Two"})]

    assert [
        "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
        "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
    ] == signatures


# ------------------------------------------------------------------ what others have signed


async def signed(server: KeyServer, folder: Path, user: str = ADA, name: str = "ADA1") -> tuple[Device, str]:
    """Make a device of *user*'s and sign it; return it with the master key."""
    made = await device(server, folder, user, name)
    assert (await made.sign()).yes
    master = published(server.query(user), user, "master")
    assert master is not None
    return made, master


async def test_a_device_of_its_owner(server: KeyServer, tmp_path: Path) -> None:
    """The chain from the master key to the device, and the keys that were signed."""
    made, master = await signed(server, tmp_path / "ada")
    own = made.machine.account.identity_keys

    assert frozenset([Owned("ADA1", own["ed25519"], own["curve25519"])]) == owned(server.query(ADA), ADA, master)


def leaves(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to each text in *value*."""
    if isinstance(value, Mapping):
        for key in value:
            yield from leaves(value[key], (*at, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from leaves(part, (*at, index))
    else:
        yield at


def counts(at: tuple[str | int, ...]) -> bool:
    """Return whether what is there is under a signature, or is one, of the chain to the device."""
    by_device = at[0] == "master_keys" and "signatures" in at  # shows others that the device knew the master key
    return not by_device and "unsigned" not in at and at[0] != "failures"


def changed(value: Any, at: tuple[str | int, ...], change: Any) -> Any:
    """Return *value* with what is *at* a place put through *change*."""
    made = copy.deepcopy(value)
    parent = made
    for step in at[:-1]:
        parent = parent[step]
    change(parent, at[-1])
    return made


def flip(parent: Any, key: Any) -> None:
    text = parent[key]
    parent[key] = ("B" if text[0] == "A" else "A") + text[1:]


def flip_end(parent: Any, key: Any) -> None:
    text = parent[key]
    parent[key] = text[:-2] + ("xA" if text[-2] != "x" else "yA")


def cut(parent: Any, key: Any) -> None:
    parent[key] = parent[key][:-1]


def pad(parent: Any, key: Any) -> None:
    parent[key] += "="


def number(parent: Any, key: Any) -> None:
    parent[key] = 5


def remove(parent: Any, key: Any) -> None:
    del parent[key]


def rename(parent: Any, key: Any) -> None:
    if isinstance(parent, list):
        parent.append("more")
    else:
        parent[str(key) + "x"] = parent.pop(key)


@pytest.mark.parametrize(
    "change", [flip, flip_end, cut, pad, number, remove, rename], ids=lambda change: change.__name__
)
async def test_every_forged_piece_is_noticed(server: KeyServer, tmp_path: Path, change: object) -> None:
    """Whatever is changed in an answer, wherever a signature is over it or is one: the device is unsigned."""
    _, master = await signed(server, tmp_path / "ada")
    answer = server.query(ADA)
    places = [at for at in leaves(answer) if counts(at)]
    believed = []
    for at in places:
        forged = changed(answer, at, change)
        if published(forged, ADA, "master") == master and owned(forged, ADA, master):
            believed.append(at)

    assert 15 == len(places)
    assert [] == believed


@pytest.mark.parametrize(
    "at",
    [("master_keys",), ("self_signing_keys",), ("device_keys",), ("master_keys", ADA), ("self_signing_keys", ADA)],
    ids=str,
)
@pytest.mark.parametrize("value", [None, [], "text", 5, {}], ids=repr)
async def test_a_part_that_is_no_object(server: KeyServer, tmp_path: Path, at: tuple[str, ...], value: object) -> None:
    """It says nothing of anybody."""
    _, pinned = await signed(server, tmp_path / "ada")
    answer = changed(server.query(ADA), at, lambda parent, key: parent.__setitem__(key, value))
    master = published(answer, ADA, "master")

    assert not owned(answer, ADA, pinned) or at[0] == "master_keys"
    assert master is None or master == pinned


async def test_another_chain_is_another_persons(server: KeyServer, tmp_path: Path) -> None:
    """A whole chain of true signatures under another master key is not the one that was pinned."""
    _, first = await signed(server, tmp_path / "ada")
    del server.devices[ADA], server.signing[ADA]
    server.one_time.clear()
    _, second = await signed(server, tmp_path / "forged")

    assert first != second
    assert frozenset() == owned(server.query(ADA), ADA, first)
    assert 1 == len(owned(server.query(ADA), ADA, second))


async def test_keys_for_one_thing_are_not_for_another(server: KeyServer, tmp_path: Path) -> None:
    """A user-signing key signs no devices, and one user's keys are not another's."""
    made, master = await signed(server, tmp_path / "ada")
    seeds = Seeds.parsed(ADA, made.secrets.rows[f"cross-signing {ADA}"])
    answer = server.query(ADA)
    answer["self_signing_keys"][ADA] = server.signing[ADA]["user_signing_key"]
    keys = answer["device_keys"][ADA]["ADA1"]
    keys["signatures"][ADA][f"ed25519:{seeds.key('user_signing')}"] = seeds.sign("user_signing", keys)
    moved = {kind: {EVE: answer[kind][ADA]} if kind.endswith("_keys") else answer[kind] for kind in server.query(ADA)}

    assert self_signing(answer, ADA, master) is None
    assert frozenset() == owned(answer, ADA, master)
    assert frozenset() == owned(moved, EVE, master)
    assert published(moved, EVE, "master") is None


async def test_a_device_signs_itself_too(server: KeyServer, tmp_path: Path) -> None:
    """Who signs somebody else's keys as their own device has not that device."""
    made, master = await signed(server, tmp_path / "ada")
    other = await device(server, tmp_path / "eve", EVE, "EVE1")
    seeds = Seeds.parsed(ADA, made.secrets.rows[f"cross-signing {ADA}"])
    own = other.machine.account.identity_keys
    stolen: dict[str, Any] = {
        "user_id": ADA,
        "device_id": "EVE1",
        "algorithms": [],
        "keys": {"ed25519:EVE1": own["ed25519"], "curve25519:EVE1": own["curve25519"]},
    }
    name = f"ed25519:{seeds.key('self_signing')}"
    stolen["signatures"] = {ADA: {name: seeds.sign("self_signing", stolen), "ed25519:EVE1": "A" * 86}}
    answer = server.query(ADA)
    answer["device_keys"][ADA]["EVE1"] = stolen

    assert verified(stolen, ADA, seeds.key("self_signing"))
    assert ["ADA1"] == [one.device for one in owned(answer, ADA, master)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([ADA, "ed25519:A", "master"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([ADA, "keys", "signatures", "usage", "user_id", "device_id", "ed25519:A", "A", "unsigned"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["master_keys", "self_signing_keys", "device_keys"]), json_values))
def test_no_answer_breaks_it(answer: dict[str, Any]) -> None:
    """It may be anything, and then it is nobody's."""
    found = published(answer, ADA, "master")

    assert frozenset() == owned(answer, ADA, found or "A" * 43)


# ------------------------------------------------------------------ the bot's own device


def uploads(server: KeyServer) -> tuple[int, int]:
    return server.counted(SIGNING), server.counted(SIGNATURES)


async def test_the_first_login_signs_the_device(bot: Device) -> None:
    """Others see the chain, and the master key is signed by the device."""
    found = await bot.sign()
    answer = bot.server.query(BOT)
    master = published(answer, BOT, "master")
    assert master is not None
    own = bot.machine.account.identity_keys

    assert "device signed: yes" in str(found)
    assert frozenset([Owned("BOT1", own["ed25519"], own["curve25519"])]) == owned(answer, BOT, master)
    by_device = answer["master_keys"][BOT]["signatures"][BOT]["ed25519:BOT1"]
    renamed = answer["master_keys"][BOT] | {"signatures": {BOT: {f"ed25519:{own['ed25519']}": by_device}}}
    assert verified(renamed, BOT, own["ed25519"])
    assert verified(bot.server.signing[BOT]["user_signing_key"], BOT, master)


async def test_a_start_changes_nothing(bot: Device) -> None:
    """What is signed is looked at, and left."""
    first = await bot.sign()
    before = copy.deepcopy((bot.server.signing, bot.server.devices, bot.secrets.rows))

    assert [first] * 3 == [await bot.sign() for _ in range(3)]
    assert (1, 1) == uploads(bot.server)
    assert before == (bot.server.signing, bot.server.devices, bot.secrets.rows)


async def test_seeds_are_kept_before_anything_is_published(bot: Device) -> None:
    """By the time the homeserver is asked, they are there."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        if where.endswith("device_signing/upload"):
            seeds = Seeds.parsed(BOT, bot.secrets.rows[ROW])
            assert body is not None
            assert seeds.key("master") == published({"master_keys": {BOT: body["master_key"]}}, BOT, "master")
        return await bot.ask(method, where, body)

    assert (await sign_device(ask, bot.secrets, bot.machine)).yes


class Cut(Exception):
    """The process ends here."""


def cut_at(ask: Ask, at: int, *, after: bool) -> Ask:
    """Return *ask* of a process that ends at its *at*th question: before it got there, or before the answer came."""
    left = at

    async def cut_short(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left == 0 and not after:
            raise Cut
        answer = await ask(method, where, body)
        if left == 0:
            raise Cut
        return answer

    return cut_short


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_crash_at_any_point(bot: Device, at: int, after: bool) -> None:
    """The next start goes on: with the same keys, which are published once."""
    with pytest.raises(Cut):
        await sign_device(cut_at(bot.ask, at, after=after), bot.secrets, bot.machine)
    kept = bot.secrets.rows.get(ROW)
    there = copy.deepcopy(bot.server.signing)
    found = await bot.sign()

    assert found.yes
    assert kept is None or kept == bot.secrets.rows[ROW]
    assert not there or there == bot.server.signing
    assert len([1 for _, what, _ in bot.server.asked if what == SIGNING]) == 1


async def test_the_password_where_it_is_demanded(bot: Device) -> None:
    """It is sent only then, and only with the session it was asked for in."""
    bot.server.password = "swordfish"
    found = await sign_device(bot.ask, bot.secrets, bot.machine, "swordfish")
    bodies = [body for _, what, body in bot.server.asked if what == SIGNING]

    assert found.yes
    assert [False, True] == ["auth" in body for body in bodies]
    assert "swordfish" not in str(found)
    assert {"type": "m.id.user", "user": BOT} == bodies[1]["auth"]["identifier"]


async def test_no_password_where_nobody_asks(bot: Device) -> None:
    """A homeserver that does not demand it is not told."""
    await sign_device(bot.ask, bot.secrets, bot.machine, "swordfish")

    assert "swordfish" not in json.dumps([body for _, _, body in bot.server.asked])


@pytest.mark.parametrize(
    ("password", "answer", "expected"),
    [
        (None, demand(), "logs in by a token: verify the bot's device BOT1"),
        ("wrong", demand(), "does not take the configured `password`"),
        ("right", demand(("m.oauth",)), "it offers m.oauth"),
        ("right", demand(("m.login.password", "m.login.terms")), "it offers m.login.password, m.login.terms"),
        ("right", demand(("<b>x</b>",)), "it offers something else"),
        ("right", MatrixError("", "", 401), "it offers nothing"),
        ("right", MatrixError("M_UNRECOGNIZED", "", 404), "knows no cross-signing"),
        ("right", MatrixError("", "", 405), "knows no cross-signing"),
    ],
)
async def test_why_not(bot: Device, password: str | None, answer: MatrixError, expected: str) -> None:
    """What to do is said; the seeds are kept, and a later start goes on with them."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        if where.endswith("device_signing/upload"):
            raise answer
        return await bot.ask(method, where, body)

    found = await sign_device(ask, bot.secrets, bot.machine, password)
    kept = bot.secrets.rows[ROW]

    assert not found.yes
    assert expected in found.why
    assert password is None or password not in str(found)
    assert (await bot.sign()).yes
    assert kept == bot.secrets.rows[ROW]


async def test_a_homeserver_that_is_down(bot: Device) -> None:
    """That is no answer, and not for us to interpret."""
    bot.server.down.add("keys")

    with pytest.raises(MatrixError):
        await bot.sign()


async def foreign(bot: Device) -> dict[str, Any]:
    """Somebody has published keys for the bot's account; return them."""
    await sign_device(bot.ask, FakeStore(), bot.machine)
    for name in [name for name in bot.server.devices[BOT]["BOT1"]["signatures"][BOT] if name != "ed25519:BOT1"]:
        del bot.server.devices[BOT]["BOT1"]["signatures"][BOT][name]
    bot.server.asked.clear()
    return copy.deepcopy(bot.server.signing)


@pytest.mark.parametrize("had_its_own", [False, True])
async def test_somebody_elses_keys_are_left_alone(bot: Device, had_its_own: bool) -> None:
    """A second bot on the account, or its owner at a client: they would lose what they verified."""
    if had_its_own:
        bot.secrets.rows[ROW] = Seeds.made(BOT).dumped()
    theirs = await foreign(bot)
    found = await bot.sign()

    assert not found.yes
    assert "that are not the bot's" in found.why
    assert theirs == bot.server.signing
    assert (0, 0) == uploads(bot.server)
    assert had_its_own is (ROW in bot.secrets.rows)


async def test_somebody_elses_keys_are_replaced_when_told_so(bot: Device) -> None:
    """Then the bot has its own."""
    theirs = await foreign(bot)
    found = await sign_device(bot.ask, bot.secrets, bot.machine, replace=True)

    assert found.yes
    assert theirs != bot.server.signing


async def test_signed_by_its_owner_at_a_client(bot: Device) -> None:
    """The bot's own keys are not needed then."""
    await sign_device(bot.ask, FakeStore(), bot.machine)

    assert (await bot.sign()).yes
    assert {} == {key: value for key, value in bot.secrets.rows.items() if key == ROW}


def not_there(server: KeyServer, machine: Machine) -> None:
    server.devices[BOT].clear()


def other_identity(server: KeyServer, machine: Machine) -> None:
    server.devices[BOT]["BOT1"]["keys"]["curve25519:BOT1"] = "A" * 43


def more_keys(server: KeyServer, machine: Machine) -> None:
    server.devices[BOT]["BOT1"]["keys"]["ed25519:EVE"] = "A" * 43


def other_words(server: KeyServer, machine: Machine) -> None:
    server.devices[BOT]["BOT1"]["algorithms"] = ["m.evil"]


@pytest.mark.parametrize("lie", [not_there, other_identity, more_keys, other_words], ids=lambda lie: lie.__name__)
async def test_it_signs_nothing_but_its_own_device(bot: Device, lie: object) -> None:
    """A homeserver that shows other keys for it gets no signature over them."""
    assert callable(lie)
    lie(bot.server, bot.machine)
    found = await bot.sign()

    assert not found.yes
    assert (0, 0) == uploads(bot.server)
    assert ROW not in bot.secrets.rows


async def test_a_signature_that_is_not_shown(bot: Device) -> None:
    """Only what others see counts."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        return {} if where.endswith("signatures/upload") else await bot.ask(method, where, body)

    assert Signed(False, "the homeserver took the signature, and does not show it") == await sign_device(
        ask, bot.secrets, bot.machine
    )


async def test_a_signature_that_is_refused(bot: Device) -> None:
    """It says so in an answer of 200."""

    async def ask(method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        failures = {"failures": {BOT: {"BOT1": {"errcode": "M_INVALID_SIGNATURE"}}}}
        return failures if where.endswith("signatures/upload") else await bot.ask(method, where, body)

    assert Signed(False, "the homeserver did not take the signature") == await sign_device(
        ask, bot.secrets, bot.machine
    )


async def test_no_seed_is_shown(bot: Device, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log, nor by the object, nor in what goes out."""
    caplog.set_level(logging.DEBUG)
    found = await bot.sign()
    seeds = Seeds.parsed(BOT, bot.secrets.rows[ROW])
    shown = repr(seeds) + str(found) + caplog.text + json.dumps([body for _, _, body in bot.server.asked])

    for seed in (seeds.master, seeds.self_signing, seeds.user_signing):
        assert 32 == len(seed)
        assert seed.hex() not in shown
        assert unpadded(seed) not in shown
        assert repr(seed) not in shown
