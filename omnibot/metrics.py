"""What the bot counts of itself, for Prometheus: an address of its own, off unless the operator names one.

The one door to ``prometheus_client``, imported only where metrics are on.  What is shown is the
`Tally` and a few gauges that are cheap to ask for; no label and no help text holds a person, a
room, an account, an address or what somebody said (`omnibot.tally`).

The format is that of https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from omnibot import __version__
from omnibot.core import Core
from omnibot.edge import CLIENT, ROUTE, Server
from omnibot.errors import ConfigError, Problem, StorageTrouble
from omnibot.tally import Counter, Histogram

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "omnibot"}

_ROWS = """
SELECT (SELECT count(*) FROM follows) AS follows, (SELECT count(*) FROM notices) AS notices,
(SELECT count(*) FROM revocations) AS revocations
"""


class Metrics:
    """Serves ``/metrics``, and nothing else, on one address."""

    def __init__(self, core: Core) -> None:
        """Show what *core* counts; nothing listens yet."""
        self._core = core
        self._since = time.time()
        self._server = Server(self._answer, lambda status: web.Response(status=status, headers=_HEADERS))

    async def start(self, host: str, port: int) -> int:
        """Listen, and return on which port: with port 0 the system picks one.

        Raises:
            ConfigError: host and port cannot be listened on.
        """
        try:
            return await self._server.start(host, port)
        except ConfigError as error:
            raise ConfigError(
                *(Problem(one.where, "metrics.listen", one.what, one.cure) for one in error.problems)
            ) from None

    async def stop(self) -> None:
        """Listen no more."""
        await self._server.stop()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        request[CLIENT] = request.remote or "-"
        if request.path != "/metrics":
            return web.Response(status=404, headers=_HEADERS)
        request[ROUTE] = "/metrics"
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={**_HEADERS, "Allow": "GET, HEAD"})
        return web.Response(body=await self.text(), headers={**_HEADERS, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def text(self) -> bytes:
        """Return everything as it is now."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected([*self._counted(), *await self._gauges()]))
        return generate_latest(registry)

    def _counted(self) -> Iterator[Metric]:
        tally = self._core.tally
        yield from map(_counter, tally.counters)
        yield from map(_histogram, tally.histograms)

    async def _gauges(self) -> list[Metric]:
        core = self._core
        state = GaugeMetricFamily(
            "omnibot_network_state", "1 for the state that a network is in.", labels=["network", "state"]
        )
        ready = GaugeMetricFamily("omnibot_network_ready", "Whether a network is connected.", labels=["network"])
        for one in core.supervisors:
            state.add_metric([one.network, one.state], 1)
            ready.add_metric([one.network], one.state == "ready")
        build = InfoMetricFamily("omnibot_build", "The versions that run.")
        build.add_metric([], {"version": __version__, "python": ".".join(map(str, sys.version_info[:3]))})
        found = [
            build,
            _gauge("omnibot_start_time_seconds", "When the bot started, in Unix time.", self._since),
            state,
            ready,
            _gauge("omnibot_vault_open", "Whether the vault is open: all keys are there.", not core.keyring.locked),
            _gauge("omnibot_audit_backlog", "Entries of the record that wait to be written.", core.audit.backlog),
            _gauge("omnibot_loop_hold_longest_seconds", "The longest that the loop was held.", core.watchdog.worst),
        ]
        size, memory = await asyncio.to_thread(_measured, core.database.path)
        found.append(_gauge("omnibot_database_bytes", "Size of the database, with its log.", size))
        if memory is not None:
            found.append(_gauge("omnibot_memory_bytes", "Memory of the process that is resident.", memory))
        return found + await self._rows()

    async def _rows(self) -> list[Metric]:
        """Return what the database has to be asked for; where it cannot be read, only that it cannot."""
        readable = "omnibot_database_readable", "Whether the database could be read just now."
        try:
            (row,) = await self._core.database.read(_ROWS)
        except StorageTrouble:
            return [_gauge(*readable, 0)]
        return [
            _gauge(*readable, 1),
            _gauge("omnibot_follows", "What is being followed.", row["follows"]),
            _gauge("omnibot_notices_waiting", "Private answers that wait for a way to their reader.", row["notices"]),
            _gauge("omnibot_revocations_waiting", "Tokens that wait to be handed back.", row["revocations"]),
        ]


class _Collected(Collector):
    """What one scrape shows."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return every family."""
        return self._families


def _counter(counter: Counter) -> Metric:
    family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
    for labels, value in counter.values.items():
        family.add_metric(labels, value)
    return family


def _histogram(histogram: Histogram) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
    bounds = [*map(str, histogram.bounds), "+Inf"]
    for labels, series in histogram.values.items():
        family.add_metric(labels, list(zip(bounds, accumulate(series.buckets), strict=True)), series.sum)
    return family


def _gauge(name: str, help: str, value: float) -> Metric:  # noqa: A002
    return GaugeMetricFamily(name, help, value=value)


def _measured(database: Path) -> tuple[int, int | None]:
    """Return the bytes of *database* on the disk, and of this process in memory, where the system says so; blocking."""
    files = (database, database.with_name(f"{database.name}-wal"))
    size = sum(one.stat().st_size for one in files if one.exists())
    if sys.platform != "linux":
        return size, None
    return size, int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
