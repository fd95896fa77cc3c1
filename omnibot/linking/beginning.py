"""How a link begins: a flow is made, and its address goes to the person who asked, in private.

With a public address the person gets a page of ours, which names who asked and can be
refused; without one, the provider's own page, and its answer is pasted back (RFC 8252).
"""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from omnibot import oauth
from omnibot.database import Transaction
from omnibot.errors import UserError
from omnibot.identity import Assurance, Identity
from omnibot.linking import flows, waiting
from omnibot.linking.flows import Asked, Flow
from omnibot.linking.services import LinkServices
from omnibot.markup import code as code_span
from omnibot.markup import escape, printable
from omnibot.message import Link, Message, Reply
from omnibot.provider import Instance
from omnibot.vault import digest

_MOST_LIVE_FLOWS = 10
_MOST_IN_TEN_MINUTES = 20


class Beginning:
    """Makes flows and sends their links."""

    def __init__(self, services: LinkServices) -> None:
        """Work with *services*."""
        self._with = services

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
    ) -> str:
        """Send *identity* a private link to *instance*, with *why*; return what to say where *message* was said.

        With *parked*, *message* is dispatched again after the confirm.  An open flow for the same
        instance is pointed to, unless this *replaces* it and takes over what waited for it.

        Raises:
            Upstream: the provider's metadata cannot be had.
            KeyMissing: nothing can be stored.
            UserError: the instance cannot be linked this way, or too many links are open.
        """
        instance = await self._with.instances.ready(instance, self._with.http)
        profile = await self._with.people.ensure(identity)
        async with self._with.database.transaction() as tx:
            live = await self._live(tx, identity)
            same = [one for one in live if (one.provider, one.instance) == (instance.provider.name, instance.name)]
            if same and not replaces:
                kept = await self._with.delivery.keeps(tx, same[0].id)
                return f"{why} {self._use_the_open_one(same[0], instance, kept)}".lstrip()
            since = self._with.clock() - flows.TICKET_SECONDS
            if await flows.begun(tx, identity, since) >= _MOST_IN_TEN_MINUTES:
                raise UserError("You have asked for many links. Use the last one, or wait ten minutes.")
            if len(live) - len(same) >= _MOST_LIVE_FLOWS:
                raise UserError("You have too many links open. Finish one, or wait until they run out.")
            ended = [await self._with.endings.end(tx, one, "refused", "replaced") for one in same]
            waits = message if parked else None
            for one in ended:
                if one.parked is not None and not parked:  # taken over, with the scopes that it needs
                    waits, scopes = one.parked, (*scopes, *one.flow.scopes)
            flow, reply = self._new_flow(identity, profile.person, instance, message, scopes, command, waits)
            await flows.insert(tx, self._with.sealer, flow)
            if waits is not None:
                await waiting.park(tx, self._with.sealer, flow, waits)
        for one in ended:
            self._with.endings.told(replace(one, parked=None))
        self._with.record(flow, "link.begun", way=flow.way)
        reply = replace(reply, text=f"{why}\n{reply.text}".lstrip())
        keep = flow.ticket_until - flow.created
        sent = await self._with.delivery.to_identity(identity, reply, near=message, keep=keep, notice=flow.id)
        return self._where_is_the_link(message, instance, sent)

    async def _live(self, tx: Transaction, identity: Identity) -> list[Flow]:
        now = self._with.clock()
        return [one for one in await flows.of_identity(tx, self._with.sealer, identity) if not one.expired(now)]

    def _new_flow(
        self,
        identity: Identity,
        person: str,
        instance: Instance,
        message: Message,
        scopes: Sequence[str],
        command: str,
        waits: Message | None,
    ) -> tuple[Flow, Reply]:
        assert instance.server is not None, "a ready instance has a server"
        now = self._with.clock()
        redirect = self._with.public_url is not None
        where = "" if message.channel.private else printable(str(message.channel))
        flow = Flow(
            id=secrets.token_hex(16),
            person=person,
            identity=identity,
            provider=instance.provider.name,
            instance=instance.name,
            way="redirect" if redirect else "paste",
            assurance=message.assurance or Assurance.ACCOUNT,
            scopes=_scopes(instance, scopes),
            asked=Asked(printable(identity.name), where, command),
            redirect_uri=redirect_uri(instance, self._with.public_url, self._with.paste_port),
            server=instance.server,
            created=now,
            ticket_until=now + flows.TICKET_SECONDS,
            until=now + flows.FLOW_SECONDS,
        )
        return self._by_redirect(flow, instance, waits) if redirect else self._by_paste(flow, instance, waits)

    def _by_redirect(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        ticket = secrets.token_urlsafe(32)
        url = f"{self._with.public_url}/l/{ticket}"
        text = (
            f"To connect **{escape(instance.title)}**, open your link within {flows.TICKET_SECONDS / 60:.0f} minutes. "
            f"Then type the code it shows you here: `{self._with.prefix}confirm CODE`. "
            "Type it yourself; whoever asks you for it wants your account." + self._then(waits)
        )
        reply = Reply(text, link=Link(f"Connect {instance.title}", url))
        return replace(flow, ticket_hash=digest(ticket)), reply

    def _by_paste(self, flow: Flow, instance: Instance, waits: Message | None) -> tuple[Flow, Reply]:
        if "paste" not in instance.provider.ways or instance.provider.loopback == "no" or not instance.paste_allowed:
            raise UserError(
                f"{escape(instance.title)} cannot be linked while this bot has no public address. "
                "Its operator can set `public_url`."
            )
        state, verifier = oauth.new_state(), oauth.new_verifier()
        url = authorize_url(flow, instance, state, verifier)
        scopes, minutes = ", ".join(flow.scopes) or "no scopes", flows.FLOW_SECONDS / 60
        text = (
            f"This lets whoever speaks as **{escape(flow.asked.display)}** act as you on **{escape(instance.title)}** "
            f"({escape(scopes)}). Only go on if you asked for it.\n"
            "Afterwards your browser shows a page that cannot be opened: that is as it should be. Copy the "
            f"whole address from its address bar and paste it here, in private, within {minutes:.0f} minutes. "
            "Whoever asks you for it wants your account." + self._then(waits)
        )
        boxed = self._with.sealer.box(f"verifier:{flow.id}", verifier.encode())
        until = flow.created + flows.FLOW_SECONDS
        flow = replace(flow, state_hash=digest(state), verifier=boxed, ticket_until=until, until=until)
        return flow, Reply(text, link=Link(f"Connect {instance.title}", url))

    def _then(self, waits: Message | None) -> str:
        return f"\nAfter that I run what you asked for: {code_span(waits.text)}" if waits else ""

    def _use_the_open_one(self, flow: Flow, instance: Instance, kept: bool) -> str:
        title, again = escape(instance.title), f"`{self._with.prefix}link {service(instance)}`"
        if flow.state == "pending":
            return f"Your browser shows a code for {title}: type it to me in private, or {again} for a new link."
        if kept:
            return self._waits_in_private(instance)
        return f"Use the link I sent you for {title}, or {again} for a new one."

    def _where_is_the_link(self, message: Message, instance: Instance, sent: bool) -> str:
        if not sent:
            return self._waits_in_private(instance)
        return "" if message.channel.private else f"I have sent you a link for {escape(instance.title)} in private."

    def _waits_in_private(self, instance: Instance) -> str:
        return (
            f"I cannot reach you in private. Open a private conversation with me and say anything: "
            f"your link for {escape(instance.title)} is waiting there."
        )


def redirect_uri(instance: Instance, public_url: str | None, paste_port: int) -> str:
    """Return where the provider sends the browser: built from configuration only (A16)."""
    path = f"/callback/{instance.provider.name}/{instance.name}"
    if public_url is not None:
        return public_url + path
    host = "localhost" if instance.provider.loopback == "localhost" else "127.0.0.1"
    return f"http://{host}:{paste_port}{path}"


def authorize_url(flow: Flow, instance: Instance, state: str, verifier: str) -> str:
    """Return the provider's address at which *flow* goes on."""
    return oauth.authorize_url(
        flow.server,
        instance.client,
        redirect_uri=flow.redirect_uri,
        scopes=flow.scopes,
        state=state,
        verifier=verifier,
    )


def service(instance: Instance) -> str:
    """Return how a person names *instance* in chat."""
    return instance.provider.name if instance.name == "default" else instance.key


def _scopes(instance: Instance, extra: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*instance.provider.base_scopes, *instance.scopes, *extra)))
