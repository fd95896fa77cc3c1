"""Somebody who writes a skill gets a bench by naming it."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_SKILL = '''
"""Say hello."""

from omnibot import Context, Skill, fmt

skill = Skill("hello")


@skill.command
async def hello(ctx: Context, name: str = "world") -> str:
    """Greet somebody."""
    return fmt("Hello, **{}**!", name)
'''

_TEST = """
async def test_hello(bench):
    assert await bench.say("!hello Ada") == ["Hello, **Ada**!"]


async def test_linked(bench):
    await bench.link()
    assert await bench.say("!notes") == ["You have no notes."]
"""


def test_the_fixture_runs_an_authors_own_skill(pytester: pytest.Pytester) -> None:
    """A folder with a skill and a test needs one setting, and no reinstall."""
    pytester.makeini("[pytest]\nasyncio_mode = auto\nomnibot_skills_dir = mine\n")
    folder = pytester.mkdir("mine")
    Path(folder / "hello.py").write_text(_SKILL, "utf-8")
    pytester.makepyfile(_TEST)

    result = pytester.runpytest_subprocess("-p", "no:omnibot", "-p", "omnibot.pytest_plugin", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=2)
