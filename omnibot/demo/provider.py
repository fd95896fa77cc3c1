"""A small but strict OAuth 2.0 provider with a notes API, on one loopback listener.

`omnibot demo` runs it, so that linking can be tried with nothing to sign up for;
`omnibot.testing` exports it as ``FakeProvider``.  It is strict where a real one may
be lax, so that a mistake of ours shows here: PKCE with S256 from every client,
redirect URIs compared character by character, codes and refresh tokens that end
everything when used twice.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from aiohttp import web

from omnibot.demo import pages
from omnibot.demo.authority import Answer, Authority, NoWayBack, Question, claimed_client
from omnibot.demo.faults import Fault, Faults, Handler
from omnibot.demo.grants import AUTH_METHODS
from omnibot.demo.ledger import SCOPES, DemoClient, Family, Ledger
from omnibot.demo.notes import ApiCall, NotesApi

__all__ = ["ApiCall", "DemoClient", "DemoProvider", "TokenCall"]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_KINDS: dict[str, Literal["code", "refresh"]] = {"authorization_code": "code", "refresh_token": "refresh"}


@dataclass(frozen=True, slots=True)
class TokenCall:
    """One request to the token endpoint that reached it, and how it ended."""

    kind: Literal["code", "refresh"]
    client_id: str
    """Who the caller said it was."""
    user: str | None
    """Whose code or refresh token was presented; None if it is unknown."""
    ok: bool
    error: str | None = None
    """OAuth's error code, for example ``invalid_grant``."""


class DemoProvider:
    """An authorization server and its API, which keep everything in memory.

    A test consents with one request, as the form on the page does::

        async with DemoProvider() as provider:
            await session.post(url, data={"user": "ada", "answer": "allow"}, allow_redirects=False)
    """

    def __init__(
        self,
        clients: Iterable[DemoClient] = (DemoClient("omnibot", "demo-secret"),),
        *,
        token_seconds: int | None = 3600,
        iss: bool = True,
        port: int = 0,
    ) -> None:
        self.token_seconds = token_seconds
        """Life of an access token; None: no end, and none is told."""
        self.iss = iss
        """Whether metadata promise ``iss`` (RFC 9207) and redirects carry it."""
        self.iss_override: str | None = None
        """A lie to tell as ``iss``, whatever metadata promise; empty: tell none."""
        self.grant_scopes: tuple[str, ...] | None = None
        """Scopes that the next codes turn out to be good for; None: those consented to."""
        self.calls: list[ApiCall] = []
        self.exchanges: list[TokenCall] = []
        self.requests: list[str] = []
        """Method and path of every request, faults included: ``GET /api/me``."""
        self._port = port
        self._runner: web.AppRunner | None = None
        self._faults = Faults()
        self._ledger = Ledger()
        self._authority = Authority(self._ledger, self)
        self._api = NotesApi(self._ledger, self.calls.append)
        for client in clients:
            self.register(client)

    async def start(self) -> None:
        """Listen on 127.0.0.1; a provider that was stopped comes back at the same port."""
        if self._runner is not None:
            raise RuntimeError("This DemoProvider is running already.")
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self._port = runner, runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the listener and its connections; what is remembered stays."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def origin(self) -> str:
        """The issuer, and where everything is served: ``http://127.0.0.1:NNNN``."""
        if not self._port:
            raise RuntimeError("A DemoProvider has no origin before it is started.")
        return f"http://127.0.0.1:{self._port}"

    @property
    def revoked(self) -> list[str]:
        """Users whose token or grant was revoked, in order, be it asked for or in answer to a re-use."""
        return self._ledger.revoked

    def register(self, client: DemoClient) -> None:
        """Add *client*; one that is known keeps its redirect URIs and gains the new ones."""
        self._ledger.register(client)

    @property
    def export_seconds(self) -> float:
        """How long an export of somebody's notes takes, those under way included."""
        return self._api.export_seconds

    @export_seconds.setter
    def export_seconds(self, seconds: float) -> None:
        self._api.export_seconds = seconds

    def notes(self, user: str) -> list[str]:
        """The texts of *user*'s notes, oldest first."""
        return list(self._api.of(user).values())

    def issue(self, user: str, client_id: str, scopes: Iterable[str]) -> dict[str, Any]:
        """A token answer for *user*, without the way there."""
        granted = tuple(scopes)
        answer = self._ledger.mint(granted, self.token_seconds)
        self._ledger.keep(answer, Family(user, client_id, granted))
        return dict(answer)

    def key_for(self, user: str) -> str:
        """*user*'s own API key, for the header ``X-Demo-Key``; it is nobody's to revoke but theirs."""
        return self._ledger.key_for(user)

    def rotate_key(self, user: str) -> str:
        """A new API key for *user*, in place of the one before."""
        return self._ledger.rotate_key(user)

    def expire_access_tokens(self) -> None:
        """Let every access token be answered with 401; refresh tokens stay good."""
        self._ledger.expire_access_tokens()

    def forget_grants(self) -> None:
        """Know no code and no token any more, as after a restart."""
        self._ledger.forget()

    def fail(
        self,
        path_prefix: str,
        *,
        status: int | None = 503,
        times: int | None = 1,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        drop: bool = False,
        delay: float = 0.0,
    ) -> None:
        """Let the next *times* requests under *path_prefix* fail, or all of them for None.

        With *drop* the connection is cut without an answer.  *delay* is in seconds,
        before anything else; with ``status=None`` the true answer comes after it.
        A status of 200 scripts an answer.  The request itself has no effect otherwise.
        """
        self._faults.add(Fault(path_prefix, status, times, body, headers or {}, drop, delay))

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._faults.clear()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._meet_faults], client_max_size=64 * 1024)
        app.add_routes(
            [
                web.get("/.well-known/oauth-authorization-server", self._metadata),
                web.get("/authorize", self._who),
                web.post("/authorize", self._consent),
                web.post("/token", self._token),
                web.post("/revoke", self._revoke),
                web.get(r"/avatar/{user:[a-z][a-z0-9-]*}.svg", self._avatar),
                *self._api.routes(),
            ]
        )
        return app

    @web.middleware
    async def _meet_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        fault = self._faults.take(request.path)
        return await (fault.happen(request, handler) if fault else handler(request))

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.origin,
                "authorization_endpoint": f"{self.origin}/authorize",
                "token_endpoint": f"{self.origin}/token",
                "token_endpoint_auth_methods_supported": AUTH_METHODS,
                "revocation_endpoint": f"{self.origin}/revoke",
                "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
                "scopes_supported": list(SCOPES),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": list(_KINDS),
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": self.iss,
            }
        )

    async def _who(self, request: web.Request) -> web.Response:
        try:
            asked = self._authority.question(request.query.items())
        except NoWayBack as error:
            return _page(pages.error_page(str(error)), 400)
        if isinstance(asked, Answer):
            return _sent(asked)
        return _page(pages.who_page(asked.client_id))

    async def _consent(self, request: web.Request) -> web.Response:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return _page(pages.error_page("The answer came from another site's page."), 403)
        try:
            asked = self._authority.question(request.query.items())
        except NoWayBack as error:
            return _page(pages.error_page(str(error)), 400)
        if isinstance(asked, Answer):
            return _sent(asked)
        return self._answered(request, asked, await request.post())

    def _answered(self, request: web.Request, asked: Question, form: Mapping[str, Any]) -> web.Response:
        """The redirect once the person has decided, or the page with the next question."""
        answer, said = form.get("answer"), str(form.get("user", "")).strip()
        if answer == "deny":
            return _sent(self._authority.decide(request.query.items(), None))
        if not _NAME.fullmatch(said):
            return _page(pages.who_page(asked.client_id, said), 400)
        if answer == "allow":
            return _sent(self._authority.decide(request.query.items(), said))
        return _page(pages.consent_page(asked.client_id, asked.redirect_uri, asked.scopes, said, request.path_qs))

    async def _token(self, request: web.Request) -> web.Response:
        form = await _form(request)
        credential = dict(form).get("code") or dict(form).get("refresh_token") or ""
        answer = self._authority.exchange(form, request.headers)
        self._record(dict(form), request.headers, self._ledger.user_of(credential), answer)
        return _sent(answer)

    def _record(self, form: Mapping[str, str], headers: Mapping[str, str], user: str | None, answer: Answer) -> None:
        kind = _KINDS.get(form.get("grant_type", ""))
        if kind is None:
            return
        try:
            client_id = claimed_client(form, headers)
        except ValueError:
            client_id = ""
        error = answer.body.get("error")
        self.exchanges.append(TokenCall(kind, client_id, user, error is None, error))

    async def _revoke(self, request: web.Request) -> web.Response:
        return _sent(self._authority.revoke(await _form(request), request.headers))

    async def _avatar(self, request: web.Request) -> web.Response:
        return web.Response(text=pages.avatar(request.match_info["user"]), content_type="image/svg+xml")


async def _form(request: web.Request) -> list[tuple[str, str]]:
    """The fields of a form post; of anything else, none."""
    return [(name, value) for name, value in (await request.post()).items() if isinstance(value, str)]


def _page(html: str, status: int = 200) -> web.Response:
    return web.Response(text=html, status=status, content_type="text/html", headers=pages.HEADERS)


def _sent(answer: Answer) -> web.Response:
    """The answer over HTTP; redirects as 303, since what follows a form must be a GET (RFC 9700, 4.12)."""
    if answer.location is not None:
        headers = {"Location": answer.location, "Cache-Control": "no-store"}
        return web.Response(status=303, headers=headers)
    # Without Authlib's own Content-Type: aiohttp sets it with the body.
    headers = {name: value for name, value in answer.headers if name != "Content-Type"}
    return web.json_response(answer.body, status=answer.status, headers=headers)
