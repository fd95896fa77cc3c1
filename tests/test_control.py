"""The running bot is reached from its own machine, by its own user, one question a connection."""

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from omnibot import control
from omnibot.control import Control, NotRunning, Say, ask, in_words
from omnibot.errors import ConfigError, KeyMissing, UserError


class Operations:
    """What a bot can be asked, and what it was."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.go_on = asyncio.Event()
        self.done = asyncio.Event()
        self._came = asyncio.Condition()

    async def came(self, count: int) -> None:
        """Return when so many have been asked for."""
        async with asyncio.timeout(5), self._came:
            await self._came.wait_for(lambda: len(self.asked) >= count)

    async def perform(self, op: str, args: Mapping[str, Any], say: Say) -> Any:
        self.asked.append((op, dict(args)))
        async with self._came:
            self._came.notify_all()
        match op:
            case "refuse":
                raise UserError("There is no such thing.")
            case "locked":
                raise KeyMissing("cafe0001")
            case "break":
                raise RuntimeError("a canary")
            case "wait":
                say("begun")
                await self.go_on.wait()
        say("half")
        self.done.set()
        return {"op": op, **args}


@pytest.fixture
def operations() -> Operations:
    return Operations()


@asynccontextmanager
async def listening(folder: Path, operations: Operations) -> AsyncIterator[Control]:
    server = Control(folder, operations.perform)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def folder(tmp_path: Path, operations: Operations) -> AsyncIterator[Path]:
    """A folder in which a bot listens."""
    async with listening(tmp_path, operations):
        yield tmp_path


def silent(_: str) -> None:
    """Hear nothing."""


async def said(folder: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Send *lines* as they are; return what came back."""
    reader, writer = await asyncio.open_unix_connection(folder / "control")
    for line in lines:
        writer.write(line)
    answer = b""
    with suppress(ConnectionResetError):  # hung up on before it had all been read
        answer = await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return [json.loads(line) for line in answer.splitlines()]


async def test_an_operation_is_asked_for_and_answered(folder: Path, operations: Operations) -> None:
    """With its arguments; what is said meanwhile arrives before the result."""
    heard: list[str] = []
    result = await ask(folder, "greet", {"name": "Ada"}, heard.append)

    assert {"op": "greet", "name": "Ada"} == result
    assert ["half"] == heard
    assert [("greet", {"name": "Ada"})] == operations.asked


async def test_a_refusal_comes_in_words(folder: Path) -> None:
    """Those of the bot; a refusal of the vault says that it is one."""
    for op, words in (("refuse", "There is no such thing."), ("locked", "The vault refuses: key cafe0001 is not")):
        with pytest.raises(UserError, match=words):
            await ask(folder, op, {}, silent)


async def test_a_failure_is_in_the_log_and_not_in_the_answer(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kind of it is told, and where to look."""
    with pytest.raises(UserError, match=r"^Something broke in the bot \(RuntimeError\); its log says where\.$"):
        await ask(folder, "break", {}, silent)

    assert ["`break` from the command line failed"] == caplog.messages


async def test_the_socket_is_for_its_owner(folder: Path) -> None:
    """Mode 0600, whatever the umask."""
    found = (folder / "control").stat()

    assert stat.S_ISSOCK(found.st_mode)
    assert 0o600 == stat.S_IMODE(found.st_mode)


async def test_the_mode_does_not_hang_on_the_umask(tmp_path: Path, operations: Operations) -> None:
    """An open one would make a socket that everybody may write to."""
    before = os.umask(0)
    try:
        async with listening(tmp_path, operations):
            mode = stat.S_IMODE((tmp_path / "control").stat().st_mode)
    finally:
        os.umask(before)

    assert 0o600 == mode


@pytest.mark.parametrize(("user", "answered"), [(os.geteuid(), True), (0, True), (12345, False)])
async def test_only_its_own_user_and_root_are_answered(
    folder: Path, operations: Operations, monkeypatch: pytest.MonkeyPatch, user: int, answered: bool
) -> None:
    """The kernel says who is at the other end; a stranger gets no word."""

    class Peer:
        def getsockopt(self, level: int, option: int, length: int) -> bytes:
            assert (socket.SOL_SOCKET, socket.SO_PEERCRED, 12) == (level, option, length)
            return struct.pack("3i", 1, user, 1)

    real = control._is_own
    monkeypatch.setattr(control, "_is_own", lambda _: real(Peer()))  # type: ignore[arg-type]
    came = await said(folder, b'{"op": "greet"}\n')

    assert answered == bool(came)
    assert answered == bool(operations.asked)


async def test_where_nobody_can_say_who_asks_the_mode_decides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every system has such a question."""
    monkeypatch.delattr(socket, "SO_PEERCRED")

    assert {"op": "greet"} == await ask(folder, "greet", {}, silent)


@pytest.mark.parametrize(
    "line",
    [b"\n", b"greet\n", b"[]\n", b'{"op": 1}\n', b'{"op": "greet", "args": []}\n', b"\xff\xfe\n", b'{"op": "greet"'],
)
async def test_what_is_no_question_is_refused(folder: Path, operations: Operations, line: bytes) -> None:
    """And the next one is answered."""
    reader, writer = await asyncio.open_unix_connection(folder / "control")
    writer.write(line)
    writer.write_eof()
    answer = json.loads(await reader.read())
    writer.close()

    assert {"error": "That is not a question the bot understands."} == answer
    assert [] == operations.asked
    assert {"op": "greet"} == await ask(folder, "greet", {}, silent)


async def test_a_line_without_end_is_refused(folder: Path, operations: Operations) -> None:
    """Before it fills the memory."""
    assert [{"error": "That is not a question the bot understands."}] == await said(folder, b"x" * 200_000)
    assert [] == operations.asked


async def test_whoever_asks_nothing_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing is closed."""
    monkeypatch.setattr(control, "_ASK_SECONDS", 0.01)

    assert [] == await said(folder)


async def test_many_at_once_are_put_off(folder: Path, operations: Operations) -> None:
    """So many are served, and whoever comes on top is told to come again."""
    waiting = [asyncio.create_task(ask(folder, "wait", {}, silent)) for _ in range(control._MOST_CLIENTS)]
    await operations.came(control._MOST_CLIENTS)
    with pytest.raises(UserError, match="busy with other commands"):
        await ask(folder, "greet", {}, silent)
    operations.go_on.set()
    await asyncio.gather(*waiting)

    assert {"op": "greet"} == await ask(folder, "greet", {}, silent)


async def test_whoever_hangs_up_stops_nothing(folder: Path, operations: Operations) -> None:
    """Half of an operation would be worse than one whose result nobody reads."""
    reader, writer = await asyncio.open_unix_connection(folder / "control")
    writer.write(b'{"op": "wait"}\n')
    await reader.readline()
    writer.close()
    await writer.wait_closed()
    operations.go_on.set()
    async with asyncio.timeout(5):
        await operations.done.wait()

    assert {"op": "greet"} == await ask(folder, "greet", {}, silent)


async def test_a_bot_that_ends_meanwhile_is_said_to(tmp_path: Path, operations: Operations) -> None:
    """Whoever waits is not left waiting."""
    async with listening(tmp_path, operations):
        heard = asyncio.Event()
        asking = asyncio.create_task(ask(tmp_path, "wait", {}, lambda _: heard.set()))
        await heard.wait()
    with pytest.raises(UserError, match="hung up before it was done"):
        await asking

    assert not (tmp_path / "control").exists()


async def test_nobody_there_is_told_apart(tmp_path: Path, operations: Operations) -> None:
    """No socket, or one that a killed bot left; the next bot replaces it."""
    with pytest.raises(NotRunning):
        await ask(tmp_path, "greet", {}, silent)
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "control"))
    left.close()
    with pytest.raises(NotRunning):
        await ask(tmp_path, "greet", {}, silent)
    async with listening(tmp_path, operations):
        assert {"op": "greet"} == await ask(tmp_path, "greet", {}, silent)


async def test_a_long_path_is_no_hindrance(tmp_path: Path, operations: Operations) -> None:
    """A socket's address may have 108 bytes; a folder's may have more."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with listening(deep, operations):
        assert {"op": "greet"} == await ask(deep, "greet", {}, silent)
        assert 0o600 == stat.S_IMODE((deep / "control").stat().st_mode)


async def test_where_a_long_path_is_one_it_is_said(
    tmp_path: Path, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it."""
    monkeypatch.setattr("sys.platform", "darwin")
    deep = tmp_path / ("d" * 100)
    with pytest.raises(ConfigError, match=r"path is too long for a control socket in it\. Name a data_dir"):
        await Control(deep, operations.perform).start()


async def test_a_folder_that_cannot_have_one_is_one_sentence(tmp_path: Path, operations: Operations) -> None:
    """With the system's own reason."""
    (tmp_path / "control").mkdir()
    server = Control(tmp_path, operations.perform)
    with pytest.raises(ConfigError, match=r"data_dir: the control socket cannot be made \(.*\)\. Give the bot's user"):
        await server.start()
    await server.stop()


def test_words_for_an_error() -> None:
    """What the command line prints of it."""
    assert "no" == in_words(UserError("no"))
    assert "The vault refuses: key cafe0001 is not in the key file." == in_words(KeyMissing("cafe0001"))
