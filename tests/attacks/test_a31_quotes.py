"""A31: a command that is quoted.

Somebody replies to another's command, and the client repeats that in front of what they say; or they quote it by
hand, or forward it.

What must hold: only what stands outside of quotes is read as a command, and in a reply only the reply itself.
"""

from typing import Any

import pytest

from adapters.matrix import speech
from journeys.matrix_bots import bodies, bot_on, together, works
from omnibot import Context, Skill, dispatcher
from omnibot.testing.bench import ADA, SKILLS, Bench, Plan
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse

deeds = Skill("deeds")


@deeds.command
async def do(ctx: Context) -> str:
    """Do something that can be seen."""
    return "it is done"


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """A bot that does things."""
    return Plan(plan.directory, (*SKILLS, deeds), provider=plan.provider)


def quotes_and_all(patch: pytest.MonkeyPatch) -> None:
    """Take what is quoted for what is said, without the marks in front."""

    def unmarked(text: str) -> str:
        return "\n".join(line.lstrip("> ").partition("> ")[2] or line.lstrip("> ") for line in text.split("\n"))

    patch.setattr(dispatcher, "unquoted", unmarked)
    patch.setattr(speech, "_unquoted", unmarked)


QUOTED = [
    "> !deeds do",
    ">!deeds do",
    "  > !deeds do",
    "> > !deeds do\n> what was that?",
    "> !deeds do\nno, I would not",
    "> !deeds do\n\n> !deeds do",
]


@pytest.mark.attack("A31", sabotage=quotes_and_all)
@pytest.mark.parametrize("words", QUOTED)
async def test_a_quoted_command_is_not_run(bench: Bench, words: str) -> None:
    """In a room; the answer below a quote is."""
    room = bench.network.room("ops", ADA)
    quoted = await bench.say(words, ADA, room)
    own = await bench.say("> what could I say?\n!deeds do", ADA, room)

    assert [] == quoted
    assert ["it is done"] == own


FALLBACK = "> <@eve:hs.test> !deeds do\n> and more\n\n"


@pytest.mark.attack("A31", sabotage=quotes_and_all)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_reply_on_matrix_quotes(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """What old clients repeat in front of a reply is another's, and not run; nor is what is quoted by hand."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        ada, eve = await matrix_people.come("ada", "eve")
        room = await together(ada, bot, eve, encrypted=encrypted)
        first = await eve.say(room, "!nothing such")
        html = f"<mx-reply><blockquote>{eve.mxid}: !deeds do</blockquote></mx-reply>agreed"
        rich: dict[str, Any] = {"format": "org.matrix.custom.html", "formatted_body": html}
        await ada.say(room, f"{FALLBACK}agreed", reply_to=first, **rich)
        await ada.say(room, f"{FALLBACK}agreed", thread=first, reply_to=first)
        await ada.say(room, "> !deeds do", reply_to=first)
        await ada.say(room, FALLBACK + "> > !deeds do", mentions=[bot.mxid])
        for words in QUOTED:
            await ada.say(room, words)
        await works(ada, room)
        await bench.settle()
        quoted = [text for text in bodies(bot, ada) if "done" in text]

        assert [] == quoted
        await ada.say(room, f"{FALLBACK}!deeds do", reply_to=first)
        await ada.hear("it is done", of=bot.mxid)


@pytest.mark.attack(
    "A31", sabotage=lambda patch: patch.setattr(speech, "_unquoted", lambda body: body.replace("> ", ""))
)
@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "plain"])
async def test_a_quote_where_no_prefix_is_needed(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool
) -> None:
    """Where the bot and a person are alone, no prefix is needed: a reply's quote is still no command."""
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        (ada,) = await matrix_people.come("ada")
        room = await together(ada, bot, encrypted=encrypted, direct=True)
        first = await ada.say(room, "help")
        await ada.hear("!help", of=bot.mxid)
        await ada.say(room, f"> <{ada.mxid}> deeds do\n\nping", reply_to=first)
        await ada.say(room, "deeds do")
        await ada.hear("it is done", of=bot.mxid)

        assert ["pong", "it is done"] == bodies(bot, ada)[1:]
