"""A bot whose network has a web login: what the tests of proving start from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.identity import Identity
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import Bench, Plan

ASKER = Identity("fake", "u-ada", "", "Ada")
"""Whom the login tells as ``ada``, by the id ``u-ada``."""

MALLORY = Identity("fake", "u-mallory", "", "Mallory")

DOOR = """
title: Door
discovery: true
scopes: {notes:read: see which account is yours}
base_scopes: [notes:read]
whoami: {path: /api/me, id: id, login: login}
identifies: fake
"""


def with_login(plan: Plan, door: DemoProvider) -> Plan:
    """Return *plan* with ``confirm: login`` on the network ``fake``, whose people have accounts at *door*."""
    catalogue = plan.directory / "catalogue"
    catalogue.mkdir(exist_ok=True)
    (catalogue / "door.yaml").write_text(DOOR)
    port = plan.port or free_port()
    door.register(DemoClient("omnibot-door", "door-secret", (f"http://127.0.0.1:{port}/callback/door/default",)))
    settings = ProviderSettings("omnibot-door", Secret("door-secret"), door.origin)
    return replace(
        plan,
        port=port,
        catalogue=catalogue,
        settings=(*plan.settings, ("door", settings)),
        logins=(("fake", "door@default"),),
    )


@asynccontextmanager
async def proving(directory: Path, **more: object) -> AsyncIterator[tuple[Bench, DemoProvider]]:
    """A bot that knows the demo service, and the login of its one network."""
    async with DemoProvider() as provider, DemoProvider() as door:
        plan = Plan(directory, skills=("accounts", "ping", "notes", "api"), provider=provider)
        async with Bench.open(replace(with_login(plan, door), **more)) as bench:  # type: ignore[arg-type]
            yield bench, door


async def reach_login(bench: Bench, browser: Browser, speaker: Identity = ASKER, say: str = "!link demo") -> Browser:
    """Let *speaker* ask, and *browser* press *Continue*: it stands at the login."""
    await bench.say(say, speaker)
    await browser.open(bench.link_for(speaker))
    return await browser.press("Continue")
