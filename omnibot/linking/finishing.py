"""The end of a link that was proven at the browser: it needs no word of the asker's, who is told.

What a code in chat would have set off happens by itself.  Only where the asker has something to
decide, what becomes of another login of theirs at that service (A56), there is a code all the
same: it begins that question.
"""

import secrets
from collections.abc import Awaitable, Callable

from omnibot.identity import Identity
from omnibot.linking.desk import Ask, Desk
from omnibot.linking.flows import Flow, FlowError
from omnibot.linking.services import LinkServices
from omnibot.message import Channel, Message, Reply

type Later = Callable[[Awaitable[None]], None]
type Desks = Callable[[Message, Identity, Later, Ask], Desk]
"""Makes the desk for one message of an identity's; see `Desk`."""


class Finishing:
    """Ends proven links."""

    def __init__(self, services: LinkServices, desks: Desks, aside: Callable[[Awaitable[None], str], None]) -> None:
        """End them at one of *desks*; *aside* runs work that nobody waits for, under a name."""
        self._with = services
        self._desks = desks
        self._aside = aside

    async def finish(self, flow: Flow, code: str) -> None:
        """Make the pending account of *flow* active, or tell its owner how to say what it is to replace.

        *code* is the one that the browser would show for it.
        """
        after: list[Awaitable[None]] = []
        desk = self._desks(self._nothing_said(flow), flow.identity, after.append, _ask)
        try:
            words, near = await desk.proven(flow, code)
        except FlowError:  # it was ended just now, and that is what the page will say
            return
        self._aside(self._tell(flow, Reply(words), near, after), "a proven link")

    async def _tell(self, flow: Flow, reply: Reply, near: Message | None, after: list[Awaitable[None]]) -> None:
        await self._with.delivery.to_identity(flow.identity, reply, near=near)
        for work in after:
            await work

    def _nothing_said(self, flow: Flow) -> Message:
        """Return a message that stands for what the browser has done: a desk is made for one."""
        network, name = flow.identity.network, f"proven-{secrets.token_hex(8)}"
        where = Channel(network, name, private=True)
        return Message(network, name, flow.identity, where, "", self._with.clock(), flow.assurance)


async def _ask(question: str, choices: object) -> str:
    raise AssertionError("nobody is there to be asked")
