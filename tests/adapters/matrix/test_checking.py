"""What `omnibot check` says of a Matrix network: it looks, and changes nothing."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.matrix import Adapter, Settings, check
from adapters.matrix.signing import Seeds
from omnibot.adapter import Finding, Tools
from omnibot.message import Message
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore
from servers.keyserver import KeyServer, device
from servers.synapse.server import Synapse

BOT, DEVICE = "@bot:hs.test", "OMNIBOT1"
LOGIN = f"login {BOT} omnibot"
NOWHERE = "http://127.0.0.1:1"


@dataclass
class Homeserver:
    """A homeserver that only tells, and notes what it was asked."""

    keys: KeyServer
    url: str = ""
    flows: list[str] = field(default_factory=lambda: ["m.login.password"])
    who: dict[str, Any] = field(default_factory=lambda: {"user_id": BOT, "device_id": DEVICE})
    status: int = 200
    """Of the answer to whoami."""

    asked: set[tuple[str, str]] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer *request*."""
        what = request.path.removeprefix("/_matrix/client/v3/")
        self.asked.add((request.method, what))
        self.tokens.add(request.headers.get("Authorization", ""))
        match what:
            case "login":
                return web.json_response({"flows": [{"type": one} for one in self.flows]})
            case "account/whoami":
                return web.json_response(self.who, status=self.status)
            case "keys/query":
                return web.json_response(self.keys.query(*(await request.json())["device_keys"]))
        return web.Response(status=404, text="<html>")


@pytest.fixture
async def home() -> AsyncIterator[Homeserver]:
    """A homeserver that knows the bot's device by the bot's token."""
    home = Homeserver(KeyServer())
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", home.answer)
    async with TestServer(app) as server:
        home.url = f"http://127.0.0.1:{server.port}"
        yield home


@pytest.fixture
def secrets() -> FakeStore:
    """What the adapter kept after its first start."""
    store = FakeStore()
    store.rows[LOGIN] = json.dumps({"user": BOT, "device": DEVICE, "token": "kept-token"}).encode()
    return store


async def findings(url: str, secrets: FakeStore, **options: Any) -> list[Finding]:
    """What is found, with a password unless *options* have a token; nothing of the adapter's has changed after it."""
    if "token" not in options:
        options["password"] = Secret("hunter2")
    before = dict(secrets.rows)
    tools = Tools("home", "!", FakeStore(), secrets, Path("/nowhere"), logging.getLogger("test"), list)
    found = await check(tools, Settings(homeserver=url, user=BOT, **options))
    assert before == secrets.rows
    assert "kept-token" not in str(found)
    return found


def levels(found: list[Finding]) -> list[str]:
    return [one.level for one in found]


async def test_a_signed_device_is_good(home: Homeserver, secrets: FakeStore, tmp_path: Path) -> None:
    """Only questions are asked, with the login that is kept."""
    bot = await device(home.keys, tmp_path, BOT, DEVICE, secrets=secrets)
    assert (await bot.sign()).yes
    found = await findings(home.url, secrets)

    assert ["good", "good"] == levels(found)
    assert f"{home.url} answers; the bot is {BOT} there, on the device {DEVICE}." == found[0].what
    assert found[1].what.startswith("device signed: yes (by the master key ")
    assert {("GET", "account/whoami"), ("POST", "keys/query")} == home.asked
    assert {"Bearer kept-token"} == home.tokens


async def test_a_device_that_is_not_signed_is_wrong(home: Homeserver, secrets: FakeStore, tmp_path: Path) -> None:
    """Its keys are there, and nothing else."""
    await device(home.keys, tmp_path, BOT, DEVICE, secrets=secrets)
    found = await findings(home.url, secrets)

    assert ["good", "wrong"] == levels(found)
    assert found[1].what.startswith("device signed: no (the bot does that when it starts")


async def test_keys_that_were_never_published_are_wrong(home: Homeserver, secrets: FakeStore) -> None:
    """Nobody could encrypt for the bot."""
    found = await findings(home.url, secrets)

    assert ["good", "wrong"] == levels(found)
    assert "the homeserver does not have this device's keys" in found[1].what


async def test_keys_of_somebody_else_are_told(home: Homeserver, secrets: FakeStore, tmp_path: Path) -> None:
    """The operator has to verify the device with them."""
    bot = await device(home.keys, tmp_path, BOT, DEVICE, secrets=secrets)
    home.keys.signing[BOT] = Seeds.made(BOT).upload(bot.machine)
    found = await findings(home.url, secrets)

    assert "wrong" == found[1].level
    assert f"cross-signing keys that are not the bot's, and they are left alone: verify the bot's device {DEVICE}" in (
        found[1].what
    )


async def test_before_the_first_start_nobody_logs_in(home: Homeserver) -> None:
    """The bot will."""
    found = await findings(home.url, FakeStore())

    assert ["good", "note"] == levels(found)
    assert "lets people log in by password" in found[0].what
    assert found[1].what.startswith("device signed: no (the bot logs in and signs its device when it first starts")
    assert {("GET", "login")} == home.asked


async def test_no_login_by_password_is_wrong(home: Homeserver) -> None:
    """It takes a token there."""
    home.flows = ["m.login.sso"]
    (found,) = await findings(home.url, FakeStore())

    assert "wrong" == found.level
    assert "has no login by password" in found.what
    assert "`token`" in found.cure


async def test_where_nothing_listens_is_wrong() -> None:
    """It says where it looked."""
    (found,) = await findings(NOWHERE, FakeStore())

    assert "wrong" == found.level
    assert found.what.startswith(f"{NOWHERE} does not answer as a homeserver does (")
    assert "Check `homeserver`" in found.cure


async def test_a_page_that_is_no_homeserver_is_wrong(home: Homeserver, secrets: FakeStore) -> None:
    """It answers with something, but not with this."""
    home.status, home.who = 404, {}
    (found,) = await findings(home.url, secrets)

    assert "wrong" == found.level
    assert "(404)" in found.what


async def test_another_device_is_wrong(home: Homeserver, secrets: FakeStore) -> None:
    """The keys that are kept would not be its."""
    home.who["device_id"] = "OTHER"
    (found,) = await findings(home.url, secrets)

    assert "wrong" == found.level
    assert f"on OTHER, and the keys kept here are of {BOT} on {DEVICE}" in found.what
    assert "`device_name`" in found.cure


@pytest.mark.parametrize(
    ("who", "what"),
    [
        ({"user_id": "@ada:hs.test", "device_id": DEVICE}, "the token is @ada:hs.test's"),
        ({"user_id": BOT, "device_id": "OTHER"}, "the token is of the device OTHER"),
        ({"user_id": BOT}, "the token belongs to no device"),
    ],
)
async def test_a_token_that_is_not_the_bots_is_wrong(
    home: Homeserver, secrets: FakeStore, who: dict[str, Any], what: str
) -> None:
    """It is another's, or another device's."""
    home.who = who
    (found,) = await findings(home.url, secrets, token=Secret("given-token"))

    assert "wrong" == found.level
    assert what in found.what
    assert {"Bearer given-token"} == home.tokens


async def test_a_login_that_was_revoked_is_wrong(home: Homeserver, secrets: FakeStore) -> None:
    """It says how to begin anew."""
    home.status, home.who = 401, {"errcode": "M_UNKNOWN_TOKEN", "error": "unknown"}
    (found,) = await findings(home.url, secrets)

    assert "wrong" == found.level
    assert "no longer accepts the bot's login" in found.what
    assert "`device_name`" in found.cure


async def test_a_login_that_ran_out_is_noted(home: Homeserver, secrets: FakeStore) -> None:
    """The bot logs in again by itself, but by a configured token."""
    home.status, home.who = 401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True}
    (found,) = await findings(home.url, secrets)
    (configured,) = await findings(home.url, secrets, token=Secret("short-lived"))

    assert ["note", "wrong"] == [found.level, configured.level]
    assert "the token has run out." == configured.what


async def test_beside_the_bot_that_runs(synapse: Synapse, tmp_path: Path) -> None:
    """On a real homeserver: before the first start and while it runs; there is one device all the time."""
    account, secrets, ready = synapse.register("bot"), FakeStore(), asyncio.Event()
    settings = Settings(homeserver=synapse.url, user=account.mxid, password=Secret(account.password))
    tools = Tools("home", "!", FakeStore(), secrets, tmp_path / "home", logging.getLogger("test"), list)

    async def is_ready(realm: str) -> None:
        ready.set()

    async def deliver(messages: Sequence[Message], position: str | None = None) -> None:
        pass

    before = await check(tools, settings)
    running = asyncio.create_task(Adapter(tools, settings).run(deliver, is_ready))
    try:
        async with asyncio.timeout(30):
            await ready.wait()
        found = await check(tools, settings)
    finally:
        running.cancel()
        await asyncio.wait([running])

    assert ["good", "note"] == levels(before)
    assert ["good", "good"] == levels(found), found
    assert found[1].what.startswith("device signed: yes (by the master key ")
    assert 1 == len(synapse.devices(account.mxid))


async def test_without_encryption_nothing_is_signed(home: Homeserver, secrets: FakeStore) -> None:
    """And nobody is asked for keys."""
    found = await findings(home.url, secrets, encryption=False)

    assert ["good", "note"] == levels(found)
    assert found[1].what.startswith("device signed: no (encryption is off")
    assert {("GET", "account/whoami")} == home.asked


async def test_a_clock_that_is_off_is_told(
    home: Homeserver, secrets: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the homeserver's own; that they agree goes without saying."""
    good = await findings(home.url, secrets, encryption=False)
    monkeypatch.setattr("adapters.matrix.checking.ahead", lambda headers, *_: 60.0 if "date" in headers else None)
    off = await findings(home.url, secrets, encryption=False)

    assert not [one for one in good if "clock" in one.what]
    assert "note" == off[-1].level
    assert "This machine's clock is 60 seconds ahead of that of 127.0.0.1." == off[-1].what
