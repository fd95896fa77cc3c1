"""What the attacks start from: a demo service, and a bot that knows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.demo.provider import DemoProvider
from omnibot.ports import free_port
from omnibot.testing.bench import Bench, Plan


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    """The service whose accounts are linked."""
    async with DemoProvider(port=free_port()) as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """What `bench` is made of; ``Bench.open(replace(plan, …))`` makes another."""
    return Plan(tmp_path, provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot with a public address, one rich network, and the demo service."""
    async with Bench.open(plan) as bench:
        yield bench
