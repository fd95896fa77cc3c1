"""The demo plays to its end, and says so if a step does not lead where it should."""

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path

import pytest

from omnibot.app import Parts
from omnibot.demo.play import Person, StepError, Transcript, play
from omnibot.demo.provider import ApiCall, DemoProvider

demo = importlib.import_module("omnibot.demo.play")
"""The module itself: the package gives its name to the function."""

type Trouble = Callable[[DemoProvider], object]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files go to a folder of their own; the process's log and limits stay as they are."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "set_up", lambda *_: None)
    monkeypatch.setattr("omnibot.app.harden", lambda: None)


def with_trouble(monkeypatch: pytest.MonkeyPatch, trouble: Trouble) -> None:
    """Set the stage as always, and then let something be wrong with the service."""
    stage = demo._stage

    @asynccontextmanager
    async def troubled() -> AsyncIterator[tuple[Parts, DemoProvider]]:
        async with stage() as (parts, provider):
            trouble(provider)
            yield parts, provider

    monkeypatch.setattr(demo, "_stage", troubled)


def test_the_script_plays_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every word of it is shown, and no file is left."""
    status = play(script=True)
    said = capsys.readouterr()

    assert (0, "") == (status, said.err)
    assert "you> !confirm BBBB-CCCC" in said.out
    assert "and shows the code" in said.out
    assert said.out.endswith("\nEvery step went as it should.\n")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (lambda provider: provider.fail("/token", times=None), "the browser should show a code and shows"),
        (lambda provider: provider.fail("/api/notes", times=None), "waited for 'You have no notes'"),
        (lambda provider: provider.calls.append(ApiCall("eve", "GET", "/api/me", "")), "should name ada"),
        (lambda provider: provider.fail("/revoke", times=None), "the service was not asked to revoke the token"),
    ],
    ids=["no token", "no notes", "somebody else", "no revocation"],
)
def test_a_step_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trouble: Trouble, words: str
) -> None:
    """With status 1, on standard error, and nothing is left of it either."""
    monkeypatch.setattr(demo, "_WAIT", 1.0)
    monkeypatch.setattr(demo, "range", lambda *_: (0, 1), raising=False)  # looks twice, not a hundred times
    with_trouble(monkeypatch, trouble)
    status = play(script=True)
    said = capsys.readouterr()

    assert 1 == status
    assert said.err.startswith("\nThe demo failed: ")
    assert words in said.err
    assert "Every step" not in said.out
    assert [] == list(tmp_path.iterdir())


def test_a_person_is_told_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then the bot answers what they type, until they leave."""
    (tmp_path / "typed").write_text("!ping\nexit\n", "utf-8")
    with (tmp_path / "typed").open(encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        status = play(script=False)
    (tmp_path / "typed").unlink()

    said = capsys.readouterr().out
    assert 0 == status
    assert "Try it in this order:" in said
    assert said.endswith("\npong\n")
    assert [] == list(tmp_path.iterdir())


async def test_waiting_ends_with_the_bot() -> None:
    """Nobody waits for words from a bot that is gone."""

    async def ends() -> None:
        """Be over."""

    bot = asyncio.create_task(ends())
    await bot
    with pytest.raises(StepError, match="waited for 'pong' and read ''"):
        await Person(StringIO(), Transcript(), bot).say("!ping", "pong")


async def test_waiting_goes_on_until_the_words_come(capsys: pytest.CaptureFixture[str]) -> None:
    """However long nothing is said; what was said before does not count."""
    screen = Transcript()
    screen.write("pong\n")

    async def later() -> None:
        await asyncio.sleep(0.6)
        screen.write("ping? ")
        screen.write("pong 2\n")

    bot = asyncio.create_task(later())
    found = await Person(StringIO(), screen, bot).say("!ping", r"pong \d")
    await bot

    assert "pong 2" == found[0]
    assert capsys.readouterr().out.endswith("ping? pong 2\n")


def test_the_transcript_is_no_terminal() -> None:
    """So that the console writes plain text to it."""
    screen = Transcript()

    assert (False, True) == (screen.isatty(), screen.writable())


def test_a_page_that_says_something_else_is_shown_from_its_beginning() -> None:
    """Where the words that were looked for are not on it."""
    assert "x" * 200 == demo._gist("x" * 300, "Whoever", "refuse")
    assert "os.pathsep" == demo._gist(f"an {os.__name__}.pathsep here", "os", "sep")
