"""Adapters and skills are found by name, and nothing that is not named is imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omnibot import Skill, registry
from omnibot.errors import ConfigError, Problem
from omnibot.registry import find_adapter, find_skills

ADAPTER = """\
from pydantic import BaseModel


class Settings(BaseModel):
    host: str


class Adapter:
    pass
"""

SKILL = """\
from omnibot import Skill

skill = Skill("{}")
"""

CURE = "Name a module that has a class `Adapter` and a pydantic model `Settings`."


def write(folder: Path, **files: str) -> None:
    """Write a module a keyword into the package *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def names(skills: list[Skill]) -> list[str]:
    return [skill.name for skill in skills]


def problems_of(error: pytest.ExceptionInfo[ConfigError]) -> list[str]:
    """Return what an operator reads."""
    return [str(problem) for problem in error.value.problems]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which omnibot believes itself to be, with adapters and skills of its own."""
    before = dict(sys.modules)
    for name in before:
        if name.partition(".")[0] in {"adapters", "skills"}:
            del sys.modules[name]
    write(tmp_path / "adapters", __init__="", irc=ADAPTER, matrix=ADAPTER)
    write(tmp_path / "skills", __init__="", ping=SKILL.format("ping"), help=SKILL.format("help"))
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "omnibot" / "registry.py"))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in sys.modules.keys() - before.keys():
        if name.partition(".")[0] in {"adapters", "skills", "other"}:
            del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An operator's folder of skills, empty."""
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def test_a_bare_name_is_one_of_omnibots_own(home: Path) -> None:
    """`irc` is `adapters.irc`, and the other adapters stay unimported."""
    found = find_adapter("irc")

    assert str(home / "adapters" / "irc.py") == found.__file__
    assert "adapters.matrix" not in sys.modules


def test_a_dotted_name_is_imported_as_it_stands(home: Path) -> None:
    """Other people's packages are named in full."""
    write(home / "other", __init__="", slack=ADAPTER, chess=SKILL.format("chess"))

    assert "other.slack" == find_adapter("other.slack").__name__
    assert ["chess"] == names(find_skills(["other.chess"]))


def test_skills_come_in_the_order_of_their_names(home: Path) -> None:
    """Each module gives all it declares, once, and only the named ones are imported."""
    write(home / "skills", two="from omnibot import Skill\na = Skill('a')\nb = same = Skill('b')\n")

    assert ["a", "b", "help"] == names(find_skills(["two", "help", "two"]))
    assert "skills.ping" not in sys.modules


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ircc", '"ircc" is not the name of an adapter. Did you mean "irc"?'),
        ("slack", '"slack" is not the name of an adapter. Choose one of: irc, matrix.'),
        ("__init__", '"__init__" is not the name of an adapter. Choose one of: irc, matrix.'),
        ("", '"" is not the name of an adapter. Choose one of: irc, matrix.'),
        ("adapters.ircc", '"adapters.ircc" is no module of this Python. Did you mean "adapters.irc"?'),
        ("no.such", '"no.such" is no module of this Python. Install it, or check its spelling.'),
        ("..irc", '"..irc" is no module of this Python. Install it, or check its spelling.'),
        ("os.path", f'"os.path" has no class `Adapter`, so it is no adapter. {CURE}'),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_name_that_stands_for_no_adapter_is_a_problem(name: str, said: str) -> None:
    """It says where the name was written, and offers what is there."""
    with pytest.raises(ConfigError) as error:
        find_adapter(name, where="config.yaml:3", key="networks.libera.adapter")

    assert [f"config.yaml:3: networks.libera.adapter: {said}"] == problems_of(error)


def test_an_adapter_needs_settings_that_pydantic_can_check(home: Path) -> None:
    """Without a model its options could not be checked, and a typo would pass."""
    write(home / "adapters", odd="class Adapter: pass\nclass Settings: pass\n")

    with pytest.raises(ConfigError, match="no pydantic model `Settings`"):
        find_adapter("odd")


def test_every_skill_that_cannot_be_had_is_told_at_once(home: Path, own: Path) -> None:
    """One bad name or file does not hide the next."""
    write(own, empty="", chess=SKILL.format("chess"))

    with pytest.raises(ConfigError) as error:
        find_skills(["pingg", "ping", "os.path", "ches"], own, where="config.yaml:9")

    assert [
        'config.yaml:9: skills: "pingg" is not the name of a skill. Did you mean "ping"?',
        'config.yaml:9: skills: "os.path" declares no skill. Write `skill = Skill("name")` in it.',
        'config.yaml:9: skills: "ches" is not the name of a skill. Did you mean "chess"?',
        f'{own / "empty.py"}: "empty" declares no skill. Write `skill = Skill("name")` in it.',
    ] == problems_of(error)


@pytest.mark.usefixtures("home")
def test_own_files_are_skills(own: Path) -> None:
    """Each is loaded once, named or not; tests and helpers beside them are left alone."""
    write(own, chess=SKILL.format("chess"), go=SKILL.format("go"))
    write(own, test_chess="1 / 0", _old="1 / 0", conftest="1 / 0")
    (own / "notes.txt").write_text("not Python")
    (own / "folder.py").mkdir()

    assert ["ping", "chess", "go"] == names(find_skills(["chess", "ping"], own))


@pytest.mark.usefixtures("home")
def test_own_files_have_names_of_their_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file called like a module of somebody's neither hides it nor is hidden by it."""
    write(own, json=f"from __future__ import annotations\n{SKILL.format('json')}")
    import json

    assert ["json"] == names(find_skills([], own))
    assert json is sys.modules["json"]


@pytest.mark.usefixtures("home")
def test_own_files_may_hold_dataclasses(own: Path) -> None:
    """`dataclasses` looks a module up by its name, so the name must be known."""
    imports = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    write(own, point=f"{imports}@dataclass\nclass Point:\n    x: int\n{SKILL.format('point')}")

    assert ["point"] == names(find_skills([], own))


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("import os\nx = = 1\n", 2, "SyntaxError: invalid syntax"),
        ("\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("from omnibot import Skill\n\nskill = Skill('Not A Word')\n", 3, "ValueError: skill Not A Word: "),
        ("import no_such_thing\n", 1, "ModuleNotFoundError: No module named 'no_such_thing'"),
        ("raise SystemExit\n", 1, "SystemExit"),
        ("def f():\n    exec('= bad')\nf()\n", 2, "SyntaxError: invalid syntax"),
        ("x = '\xff'\n", 1, "SyntaxError: "),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_broken_file_is_told_with_its_line(own: Path, text: str, line: int, what: str) -> None:
    """The line is the operator's own, however deep the error; other files are still looked at."""
    (own / "bad.py").write_text(text, encoding="latin-1")
    write(own, worse="1 / 0")

    with pytest.raises(ConfigError) as error:
        find_skills([], own)

    first, second = error.value.problems
    assert f"{own / 'bad.py'}:{line}" == first.where
    assert first.what.startswith(what)
    assert f"{own / 'worse.py'}:1" == second.where
    assert not [name for name in sys.modules if name.endswith("_bad")]


def test_a_broken_module_is_told_with_its_line(home: Path) -> None:
    """So is one of omnibot's own, or of another package."""
    write(home / "adapters", broken="\nimport json\njson.loads('nonsense')\n")
    write(home / "other", __init__="import other.deep\n", deep="1 / 0\n")

    with pytest.raises(ConfigError, match=r"adapters/broken\.py:3: JSONDecodeError: Expecting value"):
        find_adapter("broken")
    with pytest.raises(ConfigError, match=r"other/deep\.py:1: ZeroDivisionError"):
        find_adapter("other.deep")


def test_a_missing_library_is_named(home: Path) -> None:
    """An adapter whose client library is not installed is not called unknown."""
    write(home / "adapters", discord="import no_discord.client\n")

    with pytest.raises(ConfigError) as error:
        find_adapter("discord")

    assert [
        'adapter: "discord" needs `no_discord`, which is not installed. Install it, or take `discord` out.'
    ] == problems_of(error)


@pytest.mark.usefixtures("home")
def test_two_skills_of_one_name_are_a_problem(own: Path) -> None:
    """Which would answer would be chance; a skill that another file merely imports is no second one."""
    write(own, also="from skills.help import skill\n", mine=SKILL.format("ping"))

    with pytest.raises(ConfigError) as error:
        find_skills(["ping", "help"], own)

    said = '"mine" declares the skill "ping", and so does "ping". Rename one of them, or take it out.'
    assert [f"{own / 'mine.py'}: {said}"] == problems_of(error)


@pytest.mark.usefixtures("home")
def test_a_skills_dir_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    """It does not hide what else is wrong."""
    with pytest.raises(ConfigError) as error:
        find_skills(["pingg"], tmp_path / "none")

    gone, unknown = error.value.problems
    assert ("skills_dir", "pingg") == (gone.key, unknown.what.split('"')[1])
    assert f'"{tmp_path / "none"}" cannot be read: No such file or directory' == gone.what


def test_somebody_elses_package_is_not_taken_for_ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `adapters` from the index is refused in one sentence, and not run."""
    write(home / "index" / "adapters", __init__="raise AssertionError('was run')", irc=ADAPTER)
    monkeypatch.syspath_prepend(home / "index")

    with pytest.raises(ConfigError) as error:
        find_adapter("irc")

    assert (
        Problem(
            "",
            "",
            f"the package `adapters` belongs beside `omnibot` in {home}, "
            f"and was found in {home / 'index' / 'adapters'}",
            "Remove the other `adapters`, or start omnibot from its own folder.",
        ),
    ) == error.value.problems


@pytest.mark.parametrize("kind", ["a module", "a namespace", "made by hand"])
def test_whatever_else_is_called_skills_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A plain file, a folder without `__init__`, an object in `sys.modules`."""
    monkeypatch.syspath_prepend(home / "index")
    if kind == "a module":
        write(home / "index", skills="")
    elif kind == "a namespace":
        (home / "skills" / "__init__.py").unlink()
        (home / "index" / "skills").mkdir(parents=True)
    else:
        monkeypatch.setitem(sys.modules, "skills", type(sys)("skills"))

    with pytest.raises(ConfigError, match="the package `skills` belongs beside `omnibot`"):
        find_skills(["ping"])


def test_every_skill_that_is_shipped_is_found() -> None:
    """Each declares what it says, whatever else is installed."""
    folder = Path(registry.__file__).parent.parent / "skills"
    shipped = [path.stem for path in sorted(folder.glob("[a-z]*.py"))]

    assert len(find_skills(shipped)) >= len(shipped)
