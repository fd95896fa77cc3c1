"""``omnibot networks``: what networks say they are."""

import argparse
import time
from collections.abc import Mapping
from typing import Any

from omnibot.cli.words import Commands, administer, command, duration, group
from omnibot.markup import printable


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    networks = group(commands, "networks", "see what networks say they are, and accept it")
    command(networks, "list", "list the networks", _networks_list)
    one = command(networks, "accept", "accept what a network is now, with the people on it", _networks_accept)
    one.add_argument("name", help="its name in the configuration")
    one = command(
        networks, "reconnect", "connect anew at once, also where the bot was turned away", _networks_reconnect
    )
    one.add_argument("name", help="its name in the configuration")


def _networks_list(arguments: argparse.Namespace) -> int:
    listed = administer(arguments, "networks list")
    for one in listed:
        print(network_line(one))
    if not listed:
        print("No network has connected yet.")
    return 0


def _networks_accept(arguments: argparse.Namespace) -> int:
    done = administer(arguments, "networks accept", name=arguments.name)
    name, now = done["name"], printable(done["is"])
    if now:
        print(f"{name} is {now} from now on. People known there by their names keep their accounts.")
    else:
        print(f"{name} is not connected: what it says it is at its next connect is taken.")
    return 0


def _networks_reconnect(arguments: argparse.Namespace) -> int:
    done = administer(arguments, "networks reconnect", name=arguments.name)
    print(f"{done['name']} is being connected anew. See: omnibot networks list")
    return 0


def network_line(one: Mapping[str, Any]) -> str:
    """Return how a network is, in one line."""
    was, says = printable(one["realm"]) or "nothing yet", printable(one["says"])
    since = f" for {duration(time.time() - one['since'])}" if one["since"] is not None else ""
    line = f"{one['name']}: {one['state'] or 'not running'}{since}, known as {was}"
    if says and says != was:
        line += f", now says it is {says}"
    if one["trusted"] is False and says:
        line += f". Nobody is acted for there. If you moved it: omnibot networks accept {one['name']}"
    return line
