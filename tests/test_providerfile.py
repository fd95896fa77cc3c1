"""A catalogue file becomes a provider, or everything wrong in it is said."""

from pathlib import Path

import pytest

from omnibot.errors import ConfigError
from omnibot.provider import AuthorizationServer, Provider, RevokeRequest, Whoami
from omnibot.providerfile import SHIPPED, load_catalogue

GOOD = """\
title: Tracker
base: https://tracker.example
api: "{base}/api/v2"
server:
  authorize_url: "{base}/auth"
  token_url: "{base}/token"
  pkce: none
  client_auth: post
scopes: {issues: read your issues}
base_scopes: [issues]
whoami: {path: /me, id: id, login: user.login}
signer: header:X-Key
loopback: no
sensitivity: high
methods: [GET, POST]
"""


def problems(folder: Path, text: str, name: str = "tracker.yaml") -> list[str]:
    """Return the lines of the error that *text* earns as a catalogue file."""
    (folder / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_catalogue(folder)
    return str(caught.value).splitlines()


def test_a_good_file_becomes_a_provider(tmp_path: Path) -> None:
    """Its name is the file's, and `no` is the word it says."""
    (tmp_path / "tracker.yaml").write_text(GOOD)
    expected = Provider(
        name="tracker",
        title="Tracker",
        scopes={"issues": "read your issues"},
        whoami=Whoami("/me", "id", "user.login"),
        signer="header:X-Key",
        base_scopes=("issues",),
        loopback="no",
        sensitivity="high",
        methods=("GET", "POST"),
        base="https://tracker.example",
        api="{base}/api/v2",
        server=AuthorizationServer("{base}/auth", "{base}/token", pkce="none", client_auth="post"),
    )

    assert {"tracker": expected} == load_catalogue(tmp_path)


def test_a_later_folder_wins(tmp_path: Path) -> None:
    """An operator's file replaces the shipped one of its name, and adds to the others."""
    (tmp_path / "demo.yaml").write_text(GOOD)
    (tmp_path / "tracker.yaml").write_text(GOOD)
    found = load_catalogue(SHIPPED, tmp_path)

    assert "Tracker" == found["demo"].title
    assert {"demo", "oidc", "tracker"} <= set(found)


def test_every_problem_of_every_file_is_said(tmp_path: Path) -> None:
    """File, line, key, value and cure, for all files at once."""
    (tmp_path / "A B.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("title: [a]: b\n")

    text = """\
titel: Tracker
title: ""
base: ftp://tracker.example
server:
  authorize_url: https://é.example
  pkce: plain
  authorize_params: {state: x, prompt: consent}
scopes: {two words: x}
whoami: {path: me, id: "", login: a}
signer: beerer
methods: [GET, BREW]
loopback: maybe
"""

    assert [
        'A B.yaml: "A B" is not a provider\'s name. Use a to z, 0 to 9 and dashes, 32 at most.',
        "b.yaml:1: is not YAML: mapping values are not allowed in this context. Check indentation and quotes.",
        'tracker.yaml:1: titel: is not a key that I know. Did you mean "title"?',
        'tracker.yaml:2: title: "" is too short. The least is 1.',
        'tracker.yaml:3: base: "ftp://tracker.example" is not a web address. Write https://host/path.',
        'tracker.yaml:5: server.authorize_url: "https://é.example" is not plain ASCII. Use the xn-- form.',
        'tracker.yaml:6: server.pkce: "plain" is not one of them. Choose: S256, none.',
        "tracker.yaml:7: server.authorize_params: state belongs to the protocol. Take it out.",
        'tracker.yaml:8: scopes.two words: "two words" is not one scope. Write one an entry.',
        'tracker.yaml:9: whoami.path: "me" holds a wrong character. Check its spelling.',
        'tracker.yaml:9: whoami.id: "" is too short. The least is 1.',
        (
            'tracker.yaml:10: signer: "beerer" is not a way to sign requests. Use bearer, basic, crumb, sigv4, '
            "header:NAME or authorization:TEMPLATE."
        ),
        'tracker.yaml:11: methods.1: "BREW" is not one of them. Choose: GET, HEAD, POST, PUT, PATCH, DELETE.',
        'tracker.yaml:12: loopback: "maybe" is not one of them. Choose: ip, localhost, no.',
    ] == problems(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            "base_scopes: [issues]",
            "base_scopes: [isues]",
            "base_scopes has isues, which scopes does not explain",
        ),
        ("loopback: no", "discovery: true", "has both discovery and endpoints of its own"),
        ('  token_url: "{base}/token"\n', "", "has neither discovery nor endpoints"),
        ("path: /me, ", "", "has no whoami.path, which only discovery finds by itself"),
        ("pkce: none", "iss: required", "requires iss and names no issuer to compare it with"),
        ("https://tracker.example", "https://u@tracker.example", "is not a web address"),
        ("https://tracker.example", "https://tracker.example?x", "has a query or fragment"),
    ],
)
def test_what_does_not_fit_together(tmp_path: Path, old: str, new: str, what: str) -> None:
    """A file whose keys are right one by one may be wrong as a whole."""
    found = problems(tmp_path, GOOD.replace(old, new))

    assert 1 == len(found)
    assert what in found[0]


def test_a_services_own_way_to_end_a_token(tmp_path: Path) -> None:
    """A request with places that whoami's answer fills; DELETE unless it says otherwise."""
    (tmp_path / "tracker.yaml").write_text(GOOD + 'revoke_request: {path: "/users/{user.name}/tokens/{token_id}"}\n')
    (tmp_path / "other.yaml").write_text(GOOD + "revoke_request: {method: POST, path: '/logout?all=no'}\n")
    found = load_catalogue(tmp_path)

    assert RevokeRequest("DELETE", "/users/{user.name}/tokens/{token_id}") == found["tracker"].revoke_request
    assert RevokeRequest("POST", "/logout?all=no") == found["other"].revoke_request


@pytest.mark.parametrize(
    "path",
    [
        *("", "users", "https://x.example/{id}", "/users/{id", "/users/id}", "/users/{}", "/users/{a b}"),
        *("/users/{{id}}", "/users/#{id}", "/a b", "/caf\u00e9", "/users/../{id}", "/..", "/a\\\\b"),
    ],
)
def test_a_request_that_could_go_astray_is_refused(tmp_path: Path, path: str) -> None:
    """When the catalogue loads, and not when somebody unlinks."""
    found = problems(tmp_path, GOOD + f'revoke_request: {{path: "{path}"}}\n')

    assert 1 == len(found)
    assert ": revoke_request.path: " in found[0]
    assert "is not a path with placeholders" in found[0] or "climbs out of the API" in found[0]


def test_a_request_that_only_looks_is_refused(tmp_path: Path) -> None:
    """GET ends nothing."""
    found = problems(tmp_path, GOOD + "revoke_request: {method: GET, path: /x}\n")

    assert 1 == len(found)
    assert 'revoke_request.method: "GET" is not one of them.' in found[0]


def test_never_and_a_request_do_not_fit(tmp_path: Path) -> None:
    """One of the two is a mistake."""
    found = problems(tmp_path, GOOD + "revoke: never\nrevoke_request: {path: /x}\n")

    assert 1 == len(found)
    assert "has a revoke_request, and revoke: never. Keep one of the two." in found[0]


def test_a_path_is_filled_with_what_whoami_says() -> None:
    """Each value quoted whole, so that none of them leads elsewhere; without one of them there is no path."""
    request = RevokeRequest("DELETE", "/users/{user.name}/tokens/{id}")

    assert "/users/a%2Fb%20%3F%C3%A9/tokens/7" == request.filled({"user": {"name": "a/b ?\u00e9"}, "id": 7})
    assert "/users/%7Bid%7D/tokens/7" == request.filled({"user": {"name": "{id}"}, "id": 7})
    for said in ({}, {"id": 7}, {"user": "x", "id": 7}, {"user": {"name": ".."}, "id": 7}, {"user": {"name": True}}):
        assert request.filled(said) is None


def test_the_shipped_catalogue_is_good() -> None:
    """Every shipped file loads, explains its scopes, and says how consent is asked for each time."""
    # Of these no parameter is known that would make them ask again.
    asks_once = {"asana", "bitbucket", "digitalocean", "forgejo", "gitlab", "gotosocial", "homeassistant"}
    asks_once |= {"jupyterhub", "nextcloud", "sentry", "slack", "todoist", "x", "zoom"}
    for provider in load_catalogue(SHIPPED).values():
        of_oauth2 = provider.server.authorize_url or provider.discovery  # OAuth 1.0a has a page for each request
        assert provider.server.authorize_params or not of_oauth2 or provider.name in asks_once
        assert set(provider.base_scopes) <= set(provider.scopes)


def test_the_demo_provider() -> None:
    """It is discovered, and knows two scopes."""
    demo = load_catalogue(SHIPPED)["demo"]

    assert {"notes:read": "read your notes", "notes:write": "write and delete your notes"} == demo.scopes
    assert (True, "refresh", "/api/me") == (demo.discovery, demo.revoke, demo.whoami.path)


def test_the_openid_provider() -> None:
    """Its userinfo comes with discovery, and it always asks for consent."""
    oidc = load_catalogue(SHIPPED)["oidc"]

    assert Whoami("", "sub", "preferred_username", "name", "picture") == oidc.whoami
    assert {"prompt": "consent"} == oidc.server.authorize_params
    assert {"openid", "profile", "email", "offline_access"} == set(oidc.scopes)
