"""A4: phishing with a device code.

Of all ways to authorise, the code of a device (RFC 8628) travels the wrong way: whoever asked for it holds it, and
only needs a victim to type it into the service's own page (section 5.4; RFC 10027 section 6.2.1.5).

What must hold: no such link is ever begun.  Whoever asks for it is told that it is switched off and why; no
request goes out; no catalogue can bring it in; and of the words that such a server says of itself (a device
endpoint, an address with the code in it) none is used.

What remains: nothing of this bot's.  A service's own page for devices can be misused without any bot.
"""

from pathlib import Path

import pytest

from attacks.helpers import ends, stored
from by_key import KEYS, keyed
from omnibot.catalogue import load_catalogue
from omnibot.demo.provider import DemoProvider
from omnibot.errors import ConfigError
from omnibot.linking import ways
from omnibot.testing.bench import ADA, GRACE, Bench, Plan

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


@pytest.mark.attack("A4")
def test_no_catalogue_brings_it_in(tmp_path: Path) -> None:
    """A provider's file cannot name it among its ways."""
    (tmp_path / "keys.yaml").write_text(KEYS.replace("ways: [key]", "ways: [key, device]"))
    with pytest.raises(ConfigError) as caught:
        load_catalogue(tmp_path)

    assert ["ways.1"] == [one.key for one in caught.value.problems]
