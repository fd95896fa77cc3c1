"""The way to the running bot from its own machine: a Unix socket in the data directory.

One JSON object a line.  A client asks once, ``{"op": …, "args": {…}}``; the bot answers with any
number of ``{"say": …}`` and then ``{"result": …}`` or ``{"error": …}``, and hangs up.

Only the user that the bot runs as (or root) is answered: the socket is of mode 0600, and the
kernel says who is at the other end (``SO_PEERCRED``, unix(7)).  What can be asked is a table
of operations that whoever makes the `Control` gives it; nothing else is reachable.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from omnibot.errors import ConfigError, OmnibotError, Problem, UserError, VaultError

log = logging.getLogger(__name__)

NAME = "control"
_LONGEST_LINE = 64 * 1024
_LONGEST_ANSWER = 16 * 1024 * 1024
_MOST_CLIENTS = 8
_ASK_SECONDS = 10.0
_LONGEST_ADDRESS = 104
"""Bytes of a socket's path that every system takes (unix(7): 108 on Linux, one of them the end)."""

type Say = Callable[[str], None]
type Perform = Callable[[str, Mapping[str, Any], Say], Awaitable[Any]]
"""Does an operation, by name and arguments; what it returns survives JSON.  Raises `OmnibotError` in words."""


class NotRunning(OmnibotError):
    """Nobody listens on the control socket."""


def in_words(error: OmnibotError) -> str:
    """Return what an operator is told of *error*."""
    return f"The vault refuses: {error}." if isinstance(error, VaultError) else str(error)


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Lend a path to the socket in *folder* that is short enough to be one.

    Raises:
        ConfigError: there is none.
    """
    plain = str(folder / NAME)
    if len(os.fsencode(plain)) <= _LONGEST_ADDRESS:
        yield plain
        return
    if sys.platform != "linux":
        cure = "Name a data_dir with a shorter path."
        raise ConfigError(Problem(str(folder), "data_dir", "the path is too long for a control socket in it", cure))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


class Control:
    """The bot's end of the socket."""

    def __init__(self, folder: Path, perform: Perform) -> None:
        """Listen in *folder*, which this process holds; let *perform* do what is asked."""
        self._folder = folder
        self._perform = perform
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen.  A socket that an earlier process left behind is replaced: we hold the folder.

        Raises:
            ConfigError: the socket cannot be made.
        """
        listening = socket.socket(socket.AF_UNIX)
        try:
            (self._folder / NAME).unlink(missing_ok=True)
            with _address(self._folder) as address:
                listening.bind(address)
            os.chmod(self._folder / NAME, 0o600)  # noqa: PTH101 - before it listens: nobody gets in earlier
            self._server = await asyncio.start_unix_server(self._take, sock=listening, limit=_LONGEST_LINE)
        except OSError as error:
            listening.close()
            what = f"the control socket cannot be made ({error.strerror})"
            cure = "Give the bot's user write permission, on a file system that has sockets."
            raise ConfigError(Problem(str(self._folder), "data_dir", what, cure)) from None
        except BaseException:
            listening.close()
            raise

    async def stop(self) -> None:
        """Stop listening, and what is being done for clients."""
        if self._server is None:
            return
        self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        (self._folder / NAME).unlink(missing_ok=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._clients.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError):
            pass  # they have gone
        finally:
            self._clients.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not _is_own(writer.get_extra_info("socket")):
            log.warning("another user of this machine came to the control socket, and was sent away")
            return
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                op, args = _asked(await reader.readline())
        except ValueError:  # readline raises it, too, for a line that is too long
            await _answer(writer, {"error": "That is not a question the bot understands."})
            return
        if len(self._clients) > _MOST_CLIENTS:  # told now: an answer to a question unread is lost with its connection
            await _answer(writer, {"error": "The bot is busy with other commands. Try again in a moment."})
            return
        await _answer(writer, await self._done(op, args, writer))

    async def _done(self, op: str, args: Mapping[str, Any], writer: asyncio.StreamWriter) -> dict[str, Any]:
        """Do it to the end, also if whoever asked hangs up: half of an operation would be worse than an unread one."""

        def say(text: str) -> None:
            if not writer.is_closing():
                writer.write(_line({"say": text}))

        try:
            return {"result": await self._perform(op, args, say)}
        except OmnibotError as error:
            return {"error": in_words(error)}
        except Exception as error:
            log.exception("`%s` from the command line failed", op)
            return {"error": f"Something broke in the bot ({type(error).__name__}); its log says where."}


def _asked(line: bytes) -> tuple[str, Mapping[str, Any]]:
    asked = json.loads(line)
    if not isinstance(asked, dict):
        raise ValueError("not an object")
    op, args = asked.get("op"), asked.get("args", {})
    if not isinstance(op, str) or not isinstance(args, dict):
        raise ValueError("not a question")
    return op, args


def _is_own(connected: socket.socket) -> bool:
    """Whether the user at the other end is the one this process runs as, or root.

    Where the system does not say, the socket's mode alone decides who may connect.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return user in (os.geteuid(), 0)


async def _answer(writer: asyncio.StreamWriter, answer: Mapping[str, Any]) -> None:
    writer.write(_line(answer))
    await writer.drain()


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


async def ask(folder: Path, op: str, args: Mapping[str, Any], say: Say) -> Any:
    """Let the bot that holds *folder* do *op*, and hand on what it has to *say*; return the result.

    Raises:
        NotRunning: nobody listens there.
        UserError: it would not, or could not; in its own words.
    """
    async with _connected(folder) as (reader, writer):
        writer.write(_line({"op": op, "args": dict(args)}))
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                if "say" in answer:
                    say(answer["say"])
                elif "error" in answer:
                    raise UserError(answer["error"])
                else:
                    return answer["result"]
        except (ConnectionError, ValueError):
            pass
    raise UserError("The bot hung up before it was done. Its log may say why; what was begun can be asked for again.")


@asynccontextmanager
async def _connected(folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    try:
        with _address(folder) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=_LONGEST_ANSWER)
    except OSError:
        raise NotRunning(f"no bot listens in {folder}") from None
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
