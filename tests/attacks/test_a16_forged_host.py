"""A16: forged host.

Mallory names another host in a request that she sends, or has a careless proxy pass on, so that the
redirect address or a link is built from her host and the code is delivered to her.

What must hold: the redirect address and every link are built from `public_url` alone; a request that names
us otherwise is answered 421, and has no effect; what a proxy says of host and scheme is not read.

What remains: an operator who writes the wrong `public_url`.
"""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from attacks.helpers import SAME_ORIGIN, answered, ends, fetch, stopping
from omnibot.testing.bench import ADA, Bench
from omnibot.web import Listener

FORWARDED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=192.0.2.1;host=evil.example;proto=https",
    "X-Original-Host": "evil.example",
    "X-Host": "evil.example",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/",
}


@pytest.mark.attack("A16", sabotage=lambda patch: patch.setattr(Listener, "_is_us", lambda *_: True))
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1",
        "localhost:{port}",
        "127.1:{port}",
    ],
)
async def test_a_request_for_another_host_is_refused(bench: Bench, host: str) -> None:
    """Neither page, nor button, nor callback is served under a name that is not ours; nothing happens."""
    named = {"Host": host.format(port=bench.plan.port)}
    async with stopping(bench.plan) as person:
        url = await answered(bench, person)
        link = bench.link_for(ADA)
        pages = [
            await fetch(link, headers=named),
            await fetch(link, method="POST", headers={**named, **SAME_ORIGIN}),
            await fetch(f"{link}/refuse", method="POST", headers={**named, **SAME_ORIGIN}),
            await fetch(url, headers=named),
        ]

    assert [421] * 4 == [page.status for page in pages]
    assert not [page for page in pages if "evil" in page.text or "Location" in page.headers]
    assert [("open", "")] == await ends(bench)


def believing_the_proxy(patch: pytest.MonkeyPatch) -> None:
    """Build the redirect address from what a proxy says of our host."""
    leave = Listener._continue

    async def forwarded(self: Listener, request: web.BaseRequest, ticket: str) -> web.Response:
        page = await leave(self, request, ticket)
        host = request.headers.get("X-Forwarded-Host", request.headers["Host"])
        page.text = str(page.text).replace(request.headers["Host"].replace(":", "%3A"), host)
        return page

    patch.setattr(Listener, "_continue", forwarded)


@pytest.mark.attack("A16", sabotage=believing_the_proxy)
async def test_the_redirect_address_is_the_configured_one(bench: Bench) -> None:
    """However a request is forwarded, the provider is given our own address, and the page names no other."""
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    page = await fetch(link, method="POST", headers={**SAME_ORIGIN, **FORWARDED})
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page.text)
    assert found is not None, page.text
    asked = parse_qs(urlsplit(unescape(found[1])).query)

    assert [f"{bench.core.options.public_url}/callback/demo/default"] == asked["redirect_uri"]
    assert "evil" not in page.text
    assert link.startswith(f"{bench.core.options.public_url}/l/")
