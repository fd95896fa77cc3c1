"""``omnibot audit``: the record of what people did as themselves."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from omnibot.cli.words import Commands, administer, command, group, tell
from omnibot.errors import UserError
from omnibot.markup import printable


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    audit = group(commands, "audit", "look at the record of what people did as themselves")
    one = command(audit, "verify", "see whether every entry is as it was written", _verify)
    one.add_argument("--anchor", default="", metavar="SEQ:HASH", help="one that you noted elsewhere: it has to fit too")
    one = command(audit, "export", "write every entry as a line of JSON, and last the head", _export)
    one.add_argument("--out", type=Path, metavar="FILE", help="into a new file; without it, to standard output")
    one = command(audit, "anchor", "sign the newest entry, and print its number and hash to be kept elsewhere", _anchor)
    one.add_argument(
        "--anew", action="store_true", help="take the record as it is now for good, after you restored a backup"
    )


def _verify(arguments: argparse.Namespace) -> int:
    found = administer(arguments, "audit verify", anchor=arguments.anchor)
    for note in found["notes"]:
        tell(f"note: {printable(note)}")
    if found["broken"]:
        tell(f"The record is not as it was written, from entry {found['broken']} on. {printable(found['why'])}")
        return 1
    if not found["entries"]:
        print("Nothing has been recorded yet.")
        return 0
    last = found["head"].partition(":")[0]
    print(f"{found['entries']:,} entries, {found['first']} to {last}, are as they were written. Head: {found['head']}")
    return 0


def _anchor(arguments: argparse.Namespace) -> int:
    print(administer(arguments, "audit anchor", anew=arguments.anew))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    if arguments.out is None:
        _written(arguments, sys.stdout)
        return 0
    try:
        descriptor = os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            number = _written(arguments, file)
    except FileExistsError:
        raise UserError(f"{arguments.out} exists already. Name another file.") from None
    except OSError as error:
        raise UserError(f"{arguments.out} cannot be written: {error.strerror}.") from None
    tell(f"{number:,} entries are in {arguments.out}.")
    return 0


def _written(arguments: argparse.Namespace, file: TextIO) -> int:
    """Write every entry to *file*, and last the head; return how many entries there are."""
    number, after, head = 0, 0, ""
    while entries := administer(arguments, "audit export", after=after):
        file.writelines(f"{_line(one)}\n" for one in entries)
        number, after = number + len(entries), entries[-1]["seq"]
        head = f"{after}:{entries[-1]['hash']}"
    file.write(f"{_line({'head': head})}\n")
    return number


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
