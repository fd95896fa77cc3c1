"""The stand-in for X refuses what X would refuse, so that tests against it mean something.

Its judge of signatures is oauthlib; what signs is the bot's own, which stands on Authlib.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from oauthlib.oauth1 import Client

from omnibot import oauth, oauth1
from omnibot.provider import AuthorizationServer, ClientCredential, Secret, Token
from omnibot.signers import OAuth1Signer
from omnibot.wire import Answer, Request
from servers.browser import HttpBrowser
from servers.standin import Fault
from servers.x import IDS, X

BACK = "http://127.0.0.1:9/callback/x/default"
NOT_AUTHENTICATED = b'{"errors": [{"code": 32, "message": "Could not authenticate you."}]}'


@pytest.fixture
async def x() -> AsyncIterator[X]:
    """X, to which our app is known."""
    async with X() as x:
        x.app.callbacks = (BACK,)
        yield x


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of the test's own."""
    async with aiohttp.ClientSession() as session:
        yield session


def consumer(x: X) -> ClientCredential:
    return ClientCredential(x.app.consumer_key, Secret(x.app.consumer_secret))


def server(x: X) -> AuthorizationServer:
    legs = f"{x.origin}/oauth"
    return AuthorizationServer(f"{legs}/authorize", f"{legs}/access_token", request_url=f"{legs}/request_token")


async def send(session: aiohttp.ClientSession, request: Request) -> Answer:
    async with session.request(
        request.method, request.url, headers=request.headers, data=request.body or None, allow_redirects=False
    ) as answer:
        return Answer(answer.status, {name.lower(): said for name, said in answer.headers.items()}, await answer.read())


async def temporary(x: X, session: aiohttp.ClientSession, callback: str = "oob") -> Token:
    answer = await send(session, oauth1.request_token_request(server(x), consumer(x), callback))

    assert answer.headers["content-type"].startswith("text/html")
    return oauth1.read_request_token(answer)


async def pin_of(x: X, asked: Token, login: str = "alice") -> str:
    async with HttpBrowser(login) as browser:
        page = await browser.walk(oauth1.authorize_url(server(x), asked))
    found = re.search(r'<kbd id="pin">(\d{7})</kbd>', page.text)

    assert found is not None, page.text
    return found[1]


async def access(x: X, session: aiohttp.ClientSession, login: str = "alice") -> Token:
    """Go all three legs by PIN."""
    asked = await temporary(x, session)
    pin = await pin_of(x, asked, login)
    return oauth1.read_token(await send(session, oauth1.token_request(server(x), consumer(x), asked, pin)))


async def call(
    x: X, session: aiohttp.ClientSession, token: Token, method: str, path: str, json: object = None
) -> tuple[int, Any]:
    """Call the API with *token*, of either kind."""
    request = Request(method, x.origin + path)
    signer = OAuth1Signer(consumer(x))
    signed = next(signer.sign(request, token)).headers if token.secret else {"Authorization": f"Bearer {token.access}"}
    async with session.request(method, request.url, headers=signed, json=json) as answer:
        return answer.status, await answer.json()


# ---------------------------------------------------------------- OAuth 1.0a


def test_the_vendors_own_example_is_signed_alike() -> None:
    """The sample on "Creating a signature", which has long been dead: both implementations give its signature."""
    url = "https://api.x.com/1.1/statuses/update.json?include_entities=true"
    key, secret = "xvz1evFS4wEEPTGEFPHBog", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"
    token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb"
    token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"
    nonce, timestamp = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg", "1318622958"
    client = Client(key, secret, token, token_secret, nonce=nonce, timestamp=timestamp)
    _, headers, _ = client.sign(
        url,
        "POST",
        "status=Hello%20Ladies%20%2B%20Gentlemen%2C%20a%20signed%20OAuth%20request%21",
        {"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert 'oauth_signature="Ls93hJiZbQ3akF3HF3x1Bz8%2FzU4%3D"' in headers["Authorization"]


async def test_a_pin_makes_a_token_that_acts_as_its_person(x: X, session: aiohttp.ClientSession) -> None:
    """Three legs, each signed, then a post; the record names the person."""
    token = await access(x, session, "bob")
    posted = await call(x, session, token, "POST", "/2/tweets", {"text": "Ça & là + 100 %"})

    assert token.access.startswith(f"{IDS['bob']}-")
    assert (201, "Ça & là + 100 %") == (posted[0], posted[1]["data"]["text"])
    assert ["bob"] == x.doers("POST /2/tweets")


async def test_a_redirect_brings_back_the_same_token_and_a_verifier(x: X, session: aiohttp.ClientSession) -> None:
    """Or, where the person refuses, the token under another name."""
    asked, refused = await temporary(x, session, BACK), await temporary(x, session, BACK)
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(oauth1.authorize_url(server(x), asked), stop=BACK)
        no = await browser.walk(oauth1.authorize_url(server(x), refused), stop=BACK, refuse="Cancel")
    back = oauth1.read_callback(parse_qsl(urlsplit(end.url).query))
    token = oauth1.read_token(await send(session, oauth1.token_request(server(x), consumer(x), asked, back.code)))

    assert asked.access == back.state
    assert f"{BACK}?denied={refused.access}" == no.url
    assert (await call(x, session, token, "GET", "/2/users/me"))[1]["data"]["username"] == "alice"


@pytest.mark.parametrize("place", ["query", "body"])
async def test_a_verifier_may_stand_beside_the_header(x: X, session: aiohttp.ClientSession, place: str) -> None:
    """X's pages show it there; what is signed is the same."""
    asked = await temporary(x, session)
    signed = oauth1.token_request(server(x), consumer(x), asked, await pin_of(x, asked))
    cut = re.compile(r'oauth_verifier="(\d+)",? ?')
    found = cut.search(signed.headers["Authorization"])
    assert found is not None
    headers = {**signed.headers, "Authorization": cut.sub("", signed.headers["Authorization"]).rstrip(", ")}
    said = f"oauth_verifier={found[1]}"
    if place == "query":
        moved = Request("POST", f"{signed.url}?{said}", headers)
    else:
        moved = Request(
            "POST", signed.url, {**headers, "Content-Type": "application/x-www-form-urlencoded"}, said.encode()
        )
    answer = await send(session, moved)

    assert 200 == answer.status


async def test_a_pin_counts_once_right_or_wrong(x: X, session: aiohttp.ClientSession) -> None:
    """A wrong one ends the request token; a right one does, too."""
    asked, other = await temporary(x, session), await temporary(x, session)
    pins = [await pin_of(x, one) for one in (asked, other)]
    wrong = await send(session, oauth1.token_request(server(x), consumer(x), asked, "0000000"))
    late = await send(session, oauth1.token_request(server(x), consumer(x), asked, pins[0]))
    good = await send(session, oauth1.token_request(server(x), consumer(x), other, pins[1]))
    again = await send(session, oauth1.token_request(server(x), consumer(x), other, pins[1]))

    assert [401, 401, 200, 401] == [one.status for one in (wrong, late, good, again)]
    assert b"Invalid oauth_verifier parameter" in wrong.body


async def test_only_known_callbacks_are_taken(x: X, session: aiohttp.ClientSession) -> None:
    """To the letter; and an app with none is told so in XML."""
    odd = await send(session, oauth1.request_token_request(server(x), consumer(x), f"{BACK}/"))
    x.app.callbacks = ()
    none = await send(session, oauth1.request_token_request(server(x), consumer(x), BACK))

    assert (403, True) == (odd.status, b'"code": 415' in odd.body)
    assert (401, True) == (none.status, b"only support the oauth_callback value 'oob'" in none.body)


async def test_what_is_not_signed_right_is_refused(x: X, session: aiohttp.ClientSession) -> None:
    """Another's secret, a nonce used before, another address or method, no signature, no version."""
    token = await access(x, session)
    me = Request("GET", f"{x.origin}/2/users/me")
    signed = next(OAuth1Signer(consumer(x)).sign(me, token))
    thief = replace(consumer(x), client_secret=Secret("guessed"))
    answers = [
        await send(session, signed),
        await send(session, signed),
        await send(session, next(OAuth1Signer(thief).sign(me, token))),
        await send(session, next(OAuth1Signer(consumer(x)).sign(me, replace(token, secret="guessed")))),
        await send(session, replace(next(OAuth1Signer(consumer(x)).sign(me, token)), url=f"{me.url}?user.fields=id")),
        await send(session, me),
        await send(session, next(OAuth1Signer(consumer(x)).sign(me, Token("1001-unknown", secret="x")))),
    ]
    bad = await send(session, oauth1.request_token_request(server(x), thief, "oob"))
    bare = await send(session, Request("POST", f"{x.origin}/oauth/request_token"))

    assert [200, *[401] * 6] == [one.status for one in answers]
    assert (401, NOT_AUTHENTICATED) == (bad.status, bad.body)
    assert (400, True) == (bare.status, b'"code": 215' in bare.body)


async def test_a_token_can_be_ended_by_itself(x: X, session: aiohttp.ClientSession) -> None:
    """Then it is good for nothing."""
    token = await access(x, session)
    path = "/1.1/oauth/invalidate_token.json"
    ended = await call(x, session, token, "POST", path)
    again = await call(x, session, token, "POST", path)

    assert (200, {"access_token": token.access}) == ended
    assert (401, 89) == (again[0], again[1]["errors"][0]["code"])
    assert 401 == (await call(x, session, token, "GET", "/2/users/me"))[0]


# ---------------------------------------------------------------- OAuth 2.0


class OAuth2:
    """Our side of OAuth 2.0, by hand."""

    def __init__(self, x: X, session: aiohttp.ClientSession) -> None:
        self.x, self.session, self.verifier = x, session, oauth.new_verifier()

    async def code(self, scopes: str = "tweet.read users.read tweet.write offline.access", **changes: str) -> str:
        """Let alice allow it; return the code, or the page's words."""
        client = ClientCredential(self.x.app.client_id)
        server = AuthorizationServer(f"{self.x.origin}/i/oauth2/authorize", f"{self.x.origin}/2/oauth2/token")
        url = oauth.authorize_url(
            server, client, redirect_uri=BACK, scopes=scopes.split(), state="s" * 20, verifier=self.verifier
        )
        for name, said in changes.items():
            url = re.sub(rf"([?&]){name}=[^&]*", rf"\1{name}={said}", url)
        async with HttpBrowser("alice") as browser:
            end = await browser.walk(url, stop=BACK)
        return dict(parse_qsl(urlsplit(end.url).query)).get("code", "") or end.text

    async def token(self, *, basic: bool = True, **form: str) -> tuple[int, dict[str, Any]]:
        """Ask the token endpoint."""
        app = self.x.app
        headers = {"Authorization": aiohttp.encode_basic_auth(app.client_id, app.client_secret)} if basic else {}
        async with self.session.post(f"{self.x.origin}/2/oauth2/token", data=form, headers=headers) as answer:
            return answer.status, await answer.json()

    async def exchange(self, code: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        """Exchange *code*."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": self.verifier}
        return await self.token(**{**form, **changes})

    async def refresh(self, token: str) -> tuple[int, dict[str, Any]]:
        """Exchange a refresh token."""
        return await self.token(grant_type="refresh_token", refresh_token=token)


@pytest.fixture
def two(x: X, session: aiohttp.ClientSession) -> OAuth2:
    """OAuth 2.0 at X."""
    return OAuth2(x, session)


async def test_a_code_makes_a_token(x: X, two: OAuth2, session: aiohttp.ClientSession) -> None:
    """Which acts as the person, with the scopes it names."""
    status, said = await two.exchange(await two.code())
    me = await call(x, session, Token(said["access_token"]), "GET", "/2/users/me?user.fields=profile_image_url")

    assert (200, "bearer", 7200) == (status, said["token_type"], said["expires_in"])
    assert "tweet.read users.read tweet.write offline.access" == said["scope"]
    assert "https://pbs.example/alice.jpg" == me[1]["data"]["profile_image_url"]


async def test_a_code_is_good_once_with_its_proof_and_for_half_a_minute(x: X, two: OAuth2) -> None:
    """And only for the client who says who it is, by Basic."""
    codes = [await two.code() for _ in range(4)]
    wrong = await two.exchange(codes[0], code_verifier="x" * 43)
    elsewhere = await two.exchange(codes[1], redirect_uri=f"{BACK}/")
    nobody = await two.exchange(codes[2], basic=False)
    good = await two.exchange(codes[2])
    again = await two.exchange(codes[2])
    now = x.clock
    x.clock = lambda: now() + 31
    late = await two.exchange(codes[3])

    assert [400, 400, 401, 200, 400, 400] == [one[0] for one in (wrong, elsewhere, nobody, good, again, late)]
    assert {"error": "unauthorized_client", "error_description": "Missing valid authorization header"} == nobody[1]
    assert {"invalid_request"} == {one[1]["error"] for one in (wrong, elsewhere, again, late)}


async def test_a_refresh_token_that_is_used_twice_ends_them_all(
    x: X, two: OAuth2, session: aiohttp.ClientSession
) -> None:
    """And is only given with its scope."""
    first = (await two.exchange(await two.code()))[1]
    second = await two.refresh(first["refresh_token"])
    alive = await call(x, session, Token(second[1]["access_token"]), "GET", "/2/users/me")
    replayed = await two.refresh(first["refresh_token"])
    dead = await call(x, session, Token(second[1]["access_token"]), "GET", "/2/users/me")
    short = (await two.exchange(await two.code("tweet.read users.read")))[1]

    assert (200, 200, 400, 401) == (second[0], alive[0], replayed[0], dead[0])
    assert "refresh_token" not in short


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("redirect_uri", "http://evil.example/"),
        ("scope", "tweet.read%20everything"),
        ("code_challenge", "short"),
        ("code_challenge_method", "S512"),
        ("client_id", "another"),
        ("state", ""),
    ],
)
async def test_an_odd_authorization_request_ends_on_xs_own_page(two: OAuth2, name: str, said: str) -> None:
    """Nobody is sent anywhere."""
    assert f"{name}" in await two.code(**{name: said})


# -------------------------------------------------------------------- the API


@pytest.mark.parametrize(
    ("method", "path", "json", "status", "word"),
    [
        ("POST", "/2/tweets", {"text": "Hello", "status": "x"}, 400, "$.status"),
        ("POST", "/2/tweets", {"text": ""}, 400, "$.text"),
        ("POST", "/2/tweets", {"text": "said before"}, 403, "duplicate content"),
        ("GET", "/2/tweets/search/recent?query=", None, 400, "512"),
        ("GET", "/2/tweets/search/recent?query=a&max_results=9", None, 400, "not between 10 and 100"),
        ("GET", "/2/tweets/search/recent?query=a&count=10", None, 400, "[count]"),
        ("GET", "/2/tweets/search/recent?query=a&tweet.fields=created", None, 400, "created"),
        ("GET", "/2/users/alice/tweets", None, 400, "^[0-9]{1,19}$"),
        ("GET", "/2/users/1002/timelines/reverse_chronological", None, 400, "authenticated"),
        ("DELETE", "/2/tweets/1900000000000000002", None, 403, "not authorized to delete"),
        ("GET", "/2/statuses", None, 404, "Not Found"),
    ],
)
async def test_it_is_strict(
    x: X, session: aiohttp.ClientSession, method: str, path: str, json: object, status: int, word: str
) -> None:
    """Unknown keys and parameters, what is out of bounds, what was said before, and what is another's."""
    x.write("alice", "said before")
    x.write("bob", "bob's")
    answer = await call(x, session, await access(x, session), method, path, json)

    assert status == answer[0]
    assert word in str(answer[1])


async def test_limits_credits_and_permissions_count(x: X, session: aiohttp.ClientSession) -> None:
    """429 with when, 402, and 403 with X's own types."""
    token = await access(x, session)
    x.limits["GET /2/users/me"] = 1
    good = await send(session, next(OAuth1Signer(consumer(x)).sign(Request("GET", f"{x.origin}/2/users/me"), token)))
    spent = await send(session, next(OAuth1Signer(consumer(x)).sign(Request("GET", f"{x.origin}/2/users/me"), token)))
    x.app.writes = False
    reads = await call(x, session, token, "POST", "/2/tweets", {"text": "Hello"})
    x.credits = 0
    broke = await call(x, session, token, "GET", "/2/tweets/search/recent?query=a")

    assert ("0", 200) == (good.headers["x-rate-limit-remaining"], good.status)
    assert (429, "0") == (spent.status, spent.headers["x-rate-limit-remaining"])
    assert 0 <= int(spent.headers["x-rate-limit-reset"]) - x.clock() <= 900
    assert (403, True) == (reads[0], reads[1]["type"].endswith("oauth1-permissions"))
    assert (402, "CreditsDepleted") == (broke[0], broke[1]["title"])


async def test_a_fault_may_come_before_the_act_or_after_it(x: X, session: aiohttp.ClientSession) -> None:
    """As often as it was said to."""
    token = await access(x, session)
    x.fault(Fault("/2/tweets", 503, "down"))
    x.fault(Fault("/2/tweets", 503, "down", late=True))
    for text in ("one", "two"):
        async with session.post(
            f"{x.origin}/2/tweets",
            json={"text": text},
            headers=next(OAuth1Signer(consumer(x)).sign(Request("POST", f"{x.origin}/2/tweets"), token)).headers,
        ) as answer:
            assert 503 == answer.status

    assert ["two"] == [one.text for one in x.posts.values()]
