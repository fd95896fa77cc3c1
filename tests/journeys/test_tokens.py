"""Tokens are renewed, lost, refused and handed back while people go on as if nothing were."""

import asyncio
from dataclasses import replace

import pytest

from acting import hurried
from journeys.walks import (
    NOTHING,
    account_of,
    authorise,
    calls,
    flows,
    heading,
    is_active,
    left,
    link,
    token_of,
    until,
)
from omnibot.http import Http
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.wire import Answer, Request
from servers.browser import HttpBrowser
from servers.processes import OidcServer

OUT_OF_ORDER = "OpenID Connect is out of order (status 503). Try again in a while."
BROKEN_OFF = "127.0.0.1 broke off before its answer was complete."


def grants(oidc: OidcServer) -> list[str]:
    """What became of the token endpoint's requests, by the provider's own log: ``success refresh_token``."""
    lines = [line.split() for line in oidc.log_lines() if line.startswith("grant.")]
    facts = [(words[0].removeprefix("grant."), dict(word.split("=", 1) for word in words[1:4])) for words in lines]
    return [f"{event} {said.get('grant', '')}".strip() for event, said in facts]


# ------------------------------------------------------------------------ renewing


async def test_a_token_that_runs_out_is_renewed_again_and_again(bench: Bench, oidc: OidcServer) -> None:
    """Each command of a short-lived token works; each refresh token is used once, and the next one is stored."""
    oidc.fault(access_token_ttl=20)
    await link(bench)
    spent = [await token_of(bench)]
    for _ in range(3):
        answers = await bench.say("!api oidc GET /me")
        spent.append(await token_of(bench))

        assert '"user": "alice"' in answers[0]

    assert 4 == len({token.refresh for token in spent})
    assert 4 == len({token.access for token in spent})
    assert ["success authorization_code", *["success refresh_token"] * 3] == grants(oidc)
    assert (4, 0) == ((await account_of(bench)).generation, (await account_of(bench)).refreshing)


async def test_a_token_is_renewed_before_it_runs_out(bench: Bench, oidc: OidcServer) -> None:
    """Half a minute before its end by our clock; the service sees no expired token."""
    await link(bench)
    bench.clock.pass_(200)
    await bench.say("!api oidc GET /me")
    early = grants(oidc)
    bench.clock.pass_(75)
    answers = await bench.say("!api oidc GET /me")

    assert (["success authorization_code"], "success refresh_token") == (early, grants(oidc)[-1])
    assert '"user": "alice"' in answers[0]
    assert ["api call=GET /api/me user=alice"] * 2 == calls(oidc)


async def test_a_token_that_the_service_refuses_early_is_renewed_once(bench: Bench, oidc: OidcServer) -> None:
    """The first 401 is not the end: the same command succeeds with a fresh token, and nobody is bothered."""
    await link(bench)
    oidc.fault(path="/api/me", status=401)
    answers = await bench.say("!api oidc GET /me")

    assert 1 == len(answers)
    assert '"user": "alice"' in answers[0]
    assert ["success authorization_code", "success refresh_token"] == grants(oidc)


async def test_renewing_survives_a_restart_of_the_bot(plan: Plan, oidc: OidcServer) -> None:
    """The new refresh token is the one that is used after it."""
    oidc.fault(access_token_ttl=20)
    async with Bench.open(plan) as first:
        await link(first)
        await first.say("!api oidc GET /me")
    async with Bench.open(first.plan, first.clock) as second:
        answers = await second.say("!api oidc GET /me")

    assert '"user": "alice"' in answers[0]
    assert ["success authorization_code", *["success refresh_token"] * 2] == grants(oidc)


async def test_a_renewal_that_meets_trouble_is_tried_again(bench: Bench, oidc: OidcServer) -> None:
    """While the token is good nobody notices; then a command gets a readable sentence, and no account is lost."""
    oidc.fault(access_token_ttl=20)
    await link(bench)
    oidc.fault(path="/token", status=503)
    still_good = await bench.say("!api oidc GET /me")
    bench.clock.pass_(25)
    oidc.fault(path="/token", drop=True)
    dropped = await bench.say("!api oidc GET /me")
    put_off = await bench.say("!api oidc GET /me")
    status = (await account_of(bench)).status
    bench.clock.pass_(60)
    answers = await bench.say("!api oidc GET /me")

    assert '"user": "alice"' in still_good[0]
    assert ([BROKEN_OFF], "active") == (dropped, status)
    assert put_off[0].startswith("OpenID Connect did not renew your login when I last asked. I ask again in ")
    assert '"user": "alice"' in answers[0]
    assert [] == await bench.rows("SELECT 1 FROM flows WHERE state = 'open'")


# -------------------------------------------------------------------------- losing


async def test_a_service_that_forgot_everybody_is_linked_again(bench: Bench, oidc: OidcServer, room: Channel) -> None:
    """The command that found out is parked, one private link goes out, and after the confirm the command runs."""
    await link(bench)
    oidc.restart()
    oidc.clear()
    await bench.say("!api oidc GET /me", ADA, room)
    told = bench.network.private_texts(ADA)[-1]
    listed = await bench.say("!accounts")
    answers = await bench.say(f"!confirm {await authorise(bench)}")

    assert told.startswith("OpenID Connect no longer accepts your link.")
    assert "After that I run what you asked for: `!api oidc GET /me`" in told
    assert "(no longer accepted: link it again)" in listed[0]
    assert "Running what you asked for" in answers[0]
    assert '"user": "alice"' in answers[1]
    assert "api call=GET /api/me user=alice" == calls(oidc)[-1]
    assert "active" == (await account_of(bench)).status


async def test_twenty_commands_get_one_link(bench: Bench, oidc: OidcServer) -> None:
    """Queued behind each other, all find the account dead; the first is parked, the others are pointed to its link."""
    await link(bench)
    oidc.restart()
    oidc.clear()
    before = len(bench.network.said)
    for _ in range(20):
        await bench.network.hear("!api oidc GET /me", ADA)
    await bench.settle()
    said = bench.network.said[before:]
    answers = await bench.say(f"!confirm {await authorise(bench)}")

    assert [True] + [False] * 19 == [one.reply.link is not None for one in said]
    assert ["Use the link I sent you for OpenID Connect, or `!link oidc` for a new one."] == list(
        {one.reply.text for one in said[1:]}
    )
    assert 2 == len(answers)  # linked, and what the one command brought
    assert 1 == len([line for line in oidc.log_lines() if line.startswith("api") and "refused" not in line])
    assert 1 == len([line for line in oidc.log_lines() if line.startswith("grant.error")])


# -------------------------------------------------------------------------- trouble


@pytest.mark.parametrize("path", ["/token", "/me"], ids=["for the token", "for whose it is"])
@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}], ids=["503", "dropped"])
async def test_a_provider_that_fails_while_linking(
    bench: Bench, oidc: OidcServer, path: str, fault: dict[str, object]
) -> None:
    """Page and chat say so, nothing is left, a token that was got goes back; and trying again works."""
    oidc.fault(path=path, **fault)
    await bench.say("!api oidc GET /me")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())
    told = bench.network.private_texts(ADA)[-1]
    await bench.core.revoking.work()
    nothing = await left(bench)
    revoked = [event for event in grants(oidc) if event == "revoked"]
    await link(bench)

    assert (503, "The service does not answer") == (page.status, heading(page))
    assert told.startswith("OpenID Connect did not answer when I came for the token. Try again in a while.")
    assert "`!api oidc GET /me` was not run" in told
    assert (NOTHING, ("refused", "unavailable")) == (nothing, (await flows(bench))[0])
    assert (path == "/me") == bool(revoked)
    assert '"user": "alice"' in (await bench.say("!api oidc GET /me"))[0]


async def test_a_provider_that_refuses_while_linking(bench: Bench, oidc: OidcServer) -> None:
    """A refusal is told as one, and leaves nothing."""
    oidc.fault(path="/token", status=400, body={"error": "invalid_grant"})
    await bench.say("!link oidc")
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(bench.link_for())

    assert (502, "The service took it back") == (page.status, heading(page))
    assert "did not hand over a token" in bench.network.private_texts(ADA)[-1]
    assert NOTHING == await left(bench)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"status": 503}, OUT_OF_ORDER),
        ({"drop": True}, BROKEN_OFF),
        ({"status": 403}, "OpenID Connect does not allow you that (status 403)."),
        ({"status": 404}, "OpenID Connect does not know that, or does not show it to you (status 404)."),
        (
            {"status": 429, "headers": {"Retry-After": "7"}},
            "OpenID Connect asks you to slow down. Try again in 7 seconds.",
        ),
        ({"status": 302, "headers": {"Location": "/api/me"}}, "sent me elsewhere (status 302), and I do not follow."),
    ],
    ids=["503", "dropped", "403", "404", "429", "302"],
)
@pytest.mark.parametrize("command", ["GET /notes", 'POST /notes {"text": "tea"}'], ids=["GET", "POST"])
async def test_trouble_at_the_service_is_one_sentence(
    bench: Bench, oidc: OidcServer, fault: dict[str, object], sentence: str, command: str
) -> None:
    """Nothing of the service's own error is repeated, nothing is sent twice, and the next command works."""
    await link(bench)
    oidc.fault(path="/api/", body={"error": "s3cret"}, **fault)
    answers = await bench.say(f"!api oidc {command}")
    sent = [line for line in oidc.log_lines() if line.startswith(("fault", "api"))]
    again = await bench.say(f"!api oidc {command}")

    assert 1 == len(answers)
    assert answers[0].endswith(sentence)
    assert [f"fault call={command.split()[0]} /api/notes"] == sent
    assert again[0].strip().startswith("```json")


class Hasty(Http):
    """An outward client that can be told not to wait for long."""

    patience = 20.0

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - as the client's own
        limit: int = 1_048_576,
    ) -> Answer:
        return await super().send(
            request, origins=origins, private=private, timeout=min(timeout, self.patience), limit=limit
        )


async def test_a_service_that_does_not_answer_in_time(plan: Plan, oidc: OidcServer) -> None:
    """The command ends with a sentence, and the next one works."""
    http = Hasty()
    async with Bench.open(replace(plan, http=lambda: http)) as bench:
        await link(bench)
        oidc.fault(path="/api/", delay=400)
        http.patience = 0.25
        late = await bench.say("!api oidc GET /me")
        http.patience = 20.0
        answers = await bench.say("!api oidc GET /me")

    assert ["127.0.0.1 did not answer in time."] == late
    assert '"user": "alice"' in answers[0]


async def test_a_command_that_takes_too_long_is_stopped(plan: Plan, oidc: OidcServer) -> None:
    """Whatever it waits for; it says so itself."""
    async with Bench.open(plan) as bench:
        await link(bench)
        oidc.fault(path="/api/", delay=400)
        with hurried(bench, 0.25):
            late = await bench.say("!api oidc GET /me")
        answers = await bench.say("!api oidc GET /me")

    assert ["`api` took too long and was stopped."] == late
    assert '"user": "alice"' in answers[0]


# -------------------------------------------------------------------- handing back


@pytest.mark.row("T5")
async def test_unlinking_ends_it_at_the_service(bench: Bench, oidc: OidcServer) -> None:
    """Access and refresh token are dead there, the rows are gone here, and a command asks for a new link."""
    await link(bench)
    token = await token_of(bench)
    before = [is_active(oidc, one) for one in (token.access, token.refresh)]
    answers = await bench.say("!unlink oidc")
    await bench.core.revoking.work()
    after = [is_active(oidc, one) for one in (token.access, token.refresh)]

    assert ["OpenID Connect as **alice** is unlinked: erased here, and its token is being revoked."] == answers
    assert ([True, True], [False, False]) == (before, after)
    assert NOTHING == await left(bench)
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == await bench.say("!accounts")
    assert "To connect **OpenID Connect**" in (await bench.say("!api oidc GET /me"))[0]


async def test_what_cannot_be_revoked_now_is_revoked_later(bench: Bench, oidc: OidcServer) -> None:
    """The person is answered at once and the account is gone; the queue comes back to it when the service is well."""
    await link(bench)
    token = await token_of(bench)
    oidc.fault(path="/token/revocation", status=503)
    answers = await bench.say("!unlink oidc")

    async def tried() -> bool:
        return [1] == [row["tries"] for row in await bench.rows("SELECT tries FROM revocations")]

    async def done() -> bool:
        return NOTHING == await left(bench)

    await until(tried)
    bench.core.revoking.kick()
    too_early = is_active(oidc, token.refresh)
    bench.clock.pass_(90)
    bench.core.revoking.kick()
    await until(done)

    assert answers[0].endswith("is unlinked: erased here, and its token is being revoked.")
    assert (True, False) == (too_early, is_active(oidc, token.refresh))
    assert "revoked" == grants(oidc)[-1]


async def test_what_waits_to_be_revoked_survives_a_restart(plan: Plan, oidc: OidcServer) -> None:
    """The queue is in the database, sealed."""
    oidc.fault(path="/token/revocation", drop=True)
    async with Bench.open(plan) as first:
        await link(first)
        token = await token_of(first)
        await first.say("!unlink oidc")

        async def tried() -> bool:
            return [1] == [row["tries"] for row in await first.rows("SELECT tries FROM revocations")]

        await until(tried)  # the service fails once: it is to fail here
        (kept,) = await first.rows("SELECT token FROM revocations")
    first.clock.pass_(90)
    async with Bench.open(first.plan, first.clock) as second:

        async def done() -> bool:
            return NOTHING == await left(second)

        await until(done)

    assert token.refresh not in str(kept)
    assert not is_active(oidc, token.refresh)


# ------------------------------------------------------------------------- together


async def test_two_people_at_once_are_two_people(bench: Bench, oidc: OidcServer) -> None:
    """Ten commands each, all at the same time: everyone writes as themselves, and the service's log agrees."""
    await link(bench, "alice", ADA)
    await link(bench, "bob", GRACE)
    for number in range(10):
        await bench.network.hear(f'!api oidc POST /notes {{"text": "a{number}"}}', ADA)
        await bench.network.hear(f'!api oidc POST /notes {{"text": "b{number}"}}', GRACE)
    await bench.settle()
    await asyncio.gather(bench.say("!api oidc GET /notes", ADA), bench.say("!api oidc GET /notes", GRACE))
    read = [bench.network.private_texts(who)[-1] for who in (ADA, GRACE)]

    log = calls(oidc)
    posted = [log.count(f"api call=POST /api/notes user={name}") for name in ("alice", "bob")]
    assert ([10, 10], 22) == (posted, len(log))
    assert [(10, 0), (0, 10)] == [(text.count('"author": "alice"'), text.count('"author": "bob"')) for text in read]


@pytest.mark.parametrize("path", ["https://evil.example/me", "../me", "/%2e%2e/me"])
async def test_a_token_goes_nowhere_else(bench: Bench, oidc: OidcServer, path: str) -> None:
    """A path that leaves the service's own API is refused in one sentence, before anything is sent."""
    await link(bench)
    answers = await bench.say(f"!api oidc GET {path}")

    assert ["That address is not one I may call."] == answers
    assert [] == calls(oidc)
