"""discord.py's client, as the bot wants it: what it asks for, what it tells, and what it logs."""

import logging
import subprocess
import sys
import time
from typing import Any

import discord
import pytest
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

import discord_payloads as says
from adapters.discord.client import Client, addressed, hidden, refusal, tame, tamed
from omnibot.errors import Refused


class Notes:
    """Ears that write down, in order, what they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def said(self, message: discord.Message, *, edit: bool) -> None:
        self.told.append(("edit" if edit else "message", message.content))

    def asked(self, interaction: discord.Interaction) -> None:
        self.told.append(("interaction", interaction.id))

    def ready(self) -> None:
        self.told.append(("ready", None))

    def unreadable(self, event: str, error: Exception) -> None:
        self.told.append((event, type(error)))

    async def room(self) -> None:
        pass


def test_importing_it_warns_of_nothing() -> None:
    """Also where each warning is an error; other warnings stay as they were."""
    script = "import adapters.discord, warnings, sys; sys.exit(warnings.filters[0][0] != 'error')"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", script], capture_output=True, check=False, text=True
    )

    assert (0, "") == (done.returncode, done.stderr)


async def test_it_keeps_little_and_mentions_nobody() -> None:
    """No members, no presences, no messages."""
    client = Client(Notes(), says.settings())

    assert {"guilds", "guild_messages", "dm_messages"} == {name for name, on in client.intents if on}
    assert discord.AllowedMentions.none().to_dict() == client.allowed_mentions.to_dict()  # type: ignore[union-attr]
    assert client._connection._messages is None
    assert not client._connection.member_cache_flags.value


@pytest.mark.parametrize(
    ("content", "flags", "reads"),
    [
        ("auto", 0, False),
        ("auto", 1 << 18, True),
        ("auto", 1 << 19, True),
        ("auto", 1 << 12, False),
        ("on", 0, True),
        ("off", 1 << 18, False),
    ],
)
async def test_the_message_content_intent(content: str, flags: int, reads: bool) -> None:
    """By itself it is asked for where the application has it; else as the operator says."""
    client = Client(Notes(), says.settings(content=content))
    client._connection.application_flags = discord.ApplicationFlags._from_value(flags)
    await client.setup_hook()

    assert reads == client.reads_all
    assert reads == bool(client._connection._intents.value & (1 << 15))  # what the gateway is asked


async def test_an_intent_that_was_refused() -> None:
    """Whatever the application's flags say, it is not asked for again."""
    client = Client(Notes(), says.settings(), content=False)
    client._connection.application_flags = discord.ApplicationFlags._from_value(1 << 18)
    await client.setup_hook()

    assert not client.reads_all


async def test_events_in_order_and_at_once() -> None:
    """Not one task is begun, so nothing can overtake."""
    notes = Notes()
    client = says.connected(notes)
    for number in range(1000):
        says.tell(client, "MESSAGE_CREATE", says.message(f"{number}"))
    changed = says.message("0!")
    says.tell(client, "MESSAGE_UPDATE", changed)

    assert [("message", f"{number}") for number in range(1000)] + [("edit", "0!")] == notes.told


async def test_what_cannot_be_read_is_dropped() -> None:
    """One such message neither ends the client nor hides the next; without a session there is nothing to go on with."""
    notes = Notes()
    client = says.connected(notes)

    says.tell(client, "MESSAGE_CREATE", {"id": "1", "channel_id": str(says.CHANNEL)})
    says.tell(client, "MESSAGE_CREATE", says.message("the next"))

    assert [("MESSAGE_CREATE", KeyError), ("message", "the next")] == notes.told[-2:]
    with pytest.raises(KeyError):
        says.tell(client, "READY", {})


async def test_nothing_is_told_after_the_end() -> None:
    """Discord.py goes on for a moment after it was closed."""
    notes = Notes()
    client = says.connected(notes)
    async with client:
        pass
    says.tell(client, "MESSAGE_CREATE", says.message("late"))

    assert [] == notes.told


async def test_it_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two minutes without a connection; a resumed one is a connection."""
    client, now = Client(Notes(), says.settings()), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    client.dispatch("disconnect")
    now[0] = 100
    client.dispatch("disconnect")
    client.dispatch("resumed")
    now[0] = 130
    client.dispatch("disconnect")
    now[0] = 251
    with pytest.raises(ConnectionError):
        client.dispatch("disconnect")


async def test_it_gives_up_on_a_door_that_slams() -> None:
    """Discord.py comes back at once, however often that was: somebody has to stop it."""
    client = Client(Notes(), says.settings())
    for _ in range(20):
        client.dispatch("disconnect")
        client.dispatch("resumed")
    with pytest.raises(ConnectionError):
        client.dispatch("disconnect")


class _Answer:
    status, reason = 401, "Unauthorized"


class _Gone:
    status, reason = 502, "Bad Gateway"


class _Socket:
    def __init__(self, code: int) -> None:
        self.close_code = code


@pytest.mark.parametrize(
    ("error", "says_what", "cure"),
    [
        (discord.LoginFailure("no"), "token", "Reset Token"),
        (discord.HTTPException(_Answer(), "no"), "token", "Reset Token"),
        (discord.PrivilegedIntentsRequired(None), "message content intent", "Privileged Gateway Intents"),
        *(
            (discord.ConnectionClosed(_Socket(code), shard_id=None), says_what, cure)  # type: ignore[arg-type]
            for code, says_what, cure in (
                (4004, "token", "Reset Token"),
                (4011, "shards", "leave some"),
                (4012, "version", "up to date"),
                (4013, "intent", "up to date"),
                (4014, "message content intent", "`content: off`"),
            )
        ),
    ],
)
def test_what_is_final(error: Exception, says_what: str, cure: str) -> None:
    """Each with its cure."""
    refused = refusal(error)

    assert refused is not None
    assert says_what in str(refused)
    assert cure in refused.cure


@pytest.mark.parametrize(
    "error",
    [
        discord.ConnectionClosed(_Socket(4000), shard_id=None),  # type: ignore[arg-type]
        discord.HTTPException(_Gone(), "no"),
        AttributeError("sequence"),
        OSError("refused"),
    ],
)
def test_what_is_not(error: Exception) -> None:
    """All else is tried again."""
    assert refusal(error) is None


def test_other_addresses() -> None:
    """They hold while somebody uses them; discord.py has one pair for all."""
    usual = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    there = says.settings(api="http://127.0.0.1:1/api/v10/", gateway="ws://127.0.0.1:1/gw")
    with addressed(there), addressed(there):
        assert "http://127.0.0.1:1/api/v10/users/@me" == Route("GET", "/users/@me").url
        assert yarl.URL("ws://127.0.0.1:1/gw") == DiscordWebSocket.DEFAULT_GATEWAY

        with pytest.raises(Refused, match="at another address"), addressed(says.settings()):
            pass
    with addressed(says.settings()):
        assert usual == (Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY)


SECRETS = {
    "interaction": "aW50ZXJhY3Rpb246MTIzNDU2Nzg5MDEyMzQ1Njc4",
    "session": "0123456789abcdef0123456789abcdef",
    "token": "MTAwMDAwMDAwMDAwMDAwMDAw.GabcdE.abcdefghijklmnopqrstuvwxyz0123456789-_",
}


def test_what_is_logged_holds_no_token(caplog: pytest.LogCaptureFixture) -> None:
    """The lines are those of discord.py 2.7 that hold one, or what people said."""
    caplog.set_level(logging.DEBUG)
    http, gateway = logging.getLogger("discord.http"), logging.getLogger("discord.gateway")
    url = f"https://discord.com/api/v10/webhooks/901/{SECRETS['interaction']}/messages/@original?wait=1"
    http.warning("We are being rate limited. %s %s responded with 429. Retrying in %.2f seconds.", "PATCH", url, 3)
    http.debug("%s %s with %s has returned %s", "POST", url, '{"content": "secret"}', 200)
    callback = f"/interactions/30/{SECRETS['interaction']}/callback"
    http.error("no answer at https://discord.com/api/v10%s", callback)
    gateway.info("Shard ID %s has connected to Gateway (Session ID: %s).", None, SECRETS["session"])
    gateway.info("Shard ID %s has successfully RESUMED session %s.", None, SECRETS["session"])
    gateway.debug("For Shard ID %s: WebSocket Event: %s", None, {"token": SECRETS["interaction"]})
    gateway.warning("Unknown OP code %s.", SECRETS["token"])

    assert not any(secret in caplog.text for secret in SECRETS.values())
    assert "secret" not in caplog.text
    assert "PATCH https://discord.com/api/v10/webhooks/901/…/messages/@original" in caplog.text
    assert "Session ID: …" in caplog.text


def test_a_reconnect_is_no_drama(caplog: pytest.LogCaptureFixture) -> None:
    """One line, at INFO, with the kind of error; what the error says may hold an address."""
    caplog.set_level(logging.INFO)
    try:
        raise OSError("https://discord.com/secret")
    except OSError:
        logging.getLogger("discord.client").exception("Attempting a reconnect in %.2fs", 1.5)
    logging.getLogger("discord.client").info("logging in using static token")

    (record,) = caplog.records
    assert ("INFO", None) == (record.levelname, record.exc_info)
    assert "Attempting a reconnect in 1.50s (OSError)" == record.getMessage()


def test_a_blocked_heartbeat_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """With where the loop stood: that finds the culprit."""
    stack = 'Loop thread traceback (most recent call last):\n  File "skills/slow.py", line 3, in slow\n'
    logging.getLogger("discord.gateway").warning("heartbeat blocked for more than %s seconds.\n" + stack, 10)  # noqa: G003

    assert "skills/slow.py" in caplog.text
    assert "WARNING" == caplog.records[0].levelname


def test_taming_twice_says_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    """There is one handler, however often it is put there."""
    tame()
    logging.getLogger("discord.http").warning("once")

    assert ["once"] == [record.getMessage() for record in caplog.records]
    assert 1 == logging.getLogger("discord.http").filters.count(tamed)


def test_hidden_leaves_the_rest() -> None:
    """Ids and words stay."""
    assert "message 1400000000000000000 in webhooks/1" == hidden("message 1400000000000000000 in webhooks/1")
