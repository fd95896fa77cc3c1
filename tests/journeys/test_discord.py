"""Journeys on Discord: linking, talking, and pressing things, where others read along and where nobody does."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from by_key import keyed
from journeys.discord_bots import Bot, Telling, bot_on, code_for, link, typed
from journeys.matrix_bots import DOT
from omnibot.demo.provider import DemoProvider
from omnibot.message import Reply
from omnibot.testing.bench import SKILLS, Bench, Plan
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.sight import Seen

PRIVATE = "Continue in private"
CODE = "Type the code"
LINKED = "Linked Demo notes as"


@pytest.fixture
def telling() -> Telling:
    return Telling()


@pytest.fixture
async def bench(tmp_path: Path, telling: Telling) -> AsyncIterator[Bench]:
    """A bot that is not at Discord yet."""
    async with DemoProvider() as provider:
        plan = Plan(tmp_path, (*SKILLS, telling.skill), provider=provider)
        async with Bench.open(keyed(plan, provider)) as bench:
            yield bench


@pytest.fixture
async def bot(bench: Bench, discord_server: DiscordServer) -> AsyncIterator[Bot]:
    async with bot_on(bench, discord_server, installs=("guild", "user")) as bot:
        yield bot


@pytest.fixture
def ada(discord_people: DiscordPeople) -> Person:
    return discord_people.come("ada")[0]


@pytest.fixture
def grace(discord_people: DiscordPeople) -> Person:
    return discord_people.come("grace")[0]


def linkable(seen: Seen) -> bool:
    """Whether there is a link to press."""
    return bool(seen.links)


def saw_nothing_of(person: Person, *secrets: str) -> bool:
    """Whether *person* was never shown any of them, not even in what is gone again."""
    return not any(person.was_shown(one) for one in secrets)


# ----------------------------------------------------------------------- linking


@pytest.mark.parametrize("how", ["dm", "form", "slash", "slash in the guild"])
async def test_asked_by_prefix_where_others_read(bench: Bench, bot: Bot, ada: Person, grace: Person, how: str) -> None:
    """The link comes by DM, the code goes back by whichever way, and what waited is done as them."""
    said = ada.say("!notes add tea")
    told = await ada.hear(linkable, ada.dm)
    public = await ada.hear(lambda one: one.reply_to == said.id)
    code = await code_for(bench, told)
    match how:
        case "dm":
            ada.tell(f"!confirm {code}")
        case "form":
            await typed(ada.click(told, next(one.label for one in told.buttons if one.custom_id)), code)
        case "slash":
            ada.slash("confirm", ada.dm, code=code)
        case _:
            shown = await ada.slash("confirm", code=code).answer(LINKED)
            assert shown.ephemeral
    await ada.until(LINKED)
    await ada.until("is written as")

    assert ["tea"] == bench.provider.notes("ada")
    assert "I have sent you a link for Demo notes in private." == public.text
    assert [] == public.buttons
    assert saw_nothing_of(grace, *told.links, code, "tea", "Connect Demo", LINKED)


async def test_asked_by_slash_where_others_read(bench: Bench, bot: Bot, ada: Person, grace: Person) -> None:
    """All of it stays in that channel, and only the asker reads it: link, form, code, answer."""
    act = ada.slash("notes add", text="tea")
    asked = await act.answer()
    code = await code_for(bench, asked)
    submitted = await typed(ada.click(asked, next(one.label for one in asked.buttons if one.custom_id)), code)
    await submitted.answer(LINKED)
    done = await ada.until("is written as")

    assert asked.ephemeral
    assert done.ephemeral
    assert done.channel is asked.channel
    assert ["tea"] == bench.provider.notes("ada")
    assert [] == ada.sees(ada.dm)
    assert [] == grace.sees()


async def test_who_takes_no_direct_messages(bench: Bench, bot: Bot, ada: Person, grace: Person) -> None:
    """A button opens a private place in the channel, for the asker alone; there the link comes, and the answer.

    The answer is to what was said before, and comes by what the asker did last.
    """
    ada.close_dms()
    ada.say("!notes add tea")
    offered = await ada.hear(lambda one: PRIVATE in one.labels)
    refused = await grace.click(offered, PRIVATE).answer()
    opened = ada.click(offered, PRIVATE)
    asked = await ada.until(linkable)
    code = await code_for(bench, asked)
    await ada.slash("confirm", code=code).answer(LINKED)
    done = await ada.until("is written as")

    assert done.ephemeral
    assert "That is for somebody else." == refused.text
    assert refused.ephemeral
    assert not linkable(refused)
    assert asked.ephemeral
    assert asked.id in [one.id for one in opened.messages]
    assert ["tea"] == bench.provider.notes("ada")
    assert [] == ada.sees(ada.dm)
    assert saw_nothing_of(grace, *asked.links, code, "tea", LINKED)


@pytest.mark.parametrize("where", ["guild", "dm"])
async def test_a_key_is_typed_into_a_form(bench: Bench, bot: Bot, ada: Person, grace: Person, where: str) -> None:
    """No message ever has it, and nobody is told to remove one."""
    place = None if where == "guild" else ada.dm
    key = bench.provider.key_for("ada")
    asked = await ada.slash("link", place, service="keys").answer()
    submitted = await typed(ada.click(asked, next(one.label for one in asked.buttons if one.custom_id)), key)
    shown = await submitted.answer("Linked Demo keys as")
    jotted = await ada.slash("jot show", place).answer("ada has 0 notes.")

    assert (where == "guild") is shown.ephemeral is jotted.ephemeral
    assert "history" not in shown.text
    assert saw_nothing_of(ada, key)
    assert saw_nothing_of(grace, key, "Linked")


async def test_an_answer_outlives_its_interaction(
    bot: Bot, discord_server: DiscordServer, ada: Person, grace: Person, telling: Telling
) -> None:
    """After a quarter of an hour what is private comes by DM, and what is not in the channel."""
    hidden, shown = ada.slash("tell secret"), grace.slash("tell later")
    await telling.begun.wait()
    await discord_server.until(lambda: len(bot.heard) == 2)
    discord_server.move(16 * 60)
    telling.gate.set()
    private = await ada.hear("secret at last")
    public = await grace.hear("at last")

    assert (ada.dm, discord_server.general) == (private.channel, public.channel)
    assert [] == hidden.messages + shown.messages
    assert saw_nothing_of(grace, "secret")


# ----------------------------------------------------------------------- pressing


async def test_something_is_destroyed_after_a_yes(bot: Bot, ada: Person, grace: Person, telling: Telling) -> None:
    """The asker's: another's is told off, and an old button does nothing."""
    ada.say("!tell wipe")
    asked = await ada.hear(lambda one: "yes" in one.labels)
    refused = await grace.click(asked, "yes").answer()

    assert ("That is for somebody else.", True, 0) == (refused.text, refused.ephemeral, telling.wiped)

    ada.click(asked, "yes")
    await ada.until("It is clean.")

    assert 1 == telling.wiped
    assert [] == ada.look(asked).buttons
    assert "yes" in ada.look(asked).text


async def test_a_note_is_deleted_in_private(bench: Bench, bot: Bot, ada: Person, grace: Person) -> None:
    """By slash: asked and answered where only the asker reads."""
    await link(bench, ada, "!notes add tea")
    await ada.hear("is written as", ada.dm)
    asked = await ada.slash("notes delete", number=1).answer()
    ada.click(asked, "no")
    await ada.server.until(lambda: not ada.look(asked).buttons)
    assert ["tea"] == bench.provider.notes("ada")

    again = await ada.slash("notes delete", number=1).answer()
    ada.click(again, "yes")
    gone = await ada.until("is gone.")

    assert all(one.ephemeral for one in (asked, again, gone))
    assert [] == bench.provider.notes("ada")
    assert [] == grace.sees()


@pytest.mark.parametrize("slash", [True, False])
async def test_many_choices_are_a_menu(bot: Bot, ada: Person, slash: bool) -> None:
    """What was picked stands there instead of the menu."""
    if slash:
        ada.slash("tell drink")
    else:
        ada.say("!tell drink")
    asked = await ada.hear(lambda one: bool(one.selects))
    ada.pick(asked, "mate")
    await ada.until("Here is your mate.")

    assert ["tea", "coffee", "cocoa", "water", "milk", "mate"] == [one.label for one in asked.selects[0].options]
    assert [] == ada.look(asked).selects
    assert "mate" in ada.look(asked).text


async def test_what_is_typed_is_completed(bot: Bot, ada: Person) -> None:
    """More than Discord shows are offered as one types."""
    offered = await ada.complete("tell ice", focused="flavour", flavour="co").choices()
    shown = await ada.slash("tell ice", flavour="coconut").answer()

    assert ["cocoa", "coconut"] == [name for name, _ in offered]
    assert "One coconut ice." == shown.text


async def test_in_a_group_that_the_bot_is_not_in(
    bench: Bench, bot: Bot, discord_server: DiscordServer, ada: Person, grace: Person
) -> None:
    """Who has installed it for themselves uses it there; what is private is theirs alone."""
    ada.install()
    group = discord_server.world.make_group(ada.user, grace.user)
    pong = await ada.slash("ping", group).answer("pong")
    asked = await ada.slash("notes add", group, text="tea").answer()
    code = await code_for(bench, asked)
    await ada.slash("confirm", group, code=code).answer(LINKED)
    done = await ada.until("is written as")

    assert [False, True, True] == [one.ephemeral for one in (pong, asked, done)]
    assert [pong.id] == [one.id for one in grace.sees(group)]
    assert saw_nothing_of(grace, *asked.links, code, "tea")


# ---------------------------------------------------------------------- talking


WAYS: dict[str, Callable[[Person, str], object]] = {
    "prefix": lambda person, line: person.say(f"!{line}"),
    "mention": lambda person, line: person.ask(line),
    "dm": lambda person, line: person.tell(line),
    "slash": lambda person, line: person.slash(line),
}


@pytest.mark.parametrize("way", WAYS)
async def test_help_and_ping(bot: Bot, ada: Person, way: str) -> None:
    """By whichever way it is asked; help is for the asker, and nobody is mentioned."""
    WAYS[way](ada, "ping")
    pong = await ada.hear("pong")
    WAYS[way](ada, "help")
    shown = await ada.hear("ping")

    assert pong.channel is (ada.dm if way == "dm" else ada.server.general)
    assert "notes" in shown.text
    assert [] == ada.server.world.pings


@pytest.mark.parametrize("slash", [True, False])
async def test_pictures_and_files(bot: Bot, ada: Person, slash: bool) -> None:
    """They come with the words, as they are."""
    for command, words, name, data in (
        ("tell picture", "see", "dot.png", DOT),
        ("tell table", "read", "table.csv", b"a,b\n1,2\n"),
    ):
        if slash:
            ada.slash(command)
        else:
            ada.say(f"!{command}")
        shown = await ada.hear(words)

        assert {name: data} == dict(shown.files)


@pytest.mark.parametrize("slash", [True, False])
@pytest.mark.parametrize(("words", "messages", "embeds", "files"), [(400, 1, 1, 0), (600, 3, 0, 0), (2000, 1, 0, 1)])
async def test_long_answers(
    bot: Bot, ada: Person, slash: bool, words: int, messages: int, embeds: int, files: int
) -> None:
    """First in an embed, then in several messages, then in a file; nothing is lost."""
    whole = " ".join(f"word{number}" for number in range(words))
    if slash:
        ada.slash("tell long", words=words)
    else:
        ada.say(f"!tell long {words}")
    await ada.server.until(lambda: len(ada.sees()) == messages and not any(one.thinking for one in ada.sees()))
    seen = ada.sees()
    text = [data.decode() for one in seen for data in one.files.values()] or [" ".join(one.text for one in seen)]

    assert (embeds, files) == (sum(len(one.embeds) for one in seen), sum(len(one.files) for one in seen))
    assert whole.split() == text[0].split()


@pytest.mark.parametrize("slash", [True, False])
async def test_how_far_it_is(bench: Bench, bot: Bot, ada: Person, telling: Telling, slash: bool) -> None:
    """What was said is changed, and nothing is added."""
    if slash:
        ada.slash("tell work")
    else:
        ada.say("!tell work")
    first = await ada.hear("half done")
    await ada.server.until(lambda: telling.sent)
    await bench.core.delivery.edit(telling.sent[0], Reply("all done"))
    done = await ada.until("all done")

    assert first.id == done.id
    assert done.edited
    assert 1 == len(ada.sees())


async def test_in_a_thread(bench: Bench, bot: Bot, discord_server: DiscordServer, ada: Person, grace: Person) -> None:
    """It is answered in that thread, and what is private goes where only the asker reads."""
    thread = discord_server.world.make_thread(discord_server.general, "tea time", ada.user, grace.user)
    said = ada.say("!ping", thread)
    pong = await ada.hear("pong", thread)
    slash = await ada.slash("ping", thread).answer("pong")
    ada.say("!notes", thread)
    told = await ada.hear(linkable)
    hidden = await grace.slash("notes show", thread).answer()

    assert said.id == pong.reply_to
    assert (thread, thread, ada.dm) == (pong.channel, slash.channel, told.channel)
    assert hidden.ephemeral
    assert linkable(hidden)
    assert saw_nothing_of(grace, *told.links)
    assert saw_nothing_of(ada, *hidden.links)
    assert [] == ada.sees(discord_server.general)
