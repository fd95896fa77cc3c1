"""How a link begins: a flow is made, and its address goes to the person who asked, in private.

With a public address the person gets a page of ours, which names who asked and can be
refused; without one, the provider's own page, and its answer is pasted back (RFC 8252), or
its PIN is said; or they are asked to say their key in private.  A device's code (RFC 8628)
is told in chat always.
"""

import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from omnibot import oauth1
from omnibot.database import Transaction
from omnibot.errors import OmnibotError, Upstream, UserError
from omnibot.identity import Assurance, Identity
from omnibot.linking import flows, waiting
from omnibot.linking.departing import depart
from omnibot.linking.endings import Ended
from omnibot.linking.exchange import Exchange
from omnibot.linking.flows import Asked, Flow, FlowError, Proof
from omnibot.linking.services import LinkServices
from omnibot.linking.ways import Wanted, best_way
from omnibot.markup import code as code_span
from omnibot.markup import escape, printable
from omnibot.message import Form, Link, Message, Reply, Sent
from omnibot.provider import EVERYTHING, AuthorizationServer, Instance, Way
from omnibot.vault import digest

log = logging.getLogger(__name__)

_MOST_LIVE_FLOWS = 10
_MOST_IN_TEN_MINUTES = 20
_MOST_ON_A_NETWORK = 1000
"""Live flows of all the identities of one network: a flood on one fills no other's."""


class Beginning:
    """Makes flows and sends their links."""

    def __init__(self, services: LinkServices, poll: Callable[[Flow], None] = lambda flow: None) -> None:
        """Work with *services*; *poll* goes on asking whether a device's code has been typed."""
        self._with = services
        self._poll = poll
        self._exchange = Exchange(services.http, services.clock)

    async def begin(
        self,
        identity: Identity,
        instance: Instance,
        message: Message,
        *,
        scopes: Sequence[str] = (),
        command: str = "",
        why: str = "",
        parked: bool = False,
        replaces: bool = False,
        wanted: Wanted = "best",
    ) -> str:
        """Send *identity* a private link to *instance*, with *why*; return what to say where *message* was said.

        With *parked*, *message* is dispatched again after the confirm.  An open flow for the same
        instance is pointed to, unless this *replaces* it and takes over what waited for it.  The way
        is the one *wanted*, or the best there is.

        Raises:
            Upstream: the provider's metadata cannot be had.
            KeyMissing: nothing can be stored.
            UserError: the instance cannot be linked this way, or too many links are open.
        """
        proven = identity.network in self._with.logins
        way = best_way(instance, public=self._with.public_url is not None, wanted=wanted, proven=proven)
        if way != "key":
            await self._with.clients.drop_idle(instance)
            instance = await self._with.instances.ready(instance, self._with.http)
        await self._with.people.ensure(identity)
        async with self._with.database.transaction() as tx:
            live = await self._live(tx, identity)
            same = [one for one in live if (one.provider, one.instance) == (instance.provider.name, instance.name)]
            if same and not replaces:
                kept = await self._with.delivery.keeps(tx, same[0].id)
                return f"{why} {self._use_the_open_one(same[0], instance, kept)}".lstrip()
            await self._check_pace(tx, identity)
            if len(live) - len(same) >= _MOST_LIVE_FLOWS:
                raise UserError("You have too many links open. Finish one, or wait until they run out.")
            ended = [await self._with.endings.end(tx, one, "refused", "replaced") for one in same]
            crowded = await self._make_room(tx, identity.network)
            waits = message if parked else None
            for one in ended:
                if one.parked is not None and not parked:  # taken over, with the scopes that it needs
                    waits, scopes = one.parked, (*scopes, *one.flow.scopes)
            person = await self._with.people.whose(tx, identity)
            flow = self._new_flow(identity, person, instance, message, scopes, command, way)
            flow, reply = self._asking(flow, instance, waits)
            await flows.insert(tx, self._with.sealer, flow)
            if waits is not None:
                await waiting.park(tx, self._with.sealer, flow, waits)
        for one in ended:
            self._with.endings.told(replace(one, parked=None))
        for one in crowded:
            self._with.endings.told(one)
        if reply is None:
            flow, reply = await self._from_the_service(flow, instance, waits)
        self._with.record(flow, "link.begun", way=flow.way)
        reply = replace(reply, text=f"{why}\n{reply.text}".lstrip())
        keep = flow.ticket_until - flow.created
        sent = await self._with.delivery.to_identity(identity, reply, near=message, keep=keep, notice=flow.id)
        return self._where_is_the_link(message, instance, sent)

    async def _live(self, tx: Transaction, identity: Identity) -> list[Flow]:
        now = self._with.clock()
        return [one for one in await flows.of_identity(tx, self._with.sealer, identity) if not one.expired(now)]

    async def for_key(self, identity: Identity, instance: Instance, message: Message) -> Flow:
        """Return the open flow of *identity* that a key said in *message* is for: the one there is, or a new one.

        Raises:
            KeyMissing: nothing can be stored.
            UserError: too many links were begun.
        """
        await self._with.people.ensure(identity)
        async with self._with.database.transaction() as tx:
            for one in await self._live(tx, identity):
                same = (one.provider, one.instance) == (instance.provider.name, instance.name)
                if same and one.way == "key" and one.state == "open":
                    return one
            await self._check_pace(tx, identity)
            crowded = await self._make_room(tx, identity.network)
            person = await self._with.people.whose(tx, identity)
            flow = self._new_flow(identity, person, instance, message, (), "", "key")
            await flows.insert(tx, self._with.sealer, flow)
        for ended in crowded:
            self._with.endings.told(ended)
        self._with.record(flow, "link.begun", way=flow.way)
        return flow

    async def _check_pace(self, tx: Transaction, identity: Identity) -> None:
        if self._with.pause is not None:
            self._with.pause.check()
        since = self._with.clock() - flows.TICKET_SECONDS
        if await flows.begun(tx, identity, since) >= _MOST_IN_TEN_MINUTES:
            raise UserError("You have asked for many links. Use the last one, or wait ten minutes.")
        if refused := self._with.limits.take_link(identity):
            raise UserError(refused)

    async def _make_room(self, tx: Transaction, network: str) -> list[Ended]:
        """Let there be room for one more flow of *network*: one that nobody has opened gives way (A50).

        It is one of whoever has the most, so that many links of few push out their own, and refusing
        newcomers would let a flood lock everybody out for as long as it lasts.

        Raises:
            UserError: every one has been opened.
        """
        if await flows.live_on(tx, network) < _MOST_ON_A_NETWORK:
            return []
        found = await flows.least_missed(tx, self._with.sealer, network)
        if found is None:
            raise UserError("Very many links are being made here just now. Try again in ten minutes.")
        return [await self._with.endings.end(tx, found, "refused", "crowded")]

    def _new_flow(
        self,
        identity: Identity,
        person: str,
        instance: Instance,
        message: Message,
        scopes: Sequence[str],
        command: str,
        way: Way,
    ) -> Flow:
        now = self._with.clock()
        where = "" if message.channel.private else printable(str(message.channel))
        server = AuthorizationServer("", "") if way == "key" else instance.server
        back = {"key": "", "device": "", "pin": oauth1.OUT_OF_BAND}
        assert server is not None, "a ready instance has a server"
        return Flow(
            id=secrets.token_hex(16),
            person=person,
            identity=identity,
            provider=instance.provider.name,
            instance=instance.name,
            way=way,
            assurance=message.assurance or Assurance.ACCOUNT,
            scopes=(EVERYTHING,) if way == "key" else _scopes(instance, scopes),
            asked=Asked(printable(identity.name), where, command),
            redirect_uri=back.get(way, redirect_uri(instance, self._with.public_url, self._with.paste_port)),
            server=server,
            created=now,
            ticket_until=now + flows.TICKET_SECONDS,
            until=now + flows.FLOW_SECONDS,
        )

    def _asking(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply | None]:
        """Return *flow* with what its way needs, and what its asker is told; None: the service is to be asked first."""
        if flow.way in ("paste", "device") or (flow.way == "pin" and self._with.public_url is None):
            until = flow.created + flows.FLOW_SECONDS
            return replace(flow, ticket_until=until, until=until), None
        if flow.way == "key" and instance.chat_keys and self._with.delivery.has_forms(flow.identity.network):
            return self._by_key(flow, instance, waits)
        return (self._by_key if self._with.public_url is None else self._by_page)(flow, instance, waits)

    async def _from_the_service(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        """Ask the service for what *flow* begins with; return the flow with that, and what its asker is told.

        Raises:
            Upstream: it gave nothing; the flow has ended.
        """
        try:
            if flow.way == "device":
                return await self._by_device(flow, instance, waits)
            return await self._by_address(flow, instance, waits)
        except (OmnibotError, ValueError) as error:
            log.warning(
                "a link to %s cannot begin: %s %s", instance.key, type(error).__name__, getattr(error, "code", "")
            )
            await self._with.endings.end_quietly(flow, "not_now")
            status = getattr(error, "status", None)
            said = f"{escape(instance.title)} did not let me begin a link. Try again in a while."
            raise Upstream(said, status=status) from None
        except BaseException:
            await self._with.endings.end_quietly(flow, "cancelled")
            raise

    async def _by_address(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        """Send the service's own address: what comes of it is pasted, or its PIN said."""
        leg = await depart(self._exchange, flow, instance)
        flow = await self._kept(replace(flow, state_hash=digest(leg.state)), leg.secret)
        scopes = f" ({escape(', '.join(flow.scopes) or 'no scopes')})" if flow.way == "paste" else ""
        within = f"here, in private, within {flows.FLOW_SECONDS / 60:.0f} minutes"
        if flow.way == "pin":
            then = f"The page there shows a PIN in the end: say `{self._with.prefix}pin PIN` to me {within}."
            form = Form("Type the PIN", "The PIN that the page shows", "pin")
        else:
            then = (
                "Afterwards your browser shows a page that cannot be opened: that is as it should be. Copy the "
                f"whole address from its address bar and paste it {within}."
            )
            form = Form("Paste the address", "The whole address from the address bar")
        text = (
            f"This lets whoever speaks as **{escape(flow.asked.display)}** act as you on **{escape(instance.title)}**"
            f"{scopes}. Only go on if you asked for it.\n{then} Whoever asks you for it wants your account."
            + self._then(waits)
        )
        return flow, Reply(text, link=Link(f"Connect {instance.title}", leg.url), form=form)

    async def _by_device(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        said = await self._exchange.device_code(instance, flow)
        until = min(flow.until, flow.created + said.lasts)
        kept = json.dumps([said.device_code, said.interval])
        flow = await self._kept(replace(flow, ticket_until=until, until=until), kept)
        self._poll(flow)
        scopes = ", ".join(flow.scopes) or "no scopes"
        text = (
            f"This lets whoever speaks as **{escape(flow.asked.display)}** act as you on **{escape(instance.title)}** "
            f"({escape(scopes)}). Only go on if you asked for it, and never type a code there that somebody gave you: "
            f"it would be their link to your account.\nOpen the page and type {code_span(said.user_code)} there, "
            f"within {(until - flow.created) / 60:.0f} minutes. Then I tell you here whose account it is, and ask "
            "before anything is linked." + self._then(waits)
        )
        return flow, Reply(text, link=Link(f"Connect {instance.title}", said.page))

    async def _kept(self, flow: Flow, secret: str) -> Flow:
        """Write *flow*, which is open still, with its *secret* boxed.

        Raises:
            FlowError: ``ended``: meanwhile it is not.
        """
        flow = replace(flow, verifier=self._with.sealer.box(f"verifier:{flow.id}", secret.encode()))
        async with self._with.database.transaction() as tx:
            current = await flows.find(tx, self._with.sealer, "id", flow.id)
            if current is None or current.state != "open":
                raise FlowError("ended", flow)
            await flows.update(tx, self._with.sealer, replace(flow, person=current.person))
        return flow

    def _by_page(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        ticket = secrets.token_urlsafe(32)
        url = f"{self._with.public_url}/l/{ticket}"
        if flow.identity.network in self._with.logins:
            return self._by_login(flow, instance, waits, ticket, url)
        what, command = ("PIN", "pin") if flow.way == "pin" else ("code", "confirm")
        text = (
            f"To connect **{escape(instance.title)}**, open your link within {flows.TICKET_SECONDS / 60:.0f} minutes. "
            f"Then type the {what} it shows you here: `{self._with.prefix}{command} {what.upper()}`. "
            "Type it yourself; whoever asks you for it wants your account." + self._then(waits)
        )
        form = Form(f"Type the {what}", f"The {what} that your browser shows", command)
        reply = Reply(text, link=Link(f"Connect {instance.title}", url), form=form)
        return replace(flow, ticket_hash=digest(ticket)), reply

    def _by_login(
        self, flow: Flow, instance: Instance, waits: Message | None, ticket: str, url: str
    ) -> tuple[Flow, Reply]:
        """As `_by_page`, where the person at the browser proves to be the asker by signing in."""
        provider, _, name = self._with.logins[flow.identity.network].partition("@")
        login = escape(self._with.instances.get(provider, name).title)
        text = (
            f"To connect **{escape(instance.title)}**, open your link within {flows.TICKET_SECONDS / 60:.0f} minutes. "
            f"You will be asked to sign in to {login} as yourself first, so that nobody else can use it."
            + (f" In the end say the PIN that it shows: `{self._with.prefix}pin PIN`." if flow.way == "pin" else "")
            + self._then(waits)
        )
        reply = Reply(text, link=Link(f"Connect {instance.title}", url))
        return replace(flow, ticket_hash=digest(ticket), proof=Proof()), reply

    def _by_key(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        label, minutes = instance.provider.key.label, flows.FLOW_SECONDS / 60
        command, form = f"link {service(instance)}", None
        if self._with.delivery.has_forms(flow.identity.network):
            form = Form(f"Type your {label}", label, command)
            how = (
                f"Then press *{escape(form.label)}* within {minutes:.0f} minutes: nobody else sees what you type there."
            )
        else:
            how = (
                f"Then say `{self._with.prefix}{command} YOUR-KEY` to me here, in private, within "
                f"{minutes:.0f} minutes, with your {escape(label)} for YOUR-KEY."
            )
        text = (
            f"Whoever speaks as **{escape(flow.asked.display)}** will act as you on **{escape(instance.title)}**. "
            f"{escape(instance.provider.key.hint)}\n{how} Whoever asks you for it wants your account."
            + self._then(waits)
        )
        link = Link(f"Your {label}", instance.key_url) if instance.key_url else None
        until = flow.created + flows.FLOW_SECONDS
        return replace(flow, ticket_until=until, until=until), Reply(text, link=link, form=form)

    def _then(self, waits: Message | None) -> str:
        return f"\nAfter that I run what you asked for: {code_span(waits.text)}" if waits else ""

    def _use_the_open_one(self, flow: Flow, instance: Instance, kept: bool) -> str:
        title, again = escape(instance.title), f"`{self._with.prefix}link {service(instance)}`"
        after = "" if flow.asked.command else " Then say this once more."  # what it was asked for runs by itself
        if flow.state == "pending" and flow.proof is not None:
            return f"Your browser shows a code for {title}, for which I have a question: type it to me in private."
        if flow.state == "pending":
            return f"Your browser shows a code for {title}: type it to me in private, or {again} for a new link."
        if kept:
            return self._waits_in_private(instance)
        if flow.way == "pin" and (flow.ticket_hash is None or flow.state_hash is not None):
            return f"I still wait for your PIN: say `{self._with.prefix}pin PIN` in private, or {again} for a new link."
        if flow.way == "device":
            return f"I still wait for you to type the code that I sent you at {title}, or {again} for a new one."
        if flow.way == "key" and flow.ticket_hash is None:  # no link was sent, be there a page or not
            if self._with.delivery.has_forms(flow.identity.network):
                return f"I still wait for your key: press the button that I sent you, or {again} for another."
            return f"I still wait for your key: say `{self._with.prefix}link {service(instance)} YOUR-KEY` in private."
        return f"Use the link I sent you for {title}, or {again} for a new one.{after}"

    def _where_is_the_link(self, message: Message, instance: Instance, sent: Sent | None) -> str:
        if sent is None:
            return self._waits_in_private(instance)
        return (
            ""
            if message.channel.private or sent.here
            else f"I have sent you a link for {escape(instance.title)} in private."
        )

    def _waits_in_private(self, instance: Instance) -> str:
        return (
            f"I cannot reach you in private. Open a private conversation with me and say anything, or accept my "
            f"invitation if you have one: your link for {escape(instance.title)} is waiting there."
        )


def redirect_uri(instance: Instance, public_url: str | None, paste_port: int) -> str:
    """Return where the provider sends the browser: built from configuration only (A16)."""
    path = f"/callback/{instance.provider.name}/{instance.name}"
    if public_url is not None:
        return public_url + path
    host = "localhost" if instance.provider.loopback == "localhost" else "127.0.0.1"
    return f"http://{host}:{paste_port}{path}"


def service(instance: Instance) -> str:
    """Return how a person names *instance* in chat."""
    return instance.provider.name if instance.name == "default" else instance.key


def _scopes(instance: Instance, extra: Sequence[str]) -> tuple[str, ...]:
    known = (one for one in extra if one != EVERYTHING)  # of a key that this link comes after
    return tuple(dict.fromkeys((*instance.provider.base_scopes, *instance.scopes, *known)))
