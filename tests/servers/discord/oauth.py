"""Signing in with Discord: the authorization code grant (OAuth2), with PKCE by S256 (RFC 7636).

Who is signed in to Discord in a browser is said by the cookie `COOKIE`, or else by `OAuth.signed_in`; somebody who
is not signed in is asked who they are.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from secrets import token_urlsafe
from urllib.parse import unquote_plus, urlencode, urlsplit

from aiohttp import web

from servers.discord.errors import unauthorized
from servers.discord.faults import answer
from servers.discord.model import User
from servers.discord.wire import Json
from servers.discord.world import World

COOKIE = "signed_in"
CODE_LIFE = 60.0
TOKEN_LIFE = 604_800
SCOPES = frozenset({"identify", "email", "guilds", "openid"})
ASKED = ("client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method")


@dataclass(frozen=True, slots=True)
class Grant:
    """A code or a token, and what it is good for."""

    user: User
    scopes: tuple[str, ...]
    redirect_uri: str = ""
    challenge: str = ""
    until: float = 0.0


class Failed(Exception):
    """An error of the token endpoint (RFC 6749, 5.2)."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **({"error_description": description} if description else {})}


@dataclass(eq=False)
class OAuth:
    """Discord's authorization server for the one application."""

    world: World
    url: str
    client_secret: str = field(default_factory=lambda: token_urlsafe(24), repr=False)
    redirect_uris: list[str] = field(default_factory=list)
    """What the application has registered; nothing else is redirected to."""

    signed_in: User | None = None
    """Who is signed in where a browser has no cookie."""

    asked: list[Mapping[str, str]] = field(default_factory=list, repr=False)
    """The form of each request for a token."""

    _codes: dict[str, Grant] = field(default_factory=dict, repr=False)
    _spent: dict[str, list[str]] = field(default_factory=dict, repr=False)
    """The tokens that came of a code, by the code."""

    _access: dict[str, Grant] = field(default_factory=dict, repr=False)
    _refresh: dict[str, Grant] = field(default_factory=dict, repr=False)

    @property
    def client_id(self) -> str:
        """The application's id."""
        return self.world.application_id

    @property
    def authorize_url(self) -> str:
        """Where a browser is sent."""
        return f"{self.url}/oauth2/authorize"

    @property
    def token_url(self) -> str:
        """Where a code is exchanged for a token."""
        return f"{self.url}/api/oauth2/token"

    @property
    def tokens(self) -> list[str]:
        """The access tokens that are good."""
        return list(self._access)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: the pages, and the endpoints, which are there with a version too."""
        endpoints = [
            web.post(f"{prefix}/oauth2/token{path}", handler)
            for prefix in ("/api", "/api/v10")
            for path, handler in (("", self.token), ("/revoke", self.revoke))
        ]
        pages = [web.get("/oauth2/authorize", self.page), web.post("/oauth2/authorize", self.decide)]
        return [*endpoints, *pages, web.post("/login", self.login)]

    def owner(self, token: str, scope: str) -> User:
        """Return who authorised the access *token* for *scope*.

        Raises:
            ApiError: nobody did.
        """
        grant = self._access.get(token)
        if grant is None or grant.until < self.world.clock.now() or scope not in grant.scopes:
            raise unauthorized()
        return grant.user

    # --------------------------------------------------------------------- pages

    async def page(self, request: web.Request) -> web.Response:
        """Ask who is there whether they authorise the application; or who they are."""
        asked = {name: request.query.get(name, "") for name in ASKED}
        if wrong := self._wrong(asked):
            return _page(400, "Error", f"<p>{escape(wrong)}</p>")
        if refused := _refused(asked):
            return _back(asked, refused)
        user = self._who(request)
        if user is None:
            people = [one for one in self.world.users.values() if not one.bot]
            buttons = "".join(f"<button name=user value={one.id}>{escape(one.username)}</button>" for one in people)
            back = f"<input type=hidden name=back value='{escape(request.path_qs)}'>"
            return _page(200, "Log in to Discord", f"<form method=post action=/login>{back}{buttons}</form>")
        hidden = "".join(f"<input type=hidden name={name} value='{escape(asked[name])}'>" for name in ASKED)
        who = f"<p>Signed in as <b id=who>{escape(user.username)}</b></p>"
        buttons = "<button name=do value=authorize>Authorize</button><button name=do value=cancel>Cancel</button>"
        form = f"<form method=post action=/oauth2/authorize>{hidden}{buttons}</form>"
        return _page(200, f"{escape(self.world.bot.username)} wants access", who + form)

    async def login(self, request: web.Request) -> web.Response:
        """Sign a browser in as who was picked."""
        form = await request.post()
        back = str(form["back"])
        assert back.startswith("/oauth2/authorize")
        response = web.Response(status=302, headers={"Location": back})
        response.set_cookie(COOKIE, str(form["user"]), httponly=True, samesite="Lax")
        return response

    async def decide(self, request: web.Request) -> web.Response:
        """Take the decision, and send the browser back."""
        form = await request.post()
        asked = {name: str(form.get(name, "")) for name in ASKED}
        user = self._who(request)
        if user is None or self._wrong(asked) or _refused(asked):
            return _page(400, "Error", "<p>Bad request</p>")
        if form.get("do") != "authorize":
            denied = "The resource owner or authorization server denied the request"
            return _back(asked, {"error": "access_denied", "error_description": denied})
        return _back(asked, {"code": self.authorize(user, asked)})

    def authorize(self, user: User, asked: Mapping[str, str]) -> str:
        """Return the code by which *user* has authorised what was *asked*."""
        code = token_urlsafe(22)
        until = self.world.clock.now() + CODE_LIFE
        scopes = tuple(asked["scope"].split())
        self._codes[code] = Grant(user, scopes, asked["redirect_uri"], asked.get("code_challenge", ""), until)
        return code

    # ----------------------------------------------------------------- endpoints

    async def token(self, request: web.Request) -> web.Response:
        """Exchange a code or a refresh token; the form is ``application/x-www-form-urlencoded`` alone."""
        try:
            form = await self._form(request)
            self.asked.append(form)
            if form.get("grant_type") == "authorization_code":
                return answer(self._exchange(form))
            if form.get("grant_type") == "refresh_token":
                return answer(self._renew(form))
            raise Failed(400, "unsupported_grant_type")
        except Failed as failed:
            return answer(failed.body, failed.status)

    async def revoke(self, request: web.Request) -> web.Response:
        """Make a token, and all others of its user's, good for nothing (Token Revocation)."""
        try:
            token = (await self._form(request)).get("token", "")
        except Failed as failed:
            return answer(failed.body, failed.status)
        grant = self._access.get(token) or self._refresh.get(token)
        if grant is not None:
            self._access = {one: each for one, each in self._access.items() if each.user is not grant.user}
            self._refresh = {one: each for one, each in self._refresh.items() if each.user is not grant.user}
        return answer({})

    async def _form(self, request: web.Request) -> Mapping[str, str]:
        """Return the form of who has shown the client's secret, by Basic or in the form."""
        if request.content_type != "application/x-www-form-urlencoded":
            raise Failed(400, "invalid_request", "The Content-Type must be application/x-www-form-urlencoded.")
        form = {name: str(value) for name, value in (await request.post()).items()}
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if "Authorization" in request.headers:
            client, secret = _basic(request.headers["Authorization"])
        if client != self.client_id or not hmac.compare_digest(secret.encode(), self.client_secret.encode()):
            raise Failed(401, "invalid_client")
        return form

    def _exchange(self, form: Mapping[str, str]) -> Json:
        code = form.get("code", "")
        grant = self._codes.pop(code, None)
        if grant is None:
            for token in self._spent.pop(code, ()):  # used twice (RFC 6749, 4.1.2)
                self._access.pop(token, None)
                self._refresh.pop(token, None)
        if grant is None or grant.until < self.world.clock.now():
            raise Failed(400, "invalid_grant", 'Invalid "code" in request.')
        if form.get("redirect_uri") != grant.redirect_uri:
            raise Failed(400, "invalid_grant", 'Invalid "redirect_uri" in request.')
        if grant.challenge and _s256(form.get("code_verifier", "")) != grant.challenge:
            raise Failed(400, "invalid_grant", 'Invalid "code_verifier" in request.')
        made = self._made(grant)
        self._spent[code] = [made["access_token"], made["refresh_token"]]
        return made

    def _renew(self, form: Mapping[str, str]) -> Json:
        grant = self._refresh.pop(form.get("refresh_token", ""), None)
        if grant is None:
            raise Failed(400, "invalid_grant", 'Invalid "refresh_token" in request.')
        return self._made(grant)

    def _made(self, grant: Grant) -> Json:
        access, refresh = token_urlsafe(22), token_urlsafe(22)
        until = self.world.clock.now() + TOKEN_LIFE
        self._access[access] = self._refresh[refresh] = Grant(grant.user, grant.scopes, until=until)
        return {
            "token_type": "Bearer",
            "access_token": access,
            "expires_in": TOKEN_LIFE,
            "refresh_token": refresh,
            "scope": " ".join(grant.scopes),
        }

    def _wrong(self, asked: Mapping[str, str]) -> str:
        """Return why there is nothing to go back to, or nothing."""
        if asked["client_id"] != self.client_id:
            return "Unknown Application"
        if asked["redirect_uri"] not in self.redirect_uris:
            return "Invalid OAuth2 redirect_uri"
        return ""

    def _who(self, request: web.Request) -> User | None:
        return self.world.users.get(request.cookies.get(COOKIE, "")) or self.signed_in


def _basic(header: str) -> tuple[str, str]:
    """Return name and password of a Basic authorization, each of which is form-encoded (RFC 6749, 2.3.1)."""
    try:
        client, colon, secret = base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
    except ValueError:
        raise Failed(401, "invalid_client") from None
    if not (colon and header.startswith("Basic ")):
        raise Failed(401, "invalid_client")
    return unquote_plus(client), unquote_plus(secret)


def _refused(asked: Mapping[str, str]) -> Mapping[str, str]:
    """Return the error that a request is sent back with, or nothing (RFC 6749, 4.1.2.1)."""
    if asked["response_type"] != "code":
        return {"error": "unsupported_response_type"}
    if not asked["scope"] or not SCOPES.issuperset(asked["scope"].split()):
        return {"error": "invalid_scope", "error_description": "The requested scope is invalid, unknown, or malformed."}
    if asked["code_challenge"] and asked["code_challenge_method"] != "S256":
        return {"error": "invalid_request", "error_description": "code_challenge_method must be S256."}
    return {}


def _back(asked: Mapping[str, str], what: Mapping[str, str]) -> web.Response:
    state = {"state": asked["state"]} if asked["state"] else {}
    joint = "&" if urlsplit(asked["redirect_uri"]).query else "?"
    return web.Response(status=302, headers={"Location": asked["redirect_uri"] + joint + urlencode({**what, **state})})


def _page(status: int, title: str, body: str) -> web.Response:
    html = f"<!DOCTYPE html><html lang=en><title>{title}</title><h1>{title}</h1>{body}</html>"
    return web.Response(status=status, text=html, content_type="text/html")


def _s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
