"""A test of an attack that would not notice a missing guard is found out."""

import pytest

SUITE = """
import pytest

class Door:
    locked = True

def unlock(patch):
    patch.setattr(Door, "locked", False)

def burn(patch):
    raise ValueError("the sabotage itself is broken")

@pytest.fixture
def door():
    return Door()
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> "Run":
    """Runs the tests that it is given, in a folder of their own, with the machinery of this suite."""
    pytester.makeini("""
        [pytest]
        markers =
            row(id): a row
            attack(id, sabotage=None): an attack
        addopts = --strict-markers -p sabotage -p no:cacheprovider -p no:hypothesispytest -p no:simcord -p no:xdist
        filterwarnings = error
        asyncio_mode = auto
        asyncio_default_fixture_loop_scope = function
    """)
    return Run(pytester)


class Run:
    """``run(tests, *options)`` gives the result of those tests."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, tests: str, *options: str) -> pytest.RunResult:
        self.pytester.makepyfile(SUITE + tests)
        return self.pytester.runpytest_inprocess(*options)


NOTICES = """
@pytest.mark.attack("A1", sabotage=unlock)
def test_the_door_is_locked(door):
    assert door.locked
"""


def test_a_sabotage_is_only_information_without_the_option(run: Run) -> None:
    """Run as usual, the guard is in place and the test passes."""
    run(NOTICES).assert_outcomes(passed=1)


def test_a_test_that_notices_passes(run: Run) -> None:
    """The guard is gone, the assertion fails, and that is what is wanted."""
    run(NOTICES, "--sabotage").assert_outcomes(passed=1)


def test_a_test_that_does_not_notice_fails(run: Run) -> None:
    """The report says that nothing noticed."""
    result = run(
        """
@pytest.mark.attack("A1", sabotage=unlock)
def test_the_door_exists(door):
    assert door
""",
        "--sabotage",
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_the_door_exists: the guard was removed and nothing noticed"])


def test_a_coroutine_and_its_fixtures_meet_the_sabotage(run: Run) -> None:
    """The guard is gone before fixtures are made, and a failing `pytest.raises` counts as an assertion."""
    result = run(
        """
@pytest.fixture
async def opened(door):
    return not door.locked

@pytest.mark.attack("A1", sabotage=unlock)
async def test_it_cannot_be_opened(opened):
    assert not opened

@pytest.mark.attack("A2", sabotage=unlock)
async def test_opening_is_refused(opened):
    with pytest.raises(PermissionError):
        if not opened:
            raise PermissionError
""",
        "--sabotage",
    )

    result.assert_outcomes(passed=2)


def test_a_group_of_failed_assertions_is_an_assertion(run: Run) -> None:
    """So tasks in a group may assert; one other error among them spoils it."""
    result = run(
        """
@pytest.mark.attack("A1", sabotage=unlock)
def test_many_at_once(door):
    if not door.locked:
        raise ExceptionGroup("tasks", [AssertionError(), AssertionError()])

@pytest.mark.attack("A1", sabotage=unlock)
def test_many_at_once_and_a_slip(door):
    if not door.locked:
        raise ExceptionGroup("tasks", [AssertionError(), KeyError()])
""",
        "--sabotage",
    )

    result.assert_outcomes(passed=1, failed=1)


def test_any_other_error_is_a_failure(run: Run) -> None:
    """A crash shows that something broke, not that something was guarded."""
    result = run(
        """
@pytest.mark.attack("A1", sabotage=unlock)
def test_crashes(door):
    if not door.locked:
        raise KeyError("door")
""",
        "--sabotage",
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*KeyError*", "*has to fail by an assertion*"])


def test_an_error_in_the_set_up_is_a_failure(run: Run) -> None:
    """Whether the sabotage or a fixture fails, and be it by an assertion."""
    result = run(
        """
@pytest.fixture
def closed(door):
    assert door.locked

@pytest.mark.attack("A1", sabotage=unlock)
def test_with_a_fixture_that_asserts(closed): ...

@pytest.mark.attack("A1", sabotage=burn)
def test_with_a_broken_sabotage(door): ...
""",
        "--sabotage",
    )

    result.assert_outcomes(errors=2)


def test_each_test_has_its_own_sabotage(run: Run) -> None:
    """A guard is back before the next test begins."""
    result = run(
        NOTICES
        + """
def paint(patch):
    patch.setattr(Door, "colour", "red", raising=False)

@pytest.mark.attack("A2", sabotage=paint)
def test_it_is_locked_and_never_painted(door):
    assert door.locked
    assert not hasattr(door, "colour")
""",
        "--sabotage",
        "-v",
    )

    result.assert_outcomes(passed=2)


def test_tests_without_a_sabotage_are_left_out(run: Run) -> None:
    """They have nothing to say while guards are gone."""
    result = run(
        NOTICES
        + """
@pytest.mark.attack("A2")
def test_an_attack_without_one(): ...

def test_no_attack(): ...
""",
        "--sabotage",
    )

    result.assert_outcomes(passed=1, deselected=2)


def test_a_skipped_test_stays_skipped(run: Run) -> None:
    """A server that is missing proves nothing either way."""
    result = run(
        """
@pytest.mark.attack("A1", sabotage=unlock)
def test_skips(door):
    pytest.skip("no server")
""",
        "--sabotage",
    )

    result.assert_outcomes(skipped=1)


@pytest.mark.parametrize("marker", ["attack(sabotage=unlock)", 'attack("A1", sabotage="unlock")', "row(4)"])
def test_a_marker_written_wrongly_is_refused(run: Run, marker: str) -> None:
    """The run ends before any test, with a sentence about the test that is wrong."""
    result = run(f"@pytest.mark.{marker}\ndef test_x(): ...\n", "--row", "T4")

    assert pytest.ExitCode.USAGE_ERROR == result.ret
    result.stderr.fnmatch_lines(["ERROR: *::test_x: *"])


def test_a_row_selects_its_tests(run: Run) -> None:
    """Rows may be given several times, to a test and on the command line."""
    tests = """
@pytest.mark.row("T4")
@pytest.mark.row("J1")
def test_one(): ...

@pytest.mark.row("T5")
def test_two(): ...

def test_three(): ...
"""

    run(tests, "--row", "T4").assert_outcomes(passed=1, deselected=2)
    run(tests, "--row", "T4", "--row", "T5").assert_outcomes(passed=2, deselected=1)
