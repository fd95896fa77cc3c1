"""A stand-in for Discord, written from Discord's documentation (https://discord.com/developers/docs), version 10.

It is no Discord: it is an HTTP server of this project's on 127.0.0.1 that speaks the same wire to the same client
library, over real sockets, and refuses what Discord's documentation says is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from secrets import token_urlsafe
from typing import Self

import pytest
from aiohttp import web

from servers.discord.calls import PREFIX, Api, Request
from servers.discord.commands import Commands
from servers.discord.faults import Faults
from servers.discord.gateway import Gateway
from servers.discord.interactions import Interactions
from servers.discord.model import Channel, Guild, User
from servers.discord.oauth import OAuth
from servers.discord.rest import Rest
from servers.discord.session import Frame
from servers.discord.wire import Changes
from servers.discord.world import World
from servers.faults import HOST
from servers.processes import fixed_ports


class DiscordServer:
    """Discord with one application, whose bot's token is `token`; an async context manager."""

    def __init__(self) -> None:
        self.port = fixed_ports(1)[0]
        self.token = f"{token_urlsafe(18)}.{token_urlsafe(4)}.{token_urlsafe(28)}"
        self.changes = Changes()
        self.gateway = Gateway(self.token, self.changes)
        self.gateway.url = f"ws://{HOST}:{self.port}/gateway"
        self.world = World(self.gateway.emit, self.url, self.changes)
        self.gateway.world = self.world
        self.commands = Commands(self.world.application_id, self.world.clock)
        self.interactions = Interactions(self.world)
        self.oauth = OAuth(self.world, self.url)
        self.faults = Faults()
        self._api = Api(self.token, self.faults, self.world.clock, self.changes)
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"<DiscordServer at {self.url}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.stop()

    # ------------------------------------------------------------ where it is

    @property
    def url(self) -> str:
        """Where everything is, without a slash at the end; the same after a restart."""
        return f"http://{HOST}:{self.port}"

    @property
    def api(self) -> str:
        """The REST API's address: ``discord.http.Route.BASE``."""
        return self.url + PREFIX

    @property
    def gateway_url(self) -> str:
        """The gateway's address: ``DiscordWebSocket.DEFAULT_GATEWAY``."""
        return self.gateway.url

    @property
    def application_id(self) -> str:
        """The application's id, which is not the bot's."""
        return self.world.application_id

    @property
    def bot(self) -> User:
        """The bot."""
        return self.world.bot

    @property
    def guild(self) -> Guild:
        """The guild that is there from the beginning."""
        return self.world.guild

    @property
    def general(self) -> Channel:
        """Its channel that is there from the beginning."""
        return self.world.general

    # ------------------------------------------------------------ what it does

    @property
    def requests(self) -> list[Request]:
        """Every request of the REST API, in order."""
        return self._api.requests

    @property
    def frames(self) -> list[Frame]:
        """Every frame of the gateway, both ways."""
        return self.gateway.frames

    def asked(self, route: str) -> list[Request]:
        """Return the requests of *route*: a method and a path that may have ``*`` in it."""
        return [one for one in self.requests if one.matches(route)]

    def move(self, seconds: float) -> None:
        """Move its clock ahead: tokens of interactions end after 15 minutes."""
        self.world.clock.move(seconds)

    async def until(self, found: Callable[[], object], failed: str = "it did not come", within: float = 15.0) -> None:
        """Return once *found*, which is called at each change, is true."""
        await self.changes.until(found, lambda: failed, within)

    # ------------------------------------------------------------- up and down

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self._runner is not None

    async def start(self) -> None:
        """Start it, unless it is up; everything is as it was."""
        if self._runner is not None:
            return
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes(Rest(self.world, self.gateway, self.oauth).routes(self._api))
        app.add_routes(self.interactions.routes(self._api))
        app.add_routes(self.commands.routes(self._api))
        app.add_routes(self.oauth.routes())
        app.router.add_get("/gateway", self.gateway.serve)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/attachments/{id}/{name}", self._attachment)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, reuse_address=True).start()

    async def stop(self) -> None:
        """Stop it: connections are cut, and new ones are refused."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            self.gateway.cut()
            await asyncio.sleep(0)
            await runner.cleanup()

    async def _attachment(self, request: web.Request) -> web.Response:
        found = self.world.files.get(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found.data, content_type="application/octet-stream")


@pytest.fixture
async def discord_server() -> AsyncIterator[DiscordServer]:
    """The stand-in for Discord, new for each test."""
    async with DiscordServer() as server:
        yield server
