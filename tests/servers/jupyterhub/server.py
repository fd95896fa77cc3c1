"""JupyterHub: a hub and its proxy, in front of user servers that are tiny.

``jupyterhub_config.py`` beside this file is the hub's side of it.
"""

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from yarl import URL

from servers.browser import HttpBrowser
from servers.processes import Process, cache, fixed_ports, npm_home, require

HERE = Path(__file__).parent
PEOPLE = ("alice", "bob", "carol")
PASTE_PORT = 9
"""Where a bot without a public address sends browsers: nobody is there."""

_LOG_WITHIN = 10.0
STOP_LIMIT = 10.0
"""Seconds a user server may take to stop."""


@dataclass(frozen=True, slots=True)
class HubClient:
    """A service that is registered with the hub; its redirect address is compared as a whole, port and all."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str


@dataclass
class JupyterHub:
    """A JupyterHub whose people are alice, bob and carol, with the password ``pw-<name>``.

    Each may start and stop a server of their own.  The log, in which a test finds the person's
    name, has lines such as ``[I … JupyterHub log:192] 200 GET /hub/api/user (bob@127.0.0.1) 5.21ms``.
    """

    hub: Process
    proxy: Process
    home: Path
    """Where the hub's database is."""

    url: str
    """The address at which people and the bot find it, without a slash at the end; the same after a restart."""

    listener_port: int
    """The port at which a test's bot has to listen, for the hub to send browsers there."""

    rig_secret: str = field(repr=False)
    clients: Sequence[HubClient] = ()
    _first_line: int = field(default=0, repr=False)

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self.hub.running and self.proxy.running

    def start(self) -> None:
        """Start it, unless it is running; tokens and browser sessions are still good.

        Raises:
            ServerFailed: it did not come up.
        """
        if not self.proxy.running:
            self.proxy.start(ready="Proxy API at ")
        if not self.hub.running:
            self.hub.start(ready="JupyterHub is now running")

    def stop(self) -> None:
        """Stop it, and every user server."""
        self.hub.stop()
        self.proxy.stop()

    def client(self, alias: str = "main", *, paste: bool = False) -> HubClient:
        """Return the client whose codes go to ``/callback/jupyterhub/<alias>``; *alias* is ``main`` or ``default``.

        They go to the bot at `listener_port`, or with *paste* to an address bar.
        """
        port = PASTE_PORT if paste else self.listener_port
        return next(one for one in self.clients if one.redirect_uri == _callback(port, alias))

    def log(self) -> list[str]:
        """Return what the hub logged since this test began; what this class asks by itself, ``rig`` asks.

        It writes a line only after it has answered, so it is asked for one more, and that one waited for.
        """
        mark, give_up = f"?mark={secrets.token_hex(8)}", time.monotonic() + _LOG_WITHIN
        self._ask("GET", f"/users/{PEOPLE[0]}{mark}")
        while not any(mark in line for line in self.hub.said()):
            assert time.monotonic() < give_up, "the hub logs nothing"
            time.sleep(0.02)
        return [line for line in self.hub.said()[self._first_line :] if "?mark=" not in line]

    def clear(self) -> None:
        """Bring it up, with no user server and no token from before; read the log from here."""
        self.slow()
        self.start()
        for login in PEOPLE:
            self.stop_server(login)
            for token in self.tokens(login):
                self._ask("DELETE", f"/users/{login}/tokens/{token['id']}")
        self.log()  # all that was answered is written by then
        self._first_line = len(self.hub.said())

    # ------------------------------------------------- seen by an administrator

    def has_server(self, login: str) -> bool:
        """Return whether the server of *login* is up."""
        servers = self._ask("GET", f"/users/{login}")["servers"]
        return bool(servers and servers[""]["ready"])

    def stop_server(self, login: str) -> None:
        """See to it that *login* has no server, not even one that is about to start."""
        deadline = time.monotonic() + STOP_LIMIT
        while self._ask("GET", f"/users/{login}")["servers"]:
            assert time.monotonic() < deadline, f"the server of {login} does not stop"
            self._ask("DELETE", f"/users/{login}/server")
            time.sleep(0.02)

    def tokens(self, login: str) -> list[dict[str, Any]]:
        """Return what the hub tells about the tokens of *login*; ``oauth_client`` says who got them."""
        listed: list[dict[str, Any]] = self._ask("GET", f"/users/{login}/tokens")["api_tokens"]
        return listed

    def slow(self, start: float = 0, stop: float = 0) -> None:
        """Have user servers take *start* seconds until they answer, and *stop* seconds to stop.

        The hub answers after two seconds at the latest: 202 where it is not done by then, otherwise 201 or 204.
        """
        (self.home / "delays").write_text(f"{start} {stop}")

    # ------------------------------------------------------- done by the person

    async def new_token(self, login: str, *scopes: str, expires_in: int | None = None) -> str:
        """Log in as *login* and request a token on the page for it: for *scopes*, or for all that they may do.

        It lives *expires_in* seconds, or for ever.
        """
        async with HttpBrowser(login) as browser:
            asked = {"note": "by hand", "scopes": list(scopes) or None, "expires_in": expires_in}
            status, answer = await self._on_token_page(browser, "POST", f"users/{login}/tokens", asked)

        assert status == 201, answer
        return str(json.loads(answer)["token"])

    async def revoke_tokens(self, login: str) -> None:
        """Log in as *login* and revoke every token and every application that the page lists."""
        async with HttpBrowser(login) as browser:
            _, listed = await self._on_token_page(browser, "GET", f"users/{login}/tokens")
            for token in json.loads(listed)["api_tokens"]:
                # One of an application's tokens stands for all of them, so the next may be gone already.
                await self._on_token_page(browser, "DELETE", f"users/{login}/tokens/{token['id']}")

    async def _on_token_page(
        self, browser: HttpBrowser, method: str, path: str, body: object = None
    ) -> tuple[int, str]:
        """Do what the page's script does, which is to call the API with the cookies of whoever is logged in."""
        page = await browser.walk(f"{self.url}/hub/token")
        assert page.status == 200, f"{page.status} at {page.url}: {page.text}"
        cookies = browser.session.cookie_jar.filter_cookies(URL(page.url))
        headers = {"X-XSRFToken": cookies["_xsrf"].value, "Referer": page.url}
        async with browser.session.request(method, f"{self.url}/hub/api/{path}", json=body, headers=headers) as answer:
            return answer.status, await answer.text()

    def _ask(self, method: str, path: str) -> Any:
        address = urlsplit(self.url)
        connection = HTTPConnection(address.hostname or "", address.port, timeout=20)
        try:
            connection.request(method, f"/hub/api{path}", headers={"Authorization": f"token {self.rig_secret}"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status < 400 or (method, answer.status) == ("DELETE", 404), f"{answer.status} {path}: {body!r}"
        return json.loads(body) if body else None


def _callback(port: int, alias: str) -> str:
    return f"http://127.0.0.1:{port}/callback/jupyterhub/{alias}"


def _clients(listener_port: int) -> Iterator[HubClient]:
    for name, alias in (("service-omnibot", "main"), ("service-omnibot-default", "default")):
        for client_id, port in ((name, listener_port), (f"{name}-paste", PASTE_PORT)):
            yield HubClient(client_id, secrets.token_hex(16), _callback(port, alias))


def hub_home() -> Path:
    """Return the folder of the hub's own environment in the cache."""
    needed = (HERE / "requirements.txt").read_text()
    version = next(line.removeprefix("jupyterhub==") for line in needed.splitlines() if line.startswith("jupyterhub=="))
    return cache() / f"jupyterhub-{version}"


@contextmanager
def instance(home: Path) -> Iterator[JupyterHub]:
    """A JupyterHub whose files are in the folder *home*; it is up until the block ends."""
    python, proxy = hub_home() / "bin" / "python", npm_home("jupyterhub", "configurable-http-proxy")
    for needed in (python, proxy / "node"):
        if not needed.exists():
            require("jupyterhub", f"there is no {needed} (`make servers` puts it there)")
    *ports, listener_port = fixed_ports(4)
    settings = _settings(home, ports, _clients(listener_port))
    server = JupyterHub(
        hub=_hub(python, settings),
        proxy=_proxy(proxy, settings),
        home=home,
        url=settings["url"],
        listener_port=listener_port,
        rig_secret=settings["rig_secret"],
        clients=tuple(HubClient(**one) for one in settings["clients"]),
    )
    try:
        server.clear()
        yield server
    finally:
        server.stop()


def _settings(home: Path, ports: Sequence[int], clients: Iterable[HubClient]) -> dict[str, Any]:
    public, api, inner = ports
    return {
        "home": str(home),
        "url": f"http://127.0.0.1:{public}",
        "hub_url": f"http://127.0.0.1:{inner}",
        "proxy_api": f"http://127.0.0.1:{api}",
        "proxy_secret": secrets.token_hex(16),
        "rig_secret": secrets.token_hex(16),
        "clients": [asdict(one) for one in clients],
    }


def _hub(python: Path, settings: dict[str, Any]) -> Process:
    return Process(
        [str(python), "-m", "jupyterhub", "--config", str(HERE / "jupyterhub_config.py")],
        log=Path(settings["home"]) / "hub.log",
        env={"HUB_SETTINGS": json.dumps(settings)},
    )


def _proxy(package: Path, settings: dict[str, Any]) -> Process:
    script = package / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    command = [str(package / "node"), str(script), "--error-target", f"{settings['hub_url']}/hub/error"]
    for option, url in (("", settings["url"]), ("api-", settings["proxy_api"])):
        address = urlsplit(url)
        command += [f"--{option}ip", str(address.hostname), f"--{option}port", str(address.port)]
    log = Path(settings["home"]) / "proxy.log"
    return Process(command, log=log, env={"CONFIGPROXY_AUTH_TOKEN": settings["proxy_secret"]})


@pytest.fixture(scope="session")
def jupyterhub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterHub]:
    """The run's JupyterHub; tests ask for `jupyterhub`."""
    with instance(tmp_path_factory.mktemp("jupyterhub")) as server:
        yield server


@pytest.fixture
def jupyterhub(jupyterhub_server: JupyterHub) -> JupyterHub:
    """A real JupyterHub that is up, with no user server, no token and an empty log."""
    jupyterhub_server.clear()
    return jupyterhub_server
