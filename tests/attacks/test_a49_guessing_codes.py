"""A49, guessing codes: many guesses, from many accounts, and what the answers give away.

A code has 34 bits, lives ten minutes, and counts only where it is spoken by the identity that asked.

What must hold: five wrong codes end the flow; ten within ten minutes and an identity is not heard
any more.  However many identities guess, nobody else is locked out: over all there is only a
delay, for wrong codes.  Wrong, unknown, used and expired codes get the same words.  Codes are
found by a keyed hash and compared in constant time, so that the clock tells nothing of them.

What remains: one who hits somebody else's code, at odds of one in 25 billion, ends that flow.
"""

import asyncio
import random

import pytest

from attacks.helpers import ends, stored
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import UserError
from omnibot.identity import Identity
from omnibot.linking import flows, guesses
from omnibot.linking.desk import WRONG_CODE, Desk
from omnibot.linking.guesses import Guesses
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench

WINDOW = 600.0
LIMIT = 10


def codes(number: int) -> list[str]:
    """Return *number* well-formed codes, the same at every run."""
    dice = random.Random(49)  # noqa: S311 - guesses, not secrets
    return ["".join(dice.choices(flows.CODE_ALPHABET, k=flows.CODE_LENGTH)) for _ in range(number)]


async def pending(bench: Bench, speaker: Identity, login: str) -> str:
    """Let *speaker* come as far as the code, and return it."""
    await bench.say("!link demo", speaker)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(speaker), login)
        return browser.code


@pytest.mark.attack("A49", sabotage=lambda patch: patch.setattr(flows, "MOST_TRIES", 10**6))
async def test_five_wrong_codes_end_the_flow(bench: Bench, provider: DemoProvider) -> None:
    """The sixth code is refused though it is right, and the token goes back."""
    code = await pending(bench, MALLORY, "victim")
    for guess in codes(5):
        await bench.say(f"!confirm {guess}", MALLORY)

    said = await bench.say(f"!confirm {code}", MALLORY)
    await bench.core.revoking.work()

    assert [WRONG_CODE] == said
    assert [("refused", "locked")] == await ends(bench)
    assert ["victim"] == provider.revoked


@pytest.mark.attack("A49", sabotage=lambda patch: patch.setattr(Guesses, "exhausted", lambda self, identity: False))
async def test_an_identity_that_guesses_is_not_heard_any_more(bench: Bench) -> None:
    """After ten wrong codes Mallory hears that she has to wait; Grace does not."""
    said = [await bench.say(f"!confirm {guess}", MALLORY) for guess in codes(LIMIT + 2)]

    assert [[WRONG_CODE]] * LIMIT == said[:LIMIT]
    assert [["Too many wrong codes. Wait ten minutes."]] * 2 == said[LIMIT:]
    assert [WRONG_CODE] == await bench.say("!confirm BBBB-BBBB", GRACE)


def locking_out_all(patch: pytest.MonkeyPatch) -> None:
    """Refuse everybody once there have been many wrong codes."""
    patch.setattr(Guesses, "exhausted", lambda self, identity: self.delay > 0)


@pytest.mark.attack("A49", sabotage=locking_out_all)
async def test_many_who_guess_lock_nobody_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hundred identities guess, and hit nothing; Ada's own code is good at once."""
    monkeypatch.setattr(guesses, "_SLOW_SECONDS", 0.01)
    code = await pending(bench, ADA, "ada")
    crowd = [Identity("fake", f"crowd-{n}") for n in range(500)]
    before = len(bench.network.said)
    await asyncio.gather(
        *(bench.network.hear(f"!confirm {guess}", one) for one, guess in zip(crowd, codes(len(crowd)), strict=True))
    )
    await bench.settle()
    told = {one.text for one in bench.network.said[before:]}

    said = await bench.say(f"!confirm {code}")

    assert said[0].startswith("Linked")
    assert {WRONG_CODE} == told
    assert 500 == len(bench.network.said) - before - len(said)


@pytest.mark.attack("A49")
def test_over_all_there_is_only_a_delay() -> None:
    """A hundred wrong codes in ten minutes slow further wrong ones down, and refuse none."""
    now = 0.0
    guesses = Guesses(lambda: now)
    for n in range(100):
        assert 0 == guesses.delay
        guesses.wrong(Identity("fake", f"crowd-{n}"))

    assert 0 < guesses.delay <= 5
    assert not guesses.exhausted(ADA)

    now = WINDOW + 1

    assert 0 == guesses.delay


async def _telling(self: Desk) -> str:
    waiting = await flows.of_identity(self._with.database, self._with.sealer, self._identity)
    raise UserError(f"That is not it. You have {len(waiting)} links open.")


@pytest.mark.attack("A49", sabotage=lambda patch: patch.setattr(Desk, "_wrong", _telling))
async def test_all_wrong_codes_sound_alike(bench: Bench) -> None:
    """Nobody learns from the words whether a flow waits, has waited, or never was."""
    unknown = await bench.say(f"!confirm {codes(1)[0]}", GRACE)
    code = await pending(bench, ADA, "ada")
    wrong = await bench.say(f"!confirm {codes(1)[0]}")
    await bench.say(f"!confirm {code}")
    used = await bench.say(f"!confirm {code}")
    late = await pending(bench, MALLORY, "mallory")
    bench.clock.pass_(flows.CODE_SECONDS)
    expired = await bench.say(f"!confirm {late}", MALLORY)
    malformed = await bench.say("!confirm 1'; DROP TABLE flows; --", GRACE)

    assert [[WRONG_CODE]] * 5 == [unknown, wrong, used, expired, malformed]
    assert "pending" in await stored(bench)


async def _by_value(bench: Bench) -> list[object]:
    return [row["code_hash"] for row in await bench.rows("SELECT code_hash FROM flows")]


@pytest.mark.attack("A49")
async def test_a_code_does_not_lie_in_the_database(bench: Bench) -> None:
    """What is stored of a code is a hash that only the master key can make."""
    code = (await pending(bench, ADA, "ada")).replace("-", "")
    (kept,) = await _by_value(bench)

    assert isinstance(kept, bytes)
    assert bench.core.sealer.code_hash(code) == kept
    assert kept.startswith(bytes.fromhex(bench.core.keyring.newest.id))  # so that it outlives a rotation
