"""What waits for a link is taken once, by its own, and read by nobody meanwhile."""

from linking.steps import all_flows, stop_task
from omnibot.linking import waiting
from omnibot.testing.bench import MALLORY, Bench


async def test_what_waits_is_taken_once(bench: Bench) -> None:
    """Looking takes nothing."""
    await bench.say("!notes add x")
    flow = (await all_flows(bench))[0]
    sealer = bench.core.sealer
    async with bench.core.database.transaction() as tx:
        seen = [await waiting.look(tx, sealer, flow) for _ in range(2)]
        taken = [await waiting.take(tx, sealer, flow) for _ in range(2)]

    assert ["!notes add x", "!notes add x"] == [one.text for one in seen if one]
    assert ["!notes add x", None] == [one and one.text for one in taken]


async def test_what_waits_is_unreadable_in_the_database(bench: Bench) -> None:
    """What somebody wants to do is nobody's business."""
    stop_task(bench, "revocations")
    await bench.say("!notes add canary")
    rows = await bench.rows("SELECT * FROM waiting")

    assert 1 == len(rows)
    assert "canary" not in str(rows)


async def test_what_waits_belongs_to_its_flows_own_identity(bench: Bench) -> None:
    """A63: a row moved to another's flow puts no words into their mouth."""
    await bench.say("!notes add x")
    await bench.say("!link demo", MALLORY)
    mine, hers = await all_flows(bench)
    sealer = bench.core.sealer
    async with bench.core.database.transaction() as tx:
        message = await waiting.take(tx, sealer, mine)
        assert message is not None
        await waiting.park(tx, sealer, hers, message)
        taken = await waiting.take(tx, sealer, hers)
        left = await tx.rows("SELECT * FROM waiting")

    assert taken is None
    assert [] == left
