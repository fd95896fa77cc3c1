"""How the bot itself is let in on an IRC network: its login to services, and the server's certificate."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.irc_bots import bot_on, logging_in, over_tls, plain, soon, works
from omnibot.testing.bench import Bench, Plan
from servers.faults import Faults
from servers.irc.client import People
from servers.irc.server import Account, Irc


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bot that is on no IRC network yet."""
    async with Bench.open(Plan(tmp_path)) as bench:
        yield bench


def account_of_the_bot(irc: Irc) -> str:
    """Return the account that the network says the bot is logged in to."""
    return next((line.params[2] for line in irc.oper("WHOIS omnibot") if line.command == "330"), "")


async def test_with_a_password(bench: Bench, irc: Irc, people: People) -> None:
    """SASL PLAIN, over TLS whose certificate is pinned."""
    own = irc.register("omnibot")
    tls = {"fingerprint": f"sha256:{irc.fingerprint}"}
    async with bot_on(bench, plain(irc.tls_port, tls=tls, **logging_in(own))) as bot:
        (ada,) = await people.come(irc.port, "ada")
        await bot.is_in("#ops")
        await ada.join("#ops")
        await works(ada)

        assert "omnibot" == account_of_the_bot(irc)


async def test_with_a_certificate(bench: Bench, irc: Irc) -> None:
    """SASL EXTERNAL."""
    own, shown = irc.register("omnibot"), irc.own_certificate("omnibot")
    irc.nickserv(own, f"CERT ADD {shown.fingerprint}")
    tls = {"ca": str(irc.ca), "certificate": str(shown.path), "key": str(shown.key_path)}
    async with bot_on(bench, over_tls(irc, tls=tls, sasl={"mechanism": "EXTERNAL"})) as bot:
        await bot.is_in("#ops")

        assert "omnibot" == account_of_the_bot(irc)


async def test_a_wrong_password_is_final(
    bench: Bench, irc: Irc, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried once, and said once, with the cure and without the password."""
    irc.register("omnibot")
    proxy = await faults.before(irc.tls_port)
    with caplog.at_level(logging.DEBUG, "omnibot"):
        wrong = logging_in(Account("omnibot", "the-wrong-one"))
        async with bot_on(bench, over_tls(irc, port=proxy.port, **wrong)) as bot:
            await soon(lambda: bot.supervisor.state == "refused")

    refused = [record.message for record in caplog.records if "turned the bot away" in record.message]
    assert [True] == ["Correct sasl in the configuration" in one for one in refused]
    assert "the-wrong-one" not in caplog.text
    assert (1, []) == (proxy.accepted, bot.pauses)


async def test_another_certificate_than_the_pinned_one(bench: Bench, irc: Irc) -> None:
    """Nothing is said to that server."""
    tls = {"fingerprint": f"sha256:{'0' * 64}"}
    async with bot_on(bench, plain(irc.tls_port, tls=tls)) as bot:
        await soon(lambda: bot.supervisor.state == "refused")

    assert [] == bot.pauses
    assert not any("omnibot!" in line for line in irc.log())


async def test_a_certificate_of_an_unknown_authority(bench: Bench, irc: Irc) -> None:
    """It is not taken, and tried again later: the server may be mended."""
    async with bot_on(bench, plain(irc.tls_port, tls=True)) as bot:
        await soon(lambda: len(bot.pauses) >= 2)

    assert not any("omnibot!" in line for line in irc.log())
