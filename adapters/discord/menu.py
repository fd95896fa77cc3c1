"""The bot's commands as Discord's menu shows them, and what was picked there.

The shapes and limits are those of Discord's documentation, "Application Commands": Application Command Structure,
Option Structure, Subcommands and Subcommand Groups.  One of our commands of up to three words is a command, a
subcommand, or a subcommand in a group.  Discord lets no command be a group as well: of ours that are both, the
command becomes one more subcommand, ``/notes show`` beside ``/notes new``.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain, count
from typing import Any

from omnibot.command import Command, Commands, Parameter
from omnibot.markup import printable

MOST_COMMANDS = 100
MOST_OPTIONS = 25
"""Options of a command, subcommands of one word, and choices of an option."""

LONGEST = 8000
"""How long all names, descriptions and values of one command may be."""

_LONGEST_NAME = 32
_LONGEST_TEXT = 100
"""A description, and a choice's name and value."""

_SUBCOMMAND, _GROUP, _STRING, _INTEGER, _BOOLEAN, _NUMBER = 1, 2, 3, 4, 5, 10
_TYPES: Mapping[type, int] = {str: _STRING, int: _INTEGER, bool: _BOOLEAN, float: _NUMBER}
_SELECTS = ("account", "instance", "account-name", "as-account", "which-account")
_NAMES = {"read": ("show", "run", "do"), "change": ("run", "do", "show"), "destroy": ("run", "do", "show")}

type Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Option:
    """An option, and the parameter it stands for; without one, it names the account."""

    name: str
    parameter: Parameter | None

    @property
    def labels(self) -> list[str]:
        """The choices that Discord can show."""
        choices = () if self.parameter is None else self.parameter.choices
        words = (str(one.value if isinstance(one, Enum) else one) for one in choices)
        return [one for one in dict.fromkeys(words) if one.strip() and len(one) <= _LONGEST_TEXT]

    def payload(self) -> Payload:
        """Return it as Discord takes it."""
        one = self.parameter
        if one is None:
            what = "Which account or instance is meant, where you have several"
            return {"type": _STRING, "name": self.name, "description": what}
        found: Payload = {
            "type": _STRING if one.choices else _TYPES[one.kind],
            "name": self.name,
            "description": _described(one.description, one.name),
            "required": one.required,
        }
        if one.choices and len(self.labels) == len(one.choices) <= MOST_OPTIONS:
            found["choices"] = [_choice(label) for label in self.labels]
        elif self.labels:
            found["autocomplete"] = True
        return found


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one command is in the menu."""

    command: Command
    options: tuple[_Option, ...]

    def payload(self, name: str) -> Payload:
        """Return it as Discord takes it, called *name*."""
        described = _described(self.command.summary, self.command.name)
        return {"name": name, "description": described, "options": [one.payload() for one in self.options]}


@dataclass(slots=True)
class _Node:
    """A word of the menu: a command, or what begins with it, or both before it was `settled`."""

    words: tuple[str, ...]
    entry: _Entry | None = None
    below: dict[str, "_Node"] = field(default_factory=dict)

    def settled(self) -> "_Node":
        """Move a command that is a group as well among what is below it."""
        for one in self.below.values():
            one.settled()
        if self.entry is not None and self.below:
            name = next(one for one in _free_names(self.entry.command) if one not in self.below)
            self.below[name] = _Node((*self.words, name), self.entry)
            self.entry = None
        return self

    def payload(self) -> Payload:
        """Return it as Discord takes it, without its type."""
        if self.entry is not None:
            return self.entry.payload(self.words[-1])
        options = [{"type": _GROUP if one.below else _SUBCOMMAND, **one.payload()} for one in self.below.values()]
        return {"name": self.words[-1], "description": f"Commands of {' '.join(self.words)}", "options": options}

    def entries(self) -> Iterator[tuple[tuple[str, ...], _Entry]]:
        """Give every command here, by its words in the menu."""
        if self.entry is not None:
            yield self.words, self.entry
        for one in self.below.values():
            yield from one.entries()

    def drop(self) -> _Entry:
        """Take the last command out, and return it."""
        if not self.below:
            assert self.entry is not None, "an empty word is not kept"
            return self.entry
        word, last = next(reversed(self.below.items()))
        dropped = last.drop()
        if not last.below:
            del self.below[word]
        return dropped


class Menu:
    """Discord's menu of *commands*."""

    def __init__(
        self,
        commands: Iterable[Command],
        *,
        contexts: Sequence[int] = (0, 1, 2),
        integration_types: Sequence[int] = (0, 1),
    ) -> None:
        """Lay it out.

        Args:
            commands: what it offers.
            contexts: where (Interaction Context Types): servers, direct messages with the bot, other private places.
            integration_types: for whom (Application Integration Types): servers, people who installed it.
        """
        self._about: Payload = {"type": 1, "contexts": list(contexts), "integration_types": list(integration_types)}
        self.left_out: list[str] = []
        """What does not fit, and why."""

        self.book = Commands()
        """The same commands, as lines are looked up."""

        for one in commands:
            self.book.add(one)
        self._tops = self._fit(_tree(self.book))
        self._entries = dict(chain.from_iterable(top.entries() for top in self._tops))

    def payload(self) -> list[Payload]:
        """Return what Bulk Overwrite Global Application Commands takes."""
        return [self._about | top.payload() for top in self._tops]

    def hash(self) -> str:
        """Return what differs if, and only if, the payload does."""
        return hashlib.sha256(json.dumps(self.payload(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def find(self, data: Mapping[str, Any]) -> tuple[Command, dict[str, object], str] | None:
        """Return the command that an interaction's *data* names, its values by parameter, and its selector.

        None if the menu has no such command or option: somebody's client still shows an older one.
        """
        entry, given = self._entry(data)
        if entry is None:
            return None
        options = {one.name: one for one in entry.options}
        values: dict[str, object] = {}
        selector = ""
        for one in given:
            option, value = options.get(str(one.get("name"))), one.get("value")
            if option is None or not isinstance(value, str | int | float):
                return None
            if option.parameter is None:
                selector = str(value).strip()
            else:
                values[option.parameter.name] = value
        return entry.command, values, selector

    def complete(self, data: Mapping[str, Any]) -> list[Payload]:
        """Return the choices for the option that is being typed, those first that begin so."""
        entry, given = self._entry(data)
        typed = next((one for one in given if one.get("focused") is True), None)
        if entry is None or typed is None:
            return []
        labels = next((one.labels for one in entry.options if one.name == typed.get("name")), [])
        words = str(typed.get("value", "")).strip().casefold()
        fitting = [one for one in labels if words in one.casefold()]
        fitting.sort(key=lambda label: not label.casefold().startswith(words))
        return [_choice(label) for label in fitting[:MOST_OPTIONS]]

    def _entry(self, data: Mapping[str, Any]) -> tuple[_Entry | None, list[Mapping[str, Any]]]:
        words = [str(data.get("name"))]
        given = _given(data)
        while len(given) == 1 and given[0].get("type") in (_SUBCOMMAND, _GROUP):
            words.append(str(given[0].get("name")))
            given = _given(given[0])
        return self._entries.get(tuple(words)), given

    def _fit(self, tops: list[_Node]) -> list[_Node]:
        for top in tops[MOST_COMMANDS:]:
            self._leave_out(top, f"Discord's menu takes {MOST_COMMANDS} first words")
        for top in tops[:MOST_COMMANDS]:
            for node in (*top.below.values(), top):
                while len(node.below) > MOST_OPTIONS:
                    self._drop(node, f"Discord's menu takes {MOST_OPTIONS} commands under one word")
            while top.below and _size(top.payload()) > LONGEST:
                self._drop(top, f"what begins with one word may have {LONGEST} characters in Discord's menu")
        kept = [one for one in tops[:MOST_COMMANDS] if one.below or one.entry]
        for top in kept:
            if _size(top.payload()) > LONGEST:
                self._leave_out(top, f"a command may have {LONGEST} characters in Discord's menu")
        return [one for one in kept if _size(one.payload()) <= LONGEST]

    def _leave_out(self, node: _Node, why: str) -> None:
        self.left_out += [f"`{entry.command.name}` is left out: {why}." for _, entry in node.entries()]

    def _drop(self, node: _Node, why: str) -> None:
        self.left_out.append(f"`{node.drop().command.name}` is left out: {why}.")


def _tree(commands: Iterable[Command]) -> list[_Node]:
    tops: dict[str, _Node] = {}
    for command in sorted(commands, key=lambda one: one.path):
        level, node = tops, None
        for size, word in enumerate(command.path, 1):
            node = level.setdefault(word, _Node(command.path[:size]))
            level = node.below
        if node is not None:
            node.entry = _Entry(command, tuple(_options(command)))
    return [top.settled() for top in tops.values()]


def _options(command: Command) -> Iterator[_Option]:
    """Give the options of *command*, required ones first; a secret is never said in a menu."""
    named: dict[str, Parameter] = {}
    for one in (one for one in command.parameters if one.name != command.secret):
        named[_free_name(_fit_name(one.name), named)] = one
    for name, parameter in sorted(named.items(), key=lambda item: not item[1].required):
        yield _Option(name, parameter)
    if command.providers and len(named) < MOST_OPTIONS:
        yield _Option(next(name for name in _SELECTS if name not in named), None)


def _fit_name(name: str) -> str:
    """Return *name* in the letters that Application Command Naming allows."""
    words = name.strip("_").replace("_", "-").lower()
    return "".join(one if one.isalnum() else "-" for one in words)[:_LONGEST_NAME] or "option"


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    others = (f"{name[: _LONGEST_NAME - 3]}-{number}" for number in count(2))
    return next(one for one in chain([name], others) if one not in taken)


def _free_names(command: Command) -> Iterator[str]:
    yield from _NAMES[command.effect]
    yield from (f"run-{number}" for number in count(2))


def _described(text: str, name: str) -> str:
    words = printable(text.replace("`", "")) or printable(name.strip("_").replace("_", " ")) or "A value"
    return words if len(words) <= _LONGEST_TEXT else words[: _LONGEST_TEXT - 1].rstrip() + "…"


def _choice(label: str) -> Payload:
    return {"name": label, "value": label}


def _given(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    options = data.get("options")
    return [one for one in options if isinstance(one, Mapping)] if isinstance(options, list) else []


def _size(payload: Payload) -> int:
    own = sum(len(str(payload.get(key, ""))) for key in ("name", "description", "value"))
    return own + sum(map(_size, chain(payload.get("options", ()), payload.get("choices", ()))))
