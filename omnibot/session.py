"""HTTP as one person: signed with their token, to their instance, for one turn.

Invariant: a request carries a token only to the origin that the token was linked for
(A23); redirects are answers, never followed; and a token is in the clear from its opening
to the end of one request.  Errors become a sentence of ours: nothing of a service's error
body is repeated to anybody (A42).
"""

import json as jsonlib
import re
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from omnibot.accounts import Account
from omnibot.api import AccountView, Response
from omnibot.bodies import read_body
from omnibot.catalogue import Instances
from omnibot.command import Effect
from omnibot.errors import AddressRefused, NotLinked, OmnibotError, UserError
from omnibot.provider import Instance, Token
from omnibot.renewal import Renewals
from omnibot.signers import converse, may_set, signer_of
from omnibot.stepup import StepUps, check_code, read_session, session_request
from omnibot.tally import Tally, service_label
from omnibot.trouble import limit_spent, poll_interval, reference, retry_after, trouble, without_echo
from omnibot.vault import Grant, Opener, PersonKeys
from omnibot.wire import Answer, Request, Sender, origin_of

SAFE = frozenset({"GET", "HEAD"})
_MOST_REFERENCES = 3
_SHORTEST_SECRET = 8
"""Bytes of a token that are blotted out of answers; a shorter one may be any word."""

_UNESCAPED = re.compile(r"[A-Za-z0-9._~-]*")
"""A token in JSON is as it is everywhere: nobody writes one of these letters with an escape."""

_PLAIN = re.compile(r"/?[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)*")
"""A path of plain segments, none of which begins with a dot."""

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

    poll: float = 0.0
    """Seconds to let pass at least before the same is asked again, as the service says."""

    rest: float = 0.0
    """Seconds in which the service takes nothing more from this account: its limit is spent."""

    references: list[str] = field(default_factory=list)
    """How the services call the latest requests, the last one last: for the audit."""

    def heed(self, answer: Answer) -> None:
        """Note how much patience *answer* asks for, and how the service calls its request."""
        if said := reference(answer):
            self.references = [*self.references[1 - _MOST_REFERENCES :], said]
        self.poll = max(self.poll, poll_interval(answer))
        told = retry_after(answer) if answer.status == 429 else None
        self.rest = max(self.rest, limit_spent(answer), told or 0.0)


class Sessions:
    """Makes the sessions of a turn, opens their tokens and sends their requests."""

    def __init__(
        self,
        *,
        opener: Opener,
        instances: Instances,
        renewals: Renewals,
        stepups: StepUps,
        http: Sender,
        tally: Tally | None = None,
    ) -> None:
        """Open tokens with *opener*; *renewals* see to it that they are good, *stepups* keep what codes opened."""
        self._opener = opener
        self._instances = instances
        self._http = http
        self._tally = tally or Tally()
        self.renewals = renewals
        self.stepups = stepups

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
        return self._open(grant, keys, account, instance, account.token)

    def open_session(self, grant: Grant, keys: PersonKeys, account: Account, instance: Instance) -> Token | None:
        """Open what a one-time code opened for *account*; None if there is no such session.

        Raises:
            GrantError, KeyMissing, Tampered: it stays closed.
        """
        sealed = self.stepups.sealed(account, keys)
        return None if sealed is None else self._open(grant, keys, account, instance, sealed)

    def _open(self, grant: Grant, keys: PersonKeys, account: Account, instance: Instance, sealed: bytes) -> Token:
        return self._opener.open(grant, keys, account.id, account.head(_origin(instance.api)), sealed)

    async def send(self, instance: Instance, request: Request) -> Answer:
        """Send a signed *request* to an origin of *instance*'s APIs, and to no other."""
        service = service_label(instance.key, by_operator=instance.by_operator)
        sending = self._http.send(request, origins=instance.token_origins, private=instance.by_operator)
        answer = await self._tally.requested(service, sending)
        return without_echo(answer, request)


class Lease(Protocol):
    """What a turn lends its sessions: the right to act, as it stands at each request."""

    def grant(self) -> Grant:
        """Return the turn's live grant.

        Raises:
            GrantError: there is none just now.
        """
        ...

    async def account(self, account: str) -> tuple[PersonKeys, Account] | None:
        """Return the account as it is now, with the keys that open it, if it still is within the speaker's reach."""
        ...


class ApiSession:
    """The `Api` that a linked command's context holds; its methods are documented there."""

    __slots__ = ("_account", "_effect", "_instance", "_journal", "_keys", "_known", "_lease", "_sessions")

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
        self._known = False

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

    def url(self, path: str) -> str:
        """Return the whole address of *path*."""
        return f"{self._instance.api}/{path.lstrip('/')}"

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

    def base(self, name: str) -> str:
        """Return the address of a further API of the service."""
        return self._instance.apis[name]

    @property
    def stepped_up(self) -> float | None:
        """When the session that a one-time code opened ends; None: there is none."""
        return self._sessions.stepups.until(self._account)

    async def step_up(self, code: str, device: str = "") -> float:
        """Open a session with a one-time *code* of *device*; return when it ends, in Unix seconds.

        The request is the core's own, with the account's token and not with an earlier session, whatever the
        command's effect: at the service it changes nothing.

        Raises:
            UserError: the code was not taken, or is none, or was said before.
            Upstream: the service answered with an error, or not at all.
            NotLinked: it no longer takes the person's credentials.
        """
        stepups, instance = self._sessions.stepups, self._instance
        check_code(code)
        request = session_request(instance, code, device)
        await self._look_again()
        stepups.spend(self._account, code)
        self._journal.requests += 1
        answer = await self._converse(request, bare=True)
        if answer.status in (401, 403) and await self._is_dead():
            await self._take(self._sessions.renewals.give_up(self._account, "unauthorised"))
        token = read_session(instance, answer, device)
        await self._look_again()
        return stepups.keep(self._account, self._keys, self._account.head(_origin(instance.api)), token)

    def widen(self, effect: Effect) -> None:
        """Let it do all that its command's *effect* allows: the person has said yes to that."""
        self._effect = effect

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Any:
        """As `send`; return what it says: parsed JSON, or the text where it is not JSON."""
        return (await self.send(method, path, json=json, form=form, params=params)).data

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: Collection[int] = (),
    ) -> Response:
        """Send *method* *path* as the person; return the answer, which has a status of 2xx or an *expect*-ed one.

        Raises:
            Upstream: the service answered with an error, or not at all.
            NotLinked: it no longer takes the person's credentials.
            AddressRefused: *path* leads elsewhere than the service.
            EffectError: the command is declared ``read``.
            ValueError: *headers* has one that is not a skill's to set, or there are two bodies.
        """
        method = method.upper()
        request = self._plain(method, path, _body(json, form), params or {}, headers or {})
        if self._effect == "read" and self._changes(request):
            raise EffectError(f"a command with effect `read` sent {method}, or asked by it for what changes something")
        await self._look_again()
        renewals = self._sessions.renewals
        if renewals.due(self._account):
            await self._take(renewals.fresh(self._account))
        answer = await self._send(request)
        if answer.status == 401:
            await self._take(renewals.refused(self._account))
            answer = await self._send(request)
        if answer.status == 401 and await renewals.give_up(self._account, "unauthorised") is None:
            raise self._not_linked()
        if not answer.ok and answer.status not in expect:
            raise trouble(self._instance, answer)
        return _response(answer)

    def _plain(
        self,
        method: str,
        path: str,
        body: tuple[str, bytes],
        params: Mapping[str, object],
        headers: Mapping[str, str],
    ) -> Request:
        kind, content = body
        for name in headers:
            if not may_set(name):
                raise ValueError(f"{name} is not a header for a skill to set")
        said = {**self._instance.headers, **headers}
        if kind:
            said["Content-Type"] = kind
        url = _address(self._instance.api, path, params, self._instance.token_origins)
        return Request(method, url, said, content)

    async def _send(self, request: Request) -> Answer:
        """Send *request* and keep the journal; what was refused with 401 has changed nothing.

        A service that takes whoever it knows no more for nobody is asked first, once a turn: it would
        show what is public as if that were all, and take what is sent as nobody's.
        """
        dead = self._instance.provider.dead
        if dead == "anonymous" and not self._known:
            if await self._is_dead():
                return Answer(401)
            self._known = True
        self._journal.requests += 1
        changes = self._changes(request)
        if changes:
            self._journal.changes.append(f"{request.method} at {self._instance.title}")
        answer = await self._converse(request)
        if answer.status in (401, 403) and dead == "forbidden":  # which of the two, only whoami tells
            answer = replace(answer, status=401 if await self._is_dead() else 403)
        if changes and answer.status == 401:
            self._journal.changes.pop()
        return answer

    def _changes(self, request: Request) -> bool:
        """Whether *request* may change something: by its method, or by what it asks for where GET is for everything."""
        reads = self._instance.provider.reads
        actions = parse_qs(urlsplit(request.url).query).get("Action", []) if reads else []
        return request.method not in SAFE or not all(one.startswith(reads) for one in actions)

    async def _is_dead(self) -> bool:
        """Ask whoami, which refuses nobody whose token it knows, unless they have asked too much of late."""
        answer = await self._converse(self._instance.whoami, bare=True)
        return self._instance.provider.is_dead(answer.status) and not limit_spent(answer)

    async def _converse(self, request: Request, *, bare: bool = False) -> Answer:
        """Sign *request* with the token, opened now, and see the signer's conversation to its end.

        Where a one-time code has opened a session, it is that one's token, unless *bare*.

        A token that the answer repeats is blotted out: Redmine's whoami has the key in it, say, and
        no skill has a use for that.
        """
        whose = (self._lease.grant(), self._keys, self._account, self._instance)
        stepped = None if bare else self._sessions.open_session(*whose)
        token = stepped or self._sessions.open(*whose)
        signer = signer_of(self._instance, by_key=self._account.by_key)
        answer = await converse(signer, request, token, partial(self._sessions.send, self._instance))
        self._journal.heed(answer)
        if stepped and answer.status == 401:  # it was ended at the service: that says nothing of the account
            self._sessions.stepups.drop(self._account.id)
            return await self._converse(request, bare=True)
        return _blotted(answer, token)

    async def _look_again(self) -> None:
        """Take the account as it is now: it may have been unlinked, withdrawn or renewed since the turn began.

        Its person's keys with it: a rotation may have given them new ones.
        """
        current = await self._lease.account(self._account.id)
        if current is None:
            raise UserError(f"Your {self._instance.title} account has been unlinked meanwhile, so this was not done.")
        if current[1].status != "active":
            raise self._not_linked()
        self._keys, self._account = current

    async def _take(self, renewed: Awaitable[Account | None]) -> None:
        """Go on with the account as *renewed*, if it still is one: much may happen while a service is asked."""
        if await renewed is None:
            raise self._not_linked()
        await self._look_again()

    def _not_linked(self) -> NotLinked:
        instance = self._instance
        return NotLinked(instance.provider.name, instance.name, reason=f"{instance.title} no longer accepts your link.")


@lru_cache(maxsize=1024)
def _origin(api: str) -> str:
    """Return the origin of an instance's *api*: there are few, and each request asks three times."""
    return origin_of(api)


def _body(json: object, form: Mapping[str, object] | None) -> tuple[str, bytes]:
    """Return type and bytes of a request's body; both empty where there is none."""
    if form is not None and json is not None:
        raise ValueError("a request has one body: json, or form")
    if form is not None:
        return "application/x-www-form-urlencoded", _said(form).encode()
    if json is not None:
        return "application/json", jsonlib.dumps(json, separators=(",", ":")).encode()
    return "", b""


def _address(base: str, path: str, params: Mapping[str, object], origins: frozenset[str] = frozenset()) -> str:
    """Return the address of *path* below *base*; an absolute *path* must be of the same origin, or one of *origins*.

    Raises:
        AddressRefused: it leads to another origin, or is no plain path.
    """
    if _PLAIN.fullmatch(path):  # nothing in it has to be escaped, or could lead elsewhere
        url = base + "/" + path.removeprefix("/")
        return url + "?" + said if (said := _said(params)) else url
    try:
        url = path if _WHOLE.match(path) else base + "/" + path.lstrip("/")
        climbs = _climbs(url)  # looked at now: urljoin takes the dots away, and what is above them
        url = urljoin(url, quote(urlsplit(url).path, safe="/%:@!$&'()*+,;=~-._")) + _query(url, params)
        if climbs or origin_of(url) not in {_origin(base), *origins}:
            raise AddressRefused
    except ValueError:
        raise AddressRefused from None
    return url


def _query(url: str, params: Mapping[str, object]) -> str:
    parts = [part for part in (urlsplit(url).query, _said(params)) if part]
    return "?" + "&".join(parts) if parts else ""


def _said(params: Mapping[str, object]) -> str:
    return urlencode({name: value for name, value in params.items() if value is not None}, doseq=True) if params else ""


def _climbs(url: str) -> bool:
    return any(part in ("..", ".") for part in urlsplit(url).path.replace("%2e", ".").replace("%2E", ".").split("/"))


def _blotted(answer: Answer, token: Token) -> Answer:
    """Return *answer* with stars where its body has the *token*."""
    for said in _secrets(token):
        secret = said.encode()
        if len(secret) < _SHORTEST_SECRET:
            continue
        if secret in answer.body:
            answer = replace(answer, body=answer.body.replace(secret, b"****"))
        if b"\\" in answer.body and not _UNESCAPED.fullmatch(said):
            answer = _blotted_json(answer, jsonlib.dumps(said)[1:-1])
    return answer


def _secrets(token: Token) -> set[str]:
    """Return what of *token* nobody is to see: of a key of two parts, the second as well."""
    return {token.access, token.refresh, token.secret, *token.access.split(":")[1:]}


def _blotted_json(answer: Answer, secret: str) -> Answer:
    """As `_blotted`, for JSON in which the *secret*, as JSON has it, may be written with more escapes than it needs."""
    try:
        plain = jsonlib.dumps(jsonlib.loads(answer.body))
    except (ValueError, RecursionError):
        return answer
    return replace(answer, body=plain.replace(secret, "****").encode()) if secret in plain else answer


def _response(answer: Answer) -> Response:
    headers = {name: said for name, said in answer.headers.items() if name != "set-cookie"}
    return Response(answer.status, headers, read_body(answer), answer.body.decode("utf-8", "replace"))
