"""The terminal as a network: one channel, whose one reader is the operator.

On a terminal there are history, completion, and replies that appear above the prompt.
With standard input from a pipe or a file every line is heard as it comes, and ``run``
returns at its end; replies still under way may be sent after that.
"""

import asyncio
import getpass
import itertools
import os
import re
import secrets
import sys
import time
from codecs import getincrementaldecoder
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from pydantic import BaseModel, ConfigDict, Field

from omnibot.adapter import Capabilities, Deliver, Limits, Ready, Setup, Tools
from omnibot.command import Command
from omnibot.errors import NoPrivateWay, NotDelivered
from omnibot.identity import Assurance, Identity
from omnibot.markup import AnsiRenderer, PlainRenderer, printable
from omnibot.message import Channel, Message, Private, Reply, Sent
from omnibot.threads import in_thread

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

REMEMBERED_KEYS = 1000
_SECRET = re.compile(r"confirm|code=|://|(?=\S*[0-9])[\w.~+/=-]{20,}", re.IGNORECASE)
"""What may open something: a code, an address, or a long word with a digit in it, which a key may be."""


def _login() -> str:
    try:
        name = getpass.getuser()
    except (ImportError, KeyError, OSError):  # no such user, as in many containers
        return "you"
    return name if re.fullmatch(r"\S{1,64}", name) else "you"


class Settings(BaseModel):
    """The options of a console in the configuration."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(default_factory=_login, pattern=r"^\S{1,64}$")
    """Who sits there: the subject of their identity."""

    history: bool = True
    """Whether commands are kept from one run to the next."""


def _here(settings: Settings) -> list[str]:
    return [f"It is this terminal: `omnibot run`, and you are {settings.user} there."]


setup = Setup(
    title="this terminal",
    before="For trying things out: the bot is spoken to where it runs, and ends with its input.",
    who="the name of who runs the bot",
    invite=_here,
)
"""How ``omnibot init`` speaks of it: there is nothing to ask."""


class Adapter:
    """The operator's own terminal, or what is piped into it."""

    capabilities = Capabilities()
    limits = Limits(text=sys.maxsize)

    def __init__(
        self, tools: Tools, settings: Settings, stdin: TextIO | None = None, stdout: TextIO | None = None
    ) -> None:
        """Read *stdin* and write to *stdout*; by default the process's own."""
        self._tools = tools
        self._settings = settings
        self._in = stdin or sys.stdin
        self._out = stdout or sys.stdout
        self._terminal = self._in.isatty() and self._out.isatty()
        self._renderer = AnsiRenderer() if self._terminal else PlainRenderer()
        self._user = Identity(tools.network, settings.user, display=settings.user)
        self._channel = Channel(tools.network, "console", private=True, name="console")
        self._ids = itertools.count(secrets.randbits(48))
        self._said: OrderedDict[str, asyncio.Task[Sent]] = OrderedDict()
        self._turn = asyncio.Lock()

    async def run(self, deliver: Deliver, ready: Ready) -> None:
        """Hear what is typed until the end of input, or a line ``exit``."""
        await ready("console")
        async with aclosing(self._typed() if self._terminal else self._piped()) as lines:
            async for line in lines:
                text = printable(line)
                if text == "exit":
                    return
                if text:
                    await deliver([self._message(text)])

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Show *reply*.

        Raises:
            NoPrivateWay: it is for somebody else than who sits here.
            NotDelivered: it is for another channel, or nobody reads the output any more.
        """
        if isinstance(to, Private) and to.identity != self._user:
            raise NoPrivateWay(f"{to.identity} does not sit at this terminal")
        if isinstance(to, Channel) and not self._here(to):
            raise NotDelivered("a console has one channel", retryable=False)
        saying = self._said.get(key)
        if saying is None:
            saying = self._said[key] = asyncio.create_task(self._say(reply))
            saying.add_done_callback(lambda task: self._forget(key, task))
        return await asyncio.shield(saying)  # who gives up waiting and tries again finds it here

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Show *reply* as something new: what is on a terminal stays there."""
        return await self._say(reply)

    async def retract(self, message: Message) -> bool:
        """Return False: what is on a terminal stays there."""
        return False

    async def typing(self, channel: Channel) -> None:
        """Show nothing."""

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether *identity* is who sits here."""
        return identity == self._user and self._here(channel)

    def _here(self, channel: Channel) -> bool:
        return (channel.network, channel.id) == (self._channel.network, self._channel.id)

    def _message(self, text: str) -> Message:
        return Message(
            network=self._tools.network,
            id=str(next(self._ids)),
            speaker=self._user,
            channel=self._channel,
            text=text,
            at=time.time(),
            assurance=Assurance.STRONG,
            addressed=True,
        )

    # ------------------------------------------------------------ hearing

    async def _piped(self) -> AsyncGenerator[str]:
        """Give the lines of a pipe or file; the last one may lack its end."""
        decoder = getincrementaldecoder("utf-8")(errors="replace")
        rest = ""
        while chunk := await in_thread(lambda: os.read(self._in.fileno(), 65536)):
            *lines, rest = (rest + decoder.decode(chunk)).split("\n")
            for line in lines:
                yield line
        yield rest + decoder.decode(b"", final=True)

    async def _typed(self) -> AsyncGenerator[str]:
        """Give the lines typed at the prompt, until Ctrl-D, or Ctrl-C on an empty one."""
        await asyncio.to_thread(import_module, "prompt_toolkit.shortcuts")  # a third of a second: not on the loop
        from prompt_toolkit.patch_stdout import patch_stdout

        session = self._session()
        prompt = f"{self._settings.user}> "
        with patch_stdout(raw=True):
            while True:
                try:
                    # The loop's signals and its exception handler belong to the whole bot.
                    yield await session.prompt_async(prompt, handle_sigint=False, set_exception_handler=False)
                except EOFError:
                    return

    def _session(self) -> "PromptSession[str]":
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import CompleteEvent, Completer, Completion
        from prompt_toolkit.document import Document
        from prompt_toolkit.history import FileHistory, InMemoryHistory, ThreadedHistory
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

        tools = self._tools

        class CommandCompleter(Completer):
            def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
                line = document.text_before_cursor
                for word, typed in completions(line, tools.commands(), tools.prefix):
                    yield Completion(word, start_position=-typed)

        class CommandHistory(ThreadedHistory):
            def append_string(self, string: str) -> None:
                if worth_keeping(string, tools.commands(), tools.prefix):
                    super().append_string(string)

        keys = KeyBindings()

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                event.app.exit(exception=EOFError)

        kept = FileHistory(self._history_file()) if self._settings.history else InMemoryHistory()
        return PromptSession(completer=CommandCompleter(), history=CommandHistory(kept), key_bindings=keys)

    def _history_file(self) -> str:
        self._tools.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._tools.directory / "history"
        path.touch(mode=0o600)
        path.chmod(0o600)  # it may have been there, and looser
        return str(path)

    # ------------------------------------------------------------- saying

    async def _say(self, reply: Reply) -> Sent:
        await self._write(self._renderer.reply(reply) + "\n")
        return Sent(self._tools.network, self._channel.id, str(next(self._ids)))

    async def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        try:
            async with self._turn:
                await self._around_prompt(lambda: self._put(text))
        except (OSError, ValueError) as error:  # ValueError: it is closed
            raise NotDelivered(f"nobody reads the output: {error}", retryable=False) from error

    def _put(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    async def _around_prompt(self, write: Callable[[], None]) -> None:
        if self._terminal:
            from prompt_toolkit.application import run_in_terminal

            await run_in_terminal(write)
        else:
            await in_thread(write)

    def _forget(self, key: str, task: asyncio.Task[Sent]) -> None:
        """Forget the oldest keys, and this one if it may be tried again."""
        if task.cancelled() or task.exception() is not None:
            self._said.pop(key, None)
        while len(self._said) > REMEMBERED_KEYS:
            self._said.popitem(last=False)


def worth_keeping(line: str, commands: Iterable[Command], prefix: str) -> bool:
    """Return whether *line* may go into the history: a command, and nothing in it that opens something.

    An answer to a question is not kept, for it may be a key; nor is a code or a callback address, nor
    what is said to a command that takes a secret.
    """
    if _SECRET.search(line) or not line.strip():
        return False
    words = tuple(line.lower().removeprefix(prefix).split())
    if any(one.secret and words[: len(one.path)] == one.path and len(words) > len(one.path) + 1 for one in commands):
        return False
    first = line.split()[0].partition("@")[0].lower()
    return line.startswith(prefix or "\n") or any(first == command.path[0] for command in commands)


def completions(line: str, commands: Iterable[Command], prefix: str) -> Iterator[tuple[str, int]]:
    """Give the words that may come next on *line*, each with how much of it is typed already."""
    *before, typed = re.split(r"\s+", line.lstrip().removeprefix(prefix).lstrip().lower())
    words = tuple([before[0].partition("@")[0], *before[1:]] if before else ())
    known = list(commands)
    following = {one.path[len(words)] for one in known if one.path[: len(words)] == words != one.path}
    named = max((one for one in known if one.path == words[: len(one.path)]), key=_length, default=None)
    if named and (not following or named.path == words):
        options = {f"--{one.name.replace('_', '-')}" for one in named.parameters if one.option}
        following |= options - set(before)
    for word in sorted(following):
        if word.startswith(typed):
            yield word, len(typed)


def _length(command: Command) -> int:
    return len(command.path)
