"""From the words of a message to a call of a handler, without I/O.

A `Command` is read off a handler's signature and docstring.  `Commands` is the book of
all that are loaded: it finds the command that a line names, or the nearest ones.
`bind` turns the rest of the line into the handler's arguments, or says what does not fit.

A line is ``path words, then arguments``: ``!gh issue new acme/site "A title"``.  The
first word may carry an instance or account alias: ``redmine@work``.  A double-quoted
stretch is one argument, also in the quotes that phones write; the last ``str`` parameter
takes the rest of the line as it stands.  Keyword-only parameters are options: ``--days 3``,
``--all``; they may stand before the arguments, between them, or at the end of the line.
Where a command has options, ``--`` alone ends them (POSIX, Base Definitions, 12.2,
guideline 10): what follows is arguments.  `compose` writes a line that is read back so.
"""

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from omnibot.errors import UsageError
from omnibot.identity import Assurance

type Effect = Literal["read", "change", "destroy"]
type Answering = Literal["private", "channel"]
type Handler = Callable[..., Any]

WORD = re.compile(r"[a-z0-9-]{1,32}")
_QUOTED = r'"(?:[^"\\]|\\.)*"|[“”„](?:[^“”„\\]|\\.)*[“”]'
_TOKEN = re.compile(rf"\s*(?:({_QUOTED})(?=\s|$)|(\S+))")
_TRAILING = re.compile(rf'(?:^|\s)--([a-z0-9-]+)(?:\s+({_QUOTED}|[^\s"“”„-]\S*)|=\S+)?\s*$')
_ARGS = re.compile(r"^\s*(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")
_TRUE, _FALSE = frozenset({"yes", "true", "on", "1"}), frozenset({"no", "false", "off", "0"})
_QUOTES = ('"', "“", "”", "„")
_HELP = frozenset({"-h", "--help"})  # alone behind a command, they ask for its help
_DASHES = re.compile(r"(?:^|\s)--")
# What `omnibot.message.unquoted` takes for somebody else's words.
_QUOTING_LINE = re.compile(r"(\n[^\S\n]*)>")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a command."""

    name: str
    kind: type
    """``str``, ``int``, ``float`` or ``bool``; the type of each choice where there are choices."""

    required: bool
    default: Any = None
    choices: tuple[Any, ...] = ()
    option: bool = False
    """Whether it is written ``--name value`` (or just ``--name`` for a bool)."""

    rest: bool = False
    """Whether it takes the rest of the line as it stands."""

    description: str = ""

    @property
    def usage(self) -> str:
        """How it stands in a usage line: ``<repo>``, ``[name]``, ``[--all]``."""
        shown = self.name.replace("_", "-")
        if self.option:
            value = "" if self.kind is bool else f" <{'|'.join(_words(self)) or shown}>"
            return f"--{shown}{value}" if self.required else f"[--{shown}{value}]"
        shown = "|".join(_words(self)) or (f"{shown}…" if self.rest else shown)
        return f"<{shown}>" if self.required else f"[{shown}]"


@dataclass(frozen=True, slots=True)
class Command:
    """One thing the bot can be asked to do."""

    path: tuple[str, ...]
    """The words that name it, after the prefix: ``("gh", "issue", "new")``."""

    skill: str
    """Name of the skill it belongs to."""

    handler: Handler = field(repr=False, compare=False)
    summary: str = ""
    details: str = ""
    parameters: tuple[Parameter, ...] = ()
    providers: tuple[str, ...] = ()
    """Providers whose accounts it needs, in the order they are asked for; empty: unlinked."""

    provider_from: str = ""
    """Name of the parameter that names the provider, where the person says it (``!api oidc …``)."""

    scopes: tuple[str, ...] = ()
    """What it needs of the first provider beyond the base scopes."""

    further_scopes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The same of its other providers, by name."""

    effect: Effect = "read"
    asks: bool = False
    """Whether, with the effect ``destroy``, its handler asks by itself, naming what it found: until the person has
    said yes to that, it can only read."""

    answer: Answering = "channel"
    minimum: Assurance | None = None
    """The least assurance it wants of a message; None: guests may use it."""

    secret: str = ""
    """Name of the parameter that holds a secret: said where others read, it is refused before anything is kept."""

    cooldown: float = 0.0
    """Seconds a speaker must let pass between two uses."""

    timeout: float | None = None
    """Seconds it may run; None: the configured default."""

    admin: bool = False
    """Whether it is for the operator's admins alone; nobody else hears of it."""

    also: tuple[tuple[str, ...], ...] = ()
    """Further paths by which a line may name it; menus do not offer them."""

    @property
    def linked(self) -> bool:
        """Whether it acts with an account of the speaker's."""
        return bool(self.providers or self.provider_from)

    def scopes_of(self, provider: str) -> tuple[str, ...]:
        """Return what it needs of *provider* beyond the base scopes."""
        first = bool(self.provider_from) or provider in self.providers[:1]
        return self.scopes if first else dict(self.further_scopes).get(provider, ())

    @property
    def name(self) -> str:
        """Its words: ``gh issue new``."""
        return " ".join(self.path)

    def is_below(self, words: tuple[str, ...]) -> bool:
        """Whether its path, or a further one, begins with *words*."""
        return any(path[: len(words)] == words for path in (self.path, *self.also))

    def usage(self, prefix: str = "!") -> str:
        """Return the line that shows how it is written."""
        return " ".join([f"{prefix}{self.name}", *(one.usage for one in self.parameters)])


@dataclass(frozen=True, slots=True)
class Call:
    """A command that a line names, and what the line says beyond its path."""

    command: Command
    selector: str
    """What stood behind ``@`` in the first word: an instance or an account alias; or empty."""

    rest: str = field(repr=False)
    """The line after the path, as it stands."""


def read_signature(handler: Handler) -> tuple[Parameter, ...]:
    """Return the parameters of *handler* after its context.

    Raises:
        TypeError: a parameter has no annotation, or one that cannot be typed in a chat.
    """
    hints = typing.get_type_hints(handler)
    described = dict(_described(handler.__doc__ or ""))
    listed = list(inspect.signature(handler).parameters.values())[1:]
    positional = [one.name for one in listed if one.kind is not one.KEYWORD_ONLY]
    last = positional[-1] if positional else ""
    return tuple(_parameter(one, hints, described.get(one.name, ""), one.name == last) for one in listed)


def read_docstring(handler: Handler) -> tuple[str, str]:
    """Return the first line of *handler*'s docstring without its full stop, and the rest before ``Args:``."""
    head, _, rest = inspect.cleandoc(handler.__doc__ or "").partition("\n")
    return head.strip().rstrip("."), re.split(r"^Args:\s*$", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()


def bind(command: Command, rest: str, prefix: str = "!") -> dict[str, Any]:
    """Return the handler's arguments as *rest* gives them.

    Raises:
        UsageError: something is missing, too much, or not of its type; the text shows the usage, and
            repeats nothing that was said to a command which takes a secret.
    """
    try:
        return _bind(command.parameters, rest)
    except ValueError as error:
        what = "That does not fit." if command.secret and rest.strip() else str(error)
        raise UsageError(f"{what} Usage: `{command.usage(prefix)}`") from None


def compose(
    command: Command,
    values: Mapping[str, object],
    selector: str = "",
    prefix: str = "!",
    book: "Commands | None" = None,
) -> str:
    """Return the line that `Commands.find` and `bind` read back as *command* with *values*.

    It survives `omnibot.message.unquoted`.  Values are as a network's own menu gives them: str, int, float, bool,
    a choice or its label; None is not given.  Whether they fit is for `bind` to say.  *book* is where the line will
    be looked up: without it, a first argument that might be a word of another command's path is quoted.

    Raises:
        ValueError: an optional argument, whose default cannot be written, has to be given because a later one is;
            or *selector* is not one word.  The text is fit for the person.
    """
    if selector and selector.split() != [selector]:
        raise ValueError("An account or instance is named by one word.")
    given = {name: value for name, value in values.items() if value is not None}
    options = [part for one in command.parameters if one.option and one.name in given for part in _option(one, given)]
    arguments = list(_arguments(command, given))
    if any(one.option for one in command.parameters) and any(_DASHES.search(one) for one, _ in arguments):
        options.append("--")
    head = f"{prefix}{command.path[0]}{'@' if selector else ''}{selector}"
    line = [head, *command.path[1:], *options, *(written for written, _ in arguments)]
    if arguments and not options and _misleads(command, " ".join(line)[len(prefix) :], arguments[0][0], book):
        line[len(command.path)] = _quote(arguments[0][1])
    return " ".join(line)


def holds_secret(call: Call) -> bool:
    """Whether the line of *call* gives a value to the command's secret parameter."""
    if not call.command.secret:
        return False
    try:
        return bool(bind(call.command, call.rest).get(call.command.secret))
    except UsageError:
        return len(call.rest.split()) > 1  # something was said where a secret may stand: better one warning too many


class Commands:
    """The book of commands: finds the one a line names.

    Several skills may stand in it; one path, be it a further one, belongs to one command.
    """

    def __init__(self) -> None:
        """Start an empty book."""
        self._by_path: dict[tuple[str, ...], Command] = {}
        self._also: dict[tuple[str, ...], Command] = {}
        self._longest = 1
        self._aliases: dict[str, str] = {}

    def add(self, command: Command) -> None:
        """Put *command* into the book.

        Raises:
            ValueError: one of its paths is taken.
        """
        for path in (command.path, *command.also):
            taken = self._at(path)
            if taken is not None:
                raise ValueError(f"skills {taken.skill} and {command.skill} both define `{' '.join(path)}`")
        self._by_path[command.path] = command
        self._also |= dict.fromkeys(command.also, command)
        self._longest = max(self._longest, *map(len, (command.path, *command.also)))

    def alias(self, word: str, first: str) -> None:
        """Let *word* stand for *first* at the start of a line.

        Raises:
            ValueError: *word* names something already.
        """
        if self._aliases.get(word, first) != first or any(path[0] == word for path in (*self._by_path, *self._also)):
            raise ValueError(f"the alias `{word}` is taken")
        self._aliases[word] = first

    def become(self, other: "Commands") -> None:
        """Hold what *other* holds, and nothing else: whoever has this book reads the new one."""
        vars(self).update(vars(other))

    def __iter__(self) -> typing.Iterator[Command]:
        """Give every command, by path."""
        return iter(sorted(self._by_path.values(), key=lambda one: one.path))

    def find(self, line: str) -> Call | None:
        """Return the command that *line* begins with, the longest path first; None if there is none."""
        words = line.split(maxsplit=self._longest)[: self._longest]
        if not words:
            return None
        head, _, selector = words[0].partition("@")
        first = head.lower()
        path = (self._aliases.get(first, first), *(word.lower() for word in words[1:]))
        for size in range(len(path), 0, -1):
            command = self._at(path[:size])
            if command is not None:
                rest = line.split(maxsplit=size)
                return Call(command, selector, rest[size] if len(rest) > size else "")
        return None

    def _at(self, path: tuple[str, ...]) -> Command | None:
        """Return the command that *path* names, be it a further path of its; None if there is none."""
        return self._by_path.get(path) or self._also.get(path)

    def below(self, line: str) -> list[Command]:
        """Return the commands whose path begins with the words of *line*: what a skill's bare word offers."""
        words = tuple(word.lower() for word in line.split()[: self._longest])
        if not words:
            return list(self)
        start = (self._aliases.get(words[0], words[0]), *words[1:])
        return [one for one in self if one.is_below(start)]

    def nearest(self, line: str, among: Iterable[Command] | None = None) -> list[str]:
        """Return up to three command names that *line* may have meant."""
        commands = self if among is None else among
        named = {" ".join(path): one.name for one in commands for path in (one.path, *one.also)}
        words = line.lower().split()[: self._longest]
        found: list[str] = []
        for size in range(len(words), 0, -1):
            matches = difflib.get_close_matches(" ".join(words[:size]), named, n=3, cutoff=0.6)
            found += (named[one] for one in matches)
        return list(dict.fromkeys(found))[:3]


def _option(parameter: Parameter, given: Mapping[str, object]) -> list[str]:
    name, value = f"--{parameter.name.replace('_', '-')}", given[parameter.name]
    if parameter.kind is not bool or parameter.choices:
        return [name, _written(value)]
    if value is True:
        return [name]
    return [] if value is parameter.default is False else [f"{name}={_written(value)}"]


def _arguments(command: Command, given: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    """Give the arguments up to the last of *given*, as they are written and as they are meant."""
    listed = [one for one in command.parameters if not one.option]
    while listed and listed[-1].name not in given:
        listed.pop()
    for one in listed:
        value = given[one.name] if one.name in given else _default(one, listed[-1])
        yield _written(value, rest=one.rest), _word(value)


def _default(parameter: Parameter, later: Parameter) -> object:
    """Return the default of *parameter*, which has to be written because *later* is given."""
    with suppress(ValueError):
        if not parameter.required and _convert(parameter, _word(parameter.default)) == parameter.default:
            return parameter.default
    raise ValueError(f"`{parameter.name}` has to be given where `{later.name}` is.")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _label(value)


def _written(value: object, *, rest: bool = False) -> str:
    """Return *value* as it is written on a line; in quotes, if it would not be read back otherwise."""
    word = _word(value)
    try:
        stands = word == word.strip() != "" and (_unquoted(word) if rest else _next_word(word)[0]) == word
    except ValueError:
        stands = False
    return word if stands and not _QUOTING_LINE.search(word) and word not in _HELP else _quote(word)


def _quote(word: str) -> str:
    escaped = re.sub(r'["\\]', r"\\\g<0>", word)
    return f'"{_QUOTING_LINE.sub(r"\1\\>", escaped)}"'


def _misleads(command: Command, line: str, first: str, book: "Commands | None") -> bool:
    """Return whether the *first* argument would be taken for a word of another command's path."""
    if book is not None:
        call = book.find(line)
        return call is not None and call.command != command
    return WORD.fullmatch(first.split()[0].lower()) is not None


def _bind(parameters: Sequence[Parameter], text: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    options = {one.name.replace("_", "-"): one for one in parameters if one.option}
    queue = [one for one in parameters if not one.option]
    while text := text.strip():
        if options and text.split(maxsplit=1)[0] == "--":
            options, text = {}, text[2:]
        elif options and text.startswith("--") and (word := text.split()[0][2:].partition("=")[0]) in options:
            text = _take_option(options[word], text, values)
        elif not queue:
            raise ValueError(f"I do not know what to do with `{_shorten(text)}`.")
        elif queue[0].rest:
            text = _without_trailing(options, text, values)
            values[queue.pop(0).name], text = _unquoted(text), ""
        else:
            word, text = _next_word(text)
            parameter = queue.pop(0)
            values[parameter.name] = _convert(parameter, word)
    return _completed(parameters, values)


def _take_option(parameter: Parameter, text: str, values: dict[str, Any]) -> str:
    if parameter.name in values:
        raise ValueError(f"`--{parameter.name}` is there twice.")
    head = re.split(r"[\s=]", text, maxsplit=1)[0]
    rest = text[len(head) :]
    if parameter.kind is bool and not rest.startswith("="):
        values[parameter.name] = True
        return rest
    rest = rest.removeprefix("=")
    if not rest.strip():
        raise ValueError(f"`--{parameter.name}` wants a value.")
    value, rest = _next_word(rest)
    values[parameter.name] = _convert(parameter, value)
    return rest


def _without_trailing(options: Mapping[str, Parameter], text: str, values: dict[str, Any]) -> str:
    """Take the options that stand behind a rest of the line; return what is before them."""
    while options and _unquoted(text) == text and (found := _TRAILING.search(text)) and found[1] in options:
        flag = options[found[1]].kind is bool
        if flag and found[2] is not None:
            break  # a word follows: the option stands in the midst of the text
        _take_option(options[found[1]], found[0].strip(), values)
        text = text[: found.start()]
    return text.strip()


def _unquoted(text: str) -> str:
    """Return the rest of a line; where all of it is one quoted stretch, what is inside."""
    found = _TOKEN.fullmatch(text)
    return text if found is None or found[1] is None else _bare(found[1])


def _bare(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _completed(parameters: Sequence[Parameter], values: dict[str, Any]) -> dict[str, Any]:
    for one in parameters:
        if one.name not in values:
            if one.required:
                raise ValueError(f"`{one.name}` is missing.")
            values[one.name] = one.default
    return values


def _next_word(text: str) -> tuple[str, str]:
    found = _TOKEN.match(text)
    if found is None or (found[2] or "").startswith(_QUOTES):
        raise ValueError("A quote is not closed.")
    word = found[2] if found[1] is None else _bare(found[1])
    return word, text[found.end() :]


def _convert(parameter: Parameter, word: str) -> Any:
    if parameter.choices:
        for meant in (str, str.lower):  # as it stands, before any case
            for choice in parameter.choices:
                if meant(_label(choice)) == meant(word):
                    return choice
        raise ValueError(f"`{parameter.name}` is one of {', '.join(_words(parameter))}, not `{_shorten(word)}`.")
    if parameter.kind is bool:
        if word.lower() in _TRUE | _FALSE:
            return word.lower() in _TRUE
        raise ValueError(f"`{parameter.name}` is yes or no, not `{_shorten(word)}`.")
    if parameter.kind is str:
        return word
    try:
        return parameter.kind(word.lstrip("#") if parameter.kind is int else word)
    except ValueError:
        what = "a whole number" if parameter.kind is int else "a number"
        raise ValueError(f"`{parameter.name}` is {what}, not `{_shorten(word)}`.") from None


def _shorten(text: str, limit: int = 40) -> str:
    line = " ".join(text.replace("`", "'").split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _label(choice: Any) -> str:
    return str(choice.value if isinstance(choice, Enum) else choice)


def _words(parameter: Parameter) -> list[str]:
    return [_label(choice) for choice in parameter.choices]


def _parameter(one: inspect.Parameter, hints: Mapping[str, Any], description: str, last: bool) -> Parameter:
    if one.name not in hints:
        raise TypeError(f"parameter {one.name} has no annotation")
    if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
        raise TypeError(f"parameter {one.name}: star parameters cannot be typed in a chat")
    kind, choices = _kind(one.name, hints[one.name])
    option = one.kind is one.KEYWORD_ONLY
    required = one.default is one.empty and not (option and kind is bool)
    default = (False if kind is bool else None) if one.default is one.empty else one.default
    rest = last and kind is str and not choices and not option
    return Parameter(one.name, kind, required, default, choices, option, rest, description)


def _kind(name: str, hint: Any) -> tuple[type, tuple[Any, ...]]:
    if isinstance(hint, typing.TypeAliasType):
        return _kind(name, hint.__value__)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [one for one in typing.get_args(hint) if one is not type(None)]
        if len(inner) == 1:
            return _kind(name, inner[0])
    if typing.get_origin(hint) is Literal:
        return str, typing.get_args(hint)
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return hint, tuple(hint)
    if hint in (str, int, float, bool):
        return hint, ()
    raise TypeError(f"parameter {name}: {hint!r} cannot be typed in a chat; use str, int, float, bool, Literal or Enum")


def _described(docstring: str) -> Iterable[tuple[str, str]]:
    _, _, args = inspect.cleandoc(docstring).partition("\nArgs:\n")
    for line in args.split("\n\n")[0].splitlines():
        if found := _ARGS.match(line):
            yield found[1], found[2].strip()
