"""A62, crossed turns: with many people's turns interleaved, one acts with another's token.

Whoever keeps "the present user" anywhere that tasks share will, sooner or later, answer one person
with another's account.

What must hold: a turn carries its speaker, grant and sessions with it, through every await, renewal
and question.  The service is told in each request who spoke, and sees by the token who acts.

What remains: nothing known.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from omnibot import LinkedContext, Skill
from omnibot.accounts import Account
from omnibot.command import Effect
from omnibot.demo.faults import Handler
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.session import ApiSession, Journal, Lease, Sessions
from omnibot.testing.bench import SKILLS, Bench, Plan
from omnibot.vault import PersonKeys

PEOPLE = [
    Identity("fake", f"u-{name}", "", name.title())
    for name in ("ada", "bob", "cleo", "dan", "eve", "fay", "gus", "hal")
]
TURNS = 1000
WAITING = 18
"""Commands of one speaker at once; from twenty on, the bot asks for patience."""


class Watching(DemoProvider):
    """A demo service that notes who is said to speak, and whose token comes with it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str | None]] = []

    def _app(self) -> web.Application:
        app = super()._app()
        app.middlewares.append(self._watch)
        return app

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if "speaker" in request.query:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self.seen.append((request.query["speaker"], self._ledger.user_of(token)))
        return await handler(request)


def _skill(dice: random.Random) -> Skill:
    skill = Skill("turn")

    @skill.linked("demo")
    async def go(ctx: LinkedContext, number: int) -> str:
        """Dawdle, then say to the service who speaks."""
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        me = await ctx.api.get("/api/me", speaker=subject(ctx), number=number)
        return f"{number} {me['login']}"

    @skill.linked("demo")
    async def wait(ctx: LinkedContext) -> str:
        """Ask, then say to the service who spoke."""
        await ctx.api.get("/api/me", speaker=subject(ctx))
        answer = await ctx.ask("Who?")
        me = await ctx.api.get("/api/me", speaker=subject(ctx))
        return f"{answer} {me['login']}"

    return skill


def subject(ctx: LinkedContext) -> str:
    """Return who speaks, as the service calls them."""
    speaker = ctx.message.speaker
    assert isinstance(speaker, Identity)
    return speaker.subject.removeprefix("u-")


@pytest.fixture
async def provider() -> AsyncIterator[Watching]:
    async with Watching() as provider:
        yield provider


@pytest.fixture
def dice() -> random.Random:
    """Chance, the same at every run."""
    return random.Random(62)  # noqa: S311 - for the order of things


@pytest.fixture
async def bench(tmp_path: Path, provider: Watching, dice: random.Random) -> AsyncIterator[Bench]:
    """A bot where everybody has linked their own account."""
    async with Bench.open(Plan(tmp_path, provider=provider, skills=(*SKILLS, _skill(dice)))) as bench:
        for one in PEOPLE:
            await bench.link(one, one.subject.removeprefix("u-"))
        yield bench


class Shared:
    """One session for all, which each turn makes its own: the mistake that this is about."""

    def __init__(self) -> None:
        self.session: ApiSession | None = None

    def __call__(self, patch: pytest.MonkeyPatch) -> None:
        self.session = None

        def shared(
            sessions: Sessions,
            keys: PersonKeys,
            account: Account,
            lease: Lease,
            effect: Effect,
            journal: Journal,
        ) -> ApiSession:
            if self.session is None:
                self.session = ApiSession.__new__(ApiSession)
            instance = sessions._instances.get(account.provider, account.instance)
            self.session.__init__(sessions, keys, account, instance, lease, effect, journal)  # type: ignore[misc]
            return self.session

        patch.setattr(Sessions, "session", shared)


@pytest.mark.attack("A62", sabotage=Shared())
async def test_nobody_acts_with_anothers_token(bench: Bench, provider: Watching, dice: random.Random) -> None:
    """In a thousand turns of eight people, with renewals between, every request carries its speaker's token."""
    room = bench.network.room("all", *PEOPLE)
    asked = 0
    while asked < TURNS:
        lines = [(one, asked + n) for n, one in enumerate(PEOPLE * WAITING)][: TURNS - asked]
        asked += len(lines)
        dice.shuffle(lines)
        provider.expire_access_tokens()
        await asyncio.gather(*(bench.network.hear(f"!turn go {n}", one, dice.choice([None, room])) for one, n in lines))
        await bench.settle()
    crossed = [(who, acts) for who, acts in provider.seen if acts != who]
    told = {one: {text.split()[1] for text in bench.network.private_texts(one) if text[0].isdigit()} for one in PEOPLE}
    answers = [text for one in PEOPLE for text in bench.network.private_texts(one) if text[0].isdigit()]

    assert [] == crossed
    assert TURNS == len(answers)
    assert TURNS <= len(provider.seen)
    assert {one: {one.subject.removeprefix("u-")} for one in PEOPLE} == told


@pytest.mark.attack("A62", sabotage=Shared())
async def test_nor_after_a_question(bench: Bench, provider: Watching, dice: random.Random) -> None:
    """Everybody is asked, and answers in another order; each goes on as themselves."""
    await asyncio.gather(*(bench.network.hear("!turn wait", one) for one in PEOPLE))
    await bench.settle()
    order = dice.sample(PEOPLE, len(PEOPLE))
    await asyncio.gather(*(bench.network.hear(one.display, one) for one in order))
    await bench.settle()
    last = {one: bench.network.private_texts(one)[-1] for one in PEOPLE}

    assert [] == [(who, acts) for who, acts in provider.seen if acts != who]
    assert {one: f"{one.display} {one.subject.removeprefix('u-')}" for one in PEOPLE} == last
