"""What `omnibot init` asks for a Matrix account, and how it tries the answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.matrix import Settings, setup
from omnibot.adapter import Finding
from omnibot.provider import Secret
from servers.synapse.server import Synapse

BOT = "@bot:hs.test"


async def tried(url: str, user: str = BOT, **options: Any) -> list[Finding]:
    """What is found with such settings; neither password nor token is in it."""
    assert setup.attempt is not None
    if "token" not in options:
        options.setdefault("password", Secret("geheim"))
    found = list(await setup.attempt(Settings(homeserver=url, user=user, **options)))

    assert "geheim" not in str(found)
    return found


async def test_it_logs_in_and_leaves_no_device(synapse: Synapse) -> None:
    """The device of the login is gone."""
    account = synapse.register("bot", "geheim-1")
    (found,) = await tried(synapse.url, account.mxid, password=Secret("geheim-1"))

    assert ("good", f"{synapse.url} lets {account.mxid} in by password.") == (found.level, found.what)
    assert [] == list(synapse.devices(account.mxid))


async def test_a_wrong_password_is_told(synapse: Synapse) -> None:
    """As it is where nobody has that name."""
    account = synapse.register("bot")
    (found,) = await tried(synapse.url, account.mxid)
    (nobody,) = await tried(synapse.url, account.mxid.replace("@", "@not-"))

    assert ["wrong", "wrong"] == [found.level, nobody.level]
    assert "the homeserver does not let the bot in (M_FORBIDDEN" in found.what
    assert "Correct the user or the password." in found.cure


class Homeserver:
    """One that can be told what to answer, and when."""

    def __init__(self) -> None:
        self.url = ""
        self.flows = ["m.login.password"]
        self.user = BOT
        self.device = "D"
        self.status = {"login": 200, "logout": 200, "account/whoami": 200}
        self.code = "M_UNKNOWN_TOKEN"
        self.asked: list[str] = []
        self.logging_in = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer *request*."""
        what = request.path.removeprefix("/_matrix/client/v3/")
        self.asked.append(f"{request.method} {what}")
        status = self.status.get(what, 404)
        if status != 200 and (request.method == "POST" or what == "account/whoami"):
            return web.json_response({"errcode": self.code, "error": "no", "retry_after_ms": 7000}, status=status)
        match request.method, what:
            case "GET", "login":
                return web.json_response({"flows": [{"type": one} for one in self.flows]})
            case "POST", "login":
                self.logging_in.set()
                await self.go_on.wait()
                return web.json_response({"user_id": self.user, "access_token": "geheim-t", "device_id": self.device})
            case "GET", "account/whoami":
                return web.json_response({"user_id": self.user, "device_id": self.device})
        return web.json_response({}, status=200 if what == "logout" else 404)


@pytest.fixture
async def home() -> AsyncIterator[Homeserver]:
    home = Homeserver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", home.answer)
    async with TestServer(app) as server:
        home.url = f"http://127.0.0.1:{server.port}"
        yield home


async def test_who_breaks_it_off_leaves_no_device_either(home: Homeserver) -> None:
    """The login that is under way is still logged out."""
    home.go_on.clear()
    trying = asyncio.create_task(tried(home.url))
    await home.logging_in.wait()
    trying.cancel()
    asyncio.get_running_loop().call_later(0.05, home.go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await trying

    assert "POST logout" == home.asked[-1]


async def test_a_logout_that_fails_is_noted(home: Homeserver) -> None:
    """The operator can remove the device."""
    home.status["logout"] = 500
    home.code = "M_UNKNOWN"
    good, note = await tried(home.url)

    assert ["good", "note"] == [good.level, note.level]
    assert '"omnibot init, logged out at once" could not be logged out' in note.what


async def test_a_user_of_another_name(home: Homeserver) -> None:
    """The homeserver is right about that; and it is logged out all the same."""
    home.user = "@Bot:hs.test"
    (found,) = await tried(home.url)

    assert ("wrong", "Write @Bot:hs.test.") == (found.level, found.cure)
    assert "POST logout" == home.asked[-1]


async def test_a_token_is_looked_at_and_stays_good(home: Homeserver) -> None:
    """To log out would end it."""
    (found,) = await tried(home.url, token=Secret("geheim-t"))

    assert ("good", ["GET account/whoami"]) == (found.level, home.asked)
    assert f"it is {BOT}'s, of the device D." in found.what


@pytest.mark.parametrize(
    ("status", "user", "says"),
    [(401, BOT, "no longer accepts the bot's login"), (200, "@ada:hs.test", "the token is @ada:hs.test's")],
)
async def test_a_token_that_is_none(home: Homeserver, status: int, user: str, says: str) -> None:
    """Or is somebody else's."""
    home.status["account/whoami"], home.user = status, user
    (found,) = await tried(home.url, token=Secret("geheim-t"))

    assert "wrong" == found.level
    assert says in found.what


async def test_a_homeserver_without_passwords(home: Homeserver) -> None:
    """A token is needed there."""
    home.flows = ["m.login.sso"]
    (found,) = await tried(home.url)

    assert ("wrong", ["GET login"]) == (found.level, home.asked)
    assert "no login by password" in found.what


async def test_too_many_logins(home: Homeserver) -> None:
    """It says for how long to wait."""
    home.status["login"], home.code = 429, "M_LIMIT_EXCEEDED"
    (found,) = await tried(home.url)

    assert "wrong" == found.level
    assert "wants no more logins for 7 seconds" in found.what


async def test_nobody_there() -> None:
    """It says where it looked."""
    (nobody,) = await tried("http://127.0.0.1:1")

    assert "wrong" == nobody.level
    assert "http://127.0.0.1:1 does not answer as a homeserver does" in nobody.what


async def test_a_page_that_is_no_homeserver(home: Homeserver) -> None:
    """It answers with something, but not with this."""
    home.status["login"] = home.status["account/whoami"] = 404
    home.code = ""
    (found,) = await tried(home.url)

    assert "wrong" == found.level
    assert "does not answer as a homeserver does" in found.what


@pytest.mark.parametrize(
    ("key", "answer", "value"),
    [
        ("homeserver", "matrix.example.org", "https://matrix.example.org"),
        ("homeserver", "http://localhost:8008", "http://localhost:8008"),
        ("user", "@bot:example.org", "@bot:example.org"),
    ],
)
def test_answers_are_read_as_they_were_meant(key: str, answer: str, value: str) -> None:
    """As an option of the network."""
    (question,) = [one for one in setup.questions if key == one.key]

    assert value == question.value(answer)


@pytest.mark.parametrize(
    ("key", "answer"), [("homeserver", "https://a.example/_matrix"), ("homeserver", "a b"), ("user", "omnibot")]
)
def test_mistakes_are_told_at_once(key: str, answer: str) -> None:
    """In words."""
    (question,) = [one for one in setup.questions if key == one.key]

    with pytest.raises(ValueError, match="as "):
        question.value(answer)


def test_how_it_is_brought_to_people() -> None:
    """By an invitation, and whose it follows."""
    (line,) = setup.invite(Settings(homeserver="https://hs.test", user=BOT, password=Secret("geheim")))

    assert line.startswith(f"Invite {BOT} to a room (people of hs.test may;")
