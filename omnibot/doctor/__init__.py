"""``omnibot check`` and ``omnibot keys verify``: find what is wrong, say why it matters and how to mend it.

Nothing is changed by looking, here or at a service or network; nobody is logged in, and no secret is written.
The bot may run meanwhile.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnibot.adapter import Finding
from omnibot.app import Parts, ask_running, find_parts
from omnibot.clocks import clock_finding
from omnibot.config import Settings, load
from omnibot.doctor import data, lint, machine, outside, services
from omnibot.doctor.networks import network
from omnibot.doctor.rows import verify_rows
from omnibot.errors import ConfigError, OmnibotError, Problem
from omnibot.http import Http
from omnibot.markup import printable
from omnibot.vault import Keyring

__all__ = ["examine", "verify_rows"]


async def examine(path: Path, env: Mapping[str, str], *, offline: bool = False) -> list[Finding]:
    """Look at the configuration at *path* and all that it names; with *offline*, ask no network and no provider."""
    try:
        settings = load(path, env)
        parts = find_parts(settings)
    except ConfigError as error:
        return [_wrong(problem) for problem in error.problems]
    found = [Finding("good", f"{path} is understood: networks {', '.join(settings.networks)}.")]
    found += map(_literal, settings.warnings)
    found += map(_stray, parts.strays)
    found += [*machine.versions(), *machine.files(), *await machine.guard()]
    keys, keyring = data.keys(settings)
    found += keys
    found += await asyncio.to_thread(data.folder, settings.data_dir)
    found += await data.database(settings, keyring, parts.instances)
    found += await asyncio.to_thread(data.backups, settings.data_dir)
    status = await _status(settings)
    found += [status] if isinstance(status, Finding) else _running(status, keyring)
    found += await outside.listener(
        settings,
        running=status is not None,
        needed=bool(parts.instances.names() or settings.public_url),
        offline=offline,
    )
    found += outside.metrics(settings)
    found += services.unused(parts)
    found += await asyncio.to_thread(_lint, settings, parts)
    return found if offline else [*found, *await _asked(parts, keyring)]


async def _asked(parts: Parts, keyring: Keyring) -> list[Finding]:
    """Ask every network and service."""
    found = []
    for name in parts.settings.networks:
        found += await network(name, parts, keyring)
    http = Http()
    timed = services.Timed(http)
    try:
        for one in services.every(parts):
            found += [finding async for finding in services.service(one, parts.instances, timed, parts.settings)]
    finally:
        await http.close()
    clock = clock_finding(timed.ahead)
    return [*found, clock] if clock else found


def _wrong(problem: Problem) -> Finding:
    return Finding("wrong", _said(problem), problem.cure, "Nothing else is looked at until the configuration is right.")


def _literal(problem: Problem) -> Finding:
    why = "Who gets to see the configuration, or a copy of it, has the secret."
    return Finding("note", _said(problem), problem.cure, why)


def _stray(problem: Problem) -> Finding:
    return Finding("note", _said(problem), problem.cure, "What names nothing that there is forbids nothing.")


def _said(problem: Problem) -> str:
    head = ": ".join(part for part in (problem.where, problem.key, problem.what) if part)
    return f"{head.removesuffix('.')}."


def _lint(settings: Settings, parts: Parts) -> list[Finding]:
    used = {one.provider.name: one.provider for one in services.every(parts)}
    return list(lint.catalogue(settings.catalogue_dir, used))


async def _status(settings: Settings) -> Any:
    """Ask the bot itself, if it runs, for what only it knows; a `Finding` where it does not say, None if none runs."""
    try:
        return await ask_running(settings, "status")
    except OmnibotError as error:
        return Finding("wrong", f"The running bot cannot be asked how it is: {error}", "Look at its log.")


def _running(status: Mapping[str, Any] | None, keyring: Keyring) -> list[Finding]:
    """Return what the *status* of the running bot tells; nothing where there is none."""
    if status is None:
        return []
    found = [Finding("good", f"The bot runs, as omnibot {status['version']}.")]
    for one in status["networks"]:
        if one["says"] and one["trusted"] is False:
            says, was = printable(one["says"]), printable(one["realm"])
            what = f"{one['name']} says it is {says}, and was {was}: nobody is acted for there."
            cure = (
                f"If you moved it, and the same people have the same names there: omnibot networks accept {one['name']}"
            )
            found.append(Finding("wrong", what, cure, "Somebody there may have another person's name."))
    if held := status["accounts"]["held"]:
        found.append(Finding("note", f"{held} held account(s) wait for a decision.", "See: omnibot accounts held"))
    held_keys = {one["id"] for one in status["vault"]["keys"]}
    if held_keys != set(keyring.ids):
        what = "The running bot works with other keys than those in the key file."
        why = "It read the file when it started; after its next start it may not be able to read what it writes now."
        found.append(Finding("wrong", what, "Put the right file back, or restart the bot if it is right now.", why))
    return found
