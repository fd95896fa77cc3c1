"""An operator's file is read with its line numbers, and everything wrong in it is said at once."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from omnibot.errors import ConfigError, Problem
from omnibot.yamlfile import BadValueError, Document, check, did_you_mean, problems, read


def _port(value: object) -> object:
    """Refuse what is no port, in our own words."""
    if isinstance(value, int) and 1 <= value <= 65535:
        return value
    raise BadValueError(f'"{value}" is not a port', "Choose one from 1 to 65535.")


class Network(BaseModel):
    """A network, as a file may hold one."""

    model_config = ConfigDict(extra="forbid")

    adapter: Literal["irc", "matrix", "discord"]
    port: Annotated[Any, AfterValidator(_port)] = 6697
    tls: bool = True
    channels: list[str] = []
    password: str = ""


class File(BaseModel):
    """A whole file."""

    model_config = ConfigDict(extra="forbid")

    prefix: Annotated[str, Field(max_length=3)] = "!"
    lines: Annotated[int, Field(ge=1, le=50)] = 5
    networks: dict[str, Network] = {}


GOOD = """\
prefix: "?"
networks:
  libera:
    adapter: irc
    port: 6697
    channels: ["#omnibot"]
"""

BAD = """\
prefx: "?"
lines: many
networks:
  libera:
    adapter: ircc
    port: 66x7
    channels: "#omnibot"
  home:
    tls: perhaps
    adapter: matrix
    pasword: hunter2
  none: 5
  empty: {}
"""


def found(text: str, name: str = "config.yaml") -> list[str]:
    """Return the lines of the error that *text* earns."""
    with pytest.raises(ConfigError) as caught:
        check(read(text, name), File)
    return str(caught.value).splitlines()


def test_a_good_file_becomes_its_model() -> None:
    """What fits comes back as the model."""
    made = check(read(GOOD), File)

    assert Network(adapter="irc", port=6697, channels=["#omnibot"]) == made.networks["libera"]


def test_an_empty_file_is_an_empty_mapping() -> None:
    """A file of comments only stands for all the defaults."""
    assert File() == check(read("# nothing yet\n"), File)


def test_every_problem_is_said_at_once() -> None:
    """File and line, dotted key, value and cure; in the order of the file."""
    assert [
        'config.yaml:1: prefx: is not a key that I know. Did you mean "prefix"?',
        'config.yaml:2: lines: "many" is not a whole number. Write digits only.',
        'config.yaml:5: networks.libera.adapter: "ircc" is not one of them. Did you mean "irc"?',
        'config.yaml:6: networks.libera.port: "66x7" is not a port. Choose one from 1 to 65535.',
        'config.yaml:7: networks.libera.channels: "#omnibot" stands where a list belongs. Write [a, b].',
        'config.yaml:9: networks.home.tls: "perhaps" is neither true nor false. Write true or false.',
        'config.yaml:11: networks.home.pasword: is not a key that I know. Did you mean "password"?',
        "config.yaml:12: networks.none: 5 stands where keys belong. Write `key: value` lines below it.",
        "config.yaml:13: networks.empty.adapter: is missing. Add it.",
    ] == found(BAD)


def test_bounds_are_said_with_their_number() -> None:
    """Too large and too long are told with what would fit."""
    assert [
        'config.yaml:1: prefix: "!!!!" is too long. The most is 3.',
        "config.yaml:2: lines: 99 is too large. The most is 50.",
    ] == found("prefix: '!!!!'\nlines: 99\n")


def test_a_key_written_twice_is_a_problem() -> None:
    """YAML would silently keep the last; both lines are named."""
    text = "networks:\n  libera: {adapter: irc}\n  libera: {adapter: matrix}\nlines: 0\n"

    assert [
        "config.yaml:3: networks.libera: is here a second time, after line 2. Keep one of the two.",
        "config.yaml:4: lines: 0 is too small. The least is 1.",
    ] == found(text)


def test_a_secret_is_never_repeated() -> None:
    """Neither a problem with a secret's value nor a syntax error on its line shows it."""
    wrong_type = found("networks: {a: {adapter: irc, password: 48151623}}\n")
    syntax = found('networks:\n  a: {adapter: irc, password: "48151623\n')

    assert ["config.yaml:1: networks.a.password: the value is not text. Put it in quotes."] == wrong_type
    assert "48151623" not in "".join(syntax)


@pytest.mark.parametrize("password", ["*48151623", "&48151623 x y: z", "!48151623 x", "!!int 48151623x", "@48151623"])
def test_a_secret_without_quotes_is_never_repeated(password: str) -> None:
    """A password that YAML takes for an alias, an anchor or a tag is a problem, and stays in the file."""
    said = "".join(found(f"networks:\n  a:\n    adapter: irc\n    password: {password}\n"))

    assert "48151623" not in said


def test_a_syntax_error_names_its_line() -> None:
    """What is not YAML is said with the line and what the parser met there."""
    text = "prefix: a\n b: c\n"

    assert [
        "a.yaml:2: is not YAML: mapping values are not allowed in this context. Check indentation and quotes."
    ] == found(text, "a.yaml")


def test_what_is_missing_at_the_end_is_missed_in_the_last_line() -> None:
    """And not in the one behind it, which is none."""
    assert ["a.yaml:2: is not YAML: did not find expected ',' or ']'. Check indentation and quotes."] == found(
        "a: 1\nb: [c", "a.yaml"
    )


NESTED = ["[" * 100_000, "{a: " * 100_000, "- " * 20_000, "\n".join(f"{' ' * deep}a:" for deep in range(2000))]
"""Each would end the process, were it read to its end: libyaml's part of PyYAML recurses in C."""


@pytest.mark.parametrize(("text", "what"), [("a: \0", "does not allow"), *((text, "too deeply") for text in NESTED)])
def test_what_the_parser_chokes_on_is_a_problem(text: str, what: str) -> None:
    """Control characters and endless nesting are told apart from other errors."""
    assert what in found(text)[0]


@pytest.mark.parametrize("text", ["a: !!python/object:os.system {}", "? [a]\n: b", "a: !mine 5"])
def test_only_plain_data_is_read(text: str) -> None:
    """No tag makes an object, and no key is anything but a scalar."""
    with pytest.raises(ConfigError):
        read(text)


def test_words_stay_words() -> None:
    """`no`, `on`, a time, a date and an octal number are text, as YAML 1.2 has it."""
    text = "a: no\nb: on\nc: 12:30\nd: 2026-11-22\ne: 0123\nf: ~\ng: true\nh: -4\ni: 1.5\nj:\n"
    values = ["no", "on", "12:30", "2026-11-22", "0123", None, True, -4, 1.5, None]

    assert values == list(read(text).data.values())


def test_merge_keys_still_merge() -> None:
    """Anchors and `<<` work as everywhere."""
    data = read("base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\n").data

    assert {"a": 1, "b": 3} == data["more"]


def test_lines_of_keys_items_and_what_is_missing() -> None:
    """The line of a path is that of its key or item, or of the part of it that exists."""
    document = read("a:\n  b:\n    - one\n    - two\nc: 1\n")
    paths: list[tuple[str | int, ...]] = [
        (),
        ("a",),
        ("a", "b"),
        ("a", "b", 1),
        ("a", "x"),
        ("c",),
        ("a", "b", 9),
    ]

    assert [1, 1, 2, 4, 1, 5, 2] == [document.line(path) for path in paths]


def test_a_part_of_a_document_can_be_checked() -> None:
    """Problems of a part are told with the lines and the dotted path of the whole."""
    document = read(GOOD.replace("6697", "0"), "my.yaml")
    with pytest.raises(ValidationError) as caught:
        Network.model_validate(document.data["networks"]["libera"])

    assert [
        Problem("my.yaml:5", "networks.libera.port", '"0" is not a port', "Choose one from 1 to 65535.")
    ] == problems(document, caught.value, Network, ("networks", "libera"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The system's reason is said, with a cure."""
    with pytest.raises(ConfigError, match=r"config.yaml: cannot be read: No such file or directory"):
        read(tmp_path / "config.yaml")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    """Another encoding than UTF-8 is said."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"a: \xff")

    with pytest.raises(ConfigError, match="not UTF-8"):
        read(path)


def test_did_you_mean_finds_near_words_only() -> None:
    """A near word is offered, a far one is not."""
    assert ['Did you mean "github"?', ""] == [
        did_you_mean("gihub", ["github", "x"]),
        did_you_mean("q", ["x"]),
    ]


def outcome(document: Document) -> File | tuple[Problem, ...]:
    """Return what checking *document* comes to."""
    try:
        return check(document, File)
    except ConfigError as error:
        return error.problems


@given(st.text())
def test_any_text_is_a_document_or_a_config_error(text: str) -> None:
    """Nothing but ConfigError, with at least one problem, comes out of reading and checking."""
    try:
        made = outcome(read(text))
    except ConfigError as error:
        made = error.problems

    assert made


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below),
)


@given(_anything)
def test_any_data_is_checked_without_a_crash(data: Any) -> None:
    """Whatever stands where, its problems are lines of text that name the file."""
    made = outcome(Document("a", {"networks": data}))

    assert isinstance(made, File) or all(str(problem).startswith("a:1: ") for problem in made)
