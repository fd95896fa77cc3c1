"""Faults: what goes wrong at the demo provider when a test asks for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Fault:
    """What happens to the next *times* requests whose path starts with *path_prefix*."""

    path_prefix: str
    status: int | None
    times: int | None
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    delay: float = 0.0

    async def happen(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer in *handler*'s place; after the delay it may be that nothing else goes wrong."""
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.drop and request.transport is not None:
            request.transport.abort()
        elif self.status is None:
            return await handler(request)
        return web.Response(status=self.status or 503, text=self.body, headers=self.headers)


class Faults:
    """The faults still to come; the one asked for first happens first."""

    def __init__(self) -> None:
        self._coming: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Let *fault* happen, after those already asked for."""
        self._coming.append(fault)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._coming.clear()

    def take(self, path: str) -> Fault | None:
        """The fault that a request for *path* meets, counted down."""
        for fault in self._coming:
            if path.startswith(fault.path_prefix):
                self._count_down(fault)
                return fault
        return None

    def _count_down(self, fault: Fault) -> None:
        if fault.times is None:
            return
        fault.times -= 1
        if fault.times <= 0:
            self._coming.remove(fault)
