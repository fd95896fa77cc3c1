"""A43, private API data in a room: what only the speaker may see is answered where others read.

What must hold: a linked command answers in private unless its author says that the service shows its
answer to everybody.  In a room, nothing shows but that there is an answer: not the answer, not what
the handler says before it, not its questions, not an error of the service; also where another
command asked for it.  With no private way, the answer waits; it is never said in the room instead.

What remains: an author who declares a private answer public.  What each network's private way is, an
ephemeral answer or a conversation, comes with its adapter.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from attacks.tampering import link_by
from omnibot import Context, LinkedContext, Skill
from omnibot.demo.provider import DemoProvider
from omnibot.message import Channel, Reply, Sent
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from omnibot.testing.fakes import POOR, RICH, FakeAdapter
from omnibot.turn import Turn

WHERE = "I have answered you in private."
SECRET = "the raise"


def _skill() -> Skill:
    skill = Skill("careless")

    @skill.linked("demo", scopes=["notes:write"], effect="change")
    async def say(ctx: LinkedContext) -> str:
        """Say something before the answer."""
        for note in await ctx.api.get("/api/notes"):
            await ctx.say(note["text"])
        return "That is all."

    @skill.linked("demo", scopes=["notes:write"], effect="change")
    async def ask(ctx: LinkedContext) -> str:
        """Ask before the answer."""
        notes = await ctx.api.get("/api/notes")
        return f"You said {await ctx.ask(notes[0]['text'])}."

    @skill.command
    async def digest(ctx: Context) -> str:
        """Let another command ask."""
        return str(await ctx.invoke("notes"))

    return skill


@pytest.fixture(params=["rich", "poor"])
async def bench(plan: Plan, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A bot on a network that can do everything, or nothing; Ada has one note."""
    adapter = FakeAdapter(capabilities=RICH if request.param == "rich" else POOR)
    async with Bench.open(replace(plan, networks=(adapter,), skills=(*SKILLS, _skill()))) as bench:
        await link_by(bench, f"!notes add {SECRET}", ADA, "ada")
        yield bench


@pytest.fixture
def room(bench: Bench) -> Channel:
    """A room where Grace listens."""
    return bench.network.room("general", ADA, GRACE)


async def in_the_room(self: Turn, reply: Reply, *, private: bool) -> Sent | None:
    """Answer where the question was asked."""
    key = f"{self.message.id}:{self.said}"
    self.said += 1
    return await self.services.delivery.to_channel(self.message.channel, reply, key)


@pytest.mark.attack("A43", sabotage=lambda patch: patch.setattr(Turn, "say", in_the_room))
async def test_the_answer_goes_to_the_one_who_asked(bench: Bench, room: Channel) -> None:
    """The room sees that there is an answer, and its asker what it is."""
    await bench.say("!notes", ADA, room)

    assert [WHERE] == bench.network.texts(room)
    assert SECRET in bench.network.private_texts(ADA)[-1]


def forgetful(patch: pytest.MonkeyPatch) -> None:
    """Hold nothing private that a handler does not call so."""
    patch.setattr(Turn, "_discreet", property(lambda self: False))


@pytest.mark.attack("A43", sabotage=forgetful)
@pytest.mark.parametrize("command", ["careless say", "careless digest", "careless ask"])
async def test_what_an_author_forgets_is_private_too(bench: Bench, room: Channel, command: str) -> None:
    """What is said before the answer, asked, or got through another command, is for the asker alone."""
    await bench.say(f"!{command}", ADA, room)
    await bench.say("nothing", ADA)

    assert [] == [text for text in bench.network.texts(room) if SECRET in text]
    assert [] == [text for text in bench.network.public_texts() if SECRET in text]
    assert any(SECRET in text for text in bench.network.private_texts(ADA))


@pytest.mark.attack("A43", sabotage=lambda patch: patch.setattr(Turn, "say", in_the_room))
async def test_an_error_is_private_too(bench: Bench, room: Channel, provider: DemoProvider) -> None:
    """That Ada may not see something is told her alone."""
    provider.fail("/api/notes", status=403)
    await bench.say("!notes", ADA, room)
    await bench.say("!notes delete", ADA, room)

    assert [WHERE, WHERE] == bench.network.texts(room)


@pytest.mark.attack("A43", sabotage=lambda patch: patch.setattr(Turn, "say", in_the_room))
async def test_a_question_is_private_too(bench: Bench, room: Channel, provider: DemoProvider) -> None:
    """Whether to destroy something is asked in private, and a yes in the room is no answer to it."""
    await bench.say("!notes delete 1", ADA, room)
    await bench.say("yes", ADA, room)

    assert [WHERE] == bench.network.texts(room)
    assert [SECRET] == provider.notes("ada")
    assert any("Really" in text for text in bench.network.private_texts(ADA))


@pytest.mark.attack("A43", sabotage=lambda patch: patch.setattr(Turn, "say", in_the_room))
async def test_without_a_private_way_it_waits(bench: Bench, room: Channel) -> None:
    """An answer that cannot be given in private is given when there is a way, and nowhere else before."""
    bench.network.close_dms(ADA)
    await bench.say("!notes", ADA, room)
    told = bench.network.texts(room)
    bench.network.open_dms(ADA)
    said = await bench.say("!ping", ADA)

    assert [] == [text for text in told if SECRET in text]
    assert 1 == len(told)
    assert any(SECRET in text for text in said)
