"""What the tests of the skills start from: a bot with all of them, and the demo service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench, Plan


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    """The service whose accounts are linked."""
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """What `bench` is made of."""
    return Plan(tmp_path, provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot with every skill that is shipped."""
    async with Bench.open(plan) as bench:
        yield bench
