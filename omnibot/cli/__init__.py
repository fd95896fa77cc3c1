"""The command line.

One module for each group of commands; each adds its own to the parser.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import omnibot
from omnibot.cli import audit, bot, completion, data, deciding, keys, networks, people, providers, skills
from omnibot.errors import ConfigError, StorageTrouble, UserError, VaultError

_GROUPS = (bot, keys, data, networks, skills, people, providers, deciding, audit, completion)


def run(words: Sequence[str]) -> int:
    """Do what *words* say.

    Return 0 if it worked, 1 if something is wrong, 2 for words that do not fit, and 3 where
    ``status`` finds no bot running.
    """
    arguments = parser().parse_args(words)
    try:
        return int(arguments.action(arguments))
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except (UserError, StorageTrouble) as error:
        print(error, file=sys.stderr)
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
    for group in _GROUPS:
        group.add(commands)
    return top
