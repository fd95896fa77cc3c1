"""A7: previews eat the link.

Chat servers, scanners and browsers open every address that they see, some of them several times and
before the person does.

What must hold: looking changes nothing, by GET or HEAD, whoever looks and however often; so that the
person still gets through.

What remains: a program that presses buttons like a person.
"""

from dataclasses import replace
from typing import Any

import pytest

from attacks.helpers import answered, arrive, ask, ends, fetch, stopping
from omnibot.linking.browser import Browser as Pages
from omnibot.linking.flows import Asking
from omnibot.testing.bench import ADA, Bench
from omnibot.web import Listener

BOTS = (
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Synapse (bot; +https://github.com/matrix-org/synapse)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "TelegramBot (like TwitterBot)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
)

look = Pages.look


async def look_once(self: Pages, ticket: str) -> Asking:
    """Let looking spend the link."""
    asking = await look(self, ticket)
    await self.refuse(ticket)
    return asking


def as_get(patch: pytest.MonkeyPatch) -> None:
    """Answer every HEAD as a GET."""

    def table(self: Listener) -> tuple[Any, ...]:
        return tuple(replace(one, handlers={**heads(one), **one.handlers}) for one in routes(self))

    def heads(one: Any) -> dict[str, Any]:
        return {"HEAD": one.handlers["GET"]} if "GET" in one.handlers else {}

    routes = Listener._table
    patch.setattr(Listener, "_table", table)


@pytest.mark.attack("A7", sabotage=lambda patch: patch.setattr(Pages, "look", look_once))
async def test_the_person_comes_after_the_previews(bench: Bench) -> None:
    """Five previews, a HEAD and a prefetch later the link works as if nobody had been there."""
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    seen = [(await fetch(link, headers={"User-Agent": bot})).status for bot in BOTS]
    head = await fetch(link, method="HEAD", headers={"User-Agent": BOTS[0]})
    ahead = await fetch(link, headers={"Sec-Purpose": "prefetch"})

    assert [200] * 5 == seen
    assert (200, "") == (head.status, head.text)
    assert 200 == ahead.status
    assert [("open", "")] == await ends(bench)
    await bench.link()


@pytest.mark.attack("A7", sabotage=as_get)
async def test_a_head_of_the_callback_spends_nothing(bench: Bench) -> None:
    """The one address that a GET spends something at takes no HEAD, not even from the attempt's own browser."""
    async with stopping(bench.plan) as browser:
        url = await answered(bench, browser)
        head = await ask(browser, url, method="HEAD")
        open_still = await ends(bench)
        await arrive(browser, url)

    assert 405 == head.status
    assert [("open", "")] == open_still
    assert browser.code
