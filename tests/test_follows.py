"""What a command asked to be followed is looked at until it is done, by and for the person who asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from omnibot import FollowContext, LinkedContext, Progress, Skill, Upstream, UserError, accounts, following, follows
from omnibot.adapter import Capabilities
from omnibot.demo.provider import DemoProvider
from omnibot.following import _SPARSE, MOST_A_PERSON
from omnibot.identity import Identity
from omnibot.policy import Rule
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Clock, Plan
from omnibot.testing.fakes import POOR, RICH, FakeAdapter

EVERY = 5.0
LOOK = EVERY * 1.25
"""Seconds after which the next look is due, whatever its jitter."""

RESTART = 20.0
"""Seconds after which the first look after a restart is due, though the network was late."""


class Oven:
    """A skill whose commands are followed, and what its follower is to say."""

    def __init__(self) -> None:
        self.skill = Skill("oven")
        self.says: Callable[[FollowContext], object] = lambda _: Progress("warm")
        self.looks: list[str] = []
        """Who looked, each time."""

        self.held: FollowContext | None = None
        """The context of the latest look."""

        skill = self.skill

        @skill.follower(every=EVERY)
        async def _watch(ctx: FollowContext, cake: str = "") -> Progress:
            me = await ctx.api.get("/api/me")
            self.looks.append(me["login"] + (f" {cake}" if cake else ""))
            self.held = ctx
            said = self.says(ctx)
            return await said if asyncio.iscoroutine(said) else said  # type: ignore[return-value]  # it may break

        @skill.linked("demo")
        async def bake(ctx: LinkedContext, cake: str = "") -> str:
            """Bake, and be told in private."""
            await ctx.follow(_watch, "the oven", cake=cake)
            return "Baking."

        @skill.linked("demo", answer="channel")
        async def show(ctx: LinkedContext) -> str:
            """Bake, and tell the room."""
            await ctx.follow(_watch, "the oven", lasting=7200)
            return "Baking."

        @skill.linked("demo")
        async def wrong(ctx: LinkedContext, how: str) -> str:
            """Follow what cannot be."""
            if how == "stranger":
                await ctx.follow(Skill("other").follower()(_nothing), "x")
            elif how == "long":
                await ctx.follow(_watch, "x", lasting=8 * 86400)
            elif how == "title":
                await ctx.follow(_watch, "two\nlines")
            elif how == "no json":
                await ctx.follow(_watch, "x", cake=object())
            elif how == "tuple":
                await ctx.follow(_watch, "x", cake=("a", "b"))
            else:
                await ctx.follow(_watch, "x", pie="")
            return "Followed."

    def finish(self, text: str = "The cake is ready.") -> None:
        """Let the next look be the last."""
        self.says = lambda _: Progress(text, done=True)

    def say(self, text: str) -> None:
        """Let the next looks say *text*."""
        self.says = lambda _: Progress(text)


async def _nothing(ctx: FollowContext) -> Progress:
    return Progress("")


@pytest.fixture
def oven() -> Oven:
    return Oven()


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider, oven: Oven) -> Plan:
    return Plan(tmp_path, skills=(*SKILLS, oven.skill), provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot with the oven, where Ada has linked her account."""
    async with linked(plan) as bench:
        yield bench


@asynccontextmanager
async def linked(plan: Plan, capabilities: Capabilities | None = None) -> AsyncIterator[Bench]:
    """Yield a bot on a network that can do what *capabilities* say, where Ada has linked her account."""
    clock = Clock()
    networks = [FakeAdapter(capabilities=capabilities, clock=clock)] if capabilities is not None else ()
    async with Bench.open(replace(plan, networks=networks), clock) as bench:
        await bench.link()
        yield bench


async def later(bench: Bench, seconds: float = LOOK) -> list[str]:
    """Let *seconds* pass and what is due be looked at; return what was said meanwhile."""
    before = len(bench.network.said)
    bench.clock.pass_(seconds)
    await bench.settle()
    return [said.reply.text for said in bench.network.said[before:]]


async def count(bench: Bench) -> int:
    return len(await bench.rows("SELECT id FROM follows"))


async def ends(bench: Bench) -> list[object]:
    """Return how each follow ended, as the audit has it."""
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT detail FROM audit WHERE event = 'follow.ended' ORDER BY seq")
    return [json.loads(str(row["detail"]))["outcome"] for row in rows]


async def until_none(bench: Bench) -> None:
    """Wait until nothing is followed any more."""
    async with asyncio.timeout(10):
        while await count(bench):  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------ until it is done


async def test_it_is_told_when_it_is_done(bench: Bench, oven: Oven, provider: DemoProvider) -> None:
    """To the person who asked, after the command has long ended, and once."""
    assert ["Baking."] == await bench.say("!oven bake")
    assert [] == oven.looks

    assert ["warm"] == await later(bench)
    oven.finish()
    assert ["The cake is ready."] == await later(bench)
    assert [] == await later(bench)

    assert ["ada", "ada"] == oven.looks
    assert 0 == await count(bench)
    assert ["done"] == await ends(bench)
    assert "The cake is ready." in bench.network.private_texts(ADA)


async def test_what_has_not_changed_is_not_said(bench: Bench, oven: Oven) -> None:
    """Nor is an empty text."""
    await bench.say("!oven bake")
    said = [await later(bench), await later(bench)]
    oven.say("")

    assert [["warm"], []] == said
    assert [] == await later(bench)
    assert 3 == len(oven.looks)


async def test_it_survives_a_restart(plan: Plan, oven: Oven) -> None:
    """With what was said last, and where."""
    async with linked(plan) as bench:
        await bench.say("!oven bake")
        await later(bench)
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        said = await later(bench, RESTART)
        oven.finish()
        done = await later(bench)

    assert [] == said
    assert ["The cake is ready."] == done
    assert 3 == len(oven.looks)


async def test_it_is_in_the_database_before_the_command_goes_on(plan: Plan) -> None:
    """What `follow` returned from survives whatever comes next."""
    skill, seen = Skill("durable"), list[int]()
    follower = skill.follower()(_nothing)

    @skill.linked("demo")
    async def start(ctx: LinkedContext) -> str:
        """Follow, and look."""
        await ctx.follow(follower, "it")
        seen.append(await count(bot))
        return ""

    async with linked(replace(plan, skills=(*SKILLS, skill))) as bot:
        await bot.say("!durable start")

    assert [1] == seen


async def test_it_ends_by_itself(bench: Bench, oven: Oven) -> None:
    """After an hour, where the command does not say; the person is told."""
    await bench.say("!oven bake")
    await later(bench, 3590)
    said = await later(bench, 20)

    assert ["I no longer follow **the oven**: its time is over."] == said
    assert 0 == await count(bench)
    assert ["expired"] == await ends(bench)


async def test_it_ends_in_time_though_the_service_asks_for_patience(
    bench: Bench, oven: Oven, provider: DemoProvider
) -> None:
    """How long it says to wait counts for its own looks only."""
    await bench.say("!oven bake")
    await later(bench, 3000)
    provider.fail("/api/me", status=429, headers={"Retry-After": "86400"}, times=None)
    waiting = await later(bench)
    asked = provider.requests.count("GET /api/me")
    said = await later(bench, 600)

    assert [] == waiting
    assert ["I no longer follow **the oven**: its time is over."] == said
    assert asked == provider.requests.count("GET /api/me")


async def test_the_same_again_replaces_the_first(bench: Bench, oven: Oven) -> None:
    """Other arguments are another follow."""
    for text in ("!oven bake", "!oven bake", "!oven bake pie", "!oven bake pie"):
        await bench.say(text)
    await later(bench)

    assert 2 == await count(bench)
    assert ["ada", "ada pie"] == sorted(oven.looks)
    assert ["replaced", "replaced"] == await ends(bench)


async def test_a_person_has_so_many_at_most(bench: Bench) -> None:
    """One more is refused, with what to do; nobody else is concerned."""
    for number in range(MOST_A_PERSON):
        await bench.say(f"!oven bake {number}")
    (said,) = await bench.say("!oven bake one more")

    assert said.startswith("I follow 20 things for you already. `!following` lists them")
    assert MOST_A_PERSON == await count(bench)
    assert ["Baking."] == await bench.say("!oven bake 3")


@pytest.mark.parametrize("how", ["stranger", "long", "title", "no json", "tuple", "pie"])
async def test_what_cannot_be_followed_is_the_authors_mistake(bench: Bench, how: str) -> None:
    """A follower of no loaded skill, a time too long, two lines as title, arguments that are no JSON or do not fit."""
    (said,) = await bench.say(f"!oven wrong {how}")

    assert said.startswith("Something broke (ref ")
    assert 0 == await count(bench)


# ------------------------------------------------------------------------------------------ where it is told


async def test_progress_is_one_message_that_changes(plan: Plan, oven: Oven) -> None:
    """Where the network can edit; the end is a message of its own."""
    async with linked(plan, RICH) as bench:
        await bench.say("!oven bake")
        first = await later(bench)
        oven.say("hot")
        second = await later(bench)
        edits = [reply.text for _, reply in bench.network.edits]
        oven.finish()
        done = await later(bench)

    assert ["warm"] == first
    assert [] == second
    assert ["hot"] == edits
    assert ["The cake is ready."] == done
    assert 1 == len(bench.network.edits)


async def test_no_message_changes_more_often_than_its_network_likes(bench: Bench, oven: Oven) -> None:
    """What it says in between is passed over."""
    bench.network.limits = replace(bench.network.limits, edit_every=100)
    await bench.say("!oven bake")
    await later(bench)
    for number in range(40):
        oven.say(f"{number} degrees")
        await later(bench, 6)

    assert 2 == len(bench.network.edits)


async def test_a_crash_before_the_row_is_gone_says_the_end_once(
    bench: Bench, oven: Oven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again under the same key."""

    async def crashes(*_: object) -> bool:
        raise OSError

    await bench.say("!oven bake")
    oven.finish()
    with monkeypatch.context() as patch:
        patch.setattr(follows, "delete", crashes)
        first = await later(bench)
    second = await later(bench, 1000)

    assert (["The cake is ready."], []) == (first, second)
    assert 2 == len(oven.looks)
    assert 0 == await count(bench)


async def test_where_nothing_can_be_edited_there_are_few_lines(plan: Plan, oven: Oven) -> None:
    """Further and further apart, however often it changes; the last word comes at once."""
    async with linked(plan, POOR) as bench:
        await bench.say("!oven bake")
        lines = []
        for number in range(60):
            oven.say(f"{number} degrees")
            lines += [(number, text) for text in await later(bench, 6)]
        oven.finish()
        done = await later(bench)

    assert [0, 3, 13] == [number for number, _ in lines]  # at once, 15 seconds later, a minute later; not yet 5 minutes
    assert ["The cake is ready."] == done
    assert 300 == _SPARSE[3]


async def test_an_edit_that_fails_is_a_line_now_and_then(plan: Plan, oven: Oven) -> None:
    """As on a network that cannot."""
    async with linked(plan, RICH) as bench:
        await bench.say("!oven bake")
        await later(bench)
        bench.network._by_id.clear()
        oven.say("hot")
        soon = await later(bench)
        much_later = await later(bench, 20)

    assert [] == soon
    assert ["hot"] == much_later


async def test_a_room_is_told_while_the_asker_is_there(bench: Bench, oven: Oven) -> None:
    """As the command answers there; once they have left, they are told in private."""
    room = bench.network.room("ops", ADA, GRACE)
    await bench.say("!oven show", ADA, room)
    await later(bench)
    shown = bench.network.texts(room)
    bench.network.leave(room, ADA)
    oven.say("hot")
    await later(bench, 60)
    oven.finish()
    await later(bench)

    assert ["Baking.", "warm"] == shown
    assert shown == bench.network.texts(room)
    assert [] == bench.network.edits
    assert ["hot", "The cake is ready."] == bench.network.private_texts(ADA)[-2:]


async def test_a_room_hears_nothing_of_what_is_private(bench: Bench, oven: Oven) -> None:
    """A command that answers in private is followed in private, wherever it was said."""
    room = bench.network.room("ops", ADA, GRACE)
    await bench.say("!oven bake", ADA, room)
    await later(bench)
    oven.finish()
    await later(bench)

    assert ["I have answered you in private."] == bench.network.texts(room)
    assert ["warm", "The cake is ready."] == bench.network.private_texts(ADA)[-2:]


async def test_the_end_waits_for_a_private_way(bench: Bench, oven: Oven) -> None:
    """It is kept; progress is not: by then it is old."""
    await bench.say("!oven bake")
    bench.network.close_dms(ADA)
    await later(bench)
    oven.finish()
    await later(bench)
    bench.network.open_dms(ADA)
    before = len(bench.network.said)
    await bench.say("hello")
    said = [one.reply.text for one in bench.network.said[before:]]

    assert "The cake is ready." in said
    assert "warm" not in said


# ------------------------------------------------------------------------------------------ checked afresh


async def test_a_look_changes_nothing(bench: Bench, oven: Oven, provider: DemoProvider) -> None:
    """Whatever its author meant: it may be done twice after a crash."""
    await bench.say("!oven bake")
    oven.says = lambda ctx: ctx.api.post("/api/notes", {"text": "boo"})
    await later(bench)

    assert {"GET"} == {call.method for call in provider.calls}
    assert [] == provider.notes("ada")


async def test_its_grant_ends_with_the_look(bench: Bench, oven: Oven) -> None:
    """What was kept of a look opens nothing afterwards, though the follow goes on."""
    await bench.say("!oven bake")
    live: list[set[str]] = []

    def looks(_: FollowContext) -> Progress:
        live.append({one.reason for one in bench.core.grants._live})
        return Progress("warm")

    oven.says = looks
    await later(bench)
    assert oven.held is not None

    assert [{"follow"}] == live
    assert set() == bench.core.grants._live
    assert 1 == await count(bench)
    with pytest.raises(Exception, match="this grant has ended"):
        await oven.held.api.get("/api/me")


async def test_a_turn_that_has_ended_follows_nothing(plan: Plan) -> None:
    """What a handler left behind cannot ask for more."""
    skill, kept = Skill("left"), list[LinkedContext]()
    follower = skill.follower()(_nothing)

    @skill.linked("demo")
    async def behind(ctx: LinkedContext) -> str:
        """Keep the context."""
        kept.append(ctx)
        return "Kept."

    async with linked(replace(plan, skills=(*SKILLS, skill))) as bench:
        await bench.say("!left behind")
        with pytest.raises(Exception, match="this turn has ended"):
            await kept[0].follow(follower, "it")

        assert 0 == await count(bench)


async def test_unlinking_ends_it(bench: Bench, oven: Oven) -> None:
    """The row goes with the account, and nothing more is asked or said."""
    await bench.say("!oven bake")
    await later(bench)
    await bench.say("!unlink demo")

    assert 0 == await count(bench)
    assert [] == await later(bench)
    assert 1 == len(oven.looks)
    assert ["unlinked"] == await ends(bench)


async def test_unlinking_during_a_look_ends_it(bench: Bench, oven: Oven) -> None:
    """What it found out is not told."""
    going, go = asyncio.Event(), asyncio.Event()

    async def slow() -> Progress:
        going.set()
        await go.wait()
        return Progress("Ready.", done=True)

    await bench.say("!oven bake")
    oven.says = lambda _: slow()
    bench.clock.pass_(LOOK)
    look = asyncio.create_task(bench.settle())
    await going.wait()
    await bench.network.hear("!unlink demo", ADA)
    await until_none(bench)
    before = len(bench.network.said)
    go.set()
    await look

    assert "Ready." not in [one.reply.text for one in bench.network.said[before:]]


async def test_nor_does_it_ask_anything_more(bench: Bench, oven: Oven, provider: DemoProvider) -> None:
    """A request of a look that has lost its account is not made."""
    going, go = asyncio.Event(), asyncio.Event()

    async def asks_again(ctx: FollowContext) -> Progress:
        going.set()
        await go.wait()
        await ctx.api.get("/api/notes")
        return Progress("Ready.", done=True)

    await bench.say("!oven bake")
    oven.says = asks_again
    bench.clock.pass_(LOOK)
    look = asyncio.create_task(bench.settle())
    await going.wait()
    await bench.network.hear("!unlink demo", ADA)
    await until_none(bench)
    go.set()
    await look
    await later(bench)

    assert "/api/notes" not in [call.path for call in provider.calls]
    assert ["unlinked"] == await ends(bench)


async def test_a_new_link_to_the_same_account_takes_it_over(bench: Bench, oven: Oven) -> None:
    """Though the row it stood on is gone."""
    await bench.say("!oven bake")
    await later(bench)
    before = await bench.rows("SELECT account FROM follows")
    await bench.link()
    after = await bench.rows("SELECT account FROM follows")
    oven.finish()

    assert before != after
    assert ["The cake is ready."] == await later(bench)


async def test_a_broken_account_ends_it(bench: Bench, oven: Oven, provider: DemoProvider) -> None:
    """With one sentence that says how to mend it."""
    await bench.say("!oven bake")
    provider.forget_grants()
    said = await later(bench)

    words = "Demo notes no longer accepts your link. Link it again with `!link demo@default`, and ask again."
    assert [f"I no longer follow **the oven**: {words}"] == said
    assert [] == await later(bench)
    assert ["no longer linked"] == await ends(bench)


async def test_a_rule_that_forbids_the_command_ends_it(plan: Plan, oven: Oven) -> None:
    """The operator's word counts from the restart that reads it."""
    async with linked(plan) as bench:
        await bench.say("!oven bake")
    async with Bench.open(replace(plan, rules=(Rule("*", "oven *", "deny"),))) as bench:
        await bench.say("!ping")
        said = await later(bench, RESTART)

    assert ["I no longer follow **the oven**: the operator of this bot does not allow you that command."] == said
    assert [] == oven.looks


async def test_a_skill_that_is_gone_ends_it(plan: Plan, oven: Oven) -> None:
    """Nobody is left who could look."""
    async with linked(plan) as bench:
        await bench.say("!oven bake")
    async with Bench.open(replace(plan, skills=SKILLS)) as bench:
        await bench.say("!ping")
        said = await later(bench, RESTART)

    assert ["I no longer follow **the oven**: the command that began it, `oven bake`, is gone."] == said


async def test_a_network_that_is_another_now_waits(bench: Bench, oven: Oven) -> None:
    """A65: nobody is asked for anything there, and nothing is said; its time goes on."""
    await bench.say("!oven bake")
    bench.core.policy.distrust("fake")
    nothing = await later(bench) + await later(bench, 60)
    looks = list(oven.looks)
    bench.core.policy.trust("fake")
    oven.finish()
    said = await later(bench, 60)

    assert ([], []) == (nothing, looks)
    assert ["The cake is ready."] == said


async def test_a_network_that_is_not_there_waits(plan: Plan, oven: Oven) -> None:
    """The operator has taken it out: nothing is asked for people whom nobody vouches for, until it is back."""
    async with linked(plan) as bench:
        await bench.say("!oven bake")
    oven.finish()
    async with Bench.open(replace(plan, networks=[FakeAdapter("other")])) as bench:
        nothing = await later(bench, RESTART) + await later(bench, RESTART)
        looks = list(oven.looks)
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        said = await later(bench, RESTART)

    assert ([], []) == (nothing, looks)
    assert ["The cake is ready."] == said


@pytest.mark.parametrize(
    "change",
    [
        "subject = 'u-2'",
        "network = 'other'",
        "until = until + 1",
        'arguments = \'{"cake":"pie"}\'',
        "private = 0",
        "title = 'x'",
        "message = x'00'",
        "follower = 'other'",
    ],
)
async def test_a_row_that_somebody_else_wrote_is_refused(bench: Bench, oven: Oven, change: str) -> None:
    """A63: nothing is asked for it, nobody is told of it, it is recorded, and it stays for the operator to see."""
    await bench.say("!oven bake")
    async with bench.core.database.transaction() as tx:
        await tx.execute(f"UPDATE follows SET {change}")  # noqa: S608 - the test's own
    said = await later(bench) + await later(bench)
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT detail FROM audit WHERE event = 'vault.refused'")

    assert [] == said
    assert [] == oven.looks
    assert ["follows"] == [json.loads(str(row["detail"]))["table"] for row in rows]
    assert 1 == await count(bench)


async def test_what_was_said_last_is_not_taken_from_another(bench: Bench, oven: Oven) -> None:
    """It stands boxed for its own row; without it, it is said anew, in the place that the tag vouches for."""
    await bench.link(GRACE, "grace")
    await bench.say("!oven bake")
    await bench.say("!oven bake", GRACE)
    await later(bench)
    async with bench.core.database.transaction() as tx:
        await tx.execute(
            "UPDATE follows SET progress = (SELECT progress FROM follows WHERE subject = 'u-2') WHERE subject = 'u-1'"
        )
    oven.say("hot")
    await later(bench)
    stored = await bench.rows("SELECT progress FROM follows")

    assert 1 == len(bench.network.edits)
    assert "hot" == bench.network.private_texts(ADA)[-1]
    assert not [row for row in stored if "hot" in str(row["progress"])]


async def test_another_identity_is_nobody_to_it(bench: Bench, oven: Oven) -> None:
    """An account that is out of the asker's reach is looked at no more."""
    await bench.say("!oven bake")
    await bench.link(GRACE, "grace")
    core = bench.core
    async with core.database.transaction() as tx:
        (row,) = await tx.rows("SELECT account FROM follows")
        elsewhere = Identity("fake", "u-9")
        await accounts.change(tx, core.sealer, row["account"], lambda one: replace(one, reach=(elsewhere,)))
    said = await later(bench)

    assert ["I no longer follow **the oven**: its account is not yours to use here any more."] == said
    assert [] == oven.looks


# ------------------------------------------------------------------------------------------ when it goes wrong


async def test_a_service_in_trouble_is_asked_less_and_said_once(
    bench: Bench, oven: Oven, provider: DemoProvider
) -> None:
    """Nothing is said at first; when it has lasted, once; when it is over, it goes on."""
    await bench.say("!oven show")  # which lasts longer
    provider.fail("/api/me", times=None)
    soon = [text for _ in range(20) for text in await later(bench, 30)]
    asked = provider.requests.count("GET /api/me")
    long_ = [text for _ in range(60) for text in await later(bench, 60)]
    provider.clear_faults()
    oven.finish()

    assert [] == soon
    assert asked < 12
    words = "I have not been able to look at **the oven** for a while, and go on trying. Demo notes is out of order"
    assert [words] == [text[: len(words)] for text in long_]
    assert ["The cake is ready."] == await later(bench, 700)


async def test_the_follower_may_catch_what_the_service_says(bench: Bench, oven: Oven) -> None:
    """A 404 can be an answer."""

    async def gone(ctx: FollowContext) -> Progress:
        try:
            await ctx.api.get("/api/notes/7")
        except Upstream as error:
            return Progress(f"gone, {error.status}", done=True)
        return Progress("there")

    oven.says = gone
    await bench.say("!oven bake")

    assert ["gone, 404"] == await later(bench)


async def test_a_sentence_for_the_person_ends_it(bench: Bench, oven: Oven) -> None:
    """As it would end a command."""

    def burnt(_: FollowContext) -> Progress:
        raise UserError("The cake is burnt.")

    oven.says = burnt
    await bench.say("!oven bake")

    assert ["I no longer follow **the oven**: The cake is burnt."] == await later(bench)
    assert ["refused"] == await ends(bench)


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(3), None])
async def test_a_follower_that_breaks_is_given_up(
    bench: Bench, oven: Oven, error: BaseException | None, caplog: pytest.LogCaptureFixture
) -> None:
    """After a few looks; the person gets a reference, and the bot goes on."""

    def breaks(_: FollowContext) -> object:
        if error is not None:
            raise error
        return "no Progress"

    oven.says = breaks
    await bench.say("!oven bake")
    said = [text for _ in range(10) for text in await later(bench, 300)]

    assert 1 == len(said)
    assert said[0].startswith("I no longer follow **the oven**: something broke (ref ")
    assert 5 == len(oven.looks)
    assert ["broken"] == await ends(bench)
    assert said[0][-6:-2] in caplog.text
    assert ["pong"] == [text[:4] for text in await bench.say("!ping")]


async def test_one_that_hangs_holds_up_no_other(plan: Plan, oven: Oven, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its look is stopped, and it has no grant any more; one that will not stop is not begun twice."""
    monkeypatch.setattr(following, "_MOST_AT_ONCE", 5)
    before: list[int] = []
    hung = asyncio.Event()

    async def hangs() -> Progress:
        while not hung.is_set():
            try:
                await hung.wait()
            except asyncio.CancelledError:  # the worst that an author can write
                pass
        return Progress("late", done=True)

    stove = Skill("stove")

    @stove.follower(every=EVERY)
    async def _watch(ctx: FollowContext) -> Progress:
        before.append(len(oven.looks))
        return Progress("boiling", done=True)

    @stove.linked("demo")
    async def boil(ctx: LinkedContext) -> str:
        """Boil."""
        await ctx.follow(_watch, "the stove")
        return "Boiling."

    async with linked(replace(plan, skills=(*SKILLS, oven.skill, stove))) as bench:
        bench.core.follows._limit = 0.5
        oven.says = lambda _: hangs()
        for cake in "abcdef":  # more than may look at once of one kind
            await bench.say(f"!oven bake {cake}")
        bench.clock.pass_(2)  # so that the stove is the last in any case
        await bench.say("!stove boil")
        said = await later(bench)
        looks = len(oven.looks)
        again = await later(bench, 700)

        assert ["boiling"] == said
        assert before[0] <= 4
        assert [] == again
        assert looks == len(oven.looks) == 6
        assert set() == bench.core.grants._live
        hung.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        oven.finish()
        done = await later(bench, 700)
        assert 6 == "".join(done).count("The cake is ready.")


async def test_one_that_will_not_stop_ends_in_time(plan: Plan, oven: Oven) -> None:
    """It cannot be begun again; but its time is over when that was said, and its place is free."""
    hung = asyncio.Event()

    async def hangs() -> Progress:
        while not hung.is_set():
            try:
                await hung.wait()
            except asyncio.CancelledError:
                pass
        return Progress("late", done=True)

    async with linked(plan) as bench:
        bench.core.follows._limit = 0.1
        oven.says = lambda _: hangs()
        await bench.say("!oven bake")
        await later(bench)
        said = await later(bench, 8 * 86400)
        hung.set()

        assert ["I no longer follow **the oven**: its time is over."] == said
        assert 0 == await count(bench)
        assert 1 == len(oven.looks)


async def test_closing_waits_for_no_look(plan: Plan, oven: Oven) -> None:
    """A look under way is stopped; what it looks at is there at the next start."""
    going = asyncio.Event()

    async def slow() -> Progress:
        going.set()
        await asyncio.sleep(60)
        return Progress("late", done=True)

    async with linked(plan) as bench:
        oven.says = lambda _: slow()
        await bench.say("!oven bake")
        bench.clock.pass_(LOOK)
        look = asyncio.create_task(bench.core.follows.settle())
        await going.wait()
    await look
    async with Bench.open(plan) as bench:
        assert 1 == await count(bench)


async def test_it_looks_by_itself(bench: Bench, oven: Oven) -> None:
    """Without a test that waits for it: the engine runs in the background."""
    oven.finish()
    await bench.say("!oven bake")
    bench.clock.pass_(LOOK)
    bench.core.follows._wake.set()
    await until_none(bench)

    assert "The cake is ready." in bench.network.private_texts(ADA)


async def test_the_audit_names_no_argument(bench: Bench) -> None:
    """Only skill, follower and how it ended."""
    await bench.say("!oven bake gingerbread")
    await bench.say("!unfollow 1")
    await bench.core.audit.flush()
    rows = await bench.rows("SELECT event, detail FROM audit WHERE event LIKE 'follow.%' ORDER BY seq")

    assert [
        ("follow.begun", {"skill": "oven", "follower": "_watch", "as": ["demo@default"]}),
        ("follow.ended", {"skill": "oven", "outcome": "unfollowed"}),
    ] == [(row["event"], json.loads(str(row["detail"]))) for row in rows]


async def test_moving_gives_no_tag_to_what_has_none(bench: Bench) -> None:
    """A row that somebody changed is not written anew when its account is replaced: it goes with it."""
    await bench.say("!oven bake")
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE follows SET until = until + 1")
    await bench.link()

    assert 0 == await count(bench)
