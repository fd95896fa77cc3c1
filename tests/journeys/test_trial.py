"""`omnibot providers test` against servers that others wrote: OpenID, OAuth 1.0a by both ways, a device's code."""

import re
from pathlib import Path

import pytest

from servers.browser import HttpBrowser
from servers.mastodon import Mastodon
from servers.oauth1.service import KEY, SECRET, OAuth1Service
from servers.processes import OidcServer, fixed_ports
from trials import Operator, names


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything happens in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def port() -> int:
    """The port at which browsers come back."""
    return fixed_ports(1)[0]


async def walk(url: str) -> str:
    """Authorise the bot at *url*, as Alice; return where that ends, or the PIN that it ends with."""
    async with HttpBrowser("alice") as browser:
        end = await browser.walk(url, stop="http://127.0.0.1:9/")
    pin = re.search(r'<kbd id="pin">(\w+)</kbd>', end.text)
    return pin[1] if pin else end.url


def oidc_config(oidc: OidcServer, port: int, *, secret: str = "", path: str = "") -> str:
    """Return the configuration of a bot that knows *oidc*."""
    url = f"public_url: http://127.0.0.1:{port}\n"
    client = f"client_id: {oidc.client_id}, client_secret: {secret or oidc.client_secret}, device: true"
    instance = f"{{instances: {{{path or 'main'}: {{issuer: {oidc.issuer}, {client}}}}}}}"
    return f"listen: 127.0.0.1:{port}\n{url}providers:\n  oidc: {instance}\n"


async def test_openid(oidc: OidcServer, port: int, folder: Path) -> None:
    """The whole way; the server's log has who authorised, refreshed, and that the grant ended."""
    operator = Operator(walk)

    assert await operator.try_("oidc@main", oidc_config(oidc, port)), operator.text
    assert "whoami: alice" in operator.text
    assert "refresh: a new access token for 300 s, and a new refresh token." in operator.text
    assert "ok    revoke: done" in operator.text
    assert oidc.client_secret not in operator.text
    log = "\n".join(oidc.log_lines())
    assert "grant.success" in log
    assert "user=alice" in log
    assert "grant=refresh_token" in log
    assert "revoked" in log
    assert ["config.yaml"] == names(folder)


async def test_openid_by_a_device(oidc: OidcServer, port: int) -> None:
    """The code is typed at the server's page; the address with the code in it is not used."""
    oidc.fault(interval=1)
    operator = Operator()

    async def type_code(text: str) -> None:
        found = re.search(r"Open (\S+) and type the code (\S+) there", text)
        assert found is not None
        async with HttpBrowser("alice", user_code=found[2]) as browser:
            await browser.walk(found[1])

    operator.on("type the code", type_code)

    assert await operator.try_("oidc@main", oidc_config(oidc, port), wanted="device"), operator.text
    assert "whoami: alice" in operator.text


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        (
            {"secret": "another-secret"},
            "WRONG token: OpenID Connect (main) does not take the bot's client (status 401).",
        ),
        ({"path": "elsewhere"}, "WRONG authorise: nobody came back in time."),
    ],
    ids=["secret", "redirect"],
)
async def test_mistakes(oidc: OidcServer, port: int, mistake: dict[str, str], words: str) -> None:
    """What the real server makes of them."""
    operator = Operator(walk)

    wait = 0.3 if "path" in mistake else 20.0  # the one shows an error, and nobody ever comes back
    assert not await operator.try_("oidc", oidc_config(oidc, port, **mistake), wait=wait)
    assert words in operator.text
    assert "another-secret" not in operator.text
    assert mistake.get("path") is None or "the service answers 400 to that address" in operator.text


async def test_a_service_at_which_the_bot_registers_itself(port: int, folder: Path) -> None:
    """It is registered for the trial; neither that client nor anything else is kept."""
    async with Mastodon() as server:
        url = f"http://127.0.0.1:{port}"
        config = f"listen: 127.0.0.1:{port}\npublic_url: {url}\nproviders:\n  mastodon: {{base: {server.origin}}}\n"
        operator = Operator(walk)

        assert await operator.try_("mastodon", config), operator.text
        assert "ok    registration: the service has registered the bot, for this trial alone." in operator.text
        assert "whoami: alice" in operator.text
        assert "revoke: done" in operator.text
        assert 1 == len(server.apps)
        assert not any(one.client_secret in operator.text for one in server.apps.values())
        assert ["config.yaml"] == names(folder)


@pytest.mark.parametrize("wanted", ["page", "pin"])
async def test_oauth_1(oauth1: OAuth1Service, port: int, folder: Path, wanted: str) -> None:
    """By callback and by PIN; in the end the token is revoked by its own signature."""
    places = oauth1.places
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "old.yaml").write_text(
        f"""
title: Old
ways: [redirect, pin]
oauth1:
  request_url: "{{base}}{places.request}"
  authorize_url: "{{base}}{places.authorize}"
  token_url: "{{base}}{places.token}"
  revoke_request: {{method: POST, path: {places.revoke}}}
whoami: {{path: {places.whoami}, id: {places.login}, login: {places.login}}}
""",
        encoding="utf-8",
    )
    config = (
        f"listen: 127.0.0.1:{port}\npublic_url: http://127.0.0.1:{port}\ncatalogue_dir: catalogue\n"
        f"providers:\n  old: {{base: {oauth1.origin}, consumer_key: {KEY}, consumer_secret: {SECRET}}}\n"
    )
    operator = Operator(walk)

    assert await operator.try_("old", config, wanted="pin" if wanted == "pin" else "page"), operator.text
    assert "ok    temporary credentials" in operator.text
    assert "whoami: alice" in operator.text
    assert "revoke: done" in operator.text
    assert "revoked by user=alice" in oauth1.record
    assert SECRET not in operator.text


async def test_oauth_1_with_a_wrong_secret(oauth1: OAuth1Service, port: int, folder: Path) -> None:
    """The service does not take the signature: what to compare is said."""
    places = oauth1.places
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "old.yaml").write_text(
        "title: Old\nways: [pin]\noauth1:\n"
        f'  request_url: "{{base}}{places.request}"\n  authorize_url: "{{base}}{places.authorize}"\n'
        f'  token_url: "{{base}}{places.token}"\nwhoami: {{path: {places.whoami}, id: user, login: user}}\n',
        encoding="utf-8",
    )
    config = (
        f"listen: 127.0.0.1:{port}\ncatalogue_dir: catalogue\n"
        f"providers:\n  old: {{base: {oauth1.origin}, consumer_key: {KEY}, consumer_secret: another}}\n"
    )
    operator = Operator(walk)

    assert not await operator.try_("old", config)
    assert "WRONG temporary credentials: Old gives the bot no credentials (status 401)." in operator.text
    assert "Compare consumer_key" in operator.text
