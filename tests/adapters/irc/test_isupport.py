"""What a server supports, and how names compare there."""

import pytest

from adapters.irc.isupport import MAX_LINE, Isupport, folder


def supporting(*tokens: str) -> Isupport:
    isupport = Isupport()
    isupport.feed(tokens)
    return isupport


@pytest.mark.parametrize(
    ("casemapping", "folded"),
    [
        ("rfc1459", "nick{}|^é"),
        ("RFC1459", "nick{}|^é"),
        ("strict-rfc1459", "nick{}|~é"),
        ("ascii", "nick[]\\~é"),
        ("rfc7613", "nick[]\\~é"),
        ("", "nick[]\\~é"),
    ],
)
def test_casemappings(casemapping: str, folded: str) -> None:
    """One that is not known keeps apart what might be two people."""
    assert folded == folder(casemapping)("NICK[]\\~é")


def test_before_a_server_says_anything_rfc_1459_holds() -> None:
    """The defaults."""
    isupport = Isupport()

    assert "{}|^" == isupport.fold("[]\\~")
    assert ("", 512, None, "#&", "@+", "") == (
        isupport.network,
        isupport.line_limit,
        isupport.nick_limit,
        isupport.channel_types,
        isupport.prefixes,
        isupport.bot_mode,
    )


def test_tokens_are_taken_and_taken_back() -> None:
    """Over several 005, with escapes, in any case."""
    isupport = supporting("NETWORK=A\\x20B", "nicklen=30", "WHOX", "BOT=B", "CHANTYPES=#")
    isupport.feed(["-WHOX", "NICKLEN=16", "-NOSUCH", "=", ""])

    assert ("A B", 16, False, "B", "#") == (
        isupport.network,
        isupport.nick_limit,
        isupport.has("WHOX"),
        isupport.bot_mode,
        isupport.channel_types,
    )


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("LINELEN=2048", 2048),
        ("LINELEN=100", 512),
        ("LINELEN=x", 512),
        ("LINELEN", 512),
        ("LINELEN=999999999", MAX_LINE),
    ],
)
def test_the_longest_line(value: str, limit: int) -> None:
    """Never less than RFC 1459's, and not anything."""
    assert limit == supporting(value).line_limit


@pytest.mark.parametrize(("value", "prefixes"), [("PREFIX=(qaohv)~&@%+", "~&@%+"), ("PREFIX=", ""), ("PREFIX=x", "")])
def test_the_signs_before_nicks(value: str, prefixes: str) -> None:
    """As PREFIX pairs them with modes."""
    assert prefixes == supporting(value).prefixes


@pytest.mark.parametrize(
    ("value", "targets"),
    [
        ("TARGMAX=NAMES:1,JOIN:4,WHO:", 4),
        ("TARGMAX=JOIN:", 1000),
        ("TARGMAX=JOIN:x", 7),
        ("TARGMAX=JOIN:0", 1),
        ("X", 7),
    ],
)
def test_targets_of_a_command(value: str, targets: int) -> None:
    """A number, no limit, or nothing told."""
    assert targets == supporting(value).targets("JOIN", 7)


@pytest.mark.parametrize(
    ("target", "channel"),
    [
        ("#c", "#c"),
        ("&c", "&c"),
        ("@#c", "#c"),
        ("@+#c", "#c"),
        ("nick", None),
        ("@nick", None),
        ("", None),
        ("$$*", None),
    ],
)
def test_what_channel_a_message_is_in(target: str, channel: str | None) -> None:
    """A message to those with a status is in the channel too."""
    assert channel == supporting("STATUSMSG=@+").channel(target)


def test_no_channels_at_all() -> None:
    """An empty CHANTYPES means that."""
    assert not supporting("CHANTYPES=").is_channel("#c")


def test_the_casemapping_stays_once_names_are_folded_by_it() -> None:
    """Else people would be lost, or become others."""
    isupport = supporting("CASEMAPPING=ascii")
    isupport.settle()
    isupport.feed(["CASEMAPPING=rfc1459"])

    assert "[" == isupport.fold("[")


def test_a_server_cannot_fill_the_memory() -> None:
    """Tokens are bounded; known ones may still change."""
    isupport = supporting(*(f"T{number}" for number in range(10_000)), "T1=x")

    assert not isupport.has("T9999")
    assert "x" == isupport.get("T1")
