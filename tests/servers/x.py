"""A stand-in for X, written from its documentation: OAuth 1.0a and 2.0, and what of API v2 one posts and reads by.

As strict as the original in what it is sent.  The signatures of OAuth 1.0a are checked by oauthlib, which shares
nothing with what signs on our side.  Where the vendor's pages are silent (the status of a wrong verifier, whether
a PIN may be tried twice, whether one token's end is the other's), it takes the narrower reading.

Sources: docs.x.com, "OAuth 1.0a" (creating a signature, obtaining user access tokens, PIN-based), "OAuth 2.0
Authorization Code Flow with PKCE", "Response codes and errors", "Rate limits", "Manage Posts", "Search", "Timelines".
"""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from aiohttp import web
from oauthlib.oauth1 import AccessTokenEndpoint, RequestTokenEndpoint, RequestValidator, ResourceEndpoint

from servers.standin import PEOPLE, Refusal, StandIn, consent_page, page, signed_in

IDS = {login: str(1001 + place) for place, login in enumerate(PEOPLE)}
WINDOW = 900
"""Seconds for which a rate limit counts."""

CODE_SECONDS = 30
SCOPES = ("tweet.read", "tweet.write", "users.read", "offline.access", "like.write", "bookmark.read", "media.write")
READS = ("tweet.read", "users.read")
WRITES = ("tweet.read", "tweet.write", "users.read")

_ID = re.compile(r"[0-9]{1,19}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_POST_KEYS = frozenset(
    {"card_uri", "community_id", "direct_message_deep_link", "for_super_followers_only", "geo", "made_with_ai"}
    | {"media", "nullcast", "paid_partnership", "poll", "quote_tweet_id", "reply", "reply_settings"}
    | {"share_with_followers", "text"}
)
_FIELDS = {
    "tweet.fields": frozenset({"author_id", "conversation_id", "created_at", "id", "lang", "public_metrics", "text"}),
    "user.fields": frozenset({"created_at", "description", "id", "name", "profile_image_url", "protected", "username"}),
    "expansions": frozenset({"author_id"}),
}
_PAGED = frozenset({"max_results", "pagination_token", "since_id", "until_id", "start_time", "end_time"})


@dataclass
class App:
    """What the operator has in the developer console."""

    consumer_key: str = "omnibotConsumerKey"
    consumer_secret: str = field(default="omnibot-consumer-secret", repr=False)
    client_id: str = "omnibot-client-id"
    client_secret: str = field(default="omnibot-client-secret", repr=False)
    """Empty: a public client."""

    callbacks: tuple[str, ...] = ()
    """Compared to the letter; OAuth 1.0a takes ``oob`` beside them."""

    writes: bool = True
    """Whether its permission is "Read and write"; it counts for OAuth 1.0a."""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done at X, and who did it."""

    login: str
    what: str
    """Method and path: ``POST /2/tweets``."""

    by: str
    """``oauth1`` or ``oauth2``."""

    text: str = ""


@dataclass(slots=True)
class Post:
    """One post."""

    id: str
    login: str
    text: str
    created: float

    def seen(self, asked: frozenset[str]) -> dict[str, str]:
        """Return it with the fields that were *asked* for."""
        more = {"created_at": _rfc3339(self.created), "author_id": IDS[self.login]}
        return {"id": self.id, "text": self.text, **{name: said for name, said in more.items() if name in asked}}


@dataclass(slots=True)
class _Temporary:
    """A request token."""

    secret: str
    callback: str
    login: str = ""
    verifier: str = ""


@dataclass(slots=True)
class _Family:
    """One consent of OAuth 2.0, and what grew out of it."""

    login: str
    scopes: tuple[str, ...]
    alive: bool = True


@dataclass(slots=True)
class _Code:
    family: _Family
    redirect_uri: str
    challenge: str
    method: str
    ends: float
    spent: bool = False


@dataclass(slots=True)
class _Bearer:
    family: _Family
    kind: str
    ends: float = 0.0
    spent: bool = False


@dataclass(frozen=True, slots=True)
class _Caller:
    login: str
    by: str
    scopes: tuple[str, ...]


class X(StandIn):
    """X, whose people are alice, bob and carol; see `servers.standin`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.clock = clock
        self.app = App()
        self.record: list[Done] = []
        self.posts: dict[str, Post] = {}
        self.credits = 1_000_000
        """Calls that are still paid for."""

        self.limits: dict[str, int] = dict(_LIMITS)
        """Calls per person and window, by the name that `_LIMITS` has for them."""

        self.temporary: dict[str, _Temporary] = {}
        self.access: dict[str, tuple[str, str]] = {}
        """Tokens of OAuth 1.0a: secret and login."""

        self.bearers: dict[str, _Bearer] = {}
        self.codes: dict[str, _Code] = {}
        self.nonces: set[tuple[str | None, ...]] = set()
        self._used: dict[tuple[str, str, int], int] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return what X answers to, as far as it is stood in for."""
        called = {
            ("POST", "/2/tweets"): (WRITES, self._post),
            ("DELETE", "/2/tweets/{id}"): (WRITES, self._delete),
            ("GET", "/2/tweets/search/recent"): (READS, self._search),
            ("GET", "/2/users/me"): (READS, self._me),
            ("GET", "/2/users/{id}/tweets"): (READS, self._own),
            ("GET", "/2/users/{id}/mentions"): (READS, self._mentions),
            ("GET", "/2/users/{id}/timelines/reverse_chronological"): (READS, self._home),
        }
        return [
            web.post("/oauth/request_token", self._request_token),
            web.get("/oauth/authorize", self._authorize1),
            web.post("/oauth/authorize", self._authorized1),
            web.post("/oauth/access_token", self._access_token),
            web.post("/1.1/oauth/invalidate_token.json", self._invalidate),
            web.get("/i/oauth2/authorize", self._authorize2),
            web.post("/i/oauth2/authorize", self._authorized2),
            web.post("/2/oauth2/token", self._token),
            web.post("/2/oauth2/revoke", self._revoke),
            *(web.route(verb, path, self._called(verb, path, *one)) for (verb, path), one in called.items()),
        ]

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer to what it does not know."""
        return _problem(404, "Not Found", "Not Found")

    def write(self, login: str, text: str) -> Post:
        """Let *login* have posted *text* by other means than ours."""
        post = Post(str(1900000000000000000 + len(self.posts) + 1), login, text, self.clock())
        self.posts[post.id] = post
        return post

    def doers(self, what: str = "") -> list[str]:
        """Return who did what is called *what*, in order; without it, who did anything."""
        return [one.login for one in self.record if what in ("", one.what)]

    def revoke_all(self, login: str) -> None:
        """Let *login* take every permission back on their settings page."""
        self.access = {key: one for key, one in self.access.items() if one[1] != login}
        for bearer in self.bearers.values():
            bearer.family.alive = bearer.family.alive and bearer.family.login != login

    # ---------------------------------------------------------------- OAuth 1.0a

    async def _request_token(self, request: web.Request) -> web.Response:
        judge = _Judge(self)
        endpoint = RequestTokenEndpoint(judge)
        _, body, status = endpoint.create_request_token_response(*await _spoken(request))
        return _form(body) if status == 200 else judge.refusal(str(body))

    async def _authorize1(self, request: web.Request) -> web.Response:
        token = request.query.get("oauth_token", "")
        one = self.temporary.get(token)
        if one is None or one.login:
            return page("Whoa there!", "<p>The request token for this page is invalid.</p>", 403)
        return consent_page(
            "Authorize omnibot to access your account?", "/oauth/authorize", {"oauth_token": token}, "Cancel"
        )

    async def _authorized1(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = str(form.get("oauth_token", ""))
        one = self.temporary.get(token)
        if one is None or one.login:
            return page("Whoa there!", "<p>The request token for this page is invalid.</p>", 403)
        if form.get("do") == "no":
            del self.temporary[token]
            if one.callback == "oob":
                return page("You have denied omnibot access", "<p>You may close this window.</p>")
            raise web.HTTPFound(_with(one.callback, {"denied": token}))
        login = signed_in(form)
        if not login:
            return consent_page("Log in to X", "/oauth/authorize", {"oauth_token": token}, "Cancel", "Wrong password.")
        one.login = login
        if one.callback == "oob":
            one.verifier = f"{secrets.randbelow(10**7):07d}"
            return page("You are almost there", f'<p>Enter this PIN: <kbd id="pin">{one.verifier}</kbd></p>')
        one.verifier = secrets.token_urlsafe(24)
        raise web.HTTPFound(_with(one.callback, {"oauth_token": token, "oauth_verifier": one.verifier}))

    async def _access_token(self, request: web.Request) -> web.Response:
        judge = _Judge(self)
        endpoint = AccessTokenEndpoint(judge)
        url, method, body, headers = await _spoken(request)
        url, body, headers = _in_one_place(url, body, headers)
        _, said, status = endpoint.create_access_token_response(url, method, body, headers)
        if status != 200:
            for key in judge.tried:
                self.temporary.pop(key, None)
            return judge.refusal(str(said))
        return _form(said)

    async def _invalidate(self, request: web.Request) -> web.Response:
        key, login = await self._signer(request)
        del self.access[key]
        self.record.append(Done(login, "POST /1.1/oauth/invalidate_token.json", "oauth1"))
        return web.json_response({"access_token": key})

    async def _signer(self, request: web.Request) -> tuple[str, str]:
        """Return the token of OAuth 1.0a that signed *request*, and whose it is."""
        judge = _Judge(self)
        found = re.search(r'oauth_token="([^"]+)"', request.headers.get("Authorization", ""))
        key = unquote(found[1]) if found else ""
        if found and key not in self.access:
            raise Refusal(_errors(401, 89, "Invalid or expired token."))
        valid, _ = ResourceEndpoint(judge).validate_protected_resource_request(*await _spoken(request), realms=[])
        if not valid:
            raise Refusal(judge.refusal("Authorization" if found else "Missing mandatory OAuth parameters"))
        return key, self.access[key][1]

    # ----------------------------------------------------------------- OAuth 2.0

    async def _authorize2(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        wrong = self._ask_faults(asked)
        if wrong:
            return page("Something went wrong", f"<p>You weren't able to give access to the App: {wrong}.</p>", 400)
        return consent_page("omnibot wants to access your X account", "/i/oauth2/authorize", asked, "Cancel")

    def _ask_faults(self, asked: Mapping[str, str]) -> str:
        """Return what is wrong with what an authorization request *asked*; empty if nothing is."""
        scopes = asked.get("scope", "").split(" ")
        method, challenge = asked.get("code_challenge_method", "plain"), asked.get("code_challenge", "")
        wrong = {
            "response_type": asked.get("response_type") != "code",
            "client_id": asked.get("client_id") != self.app.client_id,
            "redirect_uri": asked.get("redirect_uri") not in self.app.callbacks,
            "scope": not set(scopes) <= set(SCOPES),
            "state": not 0 < len(asked.get("state", "")) <= 500,
            "code_challenge": not (_CHALLENGE.fullmatch(challenge) if method == "S256" else challenge),
            "code_challenge_method": method not in ("S256", "plain"),
        }
        return ", ".join(name for name, so in wrong.items() if so)

    async def _authorized2(self, request: web.Request) -> web.Response:
        form = {name: str(said) for name, said in (await request.post()).items()}
        asked = {name: said for name, said in form.items() if name not in ("login", "password", "do")}
        if self._ask_faults(asked):
            return page("Something went wrong", "", 400)
        back = {"state": asked["state"]}
        if form.get("do") == "no":
            raise web.HTTPFound(_with(asked["redirect_uri"], {**back, "error": "access_denied"}))
        login = signed_in(form)
        if not login:
            return consent_page("Log in to X", "/i/oauth2/authorize", asked, "Cancel", "Wrong password.")
        code = secrets.token_urlsafe(48)
        method = asked.get("code_challenge_method", "plain")
        family = _Family(login, tuple(asked["scope"].split(" ")))
        self.codes[code] = _Code(
            family, asked["redirect_uri"], asked["code_challenge"], method, self.clock() + CODE_SECONDS
        )
        raise web.HTTPFound(_with(asked["redirect_uri"], {**back, "code": code}))

    async def _token(self, request: web.Request) -> web.Response:
        form = await self._client_form(request)
        kind = form.get("grant_type")
        if kind == "authorization_code":
            return self._minted(self._exchanged(form))
        if kind == "refresh_token":
            return self._minted(self._refreshed(form.get("refresh_token", "")))
        return _oauth(400, "unsupported_grant_type", "Grant type is not supported.")

    def _exchanged(self, form: Mapping[str, str]) -> _Family:
        code = self.codes.get(form.get("code", ""))
        verifier = form.get("code_verifier", "")
        wrong = Refusal(_oauth(400, "invalid_request", "Value passed for the authorization code was invalid."))
        if code is None or code.ends < self.clock():
            raise wrong
        if code.spent:
            code.family.alive = False
            raise wrong
        code.spent = True
        proof = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if code.challenge != (proof if code.method == "S256" else verifier):
            raise Refusal(
                _oauth(400, "invalid_request", "Value passed for the code verifier did not match the code challenge.")
            )
        if form.get("redirect_uri") != code.redirect_uri:
            raise Refusal(
                _oauth(
                    400,
                    "invalid_request",
                    "Value passed for the redirect uri did not match the uri of the authorization code.",
                )
            )
        return code.family

    def _refreshed(self, refresh: str) -> _Family:
        found = self.bearers.get(refresh)
        if found is not None and found.spent:
            found.family.alive = False  # somebody has a copy
        if found is None or found.kind != "refresh" or found.spent or not found.family.alive:
            raise Refusal(_oauth(400, "invalid_request", "Value passed for the token was invalid."))
        found.spent = True
        return found.family

    def _minted(self, family: _Family) -> web.Response:
        said: dict[str, Any] = {"token_type": "bearer", "expires_in": 7200, "access_token": secrets.token_urlsafe(64)}
        self.bearers[said["access_token"]] = _Bearer(family, "access", self.clock() + 7200)
        if "offline.access" in family.scopes:
            said["refresh_token"] = secrets.token_urlsafe(64)
            self.bearers[said["refresh_token"]] = _Bearer(family, "refresh")
        return web.json_response({**said, "scope": " ".join(family.scopes)})

    async def _revoke(self, request: web.Request) -> web.Response:
        token = (await self._client_form(request)).get("token", "")
        found = self.bearers.pop(token, None)
        if found is not None:
            self.record.append(Done(found.family.login, f"revoke {found.kind}", "oauth2"))
        return web.json_response({"revoked": True})

    async def _client_form(self, request: web.Request) -> dict[str, str]:
        """Return the form that our client, and nobody else, sent."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refusal(_oauth(400, "invalid_request", "Content type is not form."))
        form = {name: str(said) for name, said in (await request.post()).items()}
        if not self.app.client_secret:
            if form.get("client_id") != self.app.client_id or "Authorization" in request.headers:
                raise Refusal(_oauth(401, "unauthorized_client", "Missing required parameter client_id."))
            return form
        pair = f"{self.app.client_id}:{self.app.client_secret}"
        if request.headers.get("Authorization") != f"Basic {base64.b64encode(pair.encode()).decode()}":
            raise Refusal(_oauth(401, "unauthorized_client", "Missing valid authorization header"))
        return form

    # -------------------------------------------------------------------- API v2

    def _called(
        self, verb: str, path: str, scopes: tuple[str, ...], act: Callable[[web.Request, _Caller], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return the handler of *path*: who calls, whether they may and how often, then *act*."""
        name = f"{verb} {path}"

        async def handle(request: web.Request) -> web.Response:
            caller = await self._caller(request)
            self._may(caller, scopes)
            headers = self._counted(name, caller)
            status, data = await act(request, caller)
            self.credits -= 1
            return web.json_response(data, status=status, headers=headers)

        return handle

    async def _caller(self, request: web.Request) -> _Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme == "OAuth":
            try:
                _, login = await self._signer(request)
            except Refusal:  # v2 has one answer for all of these
                raise Refusal(_problem(401, "Unauthorized", "Unauthorized")) from None
            return _Caller(login, "oauth1", WRITES if self.app.writes else READS)
        found = self.bearers.get(token)
        good = scheme == "Bearer" and found is not None and found.kind == "access"
        if not good or found is None or not found.family.alive or found.ends < self.clock():
            raise Refusal(_problem(401, "Unauthorized", "Unauthorized"))
        return _Caller(found.family.login, "oauth2", found.family.scopes)

    def _may(self, caller: _Caller, scopes: tuple[str, ...]) -> None:
        if self.credits <= 0:
            said = "Your enrolled account does not have any credits to fulfill this request."
            raise Refusal(_problem(402, "CreditsDepleted", said, "https://api.twitter.com/2/problems/credits"))
        if set(scopes) <= set(caller.scopes):
            return
        if caller.by == "oauth1":
            said = "Your client app is not configured with the appropriate oauth1 app permissions for this endpoint."
            raise Refusal(_problem(403, "Forbidden", said, "https://api.twitter.com/2/problems/oauth1-permissions"))
        raise Refusal(_problem(403, "Forbidden", "Forbidden"))

    def _counted(self, name: str, caller: _Caller) -> dict[str, str]:
        """Count a call, and return the headers that tell how many are left."""
        window, limit = int(self.clock() // WINDOW), self.limits[name]
        used = self._used.get((name, caller.login, window), 0) + 1
        self._used[name, caller.login, window] = used
        headers = {
            "x-rate-limit-limit": str(limit),
            "x-rate-limit-remaining": str(max(limit - used, 0)),
            "x-rate-limit-reset": str((window + 1) * WINDOW),
            "x-transaction-id": secrets.token_hex(8),
        }
        if used > limit:
            raise Refusal(_problem(429, "Too Many Requests", "Too Many Requests", headers=headers))
        return headers

    async def _post(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        said = await _json(request)
        if unknown := sorted(said.keys() - _POST_KEYS):
            raise Refusal(_invalid(unknown[0], said[unknown[0]], f"$.{unknown[0]}: is not defined in the schema"))
        text = said.get("text")
        if not isinstance(text, str) or not text.strip():
            raise Refusal(_invalid("text", text, "$.text: is missing but it is required"))
        if any(one.login == caller.login and one.text == text for one in self.posts.values()):
            raise Refusal(_problem(403, "Forbidden", "You are not allowed to create a Tweet with duplicate content."))
        post = self.write(caller.login, text)
        self.record.append(Done(caller.login, "POST /2/tweets", caller.by, text))
        return 201, {"data": {"id": post.id, "text": post.text}}

    async def _delete(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        wanted = _id(request)
        post = self.posts.get(wanted)
        if post is not None and post.login != caller.login:
            raise Refusal(_problem(403, "Forbidden", "You are not authorized to delete this Tweet."))
        self.posts.pop(wanted, None)
        self.record.append(Done(caller.login, "DELETE /2/tweets/{id}", caller.by, post.text if post else ""))
        return 200, {"data": {"deleted": True}}

    async def _me(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        asked = _asked(request, frozenset())
        me = {"id": IDS[caller.login], "name": f"{caller.login.title()} Test", "username": caller.login}
        if "profile_image_url" in asked["user.fields"]:
            me["profile_image_url"] = f"https://pbs.example/{caller.login}.jpg"
        self.record.append(Done(caller.login, "GET /2/users/me", caller.by))
        return 200, {"data": me}

    async def _search(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        query = request.query.get("query", "")
        if not 1 <= len(query) <= 512:
            raise Refusal(_invalid("query", query, "The `query` query parameter is not between 1 and 512 characters"))
        self.record.append(Done(caller.login, "GET /2/tweets/search/recent", caller.by, query))
        since = self.clock() - 7 * 86400
        words = query.lower().split()
        found = [
            one
            for one in self.posts.values()
            if one.created > since and all(word in one.text.lower() for word in words)
        ]
        return 200, self._listed(request, found, 10, frozenset({"query", "next_token", "sort_order"}))

    async def _own(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        whose = _id(request)
        self.record.append(Done(caller.login, "GET /2/users/{id}/tweets", caller.by))
        found = [one for one in self.posts.values() if IDS[one.login] == whose]
        return 200, self._listed(request, found, 5, frozenset({"exclude"}))

    async def _mentions(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        login = next((name for name, number in IDS.items() if number == _id(request)), "")
        self.record.append(Done(caller.login, "GET /2/users/{id}/mentions", caller.by))
        found = [one for one in self.posts.values() if re.search(rf"@{login}\b", one.text)]
        return 200, self._listed(request, found, 5, frozenset())

    async def _home(self, request: web.Request, caller: _Caller) -> tuple[int, Any]:
        if _id(request) != IDS[caller.login]:
            said = "The `id` query parameter value is not the authenticated user's"
            raise Refusal(_invalid("id", _id(request), said))
        self.record.append(Done(caller.login, "GET /2/users/{id}/timelines/reverse_chronological", caller.by))
        return 200, self._listed(request, list(self.posts.values()), 1, frozenset({"exclude"}))

    def _listed(self, request: web.Request, found: list[Post], least: int, more: frozenset[str]) -> dict[str, Any]:
        """Return *found*, newest first, as a list of X's; *least* is the fewest that a page may have."""
        asked = _asked(request, _PAGED | more)
        size = request.query.get("max_results", "10" if least != 1 else "100")
        if not size.isdigit() or not least <= int(size) <= 100:
            what = f"The `max_results` query parameter value [{size}] is not between {least} and 100"
            raise Refusal(_invalid("max_results", size, what))
        shown = sorted(found, key=lambda one: int(one.id), reverse=True)[: int(size)]
        answer: dict[str, Any] = {"meta": {"result_count": len(shown)}}
        if not shown:
            return answer
        answer["data"] = [one.seen(asked["tweet.fields"]) for one in shown]
        answer["meta"] |= {"newest_id": shown[0].id, "oldest_id": shown[-1].id}
        if "author_id" in asked["expansions"]:
            users = [{"id": IDS[one], "name": f"{one.title()} Test", "username": one} for one in PEOPLE]
            here = {IDS[one.login] for one in shown}
            answer["includes"] = {"users": [one for one in users if one["id"] in here]}
        return answer


_LIMITS = {
    "POST /2/tweets": 100,
    "DELETE /2/tweets/{id}": 50,
    "GET /2/tweets/search/recent": 300,
    "GET /2/users/me": 75,
    "GET /2/users/{id}/tweets": 900,
    "GET /2/users/{id}/mentions": 300,
    "GET /2/users/{id}/timelines/reverse_chronological": 180,
}


class _Judge(RequestValidator):  # type: ignore[misc]  # oauthlib says nothing of its types
    """What oauthlib wants to know to judge one request; it keeps why the request was refused."""

    def __init__(self, x: X) -> None:
        super().__init__()
        self.x = x
        self.why = ""
        self.tried: list[str] = []

    def refusal(self, described: str) -> web.Response:
        """Return X's answer to what was refused; *described* are oauthlib's words."""
        if self.why == "callback" and not self.x.app.callbacks:
            text = "Desktop applications only support the oauth_callback value 'oob'"
            xml = f"<hash><error>{text}</error><request>/oauth/request_token</request></hash>"
            return web.Response(status=401, text=f'<?xml version="1.0"?>\n{xml}', content_type="application/xml")
        if self.why == "callback":
            return _errors(403, 415, "Callback URL not approved for this client application.")
        if self.why == "verifier":
            words = "Error processing your OAuth request: Invalid oauth_verifier parameter"
            return web.Response(status=401, text=words)
        if "Timestamp" in unquote(described).replace("+", " "):
            return _errors(401, 135, "Timestamp out of bounds.")
        if "Missing+mandatory" in described or "Missing mandatory" in described:
            return _errors(400, 215, "Bad Authentication data.")
        return _errors(401, 32, "Could not authenticate you.")

    # What it asks by name: settings.

    @property
    def enforce_ssl(self) -> bool:
        return False

    @property
    def allowed_signature_methods(self) -> tuple[str, ...]:
        return ("HMAC-SHA1",)

    @property
    def timestamp_lifetime(self) -> int:
        return 300

    @property
    def dummy_client(self) -> str:
        return "nobody"

    dummy_request_token = dummy_access_token = dummy_client

    def check_client_key(self, client_key: str) -> bool:
        return bool(client_key)

    check_request_token = check_access_token = check_verifier = check_client_key

    def check_nonce(self, nonce: str) -> bool:
        return re.fullmatch(r"[A-Za-z0-9]{6,64}", nonce) is not None

    # Secrets: an unknown one is nobody's.

    def get_client_secret(self, client_key: str, request: Any) -> str:
        app = self.x.app
        return app.consumer_secret if client_key == app.consumer_key else secrets.token_hex(8)

    def get_request_token_secret(self, client_key: str, token: str, request: Any) -> str:
        one = self.x.temporary.get(token)
        return one.secret if one else secrets.token_hex(8)

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self.x.access.get(token, (secrets.token_hex(8),))[0]

    # Judgements.

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return client_key == self.x.app.consumer_key

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: str,
        nonce: str,
        request: Any,
        request_token: Any = None,
        access_token: Any = None,
    ) -> bool:
        seen = (client_key, timestamp, nonce, request_token or access_token)
        if seen in self.x.nonces or "oauth_version" not in request.oauth_params:
            return False
        self.x.nonces.add(seen)
        return True

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Any) -> bool:
        good = redirect_uri == "oob" or redirect_uri in self.x.app.callbacks
        self.why = "" if good else "callback"
        return good

    def validate_request_token(self, client_key: str, token: str, request: Any) -> bool:
        self.tried.append(token)
        return token in self.x.temporary

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        return token in self.x.access

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Any) -> bool:
        one = self.x.temporary.get(token)
        good = one is not None and bool(one.verifier) and secrets.compare_digest(one.verifier, verifier)
        self.why = "" if good else "verifier"
        return good

    def validate_requested_realms(self, client_key: str, realms: Any, request: Any) -> bool:
        return True

    def validate_realms(self, client_key: str, token: str, request: Any, uri: Any = None, realms: Any = None) -> bool:
        return True

    def get_default_realms(self, client_key: str, request: Any) -> list[str]:
        return []

    def get_realms(self, token: str, request: Any) -> list[str]:
        return []

    # What it gives out.

    def save_request_token(self, token: dict[str, str], request: Any) -> None:
        self.x.temporary[token["oauth_token"]] = _Temporary(token["oauth_token_secret"], request.redirect_uri)

    def save_access_token(self, token: dict[str, str], request: Any) -> None:
        login = self.x.temporary[request.resource_owner_key].login
        key = f"{IDS[login]}-{token['oauth_token']}"
        del token["oauth_authorized_realms"]
        token.update(oauth_token=key, user_id=IDS[login], screen_name=login)
        self.x.access[key] = (token["oauth_token_secret"], login)

    def invalidate_request_token(self, client_key: str, request_token: str, request: Any) -> None:
        self.x.temporary.pop(request_token, None)


async def _spoken(request: web.Request) -> tuple[str, str, str, dict[str, str]]:
    """Return *request* as oauthlib reads one: address, method, body, headers."""
    url = f"{request.scheme}://{request.host}{request.raw_path}"
    return url, request.method, await request.text(), dict(request.headers)


def _in_one_place(url: str, body: str, headers: Mapping[str, str]) -> tuple[str, str, dict[str, str]]:
    """Move a verifier from query or body into the header: X takes it there, too, and oauthlib wants all in one place.

    What is signed stays the same (RFC 5849 section 3.4.1.3).
    """
    where, _, query = url.partition("?")
    verifier = [one for name, one in (*parse_qsl(query), *parse_qsl(body)) if name == "oauth_verifier"]
    if not verifier:
        return url, body, dict(headers)
    rest = urlencode([pair for pair in parse_qsl(query) if pair[0] != "oauth_verifier"])
    left = urlencode([pair for pair in parse_qsl(body) if pair[0] != "oauth_verifier"])
    signed = headers.get("Authorization", "") + "".join(f', oauth_verifier="{quote(one, safe="")}"' for one in verifier)
    return f"{where}?{rest}" if rest else where, left, {**headers, "Authorization": signed}


async def _json(request: web.Request) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise Refusal(_invalid("content-type", request.content_type, "Content-Type is not application/json"))
    try:
        said = await request.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Refusal(_invalid("body", "", "The body is no JSON object"))
    return said


def _id(request: web.Request) -> str:
    said = request.match_info["id"]
    if not _ID.fullmatch(said):
        what = f"The `id` query parameter value [{said}] does not match ^[0-9]{{1,19}}$"
        raise Refusal(_invalid("id", said, what))
    return said


def _asked(request: web.Request, known: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the fields and expansions that *request* asks for; every parameter has to be *known*."""
    for name in request.query:
        if name not in known and name not in _FIELDS:
            what = f"The query parameter [{name}] is not one of [{','.join(sorted(known | _FIELDS.keys()))}]"
            raise Refusal(_invalid(name, request.query[name], what))
    asked = {name: frozenset(filter(None, request.query.get(name, "").split(","))) for name in _FIELDS}
    for name, wanted in asked.items():
        if odd := sorted(wanted - _FIELDS[name]):
            what = f"The `{name}` query parameter value [{odd[0]}] is not one of [{','.join(sorted(_FIELDS[name]))}]"
            raise Refusal(_invalid(name, odd[0], what))
    return asked


def _form(body: str) -> web.Response:
    """Return a form-encoded *body* under the type that X gives it."""
    return web.Response(text=body, content_type="text/html", charset="utf-8")


def _errors(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


def _oauth(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)


def _problem(
    status: int, title: str, detail: str, kind: str = "about:blank", headers: Mapping[str, str] | None = None
) -> web.Response:
    said = {"title": title, "type": kind, "status": status, "detail": detail}
    return web.json_response(said, status=status, headers=headers, content_type="application/problem+json")


def _invalid(name: str, value: object, message: str) -> web.Response:
    said = {
        "errors": [{"parameters": {name: [str(value)]}, "message": message}],
        "title": "Invalid Request",
        "detail": "One or more parameters to your request was invalid.",
        "type": "https://api.twitter.com/2/problems/invalid-request",
    }
    return web.json_response(said, status=400)


def _with(url: str, params: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
