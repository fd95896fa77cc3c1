"""Getting words to people: to a room, or to one person and nobody else.

Invariant: what is meant for one person goes through `to_identity`, whose target an adapter
must reach alone or refuse.  A private reply that finds no way is kept, boxed, as a notice,
and given when that identity next speaks in private; it is never sent anywhere else instead.
"""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, replace
from functools import partial
from traceback import extract_tb

from omnibot.adapter import Adapter, Capabilities
from omnibot.database import Database, Transaction
from omnibot.errors import KeyMissing, NoPrivateWay, NotDelivered, NotSent, VaultError
from omnibot.identity import Identity
from omnibot.markup import fmt
from omnibot.message import Channel, File, Form, Link, Message, Private, Reply, Sent
from omnibot.tally import Tally
from omnibot.vault import Sealer

log = logging.getLogger(__name__)

NOTICE_SECONDS = 7 * 86400.0
_SEND_SECONDS = 10.0
_SIGN_SECONDS = 5.0
_PAUSES = (0.5, 2.0)
_MOST_KEPT = 10


_DROP_OLDEST = """
DELETE FROM notices WHERE id IN (
    SELECT id FROM notices WHERE network = ? AND subject = ? AND epoch = ? ORDER BY created DESC LIMIT -1 OFFSET ?
)
"""


class Delivery:
    """Knows the adapters by network; says things through them, again if need be."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        trusts: Callable[[str], bool] = lambda _: True,
        tally: Tally | None = None,
    ) -> None:
        """Keep notices in *database*, boxed by *sealer*; count what is said in *tally*."""
        self._replies = (tally or Tally()).replies
        self._database = database
        self._sealer = sealer
        self._clock = clock
        self._sleep = sleep
        self._trusts = trusts
        self._adapters: dict[str, Adapter] = {}
        self._waited_for: set[Identity] = set()
        self._telling: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Learn for whom something is kept from before."""
        rows = await self._database.read("SELECT DISTINCT network, subject, epoch FROM notices")
        self._waited_for = {Identity(row["network"], row["subject"], row["epoch"]) for row in rows}

    def keeps_for(self, identity: Identity) -> bool:
        """Whether something is kept for *identity*; asks no database."""
        return identity in self._waited_for

    def attach(self, network: str, adapter: Adapter) -> None:
        """Speak on *network* through *adapter*."""
        self._adapters[network] = adapter

    def adapter(self, network: str) -> Adapter | None:
        """Return the adapter of *network*, if it is configured."""
        return self._adapters.get(network)

    async def to_channel(self, channel: Channel, reply: Reply, key: str = "") -> Sent | None:
        """Say *reply* in *channel*; return None, and log why, if it did not go out.

        Whoever it answers there may open a private place, if something waits for them.
        """
        speaker = reply.answers.speaker if reply.answers is not None else None
        if not channel.private and isinstance(speaker, Identity) and self.keeps_for(speaker):
            reply = replace(reply, opens=speaker)
        try:
            return await self._send(channel.network, channel, reply, key)
        except NotSent as error:
            log.warning("a reply to %s was lost: %s", channel.network, error)
            return None

    async def to_identity(
        self,
        identity: Identity,
        reply: Reply,
        *,
        near: Message | None = None,
        key: str = "",
        keep: float = NOTICE_SECONDS,
        notice: str = "",
    ) -> Sent | None:
        """Say *reply* to *identity* alone; if there is no way now, keep it for *keep* seconds and return None.

        A kept one is called *notice*, and can be taken back by that name (`forget`).
        """
        until, row = self._clock() + keep, notice or secrets.token_hex(16)
        try:
            if near is None and not self._trusts(identity.network):  # somebody else may have that name there (A65)
                raise NoPrivateWay("the network is not known to be the one it was")
            return await self._send(identity.network, Private(identity, near), reply, key)
        except NotSent as error:
            log.info("a private reply on %s is kept: %s", identity.network, type(error).__name__)
        except asyncio.CancelledError:  # whoever waited does so no longer; what was to be said is not lost
            await self._keep(identity, reply, until, row)
            raise
        await self._keep(identity, reply, until, row)
        return None

    async def whisper(
        self, identity: Identity, reply: Reply, *, near: Message | None = None, key: str = ""
    ) -> Sent | None:
        """Say *reply* to *identity* alone; return None, and keep nothing, if there is no way now."""
        if not self._trusts(identity.network):
            return None
        try:
            return await self._send(identity.network, Private(identity, near), reply, key)
        except NotSent as error:
            log.debug("a private reply on %s found no way: %s", identity.network, type(error).__name__)
            return None

    def edit_every(self, network: str) -> float | None:
        """Return the seconds to let pass between two edits of one message on *network*; None if it has no edits."""
        adapter = self._adapters.get(network)
        return adapter.limits.edit_every if adapter is not None and adapter.capabilities.edit else None

    async def edit(self, sent: Sent, reply: Reply) -> Sent | None:
        """Change what was *sent* into *reply*; return None if it stays as it is.

        Whether a private message still has one reader only is the adapter's to see, as in sending.
        """
        adapter = self._adapters.get(sent.network)
        if adapter is None or not adapter.capabilities.edit:  # without, it would be said anew where nobody looked
            return None
        if not self._trusts(sent.network):  # its name for a message may be another's there (A65)
            return None
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                return await adapter.edit(sent, reply)
        except (NotSent, TimeoutError) as error:
            log.debug("a message on %s was not changed: %s", sent.network, type(error).__name__)
        except Exception as error:  # noqa: BLE001 - another's code: whatever it raises is a message not changed
            where = " < ".join(f"{line.name}:{line.lineno}" for line in extract_tb(error.__traceback__)[-3:])
            log.error("the adapter of %s failed to edit: %s at %s", sent.network, type(error).__name__, where)
        return None

    def aside(self, identity: Identity, reply: Reply, *, notice: str = "") -> None:
        """Say *reply* to *identity* alone, or keep it, without anybody waiting for the network.

        Once it is said, what was left as *notice* goes.
        """
        task = asyncio.create_task(self._aside(identity, reply, notice), name=f"telling on {identity.network}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def settle(self) -> None:
        """Return when all that was said aside has gone out or is kept."""
        while self._telling:
            await asyncio.wait(self._telling)

    async def close(self) -> None:
        """Stop telling; what has not gone out is kept."""
        await asyncio.sleep(0)  # what has not begun would be cancelled before it could keep anything
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Return whether *identity* can read *channel* now; False where the network does not say."""
        return await self._ask(channel.network, lambda adapter: adapter.present(identity, channel))

    async def retract(self, message: Message) -> bool:
        """Remove somebody's *message* from its room; return whether it is gone."""
        return await self._ask(message.network, lambda adapter: adapter.retract(message))

    def has_forms(self, network: str) -> bool:
        """Return whether *network* has forms, which keep no record of what is typed."""
        adapter = self._adapters.get(network)
        return adapter is not None and adapter.capabilities.form

    def has_typing(self, network: str) -> bool:
        """Return whether *network* has a sign that an answer is being made."""
        adapter = self._adapters.get(network)
        return adapter is not None and adapter.capabilities.typing

    async def typing(self, channel: Channel) -> None:
        """Show that an answer is being made, where the network has such a sign."""
        await self._ask(channel.network, lambda adapter: adapter.typing(channel))

    async def _ask(self, network: str, call: Callable[[Adapter], Awaitable[bool | None]]) -> bool:
        """Return what *call* says of the adapter of *network*; False if it fails, or takes too long."""
        adapter = self._adapters.get(network)
        if adapter is None:
            return False
        try:
            async with asyncio.timeout(_SIGN_SECONDS):
                return bool(await call(adapter))
        except Exception as error:  # noqa: BLE001 - a sign or a question that fails must not end a command
            log.debug("the adapter of %s did not answer: %s", network, type(error).__name__)
            return False

    async def _aside(self, identity: Identity, reply: Reply, notice: str) -> None:
        if await self.to_identity(identity, reply, notice=notice) and notice:
            async with self._database.transaction() as tx:
                await self.forget(tx, notice)

    def reachable(self, identity: Identity) -> None:
        """Say to *identity*, who has not spoken, what could not be said before; nobody waits for it."""
        if self.keeps_for(identity) and self._trusts(identity.network):
            task = asyncio.create_task(self.give_notices(None, identity), name=f"notices on {identity.network}")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def give_notices(self, message: Message | None, identity: Identity) -> None:
        """Say to *identity*, who speaks in private with *message* or can be reached, what could not be said before."""
        self._waited_for.discard(identity)
        for row in await self._kept(identity):
            try:
                reply = self._open(identity, row["id"], row["body"])
            except KeyMissing:
                return  # it stays until its key is back
            if reply is not None and not await self._said(identity, reply, message, str(row["id"])):
                self._waited_for.add(identity)
                return
            async with self._database.transaction() as tx:
                await tx.execute("DELETE FROM notices WHERE id = ?", (row["id"],))

    async def leave(self, tx: Transaction, identity: Identity, reply: Reply, notice: str) -> None:
        """Keep *reply*, which is about to be said `aside`, inside *tx* under that name.

        What *tx* does is then told also if this process dies before it could be: when they next speak.
        """
        body = self._boxed(identity, reply, notice)
        if body is not None:
            await self._insert(tx, identity, body, self._clock() + NOTICE_SECONDS, notice)

    async def forget(self, tx: Transaction, notice: str) -> None:
        """Take back, inside *tx*, what is kept under that name: it is no longer true."""
        await tx.execute("DELETE FROM notices WHERE id = ?", (notice,))

    async def forget_all(self, tx: Transaction, identity: Identity) -> None:
        """Drop, inside *tx*, whatever is kept for *identity*."""
        where = (identity.network, identity.subject, identity.epoch)
        await tx.execute("DELETE FROM notices WHERE network = ? AND subject = ? AND epoch = ?", where)
        tx.after_commit(partial(self._waited_for.discard, identity))

    async def keeps(self, tx: Transaction, notice: str) -> bool:
        """Return whether something is kept under that name."""
        return bool(await tx.rows("SELECT 1 FROM notices WHERE id = ?", (notice,)))

    async def sweep(self) -> None:
        """Drop the notices that have been kept long enough."""
        async with self._database.transaction() as tx:
            await tx.sweep("DELETE FROM notices WHERE until <= ?", (self._clock(),))

    async def _said(self, identity: Identity, reply: Reply, near: Message | None, key: str) -> bool:
        try:
            await self._send(identity.network, Private(identity, near), reply, key)
        except NotSent:
            return False
        return True

    async def _send(self, network: str, to: Channel | Private, reply: Reply, key: str) -> Sent:
        try:
            sent = await self._try(network, to, reply, key)
        except NotSent as error:
            self._replies.add(network, "no_private_way" if isinstance(error, NoPrivateWay) else "failed")
            raise
        self._replies.add(network, "sent")
        return sent

    async def _try(self, network: str, to: Channel | Private, reply: Reply, key: str) -> Sent:
        adapter = self._adapters.get(network)
        if adapter is None:
            raise NotDelivered(f"no network is called {network}", retryable=False)
        if reply.file is not None and not _shows(adapter.capabilities, reply.file):
            reply = _without_file(reply, reply.file)
        key = key or secrets.token_hex(8)
        for pause in (*_PAUSES, None):
            try:
                async with asyncio.timeout(_SEND_SECONDS):
                    return await adapter.send(to, reply, key)
            except NoPrivateWay:
                raise
            except (NotDelivered, TimeoutError) as error:
                if pause is None or not getattr(error, "retryable", True):
                    raise NotDelivered(str(error) or "the network took too long", retryable=False) from None
                await self._sleep(pause)
            except Exception as error:  # noqa: BLE001 - another's code: whatever it raises is a reply not sent
                where = " < ".join(f"{line.name}:{line.lineno}" for line in extract_tb(error.__traceback__)[-3:])
                log.error("the adapter of %s failed to send: %s at %s", network, type(error).__name__, where)
                raise NotDelivered(type(error).__name__, retryable=False) from None
        raise AssertionError("the last pause is None")

    async def _kept(self, identity: Identity) -> list[dict[str, object]]:
        return await self._database.rows(
            "SELECT id, body FROM notices WHERE network = ? AND subject = ? AND epoch = ? AND until > ? "
            "ORDER BY created",
            (identity.network, identity.subject, identity.epoch, self._clock()),
        )

    async def _keep(self, identity: Identity, reply: Reply, until: float, row: str) -> None:
        """Keep *reply*, to the end also if whoever waits for that is cancelled meanwhile."""
        keeping = asyncio.ensure_future(self._write(identity, reply, until, row))
        try:
            await asyncio.shield(keeping)
        except asyncio.CancelledError:
            await asyncio.wait([keeping])
            raise

    async def _write(self, identity: Identity, reply: Reply, until: float, row: str) -> None:
        body = self._boxed(identity, reply, row)
        if body is not None:
            async with self._database.transaction() as tx:
                tx.after_commit(partial(self._waited_for.add, identity))
                await self._insert(tx, identity, body, until, row)

    def _boxed(self, identity: Identity, reply: Reply, row: str) -> bytes | None:
        try:
            return self._sealer.box(notice_purpose(identity, row), _dump(reply))
        except VaultError:
            log.warning("a private reply on %s is lost: there is no key to keep it under", identity.network)
            return None

    async def _insert(self, tx: Transaction, identity: Identity, body: bytes, until: float, row: str) -> None:
        await self.forget(tx, row)
        await tx.execute(_DROP_OLDEST, (identity.network, identity.subject, identity.epoch, _MOST_KEPT - 1))
        await tx.insert(
            "notices",
            {
                "id": row,
                "network": identity.network,
                "subject": identity.subject,
                "epoch": identity.epoch,
                "body": body,
                "until": until,
                "created": self._clock(),
                "key_id": body[:4].hex(),
            },
        )

    def _open(self, identity: Identity, row: object, body: object) -> Reply | None:
        assert isinstance(body, bytes)
        try:
            raw = json.loads(self._sealer.unbox(notice_purpose(identity, row), body))
        except KeyMissing:
            raise
        except VaultError:
            log.warning("a kept notice cannot be opened and is dropped")
            return None
        link, form = raw["link"], raw.get("form")
        return Reply(
            raw["text"], tuple(raw["choices"]), Link(*link) if link else None, form=Form(*form) if form else None
        )


def notice_purpose(identity: Identity, row: object) -> str:
    """Name the one whom a notice is for in its box, or whoever can write to the database could read it to another."""
    return f"notice:{row}:" + json.dumps([identity.network, identity.subject, identity.epoch])


def _shows(network: Capabilities, file: File) -> bool:
    return network.file or (network.image and file.is_picture)


def _without_file(reply: Reply, file: File) -> Reply:
    """Return *reply* with words in place of *file*."""
    words = fmt("(A file that I cannot show you here: {}, {} kB.)", file.name, f"{len(file.data) / 1000:.1f}")
    return replace(reply, text=f"{reply.text}\n\n{words}".strip(), file=None)


def _dump(reply: Reply) -> bytes:
    """Return *reply* as it is kept: a file is only told of, for it may be large."""
    reply = reply if reply.file is None else _without_file(reply, reply.file)
    link = [reply.link.label, reply.link.url] if reply.link else None
    form = astuple(reply.form) if reply.form else None
    return json.dumps({"text": reply.text, "choices": reply.choices, "link": link, "form": form}).encode()
