"""Staying linked: tokens are renewed, once and in time, and their owners hear of it when that is over.

Invariant: an account has one renewal at a time, and no generation of its token is ever stored
over a newer one.  That a renewal is begun is durable before the provider is asked (the mark
`Account.refreshing`); so what a crash interrupts is taken up at the next start, once, with the
refresh token there is.  Only ``invalid_grant`` or ``invalid_token`` ends a link (A46).
Everything else is put off, with jitter, for the account; and for its instance, as far as the
background is concerned.

The token is opened under a grant of its own, for the upkeep of the one account: whoever waits
for a renewal, be it nobody, lends it no right.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from omnibot import accounts, oauth
from omnibot.accounts import Account
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.database import Database, Row
from omnibot.delivery import Delivery
from omnibot.errors import AddressRefused, OAuthError, OmnibotError, StorageTrouble, Upstream, UserError, VaultError
from omnibot.markup import escape
from omnibot.message import Reply
from omnibot.people import People
from omnibot.provider import Instance, Token
from omnibot.tally import Tally, service_label
from omnibot.trouble import trouble, without_echo
from omnibot.vault import Grants, Opener, Sealer
from omnibot.wire import Sender, origin_of

log = logging.getLogger(__name__)

_SKEW = 30.0
"""Seconds before its expiry in which a token is renewed rather than sent."""

_EVERY = 15.0
"""Seconds between two looks at what there is to do."""

_AHEAD = 90.0
"""Seconds before its expiry in which the background renews a token that is in use; up to half as many more."""

_SHORT = 300.0
"""Seconds; tokens that live no longer are renewed by the commands that need them."""

_LATELY = 3600.0
_IDLE = 6 * 86400.0
"""Seconds after its expiry when a token that nobody used is renewed, lest its refresh token lapse of idleness."""

_IDLE_AT_ONCE = 20
"""Idle accounts begun at each look: a hundred thousand are spread over a day, also after a long pause of ours."""

_AT_ONCE = 4
"""Renewals that the background has under way at one instance."""

_PAGE = 200
_FIRST_PAUSE = 10.0
_LONGEST_PAUSE = 300.0
_FIRST_REST = 30.0
_LONGEST_REST = 1800.0

_NOTICE = 3 * 86400.0
_NOTICE_SHARE = 0.2
"""Of a token's lifetime, if that is less than `_NOTICE`: how long before its end its owner is told."""

_NO_NOTICE = 600.0
"""Seconds; what lives no longer ends without an announcement."""

_PATIENCE = 120.0
"""Seconds after a start in which words wait for their network to be ready, before they become a notice."""

_DEAD = frozenset({"invalid_grant", "invalid_token"})
_OURS = frozenset({"invalid_client", "unauthorized_client"})

_BEGUN = "SELECT id, provider, instance, status FROM accounts WHERE refreshing > 0"

_IDLE_ONES = """
SELECT rowid, id, provider, instance, expires FROM accounts
WHERE expires IS NOT NULL AND expires >= ? AND (expires, rowid) > (?, ?) AND expires <= ?
AND renewable = 1 AND status = 'active' ORDER BY expires, rowid LIMIT ?
"""

_ENDING_ONES = """
SELECT a.rowid, a.* FROM accounts a LEFT JOIN warnings w ON w.account = a.id AND w.expires = a.expires
WHERE a.expires IS NOT NULL AND a.expires >= ? AND (a.expires, a.rowid) > (?, ?) AND a.expires <= ?
AND a.renewable = 0 AND a.status = 'active' AND (w.account IS NULL OR a.expires <= ?)
ORDER BY a.expires, a.rowid LIMIT ?
"""

_WARNED = "INSERT INTO warnings (account, expires) VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET expires = ?"


@dataclass(slots=True)
class _Flight:
    """A renewal under way, and how many commands wait for it: they tell its outcome themselves."""

    task: asyncio.Task[Account | None]
    commands: int = 0


@dataclass(frozen=True, slots=True)
class _Pause:
    tries: int
    since: float
    until: float
    error: Upstream


@dataclass(frozen=True, slots=True)
class _Unkept:
    """A token that came in place of *account*'s, and is not stored; nothing of it is shown."""

    account: Account
    instance: Instance
    token: Token


class _Pauses:
    """When what failed may be tried again: longer each time, with jitter, and never before the service says."""

    def __init__(self, first: float, longest: float, clock: Callable[[], float]) -> None:
        self._first = first
        self._longest = longest
        self._clock = clock
        self._all: dict[str, _Pause] = {}

    def get(self, key: str) -> _Pause | None:
        """Return the pause that *key* is in now, if it is in one."""
        pause = self._all.get(key)
        return pause if pause is not None and pause.since <= self._clock() < pause.until else None

    def begin(self, key: str, error: Upstream) -> None:
        """Let *key* pause because of *error*."""
        before = self._all.get(key)
        tries = before.tries + 1 if before else 1
        pause = min(self._first * 2 ** min(tries - 1, 20), self._longest) * random.uniform(0.75, 1.25)  # noqa: S311
        now = self._clock()
        self._all[key] = _Pause(tries, now, now + max(pause, error.retry_after or 0.0), error)

    def end(self, key: str) -> None:
        """Forget that *key* ever failed."""
        self._all.pop(key, None)

    def prune(self) -> None:
        """Forget what has not been tried again for long."""
        old = self._clock() - 86400.0
        self._all = {key: pause for key, pause in self._all.items() if pause.until > old}


class Renewals:
    """Renews the tokens of all accounts: for commands when they need it, and ahead of them."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        opener: Opener,
        grants: Grants,
        people: People,
        instances: Instances,
        http: Sender,
        delivery: Delivery,
        audit: Audit,
        discard: Callable[[str, str, Token, str], Awaitable[None]],
        trusts: Callable[[str], bool],
        prefix: str = "!",
        clock: Callable[[], float] = time.time,
        tally: Tally | None = None,
    ) -> None:
        """Work on the rows of *database* with the vault's handles; count in *tally*.

        *discard* revokes what cannot be kept; *trusts* says whether a network is ready to be spoken on.
        """
        self._database = database
        self._sealer = sealer
        self._opener = opener
        self._grants = grants
        self._people = people
        self._instances = instances
        self._http = http
        self._delivery = delivery
        self._audit = audit
        self._discard = discard
        self._trusts = trusts
        self._tally = tally or Tally()
        self._prefix = prefix
        self._clock = clock
        self._flights: dict[str, _Flight] = {}
        self._pauses = _Pauses(_FIRST_PAUSE, _LONGEST_PAUSE, clock)
        self._rests = _Pauses(_FIRST_REST, _LONGEST_REST, clock)
        self._unkept: dict[str, _Unkept] = {}
        """What services gave and the disk has not taken yet: for some the only token that is good now."""

        self._begun: dict[str, str] = {}
        """Accounts whose renewal was begun and has not ended, with their instance's key."""

        self._used: dict[str, tuple[float, Account]] = {}
        """When a command last used an account, and the account as it was then."""

        self._lifetimes: dict[str, float] = {}
        """Seconds that the tokens of an instance live, as its last answer said."""

        self._blamed: set[str] = set()
        """Instances that refuse the bot's own client."""

        self._untold: dict[str, None] = {}
        """Broken accounts whose owners have not been told."""

        self._unreadable: set[str] = set()
        """Accounts whose rows somebody wrote to, as the log has it."""

        self._work: dict[str, asyncio.Task[None]] = {}
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._page = (0.0, 0)
        self._looked = 0.0
        self._started = clock()
        self._closing = False

    # -- for commands ------------------------------------------------------------------

    def due(self, account: Account) -> bool:
        """Whether the token of *account* has run out, or is about to; notes that a command uses it."""
        now = self._clock()
        self._used[account.id] = (now, account)
        return account.expires is not None and account.expires - _SKEW <= now

    async def fresh(self, account: Account) -> Account | None:
        """Return *account*, which is `due`, with a token that may be sent; None if a new link is needed.

        While the provider does not renew it, or nothing can be kept, a token that is still good goes on being used.

        Raises:
            Upstream: it has run out, and the provider does not renew it just now.
            StorageTrouble: it has run out, and what renewed it could not be kept.
        """
        over = account.expires is not None and account.expires <= self._clock()
        try:
            current = await self.renew(account) if account.renewable else account
        except (Upstream, StorageTrouble):
            if over:
                raise
            return account
        if current is None or current.renewable or current.generation > account.generation or not over:
            return current
        return await self.give_up(current, "expired")

    async def refused(self, account: Account) -> Account | None:
        """Return *account*, whose token was answered with 401, with a newer one; None if a new link is needed.

        Raises:
            Upstream: the provider does not renew it just now.
        """
        current = await self.renew(account)
        if current is not None and current.generation <= account.generation:
            return await self.give_up(current, "no_refresh_token")
        return current

    async def renew(self, account: Account) -> Account | None:
        """Return *account* with a token newer than its own; as it is if there is nothing to renew it by.

        None if a new link is needed.  One renewal at a time an account: whoever comes meanwhile
        shares it.  It goes on when those who wait are cancelled, since a rotated token that is not
        stored is lost.

        Raises:
            Upstream: the provider is out of order, or was a moment ago; the account stays as it is.
        """
        while True:
            flight = self._flights.get(account.id)
            if flight is None:
                pause = self._pauses.get(account.id)
                if pause is not None:
                    return await self._newer(account, pause)
                flight = self._begin(account)
            flight.commands += 1
            try:
                current = await asyncio.shield(flight.task)
            finally:
                flight.commands -= 1
            if current is None or current.generation > account.generation or not current.renewable:
                return current  # else whoever began it had an older token, which this one had replaced before

    async def give_up(self, account: Account, why: str) -> Account | None:
        """Mark *account* as one that the service no longer accepts; return it if it was renewed meanwhile.

        Its owner is told by the command that found out.
        """
        if account.id in self._flights:
            await asyncio.wait([self._flights[account.id].task])
        return await self._break(account, why, told=True)

    async def _newer(self, account: Account, pause: _Pause) -> Account | None:
        """Return what became of *account* if it was renewed nevertheless, else raise why that has to wait."""
        current = await accounts.get(self._database, self._sealer, account.id)
        if current is None or current.status != "active":
            return None
        if current.generation > account.generation:
            return current
        raise self._put_off(account, pause)

    def _put_off(self, account: Account, pause: _Pause) -> Upstream:
        left = pause.until - self._clock()
        title = escape(self._instances.get(account.provider, account.instance).title)
        text = f"{title} did not renew your login when I last asked. I ask again in {in_words(left)}: try then."
        return Upstream(text, status=pause.error.status, retry_after=left)

    # -- one renewal -------------------------------------------------------------------

    def _begin(self, account: Account) -> _Flight:
        name = f"renewal at {account.provider}@{account.instance}"
        flight = _Flight(asyncio.create_task(self._renew(account), name=name))
        self._flights[account.id] = flight
        flight.task.add_done_callback(partial(self._ended, account.id))
        return flight

    def _ended(self, account: str, task: asyncio.Task[Account | None]) -> None:
        del self._flights[account]
        if not task.cancelled() and task.exception() is not None:
            log.info("a renewal did not succeed: %s", type(task.exception()).__name__)

    async def _renew(self, account: Account) -> Account | None:
        instance = self._instances.get(account.provider, account.instance)
        try:
            current = await self._renewed(account, instance)
        except Upstream as error:
            self._count(instance, "put_off")
            self._pauses.begin(account.id, error)
            raise
        except Exception:
            self._count(instance, "failed")
            raise
        newer = current is not None and current.generation > account.generation
        self._count(instance, "over" if current is None else "renewed" if newer else "nothing_to_do")
        self._pauses.end(account.id)
        self._begun.pop(account.id, None)
        return current

    def _count(self, instance: Instance, outcome: str) -> None:
        self._tally.renewals.add(_service(instance), outcome)

    async def _renewed(self, account: Account, instance: Instance) -> Account | None:
        if (unkept := self._unkept.get(account.id)) is not None:
            return await self._keep_at_last(unkept)
        instance = await self._ready(instance)
        current, token = await self._mark(account, instance)
        if current is None or token is None:
            return current
        self._begun[account.id] = instance.key
        try:
            fresh = await self._ask(instance, token)
        except OAuthError as error:
            if error.code in _DEAD:
                return await self._break(current, error.code, told=self._commands(account.id) > 0)
            raise self._refusal(instance, error.code) from None
        self._blamed.discard(instance.key)
        if fresh.expires is not None:
            self._lifetimes[instance.key] = fresh.expires - self._clock()
        unkept = self._unkept[account.id] = _Unkept(current, instance, fresh)
        return await self._keep_at_last(unkept)

    async def _keep_at_last(self, unkept: _Unkept) -> Account | None:
        """Store what a service gave; where the disk does not take it, it is tried again until it does.

        Raises:
            StorageTrouble: it does not.  The token is not used before it is stored, and not asked for again.
        """
        try:
            kept = await self._keep(unkept.account, unkept.instance, unkept.token)
        except StorageTrouble:
            raise
        except Exception:
            self._unkept.pop(unkept.account.id, None)
            raise
        self._unkept.pop(unkept.account.id, None)
        return kept

    async def _ready(self, instance: Instance) -> Instance:
        try:
            return await self._instances.ready(instance, self._http)
        except AddressRefused:
            raise self._refusal(instance, "address_refused") from None

    async def _mark(self, account: Account, instance: Instance) -> tuple[Account | None, Token | None]:
        """Write down that a renewal is begun; return the account and what to renew it by.

        Without a token there is nothing to do: the account is renewed already, gone, or cannot be.
        """
        token: Token | None = None
        async with self._database.transaction() as tx:
            current = await accounts.get(tx, self._sealer, account.id)
            if current is None or current.status != "active":
                return None, None
            if current.generation > account.generation:
                return current, None
            keys = await self._people.keys(tx, current.person)
            with self._grants.for_upkeep(current.person, current.id, "refresh") as grant:
                head = current.head(origin_of(instance.api))
                token = self._opener.open(grant, keys, current.id, head, current.token)
            begun = current.generation + 1 if token.refresh else 0
            current = replace(current, refreshing=begun, renewable=bool(token.refresh))
            await accounts.change(tx, self._sealer, current.id, lambda _: current)
        return current, token if token.refresh else None

    async def _ask(self, instance: Instance, token: Token) -> Token:
        """Return what the provider gives for *token*.

        Raises:
            OAuthError: it said no.
            Upstream: it did not say, or is out of order.
        """
        assert instance.server is not None, "a ready instance has a server"
        request = oauth.refresh_request(instance.server, instance.client, token, accept=instance.provider.accept)
        try:
            sending = self._http.send(request, origins=instance.origins, private=instance.by_operator)
            answer = await self._tally.requested(_service(instance), sending)
        except AddressRefused:
            raise OAuthError("address_refused") from None
        if answer.status == 429 or answer.status >= 500:  # whatever it says in this state is not about the grant (A46)
            raise trouble(instance, without_echo(answer, request))
        return oauth.read_token(answer, now=self._clock(), previous=token, path=instance.server.token_path)

    def _refusal(self, instance: Instance, code: str) -> Upstream:
        """Return what is said of a refusal that is not about the person's grant; some are the operator's to mend."""
        title = escape(instance.title)
        if code not in _OURS and code != "address_refused":
            log.warning("renewing a token at %s failed: %s", instance.key, code)
            return Upstream(f"{title} would not renew your login just now. Try again in a while.", status=400)
        if instance.key not in self._blamed:
            self._blamed.add(instance.key)
            log.error(
                "%s does not take this bot's own client (%s), so no login there can be renewed: "
                "look at its client_id, client_secret and addresses in the configuration.",
                instance.key,
                code,
            )
        return Upstream(
            f"{title} does not accept this bot itself just now, so your login cannot be renewed. "
            "That is for my operator to mend; you need not link again."
        )

    async def _keep(self, account: Account, instance: Instance, fresh: Token) -> Account | None:
        """Store *fresh*; if the account was unlinked meanwhile, hand it back."""
        kept: Account | None = None
        async with self._database.transaction() as tx:
            current = await accounts.get(tx, self._sealer, account.id)
            if current is not None and current.generation == account.generation:
                keys = await self._people.keys(tx, current.person)
                kept = replace(
                    current,
                    generation=current.generation + 1,
                    refreshing=0,
                    expires=fresh.expires,
                    scopes=current.scopes if fresh.scopes is None else fresh.scopes,
                    token=self._sealer.seal(keys.public_key, current.head(origin_of(instance.api)), fresh),
                    renewable=bool(fresh.refresh),
                )
                await accounts.change(tx, self._sealer, account.id, lambda _: kept)
        if kept is None:
            await self._discard(account.provider, account.instance, fresh, account.external)
        elif kept.id in self._used:
            self._used[kept.id] = (self._used[kept.id][0], kept)
        return kept

    async def _break(self, account: Account, why: str, *, told: bool) -> Account | None:
        """Mark *account* broken; return it as it is if it was renewed meanwhile (A46: the row is read again).

        Where its owner has not been *told*, its mark stays until they have.
        """
        broke = False

        def broken(current: Account) -> Account | None:
            nonlocal broke
            if current.status != "active" or current.generation > account.generation:
                return None
            broke = True
            return replace(current, status="broken", refreshing=0 if told else current.generation + 1)

        async with self._database.transaction() as tx:
            await accounts.change(tx, self._sealer, account.id, broken)
            current = await accounts.get(tx, self._sealer, account.id)
        if broke:
            self._used.pop(account.id, None)
            self._begun.pop(account.id, None)
            self._audit.record(account.person, "", "account.broken", provider=account.provider, why=why)
            if not told:
                self._untold[account.id] = None
                self.tell()
        return current if current is not None and current.status == "active" else None

    def _commands(self, account: str) -> int:
        flight = self._flights.get(account)
        return flight.commands if flight is not None else 0

    # -- in the background -------------------------------------------------------------

    async def recover(self) -> None:
        """Learn which renewals an earlier process began and did not end, and whom it did not tell of their end."""
        for row in await self._database.read(_BEGUN):
            if row["status"] == "broken":
                self._untold[row["id"]] = None
            else:
                self._begun[row["id"]] = f"{row['provider']}@{row['instance']}"

    async def run(self) -> None:
        """Look every fifteen seconds or so, until cancelled."""
        self._started = self._clock()
        while True:
            try:
                await self.sweep()
            except StorageTrouble as error:
                log.debug("the renewals could not be looked after: %s", error)  # said once, where it happened
            except Exception:
                log.exception("the renewals could not be looked after")
            await asyncio.sleep(_EVERY * random.uniform(0.8, 1.2))  # noqa: S311

    async def sweep(self) -> None:
        """Begin what is due now; each instance's part goes on by itself, and holds up nobody else's."""
        if self._sealer.locked:
            return  # as the log said at the start
        now = self._clock()
        self._pauses.prune()
        self._rests.prune()
        self._used = {one: use for one, use in self._used.items() if use[0] > now - _LATELY}
        await self._end_what_ends(now)
        self.tell()
        wanted: dict[str, list[str]] = {}
        for account, key in [*self._begun.items(), *self._soon_over(now), *await self._idle(now)]:
            wanted.setdefault(key, []).append(account)
        for key, ones in wanted.items():
            if not (self._closing or key in self._work or self._rests.get(key)):
                self._spawn(self._work, key, self._renew_all(key, ones), f"renewals at {key}")

    async def settle(self) -> None:
        """Return when nothing is under way."""
        while under_way := self._under_way():
            await asyncio.wait(under_way)

    async def close(self) -> None:
        """Begin nothing more, and wait for the renewals under way: each has its own time limit."""
        self._closing = True
        for task in self._telling.values():
            task.cancel()
        await self.settle()
        try:
            for unkept in list(self._unkept.values()):
                await self._begin(unkept.account).task
        except StorageTrouble as error:
            log.error(
                "%d renewed tokens cannot be stored and are lost: after the start, whose service took the old one back "
                "is asked to link again. %s",
                len(self._unkept),
                error,
            )

    def _under_way(self) -> list[asyncio.Task[Any]]:
        return [*self._work.values(), *self._telling.values(), *(one.task for one in self._flights.values())]

    def _soon_over(self, now: float) -> Iterator[tuple[str, str]]:
        """Yield the accounts in use whose tokens are about to end, so that no command has to wait for new ones."""
        for _, account in self._used.values():
            key = f"{account.provider}@{account.instance}"
            ahead = _AHEAD * random.uniform(1.0, 1.5)  # noqa: S311 - those that were linked together need not renew so
            if account.expires is None or not account.renewable or account.expires - ahead > now:
                continue
            if self._lifetimes.get(key, _SHORT + 1) > _SHORT:
                yield account.id, key

    async def _idle(self, now: float) -> list[tuple[str, str]]:
        """Return the next accounts that nobody has used for long; a few at each look, and then from the beginning."""
        after, row = self._page
        values = (after, after, row, now - _IDLE, _IDLE_AT_ONCE)
        found = await self._database.read(_IDLE_ONES, values)
        last = found[-1] if len(found) == _IDLE_AT_ONCE else None
        self._page = (last["expires"], last["rowid"]) if last else (0.0, 0)
        return [(one["id"], f"{one['provider']}@{one['instance']}") for one in found]

    async def _renew_all(self, key: str, ones: Iterable[str]) -> None:
        """Renew *ones*, all of one instance, a few at a time; stop when it is out of order."""
        left = iter(dict.fromkeys(ones))
        await asyncio.gather(*(self._renew_some(key, left) for _ in range(_AT_ONCE)))

    async def _renew_some(self, key: str, left: Iterator[str]) -> None:
        for account in left:
            if self._closing or self._rests.get(key):
                return
            if self._pauses.get(account) is None:
                await self._renew_aside(key, account)

    async def _renew_aside(self, key: str, account_id: str) -> None:
        """Renew one account, for whoever will need it."""
        try:
            account = await accounts.get(self._database, self._sealer, account_id)
            if account is None or account.status != "active":
                self._drop(account_id)
                return
            flight = self._flights.get(account_id) or self._begin(account)
            await asyncio.shield(flight.task)
            self._rests.end(key)
        except Upstream as error:
            if error.status != 400 and self._rests.get(key) is None:  # 400 is about the one account
                self._rests.begin(key, error)
        except StorageTrouble:
            return  # the next look tries it again
        except (OmnibotError, LookupError) as error:  # of a row that was written to, or a service taken out
            self._drop(account_id)
            if isinstance(error, UserError):  # the latter: so it is with all accounts there
                if self._rests.get(key) is not None:
                    return
                self._rests.begin(key, Upstream(str(error)))
            self._warn(account_id, f"a token at {key} cannot be renewed", error)

    def _warn(self, account: str, what: str, error: Exception) -> None:
        """Say in the log *what* is wrong with *account*; of a row that cannot be read only once."""
        if account not in self._unreadable:
            log.warning("%s: %s", what, type(error).__name__)
        if isinstance(error, VaultError):
            self._unreadable.add(account)

    def _spawn(
        self, tasks: dict[str, asyncio.Task[None]], key: str, work: Coroutine[Any, Any, None], name: str
    ) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            del tasks[key]
            if not task.cancelled() and task.exception() is not None:
                log.error("%s failed", name, exc_info=task.exception())

        tasks[key] = asyncio.create_task(work, name=name)
        tasks[key].add_done_callback(ended)

    def _drop(self, account: str) -> None:
        self._begun.pop(account, None)
        self._used.pop(account, None)

    # -- what cannot be renewed --------------------------------------------------------

    async def _end_what_ends(self, now: float) -> None:
        """Announce the end of tokens that cannot be renewed, and mark those that have ended."""
        page = (self._looked, 0)
        while True:
            values = (page[0], *page, now + _NOTICE, now, _PAGE)
            found = await self._database.read(_ENDING_ONES, values)
            for row in found:
                await self._end_or_announce(row, now)
            if len(found) < _PAGE:
                break
            page = (found[-1]["expires"], found[-1]["rowid"])
        self._looked = now - _LATELY  # what is confirmed late may have ended before it became active

    async def _end_or_announce(self, row: Row, now: float) -> None:
        try:
            account = accounts.from_row(self._sealer, row)
        except VaultError as error:
            self._warn(row["id"], "whether an account is about to end cannot be told", error)
            return
        assert account.expires is not None, "it was looked up by that"
        if account.expires <= now:
            await self._break(account, "expired", told=False)
        elif account.expires - notice_before(account) <= now and self._may_tell(account):
            reply, notice = Reply(self._announcement(account, now)), f"{account.id}:ending"
            async with self._database.transaction() as tx:  # before it is said: neither every minute, nor never
                await tx.execute(_WARNED, (account.id, account.expires, account.expires))
                await self._delivery.leave(tx, account.linked_by, reply, notice)
            self._delivery.aside(account.linked_by, reply, notice=notice)

    def _announcement(self, account: Account, now: float) -> str:
        assert account.expires is not None, "only what ends is announced"
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(account.expires))
        return (
            f"Your link to {self._name(account)} ends in {in_words(account.expires - now)}, at {when}, and I cannot "
            f"renew it without you. {self._link_again(account)}"
        )

    # -- telling -----------------------------------------------------------------------

    def _may_tell(self, account: Account) -> bool:
        """Whether the owner of *account* can be spoken to; after a start, networks need a while."""
        network = account.linked_by.network
        ready = self._delivery.adapter(network) is not None and self._trusts(network)
        return ready or self._clock() >= self._started + _PATIENCE

    def tell(self) -> None:
        """Tell the owners of accounts that broke by themselves, as far as their networks are ready."""
        for account in self._untold:
            if account not in self._telling and not self._closing:
                self._spawn(self._telling, account, self._tell(account), "telling of an end")

    async def _tell(self, account_id: str) -> None:
        """Tell the owner of a broken account, once: its mark goes when they have been told, or a notice is kept."""
        try:
            account = await accounts.get(self._database, self._sealer, account_id)
        except VaultError as error:
            log.warning("whose account has ended cannot be told: %s", type(error).__name__)
            self._untold.pop(account_id)
            return
        if account is None or account.status != "broken" or not account.refreshing:
            self._untold.pop(account_id)
        elif self._may_tell(account):
            self._untold.pop(account_id)
            key = f"ended:{account.id}:{account.generation}"
            try:
                await self._delivery.to_identity(account.linked_by, Reply(self._ending(account)), key=key)
            finally:  # who is cancelled has kept a notice
                await self._told(account)

    async def _told(self, account: Account) -> None:
        def told(current: Account) -> Account | None:
            return replace(current, refreshing=0) if current.status == "broken" else None

        async with self._database.transaction() as tx:
            await accounts.change(tx, self._sealer, account.id, told)

    def _ending(self, account: Account) -> str:
        ended = account.expires is not None and account.expires <= self._clock() and not account.renewable
        why = "has run out" if ended else "has ended: the service no longer accepts it"
        return f"Your link to {self._name(account)} {why}. {self._link_again(account)}"

    def _name(self, account: Account) -> str:
        try:
            title = self._instances.get(account.provider, account.instance).title
        except UserError:  # the operator took it out of the configuration
            title = f"{account.provider}@{account.instance}"
        return f"{escape(title)} as **{escape(account.login)}**"

    def _link_again(self, account: Account) -> str:
        try:
            instance = self._instances.get(account.provider, account.instance)
        except UserError:
            return "This bot no longer works with that service."
        service = account.provider if instance.name == "default" else instance.key
        return f"Please link again: `{self._prefix}link {service}`"


def _service(instance: Instance) -> str:
    return service_label(instance.key, by_operator=instance.by_operator)


def notice_before(account: Account) -> float:
    """Return how many seconds before its end the owner of *account* is told of it; 0 if it lives too short."""
    lifetime = (account.expires or 0.0) - account.created
    return min(_NOTICE, lifetime * _NOTICE_SHARE) if lifetime > _NO_NOTICE else 0.0


def in_words(seconds: float) -> str:
    """Return a span of time as people say it, in the largest unit of which there are two: ``36 hours``."""
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {name}"
    return f"{max(seconds, 1):.0f} seconds"
