"""Discord's menu: what it offers, within Discord's limits, and what was picked there."""

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.menu import Menu, Payload
from omnibot.command import Command, Commands, Parameter, bind, compose, read_signature

# Application Command Naming; that names are lower case is beside it.
NAME = re.compile(r"[-_'\w]{1,32}")


class Colour(Enum):
    """A choice."""

    RED = "red"
    GREEN = "light green"


Many = Literal[
    "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9",
    "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9",
]  # fmt: skip


def nothing(ctx: Any) -> None: ...


def everything(  # noqa: D417 - some are described
    ctx: Any,
    count: int,
    colour: Colour,
    share: float = 1.0,
    sure: bool = False,
    text: str = "",
    *,
    per_page: int,
    which: Many = "a1",
) -> None:
    """Take everything.

    Args:
        count: how `many`
        text: what it says
    """


def command(*path: str, handler: Callable[..., Any] = nothing, **more: Any) -> Command:
    given: dict[str, Any] = {"summary": "Do it", **more}
    return Command(path, path[0], handler, parameters=read_signature(handler), **given)


def only(menu: Menu) -> Payload:
    (payload,) = menu.payload()
    return payload


def names(payload: Payload) -> list[str]:
    return [one["name"] for one in payload.get("options", ())]


def picked(*words: str, **values: object) -> Payload:
    """Return the data of an interaction, as Discord sends it."""
    data: Payload = {"name": words[-1], "options": [{"name": name, "value": one} for name, one in values.items()]}
    for depth, word in enumerate(reversed(words[:-1])):
        data = {"name": word, "options": [data | {"type": 2 if depth else 1}]}
    return data | {"id": "40", "type": 1}


def test_a_word_is_a_command() -> None:
    """Where it may be used is said on the outside."""
    assert {
        "type": 1,
        "name": "ping",
        "description": "Do it",
        "options": [],
        "contexts": [0, 1, 2],
        "integration_types": [0, 1],
    } == only(Menu([command("ping")]))
    narrow = only(Menu([command("ping")], contexts=[0], integration_types=[0]))
    assert ([0], [0]) == (narrow["contexts"], narrow["integration_types"])


def test_parameters_are_options_of_their_type() -> None:
    """Required ones first; few choices are shown, many are completed."""
    found = only(Menu([command("do", handler=everything)]))["options"]

    assert [
        ("count", 4, True),
        ("colour", 3, True),
        ("per-page", 4, True),
        ("share", 10, False),
        ("sure", 5, False),
        ("text", 3, False),
        ("which", 3, False),
    ] == [(one["name"], one["type"], one["required"]) for one in found]
    assert ["how many", "colour", "per page"] == [one["description"] for one in found[:3]]
    assert [{"name": "red", "value": "red"}, {"name": "light green", "value": "light green"}] == found[1]["choices"]
    assert (True, False) == (found[6]["autocomplete"], "choices" in found[6])


def test_words_are_groups_and_subcommands() -> None:
    """Up to three; a command that is a group as well is found below it, by a name that is free."""
    paths = [("gh",), ("gh", "issue"), ("gh", "issue", "new"), ("gh", "issue", "show"), ("gh", "show"), ("notes",)]
    menu = Menu([command(*path) for path in paths] + [command("notes", "show"), command("notes", "add")])
    gh, notes = menu.payload()
    issue, show, run = gh["options"]

    assert [("issue", 2), ("show", 1), ("run", 1)] == [(one["name"], one["type"]) for one in (issue, show, run)]
    assert ["new", "show", "run"] == names(issue)
    assert ["add", "show", "run"] == names(notes)
    assert ["Commands of gh", "Commands of gh issue"] == [gh["description"], issue["description"]]
    for words, path in [
        (("gh", "run"), "gh"),
        (("gh", "issue", "run"), "gh issue"),
        (("gh", "issue", "new"), "gh issue new"),
        (("notes", "show"), "notes show"),
    ]:
        found = menu.find(picked(*words))
        assert found is not None
        assert path == found[0].name


def test_a_command_that_changes_something_is_run_and_not_shown() -> None:
    """Where it gets a name of its own."""
    assert ["now", "run"] == names(only(Menu([command("stop", effect="change"), command("stop", "now")])))
    taken = [command("stop", one) for one in ("show", "run", "do", "run-2")]
    assert "run-3" in names(only(Menu([command("stop"), *taken])))


def test_a_linked_command_asks_which_account() -> None:
    """By a name that no parameter has; not where a parameter names the service."""

    def taken(ctx: Any, account: str) -> None: ...

    def service(ctx: Any, service: str) -> None: ...

    menu = Menu(
        [
            command("a", providers=("demo",)),
            command("b", handler=taken, providers=("demo",)),
            command("c", handler=service, provider_from="service"),
        ]
    )

    assert [["account"], ["account", "instance"], ["service"]] == [names(one) for one in menu.payload()]
    assert "required" not in menu.payload()[0]["options"][0]
    found = menu.find(picked("b", account="x", instance=" work "))
    assert found is not None
    assert ({"account": "x"}, "work") == found[1:]


def test_a_secret_is_never_said_in_a_menu() -> None:
    """It is typed into a form."""

    def link(ctx: Any, service: str, key: str = "") -> None: ...

    assert ["service"] == names(only(Menu([command("link", handler=link, secret="key")])))


def test_what_is_picked_is_read_back_from_a_line() -> None:
    """By parameter, whatever the option is called; composed and bound, it is what was picked."""
    one = command("do", handler=everything, providers=("demo",))
    book = Commands()
    book.add(one)
    menu = Menu(book)
    data = picked("do", **{"per-page": 3, "count": 2, "colour": "light green", "share": 1, "account": "work"})
    found = menu.find(data)

    assert found == (one, {"per_page": 3, "count": 2, "colour": "light green", "share": 1}, "work")
    line = compose(*found, prefix="!", book=book)
    assert '!do@work --per-page 3 2 "light green" 1' == line
    call = book.find(line[1:])
    assert call is not None
    assert (2, Colour.GREEN, 1.0, 3) == tuple(
        bind(one, call.rest)[name] for name in ("count", "colour", "share", "per_page")
    )


@pytest.mark.parametrize(
    "data",
    [
        picked("gone"),
        picked("do", gone="x"),
        picked("do", "now"),
        picked("do", text=["x"]),
        {},
        {"name": "do", "options": [{"type": 1}]},
    ],
)
def test_what_the_menu_does_not_have_is_not_guessed(data: Payload) -> None:
    """A client may still show an older menu."""
    assert Menu([command("do", handler=everything)]).find(data) is None


def test_many_choices_are_completed() -> None:
    """Those first that begin as was typed; 25 at most; none for what is no choice."""
    menu = Menu([command("do", "it", handler=everything)])

    def completed(option: str, typed: str) -> list[str]:
        data = picked("do", "it", count=1, **{option: typed})
        data["options"][0]["options"][-1]["focused"] = True
        return [one["value"] for one in menu.complete(data)]

    assert ["a2", "b2", "c2"] == completed("which", "2")
    assert "c1" == completed("which", " C")[0]
    assert 25 == len(completed("which", ""))
    assert [] == completed("text", "")
    assert [] == completed("gone", "")
    assert [] == menu.complete(picked("do", "it", which="2"))
    assert [] == menu.complete(picked("gone"))


def test_choices_that_discord_cannot_show_are_typed() -> None:
    """Empty ones, and long ones."""
    long = "x" * 101

    def handler(ctx: Any, a: Literal["", "b"], c: str) -> None: ...

    handler.__annotations__["c"] = Literal[long]
    a, c = only(Menu([command("do", handler=handler)]))["options"]

    assert (True, False) == (a["autocomplete"], "autocomplete" in c)
    assert "choices" not in a
    assert "choices" not in c


def test_what_does_not_fit_is_left_out_and_told() -> None:
    """A hundred commands, 25 below one, 8,000 characters of each."""
    tops = Menu([command(f"c{number:03}") for number in range(102)])
    assert 100 == len(tops.payload())
    assert ["`c100`", "`c101`"] == [one.split()[0] for one in tops.left_out]
    assert tops.find(picked("c100")) is None

    below = Menu([command("x"), *(command("x", f"c{number:02}") for number in range(25))])
    assert 25 == len(only(below)["options"])
    assert ["`x` is left out: Discord's menu takes 25 commands under one word."] == below.left_out

    said = tuple(Parameter(f"p{number}", str, required=True, description="y" * 100) for number in range(5))
    long = Menu([Command(("x", f"c{number:02}"), "x", nothing, "Do it", parameters=said) for number in range(25)])
    assert long.left_out
    assert 25 == len(long.left_out) + len(only(long)["options"])
    assert long.left_out[0].startswith("`x c24` is left out: what begins with one word may have 8000 characters")

    labels = tuple(f"{number}{'z' * 90}" for number in range(10, 20))
    wide = tuple(Parameter(f"p{number}", str, required=True, choices=labels) for number in range(25))
    alone = Menu([Command(("x",), "x", nothing, "Do it", parameters=wide)])
    assert [] == alone.payload()
    assert ["`x` is left out: a command may have 8000 characters in Discord's menu."] == alone.left_out


def test_the_hash_changes_with_the_menu_only() -> None:
    """Not with the order in which skills were loaded."""
    one, other = command("a"), command("b")

    assert Menu([one, other]).hash() == Menu([other, one]).hash()
    assert Menu([one]).hash() != Menu([one, other]).hash()
    assert Menu([one]).hash() != Menu([one], contexts=[0]).hash()


WORDS = st.text("ab1-", min_size=1, max_size=3)
PATHS = st.lists(WORDS, min_size=1, max_size=3).map(tuple)
NAMES = st.from_regex(r"[A-Za-zÄß_][A-Za-z0-9Äß_]{0,40}", fullmatch=True)


@given(st.sets(PATHS, max_size=40), st.lists(NAMES, max_size=25, unique=True), st.text(max_size=200))
def test_every_menu_is_one_that_discord_takes(paths: set[tuple[str, ...]], options: list[str], text: str) -> None:
    """Whatever the commands are; and each that is not left out is found by its words."""
    parameters = tuple(Parameter(name, str, required=len(name) % 2 == 0, description=text) for name in options)
    commands = [Command(path, "x", nothing, text, parameters=parameters, providers=("demo",)) for path in paths]
    menu = Menu(commands)
    found = [menu.find(picked(*words)) for words in leaves(menu.payload())]

    assert all(within_limits(payload) for payload in menu.payload())
    assert len(commands) == len({one[0].path for one in found if one is not None}) + len(menu.left_out)


def leaves(payloads: list[Payload]) -> Iterator[tuple[str, ...]]:
    for payload in payloads:
        below = [one for one in payload.get("options", ()) if one["type"] in (1, 2)]
        yield from ((payload["name"], *words) for words in leaves(below)) if below else [(payload["name"],)]


def within_limits(payload: Payload, depth: int = 0) -> bool:
    assert NAME.fullmatch(payload["name"])
    assert payload["name"] == payload["name"].lower()
    assert 1 <= len(payload["description"]) <= 100
    options = payload.get("options", [])
    assert len(options) <= 25
    assert len(names(payload)) == len(set(names(payload)))
    required = [one.get("required", False) for one in options]
    assert required == sorted(required, reverse=True)
    assert depth < 2 or all(one["type"] > 2 for one in options)
    return all(within_limits(one, depth + 1) for one in options)
