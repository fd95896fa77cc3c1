"""The OAuth 1.0a services do what the journeys take for granted; requests are signed by oauthlib's client here."""

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from oauthlib.oauth1 import Client

from servers.browser import HttpBrowser, Page
from servers.oauth1.server import AuthlibServer
from servers.oauth1.service import KEY, SECRET, OAuth1Service

BACK = "http://127.0.0.1:9/callback/x/main"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

type Said = dict[str, str]


class Consumer:
    """The application's side."""

    def __init__(self, service: OAuth1Service, **more: Any) -> None:
        self.service = service
        self.key: dict[str, str] = {"client_key": KEY, "client_secret": SECRET, **more}

    async def send(self, method: str, path: str, /, body: Said | None = None, **more: Any) -> tuple[int, str]:
        """Sign and send; return status and text."""
        signed = Client(**{**self.key, **more}).sign(
            self.service.origin + path, method, urlencode(body) if body else None, FORM if body else {}
        )
        return await self.send_signed(method, *signed)

    async def send_signed(self, method: str, uri: str, headers: Said, body: str | None) -> tuple[int, str]:
        """Send what is signed."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, uri, headers=headers, data=body) as answer,
        ):
            return answer.status, await answer.text()

    async def requested(self, callback: str) -> Said:
        """Ask for a request token."""
        status, text = await self.send("POST", self.service.places.request, callback_uri=callback)

        assert HTTPStatus.OK == status, text
        said = dict(parse_qsl(text))
        assert "true" == said["oauth_callback_confirmed"].lower()
        return said

    async def exchange(self, asked: Said, verifier: str) -> tuple[int, Said]:
        """Ask for the access token."""
        status, text = await self.send("POST", self.service.places.token, **_as(asked), verifier=verifier)
        return status, dict(parse_qsl(text))


def _as(token: Said) -> dict[str, Any]:
    return {"resource_owner_key": token["oauth_token"], "resource_owner_secret": token["oauth_token_secret"]}


async def allow(service: OAuth1Service, asked: Said, login: str, *, refuse: str | None = None) -> Page:
    """Walk through the pages as *login*; return the last one, or the address of the callback."""
    where = f"{service.origin}{service.places.authorize}?oauth_token={asked['oauth_token']}"
    async with HttpBrowser(login) as browser:
        return await browser.walk(where, stop=BACK, refuse=refuse)


def pin_on(page: Page) -> str:
    """Return the PIN that *page* shows."""
    found = re.search(r'<kbd id="pin">(\w+)</kbd>', page.text)

    assert found is not None, page.text
    return found[1]


async def linked(consumer: Consumer, login: str = "alice") -> Said:
    """Return an access token of *login*'s, by way of the PIN."""
    asked = await consumer.requested("oob")
    status, token = await consumer.exchange(asked, pin_on(await allow(consumer.service, asked, login)))

    assert HTTPStatus.OK == status
    return token


async def test_a_token_acts_as_its_owner(oauth1: OAuth1Service) -> None:
    """By redirect and by PIN; the record names the person, whatever the text is made of."""
    consumer, places = Consumer(oauth1), oauth1.places
    asked = await consumer.requested(BACK)
    back = dict(parse_qsl(urlsplit((await allow(oauth1, asked, "alice")).url).query))
    _, alice = await consumer.exchange(asked, back["oauth_verifier"])
    bob = await linked(consumer, "bob")
    status, _ = await consumer.send("POST", places.posts, {places.text: "50% of ünï + more & all*"}, **_as(alice))
    _, whoami = await consumer.send("GET", places.whoami, **_as(bob))

    assert back["oauth_token"] == asked["oauth_token"]
    assert status in {HTTPStatus.OK, HTTPStatus.CREATED}
    assert "bob" in whoami
    assert "post by user=alice: 50% of ünï + more & all*" in oauth1.record


async def test_a_person_may_say_no(oauth1: OAuth1Service) -> None:
    """By redirect the callback is told; the request token is gone either way."""
    consumer = Consumer(oauth1)
    asked, by_pin = await consumer.requested(BACK), await consumer.requested("oob")
    back = await allow(oauth1, asked, "alice", refuse="Deny")
    page = await allow(oauth1, by_pin, "alice", refuse="Deny")

    assert f"{BACK}?denied={asked['oauth_token']}" == back.url
    assert "Denied" in page.text
    assert (await allow(oauth1, asked, "alice")).status >= HTTPStatus.BAD_REQUEST
    assert [] == oauth1.record


async def test_a_verifier_is_good_once_and_for_its_own_request(oauth1: OAuth1Service) -> None:
    """Neither twice, nor for another request token, nor before anybody has allowed it."""
    consumer = Consumer(oauth1)
    first, second, open_ = [await consumer.requested("oob") for _ in range(3)]
    pin = pin_on(await allow(oauth1, first, "alice"))
    other = pin_on(await allow(oauth1, second, "bob"))
    statuses = [
        (await consumer.exchange(asked, verifier))[0]
        for asked, verifier in ((open_, "00000000"), (first, pin), (first, pin), (second, pin))
    ]

    assert pin != other
    assert [True, False, True, True] == [status >= HTTPStatus.BAD_REQUEST for status in statuses]
    assert ["linked user=alice"] == [line for line in oauth1.record if line.startswith("linked")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_secret": "another"},
        {"resource_owner_secret": "another"},
        {"signature_method": "PLAINTEXT"},
        {"timestamp": "1000000000"},
        {"client_key": "somebodyElseEntirely01"},
    ],
    ids=["secret", "token secret", "method", "timestamp", "consumer"],
)
async def test_what_is_not_signed_well_is_refused(oauth1: OAuth1Service, wrong: dict[str, str]) -> None:
    """The protected resources check all of it."""
    consumer = Consumer(oauth1)
    token = await linked(consumer)
    status, _ = await consumer.send("GET", oauth1.places.whoami, **{**_as(token), **wrong})

    assert status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED}


async def test_a_request_is_good_once_and_as_it_was_signed(oauth1: OAuth1Service) -> None:
    """The same nonce again is refused, and so is a text that was changed on its way."""
    consumer, places = Consumer(oauth1), oauth1.places
    token = await linked(consumer)
    client = Client(**consumer.key, **_as(token))
    uri, headers, body = client.sign(oauth1.origin + places.posts, "POST", urlencode({places.text: "tea"}), FORM)
    changed = await consumer.send_signed("POST", uri, headers, body.replace("tea", "gin"))
    uri, headers, body = client.sign(oauth1.origin + places.posts, "POST", urlencode({places.text: "tea"}), FORM)
    once = await consumer.send_signed("POST", uri, headers, body)
    again = await consumer.send_signed("POST", uri, headers, body)

    assert once[0] < HTTPStatus.BAD_REQUEST <= min(changed[0], again[0])
    assert ["post by user=alice: tea"] == [line for line in oauth1.record if line.startswith("post")]


async def test_what_is_revoked_opens_nothing(oauth1: OAuth1Service) -> None:
    """The token that signs the request is the one that ends."""
    consumer, places = Consumer(oauth1), oauth1.places
    token = await linked(consumer)
    before = (await consumer.send("GET", places.whoami, **_as(token)))[0]
    await consumer.send("POST", places.revoke, **_as(token))
    after = (await consumer.send("GET", places.whoami, **_as(token)))[0]

    assert (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED) == (before, after)
    assert "revoked by user=alice" in oauth1.record


async def test_authlib_has_one_try_for_a_pin(authlib_server: AuthlibServer) -> None:
    """The right one after a wrong one comes too late."""
    consumer = Consumer(authlib_server)
    asked = await consumer.requested("oob")
    pin = pin_on(await allow(authlib_server, asked, "alice"))

    assert [HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED] == [
        (await consumer.exchange(asked, one))[0] for one in ("x" + pin[1:], pin)
    ]
