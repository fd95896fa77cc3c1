"""What every step of linking works with; put together once, by assembly."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from omnibot.audit import Audit
from omnibot.catalogue import Instances
from omnibot.clients import Clients
from omnibot.database import Database
from omnibot.defaults import Defaults
from omnibot.delivery import Delivery
from omnibot.errors import Upstream
from omnibot.hosts import Hosts
from omnibot.identity import Identity
from omnibot.limits import Limits
from omnibot.linking.endings import Endings
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.moving import Moving
from omnibot.linking.pausing import Pause
from omnibot.linking.revoking import Revoking
from omnibot.people import People
from omnibot.provider import Instance
from omnibot.tally import Tally
from omnibot.vault import Sealer
from omnibot.wire import Sender


@dataclass(frozen=True, slots=True)
class LinkServices:
    """The services below linking, and what linking takes from the configuration."""

    database: Database
    sealer: Sealer
    people: People
    instances: Instances
    http: Sender
    delivery: Delivery
    revoking: Revoking
    endings: Endings
    audit: Audit
    defaults: Defaults
    hosts: Hosts
    moving: Moving
    clients: Clients
    is_admin: Callable[[Identity], bool]
    trusts: Callable[[str], bool]
    """Whether a network is the one it was, so that people known there are who they were."""

    pause: Pause | None = None
    limits: Limits = field(default_factory=Limits)
    tally: Tally = field(default_factory=Tally)
    public_url: str | None = None
    """Where the listener is reached from outside; None: linking by paste-back."""

    paste_port: int = 9
    """Port of the loopback redirect nobody listens on; 9 is one that browsers refuse to open."""

    logins: Mapping[str, str] = field(default_factory=dict)
    """By network: the instance, ``provider@instance``, where the person at the browser is proven to be the asker."""

    prefix: str = "!"
    clock: Callable[[], float] = time.time

    def instance(self, flow: Flow) -> Instance:
        """Return the instance that *flow* is about."""
        return self.instances.get(flow.provider, flow.instance)

    async def ready(self, flow: Flow) -> Instance:
        """Return the instance that *flow* is about, ready for a browser to be sent there.

        Raises:
            FlowError: ``not_now``: its server does not say where, or does not register the bot.
        """
        try:
            return await self.instances.ready(self.instance(flow), self.http)
        except Upstream:
            raise FlowError("not_now", flow) from None

    def shown(self, flow: Flow) -> Instance:
        """Return the instance that *flow* is about, also one at a host that was refused since: to be shown only."""
        return self.instances.shown(flow.provider, flow.instance)

    def record(self, flow: Flow, event: str, **detail: str) -> None:
        """Put a step of *flow* into the audit."""
        where = {"provider": flow.provider, "instance": flow.instance}
        self.audit.record(flow.person, flow.identity.network, event, **where, **detail)
        self.tally.links.add(self.instances.label(flow.provider, flow.instance), event.removeprefix("link."))
