"""The console hears lines, from a pipe or a keyboard, and shows replies."""

import asyncio
import io
import logging
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest
from prompt_toolkit.application import create_app_session, get_app
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from pydantic import ValidationError

from adapters import console
from adapters.console import Adapter, Settings, completions, worth_keeping
from omnibot import (
    Channel,
    Context,
    Identity,
    Link,
    Message,
    NoPrivateWay,
    NotDelivered,
    Private,
    Reply,
    Skill,
)
from omnibot.adapter import Tools
from omnibot.identity import Assurance
from omnibot.testing.fakes import FakeStore

ADA = Identity("here", "ada")
HERE = Channel("here", "console", private=True)
CTRL_C, CTRL_D, ENTER, TAB, UP = "\x03", "\x04", "\r", "\t", "\x1b[A"

github = Skill("gh")


@github.command
async def gh(ctx: Context, *, unread: bool = False) -> None:
    """Show what is new."""


@github.command
async def issue_list(ctx: Context, repo: str) -> None:
    """List issues."""


@github.command
async def issue_new(ctx: Context, repo: str, *, draft: bool = False, due_in: int = 0) -> None:
    """Open an issue."""


class Heard(list[Message]):
    """What was delivered, and the realms that were ready."""

    def __init__(self) -> None:
        super().__init__()
        self.realms: list[str] = []

    async def deliver(self, messages: Sequence[Message], position: str | None = None) -> None:
        self += messages

    async def ready(self, realm: str) -> None:
        self.realms.append(realm)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    """An output that nobody reads, until *opened*."""

    opened = False

    def write(self, text: str) -> int:
        if not self.opened:
            raise BrokenPipeError
        return super().write(text)


def make(directory: Path, stdin: TextIO, stdout: TextIO, *, history: bool = True) -> Adapter:
    log = logging.getLogger("omnibot.tests.console")
    tools = Tools("here", "!", FakeStore(), FakeStore(), directory, log, lambda: github.commands)
    return Adapter(tools, Settings(user="ada", history=history), stdin, stdout)


async def until(probe: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not probe():  # noqa: ASYNC110  # what is waited for knows no event
            await asyncio.sleep(0.005)


# ---------------------------------------------------------------------- piped


async def piped(directory: Path, typed: bytes, stdout: TextIO | None = None) -> tuple[Heard, Adapter]:
    """Return what is heard of *typed*, all of it, and the adapter after that."""
    read, write = os.pipe()
    heard = Heard()
    with os.fdopen(read) as stdin:
        os.write(write, typed)
        os.close(write)
        adapter = make(directory, stdin, stdout or io.StringIO())
        async with asyncio.timeout(5):
            await adapter.run(heard.deliver, heard.ready)
    return heard, adapter


async def test_a_line_is_a_message_of_the_operators(tmp_path: Path) -> None:
    """Nobody is better vouched for, and every line is meant for the bot."""
    heard, _ = await piped(tmp_path, b"!ping\n")
    [message] = heard

    assert ["console"] == heard.realms
    assert ("here", ADA, HERE.id, "!ping") == (
        message.network,
        message.speaker,
        message.channel.id,
        message.text,
    )
    assert Assurance.STRONG == message.assurance
    assert message.addressed
    assert message.channel.private


@pytest.mark.parametrize(
    ("typed", "texts"),
    [
        (b"", []),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\n\n  \ntwo", ["one", "two"]),
        (b"one\nexit\ntwo\n", ["one"]),
        (b"\x1b]0;title\x07caf\xc3\xa9\x00 \xff\n", ["]0;titlecafé \ufffd"]),
        (b"long " * 30000 + b"\nnext\n", [("long " * 30000).strip(), "next"]),
    ],
    ids=["nothing", "lines", "blanks and no end", "exit", "controls", "longer than one read"],
)
async def test_run_ends_where_the_input_does(tmp_path: Path, typed: bytes, texts: list[str]) -> None:
    """Every line before that is heard, cleaned; a line `exit` ends it as well."""
    read, write = os.pipe()
    heard = Heard()
    with os.fdopen(read) as stdin, os.fdopen(write, "wb") as keyboard:
        adapter = make(tmp_path, stdin, io.StringIO())

        def type_it() -> None:
            with suppress(BrokenPipeError), keyboard:
                keyboard.write(typed)

        typing = asyncio.create_task(asyncio.to_thread(type_it))
        async with asyncio.timeout(5):
            await adapter.run(heard.deliver, heard.ready)
            await typing

    assert texts == heard.texts


async def test_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    """Input may be redirected as well."""
    script, heard = tmp_path / "script", Heard()
    script.write_text("!one\n!two\n")
    with script.open() as stdin:
        await make(tmp_path, stdin, io.StringIO()).run(heard.deliver, heard.ready)

    assert ["!one", "!two"] == heard.texts


async def test_a_reply_may_come_after_the_end(tmp_path: Path) -> None:
    """What is under way when the input ends is still answered."""
    stdout = io.StringIO()
    heard, adapter = await piped(tmp_path, b"!ping\n", stdout)
    await adapter.send(heard[0].channel, Reply("**pong**"), "k")

    assert "pong\n" == stdout.getvalue()


async def test_replies_stand_in_the_order_they_were_sent(tmp_path: Path) -> None:
    """Each is written whole before the next one, however long that takes."""

    class Stalling(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(0.05 if text == "line 0\n" else 0)
            return super().write(text)

    stdout = Stalling()
    adapter = make(tmp_path, io.StringIO(), stdout)
    lines = [f"line {number}" for number in range(20)]
    await asyncio.gather(*(adapter.send(HERE, Reply(line), line) for line in lines))

    assert lines == stdout.getvalue().splitlines()


async def test_what_has_no_button_stands_in_the_text(tmp_path: Path) -> None:
    """Choices are numbered, a link is written out."""
    stdout = io.StringIO()
    adapter = make(tmp_path, io.StringIO(), stdout)
    link = Link("Connect", "https://bot.example/l/a_b?c=1&d=2")
    await adapter.send(Private(ADA), Reply("Sure?", choices=("yes", "no"), link=link), "k")

    assert "Sure?\n1. yes\n2. no\nConnect: https://bot.example/l/a_b?c=1&d=2\n" == stdout.getvalue()


async def test_an_output_that_lacks_a_letter_shows_a_question_mark(tmp_path: Path) -> None:
    """A reply is not lost for one letter."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stdout:
        await make(tmp_path, io.StringIO(), stdout).send(HERE, Reply("café"), "k")

        assert b"caf?\n" == raw.getvalue()


async def test_nobody_else_sits_here(tmp_path: Path) -> None:
    """What is for another identity, or another channel, is not shown."""
    stdout = io.StringIO()
    adapter = make(tmp_path, io.StringIO(), stdout)
    with pytest.raises(NoPrivateWay):
        await adapter.send(Private(Identity("here", "bob")), Reply("secret"), "k1")
    with pytest.raises(NotDelivered):
        await adapter.send(Channel("here", "elsewhere"), Reply("secret"), "k2")

    assert stdout.getvalue() == ""
    assert await adapter.present(ADA, HERE)
    assert not await adapter.present(Identity("here", "bob"), HERE)
    assert not await adapter.present(ADA, Channel("here", "elsewhere"))


async def test_what_was_not_delivered_may_be_tried_again(tmp_path: Path) -> None:
    """A key counts once its reply is out."""
    stdout = Closed()
    adapter = make(tmp_path, io.StringIO(), stdout)
    with pytest.raises(NotDelivered):
        await adapter.send(HERE, Reply("again"), "k")
    stdout.opened = True
    await adapter.send(HERE, Reply("again"), "k")

    assert "again\n" == stdout.getvalue()


async def test_who_stops_waiting_does_not_stop_the_reply(tmp_path: Path) -> None:
    """Given up and tried again under its key, it is said once."""
    held = threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            held.wait(5)
            return super().write(text)

    stdout = Slow()
    adapter = make(tmp_path, io.StringIO(), stdout)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await adapter.send(HERE, Reply("once"), "k")
    held.set()
    await adapter.send(HERE, Reply("once"), "k")

    assert "once\n" == stdout.getvalue()


async def test_keys_are_forgotten_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with what was said; the latest keys are known."""
    monkeypatch.setattr(console, "REMEMBERED_KEYS", 3)
    adapter = make(tmp_path, io.StringIO(), io.StringIO())
    for number in range(10):
        await adapter.send(HERE, Reply("x"), f"k{number}")

    assert ["k7", "k8", "k9"] == list(adapter._said)


def test_piped_it_wants_no_terminal_library_and_leaves_when_told(tmp_path: Path) -> None:
    """`prompt_toolkit` is not imported, and a read that blocks holds up nobody's exit."""
    script = f"""
import asyncio, logging, sys
from pathlib import Path
from adapters.console import Adapter, Settings
from omnibot.adapter import Tools
from omnibot.message import Reply
from omnibot.testing.fakes import FakeStore

async def main():
    tools = Tools("here", "!", FakeStore(), FakeStore(), Path({str(tmp_path)!r}), logging.getLogger(), list)
    adapter, heard = Adapter(tools, Settings()), asyncio.Event()
    async def ready(realm): pass
    async def deliver(messages, position=None):
        await adapter.send(messages[0].channel, Reply(messages[0].text), "k")
        heard.set()
    running = asyncio.create_task(adapter.run(deliver, ready))
    await heard.wait()
    running.cancel()

asyncio.run(main())
print("prompt_toolkit" in sys.modules)
"""
    here = Path(__file__).parents[2]
    with subprocess.Popen(  # noqa: S603  # the script is the one above
        [sys.executable, "-c", script], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()  # and it stays open: the next read blocks
        code, shown = process.wait(10), process.stdout.read()

    assert (0, "hello\nFalse\n") == (code, shown)


# --------------------------------------------------------------- on a terminal


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


@asynccontextmanager
async def typing(
    keyboard: PipeInput, directory: Path, *, history: bool = True
) -> AsyncGenerator[tuple[Adapter, Heard, Screen, asyncio.Task[None]]]:
    """Run a console at a prompt until its end."""
    heard, screen = Heard(), Screen()
    adapter = make(directory, Screen(), screen, history=history)
    running = asyncio.create_task(adapter.run(heard.deliver, heard.ready))
    try:
        yield adapter, heard, screen, running
        await asyncio.wait_for(asyncio.wait([running]), 5)
        if not running.cancelled():
            running.result()
    finally:
        running.cancel()


async def test_lines_typed_are_heard_until_ctrl_d(tmp_path: Path, keyboard: PipeInput) -> None:
    """Ctrl-D ends the run as the end of a file does."""
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        keyboard.send_text(f"!ping one{ENTER}{ENTER}hello{ENTER}{CTRL_D}")

    assert ["!ping one", "hello"] == heard.texts


async def test_ctrl_c_clears_the_line_then_leaves(tmp_path: Path, keyboard: PipeInput) -> None:
    """A line begun is thrown away; with none there, the run ends."""
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        keyboard.send_text(f"!never{CTRL_C}!ping{ENTER}{CTRL_C}")

    assert ["!ping"] == heard.texts


async def test_exit_leaves(tmp_path: Path, keyboard: PipeInput) -> None:
    """The word alone on its line."""
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        keyboard.send_text(f"!exit{ENTER}exit now{ENTER}exit{ENTER}")

    assert ["!exit", "exit now"] == heard.texts


async def test_replies_are_shown_while_somebody_types(tmp_path: Path, keyboard: PipeInput) -> None:
    """With a terminal's own bold, and the line begun is kept; also after the end."""
    async with typing(keyboard, tmp_path) as (adapter, heard, screen, _):
        keyboard.send_text("!pi")
        await adapter.send(HERE, Reply("**while** you type"), "k1")
        keyboard.send_text(f"ng{ENTER}{CTRL_D}")
    await adapter.send(HERE, Reply("afterwards"), "k2")

    assert "\x1b[1mwhile\x1b[22m you type\nafterwards\n" == screen.getvalue()
    assert ["!ping"] == heard.texts


async def test_the_bots_own_handlers_stay(tmp_path: Path, keyboard: PipeInput) -> None:
    """The prompt does not take over the loop's exception handler."""
    loop = asyncio.get_running_loop()
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        keyboard.send_text(f"!ping{ENTER}")
        await until(lambda: heard)
        handler = loop.get_exception_handler()
        keyboard.send_text(CTRL_D)

    assert handler is None


async def test_nothing_stays_patched(tmp_path: Path, keyboard: PipeInput) -> None:
    """Standard output is the process's own again as soon as the run ends."""
    before, heard = sys.stdout, Heard()
    keyboard.send_text(f"exit{ENTER}")
    await make(tmp_path, Screen(), Screen()).run(heard.deliver, heard.ready)

    assert before is sys.stdout


async def test_a_cancelled_prompt_gives_the_terminal_back(tmp_path: Path, keyboard: PipeInput) -> None:
    """Shutting down in the middle of a line leaves nothing patched."""
    before = sys.stdout
    async with typing(keyboard, tmp_path) as (_, heard, _, running):
        keyboard.send_text(f"!ping{ENTER}!half")
        await until(lambda: heard)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    assert before is sys.stdout
    assert ["!ping"] == heard.texts


async def test_the_history_holds_commands_and_no_secret(tmp_path: Path, keyboard: PipeInput) -> None:
    """A code, a pasted address, a key given as an answer: none of them reaches the disk."""
    kept = ["!gh issue list acme/site", "gh --unread", "gh@work issue new acme/site"]
    secret = [
        "!confirm KXQW-MNHZ",
        "! confirm KXQW-MNHZ",
        "Confirm KXQW",
        "http://127.0.0.1:9/callback/github?state=s&code=c",
        "!link code=abc",
        "ghp_0123456789abcdef",
        "748256",
    ]
    directory = tmp_path / "data" / "console"
    async with typing(keyboard, directory) as (_, heard, _, _):
        keyboard.send_text("".join(line + ENTER for line in [*kept[:1], *secret, *kept[1:]]) + CTRL_D)
    file = directory / "history"
    lines = [line for line in file.read_text().splitlines() if line.startswith("+")]

    assert len(kept) + len(secret) == len(heard)
    assert [f"+{line}" for line in kept] == lines
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)
    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)


async def test_the_history_comes_back(tmp_path: Path, keyboard: PipeInput) -> None:
    """What was typed in an earlier run is there by the up key."""
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        keyboard.send_text(f"!gh --unread{ENTER}!confirm KXQW{ENTER}{CTRL_D}")
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        await until(lambda: heard.realms)
        await until(lambda: len(get_app().current_buffer._working_lines) > 1)
        keyboard.send_text(f"{UP}{ENTER}{CTRL_D}")

    assert ["!gh --unread"] == heard.texts


async def test_a_loose_history_is_tightened(tmp_path: Path, keyboard: PipeInput) -> None:
    """A file that others could read is theirs no longer."""
    file = tmp_path / "history"
    file.touch(0o644)
    async with typing(keyboard, tmp_path):
        keyboard.send_text(CTRL_D)

    assert 0o600 == stat.S_IMODE(file.stat().st_mode)


async def test_without_history_nothing_is_written(tmp_path: Path, keyboard: PipeInput) -> None:
    """The option leaves no file and no folder."""
    directory = tmp_path / "console"
    async with typing(keyboard, directory, history=False) as (_, heard, _, _):
        keyboard.send_text(f"!gh{ENTER}{CTRL_D}")

    assert ["!gh"] == heard.texts
    assert not directory.exists()


def offered() -> bool:
    """Return whether completions are shown."""
    state = get_app().current_buffer.complete_state
    return state is not None and bool(state.completions)


async def test_tab_completes_a_command(tmp_path: Path, keyboard: PipeInput) -> None:
    """A word begun is finished from what is loaded."""
    async with typing(keyboard, tmp_path) as (_, heard, _, _):
        keyboard.send_text("!gh iss")
        await until(offered)
        keyboard.send_text(f"{TAB} n")
        await until(lambda: get_app().current_buffer.text == "!gh issue n" and offered())
        keyboard.send_text(f"{TAB}{ENTER}{CTRL_D}")

    assert ["!gh issue new"] == heard.texts


# ----------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ["gh"]),
        ("!", ["gh"]),
        ("!G", ["gh"]),
        ("! g", ["gh"]),
        ("!x", []),
        ("gh ", ["--unread", "issue"]),
        ("!gh i", ["issue"]),
        ("!gh@work issue ", ["list", "new"]),
        ("!gh issue n", ["new"]),
        ("!gh issue new --", ["--draft", "--due-in"]),
        ("!gh issue new acme/site --draft --d", ["--due-in"]),
        ("!gh issue list acme/site ", []),
        ("!nothing of ours ", []),
    ],
)
def test_what_may_come_next(line: str, words: list[str]) -> None:
    """Words of commands, then their options; each replaces what is typed of it."""
    typed = len(line.removeprefix("!").split(" ")[-1])

    assert [(word, typed) for word in words] == list(completions(line, github.commands, "!"))


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("!gh", True),
        ("!unknown", True),
        ("gh issue", True),
        ("yes", False),
        ("", False),
        ("!CONFIRM X", False),
    ],
)
def test_what_is_worth_keeping(line: str, kept: bool) -> None:
    """Commands are, answers are not."""
    assert kept is worth_keeping(line, github.commands, "!")


@pytest.mark.parametrize(
    "line", ["!link redmine@work 0a1b2c", "link Redmine@work 0a1b2c", "!lnk x 0a1b2c3d4e5f6a7b8c9d0a1b"]
)
def test_a_key_is_not_kept(line: str) -> None:
    """Neither by the command that takes it, nor by one that was mistyped."""
    accounts = Skill("accounts", bare=True)

    @accounts.command(secret="key")
    async def link(ctx: Context, service: str, key: str = "") -> None:
        """Link."""

    assert not worth_keeping(line, accounts.commands, "!")
    assert worth_keeping("!link redmine@work", accounts.commands, "!")


def test_without_a_prefix_only_known_commands_are_kept() -> None:
    """Else every line would be one."""
    assert worth_keeping("gh issue", github.commands, "")
    assert not worth_keeping("ghp_0123456789abcdef", github.commands, "")


# ------------------------------------------------------------------- settings


def test_an_unknown_option_is_refused() -> None:
    """A slip in the configuration is not overlooked."""
    with pytest.raises(ValidationError, match="colour"):
        Settings.model_validate({"colour": "red"})


def test_the_user_is_who_is_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or `you`, where nobody can tell."""
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    known = Settings().user

    def nobody() -> str:
        raise OSError("no such user")

    monkeypatch.setattr("getpass.getuser", nobody)

    assert ("ada", "you") == (known, Settings().user)
