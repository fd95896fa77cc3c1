"""A57: a logout that is one here and not there.

Who unlinks because a device or a chat account was stolen wants the token dead. The service may just then be
down; or may be kept from us, by whoever would like to go on using it.

What must hold: the account is erased here at once, whatever the service does, and nothing here can use it any
more. Its token waits, boxed for that and no other use, for a day at most; it is tried again and again, handed
back as soon as the service listens, and dropped after the day. What became of it stands in the audit.

What remains: a token that its service would not take back for a day is good there until it ends by itself.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from attacks.helpers import audited, stored
from omnibot.demo.provider import DemoProvider
from omnibot.linking import revoking
from omnibot.linking.revoking import Revoking
from omnibot.testing.bench import Bench
from omnibot.vault import Revoker

HOUR = 3600.0
DAY = 24 * HOUR

type Outage = Callable[[DemoProvider], Awaitable[None]]


async def out_of_order(provider: DemoProvider) -> None:
    provider.fail("/revoke", status=503, times=None)


async def cut_off(provider: DemoProvider) -> None:
    provider.fail("/revoke", drop=True, times=None)


async def gone(provider: DemoProvider) -> None:
    await provider.stop()


OUTAGES = pytest.mark.parametrize("outage", [out_of_order, cut_off, gone], ids=lambda one: one.__name__)


async def back(provider: DemoProvider) -> None:
    """End whatever outage there is."""
    provider.clear_faults()
    await provider.stop()
    await provider.start()


async def queue(bench: Bench) -> list[dict[str, Any]]:
    """Return the tokens that wait."""
    return await bench.rows("SELECT * FROM revocations")


async def unlinked(bench: Bench, outage: Outage) -> list[str]:
    """Link, and unlink while the service is out; return what is said, once the first try has failed."""
    await bench.link()
    await outage(bench.provider)
    answers = await bench.say("!unlink demo")
    await bench.core.revoking.work()
    return answers


def giving_up(patch: pytest.MonkeyPatch) -> None:
    """Take a service that does not listen for one that says no."""
    really = Revoking._revoke

    async def once(self: Revoking, row: Any) -> str:
        outcome = await really(self, row)
        return "refused" if outcome == "later" else outcome

    patch.setattr(Revoking, "_revoke", once)


def never_dropping(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(revoking, "_KEEP_SECONDS", 365 * DAY)


def in_the_clear(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Revoker, "box", lambda self, purpose, token: bytes(4) + token.encode())


def waiting_for_the_service(patch: pytest.MonkeyPatch) -> None:
    """Erase nothing before the service has taken the token back."""
    erase = Revoking.erase

    async def only_queued(self: Revoking, tx: Any, account: Any, **how: Any) -> Any:
        await tx.execute("SAVEPOINT before")
        fate = await erase(self, tx, account, **how)
        await tx.execute("ROLLBACK TO before")
        return fate

    patch.setattr(Revoking, "erase", only_queued)


@OUTAGES
@pytest.mark.attack("A57", sabotage=waiting_for_the_service)
async def test_erased_here_at_once(bench: Bench, outage: Outage) -> None:
    """Nobody waits for the service: the account is gone when it is said to be."""
    answers = await unlinked(bench, outage)
    listed = await bench.say("!accounts")

    assert "is unlinked" in answers[0]
    assert [] == await stored(bench)
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == listed


@OUTAGES
@pytest.mark.attack("A57", sabotage=giving_up)
async def test_handed_back_when_the_service_listens_again(bench: Bench, outage: Outage) -> None:
    """Hours later, and at the first try that gets through; once."""
    await unlinked(bench, outage)
    for _ in range(5):
        bench.clock.pass_(HOUR)
        await bench.core.revoking.work()
    waited = await queue(bench)
    await back(bench.provider)
    bench.clock.pass_(2 * HOUR)
    await bench.core.revoking.work()

    assert [True] == [one["tries"] > 3 for one in waited]
    assert ["ada"] == bench.provider.revoked
    assert [] == await queue(bench)
    assert ["done"] == [one["outcome"] for one in await audited(bench, "account.revoked")]


@OUTAGES
@pytest.mark.attack("A57", sabotage=never_dropping)
async def test_dropped_after_a_day(bench: Bench, outage: Outage) -> None:
    """A token is not kept for ever because its service is gone; that it was dropped is on record."""
    await unlinked(bench, outage)
    waiting = await queue(bench)
    bench.clock.pass_(DAY + 60)
    await bench.core.revoking.work()

    assert [True] == [one["until"] <= one["created"] + DAY for one in waiting]
    assert [] == await queue(bench)
    assert ["dropped"] == [one["outcome"] for one in await audited(bench, "account.revoked")]


@pytest.mark.attack("A57", sabotage=in_the_clear)
async def test_what_waits_is_boxed(bench: Bench) -> None:
    """Who reads the queue, reads no token; and nothing but the revocation opens it."""
    await unlinked(bench, out_of_order)
    (row,) = await queue(bench)
    tokens = bench.provider._ledger._tokens

    assert [] == [one for one in tokens if one.encode() in row["token"]]
    assert {"done"} >= {one["outcome"] for one in await audited(bench, "account.revoked")}
