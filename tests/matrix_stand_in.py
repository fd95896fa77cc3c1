"""A stand-in for a Matrix homeserver, in the test's own loop: it says what a test wants, and may misbehave.

It is written from the client-server API (v1.13), and strict: what the API does not have is a failure of the test.
Keys are passed on by `servers.keyserver.KeyServer`, to the one account that it knows, the bot's.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from adapters.matrix import Adapter, Settings
from adapters.matrix.answers import MatrixError
from omnibot.adapter import Tools
from omnibot.identity import Identity
from omnibot.message import Message, why_deaf
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore
from servers.keyserver import KeyServer

type Json = dict[str, Any]

BOT = "@bot:hs.test"
PASSWORD = "a pass word"
API = "/_matrix/client/v3/"


@dataclass
class Fault:
    """An answer that is given instead of the right one."""

    status: int = 500
    body: Json | str | None = None
    done: bool = False
    """Whether what was asked is done all the same, and only the answer is lost."""

    after: Callable[[], None] | None = None
    """What happens just before it is given."""


@dataclass
class Joined:
    """A room that the bot is in."""

    state: list[Json] = field(default_factory=list)
    past: dict[str, tuple[list[Json], str | None]] = field(default_factory=dict)
    """Pages of its history: by the token asked from, the events, newest first, and the next token."""


class StandIn:
    """The homeserver."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = KeyServer()
        self.tokens: dict[str, tuple[str, str]] = {}
        """User and device, by access token."""

        self.flows = ["m.login.password"]
        self.rooms: dict[str, Joined] = {}
        self.direct: Json | None = None
        self.sent: list[tuple[str, str, Json]] = []
        """Room, type and content of each event that was taken."""

        self.asked: list[tuple[str, str, Any]] = []
        """Method, path after ``/v3/`` (decoded), and body of each request."""

        self.faults: list[tuple[str, str, Fault]] = []
        """Method and beginning of the path, and what comes instead, once."""

        self.newest = 0
        self._told: list[Json] = []
        self._transactions: dict[str, str] = {}
        self._more = asyncio.Event()

    @asynccontextmanager
    async def up(self) -> AsyncIterator["StandIn"]:
        """Listen on a port of 127.0.0.1."""
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{rest:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    # ------------------------------------------------------------------ what a test does

    def fault(self, method: str, where: str, fault: Fault, times: int = 1) -> None:
        """Answer the next requests so."""
        self.faults += [(method, where, fault)] * times

    def room(
        self, room: str, *joined: str, invited: tuple[str, ...] = (), encrypted: bool = False, rule: str = "invite"
    ) -> str:
        """Put the bot into *room*, with others."""
        state = [state_event("m.room.create", {"creator": BOT}, sender=BOT)]
        state += [member(one, "join") for one in (BOT, *joined)] + [member(one, "invite") for one in invited]
        state.append(state_event("m.room.join_rules", {"join_rule": rule}))
        if encrypted:
            state.append(state_event("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}))
        self.rooms[room] = Joined(state)
        return room

    def change(self, room: str, event: Json, *, tell: bool = True) -> None:
        """Let a state event happen in *room*; the bot may not be told."""
        here = self.rooms[room]
        same = [one for one in here.state if (one["type"], one["state_key"]) == (event["type"], event["state_key"])]
        here.state = [one for one in here.state if one not in same] + [event]
        if tell:
            self.tell(room, event)

    def tell(self, room: str, *events: Json, limited: bool = False, before: str = "") -> None:
        """Tell of *events* in the next answer to a sync; *before* is the token of what came before them."""
        timeline: Json = {"events": list(events), "limited": limited}
        if before:
            timeline["prev_batch"] = before
        self.answer({"rooms": {"join": {room: {"timeline": timeline}}}})

    def answer(self, answer: Json) -> None:
        """Give *answer* to the next sync."""
        self._told.append(answer)
        self._more.set()

    def bodies(self, room: str = "") -> list[str]:
        """Return the plain texts that the bot said."""
        return [content.get("body", "") for where, _, content in self.sent if room in ("", where)]

    def requests(self, method: str, where: str) -> list[Any]:
        """Return the bodies of the requests of *method* whose paths begin so."""
        return [body for one, path, body in self.asked if one == method and path.startswith(where)]

    # ------------------------------------------------------------------ inside

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = request.raw_path.partition("?")[0]
        if raw.startswith("/_matrix/media/v3/upload"):
            return web.json_response({"content_uri": "mxc://hs.test/file"})
        assert raw.startswith(API), raw
        parts = [unquote(part) for part in raw.removeprefix(API).split("/")]
        text = await request.read()
        body = json.loads(text) if text else None
        where = "/".join(parts)
        self.asked.append((request.method, where, body))
        fault = next((one for one in self.faults if one[0] == request.method and where.startswith(one[1])), None)
        if fault is not None:
            self.faults.remove(fault)
            if fault[2].after is not None:
                fault[2].after()
            if not fault[2].done:
                return _given(fault[2])
        try:
            said = await self._answered(request, parts, body)
        except MatrixError as error:
            said = web.json_response(
                {"errcode": error.code or "M_UNKNOWN", "error": "no", **error.said}, status=error.status or 500
            )
        return _given(fault[2]) if fault is not None else said

    async def _answered(self, request: web.Request, parts: list[str], body: Any) -> web.StreamResponse:
        match (request.method, *parts):
            case ("GET", "login"):
                return web.json_response({"flows": [{"type": one} for one in self.flows]})
            case ("POST", "login"):
                return self._login(body)
        who = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if who is None:
            raise MatrixError("M_UNKNOWN_TOKEN", "", 401)
        user, device = who
        match (request.method, *parts):
            case ("GET", "account", "whoami"):
                return web.json_response({"user_id": user} | ({"device_id": device} if device else {}))
            case ("POST", "logout"):
                self.tokens = {token: one for token, one in self.tokens.items() if one != who}
                return web.json_response({})
            case ("GET", "sync"):
                return web.json_response(await self._sync(request, who))
            case ("GET", "user", _, "account_data", "m.direct"):
                if self.direct is None:
                    raise MatrixError("M_NOT_FOUND", "", 404)
                return web.json_response(self.direct)
            case ("PUT", "user", _, "account_data", "m.direct"):
                self.direct = body
                return web.json_response({})
            case (_, "keys" | "sendToDevice", *_):
                where = request.raw_path.partition("?")[0]
                return web.json_response(await self.keys.client(user, device)(request.method, where, body))
            case ("POST", "createRoom"):
                room = f"!made{len(self.rooms)}"
                self.room(room, invited=tuple(body["invite"]))
                return web.json_response({"room_id": room})
            case ("POST", "join", room):
                self.rooms.setdefault(room, Joined())
                return web.json_response({"room_id": room})
            case (_, "rooms", room, *rest):
                return web.json_response(self._of_room(request, room, rest, body))
        raise AssertionError(f"{request.method} {parts}")

    def _of_room(self, request: web.Request, room: str, rest: list[str], body: Any) -> Any:
        here = self.rooms.get(room)
        if here is None:
            raise MatrixError("M_FORBIDDEN", "", 403)
        match (request.method, *rest):
            case ("GET", "state"):
                return here.state
            case ("GET", "state", kind, key):
                found = [one for one in here.state if (one["type"], one["state_key"]) == (kind, key)]
                if not found:
                    raise MatrixError("M_NOT_FOUND", "", 404)
                return found[0]["content"]
            case ("GET", "joined_members"):
                return {"joined": {one: {} for one in _members(here, "join")}}
            case ("GET", "messages"):
                events, end = here.past[request.query["from"]]
                return {"start": request.query["from"], "chunk": events} | ({"end": end} if end else {})
            case ("PUT", "send", kind, txn):
                return {"event_id": self._take(room, kind, txn, body)}
            case ("PUT", "redact", event, txn):
                return {"event_id": self._take(room, "m.room.redaction", txn, {"redacts": event} | body)}
            case ("POST", "receipt", "m.read", _) | ("PUT", "typing", _) | ("POST", "leave"):
                return {}
        raise AssertionError(f"{request.method} {rest}")

    def _take(self, room: str, kind: str, txn: str, content: Json) -> str:
        if txn not in self._transactions:
            self._transactions[txn] = f"$sent{len(self._transactions)}"
            self.sent.append((room, kind, content))
        return self._transactions[txn]

    def _login(self, body: Json) -> web.StreamResponse:
        if body["type"] not in self.flows:
            raise MatrixError("M_UNKNOWN", "", 400)
        if body["password"] != PASSWORD or body["identifier"] != {"type": "m.id.user", "user": BOT}:
            raise MatrixError("M_FORBIDDEN", "", 403)
        token = f"token{len(self.tokens)}"
        self.tokens[token] = (BOT, body["device_id"])
        return web.json_response({"user_id": BOT, "access_token": token, "device_id": body["device_id"]})

    async def _sync(self, request: web.Request, who: tuple[str, str]) -> Json:
        whole = request.query.get("full_state") == "true"
        if not whole:
            while not self._told:
                self._more.clear()
                await self._more.wait()
        said = self._told.pop(0) if self._told else {}
        rooms = said.setdefault("rooms", {}).setdefault("join", {})
        for room in self.rooms if whole else ():
            rooms.setdefault(room, {})["state"] = {"events": self.rooms[room].state}
        for room, joined in rooms.items():
            joined.setdefault("timeline", {"events": [], "limited": False}).setdefault("prev_batch", f"p{self.newest}")
            joined.setdefault("state", {"events": []})
            joined |= {"ephemeral": {"events": []}, "account_data": {"events": []}}
            here = self.rooms.get(room, Joined())
            counts = {"joined": len(_members(here, "join")), "invited": len(_members(here, "invite"))}
            joined["summary"] = {f"m.{kind}_member_count": count for kind, count in counts.items()}
        self.newest += 1
        left = len(self.keys.one_time.get(who, {}))
        return (
            {
                "to_device": {"events": self.keys.inbox.pop(who, [])},
                "device_one_time_keys_count": {"signed_curve25519": left},
                "device_lists": {"changed": [], "left": []},
                "account_data": {"events": []},
                "presence": {"events": []},
            }
            | said
            | {"next_batch": f"s{self.newest}", "rooms": {"invite": {}, "leave": {}} | said["rooms"]}
        )


def _given(fault: Fault) -> web.StreamResponse:
    if isinstance(fault.body, str):
        return web.Response(status=fault.status, text=fault.body, content_type="text/html")
    return web.json_response(fault.body or {}, status=fault.status)


def _members(room: Joined, membership: str) -> list[str]:
    return [
        one["state_key"]
        for one in room.state
        if one["type"] == "m.room.member" and one["content"]["membership"] == membership
    ]


_NUMBER = iter(range(1, 2**31))


def state_event(kind: str, content: Json, key: str = "", sender: str = "@host:hs.test") -> Json:
    """Return a state event."""
    return said(content, sender, kind=kind) | {"state_key": key}


def member(user: str, membership: str, **content: Any) -> Json:
    """Return that *user* has *membership*."""
    return state_event("m.room.member", {"membership": membership} | content, user, sender=user)


def said(content: Json | str, sender: str, *, kind: str = "m.room.message", event: str = "", age: float = 0.0) -> Json:
    """Return an event that *sender* sent *age* seconds ago; a text is a plain message."""
    return {
        "type": kind,
        "event_id": event or f"$event{next(_NUMBER)}",
        "sender": sender,
        "origin_server_ts": int((time.time() - age) * 1000),
        "content": {"msgtype": "m.text", "body": content} if isinstance(content, str) else content,
        "unsigned": {},
    }


async def soon(condition: Callable[[], object], within: float = 10.0) -> None:
    """Return as soon as *condition* holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - it changes inside of the bot
            await asyncio.sleep(0.005)


class Bot:
    """The adapter as the bot's core runs it, and what it delivered."""

    def __init__(self, adapter: Adapter, tools: Tools) -> None:
        self.adapter = adapter
        self.tools = tools
        self.heard: list[Message] = []
        self.positions: list[str | None] = []
        self.reachable: list[Identity] = []
        self.ready = asyncio.Event()
        self.running: asyncio.Task[None] | None = None

    @property
    def texts(self) -> list[str]:
        """Return what was heard that may run a command."""
        return [one.text for one in self.heard if why_deaf(one, time.time()) is None]

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        """Take what was heard."""
        self.heard += messages
        self.positions.append(position)

    async def until(self, text: str) -> Message:
        """Return the message with *text*, as soon as it was heard."""
        await soon(lambda: any(one.text == text for one in self.heard) or self.is_over)
        self.check()
        return next(one for one in self.heard if one.text == text)

    async def passed(self, positions: int = 1) -> None:
        """Return once so many more answers to a sync were dealt with."""
        goal = len(self.positions) + positions
        await soon(lambda: len(self.positions) >= goal or self.is_over)
        self.check()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.running is not None and self.running.done()

    def check(self) -> None:
        """Raise what it ended with, if it has."""
        if self.running is not None and self.running.done():
            self.running.result()

    async def noted(self, realm: str) -> None:
        """Note that the adapter is ready."""
        self.ready.set()


def bot_of(directory: Path, server: StandIn, secrets: FakeStore | None = None, **options: Any) -> Bot:
    """Return a bot at *server* that does not run yet; *secrets* are what it kept before."""
    given = {"homeserver": server.url, "user": BOT, "encryption": False}
    given |= {} if "token" in options else {"password": Secret(PASSWORD)}
    bot: Bot

    async def position() -> str | None:
        return bot.positions[-1] if bot.positions else None

    tools = Tools(
        "net",
        "!",
        FakeStore(),
        secrets or FakeStore(),
        directory / "own",
        logging.getLogger("omnibot.tests.matrix"),
        commands=list,
        position=position,
        reachable=lambda who: bot.reachable.append(who),
    )
    bot = Bot(Adapter(tools, Settings.model_validate(given | options)), tools)
    return bot


@asynccontextmanager
async def bot_at(
    directory: Path, server: StandIn, secrets: FakeStore | None = None, **options: Any
) -> AsyncIterator[Bot]:
    """Run a bot at *server*, without encryption unless *options* say so; with the block it is ready."""
    bot = bot_of(directory, server, secrets, **options)
    bot.running = asyncio.create_task(bot.adapter.run(bot.deliver, bot.noted))
    try:
        await soon(lambda: bot.ready.is_set() or bot.is_over)
        bot.check()
        yield bot
    finally:
        bot.running.cancel()
        await asyncio.wait([bot.running])
