"""Discord, two IRC networks, Matrix and a console at once: one bot, one loop, and Ada on all of them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from joined import code_in, persons
from journeys import irc_bots
from journeys.everywhere import Everywhere, OnDiscord, OnIrc, Servers, Voice, everywhere
from journeys.matrix_bots import Telling
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
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A bot that is on no network yet but a made-up one, where nobody is."""
    async with DemoProvider() as provider:
        async with Bench.open(Plan(tmp_path, (*SKILLS, Telling().skill), provider=provider)) as bench:
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
    code = code_in([await maker.ask("!join", "!join ", "Whoever asks you for it")])
    question = await typer.ask(f"!join {code}", "Is that you as well?")
    assert maker.identity in question
    since = len(maker.said())
    await typer.answered("yes, both are me", f"I have asked", maker.identity)
    await maker.hear("Your code was typed by", typer.identity, since=since)
    await maker.ask("!join yes", typer.identity, "are one person to me now")


async def become_one(world: Everywhere) -> None:
    """Link Ada's account on IRC, make her three identities one person, and open the account to all of them."""
    discord, irc, matrix = (world.voices[name] for name in KNOWN)
    assert isinstance(irc, OnIrc)
    await irc_bots.link(world.bench, irc.person)
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
    assert {name: 2 for name in heard} | {"discord": 3} == {name: len(texts) for name, texts in heard.items()}
    assert {"ready"} == {bot.supervisor.state for bot in world.bots.values()}


async def test_one_person_everywhere(world: Everywhere, bench: Bench) -> None:
    """A code goes either way; nothing opens by it; what is shared is used as Ada from each, and by nobody else."""
    discord, irc, matrix = three = [world.voices[name] for name in KNOWN]
    assert isinstance(irc, OnIrc)
    await irc_bots.link(bench, irc.person)
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
        told = await voice.ask("!whoami", "!split NETWORK:ID", f"for {irc.identity}")
        assert [True] * 3 == [one.identity in told for one in three], told
        assert f"{voice.identity} (here)" in told.replace("`", "")
    await world.voices["old"].ask("!notes", "Log in to its account services first")
    await world.voices["console"].ask("!notes", "To connect")
    whose = await persons(bench)
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT network, pseudonym, event FROM audit")
    acted = {(row["network"], row["pseudonym"]) for row in rows if row["event"] == "command"}

    assert 1 == len({whose[one.identity] for one in three})
    assert whose["console:ada"] != whose[irc.identity]
    assert {one.user for one in bench.provider.calls} == {"ada"}
    assert {*world.voices, "fake"} == {row["network"] for row in rows if row["event"] == "network.accepted"}
    assert {*KNOWN} == {network for network, _ in acted}
    assert 1 == len({pseudonym for _, pseudonym in acted}), "it is one person who acted"


async def test_each_server_is_killed_in_turn(
    world: Everywhere, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
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


async def test_each_server_falls_silent_in_turn(world: Everywhere, bench: Bench) -> None:
    """It says nothing and closes nothing, in the middle of an answer: nobody else waits for it."""
    await become_one(world)
    for name in SERVERS:
        proxy, voice = world.proxies[name], world.voices[name]
        before = as_they_are(world, name)
        since = len(voice.said())
        proxy.down.stall()
        proxy.up.stall()
        await voice.aloud("!tell echo late")
        await all_work(bench, world.others(name))
        assert before == as_they_are(world, name), f"while {name} was silent"
        assert "late" not in "\n".join(voice.said()[since:])
        proxy.stall(False)
        await voice.hear("late", since=since)
        await all_work(bench, [voice])
