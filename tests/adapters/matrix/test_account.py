"""Logging in: one device, kept before the first login, and no other afterwards."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.matrix.account import Login, logged_in
from adapters.matrix.answers import Limited, MatrixError
from adapters.matrix.settings import Settings
from matrix_stand_in import BOT, PASSWORD, Fault, StandIn
from omnibot.errors import Refused
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore

ROW = f"login {BOT} omnibot"


def configured(server: StandIn, **options: Any) -> Settings:
    login = {} if "token" in options else {"password": Secret(PASSWORD)}
    return Settings.model_validate({"homeserver": server.url, "user": BOT} | login | options)


def kept(secrets: FakeStore) -> dict[str, str]:
    found: dict[str, str] = json.loads(secrets.rows[ROW])
    return found


async def test_one_login_for_ever() -> None:
    """The second start asks only whether the token is still the device's."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        first = await logged_in(configured(server), secrets)
        begin = len(server.asked)
        second = await logged_in(configured(server), secrets)

    assert first == second
    assert {"user": BOT, "device": first.device, "token": first.token} == kept(secrets)
    assert [("GET", "account/whoami", None)] == server.asked[begin:]


async def test_the_device_is_kept_before_the_login() -> None:
    """An answer that is lost leaves one device behind, and the next start goes on with it."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        server.fault("POST", "login", Fault(502, "<html>bad gateway</html>", done=True))
        with pytest.raises(MatrixError, match=r"^502$"):
            await logged_in(configured(server), secrets)
        begun = kept(secrets)
        login = await logged_in(configured(server), secrets)

    assert "" == begun["token"]
    assert {begun["device"]} == {device for _, device in server.tokens.values()} == {login.device}


async def test_a_login_cut_short_before_it_is_kept() -> None:
    """The homeserver has logged it in; `whoami` was not answered."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        server.fault("GET", "account/whoami", Fault(500))
        with pytest.raises(MatrixError):
            await logged_in(configured(server), secrets)
        begun = kept(secrets)
        login = await logged_in(configured(server), secrets)

    assert "" == begun["token"]
    assert begun["device"] == login.device


@pytest.mark.parametrize("soft", [True, False], ids=["soft", "hard"])
async def test_a_token_that_is_no_longer_good(soft: bool) -> None:
    """After a soft logout the same device logs in again; any other end is final."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        first = await logged_in(configured(server), secrets)
        server.fault(
            "GET", "account/whoami", Fault(401, {"errcode": "M_UNKNOWN_TOKEN", "error": "x", "soft_logout": soft})
        )
        if soft:
            second = await logged_in(configured(server), secrets)
            assert first.device == second.device
            assert first.token != second.token == kept(secrets)["token"]
        else:
            with pytest.raises(Refused, match="no longer accepts") as refused:
                await logged_in(configured(server), secrets)
            assert "device_name" in refused.value.cure
            assert first.token == kept(secrets)["token"]


async def test_a_configured_token_that_has_run_out() -> None:
    """There is no other way in: it is said once."""
    async with StandIn().up() as server:
        server.fault("GET", "account/whoami", Fault(401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True}))
        with pytest.raises(Refused, match="has run out") as refused:
            await logged_in(configured(server, token=Secret("short-lived")), FakeStore())

    assert "`token`" in refused.value.cure


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (("@other:hs.test", "D1"), "the homeserver takes the bot for @other:hs.test on D1"),
        ((BOT, "OTHER"), f"the homeserver takes the bot for {BOT} on OTHER"),
        ((BOT, ""), f"the homeserver takes the bot for {BOT} on no device"),
    ],
)
async def test_another_device_than_the_one_whose_keys_are_here(who: tuple[str, str], says: str) -> None:
    """Nobody could read what the bot says."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        first = await logged_in(configured(server), secrets)
        server.tokens[first.token] = who
        with pytest.raises(Refused, match=says):
            await logged_in(configured(server), secrets)


@pytest.mark.parametrize(
    ("who", "says", "cure"),
    [
        (("@other:hs.test", "D1"), "the token is @other:hs.test's", "Correct `user` or `token`"),
        ((BOT, ""), "the token belongs to no device", "logging in as the bot"),
        ((BOT, "D2"), "the token is of the device D2, and the keys kept here are of D1", "`device_name`"),
    ],
)
async def test_a_token_that_does_not_fit(who: tuple[str, str], says: str, cure: str) -> None:
    """It is refused, and what is kept stays."""
    secrets = FakeStore()
    secrets.rows[ROW] = json.dumps({"user": BOT, "device": "D1", "token": ""}).encode()
    async with StandIn().up() as server:
        server.tokens["given"] = who
        with pytest.raises(Refused, match=says) as refused:
            await logged_in(configured(server, token=Secret("given")), secrets)

    assert cure in refused.value.cure
    assert "D1" == kept(secrets)["device"]


async def test_a_token_that_fits() -> None:
    """The token itself is not kept a second time."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        server.tokens["given"] = (BOT, "D1")
        first = await logged_in(configured(server, token=Secret("given")), secrets)
        server.tokens = {"another": (BOT, "D1")}
        second = await logged_in(configured(server, token=Secret("another")), secrets)

    assert [Login(BOT, "D1", "given"), Login(BOT, "D1", "another")] == [first, second]
    assert "" == kept(secrets)["token"]
    assert "given" not in repr(first)


async def test_no_login_by_password() -> None:
    """The way out is told, and the password is not sent."""
    async with StandIn().up() as server:
        server.flows = ["m.login.sso", "m.login.token"]
        with pytest.raises(Refused, match="no login by password") as refused:
            await logged_in(configured(server), FakeStore())

    assert "mas-cli manage issue-compatibility-token" in refused.value.cure
    assert [] == server.requests("POST", "login")


def wrong_password(server: StandIn) -> None:
    server.fault("POST", "login", Fault(403, {"errcode": "M_FORBIDDEN", "error": "Invalid username or password"}))


def limited(server: StandIn) -> None:
    server.fault("POST", "login", Fault(429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 7000}))


def no_flows(server: StandIn) -> None:
    server.fault("GET", "login", Fault(200, {"flows": "none"}))


def down(server: StandIn) -> None:
    server.fault("POST", "login", Fault(503, {"errcode": "M_UNKNOWN", "error": "later"}))


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (wrong_password, Refused, "does not let the bot in"),
        (limited, Limited, "M_LIMIT_EXCEEDED"),
        (no_flows, Refused, "no login by password"),
        (down, MatrixError, "M_UNKNOWN later"),
    ],
)
async def test_a_login_that_fails(fault: Callable[[StandIn], None], kind: type[Exception], says: str) -> None:
    """Without the password in the words."""
    async with StandIn().up() as server:
        fault(server)
        with pytest.raises(kind, match=says) as failed:
            await logged_in(configured(server), FakeStore())

    assert PASSWORD not in str(failed.value)


async def test_another_device_name_begins_anew() -> None:
    """As the refusals tell people."""
    secrets = FakeStore()
    async with StandIn().up() as server:
        first = await logged_in(configured(server), secrets)
        second = await logged_in(configured(server, device_name="omnibot 2"), secrets)

    assert first.device != second.device
    assert "omnibot 2" == server.requests("POST", "login")[-1]["initial_device_display_name"]
