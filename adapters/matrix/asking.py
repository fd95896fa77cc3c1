"""How ``omnibot init`` leads to a Matrix account's options, and tries them: it logs in, and out again.

The device that a login makes is gone with the logout; it has no keys, and nobody is told of it.
"""

import asyncio
import re

from nio.client.async_client import AsyncClient

from adapters.matrix.account import REQUEST_SECONDS, config, is_ours, offers_passwords, whoami
from adapters.matrix.answers import Limited, LoggedOut, MatrixError, call, path
from adapters.matrix.settings import Settings
from omnibot.adapter import Finding, Question, Setup
from omnibot.errors import Refused

_DEVICE = "omnibot init, logged out at once"


async def attempt(settings: Settings) -> list[Finding]:
    """Log in as *settings* say, with a device of its own that is logged out again; a token is only looked at."""
    client = AsyncClient(settings.url, settings.user, config=config(encryption_enabled=False))
    try:
        if settings.token is not None:
            return [await _by_token(client, settings)]
        return await _by_password(client, settings)
    except Refused as error:
        return [Finding("wrong", f"{error}.", error.cure)]
    except LoggedOut:
        return [Finding("wrong", "the token has run out.", "Get another one, that does not run out.")]
    except Limited as error:
        what = f"{settings.url} wants no more logins for {error.seconds:.0f} seconds."
        return [Finding("wrong", what, "Wait, then try again.")]
    except (MatrixError, OSError, TimeoutError, ValueError) as error:
        why = str(error) or type(error).__name__
        cure = (
            "Check the address, and whether this machine reaches it; https://SERVER/.well-known/matrix/client has it."
        )
        return [Finding("wrong", f"{settings.url} does not answer as a homeserver does ({why}).", cure)]
    finally:
        await client.close()


async def _by_token(client: AsyncClient, settings: Settings) -> Finding:
    assert settings.token is not None, "there is one"
    client.access_token = settings.token.value
    try:
        user, device = await whoami(client)
    except Refused as error:
        raise Refused(f"{error}", cure="Copy the token again, and whole; or make another.") from None
    is_ours(settings, None, user, device)
    return Finding("good", f"{settings.url} knows the token: it is {user}'s, of the device {device}.")


async def _by_password(client: AsyncClient, settings: Settings) -> list[Finding]:
    """Log in and out; whoever breaks that off waits for the logout, so that no device stays."""
    await offers_passwords(client)
    going = asyncio.create_task(_in_and_out(client, settings))
    try:
        return await asyncio.shield(going)
    except asyncio.CancelledError:
        await asyncio.wait([going], timeout=REQUEST_SECONDS)
        raise


async def _in_and_out(client: AsyncClient, settings: Settings) -> list[Finding]:
    assert settings.password is not None, "there is one without a token"
    wanted = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": settings.user},
        "password": settings.password.value,
        "initial_device_display_name": _DEVICE,
    }
    try:
        said = await call(client, "POST", path("login"), wanted)
    except MatrixError as error:
        if error.status not in (400, 401, 403):
            raise
        raise Refused(
            f"the homeserver does not let the bot in ({error})",
            cure="Correct the user or the password. The user has to be whole, as @omnibot:example.org.",
        ) from None
    client.access_token, user = str(said.get("access_token", "")), str(said.get("user_id", ""))
    if user == settings.user:
        found = [Finding("good", f"{settings.url} lets {user} in by password.")]
    else:
        found = [Finding("wrong", f"the homeserver calls the bot {user}, not {settings.user}.", f"Write {user}.")]
    try:
        await call(client, "POST", path("logout"), {})
    except (Refused, MatrixError, OSError, TimeoutError):
        cure = "Remove it in a client's settings, under sessions."
        found.append(Finding("note", f'the device "{_DEVICE}" could not be logged out again.', cure))
    return found


def _homeserver(answer: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]+)?", answer):
        return f"https://{answer}"
    if not re.fullmatch(r"https?://[^\s/?#@]+/?", answer):
        raise ValueError("an address without anything after the host, as https://matrix.example.org")
    return answer


def _user(answer: str) -> str:
    if not re.fullmatch(r"@[^\s:]+:[^\s/]+", answer):
        raise ValueError("the whole name, as @omnibot:example.org")
    return answer


def _invite(settings: Settings) -> list[str]:
    whose = {
        "homeserver": f"people of {settings.server} may",
        "any": "anybody may",
        "listed": "those in `inviters` may",
        "none": "it follows no invitations",
    }
    return [
        f"Invite {settings.user} to a room ({whose[settings.invites]}; see `invites`), or begin a direct chat with it."
    ]


setup = Setup(
    title="Matrix",
    before=(
        "The bot needs an account of its own at a homeserver, and its password.\n"
        "Where there are no passwords (Matrix Authentication Service), make it an access token instead."
    ),
    questions=(
        Question("homeserver", "Address of the homeserver, as https://matrix.example.org", value=_homeserver),
        Question("user", "The bot's whole name, as @omnibot:example.org", value=_user),
        Question("password", "Its password; empty to give an access token instead", optional=True, secret=True),
        Question("token", "Its access token", secret=True, unless="password"),
    ),
    attempt=attempt,
    who="their whole name, as @ada:example.org",
    invite=_invite,
)
