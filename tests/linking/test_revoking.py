"""Tokens go back to their service as soon as it listens, and are dropped after a day."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linking.steps import all_accounts, audited, stop_task, two_instances, until, write
from omnibot.accounts import Status
from omnibot.demo.provider import DemoProvider
from omnibot.errors import KeyMissing
from omnibot.linking import revoking
from omnibot.linking.revoking import erased_words, revocable
from omnibot.provider import (
    EVERYTHING,
    AuthorizationServer,
    ClientCredential,
    Instance,
    Provider,
    RevokeRequest,
    Token,
    Whoami,
)
from omnibot.testing.bench import GRACE, Bench, Plan
from omnibot.wire import Request, Sender


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


async def test_who_works_while_others_do_hands_nothing_back_twice(still: Bench) -> None:
    """They wait for each other, and the second finds nothing left."""
    await queued(still)
    await asyncio.gather(*(still.core.revoking.work() for _ in range(3)))

    assert ["ada"] == still.provider.revoked
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
    still.clock.pass_(86_000)
    await still.core.revoking.work()
    kept = await queue(still)
    still.clock.pass_(4200)
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
    await write(still, replace(hers, external="u-ada", status="active"))
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


@pytest.mark.parametrize("status", ["pending", "broken"])
async def test_a_double_that_does_not_live_keeps_nothing_alive(still: Bench, status: Status) -> None:
    """It is not a link yet, or no link any more."""
    await still.link()
    await still.link(GRACE, "grace")
    hers = (await all_accounts(still))[1]
    await write(still, replace(hers, external="u-ada", status=status))
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

    assert ("r", "refresh_token") == revoking.to_hand_back(instance, Token("a", "r"))
    assert ("a", "access_token") == revoking.to_hand_back(instance, Token("a"))
    assert ("a", "access_token") == revoking.to_hand_back(access, Token("a", "r"))


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


# ------------------------------------------------------------------------------- a call of the service's own


OWN = RevokeRequest("DELETE", "/api/users/{name}/tokens/{token.id}?now=1")


def own_call(bench: Bench, monkeypatch: pytest.MonkeyPatch, said: object) -> list[Request]:
    """Let the service end tokens by `OWN`, and whoami say *said*; return what is sent there, as it is sent."""
    instances, sent = bench.core.options.instances, list[Request]()
    found = instances.get("demo")
    changed = replace(found, provider=replace(found.provider, revoke_request=OWN))
    ready, send = instances.ready, bench.core.options.http.send

    async def own_ready(instance: Instance, http: Sender) -> Instance:
        known = await ready(found, http)
        return replace(known, provider=replace(known.provider, revoke_request=OWN))

    async def watching(request: Request, **more: Any) -> Any:
        if "/api/me" in request.url or "/tokens/" in request.url:
            sent.append(replace(request, headers={**request.headers, "origins": ",".join(more["origins"])}))
        return await send(request, **more)

    monkeypatch.setattr(instances, "get", lambda *_: changed)
    monkeypatch.setattr(instances, "ready", own_ready)
    monkeypatch.setattr(bench.core.options.http, "send", watching)
    bench.provider.fail("/api/me", status=200, body=json.dumps(said), times=None)
    return sent


WHOAMI = {"name": "ada/../x y", "token": {"id": 7}}


async def test_a_token_ends_itself_by_the_services_own_call(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoami says which it is, each value quoted; both requests are signed by it, the second goes to the API alone."""
    await still.link()
    sent = own_call(still, monkeypatch, WHOAMI)
    still.provider.fail("/api/users", status=204)
    said = await still.say("!unlink demo")
    await still.core.revoking.work()

    assert ["Demo notes as **ada** is unlinked: erased here, and its token is being revoked."] == said
    assert ["GET", "DELETE"] == [one.method for one in sent]
    assert f"{still.provider.origin}/api/users/ada%2F..%2Fx%20y/tokens/7?now=1" == sent[1].url
    assert sent[0].headers["Authorization"] == sent[1].headers["Authorization"]
    assert sent[1].headers["Authorization"].startswith("Bearer demo-access-")
    assert still.provider.origin == sent[1].headers["origins"]
    assert "POST /revoke" not in still.provider.requests
    assert [] == await queue(still)
    assert [{"outcome": "done", "provider": "demo"}] == await audited(still, "account.revoked")


@pytest.mark.parametrize(
    ("whoami", "call", "outcome"),
    [
        (401, None, "done"),
        (403, None, "done"),
        (404, None, "unsupported"),
        (302, None, "unsupported"),
        (200, 404, "done"),
        (200, 401, "done"),
        (200, 403, "refused"),
        (200, 400, "refused"),
    ],
)
async def test_what_the_answers_of_the_own_call_mean(
    still: Bench, monkeypatch: pytest.MonkeyPatch, whoami: int, call: int | None, outcome: str
) -> None:
    """A token that is dead already is what was wanted; a no is final."""
    await still.link()
    sent = own_call(still, monkeypatch, WHOAMI)
    if whoami != 200:
        still.provider.clear_faults()
        still.provider.fail("/api/me", status=whoami, times=None)
    still.provider.fail("/api/users", status=call)
    await still.say("!unlink demo")
    await still.core.revoking.work()

    assert [] == await queue(still)
    assert [{"outcome": outcome, "provider": "demo"}] == await audited(still, "account.revoked")
    assert (1 if call is None else 2) == len(sent)


@pytest.mark.parametrize("path", ["/api/me", "/api/users"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"drop": True}])
async def test_the_own_call_is_tried_again(
    still: Bench, monkeypatch: pytest.MonkeyPatch, path: str, fault: dict[str, Any]
) -> None:
    """Wherever the trouble was, for a day at most."""
    await still.link()
    own_call(still, monkeypatch, WHOAMI)
    still.provider.clear_faults()
    still.provider.fail(path, **fault)
    still.provider.fail("/api/me", status=200, body=json.dumps(WHOAMI), times=None)
    still.provider.fail("/api/users", status=204)
    await still.say("!unlink demo")
    await still.core.revoking.work()
    waiting = await queue(still)
    still.clock.pass_(61)
    await still.core.revoking.work()

    assert [1] == [row["tries"] for row in waiting]
    assert [{"outcome": "done", "provider": "demo"}] == await audited(still, "account.revoked")


@pytest.mark.parametrize(
    "said",
    [[], {}, {"name": "ada"}, {"name": "ada", "token": 5}, {"name": "..", "token": {"id": 1}}]
    + [{"name": "ada", "token": {"id": value}} for value in ("", ".", True, None, 1.5, [1], {"a": 1})],
)
async def test_a_whoami_that_does_not_say_sends_nothing(
    still: Bench, monkeypatch: pytest.MonkeyPatch, said: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Least of all to another address below the API."""
    await still.link()
    sent = own_call(still, monkeypatch, said)
    await still.say("!unlink demo")
    await still.core.revoking.work()

    assert ["GET"] == [one.method for one in sent]
    assert [{"outcome": "unsupported", "provider": "demo"}] == await audited(still, "account.revoked")
    assert "does not say what its revoke_request needs" in caplog.text


# ------------------------------------------------------------------------------------------- what is promised


def test_what_goes_back_and_what_does_not() -> None:
    """One function decides what people are told and what is done."""
    provider = Provider("x", "X", {}, Whoami("/me", "id", "login"))
    server = AuthorizationServer("https://x.example/a", "https://x.example/t")
    client = ClientCredential("id")
    bare = Instance(provider, "default", client, server, "", "https://x.example", frozenset())
    rfc = replace(bare, server=replace(server, revoke_url="https://x.example/r"))
    own = replace(bare, provider=replace(provider, revoke_request=OWN))
    never = replace(rfc, provider=replace(provider, revoke="never"))
    unknown = replace(bare, server=None)

    assert [False, True, True, False, True] == [revocable(one) for one in (bare, rfc, own, never, unknown)]
    assert not any(revocable(one, by_key=True) for one in (bare, rfc, own, never, unknown))


def test_nobody_is_promised_what_does_not_happen() -> None:
    """Where the bot cannot take a permission back, it says who can, and where."""
    provider = Provider("x", "X*y", {}, Whoami("/me", "id", "login"), apps_url="https://x.example/apps")
    instance = Instance(provider, "default", ClientCredential("id"), None, "", "https://x.example", frozenset())
    keyed = replace(instance, key_url="https://x.example/keys")
    there, keys = "[X\\*y](https://x.example/apps)", "[X\\*y](https://x.example/keys)"

    assert "erased here, and its token is being revoked." == erased_words("queued", instance)
    assert f"erased here. I cannot revoke its permission: take that back at {there}." == erased_words("kept", instance)
    assert f"erased here. The key itself still works: delete it at {keys}." == erased_words("kept", keyed, by_key=True)
    assert f"erased here. The key itself still works: delete it at {there}." == erased_words(
        "lost", instance, by_key=True
    )
    assert "would cut another link of the same account" in erased_words("shared", instance)
    assert "erased here. I cannot revoke its permission: take that back at the service." == erased_words("lost", None)
    assert erased_words("kept", replace(instance, provider=replace(provider, apps_url=""))).endswith("back at X\\*y.")


async def test_a_server_that_has_not_said_yet_is_asked_before_anything_is_promised(plan: Plan) -> None:
    """After a restart nothing is known of it; it turns out to have no way to revoke."""
    async with Bench.open(plan) as bench:
        await bench.link()
    assert plan.provider is not None
    metadata = {
        "issuer": plan.provider.origin,
        "authorization_endpoint": f"{plan.provider.origin}/authorize",
        "token_endpoint": f"{plan.provider.origin}/token",
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
    }
    plan.provider.fail("/.well-known", status=200, body=json.dumps(metadata), times=None)
    async with Bench.open(plan) as bench:
        stop_task(bench, "revocations")
        said = await bench.say("!unlink demo")
        await bench.core.revoking.work()
        events = await audited(bench, "account.revoked")

    assert "I cannot revoke its permission: take that back at Demo notes." in said[0]
    assert [{"outcome": "unsupported", "provider": "demo"}] == events


async def test_a_key_of_their_own_is_theirs_to_delete(still: Bench) -> None:
    """It is erased here and good there, and that is what its owner is told, however they unlink it."""
    told = []
    for words in (("!unlink demo",), ("!undo",), ("!forget me", "yes")):
        await still.link()
        account = (await all_accounts(still))[0]
        await write(still, replace(account, scopes=(EVERYTHING,)))
        told += [[await still.say(one) for one in words][-1][0]]
        left = [await all_accounts(still), await queue(still)]

        assert [[], []] == left

    assert ["The key itself still works: delete it at Demo notes." in one for one in told] == [True] * 3
    assert not [one for one in told if "being revoked" in one]


@pytest.mark.parametrize("granted", ["*", EVERYTHING])
async def test_no_server_makes_a_key_of_its_token(still: Bench, granted: str) -> None:
    """Whatever it calls a scope: its token is none of their owner's making, and goes back."""
    still.provider.grant_scopes = ("notes:read", granted)
    await still.link()
    account = (await all_accounts(still))[0]
    said = await still.say("!unlink demo")

    assert not account.by_key
    assert ["Demo notes as **ada** is unlinked: erased here, and its token is being revoked."] == said
    assert 1 == len(await queue(still))


async def test_what_no_header_can_carry_is_dropped(still: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be tried for ever."""
    await still.link()
    own_call(still, monkeypatch, WHOAMI)
    async with still.core.database.transaction() as tx:
        instance = still.core.options.instances.get("demo")
        await still.core.revoking._enqueue(tx, instance, Token("a\nb"), "u-ada-2")
    await still.core.revoking.work()

    assert [] == await queue(still)
    assert [{"outcome": "unreadable", "provider": "demo"}] == await audited(still, "account.revoked")


async def test_a_service_that_is_down_holds_up_no_unlinking(plan: Plan) -> None:
    """Erased at once; its token goes back when the service listens again."""
    async with Bench.open(plan) as bench:
        await bench.link()
    assert plan.provider is not None
    await plan.provider.stop()
    async with Bench.open(plan) as bench:
        stop_task(bench, "revocations")
        said = await bench.say("!unlink demo")
        await bench.core.revoking.work()
        waiting = await queue(bench)
        await plan.provider.start()
        bench.clock.pass_(3600)
        await bench.core.revoking.work()

    assert ["Demo notes as **ada** is unlinked: erased here, and its token is being revoked."] == said
    assert 1 == len(waiting)
    assert ["ada"] == plan.provider.revoked
