"""The floor of `bench.matrix`: ``!echo`` on nio alone, as its own documentation has it.

``python -m bench.nioecho URL MXID FOLDER``, with the password in ``$BENCH_PASSWORD``; at its
first start it goes where it is invited.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

from nio.client.async_client import AsyncClient, AsyncClientConfig
from nio.events.room_events import Event, RoomMessageText
from nio.rooms import MatrixRoom


async def main(url: str, mxid: str, folder: Path) -> None:
    """Answer until ended."""
    logging.getLogger("nio").setLevel(logging.ERROR)
    client = AsyncClient(
        url, mxid, store_path=str(folder), config=AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
    )

    async def echo(room: MatrixRoom, event: Event) -> None:
        if isinstance(event, RoomMessageText) and event.body.startswith("!echo "):
            content = {"msgtype": "m.notice", "body": event.body.removeprefix("!echo ")}
            await client.room_send(room.room_id, "m.room.message", content, ignore_unverified_devices=True)

    login = folder / "login"
    if login.exists():
        client.restore_login(mxid, *login.read_text().split())
    else:
        await client.login(os.environ["BENCH_PASSWORD"])
        login.write_text(f"{client.device_id} {client.access_token}")
        await client.sync(full_state=True)
        for room_id in list(client.invited_rooms):
            await client.join(room_id)
    client.add_event_callback(echo, RoomMessageText)
    await client.sync_forever(30_000, full_state=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
