"""The stand-ins for GitHub, GitLab and Forgejo are as strict as their originals are documented to be."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from aiohttp import ClientSession, encode_basic_auth

from servers.browser import HttpBrowser
from servers.forgejo import Forgejo
from servers.forges import Forge, Pull, challenge_of
from servers.github import GitHub
from servers.gitlab import GitLab

BACK = "http://127.0.0.1:9/callback"
VERIFIER = "v" * 43


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    """Somebody who sends what no browser would."""
    async with ClientSession() as client:
        yield client


async def code_of(forge: Forge, path: str, app: str, scope: str, **more: str) -> str:
    """Return the code that Alice gives the application *app*."""
    asked = {"client_id": app, "redirect_uri": BACK, "response_type": "code", "scope": scope, "state": "s", **more}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
    async with HttpBrowser("alice") as browser:
        page = await browser.walk(f"{forge.origin}{path}?{query}", stop=BACK)
    said = parse_qs(urlsplit(page.url).query)

    assert ["s"] == said["state"]
    return said.get("code", said.get("error", [""]))[0]


async def test_githubs_token_endpoint_speaks_forms_and_says_errors_with_200(client: ClientSession) -> None:
    """Unless JSON is asked for; a code is good once, for its client, its address and its verifier."""
    async with GitHub() as github:
        app = github.register(BACK)
        more = {"code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256"}
        code = await code_of(github, "/login/oauth/authorize", app.client_id, "repo public_repo none read:user", **more)
        url = f"{github.origin}/login/oauth/access_token"
        good = {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        wrong = []
        for changed in ({"client_secret": "x"}, {"code": "x"}, {"redirect_uri": f"{BACK}/x"}, {"code_verifier": "x"}):
            answer = await client.post(url, data={**good, **changed}, headers={"Accept": "application/json"})
            wrong.append((answer.status, (await answer.json())["error"]))
        answer = await client.post(url, data=good)
        token = parse_qs(await answer.text())
        again = parse_qs(await (await client.post(url, data=good)).text())

    assert wrong == [
        (200, "incorrect_client_credentials"),
        (200, "bad_verification_code"),
        (200, "redirect_uri_mismatch"),
        (200, "bad_verification_code"),
    ]
    assert "application/x-www-form-urlencoded" == answer.content_type
    assert ["repo,read:user"] == token["scope"]
    assert ["bearer"] == token["token_type"]
    assert ["bad_verification_code"] == again["error"]


async def test_github_refuses_what_it_does_not_know(client: ClientSession) -> None:
    """An address that is not registered, a plain challenge, a bad token, an agent without a name, an unknown path."""
    async with GitHub() as github:
        app = github.register(BACK)
        path = "/login/oauth/authorize"
        elsewhere = await client.get(
            f"{github.origin}{path}?client_id={app.client_id}&redirect_uri=http://evil/", allow_redirects=False
        )
        plain = await code_of(github, path, app.client_id, "repo", code_challenge="x", code_challenge_method="plain")
        unknown = await client.get(f"{github.origin}{path}?client_id=x")
        api = f"{github.origin}/api/v3"
        bad = await client.get(f"{api}/user", headers={"Authorization": "Bearer x"})
        nobody = await client.get(f"{api}/user")
        nameless = await client.get(f"{api}/user", headers={"User-Agent": ""})
        nothing = await client.get(f"{api}/nothing")
        end = await client.delete(f"{api}/applications/{app.client_id}/token", json={"access_token": "x"})

    assert elsewhere.headers["Location"].startswith(f"{BACK}?error=redirect_uri_mismatch")
    assert "invalid_request" == plain
    assert [404, 401, 401, 403, 404, 404] == [one.status for one in (unknown, bad, nobody, nameless, nothing, end)]


async def test_github_heeds_scopes_and_conditions(client: ClientSession) -> None:
    """A private repository is not there without repo; notifications want their scope; what is known is 304."""
    async with GitHub() as github:
        app = github.register(BACK)
        project = github.project("acme/site", private=True, alice="write")
        github.issue(project, "alice", "Lamp", pull=Pull("lamp"))
        headers = list[dict[str, str]]()
        for scopes in (("read:user",), ("repo",)):
            token = f"gho_{len(headers)}"
            grant = await _grant(github, app.client_id, scopes, token)
            headers.append({"Authorization": f"token {grant}"})
        api = f"{github.origin}/api/v3"
        hidden = await client.get(f"{api}/repos/acme/site/issues/1", headers=headers[0])
        missing = await client.get(f"{api}/notifications", headers=headers[0])
        seen = await client.get(f"{api}/repos/acme/site/issues/1", headers=headers[1])
        same = {**headers[1], "If-None-Match": seen.headers["ETag"]}
        known = await client.get(f"{api}/repos/acme/site/issues/1", headers=same)
        listed = await client.get(f"{api}/notifications", headers=headers[1])
        search = await client.get(f"{api}/search/issues", params={"q": "lamp"}, headers=headers[1])
        stale = await client.put(f"{api}/repos/acme/site/pulls/1/merge", json={"sha": "x"}, headers=headers[1])
        broken = await client.post(f"{api}/repos/acme/site/issues", data="{", headers=headers[1])
        untitled = await client.post(f"{api}/repos/acme/site/issues", json={"title": ""}, headers=headers[1])
        ended = await client.delete(
            f"{api}/applications/{app.client_id}/token",
            json={"access_token": "gho_1"},
            headers={"Authorization": encode_basic_auth(app.client_id, app.client_secret)},
        )

    assert [404, 403, 200, 304, 200] == [one.status for one in (hidden, missing, seen, known, listed)]
    assert [422, 409, 400, 422, 204] == [one.status for one in (search, stale, broken, untitled, ended)]
    assert "repo" == seen.headers["X-OAuth-Scopes"]
    assert "60" == listed.headers["X-Poll-Interval"]
    assert "gho_1" not in github.tokens


async def test_gitlab_wants_a_project_in_one_segment(client: ClientSession) -> None:
    """A bare slash is another path; a number is good as well; and reading does not write."""
    async with GitLab() as gitlab:
        project = gitlab.project("acme/site", private=True, alice="write")
        gitlab.issue(project, "alice", "Lamp")
        api, key = f"{gitlab.origin}/api/v4", {"PRIVATE-TOKEN": gitlab.key("alice", "read_api")}
        answers = [
            await client.get(f"{api}/projects/{name}/issues/1", headers=key)
            for name in ("acme/site", "acme%2Fsite", str(project.id), "acme%2Fnone")
        ]
        write = await client.post(f"{api}/projects/{project.id}/issues", json={"title": "x"}, headers=key)
        bad = await client.get(f"{api}/user", headers={"Authorization": "Bearer x"})
        listed = await client.get(f"{api}/projects/{project.id}/issues", headers=key)

    assert [404, 200, 200, 404] == [one.status for one in answers]
    assert (403, "insufficient_scope") == (write.status, (await write.json())["error"])
    assert (401, "invalid_token") == (bad.status, (await bad.json())["error"])
    assert "1" == listed.headers["X-Total"]


async def test_gitlab_takes_each_refresh_token_once(client: ClientSession) -> None:
    """It goes with its access token; scopes lie within those registered, and addresses are the registered one."""
    async with GitLab() as gitlab:
        app = gitlab.register(BACK, scopes=["read_user"])
        path = "/oauth/authorize"
        wide = await code_of(gitlab, path, app.client_id, "api")
        code = await code_of(gitlab, path, app.client_id, "read_user")
        elsewhere = await client.get(f"{gitlab.origin}{path}?client_id={app.client_id}&redirect_uri={BACK}/x")
        own = {"client_id": app.client_id, "client_secret": app.client_secret}
        url = f"{gitlab.origin}/oauth/token"
        form = {**own, "grant_type": "authorization_code", "code": code, "redirect_uri": BACK}
        first = await (await client.post(url, data=form)).json()
        refresh = {**own, "grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = await (await client.post(url, data=refresh)).json()
        again = await client.post(url, data=refresh)
        old = await client.get(
            f"{gitlab.origin}/api/v4/user", headers={"Authorization": f"Bearer {first['access_token']}"}
        )
        gone = await client.post(f"{gitlab.origin}/oauth/revoke", data={**own, "token": second["refresh_token"]})

    assert "invalid_scope" == wide
    assert 400 == elsewhere.status
    assert 7200 == first["expires_in"]
    assert (400, "invalid_grant") == (again.status, (await again.json())["error"])
    assert 401 == old.status
    assert (200, {}) == (gone.status, await gone.json())
    assert [] == gitlab.live("alice")


async def test_forgejos_errors_are_400(client: ClientSession) -> None:
    """And it says unauthorized_client where others say what is wrong."""
    async with Forgejo() as forgejo:
        app = forgejo.register(BACK)
        more = {"code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256"}
        code = await code_of(forgejo, "/login/oauth/authorize", app.client_id, "read:user", **more)
        url = f"{forgejo.origin}/login/oauth/access_token"
        form = {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": VERIFIER,
        }
        wrong = []
        for changed in ({"code_verifier": "x"}, {"client_secret": "x"}, {"code": "x"}, {"grant_type": "x"}):
            answer = await client.post(url, data={**form, **changed})
            wrong.append((answer.status, (await answer.json())["error"]))
        token = await (await client.post(url, data=form)).json()
        header = {"Authorization": f"token {token['access_token']}"}
        me = await (await client.get(f"{forgejo.origin}/api/v1/user", headers=header)).json()
        forgejo.pass_(3700)
        late = await client.get(f"{forgejo.origin}/api/v1/user", headers=header)

    assert wrong == [
        (400, "unauthorized_client"),
        (400, "unauthorized_client"),
        (400, "invalid_grant"),
        (400, "unsupported_grant_type"),
    ]
    assert "alice" == me["login"]
    assert 401 == late.status


async def _grant(github: GitHub, client_id: str, scopes: tuple[str, ...], token: str) -> str:
    code = github.code_for("alice", {"client_id": client_id, "scope": " ".join(scopes)})
    return github.issue_tokens(github.codes[code], token).access
