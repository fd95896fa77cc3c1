"""A38, the master key where others can find it: a file that they may read, the environment, a core file.

What must hold: a key file that group or others may read is refused, by each command that reads it.  The
key is never in the bot's environment or on its command line.  A bot that runs can write no core file
and, on Linux, no other process of the same user may look into it; nor do these commands leave one.

What remains: root, and whoever runs code in the process (docs/security.md).
"""

import asyncio
import base64
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from omnibot import app, vault
from omnibot.cli import run
from omnibot.ports import free_port
from omnibot.vault import add_key, new_key_file, remove_key

START = "from omnibot.__main__ import main; raise SystemExit(main())"
SOFT = "import omnibot.app; omnibot.app.harden = lambda: None; "
"""The sabotage: a bot that is not hardened."""

HOW = {"start": START}

LOOK = '''\
"""Look at this very process."""

import ctypes
import resource

from omnibot import Context, Skill

skill = Skill("look")


@skill.command
async def look(ctx: Context) -> str:
    """Tell how the process is protected."""
    return f"dumpable {ctypes.CDLL(None).prctl(3)}, core {resource.getrlimit(resource.RLIMIT_CORE)}"
'''

CONFIG = """\
networks: {here: {adapter: console, history: false}}
skills: [ping, look]
skills_dir: own
key_file: omnibot.key
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration of one console, with a key and a skill that looks at the process."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "look.py").write_text(LOOK, "utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG}listen: 127.0.0.1:{free_port()}\n", "utf-8")
    new_key_file(tmp_path / "omnibot.key")
    return path


@asynccontextmanager
async def child(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `omnibot run` in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOW["start"], "run", "--config", str(config)), stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def says(process: asyncio.subprocess.Process, line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n".encode())
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


def seen(process: int, name: str) -> bytes:
    """Return what the system shows of *process* under that name; nothing where it is not for us to see."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except PermissionError:
        return b""


def soft(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(HOW, "start", SOFT + START)


@pytest.mark.attack("A38", sabotage=soft)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")
async def test_a_running_bot_shows_its_key_to_nobody(config: Path) -> None:
    """No core file, not dumpable, and the key in neither its environment nor its command line."""
    secret = base64.b64decode((config.parent / "omnibot.key").read_text().splitlines()[-1].split()[1])
    forms = (secret, base64.b64encode(secret), secret.hex().encode())
    async with child(config) as process:
        said = await says(process, "!look")
        shown = seen(process.pid, "environ") + seen(process.pid, "cmdline")

    assert "dumpable 0, core (0, 0)" == said
    assert [] == [form for form in forms if form in shown]


def unchecked(patch: pytest.MonkeyPatch) -> None:
    """Read every key file, whoever else may."""
    patch.setattr(vault, "_check_mode", lambda *_: None)


@pytest.mark.attack("A38", sabotage=unchecked)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
@pytest.mark.parametrize("words", [["keys", "verify"], ["keys", "rotate"], ["keys", "retire"], ["check", "--offline"]])
def test_a_key_file_that_others_may_read_is_refused(
    config: Path, words: list[str], mode: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that mends it; and it is not changed."""
    monkeypatch.setattr(app, "harden", lambda: None)
    key = config.parent / "omnibot.key"
    before = key.read_bytes()
    key.chmod(mode)
    status = run([*words, "--config", str(config)])
    said = capsys.readouterr()

    assert 1 == status
    assert f"chmod 600 {key}" in said.out + said.err
    assert before == key.read_bytes()


@pytest.mark.attack("A38")
async def test_a_bot_with_such_a_file_runs_without_its_key(config: Path) -> None:
    """It answers what needs none, and its log says why and what to do."""
    (config.parent / "omnibot.key").chmod(0o644)
    async with child(config) as process:
        said = await says(process, "!ping")
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        async with asyncio.timeout(30):
            log = (await process.stderr.read()).decode()

    assert "pong" == said
    assert "others may read this file (mode 0644)" in log


def loose(patch: pytest.MonkeyPatch) -> None:
    """Make files for everybody."""
    patch.setattr(os, "open", lambda path, flags, mode=0o777, **how: _open(path, flags, mode | 0o666, **how))


_open = os.open


@pytest.mark.attack("A38", sabotage=loose)
def test_a_key_file_is_made_and_changed_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask; no copy is left beside it."""
    path = tmp_path / "omnibot.key"
    before = os.umask(0)
    try:
        modes = []
        old = new_key_file(path)
        modes.append(path.stat().st_mode & 0o777)
        path.chmod(0o600)
        add_key(path)
        modes.append(path.stat().st_mode & 0o777)
        path.chmod(0o600)
        remove_key(path, old)
        modes.append(path.stat().st_mode & 0o777)
    finally:
        os.umask(before)

    assert [0o600] * 3 == modes
    assert [path] == list(tmp_path.iterdir())
