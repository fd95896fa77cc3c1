"""A28, A30 and A31 on IRC and the console: what is repeated, comes late, is another program's, or quotes a command.

IRC knows no edits and no replies.  But a bouncer or the server plays back what was said while somebody was away, one
line may come twice with the server's id of it, a connection that hung brings what is old; other bots and relays sit in
the same channel; and people quote by hand.  On the console there is one who types, and their quotes.

What must hold: what is played back, what the server says is old or has said before, and what another bot says runs
nothing; a command stands at the beginning of a line of its own speaker's, and not behind a quote.

What remains: a network without ``server-time`` and ``msgid`` cannot tell an old line from a new one; `omnibot check`
says which of them a network lacks.
"""

import asyncio
import io
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters import console
from adapters.irc import hearing
from adapters.irc.hearing import Hearing
from irc_stand_in import StandIn
from journeys.irc_bots import bot_on, plain, soon
from omnibot import Context, Skill, dispatcher
from omnibot.message import STALE_AFTER
from omnibot.testing.bench import SKILLS, Bench, Plan

deeds = Skill("deeds")


@deeds.command
async def do(ctx: Context) -> str:
    """Do something that can be seen."""
    return "it is done"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that does things."""
    return Plan(plan.directory, (*SKILLS, deeds), provider=plan.provider)


def told(server: StandIn) -> list[str]:
    """Return what was said of deeds."""
    return [one for one in server.said if "it is done" in one]


def stamp(ago: float) -> str:
    """Return the tag of a line that was said *ago* seconds before now."""
    return f"time={datetime.fromtimestamp(time.time() - ago, UTC):%Y-%m-%dT%H:%M:%S.000Z}"


async def tried(bench: Bench, *lines: tuple[str, str], batch: str = "") -> list[str]:
    """Let ada say *lines*, of tags and text, in ``#ops``, in a *batch* if that is one; return what was done of it."""
    options = plain(0, allow_plain=True, epochs="none")
    async with StandIn().up() as server, bot_on(bench, options | {"port": server.port}) as bot:
        await bot.is_in("#ops")
        if batch:
            server.send(f":srv BATCH +b1 {batch} #ops")
        for tags, text in lines:
            server.tell("ada", text, "ada", to="#ops", tags=";".join(filter(None, ["batch=b1" if batch else "", tags])))
        if batch:
            server.send(":srv BATCH -b1")
        server.tell("ada", "!ping", "ada", to="#ops")
        await server.until("pong")
        await bench.settle()
        return told(server)


def as_if_said_now(patch: pytest.MonkeyPatch) -> None:
    """Hear what is played back like anything else."""
    patch.setattr(hearing, "_OLD", frozenset())


@pytest.mark.attack("A30", sabotage=as_if_said_now)
@pytest.mark.parametrize("batch", ["chathistory", "draft/chathistory", "znc.in/playback"])
async def test_what_is_played_back_runs_nothing(bench: Bench, batch: str) -> None:
    """However new it is."""
    assert [] == await tried(bench, ("", "!deeds do"), (stamp(1), "!deeds do"), batch=batch)


def anything_goes(patch: pytest.MonkeyPatch) -> None:
    """Run whatever is heard."""
    patch.setattr(dispatcher, "why_deaf", lambda *_: None)


@pytest.mark.attack("A30", sabotage=anything_goes)
async def test_what_is_old_by_the_servers_clock_runs_nothing(bench: Bench) -> None:
    """As after a connection that hung; and the same from the future."""
    assert [] == await tried(bench, (stamp(STALE_AFTER + 60), "!deeds do"), (stamp(-3600.0), "!deeds do"))


@pytest.mark.attack("A30", sabotage=lambda patch: patch.setattr(dispatcher.Seen, "again", lambda *_: False))
async def test_one_line_twice(bench: Bench) -> None:
    """By the server's own id of it."""
    assert 1 == len(await tried(bench, ("msgid=m1", "!deeds do"), ("msgid=m1", "!deeds do")))


@pytest.mark.attack("A28", sabotage=anything_goes)
async def test_another_bot_runs_nothing(bench: Bench) -> None:
    """Where the network marks it as one, be it logged in to a person's account."""
    assert [] == await tried(bench, ("bot", "!deeds do"))


def wherever_it_stands(patch: pytest.MonkeyPatch) -> None:
    """Look for a command behind quotes and the names that relays put in front."""
    unaddressed = Hearing._unaddressed

    def unmarked(self: Hearing, text: str) -> tuple[str, bool]:
        said, addressed = unaddressed(self, text)
        return said[max(said.find("!"), 0) :], addressed

    patch.setattr(Hearing, "_unaddressed", unmarked)


QUOTED = [
    "> !deeds do",
    "omnibot: > !deeds do",
    "<ada> !deeds do",
    "<@ada> !deeds do",
    "[12:00] <ada> !deeds do",
    "ada: !deeds do",
    "\x0304<ada>\x0f !deeds do",
]


@pytest.mark.attack("A31", sabotage=wherever_it_stands)
@pytest.mark.parametrize("words", QUOTED)
async def test_a_quoted_command_is_not_run(bench: Bench, words: str) -> None:
    """By hand, as clients copy it from their windows, and by a relay that has no mark of a bot."""
    assert [] == await tried(bench, ("", words))


# --------------------------------------------------------------------- console


def quotes_and_all(patch: pytest.MonkeyPatch) -> None:
    """Take what is quoted for what is said."""
    patch.setattr(dispatcher, "unquoted", lambda text: text.lstrip("> "))


@pytest.mark.attack("A31", sabotage=quotes_and_all)
async def test_a_quote_on_the_console(bench: Bench, tmp_path: Path) -> None:
    """Pasted into the terminal."""
    typed, screen = tmp_path / "typed", io.StringIO()
    typed.write_text("> !deeds do\n!ping\n")
    with typed.open() as stdin:
        adapter = console.Adapter(bench.core.tools("here"), console.Settings(user="ada", history=False), stdin, screen)
        running = asyncio.create_task(bench.core.add_network("here", adapter).run())
        await soon(lambda: "pong" in screen.getvalue())
        running.cancel()
        await asyncio.wait([running])
    await bench.settle()

    assert "it is done" not in screen.getvalue()
