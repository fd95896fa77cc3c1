"""Taking accounts away: erased here at once, handed back upstream as soon as the provider listens.

Invariant: an account's row and its place in the queue change in one transaction.  A token
waits for its revocation under K_revoke, for a day at most, and then is dropped.  A token is
not handed back where that would cut a link that lives: the same account of the same
service, linked by us under another row (RFC 7009 section 2.1 lets a server end the grant).
"""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable

from omnibot import accounts, oauth
from omnibot.accounts import Account
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.database import Database, Transaction
from omnibot.errors import KeyMissing, OmnibotError, UserError, VaultError
from omnibot.linking import flows
from omnibot.people import People
from omnibot.provider import Instance, Token
from omnibot.vault import Grants, Opener, Revoker, Sealer
from omnibot.wire import Sender, origin_of

log = logging.getLogger(__name__)

_KEEP_SECONDS = 86400.0
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 3600.0


class Revoking:
    """Erases accounts, and works off the queue of tokens to revoke."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        opener: Opener,
        grants: Grants,
        revoker: Revoker,
        people: People,
        instances: Instances,
        http: Sender,
        audit: Audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Work on the rows of *database* with the vault's handles."""
        self._database = database
        self._sealer = sealer
        self._opener = opener
        self._grants = grants
        self._revoker = revoker
        self._people = people
        self._instances = instances
        self._http = http
        self._audit = audit
        self._clock = clock
        self._wake = asyncio.Event()

    async def erase(self, tx: Transaction, account: Account) -> None:
        """Erase *account* and queue its token, inside *tx*; call `kick` after its end.

        What cannot be opened is erased all the same.
        """
        try:
            instance = self._instances.get(account.provider, account.instance)
            if await self._may_revoke(tx, account, instance):
                await self._queue(tx, account, await self._token(tx, account, instance))
        except (VaultError, UserError, LookupError) as error:
            log.warning("a token was erased here and cannot be revoked upstream: %s", type(error).__name__)
        await flows.let_go(tx, self._sealer, account.id)
        await accounts.delete(tx, account.id)

    async def discard(self, provider: str, instance: str, token: Token) -> None:
        """Queue a *token* that was never stored."""
        async with self._database.transaction() as tx:
            await self._enqueue(tx, provider, instance, _which(self._instances.get(provider, instance), token))
        self.kick()

    def kick(self) -> None:
        """Let the queue be looked at now."""
        self._wake.set()

    async def run(self) -> None:
        """Work off the queue, until cancelled."""
        while True:
            try:
                pause = await self.work()
            except Exception:
                log.exception("the queue of revocations could not be worked off")
                pause = _LONGEST_PAUSE
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def work(self) -> float:
        """Try every revocation that is due; return the seconds until the next is."""
        rows = await self._database.read("SELECT * FROM revocations ORDER BY next_try")
        for row in rows:
            if row["next_try"] <= self._clock():
                await self._try(row)
        left = await self._database.read("SELECT min(next_try) AS next FROM revocations")
        following = left[0]["next"]
        return _LONGEST_PAUSE if following is None else max(0.0, min(following - self._clock(), _LONGEST_PAUSE))

    async def _may_revoke(self, tx: Transaction, account: Account, instance: Instance) -> bool:
        if instance.provider.revoke == "never":
            return False
        others = await accounts.of_external(tx, self._sealer, account)
        return not any(one.status in ("active", "held", "broken") for one in others)

    async def _token(self, tx: Transaction, account: Account, instance: Instance) -> str:
        keys = await self._people.keys(tx, account.person)
        head = account.head(origin_of(instance.api))
        with self._grants.for_upkeep(account.person, account.id, "revoke") as grant:
            return _which(instance, self._opener.open(grant, keys, account.id, head, account.token))

    async def _queue(self, tx: Transaction, account: Account, token: str) -> None:
        await self._enqueue(tx, account.provider, account.instance, token)

    async def _enqueue(self, tx: Transaction, provider: str, instance: str, token: str) -> None:
        row = secrets.token_hex(16)
        key_id, box = self._revoker.box(row, token)
        now = self._clock()
        await tx.insert(
            "revocations",
            {
                "id": row,
                "provider": provider,
                "instance": instance,
                "token": box,
                "next_try": now,
                "until": now + _KEEP_SECONDS,
                "tries": 0,
                "created": now,
                "key_id": key_id,
            },
        )

    async def _try(self, row: dict[str, object]) -> None:
        outcome = await self._revoke(row)
        now = self._clock()
        tries = int(str(row["tries"])) + 1
        if outcome == "later" and now < float(str(row["until"])):
            pause = min(_FIRST_PAUSE * 2**tries, _LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
            async with self._database.transaction() as tx:
                sql = "UPDATE revocations SET tries = ?, next_try = ? WHERE id = ?"
                await tx.execute(sql, (tries, now + pause, row["id"]))
            return
        async with self._database.transaction() as tx:
            await tx.execute("DELETE FROM revocations WHERE id = ?", (row["id"],))
        code = "dropped" if outcome == "later" else outcome
        self._audit.record("", "", "account.revoked", provider=str(row["provider"]), outcome=code)

    async def _revoke(self, row: dict[str, object]) -> str:
        """Return ``done``, ``later``, or why it will never work."""
        try:
            instance = await self._instances.ready(
                self._instances.get(str(row["provider"]), str(row["instance"])), self._http
            )
            box = row["token"]
            assert isinstance(box, bytes)
            token = self._revoker.unbox(str(row["id"]), box)
            if instance.server is None or not instance.server.revoke_url:
                return "unsupported"
            hint: oauth.Hint = "refresh_token" if instance.provider.revoke == "refresh" else "access_token"
            request = oauth.revoke_request(instance.server, instance.client, token, hint)
            answer = await self._http.send(request, origins=instance.origins, private=instance.by_operator)
        except OmnibotError as error:
            return "unreadable" if isinstance(error, VaultError) and not isinstance(error, KeyMissing) else "later"
        if answer.status == 429 or answer.status >= 500:  # RFC 7009 section 2.2.1: still alive, try again
            return "later"
        return "done" if answer.ok else f"refused_{answer.status}"


def _which(instance: Instance, token: Token) -> str:
    return token.refresh if instance.provider.revoke == "refresh" and token.refresh else token.access
