"""Journeys on a real IRC network: InspIRCd with Atheme's services, and ngIRCd, which knows no accounts."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.irc_bots import Bot, asked_link, bot_on, is_a, link, on_old, over_tls, said_by, soon, works
from omnibot import Context, Skill
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.irc.client import People
from servers.irc.server import Irc, Ngircd


def tell(gate: asyncio.Event) -> Skill:
    """Return a skill that says what it is told, much, or nothing before *gate* is open."""
    skill = Skill("tell")

    @skill.command
    async def echo(ctx: Context, text: str) -> str:
        """Say it again."""
        return f"{ctx.message.speaker.name} said {text}"

    @skill.command
    async def tale(ctx: Context) -> str:
        """Tell something long."""
        return "\n".join([f"- line {number}" for number in range(1, 11)] + ["Käse " * 120 + "end"])

    @skill.command
    async def later(ctx: Context) -> str:
        """Answer in a while."""
        await gate.wait()
        return "at last"

    return skill


@pytest.fixture
def gate() -> asyncio.Event:
    """What ``!tell later`` waits for, and so do the further commands of whoever said it."""
    return asyncio.Event()


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    """The service whose accounts are linked."""
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
async def bench(tmp_path: Path, provider: DemoProvider, gate: asyncio.Event) -> AsyncIterator[Bench]:
    """A bot that is on no IRC network yet."""
    async with Bench.open(Plan(tmp_path, (*SKILLS, tell(gate)), provider=provider)) as bench:
        yield bench


@pytest.fixture
async def bot(bench: Bench, irc: Irc) -> AsyncIterator[Bot]:
    """The bot on the network with services, over TLS; it is let in while the people are."""
    async with bot_on(bench, over_tls(irc)) as bot:
        yield bot


# -------------------------------------------------------------------- who is who


async def test_the_whole_way(bench: Bench, bot: Bot, irc: Irc, people: People) -> None:
    """Somebody who is logged in asks in a channel, gets a link in private, confirms, and the command runs as them."""
    (ada,) = await people.come(irc.port, irc.register("ada"))
    await bot.is_in("#ops")
    await ada.join("#ops")
    await link(bench, ada, "!notes")
    await ada.hear("You have no notes.", of="omnibot")


async def test_a_guest_is_told_how_to_log_in(bench: Bench, bot: Bot, irc: Irc, people: People) -> None:
    """Who is not logged in, may use what needs no account; for the rest there is one sentence, and no link."""
    (eve,) = await people.come(irc.port, "eve")
    await bot.is_in("#ops")
    await eve.join("#ops")
    await eve.say("#ops", "!notes")
    refusal = await eve.hear("Log in to its account services first, then try again.", of="omnibot")
    await works(eve)

    assert "#ops" == refusal.params[0]
    assert refusal.text.startswith("eve: ")
    assert [refusal.text, "eve: pong"] == said_by(eve)
    assert [] == await bench.rows("SELECT 1 FROM flows")


async def test_an_old_network_is_for_guests(
    bench: Bench, ngircd: Ngircd, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can be known there, which the log says once; commands that need no account work."""
    with caplog.at_level(logging.WARNING, "omnibot.network.net"):
        async with bot_on(bench, on_old(ngircd)) as bot:
            (ada,) = await people.come(ngircd.port, "ada")
            await bot.is_in("#ops")
            await ada.join("#ops")
            await ada.say("#ops", "!notes")
            await ada.hear("Log in to its account services first, then try again.", of="omnibot")
            await works(ada)
            await ada.say("omnibot", "!ping")
            private = await ada.hear("pong", of="omnibot")

    assert "ada" == private.params[0]
    assert 1 == sum("everybody is a guest here" in record.message for record in caplog.records)
    assert [] == await bench.rows("SELECT 1 FROM flows")


async def test_two_people_in_one_channel(bench: Bench, bot: Bot, irc: Irc, people: People) -> None:
    """They link and act at the same time and in the same place, each as themselves."""
    both = await people.come(irc.port, irc.register("ada"), irc.register("grace"))
    await bot.is_in("#ops")
    for person in both:
        await person.join("#ops")
    await asyncio.gather(*(link(bench, one, f"!notes add by {one.nick}") for one in both))
    for person in both:
        done = await person.hear("is written as", of="omnibot")
        assert (person.nick, True) == (done.params[0], f"\x02{person.nick}\x02" in done.text)

    assert (["by ada"], ["by grace"]) == (bench.provider.notes("ada"), bench.provider.notes("grace"))


async def test_a_thief_of_the_nick_hears_nothing_and_its_owner_does(
    bench: Bench, bot: Bot, irc: Irc, people: People, gate: asyncio.Event
) -> None:
    """She asks in private and is gone; another takes her nick; she comes back under another, and is answered there."""
    account = irc.register("ada")
    ada, again, eve = await people.come(irc.port, account, "countess", "eve")
    await bot.is_in("#ops")
    await ada.join("#ops")
    await link(bench, ada)
    for command in ("!tell later", "!notes"):
        await ada.say("omnibot", command)
    await ada.send("QUIT")
    await ada.gone()
    await eve.send("NICK ada")
    await eve.until(is_a("NICK"))
    await eve.join("#ops")
    await again.join("#ops")
    await again.identify(account)
    await eve.say("#ops", "!ping")
    await eve.hear("ada: pong", of="omnibot")
    gate.set()
    await again.hear("at last", of="omnibot")
    await again.hear("You have no notes.", of="omnibot")
    await eve.say("#ops", "!ping")
    await eve.hear("ada: pong", of="omnibot")

    assert ["ada: pong"] * 2 == said_by(eve)


async def test_a_thief_of_the_nick_of_somebody_in_no_channel(
    bench: Bench, bot: Bot, irc: Irc, people: People, gate: asyncio.Event
) -> None:
    """Of whom the bot shares no channel with, the network does not tell: it asks before it answers in private."""
    ada, eve = await people.come(irc.port, irc.register("ada"), "eve")
    await bot.is_in("#ops")
    await link(bench, ada, where="omnibot")
    for command in ("!tell later", "!notes"):
        await ada.say("omnibot", command)
    await ada.send("NICK countess")
    await ada.until(is_a("NICK"))
    await eve.send("NICK ada")
    await eve.until(is_a("NICK"))
    gate.set()
    await bench.settle()
    await eve.say("omnibot", "!ping")
    await eve.hear("pong", of="omnibot")
    await ada.say("omnibot", "!ping")
    await soon(lambda: ["You have no notes.", "pong"] == sorted(said_by(ada)[-2:]))

    assert ["pong"] == said_by(eve)
    assert ["countess"] * 2 == [line.params[0] for line in ada.lines if line.nick == "omnibot"][-2:]


@pytest.mark.parametrize("where", ["#ops", "#elsewhere"])
async def test_a_thief_of_the_nick_amid_a_slow_answer(
    bench: Bench, irc: Irc, people: People, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What flood control held back for her does not go to whoever has her nick by then, wherever she is."""
    monkeypatch.setattr("adapters.irc.outbox._VOUCHED", 0.0)
    slow = over_tls(irc, pace={"lines": 1, "seconds": 0.1, "bytes": 0})
    async with bot_on(bench, slow) as bot:
        ada, eve = await people.come(irc.port, irc.register("ada"), "eve")
        await bot.is_in("#ops")
        await ada.join(where)
        await ada.say("omnibot", "!tell tale")
        await ada.hear("line 1", of="omnibot")
        await ada.send("NICK countess")
        await ada.until(is_a("NICK"))
        await eve.send("NICK ada")
        await eve.until(is_a("NICK"))
        await bench.settle()
        await eve.say("omnibot", "!ping")
        await eve.hear("pong", of="omnibot")

    assert ["pong"] == said_by(eve)


async def test_a_logout_in_between(bench: Bench, bot: Bot, irc: Irc, people: People, gate: asyncio.Event) -> None:
    """Who has logged out is a guest at once: nothing is confirmed, and nothing private said, until they are back."""
    account = irc.register("ada")
    (ada,) = await people.come(irc.port, account)
    await bot.is_in("#ops")
    await ada.join("#ops")
    await ada.say("#ops", "!notes")
    url = await asked_link(ada)
    async with Browser() as browser:
        await bench.authorise(browser, url, "ada")
        await ada.logout()
        await ada.say("omnibot", f"!confirm {browser.code}")
        await ada.hear("Log in to its account services first", of="omnibot")
        linked = await bench.rows("SELECT 1 FROM accounts WHERE status = 'active'")
        await ada.identify(account)
        await ada.say("omnibot", f"!confirm {browser.code}")
    await ada.hear("You have no notes.", of="omnibot")
    await ada.hear("I have answered you in private.", of="omnibot")
    before = len(said_by(ada))
    for command in ("!tell later", "!notes"):
        await ada.say("omnibot", command)
    await ada.logout()
    await ada.say("omnibot", "!ping")
    await ada.hear("pong", of="omnibot")
    gate.set()
    await bench.settle()
    await ada.say("omnibot", "!ping")
    await ada.hear("pong", of="omnibot")
    meanwhile = said_by(ada)[before:]
    await ada.identify(account)
    await ada.say("omnibot", "!ping")
    await soon(lambda: ["You have no notes.", "pong"] == sorted(said_by(ada)[before + len(meanwhile) :]))

    assert [] == linked
    assert ["pong"] * 2 == meanwhile


# ------------------------------------------------------------------------- speech


async def test_a_long_answer(bot: Bot, irc: Irc, people: People) -> None:
    """Some lines are said in the channel, the rest in private to whoever asked, with no line too long to be whole."""
    ada, grace = await people.come(irc.port, irc.register("ada"), irc.register("grace"))
    await bot.is_in("#ops")
    for person in (ada, grace):
        await person.join("#ops")
    await ada.say("#ops", "!tell tale")
    told = await ada.hear("more lines: !more", of="omnibot")
    await grace.hear("more lines: !more", of="omnibot")
    public = said_by(grace)
    await grace.say("#ops", "!more")
    await grace.hear("There is no more.", of="omnibot")
    await ada.say("#ops", "!more")
    await ada.hear("more lines: !more", of="omnibot")
    await ada.say("omnibot", "!more")
    await ada.hear("end", of="omnibot")
    lines = [line for line in ada.lines if line.nick == "omnibot" and line.command == "PRIVMSG"]
    text = " ".join(line.text for line in lines if "!more" not in line.text)

    assert "#ops" == told.params[0]
    assert 6 == len(public)
    assert [*["#ops"] * 6, *["ada"] * (len(lines) - 6)] == [line.params[0] for line in lines]
    assert [f"line {number}" in text for number in range(1, 11)] == [True] * 10
    assert 120 == text.count("Käse")
    assert max(len(line.raw.partition(" :omnibot")[2].encode()) for line in lines) <= 502


async def test_fifty_people_at_once(bot: Bot, irc: Irc, people: People) -> None:
    """Each gets their own answers, in their order, and none is lost."""
    crowd = await people.come(irc.port, *(f"p{number}" for number in range(50)))
    await bot.is_in("#ops")
    for person in crowd[:25]:
        await person.send("JOIN #ops")
    for person in crowd:
        where = "#ops" if person in crowd[:25] else "omnibot"
        await person.send(*(f"PRIVMSG {where} :!tell echo {number}" for number in range(10)))
    for person in crowd:
        await person.hear(f"{person.nick} said 9", of="omnibot", within=60)

    for person in crowd[:25]:
        assert [f"{person.nick}: {person.nick} said {number}" for number in range(10)] == [
            text for text in said_by(person) if text.startswith(f"{person.nick}: ")
        ]
    for person in crowd[25:]:
        assert [f"{person.nick} said {number}" for number in range(10)] == said_by(person)


async def test_a_hundred_channels(bench: Bench, irc: Irc, people: People) -> None:
    """It is in all of them, and answers in the last as in the first."""
    irc.limit(maxchans="200")
    names = [f"#c{number}" for number in range(100)]
    async with bot_on(bench, over_tls(irc, channels=names)) as bot:
        (ada,) = await people.come(irc.port, irc.register("ada"))
        await bot.is_in(*names)
        for channel in (names[0], names[-1]):
            await ada.join(channel)
            await works(ada, channel)
        listed = [line.params[1] for line in irc.oper("LIST") if line.command == "322"]

    assert sorted(names) == sorted(listed)
