"""One connection of the gateway: frames in and out, heartbeats, and the codes it is closed with."""

import asyncio
import json
from contextlib import suppress
from typing import Protocol

from aiohttp import WSMsgType, web

from servers.discord.session import Session, Way
from servers.discord.wire import Json, Op


class Owner(Protocol):
    """What a connection asks the gateway for."""

    interval: float
    delay: float
    flowing: asyncio.Event

    def record(self, way: Way, frame: Json, /) -> None:
        """Write *frame* down."""

    def identify(self, connection: "Connection", data: Json, /) -> None:
        """Begin a session."""

    def resume(self, connection: "Connection", data: Json, /) -> None:
        """Go on with one."""

    def members(self, session: Session, data: Json, /) -> None:
        """Tell of a guild's members."""


class Closed(Exception):
    """The connection is closed, with that code (Opcodes and Status Codes, Gateway Close Event Codes)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Connection:
    """One WebSocket of the bot's; frames go out in order by a task of its own."""

    def __init__(self, gateway: Owner, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.gateway = gateway
        self.socket = socket
        self.request = request
        self.session: Session | None = None
        self.closed_here = False
        """Whether it was closed from this side."""

        self.beaten = asyncio.Event()
        self._queue = asyncio.Queue[Json]()

    def send(self, op: Op, data: object = None, event: str | None = None, seq: int | None = None) -> None:
        """Put a frame into the queue."""
        self._queue.put_nowait({"op": int(op), "d": data, "s": seq, "t": event})

    async def close(self, code: int, reason: str = "") -> None:
        """Close it, with a code of Discord's; the session can be resumed."""
        self.closed_here = True
        with suppress(ConnectionError):
            await self.socket.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Cut it: the socket is gone, and nobody says goodbye."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def run(self) -> None:
        """Speak until it ends."""
        helpers = [asyncio.create_task(self._write()), asyncio.create_task(self._watch())]
        self.send(Op.HELLO, {"heartbeat_interval": int(self.gateway.interval * 1000)})
        try:
            async for message in self.socket:
                if message.type is not WSMsgType.TEXT:
                    raise Closed(4002, "Error while decoding payload.")
                self._take(message.data)
        except Closed as closed:
            await self.close(closed.code, closed.reason)
        except ConnectionError:
            pass
        finally:
            for one in helpers:
                one.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            frame = await self._queue.get()
            await self.gateway.flowing.wait()
            if self.gateway.delay and frame["op"] == Op.DISPATCH:
                await asyncio.sleep(self.gateway.delay)
            self.gateway.record("out", frame)
            with suppress(ConnectionError):
                await self.socket.send_str(json.dumps(frame))

    async def _watch(self) -> None:
        """Close the connection of who does not beat (Gateway, "Sending Heartbeats")."""
        try:
            while True:
                async with asyncio.timeout(self.gateway.interval * 1.5):
                    await self.beaten.wait()
                self.beaten.clear()
        except TimeoutError:
            await self.close(4009, "Session timed out.")

    def _take(self, text: str) -> None:
        try:
            frame = json.loads(text)
            op, data = frame["op"], frame.get("d")
        except (ValueError, KeyError, TypeError):
            raise Closed(4002, "Error while decoding payload.") from None
        self.gateway.record("in", frame)
        if op == Op.HEARTBEAT:
            self.beaten.set()
            self.send(Op.ACK)
        elif op == Op.IDENTIFY:
            if self.session is not None:
                raise Closed(4005, "Already authenticated.")
            self.gateway.identify(self, data)
        elif op == Op.RESUME:
            self.gateway.resume(self, data)
        elif op in (Op.PRESENCE, Op.REQUEST_MEMBERS, Op.VOICE_STATE):
            if self.session is None:
                raise Closed(4003, "Not authenticated.")
            if op == Op.REQUEST_MEMBERS:
                self.gateway.members(self.session, data)
        else:
            raise Closed(4001, "Unknown opcode.")
