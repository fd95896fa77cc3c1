"""A person who leaves is gone, whatever goes on just then; and what was erased once stays erased."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from linking.steps import all_accounts, audited, authorised, stop_task, told, until, write
from omnibot import LinkedContext, Skill
from omnibot.database import Transaction
from omnibot.demo.browser import Browser
from omnibot.erased import Ledger
from omnibot.linking.leaving import Leaving
from omnibot.message import Reply
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.vault import new_key_file

TABLES = ("people", "identities", "accounts", "flows", "waiting", "follows", "defaults", "warnings", "notices")


async def forget(bench: Bench) -> str:
    """Let Ada leave; return what she is told last."""
    await bench.say("!forget me")
    return (await bench.say("yes"))[-1]


async def count(bench: Bench) -> dict[str, object]:
    """Return how many rows each table about people has, if it has any."""
    found = {name: (await bench.rows(f"SELECT count(*) AS n FROM {name}"))[0]["n"] for name in TABLES}  # noqa: S608
    return {name: number for name, number in found.items() if number}


def ledger(plan: Plan) -> list[list[str]]:
    """Return kind and id of each line of the plan's ledger."""
    text = (plan.directory / "data" / "erased").read_text("ascii")
    return [line.split()[:2] for line in text.splitlines() if not line.startswith("#")]


def copy(plan: Plan) -> Path:
    """Back up the database of a bot, which does not run."""
    return Path(shutil.copy(plan.directory / "data" / "omnibot.db", plan.directory / "yesterday.db"))


def restore(plan: Plan, backup: Path) -> None:
    """Put *backup* in the place of the database of a bot that does not run."""
    for rest in ("-wal", "-shm"):
        (plan.directory / "data" / f"omnibot.db{rest}").unlink(missing_ok=True)
    shutil.copy(backup, plan.directory / "data" / "omnibot.db")


# ------------------------------------------------------------------------------------------ leaving


async def test_a_person_who_leaves_leaves_no_row(bench: Bench) -> None:
    """Accounts, flows, choices, what waited for a link or to be told: all of it goes, and a person's next is new."""
    await bench.link()
    await bench.say("!use demo")
    await bench.say("!link demo")
    bench.network.close_dms(ADA)
    await bench.core.delivery.to_identity(ADA, Reply("You may read this later."))
    bench.network.open_dms(ADA)
    before = await bench.rows("SELECT id FROM people")
    said = await forget(bench)
    left = await count(bench)
    await until(lambda: bench.provider.revoked)

    assert said.startswith("I have forgotten you: your accounts, links, choices and all that waited for you are erased")
    assert "- Demo notes as **ada**: erased here, and its token is being revoked." in said
    assert "`omnibot keys rotate`, then `omnibot keys retire`" in said
    assert {} == left
    assert ["ada"] == bench.provider.revoked

    await bench.link()
    assert before != await bench.rows("SELECT id FROM people")
    assert ["You have no notes."] == await bench.say("!notes")


async def test_it_asks_first(bench: Bench) -> None:
    """One word more or less must not cost everything."""
    await bench.link()
    asked = await bench.say("!forget me")
    said = await bench.say("no")

    assert ["Really `forget me`? Erase all that I know of you, and every account you linked."] == asked
    assert ["Not done."] == said
    assert 1 == len(await all_accounts(bench))


async def test_others_stay(bench: Bench) -> None:
    """Of two people, the one who leaves."""
    await bench.link()
    await bench.link(GRACE, "grace")
    await forget(bench)

    assert ["grace"] == [one.login for one in await all_accounts(bench)]
    assert ["You have no notes."] == await bench.say("!notes", GRACE)
    assert ["u-2"] == [row["subject"] for row in await bench.rows("SELECT subject FROM identities")]


async def test_whoever_never_came_has_nothing_to_forget(bench: Bench) -> None:
    """And is not made a person by asking."""
    said = await forget(bench)

    assert "I know nothing of you." == said
    assert {} == await count(bench)


async def test_what_is_kept_for_a_stranger_goes_too(bench: Bench) -> None:
    """A notice names its identity, also where there is no person."""
    bench.network.close_dms(ADA)
    await bench.core.delivery.to_identity(ADA, Reply("You may read this later."))
    async with bench.core.database.transaction() as tx:
        await bench.core.delivery.forget_all(tx, ADA)

    assert [] == await bench.rows("SELECT * FROM notices")
    assert not bench.core.delivery.keeps_for(ADA)


async def test_links_under_way_die(bench: Bench, browser: Browser) -> None:
    """The page with the code knows it no more, and neither does the bot; what was authorised goes back."""
    code = await authorised(bench, browser)
    await forget(bench)
    await browser.open(browser.url)
    said = await bench.say(f"!confirm {code}")
    await until(lambda: bench.provider.revoked)

    assert 404 == browser.status
    assert "That code is not one I am waiting for" in said[0]
    assert ["ada"] == bench.provider.revoked
    assert {} == await count(bench)


async def test_a_token_that_comes_meanwhile_goes_back(bench: Bench, browser: Browser) -> None:
    """The service was answering when its person left."""
    await bench.say("!link demo")
    bench.provider.fail("/api/me", status=None, delay=0.3)
    coming = asyncio.create_task(bench.authorise(browser, bench.link_for()))
    await until(lambda: "GET /api/me" in bench.provider.requests)
    await forget(bench)
    await coming
    await until(lambda: bench.provider.revoked)

    assert ["ada"] == bench.provider.revoked
    assert {} == await count(bench)


async def test_what_acts_for_them_acts_no_more(plan: Plan) -> None:
    """A command under way sends no further request."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    slow = Skill("slow")

    @slow.linked("demo")
    async def slowly(ctx: LinkedContext) -> str:
        """Look twice."""
        await ctx.api.get("/api/notes")
        begun.set()
        await go_on.wait()
        await ctx.api.get("/api/notes")
        return "done"

    async with Bench.open(replace(plan, skills=(*plan.skills, slow))) as bench:
        await bench.link()
        acting = asyncio.create_task(bench.say("!slow slowly"))
        await begun.wait()
        await Leaving(bench.core.links).forget(ADA)
        before = len(bench.provider.calls)
        go_on.set()
        said = await acting

    assert ["Your Demo notes account has been unlinked meanwhile, so this was not done."] == said
    assert before == len(bench.provider.calls)


async def test_the_record_keeps_a_name_that_means_nobody(bench: Bench) -> None:
    """Its lines stay, and so does the chain; the last of them is that the person left."""
    await bench.link()
    await bench.say("!notes")
    await bench.core.audit.flush()
    (known,) = await bench.rows("SELECT pseudonym, id FROM people")
    before = await bench.rows("SELECT * FROM audit WHERE pseudonym = ?", known["pseudonym"])
    await forget(bench)
    after = await bench.rows("SELECT * FROM audit WHERE pseudonym = ?", known["pseudonym"])

    assert before == after[: len(before)]
    assert ["person.forgotten"] == [row["event"] for row in after[len(before) :]]
    assert {"accounts": 1} == json.loads(str(after[-1]["detail"]))
    assert await bench.core.audit.first_broken() is None
    assert [] == await bench.core.audit.of(str(known["id"]))


async def test_nothing_is_forgotten_by_halves(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full keeps all of it, and it is not said to be done."""
    await bench.link()
    before = await count(bench)

    async def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "note", full)
        said = await forget(bench)

    assert said.startswith("Something broke (ref")
    assert before == await count(bench)
    bench.core.dispatcher._cooling.clear()  # a minute later
    assert "I have forgotten you" in await forget(bench)


# ------------------------------------------------------------------------------------- the next start


async def test_what_is_noted(bench: Bench, browser: Browser) -> None:
    """Accounts that could act, people; and not what never came to be."""
    await bench.link()
    first = (await all_accounts(bench))[0].id
    await bench.link()
    second = (await all_accounts(bench))[0].id
    await bench.say("!unlink demo")
    await authorised(bench, browser)
    await browser.press("This was not me: disconnect")
    person = (await bench.rows("SELECT id FROM people"))[0]["id"]
    await forget(bench)

    assert [["account", first], ["account", second], ["person", person]] == ledger(bench.plan)


async def test_a_restored_backup_brings_nobody_back(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """Ada unlinked, Grace left; the copy of yesterday has both, and its tokens go back once more."""
    async with Bench.open(plan) as bench:
        await bench.link()
        await bench.link(GRACE, "grace")
    backup = copy(plan)
    async with Bench.open(plan) as bench:
        bench.provider.fail("/revoke", times=None)
        await bench.say("!unlink demo")
        await bench.say("!forget me", GRACE)
        await bench.say("yes", GRACE)
    assert plan.provider is not None
    plan.provider.clear_faults()
    restore(plan, backup)
    caplog.clear()
    async with Bench.open(plan) as bench:
        provider = bench.provider
        await until(lambda: len(provider.revoked) == 2)
        left = [(row["subject"]) for row in await bench.rows("SELECT subject FROM identities")]
        events = [await audited(bench, name) for name in ("account.erased_again", "person.erased_again")]
        said = await bench.say("!accounts")
        older = (await bench.core.audit.verify()).why
        await bench.core.audit.anchor(anew=True)  # as an operator does who restored it
        chain = await bench.core.audit.first_broken()
    warned = [text for record in caplog.records if "erased before" in (text := record.getMessage())]
    caplog.clear()
    async with Bench.open(plan):
        pass

    assert ["ada", "grace"] == sorted(provider.revoked)
    assert ["u-1"] == left
    assert [[{"provider": "demo", "token": "queued"}], [{"accounts": 1}]] == events
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == said
    assert "the anchor of" in older
    assert chain is None
    assert ["(1 people, 1 accounts)"] == [text[text.index("(") : text.index(")") + 1] for text in warned]
    assert not [record for record in caplog.records if "erased before" in record.getMessage()]


async def test_a_crash_before_the_commit_is_made_good(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note is on the disk; the next start finishes what was asked."""
    async with Bench.open(plan) as bench:
        await bench.link()
        stop_task(bench, "revocations")
        note = Ledger.note

        async def crash(self: Ledger, kind: str, *ids: str) -> None:
            await note(self, kind, *ids)  # type: ignore[arg-type]
            raise RuntimeError("the power is gone")

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "note", crash)
            await bench.say("!unlink demo")
        there = len(await all_accounts(bench))
    async with Bench.open(plan) as bench:
        left = await all_accounts(bench)
        await until(lambda: bench.provider.revoked)

    assert 1 == there
    assert [] == left


async def test_a_crash_while_one_link_took_anothers_place(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older is gone, its grant is not cut, since the newer waits for its code still: said again, it is good."""
    async with Bench.open(plan) as bench, Browser() as browser:
        await bench.link()
        code = await authorised(bench, browser)
        note = Ledger.note

        async def crash(self: Ledger, kind: str, *ids: str) -> None:
            await note(self, kind, *ids)  # type: ignore[arg-type]
            raise RuntimeError("the power is gone")

        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "note", crash)
            await bench.say(f"!confirm {code}")
        before = sorted(one.status for one in await all_accounts(bench))
    async with Bench.open(replace(plan, port=bench.plan.port)) as bench:
        left = [one.status for one in await all_accounts(bench)]
        said = await bench.say(f"!confirm {code}")
        notes = await bench.say("!notes")
        provider = bench.provider

    assert ["active", "pending"] == before
    assert ["pending"] == left
    assert said[0].startswith("Linked")
    assert ["You have no notes."] == notes
    assert [] == provider.revoked


async def test_without_the_key_nothing_is_touched(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """With it back, it is made good."""
    async with Bench.open(plan) as bench:
        await bench.link()
        await bench.link(GRACE, "grace")
    backup = copy(plan)
    async with Bench.open(plan) as bench:
        await bench.say("!unlink demo")
        await bench.say("!forget me", GRACE)
        await bench.say("yes", GRACE)
    restore(plan, backup)
    key = plan.directory / "omnibot.key"
    key.rename(plan.directory / "kept.key")
    new_key_file(key)
    async with Bench.open(plan) as bench:
        held = await count(bench)
    (plan.directory / "kept.key").replace(key)
    async with Bench.open(plan) as bench:
        left = await count(bench)

    assert (2, 2) == (held["people"], held["accounts"])
    assert {"identities": 1, "people": 1} == {name: left.get(name) for name in ("identities", "people")}
    assert "accounts" not in left
    assert "it goes when its key is back" in caplog.text


async def test_a_row_that_somebody_wrote_goes_and_is_handed_to_nobody(plan: Plan) -> None:
    """Its tag does not fit, so nobody knows whose token it is."""
    async with Bench.open(plan) as bench:
        await bench.link()
    backup = copy(plan)
    with closing(sqlite3.connect(backup)) as connection, connection:
        connection.execute("UPDATE accounts SET external = 'u-somebody'")
    async with Bench.open(plan) as bench:
        stop_task(bench, "revocations")
        await bench.say("!unlink demo")
    restore(plan, backup)
    async with Bench.open(plan) as bench:
        left = await bench.rows("SELECT id FROM accounts UNION SELECT id FROM revocations")
        events = await audited(bench, "account.erased_again")

    assert [] == left
    assert [{"provider": "demo", "token": "lost"}] == events


async def test_it_is_made_good_before_anybody_can_come(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network has begun, and no page is served: what was erased can be used by nobody in between."""
    async with Bench.open(plan) as bench:
        await bench.link()
    backup = copy(plan)
    async with Bench.open(plan) as bench:
        await bench.say("!unlink demo")
    restore(plan, backup)
    running: list[tuple[int, int]] = []
    delete = Transaction.execute

    async def watching(self: Transaction, sql: str, values: object = ()) -> int:
        if sql.startswith("DELETE FROM accounts"):
            tasks = [task.get_name() for task in asyncio.all_tasks()]
            running.append((len(tasks), sum("network" in name for name in tasks)))
        return await delete(self, sql, values)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "execute", watching)
        async with Bench.open(plan):
            pass

    assert [0] == [networks for _, networks in running]


async def test_a_held_account_that_is_unlinked_waits_for_nobody(bench: Bench, browser: Browser) -> None:
    """Its flow ends with it; its page says so, and the asker hears nothing of it a week later."""
    await bench.link(GRACE, "ada")
    code = await authorised(bench, browser)
    await bench.say(f"!confirm {code}")
    said = await bench.say("!unlink demo")
    await browser.open(browser.url)
    page = browser.text
    bench.clock.pass_(8 * 86400)
    await bench.core.upkeep.sweep()
    await bench.settle()

    assert "erased here. Its token stays good, since revoking it would cut another link" in said[0]
    assert "No longer connected" in page
    assert not [text for text in told(bench) if "has run out" in text]
    assert ["u-2"] == [one.linked_by.subject for one in await all_accounts(bench)]


async def test_a_broken_account_is_unlinked_like_any(bench: Bench) -> None:
    """The service takes its token no more, or so it said: it is handed back all the same."""
    await bench.link()
    await write(bench, replace((await all_accounts(bench))[0], status="broken"))
    said = await bench.say("!unlink demo")
    await until(lambda: bench.provider.revoked)

    assert ["Demo notes as **ada** is unlinked: erased here, and its token is being revoked."] == said
    assert [] == await all_accounts(bench)


async def test_a_broken_account_that_cannot_be_opened_goes_too(bench: Bench) -> None:
    """Nobody is told that its token is revoked."""
    await bench.link()
    account = (await all_accounts(bench))[0]
    await write(bench, replace(account, status="broken", token=b"\0" * 80))
    said = await bench.say("!unlink demo")

    words = "erased here. I cannot revoke its permission: take that back at Demo notes."
    assert [f"Demo notes as **ada** is unlinked: {words}"] == said
    assert [] == await all_accounts(bench)
    assert [] == await bench.rows("SELECT * FROM revocations")
