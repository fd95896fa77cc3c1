"""Hosts that people name as an instance of a provider: asked for, allowed, refused.

Nobody's word but an admin's sends the bot, or anybody's browser, to a host that a person named:
until it is allowed there is no link, and no request goes there (A20, A22, A72).  Where the operator
wrote ``any``, only what an admin has refused is kept from people.

Invariant: a row counts only if its tag fits; a host whose row is not as we wrote it is one that
nobody has decided on.  All of them are kept in memory, and whoever writes one does it here.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.database import Database, Transaction
from omnibot.delivery import Delivery
from omnibot.errors import KeyMissing, Tampered, UserError
from omnibot.hostname import ascii_host, readable
from omnibot.identity import Identity
from omnibot.markup import code, escape, printable
from omnibot.message import Reply
from omnibot.vault import Sealer, Tagged

log = logging.getLogger(__name__)

type Status = Literal["asked", "allowed", "refused"]
type Decision = Literal["allowed", "refused"]
type _Key = tuple[str, str]

TABLE = Tagged("hosts", ("provider", "host"), ("status", "asked_by", "created"))

OPEN_SECONDS = 30 * 86400.0
"""How long an admin has to decide; after that it may be asked for anew."""

_MOST_OPEN = 5
_MOST_OPEN_IN_ALL = 200
_MOST_ASKERS = 20


@dataclass(frozen=True, slots=True)
class Host:
    """One host, and what is known of it."""

    provider: str
    host: str
    """In ASCII; see `omnibot.hostname`."""

    status: Status
    asked_by: tuple[Identity, ...]
    """Who is told of the decision, the first who asked first; empty once there is one."""

    created: float

    @property
    def name(self) -> str:
        """How it is written: ``redmine@redmine.example.org``."""
        return f"{self.provider}@{self.host}"


class Hosts:
    """The hosts of all providers of which people may name some."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        instances: Instances,
        delivery: Delivery,
        audit: Audit,
        admins: tuple[Identity, ...] = (),
        prefix: str = "!",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep them in *database*, tagged by *sealer*; *instances* heed them from now on, *admins* decide."""
        self._database = database
        self._sealer = sealer
        self._instances = instances
        self._delivery = delivery
        self._audit = audit
        self._admins = admins
        self._prefix = prefix
        self._clock = clock
        self._known: dict[_Key, Host] = {}
        self._told: set[_Key] = set()
        instances.heed(self.status)

    async def load(self) -> None:
        """Read what was asked and decided before."""
        for row in await self._database.read("SELECT * FROM hosts"):
            try:
                host = from_row(self._sealer, row)
            except KeyMissing:
                return  # said at the start, and nothing can be opened anyway
            except Tampered as error:
                log.error("a host that somebody named counts as unknown: %s", error)
                self._audit.record("", "", "vault.refused", table=error.table, why=type(error).__name__)
                continue
            self._known[host.provider, host.host] = host

    def status(self, provider: str, host: str) -> Status | None:
        """Return what was decided on *host*, or that it is asked for; None where nobody has asked."""
        found = self._known.get((provider, host))
        return found.status if found else None

    def all(self) -> list[Host]:
        """Return every host there is, oldest first."""
        return sorted(self._known.values(), key=lambda one: (one.created, one.name))

    # -- asking ------------------------------------------------------------------------

    async def admit(self, identity: Identity, provider: str, host: str) -> None:
        """Return if *provider* may be found at *host*, or was refused there; else ask the admins, for *identity*.

        The admins hear of a host once, however often and by however many it is asked for.

        Raises:
            UserError: an admin has to allow it first, or too much is asked already.
            KeyMissing: nothing can be stored.
        """
        if self._instances.at_hosts()[provider] == "any":
            return
        async with self._database.transaction() as tx:
            known = self._known.get((provider, host))
            if known is not None and known.status != "asked":
                return
            if known is None or self._has_lapsed(known):
                await self._check_room(tx, identity)
                asked = Host(provider, host, "asked", (identity,), self._clock())
            else:
                asked = _also_for(known, identity)
            if asked != known:
                await self._write(tx, asked)
        self._tell_admins(asked)
        again = code(f"{self._prefix}link {asked.name}")
        raise UserError(
            f"An admin of this bot has to allow {code(host)} first, and has been asked. I tell you when it is "
            f"decided; then say {again} again."
        )

    def _has_lapsed(self, host: Host) -> bool:
        return host.status == "asked" and host.created <= self._clock() - OPEN_SECONDS

    async def _check_room(self, tx: Transaction, identity: Identity) -> None:
        """Let the asks go that were never answered; refuse if too many of the others are open (A50)."""
        for one in [one for one in self._known.values() if self._has_lapsed(one)]:
            await self._delete(tx, one)
        waiting = [one for one in self._known.values() if one.status == "asked" and not self._has_lapsed(one)]
        if sum(identity == one.asked_by[0] for one in waiting if one.asked_by) >= _MOST_OPEN:
            raise UserError("You have named several servers that no admin has decided on yet. Wait for that.")
        if len(waiting) >= _MOST_OPEN_IN_ALL:
            raise UserError("Too many servers wait for an admin's decision. Speak to this bot's operator.")

    def _tell_admins(self, asked: Host) -> None:
        """Tell the admins of a host; once in the life of this process, lest a crash have swallowed it."""
        if (asked.provider, asked.host) in self._told:
            return
        self._told.add((asked.provider, asked.host))
        who = asked.asked_by[0]
        self._audit.record("", who.network, "host.asked", provider=asked.provider, host=asked.host)
        if not self._admins:
            log.warning("somebody asks for %s; to decide: omnibot instances allow %s", asked.name, asked.name)
        reads = f", which reads {code(readable(asked.host))}" if readable(asked.host) else ""
        text = (
            f"{escape(printable(f'{who.name} ({who})'))} would like to link {escape(asked.provider)} at "
            f"{code(asked.host)}{reads}. I do not go there before you allow it. If you know whose it is, say "
            f"{code(f'omnibot instances allow {asked.name}')} on my machine; if not, "
            f"{code(f'omnibot instances refuse {asked.name}')}."
        )
        for admin in self._admins:
            self._delivery.aside(admin, Reply(text))

    # -- deciding ----------------------------------------------------------------------

    async def decide(self, named: str, decision: Decision) -> Host:
        """Carry out an admin's *decision* on the host *named*, ``provider@host`` or a host alone; tell who asked.

        Raises:
            UserError: it is no host, or it is not clear of which provider.
            KeyMissing: nothing can be stored.
        """
        provider, host = self._meant(named)
        async with self._database.transaction() as tx:
            known = self._known.get((provider, host))
            decided = Host(provider, host, decision, (), known.created if known else self._clock())
            await self._write(tx, decided)
        self._told.discard((provider, host))
        self._audit.record("", "", f"host.{decision}", provider=provider, host=host)
        for one in known.asked_by if known else ():
            self._delivery.aside(one, Reply(self._news(decided)))
        return decided

    def _news(self, decided: Host) -> str:
        if decided.status == "allowed":
            return f"{code(decided.host)} is allowed now: say {code(f'{self._prefix}link {decided.name}')} to link it."
        return f"An admin of this bot has refused {code(decided.host)}, so I do not go there."

    def _meant(self, named: str) -> _Key:
        provider, at, said = named.strip().rpartition("@")
        try:
            host = ascii_host(said)
        except ValueError:
            raise UserError(f'"{printable(said)}" is not a host. Write it alone: redmine.example.org') from None
        takes = sorted(self._instances.at_hosts())
        if not takes:
            raise UserError(
                "People may name servers of no service here. `instances: ask` lets them (docs/operating.md)."
            )
        asked = [one.provider for one in self.all() if one.host == host and one.provider in takes]
        meant = [provider.lower()] if at else asked or takes
        if len(meant) > 1:
            names = ", ".join(f"{one}@{host}" for one in meant)
            raise UserError(f"Which one? {names}")
        if meant[0] not in takes:
            raise UserError(f'People may name no servers of "{printable(provider)}". They may of: {", ".join(takes)}.')
        return meant[0], host

    # -- rows --------------------------------------------------------------------------

    async def forget(self, tx: Transaction, identity: Identity) -> None:
        """Take *identity* out of what is asked for, inside *tx*; what nobody else asks for is asked for no more."""
        for one in [one for one in self._known.values() if identity in one.asked_by]:
            rest = tuple(other for other in one.asked_by if other != identity)
            await (self._write(tx, replace(one, asked_by=rest)) if rest else self._delete(tx, one))

    async def _write(self, tx: Transaction, host: Host) -> None:
        row = self._sealer.stamp(TABLE, to_row(host))
        await self._drop(tx, host)  # also one that was not as we wrote it, and counts for nothing
        await tx.insert("hosts", row)
        tx.after_commit(partial(self._note, host, there=True))

    async def _delete(self, tx: Transaction, host: Host) -> None:
        await self._drop(tx, host)
        tx.after_commit(partial(self._note, host, there=False))

    def _note(self, host: Host, *, there: bool) -> None:
        key = (host.provider, host.host)
        self._known.pop(key, None)
        if there:
            self._known[key] = host
        else:
            self._told.discard(key)

    async def _drop(self, tx: Transaction, host: Host) -> None:
        await tx.execute("DELETE FROM hosts WHERE provider = ? AND host = ?", (host.provider, host.host))


def to_row(host: Host) -> dict[str, Any]:
    """Return the columns of *host*, without its tag."""
    return {
        "provider": host.provider,
        "host": host.host,
        "status": host.status,
        "asked_by": json.dumps([[one.network, one.subject, one.epoch] for one in host.asked_by]),
        "created": host.created,
    }


def from_row(sealer: Sealer, row: Mapping[str, Any]) -> Host:
    """Return the host in *row*.

    Raises:
        KeyMissing, Tampered: the row is not as we wrote it.
    """
    sealer.check(TABLE, row)
    asked_by = tuple(Identity(*one) for one in json.loads(row["asked_by"]))
    return Host(row["provider"], row["host"], row["status"], asked_by, row["created"])


def _also_for(asked: Host, identity: Identity) -> Host:
    """Return *asked*, of whose decision *identity* is told as well."""
    if identity in asked.asked_by or len(asked.asked_by) >= _MOST_ASKERS:
        return asked
    return replace(asked, asked_by=(*asked.asked_by, identity))
