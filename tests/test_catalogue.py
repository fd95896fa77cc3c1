"""Instances are what the operator configured; what their servers say is asked once an hour."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from omnibot.catalogue import FRESH, SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.demo.provider import DemoProvider
from omnibot.errors import AddressRefused, ConfigError, Upstream, UserError
from omnibot.http import Http
from omnibot.provider import AuthorizationServer, ClientCredential, Instance, Provider, Secret, Whoami
from omnibot.wire import Answer, Request
from omnibot.yamlfile import read

ISSUER = "https://as.example"
TRACKER = Provider(
    "tracker",
    "Tracker",
    {"issues": "read your issues"},
    Whoami("/me", "id", "login"),
    docs="https://tracker.example/apps",
    base="https://tracker.example",
    api="{base}/api",
    server=AuthorizationServer("{base}/auth", "https://login.tracker.example/token"),
)
CATALOGUE = {**load_catalogue(SHIPPED), "tracker": TRACKER}
CLIENT = ProviderSettings(client_id="bot", client_secret=Secret("s"))
OIDC = replace(CLIENT, issuer=ISSUER)


def instances(**settings: ProviderSettings) -> Instances:
    """Return the instances of *settings*."""
    return Instances(CATALOGUE, settings)


class FakeHttp:
    """Answers by address, counts what it is asked, and takes its time."""

    def __init__(self, answers: Mapping[str, Answer | Exception] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []
        self.private: set[bool] = set()

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - the client's own signature
        limit: int = 0,
    ) -> Answer:
        self.asked.append(request.url)
        self.private.add(private)
        await asyncio.sleep(0)
        answer = self.answers.get(request.url, Answer(404))
        if isinstance(answer, Exception):
            raise answer
        return answer


def metadata(issuer: str = ISSUER, **more: Any) -> Answer:
    """Return metadata that name *issuer* and its endpoints."""
    endpoints = {"authorization_endpoint": f"{issuer}/auth", "token_endpoint": f"{issuer}/token"}
    return Answer(200, {}, json.dumps({"issuer": issuer, **endpoints, **more}).encode())


OPENID = f"{ISSUER}/.well-known/openid-configuration"
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"


# ------------------------------------------------------------------------------------- configuration


def test_an_instance_without_discovery() -> None:
    """The catalogue's templates are filled in, and it is ready."""
    one = instances(tracker=CLIENT).get("tracker")

    assert AuthorizationServer("https://tracker.example/auth", "https://login.tracker.example/token") == one.server
    assert "https://tracker.example/api" == one.api
    assert frozenset({"https://tracker.example", "https://login.tracker.example"}) == one.origins
    assert ClientCredential("bot", Secret("s")) == one.client
    assert ("tracker@default", "Tracker", "") == (one.key, one.title, one.issuer)


def test_an_instance_with_discovery() -> None:
    """The server is not known yet; api is the issuer unless said otherwise; the issuer stays to the letter."""
    plain = instances(oidc=replace(OIDC, issuer=f"{ISSUER}/")).get("oidc")
    more = instances(oidc=replace(OIDC, api="https://api.example/v1/", origins=("https://login.example",))).get("oidc")

    assert (None, f"{ISSUER}/", ISSUER) == (plain.server, plain.issuer, plain.api)
    assert {ISSUER} == plain.origins
    assert "https://api.example/v1" == more.api
    assert {ISSUER, "https://api.example", "https://login.example"} == more.origins


def test_what_the_operator_says_goes() -> None:
    """Endpoints, whoami, scopes and methods of the settings replace the catalogue's."""
    said = replace(
        CLIENT,
        base="https://own.example",
        token_url="https://own.example/t",
        whoami="/user",
        scopes=("admin",),
        methods=("GET", "POST"),
    )
    one = instances(tracker=said).get("tracker")
    assert one.server

    assert ("https://own.example/auth", "https://own.example/t") == (one.server.authorize_url, one.server.token_url)
    assert ("/user", ("admin",), ("GET", "POST")) == (one.provider.whoami.path, one.scopes, one.methods)


def test_named_instances_take_what_is_around_them() -> None:
    """Client, scopes and the rest are taken over where they are not said; an address never is."""
    around = replace(CLIENT, api="https://api.example", scopes=("issues",), paste=False)
    own = ProviderSettings(base="https://b.example", client_id="other", paste=True)
    made = instances(tracker=replace(around, instances={"a": "https://a.example", "b": own}))
    first, second = made.get("tracker", "a"), made.get("tracker", "b")

    assert ("tracker@a", "tracker@b") == made.keys()
    assert ["https://a.example/api", "https://b.example/api"] == [first.api, second.api]
    assert [ClientCredential("bot", Secret("s")), ClientCredential("other")] == [first.client, second.client]
    assert [(("issues",), False), (("issues",), True)] == [(one.scopes, one.paste_allowed) for one in (first, second)]
    assert "Tracker (a)" == first.title


def test_the_settings_around_are_an_instance_if_they_have_an_address() -> None:
    """With an address of their own they are the default beside the named ones."""
    said = replace(OIDC, instances={"work": "https://work.example"})

    assert ("oidc@default", "oidc@work") == instances(oidc=said).keys()


@pytest.mark.parametrize(
    ("sensitivity", "pkce", "ways", "paste", "allowed"),
    [
        ("normal", "S256", ("redirect", "paste"), None, True),
        ("normal", "S256", ("redirect", "paste"), False, False),
        ("normal", "S256", ("redirect",), True, False),
        ("high", "S256", ("redirect", "paste"), None, False),
        ("high", "S256", ("redirect", "paste"), True, True),
        ("normal", "none", ("redirect", "paste"), None, False),
        ("normal", "none", ("redirect", "paste"), True, True),
    ],
)
def test_when_an_account_may_be_pasted(
    sensitivity: Any, pkce: Any, ways: Any, paste: bool | None, allowed: bool
) -> None:
    """Without PKCE, or where much is at stake, only by the operator's word."""
    server = replace(TRACKER.server, pkce=pkce)
    provider = replace(TRACKER, sensitivity=sensitivity, server=server, ways=ways)
    made = Instances({"tracker": provider}, {"tracker": replace(CLIENT, paste=paste)})

    assert allowed == made.get("tracker").paste_allowed


def test_every_problem_is_said_at_once() -> None:
    """With file and line where the settings came from a file."""
    text = """\
providers:
  traker: {}
  tracker:
    client_id: bot
    base: https://u@host
    methods: [BREW]
    scopes: [a b]
    whoami: me
    origins: [https://a.example/x]
    instances:
      Work: https://é.example
  oidc:
    token_url: https://as.example/t
"""
    settings = {
        "traker": CLIENT,
        "tracker": ProviderSettings(
            client_id="bot",
            base="https://u@host",
            methods=("BREW",),
            scopes=("a b",),
            whoami="me",
            origins=("https://a.example/x",),
            instances={"Work": ProviderSettings(base="https://é.example")},
        ),
        "oidc": ProviderSettings(token_url="https://as.example/t"),
    }

    with pytest.raises(ConfigError) as caught:
        Instances(CATALOGUE, settings, read(text, "config.yaml"))
    registration = "https://openid.net/developers/how-connect-works/"

    assert [
        (2, "traker", "is not in the catalogue", 'Did you mean "tracker"?'),
        (5, "tracker.base", '"https://u@host" is not a web address', "Write https://host/path."),
        (6, "tracker.methods", '"BREW" is not a method', "Choose from GET, HEAD, POST, PUT, PATCH, DELETE."),
        (7, "tracker.scopes", '"a b" is not one scope', "Write one an entry."),
        (8, "tracker.whoami", '"me" is not a path', "Begin it with a slash."),
        (9, "tracker.origins", '"https://a.example/x" is more than an origin', "Write https://a.example alone."),
        (11, "tracker.instances.Work", "is not a name for an instance", "Use a to z, 0 to 9, dots and dashes."),
        (11, "tracker.instances.Work.base", '"https://é.example" is not plain ASCII', "Use the xn-- form."),
        (12, "oidc.client_id", "is missing", f"Register the bot at {registration} and add it."),
        (12, "oidc.issuer", "is missing", "Add the server's address, as it names itself."),
        (12, "oidc.issuer", "finds the endpoints by itself", "Take authorize_url, token_url, revoke_url out."),
    ] == [
        (int(one.where.removeprefix("config.yaml:")), one.key.removeprefix("providers."), one.what, one.cure)
        for one in caught.value.problems
    ]


def test_a_fault_around_instances_is_said_of_each() -> None:
    """Where the settings around are no instance themselves, what is wrong in them is not lost."""
    said = replace(CLIENT, scopes=("a b",), instances={"a": "https://a.example"})

    with pytest.raises(ConfigError, match=r'^providers.tracker.instances.a.scopes: "a b" is not one scope.'):
        instances(tracker=said)


def test_an_address_is_needed_where_the_catalogue_has_none() -> None:
    """A service that everybody runs themselves has no address of its own."""
    with pytest.raises(ConfigError, match=r"providers.own.base: is missing. Add the service's address."):
        Instances({"own": replace(TRACKER, name="own", base="")}, {"own": CLIENT})


def test_without_pkce_a_secret_is_needed() -> None:
    """Nothing else would bind the code to us."""
    provider = replace(TRACKER, server=replace(TRACKER.server, pkce="none"))

    with pytest.raises(ConfigError, match=r"client_secret: is missing, and this service has no PKCE"):
        Instances({"tracker": provider}, {"tracker": ProviderSettings(client_id="bot")})


def test_what_a_service_cannot_use_is_said_with_what_it_can() -> None:
    """A client of OAuth 2 where there are keys alone; both kinds of client; and the two kinds that one may give."""
    for name, said, told in (
        ("jenkins", ProviderSettings("x", base="https://j.example"), "does not have. Take it out: people give keys"),
        ("x", replace(CLIENT, consumer_key="a", consumer_secret=Secret("b")), "consumer_key: stands beside a client"),
        ("x", ProviderSettings(), "client_id: is missing. .* add it, or consumer_key and consumer_secret"),
    ):
        with pytest.raises(ConfigError, match=told):
            instances(**{name: said})


def test_two_instances_with_one_issuer() -> None:
    """A12, RFC 9207 section 4: then iss could not tell whose answer it is."""
    with pytest.raises(ConfigError, match=r"^providers.demo.issuer: is that of providers.oidc too. Keep one"):
        instances(oidc=OIDC, demo=replace(CLIENT, issuer=f"{ISSUER}/"))


# --------------------------------------------------------------------------------------------- asking


def test_names_and_keys() -> None:
    """In order, as people write them."""
    made = instances(tracker=CLIENT, oidc=replace(CLIENT, instances={"b": "https://b.example", "a": ISSUER}))

    assert ("oidc", "tracker") == made.names()
    assert ("oidc@a", "oidc@b", "tracker@default") == made.keys()


def test_an_instance_is_found_by_name() -> None:
    """By two words or one, in any case; alone it needs no name."""
    made = instances(tracker=CLIENT, oidc=replace(CLIENT, instances={"work": ISSUER}))
    found = [made.get("oidc", "work"), made.get("oidc@work"), made.get("OIDC"), made.get("oidc", ""), made.get("oidc@")]

    assert ["oidc@work"] * 5 == [one.key for one in found]
    assert "tracker@default" == made.get("tracker@default").key


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("traker", 'I do not know that service. Did you mean "tracker"? I know: oidc, tracker.'),
        ("zzz", "I do not know that service. I know: oidc, tracker."),
        ("oidc", "Which one? I know: oidc@home, oidc@work."),
        ("oidc@wrok", 'I do not know that oidc. Did you mean "work"?'),
        ("tracker@x", "I do not know that tracker. I know: default."),
        ("<script>@*", "I do not know that service. I know: oidc, tracker."),
    ],
)
def test_a_name_that_does_not_fit(name: str, text: str) -> None:
    """The person is told what there is, and nothing of what they wrote comes back."""
    two = replace(CLIENT, instances={"work": ISSUER, "home": "https://home.example"})
    with pytest.raises(UserError) as caught:
        instances(tracker=CLIENT, oidc=two).get(name)

    assert text == str(caught.value)


def test_without_any_instance() -> None:
    """A bot without providers says so."""
    with pytest.raises(UserError, match=r"I know: none."):
        Instances(CATALOGUE, {}).get("oidc")


# ------------------------------------------------------------------------------------------ discovery


async def test_what_needs_no_discovery_is_ready() -> None:
    """Nothing is asked."""
    made, http = instances(tracker=CLIENT), FakeHttp()
    one = made.get("tracker")

    assert one is await made.ready(one, http)
    assert [] == http.asked


async def test_a_server_is_asked_once_by_many() -> None:
    """Fifty at once, and later ones within the hour, make one request."""
    made, http = instances(oidc=OIDC), FakeHttp({OPENID: metadata()})
    one = made.get("oidc")

    found = await asyncio.gather(*(made.ready(one, http) for _ in range(50)))
    found.append(await made.ready(one, http))

    assert [OPENID] == http.asked
    assert [f"{ISSUER}/token"] * 51 == [ready.server.token_url for ready in found if ready.server]
    assert {True} == http.private
    assert found[0] == made.get("oidc")


async def test_after_an_hour_it_is_asked_again() -> None:
    """What was said an hour ago may have changed."""
    now = [0.0]
    made = Instances(CATALOGUE, {"oidc": OIDC}, clock=lambda: now[0])
    http = FakeHttp({OPENID: metadata()})
    counts = []
    for now[0] in (0.0, FRESH - 1, FRESH):
        await made.ready(made.get("oidc"), http)
        counts.append(len(http.asked))

    assert [1, 1, 2] == counts


async def test_who_gives_up_does_not_spoil_it() -> None:
    """One waiter is cancelled; the other gets the answer to the same request."""
    made, http = instances(oidc=OIDC), FakeHttp({OPENID: metadata()})
    first, second = (asyncio.create_task(made.ready(made.get("oidc"), http)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).server
    assert [OPENID] == http.asked


async def test_metadata_may_be_in_either_place() -> None:
    """Where OpenID's is missing, or is a page for people, RFC 8414's is asked for."""
    for first in (Answer(404), Answer(200, {}, b"<html>")):
        made, http = instances(oidc=OIDC), FakeHttp({OPENID: first, OAUTH: metadata()})

        assert (await made.ready(made.get("oidc"), http)).server
        assert [OPENID, OAUTH] == http.asked


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({}, "OpenID Connect does not describe itself in a way I can read."),
        (
            {OPENID: metadata("https://evil.example")},
            "OpenID Connect says it is another server than the one configured.",
        ),
        (
            {OPENID: metadata(token_endpoint="https://evil.example/token")},
            "OpenID Connect names endpoints at an address that the operator did not allow.",
        ),
        (
            {OPENID: metadata(code_challenge_methods_supported=["plain"])},
            "OpenID Connect does not protect a login in the way I need (PKCE with S256).",
        ),
        (
            {OPENID: metadata(token_endpoint_auth_methods_supported=["private_key_jwt"])},
            "OpenID Connect wants me to identify myself in a way I do not know.",
        ),
        ({OPENID: Upstream("as.example did not answer in time.")}, "as.example did not answer in time."),
        ({OPENID: AddressRefused()}, "That address is not one I may call."),
    ],
)
async def test_a_server_that_cannot_be_used(answers: dict[str, Answer | Exception], text: str) -> None:
    """Every reason is one sentence for the person, to everybody who waits, and is not kept."""
    made, http = instances(oidc=OIDC), FakeHttp(answers)
    one = made.get("oidc")

    failures = await asyncio.gather(made.ready(one, http), made.ready(one, http), return_exceptions=True)
    http.answers = {OPENID: metadata()}

    assert [(Upstream, text)] * 2 == [(type(failure), str(failure)) for failure in failures]
    assert (await made.ready(one, http)).server


@pytest.mark.parametrize(
    ("said", "userinfo", "path"),
    [
        (OIDC, f"{ISSUER}/oauth2/userinfo", "/oauth2/userinfo"),
        (OIDC, None, "/me"),
        (replace(OIDC, whoami="/own"), f"{ISSUER}/oauth2/userinfo", "/own"),
        (replace(OIDC, origins=("https://api.example",)), "https://api.example/v1/me", "https://api.example/v1/me"),
        (replace(OIDC, api=f"{ISSUER}/api"), f"{ISSUER}/apis/me", f"{ISSUER}/apis/me"),
    ],
)
async def test_where_whoami_asks(said: ProviderSettings, userinfo: str | None, path: str) -> None:
    """The operator's path, else the server's own userinfo, else the usual place."""
    made, http = instances(oidc=said), FakeHttp({OPENID: metadata(userinfo_endpoint=userinfo)})

    assert path == (await made.ready(made.get("oidc"), http)).provider.whoami.path


async def test_userinfo_is_not_for_every_provider() -> None:
    """A provider whose catalogue entry names its whoami keeps it."""
    made, http = instances(demo=OIDC), FakeHttp({OPENID: metadata(userinfo_endpoint=f"{ISSUER}/userinfo")})

    assert "/api/me" == (await made.ready(made.get("demo"), http)).provider.whoami.path


async def test_the_demo_provider_is_discovered() -> None:
    """Over a real socket: the operator may name a loopback address, and the shipped entry fits the demo."""
    http = Http()
    async with DemoProvider() as provider:
        made = instances(demo=replace(CLIENT, issuer=provider.origin))
        ready = await made.ready(made.get("demo"), http)
    await http.close()

    assert ready.server
    assert (f"{provider.origin}/token", "required") == (ready.server.token_url, ready.server.iss)


async def test_an_address_that_a_person_named_is_guarded() -> None:
    """The same loopback address is refused where no operator vouches for it."""
    http = Http()
    async with DemoProvider() as provider:
        made = instances(demo=replace(CLIENT, issuer=provider.origin))
        named: Instance = replace(made.get("demo"), by_operator=False)
        with pytest.raises(Upstream, match=r"^That address is not one I may call.$"):
            await made.ready(named, http)
    await http.close()

    assert [] == provider.requests


# ------------------------------------------------------------------------------ hosts that people name


KEYED = replace(TRACKER, name="keyed", ways=("key",), base="", whoami=Whoami("/me", "id", "login"))


def anywhere(mode: str = "ask", allowed: str = "", **said: Any) -> Instances:
    """Return instances of one provider of which people may name hosts, and the one of them that is *allowed*."""
    settings = ProviderSettings(**{"instances": {"*": mode}, **said})
    made = Instances({"keyed": KEYED}, {"keyed": settings})
    made.heed(lambda provider, host: "allowed" if host == allowed else "refused" if "evil" in host else None)
    return made


def test_a_host_that_was_allowed_is_an_instance() -> None:
    """At that host over https, and nowhere else; at a public address; nobody is registered there."""
    one = anywhere(allowed="a.example", client_id="bot", methods=("GET", "POST")).get("keyed@A.example")

    assert ("keyed@a.example", "Tracker (a.example)") == (one.key, one.title)
    assert ("https://a.example/api", frozenset({"https://a.example"})) == (one.api, one.origins)
    assert (False, False, ("GET", "POST")) == (one.by_operator, one.authorises, one.methods)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("b.example", "No admin of this bot has allowed `b.example`, so I do not go there."),
        ("evil.example", "An admin of this bot has refused `evil.example`, so I do not go there."),
        ("b", "I do not know that keyed. A server of your own is named by its host alone, as in"),
        ("127.0.0.1", "I do not know that keyed. A server of your own is named by its host alone, as in"),
        ("", "Which one? Name its host, as in `keyed@keyed.example.org`."),
    ],
)
def test_other_hosts_are_not(name: str, words: str) -> None:
    """It says why."""
    with pytest.raises(UserError) as caught:
        anywhere(allowed="a.example").get("keyed", name or None)

    assert str(caught.value).startswith(words)


def test_any_host_but_those_refused() -> None:
    """Where the operator says so."""
    made = anywhere("any")

    assert "keyed@b.example" == made.get("keyed@b.example").key
    with pytest.raises(UserError, match="refused"):
        made.get("keyed@evil.example")


def test_hosts_are_not_listed() -> None:
    """Who named which is nobody's business; the provider is known."""
    made = anywhere(allowed="a.example")

    assert ((), [], ("keyed",), {"keyed": "ask"}) == (made.keys(), made.of("keyed"), made.names(), made.at_hosts())


def test_named_instances_go_before_hosts() -> None:
    """Also one whose alias looks like a host; its address is not asked for again."""
    made = anywhere(instances={"a.example": "https://work.example:8443", "home": "https://h.example", "*": "any"})

    assert ("https://work.example:8443/api", True) == ((one := made.get("keyed@a.example")).api, one.by_operator)
    assert ("", "b.example") == (made.host("keyed", "a.example"), made.host("keyed", "B.example"))
    with pytest.raises(UserError, match="That is `keyed@home` here"):
        made.host("keyed", "h.example")
    assert ["keyed@a.example", "keyed@home"] == list(made.keys())


def test_a_plain_name_is_a_host_in_ascii() -> None:
    """Whatever is none stays as it is."""
    made = anywhere()

    assert ["xn--bcher-kva.example", "b\u00fccher", "x"] == [
        made.plain("keyed", one) for one in ("B\u00fccher.example", "b\u00fccher", "x")
    ]
    assert "B\u00fccher.example" == made.plain("other", "B\u00fccher.example")


def test_a_host_can_be_shown_that_is_not_allowed() -> None:
    """On a page about a link that was."""
    made = anywhere()

    assert "Tracker (evil.example)" == made.shown("keyed", "evil.example").title


@pytest.mark.parametrize(
    "provider",
    [
        TRACKER,
        replace(KEYED, discovery=True),
        replace(KEYED, api="https://api.example"),
        replace(KEYED, whoami=Whoami("https://id.example/me", "id", "login")),
    ],
)
def test_hosts_of_services_that_want_a_registration(provider: Provider) -> None:
    """Or whose keys would go elsewhere: it is said so, where it stands."""
    document = read("providers:\n  keyed:\n    instances: ask\n", "config.yaml")
    with pytest.raises(ConfigError) as caught:
        Instances({"keyed": provider}, {"keyed": ProviderSettings("bot", instances={"*": "ask"})}, document)

    what = "lets people name servers, and this service wants the bot registered at each of them"
    cure = "Name the servers where you have registered the bot: alias and address."

    assert [f"config.yaml:3: providers.keyed.instances: {what}. {cure}"] == [str(one) for one in caught.value.problems]


@pytest.mark.parametrize("said", ["https://a.example", "yes", ProviderSettings(base="https://a.example")])
def test_what_stands_for_every_host_is_ask_or_any(said: str | ProviderSettings) -> None:
    """And no address."""
    with pytest.raises(ConfigError, match=r"^providers.keyed.instances.\*: is neither ask nor any."):
        Instances({"keyed": KEYED}, {"keyed": ProviderSettings(instances={"*": said})})


def test_a_fault_beside_ask_is_said_once() -> None:
    """Where it stands."""
    with pytest.raises(ConfigError) as caught:
        anywhere(methods=("PUSH",))

    assert ["providers.keyed.methods"] == [one.key for one in caught.value.problems]


@pytest.mark.parametrize(
    ("settings", "key", "what"),
    [(replace(CLIENT, device=True), "device", "device's codes"), (replace(CLIENT, pin=True), "pin", "PINs")],
)
def test_a_way_that_a_service_does_not_have_is_not_switched_on(settings: ProviderSettings, key: str, what: str) -> None:
    """An operator who writes it believes something that is not so."""
    with pytest.raises(ConfigError, match=f"tracker.{key}: is about {what}"):
        Instances({"tracker": TRACKER}, {"tracker": settings})
