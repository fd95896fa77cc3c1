"""A real shell completes the command line by what `completion` prints."""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from omnibot import cli
from omnibot.cli.completion import script, table
from servers.processes import require

HERE = {"omnibot.yaml": "", "keys of mine": ""}
CASES = [
    ("omnibot ke", ["keys"]),
    ("omnibot keys ro", ["rotate"]),
    ("omnibot keys rotate --con", ["--config"]),
    ("omnibot --config omnibot.yaml ke", ["keys"]),
    ("omnibot demo --network i", ["irc"]),
    ("omnibot completion ba", ["bash"]),
    ("omnibot run --config om", ["omnibot.yaml"]),
    ("omnibot keys new --file ke", ["keys of mine"]),
    ("omnibot nonsense ke", ["keys"]),
    ("omnibot keys nothingofthekind", []),
]
BASH = """
eval "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
complete -p omnibot >/dev/null && _omnibot
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { known="$*"; }
compadd() { shift; for one; do [[ $one == $words[CURRENT]* ]] && print -r -- $one; done; }
_files() { for one in $words[CURRENT]*(N); do print -r -- $one; done; }
eval "$1"; shift
words=("$@"); CURRENT=$#
[[ $known == "_omnibot omnibot" ]] && _omnibot
"""


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        require(name, "it is not installed (`make servers` tells why)")
    return found


def completed(name: str, line: str, folder: Path, script_: str) -> list[str]:
    """Return what the shell *name* would complete the last word of *line* to."""
    words = line.split(" ")
    if name == "fish":
        told = [shell(name), "--no-config", "-c", 'echo $argv[1] | source; complete -C "$argv[2]"', script_, line]
    elif name == "bash":
        told = [shell(name), "--norc", "-c", BASH, "bash", script_, *words]
    else:
        told = [shell(name), "-f", "-c", ZSH, "zsh", script_, *words]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(told, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603 - ours
    assert "" == done.stderr
    return [one.partition("\t")[0].replace("\\ ", " ") for one in done.stdout.splitlines() if one]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_completes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Words, options, their values, and files."""
    for file in HERE:
        (tmp_path / file).touch()
    assert 0 == cli.run(["completion", name])
    printed = capsys.readouterr().out
    shell(name)

    assert CASES == [(line, completed(name, line, tmp_path, printed)) for line, _ in CASES]


def test_fish_completes(tmp_path: Path) -> None:
    """Words, options' values, and files."""
    (tmp_path / "omnibot.yaml").touch()
    printed = script("fish", table(cli.parser()))
    shell("fish")

    assert ["keys"] == completed("fish", "omnibot ke", tmp_path, printed)
    assert ["irc"] == completed("fish", "omnibot demo --network i", tmp_path, printed)
    assert ["omnibot.yaml"] == completed("fish", "omnibot run --config om", tmp_path, printed)


def test_a_file_after_the_words_is_completed_and_what_is_secret_is_not_shown() -> None:
    """What help does not show is not proposed either."""
    top = argparse.ArgumentParser(prog="omnibot")
    one = top.add_subparsers().add_parser("restore")
    one.add_argument("file", type=Path)
    one.add_argument("--hidden", help=argparse.SUPPRESS)

    assert {"omnibot": ["--help", "restore"], "omnibot restore": ["--help", "FILE"]} == table(top)
