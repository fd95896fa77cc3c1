"""The gateway: the WebSocket by which Discord tells a bot what happens (Gateway; version 10, JSON, uncompressed)."""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from servers.discord.connection import Closed, Connection
from servers.discord.model import Guild
from servers.discord.session import Frame, Session, Way
from servers.discord.wire import APPLICATION_FLAGS, KNOWN_INTENTS, PRIVILEGED, Changes, Intent, Json, Op
from servers.discord.world import Event, World


class Gateway:
    """All connections and sessions of the one bot, and what goes wrong on demand."""

    def __init__(self, token: str, changes: Changes) -> None:
        self.token = token
        """The token that Identify and Resume have to show."""

        self._changes = changes
        self.world: World
        self.url = ""
        """Its address, ``ws://…``."""

        self.interval = 41.25
        """Seconds between two heartbeats of the bot's."""

        self.privileged = Intent.MESSAGE_CONTENT
        """The privileged intents that the application has been given."""

        self.flowing = asyncio.Event()
        """Whether anything is told; see `silence`."""

        self.flowing.set()
        self.refusing = False
        """Whether a connection is cut before the WebSocket is up."""

        self.delay = 0.0
        """Seconds that each event takes longer."""

        self.failing = 0
        """A status of HTTP that new connections are answered with instead."""

        self.frames = list[Frame]()
        """Every frame, both ways, since the server came up."""

        self.connections = list[Connection]()
        self.accepted = 0
        """How many connections there have been."""

        self.sessions = dict[str, Session]()

    # ------------------------------------------------------------------ faults

    def cut(self) -> None:
        """Cut every connection; the sessions can be resumed."""
        for one in self.connections:
            one.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Close every connection with *code*."""
        for one in list(self.connections):
            await one.close(code, reason)

    def reconnect(self) -> None:
        """Ask the bot to connect again and resume: op 7."""
        self._send(Op.RECONNECT)

    def invalidate(self, *, resumable: bool) -> None:
        """Say that the session is invalid: op 9; one that is not *resumable* is forgotten."""
        if not resumable:
            self.forget()
        self._send(Op.INVALID_SESSION, resumable)

    def forget(self) -> None:
        """Forget all sessions, so that a Resume is answered by op 9 with ``false``."""
        self.sessions.clear()
        for one in self.connections:
            one.session = None

    def silence(self, on: bool = True) -> None:
        """Answer no heartbeat and tell nothing, as a half-open connection would; with ``False`` go on."""
        if on:
            self.flowing.clear()
        else:
            self.flowing.set()

    def poison(self) -> None:
        """Tell of a message that has no author, on which a client's parser fails."""
        self.emit(Event("MESSAGE_CREATE", {"id": "1", "channel_id": self.world.general.id, "content": "broken"}))

    def beat(self) -> None:
        """Ask for a heartbeat at once: op 1."""
        self._send(Op.HEARTBEAT)

    # ----------------------------------------------------------------- waiting

    @property
    def connected(self) -> bool:
        """Whether a bot is there, and identified or resumed."""
        return any(one.session is not None for one in self.connections)

    async def until_ready(self, times: int = 1) -> None:
        """Return once there have been so many READY, and a bot is connected."""
        await self.until("READY", times)

    async def until_resumed(self, times: int = 1) -> None:
        """Return once there have been so many RESUMED, and a bot is connected."""
        await self.until("RESUMED", times)

    async def until(self, event: str, times: int = 1) -> None:
        """Return once so many of *event* have gone out, and a bot is connected."""

        def so() -> bool:
            return self.connected and self.count(event) >= times

        await self._changes.until(so, lambda: f"{times} times {event}; there were {self.frames[-20:]}")

    def count(self, event: str) -> int:
        """Return how many of *event* have gone out."""
        return sum(frame.event == event and frame.way == "out" for frame in self.frames)

    def received(self, op: Op) -> list[Frame]:
        """Return the frames with *op* that came from the bot."""
        return [frame for frame in self.frames if (frame.way, frame.op) == ("in", op)]

    # --------------------------------------------------------------- protocol

    def emit(self, event: Event) -> None:
        """Tell every session of *event* that has asked for such."""
        for session in self.sessions.values():
            if event.intent & session.intents or not event.intent:
                blank = event.blanked is not None and not session.intents & Intent.MESSAGE_CONTENT
                self._dispatch(session, event.name, event.blanked if blank and event.blanked else event.data)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection."""
        if self.failing:
            return web.Response(status=self.failing)
        if self.refusing:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        socket = web.WebSocketResponse(max_msg_size=4096, compress=False)
        await socket.prepare(request)
        connection = Connection(self, socket, request)
        if request.query.get("v") != "10" or request.query.get("encoding") != "json":
            await connection.close(4012, "Invalid API version.")
            return socket
        self.accepted += 1
        self.connections.append(connection)
        self._changes.notify()
        try:
            await connection.run()
        finally:
            self.connections.remove(connection)
            session = connection.session
            said_goodbye = socket.close_code in (1000, 1001) and not connection.closed_here
            if session is not None and said_goodbye:  # and so it is not to be resumed (Gateway, "Disconnecting")
                self.sessions.pop(session.id, None)
            self._changes.notify()
        return socket

    def record(self, way: Way, frame: Json) -> None:
        """Write *frame* down."""
        at = self.world.clock.now()
        self.frames.append(Frame(way, frame["op"], frame.get("t"), frame.get("d"), frame.get("s"), at))
        self._changes.notify()

    def identify(self, connection: Connection, data: Json) -> None:
        """Begin a session: READY, and a GUILD_CREATE for each guild (Gateway, "Identifying").

        Raises:
            Closed: the token or the intents are wrong.
        """
        if data.get("token") != self.token:
            raise Closed(4004, "Authentication failed.")
        if not isinstance(data.get("properties"), dict) or not isinstance(data.get("intents"), int):
            raise Closed(4002, "Error while decoding payload.")
        if data["intents"] & ~KNOWN_INTENTS:
            raise Closed(4013, "Invalid intent(s).")
        intents = Intent(data["intents"])
        if intents & PRIVILEGED & ~self.privileged:
            raise Closed(4014, "Disallowed intent(s).")
        session = Session(intents)
        self.sessions[session.id] = session
        connection.session = session
        self._dispatch(session, "READY", self._ready(session))
        if intents & Intent.GUILDS:
            for guild in self._guilds():
                self._dispatch(session, "GUILD_CREATE", guild.wire(self.world.bot))

    def resume(self, connection: Connection, data: Json) -> None:
        """Go on with a session: what was missed, and RESUMED (Gateway, "Resuming").

        Raises:
            Closed: the token or the number is wrong.
        """
        if data.get("token") != self.token:
            raise Closed(4004, "Authentication failed.")
        session = self.sessions.get(str(data.get("session_id")))
        if session is None:
            connection.send(Op.INVALID_SESSION, False)
            return
        if not isinstance(data.get("seq"), int) or data["seq"] > session.seq:
            raise Closed(4007, "Invalid seq.")
        for other in self.connections:
            if other.session is session:
                other.session = None
        for seq, name, missed in session.sent:
            if seq > data["seq"]:
                connection.send(Op.DISPATCH, missed, name, seq)
        connection.session = session
        self._dispatch(session, "RESUMED", {})

    def members(self, session: Session, data: Json) -> None:
        """Tell of a guild's members: GUILD_MEMBERS_CHUNK."""
        guild = self.world.guilds[str(data["guild_id"])]
        chunk = {
            "guild_id": guild.id,
            "members": [one.wire() for one in guild.members.values()],
            "chunk_index": 0,
            "chunk_count": 1,
            "nonce": data.get("nonce"),
        }
        self._dispatch(session, "GUILD_MEMBERS_CHUNK", chunk)

    def application_flags(self) -> int:
        """Return the application's flags, which show the privileged intents it was given."""
        return sum(flag for intent, flag in APPLICATION_FLAGS.items() if intent & self.privileged)

    @property
    def may_read(self) -> bool:
        """Whether the application has been given the message content intent."""
        return bool(self.privileged & Intent.MESSAGE_CONTENT)

    def _guilds(self) -> Iterable[Guild]:
        return [one for one in self.world.guilds.values() if self.world.bot.id in one.members]

    def _ready(self, session: Session) -> Json:
        return {
            "v": 10,
            "user": {**self.world.bot.wire(), "verified": True, "mfa_enabled": True, "email": None, "flags": 0},
            "guilds": [{"id": guild.id, "unavailable": True} for guild in self._guilds()],
            "session_id": session.id,
            "session_type": "normal",
            "resume_gateway_url": self.url,
            "application": {"id": self.world.application_id, "flags": self.application_flags()},
            "private_channels": [],
            "user_settings": {},
        }

    def _dispatch(self, session: Session, name: str, data: Json) -> None:
        session.seq += 1
        session.sent.append((session.seq, name, data))
        for one in self.connections:
            if one.session is session:
                one.send(Op.DISPATCH, data, name, session.seq)

    def _send(self, op: Op, data: object = None) -> None:
        for one in self.connections:
            one.send(op, data)
