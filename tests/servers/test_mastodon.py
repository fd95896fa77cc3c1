"""The stand-in for Mastodon refuses what an instance would refuse, so that tests against it mean something."""

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest

from omnibot import oauth
from servers.browser import HttpBrowser
from servers.mastodon import OOB, Mastodon

BACK = "http://127.0.0.1:9/callback/mastodon/default"
SCOPES = "read:accounts read:statuses read:search write:statuses write:favourites"


def challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


class Person:
    """Somebody with a client, by hand."""

    def __init__(self, server: Mastodon, session: aiohttp.ClientSession) -> None:
        self.server, self.session, self.verifier = server, session, oauth.new_verifier()
        self.client: dict[str, Any] = {}

    async def post(self, path: str, bearer: str = "", key: str = "", **form: Any) -> tuple[int, Any]:
        """POST a form."""
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        headers |= {"Idempotency-Key": key} if key else {}
        async with self.session.post(self.server.origin + path, data=form, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, token: str = "") -> tuple[int, Any]:
        """GET."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.get(self.server.origin + path, headers=headers) as answer:
            return answer.status, await answer.json()

    async def register(self, scopes: str = SCOPES) -> None:
        """Register a client."""
        said = {"client_name": "omnibot", "redirect_uris": BACK, "scopes": scopes}
        self.client = (await self.post("/api/v1/apps", **said))[1]

    async def ask(self, login: str = "alice", **changes: str) -> dict[str, str]:
        """Authorise; return what came back, or the page's words under ``page``."""
        asked = {
            "response_type": "code",
            "client_id": self.client["client_id"],
            "redirect_uri": BACK,
            "scope": SCOPES,
            "state": "s" * 20,
            "code_challenge": challenge(self.verifier),
            "code_challenge_method": "S256",
            **changes,
        }
        async with HttpBrowser(login) as browser:
            end = await browser.walk(f"{self.server.origin}/oauth/authorize?{urlencode(asked)}", stop=BACK)
        return dict(parse_qsl(urlsplit(end.url).query)) if not end.fetched else {"page": end.text}

    async def exchange(self, code: str, **changes: str) -> tuple[int, Any]:
        """Exchange *code*."""
        said = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": self.verifier,
            "client_id": self.client["client_id"],
            "client_secret": self.client["client_secret"],
        }
        return await self.post("/oauth/token", **{**said, **changes})

    async def token(self, login: str = "alice", scopes: str = SCOPES) -> str:
        """Go the whole way."""
        if not self.client:
            await self.register()
        return str((await self.exchange((await self.ask(login, scope=scopes))["code"]))[1]["access_token"])


@pytest.fixture
async def server() -> AsyncIterator[Mastodon]:
    """An instance."""
    async with Mastodon() as server:
        yield server


@pytest.fixture
async def person(server: Mastodon) -> AsyncIterator[Person]:
    """Somebody at that instance."""
    async with aiohttp.ClientSession() as session:
        yield Person(server, session)


async def test_a_person_posts_as_themselves(server: Mastodon, person: Person) -> None:
    """Registered, authorised, posted; the record names person and application."""
    token = await person.token("bob")
    status, said = await person.post("/api/v1/statuses", token, status="Hello <b>all</b>", visibility="unlisted")

    assert (200, "<p>Hello &lt;b&gt;all&lt;/b&gt;</p>", "unlisted") == (status, said["content"], said["visibility"])
    assert [("bob", "omnibot")] == [(one.login, one.app) for one in server.record]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"client_name": "x", "redirect_uris": "callback"}, "must be an absolute URI"),
        ({"client_name": "x", "redirect_uris": "javascript://x/"}, "must be an absolute URI"),
        ({"client_name": "", "redirect_uris": BACK}, "can't be blank"),
        ({"client_name": "x", "redirect_uris": BACK, "scopes": "everything"}, "Scopes"),
    ],
)
async def test_an_odd_application_is_refused(person: Person, said: dict[str, str], words: str) -> None:
    """With 422."""
    status, answer = await person.post("/api/v1/apps", **said)

    assert (422, True) == (status, words in answer["error"])


async def test_scopes_lie_within_those_registered(person: Person) -> None:
    """And only S256 proves a code; an address that is not registered is answered by a page."""
    await person.register("read")
    within = await person.ask(scope="read:statuses")
    beyond = await person.ask(scope="read write:statuses")
    plain = await person.ask(scope="read", code_challenge_method="plain")
    elsewhere = await person.ask(scope="read", redirect_uri=f"{BACK}/x")

    assert "code" in within
    assert ("invalid_scope", "invalid_code_challenge_method") == (beyond["error"], plain["error"])
    assert "not valid" in elsewhere["page"]


async def test_a_code_is_good_once_with_its_proof(server: Mastodon, person: Person) -> None:
    """For the client it was given to, at the same address, for ten minutes."""
    await person.register()
    code = (await person.ask())["code"]
    answers = [
        await person.exchange(code, code_verifier="x" * 43),
        await person.exchange(code, redirect_uri=OOB),
        await person.exchange(code, client_secret="guessed"),
        await person.exchange(code),
        await person.exchange(code),
    ]
    late, now = (await person.ask())["code"], server.clock
    server.clock = lambda: now() + 601

    assert [400, 400, 401, 200, 400] == [one[0] for one in answers]
    assert {"invalid_grant"} == {answers[at][1]["error"] for at in (0, 1, 4)}
    assert "expires_in" not in answers[3][1]
    assert 400 == (await person.exchange(late))[0]


async def test_the_same_again_is_the_same_token(person: Person) -> None:
    """For the same person and scopes; with others it is another, and to revoke it ends it once."""
    first, again = await person.token(), await person.token()
    other = await person.token(scopes="read:accounts")
    client = {name: person.client[name] for name in ("client_id", "client_secret")}
    revoked = [await person.post("/oauth/revoke", **client, token=first) for _ in range(2)]
    missing = await person.post("/oauth/revoke", **client)

    assert (True, False) == (first == again, first == other)
    assert [(200, {}), (200, {})] == revoked
    assert (403, "unauthorized_client") == (missing[0], missing[1]["error"])
    assert (401, {"error": "The access token is invalid"}) == await person.get("/api/v1/timelines/home", again)
    assert 200 == (await person.get("/api/v1/accounts/verify_credentials", other))[0]


async def test_a_token_does_what_its_scopes_say(person: Person) -> None:
    """And nothing without one."""
    token = await person.token(scopes="read:accounts read:statuses")

    assert (403, {"error": "This action is outside the authorized scopes"}) == await person.post(
        "/api/v1/statuses", token, status="x"
    )
    assert 401 == (await person.post("/api/v1/statuses", status="x"))[0]
    assert 200 == (await person.get("/api/v1/timelines/public"))[0]


async def test_one_key_posts_once(server: Mastodon, person: Person) -> None:
    """For an hour, and for one person."""
    alice, bob = await person.token("alice"), await person.token("bob")
    first = await person.post("/api/v1/statuses", alice, "key", status="once")
    again = await person.post("/api/v1/statuses", alice, "key", status="once")
    await person.post("/api/v1/statuses", bob, "key", status="bob's")
    now = server.clock
    server.clock = lambda: now() + 3601
    await person.post("/api/v1/statuses", alice, "key", status="later")

    assert first[1]["id"] == again[1]["id"]
    assert ["once", "bob's", "later"] == [one.text for one in server.statuses.values()]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"status": " "}, "can't be blank"),
        ({"status": "x", "visibility": "secret"}, "Visibility"),
        ({"status": "x" * 501}, "limit of 500"),
        ({"status": "x" * 499, "spoiler_text": "ab"}, "limit of 500"),
    ],
)
async def test_an_odd_post_is_refused(person: Person, said: dict[str, str], words: str) -> None:
    """With 422; an address counts 23 characters, however long it is."""
    token = await person.token()
    status, answer = await person.post("/api/v1/statuses", token, **said)

    assert (422, True) == (status, words in answer["error"])
    assert 200 == (await person.post("/api/v1/statuses", token, status="https://example.org/" + "x" * 600))[0]


async def test_what_is_private_is_not_there_for_others(server: Mastodon, person: Person) -> None:
    """404, and no boost of one's own either; another's post is not there to delete."""
    private, direct = server.write("alice", "mine", "private"), server.write("alice", "for @bob", "direct")
    alice, bob = await person.token("alice"), await person.token("bob")
    seen = [await person.get(f"/api/v1/statuses/{one.id}", bob) for one in (private, direct)]
    boost = await person.post(f"/api/v1/statuses/{private.id}/reblog", alice)

    assert [404, 200] == [one[0] for one in seen]
    assert (403, {"error": "This action is not allowed"}) == boost


async def test_a_boost_wraps_and_a_favourite_does_not(server: Mastodon, person: Person) -> None:
    """As often as one likes."""
    post, token = server.write("alice", "look"), await person.token("bob")
    boost = [await person.post(f"/api/v1/statuses/{post.id}/reblog", token) for _ in range(2)]
    liked = await person.post(f"/api/v1/statuses/{post.id}/favourite", token)

    assert (post.id, "bob") == (boost[1][1]["reblog"]["id"], boost[1][1]["account"]["username"])
    assert post.id != boost[0][1]["id"]
    assert (post.id, True, 1) == (liked[1]["id"], liked[1]["favourited"], liked[1]["favourites_count"])
    assert ({"bob"}, {"bob"}) == (post.boosted, post.liked)


async def test_limits_count(server: Mastodon, person: Person) -> None:
    """Their end is told as a date with microseconds, at the end of a period, and 429 has no Retry-After."""
    token = await person.token()
    server.periods["paging"] = (1, 900)
    url, headers = f"{server.origin}/api/v1/timelines/home", {"Authorization": f"Bearer {token}"}
    async with person.session.get(url, headers=headers) as good, person.session.get(url, headers=headers) as spent:
        reset = good.headers["X-RateLimit-Reset"]

    assert ("0", 200, 429) == (good.headers["X-RateLimit-Remaining"], good.status, spent.status)
    assert (reset, None) == (spent.headers["X-RateLimit-Reset"], spent.headers.get("Retry-After"))
    assert (".000000Z", 0.0) == (reset[-8:], datetime.fromisoformat(reset).timestamp() % 900)


async def test_a_search_wants_somebody_for_posts(server: Mastodon, person: Person) -> None:
    """Nobody finds people and tags; posts are found for a person, by words or by address."""
    post, token = server.write("alice", "a #Lamp for alice"), await person.token("bob")
    nobody = (await person.get("/api/v2/search?q=alice"))[1]
    words = (await person.get("/api/v2/search?q=lamp", token))[1]
    where = (await person.get(f"/api/v2/search?q={server.origin}/@alice/{post.id}&resolve=true", token))[1]

    assert (["alice"], []) == ([one["acct"] for one in nobody["accounts"]], nobody["statuses"])
    assert ([post.id], ["lamp"]) == (
        [one["id"] for one in words["statuses"]],
        [one["name"] for one in words["hashtags"]],
    )
    assert [post.id] == [one["id"] for one in where["statuses"]]
    assert 400 == (await person.get("/api/v2/search", token))[0]
