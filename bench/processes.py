"""Other processes, and what they cost; Linux only, for it reads their clocks."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parent.parent


def cache() -> Path:
    """Return the folder in which `make servers` keeps what it unpacked."""
    return Path(os.environ.get("OMNIBOT_TEST_CACHE") or Path.home() / ".cache" / "omnibot-tests")


@asynccontextmanager
async def process(command: Sequence[str], env: Mapping[str, str] | None = None) -> AsyncIterator[int]:
    """Run *command* from the root of the repository, its output thrown away; give its id, and end it at last."""
    null = asyncio.subprocess.DEVNULL
    made = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=null, stdout=null, env=env)
    try:
        yield made.pid
    finally:
        with suppress(ProcessLookupError):
            made.terminate()
        await made.wait()


async def listening(port: int, seconds: float) -> None:
    """Return once something listens on *port* of 127.0.0.1.

    Raises:
        RuntimeError: nothing does, so many *seconds* long.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process so far, all threads: Linux's clock of that process."""
    return time.clock_gettime((~pid << 3) | 2)


def resident(pid: int) -> float:
    """Return the megabytes (of 10^6 bytes) of a process that are in memory, its libraries included."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmRSS:"))
