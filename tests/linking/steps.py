"""Steps that the tests of linking take, and what they look at afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from omnibot import accounts
from omnibot.accounts import Account
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.identity import Identity
from omnibot.linking import flows
from omnibot.linking.flows import Flow
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, PASTE_PORT, Bench, Plan
from omnibot.wire import Answer, Request

PASTED = f"http://127.0.0.1:{PASTE_PORT}/callback/demo/default"


async def authorised(bench: Bench, browser: Browser, speaker: Identity = ADA, login: str = "ada") -> str:
    """Let *speaker* ask for a link, and *browser* walk to the page with the code; return the code."""
    await bench.say("!link demo", speaker)
    await bench.authorise(browser, bench.link_for(speaker), login)
    return browser.code


async def pasted(bench: Bench, speaker: Identity = ADA, login: str = "ada") -> str:
    """Let *speaker* ask for a link of a bot without a public address; return what their address bar shows."""
    await bench.say("!link demo", speaker)
    async with Browser(stop=PASTED.rpartition("/callback")[0]) as browser:
        await browser.open(bench.link_for(speaker))
        await bench.consent(browser, login)
        return browser.url


async def all_accounts(bench: Bench) -> list[Account]:
    """Every account in the database, checked, oldest first."""
    rows = await bench.rows("SELECT * FROM accounts ORDER BY created, id")
    return [accounts.from_row(bench.core.sealer, row) for row in rows]


async def all_flows(bench: Bench) -> list[Flow]:
    """Every flow in the database, checked, oldest first."""
    return [flows.from_row(bench.core.sealer, row) for row in await bench.rows("SELECT * FROM flows ORDER BY created")]


async def ends(bench: Bench) -> list[tuple[str, str]]:
    """State and reason of every flow, oldest first."""
    return [(flow.state, flow.reason) for flow in await all_flows(bench)]


async def audited(bench: Bench, event: str) -> list[dict[str, Any]]:
    """The details of every *event* in the audit, oldest first."""
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT detail FROM audit WHERE event = ? ORDER BY seq", event)
    return [json.loads(str(row["detail"])) for row in rows]


async def write(bench: Bench, account: Account) -> None:
    """Write *account* over its row, as the bot does."""
    async with bench.core.database.transaction() as tx:
        await accounts.change(tx, bench.core.sealer, account.id, lambda _: account)


async def write_flow(bench: Bench, flow: Flow) -> None:
    """Write *flow* over its row, as the bot does."""
    async with bench.core.database.transaction() as tx:
        await flows.update(tx, bench.core.sealer, flow)


def told(bench: Bench, speaker: Identity = ADA) -> list[str]:
    """Everything that *speaker* alone was told, as Markdown, in order."""
    mine = bench.network.dm(speaker)
    return [said.reply.text for said in bench.network.said if said.channel == mine]


def held(bench: Bench, patch: pytest.MonkeyPatch, path: str) -> asyncio.Event:
    """Let no answer to a request for *path* reach the bot before the event is set."""
    go, http = asyncio.Event(), bench.core.options.http
    send = http.send

    async def waiting(request: Request, **how: Any) -> Answer:
        answer = await send(request, **how)
        if urlsplit(request.url).path == path:
            await go.wait()
        return answer

    patch.setattr(http, "send", waiting)
    return go


async def until(condition: Callable[[], object]) -> None:
    """Let others run until *condition* holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


async def until_async(condition: Callable[[], Awaitable[object]]) -> None:
    """Let others run until *condition* holds."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


def stop_task(bench: Bench, name: str) -> None:
    """End one of the bot's own tasks, so that a test takes its steps by itself."""
    for task in bench.core._tasks:
        if task.get_name() == name:
            task.cancel()


@asynccontextmanager
async def two_instances(plan: Plan) -> AsyncIterator[tuple[Bench, DemoProvider, DemoProvider]]:
    """A bot that knows the demo service at two addresses, ``demo@home`` and ``demo@work``."""
    port = free_port()
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(DemoProvider()) for _ in range(2)]
        for service, alias in zip(services, ("home", "work"), strict=True):
            callback = f"http://127.0.0.1:{port}/callback/demo/{alias}"
            service.register(DemoClient("omnibot", "demo-secret", (callback,)))
        instances = {"home": services[0].origin, "work": services[1].origin}
        settings = ProviderSettings("omnibot", Secret("demo-secret"), instances=instances)
        both = replace(plan, provider=None, settings=(("demo", settings),), port=port)
        bench = await stack.enter_async_context(Bench.open(both))
        yield bench, services[0], services[1]
