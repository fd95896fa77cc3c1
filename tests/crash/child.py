"""A bot that is killed where it was told to be.

``python -m crash.child`` imports everything once and then forks a process for each order it
reads, so that a bot starts in a fraction of a second.  The fork runs the bot on a directory,
with a hook at each *point*: after every commit and every file that was made durable, before
and after every request that leaves the machine, every reply that goes out to chat, and every
answer that a browser gets.  At the point it was named, it kills itself as ``kill -9`` would.

An order may name another `Program` than the bot, as ``module:function``: what works on the
database by itself is killed in the same way.

What it is told, and what it tells, is one line of JSON each.  A line is written straight to
a pipe, so that what a person was told is known also of a process that then dies.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from omnibot.catalogue import ProviderSettings
from omnibot.database import Database, Transaction
from omnibot.edge import ROUTE
from omnibot.http import Http
from omnibot.message import Channel, Private, Reply, Sent
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, Bench, Clock, Plan
from omnibot.testing.fakes import FORMLESS, FakeAdapter, Said
from omnibot.wire import Answer, Request

type Order = dict[str, Any]
type Program = Callable[[Order, "Points"], Coroutine[Any, Any, None]]
"""What a fork runs, given the order that began it."""

BOT = "crash.child:bot"


class Points:
    """Counts the points by name, and kills this process at one of them."""

    def __init__(self, kill: tuple[str, int] | None) -> None:
        """Kill at the point with that name, when it is come to for that time; never, for None."""
        self._kill = kill
        self._seen = Counter[str]()

    def __call__(self, name: str) -> None:
        """Note that this point is come to."""
        self._seen[name] += 1
        here = (name, self._seen[name])
        tell({"point": here})
        if here == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)


class Leashed(FakeAdapter):
    """A network whose every word is a point, and told at once."""

    def __init__(self, points: Points, clock: Clock) -> None:
        """Be the network that every person of these tests is on."""
        super().__init__(capabilities=FORMLESS, clock=clock)
        self._points = points

    def _say(self, to: Channel | Private, reply: Reply, key: str) -> Sent:
        words = " ".join(reply.text.split()[:3])
        self._points(f"before the reply {words!r}")
        sent = super()._say(to, reply, key)
        tell({"said": _shown(self.said[-1])})
        self._points(f"after the reply {words!r}")
        return sent


class Counted(Http):
    """The outward client, each request of which is two points."""

    def __init__(self, points: Points) -> None:
        """Send as ever."""
        super().__init__()
        self._points = points

    async def send(self, request: Request, **how: Any) -> Answer:
        """Send *request* between its points."""
        name = f"{request.method} {request.url.removeprefix(request.origin).partition('?')[0]}"
        self._points(f"before {name}")
        answer = await super().send(request, **how)
        self._points(f"after {name}")
        return answer


def hook(points: Points) -> None:
    """Let every commit, and every page that is sent, be a point: in this process, for good."""
    transaction, checkpoint, write = Database.transaction, Database.checkpoint, web.Response.write_eof
    fsync = os.fsync

    @asynccontextmanager
    async def counted(self: Database) -> AsyncIterator[Transaction]:
        name = f"the commit of {_caller()}"
        async with transaction(self) as tx:
            yield tx
        points(name)

    async def emptied(self: Database) -> None:
        await checkpoint(self)
        points("the checkpoint")

    async def written(self: web.Response, data: bytes = b"") -> None:
        request = self._req
        name = f"the page {self.status} of {request.get(ROUTE, '-') if request is not None else '-'}"
        points(f"before {name}")
        await write(self, data)
        points(f"after {name}")

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        points("a file on the disk")

    os.fsync = synced  # type: ignore[assignment]
    Database.transaction = counted  # type: ignore[method-assign]
    Database.checkpoint = emptied  # type: ignore[method-assign]
    web.Response.write_eof = written  # type: ignore[method-assign]


def _caller() -> str:
    """Return which function of ours began the transaction that is being begun."""
    frame = sys._getframe(2)
    while not (module := frame.f_globals["__name__"]).startswith("omnibot.") and frame.f_back is not None:
        frame = frame.f_back
    return f"{module.removeprefix('omnibot.')}.{frame.f_code.co_name}"


def _shown(said: Said) -> dict[str, Any]:
    alone = not said.channel.private and not said.ephemeral
    return {"text": said.reply.text, "link": said.reply.link.url if said.reply.link else "", "public": alone}


def tell(line: Order) -> None:
    """Write *line* to whoever gave the order; it is with the kernel when this returns."""
    os.write(1, json.dumps(line).encode() + b"\n")


async def orders() -> AsyncIterator[Order]:
    """Yield what is ordered, until the end of the input."""
    loop, waiting = asyncio.get_running_loop(), b""
    while True:
        ready = asyncio.Event()
        loop.add_reader(0, ready.set)
        await ready.wait()
        loop.remove_reader(0)
        more = os.read(0, 65_536)
        if not more:
            return
        *lines, waiting = (waiting + more).split(b"\n")
        for line in lines:
            yield json.loads(line)


async def bot(order: Order, points: Points) -> None:
    """Run a bot on the directory of *order*, and do there what is ordered further."""
    clock = Clock()
    clock.pass_(order.get("ahead", 0.0))
    network = Leashed(points, clock)
    plan = Plan(
        Path(order["directory"]),
        networks=(network,),
        settings=(("demo", ProviderSettings("omnibot", Secret("demo-secret"), order["origin"])),),
        public=order["public"],
        port=order["port"],
        http=lambda: Counted(points),
    )
    async with Bench.open(plan, clock) as bench:
        await network._connected.wait()
        await bench.settle()
        tell({"done": None})
        async for further in orders():
            if "stop" in further:
                break
            tell({"done": await _obey(bench, further)})
    tell({"done": None})


async def _obey(bench: Bench, order: Order) -> object:
    """Do what is ordered: hear something, tell how far the network was read, or let time pass."""
    if "say" in order:
        named = {"id": order["id"]} if "id" in order else {}
        await bench.network.hear(order["say"], ADA, position=order.get("position"), **named)
    elif "position" in order:
        return await bench.core.intake.position(bench.network.network)
    elif "later" in order:
        bench.clock.pass_(order["later"])
        await bench.core.upkeep.sweep()
        await bench.core.revoking.work()
    await bench.core.renewals.settle()
    await bench.settle()
    await _handed_back(bench)
    return await bench.core.audit.first_broken()


async def _handed_back(bench: Bench) -> None:
    """Wait until each token that is to be revoked has been tried once: it happens in the bot's own time."""
    async with asyncio.timeout(10):
        while await bench.rows("SELECT 1 FROM revocations WHERE tries = 0"):  # noqa: ASYNC110 - it changes in the database
            await asyncio.sleep(0.01)


def _run(order: Order) -> None:
    """Be one process: call what *order* wants called before, and run the program that it names."""
    points = Points(tuple(order["kill"]) if order.get("kill") else None)
    hook(points)
    for place in order.get("before", ()):
        _named(place)()
    program: Program = _named(order.get("program", BOT))
    asyncio.run(program(order, points))


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def main() -> None:
    """Fork a process for each order that begins one, and tell how it ended."""
    while line := _line():
        order = json.loads(line)
        if "directory" not in order:
            continue  # was meant for a process that had died
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            tell({"ended": os.waitstatus_to_exitcode(status)})
        else:
            try:
                tell({"forked": os.getpid()})
                _run(order)
            except BaseException:  # noqa: BLE001 - whatever it is, it is told, and this process ends
                tell({"failed": traceback.format_exc()})
                os._exit(1)
            os._exit(0)


def _line() -> bytes:
    """Read one line, and not a byte more: what follows may be for a fork."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 1)
        if not more:
            return b""
        line += more
    return line


if __name__ == "__main__":
    _named("crash.child:main")()  # under the name by which others import it
