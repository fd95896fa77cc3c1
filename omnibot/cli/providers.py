"""``omnibot providers``: what services there are."""

import argparse
import asyncio
import os
import sys
from getpass import getpass

from omnibot.cli.words import Commands, command, group, settings_if_any, settings_of


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    providers = group(commands, "providers", "see what services there are, and try to link one")
    command(providers, "list", "list them, and which are configured", _providers_list)
    one = command(providers, "show", "tell what it is asked for, and how to register the bot", _providers_show)
    one.add_argument("name", metavar="NAME", help="as `omnibot providers list` names it; or NAME@INSTANCE")
    one = command(providers, "test", "link an account, tell each step, and keep nothing", _providers_test)
    one.add_argument("name", metavar="NAME[@INSTANCE]", help="one that is configured")
    one.add_argument(
        "--by", choices=["page", "pin", "key", "device"], default="best", help="not by the best way there is"
    )


def _providers_list(arguments: argparse.Namespace) -> int:
    from omnibot.showing import listed

    for line in listed(settings_if_any(arguments)):
        print(line)
    return 0


def _providers_show(arguments: argparse.Namespace) -> int:
    from omnibot.showing import shown

    for line in shown(arguments.name, settings_if_any(arguments)):
        print(line)
    return 0


def _providers_test(arguments: argparse.Namespace) -> int:
    from omnibot.app import harden
    from omnibot.trial import Talk, try_out

    settings = settings_of(arguments)
    harden()
    talk = Talk(_say, _ask, _ask_secret)
    return 0 if asyncio.run(try_out(settings, arguments.name, talk, wanted=arguments.by)) else 1


def _say(text: str) -> None:
    print(text, flush=True)


async def _ask(prompt: str) -> str:
    from omnibot.threads import in_thread

    print(prompt, end="", flush=True)
    return await in_thread(_typed)


async def _ask_secret(prompt: str) -> str:
    from omnibot.threads import in_thread

    return await in_thread(lambda: getpass(prompt)) if sys.stdin.isatty() else await _ask(prompt)


def _typed() -> str:
    """Return the next line of standard input, read past Python's own buffer: the thread may be let go on alone."""
    line = bytearray()
    while (chunk := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += chunk
    return line.decode(errors="replace")
