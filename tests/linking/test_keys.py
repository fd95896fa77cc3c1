"""Links by API key: the service says whose it is before anything is kept, and it stays its owner's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from attacks.helpers import SAME_ORIGIN, ask, fetch
from by_key import form, keyed, link_by_key, with_line
from linking.steps import all_accounts, all_flows, audited, ends, held, told, until, write
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Assurance, Identity
from omnibot.linking import flows
from omnibot.message import Channel
from omnibot.provider import EVERYTHING
from omnibot.testing.bench import ADA, GRACE, Bench, Clock, Plan
from omnibot.testing.fakes import POOR, FakeAdapter

HISTORY = "Your key stays in this conversation's history: remove it there if you can."
NOT_TAKEN = (
    "Demo keys does not take that key. Look at it again: was it copied whole? If it was, the service may take no "
    "keys at all: ask who runs it."
)


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, skills=("accounts", "ping", "notes"), provider=provider), provider)


@pytest.fixture
def key(provider: DemoProvider) -> str:
    """Ada's key."""
    return provider.key_for("ada")


async def posted(browser: Browser, key: str, url: str = "") -> int:
    """Return the status of one answer to the form with *key* in it, from *browser*."""
    assert browser._session is not None
    target = url or f"{browser.url}/key"
    async with browser._session.post(target, data={"key": key}, headers=SAME_ORIGIN, allow_redirects=False) as answer:
        return answer.status


# ------------------------------------------------------------------------------------------ the form


async def test_the_page_names_who_asks_and_no_scopes(bench: Bench, browser: Browser) -> None:
    """A key is not for some scopes; what it opens is said."""
    await bench.say("!jot")
    asked = await browser.open(bench.link_for())

    assert "Whoever speaks as Ada" in asked.text
    assert "jot" in asked.text
    assert "notes:read" not in asked.text


async def test_a_key_typed_into_the_form_and_the_code_link(bench: Bench, browser: Browser, key: str) -> None:
    """The page says where the key is found; typed, it shows a code, and the code in chat makes it active."""
    shown = await form(bench, browser)
    page, text = shown.page, shown.text
    await browser.press("Connect", key=key)
    pending = (await all_accounts(bench))[0]
    said = await bench.say(f"!confirm {browser.code}")
    account = (await all_accounts(bench))[0]

    assert "Your API key for Demo keys" in text
    assert "Your profile shows it." in text
    assert f'href="{bench.provider.origin}/keys"' in page
    assert 'type="password"' in page
    assert 'autocomplete="off"' in page
    assert ("pending", (EVERYTHING,)) == (pending.status, pending.scopes)
    assert ["Linked Demo keys as **ada**. Not you, or not meant? Say `!undo`."] == said
    assert ("active", None, True) == (account.status, account.expires, account.by_key)
    assert ["ada has 0 notes."] == await bench.say("!jot")


async def test_what_waited_runs_after_the_code(bench: Bench, browser: Browser, key: str) -> None:
    """A command without an account begins a link by key, too."""
    await bench.say("!jot add hello")
    await browser.open(bench.link_for())
    await browser.press("Continue")
    await browser.press("Connect", key=key)
    said = await bench.say(f"!confirm {browser.code}")

    assert "Running what you asked for: `!jot add hello`" in said[0]
    assert "Written as ada." == said[1]
    assert ["hello"] == bench.provider.notes("ada")


async def test_a_key_is_allowed_whatever_the_command_wants(bench: Bench, key: str) -> None:
    """No second link is asked for because of scopes: the service itself says no where the key's owner may not."""
    await link_by_key(bench, key)

    assert ["Written as ada."] == await bench.say("!jot add hello")


@pytest.mark.parametrize("wrong", ["demo-key-wrong", "two words", "ünknown", " ", "", "x" * 4097])
async def test_a_wrong_key_can_be_typed_again(bench: Bench, browser: Browser, key: str, wrong: str) -> None:
    """The form comes back without it; the right one is still taken."""
    await form(bench, browser)
    await browser.press("Connect", key=wrong)
    status, text, page = browser.status, browser.text, browser.page
    await browser.press("Connect", key=f" {key}\n")
    said = await bench.say(f"!confirm {browser.code}")

    assert 422 == status
    assert "The service does not take that key." in text
    assert len(wrong) < 5 or wrong not in page
    assert said[0].startswith("Linked Demo keys as **ada**")


async def test_five_wrong_keys_end_the_link(bench: Bench, browser: Browser, key: str) -> None:
    """The page and the one who asked are told; the right one comes too late."""
    await bench.say("!jot")
    await browser.open(bench.link_for())
    await browser.press("Continue")
    url = browser.url
    for _ in range(5):
        await browser.press("Connect", key="demo-key-wrong")
    text = browser.text
    late = await posted(browser, key, f"{url}/key")
    await bench.settle()

    assert "Too many wrong keys" in text
    assert 410 == late
    assert [("refused", "bad_key")] == await ends(bench)
    assert [] == await all_accounts(bench)
    assert (
        "Too many wrong keys: your Demo keys link has ended. Begin again if you still want it. `!jot` was not run."
        in told(bench)
    )


async def test_wrong_keys_are_no_wrong_codes(bench: Bench, browser: Browser, key: str) -> None:
    """After four of them, four wrong codes are still forgiven."""
    await form(bench, browser)
    for _ in range(4):
        await browser.press("Connect", key="demo-key-wrong")
    await browser.press("Connect", key=key)
    for _ in range(4):
        await bench.say("!confirm BCDF-GHJK")

    assert (await bench.say(f"!confirm {browser.code}"))[0].startswith("Linked")


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"drop": True}])
async def test_a_service_that_is_down_says_nothing_of_a_key(
    bench: Bench, browser: Browser, key: str, fault: dict[str, object]
) -> None:
    """It may be tried again as often as one likes: none of it counts as a wrong key."""
    await form(bench, browser)
    bench.provider.fail("/api/me", times=None, **fault)  # type: ignore[arg-type]
    for _ in range(6):
        await browser.press("Connect", key=key)
    status, text = browser.status, browser.text
    bench.provider.clear_faults()
    await browser.press("Connect", key=key)

    assert 503 == status
    assert "The service did not answer." in text
    assert browser.code


async def test_an_answer_that_names_nobody_is_no_key(bench: Bench, browser: Browser, key: str) -> None:
    """Whatever is not whoami as the catalogue knows it."""
    await form(bench, browser)
    bench.provider.fail("/api/me", status=200, body='{"login": "ada"}')
    await browser.press("Connect", key=key)

    assert 422 == browser.status
    assert [] == await all_accounts(bench)


async def test_of_two_posts_at_once_one_counts(bench: Bench, browser: Browser, key: str) -> None:
    """The other is told so; the service is asked once."""
    await form(bench, browser)
    bench.provider.fail("/api/me", status=None, delay=0.05)
    answers = await asyncio.gather(posted(browser, key), posted(browser, bench.provider.key_for("grace")))

    assert [303, 410] == sorted(answers)
    assert 1 == bench.provider.requests.count("GET /api/me")
    assert 1 == len(await all_accounts(bench))


async def test_the_code_is_there_again_after_a_reload(bench: Bench, browser: Browser, key: str) -> None:
    """And the form before it."""
    await form(bench, browser)
    await browser.open(browser.url)
    again = browser.text
    await browser.press("Connect", key=key)
    code = browser.code
    await browser.open(browser.url)

    assert "Your API key for Demo keys" in again
    assert code == browser.code


async def test_another_browser_sees_nothing_and_can_type_nothing(bench: Bench, browser: Browser, key: str) -> None:
    """The form, the key and the code are for the browser that holds the cookie."""
    await form(bench, browser)
    flow = browser.url
    async with Browser() as other:
        seen = await ask(other, flow)
        typed = await posted(other, key, f"{flow}/key")
        stolen = {**SAME_ORIGIN, "Cookie": f"ob-{flow.rpartition('/')[2]}={'x' * 43}"}
        made_up = await fetch(f"{flow}/key", method="POST", data=f"key={key}", headers=stolen)

    assert (400, 400, 404) == (seen.status, typed, made_up.status)
    assert [("open", "")] == await ends(bench)
    assert [] == bench.provider.calls


async def test_a_later_browser_takes_the_form_over(bench: Bench, browser: Browser, key: str) -> None:
    """Whoever opened the link before types into nothing."""
    await form(bench, browser)
    async with Browser() as later:
        await later.open(bench.link_for())
        await later.press("Continue")
        before = await posted(browser, key)
        await later.press("Connect", key=key)
        code = later.code

    assert 404 == before
    assert code


async def test_a_form_from_elsewhere_is_refused(bench: Bench, browser: Browser, key: str) -> None:
    """Login CSRF by key: another site cannot type its own key into our form (A18)."""
    await form(bench, browser)
    assert browser._session is not None
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {}, {"Sec-Fetch-Site": "same-site"}):
        async with browser._session.post(f"{browser.url}/key", data={"key": key}, headers=headers) as answer:
            assert 403 == answer.status

    assert [] == bench.provider.calls


async def test_the_link_can_be_refused(bench: Bench, browser: Browser) -> None:
    """As every other."""
    await bench.say("!link keys")
    await browser.open(bench.link_for())
    await browser.press("Refuse")
    await bench.settle()

    assert [("refused", "refused")] == await ends(bench)
    assert "The person who opened your Demo keys link refused it." in told(bench)


async def test_the_form_ends_with_its_flow(bench: Bench, browser: Browser, key: str) -> None:
    """Twenty minutes after it was asked for."""
    await form(bench, browser)
    bench.clock.pass_(flows.FLOW_SECONDS)
    status = await posted(browser, key)
    await browser.open(browser.url)

    assert 410 == status
    assert "Too late" in browser.text
    assert [] == bench.provider.calls


async def test_a_flow_that_ends_while_the_service_is_asked_keeps_nothing(
    bench: Bench, browser: Browser, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the key, which is its owner's, is handed back to nobody."""
    await form(bench, browser)
    go = held(bench, monkeypatch, "/api/me")
    typed = asyncio.create_task(posted(browser, key))
    await until(lambda: "GET /api/me" in bench.provider.requests)
    await bench.say("!link keys")
    go.set()
    status = await typed

    assert 410 == status
    assert [] == await all_accounts(bench)
    assert [("refused", "replaced"), ("open", "")] == await ends(bench)
    assert [] == await bench.rows("SELECT * FROM revocations")


async def test_a_restart_while_the_service_is_asked_ends_the_link(plan: Plan, provider: DemoProvider, key: str) -> None:
    """It is said, and nothing is kept."""
    async with Bench.open(plan) as first, Browser() as browser:
        plan = replace(first.plan, networks=())
        await form(first, browser)
        flow = (await all_flows(first))[0]
        async with first.core.database.transaction() as tx:
            await flows.update(tx, first.core.sealer, replace(flow, state="exchanging"))
    async with Bench.open(plan) as second:
        await second.say("!ping")

        assert [("refused", "interrupted")] == await ends(second)
        assert "I was restarted while Demo keys was answering. Please begin your link again." in told(second)


async def test_a_key_is_never_revoked(bench: Bench, browser: Browser, key: str) -> None:
    """Unlinked, undone, disconnected, replaced, lapsed: erased here, and good at the service as before."""
    words = []
    await link_by_key(bench, key)
    words += await bench.say("!unlink keys")
    await link_by_key(bench, key)
    words += await bench.say("!undo")
    await form(bench, browser)
    await browser.press("Connect", key=key)
    await browser.press("This was not me")
    page = browser.text
    await link_by_key(bench, key)
    await link_by_key(bench, key)
    await form(bench, browser)
    await browser.press("Connect", key=key)
    bench.clock.pass_(flows.CODE_SECONDS)
    await bench.core.upkeep.sweep()
    await bench.core.revoking.work()

    assert [] == await bench.rows("SELECT * FROM revocations")
    assert "POST /revoke" not in bench.provider.requests
    assert 2 == len([one for one in words if "The key itself still works: delete it at " in one])
    assert "It cannot be given back from here." in page
    assert key == bench.provider.key_for("ada")
    assert ["ada has 0 notes."] == await bench.say("!jot")


async def test_a_rotated_key_wants_a_new_link(bench: Bench, browser: Browser, key: str) -> None:
    """The old one is answered with 401: a link goes out, by key again, and what was asked for runs after it."""
    await link_by_key(bench, key)
    new = bench.provider.rotate_key("ada")
    said = await bench.say("!jot add hello")
    broken = [one.status for one in await all_accounts(bench)]
    await browser.open(bench.link_for())
    await browser.press("Continue")
    await browser.press("Connect", key=new)
    answers = await bench.say(f"!confirm {browser.code}")

    assert ["broken"] == broken
    assert "Demo keys no longer accepts your link." in said[0]
    assert answers[0].startswith("Linked Demo keys as **ada**")
    assert ["hello"] == bench.provider.notes("ada")
    assert ["active"] == [one.status for one in await all_accounts(bench)]


# ------------------------------------------------------------------------------------------ in chat


@pytest.mark.parametrize("typed", ["{}", "  {}  ", '"{}"', "--by key {}"])
async def test_a_key_said_in_private_links_at_once(bench: Bench, key: str, typed: str) -> None:
    """Without a link and without a code: the service has said whose it is, and the speaker is who they are."""
    said = await bench.say(f"!link keys {typed.format(key)}")

    assert [f"Linked Demo keys as **ada**. Not you, or not meant? Say `!undo`. {HISTORY}"] == said
    assert ["active"] == [one.status for one in await all_accounts(bench)]
    assert [("linked", "")] == await ends(bench)
    assert ["ada has 0 notes."] == await bench.say("!jot")


async def test_a_key_said_in_private_is_for_the_link_that_is_open(bench: Bench, key: str) -> None:
    """What waits for that runs; the page that was open says what became of it."""
    await bench.say("!jot add hello")
    async with Browser() as browser:
        await browser.open(bench.link_for())
        await browser.press("Continue")
        said = await bench.say(f"!link keys {key}")
        await browser.open(browser.url)
        shown = browser.text

    assert said[0].endswith(f"{HISTORY}\nRunning what you asked for: `!jot add hello`")
    assert "Written as ada." == said[1]
    assert [("linked", "")] == await ends(bench)
    assert "ada" in shown


async def test_a_wrong_key_said_in_private_can_be_said_again(bench: Bench, key: str) -> None:
    """The answer does not repeat it, and its link is the same."""
    first = await bench.say("!link keys demo-key-wrong")
    spaced = await bench.say("!link keys two words")
    right = await bench.say(f"!link keys {key}")

    assert [NOT_TAKEN] == first
    assert [NOT_TAKEN] == spaced
    assert right[0].startswith("Linked")
    assert 1 == len(await all_flows(bench))


async def test_a_command_after_a_wrong_key_is_pointed_to_no_link(bench: Bench, key: str) -> None:
    """There was none: the key alone began it."""
    await bench.say("!link keys demo-key-wrong")
    said = await bench.say("!jot")

    assert ["I still wait for your key: say `!link keys YOUR-KEY` in private."] == said
    assert (await bench.say(f"!link keys {key}"))[0].startswith("Linked")


async def test_five_wrong_keys_said_end_the_link(bench: Bench, key: str) -> None:
    """Which is said; the next key begins another."""
    for _ in range(4):
        await bench.say("!link keys demo-key-wrong")
    fifth = await bench.say("!link keys demo-key-wrong")
    right = await bench.say(f"!link keys {key}")

    assert NOT_TAKEN in fifth
    assert "Too many wrong keys: your Demo keys link has ended. Begin again if you still want it." in fifth
    assert right[0].startswith("Linked")
    assert [("refused", "bad_key"), ("linked", "")] == await ends(bench)


async def test_a_service_that_is_down_when_a_key_is_said(bench: Bench, key: str) -> None:
    """Nothing is kept; later it is taken."""
    bench.provider.fail("/api/me", status=502)
    said = await bench.say(f"!link keys {key}")

    assert ["Demo keys did not answer when I asked whose key that is, so I have not kept it. Try in a while."] == said
    assert [] == await all_accounts(bench)
    assert (await bench.say(f"!link keys {key}"))[0].startswith("Linked")


async def test_two_keys_at_once(bench: Bench, browser: Browser, key: str) -> None:
    """One typed, one said: the one that came first is asked about, the other is told to wait."""
    await form(bench, browser)
    bench.provider.fail("/api/me", status=None, delay=0.1)
    typed = asyncio.create_task(posted(browser, key))
    await until(lambda: "GET /api/me" in bench.provider.requests)
    said = await bench.say(f"!link keys {bench.provider.key_for('grace')}")
    await typed

    assert said[0].startswith("Linked Demo keys as **grace**")
    assert ["active", "pending"] == sorted(one.status for one in await all_accounts(bench))


async def test_a_command_that_is_stopped_while_asking_leaves_the_link_open(bench: Bench, key: str) -> None:
    """Whoever says it again is not told that another key is being looked at."""
    bench.provider.fail("/api/me", status=None, delay=5)
    await bench.network.hear(f"!link keys {key}", ADA)
    await until(lambda: "GET /api/me" in bench.provider.requests)
    for task in asyncio.all_tasks():
        if task.get_name().startswith("link on"):
            task.cancel()
    await bench.settle()

    assert [("open", "")] == await ends(bench)
    assert (await bench.say(f"!link keys {key}"))[0].startswith("Linked")
    assert [("linked", "")] == await ends(bench)


async def test_a_weaker_message_takes_no_stronger_link(bench: Bench, key: str) -> None:
    """As with a code: what waits was said by somebody who proved more."""
    await bench.say("!jot add hello")
    before = len(bench.network.said)
    await bench.network.hear(f"!link keys {key}", ADA, assurance=Assurance.ACCOUNT)
    await bench.settle()

    assert ["Say it on fake the way you asked for the link: this message proves less."] == [
        one.reply.text for one in bench.network.said[before:]
    ]
    assert [("open", "")] == await ends(bench)
    assert [] == bench.provider.calls


async def test_a_key_for_a_service_without_keys(bench: Bench, key: str) -> None:
    """Nobody is asked about it."""
    said = await bench.say(f"!link demo {key}")

    assert ["Demo notes is not linked by a key. Say `!link demo` alone."] == said
    assert [] == await all_flows(bench)
    assert [] == bench.provider.calls


@pytest.mark.parametrize("how", ["chat_keys", "sensitivity"])
async def test_a_service_whose_keys_are_not_for_chats(
    tmp_path: Path, provider: DemoProvider, key: str, how: str
) -> None:
    """By the operator's word, or the catalogue's: the key is not tried, and the form is offered."""
    refuses = {"chat_keys": False} if how == "chat_keys" else {}
    plan = keyed(Plan(tmp_path, provider=provider), provider, **refuses)
    if how == "sensitivity":
        with_line(tmp_path, "sensitivity: high")
    async with Bench.open(plan) as bench:
        said = await bench.say(f"!link keys {key}")
        offered = await bench.say("!link keys")

    assert said[0].startswith("I take no keys for Demo keys in chat: this conversation keeps what you said, so make")
    assert [] == provider.calls
    assert "open your link" in offered[0]


async def test_the_operator_may_allow_keys_of_a_sensitive_service(
    tmp_path: Path, provider: DemoProvider, key: str
) -> None:
    """In so many words."""
    plan = keyed(Plan(tmp_path, provider=provider), provider, chat_keys=True)
    with_line(tmp_path, "sensitivity: high")
    async with Bench.open(plan) as bench:
        said = await bench.say(f"!link keys {key}")

    assert said[0].startswith("Linked")


async def test_without_a_public_address_the_key_is_asked_for_in_private(plan: Plan, key: str) -> None:
    """The words name who acts, and where the key is found; then it is said, and what waited runs."""
    async with Bench.open(replace(plan, public=False)) as bench:
        asked = await bench.say("!jot add hello")
        link = bench.network.said[-1].reply.link
        again = await bench.say("!jot")
        said = await bench.say(f"!link keys {key}")

    assert "Whoever speaks as **Ada** will act as you on **Demo keys**. Your profile shows it." in asked[0]
    assert "`!link keys YOUR-KEY` to me here, in private, within 20 minutes" in asked[0]
    assert "After that I run what you asked for: `!jot add hello`" in asked[0]
    assert link is not None
    assert f"{bench.provider.origin}/keys" == link.url
    assert ["I still wait for your key: say `!link keys YOUR-KEY` in private."] == again
    assert "Written as ada." == said[1]


async def test_without_a_public_address_the_time_is_over_after_twenty_minutes(plan: Plan, key: str) -> None:
    """The next key begins a link of its own."""
    async with Bench.open(replace(plan, public=False)) as bench:
        await bench.say("!jot")
        bench.clock.pass_(flows.FLOW_SECONDS)
        await bench.core.upkeep.sweep()
        await bench.settle()
        said = await bench.say(f"!link keys {key}")

    assert "Your Demo keys link has run out. `!jot` was not run." in told(bench)
    assert said[0].startswith("Linked")


async def test_a_poor_network_is_asked_for_a_key_too(plan: Plan, provider: DemoProvider, key: str) -> None:
    """In lines; nothing but lines is needed."""
    irc = FakeAdapter("irc", capabilities=POOR)
    ada = Identity("irc", "ada", "", "ada")
    async with Bench.open(replace(plan, public=False, networks=(irc,))) as bench:
        await bench.say("!jot", ada)
        said = await bench.say(f"!link keys {key}", ada)

    assert said[0].startswith("Linked Demo keys as **ada**")
    assert any("API key: http" in text for text in irc.private_texts(ada))
    assert not any(key in text for text in irc.texts())


async def test_links_by_key_are_counted(bench: Bench, key: str) -> None:
    """Twenty in ten minutes, as of any other way."""
    answers = [await bench.say(f"!link keys {bench.provider.key_for('ada')}") for _ in range(21)]

    assert answers[19][0].startswith("Linked")
    assert ["You have asked for many links. Use the last one, or wait ten minutes."] == answers[20]


async def test_a_key_of_another_persons_account_is_held(bench: Bench, key: str) -> None:
    """A68, by key: whoever got hold of a key does not get the account beside its owner."""
    await link_by_key(bench, key)
    said = await bench.say(f"!link keys {key}", GRACE)
    await bench.settle()

    assert said[0].startswith("That Demo keys account is linked by somebody else already.")
    assert ["active", "held"] == [one.status for one in await all_accounts(bench)]
    assert any("has just authorised your Demo keys account ada for themselves" in one for one in told(bench))


async def test_what_is_written_down_of_it(bench: Bench, key: str) -> None:
    """That it was by key, and not the key."""
    await bench.say(f"!link keys {key}")

    assert ["key"] == [one["way"] for one in await audited(bench, "link.begun")]
    assert not [row for row in await bench.rows("SELECT detail FROM audit") if key in str(row["detail"])]


# ------------------------------------------------------------------------------- another login, another place


@pytest.mark.parametrize(
    ("answer", "left"), [("cancel", ["ada"]), ("replace ada", ["grace"]), ("keep both", ["ada", "grace"])]
)
async def test_a_key_of_another_login_asks(bench: Bench, key: str, answer: str, left: list[str]) -> None:
    """Before anything changes: the old account may stay, go, or be alone as before."""
    await bench.say(f"!link keys {key}")
    asked = await bench.say(f"!link keys {bench.provider.key_for('grace')}")
    await bench.say(answer)

    assert ["At Demo keys you are linked as **ada**; this is **grace**. Replace, or keep both?"] == asked
    assert left == [one.login for one in await all_accounts(bench)]
    assert {"active"} == {one.status for one in await all_accounts(bench)}


async def test_a_question_that_nobody_answers_leaves_nothing(bench: Bench, key: str) -> None:
    """A new command calls it off: without a code nothing could come of that key any more."""
    await bench.say(f"!link keys {key}")
    await bench.say(f"!link keys {bench.provider.key_for('grace')}")
    await bench.say("!ping")

    assert ["ada"] == [one.login for one in await all_accounts(bench)]
    assert [("linked", ""), ("refused", "cancelled")] == await ends(bench)


async def test_an_account_out_of_reach_is_not_told_of(bench: Bench, key: str) -> None:
    """Another identity's account is neither named nor offered for replacement."""
    await bench.say(f"!link keys {key}")
    await write(bench, replace((await all_accounts(bench))[0], reach=(GRACE,)))
    said = await bench.say(f"!link keys {bench.provider.key_for('grace')}")

    assert said[0].startswith("Linked Demo keys as **grace**")
    assert 2 == len(await all_accounts(bench))


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[Bench, DemoProvider, DemoProvider]]:
    """A bot that knows two instances: ``keys@a`` and ``keys@b``."""
    async with AsyncExitStack() as stack:
        a, b = [await stack.enter_async_context(DemoProvider()) for _ in range(2)]
        plan = keyed(Plan(tmp_path, skills=("accounts",)), a, b)
        yield await stack.enter_async_context(Bench.open(plan)), a, b


async def test_each_instance_has_its_own_key(two: tuple[Bench, DemoProvider, DemoProvider]) -> None:
    """And gets no other: one is read with where nobody says which, and named where it matters."""
    bench, a, b = two
    await link_by_key(bench, a.key_for("ada"), service="keys@a")
    said = await bench.say(f"!link keys@b {b.key_for('lovelace')}")
    read = [await bench.say("!jot"), await bench.say("!jot@b")]
    asked = await bench.say("!jot add hello")
    written = await bench.say("keys@b")

    assert said[0].startswith("Linked Demo keys (b) as **lovelace**")
    assert [["ada has 0 notes."], ["lovelace has 0 notes."]] == read
    assert ["Which account is `jot add` for?"] == asked
    assert ["Written as lovelace."] == written
    assert {a.key_for("ada")} == {call.token for call in a.calls}
    assert {b.key_for("lovelace")} == {call.token for call in b.calls}


async def test_a_key_for_the_wrong_instance_is_wrong(two: tuple[Bench, DemoProvider, DemoProvider]) -> None:
    """And is shown to that one alone, for the speaker said so."""
    bench, a, b = two
    said = await bench.say(f"!link keys@b {a.key_for('ada')}")

    assert [NOT_TAKEN.replace("Demo keys", "Demo keys (b)")] == said
    assert [] == a.requests
    assert ["GET /api/me"] == b.requests


async def test_without_an_instance_a_key_goes_nowhere(two: tuple[Bench, DemoProvider, DemoProvider]) -> None:
    """Which one is asked first."""
    bench, a, b = two
    said = await bench.say(f"!link keys {a.key_for('ada')}")

    assert said[0].startswith("Which one?")
    assert a.key_for("ada") not in said[0]
    assert [] == [*a.requests, *b.requests]


# ---------------------------------------------------------------------------------------- said in public


async def test_in_public_nothing_is_begun(bench: Bench, room: Channel, key: str) -> None:
    """The message goes, and the speaker is told in private."""
    await bench.say(f"!link keys {key}", ADA, room)

    assert [key] == [one.text.rpartition(" ")[2] for one in bench.network.retracted]
    assert [] == await all_flows(bench)
    assert [] == bench.provider.calls
    assert "rotate it" in told(bench)[0]


async def test_a_command_that_was_interrupted_by_a_restart_is_not_repeated_with_its_key(plan: Plan, key: str) -> None:
    """Where it is too old to be run, its words alone are named."""
    async with Bench.open(plan) as first:
        plan = replace(first.plan, networks=())
        message = await first.network.hear("!ping", ADA)
        await first.settle()
        late = replace(message, id="later", text=f"!link keys {key}", at=first.clock() - 60)
        await first.core.intake.accept("fake", [late], "7")
        await first.core.database.checkpoint()
        row = (await first.rows("SELECT message FROM waiting"))[0]
        assert isinstance(row["message"], bytes)
        assert key.encode() not in row["message"]
    clock = Clock()
    clock.pass_(300)
    async with Bench.open(plan, clock) as second:
        await second.say("!ping")
        said = "\n".join(second.network.texts())

    assert "I was restarted before I could run `!link`" in said
    assert key not in said
