"""The demo provider lets in whoever does everything right, and nobody else."""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, encode_basic_auth
from authlib.oauth2 import rfc8414, rfc9207

from omnibot.demo.provider import ApiCall, DemoClient, DemoProvider, TokenCall

BACK = "http://127.0.0.1:9/callback/demo"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
CLIENTS = (
    DemoClient("omnibot", "demo-secret", (BACK, f"{BACK}?fixed=1")),
    DemoClient("public", None, (BACK,)),
    DemoClient("other", "other-secret", (BACK,)),
)
BASIC = encode_basic_auth("omnibot", "demo-secret")
BOTH = ("notes:read", "notes:write")


class Visitor:
    """A person's browser and the client's HTTP, in one."""

    def __init__(self, provider: DemoProvider, session: ClientSession) -> None:
        self.provider = provider
        self.session = session

    def url(self, **changes: str | None) -> str:
        """The address of a request in which nothing is wrong, but for *changes*; None leaves one out."""
        query: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "omnibot",
            "redirect_uri": BACK,
            "scope": "notes:read notes:write",
            "state": "st4te",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        sent = {name: value for name, value in {**query, **changes}.items() if value is not None}
        return f"{self.provider.origin}/authorize?{urlencode(sent)}"

    async def page(self, url: str, **form: str) -> tuple[int, str]:
        """Status and text of a page, posting *form* if there is one."""
        method = "POST" if form else "GET"
        async with self.session.request(method, url, data=form or None, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def back(self, url: str, **form: str) -> dict[str, str]:
        """What the browser takes back to the client."""
        method = "POST" if form else "GET"
        async with self.session.request(method, url, data=form or None, allow_redirects=False) as answer:
            location = urlsplit(answer.headers["Location"])

            assert (303, BACK) == (answer.status, location._replace(query="").geturl())
            return {name: values[0] for name, values in parse_qs(location.query).items()}

    async def code(self, user: str = "ada", **changes: str | None) -> str:
        """A code that *user* allowed."""
        return (await self.back(self.url(**changes), user=user, answer="allow"))["code"]

    async def token(self, data: Any, *, auth: str | None = BASIC, path: str = "/token") -> tuple[int, Any]:
        """Status and JSON of the token endpoint, or another."""
        headers = {"Authorization": auth} if auth else {}
        async with self.session.post(self.provider.origin + path, data=data, headers=headers) as answer:
            return answer.status, await answer.json()

    async def exchange(
        self,
        code: str,
        fields: Mapping[str, str | None] = MappingProxyType({}),
        *,
        auth: str | None = BASIC,
    ) -> tuple[int, Any]:
        """What comes of exchanging *code* in a request in which nothing is wrong, but for *fields*."""
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        sent = {name: value for name, value in {**form, **fields}.items() if value is not None}
        return await self.token(sent, auth=auth)

    async def refresh(self, token: str, *, auth: str | None = BASIC, **more: str) -> tuple[int, Any]:
        """What comes of refreshing with *token*."""
        return await self.token({"grant_type": "refresh_token", "refresh_token": token, **more}, auth=auth)

    async def revoke(self, token: str, *, auth: str = BASIC, **more: str) -> tuple[int, Any]:
        """What comes of revoking *token*."""
        return await self.token({"token": token, **more}, auth=auth, path="/revoke")

    async def linked(self, user: str = "ada", **changes: str | None) -> dict[str, Any]:
        """The token answer at the end of the whole way."""
        status, answer = await self.exchange(await self.code(user, **changes))

        assert 200 == status
        return dict(answer)

    async def api(self, method: str, path: str, token: str, **more: Any) -> tuple[int, Any]:
        """Status and JSON of an API call, None if the answer is empty."""
        headers = {"Authorization": f"Bearer {token}"}
        url = self.provider.origin + path
        async with self.session.request(method, url, headers=headers, **more) as answer:
            return answer.status, await answer.json() if await answer.read() else None


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    async with (
        DemoProvider(CLIENTS) as provider,
        ClientSession(timeout=ClientTimeout(total=10)) as session,
    ):
        yield Visitor(provider, session)


async def test_the_whole_way_ends_with_a_token_of_the_person(visitor: Visitor) -> None:
    """Consent, exchange and API name the same person, and everything is on record."""
    back = await visitor.back(visitor.url(), user="ada", answer="allow")
    _, token = await visitor.exchange(back["code"])
    me = await visitor.api("GET", "/api/me", token["access_token"])

    assert ("st4te", visitor.provider.origin) == (back["state"], back["iss"])
    assert ("Bearer", 3600, "notes:read notes:write") == (
        token["token_type"],
        token["expires_in"],
        token["scope"],
    )
    avatar = f"{visitor.provider.origin}/avatar/ada.svg"
    assert (200, {"id": "u-ada", "login": "ada", "name": "Ada", "avatar": avatar}) == me
    assert [TokenCall("code", "omnibot", "ada", True)] == visitor.provider.exchanges
    assert [ApiCall("ada", "GET", "/api/me", token["access_token"])] == visitor.provider.calls
    assert [] == visitor.provider.revoked
    assert ["POST /authorize", "POST /token", "GET /api/me"] == visitor.provider.requests


async def test_metadata_say_what_is_so(visitor: Visitor) -> None:
    """The metadata are valid by RFC 8414 and 9207, and name this issuer."""
    async with visitor.session.get(f"{visitor.provider.origin}/.well-known/oauth-authorization-server") as answer:
        found = await answer.json()

    rfc8414.AuthorizationServerMetadata(found).validate(metadata_classes=[rfc9207.AuthorizationServerMetadata])
    assert visitor.provider.origin == found["issuer"]
    assert ["S256"] == found["code_challenge_methods_supported"]
    assert found["authorization_response_iss_parameter_supported"]


async def test_the_person_is_asked_who_they_are_and_then_for_consent(visitor: Visitor) -> None:
    """The first page offers people, the second what they would allow."""
    status, who = await visitor.page(visitor.url())
    asked, consent = await visitor.page(visitor.url(), user="grace")

    assert (200, 200) == (status, asked)
    assert all(f">{name}</button>" in who for name in ("Ada", "Grace", "Linus"))
    assert "omnibot wants to act as Grace" in consent
    assert "read your notes" in consent
    assert "write and delete your notes" in consent
    assert all(f">{answer}</button>" in consent for answer in ("Allow", "Deny"))
    assert "127.0.0.1:9" in consent


@pytest.mark.parametrize("name", ["", "Ada", "1up", "a b", "a" * 33, "<b>x</b>", "é"])
async def test_only_names_are_names(visitor: Visitor, name: str) -> None:
    """What is no name in small letters is asked again, and shown as text."""
    status, page = await visitor.page(visitor.url(), user=name, answer="allow")

    assert 400 == status
    assert "Who are you?" in page
    assert "<b>x" not in page


async def test_a_name_of_ones_own_is_as_good(visitor: Visitor) -> None:
    """The text field makes a person of any name."""
    token = await visitor.linked("mary-ann")
    _, me = await visitor.api("GET", "/api/me", token["access_token"])

    assert ("u-mary-ann", "Mary-Ann") == (me["id"], me["name"])


async def test_pages_escape_what_they_are_told_and_run_no_script(visitor: Visitor) -> None:
    """Markup in a client's name or redirect URI is shown, not obeyed."""
    evil = '"><script>alert(1)</script>'
    visitor.provider.register(DemoClient(evil, None, (BACK,)))
    _, unknown = await visitor.page(visitor.url(client_id=f"nobody{evil}"))
    _, redirect = await visitor.page(visitor.url(redirect_uri=f"https://evil.example/{evil}"))
    _, who = await visitor.page(visitor.url(client_id=evil, state=evil))
    _, consent = await visitor.page(visitor.url(client_id=evil, state=evil), user="ada")
    async with visitor.session.get(visitor.url()) as answer:
        policy = answer.headers["Content-Security-Policy"]

    assert [] == [page for page in (unknown, redirect, who, consent) if "<script" in page]
    assert all("&lt;script&gt;" in page for page in (unknown, redirect, who, consent))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "nobody"},
        {"redirect_uri": None},
        {"redirect_uri": f"{BACK}/"},
        {"redirect_uri": f"{BACK}?more=1"},
        {"redirect_uri": f"{BACK}/../evil"},
        {"redirect_uri": BACK.replace("127.0.0.1", "localhost")},
        {"redirect_uri": BACK.upper()},
        {"redirect_uri": f"{BACK}#part"},
        {"redirect_uri": 'https://evil.example/"é'},
        {"redirect_uri": f"{BACK}&redirect_uri=https://evil.example"},
    ],
)
async def test_nobody_is_redirected_to_where_the_client_is_not(
    visitor: Visitor, changes: dict[str, str | None]
) -> None:
    """Without a known client and exactly its redirect URI there is a page, and no redirect."""
    for form in ({}, {"user": "ada", "answer": "allow"}, {"answer": "deny"}):
        status, page = await visitor.page(visitor.url(**changes), **form)

        assert 400 == status
        assert "This link is broken" in page


async def test_two_redirect_uris_are_none(visitor: Visitor) -> None:
    """A parameter sent twice is not resolved in anybody's favour."""
    status, page = await visitor.page(f"{visitor.url()}&{urlencode({'redirect_uri': 'https://evil.example'})}")
    back = await visitor.back(f"{visitor.url()}&scope=notes:read")

    assert 400 == status
    assert "exactly one redirect_uri" in page
    assert "invalid_request" == back["error"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": '"é'}, "unsupported_response_type"),
        ({"scope": "notes:read everything"}, "invalid_scope"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
@pytest.mark.parametrize("client_id", ["omnibot", "public"])
async def test_other_errors_go_back_with_state_and_iss(
    visitor: Visitor, changes: dict[str, str | None], error: str, client_id: str
) -> None:
    """The client learns what was wrong, whether the person had answered or not."""
    url = visitor.url(client_id=client_id, **changes)
    asked = await visitor.back(url)
    answered = await visitor.back(url, user="ada", answer="allow")

    expected = (error, "st4te", visitor.provider.origin)
    assert expected == (asked["error"], asked["state"], asked["iss"])
    assert asked == answered


async def test_denying_goes_back_without_a_code(visitor: Visitor) -> None:
    """The client learns that it was denied, with its state and from whom."""
    back = await visitor.back(visitor.url(), user="ada", answer="deny")
    before_naming = await visitor.back(visitor.url(), answer="deny")

    assert ("access_denied", "st4te", visitor.provider.origin) == (
        back["error"],
        back["state"],
        back["iss"],
    )
    assert "code" not in back
    assert back == before_naming


async def test_another_sites_page_cannot_allow(visitor: Visitor) -> None:
    """A form posted from elsewhere is refused, as browsers say where it came from."""
    form = {"user": "ada", "answer": "allow"}
    headers = {"Sec-Fetch-Site": "cross-site"}
    async with visitor.session.post(visitor.url(), data=form, headers=headers, allow_redirects=False) as answer:
        status = answer.status

    assert 403 == status


@pytest.mark.parametrize(
    ("iss", "override", "expected"),
    [
        (True, None, "{origin}"),
        (False, None, None),
        (True, "https://evil.example", "https://evil.example"),
        (False, "https://evil.example", "https://evil.example"),
        (True, "", None),
    ],
)
async def test_iss_can_be_true_false_and_absent(
    visitor: Visitor, iss: bool, override: str | None, expected: str | None
) -> None:
    """Redirects carry the issuer, the lie asked for, or none, be they good news or bad."""
    visitor.provider.iss, visitor.provider.iss_override = iss, override
    allowed = await visitor.back(visitor.url(), user="ada", answer="allow")
    denied = await visitor.back(visitor.url(), user="ada", answer="deny")

    told = expected.format(origin=visitor.provider.origin) if expected else None
    assert (told, told) == (allowed.get("iss"), denied.get("iss"))


async def test_a_redirect_uri_keeps_its_own_query(visitor: Visitor) -> None:
    """What the registered redirect URI says already is still there."""
    back = await visitor.back(visitor.url(redirect_uri=f"{BACK}?fixed=1"), user="ada", answer="allow")

    assert {"fixed", "code", "state", "iss"} == set(back)


async def test_redirect_uris_can_be_registered_late(visitor: Visitor) -> None:
    """Registering again adds redirect URIs and loses none."""
    late = "http://127.0.0.1:4711/callback/demo"
    visitor.provider.register(DemoClient("omnibot", "demo-secret", (late,)))
    status, _ = await visitor.page(visitor.url(redirect_uri=late))
    earlier, _ = await visitor.page(visitor.url())

    assert (200, 200) == (status, earlier)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "v" * 42}, "invalid_request"),
        ({"redirect_uri": f"{BACK}/"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"code": "guess"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_a_code_alone_is_not_enough(visitor: Visitor, changes: dict[str, str | None], error: str) -> None:
    """The exchange needs the verifier and the redirect URI that the code was asked with."""
    status, answer = await visitor.exchange(await visitor.code(), changes)

    assert (400, error) == (status, answer["error"])


async def test_a_wrong_verifier_burns_the_code(visitor: Visitor) -> None:
    """There is one try, so a verifier cannot be guessed."""
    code = await visitor.code()
    await visitor.exchange(code, {"code_verifier": "w" * 43})
    status, answer = await visitor.exchange(code)

    assert (400, "invalid_grant") == (status, answer["error"])
    assert [
        TokenCall("code", "omnibot", "ada", False, "invalid_grant"),
        TokenCall("code", "omnibot", "ada", False, "invalid_grant"),
    ] == visitor.provider.exchanges


async def test_a_code_used_twice_ends_what_came_of_it(visitor: Visitor) -> None:
    """The second use is refused, and access and refresh token of the first die."""
    code = await visitor.code()
    _, token = await visitor.exchange(code)
    again, answer = await visitor.exchange(code)
    api, _ = await visitor.api("GET", "/api/me", token["access_token"])
    refresh, _ = await visitor.refresh(token["refresh_token"])

    assert (400, "invalid_grant") == (again, answer["error"])
    assert (401, 400) == (api, refresh)
    assert ["ada"] == visitor.provider.revoked


async def test_a_code_is_for_the_client_that_asked(visitor: Visitor) -> None:
    """Another client gets nothing for it, and spoils nothing either."""
    code = await visitor.code()
    stolen, answer = await visitor.exchange(code, auth=encode_basic_auth("other", "other-secret"))
    own, _ = await visitor.exchange(code)

    assert (400, "invalid_grant", 200) == (stolen, answer["error"], own)
    assert "other" == visitor.provider.exchanges[0].client_id


async def test_an_old_code_is_no_code(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A code is good for ten minutes."""
    code, now = await visitor.code(), time.time()
    monkeypatch.setattr("omnibot.demo.ledger.time.time", lambda: now + 601)
    status, answer = await visitor.exchange(code)

    assert (400, "invalid_grant") == (status, answer["error"])


@pytest.mark.parametrize(
    ("auth", "fields", "status"),
    [
        (BASIC, {}, 200),
        (None, {"client_id": "omnibot", "client_secret": "demo-secret"}, 200),
        (encode_basic_auth("omnibot", "wrong"), {}, 401),
        (encode_basic_auth("nobody", "demo-secret"), {}, 401),
        (None, {"client_id": "omnibot", "client_secret": "wröng"}, 401),
        (None, {"client_id": "omnibot"}, 401),
        (None, {}, 401),
        (BASIC, {"client_id": "omnibot", "client_secret": "demo-secret"}, 400),
    ],
)
async def test_a_client_with_a_secret_has_to_use_it(
    visitor: Visitor, auth: str | None, fields: dict[str, str], status: int
) -> None:
    """Basic and post both do, one at a time; at the revocation endpoint as well."""
    exchanged, _ = await visitor.exchange(await visitor.code(), fields, auth=auth)
    revoked, _ = await visitor.token({"token": "any", **fields}, auth=auth, path="/revoke")

    assert (status, status) == (exchanged, revoked)


@pytest.mark.parametrize("header", ["Basic !", "Basic /w==", "Bearer x", "Basic 4pyTOg"])
async def test_a_broken_authorization_header_is_a_bad_request(visitor: Visitor, header: str) -> None:
    """It is refused as a mistake of the caller's, and is none of the server's."""
    async with visitor.session.post(
        f"{visitor.provider.origin}/token",
        data={"grant_type": "authorization_code", "code": "x"},
        headers={"Authorization": header},
    ) as answer:
        status, body = answer.status, await answer.json()

    assert (400, "invalid_request") == (status, body["error"])
    assert [TokenCall("code", "", None, False, "invalid_request")] == visitor.provider.exchanges


async def test_a_public_client_needs_no_secret_but_pkce(visitor: Visitor) -> None:
    """The verifier is all that a client without a secret has."""
    public = {"client_id": "public"}
    missing, _ = await visitor.exchange(
        await visitor.code(client_id="public"), {**public, "code_verifier": None}, auth=None
    )
    status, token = await visitor.exchange(await visitor.code(client_id="public"), public, auth=None)
    refreshed, _ = await visitor.refresh(token["refresh_token"], auth=None, client_id="public")

    assert (400, 200, 200) == (missing, status, refreshed)


async def test_a_parameter_sent_twice_is_refused(visitor: Visitor) -> None:
    """No half of an ambiguous token request is believed, and no query counts as form."""
    code = await visitor.code()
    status, answer = await visitor.token([("code", code), ("code", "x")])
    query, _ = await visitor.token({}, path=f"/token?grant_type=authorization_code&code={code}")

    assert (400, "invalid_request", 400) == (status, answer["error"], query)


async def test_refreshing_gives_new_tokens_of_the_same_person(visitor: Visitor) -> None:
    """Both tokens are new, and the old access token lives on until it expires."""
    old = await visitor.linked()
    status, new = await visitor.refresh(old["refresh_token"])
    by_old, _ = await visitor.api("GET", "/api/me", old["access_token"])
    by_new, me = await visitor.api("GET", "/api/me", new["access_token"])

    assert (200, 200, 200, "ada") == (status, by_old, by_new, me["login"])
    assert 4 == len({pair[name] for pair in (old, new) for name in ("access_token", "refresh_token")})
    assert TokenCall("refresh", "omnibot", "ada", True) == visitor.provider.exchanges[-1]


async def test_a_spent_refresh_token_ends_the_whole_family(visitor: Visitor) -> None:
    """Somebody has a copy: neither the thief's tokens nor the owner's work any more."""
    old = await visitor.linked()
    _, new = await visitor.refresh(old["refresh_token"])
    again, answer = await visitor.refresh(old["refresh_token"])
    refresh, _ = await visitor.refresh(new["refresh_token"])
    api = [(await visitor.api("GET", "/api/me", t["access_token"]))[0] for t in (old, new)]

    assert (400, "invalid_grant", 400) == (again, answer["error"], refresh)
    assert [401, 401] == api
    assert ["ada"] == visitor.provider.revoked
    assert TokenCall("refresh", "omnibot", "ada", False, "invalid_grant") == visitor.provider.exchanges[-1]


async def test_another_link_of_the_same_person_is_another_family(visitor: Visitor) -> None:
    """What happens to one consent does not touch the next."""
    first, second = await visitor.linked(), await visitor.linked()
    await visitor.revoke(first["refresh_token"])
    status, _ = await visitor.api("GET", "/api/me", second["access_token"])

    assert 200 == status


async def test_another_client_cannot_refresh_nor_end_a_family(visitor: Visitor) -> None:
    """A refresh token in other hands is refused and does no harm, spent or not."""
    other = encode_basic_auth("other", "other-secret")
    old = await visitor.linked()
    _, new = await visitor.refresh(old["refresh_token"])
    stolen = [(await visitor.refresh(t["refresh_token"], auth=other))[0] for t in (old, new)]
    status, _ = await visitor.refresh(new["refresh_token"])

    assert ([400, 400], 200) == (stolen, status)


async def test_refreshing_can_narrow_scopes_but_not_widen_them(visitor: Visitor) -> None:
    """A narrower access token is given; the refresh token keeps what was consented to."""
    token = await visitor.linked(scope="notes:read")
    wider, answer = await visitor.refresh(token["refresh_token"], scope="notes:read notes:write")
    both = await visitor.linked()
    _, narrow = await visitor.refresh(both["refresh_token"], scope="notes:read")
    _, again = await visitor.refresh(narrow["refresh_token"])

    assert (400, "invalid_scope") == (wider, answer["error"])
    assert ("notes:read", "notes:read notes:write") == (narrow["scope"], again["scope"])


async def test_an_access_token_is_not_a_refresh_token_nor_the_reverse(visitor: Visitor) -> None:
    """Each is good for one thing."""
    token = await visitor.linked()
    refresh, _ = await visitor.refresh(token["access_token"])
    api, _ = await visitor.api("GET", "/api/me", token["refresh_token"])

    assert (400, 401) == (refresh, api)


async def test_revoking_the_refresh_token_ends_everything(visitor: Visitor) -> None:
    """Access and refresh token are both dead, and a second time changes nothing."""
    token = await visitor.linked()
    status = await visitor.revoke(token["refresh_token"], token_type_hint="refresh_token")
    await visitor.revoke(token["access_token"])
    again = await visitor.revoke(token["refresh_token"])
    api, _ = await visitor.api("GET", "/api/me", token["access_token"])
    refresh, _ = await visitor.refresh(token["refresh_token"])

    assert (200, {}) == status == again
    assert (401, 400) == (api, refresh)
    assert ["ada"] == visitor.provider.revoked


async def test_revoking_the_access_token_leaves_the_refresh_token(visitor: Visitor) -> None:
    """Who wants to end a grant has to revoke the refresh token."""
    token = await visitor.linked()
    await visitor.revoke(token["access_token"], token_type_hint="whatever")
    api, _ = await visitor.api("GET", "/api/me", token["access_token"])
    refresh, _ = await visitor.refresh(token["refresh_token"])

    assert (401, 200) == (api, refresh)
    assert ["ada"] == visitor.provider.revoked


async def test_only_its_own_client_revokes_a_token(visitor: Visitor) -> None:
    """Another client is told so, nobody's token is no error, and none is needed."""
    token = await visitor.linked()
    other, _ = await visitor.revoke(token["refresh_token"], auth=encode_basic_auth("other", "other-secret"))
    unknown, _ = await visitor.revoke("unknown")
    missing, _ = await visitor.revoke("")
    api, _ = await visitor.api("GET", "/api/me", token["access_token"])

    assert (400, 200, 400, 200) == (other, unknown, missing, api)
    assert [] == visitor.provider.revoked


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/notes", "notes:read"),
        ("GET", "/api/notes/1", "notes:read"),
        ("POST", "/api/notes", "notes:write"),
        ("DELETE", "/api/notes/1", "notes:write"),
    ],
)
async def test_scopes_are_enforced(visitor: Visitor, method: str, path: str, scope: str) -> None:
    """Without its scope a call is answered with 403 and the scope that is missing."""
    held = next(name for name in BOTH if name != scope)
    token = (await visitor.linked(scope=held))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    async with visitor.session.request(
        method, visitor.provider.origin + path, headers=headers, json={"text": "x"}
    ) as answer:
        status, challenge, body = answer.status, answer.headers["WWW-Authenticate"], await answer.json()

    assert (403, "insufficient_scope") == (status, body["error"])
    assert 'error="insufficient_scope"' in challenge
    assert f'scope="{scope}"' in challenge
    assert [ApiCall("ada", method, path, token)] == visitor.provider.calls


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, 'Bearer realm="demo"'),
        ("Basic b21uaWJvdDp4", 'Bearer realm="demo"'),
        ("Bearer", 'Bearer realm="demo", error="invalid_token"'),
        ("Bearer guess", 'Bearer realm="demo", error="invalid_token"'),
    ],
)
async def test_without_a_good_token_the_api_says_so(visitor: Visitor, header: str | None, challenge: str) -> None:
    """Who brings no token is told no error code, who brings a bad one is (RFC 6750)."""
    headers = {"Authorization": header} if header else {}
    async with visitor.session.get(f"{visitor.provider.origin}/api/me?access_token=x", headers=headers) as answer:
        status, told = answer.status, answer.headers["WWW-Authenticate"]

    assert (401, challenge) == (status, told.partition(", error_description=")[0])
    assert [] == visitor.provider.calls


async def test_notes_belong_to_whom_the_token_names(visitor: Visitor) -> None:
    """Each person sees, writes and deletes their own notes only."""
    ada = visitor.provider.issue("ada", "omnibot", BOTH)["access_token"]
    eve = visitor.provider.issue("eve", "omnibot", BOTH)["access_token"]
    written = await visitor.api("POST", "/api/notes", ada, json={"text": " buy milk "})
    await visitor.api("POST", "/api/notes", ada, json={"text": "sell milk"})
    listed = await visitor.api("GET", "/api/notes", ada)
    read = await visitor.api("GET", "/api/notes/2", ada)
    others = [(await visitor.api(method, "/api/notes/1", eve))[0] for method in ("GET", "DELETE")]
    nothing = await visitor.api("GET", "/api/notes", eve)
    deleted = await visitor.api("DELETE", "/api/notes/1", ada)

    first, second = {"id": 1, "text": "buy milk"}, {"id": 2, "text": "sell milk"}
    assert ((201, first), (200, [first, second]), (200, second)) == (written, listed, read)
    assert ([404, 404], (200, [])) == (others, nothing)
    assert ((204, None), ["sell milk"]) == (deleted, visitor.provider.notes("ada"))


@pytest.mark.parametrize("sent", [b"", b"no json", b"[]", b"{}", b'{"text": 1}', b'{"text": " "}'])
async def test_a_note_needs_a_text(visitor: Visitor, sent: bytes) -> None:
    """Anything else is a bad request, and writes nothing."""
    token = visitor.provider.issue("ada", "omnibot", BOTH)["access_token"]
    status, answer = await visitor.api("POST", "/api/notes", token, data=sent)

    assert (400, "bad_request", []) == (status, answer["error"], visitor.provider.notes("ada"))


@pytest.mark.parametrize("granted", [(), ("notes:read",), (*BOTH, "admin")])
async def test_less_or_more_can_be_granted_than_asked(visitor: Visitor, granted: tuple[str, ...]) -> None:
    """The token answer names the scripted scopes, and they are what the token is good for."""
    visitor.provider.grant_scopes = granted
    token = await visitor.linked(scope="notes:read")
    status, _ = await visitor.api("GET", "/api/notes", token["access_token"])

    assert " ".join(granted) == token["scope"]
    assert (200 if granted else 403) == status


async def test_asking_for_no_scope_is_asking_who_somebody_is(visitor: Visitor) -> None:
    """A token without scopes opens nothing but `/api/me`."""
    token = await visitor.linked(scope=None)
    me, _ = await visitor.api("GET", "/api/me", token["access_token"])
    notes, _ = await visitor.api("GET", "/api/notes", token["access_token"])

    assert ("", 200, 403) == (token["scope"], me, notes)


async def test_expired_access_tokens_leave_refresh_tokens(visitor: Visitor) -> None:
    """After the expiry the API says 401, and one refresh mends it."""
    old = await visitor.linked()
    visitor.provider.expire_access_tokens()
    before, _ = await visitor.api("GET", "/api/me", old["access_token"])
    _, new = await visitor.refresh(old["refresh_token"])
    after, _ = await visitor.api("GET", "/api/me", new["access_token"])

    assert (401, 200) == (before, after)


@pytest.mark.parametrize(("seconds", "status"), [(0, 401), (1, 200), (None, 200)])
async def test_tokens_live_as_long_as_they_say(visitor: Visitor, seconds: int | None, status: int) -> None:
    """A token without an end says nothing of one."""
    visitor.provider.token_seconds = seconds
    token = await visitor.linked()
    api, _ = await visitor.api("GET", "/api/me", token["access_token"])

    assert (seconds, status) == (token.get("expires_in"), api)


async def test_forgotten_grants_are_unknown(visitor: Visitor) -> None:
    """As after a restart: no code and no token is good, and clients still are."""
    code, token = await visitor.code(), await visitor.linked()
    visitor.provider.forget_grants()
    api, _ = await visitor.api("GET", "/api/me", token["access_token"])
    refresh, _ = await visitor.refresh(token["refresh_token"])
    exchange, _ = await visitor.exchange(code)
    anew = await visitor.linked()

    assert (401, 400, 400) == (api, refresh, exchange)
    assert "access_token" in anew
    assert [] == visitor.provider.revoked


async def test_an_issued_token_is_like_any_other(visitor: Visitor) -> None:
    """It can be used, refreshed and revoked."""
    token = visitor.provider.issue("linus", "omnibot", ["notes:read"])
    api, _ = await visitor.api("GET", "/api/notes", token["access_token"])
    _, new = await visitor.refresh(token["refresh_token"])
    await visitor.revoke(new["refresh_token"])

    assert (200, "notes:read", ["linus"]) == (api, token["scope"], visitor.provider.revoked)


async def test_faults_happen_as_often_as_asked(visitor: Visitor) -> None:
    """Twice 503 with its headers, then all is well; other paths never notice."""
    token = visitor.provider.issue("ada", "omnibot", BOTH)["access_token"]
    visitor.provider.fail("/api", times=2, headers={"Retry-After": "7"}, body="resting")
    url, headers = f"{visitor.provider.origin}/api/me", {"Authorization": f"Bearer {token}"}
    elsewhere, _ = await visitor.page(visitor.url())
    seen = []
    for _ in range(3):
        async with visitor.session.get(url, headers=headers) as answer:
            seen.append((answer.status, answer.headers.get("Retry-After"), await answer.text() == "resting"))

    assert [(503, "7", True), (503, "7", True), (200, None, False)] == seen
    assert (200, 1) == (elsewhere, len(visitor.provider.calls))


async def test_a_fault_has_no_other_effect(visitor: Visitor) -> None:
    """A code that met a fault is unspent, and what failed is on record as a request only."""
    visitor.provider.fail("/token", status=200, body="not json")
    code = await visitor.code()
    async with visitor.session.post(f"{visitor.provider.origin}/token", data={"code": code}) as answer:
        scripted = answer.status, await answer.text()
    status, _ = await visitor.exchange(code)

    assert ((200, "not json"), 200) == (scripted, status)
    assert ["POST /authorize", "POST /token", "POST /token"] == visitor.provider.requests
    assert 1 == len(visitor.provider.exchanges)


async def test_a_dropped_connection_ends_without_an_answer(visitor: Visitor) -> None:
    """The client sees the connection break, and then all is well."""
    visitor.provider.fail("/authorize", drop=True)
    with pytest.raises(ClientError):
        await visitor.page(visitor.url(), user="ada")
    status, _ = await visitor.page(visitor.url(), user="ada")

    assert 200 == status


async def test_a_delay_can_be_all_that_happens(visitor: Visitor) -> None:
    """With no status the true answer comes, only late."""
    visitor.provider.fail("/authorize", status=None, delay=0.05)
    began = asyncio.get_running_loop().time()
    status, page = await visitor.page(visitor.url())

    assert 200 == status
    assert "Who are you?" in page
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_faults_can_last_until_cleared(visitor: Visitor) -> None:
    """Without a number of times a fault stays, and clearing ends it."""
    visitor.provider.fail("/", times=None, status=500)
    during = [(await visitor.page(visitor.url()))[0] for _ in range(3)]
    visitor.provider.clear_faults()
    after, _ = await visitor.page(visitor.url())

    assert ([500, 500, 500], 200) == (during, after)


async def test_a_stopped_provider_comes_back_where_it_was(visitor: Visitor) -> None:
    """Stopping refuses connections; starting again keeps the port and every token."""
    origin, token = visitor.provider.origin, await visitor.linked()
    await visitor.provider.stop()
    with pytest.raises(ClientError):
        await visitor.page(visitor.url())
    await visitor.provider.start()
    status, _ = await visitor.api("GET", "/api/me", token["access_token"])

    assert (origin, 200) == (visitor.provider.origin, status)


async def test_stopping_does_not_wait_for_a_delayed_answer(visitor: Visitor) -> None:
    """A test that has seen enough need not sit out its faults."""
    visitor.provider.fail("/authorize", delay=60)
    waiting = asyncio.create_task(visitor.page(visitor.url()))
    while not visitor.provider.requests:  # noqa: ASYNC110 - nothing tells when a request arrives
        await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await visitor.provider.stop()

    assert asyncio.get_running_loop().time() - began < 5
    with pytest.raises(ClientError):
        await waiting


async def test_running_twice_or_asking_too_early_is_a_mistake() -> None:
    """There is no origin before the start, and one listener at a time."""
    provider = DemoProvider()
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = provider.origin
    async with provider, DemoProvider() as second:
        with pytest.raises(RuntimeError, match="running already"):
            await provider.start()
        third = DemoProvider(port=int(second.origin.rpartition(":")[2]))
        with pytest.raises(OSError, match="in use"):
            await third.start()
        await third.stop()


async def test_no_secret_is_logged(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    """Neither tokens nor codes nor client secrets are in the log, even at its most talkative."""
    caplog.set_level(logging.DEBUG)
    code = await visitor.code()
    _, first = await visitor.exchange(code)
    _, second = await visitor.refresh(first["refresh_token"])
    await visitor.api("GET", "/api/me", second["access_token"])
    await visitor.revoke(second["refresh_token"])

    secrets = [pair[name] for pair in (first, second) for name in ("access_token", "refresh_token")]
    said = f"{caplog.text} {visitor.provider.calls} {visitor.provider.exchanges} {CLIENTS}"
    assert "Issue token" in said
    assert [] == [secret for secret in (code, "demo-secret", *secrets) if secret in said]


async def test_the_avatar_is_a_picture(visitor: Visitor) -> None:
    """What `/api/me` names as avatar is an SVG with the person's letter."""
    async with visitor.session.get(f"{visitor.provider.origin}/avatar/ada.svg") as answer:
        kind, text = answer.content_type, await answer.text()

    assert ("image/svg+xml", True) == (kind, ">A</text>" in text)


async def test_an_export_takes_its_time(visitor: Visitor) -> None:
    """It is its owner's, as the notes are."""
    ada, eve = [(await visitor.linked(name))["access_token"] for name in ("ada", "eve")]
    visitor.provider.export_seconds = 3600
    begun = await visitor.api("POST", "/api/exports", ada)
    going = await visitor.api("GET", "/api/exports/1", ada)
    visitor.provider.export_seconds = 0
    ready = await visitor.api("GET", "/api/exports/1", ada)
    others = [(await visitor.api("GET", f"/api/exports/{n}", token))[0] for n, token in ((1, eve), (0, ada), (2, ada))]

    assert (202, {"id": 1}) == begun
    assert (200, {"id": 1, "percent": 0, "notes": 0}) == going
    assert (200, {"id": 1, "percent": 100, "notes": 0}) == ready
    assert [404, 404, 404] == others


async def test_a_key_is_good_for_its_owner_until_they_make_another(visitor: Visitor) -> None:
    """In a header of its own, for everything; and it counts before a token in the other."""
    provider = visitor.provider
    key = provider.key_for("ada")
    async with ClientSession() as session:

        async def asked(**headers: str) -> tuple[int, str]:
            async with session.get(f"{provider.origin}/api/me", headers=headers) as answer:
                return answer.status, str((await answer.json()).get("login"))

        good = await asked(**{"X-Demo-Key": key})
        unknown = await asked(**{"X-Demo-Key": "demo-key-made-up", "Authorization": "Bearer x"})
        new = provider.rotate_key("ada")
        old, fresh = await asked(**{"X-Demo-Key": key}), await asked(**{"X-Demo-Key": new})
        written = await session.post(f"{provider.origin}/api/notes", json={"text": "hi"}, headers={"X-Demo-Key": new})

    assert (200, "ada") == good == fresh
    assert 401 == unknown[0] == old[0]
    assert 201 == written.status
    assert provider.key_for("ada") == new != provider.key_for("grace")
