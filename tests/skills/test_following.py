"""`following` and `unfollow`: the speaker's own follows, in private."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from omnibot import FollowContext, LinkedContext, Progress, Skill, accounts
from omnibot.identity import Guest, Identity
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from skills.following import _span


@pytest.fixture
def plan(plan: Plan) -> Plan:
    """With a command that follows whatever it is told."""
    skill = Skill("watch")

    @skill.follower()
    async def _look(ctx: FollowContext, thing: str) -> Progress:
        return Progress(f"{thing} is\nunder way")

    @skill.linked("demo")
    async def start(ctx: LinkedContext, thing: str) -> str:
        """Follow a thing."""
        await ctx.follow(_look, f"*{thing}*", thing=thing, lasting=3 * 86400)
        return "Watching."

    return replace(plan, skills=(*SKILLS, skill))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """Ada has linked, and two things are followed for her."""
    async with Bench.open(plan) as bench:
        await bench.link()
        await bench.say("!watch start tea")
        await bench.say("!watch start cake")
        yield bench


async def look(bench: Bench) -> None:
    bench.clock.pass_(7)
    await bench.settle()


async def test_what_is_followed_is_listed(bench: Bench) -> None:
    """With number, title, service, times, and what was said last."""
    before = await bench.say("!following")
    await look(bench)
    bench.clock.pass_(3600)
    after = await bench.say("!following")

    times = "begun less than a minute ago, for up to 2 days more"
    assert [f"- `1` ***tea*** at Demo notes, {times}.\n- `2` ***cake*** at Demo notes, {times}."] == before
    assert "- `1` ***tea*** at Demo notes, begun 1 hour ago, for up to 2 days more. Last: tea is under way" in after[-1]


async def test_one_is_ended_by_its_number(bench: Bench) -> None:
    """Which the others keep; a new one takes what is free."""
    ended = await bench.say("!unfollow 1")
    left = await bench.say("!following")
    await bench.say("!watch start soup")
    again = await bench.say("!following")

    assert ["I no longer follow ***tea***."] == ended
    assert left[0].startswith("- `2` ***cake***")
    assert ["- `1` ***soup*** at", "- `2` ***cake*** at"] == [
        line[: line.index(" Demo")] for line in again[0].split("\n")
    ]


async def test_all_are_ended(bench: Bench) -> None:
    """And nothing more is said of them."""
    ended = await bench.say("!unfollow ALL")
    before = len(bench.network.said)
    await look(bench)

    assert ["I no longer follow ***tea***, ***cake***."] == ended
    assert before == len(bench.network.said)
    assert ["I follow nothing for you."] == await bench.say("!following")
    assert ["I follow nothing for you."] == await bench.say("!unfollow all")


@pytest.mark.parametrize("which", ["7", "0", "99999", "tea", "-1", "²"])
async def test_a_number_that_is_none_ends_nothing(bench: Bench, which: str) -> None:
    """It says where the numbers are."""
    (said,) = await bench.say(f"!unfollow {which}")

    assert "`!following` lists" in said
    assert 2 == len(await bench.rows("SELECT id FROM follows"))


async def test_others_see_and_end_nothing_of_it(bench: Bench) -> None:
    """Somebody else has numbers of their own."""
    await bench.link(GRACE, "grace")
    listed = await bench.say("!following", GRACE)
    ended = await bench.say("!unfollow 1", GRACE) + await bench.say("!unfollow all", GRACE)
    await bench.say("!watch start mine", GRACE)

    assert ["I follow nothing for you."] == listed
    assert ended[0].startswith("I follow nothing with the number 1 for you.")
    assert (await bench.say("!following", GRACE))[0].startswith("- `1` ***mine***")
    assert 3 == len(await bench.rows("SELECT id FROM follows"))


async def test_what_is_out_of_reach_is_not_shown(bench: Bench) -> None:
    """The account that it stands on is not the speaker's to use any more."""
    core = bench.core
    async with core.database.transaction() as tx:
        (row,) = await tx.rows("SELECT DISTINCT account FROM follows")
        await accounts.change(
            tx, core.sealer, row["account"], lambda one: replace(one, reach=(Identity("fake", "u-9"),))
        )

    assert ["I follow nothing for you."] == await bench.say("!following")
    assert (await bench.say("!unfollow 1"))[0].startswith("I follow nothing with the number 1")


@pytest.mark.parametrize("text", ["!following", "!unfollow 1", "!unfollow all"])
async def test_all_of_it_is_private(bench: Bench, text: str) -> None:
    """A room sees that there is an answer; a guest is told why not."""
    room = bench.network.room("ops", ADA, GRACE)
    await bench.say(text, channel=room)
    guest = await bench.say(text, Guest("fake", "bob"), room)

    assert ["I have answered you in private."] == bench.network.texts(room)[:1]
    assert not [one for one in bench.network.texts(room) if "tea" in one]
    assert 1 == len(guest)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (7199, "1 hour"),
        (7200, "2 hours"),
        (86400 * 6.9, "6 days"),
    ],
)
def test_times_are_in_words(seconds: float, words: str) -> None:
    """The largest unit that there is one of."""
    assert words == _span(seconds)


async def test_quiet_hours_are_said_and_shown(bench: Bench) -> None:
    """Without a zone they are UTC, and it says so."""
    before = await bench.say("!quiet")
    utc = await bench.say("!quiet 1:30-1:31")
    berlin = await bench.say("!quiet 22-7 europe/berlin")
    shown = await bench.say("!quiet")
    off = await bench.say("!quiet off")

    words = "I tell you nothing then of what I follow for you."
    assert ["You have no quiet hours. `!quiet 22:00-07:00 Europe/Berlin` sets some."] == before
    assert utc[0].startswith(f"Quiet hours: 01:30-01:31, UTC. {words}")
    assert utc[0].endswith(" To go by your own clock, name it: `!quiet 1:30-1:31 Europe/Berlin`.")
    assert berlin[0].startswith(f"Quiet hours: 22:00-07:00, by the clock of Europe/Berlin. {words}")
    assert berlin[0] == shown[0]
    assert ["You have no quiet hours any more."] == off


async def test_quiet_hours_are_the_speakers(bench: Bench) -> None:
    """Another has none; who is nobody to the bot has nothing to be quiet about."""
    await bench.say("!quiet 22-7")

    assert ["You have no quiet hours."] == await bench.say("!quiet off", GRACE)
    assert (await bench.say("!quiet", GRACE))[0].startswith("You have no quiet hours.")
    assert "22:00" not in (await bench.say("!quiet", Guest("fake", "g-1")))[0]


async def test_what_is_no_quiet_is_explained(bench: Bench) -> None:
    """With how to say it, and nothing is changed."""
    await bench.say("!quiet 22-7")
    wrong = await bench.say("!quiet tonight")
    where = await bench.say("!quiet 23-7 Atlantis")

    assert "Say from when to when: `22:00-07:00`." in wrong[0]
    assert "Name one as `Europe/Berlin`" in where[0]
    assert (await bench.say("!quiet"))[0].startswith("Quiet hours: 22:00-07:00")
