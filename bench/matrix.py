"""What people on Matrix wait for and what it costs: a real Synapse, and the whole bot as a process of its own.

Linux only, for it reads other processes' clocks.  Synapse has to be installed by ``make servers``.
"""

import asyncio
import base64
import gc
import json
import os
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any, cast

from nio.client.async_client import AsyncClient, AsyncClientConfig
from nio.responses import ErrorResponse, SyncResponse
from nio.store.database import SqliteMemoryStore

from bench.figures import Figure
from bench.keysharing import DEVICES, Held, shared
from bench.processes import ROOT, cache, cpu_of, listening, process, resident
from omnibot.ports import free_port
from omnibot.vault import new_key_file

_SERVER = "bench"
_REPETITIONS = 3
_COMMANDS = 100
_WARM = 10
_SHARINGS = 7
_LOST = 60.0
"""Seconds after which a command counts as lost, and the benchmark ends."""

_CONFIG = """
networks:
  net:
    adapter: matrix
    homeserver: {url}
    user: "{mxid}"
    password: file:password
    encryption: {encryption}
skills: [accounts, following, help, ping, api]
skills_dir: skills
limits: {{person: off, command: off, channel: off, guest: off, linking: off}}
log: {{level: error}}
key_file: omnibot.key
"""
_SKILL = '''\
"""Answer what was said."""

from omnibot import Context, Skill

skill = Skill("echo")


@skill.command
async def echo(ctx: Context, word: str) -> str:
    """Say it back."""
    return word
'''
_NONCE = re.compile(r"z[0-9a-f]{12}z")
_ENCRYPTED = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
_UNLIMITED = {"per_second": 100_000, "burst_count": 100_000}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A bot, and the rooms that are its alone."""

    mxid: str
    command: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    plain: str
    """A room in the clear, with three people in it."""

    encrypted: str | None
    """Another that is encrypted."""


@dataclass(slots=True)
class Load:
    """So many commands, one after the other."""

    waits: list[float]
    """Seconds, for each."""

    cost: float
    """CPU-milliseconds of the bot's process for each."""

    def wait(self, percent: int) -> float:
        """Return the milliseconds in which so many of a hundred commands were answered."""
        return quantiles(self.waits, n=100, method="inclusive")[percent - 1] * 1000


@dataclass(slots=True)
class Run:
    """One bot, from its start to its end."""

    ready: float
    """Seconds from exec to its answer to what was said before."""

    plain: Load
    encrypted: Load | None
    resident: float
    """Megabytes after all of it."""


class Person:
    """Somebody who says commands and waits for the answer, with a device of their own."""

    def __init__(self, client: AsyncClient) -> None:
        """Speak with *client*, which is logged in."""
        self._client = client
        self._answers: dict[str, asyncio.Future[float]] = {}

    @classmethod
    @asynccontextmanager
    async def enter(cls, url: str, name: str) -> AsyncIterator["Person"]:
        """Register and log in, and hear what is said."""
        config = AsyncClientConfig(store=SqliteMemoryStore, encryption_enabled=True, pickle_key="bench")
        client = AsyncClient(url, name, config=config)
        _good(await client.register(name, secrets.token_hex(8)))
        person = cls(client)
        hearing = asyncio.create_task(person._hear(), name=f"{name} hears")
        try:
            yield person
        finally:
            hearing.cancel()
            await asyncio.wait([hearing])
            await client.close()

    @property
    def mxid(self) -> str:
        """Who it is."""
        return str(self._client.user_id)

    async def room(self, *people: str, encrypted: bool) -> str:
        """Make a room and invite *people*."""
        state = [_ENCRYPTED] if encrypted else []
        made = _good(await self._client.room_create(invite=people, initial_state=state))
        return str(made.room_id)

    async def join(self, room: str) -> None:
        """Follow an invitation."""
        _good(await self._client.join(room))

    async def until_in(self, room: str, mxid: str) -> None:
        """Return once *mxid* is known to be in *room*."""
        async with asyncio.timeout(_LOST):
            while True:
                known = self._client.rooms.get(room)
                if known is not None and mxid in known.users and mxid not in known.invited_users:
                    return
                await asyncio.sleep(0.05)

    async def say(self, room: str) -> "asyncio.Future[float]":
        """Say a command; what is returned gives the moment of its answer."""
        nonce = f"z{secrets.token_hex(6)}z"
        answer = self._answers[nonce] = asyncio.get_running_loop().create_future()
        content = {"msgtype": "m.text", "body": f"!echo {nonce}"}
        _good(await self._client.room_send(room, "m.room.message", content, ignore_unverified_devices=True))
        return answer

    async def load(self, room: str, pid: int, commands: int) -> Load:
        """Say so many *commands* in *room*, each when the last is answered."""
        gc.collect()
        waits, cpu = [], cpu_of(pid)
        for _ in range(commands):
            start = time.perf_counter()
            async with asyncio.timeout(_LOST):
                waits.append(await (await self.say(room)) - start)
        return Load(waits, (cpu_of(pid) - cpu) / commands * 1000)

    async def _hear(self) -> None:
        while True:
            response = await self._client.sync(30_000)
            if isinstance(response, SyncResponse):
                self._take(response, time.perf_counter())
                await self._keep_keys()

    def _take(self, response: SyncResponse, now: float) -> None:
        for info in response.rooms.join.values():
            for event in info.timeline.events:
                body = str(event.source.get("content", {}).get("body", ""))
                found = _NONCE.search(body) if event.sender != self.mxid else None
                answer = self._answers.pop(found[0], None) if found else None
                if answer is not None:
                    answer.set_result(now)

    async def _keep_keys(self) -> None:
        client = self._client
        if client.should_upload_keys:
            _good(await client.keys_upload())
        if client.should_query_keys:
            _good(await client.keys_query())
        if client.should_claim_keys:
            _good(await client.keys_claim(client.get_users_for_key_claiming()))
        await client.send_to_device_messages()


def matrix(scratch: Path) -> list[Figure]:
    """The whole bot on Synapse, beside plain nio; and the sharing of a key alone, where there is no Synapse."""
    python = synapse()
    found: list[Figure] = []
    if python.exists():
        found += asyncio.run(_rooms(scratch, python))
    else:
        print(f"There is no {python}: `make servers` puts it there.", file=sys.stderr)
    (keys := scratch / "keys").mkdir()
    return [*found, *_sharing(*asyncio.run(shared(keys, _SHARINGS)))]


def synapse() -> Path:
    """Return the Python of Synapse's own environment, which may not be there."""
    needed = (ROOT / "tests" / "servers" / "synapse" / "requirements.txt").read_text().splitlines()
    version = next(line.removeprefix("matrix-synapse==") for line in needed if line.startswith("matrix-synapse=="))
    return cache() / f"matrix-synapse-{version}" / "bin" / "python"


async def _rooms(scratch: Path, python: Path) -> list[Figure]:
    port = free_port()
    url, config = f"http://127.0.0.1:{port}", configured(scratch / "synapse", port)
    runs: list[list[Run]] = [[], [], []]
    async with AsyncExitStack() as stack:
        server = [str(python), "-m", "synapse.app.homeserver", "--config-path", str(config)]
        await stack.enter_async_context(process(server))
        await listening(port, 60)
        ada = await stack.enter_async_context(Person.enter(url, "ada"))
        bob = await stack.enter_async_context(Person.enter(url, "bob"))
        contestants = [
            await _bot(scratch, url, ada, bob, encryption=True),
            await _nio(scratch, url, ada, bob),
            await _bot(scratch, url, ada, bob, encryption=False),
        ]
        for one in contestants:
            await _run(ada, one, first=True)  # logs in, makes its files, and compiles
        for _ in range(_REPETITIONS):
            for one, taken in zip(contestants, runs, strict=True):
                taken.append(await _run(ada, one))
    return list(_figures(*runs))


async def _run(ada: Person, bot: Contestant, *, first: bool = False) -> Run:
    """Start *bot*, let *ada* say commands, and end it; at its *first* start only a few."""
    commands = _WARM if first else _COMMANDS
    rooms = [room for room in (bot.plain, bot.encrypted) if room is not None]
    said = None if first else await ada.say(bot.plain)
    start = time.perf_counter()
    async with process(bot.command, bot.env) as pid:
        if first:
            for room in rooms:
                await ada.until_in(room, bot.mxid)
        async with asyncio.timeout(_LOST):
            ready = await (said or await ada.say(bot.plain)) - start
        for room in rooms:
            await ada.load(room, pid, _WARM)
        plain = await ada.load(bot.plain, pid, commands)
        encrypted = await ada.load(bot.encrypted, pid, commands) if bot.encrypted is not None else None
        return Run(ready, plain, encrypted, resident(pid))


async def _bot(scratch: Path, url: str, ada: Person, bob: Person, *, encryption: bool) -> Contestant:
    name = "omnibot" if encryption else "omnibot-in-clear"
    home = scratch / name
    (home / "skills").mkdir(parents=True)
    new_key_file(home / "omnibot.key")
    password = await registered(url, name)
    (home / "password").write_text(password)
    (home / "skills" / "echo.py").write_text(_SKILL)
    mxid = f"@{name}:{_SERVER}"
    (home / "config.yaml").write_text(_CONFIG.format(url=url, mxid=mxid, encryption=str(encryption).lower()))
    command = [sys.executable, "-m", "omnibot", "run", "--config", str(home / "config.yaml")]
    return await _contestant(ada, bob, mxid, command, _env(scratch), encryption=encryption)


async def _nio(scratch: Path, url: str, ada: Person, bob: Person) -> Contestant:
    (home := scratch / "nio").mkdir()
    mxid = f"@nio:{_SERVER}"
    env = {**_env(scratch), "BENCH_PASSWORD": await registered(url, "nio")}
    command = [sys.executable, "-m", "bench.nioecho", url, mxid, str(home)]
    return await _contestant(ada, bob, mxid, command, env, encryption=True)


async def _contestant(
    ada: Person, bob: Person, mxid: str, command: Sequence[str], env: Mapping[str, str], *, encryption: bool
) -> Contestant:
    plain = await ada.room(bob.mxid, mxid, encrypted=False)
    encrypted = await ada.room(bob.mxid, mxid, encrypted=True) if encryption else None
    for room in filter(None, (plain, encrypted)):
        await bob.join(room)  # with three in it, it is nobody's private room
        await ada.until_in(room, bob.mxid)
    return Contestant(mxid, command, env, plain, encrypted)


def _env(scratch: Path) -> Mapping[str, str]:
    """Return the environment of a bot: one whose modules are compiled, as ``pip install`` leaves them."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**env, "PYTHONPYCACHEPREFIX": str(scratch / "compiled")}


async def registered(url: str, name: str) -> str:
    """Register somebody; return their password."""
    client, password = AsyncClient(url, name), secrets.token_hex(8)
    try:
        _good(await client.register(name, password))
        await client.logout()
    finally:
        await client.close()
    return password


def _good[T](answer: T) -> Any:
    assert not isinstance(answer, ErrorResponse), answer
    return cast(Any, answer)


def configured(home: Path, port: int) -> Path:
    """Write what Synapse reads; it wants YAML, which JSON is.  Nobody is too fast there."""
    home.mkdir()
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (home / "signing.key").write_text(f"ed25519 a_bench {seed}\n")
    (home / "log.json").write_text(json.dumps({"version": 1, "root": {"level": "ERROR"}}))
    parts = {
        "login": ("address", "account", "failed_attempts"),
        "joins": ("local", "remote"),
        "invites": ("per_room", "per_user", "per_issuer"),
    }
    settings = {
        "server_name": _SERVER,
        "public_baseurl": f"http://127.0.0.1:{port}/",
        "pid_file": str(home / "pid"),
        "listeners": [
            {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": [{"names": ["client"]}]}
        ],
        "database": {"name": "sqlite3", "args": {"database": str(home / "homeserver.db")}},
        "log_config": str(home / "log.json"),
        "media_store_path": str(home / "media"),
        "signing_key_path": str(home / "signing.key"),
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "federation_domain_whitelist": [],
        **{f"rc_{name}": _UNLIMITED for name in ("message", "registration", "room_creation", "joins_per_room")},
        **{f"rc_{name}": dict.fromkeys(each, _UNLIMITED) for name, each in parts.items()},
    }
    config = home / "homeserver.json"
    config.write_text(json.dumps(settings))
    return config


def _figures(bots: Sequence[Run], nios: Sequence[Run], in_clear: Sequence[Run]) -> Iterable[Figure]:
    floor = "plain nio"
    for what, with_loads in (
        ("in the clear", (_plain(bots), _plain(nios))),
        ("encrypted", (_sealed(bots), _sealed(nios))),
    ):
        ours, theirs = with_loads
        for percent in (50, 95, 99):
            waits = [tuple(load.wait(percent) for load in loads) for loads in (ours, theirs)]
            yield Figure(f"{what}: answered, {percent} %", "ms", waits[0], waits[1], floor)
        costs = [tuple(load.cost for load in loads) for loads in (ours, theirs)]
        yield Figure(f"{what}: CPU a command", "ms", costs[0], costs[1], floor)
    yield Figure("until it answers", "s", *_both(bots, nios, "ready"), floor)
    yield Figure("resident memory after it", "MB", *_both(bots, nios, "resident"), floor, 95)
    yield Figure("without encryption: CPU a command", "ms", tuple(one.plain.cost for one in in_clear))
    yield Figure("without encryption: until it answers", "s", tuple(one.ready for one in in_clear))
    yield Figure("without encryption: memory", "MB", tuple(one.resident for one in in_clear))


def _plain(runs: Sequence[Run]) -> list[Load]:
    return [one.plain for one in runs]


def _sealed(runs: Sequence[Run]) -> list[Load]:
    return [one.encrypted for one in runs if one.encrypted is not None]


def _both(runs: Sequence[Run], floors: Sequence[Run], name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(getattr(one, name) for one in runs), tuple(getattr(one, name) for one in floors)


def _sharing(ours: Sequence[Held], nios: Sequence[Held]) -> Iterable[Figure]:
    name = f"a key for {DEVICES} devices"
    for number, what in enumerate(("longest hold", "all of it")):
        taken = [tuple(one[number] for one in group) for group in (ours, nios)]
        yield Figure(f"{name}: {what}", "ms", taken[0], taken[1], "plain nio")
