"""What `omnibot check` says of an IRC network: it asks what the server can do, and registers nobody there."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.irc import Settings, check, checking
from adapters.irc.sts import key
from irc_stand_in import CAPS, StandIn
from omnibot.adapter import Finding, Tools
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore
from servers.irc.certificates import Authority
from servers.irc.server import Irc, Ngircd

ALL = f"{CAPS} labeled-response sasl=PLAIN,EXTERNAL"
LOGIN = {"mechanism": "PLAIN", "username": "omnibot", "password": Secret("hunter2")}


@asynccontextmanager
async def server(caps: str = ALL, tls: ssl.SSLContext | None = None) -> AsyncIterator[StandIn]:
    async with StandIn(caps).up(tls) as found:
        yield found


async def findings(server: StandIn, store: FakeStore | None = None, **options: Any) -> list[Finding]:
    """What is found; nobody was registered, and nothing but the question was said."""
    options = {"tls": False, "allow_plain": True, **options}
    settings = Settings.model_validate({"host": "127.0.0.1", "port": server.port, **options})
    store = store or FakeStore()
    tools = Tools("net", "!", store, FakeStore(), Path("/nowhere"), logging.getLogger("omnibot.tests.irc"), list)
    before = dict(store.rows)
    found = await check(tools, settings)

    assert before == store.rows
    assert {"CAP LS 302", "QUIT"} >= set(server.said)
    assert "hunter2" not in str(found)
    return found


def told(found: list[Finding], text: str) -> Finding:
    """The one finding that has *text* in it."""
    (one,) = [one for one in found if text in one.what]
    return one


async def test_a_server_that_can_all_is_good(tmp_path: Path) -> None:
    """Over TLS, with a login that it offers."""
    authority = Authority(tmp_path)
    shown = authority.server("irc", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.path, shown.key_path)
    async with server(tls=context) as up:
        found = await findings(up, tls={"ca": str(authority.path)}, sasl=LOGIN)
        unknown = await findings(up, tls=True)

    assert ["good"] * 3 == [one.level for one in found]
    assert "answers, over TLS." in found[0].what
    assert "the server offers the login by PLAIN." == found[1].what
    assert ["wrong"] == [one.level for one in unknown]
    assert "the certificate of 127.0.0.1 is not to be trusted" in unknown[0].what


@pytest.mark.parametrize("lacks", sorted(checking._COSTS))
async def test_what_a_lack_costs(lacks: str) -> None:
    """Each by itself."""
    async with server(" ".join(one for one in ALL.split() if one != lacks)) as up:
        found = await findings(up)

    assert checking._COSTS[lacks] == told(found, f"the server has no {lacks}.").why
    assert 1 == sum("the server has no" in one.what for one in found)


async def test_a_server_of_old() -> None:
    """It knows nothing of capabilities: everybody is a guest."""

    class Old(StandIn):
        def _answer(self, line: str) -> None:
            self.send(":srv 451 * :You have not registered")

    async with Old().up() as up:
        found = await findings(up)

    assert "Everybody is a guest" in told(found, "the server has no account-tag.").why


@pytest.mark.parametrize(
    ("caps", "required", "level", "says"),
    [
        ("sasl=EXTERNAL", True, "wrong", "the server logs in by EXTERNAL and not by PLAIN."),
        ("sasl=EXTERNAL", False, "note", "the server logs in by EXTERNAL and not by PLAIN."),
        ("", True, "wrong", "the server offers no login (sasl) now; services may be down."),
        ("sasl", True, "good", "the server offers the login by PLAIN."),
    ],
)
async def test_how_the_login_will_fare(caps: str, required: bool, level: str, says: str) -> None:
    """Without trying it."""
    async with server(f"{CAPS} {caps}") as up:
        found = await findings(up, sasl=LOGIN, require_sasl=required)

    assert level == told(found, says).level


async def test_no_login_is_noted() -> None:
    """It has its price."""
    async with server() as up:
        assert "note" == told(await findings(up), "the bot logs in to no account of its own.").level


@pytest.mark.parametrize(
    ("caps", "allowed", "says"),
    [
        ("", False, "there is no TLS, so that everybody is a guest."),
        ("", True, "there is no TLS, and people are known by their accounts."),
        ("sts=port=6697", True, "the server wants TLS, and the bot will go there over TLS (STS)."),
    ],
)
async def test_without_tls(caps: str, allowed: bool, says: str) -> None:
    """With what that means."""
    async with server(f"{ALL} {caps}") as up:
        assert "note" == told(await findings(up, allow_plain=allowed), says).level


async def test_a_policy_that_was_kept_is_heeded() -> None:
    """Where the bot would go over TLS, so does the check."""
    store = FakeStore()
    async with server() as up:
        store.rows[key("127.0.0.1")] = f"{up.port} 9999999 9999999999".encode()
        (found,) = await findings(up, store)

    assert "wrong" == found.level
    assert "STS" in found.what


async def test_a_list_in_several_lines_is_read_whole() -> None:
    """As long ones are."""

    class Long(StandIn):
        def _cap(self, rest: str) -> list[str]:
            first, *others = ALL.split()
            return [f":srv CAP * LS * :{first}", f":srv CAP * LS :{' '.join(others)}"] if "LS" in rest else []

    async with Long().up() as up:
        found = await findings(up, sasl=LOGIN)

    assert "note" not in [one.level for one in found if "TLS" not in one.what]


async def test_who_is_kept_out_is_told_so() -> None:
    """In the server's words."""
    async with server() as up:
        up.greeting = "ERROR :Closing Link: too many connections"
        (found,) = await findings(up)

    assert "wrong" == found.level
    assert "does not tell its capabilities: it says Closing Link: too many connections." in found.what


async def test_a_server_that_says_nothing_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left then."""
    monkeypatch.setattr(checking, "_SECONDS", 0.05)

    class Silent(StandIn):
        def _answer(self, line: str) -> None:
            pass

    async with Silent().up() as up:
        (found,) = await findings(up)

    assert "does not tell its capabilities: no word within 0 seconds." in found.what


async def test_where_nothing_listens_is_wrong(unused_tcp_port: int) -> None:
    """It says where it looked."""
    nowhere = StandIn()
    nowhere.port = unused_tcp_port
    (found,) = await findings(nowhere)

    assert "wrong" == found.level
    assert f"no connection to 127.0.0.1:{unused_tcp_port}" in found.what


# ------------------------------------------------------------------ real servers


async def real(port: int, **options: Any) -> list[Finding]:
    """What is found of a server on this machine, over a plain connection."""
    settings = Settings.model_validate(
        {"host": "127.0.0.1", "port": port, "tls": False, "allow_plain": True, **options}
    )
    log = logging.getLogger("omnibot.tests.irc")
    return await check(Tools("net", "!", FakeStore(), FakeStore(), Path("/nowhere"), log, list), settings)


async def test_inspircd_can_all_that_matters(irc: Irc) -> None:
    """With the login by its services."""
    found = await real(irc.port, sasl=LOGIN)

    assert "the server offers the login by PLAIN." in [one.what for one in found]
    assert not [one for one in found if "has no account-tag" in one.what or one.level == "wrong"]


async def test_ngircd_knows_nobody(ngircd: Ngircd) -> None:
    """Everybody is a guest there."""
    assert "note" == told(await real(ngircd.port), "the server has no account-tag.").level
