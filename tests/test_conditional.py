"""Looks ask whether something has changed, and keep to what the service says of how often it is to be asked."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from omnibot import FollowContext, LinkedContext, Progress, Response, Skill
from omnibot.conditional import LastLook
from omnibot.demo.provider import DemoProvider
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from things import LOOK, PREFIX, Asked, Thing, Things, later, things_skill


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider() as provider:
        yield provider


@pytest.fixture
def things(provider: DemoProvider) -> Things:
    """One build that everybody sees."""
    service = Things(provider)
    service.things["build"] = Thing("running")
    return service


@pytest.fixture
def plan(tmp_path: Path, provider: DemoProvider, things: Things) -> Plan:
    return Plan(tmp_path, skills=(*SKILLS, things_skill()), provider=provider, http=lambda: things)


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """Ada follows the build."""
    async with Bench.open(plan) as bench:
        await bench.link()
        await bench.say("!things watch build")
        yield bench


def sent(things: Things) -> list[str]:
    """Return the validators of all requests so far, in order."""
    return [one.validator for one in things.record]


# ------------------------------------------------------------------------------------------ what has changed


async def test_only_what_has_changed_is_sent_and_told(bench: Bench, things: Things) -> None:
    """The second look sends the tag of the first; a change brings another."""
    said = [await later(bench), await later(bench)]
    things.things["build"].state = "failing"
    said += [await later(bench, 60), await later(bench)]

    assert [["build is running for ada"], [], [], []] == said
    assert ["build is failing for ada"] == [reply.text for _, reply in bench.network.edits]
    running, failing = 'W/"ada-running"', 'W/"ada-failing"'
    assert ["", running, running, failing] == sent(things)
    assert [200, 304, 200, 304] == [one.status for one in things.record]


async def test_what_could_not_be_told_is_asked_for_anew(bench: Bench, things: Things) -> None:
    """Or the service would say that nothing has changed, and nobody would hear of it."""
    bench.network.close_dms(ADA)
    nothing = await later(bench)
    bench.network.open_dms(ADA)

    assert [] == nothing
    assert ["build is running for ada"] == await later(bench)
    assert ["", ""] == sent(things)


async def test_what_is_put_off_is_asked_for_anew(bench: Bench, things: Things) -> None:
    """A message that was edited just now is not edited again; what was not said is said later."""
    bench.network.limits = replace(bench.network.limits, edit_every=100)
    await later(bench)
    things.things["build"].state = "failing"
    await later(bench)
    before = len(bench.network.edits)
    await later(bench, 100)

    assert (0, 1) == (before, len(bench.network.edits))
    assert 'W/"ada-running"' == sent(things)[-1]


async def test_a_look_that_fails_leaves_nothing(plan: Plan, things: Things) -> None:
    """What it had got before it failed is got again."""
    skill, broken = Skill("half"), [True]

    @skill.follower()
    async def _look(ctx: FollowContext) -> Progress:
        found = await ctx.changed(f"{PREFIX}build")
        if broken.pop() if broken else False:
            raise ValueError
        return Progress(str(found and found["state"]), done=True)

    @skill.linked("demo")
    async def watch(ctx: LinkedContext) -> str:
        """Follow the build."""
        await ctx.follow(_look, "it")
        return ""

    async with Bench.open(replace(plan, skills=(*SKILLS, skill))) as bench:
        await bench.link()
        await bench.say("!half watch")
        nothing = await later(bench)

        assert [] == nothing
        assert ["running"] == await later(bench, 20)
        assert ["", ""] == sent(things)


async def test_a_validator_goes_where_it_came_from(plan: Plan, things: Things) -> None:
    """Not to another address, nor to the same with another query."""
    skill = Skill("several")
    things.things["other"] = Thing("running")  # which has the same tag

    @skill.follower()
    async def _look(ctx: FollowContext) -> Progress:
        await ctx.changed(f"{PREFIX}build")
        await ctx.changed(f"{PREFIX}build", page=2, per=None)
        await ctx.changed(f"{PREFIX}other")
        return Progress("")

    @skill.linked("demo")
    async def watch(ctx: LinkedContext) -> str:
        """Follow them."""
        await ctx.follow(_look, "them")
        return ""

    async with Bench.open(replace(plan, skills=(*SKILLS, skill))) as bench:
        await bench.link()
        await bench.say("!several watch")
        await later(bench)
        await later(bench)

    names = ["build", "build?page=2", "other"]
    assert [(name, "") for name in names] == [(one.name, one.validator) for one in things.record[:3]]
    assert [304, 304, 304] == [one.status for one in things.record[3:]]


async def test_another_account_brings_its_own(bench: Bench, things: Things) -> None:
    """What an account got that was replaced by a new link is not sent with that one's token."""
    await later(bench)
    await bench.link()
    await later(bench)

    assert ["", ""] == sent(things)


async def test_after_a_restart_it_is_asked_for_as_a_whole(plan: Plan, things: Things) -> None:
    """Nothing of it stands on the disk; what was said already is not said again."""
    async with Bench.open(plan) as bench:
        await bench.link()
        await bench.say("!things watch build")
        await later(bench)
    async with Bench.open(plan) as bench:
        await bench.say("!ping")
        assert [] == await later(bench, 20)

    assert ["", ""] == sent(things)


class _Answers:
    """An `Api` of which only `send` is called."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers
        self.sent: list[dict[str, str]] = []

    async def send(self, method: str, path: str, *, headers: dict[str, str], **_: object) -> object:
        self.sent.append(headers)
        return Response(200, self.headers, {}, "{}")


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({}, {}),
        ({"etag": '"a"'}, {"If-None-Match": '"a"'}),
        ({"last-modified": "Sun, 22 Nov 2026 19:00:00 GMT"}, {"If-Modified-Since": "Sun, 22 Nov 2026 19:00:00 GMT"}),
        ({"etag": "a\r\nHost: x"}, {}),
        ({"etag": "x" * 513}, {}),
        ({"last-modified": "now\n"}, {}),
    ],
)
async def test_what_is_no_validator_is_not_sent(headers: dict[str, str], sent: dict[str, str]) -> None:
    """A service that gives none is asked plainly; what could not stand in a header is left out."""
    last, api = LastLook(), _Answers(headers)
    last.begin("a-1")
    await last.changed(api, "/x", {})  # type: ignore[arg-type]
    last.keep()
    await last.changed(api, "/x", {})  # type: ignore[arg-type]

    assert [{}, sent] == api.sent


async def test_little_is_remembered() -> None:
    """The newest addresses, and no long ones."""
    last, api = LastLook(), _Answers({"etag": '"a"'})
    last.begin("a-1")
    for path in [*map(str, range(40)), "x" * 2000]:
        await last.changed(api, path, {})  # type: ignore[arg-type]
    last.keep()

    assert [f"{number}?" for number in range(24, 40)] == list(last._kept)
    assert {} == last._fresh


async def test_a_look_that_was_not_kept_is_forgotten() -> None:
    """Also if the next does not ask for the same."""
    last, api = LastLook(), _Answers({"etag": '"a"'})
    last.begin("a-1")
    await last.changed(api, "/x", {})  # type: ignore[arg-type]
    last.begin("a-1")
    await last.changed(api, "/y", {})  # type: ignore[arg-type]
    last.keep()

    assert ["/y?"] == list(last._kept)


# ------------------------------------------------------------------------------------------ how often


async def test_no_sooner_than_the_service_likes(bench: Bench, things: Things) -> None:
    """As long as its answers say so (X-Poll-Interval)."""
    things.headers = {"x-poll-interval": "60"}
    await later(bench)
    for _ in range(5):
        await later(bench, 11)
    early = len(things.record)
    await later(bench, 6)

    assert (1, 2) == (early, len(things.record))


@pytest.mark.parametrize("status", [0, 403, 429])
async def test_an_account_whose_limit_is_spent_asks_nothing(bench: Bench, things: Things, status: int) -> None:
    """Whatever is followed with it; another account's limit is another."""
    things.things["other"] = Thing("running")
    await bench.link(GRACE, "grace")
    await bench.say("!things watch build", GRACE)
    await later(bench, 2)
    things.headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "300"}
    things.status = status
    await later(bench)  # both are told
    await bench.say("!things watch other")
    things.headers, things.status = {}, 0
    things.record.clear()
    await later(bench, 250)
    waiting = list(things.record)
    await later(bench, 60)

    assert [] == waiting
    assert {Asked("ada", "other", "", 200)} <= set(things.record)
    assert {"ada", "grace"} == {one.user for one in things.record}


async def test_others_go_on_meanwhile(bench: Bench, things: Things) -> None:
    """A limit is the account's."""
    await bench.link(GRACE, "grace")
    things.headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "300"}
    await later(bench)
    things.headers = {}
    await bench.say("!things watch build", GRACE)
    things.record.clear()
    await later(bench, LOOK)

    assert ["grace"] == [one.user for one in things.record]
