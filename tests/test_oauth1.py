"""The steps of OAuth 1.0a, each without a server; whole links are in journeys/test_oauth1.py."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from omnibot import oauth1
from omnibot.errors import OAuthError
from omnibot.oauth import Callback
from omnibot.provider import AuthorizationServer, ClientCredential, Secret, Token
from omnibot.signers import OAuth1Signer
from omnibot.wire import Answer, Request

CLIENT = ClientCredential("key", Secret("unsaid"))
SERVER = AuthorizationServer(
    "https://api.example/oauth/authorize?lang=en",
    "https://api.example/oauth/access_token",
    request_url="https://api.example/oauth/request_token",
    authorize_params={"force_login": "true"},
)
FORM = {"content-type": "text/html; charset=utf-8"}
"""What X says a form is."""


def said(request: Request) -> dict[str, str]:
    """What *request*'s header says, by name."""
    kind, _, rest = request.headers["Authorization"].partition(" ")

    assert "OAuth" == kind

    pairs = (one.strip().partition("=") for one in rest.split(","))
    return {name: unquote(value.strip('"')) for name, _, value in pairs}


def test_the_vendors_own_example_is_signed_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its values and its result stand in docs.x.com, "Creating a signature"."""
    module = "authlib.oauth1.rfc5849.client_auth"
    monkeypatch.setattr(f"{module}.generate_nonce", lambda: "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg")
    monkeypatch.setattr(f"{module}.generate_timestamp", lambda: "1318622958")
    client = ClientCredential("xvz1evFS4wEEPTGEFPHBog", Secret("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"))
    token = Token(
        "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", secret="LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
    )
    body = b"status=Hello%20Ladies%20%2b%20Gentlemen%2c%20a%20signed%20OAuth%20request%21"
    url = "https://api.twitter.com/1.1/statuses/update.json?include_entities=true"
    plain = Request("POST", url, {"Content-Type": "application/x-www-form-urlencoded"}, body)

    signed = next(OAuth1Signer(client).sign(plain, token))

    assert "hCtSmYh+iHYCEqBWrE7C7hYmtUk=" == said(signed)["oauth_signature"]
    assert (url, body) == (signed.url, signed.body)


def test_what_is_no_form_is_sent_as_it_is() -> None:
    """JSON takes no part in the signature (RFC 5849 section 3.4.1.3.1)."""
    plain = Request("POST", "https://api.example/2/tweets", {"Content-Type": "application/json"}, b'{"text":"a&b=c"}')

    signed = next(OAuth1Signer(CLIENT).sign(plain, Token("t", secret="s")))

    assert {"Content-Type": "application/json"} == {k: v for k, v in signed.headers.items() if k != "Authorization"}
    assert plain.body == signed.body
    assert "oauth_body_hash" not in said(signed)


def test_a_secret_signs_and_is_never_sent() -> None:
    """Neither the client's nor the token's."""
    signed = next(OAuth1Signer(CLIENT).sign(Request("GET", "https://api.example/x?a=1"), Token("t", secret="hidden")))

    assert "t" == said(signed)["oauth_token"]
    assert not [one for one in ("hidden", "unsaid") if one in signed.headers["Authorization"]]
    assert "hidden" not in repr(Token("t", secret="hidden"))


def test_temporary_credentials_are_asked_for_with_where_to_come_back() -> None:
    """RFC 5849 section 2.1."""
    request = oauth1.request_token_request(SERVER, CLIENT, "https://bot.example/callback/x/default")
    told = said(request)

    assert ("POST", SERVER.request_url) == (request.method, request.url)
    assert "https://bot.example/callback/x/default" == told["oauth_callback"]
    assert "oauth_token" not in told


def test_temporary_credentials_are_read_whatever_the_type_says() -> None:
    """X calls a form text/html."""
    body = b"oauth_token=Z6eEdO8&oauth_token_secret=Kd75W4&oauth_callback_confirmed=true"

    assert Token("Z6eEdO8", secret="Kd75W4") == oauth1.read_request_token(Answer(200, FORM, body))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"oauth_token=a&oauth_token_secret=b", "bad_answer"),
        (200, b"oauth_token=a&oauth_token_secret=b&oauth_callback_confirmed=false", "bad_answer"),
        (200, b"oauth_token=a&oauth_callback_confirmed=true", "bad_answer"),
        (200, b"oauth_token=&oauth_token_secret=b&oauth_callback_confirmed=true", "bad_answer"),
        (200, b"oauth_token=a%0ab&oauth_token_secret=b&oauth_callback_confirmed=true", "bad_answer"),
        (200, b"", "bad_answer"),
        (200, b"\xff", "bad_answer"),
        (200, b'{"oauth_token": "a"}', "bad_answer"),
        (401, b'{"errors":[{"code":32,"message":"Could not authenticate you."}]}', "refused"),
        (302, b"", "refused"),
        (503, b"over capacity", "temporarily_unavailable"),
        (429, b"", "temporarily_unavailable"),
    ],
)
def test_what_holds_no_temporary_credentials(status: int, body: bytes, code: str) -> None:
    """Without the confirmation it may be OAuth 1.0, at which one browser's answer can be another's."""
    with pytest.raises(OAuthError) as refused:
        oauth1.read_request_token(Answer(status, FORM, body))

    assert (code, status) == (refused.value.code, refused.value.status)


def test_the_browser_goes_where_the_server_is() -> None:
    """What the address has already, and what the catalogue adds, is kept."""
    url = urlsplit(oauth1.authorize_url(SERVER, Token("a&b")))

    assert "api.example/oauth/authorize" == url.netloc + url.path
    assert {"lang": ["en"], "oauth_token": ["a&b"], "force_login": ["true"]} == parse_qs(url.query)


def test_an_answer_is_read() -> None:
    """The credentials' name is the state, the verifier the code."""
    query = [("oauth_token", "tmp"), ("oauth_verifier", "v"), ("lang", "en")]

    assert oauth1.is_answer(query)
    assert Callback("tmp", "v", oauth1=True) == oauth1.read_callback(query)


@pytest.mark.parametrize("query", [[("denied", "tmp")], [("oauth_token", "tmp")]])
def test_a_no_is_read(query: list[tuple[str, str]]) -> None:
    """X says `denied`; others come back without a verifier."""
    assert oauth1.is_answer(query)
    assert Callback("tmp", error="access_denied", oauth1=True) == oauth1.read_callback(query)


@pytest.mark.parametrize(
    "query",
    [
        [("oauth_verifier", "v")],
        [("oauth_token", ""), ("oauth_verifier", "v")],
        [("oauth_token", "a"), ("oauth_token", "b"), ("oauth_verifier", "v")],
        [("oauth_token", "a"), ("oauth_verifier", "v"), ("denied", "a")],
        [("oauth_token", "a\n"), ("oauth_verifier", "v")],
        [("oauth_token", "a" * 2000), ("oauth_verifier", "v")],
    ],
)
def test_what_is_no_answer(query: list[tuple[str, str]]) -> None:
    """Nothing in it is believed."""
    with pytest.raises(OAuthError, match="bad_callback"):
        oauth1.read_callback(query)


@pytest.mark.parametrize("query", [[], [("state", "s"), ("code", "c")], [("state", "s"), ("oauth_token", "t")]])
def test_an_answer_of_oauth_2_is_none(query: list[tuple[str, str]]) -> None:
    """Whatever has a state is read as OAuth 2, which checks the issuer."""
    assert not oauth1.is_answer(query)


def test_the_token_is_asked_for_with_the_verifier() -> None:
    """RFC 5849 section 2.3; it is signed by both secrets."""
    told = said(oauth1.token_request(SERVER, CLIENT, Token("tmp", secret="s"), "748256"))

    assert ("tmp", "748256") == (told["oauth_token"], told["oauth_verifier"])
    assert "oauth_callback" not in told


def test_the_token_is_read() -> None:
    """It says no scopes and does not run out."""
    body = b"oauth_token=6253282-eWudHldSbIaelX7sw&oauth_token_secret=sec&user_id=6253282&screen_name=ada"

    assert Token("6253282-eWudHldSbIaelX7sw", secret="sec") == oauth1.read_token(Answer(200, FORM, body))


def test_a_query_that_is_not_strict_is_signed_as_it_is_sent() -> None:
    """What people search for has quotes and brackets in it; nothing of it is in any error."""
    signed = next(OAuth1Signer(CLIENT).sign(Request("GET", "https://api.example/x?q=it's+[a]%26b&c="), Token("t")))

    assert "https://api.example/x?q=it%27s+%5Ba%5D%26b&c=" == signed.url
