"""The bot's side of the town: an adapter that speaks lines of JSON.

The town keeps what is said and hands it over again from the position that the bot has made durable; of what
the bot says it takes each key once.
"""

import asyncio
import itertools
import json
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

from omnibot.adapter import Capabilities, Deliver, Limits, Ready, Tools
from omnibot.errors import NotDelivered
from omnibot.identity import Assurance, Identity
from omnibot.markup import PlainRenderer
from omnibot.message import Channel, Message, Private, Reply, Sent

LONGEST = 1 << 20
_MOST_AT_ONCE = 64
_TAKEN_WITHIN = 10.0


class Settings(BaseModel):
    """Where the town is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int


class Adapter:
    """One connection to the town."""

    capabilities = Capabilities()
    limits = Limits(text=4000)

    def __init__(self, tools: Tools, settings: Settings) -> None:
        """Connect to nothing yet."""
        self._tools = tools
        self._port = settings.port
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count()
        self._taken: dict[int, asyncio.Future[None]] = {}
        self._heard: asyncio.Queue[Message | None] = asyncio.Queue()
        self._renderer = PlainRenderer()

    async def run(self, deliver: Deliver, ready: Ready) -> None:
        """Hear what is said from the last durable position on, until the line breaks."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=LONGEST)
        self._heard = asyncio.Queue()
        try:
            writer.write(_line({"from": await self._tools.position() or "0"}))
            hearing = asyncio.create_task(self._hear(reader))
            self._writer = writer
            try:
                await ready("town")
                await self._hand_over(deliver)
            finally:
                hearing.cancel()
        finally:
            self._writer = None
            for one in self._taken.values():
                one.cancel()
            self._taken.clear()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            async for line in reader:
                said = json.loads(line)
                if "taken" in said:
                    taken = self._taken.pop(said["taken"], None)
                    if taken is not None and not taken.done():
                        taken.set_result(None)
                else:
                    self._heard.put_nowait(self._message(said))
        self._heard.put_nowait(None)

    async def _hand_over(self, deliver: Deliver) -> None:
        """Hand over what is heard, as much at once as is there; return when the line has broken."""
        while True:
            batch = [await self._heard.get()]
            while not self._heard.empty() and len(batch) < _MOST_AT_ONCE:
                batch.append(self._heard.get_nowait())
            messages = [one for one in batch if one is not None]
            if messages:
                await deliver(messages, messages[-1].id)
            if len(messages) < len(batch):
                raise ConnectionError("the town has hung up")

    def _message(self, said: dict[str, Any]) -> Message:
        who = Identity(self._tools.network, said["who"])
        channel = Channel(self._tools.network, said["who"], private=True)
        return Message(
            self._tools.network, said["id"], who, channel, said["text"], said["at"], Assurance.STRONG, addressed=True
        )

    async def send(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        """Say *reply*, and return when the town has it."""
        writer = self._writer
        if writer is None or writer.is_closing():
            raise NotDelivered("the town is out of reach", retryable=True)
        number, who = next(self._numbers), to.identity.subject if isinstance(to, Private) else to.id
        taken = self._taken[number] = asyncio.get_running_loop().create_future()
        said = {
            "number": number,
            "key": key,
            "to": who,
            "text": self._renderer.render(reply.text),
            "link": reply.link.url if reply.link else "",
            "answers": reply.answers.id if reply.answers else "",
        }
        try:
            writer.write(_line(said))
            async with asyncio.timeout(_TAKEN_WITHIN):
                await taken
        except (OSError, TimeoutError):
            raise NotDelivered("the line broke", retryable=True) from None
        except asyncio.CancelledError:
            if not taken.cancelled() or self._writer is writer:  # it is this task that is to end
                raise
            raise NotDelivered("the line broke", retryable=True) from None
        finally:
            self._taken.pop(number, None)
        return Sent(self._tools.network, who, str(number))

    async def edit(self, sent: Sent, reply: Reply) -> Sent:
        """Say it anew."""
        return await self.send(Channel(self._tools.network, sent.channel, private=True), reply, f"edit {sent.id}")

    async def retract(self, message: Message) -> bool:
        """Take nothing back."""
        return False

    async def typing(self, channel: Channel) -> None:
        """Show nothing."""

    async def present(self, identity: Identity, channel: Channel) -> bool:
        """Tell whether it is their own place: there is no other."""
        return identity.subject == channel.id


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"
