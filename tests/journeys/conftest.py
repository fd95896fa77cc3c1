"""What the journeys start from: a real OpenID provider, and a bot that knows it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.catalogue import ProviderSettings
from omnibot.message import Channel
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.processes import OidcServer


@pytest.fixture
def plan(tmp_path: Path, oidc: OidcServer) -> Plan:
    """What `bench` is made of; ``Bench.open(replace(plan, …))`` makes another."""
    settings = ProviderSettings(
        client_id=oidc.client_id,
        client_secret=Secret(oidc.client_secret),
        issuer=oidc.issuer,
        api=f"{oidc.issuer}/api",
        scopes=("api:read", "api:write"),
        methods=("GET", "POST"),
    )
    return Plan(tmp_path, settings=(("oidc", settings),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot with a public address on loopback, one rich network, and the OpenID provider."""
    async with Bench.open(plan) as bench:
        yield bench


@pytest.fixture
def room(bench: Bench) -> Channel:
    """A room with others in it."""
    return bench.network.room("ops", ADA, GRACE)
