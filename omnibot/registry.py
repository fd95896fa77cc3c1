"""Finds adapters and skills by the names an operator writes, and imports only those.

A bare name (``irc``) is a module of omnibot's own ``adapters`` or ``skills`` package; a
dotted one is imported as it stands; ``skills_dir`` holds the operator's own files.
Whatever is wrong with any of them is a `ConfigError` that says where.
"""

import contextlib
import logging
import pkgutil
import sys
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module, invalidate_caches
from importlib.util import cache_from_source, find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Literal

from pydantic import BaseModel

from omnibot.errors import ConfigError, Problem
from omnibot.skill import Skill
from omnibot.yamlfile import did_you_mean

type Package = Literal["adapters", "skills"]

_NOT_SKILLS = ("_", "test_", "conftest")
"""How names begin, in ``skills_dir``, of files that belong to a skill and are none."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a name was written, for problems with what it names."""

    where: str
    key: str
    name: str

    def error(self, what: str, cure: str) -> ConfigError:
        """Return the error that says *what* is wrong with the named thing."""
        return ConfigError(Problem(self.where, self.key, f'"{self.name}" {what}', cure))


def find_adapter(name: str, *, where: str = "", key: str = "adapter") -> ModuleType:
    """Import the adapter called *name*; it has a class ``Adapter`` and a pydantic model ``Settings``.

    *where* and *key* tell where the name was written, for the problem.

    Raises:
        ConfigError: there is no such adapter, it does not import, or it is none.
    """
    place = _Place(where, key, name)
    module = _import("adapters", place, _shipped("adapters"))
    adapter, settings = getattr(module, "Adapter", None), getattr(module, "Settings", None)
    cure = "Name a module that has a class `Adapter` and a pydantic model `Settings`."
    if not isinstance(adapter, type):
        raise place.error("has no class `Adapter`, so it is no adapter", cure)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel)):
        raise place.error("has no pydantic model `Settings`, so it is no adapter", cure)
    return module


def shipped_adapters() -> tuple[str, ...]:
    """Return the names of the adapters that come with omnibot, none imported.

    Raises:
        ConfigError: Python finds another package of that name.
    """
    return tuple(sorted(_shipped("adapters")))


def shipped_skills() -> tuple[str, ...]:
    """Return the names of the skills that come with omnibot, none imported.

    Raises:
        ConfigError: Python finds another package of that name.
    """
    return tuple(sorted(_shipped("skills")))


def find_skills(
    names: Iterable[str], skills_dir: Path | None = None, *, where: str = "", key: str = "skills"
) -> list[Skill]:
    """Import the skills called *names*, then every file of *skills_dir*; return them in that order.

    Each ``*.py`` in *skills_dir* is a skill module of its own, apart from ``_*.py``,
    ``test_*.py`` and ``conftest.py``.  It may stand in *names* as well, but need not.

    Raises:
        ConfigError: with the problems of every one of them.
    """
    found: dict[str, tuple[Skill, str]] = {}
    problems: list[Problem] = []
    for place, load in _loaders(names, skills_dir, where, key, problems):
        try:
            problems += _declare(found, _skills_in(load(), place), place)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return [skill for skill, _ in found.values()]


def import_anew(name: str, skills_dir: Path | None = None) -> list[Skill]:
    """Import the skill module called *name* as if for the first time, and return the skills it declares.

    So are the modules beside it called ``_*.py`` that it imports; what it does not import stays as it is.  If it
    fails, what was imported before is as it was.

    Raises:
        ConfigError: there is no such module, it does not import, or it declares no skill.
    """
    shipped, own = _shipped("skills"), _own_files(skills_dir) if skills_dir else {}
    place = _Place("", "", name)
    path = own.get(name) if name not in shipped else None
    invalidate_caches()
    before = {full: module for full, module in sys.modules.items() if _belongs(full, module, name, path)}
    for full, module in before.items():
        _take_out(full)
        _forget_compiled(module)
    try:
        skills = _skills_in(_import("skills", place, (*shipped, *own)) if path is None else _load(path), place)
    except BaseException:
        for full, module in list(sys.modules.items()):
            if _belongs(full, module, name, path):
                _take_out(full)
        _put_back(before)
        raise
    _put_back({full: module for full, module in before.items() if full not in sys.modules})
    return skills


def _take_out(full: str) -> None:
    """Let Python forget the module called *full*, which its package knows by its last name as well."""
    del sys.modules[full]
    package, _, last = full.rpartition(".")
    if package in sys.modules:
        vars(sys.modules[package]).pop(last, None)


def _put_back(modules: Mapping[str, ModuleType]) -> None:
    """Let Python know *modules* again, by their full names."""
    for full, module in modules.items():
        sys.modules[full] = module
        package, _, last = full.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], last, module)


def _belongs(full: str, module: ModuleType | None, name: str, path: Path | None) -> bool:
    """Whether the imported *module* is the one called *name*, with its file at *path* if it is the operator's own.

    So are its private helpers.
    """
    file = Path(getattr(module, "__file__", None) or "")
    if path is not None:
        return file == path or (file.parent == path.parent and file.stem.startswith("_"))
    if "." in name:
        return full == name or full.startswith(f"{name}.")
    return full == f"skills.{name}" or full.startswith("skills._")


def _forget_compiled(module: ModuleType) -> None:
    """Drop what Python keeps of *module*'s file: within the same second it would be taken for what is there now."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        Path(cache_from_source(module.__file__ or "")).unlink()


def _loaders(
    names: Iterable[str], skills_dir: Path | None, where: str, key: str, problems: list[Problem]
) -> list[tuple[_Place, Callable[[], ModuleType]]]:
    """Return, for each skill module there is to import, its place and how to import it."""
    shipped = _shipped("skills")
    try:
        own = _own_files(skills_dir) if skills_dir else {}
    except ConfigError as error:
        problems += error.problems
        own = {}
    listed = [_Place(where, key, name) for name in dict.fromkeys(names) if name in shipped or name not in own]
    return [
        *((place, partial(_import, "skills", place, (*shipped, *own))) for place in listed),
        *((_Place(str(path), "", name), partial(_load, path)) for name, path in own.items()),
    ]


def _declare(found: dict[str, tuple[Skill, str]], skills: Iterable[Skill], place: _Place) -> list[Problem]:
    """Put *skills*, declared at *place*, with those *found*; return a problem for each name taken twice."""
    problems: list[Problem] = []
    for skill in skills:
        other, first = found.setdefault(skill.name, (skill, place.name))
        if other is not skill:
            what = f'declares the skill "{skill.name}", and so does "{first}"'
            problems += place.error(what, "Rename one of them, or take it out.").problems
    return problems


def _skills_in(module: ModuleType, place: _Place) -> list[Skill]:
    """Return the skills that *module*, named at *place*, declares."""
    if skills := [value for value in vars(module).values() if isinstance(value, Skill)]:
        for one in skills:
            one.module = place.name
        return skills
    raise place.error("declares no skill", 'Write `skill = Skill("name")` in it.')


def _shipped(package: Package) -> tuple[str, ...]:
    """Return the names of the modules in omnibot's own *package*; none of them is imported.

    Raises:
        ConfigError: Python finds another package of that name; both are on the package index.
    """
    home = Path(__file__).parent.parent
    try:
        spec = find_spec(package)
    except ValueError:  # somebody made a module of that name by hand
        spec = None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if [home.resolve()] != [Path(folder).parent.resolve() for folder in folders]:
        at = ", ".join(folders) or (spec and spec.origin) or "nowhere"
        what = f"the package `{package}` belongs beside `omnibot` in {home}, and was found in {at}"
        cure = f"Remove the other `{package}`, or start omnibot from its own folder."
        raise ConfigError(Problem("", "", what, cure))
    return tuple(one.name for one in pkgutil.iter_modules(folders) if not one.name.startswith("_"))


def _import(package: Package, place: _Place, known: Sequence[str]) -> ModuleType:
    """Import the module that *place* names; *known* are the bare names there are."""
    name = place.name
    full = name if "." in name else f"{package}.{name}"
    if not all(part.isidentifier() for part in name.split(".")) or ("." not in name and name not in known):
        raise _unknown(package, place, known)
    try:
        return import_module(full)
    except ModuleNotFoundError as error:
        if error.name and f"{full}.".startswith(f"{error.name}."):
            raise _unknown(package, place, known) from None
        what = f"needs `{error.name}`, which is not installed"
        raise place.error(what, f"Install it, or take `{name}` out.") from error
    except (Exception, SystemExit) as error:
        spec = find_spec(full.partition(".")[0])
        home = Path((spec and spec.origin) or full).parent
        raise _broken(error, home, f"Mend it, or take `{name}` out.") from error


def _unknown(package: Package, place: _Place, known: Sequence[str]) -> ConfigError:
    """Return the error for a name that stands for nothing."""
    if "." in place.name:
        near = did_you_mean(place.name, [f"{package}.{name}" for name in known])
        return place.error("is no module of this Python", near or "Install it, or check its spelling.")
    near = did_you_mean(place.name, known)
    what = f"is not the name of {'an adapter' if package == 'adapters' else 'a skill'}"
    return place.error(what, near or f"Choose one of: {', '.join(sorted(known))}.")


def _own_files(folder: Path) -> Mapping[str, Path]:
    """Return the operator's skill files in *folder*, by name."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".py" and path.is_file())
    except OSError as error:
        what = f'"{folder}" cannot be read: {error.strerror}'
        cure = "Make that folder, or take `skills_dir` out."
        raise ConfigError(Problem("", "skills_dir", what, cure)) from None
    return {path.stem: path for path in paths if not path.stem.startswith(_NOT_SKILLS)}


def _load(path: Path) -> ModuleType:
    """Run the file at *path* as a module under a name that nothing else has."""
    name = f"_own_skill_{zlib.crc32(bytes(path)):08x}_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None  # a path that ends in `.py` always has both
    module = sys.modules[name] = module_from_spec(spec)  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(error, path, "Mend it, or take it out of `skills_dir`.") from error
    return module


def _broken(error: BaseException, home: Path, cure: str) -> ConfigError:
    """Return the problem of a module, in or at *home*, that raised *error* while it was imported."""
    _log.debug("import failed", exc_info=error)
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        frames.append((error.filename or "", error.lineno))
    ours = [(file, line) for file, line in frames if Path(file).is_relative_to(home)]
    file, line = ours[-1] if ours else (str(home), 1)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return ConfigError(Problem(f"{file}:{line or 1}", "", " ".join(what.split())[:200], cure))
