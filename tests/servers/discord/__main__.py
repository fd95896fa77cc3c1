"""The stand-in as a process of its own, for benchmarks: ``python -m servers.discord GATEWAY``.

The bot is told that the gateway's address is GATEWAY, which may be that of a proxy.  The first line of output is
JSON with ``port``, ``token`` and ``channel``.  Ada says each line of input in that channel, and each further line of
output is something that the bot said, as JSON.  It ends with its input.
"""

import asyncio
import json
import sys

from servers.discord.people import Person
from servers.discord.server import DiscordServer


async def main(gateway: str) -> None:
    """Run it to the end of the input."""
    async with DiscordServer() as server:
        server.gateway.url = gateway
        ada = Person(server, server.world.make_user("ada"))
        server.world.join(ada.user)
        _tell({"port": server.port, "token": server.token, "channel": server.general.id})
        telling = asyncio.create_task(_tell_what_is_said(server, ada))
        try:
            async for line in await _input():
                ada.say(line.decode().rstrip("\n"))
        finally:
            telling.cancel()
            await asyncio.wait([telling])


async def _tell_what_is_said(server: DiscordServer, ada: Person) -> None:
    shown = server.world.shown
    while True:
        await server.until(lambda: shown, within=float("inf"))
        for one in shown:
            if one.user is ada.user and one.message.author is server.bot:
                _tell(one.content)
        shown.clear()


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
