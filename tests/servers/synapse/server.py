"""Synapse: one homeserver, `SERVER`, with a database of its own for each run.

It has an application service too, the bridge, whose people's names begin with an underscore.  It speaks
with no other homeserver.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from servers.processes import Process, cache, fixed_ports, require

HERE = Path(__file__).parent
SERVER = "hs.test"
"""The homeserver's name, which ends everybody's MXID."""

LISTENING = "Synapse now listening on TCP port"
GENEROUS = {"per_second": 100_000, "burst_count": 100_000}
CLIENT = "/_matrix/client/v3"
ADMIN = "/_synapse/admin"

_REQUEST = re.compile(r'\{(?P<user>[^}]*)\} Processed request: .* (?P<code>\d+) "(?P<method>[A-Z]+) (?P<uri>\S+) HTTP')
_READ_EVENTS = """
    SELECT events.event_id, json FROM events JOIN event_json USING (event_id)
    WHERE events.room_id = ? OR ? IS NULL ORDER BY stream_ordering
"""

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account with the homeserver."""

    mxid: str
    password: str = field(repr=False)
    """Empty for who is of the bridge."""

    @property
    def localpart(self) -> str:
        """What stands between ``@`` and the homeserver's name."""
        return self.mxid[1:].partition(":")[0]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that the homeserver has answered."""

    user: str
    """The MXID of who made it; ``None`` is the text for nobody."""

    method: str
    uri: str
    """Path and query, without a token."""

    status: int


@dataclass
class Synapse:
    """A homeserver where nobody is too fast, except who is put under `limit`.

    Nothing is wiped between tests, which would take too long: `register` makes up a name each time that
    begins as asked, and every room has its own id.
    """

    process: Process
    home: Path
    url: str
    """Its address, without a slash at the end; the same after a restart."""

    secrets: Mapping[str, str] = field(repr=False)
    _first_line: int = field(default=0, repr=False)
    _tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """By MXID, for asking as somebody without being one of their devices."""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1; the same after a restart."""
        return urlsplit(self.url).port or 0

    @property
    def running(self) -> bool:
        """Whether it is up."""
        return self.process.running

    def start(self) -> None:
        """Start it, unless it is running; accounts, rooms and tokens are still good.

        It takes about four seconds, in which a loop that waits here stands still: ``asyncio.to_thread``.

        Raises:
            ServerFailed: it did not come up.
        """
        if not self.running:
            self.process.start(ready=LISTENING)

    def stop(self) -> None:
        """Stop it; what is in its database stays."""
        self.process.stop()

    def clear(self) -> None:
        """Bring it up, and read the log from here."""
        self.start()
        self._first_line = len(self.process.said())

    def log(self) -> list[str]:
        """Return what it has logged since this test began."""
        return self.process.said()[self._first_line :]

    def requests(self, mxid: str = "") -> list[Request]:
        """Return the requests that were answered since this test began, of *mxid* unless that is empty."""
        found = filter(None, map(_REQUEST.search, self.log()))
        return [
            Request(one["user"], one["method"], one["uri"], int(one["code"]))
            for one in found
            if mxid in ("", one["user"])
        ]

    # ------------------------------------------------------------------ people

    def register(self, name: str, password: str = "", *, admin: bool = False, limited: bool = False) -> Account:
        """Register somebody whose localpart is *name* with something made up after it, and so is a password.

        A name that begins with an underscore is of the bridge, and has no password.  *limited* is as after `limit`.
        """
        localpart = f"{name}-{secrets.token_hex(4)}"
        if name.startswith("_"):
            account = Account(f"@{localpart}:{SERVER}", "")
            order = _as_bridge(username=localpart, inhibit_login=True)
            self._ask("POST", f"{CLIENT}/register", self.secrets["bridge"], order)
        else:
            account = Account(f"@{localpart}:{SERVER}", password or secrets.token_hex(8))
            self._register(account, admin=admin, inhibit_login=True)
        if not limited:
            self.unlimit(account.mxid)
        return account

    def bridge_login(self, mxid: str) -> Json:
        """Log *mxid*, who is of the bridge, in at a new device; return what the homeserver says."""
        order = _as_bridge(identifier={"type": "m.id.user", "user": mxid})
        answer: Json = self._ask("POST", f"{CLIENT}/login", self.secrets["bridge"], order)
        return answer

    def limit(self, mxid: str) -> None:
        """Hold *mxid* to what Synapse allows as it comes: ten messages, and then one every five seconds."""
        self.ask("DELETE", f"{ADMIN}/v1/users/{quote(mxid)}/override_ratelimit")

    def unlimit(self, mxid: str) -> None:
        """Let *mxid* be as fast as they like again."""
        order = {"messages_per_second": 0, "burst_count": 0}
        self.ask("POST", f"{ADMIN}/v1/users/{quote(mxid)}/override_ratelimit", order)

    # ----------------------------------------------------------- seen from above

    def devices(self, mxid: str) -> list[Json]:
        """Return the devices of *mxid*: ``device_id``, ``display_name``, ``last_seen_user_agent`` and so on."""
        listed: list[Json] = self.ask("GET", f"{ADMIN}/v2/users/{quote(mxid)}/devices")["devices"]
        return listed

    def revoke(self, mxid: str, device_id: str = "") -> None:
        """Delete a device of *mxid*, or all of them: the tokens are M_UNKNOWN_TOKEN from now on."""
        for device in [device_id] if device_id else [one["device_id"] for one in self.devices(mxid)]:
            self.ask("DELETE", f"{ADMIN}/v2/users/{quote(mxid)}/devices/{quote(device, safe='')}")

    def raw_events(self, room: str | None = None) -> list[Json]:
        """Return the events of *room*, or of all rooms, as they were taken in and in that order, with ``event_id``.

        They come from the database: what was redacted is whole, and what nobody may see is there.
        """
        with closing(sqlite3.connect(self.home / "homeserver.db", timeout=20)) as database:
            rows = database.execute(_READ_EVENTS, (room, room)).fetchall()
        return [{**json.loads(raw), "event_id": event_id} for event_id, raw in rows]

    def state(self, room: str) -> list[Json]:
        """Return the state events of *room* as it is now."""
        listed: list[Json] = self.ask("GET", f"{ADMIN}/v1/rooms/{quote(room)}/state")["state"]
        return listed

    def members(self, room: str) -> dict[str, str]:
        """Return the membership of everybody who has one in *room*: ``join``, ``invite``, ``leave`` or ``ban``."""
        state = [one for one in self.state(room) if one["type"] == "m.room.member"]
        return {one["state_key"]: one["content"]["membership"] for one in state}

    def rooms(self, mxid: str) -> list[str]:
        """Return the rooms that *mxid* has joined."""
        joined: list[str] = self.ask("GET", f"{ADMIN}/v1/users/{quote(mxid)}/joined_rooms")["joined_rooms"]
        return joined

    def account_data(self, mxid: str, kind: str) -> Json:
        """Return the global account data *kind* of *mxid*, for example ``m.direct``; empty where there is none."""
        data = self.ask("GET", f"{ADMIN}/v1/users/{quote(mxid)}/accountdata")["account_data"]
        found: Json = data["global"].get(kind, {})
        return found

    def keys_query(self, mxid: str, as_user: str) -> Json:
        """Return what ``keys/query`` tells *as_user* of *mxid*: ``device_keys``, ``master_keys`` and so on."""
        answer: Json = self.ask("POST", f"{CLIENT}/keys/query", {"device_keys": {mxid: []}}, as_user=as_user)
        return answer

    def ask(self, method: str, path: str, body: object = None, *, as_user: str = "") -> Any:
        """Send a request as the administrator, or as the MXID *as_user*, and return the answer.

        Raises:
            AssertionError: the status was 400 or more.
        """
        return self._ask(method, path, self._token(as_user), body)

    # ------------------------------------------------------------------ inside

    def _token(self, mxid: str) -> str:
        if mxid not in self._tokens:
            if mxid:
                made = self.ask("POST", f"{ADMIN}/v1/users/{quote(mxid)}/login", {})
            else:
                made = self._register(Account(f"@rig:{SERVER}", secrets.token_hex(8)), admin=True)
            self._tokens[mxid] = made["access_token"]
        return self._tokens[mxid]

    def _register(self, account: Account, *, admin: bool, inhibit_login: bool = False) -> Any:
        path = f"{ADMIN}/v1/register"
        nonce = self._ask("GET", path)["nonce"]
        signed = "\0".join([nonce, account.localpart, account.password, "admin" if admin else "notadmin"])
        order = {
            "nonce": nonce,
            "username": account.localpart,
            "password": account.password,
            "admin": admin,
            "inhibit_login": inhibit_login,  # or there is a device already
            "mac": hmac.new(self.secrets["registration"].encode(), signed.encode(), hashlib.sha1).hexdigest(),
        }
        return self._ask("POST", path, body=order)

    def _ask(self, method: str, path: str, token: str = "", body: object = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        assert answer.status < 400, f"{answer.status} {method} {path}: {text!r}"
        return json.loads(text)


def _as_bridge(**more: object) -> Json:
    return {"type": "m.login.application_service", **more}


# ------------------------------------------------------------------- instances


def synapse_home() -> Path:
    """Return the folder of Synapse's own environment in the cache."""
    needed = (HERE / "requirements.txt").read_text().splitlines()
    version = next(line.removeprefix("matrix-synapse==") for line in needed if line.startswith("matrix-synapse=="))
    return cache() / f"matrix-synapse-{version}"


@contextmanager
def instance(home: Path) -> Iterator[Synapse]:
    """A homeserver whose files are in the folder *home*; it is up until the block ends."""
    python = synapse_home() / "bin" / "python"
    if not python.exists():
        require("synapse", f"there is no {python} (`make servers` puts it there)")
    url = f"http://127.0.0.1:{fixed_ports(1)[0]}"
    made_up = {name: secrets.token_hex(16) for name in ("registration", "macaroon", "form", "bridge", "homeserver")}
    _configure(home, url, made_up)
    command = [str(python), "-m", "synapse.app.homeserver", "--config-path", str(home / "homeserver.json")]
    server = Synapse(Process(command, log=home / "log"), home, url, made_up)
    try:
        server.clear()
        yield server
    finally:
        server.stop()


def _configure(home: Path, url: str, made_up: Mapping[str, str]) -> None:
    """Write what Synapse reads; it wants YAML, which JSON is."""
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (home / "signing.key").write_text(f"ed25519 a_rig {seed}\n")
    (home / "log.json").write_text(json.dumps(_logging()))
    (home / "bridge.json").write_text(json.dumps(_bridge(made_up)))
    listener = {
        "port": urlsplit(url).port,
        "bind_addresses": ["127.0.0.1"],
        "type": "http",
        "resources": [{"names": ["client"]}],
    }
    settings = {
        "server_name": SERVER,
        "public_baseurl": f"{url}/",
        "pid_file": str(home / "pid"),
        "listeners": [listener],
        "database": {"name": "sqlite3", "args": {"database": str(home / "homeserver.db")}},
        "log_config": str(home / "log.json"),
        "media_store_path": str(home / "media"),
        "signing_key_path": str(home / "signing.key"),
        "registration_shared_secret": made_up["registration"],
        "macaroon_secret_key": made_up["macaroon"],
        "form_secret": made_up["form"],
        "app_service_config_files": [str(home / "bridge.json")],
        "bcrypt_rounds": 4,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "federation_domain_whitelist": [],
        "user_directory": {"search_all_users": True},
        **_limits(),
    }
    (home / "homeserver.json").write_text(json.dumps(settings))


def _limits() -> Json:
    """Return all limits but that of messages, which is left as it comes: `Synapse.unlimit` takes it off."""
    alone = ("registration", "room_creation", "joins_per_room", "third_party_invite", "key_requests", "media_create")
    parts = {
        "login": ("address", "account", "failed_attempts"),
        "joins": ("local", "remote"),
        "invites": ("per_room", "per_user", "per_issuer"),
        "presence": ("per_user",),
    }
    return {
        **{f"rc_{name}": GENEROUS for name in alone},
        **{f"rc_{name}": dict.fromkeys(each, GENEROUS) for name, each in parts.items()},
    }


def _bridge(made_up: Mapping[str, str]) -> Json:
    return {
        "id": "bridge",
        "url": None,
        "as_token": made_up["bridge"],
        "hs_token": made_up["homeserver"],
        "sender_localpart": "_bridge",
        "rate_limited": False,
        "namespaces": {"users": [{"exclusive": True, "regex": "@_.*"}], "rooms": [], "aliases": []},
    }


def _logging() -> Json:
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"}},
        "handlers": {"output": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": "INFO", "handlers": ["output"]},
        "disable_existing_loggers": False,
    }


@pytest.fixture(scope="session")
def synapse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """The run's homeserver; tests ask for `synapse`."""
    with instance(tmp_path_factory.mktemp("synapse")) as server:
        yield server


@pytest.fixture
def synapse(synapse_server: Synapse) -> Synapse:
    """A real homeserver that is up, with an empty log."""
    synapse_server.clear()
    return synapse_server
