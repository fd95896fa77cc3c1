"""`link`, `confirm`, `accounts`, `use`, `unlink`, `undo`, `whoami`: in private, and for the speaker alone."""

from dataclasses import replace
from typing import get_args

import pytest

from omnibot.accounts import Status
from omnibot.identity import Assurance, Guest
from omnibot.testing.bench import ADA, GRACE, Bench
from skills.accounts import _STATUS


@pytest.mark.parametrize(
    "text",
    [
        *("!link demo", "!confirm BCDF-GHJK", "!accounts", "!unlink demo", "!undo", "!use demo", "!whoami"),
        *("!export me", "!forget me"),
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
