"""A59, the record of who did what: an entry is changed, taken away, moved, or the end of it cut off.

What must hold: `omnibot audit verify` names the first entry that is not as it was written.  That
is so as well where the whole chain behind a change was computed anew, as anybody can: what has been
written last is signed, and so are the heads in the file beside the database.  And the bot, which goes
on writing, never signs what contradicts its own signature.

What remains: whoever can put back database and anchors of one and the same earlier day, and does so
before the bot is looked at, is noticed by an anchor that was noted elsewhere alone (``--anchor``); and
whoever has the master key can sign what they like.
"""

import sqlite3
from pathlib import Path

import pytest

from attacks.tampering import change, database
from keys import do
from omnibot import anchors, chain
from omnibot.audit import Audit
from omnibot.chain import START, Verdict, entry_hash
from omnibot.testing.bench import Bench, Plan
from omnibot.vault import Sealer, Tagged

LAST = 6


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A bot that nobody has spoken to."""
    return Plan(tmp_path)


async def record(plan: Plan, first: int, last: int) -> str:
    """Let the bot record and anchor the entries *first* to *last*; return the last anchor."""
    async with Bench.open(plan) as bench:
        for number in range(first, last + 1):
            bench.core.audit.record("", "fake", "command", command=f"c{number}")
        await bench.core.audit.flush()
        return str(await do(bench, "audit anchor"))


async def verified(plan: Plan, anchor: str = "") -> tuple[int, str]:
    """Return what `omnibot audit verify` says, with a bot that does not speak."""
    async with Bench.open(plan) as bench:
        found = await do(bench, "audit verify", anchor=anchor)
        return found["broken"], found["why"]


def compute_anew(connection: sqlite3.Connection) -> None:
    """Make every hash fit again, as whoever knows the program can."""
    previous = START
    for row in connection.execute("SELECT * FROM audit ORDER BY seq").fetchall():
        values = [row[name] for name in ("at", "pseudonym", "network", "event", "detail")]
        fresh = entry_hash(values, previous)
        connection.execute("UPDATE audit SET previous = ?, hash = ? WHERE seq = ?", (previous, fresh, row["seq"]))
        previous = fresh


def believing_hashes(patch: pytest.MonkeyPatch) -> None:
    """Look at no entry's content, nor at its place."""

    def entry(self: chain._Walk, row: sqlite3.Row) -> None:
        self.entries += 1
        self.first = self.first or row["seq"]
        self.last = chain.Head(row["seq"], row["hash"])
        self._through(self.last)

    patch.setattr(chain._Walk, "entry", entry)


def _no_points(self: chain._Marks, anchors: object) -> list[chain.Point]:
    return []


def signing_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let the chain stand for itself."""
    patch.setattr(chain._Marks, "points", _no_points)


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE audit SET detail = replace(detail, 'c3', 'c9') WHERE seq = 3", 3),
        ("UPDATE audit SET pseudonym = 'somebody' WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq = 3", 3),
        ("DELETE FROM audit WHERE seq IN (2, 5)", 2),
        ("UPDATE audit SET seq = CASE seq WHEN 3 THEN -4 ELSE -3 END WHERE seq IN (3, 4)", -4),
    ],
)
@pytest.mark.attack("A59", sabotage=believing_hashes)
async def test_an_entry_changed_deleted_or_moved_is_named(plan: Plan, sql: str, broken: int) -> None:
    """The first of them."""
    await record(plan, 1, LAST)
    assert (0, "") == await verified(plan)
    change(plan, sql)
    found, why = await verified(plan)

    assert broken == found
    assert why


@pytest.mark.attack("A59", sabotage=signing_nothing)
async def test_a_tail_that_was_cut_off_is_named(plan: Plan) -> None:
    """The first entry that is missing: the signed head went further."""
    await record(plan, 1, LAST)
    change(plan, "DELETE FROM audit WHERE seq > 4")
    found, why = await verified(plan)

    assert 5 == found
    assert why.startswith("The record ends with entry 4, and went to 6 at least")


@pytest.mark.attack("A59", sabotage=signing_nothing)
@pytest.mark.parametrize("also", ["", "DELETE FROM audit_marks"])
async def test_a_chain_that_was_computed_anew_does_not_fit_what_is_signed(plan: Plan, also: str) -> None:
    """Whether the signed head is left or taken away: it stands beside the database as well."""
    await record(plan, 1, 2)
    await record(plan, 3, LAST)
    with database(plan) as connection:
        connection.execute("UPDATE audit SET detail = replace(detail, 'c4', 'c9') WHERE seq = 4")
        compute_anew(connection)
        if also:
            connection.execute(also)
    found, why = await verified(plan)

    assert 3 == found
    assert "One of the entries 3 to 6 was changed, and the chain computed anew" in why


async def _blessing(self: Audit, tx: object, last: object) -> tuple[bool, None]:
    """Sign whatever is there."""
    return True, None


def signing_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Audit, "_may_sign", _blessing)
    signing_nothing(patch)


@pytest.mark.attack("A59", sabotage=signing_anything)
async def test_the_bot_signs_nothing_that_contradicts_what_it_signed(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    """What it writes afterwards covers nothing up, and its operator is told."""
    await record(plan, 1, LAST)
    with database(plan) as connection:
        connection.execute("UPDATE audit SET detail = replace(detail, 'c6', 'c9') WHERE seq = 6")
        compute_anew(connection)
    (plan.directory / "data" / anchors.NAME).unlink()
    async with Bench.open(plan) as bench:
        bench.core.audit.record("", "fake", "command", command="more")
        await bench.core.audit.flush()
    found, why = await verified(plan)

    assert 1 == found
    assert "it does not fit its signed head" in why
    assert "omnibot audit verify" in caplog.text


@pytest.mark.attack("A59", sabotage=lambda patch: patch.setattr(Sealer, "check", lambda *_: None))
@pytest.mark.parametrize("kind", ["head", "checkpoint"])
async def test_what_is_signed_cannot_be_written_by_another(plan: Plan, kind: str) -> None:
    """Neither a head for a chain computed anew, nor a checkpoint behind which the beginning may be missing."""
    await record(plan, 1, LAST)
    (plan.directory / "data" / anchors.NAME).unlink()
    with database(plan) as connection:
        if kind == "head":
            connection.execute("UPDATE audit SET detail = replace(detail, 'c6', 'c9') WHERE seq = 6")
            compute_anew(connection)
            connection.execute("UPDATE audit_marks SET hash = (SELECT hash FROM audit WHERE seq = 6)")
        else:
            connection.execute(
                "INSERT INTO audit_marks SELECT 'checkpoint', a.seq, a.hash, m.at, m.key_id, m.tag "
                "FROM audit a JOIN audit_marks m WHERE a.seq = 3"
            )
            connection.execute("DELETE FROM audit WHERE seq <= 3")
    found, why = await verified(plan)

    assert found
    assert "is not as the bot signed it" in why


@pytest.mark.attack("A59", sabotage=lambda patch: patch.setattr("omnibot.anchors._TAGGED", _of_nothing()))
async def test_an_anchor_of_somebody_else_says_nothing(plan: Plan) -> None:
    """A line "anew" would make everything before it bind no more."""
    await record(plan, 1, LAST)
    path = plan.directory / "data" / anchors.NAME
    line = path.read_text("ascii").split()
    line[0] = "anew"
    path.write_text(path.read_text("ascii") + " ".join(line[:6]) + "\n", "ascii")
    async with Bench.open(plan) as bench:
        notes = (await do(bench, "audit verify"))["notes"]

    assert ["1 line(s) of"] == [one[:12] for one in notes]


def _of_nothing() -> Tagged:
    """Return a tag that covers nothing that matters."""
    return Tagged("anchors", (), ())


def forgetting_the_wanted(patch: pytest.MonkeyPatch) -> None:
    real = chain.verify

    def verify(path: Path, sealer: Sealer, points: list[chain.Point], wanted: object = None) -> Verdict:
        return real(path, sealer, points)

    patch.setattr(chain, "verify", verify)


@pytest.mark.attack("A59", sabotage=forgetting_the_wanted)
async def test_an_anchor_noted_elsewhere_tells_of_everything_put_back(plan: Plan) -> None:
    """Database and anchors are those of yesterday, and fit each other."""
    await record(plan, 1, 2)
    folder = plan.directory / "data"
    kept = {name: (folder / name).read_bytes() for name in ("omnibot.db", anchors.NAME)}
    noted = await record(plan, 3, LAST)
    for rest in ("-wal", "-shm"):
        (folder / f"omnibot.db{rest}").unlink(missing_ok=True)
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    alone = await verified(plan)
    found, why = await verified(plan, noted)

    assert (0, "") == alone
    assert 3 == found
    assert "as the anchor you gave says" in why
