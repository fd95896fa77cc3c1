"""How ``omnibot init`` leads to a Discord bot's options, and tries them: over HTTP, and only read.

A bot's token is no session: there is nothing to log out of.
"""

import base64
import binascii
from collections.abc import Iterator
from contextlib import AsyncExitStack

import discord

from adapters.discord.answers import FAILURES
from adapters.discord.checking import invitation
from adapters.discord.client import addressed, may_read, refusal
from adapters.discord.hearing import shown
from adapters.discord.settings import Settings, looks_like_token
from omnibot.adapter import Finding, Question, Setup


async def attempt(settings: Settings) -> list[Finding]:
    """Ask Discord who *settings*' token is, and what its application may read.

    Raises:
        Refused: another network is at another address.
    """
    client = discord.Client(intents=discord.Intents(guilds=True))
    try:
        async with AsyncExitStack() as ended:
            ended.enter_context(addressed(settings))
            ended.push_async_callback(client.http.close)
            await client.login(settings.token.value)
            return list(_found(client))
    except FAILURES as error:
        refused = refusal(error)
        if refused is not None:
            cure = "Copy it again, and whole; or make a new one in the developer portal (Bot, Reset Token)."
            return [Finding("wrong", f"{refused}.", cure)]
        why = f"{error.status}" if isinstance(error, discord.HTTPException) else type(error).__name__
        return [Finding("wrong", f"Discord does not answer ({why}).", "Check whether this machine reaches it.")]


def _found(client: discord.Client) -> Iterator[Finding]:
    user, application = client.user, client.application
    assert user is not None, "it has logged in"
    assert application is not None, "that asks for the application as well"
    yield Finding("good", f"Discord takes the token: the bot is {shown(user.name)} (application {application.id}).")
    yield Finding("good", f"it is invited with {invitation(application.id)}")
    if may_read(application.flags):
        yield Finding("good", "message content intent: yes; in channels it hears the prefix as well.")
    else:
        cure = "If it shall hear the prefix as well: Message Content Intent, in the developer portal (Bot)."
        what = "message content intent: no; in channels it hears what mentions it, slash commands and buttons."
        yield Finding("note", what, cure)
    if application.interactions_endpoint_url is not None:
        cure = "Take the Interactions Endpoint URL out in the developer portal (General Information)."
        yield Finding("wrong", "slash commands and buttons go to a web address, and not to the bot.", cure)


def _token(answer: str) -> str:
    token = answer.removeprefix("Bot ").strip()
    if not looks_like_token(token):
        raise ValueError(
            "that is no bot's token, which has three parts with full stops between; "
            "a client secret or a public key is something else"
        )
    return token


def _invite(settings: Settings) -> list[str]:
    """Return the invitation's address, by the token alone.

    Its first part is the bot's id in base64, which is that of its application too, but for the very oldest.
    """
    first = settings.token.value.partition(".")[0]
    try:
        application = base64.b64decode(first + "=" * (-len(first) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        application = ""
    if not application.isdecimal():
        return ["`omnibot check` prints the address at which it is added to a server."]
    return [f"Add it to a server of yours: {invitation(int(application))}"]


setup = Setup(
    title="Discord",
    before=(
        "The bot needs an application: https://discord.com/developers/applications, New Application, then Bot.\n"
        "Reset Token there shows its token, once."
    ),
    questions=(Question("token", "The bot's token", secret=True, value=_token),),
    attempt=attempt,
    who="their user id, a number (Settings, Advanced, Developer Mode; then Copy User ID on their name)",
    invite=_invite,
)
