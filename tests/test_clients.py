"""The clients that the bot registers by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omnibot.catalogue import Instances, ProviderSettings
from omnibot.clients import Clients, read_client
from omnibot.database import Database
from omnibot.errors import OAuthError, Upstream
from omnibot.provider import AuthorizationServer, ClientCredential, Instance, Provider, Secret, Whoami
from omnibot.vault import Keyring, Sealer, new_key_file
from omnibot.wire import Answer, Request

SOCIAL = Provider(
    name="social",
    title="Social",
    scopes={"read": "read", "write": "write"},
    whoami=Whoami("/me", "id", "login"),
    registration="mastodon",
    server=AuthorizationServer("{base}/oauth/authorize", "{base}/oauth/token", client_auth="post"),
)
BACK = "https://bot.example/callback/social/default"


class Registry:
    """A service that registers whoever asks, as the documentation of Mastodon has it."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Answer | None = None

    async def send(self, request: Request, **more: Any) -> Answer:
        await asyncio.sleep(0)

        assert ("POST", "https://social.example/api/v1/apps") == (request.method, request.url)

        self.asked.append(json.loads(request.body))
        said = {"client_id": f"id-{len(self.asked)}", "client_secret": "hidden", "client_secret_expires_at": 0}
        return self.answer or Answer(200, {}, json.dumps(said).encode())


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one."""
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


@pytest.fixture
def sealer(tmp_path: Path) -> Sealer:
    """A master key's."""
    path = tmp_path / "omnibot.key"
    new_key_file(path)
    return Sealer(Keyring.load(path))


@pytest.fixture
def registry() -> Registry:
    return Registry()


def instances(scopes: tuple[str, ...] = ()) -> Instances:
    """A catalogue with the one service."""
    settings = ProviderSettings(base="https://social.example", scopes=scopes)
    return Instances({"social": SOCIAL}, {"social": settings})


def clients(database: Database, sealer: Sealer, back: str = BACK) -> Clients:
    return Clients(database, sealer, lambda instance: back)


def social(*scopes: str) -> Instance:
    return instances(scopes).get("social")


async def test_the_bot_registers_once_and_remembers_it(database: Database, sealer: Sealer, registry: Registry) -> None:
    """Twenty who link at once are one registration, and so it stays after a restart."""
    known = instances()
    made = clients(database, sealer)
    known.register_by(made)
    instance = known.get("social")

    assert instance.authorises
    assert not instance.client.client_id

    ready = await asyncio.gather(*(known.ready(instance, registry) for _ in range(20)))

    assert {"id-1"} == {one.client.client_id for one in ready}
    assert [{"client_name": "omnibot", "redirect_uris": BACK, "scopes": "read write"}] == registry.asked
    assert "id-1" == known.get("social").client.client_id

    again = clients(database, sealer)
    await again.load()

    assert (found := again.of(social())) is not None
    assert (Secret("hidden"), "id-1") == (found.client_secret, found.client_id)


async def test_nothing_of_it_is_in_the_clear(database: Database, sealer: Sealer, registry: Registry) -> None:
    """Name and secret are boxed."""
    await clients(database, sealer).register(social(), registry)

    (row,) = await database.read("SELECT * FROM clients")

    assert "hidden" not in str(tuple(row))


async def test_another_address_or_other_scopes_are_registered_anew(
    database: Database, sealer: Sealer, registry: Registry
) -> None:
    """What was registered is what may be asked for, and where browsers may come back to."""
    made = clients(database, sealer)
    await made.register(social(), registry)

    assert made.of(social("follow")) is None
    assert made.of(replace(social(), api="https://other.example")) is None

    moved = clients(database, sealer, "https://new.example/callback/social/default")
    await moved.load()

    assert moved.of(social()) is None
    assert "id-2" == (await moved.register(social(), registry)).client_id
    assert 1 == len(await database.read("SELECT * FROM clients"))


async def test_what_the_service_forgot_is_asked_for_anew(
    database: Database, sealer: Sealer, registry: Registry
) -> None:
    """It said that it does not know the client."""
    made = clients(database, sealer)
    await made.register(social(), registry)
    await made.forget(social(), ClientCredential("id-1"))

    assert made.of(social()) is None
    assert [] == await database.read("SELECT * FROM clients")


async def test_a_row_at_another_address_does_not_open(database: Database, sealer: Sealer, registry: Registry) -> None:
    """Whoever can write to the database gets no client sent to a server of theirs (A63)."""
    await clients(database, sealer).register(social(), registry)
    async with database.transaction() as tx:
        await tx.execute("UPDATE clients SET origin = 'https://evil.example'")
    made = clients(database, sealer)
    await made.load()

    assert made.of(replace(social(), api="https://evil.example")) is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(422, {}, b'{"error":"Validation failed: Redirect URI must be an absolute URI."}'),
        Answer(200, {}, b"{}"),
        Answer(200, {}, b'{"client_id":"a"}'),
        Answer(200, {}, b'{"client_id":"a\\n","client_secret":"b"}'),
        Answer(200, {}, b"<html>"),
        Answer(503),
    ],
)
async def test_a_service_that_would_not(database: Database, sealer: Sealer, registry: Registry, answer: Answer) -> None:
    """The person is told so, in words of ours."""
    registry.answer = answer

    with pytest.raises(OAuthError):
        read_client(answer)
    with pytest.raises(Upstream, match="Social did not let me register there"):
        await clients(database, sealer).register(social(), registry)


async def test_a_client_made_since_is_not_forgotten(database: Database, sealer: Sealer, registry: Registry) -> None:
    """Two links fail with the old one, and a third has registered anew between them."""
    made = clients(database, sealer)
    await made.register(social(), registry)
    await made.forget(social(), ClientCredential("id-0"))

    assert made.of(social()) is not None


async def test_a_client_that_nobody_uses_is_made_anew_after_half_a_day(
    database: Database, sealer: Sealer, registry: Registry
) -> None:
    """Mastodon clears such away, and tells the browser alone."""
    now = [1000.0]
    made = Clients(database, sealer, lambda instance: BACK, lambda: now[0])
    await made.register(social(), registry)
    await made.drop_idle(social())

    assert made.of(social()) is not None

    now[0] += 13 * 3600.0
    await made.drop_idle(social())

    assert made.of(social()) is None
