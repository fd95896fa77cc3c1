"""A person lets the bot start their own server at a real JupyterHub, which logs it under their name."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.walks import until
from omnibot.catalogue import ProviderSettings
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from servers.browser import HttpBrowser
from servers.jupyterhub.server import HubClient, JupyterHub

SKILLS = ("accounts", "following", "jupyterhub")


def settings(hub: JupyterHub, client: HubClient) -> tuple[tuple[str, ProviderSettings], ...]:
    """What the operator writes of *hub*, of which the bot is *client*."""
    said = ProviderSettings(client.client_id, Secret(client.client_secret), base=hub.url)
    return (("jupyterhub", said),)


@pytest.fixture
def plan(tmp_path: Path, jupyterhub: JupyterHub) -> Plan:
    """A bot that is registered with the hub, and listens where the hub sends browsers."""
    client = jupyterhub.client("default")
    return Plan(tmp_path, skills=SKILLS, settings=settings(jupyterhub, client), port=jupyterhub.listener_port)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot, with a public address."""
    async with Bench.open(plan) as bench:
        yield bench


async def link(bench: Bench, login: str, speaker: object = ADA) -> list[str]:
    """Link the hub's *login* for *speaker* through the hub's own pages; return what was said."""
    await bench.say("!link jupyterhub", speaker)  # type: ignore[arg-type]
    async with HttpBrowser(login) as browser:
        page = await browser.walk(bench.link_for(speaker))  # type: ignore[arg-type]
    code = re.search(r"<code>([A-Z]{4}-[A-Z]{4})</code>", page.text)
    assert code is not None, page.text
    return await bench.say(f"!confirm {code[1]}", speaker)  # type: ignore[arg-type]


async def _gone(hub: JupyterHub, login: str) -> bool:
    return not hub.has_server(login)


async def _none_followed(bench: Bench) -> bool:
    return not await bench.rows("SELECT * FROM follows")


async def start(bench: Bench, hub: JupyterHub, login: str) -> str:
    """Let Ada, who is *login* there, start their server; return what she is told once it is there."""
    said = (await bench.say("!hub start"))[-1]
    while not hub.has_server(login) or "ready: " not in said:  # on a busy machine it takes more than a second
        await asyncio.sleep(0.05)
        said = (await bench.say("!hub status"))[-1]
    await bench.say("!unfollow all")  # or "it is ready" comes among answers, where it took a while
    return said


@pytest.mark.row("T10")
async def test_a_server_is_started_in_the_persons_own_name(bench: Bench, jupyterhub: JupyterHub) -> None:
    """Link, start, hear that it is ready, stop; the hub's log has her name on each."""
    linked = await link(bench, "alice")
    before = await bench.say("!hub status")
    started = await start(bench, jupyterhub, "alice")
    again = await bench.say("!jupyterhub start")
    asked = await bench.say("!hub stop")
    stopped = await bench.say("yes")

    assert linked == ["Linked JupyterHub as **alice**. Not you, or not meant? Say `!undo`."]
    assert before == ["Your server is not running."]
    assert started.startswith("Your server is ready: [open it](http://127.0.0.1:")
    assert again == [started]
    assert asked == ["Really `hub stop`? Stop your server; what its notebooks hold in memory is lost."]
    assert stopped[0] in ("Your server is stopped.", "Your server is stopping; I tell you when it has.")
    await until(lambda: _gone(jupyterhub, "alice"), 30)
    log = "\n".join(jupyterhub.log())
    assert "POST /hub/api/users/alice/server (alice@127.0.0.1)" in log
    assert "DELETE /hub/api/users/alice/server (alice@127.0.0.1)" in log


async def test_a_slow_server_is_followed_until_it_is_there(bench: Bench, jupyterhub: JupyterHub) -> None:
    """The person is told when it is ready, without asking again."""
    jupyterhub.slow(start=2.5)
    await link(bench, "alice")
    started = await bench.say("!hub start")
    listed = await bench.say("!following")
    count = len(bench.network.said)
    told = [said.text for said in await bench.network.wait(count + 1, timeout=30)][-1]

    assert started == ["Your server is starting; I tell you when it is ready."]
    assert "your JupyterHub server" in listed[0]
    while "ready" not in told:
        told = (await bench.network.wait(1, timeout=30))[0].text
    assert told.startswith("Your server is ready: [open it](")
    await until(lambda: _none_followed(bench), 10)


async def test_each_reaches_their_own_server_only(bench: Bench, jupyterhub: JupyterHub) -> None:
    """The token is the person's: the hub does not know another's server."""
    await link(bench, "alice")
    await link(bench, "bob", GRACE)
    await start(bench, jupyterhub, "alice")

    assert ["Your server is not running."] == await bench.say("!hub status", GRACE)
    assert not jupyterhub.has_server("bob")


async def test_unlinking_deletes_the_token_at_the_hub(bench: Bench, jupyterhub: JupyterHub) -> None:
    """By the hub's own call, as the person."""
    await link(bench, "alice")
    before = [one for one in jupyterhub.tokens("alice") if "omnibot" in one["oauth_client"]]
    said = await bench.say("!unlink jupyterhub")
    await bench.core.revoking.work()
    after = [one for one in jupyterhub.tokens("alice") if "omnibot" in one["oauth_client"]]

    assert 1 == len(before)
    assert said == ["JupyterHub as **alice** is unlinked: erased here, and its token is being revoked."]
    assert [] == after
    assert [] == await bench.rows("SELECT * FROM revocations")


async def test_a_hub_that_is_down_gets_its_token_back_later(bench: Bench, jupyterhub: JupyterHub) -> None:
    """It is erased here at once; the queue tries again."""
    await link(bench, "alice")
    jupyterhub.stop()
    await bench.say("!unlink jupyterhub")
    await bench.core.revoking.work()
    queued = await bench.rows("SELECT tries FROM revocations")
    jupyterhub.start()
    bench.clock.pass_(3600)
    await bench.core.revoking.work()

    assert 1 == len(queued)
    assert [] == await bench.rows("SELECT * FROM revocations")
    assert [] == [one for one in jupyterhub.tokens("alice") if "omnibot" in one["oauth_client"]]


async def test_a_token_that_the_person_took_back_is_asked_for_again(bench: Bench, jupyterhub: JupyterHub) -> None:
    """The hub answers 403 to a token that it does not know."""
    await link(bench, "alice")
    await jupyterhub.revoke_tokens("alice")
    said = await bench.say("!hub status")

    assert "JupyterHub no longer accepts your link." in said[0]
    assert "To connect **JupyterHub**" in said[0]


async def test_by_paste_back(tmp_path: Path, jupyterhub: JupyterHub) -> None:
    """Without a public address."""
    client = jupyterhub.client("default", paste=True)
    plan = Plan(tmp_path, skills=SKILLS, settings=settings(jupyterhub, client), public=False)
    async with Bench.open(plan) as bench, HttpBrowser("bob") as browser:
        await bench.say("!hub status")
        page = await browser.walk(bench.link_for(), stop="http://127.0.0.1:9/")
        said = await bench.say(page.url)

    assert said[0].startswith("Linked JupyterHub as **bob**.")
    assert said[1] == "Your server is not running."
    assert any("GET /hub/api/users/bob (bob@127.0.0.1)" in line for line in jupyterhub.log())
