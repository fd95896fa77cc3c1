"""What the tests of `omnibot check` do with a configuration and its data."""

import sqlite3
from contextlib import closing
from pathlib import Path

from omnibot.demo.provider import DemoProvider
from omnibot.doctor import examine
from omnibot.testing.bench import Bench, Plan

OLD = """\
title: Old
scopes: {}
server: {authorize_url: "{base}/a", token_url: "{base}/t", pkce: none}
whoami: {path: /me, id: id, login: id}
"""


async def used(path: Path, provider: DemoProvider) -> Path:
    """Let a bot with the same key and data link an account; return its database."""
    key = path.parent / "omnibot.key"
    key.write_bytes((path.parent / "data" / "omnibot.key").read_bytes())
    key.chmod(0o600)
    async with Bench.open(Plan(path.parent, provider=provider)) as bench:
        await bench.link()
    return path.parent / "data" / "omnibot.db"


async def lines(path: Path, **options: bool) -> list[str]:
    """What `omnibot check` prints."""
    return [str(one) for one in await examine(path, {}, **options)]


def become(path: Path, text: str) -> None:
    """Let the configuration be *text*."""
    path.write_text(text, "utf-8")


def add(path: Path, text: str) -> None:
    """Let the configuration have *text* at its end."""
    become(path, path.read_text("utf-8") + text)


def write(database: Path, sql: str) -> None:
    """Change a database behind the bot's back."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(sql)
        connection.commit()


def spoil(database: Path, *, pages: int) -> None:
    """Write over the first cell of so many pages that have one, as a failing disk may."""
    data = bytearray(database.read_bytes())
    full = [page for page in range(4096, len(data), 4096) if data[page] == 13 and data[page + 4]]
    for page in full[:pages]:
        data[page + 8] = 0xFF  # the cell now begins outside of its page
    database.write_bytes(data)


def with_demo(path: Path, issuer: str, client: str = "client_id: omnibot") -> None:
    """Let the demo service at *issuer* be configured."""
    add(path, f"providers:\n  demo: {{{client}, issuer: '{issuer}'}}\n")
