"""Secrets that a service has seen pass, and whether they show where they do not belong."""

import asyncio
import base64
import contextlib
import gc
import json
import secrets
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web

from omnibot.demo.faults import Handler
from omnibot.demo.ledger import SCOPES, Family, Token, TokenAnswer
from omnibot.demo.notes import KEY_HEADER
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench

NAMES = ("code", "state", "code_verifier", "refresh_token", "access_token", "token", "client_secret")
"""Parameters and fields that hold a secret."""


class Listening(DemoProvider):
    """A demo service that keeps every secret that it is sent, or sends."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()
        self.arrived = asyncio.Event()

    def _app(self) -> web.Application:
        app = super()._app()
        app.middlewares.insert(0, self._listen)
        return app

    @web.middleware
    async def _listen(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.arrived.set()
        self._keep(request.query.items())
        self._keep((await request.post()).items())
        if KEY_HEADER in request.headers:
            self.secrets.add(request.headers[KEY_HEADER])
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            self.secrets |= {credential, base64.b64decode(credential).decode().partition(":")[2]}
        elif scheme:
            self.secrets.add(credential)
        answer = await handler(request)
        self._keep(parse_qsl(urlsplit(answer.headers.get("Location", "")).query))
        if isinstance(answer, web.Response) and answer.content_type == "application/json" and answer.text:
            with contextlib.suppress(ValueError):
                said = json.loads(answer.text)
                self._keep(said.items() if isinstance(said, dict) else ())
        return answer

    def _keep(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.secrets |= {str(value) for name, value in pairs if name in NAMES and value}


def shown(errors: Iterable[BaseException]) -> str:
    """Return all that can be printed of *errors*: text, arguments, attributes, and what they came from."""
    return "\n".join(f"{''.join(traceback.format_exception(one))} {one!r} {one.args!r} {vars(one)!r}" for one in errors)


def found(secrets: Iterable[str], text: str) -> list[str]:
    """Return which of *secrets* is in *text*, be it its tail alone, as where asyncio shortens an argument."""
    return [one for one in secrets if len(one) >= 8 and (one in text or (len(one) >= 20 and one[-12:] in text))]


class Echoing(Listening):
    """A service whose tokens and keys look as most do, 40 hexadecimal digits, and which repeats what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.echo = ""
        """Where it repeats it, one of `ECHOES`; empty: nowhere."""

        self.echo_path = "/"
        """Under which path."""

        mint = self._ledger.mint

        def plain(scopes: Sequence[str], seconds: int | None) -> TokenAnswer:
            answer = mint(scopes, seconds)
            answer["access_token"], answer["refresh_token"] = secrets.token_hex(20), secrets.token_hex(20)
            return answer

        self._ledger.mint = plain  # type: ignore[method-assign]

    def key_for(self, user: str) -> str:
        """A new key of *user*'s, beside those there are."""
        value, everything = secrets.token_hex(20), tuple(SCOPES)
        self._ledger._keys[value] = Token("access", value, Family(user, "", everything), everything)
        self.secrets.add(value)
        return value

    def _app(self) -> web.Application:
        app = super()._app()
        app.middlewares.insert(1, self._repeat)
        return app

    @web.middleware
    async def _repeat(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.echo or not request.path.startswith(self.echo_path):
            return await handler(request)
        said = [request.headers[KEY_HEADER]] if KEY_HEADER in request.headers else []
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if credential:
            said.append(base64.b64decode(credential).decode().partition(":")[2] if scheme == "Basic" else credential)
        said += [str(value) for name, value in (await request.post()).items() if name in NAMES]
        return ECHOES[self.echo](said or ["nothing"])


def _json(status: int, **said: str) -> web.Response:
    return web.json_response(said, status=status)


ECHOES: Mapping[str, Callable[[list[str]], web.Response]] = {
    "error": lambda said: _json(400, error=said[-1], error_description=" ".join(said), error_uri=said[0]),
    "first error": lambda said: _json(400, error=said[0]),
    "unauthorised": lambda said: web.Response(
        status=401,
        text=" ".join(said),
        headers={"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{" ".join(said)}"'},
    ),
    "broken": lambda said: web.Response(status=500, text=" ".join(said), headers={"X-Request-Id": said[0]}),
    "reference": lambda said: web.Response(status=404, headers={"X-Request-Id": f"req-{said[-1]}"}),
    "redirect": lambda said: web.Response(
        status=302, headers={"Location": f"http://127.0.0.1:1/?token={'&t='.join(said)}"}
    ),
    "garbage": lambda said: web.Response(text=f"<p>{' '.join(said)}", content_type="text/html"),
    "broken JSON": lambda said: web.Response(text=f'{{"{said[0]}": ', content_type="application/json"),
    "name": lambda said: _json(200, id=said[0], login=said[0], name=said[-1], avatar=f"https://x.example/{said[0]}"),
    "headers": lambda said: web.Response(
        status=503,
        reason=said[0],
        headers={"Retry-After": said[0], "Server": said[0], "Set-Cookie": f"t={said[0]}", "X-Request-Id": said[0]},
    ),
}
"""How a service may repeat what it was sent, by name."""


def printed() -> str:
    """Return how every object of the bot's own that lives now prints itself, and every task."""
    ours = [one for one in gc.get_objects() if _is_ours(str(type(one).__module__))]
    return "\n".join([*map(repr, ours), *map(str, ours), *map(repr, asyncio.all_tasks())])


def _is_ours(module: str) -> bool:
    return module.startswith("omnibot.") and not module.startswith(("omnibot.demo", "omnibot.testing"))


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return what was logged, with its arguments; Authlib's loggers are the demo service's own here."""
    ours = [one for one in caplog.records if not one.name.startswith("authlib")]
    errors = [one.exc_info[1] for one in ours if one.exc_info and one.exc_info[1]]
    return "\n".join([*(f"{caplog.handler.format(one)} {one.args!r}" for one in ours), shown(errors)])


async def leaks(
    bench: Bench, caplog: pytest.LogCaptureFixture, secrets: Iterable[str], pages: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Return where which of *secrets* shows: in log, chat, *pages*, audit, on the disk, in what prints itself."""
    await bench.core.audit.flush()
    audit = json.dumps(await bench.rows("SELECT * FROM audit"), default=str)
    files = [one for one in (bench.plan.directory / "data").rglob("*") if one.is_file()]
    places = {
        "log": logged(caplog),
        "chat": "\n".join(
            f"{said.reply.text} {said.reply.choices} {said.text}" for one in bench.networks for said in one.said
        ),
        "pages": "\n".join(pages),
        "audit": audit,
        "disk": "\n".join(one.read_bytes().decode("latin-1") for one in files),
        "repr": printed(),
    }
    return {place: shows for place, text in places.items() if (shows := found(secrets, text))}
