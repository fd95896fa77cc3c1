"""What tests of hosts that people name start from: a service that is anywhere, and a bot that asks about it."""

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from omnibot.catalogue import ProviderSettings
from omnibot.hosts import Hosts
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.wire import Answer, Request

HOST = "redmine.example.org"
NO_HOST = (
    "I do not know that redmine. A server of your own is named by its host alone, as in `redmine@redmine.example.org`."
)
"""What is said of a name that is neither a host nor an instance."""

WAITS = f"An admin of this bot has to allow `{HOST}` first, and has been asked."


class Anywhere:
    """A Redmine at every host: it knows one key a login, and keeps who asked what, where."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Host and path of every request."""

        self.private: set[bool] = set()
        self.origins: set[frozenset[str]] = set()

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
        self.asked.append(f"{parts.netloc}{parts.path}")
        self.private.add(private)
        self.origins.add(origins)
        login = request.headers.get("X-Redmine-API-Key", "").removeprefix("key-of-")
        return whose(login) if login else Answer(401)


def whose(login: str) -> Answer:
    """Return what Redmine answers to the question whose key that is."""
    body = {"user": {"id": f"id-{login}", "login": login, "firstname": login.title()}}
    return Answer(200, {"content-type": "application/json"}, json.dumps(body).encode())


def planned(
    directory: Path, service: object, instances: Mapping[str, str] | None = None, admin: Identity | None = GRACE
) -> Plan:
    """Return a bot whose people name hosts of Redmine, on which *admin* decides."""
    settings = ProviderSettings(instances={"*": "ask"} if instances is None else instances)
    admins = (str(admin),) if admin else ()
    return Plan(directory, settings=(("redmine", settings),), admins=admins, http=lambda: service)  # type: ignore[arg-type,return-value]


async def decided(bench: Bench, host: str, decision: str = "allowed") -> None:
    """Let an admin decide on *host*."""
    from omnibot.linking.refusing import decide

    assert decision in ("allowed", "refused")
    await decide(bench.core.links, host, "allowed" if decision == "allowed" else "refused")
    await bench.settle()


async def linked(bench: Bench, host: str = HOST, speaker: Identity = ADA) -> str:
    """Let *speaker* link *host* by a key said in private, as somebody allowed it; return the answer."""
    await decided(bench, f"redmine@{host}")
    return (await bench.say(f"!link redmine@{host} key-of-{speaker.display.lower()}", speaker))[0]


def statuses(hosts: Hosts) -> dict[str, str]:
    """Return what is known of each host, by name."""
    return {one.name: one.status for one in hosts.all()}


async def flows_begun(bench: Bench) -> int:
    """Return how many links there were."""
    return len(await bench.rows("SELECT id FROM flows"))
