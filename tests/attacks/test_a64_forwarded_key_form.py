"""A64: a forwarded form for a key.

Mallory asks to link a service that is linked by key, and sends the link to a victim, who types their key into
what looks like a form of a bot that they know.

What must hold: the pages name who asks and what the key opens, and can be refused.  What the victim types stays
PENDING: nobody acts with it, for the code that would confirm it is shown in the victim's browser alone, and has to
be said by Mallory.  She is not told whose key it was; what she says instead (guesses, a key of her own) does not make
it hers.  At the end of its time the key is erased here; it is not revoked, for it is the victim's own.

What remains: a victim who hands the code over as well (A66): the page says by whom it was confirmed, and disconnects.
"""

from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import ends, stored
from by_key import form, keyed
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import flows
from omnibot.linking.browser import Browser as Linking
from omnibot.linking.confirming import Confirming
from omnibot.linking.desk import WRONG_CODE
from omnibot.testing.bench import ADA, MALLORY, Bench, Plan


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, provider=provider), provider)


@pytest.fixture
def key(provider: DemoProvider) -> str:
    """The victim's key."""
    return provider.key_for("victim")


def confirmed_by_the_form(patch: pytest.MonkeyPatch) -> None:
    """Make the account active as soon as the key is typed: whoever asked must mean it."""
    enter = Linking.enter

    async def at_once(self: Linking, flow_id: str, cookie: str, key: str) -> None:
        await enter(self, flow_id, cookie, key)
        await Confirming(self._with, self).activate(flow_id)

    patch.setattr(Linking, "enter", at_once)


async def phish(bench: Bench, victim: Browser, key: str, command: str = "!jot") -> str:
    """Let Mallory ask, and the *victim* type their *key*; return the code that the victim is shown."""
    await bench.say(command, MALLORY)
    await victim.open(bench.link_for(MALLORY))
    await victim.press("Continue")
    await victim.press("Connect", key=key)
    return victim.code


@pytest.mark.attack("A64", sabotage=confirmed_by_the_form)
async def test_a_victims_key_gives_nothing(bench: Bench, provider: DemoProvider, key: str) -> None:
    """It was looked at once, to ask whose it is, and nobody acts with it; Mallory does not learn whose it was."""
    async with Browser() as victim:
        await phish(bench, victim, key)
    said = await bench.say("!jot", MALLORY)

    assert ["GET /api/me"] == [f"{call.method} {call.path}" for call in provider.calls]
    assert ["pending"] == await stored(bench)
    assert "type it to me in private" in said[0]
    assert not [text for text in bench.network.texts() if "victim" in text or key in text]


@pytest.mark.attack("A64", sabotage=lambda patch: patch.setattr(flows, "MOST_TRIES", 1000))
async def test_it_cannot_be_guessed_and_is_erased(bench: Bench, provider: DemoProvider, key: str) -> None:
    """Five codes; then it is gone here, and the victim's key is as good as before."""
    async with Browser() as victim:
        code = await phish(bench, victim, key)
        for _ in range(5):
            await bench.say("!confirm BCDF-GHJK", MALLORY)
        late = await bench.say(f"!confirm {code}", MALLORY)
    await bench.core.revoking.work()

    assert [WRONG_CODE] == late
    assert [] == await stored(bench)
    assert [("refused", "locked")] == await ends(bench)
    assert "POST /revoke" not in provider.requests
    assert key == provider.key_for("victim")


@pytest.mark.attack("A64", sabotage=lambda patch: patch.setattr(flows.Flow, "expired", lambda *_: False))
async def test_at_the_end_of_its_time_it_is_erased(bench: Bench, provider: DemoProvider, key: str) -> None:
    """Pending for ten minutes and no longer; nothing of the key is left on the disk."""
    async with Browser() as victim:
        code = await phish(bench, victim, key)
        bench.clock.pass_(flows.CODE_SECONDS)
        late = await bench.say(f"!confirm {code}", MALLORY)
        await bench.core.upkeep.sweep()
        await bench.settle()

    assert [WRONG_CODE] == late
    assert [] == await stored(bench)
    assert [("expired", "expired")] == await ends(bench)
    assert [] == await bench.rows("SELECT * FROM revocations")
    assert "POST /revoke" not in provider.requests


def any_pending_one(patch: pytest.MonkeyPatch) -> None:
    """Let a key that is said confirm whatever is pending for the same service."""

    async def first(self: Any, flow: Any) -> str:
        rows = await self._with.database.read("SELECT id FROM flows WHERE state = 'pending' ORDER BY created")
        return await self._activated(*await self._confirming.activate(rows[0]["id"]))  # type: ignore[no-any-return]

    patch.setattr("omnibot.linking.desk.Desk._ended_at_once", first)


@pytest.mark.attack("A64", sabotage=any_pending_one)
async def test_a_key_of_mallorys_own_confirms_hers_alone(bench: Bench, provider: DemoProvider, key: str) -> None:
    """She says one in chat while the victim's is pending: hers is linked, theirs stays what it is."""
    async with Browser() as victim:
        await phish(bench, victim, key)
    await bench.say(f"!link keys {provider.key_for('mallory')}", MALLORY)
    await bench.say("!jot", MALLORY)

    assert ["active", "pending"] == sorted(str(one) for one in await stored(bench))
    assert "victim" not in {call.user for call in provider.calls[1:]}
    assert "mallory" == provider.calls[-1].user


@pytest.mark.attack("A64", sabotage=lambda patch: patch.setattr(Linking, "refuse", Linking.look))
async def test_the_pages_name_who_asks_and_can_be_refused(bench: Bench, provider: DemoProvider, key: str) -> None:
    """On the first page and on the form; who refuses has typed nothing."""
    await bench.say("!jot", MALLORY)
    async with Browser() as victim:
        first = (await victim.open(bench.link_for(MALLORY))).text
        second = (await victim.press("Continue")).text
        await victim.open(bench.link_for(MALLORY))
        await victim.press("Refuse")
        await bench.settle()

    assert "Whoever speaks as Mallory ( u-666 on fake) will act as you on Demo keys" in first
    assert "Everything that you may do there" in first
    assert "whoever speaks as Mallory" in second
    assert "can do on Demo keys all that you can" in second
    assert [("refused", "refused")] == await ends(bench)
    assert [] == provider.requests


@pytest.mark.attack("A64", sabotage=lambda patch: patch.setattr(Linking, "disconnect", Linking.outcome))
async def test_the_victim_can_take_it_back(bench: Bench, provider: DemoProvider, key: str) -> None:
    """*This was not me*: before the code is said, and for a day after it."""
    async with Browser() as victim:
        code = await phish(bench, victim, key)
        await bench.say(f"!confirm {code}", MALLORY)
        await victim.open(victim.url)
        await victim.press("This was not me")
    said = await bench.say("!jot", MALLORY)

    assert [] == await stored(bench)
    assert "To connect **Demo keys**" in said[0]
    assert "POST /revoke" not in provider.requests


@pytest.mark.attack("A64")
async def test_a_code_in_the_victims_own_chat_ends_it(bench: Bench, key: str) -> None:
    """A67: the victim says it where they speak; they are told whose link it was."""
    async with Browser() as victim:
        code = await phish(bench, victim, key)
    await bench.say(f"!confirm {code}", ADA)

    assert [] == await stored(bench)
    assert [("refused", "stolen")] == await ends(bench)
    assert "Mallory" in bench.network.private_texts(ADA)[0]


@pytest.mark.attack("A64")
async def test_an_honest_link_works(bench: Bench, provider: DemoProvider) -> None:
    """The same steps, with the asker at the browser."""
    async with Browser() as browser:
        await form(bench, browser)
        await browser.press("Connect", key=provider.key_for("ada"))
        said = await bench.say(f"!confirm {browser.code}")

    assert said[0].startswith("Linked Demo keys as **ada**")
