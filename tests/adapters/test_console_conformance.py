"""The console keeps the adapter contract, piped and on a terminal."""

import asyncio
import io
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from adapters.console import Adapter, Settings
from omnibot.adapter import Tools
from omnibot.testing.conformance import AdapterConformance, Facts, Harness, Seen
from omnibot.testing.fakes import FakeStore

ESCAPE = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x09\x0b-\x1f\x7f-\x9f][^\n]*")


def tools(directory: Path) -> Tools:
    log = logging.getLogger("omnibot.tests.console")
    return Tools("here", "!", FakeStore(), FakeStore(), directory, log, commands=list)


class Console(Harness):
    """A console whose output is at hand; ada is the operator."""

    network = "here"

    def output(self) -> str:
        raise NotImplementedError

    async def saw(self, person: str, *, room: bool = False) -> list[Seen]:
        shown = re.sub(r"\x1b\[[0-9;]*m", "", self.output())
        return [Seen(line) for line in shown.split("\n") if line]

    async def commands(self) -> list[str]:
        return [found for found in ESCAPE.findall(self.output()) if not found.endswith("m")]


class Piped(Console):
    """A console between two pipes."""

    def __init__(self, directory: Path) -> None:
        read, self._typed = os.pipe()
        self._shown, write = os.pipe()
        os.set_blocking(self._shown, False)
        self._output = b""
        self._in = os.fdopen(read, encoding="utf-8")
        self._out = os.fdopen(write, "w", encoding="utf-8")
        self.adapter = Adapter(tools(directory), Settings(user="ada"), self._in, self._out)

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        await asyncio.to_thread(os.write, self._typed, f"{text}\n".encode())

    def output(self) -> str:
        try:
            while chunk := os.read(self._shown, 65536):
                self._output += chunk
        except BlockingIOError:
            pass
        return self._output.decode()

    async def cut(self) -> None:
        os.close(self._shown)
        self._shown = -1

    def close(self) -> None:
        os.close(self._typed)
        for thread in threading.enumerate():
            if thread.name == "console":  # it reads until it sees the end
                thread.join(5)
        self._in.close()
        if self._shown >= 0:
            os.close(self._shown)
        try:
            self._out.close()
        except BrokenPipeError:  # what was written after the cut
            pass


class Terminal(Console):
    """A console at a prompt, which is drawn nowhere."""

    class Screen(io.StringIO):
        """A stream that says it is a terminal."""

        def isatty(self) -> bool:
            return True

    def __init__(self, directory: Path, keyboard: PipeInput) -> None:
        self._keyboard = keyboard
        self._screen = Terminal.Screen()
        self.adapter = Adapter(tools(directory), Settings(user="ada"), Terminal.Screen(), self._screen)

    async def say(self, person: str, text: str, *, room: bool = False) -> None:
        self._keyboard.send_text(f"{text}\r")

    def output(self) -> str:
        return self._screen.getvalue()

    async def cut(self) -> None:
        self._screen.close()


class TestPiped(AdapterConformance):
    """Lines in, lines out."""

    facts = Facts(rooms=False, others=False, cuts=True)

    @pytest.fixture
    async def harness(self, tmp_path: Path) -> AsyncIterator[Harness]:
        harness = Piped(tmp_path)
        yield harness
        await asyncio.to_thread(harness.close)


class TestTerminal(AdapterConformance):
    """Lines typed, replies above the prompt."""

    facts = Facts(rooms=False, others=False, cuts=True)

    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[Harness]:
        with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
            yield Terminal(tmp_path, keyboard)
