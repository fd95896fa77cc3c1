"""A58, notifications that cross: Mallory follows what is Ada's, and would like to be told what Ada is told.

She follows the same build as Ada, under the same name; she had access once and lost it; she forges the
message of a service's webhook.  Or nobody attacks, and what was found out for Ada waits to be told while
she takes its right away: unlinks, is forgotten, withdraws the account from where it is told.

What must hold: what is followed is asked for with the follower's own token and nothing else, and each is
told what the service shows to them; no answer, and no validator that stands for one, is shared between two
follows; what has lost its right while it waited is not told; there is no address at which a service, or
anybody in its name, could say that something has happened.

What remains: a service that shows somebody more than it should is believed.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from attacks.helpers import fetch
from omnibot import accounts, following
from omnibot.api import Api
from omnibot.conditional import LastLook
from omnibot.demo.provider import DemoProvider
from omnibot.following import Follows
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, GRACE, MALLORY, SKILLS, Bench, Plan
from omnibot.web import Listener, _route
from things import PREFIX, Asked, Thing, Things, later, things_skill

HOOKS = ("/webhook/demo", "/webhook", "/hooks/demo", "/github", "/events", "/notify/demo")


@pytest.fixture
def service(provider: DemoProvider) -> Things:
    """Ada's build, which nobody else sees, and one for all."""
    service = Things(provider)
    service.things = {"secret": Thing("running", {"ada"}), "public": Thing("running")}
    return service


@pytest.fixture
def plan(plan: Plan, service: Things) -> Plan:
    return replace(plan, skills=(*SKILLS, things_skill()), http=lambda: service)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """Three people have linked an account each."""
    async with Bench.open(plan) as bench:
        for speaker, login in ((ADA, "ada"), (GRACE, "grace"), (MALLORY, "mallory")):
            await bench.link(speaker, login)
        yield bench


def one_poll_for_all(patch: pytest.MonkeyPatch) -> None:
    """Ask once for whoever follows the same address, and tell all of them what came."""
    found: dict[str, Any] = {}

    async def changed(self: LastLook, api: Api, path: str, params: Mapping[str, object]) -> object:
        if api.account.login == "ada":
            found[path] = await api.get(path, **params)
        return found[path]

    patch.setattr(LastLook, "changed", changed)


def one_memory_for_all(patch: pytest.MonkeyPatch) -> None:
    """Keep validators by address, whoever they were given to."""
    kept: dict[str, dict[str, str]] = {}

    def begin(self: LastLook, account: str) -> None:
        self._kept, self._fresh = kept, {}

    patch.setattr(LastLook, "begin", begin)


def told_whatever_happened(patch: pytest.MonkeyPatch) -> None:
    """Tell what was found out, though the right to it has ended since."""

    async def may(*_: object) -> bool:
        return True

    patch.setattr(Follows, "_may_be_told", may)


def hooked(patch: pytest.MonkeyPatch) -> None:
    """Have an address for services to report to."""
    table = Listener._table

    async def thanks(*_: object, **__: object) -> web.Response:
        return web.Response()

    addresses = [_route(address, POST=thanks) for address in HOOKS]
    patch.setattr(Listener, "_table", lambda self: (*table(self), *addresses))


@pytest.mark.attack("A58", sabotage=one_poll_for_all)
async def test_what_is_private_is_told_to_its_owner_only(bench: Bench, service: Things) -> None:
    """The service is asked with each one's own token, and Mallory's sees nothing."""
    await bench.say("!things watch secret", ADA)
    await bench.say("!things watch secret", MALLORY)
    await later(bench)
    service.things["secret"].state = "done"
    await later(bench, 30)
    await later(bench, 30)

    assert "secret is done for ada" == bench.network.private_texts(ADA)[-1]
    assert [] == [text for text in bench.network.private_texts(MALLORY) if "secret is" in text]
    assert {("ada", 200), ("mallory", 404)} == {(one.user, one.status) for one in service.record}


@pytest.mark.attack("A58", sabotage=one_poll_for_all)
async def test_who_has_lost_access_hears_nothing_more(bench: Bench, service: Things) -> None:
    """What Grace was shown once she is not shown for ever."""
    service.things["secret"].readers = {"ada", "grace"}
    await bench.say("!things watch secret", ADA)
    await bench.say("!things watch secret", GRACE)
    await later(bench)
    service.things["secret"].readers = {"ada"}
    service.things["secret"].state = "done"
    await later(bench, 30)
    await later(bench, 30)

    assert "secret is done for ada" == bench.network.private_texts(ADA)[-1]
    assert "secret is running for grace" == bench.network.private_texts(GRACE)[-1]


@pytest.mark.attack("A58", sabotage=one_memory_for_all)
async def test_two_who_follow_the_same_share_no_validator(bench: Bench, service: Things) -> None:
    """The first request of each is plain, and what each sends later is what each was given."""
    for speaker in (ADA, GRACE):
        await bench.say("!things watch public", speaker)
        await later(bench)
    await later(bench)
    firsts = [next(one for one in service.record if one.user == user) for user in ("ada", "grace")]

    assert [Asked("ada", "public", "", 200), Asked("grace", "public", "", 200)] == firsts
    assert [] == [one for one in service.record if one.validator and f'"{one.user}-' not in one.validator]
    assert "public is running for ada" == bench.network.private_texts(ADA)[-1]
    assert "public is running for grace" == bench.network.private_texts(GRACE)[-1]


@pytest.mark.attack("A58", sabotage=told_whatever_happened)
@pytest.mark.parametrize("how", ["unlinked", "forgotten", "withdrawn", "held"])
async def test_what_has_lost_its_right_while_it_waits_is_not_told(
    bench: Bench, service: Things, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found out for Ada waits for her other news; meanwhile her account is no longer hers to use there."""
    monkeypatch.setattr(following, "_PATIENCE", (1000.0, 1000.0))
    send, go = service.send, asyncio.Event()

    async def slow(request: Any, **how: Any) -> Any:
        if request.url.endswith(f"{PREFIX}public"):
            await go.wait()
        return await send(request, **how)

    service.send = slow  # type: ignore[method-assign]
    await bench.say("!things watch secret", ADA)
    await bench.say("!things watch public", ADA)
    bench.clock.pass_(7)
    looking = asyncio.create_task(bench.core.follows.settle())
    async with asyncio.timeout(5):
        while not bench.core.follows._gathering._bundles:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.01)
    before = len(bench.network.said)
    await lose(bench, how)
    go.set()
    async with asyncio.timeout(10):
        await looking
    said = [one.reply.text for one in bench.network.said[before:]]

    assert [] == [text for text in said if "running" in text]


async def lose(bench: Bench, how: str) -> None:
    """Take the right to Ada's account away, while looks are under way."""
    if how == "unlinked":
        await bench.network.hear("!unlink demo", ADA)
    elif how == "forgotten":
        await bench.network.hear("!forget me", ADA)
        await bench.core.dispatcher.settle()
        await bench.network.hear("yes", ADA)
        async with asyncio.timeout(5):
            while await bench.rows("SELECT id FROM follows"):  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(0.01)
    else:
        core = bench.core
        profile = await core.people.find(ADA)
        assert profile is not None
        account = profile.accounts[0]
        elsewhere = replace(account, reach=(Identity("elsewhere", "u-1"),))
        async with core.database.transaction() as tx:
            changed = replace(account, status="held") if how == "held" else elsewhere
            await accounts.change(tx, core.sealer, account.id, lambda _: changed)
    await bench.core.dispatcher.settle()


@pytest.mark.attack("A58", sabotage=hooked)
@pytest.mark.parametrize("path", HOOKS)
async def test_a_forged_webhook_finds_nobody(bench: Bench, service: Things, path: str) -> None:
    """No address takes reports, signed or not; nothing is looked at and nobody is told because of one."""
    await bench.say("!things watch secret", ADA)
    before = len(bench.network.said)
    signed = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={'0' * 64}"}
    body = '{"action": "completed", "name": "secret", "state": "done", "user": "ada"}'
    page = await fetch(f"http://127.0.0.1:{bench.listener.port}{path}", method="POST", data=body, headers=signed)
    await bench.settle()

    assert (404, []) == (page.status, service.record)
    assert before == len(bench.network.said)
