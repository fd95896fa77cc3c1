"""What is told becomes messages: once, of whom the homeserver names, and of nobody else."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adapters.matrix import Adapter, Settings
from matrix_stand_in import BOT, PASSWORD, StandIn, said, soon
from omnibot.adapter import Tools
from omnibot.message import Message
from omnibot.provider import Secret
from omnibot.testing.fakes import FakeStore

ADA = "@ada:hs.test"


async def test_smoke(tmp_path):
    import asyncio
    async with StandIn().up() as hs:
        hs.room("!r", ADA)
        s = Settings(homeserver=hs.url, user=BOT, password=Secret(PASSWORD))
        a = Adapter(Tools("net", "!", FakeStore(), FakeStore(), tmp_path/"o", logging.getLogger("x"), commands=list), s)
        got = []
        async def deliver(m, position=None): got.extend(m)
        ready = asyncio.Event()
        async def r(realm): ready.set()
        t = asyncio.create_task(a.run(deliver, r))
        done,_ = await asyncio.wait([t, asyncio.create_task(ready.wait())], timeout=10, return_when="FIRST_COMPLETED")
        if t.done(): t.result()
        hs.tell("!r", said("!ping", ADA))
        await soon(lambda: got)
        print(got, hs.asked)
        t.cancel()
