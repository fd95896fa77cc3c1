"""`link`, `confirm`, `accounts`, `use`, `unlink`, `undo`, `whoami`: in private, and for the speaker alone."""

from dataclasses import replace
from typing import get_args

import pytest

from omnibot.accounts import Status
from omnibot.identity import Assurance, Guest
from omnibot.linking.flows import State
from omnibot.testing.bench import ADA, GRACE, Bench
from skills.accounts import _EVENTS, _STATUS


@pytest.mark.parametrize(
    "text",
    [
        *("!link demo", "!confirm BCDF-GHJK", "!accounts", "!unlink demo", "!undo", "!use demo", "!whoami"),
        *("!export me", "!forget me", "!audit", "!audit 3"),
    ],
)
async def test_all_of_it_is_private(bench: Bench, text: str) -> None:
    """A room sees at most that there is an answer; a guest is told why not."""
    await bench.link()
    room = bench.network.room("ops", ADA, GRACE)
    await bench.say(text, channel=room)
    shown = bench.network.texts(room)
    guest = await bench.say(text, Guest("fake", "bob"), room)

    assert all("in private" in one for one in shown)
    assert not [one for one in shown if "ada" in one.lower()]
    assert len(shown) <= 1
    assert 1 == len(guest)


async def test_the_way_from_a_link_to_its_end(bench: Bench) -> None:
    """As a person goes it."""
    await bench.link()
    listed = await bench.say("!accounts")
    used = await bench.say("!use demo@ada")
    gone = await bench.say("!unlink demo")

    assert ["- `demo@ada` Demo notes as **ada**: notes:read"] == listed
    assert ["From now on `demo` means Demo notes as **ada**."] == used
    assert ["Demo notes as **ada** is unlinked: erased here, and its token is being revoked."] == gone
    assert ["You have linked nothing yet. `!link SERVICE` begins."] == await bench.say("!accounts")


async def test_leaving_and_what_is_known(bench: Bench) -> None:
    """What is known is shown, then forgotten when that is meant."""
    await bench.link()
    known = await bench.say("!export me")
    asked = await bench.say("!forget me")
    gone = await bench.say("yes")

    assert '"login": "ada"' in known[0]
    assert ["Really `forget me`? Erase all that I know of you, and every account you linked."] == asked
    assert gone[0].startswith("I have forgotten you")
    assert '"login"' not in (await bench.say("!export me"))[0]


async def test_whoami_says_how_it_knows(bench: Bench) -> None:
    """How strongly this very message is vouched for."""
    await bench.network.hear("!whoami", ADA, assurance=Assurance.ACCOUNT)
    await bench.settle()
    said = bench.network.said[-1].reply.text

    assert "You are **Ada**, known to me as fake:u-1." in said
    assert "vouched for as `account`" in said
    assert "You have linked no account." in said


async def test_a_name_is_shown_harmless(bench: Bench) -> None:
    """A17: people choose their own."""
    said = await bench.say("!whoami", replace(ADA, display="**@everyone** <b>"))

    assert "**@everyone**" not in said[0].replace("\\*", "")
    assert said[0].startswith("You are **")


def test_every_status_has_words() -> None:
    """Of those that an account can have."""
    assert set(get_args(Status.__value__)) == set(_STATUS)


# -------------------------------------------------------------------------- what is on record


async def test_what_is_on_record_is_shown(bench: Bench) -> None:
    """Times, commands, as whom, how it ended, the latest first; nothing that was said, and nobody else's."""
    nothing = await bench.say("!audit")
    await bench.link()
    await bench.link(GRACE, "grace")
    await bench.say("!notes", ADA)
    await bench.say("!notes add buy milk", ADA)
    shown = (await bench.say("!audit"))[0].splitlines()
    one = (await bench.say("!audit 1"))[0].splitlines()

    assert ["Nothing is on record about you."] == nothing
    assert shown[0] == "What is on record about you, the latest first (times are UTC):"
    assert " `notes add` on fake: not linked" in shown[1]
    assert " asked for a link to `demo@default` on fake" in shown[2]
    assert " `notes` as `demo@default` on fake: done, 1 request" in shown[3]
    assert " linked `demo@default` on fake" in shown[4]
    assert " asked for a link to `demo@default` on fake" in shown[-1]
    assert "milk" not in "".join(shown)
    assert 2 == len(one)


async def test_what_a_service_calls_a_request_is_shown(bench: Bench) -> None:
    """So that it can be found in the service's own log."""
    await bench.link()
    bench.provider.fail("/api/notes", status=500, headers={"X-Request-Id": "req-0001"})
    await bench.say("!notes")
    shown = (await bench.say("!audit 1"))[0]

    assert "refused, or not done, by the service, 1 request" in shown
    assert shown.endswith("; the service calls it `req-0001`")


async def test_what_was_done_to_an_account_is_shown(bench: Bench) -> None:
    """In words."""
    await bench.link()
    await bench.say("!use demo@ada")
    await bench.say("!unlink demo")
    shown = (await bench.say("!audit 2"))[0].splitlines()

    assert [" unlinked `demo@default` on fake", " chose what a service's name means: `demo@default` on fake"] == [
        line[len("- 2026-01-01 00:00") :] for line in shown[1:]
    ]


@pytest.mark.parametrize("count", ["0", "51", "-1"])
async def test_only_so_much_is_shown(bench: Bench, count: str) -> None:
    """It has to fit a reply."""
    assert ["I show 1 to 50 entries. `!export me` shows more of what I know."] == await bench.say(f"!audit {count}")


def test_whatever_is_recorded_of_people_has_words() -> None:
    """Of links, each state in which one ends."""
    states = [one for one in get_args(State) if one not in ("open", "exchanging", "linked")]

    assert {f"link.{one}" for one in states} <= set(_EVENTS)
