"""The real servers: found, started once a run, and stopped by their process id.

Each is a process of its own, in its own process group, on a port of 127.0.0.1
that was free; what it says goes to a file in the run's temporary folder.  The
session's fixtures are plain functions, so no event loop outlives its test.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, async_playwright

from omnibot import ports

HERE = Path(__file__).parent
START_LIMIT = 60.0
"""Seconds a server may take until it listens."""


def pytest_configure() -> None:
    """Give each worker ports of its own: one that was free is not taken by another before it is bound."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        first, step = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        ports._turn = ports.in_turn(ports._PORTS[first::step])


@pytest.fixture
def unused_tcp_port() -> int:
    """Return a free port that no outgoing connection is given, as pytest-asyncio's may be."""
    return ports.free_port()


class ServerMissing(RuntimeError):
    """A server that this run must not do without is not installed."""


class ServerFailed(RuntimeError):
    """A server ended, or did not listen in time; the text is the end of what it said."""


def require(name: str, reason: str) -> NoReturn:
    """End the test, since server *name* is not there because of *reason*.

    The test is skipped; with ``OMNIBOT_REQUIRE_SERVERS=1`` it fails instead.
    """
    if os.environ.get("OMNIBOT_REQUIRE_SERVERS") == "1":
        raise ServerMissing(f"{name} is required here: {reason}")
    pytest.skip(f"{name}: {reason}")


def cache() -> Path:
    """Return the folder outside the clone in which ``tools/servers.sh`` keeps what it installed."""
    return Path(os.environ.get("OMNIBOT_TEST_CACHE") or Path.home() / ".cache" / "omnibot-tests")


def npm_home(server: str, package: str) -> Path:
    """Return the folder in the cache that has npm's *package*, in the version that *server*'s ``package.json`` names.

    Its ``node`` is the one to start it with.
    """
    said = json.loads((HERE / server / "package.json").read_text())
    return cache() / f"{package}-{said['dependencies'][package]}"


def fixed_ports(count: int) -> list[int]:
    """Return *count* ports of 127.0.0.1 that are free, and that their server finds free when it comes back."""
    return [ports.free_port() for _ in range(count)]


class Process:
    """One server process; *log* has everything it said, over all its starts."""

    def __init__(self, command: list[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.command = command
        self.log = log
        self.env = {**os.environ, **(env or {})}
        self._running: subprocess.Popen[bytes] | None = None

    def start(self, ready: str) -> str:
        """Start it and return the rest of the first line that has *ready* in it.

        Raises:
            ServerFailed: it ended, or the line did not come in time.
        """
        known = len(self.said())
        with self.log.open("ab") as output:
            self._running = subprocess.Popen(  # noqa: S603 - the commands are ours
                self.command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            ended = self._running.poll() is not None
            for line in self.said()[known:]:
                _, found, rest = line.partition(ready)
                if found:
                    return rest.strip()
            if ended:
                break
            time.sleep(0.02)
        self.stop()
        raise ServerFailed("\n".join([f"{self.command[0]} did not start:", *self.said()[-20:]]))

    def stop(self) -> None:
        """Stop it and what it started: asked first, killed after five seconds."""
        if self._running is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._running.wait(5)
        except subprocess.TimeoutExpired:
            pass
        self._signal(signal.SIGKILL)
        self._running.wait()
        self._running = None

    @property
    def running(self) -> bool:
        """Whether it was started, and has neither been stopped nor ended by itself."""
        return self._running is not None and self._running.poll() is None

    @property
    def pid(self) -> int:
        """The process id; it is running."""
        assert self._running is not None
        return self._running.pid

    def said(self) -> list[str]:
        """Return the whole lines that it has written so far."""
        if not self.log.exists():
            return []
        return self.log.read_text(errors="replace").rpartition("\n")[0].splitlines()

    def _signal(self, number: signal.Signals) -> None:
        assert self._running is not None
        try:
            os.killpg(self._running.pid, number)
        except ProcessLookupError:
            pass


# ------------------------------------------------------------- OpenID provider

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class OidcServer:
    """An OpenID provider whose people are alice, bob and carol, with the password ``pw-<name>``.

    It wants PKCE with S256, and rotates refresh tokens.  The log, in which a
    test finds the person's name, has one line an event, for example
    ``api call=GET /api/notes user=alice client=omnibot``.
    """

    process: Process
    issuer: str = ""
    """Its address, without a slash at the end; the same after a restart."""

    client_id: str = "omnibot"
    client_secret: str = field(default="omnibot-secret", repr=False)
    public_client_id: str = "omnibot-public"
    """A second client, which has no secret."""

    redirects: tuple[str, ...] = (
        "http://127.0.0.1/callback",
        "http://127.0.0.1/callback/oidc",
        "http://127.0.0.1/callback/oidc/default",
        "http://127.0.0.1/callback/oidc/main",
        "http://localhost/callback/oidc/main",
        "http://127.0.0.1/callback/plain/default",
    )
    """Where codes may go: these paths exactly, on any port (RFC 8252, section 7.3)."""

    access_token_ttl: int = 300
    _first_line: int = 0

    def start(self) -> None:
        """Start it on a free port, or on the one that it had before."""
        settings = {
            "port": urlsplit(self.issuer).port or fixed_ports(1)[0],
            "access_token_ttl": self.access_token_ttl,
            "clients": self._clients(),
        }
        self.process.env["OIDC_SETTINGS"] = json.dumps(settings)
        self.issuer = self.process.start(ready="listening issuer=")

    def restart(self) -> None:
        """Stop and start it; it forgets everyone's sessions, grants and notes, and every fault."""
        self.process.stop()
        self.start()

    def log_lines(self) -> list[str]:
        """Return what it has logged since this test began."""
        return self.process.said()[self._first_line :]

    def fault(self, **order: Any) -> None:
        """Have it misbehave, as the head of ``oidc/server.mjs`` tells.

        For example ``fault(path="/token", status=503, times=2)``,
        ``fault(path="/token", drop=True)`` (a client may send a dropped GET again
        by itself, never a POST), ``fault(path="/api/", delay=500)``
        in milliseconds, or ``fault(access_token_ttl=1)``; of a device's flow,
        ``fault(interval=1)`` and ``fault(device_code_ttl=1)`` in seconds.
        """
        address = urlsplit(self.issuer)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            connection.request("POST", "/_rig", json.dumps(order))
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    def slow_down(self, times: int = 1) -> None:
        """Tell a device that asks for its token to ask less often, so many *times*."""
        self.fault(path="/token", status=400, times=times, body={"error": "slow_down"})

    def clear(self) -> None:
        """End every fault, forget the notes, and read the log from here; grants stay."""
        self.fault(clear=True)
        self._first_line = len(self.process.said())

    def _clients(self) -> list[dict[str, object]]:
        common = {
            # A native client may use any port of the loopback address, so a test's bot can take a free one.
            "application_type": "native",
            "redirect_uris": self.redirects,
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE],
        }
        return [
            {**common, "client_id": self.client_id, "client_secret": self.client_secret},
            {**common, "client_id": self.public_client_id, "token_endpoint_auth_method": "none"},
        ]


def oidc_home() -> Path:
    """Return the folder where ``tools/servers.sh`` keeps the provider's packages."""
    return npm_home("oidc", "oidc-provider")


@pytest.fixture(scope="session")
def oidc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcServer]:
    """The run's OpenID provider; tests ask for `oidc`."""
    node = oidc_home() / "node"
    if not node.exists():
        require("oidc-provider", f"it is not in {oidc_home().parent} (`make servers` puts it there)")
    process = Process(
        [str(node), str(HERE / "oidc" / "server.mjs")],
        log=tmp_path_factory.mktemp("oidc") / "log",
        env={"OIDC_HOME": str(oidc_home()), "NO_COLOR": "1"},
    )
    server = OidcServer(process)
    try:
        server.start()
        yield server
    finally:
        process.stop()


@pytest.fixture
def oidc(oidc_server: OidcServer) -> OidcServer:
    """A real OpenID provider, with no fault set, no notes and an empty log."""
    oidc_server.clear()
    return oidc_server


# --------------------------------------------------------------------- browser

CHROMIUM_FLAGS = [
    "--headless",
    "--remote-debugging-port=0",
    "--no-sandbox",  # it meets this run's own servers only, and containers lack what the sandbox needs
    "--disable-gpu",
    "--disable-dev-shm-usage",  # a container's /dev/shm is too small
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--no-first-run",
    "--no-startup-window",
    "--no-default-browser-check",
]


@pytest.fixture(scope="session")
def chromium_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address at which the run's Chromium takes orders; tests ask for `chromium`."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        require("chromium", "it is not installed (`make servers` tells why)")
    folder = tmp_path_factory.mktemp("chromium")
    profile = folder / "profile"
    process = Process([path, *CHROMIUM_FLAGS, f"--user-data-dir={profile}"], log=folder / "log")
    try:
        yield process.start(ready="DevTools listening on ")
    finally:
        process.stop()
        shutil.rmtree(profile, ignore_errors=True)


@pytest.fixture
async def chromium(chromium_endpoint: str) -> AsyncIterator[Browser]:
    """A real browser, driven from this test's own loop; what it opened is closed afterwards.

    A context from ``await chromium.new_context()`` shares no cookie with any other.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(chromium_endpoint)
        yield browser
        await browser.close()
