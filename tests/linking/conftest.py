"""What the tests of linking start from: a demo service, and a bot that knows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.message import Channel
from omnibot.ports import free_port
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    """The service whose accounts are linked."""
    async with DemoProvider(port=free_port()) as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    """What `bench` is made of; ``Bench.open(replace(plan, …))`` makes another."""
    return Plan(tmp_path, skills=("accounts", "ping", "notes"), provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot with a public address, one rich network, and the demo service."""
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
def room(bench: Bench) -> Channel:
    """A room with others in it."""
    return bench.network.room("ops", ADA, GRACE)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The browser of whoever links."""
    async with Browser() as browser:
        yield browser
