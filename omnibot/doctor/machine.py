"""What the bot runs on: versions, limits, and the guard of its own way out."""

import re
import resource
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata

from omnibot.adapter import Finding
from omnibot.errors import AddressRefused, OmnibotError
from omnibot.http import Http
from omnibot.wire import Request, origin_of

_SQLITE = (3, 37, 0)
"""STRICT tables; https://sqlite.org/stricttables.html."""

_FILES = 1024
"""512 browsers, 16 connections for each service, the networks, the database, and what Python itself keeps open."""

_FORBIDDEN = (
    "127.0.0.1",
    "[::1]",
    "0.0.0.0",  # noqa: S104 - to be refused
    "10.0.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.168.0.1",
    "[fe80::1]",
    "[fd00::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]",
    "localhost",
)
"""Hosts that nobody may send the bot to: this machine, its neighbours, a cloud's metadata, and other spellings."""

_TRY_SECONDS = 3.0


def versions() -> Iterator[Finding]:
    """Yield what is older than omnibot is made for."""
    old = []
    if sqlite3.sqlite_version_info < _SQLITE:
        old.append(f"SQLite {sqlite3.sqlite_version}, wanted {'.'.join(map(str, _SQLITE))}")
    try:
        wanted, python = metadata.requires("omnibot") or [], metadata.metadata("omnibot")["Requires-Python"]
    except metadata.PackageNotFoundError:
        yield Finding("note", "omnibot is not installed, so nothing tells which versions it wants.")
        wanted, python = [], ""
    here = ".".join(map(str, sys.version_info[:3]))
    if _below(here, floor := _floor(python)):
        old.append(f"Python {here}, wanted {floor}")
    for one in wanted:
        name, _, condition = one.partition(";")
        if not condition:
            old += _older(name)
    why = "What it is tested with is newer; older ones lack what it uses, or have holes that are known."
    for one in old:
        yield Finding(
            "wrong", f"Too old: {one}.", "pip install --upgrade omnibot, or bring the system up to date.", why
        )


def _older(requirement: str) -> Iterator[str]:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    name, floor = found[0] if found else requirement, _floor(requirement)
    try:
        here = metadata.version(name)
    except metadata.PackageNotFoundError:
        yield f"{name}, which is not there at all, wanted {floor or 'any'}"
        return
    if _below(here, floor):
        yield f"{name} {here}, wanted {floor}"


def _floor(requirement: str) -> str:
    """Return the version behind ``>=`` in *requirement*; empty where it has none."""
    found = re.search(r">=\s*([0-9][0-9.]*)", requirement)
    return found[1] if found else ""


def _below(version: str, floor: str) -> bool:
    return bool(floor) and _numbers(version) < _numbers(floor)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release, without zeros at the end: 3.0 is 3 (PEP 440)."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(one) for one in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def files() -> Iterator[Finding]:
    """Yield a finding where this process may open too few files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        what = f"{soft:,} files may be open at once, as this command is run."
        why = (
            "Each browser and each service takes one; when they are used up, networks and the database fail with them."
        )
        yield Finding("note", what, f"Let it be {_FILES} or more: ulimit -n, or LimitNOFILE in the systemd unit.", why)


async def guard() -> list[Finding]:
    """Try, by the very client that people's requests leave through, to reach what it must refuse (A20, A21).

    A request that got through would ask for ``/`` and carry nothing.
    """
    http = Http()
    try:
        passed = [host for host in _FORBIDDEN if not await _is_refused(http, host)]
    finally:
        await http.close()
    if not passed:
        return [Finding("good", f"The address guard holds: {len(_FORBIDDEN)} forbidden addresses were refused.")]
    why = "People could send the bot to this machine's neighbours, or have it read a cloud's keys for them."
    cure = "Do not run this installation; install omnibot anew, and its libraries in the versions that it names."
    return [Finding("wrong", f"The address guard lets the bot go to {', '.join(passed)}.", cure, why)]


async def _is_refused(http: Http, host: str) -> bool:
    url = f"https://{host}:9999/"
    try:
        await http.send(
            Request("GET", url), origins=frozenset({origin_of(url)}), private=False, timeout=_TRY_SECONDS, limit=1
        )
    except AddressRefused:
        return True
    except OmnibotError:
        return False  # it was tried: what came of it is no matter
    return False
