"""A14: PKCE downgrade.

Somebody who controls the server's metadata, or an old server, offers no PKCE or only ``plain``: then
nothing would bind the code to the bot, or the challenge would give the verifier away.

What must hold: a server that says which methods it knows, and not S256, is not linked at all; no link is
sent, and the person hears why. What is sent is S256, always.

What remains: a server that says nothing of methods is believed to do what the catalogue says it does.
"""

import json
from dataclasses import replace

import pytest

from attacks.helpers import ends
from omnibot import catalogue, discovery
from omnibot.demo.provider import DemoProvider
from omnibot.provider import AuthorizationServer, Instance
from omnibot.testing.bench import ADA, Bench, Plan
from omnibot.wire import Answer

REFUSAL = ["Demo notes does not protect a login in the way I need (PKCE with S256)."]


def believing_in_s256(patch: pytest.MonkeyPatch) -> None:
    """Read metadata as if every server knew S256."""

    def lenient(instance: Instance, answer: Answer) -> AuthorizationServer:
        data = json.loads(answer.body) | {"code_challenge_methods_supported": ["S256"]}
        return discovery.read_metadata(instance, replace(answer, body=json.dumps(data).encode()))

    patch.setattr(catalogue, "read_metadata", lenient)


def metadata(provider: DemoProvider, methods: object) -> str:
    """Return metadata that are in order but for the *methods*."""
    return json.dumps(
        {
            "issuer": provider.origin,
            "authorization_endpoint": f"{provider.origin}/authorize",
            "token_endpoint": f"{provider.origin}/token",
            "code_challenge_methods_supported": methods,
        }
    )


@pytest.mark.attack("A14", sabotage=believing_in_s256)
@pytest.mark.parametrize("public", [True, False], ids=["redirect", "paste"])
@pytest.mark.parametrize("methods", [["plain"], [], "S256", ["s256"], {"S256": True}, False])
async def test_a_server_without_s256_is_not_linked(
    plan: Plan, provider: DemoProvider, methods: object, public: bool
) -> None:
    """The person hears why, and gets no link; the service is asked for nothing but its metadata."""
    provider.fail("/.well-known", status=200, times=None, body=metadata(provider, methods))
    async with Bench.open(replace(plan, public=public)) as bench:
        explicit = await bench.say("!link demo", ADA)
        implied = await bench.say("!notes", ADA)

        assert REFUSAL == explicit
        assert REFUSAL == implied
        assert [] == await ends(bench)
        assert {"/.well-known"} == {request[4:16] for request in provider.requests}
