"""Skills of a running bot that come, go and change."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from omnibot.demo.provider import DemoProvider
from omnibot.errors import UserError
from omnibot.registry import find_skills
from omnibot.reloading import Reloading
from omnibot.testing.bench import GRACE, Bench, Plan

TEA = '''
"""Make tea."""

from omnibot import Context, FollowContext, LinkedContext, Progress, Skill

skill = Skill("tea", aliases=("t",))


@skill.command(cooldown=600, also=("please",))
async def make(ctx: Context) -> str:
    """Make some."""
    return "{answer}"


@skill.command
async def sort(ctx: Context) -> str:
    """Ask which."""
    return "a cup of " + await ctx.choose("Which?", ("green", "black"))


@skill.linked("demo", scopes=["notes:read"])
async def kinds(ctx: LinkedContext) -> str:
    """List them."""
    ctx.number(["green", "black"])
    return "1 green, 2 black"


@skill.linked("demo", scopes=["notes:read"])
async def kind(ctx: LinkedContext, number: int) -> str:
    """Name one."""
    return ctx.numbered(number)


@skill.follower(every=2)
async def steeping(ctx: FollowContext) -> Progress:
    return Progress("It steeps.")


@skill.linked("demo", scopes=["notes:read"])
async def steep(ctx: LinkedContext) -> str:
    """Wait for it."""
    await ctx.follow(steeping, "the tea")
    return "I wait."
'''


OTHER = """
from omnibot import Context, Skill

skill = Skill({})


@skill.command
async def {}(ctx: Context) -> str:
    \"\"\"Do nothing.\"\"\"
    return ""
"""


@pytest.fixture(autouse=True)
def _the_same_modules_after() -> Iterator[None]:
    """Other tests have imported from shipped skills what is imported anew here."""
    package = vars(import_module("skills"))
    before, known = dict(sys.modules), dict(package)
    yield
    sys.modules.update({name: module for name, module in before.items() if name.startswith("skills.")})
    package.update(known)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the operator's own skills are."""
    made = tmp_path / "skills"
    made.mkdir()
    write(made, "first")
    return made


def write(folder: Path, answer: str, code: str = TEA) -> None:
    """Let the file be as *code* says, and its command give *answer*."""
    (folder / "tea.py").write_text(code.replace("{answer}", answer), "utf-8")


@pytest.fixture
async def bench(folder: Path, tmp_path: Path) -> AsyncIterator[Bench]:
    skills = find_skills(["accounts", "following", "help", "ping"], folder)
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, skills=tuple(skills), provider=provider)) as bench:
        yield bench


@pytest.fixture
async def reloading(bench: Bench, folder: Path) -> Reloading:
    return Reloading(bench.core, folder)


async def test_what_has_changed_is_taken_up(bench: Bench, reloading: Reloading, folder: Path) -> None:
    """Also within the same second and with as many letters, which Python's own cache would not notice."""
    assert ["first"] == await bench.say("!tea make")
    write(folder, "other")
    done = await reloading.reload("tea")

    assert {"skills": ["tea"], "commands": 5} == done
    assert ["other"] == await bench.say("!t please")


async def test_everything_of_it_goes(bench: Bench, reloading: Reloading, folder: Path) -> None:
    """Commands, spellings, aliases, help; and what it leaves free can be taken by another."""
    await reloading.unload("tea")

    for line in ("!tea make", "!t make", "!tea please"):
        assert "I do not know that" in (await bench.say(line))[0]
    assert "tea" not in "".join(await bench.say("!help"))
    assert "tea" not in [one["name"] for one in reloading.listed()]
    await reloading.load("tea")
    assert ["first"] == await bench.say("!tea make")


async def test_a_cooldown_is_undone(bench: Bench, reloading: Reloading) -> None:
    """It was the other command's; others keep theirs."""
    await bench.say("!tea make")
    assert "Not so fast" in (await bench.say("!tea make"))[0]
    await reloading.reload("tea")

    assert ["first"] == await bench.say("!tea make")


async def test_numbers_of_its_lists_are_undone(bench: Bench, reloading: Reloading) -> None:
    """They may mean something else to the new code."""
    await bench.link()
    await bench.say("!tea kinds")
    assert ["black"] == await bench.say("!tea kind 2")
    await reloading.reload("tea")

    assert "I have shown you no list" in (await bench.say("!tea kind 2"))[0]


async def test_a_follow_goes_on_with_the_new_code_and_ends_with_the_skill(
    bench: Bench, reloading: Reloading, folder: Path
) -> None:
    """Its person is told why."""
    await bench.link()
    await bench.say("!tea steep")
    write(folder, "x", TEA.replace("It steeps.", "It steeps anew."))
    await reloading.reload("tea")
    said = await _later(bench)
    await reloading.unload("tea")
    after = await _later(bench)

    assert any("It steeps anew." in one for one in said), said
    assert any("is gone" in one for one in after), after
    assert [] == await bench.rows("SELECT id FROM follows")


async def _later(bench: Bench) -> list[str]:
    before = len(bench.network.said)
    bench.clock.pass_(10)
    await bench.settle()
    return [said.reply.text for said in bench.network.said[before:]]


async def test_a_command_under_way_ends_with_the_code_it_began_with(
    bench: Bench, reloading: Reloading, folder: Path
) -> None:
    """Also one that waits for an answer."""
    await bench.say("!tea sort")
    write(folder, "x", TEA.replace("a cup of", "a pot of"))
    await reloading.reload("tea")

    assert ["a cup of green"] == await bench.say("green")
    await bench.say("!tea sort", GRACE)
    assert ["a pot of green"] == await bench.say("green", GRACE)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def (", "tea.py:1"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import nowhere_at_all", "nowhere_at_all"),
        ("x = 1", "declares no skill"),
        (OTHER.format('"tea", aliases=("ping",)', "make"), "`ping` is taken"),
        (OTHER.format('"ping"', "ping"), '"ping" as well'),
    ],
)
async def test_what_cannot_be_loaded_changes_nothing(
    code: str, why: str, bench: Bench, reloading: Reloading, folder: Path
) -> None:
    """The old skill stays whole, and it is said what is wrong, and where."""
    modules = dict(sys.modules)
    write(folder, "", code)
    with pytest.raises(UserError) as refused:
        await reloading.reload("tea")

    assert why in str(refused.value)
    assert ["first"] == await bench.say("!tea make")
    assert ["pong"] == await bench.say("!ping")
    if "taken" not in why and "as well" not in why:
        assert modules == {name: module for name, module in sys.modules.items() if name in modules}


async def test_names_that_stand_for_nothing(reloading: Reloading) -> None:
    """Each refusal says what there is."""
    for act in (reloading.reload, reloading.load):
        with pytest.raises(UserError, match="tea"):
            await act("tee" if act == reloading.reload else "tea")
    with pytest.raises(UserError, match="There are: accounts"):
        await reloading.unload("tee")
    with pytest.raises(UserError, match="is not the name of a skill"):
        await reloading.load("pingg")
    core = sys.modules["omnibot.core"]
    for name in ("omnibot", "omnibot.core", "adapters.irc"):
        with pytest.raises(UserError, match="is no skill"):
            await reloading.load(name)
    assert sys.modules["omnibot.core"] is core


async def test_a_shipped_skill_comes_and_goes(bench: Bench, reloading: Reloading) -> None:
    """With its helpers, which others share."""
    await reloading.load("github")
    await reloading.load("forgejo")
    await reloading.reload("github")

    assert {"github", "forgejo"} <= {one["name"] for one in reloading.listed()}
    await reloading.unload("github")
    assert "github" not in {one["name"] for one in reloading.listed()}


async def test_helpers_of_a_shipped_skill_are_imported_anew_and_no_others(reloading: Reloading) -> None:
    """Whoever has imported what it does not use would else know two of each class."""
    await reloading.load("forgejo")
    forges, jenkins = import_module("skills._forges"), import_module("skills._jenkins_shown")
    await reloading.reload("forgejo")

    assert import_module("skills._forges") is not forges
    assert vars(sys.modules["skills"])["_forges"] is import_module("skills._forges")
    assert import_module("skills._jenkins_shown") is jenkins
    assert vars(sys.modules["skills"])["_jenkins_shown"] is jenkins


async def test_networks_hear_of_it(bench: Bench, reloading: Reloading) -> None:
    """Their menus are made anew; what failed is no news."""
    tools = bench.core.tools("fake")
    changed = tools.changed()
    await reloading.reload("tea")
    async with asyncio.timeout(1):
        await changed.wait()
    again = tools.changed()
    with pytest.raises(UserError):
        await reloading.load("pingg")

    assert not again.is_set()


async def test_a_module_that_hangs_holds_up_nobody_else(
    bench: Bench, reloading: Reloading, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot goes on with what it had; nothing else is loaded until it ends, and what it brings then is dropped."""
    write(folder, "late", f"import time\ntime.sleep(0.5)\n{TEA}")
    with monkeypatch.context() as patch:
        patch.setattr("omnibot.reloading._IMPORT_SECONDS", 0.05)
        with pytest.raises(UserError, match="was not imported within"):
            await reloading.reload("tea")
    with pytest.raises(UserError, match="still being imported"):
        await reloading.reload("ping")

    assert ["first"] == await bench.say("!tea make")
    await asyncio.wait([reloading._importing])
    await reloading.reload("ping")
    assert ["first"] == await bench.say("!tea make", GRACE)


async def test_what_is_taken_out_while_it_is_loaded_anew_stays_out(bench: Bench, reloading: Reloading) -> None:
    """One after the other, in the order they were asked for."""
    again, gone = asyncio.create_task(reloading.reload("tea")), asyncio.create_task(reloading.unload("tea"))
    await asyncio.gather(again, gone)

    assert "tea" not in [one["name"] for one in reloading.listed()]
