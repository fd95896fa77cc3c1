"""What a person does with the bot by an interaction, and what they are shown in answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from servers.discord import components
from servers.discord.interactions import SUBMIT, Interaction
from servers.discord.sight import Seen, seen
from servers.discord.wire import LIMIT, Json

if TYPE_CHECKING:
    from servers.discord.people import Person


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a modal: one line or more of text, or a select whose options are `options`."""

    custom_id: str
    label: str
    description: str = ""
    value: str = ""
    placeholder: str = ""
    required: bool = True
    min_length: int = 0
    max_length: int = 4000
    long: bool = False
    options: Sequence[str] = ()
    """The values of a select's options."""


@dataclass(frozen=True, slots=True)
class Modal:
    """A modal as it is shown."""

    title: str
    custom_id: str
    fields: Sequence[Field]
    text: str = ""
    """What stands in it besides."""


class Act:
    """Something a person has done: a command, a click, a choice, a form sent."""

    def __init__(self, person: "Person", interaction: Interaction) -> None:
        self.person = person
        self.interaction = interaction
        self._changes = person.server.changes

    def __repr__(self) -> str:
        return f"<Act of {self.person.user.username}: {self.interaction}>"

    @property
    def failed(self) -> bool:
        """Whether Discord shows that the interaction failed: nothing was answered within three seconds."""
        return self.person.server.interactions.is_late(self.interaction)

    @property
    def messages(self) -> list[Seen]:
        """What was said in answer and is there still, as far as this person sees it."""
        return [seen(one) for one in self.interaction.messages if self.person.can_see(one)]

    async def acknowledged(self, within: float = LIMIT) -> int:
        """Return the type of the callback, once there is one."""
        return await self._changes.until(lambda: self.interaction.response, self._failed, within)

    async def answer(self, words: str = "", *, within: float = LIMIT) -> Seen:
        """Return the first message in answer that is not "thinking" and has *words* in it."""

        def found() -> Seen | None:
            there = (one for one in self.messages if not one.thinking)
            return next((one for one in there if words in one.text), None)

        answered = await self._changes.until(found, self._failed, within)
        assert answered is not None
        return answered

    async def thinking(self, within: float = LIMIT) -> Seen:
        """Return the message that says "… is thinking", once it is there."""

        def found() -> Seen | None:
            return next((one for one in self.messages if one.thinking), None)

        shown = await self._changes.until(found, self._failed, within)
        assert shown is not None
        return shown

    async def modal(self, within: float = LIMIT) -> Modal:
        """Return the modal that was opened in answer."""
        await self._changes.until(lambda: self.interaction.modal is not None, self._failed, within)
        assert self.interaction.modal is not None
        return _modal(self.interaction.modal)

    async def choices(self, within: float = LIMIT) -> list[tuple[str, object]]:
        """Return the name and value of each choice that autocomplete offers."""
        await self._changes.until(lambda: self.interaction.choices is not None, self._failed, within)
        return [(one["name"], one["value"]) for one in self.interaction.choices or ()]

    def submit(self, *values: str, **named: str) -> "Act":
        """Send the modal that was opened, with *values* in the order of its fields, or *named* by their custom ids."""
        modal = self.interaction.modal
        assert modal is not None, "there is no modal"
        fields = _modal(modal).fields
        assert len(values) <= len(fields), f"there are only {[one.label for one in fields]}"
        given = {one.custom_id: value for one, value in zip(fields, values, strict=False)} | named
        for one in fields:
            value = given.setdefault(one.custom_id, one.value)
            assert value or not one.required, f"{one.label} is required"
            if value and not one.options:
                assert one.min_length <= len(value) <= one.max_length, f"{one.label}: its length"
            assert not one.options or not value or value in one.options, f"{one.label} is one of {one.options}"
        data = {"custom_id": modal["custom_id"], "components": [_sent(row, given) for row in modal["components"]]}
        return self.person.interact(SUBMIT, self.interaction.channel, data, self.interaction.message)

    def _failed(self) -> str:
        state = "nobody answered it" if self.failed else "it was answered" if self.interaction.response else "open"
        return f"{self!r}: {state}; there is {self.messages}"


def _modal(modal: Json) -> Modal:
    fields = list[Field]()
    texts = list[str]()
    for row in modal["components"]:
        if row["type"] == components.TEXT_DISPLAY:
            texts.append(row["content"])
        elif row["type"] == components.LABEL:
            fields.append(_field(row["component"], row["label"], row.get("description") or ""))
        else:
            (only,) = row["components"]
            fields.append(_field(only, only["label"]))
    return Modal(modal["title"], modal["custom_id"], fields, "\n".join(texts))


def _field(one: Json, label: str, description: str = "") -> Field:
    return Field(
        custom_id=one["custom_id"],
        label=label,
        description=description,
        value=one.get("value") or "",
        placeholder=one.get("placeholder") or "",
        required=one.get("required") is not False,
        min_length=one.get("min_length") or 0,
        max_length=one.get("max_length") or 4000,
        long=one.get("style") == 2,
        options=[each["value"] for each in one.get("options") or ()],
    )


def _sent(row: Json, given: dict[str, str]) -> Json:
    """Return how a row of a modal comes back (Modal Submit Data)."""
    if row["type"] == components.TEXT_DISPLAY:
        return {"type": row["type"], "id": row["id"]}
    if row["type"] == components.LABEL:
        return {"type": row["type"], "id": row["id"], "component": _value(row["component"], given)}
    return {"type": row["type"], "id": row["id"], "components": [_value(one, given) for one in row["components"]]}


def _value(one: Json, given: dict[str, str]) -> Json:
    value = given[one["custom_id"]]
    filled = {"type": one["type"], "id": one["id"], "custom_id": one["custom_id"]}
    if one["type"] == components.TEXT_INPUT:
        return filled | {"value": value}
    return filled | {"values": [value] if value else []}
