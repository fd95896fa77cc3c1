"""Buttons, menus and forms, and what their custom ids say.

A custom id is Discord's word about a message of the bot's own, and names the one person whose click
counts; nothing else is believed of it.  discord.py only builds the payloads: a view is stopped before
it is sent, or discord.py would keep it for good.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import discord

from adapters.discord.speech import LONGEST_URL, MOST_CHOICES
from omnibot.message import Reply

LONGEST_ID = 100
_LONGEST_LABEL = 80
_LONGEST_OPTION = 100
_LONGEST_TITLE = 45
_LONGEST_INPUT = 4000
_MOST_BUTTONS = 5

_YES, _NO = ("yes",), ("no", "cancel")


@dataclass(frozen=True, slots=True)
class Pick:
    """A choice of *asker*'s, by its number; from a menu the number comes beside it."""

    question: str
    asker: str
    number: str = ""

    def __str__(self) -> str:
        """Return the custom id."""
        return f"pick:{self.question}:{self.asker}:{self.number}"


@dataclass(frozen=True, slots=True)
class Fill:
    """A form in which *asker* types what *command* is for."""

    asker: str
    command: str
    field: str

    def __str__(self) -> str:
        """Return the custom id, with as much of *field* as fits."""
        return f"form:{self.asker}:{quote(self.command, safe=' @/')}:{self.field}"[:LONGEST_ID]


@dataclass(frozen=True, slots=True)
class Answer:
    """A form in which *asker* answers a question in words."""

    question: str
    asker: str

    def __str__(self) -> str:
        """Return the custom id."""
        return f"answer:{self.question}:{self.asker}"


@dataclass(frozen=True, slots=True)
class Open:
    """A place that *asker* alone reads."""

    asker: str

    def __str__(self) -> str:
        """Return the custom id."""
        return f"open:{self.asker}"


type Part = Pick | Fill | Answer | Open


def read(custom_id: str) -> Part | None:
    """Return what *custom_id* stands for; None if the bot made none like it."""
    match custom_id.split(":", 3):
        case ["pick", question, asker, number] if question:
            return Pick(question, asker, number)
        case ["form", asker, command, field]:
            return Fill(asker, unquote(command), field)
        case ["answer", question, asker] if question:
            return Answer(question, asker)
        case ["open", asker]:
            return Open(asker)
    return None


def shows_choices(reply: Reply, asker: str) -> bool:
    """Whether *asker* can pick a choice of *reply* by a button or from a menu."""
    fits = len(str(Pick(reply.question, asker, "00"))) <= LONGEST_ID and ":" not in reply.question
    return bool(reply.question and asker and fits) and 0 < len(reply.choices) <= MOST_CHOICES


def shows_link(reply: Reply) -> bool:
    """Whether the link of *reply* can be a button.

    An address that Discord may not take for one, as that of localhost, is better read than not sent at all.
    """
    link = reply.link
    if link is None or len(link.url) > LONGEST_URL or not link.url.startswith(("https://", "http://")):
        return False
    try:
        return "." in (urlsplit(link.url).hostname or "")
    except ValueError:
        return False


def build(reply: Reply, asker: str, *, private: bool, types: bool) -> discord.ui.View | None:
    """Return what stands below *reply* for *asker* to press; None if nothing does.

    A form is offered where it is *private*, read by them alone.  Where the bot hears what somebody *types*,
    a question that is answered in words needs no button.
    """
    items = list(_items(reply, asker, private=private, types=types))
    if not items:
        return None
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    view.stop()
    return view


def form(custom_id: str, title: str, field: str) -> discord.ui.Modal:
    """Return a form with one line, called *field*, to fill in; what is typed comes back with *custom_id*."""
    modal = discord.ui.Modal(title=_cut(title, _LONGEST_TITLE), custom_id=custom_id, timeout=None)
    line = discord.ui.TextInput[discord.ui.Modal](custom_id="value", max_length=_LONGEST_INPUT, min_length=1)
    modal.add_item(discord.ui.Label(text=_cut(field, _LONGEST_TITLE), component=line))
    modal.stop()
    return modal


def typed(data: Mapping[str, Any]) -> str:
    """Return what was typed into the form of which *data* is told, as one line."""
    for one in _walk(data.get("components")):
        if one.get("custom_id") == "value":
            return " ".join(str(one.get("value", "")).split())
    return ""


def label_of(message: discord.Message, data: Mapping[str, Any]) -> str:
    """Return what people read on the part of *message* that was pressed, as *data* tells."""
    custom_id, values = data.get("custom_id"), data.get("values") or [""]
    for row in message.components:
        for one in row.children if isinstance(row, discord.ActionRow) else ():
            if one.custom_id != custom_id:
                continue
            if isinstance(one, discord.Button):
                return one.label or ""
            if isinstance(one, discord.SelectMenu):
                return next((option.label for option in one.options if option.value == values[0]), "")
    return ""


def _walk(components: object) -> Iterator[Mapping[str, Any]]:
    for one in components if isinstance(components, list) else [components]:
        if isinstance(one, Mapping):
            yield one
            yield from _walk(one.get("components"))
            yield from _walk(one.get("component"))


def _items(reply: Reply, asker: str, *, private: bool, types: bool) -> Iterator[discord.ui.Item[discord.ui.View]]:
    if shows_choices(reply, asker):
        yield from _choices(reply, asker)
    elif reply.question and asker and not types:
        answer = str(Answer(reply.question, asker))
        if len(answer) <= LONGEST_ID and ":" not in reply.question:
            yield _button("Answer", discord.ButtonStyle.primary, answer, row=0)
    if reply.link is not None and shows_link(reply):
        yield discord.ui.Button(
            style=discord.ButtonStyle.link, label=_cut(reply.link.label, _LONGEST_LABEL), url=reply.link.url, row=1
        )
    if reply.form is not None and private and asker:
        fill = str(Fill(asker, reply.form.command, reply.form.field))
        if read(fill) is not None and len(str(Fill(asker, reply.form.command, ""))) < LONGEST_ID:
            yield _button(reply.form.label, discord.ButtonStyle.primary, fill, row=1)
    if reply.opens is not None and not private:
        yield _button("Continue in private", discord.ButtonStyle.primary, str(Open(reply.opens.subject)), row=1)


def _choices(reply: Reply, asker: str) -> Iterator[discord.ui.Item[discord.ui.View]]:
    if len(reply.choices) <= _MOST_BUTTONS:
        for number, choice in enumerate(reply.choices, 1):
            yield _button(choice, _style(choice), str(Pick(reply.question, asker, str(number))), row=0)
        return
    options = [
        discord.SelectOption(label=_cut(choice, _LONGEST_OPTION), value=str(number))
        for number, choice in enumerate(reply.choices, 1)
    ]
    yield discord.ui.Select(custom_id=str(Pick(reply.question, asker)), options=options, row=0)


def _button(label: str, style: discord.ButtonStyle, custom_id: str, *, row: int) -> discord.ui.Item[discord.ui.View]:
    return discord.ui.Button(style=style, label=_cut(label, _LONGEST_LABEL), custom_id=custom_id, row=row)


def _style(choice: str) -> discord.ButtonStyle:
    """Return how *choice* looks: a yes is mostly asked for before something that is not easily undone."""
    if choice.lower() in _YES:
        return discord.ButtonStyle.danger
    return discord.ButtonStyle.secondary if choice.lower() in _NO else discord.ButtonStyle.primary


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split()) or "…"
    return text if len(text) <= most else text[: most - 1] + "…"
