"""Forms and buttons of a network: what is typed leaves no record, and what is pressed is one person's."""

from dataclasses import replace

import pytest

from attacks.helpers import stored
from by_key import keyed
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.message import Channel, Message
from omnibot.skill import Context, Skill
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.testing.fakes import RICH, FakeAdapter

HISTORY = "stays in this conversation's history"


def asking() -> Skill:
    """Return a skill that asks whether tea or coffee."""
    skill = Skill("drink")

    @skill.command
    async def drink(ctx: Context) -> str:
        """Ask for a drink."""
        return f"Here is your {await ctx.choose('Which?', ['tea', 'coffee'])}."

    return skill


@pytest.fixture
def fake() -> FakeAdapter:
    """A network with forms, buttons and ephemeral answers."""
    return FakeAdapter(capabilities=RICH)


@pytest.fixture
def plan(plan: Plan, provider: DemoProvider, fake: FakeAdapter) -> Plan:
    return replace(keyed(plan, provider), networks=(fake,), skills=(*keyed(plan, provider).skills, asking()))


@pytest.fixture
def room(fake: FakeAdapter) -> Channel:
    """Where both are."""
    return fake.room("ops", ADA, GRACE)


# ------------------------------------------------------------------------------------------ codes and keys


async def test_the_code_is_typed_into_a_form(bench: Bench, fake: FakeAdapter, browser: Browser) -> None:
    """Beside the link; as good as saying it."""
    await bench.say("!link demo")
    link = fake.said[-1]
    await bench.authorise(browser, bench.link_for())
    await fake.fill(link, browser.code, ADA)
    await bench.settle()

    assert link.reply.form is not None
    assert "confirm" == link.reply.form.command
    assert fake.said[-1].text.startswith("Linked Demo")


async def test_a_key_is_typed_into_the_networks_form(
    bench: Bench, fake: FakeAdapter, room: Channel, provider: DemoProvider
) -> None:
    """Asked for in a room, answered where only the asker reads; the service is asked first, and what waited runs."""
    await fake.hear("!jot", ADA, room, live=True)
    await bench.settle()
    asked = fake.said[-1]
    await fake.fill(asked, provider.key_for("ada"), ADA)
    await bench.settle()

    assert asked.ephemeral
    assert asked.reply.form is not None
    assert ("link keys", "API key") == (asked.reply.form.command, asked.reply.form.field)
    assert "Then press *Type your API key* within 20 minutes" in asked.reply.text
    linked = next(said for said in fake.said if said.text.startswith("Linked Demo keys as **ada**"))
    assert HISTORY not in linked.text
    assert linked.ephemeral


async def test_a_wrong_key_may_be_typed_again(bench: Bench, fake: FakeAdapter, provider: DemoProvider) -> None:
    """The button is there still."""
    await bench.say("!link keys")
    asked = fake.said[-1]
    await fake.fill(asked, "demo-key-wrong", ADA)
    await bench.settle()
    refused = fake.said[-1].text
    again = await bench.say("!jot")
    await fake.fill(asked, provider.key_for("ada"), ADA)
    await bench.settle()

    assert refused.startswith("Demo keys does not take that key.")
    assert ["I still wait for your key: press the button that I sent you, or `!link keys` for another."] == again
    assert fake.said[-1].text.startswith("Linked Demo keys as **ada**")


@pytest.mark.parametrize("chat_keys", [False])
async def test_where_keys_are_not_for_chats_the_page_asks(
    plan: Plan, provider: DemoProvider, fake: FakeAdapter, chat_keys: bool
) -> None:
    """A form goes through the network's servers as well."""
    plan = keyed(replace(plan, settings=(), skills=("accounts",)), provider, chat_keys=chat_keys)
    async with Bench.open(plan) as bench:
        await bench.say("!link keys")
        asked = fake.said[-1]
        await fake.hear(f"!link keys {provider.key_for('ada')}", ADA, unkept=True)
        await bench.settle()
        kept = await stored(bench)

    assert "open your link" in asked.text
    assert fake.said[-1].text.startswith("I take no keys for Demo keys in chat")
    assert [] == kept


async def test_somebody_elses_key_in_the_form_is_their_own(
    bench: Bench, fake: FakeAdapter, provider: DemoProvider
) -> None:
    """A form is no ticket: who fills it in is who links."""
    await bench.say("!link keys")
    await fake.hear(f"!link keys {provider.key_for('grace')}", GRACE, unkept=True)
    await bench.settle()
    mine = await bench.say("!accounts")

    assert "nothing" in mine[0]


# ------------------------------------------------------------------------------------------ buttons


async def test_a_choice_is_picked(bench: Bench, fake: FakeAdapter) -> None:
    """By its number, for its question."""
    await bench.say("!drink")
    await fake.pick(fake.said[-1], "coffee", ADA)
    await bench.settle()

    assert "Here is your coffee." == fake.said[-1].text


async def test_an_old_button_answers_no_new_question(bench: Bench, fake: FakeAdapter) -> None:
    """It says so; the new one waits on."""
    await bench.say("!drink")
    old = fake.said[-1]
    await bench.say("!drink")
    new = fake.said[-1]
    await fake.pick(old, "tea", ADA)
    await bench.settle()
    said = fake.said[-1].text
    await fake.pick(new, "coffee", ADA)
    await bench.settle()

    assert "That question is no longer open." == said
    assert "Here is your coffee." == fake.said[-1].text


async def test_anothers_press_answers_nothing(bench: Bench, fake: FakeAdapter, room: Channel) -> None:
    """Not even where both read the question."""
    await bench.say("!drink", ADA, room)
    asked = fake.said[-1]
    await fake.pick(asked, "tea", GRACE, anybody=True)
    await bench.settle()
    said = fake.said[-1].text
    await fake.pick(asked, "coffee", ADA)
    await bench.settle()

    assert "That question is no longer open." == said
    assert "Here is your coffee." == fake.said[-1].text


async def test_what_is_picked_is_never_a_command(bench: Bench, fake: FakeAdapter, room: Channel) -> None:
    """Whatever its text says."""
    await fake.hear("!ping", ADA, room, addressed=True, picks="0123456789abcdef")
    await bench.settle()

    assert ["That question is no longer open."] == fake.texts()


# ------------------------------------------------------------------------------------------ a private place


async def test_with_closed_messages_a_button_opens_a_private_place(
    bench: Bench, fake: FakeAdapter, room: Channel
) -> None:
    """For the asker alone; what waited is shown there."""
    fake.close_dms(ADA)
    await bench.say("!link demo", ADA, room)
    offered = fake.said[-1]
    with pytest.raises(LookupError):
        await fake.open(offered, GRACE)
    await fake.open(offered, ADA)
    await bench.settle()
    link = fake.said[-1]

    assert offered.reply.opens == ADA
    assert not offered.ephemeral
    assert link.ephemeral
    assert link.reply.link is not None
    assert not any("/l/" in text for text in fake.public_texts())


async def test_nothing_waits_for_whoever_was_reached(bench: Bench, fake: FakeAdapter, room: Channel) -> None:
    """So there is no button."""
    await bench.say("!link demo", ADA, room)
    await bench.say("!ping", GRACE, room)

    assert {None} == {said.reply.opens for said in fake.said}


async def test_an_answer_shown_where_it_was_asked_is_not_pointed_to(
    bench: Bench, fake: FakeAdapter, room: Channel
) -> None:
    """Neither a private answer nor a link."""
    for line in ("!accounts", "!link demo"):
        await fake.hear(line, ADA, room, live=True)
        await bench.settle()

    assert [] == fake.public_texts()
    assert [True, True] == [said.ephemeral for said in fake.said]


async def test_old_messages_have_no_picks() -> None:
    """Rows that were parked before there were any are read as they were meant."""
    from omnibot.message import dump, load_message

    message = Message("fake", "1", ADA, Channel("fake", "x"), "!ping", 1.0)
    old = dump(message).replace(',"picks":""', "").replace(',"unkept":false', "")

    assert message == load_message(old)
