"""A configuration file being read, and what its references stand for.

A value that is ``${NAME}`` and nothing else stands for an environment variable.  A value
that becomes a `Secret` may also be ``file:path``, for what is in that file; one that becomes
a `Path` begins in the folder of the configuration.  No problem repeats what came from a
reference, wherever it was put by mistake.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from omnibot.errors import ConfigError, Problem
from omnibot.provider import Secret
from omnibot.yamlfile import BadValueError, Document, Step, problems, shown

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DEEPEST = 32
_WORTH_HIDING = 6
"""From how many characters on a value is hidden wherever it stands, and not only where it is quoted."""


_UNSEEN = "****"
"""What is shown instead of a secret."""


class Source:
    """One file, its folder and the environment, of which settings are made."""

    def __init__(self, document: Document, folder: Path, env: Mapping[str, str]) -> None:
        """Read *document*; relative paths begin in *folder*, variables are looked up in *env*."""
        self.document = document
        self.folder = folder
        self.warnings: list[Problem] = []
        self._env = env
        self._hidden: dict[str, str] = {}

    def where(self, *path: Step) -> str:
        """Return file and line of *path*, for problems that are found later: ``config.yaml:14``."""
        return self.document.where(path)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values of all secrets that were read so far."""
        return tuple(value for value, written in self._hidden.items() if written == _UNSEEN)

    def hide(self, problem: Problem) -> Problem:
        """Return *problem* without any value that came from a reference or belongs to a secret."""
        if not self._hidden:
            return problem
        values = "|".join(map(re.escape, sorted(self._hidden, key=len, reverse=True)))
        pattern = re.compile(rf"(?<!\$\{{)(?:{values})")  # what is hidden already stays as it is
        what, cure = (pattern.sub(lambda found: self._hidden[found[0]], text) for text in (problem.what, problem.cure))
        return replace(problem, what=what, cure=cure)

    def check[M: BaseModel](self, data: Any, model: type[M], at: tuple[Step, ...] = (), **how: Any) -> M:
        """Return *data*, which stands *at* a path of the document, as a *model*; *how* goes to pydantic.

        Fields of type `Secret` are made of references; a literal there becomes one of `warnings`.  Fields of type
        `Path` begin in the file's folder; what they name need not exist.

        Raises:
            ConfigError: it does not fit; every problem is in the error, in the order of the file.
        """
        found: list[Problem] = []
        data = self._resolved(data, [model], at, found)
        made = None
        try:
            made = model.model_validate(data, **how)
        except ValidationError as error:
            known = {problem.key for problem in found}
            found += (one for one in _once(problems(self.document, error, model, at)) if one.key not in known)
        # Raised here, and not above: pydantic's own error repeats the values.
        if made is None or found:
            raise ConfigError(*map(self.hide, sorted(found, key=_line)))
        return made

    def _resolved(self, value: Any, kinds: list[Any], path: tuple[Step, ...], found: list[Problem]) -> Any:
        """Return *value*, of which one of *kinds* is to be made, with its references resolved.

        Where no kind is known it stays as it is: nothing is going to be made of it.
        """
        try:
            if len(path) > _DEEPEST:
                raise BadValueError("is nested too deeply", "Flatten it.")
            if Secret in kinds and (isinstance(value, str) or {*kinds} <= {Secret, NoneType}):
                return self._secret(value, kinds, path)
            if Path in kinds and isinstance(value, str):
                return self._path(self._text(value))
            if isinstance(value, str) and kinds:
                return self._text(value)
        except BadValueError as error:
            found.append(self._problem(path, error.what, error.cure))
            return Secret("") if Secret in kinds else value
        if isinstance(value, dict):
            return {key: self._resolved_below(one, kinds, path, key, found) for key, one in value.items()}
        if isinstance(value, list):
            return [self._resolved_below(one, kinds, path, step, found) for step, one in enumerate(value)]
        return value

    def _resolved_below(
        self, value: Any, kinds: list[Any], path: tuple[Step, ...], step: Step, found: list[Problem]
    ) -> Any:
        """Return *value*, which stands at *step* of a value of *kinds*, resolved."""
        below = _below(kinds, step)
        return self._resolved(value, below, (*path, step), found) if below else value

    def _secret(self, value: object, kinds: list[Any], path: tuple[Step, ...]) -> Secret | None:
        """Return the secret that *value*, at *path*, refers to; a literal one is warned about."""
        if value is None and NoneType in kinds:
            return None
        if not isinstance(value, str) or not value:
            raise BadValueError("is not text", 'Write "${NAME}" or "file:path".')
        if value.startswith("file:"):
            text = self._file(value[5:])
        else:
            text = self._text(value)
            if not _REFERENCE.fullmatch(value):
                cure = 'Keep it elsewhere, and write "${NAME}" or "file:path" here.'
                self.warnings.append(self._problem(path, "is a literal secret", cure))
        self._hide(text, _UNSEEN)
        return Secret(text)

    def _text(self, value: str) -> str:
        """Return *value*, or that of the environment variable it stands for."""
        match = _REFERENCE.fullmatch(value)
        if match is None:
            if "${" in value:
                raise BadValueError("has a ${…} beside other text", "Write ${NAME} alone, or the value itself.")
            return value
        name = match[1]
        if not (text := self._env.get(name, "")):
            state = "empty" if name in self._env else "not set"
            raise BadValueError(f"needs the environment variable {name}, which is {state}", f"Set {name}.")
        self._hide(text, value)
        return text

    def _path(self, value: str) -> Path:
        """Return the path that *value* is, begun in the file's folder."""
        try:
            path = Path(value).expanduser() if value and "\0" not in value else None
        except RuntimeError:  # a home that nobody has
            path = None
        if path is None:
            raise BadValueError(f"{shown(value, ())} is not a path", "Write that of a file or folder.")
        return self.folder / path

    def _file(self, name: str) -> str:
        """Return what is in the file *name*, without the line end after it."""
        try:
            text = (self.folder / Path(name).expanduser()).read_text(encoding="utf-8").rstrip("\r\n")
            why = "" if text else "is empty"
        except OSError as error:
            text, why = "", f"cannot be read: {error.strerror}"
        except (ValueError, RuntimeError):  # not UTF-8; a NUL in the path; a home that nobody has
            text, why = "", "is not a file of text"
        if why:
            raise BadValueError(f"needs the file {shown(name, ())}, which {why}", "Put the secret, alone, there.")
        return text

    def _hide(self, value: str, written: str) -> None:
        """See to it that problems show *written* instead of *value*."""
        if shown(value, ()) != value:
            self._hidden[shown(value, ())] = f'"{written}"'
        if len(value) >= _WORTH_HIDING:
            self._hidden[value] = written

    def _problem(self, path: tuple[Step, ...], what: str, cure: str) -> Problem:
        """Return the problem that the value at *path* is."""
        return Problem(self.where(*path), ".".join(map(str, path)), what, cure)


def _below(kinds: Iterable[Any], step: Step) -> list[Any]:
    """Return the kinds of value that may stand at *step* of a value of *kinds*."""
    found: list[Any] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(step))
            found += _flat(field.annotation) if field else ()
        else:
            origin, args = get_origin(kind), get_args(kind)
            of_values = args[1:] if isinstance(origin, type) and issubclass(origin, Mapping) else args
            found += (part for arg in of_values for part in _flat(arg))
    return found


def _flat(annotation: Any) -> Iterator[Any]:
    """Yield the parts of a union, the kind inside an annotation, or *annotation* itself."""
    if isinstance(annotation, TypeAliasType):
        yield from _flat(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from _flat(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        yield from (part for arg in get_args(annotation) for part in _flat(arg))
    else:
        yield annotation


def _once(found: Iterable[Problem]) -> Iterator[Problem]:
    """Yield one problem a key; of a union's, those that looked deepest."""
    by_key: dict[str, Problem] = {}
    for problem in found:
        by_key.setdefault(problem.key, problem)
    for key, problem in by_key.items():
        deeper = any(other.startswith(f"{key}.") for other in by_key)
        if not (deeper and problem.what.startswith("a mapping")):
            yield problem


def _line(problem: Problem) -> int:
    """Return the line that *problem* is in."""
    line = problem.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0
