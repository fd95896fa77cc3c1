"""A service with things that several people may look at, beside the notes of the demo provider.

It stands before the demo provider as a sender does: ``/api/things/NAME`` is answered here, for whoever the
token names, with an entity tag of that person's own view; everything else goes on to the provider.  It keeps
the invariant of conditional requests as services do: 304 for the tag that it gave, 404 for whom a thing is not.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from omnibot import FollowContext, LinkedContext, Progress, Skill
from omnibot.demo.provider import DemoProvider
from omnibot.http import Http
from omnibot.testing.bench import Bench
from omnibot.wire import Answer, Request

PREFIX = "/api/things/"
EVERY = 5.0
LOOK = EVERY * 1.25
"""Seconds after which the next look is due, whatever its jitter."""


@dataclass(slots=True)
class Thing:
    """Something with a state, and who may see it; an empty set: everybody."""

    state: str
    readers: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a thing, and how it was answered."""

    user: str
    name: str
    """With the query, where there is one."""

    validator: str
    """What came as If-None-Match; empty: none."""

    status: int


class Things(Http):
    """Answers for the things, and sends all else on."""

    def __init__(self, provider: DemoProvider) -> None:
        """Know the people of *provider*."""
        super().__init__()
        self._provider = provider
        self.things: dict[str, Thing] = {}
        self.record: list[Asked] = []
        self.headers: dict[str, str] = {}
        """What stands in every answer, beside its tag."""

        self.status = 0
        """What everything is answered with, if not nought."""

    async def send(self, request: Request, **how: Any) -> Answer:
        """Answer for a thing; send all else on."""
        parts = urlsplit(request.url)
        if not parts.path.startswith(PREFIX):
            return await super().send(request, **how)
        name = parts.path.removeprefix(PREFIX)
        sent = {key.lower(): value for key, value in request.headers.items()}
        token = self._provider._ledger.access(sent.get("authorization", "").removeprefix("Bearer "))
        user = token.family.user if token is not None else ""
        answer = self._answer(user, name, sent) if user else Answer(401)
        asked = name + (f"?{parts.query}" if parts.query else "")
        self.record.append(Asked(user, asked, sent.get("if-none-match", ""), answer.status))
        return answer

    def _answer(self, user: str, name: str, sent: Mapping[str, str]) -> Answer:
        if self.status:
            return Answer(self.status, self.headers)
        thing = self.things.get(name)
        if thing is None or (thing.readers and user not in thing.readers):
            return Answer(404, self.headers)
        tag = f'W/"{user}-{thing.state}"'
        if sent.get("if-none-match") == tag:
            return Answer(304, {**self.headers, "etag": tag})
        body = json.dumps({"name": name, "state": thing.state, "seen_by": user}).encode()
        return Answer(200, {**self.headers, "etag": tag, "content-type": "application/json"}, body)


def things_skill() -> Skill:
    """Return a skill that follows things, told in private by ``watch`` and where it is said by ``show``."""
    skill = Skill("things")

    @skill.follower(every=EVERY)
    async def _look(ctx: FollowContext, name: str) -> Progress:
        found = await ctx.changed(f"{PREFIX}{name}")
        if found is None:
            return Progress("")
        return Progress(f"{name} is {found['state']} for {found['seen_by']}", done=found["state"] == "done")

    @skill.linked("demo")
    async def watch(ctx: LinkedContext, name: str) -> str:
        """Follow a thing, in private."""
        await ctx.follow(_look, name, name=name, lasting=86400)
        return "Watching."

    @skill.linked("demo", answer="channel")
    async def show(ctx: LinkedContext, name: str) -> str:
        """Follow a thing before everybody."""
        await ctx.follow(_look, name, name=name, lasting=86400)
        return "Showing."

    return skill


async def later(bench: Bench, seconds: float = LOOK) -> list[str]:
    """Let *seconds* pass and what is due be looked at; return what was said meanwhile."""
    before = len(bench.network.said)
    bench.clock.pass_(seconds)
    await bench.settle()
    return [said.reply.text for said in bench.network.said[before:]]
