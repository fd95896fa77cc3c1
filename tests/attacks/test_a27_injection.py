"""A27: commands, CTCP, formatting and directions on IRC, in what a service's API returns.

Somebody writes a title with line ends and controls in it, and waits for the bot to show it.

What must hold: whatever a skill says, escaped or as it stands, leaves as PRIVMSG to whoever asked, a line at a
time, within 512 bytes, with no control but formatting of the bot's own.
"""

import re
import unicodedata

import pytest

from adapters.irc import lines, saying
from adapters.irc.speech import IrcRenderer
from irc_stand_in import StandIn
from journeys.irc_bots import bot_on, on_old, over_tls, plain
from omnibot import Context, Skill
from omnibot.markup import fmt
from omnibot.testing.bench import SKILLS, Bench, Plan
from omnibot.testing.conformance import EVIL
from servers.irc.client import People
from servers.irc.server import Irc, Ngircd

WORST = (
    f"{EVIL} {'long ' * 150}\r\nNICK smuggled\r\nJOIN #smuggled\x00\nPRIVMSG #ops :\x01VERSION smuggled\x01"
    "\u2029\x0304,05red\x0f"
)
OURS = re.compile("[\x02\x1d\x11\x1e]")

titles = Skill("titles")


@titles.command
async def escaped(ctx: Context) -> str:
    """Show data as it should be shown."""
    return str(fmt("Title: {}", WORST))


@titles.command
async def careless(ctx: Context) -> str:
    """Show data as it stands."""
    return f"Title: {WORST}"


def as_it_stands(patch: pytest.MonkeyPatch) -> None:
    """Send what is to be said as it is."""
    patch.setattr(saying, "pieces", lambda rendered, room: [rendered])
    patch.setattr(IrcRenderer, "text", lambda self, text: text)
    patch.setattr(lines, "_BREAKS", {})


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that shows titles."""
    return Plan(plan.directory, (*SKILLS, titles), provider=plan.provider)


def is_clean(text: str) -> bool:
    """Whether *text* has no control and no direction in it but the bot's own formatting."""
    return not any(
        unicodedata.category(one) in ("Cc", "Zl", "Zp", "Cs") or one == "\u202e" for one in OURS.sub("", text)
    )


@pytest.mark.attack("A27", sabotage=as_it_stands)
@pytest.mark.parametrize("command", ["escaped", "careless"])
async def test_nothing_but_one_command_a_line_leaves(bench: Bench, command: str) -> None:
    """Every byte that goes out, seen by a server that takes all of it."""
    async with StandIn().up() as server, bot_on(bench, plain(server.port, allow_plain=True, epochs="none")) as bot:
        await bot.is_in("#ops")
        begin = len(server.raw)
        server.tell("ada", f"!titles {command}", "ada", to="#ops")
        server.tell("eve", f"!titles {command}")
        await server.until("PRIVMSG eve")
        server.tell("eve", "!ping")
        await server.until("pong")
        sent = server.raw[begin:].removesuffix(b"\r\n").split(b"\r\n")
        texts = [one.decode() for one in sent]

        assert any("Title: before" in one for one in texts)
        assert {"PRIVMSG #ops", "PRIVMSG eve"} >= {" ".join(one.split(" ")[:2]) for one in texts}
        assert [] == [one for one in texts if not is_clean(one)]
        assert max(len(f":omnibot!bot@host {one}\r\n".encode()) for one in texts) <= 512


@pytest.mark.attack("A27", sabotage=as_it_stands)
@pytest.mark.parametrize("network", ["irc", "ngircd"])
async def test_a_real_server_takes_it_for_words(
    bench: Bench, people: People, request: pytest.FixtureRequest, network: str
) -> None:
    """The bot keeps its nick, stays, and goes nowhere."""
    server: Irc | Ngircd = request.getfixturevalue(network)
    options = over_tls(server) if isinstance(server, Irc) else on_old(server)
    async with bot_on(bench, options) as bot:
        (ada,) = await people.come(server.port, "ada")
        await bot.is_in("#ops")
        await ada.join("#ops")
        for command in ("escaped", "careless"):
            await ada.say("#ops", f"!titles {command}")
        await ada.say("#ops", "!ping")
        await ada.until(lambda line: line.nick == "omnibot" and ("pong" in line.text or line.command == "QUIT"))
        ours = [line for line in ada.lines if line.nick == "omnibot" and line.command != "JOIN"]

        assert 2 == sum("Title: before" in one.text for one in ours)
        assert {("PRIVMSG", "#ops"), ("PRIVMSG", "ada")} >= {(one.command, one.params[0]) for one in ours}
        assert [] == [one.raw for one in ours if not is_clean(one.text)]
