"""What a homeserver answers becomes an error that says what to do, and repeats nothing that was sent."""

from typing import Any

import pytest
from nio.client.async_client import AsyncClient
from nio.responses import SyncError

from adapters.matrix.account import config
from adapters.matrix.answers import Limited, LoggedOut, MatrixError, ask, call, error_of, good, path
from matrix_stand_in import Fault, StandIn
from omnibot.errors import Refused

WHOAMI = path("account", "whoami")


@pytest.mark.parametrize(
    ("status", "body", "kind", "says", "seconds"),
    [
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}, Limited, "M_LIMIT_EXCEEDED", 1.5),
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 3_600_000}, Limited, "M_LIMIT_EXCEEDED", 60.0),
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 0}, Limited, "M_LIMIT_EXCEEDED", 0.1),
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": -5}, Limited, "M_LIMIT_EXCEEDED", 0.1),
        (429, {"errcode": "M_LIMIT_EXCEEDED"}, Limited, "M_LIMIT_EXCEEDED", 5.0),
        (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": "soon"}, Limited, "M_LIMIT_EXCEEDED", 5.0),
        (429, "<html>slow down</html>", Limited, "M_LIMIT_EXCEEDED", 5.0),
        (401, {"errcode": "M_UNKNOWN_TOKEN"}, Refused, "no longer accepts the bot's login", None),
        (401, {"errcode": "M_MISSING_TOKEN"}, Refused, "no longer accepts the bot's login", None),
        (401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": True}, LoggedOut, "M_UNKNOWN_TOKEN", None),
        (401, {"errcode": "M_UNKNOWN_TOKEN", "soft_logout": "yes"}, Refused, "no longer accepts", None),
        (403, {"errcode": "M_USER_DEACTIVATED"}, Refused, "deactivated", None),
        (403, {"errcode": "M_USER_LOCKED"}, Refused, "locked", None),
        (403, {"errcode": "M_USER_SUSPENDED"}, Refused, "suspended", None),
        (403, {"errcode": "M_FORBIDDEN", "error": "no\x1b[31m\n" + "x" * 300}, MatrixError, "^M_FORBIDDEN no", None),
        (502, "<html>bad gateway</html>", MatrixError, "^502$", None),
        (500, "[1, 2]", MatrixError, "^500$", None),
        (401, {"flows": []}, MatrixError, "^401$", None),
    ],
    ids=str,
)
async def test_errors(status: int, body: Any, kind: type[Exception], says: str, seconds: float | None) -> None:
    """By code first, then by status; waiting is bounded on both sides."""
    async with StandIn().up() as server:
        server.fault("GET", "account/whoami", Fault(status, body))
        with pytest.raises(kind, match=says) as failed:
            await asked(server)

    assert kind is type(failed.value)
    assert seconds == getattr(failed.value, "seconds", None)
    assert "html" not in str(failed.value)
    assert not {"\x1b", "\n"} & set(str(failed.value))
    assert 250 > len(str(failed.value))


async def asked(server: StandIn, where: str = WHOAMI) -> Any:
    client = AsyncClient(server.url, "@bot:hs.test", config=config(encryption_enabled=False))
    client.access_token = "secret-token"
    try:
        return await call(client, "GET", where)
    finally:
        await client.close()


async def test_a_demand_keeps_the_whole_answer() -> None:
    """Of 401 the rest is needed."""
    async with StandIn().up() as server:
        server.fault("GET", "account/whoami", Fault(401, {"session": "s", "flows": []}))
        with pytest.raises(MatrixError) as failed:
            await asked(server)

    assert {"session": "s", "flows": []} == failed.value.said
    assert 401 == failed.value.status


@pytest.mark.parametrize("body", ["", "no json", "[]", "5", "[" * 100_000], ids=lambda one: one[:10])
async def test_an_answer_that_is_no_object(body: str) -> None:
    """It is nothing, for those who want an object."""
    async with StandIn().up() as server:
        server.fault("GET", "account/whoami", Fault(200, body))

        assert {} == await asked(server)


async def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end."""
    monkeypatch.setattr("adapters.matrix.answers._LONGEST_ANSWER", 1000)
    async with StandIn().up() as server:
        server.fault("GET", "account/whoami", Fault(200, "x" * 5000))
        with pytest.raises(MatrixError, match="too long"):
            await asked(server)


async def test_nobody_answers() -> None:
    """The token is in no words."""
    async with StandIn().up() as server:
        pass
    with pytest.raises((MatrixError, OSError)) as failed:
        await asked(server)

    assert "secret-token" not in repr(failed.value)


async def test_without_a_token() -> None:
    """Nothing is said of one."""
    async with StandIn().up() as server:
        client = AsyncClient(server.url, "@bot:hs.test", config=config(encryption_enabled=False))
        try:
            said = await ask(client, "GET", path("login"))
        finally:
            await client.close()

    assert {"flows": [{"type": "m.login.password"}]} == said


def test_a_path_is_made_of_segments() -> None:
    """Whatever is in them."""
    assert "/_matrix/client/v3/rooms/%21a%2Fb%3Ac%3F/send" == path("rooms", "!a/b:c?", "send")
    assert "/_matrix/client/v3/rooms/%3F" == path("rooms", "\ud800")
    assert "/_matrix/client/v3/join/r?via=a&via=b" == path("join", "r", via=["a", "b"])


def test_errors_of_nio() -> None:
    """They are raised; all else is passed on."""

    def error(code: str, retry: int | None = None, *, soft: bool = False) -> SyncError:
        return SyncError("no", code, retry, soft)

    with pytest.raises(Limited) as limited:
        good(error("M_LIMIT_EXCEEDED", 2000))
    with pytest.raises(LoggedOut):
        good(error("M_UNKNOWN_TOKEN", soft=True))
    with pytest.raises(MatrixError, match=r"^M_BAD_JSON no$"):
        good(error("M_BAD_JSON"))

    assert 2.0 == limited.value.seconds
    assert "fine" == good("fine")
    assert isinstance(error_of("", "", 429, None), Limited)
