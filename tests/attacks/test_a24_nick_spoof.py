"""A24: somebody takes a nick on IRC.

The owner of the account has quit, and another has her nick, and is not logged in to anything, or to an account
of their own.

What must hold: people are known by the account that the network gives on the very message; a nick opens nothing.
"""

import pytest

from adapters.irc.effects import Heard
from adapters.irc.hearing import Hearing
from journeys.irc_bots import bot_on, link, over_tls
from omnibot.identity import Identity
from omnibot.testing.bench import Bench
from servers.irc.client import People
from servers.irc.server import Irc


def known_by_nick(patch: pytest.MonkeyPatch) -> None:
    """Take the nick for the person."""

    def named(self: Hearing, heard: Heard, *_: str) -> Identity:
        return Identity(self._network, heard.nick.lower(), "", heard.nick)

    patch.setattr(Hearing, "_guest", named)
    patch.setattr(Hearing, "_identity", named)


@pytest.mark.attack("A24", sabotage=known_by_nick)
@pytest.mark.parametrize("logged_in", [False, True], ids=["a guest", "another account"])
async def test_a_borrowed_nick_opens_nothing(bench: Bench, irc: Irc, people: People, logged_in: bool) -> None:
    """Nothing is read as the owner, and the bot works on."""
    async with bot_on(bench, over_tls(irc, epochs="none")) as bot:
        ada, eve = await people.come(irc.port, irc.register("ada"), "eve")
        await bot.is_in("#ops")
        for person in (ada, eve):
            await person.join("#ops")
        await link(bench, ada, "!notes")
        await ada.hear("You have no notes.", of="omnibot")
        await ada.send("QUIT")
        await ada.gone()
        if logged_in:
            await eve.identify(irc.register("mallory"))
        await eve.send("NICK ada")
        await eve.until(lambda line: line.command == "NICK")
        await eve.say("#ops", "!notes")
        await eve.say("#ops", "!ping")
        await eve.hear("pong", of="omnibot")
        await bench.settle()

        assert 1 == bench.provider.requests.count("GET /api/notes")
