"""The clients that the bot registers by itself, where a service lets it: at their first use, once.

What such a service hands over is the bot's own, no person's: it is kept boxed, for its provider,
instance and origin.  It is asked for anew where the bot's address or what it wants has changed, or
where the service no longer knows it.

Mastodon has had its own way for this since before RFC 7591 was used by anybody:
https://docs.joinmastodon.org/methods/apps/ ("Create an application").
"""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omnibot.database import Database
from omnibot.errors import OAuthError, Upstream, VaultError
from omnibot.oauth import is_plain, json_object
from omnibot.provider import ClientCredential, Instance, Secret
from omnibot.vault import Sealer
from omnibot.wire import Answer, Request, Sender, origin_of

log = logging.getLogger(__name__)

_NAME = "omnibot"
_LONGEST = 1024
_IDLE_SECONDS = 12 * 3600.0
_IN_USE = (
    "SELECT 1 FROM accounts WHERE provider = ? AND instance = ? LIMIT 1",
    "SELECT 1 FROM flows WHERE provider = ? AND instance = ? AND state IN ('open', 'exchanging', 'pending') LIMIT 1",
    "SELECT 1 FROM revocations WHERE provider = ? AND instance = ? LIMIT 1",
)
"""Who needs the client that there is: an account, a link under way, a token on its way back."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A client, where it is one, and what it was made for."""

    origin: str
    about: str
    client: ClientCredential
    created: float


class Clients:
    """What the bot has registered; loaded once, asked without waiting."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        redirect_uri: Callable[[Instance], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Keep them in *database*; browsers come back to *redirect_uri*."""
        self._database = database
        self._sealer = sealer
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._locks = defaultdict[str, asyncio.Lock](asyncio.Lock)

    async def load(self) -> None:
        """Read what there is; what cannot be opened is asked for anew when it is needed."""
        for row in await self._database.read("SELECT * FROM clients"):
            key = f"{row['provider']}@{row['instance']}"
            try:
                opened = self._sealer.unbox(
                    client_purpose(row["provider"], row["instance"], row["origin"]), row["client"]
                )
            except VaultError as error:
                log.warning("what the bot registered at %s cannot be opened: %s", key, type(error).__name__)
                continue
            name, secret = json.loads(opened)
            client = ClientCredential(name, Secret(secret))
            self._known[key] = _Known(row["origin"], row["about"], client, row["created"])

    def of(self, instance: Instance) -> ClientCredential | None:
        """Return the client of the bot at *instance*; None if it has to be registered."""
        known = self._known.get(instance.key)
        if known is None or (known.origin, known.about) != (origin_of(instance.api), self._about(instance)):
            return None
        return known.client

    async def register(self, instance: Instance, http: Sender) -> ClientCredential:
        """Return the client of the bot at *instance*, registered now if it was not; however many ask, once.

        Raises:
            Upstream: the service did not register it.
            KeyMissing: it cannot be kept.
        """
        async with self._locks[instance.key]:
            client = self.of(instance)
            if client is None:
                self._sealer.box("client", b"")  # where nothing can be kept, nothing is asked for
                client = await register_at(instance, http, self._redirect_uri(instance))
                await self._keep(instance, client)
        return client

    async def forget(self, instance: Instance, client: ClientCredential) -> None:
        """Let the bot be registered anew at *instance*, which does not know *client* any more."""
        async with self._locks[instance.key]:
            known = self._known.get(instance.key)
            if known is not None and known.client.client_id == client.client_id:  # and not one made since
                await self._drop(instance)

    async def drop_idle(self, instance: Instance) -> None:
        """Let the bot be registered anew at *instance* where nobody has an account, if that was long ago.

        Mastodon clears away what was registered and is used by nobody, and tells so to the browser alone.
        """
        async with self._locks[instance.key]:
            known = self._known.get(instance.key)
            if known is None or self._clock() - known.created < _IDLE_SECONDS:
                return
            there = (instance.provider.name, instance.name)
            for sql in _IN_USE:
                if await self._database.read(sql, there):
                    return
            await self._drop(instance)

    async def _drop(self, instance: Instance) -> None:
        self._known.pop(instance.key, None)
        sql = "DELETE FROM clients WHERE provider = ? AND instance = ?"
        async with self._database.transaction() as tx:
            await tx.execute(sql, (instance.provider.name, instance.name))

    async def _keep(self, instance: Instance, client: ClientCredential) -> None:
        origin, about = origin_of(instance.api), self._about(instance)
        assert client.client_secret is not None, "as it was read"
        secret = json.dumps([client.client_id, client.client_secret.value]).encode()
        box = self._sealer.box(client_purpose(instance.provider.name, instance.name, origin), secret)
        row: dict[str, Any] = {
            "provider": instance.provider.name,
            "instance": instance.name,
            "origin": origin,
            "about": about,
            "client": box,
            "created": self._clock(),
            "key_id": box[:4].hex(),
        }
        async with self._database.transaction() as tx:
            sql = "DELETE FROM clients WHERE provider = ? AND instance = ?"
            await tx.execute(sql, (instance.provider.name, instance.name))
            await tx.insert("clients", row)
        self._known[instance.key] = _Known(origin, about, client, row["created"])

    def _about(self, instance: Instance) -> str:
        """Return, as JSON, what *instance* is told of the bot: all that people may ever be asked for."""
        return json.dumps([self._redirect_uri(instance), _scopes(instance)])


async def register_at(instance: Instance, http: Sender, redirect_uri: str) -> ClientCredential:
    """Return a new client of the bot at *instance*, for browsers that come back to *redirect_uri*.

    Raises:
        Upstream: the service did not register it.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    said = {"client_name": _NAME, "redirect_uris": redirect_uri, "scopes": _scopes(instance)}
    request = Request("POST", f"{instance.api}/api/v1/apps", headers, json.dumps(said).encode())
    answer = await http.send(request, origins=instance.origins, private=instance.by_operator)
    try:
        return read_client(answer)
    except OAuthError as error:
        log.warning("%s does not register the bot: status %s", instance.key, error.status)
        raise Upstream(f"{instance.title} did not let me register there. Try again in a while.") from None


def _scopes(instance: Instance) -> str:
    """Return all that people may ever be asked for at *instance*."""
    return " ".join(sorted({*instance.provider.scopes, *instance.scopes}))


def client_purpose(provider: str, instance: str, origin: str) -> str:
    """Return what a box with a client is bound to: moved to another row or address, it does not open (A23, A63)."""
    return f"client:{provider}@{instance}:{origin}"


def read_client(answer: Answer) -> ClientCredential:
    """Return the client in *answer*.

    Raises:
        OAuthError: it holds none.
    """
    said = (json_object(answer.body) or {}) if answer.ok else {}
    name, secret = said.get("client_id"), said.get("client_secret")
    if not is_plain(name, _LONGEST) or not is_plain(secret, _LONGEST):
        raise OAuthError("bad_answer", status=answer.status)
    return ClientCredential(name, Secret(secret))
