"""A4: phishing with a device code.

Of all ways to authorise, the code of a device (RFC 8628) travels the wrong way: whoever asked for it holds it, and
only needs a victim to type it into the service's own page (section 5.4; RFC 10027 section 6.2.1.5).

What must hold: no such link is begun unless the operator allows it at that service.  Whoever asks for it is told
that it is switched off and why; no request goes out; no catalogue can bring it in, not even where it names no other
way.  Where it is allowed, the code comes in private and with a warning, and never as an address that has it in it
(``verification_uri_complete``), which one click would do for; and whoever asked is told whose account it would be,
and asked, before anything is linked.

What remains, where it is allowed: the victim who types a stranger's code at the service, signed in, against its
warning, and a thief who says yes to that.  The victim's own side of it is the service's page alone, where omnibot has
no word: that is why it is off.  And a service's own page for devices can be misused without any bot.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import ends, stored
from by_key import keyed
from journeys.walks import told, until
from omnibot import oauth
from omnibot.accounts import Account
from omnibot.catalogue import ProviderSettings
from omnibot.delivery import Delivery
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.linking import browser, ways
from omnibot.message import Message, Reply, Sent
from omnibot.provider import Instance, Secret, Way
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.wire import Answer
from servers.browser import HttpBrowser
from servers.processes import OidcServer

DISABLED = "is disabled by the operator of this bot: such a code works for whoever talks you into typing it."


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, provider=provider), provider)


def not_refused(patch: pytest.MonkeyPatch) -> None:
    """Treat it as one more way that may be there."""
    patch.setattr(ways, "refuse_device", lambda _: None)


@pytest.mark.attack("A4", sabotage=not_refused)
@pytest.mark.parametrize("service", ["demo", "keys", "demo@default"])
async def test_a_device_code_is_refused_by_default(bench: Bench, provider: DemoProvider, service: str) -> None:
    """With its reason, for every service; nothing is begun and nobody is asked."""
    said = await bench.say(f"!link {service} --by device")

    assert 1 == len(said)
    assert DISABLED in said[0]
    assert said[0].endswith("Leave `--by device` out.")
    assert [] == await ends(bench)
    assert [] == await stored(bench)
    assert [] == provider.requests


@pytest.mark.attack("A4", sabotage=not_refused)
async def test_nor_is_it_begun_where_others_could_see_the_code(bench: Bench, provider: DemoProvider) -> None:
    """In a room it is refused in the same words."""
    room = bench.network.room("ops", ADA, GRACE)
    said = await bench.say("!link demo --by device", ADA, room)

    assert DISABLED in " ".join(said)
    assert [] == await ends(bench)
    assert [] == provider.requests


@pytest.mark.attack("A4")
async def test_a_server_that_offers_it_is_linked_as_ever(bench: Bench, provider: DemoProvider) -> None:
    """Its metadata may name an endpoint for devices: what is offered is a page of ours, which names who asks."""
    provider.fail(
        "/.well-known/oauth-authorization-server",
        status=200,
        body=(
            f'{{"issuer": "{provider.origin}", "authorization_endpoint": "{provider.origin}/authorize", '
            f'"token_endpoint": "{provider.origin}/token", "code_challenge_methods_supported": ["S256"], '
            '"response_types_supported": ["code"], '
            f'"device_authorization_endpoint": "{provider.origin}/device", "grant_types_supported": '
            '["urn:ietf:params:oauth:grant-type:device_code"]}'
        ),
        headers={"Content-Type": "application/json"},
    )
    await bench.say("!link demo")

    assert bench.link_for().startswith(f"http://127.0.0.1:{bench.plan.port}/l/")
    assert not [one for one in provider.requests if "device" in one]


ONLY = """
title: Television
discovery: true
ways: [device]
scopes: {openid: know which account is yours}
base_scopes: [openid]
whoami: {id: sub, login: preferred_username}
"""


@pytest.fixture
def television(tmp_path: Path, oidc: OidcServer) -> Plan:
    """A bot that knows a service whose file names this way alone, and whose operator says nothing of it."""
    folder = tmp_path / "television"
    folder.mkdir()
    (folder / "television.yaml").write_text(ONLY)
    settings = ProviderSettings(oidc.client_id, Secret(oidc.client_secret), oidc.issuer)
    return Plan(tmp_path / "tv", catalogue=folder, settings=(("television", settings),))


def whatever_is_named(patch: pytest.MonkeyPatch) -> None:
    """Take every way that the catalogue names for open."""

    def named(instance: Instance, way: Way, *, public: bool) -> bool:
        return way in instance.provider.ways

    patch.setattr(ways, "is_open", named)


@pytest.mark.attack("A4", sabotage=whatever_is_named)
async def test_no_catalogue_brings_it_in(television: Plan, oidc: OidcServer) -> None:
    """A provider's file may name it, and nothing else; it takes the operator's word all the same."""
    television.directory.mkdir()
    async with Bench.open(television) as bench:
        plain = await bench.say("!link television")
        wanted = await bench.say("!link television --by device")

        assert [False, True] == [DISABLED in " ".join(one) for one in (plain, wanted)]
        assert [] == await ends(bench)
        assert [] == [one for one in (*plain, *wanted) if "://" in one]


# --------------------------------------------------------------------- where it is allowed


@pytest.fixture
async def allowing(television: Plan) -> AsyncIterator[Bench]:
    """A bot whose operator has allowed it there; it asks often whether the code was typed."""
    ((name, settings),) = television.settings
    television.directory.mkdir()
    async with Bench.open(replace(television, settings=((name, replace(settings, device=True)),))) as bench:
        bench.core.polling._sleep = soon
        yield bench


async def soon(_: float) -> None:
    await asyncio.sleep(0.02)


def typed_by(words: str) -> str:
    """Return the code in *words* that is to be typed at the service."""
    found = re.search(r"`([B-Z]{4}-[B-Z]{4})`", words)

    assert found is not None, words
    return found[1]


def in_the_address(patch: pytest.MonkeyPatch) -> None:
    """Send the address that has the code in it."""
    read = oauth.read_device_code

    def complete(answer: Answer) -> oauth.DeviceCode:
        return replace(read(answer), page=json.loads(answer.body)["verification_uri_complete"])

    patch.setattr(oauth, "read_device_code", complete)


@pytest.mark.attack("A4", sabotage=in_the_address)
async def test_the_address_has_no_code_in_it(allowing: Bench, oidc: OidcServer) -> None:
    """The code is to be typed by somebody who has read what it does; the warning stands beside it."""
    (asked,) = await allowing.say("!link television")

    assert f"{oidc.issuer}/device" == allowing.link_for()
    assert typed_by(asked) not in allowing.link_for()
    assert "**Ada** act as you on **Television**" in asked
    assert "never type a code there that somebody gave you: it would be their link to your account" in asked


def near_by(patch: pytest.MonkeyPatch) -> None:
    """Say what is for one person where they asked for it."""

    async def openly(self: Delivery, identity: Identity, reply: Reply, near: Message, **_: object) -> Sent | None:
        return await self.to_channel(near.channel, reply, near.id)

    patch.setattr(Delivery, "to_identity", openly)


@pytest.mark.attack("A4", sabotage=near_by)
async def test_the_code_is_told_in_private(allowing: Bench) -> None:
    """Asked for in a room, nobody there reads it."""
    room = allowing.network.room("ops", ADA, GRACE)
    await allowing.say("!link television", ADA, room)

    assert [] == [text for text in allowing.network.public_texts() if "`" in text or "://" in text]
    assert 1 == len([text for text in told(allowing) if typed_by(text)])


def at_once(patch: pytest.MonkeyPatch) -> None:
    """Link whatever the code brings, without asking."""
    made = browser._account

    def linked(*given: Any) -> Account:
        return replace(made(*given), status="active")

    patch.setattr(browser, "_account", linked)


@pytest.mark.attack("A4", sabotage=at_once)
async def test_nothing_is_linked_before_its_name_was_said_and_taken(allowing: Bench, oidc: OidcServer) -> None:
    """Whoever signed in at the service may be anybody: Ada's bot does not act as bob because he typed her code."""
    (asked,) = await allowing.say("!link television")
    async with HttpBrowser("bob", user_code=typed_by(asked)) as person:
        await person.walk(allowing.link_for())

    async def named() -> bool:
        return "bob" in told(allowing)[-1]

    await until(named)
    await allowing.settle()

    assert ["pending"] == await stored(allowing)
    assert "Somebody has typed my code at Television, signed in as **bob**." in told(allowing)[-1]
    allowing.clock.pass_(1201)
    await allowing.core.upkeep.sweep()
    await allowing.core.revoking.work()
    assert [] == await stored(allowing)
    assert [line for line in oidc.log_lines() if line.startswith("grant.revoked")]
