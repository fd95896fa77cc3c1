"""The command line does what it says, says what is wrong, and its exit status tells which."""

import argparse
import io
import json
import os
import runpy
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import omnibot
from omnibot import __main__, cli
from omnibot.cli import bot, deciding
from omnibot.cli.networks import network_line
from omnibot.cli.words import config_path, duration
from omnibot.datadir import DataDir
from omnibot.errors import KeyMissing
from omnibot.service import EXIT_CONFIG
from omnibot.vault import Keyring, new_key_file

BAD = """\
prefx: "!"
listen: nowhere
networks:
  Console:
    adapter: console
providers:
  githob: {client_id: x}
  oidc: {client_id: x}
skills: [accounts, pong]
"""


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything happens in a folder of its own; the process's log and limits stay as they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNIBOT_CONFIG", raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("omnibot.logs.set_up", lambda *_: None)
    monkeypatch.setattr("omnibot.app.harden", lambda: None)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Put words into standard input."""
    with ExitStack() as stack:

        def type_(text: str) -> None:
            path = tmp_path / "typed"
            path.write_text(text, "utf-8")
            monkeypatch.setattr(sys, "stdin", stack.enter_context(path.open(encoding="utf-8")))

        yield type_


def begun(port: int) -> None:
    """Make a configuration and a key, and have the bot run once, so that there is a row."""
    assert 0 == cli.run(["init", "--yes"])
    path = Path("config.yaml")
    path.write_text(path.read_text("utf-8").replace("127.0.0.1:8080", f"127.0.0.1:{port}"), "utf-8")


# ------------------------------------------------------------------------- words


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """By `--version`, with status 0."""
    with pytest.raises(SystemExit) as ended:
        cli.run(["--version"])

    assert (0, f"omnibot {omnibot.__version__}\n") == (ended.value.code, capsys.readouterr().out)


@pytest.mark.parametrize("words", [["--help"], ["init", "--help"], ["run", "--help"], ["keys", "--help"]])
def test_help_is_given(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """For the whole and for each command, with status 0."""
    with pytest.raises(SystemExit) as ended:
        cli.run(words)

    assert 0 == ended.value.code
    assert "usage: omnibot" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with what it is for."""
    with pytest.raises(SystemExit):
        cli.run(["--help"])
    said = capsys.readouterr().out

    assert [] == [word for word in ("init", "run", "check", "demo", "keys") if word not in said]


@pytest.mark.parametrize("words", [[], ["nonsense"], ["keys"], ["run", "--port", "1"]])
def test_words_that_do_not_fit_are_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As every command line does it, with the usage on standard error."""
    with pytest.raises(SystemExit) as ended:
        cli.run(words)

    assert 2 == ended.value.code
    assert "usage: omnibot" in capsys.readouterr().err


def test_the_module_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m omnibot` and `omnibot` are one; the exit status is the command's."""
    monkeypatch.setattr(sys, "argv", ["omnibot", "check"])
    status = __main__.main()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(__main__.__file__), run_name="__main__")

    assert (1, 1) == (status, ended.value.code)
    assert 2 == capsys.readouterr().out.count("config.yaml: there is no such file")


def test_the_configuration_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one named, else the one in this folder, else the one in the environment."""
    nowhere = config_path(None)
    monkeypatch.setenv("OMNIBOT_CONFIG", "/etc/omnibot.yaml")
    named = config_path(None)
    Path("config.yaml").touch()

    assert (Path("config.yaml"), Path("/etc/omnibot.yaml")) == (nowhere, named)
    assert Path("config.yaml") == config_path(None)
    assert Path("other.yaml") == config_path(Path("other.yaml"))


def test_a_refusal_of_the_vault_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a traceback."""

    def refuses(_: argparse.Namespace) -> int:
        raise KeyMissing("cafe0001")

    monkeypatch.setattr(bot, "_check", refuses)
    status = cli.run(["check"])

    assert (1, "The vault refuses: key cafe0001 is not in the key file.\n") == (status, capsys.readouterr().err)


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is status 130, as shells have it."""

    def interrupted(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(bot, "_check", interrupted)

    assert 130 == cli.run(["check"])
    assert ("", "") == capsys.readouterr()


# ------------------------------------------------------------- from nothing to a bot


def test_from_init_to_a_bot_that_answers(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    """`init`, `check`, `run`, `keys verify`: each says that all is well."""
    begun(unused_tcp_port)
    made = capsys.readouterr().out
    checked = cli.run(["check"])
    found = capsys.readouterr().out
    typed("!ping\n")
    ran = cli.run(["run"])
    said = capsys.readouterr().out
    again = cli.run(["check", "--offline"])
    verified = cli.run(["keys", "verify"])

    assert (0, 0, 0, 0) == (checked, ran, again, verified)
    assert "Next: omnibot check, omnibot run" in made
    assert "ok    config.yaml is understood: networks console." in found
    assert "WRONG" not in found
    assert "pong\n" == said
    assert "ok    1 rows can be read, and are as they were written." in capsys.readouterr().out


def test_init_overwrites_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the configuration nor the key."""
    cli.run(["init", "--yes"])
    before = [path.read_bytes() for path in (Path("config.yaml"), Path("data/omnibot.key"))]
    status = cli.run(["init", "--yes", "--public-url", "https://bot.example.org"])

    assert 1 == status
    assert "config.yaml exists already" in capsys.readouterr().err
    assert before == [path.read_bytes() for path in (Path("config.yaml"), Path("data/omnibot.key"))]


def test_init_refuses_an_address_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """And leaves nothing behind, so that the next try can begin anew."""
    status = cli.run(["init", "--public-url", "http://bot.example.org"])

    assert 1 == status
    assert 'public_url: "http://bot.example.org" is not https. Use https' in capsys.readouterr().err
    assert [] == list(Path.cwd().iterdir())


@pytest.mark.parametrize("installed", [True, False])
def test_a_faster_loop_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """It is no dependency: without it, asyncio's own loop does."""
    made: Any = object()
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=made) if installed else None)

    assert (made if installed else None) is bot._loop_factory()


def test_run_without_a_configuration_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """With the name that was looked for."""
    assert EXIT_CONFIG == cli.run(["run"])
    assert capsys.readouterr().err.startswith("config.yaml: there is no such file. Make one: omnibot init.")


@pytest.mark.parametrize(("words", "stream"), [(["check"], "out"), (["run"], "err")])
def test_every_mistake_is_told_at_once(words: list[str], stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By line and key, with the cure; `run` says the same as `check`."""
    Path("config.yaml").write_text(BAD, "utf-8")
    first = cli.run(words)
    shape = getattr(capsys.readouterr(), stream)
    Path("config.yaml").write_text(
        BAD.replace("prefx", "prefix").replace("nowhere", "127.0.0.1:0").replace("Console", "here"), "utf-8"
    )
    second = cli.run(words)
    parts = getattr(capsys.readouterr(), stream)

    assert 2 * (EXIT_CONFIG if words == ["run"] else 1,) == (first, second)
    assert ["prefx", "listen", "networks.Console"] == [
        key for key in ("prefx", "listen", "networks.Console") if f": {key}: " in shape
    ]
    assert 3 == len([line for line in shape.splitlines() if "config.yaml:" in line])
    assert [] == [part for part in ("providers.githob", "providers.oidc.issuer", "pong") if part not in parts]


# --------------------------------------------------------------------------- keys


def test_a_new_key_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With its folder, for its owner's eyes only, and never over another."""
    Path("config.yaml").write_text("key_file: secrets/key\n", "utf-8")
    made = cli.run(["keys", "new"])
    said = capsys.readouterr().out
    key = Path("secrets/key").read_bytes()
    again = cli.run(["keys", "new"])

    assert (0, 1) == (made, again)
    assert f"Key {Keyring.load(Path('secrets/key')).ids[0]} is in" in said
    assert "Keep a copy apart" in said
    assert "exists already. A key is never overwritten" in capsys.readouterr().err
    assert key == Path("secrets/key").read_bytes()
    assert (0o700, 0o600) == tuple(Path(one).stat().st_mode & 0o777 for one in ("secrets", "secrets/key"))


def test_a_missing_key_is_made_by_a_command_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """`keys verify` and `check` tell which."""
    Path("config.yaml").write_text("key_file: key\n", "utf-8")
    verified, checked = cli.run(["keys", "verify"]), cli.run(["check", "--offline"])
    said = capsys.readouterr()

    assert (1, 1) == (verified, checked)
    assert "there is no key file. Put back the one you had; for a new bot make one: omnibot keys new" in said.err
    assert "there is no key file.\n      Why:  Until then no account can be linked or used.\n" in said.out
    assert "      Mend: Put back the one you had; for a new bot make one: omnibot keys new\n" in said.out


def test_a_key_that_others_may_read_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The cure is a command to copy."""
    Path("config.yaml").write_text("key_file: key\n", "utf-8")
    new_key_file(Path("key"))
    Path("key").chmod(0o644)
    verified, checked = cli.run(["keys", "verify"]), cli.run(["check", "--offline"])
    said = capsys.readouterr()

    assert (1, 1) == (verified, checked)
    assert f"others may read this file (mode 0644). chmod 600 {Path.cwd() / 'key'}" in said.err
    assert f"chmod 600 {Path.cwd() / 'key'}\n" in said.out


def test_a_wrong_key_is_found(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    """Rows under a key that is not here are counted as wrong, by `keys verify` and by `check`; `run` goes on."""
    begun(unused_tcp_port)
    typed("!ping\n")
    cli.run(["run"])
    right = Keyring.load(Path("data/omnibot.key")).ids[0]
    Path("data/omnibot.key").unlink()
    made = cli.run(["keys", "new"])
    capsys.readouterr()
    verified, checked = cli.run(["keys", "verify"]), cli.run(["check", "--offline"])
    said = capsys.readouterr().out
    typed("!ping\n")
    ran = cli.run(["run"])

    assert (0, 1, 1, 0) == (made, verified, checked, ran)
    assert 2 == said.count(f"WRONG key {right} is not in the key file.")
    assert "pong\n" == capsys.readouterr().out


def test_a_damaged_database_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """`keys verify`, `check` and `run` say what to do about it."""
    cli.run(["init", "--yes"])
    Path("data/omnibot.db").write_bytes(b"not a database, and longer than one's head " * 40)
    statuses = [cli.run(words) for words in (["keys", "verify"], ["check", "--offline"], ["run"])]
    said = capsys.readouterr()

    assert [1, 1, 1] == statuses
    assert 2 == said.out.count("Put a backup back: omnibot restore FILE")
    assert "this file is damaged or not a database. Put a backup back: omnibot restore FILE" in said.err


# --------------------------------------------------------------------------- demo


@pytest.mark.parametrize(
    ("words", "script", "network"),
    [
        (["demo"], False, "console"),
        (["demo", "--script"], True, "console"),
        (["demo", "--network", "irc"], False, "irc"),
    ],
)
def test_the_demo_is_played(words: list[str], script: bool, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a person or by itself, here or on IRC; its status is the command's."""
    played = []

    def play(*, script: bool, network: str) -> int:
        played.append((script, network))
        return 7

    monkeypatch.setattr("omnibot.demo.play", play)

    assert (7, [(script, network)]) == (cli.run(words), played)


def test_init_without_anybody_to_ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Says how to do without asking."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    status = cli.run(["init", "--config", "here.yaml"])

    assert 1 == status
    assert "`omnibot init --yes` asks nothing" in capsys.readouterr().err
    assert not os.listdir()  # noqa: PTH208 - the folder it was called in


# --------------------------------------------------------------- a bot, running or not


@contextmanager
def running(port: int) -> Iterator[None]:
    """Run the bot of this folder in a process of its own, as long as the block lasts."""
    begun(port)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-m", "omnibot", "run"], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(b"!ping\n")
            process.stdin.flush()
            assert b"pong\n" == process.stdout.readline()
            yield
        finally:
            process.kill()


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process in another folder find this omnibot."""
    monkeypatch.setenv("PYTHONPATH", str(Path(omnibot.__file__).parents[1]))


def test_a_running_bot_is_administered(imports: None, capsys: pytest.CaptureFixture[str], unused_tcp_port: int) -> None:
    """Through its socket: its status, its networks, its keys; `check` and `keys verify` beside it."""
    with running(unused_tcp_port):
        capsys.readouterr()
        plain, as_json = cli.run(["status"]), cli.run(["status", "--json"])
        told = capsys.readouterr().out
        listed = cli.run(["networks", "list"])
        networks = capsys.readouterr().out
        refused = cli.run(["networks", "accept", "console"])
        why = capsys.readouterr().err
        before = Keyring.load(Path("data/omnibot.key")).ids
        rotated = cli.run(["keys", "rotate", "--renew"])
        moved = capsys.readouterr()
        verified, checked = cli.run(["keys", "verify"]), cli.run(["check", "--offline"])
        found = capsys.readouterr().out
        retired = cli.run(["keys", "retire", *before])
        gone = capsys.readouterr()
        held, decided = cli.run(["accounts", "held"]), cli.run(["accounts", "allow", "cafe0001"])
        accounts = capsys.readouterr()
    status = json.loads(told.splitlines()[-1])
    [new] = Keyring.load(Path("data/omnibot.key")).ids

    assert (0, 0, 0, 1, 0, 0, 0, 0, 0, 1) == (
        *(plain, as_json, listed, refused, rotated),
        *(verified, checked, retired, held, decided),
    )
    assert f"omnibot {omnibot.__version__}, running for 0 min\nnetwork   console: ready for 0 min, known as " in told
    assert f"key       {before[0]} (newest): " in told
    assert (True, 0, before) == (status["running"], status["people"], [one["id"] for one in status["vault"]["keys"]])
    assert networks.startswith("console: ready for 0 min, known as ")
    assert "there is nothing to accept" in why
    assert f" rows have been moved; everything stands under key {new}.\nPeople with a new key pair: 0.\n" in moved.out
    assert f"omnibot keys retire ({before[0]})" in moved.out
    assert f"Key {new} is in " in moved.err
    assert "ok    2 rows can be read, and are as they were written." in found
    assert f"ok    The bot runs, as omnibot {omnibot.__version__}." in found
    assert f"The key file holds {new}. Backups from before cannot be read with it." in gone.out
    assert f"Key {before[0]} has been taken out of " in gone.err
    assert "No account is held.\n" == accounts.out
    assert 'No held account is called "cafe0001".' in accounts.err


def test_a_bot_that_does_not_run_is_administered_too(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    """On its data alone; its status is that there is none, and exit status 3."""
    begun(unused_tcp_port)
    typed("!ping\n")
    cli.run(["run"])
    capsys.readouterr()
    status, as_json = cli.run(["status"]), cli.run(["status", "--json"])
    said = capsys.readouterr().out.splitlines()
    listed, accepted = cli.run(["networks", "list"]), cli.run(["networks", "accept", "console"])
    networks = capsys.readouterr().out
    rotated, retired = cli.run(["keys", "rotate"]), cli.run(["keys", "retire"])
    keys = capsys.readouterr().out

    assert (3, 3, 0, 0, 0, 0) == (status, as_json, listed, accepted, rotated, retired)
    assert f"No bot runs on {Path.cwd() / 'data'}." == said[0]
    assert {"running": False, "version": omnibot.__version__} == json.loads(said[1])
    assert networks.startswith("console: not running, known as ")
    assert networks.endswith("console is not connected: what it says it is at its next connect is taken.\n")
    assert "1 rows have been moved" in keys
    assert 1 == len(Keyring.load(Path("data/omnibot.key")).ids)


def test_no_network_has_connected_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """It is configured, and nothing is known of it: that is said, and not that there is none."""
    cli.run(["init", "--yes"])
    capsys.readouterr()
    listed, accepted = cli.run(["networks", "list"]), cli.run(["networks", "accept", "console"])
    said = capsys.readouterr()

    assert (0, 1) == (listed, accepted)
    assert "No network has connected yet.\n" == said.out
    assert "No network has connected yet: what each says at its first connect is taken.\n" == said.err


def test_a_folder_that_is_held_by_nobody_who_listens(capsys: pytest.CaptureFixture[str]) -> None:
    """A bot that is starting, or another command: one sentence."""
    cli.run(["init", "--yes"])
    held = DataDir.hold(Path("data"))
    status = cli.run(["keys", "rotate"])
    held.release()

    assert 1 == status
    assert "does not listen: it is starting or ending, or is another command. Try again" in capsys.readouterr().err


def test_a_key_can_be_made_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the key file is one that only something else can change."""
    cli.run(["init", "--yes"])
    before = Path("data/omnibot.key").read_bytes()
    made = cli.run(["keys", "new", "--file", "new.key"])

    assert 0 == made
    assert before == Path("data/omnibot.key").read_bytes()
    assert 1 == len(Keyring.load(Path("new.key")).ids)


def test_what_could_not_be_moved_is_named(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    """On standard error, with exit status 1."""
    begun(unused_tcp_port)
    typed("!ping\n")
    cli.run(["run"])
    with closing(sqlite3.connect("data/omnibot.db")) as connection, connection:
        connection.execute("UPDATE networks SET realm = 'forged'")
    rotated = cli.run(["keys", "rotate"])
    said = capsys.readouterr().err

    assert 1 == rotated
    assert (
        "left as it is: networks console: not as it was written\n1 rows cannot be read, and were not moved.\n" in said
    )


STATUS: dict[str, Any] = {
    "version": "1",
    "uptime": 90061.0,
    "networks": [
        {
            "name": "libera",
            "state": "ready",
            "since": time.time() - 90061,
            "realm": "Libera",
            "says": "\x1b[31mOFTC",
            "trusted": False,
        }
    ],
    "vault": {
        "state": "open",
        "keys": [{"id": "aaaa", "rows": 1}, {"id": "bbbb", "rows": 2000}],
        "lost": {"cccc": 3},
        "unfinished": 2000,
    },
    "people": 5,
    "accounts": {"active": 4, "pending": 0, "held": 1, "broken": 0},
    "flows": 1,
    "follows": 2,
    "commands": {"ended": 1234, "failed": 3},
    "notices": 3,
    "revocations": 4,
    "database_bytes": 1_500_000,
    "memory_bytes": 60_000_000,
}


def test_the_status_is_told_in_lines() -> None:
    """What wants a decision is followed by its command; nothing that a network says drives the terminal."""
    assert [
        "omnibot 1, running for 1 d 1 h",
        f"network   {network_line(STATUS['networks'][0])}",
        "vault     open",
        "key       aaaa (newest): 1 rows",
        "key       bbbb: 2,000 rows",
        "key       cccc is not in the key file: 3 rows",
        "          2,000 rows are to be moved to the newest: omnibot keys rotate",
        "people    5",
        "accounts  4 active, 0 pending, 1 held, 0 broken",
        "          what is held waits for you: omnibot accounts held",
        "flows     1 under way",
        "follows   2",
        "commands  1,234 since the start, 3 of them failed",
        "waiting   3 private answers, 4 tokens to be revoked",
        "database  1.5 MB",
        "memory    60.0 MB",
    ] == list(bot._status_lines(STATUS))
    assert (
        "libera: ready for 1 d 1 h, known as Libera, now says it is [31mOFTC. Nobody is acted for there. "
        "If you moved it: omnibot networks accept libera"
    ) == network_line(STATUS["networks"][0])
    assert "memory" not in str(list(bot._status_lines(STATUS | {"memory_bytes": None})))
    assert ["59 min", "2 h 3 min"] == [duration(seconds) for seconds in (3599, 7380)]


def test_a_held_account_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks, who has it; what people call themselves drives no terminal."""
    held = {"id": "cafe0001", "service": "demo@default", "login": "ada", "asked_by": "fake:u-2", "since": 0.0}
    found = [held | {"display": "Gr\x1b[2Jace", "owners": ["fake:u-1"]}, held | {"display": "", "owners": []}]
    monkeypatch.setattr(deciding, "administer", lambda _, op, **args: found if op == "accounts held" else held)
    cli.run(["accounts", "held"])
    cli.run(["accounts", "refuse", "cafe"])
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith("cafe0001 demo@default as ada: asked for by fake:u-2 (Gr[2Jace) since 19")
    assert lines[0].endswith("; linked by fake:u-1")
    assert lines[1].endswith("; linked by nobody any more")
    assert "fake:u-2 may not use demo@default as ada. They are being told." == lines[2]


# -------------------------------------------------------------------------- check


def test_check_tells_why_and_how_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    """Beneath what it is; for programs the same as a list, with the same status."""
    cli.run(["init", "--yes"])
    Path("data/omnibot.key").chmod(0o644)
    capsys.readouterr()
    shown = cli.run(["check", "--offline"])
    lines = capsys.readouterr().out.splitlines()
    listed = cli.run(["check", "--offline", "--json"])
    found = json.loads(capsys.readouterr().out)

    key = Path.cwd() / "data" / "omnibot.key"
    wrong = {
        "level": "wrong",
        "what": f"{key}: others may read this file (mode 0644).",
        "cure": f"chmod 600 {key}",
        "why": "Until then no account can be linked or used.",
    }
    assert (1, 1) == (shown, listed)
    assert wrong in found
    at = lines.index(f"WRONG {wrong['what']}")
    assert [f"      Why:  {wrong['why']}", f"      Mend: {wrong['cure']}"] == lines[at + 1 : at + 3]
    assert [f"{one['what']}" for one in found] == [line[6:] for line in lines if not line.startswith("      ")]


def test_check_says_the_same_reason_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Of several that come one after the other."""
    Path("config.yaml").write_text("prefx: a\nlistn: b\n", "utf-8")
    cli.run(["check"])

    assert 1 == capsys.readouterr().out.count("Why:  ")
