"""What becomes of a message on Discord."""

from typing import Any

import discord
import pytest

import discord_payloads as says
from adapters.discord.hearing import heard, shown
from omnibot.identity import Assurance, Identity
from omnibot.message import Channel, Message, Origin

NETWORK = "guildhall"
ME = f"<@{says.ME}>"


class Listener:
    """Keeps what is heard."""

    def __init__(self) -> None:
        self.heard: list[Message | None] = []
        self.ids: list[int] = []

    def said(self, message: discord.Message, *, edit: bool) -> None:
        self.ids.append(message.id)
        self.heard.append(heard(NETWORK, says.ME, message, edit=edit))

    def asked(self, interaction: discord.Interaction) -> None:
        raise AssertionError("nobody presses anything here")

    def ready(self) -> None:
        pass

    def unreadable(self, event: str, error: Exception) -> None:
        raise error

    async def room(self) -> None:
        pass


def hear(content: str, event: str = "MESSAGE_CREATE", **more: Any) -> Message | None:
    """Return what is heard when somebody says *content*."""
    listener = Listener()
    says.tell(says.connected(listener), event, says.message(content, **more))
    assert len(listener.heard) == 1
    return listener.heard[0]


def certainly(message: Message | None) -> Message:
    """Return *message*, which was heard."""
    assert message is not None
    return message


async def test_a_message_in_a_channel() -> None:
    """Who, where, what, and when by Discord's own clock."""
    message = certainly(hear("!ping", id="1400000000000000000", author=says.user(global_name="Ada L.")))

    assert Identity(NETWORK, "1001") == message.speaker
    assert "Ada L." == message.speaker.display
    assert Channel(NETWORK, "110", private=False, name="#general") == message.channel
    assert ("!ping", "1400000000000000000", Assurance.STRONG) == (message.text, message.id, message.assurance)
    assert (Origin.PERSON, False, False) == (message.origin, message.edit, message.addressed)
    assert message.at == pytest.approx((1400000000000000000 >> 22) / 1000 + 1420070400)


async def test_a_direct_message_is_private() -> None:
    """It needs no address, and no text."""
    message = certainly(hear("notes", guild_id=None, channel_id="555"))

    assert Channel(NETWORK, "555", private=True) == message.channel
    assert not message.addressed
    assert "" == certainly(hear("", guild_id=None)).text


async def test_a_group_is_not_private() -> None:
    """It is none of discord.py's direct messages, and its readers are not known."""
    client = says.connected(Listener())
    group = discord.GroupChannel(
        me=client._connection.user,  # type: ignore[arg-type]  # it is there
        state=client._connection,
        data={"id": "77", "type": 3, "recipients": [], "icon": None, "owner_id": "1001", "name": "us"},
    )
    message = discord.Message(state=client._connection, channel=group, data=says.message("hi"))  # type: ignore[arg-type]

    assert Channel(NETWORK, "77", private=False, name="us") == certainly(heard(NETWORK, says.ME, message)).channel


async def test_a_thread_has_a_name() -> None:
    """Its own; and a channel that discord.py does not know is taken for one that others read."""
    thread = certainly(hear("hi", channel_id="120")).channel
    assert Channel(NETWORK, "120", name="#the plan") == thread
    assert ("110",) == thread.within
    assert Channel(NETWORK, "999") == certainly(hear("hi", channel_id="999")).channel
    assert Channel(NETWORK, "999") == certainly(hear("hi", channel_id="999", guild_id="666")).channel


@pytest.mark.parametrize(
    ("more", "origin"),
    [
        ({"author": says.user(says.ME, "omnibot", bot=True)}, Origin.SELF),
        ({"author": says.user(says.ME, "omnibot", bot=True), "webhook_id": "901"}, Origin.SELF),
        ({"author": says.user(7, "relay", bot=True)}, Origin.BOT),
        ({"author": says.user(7, "Discord", system=True)}, Origin.BOT),
        ({"author": says.user(7, "ada"), "webhook_id": "7"}, Origin.WEBHOOK),
    ],
)
async def test_who_is_no_person(more: dict[str, Any], origin: Origin) -> None:
    """The core drops them; here they are told apart (A28, A30)."""
    assert origin == certainly(hear("!ping", **more)).origin


async def test_an_edit_is_one() -> None:
    """Whatever changed it, its author or Discord, which adds previews (A30)."""
    message = certainly(hear("!ping", event="MESSAGE_UPDATE", edited_timestamp="2026-01-01T00:00:01+00:00"))

    assert message.edit


@pytest.mark.parametrize(
    "more",
    [
        {"message_reference": {"type": 1, "message_id": "5", "channel_id": "6"}},
        {
            "message_reference": {"type": 1, "message_id": "5", "channel_id": "6"},
            "message_snapshots": [
                {
                    "message": {
                        "type": 0,
                        "content": "!api DELETE /all",
                        "mentions": [],
                        "mention_roles": [],
                        "attachments": [],
                        "embeds": [],
                        "timestamp": "2026-01-01T00:00:00+00:00",
                        "edited_timestamp": None,
                        "flags": 0,
                        "components": [],
                    }
                }
            ],
        },
    ],
)
async def test_what_is_forwarded_says_nothing(more: dict[str, Any]) -> None:
    """Somebody else said it, somewhere else (A31)."""
    assert hear("", **more) is None
    assert hear("!api DELETE /all", **more) is None
    assert "" == certainly(hear("!api DELETE /all", guild_id=None, **more)).text


@pytest.mark.parametrize("kind", [6, 7, 8, 18, 20, 21, 23, 24, 46, 999])
async def test_what_discord_itself_says(kind: int) -> None:
    """Pins, joins, boosts, threads, slash commands: nobody typed that; and what is not known yet neither."""
    assert hear("!ping", type=kind) is None


async def test_what_one_person_is_shown_is_not_heard() -> None:
    """Discord tells of it without its server, as of a direct message."""
    assert hear("!ping", guild_id=None, flags=64) is None


async def test_nothing_to_read_is_nothing() -> None:
    """A picture; or anything at all, where the bot has no message content intent."""
    assert hear("") is None


MENTIONED: dict[str, Any] = {"mentions": [says.user(says.ME, "omnibot", bot=True)]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f"{ME} ping", "ping"),
        (f"<@!{says.ME}>, ping", "ping"),
        (f" {ME}: ping", "ping"),
        (f"{ME} {ME} ping", "ping"),
        (f"{ME}", ""),
        (f"please {ME} ping", f"please {ME} ping"),
        (f"{ME} tell <@5>", "tell <@5>"),
    ],
)
async def test_said_to_the_bot(content: str, text: str) -> None:
    """The mention at the beginning is no part of what is said; any other is."""
    message = certainly(hear(content, **MENTIONED))

    assert (True, text) == (message.addressed, message.text)


async def test_said_to_the_bots_own_role() -> None:
    """Clients offer it beside the bot's name; other roles are other people."""
    message = certainly(hear(f"<@&{says.OWN_ROLE}> ping", mention_roles=[str(says.OWN_ROLE)]))

    assert (True, "ping") == (message.addressed, message.text)

    message = certainly(hear("<@&191> ping", mention_roles=["191"]))

    assert (False, "<@&191> ping") == (message.addressed, message.text)


async def test_a_reply_with_a_ping() -> None:
    """Discord adds the mention, which no text has; without a ping it is not there."""
    said = says.message("Which one?", author=says.user(says.ME, "omnibot", bot=True))
    reply: dict[str, Any] = {
        "type": 19,
        "message_reference": {"message_id": said["id"], "channel_id": str(says.CHANNEL), "guild_id": str(says.GUILD)},
        "referenced_message": said,
    }

    assert certainly(hear("2", **reply, **MENTIONED)).addressed
    assert not certainly(hear("2", **reply)).addressed


async def test_a_quoted_mention_is_not_meant() -> None:
    """Whoever quotes somebody speaking to the bot does not speak to it (A31)."""
    message = certainly(hear(f"> {ME} ping\nlook at that", **MENTIONED))

    assert not message.addressed


async def test_everybody_is_not_the_bot() -> None:
    """A mention without the bot's id is somebody else's."""
    assert not certainly(hear("@everyone ping", mention_everyone=True)).addressed
    assert not certainly(hear(f"{ME} ping")).addressed


def test_names_are_only_shown() -> None:
    """On one line, and not without end."""
    assert "a b" == shown("a\n\u202eb")
    assert 64 == len(shown("x" * 100))
