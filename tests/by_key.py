"""A service that is linked by key: the demo service's API, under the keys that it gives to its people."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.skill import LinkedContext, Skill
from omnibot.testing.bench import ADA, Bench, Plan

KEYS = """
title: Demo keys
ways: [key]
key:
  label: API key
  url: "{base}/keys"
  hint: Your profile shows it.
signer: header:X-Demo-Key
scopes:
  notes:read: read your notes
  notes:write: write your notes
whoami:
  path: /api/me
  id: id
  login: login
  name: name
server:
  revoke_url: "{base}/revoke" # there is one, and a key is none of its business
"""


def keyed(plan: Plan, *providers: DemoProvider, **said: Any) -> Plan:
    """Return *plan* with the service ``keys``, found at *providers*: at more than one as ``keys@a``, ``keys@b``.

    Words *said* are more of the operator's settings.  Besides there is the skill `jot`.
    """
    folder = plan.directory / "catalogue"
    folder.mkdir(exist_ok=True)
    (folder / "keys.yaml").write_text(KEYS)
    if len(providers) == 1:
        settings = ProviderSettings(base=providers[0].origin, **said)
    else:
        named = {alias: one.origin for alias, one in zip("abcdef", providers, strict=False)}
        settings = ProviderSettings(instances=named, **said)
    return replace(
        plan, catalogue=folder, settings=(*plan.settings, ("keys", settings)), skills=(*plan.skills, jot_skill())
    )


def with_line(folder: Path, line: str) -> None:
    """Let the catalogue's file in *folder* have another *line*."""
    path = folder / "catalogue" / "keys.yaml"
    path.write_text(f"{path.read_text()}{line}\n")


def jot_skill() -> Skill:
    """Return a skill whose commands act with the key."""
    skill = Skill("jot")

    @skill.linked("keys", scopes=["notes:read"])
    async def jot(ctx: LinkedContext) -> str:
        """Show your notes."""
        return f"{ctx.account.login} has {len(await ctx.api.get('/api/notes'))} notes."

    @skill.linked("keys", scopes=["notes:write"], effect="change")
    async def add(ctx: LinkedContext, text: str) -> str:
        """Write a note."""
        await ctx.api.post("/api/notes", {"text": text})
        return f"Written as {ctx.account.login}."

    return skill


async def form(bench: Bench, browser: Browser, speaker: Identity = ADA, service: str = "keys") -> Browser:
    """Let *speaker* ask for a link, and *browser* walk to the form for the key."""
    await bench.say(f"!link {service}", speaker)
    await browser.open(bench.link_for(speaker))
    return await browser.press("Continue")


async def link_by_key(bench: Bench, key: str, speaker: Identity = ADA, service: str = "keys") -> list[str]:
    """Link with *key* by the form; return what is answered to the code."""
    async with Browser() as browser:
        await form(bench, browser, speaker, service)
        await browser.press("Connect", key=key)
        return await bench.say(f"!confirm {browser.code}", speaker)
