"""The unit is what the code makes, systemd understands it, and what it shuts off is measured."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from omnibot.service import tell_systemd, unit
from servers.processes import require

DEPLOY = Path(__file__).parents[2] / "deploy"
THRESHOLD = 1.1
"""The exposure that systemd 252 finds in the unit, of ten; what is left is chiefly that it may reach the internet."""


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        require("systemd-analyze", "it is not installed (`make servers` tells why)")
    return subprocess.run([program, "--no-pager", *words], capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - ours


def settings(text: str) -> dict[str, str]:
    """Return what *text* sets, by name; of what is set twice the last."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_the_unit_in_deploy_is_the_one_that_is_made() -> None:
    """To mend a difference: write `unit()` there."""
    assert unit() == (DEPLOY / "omnibot.service").read_text()


def test_the_exposure_is_what_the_documents_say() -> None:
    """By systemd's own measure, and no worse; the figure stands in operating.md."""
    done = analyze("security", "--offline=true", f"--threshold={THRESHOLD * 10:.0f}", str(DEPLOY / "omnibot.service"))
    said = (DEPLOY.parent / "docs" / "operating.md").read_text()

    assert 0 == done.returncode, done.stdout[-300:]
    assert f"`systemd-analyze security` finds an exposure of {THRESHOLD}" in said


@pytest.mark.parametrize("user", ["omnibot", None])
def test_systemd_takes_every_line(user: str | None, tmp_path: Path) -> None:
    """Also of odd paths, and of a user that is made up."""
    here = tmp_path / 'it\'s 100% "mine"'
    here.mkdir()
    path = tmp_path / "omnibot.service"
    path.write_text(unit(exec_path=sys.executable, config=here / "c.yaml", user=user, data=here, key=here / "k"))
    done = analyze("verify", str(path))

    assert (0, "") == (done.returncode, done.stderr)


def test_a_bot_of_ones_own_folder() -> None:
    """Its data is all that can be written to, its home can be read, and there is nothing that root hands over."""
    made = settings(
        unit(user="ada", config="/home/ada/bot/config.yaml", data="/home/ada/bot/data", key=None, secrets=None)
    )

    assert "/home/ada/bot/data" == made["ReadWritePaths"]
    assert ("read-only", "ada") == (made["ProtectHome"], made["User"])
    assert [] == [name for name in ("StateDirectory", "LoadCredential") if name in made]


@pytest.mark.parametrize(
    "odd",
    [
        {"config": "config.yaml"},
        {"data": "/a\nUser=root"},
        {"exec_path": "/a$b"},
        {"user": "a b"},
        {"key": "~/k"},
        {"user": ""},
    ],
)
def test_what_a_unit_cannot_hold_is_refused(odd: dict[str, str]) -> None:
    """Rather than written as something else."""
    with pytest.raises(ValueError, match="is"):
        unit(**odd)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(abstract: bool, tmp_path: Path) -> None:
    """At a socket in the file system, or one without a file."""
    name = f"omnibot-{os.getpid()}-{tmp_path.name}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(f"\0{name}" if abstract else name)
        hears.settimeout(5)
        tell_systemd("READY=1", {"NOTIFY_SOCKET": f"@{name}" if abstract else name})
        assert b"READY=1" == hears.recv(100)


@pytest.mark.parametrize("address", ["", "vsock:2:1", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_trouble(address: str) -> None:
    """As where the bot was started by hand."""
    tell_systemd("READY=1", {"NOTIFY_SOCKET": address})


async def test_a_bot_says_that_it_has_started_and_that_it_ends(tmp_path: Path) -> None:
    """Started as the unit does; not before the listener can be reached."""
    (tmp_path / "config.yaml").write_text("listen: 127.0.0.1:0\npublic_url: http://127.0.0.1:1\nkey_file: key\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(str(tmp_path / "notify"))
        hears.setblocking(False)
        bot = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "omnibot", "run", "--config", str(tmp_path / "config.yaml")),
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60):
            first = await loop.sock_recv(hears, 100)
            bot.send_signal(signal.SIGTERM)
            last = await loop.sock_recv(hears, 100)
            _, said = await bot.communicate()

    assert (b"READY=1", b"STOPPING=1", 0) == (first, last, bot.returncode), said
    assert b"listening on" in said
