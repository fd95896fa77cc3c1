"""A request of the REST API: how it comes in, who may make it, how it is answered and what is written down of it."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from aiohttp import web

from servers.discord.errors import ApiError, invalid, refusal, unauthorized
from servers.discord.faults import Faults, answer, suffer
from servers.discord.wire import Changes, Clock, Json

PREFIX = "/api/v10"
FILE_LIMIT = 10 * 1024 * 1024
"""Bytes that a file may have (Uploading Files)."""

_TOKENS = re.compile(r"^(/interactions/\d+|/webhooks/\d+)/[^/]+")

type Handler = Callable[["Call"], Awaitable[object]]
type Auth = Literal["bot", "bearer", "none"]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came, with its field's number: ``files[0]``."""

    number: int
    filename: str
    data: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(eq=False)
class Request:
    """A request that was made, without the token that may be in its path."""

    method: str
    path: str
    """Under ``/api/v10``, for example ``/channels/1/messages``; in ``/webhooks/2/…`` the token is a ``…``."""

    query: Mapping[str, str]
    json: Any = field(repr=False)
    files: tuple[Upload, ...] = ()
    time: float = 0.0
    status: int = 0
    """What it was answered with; 0 while it is not, or never was."""

    answer: Any = field(default=None, repr=False)

    def matches(self, route: str) -> bool:
        """Return whether it is of *route*, as ``POST /channels/*/messages``."""
        return fnmatchcase(f"{self.method} {self.path}", route)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be made, for a handler."""

    params: Mapping[str, str]
    query: Mapping[str, str]
    body: object = field(repr=False)
    files: tuple[Upload, ...] = ()
    bearer: str = field(default="", repr=False)

    @property
    def json(self) -> Json:
        """The body, which is an object.

        Raises:
            ApiError: it is not.
        """
        if not isinstance(self.body, dict):
            raise invalid("", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return self.body


class Api:
    """Answers what is asked under ``/api/v10``, and keeps the record."""

    def __init__(self, token: str, faults: Faults, clock: Clock, changes: Changes) -> None:
        self._token = token
        self._faults = faults
        self._clock = clock
        self._changes = changes
        self.requests = list[Request]()

    def route(self, method: str, path: str, handler: Handler, auth: Auth = "bot") -> web.RouteDef:
        """Return the route by which *handler* is asked; what it returns is the JSON, and nothing is a 204."""

        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, handler, auth)

        return web.route(method, PREFIX + path, serve)

    async def _serve(self, request: web.Request, handler: Handler, auth: Auth) -> web.StreamResponse:
        path = _TOKENS.sub(r"\1/…", request.path.removeprefix(PREFIX))
        noted = Request(request.method, path, dict(request.query), None, time=self._clock.now())
        self.requests.append(noted)
        try:
            noted.json, noted.files = await _read(request)
            fault = self._faults.strike(request.method, path)
            instead = None if fault is None or fault.done else await suffer(fault, request)
            if instead is None:
                instead = answered = await self._ask(request, noted, handler, auth)
                if fault is not None and fault.done:
                    instead = await suffer(fault, request) or answered
        except ApiError as error:
            noted.answer = error.body
            instead = answer(error.body, error.status)
        noted.status = instead.status
        self._changes.notify()
        return instead

    async def _ask(self, request: web.Request, noted: Request, handler: Handler, auth: Auth) -> web.Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if auth == "bot" and (kind, token) != ("Bot", self._token):
            raise unauthorized()
        bearer = token if kind == "Bearer" else ""
        if auth == "bearer" and not bearer and (kind, token) != ("Bot", self._token):
            raise unauthorized()
        call = Call(request.match_info, noted.query, noted.json, noted.files, bearer)
        noted.answer = await handler(call)
        return web.Response(status=204, headers={"Via": "1.1 google"}) if noted.answer is None else answer(noted.answer)


async def _read(request: web.Request) -> tuple[object, tuple[Upload, ...]]:
    """Return the JSON and the files of *request* (Reference, "Uploading Files").

    Raises:
        ApiError: it is not JSON, or too large.
    """
    if request.content_type == "multipart/form-data":
        return await _read_parts(request)
    raw = await request.read()
    if not raw:
        return {}, ()
    if request.content_type != "application/json":
        raise invalid("", "CONTENT_TYPE_INVALID", 'Expected "Content-Type" header to be one of application/json.')
    return _parse(raw), ()


async def _read_parts(request: web.Request) -> tuple[object, tuple[Upload, ...]]:
    body: object = {}
    files = list[Upload]()
    form = await request.post()
    for name, value in form.items():
        if isinstance(value, web.FileField):
            found = re.fullmatch(r"files\[(\d+)\]", name)
            if found is None:
                raise invalid(name, "FILE_FIELD_INVALID", "Files come as files[n].")
            data = value.file.read()
            if len(data) > FILE_LIMIT:
                raise refusal(40005)
            files.append(Upload(int(found[1]), value.filename, data, value.content_type))
        elif name == "payload_json":
            body = _parse(value.encode() if isinstance(value, str) else bytes(value))
    return body, tuple(files)


def _parse(raw: bytes) -> object:
    try:
        found: object = json.loads(raw)
    except ValueError:
        raise refusal(50109) from None
    return found
