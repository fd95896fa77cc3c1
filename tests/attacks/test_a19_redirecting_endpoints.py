"""A19: an endpoint that redirects.

The token endpoint, taken over or with an open redirect of its own, answers 307: a client that follows
sends the code, the verifier and the client's secret on to Mallory. The same goes for every other request
that carries something.

What must hold: a redirect is an answer like any other, and never followed; the link fails in words, and
what had been got by then is revoked.

What remains: an endpoint that passes on by itself what it is sent.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from attacks.helpers import answered, arrive, ends, stopping, stored
from omnibot.demo.provider import DemoProvider
from omnibot.http import Http
from omnibot.testing.bench import ADA, Bench
from omnibot.wire import Answer, Request


@pytest.fixture
async def evil() -> AsyncIterator[DemoProvider]:
    """A server of Mallory's, which remembers who came."""
    async with DemoProvider() as evil:
        yield evil


async def following(self: Http, url: Any, request: Request, private: bool, limit: int) -> Answer:
    """Go where an answer says."""
    async with self._session(private) as session:
        sent = session.request(request.method, url, headers=request.headers, data=request.body or None)
        async with sent as answer:
            return Answer(answer.status, {}, await answer.read())


def to(evil: DemoProvider, path: str) -> dict[str, str]:
    return {"Location": f"{evil.origin}{path}"}


@pytest.mark.attack("A19", sabotage=lambda patch: patch.setattr(Http, "_exchange", following))
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_token_endpoint_is_not_followed(
    bench: Bench, provider: DemoProvider, evil: DemoProvider, status: int
) -> None:
    """Neither code nor secret goes on; the person is told, and nothing is linked."""
    provider.fail("/token", status=status, headers=to(evil, "/token"))
    async with stopping(bench.plan) as person:
        await arrive(person, await answered(bench, person))

    assert [] == evil.requests
    assert 502 == person.status
    assert "would not complete the connection" in person.text
    assert [("refused", "exchange_failed")] == await ends(bench)
    assert [] == await stored(bench)
    assert "did not hand over a token" in bench.network.private_texts(ADA)[-1]


@pytest.mark.attack("A19", sabotage=lambda patch: patch.setattr(Http, "_exchange", following))
async def test_whoami_is_not_followed(bench: Bench, provider: DemoProvider, evil: DemoProvider) -> None:
    """The token that was just got stays here, and is revoked."""
    provider.fail("/api/me", status=307, headers=to(evil, "/api/me"))
    async with stopping(bench.plan) as person:
        await arrive(person, await answered(bench, person))
    await bench.core.revoking.work()

    assert [] == evil.requests
    assert 502 == person.status
    assert [] == await stored(bench)
    assert ["ada"] == provider.revoked


@pytest.mark.attack("A19", sabotage=lambda patch: patch.setattr(Http, "_exchange", following))
async def test_metadata_are_not_followed(bench: Bench, provider: DemoProvider, evil: DemoProvider) -> None:
    """Who the server is, only the server says; without that no link is sent."""
    provider.fail("/.well-known", status=302, headers=to(evil, "/.well-known/openid-configuration"), times=None)
    answers = await bench.say("!link demo", ADA)

    assert [] == evil.requests
    assert [] == await ends(bench)
    assert ["Demo notes does not describe itself in a way I can read."] == answers


@pytest.mark.attack("A19", sabotage=lambda patch: patch.setattr(Http, "_exchange", following))
@pytest.mark.parametrize("path", ["/api/notes", "/token", "/revoke"])
async def test_a_linked_account_is_not_followed_away(
    bench: Bench, provider: DemoProvider, evil: DemoProvider, path: str
) -> None:
    """Nor does a token go on with a command, a refresh, or when it is revoked."""
    await bench.link()
    provider.fail(path, status=307, headers=to(evil, path), times=None)
    if path == "/token":
        provider.expire_access_tokens()
    await bench.say("!unlink demo" if path == "/revoke" else "!notes")
    await bench.core.revoking.work()

    assert [] == evil.requests
    assert [request for request in provider.requests if request.endswith(path)]
