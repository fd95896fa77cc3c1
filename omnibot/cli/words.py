"""What the commands of the command line have in common."""

import argparse
import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it is slow to import, and most commands need it once they run only
    from omnibot.config import Settings

type Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

DEFAULT_CONFIG = Path("config.yaml")


def group(commands: Commands, name: str, what: str) -> Commands:
    """Add the word *name*, which stands before others, to *commands*; return where those go."""
    return commands.add_parser(name, help=what, description=what).add_subparsers(required=True, metavar="ACTION")


def command(commands: Commands, name: str, what: str, action: object) -> argparse.ArgumentParser:
    """Add *name* to *commands*: *action* does it, with the parsed arguments, and returns the exit status."""
    one = commands.add_parser(name, help=what, description=what)
    one.add_argument("--config", type=Path, metavar="FILE", help="default ./config.yaml, then $OMNIBOT_CONFIG")
    one.set_defaults(action=action)
    return one


def config_path(given: Path | None) -> Path:
    """Return the configuration file: the one *given*, else ``./config.yaml``, else ``$OMNIBOT_CONFIG``."""
    if given is not None:
        return given
    named = os.environ.get("OMNIBOT_CONFIG")
    return Path(named) if named and not DEFAULT_CONFIG.exists() else DEFAULT_CONFIG


def settings_of(arguments: argparse.Namespace) -> "Settings":
    """Return the configuration that *arguments* mean.

    Raises:
        ConfigError: it cannot be used.
    """
    from omnibot.config import load

    return load(config_path(arguments.config), os.environ)


def settings_if_any(arguments: argparse.Namespace) -> "Settings | None":
    """Return the configuration; None where there is none, and none was named."""
    named = arguments.config is not None or "OMNIBOT_CONFIG" in os.environ
    return settings_of(arguments) if named or config_path(arguments.config).exists() else None


def administer(arguments: argparse.Namespace, op: str, **args: Any) -> Any:
    """Do *op*, also while the bot runs; what it has to say meanwhile goes to standard error."""
    from omnibot.app import administer

    return asyncio.run(administer(settings_of(arguments), op, args, tell))


def tell(text: str) -> None:
    """Say *text* on standard error: what is told beside a result."""
    print(text, file=sys.stderr)


def moment(seconds: float) -> str:
    """Return a time, in Unix seconds, as people write it here."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def duration(seconds: float) -> str:
    """Return so many seconds in two units at most: ``1 d 1 h``."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
