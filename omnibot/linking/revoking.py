"""Taking accounts away: erased here at once, handed back upstream as soon as the provider listens.

Invariant: an account's row and its place in the queue change in one transaction, and before it
commits the row's id is noted in the `Ledger`, so that no restored backup brings it back.  A
token waits for its revocation under K_revoke, for a day at most, and then is dropped.  A token
is not handed back where that would cut a link that lives: the same account of the same
service, linked by us under another row (RFC 7009 section 2.1 lets a server end the grant).

A token goes back as its service has it: at an RFC 7009 endpoint, or by a call of the service's
own, which the token itself signs.  Where there is neither, or where it is a key that its owner
made themselves, nobody is told that it went back.
"""

import asyncio
import json
import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Literal, cast

from omnibot import accounts, oauth
from omnibot.accounts import Account
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.database import Database, Row, Transaction
from omnibot.erased import Ledger
from omnibot.errors import KeyMissing, OmnibotError, StorageTrouble, UserError, VaultError
from omnibot.linking import flows
from omnibot.markup import escape, link
from omnibot.people import People
from omnibot.provider import Instance, RevokeRequest, Token
from omnibot.signers import BasicSigner, signer_of
from omnibot.tally import Tally
from omnibot.vault import Grants, Opener, Revoker, Sealer
from omnibot.wire import Answer, Request, Sender, origin_of

log = logging.getLogger(__name__)

_KEEP_SECONDS = 86400.0
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 3600.0


type Fate = Literal["queued", "kept", "shared", "lost"]
"""What becomes of the token of an erased account: it is handed back; the service has no way for that, or it is
its owner's own key; another link of the same account lives by the same grant; it cannot be opened."""

_LINKED_THERE = "SELECT 1 FROM accounts WHERE provider = ? AND instance = ? AND status IN ('active', 'held') {} LIMIT 1"


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
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        tally: Tally | None = None,
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
        self.ledger = ledger
        self._tally = tally or Tally()
        self._clock = clock
        self._working = asyncio.Lock()
        self._wake = asyncio.Event()

    async def erase(self, tx: Transaction, account: Account, *, again: bool = False) -> Fate:
        """Erase *account*, read in this *tx*, and queue its token.  What cannot be opened is erased all the same.

        With *again* it was erased before, and a backup has brought it back.
        """
        try:
            fate = await self._hand_back(tx, account, again)
        except (VaultError, UserError, LookupError) as error:
            log.warning("a token was erased here and cannot be revoked upstream: %s", type(error).__name__)
            fate = "lost"
        await self.drop(tx, account, again=again)
        return fate

    async def drop(self, tx: Transaction, account: Account, *, again: bool = False) -> None:
        """Erase *account*, read in this *tx*, and leave its token alone: another link has taken its place."""
        await flows.let_go(tx, self._sealer, account.id)
        await accounts.delete(tx, account.id, account.person)
        if account.status != "pending" and not again:  # what was pending could be used for nothing
            await self.ledger.note("account", account.id)

    async def discard(self, provider: str, instance: str, token: Token, external: str = "") -> None:
        """Queue a *token* that was never stored, of the account *external* at the service, if that is known.

        Not where it may be the same grant as a link that lives (A70): that of the same account, or of
        any, where it is not known whose token it is.
        """
        try:
            known = self._instances.get(provider, instance)
        except UserError:  # its host was refused just now: nothing goes there any more
            log.warning("a token of %s@%s cannot be handed back: it is not asked any more", provider, instance)
            return
        async with self._database.transaction() as tx:
            if not await tx.rows(*_linked_there(provider, instance, external)) and revocable(known):
                await self._enqueue(tx, known, token, external)

    def kick(self) -> None:
        """Let the queue be looked at now."""
        self._wake.set()

    async def run(self) -> None:
        """Work off the queue, until cancelled."""
        while True:
            try:
                pause = await self.work()
            except StorageTrouble as error:
                log.debug("the queue of revocations could not be worked off: %s", error)  # said once, where it happened
                pause = _LONGEST_PAUSE
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
        """Try every revocation that is due, each instance's by themselves; return the seconds until the next is.

        Whoever asks while others are at it waits, so that nothing is handed back twice.
        """
        async with self._working:
            return await self._work()

    async def _work(self) -> float:
        now = self._clock()
        due: dict[tuple[str, str], list[Row]] = {}
        for row in await self._database.read("SELECT * FROM revocations WHERE next_try <= ? ORDER BY next_try", (now,)):
            due.setdefault((row["provider"], row["instance"]), []).append(row)
        await asyncio.gather(*(self._work_off(rows) for rows in due.values()))
        left = await self._database.read("SELECT min(next_try) AS next FROM revocations")
        following = left[0]["next"]
        # Never at once again: what could not be tried, nor put off, is due still.
        return _LONGEST_PAUSE if following is None else max(1.0, min(following - self._clock(), _LONGEST_PAUSE))

    async def _work_off(self, rows: list[Row]) -> None:
        for row in rows:
            try:
                await self._try(row)
            except Exception as error:  # noqa: BLE001 - one row must not hold up the others
                log.error("a revocation could not be tried: %s", type(error).__name__)

    async def _hand_back(self, tx: Transaction, account: Account, again: bool) -> Fate:
        """Queue the token of *account*, if that is what becomes of it.

        Raises:
            VaultError, UserError, LookupError: it cannot be opened.
        """
        instance = self._instances.get(account.provider, account.instance)
        if not revocable(instance, by_key=account.by_key):
            return "kept"
        others = await accounts.of_external(tx, self._sealer, account)
        # Again: a crash came before the heir to its grant was made active, and that waits for its code still.
        if any(one.status in ("active", "held") or again for one in others):
            return "shared"
        await self._enqueue(tx, instance, await self._token(tx, account, instance), account.external)
        return "queued"

    async def _token(self, tx: Transaction, account: Account, instance: Instance) -> Token:
        keys = await self._people.keys(tx, account.person)
        head = account.head(origin_of(instance.api))
        with self._grants.for_upkeep(account.person, account.id, "revoke") as grant:
            return self._opener.open(grant, keys, account.id, head, account.token)

    async def _enqueue(self, tx: Transaction, instance: Instance, token: Token, external: str) -> None:
        row, now = secrets.token_hex(16), self._clock()
        value, hint = to_hand_back(instance, token)
        box = self._revoker.box(revocation_purpose(row, instance), json.dumps([hint, value, external, token.secret]))
        queued = {
            "id": row,
            "provider": instance.provider.name,
            "instance": instance.name,
            "token": box,
            "next_try": now,
            "until": now + _KEEP_SECONDS,
            "tries": 0,
            "created": now,
            "key_id": box[:4].hex(),
        }
        await tx.insert("revocations", queued)
        tx.after_commit(self.kick)

    async def _try(self, row: Row) -> None:
        outcome = await self._revoke(row)
        now, tries = self._clock(), row["tries"] + 1
        if outcome == "later" and now < row["until"]:
            pause = min(_FIRST_PAUSE * 2 ** min(tries, 10), _LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311
            async with self._database.transaction() as tx:
                sql = "UPDATE revocations SET tries = ?, next_try = ? WHERE id = ?"
                await tx.execute(sql, (tries, now + pause, row["id"]))
            return
        async with self._database.transaction() as tx:
            await tx.execute("DELETE FROM revocations WHERE id = ?", (row["id"],))
        code = "dropped" if outcome == "later" else outcome
        self._audit.record("", "", "account.revoked", provider=row["provider"], outcome=code)
        self._tally.revocations.add(self._instances.label(row["provider"], row["instance"]), code.replace(" ", "_"))

    async def _revoke(self, row: Row) -> str:
        """Return ``done``, ``later``, or why it will never work."""
        try:
            known = self._instances.get(row["provider"], row["instance"])
            opened = self._revoker.unbox(revocation_purpose(row["id"], known), row["token"])
            hint, value, external, *secret = json.loads(opened)  # of OAuth 1.0a, which came later
            instance = await self._instances.ready(known, self._http)
            if not revocable(instance):
                return "unsupported"
            there = _linked_there(row["provider"], row["instance"], external)
            if await self._database.rows(*there):  # linked again since (A70)
                return "linked again"
            token = Token(value, secret="".join(secret))
            return await hand_back(self._http, instance, token, cast("oauth.Hint", hint))
        except OmnibotError as error:
            return "unreadable" if isinstance(error, VaultError) and not isinstance(error, KeyMissing) else "later"
        except ValueError:  # no header can carry it: it was never good for anything
            return "unreadable"


async def hand_back(http: Sender, instance: Instance, token: Token, hint: oauth.Hint) -> str:
    """Hand *token* back to its service; return ``done``, ``later``, ``refused`` or ``unsupported``.

    What goes back is the *access* value of *token*, though *hint* may say that it is a refresh token: it is one of
    the two that `to_hand_back` chose.

    Raises:
        OmnibotError: the service did not answer.
        ValueError: no header can carry the token.
    """
    own = instance.revoke_request
    if own is not None and hint == "access_token":
        return await _by_own_call(http, instance, own, token)
    if instance.server is None or not instance.server.revoke_url:
        return "unsupported"
    request = oauth.revoke_request(instance.server, instance.client, token.access, hint)
    answer = await http.send(request, origins=instance.origins, private=instance.by_operator)
    strange = instance.registers and answer.status in (401, 403)  # it was handed out to an earlier client of ours
    if answer.status == 400 or strange:  # RFC 7009 section 2.2.1: asking again would not help
        return "refused"
    return "done" if answer.ok else "later"


async def _by_own_call(http: Sender, instance: Instance, own: RevokeRequest, token: Token) -> str:
    """Let *token* end by the service's *own* request, filled with what whoami says of it where it wants that.

    Raises:
        OmnibotError: the service did not answer.
    """
    said: dict[str, object] = {"client_id": instance.client.client_id}
    if own.asks_whoami:
        answer = await _signed(http, instance, instance.whoami, token, instance.origins)
        if answer.status in (401, 403):
            return "done"  # it was dead before
        if _in_trouble(answer):
            return "later"
        said |= (oauth.json_object(answer.body) or {}) if answer.ok else {}
    path = own.filled(said)
    if path is None:
        log.warning("whoami of %s does not say what its revoke_request needs", instance.key)
        return "unsupported"
    body = json.dumps({name: one.replace("{token}", token.access) for name, one in own.json}) if own.json else ""
    kind = {"Content-Type": "application/json"} if body else {}
    plain = Request(own.method, instance.api + path, {**instance.headers, **kind}, body.encode())
    only = frozenset({origin_of(instance.api)})
    if own.by == "client":
        answer = await _as_client(http, instance, plain, only)
    else:
        answer = await _signed(http, instance, plain, token, only)
    if answer.ok or answer.status == 404 or (answer.status == 401 and own.by == "token"):
        return "done"
    return "later" if _in_trouble(answer) else "refused"


async def _signed(http: Sender, instance: Instance, plain: Request, token: Token, origins: frozenset[str]) -> Answer:
    signed = next(signer_of(instance).sign(plain, token))
    return await http.send(signed, origins=origins, private=instance.by_operator)


async def _as_client(http: Sender, instance: Instance, plain: Request, origins: frozenset[str]) -> Answer:
    """Send *plain* with the client's own credentials, as HTTP Basic."""
    secret = instance.client.client_secret
    both = Token(f"{instance.client.client_id}:{secret.value if secret else ''}")
    signed = next(BasicSigner().sign(plain, both))
    return await http.send(signed, origins=origins, private=instance.by_operator)


def revocable(instance: Instance, *, by_key: bool = False) -> bool:
    """Whether a token of *instance* is handed back when its account is erased; *by_key*: it is its owner's own key.

    Of a server that has yet to describe itself it is taken to be so.
    """
    if instance.provider.revoke == "never" or by_key:
        return False
    if instance.revoke_request is not None or instance.server is None:
        return True
    return bool(instance.server.revoke_url)


def erased_words(fate: Fate, instance: Instance | None, *, by_key: bool = False) -> str:
    """Return how an account at *instance* is gone and what becomes of its token: "erased here, and …"."""
    if fate == "queued":
        return "erased here, and its token is being revoked."
    where = place_to_delete(instance, by_key=by_key)
    if by_key:
        return f"erased here. The key itself still works: delete it at {where}."
    if fate == "shared":
        return "erased here. Its token stays good, since revoking it would cut another link of the same account."
    return f"erased here. I cannot revoke its permission: take that back at {where}."


def place_to_delete(instance: Instance | None, *, by_key: bool = False) -> str:
    """Return, as Markdown, where a person takes back what the bot cannot; None: the service is configured no more."""
    if instance is None:
        return "the service"
    url = (by_key and instance.key_url) or instance.provider.apps_url
    return link(instance.title, url) if url else escape(instance.title)


def _in_trouble(answer: Answer) -> bool:
    return answer.status == 429 or answer.status >= 500


def _linked_there(provider: str, instance: str, external: str) -> tuple[str, tuple[str, ...]]:
    """Return what asks whether the account *external*, or any where it is empty, is linked: SQL and its values."""
    if external:
        return _LINKED_THERE.format("AND external = ?"), (provider, instance, external)
    return _LINKED_THERE.format(""), (provider, instance)


def revocation_purpose(row: str, instance: Instance) -> str:
    """Return what a box is bound to: moved to another row or instance, it does not open (A23, A63)."""
    return f"revocation:{row}:{instance.key}:{origin_of(instance.api)}"


def to_hand_back(instance: Instance, token: Token) -> tuple[str, oauth.Hint]:
    """Return which of its values ends *token*, and what kind that is."""
    own = instance.revoke_request is not None
    if instance.provider.revoke == "refresh" and token.refresh and not own:
        return token.refresh, "refresh_token"
    return token.access, "access_token"
