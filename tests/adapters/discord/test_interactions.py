"""Interactions against the stand-in: what they say, who reads the answer, and what happens when time runs out."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from adapters.discord import interactions as module
from adapters.discord.menu import Menu
from discord_talk import NETWORK, Bot, a_bot, identity, typed
from omnibot.command import Command, Parameter
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Assurance
from omnibot.message import Channel, Form, Message, Private, Reply
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer

NONCE = "0123456789abcdef01234567"
CALLBACK, HOOK, DELETE = "POST /interactions/*/callback", "POST /webhooks/*", "DELETE /webhooks/*"
SEND = "POST /channels/*/messages"


async def nothing() -> None:
    """Handle nothing: these tests end at the adapter."""


def command(name: str, *parameters: Parameter, **more: Any) -> Command:
    return Command(tuple(name.split()), "tests", nothing, f"Does {name}", parameters=parameters, **more)


WORD = Parameter("word", str, True, rest=True)
COLOUR = Parameter("colour", str, True, choices=tuple(f"colour {one}" for one in range(30)))
COMMANDS = (
    command("echo", WORD),
    command("paint", COLOUR),
    command("whoami", answer="private"),
    command("accounts", minimum=Assurance.ACCOUNT),
    command("mine", providers=("forge",), minimum=Assurance.ACCOUNT),
    command("key", Parameter("value", str, False, ""), secret="value"),
)


@pytest.fixture
async def bot(discord_server: DiscordServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setattr(module, "DEFER_AFTER", 60.0)
    async with a_bot(discord_server, *COMMANDS) as found:
        yield found


@pytest.fixture
def soon(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an answer be promised almost at once."""
    monkeypatch.setattr(module, "DEFER_AFTER", 0.05)


@pytest.fixture
def ada(discord_people: DiscordPeople) -> Person:
    return discord_people.come("ada")[0]


@pytest.fixture
def grace(discord_people: DiscordPeople) -> Person:
    return discord_people.come("grace")[0]


def public(bot: Bot) -> Channel:
    return Channel(NETWORK, bot.server.general.id, name="#general")


def ephemeral(bot: Bot, person: Person) -> Channel:
    return Channel(NETWORK, f"{bot.server.general.id}:{person.id}", private=True, name="#general")


async def say(bot: Bot, message: Message, text: str, nonce: str = NONCE) -> None:
    await bot.saying.say(message.channel, Reply(text, answers=message), nonce)


# -- slash commands ------------------------------------------------------------------------


async def test_a_slash_command_is_a_line_that_is_answered_in_place(bot: Bot, ada: Person, grace: Person) -> None:
    act = ada.slash("echo", word="hello there")
    message = await bot.hear()

    assert (message.speaker, message.channel) == (identity(ada), public(bot))
    assert (message.text, message.id, message.addressed) == ("!echo hello there", act.interaction.id, True)
    assert message.assurance is Assurance.STRONG
    sent = await bot.saying.say(message.channel, Reply("Hello", answers=message), NONCE)

    assert (await act.answer("Hello")).id == sent.id
    assert grace.was_shown("Hello")
    assert (sent.channel, sent.here) == (bot.server.general.id, False)
    assert bot.server.asked(SEND) == [], "it goes by the interaction: the bot need not be there"


@pytest.mark.parametrize("name", ["whoami", "accounts", "key"])
async def test_what_is_private_is_in_an_ephemeral_place(bot: Bot, ada: Person, grace: Person, name: str) -> None:
    act = ada.slash(name)
    message = await bot.hear()

    assert message.channel == ephemeral(bot, ada)
    sent = await bot.saying.say(message.channel, Reply("The secret", answers=message), NONCE)

    assert (await act.answer("secret")).ephemeral
    assert not grace.was_shown("secret")
    assert (sent.channel, sent.here) == (message.channel.id, True)


async def test_a_command_with_an_account_is_public(bot: Bot, ada: Person) -> None:
    ada.slash("mine")

    assert (await bot.hear()).channel == public(bot)


async def test_in_the_dm_nothing_is_hidden_as_nobody_else_is_there(bot: Bot, ada: Person) -> None:
    act = ada.slash("whoami", ada.dm)
    message = await bot.hear()

    assert message.channel == Channel(NETWORK, ada.dm.id, private=True)
    sent = await bot.saying.say(Private(identity(ada), message), Reply("The secret"), NONCE)

    assert not (await act.answer("secret")).ephemeral
    assert sent.channel == ada.dm.id


@pytest.mark.parametrize("invited", [True, False])
async def test_elsewhere_nothing_is_private(bot: Bot, ada: Person, grace: Person, *, invited: bool) -> None:
    ada.install()
    group = bot.server.world.make_group(ada.user, grace.user)
    act = ada.slash("whoami" if invited else "echo", group, **({} if invited else {"word": "x"}))
    message = await bot.hear()

    assert message.channel.private is invited
    await bot.saying.say(Private(identity(ada), message), Reply("The secret"), NONCE)

    assert (await act.answer("secret")).ephemeral
    assert not grace.was_shown("secret")


async def test_a_choice_is_completed(bot: Bot, ada: Person) -> None:
    act = ada.complete("paint", focused="colour", colour="colour 2")

    assert [name for name, _ in await act.choices()][:2] == ["colour 2", "colour 20"]
    assert bot.heard.empty()


async def test_an_old_command_is_told_of(bot: Bot, ada: Person) -> None:
    bot.menu = Menu([])

    act = ada.slash("echo", word="x")

    assert (await act.answer("no longer have")).ephemeral
    assert bot.heard.empty()


# -- who reads it --------------------------------------------------------------------------


async def test_a_private_answer_to_a_public_command_is_ephemeral(bot: Bot, ada: Person, grace: Person) -> None:
    act = ada.slash("echo", word="x")
    message = await bot.hear()

    sent = await bot.saying.say(Private(identity(ada), message), Reply("The secret"), NONCE)
    await say(bot, message, "For all", "f" * 24)

    assert (await act.answer("secret")).ephemeral
    assert (sent.channel, sent.here) == (ephemeral(bot, ada).id, True)
    assert not grace.was_shown("secret")
    assert grace.was_shown("For all")


@pytest.mark.usefixtures("soon")
async def test_after_a_public_promise_a_private_answer_is_still_ephemeral(bot: Bot, ada: Person, grace: Person) -> None:
    act = ada.slash("echo", word="x")
    message = await bot.hear()
    promised = await act.thinking()
    assert not promised.ephemeral

    sent = await bot.saying.say(Private(identity(ada), message), Reply("The secret"), NONCE)

    seen = await act.answer("secret")
    assert (seen.id, seen.ephemeral, sent.here) == (sent.id, True, True)
    assert not grace.was_shown("secret")
    assert ada.look(promised).deleted, "nobody waits for what does not come"


@pytest.mark.usefixtures("soon")
async def test_what_discord_does_not_hide_was_not_the_secret(
    bot: Bot, ada: Person, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    act = ada.slash("echo", word="x")
    message = await bot.hear()
    await act.thinking()
    _hide_nothing(bot, monkeypatch)

    sent = await bot.saying.say(Private(identity(ada), message), Reply("The secret"), NONCE)

    assert (sent.channel, sent.here) == (ada.dm.id, False)
    assert not grace.was_shown("secret")
    assert grace.sees(bot.server.general) == []


async def test_what_is_shown_to_others_after_all_is_deleted_and_no_private_way(
    bot: Bot, ada: Person, grace: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.slash("whoami")
    message = await bot.hear()
    _hide_nothing(bot, monkeypatch)

    with pytest.raises(NoPrivateWay):
        await say(bot, message, "The secret")

    assert grace.sees(bot.server.general) == []


def _hide_nothing(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Discord ignore what is to be shown to one person alone."""
    say_ = bot.server.interactions._say

    def openly(one: Any, call: Any, **more: Any) -> Any:
        call.json.pop("flags", None)
        return say_(one, call, **more)

    monkeypatch.setattr(bot.server.interactions, "_say", openly)


async def test_the_interaction_of_another_shows_nothing_to_them(bot: Bot, ada: Person, grace: Person) -> None:
    grace.slash("whoami")
    of_grace = await bot.hear()

    for to in (Private(identity(ada), of_grace), ephemeral(bot, ada)):
        sent = await bot.saying.say(to, Reply("The secret", answers=of_grace), f"{sum(map(ord, str(to))):024x}")
        assert sent.channel == ada.dm.id

    assert not grace.was_shown("secret")


# -- in time -------------------------------------------------------------------------------


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("name", "hidden"), [("mine", False), ("whoami", True)])
async def test_an_answer_is_promised_by_itself(bot: Bot, ada: Person, name: str, hidden: bool) -> None:
    act = ada.slash(name)
    message = await bot.hear()
    promised = await act.thinking()
    assert promised.ephemeral is hidden

    await say(bot, message, "First")
    await say(bot, message, "Second", "f" * 24)

    first, second = act.messages
    assert (first.id, first.text, second.text) == (promised.id, "First", "Second")
    assert {first.ephemeral, second.ephemeral} == {hidden}


async def test_nothing_is_promised_once_it_was_answered(bot: Bot, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFER_AFTER", 0.3)
    act = ada.slash("mine")
    await say(bot, await bot.hear(), "At once")

    await asyncio.sleep(0.5)

    assert [one.text for one in act.messages] == ["At once"]
    assert len(bot.server.asked(CALLBACK)) == 1


async def test_several_answers_at_once_are_one_response_and_the_rest_follows(bot: Bot, ada: Person) -> None:
    act = ada.slash("mine")
    message = await bot.hear()

    await asyncio.gather(*(say(bot, message, f"answer {one}", f"{one:024}") for one in range(5)))

    assert [one.text for one in act.messages] == [f"answer {one}" for one in range(5)]
    assert len(bot.server.asked(CALLBACK)) == 1


@pytest.mark.usefixtures("soon")
async def test_the_promise_and_the_answer_do_not_race(bot: Bot, ada: Person) -> None:
    bot.server.faults.slow(CALLBACK, 0.2)
    act = ada.slash("mine")
    message = await bot.hear()
    await asyncio.sleep(0.1)

    await say(bot, message, "Done")

    assert [(one.text, one.thinking) for one in act.messages] == [("Done", False)]


@pytest.mark.usefixtures("soon")
async def test_a_promise_that_nobody_keeps_is_taken_back(
    bot: Bot, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIFE", 0.5)
    act = ada.slash("mine")
    message = await bot.hear()
    promised = await act.thinking()

    await bot.server.until(lambda: ada.look(promised).deleted)

    assert bot.interactions.of(message.id) is None


@pytest.mark.usefixtures("soon")
async def test_on_closing_promises_are_taken_back(bot: Bot, ada: Person) -> None:
    act = ada.slash("mine")
    await bot.hear()
    promised = await act.thinking()

    await bot.interactions.close()

    assert ada.look(promised).deleted
    assert await bot.interactions.take(_again(bot)) is None


def _again(bot: Bot) -> Any:
    """Return an interaction that comes after the end."""

    class Late:
        user = None

    return Late()


async def test_an_interaction_that_came_too_late_is_answered_by_other_ways(
    bot: Bot, ada: Person, grace: Person
) -> None:
    ada.slash("mine")
    in_public = await bot.hear()
    ada.slash("whoami")
    in_private = await bot.hear()
    bot.server.move(10)

    await say(bot, in_public, "For all")
    await say(bot, in_private, "The secret", "f" * 24)

    assert (await grace.until("For all")).reply_to == ""
    assert (await ada.until("secret")).channel is ada.dm
    assert not grace.was_shown("secret")
    assert bot.interactions.of(in_public.id) is None


async def test_after_a_quarter_of_an_hour_the_channel_and_the_dm_are_left(bot: Bot, ada: Person, grace: Person) -> None:
    for number, name in enumerate(("mine", "whoami")):
        ada.slash(name)
        message = await bot.hear()
        await say(bot, message, "Begun", f"{number:024}")
        bot.server.move(16 * 60)
        await say(bot, message, f"Ended {name}", f"{number + 5:024}")

    assert (await grace.until("Ended mine")).channel is bot.server.general
    assert (await ada.until("Ended whoami")).channel is ada.dm
    assert not grace.was_shown("Ended whoami")


async def test_with_closed_dms_an_ephemeral_place_that_is_over_is_no_way(bot: Bot, ada: Person) -> None:
    ada.close_dms()
    ada.slash("whoami")
    message = await bot.hear()
    bot.server.move(10)

    with pytest.raises(NoPrivateWay):
        await say(bot, message, "The secret")


async def test_an_answer_whose_receipt_was_lost_is_not_said_twice(bot: Bot, ada: Person) -> None:
    act = ada.slash("whoami")
    message = await bot.hear()
    bot.server.faults.cut(CALLBACK, done=True)
    with pytest.raises(NotDelivered) as raised:
        await say(bot, message, "The secret")
    assert raised.value.retryable

    await say(bot, message, "The secret")

    assert [one.text for one in act.messages] == ["The secret"]


@pytest.mark.usefixtures("soon")
async def test_a_promise_whose_receipt_was_lost_is_kept(bot: Bot, ada: Person) -> None:
    bot.server.faults.cut(CALLBACK, done=True)
    act = ada.slash("whoami")
    message = await bot.hear()
    await act.thinking()

    await say(bot, message, "The secret")

    assert [(one.text, one.ephemeral) for one in act.messages] == [("The secret", True)]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize(("status", "code", "times"), [(400, 50001, 1), (404, 10008, 1), (404, 10008, 9)])
async def test_a_promise_to_all_of_which_nothing_is_known_shows_them_nothing(
    bot: Bot, ada: Person, grace: Person, status: int, code: int, times: int
) -> None:
    """Its receipt was lost, and what was promised cannot be asked for either: who goes on then is told to retry."""
    bot.server.faults.cut(CALLBACK, done=True)
    act = ada.slash("echo", word="x")
    message = await bot.hear()
    await act.thinking()
    asked = bot.server.faults.refuse("GET /webhooks/*", status, code, times=times)

    for _ in range(2):  # the second after what failed
        with suppress(NotDelivered):
            await bot.saying.say(Private(identity(ada), message), Reply("The secret"), NONCE)

    assert asked.hits
    assert ada.was_shown("The secret")
    assert not grace.was_shown("The secret")


async def test_interactions_are_not_kept_without_end(bot: Bot, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_LIVE", 2)
    heard = []
    for _ in range(3):
        ada.slash("mine")
        heard.append(await bot.hear())

    assert [bot.interactions.of(one.id) is not None for one in heard] == [False, True, True]


# -- changing ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "hidden"), [("mine", False), ("whoami", True)])
async def test_what_was_said_by_an_interaction_is_changed_by_it(bot: Bot, ada: Person, name: str, hidden: bool) -> None:
    act = ada.slash(name)
    message = await bot.hear()
    await say(bot, message, "First", "f" * 24)
    sent = await bot.saying.say(message.channel, Reply("Begun", answers=message), NONCE)

    assert await bot.saying.change(sent, Reply("Done")) == sent

    seen = await act.answer("Done")
    assert (seen.id, seen.ephemeral) == (sent.id, hidden)
    assert bot.server.asked("PATCH /channels/*") == []
    bot.server.move(16 * 60)
    if hidden:
        with pytest.raises(NotDelivered):
            await bot.saying.change(sent, Reply("Later"))
    else:
        await bot.saying.change(sent, Reply("Later"))
        assert ada.look(seen).text == "Later"


# -- buttons and menus ---------------------------------------------------------------------


async def ask(bot: Bot, ada: Person, choices: tuple[str, ...], name: str = "mine") -> Message:
    ada.slash(name)
    message = await bot.hear()
    await bot.saying.say(message.channel, Reply("Which?", choices, question="1f", answers=message), NONCE)
    return message


@pytest.mark.parametrize("name", ["mine", "whoami"])
async def test_a_pick_answers_its_question_and_is_shown(bot: Bot, ada: Person, name: str) -> None:
    asked = await ask(bot, ada, ("red", "*blue*"), name)
    question = await ada.until("Which?")

    act = ada.click(question, "*blue*")
    message = await bot.hear()

    assert (message.text, message.picks, message.channel) == ("2", "1f", asked.channel)
    await bot.server.until(lambda: not ada.look(question).buttons)
    assert ada.look(question).text == r"Which?" + "\n" + r"→ **\*blue\***"
    await say(bot, message, "Then", "f" * 24)
    assert (await act.answer("Then")).ephemeral is (name == "whoami")


async def test_a_pick_from_a_menu(bot: Bot, ada: Person) -> None:
    await ask(bot, ada, tuple(f"x{one}" for one in range(20)))
    question = await ada.until("Which?")

    ada.pick(question, "x6")

    assert (await bot.hear()).text == "7"
    await bot.server.until(lambda: not ada.look(question).selects)
    assert ada.look(question).text.endswith("→ **x6**")


async def test_the_click_of_somebody_else_does_nothing(bot: Bot, ada: Person, grace: Person) -> None:
    await ask(bot, ada, ("yes", "no"))
    question = await grace.until("Which?")

    act = grace.click(question, "yes")

    assert (await act.answer("somebody else")).ephemeral
    assert bot.heard.empty()
    assert ada.look(question).labels == ["yes", "no"]


async def test_a_button_that_is_not_the_bots_does_nothing(bot: Bot, ada: Person, discord_people: DiscordPeople) -> None:
    (other,) = discord_people.come("other", bot=True)
    row = {"type": 1, "components": [{"type": 2, "style": 1, "label": "go", "custom_id": f"pick:1f:{ada.id}:1"}]}
    forged = bot.server.world.post(bot.server.general, other.user, "Click", components=[row])

    act = ada.interact(3, forged.channel, {"component_type": 2, "custom_id": f"pick:1f:{ada.id}:1"}, forged)

    assert (await act.answer("nothing")).ephemeral
    assert bot.heard.empty()


async def test_a_button_that_nobody_made_does_nothing(bot: Bot, ada: Person) -> None:
    await ask(bot, ada, ("yes", "no"))
    question = await ada.until("Which?")
    there = question.channel.messages[question.id]

    act = ada.interact(3, there.channel, {"component_type": 2, "custom_id": "destroy:all"}, there)

    assert (await act.answer("nothing")).ephemeral
    assert bot.heard.empty()


async def test_only_the_one_for_whom_something_waits_opens_a_private_place(
    bot: Bot, ada: Person, grace: Person
) -> None:
    ada.close_dms()
    await bot.saying.say(public(bot), Reply("Something waits.", opens=identity(ada)), NONCE)
    there = await grace.until("waits")
    assert (await grace.click(there, "Continue in private").answer("somebody else")).ephemeral

    act = ada.click(there, "Continue in private")
    message = await bot.hear()
    await bot.saying.say(Private(identity(ada), message), Reply("The secret"), "f" * 24)

    assert (message.text, message.channel) == ("", ephemeral(bot, ada))
    assert [(one.text, one.ephemeral) for one in act.messages] == [
        ("Here nobody else reads along.", True),
        ("The secret", True),
    ]
    assert not grace.was_shown("secret")


# -- forms ---------------------------------------------------------------------------------


async def test_what_is_typed_into_a_form_comes_in_private_and_is_not_kept(bot: Bot, ada: Person, grace: Person) -> None:
    ada.slash("whoami")
    form = Form("Type the code", "The code that your browser shows", "confirm")
    asked = await bot.hear()
    await bot.saying.say(asked.channel, Reply("Type it.", form=form, answers=asked), NONCE)

    click = ada.click(await ada.until("Type it."), "Type the code")
    modal = await click.modal()
    assert (modal.title, [one.label for one in modal.fields]) == (form.label, [form.field])
    act = click.submit("12 34")
    message = await bot.hear()

    assert (message.text, message.unkept, message.picks) == ("!confirm 12 34", True, "")
    assert message.channel == ephemeral(bot, ada)
    await say(bot, message, "The secret", "f" * 24)
    assert (await act.answer("secret")).ephemeral
    assert not grace.was_shown("secret")


async def test_a_form_in_the_dm_stays_in_the_dm(bot: Bot, ada: Person) -> None:
    await bot.saying.say(Private(identity(ada)), Reply("Paste it.", form=Form("Paste", "The address")), NONCE)

    click = ada.click(await ada.until("Paste it."), "Paste")
    await click.modal()
    click.submit("https://bot.example/oauth/callback?code=1")

    message = await bot.hear()
    assert message.text == "https://bot.example/oauth/callback?code=1"
    assert message.channel == Channel(NETWORK, ada.dm.id, private=True)


@pytest.mark.usefixtures("soon")
async def test_a_form_is_promised_an_answer_that_nobody_else_reads(bot: Bot, ada: Person) -> None:
    ada.slash("whoami")
    asked = await bot.hear()
    await bot.saying.say(asked.channel, Reply("Type it.", form=Form("Type", "Code", "confirm"), answers=asked), NONCE)
    click = ada.click(await ada.until("Type it."), "Type")
    await click.modal()

    act = click.submit("1234")

    await bot.hear()
    assert (await act.thinking()).ephemeral


@pytest.mark.parametrize("name", ["mine", "whoami"])
async def test_a_question_in_words_is_answered_by_a_form_where_it_stands(bot: Bot, ada: Person, name: str) -> None:
    asked = await ask(bot, ada, (), name)
    question = await ada.until("Which?")

    click = ada.click(question, "Answer")
    await click.modal()
    click.submit("the blue one")
    message = await bot.hear()

    assert (message.text, message.picks, message.channel) == ("the blue one", "1f", asked.channel)
    await bot.server.until(lambda: not ada.look(question).buttons)


async def test_nothing_of_an_interaction_is_logged(bot: Bot, ada: Person, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="omnibot.discord")
    bot.server.faults.fail(CALLBACK, 400)
    ada.slash("whoami")
    with pytest.raises(NotDelivered) as raised:
        await say(bot, await bot.hear(), "The secret")

    tokens = [one.token for one in bot.server.interactions.all]
    assert tokens
    for said in (caplog.text, str(raised.value)):
        assert not re.search("|".join(map(re.escape, [*tokens, "The secret"])), said)


async def test_with_closed_dms_what_was_done_last_there_is_a_private_way(bot: Bot, ada: Person) -> None:
    """In the channel where they asked, for there they look; what they did elsewhere is none."""
    other = bot.server.world.make_channel("other")
    ada.close_dms()
    ada.slash("echo", other, word="x")
    await bot.hear()
    asked = typed(ada, "!x", ada.say("!x").id, bot.server.general)
    with pytest.raises(NoPrivateWay):
        await bot.saying.say(Private(identity(ada), asked), Reply("secret"), NONCE)
    ada.slash("echo", word="x")
    await bot.hear()
    sent = await bot.saying.say(Private(identity(ada), asked), Reply("secret"), NONCE)

    assert (await ada.until("secret")).ephemeral
    assert sent.here
