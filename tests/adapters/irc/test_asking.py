"""What `omnibot init` asks for an IRC network, and how it tries the answers."""

import asyncio
from typing import Any

import pytest

from adapters.irc import Settings, setup
from omnibot.adapter import Finding
from omnibot.errors import Refused
from omnibot.ports import free_port
from omnibot.provider import Secret
from servers.faults import HOST
from servers.irc.server import Irc, Ngircd


async def tried(**options: Any) -> list[Finding]:
    """What is found with such settings; the password is in none of it."""
    assert setup.attempt is not None
    found = list(await setup.attempt(Settings.model_validate({"host": HOST, "nick": "omnibot", **options})))

    assert "geheim" not in str(found)
    return found


def secured(irc: Irc, **options: Any) -> dict[str, Any]:
    return {"port": irc.tls_port, "tls": {"fingerprint": f"sha256:{irc.fingerprint}"}, **options}


def sasl(name: str, password: str) -> dict[str, Any]:
    return {"username": name, "password": Secret(password)}


async def test_it_logs_in_and_leaves_no_trace(irc: Irc) -> None:
    """No channel is joined, whatever is configured, and nobody of that nick is there any more."""
    irc.register("omnibot", "geheim-1")
    (found,) = await tried(**secured(irc, sasl=sasl("omnibot", "geheim-1"), channels=["#lab"]))

    assert "good" == found.level
    assert "lets the bot in as omnibot, logged in as omnibot." in found.what
    assert [] == irc.nicks()
    assert not [line for line in irc.log() if "JOIN" in line or "#lab" in line]


async def test_a_wrong_password_is_told(irc: Irc) -> None:
    """It is the services that refuse; the bot goes."""
    irc.register("omnibot", "right")
    (found,) = await tried(**secured(irc, sasl=sasl("omnibot", "geheim-2")))

    assert ("wrong", "the login failed: services did not accept the name and password, key or certificate.") == (
        found.level,
        found.what,
    )
    assert [] == irc.nicks()


async def test_a_password_where_nobody_logs_in(irc: Irc) -> None:
    """The services are down."""
    irc.services_down()
    try:
        (found,) = await tried(**secured(irc, sasl=sasl("omnibot", "geheim-3")))
    finally:
        irc.services_up()

    assert "wrong" == found.level
    assert "offers no login just now" in found.what


async def test_who_needs_no_login(ngircd: Ngircd) -> None:
    """It works, and what cannot be done there is said."""
    good, *notes = await tried(port=ngircd.port, tls=False)

    assert ["good", "note"] == [good.level, *{note.level for note in notes}], notes
    assert notes[-1].what.startswith("nobody can be known there")


async def test_a_certificate_that_nobody_knows(irc: Irc) -> None:
    """The operator is told how to pin it; another pin is refused."""
    (found,) = await tried(port=irc.tls_port)

    assert "wrong" == found.level
    assert "is not to be trusted" in found.what
    with pytest.raises(Refused, match=f"not the pinned one but sha256:{irc.fingerprint}"):
        await tried(port=irc.tls_port, tls={"fingerprint": "sha256:" + "00" * 32})


async def test_tls_at_a_plain_port(irc: Irc, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest mistake: InspIRCd waits for the end of a line then."""
    monkeypatch.setattr("adapters.irc.link.CONNECT_SECONDS", 0.3)
    (found,) = await tried(port=irc.port)

    assert "wrong" == found.level
    assert "a port without it may say nothing at all" in found.cure


async def test_nobody_there() -> None:
    """Host and port are named."""
    port = free_port()
    (found,) = await tried(port=port, tls=False)

    assert "wrong" == found.level
    assert f"no connection to {HOST}:{port}" in found.what


async def test_who_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who says nothing at all: a port of something else."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    found = []
    monkeypatch.setattr("adapters.irc.asking._SECONDS", 0.3)
    monkeypatch.setattr("adapters.irc.asking._GOODBYE", 0.1)
    for answer in (hang_up, say_nothing):
        async with await asyncio.start_server(answer, HOST, port := free_port()):
            found += await tried(port=port, tls=False)

    assert ["wrong", "wrong"] == [one.level for one in found]
    assert "closed the connection" in found[0].what
    assert "did not let the bot in within" in found[1].what


@pytest.mark.parametrize(
    ("key", "answer", "value"),
    [
        ("host", "irc.libera.chat", "irc.libera.chat"),
        ("tls", "Yes", True),
        ("tls", "n", False),
        ("tls", "sha256:ab", {"fingerprint": "sha256:ab"}),
        ("port", "6697", 6697),
        ("channels", "lab, #a &b", ["#lab", "#a", "&b"]),
    ],
)
def test_answers_are_read_as_they_were_meant(key: str, answer: str, value: object) -> None:
    """As an option of the network."""
    (question,) = [one for one in setup.questions if key == one.key]

    assert value == question.value(answer)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("host", "irc://irc.libera.chat"),
        ("host", "a b"),
        ("host", "irc.libera.chat:6697"),
        ("tls", "maybe"),
        ("port", "66x7"),
        ("port", "99999"),
    ],
)
def test_mistakes_are_told_at_once(key: str, answer: str) -> None:
    """In words."""
    (question,) = [one for one in setup.questions if key == one.key]

    with pytest.raises(ValueError, match=r"\w+ \w+"):
        question.value(answer)


def test_how_it_is_brought_to_people() -> None:
    """By name: the channels, and the command that invites."""
    (there,) = setup.invite(Settings(host=HOST, nick="bot", channels=["#lab", "#x"]))
    nowhere = setup.invite(Settings(host=HOST, nick="bot"))

    assert "It joins #lab, #x by itself; where only the invited may: /invite bot #lab" == there
    assert "/invite bot #channel" in nowhere[0]
