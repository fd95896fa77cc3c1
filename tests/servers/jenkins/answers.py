"""How the stand-in for Jenkins answers: pages, plain text, JSON, and the refusals among them."""

import html
from collections.abc import Mapping
from typing import Any

from aiohttp import web

HTML = "text/html;charset=UTF-8"
TEXT = "text/plain;charset=UTF-8"
JSON = "application/json;charset=UTF-8"


class Refusal(Exception):
    """What ends a request early, with its answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(said: Any) -> web.Response:
    """Return JSON."""
    return web.json_response(said)


def text(body: bytes) -> web.Response:
    """Return plain text."""
    return web.Response(body=body, headers={"Content-Type": TEXT})


def page(status: int, title: str, words: str, more: Mapping[str, str] | None = None) -> web.Response:
    """Return an HTML page; *words* is plain text, *more* are headers."""
    said = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{html.escape(words)}</p></body></html>"
    return web.Response(status=status, body=said.encode(), headers={"Content-Type": HTML, **(more or {})})


def oops(words: str) -> web.Response:
    """Return the page of an exception that nobody caught."""
    return page(500, "Oops!", f"A problem occurred while processing the request. {words}")


def login_page(request: web.Request) -> web.Response:
    """Return what nobody in particular gets: 403, and never a challenge."""
    if request.headers.get("X-Requested-With") == "XMLHttpRequest":
        return web.Response(status=403)
    return page(403, "Authentication required", "Authentication required", {"X-Hudson": "1.395"})


def wants_post() -> web.Response:
    """Return the refusal of a GET that would change something."""
    return page(405, "Method Not Allowed", "This URL requires POST", {"Allow": "POST"})
