"""The listener: what a browser may ask of the bot, and the little that it is told.

It stands at the edge of the internet, so it works by what it lets in.  Each address is one
of a short table; the Host header must name us, and names nothing else: no URL is ever built
from a request, and there is no redirect parameter (A15, A16).  Looking at a page changes
nothing, so that link previews may (A7).  What does change something is a POST from our own
page (A18).  Whatever is answered carries the same strict headers, also what cannot be read
at all.

One address is an exception to the rule about looking: a provider sends browsers back to
``/callback`` by GET.  The cookie of the attempt stands in for the form token there.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Protocol
from urllib.parse import unquote, urlsplit

from aiohttp import web

from omnibot.edge import CLIENT, ROUTE, Server, Stopped, body, client, fields
from omnibot.errors import StorageTrouble, VaultError
from omnibot.linking.flows import FLOW_SECONDS, UNDO_SECONDS, Asking, Attempt, FlowError, Outcome
from omnibot.pages import ENDED_WORDS, HTTP_WORDS, INDEX_WORDS, KEY_LATER, STYLE, Pages, Words, flow_words

log = logging.getLogger(__name__)

COOKIE_SECONDS = int(FLOW_SECONDS + UNDO_SECONDS)
"""How long a browser keeps an attempt's cookie: until the last moment of *This was not me*."""

_MOST_ATTEMPTS = 24
"""Attempts whose cookies one browser keeps, or they would outgrow what a header may hold."""

_FORM = "application/x-www-form-urlencoded"
_SEGMENT = r"[A-Za-z0-9._~%:@!$+-]{1,300}"
_WORD = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""A ticket, a flow's id, a cookie of ours."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Server": "omnibot",
}


_INWARD = re.compile(r"/(healthz|readyz)(/|$)")
"""What is told to whoever asks by a local name, also where the bot has a public one."""


class LinkingPages(Protocol):
    """What the listener needs of linking.  Every step may raise `FlowError`."""

    async def look(self, ticket: str, /) -> Asking:
        """Return who asks for what with *ticket*; nothing changes."""
        ...

    async def authorise(self, ticket: str, /) -> Attempt:
        """Begin this browser's attempt; an earlier one is over."""
        ...

    async def refuse(self, ticket: str, /) -> Asking:
        """End the flow of *ticket*."""
        ...

    async def callback(
        self, provider: str, instance: str, query: Sequence[tuple[str, str]], cookies: Mapping[str, str], /
    ) -> Attempt:
        """Take a provider's answer from a browser that holds *cookies* (by flow); return where that goes next."""
        ...

    async def enter(self, flow: str, cookie: str, key: str, /) -> None:
        """Take the *key* that the browser holding the *cookie* of *flow* typed in."""
        ...

    async def outcome(self, flow: str, cookie: str, /) -> Outcome:
        """Return where *flow* stands, to the browser that holds its *cookie*."""
        ...

    async def disconnect(self, flow: str, cookie: str, /) -> Outcome:
        """End *flow*, and undo what came of it."""
        ...


type Handler = Callable[..., Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class _Route:
    """One address: its methods, and the *template* by which the log calls it."""

    template: str
    handlers: Mapping[str, Handler]
    pattern: re.Pattern[str]


class Listener:
    """Serves the pages of linking, and the health of the bot, on one port.

    *public_url* is the address people reach it by; None where there is none, and accounts are
    linked by pasting.  With port 0 the system picks one, and `port` tells.  *trusted_proxies*
    are addresses or networks whose X-Forwarded-For is believed, for the log and nothing else.
    """

    def __init__(
        self,
        linking: LinkingPages,
        *,
        public_url: str | None,
        host: str,
        port: int,
        trusted_proxies: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        health: Callable[[], Mapping[str, object]] = dict,
        ready: Callable[[str], Mapping[str, object] | None] = lambda _: None,
        prove: Callable[[str], str] | None = None,
    ) -> None:
        """Keep what is needed; nothing listens yet."""
        self._linking = linking
        self._host = host
        self._port = port
        self._proxies = tuple(ip_network(one, strict=False) for one in trusted_proxies)
        self._health = health
        self._ready = ready
        self._prove = prove
        self._pages = Pages(clock)
        self._public_hosts = _spellings(public_url)
        self._secure = public_url is not None and public_url.startswith("https:")
        self._prefix = "__Host-ob-" if self._secure else "ob-"
        self._cookie = re.compile(f"{self._prefix}({_WORD.pattern})=({_WORD.pattern})")
        self._headers = dict(_HEADERS)
        if self._secure:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"
        self._form_key = secrets.token_bytes(32)
        self._routes = self._table()
        self._server = Server(self._handle, self._unreadable)

    @property
    def port(self) -> int:
        """The port: once started, the one really listened on."""
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: host and port cannot be listened on.
        """
        self._port = await self._server.start(self._host, self._port)
        log.info("listening on %s port %s", self._host, self._port)

    async def stop(self) -> None:
        """Take no more requests, and let those under way end; harmless when nothing listens."""
        await self._server.stop()

    # -- every request -----------------------------------------------------------------

    def _table(self) -> tuple[_Route, ...]:
        """Return every address there is.  Who may GET may HEAD, but where a GET spends something."""
        return (
            _route("/", GET=self._index, HEAD=self._index),
            _route("/style.css", GET=self._style, HEAD=self._style),
            _route("/robots.txt", GET=self._robots, HEAD=self._robots),
            _route("/healthz", GET=self._healthz, HEAD=self._healthz),
            _route("/readyz", GET=self._readyz, HEAD=self._readyz),
            _route("/readyz/{network}", GET=self._readyz, HEAD=self._readyz),
            _route("/check/{nonce}", GET=self._check),
            _route("/l/{ticket}", GET=self._look, HEAD=self._look, POST=self._continue),
            _route("/l/{ticket}/refuse", POST=self._refuse),
            _route("/callback/{provider}/{instance}", GET=self._callback),
            _route("/f/{flow}", GET=self._outcome, HEAD=self._outcome),
            _route("/f/{flow}/key", POST=self._key),
            _route("/f/{flow}/disconnect", POST=self._disconnect),
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*, whatever goes wrong."""
        request[CLIENT] = client(request, self._proxies)
        try:
            response = await self._dispatch(request)
        except FlowError as error:
            response = self._page(flow_words(error.code))
        except VaultError as error:
            log.error("%s in %s", type(error).__name__, request.get(ROUTE, "-"))
            response = self._page(flow_words("vault"))
        except StorageTrouble as error:
            log.info("%s could not be answered: %s", request.get(ROUTE, "-"), error)
            response = self._page(HTTP_WORDS[507])
        except Stopped as stopped:
            response = self._page(HTTP_WORDS[stopped.status])
            response.headers.update(stopped.headers)
        except Exception as error:  # noqa: BLE001 - whatever it is, the browser gets a page and the log a place
            response = self._broken(request, error)
        response.headers.update(self._headers)
        return response

    async def _dispatch(self, request: web.BaseRequest) -> web.Response:
        path = request.rel_url.raw_path
        if not self._is_us(request, path):
            raise Stopped(421)
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is None:
                continue
            request[ROUTE] = route.template
            handler = route.handlers.get(request.method)
            if handler is None:
                raise Stopped(405, Allow=", ".join(route.handlers))
            return await handler(request, **found.groupdict())
        raise Stopped(404)

    def _is_us(self, request: web.BaseRequest, path: str) -> bool:
        """Whether the one Host header names us: in public, or locally where that is all there is (A16)."""
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1:
            return False
        if hosts[0].lower() in self._public_hosts:
            return True
        return (not self._public_hosts or _INWARD.match(path) is not None) and self._is_local(request, hosts[0])

    def _is_local(self, request: web.BaseRequest, host: str) -> bool:
        """Whether *host* is where we listen; a proxy or a container may have changed the port."""
        name = re.sub(r":\d{1,5}$", "", host.lower()).strip("[]")
        own = request.get_extra_info("sockname") or ("",)
        return name in {"localhost", "127.0.0.1", "::1", self._host.lower(), str(own[0]).lower()}

    def _page(self, words: Words, *, ref: str = "") -> web.Response:
        return _html(self._pages.words(words, ref=ref), words.status)

    def _broken(self, request: web.BaseRequest, error: Exception) -> web.Response:
        """Log where *error* came from, not what it says: that may be anything (A40)."""
        ref = secrets.token_hex(2).upper()
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("ref %s: %s in %s\n%s", ref, type(error).__name__, request.get(ROUTE, "-"), where)
        return self._page(HTTP_WORDS[500], ref=ref)

    def _unreadable(self, status: int) -> web.Response:
        """Answer what is no HTTP; nothing of it is repeated, neither here nor in the log."""
        response = self._page(HTTP_WORDS[400 if status < 500 else 500])
        response.headers.update(self._headers)
        return response

    # -- plain pages -------------------------------------------------------------------

    async def _index(self, request: web.BaseRequest) -> web.Response:
        return self._page(INDEX_WORDS)

    async def _style(self, request: web.BaseRequest) -> web.Response:
        return web.Response(body=STYLE, content_type="text/css", charset="utf-8")

    async def _robots(self, request: web.BaseRequest) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /\n")

    async def _healthz(self, request: web.BaseRequest) -> web.Response:
        return web.json_response({"status": "ok", **self._health()})

    async def _readyz(self, request: web.BaseRequest, network: str = "") -> web.Response:
        """Tell whether the bot, or it on one *network*, does all that it is there for: 200, else 503."""
        ready = self._ready(network)
        if ready is None:
            raise Stopped(404)
        return web.json_response(ready, status=200 if ready["ready"] else 503)

    async def _check(self, request: web.BaseRequest, nonce: str) -> web.Response:
        """Say what this process alone can say, for ``omnibot check`` to know that it came here (`omnibot.probe`)."""
        if self._prove is None:
            raise Stopped(404)
        return web.Response(text=self._prove(_word(nonce)))

    # -- linking -----------------------------------------------------------------------

    async def _look(self, request: web.BaseRequest, ticket: str) -> web.Response:
        asking = await self._linking.look(_word(ticket))
        cookie = self._form_cookie(request)
        page = self._pages.ask(asking, f"/l/{ticket}", lambda path: self._token(cookie, path))
        return self._with_form(request, _html(page), cookie)

    async def _continue(self, request: web.BaseRequest, ticket: str) -> web.Response:
        await self._check_form(request)
        attempt = await self._linking.authorise(_word(ticket))
        response = self._onward(attempt)
        older = [flow for flow in self._attempts(request) if flow != attempt.flow]
        for flow in older[: max(0, len(older) - _MOST_ATTEMPTS + 1)]:
            self._set_cookie(response, flow, "", 0)
        self._set_cookie(response, attempt.flow, attempt.cookie, COOKIE_SECONDS)
        return response

    def _onward(self, attempt: Attempt) -> web.Response:
        """Send a browser on: to the flow's own page, or away.

        Away not by a redirect: Chromium would hold the address against our form-action, or, on the way back
        from a provider's form, against that one's.
        """
        if attempt.here:
            return web.Response(status=303, headers={"Location": f"/f/{attempt.flow}"})
        return _html(self._pages.leave(attempt.url))

    async def _refuse(self, request: web.BaseRequest, ticket: str) -> web.Response:
        await self._check_form(request)
        await self._linking.refuse(_word(ticket))
        return self._page(ENDED_WORDS["refused"])

    async def _callback(self, request: web.BaseRequest, provider: str, instance: str) -> web.Response:
        try:
            query = fields(request.rel_url.raw_query_string)
        except ValueError:
            raise FlowError("bad_callback") from None
        try:
            attempt = await self._linking.callback(unquote(provider), unquote(instance), query, self._attempts(request))
        except FlowError as error:
            words = flow_words(error.code)
            # The address is right; what came to it is not (A10).
            return _html(self._pages.words(words), 400 if words.status in (404, 410) else words.status)
        return self._onward(attempt)

    async def _outcome(self, request: web.BaseRequest, flow: str) -> web.Response:
        outcome = await self._linking.outcome(flow, self._attempt(request, flow))
        return self._shown(request, outcome)

    async def _key(self, request: web.BaseRequest, flow: str) -> web.Response:
        """Take a key from our form; one that is no good may be typed again."""
        form = await self._check_form(request)
        held = self._attempt(request, flow)
        try:
            await self._linking.enter(flow, held, form.get("key", ""))
        except FlowError as error:
            problem = KEY_LATER if error.code == "unavailable" else flow_words(error.code)
            outcome = await self._linking.outcome(flow, held)
            if error.code == outcome.reason == "bad_key":  # that was the last
                return self._shown(request, outcome)
            if not outcome.wants_key:
                raise
            cookie = self._form_cookie(request)
            page = self._pages.key(outcome, lambda path: self._token(cookie, path), problem)
            return self._with_form(request, _html(page, problem.status), cookie)
        return web.Response(status=303, headers={"Location": f"/f/{flow}"})

    async def _disconnect(self, request: web.BaseRequest, flow: str) -> web.Response:
        await self._check_form(request)
        cookie = self._attempt(request, flow)
        try:
            outcome = await self._linking.disconnect(flow, cookie)
        except FlowError as error:
            if error.code != "expired":
                raise
            outcome = await self._linking.outcome(flow, cookie)  # too late: the page says what is left to do
        return self._shown(request, outcome)

    def _shown(self, request: web.BaseRequest, outcome: Outcome) -> web.Response:
        cookie = self._form_cookie(request)
        page = self._pages.outcome(outcome, lambda path: self._token(cookie, path))
        return self._with_form(request, _html(page), cookie)

    # -- cookies -----------------------------------------------------------------------

    def _cookies(self, request: web.BaseRequest) -> dict[str, str]:
        """Return our cookies by what follows the prefix; others, and odd ones, are not seen."""
        pairs = ";".join(request.headers.getall("Cookie", [])).split(";")
        found = (self._cookie.fullmatch(pair.strip()) for pair in pairs)
        return {match[1]: match[2] for match in found if match}

    def _attempts(self, request: web.BaseRequest) -> dict[str, str]:
        """Return the cookies of the attempts made in this browser, by flow, oldest first."""
        return {name: value for name, value in self._cookies(request).items() if name != "form"}

    def _attempt(self, request: web.BaseRequest, flow: str) -> str:
        """Return the cookie of *flow*.

        Raises:
            FlowError: this browser has none.
        """
        cookie = self._attempts(request).get(_word(flow))
        if cookie is None:
            raise FlowError("other_browser")
        return cookie

    def _set_cookie(self, response: web.Response, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(
            self._prefix + name,
            value,
            max_age=seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )

    # -- forms -------------------------------------------------------------------------

    def _form_cookie(self, request: web.BaseRequest) -> str:
        """Return what form tokens hang on; empty for a browser that tells where requests come from."""
        if "Sec-Fetch-Site" in request.headers:
            return ""
        return self._cookies(request).get("form") or secrets.token_urlsafe(32)

    def _with_form(self, request: web.BaseRequest, response: web.Response, cookie: str) -> web.Response:
        """Set the form cookie where the page has tokens and the browser does not hold it yet."""
        if cookie and self._cookies(request).get("form") != cookie:
            self._set_cookie(response, "form", cookie, None)
        return response

    def _token(self, cookie: str, path: str) -> str:
        """Return the token for a form that posts to *path*; empty without a *cookie*."""
        if not cookie:
            return ""
        return hashlib.blake2b(f"{cookie} {path}".encode(), key=self._form_key, digest_size=32).hexdigest()

    async def _check_form(self, request: web.BaseRequest) -> dict[str, str]:
        """Let only what our own page sent pass (A18); return its fields.

        Browsers of today say themselves where a request comes from, and no page can make them
        lie.  Origin would not do: under ``no-referrer`` they send ``null`` for our own page too.
        For those that do not say, a token shows that the sender could read our page.
        """
        if request.content_type != _FORM:
            raise Stopped(415)
        site = request.headers.getall("Sec-Fetch-Site", [])
        if site and site != ["same-origin"]:
            raise Stopped(403)
        try:
            form = dict(fields(await body(request)))
        except ValueError:
            raise Stopped(400) from None
        expected = self._token(self._cookies(request).get("form", ""), request.rel_url.raw_path)
        given = form.get("form", "")
        if not site and not (expected and hmac.compare_digest(expected.encode(), given.encode())):
            raise Stopped(403)
        return form


def _route(template: str, **handlers: Handler) -> _Route:
    pattern = re.sub(r"\\{(\w+)\\}", rf"(?P<\1>{_SEGMENT})", re.escape(template))
    return _Route(template, handlers, re.compile(pattern))


def _html(page: str, status: int = 200) -> web.Response:
    return web.Response(text=page, status=status, content_type="text/html", charset="utf-8")


def _word(text: str) -> str:
    """Return *text* if it can be a ticket or a flow's id.

    Raises:
        FlowError: it is not one of ours.
    """
    if not _WORD.fullmatch(text):
        raise FlowError("unknown")
    return text


def _spellings(public_url: str | None) -> frozenset[str]:
    """Return how a Host header may spell *public_url*'s host."""
    if public_url is None:
        return frozenset()
    parts = urlsplit(public_url.lower())
    port = {"https": 443, "http": 80}.get(parts.scheme)
    bare = parts.netloc.removesuffix(f":{port}")
    return frozenset({bare, f"{bare}:{port}"}) if parts.port in (None, port) else frozenset({bare})
