"""How much may be asked: buckets that fill again, whose they are, and what is said of an empty one."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from by_key import keyed
from omnibot.command import Command, Commands
from omnibot.demo.provider import DemoProvider
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.limits import UNLIMITED, Limits, Rate, Rates
from omnibot.message import Channel, Message
from omnibot.policy import Room, Rule
from omnibot.testing.bench import ADA, GRACE, MALLORY, Bench, Plan

ROOM, LOBBY = Channel("irc", "#ops"), Channel("irc", "#lobby")
PRIVATE = Channel("irc", "ada", private=True)
PING, PONG = (Command((word,), word, lambda: None) for word in ("ping", "pong"))
PERSON = Identity("irc", "ada")
MINUTE = 60.0


class Time:
    """A clock that stands."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def said(speaker: Speaker = PERSON, channel: Channel = PRIVATE) -> Message:
    return Message("irc", "1", speaker, channel, "!ping", 0.0, Assurance.ACCOUNT)


def guest(nick: str, host: str = "") -> Guest:
    return Guest("irc", nick, nick, host)


def passed(limits: Limits, messages: list[Message], command: Command | None = PING) -> list[bool]:
    return [limits.take(one, command) is None for one in messages]


# ------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize("text", ["60/minute", "1/second", "100/hour"])
def test_a_rate_is_read_and_written(text: str) -> None:
    """As the operator writes it; with spaces, too; `off` is none."""
    assert text == str(Rate.read(text)) == str(Rate.read(text.replace("/", " / ")))
    assert Rate.read("off") is None


@pytest.mark.parametrize(
    "text", ["", " ", "60", "0/minute", "-1/minute", "1.5/minute", "1/day", "1/minutes", "ten/hour"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """A limit that limits nothing, or everything, is a slip."""
    with pytest.raises(ValueError):
        Rate.read(text)


def test_nothing_is_counted_without_limits() -> None:
    """However much it is."""
    limits = Limits(UNLIMITED)

    assert all(passed(limits, [said()] * 1000))
    assert not any(limits.take_link(PERSON) for _ in range(1000))


# ----------------------------------------------------------------------------------------- buckets


def test_a_bucket_empties_and_fills(time: Time) -> None:
    """Evenly, and never beyond its rim."""
    limits = Limits(replace(UNLIMITED, person=Rate(3, MINUTE)), time)

    assert [True, True, True, False] == passed(limits, [said()] * 4)
    time.now += 20
    assert [True, False] == passed(limits, [said()] * 2)
    time.now += 3600
    assert [True, True, True, False] == passed(limits, [said()] * 4)


def test_a_clock_that_goes_back_gives_and_takes_nothing(time: Time) -> None:
    """As none should."""
    limits = Limits(replace(UNLIMITED, person=Rate(1, MINUTE)), time)
    limits.take(said(), PING)
    time.now -= 500

    assert [False] == passed(limits, [said()])


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10))
def test_no_stretch_of_time_has_more_than_two_bucketfuls(pauses: list[float], count: int) -> None:
    """However the asking is spread: what was in it, and what came meanwhile."""
    time = Time()
    limits, begun = Limits(replace(UNLIMITED, person=Rate(count, MINUTE)), time), list[float]()
    for pause in pauses:
        time.now += pause
        if limits.take(said(), PING) is None:
            begun.append(time.now)

    assert all(sum(at <= one <= at + MINUTE for one in begun) <= 2 * count for at in begun)


def test_buckets_are_bounded_in_number(time: Time) -> None:
    """The one used longest ago is forgotten; who floods keeps their empty one."""
    limits = Limits(replace(UNLIMITED, person=Rate(1, MINUTE)), time, most=10)
    for number in range(1000):
        limits.take(said(PERSON), PING)
        limits.take(said(Identity("irc", f"p{number}")), PING)

    assert limits._person is not None
    assert 10 == len(limits._person)
    assert [False] == passed(limits, [said(PERSON)])


# ------------------------------------------------------------------------------------------- whose


def test_everybody_has_a_bucket_of_their_own(time: Time) -> None:
    """By network, subject and epoch; what they call themselves is nothing."""
    limits = Limits(replace(UNLIMITED, person=Rate(1, MINUTE)), time)
    people = [PERSON, Identity("oftc", "ada"), Identity("irc", "eve"), Identity("irc", "ada", "2020")]

    assert [True] * 4 == passed(limits, [said(one) for one in people])
    assert [False] == passed(limits, [said(replace(PERSON, display="Somebody"))])


def test_a_new_nick_is_no_new_guest(time: Time) -> None:
    """Guests are counted by host, in whatever case; of IPv6 by what one household has."""
    limits = Limits(replace(UNLIMITED, guest=Rate(1, MINUTE)), time)
    hosts = [
        "a.example",
        "A.Example",
        "2001:db8:1:2::1",
        "2001:db8:1:2:ffff::9",
        "2001:db8:1:3::1",
        "cloak:x",
        "cloak:y",
    ]

    assert [True, False, True, False, True, True, True] == passed(
        limits, [said(guest(f"nick{number}", host)) for number, host in enumerate(hosts)]
    )


def test_without_hosts_all_guests_of_a_network_are_one(time: Time) -> None:
    """Another network's are others, and so is who has an account."""
    limits = Limits(replace(UNLIMITED, guest=Rate(1, MINUTE)), time)
    speakers: list[Speaker] = [guest("a"), guest("b"), Guest("oftc", "a"), PERSON, PERSON]

    assert [True, False, True, True, True] == passed(limits, [said(one) for one in speakers])


def test_a_channel_has_one_bucket_for_all(time: Time) -> None:
    """Other channels have theirs, and private conversations none."""
    limits = Limits(replace(UNLIMITED, channel=Rate(1, MINUTE)), time)
    eve = Identity("irc", "eve")
    messages = [said(PERSON, ROOM), said(eve, ROOM), said(eve, LOBBY), said(eve), said(eve)]

    assert [True, False, True, True, True] == passed(limits, messages)


def test_a_command_has_one_for_each_speaker(time: Time) -> None:
    """Another command, or another's, is another; what names no command counts as none."""
    limits = Limits(replace(UNLIMITED, command=Rate(1, MINUTE)), time)

    assert [True, False] == passed(limits, [said()] * 2)
    assert [True] == passed(limits, [said()], PONG)
    assert [True] == passed(limits, [said(Identity("irc", "eve"))])
    assert [True, True] == passed(limits, [said()] * 2, None)


def test_what_is_refused_counts_nowhere_else(time: Time) -> None:
    """One who floods a channel uses up their own share of it."""
    rates = replace(UNLIMITED, person=Rate(3, MINUTE), channel=Rate(8, MINUTE), command=Rate(3, MINUTE))
    limits = Limits(rates, time)

    assert [True, True, *[False] * 98] == passed(limits, [said(PERSON, ROOM)] * 100)
    assert [True, False] == passed(limits, [said(PERSON)] * 2)
    for number in range(3):
        assert [True, True, False] == passed(limits, [said(Identity("irc", f"eve{number}"), ROOM)] * 3)
    assert [False] == passed(limits, [said(Identity("irc", "bob"), ROOM)])
    assert [True] * 3 == passed(limits, [said(Identity("irc", "bob"))] * 3)


def test_nobody_gets_more_than_a_quarter_of_a_channel(time: Time) -> None:
    """Of what they may ask there; so that one alone silences nobody."""
    limits = Limits(replace(UNLIMITED, channel=Rate(20, MINUTE)), time)

    assert [True] * 5 + [False] * 95 == passed(limits, [said(PERSON, ROOM)] * 100)
    assert [True] == passed(limits, [said(Identity("irc", "eve"), ROOM)])
    assert [True] == passed(limits, [said(PERSON, LOBBY)])


def test_a_thread_counts_for_its_channel(time: Time) -> None:
    """Another thread is no other bucket."""
    limits = Limits(replace(UNLIMITED, channel=Rate(4, MINUTE)), time)
    people = [Identity("irc", f"p{number}") for number in range(6)]
    threads = [Channel("irc", f"thread{number}", within=("#ops",)) for number in range(6)]

    assert [True] * 4 + [False] * 2 == passed(limits, [said(*one) for one in zip(people, threads, strict=True)])
    assert [False] == passed(limits, [said(people[5], ROOM)])


def test_all_guests_of_a_network_have_ten_times_one_ones(time: Time) -> None:
    """However many hosts somebody has."""
    limits = Limits(replace(UNLIMITED, guest=Rate(2, MINUTE)), time)
    messages = [said(guest(f"g{number}", f"{number}.example")) for number in range(30)]

    assert [True] * 20 + [False] * 10 == passed(limits, messages)
    assert [True] == passed(limits, [said(Guest("oftc", "g", "g", "29.example"))])


def test_what_is_for_the_speaker_alone_takes_nothing_of_the_channel(time: Time) -> None:
    """But it takes of theirs."""
    limits = Limits(replace(UNLIMITED, person=Rate(3, MINUTE), channel=Rate(1, MINUTE)), time)

    assert [True, True] == [limits.take(said(PERSON, ROOM), PING, alone=True) is None for _ in range(2)]
    assert [True] == passed(limits, [said(PERSON, ROOM)])
    assert limits.take(said(PERSON, ROOM), PING, alone=True) is not None


def test_each_is_told_of_a_channel_once_up_to_a_bound(time: Time) -> None:
    """Who comes later hears it as well; a crowd does not make a line each."""
    limits = Limits(replace(UNLIMITED, channel=Rate(1, MINUTE)), time)
    limits.take(said(PERSON, ROOM), PING)
    crowd = [said(Identity("irc", f"p{number}"), ROOM) for number in range(200)]
    told = [refusal.words for one in crowd * 2 if (refusal := limits.take(one, PING))]

    assert [True] * 50 + [False] * 350 == [bool(one) for one in told]


def test_looking_takes_nothing_and_tells_nobody(time: Time) -> None:
    """So that who is over the limit still hears it once, when something of theirs is refused."""
    limits = Limits(replace(UNLIMITED, person=Rate(1, MINUTE)), time)

    assert [False, False] == [limits.spent(said()) for _ in range(2)]
    assert [True] == passed(limits, [said()])
    assert limits.spent(said())
    refusal = limits.take(said())
    assert refusal is not None
    assert refusal.words


# -------------------------------------------------------------------------------------------- said


def words(limits: Limits, times: int) -> list[str]:
    return [refusal.words for _ in range(times) if (refusal := limits.take(said(), PING)) is not None]


def test_it_is_said_once(time: Time) -> None:
    """And again only after the bucket had half filled; not each time that a single token had come."""
    limits = Limits(replace(UNLIMITED, person=Rate(4, MINUTE)), time)
    first = words(limits, 8)
    time.now += 15
    drip = words(limits, 3)
    time.now += 31
    again = words(limits, 4)

    expected = "You say more than I can do. I pass over the rest until there is room again, in 15 s or so."
    assert [expected, "", "", ""] == first
    assert ["", ""] == drip
    assert [True, False] == [bool(one) for one in again]


def test_each_limit_says_which_it_is(time: Time) -> None:
    """So that who reads it knows what to do less of."""
    one = Rate(1, 3600.0)
    cases: list[tuple[Rates, Speaker, str]] = [
        (Rates(one, None, None, None, None), PERSON, "You say more than I can do. I pass over .* in 60 min or so"),
        (Rates(None, one, None, None, None), guest("x"), "Those I do not know say more here"),
        (Rates(None, None, one, None, None), PERSON, "You ask more of me here than is for you alone"),
        (Rates(None, None, None, one, None), PERSON, "You say `ping` too often"),
    ]
    for rates, speaker, expected in cases:
        limits = Limits(rates, time)
        limits.take(said(speaker, ROOM), PING)
        refusal = limits.take(said(speaker, ROOM), PING)
        assert refusal is not None
        assert re.match(expected, refusal.words)


# ---------------------------------------------------------------------------------------- in a bot


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider) -> Plan:
    return keyed(Plan(tmp_path, provider=provider), provider)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """A bot where one person may say three things an hour, and begin one link."""
    rates = Rates(Rate(3, 3600.0), Rate(2, 3600.0), None, None, Rate(1, 3600.0))
    async with Bench.open(replace(plan, limits=rates)) as bench:
        yield bench


async def test_a_flood_is_answered_once(bench: Bench) -> None:
    """Whatever it is made of: commands, help, words that are none; others go on."""
    answers = [await bench.say(text) for text in ("!ping", "!ping --help", "!pingg", *["!ping", "nonsense"] * 10)]

    assert [1, 1, 1, 1, *[0] * 19] == [len(one) for one in answers]
    assert answers[3][0].startswith("You say more than I can do.")
    assert ["pong"] == [one.lower().strip(".!") for one in await bench.say("!ping", GRACE)]


async def test_words_for_another_bot_count_nothing(bench: Bench) -> None:
    """What would not be answered is not refused."""
    room = bench.network.room("ops")
    for _ in range(10):
        assert [] == await bench.say("!frobnicate all", ADA, room)

    assert [] != await bench.say("!ping", ADA, room)


async def test_guests_who_change_their_nick_are_counted_on(bench: Bench) -> None:
    """By the host that the network tells."""
    room = bench.network.room("ops")
    answers = [await bench.say("!ping", Guest("fake", f"n{one}", f"n{one}", "evil.example"), room) for one in range(6)]
    other = await bench.say("!ping", Guest("fake", "bob", "bob", "good.example"), room)

    assert [1, 1, 1, 0, 0, 0] == [len(one) for one in answers]
    assert "Those I do not know" in answers[2][0]
    assert "Those I do not know" not in other[0]


async def test_an_answer_to_a_question_is_not_counted(bench: Bench) -> None:
    """Nor a command that waited for its link: it began when it was said."""
    await bench.say("!ping", MALLORY)
    await bench.say("!ping", MALLORY)
    asked = await bench.say("!forget me", MALLORY)
    answered = await bench.say("no", MALLORY)

    assert 1 == len(asked)
    assert "more than I can do" not in " ".join(asked + answered)
    assert answered


async def test_links_have_a_limit_of_their_own(bench: Bench) -> None:
    """Beyond it none begins, and it is said why."""
    first, second = await bench.say("!link demo"), await bench.say("!link keys")

    assert "link" in first[0]
    assert ["You have asked for many links. Use the last one, or wait 60 min."] == second


async def test_who_may_nothing_silences_nobody(plan: Plan) -> None:
    """What is denied takes nothing of the channel, however many it is said by."""
    rates = Rates(Rate(60, 3600.0), Rate(20, 3600.0), Rate(8, 3600.0), None, None)
    deny = Rule("fake:u-666*", "*", "deny")
    async with Bench.open(replace(plan, limits=rates, rules=(deny,))) as bench:
        room = bench.network.room("ops")
        for number in range(5):
            for _ in range(4):
                await bench.say("!ping", Identity("fake", f"u-666{number}"), room)

        assert ["pong"] == [one.lower().strip(".!") for one in await bench.say("!ping", GRACE, room)]


async def test_a_flooded_channel_holds_up_no_admin_and_no_undo(plan: Plan) -> None:
    """Those end what somebody has to end at once; other commands wait, and each is told so once."""
    rates = Rates(None, None, Rate(4, 3600.0), None, None)
    async with Bench.open(replace(plan, limits=rates, admins=("fake:u-1",))) as bench:
        room = bench.network.room("ops")
        for number in range(4):
            await bench.say("!ping", Identity("fake", f"p-{number}"), room)
        refused = [await bench.say("!ping", who, room) for who in (GRACE, MALLORY, GRACE)]
        undone, confirmed = await bench.say("!undo", GRACE, room), await bench.say("!confirm BCDF-GHJK", GRACE, room)
        admin = await bench.say("!ping", ADA, room)
        bench.core.policy.distrust("fake")
        swapped = await bench.say("!ping", ADA, room)

    assert [1, 1, 0] == [len(one) for one in refused]
    assert all(one[0].startswith("So much is asked of me here") for one in refused[:2])
    assert undone
    assert confirmed
    assert "is asked of me" not in " ".join(undone + confirmed)
    assert ["pong"] == [one.lower().strip(".!") for one in admin]
    assert swapped[0].startswith("So much is asked of me here")


async def test_a_secret_said_in_public_is_removed_however_often(bench: Bench) -> None:
    """And spoken of within limits."""
    room = bench.network.room("ops", ADA)
    answers = [await bench.say("!link keys k-secret", ADA, room) for _ in range(8)]

    assert all(answers[:3])
    assert [1, 0, 0, 0, 0] == [len(one) for one in answers[3:]]
    assert 8 == len(bench.network.retracted)


async def test_a_flood_of_picks_is_answered_once(bench: Bench) -> None:
    """Of choices that answer nothing any more."""
    answers = []
    for _ in range(8):
        before = len(bench.network.said)
        await bench.network.hear("1", ADA, picks="deadbeef")
        await bench.settle()
        answers.append(len(bench.network.said) - before)

    assert [1, 1, 1, 1, 0, 0, 0, 0] == answers


async def test_a_flood_of_pasted_addresses_is_answered_once(plan: Plan) -> None:
    """Whoever pastes them."""
    async with Bench.open(replace(plan, public=False, limits=Rates(person=Rate(3, 3600.0)))) as bench:
        line = "http://127.0.0.1:9/callback/demo/default?code=x&state="
        answers = [await bench.say(f"{line}{number}") for number in range(8)]

    assert [1, 1, 1, 1, 0, 0, 0, 0] == [len(one) for one in answers]


async def test_nothing_is_looked_for_beyond_the_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was meant by a word that is none is looked for in its beginning, and only while it would be answered."""
    looked = list[str]()

    def look(book: Commands, line: str, among: object = None) -> list[str]:
        looked.append(line)
        return []

    monkeypatch.setattr(Commands, "nearest", look)
    for _ in range(8):
        await bench.say("!pinh " + "z" * 60_000)

    assert [200] * 3 == [len(one) for one in looked]


async def test_who_may_not_link_links_by_no_command(plan: Plan, provider: DemoProvider) -> None:
    """Whatever needs an account of theirs; a room that has not the skill that links is another matter."""
    rules, rooms = (Rule("fake:u-2", "link", "deny"),), (Room("fake:ops", frozenset({"notes"})),)
    async with Bench.open(replace(plan, rules=rules, rooms=rooms)) as bench:
        room = bench.network.room("ops", ADA, GRACE)
        denied = await bench.say("!notes", GRACE)
        await bench.say("!notes", ADA, room)

        assert ["you may not link one" in one for one in denied] == [True]
        with pytest.raises(LookupError):
            bench.link_for(GRACE)
        assert bench.link_for(ADA)


async def test_the_usage_of_what_is_denied_is_not_told(plan: Plan) -> None:
    """By an argument that is missing or wrong; nor to how it cools down."""
    async with Bench.open(replace(plan, rules=(Rule("fake:u-2", "notes *", "deny"),))) as bench:
        lines = ("!notes add", "!notes add --nonsense=1 x", "!notes add milk", "!notes add --help")
        answers = [await bench.say(line, GRACE) for line in lines]

    assert [["The operator of this bot does not allow you that command."]] * 4 == answers


# ------------------------------------------------------------------------------ rules and rooms in a bot


async def test_rules_on_rooms_hold_for_commands_and_help(plan: Plan) -> None:
    """What is not to be used in a room is not listed, offered or explained there; elsewhere it is."""
    deny = Rule("*", "notes *", "deny", "fake:*ops*")
    async with Bench.open(replace(plan, rules=(deny, Rule("*", "notes *", "allow", "*")))) as bench:
        room = bench.network.room("ops")
        assert room.id == "ops"
        listed = await bench.say("!help", ADA, room)
        helped = await bench.say("!notes add --help", ADA, room)
        run = await bench.say("!notes add milk", ADA, room)
        elsewhere = await bench.say("!help notes")

    assert "`!notes add" not in listed[0]
    assert ["The operator of this bot does not allow you that command."] == helped == run[:1]
    assert "notes add" in elsewhere[0]


async def test_what_is_forbidden_is_not_offered(plan: Plan) -> None:
    """As the nearest to what was mistyped."""
    async with Bench.open(replace(plan, rules=(Rule("*:u-2", "skill:accounts", "deny"),))) as bench:
        ada, grace = [(await bench.say("!whoamy", one))[0] for one in (ADA, GRACE)]

    assert "Did you mean `!whoami`" in ada
    assert "whoami" not in grace


async def test_a_room_has_its_skills_only(plan: Plan) -> None:
    """Others are said not to be for it, and are not listed."""
    async with Bench.open(replace(plan, rooms=(Room("fake:ops", frozenset({"help"})),))) as bench:
        room = bench.network.room("ops")
        listed, run = await bench.say("!help", ADA, room), await bench.say("!ping", ADA, room)

    assert "ping" not in listed[0]
    assert ["`ping` is not to be used in this room."] == run


async def test_in_a_room_of_private_answers_nobody_else_reads_any(plan: Plan) -> None:
    """Neither what a command says nor help, offers, errors or limits; a guest is told where to ask."""
    rooms, rates = (Room("fake:ops", discreet=True),), replace(UNLIMITED, person=Rate(5, 3600.0))
    async with Bench.open(replace(plan, rooms=rooms, limits=rates)) as bench:
        room = bench.network.room("ops")
        for text in ("!ping", "!ping --help", "!pingg", "!notes add milk", "!link demo", "!ping all", "!ping"):
            await bench.say(text, ADA, room)
        public = {one.reply.text for one in bench.network.said if one.to == room}
        private = [one.reply.text for one in bench.network.said if one.to != room]
        guest = await bench.say("!ping", Guest("fake", "bob"), room)

    assert {"I have answered you in private."} >= public
    assert any("You say more than I can do" in one for one in private)
    assert ["I can tell you that only in a private conversation."] == guest
