"""What `omnibot check` says of services: whether they answer, and know the bot."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from doctoring import OLD, add, become, lines, with_demo
from omnibot.adapter import Finding
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.config import load
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.doctor import services
from omnibot.provider import Secret
from omnibot.wire import Answer, Request
from servers.homeassistant.server import HomeAssistant
from servers.jenkins.server import Jenkins
from servers.processes import OidcServer
from servers.redmine.server import Redmine


async def test_a_service_that_answers_is_good(path: Path, provider: DemoProvider) -> None:
    """The redirect address to register there is told to the letter."""
    with_demo(path, provider.origin)
    said = await lines(path)

    public = load(path, {}).public_url
    assert (
        f"note  demo@default: register this redirect URI there, to the letter: {public}/callback/demo/default" in said
    )
    assert f"ok    demo@default answers; people will authorise at {provider.origin}." in said


async def test_a_service_that_does_not_answer_is_wrong(path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    """Unless nobody is asked."""
    with_demo(path, f"http://127.0.0.1:{unused_tcp_port_factory()}")
    wrong = [line for line in await lines(path) if line.startswith("WRONG")]
    offline = [line for line in await lines(path, offline=True) if "demo@default" in line]

    why = "Nobody can link an account there, and no login can be renewed."
    cure = "Check its address, and whether this machine reaches it."
    assert [f"WRONG demo@default: I could not reach 127.0.0.1. {why} {cure}"] == wrong
    assert [] == offline


async def test_a_service_that_is_linked_by_key(path: Path, redmine: Redmine) -> None:
    """There is nothing to register; without a key it has to ask for one."""
    add(path, f"providers:\n  redmine: {{base: '{redmine.url}'}}\n")
    good = [line for line in await lines(path) if "redmine@default" in line]
    redmine.stop()
    down = [line for line in await lines(path) if "redmine@default" in line]

    cure = "Check its address, and whether this machine reaches it."
    assert ["ok    redmine@default answers; people link it by a key of their own."] == good
    assert [f"WRONG redmine@default: I could not reach 127.0.0.1. {cure}"] == down


async def test_a_service_that_is_asked_over_a_websocket(path: Path, homeassistant: HomeAssistant) -> None:
    """Without a token it has to send the bot away; nobody registers anything there."""
    add(path, f"providers:\n  homeassistant: {{base: '{homeassistant.url}'}}\n")
    good = [line for line in await lines(path) if "homeassistant@default" in line]

    where = f"people will authorise at {homeassistant.url}."
    assert [f"ok    homeassistant@default answers; {where}"] == good


async def test_an_api_that_is_switched_off_is_wrong(path: Path, redmine: Redmine) -> None:
    """Redmine then answers 403, to whatever key."""
    redmine.switch_api_off()
    add(path, f"providers:\n  redmine: {{base: '{redmine.url}'}}\n")
    (said,) = [line for line in await lines(path) if "redmine@default" in line]

    cure = "Check its address, and that its API is switched on."
    assert f"WRONG redmine@default answers 403 where it should ask for a key. {cure}" == said


async def test_a_service_of_the_catalogue_is_asked_at_its_api(path: Path, provider: DemoProvider) -> None:
    """Its description says where it is, and not whether it is there."""
    (path.parent / "own").mkdir()
    described = OLD.replace("/me", "/api/me").replace(", pkce: none", "")
    become(path.parent / "own" / "old.yaml", described)
    become(path.parent / "secret", "old-secret")
    add(path, "catalogue_dir: own\nproviders:\n  old:\n    client_id: x\n    client_secret: file:secret\n")
    add(path, "    instances:\n")
    add(path, f"      right: {provider.origin}\n      wrong: {provider.origin}/hub\n      down: http://127.0.0.1:1\n")
    said = {line.split()[1]: line for line in await lines(path) if "@" in line and "redirect URI" not in line}

    assert f"ok    old@right answers; people will authorise at {provider.origin}." == said["old@right"]
    assert said["old@wrong"].startswith("WRONG old@wrong answers 404 where it should ask for an authorisation.")
    assert said["old@down:"].startswith("WRONG old@down: I could not reach 127.0.0.1.")


async def test_an_address_that_asks_for_no_key_is_wrong(path: Path, provider: DemoProvider) -> None:
    """It is another service's, or its API is switched off."""
    add(path, f"providers:\n  redmine: {{base: '{provider.origin}'}}\n")
    (said,) = [line for line in await lines(path) if "redmine@default" in line]

    cure = "Check its address, and that its API is switched on."
    assert f"WRONG redmine@default answers 404 where it should ask for a key. {cure}" == said


async def test_a_service_that_is_closed_without_a_key_answers_all_the_same(path: Path) -> None:
    """Jenkins says 403 to nobody, and 401 to a wrong key: nothing is wrong there."""
    async with Jenkins("/ci") as jenkins:
        add(path, f"providers:\n  jenkins: {{base: '{jenkins.url}'}}\n")
        said = [line for line in await lines(path) if "jenkins@default" in line]

    assert ["ok    jenkins@default answers; people link it by a key of their own."] == said


async def test_no_pkce_is_said_of_oauth_1_0a(path: Path) -> None:
    """It signs every request instead."""
    become(path.parent / "secret", "old-secret")
    add(path, "providers:\n  x: {consumer_key: x, consumer_secret: file:secret, base: 'http://127.0.0.1:1',\n")
    add(path, "    api: 'http://127.0.0.1:1'}\n")
    said = [line for line in await lines(path) if "x@default" in line]

    assert said
    assert [] == [line for line in said if "PKCE" in line]


async def test_a_service_without_pkce_is_noted(path: Path) -> None:
    """The operator chose it, and is told what it rests on."""
    (path.parent / "own").mkdir()
    become(path.parent / "own" / "old.yaml", OLD)
    add(path, "catalogue_dir: own\n")
    add(path, "providers:\n  old: {client_id: x, client_secret: file:secret, base: 'https://old.example.org'}\n")
    become(path.parent / "secret", "old-secret")
    said = await lines(path)

    assert [True] == [line.startswith("note") for line in said if "old@default has no PKCE." in line]


# ------------------------------------------------------------------- the bot's client


def of_demo(said: list[str]) -> list[str]:
    """What was said of the demo service, but for what it is told always."""
    always = ("register this redirect URI", "demo@default answers;")
    return [line for line in said if "demo@default" in line and not any(one in line for one in always)]


def register(path: Path, provider: DemoProvider, *uris: str, secret: str | None = None) -> str:
    """Let the service know the client that is configured, by *uris*, each under the public address; return that."""
    public = load(path, {}).public_url or ""
    provider.register(DemoClient("known", secret, tuple(public + one for one in uris)))
    return public


async def test_a_client_that_is_known_is_good(path: Path, provider: DemoProvider) -> None:
    """By its id and secret, and by its redirect URI; nobody was asked to consent, and no code was spent."""
    register(path, provider, "/callback/demo/default", secret="right")
    become(path.parent / "secret", "right")
    with_demo(path, provider.origin, "client_id: known, client_secret: 'file:secret'")
    said = await lines(path)

    tried = "a made-up code was tried at its token endpoint, and refused as such: invalid_grant"
    assert [
        "ok    demo@default: the redirect URI is registered there (another was refused).",
        f"ok    demo@default: it takes the bot's client ({tried}).",
    ] == of_demo(said)
    assert [(None, "invalid_grant")] == [(one.user, one.error) for one in provider.exchanges]
    assert "right" not in "".join(said)


@pytest.mark.parametrize("client", ["client_id: stranger", "client_id: known, client_secret: 'file:secret'"])
async def test_a_client_that_is_not_known_is_wrong(path: Path, provider: DemoProvider, client: str) -> None:
    """Be it by its id or by its secret alone."""
    register(path, provider, "/callback/demo/default", secret="right")
    become(path.parent / "secret", "hunter2")
    with_demo(path, provider.origin, client)
    said = await lines(path)
    (wrong,) = [line for line in of_demo(said) if "it does not take the bot's client" in line]

    assert wrong.startswith("WRONG demo@default: ")
    assert "tried at its token endpoint: invalid_client). Nobody can link an account there" in wrong
    assert wrong.endswith("Put client_id and client_secret right, as the service shows them.")
    assert "hunter2" not in "".join(said)


async def test_a_redirect_uri_that_is_not_registered_is_wrong(path: Path, provider: DemoProvider) -> None:
    """A slash too many is another address; ours is told to the letter."""
    public = register(path, provider, "/callback/demo/default/")
    with_demo(path, provider.origin, "client_id: known")
    (wrong,) = [line for line in of_demo(await lines(path)) if line.startswith("WRONG")]

    assert "demo@default: it does not know the redirect URI (400). Whoever links is turned away there." in wrong
    assert wrong.endswith(f"without a slash at the end: {public}/callback/demo/default")


class Scripted:
    """A service that answers as a test wants, and notes what it was asked."""

    def __init__(self, token: Answer, ours: Answer | None = None, other: Answer | None = None) -> None:
        self.token, self.ours, self.other = token, ours or Answer(200), other or Answer(200)
        self.asked: list[Request] = []

    async def send(self, request: Request, **_: object) -> Answer:
        self.asked.append(request)
        if request.method == "POST":
            return self.token
        return self.other if ".invalid%2F" in request.url else self.ours


GITHUB = {"github": ProviderSettings(client_id="x", client_secret=Secret("hunter2"))}
LOGIN = Answer(302, {"location": "https://github.com/login?return_to=x"})
INVALID = b'{"error": "%s"}'


async def asked(service: Scripted) -> list[Finding]:
    """What is found of GitHub's client, where *service* answers in its place."""
    instance = Instances(load_catalogue(SHIPPED), GITHUB).get("github")
    assert instance.server is not None
    found = await services._client(
        instance, instance.server, "https://bot.example.org/callback/github/default", service
    )
    assert "hunter2" not in str(found)
    return found


@pytest.mark.parametrize(
    ("token", "level", "says"),
    [
        (Answer(200, body=INVALID % b"bad_verification_code"), "good", "it takes the bot's client"),
        (Answer(200, body=INVALID % b"incorrect_client_credentials"), "wrong", "it does not take the bot's client"),
        (Answer(200, body=INVALID % b"redirect_uri_mismatch"), "wrong", "it does not know the redirect URI"),
        (Answer(400, body=INVALID % b"teapot"), "note", "it does not say whether it takes the bot's client"),
        (Answer(503), "note", "it does not say whether it takes the bot's client"),
        (Answer(200, body=b'{"access_token": "x", "token_type": "bearer"}'), "wrong", "it gave a token for a code"),
    ],
)
async def test_what_a_token_endpoint_says_of_a_made_up_code(token: Answer, level: str, says: str) -> None:
    """In the words of the RFC and in those of a service's own."""
    (found,) = await asked(Scripted(token, LOGIN, LOGIN))

    assert (level, True) == (found.level, found.what.startswith(says))


@pytest.mark.parametrize(
    ("ours", "other", "level", "says"),
    [
        (LOGIN, LOGIN, None, ""),
        (Answer(200), Answer(200), None, ""),
        (LOGIN, Answer(400, body=b"Bad redirect_uri"), "good", "the redirect URI is registered there"),
        (LOGIN, Answer(302, {"location": "/signin/oauth/error?x"}), "good", "the redirect URI is registered there"),
        (Answer(400, body=b"Redirect URI!"), Answer(400), "wrong", "it does not know the redirect URI (400)."),
        (Answer(400, body=b"no"), Answer(400), "wrong", "it refuses the bot's authorisation request (400)."),
        (Answer(503), Answer(400), None, ""),
    ],
)
async def test_what_an_authorization_page_tells(ours: Answer, other: Answer, level: str | None, says: str) -> None:
    """Where it asks for a login first, nothing can be told, and nothing is."""
    service = Scripted(Answer(200, body=INVALID % b"bad_verification_code"), ours, other)
    found = [one for one in await asked(service) if "made-up" not in one.what]

    assert [(level, True)] * bool(level) == [(one.level, one.what.startswith(says)) for one in found]
    assert ["GET", "GET", "POST"] == [one.method for one in service.asked]
    assert not [one for one in service.asked[:2] if one.headers.keys() - {"Accept"}]


# -------------------------------------------------------------------------- the clock


async def test_a_clock_that_is_off_is_wrong(
    path: Path, provider: DemoProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the services say the time is, which were asked anyhow."""
    with_demo(path, provider.origin)
    good = [line for line in await lines(path) if "This machine's clock" in line]
    monkeypatch.setattr(services, "ahead", lambda headers, *_: 300.0 if "date" in headers else None)
    wrong = [line for line in await lines(path) if "This machine's clock" in line]

    assert ["ok    This machine's clock agrees with that of 127.0.0.1."] == good
    assert [True] == ["This machine's clock is 300 seconds ahead of that of 127.0.0.1." in line for line in wrong]


async def test_a_clock_is_compared_by_the_header() -> None:
    """Of each host the last answer counts."""

    class Late:
        async def send(self, request: Request, **_: object) -> Answer:
            return Answer(200, {"date": "Fri, 20 Nov 2026 12:00:00 GMT"})

    timed = services.Timed(Late(), clock=lambda: datetime(2026, 11, 20, 12, 1, 0, 500_000, UTC).timestamp())
    await timed.send(Request("GET", "https://a.example/x"), origins=frozenset(), private=True)

    assert {"a.example": 60.0} == timed.ahead


# --------------------------------------------------------------------- a real server


async def test_a_real_server_tells_who_it_knows(path: Path, oidc: OidcServer) -> None:
    """The redirect URI before any login, the client before the code."""
    become(path.parent / "secret", oidc.client_secret)
    client = f"client_id: {oidc.client_id}, client_secret: 'file:secret', issuer: '{oidc.issuer}'"
    add(path, f"providers:\n  oidc: {{{client}}}\n")
    right = [line for line in await lines(path) if "oidc@default: it" in line]
    become(path.parent / "secret", "hunter2")
    wrong = [line for line in await lines(path) if "oidc@default: it" in line]

    assert [True] == [
        line.startswith("ok    oidc@default: it takes the bot's client") for line in right if "takes" in line
    ]
    assert [True] == [
        line.startswith("WRONG oidc@default: it does not take") for line in wrong if "invalid_client" in line
    ]
    assert not [line for line in right if "invalid_client" in line]
