"""A person lets the bot switch their lamp at a real Home Assistant, which notes that they did it.

Both ends are real: Home Assistant as it is published, and the contexts that it keeps of who did what.
"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omnibot.catalogue import ProviderSettings
from omnibot.identity import Identity
from omnibot.testing.bench import ADA, GRACE, Bench, Plan
from omnibot.wire import origin_of
from servers.browser import HttpBrowser
from servers.homeassistant.server import Change, HomeAssistant

SKILLS = ("accounts", "following", "homeassistant")


@pytest.fixture
def plan(tmp_path: Path, homeassistant: HomeAssistant) -> Plan:
    """A bot that knows one home by its address alone."""
    return Plan(tmp_path, skills=SKILLS, settings=(("homeassistant", ProviderSettings(base=homeassistant.url)),))


@pytest.fixture
async def bench(plan: Plan) -> AsyncIterator[Bench]:
    """That bot, with a public address."""
    async with Bench.open(plan) as bench:
        yield bench


async def authorise(bench: Bench, server: HomeAssistant, login: str, speaker: Identity = ADA) -> str:
    """Go from the link that *speaker* was sent through Home Assistant's log-in, as *login*, to the code."""
    async with HttpBrowser(login) as browser:
        page = await browser.walk(bench.link_for(speaker), stop=f"{server.url}/auth/authorize")
        page = await server.allow(browser, page.url)
    code = re.search(r"<code>([A-Z]{4}-[A-Z]{4})</code>", page.text)
    assert code is not None, page.text
    return code[1]


async def link(bench: Bench, server: HomeAssistant, login: str = "alice", speaker: Identity = ADA) -> list[str]:
    """Link the home's *login* for *speaker*; return what was said."""
    await bench.say("!link homeassistant", speaker)
    return await bench.say(f"!confirm {await authorise(bench, server, login, speaker)}", speaker)


@pytest.mark.row("T10")
async def test_a_parked_command_is_done_in_the_persons_own_name(bench: Bench, homeassistant: HomeAssistant) -> None:
    """Ada, who is bob there, asks; his log-in, the code, and the lamp is on, by bob."""
    asked = await bench.say("!ha on desk lamp")
    code = await authorise(bench, homeassistant, "bob")
    done = await bench.say(f"!confirm {code}")

    assert "To connect **Home Assistant**" in asked[0]
    assert done[0].startswith("Linked Home Assistant as **bob**.")
    assert ["Turned on **Desk lamp**."] == done[1:]
    assert Change("on", "bob") == await homeassistant.change("input_boolean.desk")


@pytest.mark.row("T10")
async def test_each_switches_as_themselves(bench: Bench, homeassistant: HomeAssistant) -> None:
    """The record has another name for each of two."""
    await link(bench, homeassistant, "alice")
    await link(bench, homeassistant, "bob", GRACE)
    await bench.say("!ha off heater")
    await bench.say("!ha toggle kitchen ceiling", GRACE)

    assert Change("off", "alice") == await homeassistant.change("input_boolean.heater")
    assert Change("on", "bob") == await homeassistant.change("input_boolean.ceiling")


async def test_a_house_is_seen_and_switched(bench: Bench, homeassistant: HomeAssistant) -> None:
    """Lists, states, fuzzy names, scenes, and a question where several are meant."""
    await link(bench, homeassistant)
    listed = await bench.say("!ha list")
    lights = await bench.say("!ha list lights")
    lamps = await bench.say("!home list lamp")
    state = await bench.say("!ha state heater")
    accents = await bench.say("!ha on cafe LAMP")
    typed = await bench.say("!ha on hetaer")
    by_id = await bench.say("!homeassistant toggle light.kitchen_ceiling")
    which = await bench.say("!ha toggle lamp")
    chosen = await bench.say("Desk")
    scenes = await bench.say("!ha scene")
    evening = await bench.say("!ha scene good nihgt")
    desk = await homeassistant.change("input_boolean.desk")
    nobody = await bench.say("!ha on oven")

    assert "- **Front door**: locked" in listed[0]
    assert "- **Garage**: closed" in listed[0]
    assert ["- **Kitchen ceiling**: off"] == lights
    assert ["- **Café lamp**: off\n- **Desk lamp**: off"] == lamps
    assert re.fullmatch(r"\*\*Heater\*\* is on, .*\(input_boolean\.heater\)\.", state[0])
    assert ["Turned on **Café lamp**."] == accents
    assert ["Turned on **Heater**."] == typed
    assert ["Turned on **Kitchen ceiling**."] == by_id
    assert which[0].startswith("Which one?")
    assert ["Turned on **Desk lamp**."] == chosen
    assert ["- Evening\n- Good night"] == scenes
    assert ["**Good night** it is."] == evening
    assert Change("off", "alice") == desk
    assert nobody[0].startswith("I see nothing at your home that is called oven. The nearest: ")


async def test_a_door_is_opened_by_a_yes_only(bench: Bench, homeassistant: HomeAssistant) -> None:
    """Locks and garage doors ask first."""
    await link(bench, homeassistant)
    asked = await bench.say("!ha off front door")
    no = await bench.say("no")
    still = await homeassistant.change("lock.front_door")
    await bench.say("!ha off front door")
    yes = await bench.say("yes")
    garage = await bench.say("!ha on garage")
    opened = await bench.say("yes")

    assert ["Really unlock **Front door**?"] == asked
    assert ["Then **Front door** stays as it is."] == no
    assert "locked" == still.state
    assert "**Front door**" in yes[0]
    assert Change("off", "alice") == await homeassistant.change("input_boolean.bolt")
    assert ["Really open **Garage**?"] == garage
    assert "**Garage**" in opened[0]
    assert Change("on", "alice") == await homeassistant.change("input_boolean.gate")


async def test_what_home_assistant_refuses_is_said_in_our_own_words(bench: Bench, homeassistant: HomeAssistant) -> None:
    """An alarm that wants a code is not armed, and the code is not asked for in a chat."""
    await link(bench, homeassistant)
    asked = await bench.say("!ha on alarm")
    said = await bench.say("yes")
    sensor = await bench.say("!ha on evening")

    assert ["Really arm **Alarm**?"] == asked
    assert said[0].startswith("Your home did not do that to Alarm. It may not be able to, or want a code")
    assert ["Evening (scene.evening) cannot be switched."] == sensor
    assert "disarmed" == (await homeassistant.change("alarm_control_panel.alarm")).state


async def test_what_changes_is_told(bench: Bench, homeassistant: HomeAssistant) -> None:
    """Whoever changes it; then it is followed no longer."""
    await link(bench, homeassistant)
    followed = await bench.say("!ha follow heater")
    already = await bench.say("!ha follow heater --until on")
    count = len(bench.network.said)
    bench.clock.pass_(10)
    await bench.settle()
    quiet = len(bench.network.said)
    await homeassistant.call("input_boolean/turn_off", "input_boolean.heater")
    bench.clock.pass_(10)
    await bench.settle()
    told = bench.network.said[-1].text

    assert ["**Heater** is on now. I tell you when it changes."] == followed
    assert ["**Heater** is on already."] == already
    assert count == quiet
    assert "**Heater** is off now." == told
    assert [] == await bench.rows("SELECT * FROM follows")


async def test_by_a_long_lived_token(bench: Bench, homeassistant: HomeAssistant) -> None:
    """It is a key of its owner's; what is none is not kept."""
    token = await homeassistant.new_token("bob")
    wrong = await bench.say("!link homeassistant no-token-at-all")
    linked = await bench.say(f"!link homeassistant {token}")
    await bench.say("!ha on desk lamp")

    assert "Linked" not in wrong[0]
    assert linked[0].startswith("Linked Home Assistant as **bob**.")
    assert Change("on", "bob") == await homeassistant.change("input_boolean.desk")


async def test_unlinking_revokes_the_link_there(bench: Bench, homeassistant: HomeAssistant) -> None:
    """The home's own list of who may act as alice is empty again."""
    await link(bench, homeassistant)
    before = await homeassistant.links("alice")
    said = await bench.say("!unlink homeassistant")
    await bench.core.revoking.work()

    assert [f"{origin_of(bench.link_for())}/"] == before
    assert said == ["Home Assistant as **alice** is unlinked: erased here, and its token is being revoked."]
    assert [] == await homeassistant.links("alice")
    assert [] == await bench.rows("SELECT * FROM revocations")


async def test_a_token_is_renewed_and_the_refresh_token_stays(bench: Bench, homeassistant: HomeAssistant) -> None:
    """After its half an hour: the answer has no other refresh token, and the one there was is good ever after."""
    await link(bench, homeassistant)
    before = len(homeassistant.asked("/auth/token"))
    for _ in range(2):
        bench.clock.pass_(1900)
        assert (await bench.say("!ha state heater"))[0].startswith("**Heater** is on")

    assert before + 2 == len(homeassistant.asked("/auth/token"))
    assert 1 == len(await homeassistant.links("alice"))


async def test_a_link_that_the_person_ended_there_is_asked_for_again(
    bench: Bench, homeassistant: HomeAssistant
) -> None:
    """Home Assistant answers 401, and takes the refresh token no more."""
    await link(bench, homeassistant)
    await homeassistant.revoke_tokens("alice")
    said = await bench.say("!ha state heater")

    assert "Home Assistant no longer accepts your link." in said[0]
    assert "To connect **Home Assistant**" in said[0]
