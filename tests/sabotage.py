"""Which tests run, and whether they notice that a guard is gone.

``pytest --row T4`` runs the tests of one row of the feature table, those marked
``@pytest.mark.row("T4")``.

A test of an attack may say how to take away the guard that it is about::

    @pytest.mark.attack("A8", sabotage=lambda patch: patch.setattr(Flows, "spend", spend_twice))
    async def test_a_link_works_once() -> None: ...

``pytest --sabotage`` runs those tests, each with its guard gone from before its
fixtures are made until it is torn down, and turns the outcome of the call round:
the test passes when it fails by an assertion, and fails when it passes, or when
anything else goes wrong.  Tests that name no sabotage are left out.
"""

from collections.abc import Callable, Generator

import pytest

type Sabotage = Callable[[pytest.MonkeyPatch], object]

PATCH = pytest.StashKey[pytest.MonkeyPatch]()
UNNOTICED = "the guard was removed and nothing noticed"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("omnibot")
    group.addoption("--row", action="append", default=[], metavar="ID", help="run the tests of this row only")
    group.addoption("--sabotage", action="store_true", help="take guards away; tests have to notice")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rows = set(config.getoption("--row"))
    wanted = [item for item in items if _sabotage_of(item) or not config.getoption("--sabotage")]
    if rows:
        wanted = [item for item in wanted if rows.intersection(_ids(item, "row"))]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


def _ids(item: pytest.Item, marker: str) -> set[str]:
    ids: set[str] = set()
    for mark in item.iter_markers(marker):
        if not mark.args or not all(isinstance(one, str) for one in mark.args):
            raise pytest.UsageError(f'{item.nodeid}: write @pytest.mark.{marker}("ID")')
        ids.update(mark.args)
    return ids


def _sabotage_of(item: pytest.Item) -> Sabotage | None:
    _ids(item, "attack")
    found = [mark.kwargs["sabotage"] for mark in item.iter_markers("attack") if "sabotage" in mark.kwargs]
    if len(found) > 1 or not all(map(callable, found)):
        raise pytest.UsageError(f"{item.nodeid}: an attack has one sabotage, a function that takes a MonkeyPatch")
    return found[0] if found else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with pytest.MonkeyPatch.context() as patch:
        item.stash[PATCH] = patch
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    sabotage = _sabotage_of(item)
    if sabotage is not None and item.config.getoption("--sabotage"):
        sabotage(item.stash[PATCH])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not item.config.getoption("--sabotage") or report.when != "call" or report.skipped:
        return report
    if call.excinfo is None:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {UNNOTICED}"
    elif _is_assertion(call.excinfo.value):
        report.outcome = "passed"
        report.longrepr = None
    else:
        reason = "with its guard removed the test has to fail by an assertion, and not by this"
        report.sections.append(("sabotage", reason))
    return report


def _is_assertion(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_assertion, error.exceptions))
    return isinstance(error, AssertionError | pytest.fail.Exception)
