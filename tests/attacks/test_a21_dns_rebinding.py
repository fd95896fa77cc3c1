"""A21, DNS rebinding.

The name of Mallory's server is judged when it leads to a public address, and a moment later it leads to
127.0.0.1, or to both: what was checked is not what is connected to.

What must hold: every connection is judged by the address of its own socket; no earlier answer counts.

What remains: nothing known.
"""

import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import connector

from attacks.test_a20_ssrf import HOST, REFUSED, saying, unguarded
from http_peers import FakeResolver, Listener, authority
from named_hosts import planned, whose
from omnibot import http
from omnibot.http import Http
from omnibot.testing.bench import Bench


class Rebinding(FakeResolver):
    """Answers with the next list of addresses, all at one port."""

    def __init__(self, port: int, *answers: list[str]) -> None:
        super().__init__(*answers)
        self.port = port

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        return await super().resolve(host, self.port, family)


def later(client: Http) -> None:
    """Let so much time pass that names are looked up anew."""
    for session in client._sessions.values():
        assert isinstance(session.connector, connector.TCPConnector)
        session.connector.clear_dns_cache()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context that the bot's client trusts, for `HOST`; and 127.0.0.2 passes for public."""
    server, client = authority(HOST)
    monkeypatch.setattr(connector, "_SSL_CONTEXT_VERIFIED", client)
    monkeypatch.setattr(http, "is_public", lambda address: address == "127.0.0.2")
    return server


def answering(login: str) -> bytes:
    """Return what a Redmine says to the question whose key that is."""
    body = whose(login).body
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.attack("A21", sabotage=unguarded)
@pytest.mark.parametrize("turned", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_a_name_that_turns_inward_is_refused(tmp_path: Path, trusted: ssl.SSLContext, turned: str) -> None:
    """Linked while it was public, with a good certificate; the next command connects to nothing."""
    async with Listener(saying(answering("ada")), trusted) as listener:
        client = Http(resolver=Rebinding(listener.port, ["127.0.0.2"], [turned]))
        async with Bench.open(planned(tmp_path, client, {"*": "any"})) as bench:
            linked = await bench.say(f"!link redmine@{HOST} key-of-ada")
            later(client)
            said = await bench.say(f"!api redmine@{HOST} GET /users/current.json")

        assert linked[0].startswith(f"Linked Redmine ({HOST}) as **ada**.")
        assert 1 == listener.connections
        assert [REFUSED] == said


@pytest.mark.attack("A21", sabotage=unguarded)
async def test_an_answer_with_both_reaches_the_public_one_alone(tmp_path: Path, trusted: ssl.SSLContext) -> None:
    """Whichever comes first, and also while the public one does not answer."""
    async with Listener(saying(answering("ada")), trusted) as listener:
        client = Http(resolver=Rebinding(listener.port, ["127.0.0.1", "127.0.0.3"], ["127.0.0.3", "127.0.0.1"]))
        async with Bench.open(planned(tmp_path, client, {"*": "any"})) as bench:
            for _ in range(2):
                await bench.say(f"!link redmine@{HOST} key-of-ada")
                later(client)

            assert [] == await bench.rows("SELECT id FROM accounts")
        assert 0 == listener.connections
