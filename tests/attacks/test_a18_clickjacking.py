"""A18: clickjacking, and forms sent from elsewhere.

A page of Mallory's frames ours under a harmless picture, or sends our form by itself, and so presses
Continue, Refuse or disconnect with the victim's hand.

What must hold: a POST has an effect only from our own page; no page of ours can be framed.

What remains: a browser that neither says where a request comes from nor honours `frame-ancestors`.
"""

import re
from collections.abc import Mapping

import pytest

from attacks.helpers import FORM, SAME_ORIGIN, answered, arrive, ends, fetch, stopping, stored
from omnibot import web as listener
from omnibot.demo.browser import Browser
from omnibot.testing.bench import ADA, Bench
from omnibot.web import Listener

ELSEWHERE = {
    "another site": ({"Sec-Fetch-Site": "cross-site", "Content-Type": FORM}, 403),
    "a neighbour": ({"Sec-Fetch-Site": "same-site", "Content-Type": FORM}, 403),
    "nowhere": ({"Sec-Fetch-Site": "none", "Content-Type": FORM}, 403),
    "an old browser": ({"Content-Type": FORM, "Origin": "https://evil.example"}, 403),
    "an old browser that claims to be ours": (
        {"Content-Type": FORM, "Origin": "{public}", "Referer": "{public}/"},
        403,
    ),
    "a made-up form cookie": ({"Content-Type": FORM, "Cookie": "ob-form=AAAA"}, 403),
    "plain text": ({"Sec-Fetch-Site": "same-origin", "Content-Type": "text/plain"}, 415),
    "a script": ({"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}, 415),
    "an upload": ({"Sec-Fetch-Site": "cross-site", "Content-Type": "multipart/form-data; boundary=x"}, 415),
}


async def from_anywhere(*_: object) -> None:
    """Take a form wherever it comes from."""


def filled(headers: Mapping[str, str], bench: Bench) -> dict[str, str]:
    return {name: value.format(public=bench.core.options.public_url) for name, value in headers.items()}


@pytest.mark.attack("A18", sabotage=lambda patch: patch.setattr(Listener, "_check_form", from_anywhere))
@pytest.mark.parametrize("sender", ELSEWHERE)
async def test_a_form_counts_from_our_own_page(bench: Bench, sender: str) -> None:
    """From anywhere else neither Continue nor Refuse has any effect, and the person's own still has."""
    headers, status = ELSEWHERE[sender]
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    go_on = await fetch(link, method="POST", data="form=guessed", headers=filled(headers, bench))
    refuse = await fetch(f"{link}/refuse", method="POST", data="form=guessed", headers=filled(headers, bench))

    assert [status, status] == [go_on.status, refuse.status]
    assert "Set-Cookie" not in go_on.headers
    assert [("open", "")] == await ends(bench)
    await bench.link()


@pytest.mark.attack("A18", sabotage=lambda patch: patch.setattr(Listener, "_check_form", from_anywhere))
async def test_disconnecting_counts_from_our_own_page(bench: Bench) -> None:
    """Even the browser that holds the attempt's cookie cannot be made to disconnect by another site."""
    async with stopping(bench.plan) as person:
        await arrive(person, await answered(bench, person))
        assert person._session is not None
        headers = {"Sec-Fetch-Site": "cross-site"}
        async with person._session.post(f"{person.url}/disconnect", data={"form": ""}, headers=headers) as answer:
            forged = answer.status
        left = await stored(bench)
        await person.press("This was not me")

    assert 403 == forged
    assert ["pending"] == left
    assert [] == await stored(bench)


@pytest.mark.attack("A18", sabotage=lambda patch: patch.setattr(Listener, "_token", lambda *_: "the same for all"))
async def test_a_token_counts_with_its_own_cookie_and_path(bench: Bench) -> None:
    """A browser that does not say where requests come from has to show a token, and no other's will do."""
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    mine, theirs = await fetch(link), await fetch(link)
    cookie = mine.headers["Set-Cookie"].partition(";")[0]
    tokens = [re.findall(r'name="form" value="([^"]*)"', page.text) for page in (mine, theirs)]
    headers = {"Content-Type": FORM, "Cookie": cookie}
    others = await fetch(link, method="POST", data=f"form={tokens[1][0]}", headers=headers)
    elsewhere = await fetch(link, method="POST", data=f"form={tokens[0][1]}", headers=headers)
    own = await fetch(link, method="POST", data=f"form={tokens[0][0]}", headers=headers)

    assert [403, 403, 200] == [others.status, elsewhere.status, own.status]


@pytest.mark.attack("A18", sabotage=lambda patch: patch.delitem(listener._HEADERS, "X-Frame-Options"))
async def test_no_page_can_be_framed(bench: Bench) -> None:
    """Each page says so in both ways that browsers know, whether there is something to press on it or not."""
    await bench.say("!link demo", ADA)
    link = bench.link_for(ADA)
    async with Browser() as person:
        await bench.authorise(person, link)
        assert person._session is not None
        async with person._session.get(person.url) as answer:
            code = dict(answer.headers)
    pages = [
        (await fetch(link)).headers,
        (await fetch(link, method="POST", headers=SAME_ORIGIN)).headers,
        (await fetch(f"{bench.core.options.public_url}/")).headers,
        code,
    ]

    assert ["DENY"] * 4 == [headers.get("X-Frame-Options") for headers in pages]
    assert not [one for one in pages if "frame-ancestors 'none'" not in one["Content-Security-Policy"]]
    assert ["same-origin"] * 4 == [headers["Cross-Origin-Opener-Policy"] for headers in pages]
