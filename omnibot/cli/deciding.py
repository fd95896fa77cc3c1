"""``omnibot accounts`` and ``omnibot instances``: what waits for an operator's decision."""

import argparse
from collections.abc import Mapping
from typing import Any

from omnibot.cli.words import Commands, administer, command, group, moment
from omnibot.markup import printable


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    accounts = group(commands, "accounts", "decide about accounts that a second person authorised")
    command(accounts, "held", "list them", _accounts_held)
    for word, what in (("allow", "let the second person use it as well"), ("refuse", "erase the second person's")):
        one = command(accounts, word, what, _accounts_decide)
        one.add_argument("id", help="as `omnibot accounts held` shows it, or its beginning")
        one.set_defaults(op=f"accounts {word}")

    instances = group(commands, "instances", "decide about servers that people named")
    command(instances, "list", "list them", _instances_list)
    for word, what in (("allow", "let people link it"), ("refuse", "let nobody link it")):
        one = command(instances, word, what, _instances_decide)
        one.add_argument("host", help="in its own letters or in punycode; or service@host")
        one.set_defaults(op=f"instances {word}")


def _accounts_held(arguments: argparse.Namespace) -> int:
    held = administer(arguments, "accounts held")
    for one in held:
        print(_held(one))
    if not held:
        print("No account is held.")
    return 0


def _accounts_decide(arguments: argparse.Namespace) -> int:
    done = administer(arguments, arguments.op, account=arguments.id)
    what = "may use" if arguments.op == "accounts allow" else "may not use"
    print(printable(f"{done['asked_by']} {what} {done['service']} as {done['login']}. They are being told."))
    return 0


def _instances_list(arguments: argparse.Namespace) -> int:
    named = administer(arguments, "instances list")
    for one in named:
        print(_instance(one))
    if not named:
        print("Nobody has named a server.")
    return 0


def _instances_decide(arguments: argparse.Namespace) -> int:
    done = administer(arguments, arguments.op, host=arguments.host)
    what = "People may link" if arguments.op == "instances allow" else "Nobody may link"
    reads = f" (which reads {printable(done['reads'])})" if done["reads"] else ""
    print(f"{what} {done['name']}{reads}.")
    return 0


def _instance(one: Mapping[str, Any]) -> str:
    since = moment(one["since"])
    reads = f", which reads {one['reads']}" if one["reads"] else ""
    status = f"asked for by {', '.join(one['asked_by'])}" if one["status"] == "asked" else one["status"]
    return printable(f"{one['name']}{reads}: {status}, named {since}")


def _held(one: Mapping[str, Any]) -> str:
    since = moment(one["since"])
    owners = ", ".join(one["owners"]) or "nobody any more"
    shown = f" ({one['display']})" if one["display"] else ""
    asks = f"{one['id']}  {one['service']} as {one['login']}: asked for by {one['asked_by']}{shown} since {since}"
    return printable(f"{asks}; linked by {owners}")
