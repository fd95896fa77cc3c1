"""The browser's half of linking: look, authorise or refuse, come back, see the code, undo.

A chat bot has no browser session, so a ``state`` alone proves nothing about who sits at the
browser: anybody can forward their own link.  Therefore the last code travels from the
browser to the chat, spoken by the identity that asked (RFC 10027 sections 4.1.1, 4.1.3,
6.1.16).  What remains after that is written down in docs/security.md.

Every step is one transaction.  Nothing that leaves the machine happens inside one, and
nothing is told to anybody before it is durable.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from omnibot import accounts, oauth, oauth1
from omnibot.accounts import Account
from omnibot.database import Database, Transaction
from omnibot.errors import OAuthError, OmnibotError, Upstream, UserError, VaultError
from omnibot.linking import flows
from omnibot.linking.departing import depart
from omnibot.linking.endings import typed_notice
from omnibot.linking.exchange import Exchange, ExchangeError, Profile
from omnibot.linking.flows import Asking, Attempt, Flow, FlowError, Outcome
from omnibot.linking.proving import Proving, login_of, login_page
from omnibot.linking.revoking import revocable
from omnibot.linking.services import LinkServices
from omnibot.markup import printable
from omnibot.message import Reply
from omnibot.provider import Instance, Token
from omnibot.vault import digest, same
from omnibot.wire import origin_of

log = logging.getLogger(__name__)

type Tell = Callable[[Flow, Account, str], Reply]
"""What the asker of a flow is told of its pending account, with the code that confirms it."""


class Browser:
    """The pages' side of every flow, and the way from an answer to a pending account."""

    def __init__(self, services: LinkServices, finish: Callable[[Flow, str], Awaitable[None]]) -> None:
        """Work with *services*; *finish* ends what was proven at the browser, and takes its code."""
        self._with = services
        self._finish = finish
        self._exchange = Exchange(services.http, services.clock)
        self._proving = Proving(services, self._exchange, self._find_open)

    async def look(self, ticket: str) -> Asking:
        """Return what the page of *ticket* shows.  No side effect: previews open links too (A7).

        Raises:
            FlowError: ``unknown``, ``expired``, ``spent``, ``ended``, ``vault``.
        """
        return self._asking(await self._ticketed(self._with.database, ticket))

    async def authorise(self, ticket: str) -> Attempt:
        """Begin a browser's attempt: a fresh cookie, state and verifier; an earlier attempt is dead.

        Where the link is by a key, the cookie is all there is, and our own form comes next.  Where the
        person is to be proven to be the asker, the login of the asker's network comes before either.

        Raises:
            FlowError: as `look`; ``login_unavailable``; ``not_now``.
        """
        flow = await self._ticketed(self._with.database, ticket)
        if flow.proof is not None:
            return await self._proving.begin(flow, ticket)
        cookie = secrets.token_urlsafe(32)
        leg = None if flow.way == "key" else await depart(self._exchange, flow, await self._with.ready(flow))
        async with self._with.database.transaction() as tx:
            flow = replace(await self._ticketed(tx, ticket), cookie_hash=digest(cookie))
            if leg is not None:
                boxed = self._with.sealer.box(f"verifier:{flow.id}", leg.secret.encode())
                flow = replace(flow, state_hash=digest(leg.state), verifier=boxed)
            await flows.update(tx, self._with.sealer, flow)
        return Attempt(flow.id, cookie, "" if leg is None else leg.url, here=leg is None)

    async def refuse(self, ticket: str) -> Asking:
        """End the flow of *ticket* because the person at the browser refuses.

        Raises:
            FlowError: as `look`.
        """
        async with self._with.database.transaction() as tx:
            flow = await self._ticketed(tx, ticket)
            ended = await self._with.endings.end(tx, flow, "refused", "refused")
        self._with.endings.told(ended)
        await self._with.endings.alarm(flow.identity)
        return self._asking(flow)

    async def callback(
        self, provider: str, instance: str, query: Sequence[tuple[str, str]], cookies: Mapping[str, str]
    ) -> Attempt:
        """Take the provider's answer from a browser holding *cookies* (flow id to value); return where that goes next.

        Raises:
            FlowError: any code; whatever it is, nothing was linked.
        """
        try:
            answer = (oauth1 if oauth1.is_answer(query) else oauth).read_callback(query)
        except OAuthError:
            raise FlowError("bad_callback") from None
        flow = await self._stated(self._with.database, answer.state)
        if flow.way == "paste":
            raise FlowError("paste", flow)
        if flow.way == "pin" and not flow.unproven:  # no browser brings its answer
            raise FlowError("bad_callback")
        at_login = same(digest(answer.state), flow.proof_hash)
        leg = flow.at_login() if at_login else flow
        wrong = _why_wrong(leg, provider, instance, cookies.get(flow.id), answer)
        if at_login and wrong in (None, "denied", "provider_error"):  # it is the login's own answer
            return await self._proving.arrive(answer, cookies[flow.id])
        if wrong:
            await self._with.endings.burn(flow, wrong)
            raise FlowError(wrong, flow)
        await self.fetch(answer, cookies[flow.id])
        return Attempt(flow.id, cookies[flow.id], "", here=True)

    async def enter(self, flow_id: str, cookie: str, key: str) -> None:
        """Take the *key* that was typed into our form, by the browser that holds the attempt's *cookie*.

        Raises:
            FlowError: ``bad_key``, after which another may be typed; any other code: nothing was linked.
        """
        async with self._with.database.transaction() as tx:
            flow = await self._held_by(tx, flow_id, cookie)
            if flow.unproven:
                raise FlowError("unproven", flow)
            await self._spend_key(tx, flow)
        await self.take_key(flow, cookie, key)

    async def said_key(self, flow: Flow, key: str) -> None:
        """Take the *key* that the asker of *flow* said in private; it ends PENDING, without a code.

        Raises:
            FlowError: as `enter`.
        """
        async with self._with.database.transaction() as tx:
            current = replace(await self._found(tx, "id", flow.id), proof=None)  # by whom it was said is proven
            await self._spend_key(tx, current)
        await self.take_key(current, "", key)

    async def said_pin(self, flow: Flow, pin: str) -> None:
        """Take the *pin* that the asker of *flow* said in private; it ends PENDING, without a code.

        Raises:
            FlowError: ``not_opened``: the person has not been at the service yet; any other code: nothing was linked.
        """
        async with self._with.database.transaction() as tx:
            current = await self._found(tx, "id", flow.id)
            _check_open(current, self._with.clock())
            if current.way != "pin" or current.unproven or current.verifier is None:
                raise FlowError("not_opened", current)
            current = replace(current, proof=None)  # by whom it was said is proven
            temporary = await self._exchanging(tx, current)
        await self._redeem(current, pin, temporary, "")

    async def typed(self, flow: Flow, token: Token, tell: Tell) -> None:
        """Take the *token* that a device's code brought; what the asker is told of it is for *tell* to say.

        Raises:
            FlowError: nothing was kept.
        """
        async with self._with.database.transaction() as tx:
            current = await flows.find(tx, self._with.sealer, "id", flow.id)
            kept = current is not None and current.state == "open"
            if current is not None and kept:
                await self._exchanging(tx, current)
        if current is None or not kept:
            await self._with.revoking.discard(flow.provider, flow.instance, token)
            raise FlowError("ended", flow)
        try:
            instance = await self._with.instances.ready(self._with.instance(flow), self._with.http)
            profile = await self._exchange.whose(instance, token)
        except (OmnibotError, ValueError) as error:
            code = "unavailable" if isinstance(error, Upstream) else "exchange_failed"
            await self._failed(flow, code)
            await self._with.revoking.discard(flow.provider, flow.instance, token)
            raise FlowError(code, flow) from None
        await self._keep(flow, instance, token, profile, secrets.token_urlsafe(32), tell)

    async def _spend_key(self, tx: Transaction, flow: Flow) -> None:
        """Move *flow* from open to exchanging: of two keys at once, one counts."""
        if flow.way != "key":
            raise FlowError("unknown")
        _check_open(flow, self._with.clock())
        await flows.update(tx, self._with.sealer, replace(flow, state="exchanging"))

    async def take_key(self, flow: Flow, cookie: str, key: str) -> None:
        """Ask the service whose *key* is, and store it PENDING; a bad one leaves *flow* open for another."""
        try:
            instance = self._with.instance(flow)
        except UserError:  # its host was refused just now
            await self._with.endings.burn(flow, "host_refused")
            raise FlowError("ended", flow) from None
        try:
            token, profile = await self._exchange.take_key(instance, key.strip())
        except ExchangeError as error:
            await self._open_again(flow, wrong=error.code == "bad_key")
            raise FlowError(error.code, flow) from None
        except asyncio.CancelledError:  # nobody waits for it any more; another try must not wait for the clock
            await self._open_again(flow, wrong=False)
            raise
        await self._keep_pending(flow, instance, _account(flow, token, profile, self._with.clock()), token, cookie)

    async def _open_again(self, flow: Flow, *, wrong: bool) -> None:
        """Let another key be tried for *flow*, unless too many were *wrong*."""
        async with self._with.database.transaction() as tx:
            current = await flows.find(tx, self._with.sealer, "id", flow.id)
            if current is None or current.state != "exchanging":
                return
            tried = replace(current, state="open", tries=current.tries + wrong)
            await flows.update(tx, self._with.sealer, tried)
        if tried.tries >= flows.MOST_TRIES:
            await self._with.endings.burn(tried, "bad_key")

    async def outcome(self, flow_id: str, cookie: str) -> Outcome:
        """Return what became of a flow, for the browser that holds its attempt's *cookie*.

        Raises:
            FlowError: ``unknown``; also for a browser that does not hold the cookie.
        """
        flow = await self._held_by(self._with.database, flow_id, cookie)
        account = await accounts.get(self._with.database, self._with.sealer, flow.account) if flow.account else None
        return self._outcome(flow, account, cookie)

    async def disconnect(self, flow_id: str, cookie: str) -> Outcome:
        """Undo the link: the person at the browser says that it was not them.

        Works before the confirm and for 24 hours after it (RFC 10027 section 6.1.6).

        Raises:
            FlowError: ``unknown``, or ``expired`` when it is too late.
        """
        async with self._with.database.transaction() as tx:
            flow = await self._held_by(tx, flow_id, cookie)
            if flow.state == "linked" and self._with.clock() >= (flow.ended or 0) + flows.UNDO_SECONDS:
                raise FlowError("expired", flow)
            if flow.state in ("refused", "expired"):
                return self._outcome(flow, None, cookie)
            ended = await self._with.endings.end(tx, flow, "refused", "not_me")
        self._with.endings.told(ended)
        await self._with.endings.alarm(flow.identity)
        return self._outcome(ended.flow, None, cookie)

    async def _ticketed(self, source: Database | Transaction, ticket: str) -> Flow:
        return await self._find_open(source, "ticket_hash", digest(ticket))

    async def _find_open(self, source: Database | Transaction, column: flows.Column, value: str | bytes) -> Flow:
        flow = await self._found(source, column, value)
        _check_open(flow, self._with.clock())
        return flow

    async def _stated(self, source: Database | Transaction, state: str) -> Flow:
        """Return the flow that waits for *state*, of its service or of the login before that."""
        try:
            flow = await self._found(source, "state_hash", digest(state))
        except FlowError as error:
            if error.code != "unknown":
                raise
            flow = await self._found(source, "proof_hash", digest(state))
        if flow.way != "paste":
            _check_open(flow, self._with.clock())
        return flow

    async def _found(self, source: Database | Transaction, column: flows.Column, value: str | bytes) -> Flow:
        try:
            flow = await flows.find(source, self._with.sealer, column, value)
        except VaultError as error:
            log.error("a flow cannot be used: %s", error)
            self._with.audit.record("", "", "vault.refused", table="flows", why=type(error).__name__)
            raise FlowError("vault") from None
        if flow is None:
            raise FlowError("unknown")
        return flow

    async def _held_by(self, source: Database | Transaction, flow_id: str, cookie: str) -> Flow:
        flow = await self._found(source, "id", flow_id)
        if not same(digest(cookie), flow.cookie_hash):
            raise FlowError("unknown")
        return flow

    async def _spend(self, state: str) -> tuple[Flow, str]:
        """Move the flow of *state* from open to exchanging, once (A8); return it and its verifier."""
        async with self._with.database.transaction() as tx:
            flow = await self._found(tx, "state_hash", digest(state))
            _check_open(flow, self._with.clock())
            if flow.unproven:  # it has sent no browser to its service
                raise FlowError("unproven", flow)
            return flow, await self._exchanging(tx, flow)

    async def _exchanging(self, tx: Transaction, flow: Flow) -> str:
        """Let *flow*, which is open, be exchanging; return what was boxed for that, which is gone with it."""
        secret = self._with.sealer.unbox(f"verifier:{flow.id}", flow.verifier or b"").decode()
        await flows.update(tx, self._with.sealer, replace(flow, state="exchanging", verifier=None))
        return secret

    async def fetch(self, answer: oauth.Callback, cookie: str) -> None:
        """Spend the flow of *answer* for a token, and store it PENDING."""
        flow, verifier = await self._spend(answer.state)
        await self._redeem(flow, answer.code, verifier, cookie)

    async def _redeem(self, flow: Flow, code: str, verifier: str, cookie: str) -> None:
        """Exchange *code*, with the *verifier* that was boxed for it, and store the token PENDING."""
        try:
            instance = await self._with.instances.ready(self._with.instance(flow), self._with.http)
            token, profile = await self._exchange.redeem(instance, flow, code, verifier)
        except Upstream:
            await self._failed(flow, "unavailable")
            raise FlowError("unavailable", flow) from None
        except ExchangeError as error:
            if error.token is not None:
                await self._with.revoking.discard(flow.provider, flow.instance, error.token)
            known = self._with.shown(flow)
            if error.stranger and known.registers:
                await self._with.clients.forget(known, known.client)
            await self._failed(flow, error.code)
            raise FlowError(error.code, flow) from None
        except BaseException as error:  # its host was refused just now, or nobody waits for it any more
            await self._with.endings.end_quietly(flow, "interrupted")
            if isinstance(error, UserError | VaultError):
                raise FlowError("ended", flow) from None
            raise
        await self._keep(flow, instance, token, profile, cookie)

    async def _keep(
        self, flow: Flow, instance: Instance, token: Token, profile: Profile, cookie: str, tell: Tell | None = None
    ) -> None:
        """Store *token*, which is *profile*'s, unless more came with it than the operator takes."""
        if instance.extra_scopes == "refuse" and instance.provider.unasked(flow.scopes, token.scopes or ()):  # A55
            await self._with.revoking.discard(flow.provider, flow.instance, token, profile.id)
            await self._failed(flow, "extra_scopes")
            raise FlowError("extra_scopes", flow)
        account = _account(flow, token, profile, self._with.clock())
        await self._keep_pending(flow, instance, account, token, cookie, tell)

    async def _failed(self, flow: Flow, code: str) -> None:
        """End *flow*; whoever pasted its answer, or said its PIN, hears why from that, anybody else is told."""
        if flow.way in ("paste", "pin"):
            await self._with.endings.end_quietly(flow, code)
        else:
            await self._with.endings.burn(flow, code)

    async def _keep_pending(
        self,
        flow: Flow,
        instance: Instance,
        account: Account,
        token: Token,
        cookie: str,
        tell: Tell | None = None,
    ) -> None:
        """Store *token* sealed and PENDING, unless the flow was ended meanwhile: then it goes back.

        What *tell* says is kept in the same transaction, for the asker to be told.
        """
        now = self._with.clock()
        async with self._with.database.transaction() as tx:
            current = await flows.find(tx, self._with.sealer, "id", flow.id)
            kept = current is not None and current.state == "exchanging"
            if current is not None and kept:
                # Its identity may have been joined with another, or split off, while the service was asked.
                flow, account = current, replace(account, person=current.person)
                keys = await self._with.people.keys(tx, flow.person)
                head = account.head(origin_of(instance.api))
                await accounts.insert(
                    tx,
                    self._with.sealer,
                    replace(account, token=self._with.sealer.seal(keys.public_key, head, token)),
                )
                code = self.code(flow.id, cookie) if cookie else ""
                flow = replace(
                    flow,
                    state="pending",
                    tries=0,  # wrong keys are no wrong codes
                    account=account.id,
                    code_hash=self._with.sealer.code_hash(code) if code else None,
                    until=min(now + flows.CODE_SECONDS, flow.created + flows.FLOW_SECONDS),
                )
                await flows.update(tx, self._with.sealer, flow)
                if tell is not None:
                    told = tell(flow, account, code)
                    await self._with.delivery.leave(tx, flow.identity, told, typed_notice(flow))
                    again = partial(self._with.delivery.aside, flow.identity, told, notice=typed_notice(flow))
                    tx.after_commit(again)
        if not kept:
            if flow.way != "key":  # a key is its owner's, and was not made for us
                await self._with.revoking.discard(flow.provider, flow.instance, token, account.external)
            raise FlowError("ended", flow)
        self._with.record(flow, "link.pending", account=account.id)
        if flow.proof is not None:
            await self._finish(flow, self.code(flow.id, cookie))

    def code(self, flow_id: str, cookie: str, code_hash: bytes | None = None) -> str:
        """Return the code of a flow for the browser that holds *cookie*; the same at every reload.

        With the *code_hash* that it is stored under also after the master key has changed.
        """
        return self._with.sealer.code(cookie, flow_id, flows.CODE_LENGTH, flows.CODE_ALPHABET, code_hash)

    def _asking(self, flow: Flow) -> Asking:
        instance = self._with.shown(flow)
        reasons, by_key, login = instance.provider.scopes, flow.way == "key", login_of(self._with, flow)
        by_app = not by_key and flow.server.is_oauth1
        return Asking(
            provider=instance.key,
            title=instance.title,
            network=flow.identity.network,
            subject=printable(flow.identity.subject),
            display=flow.asked.display,
            where=flow.asked.where,
            command=flow.asked.command,
            since=flow.created,
            scopes=() if by_key or by_app else tuple((scope, reasons.get(scope, "")) for scope in flow.scopes),
            host=_ascii_host(instance.api if by_key else flow.server.authorize_url),
            apps_url=instance.provider.apps_url,
            key=instance.provider.key if by_key else None,
            key_url=instance.key_url,
            login=login.title if login else "",
            login_host=_ascii_host(login_page(login)) if login else "",
            pin=flow.way == "pin",
            by_app=by_app,
        )

    def _outcome(self, flow: Flow, account: Account | None, cookie: str) -> Outcome:
        pending = flow.state == "pending" and not flow.expired(self._with.clock())
        if flow.state == "linked" and account is None:  # unlinked since, or a newer link took its place
            flow = replace(flow, state="refused", reason="unlinked")
        return Outcome(
            flow=flow.id,
            state="expired" if flow.live and flow.expired(self._with.clock()) else flow.state,
            reason=flow.reason,
            asking=self._asking(flow),
            login=account.login if account else "",
            name=account.name if account else "",
            avatar=account.avatar if account else "",
            code=flows.shown(self.code(flow.id, cookie, flow.code_hash)) if pending else "",
            code_until=flow.until,
            confirmed=flow.ended if flow.state == "linked" else None,
            undo_until=flow.ended + flows.UNDO_SECONDS if flow.state == "linked" and flow.ended else None,
            proven=not flow.unproven,
            gives_back=revocable(self._with.shown(flow), by_key=flow.way == "key"),
            missing=tuple(scope for scope in flow.scopes if account and scope not in account.scopes),
        )


def why_mixed_up(flow: Flow, provider: str, instance: str, answer: oauth.Callback) -> str | None:
    """Return why *answer*, come in at that callback path, is not believed; None if it brings a code.

    Path and issuer must name the flow's own server before even an error in it is believed (RFC 9207).
    """
    if (provider, instance) != (flow.provider, flow.instance) or answer.oauth1 != flow.server.is_oauth1:
        return "mix_up"
    try:
        oauth.check_issuer(flow.server, answer)
    except OAuthError:
        return "issuer"
    if answer.error:
        return "denied" if answer.error == "access_denied" else "provider_error"
    return None


def _why_wrong(flow: Flow, provider: str, instance: str, cookie: str | None, answer: oauth.Callback) -> str | None:
    """As `why_mixed_up`, and before all else the browser must be the one that began the attempt (A2)."""
    if not same(digest(cookie or ""), flow.cookie_hash):
        return "other_browser"
    return why_mixed_up(flow, provider, instance, answer)


def _account(flow: Flow, token: Token, profile: Profile, now: float) -> Account:
    """Return the pending account, its token not sealed yet."""
    return Account(
        id=secrets.token_hex(16),
        person=flow.person,
        provider=flow.provider,
        instance=flow.instance,
        alias="",
        external=profile.id,
        login=profile.login,
        name=profile.name,
        avatar=profile.avatar,
        linked_by=flow.identity,
        reach=(flow.identity,),
        status="pending",
        default=False,
        generation=1,
        refreshing=0,
        expires=token.expires,
        scopes=flow.scopes if token.scopes is None else token.scopes,
        token=b"",
        created=now,
        renewable=bool(token.refresh),
    )


def _check_open(flow: Flow, now: float) -> None:
    if flow.state == "expired" or (flow.live and flow.expired(now)):
        raise FlowError("expired", flow)
    if flow.state == "refused":
        raise FlowError("ended", flow)
    if flow.state != "open":
        raise FlowError("spent", flow)


def _ascii_host(url: str) -> str:
    """Return host, and port where it is not the scheme's own, as no look-alike letter can be in it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        shown = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        shown = host.encode("punycode").decode()
    return f"{shown}:{parts.port}" if parts.port else shown
