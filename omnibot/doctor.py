"""``omnibot check`` and ``omnibot keys verify``: find what is wrong, say why it matters and how to mend it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omnibot.accounts import TABLE as ACCOUNTS
from omnibot.app import find_parts
from omnibot.config import Settings, load
from omnibot.database import migrations
from omnibot.errors import ConfigError, OmnibotError, Problem, VaultError
from omnibot.http import Http
from omnibot.intake import WAITING
from omnibot.linking.beginning import redirect_uri
from omnibot.linking.flows import TABLE as FLOWS
from omnibot.people import IDENTITIES, PEOPLE
from omnibot.provider import Instance
from omnibot.stores import NETWORKS
from omnibot.vault import Keyring, Sealer, Tagged
from omnibot.wire import origin_of

TABLES: tuple[Tagged, ...] = (NETWORKS, PEOPLE, IDENTITIES, ACCOUNTS, FLOWS, WAITING)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    level: Literal["good", "note", "wrong"]
    what: str
    cure: str = ""

    def __str__(self) -> str:
        """Return the line an operator reads."""
        mark = {"good": "ok   ", "note": "note ", "wrong": "WRONG"}[self.level]
        return f"{mark} {self.what}" + (f" {self.cure}" if self.cure else "")


async def examine(path: Path, env: Mapping[str, str], *, offline: bool = False) -> list[Finding]:
    """Look at the configuration at *path* and all that it names; with *offline*, ask no provider."""
    try:
        settings = load(path, env)
        parts = find_parts(settings)
    except ConfigError as error:
        return [_wrong(problem) for problem in error.problems]
    found = [Finding("good", f"{path} is understood: networks {', '.join(settings.networks)}.")]
    found += [Finding("note", f"{one}.".replace("..", ".")) for one in settings.warnings]
    keys, keyring = _keys(settings)
    found += keys
    found += await _database(settings, keyring)
    found += await _listener(settings)
    if offline:
        return found
    http = Http()
    try:
        for key in parts.instances.keys():  # noqa: SIM118 - no mapping: the instances by their full names
            provider, _, name = key.partition("@")
            found += [
                one async for one in _provider(parts.instances.get(provider, name), parts.instances, http, settings)
            ]
    finally:
        await http.close()
    return found


async def verify_rows(data_dir: Path, keyring: Keyring) -> list[Finding]:
    """Look at every row that decides who may use what: is it as we wrote it, under a key that is here?"""
    database = data_dir / "omnibot.db"
    if not await asyncio.to_thread(database.exists):
        return [Finding("good", "There is no database yet.")]
    try:
        counted, bad = await asyncio.to_thread(_verify, database, Sealer(keyring))
    except sqlite3.Error as error:
        return [Finding("wrong", f"{database} cannot be read ({error}).", "Restore it from a backup.")]
    if bad:
        cure = "Put the right key file back, or restore the database from a backup."
        return [Finding("wrong", f"{one}.", cure) for one in bad[:20]]
    return [Finding("good", f"{counted} rows can be read, and are as they were written.")]


def _verify(path: Path, sealer: Sealer) -> tuple[int, list[str]]:
    bad: list[str] = []
    counted = 0
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        for tagged in TABLES:
            for row in connection.execute(f"SELECT * FROM {tagged.table}"):  # noqa: S608 - our own names
                counted += 1
                try:
                    sealer.check(tagged, dict(row))
                except VaultError as error:
                    bad.append(str(error))
    finally:
        connection.close()
    return counted, bad


def _wrong(problem: Problem) -> Finding:
    head = ": ".join(part for part in (problem.where, problem.key, problem.what) if part)
    return Finding("wrong", f"{head}.", problem.cure)


def _keys(settings: Settings) -> tuple[list[Finding], Keyring]:
    try:
        keyring = Keyring.load(settings.key_file)
    except ConfigError as error:
        why = "Until then no account can be linked or used."
        return [Finding("wrong", f"{one.where}: {one.what}. {why}", f"{one.cure}") for one in error.problems], Keyring()
    return [Finding("good", f"The key file holds {len(keyring.ids)} key(s): {', '.join(keyring.ids)}.")], keyring


async def _database(settings: Settings, keyring: Keyring) -> list[Finding]:
    path = settings.data_dir / "omnibot.db"
    if not await asyncio.to_thread(path.exists):
        return [Finding("note", f"{path} is made at the first run.")]
    try:
        connection = await asyncio.to_thread(_open_read_only, path)
    except sqlite3.Error as error:
        return [Finding("wrong", f"{path} cannot be read ({error}).", "Restore it from a backup.")]
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        damage = [" ".join(row[0].split()) for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        return [Finding("wrong", f"{path} is damaged ({error}).", "Restore it from a backup.")]
    finally:
        connection.close()
    if damage != ["ok"]:
        return [Finding("wrong", f"{path} is damaged ({'; '.join(damage)}).", "Restore it from a backup.")]
    if version != (newest := migrations()[-1][0]):
        return [Finding("note", f"{path} is of version {version}; the next run brings it to {newest}.")]
    return [
        Finding("good", f"{path} is sound."),
        *(await verify_rows(settings.data_dir, keyring) if keyring.ids else []),
    ]


def _open_read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)


async def _listener(settings: Settings) -> list[Finding]:
    host, port = settings.listen
    found = []
    try:
        server = await asyncio.start_server(lambda *_: None, host, port)
        server.close()
        await server.wait_closed()
        found.append(Finding("good", f"The listener can have {host}:{port}."))
    except OSError:
        cure = "If that is not the bot itself, set `listen` to another port."
        found.append(Finding("note", f"{host}:{port} is in use.", cure))
    if settings.public_url is None:
        why = "People link by pasting the address back, which is weaker against being talked into it."
        found.append(Finding("note", f"There is no public_url. {why}", "Set one if browsers can reach this machine."))
    return found


async def _provider(instance: Instance, instances: Any, http: Http, settings: Settings) -> AsyncIterator[Finding]:
    uri = redirect_uri(instance, settings.public_url, settings.paste_port)
    yield Finding(
        "note", f"{instance.key}: register this redirect URI there, to the letter: {uri}", instance.provider.docs
    )
    try:
        ready = await instances.ready(instance, http)
    except OmnibotError as error:
        yield Finding("wrong", f"{instance.key}: {error}", "Check its address, and whether this machine reaches it.")
        return
    server = ready.server
    asked = "answers" if instance.issuer else "is described in the catalogue, so it was not asked"
    yield Finding("good", f"{instance.key} {asked}; people will authorise at {origin_of(server.authorize_url)}.")
    if server.pkce == "none":
        why = "Codes are then protected by the client secret alone (below RFC 9700 section 2.1.1)."
        yield Finding("note", f"{instance.key} has no PKCE. {why}")
