"""Processes of the bot itself, at a pipe or on a real pseudo-terminal, and somebody who types."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

WITHIN = 20.0
"""Seconds to wait for anything; a machine under load is slow."""

CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"

_ASKS_WHERE = b"\x1b[6n"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


def command(*words: str) -> list[str]:
    """Return what starts ``omnibot`` with *words*, from this checkout, whatever is installed."""
    return [sys.executable, "-m", "omnibot", *words]


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with *changes*, and this checkout importable from any folder."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm-256color", **changes}


@contextmanager
def _heeding_ctrl_c() -> Iterator[None]:
    """Start within what is to heed SIGINT: what a shell runs in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Session:
    """``omnibot`` with *words* in *folder*, its input open until it is told otherwise.

    On a *terminal* it has a pseudo-terminal as a person's, else pipes; either way `screen` is
    everything that it wrote, errors included.  Used in ``with``: whatever happens, it ends.
    """

    def __init__(self, *words: str, folder: Path, terminal: bool = False, **env: str) -> None:
        self.screen = ""
        self._read = 0
        self._leader, follower = pty.openpty() if terminal else (-1, -1)
        if terminal:
            fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        with _heeding_ctrl_c():
            self.process = subprocess.Popen(  # noqa: S603 - the words are a test's
                command(*words),
                cwd=folder,
                env=environment(env),
                stdin=follower if terminal else subprocess.PIPE,
                stdout=follower if terminal else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if terminal:
            os.close(follower)
            self._in, self._out = self._leader, self._leader
        else:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()

    def __enter__(self) -> Self:
        """Be there."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        if self._leader >= 0:
            os.close(self._leader)

    def type(self, text: str) -> None:
        """Type *text*, as it is; what is on the screen so far counts as read."""
        self._read = len(self.screen)
        os.write(self._in, text.encode())

    def wait(self, pattern: str) -> re.Match[str]:
        """Return what matches *pattern* on the screen, since the last line typed, as soon as it is there.

        Wait for the prompt as well before typing on: while something is written above it, the terminal
        is not the prompt's, and takes keys such as Ctrl-D for itself.

        Raises:
            AssertionError: it does not come.
        """
        until = time.monotonic() + WITHIN
        while not (found := re.search(pattern, self.screen[self._read :])):
            assert self._more(until - time.monotonic()), f"waited for {pattern!r}; the screen: {self.screen!r}"
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def close_input(self) -> None:
        """End what it is typed; at a terminal type Ctrl-D instead."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def ends(self) -> int:
        """Return its exit status as soon as it has ended, and everything it wrote is on `screen`.

        Raises:
            AssertionError: it does not end.
        """
        until = time.monotonic() + WITHIN
        while self._more(until - time.monotonic()):
            pass
        try:
            return self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end; the screen: {self.screen!r}") from None

    def _more(self, seconds: float) -> bool:
        """Read what comes within *seconds*; return False if nothing does, or nothing can any more."""
        ready, _, _ = select.select([self._out], [], [], max(0.0, seconds))
        try:
            chunk = os.read(self._out, 65536) if ready else b""
        except OSError:  # nobody holds the other end of the pseudo-terminal any more
            chunk = b""
        for _ in range(chunk.count(_ASKS_WHERE)):
            os.write(self._in, b"\x1b[1;1R")  # where the cursor is: terminals answer that
        self.screen += _CONTROL.sub("", chunk.decode(errors="replace"))
        return bool(chunk)


def finished(*words: str, folder: Path, typed: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``omnibot`` with *words* in *folder* to its end, *typed* piped into it."""
    return subprocess.run(  # noqa: S603 - the words are a test's
        command(*words),
        cwd=folder,
        env=environment(env),
        input=typed,
        capture_output=True,
        text=True,
        timeout=WITHIN * 2,
        check=False,
    )
