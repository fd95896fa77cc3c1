"""TLS on a real IRC network, and logging in by keys: what is believed, what is refused, and what is never said."""

import asyncio
import base64
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from journeys.irc_bots import NICK, Bot, bot_on, link, over_tls, plain, soon, works
from omnibot.demo.provider import DemoProvider
from omnibot.provider import Secret
from omnibot.testing.bench import Bench, Plan
from servers.faults import Faults, Proxy
from servers.irc.certificates import Certificate
from servers.irc.client import People
from servers.irc.server import Irc

ONLY_CAPABILITIES = b"CAP LS 302\r\n"
"""All that may be said to a server before TLS is spoken, where that is to be."""


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    """The service whose accounts are linked."""
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """What each bot is made of; the next one in a test is the same after a restart."""
    return Plan(tmp_path, provider=provider)


def account_of_the_bot(irc: Irc) -> str:
    """Return the account that the network says the bot is logged in to."""
    return next((line.params[2] for line in irc.oper(f"WHOIS {NICK}") if line.command == "330"), "")


def ports_of_the_bot(irc: Irc) -> set[str]:
    """Return the server's ports on which it has let the bot in."""
    said = [line.partition("Client connecting on port ")[2] for line in irc.log() if f" {NICK}!" in line]
    return {one.partition(" ")[0] for one in said} - {""}


# --------------------------------------------------------------------- the login


async def test_only_a_certificate_that_services_know(
    plan: Plan, irc: Irc, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """Another is tried once, and said once with the cure; services are told of it, and it lets in."""
    own, hers, other = irc.register(NICK), irc.own_certificate("hers"), irc.own_certificate("other")
    irc.nickserv(own, f"CERT ADD {hers.fingerprint}")
    proxy = await faults.before(irc.tls_port)
    options = by_certificate(irc, other, port=proxy.port)
    async with Bench.open(plan) as bench:
        async with bot_on(bench, options) as bot:
            refusal = await refused_once(bot, proxy, caplog)
        never_in = ports_of_the_bot(irc)
        irc.nickserv(own, f"CERT ADD {other.fingerprint}")
        async with bot_on(bench, options, "again") as bot:
            await bot.is_in("#ops")

            assert NICK == account_of_the_bot(irc)

    assert set() == never_in
    assert "Correct sasl in the configuration" in refusal


def by_certificate(irc: Irc, shown: Certificate, **options: Any) -> dict[str, Any]:
    """Return the options of a bot that logs in by *shown*."""
    tls = {"ca": str(irc.ca), "certificate": str(shown.path), "key": str(shown.key_path)}
    return over_tls(irc, tls=tls, sasl={"mechanism": "EXTERNAL"}) | options


async def test_only_the_key_that_services_know(
    plan: Plan, irc: Irc, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """SASL ECDSA-NIST256P-CHALLENGE: what Atheme asks for is signed; with another key it is tried once."""
    caplog.set_level(logging.DEBUG, "omnibot")
    own, key, other = irc.register(NICK), *(ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    told = irc.nickserv(own, f"SET PUBKEY {public(key)}")
    proxy = await faults.before(irc.tls_port)
    async with Bench.open(plan) as bench:
        async with bot_on(bench, by_key(irc, other, port=proxy.port)) as bot:
            refusal = await refused_once(bot, proxy, caplog)
        async with bot_on(bench, by_key(irc, key), "again") as bot:
            await bot.is_in("#ops")

            assert NICK == account_of_the_bot(irc)

    assert [True] == ["set to" in one for one in told], told
    assert "Correct sasl in the configuration" in refusal
    assert "PRIVATE KEY" not in caplog.text


def by_key(irc: Irc, key: ec.EllipticCurvePrivateKey, **options: Any) -> dict[str, Any]:
    """Return the options of a bot that logs in by *key*."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return over_tls(irc, sasl={"mechanism": "ECDSA-NIST256P-CHALLENGE", "username": NICK, "key": Secret(pem)}) | options


def public(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the public part of *key* as NickServ wants it."""
    return base64.b64encode(key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)).decode()


async def refused_once(bot: Bot, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> str:
    """Return what the operator is told once *bot* is turned away for good: after one try, through *proxy*."""
    await soon(lambda: bot.supervisor.state == "refused")
    said = [record.getMessage() for record in caplog.records if "turned the bot away" in record.getMessage()]

    assert (1, [], 1) == (proxy.accepted, bot.pauses, len(said))
    return said[0]


# ---------------------------------------------------------------- the certificate


async def test_only_the_pinned_certificate(
    plan: Plan, irc: Irc, faults: Faults, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with another is left at once, though an authority vouches for it; what is said is all that one needs."""
    monkeypatch.setenv("SSL_CERT_FILE", str(irc.ca))
    proxy = await faults.before(irc.tls_port)
    async with Bench.open(plan) as bench:
        async with bot_on(bench, pinned(proxy, irc.own_certificate("other").fingerprint)) as bot:
            refusal = await refused_once(bot, proxy, caplog)
        _, _, shown = refusal.partition("sha256:")
        as_openssl_prints = ":".join(shown[at : at + 2] for at in range(0, 64, 2)).upper()
        async with bot_on(bench, pinned(proxy, as_openssl_prints), "again") as bot:
            await bot.is_in("#ops")

    assert irc.fingerprint == shown[:64]
    assert "correct `fingerprint`" in refusal


def pinned(proxy: Proxy, digest: str) -> dict[str, Any]:
    """Return the options of a bot that takes the certificate with that *digest*, and no other."""
    return plain(proxy.port, tls={"fingerprint": f"sha256:{digest}"})


@pytest.mark.parametrize(
    ("host", "known", "why", "cure"),
    [
        ("localhost", False, "unable to get local issuer certificate", "name its authority's file by tls: {ca: FILE}"),
        ("irc.example.org", True, "not valid for", "set host to a name that is in it"),
    ],
)
async def test_a_certificate_that_is_not_to_be_trusted(
    plan: Plan,
    irc: Irc,
    faults: Faults,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    known: bool,
    why: str,
    cure: str,
) -> None:
    """By nobody who is known, or for another name: each try ends before the server hears anything.

    The log tells why, and how to mend it; the pin is one way for both.
    """
    monkeypatch.setattr(socket, "getaddrinfo", here)
    proxy = await faults.before(irc.tls_port)
    tls = {"ca": str(irc.ca)} if known else True
    async with Bench.open(plan) as bench, bot_on(bench, plain(proxy.port, host=host, tls=tls)) as bot:
        await soon(lambda: len(bot.pauses) >= 2)

    said = [record.getMessage() for record in caplog.records if "is not to be trusted" in record.getMessage()]
    assert len(said) >= 2
    assert all(f"certificate of {host}" in one and why in one and cure in one for one in said), said
    assert all("tls: {fingerprint: sha256:" in one for one in said), said
    assert set() == ports_of_the_bot(irc)


def here(host: str, port: object, *rest: object, **more: object) -> list[Any]:
    """Return this machine's address, whatever *host* is."""
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]


# ------------------------------------------------- Strict Transport Security (IRCv3)


async def test_a_plain_port_leads_to_tls_for_good(
    plan: Plan, irc: Irc, faults: Faults, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is met once, for one line, and never again: not after a cut, not while TLS is down, not after a restart."""
    monkeypatch.setenv("SSL_CERT_FILE", str(irc.ca))
    irc.limit(usests="yes")
    account = irc.register("ada")
    proxy = await faults.before(irc.port)
    async with Bench.open(plan) as bench, bot_on(bench, plain(proxy.port)) as bot:
        (ada,) = await people.come(irc.port, account)
        await bot.is_in("#ops")
        await ada.join("#ops")
        await link(bench, ada, "!notes")
        irc.quit(NICK)
        await soon(lambda: len(bot.pauses) == 1)
        await bot.is_in("#ops")
        await works(ada)
        before = ports_of_the_bot(irc)
        await asyncio.to_thread(irc.stop)
        await soon(lambda: len(bot.pauses) >= 3)
        await asyncio.to_thread(irc.start)
        await bot.is_in("#ops")
    async with Bench.open(plan) as bench, bot_on(bench, plain(proxy.port)) as bot:
        (ada,) = await people.come(irc.port, account)
        await bot.is_in("#ops")
        await ada.join("#ops")
        await ada.say("#ops", "!notes")
        await ada.hear("You have no notes.", of=NICK)

    assert (1, len(ONLY_CAPABILITIES)) == (proxy.accepted, proxy.up.passed)
    assert {str(irc.tls_port)} == before | ports_of_the_bot(irc)


async def test_who_is_sent_to_tls_does_not_come_back_without_it(
    plan: Plan, irc: Irc, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """Not if the certificate there is not to be trusted either, which is tried again and again."""
    irc.limit(usests="yes")
    proxy = await faults.before(irc.port)
    async with Bench.open(plan) as bench, bot_on(bench, plain(proxy.port)) as bot:
        await soon(lambda: len(bot.pauses) >= 3)

    assert (1, len(ONLY_CAPABILITIES)) == (proxy.accepted, proxy.up.passed)
    said = [record.getMessage() for record in caplog.records if "is not to be trusted" in record.getMessage()]
    assert len(said) >= 2
    assert all("the server wants TLS, whatever `tls` says" in one and "tls: {ca: FILE}" in one for one in said), said
    assert set() == ports_of_the_bot(irc)
