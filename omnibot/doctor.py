"""``omnibot check`` and ``omnibot keys verify``: find what is wrong, say why it matters and how to mend it."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from omnibot.accounts import TABLE as ACCOUNTS
from omnibot.adapter import Check, Finding, Tools
from omnibot.app import Parts, ask_running, find_parts, read_keyring
from omnibot.catalogue import Instances
from omnibot.config import Settings, load
from omnibot.database import migrations
from omnibot.errors import ConfigError, KeyMissing, OmnibotError, Problem, Tampered, UserError, VaultError
from omnibot.http import Http
from omnibot.keyed import Keyed, count, keyed_tables, moved, person_keys, why_unreadable
from omnibot.linking.beginning import redirect_uri
from omnibot.markup import printable
from omnibot.people import PEOPLE
from omnibot.provider import Instance, Token
from omnibot.registry import find_adapter
from omnibot.signers import converse, signer_of
from omnibot.stores import secret_purpose
from omnibot.vault import Keyring, PersonKeys, Rekeyer, Sealer, TokenHead
from omnibot.wire import origin_of

log = logging.getLogger(__name__)

_MOST_NAMED = 20
_A_NETWORK = 60.0
"""Seconds that a look at one network may take."""

_NO_KEY = Token("omnibot:check")
"""Nobody's key."""


async def examine(path: Path, env: Mapping[str, str], *, offline: bool = False) -> list[Finding]:
    """Look at the configuration at *path* and all that it names; with *offline*, ask no network and no provider."""
    try:
        settings = load(path, env)
        parts = find_parts(settings)
    except ConfigError as error:
        return [_wrong(problem) for problem in error.problems]
    found = [Finding("good", f"{path} is understood: networks {', '.join(settings.networks)}.")]
    found += [Finding("note", f"{one}.".replace("..", ".")) for one in settings.warnings]
    keys, keyring = _keys(settings)
    found += keys
    found += await asyncio.to_thread(_data_dir, settings.data_dir)
    found += await _database(settings, keyring, parts.instances)
    found += await _running(settings)
    found += await _listener(settings)
    found += _unused(parts)
    if offline:
        return found
    for name in settings.networks:
        found += await _network(name, parts, keyring)
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


async def verify_rows(data_dir: Path, keyring: Keyring, instances: Instances | None = None) -> list[Finding]:
    """Look at everything that stands under a master key: is it as we wrote it, and can it be read?

    Every tag is checked, every box and private key opened, and every account's token; nothing of
    what is in them is kept, or in what is found.  The bot may run meanwhile.  Without *instances* it
    is not looked at which API a token is for, nor into tokens that wait to be revoked.
    """
    instances = instances or Instances({}, {})
    database = data_dir / "omnibot.db"
    if not await asyncio.to_thread(database.exists):
        return [Finding("good", "There is no database yet.")]
    try:
        seen = await asyncio.to_thread(_verify, database, Rekeyer(keyring), keyed_tables(instances), instances)
    except sqlite3.Error as error:
        return [Finding("wrong", f"{database} cannot be read ({error}).", "Restore it from a backup.")]
    found = [Finding("note", f"{one}.", "It is dropped within a day of when it was put there.") for one in seen.unsure]
    if seen.bad:
        cure = "Put the right key file back, or restore the database from a backup."
        return [*found, *(Finding("wrong", f"{one}.", cure) for one in list(seen.bad)[:_MOST_NAMED])]
    return [*found, Finding("good", f"{seen.rows} rows can be read, and are as they were written.")]


@dataclass(slots=True)
class _Seen:
    """What a look at every row has found."""

    rows: int = 0
    bad: dict[str, None] = field(default_factory=dict)
    """What is wrong, in the order found, each once: a missing key is missed by many rows."""

    unsure: list[str] = field(default_factory=list)


def _verify(path: Path, rekeyer: Rekeyer, tables: Sequence[Keyed], instances: Instances) -> _Seen:
    seen = _Seen()
    people: dict[str, PersonKeys] = {}
    with closing(_open_read_only(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")  # one moment for all tables
        for table in tables:
            for found in connection.execute(f"SELECT * FROM {table.table} WHERE {table.where or '1'}"):  # noqa: S608 - our own names
                row = dict(found)
                seen.rows += 1
                try:
                    moved(rekeyer, table, row)  # thrown away: what can be moved can be read
                    if table.tagged is PEOPLE:
                        people[row["id"]] = person_keys(row)
                    elif table.tagged is ACCOUNTS and row["person"] in people:
                        _check_token(rekeyer, people[row["person"]], row, instances)
                except (KeyMissing, Tampered) as error:
                    seen.bad[str(error)] = None
                except VaultError as error:
                    seen.bad[why_unreadable(table, row, error)] = None
                except UserError as error:
                    seen.unsure.append(why_unreadable(table, row, error))
    return seen


def _check_token(rekeyer: Rekeyer, keys: PersonKeys, row: Mapping[str, Any], instances: Instances) -> None:
    try:
        origin = origin_of(instances.get(row["provider"], row["instance"]).api)
    except UserError:
        origin = ""  # it is no longer configured: everything else is compared
    instance = f"{row['provider']}@{row['instance']}"
    head = TokenHead(row["person"], row["provider"], instance, origin, row["external"])
    rekeyer.check_token(keys, row["id"], head, row["token"])


def _wrong(problem: Problem) -> Finding:
    head = ": ".join(part for part in (problem.where, problem.key, problem.what) if part)
    return Finding("wrong", f"{head}.", problem.cure)


def _keys(settings: Settings) -> tuple[list[Finding], Keyring]:
    try:
        keyring = read_keyring(settings.key_file)
    except ConfigError as error:
        why = "Until then no account can be linked or used."
        return [Finding("wrong", f"{one.where}: {one.what}. {why}", f"{one.cure}") for one in error.problems], Keyring()
    return [Finding("good", f"The key file holds {len(keyring.ids)} key(s): {', '.join(keyring.ids)}.")], keyring


def _data_dir(path: Path) -> list[Finding]:
    """Look whether the bot can write where its data is to be: into the folder, or the one it is to be made in."""
    there = next(one for one in (path, *path.parents) if one.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return []
    what = f"data_dir: {there} cannot be written to." if there.is_dir() else f"data_dir: {there} is no folder."
    return [Finding("wrong", what, "Give the bot's user write permission, or name another folder.")]


async def _database(settings: Settings, keyring: Keyring, instances: Instances) -> list[Finding]:
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
        *(await _rows(settings, keyring, instances) if keyring.ids else []),
    ]


async def _rows(settings: Settings, keyring: Keyring, instances: Instances) -> list[Finding]:
    found = await verify_rows(settings.data_dir, keyring, instances)
    standing = await asyncio.to_thread(count, settings.data_dir / "omnibot.db", keyed_tables(instances))
    older = sum(standing.rows.get(key, 0) for key in keyring.ids[1:])
    if older:
        what = f"{older:,} rows stand under an older key than the newest, {keyring.newest.id}."
        found.append(Finding("note", what, "Go on with the rotation: omnibot keys rotate"))
    return found


async def _running(settings: Settings) -> list[Finding]:
    """Ask the bot itself, if it runs, for what only it knows: what the networks say they are."""
    try:
        status = await ask_running(settings, "status")
    except OmnibotError as error:
        return [Finding("wrong", f"The running bot cannot be asked how it is: {error}", "Look at its log.")]
    if status is None:
        return []
    found = [Finding("good", f"The bot runs, as omnibot {status['version']}.")]
    for one in status["networks"]:
        if one["says"] and one["trusted"] is False:
            says, was = printable(one["says"]), printable(one["realm"])
            what = f"{one['name']} says it is {says}, and was {was}: nobody is acted for there."
            cure = "If you moved it, and the same people have the same names there:"
            found.append(Finding("wrong", what, f"{cure} omnibot networks accept {one['name']}"))
    if held := status["accounts"]["held"]:
        found.append(Finding("note", f"{held} held account(s) wait for a decision.", "See: omnibot accounts held"))
    return found


async def _network(name: str, parts: Parts, keyring: Keyring) -> list[Finding]:
    """Let the adapter of a network look how that is, if it can."""
    settings = parts.settings
    check: Check | None = getattr(find_adapter(settings.networks[name].adapter), "check", None)
    if check is None:
        return []
    database = settings.data_dir / "omnibot.db"
    tools = Tools(
        network=name,
        prefix=settings.prefix,
        store=_Kept(database, name),
        secrets=_Kept(database, name, Sealer(keyring)),
        directory=settings.data_dir / name,
        log=logging.getLogger(f"omnibot.network.{name}"),
        commands=tuple,
    )
    try:
        async with asyncio.timeout(_A_NETWORK):
            return [replace(one, what=f"{name}: {one.what}") for one in await check(tools, parts.adapters[name][1])]
    except TimeoutError:
        return [Finding("wrong", f"{name}: it could not be looked at in {_A_NETWORK:.0f} seconds.")]
    except (OmnibotError, sqlite3.Error) as error:
        return [Finding("wrong", f"{name}: it could not be looked at ({error}).")]
    except Exception as error:  # an adapter's mistake must not hide what else is wrong
        log.debug("the check of %s failed", name, exc_info=True)
        return [Finding("wrong", f"{name}: it could not be looked at ({type(error).__name__}).")]


class _Kept:
    """An adapter's rows, with a *sealer* its secrets, as they are in the database now.  Nothing is written."""

    def __init__(self, database: Path, network: str, sealer: Sealer | None = None) -> None:
        self._database = database
        self._network = network
        self._sealer = sealer

    async def get(self, key: str) -> bytes | None:
        value = await asyncio.to_thread(self._read, key)
        if value is None or self._sealer is None:
            return value
        return self._sealer.unbox(secret_purpose(self._network, key), value)

    async def set(self, key: str, value: bytes) -> None:
        raise PermissionError(f"{key} is not written by a check")

    async def delete(self, key: str) -> None:
        raise PermissionError(f"{key} is not deleted by a check")

    def _read(self, key: str) -> bytes | None:
        if not self._database.exists():
            return None
        sql = "SELECT value FROM adapter_rows WHERE network = ? AND sealed = ? AND key = ?"
        with closing(_open_read_only(self._database)) as connection:
            row = connection.execute(sql, (self._network, int(self._sealer is not None), key)).fetchone()
        return None if row is None else bytes(row[0])


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


def _unused(parts: Parts) -> list[Finding]:
    """Note each skill whose commands act at a service that is not configured."""
    found = []
    for skill in parts.skills:
        homes = sorted({command.providers[0] for command in skill.commands if command.providers})
        if homes and not set(homes).intersection(parts.instances.names()):
            what = f"The skill {skill.name} has no service to act at: providers.{homes[0]} is not configured."
            found.append(Finding("note", what, f"See: omnibot providers show {homes[0]}"))
    return found


async def _api(instance: Instance, http: Http, good: str) -> Finding:
    """Look whether a service's API is where it should be: without a token or key, whoami has to refuse.

    With 403 only where the service is known to mean that: elsewhere it is the answer of an API that is
    switched off, as Redmine's.  Jenkins says 403 to whoever shows no key, and not to one who shows a wrong one.
    """
    request = replace(instance.whoami, frames=instance.provider.whoami.frames(""))
    send = partial(http.send, origins=instance.origins, private=instance.by_operator)
    try:
        answer = await send(request)
        if answer.status == 403 and not instance.authorises and not request.frames:
            answer = await converse(signer_of(instance, by_key=True), request, _NO_KEY, send)
    except OmnibotError as error:
        return Finding("wrong", f"{instance.key}: {error}", "Check its address, and whether this machine reaches it.")
    if instance.provider.is_dead(answer.status):
        return Finding("good", f"{instance.key} answers; {good}.")
    wanted = "an authorisation" if instance.authorises else "a key"
    what = f"{instance.key} answers {answer.status} where it should ask for {wanted}."
    return Finding("wrong", what, "Check its address, and that its API is switched on.")


async def _provider(instance: Instance, instances: Any, http: Http, settings: Settings) -> AsyncIterator[Finding]:
    if not instance.authorises:
        yield await _api(instance, http, "people link it by a key of their own")
        return
    uri = redirect_uri(instance, settings.public_url, settings.paste_port)
    how = f"(How: {instance.provider.docs})" if instance.provider.docs else ""
    if instance.provider.registration == "operator":
        yield Finding("note", f"{instance.key}: register this redirect URI there, to the letter: {uri}", how)
    try:
        ready = await instances.ready(instance, http)
    except OmnibotError as error:
        yield Finding("wrong", f"{instance.key}: {error}", "Check its address, and whether this machine reaches it.")
        return
    server = ready.server
    good = f"people will authorise at {origin_of(server.authorize_url)}"
    yield Finding("good", f"{instance.key} answers; {good}.") if instance.issuer else await _api(instance, http, good)
    if server.pkce == "none" and not server.is_oauth1 and instance.provider.registration != "address":
        why = "Codes are then protected by the client secret alone (below RFC 9700 section 2.1.1)."
        yield Finding("note", f"{instance.key} has no PKCE. {why}")
