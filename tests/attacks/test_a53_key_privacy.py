"""A53: who sees a key that is typed.

A key opens everything that its owner may do, for years, to whoever reads it: in a conversation's history, in a
browser's, in a page that stays open, in a backup.

What must hold: with a public address, a link by key is offered as a form of ours and in no other way; what is
typed there is in no address, on no page and in no cookie, and is stored sealed alone.  Into a chat it is taken only
in private, only where the operator (or the catalogue, for services marked as sensitive) lets it, and whoever does
so is told that it stays there.  The service is asked whose it is before anything is kept; a wrong one is not kept.

What remains: a private conversation has two ends and a server between them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import ends, stored
from by_key import form, keyed, with_line
from omnibot.catalogue import Instances
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.linking.exchange import Exchange, Profile
from omnibot.pages import Pages
from omnibot.provider import EVERYTHING, Instance, Token
from omnibot.testing.bench import ADA, GRACE, Bench, Plan


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, provider=provider), provider)


@pytest.fixture
def key(provider: DemoProvider) -> str:
    return provider.key_for("ada")


def taken_anywhere(patch: pytest.MonkeyPatch) -> None:
    """Take keys in every private chat, whatever the operator says."""
    get = Instances.get

    def lenient(self: Instances, *names: Any) -> Instance:
        return replace(get(self, *names), chat_keys=True)

    patch.setattr(Instances, "get", lenient)


@pytest.mark.attack("A53", sabotage=taken_anywhere)
@pytest.mark.parametrize("how", ["operator", "catalogue"])
async def test_where_keys_are_not_for_chats_none_is_taken(
    tmp_path: Path, provider: DemoProvider, key: str, how: str
) -> None:
    """It is not even tried; a new one is advised, and the form is offered for it."""
    plan = keyed(Plan(tmp_path, provider=provider), provider, **({"chat_keys": False} if how == "operator" else {}))
    if how == "catalogue":
        with_line(tmp_path, "sensitivity: high")
    async with Bench.open(plan) as bench:
        said = await bench.say(f"!link keys {key}")
        kept = await stored(bench)

    assert "this conversation keeps what you said, so make a new key there." in said[0]
    assert "Then say `!link keys` alone, for a form to type it into." in said[0]
    assert key not in said[0]
    assert [] == provider.requests
    assert [] == kept


@pytest.mark.attack("A53", sabotage=taken_anywhere)
async def test_without_form_and_chat_there_is_no_link(tmp_path: Path, provider: DemoProvider) -> None:
    """A bot without a public address does not fall back to the chat that its operator ruled out."""
    plan = replace(keyed(Plan(tmp_path, provider=provider), provider, chat_keys=False), public=False)
    async with Bench.open(plan) as bench:
        said = await bench.say("!link keys")
        begun = await ends(bench)

    assert "Demo keys cannot be linked while this bot has no public address." in said[0]
    assert [] == begun


@pytest.mark.attack("A53")
async def test_with_a_form_nobody_is_asked_to_say_it(bench: Bench) -> None:
    """Neither who asks for a link nor whose command wants one."""
    said = [*await bench.say("!link keys"), *await bench.say("!jot")]

    assert not [text for text in said if "YOUR-KEY" in text]
    assert "open your link" in said[0]


def echoing(patch: pytest.MonkeyPatch) -> None:
    """Fill the form with what was typed last, as forms do by habit."""
    key = Pages.key

    def filled(self: Pages, outcome: Any, token: Any, problem: Any = None) -> str:
        return key(self, outcome, token, problem).replace('type="password"', 'type="password" value="demo-key-wrong"')

    patch.setattr(Pages, "key", filled)


@pytest.mark.attack("A53", sabotage=echoing)
async def test_what_is_typed_is_on_no_page_and_in_no_address(bench: Bench, key: str) -> None:
    """Wrong or right: not on the form that comes back, nor on the page with the code, nor in a cookie."""
    pages, addresses = [], []
    async with Browser() as browser:
        await form(bench, browser)
        for typed in ("demo-key-wrong", key):
            await browser.press("Connect", key=typed)
            pages.append(browser.page)
            addresses.append(browser.url)
        await bench.say(f"!confirm {browser.code}")
        pages.append((await browser.open(browser.url)).page)
        assert browser._session is not None
        cookies = [cookie.value for cookie in browser._session.cookie_jar]
    everything = "\n".join([*pages, *addresses, *cookies])

    assert "demo-key-wrong" not in everything
    assert key not in everything
    assert 'type="password"' in pages[0]
    assert 'autocomplete="off"' in pages[0]


@pytest.mark.attack("A53")
async def test_said_in_private_it_stays_there_and_that_is_said(bench: Bench, key: str) -> None:
    """The bot does not repeat it, and stores it sealed."""
    said = await bench.say(f"!link keys {key}")
    await bench.core.database.checkpoint()
    files = [one for one in (bench.plan.directory / "data").rglob("*") if one.is_file()]

    assert "Your key stays in this conversation's history: remove it there if you can." in said[0]
    assert key not in "\n".join(bench.network.texts())
    assert [] == [one.name for one in files if key.encode() in one.read_bytes()]


def believed(patch: pytest.MonkeyPatch) -> None:
    """Keep a key without asking whose it is."""

    async def take(self: Exchange, instance: Instance, key: str) -> tuple[Token, Profile]:
        return Token(key, scopes=(EVERYTHING,)), Profile("u-ada", "ada", "", "")

    patch.setattr(Exchange, "take_key", take)


@pytest.mark.attack("A53", sabotage=believed)
@pytest.mark.parametrize("fault", [None, {"status": 500}, {"status": 200, "body": "{}"}, {"drop": True}])
async def test_what_the_service_does_not_vouch_for_is_not_kept(
    bench: Bench, provider: DemoProvider, key: str, fault: dict[str, Any] | None
) -> None:
    """Unknown to it, or it is out of order, or it does not say whose it is."""
    if fault:
        provider.fail("/api/me", times=None, **fault)
    await bench.say(f"!link keys {key if fault else 'demo-key-wrong'}")
    async with Browser() as browser:
        await form(bench, browser)
        await browser.press("Connect", key=key if fault else "demo-key-wrong")

    assert [] == await stored(bench)
    assert [] == await bench.rows("SELECT * FROM revocations")


@pytest.mark.attack("A53", sabotage=lambda patch: patch.setattr("omnibot.dispatcher.holds_secret", lambda _: False))
async def test_an_open_link_does_not_make_a_room_private(bench: Bench, provider: DemoProvider, key: str) -> None:
    """Whoever was asked for a key in private and answers in a room has published it."""
    await bench.say("!link keys")
    await bench.say(f"!link keys {key}", ADA, bench.network.room("ops", ADA, GRACE))

    assert 1 == len(bench.network.retracted)
    assert [] == provider.requests
    assert [("open", "")] == await ends(bench)
