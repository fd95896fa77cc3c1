"""The stand-in for Jenkins refuses what Jenkins would refuse."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from servers.jenkins.server import BUILD, CANCEL, DISCOVER, READ, Jenkins, Parameter

CRUMB = "/crumbIssuer/api/json"


@pytest.fixture
async def jenkins() -> AsyncIterator[Jenkins]:
    """A Jenkins at a context path."""
    async with Jenkins("/ci") as jenkins:
        jenkins.job("plain")
        jenkins.job("asks", Parameter("WHO", "world"), Parameter("HOW", kind="Choice", choices=("fast", "slow")))
        yield jenkins


@pytest.fixture
async def web() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that keeps no cookies by itself."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as web:
        yield web


class Talk:
    """Requests to one Jenkins by one credential."""

    def __init__(self, web: aiohttp.ClientSession, jenkins: Jenkins, key: str) -> None:
        self._web, self._jenkins = web, jenkins
        self._headers = {"Authorization": f"Basic {base64.b64encode(key.encode()).decode()}"} if key else {}

    async def __call__(
        self, method: str, path: str, headers: dict[str, str] | None = None, data: Any = None
    ) -> tuple[int, Any, str]:
        """Return status, headers and body."""
        url = self._jenkins.url + path
        sent = {**self._headers, **(headers or {})}
        async with self._web.request(method, url, headers=sent, data=data, allow_redirects=False) as answer:
            return answer.status, answer.headers, await answer.text()


async def test_who_signs_in_how(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """A wrong key is 401, none at all 403 without a challenge, and only an API token needs no crumb."""
    wrong = await Talk(web, jenkins, "alice:nope")("GET", "/me/api/json")
    nobody = await Talk(web, jenkins, "")("GET", "/me/api/json")
    anybody = await Talk(web, jenkins, "")("GET", "/whoAmI/api/json")
    token = await Talk(web, jenkins, jenkins.key("alice"))("POST", "/job/plain/build")
    password = await Talk(web, jenkins, "alice:pw-alice")("POST", "/job/plain/build")

    assert (401, 'Basic realm="Jenkins"') == (wrong[0], wrong[1]["WWW-Authenticate"])
    assert (403, None) == (nobody[0], nobody[1].get("WWW-Authenticate"))
    assert '"name": "anonymous"' in anybody[2]
    assert (201, f"{jenkins.url}/queue/item/17/") == (token[0], token[1]["Location"])
    assert 403 == password[0]
    assert "No valid crumb was included in the request" in password[2]


async def test_a_crumb_is_good_in_its_session_only(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """With the cookie it opens the door; without, or from somebody else's session, it does not."""
    alice, bob = (Talk(web, jenkins, f"{one}:pw-{one}") for one in ("alice", "bob"))
    _, headers, text = await alice("GET", CRUMB)
    crumb = {"Jenkins-Crumb": text.split('"crumb": "')[1][:64]}
    cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}

    assert 403 == (await alice("POST", "/job/plain/build", crumb))[0]
    assert 403 == (await bob("POST", "/job/plain/build", {**crumb, **cookie}))[0]
    assert 201 == (await alice("POST", "/job/plain/build", {**crumb, **cookie}))[0]


async def test_how_builds_are_asked_for(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """Each wrong way has its own status."""
    alice = Talk(web, jenkins, jenkins.key("alice"))
    jenkins.job("off", disabled=True)
    with_choice = "/job/asks/buildWithParameters"

    assert 405 == (await alice("GET", "/job/plain/build"))[0]
    assert 400 == (await alice("POST", "/job/asks/build"))[0]
    assert 400 == (await alice("POST", "/job/plain/buildWithParameters"))[0]
    assert 409 == (await alice("POST", "/job/off/build"))[0]
    assert 404 == (await alice("POST", "/job/none/build"))[0]
    assert 500 == (await alice("POST", with_choice, data={"HOW": "sideways"}))[0]
    assert 201 == (await alice("POST", with_choice, data={"HOW": "slow", "x": "y"}))[0]
    assert 303 == (await alice("POST", f"{with_choice}?HOW=slow"))[0]
    assert [("alice", "asks", {"WHO": "world", "HOW": "slow"})] * 2 == jenkins.record


async def test_rights(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """What one may not read is not there; what one may not do is 403, and says which right is missing."""
    bob = Talk(web, jenkins, jenkins.key("bob"))
    build = jenkins.start(jenkins.job("tidy"))
    jenkins.deny("bob", BUILD, "plain")
    jenkins.deny("bob", CANCEL, "tidy")
    jenkins.deny("bob", READ, "asks")
    refused = await bob("POST", "/job/plain/build")
    listed = await bob("GET", "/api/json?tree=jobs[name]")
    seen = await bob("GET", "/job/asks/api/json")
    jenkins.deny("bob", DISCOVER, "asks")

    assert (403, BUILD) == (refused[0], refused[1]["X-Required-Permission"])
    assert "asks" not in listed[2]
    assert 403 == seen[0]
    assert 404 == (await bob("GET", "/job/asks/api/json"))[0]
    assert 403 == (await bob("POST", "/job/tidy/1/stop"))[0]
    assert build.building


async def test_the_api_page_shows_what_the_tree_asks_for(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """With ranges and brackets; what is malformed breaks."""
    alice = Talk(web, jenkins, jenkins.key("alice"))
    job = jenkins.job("deploy it", under="a/b", pipeline=True)
    for _ in range(3):
        jenkins.finish(jenkins.start(job))
    shown = await alice("GET", "/job/a/job/b/job/deploy%20it/api/json?tree=color,builds[number]{,2}")
    leaf = await alice("GET", "/api/json?tree=jobs")

    assert '{"_class": "org.jenkinsci.plugins.workflow.job.WorkflowRun", "number": 3}' in shown[2]
    assert '"number": 1}' not in shown[2]
    assert '"name"' not in leaf[2]
    assert 500 == (await alice("GET", "/api/json?tree=jobs[name"))[0]
    assert 500 == (await alice("GET", "/api/json?depth=x"))[0]
    assert 400 == (await alice("GET", "/job/a%2Fb/api/json"))[0]


async def test_the_console_grows(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """Sizes are of raw bytes, and the header that says there is more is absent in the end."""
    alice = Talk(web, jenkins, jenkins.key("alice"))
    build = jenkins.start(jenkins.job("log"), "one\n")
    path = "/job/log/1/logText/progressiveText"
    running = await alice("GET", f"{path}?start=0")
    jenkins.finish(build, "SUCCESS", "two\n")
    rest = await alice("GET", f"{path}?start={running[1]['X-Text-Size']}")
    beyond = await alice("GET", f"{path}?start=9999")

    assert ("true", "one\r\n") == (running[1]["X-More-Data"], running[2])
    assert "X-More-Data" not in rest[1]
    assert "two\r\nFinished: SUCCESS\r\n" == rest[2]
    assert beyond[2].startswith("one\r\n")


async def test_its_log_names_who_asked(web: aiohttp.ClientSession, jenkins: Jenkins) -> None:
    """As an access log does."""
    await Talk(web, jenkins, jenkins.key("carol"))("POST", "/job/plain/build")

    assert ['127.0.0.1 - carol "POST /ci/job/plain/build HTTP/1.1" 201'] == jenkins.log
