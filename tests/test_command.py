"""From words to a call: what a signature says, what a line means, and what does not fit."""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, IntEnum
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasty import NASTY
from omnibot.command import (
    Call,
    Command,
    Commands,
    Parameter,
    bind,
    compose,
    holds_secret,
    read_docstring,
    read_signature,
)
from omnibot.errors import UsageError
from omnibot.identity import Assurance
from omnibot.message import unquoted


class Colour(Enum):
    """A choice whose words are its values."""

    RED = "red"
    GREEN = "light green"


class Level(IntEnum):
    """A choice whose words are numbers."""

    LOW = 1
    HIGH = 2


def command(handler: Callable[..., Any], **more: Any) -> Command:
    return Command(("do",), "test", handler, "Do it", parameters=read_signature(handler), **more)


def refusal(handler: Callable[..., Any], text: str) -> str:
    with pytest.raises(UsageError) as caught:
        bind(command(handler), text)
    return str(caught.value)


def plain(ctx: Any, count: int, name: str = "world") -> None:
    """Take a number and the rest."""


def many(
    ctx: Any,
    colour: Colour,
    size: Literal["small", "big"] = "small",
    *,
    days: int = 7,
    ratio: float | None = None,
    all_: bool = False,
    dry_run: bool,
    label: str = "",
) -> None:
    """Take everything."""


def words(ctx: Any, first: str, second: str, *, loud: bool = False) -> None:
    """Take a word and the rest."""


# -------------------------------------------------------------------------------------- signatures


def test_a_signature_is_read_as_it_stands() -> None:
    """The context is left out; the last string takes the rest."""
    assert (
        Parameter("count", int, required=True),
        Parameter("name", str, required=False, default="world", rest=True),
    ) == read_signature(plain)


def test_keyword_only_parameters_are_options() -> None:
    """A bool is false where it is not said, also without a default; an underscore is written as a dash."""
    found = {one.name: one for one in read_signature(many)}

    assert (True, (Colour.RED, Colour.GREEN), False) == (
        found["colour"].required,
        found["colour"].choices,
        found["colour"].option,
    )
    assert (str, ("small", "big"), False) == (found["size"].kind, found["size"].choices, found["size"].rest)
    assert (float, None, True) == (found["ratio"].kind, found["ratio"].default, found["ratio"].option)
    assert (False, False) == (found["dry_run"].required, found["dry_run"].default)
    assert not found["label"].rest


def test_only_the_last_of_the_words_takes_the_rest() -> None:
    """Options after it do not count, choices take one word."""

    def chosen(ctx: Any, text: str, kind: Literal["a"]) -> None: ...

    assert [False, True, False] == [one.rest for one in read_signature(words)]
    assert [False, False] == [one.rest for one in read_signature(chosen)]


def test_an_optional_type_is_the_type() -> None:
    """However it is written."""

    def handler(ctx: Any, a: int | None = None, b: Optional[str] = None) -> None: ...  # noqa: UP045 - authors write it

    assert [int, str] == [one.kind for one in read_signature(handler)]


type Metal = Literal["gold", "tin"]


def test_a_type_may_have_a_name() -> None:
    """What it stands for counts."""

    def handler(ctx: Any, metal: Metal, other: Metal | None = None) -> None: ...

    assert [("gold", "tin")] * 2 == [one.choices for one in read_signature(handler)]


def test_a_command_may_take_nothing() -> None:
    """Then it has no parameters."""

    def handler(ctx: Any) -> None: ...

    assert () == read_signature(handler)


@pytest.mark.parametrize("hint", [list[str], dict, object, int | str, bytes, Any], ids=str)
def test_what_cannot_be_typed_in_a_chat_is_refused(hint: Any) -> None:
    """When the skill loads, not when somebody uses it."""

    def handler(ctx: Any, thing: Any) -> None: ...

    handler.__annotations__["thing"] = hint

    with pytest.raises(TypeError, match=r"parameter thing: .* cannot be typed in a chat"):
        read_signature(handler)


def test_stars_and_missing_annotations_are_refused() -> None:
    """Nobody could say what they take."""

    def bare(ctx, thing):  # type: ignore[no-untyped-def]
        ...

    def star(ctx: Any, *things: str) -> None: ...

    def stars(ctx: Any, **things: str) -> None: ...

    with pytest.raises(TypeError, match="parameter thing has no annotation"):
        read_signature(bare)
    with pytest.raises(TypeError, match="star parameters"):
        read_signature(star)
    with pytest.raises(TypeError, match="star parameters"):
        read_signature(stars)


def test_a_docstring_gives_summary_details_and_descriptions() -> None:
    """The first line without its full stop; what stands before ``Args:``; a line for each argument."""

    def handler(ctx: Any, repo: str, title: str) -> None:  # noqa: D417 - the context is not typed in chat
        """Open an issue.

        It is yours.
        And nobody's else.

        Args:
            repo: owner and name
            title (str): what it is about
            nobody: not a parameter

        Returns:
            nothing: at all
        """

    first, second = read_signature(handler)

    assert ("Open an issue", "It is yours.\nAnd nobody's else.") == read_docstring(handler)
    assert ("owner and name", "what it is about") == (first.description, second.description)


def test_a_docstring_may_be_short_or_missing() -> None:
    """Then there is nothing to describe."""

    def short(ctx: Any, a: int) -> None:
        """Do it."""

    def none(ctx: Any, a: int) -> None: ...

    assert ("Do it", "") == read_docstring(short)
    assert ("", "") == read_docstring(none)
    assert "" == read_signature(none)[0].description


# ------------------------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("handler", "usage"),
    [
        (plain, "!do <count> [name…]"),
        (words, "!do <first> <second…> [--loud]"),
        (
            many,
            (
                "!do <red|light green> [small|big] "
                "[--days <days>] [--ratio <ratio>] [--all-] [--dry-run] [--label <label>]"
            ),
        ),
    ],
)
def test_a_usage_line_shows_how_it_is_written(handler: Callable[..., Any], usage: str) -> None:
    """Angle brackets for what must be there, square ones for what may."""
    assert usage == command(handler).usage()


def test_a_required_option_stands_without_brackets() -> None:
    """Its choices are shown."""

    def handler(ctx: Any, *, level: Level, per_page: int) -> None: ...

    assert ">do --level <1|2> --per-page <per-page>" == command(handler).usage(">")


# ------------------------------------------------------------------------------------------ binding


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("3", (3, "world")),
        ("3 Ada", (3, "Ada")),
        ("  3   Ada  Lovelace ", (3, "Ada  Lovelace")),
        ('3 "Ada Lovelace"', (3, "Ada Lovelace")),
        ('3 "Ada" Lovelace', (3, '"Ada" Lovelace')),
        ('3 say "hi"', (3, 'say "hi"')),
        ('3 "a \\"b\\" \\\\ c"', (3, 'a "b" \\ c')),
        ("3 two\nlines", (3, "two\nlines")),
        ("#3 x", (3, "x")),
        ("-3 x", (-3, "x")),
        ('"3" x', (3, "x")),
        ("3 --count", (3, "--count")),
        ('3 "', (3, '"')),
        ('3 ""', (3, "")),
    ],
)
def test_the_last_words_are_taken_as_they_stand(text: str, bound: tuple[int, str]) -> None:
    """A quoted stretch is one argument; around all of the rest, quotes are taken off."""
    found = bind(command(plain), text)

    assert bound == (found["count"], found["name"])


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("one two three", "one", "two three"),
        ('"one two" three', "one two", "three"),
        ("“one two” three", "one two", "three"),
        ("„one two“ three", "one two", "three"),
        ("”one two” three", "one two", "three"),
        ("“one\\” two” three", "one” two", "three"),
        ('“one "two"” three', 'one "two"', "three"),
        ('"one “two”" three', "one “two”", "three"),
        ("one “two three”", "one", "two three"),
        ("one say “two” three", "one", "say “two” three"),
        ("o“ne two”", "o“ne", "two”"),
        ('"one\\" two" three', 'one" two', "three"),
        ("it's fine", "it's", "fine"),
        ('a"b c"', 'a"b', 'c"'),
    ],
)
def test_a_quoted_stretch_is_one_argument(text: str, first: str, second: str) -> None:
    """With the quotes that phones write as well."""
    found = bind(command(words), text)

    assert (first, second) == (found["first"], found["second"])


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("red", {}),
        ("RED", {}),
        ('"light green"', {"colour": Colour.GREEN}),
        ("red big", {"size": "big"}),
        ("red --days 3", {"days": 3}),
        ("--days 3 red", {"days": 3}),
        ("red --days=3 BIG", {"days": 3, "size": "big"}),
        ("red --days\n3", {"days": 3}),
        ("red --ratio 0.5", {"ratio": 0.5}),
        ("red --dry-run", {"dry_run": True}),
        ("red --dry-run\nbig", {"dry_run": True, "size": "big"}),
        ("red --dry-run=no", {"dry_run": False}),
        ("red --dry-run=YES --all- big", {"dry_run": True, "all_": True, "size": "big"}),
        ('red --label "two words" big', {"label": "two words", "size": "big"}),
        ('red --label="two words" big', {"label": "two words", "size": "big"}),
        ("red --label --days", {"label": "--days"}),
    ],
)
def test_options_stand_anywhere_before_the_rest(text: str, changes: dict[str, Any]) -> None:
    """With a blank, a line break or an equals sign before their value."""
    plainly = {"colour": Colour.RED, "size": "small", "days": 7, "ratio": None, "all_": False}

    assert {**plainly, "dry_run": False, "label": "", **changes} == bind(command(many), text)


@pytest.mark.parametrize(
    ("line", "second", "loud"),
    [
        ("one --loud two", "two", True),
        ("one two --loud", "two", True),
        ("one two --loud three", "two --loud three", False),
        ('one "two --loud"', "two --loud", False),
        ("one “two --loud”", "two --loud", False),
        ("one -- two --loud", "two --loud", False),
        ("one --loud -- --loud", "--loud", True),
        ("one two -- three --loud", "two -- three", True),
        ("one two --quiet", "two --quiet", False),
    ],
)
def test_an_option_may_stand_before_the_rest_or_behind_it(line: str, second: str, loud: bool) -> None:
    """What stands within the text, or is quoted, belongs to the text."""
    bound = bind(command(words), line)

    assert (second, loud) == (bound["second"], bound["loud"])


def test_several_options_may_stand_behind_the_rest() -> None:
    """With their values; one without is missed."""

    def handler(ctx: Any, text: str = "", *, loud: bool = False, by: str = "") -> None: ...

    assert {"text": "a b", "loud": True, "by": "me and you"} == bind(command(handler), 'a b --by "me and you" --loud')
    assert {"text": "a b", "loud": True, "by": "me and you"} == bind(command(handler), "a b --by “me and you” --loud")
    assert {"text": "a --by b", "loud": False, "by": ""} == bind(command(handler), '"a --by b"')
    assert {"text": "a", "loud": False, "by": "me"} == bind(command(handler), "a --by=me")
    assert {"text": "", "loud": True, "by": ""} == bind(command(handler), "--loud")
    assert "`--by` wants a value." in refusal(handler, "a --by")


@pytest.mark.parametrize("word", ["yes", "TRUE", "on", "1"])
def test_a_bool_may_be_a_word(word: str) -> None:
    """In any case."""

    def handler(ctx: Any, sure: bool) -> None: ...

    assert {"sure": True} == bind(command(handler), word)
    assert {"sure": False} == bind(command(handler), {"yes": "no", "TRUE": "false", "on": "OFF", "1": "0"}[word])
    assert "`sure` is yes or no, not `maybe`." in refusal(handler, "maybe")


def test_an_enum_of_numbers_is_chosen_by_number() -> None:
    """And given as the member."""

    def handler(ctx: Any, level: Level) -> None: ...

    assert {"level": Level.HIGH} == bind(command(handler), "2")
    assert "`level` is one of 1, 2, not `3`." in refusal(handler, "3")


@pytest.mark.parametrize(
    ("handler", "text", "why"),
    [
        (plain, "", "`count` is missing."),
        (plain, "many", "`count` is a whole number, not `many`."),
        (plain, "1.5", "`count` is a whole number, not `1.5`."),
        (plain, "9" * 5000, "`count` is a whole number"),
        (plain, '"3 x', "A quote is not closed."),
        (words, "one", "`second` is missing."),
        (words, '"one two', "A quote is not closed."),
        (words, '"one"two three', "A quote is not closed."),
        (words, "--loud --loud one two", "`--loud` is there twice."),
        (many, "blue", "`colour` is one of red, light green, not `blue`."),
        (many, "red huge", "`size` is one of small, big, not `huge`."),
        (many, "red big more", "I do not know what to do with `more`."),
        (many, "red --frob", "`size` is one of small, big, not `--frob`."),
        (many, "red --days", "`--days` wants a value."),
        (many, "red --days=", "`--days` wants a value."),
        (many, "red --days three", "`days` is a whole number, not `three`."),
        (many, "red --ratio half", "`ratio` is a number, not `half`."),
        (many, "red --dry-run=perhaps", "`dry_run` is yes or no, not `perhaps`."),
        (many, 'red --label "open', "A quote is not closed."),
    ],
)
def test_what_does_not_fit_is_said_with_the_usage(handler: Callable[..., Any], text: str, why: str) -> None:
    """What, and how it is written."""
    said = refusal(handler, text)

    assert said.startswith(why)
    assert said.endswith(f" Usage: `{command(handler).usage()}`")


def test_what_is_repeated_is_short_and_harmless() -> None:
    """It stands between backticks, on one line."""
    said = refusal(plain, "`" + "x" * 100 + "\ny")
    shown = said.partition(", not ")[2].partition(". Usage")[0]

    assert "`'" + "x" * 38 + "…`" == shown


def test_a_command_without_parameters_takes_nothing() -> None:
    """More is too much."""

    def handler(ctx: Any) -> None: ...

    assert {} == bind(command(handler), "  ")
    assert "I do not know what to do with `more`." in refusal(handler, "more")


@given(st.sampled_from([plain, many, words]), st.text() | st.text(alphabet='"\\ =-ared3\n“'))
def test_binding_raises_nothing_but_usage_errors(handler: Callable[..., Any], text: str) -> None:
    """Whatever people type; and what it returns fits the signature."""
    try:
        bound = bind(command(handler), text)
    except UsageError:
        return

    assert {one.name for one in read_signature(handler)} == set(bound)


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_the_rest_is_never_changed_but_for_quotes_around_it(text: str) -> None:
    """No blank, no line break, no letter of it."""
    found = bind(command(plain), f"1 {text}")["name"]
    stripped = text.strip()

    assert found == stripped or (stripped[0] in '"“”„' and stripped[-1] in '"“”')


# ------------------------------------------------------------------------------------------ the book


def named(*path: str, skill: str = "") -> Command:
    return Command(path, skill or path[0], lambda: None, "Do it")


@pytest.fixture
def book() -> Commands:
    """Commands of two skills, the one with an alias."""
    book = Commands()
    for path in [("gh",), ("gh", "issue"), ("gh", "issue", "new"), ("gh", "issues"), ("ping",)]:
        book.add(named(*path))
    book.alias("hub", "gh")
    return book


@pytest.mark.parametrize(
    ("line", "path", "selector", "rest"),
    [
        ("gh", "gh", "", ""),
        ("gh issue", "gh issue", "", ""),
        ("gh issue new", "gh issue new", "", ""),
        ("gh issue new a  b", "gh issue new", "", "a  b"),
        ("gh  issue  new  a", "gh issue new", "", "a"),
        ("gh issue old", "gh issue", "", "old"),
        ("gh issue 'new thing'", "gh issue", "", "'new thing'"),
        ("GH Issue NEW Title Case", "gh issue new", "", "Title Case"),
        ("hub issues", "gh issues", "", ""),
        ("gh@work issue new x", "gh issue new", "work", "x"),
        ("HUB@Work issues", "gh issues", "Work", ""),
        ("gh@a@b", "gh", "a@b", ""),
        ("ping two\nlines", "ping", "", "two\nlines"),
        ("gh\nissue", "gh issue", "", ""),
    ],
)
def test_the_longest_path_is_the_command(book: Commands, line: str, path: str, selector: str, rest: str) -> None:
    """Its words in any case; what follows is left as it stands."""
    call = book.find(line)

    assert call is not None
    assert (path, selector, rest) == (call.command.name, call.selector, call.rest)


@pytest.mark.parametrize("line", ["", "  ", "frob", "issue new", "@work", "new gh"])
def test_what_begins_with_no_command_is_none(book: Commands, line: str) -> None:
    """Nothing is guessed here."""
    assert book.find(line) is None


def test_what_stands_below_a_word_is_offered(book: Commands) -> None:
    """In order; by an alias too; nothing said offers everything."""
    assert ["gh issue", "gh issue new"] == [one.name for one in book.below("HUB issue")]
    assert 4 == len(book.below("gh"))
    assert [] == book.below("frob")
    assert list(book) == book.below("")


def test_the_book_is_in_order(book: Commands) -> None:
    """By path."""
    assert ["gh", "gh issue", "gh issue new", "gh issues", "ping"] == [one.name for one in book]


@pytest.mark.parametrize(
    ("line", "nearest"),
    [("pong", "ping"), ("gh isue new title", "gh issue new"), ("GH ISSUSE", "gh issues"), ("pin me up", "ping")],
)
def test_a_near_miss_is_found(book: Commands, line: str, nearest: str) -> None:
    """By as many of its words as fit."""
    assert nearest in book.nearest(line)


def test_what_is_far_from_everything_is_near_nothing(book: Commands) -> None:
    """Three at most otherwise, each once, and only among those asked for."""
    assert [] == book.nearest("xyzzy")
    assert [] == book.nearest("")
    assert 3 >= len(book.nearest("gh issue new")) == len(set(book.nearest("gh issue new")))
    assert ["ping"] == book.nearest("pong", [named("ping")])
    assert [] == book.nearest("gh issues", [named("ping")])


def test_a_path_belongs_to_one_command(book: Commands) -> None:
    """Both skills are named."""
    with pytest.raises(ValueError, match="skills ping and other both define `ping`"):
        book.add(named("ping", skill="other"))


def test_an_alias_stands_for_one_word_that_is_no_command(book: Commands) -> None:
    """Said twice it is no harm."""
    book.alias("hub", "gh")
    with pytest.raises(ValueError, match="the alias `hub` is taken"):
        book.alias("hub", "ping")
    with pytest.raises(ValueError, match="the alias `ping` is taken"):
        book.alias("ping", "gh")


def test_a_book_becomes_another(book: Commands) -> None:
    """With its commands and aliases, and none of what it held before; the other stays as it is."""
    other = Commands()
    other.add(named("ping"))
    other.alias("p", "ping")
    book.become(other)

    assert ["ping"] == [one.name for one in book] == [one.name for one in other]
    assert book.find("hub issues") is None
    assert book.find("p") is not None
    book.alias("hub", "ping")


@pytest.fixture
def spelled(book: Commands) -> Commands:
    """The same book, with a command that has further spellings: fewer words than its path, and more."""
    book.add(replace(named("gh", "setupauth"), also=(("gh", "setup", "auth"), ("gh", "set", "up", "auth"))))
    book.add(named("gh", "set"))
    return book


@pytest.mark.parametrize(
    ("line", "path", "selector", "rest"),
    [
        ("gh setupauth now", "gh setupauth", "", "now"),
        ("gh setup auth  now", "gh setupauth", "", "now"),
        ("GH@work Set UP auth\nnow", "gh setupauth", "work", "now"),
        ("hub set up auth", "gh setupauth", "", ""),
        ("gh set up", "gh set", "", "up"),
        ("gh setup", "gh", "", "setup"),
    ],
)
def test_a_further_spelling_is_the_same_command(
    spelled: Commands, line: str, path: str, selector: str, rest: str
) -> None:
    """The longest spelling counts, through aliases and with a selector; half a spelling is none."""
    call = spelled.find(line)

    assert call is not None
    assert (path, selector, rest) == (call.command.name, call.selector, call.rest)


def test_a_further_spelling_is_listed_once_and_found_by_its_words(spelled: Commands) -> None:
    """The command is listed by its path; what is offered and guessed counts its spellings."""
    assert 1 == [one.name for one in spelled].count("gh setupauth")
    assert ["gh set", "gh setupauth"] == [one.name for one in spelled.below("hub set")]
    assert ["gh setupauth"] == [one.name for one in spelled.below("gh set up")]
    assert ["gh setupauth"] == spelled.nearest("gh set up auht")[:1]


def test_a_further_spelling_belongs_to_one_command(spelled: Commands) -> None:
    """Neither a path nor another spelling may be the same, and it goes with its skill."""
    with pytest.raises(ValueError, match="both define `gh setup auth`"):
        spelled.add(named("gh", "setup", "auth"))
    with pytest.raises(ValueError, match="both define `gh issue new`"):
        spelled.add(replace(named("gh", "other"), also=(("gh", "issue", "new"),)))
    with pytest.raises(ValueError, match="both define `gh set up auth`"):
        spelled.add(replace(named("gh", "another"), also=(("gh", "set", "up", "auth"),)))
    spelled.become(Commands())

    assert spelled.find("gh set up auth") is None


def test_a_line_with_a_further_spelling_is_composed_around() -> None:
    """What is composed of a command's path is not read back as another's spelling."""
    book = Commands()
    book.add(command(say))
    book.add(replace(named("do", "nothing"), also=(("do", "what", "i", "say"),)))
    line = compose(command(say), {"text": "what i say"}, book=book)
    call = book.find(line[1:])

    assert '!do "what i say"' == line
    assert call is not None
    assert command(say) == call.command


def test_a_command_knows_whether_it_acts_for_somebody() -> None:
    """By its providers, or by the parameter that names one."""
    bare = named("x")

    assert not bare.linked
    assert Command(("x",), "x", lambda: None, providers=("demo",)).linked
    assert Command(("x",), "x", lambda: None, provider_from="service").linked
    assert "gh issue" == named("gh", "issue").name
    assert Call(bare, "", "") == Call(named("x"), "", "")
    assert Assurance.STRONG == Command(("x",), "x", lambda: None, minimum=Assurance.STRONG).minimum


# ---------------------------------------------------------------------------------------- composing


def say(ctx: Any, text: str = "") -> None: ...


def pick(
    ctx: Any, size: Literal["small", "very big", "--loud", ""] = "small", level: Level = Level.LOW, *, loud: bool = True
) -> None: ...


def measure(ctx: Any, count: int, share: float, sure: bool, note: str = "", *, by: str = "", hot: bool) -> None: ...


def between(ctx: Any, first: str = "one", count: int = 2, last: str = "") -> None: ...


WORDS_AT_WORST = (
    NASTY
    | st.text(alphabet='"\\“”„ =->\n\r\x85ax1h@', max_size=12)
    | st.sampled_from(
        [
            "--loud",
            "a --loud",
            "a --by x",
            "--",
            "-- a",
            "--help",
            "-h",
            "two",
            "issue new",
            "a\n> b",
            "\n >",
            "",
            " ",
            "“a”",
        ]
    )
)
HANDLERS: list[Callable[..., Any]] = [plain, many, words, say, pick, measure, between]
KINDS: dict[type, st.SearchStrategy[Any]] = {
    str: WORDS_AT_WORST,
    int: st.integers(),
    float: st.floats(allow_nan=False) | st.integers(-5, 5),
    bool: st.booleans(),
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[Command, dict[str, object]]:
    """A command of any path and signature, and values for it: all that is required, some of the rest."""
    handler = draw(st.sampled_from(HANDLERS))
    one = command(handler)
    values = {}
    for parameter in one.parameters:
        if parameter.required or draw(st.booleans()):
            source = st.sampled_from(parameter.choices) if parameter.choices else KINDS[parameter.kind]
            values[parameter.name] = draw(source)
    path = draw(st.sampled_from([("do",), ("do", "issue"), ("do", "issue", "new")]))
    return Command(path, "test", handler, parameters=one.parameters), values


def read_back(line: str, book: Commands, prefix: str = "!") -> tuple[Command, str, dict[str, Any]]:
    """Return what is understood of *line* where it is heard."""
    text = unquoted(line).strip()
    assert text.startswith(prefix)
    call = book.find(text.removeprefix(prefix).strip())
    assert call is not None
    assert call.rest.strip() not in ("--help", "-h")
    return call.command, call.selector, bind(call.command, call.rest)


@given(calls(), st.sampled_from(["", "work", "a@b"]), st.booleans())
def test_what_is_composed_is_read_back(called: tuple[Command, dict[str, object]], selector: str, known: bool) -> None:
    """Exactly, whatever the values are; also where other commands' paths begin alike."""
    one, values = called
    book = Commands()
    book.add(one)
    for path in [("do", "two"), ("do", "issue", "new"), ("do", "1"), ("do", "a", "x")]:
        if path != one.path:
            book.add(named(*path))
    line = compose(one, values, selector, book=book if known else None)
    defaults = {parameter.name: parameter.default for parameter in one.parameters}

    assert (one, selector, defaults | values) == read_back(line, book)


@pytest.mark.parametrize(
    ("handler", "values", "line"),
    [
        (plain, {"count": 3, "name": "Ada  Lovelace"}, "!do 3 Ada  Lovelace"),
        (plain, {"count": 3, "name": 'say "hi"'}, '!do 3 say "hi"'),
        (plain, {"count": 3, "name": " x"}, '!do 3 " x"'),
        (plain, {"count": 3, "name": "--help"}, '!do 3 "--help"'),
        (plain, {"count": 3, "name": None}, "!do 3"),
        (plain, {"count": 3, "name": "a\n> b"}, '!do 3 "a\n\\> b"'),
        (words, {"first": "one two", "second": 'it is "so"'}, '!do "one two" it is "so"'),
        (words, {"first": "one", "second": "well--known", "loud": True}, "!do --loud one well--known"),
        (words, {"first": "one", "second": "two --loud"}, "!do -- one two --loud"),
        (many, {"colour": "light green", "days": 3, "dry_run": True}, '!do --days 3 --dry-run "light green"'),
        (many, {"colour": "red", "all_": False, "dry_run": False}, "!do red"),
        (pick, {"loud": False}, "!do --loud=no"),
        (pick, {"level": "2"}, "!do small 2"),
        (between, {"last": "end"}, "!do one 2 end"),
        (measure, {"count": 1, "share": 0.5, "sure": False, "note": "n"}, "!do 1 0.5 no n"),
    ],
)
def test_a_line_reads_as_a_person_would_write_it(
    handler: Callable[..., Any], values: dict[str, object], line: str
) -> None:
    """Quotes only where they are needed, options first, a default written where a later argument is given."""
    book = Commands()
    book.add(command(handler))

    assert line == compose(command(handler), values, book=book)


def test_a_first_word_that_may_be_of_a_path_is_quoted() -> None:
    """Unless the book says that it is not."""
    book = Commands()
    book.add(command(say))
    book.add(named("do", "issue", "new"))

    assert '!do "issue newest"' == compose(command(say), {"text": "issue newest"})
    assert "!do issue newest" == compose(command(say), {"text": "issue newest"}, book=book)
    assert '!do "issue new one"' == compose(command(say), {"text": "issue new one"}, book=book)
    assert "do@work Issue!" == compose(command(say), {"text": "Issue!"}, "work", "")


def test_what_cannot_be_written_is_said() -> None:
    """An omitted argument without a default that could stand for it; a selector that is no word."""

    def handler(ctx: Any, count: int | None = None, where: str = "", what: str = "") -> None: ...

    with pytest.raises(ValueError, match=r"^`count` has to be given where `what` is\.$"):
        compose(command(handler), {"what": "x"})
    with pytest.raises(ValueError, match="is named by one word"):
        compose(command(handler), {}, "two words")
    assert '!do 1 "" x' == compose(command(handler), {"count": 1, "what": "x"}, book=Commands())


def test_a_choice_is_taken_as_it_stands_before_any_case() -> None:
    """Where two differ in nothing else."""

    def handler(ctx: Any, which: Literal["a", "A"]) -> None: ...

    assert ["a", "A"] == [bind(command(handler), word)["which"] for word in "aA"]


# ------------------------------------------------------------------------------------------ secrets


def link(ctx: Any, service: str, key: str = "", *, by: Literal["best", "key"] = "best") -> None:
    """Link a service, by a key if there is one."""


LINK = command(link, secret="key")


@pytest.mark.parametrize(
    ("rest", "holds"),
    [
        ("", False),
        ("redmine", False),
        ("redmine@work", False),
        ("redmine --by key", False),
        ("--by key redmine", False),
        ("redmine abc", True),
        ("redmine abc def", True),
        ('redmine "abc"', True),
        ("redmine --by key abc", True),
        ("redmine abc --by key", True),
        ("--by key redmine abc", True),
        ("redmine --by nonsense abc", True),
        ('redmine "abc', True),
        ("redmine --by", True),
    ],
)
def test_a_line_with_a_secret_is_known_as_one(rest: str, holds: bool) -> None:
    """Also one that does not fit otherwise: better one warning too many."""
    assert holds == holds_secret(Call(LINK, "", rest))


def test_a_command_without_a_secret_holds_none() -> None:
    """Whatever stands behind it."""
    assert not holds_secret(Call(command(link), "", "redmine abc"))


@pytest.mark.parametrize("rest", ["redmine --by canary-4711", "--by canary-4711"])
def test_what_was_said_to_a_command_with_a_secret_is_not_repeated(rest: str) -> None:
    """The usage is shown, and nothing of the line; without a secret it would be told what does not fit."""
    with pytest.raises(UsageError) as caught:
        bind(LINK, rest)

    assert "That does not fit. Usage: `!do <service> [key…] [--by <best|key>]`" == str(caught.value)


def test_what_is_missing_is_said_all_the_same() -> None:
    """Nothing was said that could be repeated."""
    with pytest.raises(UsageError) as caught:
        bind(LINK, "")

    assert str(caught.value).startswith("`service` is missing.")


def test_a_call_does_not_show_what_was_said() -> None:
    """Where it is printed for whoever looks for a mistake."""
    assert "canary" not in repr(Call(LINK, "", "redmine canary-4711"))
