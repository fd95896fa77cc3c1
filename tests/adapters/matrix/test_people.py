"""A person is their MXID, letter for letter; names are only shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.matrix import people
from adapters.matrix.people import LONGEST_MXID, Sender, assurance, is_ghost, matches, may_invite, sender, server_of
from adapters.matrix.settings import Settings
from nasty import NASTY
from omnibot.identity import Assurance, Guest, Identity
from omnibot.message import Origin
from omnibot.provider import Secret

BOT = "@omnibot:hs.example"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def configured(**options: object) -> Settings:
    return Settings.model_validate(
        {"homeserver": "https://matrix.hs.example", "user": BOT, "password": Secret("pass word")} | options
    )


SETTINGS = configured(trusted=("Friends.example:8448",))


# -------------------------------------------------------------------- MXIDs


@pytest.mark.parametrize(
    ("mxid", "server"),
    [
        ("@alice:matrix.org", "matrix.org"),
        ("@alice:matrix.org:8888", "matrix.org:8888"),
        ("@alice:1.2.3.4", "1.2.3.4"),
        ("@alice:1.2.3.4:1234", "1.2.3.4:1234"),
        ("@alice:[1234:5678::abcd]", "[1234:5678::abcd]"),
        ("@alice:[1234:5678::abcd]:5678", "[1234:5678::abcd]:5678"),
        ("@a0-.=_/+:hs", "hs"),
        ("@/:hs", "hs"),
        ("@Alice!#$%&'()*,;<>?@[]^`{|}~:hs", "hs"),  # historical: all printing ASCII but the colon
        ("@\u0430\u043b\u0438\u0441\u0430:hs", "hs"),
        ("@日本:hs", "hs"),
    ],
)
def test_the_servers_of_the_specification_are_found(mxid: str, server: str) -> None:
    """Its examples of server names, with ports and addresses, behind any localpart there may have been."""
    assert server == server_of(mxid)


@pytest.mark.parametrize(
    "mxid",
    [
        *(
            "",
            "@",
            "@:",
            "@alice",
            "alice:hs",
            "#alice:hs",
            "@alice:",
            "@:hs",
            " @alice:hs",
            "@alice:hs ",
            "@alice:hs\n",
        ),
        *("@alice:hs:", "@alice:hs:port", "@alice:hs:123456", "@alice:hs:1:2", "@alice:evil@hs", "@alice:hs/path"),
        *("@alice:[::1", "@alice:[xyz]", "@alice:h\u0441", "@alice:hs\u200b", "@alice:\uff48s", "@alice:hs:\u0661"),
        *("@ali ce:hs", "@alice\t:hs", "@alice\x00:hs", "@alice\u200b:hs", "@\u202ealice:hs", "@alice\ufe0f:hs"),
        *("@alice\u3164:hs", "@alice\ud800:hs", "@alice\xa0:hs", "@alice\xad:hs"),
        *(None, 7, ["@alice:hs"], {"@alice:hs": 1}, b"@alice:hs"),
    ],
)
def test_what_is_no_mxid_is_nobody(mxid: object) -> None:
    """Nor is one that would be shown as if it were another's."""
    assert server_of(mxid) is None
    assert sender("home", SETTINGS, mxid) is None
    assert not may_invite(configured(invites="any"), mxid)


def test_an_mxid_has_255_bytes() -> None:
    """Bytes, not characters."""
    assert server_of(f"@{'a' * (LONGEST_MXID - 4)}:hs") == "hs"
    assert server_of(f"@{'a' * (LONGEST_MXID - 3)}:hs") is None
    assert server_of(f"@{'ä' * 126}:hs") is None


# ------------------------------------------------------------------- people


def test_a_person_is_the_whole_mxid() -> None:
    """The homeserver is part of the name, capitals are, and what they call themselves is not."""
    found = sender("home", SETTINGS, "@Ada:hs.example", "Ada  \u202eLovelace\n")

    assert found == Sender(Identity("home", "@Ada:hs.example"), Origin.PERSON, Assurance.STRONG)
    assert isinstance(found.speaker, Identity)
    assert ("@Ada:hs.example", "Ada Lovelace") == (found.speaker.subject, found.speaker.display)


@pytest.mark.parametrize(
    "other",
    [
        "@Ada:hs.example",
        "@ada:other.example",
        "@ada:hs.example:8448",
        "@ada:HS.example",
        "@\u0430da:hs.example",  # Cyrillic
        "@\uff41da:hs.example",
        "@a\u0301da:hs.example",
        "@ada=:hs.example",
    ],
)
def test_a_look_alike_is_somebody_else(other: str) -> None:
    """Whatever is seen, and however it is called: letters are compared, and nothing is folded (A29)."""
    ada, mallory = (sender("home", SETTINGS, mxid, "Ada") for mxid in ("@ada:hs.example", other))

    assert ada is not None
    assert mallory is not None
    assert ada.speaker != mallory.speaker


@pytest.mark.parametrize(
    ("mxid", "allowed", "denied"),
    [
        ("@ada:hs.example", Assurance.STRONG, Assurance.STRONG),
        ("@ada:friends.example:8448", Assurance.STRONG, Assurance.STRONG),
        ("@ada:FRIENDS.example:8448", Assurance.STRONG, Assurance.STRONG),
        ("@ada:friends.example", Assurance.ACCOUNT, None),
        ("@ada:HS.example", Assurance.ACCOUNT, None),
        ("@ada:hs.example:8448", Assurance.ACCOUNT, None),
        ("@ada:hs.example.evil.example", Assurance.ACCOUNT, None),
        ("@hs.example:evil.example", Assurance.ACCOUNT, None),
        ("@ada:h\u0455.example", None, None),
    ],
)
def test_our_own_and_trusted_homeservers_vouch_strongly(
    mxid: str, allowed: Assurance | None, denied: Assurance | None
) -> None:
    """Others say so about an account of theirs, or nothing where federation is denied."""
    alone = configured(trusted=SETTINGS.trusted, federation="deny")

    assert allowed == assurance(SETTINGS, mxid)
    assert denied == assurance(alone, mxid)
    assert (denied is None) == (sender("home", alone, mxid) is None)


@pytest.mark.parametrize(
    "mxid",
    ["@_irc_ada:hs.example", "@_Discord_1:hs.example", "@telegrambridge_7:hs.example", "@Slack-PUPPET:other.example"],
)
def test_a_ghost_is_no_person(mxid: str) -> None:
    """A homeserver vouches for its bridge, which may let anybody speak."""
    found = sender("home", SETTINGS, mxid, "Ada")

    assert found == Sender(Guest("home", mxid), Origin.GHOST, None)


def test_ghosts_are_told_by_their_mxids() -> None:
    """Not by their homeserver's name, nor by what they call themselves; the globs may name servers as well."""
    mine = configured(ghosts=("@*_Bot:*", "@*:Relay.[::1].example", "*.cheap.example"))

    assert not is_ghost(SETTINGS, "@ada:bridge.example:8448")
    assert not is_ghost(SETTINGS, "@ada:puppet.example")
    assert is_ghost(mine, "@x_bot:hs.example")
    assert not is_ghost(mine, "@_irc_ada:hs.example")
    assert is_ghost(mine, "@ada:very.cheap.example")
    assert not is_ghost(configured(ghosts=()), "@_irc_ada:hs.example")


@pytest.mark.parametrize(
    ("mxid", "glob", "fits"),
    [
        ("@a:hs", "@a:hs", True),
        ("@a:hs", "@A:hs", False),
        ("@a:hs", "*", True),
        ("@abc:hs", "@a?c:h*", True),
        ("@a:hs:1", "@*:hs", False),
        ("@a:hs:1", "@*:hs:?", True),
        ("@a:[::1]", "@a:[::1]", True),
        ("@a::", "@a:[::1]", False),
        ("@a[b]:hs", "@a[b]:hs", True),
        ("@ab:hs", "@a[b]:hs", False),
    ],
)
def test_a_glob_is_stars_and_question_marks(mxid: str, glob: str, fits: bool) -> None:
    """Brackets are themselves, and no star reaches over the colon."""
    assert fits == matches(mxid, glob)


def test_the_bot_and_its_like_are_told_apart() -> None:
    """Its own events, and what only bots say, are nobody's commands."""
    own = sender("home", configured(ghosts=("*",), federation="deny"), BOT)
    other = sender("home", SETTINGS, "@other:hs.example", notice=True)

    assert own is not None
    assert (Origin.SELF, None) == (own.origin, own.assurance)
    assert other == Sender(Identity("home", "@other:hs.example"), Origin.BOT, Assurance.STRONG)


@pytest.mark.parametrize(
    ("display", "shown"),
    [
        ("Ada", "Ada"),
        (" A\u202eda \u200b\r\n Lovelace\x00", "Ada Lovelace"),
        ("x" * 100_000, "x" * 64),
        ("@grace:hs.example", ""),
        ("Ada (@grace:hs.example)", ""),
        ("\uff20grace\uff1ahs", ""),
        ("\u200b", ""),
        (None, ""),
        (["Ada"], ""),
        ("ada@example.org", "ada@example.org"),
    ],
)
def test_a_display_name_is_only_shown(display: object, shown: str) -> None:
    """As one short line, and never as somebody's MXID."""
    assert shown == people.shown(display)


# ------------------------------------------------------------------ inviters


@pytest.mark.parametrize(
    ("options", "followed"),
    [
        ({}, "own trusted"),
        ({"federation": "deny"}, "own trusted"),
        ({"invites": "any"}, "own trusted other"),
        ({"invites": "any", "federation": "deny"}, "own trusted"),
        ({"invites": "none"}, ""),
        ({"invites": "listed", "inviters": ("@ada:hs.example",)}, "own"),
        ({"invites": "listed", "inviters": ("@ADA:hs.example",)}, ""),
        ({"invites": "listed", "inviters": ("@*:other.example",)}, "other"),
        ({"invites": "listed", "inviters": ("@*:other.example",), "federation": "deny"}, ""),
        ({"invites": "listed", "inviters": ("*",)}, "own trusted other"),
    ],
)
def test_invitations_are_followed_by_policy(options: dict[str, object], followed: str) -> None:
    """Never those of a ghost, of nobody, or of somebody whom the bot would not hear."""
    settings = configured(trusted=SETTINGS.trusted, **options)
    people = {"own": "@ada:hs.example", "trusted": "@ada:friends.example:8448", "other": "@ada:other.example"}

    assert followed.split() == [name for name, mxid in people.items() if may_invite(settings, mxid)]
    assert not may_invite(settings, "@_irc_ada:hs.example")
    assert not may_invite(settings, BOT)


@given(JSON, JSON)
def test_no_json_makes_it_raise(mxid: object, display: object) -> None:
    """Whatever a homeserver says; and whoever is an identity has the very MXID."""
    found = sender("home", SETTINGS, mxid, display)
    may_invite(SETTINGS, mxid)

    assert found is None or found.origin is not Origin.PERSON or found.speaker == Identity("home", str(mxid))


@given(NASTY, NASTY)
def test_whoever_speaks_is_seen(local: str, server: str) -> None:
    """No MXID that is taken has anything in it that would not be shown."""
    mxid = f"@{local}:{server}"

    assert server_of(mxid) is None or mxid.isprintable() or not mxid.isascii()
