"""What a browser is sent to the service with: fresh for each attempt.

With OAuth 2 that is made here: a state, and a PKCE verifier.  With OAuth 1.0a the service is asked
for temporary credentials first; their name stands for the state, their secret for the verifier.
"""

import logging
from dataclasses import dataclass, field

from omnibot import oauth, oauth1
from omnibot.errors import OmnibotError
from omnibot.linking.exchange import Exchange, packed
from omnibot.linking.flows import Flow, FlowError
from omnibot.provider import Instance

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a browser goes, and by what it is known when it is back."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    """Kept as a hash; the answer carries it."""

    secret: str = field(repr=False)
    """Kept boxed until the answer is here: it proves that whoever exchanges the answer is who sent the browser."""


async def depart(exchange: Exchange, flow: Flow, instance: Instance) -> Departure:
    """Return with what a browser is sent to the service of *flow*.

    Raises:
        FlowError: ``not_now``: the service would not have it, and nothing has changed.
        OAuthError: nothing would bind the answer to us.
    """
    if not flow.server.is_oauth1:
        state, verifier = oauth.new_state(), oauth.new_verifier()
        url = oauth.authorize_url(
            flow.server,
            instance.client,
            redirect_uri=flow.redirect_uri,
            scopes=flow.scopes,
            state=state,
            verifier=verifier,
        )
        return Departure(url, state, verifier)
    try:
        temporary = await exchange.temporary(instance, flow)
    except OmnibotError as error:
        what = "no temporary credentials from %s: %s; to see why: omnibot providers test %s"
        log.warning(what, instance.key, _why(error), instance.key)
        raise FlowError("not_now", flow) from None
    return Departure(oauth1.authorize_url(flow.server, temporary), temporary.access, packed(temporary))


def _why(error: OmnibotError) -> str:
    """Return the kind of *error*, and the service's HTTP status where there was one: nothing that the service said."""
    status = getattr(error, "status", None)
    return type(error).__name__ + (f" (status {status})" if status else "")
