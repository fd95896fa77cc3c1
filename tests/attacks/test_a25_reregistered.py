"""A25: a services account on IRC is dropped, and registered anew by somebody else.

It has the same name, and the network vouches for it as before.

What must hold: an identity is of the time of the account's registration, so the new owner is somebody else, has
to link, and is told nothing that was meant for the first. That time is asked for again after each login.

What remains: services that do not tell it (the log says so), that stay silent for the bot alone while somebody
takes the account over and comes back unseen, and an owner who changes within the minute for which an answer
holds for somebody who shares no channel with the bot.
"""

import asyncio

import pytest

from adapters.irc.epochs import Epoch, Services
from journeys.irc_bots import bot_on, link, over_tls, said_by
from omnibot.identity import Identity
from omnibot.message import Reply
from omnibot.testing.bench import Bench
from servers.irc.client import People
from servers.irc.server import Irc


def without_epochs(patch: pytest.MonkeyPatch) -> None:
    """Know an account by its name alone."""

    async def registered(self: Services, account: str, *, anew: bool) -> Epoch:
        return Epoch("", fresh=True)

    patch.setattr(Services, "registered", registered)


@pytest.mark.attack("A25", sabotage=without_epochs)
@pytest.mark.parametrize("where", ["#ops", "omnibot"], ids=["in a channel", "in private"])
async def test_another_owner_is_another_person(bench: Bench, irc: Irc, people: People, where: str) -> None:
    """They read nothing as the first, are asked to link, and hear nothing that was meant for the first."""
    async with bot_on(bench, over_tls(irc)) as bot:
        ada, eve = await people.come(irc.port, irc.register("ada"), "eve")
        await bot.is_in("#ops")
        for person in (ada, eve):
            await person.join("#ops")
        await link(bench, ada, "!notes")
        await ada.hear("You have no notes.", of="omnibot")
        epoch = await bot.adapter._owners.epoch("ada", "ada")
        await ada.send("QUIT")
        await ada.gone()
        irc.drop("ada")
        await asyncio.sleep(1.1)  # services count in seconds
        await eve.identify(irc.register("ada"))
        await eve.say(where, "!notes")
        await eve.say(where, "!ping")
        await eve.hear("pong", of="omnibot")
        await bench.settle()
        assert epoch is not None
        await bench.core.delivery.to_identity(Identity("net", "ada", epoch), Reply("for the first one"))
        await bench.settle()
        await eve.say("omnibot", "!ping")
        await eve.hear("pong", of="omnibot")

        assert 1 == bench.provider.requests.count("GET /api/notes")
        assert [] == [text for text in said_by(eve) if "for the first one" in text]
