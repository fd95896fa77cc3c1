"""What is said, against the stand-in: where it goes, how it is cut, changed, and what Discord's refusals mean."""

import asyncio
from collections.abc import AsyncIterator

import discord
import pytest

from adapters.discord import answers
from discord_talk import NETWORK, Bot, a_bot, identity, typed
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Identity
from omnibot.message import Channel, File, Form, Link, Private, Reply, Sent
from servers.discord.people import DiscordPeople, Person
from servers.discord.server import DiscordServer
from servers.discord.wire import Permission
from servers.discord.world import Event

NONCE = "0123456789abcdef01234567"
SEND, EDIT = "POST /channels/*/messages", "PATCH /channels/*/messages/*"


@pytest.fixture
async def bot(discord_server: DiscordServer) -> AsyncIterator[Bot]:
    async with a_bot(discord_server) as found:
        yield found


@pytest.fixture
def ada(discord_people: DiscordPeople) -> Person:
    return discord_people.come("ada")[0]


def general(server: DiscordServer) -> Channel:
    return Channel(NETWORK, server.general.id, name="#general")


# -- in a channel --------------------------------------------------------------------------


async def test_a_reply_stands_below_what_it_answers_and_pings_nobody(bot: Bot, ada: Person) -> None:
    said = ada.say("!hello")
    answered = typed(ada, "!hello", said.id, bot.server.general)

    sent = await bot.saying.say(general(bot.server), Reply(f"Hello {ada.mention} @everyone", answers=answered), NONCE)

    seen = await ada.until("Hello")
    assert (seen.id, seen.channel.id) == (sent.id, sent.channel)
    assert seen.reply_to == said.id
    assert bot.server.world.pings == []


async def test_what_it_answers_may_be_gone_meanwhile(bot: Bot, ada: Person) -> None:
    said = ada.say("!hello")
    ada.delete(said)

    await bot.saying.say(
        general(bot.server), Reply("Hello", answers=typed(ada, "!hello", said.id, bot.server.general)), NONCE
    )

    assert (await ada.until("Hello")).reply_to == ""


async def test_without_the_right_to_read_history_nothing_is_referred_to(bot: Bot, ada: Person) -> None:
    said = ada.say("!hello")
    bot.server.faults.refuse(SEND, 400, answers.NO_HISTORY)

    await bot.saying.say(
        general(bot.server), Reply("Hello", answers=typed(ada, "!hello", said.id, bot.server.general)), NONCE
    )

    assert (await ada.until("Hello")).reply_to == ""


async def test_the_same_nonce_says_nothing_twice_though_the_answer_was_lost(bot: Bot, ada: Person) -> None:
    bot.server.faults.cut(SEND, done=True)
    reply = Reply("\n".join(f"line {one}" for one in range(500)))
    with pytest.raises(NotDelivered) as raised:
        await bot.saying.say(general(bot.server), reply, NONCE)
    assert raised.value.retryable

    await bot.saying.say(general(bot.server), reply, NONCE)

    said = ada.sees(bot.server.general)
    assert [line for one in said for line in one.text.splitlines()] == reply.text.splitlines()


async def test_a_long_reply_goes_on_after_what_went_out(bot: Bot, ada: Person) -> None:
    general_ = bot.server.general
    general_.deny(bot.server.guild.roles[bot.server.guild.id], Permission.EMBED_LINKS)
    reply = Reply("\n".join(f"line {one}" for one in range(500)))
    await bot.saying.say(general(bot.server), Reply("first of all"), "f" * 24)
    bot.server.faults.fail(SEND, 503)
    with pytest.raises(NotDelivered):
        await bot.saying.say(general(bot.server), reply, NONCE)

    sent = await bot.saying.say(general(bot.server), reply, NONCE)

    nonces = [one.json["nonce"] for one in bot.server.asked(SEND) if isinstance(one.json, dict)]
    assert all(len(one) <= 25 for one in nonces)
    said = [one for one in ada.sees(general_) if one.text != "first of all"]
    assert said[-1].id == sent.id
    assert [line for one in said for line in one.text.splitlines()] == reply.text.splitlines()


async def test_a_picture_is_shown_and_a_link_is_a_button(bot: Bot, ada: Person) -> None:
    link = Link("Open it", "https://example.org/x")

    await bot.saying.say(general(bot.server), Reply("Look", link=link, file=File("a.png", "image/png", b"PNG")), NONCE)

    seen = await ada.until("Look")
    assert seen.files == {"a.png": b"PNG"}
    assert seen.links == [link.url]
    assert link.url not in seen.content


async def test_where_files_may_not_be_attached_the_words_tell_so(bot: Bot, ada: Person) -> None:
    place = bot.server.general
    place.deny(bot.server.guild.roles[bot.server.guild.id], Permission.ATTACH_FILES)
    bot.server.gateway.emit(Event("CHANNEL_UPDATE", place.wire()))
    known = bot.get_channel(int(place.id))
    assert isinstance(known, discord.TextChannel)
    await bot.server.until(lambda: bool(known.overwrites))

    await bot.saying.say(general(bot.server), Reply("Look", file=File("a_b.png", "image/png", b"PNG")), NONCE)

    assert (await ada.until("Look")).text == "Look\n\n(A file that I may not attach here: a\\_b.png.)"


async def test_choices_nobody_can_pick_are_words(bot: Bot, ada: Person) -> None:
    await bot.saying.say(general(bot.server), Reply("Which?", ("red", "blue")), NONCE)

    seen = await ada.until("Which?")
    assert seen.labels == []
    assert "red" in seen.text
    assert "blue" in seen.text


async def test_views_are_not_kept_by_discord_py(bot: Bot, ada: Person) -> None:
    said = ada.say("!x")
    answered = typed(ada, "!x", said.id, bot.server.general)

    await bot.saying.say(general(bot.server), Reply("Which?", ("red", "blue"), question="1f", answers=answered), NONCE)

    assert (await ada.until("Which?")).labels == ["red", "blue"]
    assert list(bot.persistent_views) == []
    assert not bot._connection._view_store._views


# -- in private ----------------------------------------------------------------------------


async def test_somebody_who_typed_in_a_channel_is_answered_in_their_dm(
    bot: Bot, ada: Person, discord_people: DiscordPeople
) -> None:
    (grace,) = discord_people.come("grace")
    said = ada.say("!link")
    near = typed(ada, "!link", said.id, bot.server.general)

    sent = await bot.saying.say(
        Private(identity(ada), near), Reply("The secret", form=Form("Type", "Code", "c")), NONCE
    )

    seen = await ada.until("The secret", ada.dm)
    assert (seen.id, seen.channel.id, sent.here) == (sent.id, sent.channel, False)
    assert seen.labels == ["Type"]
    assert seen.reply_to == ""
    assert not grace.was_shown("secret")


async def test_closed_dms_are_no_private_way(bot: Bot, ada: Person, discord_people: DiscordPeople) -> None:
    (grace,) = discord_people.come("grace")
    ada.close_dms()
    near = typed(ada, "!link", ada.say("!link").id, bot.server.general)

    with pytest.raises(NoPrivateWay):
        await bot.saying.say(Private(identity(ada), near), Reply("The secret"), NONCE)

    assert not ada.was_shown("secret")
    assert not grace.was_shown("secret")


@pytest.mark.parametrize(("network", "subject"), [("other", ""), (NETWORK, "ada"), (NETWORK, "12345678901234567")])
async def test_who_is_not_there_has_no_private_way(bot: Bot, ada: Person, network: str, subject: str) -> None:
    with pytest.raises(NoPrivateWay):
        await bot.saying.say(Private(Identity(network, subject or ada.id)), Reply("The secret"), NONCE)

    assert bot.server.asked(SEND) == []


async def test_an_ephemeral_place_without_its_interaction_is_the_dm(bot: Bot, ada: Person) -> None:
    place = Channel(NETWORK, f"{bot.server.general.id}:{ada.id}", private=True)

    sent = await bot.saying.say(place, Reply("The secret"), NONCE)

    assert sent.channel == ada.dm.id
    assert (await ada.until("The secret")).channel is ada.dm


async def test_a_channel_of_a_guild_is_not_private_whatever_is_said_of_it(bot: Bot, ada: Person) -> None:
    with pytest.raises(NoPrivateWay):
        await bot.saying.say(Channel(NETWORK, bot.server.general.id, private=True), Reply("The secret"), NONCE)

    assert not ada.was_shown("secret")


async def test_a_question_in_a_dm_is_picked_by_its_one_reader(bot: Bot, ada: Person) -> None:
    asked = typed(ada, "!x", ada.tell("!x").id, ada.dm)

    await bot.saying.say(Channel(NETWORK, ada.dm.id, True), Reply("?", ("a",), question="1f", answers=asked), NONCE)

    assert (await ada.until("?")).buttons[0].custom_id == f"pick:1f:{ada.id}:1"


# -- changing ------------------------------------------------------------------------------


async def test_what_was_said_is_changed_and_loses_its_buttons(bot: Bot, ada: Person) -> None:
    answered = typed(ada, "!x", ada.say("!x").id, bot.server.general)
    question = Reply("Which?", ("a", "b"), question="1f", answers=answered, file=File("a.txt", "text/plain", b"x"))
    sent = await bot.saying.say(general(bot.server), question, NONCE)

    again = await bot.saying.change(sent, Reply("Done", answers=answered))

    seen = await ada.until("Done")
    assert (seen.id, seen.labels, seen.files, seen.edited) == (sent.id, [], {}, True)
    assert again == sent


async def test_a_change_takes_more_messages_or_fewer(bot: Bot, ada: Person) -> None:
    place = bot.server.general
    place.deny(bot.server.guild.roles[bot.server.guild.id], Permission.EMBED_LINKS)
    long = Reply("\n".join(f"line {one}" for one in range(500)))
    short = await bot.saying.say(general(bot.server), Reply("begun"), NONCE)

    grown = await bot.saying.change(short, long)
    assert [line for one in ada.sees(place) for line in one.text.splitlines()] == long.text.splitlines()
    assert len(ada.sees(place)) > 1

    await bot.saying.change(grown, Reply("ended"))
    assert [one.text for one in ada.sees(place)] == ["ended"]


async def test_a_change_that_was_given_up_leaves_nothing_behind_the_next(bot: Bot, ada: Person) -> None:
    general_ = bot.server.general
    general_.deny(bot.server.guild.roles[bot.server.guild.id], Permission.EMBED_LINKS)
    await bot.saying.say(general(bot.server), Reply("first of all"), "f" * 24)
    sent = await bot.saying.say(general(bot.server), Reply("\n".join(f"line {one}" for one in range(500))), NONCE)
    slow = bot.server.faults.slow(EDIT, 60.0, times=1)
    changing = asyncio.create_task(bot.saying.change(sent, Reply("short")))
    await bot.server.until(lambda: slow.hits == 1)
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)

    await bot.saying.change(sent, Reply("short"))

    assert [one.text for one in ada.sees(general_)] == ["first of all", "short"]


async def test_what_only_one_person_saw_cannot_be_changed_without_its_interaction(bot: Bot, ada: Person) -> None:
    sent = Sent(NETWORK, f"{bot.server.general.id}:{ada.id}", "123", here=True)

    with pytest.raises(NotDelivered):
        await bot.saying.change(sent, Reply("The secret"))

    assert bot.server.asked(EDIT) == []


# -- what goes wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(("status", "retryable"), [(503, True), (403, False), (404, False)])
async def test_what_a_refusal_means(bot: Bot, ada: Person, status: int, retryable: bool) -> None:
    bot.server.faults.fail(SEND, status)

    with pytest.raises(NotDelivered) as raised:
        await bot.saying.say(general(bot.server), Reply("Hello"), NONCE)

    assert raised.value.retryable is retryable
    assert "Hello" not in str(raised.value)


async def test_a_wait_that_discord_asks_for_is_kept(bot: Bot, ada: Person) -> None:
    bot.server.faults.rate_limit(SEND, 0.2)

    await bot.saying.say(general(bot.server), Reply("Hello"), NONCE)

    first, second = (one.time for one in bot.server.asked(SEND))
    assert second - first >= 0.2


async def test_a_wait_that_is_too_long_is_not_made(bot: Bot, ada: Person) -> None:
    bot.server.faults.rate_limit(SEND, 4000.0)

    with pytest.raises(NotDelivered) as raised:
        await bot.saying.say(general(bot.server), Reply("Hello"), NONCE)

    assert not raised.value.retryable


async def test_cloudflare_is_left_alone_for_a_while(bot: Bot, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PAUSE", 0.5)
    bot.server.faults.cloudflare(SEND)
    with pytest.raises(NotDelivered):
        await bot.saying.say(general(bot.server), Reply("Hello"), NONCE)
    asked = len(bot.server.requests)

    for to in (general(bot.server), Private(identity(ada))):
        with pytest.raises(NotDelivered) as raised:
            await bot.saying.say(to, Reply("Hello"), "f" * 24)
        assert not raised.value.retryable
    assert len(bot.server.requests) == asked, "nothing is sent meanwhile"

    await asyncio.sleep(0.65)  # the pause, and as much as it may be longer
    await bot.saying.say(general(bot.server), Reply("Hello"), NONCE)
    assert (await ada.until("Hello")).text == "Hello"


async def test_messages_of_one_reply_are_not_mixed_with_those_of_another(bot: Bot, ada: Person) -> None:
    place = bot.server.general
    place.deny(bot.server.guild.roles[bot.server.guild.id], Permission.EMBED_LINKS)
    replies = [Reply("\n".join(f"{name} {one}" for one in range(600))) for name in ("red", "blue")]

    await asyncio.gather(
        *(bot.saying.say(general(bot.server), one, f"{number:024}") for number, one in enumerate(replies))
    )

    names = [one.text.split()[0] for one in ada.sees(place)]
    assert len(names) >= 4
    assert sorted(names, reverse=True) in (names, names[::-1])


# -- with one sign -------------------------------------------------------------------------


async def test_one_sign_is_a_reaction(bot: Bot, ada: Person) -> None:
    """To what is answered; it is not changed into words afterwards."""
    said = ada.say("!thanks")
    answered = typed(ada, "!thanks", said.id, bot.server.general)
    sent = await bot.saying.say(general(bot.server), Reply("\U0001f44d", answers=answered), NONCE)
    with pytest.raises(NotDelivered, match="reaction"):
        await bot.saying.change(sent, Reply("words"))

    assert "\U0001f44d" in str(ada.look(said).reactions)
    assert [] == bot.server.asked(SEND)


async def test_what_is_for_one_person_is_no_reaction_where_others_read(bot: Bot, ada: Person) -> None:
    """It goes the private way; in a conversation with the bot it is one."""
    said = ada.say("!secret")
    answered = typed(ada, "!secret", said.id, bot.server.general)
    to = Private(identity(ada), answered)
    await bot.saying.say(to, Reply("\U0001f44d", answers=answered), NONCE)
    told = ada.tell("!secret")
    alone = typed(ada, "!secret", told.id, ada.dm)
    await bot.saying.say(Private(identity(ada), alone), Reply("\U0001f44e", answers=alone), NONCE[::-1])

    assert [] == list(ada.look(said).reactions)
    assert "\U0001f44d" == (await ada.until("\U0001f44d")).content
    assert "\U0001f44e" in str(ada.look(told).reactions)


async def test_where_it_may_not_react_it_says_the_sign(bot: Bot, ada: Person) -> None:
    """The answer is not lost."""
    said = ada.say("!thanks")
    bot.server.faults.refuse("PUT /channels/*/messages/*/reactions/*/@me", 403, 50013)
    answered = typed(ada, "!thanks", said.id, bot.server.general)
    await bot.saying.say(general(bot.server), Reply("\U0001f44d", answers=answered), NONCE)

    assert "\U0001f44d" == (await ada.until("\U0001f44d")).content


async def test_a_reaction_that_cloudflare_refuses_is_the_last_request_for_a_while(bot: Bot, ada: Person) -> None:
    """The sign is not said either: nothing is."""
    said = ada.say("!thanks")
    bot.server.faults.cloudflare("PUT /channels/*/messages/*/reactions/*/@me")
    answered = typed(ada, "!thanks", said.id, bot.server.general)
    with pytest.raises(NotDelivered):
        await bot.saying.say(general(bot.server), Reply("\U0001f44d", answers=answered), NONCE)

    assert [] == bot.server.asked(SEND)
