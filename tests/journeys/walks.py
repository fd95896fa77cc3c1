"""What people do on their journeys: walk from a link to its code, and look at what became of it."""

import re
from contextlib import AsyncExitStack

from omnibot.identity import Identity
from omnibot.testing.bench import ADA, Bench
from servers.browser import HttpBrowser, Page
from servers.processes import OidcServer

CALLBACK = "http://127.0.0.1:9/callback/oidc/default"
"""Where the provider sends browsers of a bot without a public address."""

_CODE = re.compile(r"\b([B-Z]{4}-[B-Z]{4})\b")


def code_of(page: Page) -> str:
    """Return the code that *page* shows."""
    found = _CODE.search(page.text)

    assert found is not None, f"{page.url} shows no code: {page.text}"
    return found[1]


async def authorise(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> str:
    """Walk from the link that *speaker* was sent to the page with the code, as *login*; return the code."""
    async with HttpBrowser(login) as browser:
        return code_of(await browser.walk(bench.link_for(speaker)))


async def link(bench: Bench, login: str = "alice", speaker: Identity = ADA) -> None:
    """Let *speaker* link the provider's account *login*, from the first word to the confirmed code."""
    await bench.say("!link oidc", speaker)
    code = await authorise(bench, login, speaker)
    answers = await bench.say(f"!confirm {code}", speaker)

    assert [f"Linked OpenID Connect as **{login}**. Not you, or not meant? Say `!undo`."] == answers
