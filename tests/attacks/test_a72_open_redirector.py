"""A72, our page as an open redirector.

Mallory names evil.example as an instance and forwards the link that she gets: it begins at the bot's own
address, which the victim knows, and leads to hers, or takes the victim's key and hands it to her server.

What must hold: there is no link, and no request, before an admin has allowed that host. The page of a link
names the host, in ASCII.

What remains: where the operator wrote `any`, the page's naming the host is all there is.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from linking.steps import told
from named_hosts import Anywhere, decided, flows_begun, planned
from omnibot.demo.browser import Browser
from omnibot.hosts import Host, Hosts
from omnibot.linking.browser import Browser as LinkBrowser
from omnibot.testing.bench import GRACE, MALLORY, Bench

EVIL = "\u0435vil.example"
SHOWN = "xn--vil-qdd.example"


@pytest.fixture
def service() -> Anywhere:
    """Mallory's server, whatever its name."""
    return Anywhere()


@pytest.fixture
async def bench(tmp_path: Path, service: Anywhere) -> AsyncIterator[Bench]:
    """A bot whose people name hosts, of which an admin has allowed none."""
    async with Bench.open(planned(tmp_path, service)) as bench:
        yield bench


def anybody_decides(patch: pytest.MonkeyPatch) -> None:
    """Take what is asked for as allowed."""

    async def admit(self: Hosts, identity: object, provider: str, host: str) -> None:
        self._known[provider, host] = Host(provider, host, "allowed", (), 0.0)

    patch.setattr(Hosts, "admit", admit)


@pytest.mark.attack("A72", sabotage=anybody_decides)
@pytest.mark.parametrize("words", ["!link redmine@{}", "!api redmine@{} GET /", "!link redmine@{} key-of-mallory"])
@pytest.mark.parametrize("decision", ["none", "refused"])
async def test_there_is_no_link_before_an_admin_allows_it(
    bench: Bench, service: Anywhere, words: str, decision: str
) -> None:
    """Nor to one that was refused; nothing is sent there, and nothing of it is kept."""
    if decision == "refused":
        await decided(bench, f"redmine@{SHOWN}", "refused")
    for _ in range(3):
        await bench.say(words.format(EVIL), MALLORY)
    linked = [said for said in bench.network.said if said.reply.link is not None]

    assert [] == linked
    assert 0 == await flows_begun(bench)
    assert [] == service.asked
    assert (decision == "none") == (1 == len(told(bench, GRACE)))


def hostless(patch: pytest.MonkeyPatch) -> None:
    """Leave the host to be guessed."""
    asking = LinkBrowser._asking
    patch.setattr(LinkBrowser, "_asking", lambda self, flow: replace(asking(self, flow), host="", title="Redmine"))


@pytest.mark.attack("A72", sabotage=hostless)
async def test_the_page_names_the_host_in_ascii(bench: Bench) -> None:
    """Before anything is typed, and where it is typed."""
    await decided(bench, f"redmine@{EVIL}")
    await bench.say(f"!link redmine@{EVIL}", MALLORY)
    async with Browser() as victim:
        await victim.open(bench.link_for(MALLORY))
        first = victim.text
        await victim.press("Continue")
        second = victim.text

    assert [True, True] == [SHOWN in one for one in (first, second)]
    assert [False, False] == [EVIL in one for one in (first, second)]
    assert "Mallory" in first
