"""The toy API behind the demo provider: who am I, and notes that belong to whoever the token names."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from omnibot.demo.ledger import Ledger, Token
from omnibot.demo.pages import display_name

LONGEST = 2000
KEY_HEADER = "X-Demo-Key"
"""Where an API key is sent; it counts in the place of an access token."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """An API call that carried a good token, whether or not its scopes sufficed."""

    user: str
    method: str
    path: str
    token: str = field(repr=False)


class NotesApi:
    """Notes by person, in memory; each person's are numbered from 1 and no number comes back.

    They can be exported, which takes *export_seconds* each time: something to wait for.
    """

    def __init__(self, ledger: Ledger, record: Callable[[ApiCall], None], export_seconds: float = 3.0) -> None:
        self.export_seconds = export_seconds
        self._exports: dict[str, list[float]] = {}
        """When each person's exports were begun, in the monotonic clock's seconds; numbered from 1."""
        self._ledger = ledger
        self._record = record
        self._notes: dict[str, dict[int, str]] = {}
        self._written: dict[str, int] = {}

    def routes(self) -> list[web.RouteDef]:
        """Where the API is served."""
        return [
            web.get("/api/me", self._me),
            web.get("/api/notes", self._list),
            web.post("/api/notes", self._write),
            web.get(r"/api/notes/{n:\d{1,9}}", self._read),
            web.delete(r"/api/notes/{n:\d{1,9}}", self._delete),
            web.post("/api/exports", self._export),
            web.get(r"/api/exports/{n:\d{1,9}}", self._exported),
        ]

    def of(self, user: str) -> dict[int, str]:
        """The notes of *user* by number."""
        return dict(self._notes.get(user, {}))

    async def _me(self, request: web.Request) -> web.Response:
        user = self._user(request)
        avatar = f"{request.url.origin()}/avatar/{user}.svg"
        return web.json_response({"id": f"u-{user}", "login": user, "name": display_name(user), "avatar": avatar})

    async def _list(self, request: web.Request) -> web.Response:
        notes = self.of(self._user(request, "notes:read"))
        return web.json_response([_shown(n, text) for n, text in notes.items()])

    async def _write(self, request: web.Request) -> web.Response:
        user = self._user(request, "notes:write")
        text = await _sent_text(request)
        self._written[user] = n = self._written.get(user, 0) + 1
        self._notes.setdefault(user, {})[n] = text
        return web.json_response(_shown(n, text), status=201, headers={"Location": f"/api/notes/{n}"})

    async def _read(self, request: web.Request) -> web.Response:
        n, notes = _number(request), self.of(self._user(request, "notes:read"))
        if n not in notes:
            raise _error(web.HTTPNotFound, "not_found", f"You have no note {n}.")
        return web.json_response(_shown(n, notes[n]))

    async def _delete(self, request: web.Request) -> web.Response:
        n, user = _number(request), self._user(request, "notes:write")
        if self._notes.get(user, {}).pop(n, None) is None:
            raise _error(web.HTTPNotFound, "not_found", f"You have no note {n}.")
        return web.Response(status=204)

    async def _export(self, request: web.Request) -> web.Response:
        begun = self._exports.setdefault(self._user(request, "notes:read"), [])
        begun.append(time.monotonic())
        return web.json_response({"id": len(begun)}, status=202, headers={"Location": f"/api/exports/{len(begun)}"})

    async def _exported(self, request: web.Request) -> web.Response:
        n, user = _number(request), self._user(request, "notes:read")
        begun = self._exports.get(user, [])
        if not 0 < n <= len(begun):
            raise _error(web.HTTPNotFound, "not_found", f"You have no export {n}.")
        passed = time.monotonic() - begun[n - 1]
        percent = 100 if passed >= self.export_seconds else int(100 * passed / self.export_seconds)
        return web.json_response({"id": n, "percent": percent, "notes": len(self.of(user))})

    def _user(self, request: web.Request, scope: str | None = None) -> str:
        """Whose token *request* carries, if it is good and allows *scope*."""
        token = self._token(request)
        user = token.family.user
        self._record(ApiCall(user, request.method, request.path, token.value))
        if scope is not None and scope not in token.scopes:
            raise _bearer_error(web.HTTPForbidden, "insufficient_scope", f"This needs {scope}.", scope)
        return user

    def _token(self, request: web.Request) -> Token:
        key = request.headers.get(KEY_HEADER)
        if key is not None:
            return _good(self._ledger.key(key))
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            # RFC 6750, section 3.1: who sent no token is told no error code.
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="demo"'})
        return _good(self._ledger.access(value.strip()))


def _good(token: Token | None) -> Token:
    if token is None:
        raise _bearer_error(web.HTTPUnauthorized, "invalid_token", "Unknown, expired or revoked.")
    return token


async def _sent_text(request: web.Request) -> str:
    try:
        sent = await request.json()
    except ValueError:
        sent = None
    text = sent.get("text") if isinstance(sent, dict) else None
    if not isinstance(text, str) or not 0 < len(text.strip()) <= LONGEST:
        raise _error(web.HTTPBadRequest, "bad_request", f'Send {{"text": …}}, 1 to {LONGEST} characters.')
    return text.strip()


def _number(request: web.Request) -> int:
    return int(request.match_info["n"])


def _shown(n: int, text: str) -> dict[str, Any]:
    return {"id": n, "text": text}


def _error(kind: type[web.HTTPError], code: str, text: str, **headers: str) -> web.HTTPError:
    body = json.dumps({"error": code, "error_description": text})
    return kind(text=body, content_type="application/json", headers=headers)


def _bearer_error(kind: type[web.HTTPError], code: str, text: str, scope: str = "") -> web.HTTPError:
    challenge = f'Bearer realm="demo", error="{code}", error_description="{text}"'
    if scope:
        challenge += f', scope="{scope}"'
    return _error(kind, code, text, **{"WWW-Authenticate": challenge})
