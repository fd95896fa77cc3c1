"""Home Assistant: a small house with lamps, a heater and a locked door, and two people who live in it.

``run.py`` beside this file starts it, with what ``configuration.yaml`` names.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import ClientSession, ClientTimeout

from servers.browser import HttpBrowser, Page
from servers.processes import Process, cache, fixed_ports, require

HERE = Path(__file__).parent
OWNER = "alice"
PEOPLE = (OWNER, "bob")

AT_FIRST = {"desk": "off", "cafe": "off", "heater": "on", "bolt": "on", "gate": "off", "ceiling": "off"}
"""How the switches of the house stand when a test begins; lights, lock and garage door follow from them."""


@dataclass(frozen=True, slots=True)
class Change:
    """How something stands, and who brought that about, by Home Assistant's own record."""

    state: str
    by: str
    """The person's name; empty where it was nobody."""


@dataclass
class HomeAssistant:
    """A Home Assistant whose people are alice, who owns it, and bob, with the password ``pw-<name>``.

    The record, in which a test finds the person's name, is each state's context: `change` reads it.
    """

    process: Process
    url: str
    """The address at which people and the bot find it, without a slash at the end; the same after a restart."""

    _sessions: dict[str, str] = field(default_factory=dict, repr=False)
    """A person's access token at Home Assistant's own pages."""

    _names: dict[str, str] = field(default_factory=dict, repr=False)
    """People's names by their ids."""

    def start(self) -> None:
        """Start it, unless it is running; people and their links are as they were.

        Raises:
            ServerFailed: it did not come up.
        """
        if not self.process.running:
            self.process.start(ready="Now listening on port")

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    async def clear(self) -> None:
        """Bring it up, with the house as it is at first, and nothing linked."""
        self.start()
        if not self._sessions:
            await self._settle()
        for person in PEOPLE:
            await self.revoke_tokens(person)
        for switch, state in AT_FIRST.items():
            await self.call(f"input_boolean/turn_{state}", f"input_boolean.{switch}")

    def asked(self, path: str) -> list[str]:
        """Return a line of its log for each request for *path* so far."""
        return [line for line in self.process.said() if f"Serving {path} " in line]

    # ----------------------------------------------------- seen by its people

    async def change(self, entity: str) -> Change:
        """Return how *entity* stands, and who brought that about."""
        said = await self._ask(OWNER, "GET", f"/api/states/{entity}")
        return Change(said["state"], self._names.get(said["context"]["user_id"], ""))

    async def call(self, service: str, entity: str) -> None:
        """Do *service* (``light/turn_on``) to *entity* as alice, without the bot."""
        await self._ask(OWNER, "POST", f"/api/services/{service}", {"entity_id": entity})

    async def links(self, login: str) -> list[str]:
        """Return the clients that may act as *login*, as the person's profile page lists them; not that page itself."""
        tokens = await self._tell(login, {"type": "auth/refresh_tokens"})
        return [one["client_id"] or one["client_name"] for one in tokens if one["client_id"] != f"{self.url}/"]

    async def new_token(self, login: str) -> str:
        """Return a long-lived access token of *login*, as the person's profile page makes them."""
        order = {"type": "auth/long_lived_access_token", "client_name": "omnibot", "lifespan": 365}
        return str(await self._tell(login, order))

    async def revoke_tokens(self, login: str) -> None:
        """End every link of *login*, as the person's profile page does, and every token but that page's own."""
        await self._tell(login, {"type": "auth/delete_all_refresh_tokens", "delete_current_token": False})

    async def allow(self, browser: HttpBrowser, url: str, *, stop: str | None = None) -> Page:
        """Sign in at the page that *url* leads to, and go where it sends the *browser*; *stop* is as for its `open`.

        The page is a script, so what it asks is asked here: ``/auth/login_flow``, step by step.
        """
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}

        assert url.startswith(f"{self.url}/auth/authorize?"), url
        assert asked["response_type"] == "code"
        about = {name: asked[name] for name in ("client_id", "redirect_uri")}
        code = await self._code(browser.session, browser.login, browser.password, about)
        answer = {"code": code, "state": asked["state"]}
        return await browser.open(f"{asked['redirect_uri']}?{urlencode(answer)}", stop=stop)

    # ------------------------------------------------------------------ below

    async def _settle(self) -> None:
        """Make alice its owner and bob a user, as somebody does who has just installed it."""
        owner = {"client_id": f"{self.url}/", "language": "en", **_person(OWNER)}
        async with _client() as client:
            await _json(client, "POST", f"{self.url}/api/onboarding/users", json=owner)
        await self._sign_in(OWNER)
        for person in PEOPLE[1:]:
            about = _person(person)
            order = {"type": "config/auth/create", "name": about.pop("name"), "group_ids": ["system-users"]}
            made = await self._tell(OWNER, order)
            order = {"type": "config/auth_provider/homeassistant/create", "user_id": made["user"]["id"], **about}
            await self._tell(OWNER, order)
            await self._sign_in(person)

    async def _sign_in(self, login: str) -> None:
        """Sign in as *login* at Home Assistant's own pages."""
        about = {"client_id": f"{self.url}/", "redirect_uri": f"{self.url}/?auth_callback=1"}
        async with _client() as client:
            code = await self._code(client, login, f"pw-{login}", about)
            grant = {"grant_type": "authorization_code", "code": code, "client_id": about["client_id"]}
            token = await _json(client, "POST", f"{self.url}/auth/token", data=grant)
        self._sessions[login] = token["access_token"]
        self._names[(await self._tell(login, {"type": "auth/current_user"}))["id"]] = login

    async def _code(self, client: ClientSession, login: str, password: str, about: Mapping[str, str]) -> str:
        flow = f"{self.url}/auth/login_flow"
        begun = await _json(client, "POST", flow, json={**about, "handler": ["homeassistant", None]})
        typed = {"client_id": about["client_id"], "username": login, "password": password}
        ended = await _json(client, "POST", f"{flow}/{begun['flow_id']}", json=typed)

        assert ended["type"] == "create_entry", f"{login} could not sign in: {ended}"
        return str(ended["result"])

    async def _ask(self, login: str, method: str, path: str, body: object = None) -> Any:
        async with _client() as client:
            headers = {"Authorization": f"Bearer {self._sessions[login]}"}
            return await _json(client, method, self.url + path, json=body, headers=headers)

    async def _tell(self, login: str, order: Mapping[str, object]) -> Any:
        """Give *order* over a WebSocket as *login*, and return its result."""
        async with _client() as client, client.ws_connect(f"{self.url}/api/websocket") as socket:
            await socket.receive_json()
            await socket.send_json({"type": "auth", "access_token": self._sessions[login]})
            await socket.receive_json()
            await socket.send_json({"id": 1, **order})
            answer = await socket.receive_json()

        assert answer.get("success"), answer
        return answer["result"]


def _person(name: str) -> dict[str, str]:
    return {"name": name, "username": name, "password": f"pw-{name}"}


def _client() -> ClientSession:
    return ClientSession(timeout=ClientTimeout(total=30))


async def _json(client: ClientSession, method: str, url: str, **said: Any) -> Any:
    async with client.request(method, url, **said) as answer:
        assert answer.status < 400, f"{answer.status} at {url}: {await answer.text()}"
        return await answer.json()


def homeassistant_home() -> Path:
    """Return the folder of Home Assistant's own environment in the cache."""
    needed = (HERE / "requirements.txt").read_text().splitlines()
    name, version = next(line.split("==") for line in needed if line.startswith("homeassistant=="))
    return cache() / f"{name}-{version}"


@contextmanager
def instance(home: Path) -> Iterator[HomeAssistant]:
    """A Home Assistant whose files are in the folder *home*; it is up until the block ends."""
    python = homeassistant_home() / "bin" / "python"
    if not python.exists():
        require("homeassistant", f"there is no {python} (`make servers` puts it there)")
    [port] = fixed_ports(1)
    said = (HERE / "configuration.yaml").read_text().replace("{port}", str(port))
    (home / "configuration.yaml").write_text(said)
    command = [str(python), str(HERE / "run.py"), "--skip-pip", "--config", str(home)]
    # Its modules are many: it takes twice as long to start where each has to be compiled anew.
    process = Process(command, log=home / "log", env={"PYTHONDONTWRITEBYTECODE": ""})
    server = HomeAssistant(process, url=f"http://127.0.0.1:{port}")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def homeassistant_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistant]:
    """The run's Home Assistant; tests ask for `homeassistant`."""
    with instance(tmp_path_factory.mktemp("homeassistant")) as server:
        yield server


@pytest.fixture
async def homeassistant(homeassistant_server: HomeAssistant) -> HomeAssistant:
    """A real Home Assistant that is up, with its house as it is at first, and nothing linked."""
    await homeassistant_server.clear()
    return homeassistant_server
