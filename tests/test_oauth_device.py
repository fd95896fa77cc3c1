"""The device grant (RFC 8628), and what a few services want otherwise than OAuth has it; each without a server."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omnibot.errors import OAuthError
from omnibot.oauth import (
    DeviceCode,
    authorize_url,
    code_request,
    device_request,
    device_token_request,
    read_device_code,
    read_token,
)
from omnibot.provider import AuthorizationServer, ClientCredential, Secret
from omnibot.wire import Answer, Request

SERVER = AuthorizationServer("https://as.example/a", "https://as.example/t", device_url="https://as.example/d")
CLIENT = ClientCredential("bot", Secret("unsaid"))
PUBLIC = ClientCredential("bot")
GOOD = {
    "device_code": "GmRhm",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://as.example/device",
    "verification_uri_complete": "https://as.example/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 7,
}


def form(request: Request) -> dict[str, list[str]]:
    return parse_qs(request.body.decode(), keep_blank_values=True)


def answer(said: Any, status: int = 200) -> Answer:
    return Answer(status, {"content-type": "application/json"}, json.dumps(said).encode())


@pytest.mark.parametrize("client", [CLIENT, PUBLIC])
@pytest.mark.parametrize("auth", ["basic", "post", "none"])
def test_the_client_is_named_once(client: ClientCredential, auth: Any) -> None:
    """Section 3.1 wants its name in the body, also where its secret goes into the header."""
    server = AuthorizationServer(SERVER.authorize_url, SERVER.token_url, device_url=SERVER.device_url, client_auth=auth)
    begun = device_request(server, client, ["read", "write"])
    asked = device_token_request(server, client, "GmRhm")

    assert (SERVER.device_url, ["read write"]) == (begun.url, form(begun)["scope"])
    assert SERVER.token_url == asked.url
    assert ["urn:ietf:params:oauth:grant-type:device_code"] == form(asked)["grant_type"]
    assert ["GmRhm"] == form(asked)["device_code"]
    assert [["bot"], ["bot"]] == [form(one)["client_id"] for one in (begun, asked)]


def test_a_server_without_the_grant_is_not_asked() -> None:
    """There is nowhere to ask."""
    with pytest.raises(OAuthError, match="no_device_flow"):
        device_request(AuthorizationServer("https://as.example/a", "https://as.example/t"), CLIENT, [])


def test_the_codes_are_read_without_the_address_that_holds_one() -> None:
    """With that a phisher would need one click (section 5.4)."""
    found = read_device_code(answer(GOOD))

    assert DeviceCode("GmRhm", "WDJB-MJHT", "https://as.example/device", 1800.0, 7.0) == found
    assert "GmRhm" not in repr(found)


def test_without_an_interval_it_is_five_seconds() -> None:
    """Section 3.2."""
    assert 5.0 == read_device_code(answer({**GOOD, "interval": None})).interval
    assert 1.0 == read_device_code(answer({**GOOD, "interval": 0.01})).interval


@pytest.mark.parametrize(
    "wrong",
    [
        {"device_code": ""},
        {"device_code": None},
        {"user_code": "A\nB"},
        {"user_code": "A" * 65},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "https://as.example/ü"},
        {"verification_uri": 7},
        {"expires_in": None},
        {"expires_in": -1},
        {"expires_in": "soon"},
    ],
)
def test_codes_that_are_none(wrong: dict[str, Any]) -> None:
    """Nothing of them is shown to anybody."""
    with pytest.raises(OAuthError, match="bad_answer"):
        read_device_code(answer({**GOOD, **wrong}))


def test_a_service_may_call_the_scopes_otherwise() -> None:
    """Slack: `scope` would ask for a token of the bot's, `user_scope` asks for the person's."""
    server = AuthorizationServer("https://as.example/a", "", scope_parameter="user_scope", scope_separator=",")
    url = authorize_url(server, CLIENT, redirect_uri="https://b.example/", scopes=["a", "b"], state="s", verifier="v")
    query = parse_qs(urlsplit(url).query)

    assert ["a,b"] == query["user_scope"]
    assert "scope" not in query


def test_a_service_may_want_json() -> None:
    """Notion does; the client is named as ever."""
    server = AuthorizationServer("https://as.example/a", "https://as.example/t", request_format="json", pkce="none")
    request = code_request(server, CLIENT, code="c&d", verifier="", redirect_uri="https://b.example/")

    assert "application/json" == request.headers["Content-Type"]
    assert request.headers["Authorization"].startswith("Basic ")

    said = {"grant_type": "authorization_code", "code": "c&d", "redirect_uri": "https://b.example/"}

    assert said == json.loads(request.body)


@pytest.mark.parametrize(("said", "found"), [({"a": {"access_token": "mine"}, "access_token": "bot"}, "mine")])
def test_a_service_may_put_the_token_deeper(said: dict[str, Any], found: str) -> None:
    """Slack again: what stands at the top is the bot's."""
    assert found == read_token(answer(said), now=0.0, path="a").access

    with pytest.raises(OAuthError, match="bad_answer"):
        read_token(answer({"access_token": "bot"}), now=0.0, path="a")
