"""What goes wrong with a request of the bot's, on demand.

A *route* is a method and a path with ``*`` in it, as ``POST /channels/*/messages``; a lone ``*`` is every request.
Tokens in a path are not written out, so the path of a followup is ``/webhooks/*``.
"""

import asyncio
import json
import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from aiohttp import web

from servers.discord.errors import ApiError

PAGE = "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>Error {status}</h1></body></html>"


@dataclass(eq=False)
class Fault:
    """Something that goes wrong with the next `times` requests of `route`."""

    route: str
    times: float
    status: int = 0
    code: int = 0
    """A JSON error code, with `status`; nothing is an error page in HTML."""

    slow: float = 0.0
    cut: bool = False
    done: bool = False
    """Whether the request is carried out all the same, and only its answer is not heard."""

    retry_after: float = 0.0
    is_global: bool = False
    via: bool = True
    hits: int = 0
    """How often it has struck."""


@dataclass
class Faults:
    """The faults that there are; the last that was set for a route holds."""

    all: list[Fault] = field(default_factory=list)

    def rate_limit(
        self, route: str = "*", retry_after: float = 0.3, *, times: float = 1, is_global: bool = False
    ) -> Fault:
        """Answer 429 as Discord does, with ``Via`` and ``retry_after`` in seconds (Rate Limits)."""
        return self._add(Fault(route, times, 429, retry_after=retry_after, is_global=is_global))

    def cloudflare(self, route: str = "*", *, times: float = 1) -> Fault:
        """Answer 429 with a page and without ``Via``, as Cloudflare does to who is shut out."""
        return self._add(Fault(route, times, 429, via=False))

    def fail(self, route: str = "*", status: int = 500, *, times: float = 1, done: bool = False) -> Fault:
        """Answer with a page of that *status*; if *done*, after the request was carried out."""
        return self._add(Fault(route, times, status, done=done))

    def refuse(self, route: str, status: int, code: int, *, times: float = 1) -> Fault:
        """Answer with a JSON error *code* of Discord's."""
        return self._add(Fault(route, times, status, code))

    def slow(self, route: str = "*", seconds: float = 1.0, *, times: float = math.inf) -> Fault:
        """Let requests wait so long before they are carried out."""
        return self._add(Fault(route, times, slow=seconds))

    def cut(self, route: str = "*", *, times: float = 1, done: bool = False) -> Fault:
        """Cut the connection instead of answering; if *done*, after the request was carried out."""
        return self._add(Fault(route, times, cut=True, done=done))

    def clear(self) -> None:
        """Let everything go well again."""
        self.all.clear()

    def strike(self, method: str, path: str) -> Fault | None:
        """Return the fault that a request meets, and count it."""
        for one in reversed(self.all):
            if one.hits < one.times and (one.route == "*" or fnmatchcase(f"{method} {path}", one.route)):
                one.hits += 1
                return one
        return None

    def _add(self, fault: Fault) -> Fault:
        self.all.append(fault)
        return fault


async def suffer(fault: Fault, request: web.Request) -> web.StreamResponse | None:
    """Return what is answered instead, or nothing where the request goes on."""
    await asyncio.sleep(fault.slow)
    if fault.cut:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    if fault.status == 429 and fault.via:
        return _limited(fault)
    if fault.code:
        raise ApiError(fault.status, {"message": "Refused on demand", "code": fault.code})
    if fault.status:
        headers = {} if fault.status == 429 else {"Via": "1.1 google"}
        return web.Response(
            status=fault.status, text=PAGE.format(status=fault.status), content_type="text/html", headers=headers
        )
    return None


def _limited(fault: Fault) -> web.Response:
    body = {
        "message": "You are being rate limited.",
        "retry_after": fault.retry_after,
        "global": fault.is_global,
    }
    headers = {
        "Via": "1.1 google",
        "Retry-After": str(math.ceil(fault.retry_after)),
        "X-RateLimit-Scope": "global" if fault.is_global else "user",
        **({"X-RateLimit-Global": "true"} if fault.is_global else {}),
    }
    return answer(body, 429, headers)


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return *body* as JSON, whose type is given without a charset, as Discord does."""
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Via": "1.1 google", **(headers or {})},
    )
