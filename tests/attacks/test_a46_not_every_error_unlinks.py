"""A46: the token endpoint answers with an error.

A client that takes every error for the end unlinks everybody when the provider has a bad hour, or
when somebody makes it have one; one that takes none for it hammers a dead grant, until the server
locks the account.

What must hold: `invalid_grant` and `invalid_token` end a link, and nothing else does: no 5xx and no 429,
whatever they say, no timeout, no refusal of the bot itself. All else is put off, longer each time, and
never before the server says; commands meanwhile hear of it without the server being asked. A token that
is good still goes on being used. Before an account is given up, its row is read again.

What remains: a server that says `invalid_grant` by mistake unlinks its people.
"""

import json
from dataclasses import replace
from typing import Any

import pytest

from attacks.helpers import audited, stored
from attacks.tampering import link_by
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider
from omnibot.errors import OAuthError, Upstream
from omnibot.http import Http
from omnibot.provider import Instance, Token
from omnibot.renewal import Renewals, _Pauses
from omnibot.testing.bench import ADA, Bench
from omnibot.wire import Answer, Request

JSON = {"Content-Type": "application/json"}
GRANT = json.dumps({"error": "invalid_grant"})
TROUBLE: dict[str, dict[str, Any]] = {
    "500 that says invalid_grant": {"status": 500, "body": GRANT, "headers": JSON},
    "503": {"status": 503},
    "429 that says invalid_grant": {"status": 429, "body": GRANT, "headers": {**JSON, "Retry-After": "5"}},
    "broken off": {"drop": True},
    "a redirect": {"status": 302, "headers": {"Location": "/elsewhere"}},
    "no token in it": {"status": 200, "body": "<p>We are down</p>"},
    "invalid_client": {"status": 401, "body": '{"error": "invalid_client"}', "headers": JSON},
    "unauthorized_client": {"status": 400, "body": '{"error": "unauthorized_client"}', "headers": JSON},
    "invalid_request": {"status": 400, "body": '{"error": "invalid_request"}', "headers": JSON},
}

ask = Renewals._ask


async def gullible(self: Renewals, instance: Instance, token: Token) -> Token:
    """Take everything for the end of the grant."""
    try:
        return await ask(self, instance, token)
    except (Upstream, OAuthError):
        raise OAuthError("invalid_grant") from None


async def blind(self: Renewals, account: Account, why: str, *, told: bool) -> Account | None:
    """Break the account whatever its row says by now."""
    async with self._database.transaction() as tx:
        await accounts.change(tx, self._sealer, account.id, lambda one: replace(one, status="broken"))
    return None


def refreshes(provider: DemoProvider) -> int:
    """Return how many requests came to the token endpoint."""
    return provider.requests.count("POST /token")


async def linked(bench: Bench) -> None:
    """Let Ada's account be linked, and her token have run out."""
    await link_by(bench, "!notes add before", ADA, "ada")
    bench.clock.pass_(3600)
    bench.provider.expire_access_tokens()


@pytest.mark.attack("A46", sabotage=lambda patch: patch.setattr(Renewals, "_ask", gullible))
@pytest.mark.parametrize("fault", TROUBLE.values(), ids=TROUBLE)
async def test_trouble_unlinks_nobody(bench: Bench, provider: DemoProvider, fault: dict[str, Any]) -> None:
    """The command is told in one sentence; when the trouble is over, the next one works, without a new link."""
    await linked(bench)
    provider.fail("/token", **fault)

    said = await bench.say("!notes add during")
    status = await stored(bench)
    bench.clock.pass_(60)
    await bench.say("!notes add after")

    assert 1 == len(said)
    assert "link" not in said[0].lower() or "you need not link again" in said[0]
    assert ["active"] == status
    assert ["before", "after"] == provider.notes("ada")
    assert [] == await audited(bench, "account.broken")


class Slow(Http):
    """An outward client that does not wait for the token endpoint."""

    async def send(self, request: Request, **how: Any) -> Answer:
        if request.url.endswith("/token") and b"refresh_token" in request.body:
            how["timeout"] = 0.02
        return await super().send(request, **how)


@pytest.mark.attack("A46", sabotage=lambda patch: patch.setattr(Renewals, "_ask", gullible))
async def test_a_timeout_unlinks_nobody(bench: Bench, provider: DemoProvider) -> None:
    """It may have renewed, or not: the next try will tell."""
    await linked(bench)
    http = Slow()
    bench.core.renewals._http = http
    provider.fail("/token", status=503, delay=0.3)

    said = await bench.say("!notes add during")
    status = await stored(bench)
    bench.clock.pass_(60)
    provider.clear_faults()
    bench.core.renewals._http = bench.core.options.http
    await http.close()
    await bench.say("!notes add after")

    assert ["127.0.0.1 did not answer in time."] == said
    assert ["active"] == status
    assert ["before", "after"] == provider.notes("ada")


@pytest.mark.attack("A46", sabotage=lambda patch: patch.setattr("omnibot.renewal._DEAD", frozenset()))
@pytest.mark.parametrize("error", ["invalid_grant", "invalid_token"])
async def test_a_dead_grant_is_believed(bench: Bench, provider: DemoProvider, error: str) -> None:
    """The account is marked, the person gets one link, and the server is asked no more."""
    await linked(bench)
    provider.fail("/token", status=400, body=json.dumps({"error": error}), headers=JSON)
    before = refreshes(provider)

    first = await bench.say("!notes add during")
    for _ in range(5):
        bench.clock.pass_(30)
        await bench.say("!notes add during")

    assert ["broken"] == await stored(bench)
    assert "no longer accepts your link" in first[0]
    assert 1 == refreshes(provider) - before
    assert [{"provider": "demo", "why": error}] == await audited(bench, "account.broken")


@pytest.mark.attack("A46", sabotage=lambda patch: patch.setattr(_Pauses, "begin", lambda *_: None))
async def test_a_server_that_is_down_is_not_hammered(bench: Bench, provider: DemoProvider) -> None:
    """Twenty commands while it is down: it is asked once, and once more when it has had a while."""
    await linked(bench)
    provider.fail("/token", status=503, times=None)
    before = refreshes(provider)

    said = [await bench.say("!notes") for _ in range(20)]
    tries = refreshes(provider) - before
    bench.clock.pass_(15)
    await bench.say("!notes")
    await bench.say("!notes")

    assert 1 == tries
    assert 19 == len([one for (one,) in said if "I ask again in" in one])
    assert 2 == refreshes(provider) - before


async def strict(self: Renewals, account: Account) -> Account | None:
    """Use no token that should be renewed."""
    return await self.renew(account)


@pytest.mark.attack("A46", sabotage=lambda patch: patch.setattr(Renewals, "fresh", strict))
async def test_what_is_good_still_is_used(bench: Bench, provider: DemoProvider) -> None:
    """The server is down in the last half minute of a token's life: commands go on."""
    await link_by(bench, "!notes add before", ADA, "ada")
    bench.clock.pass_(3600 - 25)
    provider.fail("/token", status=503, times=None)

    for n in range(3):
        await bench.say(f"!notes add {n}")

    assert ["before", "0", "1", "2"] == provider.notes("ada")


@pytest.mark.attack("A46", sabotage=lambda patch: patch.setattr(Renewals, "_break", blind))
async def test_the_row_is_read_again_before_it_is_given_up(bench: Bench, provider: DemoProvider) -> None:
    """Somebody else renewed while the server said no to the older token: the account is as good as new."""
    await linked(bench)
    account = (await bench.core.people.find(ADA)).accounts[0]  # type: ignore[union-attr]

    async def overtaken(self: Renewals, instance: Instance, token: Token) -> Token:
        async with bench.core.database.transaction() as tx:
            await accounts.change(tx, bench.core.sealer, account.id, lambda one: replace(one, generation=2))
        raise OAuthError("invalid_grant")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Renewals, "_ask", overtaken)
        current = await bench.core.renewals.renew(account)

    assert ["active"] == await stored(bench)
    assert current is not None
    assert 2 == current.generation
