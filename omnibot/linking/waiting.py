"""Messages that wait: parked until an account is linked.

Invariant: a row is deleted in the transaction just before its command starts; so what waits
starts at most once, and nothing that waits is lost before it started.  The message is
boxed, and the row tagged: nobody who writes to the database can put words into a mouth.
"""

import secrets

from omnibot.database import Transaction
from omnibot.errors import VaultError
from omnibot.linking.flows import Flow
from omnibot.message import Message, dump, load_message
from omnibot.vault import Sealer, Tagged

TABLE = Tagged("waiting", ("id",), ("flow", "network", "event", "message", "created"))


async def park(tx: Transaction, sealer: Sealer, flow: Flow, message: Message) -> None:
    """Let *message* wait for *flow*."""
    row = secrets.token_hex(16)
    waits = {
        "id": row,
        "flow": flow.id,
        "network": message.network,
        "event": message.id,
        "message": sealer.box(f"waiting:{row}", dump(message).encode()),
        "created": flow.created,
    }
    await tx.insert("waiting", sealer.stamp(TABLE, waits))


async def look(tx: Transaction, sealer: Sealer, flow: Flow) -> Message | None:
    """Return the message that waits for *flow*, without taking it.

    Raises:
        KeyMissing, Tampered, VaultError: the row is not as we wrote it.
    """
    rows = await tx.rows("SELECT * FROM waiting WHERE flow = ?", (flow.id,))
    if not rows:
        return None
    sealer.check(TABLE, rows[0])
    message = load_message(sealer.unbox(f"waiting:{rows[0]['id']}", rows[0]["message"]).decode())
    if message.speaker != flow.identity:
        raise VaultError("a parked message is not its flow's")
    return message


async def take(tx: Transaction, sealer: Sealer, flow: Flow) -> Message | None:
    """Return the message that waits for *flow*, its row deleted; None if none waits, or it is not as we wrote it."""
    try:
        message = await look(tx, sealer, flow)
    except VaultError:
        message = None
    await tx.execute("DELETE FROM waiting WHERE flow = ?", (flow.id,))
    return message
