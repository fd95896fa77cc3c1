"""Application commands: what Discord takes, and how a person fills one in (Application Commands)."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from servers.discord.calls import Api, Call
from servers.discord.errors import choice, distinct, invalid, items, number, refusal, text
from servers.discord.wire import Clock, Json

SUB, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = range(1, 12)
GUILD_INSTALL, USER_INSTALL = 0, 1
IN_GUILD, IN_BOT_DM, IN_PRIVATE = 0, 1, 2

_SCRIPTS = ("DEVANAGARI", "THAI")
_KINDS: Mapping[int, tuple[type, ...]] = {INTEGER: (int,), BOOLEAN: (bool,), NUMBER: (int, float)}


@dataclass
class Commands:
    """The commands that the application has registered, global ones under the empty guild."""

    application_id: str
    clock: Clock
    registered: dict[str, list[Json]] = field(default_factory=dict)

    def routes(self, api: Api) -> list[web.RouteDef]:
        """Return the routes."""
        places = "/applications/{app}/commands", "/applications/{app}/guilds/{guild}/commands"
        puts = [api.route("PUT", one, self.put) for one in places]
        return [*puts, *(api.route("GET", one, self.get) for one in places)]

    async def put(self, call: Call) -> Sequence[Json]:
        """Bulk Overwrite Application Commands, global or of a guild."""
        self._own(call)
        guild = call.params.get("guild", "")
        given = items(call.body, "", 100)
        for at, one in enumerate(given):
            check(one, str(at))
        distinct([str(one["name"]) for one in given], "", "APPLICATION_COMMANDS_DUPLICATE_NAME")
        before = {one["name"]: one["id"] for one in self.registered.get(guild, ())}
        self.registered[guild] = [self._made(one, before.get(one["name"]), guild) for one in given]
        return self.registered[guild]

    async def get(self, call: Call) -> Sequence[Json]:
        """Get Application Commands, global or of a guild."""
        self._own(call)
        return self.registered.get(call.params.get("guild", ""), [])

    def find(self, name: str, guild: str, context: int, *, invited: bool, installed: bool) -> Json:
        """Return the command *name* as *context* offers it: the bot was *invited* there, or *installed* by who asks.

        Raises:
            AssertionError: nobody would be offered such a command there.
        """
        offered: list[Json] = [*(self.registered.get(guild, ()) if guild else ()), *self.registered.get("", ())]
        for one in offered:
            if one["name"] == name and _is_offered(one, guild, context, invited=invited, installed=installed):
                return one
        raise AssertionError(f"/{name} is not offered there; registered are {sorted(one['name'] for one in offered)}")

    def _own(self, call: Call) -> None:
        if call.params["app"] != self.application_id:
            raise refusal(10002)

    def _made(self, one: Json, before: str | None, guild: str) -> Json:
        made = {"description": "", "options": [], "nsfw": False, "default_member_permissions": None, "type": 1, **one}
        made |= {"id": before or self.clock.snowflake(), "application_id": self.application_id}
        made["version"] = self.clock.snowflake()
        if guild:
            return made | {"guild_id": guild}
        made["integration_types"] = one.get("integration_types") or [GUILD_INSTALL]
        made["contexts"] = one.get("contexts")
        return made


# ------------------------------------------------------------------ what is taken


def check(one: Json, where: str) -> None:
    """Check that Discord would take the command.

    Raises:
        ApiError: it would not.
    """
    choice(one.get("type", 1), f"{where}.type", (1,))
    _check_name(one.get("name"), f"{where}.name")
    text(one.get("description"), f"{where}.description", 100, 1)
    for name, among in ("contexts", (0, 1, 2)), ("integration_types", (0, 1)):
        for each in one.get(name) or ():
            choice(each, f"{where}.{name}", among)
    _check_options(one.get("options"), f"{where}.options", depth=0)
    if size(one) > 8000:
        raise invalid(where, "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")


def size(one: Json) -> int:
    """Return the characters that count: name, description and values, of options and choices too."""
    found = len(one["name"]) + len(one.get("description") or "")
    for each in one.get("choices") or ():
        found += len(each["name"]) + len(str(each["value"]))
    return found + sum(size(option) for option in one.get("options") or ())


def _check_name(name: object, where: str) -> None:
    name = text(name, where, 32, 1)
    if name != name.lower() or not all(_is_name(one) for one in name):
        raise invalid(where, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def _is_name(one: str) -> bool:
    r"""Return whether *one* is in ``[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]`` (Application Command Naming)."""
    if one in "-_'\N{MODIFIER LETTER APOSTROPHE}" or unicodedata.category(one)[0] in "LN":
        return True
    return unicodedata.name(one, "").startswith(_SCRIPTS)


def _check_options(given: object, where: str, depth: int) -> None:
    options = items(given, where, 25)
    optional = False
    for at, one in enumerate(options):
        here = f"{where}.{at}"
        choice(one.get("type"), f"{here}.type", range(SUB, ATTACHMENT + 1))
        _check_name(one.get("name"), f"{here}.name")
        text(one.get("description"), f"{here}.description", 100, 1)
        if one["type"] in (SUB, GROUP):
            _check_nesting(one, options, here, depth)
            continue
        if optional and one.get("required"):
            message = "Required options must be placed before non-required options"
            raise invalid(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", message)
        optional = not one.get("required")
        _check_value(one, here)
    distinct([str(one["name"]) for one in options], where, "APPLICATION_COMMAND_OPTIONS_NAME_INVALID")


def _check_nesting(one: Json, siblings: Iterable[Json], where: str, depth: int) -> None:
    mixed = any(other["type"] not in (SUB, GROUP) for other in siblings)
    too_deep = depth > (0 if one["type"] == GROUP else 1)
    if mixed or too_deep:
        message = "Sub-command and sub-command group option types are mutually exclusive to all other types"
        raise invalid(where, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message)
    inside = items(one.get("options"), f"{where}.options", 25)
    if one["type"] == GROUP:
        if not inside or any(other.get("type") != SUB for other in inside):
            raise invalid(where, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "A group has subcommands.")
        _check_options(inside, f"{where}.options", 1)
    else:
        _check_options(inside, f"{where}.options", 2)


def _check_value(one: Json, where: str) -> None:
    choices = items(one.get("choices"), f"{where}.choices", 25)
    if choices and one["type"] not in (STRING, INTEGER, NUMBER):
        raise invalid(f"{where}.choices", "APPLICATION_COMMAND_OPTIONS_CHOICES_INVALID", "This type has no choices.")
    if one.get("autocomplete") and (choices or one["type"] not in (STRING, INTEGER, NUMBER)):
        raise invalid(f"{where}.autocomplete", "APPLICATION_COMMAND_AUTOCOMPLETE_INVALID", "It cannot have both.")
    check_choices(choices, f"{where}.choices", one["type"])
    for name, least, most in ("min_length", 0, 6000), ("max_length", 1, 6000):
        if one.get(name) is not None:
            choice(one["type"], f"{where}.{name}", (STRING,))
            number(one[name], f"{where}.{name}", least, most)
    for name in ("min_value", "max_value"):
        if one.get(name) is not None:
            choice(one["type"], f"{where}.{name}", (INTEGER, NUMBER))


def check_choices(choices: Sequence[Json], where: str, kind: int) -> None:
    """Check the choices of an option of *kind*, or those that autocomplete offers.

    Raises:
        ApiError: Discord would not take them.
    """
    for at, one in enumerate(choices):
        text(one.get("name"), f"{where}.{at}.name", 100, 1)
        if kind == STRING:
            text(one.get("value"), f"{where}.{at}.value", 100, 1)
        elif not _fits(one.get("value"), kind):
            raise invalid(f"{where}.{at}.value", "NUMBER_TYPE_COERCE", "The value is no number.")
    distinct([str(one["name"]) for one in choices], where, "APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_DUPLICATE")


# ------------------------------------------------------------- how it is filled in


def fill(command: Json, words: Sequence[str], values: Mapping[str, object], focused: str = "") -> Json:
    """Return the ``data`` of an interaction: *command*, its subcommand by *words* and its options by *values*.

    With *focused* it is what autocomplete asks, where nothing has to be complete.

    Raises:
        AssertionError: a person could not send it so.
    """
    at: Json = command
    chain = list[Json]()
    for word in words:
        inside = [one for one in at["options"] if one["type"] in (SUB, GROUP) and one["name"] == word]
        assert inside, f"/{command['name']} has no {word!r}"
        at = inside[0]
        chain.append(at)
    known = {one["name"]: one for one in at.get("options") or ()}
    assert not any(one["type"] in (SUB, GROUP) for one in known.values()), f"a subcommand is needed: {sorted(known)}"
    assert values.keys() <= known.keys(), f"there are no options {sorted(values.keys() - known.keys())}"
    missing = [name for name, one in known.items() if one.get("required") and name not in values]
    assert focused or not missing, f"{missing} are required"
    options = list(_options(known, values, focused))
    for one in reversed(chain):
        options = [{"type": one["type"], "name": one["name"], "options": options}]
    found = {"id": command["id"], "name": command["name"], "type": 1, "options": options}
    return found | ({"guild_id": command["guild_id"]} if "guild_id" in command else {})


def _options(known: Mapping[str, Json], values: Mapping[str, object], focused: str) -> Iterator[Json]:
    for name, value in values.items():
        option = known[name]
        filled: Json = {"name": name, "type": option["type"], "value": value}
        if name == focused:
            assert option.get("autocomplete"), f"{name} has no autocomplete"
            yield {**filled, "value": str(value), "focused": True}
        else:
            _check_filled(option, value)
            yield filled


def _check_filled(option: Json, value: object) -> None:
    name = option["name"]
    assert _fits(value, option["type"]), f"{name} cannot be {value!r}"
    choices = [one["value"] for one in option.get("choices") or ()]
    assert not choices or value in choices, f"{name} is one of {choices}"
    if isinstance(value, str) and option["type"] == STRING:
        assert (option.get("min_length") or 0) <= len(value) <= (option.get("max_length") or 6000), f"{name}: length"
    if isinstance(value, int | float):
        low, high = option.get("min_value"), option.get("max_value")
        assert low is None or low <= value, f"{name}: at least {low}"
        assert high is None or value <= high, f"{name}: at most {high}"
    if option["type"] in (USER, CHANNEL, ROLE):
        assert re.fullmatch(r"\d+", str(value)), f"{name} is an id"


def _fits(value: object, kind: int) -> bool:
    allowed = _KINDS.get(kind, (str,))
    return isinstance(value, allowed) and (kind == BOOLEAN or not isinstance(value, bool))


def _is_offered(one: Json, guild: str, context: int, *, invited: bool, installed: bool) -> bool:
    if "guild_id" in one:
        return invited
    if one["contexts"] is not None and context not in one["contexts"]:
        return False
    kinds = one["integration_types"]
    return (USER_INSTALL in kinds and installed) or (GUILD_INSTALL in kinds and invited and context != IN_PRIVATE)
