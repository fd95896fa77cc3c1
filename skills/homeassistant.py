"""Your home at Home Assistant: see how things stand, switch them, call scenes, and hear when something changes.

Source: developers.home-assistant.io, "REST API" (/api/states, /api/services); what a domain's services are
called, and what its states are, as each integration's page at www.home-assistant.io tells.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from omnibot import FollowContext, LinkedContext, Progress, Skill, Upstream, UserError, fmt

skill = Skill("homeassistant", aliases=["ha", "home"])

_LISTED = 10
_LONGEST_NAME = 80
_NEAREST = 3
_FOLLOW_SECONDS = 7 * 86400.0
_ALIKE = 0.75
"""From which likeness on (0 to 1, as difflib counts) another spelling is taken for a typing error."""

_AS_GOOD = 0.05
"""Two that are this close to each other in likeness are both meant, perhaps: then it is asked."""

_ENTITY = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
_NOT_THERE = frozenset({"unavailable", "unknown"})
_OFF = frozenset({"off", "standby", "unlocked", "closed", "disarmed"})
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


@dataclass(frozen=True, slots=True)
class _Domain:
    """How things of one domain are switched: by which services, and what that is called before it and after."""

    on: str = "turn_on"
    off: str = "turn_off"
    on_words: tuple[str, str] = ("turn on", "Turned on")
    off_words: tuple[str, str] = ("turn off", "Turned off")
    asks: bool = False
    """Whether a slip of the tongue would let somebody in, lock them out, or wake the street."""


_PLAIN = _Domain()
_OPENS = (("open", "Opened"), ("close", "Closed"))
_DOMAINS = {
    **dict.fromkeys(("automation", "climate", "fan", "group", "humidifier", "input_boolean", "light"), _PLAIN),
    **dict.fromkeys(("media_player", "remote", "switch", "water_heater"), _PLAIN),
    "siren": _Domain(asks=True),
    "lock": _Domain("lock", "unlock", ("lock", "Locked"), ("unlock", "Unlocked"), asks=True),
    "cover": _Domain("open_cover", "close_cover", *_OPENS, asks=True),
    "valve": _Domain("open_valve", "close_valve", *_OPENS, asks=True),
    "alarm_control_panel": _Domain(
        "alarm_arm_away", "alarm_disarm", ("arm", "Armed"), ("disarm", "Disarmed"), asks=True
    ),
}
_HARMLESS = frozenset({"awning", "blind", "curtain", "damper", "shade", "shutter"})
"""Classes of covers that nobody comes in by."""


@dataclass(frozen=True, slots=True)
class _Thing:
    """An entity, as it stands."""

    id: str
    state: str
    attributes: dict[str, Any]
    since: str

    @property
    def domain(self) -> str:
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        return str(self.attributes.get("friendly_name") or self.id)

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called, in the form in which names are compared."""
        return _folded(self.name), _folded(self.id.partition(".")[2])

    @property
    def shown(self) -> str:
        """Its state, with what it is measured in."""
        if self.domain == "scene":  # its state is when it was called last
            return "a scene"
        unit = self.attributes.get("unit_of_measurement")
        return f"{self.state} {unit}" if unit else self.state.replace("_", " ")

    @property
    def asks(self) -> bool:
        harmless = self.domain == "cover" and self.attributes.get("device_class") in _HARMLESS
        return _DOMAINS[self.domain].asks and not harmless


@skill.linked("homeassistant")
async def list_(ctx: LinkedContext, what: str = "") -> str:
    """List what can be switched, or what you name.

    Args:
        what: `lights`, `on`, or words of the names, such as a room
    """
    found = await _things(ctx)
    wanted = _folded(what)
    chosen = [one for one in found if _is_meant(one, wanted)] if wanted else [*filter(_is_switched, found)]
    if not chosen:
        nothing = fmt("I see nothing at your home that is called {}, or of that kind.", what.strip())
        return nothing if wanted else "I see nothing at your home that can be switched."
    chosen.sort(key=lambda one: (one.domain, one.names))
    lines: list[str] = [fmt("- **{}**: {}", label, one.shown) for label, one in _labels(chosen[:_LISTED]).items()]
    if len(chosen) > _LISTED:
        lines.append(f"… and {len(chosen) - _LISTED} more: name a kind, a state or a room")
    return "\n".join(lines)


@skill.linked("homeassistant")
async def state(ctx: LinkedContext, name: str) -> str:
    """Tell how something at home stands.

    Args:
        name: what it is called there, or its entity id
    """
    thing = await _named(ctx, name)
    return fmt("**{}** is {}{} ({}).", thing.name, thing.shown, _for_how_long(thing), thing.id)


@skill.linked("homeassistant", effect="change")
async def on(ctx: LinkedContext, name: str) -> str:
    """Turn something on; a lock is locked, a cover opened.

    Args:
        name: what it is called there, or its entity id
    """
    return await _switch(ctx, await _named(ctx, name, _is_switched), to_on=True)


@skill.linked("homeassistant", effect="change")
async def off(ctx: LinkedContext, name: str) -> str:
    """Turn something off; a lock is unlocked, a cover closed.

    Args:
        name: what it is called there, or its entity id
    """
    return await _switch(ctx, await _named(ctx, name, _is_switched), to_on=False)


@skill.linked("homeassistant", effect="change")
async def toggle(ctx: LinkedContext, name: str) -> str:
    """Turn something on that is off, and off that is on.

    Args:
        name: what it is called there, or its entity id
    """
    thing = await _named(ctx, name, _is_switched)
    return await _switch(ctx, thing, to_on=thing.state in _OFF)


@skill.linked("homeassistant", effect="change")
async def scene(ctx: LinkedContext, name: str = "") -> str:
    """Call a scene; without a name, list them.

    Args:
        name: what it is called there, or its entity id
    """
    if name.strip():
        thing = await _named(ctx, name, _is_scene)
        await _call(ctx, thing, "turn_on")
        return fmt("**{}** it is.", thing.name)
    found = sorted(_labels(list(filter(_is_scene, await _things(ctx)))))
    more = [f"… and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
    return "\n".join([*(fmt("- {}", one) for one in found[:_LISTED]), *more]) or "Your home has no scenes."


@skill.follower(every=5.0)
async def _watch(ctx: FollowContext, entity: str, before: str, until: str) -> Progress:
    """Look at *entity*, until it is no longer as *before*; or, where that is said, until it is *until*."""
    try:
        found = await ctx.changed(f"/states/{entity}")
    except Upstream as error:
        if error.status != 404:
            raise
        return Progress(fmt("Your home has no {} any more.", entity), done=True)
    thing = _read(found) if found is not None else None
    if thing is None or thing.state in _NOT_THERE or thing.state == before:
        return Progress("")
    if until and _folded(thing.state) != until:
        return Progress("")
    return Progress(fmt("**{}** is {} now.", thing.name, thing.shown), done=True)


@skill.linked("homeassistant")
async def follow(ctx: LinkedContext, name: str, *, until: str = "") -> str:
    """Tell me when something at home changes, once.

    Args:
        name: what it is called there, or its entity id
        until: the state that you wait for, such as `off`
    """
    thing = await _named(ctx, name)
    wanted = _folded(until)
    if wanted and wanted == _folded(thing.state):
        return fmt("**{}** is {} already.", thing.name, thing.shown)
    title = fmt("{} at home", _cut(thing.name))
    before = "" if wanted else thing.state
    await ctx.follow(_watch, title, lasting=_FOLLOW_SECONDS, entity=thing.id, before=before, until=wanted)
    change = fmt("is {}", until.strip()) if wanted else "changes"
    return fmt("**{}** is {} now. I tell you when it {}.", thing.name, thing.shown, change)


# ------------------------------------------------------------------ acting


async def _switch(ctx: LinkedContext, thing: _Thing, *, to_on: bool) -> str:
    """Turn *thing* on or off, and say how it stands then; what needs care is asked first."""
    domain = _DOMAINS[thing.domain]
    if thing.state in _NOT_THERE:
        raise UserError(fmt("{} does not answer at your home just now.", thing.name))
    before, after = domain.on_words if to_on else domain.off_words
    if thing.asks and await ctx.choose(fmt("Really {} **{}**?", before, thing.name), ("yes", "no")) != "yes":
        return fmt("Then **{}** stays as it is.", thing.name)
    changed = await _call(ctx, thing, domain.on if to_on else domain.off)
    now = next((_read(one) for one in changed if one["entity_id"] == thing.id), thing)
    if (now.state in _OFF) == to_on:  # devices take their time, and some do as they like
        return fmt("I have asked your home to {} **{}**; so far it is {}.", before, thing.name, now.shown)
    return fmt("{} **{}**.", after, thing.name)


async def _call(ctx: LinkedContext, thing: _Thing, service: str) -> list[dict[str, Any]]:
    """Do *service* to *thing*; return what changed at once."""
    domain = "homeassistant" if thing.domain == "group" else thing.domain
    try:
        found = await ctx.api.post(f"/services/{domain}/{service}", {"entity_id": thing.id})
    except Upstream as error:
        if error.status not in (400, 500):  # its own words may hold anything, so they are not repeated
            raise
        why = "It may not be able to, or want a code, which is nothing to say in a chat: there is your home's own page."
        raise UserError(fmt("Your home did not do that to {}. {}", thing.name, why)) from None
    return list(found)


# ----------------------------------------------------------------- finding


async def _named(ctx: LinkedContext, name: str, fits: Callable[[_Thing], bool] | None = None) -> _Thing:
    """Return the one thing that the person calls *name*, among those that *fit*; asked for, if it may be several."""
    if len(name) > _LONGEST_NAME:
        raise UserError(f"Nothing at home is called by more than {_LONGEST_NAME} characters.")
    found = await _things(ctx, name.strip().lower())
    meant = _meant(name, [one for one in found if fits is None or fits(one)])
    if not meant:
        raise UserError(_unknown(ctx, name, found, fits))
    if len(meant) > _LISTED:
        raise UserError(fmt("{} things at your home could be called {}. Say more of the name.", len(meant), name))
    labels = _labels(meant)
    if len(labels) == 1:
        return meant[0]
    return labels[await ctx.choose("Which one?", tuple(labels))]


def _meant(name: str, things: Sequence[_Thing]) -> list[_Thing]:
    """Return what *name* may mean: by its id, its name, words of its name, or a name that is nearly the same."""
    wanted = _folded(name)
    words = wanted.split()
    by_id = [one for one in things if one.id == name.strip().lower()]
    by_name = [one for one in things if wanted in one.names]
    by_words = [one for one in things if words and any(_has_words(own, words) for own in one.names)]
    return by_id or by_name or by_words or _alike(wanted, things)


def _alike(wanted: str, things: Sequence[_Thing]) -> list[_Thing]:
    likeness = {one.id: max(_likeness(wanted, own[:_LONGEST_NAME]) for own in one.names) for one in things}
    best = max(likeness.values(), default=0.0)
    return [one for one in things if best >= _ALIKE and likeness[one.id] >= best - _AS_GOOD]


def _unknown(ctx: LinkedContext, name: str, things: Sequence[_Thing], fits: Callable[[_Thing], bool] | None) -> str:
    """Return what to say where nothing that *fits* is called *name*."""
    other = _meant(name, things) if fits is not None else []
    if other:
        way = "called as a scene" if fits is _is_scene else "switched"
        return fmt("{} ({}) cannot be {}.", other[0].name, other[0].id, way)
    known = _labels([one for one in things if fits is None or fits(one)])
    near = sorted(known, key=lambda one: -max(_likeness(_folded(name), own) for own in known[one].names))[:_NEAREST]
    nearest = fmt(" The nearest: {}.", ", ".join(near)) if near else ""
    listed = "ha scene" if fits is _is_scene else "ha list"
    return f"{fmt('I see nothing at your home that is called {}.', name)}{nearest} `{ctx.prefix}{listed}` lists it."


async def _things(ctx: LinkedContext, entity: str = "") -> list[_Thing]:
    """Return all that the person sees; where *entity* is one's id, that alone, which is far less to fetch."""
    if _ENTITY.fullmatch(entity):
        try:
            return [_read(await ctx.api.get(f"/states/{entity}"))]
        except Upstream as error:
            if error.status != 404:
                raise
    return [_read(one) for one in await ctx.api.get("/states")]


def _read(said: Any) -> _Thing:
    return _Thing(said["entity_id"], said["state"], said["attributes"], said["last_changed"])


def _is_switched(thing: _Thing) -> bool:
    return thing.domain in _DOMAINS


def _is_scene(thing: _Thing) -> bool:
    return thing.domain == "scene"


def _is_meant(thing: _Thing, wanted: str) -> bool:
    """Whether a list of what is *wanted* has *thing*: by its kind, its state, or words of its name."""
    kind = _folded(thing.domain)
    by_kind = wanted in {f"{one}{end}" for one in (kind, kind.split()[0]) for end in ("", "s", "es")}
    by_state = _is_switched(thing) and wanted == _folded(thing.state)
    return by_kind or by_state or any(_has_words(own, wanted.split()) for own in thing.names)


def _has_words(name: str, words: Iterable[str]) -> bool:
    """Whether each of *words* begins a word of *name*."""
    own = name.split()
    return all(any(one.startswith(word) for one in own) for word in words)


def _labels(things: Sequence[_Thing]) -> dict[str, _Thing]:
    """Return *things* by what tells them apart: their names, or their ids where two have the same."""
    names = [_folded(one.name) for one in things]
    return {one.name if names.count(_folded(one.name)) == 1 else f"{one.name} ({one.id})": one for one in things}


def _folded(name: str) -> str:
    """Return *name* without case, accents and punctuation, which people type as they please."""
    plain = "".join(one for one in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(one))
    return " ".join(re.findall(r"[^\W_]+", plain))


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _for_how_long(thing: _Thing) -> str:
    """Return since when it stands so, roughly; nothing for what always changes."""
    if thing.domain == "scene" or thing.state in _NOT_THERE:
        return ""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(thing.since)).total_seconds()
    for size, unit in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f", for {count} {unit}{'s' if count > 1 else ''}"
    return ", since just now"


def _cut(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:80]}…"
