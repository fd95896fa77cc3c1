"""Proving at the browser who asked: by signing in where the asker's network has its people.

Where the operator wrote ``confirm: login`` for a network, the browser of a link that was asked
for there goes to that network's own web login first.  The stable id that it is signed in as
has to be the asker's.  Only then does it go on to the service, in the same browser, by the same
cookie; so the same person stands at both ends, and there is no code that could be handed over
(A1, A66).  Anybody else's browser ends the flow before the service was ever asked.

A login that is out of order leaves the flow as it was, to be tried again.  It never falls back
to the code: whoever can disturb the login could choose the weaker way.

The login's token is used for one question, whose it is, and given back.  It is kept nowhere
but in the queue of what is to be revoked.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from omnibot import oauth
from omnibot.database import Database, Transaction
from omnibot.errors import OmnibotError, Upstream, UserError
from omnibot.linking import flows
from omnibot.linking.beginning import redirect_uri
from omnibot.linking.departing import Departure, depart
from omnibot.linking.exchange import Exchange, ExchangeError, Profile
from omnibot.linking.flows import Attempt, Flow, FlowError, Proof
from omnibot.linking.services import LinkServices
from omnibot.provider import Instance
from omnibot.vault import digest

log = logging.getLogger(__name__)

type Open = Callable[[Database | Transaction, flows.Column, str | bytes], Awaitable[Flow]]
"""Finds a flow that is open; raises `FlowError` otherwise."""


class Proving:
    """Sends a browser to the login of the asker's network, and takes its answer."""

    def __init__(self, services: LinkServices, exchange: Exchange, find_open: Open) -> None:
        """Ask through *exchange*; look flows up by *find_open*."""
        self._with = services
        self._exchange = exchange
        self._open = find_open

    async def begin(self, flow: Flow, ticket: str) -> Attempt:
        """Begin a browser's attempt at *flow*, which its *ticket* names, at the login.

        What an earlier browser has proven is void, and so is where it was sent.

        Raises:
            FlowError: ``login_unavailable``, and nothing has changed; as finding the flow.
        """
        login = await self._login(flow)
        assert login.server is not None, "a ready instance has a server"
        cookie, back = secrets.token_urlsafe(32), redirect_uri(login, self._with.public_url, self._with.paste_port)
        proof = Proof(False, login.provider.name, login.name, back, login.server)
        leg = replace(replace(flow, proof=proof).at_login(), scopes=login.provider.base_scopes)
        departure = await self._depart(leg, login, "login_unavailable")
        async with self._with.database.transaction() as tx:
            flow = await self._open(tx, "ticket_hash", digest(ticket))
            flow = replace(
                flow,
                cookie_hash=digest(cookie),
                state_hash=None,
                proof=proof,
                proof_hash=digest(departure.state),
                verifier=self._boxed(flow, departure.secret),
            )
            await flows.update(tx, self._with.sealer, flow)
        return Attempt(flow.id, cookie, departure.url)

    async def _depart(self, leg: Flow, instance: Instance, otherwise: str = "not_now") -> Departure:
        """Return with what the browser is sent to *instance* for *leg*.

        Raises:
            FlowError: *otherwise*: it cannot be asked just now.
        """
        try:
            return await depart(self._exchange, leg, instance)
        except FlowError:
            raise FlowError(otherwise, leg) from None

    async def arrive(self, answer: oauth.Callback, cookie: str) -> Attempt:
        """Take the login's *answer* from the browser that the flow was begun in; return where that goes next.

        The caller has checked cookie, path and issuer.

        Raises:
            FlowError: ``login_denied``, ``login_failed`` or ``not_asker``, and the flow has ended;
                ``login_unavailable``, and it is as it was; ``spent``, ``ended``.
        """
        if answer.error:
            await self._refused(answer)
        flow, verifier = await self._spend(answer.state)
        try:
            profile = await self._whose(flow, answer.code, verifier)
        except FlowError as error:
            if error.code == "login_unavailable":
                await self._open_again(flow)
            else:
                await self._with.endings.burn(flow, error.code)
            raise
        except BaseException:  # nobody waits for it any more; another try must not wait for the clock
            await self._open_again(flow)
            raise
        if not is_asker(flow, profile):
            await self._with.endings.burn(flow, "not_asker")
            await self._with.endings.alarm(flow.identity)
            raise FlowError("not_asker", flow)
        return await self._go_on(flow, cookie)

    async def _login(self, flow: Flow) -> Instance:
        """Return the login of the asker's network, ready to be used.

        Raises:
            FlowError: ``login_unavailable``: it does not answer, or is not configured any more.
        """
        key = self._with.logins.get(flow.identity.network, "")
        provider, _, name = key.partition("@")
        try:
            return await self._with.instances.ready(self._with.instances.get(provider, name), self._with.http)
        except (Upstream, UserError) as error:
            log.warning("the login of %s cannot be used: %s", flow.identity.network, type(error).__name__)
            raise FlowError("login_unavailable", flow) from None

    async def _refused(self, answer: oauth.Callback) -> None:
        """Deal with a login that brought an error: a no ends the flow, anything else may be tried again.

        Raises:
            FlowError: always.
        """
        flow, _ = await self._spend(answer.state)
        if answer.error == "access_denied":
            await self._with.endings.burn(flow, "login_denied")
            raise FlowError("login_denied", flow)
        log.warning("the login of %s answered with an error", flow.identity.network)  # its text may be anything (A40)
        await self._open_again(flow)
        raise FlowError("login_unavailable", flow)

    async def _spend(self, state: str) -> tuple[Flow, str]:
        """Take the login's *state*, once (A8); return its flow, which is exchanging, and the verifier."""
        async with self._with.database.transaction() as tx:
            flow = await self._open(tx, "proof_hash", digest(state))
            if not flow.unproven or flow.verifier is None:
                raise FlowError("spent", flow)
            verifier = self._with.sealer.unbox(f"verifier:{flow.id}", flow.verifier).decode()
            flow = replace(flow, state="exchanging", verifier=None)
            await flows.update(tx, self._with.sealer, flow)
        return flow, verifier

    async def _whose(self, flow: Flow, code: str, verifier: str) -> Profile:
        """Return whom the browser is signed in as at the login of *flow*; what that was asked with goes back.

        Raises:
            FlowError: ``login_failed`` or ``login_unavailable``.
        """
        login, leg = await self._login(flow), flow.at_login()
        if (login.provider.name, login.name) != (leg.provider, leg.instance):  # another was configured meanwhile
            raise FlowError("login_unavailable", flow)
        try:
            token, profile = await self._exchange.redeem(login, leg, code, verifier)
        except ExchangeError as error:
            if error.token is not None:
                await self._with.revoking.discard(leg.provider, leg.instance, error.token)
            raise FlowError("login_unavailable" if error.code == "unavailable" else "login_failed", flow) from None
        await self._with.revoking.discard(leg.provider, leg.instance, token, profile.id)
        return profile

    async def _go_on(self, flow: Flow, cookie: str) -> Attempt:
        """Note that the asker is at the browser, and return where that goes next: the service, or our form."""
        leg = None
        if flow.way != "key":
            try:
                leg = await self._depart(flow, await self._with.ready(flow))
            except BaseException:
                await self._open_again(flow)
                raise
        async with self._with.database.transaction() as tx:
            current = await flows.find(tx, self._with.sealer, "id", flow.id)
            if current is None or current.state != "exchanging" or current.proof is None:
                raise FlowError("ended", flow)
            flow = replace(current, state="open", proof=replace(current.proof, done=True))
            if leg is not None:
                flow = replace(flow, state_hash=digest(leg.state), verifier=self._boxed(flow, leg.secret))
            await flows.update(tx, self._with.sealer, flow)
        self._with.record(flow, "link.proven")
        return Attempt(flow.id, cookie, "" if leg is None else leg.url, here=leg is None)

    async def _open_again(self, flow: Flow) -> None:
        """Let *flow* be as it was before the login was asked; the browser begins another attempt."""
        async with self._with.database.transaction() as tx:
            current = await flows.find(tx, self._with.sealer, "id", flow.id)
            if current is not None and current.state == "exchanging":
                await flows.update(tx, self._with.sealer, replace(current, state="open"))

    def _boxed(self, flow: Flow, verifier: str) -> bytes:
        return self._with.sealer.box(f"verifier:{flow.id}", verifier.encode())


def is_asker(flow: Flow, profile: Profile) -> bool:
    """Whether the login's *profile* is that of the identity that asked for *flow*: its id there is the subject."""
    return profile.id == flow.identity.subject


def login_of(services: LinkServices, flow: Flow) -> Instance | None:
    """Return the login that *flow* wants or has had, to be shown; None where it wants none, or there is none now."""
    if flow.proof is None:
        return None
    provider, _, name = services.logins.get(flow.identity.network, "").partition("@")
    try:
        return services.instances.get(provider, name)
    except OmnibotError:
        return None


def login_page(login: Instance) -> str:
    """Return where *login* is; before it has described itself, where it is asked to."""
    return login.server.authorize_url if login.server else login.issuer
