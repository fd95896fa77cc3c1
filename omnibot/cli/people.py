"""``omnibot people`` and ``omnibot linking``: who has linked what, and whether anybody may."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from omnibot.cli.words import Commands, administer, command, group, moment
from omnibot.markup import printable


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    people = group(commands, "people", "see who has linked what, and take it away")
    one = command(people, "list", "list everybody the bot knows", _list)
    one.add_argument("--json", action="store_true", help="a list of JSON objects, for programs")
    one = command(people, "show", "show one person", _show)
    one.add_argument("who", metavar="WHO", help="an identity: network:name")
    one = command(people, "revoke", "take away what somebody has linked at a service, and tell them", _revoke)
    one.add_argument("who", metavar="WHO", help="an identity: network:name")
    one.add_argument("service", metavar="SERVICE", help="for example github, or github@work")
    one = command(people, "forget", "erase a person, and all that is theirs", _forget)
    one.add_argument("who", metavar="WHO", help="an identity: network:name")

    linking = group(commands, "linking", "pause linking, and let it go on")
    command(linking, "show", "tell whether new links may begin", _linking)
    one = command(linking, "pause", "let no new link begin, also after a restart", _linking)
    one.add_argument("why", nargs="?", default="", metavar="WHY", help="told to whoever asks for a link")
    command(linking, "resume", "let links begin again", _linking)
    for word in ("show", "pause", "resume"):
        linking.choices[word].set_defaults(op=f"linking {word}")


def _list(arguments: argparse.Namespace) -> int:
    found = administer(arguments, "people list")
    if arguments.json:
        print(json.dumps(found))
        return 0
    for one in found:
        services = ", ".join(each["alias"] for each in one["accounts"]) or "nothing"
        print(printable(f"{' = '.join(one['identities'])}: {services}"))
    if not found:
        print("The bot knows nobody yet.")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    one = administer(arguments, "people show", who=arguments.who)
    print(printable(f"{', '.join(one['identities'])}, known since {moment(one['since'])}"))
    for each in one["accounts"]:
        print(f"  {_account(each)}: {each['status']}, since {moment(each['since'])}")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    done = administer(arguments, "people revoke", who=arguments.who, service=arguments.service)
    for one in done["accounts"]:
        print(f"{_account(one)} is unlinked, and its owner is being told. The token is handed back where that can be.")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    done = administer(arguments, "people forget", who=arguments.who)
    print(printable(f"{arguments.who} is forgotten, with {len(done['accounts'])} accounts."))
    return 0


def _linking(arguments: argparse.Namespace) -> int:
    args = {"why": arguments.why} if arguments.op == "linking pause" else {}
    now = administer(arguments, arguments.op, **args)
    why = f": {printable(now['why'])}" if now["why"] else "."
    print(f"Nothing new can be linked{why}" if now["paused"] else "Links may begin.")
    return 0


def _account(one: Mapping[str, Any]) -> str:
    return printable(f"{one['alias']} as {one['login']}")
