"""What goes wrong with an IRC network: the bot comes back by itself, into its channels, and goes on to work."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.irc_bots import Bot, bot_on, is_a, link, logging_in, over_tls, plain, soon, works
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench, Plan
from servers.faults import Faults
from servers.irc.client import People, Person
from servers.irc.server import Irc, Ngircd


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a minute for the next try."""
    monkeypatch.setattr("adapters.irc.channels.FIRST_PAUSE", 0.1)
    monkeypatch.setattr("adapters.irc.nick.FIRST_PAUSE", 0.2)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bot that is on no IRC network yet."""
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, provider=provider)) as bench:
        yield bench


@pytest.fixture
async def bot(bench: Bench, irc: Irc) -> AsyncIterator[Bot]:
    """The bot on the network with services, over TLS; it is let in while the people are."""
    async with bot_on(bench, over_tls(irc)) as bot:
        yield bot


async def together(irc: Irc, people: People, bot: Bot) -> Person:
    """Return somebody who is logged in, and for whom the bot works in ``#ops``."""
    (ada,) = await people.come(irc.port, irc.register("ada"))
    await bot.is_in("#ops")
    await ada.join("#ops")
    await works(ada)
    return ada


# ---------------------------------------------------------------- the connection


async def test_an_abrupt_cut(bench: Bench, irc: Irc, faults: Faults, people: People) -> None:
    """The connection ends without a word, with FIN or with RST."""
    proxy = await faults.before(irc.tls_port)
    async with bot_on(bench, over_tls(irc, port=proxy.port)) as bot:
        ada = await together(irc, people, bot)
        for rst in (False, True):
            proxy.cut(rst=rst)
            await ada.until(is_a("JOIN", of="omnibot"))
            await works(ada)

    assert 2 == len(bot.pauses)


async def test_a_half_open_link(
    bench: Bench, irc: Irc, faults: Faults, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes through and nothing closes: the bot asks, gets no answer, and leaves by itself."""
    monkeypatch.setattr("adapters.irc.machine.SILENCE", 0.5)
    monkeypatch.setattr("adapters.irc.machine.PONG_TIME", 3.0)
    proxy = await faults.before(irc.tls_port)
    async with bot_on(bench, over_tls(irc, port=proxy.port)) as bot:
        ada = await together(irc, people, bot)
        await asyncio.sleep(1.2)
        quiet = list(bot.pauses)
        monkeypatch.setattr("adapters.irc.machine.PONG_TIME", 0.5)
        monkeypatch.setattr("adapters.irc.link.CONNECT_SECONDS", 1.0)
        proxy.stall()
        await bot.is_out()
        proxy.stall(False)
        await ada.until(is_a("JOIN", of="omnibot"))
        await works(ada)

    assert [] == quiet, "a link that is only idle is kept"


async def test_refused_connections(bench: Bench, irc: Irc, faults: Faults, people: People) -> None:
    """Each further try waits longer; the first that is taken is enough."""
    proxy = await faults.before(irc.tls_port)
    await proxy.refuse()
    async with bot_on(bench, over_tls(irc, port=proxy.port)) as bot:
        await soon(lambda: len(bot.pauses) >= 5)
        await proxy.accept()
        ada = await together(irc, people, bot)
        await works(ada)

    assert [True] * 4 == [0.74 * 2**n < pause < 1.26 * 2**n for n, pause in enumerate(bot.pauses[:4])]


async def test_a_restart_of_the_server(bot: Bot, irc: Irc, people: People) -> None:
    """It is gone for a while, and everybody with it."""
    await together(irc, people, bot)
    await asyncio.to_thread(irc.stop)
    await soon(lambda: len(bot.pauses) >= 3)
    await asyncio.to_thread(irc.start)
    (grace,) = await people.come(irc.port, "grace")
    await bot.is_in("#ops")
    await grace.join("#ops")
    await works(grace)


async def test_a_kill(bot: Bot, irc: Irc, people: People) -> None:
    """An operator of the network throws the bot out."""
    ada = await together(irc, people, bot)
    irc.kill("omnibot")
    await ada.until(is_a("JOIN", of="omnibot"))
    await works(ada)

    assert 1 == len(bot.pauses)


async def test_a_ban_from_the_network_is_final(
    bot: Bot, irc: Irc, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    """The bot is not wanted there: it says so once, and stays away."""
    await together(irc, people, bot)
    with caplog.at_level(logging.WARNING, "omnibot.supervisor"):
        irc.ban("omnibot@*")
        await soon(lambda: bot.supervisor.state == "refused")

    refused = [record.message for record in caplog.records if "turned the bot away" in record.message]
    assert [True] == ["banned" in one for one in refused]


async def test_two_networks_of_which_one_is_dead(
    bench: Bench, bot: Bot, irc: Irc, ngircd: Ngircd, faults: Faults, people: People
) -> None:
    """Whether it refuses, or takes and says nothing: the other does not notice."""
    silent = await faults.before(ngircd.port)
    silent.stall()
    async with bot_on(bench, plain(silent.port), "old") as dead:
        ada = await together(irc, people, bot)
        await link(bench, ada)
        await works(ada)
        ngircd.stop()
        silent.stall(False)
        await soon(lambda: len(dead.pauses) >= 2)
        await works(ada)

    assert [] == bot.pauses
    assert "ready" == bot.supervisor.state


# ------------------------------------------------------------------ the channels


async def test_a_kick_and_a_ban(bench: Bench, irc: Irc, people: People, caplog: pytest.LogCaptureFixture) -> None:
    """After a while the bot is back in the channel, or as soon as the ban is gone."""
    (ada,) = await people.come(irc.port, irc.register("ada"))
    await ada.join("#ops")  # as the first, and so its operator
    async with bot_on(bench, over_tls(irc)) as bot:
        await ada.until(is_a("JOIN", of="omnibot"))
        await ada.send("KICK #ops omnibot :out")
        await ada.until(is_a("KICK"))
        await ada.until(is_a("JOIN", of="omnibot"))
        await works(ada)
        await ada.send("MODE #ops +b omnibot!*@*", "KICK #ops omnibot :out")
        await soon(lambda: "the bot is banned there" in caplog.text)
        await ada.send("MODE #ops -b omnibot!*@*")
        await ada.until(is_a("JOIN", of="omnibot"))
        await works(ada)

    assert [] == bot.pauses


async def test_a_netsplit(bench: Bench, bot: Bot, irc: Irc, people: People) -> None:
    """Whoever is on the other side is gone; when the servers meet again, they are known as before."""
    account = irc.register("ada")
    irc.join_leaf()
    (ada,) = await people.come(irc.leaf_node.port, "ada")
    await ada.identify(account)
    await bot.is_in("#ops")
    await ada.join("#ops")
    await link(bench, ada)
    irc.split()
    await ada.until(is_a("QUIT", of="omnibot"))
    await ada.say("#ops", "!notes")
    await bench.settle()
    lost = len(bench.provider.calls)
    irc.join_leaf()
    await ada.until(is_a("JOIN", of="omnibot"))
    await works(ada)
    await ada.say("#ops", "!notes")
    await ada.hear("You have no notes.", of="omnibot")

    assert len(bench.provider.calls) > lost
    assert [] == bot.pauses


# -------------------------------------------------------------------- the services


async def test_services_down_and_up(bench: Bench, irc: Irc, people: People) -> None:
    """Who is logged in stays so; a bot that has to log in stays away until it can, and is known again then."""
    own = irc.register("omnibot")
    async with bot_on(bench, over_tls(irc, **logging_in(own))) as bot:
        ada = await together(irc, people, bot)
        await link(bench, ada)
        await asyncio.to_thread(irc.services_down)
        await ada.say("#ops", "!notes")
        await ada.hear("You have no notes.", of="omnibot")
        irc.kill("omnibot")
        await soon(lambda: len(bot.pauses) >= 2)
        await asyncio.to_thread(irc.services_up)
        await ada.until(is_a("JOIN", of="omnibot"))
        await ada.say("#ops", "!notes")
        await ada.hear("You have no notes.", of="omnibot")
        await works(ada)

    assert "waiting" != bot.supervisor.state


# ------------------------------------------------------------------------ the nick


async def test_two_bots_of_one_nick(bench: Bench, bot: Bot, irc: Irc, people: People) -> None:
    """The second takes another nick, and the right one as soon as the first is gone."""
    ada = await together(irc, people, bot)
    async with bot_on(bench, over_tls(irc), "twin"):
        await ada.until(is_a("JOIN", of="omnibot_"))
        await works(ada, bot="omnibot_")
        await bot.stop()
        await ada.until(is_a("NICK", of="omnibot_"))
        await works(ada)


async def test_a_ghost_of_the_nick(bench: Bench, irc: Irc, people: People) -> None:
    """A bot that is logged in has services free its nick."""
    own = irc.register("omnibot")
    ghost, ada = await people.come(irc.port, "omnibot", "ada")
    await ada.join("#ops")
    async with bot_on(bench, over_tls(irc, **logging_in(own))):
        await ada.until(is_a("JOIN", of="omnibot_"))
        await ghost.gone()
        await ada.until(is_a("NICK", of="omnibot_"))
        await works(ada)
