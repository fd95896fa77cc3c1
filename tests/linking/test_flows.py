"""A flow takes only the steps it may, and a row of it is believed only as we wrote it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnibot.database import Database
from omnibot.errors import Tampered
from omnibot.identity import Assurance, Identity
from omnibot.linking import flows
from omnibot.linking.flows import Asked, Asking, Attempt, Flow, Outcome
from omnibot.people import People
from omnibot.provider import AuthorizationServer
from omnibot.testing.bench import ADA, GRACE
from omnibot.vault import Grants, Keyring, Opener, Sealer

SEALER = Sealer(Keyring([b"k" * 32]))
SERVER = AuthorizationServer("https://as.example/a", "https://as.example/t", "https://as.example", iss="required")
FLOW = Flow(
    id="f-1",
    person="p-1",
    identity=ADA,
    provider="demo",
    instance="default",
    way="redirect",
    assurance=Assurance.STRONG,
    scopes=("read", "write"),
    asked=Asked("Ada", "#ops", "notes"),
    redirect_uri="https://bot.example/callback/demo/default",
    server=SERVER,
    created=1000.0,
    ticket_until=1600.0,
    until=2200.0,
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database in which two people are known."""
    database = await Database.open(tmp_path / "omnibot.db")
    yield database
    await database.close()


async def put(database: Database, *made: Flow) -> None:
    """Write flows, and the person behind each."""
    people = People(database, SEALER, Opener(Keyring([b"k" * 32]), Grants()))
    for flow in made:
        person = (await people.ensure(flow.identity)).person
        async with database.transaction() as tx:
            await flows.insert(tx, SEALER, replace(flow, person=person))


# -------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, 1600.0),
        ({"cookie_hash": b"c"}, 2200.0),
        ({"way": "paste"}, 2200.0),
        ({"state": "exchanging"}, 2200.0),
        ({"state": "pending"}, 2200.0),
    ],
)
def test_a_flow_nobody_opened_ends_with_its_ticket(changes: dict[str, object], end: float) -> None:
    """One that a browser has begun has the time of the whole."""
    flow = replace(FLOW, **changes)  # type: ignore[arg-type]

    assert (False, True) == (flow.expired(end - 0.001), flow.expired(end))


def test_the_clocks_do_not_add_up() -> None:
    """Ten minutes for the ticket, ten for the code, twenty in all."""
    assert (600.0, 600.0, 1200.0) == (flows.TICKET_SECONDS, flows.CODE_SECONDS, flows.FLOW_SECONDS)
    assert 86400.0 == flows.UNDO_SECONDS


@pytest.mark.parametrize(
    ("state", "live"),
    [
        ("open", True),
        ("exchanging", True),
        ("pending", True),
        ("held", False),
        ("linked", False),
        ("refused", False),
        ("expired", False),
    ],
)
def test_a_flow_lives_until_it_has_ended_or_an_admin_decides(state: flows.State, live: bool) -> None:
    """What is held waits for nobody's browser."""
    assert live is replace(FLOW, state=state).live


def test_an_ended_flow_has_nothing_that_could_be_used() -> None:
    """Ticket and state stay as hashes, so that a late visitor is told what became of it."""
    flow = replace(
        FLOW, ticket_hash=b"t", state_hash=b"s", cookie_hash=b"c", code_hash=b"x", verifier=b"v", account="a"
    ).end("refused", "seen", 1500.0)

    assert ("refused", "seen", 1500.0) == (flow.state, flow.reason, flow.ended)
    assert (None, None) == (flow.code_hash, flow.verifier)
    assert (b"t", b"s", b"c") == (flow.ticket_hash, flow.state_hash, flow.cookie_hash)


# ------------------------------------------------------------------------------------------- codes


@pytest.mark.parametrize("typed", ["KXQWMNHZ", "kxqw-mnhz", " KXQW MNHZ ", "k-x-q-w-m-n-h-z", "`KXQW-MNHZ`"])
def test_a_code_may_be_typed_in_many_ways(typed: str) -> None:
    """Case, dashes and spaces do not matter, nor what a chat puts around it."""
    assert "KXQWMNHZ" == flows.normalise(typed)


@given(st.text(alphabet=flows.CODE_ALPHABET, min_size=1, max_size=12))
def test_a_code_that_is_shown_can_be_typed_as_it_stands(code: str) -> None:
    """In groups of four."""
    assert code == flows.normalise(flows.shown(code))
    assert all(len(group) <= 4 for group in flows.shown(code).split("-"))


def test_the_alphabet_spells_no_words() -> None:
    """Twenty letters, no vowel and no digit that looks like a letter."""
    assert 20 == len(set(flows.CODE_ALPHABET))
    assert not set("AEIOUY0123456789") & set(flows.CODE_ALPHABET)


def test_secrets_are_not_printed() -> None:
    """Neither of the flow nor of what the pages are given."""
    flow = replace(FLOW, ticket_hash=b"canary", state_hash=b"canary", code_hash=b"canary", verifier=b"canary")
    attempt = Attempt("f-1", "canary", "https://as.example/?state=canary")
    asking = Asking("demo@default", "Demo", "fake", "u-1", "Ada", "", "", 0.0, (), "as.example", "")
    outcome = Outcome("f-1", "pending", "", asking, code="canary")

    assert "canary" not in repr(flow) + repr(attempt) + repr(outcome)


# -------------------------------------------------------------------------------------------- rows


async def test_a_flow_comes_back_as_it_was_written(database: Database) -> None:
    """All of it, the authorization server as one whole."""
    full = replace(
        FLOW, ticket_hash=b"t", state_hash=b"s", cookie_hash=b"c", code_hash=b"x", verifier=b"v", tries=2, ended=9.0
    )
    await put(database, full)
    found = await flows.find(database, SEALER, "id", "f-1")

    assert found is not None
    assert replace(full, person=found.person) == found
    assert "Ada" == found.identity.display


async def test_a_flow_is_found_by_what_it_is_known_by(database: Database) -> None:
    """Or it is not."""
    await put(database, replace(FLOW, ticket_hash=b"t", state_hash=b"s", code_hash=b"x"))
    found = [
        await flows.find(database, SEALER, "ticket_hash", b"t"),
        await flows.find(database, SEALER, "state_hash", b"s"),
        await flows.find(database, SEALER, "code_hash", b"x"),
    ]

    assert ["f-1"] * 3 == [flow.id for flow in found if flow]
    assert await flows.find(database, SEALER, "ticket_hash", b"s") is None


async def test_flows_are_listed_by_identity_state_and_time(database: Database) -> None:
    """Each list has its own and nobody else's."""
    states: list[flows.State] = ["open", "exchanging", "pending", "held", "linked", "refused", "expired"]
    made = [replace(FLOW, id=state, state=state, created=float(n)) for n, state in enumerate(states)]
    await put(database, *made, replace(FLOW, id="hers", identity=GRACE))
    mine = await flows.of_identity(database, SEALER, ADA)
    async with database.transaction() as tx:
        within = await flows.of_identity(tx, SEALER, GRACE)
    held = await flows.in_state(database, SEALER, "held")

    assert ["pending", "exchanging", "open"] == [flow.id for flow in mine]
    assert ["hers"] == [flow.id for flow in within]
    assert ["held"] == [flow.id for flow in held]
    assert [] == await flows.of_identity(database, SEALER, replace(ADA, epoch="later"))


async def test_only_live_flows_are_overdue(database: Database) -> None:
    """By the ticket's clock where nobody opened it, else by the whole's."""
    await put(
        database,
        FLOW,
        replace(FLOW, id="opened", cookie_hash=b"c"),
        replace(FLOW, id="ended", state="linked"),
        replace(FLOW, id="young", ticket_until=5000.0, until=5000.0),
    )
    ids = [{flow.id for flow in await flows.overdue(database, SEALER, now)} for now in (1599.0, 1600.0, 2200.0)]

    assert [set(), {"f-1"}, {"f-1", "opened"}] == ids


async def test_blame_is_counted_by_what_browsers_said(database: Database) -> None:
    """A refusal or an undo since then, and nothing else."""
    ended = [("refused", 10.0), ("not_me", 20.0), ("expired", 20.0), ("seen", 20.0), ("refused", 5.0)]
    made = [replace(FLOW, id=str(n)).end("refused", reason, at) for n, (reason, at) in enumerate(ended)]
    await put(database, *made, replace(FLOW, id="hers", identity=GRACE).end("refused", "not_me", 20.0))

    assert [2, 1, 0] == [await flows.blamed(database, SEALER, ADA, since) for since in (10.0, 11.0, 21.0)]


@pytest.mark.parametrize("column", ["person", "assurance", "tries", "until", "asked", "redirect_uri"])
async def test_a_changed_row_is_refused(database: Database, column: str) -> None:
    """Whichever list it would have come in."""
    await put(database, FLOW, replace(FLOW, id="hers", identity=GRACE))
    async with database.transaction() as tx:
        other = "(SELECT person FROM flows WHERE id = 'hers')" if column == "person" else "1"
        await tx.execute(f"UPDATE flows SET {column} = {other} WHERE id = 'f-1'")  # noqa: S608 - the test's own names

    with pytest.raises(Tampered, match="flows row f-1"):
        await flows.find(database, SEALER, "id", "f-1")
    with pytest.raises(Tampered):
        await flows.of_identity(database, SEALER, ADA)


async def test_an_account_that_goes_is_taken_out_of_its_flows(database: Database) -> None:
    """The row would be emptied behind the tag's back otherwise; one that is not as we wrote it is left alone."""
    await put(database, FLOW, replace(FLOW, id="other", identity=GRACE))
    async with database.transaction() as tx:
        await tx.execute("PRAGMA defer_foreign_keys = ON")
        for flow in (FLOW, replace(FLOW, id="other", identity=GRACE)):
            found = await flows.find(tx, SEALER, "id", flow.id)
            assert found is not None
            await flows.update(tx, SEALER, replace(found, account="a-1"))
        await tx.execute("UPDATE flows SET tries = 4 WHERE id = 'other'")
        await flows.let_go(tx, SEALER, "a-1")
        rows = await tx.rows("SELECT id, account FROM flows ORDER BY id")
        await tx.execute("UPDATE flows SET account = NULL")
    kept = await flows.find(database, SEALER, "id", "f-1")

    assert [{"id": "f-1", "account": None}, {"id": "other", "account": "a-1"}] == rows
    assert kept is not None


def test_the_whole_of_an_identity_is_in_a_flow() -> None:
    """An epoch too: another holder of the name is another identity."""
    flow = replace(FLOW, identity=Identity("libera", "alice", "2020", "Alice"))
    row = flows.to_row(flow)

    assert ("libera", "alice", "2020") == (row["network"], row["subject"], row["epoch"])
