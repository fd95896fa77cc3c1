"""A3: login CSRF of somebody who is talked into it.

The victim asks for a link, lets Mallory open it and authorise an account of hers, and confirms the code
that Mallory tells them. Every check passes: the victim said so.

What must hold: the bot names the external account and asks whether that was meant; one word undoes it,
here and at the service; it is listed, and in the record of what the victim did.

What remains: whoever reads none of that works in Mallory's account until they look at their list.
"""

from dataclasses import replace

import pytest

from attacks.helpers import answered, audited, stopping, stored
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import desk, flows
from omnibot.linking.services import LinkServices
from omnibot.testing.bench import ADA, Bench, Plan


async def talk_into_it(bench: Bench) -> list[str]:
    """Let the victim confirm an account of Mallory's; return what the bot said."""
    await bench.say("!link demo", ADA)
    async with Browser() as evil:
        await bench.authorise(evil, bench.link_for(ADA), "mallory")
        return await bench.say(f"!confirm {evil.code}", ADA)


def naming_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "escape", lambda text: "your account")


@pytest.mark.attack("A3", sabotage=naming_nobody)
async def test_the_external_account_is_named(bench: Bench) -> None:
    """The confirmation says which account it was, asks, and tells the way back; the list shows it too."""
    answers = await talk_into_it(bench)
    listed = await bench.say("!accounts", ADA)

    assert ["Linked Demo notes as **mallory**. Not you, or not meant? Say `!undo`."] == answers
    assert "as **mallory**" in listed[0]


@pytest.mark.attack("A3", sabotage=naming_nobody)
async def test_the_external_account_is_named_after_a_paste(plan: Plan) -> None:
    """Where the paste itself links, undoing is offered with it."""
    async with Bench.open(replace(plan, public=False)) as bench, stopping(bench.plan) as evil:
        answers = await bench.say(await answered(bench, evil, ADA, "mallory"), ADA)

    assert ["Linked Demo notes as **mallory**. Not you, or not meant? Say `!undo`."] == answers


@pytest.mark.attack("A3", sabotage=lambda patch: patch.setattr(flows, "UNDO_SECONDS", -1.0))
async def test_one_word_undoes_it(bench: Bench, provider: DemoProvider) -> None:
    """The account is erased at once, and its token is revoked at the service."""
    await talk_into_it(bench)
    answers = await bench.say("!undo", ADA)
    await bench.core.revoking.work()

    assert "as **mallory** is unlinked" in answers[0]
    assert [] == await stored(bench)
    assert ["mallory"] == provider.revoked
    assert "You have linked nothing yet" in (await bench.say("!accounts", ADA))[0]


@pytest.mark.attack("A3", sabotage=lambda patch: patch.setattr(LinkServices, "record", lambda *_, **__: None))
async def test_it_is_on_record(bench: Bench) -> None:
    """The audit tells which account was confirmed, and that it was undone."""
    await talk_into_it(bench)
    account = (await bench.rows("SELECT id FROM accounts"))[0]["id"]
    await bench.say("!undo", ADA)

    assert [account] == [one["account"] for one in await audited(bench, "link.confirmed")]
    assert [account] == [one["account"] for one in await audited(bench, "account.undone")]
