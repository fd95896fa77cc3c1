"""A17: script in a page of ours.

Whoever can put words on our pages (a display name, a room's name, a login at the service, the description
in an error answer) puts markup there, and so acts in the browser of whoever looks.

What must hold: all of it is escaped; an error's description is shown nowhere, in no form; and every page
comes with a policy under which no script runs, be it inline or ours.

What remains: words that only deceive. Names are marked as anybody's to choose.
"""

import html
import json
from typing import Any

import jinja2
import pytest
from aiohttp import web

from attacks.helpers import SAME_ORIGIN, answered, arrive, ask, fetch, stopping
from omnibot import pages
from omnibot import web as listener
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, Bench
from omnibot.web import Listener

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
LOGIN = '"><img src=x onerror=alert(1)>'
NAME = "</strong><script>alert(2)</script>{{ 7 * 191 }}"
EVE = Identity("fake", "u-3\"'><b>", "", '<script>alert("nick")</script>')


def unescaped(patch: pytest.MonkeyPatch) -> None:
    """Put into pages what it is, as it is."""

    def environment(**options: Any) -> jinja2.Environment:
        return jinja2.Environment(**{**options, "autoescape": False})  # noqa: S701 - that is the sabotage

    patch.setattr(pages, "Environment", environment)
    patch.setattr(pages, "_templates", pages._templates.__wrapped__)  # not those that were compiled before


@pytest.mark.attack("A17", sabotage=unescaped)
async def test_a_display_name_is_only_text(bench: Bench) -> None:
    """Neither the speaker's name, nor their id, nor the room's, brings markup into the page that asks."""
    room = bench.network.room("<svg onload=alert(3)>", EVE)
    await bench.say("!notes", EVE, room)
    page = await fetch(bench.link_for(EVE))

    assert 200 == page.status
    assert "<script" not in page.text
    assert "<svg" not in page.text
    assert "<b>" not in page.text
    assert "&lt;script&gt;alert(&#34;nick&#34;)&lt;/script&gt;" in page.text


@pytest.mark.attack("A17", sabotage=unescaped)
@pytest.mark.parametrize("confirmed", [False, True], ids=["the code's page", "the linked page"])
async def test_a_login_is_only_text(bench: Bench, provider: DemoProvider, confirmed: bool) -> None:
    """What the service says of the account brings no markup into the pages that show it."""
    profile = {"id": "u-evil", "login": LOGIN, "name": NAME, "avatar": 'javascript:alert(4)"'}
    provider.fail("/api/me", status=200, body=json.dumps(profile), headers={"Content-Type": "application/json"})
    async with stopping(bench.plan) as person:
        await arrive(person, await answered(bench, person))
        if confirmed:
            await bench.say(f"!confirm {person.code}")
            await person.open(person.url)

    assert confirmed == ("Demo notes is connected" in person.text)
    assert "<img" not in person.page
    assert "<script" not in person.page
    assert "javascript:" not in person.page
    assert "1337" not in person.page
    assert LOGIN in person.text
    assert NAME in person.text


def repeating(patch: pytest.MonkeyPatch) -> None:
    """Show what a service says of its error, escaped as it should be."""
    callback = Listener._callback

    async def repeated(self: Listener, request: web.BaseRequest, provider: str, instance: str) -> web.Response:
        page = await callback(self, request, provider, instance)
        page.text = f"{page.text}{html.escape(request.rel_url.query.get('error_description', ''))}"
        return page

    patch.setattr(Listener, "_callback", repeated)


@pytest.mark.attack("A17", sabotage=repeating)
@pytest.mark.parametrize("error", ["access_denied", "server_error", "<script>alert(5)</script>"])
@pytest.mark.parametrize("known", [True, False], ids=["our state", "another state"])
async def test_a_description_is_shown_nowhere(bench: Bench, error: str, known: bool) -> None:
    """Neither on the page nor in chat, escaped or not: it may hold anything, and could only deceive."""
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        address, _, query = url.partition("?")
        rest = "&".join(part for part in query.split("&") if part.startswith(("state=", "iss=")))
        rest = rest if known else rest.replace("state=", "state=x")
        description = "<script>alert(6)</script> call 555-canary"
        page = await ask(
            person, f"{address}?error={error}&error_description={description}&error_uri=https://evil.example/&{rest}"
        )

    said = [page.text, *bench.network.texts()]
    assert page.status >= 400
    assert POLICY == page.headers["Content-Security-Policy"]
    assert not [text for text in said if "canary" in text or "alert(" in text or "evil.example" in text]


@pytest.mark.attack(
    "A17",
    sabotage=lambda patch: patch.setitem(
        listener._HEADERS, "Content-Security-Policy", f"{POLICY}; script-src 'unsafe-inline'"
    ),
)
async def test_every_answer_carries_the_policy(bench: Bench) -> None:
    """To the letter, whatever was asked for and however it ended; and it is HTML only where we say so."""
    public = bench.core.options.public_url
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    async with Browser(stop=f"{public}/callback") as person:
        await bench.authorise(person, link)
        answers = [
            await fetch(link),
            await fetch(link, method="POST", headers=SAME_ORIGIN),
            await fetch(link, method="POST"),
            await fetch(f"{public}/l/<script>"),
            await ask(person, person.url),
            await fetch(f"{public}/callback/<script>/default?state=<script>"),
            await fetch(f"{public}/"),
            await fetch(f"{public}/nothing?<script>"),
            await fetch(f"{public}/style.css"),
            await fetch(f"{public}/healthz"),
            await fetch(f"{public}/", headers={"Host": "evil.example"}),
        ]

    assert [POLICY] * len(answers) == [page.headers["Content-Security-Policy"] for page in answers]
    assert ["nosniff"] * len(answers) == [page.headers["X-Content-Type-Options"] for page in answers]
    assert not [page.text for page in answers if "<script" in page.text]
