"""``omnibot init | run | check | status | demo``: the bot itself."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

import omnibot
from omnibot.cli.networks import network_line
from omnibot.cli.words import DEFAULT_CONFIG, Commands, command, config_path, duration, settings_of
from omnibot.errors import ConfigError, UserError
from omnibot.markup import printable

if TYPE_CHECKING:
    from omnibot.adapter import Finding


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    one = command(commands, "init", "write a commented configuration and a key, by a few questions", _init)
    one.add_argument("--yes", action="store_true", help="ask nothing, take what is proposed")
    one.add_argument("--public-url", default="", help="where people's browsers will reach the listener")

    command(commands, "run", "run the bot", _run)
    one = command(commands, "check", "look for what is misconfigured, and say how to mend it", _check)
    one.add_argument("--offline", action="store_true", help="ask no network and no service")
    one.add_argument("--json", action="store_true", help="a list of findings, for programs")
    one.add_argument("--as", dest="who", metavar="WHO", help="tell instead whether network:subject may use COMMAND")
    one.add_argument("--in", dest="where", metavar="ROOM", default="", help="in the room of that id; else in private")
    one.add_argument("--level", choices=["account", "strong"], default="", help="how their network vouches for them")
    one.add_argument("line", nargs="?", default="", metavar="COMMAND", help="with --as: '!api'")

    one = command(commands, "status", "tell how the running bot is; status 3 if none runs", _status)
    one.add_argument("--json", action="store_true", help="one JSON object, for programs")

    one = commands.add_parser("demo", help="walk through a first link, on this machine alone")
    where = one.add_mutually_exclusive_group()
    where.add_argument("--script", action="store_true", help="play it unattended and print what is said")
    where.add_argument(
        "--network", choices=["console", "irc"], default="console", help="this terminal, or an IRC network of its own"
    )
    one.set_defaults(action=_demo)


def _init(arguments: argparse.Namespace) -> int:
    from omnibot.wizard import write

    path = arguments.config or DEFAULT_CONFIG

    def check() -> int:
        from omnibot.cli import parser

        return _check(parser().parse_args(["check", f"--config={path}"]))

    return write(path, yes=arguments.yes, public_url=arguments.public_url, check=check)


def _run(arguments: argparse.Namespace) -> int:
    from omnibot.app import App, find_parts
    from omnibot.logs import set_up
    from omnibot.service import EXIT_CONFIG

    try:
        settings = settings_of(arguments)
        parts = find_parts(settings)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return EXIT_CONFIG
    set_up(settings.log.level, settings.log.format, settings.source.secrets)
    asyncio.run(App.run(parts), loop_factory=_loop_factory())
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's loops, where that is installed; None for asyncio's own."""
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return None
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


def _check(arguments: argparse.Namespace) -> int:
    if arguments.who or arguments.line:
        return _explain(arguments)
    from omnibot.doctor import examine

    findings = asyncio.run(examine(config_path(arguments.config), os.environ, offline=arguments.offline))
    if arguments.json:
        print(json.dumps([asdict(one) for one in findings]))
    else:
        for line in _finding_lines(findings):
            print(line)
    return 1 if any(finding.level == "wrong" for finding in findings) else 0


def _explain(arguments: argparse.Namespace) -> int:
    """Tell whether somebody may use a command, and which rule says so; status 1 where they may not."""
    from omnibot.app import find_parts
    from omnibot.explaining import explain

    if not (arguments.who and arguments.line):
        raise UserError("Say who, and what: omnibot check --as network:subject '!command'.")
    settings = settings_of(arguments)
    parts, said = find_parts(settings), (arguments.who, arguments.line, arguments.where, arguments.level)
    explained = explain(settings, parts.skills, *said, folds=parts.folds)
    for line in explained.lines:
        print(printable(line))
    return 0 if explained.allowed else 1


def _finding_lines(findings: Iterable["Finding"]) -> Iterator[str]:
    """Yield each finding, and beneath it why it matters and how to mend it; the same reason is not said again."""
    why = ""
    for one in findings:
        yield f"{one.mark} {printable(one.what)}"
        if one.why and one.why != why:
            yield f"      Why:  {printable(one.why)}"
        if one.cure:
            yield f"      Mend: {printable(one.cure)}"
        why = one.why


def _demo(arguments: argparse.Namespace) -> int:
    from omnibot.demo import play

    return play(script=arguments.script, network=arguments.network)


def _status(arguments: argparse.Namespace) -> int:
    from omnibot.app import ask_running

    settings = settings_of(arguments)
    status = asyncio.run(ask_running(settings, "status"))
    if arguments.json:
        print(json.dumps(status or {"running": False, "version": omnibot.__version__}))
    elif status is None:
        print(f"No bot runs on {settings.data_dir}.")
    else:
        for line in _status_lines(status):
            print(line)
    return 3 if status is None else 0


def _status_lines(status: Mapping[str, Any]) -> Iterator[str]:
    accounts, vault = status["accounts"], status["vault"]
    yield f"omnibot {status['version']}, running for {duration(status['uptime'])}"
    for one in status["networks"]:
        yield f"network   {network_line(one)}"
    yield f"vault     {vault['state']}"
    for number, key in enumerate(vault["keys"]):
        yield f"key       {key['id']}{'' if number else ' (newest)'}: {key['rows']:,} rows"
    for lost, rows in vault["lost"].items():
        yield f"key       {printable(lost)} is not in the key file: {rows:,} rows"
    if vault["unfinished"]:
        yield f"          {vault['unfinished']:,} rows are to be moved to the newest: omnibot keys rotate"
    yield f"people    {status['people']:,}"
    yield f"accounts  {', '.join(f'{number:,} {name}' for name, number in accounts.items())}"
    if accounts["held"]:
        yield "          what is held waits for you: omnibot accounts held"
    yield f"flows     {status['flows']:,} under way"
    yield f"follows   {status['follows']:,}"
    commands = status["commands"]
    yield f"commands  {commands['ended']:,} since the start, {commands['failed']:,} of them failed"
    yield f"waiting   {status['notices']:,} private answers, {status['revocations']:,} tokens to be revoked"
    yield f"database  {status['database_bytes'] / 1e6:,.1f} MB"
    if status["memory_bytes"] is not None:
        yield f"memory    {status['memory_bytes'] / 1e6:,.1f} MB"
