"""What Discord's gateway says, made up: the least that discord.py understands."""

import itertools
from typing import Any

from adapters.discord.client import Client, Ears
from adapters.discord.settings import Settings
from omnibot.provider import Secret

ME, ADA, GUILD, CHANNEL, OWN_ROLE = 900, 1001, 100, 110, 190

_ids = itertools.count(1_400_000_000_000_000_000)


def settings(**options: Any) -> Settings:
    """Return settings with a made-up token."""
    return Settings.model_validate({"token": Secret("made-up")} | options)


def user(number: int = ADA, name: str = "ada", **more: Any) -> dict[str, Any]:
    """Return a user."""
    return {"id": str(number), "username": name, "discriminator": "0", "avatar": None, "global_name": None} | more


def message(content: str, **more: Any) -> dict[str, Any]:
    """Return a message of Ada's in a guild's channel; with ``guild_id=None`` in a direct message."""
    made = {
        "id": str(next(_ids)),
        "channel_id": str(CHANNEL),
        "guild_id": str(GUILD),
        "author": user(),
        "content": content,
        "timestamp": "2026-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
        "type": 0,
    } | more
    return {key: value for key, value in made.items() if value is not None}


def guild() -> dict[str, Any]:
    """Return a guild with a channel, a thread and the bot's own role."""
    role = {"color": 0, "hoist": False, "position": 0, "permissions": "0", "managed": False, "mentionable": False}
    thread = {
        "id": "120",
        "type": 11,
        "parent_id": str(CHANNEL),
        "guild_id": str(GUILD),
        "owner_id": str(ADA),
        "name": "the plan",
        "message_count": 0,
        "member_count": 1,
        "thread_metadata": {
            "archived": False,
            "locked": False,
            "auto_archive_duration": 60,
            "archive_timestamp": "2026-01-01T00:00:00+00:00",
        },
    }
    return {
        "id": str(GUILD),
        "name": "lab",
        "owner_id": str(ADA),
        "member_count": 2,
        "roles": [
            role | {"id": str(GUILD), "name": "@everyone"},
            role | {"id": str(OWN_ROLE), "name": "bot", "managed": True, "tags": {"bot_id": str(ME)}},
            role | {"id": "191", "name": "crew"},
        ],
        "channels": [
            {"id": str(CHANNEL), "type": 0, "name": "general", "position": 0, "permission_overwrites": []},
        ],
        "members": [],
        "threads": [thread],
    }


def ready() -> dict[str, Any]:
    """Return what a session begins with."""
    return {
        "v": 10,
        "user": user(ME, "omnibot", bot=True),
        "guilds": [{"id": str(GUILD), "unavailable": True}],
        "session_id": "s",
        "resume_gateway_url": "ws://127.0.0.1:1/",
        "application": {"id": "901", "flags": 0},
    }


def connected(ears: Ears, **options: Any) -> Client:
    """Return a client that believes it is connected; `tell` it what happens."""
    client = Client(ears, settings(**options))
    tell(client, "READY", ready())
    tell(client, "GUILD_CREATE", guild())
    return client


def tell(client: Client, event: str, data: dict[str, Any]) -> None:
    """Have *client* take *data* as *event* from its gateway."""
    client._connection.parsers[event](data)
