"""The Home Assistant that other tests lean on does what those tests take for granted."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest

from servers.browser import HttpBrowser
from servers.homeassistant.server import Change, HomeAssistant

BOT = "http://127.0.0.1:9/"
CALLBACK = "http://127.0.0.1:9/callback/homeassistant/default"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of the test's own, without a cookie."""
    async with aiohttp.ClientSession() as session:
        yield session


async def code_of(server: HomeAssistant, login: str, client_id: str = BOT) -> str:
    """The code with which *login* sends their browser back to the client."""
    query = {"response_type": "code", "client_id": client_id, "redirect_uri": CALLBACK, "state": "s1"}
    async with HttpBrowser(login) as browser:
        page = await server.allow(browser, f"{server.url}/auth/authorize?{urlencode(query)}", stop=CALLBACK)
    answer = dict(parse_qsl(urlsplit(page.url).query))

    assert "s1" == answer["state"]
    return answer["code"]


async def token(server: HomeAssistant, session: aiohttp.ClientSession, **form: str) -> tuple[int, Any]:
    """Status and answer of the token endpoint."""
    async with session.post(f"{server.url}/auth/token", data={"client_id": BOT, **form}) as answer:
        return answer.status, await answer.json()


async def toggle(server: HomeAssistant, session: aiohttp.ClientSession, access: str, entity: str) -> int:
    """Status of the call that toggles *entity*."""
    url = f"{server.url}/api/services/homeassistant/toggle"
    async with session.post(url, json={"entity_id": entity}, headers={"Authorization": f"Bearer {access}"}) as answer:
        return answer.status


async def test_its_record_has_the_name_of_who_did_it(
    homeassistant: HomeAssistant, session: aiohttp.ClientSession
) -> None:
    """A code, a token, a switch, and the state's context; refreshing does not change the refresh token."""
    code = await code_of(homeassistant, "bob")
    status, got = await token(homeassistant, session, grant_type="authorization_code", code=code)
    again, fresh = await token(homeassistant, session, grant_type="refresh_token", refresh_token=got["refresh_token"])
    done = await toggle(homeassistant, session, fresh["access_token"], "input_boolean.desk")

    assert (200, 200, 200) == (status, again, done)
    assert 1800 == got["expires_in"]
    assert "refresh_token" not in fresh
    assert Change("on", "bob") == await homeassistant.change("input_boolean.desk")
    assert [BOT] == await homeassistant.links("bob")
    assert [] == await homeassistant.links("alice")


async def test_a_refresh_token_that_is_revoked_takes_its_access_tokens_with_it(
    homeassistant: HomeAssistant, session: aiohttp.ClientSession
) -> None:
    """Without the client's id; and what is no token is answered in the same way."""
    code = await code_of(homeassistant, "alice")
    _, got = await token(homeassistant, session, grant_type="authorization_code", code=code)
    for one in (got["refresh_token"], "no token"):
        async with session.post(f"{homeassistant.url}/auth/revoke", data={"token": one}) as answer:
            assert (200, b"") == (answer.status, await answer.read())
    used = await toggle(homeassistant, session, got["access_token"], "input_boolean.desk")
    refused = await token(homeassistant, session, grant_type="refresh_token", refresh_token=got["refresh_token"])

    assert 401 == used
    assert (400, {"error": "invalid_grant"}) == refused
    assert [] == await homeassistant.links("alice")


async def test_codes_go_to_the_clients_own_address_only(homeassistant: HomeAssistant) -> None:
    """Another port is another client, whose page would have to name the address."""
    with pytest.raises(AssertionError, match="403"):
        await code_of(homeassistant, "alice", "http://127.0.0.1:10/")


async def test_links_outlive_a_restart_and_the_house_is_as_it_was(
    homeassistant: HomeAssistant, session: aiohttp.ClientSession
) -> None:
    """What it says is kept is kept."""
    long_lived = await homeassistant.new_token("alice")
    homeassistant.stop()
    homeassistant.start()

    assert ["omnibot"] == await homeassistant.links("alice")
    assert 200 == await toggle(homeassistant, session, long_lived, "lock.front_door")


def ends_of(pid: int) -> set[str]:
    """Both ends of every socket of the process *pid*, in the spelling of the kernel (proc_pid_net(5))."""
    opened = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
    own = {one.removeprefix("socket:[").removesuffix("]") for one in opened if one.startswith("socket:")}
    tables = [Path(f"/proc/{pid}/net/{kind}") for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    return {end.partition(":")[0] for row in rows if row[9] in own for end in row[1:3]}


async def test_it_listens_on_loopback_alone_and_goes_out_nowhere(homeassistant: HomeAssistant) -> None:
    """Every socket that it has, of any kind."""
    assert {"0100007F", "00000000"} == ends_of(homeassistant.process.pid)  # the latter: a listener's far end
