"""What people do on their journeys: walk from a link to its code, and look at what became of it."""

import asyncio
import base64
import json
import re
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from omnibot.accounts import Account
from omnibot.identity import Identity
from omnibot.provider import Token
from omnibot.testing.bench import ADA, Bench
from servers.browser import HttpBrowser, Page
from servers.processes import OidcServer

PASTED = "http://127.0.0.1:9/callback/oidc/default"
"""Where the provider sends browsers of a bot without a public address: nobody is there."""

_CODE = re.compile(r"\b([B-Z]{4}-[B-Z]{4})\b")


def code_in(text: str) -> str:
    """Return the code that a page with *text* shows."""
    found = _CODE.search(text)

    assert found is not None, f"there is no code: {text}"
    return found[1]


async def authorise(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> str:
    """Walk from the link that *speaker* was sent to the page with the code, as *login*; return the code."""
    async with HttpBrowser(login) as browser:
        return code_in((await browser.walk(bench.link_for(speaker))).text)


async def link(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> None:
    """Let *speaker* link the provider's account *login*, from the first word to the confirmed code."""
    await bench.say("!link oidc", speaker)
    code = await authorise(bench, login, speaker)
    answers = await bench.say(f"!confirm {code}", speaker)

    assert [f"Linked OpenID Connect as **{login}**. Not you, or not meant? Say `!undo`."] == answers


def callback(bench: Bench) -> str:
    """Return how the addresses begin at which browsers come back to *bench*."""
    return f"http://127.0.0.1:{bench.plan.port}/callback/"


def told(bench: Bench, speaker: Identity = ADA) -> list[str]:
    """Return everything that *speaker* alone was told, as Markdown, in order."""
    mine = bench.network.dm(speaker)
    return [said.reply.text for said in bench.network.said if said.channel == mine or said.ephemeral]


def heading(page: Page) -> str:
    """Return what *page* says first."""
    found = re.search(r"<h1>(.*?)</h1>", page.text)
    return found[1] if found else ""


# ---------------------------------------------------------------- what became of it


async def account_of(bench: Bench, speaker: Identity = ADA) -> Account:
    """Return the one account of *speaker*."""
    profile = await bench.core.people.find(speaker)

    assert profile is not None
    (account,) = profile.accounts
    return account


async def token_of(bench: Bench, speaker: Identity = ADA) -> Token:
    """Open the one token of *speaker*, as the bot's own upkeep may."""
    profile, account = await bench.core.people.find(speaker), await account_of(bench, speaker)
    assert profile is not None
    instance = bench.core.options.instances.get(account.provider, account.instance)
    with bench.core.grants.for_upkeep(profile.person, account.id, "whoami") as grant:
        return bench.core.sessions.open(grant, profile.keys, account, instance)


async def flows(bench: Bench) -> list[tuple[object, object]]:
    """Return state and reason of every flow, oldest first."""
    rows = await bench.rows("SELECT state, reason FROM flows ORDER BY created")
    return [(row["state"], row["reason"]) for row in rows]


async def left(bench: Bench) -> dict[str, int]:
    """Return how many accounts, parked commands and kept notices there are, and tokens to revoke."""
    await bench.settle()  # what is being said is kept until it is
    tables = ("accounts", "waiting", "notices", "revocations")
    return {table: len(await bench.rows(f"SELECT 1 FROM {table}")) for table in tables}  # noqa: S608 - named above


NOTHING = {"accounts": 0, "waiting": 0, "notices": 0, "revocations": 0}
"""What `left` returns where nothing is left."""


def is_active(oidc: OidcServer, token: str) -> bool:
    """Return what the provider's own introspection says of *token*."""
    address = urlsplit(oidc.issuer)
    basic = base64.b64encode(f"{oidc.client_id}:{oidc.client_secret}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"}
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.request("POST", "/token/introspection", urlencode({"token": token}), headers)
        return bool(json.loads(connection.getresponse().read())["active"])
    finally:
        connection.close()


def calls(oidc: OidcServer) -> list[str]:
    """Return what was asked of the provider's API and whose token it was, by its own log."""
    return [line.removesuffix(f" client={oidc.client_id}") for line in oidc.log_lines() if line.startswith("api ")]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Return as soon as *condition* holds, for what happens in the bot's own time."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - it changes in the database, or in another process
            await asyncio.sleep(0.01)
