"""A stand-in for a Mastodon instance, written from its documentation: apps, OAuth, and how one posts and reads.

As strict as the original in what it is sent: an app registers first, scopes asked for lie within those registered, PKCE
is S256 or not at all, a token does what its scopes say.

Sources: docs.joinmastodon.org, "methods/apps", "methods/oauth", "methods/statuses", "methods/timelines",
"methods/search", "methods/accounts", "api/oauth-scopes", "api/rate-limits", "entities/Status", "entities/Error".
"""

import base64
import hashlib
import html
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from servers.standin import PEOPLE, Refusal, StandIn, consent_page, page, signed_in

IDS = {login: str(109000000000000001 + place) for place, login in enumerate(PEOPLE)}
OOB = "urn:ietf:wg:oauth:2.0:oob"
CODE_SECONDS = 600
SAME_SECONDS = 3600
"""Seconds for which an idempotency key means the same status."""

VISIBILITIES = ("public", "unlisted", "private", "direct")
_PARTS = ("accounts", "blocks", "bookmarks", "favourites", "filters", "follows", "lists", "mutes", "notifications")
SCOPES = frozenset(
    {"read", "write", "profile", "push", "follow", "read:search", "read:statuses", "write:statuses", "write:media"}
    | {f"{what}:{part}" for what in ("read", "write") for part in _PARTS}
)
_PERIODS = {"api": (300, 300), "delete": (30, 1800), "paging": (300, 900)}
"""Requests per person, and for how many seconds they count."""

_GRANT_WRONG = (
    "The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the "
    "authorization request, or was issued to another client."
)
_CLIENT_WRONG = (
    "Client authentication failed due to unknown client, no client authentication included, or unsupported "
    "authentication method."
)


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done here, and who did it."""

    login: str
    what: str
    """Method and path: ``POST /api/v1/statuses``."""

    app: str
    """Name of the application that they did it with."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class App:
    """An application that registered itself."""

    name: str
    redirect_uris: tuple[str, ...]
    scopes: frozenset[str]
    client_id: str
    client_secret: str = field(repr=False)
    website: str | None = None


@dataclass(slots=True)
class Status:
    """What somebody said."""

    id: str
    login: str
    text: str
    visibility: str
    spoiler: str
    created: float
    boosted: set[str] = field(default_factory=set)
    liked: set[str] = field(default_factory=set)

    def seen_by(self, login: str) -> bool:
        """Return whether *login* (empty: nobody) may see it; nobody here follows anybody privately."""
        if self.visibility in ("public", "unlisted") or login == self.login:
            return True
        return self.visibility == "direct" and bool(login) and f"@{login}" in self.text


@dataclass(frozen=True, slots=True)
class _Token:
    login: str
    app: App
    scopes: frozenset[str]
    created: float


@dataclass(slots=True)
class _Code:
    token: _Token
    redirect_uri: str
    challenge: str
    ends: float
    spent: bool = False


type _Act = Callable[[web.Request, _Token | None], Awaitable[Any]]


class Mastodon(StandIn):
    """An instance whose people are alice, bob and carol; see `servers.standin`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.clock = clock
        self.record: list[Done] = []
        self.apps: dict[str, App] = {}
        self.statuses: dict[str, Status] = {}
        self.tokens: dict[str, _Token] = {}
        self.codes: dict[str, _Code] = {}
        self.periods: dict[str, tuple[int, int]] = dict(_PERIODS)
        self.searches_statuses = True
        """Whether it has what the search of statuses needs."""

        self._keys: dict[tuple[str, str], tuple[float, str]] = {}
        self._used: dict[tuple[str, str, int], int] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return what an instance answers to, as far as it is stood in for."""
        one = "/api/v1/statuses/{id}"
        return [
            web.get("/.well-known/oauth-authorization-server", self._metadata),
            web.post("/api/v1/apps", self._register),
            web.get("/oauth/authorize", self._authorize),
            web.post("/oauth/authorize", self._authorized),
            web.post("/oauth/token", self._exchange),
            web.post("/oauth/revoke", self._revoke),
            self._called("GET", "/api/v1/accounts/verify_credentials", "read:accounts", self._me),
            self._called("POST", "/api/v1/statuses", "write:statuses", self._post),
            self._called("GET", one, "read:statuses", self._show, public=True),
            self._called("DELETE", one, "write:statuses", self._delete, "delete"),
            self._called("POST", f"{one}/reblog", "write:statuses", self._reblog),
            self._called("POST", f"{one}/unreblog", "write:statuses", self._unreblog, "delete"),
            self._called("POST", f"{one}/favourite", "write:favourites", self._favourite),
            self._called("POST", f"{one}/unfavourite", "write:favourites", self._unfavourite),
            self._called("GET", "/api/v1/accounts/{id}/statuses", "read:statuses", self._of, "paging", public=True),
            self._called("GET", "/api/v1/timelines/home", "read:statuses", self._home, "paging"),
            self._called("GET", "/api/v1/timelines/public", "read:statuses", self._public, "paging", public=True),
            self._called("GET", "/api/v1/timelines/tag/{tag}", "read:statuses", self._tag, "paging", public=True),
            self._called("GET", "/api/v2/search", "read:search", self._search, public=True),
        ]

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer to what it does not know."""
        return _error(404, "Record not found" if request.path.startswith("/api/") else "Not Found")

    def write(self, login: str, text: str, visibility: str = "public", spoiler: str = "") -> Status:
        """Let *login* have said *text* by other means than ours."""
        number = str(111000000000000000 + len(self.statuses) + 1)
        status = Status(number, login, text, visibility, spoiler, self.clock())
        self.statuses[number] = status
        return status

    def doers(self, what: str = "") -> list[str]:
        """Return who did what is called *what*, in order; without it, who did anything."""
        return [one.login for one in self.record if what in ("", one.what)]

    def revoke_all(self, login: str) -> None:
        """Let *login* take every permission back under Authorized applications."""
        self.tokens = {value: one for value, one in self.tokens.items() if one.login != login}

    # ---------------------------------------------------------------- apps and OAuth

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": f"{self.origin}/",
                "authorization_endpoint": f"{self.origin}/oauth/authorize",
                "token_endpoint": f"{self.origin}/oauth/token",
                "app_registration_endpoint": f"{self.origin}/api/v1/apps",
                "revocation_endpoint": f"{self.origin}/oauth/revoke",
                "scopes_supported": sorted(SCOPES),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "code_challenge_methods_supported": ["S256"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            }
        )

    async def _register(self, request: web.Request) -> web.Response:
        said = await _said(request)
        given = said.get("redirect_uris", "")
        uris = tuple(given if isinstance(given, list) else str(given).split("\n"))
        scopes = frozenset(str(said.get("scopes") or "read").split())
        if not str(said.get("client_name", "")).strip():
            return _error(422, "Validation failed: Application name can't be blank")
        if not all(_may_be_sent_to(one) for one in uris):
            return _error(422, "Validation failed: Redirect URI must be an absolute URI.")
        if not scopes <= SCOPES:
            return _error(422, "Validation failed: Scopes doesn't match configured on the server.")
        app = App(
            str(said["client_name"]),
            uris,
            scopes,
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(32),
            said.get("website"),
        )
        self.apps[app.client_id] = app
        return web.json_response(
            {
                "id": str(563418 + len(self.apps)),
                "name": app.name,
                "website": app.website,
                "scopes": sorted(scopes),
                "redirect_uri": "\n".join(uris),
                "redirect_uris": list(uris),
                "client_id": app.client_id,
                "client_secret": app.client_secret,
                "client_secret_expires_at": 0,
            }
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self._check_asked(asked)
        name = self.apps[asked["client_id"]].name
        return consent_page(f"{name} wants to access your account", "/oauth/authorize", asked, "Deny")

    def _check_asked(self, asked: Mapping[str, str]) -> None:
        """Refuse, on a page, what an authorization request cannot be sent back with; send the rest back."""
        app = self.apps.get(asked.get("client_id", ""))
        if app is None:
            raise Refusal(page("Error", f"<p>{_CLIENT_WRONG}</p>", 401))
        if asked.get("redirect_uri") not in app.redirect_uris:
            raise Refusal(page("Error", "<p>The redirect uri included is not valid.</p>", 400))
        error = ""
        if asked.get("response_type") != "code":
            error = "unsupported_response_type"
        elif not _within(frozenset(asked.get("scope", "read").split()), app.scopes):
            error = "invalid_scope"
        elif "code_challenge" in asked and asked.get("code_challenge_method") != "S256":
            error = "invalid_code_challenge_method"
        if error:
            raise web.HTTPFound(_with(asked["redirect_uri"], {"error": error, **_state(asked)}))

    async def _authorized(self, request: web.Request) -> web.Response:
        form = {name: str(said) for name, said in (await request.post()).items()}
        asked = {name: said for name, said in form.items() if name not in ("login", "password", "do")}
        self._check_asked(asked)
        if form.get("do") == "no":
            raise web.HTTPFound(_with(asked["redirect_uri"], {"error": "access_denied", **_state(asked)}))
        login = signed_in(form)
        if not login:
            return consent_page("Log in", "/oauth/authorize", asked, "Deny", "Invalid e-mail address or password.")
        scopes = frozenset(asked.get("scope", "read").split())
        code = secrets.token_urlsafe(32)
        token = _Token(login, self.apps[asked["client_id"]], scopes, self.clock())
        self.codes[code] = _Code(
            token, asked["redirect_uri"], asked.get("code_challenge", ""), self.clock() + CODE_SECONDS
        )
        if asked["redirect_uri"] == OOB:
            return page("Copy this code", f'<input readonly value="{code}">')
        raise web.HTTPFound(_with(asked["redirect_uri"], {"code": code, **_state(asked)}))

    async def _exchange(self, request: web.Request) -> web.Response:
        said = await _said(request)
        app = self._client(request, said)
        if said.get("grant_type") != "authorization_code":
            return _oauth(400, "unsupported_grant_type", "The authorization grant type is not supported.")
        code = self.codes.get(str(said.get("code", "")))
        if code is None or code.spent or code.ends < self.clock() or code.token.app != app:
            return _oauth(400, "invalid_grant", _GRANT_WRONG)
        proof = hashlib.sha256(str(said.get("code_verifier", "")).encode()).digest()
        same = code.challenge in ("", base64.urlsafe_b64encode(proof).rstrip(b"=").decode())
        if code.redirect_uri != said.get("redirect_uri") or not same:
            return _oauth(400, "invalid_grant", _GRANT_WRONG)
        code.spent = True
        value, token = self._token_for(code.token)
        scope = " ".join(sorted(token.scopes))
        answer = {"access_token": value, "token_type": "Bearer", "scope": scope, "created_at": int(token.created)}
        return web.json_response(answer)

    def _token_for(self, wanted: _Token) -> tuple[str, _Token]:
        """Return a token like *wanted*: the same again, for the same app, person and scopes."""
        for value, one in self.tokens.items():
            if (one.login, one.app, one.scopes) == (wanted.login, wanted.app, wanted.scopes):
                return value, one
        value = secrets.token_urlsafe(32)
        self.tokens[value] = wanted
        return value, wanted

    async def _revoke(self, request: web.Request) -> web.Response:
        said = await _said(request)
        app = self._client(request, said)
        token = str(said.get("token", ""))
        found = self.tokens.get(token)
        if not token or (found is not None and found.app != app):
            return _oauth(403, "unauthorized_client", "You are not authorized to revoke this token")
        if found is not None:
            del self.tokens[token]
            self.record.append(Done(found.login, "POST /oauth/revoke", app.name))
        return web.json_response({})

    def _client(self, request: web.Request, said: Mapping[str, Any]) -> App:
        """Return the app that asks, by Basic or in the body."""
        name, secret = str(said.get("client_id", "")), str(said.get("client_secret", ""))
        scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(pair).decode().partition(":")
        app = self.apps.get(name)
        if app is None or not secrets.compare_digest(app.client_secret, secret):
            raise Refusal(_oauth(401, "invalid_client", _CLIENT_WRONG))
        return app

    # ----------------------------------------------------------------------- the API

    def _called(
        self, verb: str, path: str, scope: str, act: _Act, kind: str = "api", *, public: bool = False
    ) -> web.RouteDef:
        """Return the route of *path*: who calls, whether they may and how often, then *act*."""

        async def handle(request: web.Request) -> web.Response:
            token = self._caller(request)
            if token is None and not public:
                raise Refusal(_error(401, "The access token is invalid"))
            if token is not None and not _within(frozenset({scope}), token.scopes) and not self._small(path, token):
                raise Refusal(_error(403, "This action is outside the authorized scopes"))
            headers = self._counted(kind, token.login if token else "")
            data = await act(request, token)
            if token is not None:
                self.record.append(Done(token.login, f"{verb} {path}", token.app.name, _text(data)))
            return web.json_response(data, headers=headers)

        return web.route(verb, path, handle)

    @staticmethod
    def _small(path: str, token: _Token) -> bool:
        """Whether the scope ``profile`` is enough: since 4.3, to ask who one is."""
        return path.endswith("verify_credentials") and "profile" in token.scopes

    def _caller(self, request: web.Request) -> _Token | None:
        said = request.headers.get("Authorization", "")
        if not said:
            return None
        scheme, _, value = said.partition(" ")
        if scheme != "Bearer" or value not in self.tokens:
            raise Refusal(_error(401, "The access token is invalid"))
        return self.tokens[value]

    def _counted(self, kind: str, login: str) -> dict[str, str]:
        """Count a request, and return the headers that tell how many are left."""
        limit, period = self.periods[kind]
        window = int(self.clock() // period)
        used = self._used[kind, login, window] = self._used.get((kind, login, window), 0) + 1
        ends = datetime.fromtimestamp((window + 1) * period, UTC)
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(limit - used, 0)),
            "X-RateLimit-Reset": ends.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        if used > limit:
            raise Refusal(_error(429, "Too many requests", headers))
        return headers

    async def _me(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        return {**self._account(token.login), "source": {"privacy": "public", "language": None, "note": ""}}

    async def _post(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        said = await _said(request)
        key = request.headers.get("Idempotency-Key", "")
        until, known = self._keys.get((token.login, key), (0.0, ""))
        if key and self.clock() < until and known in self.statuses:
            return self._shown(self.statuses[known], token.login)
        text, visibility = str(said.get("status", "")), str(said.get("visibility") or "public")
        if not text.strip():
            raise Refusal(_error(422, "Validation failed: Text can't be blank"))
        if visibility not in VISIBILITIES:
            raise Refusal(_error(422, "Validation failed: Visibility is not included in the list"))
        spoiler = str(said.get("spoiler_text") or "")
        if _length(text) + len(spoiler) > 500:
            raise Refusal(_error(422, "Validation failed: Text character limit of 500 exceeded"))
        status = self.write(token.login, text, visibility, spoiler)
        if key:
            self._keys[token.login, key] = (self.clock() + SAME_SECONDS, status.id)
        return self._shown(status, token.login)

    async def _show(self, request: web.Request, token: _Token | None) -> Any:
        login = token.login if token else ""
        return self._shown(self._status(request, login), login)

    async def _delete(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        status = self._status(request, token.login)
        if status.login != token.login:
            raise Refusal(_error(404, "Record not found"))
        del self.statuses[status.id]
        return {**self._shown(status, token.login), "text": status.text}

    async def _reblog(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        status = self._status(request, token.login)
        if status.visibility in ("private", "direct"):
            raise Refusal(_error(403, "This action is not allowed"))
        status.boosted.add(token.login)
        original = self._shown(status, token.login)
        wrapper = str(int(status.id) + 500000)
        return {**original, "id": wrapper, "account": self._account(token.login), "reblog": original}

    async def _unreblog(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        status = self._status(request, token.login)
        status.boosted.discard(token.login)
        return self._shown(status, token.login)

    async def _favourite(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        status = self._status(request, token.login)
        status.liked.add(token.login)
        return self._shown(status, token.login)

    async def _unfavourite(self, request: web.Request, token: _Token | None) -> Any:
        assert token is not None
        status = self._status(request, token.login)
        status.liked.discard(token.login)
        return self._shown(status, token.login)

    async def _of(self, request: web.Request, token: _Token | None) -> Any:
        whose = request.match_info["id"]
        return self._listed(request, token, lambda one: IDS[one.login] == whose)

    async def _home(self, request: web.Request, token: _Token | None) -> Any:
        return self._listed(request, token, lambda one: True)

    async def _public(self, request: web.Request, token: _Token | None) -> Any:
        return self._listed(request, token, lambda one: one.visibility == "public")

    async def _tag(self, request: web.Request, token: _Token | None) -> Any:
        tag = request.match_info["tag"].lower()
        return self._listed(request, token, lambda one: f"#{tag}" in one.text.lower() and one.visibility == "public")

    def _listed(self, request: web.Request, token: _Token | None, wanted: Callable[[Status], bool]) -> Any:
        login, limit = token.login if token else "", _limit(request)
        found = [one for one in self.statuses.values() if one.seen_by(login) and wanted(one)]
        found.sort(key=lambda one: int(one.id), reverse=True)
        return [self._shown(one, login) for one in found[:limit]]

    async def _search(self, request: web.Request, token: _Token | None) -> Any:
        query, kind = request.query.get("q", "").strip(), request.query.get("type", "")
        if not query:
            raise Refusal(_error(400, "param is missing or the value is empty: q"))
        if kind not in ("", "accounts", "hashtags", "statuses"):
            raise Refusal(_error(400, "type is not one of accounts, hashtags, statuses"))
        if token is None and ("resolve" in request.query or "offset" in request.query):
            raise Refusal(_error(401, "Search queries that resolve remote resources are not supported without a user"))
        login, limit = token.login if token else "", _limit(request)
        people = [one for one in PEOPLE if query.lower().lstrip("@") in one]
        said = [one for one in self.statuses.values() if login and one.seen_by(login) and self._fits(one, query)]
        said.sort(key=lambda one: int(one.id), reverse=True)
        tags = sorted({tag.lower() for one in self.statuses.values() for tag in re.findall(r"#(\w+)", one.text)})
        answer = {
            "accounts": [self._account(one) for one in people],
            "statuses": [self._shown(one, login) for one in said],
            "hashtags": [self._hashtag(tag) for tag in tags if query.lower().lstrip("#") in tag],
        }
        return {name: found[:limit] if kind in ("", name) else [] for name, found in answer.items()}

    def _fits(self, status: Status, query: str) -> bool:
        if "://" in query:
            return query == self._url(status)
        return self.searches_statuses and all(word in status.text.lower() for word in query.lower().split())

    def _status(self, request: web.Request, login: str) -> Status:
        status = self.statuses.get(request.match_info["id"])
        if status is None or not status.seen_by(login):
            raise Refusal(_error(404, "Record not found"))
        return status

    def _url(self, status: Status) -> str:
        return f"{self.origin}/@{status.login}/{status.id}"

    def _account(self, login: str) -> dict[str, Any]:
        picture = f"{self.origin}/avatars/{login}.png"
        return {
            "id": IDS[login],
            "username": login,
            "acct": login,
            "display_name": f"{login.title()} Test",
            "url": f"{self.origin}/@{login}",
            "avatar": picture,
            "avatar_static": picture,
        }

    def _hashtag(self, tag: str) -> dict[str, Any]:
        return {"name": tag, "url": f"{self.origin}/tags/{tag}", "history": []}

    def _shown(self, status: Status, login: str) -> dict[str, Any]:
        return {
            "id": status.id,
            "created_at": datetime.fromtimestamp(status.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "in_reply_to_id": None,
            "sensitive": bool(status.spoiler),
            "spoiler_text": status.spoiler,
            "visibility": status.visibility,
            "uri": f"{self.origin}/users/{status.login}/statuses/{status.id}",
            "url": self._url(status),
            "content": self._html(status.text),
            "account": self._account(status.login),
            "reblog": None,
            "media_attachments": [],
            "mentions": [],
            "tags": [],
            "favourited": login in status.liked,
            "reblogged": login in status.boosted,
            "replies_count": 0,
            "reblogs_count": len(status.boosted),
            "favourites_count": len(status.liked),
        }

    def _html(self, text: str) -> str:
        """Return *text* as an instance marks it up: paragraphs, breaks, mentions, and links whose ends are hidden."""

        def marked(found: re.Match[str]) -> str:
            link, login = found[1], found[2]
            if login in PEOPLE:
                link = f"{self.origin}/@{login}"
                return f'<span class="h-card"><a href="{link}" class="u-url mention">@<span>{login}</span></a></span>'
            if login:
                return found[0]
            scheme, rest = link.split("://", 1)
            return (
                f'<a href="{link}" rel="nofollow noopener"><span class="invisible">{scheme}://</span>'
                f'<span class="ellipsis">{rest[:30]}</span><span class="invisible">{rest[30:]}</span></a>'
            )

        paragraphs = html.escape(text, quote=False).split("\n\n")
        lines = [re.sub(r"(https?://[^\s<]+)|@(\w+)", marked, one).replace("\n", "<br />") for one in paragraphs]
        return "".join(f"<p>{one}</p>" for one in lines)


async def _said(request: web.Request) -> dict[str, Any]:
    """Return what *request* says, as JSON or as a form: an instance takes both."""
    if request.content_type == "application/json":
        try:
            said = await request.json()
        except ValueError:
            raise Refusal(_error(400, "Error occurred while parsing request parameters")) from None
        return dict(said)
    return {name: str(one) for name, one in (await request.post()).items()}


def _limit(request: web.Request) -> int:
    said = request.query.get("limit", "20")
    return min(int(said), 40) if said.isdigit() else 20


def _length(text: str) -> int:
    """Return how many characters *text* counts: an address counts 23."""
    return len(re.sub(r"https?://\S+", "x" * 23, text))


def _within(asked: frozenset[str], allowed: frozenset[str]) -> bool:
    """Whether each scope *asked* for is *allowed*, by itself or by the word before its colon."""
    return all(one in allowed or one.partition(":")[0] in allowed for one in asked)


def _may_be_sent_to(uri: str) -> bool:
    parts = urlsplit(uri)
    return uri == OOB or (
        bool(parts.scheme and parts.netloc) and parts.scheme not in ("data", "vbscript", "javascript")
    )


def _text(data: Any) -> str:
    """Return the words of the status in *data*, for the record."""
    return re.sub(r"<[^>]*>", "", str(data.get("content", ""))) if isinstance(data, dict) else ""


def _state(asked: Mapping[str, str]) -> dict[str, str]:
    return {"state": asked["state"]} if "state" in asked else {}


def _with(url: str, params: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"


def _error(status: int, words: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": words}, status=status, headers=headers)


def _oauth(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
