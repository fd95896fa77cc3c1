"""How a flow ends before it is linked: what is erased, who is told, what is recorded.

Whatever ends a flow (a refusal, a wrong browser, the clock, a spoken link) comes through
here, so that nothing of it is left behind: the pending account goes, its token is revoked
upstream, the parked command is dropped, and the person who asked hears why.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from omnibot import accounts
from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.database import Database, Transaction
from omnibot.delivery import Delivery
from omnibot.errors import Tampered, UserError
from omnibot.identity import Identity
from omnibot.linking import flows, waiting
from omnibot.linking.flows import Flow
from omnibot.linking.revoking import Revoking
from omnibot.markup import code as code_span
from omnibot.markup import escape, printable
from omnibot.message import Message, Reply
from omnibot.tally import Tally
from omnibot.vault import Sealer

_ALARM_AT = 2
_ALARM_WITHIN = 86400.0

ASKER_HEARS = {
    "refused": "The person who opened your {title} link refused it.",
    "not_me": "Whoever authorised your {title} link says it was not them. It is disconnected.",
    "other_browser": "Your {title} link came back in another browser than it was begun in, and has ended.",
    "mix_up": "An answer for your {title} link came from somewhere else, and it has ended.",
    "issuer": "An answer for your {title} link did not come from where it should, and it has ended.",
    "denied": "You refused at {title}: nothing is linked.",
    "provider_error": "{title} would not authorise your link. Try again; if it stays so, tell the bot's operator.",
    "exchange_failed": "{title} did not hand over a token for your link. Try again.",
    "extra_scopes": "{title} granted your link more than I asked for, which this bot's operator does not take. "
    "It is given back, and nothing is linked.",
    "crowded": "So many links were asked for at once that your {title} link, which nobody had opened, gave way. "
    "Ask for a new one.",
    "unavailable": "{title} did not answer when I came for the token. Try again in a while.",
    "interrupted": "I was restarted while {title} was answering. Please begin your link again.",
    "bad_key": "Too many wrong keys: your {title} link has ended. Begin again if you still want it.",
    "not_asker": "Your {title} link was opened by somebody who is signed in as somebody else than you, so it has "
    "ended: nothing is linked. If that was you, sign in as yourself and begin again.",
    "login_denied": "Whoever opened your {title} link did not sign in as you, so it has ended: nothing is linked.",
    "login_failed": "The sign-in for your {title} link did not work, so it has ended. Begin again; if it stays so, "
    "tell the bot's operator.",
    "locked": "Too many wrong codes: your {title} link has ended. Begin again if you still want it.",
    "stolen": "The code of your {title} link was spoken by somebody else, and it has ended.",
    "seen": "Your {title} link was seen where others can read it, and is burnt. Begin again, in private.",
    "host_refused": "An admin of this bot has refused that server, so your {title} link has ended.",
    "expired": "Your {title} link has run out.",
    "not_allowed": "This bot's operator has refused your {title} link, which was held: it is somebody else's account.",
}
"""What the person who asked is told, by reason; a reason that is not here is told nobody."""


def typed_notice(flow: Flow) -> str:
    """Return the name of the notice that the code of a device was typed for *flow*."""
    return f"{flow.id}:typed"


@dataclass(frozen=True, slots=True)
class Ended:
    """A flow that has just ended, and the message that was waiting for it."""

    flow: Flow
    parked: Message | None


class Endings:
    """Ends flows."""

    def __init__(
        self,
        *,
        database: Database,
        sealer: Sealer,
        instances: Instances,
        delivery: Delivery,
        revoking: Revoking,
        audit: Audit,
        admins: tuple[Identity, ...] = (),
        clock: Callable[[], float] = time.time,
        tally: Tally | None = None,
    ) -> None:
        """Work on the rows of *database*; tell *admins* when somebody's links keep being refused."""
        self._database = database
        self._sealer = sealer
        self._instances = instances
        self._delivery = delivery
        self._revoking = revoking
        self._audit = audit
        self._admins = admins
        self._tally = tally or Tally()
        self._clock = clock
        self._blamed: dict[Identity, list[float]] = {}

    async def end(self, tx: Transaction, flow: Flow, state: flows.State, reason: str, *, quiet: bool = False) -> Ended:
        """End *flow*, read in this *tx*; call `told` after its end, but for a *quiet* one.

        The words for the one who asked are kept in *tx*, so that no crash leaves them in the dark.
        """
        parked = await waiting.take(tx, self._sealer, flow)
        if flow.account is not None:
            try:
                account = await accounts.get(tx, self._sealer, flow.account)
            except Tampered:  # what somebody else wrote is not handed to anybody, and goes all the same
                await accounts.delete(tx, flow.account, flow.person)
                account = None
            if account is not None:
                await self._revoking.erase(tx, account)
        for notice in (flow.id, typed_notice(flow)):
            await self._delivery.forget(tx, notice)
        ended = Ended(replace(flow.end(state, reason, self._clock()), account=None), parked)
        await flows.update(tx, self._sealer, ended.flow)
        words = "" if quiet else self._words(ended)
        if words:
            await self._delivery.leave(tx, flow.identity, Reply(words), _notice(flow))
        return ended

    def record(self, ended: Ended) -> None:
        """Put what ended into the audit."""
        flow = ended.flow
        where = {"provider": flow.provider, "instance": flow.instance}
        self._audit.record(flow.person, flow.identity.network, f"link.{flow.state}", reason=flow.reason, **where)
        self._tally.links.add(self._instances.label(flow.provider, flow.instance), flow.state)

    def told(self, ended: Ended) -> None:
        """Record what ended, and tell the person who asked; nobody waits for their network."""
        self.record(ended)
        if words := self._words(ended):
            self._delivery.aside(ended.flow.identity, Reply(words), notice=_notice(ended.flow))

    def _words(self, ended: Ended) -> str:
        """Return what the one who asked is told; a link that gave way to a newer one is told of with that."""
        if ended.flow.reason == "replaced":
            return ""
        words = ASKER_HEARS.get(ended.flow.reason, "").format(title=escape(self.title(ended.flow)))
        return words + (f" {code_span(ended.parked.text)} was not run." if ended.parked is not None else "")

    async def end_quietly(self, flow: Flow, reason: str) -> None:
        """As `burn`, where the person who asked hears of it in another way."""
        ended = await self.cut(flow, reason, quiet=True)
        if ended is not None:
            self.record(ended)

    async def burn(self, flow: Flow, reason: str, state: flows.State = "refused") -> bool:
        """End *flow* if it still lives, or is held as it was; tell its asker; return whether it was ended."""
        ended = await self.cut(flow, reason, state)
        if ended is not None:
            self.told(ended)
        return ended is not None

    async def cut(
        self, flow: Flow, reason: str, state: flows.State = "refused", *, quiet: bool = False
    ) -> Ended | None:
        """As `burn`, and tell nobody yet: return what `told` is to be called with."""
        async with self._database.transaction() as tx:
            current = await flows.find(tx, self._sealer, "id", flow.id)
            if current is None or not (current.live or current.state == flow.state == "held"):
                return None
            return await self.end(tx, current, state, reason, quiet=quiet)

    async def alarm(self, identity: Identity) -> None:
        """Tell the admins when a second browser in a day says no to what *identity* asked for.

        It is counted here as well as in the flows, which go when somebody has themselves forgotten.
        """
        since = self._clock() - _ALARM_WITHIN
        self._blamed = {
            one: recent for one, when in self._blamed.items() if (recent := [at for at in when if at > since])
        }
        self._blamed.setdefault(identity, []).append(self._clock())
        counted = await flows.blamed(self._database, self._sealer, identity, since)
        if max(counted, len(self._blamed[identity])) < _ALARM_AT:
            return
        name = escape(printable(f"{identity.name} ({identity})"))
        text = f"Links that {name} asked for were refused or undone at the browser more than once today."
        self.tell_admins(text)

    def tell_admins(self, text: str) -> None:
        """Say *text* to every admin in private, or keep it for them."""
        for admin in self._admins:
            self._delivery.aside(admin, Reply(text))

    def title(self, flow: Flow) -> str:
        """Return the name of the flow's service, also when it is no longer configured."""
        try:
            return self._instances.get(flow.provider, flow.instance).title
        except UserError:
            return f"{flow.provider}@{flow.instance}"


def _notice(flow: Flow) -> str:
    """Return what the words about the end of *flow* are kept as; its link is kept under its own id."""
    return f"{flow.id}:ended"
