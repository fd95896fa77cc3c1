"""The stand-in for Discord does to the real client, discord.py, what Discord's documentation says."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from servers.discord.people import DiscordPeople
from servers.discord.server import DiscordServer
from servers.discord.wire import Intent, Op, Permission


class Client(discord.Client):
    """A bot that keeps what it hears."""

    def __init__(self, intents: discord.Intents) -> None:
        super().__init__(intents=intents, guild_ready_timeout=0.05, allowed_mentions=discord.AllowedMentions.none())
        self.running: asyncio.Task[None]
        self.heard = asyncio.Queue[discord.Message]()
        self.clicked = asyncio.Queue[discord.Interaction]()
        self.edited = asyncio.Queue[discord.RawMessageUpdateEvent]()
        self.deleted = asyncio.Queue[discord.RawMessageDeleteEvent]()

    async def on_message(self, message: discord.Message) -> None:
        if message.author != self.user:
            self.heard.put_nowait(message)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        self.clicked.put_nowait(interaction)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self.edited.put_nowait(event)

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        self.deleted.put_nowait(event)


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch, discord_server: DiscordServer) -> None:
    """Let discord.py speak with the stand-in."""
    monkeypatch.setattr(Route, "BASE", discord_server.api)
    monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(discord_server.gateway_url))


@asynccontextmanager
async def running(
    server: DiscordServer, intents: discord.Intents | None = None, token: str = ""
) -> AsyncIterator[Client]:
    """Run a client until it is ready, and end it afterwards."""
    client = Client(intents or READING)
    async with client:
        task = client.running = asyncio.create_task(client.start(token or server.token))
        waiting = asyncio.create_task(client.wait_until_ready())
        try:
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            async with asyncio.timeout(30):  # what never comes fails, and does not hang
                yield client
        finally:
            await client.close()
            waiting.cancel()
            await asyncio.gather(task, waiting, return_exceptions=True)


READING = discord.Intents(guilds=True, messages=True, message_content=True, reactions=True, typing=True)
BLIND = discord.Intents(guilds=True, messages=True)


async def test_what_is_said_is_heard_and_answered(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """In a channel and in a DM, both ways."""
    ada, grace = discord_people.come("ada", "grace")
    async with running(discord_server) as client:
        ada.say("hello")
        message = await client.heard.get()
        await message.channel.send("hello yourself", reference=message)
        answer = await grace.hear()
        ada.tell("between us")
        private = await client.heard.get()
        await private.channel.send("certainly")
        alone = await ada.hear("certainly")

    assert ("hello", "Ada", "general") == (message.content, message.author.display_name, str(message.channel))
    assert ("hello yourself", str(message.id)) == (answer.content, answer.reply_to)
    assert private.guild is None
    assert ada.dm is alone.channel
    assert not grace.was_shown("certainly")
    assert not discord_server.world.pings


# ------------------------------------------------------------------- the gateway


async def test_a_session_is_resumed_after_a_cut(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """What was said meanwhile is told, once and in order, and nothing is identified anew."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        ada.say("before")
        discord_server.gateway.cut()
        said = ["before", *(f"meanwhile {number}" for number in range(20))]
        for text in said[1:]:
            ada.say(text)
        await discord_server.gateway.until_resumed()
        heard = [(await client.heard.get()).content for _ in said]

    numbers = [frame.seq or 0 for frame in discord_server.frames if (frame.way, frame.op) == ("out", Op.DISPATCH)]
    assert said == heard
    assert 1 == len(discord_server.gateway.received(Op.IDENTIFY))
    assert sorted(set(numbers)) == list(range(1, len(set(numbers)) + 1))


async def test_the_client_resumes_when_it_is_asked_to(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """By op 7, by op 9 with ``true``, and by a close code that is not final."""
    (ada,) = discord_people.come("ada")
    gateway = discord_server.gateway
    async with running(discord_server) as client:
        gateway.reconnect()
        await gateway.until_resumed(1)
        gateway.invalidate(resumable=True)
        await gateway.until_resumed(2)
        await gateway.close(4000)
        await gateway.until_resumed(3)
        ada.say("still there?")
        message = await client.heard.get()

    assert "still there?" == message.content
    assert 1 == gateway.count("READY")


async def test_a_session_that_is_gone_is_begun_anew(
    discord_server: DiscordServer, discord_people: DiscordPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By op 9 with ``false``, asked for and in answer to a Resume."""
    (ada,) = discord_people.come("ada")
    gateway = discord_server.gateway
    without_waiting(monkeypatch)
    async with running(discord_server) as client:
        gateway.invalidate(resumable=False)
        await gateway.until_ready(2)
        gateway.forget()
        gateway.cut()
        await gateway.until_ready(3)
        ada.say("here again?")
        message = await client.heard.get()

    assert "here again?" == message.content
    assert 0 == gateway.count("RESUMED")


def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a test the five seconds that discord.py waits between two Identifies."""

    async def at_once(self: discord.Client, shard_id: int | None, *, initial: bool = False) -> None:
        pass

    monkeypatch.setattr(discord.Client, "before_identify_hook", at_once)


async def test_a_wrong_token_is_final(discord_server: DiscordServer) -> None:
    """401 of REST, and 4004 of the gateway."""
    with pytest.raises(discord.LoginFailure):
        async with running(discord_server, token="wrong"):
            pass
    discord_server.gateway.token = "another"
    with pytest.raises(discord.ConnectionClosed) as caught:
        async with running(discord_server):
            pass

    assert 4004 == caught.value.code


async def test_an_intent_that_was_not_given_is_final(discord_server: DiscordServer) -> None:
    """4014, and the application's flags say which it has."""
    discord_server.gateway.privileged = Intent(0)
    with pytest.raises(discord.PrivilegedIntentsRequired):
        async with running(discord_server):
            pass
    async with running(discord_server, BLIND) as client:
        info = await client.application_info()

    assert not info.flags.gateway_message_content_limited


async def test_content_is_blanked_without_the_intent(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """Except in DMs, and where the bot is mentioned, by a reply too."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server, BLIND) as client:
        own = await client.get_partial_messageable(int(discord_server.general.id)).send("own")
        ada.say("hidden", files=[("a.txt", b"a")], embeds=[{"title": "t"}])
        ada.ask("shown")
        ada.tell("shown too")
        ada.say("a reply", reply_to=str(own.id))
        ada.say("without a ping", reply_to=str(own.id), ping=False)
        heard = [await client.heard.get() for _ in range(5)]

    assert ["", f"{client.user.mention if client.user else ''} shown", "shown too", "a reply", ""] == [
        one.content for one in heard
    ]
    assert ([], []) == (heard[0].attachments, heard[0].embeds)


async def test_who_does_not_beat_is_closed(discord_server: DiscordServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what stands still is left by the client, which comes back and resumes."""
    discord_server.gateway.interval = 0.2
    async with running(discord_server):
        await discord_server.until(lambda: len(discord_server.gateway.received(Op.HEARTBEAT)) > 3)
        discord_server.gateway.silence()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{discord_server.gateway_url}?v=10&encoding=json") as socket,
        ):
            await discord_server.until(lambda: socket.closed or discord_server.gateway.accepted > 1)
            closed = await socket.receive()
        discord_server.gateway.silence(False)

    assert 4009 == closed.data


async def test_a_message_that_cannot_be_read_ends_the_client(discord_server: DiscordServer) -> None:
    """As it does with discord.py 2.7: who runs it has to begin anew."""
    async with running(discord_server) as client:
        discord_server.gateway.poison()
        with pytest.raises(KeyError):
            await asyncio.wait_for(client.running, 10)
    async with running(discord_server) as client:
        assert client.is_ready()


# -------------------------------------------------------------------------- REST


async def test_429_is_waited_for_only_with_via(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """Discord's own is waited for; Cloudflare's raises."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        general = client.get_partial_messageable(int(discord_server.general.id))
        limit = discord_server.faults.rate_limit("POST /channels/*/messages", 0.05)
        await general.send("late")
        await ada.hear("late")
        discord_server.faults.cloudflare("POST /channels/*/messages")
        with pytest.raises(discord.HTTPException) as caught:
            await general.send("never")

    assert (1, 429) == (limit.hits, caught.value.status)
    assert [429, 200, 429] == [one.status for one in discord_server.asked("POST /channels/*/messages")]
    assert not ada.was_shown("never")


async def test_a_nonce_is_said_once(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """Where the answer was lost, the same nonce brings the message that is there, for minutes."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        general = client.get_partial_messageable(int(discord_server.general.id))
        discord_server.faults.cut("POST /channels/*/messages", done=True)
        with pytest.raises((discord.HTTPException, aiohttp.ClientError)):
            await general.send("once", nonce="n1")
        again = await general.send("once", nonce="n1")
        other = await general.send("once", nonce="n2")
        discord_server.move(600)
        later = await general.send("once", nonce="n1")

    assert [str(one.id) for one in (again, other, later)] == [one.id for one in ada.sees()]


async def test_edits_and_deletions_are_seen(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """Both ways; nobody edits another's message."""
    ada, grace = discord_people.come("ada", "grace")
    async with running(discord_server) as client:
        said = ada.say("helo")
        message = await client.heard.get()
        ada.edit(said, "hello")
        edited = await client.edited.get()
        with pytest.raises(discord.Forbidden) as caught:
            await message.edit(content="mine")
        ada.delete(said)
        deleted = await client.deleted.get()
        own = await message.channel.send("wrnog")
        shown = await grace.hear("wrnog")
        await own.edit(content="wrong")
        changed = await grace.until(lambda one: one.edited)
        await own.delete()
        await discord_server.until(lambda: not grace.sees())

    assert (50005, "hello") == (caught.value.code, edited.message.content)
    assert int(said.id) == deleted.message_id
    assert (shown.id, "wrong") == (changed.id, changed.content)
    assert (True, True) == (grace.look(shown).deleted, grace.was_shown("wrnog"))


async def test_what_discord_refuses(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """With its own codes."""
    ada, stranger = discord_people.come("ada", "grace")
    stranger.leave()
    hidden = discord_server.world.make_channel("hidden", hidden=True)
    mute = discord_server.world.make_channel("mute")
    mute.deny(discord_server.bot, Permission.SEND_MESSAGES)
    quiet = ada.say("quiet")
    async with running(discord_server) as client:

        async def code(channel_id: str, text: str = "hello", **more: Any) -> int:
            with pytest.raises(discord.HTTPException) as caught:
                await client.get_partial_messageable(int(channel_id)).send(text, **more)
            return caught.value.code

        assert 50006 == await code(discord_server.general.id, " ")
        assert 50035 == await code(discord_server.general.id, "x" * 2001)
        assert 10003 == await code("1")
        assert 50001 == await code(hidden.id)
        assert 50013 == await code(mute.id)
        assert 50278 == await code(stranger.dm.id)
        ada.close_dms()
        assert 50007 == await code(ada.dm.id)
        ada.open_dms()
        await (await client.fetch_user(int(ada.id))).send("open")
        with pytest.raises(discord.Forbidden):
            await client.get_partial_messageable(int(quiet.channel.id)).get_partial_message(int(quiet.id)).delete()

    assert ["open"] == [one.content for one in ada.sees(ada.dm)]


async def test_what_is_no_persons_own_word(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """A forwarded message's text is in its snapshot; a webhook and another bot say what they are."""
    (ada,) = discord_people.come("ada")
    (other,) = discord_people.come("other", bot=True)
    async with running(discord_server) as client:
        ada.forward(ada.say("!secret"))
        ada.webhook("!hook")
        other.say("!bot")
        said, forwarded, hooked, robot = [await client.heard.get() for _ in range(4)]

    assert ("!secret", "", "!secret") == (said.content, forwarded.content, forwarded.message_snapshots[0].content)
    assert (None, True) == (said.webhook_id, hooked.webhook_id is not None)
    assert (True, "!bot") == (robot.author.bot, robot.content)


async def test_threads_reactions_typing_and_files(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """A private thread is its members'."""
    ada, grace = discord_people.come("ada", "grace")
    thread = discord_server.world.make_thread(
        discord_server.general, "ours", ada.user, discord_server.bot, private=True
    )
    async with running(discord_server) as client:
        ada.say("here", thread)
        message = await client.heard.get()
        await message.add_reaction("\N{EYES}")
        async with message.channel.typing():
            await message.channel.send("there", file=discord.File(io.BytesIO(b"data"), "a.txt"))
        shown = await ada.hear("there")
        assert isinstance(message.channel, discord.Thread)
        with pytest.raises(discord.NotFound):
            await message.channel.fetch_member(int(grace.id))
        member = await message.channel.fetch_member(int(ada.id))

    assert (int(ada.id), {"a.txt": b"data"}) == (member.id, shown.files)
    assert (("\N{EYES}", discord_server.bot.id),) == ada.look(thread.messages[str(message.id)]).reactions
    assert (thread, discord_server.bot) in discord_server.world.typing
    assert not grace.was_shown("there")


# ------------------------------------------------------------------ interactions

ASK: dict[str, Any] = {
    "name": "ask",
    "description": "Ask something",
    "options": [
        {"type": 3, "name": "what", "description": "What to ask", "required": True, "max_length": 20},
        {"type": 4, "name": "times", "description": "How often", "choices": [{"name": "once", "value": 1}]},
        {"type": 3, "name": "whom", "description": "Whom", "autocomplete": True},
    ],
}
KEYS: dict[str, Any] = {
    "name": "keys",
    "description": "Keys",
    "contexts": [0, 1, 2],
    "integration_types": [0, 1],
    "options": [
        {
            "type": 2,
            "name": "own",
            "description": "Own keys",
            "options": [{"type": 1, "name": "add", "description": "Add a key", "options": []}],
        }
    ],
}


class Buttons(discord.ui.View):
    """A button, a link and a select."""

    def __init__(self) -> None:
        super().__init__(timeout=None)
        self.add_item(discord.ui.Button(label="Yes", custom_id="yes"))
        self.add_item(discord.ui.Button(label="Sign in", url="https://example.org/sign-in"))
        options = [discord.SelectOption(label="one", value="1"), discord.SelectOption(label="two", value="2")]
        self.add_item(discord.ui.Select(custom_id="which", options=options))
        self.stop()


def data(interaction: discord.Interaction) -> Any:
    """What was filled in or clicked, which discord.py types by what it may be."""
    return interaction.data


async def registered(client: Client, *commands: Any) -> None:
    """Register *commands* for everybody."""
    assert client.application_id is not None
    await client.http.bulk_upsert_global_commands(client.application_id, list(commands))


async def test_a_slash_command_is_answered_to_its_asker_alone(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """Ephemerally, deferred and with a followup; it comes as it was filled in."""
    ada, grace = discord_people.come("ada", "grace")
    async with running(discord_server) as client:
        await registered(client, ASK, KEYS)
        act = ada.slash("ask", what="why", times=1)
        interaction = await client.clicked.get()
        await interaction.response.defer(ephemeral=True, thinking=True)
        thinking = await act.thinking()
        first = await interaction.followup.send("because", wait=True)
        await interaction.followup.send("and so on", ephemeral=True)
        shown = await act.answer("because")
        await ada.hear("and so on")

    assert {"name": "ask", "type": 1} == {name: data(interaction).get(name) for name in ("name", "type")}
    assert [("what", "why"), ("times", 1)] == [(o["name"], o["value"]) for o in data(interaction)["options"]]
    assert (thinking.id, True, False) == (shown.id, shown.ephemeral, shown.edited)
    assert first.flags.ephemeral
    assert not grace.sees()
    assert not grace.was_shown("and so on")


async def test_the_first_followup_of_a_public_deferral_is_public(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """Whatever its flags: it takes the place of the message that was deferred."""
    ada, grace = discord_people.come("ada", "grace")
    async with running(discord_server) as client:
        await registered(client, ASK)
        ada.slash("ask", what="why")
        interaction = await client.clicked.get()
        await interaction.response.defer(thinking=True)
        leaked = await interaction.followup.send("secret", ephemeral=True, wait=True)
        private = await interaction.followup.send("private", ephemeral=True, wait=True)

        ada.slash("ask", what="again")
        interaction = await client.clicked.get()
        await interaction.response.defer(thinking=True)
        await interaction.delete_original_response()
        kept = await interaction.followup.send("kept", ephemeral=True, wait=True)

    assert [False, True, True] == [one.flags.ephemeral for one in (leaked, private, kept)]
    assert ["secret"] == [one.content for one in grace.sees()]
    assert ["secret", "private", "kept"] == [one.content for one in ada.sees()]


async def test_buttons_and_selects(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """A click changes its message, or opens a modal; a link goes nowhere near the bot."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        await client.get_partial_messageable(int(discord_server.general.id)).send("Sure?", view=Buttons())
        asked = await ada.hear("Sure?")
        with pytest.raises(AssertionError, match="link"):
            ada.click(asked, "Sign in")
        ada.pick(asked, "two")
        picked = await client.clicked.get()
        await picked.response.send_message("two it is", ephemeral=True)
        ada.click(asked, "Yes")
        clicked = await client.clicked.get()
        await clicked.response.edit_message(content="Done", view=None)
        changed = await ada.until("Done")

    assert ["https://example.org/sign-in"] == asked.links
    assert ["2"] == data(picked).get("values")
    assert ("yes", asked.id) == (data(clicked).get("custom_id"), str(clicked.message and clicked.message.id))
    assert (asked.id, [], True) == (changed.id, changed.buttons, changed.edited)


async def test_a_modal_comes_back_filled_in(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """In a DM, from a subcommand of a group."""
    (ada,) = discord_people.come("ada")
    form = discord.ui.Modal(title="Key", custom_id="form")
    form.add_item(discord.ui.TextInput(label="The key", custom_id="key", min_length=3))
    async with running(discord_server) as client:
        await registered(client, KEYS)
        act = ada.slash("keys own add", ada.dm)
        interaction = await client.clicked.get()
        await interaction.response.send_modal(form)
        modal = await act.modal()
        with pytest.raises(AssertionError, match="length"):
            act.submit("no")
        sent = act.submit("abc")
        submitted = await client.clicked.get()
        with pytest.raises(discord.HTTPException):
            await submitted.response.send_modal(discord.ui.Modal(title="Again"))
        await submitted.response.send_message("thanks")
        await sent.answer("thanks")

    assert ("Key", ["The key"]) == (modal.title, [one.label for one in modal.fields])
    assert discord.InteractionType.modal_submit is submitted.type
    assert "abc" in str(submitted.data)


async def test_autocomplete_offers(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """Up to 25 choices."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        await registered(client, ASK)
        act = ada.complete("ask", focused="whom", whom="gr")
        interaction = await client.clicked.get()
        many = [discord.app_commands.Choice(name=str(number), value=str(number)) for number in range(26)]
        with pytest.raises(discord.HTTPException) as caught:
            await interaction.response.autocomplete(many)
        interaction.response._response_type = None
        await interaction.response.autocomplete(many[:2])
        offered = await act.choices()

    assert (50035, [("0", "0"), ("1", "1")]) == (caught.value.code, offered)


async def test_an_interaction_ends(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """After three seconds without an answer, and after fifteen minutes with one; it is answered once."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        await registered(client, ASK)
        slow = ada.slash("ask", what="slow")
        interaction = await client.clicked.get()
        discord_server.move(4)
        with pytest.raises(discord.NotFound) as late:
            await interaction.response.send_message("too late")
        ada.slash("ask", what="twice")
        interaction = await client.clicked.get()
        await interaction.response.send_message("first")
        interaction.response._response_type = None
        with pytest.raises(discord.HTTPException) as twice:
            await interaction.response.send_message("second")
        discord_server.move(15 * 60)
        with pytest.raises(discord.HTTPException) as ended:
            await interaction.followup.send("too late")

    assert [10062, 40060, 50027] == [one.value.code for one in (late, twice, ended)]
    assert slow.failed


async def test_a_user_install_works_where_the_bot_is_not(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """In a group DM: by the interaction, and in no other way."""
    ada, grace = discord_people.come("ada", "grace")
    ada.install()
    group = discord_server.world.make_group(ada.user, grace.user)
    async with running(discord_server) as client:
        await registered(client, ASK, KEYS)
        with pytest.raises(AssertionError, match="not offered"):
            ada.slash("ask", group, what="why")
        ada.slash("keys own add", group)
        interaction = await client.clicked.get()
        await interaction.response.send_message("public there", ephemeral=False)
        await grace.hear("public there")
        with pytest.raises(discord.Forbidden):
            await client.get_partial_messageable(int(group.id)).send("no")

    assert (True, False) == (interaction.context.private_channel, interaction.is_guild_integration())
    assert interaction.is_user_integration()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Ask"},
        {"name": "a b"},
        {"description": ""},
        {"description": "x" * 101},
        {"options": [{"type": 3, "name": f"o{number}", "description": "d"} for number in range(26)]},
        {"options": [*ASK["options"][1:], ASK["options"][0]]},
        {"options": [{"type": 1, "name": "sub", "description": "d"}, ASK["options"][0]]},
        {"options": [{"type": 2, "name": "group", "description": "d", "options": [ASK["options"][0]]}]},
        {"options": [{"type": 3, "name": "o", "description": "d", "choices": [{"name": "", "value": "v"}]}]},
    ],
)
async def test_what_is_no_command(discord_server: DiscordServer, wrong: dict[str, Any]) -> None:
    """A command that breaks a rule of Discord's is not taken."""
    async with running(discord_server) as client:
        with pytest.raises(discord.HTTPException) as caught:
            await registered(client, {**ASK, **wrong})

    assert 50035 == caught.value.code
    assert not discord_server.commands.registered


# ------------------------------------------------------------------------ OAuth2


async def test_a_person_signs_in(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """By a code that is good once, with PKCE; the token says who they are until it is revoked."""
    (ada,) = discord_people.come("ada")
    oauth = discord_server.oauth
    oauth.redirect_uris.append("http://127.0.0.1:1/back")
    oauth.signed_in = ada.user
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "client_id": oauth.client_id,
        "redirect_uri": "http://127.0.0.1:1/back",
        "response_type": "code",
        "scope": "identify",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    basic = aiohttp.encode_basic_auth(oauth.client_id, oauth.client_secret)
    form = {"grant_type": "authorization_code", "redirect_uri": asked["redirect_uri"]}
    async with aiohttp.ClientSession() as session:

        async def decide(what: str) -> Mapping[str, str]:
            async with session.post(oauth.authorize_url, data={**asked, "do": what}, allow_redirects=False) as back:
                return dict(parse_qsl(urlsplit(back.headers["Location"]).query))

        async def exchange(code: str, verifier: str) -> tuple[int, Any]:
            data = {**form, "code": code, "code_verifier": verifier}
            async with session.post(oauth.token_url, data=data, headers={"Authorization": basic}) as answer:
                return answer.status, await answer.json()

        async def who(token: str) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(f"{discord_server.api}/users/@me", headers=headers) as answer:
                return answer.status, (await answer.json()).get("id")

        async with session.get(oauth.authorize_url, params=asked) as page:
            html = await page.text()
        async with session.get(oauth.authorize_url, params={**asked, "redirect_uri": "http://evil.test/"}) as page:
            refused = page.status
        denied = await decide("cancel")
        wrong = await exchange((await decide("authorize"))["code"], "w" * 43)
        code = (await decide("authorize"))["code"]
        status, given = await exchange(code, verifier)
        known = await who(given["access_token"])
        again = await exchange(code, verifier)
        spent = await who(given["access_token"])

    assert ">ada<" in html
    assert (400, "access_denied", "s") == (refused, denied["error"], denied["state"])
    assert [(400, "invalid_grant")] * 2 == [(one[0], one[1]["error"]) for one in (wrong, again)]
    assert (200, "identify") == (status, given["scope"])
    assert ((200, ada.id), (401, None)) == (known, spent)


async def test_everything_is_written_down_but_tokens(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """Requests and frames can be looked at, and shown."""
    (ada,) = discord_people.come("ada")
    async with running(discord_server) as client:
        await registered(client, ASK)
        ada.slash("ask", what="why")
        interaction = await client.clicked.get()
        await interaction.response.send_message("because")
        await interaction.followup.send("so")

    shown = repr([discord_server, discord_server.requests, discord_server.frames, discord_server.interactions.all])
    assert ["because"] == [one.json["data"]["content"] for one in discord_server.asked("POST /interactions/*")]
    assert [200] == [one.status for one in discord_server.asked("POST /webhooks/*")]
    assert discord_server.token not in shown
    assert interaction.token not in shown


# ------------------------------------------------------------------ what goes wrong


async def test_a_burst_comes_in_order(discord_server: DiscordServer, discord_people: DiscordPeople) -> None:
    """A thousand messages, of which the connection is cut in the middle, and a restart after them."""
    ada, grace = discord_people.come("ada", "grace")
    said = [str(number) for number in range(1000)]
    async with running(discord_server) as client:
        for text in said:
            ada.say(text)
            if text == "500":
                await discord_server.until(lambda: client.heard.qsize() > 100)
                discord_server.gateway.cut()
        heard = [int((await client.heard.get()).content) for _ in said]
        await discord_server.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.get_partial_messageable(int(discord_server.general.id)).send("nobody there")
        await discord_server.start()
        grace.say("up again")
        again = await client.heard.get()

    assert list(range(1000)) == heard
    assert "up again" == again.content
    assert 1 <= discord_server.gateway.count("RESUMED")


async def test_pings_are_what_allowed_mentions_lets_through(
    discord_server: DiscordServer, discord_people: DiscordPeople
) -> None:
    """None by default here, and each that was allowed is on record."""
    ada, grace = discord_people.come("ada", "grace")
    text = f"{ada.mention} {grace.mention} @everyone"
    async with running(discord_server) as client:
        general = client.get_partial_messageable(int(discord_server.general.id))
        await general.send(text)
        assert not discord_server.world.pings
        await general.send(
            text, allowed_mentions=discord.AllowedMentions(everyone=True, users=[discord.Object(int(ada.id))])
        )

    ((_, pings),) = discord_server.world.pings
    assert ((ada.user,), False) == (pings.users, pings.everyone)


@pytest.mark.parametrize(
    "components",
    [
        [{"type": 2, "style": 1, "label": "x" * 81, "custom_id": "a"}],
        [{"type": 2, "style": 1, "label": "", "custom_id": "a"}],
        [{"type": 2, "style": 1, "label": "a", "custom_id": "x" * 101}],
        [{"type": 2, "style": 5, "label": "a", "url": "https://x.test/" + "x" * 512}],
        [{"type": 2, "style": 5, "label": "a", "url": "ftp://x.test"}],
        [{"type": 2, "style": 1, "label": "a", "custom_id": "same"}] * 2,
        [{"type": 2, "style": 1, "label": "a", "custom_id": str(number)} for number in range(6)],
        [{"type": 3, "custom_id": "a", "options": []}],
        [{"type": 3, "custom_id": "a", "options": [{"label": str(n), "value": str(n)} for n in range(26)]}],
        [{"type": 3, "custom_id": "a", "options": [{"label": "a", "value": "same"}] * 2}],
    ],
)
async def test_what_is_no_button(discord_server: DiscordServer, components: list[dict[str, Any]]) -> None:
    """A component that breaks a rule of Discord's is not taken, and nothing is said."""
    body = {"content": "x", "components": [{"type": 1, "components": components}]}
    url = f"{discord_server.api}/channels/{discord_server.general.id}/messages"
    headers = {"Authorization": f"Bot {discord_server.token}"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=body) as answer:
        error = await answer.json()

    assert (400, 50035) == (answer.status, error["code"])
    assert "application/json" == answer.headers["Content-Type"]
    assert not discord_server.general.messages
