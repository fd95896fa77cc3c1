"""Three services that nobody wrote code for: a page of YAML each, and people act there as themselves.

One speaks OAuth 2 (and nothing of it is discovered), one OAuth 1.0a, one takes a key.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from journeys.walks import calls, code_in
from omnibot.catalogue import ProviderSettings
from omnibot.demo.provider import DemoProvider
from omnibot.provider import Secret
from omnibot.testing.bench import Bench, Plan
from servers.browser import HttpBrowser
from servers.oauth1.oauthlib_server import OauthlibServer
from servers.oauth1.service import KEY, SECRET
from servers.processes import OidcServer

PLAIN = """
title: Plain
base: https://plain.example
api: "{base}/api"
server:
  authorize_url: "{base}/auth"
  token_url: "{base}/token"
  revoke_url: "{base}/token/revocation"
  authorize_params: {prompt: consent}
scopes: {openid: know which account is yours, "api:read": read your notes, "api:write": write notes as you}
base_scopes: [openid, "api:read", "api:write"]
whoami: {path: /me, id: user, login: user}
"""

WIRE = """
title: Wire
base: https://wire.example
api: "{base}/api"
ways: [redirect, pin]
oauth1:
  request_url: "{base}/oauth/initiate"
  authorize_url: "{base}/oauth/authorize"
  token_url: "{base}/oauth/token"
whoami: {path: /whoami, id: user.name, login: user.name}
revoke: never
"""

DRAWER = """
title: Drawer
base: https://drawer.example
ways: [key]
key: {label: Drawer key, url: "{base}/keys"}
signer: header:X-Demo-Key
whoami: {path: /api/me, id: id, login: login}
revoke: never
"""


@pytest.fixture
async def wire() -> AsyncIterator[OauthlibServer]:
    async with OauthlibServer() as service:
        yield service


@pytest.fixture
async def drawer() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as service:
        yield service


@pytest.fixture
def plan(tmp_path: Path, oidc: OidcServer, wire: OauthlibServer, drawer: DemoProvider) -> Plan:
    """A bot whose catalogue has the three, and whose skills know none of them."""
    folder = tmp_path / "catalogue"
    folder.mkdir()
    for name, text in {"plain": PLAIN, "wire": WIRE, "drawer": DRAWER}.items():
        (folder / f"{name}.yaml").write_text(text)
    methods = ("GET", "POST")
    settings = (
        (
            "plain",
            ProviderSettings(oidc.client_id, Secret(oidc.client_secret), oidc.issuer, oidc.issuer, methods=methods),
        ),
        (
            "wire",
            ProviderSettings(consumer_key=KEY, consumer_secret=Secret(SECRET), base=wire.origin, methods=methods),
        ),
        ("drawer", ProviderSettings(base=drawer.origin, methods=methods)),
    )
    return Plan(tmp_path, catalogue=folder, settings=settings)


async def by_page(bench: Bench, name: str, login: str) -> str:
    """Link the service *name* by its own page, as *login*; return what the bot says of it."""
    await bench.say(f"!link {name}")
    async with HttpBrowser(login) as browser:
        page = await browser.walk(bench.link_for())
    return (await bench.say(f"!confirm {code_in(page.text)}"))[0]


@pytest.mark.row("B1")
@pytest.mark.row("T10")
async def test_three_services_by_yaml_alone(
    bench: Bench, oidc: OidcServer, wire: OauthlibServer, drawer: DemoProvider
) -> None:
    """All are linked, and what is done there is done by whoever the account belongs to."""
    linked = [await by_page(bench, "plain", "alice"), await by_page(bench, "wire", "bob")]
    await bench.say("!link drawer")
    async with HttpBrowser("ada") as browser:
        page = await browser.press(await browser.open(bench.link_for()), "Continue")
        page = await browser.press(page, "Connect", key=drawer.key_for("ada"))
    linked += await bench.say(f"!confirm {code_in(page.text)}")
    await bench.say('!api plain POST /notes {"text": "tea"}')
    await bench.say('!api wire POST /posts {"text": "coffee"}')
    answer = await bench.say("!api drawer GET /api/me")

    names = ["Plain as **alice**", "Wire as **bob**", "Drawer as **ada**"]
    assert [f"Linked {one}. Not you, or not meant? Say `!undo`." for one in names] == linked
    assert "api call=POST /api/notes user=alice" in calls(oidc)
    assert "post by user=bob: coffee" in wire.record
    assert '"login": "ada"' in answer[0]
