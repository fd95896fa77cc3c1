"""A32, row swap: whoever can write to the database gives one person's token to another.

What must hold: a row stands for exactly the person, service and account that it was written for.
Its tag covers all of them and the sealed token, so a row that was copied, moved or patched together
is refused before anything is opened, and the refusal is in the audit.  Should a tag ever be
forged, the token's own seal names its owner once more.  Other people notice nothing.

What remains: whoever can write to the database can still destroy what is in it.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest

from attacks.tampering import REFUSAL, Refusal, change, person_of, put, refusals, rows, unchecked
from omnibot import accounts, vault
from omnibot.demo.provider import DemoProvider
from omnibot.provider import Token
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import TokenHead

TRIPLE = json.dumps([MALLORY.network, MALLORY.subject, MALLORY.epoch])


@pytest.mark.attack("A32", sabotage=unchecked)
async def test_a_copied_row_is_nobodys(plan: Plan, provider: DemoProvider) -> None:
    """A copy of Ada's row, made out to Mallory, neither shows her Ada's account nor acts with it."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.link(MALLORY, "mallory")
        await bench.link(GRACE, "grace")
    _copy_to_mallory(plan)
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        listed = await bench.say("!accounts", MALLORY)
        used = await bench.say("!api demo@stolen GET /api/me", MALLORY)
        asked = provider.requests[before:]
        refused = await refusals(bench)
        notes = [await bench.say("!notes", one) for one in (ADA, GRACE)]

    assert [True, True] == [texts[0].startswith(REFUSAL) for texts in (listed, used)]
    assert [] == asked
    assert [Refusal("accounts", "Tampered")] * 2 == refused
    assert [["You have no notes."]] * 2 == notes


@pytest.mark.attack("A32", sabotage=unchecked)
async def test_swapped_tokens_are_noticed_before_they_are_opened(plan: Plan, provider: DemoProvider) -> None:
    """Two people whose sealed tokens changed places are refused even a look at their lists."""
    async with Bench.open(plan) as bench:
        await bench.link(ADA, "ada")
        await bench.link(MALLORY, "mallory")
    tokens = {row["person"]: row["token"] for row in rows(plan, "SELECT person, token FROM accounts")}
    for person, other in zip(tokens, reversed(tokens), strict=True):
        change(plan, "UPDATE accounts SET token = ? WHERE person = ?", tokens[other], person)
    async with Bench.open(plan) as bench:
        before = len(provider.requests)
        said = [await bench.say(text, one) for text in ("!accounts", "!notes") for one in (ADA, MALLORY)]

        assert [True] * 4 == [texts[0].startswith(REFUSAL) for texts in said]
        assert [] == provider.requests[before:]
        assert [Refusal("accounts", "Tampered")] * 4 == await refusals(bench)


def _believing(head: TokenHead, data: bytes) -> Token:
    body = json.loads(data)
    return Token(body["access"], body["refresh"], body["expires"], tuple(body["scopes"]))


@pytest.mark.attack("A32", sabotage=lambda patch: patch.setattr(vault, "_unpack", _believing))
async def test_a_seal_names_its_account(bench: Bench, provider: DemoProvider) -> None:
    """Even under a good tag, the token of one account of Ada's is not taken for that of another."""
    await bench.link(ADA, "ada")
    await bench.link(ADA, "work")
    core = bench.core
    profile = await core.people.find(ADA)
    assert profile is not None
    found: Mapping[str, accounts.Account] = {one.login: one for one in profile.accounts}
    async with core.database.transaction() as tx:
        for login, other in (("ada", "work"), ("work", "ada")):
            change_token = partial(replace, token=found[other].token)
            await accounts.change(tx, core.sealer, found[login].id, change_token)
    core.people.changed(profile.person)
    before = len(provider.calls)

    said = await bench.say("!api demo@work GET /api/me")

    assert [] == [call.user for call in provider.calls[before:]]
    assert said[0].startswith(REFUSAL)
    assert [Refusal("accounts", "Tampered")] == await refusals(bench)


def _copy_to_mallory(plan: Plan) -> None:
    """Put a copy of Ada's account beside Mallory's own, as hers."""
    row = rows(plan, "SELECT * FROM accounts WHERE person = ?", person_of(plan, ADA.subject))[0]
    row |= {
        "id": "0" * 32,
        "person": person_of(plan, MALLORY.subject),
        "alias": "stolen",
        "linked_by": TRIPLE,
        "reach": f"[{TRIPLE}]",
        "is_default": 0,
    }
    put(plan, "accounts", row)
