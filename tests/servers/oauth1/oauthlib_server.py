"""An OAuth 1.0a service in the test's own loop: oauthlib's server, with storage, a page to sign in at, and an API.

Of the protocol nothing is ours, and nothing is Authlib's, which the bot signs with.  Other than Authlib's server it
has verifiers that are no numbers, its own addresses, and keeps a request token whose verifier was wrong.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from oauthlib.common import generate_token
from oauthlib.oauth1 import SIGNATURE_HMAC_SHA1, RequestValidator, WebApplicationServer

from servers.oauth1.service import KEY, SECRET, Places
from servers.standin import StandIn, consent_page, page, signed_in

PLACES = Places(
    request="/oauth/initiate",
    authorize="/oauth/authorize",
    token="/oauth/token",
    revoke="/oauth/revoke",
    whoami="/api/whoami",
    login="user.name",
    posts="/api/posts",
    text="text",
)

DUMMY = "d" * 24
"""What stands for a key that is not known, so that checking it takes as long."""


@dataclass
class RequestToken:
    """A request token, and who has allowed it, with what verifier."""

    secret: str
    callback: str
    user: str = ""
    verifier: str = ""


@dataclass(frozen=True)
class AccessToken:
    """An access token, and whose it is."""

    secret: str
    user: str


@dataclass
class Store(RequestValidator):  # type: ignore[misc]  # oauthlib ships no types
    """What the server keeps, in the shape in which oauthlib asks for it."""

    requested: dict[str, RequestToken] = field(default_factory=dict)
    tokens: dict[str, AccessToken] = field(default_factory=dict)
    record: list[str] = field(default_factory=list)
    nonces: set[tuple[str, ...]] = field(default_factory=set)

    enforce_ssl = False
    allowed_signature_methods = (SIGNATURE_HMAC_SHA1,)
    nonce_length = (8, 64)
    verifier_length = (8, 64)
    realms = ()
    dummy_client = dummy_request_token = dummy_access_token = DUMMY

    # ------------------------------------------------------------------ secrets

    def get_client_secret(self, client_key: str, request: Any) -> str:
        return SECRET if client_key == KEY else DUMMY

    def get_request_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self.requested[token].secret if token in self.requested else DUMMY

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self.tokens[token].secret if token in self.tokens else DUMMY

    # ----------------------------------------------------------------- validity

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return client_key == KEY

    def validate_request_token(self, client_key: str, token: str, request: Any) -> bool:
        return token in self.requested

    def verify_request_token(self, token: str, request: Any) -> bool:
        return token in self.requested

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        return token in self.tokens

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Any) -> bool:
        return redirect_uri == "oob" or redirect_uri.startswith("http://127.0.0.1:")

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Any) -> bool:
        known = self.requested.get(token)
        return known is not None and known.verifier != "" and secrets.compare_digest(known.verifier, verifier)

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Any,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        """See that the nonce is new; how old the timestamp may be, oauthlib looks at before."""
        one = (client_key, timestamp, nonce, request_token or "", access_token or "")
        fresh = one not in self.nonces
        self.nonces.add(one)
        return fresh

    # ------------------------------------------------------------ realms: there are none

    def get_default_realms(self, client_key: str, request: Any) -> list[str]:
        return []

    def get_realms(self, token: str, request: Any) -> list[str]:
        return []

    def validate_requested_realms(self, client_key: str, realms: object, request: Any) -> bool:
        return True

    def validate_realms(
        self, client_key: str, token: str, request: Any, uri: str | None = None, realms: object = None
    ) -> bool:
        return True

    # ------------------------------------------------------------------ keeping

    def save_request_token(self, token: Mapping[str, str], request: Any) -> None:
        self.requested[token["oauth_token"]] = RequestToken(token["oauth_token_secret"], request.redirect_uri)

    def get_redirect_uri(self, token: str, request: Any) -> str:
        return self.requested[token].callback

    def save_verifier(self, token: str, verifier: Mapping[str, str], request: Any) -> None:
        self.requested[token].verifier = verifier["oauth_verifier"]

    def save_access_token(self, token: Mapping[str, str], request: Any) -> None:
        user = self.requested[request.resource_owner_key].user
        self.tokens[token["oauth_token"]] = AccessToken(token["oauth_token_secret"], user)
        self.record.append(f"linked user={user}")

    def invalidate_request_token(self, client_key: str, request_token: str, request: Any) -> None:
        del self.requested[request_token]


class OauthlibServer(StandIn):
    """The service.

    It answers ``POST /oauth/initiate``, ``/oauth/authorize`` and ``POST /oauth/token``; as whose the token is
    ``GET /api/whoami``, ``GET`` and ``POST /api/posts`` (a form, or JSON, with ``text``) and ``POST /oauth/revoke``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.posts = list[dict[str, str]]()
        """What was posted, and as whom."""

        self._server = WebApplicationServer(self.store)

    @property
    def places(self) -> Places:
        """Where things are."""
        return PLACES

    @property
    def record(self) -> list[str]:
        """Return what people did, in order."""
        return self.store.record

    def routes(self) -> Iterable[web.RouteDef]:
        """Return what it answers to."""
        return [
            web.post("/oauth/initiate", self._initiate),
            web.get("/oauth/authorize", self._ask),
            web.post("/oauth/authorize", self._answered),
            web.post("/oauth/token", self._exchange),
            web.post("/oauth/revoke", self._revoke),
            web.get("/api/whoami", self._whoami),
            web.get("/api/posts", self._list),
            web.post("/api/posts", self._post),
        ]

    # ----------------------------------------------------------------- the flow

    async def _initiate(self, request: web.Request) -> web.Response:
        return _response(*self._server.create_request_token_response(**await _given(request)))

    async def _exchange(self, request: web.Request) -> web.Response:
        return _response(*self._server.create_access_token_response(**await _given(request)))

    async def _ask(self, request: web.Request) -> web.Response:
        token = request.query.get("oauth_token", "")
        if token not in self.store.requested:
            return page("Error", "<p>This is no request of anybody's.</p>", 400)
        return consent_page("Allow access", "/oauth/authorize", {"oauth_token": token}, "Deny")

    async def _answered(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = str(form.get("oauth_token", ""))
        if token not in self.store.requested:
            return page("Error", "<p>This is no request of anybody's.</p>", 400)
        if form.get("do") == "no":
            return self._denied(token)
        login = signed_in({name: str(value) for name, value in form.items()})
        if not login:
            return page("Sign in", "<p>Wrong user or password.</p>", 401)
        return self._allowed(token, login)

    def _denied(self, token: str) -> web.Response:
        callback = self.store.requested.pop(token).callback
        if callback == "oob":
            return page("Denied", "<p>Nothing was linked.</p>")
        return web.Response(status=302, headers={"Location": f"{callback}?denied={token}"})

    def _allowed(self, token: str, login: str) -> web.Response:
        asked = self.store.requested[token]
        asked.user = login
        self.store.record.append(f"allowed by user={login}")
        uri = f"{self.origin}/oauth/authorize?oauth_token={token}"
        headers, body, status = self._server.create_authorization_response(uri)
        if asked.callback != "oob":
            return _response(headers, body, status)
        # What oauthlib hands over here is the verifier; a page shows it, shorter, for a person to read off.
        asked.verifier = generate_token(10)
        return page("Allowed", f'<p>Your PIN is <kbd id="pin">{asked.verifier}</kbd></p>')

    # -------------------------------------------------------------- as somebody

    async def _user(self, request: web.Request) -> tuple[str, str]:
        valid, asked = self._server.validate_protected_resource_request(**await _given(request))
        if not valid:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'OAuth realm=""'})
        token = str(asked.resource_owner_key)
        return token, self.store.tokens[token].user

    async def _revoke(self, request: web.Request) -> web.Response:
        token, user = await self._user(request)
        del self.store.tokens[token]
        self.store.record.append(f"revoked by user={user}")
        return web.Response(status=204)

    async def _whoami(self, request: web.Request) -> web.Response:
        _, user = await self._user(request)
        return web.json_response({"user": {"name": user}})

    async def _list(self, request: web.Request) -> web.Response:
        _, user = await self._user(request)
        return web.json_response([one for one in self.posts if one["user"] == user])

    async def _post(self, request: web.Request) -> web.Response:
        _, user = await self._user(request)
        sent = await (request.json() if request.content_type == "application/json" else request.post())
        text = str(sent["text"])
        self.posts.append({"user": user, "text": text})
        self.store.record.append(f"post by user={user}: {text}")
        return web.json_response(self.posts[-1], status=201)


async def _given(request: web.Request) -> dict[str, Any]:
    """Return *request* as oauthlib takes it, with its address as it was sent."""
    return {
        "uri": f"http://{request.host}{request.raw_path}",
        "http_method": request.method,
        "body": (await request.read()).decode(),
        "headers": dict(request.headers),
    }


def _response(headers: Mapping[str, str], body: str | None, status: int) -> web.Response:
    return web.Response(status=status, headers=headers, body=(body or "").encode())
