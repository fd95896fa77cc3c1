"""Metadata are believed only of the issuer that was configured, and only where the operator allowed it."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.discovery import metadata_requests, read_metadata, read_userinfo_url
from omnibot.errors import OAuthError
from omnibot.provider import AuthorizationServer, ClientCredential, Instance, Provider, Secret, Whoami
from omnibot.wire import Answer

ISSUER = "https://as.example/realms/one"
QUIRKS = AuthorizationServer("", "", authorize_params={"prompt": "consent"}, scope_separator=",")
PROVIDER = Provider("oidc", "OpenID", {}, Whoami("/me", "sub", "sub"), discovery=True, server=QUIRKS)
INSTANCE = Instance(
    PROVIDER,
    "default",
    ClientCredential("bot", Secret("s")),
    None,
    issuer=ISSUER,
    api=ISSUER,
    origins=frozenset({"https://as.example", "https://api.example:8443"}),
)
GOOD: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "userinfo_endpoint": "https://api.example:8443/me",
    "code_challenge_methods_supported": ["plain", "S256"],
    "authorization_response_iss_parameter_supported": True,
}


def said(**changes: Any) -> Answer:
    """Return metadata with *changes*; None takes a key out."""
    data = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return Answer(200, {}, json.dumps(data).encode())


def code_of(answer: Answer, instance: Instance = INSTANCE) -> str:
    """Return the code of the OAuthError that *answer* earns."""
    with pytest.raises(OAuthError) as caught:
        read_metadata(instance, answer)
    return caught.value.code


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        (
            "https://as.example",
            [
                "https://as.example/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server",
            ],
        ),
        (
            "https://as.example/",
            [
                "https://as.example/.well-known/openid-configuration",
                "https://as.example/.well-known/oauth-authorization-server",
            ],
        ),
        (
            "http://as.example:8080/realms/one/",
            [
                "http://as.example:8080/realms/one/.well-known/openid-configuration",
                "http://as.example:8080/.well-known/oauth-authorization-server/realms/one",
            ],
        ),
    ],
)
def test_where_metadata_may_be(issuer: str, urls: list[str]) -> None:
    """OpenID appends to the issuer, RFC 8414 puts its path between host and path."""
    requests = metadata_requests(issuer)

    assert urls == [request.url for request in requests]
    assert ["GET", "GET"] == [request.method for request in requests]


def test_good_metadata_become_a_server() -> None:
    """Endpoints and abilities are the metadata's, the quirks the catalogue's."""
    expected = AuthorizationServer(
        f"{ISSUER}/auth",
        f"{ISSUER}/token",
        issuer=ISSUER,
        iss="required",
        revoke_url=f"{ISSUER}/revoke",
        authorize_params={"prompt": "consent"},
        scope_separator=",",
    )

    assert expected == read_metadata(INSTANCE, said())
    assert "https://api.example:8443/me" == read_userinfo_url(INSTANCE, said())


def test_what_metadata_leave_out() -> None:
    """Without a word on them there is no revocation, no userinfo, no iss; S256 is used all the same."""
    answer = said(
        revocation_endpoint=None,
        userinfo_endpoint=None,
        authorization_response_iss_parameter_supported=None,
        code_challenge_methods_supported=None,
    )
    server = read_metadata(INSTANCE, answer)

    assert ("", "absent", "S256", "basic") == (server.revoke_url, server.iss, server.pkce, server.client_auth)
    assert "" == read_userinfo_url(INSTANCE, answer)


@pytest.mark.parametrize(
    "issuer", ["https://as.example/realms/two", f"{ISSUER}/", "https://AS.example/realms/one", ["x"], None]
)
def test_the_issuer_is_ours_to_the_letter(issuer: object) -> None:
    """A12: metadata of another issuer are nobody's."""
    assert "issuer_mismatch" == code_of(said(issuer=issuer))


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "revocation_endpoint"])
@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://evil.example/token", "foreign_endpoint"),
        ("http://as.example/token", "foreign_endpoint"),
        ("https://as.example:444/token", "foreign_endpoint"),
        ("https://api.example/token", "foreign_endpoint"),
        ("https://as.example@evil.example/token", "bad_metadata"),
        ("https://as.example/token#x", "bad_metadata"),
        ("https://as.example/to ken", "bad_metadata"),
        ("https://as.example:x/token", "bad_metadata"),
        ("/token", "bad_metadata"),
        ("javascript:alert(1)", "bad_metadata"),
        ("", "bad_metadata"),
        (["https://as.example/token"], "bad_metadata"),
    ],
)
def test_endpoints_stay_where_the_operator_allowed(name: str, url: object, code: str) -> None:
    """A12: an evil server may not name the honest page and its own token endpoint."""
    assert code == code_of(said(**{name: url}))


def test_a_foreign_userinfo_is_refused() -> None:
    """The token would go there."""
    with pytest.raises(OAuthError, match="foreign_endpoint"):
        read_userinfo_url(INSTANCE, said(userinfo_endpoint="https://evil.example/me"))


@pytest.mark.parametrize("missing", ["authorization_endpoint", "token_endpoint"])
def test_a_server_without_endpoints_is_none(missing: str) -> None:
    """Both are needed."""
    assert "bad_metadata" == code_of(said(**{missing: None}))


@pytest.mark.parametrize("methods", [["plain"], [], "S256", {"S256": True}])
def test_a_server_that_announces_no_s256_is_refused(methods: object) -> None:
    """A14: PKCE is not talked down."""
    assert "pkce_unsupported" == code_of(said(code_challenge_methods_supported=methods))


def test_the_catalogue_may_know_a_server_without_pkce() -> None:
    """Where the catalogue says so, nothing is expected; the server is then one without."""
    lax = replace(INSTANCE, provider=replace(PROVIDER, server=replace(QUIRKS, pkce="none")))

    assert "none" == read_metadata(lax, said(code_challenge_methods_supported=["plain"])).pkce


@pytest.mark.parametrize(
    ("supported", "secret", "chosen"),
    [
        (None, True, "basic"),
        (["client_secret_post", "client_secret_basic"], True, "basic"),
        (["client_secret_post", "none"], True, "post"),
        (["none", "client_secret_basic"], False, "none"),
        (["client_secret_basic"], False, "none"),
    ],
)
def test_how_the_client_will_authenticate(supported: object, secret: bool, chosen: str) -> None:
    """Basic before post; a client without a secret by its name alone."""
    client = ClientCredential("bot", Secret("s") if secret else None)
    server = read_metadata(replace(INSTANCE, client=client), said(token_endpoint_auth_methods_supported=supported))

    assert chosen == server.client_auth


@pytest.mark.parametrize("supported", [["private_key_jwt"], ["none"], []])
def test_a_secret_that_cannot_be_used(supported: object) -> None:
    """A server that takes no secret from us in a way we know is refused, rather than asked without."""
    assert "client_auth_unsupported" == code_of(said(token_endpoint_auth_methods_supported=supported))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(302, {"location": "https://evil.example"}), "redirected"),
        (Answer(404), "bad_metadata"),
        (Answer(500, {}, b"{}"), "bad_metadata"),
        (Answer(200, {}, b"<html>"), "bad_metadata"),
        (Answer(200, {}, b"[]"), "bad_metadata"),
        (Answer(200, {}, b'{"a":' * 50_000), "bad_metadata"),
        (Answer(200, {}, b"\xff"), "bad_metadata"),
    ],
)
def test_what_is_no_metadata(answer: Answer, code: str) -> None:
    """Redirects, errors and other pages are told apart from another's metadata."""
    assert code == code_of(answer)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below) | st.dictionaries(st.text(max_size=4), below),
)
_url = st.sampled_from(["https://as.example/", "https://evil.example/", "http://as.example/"]) | st.text()
_metadata = st.fixed_dictionaries(
    {"issuer": st.just(ISSUER) | _json}, optional={name: _url | _json for name in GOOD if name != "issuer"}
)


@given(st.integers(100, 599), st.binary() | _metadata.map(lambda data: json.dumps(data).encode()))
def test_any_metadata_are_read_or_refused(status: int, body: bytes) -> None:
    """Nothing but OAuthError comes out, and what is read stays at the instance's origins."""
    try:
        server = read_metadata(INSTANCE, Answer(status, {}, body))
    except OAuthError:
        return

    assert server.token_url.startswith("https://as.example/")
