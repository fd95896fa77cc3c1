"""What is meant by a name, and what is asked first; the rest is seen at a real home (tests/journeys)."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from omnibot import FollowContext, Progress, Upstream
from skills.homeassistant import _DOMAINS, _is_meant, _labels, _meant, _Thing, _watch

HOUSE = {
    "light.kitchen": "Kitchen ceiling",
    "light.office_desk": "Büro - Schreibtisch",
    "switch.coffee": "Coffee machine",
    "switch.coffee_2": "Coffee machine (2)",
    "media_player.tv": "TV",
    "lock.front": "Front door",
    "binary_sensor.front": "Front door",
    "cover.garage": "Garage",
    "cover.blind": "Blind",
    "sensor.x": "",
}


def thing(entity: str, state: str = "off", **attributes: str) -> _Thing:
    """One of the house."""
    name = HOUSE.get(entity)
    named = {"friendly_name": name} if name else {}
    return _Thing(entity, state, {**named, **attributes}, "2025-01-31T12:00:00+00:00")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("light.kitchen", ["light.kitchen"]),
        (" LIGHT.Kitchen ", ["light.kitchen"]),
        ("kitchen ceiling", ["light.kitchen"]),
        ("Kitchen", ["light.kitchen"]),
        ("ceil kit", ["light.kitchen"]),
        ("buro schreibtisch", ["light.office_desk"]),
        ("BÜRO-Schreibtisch", ["light.office_desk"]),
        ("office desk", ["light.office_desk"]),
        ("schreibtsich büro", []),
        ("buro schreibtsich", ["light.office_desk"]),
        ("coffee machine", ["switch.coffee"]),
        ("coffee", ["switch.coffee"]),
        ("machine", ["switch.coffee", "switch.coffee_2"]),
        ("coffe machnie", ["switch.coffee"]),
        ("front door", ["lock.front", "binary_sensor.front"]),
        ("fornt door", ["lock.front", "binary_sensor.front"]),
        ("tv", ["media_player.tv"]),
        ("oven", []),
        ("", []),
        ("-", []),
    ],
)
def test_what_a_name_may_mean(said: str, meant: list[str]) -> None:
    """Its id, its name, words of it, or a spelling that is nearly it; case and accents are as people type them."""
    assert meant == [one.id for one in _meant(said, [*map(thing, HOUSE)])]


def test_two_of_one_name_are_told_apart_by_their_ids() -> None:
    """And what has no name is called by it."""
    labels = _labels([thing("lock.front"), thing("binary_sensor.front"), thing("media_player.tv"), thing("sensor.x")])

    assert ["Front door (lock.front)", "Front door (binary_sensor.front)", "TV", "sensor.x"] == list(labels)


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        ("lights", {"light.kitchen", "light.office_desk"}),
        ("switch", {"switch.coffee", "switch.coffee_2"}),
        ("switches", {"switch.coffee", "switch.coffee_2"}),
        ("media players", {"media_player.tv"}),
        ("front", {"lock.front", "binary_sensor.front"}),
        ("on", {"cover.blind"}),
    ],
)
def test_a_list_is_narrowed_by_kind_state_or_name(wanted: str, listed: set[str]) -> None:
    """What cannot be switched is listed by its name only, not by its state."""
    house = [thing(one, "on" if one in ("cover.blind", "sensor.x") else "off") for one in HOUSE]

    assert listed == {one.id for one in house if _is_meant(one, wanted)}


@pytest.mark.parametrize("domain", ["lock", "alarm_control_panel", "siren", "valve", "cover"])
def test_what_lets_somebody_in_asks_first(domain: str) -> None:
    """So does a cover of which nothing is known."""
    assert thing(f"{domain}.x").asks
    assert thing("cover.garage", device_class="garage").asks


def test_a_blind_and_a_lamp_do_not_ask() -> None:
    """Nobody comes in by them."""
    assert not thing("cover.blind", device_class="blind").asks
    assert not thing("light.kitchen").asks
    assert not thing("light.kitchen", device_class="garage").asks
    assert {"scene", "script", "sensor", "button", "update"}.isdisjoint(_DOMAINS)


@dataclass
class Looks:
    """Stands in for a look's context: what Home Assistant says, or an error."""

    said: Any
    paths: list[str] = field(default_factory=list)

    async def changed(self, path: str) -> Any:
        self.paths.append(path)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


async def look(said: Any, before: str = "on", until: str = "") -> Progress:
    """Look once."""
    looks = Looks(said)
    found = await _watch.look(cast("FollowContext", looks), entity="switch.coffee", before=before, until=until)

    assert ["/states/switch.coffee"] == looks.paths
    return found


def state(value: str, **attributes: str) -> dict[str, Any]:
    """A state, as Home Assistant says it."""
    named = {"friendly_name": "Coffee *machine*", **attributes}
    return {"entity_id": "switch.coffee", "state": value, "attributes": named, "last_changed": "2025-01-31T12:00:00Z"}


@pytest.mark.parametrize("said", [None, state("on"), state("unavailable"), state("unknown")])
async def test_nothing_is_told_of_what_is_as_it_was_or_does_not_answer(said: Any) -> None:
    """A device that drops out for a moment has not changed."""
    assert Progress("") == await look(said)


async def test_a_change_is_told_and_ends_it() -> None:
    """What is measured has its unit; names do nothing."""
    assert Progress(r"**Coffee \*machine\*** is off now.", done=True) == await look(state("off"))
    warm = state("21.5", unit_of_measurement="°C")
    assert Progress(r"**Coffee \*machine\*** is 21.5 °C now.", done=True) == await look(warm)


async def test_another_change_than_the_awaited_one_is_not_told() -> None:
    """However often it changes."""
    assert Progress("") == await look(state("not_home"), before="", until="home")
    assert (await look(state("not_home"), before="", until="not home")).done


async def test_what_is_gone_is_followed_no_longer() -> None:
    """Trouble of any other kind is the engine's."""
    assert Progress("Your home has no switch.coffee any more.", done=True) == await look(Upstream("no", status=404))
    with pytest.raises(Upstream):
        await look(Upstream("no", status=503))
