"""docs/security.md maps each attack that it names to the tests that show it to fail."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "security.md"
ATTACKS = ROOT / "tests" / "attacks"
EVERY = [f"A{number}" for number in range(1, 73)]

_ROW = re.compile(r"^\| (A\d+) \| (.+) \|$", re.MULTILINE)
_FILE = re.compile(r"\]\(\.\./(tests/[\w/]+\.py)\)")

COLUMNS = 5
"""Behind the row's name: the attack, what holds, its tests, what it is tried on, the guards that are taken away."""


def rows() -> dict[str, list[str]]:
    """Return the cells of each row of the table; a row that stands there twice is as wrong as none."""
    found = _ROW.findall(PAGE.read_text("utf-8"))
    assert len(found) == len({name for name, _ in found})
    return {name: cells.split(" | ") for name, cells in found}


def marks() -> Iterator[tuple[str, str, bool]]:
    """Yield row, file and whether there is a sabotage, of each test that is marked as an attack."""
    for path in sorted(ATTACKS.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for one in node.decorator_list:
                    if isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.attack":
                        (name,) = [ast.literal_eval(said) for said in one.args]
                        yield name, f"tests/attacks/{path.name}", any(said.arg == "sabotage" for said in one.keywords)


TABLE = rows()
MARKS = list(marks())


def test_every_row_is_there() -> None:
    """In order, with something in each column."""
    assert EVERY == list(TABLE)
    assert dict.fromkeys(EVERY, COLUMNS) == {name: len(cells) for name, cells in TABLE.items()}
    assert [] == [name for name, cells in TABLE.items() if not all(map(str.strip, cells))]


@pytest.mark.parametrize("name", EVERY)
def test_a_row_names_its_tests(name: str) -> None:
    """All files with a test of it and no other, the one that is named after it among them; one has a sabotage."""
    named = _FILE.findall(TABLE[name][2])

    assert {file for row, file, _ in MARKS if row == name} == set(named)
    assert any(sabotaged for row, _, sabotaged in MARKS if row == name)
    assert any(f"test_a{int(name[1:]):02}_" in file for file in named)


def test_no_test_is_of_another_row() -> None:
    """A mark that is mistyped would be a test of nothing."""
    assert set(EVERY) >= {row for row, _, _ in MARKS}


@pytest.mark.parametrize("path", sorted(ATTACKS.glob("test_a*.py")), ids=lambda path: path.stem)
def test_a_file_says_what_it_is_about(path: Path) -> None:
    """Which attack it is, and what must hold."""
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""

    assert re.search(rf"\bA{int(path.stem[6:8])}\b", said)
    assert "What must hold:" in said
