"""OAuth 1.0a at two servers that are not ours: by redirect, and by a PIN that travels by hand.

The catalogue of these tests is their own: nobody wrote any code for what it names.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from journeys.walks import NOTHING, account_of, code_in, flows, heading, left, told
from omnibot import LinkedContext, Skill
from omnibot.catalogue import ProviderSettings
from omnibot.message import Channel
from omnibot.provider import Secret
from omnibot.testing.bench import ADA, GRACE, SKILLS, Bench, Plan
from servers.browser import HttpBrowser, Page
from servers.oauth1.oauthlib_server import OauthlibServer
from servers.oauth1.service import KEY, SECRET, OAuth1Service

WIRE = """
title: Wire
base: https://wire.example
ways: [{way}]
oauth1:
  request_url: "{{base}}{places.request}"
  authorize_url: "{{base}}{places.authorize}"
  token_url: "{{base}}{places.token}"
  revoke_request: {{method: POST, path: {places.revoke}}}
whoami: {{path: {places.whoami}, id: {places.login}, login: {places.login}}}
"""

LINKED = "Linked Wire as **{}**. Not you, or not meant? Say `!undo`."


def wire_skill(service: OAuth1Service) -> Skill:
    """Return a skill that posts at *service*, as the person."""
    wire = Skill("wire")

    @wire.linked("wire", effect="change")
    async def post(ctx: LinkedContext, text: str) -> str:
        """Post something."""
        await ctx.api.send("POST", service.places.posts, form={service.places.text: text})
        return "Posted."

    return wire


def wired(directory: Path, service: OAuth1Service, way: str) -> Plan:
    """Return a bot that knows *service* from YAML alone, and links it by *way*."""
    folder = directory / "catalogue"
    folder.mkdir(exist_ok=True)
    (folder / "wire.yaml").write_text(WIRE.format(way=way, places=service.places))
    settings = ProviderSettings(consumer_key=KEY, consumer_secret=Secret(SECRET), base=service.origin)
    skills = (*SKILLS, wire_skill(service))
    return Plan(directory, skills=skills, catalogue=folder, settings=(("wire", settings),))


@pytest.fixture
async def redirecting(tmp_path: Path, oauth1: OAuth1Service) -> AsyncIterator[Bench]:
    """A bot with a public address, to which browsers come back."""
    async with Bench.open(wired(tmp_path, oauth1, "redirect")) as bench:
        yield bench


@pytest.fixture(params=[True, False], ids=["public", "nowhere"])
async def asking(request: pytest.FixtureRequest, tmp_path: Path, oauth1: OAuth1Service) -> AsyncIterator[Bench]:
    """A bot that takes PINs, with a public address, and without one."""
    plan = replace(wired(tmp_path, oauth1, "pin"), public=request.param)
    async with Bench.open(plan) as bench:
        yield bench


async def walk(bench: Bench, login: str = "alice", refuse: str | None = None) -> Page:
    """Walk from the link that Ada was sent to the last page."""
    async with HttpBrowser(login) as browser:
        return await browser.walk(bench.link_for(), refuse=refuse)


async def pin_of(bench: Bench, login: str = "alice") -> str:
    """Return the PIN that the service shows *login* in the end."""
    page = await walk(bench, login)
    found = re.search(r'<kbd id="pin">(\w+)</kbd>', page.text)

    assert found is not None, page.text
    return found[1]


def posts(service: OAuth1Service) -> list[str]:
    """Return what was posted, by the service's own record."""
    return [line for line in service.record if line.startswith("post")]


# ------------------------------------------------------------------------------------- redirect


@pytest.mark.row("T7")
@pytest.mark.row("T10")
async def test_by_redirect(redirecting: Bench, oauth1: OAuth1Service) -> None:
    """The parked command runs as alice, whatever its text is made of; undo ends the token there."""
    bench, text = redirecting, "50% of ünï + more & all* ~ (really)"
    await bench.say(f"!wire post {text}")
    page = await walk(bench)
    answers = await bench.say(f"!confirm {code_in(page.text)}")
    undone = await bench.say("!undo")
    await bench.core.revoking.work()

    assert answers[0].startswith(LINKED.format("alice"))
    assert "Posted." == answers[1]
    assert [f"post by user=alice: {text}"] == posts(oauth1)
    assert undone[0].startswith("Wire as **alice** is unlinked")
    assert "revoked by user=alice" in oauth1.record
    assert NOTHING == await left(bench)


async def test_two_people_are_told_apart(redirecting: Bench, oauth1: OAuth1Service) -> None:
    """Each with a token of their own, and each command with the token of who speaks."""
    bench = redirecting
    for speaker, login in ((ADA, "alice"), (GRACE, "bob")):
        await bench.say("!link wire", speaker)
        async with HttpBrowser(login) as browser:
            page = await browser.walk(bench.link_for(speaker))
        await bench.say(f"!confirm {code_in(page.text)}", speaker)
    for speaker, text in ((GRACE, "of bob"), (ADA, "of alice")):
        await bench.say(f"!wire post {text}", speaker)

    assert ["post by user=bob: of bob", "post by user=alice: of alice"] == posts(oauth1)


async def test_no_by_redirect(redirecting: Bench, oauth1: OAuth1Service) -> None:
    """Deny comes back as ``denied``: page and chat know, and nothing is left."""
    bench = redirecting
    await bench.say("!wire post tea")
    page = await walk(bench, refuse="Deny")

    assert (403, "You said no") == (page.status, heading(page))
    assert "You refused at Wire: nothing is linked." in told(bench)[-1]
    assert [("refused", "denied")] == await flows(bench)
    assert NOTHING == await left(bench)
    assert [] == oauth1.record


# ------------------------------------------------------------------------------------------ PIN


@pytest.mark.row("T2")
@pytest.mark.row("T9")
@pytest.mark.row("T10")
async def test_by_pin(asking: Bench, oauth1: OAuth1Service) -> None:
    """Said in private it links at once, and what waited runs; the token can be taken back."""
    bench = asking
    await bench.say("!wire post tea")
    pin = await pin_of(bench)
    answers = await bench.say(f"!pin {pin}")
    status = (await account_of(bench)).status
    await bench.say("!undo")
    await bench.core.revoking.work()

    assert answers[0].startswith(LINKED.format("alice"))
    assert "Posted." == answers[1]
    assert "active" == status
    assert ["allowed by user=alice", "linked user=alice", "post by user=alice: tea", "revoked by user=alice"] == (
        oauth1.record
    )
    assert NOTHING == await left(bench)


async def test_a_wrong_pin_ends_it(asking: Bench, oauth1: OAuth1Service) -> None:
    """There is one try, also where the service would give another; a new link works."""
    bench = asking
    await bench.say("!link wire")
    pin = await pin_of(bench)
    wrong = await bench.say(f"!pin 9{pin[1:]}x")
    late = await bench.say(f"!pin {pin}")
    await bench.say("!link wire")
    again = await bench.say(f"!pin {await pin_of(bench)}")

    assert ["Wire did not take that PIN, and takes none twice. Say `!link wire` for a new link."] == wrong
    assert "I wait for no PIN" in late[0]
    assert [LINKED.format("alice")] == again
    assert 1 == oauth1.record.count("linked user=alice")


async def test_what_is_no_pin_is_not_tried(asking: Bench) -> None:
    """So a slip of the tongue costs nothing; nor does a PIN that is said too early."""
    bench = asking
    await bench.say("!link wire")
    slip = await bench.say("!pin ?!")
    pin = await pin_of(bench)
    answers = await bench.say(f"!pin `{pin}`")

    assert "That is no PIN of Wire's" in slip[0]
    assert [LINKED.format("alice")] == answers


async def test_a_pin_said_in_a_room_is_burnt(asking: Bench, oauth1: OAuth1Service) -> None:
    """It is taken off the room, not used, and said again in private it is worth nothing."""
    bench = asking
    room: Channel = bench.network.room("ops", ADA, GRACE)
    await bench.say("!link wire")
    pin = await pin_of(bench)
    await bench.say(f"!pin {pin}", ADA, room)
    late = await bench.say(f"!pin {pin}")

    assert [f"!pin {pin}"] == [message.text for message in bench.network.retracted]
    assert [] == [text for text in bench.network.public_texts() if pin in text]
    assert "I wait for no PIN" in late[0]
    assert [("refused", "seen")] == await flows(bench)
    assert "linked user=alice" not in oauth1.record
    assert NOTHING == await left(bench)


async def test_somebody_elses_pin(asking: Bench, oauth1: OAuth1Service) -> None:
    """It is worth nothing to whoever did not ask for the link, nor for a link of theirs."""
    bench = asking
    await bench.say("!link wire")
    pin = await pin_of(bench)
    without = await bench.say(f"!pin {pin}", GRACE)
    await bench.say("!link wire", GRACE)
    async with HttpBrowser("bob") as browser:
        await browser.walk(bench.link_for(GRACE))
    with_own = await bench.say(f"!pin {pin}", GRACE)
    answers = await bench.say(f"!pin {pin}")

    assert "I wait for no PIN" in without[0]
    assert "Wire did not take that PIN" in with_own[0]
    assert [LINKED.format("alice")] == answers
    assert [line for line in oauth1.record if line.startswith("linked")] == ["linked user=alice"]


async def test_no_by_pin(asking: Bench, oauth1: OAuth1Service) -> None:
    """Nobody tells the bot of a no; there is no PIN then, and the link ends with its time."""
    bench = asking
    await bench.say("!wire post tea")
    page = await walk(bench, refuse="Deny")
    bench.clock.pass_(1201)
    await bench.core.upkeep.sweep()

    assert "Denied" in page.text
    assert [("expired", "expired")] == await flows(bench)
    assert "Your Wire link has run out. `!wire post tea` was not run" in told(bench)[-1]
    assert NOTHING == await left(bench)
    assert [] == oauth1.record


async def test_a_pin_outlives_a_restart(tmp_path: Path, oauth1: OAuth1Service) -> None:
    """What binds the PIN to this bot lies in its database, boxed."""
    plan = replace(wired(tmp_path, oauth1, "pin"), public=False)
    async with Bench.open(plan) as first:
        await first.say("!wire post tea")
        pin = await pin_of(first)
    async with Bench.open(first.plan, first.clock) as second:
        answers = await second.say(f"!pin {pin}")

    assert [LINKED.format("alice"), "Posted."] == [answers[0].partition("\n")[0], answers[1]]
    assert ["post by user=alice: tea"] == posts(oauth1)


async def test_a_token_that_was_taken_back_is_missed(tmp_path: Path) -> None:
    """A person ends the permission at the service: the next command is answered with a link."""
    async with OauthlibServer() as service, Bench.open(wired(tmp_path, service, "pin")) as bench:
        await bench.say("!link wire")
        await bench.say(f"!pin {await pin_of(bench)}")
        service.store.tokens.clear()
        answers = await bench.say("!wire post tea")

    assert [] == posts(service)
    assert any("To connect **Wire**" in text for text in answers)
