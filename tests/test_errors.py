"""An error carries data and a safe text; what a person may hear is a `UserError` and nothing else."""

import inspect
import re

import pytest

from omnibot import errors
from omnibot.errors import (
    AddressRefused,
    ConfigError,
    Denied,
    KeyMissing,
    NotDelivered,
    NotLinked,
    OAuthError,
    OmnibotError,
    Problem,
    Refused,
    Tampered,
    Upstream,
    UsageError,
    UserError,
)


def test_the_tree_at_the_head_is_the_tree() -> None:
    """Every class of the module stands in its docstring, below the one it derives from."""
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"( *)[*+-] ([A-Z]\w+)", line)
        if found:
            depth = len(found[1])
            stack = [one for one in stack if one[0] < depth]
            drawn[found[2]] = stack[-1][1] if stack else "Exception"
            stack.append((depth, found[2]))
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, Exception)]

    assert {one.__name__: one.__bases__[0].__name__ for one in classes} == drawn


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotLinked("github"), "You have not linked github yet."),
        (NotLinked("redmine", "work"), "You have not linked redmine@work yet."),
        (NotLinked("github", reason="GitHub no longer accepts your link."), "GitHub no longer accepts your link."),
        (UsageError("`n` is missing."), "`n` is missing."),
        (Denied("No."), "No."),
        (Upstream("GitHub is out of order.", status=503, retry_after=7.0), "GitHub is out of order."),
    ],
)
def test_what_a_person_hears_is_the_text(error: UserError, text: str) -> None:
    """As it stands."""
    assert text == str(error)
    assert isinstance(error, UserError)


def test_errors_carry_data() -> None:
    """What decides what happens next is an attribute, never parsed from a text."""
    upstream = Upstream("x", status=429, retry_after=7.0)
    linked = NotLinked("redmine", "work")

    assert (429, 7.0) == (upstream.status, upstream.retry_after)
    assert (None, None) == (Upstream("x").status, Upstream("x").retry_after)
    assert ("redmine", "work") == (linked.provider, linked.instance)
    assert "Log in." == Refused("bad token", cure="Log in.").cure
    assert NotDelivered("x", retryable=True).retryable
    assert "0badcafe" == KeyMissing("0badcafe").key_id
    assert ("accounts", "a-1") == (Tampered("accounts", "a-1").table, Tampered("accounts", "a-1").row)


def test_a_missing_key_says_which() -> None:
    """Or that there is none at all."""
    assert "key 0badcafe is not in the key file" == str(KeyMissing("0badcafe"))
    assert "key (none) is not in the key file" == str(KeyMissing(""))


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (
            Problem("config.yaml:14", "networks.libera.port", '"66x7" is not a port', "Use 1 to 65535."),
            'config.yaml:14: networks.libera.port: "66x7" is not a port. Use 1 to 65535.',
        ),
        (Problem("config.yaml", "", "cannot be read"), "config.yaml: cannot be read"),
        (Problem("", "skills", "x"), "skills: x"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, line: str) -> None:
    """Where, what, and how to mend it."""
    assert line == str(problem)


def test_a_config_error_has_all_its_problems() -> None:
    """A line each: the operator mends them in one go."""
    problems = (Problem("a", "", "one"), Problem("b", "", "two"))

    assert problems == ConfigError(*problems).problems
    assert "a: one\nb: two" == str(ConfigError(*problems))


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("invalid_grant", "invalid_grant"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("<script>", "bad_answer"),
        ("", "bad_answer"),
        ("two words", "bad_answer"),
        ("ünicode", "bad_answer"),
        ("x" * 41, "bad_answer"),
        ("a\nb", "bad_answer"),
        ("token=canary", "bad_answer"),
        ("c0ffee" * 5, "bad_answer"),
        ("Invalid_Grant", "bad_answer"),
    ],
)
def test_an_oauth_code_is_a_word_or_it_is_not_repeated(code: str, kept: str) -> None:
    """A42: a server may put anything there."""
    error = OAuthError(code, status=400)

    assert (kept, kept, 400) == (error.code, str(error), error.status)


def test_a_refused_address_tells_a_prober_nothing() -> None:
    """A20: one text for every reason."""
    assert "That address is not one I may call." == str(AddressRefused())


def test_everything_has_one_root() -> None:
    """So that ours can be told from others'."""
    assert all(
        issubclass(one, OmnibotError)
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, Exception)
    )
