"""The message that waits for a flow: parked until its account is linked.

Invariant: its row is deleted in the transaction just before its command starts; so it
starts at most once, and is not lost before it started.
"""

from omnibot.database import Database, Transaction
from omnibot.errors import VaultError
from omnibot.intake import boxed_row, unboxed
from omnibot.linking.flows import Flow
from omnibot.message import Message
from omnibot.vault import Sealer


async def park(tx: Transaction, sealer: Sealer, flow: Flow, message: Message) -> None:
    """Let *message* wait for *flow*."""
    await tx.insert("waiting", boxed_row(sealer, message, flow.id, flow.created))


async def look(source: Database | Transaction, sealer: Sealer, flow: Flow) -> Message | None:
    """Return the message that waits for *flow*, without taking it.

    Raises:
        KeyMissing, Tampered, VaultError: the row is not as we wrote it.
    """
    sql = "SELECT * FROM waiting WHERE flow = ?"
    rows = await source.rows(sql, (flow.id,))
    if not rows:
        return None
    message = unboxed(sealer, rows[0])
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
