"""A33, row forgery: a token sealed by somebody who has only the database.

Each person's public key lies there in the clear, and anybody can seal to it.  So an attacker could
write their own account's token into the victim's row: the victim's words would then go into the
attacker's account.

What must hold: a sealed box alone counts for nothing.  The row needs a tag, and that needs the
master key; without it the row is refused, nothing is sent, and the audit tells.

What remains: nothing known, short of the master key itself.
"""

import json

import pytest
from nacl.public import PublicKey, SealedBox

from attacks.tampering import REFUSAL, Refusal, change, link_by, person_of, put, refusals, rows, unchecked
from omnibot import accounts
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import Keyring, Sealer


@pytest.mark.attack("A33", sabotage=unchecked)
async def test_a_token_sealed_with_the_public_key_alone_is_refused(plan: Plan, provider: DemoProvider) -> None:
    """A forged token in Ada's row takes none of her words into Mallory's account."""
    async with Bench.open(plan) as bench:
        await link_by(bench, "!notes add hello", ADA, "ada")
        await link_by(bench, "!notes add hello", GRACE, "grace")
    change(plan, "UPDATE accounts SET token = ? WHERE person = ?", _forged(plan, provider), _ada(plan))
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = await bench.say("!notes add my diary")
        asked = provider.requests[before:]
        refused = await refusals(bench)
        other = await bench.say("!notes add hers", GRACE)

    assert [] == provider.notes("mallory")
    assert said[0].startswith(REFUSAL)
    assert [] == asked
    assert [Refusal("accounts", "Tampered")] == refused
    assert ["Note 2 is written as **grace**."] == other


@pytest.mark.attack("A33", sabotage=unchecked)
async def test_a_whole_row_without_the_key_is_refused(plan: Plan, provider: DemoProvider) -> None:
    """A row made from nothing, tagged under a key of the attacker's own, is no account."""
    async with Bench.open(plan) as bench:
        await link_by(bench, "!notes add hello", MALLORY, "mallory")
        await bench.say("!link demo")
    _insert_account(plan, provider)
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = await bench.say("!notes add my diary")

        assert ["hello"] == provider.notes("mallory")
        assert said[0].startswith(REFUSAL)
        assert [] == provider.requests[before:]
        assert [Refusal("accounts", "Tampered")] == await refusals(bench)


def _ada(plan: Plan) -> str:
    return person_of(plan, ADA.subject)


def _forged(plan: Plan, provider: DemoProvider) -> bytes:
    """Return a token of Mallory's account, sealed to Ada's public key and made out to her account."""
    public = rows(plan, "SELECT public_key FROM people WHERE id = ?", _ada(plan))[0]["public_key"]
    answer = provider.issue("mallory", "omnibot", ("notes:read", "notes:write"))
    body = {
        "v": 1,
        "person": _ada(plan),
        "provider": "demo",
        "instance": "demo@default",
        "origin": provider.origin,
        "external": "u-ada",
        "access": answer["access_token"],
        "refresh": answer["refresh_token"],
        "expires": None,
        "scopes": answer["scope"].split(),
    }
    return SealedBox(PublicKey(public)).encrypt(json.dumps(body).encode())


def _insert_account(plan: Plan, provider: DemoProvider) -> None:
    """Make Ada an account out of Mallory's row, with a tag that another master key gives."""
    triple = json.dumps([ADA.network, ADA.subject, ADA.epoch])
    row = rows(plan, "SELECT * FROM accounts")[0] | {
        "id": "0" * 32,
        "person": _ada(plan),
        "external": "u-ada",
        "linked_by": triple,
        "reach": f"[{triple}]",
        "expires": None,
        "token": _forged(plan, provider),
    }
    own = Sealer(Keyring([b"mallory's own master key, 32 byt"]))
    row["tag"] = own.stamp(accounts.TABLE, row)["tag"]
    put(plan, "accounts", row)
