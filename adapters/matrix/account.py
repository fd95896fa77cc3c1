"""The bot's account at its homeserver: a device of its own, logged in once.

The device's id is ours, and kept before the first login, so that a login that was cut short is gone on
with and leaves no stray device.  `whoami` has to name the very device whose keys are kept here: with
the keys of one device and the token of another, nobody could read what the bot says.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nio.client.async_client import AsyncClient, AsyncClientConfig

from adapters.matrix.answers import ANEW, LoggedOut, MatrixError, call, path
from adapters.matrix.settings import Settings
from omnibot.adapter import Store
from omnibot.errors import Refused

REQUEST_SECONDS = 30.0
RENEW = "Get another `token`, of the same device, that does not run out."


@dataclass(frozen=True, slots=True)
class Login:
    """A device of the bot's, as it is kept."""

    user: str
    device: str
    token: str = field(default="", repr=False)
    """Empty until the first login is done."""


def config(pickle_key: str = "", **changes: Any) -> AsyncClientConfig:
    """Return how nio is used here: it retries nothing, waits for nothing, and keeps no position."""
    return AsyncClientConfig(
        max_limit_exceeded=0,
        max_timeouts=0,
        request_timeout=REQUEST_SECONDS,
        store_sync_tokens=False,
        pickle_key=pickle_key,
        **changes,
    )


async def logged_in(settings: Settings, kept: Store) -> Login:
    """Return the bot's login, made now if there is none; *kept* are the adapter's secrets.

    Raises:
        Refused: the homeserver does not let the bot in, or with another device or user than those kept.
        MatrixError, OSError, TimeoutError: it does not answer.
    """
    login = await kept_login(settings, kept)
    client = AsyncClient(settings.url, settings.user, config=config(encryption_enabled=False))
    try:
        if settings.token is not None:
            return await _by_token(client, settings, login, kept)
        if login is None or not login.token:
            return await _by_password(client, settings, login, kept)
        try:
            return await _checked(client, settings, login, kept)
        except LoggedOut:
            client.access_token = ""
            return await _by_password(client, settings, login, kept)
    finally:
        await client.close()


async def _by_token(client: AsyncClient, settings: Settings, login: Login | None, kept: Store) -> Login:
    assert settings.token is not None, "there is one"
    client.access_token = settings.token.value
    try:
        user, device = await whoami(client)
    except LoggedOut:
        raise Refused("the token has run out", cure=RENEW) from None
    is_ours(settings, login, user, device)
    found = Login(user, device, settings.token.value)
    await _keep(settings, kept, replace(found, token=""))
    return found


def is_ours(settings: Settings, login: Login | None, user: str, device: str) -> None:
    """Refuse a configured token unless it is *settings*' user's, and of the device that is kept, if one is.

    Raises:
        Refused: it is not; *user* and *device* are whose it is.
    """
    if user != settings.user:
        raise Refused(
            f"the token is {user}'s, and the bot is configured as {settings.user}", cure="Correct `user` or `token`."
        )
    if not device:
        raise Refused("the token belongs to no device", cure="Get one by logging in as the bot, which makes a device.")
    if login is not None and (login.user, login.device) != (user, device):
        raise Refused(
            f"the token is of the device {device}, and the keys kept here are of {login.device}",
            cure="Put the token of that device back, or give the network another `device_name` to begin anew.",
        )


async def _by_password(client: AsyncClient, settings: Settings, login: Login | None, kept: Store) -> Login:
    """Log in as the device that is kept, or as one made up now."""
    assert settings.password is not None, "there is one without a token"
    if login is None:
        login = Login(settings.user, "OMNIBOT" + secrets.token_hex(5).upper())
        await _keep(settings, kept, login)
    await offers_passwords(client)
    wanted = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": settings.user},
        "password": settings.password.value,
        "device_id": login.device,
        "initial_device_display_name": settings.device_name,
    }
    try:
        said = await call(client, "POST", path("login"), wanted)
    except MatrixError as error:
        if error.status in (400, 401, 403):
            raise Refused(
                f"the homeserver does not let the bot in ({error})", cure="Correct `user` and `password`."
            ) from None
        raise
    return await _checked(client, settings, replace(login, token=str(said.get("access_token", ""))), kept)


async def offers_passwords(client: AsyncClient) -> None:
    """Return if the homeserver lets people log in by password.

    Raises:
        Refused: it does not.
        MatrixError, OSError, TimeoutError: it does not answer.
    """
    flows = (await call(client, "GET", path("login"))).get("flows")
    kinds = [flow.get("type") for flow in flows if isinstance(flow, Mapping)] if isinstance(flows, list) else []
    if "m.login.password" not in kinds:
        raise Refused(
            "this homeserver has no login by password",
            cure="Make a token there (with the Matrix Authentication Service: mas-cli manage "
            "issue-compatibility-token), and give that as `token` instead.",
        )


async def _checked(client: AsyncClient, settings: Settings, login: Login, kept: Store) -> Login:
    """Return *login* as it is kept from now on, if the homeserver knows it by the same names."""
    client.access_token = login.token
    is_kept(login, *await whoami(client))
    await _keep(settings, kept, login)
    return login


def is_kept(login: Login, user: str, device: str) -> None:
    """Refuse to be *user* on *device*, unless that is *login*, whose keys are kept here.

    Raises:
        Refused: it is not.
    """
    if (user, device) != (login.user, login.device):
        raise Refused(
            f"the homeserver takes the bot for {user} on {device or 'no device'}, and the keys kept here are "
            f"of {login.user} on {login.device}",
            cure=ANEW,
        )


async def whoami(client: AsyncClient) -> tuple[str, str]:
    """Return user and device that the homeserver takes the client's token for; no device is an empty text.

    Raises:
        Refused, MatrixError, OSError, TimeoutError: as `call`.
    """
    said = await call(client, "GET", path("account", "whoami"))
    return str(said.get("user_id", "")), str(said.get("device_id") or "")


def _key(settings: Settings) -> str:
    return f"login {settings.user} {settings.device_name}"


async def kept_login(settings: Settings, kept: Store) -> Login | None:
    """Return the device that the bot is, as it is kept among the adapter's secrets; None before its first start."""
    value = await kept.get(_key(settings))
    return None if value is None else Login(**json.loads(value))


async def forget_login(settings: Settings, kept: Store) -> None:
    """Be another device from the next login on."""
    await kept.delete(_key(settings))


async def _keep(settings: Settings, kept: Store, login: Login) -> None:
    if await kept_login(settings, kept) != login:
        await kept.set(_key(settings), json.dumps(asdict(login)).encode())
