"""How long the loop stands still while a room's key is given to a hundred devices, by the bot and by plain nio.

All keys, sessions and signatures are real; only the homeserver is a few dicts, and answers at once.
"""

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from nio.crypto.olm_machine import Olm
from nio.crypto.sessions import OlmAccount
from nio.responses import KeysClaimResponse, KeysQueryResponse, KeysUploadResponse
from nio.store.database import SqliteStore

from adapters.matrix.keys import Keys
from adapters.matrix.machine import Machine
from adapters.matrix.signing import Seeds, canonical
from adapters.matrix.store import open_store
from omnibot.testing import FakeStore

DEVICES = 100
_EACH = 2
_BOT, _DEVICE, _ROOM = "@omnibot:bench", "BENCH", "!room:bench"
_KIND, _SAID = "m.room.message", {"msgtype": "m.notice", "body": "hello"}

type Held = tuple[float, float]
"""Milliseconds that the loop stood still at the longest, and that all of it took."""


class Others:
    """People with two devices each, all signed by their owners, and the homeserver that has their keys."""

    def __init__(self) -> None:
        """Make them."""
        self.users = [f"@u{number}:bench" for number in range(DEVICES // _EACH)]
        self._accounts: dict[tuple[str, str], OlmAccount] = {}
        self._answer: dict[str, Any] = {"device_keys": {}, "master_keys": {}, "self_signing_keys": {}, "failures": {}}
        for user in self.users:
            self._make(user)

    async def ask(self, method: str, where: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Answer as the homeserver; the keys themselves are made before, so that no time goes into that."""
        sent = json.dumps(body)
        await asyncio.sleep(0)
        kind = where.removeprefix("/_matrix/client/v3/").split("/")
        if kind[0] == "sendToDevice":
            return {}
        if kind[1] == "upload":
            return {"one_time_key_counts": {"signed_curve25519": 50}}
        return self.query() if kind[1] == "query" else self.claim(json.loads(sent)["one_time_keys"])

    def query(self) -> dict[str, Any]:
        """Return the answer to ``/keys/query``."""
        return self._answer

    def claim(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to ``/keys/claim``."""
        return {"one_time_keys": {user: {one: self._keys[user, one] for one in wanted[user]} for user in wanted}}

    def renew(self) -> None:
        """Have a new one-time key for each device."""
        self._keys = {who: self._one_time(*who) for who in self._accounts}

    def _make(self, user: str) -> None:
        seeds = Seeds.made(user)
        master, own = ({"user_id": user, "usage": [usage], "keys": _named(seeds.key(usage))} for usage in _USAGES)
        own["signatures"] = {user: {f"ed25519:{seeds.key('master')}": seeds.sign("master", own)}}
        self._answer["master_keys"][user], self._answer["self_signing_keys"][user] = master, own
        for number in range(_EACH):
            device, account = f"DEVICE{number}", OlmAccount()
            self._accounts[user, device] = account
            public = account.identity_keys
            keys: dict[str, Any] = {
                "user_id": user,
                "device_id": device,
                "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
                "keys": {f"{kind}:{device}": public[kind] for kind in ("curve25519", "ed25519")},
            }
            signed = {
                f"ed25519:{device}": account.sign(canonical(keys).decode()),
                f"ed25519:{seeds.key('self_signing')}": seeds.sign("self_signing", keys),
            }
            keys["signatures"] = {user: signed}
            self._answer["device_keys"].setdefault(user, {})[device] = keys

    def _one_time(self, user: str, device: str) -> dict[str, Any]:
        account = self._accounts[user, device]
        account.generate_one_time_keys(1)
        ((name, key),) = account.one_time_keys["curve25519"].items()
        account.mark_keys_as_published()
        signature = account.sign(canonical({"key": key}).decode())
        return {f"signed_curve25519:{name}": {"key": key, "signatures": {user: {f"ed25519:{device}": signature}}}}


_USAGES = ("master", "self_signing")


def _named(key: str) -> dict[str, str]:
    return {f"ed25519:{key}": key}


async def shared(folder: Path, repetitions: int) -> tuple[list[Held], list[Held]]:
    """Give the key to all devices, none of them known before; return what the bot held up, and what plain nio did."""
    others = Others()
    ours, nios = [], []
    for number in range(repetitions):
        (here := folder / str(number)).mkdir()
        others.renew()
        ours.append(await _by_bot(others, here))
        others.renew()
        nios.append(await _by_nio(others, here))
    return ours, nios


async def _by_bot(others: Others, folder: Path) -> Held:
    store = await open_store(folder / "omnibot", FakeStore(), _BOT, _DEVICE)
    try:
        keys = Keys(Machine(_BOT, _DEVICE, store), others.ask, "first-use")
        await keys.upkeep()

        async def share() -> None:
            sealed = await keys.encrypt(_ROOM, [*others.users, _BOT], _KIND, _SAID)
            assert len(sealed.readers) == DEVICES, sealed.left_out

        return await _held(share)
    finally:
        store.close()


async def _by_nio(others: Others, folder: Path) -> Held:
    """Do what ``AsyncClient.room_send`` of nio 0.26 does, with its own store."""
    store = SqliteStore(_BOT, _DEVICE, str(folder), "bench", "nio.db")
    olm = Olm(_BOT, _DEVICE, store)
    olm.share_keys()
    olm.handle_response(KeysUploadResponse(0, 50))

    async def share() -> None:
        olm.handle_response(KeysQueryResponse.from_dict(await others.ask("POST", _path("keys/query"), {})))
        wanted = {
            user: dict.fromkeys(devices, "signed_curve25519")
            for user, devices in olm.get_missing_sessions(others.users).items()
        }
        answer = await others.ask("POST", _path("keys/claim"), {"one_time_keys": wanted})
        olm.handle_response(KeysClaimResponse.from_dict(answer | {"failures": {}}))
        parts = list(olm.share_group_session_parallel(_ROOM, others.users, ignore_unverified_devices=True))
        for _, messages in parts:
            await others.ask("PUT", _path("sendToDevice/m.room.encrypted/1"), messages)
        olm.outbound_group_sessions[_ROOM].shared = True
        olm.group_encrypt(_ROOM, {"type": _KIND, "content": _SAID})
        assert sum(len(sharing) for sharing, _ in parts) == DEVICES

    try:
        return await _held(share)
    finally:
        store.database.close()


def _path(where: str) -> str:
    return f"/_matrix/client/v3/{where}"


async def _held(work: Callable[[], Awaitable[None]]) -> Held:
    """Do *work* while another task looks how long it has to wait for its turn."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    gc.collect()
    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    start = time.perf_counter()
    await work()
    await asyncio.sleep(0)  # the last hold is seen by the tick after it
    spent = time.perf_counter() - start
    ticking.cancel()
    await asyncio.wait([ticking])
    return longest * 1000, spent * 1000
