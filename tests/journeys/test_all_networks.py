"""Discord, two IRC networks, Matrix and a console at once: one bot, one loop, and Ada on all of them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from joined import persons
from journeys import irc_bots
from journeys.everywhere import Everywhere, OnConsole, OnDiscord, OnIrc, Servers, Voice, everywhere
from journeys.matrix_bots import Telling
from journeys.walks import code_in
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople
from servers.discord.server import DiscordServer
from servers.faults import Faults
from servers.irc.server import Irc, Ngircd
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

SERVERS = ("discord", "irc", "old", "matrix")
KNOWN = ("discord", "irc", "matrix")
"""Where it is known who somebody is: on an IRC network without services everybody is a guest."""


@pytest.fixture
def telling() -> Telling:
    """What the bot can do besides."""
    return Telling()


@pytest.fixture
async def bench(tmp_path: Path, telling: Telling) -> AsyncIterator[Bench]:
    """A bot that is on no network yet but a made-up one, where nobody is."""
    skills = (*SKILLS, telling.skill)
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, skills, provider=provider)) as bench:
        yield bench


@pytest.fixture
def servers(discord_server: DiscordServer, irc: Irc, ngircd: Ngircd, synapse: Synapse) -> Servers:
    """Every server, up."""
    return Servers(discord_server, irc, ngircd, synapse)


@pytest.fixture
async def world(
    bench: Bench,
    servers: Servers,
    faults: Faults,
    discord_people: DiscordPeople,
    matrix_people: MatrixPeople,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Everywhere]:
    """The bot on all of them, with Ada; no network waits for long before it tries again."""
    monkeypatch.setattr("discord.backoff.ExponentialBackoff.delay", lambda _: 0.1)
    monkeypatch.setattr("adapters.irc.channels.FIRST_PAUSE", 0.1)
    monkeypatch.setattr("adapters.irc.nick.FIRST_PAUSE", 0.2)
    monkeypatch.setattr("adapters.matrix.adapter._FAILURES", 1)
    (ada,) = discord_people.come("ada")
    async with everywhere(bench, servers, faults, ada, await matrix_people.come("ada", "grace")) as world:
        yield world


async def join(maker: Voice, typer: Voice) -> None:
    """Make the two one person: a code of *maker*, typed by *typer*, and the last word is the maker's."""
    code = code_in(await maker.ask("!join", "Whoever asks you for it"))
    question = await typer.ask(f"!join {code}", "you as well?")
    assert maker.identity in question
    since = len(maker.said())
    await typer.answered("yes, both are me", "I have asked", maker.identity)
    await maker.hear("Your code was typed by", typer.identity, since=since)
    await maker.ask("!join yes", typer.identity, "are one person to me now")


async def linked(bench: Bench, irc: Voice) -> None:
    """Let Ada link an account on IRC, to read and to write there."""
    assert isinstance(irc, OnIrc)
    await irc_bots.link(bench, irc.person, "!notes add first")
    await irc.hear("is written as ada")


async def become_one(world: Everywhere) -> None:
    """Link Ada's account on IRC, make her three identities one person, and open the account to all of them."""
    discord, irc, matrix = (world.voices[name] for name in KNOWN)
    await linked(world.bench, irc)
    await join(discord, irc)
    await join(matrix, discord)
    await irc.ask("!share demo", discord.identity, matrix.identity, "Open it to them?")
    await irc.answered("yes", "may be used by")


async def all_work(bench: Bench, voices: Iterable[Voice]) -> None:
    """Have the bot answer everybody, aloud and in private, and act as Ada where she is known; all at the same time."""
    found = list(voices)
    echoes = [voice.echoed(aloud=aloud) for voice in found for aloud in (True, False) for _ in range(3)]
    notes = [voice.noted(bench) for voice in found if voice.network in KNOWN]
    await asyncio.gather(*echoes, *notes)


def as_they_are(world: Everywhere, but: str) -> dict[str, tuple[str, int]]:
    """Return, for every network *but* one, its state and how often the bot had to come again."""
    return {name: (bot.supervisor.state, len(bot.pauses)) for name, bot in world.bots.items() if name != but}


# ------------------------------------------------------------------------ the tests


async def test_the_same_skill_answers_everywhere(world: Everywhere) -> None:
    """Where others read along, in private, and by a slash command; each answer goes to its own network alone."""
    for aloud in (True, False):
        await asyncio.gather(*(voice.echoed(aloud=aloud) for voice in world.voices.values()))
    on_discord = world.voices["discord"]
    assert isinstance(on_discord, OnDiscord)
    slash = await on_discord.person.slash("tell echo", text="by slash").answer("you said by slash")
    heard = {name: voice.said() for name, voice in world.voices.items()}

    assert not slash.ephemeral
    assert dict.fromkeys(heard, 2) | {"discord": 3} == {name: len(texts) for name, texts in heard.items()}
    assert {"ready"} == {bot.supervisor.state for bot in world.bots.values()}


async def test_one_person_everywhere(world: Everywhere, bench: Bench) -> None:
    """A code goes either way; nothing opens by it; what is shared is used as Ada from each, and by nobody else."""
    discord, irc, matrix = three = [world.voices[name] for name in KNOWN]
    terminal = world.voices["console"]
    assert isinstance(terminal, OnConsole)
    await linked(bench, irc)
    await join(discord, irc)
    await join(matrix, discord)
    before = len(bench.provider.calls)
    for voice in (discord, matrix):
        await voice.ask("!notes", "To connect")
        await voice.ask("!accounts", f"for {irc.identity}")

    assert [] == bench.provider.calls[before:], "what was linked on IRC is not used from elsewhere"

    await irc.ask("!share demo", discord.identity, matrix.identity, "Open it to them?")
    await irc.answered("yes", "may be used by")
    for voice in three:
        await voice.noted(bench)
        told = await voice.ask("!whoami", *(one.identity for one in three), "(here)")
        if "!more" in told:  # a few lines at once, on IRC
            told += await voice.ask("!more", "for irc:ada")
        assert [True] == [voice.identity in line for line in told.splitlines() if "(here)" in line], told
        assert f"for {irc.identity}" in told
    await world.voices["old"].ask("!notes", "Log in to its account services first")
    await terminal.link(bench, "grace")
    await terminal.noted(bench, "grace")
    whose = await persons(bench)
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT * FROM audit")
    commands = [(row, json.loads(str(row["detail"]))) for row in rows if row["event"] == "command"]
    acted = [(row["network"], row["pseudonym"]) for row, detail in commands if detail["requests"]]

    assert 1 == len({whose[one.identity] for one in three})
    assert whose["console:ada"] != whose[irc.identity]
    assert {*KNOWN, "console"} == {network for network, _ in acted}, "where everybody is a guest, nobody can act"
    assert 1 == len({pseudonym for network, pseudonym in acted if network in KNOWN}), "it is one person who acted"
    assert 2 == len({pseudonym for _, pseudonym in acted})


async def test_each_server_is_killed_in_turn(world: Everywhere, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The others answer meanwhile, as if nothing were; it comes back by itself."""
    await become_one(world)
    for name in SERVERS:
        await world.stop(name)
        before = as_they_are(world, name)
        await all_work(bench, world.others(name))
        assert before == as_they_are(world, name), f"while {name} was down"
        await world.start(name)
        await world.is_back(name)
        await all_work(bench, [world.voices[name]])
    await all_work(bench, world.voices.values())

    assert [] == [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


async def test_each_server_falls_silent_in_turn(world: Everywhere, bench: Bench, telling: Telling) -> None:
    """It says nothing and closes nothing, in the middle of an answer: nobody else waits for it."""
    await become_one(world)
    for name in SERVERS:
        proxy, voice = world.proxies[name], world.voices[name]
        before = as_they_are(world, name)
        since = len(voice.said())
        await voice.aloud("!tell later")
        await telling.begun.wait()
        proxy.stall()
        telling.gate.set()
        await all_work(bench, world.others(name))
        assert before == as_they_are(world, name), f"while {name} was silent"
        assert "at last" not in "\n".join(voice.said()[since:])
        proxy.stall(False)
        await voice.hear("at last", since=since)
        telling.begun.clear()
        telling.gate.clear()
        await all_work(bench, [voice])
