"""The pytest plugin for authors of skills: the fixture ``bench``, a running bot with their skills.

It is there wherever omnibot and pytest are installed.  Two settings of pytest's say what the
bot can do: ``omnibot_skills``, names as in the bot's configuration (by default the shipped
ones), and ``omnibot_skills_dir``, a folder of one's own skills.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from omnibot.testing.bench import Bench

pytest.register_assert_rewrite("omnibot.testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two settings."""
    parser.addini("omnibot_skills", "skills of the bench, by name", type="args", default=[])
    parser.addini("omnibot_skills_dir", "folder of skills of the bench", type="string", default="")


@pytest_asyncio.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> "AsyncIterator[Bench]":
    """Give a bot without a network under it, with the demo service to link; it ends with the test."""
    from omnibot.registry import find_skills
    from omnibot.testing import Bench, FakeProvider, Plan
    from omnibot.testing.bench import SKILLS

    folder = request.config.getini("omnibot_skills_dir")
    names = request.config.getini("omnibot_skills") or SKILLS
    skills = find_skills(names, request.config.rootpath / folder if folder else None)
    async with FakeProvider() as provider, Bench.open(Plan(tmp_path, skills=skills, provider=provider)) as opened:
        yield opened
