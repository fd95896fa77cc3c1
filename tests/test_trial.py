"""`omnibot providers test`: a link is gone through with what is configured, told step by step, and not kept."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from by_key import KEYS
from omnibot import cli
from omnibot.control import Control
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient, DemoProvider
from omnibot.errors import ConfigError, UserError
from servers.processes import fixed_ports
from trials import Operator, names

SECRET = "demo-secret"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything happens in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def port() -> int:
    """The port at which browsers come back."""
    return fixed_ports(1)[0]


@pytest.fixture
async def demo(port: int) -> AsyncIterator[DemoProvider]:
    """The demo service, at which the bot is registered with both of its redirect URIs."""
    back = (f"http://127.0.0.1:{port}/callback/demo/default", "http://127.0.0.1:9/callback/demo/default")
    async with DemoProvider([DemoClient("omnibot", SECRET, redirect_uris=back)]) as provider:
        yield provider


def config(demo: DemoProvider, port: int, *, secret: str = SECRET, public: bool = True, more: str = "") -> str:
    """Return the configuration of a bot that knows *demo*."""
    url = f"public_url: http://127.0.0.1:{port}\n" if public else ""
    client = f"issuer: {demo.origin}, client_id: omnibot, client_secret: {secret}"
    return f"listen: 127.0.0.1:{port}\n{url}providers:\n  demo: {{{client}{more}}}\n"


async def allow(url: str) -> str:
    """Authorise the bot at *url*, as Ada."""
    async with Browser(stop="http://127.0.0.1:9/") as browser:
        await browser.open(url)
        await browser.press("Ada")
        await browser.press("Allow")
        return browser.url


async def deny(url: str) -> str:
    """Refuse to authorise the bot at *url*."""
    async with Browser() as browser:
        await browser.open(url)
        await browser.press("Ada")
        await browser.press("Deny")
        return browser.url


def secrets_told(said: str, demo: DemoProvider) -> list[str]:
    """Return what of *said* is a secret of *demo* or of the bot."""
    known = {SECRET, *demo._ledger._tokens, *demo._ledger._codes}
    return [one for one in known if one in said]


# ------------------------------------------------------------------------- what is well


async def test_each_step_is_told(demo: DemoProvider, port: int, folder: Path) -> None:
    """Metadata, the address to open, the token, whoami, refresh, revocation; then everything is gone."""
    operator = Operator(allow)

    assert await operator.try_("demo", config(demo, port))
    levels = [one.split()[0] for one in operator.said if re.match(r"(ok|note|WRONG) ", one)]
    told = operator.text
    steps = ["API at", "metadata: authorise", "redirect URI", "authorize?", "Waiting", "came back", "token: a bearer's"]
    steps += ["scopes granted: notes:read", "whoami: ada", "refresh: a new access token", "revoke: done", "Nothing has"]

    assert sorted(told.index(one) for one in steps) == [told.index(one) for one in steps]
    assert {"ok", "note"} == set(levels)
    assert f"http://127.0.0.1:{port}/callback/demo/default, to" not in told
    assert f"to the letter: http://127.0.0.1:{port}/callback/demo/default" in told
    assert ["ada"] == demo.revoked
    assert ["config.yaml"] == names(folder)


async def test_no_secret_is_told(demo: DemoProvider, port: int) -> None:
    """Neither the client's secret, nor a code, a verifier or a token; the state is in the address to open."""
    operator = Operator(allow)
    await operator.try_("demo", config(demo, port))
    address = next(one for one in operator.said if "/authorize?" in one)

    assert 2 == len(demo.exchanges)
    assert [] == secrets_told(operator.text, demo)
    assert "code=" not in operator.text.replace("response_type=code", "")
    assert "code_challenge=" in address
    assert "verifier" not in operator.text


async def test_what_a_server_puts_into_its_words_is_not_told(demo: DemoProvider, port: int) -> None:
    """A server that names the token as a scope: stars are told."""
    body = '{"access_token": "hidden-token", "token_type": "bearer", "scope": "notes:read hidden-token"}'
    demo.fail("/token", status=200, body=body, headers={"Content-Type": "application/json"})
    operator = Operator(allow)

    assert not await operator.try_("demo", config(demo, port))
    assert "scopes granted: notes:read ****." in operator.text
    assert "hidden-token" not in operator.text


async def test_by_pasting_where_there_is_no_public_address(demo: DemoProvider, port: int) -> None:
    """Nothing listens: the address that the browser shows is pasted."""
    operator = Operator(allow)

    assert await operator.try_("demo", config(demo, port, public=False))
    assert ["The address: "] == operator.asked
    assert "Waiting" not in operator.text
    assert "code=" not in operator.text.replace("response_type=code", "")


async def test_a_bare_code_is_not_taken(demo: DemoProvider, port: int) -> None:
    """What is pasted is the whole address; after three tries it is over."""
    other = "http://127.0.0.1:9/callback/demo/default?code=c0de&state=of-another"
    operator = Operator(allow, "c0de", "https://elsewhere.example/?code=c0de&state=s", other)

    assert not await operator.try_("demo", config(demo, port, public=False))
    assert 2 == operator.text.count("That is not an address that begins with http://127.0.0.1:9/callback/demo/default.")
    assert "the answer to another question" in operator.text
    assert "WRONG authorise: no address came back." in operator.text
    assert "c0de" not in operator.text
    assert [] == demo.exchanges


async def test_by_key(demo: DemoProvider, folder: Path) -> None:
    """A key is asked for without being shown, and stays good."""
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "keys.yaml").write_text(KEYS, encoding="utf-8")
    key = demo.key_for("ada")
    operator = Operator(allow, f" {key}\n")
    settings = f"catalogue_dir: catalogue\nproviders:\n  keys: {{base: {demo.origin}}}\n"

    assert await operator.try_("keys", settings)
    assert "whoami: ada" in operator.text
    assert "(it is not shown)" in operator.asked[0]
    assert key not in operator.text
    assert key == demo.key_for("ada")


async def test_what_the_bot_has_linked_is_not_cut(demo: DemoProvider, port: int, folder: Path) -> None:
    """To revoke a token may end the whole grant: with the account linked here, it is left out."""
    data = folder / "data"
    data.mkdir()
    with closing(sqlite3.connect(data / "omnibot.db")) as database:
        database.execute("CREATE TABLE accounts (provider TEXT, instance TEXT, external TEXT)")
        database.execute("INSERT INTO accounts VALUES ('demo', 'default', ?)", ("u-ada",))
        database.commit()
    operator = Operator(allow)

    assert await operator.try_("demo", f"data_dir: data\n{config(demo, port)}")
    assert "note  revoke: left out. The bot has this account linked" in operator.text
    assert [] == demo.revoked


# ------------------------------------------------------------------------- the mistakes that people make


async def test_a_wrong_secret(demo: DemoProvider, port: int) -> None:
    """The token endpoint refuses the client: what to compare is said."""
    operator = Operator(allow)

    assert not await operator.try_("demo", config(demo, port, secret="not-the-secret"))
    assert "WRONG token: Demo notes does not take the bot's client (status 401). Compare client_id" in operator.text
    assert "not-the-secret" not in operator.text
    assert operator.said[-1].startswith("Something is wrong.")


async def test_a_redirect_uri_that_is_not_registered(demo: DemoProvider, port: int) -> None:
    """The service shows an error, and nobody comes back: both are said, with the URI to register."""
    elsewhere = fixed_ports(1)[0]
    operator = Operator()
    back = f"http://127.0.0.1:{elsewhere}/callback/demo/default"

    assert not await operator.try_("demo", config(demo, elsewhere), wait=0.1)
    assert "note  authorise: the service answers 400 to that address." in operator.text
    assert "WRONG authorise: nobody came back in time." in operator.text
    assert f"register {back} there" in operator.text


async def test_a_server_that_cannot_be_reached(port: int) -> None:
    """It is named, and where to look."""
    async with DemoProvider() as gone:
        settings = config(gone, port)
    operator = Operator()

    assert not await operator.try_("demo", settings)
    assert "WRONG metadata: " in operator.text
    assert "Check its address in the configuration" in operator.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("github", "github is not configured. Add providers.github to the configuration: `omnibot providers show"),
        ("demo@work", "I do not know that demo."),
    ],
)
async def test_what_is_not_configured(demo: DemoProvider, port: int, name: str, words: str) -> None:
    """It is refused at once, with what is missing."""
    operator = Operator()

    with pytest.raises(UserError, match=re.escape(words)):
        await operator.try_(name, config(demo, port))
    assert [] == operator.said


async def test_a_scope_that_the_service_does_not_know(demo: DemoProvider, port: int) -> None:
    """The authorization server says so before anybody opens a browser."""
    operator = Operator()

    assert not await operator.try_("demo", config(demo, port, more=", scopes: [notes:everything]"))
    assert "WRONG authorise: Demo notes does not grant what was asked for. Take the scopes out" in operator.text
    assert "Waiting" not in operator.text


async def test_who_refuses(demo: DemoProvider, port: int) -> None:
    """The service's word for it is told in ours."""
    operator = Operator(deny)

    assert not await operator.try_("demo", config(demo, port))
    assert "WRONG authorise: Demo notes says that access was refused." in operator.text


async def test_an_answer_of_another_server_is_not_taken(demo: DemoProvider, port: int) -> None:
    """It names another issuer (RFC 9207): its code goes nowhere."""
    demo.iss_override = "https://evil.example"
    operator = Operator(allow)

    assert not await operator.try_("demo", config(demo, port))
    assert "WRONG authorise: Demo notes names another issuer in its answer. Write issuer" in operator.text
    assert [] == demo.exchanges


async def test_an_answer_to_another_question_is_not_taken(demo: DemoProvider, port: int) -> None:
    """A state that is not the trial's: the browser is told, and the trial goes on to wait."""
    pages = []

    async def wrong(url: str) -> str:
        async with Browser() as browser:
            for path in ("/callback/demo/default?code=c0de&state=of-another", "/callback/demo/default", "/other"):
                await browser.open(f"http://127.0.0.1:{port}{path}")
                pages.append((browser.status, browser.text))
        return await allow(url)

    operator = Operator(wrong)

    assert await operator.try_("demo", config(demo, port))
    assert [400, 400, 404] == [status for status, _ in pages]
    assert "another question" in pages[0][1]


async def test_what_fails_after_the_token_is_told_and_the_token_goes_back(demo: DemoProvider, port: int) -> None:
    """Whoami and refresh out of order: both are said; the token is revoked all the same."""
    demo.fail("/api/me", status=404)
    operator = Operator(allow)

    assert not await operator.try_("demo", config(demo, port))
    assert "WRONG whoami: Demo notes does not say whose the token is (status 404). See that" in operator.text
    assert "ok    refresh: " in operator.text
    assert ["ada"] == demo.revoked


async def test_a_key_that_is_not_taken(demo: DemoProvider, folder: Path) -> None:
    """It is not repeated."""
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "keys.yaml").write_text(KEYS, encoding="utf-8")
    settings = f"catalogue_dir: catalogue\nproviders:\n  keys: {{base: {demo.origin}}}\n"
    wrong, none = Operator(allow, "not-a-key"), Operator(allow, "")

    assert not await wrong.try_("keys", settings)
    assert not await none.try_("keys", settings)
    assert "does not take that key (status 401). Copy it again" in wrong.text
    assert "not-a-key" not in wrong.text
    assert "WRONG No key was typed in." in none.text


async def test_it_does_not_run_beside_the_bot(demo: DemoProvider, port: int, folder: Path) -> None:
    """Where browsers come back to the bot's own port; by pasting it may."""

    async def perform(*_: object) -> object:
        return {}

    data = folder / "data"
    data.mkdir(mode=0o700)
    bot = Control(data, perform)
    await bot.start()
    beside = Operator(allow)
    try:
        with pytest.raises(UserError, match=rf"The bot runs: .*127\.0\.0\.1:{port}.* Stop it"):
            await Operator(allow).try_("demo", f"data_dir: data\n{config(demo, port)}")

        assert await beside.try_("demo", f"data_dir: data\n{config(demo, port, public=False)}")
    finally:
        await bot.stop()


async def test_a_port_that_another_program_has(demo: DemoProvider, port: int) -> None:
    """It is named as in `omnibot run`."""
    async with DemoProvider(port=port):
        with pytest.raises(ConfigError, match="is in use by another program"):
            await Operator(allow).try_("demo", config(demo, port))


async def test_on_the_command_line(
    demo: DemoProvider,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is asked for is read from standard input, and status 0 says that all is well; 1 that something is not."""
    monkeypatch.setattr("omnibot.app.harden", lambda: None)
    (folder / "catalogue").mkdir()
    (folder / "catalogue" / "keys.yaml").write_text(KEYS, encoding="utf-8")
    config = f"catalogue_dir: catalogue\nproviders:\n  keys: {{base: {demo.origin}}}\n"
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    (folder / "typed").write_text(f"{demo.key_for('ada')}\nnot-a-key", encoding="utf-8")
    with (folder / "typed").open(encoding="utf-8") as typed:
        monkeypatch.setattr("sys.stdin", typed)
        statuses = [await asyncio.to_thread(cli.run, ["providers", "test", "keys"]) for _ in range(2)]
    said = capsys.readouterr()

    assert [0, 1] == statuses
    assert "whoami: ada" in said.out
    assert "does not take that key" in said.out
    assert demo.key_for("ada") not in said.out


def test_what_is_not_configured_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not configured is an error on standard error, with status 1."""
    Path("config.yaml").write_text("providers: {}\n", encoding="utf-8")
    status = cli.run(["providers", "test", "redmine"])
    said = capsys.readouterr()

    assert (1, "") == (status, said.out)
    assert said.err.startswith("redmine is not configured. Add providers.redmine")
