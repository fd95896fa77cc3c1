"""The demo itself: for a person at a terminal, unattended as a script, and on an IRC network of its own.

All run the bot as `omnibot run` would: from a configuration file, on an embedded database,
with the network's own adapter and the real listener.  Only the service is a small one of our own,
on loopback, and everything is gone afterwards.
"""

import asyncio
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import TextIOBase
from pathlib import Path
from typing import TextIO, cast

from omnibot.app import App, Parts, find_parts
from omnibot.config import load
from omnibot.demo import ircd
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.logs import set_up
from omnibot.ports import free_port
from omnibot.vault import new_key_file

_SECRET = "demo-secret"  # noqa: S105 - of a service that lives for a minute, on loopback
_WAIT = 15.0

_CONFIG = """\
public_url: http://127.0.0.1:{port}
listen: 127.0.0.1:{port}
networks:
{network}
providers:
  demo:
    issuer: {issuer}
    client_id: omnibot
    client_secret: ${{DEMO_SECRET}}
skills: [accounts, following, help, ping, api, notes]
"""

_CONSOLE = """\
  console:
    adapter: console
    user: visitor
"""

_IRC = """\
  demo:
    adapter: irc
    host: 127.0.0.1
    port: {port}
    tls: {{fingerprint: "sha256:{fingerprint}"}}
    channels: ["#omnibot"]
    pace: {{seconds: 0}}
"""

_INVITATION = """\
An IRC network with services runs on this machine, for nobody but it, and omnibot is on its way into #omnibot.
Everything is gone when you press Ctrl-C.

Join it with any IRC client:
  host 127.0.0.1, port {port} without TLS
                  port {tls_port} with TLS; its certificate signs itself. SHA-256 fingerprint:
                  {fingerprint}

Try it there in this order:
  /join #omnibot
  !ping                                         a command that needs no account
  !notes                                        refused: nobody vouches for you yet
  /msg NickServ REGISTER some-password you@example.org
                                                a services account: that is who you are (later: IDENTIFY some-password)
  !notes                                        omnibot sends you a private link: open it in a browser, allow it
  /msg omnibot !confirm CODE                    the code that your browser shows: now !notes runs, as you
  /msg omnibot !notes add Buy milk              needs more rights than reading: it asks for them
  /msg omnibot !unlink demo                     erase it here, and revoke it there
"""

_WELCOME = """\
This is omnibot, the chat bot that acts as you. Here it speaks to nobody but you, and the
service it uses is a small one on this machine. Everything is gone when you leave (exit).

Try it in this order:
  !ping                 a command that needs no account
  !notes                one that needs yours: you get a private link
                        open it in a browser, say who you are, allow it
  !confirm CODE         type the code that your browser shows: now !notes runs, as you
  !notes add Buy milk   needs more rights than reading: it asks for them
  !notes export         takes a while: I tell you when it is done (!following lists what I wait for)
  !accounts             what you have linked
  !unlink demo          erase it here, and revoke it there
"""


def play(*, script: bool, network: str = "console") -> int:
    """Run the demo on *network*, console or irc; return 0 if all went well.

    With *script*, nobody needs to be there; that is for the console alone.
    """
    set_up("error")
    try:
        return asyncio.run(_on_irc() if network == "irc" else _unattended() if script else _attended())
    except asyncio.CancelledError:  # told to stop before the bot was there
        return 0
    except ircd.NoNetworkError as error:
        print(error, file=sys.stderr)
        return 1
    except StepError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1


class StepError(Exception):
    """A step of the script did not lead to what it should."""


@asynccontextmanager
async def _stage(network: str = _CONSOLE) -> AsyncIterator[tuple[Parts, DemoProvider]]:
    """Set up a service and a configuration for it and *network*, in a folder that goes with the block."""
    port = free_port()
    client = DemoClient("omnibot", _SECRET, (f"http://127.0.0.1:{port}/callback/demo/default",))
    with tempfile.TemporaryDirectory(prefix="omnibot-demo-") as folder:
        async with DemoProvider((client,)) as provider:
            config = Path(folder) / "config.yaml"
            config.write_text(_CONFIG.format(port=port, network=network, issuer=provider.origin), "utf-8")
            settings = load(config, {"DEMO_SECRET": _SECRET})
            settings.data_dir.mkdir(mode=0o700)
            new_key_file(settings.key_file)
            yield find_parts(settings), provider


async def _attended() -> int:
    async with _stage() as (parts, _):
        print(_WELCOME)
        await App.run(parts)
    return 0


async def _on_irc() -> int:
    me = asyncio.current_task()
    assert me is not None, "somebody runs this"
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, me.cancel)  # until the bot itself listens for it
    with tempfile.TemporaryDirectory(prefix="omnibot-demo-irc-") as folder:
        async with ircd.network(Path(folder)) as there:
            config = _IRC.format(port=there.tls_port, fingerprint=there.fingerprint)
            async with _stage(config) as (parts, _):
                shown = ":".join(re.findall("..", there.fingerprint.upper()))
                print(_INVITATION.format(port=there.port, tls_port=there.tls_port, fingerprint=shown), flush=True)
                await App.run(parts)
    return 0


async def _unattended() -> int:
    async with _stage() as (parts, provider):
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as stdin, os.fdopen(writing, "w", encoding="utf-8") as typing:
            stdout = Transcript()
            bot = asyncio.create_task(App.run(_at(parts, stdin, cast("TextIO", stdout))))
            try:
                await _journey(Person(typing, stdout, bot), provider)
            finally:
                typing.close()
                await bot
    print("\nEvery step went as it should.")
    return 0


def _at(parts: Parts, stdin: TextIO, stdout: TextIO) -> Parts:
    """Return *parts* with the console at these streams."""
    make, settings = parts.adapters["console"]
    return replace(parts, adapters={"console": (partial(make, stdin=stdin, stdout=stdout), settings)})


class Transcript(TextIOBase):
    """Where the console writes: it is printed, and kept to be looked at."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.text = ""
        self.more = asyncio.Event()

    def isatty(self) -> bool:
        """No: plain text, please."""
        return False

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str, /) -> int:
        """Take what the bot says; print it."""
        self.text += text
        print(text, end="", flush=True)
        self.more.set()
        return len(text)


@dataclass(slots=True)
class Person:
    """Somebody at the console, and what they have read so far."""

    typing: TextIO
    screen: Transcript
    bot: asyncio.Task[None]
    read: int = 0

    async def say(self, line: str, expected: str) -> re.Match[str]:
        """Type *line* and wait for *expected*, a pattern; return what matched it.

        Raises:
            StepError: it does not come.
        """
        print(f"\nyou> {line}", flush=True)
        self.read = len(self.screen.text)
        self.typing.write(line + "\n")
        self.typing.flush()
        return await self.wait(expected)

    async def wait(self, expected: str) -> re.Match[str]:
        """Wait until what was said since the last line matches *expected*.

        Raises:
            StepError: it does not within a quarter of a minute.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _WAIT
        while not (found := re.search(expected, self.screen.text[self.read :])):
            if self.bot.done() or loop.time() > until:
                raise StepError(f"waited for {expected!r} and read {self.screen.text[self.read :]!r}")
            self.screen.more.clear()
            try:
                async with asyncio.timeout(0.5):
                    await self.screen.more.wait()
            except TimeoutError:
                continue
        return found


_LINK = r"(http://127\.0\.0\.1:\d+/l/[\w-]+)"


async def _journey(you: Person, provider: DemoProvider) -> None:
    await you.say("!ping", "pong")
    link = (await you.say("!notes", _LINK))[1]
    async with Browser() as browser:
        code = await _authorise(browser, link)
        await you.say("!confirm BBBB-CCCC", "not one I am waiting for")
        await you.say(f"!confirm {code}", r"Linked Demo notes as ada")
        await you.wait("You have no notes")
        link = (await you.say("!notes add Buy milk", _LINK))[1]
        code = await _authorise(browser, link)
        await you.say(f"!confirm {code}", r"Note 1 is written as ada")
    _aside("service", "; ".join(f"{call.method} {call.path} by {call.user}" for call in provider.calls))
    if {call.user for call in provider.calls} != {"ada"}:
        raise StepError("the service's own record should name ada, and nobody else")
    await you.say("!notes", "Buy milk")
    await you.say("!notes export", "I am exporting your notes")
    await you.say("!following", "the export of your notes")
    await you.say("!unfollow all", "I no longer follow the export of your notes")
    await you.say("!api demo GET /api/me", '"login": "ada"')
    await you.say("!accounts", "demo@ada")
    await you.say("!unlink demo", "is unlinked")
    await _revoked(provider)
    await you.say("!accounts", "linked nothing yet")


async def _authorise(browser: Browser, link: str) -> str:
    """Be the person at the browser; return the code that the last page shows."""
    await browser.open(link)
    _aside("browser", f"opens the link: {_gist(browser.text, 'Whoever speaks as', 'refuse.')}")
    await browser.press("Continue")
    if "Who are you" in browser.text:
        await browser.press("", user="ada")
    await browser.press("Allow")
    if browser.status != 200 or not browser.code:
        raise StepError(f"the browser should show a code and shows {browser.text[:300]!r}")
    _aside("browser", f"comes back to {re.sub(r'[0-9a-f]{32}', '…', browser.url)} and shows the code {browser.code}")
    return browser.code


async def _revoked(provider: DemoProvider) -> None:
    for _ in range(100):
        if "ada" in provider.revoked:
            _aside("service", "the token of ada has been revoked")
            return
        await asyncio.sleep(0.05)
    raise StepError("the service was not asked to revoke the token")


def _gist(text: str, start: str, end: str) -> str:
    """Return the part of a page's *text* from *start* to *end*."""
    found = re.search(f"{start}.*?{end}", text)
    return found[0] if found else text[:200]


def _aside(who: str, what: str) -> None:
    print(f"   ({who}) {what}", flush=True)
