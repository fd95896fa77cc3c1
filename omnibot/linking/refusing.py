"""An admin's decision on a host that somebody named, and what it means for links under way."""

from omnibot.hosts import Decision, Host
from omnibot.linking import flows
from omnibot.linking.services import LinkServices

_UNDER_WAY = """
SELECT id FROM flows WHERE provider = ? AND instance = ? AND state IN ('open', 'exchanging', 'pending', 'held')
"""


async def decide(services: LinkServices, named: str, decision: Decision) -> Host:
    """Carry out *decision* on the host *named*; with a refusal, every link to it that is under way ends.

    Accounts that are linked there already stay, unused, for their owners to unlink.

    Raises:
        UserError: it is no host, or it is not clear of which provider.
        KeyMissing, Tampered: nothing can be stored; a link under way is not as we wrote it.
    """
    decided = await services.hosts.decide(named, decision)
    if decision == "refused":
        for row in await services.database.read(_UNDER_WAY, (decided.provider, decided.host)):
            flow = await flows.find(services.database, services.sealer, "id", row["id"])
            if flow is not None:
                await services.endings.burn(flow, "host_refused")
    return decided
