"""``omnibot skills``: what the running bot can do, and changing it without a restart."""

import argparse
from collections.abc import Mapping
from typing import Any

from omnibot.cli.words import Commands, administer, command, group
from omnibot.markup import printable


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    skills = group(commands, "skills", "see and change what the running bot can do")
    command(skills, "list", "list the skills that are loaded", _list)
    for word, what in (
        ("load", "load a skill, until the next restart"),
        ("unload", "take a skill out, until the next restart"),
        ("reload", "take up what has changed in a skill's file"),
    ):
        one = command(skills, word, what, _change)
        one.add_argument("name", metavar="NAME", help="as `omnibot skills list` or the configuration names it")
        one.set_defaults(op=f"skills {word}")


def _list(arguments: argparse.Namespace) -> int:
    for one in administer(arguments, "skills list"):
        print(skill_line(one))
    return 0


def _change(arguments: argparse.Namespace) -> int:
    done = administer(arguments, arguments.op, name=arguments.name)
    names = printable(", ".join(done["skills"]))
    words = {
        "skills load": f"{names} is loaded, with {done['commands']} commands. "
        "After a restart the configuration decides: add it to `skills` to keep it.",
        "skills unload": f"{names} is taken out. After a restart the configuration decides.",
        "skills reload": f"{names} is loaded anew, with {done['commands']} commands.",
    }
    print(words[arguments.op])
    return 0


def skill_line(one: Mapping[str, Any]) -> str:
    """Return a skill in one line."""
    also = f", also spoken {', '.join(one['aliases'])}" if one["aliases"] else ""
    module = f" (module {one['module']})" if one["module"] not in ("", one["name"]) else ""
    return printable(f"{one['name']}{module}: {one['commands']} commands{also}")
