"""A pending account becomes active once, in its right place; what is pasted or seen ends where it should."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest

from linking.steps import (
    PASTED,
    all_accounts,
    all_flows,
    audited,
    authorised,
    ends,
    pasted,
    stop_task,
    told,
    two_instances,
    until,
    write,
    write_flow,
)
from omnibot.catalogue import ProviderSettings
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoClient
from omnibot.identity import Assurance, Guest, Identity
from omnibot.linking import flows
from omnibot.linking.confirming import _alias
from omnibot.linking.flows import FlowError
from omnibot.message import Channel
from omnibot.ports import free_port
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan

PHONE = Identity("train", "u-1-phone", "", "Ada's phone")


async def test_a_heap_of_links_is_looked_up_within_bounds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five different ones of a message, not hundreds; a real one among them is burnt."""
    looked, find = list[str](), flows.find

    async def counted(source: Any, sealer: Any, column: Any, value: Any) -> Any:
        looked.append(column)
        return await find(source, sealer, column, value)

    monkeypatch.setattr(flows, "find", counted)
    await bench.say("!link demo", MALLORY)
    link = bench.link_for(MALLORY)
    made_up = [link[:-4] + f"{number:04}" for number in range(300)]
    looked.clear()
    said = await bench.say(" ".join([made_up[0], made_up[0], made_up[0], link, *made_up]), GRACE)

    assert 5 == looked.count("ticket_hash")
    assert any("it is burnt now" in one for one in said)


# -------------------------------------------------------------------------------------- activating


async def test_the_first_account_of_a_service(bench: Bench) -> None:
    """Called after the login, open to the identity that linked it, and to no other; nobody's choice yet."""
    await bench.link()
    account = (await all_accounts(bench))[0]

    assert ("active", "ada", False) == (account.status, account.alias, account.default)
    assert (ADA, (ADA,)) == (account.linked_by, account.reach)
    assert account.activated is not None
    said = {"account": account.id, "instance": "default", "provider": "demo"}
    assert [said] == await audited(bench, "link.confirmed")


async def test_a_second_account_gets_a_name_of_its_own(bench: Bench) -> None:
    """And the default stays where it was."""
    await bench.link()
    await bench.say("!use demo")
    await bench.link(login="grace")
    one, two = await all_accounts(bench)

    assert [("ada", True), ("grace", False)] == [(one.alias, one.default), (two.alias, two.default)]


async def test_two_accounts_of_the_same_name_are_told_apart(bench: Bench) -> None:
    """By a number."""
    await bench.link()
    first = (await all_accounts(bench))[0]
    await write(bench, replace(first, external="another"))
    await bench.link()

    assert ["ada", "ada-2"] == [one.alias for one in await all_accounts(bench)]


async def test_linking_again_takes_the_old_ones_place(bench: Bench) -> None:
    """Name, default and reach stay, the token is new; the old one is not revoked, for that would cut the new."""
    await bench.link()
    first = replace((await all_accounts(bench))[0], alias="mine", default=True, reach=(ADA, PHONE))
    await write(bench, first)
    await bench.link()
    found = await all_accounts(bench)
    works = await bench.say("!notes")

    assert 1 == len(found)
    assert ("mine", True, (ADA, PHONE)) == (found[0].alias, found[0].default, found[0].reach)
    assert first.id != found[0].id
    assert first.token != found[0].token
    assert ["You have no notes."] == works
    assert [] == await bench.rows("SELECT * FROM revocations")
    assert [] == bench.provider.revoked


async def test_who_links_the_same_account_may_use_their_own_link(bench: Bench) -> None:
    """An identity of the same person that could not reach it before gets one beside it, and opens neither (A51)."""
    await bench.link()
    await write(bench, replace((await all_accounts(bench))[0], linked_by=PHONE, reach=(PHONE,)))
    before = await bench.say("!notes")
    await bench.link()
    after = await all_accounts(bench)

    assert "To connect" in before[0]
    assert [(PHONE,), (ADA,)] == [one.reach for one in after]


async def test_linking_again_keeps_what_it_was_shared_with(bench: Bench) -> None:
    """It is the same account, mended or with more scopes."""
    await bench.link()
    await write(bench, replace((await all_accounts(bench))[0], linked_by=PHONE, reach=(PHONE, ADA)))
    await bench.link()

    assert [(PHONE, ADA)] == [one.reach for one in await all_accounts(bench)]


async def test_a_broken_account_is_mended_by_linking_again(bench: Bench) -> None:
    """It does not become a second one."""
    await bench.link()
    await write(bench, replace((await all_accounts(bench))[0], status="broken", default=True))
    await bench.link()

    assert [("active", True)] == [(one.status, one.default) for one in await all_accounts(bench)]


async def test_an_account_of_a_named_instance_is_called_after_it(plan: Plan) -> None:
    """``demo@work`` says more than a login that is the same everywhere."""
    async with two_instances(plan) as (bench, _, _):
        await bench.link(service="demo@home")
        await bench.link(service="demo@work")
        found = await all_accounts(bench)
        home, work = await bench.say("!notes"), await bench.say("!notes@work")

    assert ["home", "work"] == [one.alias for one in found]
    assert (["You have no notes."], ["You have no notes."]) == (home, work)


@pytest.mark.parametrize(
    ("answer", "left", "alias"),
    [("keep both", ["ada", "grace"], "grace"), ("replace ada", ["grace"], "ada"), ("cancel", ["ada"], "ada")],
)
async def test_another_login_is_asked_about(bench: Bench, answer: str, left: list[str], alias: str) -> None:
    """A56: old and new are named; the one that is replaced gives name and rank, and is revoked."""
    await bench.link()
    await bench.say("!use demo")
    await bench.say("!link demo")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), "grace")
        asked = await bench.say(f"!confirm {browser.code}")
    waiting = [(one.login, one.status) for one in await all_accounts(bench)]
    await bench.say(answer)
    found = await all_accounts(bench)

    assert ["At Demo notes you are linked as **ada**; this is **grace**. Replace, or keep both?"] == asked
    assert [("ada", "active"), ("grace", "pending")] == waiting
    assert left == [one.login for one in found]
    assert (alias, answer != "keep both") == (found[-1].alias, found[-1].default)
    if answer != "keep both":
        gone = "ada" if answer.startswith("replace") else "grace"
        await until(lambda: gone in bench.provider.revoked)


async def test_a_question_about_another_login_can_be_left(bench: Bench) -> None:
    """The code stays good for as long as it is."""
    await bench.link()
    await bench.say("!link demo")
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(), "grace")
        await bench.say(f"!confirm {browser.code}")
        left = await bench.say("!ping")
        again = await bench.say(f"!confirm {browser.code}")

    assert "`confirm` is cancelled." in left
    assert again[0].endswith("Replace, or keep both?")


async def test_a_login_becomes_a_word_that_can_be_typed(bench: Bench) -> None:
    """Whatever the service allows in one; an instance's own name is never given away."""
    await bench.link()
    account = (await all_accounts(bench))[0]
    words = {
        "Ada": "ada",
        "Ada Lovelace": "ada-lovelace",
        "-_-": "account",
        "": "account",
        "ädä": "d",
        "x" * 50: "x" * 32,
    }

    assert list(words.values()) == [_alias(replace(account, login=login)) for login in words]
    assert "work" == _alias(replace(account, instance="work"))


async def test_no_account_is_called_like_another_instance(plan: Plan) -> None:
    """A login that the service chose must not stand for ``demo@work``."""
    settings = ProviderSettings("omnibot", Secret("demo-secret"), plan.provider.origin if plan.provider else "")
    both = replace(settings, instances={"ada": "https://other.example"})
    port = free_port()
    assert plan.provider is not None
    plan.provider.register(DemoClient("omnibot", "demo-secret", (f"http://127.0.0.1:{port}/callback/demo/default",)))
    async with Bench.open(replace(plan, provider=None, settings=(("demo", both),), port=port)) as bench:
        await bench.link()
        found = await all_accounts(bench)

    assert ["ada-2"] == [one.alias for one in found]


async def test_more_rights_are_asked_for_and_then_the_command_runs(bench: Bench, browser: Browser) -> None:
    """The account is the same, with what it could do before and what it can do now."""
    await bench.link()
    said = await bench.say("!notes add written late")
    await bench.authorise(browser, bench.link_for())
    answers = await bench.say(f"!confirm {browser.code}")
    found = await all_accounts(bench)

    assert "`notes add` needs more rights at Demo notes than you gave: notes:write." in said[0]
    assert "Running what you asked for: `!notes add written late`" in answers[0]
    assert ["Note 1 is written as **ada**."] == answers[1:]
    assert [("notes:read", "notes:write")] == [one.scopes for one in found]
    assert ["You have no notes."] != await bench.say("!notes")


async def test_the_command_waits_for_its_room(bench: Bench, browser: Browser, room: Channel) -> None:
    """A48: who has left it meanwhile hears that it was not run."""
    await bench.say("!notes", channel=room)
    await bench.authorise(browser, bench.link_for())
    bench.network.leave(room, ADA)
    said = await bench.say(f"!confirm {browser.code}")

    assert "You are no longer in #ops: `!notes` was not run." == said[-1]
    assert [] == await bench.rows("SELECT * FROM waiting")


async def test_the_command_runs_in_its_room(bench: Bench, browser: Browser, room: Channel) -> None:
    """Its answer goes where it would have gone."""
    await bench.say("!notes", channel=room)
    await bench.authorise(browser, bench.link_for())
    await bench.say(f"!confirm {browser.code}")

    assert "You have no notes." == told(bench)[-1]
    assert "I have answered you in private." == bench.network.texts(room)[-1]


async def test_activating_happens_once(bench: Bench, browser: Browser) -> None:
    """However often it is asked for at the same time."""
    await authorised(bench, browser)
    flow = (await all_flows(bench))[0]
    confirming = bench.core.confirming
    done = await asyncio.gather(*(confirming.activate(flow.id) for _ in range(5)), return_exceptions=True)
    failed = [one for one in done if isinstance(one, FlowError)]

    assert 4 == len(failed)
    assert {"expired"} == {one.code for one in failed}
    assert ["active"] == [one.status for one in await all_accounts(bench)]
    with pytest.raises(FlowError):
        await confirming.activate("unknown")


# ------------------------------------------------------------------------------------------- held


async def test_an_account_that_is_somebody_elses_is_held(bench: Bench, browser: Browser) -> None:
    """A68: it acts for nobody new; the owner is warned, what waited is dropped."""
    await bench.link()
    await bench.say("!notes", MALLORY)
    await bench.authorise(browser, bench.link_for(MALLORY), "ada")
    said = await bench.say(f"!confirm {browser.code}", MALLORY)
    statuses = {one.linked_by.subject: one.status for one in await all_accounts(bench)}
    waiting = await bench.rows("SELECT * FROM waiting")
    again = await bench.say("!notes", MALLORY)

    assert [one for one in said if "linked by somebody else already" in one]
    assert {"u-1": "active", "u-666": "held"} == statuses
    assert ("held", "taken") == (await ends(bench))[1]
    assert "fake:u-666" in told(bench)[-1]
    assert "has just authorised your Demo notes account ada" in told(bench)[-1]
    assert [] == waiting
    assert "is held: somebody else linked it first" in again[0]
    assert ["You have no notes."] == await bench.say("!notes")
    assert 1 == len(await audited(bench, "link.held"))


async def test_the_browser_can_still_say_that_it_was_not_them(bench: Bench, browser: Browser) -> None:
    """What is held goes; what the first owner has is not cut by it."""
    await bench.link()
    await bench.say("!link demo", MALLORY)
    await bench.authorise(browser, bench.link_for(MALLORY), "ada")
    await bench.say(f"!confirm {browser.code}", MALLORY)
    await browser.open(browser.url)
    await browser.press("This was not me")

    assert ["u-1"] == [one.linked_by.subject for one in await all_accounts(bench)]
    assert [] == bench.provider.revoked
    assert ["You have no notes."] == await bench.say("!notes")


async def test_a_held_account_can_be_unlinked_beside_others(bench: Bench) -> None:
    """It has a name like any other, and its owner may give it up."""
    await bench.link(login="ada")
    await bench.link(MALLORY, "mallory")
    await bench.say("!link demo", MALLORY)
    async with Browser() as browser:
        await bench.authorise(browser, bench.link_for(MALLORY), "ada")
        await bench.say(f"!confirm {browser.code}", MALLORY)
        await bench.say("keep both", MALLORY)
    listed = await bench.say("!accounts", MALLORY)
    unlinked = await bench.say("!unlink demo@ada", MALLORY)

    assert "`demo@ada` Demo notes as **ada** (held:" in listed[0]
    assert "is unlinked" in unlinked[0]
    assert [("u-1", "ada"), ("u-666", "mallory")] == [
        (one.linked_by.subject, one.login) for one in await all_accounts(bench)
    ]


# ------------------------------------------------------------------------------------------ pasted


@pytest.fixture
async def pasting(plan: Plan) -> AsyncIterator[Bench]:
    """A bot without a public address."""
    async with Bench.open(replace(plan, public=False)) as bench:
        yield bench


async def test_a_pasted_address_links_at_once(pasting: Bench) -> None:
    """There is no code to type; the account is named, and the command runs."""
    await pasting.say("!notes")
    async with Browser(stop=PASTED) as browser:
        await browser.open(pasting.link_for())
        await pasting.consent(browser)
        said = await pasting.say(browser.url)

    assert said[0].startswith("Linked Demo notes as **ada**. Not you, or not meant? Say `!undo`.")
    assert ["You have no notes."] == said[1:]


@pytest.mark.parametrize("form", ["  {}  ", "<{}>", "`{}`"])
async def test_a_pasted_address_may_be_wrapped_as_chats_do(pasting: Bench, form: str) -> None:
    """In brackets, in backticks, in blanks."""
    said = await pasting.say(form.format(await pasted(pasting)))

    assert said[0].startswith("Linked Demo notes as **ada**")


async def test_a_pasted_address_works_once(pasting: Bench) -> None:
    """The second time it says that it has been used."""
    url = await pasted(pasting)
    await pasting.say(url)
    said = await pasting.say(url)

    assert 1 == len(said)
    assert 1 == len(await all_accounts(pasting))
    assert 1 == len([one for one in pasting.provider.exchanges if one.kind == "code"])


async def test_a_pasted_address_of_nothing_is_told(pasting: Bench) -> None:
    """No flow here has that state."""
    said = await pasting.say(f"{PASTED}?code=c&state={'s' * 43}")

    assert ["That address does not belong to a link you have open here. Ask for a new one."] == said


async def test_a_pasted_address_that_was_changed_is_told_and_may_be_pasted_again(pasting: Bench) -> None:
    """A71: the state is right, the rest is not what was sent: nothing of it is read."""
    url = await pasted(pasting)
    said = await pasting.say(url.replace("/callback/demo/default", "/callback/demo/other"))

    assert "That is not the address I wait for" in said[0]
    assert (await pasting.say(url))[0].startswith("Linked")


async def test_a_pasted_address_after_its_time_is_told(pasting: Bench) -> None:
    """Twenty minutes."""
    url = await pasted(pasting)
    pasting.clock.pass_(1201)

    assert "Too late: that link has run out. Ask for a new one." in await pasting.say(url)
    assert [] == pasting.provider.exchanges


async def test_a_pasted_address_wants_the_assurance_of_the_asking(pasting: Bench) -> None:
    """Nothing is spent; the right way still works."""
    url = await pasted(pasting)
    await pasting.network.hear(url, ADA, assurance=Assurance.ACCOUNT)
    await pasting.settle()
    weak = told(pasting)[-1]

    assert "Paste it the way you asked for the link: this message proves less." == weak
    assert (await pasting.say(url))[0].startswith("Linked")


async def test_a_pasted_address_in_a_room_burns_the_link(pasting: Bench) -> None:
    """A71: others have read it. It is taken away where it can be, and told in private."""
    room = pasting.network.room("ops", ADA, GRACE)
    url = await pasted(pasting)
    await pasting.say(f"here: {url}", channel=room)
    await pasting.say(url, channel=room)
    after = await pasting.say(url)

    assert ("refused", "seen") == (await ends(pasting))[0]
    assert url in [one.text for one in pasting.network.retracted]
    assert [] == pasting.network.texts(room)
    assert "Linked" not in after[0]
    assert [] == pasting.provider.exchanges


async def test_a_pasted_address_of_somebody_elses_ends_their_link(pasting: Bench) -> None:
    """A67: who pastes it was talked into authorising it."""
    url = await pasted(pasting, MALLORY)
    await pasting.say(url)
    after = await pasting.say(url, MALLORY)

    assert "belongs to a link somebody else asked for, not you. I have ended it" in told(pasting)[-1]
    assert ("refused", "stolen") == (await ends(pasting))[0]
    assert "Linked" not in after[0]
    assert [] == pasting.provider.exchanges


async def test_a_pasted_refusal_is_no_error(pasting: Bench) -> None:
    """The provider's answer says no."""
    url = await pasted(pasting)
    query = dict(parse_qsl(url.partition("?")[2]))
    del query["code"]
    said = await pasting.say(f"{PASTED}?{urlencode(query | {'error': 'access_denied'})}")

    assert "You refused there: nothing is linked." in said
    assert ("refused", "denied") == (await ends(pasting))[0]


async def test_a_pasted_answer_of_another_server_ends_the_link(pasting: Bench) -> None:
    """A12: its issuer is not the one we sent the browser to."""
    url = await pasted(pasting)
    query = dict(parse_qsl(url.partition("?")[2])) | {"iss": "https://evil.example"}
    said = await pasting.say(f"{PASTED}?{urlencode(query)}")

    assert "That answer did not come from the server I sent you to. The link has ended." in said
    assert ("refused", "issuer") == (await ends(pasting))[0]
    assert [] == pasting.provider.exchanges


@pytest.mark.parametrize(("status", "words"), [(400, "did not hand over a token"), (503, "did not answer")])
async def test_a_pasted_address_meets_a_provider_in_trouble(pasting: Bench, status: int, words: str) -> None:
    """It is told, and the flow has ended."""
    url = await pasted(pasting)
    pasting.provider.fail("/token", status=status, body="{}")
    said = await pasting.say(url)

    assert [one for one in said if words in one]
    assert "refused" == (await ends(pasting))[0][0]


async def test_a_guest_pasting_is_not_answered(pasting: Bench) -> None:
    """They have no links, and their words are nobody's."""
    room = pasting.network.room("ops", ADA)

    assert [] == await pasting.say(f"{PASTED}?code=c&state=s", Guest("fake", "bob"), room)


async def test_an_error_of_ours_while_pasting_becomes_words(
    pasting: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a command."""
    url = await pasted(pasting)

    async def fail(*_: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(pasting.core.confirming, "paste", fail)
    said = await pasting.say(url)

    assert 1 == len(said)
    assert said[0].startswith("Something broke (ref ")
    assert "paste failed" in caplog.text


async def test_with_a_public_address_no_such_thing_is_looked_for(bench: Bench) -> None:
    """The words are as any others."""
    assert not bench.core.confirming.looks_pasted(f"{PASTED}?code=c&state=s")
    assert [] == await bench.say(f"{PASTED}?code=c&state={'s' * 43}")


async def test_what_looks_pasted(pasting: Bench) -> None:
    """It may be misspelt in any part, and hold a code all the same."""
    looks = pasting.core.confirming.looks_pasted

    assert looks(f"see {PASTED}?code=c")
    assert looks("http://localhost:9/callback/demo/default?error=x")
    assert looks("http://127.0.0.1:8080/callback/demo/default?code=c&state=s")
    assert not looks("http://127.0.0.1:8080/callback/demo/default?code=c")
    assert not looks("http://127.0.0.1:9/elsewhere?code=c&state=s")


async def test_another_programs_address_in_a_room_is_left_alone(pasting: Bench) -> None:
    """It is neither answered nor taken away."""
    room = pasting.network.room("ops", ADA, GRACE)
    urls = [f"{PASTED}?code=c&state={'s' * 43}", f"{PASTED}?code=c"]
    said = [await pasting.say(url, channel=room) for url in urls]

    assert [[], []] == said
    assert [] == pasting.network.retracted


# -------------------------------------------------------------------------------------------- seen


async def test_ones_own_link_in_private_is_not_burnt(bench: Bench) -> None:
    """Saying it to the bot shows it to nobody."""
    await bench.say("!link demo")
    said = await bench.say(bench.link_for())

    assert [] == said
    assert [("open", "")] == await ends(bench)


@pytest.mark.parametrize("speaker", [ADA, GRACE, Guest("fake", "bob")])
async def test_a_link_said_in_a_room_is_burnt(bench: Bench, room: Channel, speaker: Identity | Guest) -> None:
    """A69: whoever says it; the asker hears why, once."""
    await bench.say("!link demo")
    link = bench.link_for()
    said = await bench.say(f"look at {link} and {link}", speaker, room)
    again = await bench.say(link, speaker, room)

    assert 2 == len(said)
    assert "it is burnt now" in bench.network.texts(room)[0]
    assert "was seen where others can read it" in told(bench)[-1]
    assert [("refused", "seen")] == await ends(bench)
    assert [] == again


async def test_somebody_elses_link_in_private_is_burnt(bench: Bench) -> None:
    """It was passed on: whoever opens it would act for the asker."""
    await bench.say("!link demo", MALLORY)
    await bench.say(bench.link_for(MALLORY), ADA)

    assert [("refused", "seen")] == await ends(bench)


async def test_an_address_that_only_looks_like_ours_burns_nothing(bench: Bench, room: Channel) -> None:
    """Another host, or no ticket of ours."""
    await bench.say("!link demo")
    ticket = bench.link_for().rpartition("/")[2]
    said = await bench.say(
        f"https://evil.example/l/{ticket} http://127.0.0.1:{bench.plan.port}/l/{'x' * 43}", ADA, room
    )

    assert [] == said
    assert [("open", "")] == await ends(bench)


async def test_a_link_that_is_under_way_is_not_burnt_by_being_seen(bench: Bench, browser: Browser) -> None:
    """The ticket is spent: nobody can open it any more."""
    await authorised(bench, browser)
    await bench.say(bench.link_for(), GRACE)

    assert [("pending", "")] == await ends(bench)


async def test_what_waited_and_is_not_ours_is_not_run(bench: Bench, browser: Browser) -> None:
    """A63: a row that somebody wrote puts no words into a mouth; the link itself is good."""
    stop_task(bench, "revocations")
    await bench.say("!notes add canary")
    await bench.authorise(browser, bench.link_for())
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE waiting SET created = created + 1")
    said = await bench.say(f"!confirm {browser.code}")
    await until(lambda: said)

    assert [] == bench.provider.notes("ada")
    assert "Running" not in said[0]


async def test_a_flow_that_ran_out_is_not_activated(bench: Bench, browser: Browser) -> None:
    """Not even with the right code."""
    code = await authorised(bench, browser)
    flow = (await all_flows(bench))[0]
    await write_flow(bench, replace(flow, until=bench.clock() - 1))
    said = await bench.say(f"!confirm {code}")

    assert "not one I am waiting for" in said[0]
    assert ["pending"] == [one.status for one in await all_accounts(bench)]
