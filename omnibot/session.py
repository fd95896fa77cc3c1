"""HTTP as one person: signed with their token, to their instance, for one turn.

Invariant: a request carries a token only to the origin that the token was linked for
(A23); redirects are answers, never followed; and a token is in the clear from its opening
to the end of one request.  Errors become a sentence of ours: nothing of a service's error
body is repeated to anybody (A42).
"""

import asyncio
import contextlib
import json as jsonlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

from omnibot import accounts, oauth
from omnibot.accounts import Account
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.command import Effect
from omnibot.database import Database
from omnibot.errors import AddressRefused, NotLinked, OAuthError, OmnibotError, Upstream, UserError
from omnibot.people import People
from omnibot.provider import Instance, Token
from omnibot.signers import signer_named
from omnibot.skill import AccountView
from omnibot.vault import Grant, Opener, PersonKeys, Sealer
from omnibot.wire import Answer, Request, Sender, origin_of

log = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD"})
_SKEW = 30.0
"""Seconds before its expiry in which a token is renewed rather than sent."""

_MOST_STEPS = 5
_WHOLE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
"""How a whole address begins; one may also stand in a path's query."""


class EffectError(OmnibotError):
    """A command declared ``read`` tried to change something: a mistake of the skill's author."""


@dataclass(slots=True)
class Journal:
    """What one turn has sent: it decides whether a stopped command may be run again."""

    requests: int = 0
    changes: list[str] = field(default_factory=list)
    """Method and service of each request that was not GET or HEAD."""


class Sessions:
    """Makes the sessions of a turn, and renews tokens for all of them: one renewal at a time an account."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        opener: Opener,
        people: People,
        instances: Instances,
        http: Sender,
        audit: Audit,
        discard: Callable[[str, str, Token, str], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Work on the rows of *database* with the vault's handles; *discard* revokes what cannot be kept."""
        self._database = database
        self._sealer = sealer
        self._opener = opener
        self._people = people
        self._instances = instances
        self._http = http
        self._audit = audit
        self._clock = clock
        self._discard = discard
        self._renewing: dict[str, asyncio.Task[Account | None]] = {}

    def session(
        self,
        keys: PersonKeys,
        account: Account,
        lease: "Lease",
        effect: Effect,
        journal: Journal,
    ) -> "ApiSession":
        """Return the session of *account* for one turn; *lease* says, before each request, whether it may act."""
        instance = self._instances.get(account.provider, account.instance)
        return ApiSession(self, keys, account, instance, lease, effect, journal)

    def open(self, grant: Grant, keys: PersonKeys, account: Account, instance: Instance) -> Token:
        """Open the token of *account*.

        Raises:
            GrantError, KeyMissing, Tampered: it stays closed.
        """
        return self._opener.open(grant, keys, account.id, account.head(origin_of(instance.api)), account.token)

    async def send(self, instance: Instance, request: Request) -> Answer:
        """Send a signed *request* to the origin of *instance*'s API, and to no other."""
        only = frozenset({origin_of(instance.api)})
        return await self._http.send(request, origins=only, private=instance.by_operator)

    def due(self, account: Account) -> bool:
        """Whether the token of *account* has run out, or is about to."""
        return account.expires is not None and account.expires - _SKEW <= self._clock()

    async def renew(self, grant: Grant, keys: PersonKeys, account: Account, instance: Instance) -> Account | None:
        """Return *account* with a fresh token; None if it cannot be had and a new link is needed.

        One renewal at a time an account: whoever comes meanwhile shares it.  It goes on when
        those who wait are cancelled, since a rotated token that is not stored is lost.

        Raises:
            Upstream: the provider is out of order; the account stays as it is.
        """
        task = self._renewing.get(account.id)
        if task is None:
            task = asyncio.create_task(self._renew(grant, keys, account, instance), name=f"renewal at {instance.key}")
            self._renewing[account.id] = task
            task.add_done_callback(partial(self._renewed, account.id))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for the renewals under way: each has its own time limit."""
        while self._renewing:
            await asyncio.wait(list(self._renewing.values()))

    def _renewed(self, account: str, task: asyncio.Task[Account | None]) -> None:
        del self._renewing[account]
        if not task.cancelled() and task.exception() is not None:
            log.info("a renewal did not succeed: %s", type(task.exception()).__name__)

    async def _renew(self, grant: Grant, keys: PersonKeys, account: Account, instance: Instance) -> Account | None:
        token: Token | None = None

        def begun(current: Account) -> Account | None:
            nonlocal token
            if current.status != "active" or current.generation > account.generation:
                return None
            token = self.open(grant, keys, current, instance)
            return replace(current, refreshing=current.generation + 1) if token.refresh else None

        async with self._database.transaction() as tx:  # the intent is written before the provider is asked
            current = await accounts.change(tx, self._sealer, account.id, begun)
            if current is None:
                current = await accounts.get(tx, self._sealer, account.id)
                if current is None or current.status != "active":
                    return None
                if current.generation > account.generation:
                    return current
        if token is None or not token.refresh:
            await self._break(current, "no_refresh_token")
            return None
        return await self._refresh(keys, current, instance, token)

    async def _refresh(self, keys: PersonKeys, account: Account, instance: Instance, token: Token) -> Account | None:
        instance = await self._instances.ready(instance, self._http)
        assert instance.server is not None, "a ready instance has a server"
        request = oauth.refresh_request(instance.server, instance.client, token, accept=instance.provider.accept)
        answer = await self._http.send(request, origins=instance.origins, private=instance.by_operator)
        if answer.status == 429 or answer.status >= 500:
            raise _trouble(instance, answer)
        try:
            fresh = oauth.read_token(answer, now=self._clock(), previous=token)
        except OAuthError as error:
            if error.code in ("invalid_grant", "invalid_token"):
                await self._break(account, error.code)
                return None
            log.warning("renewing a token at %s failed: %s", instance.key, error.code)
            raise Upstream(f"{instance.title} would not renew your login just now. Try again in a while.") from None
        return await self._keep(account, instance, fresh)

    async def _keep(self, account: Account, instance: Instance, fresh: Token) -> Account | None:
        """Store *fresh*; if the account was unlinked meanwhile, hand it back."""
        async with self._database.transaction() as tx:
            keys = await self._people.keys(tx, account.person)

            def renewed(current: Account) -> Account:
                return replace(
                    current,
                    generation=current.generation + 1,
                    refreshing=0,
                    expires=fresh.expires,
                    scopes=current.scopes if fresh.scopes is None else fresh.scopes,
                    token=self._sealer.seal(keys.public_key, current.head(origin_of(instance.api)), fresh),
                )

            kept = await accounts.change(tx, self._sealer, account.id, renewed)
        if kept is None:
            await self._discard(account.provider, account.instance, fresh, account.external)
        return kept

    async def give_up(self, account: Account, why: str) -> None:
        """Mark *account* as one that the service no longer accepts, unless it was renewed meanwhile."""
        await self._break(account, why)

    async def _break(self, account: Account, why: str) -> None:
        def broken(current: Account) -> Account | None:
            if current.status != "active" or current.generation > account.generation:
                return None
            return replace(current, status="broken", refreshing=0)

        async with self._database.transaction() as tx:
            changed = await accounts.change(tx, self._sealer, account.id, broken)
        if changed is not None:
            self._audit.record(account.person, "", "account.broken", provider=account.provider, why=why)


class Lease(Protocol):
    """What a turn lends its sessions: the right to act, as it stands at each request."""

    def grant(self) -> Grant:
        """Return the turn's live grant.

        Raises:
            GrantError: there is none just now.
        """
        ...

    async def account(self, account: str) -> Account | None:
        """Return the account as it is now, if there still is one within the speaker's reach."""
        ...


class ApiSession:
    """The `Api` that a linked command's context holds; its methods are documented there."""

    __slots__ = ("_account", "_effect", "_instance", "_journal", "_keys", "_lease", "_sessions")

    def __init__(
        self,
        sessions: Sessions,
        keys: PersonKeys,
        account: Account,
        instance: Instance,
        lease: Lease,
        effect: Effect,
        journal: Journal,
    ) -> None:
        """Act with *account* at *instance* while *lease* lasts."""
        self._sessions = sessions
        self._keys = keys
        self._account = account
        self._instance = instance
        self._lease = lease
        self._effect = effect
        self._journal = journal

    def __repr__(self) -> str:
        """Name the instance; nothing of the person."""
        return f"<ApiSession {self._instance.key}>"

    @property
    def account(self) -> AccountView:
        """Whose account it is."""
        return self._account.view(self._instance.title, self._instance.provider.apps_url)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that the operator lets people send by hand."""
        return self._instance.methods

    async def get(self, path: str, **params: object) -> Any:
        """GET *path*."""
        return await self.request("GET", path, params=params)

    async def post(self, path: str, json: object = None, **params: object) -> Any:
        """POST *json* to *path*."""
        return await self.request("POST", path, json=json, params=params)

    async def put(self, path: str, json: object = None, **params: object) -> Any:
        """PUT *json* to *path*."""
        return await self.request("PUT", path, json=json, params=params)

    async def patch(self, path: str, json: object = None, **params: object) -> Any:
        """PATCH *path* with *json*."""
        return await self.request("PATCH", path, json=json, params=params)

    async def delete(self, path: str, **params: object) -> Any:
        """DELETE *path*."""
        return await self.request("DELETE", path, params=params)

    async def request(
        self, method: str, path: str, *, json: object = None, params: Mapping[str, object] | None = None
    ) -> Any:
        """Send *method* *path* as the person; return the parsed JSON, or the text where it is not JSON.

        Raises:
            Upstream: the service answered with an error, or not at all.
            NotLinked: it no longer takes the person's credentials.
            AddressRefused: *path* leads elsewhere than the service.
            EffectError: the command is declared ``read``.
        """
        method = method.upper()
        if self._effect == "read" and method not in SAFE:
            raise EffectError(f"a command with effect `read` sent {method}")
        request = self._plain(method, path, json, params or {})
        await self._look_again()
        if self._sessions.due(self._account):
            await self._renew()
        answer = await self._send(request)
        if answer.status == 401:
            await self._renew()
            answer = await self._send(request)
        if answer.status == 401:
            await self._sessions.give_up(self._account, "unauthorised")
            raise self._not_linked()
        if not answer.ok:
            raise _trouble(self._instance, answer)
        return _content(answer)

    def _plain(self, method: str, path: str, json: object, params: Mapping[str, object]) -> Request:
        headers = {"Accept": self._instance.provider.accept}
        body = b""
        if json is not None:
            headers["Content-Type"] = "application/json"
            body = jsonlib.dumps(json, separators=(",", ":")).encode()
        return Request(method, _address(self._instance.api, path, params), headers, body)

    async def _send(self, request: Request) -> Answer:
        """Send *request* and keep the journal; what was refused with 401 has changed nothing."""
        self._journal.requests += 1
        changes = request.method not in SAFE
        if changes:
            self._journal.changes.append(f"{request.method} at {self._instance.title}")
        answer = await self._converse(request)
        if changes and answer.status == 401:
            self._journal.changes.pop()
        return answer

    async def _converse(self, request: Request) -> Answer:
        """Sign *request* with the token, opened now, and see the signer's conversation to its end."""
        with contextlib.closing(self._conversation(request)) as steps:
            answer = await self._sessions.send(self._instance, next(steps))
            for _ in range(_MOST_STEPS):
                try:
                    following = steps.send(answer)
                except StopIteration:
                    break
                answer = await self._sessions.send(self._instance, following)
        return answer

    def _conversation(self, request: Request) -> Generator[Request, Answer, None]:
        token = self._sessions.open(self._lease.grant(), self._keys, self._account, self._instance)
        return signer_named(self._instance.provider.signer).sign(request, token)

    async def _look_again(self) -> None:
        """Take the account as it is now: it may have been unlinked, withdrawn or renewed since the turn began."""
        current = await self._lease.account(self._account.id)
        if current is None:
            raise UserError(f"Your {self._instance.title} account has been unlinked meanwhile, so this was not done.")
        if current.status != "active":
            raise self._not_linked()
        self._account = current

    async def _renew(self) -> None:
        renewed = await self._sessions.renew(self._lease.grant(), self._keys, self._account, self._instance)
        if renewed is None:
            raise self._not_linked()
        self._account = renewed

    def _not_linked(self) -> NotLinked:
        instance = self._instance
        return NotLinked(instance.provider.name, instance.name, reason=f"{instance.title} no longer accepts your link.")


def _address(base: str, path: str, params: Mapping[str, object]) -> str:
    """Return the address of *path* below *base*; an absolute *path* must be of the same origin.

    Raises:
        AddressRefused: it leads to another origin, or is no plain path.
    """
    try:
        url = path if _WHOLE.match(path) else base + "/" + path.lstrip("/")
        climbs = _climbs(url)  # looked at now: urljoin takes the dots away, and what is above them
        url = urljoin(url, quote(urlsplit(url).path, safe="/%:@!$&'()*+,;=~-._")) + _query(url, params)
        if climbs or origin_of(url) != origin_of(base):
            raise AddressRefused
    except ValueError:
        raise AddressRefused from None
    return url


def _query(url: str, params: Mapping[str, object]) -> str:
    said = {name: value for name, value in params.items() if value is not None}
    parts = [part for part in (urlsplit(url).query, urlencode(said, doseq=True)) if part]
    return "?" + "&".join(parts) if parts else ""


def _climbs(url: str) -> bool:
    return any(part in ("..", ".") for part in urlsplit(url).path.replace("%2e", ".").replace("%2E", ".").split("/"))


def _content(answer: Answer) -> Any:
    text = answer.body.decode("utf-8", "replace")
    try:
        return jsonlib.loads(text) if text.strip() else None
    except ValueError:
        return text


def _trouble(instance: Instance, answer: Answer) -> Upstream:
    """Return the sentence for an *answer* that is an error; nothing of its body is in it."""
    title, status = instance.title, answer.status
    wait = _retry_after(answer)
    if status == 429:
        said = f"{title} asks you to slow down." + (f" Try again in {wait:.0f} seconds." if wait else "")
    elif status >= 500:
        said = f"{title} is out of order (status {status}). Try again in a while."
    elif 300 <= status < 400:
        said = f"{title} sent me elsewhere (status {status}), and I do not follow."
    else:
        said = f"{title} {_REFUSALS.get(status, 'refused that')} (status {status})."
    request_id = answer.headers.get("x-request-id", "")
    if request_id.isascii() and request_id.replace("-", "").isalnum() and len(request_id) <= 64:
        said += f" Its reference: {request_id}."
    return Upstream(said, status=status, retry_after=wait)


_REFUSALS = {
    400: "did not understand that",
    403: "does not allow you that",
    404: "does not know that, or does not show it to you",
    409: "says that it conflicts with something there",
    422: "did not accept that",
}


def _retry_after(answer: Answer) -> float | None:
    text = answer.headers.get("retry-after", "")
    return min(float(text), 86400.0) if text.isascii() and text.isdigit() else None
