"""The Redmine that other tests lean on does what those tests take for granted."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from servers.browser import HttpBrowser
from servers.redmine.server import Redmine

type Call = Callable[..., Awaitable[tuple[int, Any]]]

ISSUE = {"project_id": "demo", "subject": "The lamp flickers"}
CLOSED = 5
DEVELOPMENT = 9


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of the test's own, without a cookie."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def call(session: aiohttp.ClientSession) -> Call:
    """Calls an API: ``call(redmine, key, "POST", "/issues.json", issue=ISSUE)`` is status and answer."""

    async def call(redmine: Redmine, key: str, method: str, path: str, **body: object) -> tuple[int, Any]:
        headers = {"X-Redmine-API-Key": key}
        async with session.request(method, f"{redmine.url}{path}", json=body or None, headers=headers) as answer:
            return answer.status, await answer.json() if (await answer.text()).strip() else None

    return call


async def test_a_key_acts_as_its_owner(redmine: Redmine, call: Call) -> None:
    """The issue names its author, and Redmine's own log the person."""
    status, created = await call(redmine, redmine.key("alice"), "POST", "/issues.json", issue=ISSUE)
    _, me = await call(redmine, redmine.key("carol"), "GET", "/users/current.json")

    assert (201, "Alice Test") == (status, created["issue"]["author"]["name"])
    assert "carol" == me["user"]["login"]
    assert ["alice", "carol"] == redmine.callers()
    assert any(line.endswith("Current user: carol (id=7)") for line in redmine.log())


async def test_a_person_finds_their_key_on_their_page(redmine: Redmine) -> None:
    """It is the one that the fixture names."""
    assert redmine.key("bob") == await redmine.read_key("bob")


async def test_a_wrong_password_leads_nowhere(redmine: Redmine) -> None:
    """The browser stays at the login."""
    async with HttpBrowser("alice", "pw-alice") as browser:
        page = await browser.walk(f"{redmine.url}/my/api_key")

    assert "Login" in page.buttons
    assert redmine.key("alice") not in page.text


async def test_a_key_that_was_reset_is_good_for_nothing(redmine: Redmine, call: Call) -> None:
    """The next one is."""
    old = redmine.key("alice")
    await redmine.reset_key("alice")

    assert old != redmine.key("alice")
    assert (401, None) == await call(redmine, old, "GET", "/users/current.json")
    assert 200 == (await call(redmine, redmine.key("alice"), "GET", "/users/current.json"))[0]


async def test_a_member_works_on_an_issue(redmine: Redmine, call: Call) -> None:
    """Bob takes it, adds a note, books an hour and a half, and closes it."""
    key = redmine.key("bob")
    await call(redmine, redmine.key("alice"), "POST", "/issues.json", issue=ISSUE)

    assert (
        204 == (await call(redmine, key, "PUT", "/issues/1.json", issue={"assigned_to_id": "me", "notes": "Mine"}))[0]
    )
    hours = {"issue_id": 1, "hours": 1.5, "activity_id": DEVELOPMENT}
    assert 201 == (await call(redmine, key, "POST", "/time_entries.json", time_entry=hours))[0]
    assert 204 == (await call(redmine, key, "PUT", "/issues/1.json", issue={"status_id": CLOSED}))[0]

    _, found = await call(redmine, key, "GET", "/issues/1.json?include=journals")
    issue = found["issue"]
    assert "Bob Test" == issue["assigned_to"]["name"]
    assert ["Bob Test", "Bob Test"] == [one["user"]["name"] for one in issue["journals"]]
    assert ("Closed", True, 1.5) == (issue["status"]["name"], issue["status"]["is_closed"], issue["spent_hours"])


async def test_who_is_no_member_stays_out(redmine: Redmine, call: Call) -> None:
    """The project is alice's alone: to others it is no project at all, and its issue is forbidden."""
    mine = {"issue": {**ISSUE, "project_id": "secret"}}
    await call(redmine, redmine.key("alice"), "POST", "/issues.json", **mine)

    assert 200 == (await call(redmine, redmine.key("alice"), "GET", "/issues/1.json"))[0]
    assert (403, None) == await call(redmine, redmine.key("bob"), "GET", "/issues/1.json")
    status, answer = await call(redmine, redmine.key("carol"), "POST", "/issues.json", **mine)
    assert (422, "Project cannot be blank") == (status, answer["errors"][0])


async def test_it_begins_anew_for_each_test(redmine: Redmine, call: Call) -> None:
    """Issues, keys and log are those of the beginning, although nothing was restarted."""
    first = redmine.key("alice")
    await call(redmine, first, "POST", "/issues.json", issue=ISSUE)
    await redmine.reset_key("alice")
    redmine.clear()

    assert [] == redmine.log()
    assert first == redmine.key("alice")
    assert 0 == (await call(redmine, first, "GET", "/issues.json"))[1]["total_count"]
    assert 1 == (await call(redmine, first, "POST", "/issues.json", issue=ISSUE))[1]["issue"]["id"]


async def test_it_may_be_down(redmine: Redmine, call: Call) -> None:
    """It comes back at the same address, with what was in it."""
    await call(redmine, redmine.key("alice"), "POST", "/issues.json", issue=ISSUE)
    redmine.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await call(redmine, redmine.key("alice"), "GET", "/issues/1.json")
    redmine.start()

    assert 200 == (await call(redmine, redmine.key("alice"), "GET", "/issues/1.json"))[0]


async def test_two_instances_share_logins_only(redmine: Redmine, redmine_second: Redmine, call: Call) -> None:
    """A key opens the one that it was made by."""
    await call(redmine, redmine.key("alice"), "POST", "/issues.json", issue=ISSUE)
    status, me = await call(redmine_second, redmine_second.key("alice"), "GET", "/users/current.json")

    assert (200, "alice") == (status, me["user"]["login"])
    assert (401, None) == await call(redmine_second, redmine.key("alice"), "GET", "/users/current.json")
    assert 404 == (await call(redmine_second, redmine_second.key("alice"), "GET", "/issues/1.json"))[0]
    assert redmine_second.key("bob") == await redmine_second.read_key("bob") != redmine.key("bob")
    assert ["alice"] == redmine.callers()
