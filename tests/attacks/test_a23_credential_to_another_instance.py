"""A23, a credential sent to another instance.

Ada has accounts at two instances of one kind of service.  A path that she is talked into typing, a
redirect by a hostile instance, or an instance's name pointed elsewhere in the configuration would
carry the token of one to the other, who could then be her there.

What must hold: a token goes to the origin that it was linked for, and nowhere else.  The address is
refused before anything is sent; redirects are answers; an instance that moved no longer opens
the tokens of where it was.

What remains: an origin serves who it likes, and a token is good at the whole of its own.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from attacks.tampering import REFUSAL, Refusal, refusals
from omnibot import session, vault
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.faults import Handler
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.http import Http
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import Bench, Plan
from omnibot.wire import Answer, Request

INSTANCES = ("one", "two")


class Listening(DemoProvider):
    """A demo service that keeps every credential it is shown, good or not."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def _app(self) -> web.Application:
        app = super()._app()
        app.middlewares.append(self._listen)
        return app

    @web.middleware
    async def _listen(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.shown += [value for value in request.headers.getall("Authorization", []) if "Basic" not in value]
        return await handler(request)


@pytest.fixture
async def services() -> AsyncIterator[tuple[Listening, Listening]]:
    """Two services of one kind, strangers to each other."""
    async with Listening() as one, Listening() as two:
        yield one, two


def planned(directory: Path, *services: Listening) -> Plan:
    """Return a bot that knows *services* as ``demo@one`` and ``demo@two``."""
    port = free_port()
    for name, service in zip(INSTANCES, services, strict=True):
        callback = f"http://127.0.0.1:{port}/callback/demo/{name}"
        service.register(DemoClient("omnibot", "demo-secret", (callback,)))
    origins = {name: service.origin for name, service in zip(INSTANCES, services, strict=True)}
    settings = ProviderSettings("omnibot", Secret("demo-secret"), instances=origins)
    return Plan(directory, port=port, settings=(("demo", settings),))


async def link_both(bench: Bench) -> None:
    """Let Ada be ``ada`` at both."""
    for name in INSTANCES:
        await bench.say(f"!link demo@{name}")
        async with Browser() as browser:
            await bench.authorise(browser, bench.link_for(), "ada")
            await bench.say(f"!confirm {browser.code}")


@pytest.fixture
async def linked(tmp_path: Path, services: tuple[Listening, Listening]) -> AsyncIterator[Bench]:
    """A bot where Ada is linked at both, and neither has been shown anything since."""
    async with Bench.open(planned(tmp_path, *services)) as bench:
        await link_both(bench)
        for service in services:
            service.shown.clear()
        yield bench


def a_client_that_goes_anywhere(patch: pytest.MonkeyPatch) -> None:
    """Send requests to whatever origin they name."""
    send = Http.send

    async def send_anywhere(self: Http, request: Request, **options: Any) -> Answer:
        return await send(self, request, **{**options, "origins": frozenset({request.origin})})

    patch.setattr(Http, "send", send_anywhere)


def any_address(patch: pytest.MonkeyPatch) -> None:
    """Take a path that is a whole address for what it says."""
    address = session._address
    patch.setattr(
        session, "_address", lambda base, path, said, *_: path if "://" in path else address(base, path, said)
    )


PATHS = (
    "{other}/api/me",
    "//{host}/api/me",
    "///{host}/api/me",
    "/../{host}/api/me",
    "{own}/%2e%2e/%2E%2E/api/me",
    "{own}@{host}/api/me",
    "http://ada:pw@{host}/api/me",
    "http://{ownhost}:80@{host}/api/me",
    "{own}.{host}/api/me",
    "\\\\{host}\\api\\me",
    "{own}\\@{host}/api/me",
    "HTTP://{host}/api/me",
    "http:{host}/api/me",
    "http:/{host}/api/me",
)


@pytest.mark.attack("A23")
@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_a_token_elsewhere(
    linked: Bench, services: tuple[Listening, Listening], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands for the path, nothing of it makes an address of the other instance's."""
    own, other = services
    a_client_that_goes_anywhere(monkeypatch)
    words = {"own": own.origin, "other": other.origin, "ownhost": "127.0.0.1", "host": other.origin[7:]}

    await linked.say(f"!api demo@one GET {path.format_map(words)}")

    assert [] == other.shown


@pytest.mark.attack("A23", sabotage=any_address)
async def test_a_whole_address_of_another_instance_is_refused(
    linked: Bench, services: tuple[Listening, Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other instance's address is refused when it is made, before the token is opened; our own is taken."""
    own, other = services
    a_client_that_goes_anywhere(monkeypatch)

    answer = await linked.say(f"!api demo@one GET {other.origin}/api/me")

    assert [] == other.shown
    assert [] == own.shown
    assert "u-ada" not in answer[0]
    assert "u-ada" in (await linked.say(f"!api demo@one GET {own.origin}/api/me"))[0]
    assert 1 == len(own.shown)


@pytest.mark.attack("A23", sabotage=a_client_that_goes_anywhere)
async def test_the_way_out_knows_the_origin_too(
    linked: Bench, services: tuple[Listening, Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should an address ever be made wrongly, the outward client refuses it."""
    _, other = services
    any_address(monkeypatch)

    answer = await linked.say(f"!api demo@one GET {other.origin}/api/me")

    assert [] == other.shown
    assert "u-ada" not in answer[0]


def following(patch: pytest.MonkeyPatch) -> None:
    """Follow redirects, wherever they lead, as HTTP clients do by habit."""
    send = Http.send

    async def follow(self: Http, request: Request, **options: Any) -> Answer:
        answer = await send(self, request, **options)
        if 300 <= answer.status < 400:
            request = replace(request, url=answer.headers["location"])
            answer = await send(self, request, **{**options, "origins": frozenset({request.origin})})
        return answer

    patch.setattr(Http, "send", follow)


@pytest.mark.attack("A23", sabotage=following)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(linked: Bench, services: tuple[Listening, Listening], status: int) -> None:
    """An instance that sends the bot elsewhere is told of, and nobody goes there."""
    own, other = services
    own.fail("/api/me", status=status, headers={"Location": f"{other.origin}/api/me"})

    answer = await linked.say("!api demo@one GET /api/me")

    assert [] == other.shown
    assert [f"Demo notes (one) sent me elsewhere (status {status}), and I do not follow."] == answer


@pytest.mark.attack("A23", sabotage=lambda patch: patch.setattr(vault.TokenHead, "__eq__", lambda self, other: True))
async def test_an_instance_that_moved_opens_no_old_token(tmp_path: Path, services: tuple[Listening, Listening]) -> None:
    """Pointing ``demo@one`` at another server in the configuration sends that server nobody's token."""
    one, two = services
    async with Bench.open(planned(tmp_path, one, two)) as bench:
        await link_both(bench)
    for service in services:
        service.shown.clear()
    async with Bench.open(planned(tmp_path, two, one)) as bench:
        answer = await bench.say("!api demo@one GET /api/me")

        assert [] == two.shown
        assert answer[0].startswith(REFUSAL)
        assert [Refusal("accounts", "Tampered")] == await refusals(bench)
