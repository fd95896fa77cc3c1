"""Who is where, and logged in to which account just now."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.irc.isupport import folder
from adapters.irc.roster import MAX_STRANGERS, Roster


def roster() -> Roster:
    """Return one with ada and bob in #c, and ada in #d as well."""
    made = Roster(folder("rfc1459"))
    for channel in ("#c", "#d"):
        made.opened(channel)
    made.joined("Ada", "#C")
    made.joined("ada", "#d")
    made.joined("bob", "#c")
    return made


def test_people_in_channels() -> None:
    """However the names are written."""
    found = roster()

    assert found.in_channel("ADA", "#c")
    assert not found.in_channel("bob", "#d")
    assert ["Ada", "bob"] == sorted(found.members("#C"))
    assert found.inside("#D")
    assert not found.inside("#e")


def test_an_account_and_its_nicks() -> None:
    """As long as they are logged in, under whatever nick."""
    found = roster()
    found.logged_in("ada", "lovelace")
    found.logged_in("bob", "lovelace")
    found.renamed("ADA", "countess")

    assert ["bob", "countess"] == sorted(found.nicks("lovelace"))
    assert found.present("lovelace", "#d")
    found.logged_in("countess", "")
    assert ["bob"] == found.nicks("lovelace")
    assert not found.present("lovelace", "#d")


def test_nobody_is_not_an_account() -> None:
    """Those who are not logged in, or not known to be, are not all the same person."""
    found = roster()
    found.logged_in("ada", "")

    assert ([], False) == (found.nicks(""), found.present("", "#c"))


def test_who_leaves_the_last_channel_is_forgotten() -> None:
    """The network tells nothing of them any more: not even that they log out."""
    found = roster()
    found.logged_in("ada", "lovelace")
    found.parted("ada", "#d")
    assert found.watched("ada")
    found.parted("Ada", "#c")

    assert (False, None, []) == (found.watched("ada"), found.user("ada"), found.nicks("lovelace"))


def test_a_nick_that_somebody_else_takes_is_somebody_else() -> None:
    """The thief has not the account of the one who had it before."""
    found = roster()
    found.logged_in("ada", "lovelace")
    found.gone("ada")
    found.renamed("bob", "ada")

    assert [] == found.nicks("lovelace")
    assert found.in_channel("ada", "#c")
    assert not found.in_channel("bob", "#c")


def test_taking_a_nick_that_was_still_thought_in_use() -> None:
    """What was known of it is gone."""
    found = roster()
    found.logged_in("ada", "lovelace")
    found.renamed("bob", "Ada")

    assert [] == found.nicks("lovelace")
    assert ["Ada"] == found.members("#c")
    assert [] == found.members("#d")


def test_writing_ones_nick_otherwise_is_no_change() -> None:
    """In case only."""
    found = roster()
    found.logged_in("ada", "lovelace")
    found.renamed("Ada", "ADA")

    assert ["ADA"] == found.nicks("lovelace")


def test_a_channel_that_the_bot_leaves_and_enters_again() -> None:
    """Who was there need not be there any more."""
    found = roster()
    found.closed("#c")

    assert (False, None, True) == (found.inside("#c"), found.user("bob"), found.watched("ada"))
    found.opened("#c")
    assert [] == found.members("#c")


def test_strangers_are_known_by_their_last_words_and_not_without_end() -> None:
    """Who shares no channel with the bot; the oldest are forgotten first."""
    found = roster()
    for number in range(MAX_STRANGERS + 1):
        found.logged_in(f"s{number}", f"a{number}")

    assert ([], ["s1"]) == (found.nicks("a0"), found.nicks("a1"))
    assert not found.watched("s1")


def test_a_stranger_who_joins_may_be_another() -> None:
    """Of strangers nobody tells that they left their nick to somebody else, who now is watched, and not known."""
    found = roster()
    found.logged_in("eve", "evelyn")
    found.joined("eve", "#c")
    user = found.user("eve")

    assert [] == found.nicks("evelyn")
    assert found.watched("eve")
    assert user is not None
    assert user.account is None


def test_user_and_host() -> None:
    """As they are told."""
    found = roster()
    found.moved("ADA", "a", "example.org")
    found.moved("nobody", "a", "b")
    user = found.user("ada")

    assert user is not None
    assert ("a", "example.org") == (user.user, user.host)


NICKS = st.sampled_from(["a", "A", "b[", "B{", "c"])
CHANNELS = st.sampled_from(["#a", "#A", "#b"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("joined"), NICKS, CHANNELS),
        st.tuples(st.just("parted"), NICKS, CHANNELS),
        st.tuples(st.just("renamed"), NICKS, NICKS),
        st.tuples(st.just("gone"), NICKS),
        st.tuples(st.just("logged_in"), NICKS, st.sampled_from(["", "x", "y"])),
        st.tuples(st.just("closed"), CHANNELS),
        st.tuples(st.just("opened"), CHANNELS),
    ),
    max_size=30,
)


@given(STEPS)
def test_whoever_is_in_a_channel_is_known_and_nobody_else_is_watched(steps: list[tuple[str, ...]]) -> None:
    """In whatever order things happen."""
    found = Roster(folder("rfc1459"))
    for name, *args in steps:
        getattr(found, name)(*args)

    for nick in ("a", "b[", "c"):
        channels = sum(found.in_channel(nick, channel) for channel in ("#a", "#b"))
        user = found.user(nick)
        assert (channels > 0) == found.watched(nick)
        assert channels == (user.channels if user else 0)
    for channel in ("#a", "#b"):
        assert all(found.in_channel(nick, channel) for nick in found.members(channel))
