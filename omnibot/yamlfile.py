"""YAML files that an operator writes: read with line numbers, checked whole, complained about in plain words.

`read` gives a `Document`; `check` holds it against a pydantic model and either returns
the model or raises a `ConfigError` with every problem found, each with file and line.
A model's own validator raises `BadValueError` to say what is wrong and how to mend it.

Read as YAML 1.2 has it: ``no``, ``on`` and ``12:30`` are text, not truth and sexagesimals.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from omnibot.errors import ConfigError, Problem

type Step = str | int
"""One step of a path into a file: a key, or a place in a list."""

_SECRET = re.compile(r"secret|passw|token|credential|(^|_)key$", re.IGNORECASE)
"""Keys whose values are never repeated: a literal secret in the file stays in the file."""

_QUOTED = re.compile(r"(alias|anchor|tag|tag handle) (['\"]).*\2")
"""What PyYAML quotes: a password that begins with ``*``, ``&`` or ``!`` and was written without quotes."""


_DEEPEST = 50
"""Levels of nesting; what operators write has a tenth of them."""


class BadValueError(ValueError):
    """What a validator of ours has to say; unlike pydantic's texts it is shown as it stands."""

    def __init__(self, what: str, cure: str = "") -> None:
        """Say *what* is wrong and, as an imperative sentence, the *cure*."""
        super().__init__(what)
        self.what = what
        self.cure = cure


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """A safe loader with YAML 1.2's core types; libyaml's, where PyYAML has it, takes an eighth of the time."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]{0,30})", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


@dataclass(frozen=True, slots=True)
class Document:
    """One file, read: its data, and where in it each key stands."""

    name: str
    """What problems call the file: ``config.yaml``."""

    data: Any = field(repr=False)
    """Plain dicts, lists and scalars; an empty file is an empty dict."""

    duplicates: tuple[Problem, ...] = ()
    """Keys written twice in one mapping, of which YAML would silently keep the last."""

    _root: yaml.Node | None = field(default=None, repr=False, compare=False)

    def line(self, path: Sequence[Step]) -> int:
        """Return the line, from 1, of the key or item at *path*, or of the nearest part of it that exists."""
        return self._walk(path)[0]

    def where(self, path: Sequence[Step]) -> str:
        """Return file and line of *path*: ``config.yaml:14``."""
        return f"{self.name}:{self.line(path)}"

    def existing(self, path: Sequence[Step]) -> tuple[Step, ...]:
        """Return the steps of *path* that lead somewhere; pydantic puts names of its own between them."""
        return self._walk(path)[1]

    def _walk(self, path: Sequence[Step]) -> tuple[int, tuple[Step, ...]]:
        """Follow *path* as far as it goes; return the last line and the steps that were found."""
        node, line, found = self._root, 1, list[Step]()
        for step in path:
            if (below := _below(node, step)) is not None:
                line, node = below[0].start_mark.line + 1, below[1]
                found.append(step)
        return line, tuple(found)


def read(source: Path | str, name: str = "") -> Document:
    """Read a file (a *Path*) or a text (a *str*), called *name* in problems.

    Raises:
        ConfigError: it cannot be read, or is not YAML.
    """
    name = name or (source.name if isinstance(source, Path) else "text")
    text = _text(source, name) if isinstance(source, Path) else source
    root, data = _parse(text, name)
    return Document(name, {} if data is None else data, tuple(_duplicates(root, name)), root)


def check[M: BaseModel](document: Document, model: type[M]) -> M:
    """Return *document* as a *model*.

    Raises:
        ConfigError: it does not fit; every problem is in the error.
    """
    found = list(document.duplicates)
    made = None
    try:
        made = model.model_validate(document.data)
    except ValidationError as error:
        found += problems(document, error, model)
    if made is None or found:
        raise ConfigError(*found)
    return made


def problems(
    document: Document, error: ValidationError, model: type[BaseModel] | None = None, at: Sequence[Step] = ()
) -> list[Problem]:
    """Return what *error* found in *document*, a `Problem` each, in the order of the file.

    *model* is what was validated, for did-you-mean on unknown keys; *at* is where in the
    document the validated part stands.  No text repeats the value of a secret.
    """
    found = []
    for one in error.errors(include_url=False):
        place = document.existing((*at, *one["loc"]))
        named = _named(one["type"], place, one["loc"])
        what, cure = _words(one["type"], shown(one["input"], named), one.get("ctx", {}), one["msg"])
        if one["type"] == "extra_forbidden" and model:
            cure = did_you_mean(str(one["loc"][-1]), _fields(model, one["loc"])) or cure
        problem = Problem(document.where(place), ".".join(map(str, named)), what, cure)
        found.append((document.line(place), problem))
    return list(dict.fromkeys(problem for _, problem in sorted(found, key=lambda pair: pair[0])))


def did_you_mean(said: str, known: Sequence[str]) -> str:
    """Return ``Did you mean "host"?`` if a *known* word is close to what was *said*, else nothing."""
    near = get_close_matches(said.lower(), known, n=1)
    return f'Did you mean "{near[0]}"?' if near else ""


def _text(path: Path, name: str) -> str:
    """Return what the file at *path* holds."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        problem = Problem(name, "", what, "Check the path, and that the bot's user may read it.")
    except UnicodeDecodeError:
        problem = Problem(name, "", "is not UTF-8 text", "Save it as UTF-8.")
    raise ConfigError(problem)


def _parse(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """Return the nodes and the data of *text*."""
    try:
        if _too_deep(text):
            raise RecursionError
        return yaml.compose(text, _Loader), yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader, see above
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{min(mark.line, text.count('\n')) + 1}" if mark else name
        what = _QUOTED.sub(r"\1", f"is not YAML: {error.problem}")
        problem = Problem(where, "", what, "Check indentation and quotes.")
    except yaml.YAMLError:
        problem = Problem(name, "", "holds characters that YAML does not allow", "Save it as plain text.")
    except RecursionError:
        problem = Problem(name, "", "is nested too deeply", "Flatten it.")
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # as int() does for `!!int x`
        problem = Problem(name, "", "has a value that does not fit its !!tag", "Take the tag out.")
    # Raised here, and not above: PyYAML's own error quotes the line, which may hold a secret.
    raise ConfigError(problem)


def _too_deep(text: str) -> bool:
    """Whether *text* is nested deeper than `_DEEPEST`; what is done with it next recurses, and libyaml's part in C."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return True
    return False


def _below(node: yaml.Node | None, step: Step) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the node that stands for *step* under *node* (its key, or the item) and its value."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _duplicates(root: yaml.Node | None, name: str) -> Iterator[Problem]:
    """Yield a problem for each key that its mapping already has; an aliased node is looked at once."""
    todo: deque[tuple[yaml.Node | None, str]] = deque([(root, "")])
    seen = set[int]()
    while todo:
        node, path = todo.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _twice(node, name, path)
            todo.extend((value, f"{path}{key.value}.") for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            todo.extend((item, f"{path}{place}.") for place, item in enumerate(node.value))


def _twice(node: yaml.MappingNode, name: str, path: str) -> Iterator[Problem]:
    """Yield a problem for each key that stands in *node*, which is at *path*, for the second time."""
    first: dict[str, yaml.Node] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, key) is not key:
            what = f"is here a second time, after line {first[key.value].start_mark.line + 1}"
            where = f"{name}:{key.start_mark.line + 1}"
            yield Problem(where, f"{path}{key.value}", what, "Keep one of the two.")


def _named(kind: str, place: tuple[Step, ...], loc: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the dotted path to show: *place*, and behind it the key that is missing, if one is."""
    return (*place, loc[-1]) if kind == "missing" else place


def shown(value: object, path: Sequence[Step]) -> str:
    """Return *value* as a problem may repeat it: short, in one line, and never a secret."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    if any(_SECRET.search(step) for step in path if isinstance(step, str)):
        return "the value"
    if value is None or isinstance(value, bool):
        return {None: "an empty value", True: "true", False: "false"}[value]
    text = "".join(char if char.isprintable() else "?" for char in str(value))
    text = text if len(text) <= 60 else f"{text[:60]}…"
    return f'"{text}"' if isinstance(value, str) else text


def _fields(model: type[BaseModel], loc: tuple[Step, ...]) -> list[str]:
    """Return the keys that are known where *loc* ends, going down from *model*."""
    here = [model]
    for step in loc[:-1]:
        at_step = [one.model_fields[str(step)].annotation for one in here if str(step) in one.model_fields]
        here = [below for annotation in at_step for below in _models(annotation)] if at_step else here
    return [alias for one in here for alias in one.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield each model that *annotation* is or contains."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _words(kind: str, shown: str, context: Mapping[str, Any], message: str) -> tuple[str, str]:
    """Return what is wrong and its cure, for pydantic's error *kind*."""
    fault = context.get("error")
    if isinstance(fault, BadValueError):
        return fault.what, fault.cure
    if isinstance(fault, ValueError):
        return str(fault), ""
    if kind in _TEXTS:
        what, cure = _TEXTS[kind]
        return what.format(shown=shown), cure
    if kind in _BOUNDS:
        return _BOUNDS[kind](shown, context)
    return f"{shown} does not fit: {message[:1].lower()}{message[1:]}", ""


_TEXT = ("{shown} is not text", "Put it in quotes.")
_WHOLE = ("{shown} is not a whole number", "Write digits only.")
_NUMBER = ("{shown} is not a number", "Write digits, with a point if need be.")
_TRUTH = ("{shown} is neither true nor false", "Write true or false.")
_LIST = ("{shown} stands where a list belongs", "Write [a, b].")
_KEYS = ("{shown} stands where keys belong", "Write `key: value` lines below it.")
_TEXTS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "Add it."),
    "extra_forbidden": ("is not a key that I know", "Take it out."),
    **dict.fromkeys(("string_type", "string_unicode", "string_sub_type"), _TEXT),
    **dict.fromkeys(("path_type", "is_instance_of"), _TEXT),  # what is to be a path, strict or not
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), _KEYS),
    "string_pattern_mismatch": ("{shown} holds a wrong character", "Check its spelling."),
}


def _choice(shown: str, context: Mapping[str, Any]) -> tuple[str, str]:
    """Say which values there are; the near one first."""
    known = re.findall(r"'([^']*)'", str(context["expected"]))
    return f"{shown} is not one of them", did_you_mean(shown, known) or f"Choose: {', '.join(known)}."


_BOUNDS: Mapping[str, Callable[[str, Mapping[str, Any]], tuple[str, str]]] = {
    "literal_error": _choice,
    "enum": _choice,
    "greater_than": lambda shown, ctx: (f"{shown} is too small", f"Go above {ctx['gt']}."),
    "greater_than_equal": lambda shown, ctx: (f"{shown} is too small", f"The least is {ctx['ge']}."),
    "less_than": lambda shown, ctx: (f"{shown} is too large", f"Stay below {ctx['lt']}."),
    "less_than_equal": lambda shown, ctx: (f"{shown} is too large", f"The most is {ctx['le']}."),
    "string_too_short": lambda shown, ctx: (f"{shown} is too short", f"The least is {ctx['min_length']}."),
    "string_too_long": lambda shown, ctx: (f"{shown} is too long", f"The most is {ctx['max_length']}."),
    "too_short": lambda shown, ctx: (f"{shown} has too few entries", f"The least is {ctx['min_length']}."),
    "too_long": lambda shown, ctx: (f"{shown} has too many entries", f"The most is {ctx['max_length']}."),
}
