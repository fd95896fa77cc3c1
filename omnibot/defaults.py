"""Which account or instance is meant in one channel, where nobody says which.

A person's own choice there goes before the channel's, and names one of their accounts by its
alias, which a relink keeps.  A channel's choice, made by an admin, names an instance, so that
``!redmine create`` in #dev lands in the team's own tracker, whoever says it.  Neither lets
anybody use what is not theirs: they only choose among what is.

All of them are kept in memory, checked as they were read; whoever writes one tells it here.
"""

import logging
import secrets
from collections.abc import Callable
from functools import partial

from omnibot.database import Database, Transaction
from omnibot.errors import VaultError
from omnibot.message import Channel
from omnibot.vault import Sealer, Tagged

log = logging.getLogger(__name__)

TABLE = Tagged("defaults", ("id",), ("person", "network", "channel", "provider", "target"))

type _Key = tuple[str | None, str, str, str]


class Defaults:
    """The choices of all channels."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        """Keep them in *database*, tagged by *sealer*."""
        self._database = database
        self._sealer = sealer
        self._known: dict[_Key, str] = {}

    async def load(self) -> None:
        """Read what was chosen before; a row that is not as we wrote it counts for nothing."""
        for row in await self._database.read("SELECT * FROM defaults"):
            try:
                self._sealer.check(TABLE, row)
            except VaultError as error:
                log.error("a channel's default is ignored: %s", error)
                continue
            self._known[row["person"], row["network"], row["channel"], row["provider"]] = row["target"]

    def account(self, person: str, channel: Channel, provider: str) -> str:
        """Return the alias that *person* chose at *provider* for *channel*; empty if they chose none."""
        return self._known.get((person, channel.network, channel.id, provider), "")

    def instance(self, channel: Channel, provider: str) -> str:
        """Return the instance of *provider* that *channel* is about; empty if it is about none."""
        return self._known.get((None, channel.network, channel.id, provider), "")

    async def choose(self, person: str | None, channel: Channel, provider: str, target: str) -> None:
        """Let *provider* mean *target* in *channel*: for *person*, or for everybody; an empty one means nothing again.

        Raises:
            KeyMissing: nothing can be stored.
        """
        key = (person, channel.network, channel.id, provider)
        names = ("person", "network", "channel", "provider")
        row = {"id": secrets.token_hex(16), **dict(zip(names, key, strict=True)), "target": target}
        async with self._database.transaction() as tx:
            await tx.execute(
                "DELETE FROM defaults WHERE person IS ? AND network = ? AND channel = ? AND provider = ?", key
            )
            if target:
                await tx.insert("defaults", self._sealer.stamp(TABLE, row))
            tx.after_commit(lambda: self._note(key, target))

    async def hand_over(self, tx: Transaction, person: str, heir: str, which: Callable[[_Key, str], str]) -> None:
        """Let choices of *person* be those of *heir*, inside *tx*: with the target that *which* gives, if it gives one.

        What *heir* has chosen for a place counts before it.

        Raises:
            KeyMissing, Tampered: one of the rows is not as we wrote it.
        """
        for row in await tx.rows("SELECT * FROM defaults WHERE person = ?", (person,)):
            self._sealer.check(TABLE, row)
            key = (person, row["network"], row["channel"], row["provider"])
            theirs, target = (heir, *key[1:]), which(key, row["target"])
            if not target:
                continue
            if theirs in self._known:
                await tx.execute("DELETE FROM defaults WHERE id = ?", (row["id"],))
            else:
                moved = {"id": row["id"], **dict(zip(TABLE.covered, (*theirs, target), strict=True))}
                await tx.update("defaults", TABLE.primary, self._sealer.stamp(TABLE, moved))
                tx.after_commit(partial(self._note, theirs, target))
            tx.after_commit(partial(self._note, key, ""))

    def _note(self, key: _Key, target: str) -> None:
        self._known.pop(key, None)
        if target:
            self._known[key] = target
