"""A1: consent phishing.

Mallory asks for a link and sends it to a victim, who is signed in at the service and clicks through.

What must hold: the page names who asks and can be refused; the victim's token rests PENDING, and nothing
is done with it but asking whose it is; Mallory does not see the victim's browser and has five guesses at
its code; then, or when the time is over, the token is erased here and revoked at the service.

Where the network has a web login (``confirm: login``) the attack is prevented: the victim is signed in there as
somebody else than Mallory, and the service is never asked.

What remains, elsewhere: a victim who is talked into handing over the code as well (A66).
"""

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import ends, fetch, stored
from linking import proofs
from omnibot.accounts import Account
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking import browser, flows, proving
from omnibot.linking.browser import Browser as Pages
from omnibot.linking.desk import WRONG_CODE
from omnibot.linking.revoking import Fate, Revoking
from omnibot.testing.bench import MALLORY, Bench


async def phish(bench: Bench, victim: Browser) -> str:
    """Let Mallory ask, and the *victim* click through; return the code that the victim's browser shows."""
    await bench.say("!notes", MALLORY)
    await bench.authorise(victim, bench.link_for(MALLORY), "victim")
    return victim.code


def without_confirming(patch: pytest.MonkeyPatch) -> None:
    """Make an account active as soon as the browser is back."""
    pending = browser._account

    def active(*args: Any) -> Account:
        return replace(pending(*args), status="active")

    patch.setattr(browser, "_account", active)


def revoking_nothing(patch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> Fate:
        return "kept"

    patch.setattr(Revoking, "_hand_back", never)


@pytest.mark.attack("A1", sabotage=without_confirming)
async def test_a_victims_click_gives_nothing(bench: Bench, provider: DemoProvider) -> None:
    """The skill says that nothing is linked, the service sees no call, and Mallory is not told whose account it was."""
    async with Browser() as victim:
        await phish(bench, victim)

    answers = await bench.say("!notes", MALLORY)

    assert ["GET /api/me"] == [f"{call.method} {call.path}" for call in provider.calls]
    assert ["pending"] == await stored(bench)
    assert len(answers) == 1
    assert "type it to me in private" in answers[0]
    assert not [text for text in bench.network.texts() if "victim" in text.lower()]


@pytest.mark.attack("A1", sabotage=lambda patch: patch.setattr(flows, "MOST_TRIES", 1000))
async def test_five_guesses_and_no_more(bench: Bench, provider: DemoProvider) -> None:
    """The fifth wrong code ends the link; then even the true one is worth nothing."""
    async with Browser() as victim:
        code = await phish(bench, victim)
        guesses = [
            flows.shown("".join(secrets.choice(flows.CODE_ALPHABET) for _ in range(flows.CODE_LENGTH)))
            for _ in range(5)
        ]
        answers = [await bench.say(f"!confirm {guess}", MALLORY) for guess in guesses]
        afterwards = await bench.say(f"!confirm {code}", MALLORY)
        await bench.core.revoking.work()

    assert [[WRONG_CODE]] * 4 == answers[:4]
    assert "Too many wrong codes" in answers[4][0]
    assert [WRONG_CODE] == afterwards
    assert [] == await stored(bench)
    assert [("refused", "locked")] == await ends(bench)
    assert ["victim"] == provider.revoked


@pytest.mark.attack("A1", sabotage=lambda patch: patch.setattr(flows.Flow, "expired", lambda *_: False))
async def test_what_is_not_confirmed_is_wiped_in_time(bench: Bench, provider: DemoProvider) -> None:
    """After ten minutes the code is refused, whether or not anybody has swept; then nothing is left."""
    async with Browser() as victim:
        code = await phish(bench, victim)
        bench.clock.pass_(flows.CODE_SECONDS)
        late = await bench.say(f"!confirm {code}", MALLORY)
        await bench.core.upkeep.sweep()
        await bench.core.revoking.work()

    assert [WRONG_CODE] == late
    assert [] == await stored(bench)
    assert [("expired", "expired")] == await ends(bench)
    assert ["victim"] == provider.revoked
    assert "has run out" in bench.network.private_texts(MALLORY)[-1]


@pytest.mark.attack("A1", sabotage=revoking_nothing)
async def test_the_service_is_told(bench: Bench, provider: DemoProvider) -> None:
    """The token that Mallory never got is revoked at the service, as soon as the service can be reached."""
    provider.fail("/revoke", status=503)
    async with Browser() as victim:
        await phish(bench, victim)
    bench.clock.pass_(flows.CODE_SECONDS)
    await bench.core.upkeep.sweep()
    await bench.core.revoking.work()
    bench.clock.pass_(3600)
    await bench.core.revoking.work()

    assert ["victim"] == provider.revoked
    assert [] == await bench.rows("SELECT id FROM revocations")


@pytest.mark.attack("A1", sabotage=lambda patch: patch.setattr(Pages, "refuse", Pages.look))
async def test_the_page_names_who_asks_and_can_be_refused(bench: Bench, provider: DemoProvider) -> None:
    """A victim who reads it refuses: the link is dead for everybody, and Mallory hears of it."""
    await bench.say("!notes", MALLORY)
    link = bench.link_for(MALLORY)
    async with Browser() as victim:
        asked = (await victim.open(link)).text
        await victim.press("Refuse")

    assert "Whoever speaks as Mallory ( u-666 on fake) will act as you on Demo notes" in asked
    assert "Refused" in victim.text
    assert 410 == (await fetch(link)).status
    assert [("refused", "refused")] == await ends(bench)
    assert "refused it" in bench.network.private_texts(MALLORY)[-1]
    assert [] == provider.exchanges


@pytest.mark.attack("A1", sabotage=lambda patch: patch.setattr(proving, "is_asker", lambda *_: True))
async def test_where_there_is_a_login_it_is_prevented(tmp_path: Path) -> None:
    """The victim, signed in at the network as themselves, never reaches the service; both are told, and it is noted."""
    async with proofs.proving(tmp_path) as (bench, _), Browser() as victim:
        await proofs.reach_login(bench, victim, proofs.MALLORY, "!notes")
        await bench.consent(victim, "victim")
        page, asked = victim.text, [one for one in bench.provider.requests if "authorize" in one]
        await bench.settle()

        assert "Not who asked" in page
        assert [] == asked
        assert [] == await stored(bench)
        assert [("refused", "not_asker")] == await ends(bench)
        assert "signed in as somebody else than you" in bench.network.private_texts(proofs.MALLORY)[-1]
        assert [] == [text for text in bench.network.texts() if "victim" in text.lower()]
