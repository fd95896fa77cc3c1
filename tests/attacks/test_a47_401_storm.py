"""A47, a storm of 401: twenty commands wait while the service takes the person's token back.

Each would find the token refused, renew it in vain, and send the person a link: twenty links, and at
the service a row of failures that may lock the account.

What must hold: the first to notice breaks the account; the person gets one link, whose flow takes
the first command; the others point to that link.  The service sees one renewal, and no call
with a token that is known to be dead.

What remains: the other commands are not run; the person says them again.
"""

import asyncio

import pytest

from attacks.helpers import ends
from attacks.tampering import link_by
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking.beginning import Beginning
from omnibot.message import Channel
from omnibot.renewal import Renewals
from omnibot.testing.bench import ADA, GRACE, Bench

QUEUED = 20


async def _none(*_: object) -> list[object]:
    return []


async def storm(bench: Bench, channel: Channel | None = None) -> tuple[list[str], list[str]]:
    """Let Ada say twenty commands at once; return the links she was sent, and what else she was told."""
    before = len(bench.network.said)
    await asyncio.gather(*(bench.network.hear(f"!notes add {n}", ADA, channel) for n in range(QUEUED)))
    await bench.settle()
    said = [one.reply for one in bench.network.said[before:]]
    return [one.link.url for one in said if one.link], [one.text for one in said if not one.link]


@pytest.mark.attack("A47", sabotage=lambda patch: patch.setattr(Beginning, "_live", _none))
@pytest.mark.parametrize("where", ["private", "room"])
async def test_one_link_for_twenty_commands(bench: Bench, provider: DemoProvider, where: str) -> None:
    """One link goes out, the other nineteen commands point to it, and the one that waits runs once."""
    await link_by(bench, "!notes add before", ADA, "ada")
    provider.fail("/api/notes", status=401, times=None)
    provider.forget_grants()
    exchanges = len(provider.exchanges)

    links, told = await storm(bench, bench.network.room("ops", ADA, GRACE) if where == "room" else None)
    provider.clear_faults()

    assert 1 == len(links)
    assert QUEUED - 1 == len([text for text in told if "Use the link I sent you" in text])
    assert 1 == len(provider.exchanges) - exchanges
    assert 1 == (await ends(bench)).count(("open", ""))

    async with Browser() as browser:
        await bench.authorise(browser, links[0], "ada")
        await bench.say(f"!confirm {browser.code}")

    assert ["before", "0"] == provider.notes("ada")


async def _keep_trying(self: Renewals, *_: object, **__: object) -> None:
    """Believe that a token is good whatever the service says."""


@pytest.mark.attack("A47", sabotage=lambda patch: patch.setattr(Renewals, "_break", _keep_trying))
async def test_a_dead_token_is_not_sent_again(bench: Bench, provider: DemoProvider) -> None:
    """Of twenty commands one shows the service the dead token, once."""
    await link_by(bench, "!notes add before", ADA, "ada")
    provider.forget_grants()
    before = len(provider.requests)

    await storm(bench)

    assert ["POST /api/notes", "POST /token"] == provider.requests[before:]
