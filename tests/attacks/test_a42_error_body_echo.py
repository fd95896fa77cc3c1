"""A42, an upstream's error body repeated: tokens, markup and mentions come back through it.

Services write into their error pages what they were sent, and attackers what others should read:
the token itself, HTML, `@everyone`, a Matrix pill.

What must hold: of an answer that is an error, a person is told our own sentence, with the status and
at most the service's reference, in 200 characters; neither chat nor page nor log has anything of
its body, nor of its headers, however they are spelt.

What remains: a good answer is what the person asked for; its markup is made inert, not its words.
How each network does that, mentions and pills included, comes with its adapter.
"""

import json
import logging

import pytest

from attacks.helpers import answered, arrive, stopping
from omnibot import session
from omnibot.demo.provider import DemoProvider
from omnibot.errors import OAuthError, Upstream
from omnibot.testing.bench import Bench

POISON = "@everyone @here <@1> <b>boo</b> [x](https://evil.example) #!room:x https://matrix.to/#/@eve:x \x1b[31m\u202e"
WORDS = ("everyone", "@here", "<", "boo", "evil", "matrix.to", "\x1b", "\u202e", "demo-access", "demo-refresh")


def poisoned(provider: DemoProvider) -> str:
    """Return a body that repeats every token there is, and more."""
    return f"{POISON} {' '.join(provider._ledger._tokens)} {POISON}"


def echoing(patch: pytest.MonkeyPatch) -> None:
    """Tell the person what the service said."""
    patch.setattr(session, "trouble", lambda instance, answer: Upstream(answer.body.decode(), status=answer.status))
    patch.setattr(session, "_blotted", lambda answer, token: answer)


STATUSES = (400, 403, 404, 409, 418, 422, 429, 500, 503, 302)


@pytest.mark.attack("A42", sabotage=echoing)
@pytest.mark.parametrize("status", STATUSES)
async def test_only_our_own_sentence_is_said(
    bench: Bench, provider: DemoProvider, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The status is told, and nothing that the service wrote, neither in chat nor in the log."""
    caplog.set_level(logging.DEBUG, "omnibot")
    await bench.link()
    caplog.clear()
    headers = {"X-Request-Id": "@everyone", "Retry-After": "<b>3</b>", "Location": "https://evil.example/"}
    provider.fail("/api/notes", status=status, body=poisoned(provider), headers=headers, times=None)

    said = await bench.say("!notes")
    said += await bench.say("!api demo GET /api/notes")

    assert 2 == len(said)
    assert [True, True] == [str(status) in text or status == 429 for text in said]
    assert [] == [word for word in WORDS for text in said if word in text]
    assert [] == [word for word in WORDS if word in caplog.text]
    assert max(map(len, said)) <= 200


@pytest.mark.attack("A42")
async def test_a_plain_reference_is_told(bench: Bench, provider: DemoProvider) -> None:
    """A reference of letters, digits and dashes helps whoever asks the service, and still fits."""
    await bench.link()
    reference = "0123456789abcdef" * 4
    provider.fail("/api/notes", status=404, body=POISON, headers={"X-Request-Id": reference})

    (said,) = await bench.say("!notes")

    assert reference in said
    assert len(said) <= 200


def believing(patch: pytest.MonkeyPatch) -> None:
    """Keep whatever stands for an error code."""

    def keep(self: OAuthError, code: str, *, status: int | None = None) -> None:
        Exception.__init__(self, code)
        self.code, self.status = code, status

    patch.setattr(OAuthError, "__init__", keep)


@pytest.mark.attack("A42", sabotage=believing)
@pytest.mark.parametrize("status", [200, 400, 403])
async def test_nor_is_an_error_of_the_token_endpoint(
    bench: Bench, provider: DemoProvider, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The page, the chat and the log tell that the link failed, in our words."""
    caplog.set_level(logging.DEBUG, "omnibot")

    told = await fail_to_link(bench, provider, "/token", status)

    assert [] == [word for word in WORDS for text in (*told, caplog.text) if word in text]
    assert max(map(len, told[1:])) <= 200


@pytest.mark.attack("A42")
@pytest.mark.parametrize(("path", "status"), [("/token", 500), ("/api/me", 200), ("/api/me", 403), ("/api/me", 503)])
async def test_nor_what_else_goes_wrong_there(
    bench: Bench, provider: DemoProvider, path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The same for a service that is out of order, or that does not say whose the token is."""
    caplog.set_level(logging.DEBUG, "omnibot")

    told = await fail_to_link(bench, provider, path, status)

    assert [] == [word for word in WORDS for text in (*told, caplog.text) if word in text]


async def fail_to_link(bench: Bench, provider: DemoProvider, path: str, status: int) -> list[str]:
    """Let a link fail at *path*; return what is told in the browser and in chat."""
    body = json.dumps({"error": poisoned(provider), "error_description": poisoned(provider), "id": None})
    async with stopping(bench.plan) as browser:
        callback = await answered(bench, browser)
        provider.fail(path, status=status, body=body, headers={"Content-Type": "application/json"})
        before = len(bench.network.said)
        await arrive(browser, callback)
    await bench.settle()
    return [browser.text, *(said.text for said in bench.network.said[before:])]
