"""A26: IRC without TLS.

Whoever is on the way can put words into anybody's mouth, with any account on them.

What must hold: without TLS everybody is a guest, however they are logged in, unless the operator allows it.
"""

import pytest

from adapters.irc.machine import Machine
from journeys.irc_bots import bot_on, plain
from omnibot.testing.bench import Bench
from servers.irc.client import People
from servers.irc.server import Irc


def trusting(patch: pytest.MonkeyPatch) -> None:
    """Believe what comes without TLS."""
    patch.setattr(Machine, "account_tags", property(lambda self: self.has("account-tag")))


@pytest.mark.attack("A26", sabotage=trusting)
async def test_nobody_links_without_tls(bench: Bench, irc: Irc, people: People) -> None:
    """No link is made, and no address is told."""
    async with bot_on(bench, plain(irc.port)) as bot:
        (ada,) = await people.come(irc.port, irc.register("ada"))
        await bot.is_in("#ops")
        await ada.join("#ops")
        for where in ("#ops", "omnibot"):
            await ada.say(where, "!link demo")
            await ada.say(where, "!ping")
            await ada.hear("pong", of="omnibot")
        await bench.settle()

        assert [] == await bench.rows("SELECT 1 FROM flows")
