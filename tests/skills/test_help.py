"""`help` lists what the asker may use here, and explains one."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from omnibot.catalogue import ProviderSettings
from omnibot.identity import Guest
from omnibot.policy import Rule
from omnibot.skill import Context, Skill
from omnibot.testing.bench import GRACE, Bench, Plan


async def test_it_lists_every_command(bench: Bench) -> None:
    """By path, each with its usage and what it does."""
    lines = (await bench.say("!help"))[0].split("\n")
    names = [line.split("`")[1].removeprefix("!") for line in lines]

    assert "- `!ping`: Answer at once" in lines
    assert "- `!notes delete <number>`: Delete one of your notes" in lines
    assert names == sorted(names)
    assert [one.usage("") for one in bench.core.book] == names


async def test_it_shows_only_what_the_asker_may(plan: Plan) -> None:
    """A guest, and somebody whom the operator forbids something."""
    async with Bench.open(replace(plan, rules=(Rule("fake:u-2", "ping", "deny"),))) as bench:
        guest = await bench.say("!help", Guest("fake", "bob"), bench.network.room("ops"))
        grace = await bench.say("!help", GRACE)

    assert ["- `!help [command…]`: List the commands, or explain one\n- `!ping`: Answer at once"] == guest
    assert "`!ping`" not in grace[0]
    assert "`!notes`" in grace[0]


async def test_it_explains_one(bench: Bench) -> None:
    """Usage, summary, what the docstring adds, and each argument; with or without the prefix, in any case."""
    said = await bench.say("!help link")
    lines = said[0].split("\n")

    assert "`!link <service> [key…] [--by <best|page|pin|key|device>]`" == lines[0]
    assert "Connect one of your accounts." == lines[1]
    assert "- `<service>`: its name, or name@place where there are several: `jupyterhub`, `redmine@work`" in lines
    assert said == await bench.say("!help !LINK")


async def test_it_lists_what_stands_below_a_word(bench: Bench) -> None:
    """The word itself included."""
    said = await bench.say("!help notes")

    assert [
        "- `!notes`: List your notes",
        "- `!notes add <text…>`: Write a note, as yourself",
        "- `!notes delete <number>`: Delete one of your notes",
        "- `!notes export`: Export your notes, which takes a while",
    ] == said[0].split("\n")
    assert "`!notes add <text…>`" in (await bench.say("!help notes add"))[0]


async def test_what_it_does_not_know_is_said(bench: Bench) -> None:
    """And what was asked is shown harmless."""
    said = await bench.say("!help *frob*")

    assert 1 == len(said)
    assert "`!help` lists what I can do." in said[0]
    assert "*frob*" not in said[0]


async def test_further_spellings_are_told(plan: Plan) -> None:
    """In what explains a command, which any of them finds; the list has it once."""
    skill = Skill("lamp")

    @skill.command(also=("switch on",))
    async def on(ctx: Context) -> str:
        """Switch it on."""
        return "on"

    async with Bench.open(replace(plan, skills=(*plan.skills, skill))) as bench:
        said = await bench.say("!help lamp switch on")
        listed = await bench.say("!help")
        done = await bench.say("!lamp switch on")

    assert ["`!lamp on`\nSwitch it on.\nAlso: `!lamp switch on`."] == said
    assert 1 == listed[0].count("lamp")
    assert ["on"] == done


async def test_many_commands_are_listed_by_their_first_words(plan: Plan) -> None:
    """Ninety lines are no help, on IRC above all; a skill's word lists what belongs to it."""
    many = Skill("many")
    for number in range(10):
        many.command(_numbered(number))
    skills = ("accounts", "following", "help", "ping", "redmine", "jenkins", many)
    settings = tuple((name, ProviderSettings(base="https://here.example")) for name in ("redmine", "jenkins"))
    async with Bench.open(replace(plan, skills=skills, provider=None, settings=settings)) as bench:
        (said,) = await bench.say("!help")
        (one,) = await bench.say("!help jenkins")

    assert "- `!jenkins`: abort, b, build, describe, last, list, log, ls, set auth" in said.split("\n")
    assert said.endswith("`!help WORD` tells more of each.")
    assert len(said.split("\n")) < 12
    assert "`!ping`" in said
    assert 9 == len(one.split("\n"))


def _numbered(number: int) -> Callable[[Context], Coroutine[Any, Any, str]]:
    async def one(ctx: Context) -> str:
        """Answer."""
        return str(number)

    one.__name__ = f"n{number}"
    return one
