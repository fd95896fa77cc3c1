"""A67, the victim types the code into their own chat.

A victim was sent Mallory's link, authorised it, and does as the page says: types the code to the bot.

What must hold: a code spoken by anybody but the identity that asked ends that flow at once; the token
is erased and revoked; the speaker is told, in private, whose link it was, and Mallory that it has
ended.  Nothing is linked for either of them.

What remains: nothing known; a wrong code that happens to be somebody's ends a stranger's flow (A49).
"""

import pytest

from attacks.helpers import ends, stored
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Identity
from omnibot.linking.desk import WRONG_CODE, Desk
from omnibot.linking.endings import Endings
from omnibot.linking.flows import Flow
from omnibot.testing.bench import GRACE, MALLORY, Bench


async def phish(bench: Bench) -> str:
    """Let Grace authorise Mallory's link in her own browser; return the code that she sees."""
    await bench.say("!notes", MALLORY)
    async with Browser() as victim:
        await bench.authorise(victim, bench.link_for(MALLORY), "grace")
        return victim.code


async def _never_mind(self: Desk, flow: Flow) -> str:
    return WRONG_CODE


@pytest.mark.attack("A67", sabotage=lambda patch: patch.setattr(Desk, "_not_yours", _never_mind))
@pytest.mark.parametrize("where", ["private", "room"])
async def test_the_flow_ends_and_the_victim_is_warned(bench: Bench, provider: DemoProvider, where: str) -> None:
    """Grace hears whose link it was; the token is gone here and there; her code is of no use to Mallory."""
    code = await phish(bench)
    room = bench.network.room("ops", GRACE, MALLORY)

    await bench.say(f"!confirm {code}", GRACE, room if where == "room" else None)
    await bench.core.revoking.work()

    warned = bench.network.private_texts(GRACE)
    assert 1 == len([text for text in warned if "Mallory" in text and MALLORY.subject in text])
    assert [("refused", "stolen")] == await ends(bench)
    assert [] == await stored(bench)
    assert ["grace"] == provider.revoked
    assert [WRONG_CODE] == await bench.say(f"!confirm {code}", MALLORY)
    assert "spoken by somebody else" in bench.network.private_texts(MALLORY)[-2]
    assert [] == bench.network.texts(room)


async def _unended(self: Endings, *_: object, **__: object) -> bool:
    return False


@pytest.mark.attack("A67", sabotage=lambda patch: patch.setattr(Endings, "burn", _unended))
async def test_mallory_cannot_use_it_afterwards(bench: Bench) -> None:
    """Read over Grace's shoulder, the code that she said confirms nothing any more."""
    code = await phish(bench)
    await bench.say(f"!confirm {code}", GRACE)

    said = await bench.say(f"!confirm {code}", MALLORY)

    assert [WRONG_CODE] == said


@pytest.mark.attack("A67")
async def test_another_epoch_is_another_identity(bench: Bench, provider: DemoProvider) -> None:
    """Whoever has Mallory's name since it was given out anew is not who asked."""
    code = await phish(bench)
    heir = Identity(MALLORY.network, MALLORY.subject, "2", "Mallory")

    await bench.say(f"!confirm {code}", heir)

    assert [("refused", "stolen")] == await ends(bench)
