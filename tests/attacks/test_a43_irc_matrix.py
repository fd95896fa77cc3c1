"""A42 and A43 on IRC and Matrix: what only the speaker may see, and what a service's error says, asked for in a room.

What must hold: on each network the answer, and an error of the service, go to whoever asked, alone: on IRC in private
messages to the nick that is logged in, on Matrix in a room that holds nobody else; the room sees no more than that
there is one.  Of an error's body nothing is said anywhere.
"""

import pytest

from attacks.test_a42_error_body_echo import WORDS, echoing, poisoned
from attacks.test_a43_reply_visibility import in_the_room
from journeys import matrix_bots
from journeys.irc_bots import NICK, bot_on, link, over_tls, said_by
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import Bench
from omnibot.turn import Turn
from servers.irc.client import People
from servers.irc.server import Irc
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

SECRET = "the raise"
REFERENCE = {"X-Request-Id": "req-777"}
CLUMSY = {"A42": echoing, "A43": lambda patch: patch.setattr(Turn, "say", in_the_room)}
"""By row: how its guard goes."""


async def on_irc(bench: Bench, irc: Irc, people: People, provider: DemoProvider) -> tuple[list[str], list[str]]:
    """Let ada ask in ``#ops`` for what is hers, and for what fails; return what she, and another there, is told."""
    async with bot_on(bench, over_tls(irc, epochs="none")) as bot:
        ada, eve = await people.come(irc.port, irc.register("ada"), "eve")
        await bot.is_in("#ops")
        for person in (ada, eve):
            await person.join("#ops")
        await link(bench, ada, f"!notes add {SECRET}")
        await ada.say("#ops", "!notes")
        await ada.hear(SECRET, of=NICK)
        provider.fail("/api/notes", status=500, body="500 " + poisoned(provider), headers=REFERENCE)
        await ada.say("#ops", "!notes")
        await ada.hear("500", of=NICK)
        await eve.say("#ops", "!ping")
        await eve.hear("pong", of=NICK)
        return said_by(ada), said_by(eve)


async def on_matrix(
    bench: Bench, synapse: Synapse, people: MatrixPeople, provider: DemoProvider
) -> tuple[list[str], list[str]]:
    """The same in an encrypted room."""
    async with matrix_bots.bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, eve = await people.come("ada", "eve")
        room = await matrix_bots.together(ada, bot, eve)
        await matrix_bots.link(bench, bot, ada, room, f"!notes add {SECRET}")
        await ada.say(room, "!notes")
        await ada.hear(SECRET, of=bot.mxid)
        provider.fail("/api/notes", status=500, body="500 " + poisoned(provider), headers=REFERENCE)
        await ada.say(room, "!notes")
        await ada.hear("500", of=bot.mxid)
        await matrix_bots.works(eve, room)
        return matrix_bots.bodies(bot, ada), matrix_bots.bodies(bot, eve)


def check_private(told: list[str], seen: list[str]) -> None:
    """Check that only ada was *told* anything; of it the others have *seen* nothing."""
    assert any(SECRET in one for one in told)
    assert [] == [one for one in seen if SECRET in one or "500" in one]


def check_ours(told: list[str], seen: list[str]) -> None:
    """Check that of an error the status and the reference are said, and none of its body."""
    (error,) = [one for one in told if "500" in one]
    assert "req-777" in error
    assert [] == [word for word in WORDS if word != "<" for one in (error, *seen) if word in one]


@pytest.mark.attack("A43", sabotage=CLUMSY["A43"])
async def test_private_data_on_irc(bench: Bench, irc: Irc, people: People, provider: DemoProvider) -> None:
    """Seen by a real server's other people."""
    check_private(*await on_irc(bench, irc, people, provider))


@pytest.mark.attack("A42", sabotage=CLUMSY["A42"])
async def test_an_error_on_irc(bench: Bench, irc: Irc, people: People, provider: DemoProvider) -> None:
    """In a private message, in our words."""
    check_ours(*await on_irc(bench, irc, people, provider))


@pytest.mark.attack("A43", sabotage=CLUMSY["A43"])
async def test_private_data_on_matrix(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, provider: DemoProvider
) -> None:
    """Seen by another member of the room, who can read all of it."""
    check_private(*await on_matrix(bench, synapse, matrix_people, provider))


@pytest.mark.attack("A42", sabotage=CLUMSY["A42"])
async def test_an_error_on_matrix(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, provider: DemoProvider
) -> None:
    """In their own room, in our words."""
    check_ours(*await on_matrix(bench, synapse, matrix_people, provider))
