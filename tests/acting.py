"""Commands that do what a test wants with the speaker's account, and what became of it."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider, TokenCall
from omnibot.http import Http
from omnibot.skill import LinkedContext, Skill
from omnibot.testing.bench import Bench
from omnibot.wire import Answer, Request


@contextmanager
def hurried(bench: Bench, seconds: float) -> Iterator[None]:
    """Let commands that begin in the block take *seconds* at most."""
    dispatcher = bench.core.dispatcher
    patient = dispatcher._services
    dispatcher._services = replace(patient, timeout=seconds)
    try:
        yield
    finally:
        dispatcher._services = patient


type Do = Callable[[LinkedContext], Awaitable[object]]


class Act:
    """Two linked commands that do what a test wants: ``!act`` may change things, ``!look`` may not."""

    def __init__(self) -> None:
        self.do: Do = self._nothing
        self.error: BaseException | None = None
        self.result: object = None
        self.skill = Skill("act", bare=True)

        async def act(ctx: LinkedContext) -> str:
            """Act."""
            return await self._run(ctx)

        async def look(ctx: LinkedContext) -> str:
            """Look."""
            return await self._run(ctx)

        self.skill.linked("demo", scopes=["notes:write"], effect="change")(act)
        self.skill.linked("demo", scopes=["notes:write"])(look)

    async def _run(self, ctx: LinkedContext) -> str:
        self.error, self.result = None, None
        try:
            self.result = await self.do(ctx)
        except BaseException as error:
            self.error = error
            raise
        return "done"

    async def _nothing(self, ctx: LinkedContext) -> object:
        return None


class Watching(Http):
    """The outward client, looked over the shoulder."""

    def __init__(self) -> None:
        super().__init__()
        self.look: Callable[[Request], Awaitable[None]] | None = None

    async def send(self, request: Request, **more: Any) -> Answer:
        if self.look is not None:
            await self.look(request)
        return await super().send(request, **more)


async def run(bench: Bench, act: Act, do: Do, command: str = "act") -> list[str]:
    """Let Ada's command do that; return what the bot said."""
    act.do = do
    return await bench.say(f"!{command}")


async def account_of(bench: Bench) -> Account:
    """Ada's account as it stands in the database."""
    rows = await bench.rows("SELECT id FROM accounts")
    found = await accounts.get(bench.core.database, bench.core.sealer, str(rows[0]["id"]))
    assert found is not None
    return found


def refreshes(provider: DemoProvider) -> list[TokenCall]:
    return [one for one in provider.exchanges if one.kind == "refresh"]


async def me(ctx: LinkedContext) -> object:
    return (await ctx.api.get("/api/me"))["login"]
