"""The demo shows a first link to anybody, and `omnibot run` begins and ends as it should: in real processes.

What is here runs as people run it, from a shell; what is measured in-process is in `demo/test_play.py`
and `test_app.py`.
"""

import signal
from pathlib import Path

import pytest

from omnibot.datadir import DataDir
from omnibot.vault import new_key_file
from terminals import CTRL_C, CTRL_D, ENTER, Session, finished

SLOW = '''\
"""Take a while."""

import asyncio

from omnibot import Context, Skill

skill = Skill("slow")


@skill.command
async def slow(ctx: Context) -> str:
    """Say something, wait for half a second, say something else."""
    await ctx.say("begun")
    await asyncio.sleep(0.5)
    return "finished"
'''

CONFIG = """\
listen: 127.0.0.1:{port}
networks:
  console:
    adapter: console
    user: ada
skills: [accounts, help, ping]
skills_dir: skills
log: {{level: info}}
"""


@pytest.fixture
def home(tmp_path: Path, unused_tcp_port: int) -> Path:
    """A folder with a configuration, a key, and a skill of the operator's own."""
    folder = tmp_path / "home"
    (folder / "skills").mkdir(parents=True)
    (folder / "skills" / "slow.py").write_text(SLOW, "utf-8")
    (folder / "config.yaml").write_text(CONFIG.format(port=unused_tcp_port), "utf-8")
    (folder / "data").mkdir(mode=0o700)
    new_key_file(folder / "data" / "omnibot.key")
    return folder


def assert_tidy(home: Path) -> None:
    """The database is closed, the lock is free, and the files are the owner's alone."""
    data = home / "data"

    assert {"lock", "omnibot.db", "omnibot.key"} <= {path.name for path in data.iterdir()}
    assert not (data / "omnibot.db-wal").exists()
    assert {0o600} == {path.stat().st_mode & 0o777 for path in data.iterdir() if path.is_file()}
    DataDir.hold(data).release()


# ------------------------------------------------------------------------ the demo


def test_the_script_plays_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    """It prints who says what, ends with status 0, and no file of it is left anywhere."""
    done = finished("demo", "--script", folder=tmp_path, TMPDIR=str(tmp_path))

    assert (0, "") == (done.returncode, done.stderr)
    parts = [
        "you> !ping\npong",
        "(browser) opens the link: Whoever speaks as visitor",
        "Linked Demo notes as ada",
        "(service) GET /api/me by ada; GET /api/notes by ada",
        "Note 1 is written as ada",
        "(service) the token of ada has been revoked",
        "Every step went as it should.",
    ]
    assert [] == [part for part in parts if part not in done.stdout]
    assert [] == list(tmp_path.iterdir())


def test_the_demo_on_a_terminal(tmp_path: Path) -> None:
    """It says what to try, answers, sends a link, and Ctrl-D ends it with status 0."""
    with Session("demo", folder=tmp_path, terminal=True, TMPDIR=str(tmp_path)) as person:
        person.wait("Try it in this order")
        person.wait("visitor>")
        person.type(f"!ping{ENTER}")
        person.wait(r"pong\s+visitor>")
        person.type(f"!notes{ENTER}")
        person.wait(r"Connect Demo notes: http://127\.0\.0\.1:\d+/l/[\w-]{43}\s+visitor>")
        person.type(CTRL_D)

        assert 0 == person.ends()
    assert "Traceback" not in person.screen
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_leaves_nothing_either(tmp_path: Path, number: signal.Signals) -> None:
    """Its folder, with the key in it, goes."""
    with Session("demo", folder=tmp_path, TMPDIR=str(tmp_path)) as person:
        person.type("!ping\n")
        person.wait("pong")
        there = list(tmp_path.iterdir())
        person.signal(number)

        assert 0 == person.ends()
    assert (1, []) == (len(there), list(tmp_path.iterdir()))


# -------------------------------------------------------------------- omnibot run


def test_run_answers_what_is_piped_in(home: Path) -> None:
    """Each line is a message; the end of input is the end of the bot, after the last answer."""
    done = finished("run", folder=home, typed="!ping\n!slow\nnonsense\n!whoami")

    assert (0, False) == (done.returncode, "Traceback" in done.stderr)
    assert done.stdout.startswith("pong\n")
    assert {"begun", "finished"} <= set(done.stdout.splitlines())
    assert "known to me as console:ada" in done.stdout
    assert_tidy(home)


def test_run_on_a_terminal(home: Path) -> None:
    """A prompt, an answer, a line thrown away by Ctrl-C, a word mistyped, and Ctrl-D for the end."""
    with Session("run", folder=home, terminal=True) as person:
        person.wait("ada>")
        person.type(f"!ping{ENTER}")
        person.wait(r"pong\s+ada>")
        person.type(f"!half a line{CTRL_C}!pi{ENTER}")
        person.wait(r"Did you mean !pin or !ping\?\s+ada>")
        person.type(CTRL_D)

        assert 0 == person.ends()
    assert "Traceback" not in person.screen
    assert_tidy(home)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("terminal", [False, True], ids=["piped", "terminal"])
def test_a_signal_ends_it_in_order(home: Path, number: signal.Signals, terminal: bool) -> None:
    """Status 0, no traceback; the command under way comes to its end first."""
    with Session("run", folder=home, terminal=terminal) as person:
        if terminal:
            person.wait("ada>")
        person.type(f"!slow{ENTER if terminal else chr(10)}")
        person.wait("begun")
        person.signal(number)
        person.wait("finished")

        assert 0 == person.ends()
    assert "Traceback" not in person.screen
    assert_tidy(home)


def test_a_second_bot_on_the_same_folder_is_refused(home: Path) -> None:
    """In one sentence that says how to mend it; the first goes on."""
    with Session("run", folder=home) as first:
        first.type("!ping\n")
        first.wait("pong")
        second = finished("run", folder=home)
        first.type("!ping\n")
        first.wait("pong")
        first.close_input()

        assert 0 == first.ends()
    assert (1, "") == (second.returncode, second.stdout)
    assert [f"{home}/data: data_dir: another omnibot is running on this folder. Stop it, or name another folder."] == (
        second.stderr.splitlines()
    )
    assert_tidy(home)


def test_after_a_kill_it_starts_again(home: Path) -> None:
    """The lock went with the process, and the database mends itself."""
    with Session("run", folder=home) as first:
        first.type("!whoami\n")
        first.wait("known to me as console:ada")
        first.signal(signal.SIGKILL)

        assert -signal.SIGKILL == first.ends()
    done = finished("run", folder=home, typed="!whoami\n")

    assert (0, True) == (done.returncode, "known to me as console:ada" in done.stdout)
    assert_tidy(home)


def test_an_unusable_configuration_is_one_line_a_mistake(home: Path) -> None:
    """`python -m omnibot` gives the exit status, 78 (EX_CONFIG), and the mistakes go to standard error."""
    (home / "config.yaml").write_text("prefx: '!'\nlisten: here\n", "utf-8")
    done = finished("run", folder=home)

    assert (78, "") == (done.returncode, done.stdout)
    assert ["config.yaml:1: prefx", "config.yaml:2: listen"] == [
        ":".join(line.split(":")[:3]) for line in sorted(done.stderr.splitlines())
    ]
