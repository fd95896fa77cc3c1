"""The demo's own IRC network: people find there what it promises, and nothing of it is left."""

import asyncio
import importlib
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from omnibot.demo import ircd
from omnibot.demo.browser import Browser
from omnibot.demo.play import play
from servers.irc.client import People
from servers.irc.server import ATHEME, INSPIRCD
from servers.processes import require
from terminals import Session

demo_module = importlib.import_module("omnibot.demo.play")
"""The module itself: the package gives its name to the function."""


@pytest.fixture
def programs() -> str:
    """A path with the servers that ``make servers`` unpacked in front."""
    for program in (INSPIRCD, ATHEME):
        if not program.exists():
            require("irc", f"{program} is not there (`make servers` puts it there)")
    return os.pathsep.join((str(INSPIRCD.parent), str(ATHEME.parent), os.environ["PATH"]))


async def test_somebody_follows_the_words_on_the_screen(tmp_path: Path, programs: str, people: People) -> None:
    """They are refused, make a services account, link, and the command runs; Ctrl-C ends all of it."""
    with Session("demo", "--network", "irc", folder=tmp_path, TMPDIR=str(tmp_path), PATH=programs) as demo:
        port = int((await asyncio.to_thread(demo.wait, r"port (\d+) without TLS"))[1])
        (you,) = await people.come(port, "you")
        await you.join("#omnibot")
        if not any(line.command == "353" and "omnibot" in line.text for line in you.lines):
            await you.until(lambda line: line.command == "JOIN" and line.nick == "omnibot")
        await you.say("#omnibot", "!ping")
        await you.hear("pong", of="omnibot")
        await you.say("#omnibot", "!notes")
        await you.hear("services", of="omnibot")
        await you.say("NickServ", "REGISTER some-password you@example.org")
        await you.until(lambda line: line.command == "900")
        await you.say("#omnibot", "!notes")
        link = (await you.hear("http://127.0.0.1", of="omnibot")).text.rpartition(" ")[2]
        async with Browser() as browser:
            await browser.open(link)
            await browser.press("Continue")
            await browser.press("", user="ada")
            await browser.press("Allow")
            await you.say("omnibot", f"!confirm {browser.code}")
        await you.hear("You have no notes", of="omnibot")
        demo.signal(signal.SIGINT)

        assert 0 == await asyncio.to_thread(demo.ends)
    assert "Traceback" not in demo.screen
    assert [] == os.listdir(tmp_path)  # noqa: PTH208 - ruff takes Path's own for blocking


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_while_it_starts_it_leaves_nothing(tmp_path: Path, programs: str, number: signal.Signals) -> None:
    """Neither its folder nor a server."""
    with Session("demo", "--network", "irc", folder=tmp_path, TMPDIR=str(tmp_path), PATH=programs) as demo:
        while not list(tmp_path.glob("*/ircd.out")):
            assert demo.process.poll() is None, demo.screen
        demo.signal(number)
        demo.ends()
    assert [] == list(tmp_path.iterdir())
    assert not any(bytes(tmp_path) in command for command in commands())


def commands() -> Iterator[bytes]:
    """Every process's words; of one that ends meanwhile there are none."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


def test_without_the_servers_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, with status 1."""
    monkeypatch.setattr(ircd, "_SYSTEM", "/nowhere")
    monkeypatch.setattr(demo_module, "set_up", lambda *_: None)
    monkeypatch.setenv("PATH", "/nowhere")

    assert 1 == play(script=False, network="irc")
    assert ("", f"{ircd.CURE}\n") == capsys.readouterr()


@pytest.mark.parametrize(
    ("said", "words"),
    [("echo InspIRCd-4.2.0", "is not InspIRCd 3 but says 'InspIRCd-4.2.0'"), ("echo InspIRCd-3.15", "did not start")],
    ids=["another", "broken"],
)
async def test_servers_that_will_not_do_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, words: str
) -> None:
    """With what they said themselves."""
    for name in ("inspircd", "atheme-services"):
        program = tmp_path / "sbin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{said}\n")
        program.chmod(0o755)
    for modules in ("lib/inspircd/modules", "lib/any/atheme/modules"):
        (tmp_path / modules).mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'sbin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ircd.NoNetworkError, match=words):
        async with ircd.network(tmp_path):
            pass


async def test_programs_without_their_modules_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would start and know nothing."""
    (tmp_path / "sbin").mkdir()
    for name in ("inspircd", "atheme-services"):
        (tmp_path / "sbin" / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "sbin"))
    with pytest.raises(ircd.NoNetworkError, match=r"The modules of .*/sbin/inspircd are not where"):
        async with ircd.network(tmp_path):
            pass
