"""What the stand-ins for social services share: a listener on loopback, plain pages, and faults to switch on.

They run in the test's own loop.  Nothing here knows any service.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from types import TracebackType
from typing import Any, Self

from aiohttp import web

PEOPLE = ("alice", "bob", "carol")
"""Who has an account at every stand-in; the password is ``pw-<login>``."""


@dataclass(slots=True)
class Fault:
    """What is answered in place of the service's own answer, until it has been given *times* times."""

    path: str
    """How the paths begin that it befalls."""

    status: int
    body: Any
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    late: bool = False
    """Whether the service does first what it was asked: then only its answer is lost."""


class Refusal(Exception):
    """What is answered in place of what was asked."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class StandIn:
    """A service that listens on a free port of 127.0.0.1 inside ``async with``."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        """Method and path of every request, in order: ``GET /2/users/me``."""

        self._faults: list[Fault] = []
        self._runner: web.AppRunner | None = None
        self._port = 0

    def routes(self) -> Iterable[web.RouteDef]:
        """Return what it answers to."""
        raise NotImplementedError

    async def unknown(self, request: web.Request) -> web.StreamResponse:
        """Answer to what it does not know."""
        return web.json_response({"error": "Not Found"}, status=404)

    @property
    def origin(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def fault(self, fault: Fault) -> None:
        """Let *fault* befall the next requests that it fits."""
        self._faults.append(fault)

    async def __aenter__(self) -> Self:
        """Listen; one that was closed comes back at the same port, with all that it knew."""

        @web.middleware  # which marks what it is given, as a bound method cannot be
        async def noting(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            return await self._noting(request, handler)

        app = web.Application(middlewares=[noting])
        app.add_routes(self.routes())
        app.router.add_route("*", "/{rest:.*}", self.unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        assert self._runner is not None
        await self._runner.cleanup()

    async def _noting(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        for fault in self._faults:
            if fault.times > 0 and request.path.startswith(fault.path):
                fault.times -= 1
                if fault.late:
                    with suppress(Refusal):
                        await handler(request)
                return _answer(fault)
        try:
            return await handler(request)
        except Refusal as refusal:
            return refusal.answer


def _answer(fault: Fault) -> web.Response:
    if isinstance(fault.body, str):
        return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
    return web.json_response(fault.body, status=fault.status, headers=fault.headers)


def page(title: str, body: str, status: int = 200) -> web.Response:
    """Return a page; *body* is HTML."""
    text = f"<!doctype html><title>{escape(title)}</title><h1>{escape(title)}</h1>{body}"
    return web.Response(text=text, content_type="text/html", status=status)


def consent_page(title: str, action: str, hidden: Mapping[str, str], no: str, said: str = "") -> web.Response:
    """Return the page where a person signs in and allows; the button *no* refuses, *said* is what went wrong."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    form = (
        f'<p>{escape(said)}</p><form method="post" action="{escape(action)}">{fields}'
        '<input name="login"><input name="password" type="password">'
        '<button name="do" value="yes">Authorize</button></form>'
        f'<form method="post" action="{escape(action)}">{fields}'
        f'<input type="hidden" name="do" value="no"><button>{escape(no)}</button></form>'
    )
    return page(title, form)


def signed_in(form: Mapping[str, Any]) -> str:
    """Return who signed in with *form*; empty if nobody did."""
    login = str(form.get("login", ""))
    return login if login in PEOPLE and form.get("password") == f"pw-{login}" else ""
