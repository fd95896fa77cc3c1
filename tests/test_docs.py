"""What the documents say is so: their code runs, their links lead somewhere, their files and keys exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from adapters.console import Settings as ConsoleSettings
from adapters.discord import Settings as DiscordSettings
from adapters.irc import Settings as IrcSettings
from adapters.matrix import Settings as MatrixSettings
from omnibot.configfile import File, NetworkPart, ProviderPart, RoomPart, RulePart
from omnibot.registry import find_skills

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LABEL = re.compile(r"^# ([\w./-]+\.(?:py|ini))$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH = re.compile(r"[\w./-]+(?:\.(?:css|html|md|py|sh|sql|toml|yaml)|/)|Makefile|LICENSE")

_SHOWN = {"true": True, "false": False, "none": None}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Give language and text of each code block on *page*."""
    for found in _FENCE.finditer(page.read_text("utf-8")):
        yield found[1], found[2]


def prose(page: Path) -> str:
    """Return *page* without its code blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def heading_ids(page: Path) -> set[str]:
    """Return the anchors that the headings of *page* get."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", ["README.md", "docs/writing-a-skill.md", "docs/writing-an-adapter.md"])
def test_code_in_the_documents_runs(name: str, pytester: pytest.Pytester) -> None:
    """Each Python block names its file, and the tests among those files pass."""
    folders, tests = set(), 0
    for language, text in blocks(ROOT / name):
        if language not in ("python", "ini"):
            continue
        label = _LABEL.match(text.partition("\n")[0])
        assert label is not None, f"this block of {name} names no file:\n{text}"
        path = pytester.path / label[1]
        assert not path.exists(), f"{name} has {label[1]} twice"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        if path.name.startswith("test_"):
            folders.add(path.parent)
            tests += len(re.findall(r"^async def test_|^class Test", text, re.MULTILINE))
    if not list(pytester.path.rglob("pytest.ini")):
        (folder,) = folders
        pytester.makeini(f"[pytest]\nasyncio_mode = auto\nomnibot_skills_dir = {folder.name}\n")

    result = pytester.runpytest_subprocess("-p", "no:omnibot", "-p", "omnibot.pytest_plugin", *folders)

    outcomes = result.parseoutcomes()
    assert {"failed", "errors", "skipped"}.isdisjoint(outcomes)
    assert tests <= outcomes["passed"]
    assert tests


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file there is, and a heading that is in it."""
    for target in _LINK.findall(prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        led = (page.parent / path).resolve() if path else page

        assert led.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in heading_ids(led), f"{page.name} links to {target}"


def test_pictures_are_there_shown_and_small() -> None:
    """Each that a page shows exists, and each that exists is shown; `tools/screenshots.py` makes them."""
    shown = {
        (page.parent / path).resolve()
        for page in DOCS
        for path in re.findall(r'(?:src|srcset)="([^"]+)"', page.read_text("utf-8"))
    }
    sizes = {path: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}

    assert shown == set(sizes)
    assert max(sizes.values()) < 150_000
    assert sum(sizes.values()) < 600_000


def test_every_file_of_the_architecture_exists() -> None:
    """A path in backticks is one from the root of the repository."""
    named = {one for one in re.findall(r"`([^`\n]+)`", prose(ROOT / "docs/architecture.md")) if _PATH.fullmatch(one)}

    assert [] == sorted(one for one in named if not (ROOT / one).exists())
    assert "omnibot/turn.py" in named


def documented_keys(*sections: str) -> Iterator[dict[str, str]]:
    """Give what the tables of the operator's page say, key and default: outside *sections*, and in each of them."""
    page, parts = prose(ROOT / "docs/operating.md"), []
    for section in sections:
        found = re.search(rf"^### {section}\n(.*?)^#", page, re.MULTILINE | re.DOTALL)
        assert found is not None
        parts.append(found[1])
        page = page.replace(found[1], "")
    for part in (page, *parts):
        rows = re.findall(r"^\| `([\w.]+)` \| ([^|]*) \|[^|]+\|$", part, re.MULTILINE)
        yield {key: default.strip().strip("`") for key, default in rows}


def model_keys(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, Any]]:
    """Give each key of *model* as the operator's page writes it, and its default."""
    inner: dict[str, type[BaseModel]] = {"networks": NetworkPart, "providers": ProviderPart, "rooms": RoomPart}
    for name, field in ((field.alias or name, field) for name, field in model.model_fields.items()):
        if not before and name in inner:
            yield from model_keys(inner[name], f"{name}.NAME.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from model_keys(field.annotation, f"{before}{name}.")
        elif RulePart in get_args(field.annotation):
            yield from model_keys(RulePart, f"{before}{name}.")
        else:
            parts = [one for one in get_args(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
            if type(None) not in get_args(field.annotation) or not parts:
                yield f"{before}{name}", field.get_default(call_default_factory=True)
            for part in parts:
                yield from model_keys(part, f"{before}{name}.")


def test_every_key_of_the_configuration_is_documented() -> None:
    """The operator's page names the keys there are, each with its default, and no other."""
    settings = (ConsoleSettings, IrcSettings)
    keys = dict([*model_keys(File), *(key for one in settings for key in model_keys(one, "networks.NAME."))])
    real_ones = [keys, *(dict(model_keys(one, "networks.NAME.")) for one in (MatrixSettings, DiscordSettings))]
    rows: list[tuple[str, str, Any]] = []
    for real_keys, documented in zip(real_ones, documented_keys("Matrix", "Discord"), strict=True):
        assert sorted(real_keys) == sorted(documented)
        rows += [(key, default, real_keys[key]) for key, default in documented.items()]
    for key, default, real in rows:
        if isinstance(real, bool | int | float):
            assert real == _SHOWN.get(default, float(default) if default[:1].isdigit() else default), key
        elif isinstance(real, list) and real and all(isinstance(one, str) for one in real):
            assert f"[{', '.join(real)}]" == default, key
        elif isinstance(real, str) and real and key != "networks.NAME.user":
            assert real == default, key


def test_every_command_is_on_the_page_of_skills() -> None:
    """By its skill's section; the words of a bare skill, and those behind the skill's word or an alias of it."""
    page = (ROOT / "docs" / "skills.md").read_text("utf-8")
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", page, re.MULTILINE))
    by_skill = {name: text for heads, text in sections.items() for name in heads.split(", ")}
    names = sorted(path.stem for path in (ROOT / "skills").glob("[a-z]*.py") if path.stem != "notes")

    missing = [
        command.name
        for skill in find_skills(names, None)
        for command in skill.commands
        if not _is_named(by_skill.get(skill.name, ""), skill.bare, command.path)
    ]

    assert [] == missing


def _is_named(section: str, bare: bool, path: tuple[str, ...]) -> bool:
    words = " ".join(path if bare or len(path) == 1 else path[1:])
    spoken = rf"!{re.escape(words)}\b" if bare or len(path) == 1 else rf"(!\S+ |`){re.escape(words)}\b"
    return re.search(spoken, section) is not None
