"""The command line.

``omnibot init | run | check | status | demo | keys | networks | providers | accounts | instances``
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from getpass import getpass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import omnibot
from omnibot.errors import ConfigError, UserError, VaultError
from omnibot.markup import printable

if TYPE_CHECKING:  # it is slow to import, and most commands need it once they run only
    from omnibot.config import Settings

DEFAULT_CONFIG = Path("config.yaml")


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
    except UserError as error:
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

    one = _command(commands, "init", "write a commented configuration and a key, by a few questions", _init)
    one.add_argument("--yes", action="store_true", help="ask nothing, take what is proposed")
    one.add_argument("--public-url", default="", help="where people's browsers will reach the listener")

    _command(commands, "run", "run the bot", _run)
    one = _command(commands, "check", "look for what is misconfigured, and say how to mend it", _check)
    one.add_argument("--offline", action="store_true", help="ask no network and no service")

    one = _command(commands, "status", "tell how the running bot is; status 3 if none runs", _status)
    one.add_argument("--json", action="store_true", help="one JSON object, for programs")

    one = commands.add_parser("demo", help="walk through a first link, on this machine alone")
    where = one.add_mutually_exclusive_group()
    where.add_argument("--script", action="store_true", help="play it unattended and print what is said")
    where.add_argument(
        "--network", choices=["console", "irc"], default="console", help="this terminal, or an IRC network of its own"
    )
    one.set_defaults(action=_demo)

    keys = _group(commands, "keys", "make, change and verify the master key")
    one = _command(keys, "new", "make a key file", _keys_new)
    one.add_argument("--file", type=Path, metavar="FILE", help="make it there, and not where the configuration says")
    _command(keys, "verify", "see whether every row can be read with the keys at hand", _keys_verify)
    one = _command(keys, "rotate", "make a new key and move everything under it, or go on with that", _keys_rotate)
    one.add_argument("--renew", action="store_true", help="give people new key pairs too, and seal their tokens anew")
    one = _command(keys, "retire", "take older keys, under which nothing stands, out of the key file", _keys_retire)
    one.add_argument("id", nargs="?", default="", help="the key; without it, all but the newest")

    networks = _group(commands, "networks", "see what networks say they are, and accept it")
    _command(networks, "list", "list the networks", _networks_list)
    one = _command(networks, "accept", "accept what a network is now, with the people on it", _networks_accept)
    one.add_argument("name", help="its name in the configuration")

    providers = _group(commands, "providers", "see what services there are, and try to link one")
    _command(providers, "list", "list them, and which are configured", _providers_list)
    one = _command(providers, "show", "tell what it is asked for, and how to register the bot", _providers_show)
    one.add_argument("name", metavar="NAME", help="as `omnibot providers list` names it; or NAME@INSTANCE")
    one = _command(providers, "test", "link an account, tell each step, and keep nothing", _providers_test)
    one.add_argument("name", metavar="NAME[@INSTANCE]", help="one that is configured")
    one.add_argument(
        "--by", choices=["page", "pin", "key", "device"], default="best", help="not by the best way there is"
    )

    accounts = _group(commands, "accounts", "decide about accounts that a second person authorised")
    _command(accounts, "held", "list them", _accounts_held)
    for word, what in (("allow", "let the second person use it as well"), ("refuse", "erase the second person's")):
        one = _command(accounts, word, what, _accounts_decide)
        one.add_argument("id", help="as `omnibot accounts held` shows it, or its beginning")
        one.set_defaults(op=f"accounts {word}")

    instances = _group(commands, "instances", "decide about servers that people named")
    _command(instances, "list", "list them", _instances_list)
    for word, what in (("allow", "let people link it"), ("refuse", "let nobody link it")):
        one = _command(instances, word, what, _instances_decide)
        one.add_argument("host", help="in its own letters or in punycode; or service@host")
        one.set_defaults(op=f"instances {word}")
    return top


def _group(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    return commands.add_parser(name, help=what, description=what).add_subparsers(required=True, metavar="ACTION")


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
    asyncio.run(App.run(find_parts(settings)), loop_factory=_loop_factory())
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
    from omnibot.doctor import examine

    findings = asyncio.run(examine(config_path(arguments.config), os.environ, offline=arguments.offline))
    for finding in findings:
        print(finding)
    return 1 if any(finding.level == "wrong" for finding in findings) else 0


def _demo(arguments: argparse.Namespace) -> int:
    from omnibot.demo import play

    return play(script=arguments.script, network=arguments.network)


def _keys_new(arguments: argparse.Namespace) -> int:
    from omnibot.config import load
    from omnibot.vault import new_key_file

    path = arguments.file or load(config_path(arguments.config), os.environ).key_file
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
    from omnibot.app import find_instances, read_keyring
    from omnibot.config import load
    from omnibot.doctor import verify_rows

    settings = load(config_path(arguments.config), os.environ)
    keyring, instances = read_keyring(settings.key_file), find_instances(settings)
    findings = asyncio.run(verify_rows(settings.data_dir, keyring, instances))
    for finding in findings:
        print(finding)
    return 1 if any(finding.level == "wrong" for finding in findings) else 0


def _administer(arguments: argparse.Namespace, op: str, **args: Any) -> Any:
    """Do *op*, also while the bot runs; what it has to say meanwhile goes to standard error."""
    from omnibot.app import administer
    from omnibot.config import load

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    return asyncio.run(administer(load(config_path(arguments.config), os.environ), op, args, say))


def _keys_rotate(arguments: argparse.Namespace) -> int:
    done = _administer(arguments, "keys rotate", renew=arguments.renew)
    rest = "all but what is named below" if done["unreadable"] else "everything"
    print(f"{done['rows']:,} rows have been moved; {rest} stands under key {done['key']}.")
    if arguments.renew:
        print(f"People with a new key pair: {done['renewed']:,}.")
    if done["kept"]:
        print(f"{done['kept']:,} people keep theirs: a row of theirs is not as it was written, or they were busy.")
    if done["older"]:
        print(
            "Copy the key file again to where you keep it, now. When you need no backup from before any more: "
            f"omnibot keys retire ({', '.join(done['older'])})"
        )
    for why in done["why"]:
        print(f"left as it is: {printable(why)}", file=sys.stderr)
    if done["unreadable"]:
        print(f"{done['unreadable']:,} rows cannot be read, and were not moved.", file=sys.stderr)
    return 1 if done["unreadable"] else 0


def _keys_retire(arguments: argparse.Namespace) -> int:
    done = _administer(arguments, "keys retire", key=arguments.id)
    print(f"The key file holds {', '.join(done['keys'])}. Backups from before cannot be read with it.")
    return 0


def _networks_list(arguments: argparse.Namespace) -> int:
    listed = _administer(arguments, "networks list")
    for one in listed:
        print(_network(one))
    if not listed:
        print("No network has connected yet.")
    return 0


def _networks_accept(arguments: argparse.Namespace) -> int:
    done = _administer(arguments, "networks accept", name=arguments.name)
    name, now = done["name"], printable(done["is"])
    if now:
        print(f"{name} is {now} from now on. People known there by their names keep their accounts.")
    else:
        print(f"{name} is not connected: what it says it is at its next connect is taken.")
    return 0


def _providers_list(arguments: argparse.Namespace) -> int:
    from omnibot.showing import listed

    for line in listed(_settings_if_any(arguments)):
        print(line)
    return 0


def _providers_show(arguments: argparse.Namespace) -> int:
    from omnibot.showing import shown

    for line in shown(arguments.name, _settings_if_any(arguments)):
        print(line)
    return 0


def _providers_test(arguments: argparse.Namespace) -> int:
    from omnibot.app import harden
    from omnibot.config import load
    from omnibot.trial import Talk, try_out

    settings = load(config_path(arguments.config), os.environ)
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


def _settings_if_any(arguments: argparse.Namespace) -> "Settings | None":
    """Return the configuration; None where there is none, and none was named."""
    from omnibot.config import load

    path = config_path(arguments.config)
    named = arguments.config is not None or "OMNIBOT_CONFIG" in os.environ
    return load(path, os.environ) if named or path.exists() else None


def _accounts_held(arguments: argparse.Namespace) -> int:
    held = _administer(arguments, "accounts held")
    for one in held:
        print(_held(one))
    if not held:
        print("No account is held.")
    return 0


def _accounts_decide(arguments: argparse.Namespace) -> int:
    done = _administer(arguments, arguments.op, account=arguments.id)
    what = "may use" if arguments.op == "accounts allow" else "may not use"
    print(printable(f"{done['asked_by']} {what} {done['service']} as {done['login']}. They are being told."))
    return 0


def _instances_list(arguments: argparse.Namespace) -> int:
    named = _administer(arguments, "instances list")
    for one in named:
        print(_instance(one))
    if not named:
        print("Nobody has named a server.")
    return 0


def _instances_decide(arguments: argparse.Namespace) -> int:
    done = _administer(arguments, arguments.op, host=arguments.host)
    what = "People may link" if arguments.op == "instances allow" else "Nobody may link"
    reads = f" (which reads {printable(done['reads'])})" if done["reads"] else ""
    print(f"{what} {done['name']}{reads}.")
    return 0


def _instance(one: Mapping[str, Any]) -> str:
    since = datetime.fromtimestamp(one["since"]).astimezone().strftime("%Y-%m-%d %H:%M")
    reads = f", which reads {one['reads']}" if one["reads"] else ""
    status = f"asked for by {', '.join(one['asked_by'])}" if one["status"] == "asked" else one["status"]
    return printable(f"{one['name']}{reads}: {status}, named {since}")


def _status(arguments: argparse.Namespace) -> int:
    from omnibot.app import ask_running
    from omnibot.config import load

    settings = load(config_path(arguments.config), os.environ)
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
    yield f"omnibot {status['version']}, running for {_duration(status['uptime'])}"
    for one in status["networks"]:
        yield f"network   {_network(one)}"
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
    yield f"waiting   {status['notices']:,} private answers, {status['revocations']:,} tokens to be revoked"
    yield f"database  {status['database_bytes'] / 1e6:,.1f} MB"
    if status["memory_bytes"] is not None:
        yield f"memory    {status['memory_bytes'] / 1e6:,.1f} MB"


def _network(one: Mapping[str, Any]) -> str:
    was, says = printable(one["realm"]) or "nothing yet", printable(one["says"])
    line = f"{one['name']}: {one['state'] or 'not running'}, known as {was}"
    if says and says != was:
        line += f", now says it is {says}"
    if one["trusted"] is False and says:
        line += f". Nobody is acted for there. If you moved it: omnibot networks accept {one['name']}"
    return line


def _held(one: Mapping[str, Any]) -> str:
    since = datetime.fromtimestamp(one["since"]).astimezone().strftime("%Y-%m-%d %H:%M")
    owners = ", ".join(one["owners"]) or "nobody any more"
    shown = f" ({one['display']})" if one["display"] else ""
    asks = f"{one['id']}  {one['service']} as {one['login']}: asked for by {one['asked_by']}{shown} since {since}"
    return printable(f"{asks}; linked by {owners}")


def _duration(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
