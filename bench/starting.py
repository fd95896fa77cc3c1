"""How long a bot with a console and nothing else takes until it answers, and how much memory it has then."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.figures import Figure
from bench.processes import ROOT, resident
from omnibot.ports import free_port
from omnibot.vault import new_key_file

type _Run = tuple[float, float]
"""Seconds until it answered, and megabytes then."""

_REPETITIONS = 7
_CONFIG = """
networks: {console: {adapter: console, history: false}}
skills: [accounts, following, help, ping, api]
log: {level: error}
key_file: omnibot.key
"""
_LISTENING = "public_url: http://127.0.0.1:{port}\nlisten: 127.0.0.1:{port}\n"
_FLOOR = "import asyncio, aiohttp, sys; input(); print('pong', flush=True); sys.stdin.read()"


def start(scratch: Path) -> list[Figure]:
    """From exec to the answer to a piped ``!ping``, and the resident memory then; also with a listener."""
    new_key_file(scratch / "omnibot.key")
    bare, listening = scratch / "bare.yaml", scratch / "listening.yaml"
    bare.write_text(_CONFIG)
    listening.write_text(_CONFIG + _LISTENING.format(port=free_port()))
    bots, listeners, floors = [], [], []
    for _ in range(_REPETITIONS + 1):
        bots.append(_answered("-m", "omnibot", "run", "--config", str(bare)))
        listeners.append(_answered("-m", "omnibot", "run", "--config", str(listening)))
        floors.append(_answered("-c", _FLOOR))
    return [*_figures("", bots, floors, (1, 60)), *_figures(", with a listener", listeners, floors, (None, None))]


def _figures(
    name: str, runs: Sequence[_Run], floors: Sequence[_Run], aims: tuple[float | None, float | None]
) -> Iterator[Figure]:
    floor = "importing asyncio and aiohttp"
    seconds, megabytes = zip(*runs[1:], strict=True)  # the first may have compiled, and made the database
    floor_seconds, floor_megabytes = zip(*floors[1:], strict=True)
    yield Figure(f"until it answers{name}", "s", seconds, floor_seconds, floor, aims[0])
    yield Figure(f"resident memory{name}", "MB", megabytes, floor_megabytes, floor, aims[1])


def _answered(*words: str) -> _Run:
    """Start Python with *words*, say ``!ping``; return the seconds until it says pong, and its megabytes then."""
    pipe = subprocess.PIPE
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *words], cwd=ROOT, stdin=pipe, stdout=pipe) as process:  # noqa: S603 - ours
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"!ping\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        spent = time.perf_counter() - start
        assert answer == b"pong\n", answer
        return spent, resident(process.pid)
