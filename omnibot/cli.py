"""The command line: ``omnibot init | run | check | demo | keys``."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import omnibot
from omnibot.errors import ConfigError, VaultError

DEFAULT_CONFIG = Path("config.yaml")


def run(words: Sequence[str]) -> int:
    """Do what *words* say; return 0 if it worked, 1 if something is wrong, 2 for words that do not fit."""
    arguments = parser().parse_args(words)
    try:
        return int(arguments.action(arguments))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except VaultError as error:
        print(f"The vault refuses: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read has gone; what follows has nobody to go to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="omnibot", description="The chat bot that acts as you.")
    top.add_argument("--version", action="version", version=f"omnibot {omnibot.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    one = _command(commands, "init", "write a commented configuration and a key, by a few questions", _init)
    one.add_argument("--yes", action="store_true", help="ask nothing, take what is proposed")
    one.add_argument("--public-url", default="", help="where people's browsers will reach the listener")

    _command(commands, "run", "run the bot", _run)
    one = _command(commands, "check", "look for what is misconfigured, and say how to mend it", _check)
    one.add_argument("--offline", action="store_true", help="ask no provider")

    one = commands.add_parser("demo", help="walk through a first link, on this machine alone")
    one.add_argument("--script", action="store_true", help="play it unattended and print what is said")
    one.set_defaults(action=_demo)

    keys = commands.add_parser("keys", help="make and verify the master key").add_subparsers(
        required=True, metavar="ACTION"
    )
    _command(keys, "new", "make a key file", _keys_new)
    _command(keys, "verify", "see whether every row can be read with the keys at hand", _keys_verify)
    return top


def config_path(given: Path | None) -> Path:
    """Return the configuration file: the one *given*, else ``./config.yaml``, else ``$OMNIBOT_CONFIG``."""
    if given is not None:
        return given
    named = os.environ.get("OMNIBOT_CONFIG")
    return Path(named) if named and not DEFAULT_CONFIG.exists() else DEFAULT_CONFIG


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, action: object
) -> argparse.ArgumentParser:
    one = commands.add_parser(name, help=what, description=what)
    one.add_argument("--config", type=Path, metavar="FILE", help="default ./config.yaml, then $OMNIBOT_CONFIG")
    one.set_defaults(action=action)
    return one


def _init(arguments: argparse.Namespace) -> int:
    from omnibot.wizard import write

    return write(arguments.config or DEFAULT_CONFIG, yes=arguments.yes, public_url=arguments.public_url)


def _run(arguments: argparse.Namespace) -> int:
    from omnibot.app import App, find_parts
    from omnibot.config import load
    from omnibot.logs import set_up

    settings = load(config_path(arguments.config), os.environ)
    set_up(settings.log.level, settings.log.format)
    asyncio.run(App.run(find_parts(settings)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from omnibot.doctor import examine

    findings = asyncio.run(examine(config_path(arguments.config), os.environ, offline=arguments.offline))
    for finding in findings:
        print(finding)
    return 1 if any(finding.level == "wrong" for finding in findings) else 0


def _demo(arguments: argparse.Namespace) -> int:
    from omnibot.demo import play

    return play(script=arguments.script)


def _keys_new(arguments: argparse.Namespace) -> int:
    from omnibot.config import load
    from omnibot.vault import new_key_file

    path = load(config_path(arguments.config), os.environ).key_file
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_id = new_key_file(path)
    except FileExistsError:
        print(f"{path} exists already. A key is never overwritten: without it every token is lost.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}. Name another place as key_file.", file=sys.stderr)
        return 1
    print(f"Key {key_id} is in {path}. Keep a copy apart from the database: without it every token is lost.")
    return 0


def _keys_verify(arguments: argparse.Namespace) -> int:
    from omnibot.config import load
    from omnibot.doctor import verify_rows
    from omnibot.vault import Keyring

    settings = load(config_path(arguments.config), os.environ)
    findings = asyncio.run(verify_rows(settings.data_dir, Keyring.load(settings.key_file)))
    for finding in findings:
        print(finding)
    return 1 if any(finding.level == "wrong" for finding in findings) else 0
