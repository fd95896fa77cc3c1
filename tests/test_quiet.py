"""When it is quiet: what people say, and when that ends on the day the clocks are changed."""

import asyncio
import zoneinfo
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from joined import TRAIN, join, open_both, split
from omnibot import UserError, quiet
from omnibot.demo.provider import DemoProvider
from omnibot.quiet import Quiet, parsed
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from things import Thing, Things, later, things_skill

NIGHT = Quiet(22 * 60, 7 * 60, "Europe/Berlin")


@pytest.fixture
async def plan(tmp_path: Path) -> AsyncIterator[Plan]:
    """With the demo service to link."""
    async with DemoProvider() as provider:
        yield Plan(tmp_path, provider=provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot whose Ada has linked."""
    async with Bench.open(plan) as bench:
        await bench.link()
        yield bench


@pytest.fixture
def no_database() -> Iterator[None]:
    """A system without a time zone database."""
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    quiet._known_zone.cache_clear()
    yield
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache()
    quiet._known_zone.cache_clear()


def at(text: str) -> float:
    """Return a moment in Unix seconds, written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# ------------------------------------------------------------------------------------------ what is said


@pytest.mark.parametrize(
    ("hours", "zone", "found"),
    [
        ("22:00-07:00", "Europe/Berlin", NIGHT),
        ("22-7", "europe/berlin", NIGHT),
        ("22:00\N{EN DASH}7:00", "Europe/Berlin", NIGHT),
        ("1:30-4", "", Quiet(90, 240, "UTC")),
        ("20:00-24:00", "utc", Quiet(1200, 0, "UTC")),
        ("9-17", "america/new_york", Quiet(540, 1020, "America/New_York")),
    ],
)
def test_hours_are_read(hours: str, zone: str, found: Quiet) -> None:
    """As people write them; small letters are no matter."""
    assert found == parsed(hours, zone)


@pytest.mark.parametrize(
    ("hours", "zone", "words"),
    [
        ("at night", "", "I do not read hours in `at night`"),
        ("22:00", "", "I do not read hours in `22:00`"),
        ("25-7", "", "No clock shows `25`"),
        ("24:01-7", "", "No clock shows `24:01`"),
        ("22:75-7:00", "", "No clock shows `22:75`"),
        ("7-07:00", "", "begins and ends at the same time"),
        ("0-24", "", "begins and ends at the same time"),
        ("22-7", "Berlin", "I know no time zone `Berlin`"),
        ("22-7", "Europe", "I know no time zone `Europe`"),
        ("22-7", "../../etc/passwd", "I know no time zone"),
        ("22-7", "/etc/passwd", "I know no time zone"),
        ("22-7", "`", "I know no time zone"),
    ],
)
def test_what_is_not_understood_is_said(hours: str, zone: str, words: str) -> None:
    """With what to say instead; no name leads out of the database."""
    with pytest.raises(UserError) as caught:
        parsed(hours, zone)

    assert words in str(caught.value)


@pytest.mark.usefixtures("no_database")
def test_a_system_without_time_zones_says_so() -> None:
    """And knows UTC all the same."""
    with pytest.raises(UserError, match=r"no time zone database, so I know UTC alone.*tzdata"):
        parsed("22-7", "Europe/Berlin")

    assert at("2026-01-02 07:00") == parsed("22-7").end(at("2026-01-01 23:00"))


# ------------------------------------------------------------------------------------------ when it ends


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        ("2026-01-15 20:59:59", None),
        ("2026-01-15 21:00", "2026-01-16 06:00"),
        ("2026-01-16 00:30", "2026-01-16 06:00"),
        ("2026-01-16 05:59:59", "2026-01-16 06:00"),
        ("2026-01-16 06:00", None),
        ("2026-07-15 20:00", "2026-07-16 05:00"),
        ("2026-07-15 19:59", None),
    ],
)
def test_a_night_goes_over_midnight(moment: str, end: str | None) -> None:
    """In winter and in summer, by the clock on the wall."""
    assert (at(end) if end else None) == NIGHT.end(at(moment))


def test_a_day_does_not() -> None:
    """From morning to evening of one day."""
    day = parsed("9:00-17:00")

    assert at("2026-01-15 17:00") == day.end(at("2026-01-15 09:00"))
    assert None is day.end(at("2026-01-15 17:00"))
    assert None is day.end(at("2026-01-15 08:59"))


def test_the_night_that_clocks_are_put_forward_is_shorter() -> None:
    """Berlin, 29 March 2026: 02:00 is 03:00."""
    assert at("2026-03-29 05:00") == NIGHT.end(at("2026-03-28 21:00"))
    assert None is NIGHT.end(at("2026-03-29 05:00"))


def test_the_night_that_clocks_are_put_back_is_longer() -> None:
    """Berlin, 25 October 2026: 03:00 is 02:00."""
    assert at("2026-10-25 06:00") == NIGHT.end(at("2026-10-24 20:00"))
    assert at("2026-10-25 06:00") == NIGHT.end(at("2026-10-25 05:30"))


def test_a_time_that_a_day_does_not_have() -> None:
    """It is read by the offset before the gap (RFC 5545, 3.3.5): 02:30 is 03:30, half an hour after 03:00."""
    until = parsed("22:00-02:30", "Europe/Berlin")
    since = parsed("02:30-06:00", "Europe/Berlin")
    within = parsed("02:15-02:45", "Europe/Berlin")

    assert at("2026-03-29 01:30") == until.end(at("2026-03-29 01:29"))
    assert None is until.end(at("2026-03-29 01:30"))
    assert None is since.end(at("2026-03-29 01:29"))
    assert at("2026-03-29 04:00") == since.end(at("2026-03-29 01:30"))
    assert at("2026-03-29 01:45") == within.end(at("2026-03-29 01:15"))


def test_a_time_that_a_day_has_twice() -> None:
    """It is the first of the two, so that it is not quiet, loud and quiet again."""
    until = parsed("22:00-02:30", "Europe/Berlin")

    assert at("2026-10-25 00:30") == until.end(at("2026-10-25 00:29"))
    assert None is until.end(at("2026-10-25 00:30"))
    assert None is until.end(at("2026-10-25 01:15"))  # 02:15 for the second time


@pytest.mark.parametrize("zone", ["Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
def test_no_moment_of_a_night_is_lost(zone: str) -> None:
    """Through a whole year: from its first second to its last it ends when it ends, and an hour later it is over."""
    night = parsed("22:00-07:00", zone)
    moment, last = at("2026-01-01 00:00"), at("2027-01-01 00:00")
    while moment < last:
        end = night.end(moment)
        if end is None:
            moment += 1800
            continue
        assert 0 < end - moment <= 10 * 3600
        assert "07:00" == night.shown(end)
        assert end == night.end(end - 1)
        assert None is night.end(end)
        moment = end


# ------------------------------------------------------------------------------------------ whose they are


async def test_they_are_kept(plan: Plan) -> None:
    """Over a restart."""
    async with Bench.open(plan) as bench:
        await bench.say("!quiet 22:00-07:00 Europe/Berlin")
    async with Bench.open(plan) as bench:
        (said,) = await bench.say("!quiet")

    assert said.startswith("Quiet hours: 22:00-07:00, by the clock of Europe/Berlin.")


async def test_a_row_that_somebody_else_wrote_counts_for_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is kept from news by who can write to the database."""
    await bench.say("!quiet 22:00-07:00")
    person = (await bench.rows("SELECT person FROM quiet"))[0]["person"]
    async with bench.core.database.transaction() as tx:
        await tx.execute("UPDATE quiet SET begins = 0, ends = 1439")
        tx.touch(str(person))

    assert None is await bench.core.quiet.of(str(person))
    assert "quiet hours do not count" in caplog.text


async def test_a_zone_that_is_gone_counts_for_nothing(bench: Bench, request: pytest.FixtureRequest) -> None:
    """The system has lost its time zones: nobody is told less, and the log says so."""
    await bench.say("!quiet 0-23:59 Europe/Berlin")
    person = str((await bench.rows("SELECT person FROM quiet"))[0]["person"])
    before = await bench.core.quiet.end(person, bench.clock() // 86400 * 86400 + 43200)
    request.getfixturevalue("no_database")

    assert before is not None
    assert None is await bench.core.quiet.end(person, bench.clock())


async def test_who_is_forgotten_leaves_none(bench: Bench) -> None:
    """They go with the person."""
    await bench.say("!quiet 22-7")
    await bench.say("!forget me")
    await bench.say("yes")

    assert [] == await bench.rows("SELECT * FROM quiet")
    assert ["You have no quiet hours. `!quiet 22:00-07:00 Europe/Berlin` sets some."] == await bench.say("!quiet", ADA)


async def test_they_are_exported(bench: Bench) -> None:
    """As all that is known."""
    await bench.say("!quiet 22-7 Europe/Berlin")

    assert '"hours": "22:00-07:00"' in (await bench.say("!export me"))[0]


# ------------------------------------------------------------------------------------------ what is followed


@pytest.fixture
async def service(plan: Plan) -> Things:
    """Two builds that everybody sees."""
    assert plan.provider is not None
    service = Things(plan.provider)
    service.things = {"one": Thing("running"), "two": Thing("running")}
    return service


@pytest.fixture
async def following(plan: Plan, service: Things) -> AsyncIterator[Bench]:
    """Ada follows both, and has been told of them."""
    skills = (*plan.skills, things_skill())
    async with Bench.open(replace(plan, skills=skills, http=lambda: service)) as bench:
        await bench.link()
        for name in ("one", "two"):
            await bench.say(f"!things watch {name}")
        await later(bench)
        service.record.clear()
        yield bench


def now(bench: Bench, since: float = -120, until: float = 3600) -> str:
    """Return hours that began *since* seconds from now and end *until* seconds from now, to the minute, in UTC."""
    begins, ends = (datetime.fromtimestamp(bench.clock() + one, UTC) for one in (since, until))
    return f"{begins:%H:%M}-{ends:%H:%M}"


async def test_nothing_is_looked_at_or_told(following: Bench, service: Things) -> None:
    """Until they are over: then at once, and in one message."""
    await following.say(f"!quiet {now(following)}")
    service.things["one"].state = service.things["two"].state = "done"
    nothing = [text for _ in range(6) for text in await later(following, 550)]
    asked = list(service.record)
    said = await later(following, 310)

    assert ([], []) == (nothing, asked)
    assert 1 == len(said)
    assert {"one is done for ada", "two is done for ada"} == set(said[0].split("\n"))


async def test_a_command_is_answered_at_any_time(following: Bench) -> None:
    """And says how it stands."""
    quiet = f"!quiet {now(following)}"
    end = quiet[-5:]

    assert [f"It is quiet now, until {end}." in text for text in await following.say(quiet)] == [True]
    assert f"It is quiet for you until {end}" in (await following.say("!following"))[0]
    assert ["pong"] == [text[:4] for text in await following.say("!ping")]
    assert ["I no longer follow **one**."] == await following.say("!unfollow 1")


async def test_off_is_told_at_once(following: Bench, service: Things) -> None:
    """Nobody waits for the end that was."""
    await following.say(f"!quiet {now(following)}")
    await later(following, 60)
    service.things["one"].state = "done"
    await following.say("!quiet off")
    await following.settle()

    assert "one is done for ada" == following.network.private_texts(ADA)[-1]
    assert ["You have no quiet hours."] == await following.say("!quiet off")


async def test_other_hours_count_at_once(following: Bench, service: Things) -> None:
    """Those that begin later let it be told now."""
    await following.say(f"!quiet {now(following)}")
    await later(following, 60)
    service.things["one"].state = "done"
    await following.say(f"!quiet {now(following, 3600, 7200)}")
    await following.settle()

    assert "one is done for ada" == following.network.private_texts(ADA)[-1]


async def test_it_is_for_that_person_only(following: Bench, service: Things) -> None:
    """Others are told as ever."""
    await following.link(GRACE, "grace")
    await following.say("!things watch one", GRACE)
    await following.say(f"!quiet {now(following)}")
    await later(following)

    assert {"grace"} == {one.user for one in service.record}


async def test_what_is_begun_then_is_looked_at_after(following: Bench, service: Things) -> None:
    """As all else."""
    await following.say(f"!quiet {now(following)}")
    service.things["three"] = Thing("running")
    began = await following.say("!things watch three")
    nothing = await later(following, 600)
    said = await later(following, 3100)

    assert (["Watching."], []) == (began, nothing)
    assert ["three is running for ada"] == said


async def test_a_room_is_told_nothing_either(following: Bench, service: Things) -> None:
    """It is the asker's follow."""
    room = following.network.room("ops", ADA, GRACE)
    await following.say("!things show one", ADA, room)
    await following.say(f"!quiet {now(following)}")
    nothing = await later(following, 600)
    await later(following, 3100)

    assert [] == nothing
    assert "one is running for ada" == following.network.texts(room)[-1]


async def test_whose_time_is_over_then_is_looked_at_once_more(following: Bench, service: Things) -> None:
    """Or a build that ended at night would never be told of; and then its time is over."""
    await later(following, 86400 - 600)
    await following.say(f"!quiet {now(following)}")
    service.things["one"].state = "done"
    nothing = [text for _ in range(3) for text in await later(following, 1000)]
    said = await later(following, 700)
    over = await later(following, 700)

    assert [] == nothing
    assert ["one is done for ada"] == said
    assert ["I no longer follow **two**: its time is over."] == over


@pytest.mark.parametrize("state", ["done", "failing"])
async def test_a_look_that_ends_in_them_is_not_told(following: Bench, service: Things, state: str) -> None:
    """It is made again when they are over, and told then."""
    send, going, go = service.send, asyncio.Event(), asyncio.Event()

    async def slow(*args: Any, **how: Any) -> Any:
        going.set()
        await go.wait()
        return await send(*args, **how)

    service.things["one"].state = state
    service.send = slow  # type: ignore[method-assign]
    following.clock.pass_(20)
    looking = asyncio.create_task(following.core.follows.settle())
    await going.wait()
    before = len(following.network.said)
    await following.core.follows.set_quiet(ADA, parsed(now(following)))
    go.set()
    await looking
    nothing = [said.reply.text for said in following.network.said[before:]], len(following.network.edits)
    await later(following, 3700)
    said = [one.reply.text for one in following.network.said[before:]]
    said += [reply.text for _, reply in following.network.edits]

    assert ([], 0) == nothing
    assert [f"one is {state} for ada"] == said


async def test_two_that_become_one_keep_them(plan: Plan) -> None:
    """Who stays keeps their own, else has the other's; who parts again takes them along."""
    async with open_both(plan) as bench:
        await bench.link()
        await bench.say("!quiet 22-7 Europe/Berlin", TRAIN)
        await join(bench)
        joined = await bench.say("!quiet", ADA)
        rows = await bench.rows("SELECT person FROM quiet")
        await split(bench, "train:t-1")
        parted = [await bench.say("!quiet", ADA), await bench.say("!quiet", TRAIN)]
        await bench.say("!quiet off", ADA)

        assert joined[-1].startswith("Quiet hours: 22:00-07:00")
        assert 1 == len(rows)
        assert ["Quiet hours: 22:00-07:00"] * 2 == [one[-1][:24] for one in parted]
        assert (await bench.say("!quiet", TRAIN))[-1].startswith("Quiet hours: 22:00-07:00")
        assert (await bench.say("!quiet", ADA))[-1].startswith("You have no quiet hours.")


async def test_who_stays_keeps_their_own(plan: Plan) -> None:
    """What the other had goes with them."""
    async with open_both(plan) as bench:
        await bench.link()
        await bench.say("!quiet 1-2", ADA)
        await bench.say("!quiet 3-4", TRAIN)
        await join(bench)

        assert (await bench.say("!quiet", TRAIN))[-1].startswith("Quiet hours: 01:00-02:00, UTC.")
        assert 1 == len(await bench.rows("SELECT person FROM quiet"))
