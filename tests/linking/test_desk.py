"""What people do about their own accounts: confirm, list, choose, unlink, undo; for themselves alone."""

from dataclasses import replace

import pytest

from linking.steps import all_accounts, all_flows, audited, authorised, ends, told, two_instances, until, write
from omnibot.demo.browser import Browser
from omnibot.identity import Assurance, Identity
from omnibot.linking.flows import FlowError
from omnibot.linking.guesses import Guesses
from omnibot.message import Channel
from omnibot.testing.bench import ADA, GRACE, Bench, Plan

WRONG = "That code is not one I am waiting for from you."


class Seconds:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# -------------------------------------------------------------------------------------- confirming


@pytest.mark.parametrize("form", ["{}", "`{}`", "  {} ", "lower", "spaced"])
async def test_a_code_is_taken_however_it_is_typed(bench: Bench, browser: Browser, form: str) -> None:
    """In lower case, with blanks in place of the dash, in backticks."""
    code = await authorised(bench, browser)
    typed = {"lower": code.lower(), "spaced": code.replace("-", " ")}.get(form, form.format(code))
    said = await bench.say(f"!confirm {typed}")

    assert said[0].startswith("Linked Demo notes as **ada**")


async def test_a_wrong_code_can_be_mended(bench: Bench, browser: Browser) -> None:
    """Four times; the right one still works."""
    code = await authorised(bench, browser)
    for _ in range(4):
        assert (await bench.say("!confirm BCDF-GHJK"))[0].startswith(WRONG)
    tries = (await all_flows(bench))[0].tries
    said = await bench.say(f"!confirm {code}")

    assert 4 == tries
    assert said[0].startswith("Linked")


async def test_five_wrong_codes_end_the_link(bench: Bench, browser: Browser) -> None:
    """A49: the right one comes too late; the token goes back."""
    code = await authorised(bench, browser)
    for _ in range(5):
        await bench.say("!confirm BCDF-GHJK")
    said = await bench.say(f"!confirm {code}")
    await until(lambda: bench.provider.revoked)

    assert [("refused", "locked")] == await ends(bench)
    assert said[0].startswith(WRONG)
    assert [one for one in told(bench) if "Too many wrong codes: your Demo notes link has ended." in one]
    assert [] == await all_accounts(bench)


async def test_a_wrong_code_counts_against_pending_links_only(bench: Bench) -> None:
    """A link that nobody has opened waits for no code."""
    await bench.say("!link demo")
    for _ in range(5):
        await bench.say("!confirm BCDF-GHJK")

    assert [("open", "")] == await ends(bench)


async def test_ten_wrong_codes_are_enough_for_ten_minutes(bench: Bench, browser: Browser) -> None:
    """Also for the right one; others are not concerned."""
    for _ in range(10):
        await bench.say("!confirm BCDF-GHJK")
    code = await authorised(bench, browser)
    said = await bench.say(f"!confirm {code}")
    hers = await bench.say("!confirm BCDF-GHJK", GRACE)

    assert ["Too many wrong codes. Wait ten minutes."] == said
    assert hers[0].startswith(WRONG)


def test_guesses_are_forgotten_after_ten_minutes() -> None:
    """One by one."""
    clock = Seconds()
    guesses = Guesses(clock)
    for second in range(10):
        clock.now = float(second)
        guesses.wrong(ADA)
    full = guesses.exhausted(ADA)
    clock.now = 600.5
    fewer = guesses.exhausted(ADA)
    clock.now = 700.0
    none = guesses.exhausted(ADA)

    assert (True, False, False) == (full, fewer, none)
    assert {} == guesses._by_identity
    assert not guesses.exhausted(GRACE)


def test_a_flood_of_wrong_codes_slows_everybody_and_stops_nobody() -> None:
    """A49: a limit over all would let one abuser lock everybody out."""
    clock = Seconds()
    guesses = Guesses(clock)
    delays = [guesses.delay]
    for number in range(100):
        guesses.wrong(Identity("fake", str(number)))
    delays.append(guesses.delay)
    clock.now = 600.0
    delays.append(guesses.delay)

    assert [0.0, 1.0, 0.0] == delays
    assert not guesses.exhausted(ADA)


async def test_a_code_said_in_a_room_stays_good(bench: Bench, browser: Browser, room: Channel) -> None:
    """It is not used there, and nothing is counted."""
    code = await authorised(bench, browser)
    said = await bench.say(f"!confirm {code}", channel=room)
    flow = (await all_flows(bench))[0]
    then = await bench.say(f"!confirm {code}")

    assert [one for one in said if "Say your code to me in private" in one]
    assert ("pending", 0) == (flow.state, flow.tries)
    assert then[0].startswith("Linked")


async def test_a_code_wants_the_assurance_of_the_asking(bench: Bench, browser: Browser) -> None:
    """Who asked as somebody strongly vouched for confirms as such."""
    code = await authorised(bench, browser)
    await bench.network.hear(f"!confirm {code}", ADA, assurance=Assurance.ACCOUNT)
    await bench.settle()

    assert "Confirm it on fake the way you asked: this message proves less." == told(bench)[-1]
    assert (await bench.say(f"!confirm {code}"))[0].startswith("Linked")


async def test_a_code_said_by_another_ends_the_link_and_warns_them(bench: Bench, browser: Browser) -> None:
    """A67: they are likely the victim; the asker gets nothing."""
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}", GRACE)
    await until(lambda: bench.provider.revoked)

    assert "That code belongs to a link that Ada (fake:u-1) asked for, not you." in told(bench, GRACE)[-1]
    assert [("refused", "stolen")] == await ends(bench)
    assert "was spoken by somebody else" in told(bench)[-1]
    assert (await bench.say(f"!confirm {code}"))[0].startswith(WRONG)


async def test_a_code_whose_link_ended_just_now_is_as_wrong_as_any(
    bench: Bench, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser said *This was not me* at the same moment."""
    code = await authorised(bench, browser)

    async def too_late(flow: str) -> None:
        raise FlowError("expired")

    monkeypatch.setattr(bench.core.confirming, "activate", too_late)

    assert (await bench.say(f"!confirm {code}"))[0].startswith(WRONG)


async def test_a_code_after_its_time_is_as_wrong_as_any(bench: Bench, browser: Browser) -> None:
    """Before it is swept away as well."""
    code = await authorised(bench, browser)
    bench.clock.pass_(1201)

    assert (await bench.say(f"!confirm {code}"))[0].startswith(WRONG)


# ---------------------------------------------------------------------------------------- the list


async def test_accounts_are_listed_for_those_who_may_use_them(bench: Bench) -> None:
    """Oldest first; another identity sees nothing of them."""
    await bench.link()
    await bench.link(login="grace")
    said = await bench.say("!accounts")
    hers = await bench.say("!accounts", GRACE)

    assert [
        "- `demo@ada` Demo notes as **ada**: notes:read",
        "- `demo@grace` Demo notes as **grace**: notes:read",
    ] == said[0].split("\n")
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == hers


async def test_an_account_whose_service_is_configured_no_more_is_still_ones_own(plan: Plan) -> None:
    """It can be listed and unlinked; nothing is there to revoke it at."""
    async with Bench.open(plan) as bench:
        await bench.link()
    async with Bench.open(replace(plan, provider=None)) as bench:
        listed = await bench.say("!accounts")
        used = await bench.say("!notes")
        unlinked = await bench.say("!unlink demo")
        left = await all_accounts(bench)

    assert "demo@default as **ada**" in listed[0]
    assert "The operator of this bot has not set up demo" in used[0]
    assert "demo@default as **ada** is unlinked" in unlinked[0]
    assert [] == left


async def test_whoami_names_every_identity_of_the_person(bench: Bench) -> None:
    """Also of one who never linked anything."""
    before = await bench.say("!whoami")
    await bench.link()
    after = await bench.say("!whoami")

    assert "You are **Ada**, known to me as fake:u-1." in before[0]
    assert "You have linked no account." in before[0]
    assert "This message is vouched for as `strong`." in after[0]
    assert "- `demo@ada` Demo notes as **ada**: notes:read" in after[0]


# ------------------------------------------------------------------------------ choosing a default


async def test_the_default_can_be_moved(bench: Bench) -> None:
    """The service's name alone then means the other account; a selector still names each."""
    await bench.link()
    await bench.link(login="grace")
    before = await bench.say("!notes")
    said = await bench.say("!use demo@grace")
    await bench.say("!notes")
    await bench.say("!notes@ada")
    users = [one.user for one in bench.provider.calls if one.path == "/api/notes"]

    assert ["You have no notes."] == before
    assert ["From now on `demo` means Demo notes as **grace**."] == said
    assert ["ada", "grace", "ada"] == users
    assert [False, True] == [one.default for one in await all_accounts(bench)]


async def test_without_a_choice_what_reads_takes_the_oldest_and_what_changes_asks(bench: Bench) -> None:
    """Nothing is changed in an account that nobody named."""
    await bench.link()
    await bench.link(login="grace")
    read = await bench.say("!notes")
    asked = await bench.say("!notes delete 1")
    await bench.say("demo@grace")
    users = [one.user for one in bench.provider.calls if one.path == "/api/notes"]
    links = await all_flows(bench)

    assert ["You have no notes."] == read
    assert ["Which account is `notes delete` for?"] == asked
    assert ["ada"] == users
    assert [("notes:read", "notes:write")] == [one.scopes for one in links if one.state == "open"]


async def test_a_choice_holds_where_it_was_made(bench: Bench, room: Channel) -> None:
    """In one channel, for one person, until it is taken back; also after a restart."""
    await bench.link()
    await bench.link(login="grace")
    said = await bench.say("!use demo@grace here", channel=room)
    await bench.core.defaults.load()
    await bench.say("!notes", channel=room)
    await bench.say("!notes")
    await bench.say("!use demo here --any", channel=room)
    await bench.say("!notes", channel=room)
    users = [one.user for one in bench.provider.calls if one.path == "/api/notes"]

    assert "Here, `demo` now means Demo notes as **grace** when you say it." in said
    assert ["grace", "ada", "ada"] == users


async def test_an_admin_says_what_a_channel_is_about(plan: Plan) -> None:
    """Whoever did not choose then means that instance there, and is asked to link it."""
    async with two_instances(replace(plan, admins=(str(ADA),))) as (bench, _, _):
        room = bench.network.room("ops", ADA, GRACE)
        await bench.link(GRACE, service="demo@home")
        denied = await bench.say("!use demo@work channel", GRACE, room)
        private = await bench.say("!use demo@work channel")
        said = await bench.say("!use demo@work channel", ADA, room)
        there = await bench.say("!notes", GRACE, room)
        elsewhere = await bench.say("!notes", GRACE)
        await bench.say("!use demo channel --any", ADA, room)
        back = await bench.say("!notes", GRACE, room)

    assert denied[0].startswith("Only an admin of this bot chooses for a whole channel.")
    assert ["Say it in the channel that you mean."] == private
    assert "In #ops, `demo` now means Demo notes (work), unless somebody chose." in said
    assert "To connect **Demo notes (work)**" in there[0]
    assert ["You have no notes."] == elsewhere
    assert "You have no notes." in back


async def test_a_choice_for_here_outlives_the_one_for_everywhere(bench: Bench) -> None:
    """And it is not said that nothing is meant any more."""
    await bench.link()
    await bench.link(login="grace")
    await bench.say("!use demo@grace here")
    everywhere = await bench.say("!use demo --any")
    here = await bench.say("!use demo here --any")
    channel = await bench.say("!use demo channel --any")

    assert everywhere[0].endswith("But here it still means `demo@grace`, until you say `!use demo here --any`.")
    assert ["`demo` means no account in particular now: where it matters, I ask."] == here
    assert ["Only an admin of this bot chooses for a whole channel."] == channel


async def test_a_choice_can_be_taken_back(bench: Bench) -> None:
    """Then it is asked again."""
    await bench.link()
    await bench.link(login="grace")
    await bench.say("!use demo@grace")
    said = await bench.say("!use demo --any")

    assert ["`demo` means no account in particular now: where it matters, I ask."] == said
    assert ["Which account is `notes add` for?"] == await bench.say("!notes add hello")


@pytest.mark.parametrize("command", ["use", "unlink"])
async def test_which_account_is_asked_if_there_are_several(bench: Bench, command: str) -> None:
    """By its alias."""
    await bench.link()
    await bench.link(login="grace")
    asked = await bench.say(f"!{command} demo")
    done = await bench.say("2")

    assert ["Which one?"] == asked
    assert "**grace**" in done[0]
    assert ["You have no account `demo@bob` linked. `!accounts` lists yours."] == (
        await bench.say(f"!{command} demo@bob")
    )
    assert ["You have no account `moon` linked. `!accounts` lists yours."] == await bench.say(f"!{command} moon")


async def test_an_account_may_be_named_by_its_instance(plan: Plan) -> None:
    """Where no alias is called so."""
    async with two_instances(plan) as (bench, _, _):
        await bench.link(service="demo@home")
        await bench.link(service="demo@work")
        await write(bench, replace((await all_accounts(bench))[1], alias="mine"))
        said = await bench.say("!unlink DEMO@Work")
        left = await all_accounts(bench)

    assert "is unlinked" in said[0]
    assert ["home"] == [one.alias for one in left]


# ----------------------------------------------------------------------------------------- erasing


async def test_unlinking_erases_at_once_and_revokes(bench: Bench) -> None:
    """The next command asks for a new link."""
    await bench.link()
    account = (await all_accounts(bench))[0].id
    said = await bench.say("!unlink demo")
    left = await all_accounts(bench)
    await until(lambda: bench.provider.revoked)
    events = await audited(bench, "account.unlinked")

    assert ["Demo notes as **ada** is unlinked: erased here, and its token is being revoked."] == said
    assert [] == left
    assert ["ada"] == bench.provider.revoked
    assert [{"account": account, "instance": "default", "provider": "demo"}] == events
    assert "To connect" in (await bench.say("!notes"))[0]


async def test_nothing_inherits_a_choice(bench: Bench) -> None:
    """Whoever chose one account has not chosen another; and it stays when another goes."""
    for login in ("ada", "grace", "bob"):
        await bench.link(login=login)
    await bench.say("!use demo@ada")
    await bench.say("!unlink demo@bob")
    kept = [(one.alias, one.default) for one in await all_accounts(bench)]
    await bench.say("!unlink demo@ada")

    assert [("ada", True), ("grace", False)] == kept
    assert [("grace", False)] == [(one.alias, one.default) for one in await all_accounts(bench)]


async def test_nobody_unlinks_for_another(bench: Bench) -> None:
    """Not even by the right name."""
    await bench.link()
    said = await bench.say("!unlink demo@ada", GRACE)

    assert "You have no account" in said[0]
    assert 1 == len(await all_accounts(bench))


async def test_undo_takes_back_what_was_linked_last(bench: Bench) -> None:
    """Within a day."""
    await bench.link()
    await bench.link(login="grace")
    said = await bench.say("!undo")
    bench.clock.pass_(86401)
    late = await bench.say("!undo")

    assert ["Demo notes as **grace** is unlinked: erased here, and its token is being revoked."] == said
    assert ["Nothing was linked in the last 24 hours."] == late
    assert ["ada"] == [one.alias for one in await all_accounts(bench)]
    assert 1 == len(await audited(bench, "account.undone"))


async def test_there_may_be_nothing_to_undo(bench: Bench) -> None:
    """For whom nothing was ever linked."""
    assert ["Nothing was linked in the last 24 hours."] == await bench.say("!undo")
