"""What Discord asks of buttons, selects and modals (Components Reference; Receiving and Responding, Modal)."""

from collections.abc import Iterable, Iterator, Sequence

from servers.discord.errors import choice, distinct, invalid, items, number, text
from servers.discord.wire import Json

ROW, BUTTON, SELECT, TEXT_INPUT, TEXT_DISPLAY, LABEL = 1, 2, 3, 4, 10, 18
ENTITY_SELECTS = (5, 6, 7, 8)
LINK = 5


def walk(components: Iterable[Json]) -> Iterator[Json]:
    """Yield every component, however deep."""
    for one in components:
        yield one
        yield from walk(one.get("components") or ())
        if isinstance(one.get("component"), dict):
            yield from walk([one["component"]])


def check_rows(given: object) -> Sequence[Json]:
    """Return the components of a message: up to five rows of buttons or one select each.

    Raises:
        ApiError: Discord would not take them.
    """
    rows = items(given, "components", 5)
    for at, row in enumerate(rows):
        where = f"components.{at}"
        choice(row.get("type"), f"{where}.type", (ROW,))
        inside = items(row.get("components"), f"{where}.components", 5, 1)
        for number_, one in enumerate(inside):
            _check_one(one, f"{where}.components.{number_}", alone=len(inside) == 1)
    ids = [str(one["custom_id"]) for one in walk(rows) if one.get("custom_id") is not None]
    distinct(ids, "components", "COMPONENT_CUSTOM_ID_DUPLICATED")
    return _numbered(rows)


def check_modal(data: Json) -> Json:
    """Return the modal that *data* describes.

    Raises:
        ApiError: Discord would not take it.
    """
    text(data.get("custom_id"), "data.custom_id", 100, 1)
    text(data.get("title"), "data.title", 45, 1)
    rows = items(data.get("components"), "data.components", 5, 1)
    for at, row in enumerate(rows):
        where = f"data.components.{at}"
        choice(row.get("type"), f"{where}.type", (ROW, LABEL, TEXT_DISPLAY))
        if row["type"] == LABEL:
            text(row.get("label"), f"{where}.label", 45, 1)
            text(row.get("description") or "", f"{where}.description", 100)
            inside = row.get("component")
            if not isinstance(inside, dict):
                raise invalid(f"{where}.component", "BASE_TYPE_REQUIRED", "This field is required")
            _check_field(inside, f"{where}.component", labelled=True)
        elif row["type"] == ROW:
            (only,) = items(row.get("components"), f"{where}.components", 1, 1)
            choice(only.get("type"), f"{where}.components.0.type", (TEXT_INPUT,))
            _check_field(only, f"{where}.components.0", labelled=False)
    ids = [str(one["custom_id"]) for one in walk(rows) if one.get("custom_id") is not None]
    distinct(ids, "data.components", "COMPONENT_CUSTOM_ID_DUPLICATED")
    return {**data, "components": _numbered(rows)}


def _check_one(one: Json, where: str, *, alone: bool) -> None:
    choice(one.get("type"), f"{where}.type", (BUTTON, SELECT, *ENTITY_SELECTS))
    if one["type"] == BUTTON:
        _check_button(one, where)
        return
    if not alone:
        raise invalid(where, "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "A select takes the whole row.")
    _check_select(one, where)


def _check_button(one: Json, where: str) -> None:
    number(one.get("style"), f"{where}.style", 1, 6)
    label = text(one.get("label") or "", f"{where}.label", 80)
    if not label and not one.get("emoji"):
        raise invalid(where, "BUTTON_COMPONENT_INVALID_EMOJI_OR_LABEL", "A button has a label or an emoji.")
    if one["style"] == LINK:
        url = text(one.get("url"), f"{where}.url", 512, 1)
        if not url.startswith(("http://", "https://", "discord://")):
            raise invalid(f"{where}.url", "URL_TYPE_INVALID_SCHEME", "Scheme must be one of http, https, discord.")
        if one.get("custom_id") is not None:
            raise invalid(where, "BUTTON_COMPONENT_CUSTOM_ID_AND_URL", "A custom id and url cannot both be specified")
    elif one.get("url") is not None:
        raise invalid(where, "BUTTON_COMPONENT_URL_REQUIRES_LINK", "A url is for a link button.")
    else:
        text(one.get("custom_id"), f"{where}.custom_id", 100, 1)


def _check_select(one: Json, where: str) -> None:
    text(one.get("custom_id"), f"{where}.custom_id", 100, 1)
    text(one.get("placeholder") or "", f"{where}.placeholder", 150)
    least = number(one.get("min_values", 1), f"{where}.min_values", 0, 25)
    most = number(one.get("max_values", 1), f"{where}.max_values", 1, 25)
    if least > most:
        raise invalid(f"{where}.min_values", "SELECT_COMPONENT_MIN_VALUES", "It is more than max_values.")
    if one["type"] != SELECT:
        return
    options = items(one.get("options"), f"{where}.options", 25, 1)
    for at, option in enumerate(options):
        text(option.get("label"), f"{where}.options.{at}.label", 100, 1)
        text(option.get("value"), f"{where}.options.{at}.value", 100, 1)
        text(option.get("description") or "", f"{where}.options.{at}.description", 100)
    values = [str(option["value"]) for option in options]
    distinct(values, f"{where}.options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED")
    if most > len(options):
        raise invalid(f"{where}.max_values", "SELECT_COMPONENT_MAX_VALUES", "There are not so many options.")


def _check_field(one: Json, where: str, *, labelled: bool) -> None:
    choice(one.get("type"), f"{where}.type", (TEXT_INPUT, SELECT, *ENTITY_SELECTS))
    if one["type"] != TEXT_INPUT:
        _check_select(one, where)
        return
    text(one.get("custom_id"), f"{where}.custom_id", 100, 1)
    number(one.get("style"), f"{where}.style", 1, 2)
    if not labelled:
        text(one.get("label"), f"{where}.label", 45, 1)
    elif one.get("label") is not None:
        raise invalid(f"{where}.label", "COMPONENT_LABEL_TWICE", "It has a label of its own within a Label.")
    least = number(_or(one.get("min_length"), 0), f"{where}.min_length", 0, 4000)
    most = number(_or(one.get("max_length"), 4000), f"{where}.max_length", 1, 4000)
    if least > most:
        raise invalid(f"{where}.min_length", "TEXT_INPUT_MIN_LENGTH", "It is more than max_length.")
    text(one.get("value") or "", f"{where}.value", 4000)
    text(one.get("placeholder") or "", f"{where}.placeholder", 100)


def _or(value: object, otherwise: int) -> object:
    return otherwise if value is None else value


def _numbered(rows: Sequence[Json]) -> Sequence[Json]:
    """Give each component an id of its own, as Discord does (Anatomy of a Component)."""
    for number_, one in enumerate(walk(rows), 1):
        one.setdefault("id", number_)
    return rows
