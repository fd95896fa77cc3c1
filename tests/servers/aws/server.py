"""AWS: moto's servers of IAM, STS and EC2, behind a gate of ours that checks what moto does not (`gate.py`)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request as Plain
from urllib.request import urlopen

import aiohttp
import pytest
from yarl import URL

from omnibot.errors import AddressRefused
from omnibot.wire import Answer, Request
from servers.aws.totp import code_of, step_of
from servers.processes import Process, cache, fixed_ports, require

HERE = Path(__file__).parent
REGIONS = ("eu-west-1", "us-east-1")


@dataclass
class Aws:
    """One account of AWS whose users are alice and bob.

    Each has an access key, a device for one-time codes, and an instance in each of `REGIONS`, called
    ``alice-box`` and tagged ``Owner: alice``; one more in each is nobody's.
    """

    process: Process
    port: int
    people: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    instances: dict[str, str] = field(default_factory=dict)
    """Ids by ``alice@eu-west-1``; nobody's are ``nobody@…``."""

    _device_time: float = field(default=0.0, repr=False)

    def clear(self) -> None:
        """Begin anew: other keys, other instances, no session, an empty record."""
        made = self._ask("reset")
        self.people, self.instances = made["people"], made["instances"]
        self._device_time = made["device_time"]

    def key(self, name: str = "alice") -> str:
        """Return the access key of *name*, as the bot wants it: id and secret with a colon between."""
        return self.people[name]["key"]

    def device(self, name: str = "alice") -> str:
        """Return the ARN of the device of *name*."""
        return self.people[name]["serial"]

    def code(self, name: str = "alice", steps: int = 0) -> str:
        """Return what the device of *name* shows now, or so many *steps* of 30 seconds later."""
        return code_of(self.people[name]["seed"], step_of(self._device_time) + steps)

    def wrong_code(self, name: str = "alice") -> str:
        """Return six digits that the device of *name* shows neither now nor near now."""
        near = {self.code(name, steps) for steps in range(-5, 6)}
        return next(code for code in ("000000", *map(str, range(111_111, 111_130))) if code not in near)

    def later(self, seconds: float) -> None:
        """Let *seconds* pass for codes, whose time stands still otherwise."""
        self._device_time += seconds
        self._ask("set", device_time=self._device_time)

    def set_clock(self, ahead: float) -> None:
        """Let AWS's clock be *ahead* of this machine's, in seconds."""
        self._ask("set", clock=ahead)

    def forbid_listing_devices(self) -> None:
        """Let IAM refuse to tell people their devices."""
        self._ask("set", lists_devices=False)

    def end_sessions(self) -> None:
        """Let every session be good for nothing any more."""
        self._ask("end")

    def deactivate(self, name: str) -> None:
        """Let the access key of *name* be good for nothing any more."""
        self._ask("deactivate", name=name)

    def record(self, action: str = "") -> list[dict[str, Any]]:
        """Return what was done since `clear`, as CloudTrail has it: all of it, or what is called *action*."""
        return [one for one in self._ask("record") if action in ("", one["eventName"])]

    def did(self, action: str) -> list[tuple[str, bool, str]]:
        """Return who did *action*, whether with a one-time code, and the error that came of it, if any."""
        found = [(one["userIdentity"], one["errorCode"]) for one in self.record(action)]
        return [(who["userName"], _has_mfa(who), error) for who, error in found]

    def _ask(self, what: str, **said: object) -> Any:
        request = Plain(f"http://127.0.0.1:{self.port}/gate/{what}", json.dumps(said).encode())
        request.add_header("Content-Type", "application/json")
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
            return json.loads(answer.read())


def _has_mfa(who: dict[str, Any]) -> bool:
    return bool(who.get("sessionContext", {}).get("attributes", {}).get("mfaAuthenticated") == "true")


class Named:
    """An outward client for which every host of AWS is this one: names, and so what is signed, are the real ones."""

    def __init__(self, aws: Aws) -> None:
        self._port = aws.port
        self.sent: list[Request] = []

    async def send(
        self,
        request: Request,
        *,
        origins: frozenset[str],
        private: bool,
        timeout: float = 20.0,  # noqa: ASYNC109 - the client's own signature
        limit: int = 0,
    ) -> Answer:
        parts = urlsplit(request.url)
        if request.origin not in origins or not (parts.hostname or "").endswith(".amazonaws.com"):
            raise AddressRefused
        self.sent.append(request)
        url = URL(parts._replace(scheme="http", netloc=f"127.0.0.1:{self._port}").geturl(), encoded=True)
        headers = {**request.headers, "Host": parts.netloc}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, url, headers=headers, data=request.body or None, skip_auto_headers=("Content-Type",)
            ) as answer,
        ):
            names = {key.lower(): said for key, said in answer.headers.items()}
            return Answer(answer.status, names, await answer.read())


def _python() -> Path:
    wanted = (HERE / "requirements.txt").read_text().splitlines()
    version = next(line.partition("==")[2] for line in wanted if line.startswith("moto=="))
    return cache() / f"moto-{version}" / "bin" / "python"


@pytest.fixture(scope="session")
def aws_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """The run's AWS; tests ask for `aws`."""
    python = _python()
    if not python.exists():
        require("moto", f"there is no {python} (`make servers` puts it there)")
    port = fixed_ports(1)[0]
    log = tmp_path_factory.mktemp("aws") / "log"
    env = {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false", "PYTHONPATH": str(HERE.parent.parent)}
    process = Process([str(python), str(HERE / "gate.py"), str(port)], log=log, env=env)
    try:
        process.start(ready="The gate is open.")
        yield Aws(process, port)
    finally:
        process.stop()


@pytest.fixture
def aws(aws_server: Aws) -> Aws:
    """AWS as at its beginning: no session, and nothing done yet."""
    aws_server.clear()
    return aws_server
