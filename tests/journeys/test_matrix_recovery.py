"""What goes wrong with Matrix: the bot comes back by itself, and says and does everything once."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crash.leash import Died, Keeper, keepers
from journeys.matrix_bots import Telling, bodies, bot_on, link, said_by, soon, together, works
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import SKILLS, Bench, Clock, Plan
from servers.faults import Faults
from servers.synapse.person import MatrixPeople
from servers.synapse.server import Synapse


@pytest.fixture
def telling() -> Telling:
    """What the bot can do besides."""
    return Telling()


@pytest.fixture
async def plan(tmp_path: Path, telling: Telling) -> AsyncIterator[Plan]:
    """What the bot is made of; a second one of the same plan is the first, started again."""
    async with DemoProvider() as provider:
        yield Plan(tmp_path, (*SKILLS, telling.skill), provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot that is at no homeserver yet."""
    async with Bench.open(plan) as bench:
        yield bench


# ----------------------------------------------------------------------- the bot


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_restart(plan: Plan, synapse: Synapse, matrix_people: MatrixPeople, encrypted: bool) -> None:
    """It is the same device; what was said meanwhile is answered, once, unless it is too old by then."""
    account = synapse.register("bot")
    ada, grace = await matrix_people.come("ada", "grace")
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        room = await together(ada, bot, grace, encrypted=encrypted)
        alone = await link(bench, bot, ada, room)
    await ada.say(room, "!tell echo while it was down")
    await ada.say(alone, "notes")
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await ada.hear("You have no notes.", room=alone)
        await soon(lambda: 1 == sum("while it was down" in one for one in bodies(bot, ada, room)))
    for text in ("!tell echo too late", "!notes add too late"):
        await ada.say(room, text)
    late = Clock()
    late.pass_(121)
    async with Bench.open(plan, late) as bench, bot_on(bench, synapse, account) as bot:
        await bench.settle()
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await works(grace, room)
        await ada.say(room, "!notes")
        await ada.hear("You have no notes.", room=alone)
    heard = bodies(bot, ada)

    assert {room, alone} == set(synapse.rooms(bot.mxid))
    assert 1 == len(synapse.devices(account.mxid))
    assert [1, 0, 1] == [sum(text in one for one in heard) for text in ("while it was down", "too late", "pong")]
    assert [] == [one for one in heard if "I cannot read" in one]
    assert {encrypted} == {one.encrypted for one in said_by(bot, ada, room)}


async def test_much_was_said_meanwhile(plan: Plan, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """More than the homeserver tells at once: a command at the beginning of it is answered nevertheless."""
    account = synapse.register("bot")
    (ada,) = await matrix_people.come("ada")
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        room = await together(ada, bot)
    await ada.say(room, "!tell echo the first")
    for number in range(60):
        await ada.say(room, f"chatter {number}")
    await ada.say(room, "!tell echo the last")
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await ada.hear("you said the last", room=room)

    assert ["you said the first", "you said the last"] == [one.rpartition(": ")[2] for one in bodies(bot, ada)]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """What runs a bot that is killed."""
    with keepers(tmp_path, 1) as (keeper,):
        yield keeper


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_between_hearing_and_doing(
    plan: Plan, synapse: Synapse, matrix_people: MatrixPeople, keeper: Keeper, moment: str
) -> None:
    """With ``kill -9``, before or after what it heard was kept: the command is done exactly once."""
    account = synapse.register("bot")
    ada, grace = await matrix_people.come("ada", "grace")
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        room = await together(ada, bot, grace)
        alone = await link(bench, bot, ada, room, "!notes add first")
        await ada.hear("Note 1 is written as", room=alone)
        await bench.settle()
    assert plan.provider is not None
    order = {
        "directory": str(plan.directory),
        "program": "journeys.matrix_bots:child",
        "moment": moment,
        "origin": plan.provider.origin,
        "homeserver": synapse.url,
        "user": account.mxid,
        "password": account.password,
    }
    await keeper.start(order, [], [])
    await ada.say(room, "!notes add once")
    try:
        with pytest.raises(Died):
            await keeper.do({"wait": "until it dies"})
    finally:
        await keeper.clear()
    killed = plan.provider.notes(ada.account.localpart)
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await ada.hear("Note 2 is written as", room=alone)
    async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
        await works(grace, room)

    assert (["first"], ["first", "once"]) == (killed, plan.provider.notes(ada.account.localpart))
    assert 2 == sum("is written as" in one for one in bodies(bot, ada))


# ------------------------------------------------------------------ the homeserver


async def test_the_homeserver_is_in_no_hurry(bench: Bench, synapse: Synapse, matrix_people: MatrixPeople) -> None:
    """25 answers at once, where ten pass and then one every five seconds: all arrive, in order and once."""
    ada, grace = await matrix_people.come("ada", "grace")
    async with bot_on(bench, synapse, synapse.register("bot", limited=True)) as bot:
        room = await together(ada, bot, grace)
        await ada.say(room, "!tell many 25")
        await ada.hear("line 25.", within=30)
    sent = [one for one in synapse.requests(bot.mxid) if "/send/m.room.encrypted/" in one.uri]
    tries = Counter(one.uri for one in sent)
    taken = Counter(one.uri for one in sent if one.status == 200)

    assert [f"line {number}." for number in range(1, 26)] == _lines(bodies(bot, ada))
    assert 429 in {one.status for one in sent}
    assert set(tries) == set(taken), "what was refused is tried again under the same transaction id"
    assert set(taken.values()) == {1}
    assert len(taken) <= 12, "what waits goes as one"


async def test_what_has_to_wait_is_said_once(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever says something in private waits for a while, and tries again: it is still the same that is said."""
    monkeypatch.setattr("adapters.matrix.saying.SENT_WITHIN", 3.5)
    (ada,) = await matrix_people.come("ada")
    async with bot_on(bench, synapse, synapse.register("bot", limited=True)) as bot:
        alone = await together(ada, bot, direct=True)
        await ada.say(alone, "!tell many 11")
        await bench.settle()
        await soon(lambda: 11 <= len(_lines(bodies(bot, ada))))

    assert sorted(f"line {number}." for number in range(1, 12)) == sorted(_lines(bodies(bot, ada)))


def _lines(said: list[str]) -> list[str]:
    return re.findall(r"line \d+\.", "\n".join(said))


async def test_the_login_is_revoked(
    plan: Plan, synapse: Synapse, matrix_people: MatrixPeople, caplog: pytest.LogCaptureFixture
) -> None:
    """That is final: said once, with the cure, and the homeserver hears of the bot no more."""
    account = synapse.register("bot")
    (ada,) = await matrix_people.come("ada")
    with caplog.at_level(logging.INFO):
        async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as bot:
            room = await together(ada, bot)
            await works(ada, room)
            synapse.revoke(account.mxid)
            await soon(lambda: bot.supervisor.state == "refused")
            asked = _of_nobody(synapse)
            await ada.say(room, "!ping")
            await ada.ask("GET", "/account/whoami")
            more = _of_nobody(synapse)[len(asked) :]
        async with Bench.open(plan) as bench, bot_on(bench, synapse, account) as again:
            assert "refused" == again.supervisor.state
    said = [one.getMessage() for one in caplog.records if "turned the bot away" in one.getMessage()]

    assert [True, True] == ["another `device_name`" in one for one in said]
    assert ([], []) == (bot.pauses, more)
    assert [] == synapse.devices(account.mxid), "a password does not undo what somebody has revoked"


def _of_nobody(synapse: Synapse) -> list[str]:
    """Return what was asked without a token that is good."""
    return [one.uri for one in synapse.requests("None")]


async def test_the_homeserver_is_restarted(
    bench: Bench, telling: Telling, synapse: Synapse, matrix_people: MatrixPeople
) -> None:
    """The bot is back by itself; what it could not say meanwhile it says later, and nothing twice."""
    (ada,) = await matrix_people.come("ada")
    async with bot_on(bench, synapse, synapse.register("bot")) as bot:
        alone = await together(ada, bot, direct=True)
        grown = await works(ada, alone)
        await ada.say(alone, "!tell secret")
        await telling.begun.wait()
        await asyncio.to_thread(synapse.stop)
        telling.gate.set()
        await bench.settle()
        kept = await bench.rows("SELECT 1 FROM notices")
        await asyncio.to_thread(synapse.start)
        await works(ada, alone)
        await soon(lambda: any("secret" in one for one in bodies(bot, ada)))
        await works(ada, alone)

    assert 1 == len(kept)
    assert "pong" in grown.body
    assert Counter({"pong": 3, "secret at last": 1}) == Counter(bodies(bot, ada))


async def test_the_homeserver_is_gone_for_long(
    bench: Bench, synapse: Synapse, matrix_people: MatrixPeople, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some tries the bot begins anew, a little later each time; then it works as before."""
    monkeypatch.setattr("adapters.matrix.adapter._FAILURES", 1)
    (ada,) = await matrix_people.come("ada")
    proxy = await faults.before(synapse.port)
    async with bot_on(bench, synapse, synapse.register("bot"), homeserver=f"http://127.0.0.1:{proxy.port}") as bot:
        room = await together(ada, bot)
        await works(ada, room)
        await proxy.refuse()
        proxy.cut()
        await soon(lambda: len(bot.pauses) >= 4)
        await ada.say(room, "!tell echo meanwhile")
        await proxy.accept()
        await ada.hear("you said meanwhile")
        await works(ada, room)

    assert [True] * 4 == [0.74 * 2**n < pause < 1.26 * 2**n for n, pause in enumerate(bot.pauses[:4])]
    assert 1 == sum("meanwhile" in one for one in bodies(bot, ada))
