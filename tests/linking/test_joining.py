"""Two identities become one person's, with a word from each of them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from joined import TRAIN, breaking, code_in, everyone, hear_as, held, join, name, open_both, persons, share, split
from linking.steps import audited
from omnibot import accounts, follows
from omnibot.accounts import Account
from omnibot.demo.browser import Browser
from omnibot.demo.provider import DemoProvider
from omnibot.errors import Tampered
from omnibot.follows import Asked, Follow
from omnibot.identity import Assurance, Identity
from omnibot.linking import joins
from omnibot.linking.joins import JOIN_SECONDS
from omnibot.linking.oneperson import WRONG_JOIN
from omnibot.message import Channel, Message
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot on two networks, with the demo service."""
    async with open_both(plan) as bench:
        yield bench


async def test_each_side_names_the_other(bench: Bench) -> None:
    """By network and full id; and both hear how it ended."""
    code = code_in(await bench.say("!join"))
    asked = await bench.say(f"!join {code}", TRAIN)
    waits = await bench.say("yes", TRAIN)
    back = bench.network.private_texts(ADA)[-1]
    done = await bench.say("!join yes")

    assert "`fake:u-1`" in asked[0]
    assert "they want to be you" in asked[0]
    assert "join yes" in waits[0]
    assert "`train:t-1`" in back
    assert "`train:t-1`" in done[0]
    assert "`fake:u-1`" in bench.networks[1].private_texts(TRAIN)[-1]
    assert 1 == len(set((await persons(bench)).values())) == len(await everyone(bench))
    assert [] == await bench.rows("SELECT * FROM joins")
    assert [] == await bench.rows("SELECT * FROM notices")


async def test_the_older_person_stays_whoever_made_the_code(bench: Bench) -> None:
    """And all accounts are theirs, sealed to them, and work where they did."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    first = (await everyone(bench))[0]
    await join(bench, TRAIN, ADA)

    assert [first] == await everyone(bench)
    assert {first} == {one.person for one in (await held(bench)).values()}
    assert ["You have no notes."] == await bench.say("!notes") == await bench.say("!notes", TRAIN)


async def test_joining_opens_nothing(bench: Bench) -> None:
    """Every account keeps its reach."""
    await bench.link(ADA, "ada")
    await join(bench)

    assert (ADA,) == (await held(bench))["ada"].reach
    assert "To connect" in (await bench.say("!notes", TRAIN))[0]
    assert "that you may use here" in (await bench.say("!unlink demo", TRAIN))[0]
    assert "that you may use here" in (await bench.say("!use demo", TRAIN))[0]
    assert "that you may use here" in (await bench.say("!share demo", TRAIN))[0]
    assert ["Nothing was linked in the last 24 hours."] == await bench.say("!undo", TRAIN)
    assert "for fake:u-1" in (await bench.say("!accounts", TRAIN))[0]


@pytest.mark.parametrize("said", ["BBBB-BBBB", "x", "'; DROP TABLE joins", "!!"])
async def test_wrong_codes_get_one_answer(bench: Bench, said: str) -> None:
    """A49."""
    await bench.say("!join")

    assert [WRONG_JOIN] == await bench.say(f"!join {said}", TRAIN)


async def test_wrong_codes_are_counted_with_those_of_links(bench: Bench) -> None:
    """Ten within ten minutes, and the right one is not heard either."""
    code = code_in(await bench.say("!join"))
    for _ in range(5):
        await bench.say("!join BBBB-BBBB", MALLORY)
        await bench.say("!confirm BBBB-BBBB", MALLORY)

    assert ["Too many wrong codes. Wait ten minutes."] == await bench.say(f"!join {code}", MALLORY)


async def test_a_code_is_good_once_and_for_ten_minutes(bench: Bench) -> None:
    """Typed, replaced or late, it is as wrong as any other."""
    old = code_in(await bench.say("!join"))
    code = code_in(await bench.say("!join"))
    replaced = await bench.say(f"!join {old}", GRACE)
    await bench.say(f"!join {code}", TRAIN)
    await bench.say("yes", TRAIN)
    spent = await bench.say(f"!join {code}", GRACE)
    await bench.say("!join no")
    late = code_in(await bench.say("!join"))
    bench.clock.pass_(JOIN_SECONDS + 1)

    assert [WRONG_JOIN] == replaced == spent == await bench.say(f"!join {late}", GRACE)


async def test_ones_own_code_stays_good(bench: Bench) -> None:
    """Typed where it was made, it only says where it belongs."""
    code = code_in(await bench.say("!join"))

    assert "it is still good" in (await bench.say(f"!join {code}"))[0]
    assert "`fake:u-1`" in (await bench.say(f"!join {code}", TRAIN))[0]


async def test_codes_are_for_private_ears(bench: Bench) -> None:
    """Said in a room it is not looked at, and so gives nothing away."""
    room = bench.network.room("ops", ADA, GRACE)
    code = code_in(await bench.say("!join", TRAIN))

    assert ["Say that to me in private, not where others read it."] == (
        [said.text for said in bench.network.said if not said.channel.private]
        + [text for text in await bench.say(f"!join {code}", ADA, room) if "private, not" in text]
    )
    assert "`train:t-1`" in (await bench.say(f"!join {code}"))[0]


async def test_a_yes_where_the_code_was_typed(bench: Bench) -> None:
    """It is the other side's turn, which is said."""
    await name(bench)

    assert ["You have said yes here already. Say `!join yes` to me as **Ada** (`fake:u-1`) now."] == await bench.say(
        "!join yes", TRAIN
    )
    assert 2 == len(await everyone(bench))


async def test_one_person_already(bench: Bench) -> None:
    """Nothing is asked."""
    await join(bench)
    code = code_in(await bench.say("!join"))

    assert ["You and **Ada** (`fake:u-1`) are one person to me already."] == await bench.say(f"!join {code}", TRAIN)


async def test_no_at_the_first_question(bench: Bench) -> None:
    """The code is void, and whoever made it hears so, but not from whom."""
    code = code_in(await bench.say("!join"))
    await bench.say(f"!join {code}", TRAIN)
    said = await bench.say("no", TRAIN)

    assert ["Nothing is joined, and that code is void."] == said
    assert "It is void" in bench.network.private_texts(ADA)[-1]
    assert "t-1" not in bench.network.private_texts(ADA)[-1]
    assert [WRONG_JOIN] == await bench.say(f"!join {code}", GRACE)


@pytest.mark.parametrize("by", [ADA, TRAIN])
async def test_no_at_the_second_question(bench: Bench, by: object) -> None:
    """Either may say it; both hear."""
    await name(bench)
    await bench.say("!join no", ADA if by is ADA else TRAIN)
    other = bench.networks[1].private_texts(TRAIN) if by is ADA else bench.network.private_texts(ADA)

    assert "has said no" in other[-1]
    assert "Nothing waits for your yes" in (await bench.say("!join yes"))[0]
    assert 2 == len(await everyone(bench))


async def test_both_hear_that_time_is_over(bench: Bench) -> None:
    """The second yes comes too late, and a sweep tells both."""
    await name(bench)
    bench.clock.pass_(JOIN_SECONDS + 1)
    said = await bench.say("!join yes")
    await bench.core.upkeep.sweep()
    await bench.settle()

    assert "Nothing waits for your yes" in said[0]
    assert "nothing was joined" in bench.network.private_texts(ADA)[-1]
    assert "nothing was joined" in bench.networks[1].private_texts(TRAIN)[-1]
    assert [] == await bench.rows("SELECT * FROM joins")


async def test_an_unused_code_is_told_of(bench: Bench) -> None:
    """To whoever made it."""
    await bench.say("!join")
    bench.clock.pass_(JOIN_SECONDS + 1)
    await bench.core.upkeep.sweep()
    await bench.settle()

    assert "has run out" in bench.network.private_texts(ADA)[-1]


async def test_a_restart_at_any_point(plan: Plan) -> None:
    """Code, question and both persons outlive it."""
    async with open_both(plan) as bench:
        code = code_in(await bench.say("!join"))
    async with open_both(plan) as bench:
        await bench.say(f"!join {code}", TRAIN)
        bench.network.close_dms(ADA)
        await bench.say("yes", TRAIN)
    async with open_both(plan) as bench:
        told = await bench.say("!ping")
        said = await bench.say("!join yes")
    async with open_both(plan) as bench:
        known = await bench.say("!whoami", TRAIN)

    assert "`train:t-1`" in "".join(told)
    assert "are one person to me now" in said[0]
    assert "known to me as fake:u-1, train:t-1." in known[0]


async def test_the_last_word_proves_no_less_than_the_first(bench: Bench) -> None:
    """As with the code of a link."""
    await name(bench)

    assert "this message proves less" in (await hear_as(bench, "!join yes", ADA, Assurance.ACCOUNT))[0]
    assert 2 == len(await everyone(bench))


@pytest.mark.parametrize("step", ["typed", "agreed"])
async def test_a_network_that_may_be_another_joins_nobody(bench: Bench, step: str) -> None:
    """A65: on neither side."""
    if step == "agreed":
        await name(bench)
        bench.core.policy.distrust("train")
        said = await bench.say("!join yes")
    else:
        code = code_in(await bench.say("!join"))
        bench.core.policy.distrust("fake")
        said = await bench.say(f"!join {code}", TRAIN)

    assert "I cannot tell just now who is who" in said[0]
    assert 1 == len(await bench.rows("SELECT * FROM joins"))


async def test_names_and_choices_stay_clear(bench: Bench) -> None:
    """Two accounts of one name: the newcomer's gets another, and its owner's choices follow."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    async with bench.core.database.transaction() as tx:
        other = (await held(bench))["grace"]
        await accounts.change(tx, bench.core.sealer, other.id, lambda one: replace(one, alias="ada"))
    await bench.say("!use demo@ada here", TRAIN)
    said = await join(bench)
    now = await held(bench)

    assert "`demo@ada` is called `demo@ada-2` now." in said[0]
    assert ["ada", "ada-2"] == [now["ada"].alias, now["grace"].alias]
    assert now["grace"].alias == bench.core.defaults.account(now["grace"].person, bench.networks[1].dm(TRAIN), "demo")


async def test_what_waits_goes_on(bench: Bench) -> None:
    """A link under way is brought to its end after its asker became part of another person."""
    await bench.core.people.ensure(ADA)
    async with Browser() as browser:
        await bench.say("!notes", TRAIN)
        await bench.authorise(browser, bench.link_for(TRAIN), "train")
        await join(bench)
        said = await bench.say(f"!confirm {browser.code}", TRAIN)

    assert "Linked" in said[0]
    assert ["You have no notes."] == said[1:]
    assert (TRAIN,) == (await held(bench))["train"].reach


async def test_a_forged_row_joins_nobody(bench: Bench) -> None:
    """Whoever is written in as the one who typed the code is refused."""
    await name(bench)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE joins SET other = ?", ('["fake", "u-666", "", "Ada"]',))
    await bench.core.people.ensure(MALLORY)
    said = await bench.say("!join yes")

    assert "one person to me now" not in said[0]
    assert 3 == len(await everyone(bench))
    with pytest.raises(Tampered):
        await joins.of_maker(bench.core.database, bench.core.sealer, ADA)


async def test_a_yes_joins_no_more_than_it_was_asked_about(bench: Bench) -> None:
    """Ada is asked about the train; meanwhile that is joined with somebody else: her yes would join her with those."""
    await name(bench)
    await name(bench, MALLORY, TRAIN)
    await bench.say("!join yes", MALLORY)
    said = await bench.say("!join yes")

    assert "Nothing waits for your yes" in said[0]
    assert 2 == len(await everyone(bench))
    assert any("Nothing was joined with" in text for text in bench.network.private_texts(ADA))
    assert any("Nothing was joined with" in text for text in bench.networks[1].private_texts(TRAIN))
    assert [] == await bench.rows("SELECT * FROM joins")


async def test_the_first_yes_is_for_those_it_was_asked_about(bench: Bench) -> None:
    """The maker is joined with a third while the question waits: the code is void."""
    code = code_in(await bench.say("!join"))
    await bench.say(f"!join {code}", TRAIN)
    await join(bench, MALLORY, ADA)

    assert [WRONG_JOIN] == await bench.say("yes", TRAIN)
    assert [] == await bench.rows("SELECT * FROM joins WHERE other IS NOT NULL")


async def test_each_hears_of_all(bench: Bench) -> None:
    """Of how many before the first yes, of which before the second, and all of them when it is done."""
    await join(bench, GRACE, MALLORY)
    code = code_in(await bench.say("!join", GRACE))
    asked = await bench.say(f"!join {code}", TRAIN)
    await bench.say("no", TRAIN)
    code = code_in(await bench.say("!join", TRAIN))
    await bench.say(f"!join {code}", GRACE)
    await bench.say("yes", GRACE)
    back = bench.networks[1].private_texts(TRAIN)[-1]
    done = await bench.say("!join yes", TRAIN)

    assert "one of 2 identities that I know them by" in asked[0]
    assert "u-666" not in asked[0]
    assert "`fake:u-666`" in back
    for text in (done[0], bench.network.private_texts(GRACE)[-1], bench.network.private_texts(MALLORY)[-1]):
        assert ["`fake:u-2`", "`fake:u-666`", "`train:t-1`"] == sorted(
            one for one in ("`fake:u-2`", "`fake:u-666`", "`train:t-1`") if one in text
        )


async def test_forgetting_forgets_those_that_were_named(bench: Bench) -> None:
    """And nobody who was joined while it asked."""
    await join(bench)
    await name(bench, TRAIN, GRACE)
    await bench.say("!forget me")
    await bench.say("yes")
    await bench.say("!join yes", TRAIN)
    said = await bench.say("yes")

    assert "Say it again" in said[0]
    assert ["fake:u-1", "fake:u-2", "train:t-1"] == sorted(await persons(bench))


@pytest.mark.parametrize("parted", [False, True])
async def test_a_choice_that_was_asked_for_meanwhile(bench: Bench, parted: bool) -> None:
    """Of an account that is another person's by then, or not one's own any more."""
    await bench.core.people.ensure(ADA)
    await bench.link(TRAIN, "grace")
    await bench.link(TRAIN, "train", other="keep both")
    await (join if parted else name)(bench)
    for login in ("demo@grace", "demo@train") if parted else ():
        await share(bench, TRAIN, login)
    asked = await bench.say("!use demo here", ADA if parted else TRAIN)
    await (split(bench, "train", TRAIN) if parted else bench.say("!join yes"))
    said = await bench.say("demo@train", ADA if parted else TRAIN)

    assert ["Which one?"] == asked
    assert [not parted] == [one.startswith("Here, `demo` now means") for one in said]
    assert [parted] == ["not yours to use here" in one for one in said]


async def test_the_audit_knows_both(bench: Bench) -> None:
    """Of the one who stays and of the other; and what either did before can be read by the person."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    goes = (await everyone(bench))[1]
    await join(bench)
    bench.core.audit.record(goes, "train", "late")  # by whatever went on while they were joined
    told = (await bench.say("!export me", TRAIN))[0]

    assert [{"maker": "fake", "typer": "train"}] * 2 == await audited(bench, "person.joined")
    assert (2, 1) == (told.count('"link.confirmed"'), told.count('"late"'))
    assert 2 == told.count('"vouched": "strong"')


async def test_forgetting_asks_about_all_of_them(bench: Bench) -> None:
    """And then nothing of either is left, in a backup from before the join neither."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    before = await everyone(bench)
    await join(bench)
    await bench.say("!forget me", TRAIN)
    asked = await bench.say("yes", TRAIN)
    kept = await bench.say("no", TRAIN)
    await bench.say("!forget me")
    await bench.say("yes")
    await bench.say("yes")

    assert "`fake:u-1`" in asked[0]
    assert "`train:t-1`" in asked[0]
    assert "Nothing is forgotten" in kept[0]
    assert [] == await everyone(bench)
    assert set(before) <= set(bench.core.revoking.ledger.ids("person"))


async def test_forgetting_ends_what_was_under_way(bench: Bench) -> None:
    """Neither the row nor the question to the other names them any more."""
    code = code_in(await bench.say("!join"))
    bench.network.close_dms(ADA)
    await bench.say(f"!join {code}", TRAIN)
    await bench.say("yes", TRAIN)
    before = len(await bench.rows("SELECT * FROM notices"))
    await bench.say("!forget me", TRAIN)
    await bench.say("yes", TRAIN)

    assert 1 == before
    assert [] == await bench.rows("SELECT * FROM joins")
    assert [] == await bench.rows("SELECT * FROM notices")


async def test_a_relink_widens_nothing(bench: Bench) -> None:
    """The same account linked by the other identity stands beside the first, each for who linked it."""
    await bench.link(ADA, "ada")
    await join(bench)
    await bench.link(TRAIN, "ada")
    rows = await bench.rows("SELECT reach FROM accounts ORDER BY created")

    assert ['[["fake", "u-1", ""]]', '[["train", "t-1", ""]]'] == [row["reach"] for row in rows]


async def test_who_replaces_a_shared_login_shares_no_other(bench: Bench) -> None:
    """The new one is for whoever linked it."""
    await bench.link(ADA, "ada")
    await join(bench)
    await share(bench)
    await bench.link(TRAIN, "grace", other="replace ada")

    assert ["grace"] == list(await held(bench))
    assert "has replaced what you linked here" in bench.network.private_texts(ADA)[-1]
    assert (TRAIN,) == (await held(bench))["grace"].reach


@pytest.mark.parametrize("statement", range(0, 18, 2))
async def test_a_crash_leaves_two_persons_or_one(bench: Bench, monkeypatch: pytest.MonkeyPatch, statement: int) -> None:
    """Whatever statement of the join it comes at: all works as before, and the yes can be said again."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    await name(bench)
    before = await everyone(bench)
    with monkeypatch.context() as patch:
        breaking(patch, statement)
        with suppress(OSError):
            waits = await bench.core.upkeep._joining.waiting(ADA)
            assert waits is not None
            await bench.core.upkeep._joining.agree(waits.id)
    after = await everyone(bench)
    said = [await bench.say("!notes"), await bench.say("!notes", TRAIN)]

    assert after in (before, before[:1])
    assert [["You have no notes."]] * 2 == said
    if after == before:
        assert "one person to me now" in (await bench.say("!join yes"))[0]
        assert before[:1] == await everyone(bench)


async def test_a_renewal_under_way_is_not_lost(bench: Bench, provider: DemoProvider) -> None:
    """What the service gives is sealed to whoever the account belongs to by then."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    await name(bench)
    account = (await held(bench))["grace"]
    renewals, asked = bench.core.renewals, bench.core.renewals._ask

    async def joining_meanwhile(*args: Any) -> Any:
        fresh = await asked(*args)
        await bench.say("!join yes")
        return fresh

    renewals._ask = joining_meanwhile  # type: ignore[method-assign, assignment]
    renewed = await renewals.renew(account)
    now = (await held(bench))["grace"]

    assert renewed is not None
    assert (now.generation, now.refreshing) == (account.generation + 1, 0)
    assert now.person == (await everyone(bench))[0] != account.person
    assert ["You have no notes."] == await bench.say("!notes", TRAIN)


async def test_what_is_followed_goes_along(bench: Bench) -> None:
    """Told to whoever asked, seen by whoever reaches its account, and each with a number of its own."""
    await bench.link(ADA, "ada")
    await bench.link(TRAIN, "grace")
    for account, identity in (("ada", ADA), ("grace", TRAIN)):
        await follow(bench, (await held(bench))[account], identity)
    await join(bench)
    both = [await bench.core.follows.of(one) for one in (ADA, TRAIN)]

    assert [[(1, ADA)], [(2, TRAIN)]] == [[(asked.number, one.identity) for asked, one, _ in of] for of in both]
    assert (await everyone(bench)) * 2 == [one.person for of in both for _, one, _ in of]

    await split(bench, "train")

    assert [[1], [2]] == [[asked.number for asked, _, _ in await bench.core.follows.of(one)] for one in (ADA, TRAIN)]


async def follow(bench: Bench, account: Account, identity: Identity) -> None:
    """Let something be followed for *identity*, who has nothing else followed."""
    sealer, row, now = bench.core.sealer, secrets.token_hex(16), bench.clock()
    where = Channel(identity.network, "dm", private=True)
    message = Message(identity.network, "m-1", identity, where, "!watch", now, Assurance.STRONG)
    asked = follows.box(sealer, row, Asked(1, "watch", message))
    one = Follow(
        row, account.person, account.id, identity, "notes", "look", "{}", "a note", asked, True, now + 3600, now
    )
    async with bench.core.database.transaction() as tx:
        await follows.insert(tx, sealer, one)
