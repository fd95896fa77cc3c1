"""A bare client of discord.py on the stand-in, with what the adapter says by and hears interactions with."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import discord

from adapters.discord.client import addressed
from adapters.discord.interactions import Interactions
from adapters.discord.menu import Menu
from adapters.discord.saying import Saying
from adapters.discord.settings import Settings
from omnibot.command import Command
from omnibot.identity import Assurance, Identity
from omnibot.message import Channel, Message
from omnibot.provider import Secret
from servers.discord.model import Channel as Place
from servers.discord.people import Person
from servers.discord.server import DiscordServer

NETWORK = "discord"


class Bot(discord.Client):
    """Hears interactions only, and keeps what they say."""

    def __init__(self, server: DiscordServer, commands: Sequence[Command]) -> None:
        super().__init__(
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            guild_ready_timeout=0.05,
            max_ratelimit_timeout=60.0,
        )
        self.server = server
        self.menu = Menu(commands)
        log = logging.getLogger("omnibot.discord")
        self.interactions = Interactions(NETWORK, "!", lambda: self.menu, log)
        self.saying = Saying(NETWORK, self, self.interactions, log)
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.taken = 0

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        message = await self.interactions.take(interaction)
        self.taken += 1
        if message is not None:
            self.heard.put_nowait(message)

    async def hear(self) -> Message:
        """Return what was said next by an interaction."""
        return await asyncio.wait_for(self.heard.get(), 10)


@asynccontextmanager
async def a_bot(server: DiscordServer, *commands: Command) -> AsyncIterator[Bot]:
    """Log a bot in that has *commands*, and out again."""
    settings = Settings(token=Secret(server.token), api=server.api, gateway=server.gateway_url)
    with addressed(settings):
        bot = Bot(server, commands)
        await bot.login(server.token)
        running = asyncio.create_task(bot.connect())
        try:
            await asyncio.wait_for(bot.wait_until_ready(), 10)
            if commands:
                payload: list[Any] = bot.menu.payload()
                await bot.http.bulk_upsert_global_commands(int(server.application_id), payload)
            yield bot
        finally:
            await bot.interactions.close()
            await bot.close()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def typed(person: Person, text: str, message_id: str, where: Place) -> Message:
    """Return what *person* typed into a channel, as the adapter would have heard it."""
    channel = Channel(NETWORK, where.id, private=where.guild is None, name=where.name and f"#{where.name}")
    return Message(NETWORK, message_id, identity(person), channel, text, 0.0, Assurance.STRONG)


def identity(person: Person) -> Identity:
    """Return who *person* is to the bot."""
    return Identity(NETWORK, person.id, display=person.user.username)
