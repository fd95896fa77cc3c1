"""A44: a hundred commands find the token run out, all at once.

A strict server gives a new refresh token at each use, and ends the whole grant when an old one comes
again: it may be stolen. Two renewals side by side are such a second use, so that a busy person, or
somebody who makes them busy, would unlink their account.

What must hold: whoever comes while a renewal is under way shares it, whether the token was known to
have run out or the service refused it. It goes on when those who wait for it are stopped, since a
rotated token that is not stored is lost. All commands succeed, and the server sees one refresh.

What remains: another program that holds the same refresh token, as after a restored backup, is not
noticed before the server ends the grant.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from attacks.tampering import link_by
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.demo.provider import DemoProvider
from omnibot.http import Http
from omnibot.identity import Identity
from omnibot.people import IDENTITIES
from omnibot.renewal import Renewals
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.wire import Answer, Request

MANY = tuple(Identity("fake", f"ada-{n}", "", "Ada") for n in range(100))
"""A hundred identities of Ada's: the commands of one wait for each other, those of many do not."""


async def alone(self: Renewals, account: Account) -> Account | None:
    """Renew without a look at who else does."""
    return await self._renew(account)


async def carried_off(self: Renewals, account: Account) -> Account | None:
    """Let a renewal end with the command that began it."""
    return await self._begin(account).task


class Held(Http):
    """An outward client that has the token endpoint's answer, and does not hand it over yet."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = asyncio.Event()
        self.let_go = asyncio.Event()

    async def send(self, request: Request, **how: Any) -> Answer:
        answer = await super().send(request, **how)
        if b"refresh_token" in request.body:
            self.answered.set()
            await self.let_go.wait()
        return answer


async def many(bench: Bench) -> None:
    """Let Ada link, and a hundred identities of hers use the account."""
    await link_by(bench, "!notes add before", ADA, "ada")
    core = bench.core
    profile = await core.people.find(ADA)
    assert profile is not None
    (account,) = profile.accounts
    async with core.database.transaction() as tx:
        for one in MANY:
            row = {
                "network": one.network,
                "subject": one.subject,
                "epoch": "",
                "person": profile.person,
                "display": "Ada",
                "created": 0.0,
            }
            await tx.insert("identities", core.sealer.stamp(IDENTITIES, row))
        await accounts.change(tx, core.sealer, account.id, lambda one: replace(one, reach=(ADA, *MANY)))


@pytest.mark.attack("A44", sabotage=lambda patch: patch.setattr(Renewals, "renew", alone))
@pytest.mark.parametrize("known", [True, False], ids=["run out", "refused"])
async def test_a_hundred_commands_make_one_refresh(bench: Bench, provider: DemoProvider, known: bool) -> None:
    """All of them succeed, and the grant lives."""
    await many(bench)
    bench.clock.pass_(3600 if known else 0)
    provider.expire_access_tokens()
    provider.fail("/token", status=None, delay=0.05)  # a slow server: all of them come meanwhile

    await asyncio.gather(*(bench.network.hear(f"!notes add {one.subject}", one) for one in MANY))
    await bench.settle()

    assert [True] == [one.ok for one in provider.exchanges if one.kind == "refresh"]
    assert [] == provider.revoked
    assert {"before", *(one.subject for one in MANY)} == set(provider.notes("ada"))
    assert 101 == len(provider.notes("ada"))


@pytest.mark.attack("A44", sabotage=lambda patch: patch.setattr(Renewals, "renew", carried_off))
async def test_stopping_a_command_does_not_lose_the_new_token(plan: Plan) -> None:
    """Who began the renewal is stopped when the server has answered; the next command has the new token."""
    async with Bench.open(replace(plan, http=Held)) as bench:
        await link_by(bench, "!notes add before", ADA, "ada")
        profile, http = await bench.core.people.find(ADA), bench.core.options.http
        assert profile is not None
        assert isinstance(http, Held)
        bench.provider.expire_access_tokens()

        wanting = asyncio.create_task(bench.core.renewals.renew(profile.accounts[0]))
        await http.answered.wait()
        wanting.cancel()
        await asyncio.gather(wanting, return_exceptions=True)
        http.let_go.set()
        await bench.core.renewals.settle()
        await bench.say("!notes add after")

        assert [True] == [one.ok for one in bench.provider.exchanges if one.kind == "refresh"]
        assert ["before", "after"] == bench.provider.notes("ada")
        assert [{"generation": 2, "refreshing": 0}] == await bench.rows("SELECT generation, refreshing FROM accounts")
