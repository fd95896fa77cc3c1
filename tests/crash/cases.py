"""One person, their browser, the service, and a bot that may be killed under them.

Person, browser and service are in the test's own process: they live on when the bot dies.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from crash.leash import Heard, Keeper, Point
from omnibot import accounts
from omnibot.accounts import Account
from omnibot.catalogue import SHIPPED, Instances, ProviderSettings, load_catalogue
from omnibot.database import Database
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.people import People
from omnibot.provider import Instance, Secret, Token
from omnibot.testing.bench import ADA, PASTE_PORT
from omnibot.vault import Grants, Keyring, Opener, Sealer, new_key_file
from omnibot.wire import origin_of
from servers.processes import fixed_ports

SCOPES = ("notes:read", "notes:write")
PASTED = f"http://127.0.0.1:{PASTE_PORT}/callback"
DAY = 90_001.0
"""Seconds after which an ended flow is forgotten, and the queue of revocations has been worked off or dropped."""


class Window(Browser):
    """A browser that can reload: what it asked last, and got no answer to."""

    def __init__(self, *, stop: str = "") -> None:
        """Open no page yet."""
        super().__init__(stop=stop)
        self.lost: tuple[str, str, dict[str, str], str] | None = None
        """The request that got no answer."""

    async def _step(self, method: str, url: str, form: dict[str, str], site: str) -> str:
        self.lost = (method, url, form, site)
        following = await super()._step(method, url, form, site)
        self.lost = None
        return following

    async def reload(self) -> None:
        """Ask again for what was lost, if anything was, as the button does, and follow where it leads."""
        if self.lost is not None:
            await self._go(*self.lost)

    @property
    def buttons(self) -> set[str]:
        """What the buttons of the page say."""
        return {label for form in self._read().forms for label in form.buttons}


@dataclass(slots=True, eq=False)
class Case:
    """A person and their bot, from before its first start to after its last."""

    directory: Path
    keeper: Keeper
    provider: DemoProvider
    window: Window
    public: bool
    port: int = field(default_factory=lambda: fixed_ports(1)[0])
    before: tuple[str, ...] = ()
    """What each bot calls before it starts, as ``module:function``."""

    key: str = ""
    """What the person types into a form that asks for a key."""

    heard: list[Heard] = field(default_factory=list)
    """All that the person was told, by every bot."""

    typed: list[str] = field(default_factory=list)
    """The notes that the person asked to be written, no two of them alike."""

    points: list[Point] = field(default_factory=list)
    """What the bots came to."""

    # -- the bot -----------------------------------------------------------------------

    async def start(self, kill: Point | None = None) -> None:
        """Start the bot; with *kill* it is killed there.

        Raises:
            Died: already.
        """
        order = {
            "directory": str(self.directory),
            "origin": self.provider.origin,
            "public": self.public,
            "port": self.port,
            "kill": kill,
            "before": self.before,
        }
        await self.keeper.start(order, self.heard, self.points)

    async def stop(self) -> None:
        """Stop the bot in order.

        Raises:
            Died: it was killed before it could.
        """
        await self.keeper.stop()

    # -- the person in the chat --------------------------------------------------------

    async def say(self, text: str, **more: str) -> list[Heard]:
        """Say *text* in private; return what is said in answer."""
        before = len(self.heard)
        await self._do({"say": text, **more})
        return self.heard[before:]

    async def listen(self) -> list[Heard]:
        """Return what the bot has to say by itself."""
        before = len(self.heard)
        await self._do({"listen": True})
        return self.heard[before:]

    async def later(self, seconds: float) -> None:
        """Let so much time pass, and the bot do what is due."""
        await self._do({"later": seconds})

    async def position(self) -> object:
        """Return how far the bot has read the network; None: not at all."""
        return await self.keeper.do({"position": True})

    async def _do(self, order: dict[str, Any]) -> None:
        broken = await self.keeper.do(order)

        assert broken is None, f"the audit's chain is broken at {broken}"

    def note(self) -> str:
        """Return the command that writes a note which nobody asked for yet."""
        self.typed.append(f"milk {len(self.typed) + 1}")
        return f"!notes add {self.typed[-1]}"

    def told(self, words: str) -> bool:
        """Whether the person was told *words*, in whatever company."""
        return any(words in one.text for one in self.heard)

    @property
    def link(self) -> str:
        """The last link the person was sent; empty if none was."""
        return next((one.link for one in reversed(self.heard) if one.link), "")

    async def linked(self) -> bool:
        """Whether the bot lists the account, and as one that can be used."""
        listed = " ".join(one.text for one in await self.say("!accounts"))
        return "as **ada**" in listed and "no longer accepted" not in listed and "waits for" not in listed

    # -- the person at the browser -----------------------------------------------------

    async def browse(self, url: str = "") -> None:
        """Open *url*, or ask again for what was lost; press what is to be pressed, as far as it leads.

        Raises:
            Died: the bot did not answer, since it was killed.
        """
        await self.seeing(self.window.open(url) if url else self.window.reload())
        while not self.window.code and (button := self._button()) is not None:
            await self.seeing(self.window.press(button, **({"key": self.key} if button else {"user": "ada"})))

    async def seeing(self, page: Awaitable[object]) -> None:
        """Await *page*.

        Raises:
            Died: the bot did not answer, since it was killed.
        """
        try:
            await page
        except (aiohttp.ClientError, OSError):
            await self.listen()
            raise

    def _button(self) -> str | None:
        """Return the button that somebody presses who wants to go on; the one to say who they are has no words."""
        for wanted in ("Continue", "Allow", "Connect"):
            if any(wanted.lower() in label.lower() for label in self.window.buttons):
                return wanted
        return "" if self.window.url.startswith(self.provider.origin) and self.window.status == 200 else None

    # -- before the beginning ----------------------------------------------------------

    async def link_before(self, *, expired: bool = False) -> None:
        """Let the account have been linked long ago; with *expired* its token has run out."""
        database, keyring = await Database.open(self.data), self.keyring
        try:
            sealer = Sealer(keyring)
            people = People(database, sealer, Opener(keyring, Grants()))
            keys = (await people.ensure(ADA)).keys
            answer = self.provider.issue("ada", "omnibot", SCOPES)
            account = _account(keys.person, 1.0 if expired else 4e9)
            token = Token(answer["access_token"], answer["refresh_token"], account.expires, SCOPES)
            sealed = sealer.seal(keys.public_key, account.head(origin_of(self.instance.api)), token)
            async with database.transaction() as tx:
                await accounts.insert(tx, sealer, replace(account, token=sealed))
        finally:
            await database.close()

    # -- looking at it -----------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The database."""
        folder = self.directory / "data"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "omnibot.db"

    @property
    def keyring(self) -> Keyring:
        """The master keys."""
        return Keyring.load(self.directory / "omnibot.key")

    @property
    def instance(self) -> Instance:
        """The service, as the bot knows it."""
        settings = ProviderSettings("omnibot", Secret("demo-secret"), self.provider.origin)
        return Instances(load_catalogue(SHIPPED), {"demo": settings}).get("demo")


def _account(person: str, expires: float) -> Account:
    """Return the one account of *person*, its token not sealed yet."""
    return Account(
        id=secrets.token_hex(16),
        person=person,
        provider="demo",
        instance="default",
        alias="ada",
        external="u-ada",
        login="ada",
        name="Ada",
        avatar="",
        linked_by=ADA,
        reach=(ADA,),
        status="active",
        default=True,
        generation=1,
        refreshing=0,
        expires=expires,
        scopes=SCOPES,
        token=b"",
        created=1.0,
        activated=1.0,
    )


@asynccontextmanager
async def case(
    directory: Path, keeper: Keeper, *, public: bool = True, before: tuple[str, ...] = ()
) -> AsyncIterator[Case]:
    """Lend a case in *directory*, with a service of its own and no bot yet."""
    directory.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    new_key_file(directory / "omnibot.key")
    async with DemoProvider(port=fixed_ports(1)[0]) as provider, Window(stop="" if public else PASTED) as window:
        made = Case(directory, keeper, provider, window, public, before=before)
        address = f"http://127.0.0.1:{made.port}/callback" if public else PASTED
        provider.register(DemoClient("omnibot", "demo-secret", (f"{address}/demo/default",)))
        try:
            yield made
        finally:
            await keeper.clear()
