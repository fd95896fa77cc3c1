"""Tokens go back to their service as soon as it listens, and are dropped after a day."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linking.steps import all_accounts, audited, stop_task, two_instances, until, write
from omnibot.demo.provider import DemoProvider
from omnibot.errors import KeyMissing
from omnibot.linking import revoking
from omnibot.provider import AuthorizationServer, Instance, Token
from omnibot.testing.bench import GRACE, Bench, Plan


@pytest.fixture
async def still(plan: Plan) -> AsyncIterator[Bench]:
    """A bot whose queue is worked off by the test alone."""
    async with Bench.open(plan) as bench:
        stop_task(bench, "revocations")
        await asyncio.sleep(0)
        yield bench


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnibot.linking.revoking.random.uniform", lambda low, high: (low + high) / 2)


async def queue(bench: Bench) -> list[dict[str, Any]]:
    return await bench.rows("SELECT * FROM revocations")


async def queued(bench: Bench) -> dict[str, Any]:
    """Link, unlink, and return the row that waits."""
    await bench.link()
    await bench.say("!unlink demo")
    return (await queue(bench))[0]


# ----------------------------------------------------------------------------------------- the queue


async def test_a_token_waits_boxed_and_is_handed_back_when_it_is_due(still: Bench) -> None:
    """The refresh token, which ends all of the grant; then the row is gone."""
    row = await queued(still)
    pause = await still.core.revoking.work()

    assert b"demo-refresh" not in row["token"]
    assert ("demo", "default", 0) == (row["provider"], row["instance"], row["tries"])
    assert ["ada"] == still.provider.revoked
    assert [] == await queue(still)
    assert 3600.0 == pause
    assert [{"outcome": "done", "provider": "demo"}] == await audited(still, "account.revoked")


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"drop": True}])
async def test_a_service_in_trouble_is_asked_again_after_growing_pauses(still: Bench, fault: dict[str, Any]) -> None:
    """RFC 7009 section 2.2.1: the token is alive still."""
    await queued(still)
    still.provider.fail("/revoke", times=None, **fault)
    pauses = []
    for _ in range(9):
        pauses.append(await still.core.revoking.work())
        still.clock.pass_(pauses[-1] + 1)
    still.provider.clear_faults()
    await still.core.revoking.work()

    assert [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] == [round(pause, -1) for pause in pauses]
    assert ["ada"] == still.provider.revoked
    assert [] == await queue(still)


async def test_what_is_not_due_is_not_tried(still: Bench) -> None:
    """Looking at the queue again does not hurry it."""
    await queued(still)
    still.provider.fail("/revoke", times=None)
    await still.core.revoking.work()
    before = still.provider.requests.count("POST /revoke")
    await still.core.revoking.work()

    assert 1 == before == still.provider.requests.count("POST /revoke")


async def test_after_a_day_it_is_dropped(still: Bench) -> None:
    """The box would only grow old; it is recorded that the service never answered."""
    await queued(still)
    still.provider.fail("/revoke", times=None)
    await still.core.revoking.work()
    still.clock.pass_(86399)
    await still.core.revoking.work()
    kept = await queue(still)
    still.clock.pass_(3700)
    await still.core.revoking.work()

    assert 1 == len(kept)
    assert [] == await queue(still)
    assert [{"outcome": "dropped", "provider": "demo"}] == await audited(still, "account.revoked")


async def test_a_refusal_of_the_token_is_final(still: Bench) -> None:
    """RFC 7009 section 2.2.1: asking again would not help."""
    await queued(still)
    still.provider.fail("/revoke", status=400)
    await still.core.revoking.work()

    assert [] == await queue(still)
    assert [{"outcome": "refused", "provider": "demo"}] == await audited(still, "account.revoked")


async def test_a_refusal_of_the_client_is_not(still: Bench) -> None:
    """The operator may mend the secret within the day."""
    await queued(still)
    still.provider.fail("/revoke", status=401)
    await still.core.revoking.work()
    still.clock.pass_(61)
    await still.core.revoking.work()

    assert ["ada"] == still.provider.revoked


async def test_a_box_that_cannot_be_opened_is_dropped(still: Bench) -> None:
    """Somebody wrote to it; there is nothing to hand back."""
    await queued(still)
    async with still.core.database.transaction() as tx:
        await tx.execute("UPDATE revocations SET token = CAST(substr(token, 1, 4) || X'00' AS BLOB)")
    await still.core.revoking.work()

    assert [] == await queue(still)
    assert [{"outcome": "unreadable", "provider": "demo"}] == await audited(still, "account.revoked")


async def test_without_its_key_it_waits(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator may put the key back."""
    await queued(still)

    def locked(*_: object) -> str:
        raise KeyMissing("0badcafe")

    with monkeypatch.context() as patch:
        patch.setattr(still.core.revoking._revoker, "unbox", locked)
        await still.core.revoking.work()
    still.clock.pass_(61)
    waiting = await queue(still)
    await still.core.revoking.work()

    assert [1] == [row["tries"] for row in waiting]
    assert ["ada"] == still.provider.revoked


async def test_a_service_that_is_configured_no_more_is_tried_for_a_day(plan: Plan) -> None:
    """It may come back with the next configuration."""
    async with Bench.open(plan) as bench:
        stop_task(bench, "revocations")
        await queued(bench)
    async with Bench.open(replace(plan, provider=None)) as bench:
        stop_task(bench, "revocations")
        await bench.core.revoking.work()
        tries = [row["tries"] for row in await queue(bench)]

    assert [1] == tries


async def test_a_service_without_revocation_is_asked_nothing(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person was told to look at its own list of applications."""
    await queued(still)
    instances = still.core.options.instances
    bare = replace(instances.get("demo"), server=AuthorizationServer("https://a.example", "https://t.example"))

    async def ready(*_: object) -> Instance:
        return bare

    monkeypatch.setattr(instances, "ready", ready)
    await still.core.revoking.work()

    assert [] == await queue(still)
    assert [{"outcome": "unsupported", "provider": "demo"}] == await audited(still, "account.revoked")


# ---------------------------------------------------------------------------- what goes back and what not


async def test_a_token_is_not_handed_back_where_that_cuts_a_living_link(still: Bench) -> None:
    """Two people linked one account before it was noticed: revoking one would end the other."""
    await still.link()
    await still.link(GRACE, "grace")
    hers = (await all_accounts(still))[1]
    await write(still, replace(hers, external="u-ada", status="broken"))
    await still.say("!unlink demo")

    assert [] == await queue(still)
    assert ["u-2"] == [one.linked_by.subject for one in await all_accounts(still)]


async def test_what_was_linked_again_meanwhile_is_not_revoked(still: Bench) -> None:
    """A70: the same grant may live on under the new link."""
    await still.link()
    await still.say("!unlink demo")
    await still.link()
    await still.core.revoking.work()

    assert [] == await queue(still)
    assert [] == still.provider.revoked
    assert ["You have no notes."] == await still.say("!notes")
    assert [{"outcome": "linked again", "provider": "demo"}] == await audited(still, "account.revoked")


async def test_a_pending_double_keeps_nothing_alive(still: Bench) -> None:
    """It is not a link yet."""
    await still.link()
    await still.link(GRACE, "grace")
    hers = (await all_accounts(still))[1]
    await write(still, replace(hers, external="u-ada", status="pending"))
    await still.say("!unlink demo")

    assert 1 == len(await queue(still))


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("never", None), ("access", "access_token"), ("refresh", "refresh_token")],
)
async def test_the_catalogue_says_which_token_goes_back(
    still: Bench, monkeypatch: pytest.MonkeyPatch, kind: Any, hint: str | None
) -> None:
    """Or that none does, where that would cut links that are not ours."""
    await still.link()
    instances = still.core.options.instances
    found = instances.get("demo")
    changed = replace(found, provider=replace(found.provider, revoke=kind))

    async def ready(*_: object) -> Instance:
        return changed

    monkeypatch.setattr(instances, "get", lambda *_: changed)
    monkeypatch.setattr(instances, "ready", ready)
    bodies: list[bytes] = []
    send = still.core.options.http.send

    async def watching(request: Any, **more: Any) -> Any:
        bodies.append(request.body)
        return await send(request, **more)

    monkeypatch.setattr(still.core.options.http, "send", watching)
    await still.say("!unlink demo")
    await still.core.revoking.work()

    assert [] == await all_accounts(still)
    assert ([hint] if hint else []) == [
        part.partition("=")[2] for body in bodies for part in body.decode().split("&") if part.startswith("token_type_")
    ]
    assert all(f"token=demo-{kind}-".encode() in body for body in bodies)


def test_without_a_refresh_token_the_access_token_goes_back(still: Bench) -> None:
    """There is no other."""
    instance = still.core.options.instances.get("demo")

    access = replace(instance, provider=replace(instance.provider, revoke="access"))

    assert ("r", "refresh_token") == revoking._which(instance, Token("a", "r"))
    assert ("a", "access_token") == revoking._which(instance, Token("a"))
    assert ("a", "access_token") == revoking._which(access, Token("a", "r"))


async def test_what_cannot_be_opened_is_erased_all_the_same(still: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A person who unlinks gets rid of it, whatever is wrong with it."""
    await still.link()
    account = (await all_accounts(still))[0]
    await write(still, replace(account, token=b"damaged"))
    said = await still.say("!unlink demo")

    assert "is unlinked" in said[0]
    assert [] == await all_accounts(still)
    assert [] == await queue(still)
    assert "cannot be revoked upstream: Tampered" in caplog.text


async def test_a_token_that_was_never_stored_goes_back(still: Bench) -> None:
    """As when the flow ended while the provider was answering."""
    issued = still.provider.issue("ada", "omnibot", ("notes:read",))
    await still.core.revoking.discard("demo", "default", Token(issued["access_token"], issued["refresh_token"]))
    await still.core.revoking.work()

    assert ["ada"] == still.provider.revoked


# ------------------------------------------------------------------------------------------ by itself


async def test_it_begins_at_once_when_something_is_put_there(bench: Bench) -> None:
    """Nobody waits for the hour."""
    await queued_by_itself(bench)

    assert ["ada"] == bench.provider.revoked


async def queued_by_itself(bench: Bench) -> None:
    await bench.link()
    await bench.say("!unlink demo")
    await until(lambda: bench.provider.revoked)


async def test_it_survives_a_restart(plan: Plan, provider: DemoProvider, tmp_path: Path) -> None:
    """What waited is tried at the next start."""
    async with Bench.open(plan) as bench:
        stop_task(bench, "revocations")
        await queued(bench)
    assert [] == provider.revoked
    async with Bench.open(plan):
        await until(lambda: provider.revoked)

    assert ["ada"] == provider.revoked


async def test_a_queue_that_cannot_be_read_is_looked_at_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next kick works."""
    work = bench.core.revoking.work
    with monkeypatch.context() as patch:

        async def fail() -> float:
            raise RuntimeError

        patch.setattr(bench.core.revoking, "work", fail)
        bench.core.revoking.kick()
        await until(lambda: "could not be worked off" in caplog.text)
    assert work is not None
    await queued_by_itself(bench)

    assert logging.ERROR == caplog.records[0].levelno
    assert ["ada"] == bench.provider.revoked


async def test_it_looks_again_when_the_next_is_due(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kick."""
    looked: list[None] = []

    async def work() -> float:
        looked.append(None)
        return 0.001

    monkeypatch.setattr(bench.core.revoking, "work", work)
    bench.core.revoking.kick()
    await until(lambda: len(looked) > 2)

    assert len(looked) > 2


async def test_a_row_that_cannot_be_tried_holds_up_no_other_and_is_not_tried_at_once_again(
    still: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever went wrong with it."""
    await queued(still)
    tried: list[object] = []

    async def fail(row: object) -> None:
        tried.append(row)
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(still.core.revoking, "_try", fail)
        pause = await still.core.revoking.work()
    await still.core.revoking.work()

    assert 1 == len(tried)
    assert 1.0 == pause
    assert "a revocation could not be tried: RuntimeError" in caplog.text
    assert ["ada"] == still.provider.revoked


async def test_a_box_moved_to_another_service_is_not_opened(plan: Plan) -> None:
    """A23: whoever can write to the database could have it sent to a server of theirs."""
    async with two_instances(plan) as (bench, home, work):
        stop_task(bench, "revocations")
        await bench.link(service="demo@home")
        await bench.say("!unlink demo@home")
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE revocations SET instance = 'work'")
        await bench.core.revoking.work()
        outcome = await audited(bench, "account.revoked")

    assert [{"outcome": "unreadable", "provider": "demo"}] == outcome
    assert ([], []) == (home.revoked, work.revoked)
    assert "POST /revoke" not in work.requests


async def test_what_was_linked_again_meanwhile_is_not_cut(still: Bench) -> None:
    """A70: a revocation that waited for the service would take the new link's grant with it."""
    await still.link()
    still.provider.fail("/oauth/revoke", status=503, times=1)
    still.provider.fail("/revoke", status=503, times=1)
    await still.say("!unlink demo")
    await still.core.revoking.work()
    still.provider.clear_faults()
    await still.link()
    still.clock.pass_(3600)
    await still.core.revoking.work()

    assert [] == still.provider.revoked
    assert ["You have no notes."] == await still.say("!notes")
    assert [] == await still.rows("SELECT * FROM revocations")
