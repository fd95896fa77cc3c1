"""What is counted is counted under few names, and costs next to nothing."""

from pathlib import Path

import pytest

from omnibot.demo.provider import DemoProvider
from omnibot.errors import Denied, StorageTrouble, Upstream, UserError
from omnibot.tally import NAMED, OTHER, Counter, Histogram, Tally, service_label
from omnibot.testing import Bench, Plan
from omnibot.wire import Answer


def test_a_counter_counts_by_its_labels() -> None:
    counter = Counter("omnibot_things", "Things.", ["kind"])
    counter.add("a")
    counter.add("a", by=2)
    counter.add("b")
    assert {("a",): 3, ("b",): 1} == counter.values
    assert 4 == counter.total


def test_labels_are_as_many_as_the_family_has() -> None:
    with pytest.raises(AssertionError):
        Counter("omnibot_things", "Things.", ["kind"]).add("a", "b")


def test_what_comes_beyond_the_bound_is_one_series() -> None:
    """Of counters and of histograms: a name that somebody makes up fills no memory."""
    counter = Counter("omnibot_things", "Things.", ["kind", "colour"], most=3)
    histogram = Histogram("omnibot_seconds", "Seconds.", ["kind"], (1.0,), most=3)
    for number in range(1000):
        counter.add(str(number), "red")
        histogram.add(0.5, str(number))
    assert 4 == len(counter.values) == len(histogram.values)
    assert 997 == counter.values[OTHER, OTHER] == histogram.values[OTHER,].buckets[0]
    counter.add("0", "red")
    assert 2 == counter.values["0", "red"]


def test_a_histogram_has_a_bucket_up_to_and_with_each_bound() -> None:
    histogram = Histogram("omnibot_seconds", "Seconds.", [], (1.0, 2.0))
    for seconds in (0.0, 1.0, 1.5, 2.0, 2.1):
        histogram.add(seconds)
    assert [2, 2, 1] == histogram.values[()].buckets
    assert histogram.values[()].sum == pytest.approx(6.6)


def test_hosts_that_people_named_have_no_name() -> None:
    assert "redmine@work" == service_label("redmine@work", by_operator=True)
    assert NAMED == service_label("redmine@secret.example", by_operator=False)


@pytest.mark.parametrize(("status", "shown"), [(200, "2xx"), (404, "4xx"), (503, "5xx"), (999, OTHER)])
async def test_requests_are_counted_by_the_class_of_their_status(status: int, shown: str) -> None:
    async def sending() -> Answer:
        return Answer(status)

    tally = Tally()
    assert status == (await tally.requested("demo@default", sending())).status
    assert {("demo@default", shown): 1} == tally.requests.values
    assert 1 == sum(tally.request_seconds.values["demo@default",].buckets)


async def test_a_request_without_an_answer_is_counted_too() -> None:
    async def sending() -> Answer:
        raise Upstream("gone")

    tally = Tally()
    with pytest.raises(Upstream):
        await tally.requested("demo@default", sending())
    assert {("demo@default", "none"): 1} == tally.requests.values


async def test_a_linked_command_is_counted_all_along_its_way(tmp_path: Path) -> None:
    """Messages, command, replies, request, and the steps of its link."""
    async with DemoProvider() as provider, Bench.open(Plan(tmp_path, provider=provider)) as bench:
        tally = bench.core.tally
        await bench.link()
        await bench.say("!notes")
        await bench.settle()
        assert tally.messages.values["fake",] >= 2
        assert tally.commands.values["notes", "notes", "done"] >= 1
        assert tally.replies.values["fake", "sent"] >= 2
        assert {"2xx"} == {status for (_, status) in tally.requests.values}
        assert {"begun", "pending", "confirmed"} <= {step for (_, step) in tally.links.values}
        assert sum(sum(one.buckets) for one in tally.command_seconds.values.values()) == tally.commands.total
        assert 0 == tally.failures


def test_the_outcome_is_one_of_a_few_words() -> None:
    """Whatever a skill raises, and whatever it calls its errors."""
    from omnibot.dispatcher import _kind

    assert "denied" == _kind(Denied("no"))
    assert "user_error" == _kind(UserError("no"))
    assert "upstream" == _kind(Upstream("no"))
    assert "storage" == _kind(StorageTrouble("full", "here"))
    assert "timeout" == _kind(TimeoutError())
    assert "failed" == _kind(type("Canary4711", (Exception,), {})())
