"""How a workflow's inputs are written; the rest is seen at the stand-in (tests/journeys/test_github.py)."""

import pytest

from omnibot import Upstream, UserError
from skills.github import _failed, _inputs, _not_started


def test_inputs_are_names_and_values() -> None:
    """A value may have spaces, and be empty."""
    assert {} == _inputs("")
    assert {"level": "very high", "dry": "", "url": "a=b"} == _inputs("level=very high dry= url=a=b")


@pytest.mark.parametrize("said", ["loud", "=x", "very high=1"])
def test_what_is_no_input(said: str) -> None:
    """It is said how one is written."""
    with pytest.raises(UserError, match="Write name=value"):
        _inputs(said)


def test_what_failed_is_named_with_its_step() -> None:
    """A few, and that there are more."""
    bad = [{"name": f"job {place}", "conclusion": "failure"} for place in range(4)]
    steps = [{"name": "Check out", "conclusion": "success"}, {"name": "Test", "conclusion": "failure"}]

    assert "" == _failed([{"name": "build", "conclusion": "success"}])
    assert ", in build (Test)" == _failed([{"name": "build", "conclusion": "failure", "steps": steps}])
    assert ", in job 0, job 1, job 2 …" == _failed(bad)


def test_trouble_is_not_taken_for_a_refusal() -> None:
    """What GitHub does not say of the workflow goes on as it is."""
    with pytest.raises(Upstream):
        _not_started(Upstream("out of order", status=502), "acme/site", "deploy.yml", "")
    with pytest.raises(Upstream):
        _not_started(Upstream("slow down", status=403, retry_after=60), "acme/site", "deploy.yml", "")
