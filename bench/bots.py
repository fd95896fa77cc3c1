"""A whole bot between a network and a service that both answer at once."""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

from omnibot.adapter import Adapter, Capabilities, Limits
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.core import Core, Options
from omnibot.identity import Assurance, Identity
from omnibot.markup import PlainRenderer
from omnibot.message import Channel, Message, Private, Reply, Sent
from omnibot.provider import Secret
from omnibot.registry import find_skills
from omnibot.skill import Context, LinkedContext, Skill
from omnibot.vault import Keyring
from omnibot.wire import Answer, Request

NETWORK = "null"
_SERVICE = "http://127.0.0.1:9"
_METADATA = {
    "issuer": _SERVICE,
    "authorization_endpoint": f"{_SERVICE}/authorize",
    "token_endpoint": f"{_SERVICE}/token",
    "code_challenge_methods_supported": ["S256"],
}

BARE = """
SELECT * FROM identities i JOIN people p ON p.id = i.person LEFT JOIN accounts a ON a.person = p.id
WHERE i.network = ? AND i.subject = ? AND i.epoch = ?
"""
"""The least that tells whose accounts an identity's are."""

skill = Skill("bench")


@skill.command
async def plain(ctx: Context) -> str:
    """Answer in words alone."""
    return "pong"


@skill.command
async def bold(ctx: Context) -> str:
    """Answer with markup."""
    return "**pong**"


@skill.linked("demo")
async def mine(ctx: LinkedContext) -> str:
    """Answer with something of the speaker's."""
    found = await ctx.api.get("/api/notes")
    return str(found["text"])


class NullSender:
    """The demo service, as far as linking and a command need it; everybody is somebody else there."""

    def __init__(self) -> None:
        """Know nobody."""
        self._numbers = itertools.count(1)

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - the contract's
        limit: int = 1_048_576,
    ) -> Answer:
        """Answer *request* by its path."""
        return Answer(200, {"content-type": "application/json"}, json.dumps(self._body(request.url)).encode())

    def _body(self, url: str) -> object:
        match url.removeprefix(_SERVICE):
            case "/api/notes":
                return {"text": "pong"}
            case "/token":
                access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
                return {"access_token": access, "refresh_token": refresh, "expires_in": 86400, "scope": "notes:read"}
            case "/api/me":
                number = next(self._numbers)
                return {"id": number, "login": f"user-{number}", "name": "A User"}
        return _METADATA


class NullAdapter:
    """A network that renders what is said, as all do, and takes it at once."""

    capabilities = Capabilities()
    limits = Limits(text=2000)

    def __init__(self) -> None:
        """Have heard and said nothing."""
        self.links: dict[Identity, str] = {}
        self.answers: dict[Identity, asyncio.Future[str]] = {}
        self._renderer = PlainRenderer()
        self._sent = Sent(NETWORK, "c", "1")

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Take *reply*; remember a link in it, and wake whoever waits for it."""
        shown = self._renderer.render(reply.text)
        if isinstance(to, Private):
            if reply.link is not None:
                self.links[to.identity] = reply.link.url
            if to.identity in self.answers:
                self.answers.pop(to.identity).set_result(shown)
        return self._sent


@dataclass(slots=True)
class Bot:
    """The bot, and ways to speak to it."""

    core: Core
    adapter: NullAdapter
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path) -> AsyncIterator["Bot"]:
        """Build it on a database of its own in *directory*; its upkeep does not run, to disturb nothing."""
        settings = ProviderSettings("bench", Secret("secret"), _SERVICE)
        options = Options(
            data_dir=directory,
            keyring=Keyring([secrets.token_bytes(32)]),
            instances=Instances(load_catalogue(SHIPPED), {"demo": settings}),
            skills=[*find_skills(["accounts"]), skill],
            public_url="https://bot.example",
            http=NullSender(),
        )
        core, adapter = await Core.open(options), NullAdapter()
        core.delivery.attach(NETWORK, cast("Adapter", adapter))  # nobody asks it for more than `send`
        try:
            yield cls(core, adapter)
        finally:
            await core.close()

    def message(self, text: str, who: Identity) -> Message:
        """Return *text* as *who* says it in private."""
        channel = Channel(NETWORK, who.subject, private=True)
        return Message(NETWORK, str(next(self._ids)), who, channel, text, time.time(), Assurance.STRONG)

    async def hear(self, messages: Iterable[Message]) -> None:
        """Take *messages* one by one, each when all that the one before led to has ended."""
        deliver = self.core.dispatcher.deliver(NETWORK)
        for message in messages:
            await deliver([message])
            await self.core.dispatcher.settle()

    async def ask(self, text: str, who: Identity) -> str:
        """Let *who* say *text*; return the first answer, as soon as it is there."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.adapter.answers[who] = answer
        await self.core.dispatcher.deliver(NETWORK)([self.message(text, who)])
        return await answer

    async def link(self, who: Identity) -> None:
        """Link an account of *who*, from the first word to the confirmed code, every step durable."""
        browser = self.core.browser
        await self.ask("!link demo", who)
        attempt = await browser.authorise(self.adapter.links.pop(who).rpartition("/")[2])
        state = parse_qs(urlsplit(attempt.url).query)["state"][0]
        query, cookies = [("code", "a-code"), ("state", state)], {attempt.flow: attempt.cookie}
        await browser.callback("demo", "default", query, cookies)
        outcome = await browser.outcome(attempt.flow, attempt.cookie)
        answer = await self.ask(f"!confirm {outcome.code}", who)
        assert answer.startswith("Linked"), answer

    @asynccontextmanager
    async def traced(self) -> AsyncIterator[list[str]]:
        """Collect every statement that reaches SQLite meanwhile."""
        found: list[str] = []
        database = self.core.database
        connections = (database._writer, database._near, database._far)  # noqa: SLF001 - nothing above them sees them all
        for one in connections:
            one.raw.set_trace_callback(found.append)
        try:
            yield found
        finally:
            for one in connections:
                one.raw.set_trace_callback(None)


def person(number: int) -> Identity:
    """Return somebody on the null network."""
    return Identity(NETWORK, f"user-{number}")
