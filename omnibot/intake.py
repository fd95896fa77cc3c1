"""What a redelivering network has handed over: durable, with its position, before it is acknowledged.

A network like Matrix gives messages again until it is told a position.  So the messages
that may run something and the position they came with are written in one transaction, and
a message's row is deleted just before its command starts: none is lost before it started,
none starts twice.  Networks that do not redeliver never come here.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from omnibot.database import Database, Transaction
from omnibot.errors import VaultError
from omnibot.message import Message, dump, load_message
from omnibot.vault import Sealer, Tagged

log = logging.getLogger(__name__)

RESTORED_AT = "omnibot.restored"
"""File of the data directory: when a backup was last put there, in Unix seconds."""

WAITING = Tagged("waiting", ("id",), ("flow", "network", "event", "message", "created"))
"""Also holds what is parked for a flow (`omnibot.linking.waiting`); there `flow` is not null."""


def boxed_row(sealer: Sealer, message: Message, flow: str | None, created: float) -> dict[str, object]:
    """Return a row of ``waiting`` for *message*: boxed and tagged, so that nobody can put words into a mouth.

    Raises:
        KeyMissing: there is no key to box it under.
    """
    row = secrets.token_hex(16)
    waits = {
        "id": row,
        "flow": flow,
        "network": message.network,
        "event": message.id,
        "message": sealer.box(f"waiting:{row}", dump(message).encode()),
        "created": created,
    }
    return sealer.stamp(WAITING, waits)


def unboxed(sealer: Sealer, row: dict[str, object]) -> Message:
    """Return the message in a *row* of ``waiting``.

    Raises:
        KeyMissing, Tampered, VaultError: the row is not as we wrote it.
    """
    sealer.check(WAITING, row)
    box = row["message"]
    assert isinstance(box, bytes)
    return load_message(sealer.unbox(f"waiting:{row['id']}", box).decode())


class Intake:
    """Keeps accepted messages until they start, and each network's position."""

    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], float] = time.time) -> None:
        """Keep them in *database*."""
        self._database = database
        self._sealer = sealer
        self._clock = clock

    async def position(self, network: str) -> str | None:
        """Return the position up to which *network* has been taken; None before the first."""
        rows = await self._database.read("SELECT position FROM positions WHERE network = ?", (network,))
        return str(rows[0]["position"]) if rows else None

    async def accept(self, network: str, messages: Sequence[Message], position: str) -> list[str | None]:
        """Make *messages* and *position* durable together; return the row of each message, None for one not kept.

        Without a key nothing can be kept, and the position alone is.
        """
        try:
            rows = [boxed_row(self._sealer, message, None, self._clock()) for message in messages]
        except VaultError as error:
            log.warning("messages of %s are not kept until they start: %s", network, error)
            rows = []
        async with self._database.transaction() as tx:
            if rows:
                await tx.insert("waiting", *rows)
            await tx.execute("INSERT OR REPLACE INTO positions (network, position) VALUES (?, ?)", (network, position))
        return [str(row["id"]) for row in rows] or [None] * len(messages)

    async def start(self, row: str) -> bool:
        """Delete *row* because its message starts now; return False if it has started before."""
        async with self._database.transaction() as tx:
            return await _delete(tx, row) > 0

    async def left(self, network: str) -> list[tuple[str, Message, float]]:
        """Return what *network* handed over and never started, oldest first: row, message, and when it came.

        What cannot be read is left out; it stays where it is, for the right key.
        """
        found = []
        sql = "SELECT * FROM waiting WHERE flow IS NULL AND network = ? ORDER BY created"
        for row in await self._database.read(sql, (network,)):
            try:
                found.append((str(row["id"]), unboxed(self._sealer, row), float(row["created"])))
            except VaultError as error:
                log.warning("a message that was accepted before the restart cannot be read: %s", error)
        return found


def restored_at(data_dir: Path) -> float:
    """Return when a backup was last restored to *data_dir*, in Unix seconds; 0 if never.

    What was said before that may have been acted on already, and no row says so any more.
    """
    path = data_dir / RESTORED_AT
    try:
        return float(path.read_text("ascii"))
    except FileNotFoundError:
        return 0.0
    except ValueError:
        return path.stat().st_mtime


async def _delete(tx: Transaction, row: str) -> int:
    return await tx.execute("DELETE FROM waiting WHERE id = ?", (row,))
