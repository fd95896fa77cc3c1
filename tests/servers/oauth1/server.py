"""The OAuth 1.0a services: Authlib's as a process, once a run, and oauthlib's in a test's own loop."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from servers.oauth1.oauthlib_server import OauthlibServer
from servers.oauth1.service import KEY, SECRET, OAuth1Service, Places
from servers.processes import Process

PLACES = Places(
    request="/oauth/request_token",
    authorize="/oauth/authorize",
    token="/oauth/access_token",
    revoke="/oauth/invalidate_token",
    whoami="/1.1/account/verify_credentials.json",
    login="screen_name",
    posts="/1.1/statuses/update.json",
    text="status",
)


class AuthlibServer:
    """The service of ``authlib_app.py``."""

    def __init__(self, log: Path) -> None:
        self.origin = ""
        """Its address, without a slash at the end; the same after a restart."""

        self._log = log
        self._process = Process([], log)
        self._first_line = 0

    @property
    def places(self) -> Places:
        """Where things are."""
        return PLACES

    @property
    def record(self) -> list[str]:
        """What people did since the test began."""
        return [line for line in self._process.said()[self._first_line :] if " user=" in line]

    def start(self) -> None:
        """Start it, on the port that it had before if it had one."""
        program = Path(__file__).with_name("authlib_app.py")
        port = urlsplit(self.origin).port or 0
        self._process.command = [sys.executable, str(program), str(port), KEY, SECRET]
        self.origin = self._process.start(ready="listening ")

    def stop(self) -> None:
        """Stop it; it forgets everything."""
        self._process.stop()

    def clear(self) -> None:
        """Read the record from here; tokens stay."""
        self._first_line = len(self._process.said())


@pytest.fixture(scope="session")
def authlib_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthlibServer]:
    """The run's service of Authlib's; tests ask for `oauth1`."""
    server = AuthlibServer(tmp_path_factory.mktemp("oauth1") / "log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["authlib", "oauthlib"])
async def oauth1(request: pytest.FixtureRequest) -> AsyncIterator[OAuth1Service]:
    """Each of the two services in turn, with an empty record."""
    if request.param == "authlib":
        server: AuthlibServer = request.getfixturevalue("authlib_server")
        server.clear()
        yield server
    else:
        async with OauthlibServer() as other:
            yield other
