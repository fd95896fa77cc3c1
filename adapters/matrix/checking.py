"""What ``omnibot check`` says of a Matrix network: whether the bot gets in there, and whether its device is signed.

Everything is asked with the login that is kept and read only, so that it can be done beside the bot that runs.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from nio.client.async_client import AsyncClient

from adapters.matrix.account import RENEW, config, is_kept, is_ours, kept_login, offers_passwords, whoami
from adapters.matrix.answers import LoggedOut, MatrixError, call
from adapters.matrix.settings import Settings
from adapters.matrix.signing import is_signed
from omnibot.adapter import Finding, Tools
from omnibot.clocks import ahead, clock_finding
from omnibot.errors import Refused


async def check(tools: Tools, settings: Settings) -> list[Finding]:
    """Look whether the homeserver answers, lets the bot in as the device kept here, and shows that as signed.

    Raises:
        VaultError: what is kept cannot be read.
    """
    timed = _Timed(settings.url, settings.user, config=config(encryption_enabled=False))
    client: AsyncClient = timed
    try:
        return [*await _looked(client, tools, settings), *_clock(timed, settings)]
    except Refused as error:
        return [Finding("wrong", f"{error}.", error.cure)]
    except LoggedOut:
        if settings.token is not None:
            return [Finding("wrong", "the token has run out.", RENEW)]
        cure = "The bot logs in again, as the same device, with `password`."
        return [Finding("note", "the login has run out.", cure)]
    except (MatrixError, OSError, TimeoutError) as error:
        why = str(error) or type(error).__name__
        cure = "Check `homeserver`, and whether this machine reaches it."
        return [Finding("wrong", f"{settings.url} does not answer as a homeserver does ({why}).", cure)]
    finally:
        await client.close()


class _Timed(AsyncClient):
    """A client that notes what time it is for the homeserver."""

    off: float | None = None
    """By how many seconds this machine's clock is ahead of the homeserver's; None where it does not say."""

    async def send(self, *args: Any, **kwargs: Any) -> Any:
        """Send as nio does."""
        asked = time.time()
        answer = await super().send(*args, **kwargs)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self.off = ahead(headers, asked, time.time())
        return answer


def _clock(client: _Timed, settings: Settings) -> Iterator[Finding]:
    """Yield a finding if the clocks differ; that they agree goes without saying."""
    host = urlsplit(settings.url).hostname or settings.url
    found = clock_finding({} if client.off is None else {host: client.off})
    if found is not None and found.level != "good":
        yield found


async def _looked(client: AsyncClient, tools: Tools, settings: Settings) -> list[Finding]:
    login = await kept_login(settings, tools.secrets)
    client.access_token = settings.token.value if settings.token is not None else login.token if login else ""
    if not client.access_token:
        await offers_passwords(client)
        return list(_before_the_first_start(settings))
    user, device = await whoami(client)
    if settings.token is not None:
        is_ours(settings, login, user, device)
    elif login is not None:
        is_kept(login, user, device)
    found = [Finding("good", f"{settings.url} answers; the bot is {user} there, on the device {device}.")]
    if not settings.encryption:
        why = "Most clients make private rooms encrypted, and links are sent in private."
        what = "device signed: no (encryption is off: the bot is silent in encrypted rooms)."
        return [*found, Finding("note", what, "Set encryption: true, unless your rooms are plain.", why)]
    signed = await is_signed(partial(call, client), tools.secrets, user, device)
    why = "" if signed.yes else "Clients that follow MSC4153 give it no keys, so that the bot cannot read them."
    return [*found, Finding("good" if signed.yes else "wrong", f"{signed}.", why=why)]


def _before_the_first_start(settings: Settings) -> Iterator[Finding]:
    yield Finding("good", f"{settings.url} answers, and lets people log in by password.")
    if settings.encryption:
        yield Finding("note", "device signed: no (the bot logs in and signs its device when it first starts).")
