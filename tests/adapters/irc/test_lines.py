"""A line is read without raising, and written without breaking out of itself."""

import pytest

from adapters.irc.lines import Line, Source, build, is_word, parse


@pytest.mark.parametrize(
    ("data", "command", "params"),
    [
        (b"PING :x", "PING", ("x",)),
        (b"ping x\r\n", "PING", ("x",)),
        (b":srv 001 bot :Welcome here", "001", ("bot", "Welcome here")),
        (b":srv  CAP   *  LS  :a b", "CAP", ("*", "LS", "a b")),
        (b"AUTHENTICATE :+", "AUTHENTICATE", ("+",)),
        (b"@time=2026-01-01T00:00:00.000Z AUTHENTICATE :+", "AUTHENTICATE", ("+",)),
        (b"@time=x  :srv AUTHENTICATE +", "AUTHENTICATE", ("+",)),
        (b":n!u@h PRIVMSG #c ::-) hi : there ", "PRIVMSG", ("#c", ":-) hi : there ")),
        (b":n!u@h PRIVMSG #c :", "PRIVMSG", ("#c", "")),
        (b":n!u@h PRIVMSG #c :\xff\xe9", "PRIVMSG", ("#c", "ÿé")),
        (b":n!u@h PRIVMSG #c :a\x00b", "PRIVMSG", ("#c", "a")),
        (b":n!u@h PRIVMSG #c :a\rQUIT", "PRIVMSG", ("#c", "a")),
    ],
)
def test_lines_are_read(data: bytes, command: str, params: tuple[str, ...]) -> None:
    """Spaces, colons, tags and encodings in all the ways that servers have them."""
    line = parse(data)

    assert line is not None
    assert (command, params) == (line.command, line.params)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"\r\n",
        b"\0",
        b":",
        b":srv",
        b":srv ",
        b"@a=b",
        b"@a=b ",
        b"@",
        b"@ ",
        b" :x",
        b"@account=\xff X",
        b"\xff\xfe",
        b"@account=a :srv",
        b"PRIV\xc3\x84 x",
        b":a :b",
        b"!",
        "²".encode(),
    ],
)
def test_what_is_no_line_is_none(data: bytes) -> None:
    """Nothing raises."""
    assert parse(data) is None


def test_source_and_tags_are_taken_apart() -> None:
    """Only tags that somebody reads are kept, and escapes undone."""
    line = parse(rb"@account=a\sb;+x=" + b"y" * 4000 + rb";msgid=1;bot :nick!us!er@ho@st PRIVMSG bot :x")

    assert line is not None
    assert line.source == Source("nick", "us!er", "ho@st")
    assert dict(line.tags) == {"account": "a b", "msgid": "1", "bot": ""}


def test_a_tag_of_another_client_is_not_the_servers() -> None:
    """Whatever starts with + a client chose (IRCv3 Message Tags): it is nobody's account."""
    line = parse(b"@+account=root;vendor/account=root :n!u@h PRIVMSG bot :x")

    assert line is not None
    assert {} == dict(line.tags)


@pytest.mark.parametrize(
    ("source", "is_server"),
    [
        (Source("irc.example.org"), True),
        (Source("nick", "u", "a.b"), False),
        (Source("nick"), False),
        (Source(""), False),
    ],
)
def test_servers_have_a_dot(source: Source, is_server: bool) -> None:
    """And people have a user and a host."""
    assert is_server == source.is_server


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (build("PRIVMSG", "#c", "hi"), b"PRIVMSG #c hi\r\n"),
        (build("PRIVMSG", "#c", "hi there"), b"PRIVMSG #c :hi there\r\n"),
        (build("PRIVMSG", "#c", ":x"), b"PRIVMSG #c ::x\r\n"),
        (build("PRIVMSG", "#c", ""), b"PRIVMSG #c :\r\n"),
        (build("PRIVMSG", "#c", "a\r\nQUIT :x\0y"), b"PRIVMSG #c :a  QUIT :x y\r\n"),
        (build("PONG"), b"PONG\r\n"),
        (
            build("PRIVMSG", "#c", "x", tags={"label": "1;2 \\", "+typing": ""}),
            rb"@label=1\:2\s\\;+typing PRIVMSG #c x" + b"\r\n",
        ),
        (build("PRIVMSG", "#c", "x", tags={"label": "1\r\n\0"}), rb"@label=1\r\n PRIVMSG #c x" + b"\r\n"),
        (build("PRIVMSG", "#c", "x", tags={"label": "1" * 5000}), b"PRIVMSG #c x\r\n"),
        (build("PRIVMSG", "#c", "\ud800"), b"PRIVMSG #c ?\r\n"),
    ],
)
def test_lines_are_written(line: Line, data: bytes) -> None:
    """Each is one line, whatever is in the last parameter or a tag's value."""
    assert data == line.encode()


@pytest.mark.parametrize("limit", [512, 1024])
@pytest.mark.parametrize("text", ["x" * 5000, "é" * 5000, "a" + "€" * 5000, "😀" * 5000])
def test_a_line_keeps_to_the_limit_and_cuts_no_character(text: str, limit: int) -> None:
    """Bytes count, and CR LF with them."""
    data = build("PRIVMSG", "#c", text).encode(limit)

    assert limit - 4 < len(data) <= limit
    assert data.endswith(b"\r\n")
    assert text.startswith(data.decode().removeprefix("PRIVMSG #c ").strip())


@pytest.mark.parametrize(("size", "length"), [(498, 511), (499, 512), (500, 512), (501, 512), (502, 512)])
def test_a_line_is_as_long_as_it_may_be_and_no_longer(size: int, length: int) -> None:
    """To the byte."""
    assert length == len(build("PRIVMSG", "#c", "x" * size).encode())


@pytest.mark.parametrize(
    ("command", "params"),
    [
        ("PRIVMSG", ("#a b", "x")),
        ("PRIVMSG", ("", "x")),
        ("PRIVMSG", (":a", "x")),
        ("PRIVMSG", ("#a\r\nQUIT", "x")),
        ("PRIVMSG", ("#a\0", "x")),
        ("PRIV MSG", ()),
        ("", ()),
        ("A\r\nB", ()),
    ],
)
def test_a_target_is_never_mended(command: str, params: tuple[str, ...]) -> None:
    """A mended target would be another target."""
    with pytest.raises(ValueError):
        build(command, *params)


@pytest.mark.parametrize("name", ["a b", "", "a=b", "a;b", "a\r"])
def test_a_tags_name_is_one_word(name: str) -> None:
    """So that none holds two."""
    with pytest.raises(ValueError):
        build("X", tags={name: "1"})


def test_a_line_gives_nothing_away() -> None:
    """A password and people's words are parameters, and a repr ends up in logs."""
    assert "<Line PASS of 1>" == repr(build("PASS", "hunter2"))


def test_parameters_that_are_not_there_are_empty() -> None:
    """From either end."""
    line = build("X", "a", "b")

    assert ("a", "b", "", "b", "") == (line.param(0), line.param(1), line.param(2), line.param(-1), line.param(-3))


def test_words() -> None:
    """What a middle parameter can be."""
    assert [True, False, False, False, True] == [is_word(one) for one in ("a", "", ":a", "a b", "a:b")]
