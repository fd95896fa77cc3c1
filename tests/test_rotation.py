"""Everything moves to the newest key, whatever happens meanwhile, and what is not ours stays as it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attacks.helpers import answered, arrive, stopping
from keys import a_row_of_everything, admin, all_good, do, key_file, put_on_top, standing, verified
from omnibot import LinkedContext, Skill, anchors, follows, rotation
from omnibot.database import Database
from omnibot.demo.provider import DemoProvider
from omnibot.errors import KeyMissing, UserError
from omnibot.keyed import keyed_tables
from omnibot.rotation import Moved, Renewing, Rotation
from omnibot.stores import SecretRows
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan
from omnibot.vault import Rekeyer


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return Plan(tmp_path, provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    async with Bench.open(plan) as bench:
        yield bench


def key_of(box: object) -> str:
    """Return the id of the key that *box* is under."""
    assert isinstance(box, bytes)
    return box[:4].hex()


async def person_row(bench: Bench, subject: str = "u-1") -> dict[str, Any]:
    """Return the row of the person whose identity *subject* is."""
    sql = "SELECT p.* FROM people p JOIN identities i ON i.person = p.id WHERE i.subject = ?"
    return (await bench.rows(sql, subject))[0]


# ------------------------------------------------------------------------------ all of it


async def test_everything_goes_on_under_the_new_key_alone(plan: Plan, provider: DemoProvider) -> None:
    """Links, flows under way, parked and kept words, follows, secrets, what waits to be revoked: nothing is lost."""
    async with Bench.open(plan) as bench, stopping(bench.plan) as away:
        await bench.link(ADA, "ada")
        await bench.link(GRACE, "grace")
        bench.network.close_dms(MALLORY)
        await bench.say("!link demo", MALLORY, bench.network.room("ops"))
        provider.fail("/revoke", status=503)
        await bench.say("!unlink demo", GRACE)
        callback = await answered(bench, away, GRACE, "grace")
        await bench.say("!notes", GRACE)
        await a_row_of_everything(bench)
        old = bench.core.keyring.newest.id
        await bench.core.audit.flush()  # its head is signed
        before = standing(plan)
        done = await do(bench, "keys rotate")
        after = standing(plan)
        retired = await do(bench, "keys retire")

        assert [old] == list(before.rows)
        assert [done["key"]] == list(after.rows)
        assert before.rows[old] == done["rows"] == after.rows[done["key"]]
        assert {"retired": [old], "keys": [done["key"]]} == retired
        assert (0, []) == (done["unreadable"], done["why"])
        assert all_good(await verified(bench))

        provider.clear_faults()
        async with bench.core.database.transaction() as tx:
            await tx.execute("UPDATE revocations SET next_try = 0")
        await bench.core.revoking.work()
        assert ["grace"] == provider.revoked
        assert ["You have no notes."] == await bench.say("!notes")
        await arrive(away, callback)
        assert (await bench.say(f"!confirm {away.code}", GRACE))[0].startswith("Linked")
        assert b"an adapter's secret" == await SecretRows(bench.core.database, bench.core.sealer, "fake").get("seed")
        assert ["!watch"] == [message.text for _, message, _ in await bench.core.intake.left("fake")]
        [follow] = await follows.of_person(bench.core.database, bench.core.sealer, str((await person_row(bench))["id"]))
        assert "!watch" == follows.unbox(bench.core.sealer, follow).message.text
        assert "so far" == follows.told(bench.core.sealer, follow).text
        bench.network.open_dms(MALLORY)
        assert "To connect" in " ".join(await bench.say("!ping", MALLORY)), "what was kept"

    async with Bench.open(plan) as bench:
        assert ["You have no notes."] == await bench.say("!notes")


async def test_every_table_with_a_key_is_known(tmp_path: Path) -> None:
    """What the schema gains later is moved from its first day, or this says so."""
    database = await Database.open(tmp_path / "omnibot.db")
    schema = "sqlite_schema m JOIN pragma_table_info(m.name) c"
    sql = f"SELECT m.name FROM {schema} WHERE m.type = 'table' AND c.name = 'key_id'"  # noqa: S608 - written here
    tables = {str(row["name"]) for row in await database.read(sql)}
    await database.close()
    from omnibot.catalogue import Instances

    known = keyed_tables(Instances({}, {}))

    assert tables == {one.table for one in known if one.key_column}
    assert {"adapter_rows"} == {one.table for one in known if not one.key_column}


async def test_it_goes_on_while_people_work(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, links and a rotation at once, in small steps: everybody is served, nothing is left behind."""
    monkeypatch.setattr(rotation, "_BATCH", 1)
    monkeypatch.setattr(rotation, "_BUSY_PAUSE", 0.001)
    await bench.link(ADA, "ada")
    await bench.link(GRACE, "grace")
    turning = asyncio.create_task(_turned(bench))
    said = []
    while len(bench.core.keyring.ids) < 4:
        said += await bench.say("!notes", ADA)
    await bench.link(MALLORY, "mallory")
    said += await bench.say("!notes", MALLORY)
    turning.cancel()
    await asyncio.wait([turning])
    done = await do(bench, "keys rotate")

    assert {"You have no notes."} == set(said)
    assert [done["key"]] == list(standing(bench.plan).rows)
    assert all_good(await verified(bench))


async def _turned(bench: Bench) -> None:
    """Rotate, again and again."""
    while True:
        await do(bench, "keys rotate", renew=True)


async def test_what_was_boxed_before_and_written_after_is_moved_too(bench: Bench) -> None:
    """A row that waits for its turn to be written while all others are moved."""
    await bench.link()
    store = SecretRows(bench.core.database, bench.core.sealer, "fake")
    async with asyncio.TaskGroup() as group:
        async with bench.core.database.transaction():
            late = group.create_task(store.set("late", b"boxed under the old key"))
            await asyncio.sleep(0)  # it has its box, and waits for us
            rotated = group.create_task(do(bench, "keys rotate"))
            await asyncio.sleep(0.05)
        await late

    assert [rotated.result()["key"]] == list(standing(bench.plan).rows)
    assert b"boxed under the old key" == await store.get("late")


async def test_a_box_that_is_older_than_its_row_is_moved(bench: Bench) -> None:
    """A flow was written anew since, and so has the newest tag around a verifier of before."""
    await bench.say("!link demo")
    async with stopping(bench.plan) as browser:
        await bench.authorise(browser, bench.link_for(), "ada")
        put_on_top(key_file(bench.plan))
        ring = bench.core.keyring
        old = ring.newest.id
        await admin(bench)._adopt(admin(bench)._read_keys())
        await bench.say("!confirm BBBB-BBBB")  # counts a try, where one is pending
        async with bench.core.database.transaction() as tx:
            from omnibot.linking import flows

            [flow] = await flows.of_identity(tx, bench.core.sealer, ADA)
            await flows.update(tx, bench.core.sealer, flow)
        row = (await bench.rows("SELECT key_id, verifier FROM flows"))[0]
        between = standing(bench.plan).rows
        done = await do(bench, "keys rotate")
        after = (await bench.rows("SELECT key_id, verifier FROM flows"))[0]

        assert (ring.newest.id, old) == (row["key_id"], key_of(row["verifier"]))
        assert between[old] >= 1
        assert (done["key"], done["key"]) == (after["key_id"], key_of(after["verifier"]))
        assert all_good(await verified(bench))


# ------------------------------------------------------------------- what is not as it was


async def test_a_forged_row_is_left_alone_and_named(bench: Bench) -> None:
    """It gets no tag that fits, and keeps no other from moving; nor from the next rotation."""
    await bench.link(ADA, "ada")
    await bench.link(GRACE, "grace")
    old = bench.core.keyring.newest.id
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET reach = '[]' WHERE created = (SELECT max(created) FROM accounts)")
    forged = (await bench.rows("SELECT * FROM accounts ORDER BY created DESC"))[0]
    first = await do(bench, "keys rotate")
    second = await do(bench, "keys rotate")
    with pytest.raises(UserError, match=f"1 rows stand under key {old}.*omnibot keys rotate"):
        await do(bench, "keys retire", key=old)
    still = (await bench.rows("SELECT * FROM accounts WHERE id = ?", forged["id"]))[0]

    assert forged == still
    assert [f"accounts {forged['id']}: not as it was written"] == first["why"] == second["why"]
    assert first["key"] != second["key"], "a forged row holds up no rotation"
    assert {old: 1, second["key"]: second["rows"]} == standing(bench.plan).rows


async def test_every_kind_of_unreadable_row_is_left_alone(bench: Bench, provider: DemoProvider) -> None:
    """Each is named with its reason, and nothing of its content."""
    await bench.link()
    provider.fail("/revoke", status=503)
    await bench.say("!unlink demo")
    await bench.core.delivery._keep(GRACE, _reply("a secret word"), bench.clock() + 60, "n-1")
    await bench.core.delivery._keep(MALLORY, _reply("a secret word"), bench.clock() + 60, "n-2")
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE notices SET subject = 'u-9' WHERE id = 'n-1'")
        await tx.execute(
            "UPDATE notices SET key_id = 'cafe0001', body = CAST(X'cafe0001' || body AS BLOB) WHERE id = 'n-2'"
        )
        await tx.execute("UPDATE revocations SET provider = 'gone'")
    done = await do(bench, "keys rotate")
    row = (await bench.rows("SELECT id FROM revocations"))[0]["id"]

    assert {
        "notices n-1: not as it was written",
        "notices n-2: key cafe0001 is not in the key file",
        f"revocations {row}: its service is not configured any more",
    } == set(done["why"])


def _reply(text: str) -> Any:
    from omnibot.message import Reply

    return Reply(text)


async def test_progress_that_cannot_be_read_is_dropped(bench: Bench) -> None:
    """As its reader does: it is said anew.  The follow itself goes on."""
    await bench.link()
    await a_row_of_everything(bench)
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE follows SET progress = 'cafe0001' || progress")
    done = await do(bench, "keys rotate")
    row = (await bench.rows("SELECT progress, key_id FROM follows"))[0]

    assert (0, "", done["key"]) == (done["unreadable"], row["progress"], row["key_id"])


async def test_a_registered_client_that_cannot_be_read_holds_nothing_up(bench: Bench) -> None:
    """It is dropped and made anew when it is needed; the rotation ends, and the old key can go."""
    await bench.link()
    row = {"provider": "social", "instance": "default", "origin": "https://social.example", "about": "[]"}
    async with bench.core.database.transaction() as tx:
        box = b"\xca\xfe\x00\x01" + b"x" * 60
        await tx.insert("clients", {**row, "client": box, "created": 0.0, "key_id": box[:4].hex()})
    async with asyncio.timeout(10):
        await do(bench, "keys rotate")  # goes on with what it takes for one that was cut off
        done = await do(bench, "keys rotate")
        retired = await do(bench, "keys retire")

    assert [b""] == [one["client"] for one in await bench.rows("SELECT client FROM clients")]
    assert [done["key"]] == retired["keys"]


async def test_without_its_keys_nothing_is_moved(bench: Bench) -> None:
    """A locked keyring moves nothing."""
    await bench.link()
    tables = keyed_tables(bench.core.options.instances)
    bench.core.keyring.lock("cafe0001")
    with pytest.raises(KeyMissing):
        await Rotation(bench.core.database, Rekeyer(bench.core.keyring), tables).run(print)


async def test_it_says_how_far_it_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then, by table."""
    monkeypatch.setattr(rotation, "_BATCH", 1)
    monkeypatch.setattr(rotation, "_SAY_EVERY", 1)
    await bench.link()
    said: list[str] = []
    await admin(bench).perform("keys rotate", {}, said.append)

    assert "1 rows have been moved, now people." in said
    assert (
        f"Key {bench.core.keyring.newest.id} is in {key_file(bench.plan)}. Everything is being moved under it." in said
    )


# -------------------------------------------------------------------------- new key pairs


async def test_everybody_gets_a_new_key_pair(bench: Bench) -> None:
    """The tokens are sealed anew, and open; a second time it is only for whom it was not yet."""
    await bench.link(ADA, "ada")
    await bench.link(GRACE, "grace")
    before = [await person_row(bench, one) for one in ("u-1", "u-2")]
    tokens = {row["token"] for row in await bench.rows("SELECT token FROM accounts")}
    done = await do(bench, "keys rotate", renew=True)
    after = [await person_row(bench, one) for one in ("u-1", "u-2")]

    assert (2, 0) == (done["renewed"], done["kept"])
    assert not {row["public_key"] for row in before} & {row["public_key"] for row in after}
    assert not tokens & {row["token"] for row in await bench.rows("SELECT token FROM accounts")}
    assert all_good(await verified(bench))
    assert [["You have no notes."]] * 2 == [await bench.say("!notes", one) for one in (ADA, GRACE)]


async def test_a_plain_rotation_keeps_the_pairs(bench: Bench) -> None:
    """Only their wrapping changes, and no token is opened."""
    await bench.link()
    before, token = await person_row(bench), (await bench.rows("SELECT token FROM accounts"))[0]
    await do(bench, "keys rotate")
    after = await person_row(bench)

    assert (before["public_key"], token) == (after["public_key"], (await bench.rows("SELECT token FROM accounts"))[0])
    assert before["private_key"] != after["private_key"]


async def test_whoever_has_a_command_under_way_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hold the keys as they were."""
    monkeypatch.setattr(rotation, "_BUSY_PAUSE", 0.01)
    await bench.link()
    person = str((await person_row(bench))["id"])
    grant = bench.core.grants.open(person, "a command")
    rotating = asyncio.create_task(do(bench, "keys rotate", renew=True))
    await asyncio.sleep(0.1)
    waits = not rotating.done()
    bench.core.grants.close(grant)

    assert waits
    assert (1, 0) == ((await rotating)["renewed"], rotating.result()["kept"])


async def test_a_command_that_waits_for_an_answer_goes_on_with_the_new_pair(plan: Plan) -> None:
    """It holds no grant meanwhile, and is not waited for; its next request is made with what is then."""
    skill = Skill("slow")

    @skill.linked("demo")
    async def slow(ctx: LinkedContext) -> str:
        """Ask in the middle."""
        await ctx.api.get("/api/notes")
        await ctx.ask("Go on?")
        return str(await ctx.api.get("/api/notes"))

    async with Bench.open(replace(plan, skills=("accounts", skill))) as bench:
        await bench.link()
        asked = await bench.say("!slow")
        done = await do(bench, "keys rotate", renew=True)
        said = await bench.say("yes")

    assert ["Go on?"] == asked
    assert 1 == done["renewed"]
    assert ["[]"] == said


async def test_whoever_stays_busy_keeps_their_pair(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is under the new key all the same."""
    monkeypatch.setattr(rotation, "_BUSY_PAUSE", 0.0)
    monkeypatch.setattr(rotation, "_BUSY_TRIES", 3)
    await bench.link()
    before = await person_row(bench)
    bench.core.grants.open(str(before["id"]), "a command without end")
    done = await do(bench, "keys rotate", renew=True)
    after = await person_row(bench)

    assert (0, 1) == (done["renewed"], done["kept"])
    assert (before["public_key"], done["key"]) == (after["public_key"], after["key_id"])


async def test_a_person_with_a_forged_account_keeps_their_pair(bench: Bench) -> None:
    """Or the tokens of their other accounts, which cannot all be sealed anew, could be lost."""
    await bench.link(ADA, "ada")
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE accounts SET external = 'grace'")
    before = await person_row(bench)
    done = await do(bench, "keys rotate", renew=True)
    after = await person_row(bench)

    assert (0, 1, 1) == (done["renewed"], done["kept"], done["unreadable"])
    assert before["public_key"] == after["public_key"]
    assert done["key"] == after["key_id"]


async def test_somebody_erased_meanwhile_is_nobody(bench: Bench) -> None:
    """No person, no pair."""
    await bench.link()
    core, done = bench.core, Moved()
    renewing = Renewing(core.database, core.sealer, core.opener, core.grants, "cafe0001")
    async with core.database.transaction() as tx:
        await tx.execute("DELETE FROM people")
    assert await renewing._tried("nobody", done)

    assert (0, 0) == (done.renewed, done.kept)


async def test_the_record_is_as_it_was_written_under_the_new_key_alone(bench: Bench) -> None:
    """Its signed head is moved, and anchored anew."""
    await bench.link()
    await do(bench, "audit anchor")
    await do(bench, "keys rotate")
    await do(bench, "keys retire")
    found = await do(bench, "audit verify")
    looked = anchors.anchored(bench.plan.directory / "data", bench.core.sealer)

    assert (0, 1) == (found["broken"], len(found["notes"]))
    assert "under a key that is not here" in found["notes"][0]
    assert ("", True) == (looked.why, looked.newest > 0)
