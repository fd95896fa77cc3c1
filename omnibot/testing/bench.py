"""A whole bot with no network under it.

`Bench` is what a skill is tested with, and what the bot's own journeys stand on: the real
core on a real database, the real listener on a loopback port, the demo service as provider,
and `FakeAdapter` for networks::

    async def test_hello(bench: Bench) -> None:
        assert await bench.say("!hello Ada") == ["Hello, **Ada**!"]
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.core import Core, Options
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.http import Http
from omnibot.identity import Identity, Speaker
from omnibot.limits import UNLIMITED, Rates
from omnibot.message import Channel
from omnibot.policy import Room, Rule
from omnibot.ports import free_port
from omnibot.provider import Provider, Secret
from omnibot.registry import find_skills
from omnibot.skill import Skill
from omnibot.testing.fakes import FORMLESS, FakeAdapter
from omnibot.vault import Keyring, new_key_file
from omnibot.web import Listener
from omnibot.wire import Sender

ADA = Identity("fake", "u-1", "", "Ada")
"""Who speaks where a test names nobody."""

GRACE = Identity("fake", "u-2", "", "Grace")
MALLORY = Identity("fake", "u-666", "", "Mallory")

SKILLS = ("accounts", "following", "help", "ping", "api", "notes")
PASTE_PORT = 9


class Clock:
    """A clock that tests can push: real seconds, and what `pass_` added."""

    def __init__(self) -> None:
        """Show the present."""
        self._ahead = 0.0

    def __call__(self) -> float:
        """Return Unix seconds."""
        return time.time() + self._ahead

    def pass_(self, seconds: float) -> None:
        """Let *seconds* pass at once."""
        self._ahead += seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bench is made of."""

    directory: Path
    """Where the key file and the data directory are; a second bench there is a restart."""

    skills: Sequence[str | Skill] = SKILLS
    networks: Sequence[FakeAdapter] = ()
    provider: DemoProvider | None = None
    """The demo service; None: the bot knows no provider but those in *settings*."""

    settings: tuple[tuple[str, ProviderSettings], ...] = ()
    """Further providers, by name."""

    catalogue: Path | None = None
    """A folder of providers beside those that omnibot knows."""

    public: bool = True
    """Whether the bot has a public address; without one, linking is by paste-back."""

    port: int = 0
    """Port of the listener; 0: a free one."""

    address: str = ""
    """The public address, where that is of a reverse proxy on this machine and not the listener's own."""

    logins: tuple[tuple[str, str], ...] = ()
    """By network: the ``provider@instance`` whose login proves who is at the browser."""

    admins: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    rooms: tuple[Room, ...] = ()
    limits: Rates = UNLIMITED
    """How much may be asked: a test asks more in a second than people in a minute, so nothing is counted."""

    timeout: float = 10.0
    http: Callable[[], Sender] = Http


class Bench:
    """A running bot, and what a test needs to speak to it and to look at it."""

    def __init__(
        self, plan: Plan, core: Core, listener: Listener, networks: Sequence[FakeAdapter], clock: Clock
    ) -> None:
        """Use `open` instead."""
        self.plan = plan
        self.core = core
        self.listener = listener
        self.networks = networks
        self.clock = clock

    @classmethod
    @asynccontextmanager
    async def open(cls, plan: Plan, clock: Clock | None = None) -> AsyncIterator["Bench"]:
        """Start a bot as *plan* says; it ends with the block."""
        clock = clock or Clock()
        plan = replace(
            plan,
            port=plan.port or free_port(),
            networks=plan.networks or (FakeAdapter(capabilities=FORMLESS, clock=clock),),
        )
        async with AsyncExitStack() as stack:
            core = await Core.open(_options(plan, clock))
            stack.push_async_callback(core.close)
            listener = Listener(
                core.browser,
                public_url=_public_url(plan),
                host="127.0.0.1",
                port=plan.port,
                trusted_proxies=("127.0.0.1",) if plan.address else (),
                clock=clock,
            )
            await core.start()
            await listener.start()
            stack.push_async_callback(listener.stop)
            for network in plan.networks:
                network.has_run.clear()  # it may have been in a bench before
            stack.push_async_callback(_cancel, _run(core, plan.networks))
            for network in plan.networks:
                await network.has_run.wait()
            yield cls(plan, core, listener, plan.networks, clock)

    @property
    def network(self) -> FakeAdapter:
        """The first network."""
        return self.networks[0]

    @property
    def provider(self) -> DemoProvider:
        """The demo service."""
        assert self.plan.provider is not None, "this bench was planned without a provider"
        return self.plan.provider

    async def say(self, text: str, speaker: Speaker = ADA, channel: Channel | None = None) -> list[str]:
        """Let *speaker* say *text*, in private unless a *channel* is named; return all that was said in answer.

        It is the Markdown that was answered, in order, wherever it went; a bot that asks a question
        has answered with it.
        """
        adapter = next(one for one in self.networks if one.network == speaker.network)
        before = len(adapter.said)
        await adapter.hear(text, speaker, channel)
        await self.settle()
        return [said.reply.text for said in adapter.said[before:]]

    async def settle(self) -> None:
        """Return when the bot has nothing left to do but to wait for an answer, or for time to pass."""
        await asyncio.sleep(0)
        await self.core.dispatcher.settle()
        await self.core.follows.settle()
        await self.core.delivery.settle()

    def link_for(self, speaker: Identity = ADA) -> str:
        """Return the address in the last private message to *speaker* that had one.

        Raises:
            LookupError: none had.
        """
        adapter = next(one for one in self.networks if one.network == speaker.network)
        for said in reversed(adapter.said):
            if said.reply.link is not None and getattr(said.to, "identity", None) == speaker:
                return said.reply.link.url
        raise LookupError(f"{speaker} was sent no link")

    async def authorise(self, browser: Browser, url: str, login: str = "ada") -> Browser:
        """Walk *browser* from a link of ours through the demo service, as *login*, to the page with the code."""
        await browser.open(url)
        await browser.press("Continue")
        return await self.consent(browser, login)

    async def consent(self, browser: Browser, login: str = "ada") -> Browser:
        """Let the person at the demo service's page be *login*, and allow what is asked."""
        await browser.press("", user=login)
        return await browser.press("Allow")

    async def link(
        self, speaker: Identity = ADA, login: str = "ada", service: str = "demo", other: str = "keep both"
    ) -> None:
        """Let *speaker* link the demo service's account *login*, from the first word to the confirmed code.

        If they are linked there under another login, *other* is what they answer.

        Raises:
            AssertionError: it did not work; the text says how far it came.
        """
        await self.say(f"!link {service}", speaker)
        async with Browser() as browser:
            await self.authorise(browser, self.link_for(speaker), login)
            answers = await self.say(f"!confirm {browser.code}", speaker)
            if answers and answers[0].endswith("Replace, or keep both?"):
                answers = await self.say(other, speaker)
        assert ["Linked" in one for one in answers[:1]] == [True], answers

    async def rows(self, sql: str, *values: object) -> list[dict[str, object]]:
        """Look into the database."""
        return await self.core.database.read(sql, values)


def _options(plan: Plan, clock: Clock) -> Options:
    key_file = plan.directory / "omnibot.key"
    if not key_file.exists():
        new_key_file(key_file)
    names = [one for one in plan.skills if isinstance(one, str)]
    given = [one for one in plan.skills if isinstance(one, Skill)]
    return Options(
        data_dir=plan.directory / "data",
        keyring=Keyring.load(key_file),
        instances=Instances(_catalogue(plan), dict(_providers(plan)), address=_public_url(plan) or ""),
        skills=[*find_skills(names), *given],
        public_url=_public_url(plan),
        logins=dict(plan.logins),
        paste_port=PASTE_PORT,
        timeout=plan.timeout,
        admins=plan.admins,
        rules=plan.rules,
        rooms=plan.rooms,
        limits=plan.limits,
        clock=clock,
        http=plan.http(),
    )


def _catalogue(plan: Plan) -> dict[str, Provider]:
    return _shipped(SHIPPED) | ({} if plan.catalogue is None else load_catalogue(plan.catalogue))


@cache
def _shipped(folder: Path) -> dict[str, Provider]:
    """Return the providers in *folder*, which stays as it is: reading them takes longer than all else in a bench."""
    return load_catalogue(folder)


def _providers(plan: Plan) -> Iterable[tuple[str, ProviderSettings]]:
    if plan.provider is not None:
        callback = f"{_public_url(plan) or f'http://127.0.0.1:{PASTE_PORT}'}/callback/demo/default"
        plan.provider.register(DemoClient("omnibot", "demo-secret", (callback,)))
        yield "demo", ProviderSettings("omnibot", Secret("demo-secret"), plan.provider.origin)
    yield from plan.settings


def _public_url(plan: Plan) -> str | None:
    return (plan.address or f"http://127.0.0.1:{plan.port}") if plan.public else None


def _run(core: Core, networks: Iterable[FakeAdapter]) -> list[asyncio.Task[None]]:
    supervisors = [core.add_network(one.network, one) for one in networks]
    return [asyncio.create_task(one.run(), name=f"network {one.network}") for one in supervisors]


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
