"""``omnibot backup`` and ``omnibot restore``: the bot's data."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from omnibot.cli.words import Commands, administer, command, moment, settings_of, tell
from omnibot.errors import ConfigError, UserError
from omnibot.markup import printable

if TYPE_CHECKING:  # they are slow to import
    from omnibot.config import NetworkSettings, Settings
    from omnibot.restoring import Prepared


def add(commands: Commands) -> None:
    """Add them to *commands*."""
    one = command(commands, "backup", "copy the bot's data, but not its keys, also while it runs", _backup)
    one.add_argument("file", nargs="?", type=Path, help="default omnibot-DATE-TIME.tar in backups/ of data_dir")
    one.add_argument("--keep", type=_count, default=0, metavar="N", help="keep only the latest N of those in backups/")
    one = command(commands, "restore", "put a backup in the place of the data, with the bot stopped", _restore)
    one.add_argument("file", nargs="?", type=Path, help="without it, what was interrupted is gone on with")
    one.add_argument("--yes", action="store_true", help="do not ask")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError("must be a number from 1 on")
    return int(text)


def _backup(arguments: argparse.Namespace) -> int:
    file = str(arguments.file.expanduser().absolute()) if arguments.file else ""  # the bot may stand elsewhere
    done = administer(arguments, "backup", file=file, keep=arguments.keep)
    print(f"{done['file']}: {done['bytes'] / 1e6:,.1f} MB.")
    for name in done["dropped"]:
        print(f"{name} was one too many, and is deleted.")
    if done["keys"]:
        print(f"It needs key {', '.join(done['keys'])}, which is not in it: keep a copy of the key file elsewhere.")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from omnibot.datadir import DataDir, InUse

    settings = settings_of(arguments)
    try:
        held = DataDir.hold(settings.data_dir)
    except InUse:
        raise UserError(f"A bot, or another command, works on {settings.data_dir}. Stop it first.") from None
    try:
        return _restored(arguments, settings)
    finally:
        held.release()


def _restored(arguments: argparse.Namespace, settings: "Settings") -> int:
    from omnibot.app import read_keyring
    from omnibot.restoring import finish, prepare, unfinished

    if unfinished(settings.data_dir):
        aside = finish(settings.data_dir)
        print("The restore that was interrupted is finished.")
        _tell_after(settings, aside)
        if arguments.file:
            print(f"{arguments.file} was not looked at: say the command again if it is another backup.")
        return 0
    if arguments.file is None:
        raise UserError("No restore was interrupted here. Name the backup: omnibot restore FILE")
    keys: list[str] = []
    with suppress(ConfigError):
        keys = read_keyring(settings.key_file).ids
    prepared = prepare(arguments.file.expanduser().absolute(), settings.data_dir, keys)
    try:
        _describe(prepared, settings)
        if not (arguments.yes or _agreed()):
            print("Nothing was changed.")
            return 1
        aside = prepared.commit(settings.networks)
    finally:
        prepared.drop()
    print("Restored.")
    _tell_after(settings, aside)
    return 0


def _describe(prepared: "Prepared", settings: "Settings") -> None:
    manifest = prepared.manifest
    print(f"A whole backup of {moment(manifest.made)}, by omnibot {manifest.version}.")
    if prepared.missing_keys:
        tell(
            f"Careful: {settings.key_file} does not hold key {', '.join(prepared.missing_keys)}, and without that no "
            "linked account in this backup can be used. Put the right key file there; the backup has none."
        )
    print(
        f"It takes the place of the data in {settings.data_dir}, which are set aside. What was unlinked or forgotten "
        "since stays so; whatever was linked, followed or decided since is not in it."
    )


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("Nothing was changed. Say it with --yes to go on without being asked.")
    try:
        return input("Go on? (yes/no) ").strip().lower() in ("yes", "y")
    except EOFError:
        return False


def _tell_after(settings: "Settings", aside: str) -> None:
    if aside:
        print(f"What was there before is in {settings.data_dir / aside}: delete it when all is well.")
    for network in settings.networks.values():
        if said := _of_network(network, settings):
            print(f"{network.name}: {said}")
    print(
        "Services that give out a new refresh token at each use do not take one that was used since the backup: "
        "those people are told so at their next command, and link again. The record ends where it did then: once you "
        "have seen that all is well, say `omnibot audit anchor --anew`. Start the bot now: omnibot run"
    )


def _of_network(network: "NetworkSettings", settings: "Settings") -> str:
    """Return what the adapter of *network* says; nothing where it, or its part of the configuration, is no good."""
    from omnibot.config import adapter_options
    from omnibot.registry import find_adapter

    with suppress(ConfigError):
        module = find_adapter(network.adapter)
        if restored := getattr(module, "restored", None):
            return printable(str(restored(adapter_options(network, module.Settings, settings.source))))
    return ""
