"""``omnibot keys``: the master key."""

import argparse
import asyncio
import sys
from pathlib import Path

from omnibot.cli.words import Commands, administer, command, group, settings_of
from omnibot.markup import printable


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    keys = group(commands, "keys", "make, change and verify the master key")
    one = command(keys, "new", "make a key file", _keys_new)
    one.add_argument("--file", type=Path, metavar="FILE", help="make it there, and not where the configuration says")
    command(keys, "verify", "see whether every row can be read with the keys at hand", _keys_verify)
    one = command(keys, "rotate", "make a new key and move everything under it, or go on with that", _keys_rotate)
    one.add_argument("--renew", action="store_true", help="give people new key pairs too, and seal their tokens anew")
    one = command(keys, "retire", "take older keys, under which nothing stands, out of the key file", _keys_retire)
    one.add_argument("id", nargs="?", default="", help="the key; without it, all but the newest")


def _keys_new(arguments: argparse.Namespace) -> int:
    from omnibot.vault import new_key_file

    path = arguments.file or settings_of(arguments).key_file
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
    from omnibot.doctor import verify_rows

    settings = settings_of(arguments)
    keyring, instances = read_keyring(settings.key_file), find_instances(settings)
    findings = asyncio.run(verify_rows(settings.data_dir, keyring, instances))
    for finding in findings:
        print(finding)
    return 1 if any(finding.level == "wrong" for finding in findings) else 0


def _keys_rotate(arguments: argparse.Namespace) -> int:
    done = administer(arguments, "keys rotate", renew=arguments.renew)
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
    done = administer(arguments, "keys retire", key=arguments.id)
    print(f"The key file holds {', '.join(done['keys'])}. Backups from before cannot be read with it.")
    return 0
