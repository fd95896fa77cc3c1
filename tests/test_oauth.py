"""OAuth 2.0: what is sent binds the code to us, and what comes back is read strictly."""

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.errors import OAuthError
from omnibot.oauth import (
    authorize_url,
    code_request,
    new_state,
    new_verifier,
    read_token,
    refresh_request,
    revoke_request,
)
from omnibot.provider import AuthorizationServer, ClientCredential, Secret, Token
from omnibot.wire import Answer

SERVER = AuthorizationServer(
    "https://as.example/auth?tenant=1",
    "https://as.example/token",
    revoke_url="https://as.example/revoke",
    authorize_params={"prompt": "consent"},
)
OLD = AuthorizationServer("https://as.example/auth", "https://as.example/token", pkce="none")
CLIENT = ClientCredential("bot:1", Secret("s3/cret+"))
PUBLIC = ClientCredential("bot")
REDIRECT = "http://127.0.0.1:9/callback/demo/default"
NOW = 1_000_000.0


def code_of(call: Any, *args: Any, **kwargs: Any) -> str:
    """Return the code of the OAuthError that the *call* raises."""
    with pytest.raises(OAuthError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def form(body: bytes) -> dict[str, str]:
    """Return the form in *body*, having seen that nothing in it is doubled."""
    pairs = parse_qsl(body.decode(), strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def token_answer(status: int = 200, **said: Any) -> Answer:
    """Return the answer of a token endpoint that *said* this."""
    return Answer(status, {"content-type": "application/json"}, json.dumps(said).encode())


# ------------------------------------------------------------------------------------ authorization


def test_verifiers_and_states_are_random_and_url_safe() -> None:
    """32 octets each, in the alphabet that RFC 7636 allows, and never the same twice."""
    made = [new() for new in (new_verifier, new_state) for _ in range(50)]

    assert 100 == len(set(made))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", one) for one in made)


def test_the_authorization_address() -> None:
    """It carries the challenge of this attempt's verifier, never the verifier, and what asks for consent."""
    verifier = new_verifier()
    url = authorize_url(
        SERVER,
        CLIENT,
        redirect_uri=REDIRECT,
        scopes=["notes:read", "notes:write"],
        state="st",
        verifier=verifier,
    )
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")

    assert url.startswith("https://as.example/auth?")
    assert verifier not in url
    assert {
        "tenant": ["1"],
        "response_type": ["code"],
        "client_id": ["bot:1"],
        "redirect_uri": [REDIRECT],
        "scope": ["notes:read notes:write"],
        "state": ["st"],
        "code_challenge": [challenge],
        "code_challenge_method": ["S256"],
        "prompt": ["consent"],
    } == parse_qs(urlsplit(url).query)


def test_scopes_are_separated_as_the_server_wants() -> None:
    """Some servers want commas; without scopes the parameter is left out."""
    server = AuthorizationServer("https://as.example/auth", "https://as.example/token", scope_separator=",")
    urls = [
        authorize_url(server, PUBLIC, redirect_uri=REDIRECT, scopes=scopes, state="s", verifier="v" * 43)
        for scopes in (["a", "b"], [])
    ]

    assert [["a,b"], None] == [parse_qs(urlsplit(url).query).get("scope") for url in urls]


def test_without_pkce_and_secret_nothing_starts() -> None:
    """A14: a code that nothing binds to us is not asked for; with a secret it is."""
    words: dict[str, Any] = {"redirect_uri": REDIRECT, "scopes": [], "state": "s", "verifier": "v" * 43}

    assert "pkce_unsupported" == code_of(authorize_url, OLD, PUBLIC, **words)
    assert "challenge" not in authorize_url(OLD, CLIENT, **words)


@pytest.mark.parametrize(
    ("client_id", "asked"),
    [
        ("http://127.0.0.1:9/", True),
        ("http://127.0.0.1:9", False),
        ("http://127.0.0.1:99/", False),
        ("https://127.0.0.1:9/", False),
        ("http://127.0.0.1:9/other/", False),
        ("/", False),
    ],
)
def test_a_client_that_is_named_by_its_address_is_bound_by_that(client_id: str, asked: bool) -> None:
    """A14: such a server sends codes there alone; so they have to go below that very address."""
    words: dict[str, Any] = {"redirect_uri": REDIRECT, "scopes": [], "state": "s", "verifier": "v" * 43}
    client = ClientCredential(client_id)

    if asked:
        assert parse_qs(urlsplit(authorize_url(OLD, client, **words)).query)["client_id"] == [client_id]
    else:
        assert "pkce_unsupported" == code_of(authorize_url, OLD, client, **words)


# ------------------------------------------------------------------------------------------- tokens


def test_the_code_is_exchanged_with_its_verifier() -> None:
    """Basic authentication, encoded as RFC 6749 section 2.3.1 has it; nothing of the client in the body."""
    request = code_request(SERVER, CLIENT, code="c/1", verifier="v", redirect_uri=REDIRECT, accept="text/x")
    scheme, _, credential = request.headers["Authorization"].partition(" ")

    assert ("POST", "https://as.example/token", "text/x") == (
        request.method,
        request.url,
        request.headers["Accept"],
    )
    assert "application/x-www-form-urlencoded" == request.headers["Content-Type"]
    assert ("Basic", b"bot%3A1:s3%2Fcret%2B") == (scheme, base64.b64decode(credential))
    assert {
        "grant_type": "authorization_code",
        "code": "c/1",
        "redirect_uri": REDIRECT,
        "code_verifier": "v",
    } == form(request.body)


@pytest.mark.parametrize(
    ("way", "client", "extra"),
    [
        ("post", CLIENT, {"client_id": "bot:1", "client_secret": "s3/cret+"}),
        ("none", CLIENT, {"client_id": "bot:1"}),
        ("basic", PUBLIC, {"client_id": "bot"}),
        ("post", PUBLIC, {"client_id": "bot"}),
        ("none", PUBLIC, {"client_id": "bot"}),
    ],
)
def test_other_ways_to_authenticate(way: Any, client: ClientCredential, extra: dict[str, str]) -> None:
    """In the body, or by name alone; a client without a secret has nothing else."""
    server = AuthorizationServer("https://as.example/a", "https://as.example/t", client_auth=way, pkce="none")
    request = code_request(server, client, code="c", verifier="v", redirect_uri=REDIRECT)

    assert "Authorization" not in request.headers
    assert {"grant_type": "authorization_code", "code": "c", "redirect_uri": REDIRECT, **extra} == form(request.body)


def test_refreshing_and_revoking() -> None:
    """Each sends its token in the body, with the client's authentication, to its own endpoint."""
    refresh = refresh_request(SERVER, PUBLIC, Token("a", "r+1"))
    revoke = revoke_request(SERVER, PUBLIC, "r+1", "refresh_token")

    assert ["https://as.example/token", "https://as.example/revoke"] == [refresh.url, revoke.url]
    assert {"grant_type": "refresh_token", "refresh_token": "r+1", "client_id": "bot"} == form(refresh.body)
    assert {"token": "r+1", "token_type_hint": "refresh_token", "client_id": "bot"} == form(revoke.body)


def test_nothing_to_refresh_and_nowhere_to_revoke() -> None:
    """Without a refresh token, or an endpoint, there is no request."""
    assert "no_refresh_token" == code_of(refresh_request, SERVER, CLIENT, Token("a"))
    assert "no_revocation" == code_of(revoke_request, OLD, CLIENT, "a", "access_token")


def test_a_whole_token_is_read() -> None:
    """Access, refresh, expiry in Unix seconds, and the scopes as they were granted."""
    answer = token_answer(
        access_token="a",
        token_type="Bearer",
        refresh_token="r",
        expires_in=60,
        scope="notes:read  notes:write",
    )

    assert Token("a", "r", NOW + 60, ("notes:read", "notes:write")) == read_token(answer, now=NOW)


def test_what_a_refresh_leaves_unsaid_stays() -> None:
    """A refresh that names no refresh token and no scope keeps both; an old expiry is not kept."""
    previous = Token("old", "r", NOW, ("notes:read",))

    assert Token("new", "r", None, ("notes:read",)) == read_token(
        token_answer(access_token="new"), now=NOW, previous=previous
    )
    assert "r2" == read_token(token_answer(access_token="n", refresh_token="r2"), now=NOW, previous=previous).refresh


def test_a_token_within_an_answer_is_read() -> None:
    """Slack's answer has a bot's token on top, and the person's within, of a type of its own."""
    person = {"id": "U1", "access_token": "xoxp-1", "scope": "users:read,chat:write", "token_type": "user"}
    answer = token_answer(ok=True, access_token="xoxb-1", token_type="bot", authed_user=person)

    token = read_token(answer, now=0.0, path="authed_user")

    assert ("xoxp-1", ("users:read", "chat:write")) == (token.access, token.scopes)
    for path in ("", "team", "authed_user.id"):
        with pytest.raises(OAuthError):
            read_token(answer, now=0.0, path=path)


def test_a_form_encoded_token_is_read() -> None:
    """GitHub answers so unless asked for JSON, with commas between scopes."""
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    answer = Answer(200, headers, b"access_token=gho_1&scope=repo%2Cgist&token_type=bearer")

    assert Token("gho_1", "", None, ("repo", "gist")) == read_token(answer, now=NOW)


@pytest.mark.parametrize(
    ("said", "expires"),
    [
        (3600, NOW + 3600),
        ("3600", NOW + 3600),
        (3600.5, NOW + 3600.5),
        (None, None),
        (0, None),
        (-1, None),
        ("soon", None),
        (True, None),
        ([], None),
        ("inf", None),
        ("nan", None),
        (10**400, None),
    ],
)
def test_lifetimes(said: object, expires: float | None) -> None:
    """Numbers and digits count; a lifetime that makes no sense is not known."""
    assert expires == read_token(token_answer(access_token="a", expires_in=said), now=NOW).expires


@pytest.mark.parametrize(
    ("said", "scopes"),
    [("a b", ("a", "b")), (["a", 1, "b"], ("a", "b")), (["a b"], ("a", "b")), ("", ()), (None, None), (5, None)],
)
def test_scopes(said: object, scopes: tuple[str, ...] | None) -> None:
    """Text or a list; None is that the server did not say."""
    assert scopes == read_token(token_answer(access_token="a", scope=said), now=NOW).scopes


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (
            token_answer(200, error="bad_verification_code", error_description="canary"),
            "bad_verification_code",
        ),
        (token_answer(400, error="invalid_grant"), "invalid_grant"),
        (token_answer(401, error="<script>"), "bad_answer"),
        (token_answer(400, error={"code": 1}), "bad_answer"),
        (token_answer(400, access_token="a"), "bad_answer"),
        (token_answer(500, error="invalid_grant"), "temporarily_unavailable"),
        (token_answer(503), "temporarily_unavailable"),
        (token_answer(429, error="invalid_grant"), "temporarily_unavailable"),
        (Answer(307, {"location": "https://evil.example"}, b'{"access_token": "a"}'), "redirected"),
        (token_answer(200), "bad_answer"),
        (token_answer(200, access_token=""), "bad_answer"),
        (token_answer(200, access_token=None), "bad_answer"),
        (token_answer(200, access_token=["a"]), "bad_answer"),
        (token_answer(200, access_token="a b"), "bad_answer"),
        (token_answer(200, access_token="a\r\nX: y"), "bad_answer"),
        (token_answer(200, access_token="a" * 40_000), "bad_answer"),
        (token_answer(200, access_token="a", token_type="DPoP"), "bad_token_type"),
        (token_answer(200, access_token="a", token_type=["bearer"]), "bad_token_type"),
        (Answer(200, {"content-type": "text/html"}, b"access_token=a"), "bad_answer"),
        (Answer(200, {"content-type": "application/json"}, b"[1]"), "bad_answer"),
        (Answer(200, {"content-type": "application/json"}, b"[" * 100_000), "bad_answer"),
        (Answer(200, {"content-type": "application/json"}, b"9" * 5_000), "bad_answer"),
        (Answer(200, {"content-type": "application/x-www-form-urlencoded"}, b"nothing"), "bad_answer"),
        (Answer(200, {"content-type": "application/x-www-form-urlencoded"}, b"error=x&a=b"), "x"),
        (Answer(204), "bad_answer"),
    ],
)
def test_what_is_no_token(answer: Answer, code: str) -> None:
    """A19, A46: refusals, redirects, breakdowns and nonsense each have a code, and the status with it."""
    with pytest.raises(OAuthError) as caught:
        read_token(answer, now=NOW)

    assert (code, answer.status) == (caught.value.code, caught.value.status)
    assert "canary" not in str(caught.value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below) | st.dictionaries(st.text(max_size=4), below),
)
_token = st.dictionaries(
    st.sampled_from(["access_token", "token_type", "refresh_token", "expires_in", "scope", "error"]), _json
)


@given(
    st.integers(100, 599),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]),
    st.binary() | _token.map(lambda data: json.dumps(data).encode()),
)
def test_any_token_answer_is_read_or_refused(status: int, kind: str, body: bytes) -> None:
    """Nothing but OAuthError comes out, and a token that is read can be sent in a header."""
    try:
        token = read_token(Answer(status, {"content-type": kind}, body), now=NOW)
    except OAuthError:
        return

    assert re.fullmatch(r"[!-~]+", token.access)
